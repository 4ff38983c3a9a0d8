//! Sinks that are Video4Linux devices: a video output, and an encoder whose stream goes into a file.
//!
//! In: the sink's keys, then pictures as memory. Out: the device's connector, or a coded stream.
//! Not here: the devices (`crate::v4l2`).

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::layout::Constraints;
use crate::v4l2::encoder::{self, Piece};
use crate::v4l2::output::{self, Pictures};
use crate::v4l2::{Encoder, Output, Value, VideoDevice};

use super::super::description::{self, Description, Rate, SinkKind, Spanned};
use super::mux::{Container, Stream, Track};
use super::{Handover, Picture, Shape, Writer, Written};

/// The keys of the sink.
#[derive(Clone, Debug)]
pub struct Device {
    /// Path or name; none for the first that suits.
    device: Option<String>,
    output: Option<String>,
    /// Any of these; all where there are none.
    codecs: Vec<u32>,
    controls: Vec<(String, Value)>,
    encodes: bool,
    /// Encoders of the board.
    preferred: Vec<String>,
}

impl Device {
    /// Reads the keys of sink `name`; `None` where it is of another kind and has none of them.
    ///
    /// # Errors
    /// `Config` with the place.
    pub fn new(
        description: &Description,
        name: &str,
        sink: &description::Sink,
        kind: SinkKind,
    ) -> Result<Option<Self>> {
        let error = |key: &str, detail: &str, span| description.error(format!("sink.{name}.{key}"), detail, span);
        let of_encoders = [
            ("codec", sink.codec.as_ref().map(Spanned::span)),
            ("bitrate", sink.bitrate.as_ref().map(Spanned::span)),
            ("gop", sink.gop.as_ref().map(Spanned::span)),
        ];
        let of_devices = [
            ("device", sink.device.as_ref().map(Spanned::span)),
            ("controls", sink.controls.keys().next().map(Spanned::span)),
        ];
        let first = |keys: &[(&'static str, Option<std::ops::Range<usize>>)]| {
            keys.iter().find_map(|(key, span)| Some((*key, span.clone()?)))
        };
        let is_ours = matches!(kind, SinkKind::V4l2 | SinkKind::V4l2Encoder);
        if let Some((key, span)) = first(&of_encoders).filter(|_| kind != SinkKind::V4l2Encoder) {
            let hint = "add kind = \"v4l2-encoder\"";
            return Err(error(key, "this key is for encoders", span).with_hint(hint));
        }
        let is_device = |key: &str| is_ours || (kind == SinkKind::Kms && key == "device");
        if let Some((key, span)) = first(&of_devices).filter(|(key, _)| !is_device(key)) {
            let hint = "add kind = \"v4l2-encoder\", kind = \"v4l2\" for a video output, or kind = \"kms\"";
            return Err(error(key, "this key is for devices", span).with_hint(hint));
        }
        if let Some(connector) = sink.connector.as_ref().filter(|_| kind != SinkKind::Kms) {
            let detail = "this key is for screens";
            return Err(error("connector", detail, connector.span()).with_hint("add kind = \"kms\""));
        }
        if let Some(output) = sink.output.as_ref().filter(|_| kind != SinkKind::V4l2) {
            let detail = "this key is for video outputs";
            return Err(error("output", detail, output.span()).with_hint("add kind = \"v4l2\""));
        }
        if !is_ours {
            return Ok(None);
        }
        let container = sink.file.as_ref().and_then(|file| Container::of(file.get_ref()));
        let codecs = match (&sink.codec, container.filter(|_| kind == SinkKind::V4l2Encoder)) {
            (None, None) => Vec::new(),
            (None, Some(container)) => {
                let file = sink.file.as_ref().map_or(0..0, Spanned::span);
                let fits = container.names().first().map_or(Ok(()), |name| container.check(name));
                fits.map_err(|wrong| error("file", wrong.detail(), file).with_hint_of(&wrong))?;
                container.codecs()?
            }
            (Some(given), container) => {
                let known = encoder::codec(given.get_ref());
                let fits = known.and_then(|code| {
                    container.map_or(Ok(()), |container| container.check(given.get_ref())).map(|()| vec![code])
                });
                fits.map_err(|wrong| error("codec", wrong.detail(), given.span()).with_hint_of(&wrong))?
            }
        };
        let mut controls = Vec::new();
        for (control, given, least) in [("video_bitrate", &sink.bitrate, 1), ("video_gop_size", &sink.gop, 0)] {
            let Some(given) = given else { continue };
            match i64::try_from(*given.get_ref()) {
                Ok(number) if number >= least => controls.push((control.to_owned(), Value::Number(number))),
                _ => {
                    let key = if control == "video_bitrate" { "bitrate" } else { "gop" };
                    return Err(error(key, &format!("{given}: at least {least}"), given.span()));
                }
            }
        }
        controls.extend(sink.controls.iter().map(|(name, value)| (name.get_ref().clone(), value.get_ref().clone())));
        let text = |given: &Option<Spanned<String>>| given.as_ref().map(|given| given.get_ref().clone());
        let (device, output) = (text(&sink.device), text(&sink.output));
        let (encodes, preferred) = (kind == SinkKind::V4l2Encoder, Vec::new());
        Ok(Some(Self { device, output, codecs, controls, encodes, preferred }))
    }

    /// Takes the board's encoders before others, where none is named.
    pub(in super::super) fn prefer(&mut self, nodes: &[String]) {
        self.preferred = nodes.to_vec();
    }

    /// The device itself.
    ///
    /// # Errors
    /// As [`VideoDevice::find`].
    fn find(&self) -> Result<VideoDevice> {
        let wanted = self.device.as_deref();
        match self.encodes {
            true => Encoder::find(wanted, &self.preferred, &self.codecs),
            false => Output::find(wanted),
        }
    }

    /// What the device wants of the memory of pictures of `shape`.
    ///
    /// # Errors
    /// As [`VideoDevice::find`]; `Unsupported`, `op` being `format`: it does not take these.
    pub(in super::super) fn constraints(&self, shape: &Shape) -> Result<Constraints> {
        let device = self.find()?;
        if self.encodes {
            encoder::choose(&device, &self.codecs)?;
        }
        output::constraints(&device, &pictures(shape))
    }

    /// What is said where the key of an error is one of the sink's.
    pub(in super::super) fn place(
        description: &Description,
        name: &str,
        sink: &description::Sink,
        wrong: &Error,
    ) -> Error {
        let controls = sink.controls.iter().find(|(control, _)| control.get_ref() == wrong.op());
        let (key, span) = match wrong.op() {
            "format" => ("input".to_owned(), sink.input.span()),
            "device" => ("device".into(), sink.device.as_ref().map_or(sink.input.span(), Spanned::span)),
            "codec" => match (&sink.codec, &sink.file) {
                (Some(codec), _) => ("codec".into(), codec.span()),
                (None, Some(file)) => ("file".into(), file.span()),
                (None, None) => ("codec".into(), sink.input.span()),
            },
            "output" => ("output".into(), sink.output.as_ref().map_or(sink.input.span(), Spanned::span)),
            "video_bitrate" => ("bitrate".into(), sink.bitrate.as_ref().map_or(0..0, Spanned::span)),
            "video_gop_size" => ("gop".into(), sink.gop.as_ref().map_or(0..0, Spanned::span)),
            other => match controls {
                Some((control, _)) => (format!("controls.{control}"), control.span()),
                None => (other.to_owned(), sink.input.span()),
            },
        };
        description.error(format!("sink.{name}.{key}"), wrong.detail(), span).with_hint_of(wrong)
    }

    /// Looks whether every control is one of the device's, with a value that it takes.
    ///
    /// # Errors
    /// As [`VideoDevice::set_control`].
    pub(in super::super) fn check_controls(&self) -> Result<()> {
        let device = self.find()?;
        self.controls.iter().try_for_each(|(name, value)| device.set_control(name, value, false))
    }

    pub(super) fn open(&self, shape: &Shape, file: &Path) -> Result<Box<dyn Writer>> {
        let device = self.find()?;
        if self.encodes {
            let encoder = Encoder::new(device, &self.codecs, pictures(shape), &self.controls)?;
            let track = Track { codec: encoder.codec(), size: shape.size, color: shape.color, rate: shape.rate };
            let stream = Some(Stream::create(file, track)?);
            tracing::info!(codec = encoder.codec(), "encoding");
            return Ok(Box::new(DeviceWriter::new(Encoding { encoder, stream }, shape.rate)));
        }
        if let Some(output) = &self.output {
            device.select_connection(true, output)?;
        }
        for (name, value) in &self.controls {
            device.set_control(name, value, true)?;
        }
        let output = Output::new(device, pictures(shape))?;
        Ok(Box::new(DeviceWriter::new(output, shape.rate)))
    }
}

fn pictures(shape: &Shape) -> Pictures {
    let rate = (shape.rate.numerator, shape.rate.denominator);
    Pictures { size: shape.size, fourcc: shape.fourcc, color: shape.color, rate }
}

/// What differs between devices that take pictures.
trait Taker: Send {
    fn give(&mut self, picture: Handover, timestamp_ns: u64) -> Result<()>;

    /// No picture will come any more.
    fn end(&mut self) -> Result<()>;

    /// Bytes of the file, made whole.
    fn commit(&mut self) -> Result<u64>;
}

struct Encoding {
    encoder: Encoder,
    /// None once it is whole.
    stream: Option<Stream>,
}

impl Encoding {
    fn run(
        &mut self,
        work: impl FnOnce(&mut Encoder, &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        work(&mut self.encoder, &mut |piece| stream.piece(piece))
    }
}

impl Taker for Encoding {
    fn give(&mut self, picture: Handover, timestamp_ns: u64) -> Result<()> {
        let Handover { buffer, fence, keep, .. } = picture;
        self.run(|encoder, sink| encoder.give(buffer, fence.as_ref(), keep, timestamp_ns, sink))
    }

    fn end(&mut self) -> Result<()> {
        self.run(|encoder, sink| encoder.finish(sink))
    }

    fn commit(&mut self) -> Result<u64> {
        self.stream.take().map_or(Ok(0), Stream::commit)
    }
}

impl Taker for Output {
    fn give(&mut self, picture: Handover, timestamp_ns: u64) -> Result<()> {
        let Handover { buffer, fence, keep, .. } = picture;
        self.give(buffer, fence.as_ref(), keep, timestamp_ns)
    }

    fn end(&mut self) -> Result<()> {
        self.finish()
    }

    fn commit(&mut self) -> Result<u64> {
        self.finish().map(|()| 0)
    }
}

struct DeviceWriter<T> {
    taker: T,
    rate: Rate,
    written: Written,
}

impl<T: Taker> DeviceWriter<T> {
    fn new(taker: T, rate: Rate) -> Self {
        Self { taker, rate, written: Written::default() }
    }
}

impl<T: Taker> Writer for DeviceWriter<T> {
    fn write(&mut self, _picture: &Picture<'_>) -> Result<()> {
        Err(Error::failed("v4l2", "this sink takes memory, not pixels"))
    }

    fn takes_memory(&self) -> bool {
        true
    }

    fn take(&mut self, handover: Handover) -> Result<()> {
        let frame = handover.frame;
        let timestamp_ns = handover.captured_ns.unwrap_or_else(|| self.rate.timestamp_ns(frame));
        self.taker.give(handover, timestamp_ns).map_err(|error| match error.kind() {
            ErrorKind::PeerClosed => error,
            _ => error.in_context(format!("frame {frame}")),
        })?;
        self.written.pictures += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.taker.end()
    }

    fn finish(&mut self) -> Result<Written> {
        self.written.bytes += self.taker.commit()?;
        Ok(self.written)
    }
}
