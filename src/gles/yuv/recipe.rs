//! Where the components of each YUV format are, seen as RGB textures.

use crate::error::{Error, Result};
use crate::format::Fourcc;

/// A component of one of the views.
pub(super) type Place = (usize, usize);

/// Where the components of a YUV format are.
pub(super) struct Recipe {
    /// Plane and format of each texture.
    pub(super) views: &'static [(usize, Fourcc)],
    pub(super) y: Place,
    pub(super) u: Place,
    pub(super) v: Place,
    pub(super) a: Option<Place>,
    /// Luma columns and rows of one chroma sample.
    pub(super) subsampling: (u32, u32),
    /// Significant bits.
    pub(super) bits: u8,
    /// Sampled value times this is code / (2^bits - 1): 10 bits at the top of 16 are not quite 0..1.
    pub(super) scale: f64,
}

const R: usize = 0;
const G: usize = 1;
const B: usize = 2;
const A: usize = 3;

/// Two planes of 8 bits; `$u` and `$v` say which component of the second is which.
macro_rules! semi {
    ($h:literal, $v:literal, $cb:expr, $cr:expr) => {
        Some(Recipe {
            views: &[(0, Fourcc::R8), (1, Fourcc::GR88)],
            y: (0, R),
            u: (1, $cb),
            v: (1, $cr),
            a: None,
            subsampling: ($h, $v),
            bits: 8,
            scale: 1.0,
        })
    };
}

/// Two planes of `$bits` at the top of 16.
macro_rules! semi16 {
    ($h:literal, $v:literal, $bits:literal) => {
        Some(Recipe {
            views: &[(0, Fourcc::R16), (1, Fourcc::GR1616)],
            y: (0, R),
            u: (1, R),
            v: (1, G),
            a: None,
            subsampling: ($h, $v),
            bits: $bits,
            scale: at_the_top($bits),
        })
    };
}

/// Three planes of 8 bits; `$u` and `$v` say which plane is which.
macro_rules! planar {
    ($h:literal, $v:literal, $cb:literal, $cr:literal) => {
        Some(Recipe {
            views: &[(0, Fourcc::R8), (1, Fourcc::R8), (2, Fourcc::R8)],
            y: (0, R),
            u: ($cb, R),
            v: ($cr, R),
            a: None,
            subsampling: ($h, $v),
            bits: 8,
            scale: 1.0,
        })
    };
}

/// Packed 4:2:2, seen twice: byte pairs for luma at full width, byte quartets for chroma at half.
macro_rules! packed {
    ($y:expr, $u:expr, $v:expr) => {
        Some(Recipe {
            views: &[(0, Fourcc::GR88), (0, Fourcc::ABGR8888)],
            y: (0, $y),
            u: (1, $u),
            v: (1, $v),
            a: None,
            subsampling: (2, 1),
            bits: 8,
            scale: 1.0,
        })
    };
}

/// Packed 4:4:4 in four bytes.
macro_rules! quad {
    ($y:expr, $u:expr, $v:expr, $a:expr) => {
        Some(Recipe {
            views: &[(0, Fourcc::ABGR8888)],
            y: (0, $y),
            u: (0, $u),
            v: (0, $v),
            a: $a,
            subsampling: (1, 1),
            bits: 8,
            scale: 1.0,
        })
    };
}

/// Packed 4:2:2 of 16-bit words, seen twice as [`packed`].
macro_rules! packed16 {
    ($bits:literal) => {
        Some(Recipe {
            views: &[(0, Fourcc::GR1616), (0, Fourcc::ABGR16161616)],
            y: (0, R),
            u: (1, G),
            v: (1, A),
            a: None,
            subsampling: (2, 1),
            bits: $bits,
            scale: at_the_top($bits),
        })
    };
}

/// Packed 4:4:4 in one texel of `$view`: Cb, Y, Cr, and alpha where `$a` has it.
macro_rules! uyva {
    ($view:expr, $bits:literal, $scale:expr, $a:expr) => {
        Some(Recipe {
            views: &[(0, $view)],
            y: (0, G),
            u: (0, R),
            v: (0, B),
            a: $a,
            subsampling: (1, 1),
            bits: $bits,
            scale: $scale,
        })
    };
}

/// From a 16-bit word in 0..1 with the code at its top to the code in 0..1.
const fn at_the_top(bits: u32) -> f64 {
    65535.0 / ((1u32 << (16 - bits)) as f64 * ((1u32 << bits) - 1) as f64)
}

pub(super) fn recipe(fourcc: Fourcc) -> Option<Recipe> {
    match fourcc {
        Fourcc::NV12 => semi!(2, 2, R, G),
        Fourcc::NV21 => semi!(2, 2, G, R),
        Fourcc::NV16 => semi!(2, 1, R, G),
        Fourcc::NV61 => semi!(2, 1, G, R),
        Fourcc::NV24 => semi!(1, 1, R, G),
        Fourcc::NV42 => semi!(1, 1, G, R),
        Fourcc::P010 => semi16!(2, 2, 10),
        Fourcc::P012 => semi16!(2, 2, 12),
        Fourcc::P016 => semi16!(2, 2, 16),
        Fourcc::P210 => semi16!(2, 1, 10),
        Fourcc::YUV410 => planar!(4, 4, 1, 2),
        Fourcc::YVU410 => planar!(4, 4, 2, 1),
        Fourcc::YUV411 => planar!(4, 1, 1, 2),
        Fourcc::YVU411 => planar!(4, 1, 2, 1),
        Fourcc::YUV420 => planar!(2, 2, 1, 2),
        Fourcc::YVU420 => planar!(2, 2, 2, 1),
        Fourcc::YUV422 => planar!(2, 1, 1, 2),
        Fourcc::YVU422 => planar!(2, 1, 2, 1),
        Fourcc::YUV444 => planar!(1, 1, 1, 2),
        Fourcc::YVU444 => planar!(1, 1, 2, 1),
        Fourcc::YUYV => packed!(R, G, A),
        Fourcc::YVYU => packed!(R, A, G),
        Fourcc::UYVY => packed!(G, R, B),
        Fourcc::VYUY => packed!(G, B, R),
        // A:Y:Cb:Cr from the top bit down: V first in memory.
        Fourcc::AYUV => quad!(B, G, R, Some((0, A))),
        Fourcc::XYUV8888 => quad!(B, G, R, None),
        Fourcc::AVUY8888 => quad!(R, G, B, Some((0, A))),
        Fourcc::XVUY8888 => quad!(R, G, B, None),
        Fourcc::VUY888 => Some(Recipe {
            views: &[(0, Fourcc::BGR888)],
            y: (0, R),
            u: (0, G),
            v: (0, B),
            a: None,
            subsampling: (1, 1),
            bits: 8,
            scale: 1.0,
        }),
        Fourcc::Y210 => packed16!(10),
        Fourcc::Y212 => packed16!(12),
        Fourcc::Y216 => packed16!(16),
        Fourcc::Y410 => uyva!(Fourcc::ABGR2101010, 10, 1.0, Some((0, A))),
        Fourcc::XVYU2101010 => uyva!(Fourcc::ABGR2101010, 10, 1.0, None),
        Fourcc::Y412 => uyva!(Fourcc::ABGR16161616, 12, at_the_top(12), Some((0, A))),
        Fourcc::Y416 => uyva!(Fourcc::ABGR16161616, 16, at_the_top(16), Some((0, A))),
        Fourcc::Q410 => Some(Recipe {
            views: &[(0, Fourcc::R16), (1, Fourcc::R16), (2, Fourcc::R16)],
            y: (0, R),
            u: (1, R),
            v: (2, R),
            a: None,
            subsampling: (1, 1),
            bits: 10,
            scale: at_the_top(10),
        }),
        _ => None,
    }
}

pub(super) fn recipe_of(fourcc: Fourcc) -> Result<Recipe> {
    recipe(fourcc).ok_or_else(|| {
        Error::unsupported("gles::yuv", format!("{fourcc}: no shader reads its planes"))
            .with_hint("NV12, NV16, NV24, P010, YUV420, YUV422, YUV444, YUYV, AYUV, Y210, Y410 and their kin are read")
    })
}
