//! A stateful encoder: pictures in, a coded stream out.
//!
//! In: buffers with fences and times. Out: pieces of the stream, each with the time of its picture.
//! Not here: files and containers (`pipeline::sink`).
//!
//! # References
//! `Documentation/userspace-api/media/v4l/dev-encoder.rst`

use std::any::Any;
use std::time::Instant;

use nix::errno::Errno;

use crate::board::Encode;
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::sys::mapping::Mapping;
use crate::sys::v4l2::{self as sys, Format, FormatRequest, PlaneSize, uapi};

use super::control::Value;
use super::format::{CODECS, name_of};
use super::output::{Giver, HANG, Pictures, map, offered};
use super::queue::{self, Memory, Queue};
use super::{Role, VideoDevice};

/// Pieces that may wait to be written.
const PIECES: u32 = 4;

/// A piece of the stream: what became of one picture, or headers.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The picture's time.
    pub timestamp_ns: u64,
    /// It can be decoded without those before.
    pub is_key: bool,
}

/// Takes pieces in their order.
pub type Sink<'a> = dyn FnMut(Piece<'_>) -> Result<()> + 'a;

/// The code of a codec's name.
///
/// # Errors
/// `InvalidInput`, `op` being `codec`, with the nearest.
pub fn codec(name: &str) -> Result<u32> {
    if let Some((_, code)) = CODECS.iter().find(|(known, _)| *known == name) {
        return Ok(*code);
    }
    let names: Vec<&str> = CODECS.iter().map(|(name, _)| *name).collect();
    let hint = match crate::error::nearest(name, names.iter().copied()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("there is {}", names.join(", ")),
    };
    Err(Error::invalid("codec", format!("\"{name}\" is no codec known here")).with_hint(hint))
}

/// The first codec of the device's that is one of `codecs`, or its first where there are none.
///
/// # Errors
/// `Unsupported`, `op` being `codec`, with what it makes.
pub fn choose(device: &VideoDevice, codecs: &[u32]) -> Result<u32> {
    let coded = device.formats(device.capture_kind());
    let suits = |format: &&super::device::Offered| codecs.is_empty() || codecs.contains(&format.code);
    if let Some(found) = coded.iter().find(suits) {
        return Ok(found.code);
    }
    let names = |codes: &mut dyn Iterator<Item = u32>| codes.map(name_of).collect::<Vec<_>>().join(", ");
    let detail = format!("{device} does not make {}", names(&mut codecs.iter().copied()).replace(", ", " or "));
    let made = names(&mut coded.iter().map(|format| format.code));
    Err(Error::unsupported("codec", detail).with_hint(format!("it makes {made}")))
}

/// An encoder at work.
pub struct Encoder {
    // Dropped before the device; each gives its memory back.
    giver: Option<Giver>,
    coded: Option<(Queue, Vec<Vec<Mapping>>)>,
    device: VideoDevice,
    codec: u32,
    pictures: Pictures,
    given: u64,
    coded_pieces: u64,
    has_last: bool,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Finds an encoder for one of `codecs`, or the first there is where there are none. A name may be one of
    /// [`ENCODERS`](crate::board::ENCODERS). Without one those of `preferred` (paths or names, in their order) come before
    /// others.
    ///
    /// # Errors
    /// As [`VideoDevice::find`].
    pub fn find(wanted: Option<&str>, preferred: &[String], codecs: &[u32]) -> Result<VideoDevice> {
        let suits = |device: &VideoDevice| choose(device, codecs).is_ok();
        let by_kernel_name = |name: &str| {
            let names = Encode::kernel_names(name).into_iter();
            let mut found = names.filter_map(|name| VideoDevice::find_with(Some(name), Role::Encoder, suits).ok());
            found.next()
        };
        let found = match wanted {
            Some(name) => by_kernel_name(name),
            None => preferred.iter().filter_map(|name| by_kernel_name(name)).find(suits),
        };
        found.map_or_else(|| VideoDevice::find_with(wanted, Role::Encoder, suits), Ok)
    }

    /// An encoder with its controls set, which begins with the first picture. It makes the device's first of `codecs`, of
    /// all where there are none.
    ///
    /// # Errors
    /// `Unsupported` where the device does not make these codecs or take this format; as [`VideoDevice::set_control`].
    pub fn new(device: VideoDevice, codecs: &[u32], pictures: Pictures, controls: &[(String, Value)]) -> Result<Self> {
        offered(&device, pictures.fourcc)?;
        let codec = choose(&device, codecs)?;
        for (name, value) in controls {
            device.set_control(name, value, true)?;
        }
        Ok(Self {
            giver: None,
            coded: None,
            device,
            codec,
            pictures,
            given: 0,
            coded_pieces: 0,
            has_last: false,
            bytes: Vec::new(),
        })
    }

    /// The codec's name: `h264`, `fwht`.
    pub fn codec(&self) -> String {
        name_of(self.codec)
    }

    /// Pictures are copied into the device's memory.
    pub fn copies(&self) -> bool {
        self.giver.as_ref().is_some_and(Giver::copies)
    }

    fn start(&mut self, first: &Buffer) -> Result<()> {
        let kind = self.device.capture_kind();
        let size = self.pictures.size;
        let mut wanted = Format {
            width: size.width,
            height: size.height,
            pixel_format: self.codec,
            plane_count: 1,
            ..Format::default()
        };
        // Some drivers leave the size of a piece to us: the pixels' own is enough for any codec.
        wanted.planes[0] = PlaneSize { stride_bytes: 0, size_bytes: u32::try_from(size.pixels() * 2).unwrap_or(0) };
        self.device.format(kind, FormatRequest::Set, &wanted)?;
        let giver = Giver::new(&self.device, &self.pictures, first)?;
        // The pictures' format may have changed the stream's.
        let format = self.device.format(kind, FormatRequest::Get, &Format::default())?;
        let mut coded = Queue::new(&self.device, kind, format, Memory::Driver, PIECES)?;
        let maps = (0..coded.len()).map(|index| map(&self.device, &coded, index, false)).collect::<Result<_>>()?;
        for index in 0..coded.len() {
            coded.queue(index, &[], &[], 0)?;
        }
        (self.giver, self.coded) = (Some(giver), Some((coded, maps)));
        Ok(())
    }

    /// Encodes a picture behind its fence. Pieces that are ready go to `sink`; blocks while the device is busy.
    ///
    /// # Errors
    /// `Unsupported` with what the device wants, where the first picture does not lie as it must; `Timeout` where the
    /// device does nothing; `NotFound` where it went away; `Failed` where it cannot use a picture; those of `sink`.
    pub fn give(
        &mut self,
        buffer: Buffer,
        fence: Option<&Fence>,
        keep: Box<dyn Any + Send + Sync>,
        timestamp_ns: u64,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        // No V4L2 driver waits for fences itself.
        fence.map_or(Ok(()), |fence| fence.wait(Some(HANG)))?;
        if self.giver.is_none() {
            self.start(&buffer)?;
        }
        self.collect(sink)?;
        let mut since = Instant::now();
        while self.giver.as_ref().is_some_and(|giver| !giver.has_room(&buffer)) {
            self.wait(since)?;
            if self.collect(sink)? {
                since = Instant::now();
            }
        }
        if let Some(giver) = &mut self.giver {
            giver.give(buffer, keep, timestamp_ns)?;
        }
        if self.given == 0 {
            if let Some(giver) = &mut self.giver {
                giver.start()?;
            }
            if let Some((coded, _)) = &mut self.coded {
                coded.start()?;
            }
        }
        self.given += 1;
        Ok(())
    }

    /// Ends the stream: waits for what the device still has.
    ///
    /// # Errors
    /// As [`Encoder::give`].
    pub fn finish(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        if self.given == 0 {
            return Ok(());
        }
        let stops = match sys::encoder_command(self.device.fd(), uapi::ENC_CMD_STOP) {
            Ok(()) => true,
            // Drivers of before 2015: every picture has its piece.
            Err(Errno::ENOTTY) => false,
            Err(errno) => return Err(Error::from_errno("V4L2_ENC_CMD_STOP", &self.device, errno)),
        };
        let mut since = Instant::now();
        loop {
            if self.collect(sink)? {
                since = Instant::now();
            }
            if self.has_last || (!stops && self.coded_pieces >= self.given) {
                break;
            }
            self.wait(since)?;
        }
        (self.giver, self.coded) = (None, None);
        Ok(())
    }

    fn wait(&self, since: Instant) -> Result<()> {
        let left = HANG.saturating_sub(since.elapsed());
        if left.is_zero() {
            let detail = format!("{}: nothing came for {HANG:?}, after {} pictures", self.device, self.given);
            return Err(Error::new(ErrorKind::Timeout, "v4l2", detail));
        }
        let out = self.giver.as_ref().is_some_and(|giver| giver.queued() > 0);
        let ready = queue::wait(&self.device, (true, out), &[], left)?;
        if ready.error && !ready.capture && !ready.output {
            // The next request says why; where it does not, this does not spin.
            std::thread::sleep(std::time::Duration::from_millis(5).min(left));
        }
        Ok(())
    }

    /// Takes what is ready; false where nothing was.
    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<bool> {
        let mut any = match &mut self.giver {
            Some(giver) if self.given > 0 => giver.reap()? > 0,
            _ => return Ok(false),
        };
        let Some((coded, maps)) = &mut self.coded else { return Ok(any) };
        while let Some(info) = coded.dequeue()? {
            any = true;
            let index = info.index as usize;
            let plane = info.planes[0];
            let length = plane.used_bytes.saturating_sub(plane.data_offset_bytes);
            if info.flags & uapi::BUF_FLAG_ERROR != 0 {
                let detail = format!("{}: piece {} is spoilt", self.device, self.coded_pieces);
                return Err(Error::failed("VIDIOC_DQBUF", detail));
            }
            if length > 0 {
                self.bytes.clear();
                maps.get(index)
                    .and_then(|maps| maps[0].read(plane.data_offset_bytes.into(), length.into(), &mut self.bytes))
                    .ok_or_else(|| Error::failed("VIDIOC_DQBUF", "a piece ends behind its memory"))?;
                self.coded_pieces += 1;
                let is_key = info.flags & uapi::BUF_FLAG_KEYFRAME != 0;
                sink(Piece { bytes: &self.bytes, timestamp_ns: info.timestamp_ns, is_key })?;
            }
            if info.flags & uapi::BUF_FLAG_LAST != 0 {
                self.has_last = true;
                break;
            }
            coded.queue(index, &[], &[], 0)?;
        }
        Ok(any)
    }
}
