//! A stateful decoder: a coded stream in, pictures out, lent where they lie.
//!
//! In: the bytes of a stream. Out: what [`Capture`] gives of a camera.
//! Not here: containers; the stream is an elementary one.
//!
//! # References
//! `Documentation/userspace-api/media/v4l/dev-decoder.rst`

use std::time::{Duration, Instant};

use crate::board::AllocatorKind;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Fourcc;
use crate::layout::Size;
use crate::sys::mapping::Mapping;
use crate::sys::v4l2::{self as sys, Format, FormatRequest, PlaneSize, PlaneUse, uapi};

use super::capture::{Capture, Event, Io, Negotiated};
use super::format::{by_code, name_of};
use super::output::{HANG, map};
use super::queue::{self, Memory, Queue};
use super::{Role, VideoDevice};

/// Pieces of the stream that the device has.
const PIECES: u32 = 4;
/// Bytes of a piece, where the driver lets us choose.
const PIECE_BYTES: u32 = 1 << 20;
/// Pictures that the run has beside those that the decoder needs for itself.
const BESIDE: u32 = 4;

/// Reads a stream: fills as much as there is from byte `at` on, nothing at its end.
pub type Input = Box<dyn FnMut(u64, &mut [u8]) -> Result<usize> + Send>;

/// The stream on its way in.
struct Bits {
    coded: Queue,
    maps: Vec<Vec<Mapping>>,
    input: Input,
    device: VideoDevice,
    bytes: Vec<u8>,
    at: u64,
    has_ended: bool,
    is_stopped: bool,
}

impl Bits {
    /// Gives the device what it has room for; whether there is more.
    fn pump(&mut self) -> Result<bool> {
        while self.coded.dequeue()?.is_some() {}
        while !self.has_ended {
            let Some(slot) = (0..self.coded.len()).find(|slot| !self.coded.is_queued(*slot)) else { break };
            let room = self.maps[slot][0].len_bytes().min(self.coded.format.planes[0].size_bytes.max(1) as usize);
            self.bytes.resize(room, 0);
            let length = (self.input)(self.at, &mut self.bytes)?.min(room);
            if length == 0 {
                self.has_ended = true;
                break;
            }
            self.maps[slot][0]
                .write(0, &self.bytes[..length])
                .ok_or_else(|| Error::failed("write", "a piece is too long"))?;
            let used_bytes = length as u32;
            let plane = PlaneUse { used_bytes, length_bytes: room as u32, ..PlaneUse::default() };
            self.coded.queue(slot, &[], &[plane], 0)?;
            self.at += u64::from(used_bytes);
        }
        Ok(!self.has_ended)
    }

    /// Says that nothing will come any more, once.
    fn stop(&mut self) -> Result<()> {
        if self.has_ended && !self.is_stopped {
            self.is_stopped = true;
            sys::decoder_command(self.device.fd(), uapi::DEC_CMD_STOP)
                .map_err(|errno| Error::from_errno("V4L2_DEC_CMD_STOP", &self.device, errno))?;
        }
        Ok(())
    }
}

/// A decoder at work.
pub struct Decoder {
    // Dropped first: pictures, then the stream, then the device.
    capture: Option<Capture>,
    bits: Bits,
    negotiated: Negotiated,
}

impl Decoder {
    /// Finds a decoder for `codec`.
    ///
    /// # Errors
    /// As [`VideoDevice::find`].
    pub fn find(wanted: Option<&str>, codec: u32) -> Result<VideoDevice> {
        let suits =
            |device: &VideoDevice| device.formats(device.output_kind()).iter().any(|format| format.code == codec);
        VideoDevice::find_with(wanted, Role::Decoder, suits)
    }

    /// Begins to decode `input`, named `name` in errors, as far as it takes to know what its pictures are.
    ///
    /// # Errors
    /// `Unsupported`: a device that wants its stream cut into pictures; `InvalidInput`, `op` being `format`: no such
    /// pictures; `Failed` where the bytes are no such stream.
    pub fn open(
        device: &VideoDevice,
        codec: u32,
        (input, name): (Input, &str),
        fourcc: Option<Fourcc>,
    ) -> Result<Self> {
        let kind = device.output_kind();
        let offered = device.formats(kind);
        match offered.iter().find(|format| format.code == codec) {
            Some(format) if format.is_bytestream => {}
            Some(_) => {
                let detail = format!("{device} wants each picture of {} by itself", name_of(codec));
                return Err(Error::unsupported("V4L2_FMT_FLAG_CONTINUOUS_BYTESTREAM", detail));
            }
            None => return Err(Error::unsupported("codec", format!("{device} does not decode {}", name_of(codec)))),
        }
        let mut wanted = Format { pixel_format: codec, plane_count: 1, ..Format::default() };
        wanted.planes[0] = PlaneSize { stride_bytes: 0, size_bytes: PIECE_BYTES };
        let format = device.format(kind, FormatRequest::Set, &wanted)?;
        for event in [uapi::EVENT_SOURCE_CHANGE, uapi::EVENT_EOS] {
            let _ = sys::subscribe_event(device.fd(), event, 0);
        }
        let coded = Queue::new(device, kind, format, Memory::Driver, PIECES)?;
        let maps = (0..coded.len()).map(|index| map(device, &coded, index, true)).collect::<Result<_>>()?;
        let mut bits = Bits {
            coded,
            maps,
            input,
            device: device.clone(),
            bytes: Vec::new(),
            at: 0,
            has_ended: false,
            is_stopped: false,
        };
        bits.pump()?;
        if bits.at == 0 {
            return Err(Error::invalid("read", format!("{name}: the stream is empty")));
        }
        bits.coded.start()?;
        let since = Instant::now();
        loop {
            if let Ok((kind, _)) = sys::dequeue_event(device.fd()) {
                if kind == uapi::EVENT_SOURCE_CHANGE {
                    break;
                }
                continue;
            }
            let left = HANG.saturating_sub(since.elapsed());
            let more = bits.pump()?;
            if left.is_zero() || (!more && bits.coded.queued() == 0) {
                let detail = format!("{name}: {device} finds no {} in {} bytes", name_of(codec), bits.at);
                return Err(Error::new(ErrorKind::Failed, "codec", detail));
            }
            let ready = queue::wait(device, (false, true), &[], left.min(Duration::from_millis(100)))?;
            if ready.error && !ready.event {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let negotiated = Self::negotiate(device, fourcc)?;
        Ok(Self { capture: None, bits, negotiated })
    }

    /// What the pictures are going to be, in the wanted format where there is one.
    fn negotiate(device: &VideoDevice, fourcc: Option<Fourcc>) -> Result<Negotiated> {
        let kind = device.capture_kind();
        let mut format = device.format(kind, FormatRequest::Get, &Format::default())?;
        let known: Vec<_> = device.formats(kind).iter().filter_map(|format| by_code(format.code)).collect();
        let row = match fourcc {
            Some(fourcc) => known.iter().find(|row| row.fourcc == fourcc),
            None => known.iter().find(|row| row.code == format.pixel_format).or(known.first()),
        };
        let Some(row) = row else {
            let names: Vec<String> = known.iter().map(|row| row.fourcc.to_string()).collect();
            let wanted = fourcc.map_or_else(|| "pictures known here".into(), |fourcc| fourcc.to_string());
            return Err(Error::invalid("format", format!("{device} does not give {wanted} of this stream"))
                .with_hint(format!("it gives {}", names.join(", "))));
        };
        if row.code != format.pixel_format {
            let wanted = Format { pixel_format: row.code, planes: Default::default(), ..format };
            format = device.format(kind, FormatRequest::Set, &wanted)?;
        }
        let coded = Size::new(format.width, format.height);
        let visible = device.visible(kind, uapi::SEL_TGT_COMPOSE).unwrap_or(coded);
        let size = match visible.width <= coded.width && visible.height <= coded.height {
            true => visible,
            false => coded,
        };
        Negotiated::of_decoder(device, kind, format, size)
    }

    /// What the pictures are.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Makes buffers for pictures, as [`Capture::start`]; not more than the decoder and the run need.
    ///
    /// # Errors
    /// As [`Capture::start`].
    pub fn start(&mut self, io: Io, device: &Device, kinds: &[AllocatorKind]) -> Result<()> {
        let own = self.bits.device.control("min_number_of_capture_buffers").unwrap_or(1);
        let count = u32::try_from(own.clamp(1, 24)).unwrap_or(1) + BESIDE;
        self.capture = Some(Capture::start(self.negotiated.clone(), io, count, device, kinds)?);
        Ok(())
    }

    /// Waits up to `timeout` for the next picture.
    ///
    /// # Errors
    /// As [`Capture::next`]; those of the stream's file.
    pub fn next(&mut self, timeout: Duration) -> Result<Event> {
        let Some(capture) = &mut self.capture else {
            return Err(Error::failed("v4l2", "the decoder was not started"));
        };
        let bits = &mut self.bits;
        capture.next_beside(timeout, &mut || {
            let more = bits.pump()?;
            bits.stop()?;
            Ok(more)
        })
    }
}
