//! YUV both ways against double precision (`common::bt`): every format drawn, with every matrix, range and siting.

mod common;

use std::path::{Path, PathBuf};

use common::bt;
use darkframe::board::Board;
use darkframe::color::{Color, Matrix, Range, Siting};
use darkframe::device::Device;
use darkframe::egl::{Context, ContextOptions, Display};
use darkframe::error::ErrorKind;
use darkframe::format::{Component, Fourcc};
use darkframe::gles::yuv::{PlaneWay, PlaneWriter, target};
use darkframe::gles::{Framebuffer, Gl, PlaneView, Texture, TextureOptions, read_pixels};
use darkframe::layout::Size;
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::{Description, Report};

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

/// The passes of one format, and what they draw into.
struct Planes {
    writer: PlaneWriter,
    views: Vec<PlaneView>,
    targets: Vec<Framebuffer>,
    fourcc: Fourcc,
    size: Size,
}

impl Planes {
    /// `None` where the context does not render to the planes' own formats.
    fn new(gl: &Gl, fourcc: Fourcc, size: Size, color: Color, way: PlaneWay) -> Option<Self> {
        let views = target::target_views(fourcc, size, way).unwrap();
        let make = |view: &PlaneView| {
            let options = TextureOptions { fourcc: view.fourcc, ..TextureOptions::default() };
            Framebuffer::new(gl, Texture::new(gl, view.size, &options)?)
        };
        let targets: Result<Vec<Framebuffer>, _> = views.iter().map(make).collect();
        let targets = match (targets, way) {
            (Ok(targets), _) => targets,
            // Four bytes a texel work everywhere.
            (Err(error), PlaneWay::Packed) => panic!("{fourcc}: {error}"),
            (Err(error), _) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                return None;
            }
        };
        let writer = PlaneWriter::new(gl, fourcc, size, color, way, "rgba").unwrap();
        Some(Self { writer, views, targets, fourcc, size })
    }

    /// The bytes of each plane, rows without padding.
    fn draw(&self, gl: &Gl, texture: &Texture) -> Vec<Vec<u8>> {
        self.writer.draw(gl, texture, &self.targets).unwrap();
        let format = self.fourcc.format().unwrap();
        let mut planes = Vec::new();
        for ((view, target), plane) in self.views.iter().zip(&self.targets).zip(format.planes) {
            let mut pixels = vec![0; view.size.pixels() as usize * 4];
            read_pixels(gl, target, &mut pixels).unwrap();
            let texel_bytes = view.fourcc.format().unwrap().planes[0].block_bytes as usize;
            let row = plane.row_bytes(self.size.width) as usize;
            let rows = pixels.chunks(view.size.width as usize * 4);
            let bytes = rows.flat_map(|pixels| pixels.chunks(4).flat_map(|texel| &texel[..texel_bytes]).take(row));
            planes.push(bytes.copied().collect());
        }
        planes
    }
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
        let mut own = 0;
        for (fourcc, subsampling) in TARGETS {
            let bits = fourcc.packing().unwrap().bits;
            let mut cases: Vec<(Size, Color, PlaneWay)> =
                colors().map(|color| (Size::new(13, 7), color, PlaneWay::Packed)).collect();
            for siting in [Siting::Left, Siting::Center, Siting::TopLeft] {
                for way in [PlaneWay::Packed, PlaneWay::Views] {
                    let size = if siting == Siting::Left { Size::new(16, 8) } else { Size::new(13, 7) };
                    cases.push((size, Color { siting, ..Color::HD }, way));
                }
            }
            for (size, color, way) in cases {
                // Of 16 bits glReadPixels gives eight.
                if way == PlaneWay::Views && bits > 8 {
                    continue;
                }
                let Some(planes) = Planes::new(gl, fourcc, size, color, way) else { continue };
                own += u32::from(way == PlaneWay::Views);
                for (name, picture) in PICTURES {
                    let pixel = |x, y| picture(x, y, size).map(|code| f64::from(code) / 255.0);
                    let bounds = (size.width as usize, size.height as usize);
                    let wanted = bt::planes(color, u32::from(bits), bounds, subsampling, pixel);
                    let distance = furthest(fourcc, size, &planes.draw(gl, &upload(gl, size, picture)), &wanted);
                    assert!(distance <= allowed(bits), "{fourcc} {size} {name} {color:?}, {way}: {distance} codes off");
                }
            }
        }
        println!("{}: {own} formats drawn into planes of their own formats", gl.caps().version_text);
    });
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-yuv-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a description; `None` where there is no driver.
fn run(text: &str) -> Option<Report> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/test.toml");
    let description = Description::parse(path, text).unwrap_or_else(|error| panic!("{error}"));
    common::or_skip("gpu", runner::run(&description, Options::default()))
}

/// Frames of noise as raw RGBA.
fn rgba(size: Size, frames: usize) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let pixel = |at: usize| {
        let [r, g, b] = noise(at % width, at / width, size);
        [r, g, b, 255]
    };
    (0..width * height * frames).flat_map(pixel).collect()
}

/// A pass that copies raw RGBA into planes of `format`.
fn planes_text(folder: &Folder, size: Size, format: &str, color: &str, sinks: &str) -> String {
    format!(
        "[source.s]\nfile = \"{}\"\nformat = \"ABGR8888\"\nsize = \"{size}\"\nrate = 5\n\
         [pass.p]\nshader = \"copy.frag\"\ninputs = {{ source = \"s\" }}\nformat = \"{format}\"\ncolor = {color}\n{sinks}",
        folder.file("in.rgba").display()
    )
}

#[test]
fn a_pass_makes_planes_and_sinks_take_them_as_they_are() {
    let folder = Folder::new("pass");
    let (raw, y4m) = (folder.file("out.raw"), folder.file("out.y4m"));
    for (format, subsampling, siting, tag) in [
        ("NV12", (2, 2), "left", "420mpeg2"),
        ("NV21", (2, 2), "center", "420jpeg"),
        ("NV16", (2, 1), "left", "422"),
        ("YUV420", (2, 2), "center", "420jpeg"),
        ("P010", (2, 2), "left", "420p10"),
        ("YUYV", (2, 1), "left", "422"),
    ] {
        for size in [Size::new(32, 18), Size::new(21, 11)] {
            let (width, height) = (size.width as usize, size.height as usize);
            std::fs::write(folder.file("in.rgba"), rgba(size, 3)).unwrap();
            let color = format!("{{ matrix = \"bt709\", range = \"limited\", siting = \"{siting}\" }}");
            let sinks = format!(
                "[sink.r]\ninput = \"p\"\nkind = \"raw\"\nfile = \"{}\"\n[sink.y]\ninput = \"p\"\nfile = \"{}\"\n",
                raw.display(),
                y4m.display()
            );
            let Some(report) = run(&planes_text(&folder, size, format, &color, &sinks)) else { return };
            assert_eq!((report.frames, report.sinks[0].pictures), (3, 3));
            println!("{format} {size}: {} {}", report.sinks[0].path, report.sinks[0].binding);
            let fourcc: Fourcc = format.parse().unwrap();
            let siting = if siting == "left" { Siting::Left } else { Siting::Center };
            let color = Color { siting, ..Color::HD };
            let bits = fourcc.packing().unwrap().bits;
            let pixel = |x, y| noise(x, y, size).map(|code| f64::from(code) / 255.0);
            let wanted = bt::planes(color, u32::from(bits), (width, height), subsampling, pixel);
            // Raw: planes one after the other, rows without padding.
            let lengths: Vec<usize> = fourcc
                .format()
                .unwrap()
                .planes
                .iter()
                .map(|plane| plane.row_bytes(size.width) as usize * plane.rows(size.height) as usize)
                .collect();
            let bytes = std::fs::read(&raw).unwrap();
            assert_eq!(bytes.len(), 3 * lengths.iter().sum::<usize>(), "{format} {size}");
            for frame in bytes.chunks(lengths.iter().sum()) {
                let mut rest = frame;
                let mut planes = Vec::new();
                for length in &lengths {
                    planes.push(rest[..*length].to_vec());
                    rest = &rest[*length..];
                }
                // The noise repeats from frame to frame only where frames are as long as its period: the first counts.
                if frame.as_ptr() == bytes.as_ptr() {
                    let distance = furthest(fourcc, size, &planes, &wanted);
                    // The 10-bit picture between is one of 10 bits: half a code of it more.
                    assert!(distance <= allowed(bits), "{format} {size}: {distance} codes off");
                }
            }
            // y4m: planes Y, Cb, Cr.
            let file = std::fs::read(&y4m).unwrap();
            let line = file.iter().position(|byte| *byte == b'\n').unwrap();
            let header = String::from_utf8_lossy(&file[..line]).into_owned();
            assert!(header.contains(&format!(" C{tag} ")) && header.contains("LIMITED"), "{header}");
            let deep = bits > 8;
            let samples: Vec<f64> = match deep {
                true => {
                    file[line + 7..].chunks(2).map(|pair| f64::from(u16::from_le_bytes([pair[0], pair[1]]))).collect()
                }
                false => file[line + 7..].iter().map(|byte| f64::from(*byte)).collect(),
            };
            let all = [&wanted.y[..], &wanted.cb, &wanted.cr].concat();
            for (index, (got, wanted)) in samples.iter().zip(&all).enumerate() {
                assert!((got - wanted).abs() <= allowed(bits), "{format} {size}: sample {index} is {got} for {wanted}");
            }
        }
    }
    // A PNG of planes is an error that says what to do.
    let text = planes_text(&folder, Size::new(21, 11), "NV12", "{}", "[sink.s]\ninput = \"p\"\nfile = \"a.png\"\n");
    let description = Description::parse("shaders/test.toml", text).unwrap();
    let error = runner::run(&description, Options::default()).unwrap_err().to_string();
    assert!(error.contains("PNG files are RGB") && error.contains("without `format`"), "{error}");
}
