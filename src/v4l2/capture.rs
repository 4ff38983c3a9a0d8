//! Pictures from a camera or grabber, lent where they lie.
//!
//! In: a device, what is wanted of its pictures, whose memory they lie in. Out: frames with the device's times and
//! sequence numbers, and a lease that gives the memory back behind a fence.
//! Not here: importing the memory into a GPU (`pipeline::runner`).

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::buffer::{Buffer, Provenance};
use crate::color::Color;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::fence::Fence;
use crate::format::Fourcc;
use crate::frame::Frame;
use crate::layout::{Constraints, Layout, Size};
use crate::sys::v4l2 as sys;
use crate::sys::v4l2::{BufferInfo, Format, FormatRequest, uapi};

use super::format::{PIXEL_CODES, by_code, color, layout, name_of};
use super::queue::{self, Memory, Queue};
use super::{Role, VideoDevice};

/// Strides that GPUs like: what lima and panfrost want, as [`Constraints::MALI`].
const STRIDE_ALIGN: u32 = Constraints::MALI.stride_align_bytes;

/// Whose memory the pictures lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// The device's, as dma-bufs (`VIDIOC_EXPBUF`).
    #[default]
    Export,
    /// Ours, which the device fills (`V4L2_MEMORY_DMABUF`).
    Import,
}

/// What is wanted of the pictures; the rest is as the device has it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Size.
    pub size: Option<Size>,
    /// Format.
    pub fourcc: Option<Fourcc>,
    /// Frames per second as a fraction.
    pub rate: Option<(u32, u32)>,
}

/// What a device's pictures are going to be.
#[derive(Clone, Debug)]
pub struct Negotiated {
    device: VideoDevice,
    kind: u32,
    format: Format,
    /// Size of the pictures.
    pub size: Size,
    /// Format of the pictures.
    pub fourcc: Fourcc,
    /// What the numbers mean, as the driver says.
    pub color: Color,
    /// The driver says something of the colours.
    pub says_color: bool,
    /// Frames per second as a fraction, where the device knows them.
    pub rate: Option<(u32, u32)>,
    /// Rows lie so far apart.
    pub stride_bytes: u32,
}

impl Negotiated {
    /// Agrees with the device on what its pictures are; `really` is false to only ask. Rows are asked to begin where GPUs
    /// want it.
    ///
    /// # Errors
    /// `InvalidInput`, `op` being the key: a format, size or rate that the device has not, with those it has. As
    /// [`VideoDevice::open`] does; `Unsupported` where it has no format known here.
    pub fn new(device: &VideoDevice, wanted: &Wanted, really: bool) -> Result<Self> {
        let kind = device.capture_kind();
        let offered = device.formats(kind);
        let known: Vec<_> = offered.iter().filter_map(|format| by_code(format.code)).collect();
        let mut format = device.format(kind, FormatRequest::Get, &Format::default())?;
        let code = match wanted.fourcc {
            None if by_code(format.pixel_format).is_some() => Some(format.pixel_format),
            None => known.first().map(|row| row.code),
            Some(fourcc) => {
                // One memory for all planes where the device has both.
                let mut rows: Vec<_> = known.iter().filter(|row| row.fourcc == fourcc).collect();
                rows.sort_by_key(|row| row.is_separate);
                let Some(row) = rows.first() else {
                    let mut names: Vec<String> = known.iter().map(|row| row.fourcc.to_string()).collect();
                    names.dedup();
                    let near = nearest(&fourcc.to_string(), names.iter().map(String::as_str)).map(str::to_owned);
                    let hint = match near {
                        Some(name) => format!("did you mean {name}? It has {}", names.join(", ")),
                        None => format!("it has {}", names.join(", ")),
                    };
                    return Err(Error::invalid("format", format!("{device} has no {fourcc}")).with_hint(hint));
                };
                Some(row.code)
            }
        };
        let Some(code) = code else {
            let names: Vec<String> = offered.iter().map(|format| name_of(format.code)).collect();
            let detail = format!("{device} has no format of pixels that is known here: {}", names.join(", "));
            return Err(Error::unsupported("V4L2 format", detail));
        };
        // What belonged to another format is left to the driver.
        format = Format {
            width: wanted.size.map_or(format.width, |size| size.width),
            height: wanted.size.map_or(format.height, |size| size.height),
            pixel_format: code,
            field: uapi::FIELD_NONE,
            ..Format::default()
        };
        let given = device.format(kind, FormatRequest::Try, &format)?;
        let got = Size::new(given.width, given.height);
        if let Some(size) = wanted.size.filter(|size| *size != got) {
            let sizes = device.sizes(code);
            let mut error = Error::invalid("size", format!("{device} has no {size} in {}, but {got}", name_of(code)));
            if !sizes.is_empty() {
                error = error.with_hint(format!("it has {}", sizes.join(", ")));
            }
            return Err(error);
        }
        if given.pixel_format != code {
            let detail = format!("{device} offers {} and sets {}", name_of(code), name_of(given.pixel_format));
            return Err(Error::invalid("format", detail));
        }
        // Rows that begin where GPUs want them, where the driver lets us choose.
        let mut aligned = given;
        for plane in &mut aligned.planes[..given.plane_count] {
            plane.stride_bytes = plane.stride_bytes.next_multiple_of(STRIDE_ALIGN);
            plane.size_bytes = 0;
        }
        let request = if really { FormatRequest::Set } else { FormatRequest::Try };
        let format = device.format(kind, request, &aligned)?;
        // Between our question and now somebody may have changed something.
        if (format.width, format.height, format.pixel_format) != (given.width, given.height, code) {
            let detail = format!("{device} became {} {}x{}", name_of(format.pixel_format), format.width, format.height);
            return Err(Error::failed("VIDIOC_S_FMT", detail).with_hint("somebody else uses it"));
        }
        let row = by_code(code).ok_or_else(|| Error::failed("V4L2 format", "it went away"))?;
        let rate = device.rate(kind, wanted.rate.filter(|_| really));
        if let (Some((numerator, denominator)), Some((a, b)), true) = (wanted.rate, rate, really)
            && (f64::from(a) / f64::from(b) - f64::from(numerator) / f64::from(denominator)).abs() > 0.01
        {
            let detail = format!("{device} has no {numerator}/{denominator} frames/s at {got}, but {a}/{b}");
            return Err(Error::invalid("rate", detail).with_hint("`v4l2-ctl --list-formats-ext` lists its rates"));
        }
        if !matches!(format.field, 0 | uapi::FIELD_NONE) {
            tracing::warn!(%device, field = format.field, "the pictures are interlaced: see shaders/deinterlace.frag");
        }
        // Checks the numbers once, before memory is made of them.
        layout(&format, got, &[0; uapi::MAX_PLANES])?;
        let (fourcc, stride_bytes) = (row.fourcc, format.planes[0].stride_bytes);
        let says_color = format.colorspace != 0;
        let color = color(&format, fourcc);
        Ok(Self { device: device.clone(), kind, format, size: got, fourcc, color, says_color, rate, stride_bytes })
    }
}

impl Negotiated {
    /// What a decoder is going to give.
    pub(super) fn of_decoder(device: &VideoDevice, kind: u32, format: Format, size: Size) -> Result<Self> {
        layout(&format, size, &[0; uapi::MAX_PLANES])?;
        let row = by_code(format.pixel_format).ok_or_else(|| Error::failed("V4L2 format", "it went away"))?;
        let color = color(&format, row.fourcc);
        Ok(Self {
            device: device.clone(),
            kind,
            format,
            size,
            fourcc: row.fourcc,
            color,
            says_color: format.colorspace != 0,
            rate: None,
            stride_bytes: format.planes[0].stride_bytes,
        })
    }
}

impl std::fmt::Display for Negotiated {
    /// `/dev/video0 (vivid)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.device.fmt(f)
    }
}

/// Finds a capture device that gives pictures.
///
/// # Errors
/// As [`VideoDevice::find`].
pub fn find(wanted: Option<&str>) -> Result<VideoDevice> {
    let suits = |device: &VideoDevice| {
        device.formats(device.capture_kind()).iter().any(|format| PIXEL_CODES.iter().any(|row| row.code == format.code))
    };
    VideoDevice::find_with(wanted, Role::Capture, suits)
}

/// Why a stream ended, or does not go on.
#[derive(Debug)]
pub enum Event {
    /// A picture.
    Frame(Captured),
    /// Nothing within the time.
    Nothing,
    /// The device's source has another size now: this stream is over.
    Changed,
    /// The device went away.
    Gone,
    /// The stream is over, as it should be.
    Last,
}

/// A picture and the right to read it.
#[derive(Debug)]
pub struct Captured {
    /// The memory, the device's sequence number from the stream's start (gaps are pictures that it left out) and its time
    /// from the first picture's.
    pub frame: Frame,
    /// Of the pictures that are missing right before this one: those for which the device had no buffer. 0 where its times
    /// are not of the monotonic clock.
    pub starved: u64,
    /// Dropped, the device gets the memory back.
    pub lease: Lease,
}

/// The right to read a captured picture. Dropped, its memory goes back, behind the fence where one was given.
#[derive(Debug)]
pub struct Lease {
    slot: usize,
    fence: Mutex<Option<Fence>>,
    returns: Arc<Returns>,
}

impl Lease {
    /// The memory is read until `fence` signals, also when the lease is dropped before.
    pub fn until(&self, fence: Fence) {
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = Some(fence);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let fence = self.fence.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.returns.list.lock().unwrap_or_else(PoisonError::into_inner).push((self.slot, fence));
        // Full: whoever waits is woken anyway.
        let _ = (&self.returns.bell).write(&[1]);
    }
}

/// Slots on their way back to the thread that captures.
#[derive(Debug)]
struct Returns {
    list: Mutex<Vec<(usize, Option<Fence>)>>,
    bell: UnixStream,
}

#[derive(Debug)]
struct Slot {
    /// Memory of ours, one for each of the queue's planes.
    memory: Vec<Buffer>,
    /// The same memory as pictures, once it was filled; with where the data began.
    picture: Option<([u32; uapi::MAX_PLANES], Buffer)>,
    /// The driver's memory, until a picture is made of it.
    exported: Vec<OwnedFd>,
    /// When the driver got it, by the monotonic clock.
    given_ns: u64,
}

/// A device at work.
#[derive(Debug)]
pub struct Capture {
    // Dropped before the slots: the driver lets go of their memory first.
    queue: Queue,
    negotiated: Negotiated,
    slots: Vec<Slot>,
    returns: Arc<Returns>,
    bell: UnixStream,
    /// Read by the GPU still.
    waiting: Vec<(usize, Fence)>,
    first: Option<(u32, u64)>,
    last_sequence: u32,
    last_timestamp_ns: u64,
    wraps: u64,
    corrupt: u64,
    /// A codec has given its last picture.
    has_ended: bool,
}

impl Capture {
    /// Begins to capture into `count` buffers, or as many as the driver wants. Memory of ours comes from the first of
    /// `kinds` that the device takes.
    ///
    /// # Errors
    /// `Unsupported` where the driver does not do `io`; `NotFound` where the device went away; those of the driver.
    pub fn start(negotiated: Negotiated, io: Io, count: u32, device: &Device, kinds: &[AllocatorKind]) -> Result<Self> {
        match io {
            Io::Export => Self::start_with(negotiated, Memory::Driver, count, |_| Ok(Vec::new())),
            Io::Import => {
                let mut refusals = Vec::new();
                for kind in kinds.iter().filter(|kind| **kind != AllocatorKind::Memfd) {
                    let make = |format: &Format| ours(device, *kind, format);
                    match Self::start_with(negotiated.clone(), Memory::DmaBuf, count, make) {
                        Ok(capture) => return Ok(capture),
                        Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
                        Err(error) => refusals.push(format!("{kind}: {error}")),
                    }
                }
                let detail = format!("{}: no memory of ours will do: {}", negotiated.device, refusals.join(" | "));
                Err(Error::unsupported("V4L2_MEMORY_DMABUF", detail)
                    .with_hint("io = \"export\" uses the device's memory"))
            }
        }
    }

    fn start_with(
        negotiated: Negotiated,
        memory: Memory,
        count: u32,
        mut make: impl FnMut(&Format) -> Result<Vec<Buffer>>,
    ) -> Result<Self> {
        let (device, format) = (negotiated.device.clone(), negotiated.format);
        let mut queue = Queue::new(&device, negotiated.kind, format, memory, count)?;
        let mut slots = Vec::new();
        for index in 0..queue.len() {
            let mut slot = Slot { memory: make(&format)?, picture: None, exported: Vec::new(), given_ns: 0 };
            if memory == Memory::Driver {
                slot.exported =
                    (0..format.plane_count).map(|plane| queue.export(index, plane)).collect::<Result<_>>()?;
            }
            slots.push(slot);
        }
        let (ours, theirs) = UnixStream::pair().map_err(|error| Error::from_io("socketpair", "a wake-up", error))?;
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).map_err(|error| Error::from_io("fcntl", "a wake-up", error))?;
        }
        for (index, slot) in slots.iter().enumerate() {
            let fds: Vec<BorrowedFd<'_>> = slot.memory.iter().map(|memory| memory.plane_fd(0)).collect();
            queue.queue(index, &fds, &[], 0)?;
        }
        // Not every driver has them; where there are inputs, each has its own.
        let input = sys::current_input(device.fd()).unwrap_or(0);
        let _ = sys::subscribe_event(device.fd(), uapi::EVENT_SOURCE_CHANGE, input);
        queue.start()?;
        let returns = Arc::new(Returns { list: Mutex::default(), bell: theirs });
        Ok(Self {
            queue,
            negotiated,
            slots,
            returns,
            bell: ours,
            waiting: Vec::new(),
            first: None,
            last_sequence: 0,
            last_timestamp_ns: 0,
            wraps: 0,
            corrupt: 0,
            has_ended: false,
        })
    }

    /// What the pictures are.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Buffers in the circle.
    pub fn buffers(&self) -> usize {
        self.slots.len()
    }

    /// Pictures that the driver marked as torn or wrong; they were not handed on and show as gaps.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Waits up to `timeout` for the next picture.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn next(&mut self, timeout: Duration) -> Result<Event> {
        // Where there always is a picture nothing is waited for, and a change would not be seen.
        if self.has_changed() {
            return Ok(Event::Changed);
        }
        self.next_beside(timeout, &mut || Ok(false))
    }

    /// Whether the driver has told of another size since it was asked last.
    fn has_changed(&self) -> bool {
        let device = &self.negotiated.device;
        let mut has_changed = false;
        while let Ok((kind, changes)) = sys::dequeue_event(device.fd()) {
            has_changed |= kind == uapi::EVENT_SOURCE_CHANGE && changes & uapi::EVENT_SRC_CH_RESOLUTION != 0;
        }
        has_changed
    }

    /// As [`Capture::next`]; `beside` is called in between, and says whether the device's other queue is waited for too.
    pub(super) fn next_beside(&mut self, timeout: Duration, beside: &mut dyn FnMut() -> Result<bool>) -> Result<Event> {
        let deadline = Instant::now() + timeout;
        loop {
            let has_more = match beside() {
                Ok(has_more) => has_more,
                Err(error) => return gone(error),
            };
            if let Err(error) = self.requeue() {
                return gone(error);
            }
            match self.queue.dequeue() {
                Ok(Some(info)) => match self.picture(&info)? {
                    Some(captured) => return Ok(Event::Frame(captured)),
                    None => continue,
                },
                Ok(None) if self.has_ended => return Ok(Event::Last),
                Ok(None) => {}
                Err(error) => return gone(error),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Nothing);
            }
            let mut others = vec![self.bell.as_fd()];
            others.extend(self.waiting.iter().map(|(_, fence)| fence.as_fd()));
            let device = &self.negotiated.device;
            let ready = queue::wait(device, (self.queue.queued() > 0, has_more), &others, left)?;
            if ready.event && self.has_changed() {
                return Ok(Event::Changed);
            }
            if ready.error && !ready.capture {
                // A device that went away says so; one that only has nothing does not spin here.
                match self.queue.dequeue() {
                    Err(error) => return gone(error),
                    Ok(_) => std::thread::sleep(left.min(Duration::from_millis(5))),
                }
            }
        }
    }

    /// Gives the driver what nobody reads any more.
    fn requeue(&mut self) -> Result<()> {
        let mut bytes = [0; 64];
        while matches!((&self.bell).read(&mut bytes), Ok(1..)) {}
        let back = std::mem::take(&mut *self.returns.list.lock().unwrap_or_else(PoisonError::into_inner));
        for (slot, fence) in back {
            match fence {
                Some(fence) => self.waiting.push((slot, fence)),
                None => self.give(slot)?,
            }
        }
        // No V4L2 driver waits for fences itself.
        let (done, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(_, fence)| {
            // Work that ended with an error has ended.
            fence.is_signaled().unwrap_or(true)
        });
        self.waiting = waiting;
        let done: Vec<(usize, Fence)> = done;
        for (slot, _) in done {
            self.give(slot)?;
        }
        Ok(())
    }

    fn give(&mut self, slot: usize) -> Result<()> {
        let fds: Vec<BorrowedFd<'_>> = self.slots[slot].memory.iter().map(|memory| memory.plane_fd(0)).collect();
        self.queue.queue(slot, &fds, &[], 0)?;
        self.slots[slot].given_ns = crate::sys::monotonic_ns();
        Ok(())
    }

    /// The picture in a slot that came back; `None` where it is none.
    fn picture(&mut self, info: &BufferInfo) -> Result<Option<Captured>> {
        let index = info.index as usize;
        self.has_ended |= info.flags & uapi::BUF_FLAG_LAST != 0;
        let empty = info.planes[..info.plane_count].iter().all(|plane| plane.used_bytes == 0);
        if info.flags & uapi::BUF_FLAG_ERROR != 0 || empty {
            if !self.has_ended {
                self.corrupt += 1;
                self.give(index)?;
            }
            return Ok(None);
        }
        let offsets = info.planes.map(|plane| plane.data_offset_bytes);
        let negotiated = &self.negotiated;
        let slot = self.slots.get_mut(index).ok_or_else(|| Error::failed("VIDIOC_DQBUF", "a buffer nobody made"))?;
        let buffer = match &slot.picture {
            Some((known, buffer)) if *known == offsets => buffer.clone(),
            _ => {
                let layout = layout(&negotiated.format, negotiated.size, &offsets)?;
                let buffer = slot.buffer(layout, &negotiated.device)?;
                slot.picture = Some((offsets, buffer.clone()));
                buffer
            }
        };
        let (first, began) = *self.first.get_or_insert((info.sequence, info.timestamp_ns));
        if info.sequence < self.last_sequence {
            self.wraps += 1 << 32;
        }
        let lost = info.sequence.wrapping_sub(self.last_sequence).saturating_sub(1);
        // Buffers are filled in the order in which they were given: where the driver had this one when it wrote the picture
        // before, it was never without.
        let is_monotonic = info.flags & uapi::BUF_FLAG_TIMESTAMP_MASK == uapi::BUF_FLAG_TIMESTAMP_MONOTONIC;
        let was_without = is_monotonic && slot.given_ns > self.last_timestamp_ns;
        let starved = if was_without && info.sequence != first { u64::from(lost) } else { 0 };
        self.last_timestamp_ns = info.timestamp_ns;
        self.last_sequence = info.sequence;
        let sequence = (self.wraps + u64::from(info.sequence)).saturating_sub(first.into());
        let timestamp_ns = info.timestamp_ns.saturating_sub(began);
        let frame = Frame { color: negotiated.color, sequence, timestamp_ns, ..Frame::new(buffer, None) };
        let lease = Lease { slot: index, fence: Mutex::default(), returns: Arc::clone(&self.returns) };
        Ok(Some(Captured { frame, starved, lease }))
    }

    /// Lets go of what was captured before now: the next picture is the first one.
    ///
    /// # Errors
    /// As [`Capture::next`].
    pub fn begin(&mut self) -> Result<()> {
        loop {
            match self.requeue().and_then(|()| self.queue.dequeue()) {
                Ok(Some(info)) => self.give(info.index as usize)?,
                Ok(None) => break,
                // Said at the next picture.
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        (self.first, self.last_sequence, self.wraps) = (None, 0, 0);
        Ok(())
    }
}

/// A device that went away is an end, everything else an error.
fn gone(error: Error) -> Result<Event> {
    match error.kind() {
        ErrorKind::NotFound => Ok(Event::Gone),
        _ => Err(error),
    }
}

impl Slot {
    /// The slot's memory as a picture.
    fn buffer(&self, layout: Layout, device: &VideoDevice) -> Result<Buffer> {
        let dup =
            |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|error| Error::from_io("dup", "a buffer", error));
        let fds = match self.memory.is_empty() {
            true => self.exported.iter().map(|fd| dup(fd.as_fd())).collect::<Result<Vec<_>>>()?,
            false => self.memory.iter().map(|memory| dup(memory.plane_fd(0))).collect::<Result<Vec<_>>>()?,
        };
        let provenance = match self.memory.first() {
            Some(memory) => memory.provenance().clone(),
            None => Provenance { allocator: format!("v4l2({})", device.driver()), reasons: Vec::new() },
        };
        Buffer::with_provenance(layout, fds, provenance, None)
    }
}

/// Memory for a slot: one piece for each of the queue's planes, as bytes. Which byte is what the driver says.
pub(super) fn ours(device: &Device, kind: AllocatorKind, format: &Format) -> Result<Vec<Buffer>> {
    const ROW: u32 = 4096;
    let piece = |plane: &sys::PlaneSize| {
        let size = Size::new(ROW, plane.size_bytes.div_ceil(ROW).max(1));
        let usage = Usage::SAMPLE | Usage::VIDEO | Usage::CPU_READ;
        device.allocate(&Request::new(size, Fourcc::R8).usage(usage).only(kind).require_dma_buf())
    };
    format.planes[..format.plane_count].iter().map(piece).collect()
}
