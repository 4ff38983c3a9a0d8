//! YUV both ways against double precision (`common::bt`): every format drawn, with every matrix, range and siting.

mod common;

use common::bt;
use darkframe::board::Board;
use darkframe::color::{Color, Matrix, Range, Siting};
use darkframe::device::Device;
use darkframe::egl::{Context, ContextOptions, Display};
use darkframe::format::{Component, Fourcc};
use darkframe::gles::yuv::{PlaneWay, PlaneWriter, target};
use darkframe::gles::{Framebuffer, Gl, Texture, TextureOptions, read_pixels};
use darkframe::layout::Size;

/// Runs on contexts of OpenGL ES 2.0 and of the newest version; skips where there is no driver.
fn with_contexts(work: impl Fn(&Gl)) {
    let device = Device::open(&Board::generic()).unwrap();
    let Some(display) = common::or_skip("gpu", Display::open(&device)) else { return };
    for max_version in [None, Some((2, 0))] {
        let options = ContextOptions { max_version, ..ContextOptions::default() };
        let context = Context::with_options(&display, &options).unwrap();
        work(&context.make_current().unwrap());
    }
}

/// A pixel of a picture, as codes of 8 bits.
type Picture = fn(usize, usize, Size) -> [u8; 3];

fn solid(_: usize, _: usize, _: Size) -> [u8; 3] {
    [200, 30, 90]
}

fn gradient(x: usize, y: usize, size: Size) -> [u8; 3] {
    let part = |at: usize, of: u32| (at * 255 / (of as usize - 1).max(1)) as u8;
    [part(x, size.width), part(y, size.height), part(x + y, size.width + size.height - 1)]
}

/// Every code, and steps between neighbours.
fn noise(x: usize, y: usize, size: Size) -> [u8; 3] {
    [0, 1, 2].map(|c| {
        let seed = ((y * size.width as usize + x) * 3 + c) as u32 + 1;
        let mixed = (seed ^ (seed << 13)).wrapping_mul(2_654_435_761);
        ((mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
    })
}

const PICTURES: [(&str, Picture); 3] = [("solid", solid), ("gradient", gradient), ("noise", noise)];

/// The formats that are drawn, and columns and rows of luma for one of chroma, from `drm_fourcc.h`.
const TARGETS: [(Fourcc, (usize, usize)); 21] = [
    (Fourcc::NV12, (2, 2)),
    (Fourcc::NV21, (2, 2)),
    (Fourcc::NV16, (2, 1)),
    (Fourcc::NV61, (2, 1)),
    (Fourcc::NV24, (1, 1)),
    (Fourcc::NV42, (1, 1)),
    (Fourcc::YUV420, (2, 2)),
    (Fourcc::YVU420, (2, 2)),
    (Fourcc::YUV422, (2, 1)),
    (Fourcc::YUV444, (1, 1)),
    (Fourcc::P010, (2, 2)),
    (Fourcc::P012, (2, 2)),
    (Fourcc::P016, (2, 2)),
    (Fourcc::P210, (2, 1)),
    (Fourcc::YUYV, (2, 1)),
    (Fourcc::YVYU, (2, 1)),
    (Fourcc::UYVY, (2, 1)),
    (Fourcc::VYUY, (2, 1)),
    (Fourcc::AYUV, (1, 1)),
    (Fourcc::XYUV8888, (1, 1)),
    (Fourcc::AVUY8888, (1, 1)),
];

fn colors() -> impl Iterator<Item = Color> {
    Matrix::ALL.into_iter().flat_map(|matrix| {
        [Range::Limited, Range::Full].into_iter().map(move |range| Color { matrix, range, ..Color::HD })
    })
}

fn upload(gl: &Gl, size: Size, picture: Picture) -> Texture {
    let texture = Texture::new(gl, size, &TextureOptions::default()).unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let pixels = (0..width * height).flat_map(|at| {
        let [r, g, b] = picture(at % width, at / width, size);
        [r, g, b, 0x77]
    });
    texture.upload(gl, &pixels.collect::<Vec<u8>>(), size.width * 4).unwrap();
    texture
}

/// The bytes of each plane, rows without padding.
fn drawn(gl: &Gl, fourcc: Fourcc, size: Size, color: Color, way: PlaneWay, texture: &Texture) -> Option<Vec<Vec<u8>>> {
    let views = target::target_views(fourcc, size, way).unwrap();
    let make = |view: &darkframe::gles::PlaneView| {
        let options = TextureOptions { fourcc: view.fourcc, ..TextureOptions::default() };
        Framebuffer::new(gl, Texture::new(gl, view.size, &options)?)
    };
    let targets: Result<Vec<Framebuffer>, _> = views.iter().map(make).collect();
    let targets = match (targets, way) {
        (Ok(targets), _) => targets,
        // Four bytes a texel work everywhere.
        (Err(error), PlaneWay::Packed) => panic!("{fourcc}: {error}"),
        (Err(error), _) => {
            assert_eq!(error.kind(), darkframe::error::ErrorKind::Unsupported, "{error}");
            return None;
        }
    };
    let writer = PlaneWriter::new(gl, fourcc, size, color, way, texture.swizzle()).unwrap();
    writer.draw(gl, texture, &targets).unwrap();
    let format = fourcc.format().unwrap();
    let mut planes = Vec::new();
    for ((view, target), plane) in views.iter().zip(&targets).zip(format.planes) {
        let mut pixels = vec![0; view.size.pixels() as usize * 4];
        read_pixels(gl, target, &mut pixels).unwrap();
        let texel_bytes = view.fourcc.format().unwrap().planes[0].block_bytes as usize;
        let row = plane.row_bytes(size.width) as usize;
        let rows = pixels.chunks(view.size.width as usize * 4);
        planes.push(
            rows.flat_map(|pixels| {
                let bytes = pixels.chunks(4).flat_map(|texel| &texel[..texel_bytes.min(4)]).copied();
                bytes.take(row).collect::<Vec<u8>>()
            })
            .collect(),
        );
    }
    Some(planes)
}

/// Compares planes of bytes with codes that are not rounded; gives the largest distance.
fn furthest(fourcc: Fourcc, size: Size, got: &[Vec<u8>], wanted: &bt::Planes) -> f64 {
    let packing = fourcc.packing().unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let mut furthest = 0.0f64;
    for (plane, bytes) in got.iter().enumerate() {
        let samples = packing.planes[plane];
        let luma_columns = packing.luma_columns(plane);
        let rows = if samples.contains(&Component::Y) { height } else { wanted.chroma.1 };
        let row_bytes = bytes.len() / rows;
        for (row, bytes) in bytes.chunks(row_bytes).enumerate() {
            for (block, bytes) in bytes.chunks(samples.len() * packing.sample_bytes).enumerate() {
                let mut odd = 0;
                for (component, sample) in samples.iter().zip(bytes.chunks(packing.sample_bytes)) {
                    let code = f64::from(packing.load(sample));
                    let expected = match component {
                        Component::Y => {
                            let column = block * luma_columns + odd;
                            odd += 1;
                            // Beyond an odd width lies what the edge repeats.
                            wanted.y[row * width + column.min(width - 1)]
                        }
                        Component::Cb => wanted.cb[row * wanted.chroma.0 + block],
                        Component::Cr => wanted.cr[row * wanted.chroma.0 + block],
                        Component::Alpha => f64::from(0x77),
                        Component::X => 255.0,
                    };
                    let most = f64::from((1u32 << packing.bits) - 1);
                    furthest = furthest.max((code - expected.clamp(0.0, most)).abs());
                }
            }
        }
    }
    furthest
}

/// Largest distance allowed from codes that are not rounded: half a code is rounding.
fn allowed(bits: u8) -> f64 {
    match bits {
        8 => 1.0,
        10 => 4.0,
        // 8-bit pictures in, floats of 24 bits on the way.
        bits => f64::from(1u32 << (bits - 8)),
    }
}

#[test]
fn every_target_is_exact() {
    with_contexts(|gl| {
        let mut views = 0;
        for (fourcc, subsampling) in TARGETS {
            let bits = fourcc.packing().unwrap().bits;
            for size in [Size::new(16, 8), Size::new(13, 7)] {
                for (name, picture) in PICTURES {
                    let texture = upload(gl, size, picture);
                    let pixel = |x, y| picture(x, y, size).map(|code| f64::from(code) / 255.0);
                    for color in colors() {
                        for siting in [Siting::Left, Siting::Center, Siting::TopLeft] {
                            // Sitings matter where chroma is apart, and are the same for every matrix.
                            if siting != Siting::Left && (subsampling == (1, 1) || color.matrix != Matrix::Bt709) {
                                continue;
                            }
                            let color = Color { siting, ..color };
                            let bounds = (size.width as usize, size.height as usize);
                            let wanted = bt::planes(color, u32::from(bits), bounds, subsampling, pixel);
                            for way in [PlaneWay::Packed, PlaneWay::Views] {
                                if way == PlaneWay::Views && bits > 8 {
                                    continue;
                                }
                                let Some(got) = drawn(gl, fourcc, size, color, way, &texture) else { continue };
                                views += u32::from(way == PlaneWay::Views);
                                let distance = furthest(fourcc, size, &got, &wanted);
                                let what = format!("{fourcc} {size} {name} {color:?} {way}");
                                assert!(distance <= allowed(bits), "{what}: {distance} codes off");
                            }
                        }
                    }
                }
            }
        }
        println!("{}: {views} pictures drawn into planes of their own formats", gl.caps().version_text);
    });
}
