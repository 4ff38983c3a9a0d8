//! Formats of DRM as Vulkan knows them, and what a device does with each modifier.
//!
//! In: a fourcc. Out: the `VkFormat` of the same bytes, modifiers with their features. Not here: images.
//!
//! # References
//! Vulkan 1.3 "Formats", "Format Properties"; `VK_EXT_image_drm_format_modifier`

use ash::vk;

use super::Device;
use crate::color::{Color, Matrix, Range, Siting};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Model, Modifier};

/// What a device does with a format in one modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModifierSupport {
    /// The modifier.
    pub modifier: Modifier,
    /// Planes of memory, those of compression data included.
    pub planes: u32,
    /// What images in it can be used for.
    pub features: vk::FormatFeatureFlags,
}

/// (DRM name, Vulkan format of the same bytes, red and blue are exchanged).
///
/// Vulkan names components of `PACK` formats from the most significant bit, others in memory order; for Y'CbCr green is
/// luma, blue is Cb and red is Cr.
const FORMATS: &[(&str, vk::Format, bool)] = &[
    ("R8", vk::Format::R8_UNORM, false),
    ("R16", vk::Format::R16_UNORM, false),
    ("GR88", vk::Format::R8G8_UNORM, false),
    ("GR1616", vk::Format::R16G16_UNORM, false),
    ("RGB565", vk::Format::R5G6B5_UNORM_PACK16, false),
    ("BGR565", vk::Format::B5G6R5_UNORM_PACK16, false),
    ("ARGB1555", vk::Format::A1R5G5B5_UNORM_PACK16, false),
    ("RGB888", vk::Format::B8G8R8_UNORM, false),
    ("BGR888", vk::Format::R8G8B8_UNORM, false),
    ("XRGB8888", vk::Format::B8G8R8A8_UNORM, false),
    ("ARGB8888", vk::Format::B8G8R8A8_UNORM, false),
    ("XBGR8888", vk::Format::R8G8B8A8_UNORM, false),
    ("ABGR8888", vk::Format::R8G8B8A8_UNORM, false),
    ("XRGB2101010", vk::Format::A2R10G10B10_UNORM_PACK32, false),
    ("ARGB2101010", vk::Format::A2R10G10B10_UNORM_PACK32, false),
    ("XBGR2101010", vk::Format::A2B10G10R10_UNORM_PACK32, false),
    ("ABGR2101010", vk::Format::A2B10G10R10_UNORM_PACK32, false),
    ("XBGR16161616", vk::Format::R16G16B16A16_UNORM, false),
    ("ABGR16161616", vk::Format::R16G16B16A16_UNORM, false),
    ("XBGR16161616F", vk::Format::R16G16B16A16_SFLOAT, false),
    ("ABGR16161616F", vk::Format::R16G16B16A16_SFLOAT, false),
    ("YUYV", vk::Format::G8B8G8R8_422_UNORM, false),
    ("UYVY", vk::Format::B8G8R8G8_422_UNORM, false),
    ("NV12", vk::Format::G8_B8R8_2PLANE_420_UNORM, false),
    ("NV21", vk::Format::G8_B8R8_2PLANE_420_UNORM, true),
    ("NV16", vk::Format::G8_B8R8_2PLANE_422_UNORM, false),
    ("NV61", vk::Format::G8_B8R8_2PLANE_422_UNORM, true),
    ("NV24", vk::Format::G8_B8R8_2PLANE_444_UNORM, false),
    ("NV42", vk::Format::G8_B8R8_2PLANE_444_UNORM, true),
    ("P010", vk::Format::G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16, false),
    ("P012", vk::Format::G12X4_B12X4R12X4_2PLANE_420_UNORM_3PACK16, false),
    ("P016", vk::Format::G16_B16R16_2PLANE_420_UNORM, false),
    ("P210", vk::Format::G10X6_B10X6R10X6_2PLANE_422_UNORM_3PACK16, false),
    ("YUV420", vk::Format::G8_B8_R8_3PLANE_420_UNORM, false),
    ("YVU420", vk::Format::G8_B8_R8_3PLANE_420_UNORM, true),
    ("YUV422", vk::Format::G8_B8_R8_3PLANE_422_UNORM, false),
    ("YVU422", vk::Format::G8_B8_R8_3PLANE_422_UNORM, true),
    ("YUV444", vk::Format::G8_B8_R8_3PLANE_444_UNORM, false),
    ("YVU444", vk::Format::G8_B8_R8_3PLANE_444_UNORM, true),
];

fn row(fourcc: Fourcc) -> Result<&'static (&'static str, vk::Format, bool)> {
    let name = fourcc.format()?.name;
    FORMATS.iter().find(|row| row.0 == name).ok_or_else(|| {
        Error::unsupported("VkFormat", format!("no Vulkan format has the bytes of {fourcc}"))
            .with_hint("import its memory as a LinearBuffer and read the bytes in a shader, or convert it first")
    })
}

/// The Vulkan format with the bytes of `fourcc`.
///
/// # Errors
/// `Unsupported` where there is none.
pub fn of(fourcc: Fourcc) -> Result<vk::Format> {
    row(fourcc).map(|row| row.1)
}

/// How a view gives red, green, blue and alpha. Formats without alpha give 1, where the view is not `drawn` to.
pub(super) fn swizzle(fourcc: Fourcc, drawn: bool) -> Result<vk::ComponentMapping> {
    let exchanged = row(fourcc)?.2;
    let format = fourcc.format()?;
    let mut mapping = vk::ComponentMapping::default();
    if exchanged {
        (mapping.r, mapping.b) = (vk::ComponentSwizzle::B, vk::ComponentSwizzle::R);
    }
    if !format.has_alpha && format.model == Model::Rgb && !drawn {
        mapping.a = vk::ComponentSwizzle::ONE;
    }
    Ok(mapping)
}

/// How `color` is said to a conversion: model, range, chroma offsets across and down.
pub(super) type Conversion =
    (vk::SamplerYcbcrModelConversion, vk::SamplerYcbcrRange, vk::ChromaLocation, vk::ChromaLocation);

pub(super) fn conversion(color: &Color) -> Result<Conversion> {
    let model = match color.matrix {
        Matrix::Bt601 => vk::SamplerYcbcrModelConversion::YCBCR_601,
        Matrix::Bt709 => vk::SamplerYcbcrModelConversion::YCBCR_709,
        Matrix::Bt2020 => vk::SamplerYcbcrModelConversion::YCBCR_2020,
        Matrix::Identity => vk::SamplerYcbcrModelConversion::RGB_IDENTITY,
        other => {
            return Err(Error::unsupported(
                "VkSamplerYcbcrModelConversion",
                format!("Vulkan has BT.601, BT.709 and BT.2020, not {other:?}"),
            ));
        }
    };
    let range = match color.range {
        Range::Limited => vk::SamplerYcbcrRange::ITU_NARROW,
        Range::Full => vk::SamplerYcbcrRange::ITU_FULL,
    };
    let (even, middle) = (vk::ChromaLocation::COSITED_EVEN, vk::ChromaLocation::MIDPOINT);
    let (across, down) = match color.siting {
        Siting::Left => (even, middle),
        Siting::Center => (middle, middle),
        Siting::TopLeft => (even, even),
    };
    Ok((model, range, across, down))
}

impl Device {
    /// The modifiers that images of `fourcc` can have on this device.
    ///
    /// # Errors
    /// `Unsupported` where no Vulkan format has these bytes, or the device has no `VK_EXT_image_drm_format_modifier`.
    pub fn modifiers(&self, fourcc: Fourcc) -> Result<Vec<ModifierSupport>> {
        let format = of(fourcc)?;
        self.caps().need_modifiers()?;
        let mut list = vk::DrmFormatModifierPropertiesListEXT::default();
        let mut properties = vk::FormatProperties2::default().push_next(&mut list);
        // SAFETY: the chain is two structs of this frame; without an array the driver writes the count alone.
        unsafe { self.instance().get_physical_device_format_properties2(self.physical(), format, &mut properties) };
        let mut found = vec![vk::DrmFormatModifierPropertiesEXT::default(); list.drm_format_modifier_count as usize];
        let mut list = vk::DrmFormatModifierPropertiesListEXT::default().drm_format_modifier_properties(&mut found);
        let mut properties = vk::FormatProperties2::default().push_next(&mut list);
        // SAFETY: as above; the array has as many entries as the struct says.
        unsafe { self.instance().get_physical_device_format_properties2(self.physical(), format, &mut properties) };
        let count = list.drm_format_modifier_count as usize;
        found.truncate(count);
        let support = |known: vk::DrmFormatModifierPropertiesEXT| ModifierSupport {
            modifier: Modifier(known.drm_format_modifier),
            planes: known.drm_format_modifier_plane_count,
            features: known.drm_format_modifier_tiling_features,
        };
        Ok(found.into_iter().map(support).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FORMATS as TABLE;

    #[test]
    fn every_name_is_a_format_and_comes_once() {
        for (index, (name, format, _)) in FORMATS.iter().enumerate() {
            assert!(TABLE.iter().any(|known| known.name == *name), "{name}");
            assert!(FORMATS[..index].iter().all(|earlier| earlier.0 != *name), "{name} comes twice");
            let planes = name.parse::<Fourcc>().unwrap().format().unwrap().planes.len();
            // VkFormat numbers of VK_KHR_sampler_ycbcr_conversion: G8_B8_R8_3PLANE_420_UNORM is 1000156002.
            let multi_planar = matches!(format.as_raw(), 1_000_156_002..=1_000_156_006)
                || matches!(format.as_raw(), 1_000_156_012..=1_000_156_016 | 1_000_156_022..=1_000_156_026)
                || matches!(format.as_raw(), 1_000_156_029..=1_000_156_033 | 1_000_330_000..=1_000_330_003);
            assert_eq!(planes > 1, multi_planar, "{name}");
        }
    }

    #[test]
    fn what_vulkan_has_no_name_for_is_unsupported() {
        let error = of(Fourcc::from_chars(b"NV15")).unwrap_err();
        assert!(error.to_string().contains("NV15"), "{error}");
    }
}
