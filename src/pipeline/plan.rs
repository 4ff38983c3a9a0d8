//! Everything that can be known and checked before a driver is asked: the graph with opened sources, read shaders,
//! sizes, values and frames.
//!
//! In: a [`Description`]. Out: a [`Plan`] that the runner carries out, and that `darkframe check` prints.
//! Not here: the driver.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::color::Conversion;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Size;

use super::description::{ComputeKeys, Description, FrameRange, MeshKeys, Optimize, Pass, Rate, Step, Uniform};
use super::faults::Faults;
use super::frames::FrameSet;
use super::graph::{Feed, Graph, PassNode};
use super::model::Model;
use super::parameters::ParameterSet;
use super::pass::composite;
use super::shader::{Declared, Entry, Shader, texels};
use super::sink::Shape;
use super::sink::v4l2::Device;
use super::source::{Info, Opened, Opening, Stop};

mod alpha;
mod explain;
mod fuse;
mod models;
mod part;
mod reuse;
mod tolerance;
mod widths;

pub use explain::Known;
use models::{mesh_keys, open_models};
use part::{authored, check_sink, open_source, the_rest};
pub use widths::ByFours;

/// Passes as they are drawn.
#[derive(Clone)]
struct Drawn {
    graph: Graph,
    sizes: Vec<Size>,
    shaders: Vec<Option<Arc<Shader>>>,
    uniforms: Vec<Vec<Setting>>,
}

/// A uniform and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The uniform.
    pub uniform: Declared,
    /// Its numbers; those that the parameter begins with, where one is named.
    pub numbers: Vec<f64>,
    /// The parameter whose value it takes.
    pub parameter: Option<String>,
}

/// How large everything is.
#[derive(Clone, Copy, Debug)]
pub struct Sizes<'a> {
    /// As the sources of the graph.
    pub sources: &'a [Size],
    /// As the passes of the graph.
    pub targets: &'a [Size],
}

impl Sizes<'_> {
    fn of(&self, feed: Feed) -> Size {
        match feed {
            Feed::Source(index) => self.sources[index],
            Feed::Pass(index) | Feed::Previous(index) => self.targets[index],
        }
    }
}

/// What may change while a pipeline runs: shaders and values.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Shaders, as the passes of the graph; `None` for a pass that only copies.
    pub shaders: Vec<Option<Arc<Shader>>>,
    /// Values of uniforms, as the passes of the graph.
    pub uniforms: Vec<Vec<Setting>>,
    /// Parameters with the values that they begin with.
    pub parameters: ParameterSet,
}

impl Programs {
    /// Reads the shaders of `graph`, and holds the values of `description` against them.
    ///
    /// # Errors
    /// `Config` and `Shader` with the place; those of the files.
    pub fn new(description: &Description, graph: &Graph, sizes: Sizes<'_>) -> Result<Self> {
        let mut faults = Faults::default();
        let programs = Self::collect(description, graph, sizes, &mut faults);
        faults.into_result().map(|()| programs)
    }

    /// As [`Programs::new`]; where something is wrong, not all is there.
    fn collect(description: &Description, graph: &Graph, sizes: Sizes<'_>, faults: &mut Faults) -> Self {
        let mut parameters = ParameterSet::collect(description, faults);
        let (mut shaders, mut uniforms) = (Vec::new(), Vec::new());
        let mut known: HashMap<PathBuf, Option<Arc<Shader>>> = HashMap::new();
        for node in &graph.passes {
            let Some(name) = &node.described else {
                shaders.push(None);
                uniforms.push(Vec::new());
                continue;
            };
            let pass = &description.passes[name.as_str()];
            if pass.shader_file().is_none() {
                let target = sizes.targets[shaders.len()];
                let shader = generated(description, name, node, target, sizes);
                shaders.push(faults.take(shader).flatten().map(Arc::new));
                uniforms.push(Vec::new());
                continue;
            }
            let shader = authored(description, name, pass, &mut known, &mut parameters, faults);
            let (shader, values) = shader.map_or((None, Vec::new()), |(shader, values)| (Some(shader), values));
            uniforms.push(values);
            shaders.push(shader);
        }
        for parameter in parameters.iter() {
            let is_used = |pass: &Pass| {
                let mut values = pass.uniforms.values();
                values.any(|value| matches!(value.get_ref(), Uniform::Parameter(name) if *name == parameter.name))
            };
            if !description.passes.values().any(is_used) {
                tracing::warn!(parameter = parameter.name, "no uniform refers to it");
            }
        }
        Self { shaders, uniforms, parameters }
    }
}

/// A checked pipeline.
pub struct Plan {
    /// Who feeds whom, as it is drawn.
    pub graph: Graph,
    /// Opened sources, as in the graph. A run takes them out.
    pub sources: Vec<Opened>,
    /// What the sources are.
    pub infos: Vec<Info>,
    /// What is done to the colours of each source before a shader has them.
    pub conversions: Vec<Option<Conversion>>,
    /// Which steps are taken.
    pub optimize: Optimize,
    /// Passes of the description that are in each pass of the graph, in the order in which they are computed.
    pub parts: Vec<Vec<String>>,
    /// Passes that were not fused with those that read them, and why.
    pub kept: Vec<(String, String)>,
    /// Target sizes, as the passes of the graph.
    pub sizes: Vec<Size>,
    /// Shaders, as the passes of the graph; `None` for a pass that only copies.
    pub shaders: Vec<Option<Arc<Shader>>>,
    /// Values of uniforms, as the passes of the graph.
    pub uniforms: Vec<Vec<Setting>>,
    /// Parameters with the values that they begin with.
    pub parameters: ParameterSet,
    /// What is said of compute shaders, by the pass.
    pub computes: BTreeMap<String, ComputeKeys>,
    /// Models, by the pass that draws each.
    pub models: BTreeMap<String, Arc<Model>>,
    /// What is said of them, by the pass.
    pub meshes: BTreeMap<String, MeshKeys>,
    /// Passes, as in the graph, that can be drawn four pixels a fragment; where the CPU draws.
    pub four_wide: Vec<bool>,
    /// Passes, as in the graph, whose alpha nobody reads; where the CPU draws it is not computed.
    pub unread_alpha: Vec<bool>,
    /// For each pass an earlier one whose texture it draws into, as nobody needs that picture any more.
    pub reused: Vec<Option<usize>>,
    /// Frames per second of the run.
    pub rate: Rate,
    /// First frame.
    pub start: u64,
    /// Frame after the last; `None` runs until it is stopped.
    pub end: Option<u64>,
    /// The frames between the two that are drawn.
    pub draw: FrameSet,
    /// The passes as they are described.
    described: Drawn,
    /// Passes that a driver does not take fused.
    apart: BTreeSet<String>,
    /// Passes that are not to be drawn four pixels a fragment.
    one_wide: BTreeSet<String>,
    /// What is drawn together is the same to the bit as what is drawn in parts: the CPU draws.
    is_exact: bool,
}

impl Plan {
    /// Checks `description` and opens its sources and shaders. `frames` overrides what it says of frames.
    ///
    /// # Errors
    /// `Config` and `Shader` with the place; those of the files.
    pub fn new(description: &Description, frames: Option<FrameRange>) -> Result<Self> {
        Self::new_until(description, frames, &Stop::default(), &[])
    }

    /// Looks at `description`, of which `faults` says what is wrong already: nothing is taken from streams and from other
    /// processes.
    ///
    /// # Errors
    /// As [`Plan::new`]: all that is wrong, the first with the others behind it.
    pub fn look(description: &Description, frames: Option<FrameRange>, faults: Faults) -> Result<Self> {
        Self::collect(description, frames, Opening::Look, &[], faults)
    }

    /// As [`Plan::new`]; streams are waited for until `stop` is set at most. `encoders` are taken before others, where a
    /// sink names none.
    ///
    /// # Errors
    /// As [`Plan::new`]; `Interrupted`.
    pub fn new_until(
        description: &Description,
        frames: Option<FrameRange>,
        stop: &Stop,
        encoders: &[String],
    ) -> Result<Self> {
        Self::collect(description, frames, Opening::Read(stop), encoders, Faults::default())
    }

    fn collect(
        description: &Description,
        frames: Option<FrameRange>,
        opening: Opening<'_>,
        encoders: &[String],
        mut faults: Faults,
    ) -> Result<Self> {
        let mut graph = Graph::collect(description, &mut faults);
        if !faults.is_empty() {
            return Err(the_rest(description, faults));
        }
        let mut sources = Vec::new();
        for name in &graph.sources {
            sources.extend(faults.take(open_source(description, name, opening)));
        }
        if !faults.is_empty() {
            return Err(the_rest(description, faults));
        }
        let source_sizes: Vec<Size> = sources.iter().map(|source| source.info().size).collect();
        let Some(sizes) = faults.take(graph.sizes(description, &source_sizes)) else {
            return Err(the_rest(description, faults));
        };
        let known = Sizes { sources: &source_sizes, targets: &sizes };
        let models = open_models(description, &graph, &sizes, &mut faults);
        let Programs { shaders, uniforms, parameters } = Programs::collect(description, &graph, known, &mut faults);
        let rate = description.rate.map(|rate| rate.0);
        let rate = rate.or_else(|| sources.iter().find_map(|source| source.info().rate)).unwrap_or(Rate::DEFAULT);
        let range = frames.or(description.frames.map(|frames| frames.0));
        let (start, end) = faults.take(bounds(range, &sources)).unwrap_or((0, None));
        for sink in &graph.sinks {
            let shape = shape(&graph, &sizes, sink.pass, rate, end.map(|end| end - start));
            faults.take(check_sink(description, &sink.plan, &shape));
        }
        if let Opening::Read(_) = opening {
            let devices = graph.sinks.iter_mut().filter_map(|sink| sink.plan.device.as_mut());
            devices.for_each(|device| device.prefer(encoders));
            lay_out_for_devices(
                description,
                &mut graph,
                |graph, pass| shape(graph, &sizes, pass, rate, end.map(|end| end - start)),
                &mut faults,
            );
        }
        faults.into_result()?;
        let infos = sources.iter().map(|source| source.info().clone()).collect();
        let conversions = sources.iter().map(Opened::conversion).collect();
        let mut plan = Self {
            graph: graph.clone(),
            sources,
            infos,
            conversions,
            optimize: description.optimize,
            parts: Vec::new(),
            kept: Vec::new(),
            sizes: Vec::new(),
            shaders: Vec::new(),
            uniforms: Vec::new(),
            four_wide: Vec::new(),
            unread_alpha: Vec::new(),
            reused: Vec::new(),
            computes: compute_keys(description),
            meshes: mesh_keys(description, &models),
            models,
            parameters,
            rate,
            start,
            end,
            draw: FrameSet::from_bounds(start, end),
            described: Drawn { graph, sizes, shaders, uniforms },
            apart: BTreeSet::new(),
            one_wide: BTreeSet::new(),
            is_exact: true,
        };
        plan.settle();
        Ok(plan)
    }

    /// Decides what is drawn together and how.
    fn settle(&mut self) {
        let fused = match self.optimize.has(Step::Fuse) {
            true => {
                let tolerance = (!self.is_exact).then_some(&self.parameters);
                fuse::fuse(&self.described, &self.infos, &self.apart, tolerance)
            }
            false => fuse::alone(&self.described, "the step \"fuse\" is off"),
        };
        Drawn { graph: self.graph, sizes: self.sizes, shaders: self.shaders, uniforms: self.uniforms } = fused.drawn;
        (self.parts, self.kept) = (fused.parts, fused.kept);
        let alpha = self.optimize.has(Step::Alpha);
        self.unread_alpha = (0..self.sizes.len()).map(|pass| alpha && self.is_alpha_unread(pass)).collect();
        self.settle_widths();
    }

    /// Decides how many pixels a fragment makes, and what can be drawn into the same textures then.
    fn settle_widths(&mut self) {
        self.four_wide = match self.optimize.has(Step::FourWide) {
            true => self.find_four_wide(&self.one_wide),
            false => vec![false; self.sizes.len()],
        };
        self.reused = match self.optimize.has(Step::Reuse) {
            true => reuse::reuse(&self.graph, &self.sizes, &self.four_wide),
            false => vec![None; self.sizes.len()],
        };
    }

    /// Decides what is drawn together for this driver: a GPU rounds between passes by rules of its own, and what cannot be
    /// shown to stay within one code is drawn in parts there. Indices of passes may change.
    pub fn settle_for(&mut self, software: bool) {
        if self.is_exact != software {
            self.is_exact = software;
            self.settle();
        }
    }

    /// Passes that are drawn with others where the CPU draws and by themselves on a GPU, and why.
    fn apart_on_gpus(&self) -> Vec<(String, String)> {
        if !self.optimize.has(Step::Fuse) {
            return Vec::new();
        }
        let kept = fuse::fuse(&self.described, &self.infos, &self.apart, Some(&self.parameters)).kept;
        kept.into_iter().filter(|(name, _)| !self.kept.iter().any(|(here, _)| here == name)).collect()
    }

    /// Draws the parts of a fused pass one by one, as a driver does not take them together. Other passes stay as they
    /// are; their indices may change. False where the pass is not fused.
    pub fn keep_apart(&mut self, pass: usize) -> bool {
        match self.parts.get(pass) {
            Some(parts) if parts.len() > 1 => {
                self.apart.extend(parts.iter().cloned());
                // Nobody has asked the driver whether it takes them so.
                self.one_wide.extend(parts.iter().cloned());
            }
            _ => return false,
        }
        self.settle();
        true
    }

    /// What the pictures of a pass are.
    pub fn shape(&self, pass: usize) -> Shape {
        shape(&self.graph, &self.sizes, pass, self.rate, self.end.map(|end| end - self.start))
    }

    /// Whether what a pass leaves in the alpha of its target is seen by nobody.
    fn is_alpha_unread(&self, pass: usize) -> bool {
        let (node, shader) = (&self.graph.passes[pass], self.shaders[pass].as_deref());
        let is_pixel = shader.is_some_and(|shader| shader.entry == Entry::Pixel);
        // Of a fused pass the last part is what the target gets.
        let described = self.described.graph.passes.iter().position(|described| described.name == node.name);
        let of = |described| alpha::is_unread(&self.described, &self.infos, &self.parameters, described);
        is_pixel && node.is_plain() && described.is_some_and(of)
    }

    /// Whether every read of an input, which has the size of the target, is known to be at the middle of a pixel.
    /// Uniforms that a parameter may change are not known.
    pub fn reads_middles(&self, pass: usize, input: &str) -> bool {
        if !self.graph.passes[pass].is_full_screen() {
            return false;
        }
        let Some(shader) = self.shaders[pass].as_deref() else { return true };
        // Without the step, 16 bits may be all that a coordinate has.
        let exact = self.optimize.has(Step::Precision) || !["mediump", "lowp"].iter().any(|p| shader.text.contains(p));
        self.optimize.has(Step::Nearest) && exact && self.reads(pass, input, &shader.text).is_some()
    }

    /// Every read of an input that has the size of the target, where all are known to be at the middle of a pixel.
    fn reads(&self, pass: usize, input: &str, text: &str) -> Option<Vec<texels::Read>> {
        texels::reads(text, input, |name| {
            let setting = self.uniforms[pass].iter().find(|setting| setting.uniform.name == name)?;
            let is_whole = setting.parameter.is_none() && setting.numbers.iter().all(|number| number.fract() == 0.0);
            is_whole.then(|| setting.numbers.clone())
        })
    }

    /// What is done to the colours of what feeds an edge.
    pub fn conversion(&self, feed: Feed) -> Option<Conversion> {
        match feed {
            Feed::Source(source) => self.conversions[source],
            Feed::Pass(_) | Feed::Previous(_) => None,
        }
    }

    /// The size of what feeds an edge.
    pub fn feed_size(&self, feed: Feed) -> Size {
        match feed {
            Feed::Source(index) => self.infos[index].size,
            Feed::Pass(index) | Feed::Previous(index) => self.sizes[index],
        }
    }
}

fn compute_keys(description: &Description) -> BTreeMap<String, ComputeKeys> {
    let passes = description.passes.iter();
    let keys = passes.filter_map(|(name, pass)| Some((name, pass.compute.as_ref()?.get_ref().0.clone())));
    keys.map(|(name, keys)| (name.get_ref().clone(), keys)).collect()
}

/// What the pictures of a pass are.
fn shape(graph: &Graph, sizes: &[Size], pass: usize, rate: Rate, frames: Option<u64>) -> Shape {
    Shape {
        size: sizes[pass],
        fourcc: graph.passes[pass].fourcc,
        color: graph.passes[pass].color(sizes[pass]),
        rate,
        frames,
        held: graph.held(pass),
        layout: graph.passes[pass].layout,
    }
}

/// Has passes draw into memory that lies as the devices want it which take their pictures.
fn lay_out_for_devices(
    description: &Description,
    graph: &mut Graph,
    shape: impl Fn(&Graph, usize) -> Shape,
    faults: &mut Faults,
) {
    for index in 0..graph.sinks.len() {
        let (pass, plan) = (graph.sinks[index].pass, &graph.sinks[index].plan);
        #[cfg(feature = "kms")]
        if let Some(display) = &plan.display
            && let Some(joined) = faults.take(graph.passes[pass].layout.join(display.constraints()))
        {
            graph.passes[pass].layout = joined;
            continue;
        }
        if plan.elements.is_some()
            && let Some(joined) = faults.take(graph.passes[pass].layout.join(super::sink::gstreamer::CONSTRAINTS))
        {
            graph.passes[pass].layout = joined;
            continue;
        }
        let Some(device) = &plan.device else { continue };
        let wanted = device.check_controls().and_then(|()| device.constraints(&shape(graph, pass)));
        let joined = wanted.and_then(|wanted| graph.passes[pass].layout.join(wanted));
        let name = plan.name.as_str();
        let placed = joined.map_err(|wrong| Device::place(description, name, &description.sinks[name], &wrong));
        if let Some(joined) = faults.take(placed) {
            graph.passes[pass].layout = joined;
        }
    }
}

/// First frame and the one after the last: the range, cut where the first source ends.
fn bounds(range: Option<FrameRange>, sources: &[Opened]) -> Result<(u64, Option<u64>)> {
    let (start, wanted) = range.map_or((0, None), |range| (range.start, range.end));
    let shortest = sources.iter().filter_map(|source| source.info().frames.map(|frames| (frames, source.name()))).min();
    if let Some((frames, name)) = shortest {
        if start >= frames {
            let detail = format!("{start}..: source \"{name}\" has {frames} frames");
            return Err(Error::new(ErrorKind::Config, "frames", detail));
        }
        return Ok((start, Some(wanted.map_or(frames, |end| end.min(frames)))));
    }
    let moving = sources.iter().any(|source| !source.info().still);
    // Without anything that moves by itself one frame is the whole of it.
    Ok((start, wanted.or(if moving { None } else { start.checked_add(1) })))
}

/// The shader of a pass without one of its own.
fn generated(
    description: &Description,
    name: &str,
    node: &PassNode,
    target: Size,
    sizes: Sizes<'_>,
) -> Result<Option<Shader>> {
    let pass = &description.passes[name];
    let [(base, _), (top, feed)] = node.inputs.as_slice() else { return Ok(None) };
    let names = [base.as_str(), top.as_str()];
    if let Some(overlay) = &pass.overlay {
        let shader = composite::overlay(overlay.get_ref(), names, target, sizes.of(*feed));
        return shader.map(Some).map_err(|error| {
            let detail = format!("scale: {}", error.detail());
            description.error(format!("pass.{name}.overlay"), detail, overlay.span())
        });
    }
    pass.blend.as_ref().map(|blend| composite::blend(blend.get_ref().0, names)).transpose()
}
