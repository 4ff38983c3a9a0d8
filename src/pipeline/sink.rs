//! Where pictures go: files, streams, nowhere, behind one trait.
//!
//! In: a [`Sink`](description::Sink) of the description and what its pictures are. Out: a [`Writer`] that takes mapped pictures.
//! Not here: buffers, fences and threads (`runner`), how a file becomes whole (`output`).

use std::any::Any;
use std::path::{Path, PathBuf};

use crate::buffer::{Buffer, Map};
use crate::color::Color;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::format::{Format, Fourcc};
use crate::layout::{Constraints, Layout, Size};
use crate::share::unixfd::Caps;

use super::description::{self, Description, Rate, SinkKind, WhenFull};

pub mod apng;
pub mod gstreamer;
pub mod journal;
#[cfg(feature = "kms")]
pub mod kms;
pub mod mux;
pub mod output;
pub mod pipewire;
mod pixels;
pub mod raw;
mod shared;
pub mod stills;
pub mod unixfd;
pub mod v4l2;
pub mod y4m;

pub use journal::Journal;
use shared::SharedKeys;
pub(super) use shared::patience;
use stills::{Encoding, StillsWriter};

/// Pictures that may wait where the description says nothing.
const DEFAULT_QUEUE: usize = 3;
/// Each holds a buffer.
const MAX_QUEUE: usize = 64;
/// Of JPEG files.
const DEFAULT_QUALITY: u8 = 90;

/// What a sink's pictures are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Size of every picture.
    pub size: Size,
    /// Format of every picture.
    pub fourcc: Fourcc,
    /// What the numbers mean.
    pub color: Color,
    /// Pictures per second.
    pub rate: Rate,
    /// How many pictures will come, where it is known.
    pub frames: Option<u64>,
    /// Buffers that sinks may hold while everybody else goes on.
    pub held: usize,
    /// What is wanted of their memory.
    pub layout: Constraints,
}

/// One picture in mapped memory.
pub struct Picture<'a> {
    /// Where its planes lie.
    pub layout: &'a Layout,
    /// The memory.
    pub map: &'a Map<'a>,
    /// The frame's number in the run.
    pub frame: u64,
}

/// One picture as memory, for whoever hands it on.
pub struct Handover {
    /// The frame's number in the run.
    pub frame: u64,
    /// The memory.
    pub buffer: Buffer,
    /// Wait for it before reading.
    pub fence: Option<Fence>,
    /// When its source's picture was made, from the first one's time, where that is known.
    pub captured_ns: Option<u64>,
    /// Keep it as long as anybody reads the memory.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// What a sink has written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Pictures.
    pub pictures: u64,
    /// Bytes in files and streams.
    pub bytes: u64,
}

/// Takes pictures one after the other.
pub trait Writer: Send {
    /// Writes one picture.
    ///
    /// # Errors
    /// Those of the file, which the error names; `PeerClosed` where a pipe's reader went away.
    fn write(&mut self, picture: &Picture<'_>) -> Result<()>;

    /// This sink hands the memory on: pictures come by [`Writer::take`], and are not mapped for it.
    fn takes_memory(&self) -> bool {
        false
    }

    /// Pictures will come in these memories and no others; said once, before the first.
    ///
    /// # Errors
    /// Those of the sink.
    fn expect_memories(&mut self, memories: &[Buffer]) -> Result<()> {
        let _ = memories;
        Ok(())
    }

    /// Takes a picture with its memory.
    ///
    /// # Errors
    /// Those of the sink.
    fn take(&mut self, handover: Handover) -> Result<()> {
        drop(handover);
        Err(Error::failed("sink", "this sink takes pixels, not memory"))
    }

    /// Fails where this sink would copy pictures that came as memory, now or later.
    ///
    /// # Errors
    /// `Unsupported` with the reason.
    fn require_zero_copy(&mut self) -> Result<()> {
        Ok(())
    }

    /// What is to be known of how pictures went, for reports; asked at the end.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// No picture will come any more: a stream ends here, so that its reader need not wait for slower sinks. A file stays
    /// as it is until every sink has written everything.
    ///
    /// # Errors
    /// Those of the stream.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }

    /// Makes what was written whole: until this, files are under a temporary name.
    ///
    /// # Errors
    /// Those of the file.
    fn finish(&mut self) -> Result<Written>;
}

/// What a sink is, found out from its keys.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name in the pipeline file.
    pub name: String,
    /// What is written.
    pub kind: SinkKind,
    /// Where to; none for `null`.
    pub file: Option<PathBuf>,
    /// Takes every so many frames.
    pub every: u64,
    /// What happens when more than `queue` pictures would wait.
    pub when_full: WhenFull,
    /// How many pictures may wait.
    pub queue: usize,
    /// JPEG: 1 to 100.
    pub quality: u8,
    /// Told of every picture that is whole on disk.
    pub journal: Journal,
    /// Kind `unixfd`: how frames are served.
    pub share: Option<unixfd::Share>,
    /// Kinds `v4l2` and `v4l2-encoder`: the device.
    pub device: Option<v4l2::Device>,
    /// Kind `kms`: the screen.
    #[cfg(feature = "kms")]
    pub display: Option<kms::Display>,
    /// Kind `pipewire`: the node.
    pub node: Option<pipewire::Node>,
    /// Kind `gstreamer`: the elements.
    pub elements: Option<gstreamer::Elements>,
    color: description::ColorKeys,
}

impl Plan {
    /// Reads the keys of sink `name`.
    ///
    /// # Errors
    /// `Config`: keys that do not fit together.
    pub fn new(description: &Description, name: &str, sink: &description::Sink) -> Result<Self> {
        let key = |key: &str| format!("sink.{name}.{key}");
        let place = description.sinks.get_key_value(name).map_or(0..0, |(name, _)| name.span());
        let file = sink.file.as_ref();
        let kind = match (&sink.kind, file) {
            (Some(kind), _) => *kind.get_ref(),
            (None, None) => {
                let error = description.error(format!("sink.{name}"), "neither `file` nor `kind` is given", place);
                return Err(error.with_hint("add file = \"out/%04d.png\", or kind = \"null\" to write nothing"));
            }
            (None, Some(file)) => kind_of(file.get_ref()).ok_or_else(|| {
                let detail = format!("\"{}\" does not say what is written", file.get_ref().display());
                description.error(key("file"), detail, file.span()).with_hint(
                    "use the extension .png, .jpg, .apng, .y4m or .rgba, or add kind = \"png\", \"y4m\" or \"raw\"",
                )
            })?,
        };
        SharedKeys { description, name, sink }.check_kind(kind)?;
        let (mut share, mut node, mut elements) = (None, None, None);
        match kind {
            SinkKind::Unixfd => share = Some(unixfd::Share::new(description, name, sink)?),
            SinkKind::Pipewire => node = Some(pipewire::Node::new(description, name, sink)?),
            SinkKind::Gstreamer => elements = Some(gstreamer::Elements::new(description, name, sink)?),
            _ => {}
        }
        let device = v4l2::Device::new(description, name, sink, kind)?;
        match (kind, file) {
            (SinkKind::V4l2, Some(file)) => {
                return Err(description.error(key("file"), "a video output writes no file", file.span()));
            }
            (SinkKind::V4l2, None) => {}
            (SinkKind::Kms, Some(file)) => {
                return Err(description.error(key("file"), "a screen writes no file", file.span()));
            }
            #[cfg(not(feature = "kms"))]
            (SinkKind::Kms, None) => {
                let place = sink.kind.as_ref().map_or(place, |kind| kind.span());
                return Err(description.error(key("kind"), "built without the cargo feature `kms`", place));
            }
            #[cfg(feature = "kms")]
            (SinkKind::Kms, None) => {}
            (SinkKind::Unixfd | SinkKind::Pipewire, Some(file)) => {
                let kind = if kind == SinkKind::Unixfd { "unixfd" } else { "pipewire" };
                return Err(description.error(key("file"), format!("a {kind} sink writes no file"), file.span()));
            }
            (SinkKind::Gstreamer, Some(file)) => {
                let error = description.error(key("file"), "the pipeline's own elements write files", file.span());
                return Err(error.with_hint("end the text with filesink location=…"));
            }
            (SinkKind::Unixfd | SinkKind::Pipewire | SinkKind::Gstreamer, None) => {}
            (SinkKind::Null, Some(file)) => {
                return Err(description.error(key("file"), "a null sink writes no file", file.span()));
            }
            (SinkKind::Null, None) => {}
            (_, None) => {
                let error = description.error(key("file"), "missing: this kind writes a file", place);
                return Err(error.with_hint("`-` is standard output"));
            }
            (_, Some(file)) => {
                output::Pattern::parse(file.get_ref())
                    .map_err(|detail| description.error(key("file"), detail, file.span()))?;
            }
        }
        let every = sink.every.as_ref().map_or(1, |every| *every.get_ref());
        if let Some(given) = &sink.every
            && every == 0
        {
            return Err(description.error(key("every"), "0: every frame is 1", given.span()));
        }
        let queue = match &sink.queue {
            None => DEFAULT_QUEUE,
            Some(given) => match usize::try_from(*given.get_ref()) {
                Ok(pictures @ 1..=MAX_QUEUE) => pictures,
                _ => {
                    let detail = format!("{given}: 1 to {MAX_QUEUE} pictures may wait");
                    return Err(description.error(key("queue"), detail, given.span()));
                }
            },
        };
        let file = file.map(|file| file.get_ref().clone());
        let quality = match &sink.quality {
            None => DEFAULT_QUALITY,
            Some(given) if kind != SinkKind::Jpeg => {
                return Err(description.error(key("quality"), "this key is for JPEG files", given.span()));
            }
            Some(given) => match u8::try_from(*given.get_ref()) {
                Ok(quality @ 1..=100) => quality,
                _ => return Err(description.error(key("quality"), format!("{given}: 1 to 100"), given.span())),
            },
        };
        let when_full = sink.when_full.as_ref().map_or(WhenFull::Block, |given| *given.get_ref());
        let journal = Journal::default();
        let color = sink.color;
        #[cfg(feature = "kms")]
        let display = (kind == SinkKind::Kms).then(|| kms::Display::new(sink));
        Ok(Self {
            name: name.to_owned(),
            kind,
            file,
            every,
            when_full,
            queue,
            quality,
            journal,
            share,
            node,
            elements,
            device,
            #[cfg(feature = "kms")]
            display,
            color,
        })
    }

    /// How many buffers this sink may hold, without which everybody else must still have enough.
    pub fn holds(&self) -> usize {
        let clients = self.share.as_ref().map_or(0, unixfd::Share::holds)
            + self.node.as_ref().map_or(0, pipewire::Node::holds)
            + self.elements.as_ref().map_or(0, gstreamer::Elements::holds);
        clients
            + match self.when_full {
                // The run waits for this sink anyway: what it may fall behind is what the circle gives, or was asked for.
                WhenFull::Block => self.queue - DEFAULT_QUEUE.min(self.queue),
                // Those that wait, and the one being written.
                WhenFull::DropOldest | WhenFull::DropNewest => self.queue + 1,
            }
    }

    /// The sink takes this frame.
    pub fn wants(&self, frame: u64) -> bool {
        frame.is_multiple_of(self.every) && self.journal.wants(frame)
    }

    /// Fails unless pictures of `shape` can be written.
    ///
    /// # Errors
    /// `Unsupported`: a format that this kind does not write. `InvalidInput`: several pictures for one PNG or JPEG file.
    pub fn check(&self, shape: &Shape) -> Result<()> {
        let format = shape.fourcc.format()?;
        match self.kind {
            // PipeWire has no names for some of these either, which it says itself.
            SinkKind::Unixfd | SinkKind::Pipewire | SinkKind::Gstreamer => {
                Caps::linear(shape.fourcc, shape.size).check()?
            }
            SinkKind::Png | SinkKind::Jpeg | SinkKind::Apng if format.is_yuv() => {
                let detail = format!("{}: PNG and JPEG files are RGB", format.name);
                return Err(Error::unsupported("format", detail)
                    .with_hint("read a pass without `format`, which is RGB; y4m and raw files take YUV"));
            }
            SinkKind::Y4m if format.is_yuv() => {
                y4m::planes::check(shape.fourcc, shape.color)?;
                let said = self.color.over(shape.color);
                if said != shape.color {
                    let detail = format!("the pass makes {} with colours of its own", format.name);
                    return Err(Error::invalid("color", detail).with_hint("move `color` from the sink to the pass"));
                }
            }
            SinkKind::Png | SinkKind::Jpeg | SinkKind::Apng | SinkKind::Y4m => {
                Picker::new(format)?;
            }
            _ => {}
        }
        if self.kind == SinkKind::Y4m && !format.is_yuv() {
            y4m::check(self.y4m_color(shape.size))?;
        }
        if let (SinkKind::Png | SinkKind::Jpeg, Some(file)) = (self.kind, &self.file) {
            let pattern = output::Pattern::parse(file).map_err(|detail| Error::invalid("file", detail))?;
            if !pattern.is_numbered() && shape.frames.is_some_and(|frames| frames.div_ceil(self.every) > 1) {
                let detail = format!(
                    "\"{}\": {} pictures for one file",
                    file.display(),
                    shape.frames.unwrap_or(0).div_ceil(self.every)
                );
                return Err(Error::invalid("file", detail).with_hint("put %04d into the name, or take one frame"));
            }
        }
        Ok(())
    }

    /// Opens the sink for pictures of `shape`, which come as `delivered` where they were read back; makes missing
    /// folders.
    ///
    /// # Errors
    /// As [`Plan::check`]; those of the file.
    pub fn open(&self, shape: &Shape, delivered: Fourcc) -> Result<Box<dyn Writer>> {
        self.check(shape)?;
        let picker = || Picker::new(delivered.format()?);
        let file = self.file.clone().unwrap_or_default();
        let journal = self.journal.clone();
        Ok(match self.kind {
            SinkKind::Null => Box::new(Null(Written::default())),
            SinkKind::Unixfd => match &self.share {
                Some(share) => share.open(shape)?,
                None => return Err(Error::failed("unixfd", "a sink without its keys")),
            },
            #[cfg(feature = "kms")]
            SinkKind::Kms => match &self.display {
                Some(display) => display.open(shape)?,
                None => return Err(Error::failed("kms", "a sink without its keys")),
            },
            #[cfg(not(feature = "kms"))]
            SinkKind::Kms => return Err(Error::unsupported("kms", "built without the cargo feature `kms`")),
            SinkKind::V4l2 | SinkKind::V4l2Encoder => match &self.device {
                Some(device) => device.open(shape, &file)?,
                None => return Err(Error::failed("v4l2", "a sink without its keys")),
            },
            SinkKind::Pipewire => match &self.node {
                Some(node) => node.open(shape)?,
                None => return Err(Error::failed("pipewire", "a sink without its keys")),
            },
            SinkKind::Gstreamer => match &self.elements {
                Some(elements) => elements.open(shape)?,
                None => return Err(Error::failed("gstreamer", "a sink without its keys")),
            },
            SinkKind::Raw => Box::new(raw::RawWriter::create(&file, shape.fourcc, delivered, journal)?),
            SinkKind::Png => Box::new(StillsWriter::create(&file, Encoding::Png, picker()?, journal)?),
            SinkKind::Jpeg => Box::new(StillsWriter::create(&file, Encoding::Jpeg(self.quality), picker()?, journal)?),
            SinkKind::Apng => Box::new(apng::ApngWriter::create(&file, shape.size, shape.rate, picker()?)?),
            SinkKind::Y4m if shape.fourcc.format()?.is_yuv() => {
                Box::new(y4m::planes::PlanesWriter::create(&file, shape, journal)?)
            }
            SinkKind::Y4m => {
                let color = self.y4m_color(shape.size);
                Box::new(y4m::Y4mWriter::create(&file, shape.size, shape.rate, color, picker()?, journal)?)
            }
        })
    }

    /// An error of opening the sink, with the place of the key that it is about.
    pub(super) fn explain(&self, description: &Description, error: Error) -> Error {
        #[cfg(feature = "kms")]
        if self.display.is_some() {
            return kms::place(description, &self.name, &error);
        }
        if self.elements.is_some() {
            return gstreamer::Elements::place(description, &self.name, &error);
        }
        match (&self.device, description.sinks.get(self.name.as_str())) {
            (Some(_), Some(sink)) if matches!(error.op(), "format" | "device" | "codec" | "output") => {
                v4l2::Device::place(description, &self.name, sink, &error)
            }
            _ => error.in_context(format!("sink \"{}\"", self.name)),
        }
    }

    fn y4m_color(&self, size: Size) -> Color {
        self.color.over(Color::guess(size))
    }
}

/// What is written, by the file's extension.
fn kind_of(path: &Path) -> Option<SinkKind> {
    if path == Path::new("/dev/null") {
        return Some(SinkKind::Raw);
    }
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => Some(SinkKind::Png),
        "jpg" | "jpeg" => Some(SinkKind::Jpeg),
        "apng" => Some(SinkKind::Apng),
        "y4m" => Some(SinkKind::Y4m),
        "raw" | "rgba" | "bgra" | "rgb" | "bin" => Some(SinkKind::Raw),
        _ => None,
    }
}

/// Writes nothing.
struct Null(Written);

impl Writer for Null {
    fn write(&mut self, _picture: &Picture<'_>) -> Result<()> {
        self.0.pictures += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        Ok(self.0)
    }
}

/// Where R, G, B, A lie in the bytes of a pixel of an 8-bit RGB format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picker {
    pixel_bytes: usize,
    /// Byte of each component; `None` where there is none: colours read as 0, alpha as 255.
    at: [Option<usize>; 4],
    gray: bool,
}

impl Picker {
    /// The bytes of `format`.
    ///
    /// # Errors
    /// `Unsupported` where it is not 8-bit RGB.
    pub fn new(format: &Format) -> Result<Self> {
        let unsupported = || {
            Error::unsupported("format", format!("{}: this sink takes 8-bit RGB formats only", format.name))
                .with_hint("give the pass format = \"ABGR8888\", or write raw")
        };
        let twin = format.gl.ok_or_else(unsupported)?;
        if format.component_bits != 8 || format.is_yuv() {
            return Err(unsupported());
        }
        let mut at = [None; 4];
        for (slot, letter) in at.iter_mut().zip(twin.swizzle.chars()) {
            *slot = "rgba".find(letter);
        }
        Ok(Self { pixel_bytes: format.planes[0].block_bytes as usize, at, gray: format.planes[0].block_bytes == 1 })
    }

    /// Bytes of a pixel.
    pub fn pixel_bytes(&self) -> usize {
        self.pixel_bytes
    }

    /// One component, which is red.
    pub fn is_gray(&self) -> bool {
        self.gray
    }

    /// There is an alpha component.
    pub fn has_alpha(&self) -> bool {
        self.at[3].is_some()
    }

    /// The bytes are R, G, B, A as they are.
    pub fn is_rgba(&self) -> bool {
        self.pixel_bytes == 4 && self.at == [Some(0), Some(1), Some(2), Some(3)]
    }

    /// Stores R, G, B, A where this format has them; what it has no component for is 0, or 255 in an X byte.
    #[inline]
    pub fn place(&self, rgba: [u8; 4], pixel: &mut [u8]) {
        pixel.fill(255);
        for (value, at) in rgba.into_iter().zip(self.at) {
            if let Some(at) = at {
                pixel[at] = value;
            }
        }
    }

    /// R, G, B, A of one pixel.
    #[inline]
    pub fn pick(&self, pixel: &[u8]) -> [u8; 4] {
        let component = |index: usize, missing: u8| self.at[index].map_or(missing, |at| pixel[at]);
        if self.gray {
            return [pixel[0], pixel[0], pixel[0], 255];
        }
        [component(0, 0), component(1, 0), component(2, 0), component(3, 255)]
    }
}
