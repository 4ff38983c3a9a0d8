//! CPU access to a buffer, bracketed as dma-bufs demand.

use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicI32, Ordering};

use super::{Buffer, Memory};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::sys;

/// What the CPU, or the work behind a fence, does with the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads only.
    Read,
    /// Stores only; what is not stored keeps its bytes.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// `DMA_BUF_SYNC_READ` and `_WRITE` bits.
    pub(crate) fn bits(self) -> u64 {
        match self {
            Self::Read => sys::dma_buf::SYNC_READ,
            Self::Write => sys::dma_buf::SYNC_WRITE,
            Self::ReadWrite => sys::dma_buf::SYNC_READ | sys::dma_buf::SYNC_WRITE,
        }
    }

    fn writes(self) -> bool {
        self != Self::Read
    }
}

/// Guards held on a buffer in this process: -1 one writer, else the number of readers.
#[derive(Debug, Default)]
pub(super) struct Borrows(AtomicI32);

impl Borrows {
    fn take(&self, write: bool) -> Result<()> {
        let attempt = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| match (write, count) {
            (true, 0) => Some(-1),
            (false, 0..) => Some(count + 1),
            _ => None,
        });
        attempt.map(|_| ()).map_err(|count| {
            let holder = if count < 0 { "a writer".into() } else { format!("{count} readers") };
            Error::invalid("Buffer::map", format!("{holder} of this buffer still holds its guard"))
                .with_hint("drop the other Map first")
        })
    }

    fn release(&self, write: bool) {
        if write {
            self.0.store(0, Ordering::Release)
        } else {
            self.0.fetch_sub(1, Ordering::Release);
        }
    }
}

/// CPU access to the planes of a buffer. Dropping it ends the access (cache maintenance included).
#[derive(Debug)]
#[must_use = "CPU access ends when the guard is dropped"]
pub struct Map<'a> {
    buffer: &'a Buffer,
    access: Access,
    /// Objects whose bracket was opened, so that a failure half-way closes exactly those.
    opened: usize,
}

impl<'a> Map<'a> {
    pub(super) fn new(buffer: &'a Buffer, access: Access) -> Result<Self> {
        buffer.0.borrows.take(access.writes())?;
        let mut map = Self { buffer, access, opened: 0 };
        for object in &buffer.0.objects {
            object.mapping(access.writes())?;
            if object.memory == Memory::DmaBuf {
                sys::dma_buf::sync(object.fd.as_fd(), access.bits(), true)
                    .map_err(|errno| Error::from_errno("DMA_BUF_IOCTL_SYNC", "start of CPU access", errno))?;
            }
            map.opened += 1;
        }
        Ok(map)
    }

    /// Where the planes lie.
    pub fn layout(&self) -> &Layout {
        self.buffer.layout()
    }

    /// The bytes of plane `index`, from its first sample to its last: `stride * (rows - 1) + row` bytes.
    ///
    /// # Panics
    /// Where `index` is not below the number of planes.
    pub fn plane(&self, index: usize) -> &[u8] {
        let range = self.plane_range(index);
        &self.object(self.plane_object(index))[range]
    }

    /// As [`Map::plane`], for writing.
    ///
    /// # Panics
    /// Where `index` is not below the number of planes, or the guard was made for reading.
    pub fn plane_mut(&mut self, index: usize) -> &mut [u8] {
        let range = self.plane_range(index);
        let object = self.plane_object(index);
        &mut self.object_mut(object)[range]
    }

    /// One row of samples of plane `index`; row 0 is the top.
    ///
    /// # Panics
    /// As [`Map::plane`], or where `row` is not below the plane's rows.
    pub fn row(&self, index: usize, row: u32) -> &[u8] {
        let layout = self.buffer.layout();
        assert!(row < layout.rows(index), "row {row} of plane {index} in {layout}");
        let start = layout.planes()[index].stride_bytes as usize * row as usize;
        &self.plane(index)[start..start + layout.row_bytes(index) as usize]
    }

    fn plane_object(&self, index: usize) -> usize {
        usize::from(self.buffer.0.plane_object[index])
    }

    fn plane_range(&self, index: usize) -> Range<usize> {
        let layout = self.buffer.layout();
        let start = layout.planes()[index].offset_bytes;
        // Checked when the buffer was made: the plane lies inside its object, which is mapped whole.
        let end = layout.plane_end(index).expect("checked by Buffer").max(start);
        start as usize..end as usize
    }

    fn object(&self, index: usize) -> &[u8] {
        object(self.buffer, index)
    }

    /// All bytes of memory object `index`.
    pub(super) fn object_mut(&mut self, index: usize) -> &mut [u8] {
        assert!(self.access.writes(), "this Map was made for reading");
        let mapping = self.buffer.0.objects[index].mapping.get().expect("mapped by Map::new");
        #[expect(unsafe_code, reason = "the mapping becomes a slice")]
        // SAFETY: as in `object`; it was mapped writable, and Borrows gave this guard sole access in this process.
        unsafe {
            std::slice::from_raw_parts_mut(mapping.as_ptr(), mapping.len_bytes())
        }
    }
}

/// All bytes of memory object `index`, which a guard for reading has mapped.
fn object(buffer: &Buffer, index: usize) -> &[u8] {
    let mapping = buffer.0.objects[index].mapping.get().expect("mapped by Map::new");
    #[expect(unsafe_code, reason = "the mapping becomes a slice")]
    // SAFETY: the mapping is as long as it says and lives as long as the buffer, which is borrowed; writers in this
    // process are excluded by Borrows. Memory shared with others may change under a reader: bytes only.
    unsafe {
        std::slice::from_raw_parts(mapping.as_ptr(), mapping.len_bytes())
    }
}

/// As [`Map`] for reading one memory object, for those that keep it: the buffer lives as long.
#[cfg(feature = "gstreamer")]
#[derive(Debug)]
pub(crate) struct Held {
    buffer: Buffer,
    index: usize,
    opened: usize,
}

#[cfg(feature = "gstreamer")]
impl Held {
    pub(crate) fn new(buffer: Buffer, index: usize) -> Result<Self> {
        let map = Map::new(&buffer, Access::Read)?;
        let opened = map.opened;
        // Its access ends when this is dropped.
        std::mem::forget(map);
        Ok(Self { buffer, index, opened })
    }
}

#[cfg(feature = "gstreamer")]
impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        object(&self.buffer, self.index)
    }
}

#[cfg(feature = "gstreamer")]
impl Drop for Held {
    fn drop(&mut self) {
        drop(Map { buffer: &self.buffer, access: Access::Read, opened: self.opened });
    }
}

impl Drop for Map<'_> {
    fn drop(&mut self) {
        for object in &self.buffer.0.objects[..self.opened] {
            if object.memory == Memory::DmaBuf
                && let Err(errno) = sys::dma_buf::sync(object.fd.as_fd(), self.access.bits(), false)
            {
                tracing::error!(%errno, "DMA_BUF_IOCTL_SYNC at the end of CPU access");
            }
        }
        self.buffer.0.borrows.release(self.access.writes());
    }
}
