//! Which keys of a source go together, and what they open.
//!
//! In: one source of a description. Out: its reader; errors with the place.
//! Not here: range, looping, colours (`source`).

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Fourcc;
use crate::layout::Size;

use super::super::description::{Description, Fit, Orientation, Profile, Rate, Source, SourceKind};
use super::image::{self, Framing, list};
use super::input::{Input, is_stdin, is_stream};
use super::unread::Unread;
use super::{Opening, Reader, Stop, cube, name_span, pattern, raw, unixfd, y4m};

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
    if source.kind.as_ref().is_some_and(|kind| *kind.get_ref() == SourceKind::Unixfd) {
        return keys.unixfd();
    }
    let of_processes = [
        ("socket", "unixfd", source.socket.as_ref().map(|value| value.span())),
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

    fn unixfd(&self) -> Result<Box<dyn Reader>> {
        self.refuse_of_files()?;
        let (description, source) = (self.description, self.source);
        let place = name_span(description, self.name);
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
        let reader = unixfd::SocketReader::open(&address, options, patience, self.stop());
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
            SourceKind::Unixfd => Err(Error::failed("source", "a process that is no file")),
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
