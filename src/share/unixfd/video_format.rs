//! GStreamer's names and numbers of picture formats, beside DRM's.
//!
//! In: a [`Fourcc`], a name or a number. Out: the others; the strides that GStreamer takes where none are said.
//! Not here: what the formats are (`format`).
//!
//! # References
//! `GstVideoFormat` (video-format.h), `gst_video_dma_drm_fourcc_from_format` (video-info-dma.c), and
//! `gst_video_info_set_format` for default strides

use crate::error::{Error, Result};
use crate::format::{Format, Fourcc, Modifier};
use crate::layout::{Layout, PlaneLayout, Size};

use super::OP;

/// `GST_VIDEO_FORMAT_DMA_DRM`: the format is in the caps' `drm-format`.
pub const DMA_DRM: i32 = 114;

/// Name, `GstVideoFormat`, and the same bytes in DRM terms.
pub const FORMATS: &[(&str, i32, Fourcc)] = &[
    ("RGBA", 11, Fourcc::ABGR8888),
    ("RGBx", 7, Fourcc::XBGR8888),
    ("BGRA", 12, Fourcc::ARGB8888),
    ("BGRx", 8, Fourcc::XRGB8888),
    ("ARGB", 13, Fourcc::BGRA8888),
    ("xRGB", 9, Fourcc::BGRX8888),
    ("ABGR", 14, Fourcc::RGBA8888),
    ("xBGR", 10, Fourcc::RGBX8888),
    ("RGB", 15, Fourcc::BGR888),
    ("BGR", 16, Fourcc::RGB888),
    ("RGB16", 29, Fourcc::RGB565),
    ("BGR16", 30, Fourcc::BGR565),
    ("GRAY8", 25, Fourcc::R8),
    ("GRAY16_LE", 27, Fourcc::R16),
    ("BGR10A2_LE", 85, Fourcc::ARGB2101010),
    ("RGB10A2_LE", 86, Fourcc::ABGR2101010),
    ("RGBA64_LE", 104, Fourcc::ABGR16161616),
    ("I420", 2, Fourcc::YUV420),
    ("YV12", 3, Fourcc::YVU420),
    ("Y42B", 18, Fourcc::YUV422),
    ("Y444", 20, Fourcc::YUV444),
    ("Y41B", 17, Fourcc::YUV411),
    ("YUV9", 36, Fourcc::YUV410),
    ("YVU9", 37, Fourcc::YVU410),
    ("NV12", 23, Fourcc::NV12),
    ("NV21", 24, Fourcc::NV21),
    ("NV16", 51, Fourcc::NV16),
    ("NV61", 60, Fourcc::NV61),
    ("NV24", 52, Fourcc::NV24),
    ("P010_10LE", 62, Fourcc::P010),
    ("P012_LE", 92, Fourcc::P012),
    ("P016_LE", 90, Fourcc::P016),
    ("YUY2", 4, Fourcc::YUYV),
    ("UYVY", 5, Fourcc::UYVY),
    ("YVYU", 19, Fourcc::YVYU),
    ("VYUY", 64, Fourcc::VYUY),
    ("VUYA", 84, Fourcc::AYUV),
    ("Y210", 82, Fourcc::Y210),
    ("Y212_LE", 94, Fourcc::Y212),
    ("Y410", 83, Fourcc::Y410),
    ("Y412_LE", 96, Fourcc::Y412),
];

/// GStreamer's name.
pub fn name(fourcc: Fourcc) -> Option<&'static str> {
    FORMATS.iter().find(|(_, _, known)| *known == fourcc).map(|(name, _, _)| *name)
}

/// GStreamer's number; that of `DMA_DRM` where it has none of its own.
pub fn number(fourcc: Fourcc) -> i32 {
    FORMATS.iter().find(|(_, _, known)| *known == fourcc).map_or(DMA_DRM, |(_, number, _)| *number)
}

/// What GStreamer calls `name`.
///
/// # Errors
/// `Unsupported` where there is no DRM format of the same bytes.
pub fn from_name(name: &str) -> Result<Fourcc> {
    FORMATS.iter().find(|(known, _, _)| *known == name).map(|(_, _, fourcc)| *fourcc).ok_or_else(|| {
        Error::unsupported(OP, format!("caps: format \"{name}\" has no DRM name here"))
            .with_hint("put videoconvert before unixfdsink, e.g. ! videoconvert ! video/x-raw,format=RGBA !")
    })
}

/// The layout that GStreamer takes where a frame has no `GstVideoMeta`: rows padded to 4 bytes, planes one after the other.
///
/// # Errors
/// As [`Layout::new`].
pub fn default_layout(fourcc: Fourcc, size: Size) -> Result<Layout> {
    let format: &Format = fourcc.format()?;
    size.check()?;
    let vertical = format.planes.iter().map(|plane| plane.vertical_subsampling).max().unwrap_or(1);
    // Of an odd number of rows; formats that share chroma among four leave the luma as it is.
    let luma_rows = if vertical == 2 { size.height.next_multiple_of(2) } else { size.height };
    let mut planes: Vec<PlaneLayout> = Vec::new();
    let mut end = 0u64;
    for plane in format.planes {
        let stride = plane.row_bytes(size.width).next_multiple_of(4);
        let stride_bytes =
            u32::try_from(stride).map_err(|_| Error::invalid(OP, format!("{fourcc} {size}: rows too long")))?;
        planes.push(PlaneLayout { offset_bytes: end, stride_bytes });
        end += stride * u64::from(plane.rows(luma_rows));
    }
    Layout::new(fourcc, size, Modifier::LINEAR, &planes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers printed by GStreamer 1.26: `gst_video_info_set_format` of 7x5 and 22x9 pictures, offsets then strides.
    #[test]
    fn default_layouts_are_those_of_gstreamer() {
        type Case = (&'static str, Size, &'static [u64], &'static [u32]);
        let cases: &[Case] = &[
            ("RGBA", Size::new(7, 5), &[0], &[28]),
            ("RGBA", Size::new(22, 9), &[0], &[88]),
            ("RGB", Size::new(7, 5), &[0], &[24]),
            ("RGB", Size::new(22, 9), &[0], &[68]),
            ("RGB16", Size::new(7, 5), &[0], &[16]),
            ("RGB16", Size::new(22, 9), &[0], &[44]),
            ("GRAY8", Size::new(7, 5), &[0], &[8]),
            ("GRAY8", Size::new(22, 9), &[0], &[24]),
            ("GRAY16_LE", Size::new(7, 5), &[0], &[16]),
            ("GRAY16_LE", Size::new(22, 9), &[0], &[44]),
            ("I420", Size::new(7, 5), &[0, 48, 60], &[8, 4, 4]),
            ("I420", Size::new(22, 9), &[0, 240, 300], &[24, 12, 12]),
            ("YV12", Size::new(7, 5), &[0, 48, 60], &[8, 4, 4]),
            ("YV12", Size::new(22, 9), &[0, 240, 300], &[24, 12, 12]),
            ("Y42B", Size::new(7, 5), &[0, 40, 60], &[8, 4, 4]),
            ("Y42B", Size::new(22, 9), &[0, 216, 324], &[24, 12, 12]),
            ("Y444", Size::new(7, 5), &[0, 40, 80], &[8, 8, 8]),
            ("Y444", Size::new(22, 9), &[0, 216, 432], &[24, 24, 24]),
            ("Y41B", Size::new(7, 5), &[0, 40, 60], &[8, 4, 4]),
            ("Y41B", Size::new(22, 9), &[0, 216, 288], &[24, 8, 8]),
            ("YUV9", Size::new(7, 5), &[0, 40, 48], &[8, 4, 4]),
            ("YUV9", Size::new(22, 9), &[0, 216, 240], &[24, 8, 8]),
            ("NV12", Size::new(7, 5), &[0, 48], &[8, 8]),
            ("NV12", Size::new(22, 9), &[0, 240], &[24, 24]),
            ("NV16", Size::new(7, 5), &[0, 40], &[8, 8]),
            ("NV16", Size::new(22, 9), &[0, 216], &[24, 24]),
            ("NV24", Size::new(7, 5), &[0, 40], &[8, 16]),
            ("NV24", Size::new(22, 9), &[0, 216], &[24, 44]),
            ("P010_10LE", Size::new(7, 5), &[0, 96], &[16, 16]),
            ("P010_10LE", Size::new(22, 9), &[0, 440], &[44, 44]),
            ("YUY2", Size::new(7, 5), &[0], &[16]),
            ("YUY2", Size::new(22, 9), &[0], &[44]),
            ("VUYA", Size::new(7, 5), &[0], &[28]),
            ("VUYA", Size::new(22, 9), &[0], &[88]),
            ("Y210", Size::new(7, 5), &[0], &[32]),
            ("Y210", Size::new(22, 9), &[0], &[88]),
            ("Y410", Size::new(7, 5), &[0], &[28]),
            ("Y410", Size::new(22, 9), &[0], &[88]),
            ("Y412_LE", Size::new(7, 5), &[0], &[56]),
            ("Y412_LE", Size::new(22, 9), &[0], &[176]),
            ("RGBA64_LE", Size::new(7, 5), &[0], &[56]),
            ("RGBA64_LE", Size::new(22, 9), &[0], &[176]),
        ];
        for (name, size, offsets, strides) in cases {
            let layout = default_layout(from_name(name).unwrap(), *size).unwrap();
            let got: Vec<(u64, u32)> =
                layout.planes().iter().map(|plane| (plane.offset_bytes, plane.stride_bytes)).collect();
            let expected: Vec<(u64, u32)> = offsets.iter().copied().zip(strides.iter().copied()).collect();
            assert_eq!(got, expected, "{name} {size}");
        }
    }

    #[test]
    fn names_and_numbers_are_there_once() {
        for (name, number, fourcc) in FORMATS {
            assert_eq!(FORMATS.iter().filter(|row| row.0 == *name || row.1 == *number || row.2 == *fourcc).count(), 1);
            assert_eq!(from_name(name).unwrap(), *fourcc);
        }
        assert!(from_name("v210").unwrap_err().to_string().contains("videoconvert"));
        assert_eq!(number(Fourcc::NV15), DMA_DRM);
    }
}
