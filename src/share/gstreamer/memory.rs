//! Memory of ours as GStreamer's, and GStreamer's as ours.
//!
//! In: a [`Buffer`], or a `GstBuffer` and the caps of its stream. Out: the other, without a copy where it is a dma-buf.
//! Not here: when frames go (`output`), and come (`input`).

use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ::gstreamer as gst;
use gstreamer_allocators::DmaBufAllocator;
use gstreamer_video as video;

use crate::buffer::map::Held;
use crate::buffer::{Access, Buffer, Map};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::share::unixfd::caps::Caps;
use crate::share::unixfd::planes::{Placement, place_in};
use crate::share::unixfd::video_format;
use crate::share::unixfd::wire::{MemoryRange, VideoMeta, VideoPlane};
use crate::sys;

use super::{OP, ours};

/// What is dropped when nobody has the memory any more.
pub(super) type Keep = Arc<dyn Any + Send + Sync>;

/// As which memory a frame of ours goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Dma-bufs by fd.
    DmaBuf,
    /// What the CPU has mapped.
    Mapped,
}

/// A dma-buf's fd, open as long as this is there.
struct Fd {
    buffer: Buffer,
    object: usize,
    _keep: Keep,
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // There are as many as when the memory was made.
        self.buffer.object_fds().nth(self.object).unwrap_or_else(|| self.buffer.plane_fd(0))
    }
}

/// Mapped bytes, mapped as long as this is there.
struct Bytes {
    held: Held,
    len: usize,
    _keep: Keep,
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        let whole = self.held.as_ref();
        &whole[..self.len.min(whole.len())]
    }
}

fn format(layout: &Layout) -> video::VideoFormat {
    video_format::name(layout.fourcc)
        .map_or(video::VideoFormat::__Unknown(video_format::DMA_DRM), video::VideoFormat::from_string)
}

/// GStreamer's own layout of such pictures; `None` where it has no name for the format.
pub(super) fn usual(layout: &Layout) -> Option<video::VideoInfo> {
    let name = video_format::name(layout.fourcc)?;
    let format = video::VideoFormat::from_string(name);
    video::VideoInfo::builder(format, layout.size.width, layout.size.height).build().ok()
}

/// Bytes of each of the buffer's memories that belong to the picture, rows whole: elements that know nothing of strides write
/// all that there is.
fn lengths(buffer: &Buffer) -> Vec<u64> {
    let layout = buffer.layout();
    let mut lengths: Vec<u64> = vec![0; buffer.object_bytes().count()];
    for (index, plane) in layout.planes().iter().enumerate() {
        let object = buffer.plane_object(index);
        let end = plane.offset_bytes.saturating_add(u64::from(plane.stride_bytes) * u64::from(layout.rows(index)));
        lengths[object] = lengths[object].max(end);
    }
    // A tiled picture's end is where its memory's is.
    let is_linear = layout.modifier == crate::format::Modifier::LINEAR;
    let whole = buffer.object_bytes().zip(lengths);
    whole.map(|(bytes, length)| if is_linear { length.min(bytes) } else { bytes }).collect()
}

/// The picture lies as GStreamer expects it where nobody says anything.
pub(super) fn is_usual(buffer: &Buffer, usual: &video::VideoInfo) -> bool {
    let planes = buffer.layout().planes().iter().enumerate();
    let mut same = planes.map(|(index, plane)| {
        let offset = usual.offset().get(index).copied().map(|offset| offset as u64);
        let stride = usual.stride().get(index).copied().map(i64::from);
        offset == Some(plane.offset_bytes) && stride == Some(i64::from(plane.stride_bytes))
    });
    same.all(|same| same) && lengths(buffer) == [usual.size() as u64]
}

/// The buffer's memory as it is, with its strides in a `GstVideoMeta`.
pub(super) fn lend(buffer: &Buffer, way: Way, allocator: &DmaBufAllocator, keep: &Keep) -> Result<gst::Buffer> {
    let layout = buffer.layout();
    let failed = |what: &str| Error::failed(OP, format!("{layout}: {what}"));
    let mut lent = gst::Buffer::new();
    let into = lent.get_mut().ok_or_else(|| failed("a new GstBuffer has another owner"))?;
    let mut starts = Vec::new();
    let mut start = 0u64;
    for (object, length) in lengths(buffer).into_iter().enumerate() {
        let size = usize::try_from(length).map_err(|_| failed("larger than memory"))?;
        let memory = match way {
            Way::DmaBuf => {
                let fd = Fd { buffer: buffer.clone(), object, _keep: Arc::clone(keep) };
                sys::gstreamer::lend_dma_buf(allocator, fd, size).ok_or_else(|| failed("gst_dmabuf_allocator_alloc"))?
            }
            Way::Mapped => {
                let held = Held::new(buffer.clone(), object)?;
                gst::Memory::from_slice(Bytes { held, len: size, _keep: Arc::clone(keep) })
            }
        };
        into.append_memory(memory);
        starts.push(start);
        start += length;
    }
    let mut offsets = Vec::new();
    let mut strides = Vec::new();
    for (index, plane) in layout.planes().iter().enumerate() {
        offsets.push((starts[buffer.plane_object(index)] + plane.offset_bytes) as usize);
        strides.push(i32::try_from(plane.stride_bytes).map_err(|_| failed("strides of 31 bits only"))?);
    }
    let (flags, size) = (video::VideoFrameFlags::empty(), layout.size);
    video::VideoMeta::add_full(into, flags, format(layout), size.width, size.height, &offsets, &strides)
        .map_err(|error| failed(&error.to_string()))?;
    Ok(lent)
}

/// A copy that lies as GStreamer expects it where nobody says anything.
///
/// # Errors
/// `Unsupported` where the pixels do not lie row by row.
pub(super) fn copy(buffer: &Buffer, usual: &video::VideoInfo) -> Result<gst::Buffer> {
    let layout = buffer.layout();
    let failed = |what: &str| Error::failed(OP, format!("{layout}: {what}"));
    if layout.modifier != crate::format::Modifier::LINEAR {
        let detail = format!("{layout}: only linear pictures are copied");
        return Err(Error::unsupported(OP, detail).with_hint("give the pass layout = { linear = true }"));
    }
    let mut copied = gst::Buffer::with_size(usual.size()).map_err(|error| failed(&error.to_string()))?;
    let into = copied.get_mut().ok_or_else(|| failed("a new GstBuffer has another owner"))?;
    {
        let mut bytes = into.map_writable().map_err(|error| failed(&error.to_string()))?;
        let map = buffer.map(Access::Read)?;
        let places = usual.offset().iter().zip(usual.stride());
        for (index, (offset, stride)) in places.enumerate().take(layout.planes().len()) {
            let stride = usize::try_from(*stride).map_err(|_| failed("a stride below 0"))?;
            for row in 0..layout.rows(index) {
                let from = map.row(index, row);
                let at = offset + stride * row as usize;
                let to = bytes.as_mut_slice().get_mut(at..at + from.len());
                to.ok_or_else(|| failed("GStreamer's layout is smaller"))?.copy_from_slice(from);
            }
        }
    }
    Ok(copied)
}

/// Where the planes of a picture are in the memories of a buffer that came. With `by_fd` offsets count from the start of each
/// fd, else from the first byte that is mapped.
pub(super) fn place(buffer: &gst::BufferRef, caps: &Caps, by_fd: bool) -> Result<Placement> {
    let memories: Vec<MemoryRange> = (0..buffer.n_memory())
        .map(|index| {
            let memory = buffer.peek_memory(index);
            let offset_bytes = if by_fd { memory.offset() as u64 } else { 0 };
            MemoryRange { offset_bytes, size_bytes: memory.size() as u64 }
        })
        .collect();
    let said = buffer.meta::<video::VideoMeta>().map(|meta| VideoMeta {
        flags: 0,
        // What it is was said in the caps.
        format: video_format::number(caps.fourcc),
        width: meta.width(),
        height: meta.height(),
        planes: meta
            .offset()
            .iter()
            .zip(meta.stride())
            .map(|(offset, stride)| VideoPlane { offset_bytes: *offset as u64, stride_bytes: *stride, stride_align: 0 })
            .collect(),
        ..VideoMeta::default()
    });
    place_in(said.as_ref(), &memories, caps).map_err(ours)
}

/// Copies a picture that lies in memory of GStreamer's.
///
/// # Errors
/// `InvalidInput`: it lies outside. `Unsupported`: the pixels do not lie row by row, or the CPU has no access.
pub(super) fn copy_out(buffer: &gst::BufferRef, caps: &Caps, layout: &Layout, into: &mut Map<'_>) -> Result<()> {
    if caps.modifier != crate::format::Modifier::LINEAR {
        let detail = format!("frames with modifier {}: only linear ones are copied", caps.modifier);
        return Err(Error::unsupported(OP, detail).with_hint("end the text with ! video/x-raw,format=NV12"));
    }
    let placed = place(buffer, caps, false)?;
    let mut maps = Vec::new();
    for index in 0..buffer.n_memory() {
        let map = buffer.peek_memory(index).map_readable();
        maps.push(map.map_err(|error| Error::unsupported(OP, format!("memory {index} of a picture: {error}")))?);
    }
    for (index, plane) in layout.planes().iter().enumerate() {
        let from = placed.layout.planes()[index];
        let source = maps.get(placed.memory[index]).map_or(&[][..], |map| map.as_slice());
        let row_bytes = layout.row_bytes(index) as usize;
        let bytes = into.plane_mut(index);
        for row in 0..layout.rows(index) as usize {
            let at = from.offset_bytes as usize + from.stride_bytes as usize * row;
            let outside = || Error::invalid(OP, format!("plane {index} ends outside its memory"));
            let row_of = source.get(at..at + row_bytes).ok_or_else(outside)?;
            bytes[plane.stride_bytes as usize * row..][..row_bytes].copy_from_slice(row_of);
        }
    }
    Ok(())
}

/// Every memory is a dma-buf.
pub(super) fn is_dma_buf(buffer: &gst::BufferRef) -> bool {
    let is = |index| buffer.peek_memory(index).is_memory_type::<gstreamer_allocators::DmaBufMemory>();
    buffer.n_memory() > 0 && (0..buffer.n_memory()).all(is)
}
