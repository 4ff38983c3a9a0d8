//! Where pictures come from: files and patterns behind one trait.
//!
//! In: a [`Source`] of the description. Out: an [`Opened`] source that says what its pictures are and fills mapped buffers.
//! Not here: buffers and threads (`runner`), what the numbers mean to a shader (`gles::yuv`).

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::buffer::Map;
use crate::color::{Color, Conversion, Primaries, Transfer};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Fourcc;
use crate::layout::{Layout, Size};

use super::description::{Convert, Description, Rate, Source, SourceKind};

pub mod cube;
pub mod image;
mod lent;
pub mod pattern;
pub mod raw;
mod still;
pub mod unixfd;
pub mod unpack;
pub mod y4m;

pub use lent::{Lease, Lent};
use unpack::Unpacking;

/// How often whoever waits for others looks whether the run is to end.
pub(super) const BRIEF: Duration = Duration::from_millis(100);

/// Set to true, nobody waits for a stream any more: reads that have to fail with `Interrupted`.
pub type Stop = Arc<AtomicBool>;

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

    /// Why pixels are copied that are in memory already, where they are.
    fn copies(&self) -> Option<&'static str> {
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
        let reader = reader(description, name, source, stop)?;
        let mut info = reader.info().clone();
        info.rate = source.rate.map(|rate| rate.0).or(info.rate);
        let is_yuv = info.fourcc.format()?.is_yuv();
        if is_yuv || source.color.transfer.is_some() || source.color.primaries.is_some() {
            info.color = source.color.over(info.color);
        }
        let mut notes = Vec::new();
        if is_yuv && source.color.matrix.is_none() {
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
        let (name, looping) = (name.to_owned(), source.r#loop);
        Ok(Self { name, reader, info, start, count, looping, convert, notes, unpacking: None })
    }

    /// What is done to the colours before a shader has them.
    pub fn conversion(&self) -> Option<Conversion> {
        self.convert
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

/// The reader that the keys ask for.
fn reader(description: &Description, name: &str, source: &Source, stop: &Stop) -> Result<Box<dyn Reader>> {
    let key = |key: &str| format!("source.{name}.{key}");
    let first = |given: &[(&'static str, Option<Range<usize>>)]| {
        given.iter().find_map(|(key, span)| span.clone().map(|span| (*key, span)))
    };
    let raw_only = [
        ("format", source.format.as_ref().map(|value| value.span())),
        ("stride", source.stride.as_ref().map(|value| value.span())),
        ("offset", source.offset.as_ref().map(|value| value.span())),
        ("frame-bytes", source.frame_bytes.as_ref().map(|value| value.span())),
    ];
    if source.kind.as_ref().is_some_and(|kind| *kind.get_ref() == SourceKind::Unixfd) {
        let wrong = [
            ("file", source.file.as_ref().map(|value| value.span())),
            ("pattern", source.pattern.as_ref().map(|value| value.span())),
            ("size", source.size.as_ref().map(|value| value.span())),
            ("frames", source.frames.as_ref().map(|value| value.span())),
        ];
        if let Some((wrong, span)) = first(&raw_only).or_else(|| first(&wrong)) {
            return Err(description.error(key(wrong), "the producer says what its frames are", span));
        }
        return Ok(Box::new(unixfd::open(description, name, source)?));
    }
    if let Some(socket) = &source.socket {
        let error = description.error(key("socket"), "this key is for kind = \"unixfd\"", socket.span());
        return Err(error.with_hint("add kind = \"unixfd\""));
    }
    if let Some(pattern) = &source.pattern {
        if let Some(file) = &source.file {
            let detail = "a source is a file or a pattern, not both";
            return Err(description.error(key("file"), detail, file.span()));
        }
        if let Some((wrong, span)) = first(&raw_only) {
            return Err(description.error(key(wrong), "this key is for raw files, not for patterns", span));
        }
        return Ok(Box::new(pattern::PatternReader::new(pattern::Parameters {
            pattern: *pattern.get_ref(),
            size: source.size.as_ref().map_or(Size::new(1280, 720), |size| size.get_ref().0),
            frames: source.frames.as_ref().map(|frames| *frames.get_ref()),
            seed: source.seed,
            rate: source.rate.map_or(Rate::DEFAULT, |rate| rate.0),
        })?));
    }
    let place = name_span(description, name);
    let Some(file) = &source.file else {
        let error = description.error(format!("source.{name}"), "neither `file` nor `pattern` is given", place);
        return Err(error.with_hint("add file = \"clip.y4m\", or pattern = \"bars\""));
    };
    if let Some(frames) = &source.frames {
        let error = description.error(key("frames"), "this key is for patterns", frames.span());
        return Err(error.with_hint("range = \"A..B\" takes a part of a file"));
    }
    let path = description.resolve(file.get_ref());
    let stream = is_stream(&path);
    if stream {
        // Only forwards, and once.
        let range = source.range.is_some().then_some("range");
        if let Some(wrong) = range.or(source.r#loop.then_some("loop")) {
            let detail = format!("{} is a stream, which is read once from its beginning", path.display());
            let error = description.error(key(wrong), detail, file.span());
            return Err(error.with_hint("remove the key, or write the stream to a file first"));
        }
    }
    let kind = match &source.kind {
        Some(kind) => *kind.get_ref(),
        // A stream has no extension; raw frames need a format, y4m says it itself.
        None if is_stdin(&path) && source.format.is_some() => SourceKind::Raw,
        None if is_stdin(&path) => SourceKind::Y4m,
        None => kind_of(&path).ok_or_else(|| {
            description
                .error(key("file"), "the extension does not say what the file is", file.span())
                .with_hint("add kind = \"y4m\", \"raw\", \"image\" or \"cube\"")
        })?,
    };
    if kind != SourceKind::Raw {
        let wrong = [raw_only.as_slice(), &[("size", source.size.as_ref().map(|value| value.span()))]].concat();
        if let Some((wrong, span)) = first(&wrong) {
            let detail = "this key is for raw files; this file says it itself";
            return Err(description.error(key(wrong), detail, span));
        }
    }
    match kind {
        SourceKind::Image | SourceKind::Cube if stream => {
            let what = if kind == SourceKind::Image { "images" } else { "tables" };
            let detail = format!("{what} are read from files, not from streams");
            Err(description.error(key("file"), detail, file.span()))
        }
        SourceKind::Y4m => Ok(Box::new(y4m::Y4mReader::open(&path, stop)?)),
        SourceKind::Image => Ok(Box::new(image::open(&path)?)),
        SourceKind::Cube => Ok(Box::new(cube::open(&path)?)),
        // Opened above.
        SourceKind::Unixfd => Err(Error::failed("unixfd", "a source without its socket")),
        SourceKind::Raw => {
            let missing = |what: &str, hint: &str| {
                description.error(key(what), "a raw file does not say it", place.clone()).with_hint(hint.to_owned())
            };
            let size = source.size.as_ref().ok_or_else(|| missing("size", "add size = \"1280x720\""))?;
            let format = source.format.as_ref().ok_or_else(|| missing("format", "add format = \"NV12\""))?;
            let numbers = [source.stride.as_ref(), source.offset.as_ref()];
            let span = numbers.into_iter().flatten().next().map_or(format.span(), |value| value.span());
            let layout = raw::FileLayout::new(raw::Parameters {
                fourcc: format.get_ref().0,
                size: size.get_ref().0,
                strides: source.stride.as_ref().map(|value| value.get_ref()),
                offsets: source.offset.as_ref().map(|value| value.get_ref()),
                frame_bytes: source.frame_bytes.as_ref().map(|bytes| *bytes.get_ref()),
                header_bytes: source.header_bytes,
            })
            .map_err(|error| description.error(format!("source.{name}.{}", error.op()), error.detail(), span))?;
            Ok(Box::new(raw::RawReader::open(&path, layout, stop)?))
        }
    }
}

/// Where a source's name stands in the text.
fn name_span(description: &Description, name: &str) -> Range<usize> {
    description.sources.get_key_value(name).map_or(0..0, |(name, _)| name.span())
}

/// What a file is, by its extension.
fn kind_of(path: &Path) -> Option<SourceKind> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "y4m" => Some(SourceKind::Y4m),
        "cube" => Some(SourceKind::Cube),
        "png" | "jpg" | "jpeg" | "pbm" | "pgm" | "ppm" | "pnm" | "pam" => Some(SourceKind::Image),
        "raw" | "yuv" | "nv12" | "nv21" | "rgb" | "rgba" | "bgra" | "bin" => Some(SourceKind::Raw),
        _ => None,
    }
}

/// Opens a file, not a folder. Of a fifo this does not wait for the other end: who reads it does.
fn open_file(path: &Path) -> Result<File> {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let failed = |error| {
        let error = Error::from_io("open", path.display(), error);
        match error.kind() {
            ErrorKind::PermissionDenied => error.with_hint("this user may not read it: chmod, or run as its owner"),
            _ => error,
        }
    };
    let is_fifo = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let flags = if is_fifo { nix::libc::O_NONBLOCK } else { 0 };
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Error::invalid("open", format!("{}: is a directory", path.display())));
    }
    Ok(file)
}

/// Standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdin") || path == Path::new("/proc/self/fd/0")
}

/// Standard input, a fifo, or a device that gives bytes one after the other.
pub fn is_stream(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let other = |kind: std::fs::FileType| kind.is_fifo() || kind.is_char_device();
    is_stdin(path) || std::fs::metadata(path).is_ok_and(|metadata| other(metadata.file_type()))
}

/// A file that is read by position, or a stream that is read forwards, with its name for errors.
pub(crate) struct Input {
    file: File,
    path: PathBuf,
    /// `None` for streams.
    len_bytes: Option<u64>,
    stream: Option<Stream>,
}

/// What has been taken from a stream and not yet been used.
struct Stream {
    /// Position of the first byte of `ahead`.
    at: u64,
    ahead: Vec<u8>,
    stop: Stop,
}

impl Stream {
    fn new(stop: &Stop) -> Self {
        Self { at: 0, ahead: Vec::new(), stop: stop.clone() }
    }
}

impl Input {
    /// Opens a regular file or a stream, which nobody waits for once `stop` is set.
    pub fn open(path: &Path, stop: &Stop) -> Result<Self> {
        if is_stdin(path) {
            return Self::standard_input(stop);
        }
        let file = open_file(path)?;
        if is_stream(path) {
            return Ok(Self { file, path: path.to_owned(), len_bytes: None, stream: Some(Stream::new(stop)) });
        }
        let metadata = file.metadata().map_err(|error| Error::from_io("fstat", path.display(), error))?;
        if !metadata.is_file() {
            let detail = format!("{}: is neither a file nor a stream", path.display());
            return Err(Error::unsupported("open", detail));
        }
        Ok(Self { file, path: path.to_owned(), len_bytes: Some(metadata.len()), stream: None })
    }

    fn standard_input(stop: &Stop) -> Result<Self> {
        use std::io::IsTerminal;
        use std::os::fd::AsFd;
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            let error = Error::invalid("open", "standard input is a terminal, not a stream of pictures");
            return Err(error.with_hint("cat clip.y4m | darkframe run …"));
        }
        let fd = stdin.as_fd().try_clone_to_owned().map_err(|error| Error::from_io("dup", "standard input", error))?;
        Ok(Self { file: fd.into(), path: "standard input".into(), len_bytes: None, stream: Some(Stream::new(stop)) })
    }

    /// As errors name it.
    pub fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Size of the file when it was opened; `None` for a stream.
    pub fn len_bytes(&self) -> Option<u64> {
        self.len_bytes
    }

    /// Fills `into` from byte `at`. What a stream has given is gone with this.
    pub fn read_exact(&mut self, at: u64, into: &mut [u8]) -> Result<()> {
        let wanted = into.len();
        let got = match self.stream.is_some() {
            true => {
                self.skip_to(at)?;
                let ahead = self.stream.as_mut().map_or(Vec::new(), |stream| {
                    let taken = stream.ahead.len().min(wanted);
                    stream.at += taken as u64;
                    stream.ahead.drain(..taken).collect()
                });
                into[..ahead.len()].copy_from_slice(&ahead);
                let got = ahead.len() + self.read_on(at + ahead.len() as u64, &mut into[ahead.len()..])?;
                if let Some(stream) = &mut self.stream {
                    stream.at = at + got as u64;
                }
                got
            }
            false => self.read_up_to(at, into)?,
        };
        if got == wanted {
            return Ok(());
        }
        Err(self.error(at + got as u64, format!("the file ends here, {} bytes too early", wanted - got)))
    }

    /// Reads from byte `at` until `into` is full or the file ends. A stream keeps what it gave from `at` on.
    pub fn read_up_to(&mut self, at: u64, into: &mut [u8]) -> Result<usize> {
        if self.stream.is_none() {
            return self.read_at(at, into);
        }
        self.skip_to(at)?;
        let have = self.stream.as_ref().map_or(0, |stream| stream.ahead.len());
        if have < into.len() {
            let mut more = vec![0; into.len() - have];
            let got = self.read_on(at + have as u64, &mut more)?;
            if let Some(stream) = &mut self.stream {
                stream.ahead.extend(&more[..got]);
            }
        }
        let ahead = self.stream.as_ref().map_or(&[][..], |stream| &stream.ahead);
        let got = ahead.len().min(into.len());
        into[..got].copy_from_slice(&ahead[..got]);
        Ok(got)
    }

    /// Lets a stream's bytes before `at` go.
    fn skip_to(&mut self, at: u64) -> Result<()> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(()) };
            let Some(distance) = at.checked_sub(stream.at) else {
                let detail = format!("a stream at byte {} does not go back", stream.at);
                return Err(self.error(at, detail));
            };
            let ahead = stream.ahead.len().min(usize::try_from(distance).unwrap_or(usize::MAX));
            stream.ahead.drain(..ahead);
            stream.at += ahead as u64;
            if stream.at == at {
                return Ok(());
            }
            let mut rest = vec![0; usize::try_from(at - stream.at).unwrap_or(usize::MAX).min(1 << 16)];
            let from = stream.at;
            let got = self.read_on(from, &mut rest)?;
            if let Some(stream) = &mut self.stream {
                // At the end the place stays: whoever reads there finds nothing.
                stream.at = if got == 0 { at } else { from + got as u64 };
            }
        }
    }

    /// The next bytes of the stream, until `into` is full or it ends; `at` is for errors.
    fn read_on(&mut self, at: u64, into: &mut [u8]) -> Result<usize> {
        let mut file = &self.file;
        let mut interrupted = false;
        let read = fill(into, |rest, _| {
            // A writer that is silent, or has not come yet, is not waited for in read(2), which no flag ends.
            while !self.has_more(BRIEF)? {
                if self.stream.as_ref().is_some_and(|stream| stream.stop.load(Ordering::Relaxed)) {
                    interrupted = true;
                    return Ok(0);
                }
            }
            std::io::Read::read(&mut file, rest)
        });
        let got = read.map_err(|(done, error)| self.failed(at + done, error))?;
        match interrupted {
            true => {
                let detail = format!("{}: at byte {}: the run was ended", self.path.display(), at + got as u64);
                Err(Error::new(ErrorKind::Interrupted, "read", detail))
            }
            false => Ok(got),
        }
    }

    /// Waits until a stream has given something, or has ended, at most `timeout`.
    fn has_more(&self, timeout: Duration) -> std::io::Result<bool> {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)) {
            Ok(count) => Ok(count > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// As [`Reader::ready`].
    pub fn ready(&self, timeout: Duration) -> Result<bool> {
        match &self.stream {
            Some(stream) if stream.ahead.is_empty() => {
                self.has_more(timeout).map_err(|error| self.failed(stream.at, error))
            }
            _ => Ok(true),
        }
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize> {
        use std::os::unix::fs::FileExt;
        fill(into, |rest, done| self.file.read_at(rest, at + done))
            .map_err(|(done, error)| self.failed(at + done, error))
    }

    fn failed(&self, at: u64, error: std::io::Error) -> Error {
        Error::from_io("read", format!("{}: at byte {at}", self.path.display()), error)
    }

    /// Reads `rows` rows of `row_bytes` that lie `stride_bytes` apart in the file, into rows `into_stride` apart:
    /// in one piece where both strides are the same.
    pub fn read_rows(&mut self, at: u64, rows: &Rows, into: &mut [u8], into_stride: usize) -> Result<()> {
        if rows.stride_bytes == into_stride as u64 {
            let bytes = (rows.stride_bytes as usize * (rows.rows as usize - 1) + rows.row_bytes).min(into.len());
            return self.read_exact(at, &mut into[..bytes]);
        }
        for (row, target) in into.chunks_mut(into_stride).take(rows.rows as usize).enumerate() {
            self.read_exact(at + rows.stride_bytes * row as u64, &mut target[..rows.row_bytes])?;
        }
        Ok(())
    }

    /// An error about byte `at` of this file.
    pub fn error(&self, at: u64, detail: impl std::fmt::Display) -> Error {
        Error::invalid("read", format!("{}: byte {at}: {detail}", self.path.display()))
    }
}

/// Reads until `into` is full or there is no more: how much it is, or how much it was before the error. `read` is told
/// how many bytes are there already.
fn fill(
    into: &mut [u8],
    mut read: impl FnMut(&mut [u8], u64) -> std::io::Result<usize>,
) -> Result<usize, (u64, std::io::Error)> {
    let mut done = 0;
    while done < into.len() {
        match read(&mut into[done..], done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err((done as u64, error)),
        }
    }
    Ok(done)
}

/// Rows of a plane in a file.
pub(crate) struct Rows {
    pub rows: u32,
    pub row_bytes: usize,
    pub stride_bytes: u64,
}
