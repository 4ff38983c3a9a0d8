//! Buffers as images: each plane where the producer put it.
//!
//! In: a [`Buffer`] of dma-bufs. Out: an [`Image`] with a view, and for Y'CbCr a sampler that converts.
//! Not here: remembering images (`cache`), images whose memory is made here (`export`).
//!
//! # References
//! `VkImageDrmFormatModifierExplicitCreateInfoEXT`; Vulkan 1.3 "Sampler Y'CBCR Conversion"

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use ash::vk;

use super::memory::{Dedicated, Origin, Raw, allocate};
use super::{Device, failed, formats};
use crate::buffer::{Buffer, Memory};
use crate::color::Color;
use crate::error::{Error, Result};
use crate::format::{Fourcc, Model, Modifier};
use crate::layout::{Layout, Size};

/// The kind of handle that a dma-buf is.
pub(super) const DMA_BUF: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImportOptions {
    /// What Vulkan does with it.
    pub usage: vk::ImageUsageFlags,
    /// What Y'CbCr numbers mean; guessed from the size where nothing is said. No meaning for R'G'B'.
    pub color: Option<Color>,
    /// Memory whose modifier nobody told (`INVALID`) lies row by row: true of dumb buffers and of software drivers.
    pub assume_linear: bool,
}

impl Default for ImportOptions {
    /// Sampled and copied from.
    fn default() -> Self {
        let usage = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_SRC;
        Self { usage, color: None, assume_linear: false }
    }
}

impl ImportOptions {
    /// Drawn to, cleared, copied to and from.
    pub fn target() -> Self {
        let usage = vk::ImageUsageFlags::COLOR_ATTACHMENT
            | vk::ImageUsageFlags::TRANSFER_DST
            | vk::ImageUsageFlags::TRANSFER_SRC;
        Self { usage, ..Self::default() }
    }
}

/// A Vulkan image over a [`Buffer`]'s memory. Clones share it.
#[derive(Clone)]
pub struct Image {
    // Dropped before the device.
    pub(super) raw: Arc<Raw>,
    pub(super) format: vk::Format,
    pub(super) buffer: Buffer,
    pub(super) dedicated: bool,
    pub(super) device: Device,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vulkan::Image({})", self.buffer.layout())
    }
}

/// The features that images need for `usage`.
fn features(usage: vk::ImageUsageFlags) -> vk::FormatFeatureFlags {
    [
        (vk::ImageUsageFlags::SAMPLED, vk::FormatFeatureFlags::SAMPLED_IMAGE),
        (vk::ImageUsageFlags::STORAGE, vk::FormatFeatureFlags::STORAGE_IMAGE),
        (vk::ImageUsageFlags::COLOR_ATTACHMENT, vk::FormatFeatureFlags::COLOR_ATTACHMENT),
        (vk::ImageUsageFlags::TRANSFER_SRC, vk::FormatFeatureFlags::TRANSFER_SRC),
        (vk::ImageUsageFlags::TRANSFER_DST, vk::FormatFeatureFlags::TRANSFER_DST),
    ]
    .into_iter()
    .filter(|(wanted, _)| usage.contains(*wanted))
    .fold(vk::FormatFeatureFlags::empty(), |all, (_, feature)| all | feature)
}

/// Whether an image may be imported or exported so, asked of the driver; its features.
pub(super) fn check_support(
    device: &Device,
    fourcc: Fourcc,
    size: Size,
    (modifier, planes): (Modifier, Option<usize>),
    usage: vk::ImageUsageFlags,
    wanted: vk::ExternalMemoryFeatureFlags,
) -> Result<(vk::FormatFeatureFlags, bool)> {
    let format = formats::of(fourcc)?;
    let known = device.modifiers(fourcc)?;
    let list = || {
        let names: Vec<String> = known.iter().map(|known| known.modifier.to_string()).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    };
    let support = known.iter().find(|known| known.modifier == modifier).ok_or_else(|| {
        Error::unsupported("modifier", format!("{} does not take {fourcc} with {modifier}", device.info()))
            .with_hint(format!("it takes {}; negotiate with Device::modifiers before allocating", list()))
    })?;
    if let Some(planes) = planes.filter(|planes| *planes != support.planes as usize) {
        return Err(Error::invalid(
            "VkDrmFormatModifierPropertiesEXT",
            format!("{fourcc} with {modifier}: {planes} planes given, this device has {} for it", support.planes),
        ));
    }
    let missing = features(usage) & !support.features;
    if !missing.is_empty() {
        return Err(Error::unsupported(
            "VkFormatFeatureFlags",
            format!("{fourcc} with {modifier} lacks 0x{:x} of the features that the usage needs", missing.as_raw()),
        )
        .with_hint("ask for less usage: a picture that is only sampled needs no COLOR_ATTACHMENT"));
    }
    let mut external = vk::PhysicalDeviceExternalImageFormatInfo::default().handle_type(DMA_BUF);
    let mut with = vk::PhysicalDeviceImageDrmFormatModifierInfoEXT::default()
        .drm_format_modifier(modifier.0)
        .sharing_mode(vk::SharingMode::EXCLUSIVE);
    let info = vk::PhysicalDeviceImageFormatInfo2::default()
        .format(format)
        .ty(vk::ImageType::TYPE_2D)
        .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
        .usage(usage)
        .push_next(&mut external)
        .push_next(&mut with);
    let mut external = vk::ExternalImageFormatProperties::default();
    let mut found = vk::ImageFormatProperties2::default().push_next(&mut external);
    // SAFETY: both chains are structs of this frame.
    unsafe { device.instance().get_physical_device_image_format_properties2(device.physical(), &info, &mut found) }
        .map_err(|result| {
            failed("vkGetPhysicalDeviceImageFormatProperties2", format!("{fourcc} with {modifier}"), result)
        })?;
    let extent = found.image_format_properties.max_extent;
    if size.width > extent.width || size.height > extent.height {
        return Err(Error::unsupported(
            "VkImageFormatProperties",
            format!("{fourcc} {size}: this device has images of up to {}x{}", extent.width, extent.height),
        ));
    }
    let can = external.external_memory_properties.external_memory_features;
    if !can.contains(wanted) {
        let what = if wanted == vk::ExternalMemoryFeatureFlags::IMPORTABLE { "imported" } else { "exported" };
        return Err(Error::unsupported(
            "VkExternalMemoryFeatureFlags",
            format!("{fourcc} with {modifier} cannot be {what} as a dma-buf"),
        ));
    }
    Ok((support.features, can.contains(vk::ExternalMemoryFeatureFlags::DEDICATED_ONLY)))
}

const PLANE_ASPECTS: [vk::ImageAspectFlags; 4] = [
    vk::ImageAspectFlags::MEMORY_PLANE_0_EXT,
    vk::ImageAspectFlags::MEMORY_PLANE_1_EXT,
    vk::ImageAspectFlags::MEMORY_PLANE_2_EXT,
    vk::ImageAspectFlags::MEMORY_PLANE_3_EXT,
];

pub(super) fn plane_aspect(plane: usize) -> vk::ImageAspectFlags {
    PLANE_ASPECTS[plane]
}

fn requirements(device: &Device, image: vk::Image, plane: Option<usize>) -> vk::MemoryRequirements {
    let mut of_plane = vk::ImagePlaneMemoryRequirementsInfo::default();
    let mut info = vk::ImageMemoryRequirementsInfo2::default().image(image);
    if let Some(plane) = plane {
        of_plane = of_plane.plane_aspect(plane_aspect(plane));
        info = info.push_next(&mut of_plane);
    }
    let mut found = vk::MemoryRequirements2::default();
    // SAFETY: the image is the device's; a plane is named only of disjoint images.
    unsafe { device.ash().get_image_memory_requirements2(&info, &mut found) };
    found.memory_requirements
}

/// What every `VkImageCreateInfo` here has; the tiling is that of modifiers.
pub(super) fn create_info<'a>(format: vk::Format, size: Size, usage: vk::ImageUsageFlags) -> vk::ImageCreateInfo<'a> {
    vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(format)
        .extent(vk::Extent3D { width: size.width, height: size.height, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
        .usage(usage)
        .sharing_mode(vk::SharingMode::EXCLUSIVE)
        .initial_layout(vk::ImageLayout::UNDEFINED)
}

/// The layout as Vulkan is told it: the modifier is one that a driver lists.
fn explicit(layout: &Layout, options: &ImportOptions) -> Result<Modifier> {
    match layout.modifier {
        Modifier::INVALID if options.assume_linear => Ok(Modifier::LINEAR),
        Modifier::INVALID => {
            Err(Error::invalid("modifier", format!("{layout}: nobody has told how the memory is laid out")).with_hint(
                "allocate with modifiers, or set assume_linear where the memory is known to be rows of pixels",
            ))
        }
        modifier => Ok(modifier),
    }
}

impl Image {
    /// Makes an image over the buffer's memory, each plane at its offset and stride.
    ///
    /// Planes in several memories are bound one by one (`VK_IMAGE_CREATE_DISJOINT_BIT`), where the driver has that.
    ///
    /// # Errors
    /// `Unsupported`: the memory is no dma-buf, the device takes no dma-bufs, or not this format, modifier, size or usage;
    /// the error says which and what it takes. `InvalidInput`: an unknown modifier, another number of planes, memory that is
    /// smaller than the driver needs. The driver is given nothing before all of that is known.
    pub fn import(device: &Device, buffer: &Buffer, options: &ImportOptions) -> Result<Self> {
        let layout = buffer.layout();
        need_dma_buf(device, buffer)?;
        let modifier = explicit(layout, options)?;
        let planes = layout.planes();
        let (features, dedicated_only) = check_support(
            device,
            layout.fourcc,
            layout.size,
            (modifier, Some(planes.len())),
            options.usage,
            vk::ExternalMemoryFeatureFlags::IMPORTABLE,
        )?;
        let disjoint = buffer.ids().count() > 1;
        if disjoint && (!features.contains(vk::FormatFeatureFlags::DISJOINT) || dedicated_only) {
            return Err(Error::unsupported(
                "VK_IMAGE_CREATE_DISJOINT_BIT",
                format!("{layout}: this device wants all planes in one memory; they lie in {}", buffer.ids().count()),
            )
            .with_hint("allocate from one that puts all planes into one memory (dma-heap, dumb, udmabuf), or import each as a LinearBuffer"));
        }
        let format = formats::of(layout.fourcc)?;
        let places: Vec<vk::SubresourceLayout> = planes
            .iter()
            .map(|plane| vk::SubresourceLayout {
                offset: plane.offset_bytes,
                row_pitch: u64::from(plane.stride_bytes),
                ..vk::SubresourceLayout::default()
            })
            .collect();
        let mut with = vk::ImageDrmFormatModifierExplicitCreateInfoEXT::default()
            .drm_format_modifier(modifier.0)
            .plane_layouts(&places);
        let mut external = vk::ExternalMemoryImageCreateInfo::default().handle_types(DMA_BUF);
        let flags = if disjoint { vk::ImageCreateFlags::DISJOINT } else { vk::ImageCreateFlags::empty() };
        let info =
            create_info(format, layout.size, options.usage).flags(flags).push_next(&mut external).push_next(&mut with);
        let mut raw = Raw::new(device);
        // SAFETY: the chain is structs of this frame, and the driver has said that it makes such images.
        raw.image = unsafe { device.ash().create_image(&info, None) }
            .map_err(|result| failed("vkCreateImage", layout, result))?;
        for (plane, fd, bytes) in memories(buffer, disjoint) {
            let required = requirements(device, raw.image, disjoint.then_some(plane));
            let dedicated = if disjoint { Dedicated::No } else { Dedicated::Image(raw.image) };
            let memory = allocate(device, &required, Origin::DmaBuf(fd, bytes), dedicated)
                .map_err(|error| error.in_context(layout))?;
            raw.memory.push(memory);
        }
        bind(device, &raw, disjoint)?;
        Self::finish(device, raw, buffer.clone(), !disjoint, (features, options))
    }

    /// Makes views. The image is bound.
    pub(super) fn finish(
        device: &Device,
        mut raw: Raw,
        buffer: Buffer,
        dedicated: bool,
        (features, options): (vk::FormatFeatureFlags, &ImportOptions),
    ) -> Result<Self> {
        let layout = buffer.layout();
        let format = formats::of(layout.fourcc)?;
        let viewed =
            vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::STORAGE | vk::ImageUsageFlags::COLOR_ATTACHMENT;
        if options.usage.intersects(viewed) {
            view(device, &mut raw, layout, format, features, options)?;
        }
        Ok(Self { raw: Arc::new(raw), format, buffer, dedicated, device: device.clone() })
    }

    /// The image. It lives as long as any clone of this.
    pub fn raw(&self) -> vk::Image {
        self.raw.image
    }

    /// A view of the whole image; null where the usage has none. With [`Image::sampler`] it must be sampled by that.
    pub fn view(&self) -> vk::ImageView {
        self.raw.view
    }

    /// Y'CbCr: the immutable sampler that gives R'G'B' (nearest, clamped to the edge).
    pub fn sampler(&self) -> Option<vk::Sampler> {
        (self.raw.sampler != vk::Sampler::null()).then_some(self.raw.sampler)
    }

    /// The format.
    pub fn format(&self) -> vk::Format {
        self.format
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The device it was made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The memory was allocated for this image alone (`VkMemoryDedicatedAllocateInfo`).
    pub fn is_dedicated(&self) -> bool {
        self.dedicated
    }

    /// All of the image.
    pub fn range() -> vk::ImageSubresourceRange {
        vk::ImageSubresourceRange::default().aspect_mask(vk::ImageAspectFlags::COLOR).level_count(1).layer_count(1)
    }
}

pub(super) fn need_dma_buf(device: &Device, buffer: &Buffer) -> Result<()> {
    if buffer.memory() != Memory::DmaBuf {
        let detail = format!("{}: the memory is a memfd, which no device reaches", buffer.layout());
        return Err(Error::unsupported("vulkan import", detail)
            .with_hint("allocate with Request::require_dma_buf, or copy the pixels into a Vulkan buffer"));
    }
    device.caps().need_dma_buf()
}

/// (plane to bind, fd, size) of each memory that is imported.
fn memories(buffer: &Buffer, disjoint: bool) -> Vec<(usize, BorrowedFd<'_>, u64)> {
    let planes = if disjoint { buffer.layout().planes().len() } else { 1 };
    (0..planes).map(|plane| (plane, buffer.plane_fd(plane), buffer.plane_object_bytes(plane))).collect()
}

pub(super) fn bind(device: &Device, raw: &Raw, disjoint: bool) -> Result<()> {
    let mut planes: Vec<_> = (0..raw.memory.len())
        .map(|plane| vk::BindImagePlaneMemoryInfo::default().plane_aspect(plane_aspect(plane)))
        .collect();
    let binds: Vec<_> = raw
        .memory
        .iter()
        .zip(&mut planes)
        .map(|(memory, plane)| {
            let bind = vk::BindImageMemoryInfo::default().image(raw.image).memory(*memory);
            if disjoint { bind.push_next(plane) } else { bind }
        })
        .collect();
    // SAFETY: image and memory are the device's, sizes and types were held against each other.
    unsafe { device.ash().bind_image_memory2(&binds) }.map_err(|result| failed("vkBindImageMemory2", "", result))
}

fn view(
    device: &Device,
    raw: &mut Raw,
    layout: &Layout,
    format: vk::Format,
    features: vk::FormatFeatureFlags,
    options: &ImportOptions,
) -> Result<()> {
    let drawn = options.usage.intersects(vk::ImageUsageFlags::COLOR_ATTACHMENT | vk::ImageUsageFlags::STORAGE);
    let mapping = formats::swizzle(layout.fourcc, drawn)?;
    let converts = layout.format().model == Model::Yuv;
    let mut conversion = vk::SamplerYcbcrConversionInfo::default();
    if converts {
        let color = options.color.unwrap_or_else(|| Color::guess(layout.size));
        make_conversion(device, raw, format, features, mapping, &color).map_err(|error| error.in_context(layout))?;
        conversion = conversion.conversion(raw.conversion);
    }
    let mut info = vk::ImageViewCreateInfo::default()
        .image(raw.image)
        .view_type(vk::ImageViewType::TYPE_2D)
        .format(format)
        .components(if converts { vk::ComponentMapping::default() } else { mapping })
        .subresource_range(Image::range());
    if converts {
        info = info.push_next(&mut conversion);
    }
    // SAFETY: the image is bound and of this format; the conversion is this device's and outlives the view.
    raw.view = unsafe { device.ash().create_image_view(&info, None) }
        .map_err(|result| failed("vkCreateImageView", layout, result))?;
    Ok(())
}

fn make_conversion(
    device: &Device,
    raw: &mut Raw,
    format: vk::Format,
    features: vk::FormatFeatureFlags,
    components: vk::ComponentMapping,
    color: &Color,
) -> Result<()> {
    if !device.caps().ycbcr {
        let detail = "this Vulkan device was made without samplerYcbcrConversion";
        return Err(Error::unsupported("VkSamplerYcbcrConversion", detail));
    }
    let (model, range, mut across, mut down) = formats::conversion(color)?;
    // A driver need not have both positions; nearest samples are the same for both.
    let (even, middle) =
        (vk::FormatFeatureFlags::COSITED_CHROMA_SAMPLES, vk::FormatFeatureFlags::MIDPOINT_CHROMA_SAMPLES);
    for place in [&mut across, &mut down] {
        if *place == vk::ChromaLocation::MIDPOINT && !features.contains(middle) {
            *place = vk::ChromaLocation::COSITED_EVEN;
        } else if *place == vk::ChromaLocation::COSITED_EVEN && !features.contains(even) {
            *place = vk::ChromaLocation::MIDPOINT;
        }
    }
    if !features.intersects(even | middle) {
        return Err(Error::unsupported("VkSamplerYcbcrConversion", "this device converts no images of this layout"));
    }
    let info = vk::SamplerYcbcrConversionCreateInfo::default()
        .format(format)
        .ycbcr_model(model)
        .ycbcr_range(range)
        .components(components)
        .x_chroma_offset(across)
        .y_chroma_offset(down)
        .chroma_filter(vk::Filter::NEAREST);
    // SAFETY: the struct lives in this frame; the feature is on.
    raw.conversion = unsafe { device.ash().create_sampler_ycbcr_conversion(&info, None) }
        .map_err(|result| failed("vkCreateSamplerYcbcrConversion", "", result))?;
    let mut with = vk::SamplerYcbcrConversionInfo::default().conversion(raw.conversion);
    let edge = vk::SamplerAddressMode::CLAMP_TO_EDGE;
    let info = vk::SamplerCreateInfo::default()
        .address_mode_u(edge)
        .address_mode_v(edge)
        .address_mode_w(edge)
        .push_next(&mut with);
    // SAFETY: the conversion was just made.
    raw.sampler =
        unsafe { device.ash().create_sampler(&info, None) }.map_err(|result| failed("vkCreateSampler", "", result))?;
    Ok(())
}
