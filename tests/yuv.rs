//! YUV both ways against double precision (`common::bt`): every format drawn, with every matrix, range and siting.

mod common;

use std::path::{Path, PathBuf};

use common::{bt, documented};
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

/// Every matrix and range; two where the machine is emulated, which takes a second for each: the arithmetic is the same there.
fn colors() -> impl Iterator<Item = Color> {
    let few = if std::env::var_os("DARKFRAME_VM").is_some() { 2 } else { usize::MAX };
    let all = Matrix::ALL.into_iter().flat_map(|matrix| {
        [Range::Limited, Range::Full].into_iter().map(move |range| Color { matrix, range, ..Color::HD })
    });
    all.take(few)
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
            let way = format!("{}: {}", report.sinks[0].path, report.sinks[0].binding);
            println!("{format} {size}: {way}");
            if let Some(tier) = documented::tier(&report.driver, None) {
                assert_eq!(
                    way,
                    documented::cell("As targets of passes", format, tier),
                    "docs/formats.md, {format}, {tier}"
                );
            }
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
    assert!(error.contains("PNG and JPEG files are RGB") && error.contains("without `format`"), "{error}");
}

/// How the samples of a source format lie in memory; `drm_fourcc.h`, spelled out here.
#[derive(Clone, Copy)]
enum Order {
    /// Luma, then chroma in pairs.
    Pairs { cb_first: bool },
    /// Three planes.
    Planes { cb_first: bool },
    /// The letters of a group of two pixels.
    Two(&'static str),
    /// The letters of a pixel.
    One(&'static str),
    /// As `Pairs`, four samples in five bytes.
    Tight,
    /// Cb, Y, Cr of ten bits and two of alpha, from the lowest bit up.
    Tens,
}

/// Format, columns and rows of luma for one of chroma, bits, bytes of a sample, order.
type Source = (&'static str, (usize, usize), u32, usize, Order);

const SOURCES: [Source; 36] = [
    ("NV12", (2, 2), 8, 1, Order::Pairs { cb_first: true }),
    ("NV21", (2, 2), 8, 1, Order::Pairs { cb_first: false }),
    ("NV16", (2, 1), 8, 1, Order::Pairs { cb_first: true }),
    ("NV61", (2, 1), 8, 1, Order::Pairs { cb_first: false }),
    ("NV24", (1, 1), 8, 1, Order::Pairs { cb_first: true }),
    ("NV42", (1, 1), 8, 1, Order::Pairs { cb_first: false }),
    ("P010", (2, 2), 10, 2, Order::Pairs { cb_first: true }),
    ("P012", (2, 2), 12, 2, Order::Pairs { cb_first: true }),
    ("P016", (2, 2), 16, 2, Order::Pairs { cb_first: true }),
    ("P210", (2, 1), 10, 2, Order::Pairs { cb_first: true }),
    ("NV15", (2, 2), 10, 0, Order::Tight),
    ("NV20", (2, 1), 10, 0, Order::Tight),
    ("YU12", (2, 2), 8, 1, Order::Planes { cb_first: true }),
    ("YV12", (2, 2), 8, 1, Order::Planes { cb_first: false }),
    ("YU16", (2, 1), 8, 1, Order::Planes { cb_first: true }),
    ("YV16", (2, 1), 8, 1, Order::Planes { cb_first: false }),
    ("YU24", (1, 1), 8, 1, Order::Planes { cb_first: true }),
    ("YV24", (1, 1), 8, 1, Order::Planes { cb_first: false }),
    ("YU11", (4, 1), 8, 1, Order::Planes { cb_first: true }),
    ("YUV9", (4, 4), 8, 1, Order::Planes { cb_first: true }),
    ("Q410", (1, 1), 10, 2, Order::Planes { cb_first: true }),
    ("YUYV", (2, 1), 8, 1, Order::Two("yuYv")),
    ("YVYU", (2, 1), 8, 1, Order::Two("yvYu")),
    ("UYVY", (2, 1), 8, 1, Order::Two("uyvY")),
    ("VYUY", (2, 1), 8, 1, Order::Two("vyuY")),
    ("Y210", (2, 1), 10, 2, Order::Two("yuYv")),
    ("Y212", (2, 1), 12, 2, Order::Two("yuYv")),
    ("Y216", (2, 1), 16, 2, Order::Two("yuYv")),
    ("AYUV", (1, 1), 8, 1, Order::One("vuya")),
    ("XYUV", (1, 1), 8, 1, Order::One("vuyx")),
    ("AVUY", (1, 1), 8, 1, Order::One("yuva")),
    ("VU24", (1, 1), 8, 1, Order::One("yuv")),
    ("Y412", (1, 1), 12, 2, Order::One("uyva")),
    ("Y416", (1, 1), 16, 2, Order::One("uyva")),
    ("Y410", (1, 1), 10, 0, Order::Tens),
    ("XV30", (1, 1), 10, 0, Order::Tens),
];

/// A picture of codes: solid colour, gradient, noise.
fn codes_of(kind: usize, size: Size, (hs, vs): (usize, usize), bits: u32) -> bt::Planes {
    let most = f64::from((1u32 << bits) - 1);
    let at = |x: usize, y: usize, c: usize, width: usize, height: usize| -> f64 {
        let part = match kind {
            0 => [165.0, 145.0, 40.0][c] / 255.0,
            1 => [x as f64 / width as f64, y as f64 / height as f64, (x + y) as f64 / (width + height) as f64][c],
            _ => {
                let seed = (((y * 977 + x) * 3 + c) as u32 + 1).wrapping_mul(2_654_435_761);
                f64::from((seed ^ (seed >> 15)).wrapping_mul(2_246_822_519) >> 8) / f64::from(1u32 << 24)
            }
        };
        (part * most).round()
    };
    let (width, height) = (size.width as usize, size.height as usize);
    let chroma = (width.div_ceil(hs), height.div_ceil(vs));
    let plane = |c: usize, (w, h): (usize, usize)| (0..w * h).map(|i| at(i % w, i / w, c, w, h)).collect();
    bt::Planes { y: plane(0, (width, height)), cb: plane(1, chroma), cr: plane(2, chroma), chroma }
}

/// The bytes of a frame, planes one after the other, rows tight (NV15: of whole groups).
fn encode((_, _, bits, bytes, order): Source, size: Size, planes: &bt::Planes) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let sample = |code: f64, out: &mut Vec<u8>| match bytes {
        1 => out.push(code as u8),
        _ => out.extend(((code as u32) << (16 - bits)).to_le_bytes()[..2].iter()),
    };
    let mut out = Vec::new();
    let chroma = planes.chroma;
    match order {
        Order::Pairs { cb_first } => {
            planes.y.iter().for_each(|code| sample(*code, &mut out));
            for (cb, cr) in planes.cb.iter().zip(&planes.cr) {
                let (first, second) = if cb_first { (cb, cr) } else { (cr, cb) };
                sample(*first, &mut out);
                sample(*second, &mut out);
            }
        }
        Order::Planes { cb_first } => {
            let (first, second) = if cb_first { (&planes.cb, &planes.cr) } else { (&planes.cr, &planes.cb) };
            [&planes.y, first, second].into_iter().flatten().for_each(|code| sample(*code, &mut out));
        }
        Order::Two(letters) | Order::One(letters) => {
            let group = if matches!(order, Order::Two(_)) { 2 } else { 1 };
            for y in 0..height {
                for x in (0..width).step_by(group) {
                    for letter in letters.chars() {
                        let c = y * chroma.0 + x / group;
                        sample(
                            match letter {
                                'y' => planes.y[y * width + x],
                                'Y' => planes.y[y * width + (x + 1).min(width - 1)],
                                'u' => planes.cb[c],
                                'v' => planes.cr[c],
                                _ => f64::from((1u32 << bits) - 1),
                            },
                            &mut out,
                        );
                    }
                }
            }
        }
        Order::Tight => {
            let mut row = |codes: Vec<f64>| {
                for four in codes.chunks(4) {
                    let word = four.iter().rev().fold(0u64, |word, code| word << 10 | *code as u64);
                    out.extend(&word.to_le_bytes()[..5]);
                }
            };
            planes.y.chunks(width).for_each(|codes| row(codes.to_vec()));
            for (cb, cr) in planes.cb.chunks(chroma.0).zip(planes.cr.chunks(chroma.0)) {
                row(cb.iter().zip(cr).flat_map(|(cb, cr)| [*cb, *cr]).collect());
            }
        }
        Order::Tens => {
            for at in 0..width * height {
                let [y, cb, cr] = [planes.y[at], planes.cb[at], planes.cr[at]].map(|code| code as u32);
                out.extend((3 << 30 | cr << 20 | y << 10 | cb).to_le_bytes());
            }
        }
    }
    out
}

/// Every source format, matrix and range: three pictures each, in one run of ten sources.
fn check_source(folder: &Folder, source: Source, max_version: Option<(u8, u8)>) -> Option<Report> {
    let (format, subsampling, bits, ..) = source;
    // Tight rows end with whole groups: the size is odd elsewhere.
    let size = if matches!(source.4, Order::Tight) { Size::new(24, 11) } else { Size::new(21, 11) };
    let pictures: Vec<bt::Planes> = (0..3).map(|kind| codes_of(kind, size, subsampling, bits)).collect();
    let input = folder.file(&format!("{format}.raw"));
    let frames: Vec<u8> = pictures.iter().flat_map(|planes| encode(source, size, planes)).collect();
    std::fs::write(&input, frames).unwrap();
    // OpenGL ES 2 mixes chroma with the driver's precision: there each pixel takes the sample of its own block.
    let nearest = max_version.is_some();
    let mut text = String::new();
    let colors: Vec<Color> = colors().collect();
    for (index, color) in colors.iter().enumerate() {
        let range = if color.range == Range::Full { "full" } else { "limited" };
        text.push_str(&format!(
            "[source.s{index}]\nfile = \"{}\"\nformat = \"{format}\"\nsize = \"{size}\"\nrate = 5\n\
             color = {{ matrix = \"{}\", range = \"{range}\" }}\n\
             [pass.p{index}]\nshader = \"copy.frag\"\ninputs = {{ source = \"s{index}\" }}\nfilter = \"{}\"\n\
             [sink.o{index}]\ninput = \"p{index}\"\nkind = \"raw\"\nfile = \"{}\"\n",
            input.display(),
            color.matrix,
            if nearest { "nearest" } else { "linear" },
            folder.file(&format!("{index}.rgba")).display()
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/test.toml");
    let description = Description::parse(path, text).unwrap();
    let options = Options { max_version, ..Options::default() };
    let report = common::or_skip("gpu", runner::run(&description, options))?;
    // A driver's own conversion may have 8-bit coefficients; pictures narrowed to 8 bits have half a code more of each sample.
    let eight = ["NV12", "NV16", "YUYV", "YUV444", "AYUV", "XYUV8888"];
    let is_narrowed = |note: &String| eight.iter().any(|format| note.contains(&format!("unpacked as {format}")));
    let narrowed = report.sources[0].notes.iter().any(is_narrowed);
    let external = report.sources[0].binding == "external image";
    let (width, height) = (size.width as usize, size.height as usize);
    for (index, color) in colors.iter().enumerate() {
        let allowed = if narrowed {
            2.6
        } else if external {
            2.5
        } else {
            1.0
        };
        let bytes = std::fs::read(folder.file(&format!("{index}.rgba"))).unwrap();
        assert_eq!(bytes.len(), 3 * width * height * 4, "{format}");
        for (kind, (planes, pixels)) in pictures.iter().zip(bytes.chunks(width * height * 4)).enumerate() {
            for (at, pixel) in pixels.chunks(4).enumerate() {
                let (x, y) = (at % width, at / width);
                let chroma = |plane: &[f64]| match nearest {
                    true => plane[(y / subsampling.1) * planes.chroma.0 + x / subsampling.0],
                    false => bt::chroma_at(plane, planes.chroma, subsampling, Siting::Left, (x, y)),
                };
                let wanted = bt::rgb(*color, bits, [planes.y[at], chroma(&planes.cb), chroma(&planes.cr)]);
                for (got, wanted) in pixel.iter().zip(wanted) {
                    let distance = (f64::from(*got) - wanted * 255.0).abs();
                    assert!(
                        distance <= allowed,
                        "{format} {color:?}, picture {kind}, ({x}, {y}): {pixel:?} is {distance:.2} off {:?}, {:?}",
                        wanted * 255.0,
                        report.sources[0]
                    );
                }
            }
        }
    }
    Some(report)
}

/// Prints the table of docs/formats.md.
#[test]
fn every_source_is_exact() {
    let folder = Folder::new("sources");
    // An emulated machine is slow, and its driver's OpenGL ES 2 is the host's.
    let versions: &[_] = if std::env::var_os("DARKFRAME_VM").is_some() { &[None] } else { &[None, Some((2, 0))] };
    for &max_version in versions {
        println!("sources, OpenGL ES {}", max_version.map_or("newest", |_| "2.0"));
        for source in SOURCES {
            let Some(report) = check_source(&folder, source, max_version) else { return };
            let name = source.0.parse::<Fourcc>().unwrap().to_string();
            let edge = &report.sources[0];
            let unpacked = edge.notes.iter().find_map(|note| note.split_once("unpacked as ")?.1.split(' ').next());
            let way = match unpacked {
                Some(other) => format!("unpacked as {other}, {}", edge.binding.trim_start_matches("texture ")),
                None => edge.binding.clone(),
            };
            println!("| {name} | {way} |");
            if let Some(tier) = documented::tier(&report.driver, max_version) {
                assert_eq!(way, documented::cell("As sources", &name, tier), "docs/formats.md, {name}, {tier}");
            }
        }
    }
}

/// One conversion after another, with the arithmetic of the texts.
#[test]
fn colours_are_converted_in_light() {
    let folder = Folder::new("convert");
    let size = Size::new(64, 24);
    let (width, height) = (64, 24);
    let pixel = |at: usize| {
        let (x, y) = (at % width, at / width);
        let [r, g, b] = if y < 12 { gradient(x, y, size) } else { noise(x, y, size) };
        [r, g, b, 255]
    };
    let picture: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    std::fs::write(folder.file("in.rgba"), &picture).unwrap();
    for (what, color, convert, note) in [
        ("pq", "{ transfer = \"pq\" }", "", "pq of bt2020 to srgb of bt709"),
        ("hlg", "{ transfer = \"hlg\", primaries = \"bt2020\" }", "", "hlg of bt2020"),
        ("p3", "{ primaries = \"display-p3\" }", "convert = \"srgb\"", "srgb of display-p3"),
        ("2020", "{ transfer = \"bt709\", primaries = \"bt2020\" }", "convert = \"srgb\"", "bt709 of bt2020"),
        ("525", "{ transfer = \"bt709\", primaries = \"bt601-525\" }", "convert = \"srgb\"", "bt709 of bt601-525"),
        // Nothing is asked for: numbers as they are.
        ("", "{ primaries = \"bt2020\", transfer = \"bt709\" }", "", ""),
        ("", "{ transfer = \"pq\" }", "convert = \"none\"", ""),
    ] {
        let text = format!(
            "[source.s]\nfile = \"{}\"\nformat = \"ABGR8888\"\nsize = \"{size}\"\ncolor = {color}\n{convert}\n\
             [sink.o]\ninput = \"s\"\nkind = \"raw\"\nfile = \"{}\"\n",
            folder.file("in.rgba").display(),
            folder.file("out.rgba").display()
        );
        let Some(report) = run(&text) else { return };
        let said = report.sources[0].notes.join("; ");
        assert!(said.contains(note) && said.is_empty() == note.is_empty(), "{what}: {said:?}");
        let out = std::fs::read(folder.file("out.rgba")).unwrap();
        let mut furthest = 0.0f64;
        for (from, got) in picture.chunks(4).zip(out.chunks(4)) {
            let rgb = [from[0], from[1], from[2]].map(|code| f64::from(code) / 255.0);
            let wanted = if what.is_empty() { rgb } else { bt::light::to_srgb(what, rgb) };
            for (got, wanted) in got.iter().zip(wanted) {
                furthest = furthest.max((f64::from(*got) - wanted * 255.0).abs());
            }
        }
        println!("{what}: {furthest:.2} codes");
        // Half a code is rounding; PQ takes a power of 79 of floats of 24 bits.
        assert!(furthest <= 1.0, "{what}: {furthest} codes off");
    }
}

#[test]
fn there_and_back_loses_what_subsampling_loses() {
    let folder = Folder::new("round-trip");
    let size = Size::new(46, 30);
    let (width, height) = (46, 30);
    std::fs::write(folder.file("in.rgba"), rgba(size, 1)).unwrap();
    let nv12 = folder.file("a.nv12");
    let sink = format!("[sink.r]\ninput = \"p\"\nkind = \"raw\"\nfile = \"{}\"\n", nv12.display());
    let color = "{ matrix = \"bt709\", range = \"limited\", siting = \"left\" }";
    if run(&planes_text(&folder, size, "NV12", color, &sink)).is_none() {
        return;
    }
    let text = format!(
        "[source.s]\nfile = \"{}\"\nformat = \"NV12\"\nsize = \"{size}\"\ncolor = {color}\n\
         [sink.o]\ninput = \"s\"\nkind = \"raw\"\nfile = \"{}\"\n",
        nv12.display(),
        folder.file("back.rgba").display()
    );
    run(&text).unwrap();
    let back = std::fs::read(folder.file("back.rgba")).unwrap();
    // The same chain without rounding: planes, filtered chroma, back. What is left is half a code of each sample, through
    // the inverse matrix (BT.709 limited), and half a code of the result.
    let pixel = |x, y| noise(x, y, size).map(|code| f64::from(code) / 255.0);
    let planes = bt::planes(Color::HD, 8, (width, height), (2, 2), pixel);
    let (luma, chroma) = (0.5 * 255.0 / 219.0, 0.5 * 255.0 / 224.0);
    let bounds = [luma + 1.5748 * chroma + 0.5, luma + (0.1873 + 0.4681) * chroma + 0.5, luma + 1.8556 * chroma + 0.5];
    for (at, pixel) in back.chunks(4).enumerate() {
        let place = (at % width, at / width);
        let chroma = |plane: &[f64]| bt::chroma_at(plane, planes.chroma, (2, 2), Siting::Left, place);
        let wanted = bt::rgb(Color::HD, 8, [planes.y[at], chroma(&planes.cb), chroma(&planes.cr)]);
        for c in 0..3 {
            let distance = (f64::from(pixel[c]) - wanted[c] * 255.0).abs();
            assert!(distance <= bounds[c] + 0.3, "{place:?}: component {c} is {distance} off, {} allowed", bounds[c]);
        }
    }
}

/// Runs a program of another project; `None` where it is not installed.
fn other(program: &str, arguments: &[&str]) -> Option<()> {
    match std::process::Command::new(program).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(())
        }
        Err(error) => {
            common::skip(program, format!("{error}: scripts/setup test installs it"));
            None
        }
    }
}

/// Others open our NV12 and y4m and see the colours that the recommendations give.
#[test]
fn ffmpeg_and_gstreamer_read_our_nv12() {
    let folder = Folder::new("others");
    // Flat fields of 16 pixels: inside them no filter matters.
    let size = Size::new(128, 64);
    let (width, height) = (128usize, 64usize);
    let field = |x: usize, y: usize| {
        let index = (y / 16) * 8 + x / 16;
        [(index * 37 + 20) as u8, (index * 91 + 130) as u8, (index * 53 + 70) as u8]
    };
    let picture: Vec<u8> = (0..width * height)
        .flat_map(|at| {
            let [r, g, b] = field(at % width, at / width);
            [r, g, b, 255]
        })
        .collect();
    std::fs::write(folder.file("in.rgba"), &picture).unwrap();
    let name = |file: &str| folder.file(file).display().to_string();
    let (nv12_ours, y4m_ours, out_1, out_2) = (name("ours.nv12"), name("ours.y4m"), name("ff.rgba"), name("ff2.rgba"));
    let sinks = format!(
        "[sink.r]\ninput = \"p\"\nkind = \"raw\"\nfile = \"{}\"\n[sink.y]\ninput = \"p\"\nfile = \"{}\"\n",
        name("ours.nv12"),
        name("ours.y4m")
    );
    let color = "{ matrix = \"bt601\", range = \"limited\", siting = \"left\" }";
    if run(&planes_text(&folder, size, "NV12", color, &sinks)).is_none() {
        return;
    }
    // Half a code of each sample on our side, and the arithmetic of the other: GStreamer's has 8 bits, and is as far from
    // the picture where it reads an NV12 that numpy made.
    let near = |what: &str, bytes: &[u8], allowed: u8| {
        assert_eq!(bytes.len(), width * height * 4, "{what}");
        for (at, (got, wanted)) in bytes.chunks(4).zip(picture.chunks(4)).enumerate() {
            let (x, y) = (at % width, at / width);
            if !(4..12).contains(&(x % 16)) || !(4..12).contains(&(y % 16)) {
                continue;
            }
            let close = got.iter().zip(wanted).take(3).all(|(got, wanted)| got.abs_diff(*wanted) <= allowed);
            assert!(close, "{what}, ({x}, {y}): {got:?} for {wanted:?}");
        }
    };
    // The same NV12 to two codes: luma everywhere, chroma inside the fields.
    let same = |what: &str, file: &str| {
        let (ours, theirs) =
            (std::fs::read(folder.file("ours.nv12")).unwrap(), std::fs::read(folder.file(file)).unwrap());
        assert_eq!(ours.len(), theirs.len(), "{what}");
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let row = at / width;
            let inside = row < height || ((2..6).contains(&((row - height) % 8)) && (4..12).contains(&(at % 16)));
            assert!(!inside || ours.abs_diff(*theirs) <= 2, "{what}, byte {at}: {ours} and {theirs}");
        }
    };
    let scale = "scale=in_color_matrix=bt601:in_range=limited:out_range=full:flags=accurate_rnd+full_chroma_int";
    let raw = ["-f", "rawvideo", "-pix_fmt", "nv12", "-s", "128x64", "-i"];
    let out = ["-vf", scale, "-pix_fmt", "rgba", "-f", "rawvideo"];
    let quiet = ["-v", "error", "-y"];
    let of_raw = [&quiet[..], &raw, &[&nv12_ours], &out, &[&out_1]].concat();
    if other("ffmpeg", &of_raw).is_some() {
        near("ffmpeg, raw", &std::fs::read(folder.file("ff.rgba")).unwrap(), 3);
        let of_y4m = [&quiet[..], &["-i", &y4m_ours], &out, &[&out_2]].concat();
        other("ffmpeg", &of_y4m);
        near("ffmpeg, y4m", &std::fs::read(folder.file("ff2.rgba")).unwrap(), 3);
        // And its own conversion of the same picture.
        let own = "scale=out_color_matrix=bt601:out_range=limited:flags=accurate_rnd+full_chroma_inp";
        let (rgba, theirs) = (name("in.rgba"), name("ff.nv12"));
        let rgba = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", "128x64", "-i", &rgba];
        let nv12 = ["-vf", own, "-pix_fmt", "nv12", "-f", "rawvideo", &theirs];
        other("ffmpeg", &[&quiet[..], &rgba, &nv12].concat());
        same("ffmpeg", "ff.nv12");
    }
    let source = |file: &str| format!("location={}", name(file));
    let caps = "video/x-raw,format=RGBA";
    let (ours, to) = (source("ours.nv12"), source("gst.rgba"));
    let parse = ["rawvideoparse", "format=nv12", "width=128", "height=64", "colorimetry=bt601"];
    let line =
        [&["-q", "filesrc", &ours, "!"][..], &parse, &["!", "videoconvert", "!", caps, "!", "filesink", &to]].concat();
    if other("gst-launch-1.0", &line).is_some() {
        near("GStreamer, raw", &std::fs::read(folder.file("gst.rgba")).unwrap(), 7);
        let (rgba, theirs) = (source("in.rgba"), source("gst.nv12"));
        let nv12 = "video/x-raw,format=NV12,colorimetry=bt601";
        let line = ["-q", "filesrc", &rgba, "!", "rawvideoparse", "format=rgba", "width=128", "height=64"];
        other("gst-launch-1.0", &[&line[..], &["!", "videoconvert", "!", nv12, "!", "filesink", &theirs]].concat());
        same("GStreamer", "gst.nv12");
    }
}

/// A second opinion on every matrix and range: zimg, through ffmpeg's filter zscale, which computes with 32-bit floats.
#[test]
fn zimg_sees_the_same_colours() {
    let folder = Folder::new("zimg");
    let (width, height) = (64usize, 32usize);
    let name = |file: &str| folder.file(file).display().to_string();
    // Codes of limited range, so that nothing is cut off that one side keeps.
    let noise = |seed: usize, length: usize, low: usize, high: usize| -> Vec<u8> {
        (0..length).map(|at| (low + (at * 7919 + seed * 104_729 + at * at % 251) % (high - low + 1)) as u8).collect()
    };
    // Numbers of H.273: versions of ffmpeg spell the names differently.
    let matrices = [("bt601", 6), ("bt709", 1), ("bt2020", 9), ("smpte240m", 7)];
    let mut compared = 0;
    for (format, pixels, share) in [("YUV444", "yuv444p", 1), ("YUV420", "yuv420p", 4)] {
        let codes: Vec<u8> = [
            noise(1, width * height, 16, 235),
            noise(2, width * height / share, 100, 156),
            noise(3, width * height / share, 100, 156),
        ]
        .concat();
        std::fs::write(folder.file("in.yuv"), &codes).unwrap();
        for (matrix, theirs) in matrices {
            for range in ["limited", "full"] {
                let what = format!("{format} {matrix} {range}");
                let text = format!(
                    "[source.s]\nkind = \"raw\"\nfile = \"{}\"\nformat = \"{format}\"\nsize = \"64x32\"\n\
                     color = {{ matrix = \"{matrix}\", range = \"{range}\", siting = \"left\", transfer = \"srgb\" }}\n\
                     [sink.o]\ninput = \"s\"\nkind = \"raw\"\nfile = \"{}\"\n",
                    name("in.yuv"),
                    name("ours.rgba")
                );
                if run(&text).is_none() {
                    return;
                }
                // Neither side touches light: all transfer functions and primaries are the same.
                let filter = format!(
                    "zscale=min={theirs}:rin={range}:tin=709:pin=709:cin=left:m=gbr:r=full:t=709:p=709:f=bilinear,format=gbrp"
                );
                let arguments =
                    ["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", pixels, "-s", "64x32", "-i", &name("in.yuv")]
                        .map(str::to_owned);
                let out = ["-vf", &filter, "-f", "rawvideo", &name("theirs.gbr")].map(str::to_owned);
                let arguments = [arguments.as_slice(), &out].concat();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                if other("ffmpeg", &arguments).is_none() {
                    return;
                }
                let [ours, theirs] = ["ours.rgba", "theirs.gbr"].map(|file| std::fs::read(folder.file(file)).unwrap());
                let plane = width * height;
                assert_eq!((ours.len(), theirs.len()), (4 * plane, 3 * plane), "{what}");
                for (at, pixel) in ours.chunks(4).enumerate() {
                    let wanted = [theirs[2 * plane + at], theirs[at], theirs[plane + at]];
                    let close = pixel.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= 1);
                    assert!(close, "{what}, ({}, {}): {pixel:?} for {wanted:?}", at % width, at / width);
                    compared += 3;
                }
            }
        }
    }
    assert_eq!(compared, 2 * 4 * 2 * 3 * width * height);
}
