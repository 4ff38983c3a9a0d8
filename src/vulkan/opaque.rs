//! Images and semaphores for OpenGL ES and CUDA on the same device, where there are no dma-bufs.
//!
//! In: a size and a format. Out: an [`OpaqueImage`] that GLES draws into and CUDA copies from, semaphores that order their work
//! on the GPU. Not here: memory with an fd that other devices take (`export`); CUDA's half (`cuda`).
//!
//! # References
//! `VK_KHR_external_memory_fd`, `VK_KHR_external_semaphore_fd`; `GL_EXT_memory_object_fd`, `GL_EXT_semaphore_fd`

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ash::vk;

use super::device::hex;
use super::handle::{Handle, HandleKind};
use super::import::create_info;
use super::memory::{Dedicated, Origin, Raw, allocate, export};
use super::submit::HANG;
use super::{Device, Image, Semaphore, failed, formats};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Model};
use crate::gles::{Gl, Texture, external};
use crate::layout::Size;

const OPAQUE: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;

/// An image in the device's own layout whose memory GLES and CUDA on the same device take. Clones share it.
///
/// Between its users it is in `VK_IMAGE_LAYOUT_GENERAL` and belongs to `VK_QUEUE_FAMILY_EXTERNAL`.
#[derive(Clone)]
pub struct OpaqueImage {
    // Dropped before the device.
    raw: Arc<Raw>,
    size: Size,
    fourcc: Fourcc,
    handle: Handle,
    device: Device,
}

impl std::fmt::Debug for OpaqueImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vulkan::OpaqueImage({} {})", self.fourcc, self.size)
    }
}

impl OpaqueImage {
    /// Makes one.
    ///
    /// # Errors
    /// `Unsupported`: a Y'CbCr format, one without a Vulkan format, a size or usage that the device does not share so.
    pub fn allocate(device: &Device, size: Size, fourcc: Fourcc, usage: vk::ImageUsageFlags) -> Result<Self> {
        size.check()?;
        if !device.caps().memory_fd {
            return Err(Error::unsupported("VK_KHR_external_memory_fd", "this device exports no memory"));
        }
        if fourcc.format()?.model == Model::Yuv {
            return Err(Error::unsupported("vulkan opaque image", format!("{fourcc}: RGB formats only"))
                .with_hint("share each plane as an R8 or GR88 image"));
        }
        let format = formats::of(fourcc)?;
        let dedicated = check(device, (format, size, fourcc), usage)?;
        let mut external = vk::ExternalMemoryImageCreateInfo::default().handle_types(OPAQUE);
        let info = create_info(format, size, usage).tiling(vk::ImageTiling::OPTIMAL).push_next(&mut external);
        let mut raw = Raw::new(device);
        // SAFETY: the chain is structs of this frame, and the driver has said that it makes such images.
        raw.image = unsafe { device.ash().create_image(&info, None) }
            .map_err(|result| failed("vkCreateImage", format!("{fourcc} {size}"), result))?;
        // SAFETY: the image was just made.
        let required = unsafe { device.ash().get_image_memory_requirements(raw.image) };
        let dedicate = if dedicated { Dedicated::Image(raw.image) } else { Dedicated::No };
        let memory = allocate(device, &required, Origin::Export(OPAQUE), dedicate)?;
        raw.memory.push(memory);
        // SAFETY: image and memory are the device's; size and type were held against the requirements.
        unsafe { device.ash().bind_image_memory(raw.image, memory, 0) }
            .map_err(|result| failed("vkBindImageMemory", "", result))?;
        let handle = Handle {
            kind: HandleKind::OpaqueImageFd,
            device_uuid: device.info().device_uuid,
            driver_uuid: device.info().driver_uuid,
            memory_bytes: required.size,
            buffer_bytes: required.size,
            usage: usage.as_raw(),
            dedicated,
        };
        let image = Self { raw: Arc::new(raw), size, fourcc, handle, device: device.clone() };
        image.hand_over()?;
        Ok(image)
    }

    /// Into the layout that its users know, and to them.
    fn hand_over(&self) -> Result<()> {
        let barrier = vk::ImageMemoryBarrier::default()
            .image(self.raw.image)
            .subresource_range(Image::range())
            .old_layout(vk::ImageLayout::UNDEFINED)
            .new_layout(vk::ImageLayout::GENERAL)
            .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED);
        let given = barrier
            .old_layout(vk::ImageLayout::GENERAL)
            .src_queue_family_index(self.device.queue_family())
            .dst_queue_family_index(vk::QUEUE_FAMILY_EXTERNAL);
        let work = self.device.submit(&[], &[], |ash, commands| {
            let (stage, none) = (vk::PipelineStageFlags::ALL_COMMANDS, vk::DependencyFlags::empty());
            for barrier in [barrier, given] {
                // SAFETY: the command buffer is being recorded; the image is this device's.
                unsafe { ash.cmd_pipeline_barrier(commands, stage, stage, none, &[], &[], &[barrier]) };
            }
            Ok(())
        })?;
        work.wait(HANG)?;
        self.device.collect().map(drop)
    }

    /// The image.
    pub fn raw(&self) -> vk::Image {
        self.raw.image
    }

    /// Its size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Its format.
    pub fn fourcc(&self) -> Fourcc {
        self.fourcc
    }

    /// The device it was made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What must be known of the fd.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A new fd of its memory, for one taker.
    ///
    /// # Errors
    /// `OutOfMemory`, `Failed`.
    pub fn to_fd(&self) -> Result<OwnedFd> {
        export(&self.device, self.raw.memory[0], OPAQUE)
    }

    /// A texture of GLES over the same memory. What one side does and the other is to see goes between a semaphore's signal
    /// and wait.
    ///
    /// # Errors
    /// `InvalidInput` where the context draws on another device or with another driver; `Unsupported` where it takes no memory.
    pub fn texture(&self, gl: &Gl) -> Result<Texture> {
        check_gl(&self.device, gl)?;
        let memory = (self.to_fd()?, self.handle.memory_bytes, self.handle.dedicated);
        // SAFETY: device and driver are the same, the memory was made for an image of this size and format.
        unsafe { Texture::from_opaque_memory(gl, self.size, self.fourcc, memory) }
    }
}

/// Fails unless GLES and Vulkan are one driver on one device.
fn check_gl(device: &Device, gl: &Gl) -> Result<()> {
    let (uuids, info) = (gl.uuids()?, device.info());
    let names = |list: &[[u8; 16]]| list.iter().map(hex).collect::<Vec<_>>().join(", ");
    if !uuids.devices.contains(&info.device_uuid) {
        let detail = format!(
            "OpenGL ES draws on {} ({}), Vulkan on {} ({})",
            names(&uuids.devices),
            gl.caps().renderer,
            hex(&info.device_uuid),
            info.name
        );
        return Err(Error::invalid("GL_DEVICE_UUID_EXT", detail)
            .with_hint("open the device with Choice::Uuid(gl.uuids()?.devices[0])"));
    }
    if uuids.driver != info.driver_uuid {
        let detail = format!("OpenGL ES has the driver {}, Vulkan {}", hex(&uuids.driver), hex(&info.driver_uuid));
        return Err(
            Error::invalid("GL_DRIVER_UUID_EXT", detail).with_hint("install both from one release of the driver")
        );
    }
    Ok(())
}

/// Asks whether such images can be exported, and whether only with memory of their own.
fn check(
    device: &Device,
    (format, size, fourcc): (vk::Format, Size, Fourcc),
    usage: vk::ImageUsageFlags,
) -> Result<bool> {
    let mut external = vk::PhysicalDeviceExternalImageFormatInfo::default().handle_type(OPAQUE);
    let info = vk::PhysicalDeviceImageFormatInfo2::default()
        .format(format)
        .ty(vk::ImageType::TYPE_2D)
        .tiling(vk::ImageTiling::OPTIMAL)
        .usage(usage)
        .push_next(&mut external);
    let mut external = vk::ExternalImageFormatProperties::default();
    let mut found = vk::ImageFormatProperties2::default().push_next(&mut external);
    // SAFETY: both chains are structs of this frame.
    unsafe { device.instance().get_physical_device_image_format_properties2(device.physical(), &info, &mut found) }
        .map_err(|result| failed("vkGetPhysicalDeviceImageFormatProperties2", fourcc, result))?;
    let extent = found.image_format_properties.max_extent;
    if size.width > extent.width || size.height > extent.height {
        return Err(Error::unsupported(
            "VkImageFormatProperties",
            format!("{fourcc} {size}: this device has images of up to {}x{}", extent.width, extent.height),
        ));
    }
    let can = external.external_memory_properties.external_memory_features;
    match can.contains(vk::ExternalMemoryFeatureFlags::EXPORTABLE) {
        true => Ok(can.contains(vk::ExternalMemoryFeatureFlags::DEDICATED_ONLY)),
        false => Err(Error::unsupported(
            "VkExternalMemoryFeatureFlags",
            format!("{fourcc} with usage 0x{:x} cannot be exported", usage.as_raw()),
        )),
    }
}

/// A binary semaphore between GLES and another API on the same device: Vulkan itself or CUDA.
impl Semaphore {
    /// GLES's side of a semaphore that was made by [`Semaphore::for_sharing`].
    ///
    /// # Errors
    /// `InvalidInput` where the context draws on another device or with another driver; `Unsupported` where it takes none.
    pub fn gles(&self, gl: &Gl) -> Result<external::Semaphore> {
        check_gl(self.device(), gl)?;
        let fd = self.to_opaque_fd()?;
        // SAFETY: device and driver are the same; the fd is a binary semaphore.
        unsafe { external::Semaphore::from_opaque_fd(gl, fd) }
    }
}
