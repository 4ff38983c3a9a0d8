//! Frames of dma-bufs as plain memory of the device, for an API that takes no dma-bufs (CUDA): one copy on the GPU.
//!
//! In: buffers of one layout. Out: the same bytes in memory that is made once and has an opaque fd; and back.
//! Not here: who reads that memory (`cuda`).
//!
//! # References
//! `VkBufferCopy`, `VkBufferImageCopy`; `VK_KHR_external_memory_fd`

use std::os::fd::OwnedFd;

use ash::vk;

use super::cache::LinearImports;
use super::submit::At;
use super::{Device, Handle, ImportOptions, Imports, LinearBuffer, Submitted, Use, copy_region};
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::format::{Fourcc, Modifier};
use crate::layout::{Constraints, Layout, Size};

/// Memory for frames of one size and format. Planes lie one after the other ([`Staging::layout`]).
#[derive(Debug)]
pub struct Staging {
    linear: LinearBuffer,
    layout: Layout,
    images: Imports,
    buffers: LinearImports,
}

/// Copies go by the byte where both sides are rows of samples.
fn is_linear(buffer: &Buffer) -> bool {
    matches!(buffer.layout().modifier, Modifier::LINEAR | Modifier::INVALID)
}

impl Staging {
    /// Makes the memory; its fd and what must be known of it are for the other API.
    ///
    /// # Errors
    /// Those of [`LinearBuffer::allocate_opaque`]; `Unsupported` for an unknown format.
    pub fn new(device: &Device, size: Size, fourcc: Fourcc) -> Result<(Self, OwnedFd, Handle)> {
        // What copies of images ask for, and whole lines of a cache.
        let rows = Constraints { stride_align_bytes: 64, offset_align_bytes: 256, ..Constraints::NONE };
        let layout = Layout::linear(fourcc, size, &rows)?;
        let mut bytes = 0;
        for plane in 0..layout.planes().len() {
            bytes = bytes.max(layout.plane_end(plane)?);
        }
        let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
        // Copies by the row end with whole strides.
        let bytes = bytes.next_multiple_of(256);
        let (linear, fd, handle) = LinearBuffer::allocate_opaque(device, bytes, usage)?;
        let options = ImportOptions {
            usage: vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST,
            ..ImportOptions::default()
        };
        let images = Imports::new(device, options);
        let buffers = LinearImports::new(device, usage);
        Ok((Self { linear, layout, images, buffers }, fd, handle))
    }

    /// Where the planes lie in the memory.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The memory, as Vulkan has it.
    pub fn linear(&self) -> &LinearBuffer {
        &self.linear
    }

    /// Copies `buffer` in: after `waits`, its implicit fences and `after`; `then` is signaled behind it.
    ///
    /// # Errors
    /// `InvalidInput`: another size or format. `Unsupported`: memory that the device does not import, a Y'CbCr picture that is
    /// not linear. Those of [`Device::submit`].
    pub fn take(&mut self, buffer: &Buffer, waits: &[&Fence], order: (At<'_>, At<'_>)) -> Result<Submitted> {
        self.copy(buffer, waits, order, true)
    }

    /// Copies the memory out, into `buffer`; otherwise as [`Staging::take`]. What was in the buffer before is lost.
    ///
    /// # Errors
    /// As [`Staging::take`].
    pub fn give(&mut self, buffer: &Buffer, waits: &[&Fence], order: (At<'_>, At<'_>)) -> Result<Submitted> {
        self.copy(buffer, waits, order, false)
    }

    fn copy(&mut self, buffer: &Buffer, waits: &[&Fence], order: (At<'_>, At<'_>), is_in: bool) -> Result<Submitted> {
        let layout = buffer.layout();
        if (layout.fourcc, layout.size) != (self.layout.fourcc, self.layout.size) {
            let detail = format!("{layout}: this memory is for {} {}", self.layout.fourcc, self.layout.size);
            return Err(Error::invalid("vulkan staging", detail));
        }
        let device = self.linear.device().clone();
        let staged = match is_in {
            true => Use::buffer(&self.linear).overwrite(),
            false => Use::buffer(&self.linear),
        };
        let staging = self.linear.raw();
        if is_linear(buffer) {
            let planes = self.buffers.take(buffer)?;
            let mut copies = Vec::new();
            for (plane, linear) in planes.iter().enumerate() {
                copies.push((linear.raw(), self.regions(layout, plane, is_in)));
            }
            let mut uses = vec![staged];
            for (plane, linear) in planes.iter().enumerate() {
                // Planes in one memory have one VkBuffer.
                if !planes[..plane].iter().any(|other| other.raw() == linear.raw()) {
                    uses.push(if is_in { Use::buffer(linear) } else { Use::buffer(linear).write() });
                }
            }
            return device.submit_between(&uses, waits, order, |ash, commands| {
                for (other, regions) in &copies {
                    let (from, to) = if is_in { (*other, staging) } else { (staging, *other) };
                    // SAFETY: every region lies inside both: layouts were held against their memory.
                    unsafe { ash.cmd_copy_buffer(commands, from, to, regions) };
                }
                Ok(())
            });
        }
        if layout.format().planes.len() > 1 || layout.format().is_yuv() {
            let detail = format!("{layout}: planes in tiles are not copied");
            return Err(Error::unsupported("vulkan staging", detail).with_hint("allocate it linear, or as RGB"));
        }
        let image = self.images.take(buffer)?;
        let region = copy_region(&self.layout, 0)?;
        let (place, used) = match is_in {
            true => {
                let place = vk::ImageLayout::TRANSFER_SRC_OPTIMAL;
                (place, Use::image(&image, place))
            }
            false => {
                let place = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
                (place, Use::image(&image, place).overwrite())
            }
        };
        device.submit_between(&[staged, used], waits, order, |ash, commands| {
            // SAFETY: the region is the staging memory's own plane, and all of the image, which is in this layout.
            unsafe {
                match is_in {
                    true => ash.cmd_copy_image_to_buffer(commands, image.raw(), place, staging, &[region]),
                    false => ash.cmd_copy_buffer_to_image(commands, staging, image.raw(), place, &[region]),
                }
            }
            Ok(())
        })
    }

    /// One region where both have the same stride, else one a row.
    fn regions(&self, other: &Layout, plane: usize, is_in: bool) -> Vec<vk::BufferCopy> {
        let (ours, theirs) = (self.layout.planes()[plane], other.planes()[plane]);
        let (rows, row_bytes) = (u64::from(other.rows(plane)), other.row_bytes(plane));
        let region = |ours: u64, theirs: u64, bytes: u64| {
            let (from, to) = if is_in { (theirs, ours) } else { (ours, theirs) };
            vk::BufferCopy::default().src_offset(from).dst_offset(to).size(bytes)
        };
        if ours.stride_bytes == theirs.stride_bytes {
            let bytes = u64::from(ours.stride_bytes) * rows.saturating_sub(1) + row_bytes;
            return vec![region(ours.offset_bytes, theirs.offset_bytes, bytes)];
        }
        (0..rows)
            .map(|row| {
                let ours = ours.offset_bytes + row * u64::from(ours.stride_bytes);
                let theirs = theirs.offset_bytes + row * u64::from(theirs.stride_bytes);
                region(ours, theirs, row_bytes)
            })
            .collect()
    }
}
