//! Memory that Vulkan makes, as buffers of ours: for GLES, displays, encoders and other processes.
//!
//! In: a size, a format, modifiers that all consumers accept; or a program's own image. Out: an [`Image`] with its [`Buffer`].
//! Not here: buffers of bytes (`buffer`).
//!
//! # References
//! `VkImageDrmFormatModifierListCreateInfoEXT`, `vkGetImageDrmFormatModifierPropertiesEXT`, `vkGetImageSubresourceLayout`

use ash::vk;

use super::buffer::exported;
use super::import::{DMA_BUF, bind, check_support, create_info, plane_aspect};
use super::memory::{Dedicated, Origin, Raw, allocate, export};
use super::{Device, Image, ImportOptions, failed, formats};
use crate::buffer::Buffer;
use crate::color::Color;
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Layout, PlaneLayout, Size};

/// What a new image is for.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Modifiers that every consumer accepts, any order; empty for whatever the device likes best.
    pub modifiers: Vec<Modifier>,
    /// What Vulkan does with it.
    pub usage: vk::ImageUsageFlags,
    /// What Y'CbCr numbers mean; guessed from the size where nothing is said.
    pub color: Option<Color>,
}

impl Default for ExportOptions {
    /// Drawn to and copied, for consumers that take linear memory.
    fn default() -> Self {
        Self { modifiers: vec![Modifier::LINEAR], usage: ImportOptions::target().usage, color: None }
    }
}

impl Image {
    /// Makes an image on this device whose memory others use: [`Image::buffer`] has it.
    ///
    /// # Errors
    /// `Unsupported` where none of the modifiers can be exported with this format, size and usage: the error of each.
    pub fn allocate(device: &Device, size: Size, fourcc: Fourcc, options: &ExportOptions) -> Result<Self> {
        size.check()?;
        device.caps().need_dma_buf()?;
        let format = formats::of(fourcc)?;
        let known: Vec<Modifier> = device.modifiers(fourcc)?.iter().map(|known| known.modifier).collect();
        let wanted = if options.modifiers.is_empty() { &known } else { &options.modifiers };
        let mut refused = Vec::new();
        let mut possible = Vec::new();
        let mut features = vk::FormatFeatureFlags::empty();
        for modifier in wanted {
            let exportable = vk::ExternalMemoryFeatureFlags::EXPORTABLE;
            match check_support(device, fourcc, size, (*modifier, None), options.usage, exportable) {
                Ok((found, _)) => {
                    // A conversion must fit whichever the driver takes.
                    features = if possible.is_empty() { found } else { features & found };
                    possible.push(modifier.0);
                }
                Err(error) => refused.push(error.to_string()),
            }
        }
        if possible.is_empty() {
            return Err(Error::unsupported("vulkan export", format!("{fourcc} {size}: {}", refused.join("; "))));
        }
        let mut list = vk::ImageDrmFormatModifierListCreateInfoEXT::default().drm_format_modifiers(&possible);
        let mut external = vk::ExternalMemoryImageCreateInfo::default().handle_types(DMA_BUF);
        let info = create_info(format, size, options.usage).push_next(&mut external).push_next(&mut list);
        let mut raw = Raw::new(device);
        // SAFETY: the chain is structs of this frame, and the driver has said that it makes such images.
        raw.image = unsafe { device.ash().create_image(&info, None) }
            .map_err(|result| failed("vkCreateImage", format!("{fourcc} {size}"), result))?;
        // SAFETY: the image was just made.
        let required = unsafe { device.ash().get_image_memory_requirements(raw.image) };
        let memory = allocate(device, &required, Origin::Export(DMA_BUF), Dedicated::Image(raw.image))?;
        raw.memory.push(memory);
        bind(device, &raw, false)?;
        // SAFETY: image and memory were just made for this export.
        let buffer = unsafe { Self::export(device, raw.image, memory, fourcc, size) }?;
        let viewed = ImportOptions { usage: options.usage, color: options.color, assume_linear: false };
        Self::finish(device, raw, buffer, true, (features, &viewed))
    }

    /// The memory of a program's own image, as a buffer. The program keeps the image as long as it likes.
    ///
    /// # Safety
    /// The image is the device's, has `VK_IMAGE_TILING_DRM_FORMAT_MODIFIER_EXT`, this format and size, one layer and one
    /// level, and is bound to the first byte of `memory`, which was allocated for export as a dma-buf.
    ///
    /// # Errors
    /// `Failed` where the driver tells a layout that cannot be.
    pub unsafe fn export(
        device: &Device,
        image: vk::Image,
        memory: vk::DeviceMemory,
        fourcc: Fourcc,
        size: Size,
    ) -> Result<Buffer> {
        device.caps().need_dma_buf()?;
        device.caps().need_modifiers()?;
        let mut chosen = vk::ImageDrmFormatModifierPropertiesEXT::default();
        // SAFETY: the image has a modifier: the caller has promised.
        unsafe { device.inner().modifier.get_image_drm_format_modifier_properties(image, &mut chosen) }
            .map_err(|result| failed("vkGetImageDrmFormatModifierPropertiesEXT", fourcc, result))?;
        let modifier = Modifier(chosen.drm_format_modifier);
        let known = device.modifiers(fourcc)?;
        let support = known.iter().find(|known| known.modifier == modifier).ok_or_else(|| {
            Error::failed(
                "vkGetImageDrmFormatModifierPropertiesEXT",
                format!("{modifier} is not one that {fourcc} has"),
            )
        })?;
        if !(1..=4).contains(&support.planes) {
            let detail = format!("{fourcc} with {modifier} has {} planes", support.planes);
            return Err(Error::failed("VkDrmFormatModifierPropertiesEXT", detail));
        }
        let mut planes = Vec::new();
        for plane in 0..support.planes as usize {
            let which = vk::ImageSubresource::default().aspect_mask(plane_aspect(plane));
            // SAFETY: the image has a modifier with so many planes.
            let place = unsafe { device.ash().get_image_subresource_layout(image, which) };
            let stride_bytes = u32::try_from(place.row_pitch).map_err(|_| {
                Error::failed(
                    "vkGetImageSubresourceLayout",
                    format!("plane {plane}: a row of {} bytes", place.row_pitch),
                )
            })?;
            planes.push(PlaneLayout { offset_bytes: place.offset, stride_bytes });
        }
        let layout = Layout::new(fourcc, size, modifier, &planes)?;
        let fd = export(device, memory, DMA_BUF)?;
        exported(device, layout, fd)
    }
}
