//! What the numbers mean: matrix, range, chroma siting, transfer and primaries; the conversion coefficients, once.
//!
//! In: tags. Out: [`Color`], the 3x4 matrix that turns sampled Y, Cb, Cr into R, G, B, and from one set of primaries and
//! transfer function to another ([`Conversion`]).
//! Not here: shader text (`gles::yuv`), EGL hint names (`egl::image`).

use serde::Deserialize;

use crate::layout::Size;

mod convert;
pub mod probe;

pub use convert::{Conversion, HDR_PEAK_NITS, HLG, HLG_GAMMA, PQ, SDR_WHITE_NITS, ToneCurve};

/// The Y'CbCr matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Matrix {
    /// ITU-R BT.601: standard definition.
    #[serde(rename = "bt601")]
    Bt601,
    /// ITU-R BT.709: high definition.
    #[serde(rename = "bt709")]
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    #[serde(rename = "bt2020")]
    Bt2020,
    /// SMPTE 240M: analogue high definition of before 1998.
    #[serde(rename = "smpte240m")]
    Smpte240m,
    /// No matrix: Y is G, Cb is B, Cr is R (H.273: `MatrixCoefficients` 0, "GBR").
    #[serde(rename = "identity")]
    Identity,
}

impl Matrix {
    /// Every matrix.
    pub const ALL: [Self; 5] = [Self::Bt601, Self::Bt709, Self::Bt2020, Self::Smpte240m, Self::Identity];

    /// Luma weights of red and blue (Kr, Kb); green has the rest. `Identity` has green alone.
    ///
    /// # References
    /// ITU-R BT.601-7 2.5.1, BT.709-6 item 3.2, BT.2020-2 table 4; ITU-T H.273 table 4, value 7.
    pub const fn luma_weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
            Self::Smpte240m => (0.212, 0.087),
            Self::Identity => (0.0, 0.0),
        }
    }
}

/// Which codes black and white have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Range {
    /// 8 bits: luma 16 to 235, chroma 16 to 240. EGL calls it narrow.
    Limited,
    /// 0 to 255.
    Full,
}

/// Where a chroma sample sits relative to the luma samples it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Siting {
    /// On the left luma column, between the rows: MPEG-2, H.264 and most video.
    Left,
    /// In the middle of the four: JPEG, MPEG-1.
    Center,
    /// On the top left luma sample: BT.2020 and UHD.
    TopLeft,
}

impl Siting {
    /// (horizontal, vertical) position of a chroma sample in luma pixels from the first luma sample's centre, for 2x2.
    pub const fn offset(self) -> (f64, f64) {
        match self {
            Self::Left => (0.0, 0.5),
            Self::Center => (0.5, 0.5),
            Self::TopLeft => (0.0, 0.0),
        }
    }
}

/// The opto-electronic transfer the numbers were made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Transfer {
    /// IEC 61966-2-1.
    Srgb,
    /// ITU-R BT.709.
    Bt709,
    /// Proportional to light.
    Linear,
    /// SMPTE ST 2084, ITU-R BT.2100 "PQ": absolute light up to 10000 cd/m2.
    Pq,
    /// ARIB STD-B67, ITU-R BT.2100 "HLG": light of the scene.
    Hlg,
}

impl Transfer {
    /// The numbers stand for more light than an ordinary screen's white.
    pub const fn is_hdr(self) -> bool {
        matches!(self, Self::Pq | Self::Hlg)
    }
}

/// Which red, green and blue the numbers are amounts of. The white is D65 in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Primaries {
    /// SMPTE C, ITU-R BT.601 with 525 lines.
    #[serde(rename = "bt601-525")]
    Bt601Of525,
    /// EBU, ITU-R BT.601 with 625 lines.
    #[serde(rename = "bt601-625")]
    Bt601Of625,
    /// ITU-R BT.709, sRGB.
    #[serde(rename = "bt709")]
    Bt709,
    /// ITU-R BT.2020, BT.2100.
    #[serde(rename = "bt2020")]
    Bt2020,
    /// SMPTE EG 432-1 "Display P3".
    #[serde(rename = "display-p3")]
    DisplayP3,
}

impl std::fmt::Display for Matrix {
    /// As description files name it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Bt601 => "bt601",
            Self::Bt709 => "bt709",
            Self::Bt2020 => "bt2020",
            Self::Smpte240m => "smpte240m",
            Self::Identity => "identity",
        })
    }
}

impl std::fmt::Display for Transfer {
    /// As description files name it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Srgb => "srgb",
            Self::Bt709 => "bt709",
            Self::Linear => "linear",
            Self::Pq => "pq",
            Self::Hlg => "hlg",
        })
    }
}

impl std::fmt::Display for Primaries {
    /// As description files name it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Bt601Of525 => "bt601-525",
            Self::Bt601Of625 => "bt601-625",
            Self::Bt709 => "bt709",
            Self::Bt2020 => "bt2020",
            Self::DisplayP3 => "display-p3",
        })
    }
}

/// What the numbers of a picture mean. Travels with every Frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color {
    /// Matrix of Y'CbCr formats; not used for RGB.
    pub matrix: Matrix,
    /// Which codes black and white have.
    pub range: Range,
    /// Chroma position; not used where chroma is not subsampled.
    pub siting: Siting,
    /// Transfer function.
    pub transfer: Transfer,
    /// Primaries; used where colours are converted.
    pub primaries: Primaries,
}

impl Color {
    /// RGB for screens and PNG files.
    pub const SRGB: Self = Self {
        matrix: Matrix::Bt709,
        range: Range::Full,
        siting: Siting::Center,
        transfer: Transfer::Srgb,
        primaries: Primaries::Bt709,
    };

    /// High definition video: BT.709, limited, chroma left. A base for struct update.
    pub const HD: Self = Self {
        matrix: Matrix::Bt709,
        range: Range::Limited,
        siting: Siting::Left,
        transfer: Transfer::Bt709,
        primaries: Primaries::Bt709,
    };

    /// The field's usual guess for untagged video: up to 576 rows and 720 columns BT.601 (480 rows and fewer: of 525
    /// lines), above BT.709; limited range, left siting.
    pub const fn guess(size: Size) -> Self {
        if size.height > 576 || size.width > 720 {
            return Self::HD;
        }
        let primaries = if size.height > 480 { Primaries::Bt601Of625 } else { Primaries::Bt601Of525 };
        Self { matrix: Matrix::Bt601, primaries, ..Self::HD }
    }

    /// The primaries that usually go with the other tags: those of BT.2020 with its matrix (where one was said: `said`) and
    /// with HDR transfers, those of BT.709 with its matrix, else as they are.
    pub fn usual_primaries(&self, said: Option<Matrix>) -> Primaries {
        match (said, self.transfer) {
            (Some(Matrix::Bt2020), _) | (_, Transfer::Pq | Transfer::Hlg) => Primaries::Bt2020,
            (Some(Matrix::Bt709), _) => Primaries::Bt709,
            _ => self.primaries,
        }
    }

    /// Rows R, G, B; columns Y, Cb, Cr, 1: multiplied with samples normalised to 0..1 (code / (2^bits - 1)) it gives
    /// R'G'B' in 0..1 (not clamped). `bits` is 8 to 16: range limits scale with 2^(bits-8).
    pub fn yuv_to_rgb(&self, bits: u8) -> [[f64; 4]; 3] {
        if self.matrix == Matrix::Identity {
            let YuvScale { luma, black, .. } = YuvScale::new(self.range, bits);
            let bias = -luma * black;
            return [[0.0, 0.0, luma, bias], [luma, 0.0, 0.0, bias], [0.0, luma, 0.0, bias]];
        }
        let (kr, kb) = self.matrix.luma_weights();
        let kg = 1.0 - kr - kb;
        let scale = YuvScale::new(self.range, bits);
        let chroma = [2.0 * (1.0 - kr), 2.0 * (1.0 - kb)];
        let green = [-2.0 * kb * (1.0 - kb) / kg, -2.0 * kr * (1.0 - kr) / kg];
        let (y, c) = (scale.luma, scale.chroma);
        let bias = |cb: f64, cr: f64| -y * scale.black - c * (cb + cr) * scale.zero_chroma;
        [
            [y, 0.0, c * chroma[0], bias(0.0, chroma[0])],
            [y, c * green[0], c * green[1], bias(green[0], green[1])],
            [y, c * chroma[1], 0.0, bias(chroma[1], 0.0)],
        ]
    }

    /// Rows Y, Cb, Cr; columns R, G, B, 1: the inverse of [`yuv_to_rgb`](Color::yuv_to_rgb).
    pub fn rgb_to_yuv(&self, bits: u8) -> [[f64; 4]; 3] {
        if self.matrix == Matrix::Identity {
            let YuvScale { luma, black, .. } = YuvScale::new(self.range, bits);
            let scale = 1.0 / luma;
            return [[0.0, scale, 0.0, black], [0.0, 0.0, scale, black], [scale, 0.0, 0.0, black]];
        }
        let (kr, kb) = self.matrix.luma_weights();
        let kg = 1.0 - kr - kb;
        let scale = YuvScale::new(self.range, bits);
        let luma = [kr, kg, kb].map(|weight| weight / scale.luma);
        let chroma = |own: usize, span: f64| {
            let mut row = [-kr, -kg, -kb];
            row[own] += 1.0;
            row.map(|weight| weight / span / scale.chroma)
        };
        let cb = chroma(2, 2.0 * (1.0 - kb));
        let cr = chroma(0, 2.0 * (1.0 - kr));
        [
            [luma[0], luma[1], luma[2], scale.black],
            [cb[0], cb[1], cb[2], scale.zero_chroma],
            [cr[0], cr[1], cr[2], scale.zero_chroma],
        ]
    }
}

/// How normalised codes map to 0..1 luma and -0.5..0.5 chroma.
struct YuvScale {
    luma: f64,
    chroma: f64,
    black: f64,
    zero_chroma: f64,
}

impl YuvScale {
    fn new(range: Range, bits: u8) -> Self {
        let max = f64::from((1u32 << bits) - 1);
        let unit = f64::from(1u32 << (bits - 8));
        let zero_chroma = 128.0 * unit / max;
        match range {
            Range::Limited => {
                Self { luma: max / (219.0 * unit), chroma: max / (224.0 * unit), black: 16.0 * unit / max, zero_chroma }
            }
            Range::Full => Self { luma: 1.0, chroma: 1.0, black: 0.0, zero_chroma },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(matrix: Matrix, range: Range, yuv: [f64; 3]) -> [f64; 3] {
        let color = Color { matrix, range, ..Color::HD };
        let rows = color.yuv_to_rgb(8);
        let input = [yuv[0] / 255.0, yuv[1] / 255.0, yuv[2] / 255.0, 1.0];
        rows.map(|row| 255.0 * row.iter().zip(input).map(|(a, b)| a * b).sum::<f64>())
    }

    /// Expected values from Mesa's constants (nir_lower_tex.c) for the colour that tells all six apart.
    #[test]
    fn six_conversions_of_the_probe_colour() {
        let cases = [
            (Matrix::Bt601, Range::Limited, [33.0, 238.0, 208.0]),
            (Matrix::Bt601, Range::Full, [42.0, 222.0, 195.0]),
            (Matrix::Bt709, Range::Limited, [16.0, 217.0, 209.0]),
            (Matrix::Bt709, Range::Full, [26.0, 203.0, 197.0]),
            (Matrix::Bt2020, Range::Limited, [26.0, 228.0, 210.0]),
            (Matrix::Bt2020, Range::Full, [35.0, 212.0, 197.0]),
        ];
        for (matrix, range, expected) in cases {
            let got = convert(matrix, range, [165.0, 145.0, 40.0]);
            for (got, expected) in got.into_iter().zip(expected) {
                assert!((got - expected).abs() < 1.0, "{matrix:?} {range:?}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn inverse_gives_the_codes_back() {
        for matrix in Matrix::ALL {
            for range in [Range::Limited, Range::Full] {
                for bits in [8, 10] {
                    let color = Color { matrix, range, ..Color::HD };
                    let (to, from) = (color.yuv_to_rgb(bits), color.rgb_to_yuv(bits));
                    let apply = |m: [[f64; 4]; 3], v: [f64; 3]| {
                        m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2] + row[3])
                    };
                    let back = apply(from, apply(to, [0.3, 0.6, 0.4]));
                    for (got, expected) in back.into_iter().zip([0.3, 0.6, 0.4]) {
                        assert!((got - expected).abs() < 1e-12);
                    }
                }
            }
        }
    }
}
