//! What the pixels are: DRM fourccs, modifiers and one table of formats.
//!
//! In: a [`Fourcc`]. Out: its [`Format`]: planes, subsampling, bytes, and the GL names of the same bytes.
//! Not here: where the planes lie (`layout`), how YUV becomes RGB (`color`).
//!
//! DRM writes the components of a little-endian word from the most significant bit down, GL in memory order:
//! `GL_RGBA` bytes are DRM `ABGR8888`, and DRM `RGBA8888` is A, B, G, R in memory.

use std::fmt;

use crate::error::{Error, Result, nearest};

pub mod samples;
mod table;

pub use samples::{Component, Packing};
pub use table::FORMATS;

/// A DRM format code, `DRM_FORMAT_*`.
///
/// Any code can be held, also one that the [table](FORMATS) does not know: ask [`Fourcc::format`].
///
/// # References
/// `include/uapi/drm/drm_fourcc.h`
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fourcc(pub u32);

impl Fourcc {
    /// The code of four characters.
    pub const fn from_chars(chars: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*chars))
    }

    /// The table row of this format.
    ///
    /// # Errors
    /// `Unsupported` where the table has none.
    pub fn format(self) -> Result<&'static Format> {
        FORMATS.iter().find(|format| format.fourcc == self).ok_or_else(|| {
            Error::unsupported("format", format!("{self} (0x{:08x}) is not in the format table", self.0))
        })
    }

    /// Bit 31: the words of the format are big-endian.
    pub const fn is_big_endian(self) -> bool {
        self.0 & (1 << 31) != 0
    }
}

impl fmt::Display for Fourcc {
    /// The DRM name (`NV12`, `ABGR8888`), else the four characters, else the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(format) = FORMATS.iter().find(|format| format.fourcc == *self) {
            return f.pad(format.name);
        }
        let chars = self.0.to_le_bytes();
        if self.0 != 0 && chars.iter().all(|c| (0x20..0x7f).contains(c)) {
            return f.pad(&format!("'{}'", String::from_utf8_lossy(&chars)));
        }
        f.pad(&format!("0x{:08x}", self.0))
    }
}

impl fmt::Debug for Fourcc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fourcc({self})")
    }
}

impl std::str::FromStr for Fourcc {
    type Err = Error;

    /// Reads a DRM name (`ABGR8888`, `YUV420`) or the four characters (`AB24`, `YU12`), in either case.
    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let chars = |format: &Format| String::from_utf8_lossy(&format.fourcc.0.to_le_bytes()).trim().to_owned();
        let found = FORMATS
            .iter()
            .find(|format| format.name.eq_ignore_ascii_case(trimmed) || chars(format).eq_ignore_ascii_case(trimmed));
        if let Some(format) = found {
            return Ok(format.fourcc);
        }
        let error = Error::invalid("format", format!("\"{text}\" is no DRM format name"));
        Err(match nearest(trimmed, FORMATS.iter().map(|format| format.name)) {
            Some(name) => error.with_hint(format!("did you mean {name}?")),
            None => error.with_hint("names are those of drm_fourcc.h without DRM_FORMAT_, e.g. ABGR8888, NV12, YUV420"),
        })
    }
}

impl From<drm_fourcc::DrmFourcc> for Fourcc {
    fn from(code: drm_fourcc::DrmFourcc) -> Self {
        Self(code as u32)
    }
}

impl TryFrom<Fourcc> for drm_fourcc::DrmFourcc {
    type Error = Error;

    fn try_from(fourcc: Fourcc) -> Result<Self> {
        Self::try_from(fourcc.0)
            .map_err(|_| Error::unsupported("drm-fourcc", format!("{fourcc} is not among that crate's formats")))
    }
}

/// A DRM format modifier, `DRM_FORMAT_MOD_*`: how the samples of a plane are ordered in memory.
///
/// [`LINEAR`](Modifier::LINEAR) is an explicit modifier; "not said" is [`INVALID`](Modifier::INVALID).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Modifier(pub u64);

impl Modifier {
    /// Row after row.
    pub const LINEAR: Self = Self(0);
    /// Not said: what it is depends on the driver.
    pub const INVALID: Self = Self(0x00ff_ffff_ffff_ffff);
    /// Utgard and Midgard's 16 by 16 pixel tiles.
    pub const ARM_16X16_BLOCK_U_INTERLEAVED: Self = Self((0x08 << 56) | (1 << 52) | 1);

    /// The low 32 bits, as EGL attributes want them.
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The high 32 bits.
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for Modifier {
    /// `LINEAR`, `INVALID`, `ARM_16X16_BLOCK_U_INTERLEAVED`, `ARM_AFBC(0x51)`, else the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ARM: u64 = 0x08;
        match *self {
            Self::LINEAR => f.pad("LINEAR"),
            Self::INVALID => f.pad("INVALID"),
            Self::ARM_16X16_BLOCK_U_INTERLEAVED => f.pad("ARM_16X16_BLOCK_U_INTERLEAVED"),
            Self(value) if value >> 56 == ARM && (value >> 52) & 0xf == 0 => {
                f.pad(&format!("ARM_AFBC(0x{:x})", value & 0x000f_ffff_ffff_ffff))
            }
            Self(value) => f.pad(&format!("0x{value:016x}")),
        }
    }
}

impl fmt::Debug for Modifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Modifier({self})")
    }
}

impl std::str::FromStr for Modifier {
    type Err = Error;

    /// Reads `LINEAR`, `INVALID`, `ARM_16X16_BLOCK_U_INTERLEAVED` or a number (`0x…`).
    fn from_str(text: &str) -> Result<Self> {
        let named = [Self::LINEAR, Self::INVALID, Self::ARM_16X16_BLOCK_U_INTERLEAVED];
        if let Some(found) = named.into_iter().find(|modifier| modifier.to_string().eq_ignore_ascii_case(text)) {
            return Ok(found);
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let number = digits.map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| {
            Error::invalid(
                "modifier",
                format!("\"{text}\": expected LINEAR, INVALID or a number such as 0x800000000000051"),
            )
        })
    }
}

impl From<drm_fourcc::DrmModifier> for Modifier {
    fn from(modifier: drm_fourcc::DrmModifier) -> Self {
        Self(modifier.into())
    }
}

impl From<Modifier> for drm_fourcc::DrmModifier {
    fn from(modifier: Modifier) -> Self {
        Self::from(modifier.0)
    }
}

/// What the components mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Red, green, blue; or fewer of them.
    Rgb,
    /// Luma and two chroma components.
    Yuv,
}

/// One row of the format table.
#[derive(Debug)]
pub struct Format {
    /// The name in `drm_fourcc.h` without `DRM_FORMAT_`.
    pub name: &'static str,
    /// The code.
    pub fourcc: Fourcc,
    /// What the components mean.
    pub model: Model,
    /// Bits of the widest component.
    pub component_bits: u8,
    /// There is an alpha component (an X component is none: it reads as 1).
    pub has_alpha: bool,
    /// 1 to 3 planes, in the order of EGL's `PLANE0..2` attributes.
    pub planes: &'static [PlaneFormat],
    /// The same bytes in GL terms, for uploads and read-back. Single-plane RGB formats only.
    pub gl: Option<GlTwin>,
    /// Exists only with a non-linear modifier.
    pub needs_modifier: bool,
}

/// One plane of a format.
#[derive(Debug)]
pub struct PlaneFormat {
    /// Bytes of one block of samples.
    pub block_bytes: u32,
    /// Samples of this plane in a block, side by side.
    pub block_width: u32,
    /// Luma columns for one column of this plane.
    pub horizontal_subsampling: u32,
    /// Luma rows for one row of this plane.
    pub vertical_subsampling: u32,
    /// The RGB format with which this plane alone can be imported (`R8`, `GR88`, `R16`, `GR1616`).
    pub view: Option<Fourcc>,
}

impl PlaneFormat {
    /// Columns of samples of a picture `width` pixels wide.
    pub const fn columns(&self, width: u32) -> u32 {
        width.div_ceil(self.horizontal_subsampling)
    }

    /// Rows of samples of a picture `height` pixels high.
    pub const fn rows(&self, height: u32) -> u32 {
        height.div_ceil(self.vertical_subsampling)
    }

    /// Bytes of samples in one row.
    pub const fn row_bytes(&self, width: u32) -> u64 {
        self.columns(width).div_ceil(self.block_width) as u64 * self.block_bytes as u64
    }

    /// This plane's stride where one number describes the buffer (V4L2 single-planar): its share of the luma stride.
    pub const fn derived_stride(&self, luma_stride_bytes: u64, luma: &PlaneFormat) -> u64 {
        let (numerator, denominator) = self.share(luma);
        luma_stride_bytes * numerator / denominator
    }

    /// The smallest luma stride of which this plane's share holds `row_bytes`.
    pub const fn luma_stride_for(&self, row_bytes: u64, luma: &PlaneFormat) -> u64 {
        let (numerator, denominator) = self.share(luma);
        (row_bytes * denominator).div_ceil(numerator)
    }

    /// Bytes per luma column of this plane divided by those of `luma`, as a fraction.
    const fn share(&self, luma: &PlaneFormat) -> (u64, u64) {
        (
            self.block_bytes as u64 * luma.block_width as u64 * luma.horizontal_subsampling as u64,
            self.block_width as u64 * self.horizontal_subsampling as u64 * luma.block_bytes as u64,
        )
    }
}

impl Format {
    /// The largest part in which a chroma stride divides the luma stride: 2 for `YUV420`, 1 for `NV12`.
    pub fn widest_share(&self) -> u32 {
        let parts = self.planes.iter().map(|plane| {
            let (numerator, denominator) = plane.share(&self.planes[0]);
            denominator.div_ceil(numerator) as u32
        });
        parts.max().unwrap_or(1)
    }

    /// Luma and chroma, in any arrangement.
    pub fn is_yuv(&self) -> bool {
        self.model == Model::Yuv
    }
}

/// The GL names of a format's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlTwin {
    /// Sized internal format (GLES 3), e.g. `GL_RGBA8`.
    pub internal: u32,
    /// `format` of `glTexImage2D` and `glReadPixels`.
    pub format: u32,
    /// `type` of `glTexImage2D` and `glReadPixels`.
    pub kind: u32,
    /// How a shader gets r, g, b, a from the sampled components: `rgba`, or `bgra` where the bytes are swapped.
    pub swizzle: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The crate `drm-fourcc` generated its codes from the kernel's header, so it is an independent source.
    #[test]
    fn codes_agree_with_the_drm_fourcc_crate() {
        macro_rules! compare {
            ($($variant:ident)*) => {
                $(
                    let name = stringify!($variant).to_uppercase();
                    let format = FORMATS.iter().find(|format| format.name.to_uppercase() == name);
                    let format = format.unwrap_or_else(|| panic!("no row {name}"));
                    assert_eq!(format.fourcc.0, drm_fourcc::DrmFourcc::$variant as u32, "{name}");
                )*
            };
        }
        compare! {
            R8 R16 Gr88 Rg88 Gr1616 Rg1616 Rgb565 Bgr565 Argb1555 Abgr1555 Rgba5551 Argb4444 Abgr4444 Rgba4444
            Rgb888 Bgr888 Xrgb8888 Argb8888 Xbgr8888 Abgr8888 Rgba8888 Rgbx8888 Bgra8888 Bgrx8888 Xrgb2101010
            Argb2101010 Xbgr2101010 Abgr2101010 Rgba1010102 Xbgr16161616f Abgr16161616f Argb16161616f Yuyv Yvyu Uyvy
            Vyuy Ayuv Xyuv8888 Vuy888 Y210 Y212 Y216 Y410 Y412 Y416 Xvyu2101010 Nv12 Nv21 Nv16 Nv61 Nv24 Nv42 Nv15
            P010 P012 P016 P210 Yuv410 Yvu410 Yuv411 Yvu411 Yuv420 Yvu420 Yuv422 Yvu422 Yuv444 Yvu444 Q410
            Yuv420_8bit Yuv420_10bit
        }
    }

    #[test]
    fn names_and_codes_are_unique_and_round_trip() {
        for format in FORMATS {
            assert_eq!(FORMATS.iter().filter(|other| other.fourcc == format.fourcc).count(), 1, "{}", format.name);
            assert_eq!(format.name.parse::<Fourcc>().unwrap(), format.fourcc);
            assert_eq!(format.fourcc.to_string(), format.name);
        }
    }

    #[test]
    fn typo_in_a_name_gets_the_nearest_name() {
        let error = "AGBR8888".parse::<Fourcc>().unwrap_err();
        assert!(error.to_string().contains("ABGR8888"), "{error}");
    }

    #[test]
    fn modifiers_print_and_parse() {
        assert_eq!("linear".parse::<Modifier>().unwrap(), Modifier::LINEAR);
        assert_eq!("0x0800000000000051".parse::<Modifier>().unwrap().to_string(), "ARM_AFBC(0x51)");
        assert_eq!("INVALID".parse::<Modifier>().unwrap().0, 0x00ff_ffff_ffff_ffff);
        assert_eq!(Modifier::ARM_16X16_BLOCK_U_INTERLEAVED.0, 0x0810_0000_0000_0001);
    }

    #[test]
    fn packed_ten_bit_rows() {
        let nv15 = Fourcc::NV15.format().unwrap();
        assert_eq!(nv15.planes[0].row_bytes(64), 80);
        assert_eq!(nv15.planes[1].row_bytes(64), 80);
        assert_eq!(Fourcc::YUYV.format().unwrap().planes[0].row_bytes(3), 8);
        assert_eq!(Fourcc::YUV410.format().unwrap().widest_share(), 4);
        assert_eq!(Fourcc::NV24.format().unwrap().widest_share(), 1);
    }
}
