//! Which keys of a source go together, and what they open.
//!
//! In: one source of a description. Out: its reader; errors with the place.
//! Not here: range, looping, colours (`source`).

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Fourcc;
use crate::layout::Size;

use super::super::description::{Description, Fit, Orientation, Profile, Rate, Source, SourceKind, Spanned};
use super::image::{self, Framing, list};
use super::input::{Input, is_stdin, is_stream};
use super::unread::Unread;
use super::{Opening, Reader, Stop, cube, decoder, name_span, pattern, raw, unixfd, v4l2, y4m};
use crate::v4l2::Decoder;
use crate::v4l2::capture::{self, Negotiated, Wanted};

mod gstreamer;

/// Keys that only some kinds of source have, with their places.
type Given = [(&'static str, Option<Range<usize>>)];

struct Keys<'a> {
    description: &'a Description,
    name: &'a str,
    source: &'a Source,
    opening: Opening<'a>,
}

/// The reader that the keys ask for.
pub(super) fn reader(
    description: &Description,
    name: &str,
    source: &Source,
    opening: Opening<'_>,
) -> Result<Box<dyn Reader>> {
    let keys = Keys { description, name, source, opening };
    if source.kind.as_ref().is_some_and(|kind| *kind.get_ref() == SourceKind::V4l2) {
        return keys.v4l2();
    }
    if source.kind.as_ref().is_some_and(|kind| *kind.get_ref() == SourceKind::V4l2Decoder) {
        return keys.decoder();
    }
    if source.kind.as_ref().is_some_and(|kind| *kind.get_ref() == SourceKind::Gstreamer) {
        return keys.gstreamer();
    }
    if let Some((key, span)) = keys.of_devices().into_iter().find_map(|(key, span)| Some((key, span?))) {
        let hint = "add kind = \"v4l2\", or \"v4l2-decoder\" for a stream";
        return Err(keys.error(key, "this key is for devices", span).with_hint(hint));
    }
    match source.kind.as_ref().map(|kind| *kind.get_ref()) {
        Some(SourceKind::Unixfd) => return keys.unixfd(),
        Some(SourceKind::Pipewire) => return keys.pipewire(),
        _ => {}
    }
    let of_processes = [
        ("socket", "unixfd", source.socket.as_ref().map(|value| value.span())),
        ("node", "pipewire", source.node.as_ref().map(|value| value.span())),
        ("pipeline", "gstreamer", source.pipeline.as_ref().map(|value| value.span())),
        ("patience", "unixfd", source.patience.as_ref().map(|value| value.span())),
    ];
    if let Some((key, kind, span)) = of_processes.into_iter().find_map(|(key, kind, span)| Some((key, kind, span?))) {
        let error = keys.error(key, format!("this key is for kind = \"{kind}\""), span);
        return Err(error.with_hint(format!("add kind = \"{kind}\"")));
    }
    match source.pattern.is_some() {
        true => keys.pattern(),
        false => keys.file(),
    }
}

impl Keys<'_> {
    fn stop(&self) -> &Stop {
        static NEVER: std::sync::LazyLock<Stop> = std::sync::LazyLock::new(Stop::default);
        match self.opening {
            Opening::Read(stop) => stop,
            Opening::Look => &NEVER,
        }
    }

    fn error(&self, key: &str, detail: impl Into<String>, span: Range<usize>) -> Error {
        self.description.error(format!("source.{}.{key}", self.name), detail, span)
    }

    /// Fails where one of these is given.
    fn refuse(&self, given: &Given, why: &str) -> Result<()> {
        match given.iter().find_map(|(key, span)| span.clone().map(|span| (*key, span))) {
            Some((key, span)) => Err(self.error(key, why, span)),
            None => Ok(()),
        }
    }

    fn of_raw_files(&self) -> [(&'static str, Option<Range<usize>>); 4] {
        let source = self.source;
        [
            ("format", source.format.as_ref().map(|value| value.span())),
            ("stride", source.stride.as_ref().map(|value| value.span())),
            ("offset", source.offset.as_ref().map(|value| value.span())),
            ("frame-bytes", source.frame_bytes.as_ref().map(|value| value.span())),
        ]
    }

    fn of_images(&self) -> [(&'static str, Option<Range<usize>>); 4] {
        let source = self.source;
        [
            ("fit", source.fit.as_ref().map(|value| value.span())),
            ("background", source.background.as_ref().map(|value| value.span())),
            ("orientation", source.orientation.as_ref().map(|value| value.span())),
            ("profile", source.profile.as_ref().map(|value| value.span())),
        ]
    }

    fn of_devices(&self) -> [(&'static str, Option<Range<usize>>); 7] {
        let source = self.source;
        [
            ("device", source.device.as_ref().map(Spanned::span)),
            ("input", source.input.as_ref().map(Spanned::span)),
            ("io", source.io.as_ref().map(Spanned::span)),
            ("buffers", source.buffers.as_ref().map(Spanned::span)),
            ("timeout", source.timeout.as_ref().map(Spanned::span)),
            ("controls", source.controls.keys().next().map(Spanned::span)),
            ("codec", source.codec.as_ref().map(Spanned::span)),
        ]
    }

    /// A stream and the device that decodes it, as far as it takes to know its pictures.
    fn decoder(&self) -> Result<Box<dyn Reader>> {
        let source = self.source;
        let [_, stride, offset, frame_bytes] = self.of_raw_files();
        let [_, input, _, buffers, timeout, controls, _] = self.of_devices();
        let others = [
            ("pattern", source.pattern.as_ref().map(Spanned::span)),
            ("socket", source.socket.as_ref().map(Spanned::span)),
            ("frames", source.frames.as_ref().map(Spanned::span)),
            self.size(),
            input,
            buffers,
            timeout,
            controls,
            stride,
            offset,
            frame_bytes,
        ];
        self.refuse(&others, "this key is not for decoders")?;
        self.refuse(&self.of_images(), "this key is for image files")?;
        let place = name_span(self.description, self.name);
        if let Some(wrong) = self.part() {
            return Err(self.error(wrong, "a stream is decoded once from its beginning", place));
        }
        let Some(file) = &source.file else {
            let error = self.error("file", "missing: this kind decodes a stream", place);
            return Err(error.with_hint("add file = \"clip.h264\""));
        };
        let path = self.description.resolve(file.get_ref());
        let (name, at) = match &source.codec {
            Some(codec) => (codec.get_ref().clone(), codec.span()),
            None => {
                let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
                let name = match extension.as_deref() {
                    Some("264" | "avc") => "h264".into(),
                    Some("265" | "h265") => "hevc".into(),
                    Some("mjpg") => "mjpeg".into(),
                    Some("m2v") => "mpeg2".into(),
                    Some(other) => other.to_owned(),
                    None => String::new(),
                };
                (name, file.span())
            }
        };
        let codec = crate::v4l2::encoder::codec(&name)
            .map_err(|error| self.error("codec", error.detail(), at).with_hint("add codec = \"h264\", …"))?;
        let fourcc = source.format.as_ref().map(|format| format.get_ref().0);
        let Opening::Read(stop) = self.opening else {
            let what = format!("the stream in {}", path.display());
            return Ok(Box::new(Unread::new(&what, None, fourcc)));
        };
        let wanted = source.device.as_ref().map(|device| device.get_ref().as_str());
        let device = Decoder::find(wanted, codec).map_err(|error| {
            let span = source.device.as_ref().map_or(place, Spanned::span);
            self.error("device", error.detail(), span).with_hint_of(&error)
        })?;
        let mut input = Input::open(&path, stop)?;
        let title = Input::named(&path).display().to_string();
        let read = Box::new(move |at: u64, into: &mut [u8]| input.read_up_to(at, into));
        let decoder = Decoder::open(&device, codec, (read, &title), fourcc).map_err(|error| {
            match (error.op(), &source.format) {
                ("format", Some(format)) => self.error("format", error.detail(), format.span()).with_hint_of(&error),
                _ => error.in_context(format!("source \"{}\"", self.name)),
            }
        })?;
        let io = source.io.as_ref().map_or_else(Default::default, |io| *io.get_ref());
        Ok(Box::new(decoder::DecoderReader::new(decoder, io, source.rate.map(|rate| rate.0))))
    }

    /// A device, its format agreed on and its controls set; only asked, where it is only looked at.
    fn v4l2(&self) -> Result<Box<dyn Reader>> {
        let source = self.source;
        let [_, stride, offset, frame_bytes] = self.of_raw_files();
        let others = [
            ("file", source.file.as_ref().map(Spanned::span)),
            ("pattern", source.pattern.as_ref().map(Spanned::span)),
            ("socket", source.socket.as_ref().map(Spanned::span)),
            ("frames", source.frames.as_ref().map(Spanned::span)),
            ("codec", source.codec.as_ref().map(Spanned::span)),
            stride,
            offset,
            frame_bytes,
        ];
        self.refuse(&others, "this key is not for devices")?;
        self.refuse(&self.of_images(), "this key is for image files")?;
        if let Some(pace) = &source.pace {
            return Err(self.error("pace", "pictures come when the device has them", pace.span()));
        }
        let place = name_span(self.description, self.name);
        if let Some(wrong) = self.part() {
            return Err(self.error(wrong, "pictures of a device come once", place));
        }
        let buffers = match &source.buffers {
            None => v4l2::DEFAULT_BUFFERS,
            Some(given) => match u32::try_from(*given.get_ref()) {
                Ok(count @ 2..=32) => count,
                _ => return Err(self.error("buffers", format!("{given}: 2 to 32"), given.span())),
            },
        };
        let timeout = self.timeout()?.unwrap_or(v4l2::DEFAULT_TIMEOUT);
        let really = matches!(self.opening, Opening::Read(_));
        let at = source.device.as_ref().map_or(place.clone(), Spanned::span);
        let device = match capture::find(source.device.as_ref().map(|device| device.get_ref().as_str())) {
            Ok(device) => device,
            // Another machine may have it.
            Err(error) if !really && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                let size = source.size.as_ref().map(|size| size.get_ref().0);
                let fourcc = source.format.as_ref().map(|format| format.get_ref().0);
                return Ok(Box::new(Unread::new(&format!("a device ({})", error.detail()), size, fourcc)));
            }
            Err(error) => return Err(self.error("device", error.detail(), at).with_hint_of(&error)),
        };
        if let Some(input) = source.input.as_ref().filter(|_| really) {
            device
                .select_connection(false, input.get_ref())
                .map_err(|error| self.error("input", error.detail(), input.span()).with_hint_of(&error))?;
        }
        for (name, value) in &source.controls {
            device.set_control(name.get_ref(), value.get_ref(), really).map_err(|error| {
                let span = if error.detail().contains("has no control") { name.span() } else { value.span() };
                self.error(&format!("controls.{name}"), error.detail(), span).with_hint_of(&error)
            })?;
        }
        let wanted = Wanted {
            size: source.size.as_ref().map(|size| size.get_ref().0),
            fourcc: source.format.as_ref().map(|format| format.get_ref().0),
            rate: source.rate.map(|rate| (rate.0.numerator, rate.0.denominator)),
        };
        let negotiated = Negotiated::new(&device, &wanted, really).map_err(|error| {
            let span = match error.op() {
                "format" => source.format.as_ref().map(Spanned::span),
                "size" => source.size.as_ref().map(Spanned::span),
                "rate" => None,
                _ => return error,
            };
            self.error(error.op(), error.detail(), span.unwrap_or(place)).with_hint_of(&error)
        })?;
        let io = source.io.as_ref().map_or_else(Default::default, |io| *io.get_ref());
        Ok(Box::new(v4l2::CaptureReader::new(negotiated, v4l2::Options { io, buffers, timeout })))
    }

    fn size(&self) -> (&'static str, Option<Range<usize>>) {
        ("size", self.source.size.as_ref().map(|value| value.span()))
    }

    /// `range` or `loop`, where one is given.
    fn part(&self) -> Option<&'static str> {
        self.source.range.is_some().then_some("range").or(self.source.r#loop.then_some("loop"))
    }

    /// What frames of another process have no use for.
    fn refuse_of_files(&self) -> Result<()> {
        let source = self.source;
        let others = [
            ("file", source.file.as_ref().map(|value| value.span())),
            ("pattern", source.pattern.as_ref().map(|value| value.span())),
            self.size(),
            ("frames", source.frames.as_ref().map(|value| value.span())),
        ];
        for given in [&self.of_raw_files() as &Given, &others, &self.of_images()] {
            self.refuse(given, "the producer says what its frames are")?;
        }
        if let Some(pace) = &source.pace {
            return Err(self.error("pace", "frames come when the producer sends them", pace.span()));
        }
        let place = name_span(self.description, self.name);
        if let Some(wrong) = self.part() {
            return Err(self.error(wrong, "frames from a process come once", place));
        }
        Ok(())
    }

    fn patience(&self) -> Result<Option<std::time::Duration>> {
        let key = format!("source.{}.patience", self.name);
        super::super::sink::patience(self.description, &key, &self.source.patience)
    }

    fn pipewire(&self) -> Result<Box<dyn Reader>> {
        self.refuse_of_files()?;
        let source = self.source;
        if let Some(allow) = source.allow.first() {
            return Err(self.error("allow", "this key is for kind = \"unixfd\"", allow.span()));
        }
        let patience = self.patience()?;
        if let Some(node) = source.node.as_ref().filter(|node| node.get_ref().contains('\0')) {
            return Err(self.error("node", "a node's name has no byte 0", node.span()));
        }
        #[cfg(not(feature = "pipewire"))]
        {
            let _ = patience;
            let place = source.kind.as_ref().map_or(0..0, |kind| kind.span());
            let error = self.error("kind", "this build has no PipeWire", place);
            Err(error.with_hint("build it with the cargo feature pipewire, or take frames with kind = \"unixfd\""))
        }
        #[cfg(feature = "pipewire")]
        {
            let node = format!("darkframe.{}", self.name);
            if let Opening::Look = self.opening {
                let what = source.node.as_ref().map_or(node.as_str(), |target| target.get_ref());
                return Ok(Box::new(Unread::new(&format!("the node {what}"), None, None)));
            }
            let options = crate::share::pipewire::input::Options {
                target: source.node.as_ref().map(|node| node.get_ref().clone()),
                remote: source.socket.as_ref().map(|socket| socket.get_ref().clone()),
                reconnect: source.reconnect,
                ..crate::share::pipewire::input::Options::new(node)
            };
            let place = name_span(self.description, self.name);
            let reader = super::pipewire::open(options, patience, self.stop());
            Ok(Box::new(reader.map_err(|error| match error.kind() {
                ErrorKind::Interrupted => error,
                _ => self.error("kind", error.detail(), place).with_hint_of(&error),
            })?))
        }
    }

    /// How long a stream may have no picture.
    fn timeout(&self) -> Result<Option<std::time::Duration>> {
        match &self.source.timeout {
            None => Ok(None),
            Some(given) => match *given.get_ref() {
                seconds if seconds > 0.0 && seconds <= 86_400.0 => {
                    Ok(Some(std::time::Duration::from_secs_f64(seconds)))
                }
                _ => Err(self.error("timeout", format!("{given}: more than 0 s, at most a day"), given.span())),
            },
        }
    }

    fn unixfd(&self) -> Result<Box<dyn Reader>> {
        self.refuse_of_files()?;
        let (description, source) = (self.description, self.source);
        let place = name_span(description, self.name);
        if let Some(node) = &source.node {
            return Err(self.error("node", "this key is for kind = \"pipewire\"", node.span()));
        }
        let patience = self.patience()?;
        let Some(socket) = &source.socket else {
            let error = self.error("socket", "missing: this kind takes frames from a socket", place);
            return Err(error.with_hint("add socket = \"/run/user/1000/camera.sock\""));
        };
        let failed = |error: Error| self.error("socket", error.detail(), socket.span()).with_hint_of(&error);
        let address: crate::share::unixfd::Address = socket.get_ref().parse().map_err(failed)?;
        let key = format!("source.{}.allow", self.name);
        let allow = super::super::sink::unixfd::allow(description, &key, &source.allow)?;
        if let Opening::Look = self.opening {
            return Ok(Box::new(Unread::new(&format!("the producer at {address}"), None, None)));
        }
        let options =
            crate::share::unixfd::client::Options { allow, reconnect: source.reconnect, ..Default::default() };
        let reader = unixfd::open(&address, options, patience, self.stop());
        Ok(Box::new(reader.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => error,
            _ => failed(error),
        })?))
    }

    fn pattern(&self) -> Result<Box<dyn Reader>> {
        let source = self.source;
        let Some(pattern) = &source.pattern else { return Err(Error::failed("pattern", "none is given")) };
        if let Some(file) = &source.file {
            return Err(self.error("file", "a source is a file or a pattern, not both", file.span()));
        }
        self.refuse(&self.of_raw_files(), "this key is for raw files, not for patterns")?;
        self.refuse(&self.of_images(), "this key is for image files, not for patterns")?;
        Ok(Box::new(pattern::PatternReader::new(pattern::Parameters {
            pattern: *pattern.get_ref(),
            size: source.size.as_ref().map_or(Size::new(1280, 720), |size| size.get_ref().0),
            frames: source.frames.as_ref().map(|frames| *frames.get_ref()),
            seed: source.seed,
            rate: source.rate.map_or(Rate::DEFAULT, |rate| rate.0),
        })?))
    }

    fn file(&self) -> Result<Box<dyn Reader>> {
        let (description, source) = (self.description, self.source);
        let Some(file) = &source.file else {
            let place = name_span(description, self.name);
            let detail = "neither `file` nor `pattern` is given";
            let error = description.error(format!("source.{}", self.name), detail, place);
            return Err(error.with_hint("add file = \"clip.y4m\", or pattern = \"bars\""));
        };
        if let Some(frames) = &source.frames {
            let error = self.error("frames", "this key is for patterns", frames.span());
            return Err(error.with_hint("range = \"A..B\" takes a part of a file"));
        }
        let path = description.resolve(file.get_ref());
        let folder = description.folder();
        let is_several = !is_stdin(&path) && list::is_several(folder, file.get_ref());
        let stream = !is_several && is_stream(&path);
        if let Some(wrong) = self.part().filter(|_| stream) {
            // Only forwards, and once.
            let detail = format!("{} is a stream, which is read once from its beginning", path.display());
            let error = self.error(wrong, detail, file.span());
            return Err(error.with_hint("remove the key, or write the stream to a file first"));
        }
        let kind = match &source.kind {
            Some(kind) => *kind.get_ref(),
            // A stream has no extension; raw frames need a format, y4m says it itself.
            None if is_stdin(&path) && source.format.is_some() => SourceKind::Raw,
            None if is_stdin(&path) => SourceKind::Y4m,
            None => match kind_of(&path) {
                Some(kind) => kind,
                // Only pictures come as many files.
                None if is_several => SourceKind::Image,
                None => {
                    let error = self.error("file", "the extension does not say what the file is", file.span());
                    return Err(error.with_hint("add kind = \"y4m\", \"raw\", \"image\" or \"cube\""));
                }
            },
        };
        if kind != SourceKind::Raw {
            self.refuse(&self.of_raw_files(), "this key is for raw files; this file says it itself")?;
        }
        if kind != SourceKind::Image {
            self.refuse(&self.of_images(), "this key is for image files")?;
            if is_several {
                let detail = "a name that stands for several files is for images, each a frame";
                return Err(self.error("file", detail, file.span()));
            }
        }
        if !matches!(kind, SourceKind::Raw | SourceKind::Image) {
            self.refuse(&[self.size()], "this key is for raw files and images; this file says it itself")?;
        }
        // Its keys are looked at all the same.
        let look = match self.opening {
            Opening::Look if stream => Some(format!("{}, a stream,", Input::named(&path).display())),
            _ => None,
        };
        match kind {
            SourceKind::Y4m if look.is_some() => Ok(Box::new(Unread::new(&look.unwrap_or_default(), None, None))),
            SourceKind::Cube if stream => {
                Err(self.error("file", "tables are read from files, not from streams", file.span()))
            }
            SourceKind::Y4m => Ok(Box::new(y4m::Y4mReader::open(&path, source.color.range, self.stop())?)),
            SourceKind::Image => self.images(folder, file.get_ref(), (stream, look)),
            SourceKind::Cube => Ok(Box::new(cube::open(&path)?)),
            // Opened above.
            SourceKind::V4l2 | SourceKind::V4l2Decoder => Err(Error::failed("v4l2", "a source without its device")),
            SourceKind::Unixfd | SourceKind::Pipewire | SourceKind::Gstreamer => {
                Err(Error::failed("source", "frames that are no file"))
            }
            SourceKind::Raw => self.raw(&path, look),
        }
    }

    fn images(&self, folder: &Path, file: &Path, (stream, look): (bool, Option<String>)) -> Result<Box<dyn Reader>> {
        let source = self.source;
        let value = |orientation: &Option<super::super::description::Spanned<Orientation>>| {
            orientation.as_ref().is_none_or(|orientation| *orientation.get_ref() == Orientation::Upright)
        };
        let profile = source.profile.as_ref().map_or(Profile::Srgb, |profile| *profile.get_ref());
        let decoding = image::Decoding {
            upright: value(&source.orientation),
            to_srgb: profile == Profile::Srgb,
            ..Default::default()
        };
        let framing = match &source.size {
            Some(size) => Some(Framing {
                size: size.get_ref().0,
                fit: source.fit.as_ref().map_or(Fit::Contain, |fit| *fit.get_ref()),
                background: source
                    .background
                    .as_ref()
                    .map_or([0, 0, 0, 255], |colour| colour.get_ref().0.map(|part| (part * 255.0).round() as u8)),
            }),
            None => {
                let [fit, background, ..] = self.of_images();
                self.refuse(&[fit, background], "pictures are scaled where `size` is given")?;
                None
            }
        };
        let options = image::Options { decoding, framing };
        if let Some(look) = look {
            let size = framing.map(|framing| framing.size);
            return Ok(Box::new(Unread::new(&look, size, size.map(|_| Fourcc::ABGR8888))));
        }
        if stream {
            return image::open_stream(&self.description.resolve(file), options, self.stop());
        }
        match list::find(folder, file)? {
            list::Files::One(path) => image::open(&path, options),
            list::Files::Several(files, note) => {
                if let Some(note) = &note {
                    tracing::warn!(source = self.name, "{note}");
                }
                image::open_all(files, options)
            }
        }
    }

    fn raw(&self, path: &Path, look: Option<String>) -> Result<Box<dyn Reader>> {
        let source = self.source;
        let place = name_span(self.description, self.name);
        let missing =
            |what: &str, hint: &str| self.error(what, "a raw file does not say it", place.clone()).with_hint(hint);
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
        .map_err(|error| self.error(error.op(), error.detail(), span))?;
        if let Some(look) = look {
            return Ok(Box::new(Unread::new(&look, Some(size.get_ref().0), Some(format.get_ref().0))));
        }
        Ok(Box::new(raw::RawReader::open(path, layout, self.stop())?))
    }
}

/// What a file is, by its extension.
fn kind_of(path: &Path) -> Option<SourceKind> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "y4m" => Some(SourceKind::Y4m),
        "cube" => Some(SourceKind::Cube),
        "png" | "apng" | "jpg" | "jpeg" | "webp" | "gif" | "bmp" | "tif" | "tiff" | "pbm" | "pgm" | "ppm" | "pnm"
        | "pam" => Some(SourceKind::Image),
        "raw" | "yuv" | "nv12" | "nv21" | "rgb" | "rgba" | "bgra" | "bin" => Some(SourceKind::Raw),
        _ => None,
    }
}
