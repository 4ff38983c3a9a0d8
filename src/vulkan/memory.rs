//! Device memory of fds, and what is destroyed with it, in order.
//!
//! In: an fd and what an image or buffer requires. Out: memory of the right type, or an error with the numbers.
//! Not here: which image or buffer (`import`, `buffer`, `export`).
//!
//! # References
//! Vulkan 1.3 "Memory Allocation", `VkImportMemoryFdInfoKHR`, `VkMemoryDedicatedAllocateInfo`

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use ash::vk;

use super::{Device, failed};
use crate::error::{Error, Result};

/// An image or a buffer with its memory and views. Dropped when nobody uses it any more, on the processor or the GPU.
pub(super) struct Raw {
    pub device: Arc<ash::Device>,
    pub image: vk::Image,
    pub buffer: vk::Buffer,
    pub view: vk::ImageView,
    pub sampler: vk::Sampler,
    pub conversion: vk::SamplerYcbcrConversion,
    pub semaphore: vk::Semaphore,
    pub memory: Vec<vk::DeviceMemory>,
}

impl Raw {
    pub fn new(device: &Device) -> Self {
        Self {
            device: device.shared(),
            image: vk::Image::null(),
            buffer: vk::Buffer::null(),
            view: vk::ImageView::null(),
            sampler: vk::Sampler::null(),
            conversion: vk::SamplerYcbcrConversion::null(),
            semaphore: vk::Semaphore::null(),
            memory: Vec::new(),
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: all are this device's and ours alone; null handles are passed over; submissions that use them keep a
        // reference until their fence has signaled, so the GPU is done with them.
        unsafe {
            self.device.destroy_image_view(self.view, None);
            self.device.destroy_sampler(self.sampler, None);
            self.device.destroy_sampler_ycbcr_conversion(self.conversion, None);
            self.device.destroy_semaphore(self.semaphore, None);
            self.device.destroy_image(self.image, None);
            self.device.destroy_buffer(self.buffer, None);
            for memory in &self.memory {
                self.device.free_memory(*memory, None);
            }
        }
    }
}

/// What memory is for.
#[derive(Clone, Copy)]
pub(super) enum Dedicated {
    No,
    Image(vk::Image),
    Buffer(vk::Buffer),
}

/// Where memory comes from.
pub(super) enum Origin<'a> {
    /// A dma-buf of this size.
    DmaBuf(BorrowedFd<'a>, u64),
    /// Another Vulkan device's export of this size.
    Opaque(OwnedFd, u64),
    /// New, to be exported.
    Export(vk::ExternalMemoryHandleTypeFlags),
}

/// Allocates or imports what `required` asks for.
pub(super) fn allocate(
    device: &Device,
    required: &vk::MemoryRequirements,
    origin: Origin<'_>,
    dedicated: Dedicated,
) -> Result<vk::DeviceMemory> {
    let mut types = required.memory_type_bits;
    let mut bytes = required.size;
    if let Origin::DmaBuf(_, object_bytes) | Origin::Opaque(_, object_bytes) = origin {
        if required.size > object_bytes {
            return Err(Error::invalid(
                "VkMemoryRequirements",
                format!("the driver needs {} bytes, the memory has {object_bytes}", required.size),
            )
            .with_hint("allocate it with the padding that this device wants, e.g. Image::allocate"));
        }
        // An import has the size of what it imports; memory of one image or buffer alone has that one's.
        bytes = match (&origin, dedicated) {
            (Origin::DmaBuf(..), Dedicated::Image(_) | Dedicated::Buffer(_)) => required.size,
            _ => object_bytes,
        };
    }
    if let Origin::DmaBuf(fd, _) = origin {
        let mut properties = vk::MemoryFdPropertiesKHR::default();
        let kind = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        // SAFETY: the fd is open, and a dma-buf: its Buffer has looked.
        let said = unsafe { device.inner().memory_fd.get_memory_fd_properties(kind, fd.as_raw_fd(), &mut properties) };
        said.map_err(|result| {
            failed("vkGetMemoryFdPropertiesKHR", "a dma-buf", result)
                .with_hint("this device cannot reach the memory: choose the device of the node that made it")
        })?;
        types &= properties.memory_type_bits;
    }
    if types == 0 {
        return Err(Error::unsupported(
            "vulkan memory type",
            format!("no type of memory is both the fd's and the image's (types 0x{:x})", required.memory_type_bits),
        ));
    }
    let local =
        |index: &usize| device.memory_types()[*index].property_flags.contains(vk::MemoryPropertyFlags::DEVICE_LOCAL);
    let possible: Vec<usize> = (0..device.memory_types().len()).filter(|index| types & (1 << index) != 0).collect();
    let index = possible.iter().copied().find(local).or(possible.first().copied());
    let index = index.ok_or_else(|| Error::failed("vulkan memory type", format!("types 0x{types:x} are not there")))?;

    let mut dedicate = match dedicated {
        Dedicated::No => None,
        Dedicated::Image(image) => Some(vk::MemoryDedicatedAllocateInfo::default().image(image)),
        Dedicated::Buffer(buffer) => Some(vk::MemoryDedicatedAllocateInfo::default().buffer(buffer)),
    };
    let mut import = None;
    let mut export = None;
    let mut given = None;
    match origin {
        Origin::DmaBuf(fd, _) => {
            let fd = fd.try_clone_to_owned().map_err(|error| Error::from_io("dup", "a dma-buf", error))?;
            import = Some((vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT, fd.as_raw_fd()));
            given = Some(fd);
        }
        Origin::Opaque(fd, _) => {
            import = Some((vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD, fd.as_raw_fd()));
            given = Some(fd);
        }
        Origin::Export(kinds) => export = Some(vk::ExportMemoryAllocateInfo::default().handle_types(kinds)),
    }
    let mut import = import.map(|(kind, fd)| vk::ImportMemoryFdInfoKHR::default().handle_type(kind).fd(fd));
    let mut info = vk::MemoryAllocateInfo::default().allocation_size(bytes).memory_type_index(index as u32);
    if let Some(dedicate) = &mut dedicate {
        info = info.push_next(dedicate);
    }
    if let Some(import) = &mut import {
        info = info.push_next(import);
    }
    if let Some(export) = &mut export {
        info = info.push_next(export);
    }
    // SAFETY: the chain is structs of this frame; size, type and handle were held against what the driver asked for.
    let memory = unsafe { device.ash().allocate_memory(&info, None) }
        .map_err(|result| failed("vkAllocateMemory", format!("{bytes} bytes of type {index}"), result))?;
    // The fd belongs to the memory now; where the call failed it was closed above.
    given.map(std::os::fd::IntoRawFd::into_raw_fd);
    Ok(memory)
}

/// An fd of memory that was made for export.
pub(super) fn export(
    device: &Device,
    memory: vk::DeviceMemory,
    kind: vk::ExternalMemoryHandleTypeFlags,
) -> Result<OwnedFd> {
    let info = vk::MemoryGetFdInfoKHR::default().memory(memory).handle_type(kind);
    // SAFETY: the memory is the device's and was allocated for export as this kind.
    let fd = unsafe { device.inner().memory_fd.get_memory_fd(&info) }
        .map_err(|result| failed("vkGetMemoryFdKHR", "", result))?;
    // SAFETY: on success the driver has made a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
