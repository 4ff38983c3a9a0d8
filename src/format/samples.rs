//! The order of the samples of YUV formats in memory, for those whose samples are whole bytes or 16-bit words.
//!
//! In: a [`Fourcc`]. Out: its [`Packing`]. Not here: formats that put samples across bytes (NV15, Y410, P030).

use super::Fourcc;

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// Luma.
    Y,
    /// Blue difference.
    Cb,
    /// Red difference.
    Cr,
    /// Opacity.
    Alpha,
    /// Nothing: written as all ones, never read.
    X,
}

/// Where the samples of a YUV format are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// The samples of one block of each plane, lowest address first. A block of a packed 4:2:2 format has two of `Y`:
    /// the first is that of the even column.
    pub planes: &'static [&'static [Component]],
    /// Bytes of a sample: 1, or 2 in little-endian order.
    pub sample_bytes: usize,
    /// Significant bits, at the top of the sample.
    pub bits: u8,
}

impl Packing {
    /// The stored word of a code of `bits` bits.
    pub const fn word(&self, code: u32) -> u32 {
        code << (self.sample_bytes as u32 * 8 - self.bits as u32)
    }

    /// Stores the word of a sample at the beginning of `at`.
    pub fn store(&self, code: u32, at: &mut [u8]) {
        let word = self.word(code).to_le_bytes();
        at[..self.sample_bytes].copy_from_slice(&word[..self.sample_bytes]);
    }

    /// The code of the sample at the beginning of `at`.
    pub fn load(&self, at: &[u8]) -> u32 {
        let word = match self.sample_bytes {
            1 => u32::from(at[0]),
            _ => u32::from(u16::from_le_bytes([at[0], at[1]])),
        };
        word >> (self.sample_bytes as u32 * 8 - u32::from(self.bits))
    }

    /// Luma columns that a block of `plane` stands for, beside those of its subsampling: 2 for packed 4:2:2.
    pub fn luma_columns(&self, plane: usize) -> usize {
        self.planes[plane].iter().filter(|component| **component == Component::Y).count().max(1)
    }
}

impl Fourcc {
    /// The order of the samples; `None` for RGB, and where samples are no whole bytes.
    pub const fn packing(self) -> Option<Packing> {
        use Component::{Alpha, Cb, Cr, X, Y};
        let (planes, sample_bytes, bits): (&'static [&'static [Component]], usize, u8) = match self {
            Self::NV12 | Self::NV16 | Self::NV24 => (&[&[Y], &[Cb, Cr]], 1, 8),
            Self::NV21 | Self::NV61 | Self::NV42 => (&[&[Y], &[Cr, Cb]], 1, 8),
            Self::P010 | Self::P210 => (&[&[Y], &[Cb, Cr]], 2, 10),
            Self::P012 => (&[&[Y], &[Cb, Cr]], 2, 12),
            Self::P016 => (&[&[Y], &[Cb, Cr]], 2, 16),
            Self::YUV410 | Self::YUV411 | Self::YUV420 | Self::YUV422 | Self::YUV444 => (&[&[Y], &[Cb], &[Cr]], 1, 8),
            Self::YVU410 | Self::YVU411 | Self::YVU420 | Self::YVU422 | Self::YVU444 => (&[&[Y], &[Cr], &[Cb]], 1, 8),
            Self::Q410 => (&[&[Y], &[Cb], &[Cr]], 2, 10),
            Self::YUYV => (&[&[Y, Cb, Y, Cr]], 1, 8),
            Self::YVYU => (&[&[Y, Cr, Y, Cb]], 1, 8),
            Self::UYVY => (&[&[Cb, Y, Cr, Y]], 1, 8),
            Self::VYUY => (&[&[Cr, Y, Cb, Y]], 1, 8),
            Self::Y210 => (&[&[Y, Cb, Y, Cr]], 2, 10),
            Self::Y212 => (&[&[Y, Cb, Y, Cr]], 2, 12),
            Self::Y216 => (&[&[Y, Cb, Y, Cr]], 2, 16),
            Self::AYUV => (&[&[Cr, Cb, Y, Alpha]], 1, 8),
            Self::XYUV8888 => (&[&[Cr, Cb, Y, X]], 1, 8),
            Self::AVUY8888 => (&[&[Y, Cb, Cr, Alpha]], 1, 8),
            Self::XVUY8888 => (&[&[Y, Cb, Cr, X]], 1, 8),
            // The header's `[23:0] Cr:Cb:Y`: Y lowest.
            Self::VUY888 => (&[&[Y, Cb, Cr]], 1, 8),
            Self::Y412 => (&[&[Cb, Y, Cr, Alpha]], 2, 12),
            Self::Y416 => (&[&[Cb, Y, Cr, Alpha]], 2, 16),
            _ => return None,
        };
        Some(Packing { planes, sample_bytes, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FORMATS;

    #[test]
    fn packings_agree_with_the_table() {
        for format in FORMATS {
            let Some(packing) = format.fourcc.packing() else { continue };
            assert!(format.is_yuv(), "{}", format.name);
            assert_eq!(packing.bits, format.component_bits, "{}", format.name);
            assert_eq!(packing.planes.len(), format.planes.len(), "{}", format.name);
            for (index, (samples, plane)) in packing.planes.iter().zip(format.planes).enumerate() {
                assert_eq!(samples.len() * packing.sample_bytes, plane.block_bytes as usize, "{}", format.name);
                assert_eq!(packing.luma_columns(index), plane.block_width as usize, "{}", format.name);
            }
            let all: Vec<_> = packing.planes.concat();
            assert_eq!(all.contains(&Component::Alpha), format.has_alpha, "{}", format.name);
        }
    }

    #[test]
    fn words_have_the_code_at_the_top() {
        let packing = Fourcc::P010.packing().unwrap();
        let mut bytes = [0; 2];
        packing.store(0x3ff, &mut bytes);
        assert_eq!(bytes, [0xc0, 0xff]);
        assert_eq!(packing.load(&bytes), 0x3ff);
        assert_eq!(Fourcc::NV12.packing().unwrap().word(0x80), 0x80);
    }
}
