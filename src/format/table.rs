//! The format table, row by row.
//!
//! # References
//! `include/uapi/drm/drm_fourcc.h` for codes and bit layouts, the GLES 3.2 specification table 8.2 and
//! `EXT_texture_format_BGRA8888`, `EXT_texture_norm16` for the GL names.

use super::{Format, Fourcc, GlTwin, Model, PlaneFormat};

// GL enums, spelled out here because the table must not depend on a GL binding.
const UNSIGNED_BYTE: u32 = 0x1401;
const UNSIGNED_SHORT: u32 = 0x1403;
const FLOAT: u32 = 0x1406;
const HALF_FLOAT: u32 = 0x140B;
const UNSIGNED_SHORT_4_4_4_4: u32 = 0x8033;
const UNSIGNED_SHORT_5_5_5_1: u32 = 0x8034;
const UNSIGNED_SHORT_5_6_5: u32 = 0x8363;
const UNSIGNED_INT_2_10_10_10_REV: u32 = 0x8368;
const RED: u32 = 0x1903;
const RG: u32 = 0x8227;
const RGB: u32 = 0x1907;
const RGBA: u32 = 0x1908;

const fn twin(internal: u32, format: u32, kind: u32, swizzle: &'static str) -> Option<GlTwin> {
    Some(GlTwin { internal, format, kind, swizzle })
}

const fn plane(block_bytes: u32, block_width: u32, hsub: u32, vsub: u32, view: Option<Fourcc>) -> PlaneFormat {
    PlaneFormat { block_bytes, block_width, horizontal_subsampling: hsub, vertical_subsampling: vsub, view }
}

/// Declares the constant of each format and the table from one list:
/// `NAME "char" model bits alpha [planes] gl`.
macro_rules! formats {
    ($($name:ident $chars:literal $model:ident $bits:literal $alpha:literal $planes:expr, $gl:expr $(, $modifier:ident)?;)*) => {
        #[allow(missing_docs)]
        impl Fourcc {
            $(pub const $name: Fourcc = Fourcc::from_chars($chars);)*
        }

        /// Every format this crate knows.
        pub static FORMATS: &[Format] = &[
            $(Format {
                name: stringify!($name),
                fourcc: Fourcc::$name,
                model: Model::$model,
                component_bits: $bits,
                has_alpha: $alpha,
                planes: &$planes,
                gl: $gl,
                needs_modifier: formats!(@needs $($modifier)?),
            },)*
        ];
    };
    (@needs) => { false };
    (@needs needs_modifier) => { true };
}

// Single-plane shapes.
const B1: [PlaneFormat; 1] = [plane(1, 1, 1, 1, None)];
const B2: [PlaneFormat; 1] = [plane(2, 1, 1, 1, None)];
const B3: [PlaneFormat; 1] = [plane(3, 1, 1, 1, None)];
const B4: [PlaneFormat; 1] = [plane(4, 1, 1, 1, None)];
const B8: [PlaneFormat; 1] = [plane(8, 1, 1, 1, None)];
const PACKED_422: [PlaneFormat; 1] = [plane(4, 2, 1, 1, None)];
const PACKED_422_16: [PlaneFormat; 1] = [plane(8, 2, 1, 1, None)];

/// Luma plane and one plane of chroma pairs, 8 bits.
const fn semi(hsub: u32, vsub: u32) -> [PlaneFormat; 2] {
    [plane(1, 1, 1, 1, Some(Fourcc::R8)), plane(2, 1, hsub, vsub, Some(Fourcc::GR88))]
}

/// The same with 16-bit containers.
const fn semi16(hsub: u32, vsub: u32) -> [PlaneFormat; 2] {
    [plane(2, 1, 1, 1, Some(Fourcc::R16)), plane(4, 1, hsub, vsub, Some(Fourcc::GR1616))]
}

/// The same with four 10-bit samples in five bytes.
const fn semi10(hsub: u32, vsub: u32) -> [PlaneFormat; 2] {
    [plane(5, 4, 1, 1, None), plane(5, 2, hsub, vsub, None)]
}

/// Three planes of single samples.
const fn planar(hsub: u32, vsub: u32) -> [PlaneFormat; 3] {
    let luma = plane(1, 1, 1, 1, Some(Fourcc::R8));
    [luma, plane(1, 1, hsub, vsub, Some(Fourcc::R8)), plane(1, 1, hsub, vsub, Some(Fourcc::R8))]
}

const PLANAR_16: [PlaneFormat; 3] =
    [plane(2, 1, 1, 1, Some(Fourcc::R16)), plane(2, 1, 1, 1, Some(Fourcc::R16)), plane(2, 1, 1, 1, Some(Fourcc::R16))];

formats! {
    R8           b"R8  " Rgb  8 false B1, twin(0x8229, RED, UNSIGNED_BYTE, "r001");
    R16          b"R16 " Rgb 16 false B2, twin(0x822A, RED, UNSIGNED_SHORT, "r001");
    R16F         b"R  H" Rgb 16 false B2, twin(0x822D, RED, HALF_FLOAT, "r001");
    R32F         b"R  F" Rgb 32 false B4, twin(0x822E, RED, FLOAT, "r001");
    GR88         b"GR88" Rgb  8 false B2, twin(0x822B, RG, UNSIGNED_BYTE, "rg01");
    RG88         b"RG88" Rgb  8 false B2, twin(0x822B, RG, UNSIGNED_BYTE, "gr01");
    GR1616       b"GR32" Rgb 16 false B4, twin(0x822C, RG, UNSIGNED_SHORT, "rg01");
    RG1616       b"RG32" Rgb 16 false B4, twin(0x822C, RG, UNSIGNED_SHORT, "gr01");
    RGB565       b"RG16" Rgb  6 false B2, twin(0x8D62, RGB, UNSIGNED_SHORT_5_6_5, "rgb1");
    BGR565       b"BG16" Rgb  6 false B2, twin(0x8D62, RGB, UNSIGNED_SHORT_5_6_5, "bgr1");
    ARGB1555     b"AR15" Rgb  5 true  B2, None;
    ABGR1555     b"AB15" Rgb  5 true  B2, None;
    RGBA5551     b"RA15" Rgb  5 true  B2, twin(0x8057, RGBA, UNSIGNED_SHORT_5_5_5_1, "rgba");
    ARGB4444     b"AR12" Rgb  4 true  B2, None;
    ABGR4444     b"AB12" Rgb  4 true  B2, None;
    RGBA4444     b"RA12" Rgb  4 true  B2, twin(0x8056, RGBA, UNSIGNED_SHORT_4_4_4_4, "rgba");
    RGB888       b"RG24" Rgb  8 false B3, twin(0x8051, RGB, UNSIGNED_BYTE, "bgr1");
    BGR888       b"BG24" Rgb  8 false B3, twin(0x8051, RGB, UNSIGNED_BYTE, "rgb1");
    XRGB8888     b"XR24" Rgb  8 false B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "bgr1");
    ARGB8888     b"AR24" Rgb  8 true  B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "bgra");
    XBGR8888     b"XB24" Rgb  8 false B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "rgb1");
    ABGR8888     b"AB24" Rgb  8 true  B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "rgba");
    RGBA8888     b"RA24" Rgb  8 true  B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "abgr");
    RGBX8888     b"RX24" Rgb  8 false B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "abg1");
    BGRA8888     b"BA24" Rgb  8 true  B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "gbar");
    BGRX8888     b"BX24" Rgb  8 false B4, twin(0x8058, RGBA, UNSIGNED_BYTE, "gba1");
    XRGB2101010  b"XR30" Rgb 10 false B4, twin(0x8059, RGBA, UNSIGNED_INT_2_10_10_10_REV, "bgr1");
    ARGB2101010  b"AR30" Rgb 10 true  B4, twin(0x8059, RGBA, UNSIGNED_INT_2_10_10_10_REV, "bgra");
    XBGR2101010  b"XB30" Rgb 10 false B4, twin(0x8059, RGBA, UNSIGNED_INT_2_10_10_10_REV, "rgb1");
    ABGR2101010  b"AB30" Rgb 10 true  B4, twin(0x8059, RGBA, UNSIGNED_INT_2_10_10_10_REV, "rgba");
    RGBA1010102  b"RA30" Rgb 10 true  B4, None;
    ABGR16161616 b"AB48" Rgb 16 true  B8, twin(0x805B, RGBA, UNSIGNED_SHORT, "rgba");
    XBGR16161616 b"XB48" Rgb 16 false B8, twin(0x805B, RGBA, UNSIGNED_SHORT, "rgb1");
    ABGR16161616F b"AB4H" Rgb 16 true  B8, twin(0x881A, RGBA, HALF_FLOAT, "rgba");
    XBGR16161616F b"XB4H" Rgb 16 false B8, twin(0x881A, RGBA, HALF_FLOAT, "rgb1");
    ARGB16161616F b"AR4H" Rgb 16 true  B8, twin(0x881A, RGBA, HALF_FLOAT, "bgra");

    YUYV         b"YUYV" Yuv  8 false PACKED_422, None;
    YVYU         b"YVYU" Yuv  8 false PACKED_422, None;
    UYVY         b"UYVY" Yuv  8 false PACKED_422, None;
    VYUY         b"VYUY" Yuv  8 false PACKED_422, None;
    AYUV         b"AYUV" Yuv  8 true  B4, None;
    XYUV8888     b"XYUV" Yuv  8 false B4, None;
    AVUY8888     b"AVUY" Yuv  8 true  B4, None;
    XVUY8888     b"XVUY" Yuv  8 false B4, None;
    VUY888       b"VU24" Yuv  8 false B3, None;
    Y210         b"Y210" Yuv 10 false PACKED_422_16, None;
    Y212         b"Y212" Yuv 12 false PACKED_422_16, None;
    Y216         b"Y216" Yuv 16 false PACKED_422_16, None;
    Y410         b"Y410" Yuv 10 true  B4, None;
    Y412         b"Y412" Yuv 12 true  B8, None;
    Y416         b"Y416" Yuv 16 true  B8, None;
    XVYU2101010  b"XV30" Yuv 10 false B4, None;

    NV12         b"NV12" Yuv  8 false semi(2, 2), None;
    NV21         b"NV21" Yuv  8 false semi(2, 2), None;
    NV16         b"NV16" Yuv  8 false semi(2, 1), None;
    NV61         b"NV61" Yuv  8 false semi(2, 1), None;
    NV24         b"NV24" Yuv  8 false semi(1, 1), None;
    NV42         b"NV42" Yuv  8 false semi(1, 1), None;
    NV15         b"NV15" Yuv 10 false semi10(2, 2), None;
    NV20         b"NV20" Yuv 10 false semi10(2, 1), None;
    NV30         b"NV30" Yuv 10 false semi10(1, 1), None;
    P010         b"P010" Yuv 10 false semi16(2, 2), None;
    P012         b"P012" Yuv 12 false semi16(2, 2), None;
    P016         b"P016" Yuv 16 false semi16(2, 2), None;
    P030         b"P030" Yuv 10 false [plane(4, 3, 1, 1, None), plane(8, 3, 2, 2, None)], None;
    P210         b"P210" Yuv 10 false semi16(2, 1), None;
    YUV410       b"YUV9" Yuv  8 false planar(4, 4), None;
    YVU410       b"YVU9" Yuv  8 false planar(4, 4), None;
    YUV411       b"YU11" Yuv  8 false planar(4, 1), None;
    YVU411       b"YV11" Yuv  8 false planar(4, 1), None;
    YUV420       b"YU12" Yuv  8 false planar(2, 2), None;
    YVU420       b"YV12" Yuv  8 false planar(2, 2), None;
    YUV422       b"YU16" Yuv  8 false planar(2, 1), None;
    YVU422       b"YV16" Yuv  8 false planar(2, 1), None;
    YUV444       b"YU24" Yuv  8 false planar(1, 1), None;
    YVU444       b"YV24" Yuv  8 false planar(1, 1), None;
    Q410         b"Q410" Yuv 10 false PLANAR_16, None;
    YUV420_8BIT  b"YU08" Yuv  8 false B1, None, needs_modifier;
    YUV420_10BIT b"YU10" Yuv 10 false B1, None, needs_modifier;
}
