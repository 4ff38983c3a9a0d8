//! Which of the stream's buffers stands for which memory, and who holds it.
//!
//! In: the memories of a run, what was agreed on, frames. Out: objects to agree on, buffers ready to be queued, frames that
//! came back. Not here: the stream's callbacks (`output`).

use std::any::Any;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use ::pipewire as pw;
use pw::spa::sys as ids;
use pw::spa::utils::ChoiceEnum;
use pw::stream::Stream;

use crate::buffer::{Access, Buffer, Memory, MemoryId};
use crate::device::DrmNode;
use crate::error::{Error, Result};
use crate::fence::{Fence, Timeline};
use crate::format::Modifier;
use crate::frame::Frame;
use crate::layout::Layout;
use crate::share::unixfd::video_format;
use crate::sys;
use crate::sys::pipewire::{self as raw, Points, StreamBuffer};

use super::super::params::{self, Buffers, Bytes, Modifiers, Picture};
use super::super::{HANG, OP};
use super::{Job, Options};

/// GStreamer's `pipewiresrc` takes no fewer: where there are not so many memories, some come twice and are not used.
const LEAST_BUFFERS: usize = 8;
/// PipeWire gives no more.
const MOST_BUFFERS: usize = 64;

/// How memory travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The run's own dma-bufs.
    DmaBufs,
    /// The run's own memory files.
    Files,
    /// Memory files into which frames are copied.
    Copies,
}

/// Two timelines of one buffer, and their fds.
struct Timelines {
    acquire: Timeline,
    release: Timeline,
    fds: [OwnedFd; 2],
    point: u64,
}

impl Timelines {
    fn new(node: &DrmNode) -> Result<Self> {
        let (acquire, release) = (Timeline::new(node)?, Timeline::new(node)?);
        let fds = [acquire.export()?, release.export()?];
        Ok(Self { acquire, release, fds, point: 0 })
    }
}

/// A frame that a consumer holds.
pub(super) struct Held {
    _keep: Option<Box<dyn Any + Send + Sync>>,
    /// It came back, and is read until its release point: since when that is waited for.
    returned: Option<Instant>,
    /// Nobody reads it any more. Until so many frames were handed over its buffer may lie in a consumer's queue of what goes
    /// back, of which each frame's cycle takes one: PipeWire would lose a frame that came in it.
    rests_until: Option<u64>,
}

/// What came back.
pub(super) struct Reclaimed {
    /// Frames that nobody reads any more.
    pub(super) frames: usize,
    /// What may be written again.
    pub(super) free: Vec<Held>,
}

impl FromIterator<Slot> for Reclaimed {
    /// From buffers that are no more. Frames that rest have been counted.
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let free: Vec<Held> = slots.into_iter().filter_map(|slot| slot.held).collect();
        Self { frames: free.iter().filter(|held| held.rests_until.is_none()).count(), free }
    }
}

struct Slot {
    buffer: StreamBuffer,
    memory: usize,
    /// The stream gave it to us.
    is_ours: bool,
    held: Option<Held>,
    timelines: Option<Timelines>,
}

/// What became of a frame.
pub(super) enum Placed {
    /// To be queued.
    In(StreamBuffer),
    /// Its buffer has not come back.
    NoRoom(Job),
}

pub(super) struct Slots {
    picture: Picture,
    memories: Vec<Buffer>,
    ids: Vec<MemoryId>,
    copies: Vec<Buffer>,
    way: Option<Way>,
    slots: Vec<Slot>,
    node: Option<DrmNode>,
    base_ns: Option<u64>,
    /// Frames that were handed over.
    handed_over: u64,
    pub(super) max_in_flight: usize,
}

/// What tells one memory from another: that of its first plane.
fn id(buffer: &Buffer) -> MemoryId {
    buffer.plane_id(0)
}

impl Slots {
    pub(super) fn new(options: &Options, memories: Vec<Buffer>) -> Result<Self> {
        let Some(first) = memories.first() else {
            return Err(Error::invalid(OP, "a node has at least one memory for its frames"));
        };
        let layout = first.layout();
        if memories.iter().any(|memory| memory.layout() != layout || memory.memory() != first.memory()) {
            return Err(Error::invalid(OP, "the memories of a node have one layout, and are of one kind"));
        }
        if memories.len() > MOST_BUFFERS || options.max_in_flight == 0 {
            let detail =
                format!("{} memories, {} frames in flight: 1 to 64 each", memories.len(), options.max_in_flight);
            return Err(Error::invalid(OP, detail).with_hint("lower `queue` or `max-in-flight`"));
        }
        let picture = Picture { fourcc: layout.fourcc, size: layout.size, rate: options.rate, color: options.color };
        params::number(picture.fourcc)?;
        let ids = memories.iter().map(id).collect();
        let (copies, slots, way, base_ns) = (Vec::new(), Vec::new(), None, None);
        let (node, max_in_flight) = (options.timelines.clone(), options.max_in_flight);
        Ok(Self { picture, memories, ids, copies, way, slots, node, base_ns, handed_over: 0, max_in_flight })
    }

    fn layout(&self) -> &Layout {
        self.memories[0].layout()
    }

    /// The dma-bufs' modifier.
    fn modifier(&self) -> Option<Modifier> {
        (self.memories[0].memory() == Memory::DmaBuf).then(|| match self.layout().modifier {
            Modifier::INVALID => Modifier::LINEAR,
            modifier => modifier,
        })
    }

    /// The formats to offer: dma-bufs first, where frames are in some.
    pub(super) fn offers(&self) -> Result<Vec<Bytes>> {
        let mut offers = Vec::new();
        if let Some(modifier) = self.modifier() {
            offers.push(params::offer(&self.picture, &Modifiers::Offered(vec![modifier]))?);
        }
        offers.push(params::offer(&self.picture, &Modifiers::None)?);
        Ok(offers)
    }

    /// A consumer wants this: what is to be answered.
    ///
    /// # Errors
    /// `Unsupported`: a modifier that was not offered.
    pub(super) fn agree(&mut self, modifiers: &Modifiers) -> Result<Vec<Bytes>> {
        let own = self.modifier();
        let not_ours = || Error::unsupported(OP, format!("a consumer wants {modifiers:?}, frames have {own:?}"));
        match modifiers {
            Modifiers::Offered(list) => {
                // Whoever makes the memory chooses: what was chosen goes before what was offered.
                let chosen = own.filter(|own| list.contains(own)).ok_or_else(not_ours)?;
                self.way = None;
                let mut answer = vec![params::offer(&self.picture, &Modifiers::Fixed(chosen))?];
                answer.extend(self.offers()?);
                return Ok(answer);
            }
            Modifiers::Fixed(modifier) if own == Some(*modifier) => self.way = Some(Way::DmaBufs),
            Modifiers::Fixed(_) => return Err(not_ours()),
            Modifiers::None => {
                // Without words for strides and planes, frames lie as GStreamer takes them.
                let plain = video_format::default_layout(self.picture.fourcc, self.picture.size)?;
                let bytes = end(&plain)?;
                let fits = |memory: &Buffer| memory.object_bytes().next().is_some_and(|have| have >= bytes);
                let is_plain =
                    own.is_none() && self.layout().planes() == plain.planes() && self.memories.iter().all(fits);
                self.way = Some(if is_plain { Way::Files } else { Way::Copies });
                if !is_plain && self.copies.is_empty() {
                    for _ in 0..(2 * self.max_in_flight + 2).clamp(LEAST_BUFFERS, MOST_BUFFERS) {
                        let fd = sys::memfd::create_sealed("darkframe-pipewire", bytes)
                            .map_err(|errno| Error::from_errno("memfd_create", format!("{bytes} bytes"), errno))?;
                        self.copies.push(Buffer::from_fds(plain.clone(), vec![fd])?);
                    }
                }
            }
        }
        self.buffers()
    }

    fn buffers(&self) -> Result<Vec<Bytes>> {
        let shared = self.shared();
        let layout = shared[0].layout();
        let blocks = self.blocks() as i32;
        let count = shared.len().clamp(LEAST_BUFFERS, MOST_BUFFERS) as i32;
        let (kind, only) = match self.way {
            Some(Way::DmaBufs) => (ids::SPA_DATA_DmaBuf, None),
            _ => (ids::SPA_DATA_MemFd, Some((end(layout)?, layout.planes()[0].stride_bytes))),
        };
        let buffers = |timelines: bool| {
            let blocks = ChoiceEnum::None(blocks + if timelines { 2 } else { 0 });
            Buffers { count: ChoiceEnum::None(count), blocks, only, kinds: 1 << kind, timelines }.bytes()
        };
        let mut answer = Vec::new();
        if self.has_timelines() {
            answer.push(buffers(true)?);
        }
        answer.push(buffers(false)?);
        answer.push(params::header()?);
        answer.push(params::busy()?);
        if self.has_timelines() {
            answer.push(params::points()?);
        }
        Ok(answer)
    }

    fn has_timelines(&self) -> bool {
        self.node.is_some() && self.way == Some(Way::DmaBufs)
    }

    /// The memories that the other end gets.
    fn shared(&self) -> &[Buffer] {
        if self.way == Some(Way::Copies) { &self.copies } else { &self.memories }
    }

    /// Memories of one buffer: files hold all planes.
    fn blocks(&self) -> usize {
        if self.way == Some(Way::DmaBufs) { self.layout().planes().len() } else { 1 }
    }

    pub(super) fn forget_format(&mut self) {
        self.way = None;
    }

    pub(super) fn shares_dma_bufs(&self) -> bool {
        self.way == Some(Way::DmaBufs)
    }

    pub(super) fn take_fences(&self) -> bool {
        !self.slots.is_empty() && self.slots.iter().all(|slot| slot.timelines.is_some())
    }

    /// The stream has one buffer more: says which memory it is.
    pub(super) fn add(&mut self, buffer: StreamBuffer) -> Result<()> {
        let is_new = |memory: &usize| self.slots.iter().all(|slot| slot.memory != *memory);
        let memory = (0..MOST_BUFFERS).find(is_new).unwrap_or(MOST_BUFFERS);
        let shared = self.shared();
        let own = &shared[memory % shared.len()];
        let blocks = self.blocks();
        if buffer.blocks() < blocks {
            let detail = format!("a buffer of {} memories, {blocks} were agreed on", buffer.blocks());
            return Err(Error::failed(OP, detail));
        }
        match self.way {
            Some(Way::DmaBufs) => {
                let (fds, sizes): (Vec<_>, Vec<_>) = (own.object_fds().collect(), own.object_bytes().collect());
                for plane in 0..blocks {
                    let object = own.plane_object(plane);
                    buffer.set_memory(plane, ids::SPA_DATA_DmaBuf, fds[object].as_raw_fd(), sizes[object]);
                }
            }
            _ => {
                // Consumers may read it and not write it, where the kernel can do that.
                let read_only = own.object_fds_read_only(true).next().flatten();
                let fd = read_only.or_else(|| own.object_fds().next()).map_or(-1, |fd| fd.as_raw_fd());
                buffer.set_memory(0, ids::SPA_DATA_MemFd, fd, end(own.layout())?);
            }
        }
        let timelines = match &self.node {
            Some(node) if buffer.points().is_some() && buffer.blocks() == blocks + 2 => {
                let timelines = Timelines::new(node)?;
                for (index, fd) in timelines.fds.iter().enumerate() {
                    buffer.set_memory(blocks + index, raw::DATA_SYNC_OBJECT, fd.as_raw_fd(), 0);
                }
                Some(timelines)
            }
            _ => None,
        };
        self.slots.push(Slot { buffer, memory, is_ours: false, held: None, timelines });
        Ok(())
    }

    /// The stream has one buffer less: the frame that was in it.
    pub(super) fn remove(&mut self, buffer: *mut pw::sys::pw_buffer) -> Reclaimed {
        let index = self.slots.iter().position(|slot| slot.buffer.is(buffer));
        index.map(|index| self.slots.remove(index)).into_iter().collect()
    }

    pub(super) fn clear(&mut self) -> Reclaimed {
        self.slots.drain(..).collect()
    }

    /// Buffers came back whose frames are still read.
    pub(super) fn has_pending(&self) -> bool {
        let is_read = |held: &Held| held.returned.is_some() && held.rests_until.is_none();
        self.slots.iter().any(|slot| slot.held.as_ref().is_some_and(is_read))
    }

    /// Every memory is in a consumer's hands, or on its way back.
    pub(super) fn is_short(&self) -> bool {
        let memories = self.shared().len();
        let held = |slot: &&Slot| slot.memory < memories && slot.held.is_some();
        self.slots.iter().filter(held).count() >= memories
    }

    /// Takes what the stream gives back.
    pub(super) fn reclaim(&mut self, stream: &Stream) -> Reclaimed {
        // One that somebody reads is not given, and goes behind the others.
        for buffer in (0..self.slots.len()).filter_map(|_| raw::dequeue(stream)) {
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.buffer == buffer) {
                slot.is_ours = true;
                if let Some(held) = &mut slot.held {
                    held.returned = Some(Instant::now());
                }
            }
        }
        let mut frames = 0;
        for slot in &mut self.slots {
            let Some(held) = slot.held.as_mut().filter(|held| held.rests_until.is_none()) else { continue };
            let Some(since) = held.returned else { continue };
            if slot.timelines.as_ref().is_none_or(|timelines| timelines.is_released(since)) {
                held.rests_until = Some(u64::MAX);
                frames += 1;
            }
        }
        // In which order they went into the queue is not known: each waits for all.
        let resting = || self.slots.iter().filter_map(|slot| slot.held.as_ref()?.rests_until);
        // One more: a consumer that no cycle waits for takes a frame in the cycle after.
        let until = self.handed_over + resting().count() as u64 + 1;
        // Where nothing else is left, the one that has rested longest: fewer memories than twice those in flight.
        let starved = self.is_short().then(|| resting().min().unwrap_or(0).min(until));
        let rested = self.handed_over.max(starved.unwrap_or(0));
        let mut free = Vec::new();
        for slot in &mut self.slots {
            let Some(rests_until) = slot.held.as_mut().and_then(|held| held.rests_until.as_mut()) else { continue };
            *rests_until = until.min(*rests_until);
            if *rests_until <= rested && slot.buffer.holders() <= 1 && (starved.is_none() || free.is_empty()) {
                free.extend(slot.held.take());
            }
        }
        Reclaimed { frames, free }
    }

    /// Puts a frame into the buffer that stands for its memory.
    ///
    /// # Errors
    /// `InvalidInput`: memory that is none of the node's; `Unsupported`: the daemon gives too few buffers.
    pub(super) fn place(&mut self, job: Job) -> Result<Placed> {
        if self.slots.is_empty() {
            return Ok(Placed::NoRoom(job));
        }
        let copies = self.way == Some(Way::Copies);
        let memory = match self.ids.iter().position(|known| *known == id(&job.frame.buffer)) {
            Some(memory) => memory,
            None if copies => 0,
            None => return Err(Error::invalid(OP, "a frame in memory that the node was not made with")),
        };
        let found = match copies {
            true => self
                .slots
                .iter()
                .position(|slot| slot.is_ours && slot.held.is_none() && slot.memory < self.copies.len()),
            false => Some(self.slots.iter().position(|slot| slot.memory == memory).ok_or_else(|| {
                let detail = format!("{} buffers, the run has {}", self.slots.len(), self.memories.len());
                Error::unsupported(OP, detail)
                    .with_hint("raise link.max-buffers of the daemon, or lower `max-in-flight`")
            })?),
        };
        let Some(index) = found.filter(|index| self.slots[*index].is_ours && self.slots[*index].held.is_none()) else {
            return Ok(Placed::NoRoom(job));
        };
        let Job { frame, keep } = job;
        let Frame { buffer: from, fence, sequence, timestamp_ns, .. } = frame;
        let slot = &mut self.slots[index];
        // The first frame's time is now.
        let base_ns = *self.base_ns.get_or_insert_with(|| crate::sys::monotonic_ns().saturating_sub(timestamp_ns));
        slot.buffer.set_header(base_ns.saturating_add(timestamp_ns) as i64, sequence);
        match (&mut slot.timelines, fence) {
            (Some(timelines), fence) => slot.buffer.set_points(timelines.next(fence.as_ref())?),
            (None, Some(fence)) => fence.wait(Some(HANG))?,
            (None, None) => {}
        }
        let keep = match copies {
            false => keep,
            // The memory is free again at once.
            true => {
                copy(&from, &self.copies[slot.memory])?;
                None
            }
        };
        let layout = if copies { self.copies[slot.memory].layout() } else { from.layout() };
        if self.way == Some(Way::DmaBufs) {
            for (plane, at) in layout.planes().iter().enumerate() {
                let bytes = layout.plane_end(plane)? - at.offset_bytes;
                slot.buffer.set_chunk(plane, at.offset_bytes, bytes, at.stride_bytes);
            }
        } else {
            slot.buffer.set_chunk(0, 0, end(layout)?, layout.planes()[0].stride_bytes);
        }
        slot.is_ours = false;
        slot.held = Some(Held { _keep: keep, returned: None, rests_until: None });
        self.handed_over += 1;
        Ok(Placed::In(slot.buffer))
    }
}

impl Timelines {
    /// Points for the next frame, which may be read after `fence`.
    fn next(&mut self, fence: Option<&Fence>) -> Result<Points> {
        self.point += 1;
        match fence {
            Some(fence) => self.acquire.set(self.point, fence)?,
            None => self.acquire.signal(self.point)?,
        }
        Ok(Points { flags: 0, padding: 0, acquire: self.point, release: self.point })
    }

    /// The consumer's work is done; or it has not said when for so long that it never will.
    fn is_released(&self, since: Instant) -> bool {
        if self.release.value().is_ok_and(|value| value >= self.point) {
            return true;
        }
        let hangs = since.elapsed() > HANG;
        if hangs {
            tracing::warn!(
                point = self.point,
                "a consumer has not signaled its release point: the buffer is taken back"
            );
        }
        hangs
    }
}

/// Bytes from the first plane's begin of memory to the last sample.
fn end(layout: &Layout) -> Result<u64> {
    let mut bytes = 0;
    for plane in 0..layout.planes().len() {
        let stride = u64::from(layout.planes()[plane].stride_bytes);
        // Whole rows, as whoever maps them counts.
        bytes = bytes.max(layout.planes()[plane].offset_bytes + stride * u64::from(layout.rows(plane)));
    }
    Ok(bytes)
}

/// Copies the pixels of one buffer into another of the same size and format.
fn copy(from: &Buffer, into: &Buffer) -> Result<()> {
    if !matches!(from.layout().modifier, Modifier::LINEAR | Modifier::INVALID) {
        let detail = format!("{}: only linear pictures are copied for consumers that map them", from.layout());
        return Err(Error::unsupported(OP, detail).with_hint("have them take dma-bufs, or make linear frames"));
    }
    let source = from.map(Access::Read)?;
    let mut map = into.map(Access::Write)?;
    for plane in 0..into.layout().planes().len() {
        let stride = into.layout().planes()[plane].stride_bytes as usize;
        let rows = into.layout().rows(plane);
        let bytes = map.plane_mut(plane);
        for row in 0..rows {
            let pixels = source.row(plane, row);
            bytes[stride * row as usize..][..pixels.len()].copy_from_slice(pixels);
        }
    }
    Ok(())
}
