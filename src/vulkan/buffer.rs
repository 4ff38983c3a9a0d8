//! Buffers of bytes: linear memory where no image import works, and memory for other processes and CUDA.
//!
//! In: a [`Buffer`] of linear dma-bufs, or a size. Out: a [`LinearBuffer`]. Not here: images.
//!
//! # References
//! `VkExternalMemoryBufferCreateInfo`, `vkGetPhysicalDeviceExternalBufferProperties`

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ash::vk;

use super::handle::{Handle, HandleKind};
use super::import::{DMA_BUF, need_dma_buf};
use super::memory::{Dedicated, Origin, Raw, allocate, export};
use super::{Device, failed};
use crate::buffer::{Buffer, Provenance};
use crate::error::{Error, Result};
use crate::format::Modifier;
use crate::layout::Layout;

/// The handle that only Vulkan, OpenGL and CUDA on the same device read.
const OPAQUE: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;

/// A Vulkan buffer over one memory, from its first byte to its last. Clones share it.
#[derive(Clone)]
pub struct LinearBuffer {
    // Dropped before the device.
    pub(super) raw: Arc<Raw>,
    bytes: u64,
    pub(super) buffer: Option<Buffer>,
    dedicated: bool,
    device: Device,
}

impl std::fmt::Debug for LinearBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vulkan::LinearBuffer({} bytes)", self.bytes)
    }
}

/// Asks whether buffers can be shared so, and whether only with memory of their own.
fn check(
    device: &Device,
    usage: vk::BufferUsageFlags,
    kind: vk::ExternalMemoryHandleTypeFlags,
    wanted: vk::ExternalMemoryFeatureFlags,
) -> Result<bool> {
    let info = vk::PhysicalDeviceExternalBufferInfo::default().usage(usage).handle_type(kind);
    let mut found = vk::ExternalBufferProperties::default();
    // SAFETY: both structs live in this frame.
    unsafe { device.instance().get_physical_device_external_buffer_properties(device.physical(), &info, &mut found) };
    let can = found.external_memory_properties.external_memory_features;
    match can.contains(wanted) {
        true => Ok(can.contains(vk::ExternalMemoryFeatureFlags::DEDICATED_ONLY)),
        false => Err(Error::unsupported(
            "vkGetPhysicalDeviceExternalBufferProperties",
            format!(
                "buffers of usage 0x{:x} have features 0x{:x} here, 0x{:x} is needed",
                usage.as_raw(),
                can.as_raw(),
                wanted.as_raw()
            ),
        )),
    }
}

impl LinearBuffer {
    fn make(
        device: &Device,
        bytes: u64,
        usage: vk::BufferUsageFlags,
        kind: vk::ExternalMemoryHandleTypeFlags,
        (origin, dedicated): (Origin<'_>, bool),
    ) -> Result<(Raw, u64)> {
        if bytes == 0 {
            return Err(Error::invalid("vkCreateBuffer", "0 bytes"));
        }
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(kind);
        let info = vk::BufferCreateInfo::default()
            .size(bytes)
            .usage(usage)
            .sharing_mode(vk::SharingMode::EXCLUSIVE)
            .push_next(&mut external);
        let mut raw = Raw::new(device);
        // SAFETY: the chain is structs of this frame.
        raw.buffer = unsafe { device.ash().create_buffer(&info, None) }
            .map_err(|result| failed("vkCreateBuffer", format!("{bytes} bytes"), result))?;
        // SAFETY: the buffer was just made.
        let required = unsafe { device.ash().get_buffer_memory_requirements(raw.buffer) };
        let allocated = match &origin {
            Origin::DmaBuf(_, bytes) | Origin::Opaque(_, bytes) => *bytes,
            Origin::Export(_) => required.size,
        };
        let dedicated = if dedicated { Dedicated::Buffer(raw.buffer) } else { Dedicated::No };
        let memory = allocate(device, &required, origin, dedicated)?;
        raw.memory.push(memory);
        // SAFETY: buffer and memory are the device's; size and type were held against the requirements.
        unsafe { device.ash().bind_buffer_memory(raw.buffer, memory, 0) }
            .map_err(|result| failed("vkBindBufferMemory", "", result))?;
        Ok((raw, allocated))
    }

    /// Makes a buffer over the memory that holds `plane`: byte 0 is the memory's first byte, and planes lie at their
    /// offsets ([`copy_region`] says where).
    ///
    /// # Errors
    /// `InvalidInput`: a plane that is not there, memory whose rows do not lie one after the other. `Unsupported`: the memory
    /// is no dma-buf, or the device takes none. The driver is given nothing before all of that is known.
    pub fn import(device: &Device, buffer: &Buffer, plane: usize, usage: vk::BufferUsageFlags) -> Result<Self> {
        let layout = buffer.layout();
        need_dma_buf(device, buffer)?;
        if plane >= layout.planes().len() {
            return Err(Error::invalid("vulkan import", format!("{layout} has no plane {plane}")));
        }
        if !matches!(layout.modifier, Modifier::LINEAR | Modifier::INVALID) {
            return Err(Error::invalid("vulkan import", format!("{layout}: a VkBuffer is for linear memory"))
                .with_hint("import it as an Image"));
        }
        let dedicated = check(device, usage, DMA_BUF, vk::ExternalMemoryFeatureFlags::IMPORTABLE)?;
        // Only what the layout reaches: the end of the memory may be padding that is no multiple of anything.
        let mut bytes = 0;
        for other in
            (0..layout.planes().len()).filter(|other| buffer.plane_object(*other) == buffer.plane_object(plane))
        {
            bytes = bytes.max(layout.plane_end(other)?);
        }
        let object = buffer.plane_object_bytes(plane);
        let origin = Origin::DmaBuf(buffer.plane_fd(plane), object);
        let (raw, _) =
            Self::make(device, bytes, usage, DMA_BUF, (origin, dedicated)).map_err(|error| error.in_context(layout))?;
        Ok(Self { raw: Arc::new(raw), bytes, buffer: Some(buffer.clone()), dedicated, device: device.clone() })
    }

    /// Makes memory on this device with `layout` (linear), and a buffer of ours over it that GLES, displays and other
    /// processes take.
    ///
    /// # Errors
    /// `Unsupported` where the device exports no dma-bufs; `InvalidInput` where the layout is not linear.
    pub fn allocate(device: &Device, layout: Layout, usage: vk::BufferUsageFlags) -> Result<Self> {
        device.caps().need_dma_buf()?;
        if layout.modifier != Modifier::LINEAR {
            return Err(Error::invalid("vulkan export", format!("{layout}: a VkBuffer is linear memory")));
        }
        let dedicated = check(device, usage, DMA_BUF, vk::ExternalMemoryFeatureFlags::EXPORTABLE)?;
        let mut bytes = 0;
        for plane in 0..layout.planes().len() {
            bytes = bytes.max(layout.plane_end(plane)?);
        }
        let (raw, _) = Self::make(device, bytes, usage, DMA_BUF, (Origin::Export(DMA_BUF), dedicated))?;
        let fd = export(device, raw.memory[0], DMA_BUF)?;
        let buffer = exported(device, layout, fd)?;
        Ok(Self { raw: Arc::new(raw), bytes, buffer: Some(buffer), dedicated, device: device.clone() })
    }

    /// Makes memory on this device that other processes, OpenGL (`GL_EXT_memory_object_fd`) and CUDA on the same device
    /// take, also where there are no dma-bufs. The handle says what the other side needs to know.
    ///
    /// # Errors
    /// `Unsupported` where the device exports no memory.
    pub fn allocate_opaque(
        device: &Device,
        bytes: u64,
        usage: vk::BufferUsageFlags,
    ) -> Result<(Self, OwnedFd, Handle)> {
        if !device.caps().memory_fd {
            return Err(Error::unsupported("VK_KHR_external_memory_fd", "this device exports no memory"));
        }
        let dedicated = check(device, usage, OPAQUE, vk::ExternalMemoryFeatureFlags::EXPORTABLE)?;
        let (raw, memory_bytes) = Self::make(device, bytes, usage, OPAQUE, (Origin::Export(OPAQUE), dedicated))?;
        let fd = export(device, raw.memory[0], OPAQUE)?;
        let handle = Handle {
            kind: HandleKind::OpaqueFd,
            device_uuid: device.info().device_uuid,
            driver_uuid: device.info().driver_uuid,
            memory_bytes,
            buffer_bytes: bytes,
            usage: usage.as_raw(),
            dedicated,
        };
        Ok((Self { raw: Arc::new(raw), bytes, buffer: None, dedicated, device: device.clone() }, fd, handle))
    }

    /// Takes memory of [`LinearBuffer::allocate_opaque`], from this or another process.
    ///
    /// # Errors
    /// `InvalidInput` where the handle is of another device or another driver, or says what cannot be: such memory is not
    /// checked by any driver. `Unsupported` where the device imports no memory.
    pub fn import_opaque(device: &Device, fd: OwnedFd, handle: &Handle) -> Result<Self> {
        handle.check(device.info(), HandleKind::OpaqueFd)?;
        if !device.caps().memory_fd {
            return Err(Error::unsupported("VK_KHR_external_memory_fd", "this device imports no memory"));
        }
        // Some drivers' memory is a file whose size can be asked; others say 0.
        let stat =
            nix::sys::stat::fstat(&fd).map_err(|errno| Error::from_errno("fstat", "memory of a handle", errno))?;
        if stat.st_size > 0 && (stat.st_size as u64) < handle.memory_bytes {
            let detail = format!("the fd has {} bytes, the handle says {}", stat.st_size, handle.memory_bytes);
            return Err(Error::invalid("vulkan handle", detail));
        }
        let usage = vk::BufferUsageFlags::from_raw(handle.usage);
        let wanted = check(device, usage, OPAQUE, vk::ExternalMemoryFeatureFlags::IMPORTABLE)?;
        if wanted && !handle.dedicated {
            return Err(Error::invalid("vulkan handle", "this device wants memory of the buffer's own, and it is not"));
        }
        let origin = Origin::Opaque(fd, handle.memory_bytes);
        let (raw, _) = Self::make(device, handle.buffer_bytes, usage, OPAQUE, (origin, handle.dedicated))?;
        let bytes = handle.buffer_bytes;
        Ok(Self { raw: Arc::new(raw), bytes, buffer: None, dedicated: handle.dedicated, device: device.clone() })
    }

    /// The memory of a program's own buffer, as a buffer of ours. The program keeps its own as long as it likes.
    ///
    /// # Safety
    /// `memory` is the device's, and was allocated for export as a dma-buf.
    ///
    /// # Errors
    /// `InvalidInput` where the layout is not linear or does not fit the memory.
    pub unsafe fn export(device: &Device, memory: vk::DeviceMemory, layout: Layout) -> Result<Buffer> {
        device.caps().need_dma_buf()?;
        if layout.modifier != Modifier::LINEAR {
            return Err(Error::invalid("vulkan export", format!("{layout}: a VkBuffer is linear memory")));
        }
        exported(device, layout, export(device, memory, DMA_BUF)?)
    }

    /// The buffer. It lives as long as any clone of this.
    pub fn raw(&self) -> vk::Buffer {
        self.raw.buffer
    }

    /// Its size.
    pub fn size_bytes(&self) -> u64 {
        self.bytes
    }

    /// The memory, where it is a dma-buf.
    pub fn buffer(&self) -> Option<&Buffer> {
        self.buffer.as_ref()
    }

    /// The memory was allocated for this buffer alone.
    pub fn is_dedicated(&self) -> bool {
        self.dedicated
    }

    /// The device it was made on.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

pub(super) fn exported(device: &Device, layout: Layout, fd: OwnedFd) -> Result<Buffer> {
    let provenance = Provenance { allocator: format!("vulkan({})", device.info().name), reasons: Vec::new() };
    Buffer::with_provenance(layout, vec![fd], provenance, None)
}

/// Where `plane` of linear memory lies, for copies between a [`LinearBuffer`] of that memory and a colour image of the
/// plane's size.
///
/// # Errors
/// `InvalidInput`: a stride that is no whole number of texels, which Vulkan cannot say.
pub fn copy_region(layout: &Layout, plane: usize) -> Result<vk::BufferImageCopy> {
    let place = layout
        .planes()
        .get(plane)
        .ok_or_else(|| Error::invalid("vulkan copy", format!("{layout} has no plane {plane}")))?;
    let format = &layout.format().planes[plane];
    let texels = u64::from(place.stride_bytes) * u64::from(format.block_width);
    if texels % u64::from(format.block_bytes) != 0 {
        let detail =
            format!("{layout}, plane {plane}: stride_bytes {} is no whole number of texels", place.stride_bytes);
        return Err(Error::invalid("VkBufferImageCopy", detail)
            .with_hint("allocate with a stride that is a multiple of the pixel's bytes"));
    }
    let subresource = vk::ImageSubresourceLayers::default().aspect_mask(vk::ImageAspectFlags::COLOR).layer_count(1);
    Ok(vk::BufferImageCopy::default()
        .buffer_offset(place.offset_bytes)
        .buffer_row_length((texels / u64::from(format.block_bytes)) as u32)
        .image_subresource(subresource)
        .image_extent(vk::Extent3D { width: format.columns(layout.size.width), height: layout.rows(plane), depth: 1 }))
}
