//! V4L2's pixel formats and ours, and how a device's numbers become a [`Layout`] and a [`Color`].
//!
//! In: what a driver says of a queue. Out: formats, layouts, colours. Not here: asking the driver (`device`).
//!
//! The two worlds name RGB formats from opposite ends: `V4L2_PIX_FMT_RGB24` is bytes R, G, B, which DRM calls `BGR888`.
//! The codes are the same characters for many formats and mean something else for some (`AYUV`), so nothing is passed on
//! untranslated.

use crate::color::{Color, Matrix, Primaries, Range, Siting, Transfer};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Layout, PlaneLayout, Size};
use crate::sys::v4l2::Format;
use crate::sys::v4l2::uapi::MAX_PLANES;

/// A pixel format of V4L2 that is one of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct PixelCode {
    /// The name in `videodev2.h` without `V4L2_PIX_FMT_`.
    pub name: &'static str,
    /// The code.
    pub code: u32,
    /// The same bytes in DRM's terms.
    pub fourcc: Fourcc,
    /// Each plane has memory of its own.
    pub is_separate: bool,
}

const fn code(chars: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*chars)
}

const fn one(name: &'static str, chars: &[u8; 4], fourcc: Fourcc) -> PixelCode {
    PixelCode { name, code: code(chars), fourcc, is_separate: false }
}

const fn separate(name: &'static str, chars: &[u8; 4], fourcc: Fourcc) -> PixelCode {
    PixelCode { name, code: code(chars), fourcc, is_separate: true }
}

/// Every pixel format that V4L2 and the format table have in common.
pub static PIXEL_CODES: &[PixelCode] = &[
    one("NV12", b"NV12", Fourcc::NV12),
    separate("NV12M", b"NM12", Fourcc::NV12),
    one("NV21", b"NV21", Fourcc::NV21),
    separate("NV21M", b"NM21", Fourcc::NV21),
    one("NV16", b"NV16", Fourcc::NV16),
    separate("NV16M", b"NM16", Fourcc::NV16),
    one("NV61", b"NV61", Fourcc::NV61),
    separate("NV61M", b"NM61", Fourcc::NV61),
    one("NV24", b"NV24", Fourcc::NV24),
    one("NV42", b"NV42", Fourcc::NV42),
    one("P010", b"P010", Fourcc::P010),
    one("P012", b"P012", Fourcc::P012),
    separate("P012M", b"PM12", Fourcc::P012),
    one("NV15", b"NV15", Fourcc::NV15),
    one("NV20", b"NV20", Fourcc::NV20),
    one("YUV420", b"YU12", Fourcc::YUV420),
    separate("YUV420M", b"YM12", Fourcc::YUV420),
    one("YVU420", b"YV12", Fourcc::YVU420),
    separate("YVU420M", b"YM21", Fourcc::YVU420),
    one("YUV422P", b"422P", Fourcc::YUV422),
    separate("YUV422M", b"YM16", Fourcc::YUV422),
    separate("YVU422M", b"YM61", Fourcc::YVU422),
    separate("YUV444M", b"YM24", Fourcc::YUV444),
    separate("YVU444M", b"YM42", Fourcc::YVU444),
    one("YUV410", b"YUV9", Fourcc::YUV410),
    one("YVU410", b"YVU9", Fourcc::YVU410),
    one("YUV411P", b"411P", Fourcc::YUV411),
    one("YUYV", b"YUYV", Fourcc::YUYV),
    one("YVYU", b"YVYU", Fourcc::YVYU),
    one("UYVY", b"UYVY", Fourcc::UYVY),
    one("VYUY", b"VYUY", Fourcc::VYUY),
    one("Y210", b"Y210", Fourcc::Y210),
    one("Y212", b"Y212", Fourcc::Y212),
    one("Y216", b"Y216", Fourcc::Y216),
    // Bytes V, U, Y, A, which DRM calls AYUV; V4L2's own AYUV32 begins with alpha.
    one("VUYA32", b"VUYA", Fourcc::AYUV),
    one("VUYX32", b"VUYX", Fourcc::XYUV8888),
    one("YUVA32", b"YUVA", Fourcc::AVUY8888),
    one("YUVX32", b"YUVX", Fourcc::XVUY8888),
    one("YUV24", b"YUV3", Fourcc::VUY888),
    one("GREY", b"GREY", Fourcc::R8),
    one("Y16", b"Y16 ", Fourcc::R16),
    one("RGB565", b"RGBP", Fourcc::RGB565),
    one("ARGB555", b"AR15", Fourcc::ARGB1555),
    one("ABGR555", b"AB15", Fourcc::ABGR1555),
    one("RGBA555", b"RA15", Fourcc::RGBA5551),
    one("ARGB444", b"AR12", Fourcc::ARGB4444),
    one("ABGR444", b"AB12", Fourcc::ABGR4444),
    one("RGBA444", b"RA12", Fourcc::RGBA4444),
    one("RGB24", b"RGB3", Fourcc::BGR888),
    one("BGR24", b"BGR3", Fourcc::RGB888),
    one("RGBA32", b"AB24", Fourcc::ABGR8888),
    one("RGBX32", b"XB24", Fourcc::XBGR8888),
    one("ABGR32", b"AR24", Fourcc::ARGB8888),
    one("XBGR32", b"XR24", Fourcc::XRGB8888),
    one("BGRA32", b"RA24", Fourcc::RGBA8888),
    one("BGRX32", b"RX24", Fourcc::RGBX8888),
    one("ARGB32", b"BA24", Fourcc::BGRA8888),
    one("XRGB32", b"BX24", Fourcc::BGRX8888),
    one("ARGB2101010", b"AR30", Fourcc::ARGB2101010),
    one("RGBA1010102", b"RA30", Fourcc::RGBA1010102),
];

/// The formats of coded streams: name in pipeline files, code.
pub static CODECS: &[(&str, u32)] = &[
    ("h264", code(b"H264")),
    ("hevc", code(b"HEVC")),
    ("vp8", code(b"VP80")),
    ("vp9", code(b"VP90")),
    ("av1", code(b"AV01")),
    ("mpeg2", code(b"MPG2")),
    ("mpeg4", code(b"MPG4")),
    ("h263", code(b"H263")),
    ("mjpeg", code(b"MJPG")),
    ("jpeg", code(b"JPEG")),
    ("fwht", code(b"FWHT")),
];

/// The row of a code.
pub fn by_code(code: u32) -> Option<&'static PixelCode> {
    PIXEL_CODES.iter().find(|row| row.code == code)
}

/// What a code is called: ours, a codec's name, else its four characters.
pub fn name_of(code: u32) -> String {
    if let Some(row) = by_code(code) {
        return row.fourcc.to_string();
    }
    match CODECS.iter().find(|(_, known)| *known == code) {
        Some((name, _)) => (*name).to_owned(),
        None => String::from_utf8_lossy(&code.to_le_bytes()).trim().to_owned(),
    }
}

/// Where the planes of pictures lie. `size` is the visible part of the format's rows and columns; `data_offsets` is where
/// the data begin in each memory.
///
/// # Errors
/// `Unsupported`: a format that is not in the table. `InvalidInput`: numbers that cannot be.
pub fn layout(format: &Format, size: Size, data_offsets: &[u32; MAX_PLANES]) -> Result<Layout> {
    let row = by_code(format.pixel_format).ok_or_else(|| {
        Error::unsupported("V4L2 format", format!("{} is no format of pixels known here", name_of(format.pixel_format)))
    })?;
    let table = row.fourcc.format()?;
    let luma = &table.planes[0];
    let stride_of = |memory: usize| match format.planes[memory].stride_bytes {
        // Some drivers leave it out where rows have no padding.
        0 => table.planes[memory.min(table.planes.len() - 1)].row_bytes(format.width),
        stride => u64::from(stride),
    };
    let mut planes = Vec::new();
    let mut offset = u64::from(data_offsets[0]);
    for (index, plane) in table.planes.iter().enumerate() {
        let stride = match row.is_separate {
            true => stride_of(index),
            false => plane.derived_stride(stride_of(0), luma),
        };
        if row.is_separate {
            offset = u64::from(data_offsets[index]);
        }
        let stride_bytes = u32::try_from(stride)
            .map_err(|_| Error::invalid("V4L2 format", format!("plane {index}: rows of {stride} bytes")))?;
        planes.push(PlaneLayout { offset_bytes: offset, stride_bytes });
        offset += stride * u64::from(plane.rows(format.height));
    }
    Layout::new(row.fourcc, size, Modifier::LINEAR, &planes)
}

/// The numbers of V4L2's colour tags.
mod tag {
    pub const COLORSPACE_SMPTE170M: u32 = 1;
    pub const COLORSPACE_SMPTE240M: u32 = 2;
    pub const COLORSPACE_REC709: u32 = 3;
    pub const COLORSPACE_470_SYSTEM_BG: u32 = 6;
    pub const COLORSPACE_JPEG: u32 = 7;
    pub const COLORSPACE_SRGB: u32 = 8;
    pub const COLORSPACE_OPRGB: u32 = 9;
    pub const COLORSPACE_BT2020: u32 = 10;
    pub const COLORSPACE_RAW: u32 = 11;
    pub const COLORSPACE_DCI_P3: u32 = 12;
    pub const ENC_601: u32 = 1;
    pub const ENC_709: u32 = 2;
    pub const ENC_XV601: u32 = 3;
    pub const ENC_XV709: u32 = 4;
    pub const ENC_SYCC: u32 = 5;
    pub const ENC_BT2020: u32 = 6;
    pub const ENC_BT2020_CONST_LUM: u32 = 7;
    pub const ENC_SMPTE240M: u32 = 8;
    pub const FULL_RANGE: u32 = 1;
    pub const LIM_RANGE: u32 = 2;
    pub const XFER_709: u32 = 1;
    pub const XFER_SRGB: u32 = 2;
    pub const XFER_NONE: u32 = 5;
    pub const XFER_SMPTE2084: u32 = 7;
}

/// What a driver's tags say; what they leave open follows the rules of the V4L2 documentation from the colour space, and
/// the guess of [`Color::guess`] where there is none. The chroma siting is never told.
///
/// # References
/// `V4L2_MAP_YCBCR_ENC_DEFAULT`, `V4L2_MAP_QUANTIZATION_DEFAULT`, `V4L2_MAP_XFER_FUNC_DEFAULT`
pub fn color(format: &Format, fourcc: Fourcc) -> Color {
    use tag::*;
    let size = Size::new(format.width, format.height);
    let is_rgb = !fourcc.format().is_ok_and(crate::format::Format::is_yuv);
    let guess = if is_rgb { Color::SRGB } else { Color::guess(size) };
    let space = format.colorspace;
    let matrix = match (format.ycbcr_enc, space) {
        (ENC_601 | ENC_XV601 | ENC_SYCC, _) => Matrix::Bt601,
        (ENC_709 | ENC_XV709, _) => Matrix::Bt709,
        (ENC_BT2020 | ENC_BT2020_CONST_LUM, _) => Matrix::Bt2020,
        (ENC_SMPTE240M, _) => Matrix::Smpte240m,
        (_, 0) => guess.matrix,
        (_, COLORSPACE_REC709 | COLORSPACE_DCI_P3) => Matrix::Bt709,
        (_, COLORSPACE_BT2020) => Matrix::Bt2020,
        (_, COLORSPACE_SMPTE240M) => Matrix::Smpte240m,
        _ => Matrix::Bt601,
    };
    let range = match format.quantization {
        FULL_RANGE => Range::Full,
        LIM_RANGE => Range::Limited,
        _ if is_rgb || space == COLORSPACE_JPEG => Range::Full,
        _ => Range::Limited,
    };
    let transfer = match (format.xfer_func, space) {
        (XFER_709, _) => Transfer::Bt709,
        (XFER_SRGB, _) => Transfer::Srgb,
        (XFER_NONE, _) => Transfer::Linear,
        (XFER_SMPTE2084, _) => Transfer::Pq,
        (_, 0) => guess.transfer,
        (0, COLORSPACE_SRGB | COLORSPACE_JPEG) => Transfer::Srgb,
        (0, COLORSPACE_RAW) => Transfer::Linear,
        _ => Transfer::Bt709,
    };
    let primaries = match space {
        COLORSPACE_SMPTE170M | COLORSPACE_SMPTE240M => Primaries::Bt601Of525,
        COLORSPACE_470_SYSTEM_BG => Primaries::Bt601Of625,
        COLORSPACE_BT2020 => Primaries::Bt2020,
        COLORSPACE_DCI_P3 => Primaries::DisplayP3,
        COLORSPACE_REC709 | COLORSPACE_SRGB | COLORSPACE_JPEG | COLORSPACE_OPRGB | COLORSPACE_RAW => Primaries::Bt709,
        _ => guess.primaries,
    };
    let siting = if space == COLORSPACE_JPEG { Siting::Center } else { guess.siting };
    Color { matrix, range, siting, transfer, primaries }
}

/// The tags for pictures of ours: (colour space, matrix, range, transfer).
pub fn tags(color: Color, fourcc: Fourcc) -> (u32, u32, u32, u32) {
    use tag::*;
    let is_rgb = !fourcc.format().is_ok_and(crate::format::Format::is_yuv);
    let space = match (is_rgb, color.primaries) {
        (true, Primaries::Bt709) => COLORSPACE_SRGB,
        (_, Primaries::Bt601Of525) => COLORSPACE_SMPTE170M,
        (_, Primaries::Bt601Of625) => COLORSPACE_470_SYSTEM_BG,
        (_, Primaries::Bt709) => COLORSPACE_REC709,
        (_, Primaries::Bt2020) => COLORSPACE_BT2020,
        (_, Primaries::DisplayP3) => COLORSPACE_DCI_P3,
    };
    let matrix = match color.matrix {
        Matrix::Bt601 => ENC_601,
        Matrix::Bt709 => ENC_709,
        Matrix::Bt2020 => ENC_BT2020,
        Matrix::Smpte240m => ENC_SMPTE240M,
        Matrix::Identity => 0,
    };
    let range = match color.range {
        Range::Full => FULL_RANGE,
        Range::Limited => LIM_RANGE,
    };
    let transfer = match color.transfer {
        Transfer::Srgb => XFER_SRGB,
        Transfer::Bt709 => XFER_709,
        Transfer::Linear => XFER_NONE,
        Transfer::Pq => XFER_SMPTE2084,
        // The header has no number for it.
        Transfer::Hlg => 0,
    };
    (space, if is_rgb { 0 } else { matrix }, range, transfer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::v4l2::PlaneSize;

    /// Against the kernel's header, where it is on this machine.
    #[test]
    fn names_and_codes_are_the_kernels() {
        let Ok(header) = std::fs::read_to_string("/usr/include/linux/videodev2.h") else { return };
        let codes = PIXEL_CODES.iter().map(|row| (row.name.to_owned(), row.code));
        let codecs = CODECS.iter().filter(|(name, _)| *name != "av1").map(|(name, code)| {
            let name = match *name {
                "mpeg2" => "MPEG2".into(),
                name => name.to_uppercase(),
            };
            (name, *code)
        });
        let mut found = 0;
        for (name, code) in codes.chain(codecs) {
            let macro_name = format!("V4L2_PIX_FMT_{name}");
            let line = header.lines().find(|line| line.split_whitespace().nth(1) == Some(macro_name.as_str()));
            // Headers before 6.0 or so lack the newest.
            let Some(line) = line else { continue };
            let chars: Vec<u8> = line.split('\'').skip(1).step_by(2).take(4).map(|text| text.as_bytes()[0]).collect();
            assert_eq!(chars, code.to_le_bytes(), "{name}");
            found += 1;
        }
        assert!(found > 50, "{found} of the formats are in this machine's header");
    }

    #[test]
    fn codes_are_unique_and_single_planar_formats_come_first() {
        for row in PIXEL_CODES {
            assert_eq!(PIXEL_CODES.iter().filter(|other| other.code == row.code).count(), 1, "{}", row.name);
            row.fourcc.format().unwrap();
        }
    }

    fn format(code: &[u8; 4], width: u32, height: u32, strides: &[u32]) -> Format {
        let mut format =
            Format { width, height, pixel_format: super::code(code), plane_count: strides.len(), ..Format::default() };
        for (plane, stride_bytes) in format.planes.iter_mut().zip(strides) {
            *plane = PlaneSize { stride_bytes: *stride_bytes, size_bytes: 0 };
        }
        format
    }

    #[test]
    fn planes_follow_the_drivers_height_and_data_offsets() {
        let none = [0; MAX_PLANES];
        let size = Size::new(100, 50);
        // Rows are padded to 64 of 112 bytes, chroma begins behind the padded rows.
        let got = layout(&format(b"NV12", 112, 64, &[112]), size, &none).unwrap();
        assert_eq!(got.planes()[1], PlaneLayout { offset_bytes: 112 * 64, stride_bytes: 112 });
        let got = layout(&format(b"YU12", 112, 64, &[128]), size, &none).unwrap();
        assert_eq!(got.planes()[2], PlaneLayout { offset_bytes: 128 * 64 + 64 * 32, stride_bytes: 64 });
        let offsets = [128, 16, 0, 0, 0, 0, 0, 0];
        let got = layout(&format(b"NM12", 112, 64, &[128, 192]), size, &offsets).unwrap();
        assert_eq!(got.planes()[0], PlaneLayout { offset_bytes: 128, stride_bytes: 128 });
        assert_eq!(got.planes()[1], PlaneLayout { offset_bytes: 16, stride_bytes: 192 });
        // A stride of 0 is no padding.
        assert_eq!(layout(&format(b"YUYV", 6, 4, &[0]), Size::new(5, 3), &none).unwrap().planes()[0].stride_bytes, 12);
        assert!(layout(&format(b"HSV3", 6, 4, &[0]), size, &none).is_err());
    }

    #[test]
    fn colours_follow_the_tags_and_the_documented_defaults() {
        let tagged = |colorspace, ycbcr_enc, quantization, xfer_func| {
            let tagged = Format { colorspace, ycbcr_enc, quantization, xfer_func, ..format(b"NV12", 640, 480, &[640]) };
            color(&tagged, Fourcc::NV12)
        };
        assert_eq!(tagged(0, 0, 0, 0), Color::guess(Size::new(640, 480)));
        assert_eq!(tagged(tag::COLORSPACE_REC709, 0, 0, 0), Color::HD);
        let jpeg = tagged(tag::COLORSPACE_JPEG, 0, 0, 0);
        assert_eq!((jpeg.matrix, jpeg.range, jpeg.siting), (Matrix::Bt601, Range::Full, Siting::Center));
        let said = tagged(tag::COLORSPACE_SRGB, tag::ENC_709, tag::FULL_RANGE, tag::XFER_NONE);
        assert_eq!((said.matrix, said.range, said.transfer), (Matrix::Bt709, Range::Full, Transfer::Linear));
        for color_ in [Color::HD, Color::guess(Size::new(640, 480)), Color { range: Range::Full, ..Color::HD }] {
            let (colorspace, ycbcr_enc, quantization, xfer_func) = tags(color_, Fourcc::NV12);
            assert_eq!(tagged(colorspace, ycbcr_enc, quantization, xfer_func), color_);
        }
    }
}
