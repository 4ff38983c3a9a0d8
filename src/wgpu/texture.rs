//! Buffers as textures of wgpu.
//!
//! In: a [`Buffer`] of dma-bufs. Out: [`Texture`]s: one, or one for each plane. Not here: remembering them (`cache`).
//!
//! The image is made by our own Vulkan import, which knows modifiers of several planes and holds what the driver needs against the
//! memory; wgpu is given it (`texture_from_raw`) and keeps it until the GPU is done with it.

use std::sync::Arc;

use ash::vk;
use wgpu::hal;

use super::{Device, catch};
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Layout, PlaneLayout, Size};
use crate::vulkan::{ExportOptions, Image, ImportOptions};

/// (DRM name, wgpu's format of the same bytes).
const FORMATS: &[(&str, wgpu::TextureFormat)] = &[
    ("R8", wgpu::TextureFormat::R8Unorm),
    ("R16", wgpu::TextureFormat::R16Unorm),
    ("GR88", wgpu::TextureFormat::Rg8Unorm),
    ("GR1616", wgpu::TextureFormat::Rg16Unorm),
    ("XRGB8888", wgpu::TextureFormat::Bgra8Unorm),
    ("ARGB8888", wgpu::TextureFormat::Bgra8Unorm),
    ("XBGR8888", wgpu::TextureFormat::Rgba8Unorm),
    ("ABGR8888", wgpu::TextureFormat::Rgba8Unorm),
    ("XBGR2101010", wgpu::TextureFormat::Rgb10a2Unorm),
    ("ABGR2101010", wgpu::TextureFormat::Rgb10a2Unorm),
    ("XBGR16161616", wgpu::TextureFormat::Rgba16Unorm),
    ("ABGR16161616", wgpu::TextureFormat::Rgba16Unorm),
    ("XBGR16161616F", wgpu::TextureFormat::Rgba16Float),
    ("ABGR16161616F", wgpu::TextureFormat::Rgba16Float),
];

/// (usage of wgpu, the same for Vulkan, the state between our submissions where it is there).
const USAGES: &[(wgpu::TextureUsages, vk::ImageUsageFlags, wgpu::TextureUses)] = &[
    (wgpu::TextureUsages::TEXTURE_BINDING, vk::ImageUsageFlags::SAMPLED, wgpu::TextureUses::RESOURCE),
    (wgpu::TextureUsages::RENDER_ATTACHMENT, vk::ImageUsageFlags::COLOR_ATTACHMENT, wgpu::TextureUses::COLOR_TARGET),
    (wgpu::TextureUsages::COPY_SRC, vk::ImageUsageFlags::TRANSFER_SRC, wgpu::TextureUses::COPY_SRC),
    (wgpu::TextureUsages::COPY_DST, vk::ImageUsageFlags::TRANSFER_DST, wgpu::TextureUses::COPY_DST),
];

/// wgpu's format with the bytes of `fourcc`.
///
/// # Errors
/// `Unsupported` where there is none.
pub fn format_of(fourcc: Fourcc) -> Result<wgpu::TextureFormat> {
    let name = fourcc.format()?.name;
    FORMATS.iter().find(|row| row.0 == name).map(|row| row.1).ok_or_else(|| {
        let hint = match fourcc.format() {
            Ok(format) if format.planes.len() > 1 => "Texture::import_planes makes a texture of each plane",
            _ => "ARGB8888 and ABGR8888 are what every device takes",
        };
        Error::unsupported("wgpu::TextureFormat", format!("wgpu has no format with the bytes of {fourcc}"))
            .with_hint(hint)
    })
}

/// A texture over a [`Buffer`]'s memory, or over one plane of it. Clones share it.
#[derive(Clone)]
pub struct Texture(Arc<Inner>);

struct Inner {
    texture: wgpu::Texture,
    image: Image,
    /// What wgpu takes the image for between submissions, and the layout that this is.
    state: wgpu::TextureUses,
    layout: vk::ImageLayout,
    device: Device,
}

impl std::fmt::Debug for Texture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wgpu::Texture({})", self.0.image.buffer().layout())
    }
}

/// The layouts in which wgpu has these states.
fn layout_of(state: wgpu::TextureUses) -> vk::ImageLayout {
    match state {
        wgpu::TextureUses::RESOURCE => vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL,
        wgpu::TextureUses::COLOR_TARGET => vk::ImageLayout::COLOR_ATTACHMENT_OPTIMAL,
        wgpu::TextureUses::COPY_SRC => vk::ImageLayout::TRANSFER_SRC_OPTIMAL,
        _ => vk::ImageLayout::TRANSFER_DST_OPTIMAL,
    }
}

/// One plane of a buffer's memory, as a buffer of one plane.
fn plane(buffer: &Buffer, index: usize) -> Result<Buffer> {
    let layout = buffer.layout();
    let format = layout.format();
    let of = &format.planes[index];
    let fourcc = of.view.ok_or_else(|| {
        Error::unsupported("wgpu import", format!("{layout}: plane {index} has samples that wgpu has no format for"))
            .with_hint("convert it first: NV12, P010 and YUV420 have planes")
    })?;
    let size = Size::new(of.columns(layout.size.width), layout.rows(index));
    let place = layout.planes()[index];
    let part = PlaneLayout { offset_bytes: place.offset_bytes, stride_bytes: place.stride_bytes };
    let fd = buffer.plane_fd(index).try_clone_to_owned().map_err(|error| Error::from_io("dup", "a dma-buf", error))?;
    Buffer::from_fds(Layout::new(fourcc, size, layout.modifier, &[part])?, vec![fd])
}

impl Texture {
    /// Makes a texture over the buffer's memory, for these usages: sampled, drawn to, copied from and to.
    ///
    /// Memory whose modifier nobody told is taken for rows of pixels where the processor draws, and refused elsewhere.
    ///
    /// # Errors
    /// Those of [`Image::import`]; `Unsupported` for formats that wgpu does not have; `InvalidInput` for other usages.
    pub fn import(device: &Device, buffer: &Buffer, usage: wgpu::TextureUsages) -> Result<Self> {
        let format = format_of(buffer.fourcc())?;
        let options =
            ImportOptions { usage: vulkan_usage(usage)?, color: None, assume_linear: device.info().is_software };
        let image = Image::import(device.shared(), buffer, &options)?;
        Self::over(device, image, format, usage)
    }

    /// A texture of each plane: `R8Unorm` of luma and `Rg8Unorm` of chroma for NV12, of 16 bits for P010, three of `R8Unorm` for
    /// YUV420. What the numbers mean is for the shader to know.
    ///
    /// # Errors
    /// As [`Texture::import`].
    pub fn import_planes(device: &Device, buffer: &Buffer, usage: wgpu::TextureUsages) -> Result<Vec<Self>> {
        let layout = buffer.layout();
        let planes = layout.format().planes.len();
        if layout.planes().len() != planes {
            let detail = format!("{layout}: its planes have planes of their own (compression)");
            return Err(Error::unsupported("wgpu import", detail).with_hint("allocate it linear"));
        }
        if planes == 1 {
            return Ok(vec![Self::import(device, buffer, usage)?]);
        }
        (0..planes).map(|index| Self::import(device, &plane(buffer, index)?, usage)).collect()
    }

    /// Makes a texture on this device whose memory is a [`Buffer`], for consumers that accept one of `modifiers` (empty: whatever
    /// the device likes best).
    ///
    /// # Errors
    /// Those of [`Image::allocate`]; `Unsupported` for formats that wgpu does not have.
    pub fn allocate(
        device: &Device,
        size: Size,
        fourcc: Fourcc,
        usage: wgpu::TextureUsages,
        modifiers: &[Modifier],
    ) -> Result<Self> {
        let format = format_of(fourcc)?;
        let options = ExportOptions { modifiers: modifiers.to_vec(), usage: vulkan_usage(usage)?, color: None };
        let image = Image::allocate(device.shared(), size, fourcc, &options)?;
        Self::over(device, image, format, usage)
    }

    fn over(device: &Device, image: Image, format: wgpu::TextureFormat, usage: wgpu::TextureUsages) -> Result<Self> {
        let size = image.buffer().size();
        let extent = wgpu::Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 };
        let uses = USAGES.iter().filter(|row| usage.contains(row.0));
        let state = uses.clone().map(|row| row.2).next().unwrap_or(wgpu::TextureUses::COPY_SRC);
        let ours = hal::TextureDescriptor {
            label: None,
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: uses.fold(wgpu::TextureUses::empty(), |all, row| all | row.2),
            memory_flags: hal::MemoryFlags::empty(),
            view_formats: Vec::new(),
        };
        let keep: hal::DropCallback = {
            let image = image.clone();
            Box::new(move || drop(image))
        };
        // SAFETY: no handle of the device is destroyed by hand.
        let raw = unsafe { device.device().as_hal::<hal::api::Vulkan>() };
        let raw = raw.ok_or_else(|| Error::failed("wgpu import", "the device is no Vulkan device"))?;
        // SAFETY: the image was made on this device with this size, format and usage; it lives until the callback is dropped.
        let native =
            unsafe { raw.texture_from_raw(image.raw(), &ours, Some(keep), hal::vulkan::TextureMemory::External) };
        drop(raw);
        let theirs = wgpu::TextureDescriptor {
            label: None,
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage,
            view_formats: &[],
        };
        let texture = catch(device.device(), "wgpu import", || {
            // SAFETY: the texture is this device's and as described. Its memory is somebody's picture, not uninitialised; submissions
            // begin by putting it into this state.
            unsafe { device.device().create_texture_from_hal::<hal::api::Vulkan>(native, &theirs, state) }
        })?;
        Ok(Self(Arc::new(Inner { texture, image, state, layout: layout_of(state), device: device.clone() })))
    }

    /// wgpu's texture.
    pub fn texture(&self) -> &wgpu::Texture {
        &self.0.texture
    }

    /// A view of all of it.
    pub fn view(&self) -> wgpu::TextureView {
        self.0.texture.create_view(&wgpu::TextureViewDescriptor::default())
    }

    /// The memory; of a plane, as a buffer of one plane.
    pub fn buffer(&self) -> &Buffer {
        self.0.image.buffer()
    }

    /// The device it was made on.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    pub(super) fn image(&self) -> &Image {
        &self.0.image
    }

    pub(super) fn state(&self) -> wgpu::TextureUses {
        self.0.state
    }

    pub(super) fn layout(&self) -> vk::ImageLayout {
        self.0.layout
    }

    /// Fails unless it was made on this device: wgpu looks a foreign texture up among its own.
    pub(super) fn check_device(&self, device: &Device) -> Result<()> {
        match self.0.device.is_same(device) {
            true => Ok(()),
            false => {
                let detail = format!("{self:?} was imported on another device ({:?})", self.0.device);
                Err(Error::invalid("wgpu submit", detail))
            }
        }
    }

    /// Only one user is left: whoever asks.
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

fn vulkan_usage(usage: wgpu::TextureUsages) -> Result<vk::ImageUsageFlags> {
    let known = USAGES.iter().fold(wgpu::TextureUsages::empty(), |all, row| all | row.0);
    if usage.is_empty() || !known.contains(usage) {
        let detail = format!("{usage:?}: memory of others is {known:?}");
        return Err(
            Error::invalid("wgpu::TextureUsages", detail).with_hint("copy into a texture of wgpu's own for more")
        );
    }
    let usages = USAGES.iter().filter(|row| usage.contains(row.0));
    Ok(usages.fold(vk::ImageUsageFlags::empty(), |all, row| all | row.1))
}
