//! Which part feeds which: names resolved, passes in order, sizes computed, dead parts noted.
//!
//! In: a [`Description`], then what its sources really are. Out: a [`Graph`] in which every reference is an index.
//! Not here: opening anything.

use std::ops::Range;

use crate::color::Color;
use crate::error::{Error, Result};
use crate::format::{Format, Fourcc};
use crate::layout::{Constraints, Size};

use super::description::{ColorKeys, Description, Filter, PassSize, Wrap};
use super::faults::Faults;
use super::sink;

mod build;
mod keys;
mod names;

pub use keys::{Enable, Kind};
pub(crate) use names::check_identifier;

/// What an input's name begins with where it is a picture of the frame before.
pub const PREVIOUS: &str = "@previous";

/// Where the pictures of an edge come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feed {
    /// Index into [`Graph::sources`].
    Source(usize),
    /// Index into [`Graph::passes`].
    Pass(usize),
    /// Index into [`Graph::passes`]: the pass's picture of the frame before. It says nothing about the order of passes.
    Previous(usize),
}

impl Feed {
    /// The pass, now or in the frame before.
    pub fn pass(self) -> Option<usize> {
        match self {
            Self::Source(_) => None,
            Self::Pass(pass) | Self::Previous(pass) => Some(pass),
        }
    }
}

/// A pass with its references resolved.
#[derive(Clone, Debug)]
pub struct PassNode {
    /// The name in the pipeline file, or `copy of NAME` for a pass that was put between a source and a sink.
    pub name: String,
    /// The pass of the description; `None` for one that only copies its input.
    pub described: Option<String>,
    /// Names in the shader and what feeds them, in the order of the text.
    pub inputs: Vec<(String, Feed)>,
    /// Format of the target.
    pub fourcc: Fourcc,
    /// What the description says of the target's numbers.
    pub color_keys: ColorKeys,
    /// What is wanted of the target's memory.
    pub layout: Constraints,
    /// How inputs are read between pixels.
    pub filter: Filter,
    /// What is done.
    pub kind: Kind,
    /// What lies beyond the edges of inputs.
    pub wrap: Wrap,
    /// How often it is drawn: 1, or more, each time with its last result as the first input.
    pub repeat: u32,
    /// Where it is false, the first input passes through unchanged.
    pub enable: Option<Enable>,
    /// The colour of the target before it is drawn into.
    pub clear: Option<[f32; 4]>,
    /// Somebody reads its picture of the frame before: its target is kept for a frame.
    pub keeps_previous: bool,
    /// Where it is not the same for every input: for each of them.
    pub filters: Vec<Filter>,
    size: Option<(PassSize, Range<usize>)>,
}

impl PassNode {
    fn copy(name: String, source: usize) -> Self {
        Self {
            name,
            described: None,
            inputs: vec![("picture".into(), Feed::Source(source))],
            fourcc: Fourcc::ABGR8888,
            color_keys: ColorKeys::default(),
            layout: Constraints::NONE,
            filter: Filter::Linear,
            filters: Vec::new(),
            kind: Kind::Copy,
            wrap: Wrap::Clamp,
            repeat: 1,
            enable: None,
            clear: None,
            keeps_previous: false,
            size: None,
        }
    }

    /// A fragment shader is run over the whole target: "this very pixel" of an input is one of the target.
    pub fn is_full_screen(&self) -> bool {
        !matches!(self.kind, Kind::Mesh | Kind::Compute | Kind::Wgpu)
    }

    /// Drawn once in every frame by a fragment shader over the whole target, from inputs that end at their edges; nobody
    /// needs it in the next frame. Such a pass may be drawn in any way that gives the same picture.
    pub fn is_plain(&self) -> bool {
        let once = self.repeat == 1 && self.enable.is_none() && !self.keeps_previous;
        once && self.is_full_screen() && self.clear.is_none() && self.wrap == Wrap::Clamp
    }

    /// How an input, by index, is read between its pixels.
    pub fn filter_of(&self, input: usize) -> Filter {
        self.filters.get(input).copied().unwrap_or(self.filter)
    }

    /// What the numbers of the target mean: YUV formats as guessed from the size, RGB is sRGB, where nothing is said.
    pub fn color(&self, size: Size) -> Color {
        let is_yuv = self.fourcc.format().is_ok_and(Format::is_yuv);
        self.color_keys.over(if is_yuv { Color::guess(size) } else { Color::SRGB })
    }
}

/// A sink with its reference resolved.
#[derive(Clone, Debug)]
pub struct SinkNode {
    /// What it writes.
    pub plan: sink::Plan,
    /// Index into [`Graph::passes`].
    pub pass: usize,
}

/// The parts of a pipeline that lead to a sink, in an order in which each part comes after what feeds it.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Names of the sources that are used.
    pub sources: Vec<String>,
    /// The passes that are used, feeding ones first.
    pub passes: Vec<PassNode>,
    /// The sinks, in the order of the text.
    pub sinks: Vec<SinkNode>,
    /// Sources and passes that lead to no sink; they are left out.
    pub unused: Vec<String>,
}

impl Graph {
    /// Resolves the names of `description`.
    ///
    /// # Errors
    /// `Config` with the place: an unknown name (with the nearest), a cycle, a name that is no GLSL identifier, two
    /// parts of one name, a pass without a size, no sink at all, two sinks for one file.
    pub fn new(description: &Description) -> Result<Self> {
        let mut faults = Faults::default();
        let graph = Self::collect(description, &mut faults);
        faults.into_result().map(|()| graph)
    }

    /// The size of every pass's target, from the sizes of the sources.
    ///
    /// # Errors
    /// `Config`: a size out of range.
    pub fn sizes(&self, description: &Description, sources: &[Size]) -> Result<Vec<Size>> {
        let mut sizes: Vec<Size> = Vec::new();
        for pass in &self.passes {
            // A picture of the frame before may be of a pass whose size is not known yet.
            let input = pass.inputs.iter().find_map(|(_, feed)| match *feed {
                Feed::Source(index) => Some(sources[index]),
                Feed::Pass(index) => Some(sizes[index]),
                Feed::Previous(_) => None,
            });
            let (wanted, span) = pass.size.clone().unwrap_or((PassSize::AsInput, 0..0));
            let scale = |length: u32, permille: u32| {
                u32::try_from((u64::from(length) * u64::from(permille) + 500) / 1000).unwrap_or(u32::MAX).max(1)
            };
            let size = match (wanted, input) {
                (PassSize::Pixels(size), _) => size,
                (PassSize::AsInput, Some(size)) => size,
                (PassSize::Permille(part), Some(size)) => Size::new(scale(size.width, part), scale(size.height, part)),
                // Checked when the graph was made.
                (_, None) => return Err(Error::invalid("size", format!("pass \"{}\" has no size", pass.name))),
            };
            let key = || format!("pass.{}.size", pass.name);
            sizes.push(size.check().map_err(|error| description.error(key(), error.detail(), span))?);
        }
        Ok(sizes)
    }

    /// How many passes and sinks read each pass.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.passes.len()];
        for (_, feed) in self.passes.iter().flat_map(|pass| &pass.inputs) {
            if let Feed::Pass(index) | Feed::Previous(index) = feed {
                readers[*index] += 1;
            }
        }
        for sink in &self.sinks {
            readers[sink.pass] += 1;
        }
        readers
    }

    /// How many of a pass's buffers its sinks may hold while everybody else goes on.
    pub fn held(&self, pass: usize) -> usize {
        self.sinks.iter().filter(|sink| sink.pass == pass).map(|sink| sink.plan.holds()).sum()
    }

    /// The name of what feeds an edge.
    pub fn name(&self, feed: Feed) -> &str {
        match feed {
            Feed::Source(index) => &self.sources[index],
            Feed::Pass(index) | Feed::Previous(index) => &self.passes[index].name,
        }
    }
}
