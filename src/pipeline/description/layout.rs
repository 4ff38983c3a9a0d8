//! How a target lies in memory: `layout = { stride-align = 64, … }`.
//!
//! In: TOML. Out: [`LayoutKeys`], and the [`Constraints`] that they are. Not here: the memory (`allocator`).

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::layout::Constraints;

/// What the hardware that takes a target's memory wants of it. Alignments need not be powers of two; 1 is no wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LayoutKeys {
    /// The bytes from row to row are a multiple of this, in every plane. Unit: bytes. Default: 1.
    pub stride_align: Option<u32>,
    /// Every plane begins at a multiple of this. Unit: bytes. Default: 1.
    pub offset_align: Option<u32>,
    /// The first plane has room for a multiple of so many rows, the others for their share: many encoders work in blocks
    /// of 16. Unit: rows. Default: 1.
    pub height_align: Option<u32>,
    /// Each row has room for a multiple of so many pixels. Unit: pixels. Default: 1.
    pub width_align: Option<u32>,
    /// The memory is at least as large as the planes rounded up to a multiple of this. Unit: bytes. Default: 1.
    pub size_align: Option<u32>,
    /// Chroma planes have the first plane's stride, or their share of it: V4L2 devices with one plane (`V4L2_PIX_FMT_NV12`)
    /// know one number. Default: `false`.
    #[serde(default)]
    pub same_stride: bool,
    /// Physically contiguous memory (CMA): for blocks without an IOMMU. Default: `false`.
    #[serde(default)]
    pub contiguous: bool,
}

impl LayoutKeys {
    /// The same as constraints of an allocation.
    ///
    /// # Errors
    /// `InvalidInput`, `op` being the key: an alignment of 0, or of more than 2^24.
    pub fn constraints(&self) -> Result<Constraints> {
        let align = |key: &'static str, value: Option<u32>| match value.unwrap_or(1) {
            value @ 1..=0x100_0000 => Ok(value),
            value => Err(Error::invalid(key, format!("{value}: from 1 to 16777216"))),
        };
        Ok(Constraints {
            stride_align_bytes: align("stride-align", self.stride_align)?,
            offset_align_bytes: align("offset-align", self.offset_align)?,
            height_align_rows: align("height-align", self.height_align)?,
            width_align_pixels: align("width-align", self.width_align)?,
            size_align_bytes: align("size-align", self.size_align)?,
            derived_strides: self.same_stride,
            contiguous: self.contiguous,
            linear: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_constraints() {
        assert_eq!(LayoutKeys::default().constraints().unwrap(), Constraints::NONE);
        let keys =
            LayoutKeys { stride_align: Some(256), height_align: Some(16), contiguous: true, ..LayoutKeys::default() };
        let expected =
            Constraints { stride_align_bytes: 256, height_align_rows: 16, contiguous: true, ..Constraints::NONE };
        assert_eq!(keys.constraints().unwrap(), expected);
        for wrong in [0, 0x100_0001] {
            let error = LayoutKeys { offset_align: Some(wrong), ..LayoutKeys::default() }.constraints().unwrap_err();
            assert_eq!(error.op(), "offset-align");
        }
    }
}
