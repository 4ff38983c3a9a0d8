//! Where the planes of a frame lie in its memories: written for others, and checked when it comes from them.
//!
//! In: a [`Buffer`], or a NEW_BUFFER and the caps of its stream. Out: the numbers of a NEW_BUFFER; or a [`Layout`] whose
//! offsets count within each fd.
//! Not here: whether an fd is as large as the message says (`buffer` asks the kernel).

use std::os::fd::BorrowedFd;

use crate::buffer::{Buffer, Memory};
use crate::error::{Error, Result};
use crate::format::Modifier;
use crate::layout::{Layout, PlaneLayout, Size};

use super::caps::Caps;
use super::wire::{MemoryKind, MemoryRange, NewBuffer, VideoMeta, VideoPlane};
use super::{OP, video_format};

/// The memories of `buffer` in the order in which its planes name them, and where its planes are in them.
pub(super) fn describe(buffer: &Buffer) -> Result<(MemoryKind, Vec<MemoryRange>, VideoMeta)> {
    let layout = buffer.layout();
    let sizes: Vec<u64> = buffer.object_bytes().collect();
    let mut starts = vec![0u64; sizes.len()];
    for index in 1..sizes.len() {
        starts[index] = starts[index - 1] + sizes[index - 1];
    }
    let planes = layout.planes().iter().enumerate().map(|(index, plane)| {
        let stride = i32::try_from(plane.stride_bytes);
        Ok(VideoPlane {
            offset_bytes: starts[buffer.plane_object(index)] + plane.offset_bytes,
            stride_bytes: stride.map_err(|_| Error::unsupported(OP, format!("{layout}: strides of 31 bits only")))?,
            stride_align: 0,
        })
    });
    let video = VideoMeta {
        flags: 0,
        format: video_format::number(layout.fourcc),
        width: layout.size.width,
        height: layout.size.height,
        planes: planes.collect::<Result<_>>()?,
        padding: [0; 4],
    };
    let memory = if buffer.memory() == Memory::DmaBuf { MemoryKind::DmaBuf } else { MemoryKind::Fd };
    let memories = sizes.into_iter().map(|size_bytes| MemoryRange { size_bytes, offset_bytes: 0 }).collect();
    Ok((memory, memories, video))
}

/// The fds of [`describe`]'s memories; opened for reading only where `read_only` and the kernel can do that.
pub(super) fn fds(buffer: &Buffer, read_only: bool) -> impl Iterator<Item = BorrowedFd<'_>> {
    buffer.object_fds().zip(buffer.object_fds_read_only(read_only)).map(|(own, reading)| reading.unwrap_or(own))
}

/// Where the planes of a received frame are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::share) struct Placement {
    /// Offsets count from the start of each plane's fd.
    pub(in crate::share) layout: Layout,
    /// For each plane the index of its memory.
    pub(in crate::share) memory: Vec<usize>,
}

/// Checks what a message says of its frame, against the caps and within itself.
pub(super) fn place(message: &NewBuffer, caps: &Caps) -> Result<Placement> {
    let placed = place_in(message.video(), &message.memories, caps);
    placed.map_err(|error| error.in_context(format!("NEW_BUFFER {}", message.id)))
}

/// Checks what is said of a frame in these memories, against the caps and within itself.
pub(in crate::share) fn place_in(
    video: Option<&VideoMeta>,
    memories: &[MemoryRange],
    caps: &Caps,
) -> Result<Placement> {
    let wrong = |detail: String| Error::invalid(OP, detail);
    let size = caps.size;
    let planes: Vec<PlaneLayout> = match video {
        Some(video) => {
            if Size::new(video.width, video.height) != size {
                let detail = format!("GstVideoMeta says {}x{}, the caps {size}", video.width, video.height);
                return Err(wrong(detail));
            }
            let expected = video_format::number(caps.fourcc);
            if video.format != expected && video.format != video_format::DMA_DRM {
                let detail = format!("GstVideoMeta says format {}, the caps {expected}", video.format);
                return Err(wrong(detail));
            }
            let plane = |plane: &VideoPlane| match u32::try_from(plane.stride_bytes) {
                Ok(stride_bytes) => Ok(PlaneLayout { offset_bytes: plane.offset_bytes, stride_bytes }),
                Err(_) => Err(wrong(format!("a stride of {}: rows that go upwards", plane.stride_bytes))),
            };
            video.planes.iter().map(plane).collect::<Result<_>>()?
        }
        None if caps.modifier == Modifier::LINEAR => video_format::default_layout(caps.fourcc, size)?.planes().to_vec(),
        None => return Err(wrong(format!("modifier {} and no GstVideoMeta", caps.modifier))),
    };
    // Checks counts, strides and sums; offsets still count through all memories.
    let whole = Layout::new(caps.fourcc, size, caps.modifier, &planes).map_err(|error| wrong(error.detail().into()))?;
    let mut placed = planes.clone();
    let mut memory = Vec::new();
    for (index, plane) in planes.iter().enumerate() {
        let mut start = 0u64;
        let found = memories.iter().position(|range| {
            let inside = plane.offset_bytes >= start && plane.offset_bytes - start < range.size_bytes;
            if !inside {
                start = start.saturating_add(range.size_bytes);
            }
            inside
        });
        let end = if caps.modifier == Modifier::LINEAR { whole.plane_end(index)? } else { plane.offset_bytes + 1 };
        let total: u64 = memories.iter().fold(0, |sum, range| sum.saturating_add(range.size_bytes));
        let beyond = || wrong(format!("plane {index} ends at byte {end}, its memory at byte {total}"));
        let found = found.ok_or_else(beyond)?;
        let range = memories[found];
        if end - start > range.size_bytes {
            return Err(match end > total {
                true => beyond(),
                false => wrong(format!("plane {index} lies across two memories")),
            });
        }
        let offset = (plane.offset_bytes - start).checked_add(range.offset_bytes).filter(|sum| *sum <= i64::MAX as u64);
        let limit = || wrong(format!("memory {found} begins at byte {}", range.offset_bytes));
        placed[index].offset_bytes = offset.ok_or_else(limit)?;
        memory.push(found);
    }
    let layout =
        Layout::new(caps.fourcc, size, caps.modifier, &placed).map_err(|error| wrong(error.detail().into()))?;
    Ok(Placement { layout, memory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Fourcc;

    fn message(memories: &[(u64, u64)], planes: &[(u64, i32)]) -> NewBuffer {
        let video = VideoMeta {
            format: 23,
            width: 64,
            height: 16,
            planes: planes
                .iter()
                .map(|(offset_bytes, stride_bytes)| VideoPlane {
                    offset_bytes: *offset_bytes,
                    stride_bytes: *stride_bytes,
                    stride_align: 0,
                })
                .collect(),
            ..VideoMeta::default()
        };
        NewBuffer {
            id: 1,
            pts_ns: None,
            dts_ns: None,
            duration_ns: None,
            offset: None,
            offset_end: None,
            flags: 0,
            memory: MemoryKind::Fd,
            memories: memories
                .iter()
                .map(|(offset_bytes, size_bytes)| MemoryRange { size_bytes: *size_bytes, offset_bytes: *offset_bytes })
                .collect(),
            metas: vec![super::super::wire::Meta::Video(video)],
        }
    }

    #[test]
    fn offsets_count_through_the_memories_and_then_within_each() {
        let caps = Caps::linear(Fourcc::NV12, Size::new(64, 16));
        let one = place(&message(&[(0, 1536)], &[(0, 64), (1024, 64)]), &caps).unwrap();
        assert_eq!((one.memory, one.layout.planes()[1].offset_bytes), (vec![0, 0], 1024));
        let two = place(&message(&[(4096, 1024), (128, 600)], &[(0, 64), (1024, 64)]), &caps).unwrap();
        assert_eq!(two.memory, [0, 1]);
        assert_eq!([two.layout.planes()[0].offset_bytes, two.layout.planes()[1].offset_bytes], [4096, 128]);
    }

    #[test]
    fn planes_outside_their_memory_are_refused() {
        let caps = Caps::linear(Fourcc::NV12, Size::new(64, 16));
        for (memories, planes, word) in [
            (&[(0, 1535)][..], &[(0, 64), (1024, 64)][..], "plane 1 ends at byte 1536, its memory at byte 1535"),
            (&[(0, 1536)], &[(0, 64), (u64::MAX - 3, 64)], "does not fit"),
            (&[(0, 1536)], &[(0, 64), (1 << 40, 64)], "plane 1 ends at byte"),
            (&[(0, 1500), (0, 1500)], &[(0, 64), (1024, 64)], "across two memories"),
            (&[(u64::MAX, 1536)], &[(0, 64), (1024, 64)], "memory 0 begins"),
            (&[(0, 1536)], &[(0, 64), (1024, 63)], "stride_bytes 63"),
            (&[(0, 1536)], &[(0, -64), (1024, 64)], "upwards"),
            (&[(0, 1536)], &[(0, 64)], "1 planes"),
            (&[], &[(0, 64), (1024, 64)], "plane 0 ends"),
        ] {
            let error = place(&message(memories, planes), &caps).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let larger = Caps::linear(Fourcc::NV12, Size::new(128, 16));
        let error = place(&message(&[(0, 1536)], &[(0, 64), (1024, 64)]), &larger).unwrap_err().to_string();
        assert!(error.contains("says 64x16, the caps 128x16"), "{error}");
        let other = Caps::linear(Fourcc::NV16, Size::new(64, 16));
        let error = place(&message(&[(0, 1536)], &[(0, 64), (1024, 64)]), &other).unwrap_err().to_string();
        assert!(error.contains("format 23"), "{error}");
    }
}
