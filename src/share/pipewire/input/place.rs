//! What a buffer that came says of its frame: checked, then taken as memory of the producer's or copied.
//!
//! In: a stream's buffer and the format that was agreed on. Out: a [`Received`] frame, or nothing where there is none in it.
//! Not here: when it goes back (`input`).

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};

use ::pipewire::spa::sys as ids;

use crate::buffer::Buffer;
use crate::device::DrmNode;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Timeline;
use crate::format::Modifier;
use crate::frame::Frame;
use crate::layout::{Layout, PlaneLayout};
use crate::share::unixfd::video_format;
use crate::sys::pipewire::{Block, DATA_SYNC_OBJECT, StreamBuffer};

use super::super::OP;
use super::super::params::Picture;
use super::{Lease, Node, Received, Timelines};

/// A duplicate of an fd that PipeWire owns.
fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::invalid(OP, "a buffer without an fd"));
    }
    #[expect(unsafe_code, reason = "the library gives a bare number")]
    // SAFETY: PipeWire keeps the fd open from `add_buffer` to `remove_buffer`, and this runs in between on its thread.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().map_err(|error| Error::from_io("dup", OP, error))
}

/// The timelines of a buffer that has some.
pub(super) fn timelines(buffer: StreamBuffer, node: Option<&DrmNode>) -> Result<Option<Timelines>> {
    let (Some(node), Some(_)) = (node, buffer.points()) else { return Ok(None) };
    let fds: Vec<RawFd> = (0..buffer.blocks())
        .filter_map(|index| buffer.block(index))
        .filter(|block| block.kind == DATA_SYNC_OBJECT)
        .map(|block| block.fd)
        .collect();
    let [acquire, release] = fds.as_slice() else { return Ok(None) };
    let import = |fd: RawFd| Timeline::import(node, duplicate(fd)?);
    Ok(Some(Timelines { acquire: import(*acquire)?, release: import(*release)? }))
}

/// Where the planes are, each within its fd.
fn layout(picture: &Picture, modifier: Modifier, blocks: &[Block]) -> Result<Layout> {
    let usual = video_format::default_layout(picture.fourcc, picture.size)?;
    let stride = |block: &Block, usual: u32| match u32::try_from(block.stride_bytes) {
        Ok(0) => Ok(usual),
        Ok(stride) => Ok(stride),
        Err(_) => Err(Error::invalid(OP, format!("a stride of {}: rows that go upwards", block.stride_bytes))),
    };
    let offset = |block: &Block| {
        // A chunk's offset counts round in the memory.
        let within = block.offset_bytes.checked_rem(block.max_bytes).unwrap_or(block.offset_bytes);
        // A pointer is where its memory begins.
        let begin = if block.kind == ids::SPA_DATA_MemPtr { 0 } else { block.map_offset_bytes };
        u64::from(begin) + u64::from(within)
    };
    let planes: Vec<PlaneLayout> = match blocks {
        [only] => {
            // One memory with all planes: their strides are in the ratio of the usual ones.
            let first = stride(only, usual.planes()[0].stride_bytes)?;
            let is_usual = first == usual.planes()[0].stride_bytes;
            let mut end = 0u64;
            let place = |index: usize, plane: &PlaneLayout| {
                let stride_bytes =
                    u64::from(first) * u64::from(plane.stride_bytes) / u64::from(usual.planes()[0].stride_bytes.max(1));
                let offset_bytes = if is_usual { plane.offset_bytes } else { end };
                let rows = match usual.planes().get(index + 1) {
                    Some(next) => (next.offset_bytes - plane.offset_bytes) / u64::from(plane.stride_bytes.max(1)),
                    None => 0,
                };
                end = offset_bytes + rows * stride_bytes;
                let stride_bytes = u32::try_from(stride_bytes).map_err(|_| Error::invalid(OP, "rows too long"))?;
                Ok(PlaneLayout { offset_bytes: offset(only) + offset_bytes, stride_bytes })
            };
            let mut place = place;
            usual.planes().iter().enumerate().map(|(index, plane)| place(index, plane)).collect::<Result<_>>()?
        }
        several if several.len() == usual.planes().len() => {
            let plane = |(block, usual): (&Block, &PlaneLayout)| {
                Ok(PlaneLayout { offset_bytes: offset(block), stride_bytes: stride(block, usual.stride_bytes)? })
            };
            several.iter().zip(usual.planes()).map(plane).collect::<Result<_>>()?
        }
        other => {
            let detail =
                format!("{} memories for the {} planes of {}", other.len(), usual.planes().len(), picture.fourcc);
            return Err(Error::invalid(OP, detail));
        }
    };
    Layout::new(picture.fourcc, picture.size, modifier, &planes)
}

impl Node {
    /// A frame that is there as a pointer alone, in memory of ours.
    fn copy(&self, buffer: StreamBuffer, layout: &Layout) -> Result<Buffer> {
        let mut end = 0;
        for plane in 0..layout.planes().len() {
            end = end.max(layout.plane_end(plane)?);
        }
        let mut copies = self.copies.borrow_mut();
        copies.retain(|copy| copy.layout() == layout);
        let memory = match copies.iter().find(|copy| copy.is_sole()) {
            Some(free) => free.clone(),
            None => {
                let fd = crate::sys::memfd::create_sealed("darkframe-received", end)
                    .map_err(|errno| Error::from_errno("memfd_create", format!("{end} bytes"), errno))?;
                let memory = Buffer::from_fds(layout.clone(), vec![fd])?;
                copies.push(memory.clone());
                memory
            }
        };
        let mut map = memory.map(crate::buffer::Access::Write)?;
        let bytes = buffer.bytes(0).filter(|bytes| bytes.len() as u64 >= end).ok_or_else(|| {
            Error::invalid(
                OP,
                format!("{layout}: {end} bytes, the memory has {}", buffer.bytes(0).map_or(0, <[u8]>::len)),
            )
        })?;
        for (plane, at) in layout.planes().iter().enumerate() {
            let into = map.plane_mut(plane);
            into.copy_from_slice(&bytes[at.offset_bytes as usize..][..into.len()]);
        }
        drop(map);
        Ok(memory)
    }

    /// The frame in a buffer; `None` where there is none, or a broken one.
    pub(super) fn take(&self, buffer: StreamBuffer) -> Result<Option<Received>> {
        let Some((picture, modifier)) = self.picture.get() else { return Ok(None) };
        let blocks: Vec<Block> = (0..buffer.blocks())
            .filter_map(|index| buffer.block(index))
            .filter(|block| block.kind != DATA_SYNC_OBJECT)
            .collect();
        // A producer that has nothing new says so with an empty chunk; of dma-bufs the size says nothing.
        let is_empty = |block: &Block| block.kind != ids::SPA_DATA_DmaBuf && block.size_bytes == 0;
        if buffer.is_corrupted() || blocks.iter().any(|block| block.is_corrupted || is_empty(block)) {
            return Ok(None);
        }
        if let Some(other) = blocks
            .iter()
            .find(|block| ![ids::SPA_DATA_DmaBuf, ids::SPA_DATA_MemFd, ids::SPA_DATA_MemPtr].contains(&block.kind))
        {
            let detail = format!("memory of type {}: dma-bufs and memory files were agreed on", other.kind);
            return Err(Error::invalid(OP, detail));
        }
        let layout = layout(&picture, modifier, &blocks)?;
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.iter_mut().find(|slot| slot.buffer == buffer) else { return Ok(None) };
        let (header, points) = (buffer.header(), buffer.points());
        let fence = match (&slot.timelines, points) {
            (Some(timelines), Some(points)) => Some(timelines.acquire.fence(points.acquire)?),
            _ => None,
        };
        let is_pointer = |block: &Block| block.kind == ids::SPA_DATA_MemPtr;
        let (memory, shared) = if blocks.iter().all(is_pointer) {
            (self.copy(buffer, &layout)?, false)
        } else {
            match slot.known.as_ref().filter(|known| *known.layout() == layout) {
                Some(known) => (known.clone(), true),
                None => {
                    let fds = blocks.iter().map(|block| duplicate(block.fd)).collect::<Result<Vec<_>>>()?;
                    match Buffer::from_fds(layout.clone(), fds) {
                        Ok(memory) => {
                            slot.known = Some(memory.clone());
                            (memory, true)
                        }
                        // Memory that may shrink is read, never mapped.
                        Err(error) if error.kind() == ErrorKind::InvalidInput && blocks.len() == 1 => {
                            (Buffer::copy_from(layout, duplicate(blocks[0].fd)?)?, false)
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        };
        let serial = shared.then_some(slot.serial);
        drop(slots);
        let lease = Lease { back: Arc::clone(&self.shared), serial, buffer: memory.clone(), fences: Mutex::default() };
        let pts_ns = header.and_then(|(pts, _)| u64::try_from(pts).ok());
        let sequence = header.map_or_else(|| self.shared.lock().taken, |(_, sequence)| sequence);
        let frame = Frame { color: picture.color, sequence, ..Frame::new(memory, fence) };
        Ok(Some(Received { frame, pts_ns, shared, lease }))
    }
}
