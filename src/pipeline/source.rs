//! Where pictures come from: files and patterns behind one trait.
//!
//! In: a [`Source`] of the description. Out: an [`Opened`] source that says what its pictures are and fills mapped buffers.
//! Not here: buffers and threads (`runner`), what the numbers mean to a shader (`gles::yuv`).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::board::AllocatorKind;
use crate::buffer::Map;
use crate::color::{Color, Conversion, Primaries, Transfer};
use crate::device::Device;
use crate::error::Result;
use crate::format::Fourcc;
use crate::layout::{Layout, Size};

use super::description::{Convert, Description, Pace, Rate, Source};

pub mod cube;
mod decoder;
#[cfg(feature = "gstreamer")]
mod gstreamer;
pub mod image;
pub(in crate::pipeline) mod input;
mod keys;
mod lent;
pub mod pace;
pub mod pattern;
#[cfg(feature = "pipewire")]
mod pipewire;
mod process;
pub mod raw;
mod unixfd;
pub mod unpack;
mod unread;
mod v4l2;
pub mod y4m;

pub(crate) use input::{Input, Rows};
pub use input::{is_stdin, is_stream};
pub use lent::{Lease, Lent};
use pace::Pacer;
use unpack::Unpacking;

/// How often whoever waits for others looks whether the run is to end.
pub(super) const BRIEF: Duration = Duration::from_millis(100);

/// Set to true, nobody waits for a stream any more: reads that have to fail with `Interrupted`.
pub type Stop = Arc<AtomicBool>;

/// How far a source is opened.
#[derive(Clone, Copy, Debug)]
pub enum Opening<'a> {
    /// To be read; streams are waited for until this is set at most.
    Read(&'a Stop),
    /// To be looked at: nothing is taken from a stream or from another process.
    Look,
}

/// What a source's pictures are.
#[derive(Clone, Debug)]
pub struct Info {
    /// Size of every picture.
    pub size: Size,
    /// Format of every picture.
    pub fourcc: Fourcc,
    /// What the numbers mean.
    pub color: Color,
    /// Frames per second, where there is such a thing.
    pub rate: Option<Rate>,
    /// How many pictures; `None` for no end.
    pub frames: Option<u64>,
    /// Every picture is the same: it is read once.
    pub still: bool,
}

/// When and as which a picture was made, by whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Counts pictures, those that were lost too.
    pub sequence: u64,
    /// From the first picture.
    pub timestamp_ns: u64,
    /// Of the pictures that were lost right before: those for which the device had no buffer.
    pub starved: u64,
}

/// Reads pictures into mapped buffers.
pub trait Reader: Send {
    /// What the pictures are.
    fn info(&self) -> &Info;

    /// Fills every plane of `into`, which has this reader's size and format, with picture `index`.
    /// `false` where the stream ended before it. Indices mostly rise by one; any order works.
    ///
    /// # Errors
    /// `InvalidInput` with the byte position where the file is malformed or ends inside a picture.
    fn read(&mut self, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool>;

    /// Waits up to `timeout` until [`Reader::read`] has something to say; `false` where it has not.
    ///
    /// # Errors
    /// As [`Reader::read`].
    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        let _ = timeout;
        Ok(true)
    }

    /// Pictures lie in memory that the GPU may be able to sample: [`Reader::lend`] gives them.
    fn lends(&self) -> bool {
        false
    }

    /// The next picture where it lies, instead of [`Reader::read`]; `None` where the stream has ended.
    ///
    /// # Errors
    /// As [`Reader::read`].
    fn lend(&mut self) -> Result<Option<Lent>> {
        Ok(None)
    }

    /// What is done to the pictures, and what is to be known of them; for reports.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Why pixels are copied that are in memory already, where they are.
    fn copies(&self) -> Option<&'static str> {
        None
    }

    /// The pictures' colours are said, not guessed.
    fn says_color(&self) -> bool {
        false
    }

    /// Pictures are written into memory that [`Reader::prepare`] makes, of a kind that the GPU can read.
    fn takes_memory(&self) -> bool {
        false
    }

    /// Called once before the first picture, where pictures are going to be read: a device begins here. `kinds` is whose
    /// memory the GPU reads, best first.
    ///
    /// # Errors
    /// As [`Reader::read`].
    fn prepare(&mut self, device: &Device, kinds: &[AllocatorKind]) -> Result<()> {
        let _ = (device, kinds);
        Ok(())
    }

    /// Pictures come by themselves, whether they are read or not: those from before the run are not wanted.
    fn is_live(&self) -> bool {
        false
    }

    /// The run begins: the next picture is the first one of it. Only called where [`Reader::is_live`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    /// Of the picture that was read or lent last, where its maker says it.
    fn stamp(&self) -> Option<Stamp> {
        None
    }

    /// Why there are no more pictures, where that was not to be expected.
    fn ended(&self) -> Option<String> {
        None
    }
}

/// An open source with its range and looping.
pub struct Opened {
    name: String,
    reader: Box<dyn Reader>,
    info: Info,
    start: u64,
    /// Pictures in the range; `None` for no end.
    count: Option<u64>,
    looping: bool,
    convert: Option<Conversion>,
    notes: Vec<String>,
    unpacking: Option<Unpacking>,
    is_paced: bool,
}

impl Opened {
    /// Opens what `source`, named `name` in `description`, describes. Reads headers; pictures of image files whole.
    ///
    /// # Errors
    /// `Config` for keys that do not fit together; those of the file.
    pub fn open(description: &Description, name: &str, source: &Source) -> Result<Self> {
        Self::open_until(description, name, source, &Stop::default())
    }

    /// As [`Opened::open`]; it and what is read later wait for a stream until `stop` is set at most.
    ///
    /// # Errors
    /// As [`Opened::open`]; `Interrupted`.
    pub fn open_until(description: &Description, name: &str, source: &Source, stop: &Stop) -> Result<Self> {
        Self::with(description, name, source, Opening::Read(stop))
    }

    /// As [`Opened::open`], as far as `opening` says.
    ///
    /// # Errors
    /// As [`Opened::open_until`].
    pub fn with(description: &Description, name: &str, source: &Source, opening: Opening<'_>) -> Result<Self> {
        let reader = keys::reader(description, name, source, opening)?;
        let mut info = reader.info().clone();
        info.rate = source.rate.map(|rate| rate.0).or(info.rate);
        let is_yuv = info.fourcc.format()?.is_yuv();
        if is_yuv || source.color.transfer.is_some() || source.color.primaries.is_some() {
            info.color = source.color.over(info.color);
        }
        let mut notes = reader.notes();
        if is_yuv && source.color.matrix.is_none() && !reader.says_color() {
            let matrix = info.color.matrix;
            notes.push(format!("matrix {matrix} guessed from {}: color.matrix says it", info.size));
        }
        if source.color.primaries.is_none() {
            info.color.primaries = info.color.usual_primaries(source.color.matrix);
        }
        let default = if info.color.transfer.is_hdr() { Convert::Srgb } else { Convert::None };
        let to = match source.convert.unwrap_or(default) {
            Convert::None => None,
            Convert::Srgb => Some(Transfer::Srgb),
            Convert::Bt709 => Some(Transfer::Bt709),
            Convert::Linear => Some(Transfer::Linear),
        };
        let from = (info.color.transfer, info.color.primaries);
        let convert = to.and_then(|to| Conversion::new(from, (to, Primaries::Bt709)));
        if let Some(Conversion { from, to }) = convert {
            let words = |(transfer, primaries): (Transfer, Primaries)| format!("{transfer} of {primaries}");
            notes.push(format!("colours converted from {} to {}", words(from), words(to)));
        }
        let (start, end) = source.range.map_or((0, None), |range| (range.0.start, range.0.end));
        if let (Some(frames), false) = (info.frames.filter(|frames| start >= *frames), info.still) {
            let end = end.map_or(String::new(), |end| end.to_string());
            let detail = format!("{start}..{end}: the file has {frames} frames");
            return Err(description.error(format!("source.{name}.range"), detail, name_span(description, name)));
        }
        let limit = end.map(|end| end - start);
        let inside = info.frames.map(|frames| frames.saturating_sub(start));
        let count = match (limit, inside) {
            (Some(limit), Some(inside)) => Some(limit.min(inside)),
            (limit, inside) => limit.or(inside),
        };
        info.frames = if source.r#loop || info.still { None } else { count };
        let is_paced = match &source.pace {
            Some(pace) if info.still => {
                let detail = "one picture is held for the whole run: it has no pace";
                return Err(description.error(format!("source.{name}.pace"), detail, pace.span()));
            }
            pace => pace.as_ref().is_some_and(|pace| *pace.get_ref() == Pace::Realtime),
        };
        let (name, looping) = (name.to_owned(), source.r#loop);
        Ok(Self { name, reader, info, start, count, looping, convert, notes, unpacking: None, is_paced })
    }

    /// What is done to the colours before a shader has them.
    pub fn conversion(&self) -> Option<Conversion> {
        self.convert
    }

    /// What says when each picture is due, where the source is paced: by its own rate, else that of the run.
    pub fn pacer(&self, run: Rate) -> Option<Pacer> {
        self.is_paced.then(|| Pacer::new(self.info.rate.unwrap_or(run)))
    }

    /// What was guessed or is done to the pictures, for reports.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// From now on pictures are read as `fourcc`, into which the CPU unpacks them.
    ///
    /// # Errors
    /// `Unsupported` where it cannot; as [`Buffer::from_fds`](crate::buffer::Buffer::from_fds).
    pub fn unpack_as(&mut self, device: &Device, fourcc: Fourcc) -> Result<()> {
        self.unpacking = Some(Unpacking::new(device, &self.info, fourcc)?);
        self.notes.push(format!("{} unpacked as {fourcc} while it is read", self.info.fourcc));
        self.info.fourcc = fourcc;
        Ok(())
    }

    /// The name in the pipeline file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the pictures are; `frames` counts those of the range, and is `None` where the source loops or holds still.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// As [`Reader::ready`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn ready(&mut self, timeout: Duration) -> Result<bool> {
        self.reader.ready(timeout).map_err(|error| error.in_context(format!("source \"{}\"", self.name)))
    }

    /// As [`Reader::lends`]; not where the CPU has to unpack what comes.
    pub fn lends(&self) -> bool {
        self.unpacking.is_none() && self.reader.lends()
    }

    /// As [`Reader::lend`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn lend(&mut self) -> Result<Option<Lent>> {
        self.reader.lend().map_err(|error| error.in_context(format!("source \"{}\"", self.name)))
    }

    /// As [`Reader::takes_memory`].
    pub fn takes_memory(&self) -> bool {
        self.reader.takes_memory()
    }

    /// As [`Reader::prepare`].
    ///
    /// # Errors
    /// As [`Reader::prepare`].
    pub fn prepare(&mut self, device: &Device, kinds: &[AllocatorKind]) -> Result<()> {
        self.reader.prepare(device, kinds).map_err(|error| error.in_context(format!("source \"{}\"", self.name)))
    }

    /// As [`Reader::is_live`].
    pub fn is_live(&self) -> bool {
        self.reader.is_live()
    }

    /// As [`Reader::begin`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn begin(&mut self) -> Result<()> {
        self.reader.begin().map_err(|error| error.in_context(format!("source \"{}\"", self.name)))
    }

    /// As [`Reader::stamp`].
    pub fn stamp(&self) -> Option<Stamp> {
        self.reader.stamp()
    }

    /// As [`Reader::ended`].
    pub fn ended(&self) -> Option<String> {
        self.reader.ended()
    }

    /// As [`Reader::copies`].
    pub fn copies(&self) -> Option<&'static str> {
        self.reader.copies()
    }

    /// Fills `into`, the mapping of a buffer of `layout`, with the picture for frame `frame` of the run.
    /// `false` at the end.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read(&mut self, frame: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        let index = match self.count {
            _ if self.info.still => 0,
            Some(0) => return Ok(false),
            Some(count) if self.looping => self.start + frame % count,
            Some(count) if frame >= count => return Ok(false),
            _ => self.start.saturating_add(frame),
        };
        let read = match &mut self.unpacking {
            Some(unpacking) => unpacking.read(self.reader.as_mut(), index, layout, into),
            None => self.reader.read(index, layout, into),
        };
        read.map_err(|error| error.in_context(format!("source \"{}\"", self.name)))
    }
}

/// Where a source's name stands in the text.
fn name_span(description: &Description, name: &str) -> Range<usize> {
    description.sources.get_key_value(name).map_or(0..0, |(name, _)| name.span())
}
