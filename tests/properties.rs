//! Layout arithmetic under any input: what is laid out fits, is aligned, does not overlap, and never wraps.

use darkframe::format::{FORMATS, Format, Modifier};
use darkframe::gles::yuv::PlaneWay;
use darkframe::gles::yuv::target::target_views;
use darkframe::layout::{Constraints, Layout, PlaneLayout, Size};
use proptest::prelude::*;

fn formats() -> impl Strategy<Value = &'static Format> {
    let linear: Vec<&Format> = FORMATS.iter().filter(|format| !format.needs_modifier).collect();
    prop::sample::select(linear)
}

fn constraints() -> impl Strategy<Value = Constraints> {
    let align = || prop::sample::select(vec![1u32, 2, 4, 8, 16, 48, 64, 128, 256, 4096]);
    (
        align(),
        align(),
        prop::sample::select(vec![1u32, 2, 8, 16, 32]),
        prop::sample::select(vec![1u32, 2, 16, 64]),
        align(),
        any::<bool>(),
    )
        .prop_map(|(stride, offset, rows, pixels, size, derived)| Constraints {
            stride_align_bytes: stride,
            offset_align_bytes: offset,
            height_align_rows: rows,
            width_align_pixels: pixels,
            size_align_bytes: size,
            derived_strides: derived,
            ..Constraints::NONE
        })
}

fn sizes() -> impl Strategy<Value = Size> {
    (1u32..5000, 1u32..5000).prop_map(|(width, height)| Size::new(width, height))
}

/// Every code of the table against the kernel's own header, where it is installed.
#[test]
fn every_code_is_the_kernels() {
    let places = ["/usr/include/drm/drm_fourcc.h", "/usr/include/libdrm/drm_fourcc.h"];
    let Some(header) = places.iter().find_map(|place| std::fs::read_to_string(place).ok()) else {
        println!("SKIP drm_fourcc.h: scripts/setup test installs it");
        return;
    };
    // #define DRM_FORMAT_NV12		fourcc_code('N', 'V', '1', '2') /* ... */
    let codes: Vec<(&str, u32)> = header
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("#define DRM_FORMAT_")?.split_once(char::is_whitespace)?;
            let (arguments, _) = rest.trim().strip_prefix("fourcc_code(")?.split_once(')')?;
            let letters: Vec<u32> =
                arguments.split('\'').skip(1).step_by(2).map(|c| c.chars().next().unwrap().into()).collect();
            let code = letters.iter().rev().fold(0u32, |code, letter| code << 8 | letter);
            Some((name, code))
        })
        .collect();
    assert!(codes.len() > 60, "{} formats in the header", codes.len());
    let mut compared = 0;
    for format in FORMATS {
        let Some((_, code)) = codes.iter().find(|(name, _)| *name == format.name) else {
            println!("{} is not in this version of the header", format.name);
            continue;
        };
        assert_eq!(format.fourcc.0, *code, "{}", format.name);
        compared += 1;
    }
    assert!(compared * 10 >= FORMATS.len() * 9, "only {compared} of {} are in the header", FORMATS.len());
}

proptest! {
    /// Planes as render targets hold every sample, and their last texel ends inside rows that are laid out for it.
    #[test]
    fn targets_cover_their_planes(format in formats(), size in sizes(), wanted in constraints()) {
        let four = Constraints { stride_align_bytes: 4, ..Constraints::NONE };
        let layout = Layout::linear(format.fourcc, size, &wanted.join(four).unwrap()).unwrap();
        for way in [PlaneWay::Views, PlaneWay::Packed] {
            let Ok(views) = target_views(format.fourcc, size, way) else { continue };
            prop_assert_eq!(views.len(), format.planes.len());
            for view in views {
                let texel = u64::from(view.fourcc.format().unwrap().planes[0].block_bytes);
                let bytes = u64::from(view.size.width) * texel;
                let stride = u64::from(layout.planes()[view.plane].stride_bytes);
                prop_assert!(bytes >= layout.row_bytes(view.plane) && bytes <= stride, "{} {}", layout, way);
                prop_assert_eq!(view.size.height, layout.rows(view.plane));
            }
        }
    }

    #[test]
    fn linear_layouts_keep_what_was_asked(format in formats(), size in sizes(), wanted in constraints()) {
        let layout = Layout::linear(format.fourcc, size, &wanted).unwrap();
        let bytes = layout.allocation_bytes(&wanted).unwrap();
        prop_assert_eq!(bytes % u64::from(wanted.size_align_bytes), 0);
        let mut end = 0;
        for (index, plane) in layout.planes().iter().enumerate() {
            // Planes follow one another without overlap.
            prop_assert!(plane.offset_bytes >= end, "{} overlaps", layout);
            prop_assert_eq!(plane.offset_bytes % u64::from(wanted.offset_align_bytes), 0);
            prop_assert_eq!(plane.stride_bytes % wanted.stride_align_bytes, 0, "{}", layout);
            // The padded width fits into every row, the padded height into every plane.
            let width = size.width.next_multiple_of(wanted.width_align_pixels);
            prop_assert!(u64::from(plane.stride_bytes) >= format.planes[index].row_bytes(width), "{}", layout);
            let rows = format.planes[index].rows(size.height.next_multiple_of(wanted.height_align_rows));
            prop_assert!(plane.offset_bytes + u64::from(plane.stride_bytes) * u64::from(rows) <= bytes, "{}", layout);
            end = layout.plane_end(index).unwrap();
            layout.check_fits(index, bytes).unwrap();
            prop_assert!(layout.check_fits(index, end - 1).is_err());
        }
    }

    #[test]
    fn derived_strides_follow_from_the_first(size in sizes(), wanted in constraints()) {
        // What V4L2's single-planar API says of these formats: chroma strides are the luma stride, or half of it.
        let wanted = Constraints { derived_strides: true, ..wanted };
        for (format, half) in [("NV12", false), ("NV16", false), ("P010", false), ("YUV420", true), ("YUV422", true)] {
            let layout = Layout::linear(format.parse().unwrap(), size, &wanted).unwrap();
            let luma = layout.planes()[0].stride_bytes;
            for plane in &layout.planes()[1..] {
                prop_assert_eq!(plane.stride_bytes, if half { luma / 2 } else { luma }, "{}", layout);
            }
        }
    }

    #[test]
    fn joined_constraints_satisfy_both(a in constraints(), b in constraints(), size in sizes()) {
        let joined = a.join(b).unwrap();
        prop_assert_eq!(joined, b.join(a).unwrap());
        prop_assert_eq!(joined, joined.join(a).unwrap());
        let layout = Layout::linear("NV12".parse().unwrap(), size, &joined).unwrap();
        for wanted in [a, b] {
            for plane in layout.planes() {
                prop_assert_eq!(plane.stride_bytes % wanted.stride_align_bytes, 0);
                prop_assert_eq!(plane.offset_bytes % u64::from(wanted.offset_align_bytes), 0);
            }
        }
    }

    /// Any numbers from outside: an answer, never a panic and never a wrapped sum.
    #[test]
    fn foreign_layouts_are_judged_without_wrapping(
        format in formats(),
        width in any::<u32>(),
        height in any::<u32>(),
        planes in prop::collection::vec((any::<u64>(), any::<u32>()), 0..6),
        modifier in prop::sample::select(vec![Modifier::LINEAR, Modifier::INVALID, Modifier(0x0800_0000_0000_0051)]),
        object in any::<u64>(),
    ) {
        let planes: Vec<PlaneLayout> =
            planes.into_iter().map(|(offset_bytes, stride_bytes)| PlaneLayout { offset_bytes, stride_bytes }).collect();
        if let Ok(layout) = Layout::new(format.fourcc, Size::new(width, height), modifier, &planes) {
            for (index, plane) in planes.iter().enumerate() {
                if layout.check_fits(index, object).is_ok() {
                    // In 128 bits nothing wraps: the sum of the specification, computed apart.
                    let rows = u128::from(layout.rows(index).max(1));
                    let sum = u128::from(plane.offset_bytes) + u128::from(plane.stride_bytes) * (rows - 1);
                    let linear = modifier != Modifier(0x0800_0000_0000_0051);
                    prop_assert!(!linear || sum + u128::from(layout.row_bytes(index)) <= u128::from(object));
                }
            }
        }
    }
}
