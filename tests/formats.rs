//! Every format that a display lists, exact in its own bits: written by the CPU and sampled, drawn into and read by the
//! CPU (conformance list B01 to B09). Byte order is that of `drm_fourcc.h`, spelled out here.
//!
//! The outcome is a table. What is listed and does not work must be a row of `FAULTS`, and such a row that works fails.

mod common;

use std::collections::BTreeMap;
use std::fmt;

use common::draw::Mapper;
use common::{gpu_display, or_skip};
use darkframe::allocator::{Request, Usage};
use darkframe::buffer::{Access, Buffer};
use darkframe::color::{Color, Matrix, Range};
use darkframe::device::Device;
use darkframe::egl::{Context, Display, FormatSupport, Image, ImportOptions};
use darkframe::error::{Error, ErrorKind, Result};
use darkframe::format::{Fourcc, Modifier};
use darkframe::gles::yuv::views;
use darkframe::gles::{Framebuffer, Gl, Renderbuffer, Texture, TextureTarget, Wrap};
use darkframe::layout::{Constraints, Layout, PlaneLayout, Size};

/// What is known to fail: (part of `GL_VERSION` and `GL_RENDERER`, formats, part of the error, why).
const FAULTS: &[(&str, &str, &[Fourcc], &str, &str)] = &[
    ("Mesa 25.", "llvmpipe", &PLANAR, "EGL_BAD_ALLOC", "listed, and every picture of more than one plane is refused"),
    ("Mesa 26.", "llvmpipe", &[Fourcc::NV15, Fourcc::NV20], "is [255, 0, 0]", "tight 10-bit planes are sampled as red"),
    ("Mesa 26.", "llvmpipe", &[Fourcc::Y210, Fourcc::Y216], "is [0, 136, 0]", "sampled as green; Y212 is not"),
];

const PLANAR: [Fourcc; 18] = [
    Fourcc::NV12,
    Fourcc::NV21,
    Fourcc::NV16,
    Fourcc::NV15,
    Fourcc::NV20,
    Fourcc::P010,
    Fourcc::P012,
    Fourcc::P016,
    Fourcc::YUV410,
    Fourcc::YVU410,
    Fourcc::YUV411,
    Fourcc::YVU411,
    Fourcc::YUV420,
    Fourcc::YVU420,
    Fourcc::YUV422,
    Fourcc::YVU422,
    Fourcc::YUV444,
    Fourcc::YVU444,
];

/// Where a component of an RGB format lies in its little-endian word: component (index in RGBA), lowest bit, bits.
type Field = (usize, u32, u32);

const R: usize = 0;
const G: usize = 1;
const B: usize = 2;
const A: usize = 3;

/// `drm_fourcc.h`: `[31:0] A:R:G:B 8:8:8:8 little endian` and so on, from the lowest bit up. X is left out.
fn fields(fourcc: Fourcc) -> Option<(u32, Vec<Field>)> {
    let list = |bits: u32, widths: &[(usize, u32)]| {
        let mut at = 0;
        let mut fields = Vec::new();
        for (component, width) in widths {
            if *component != X {
                fields.push((*component, at, *width));
            }
            at += width;
        }
        assert_eq!(at, bits);
        Some((bits, fields))
    };
    const X: usize = 9;
    match fourcc {
        Fourcc::XRGB8888 => list(32, &[(B, 8), (G, 8), (R, 8), (X, 8)]),
        Fourcc::ARGB8888 => list(32, &[(B, 8), (G, 8), (R, 8), (A, 8)]),
        Fourcc::XBGR8888 => list(32, &[(R, 8), (G, 8), (B, 8), (X, 8)]),
        Fourcc::ABGR8888 => list(32, &[(R, 8), (G, 8), (B, 8), (A, 8)]),
        Fourcc::RGBX8888 => list(32, &[(X, 8), (B, 8), (G, 8), (R, 8)]),
        Fourcc::RGBA8888 => list(32, &[(A, 8), (B, 8), (G, 8), (R, 8)]),
        Fourcc::BGRX8888 => list(32, &[(X, 8), (R, 8), (G, 8), (B, 8)]),
        Fourcc::BGRA8888 => list(32, &[(A, 8), (R, 8), (G, 8), (B, 8)]),
        Fourcc::RGB888 => list(24, &[(B, 8), (G, 8), (R, 8)]),
        Fourcc::BGR888 => list(24, &[(R, 8), (G, 8), (B, 8)]),
        Fourcc::RGB565 => list(16, &[(B, 5), (G, 6), (R, 5)]),
        Fourcc::BGR565 => list(16, &[(R, 5), (G, 6), (B, 5)]),
        Fourcc::ARGB1555 => list(16, &[(B, 5), (G, 5), (R, 5), (A, 1)]),
        Fourcc::ABGR1555 => list(16, &[(R, 5), (G, 5), (B, 5), (A, 1)]),
        Fourcc::ARGB4444 => list(16, &[(B, 4), (G, 4), (R, 4), (A, 4)]),
        Fourcc::ABGR4444 => list(16, &[(R, 4), (G, 4), (B, 4), (A, 4)]),
        Fourcc::XRGB2101010 => list(32, &[(B, 10), (G, 10), (R, 10), (X, 2)]),
        Fourcc::ARGB2101010 => list(32, &[(B, 10), (G, 10), (R, 10), (A, 2)]),
        Fourcc::XBGR2101010 => list(32, &[(R, 10), (G, 10), (B, 10), (X, 2)]),
        Fourcc::ABGR2101010 => list(32, &[(R, 10), (G, 10), (B, 10), (A, 2)]),
        Fourcc::R8 => list(8, &[(R, 8)]),
        Fourcc::R16 => list(16, &[(R, 16)]),
        Fourcc::GR88 => list(16, &[(R, 8), (G, 8)]),
        Fourcc::GR1616 => list(32, &[(R, 16), (G, 16)]),
        Fourcc::ABGR16161616 => list(64, &[(R, 16), (G, 16), (B, 16), (A, 16)]),
        Fourcc::XBGR16161616 => list(64, &[(R, 16), (G, 16), (B, 16), (X, 16)]),
        _ => None,
    }
}

const SMALL: Size = Size::new(4, 4);

/// Code of a component at (x, y): all differ, from pixel to pixel and from component to component.
fn code(component: usize, x: u32, y: u32, bits: u32) -> u64 {
    let [dx, dy, start] = [[41, 11, 3], [13, 47, 90], [29, 23, 160], [7, 53, 200]][component];
    // 8 bits, then widened by repeating them: every bit of a wide component takes part.
    let eight = (start + u64::from(x) * dx + u64::from(y) * dy) % 256;
    (eight << 8 | eight.reverse_bits() >> 56) >> (16 - bits)
}

fn word(bits: u32, fields: &[Field], x: u32, y: u32) -> Vec<u8> {
    let word = fields.iter().fold(0u64, |word, (component, at, width)| word | code(*component, x, y, *width) << at);
    word.to_le_bytes()[..bits as usize / 8].to_vec()
}

fn allocate(device: &Device, fourcc: Fourcc, size: Size, usage: Usage) -> Result<Buffer> {
    let request = Request::new(size, fourcc).usage(usage).modifiers([Modifier::LINEAR]).require_dma_buf();
    device.allocate(&request.constrain(Constraints::MALI)?)
}

/// What one use of a format came to.
enum Outcome {
    Ok,
    /// The driver says that it does not do this; nobody promised it.
    Unsupported(Error),
    /// Wrong pixels, or a refusal of what the driver lists.
    Wrong(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Unsupported(error) => write!(f, "unsupported ({error})"),
            Self::Wrong(why) => write!(f, "WRONG ({why})"),
        }
    }
}

fn outcome(promised: bool, result: Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Ok,
        Err(error) if error.kind() == ErrorKind::Unsupported && !promised => Outcome::Unsupported(error),
        Err(error) => Outcome::Wrong(error.to_string()),
    }
}

/// Prints the table and compares it with `FAULTS`.
fn judge(driver: &str, table: &BTreeMap<(String, &'static str), (Fourcc, Outcome)>) {
    let mut wrong = Vec::new();
    for ((name, usage), (fourcc, outcome)) in table {
        let fits = |row: &&(&str, &str, &[Fourcc], &str, &str)| {
            driver.contains(row.0) && driver.contains(row.1) && row.2.contains(fourcc)
        };
        let row = FAULTS.iter().find(fits);
        let known = row.map_or(String::new(), |row| format!("KNOWN: {} ({})", row.4, row.3));
        println!("{name:<14} {usage:<10} {}", if known.is_empty() { outcome.to_string() } else { known });
        match (outcome, row) {
            (Outcome::Wrong(_), None) => wrong.push(format!("{name} {usage}: {outcome}")),
            (Outcome::Wrong(why), Some(row)) if !why.contains(row.3) => {
                wrong.push(format!("{name} {usage}: {why}; known is \"{}\"", row.3));
            }
            (Outcome::Ok | Outcome::Unsupported(_), Some(row)) => {
                wrong.push(format!("{name} {usage}: {outcome}, yet it is listed: {}", row.4));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{driver}: {} differ from what is known:\n{}", wrong.len(), wrong.join("\n"));
}

/// Samples a picture of codes; each must be exact in the format's own bits. What is missing reads 0, alpha 1.
fn check_codes(gl: &Gl, mapper: &Mapper, texture: &Texture, fields: &[Field]) -> Result<()> {
    let mut levels = [255.0; 4];
    for (component, _, width) in fields {
        levels[*component] = ((1u32 << width) - 1) as f32;
    }
    // The low and the high byte of each code.
    let low = mapper.map(gl, texture, levels, "mod(floor(texel * levels + 0.5), 256.0) / 255.0")?;
    let high = match levels.iter().any(|max| *max > 255.0) {
        true => mapper.map(gl, texture, levels, "floor(floor(texel * levels + 0.5) / 256.0) / 255.0")?,
        false => vec![0; low.len()],
    };
    for index in 0..16u32 {
        let (x, y) = (index % 4, index / 4);
        for component in 0..4 {
            let at = index as usize * 4 + component;
            let got = u64::from(low[at]) | u64::from(high[at]) << 8;
            let field = fields.iter().find(|field| field.0 == component);
            let expected = match field {
                Some((_, _, width)) => code(component, x, y, *width),
                None => [0, 0, 0, 255][component],
            };
            if got != expected {
                let name = ["red", "green", "blue", "alpha"][component];
                return Err(Error::failed("pixels", format!("{name} of ({x}, {y}) is {got}, expected {expected}")));
            }
        }
    }
    Ok(())
}

const CLEAR: [f32; 4] = [0.25, 0.125, 0.0675, 0.25];

/// Clears and reads by the CPU: each component is the value rounded to its bits.
fn check_clear(gl: &Gl, target: &Framebuffer, buffer: &Buffer, bits: u32, fields: &[Field]) -> Result<()> {
    target.bind(gl)?;
    gl.clear(CLEAR);
    gl.finish();
    gl.check()?;
    let map = buffer.map(Access::Read)?;
    for y in 0..4 {
        for (x, pixel) in map.row(0, y).chunks_exact(bits as usize / 8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..pixel.len()].copy_from_slice(pixel);
            let word = u64::from_le_bytes(bytes);
            for (component, at, width) in fields {
                let max = (1u64 << width) - 1;
                let got = word >> at & max;
                let expected = (f64::from(CLEAR[*component]) * max as f64).round() as u64;
                if got != expected {
                    let what = format!("component {component} of ({x}, {y}) is {got} of {max}, expected {expected}");
                    return Err(Error::failed("pixels", what));
                }
            }
        }
    }
    Ok(())
}

/// Outcomes by format and use.
type Table = BTreeMap<(String, &'static str), (Fourcc, Outcome)>;

/// What every format is tried with.
struct Bench<'a> {
    device: &'a Device,
    display: &'a Display,
    gl: &'a Gl,
    mapper: &'a Mapper,
}

/// Tries every format that the display lists, prints the table and judges it; gives the number of its rows.
fn every_listed(work: impl Fn(&Bench<'_>, &FormatSupport, &mut Table)) -> Option<usize> {
    let (device, display, _) = gpu_display(Fourcc::ABGR8888, SMALL)?;
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    let mut table = Table::new();
    let bench = Bench { device: &device, display: &display, gl: &gl, mapper: &Mapper::default() };
    for listed in display.formats().unwrap() {
        work(&bench, &listed, &mut table);
        // Errors of what the driver refused must not reach the next format.
        let _ = gl.check();
    }
    let driver = format!("{} {} on {display}", gl.caps().version_text, gl.caps().renderer);
    println!("{driver}");
    judge(&driver, &table);
    Some(table.len())
}

/// B01, B09: every RGB format.
#[test]
fn b01_rgb_formats() {
    let rows = every_listed(|bench, listed, table| {
        let Bench { device, display, gl, mapper } = *bench;
        let fourcc = listed.fourcc;
        let Some((bits, fields)) = fields(fourcc) else { return };
        let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE;
        let buffer = allocate(device, fourcc, SMALL, usage).unwrap_or_else(|error| panic!("{fourcc}: {error:?}"));
        let fill = || {
            let mut map = buffer.map(Access::Write).unwrap();
            let stride = buffer.layout().planes()[0].stride_bytes as usize;
            for (y, row) in map.plane_mut(0).chunks_mut(stride).enumerate() {
                for (x, pixel) in row.chunks_exact_mut(bits as usize / 8).take(4).enumerate() {
                    pixel.copy_from_slice(&word(bits, &fields, x as u32, y as u32));
                }
            }
        };
        let import = || Image::import(display, &buffer);
        fill();
        let mut row = |usage, outcome| table.insert((fourcc.to_string(), usage), (fourcc, outcome));
        let external = import().and_then(|image| check_codes(gl, mapper, &Texture::external(gl, &image)?, &fields));
        row("external", outcome(true, external));
        let two_d = import().and_then(|image| check_codes(gl, mapper, &Texture::from_image(gl, &image)?, &fields));
        row("2d", outcome(!listed.external_only(), two_d));
        // What OpenGL ES 2 itself renders to must be rendered to.
        let must = [Fourcc::ABGR8888, Fourcc::XBGR8888, Fourcc::RGB565].contains(&fourcc);
        let render = import().and_then(|image| {
            let target = Framebuffer::new(gl, Texture::from_image(gl, &image)?)?;
            check_clear(gl, &target, &buffer, bits, &fields)
        });
        row("render", outcome(must, render));
        fill();
        let renderbuffer = import().and_then(|image| {
            let target = Framebuffer::from_renderbuffer(gl, Renderbuffer::from_image(gl, &image)?)?;
            check_clear(gl, &target, &buffer, bits, &fields)
        });
        row("renderbuf", outcome(must, renderbuffer));
    });
    assert!(rows.is_none_or(|rows| rows >= 20), "only {rows:?} rows");
}

/// B06: row 0 of the memory is GL's y = 0, in both directions.
#[test]
fn b06_row_0_is_at_y_0() {
    let Some((_device, display, buffer)) = gpu_display(Fourcc::ABGR8888, SMALL) else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    let stride = buffer.layout().planes()[0].stride_bytes as usize;
    {
        let mut map = buffer.map(Access::Write).unwrap();
        map.plane_mut(0).fill(0);
        map.plane_mut(0)[..16].fill(255);
    }
    let image = Image::import(&display, &buffer).unwrap();
    for texture in [Texture::from_image(&gl, &image).unwrap(), Texture::external(&gl, &image).unwrap()] {
        // gl_FragCoord.y is 0.5 in the row that glReadPixels gives first.
        let pixels =
            Mapper::default().map(&gl, &texture, [0.0; 4], "vec4(texel.r, gl_FragCoord.y / 255.0, 0.0, 1.0)").unwrap();
        for (index, pixel) in pixels.chunks_exact(4).enumerate() {
            assert_eq!(pixel[0], if index < 4 { 255 } else { 0 }, "{:?}: pixel {index}", texture.target());
            assert!(pixel[1].abs_diff((index / 4) as u8) <= 1);
        }
    }
    // The other way: the scissor box at y = 0 is row 0 of the memory.
    let target = Framebuffer::new(&gl, Texture::from_image(&gl, &image).unwrap()).unwrap();
    target.bind(&gl).unwrap();
    gl.clear([0.0; 4]);
    let ramp = "precision highp float;\n";
    let program = common::draw::program(&gl, ramp, "void main() { gl_FragColor = vec4(gl_FragCoord.y * 0.25); }");
    program.unwrap().draw_triangle(&gl).unwrap();
    gl.finish();
    let map = buffer.map(Access::Read).unwrap();
    let rows: Vec<u8> = map.plane(0).chunks(stride).map(|row| row[0]).collect();
    // 0.125, 0.375, 0.625, 0.875 of 255.
    assert_eq!(rows, [32, 96, 159, 223]);
}

/// B07, B08: what external textures and images cannot do is an error of ours, before the driver has its own.
#[test]
fn b08_limits_of_external_textures() {
    let Some((device, display, buffer)) = gpu_display(Fourcc::ABGR8888, SMALL) else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    let image = Image::import(&display, &buffer).unwrap();
    let texture = Texture::external(&gl, &image).unwrap();
    assert_eq!(texture.target(), TextureTarget::External);
    for wrap in [Wrap::Repeat, Wrap::MirroredRepeat] {
        let error = texture.set_wrap(&gl, wrap).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("clamp"), "{error}");
    }
    texture.set_wrap(&gl, Wrap::ClampToEdge).unwrap();
    // No upload into images of either target, no drawing into external ones.
    for texture in [&texture, &Texture::from_image(&gl, &image).unwrap()] {
        let error = texture.upload(&gl, &[0; 64], 16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("write to its buffer"), "{error}");
    }
    assert_eq!(Image::from_texture(&gl, &texture).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Framebuffer::new(&gl, texture).unwrap_err().kind(), ErrorKind::Unsupported);
    // A format for external samplers only is nothing else.
    let listed = display.formats().unwrap();
    for fourcc in [Fourcc::YUYV, Fourcc::NV12, Fourcc::YUV420] {
        if !listed.iter().any(|format| format.fourcc == fourcc && format.external_only()) {
            continue;
        }
        let yuv = allocate(&device, fourcc, Size::new(16, 16), Usage::SAMPLE).unwrap();
        let Ok(image) = Image::import(&display, &yuv) else { continue };
        assert!(image.external_only());
        assert_eq!(Texture::from_image(&gl, &image).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(Renderbuffer::from_image(&gl, &image).unwrap_err().kind(), ErrorKind::Unsupported);
        println!("{fourcc}: external only");
    }
    gl.check().unwrap();
}

const Y: usize = 0;
const U: usize = 1;
const V: usize = 2;

/// Where a sample lies: plane, row, bit in the row, bits. `drm_fourcc.h`, format by format.
struct Yuv {
    bits: u32,
    /// Luma columns and rows for one chroma sample.
    subsampling: (u32, u32),
    has_alpha: bool,
    place: fn(&Yuv, component: usize, x: u32, y: u32) -> (usize, u32, u32),
    /// Component order: of the chroma samples, or of all in a packed word.
    order: &'static [usize],
}

fn yuv(fourcc: Fourcc) -> Option<Yuv> {
    let new = |bits, subsampling, order, place| {
        Some(Yuv { bits, subsampling, has_alpha: order == VUYA || order == UYVA, place, order })
    };
    const UV: &[usize] = &[U, V];
    const VU: &[usize] = &[V, U];
    const VUYA: &[usize] = &[V, U, Y, A];
    const UYVA: &[usize] = &[U, Y, V, A];
    // Luma plane, then pairs of chroma; the bits of a sample are the high ones of a byte or a 16-bit word.
    fn semi(format: &Yuv, component: usize, x: u32, y: u32) -> (usize, u32, u32) {
        let container = if format.bits == 8 { 8 } else { 16 };
        let low = container - format.bits;
        let (h, v) = format.subsampling;
        match component {
            Y => (0, y, x * container + low),
            _ => (1, y / v, (x / h * 2 + at(format.order, component)) * container + low),
        }
    }
    // The same, without gaps between samples of ten bits.
    fn tight(format: &Yuv, component: usize, x: u32, y: u32) -> (usize, u32, u32) {
        let (h, v) = format.subsampling;
        match component {
            Y => (0, y, x * 10),
            _ => (1, y / v, (x / h * 2 + at(format.order, component)) * 10),
        }
    }
    fn planar(format: &Yuv, component: usize, x: u32, y: u32) -> (usize, u32, u32) {
        let (h, v) = format.subsampling;
        match component {
            Y => (0, y, x * 8),
            _ => (1 + at(format.order, component) as usize, y / v, x / h * 8),
        }
    }
    // Four samples for two pixels; `order` has the first luma sample, the second comes two places later.
    fn packed(format: &Yuv, component: usize, x: u32, y: u32) -> (usize, u32, u32) {
        let container = if format.bits == 8 { 8 } else { 16 };
        let second = if component == Y { x % 2 * 2 } else { 0 };
        (0, y, ((x / 2) * 4 + at(format.order, component) + second) * container + container - format.bits)
    }
    fn whole(format: &Yuv, component: usize, x: u32, y: u32) -> (usize, u32, u32) {
        let container = if format.bits == 8 { 8 } else { 16 };
        (0, y, (x * 4 + at(format.order, component)) * container + container - format.bits)
    }
    fn word10(format: &Yuv, component: usize, x: u32, y: u32) -> (usize, u32, u32) {
        (0, y, x * 32 + at(format.order, component) * 10)
    }
    match fourcc {
        Fourcc::NV12 => new(8, (2, 2), UV, semi),
        Fourcc::NV21 => new(8, (2, 2), VU, semi),
        Fourcc::NV16 => new(8, (2, 1), UV, semi),
        Fourcc::NV61 => new(8, (2, 1), VU, semi),
        Fourcc::NV24 => new(8, (1, 1), UV, semi),
        Fourcc::NV42 => new(8, (1, 1), VU, semi),
        Fourcc::P010 => new(10, (2, 2), UV, semi),
        Fourcc::P012 => new(12, (2, 2), UV, semi),
        Fourcc::P016 => new(16, (2, 2), UV, semi),
        Fourcc::P210 => new(10, (2, 1), UV, semi),
        Fourcc::NV15 => new(10, (2, 2), UV, tight),
        Fourcc::NV20 => new(10, (2, 1), UV, tight),
        Fourcc::NV30 => new(10, (1, 1), UV, tight),
        Fourcc::YUV410 => new(8, (4, 4), UV, planar),
        Fourcc::YVU410 => new(8, (4, 4), VU, planar),
        Fourcc::YUV411 => new(8, (4, 1), UV, planar),
        Fourcc::YVU411 => new(8, (4, 1), VU, planar),
        Fourcc::YUV420 => new(8, (2, 2), UV, planar),
        Fourcc::YVU420 => new(8, (2, 2), VU, planar),
        Fourcc::YUV422 => new(8, (2, 1), UV, planar),
        Fourcc::YVU422 => new(8, (2, 1), VU, planar),
        Fourcc::YUV444 => new(8, (1, 1), UV, planar),
        Fourcc::YVU444 => new(8, (1, 1), VU, planar),
        Fourcc::YUYV => new(8, (2, 1), &[Y, U, 9, V], packed),
        Fourcc::YVYU => new(8, (2, 1), &[Y, V, 9, U], packed),
        Fourcc::UYVY => new(8, (2, 1), &[U, Y, V, 9], packed),
        Fourcc::VYUY => new(8, (2, 1), &[V, Y, U, 9], packed),
        Fourcc::Y210 => new(10, (2, 1), &[Y, U, 9, V], packed),
        Fourcc::Y212 => new(12, (2, 1), &[Y, U, 9, V], packed),
        Fourcc::Y216 => new(16, (2, 1), &[Y, U, 9, V], packed),
        Fourcc::AYUV => new(8, (1, 1), VUYA, whole),
        Fourcc::XYUV8888 => new(8, (1, 1), &[V, U, Y], whole),
        Fourcc::Y412 => new(12, (1, 1), UYVA, whole),
        Fourcc::Y416 => new(16, (1, 1), UYVA, whole),
        Fourcc::Y410 => new(10, (1, 1), UYVA, word10),
        _ => None,
    }
}

fn at(order: &[usize], component: usize) -> u32 {
    order.iter().position(|known| *known == component).unwrap() as u32
}

const PICTURE: Size = Size::new(16, 8);

/// 8-bit codes of the picture at (x, y). Chroma is constant over what one sample covers, luma is not; U and V differ.
fn yuv_codes(format: &Yuv, x: u32, y: u32) -> [u32; 4] {
    let (h, v) = format.subsampling;
    let (cx, cy) = (x / h, y / v);
    [60 + x * 5 + y * 7, 104 + cx * 3 + cy * 5, 150 - cx * 4 + cy, (x % 4) * 85]
}

/// The code in the format's own bits: the 8 bits, and the high ones of them again below.
fn widen(eight: u32, bits: u32) -> u64 {
    u64::from(eight * 257) >> (16 - bits)
}

fn fill_yuv(buffer: &Buffer, format: &Yuv, codes: impl Fn(u32, u32) -> [u32; 4]) {
    let strides: Vec<usize> = buffer.layout().planes().iter().map(|plane| plane.stride_bytes as usize).collect();
    let mut map = buffer.map(Access::Write).unwrap();
    (0..strides.len()).for_each(|plane| map.plane_mut(plane).fill(0));
    for (x, y) in (0..PICTURE.height).flat_map(|y| (0..PICTURE.width).map(move |x| (x, y))) {
        for (component, eight) in codes(x, y).into_iter().enumerate().take(if format.has_alpha { 4 } else { 3 }) {
            let (plane, row, bit) = (format.place)(format, component, x, y);
            // Y410's alpha has two bits.
            let bits = if component == A && format.bits == 10 { 2 } else { format.bits };
            let value = widen(eight, bits) << (bit % 8);
            let mask = ((1u64 << bits) - 1) << (bit % 8);
            let start = row as usize * strides[plane] + bit as usize / 8;
            let bytes = map.plane_mut(plane);
            for index in 0..((bit % 8 + bits).div_ceil(8)) as usize {
                let byte = &mut bytes[start + index];
                *byte = *byte & !((mask >> (8 * index)) as u8) | (value >> (8 * index)) as u8;
            }
        }
    }
}

/// BT.601, limited range, with the constants of Mesa's lowering (`nir_lower_tex.c`): what no hint means there.
fn mesa_601(codes: [u32; 4]) -> [f64; 3] {
    let [y, u, v, _] = codes.map(f64::from);
    let (y, u, v) = (1.164_383_56 * (y - 16.0), u - 128.0, v - 128.0);
    [y + 1.596_026_78 * v, y - 0.391_762_29 * u - 0.812_967_64 * v, y + 2.017_232_14 * u]
        .map(|value| value.clamp(0.0, 255.0))
}

fn compare(got: &[u8], expected: [f64; 3], tolerance: f64, what: impl Fn() -> String) -> Result<()> {
    let far = got.iter().zip(expected).any(|(got, expected)| (f64::from(*got) - expected).abs() > tolerance);
    match far {
        true => Err(Error::failed("pixels", format!("{} is {:?}, expected {expected:.1?}", what(), &got[..3]))),
        false => Ok(()),
    }
}

fn sample_yuv(gl: &Gl, mapper: &Mapper, display: &Display, buffer: &Buffer, color: Option<Color>) -> Result<Vec<u8>> {
    let image = Image::import_with(display, buffer, &ImportOptions { color, ..ImportOptions::default() })?;
    // A fresh name for each image: Mesa keeps the range of the first.
    mapper.map(gl, &Texture::external(gl, &image)?, [0.0; 4], "texel")
}

/// B02: whole YUV pictures through external samplers, without hints.
fn check_yuv(gl: &Gl, mapper: &Mapper, display: &Display, buffer: &Buffer, format: &Yuv) -> Result<()> {
    fill_yuv(buffer, format, |x, y| yuv_codes(format, x, y));
    let pixels = sample_yuv(gl, mapper, display, buffer, None)?;
    for (index, pixel) in pixels.chunks_exact(4).enumerate() {
        let (x, y) = (index as u32 % PICTURE.width, index as u32 / PICTURE.width);
        let codes = yuv_codes(format, x, y);
        compare(pixel, mesa_601(codes), 2.0, || format!("({x}, {y})"))?;
        let alpha = if format.has_alpha { codes[3] } else { 255 };
        if u32::from(pixel[3]).abs_diff(alpha) > 2 {
            return Err(Error::failed("pixels", format!("alpha of ({x}, {y}) is {}, expected {alpha}", pixel[3])));
        }
    }
    Ok(())
}

/// The one colour that tells all six conversions apart, and what it must come to (the recommendations' own arithmetic).
const PROBE: [u32; 4] = [165, 145, 40, 255];
const SIX: [(Matrix, Range, [f64; 3]); 6] = [
    (Matrix::Bt601, Range::Limited, [33.0, 238.0, 208.0]),
    (Matrix::Bt601, Range::Full, [42.0, 222.0, 195.0]),
    (Matrix::Bt709, Range::Limited, [16.0, 217.0, 209.0]),
    (Matrix::Bt709, Range::Full, [26.0, 203.0, 197.0]),
    (Matrix::Bt2020, Range::Limited, [26.0, 228.0, 210.0]),
    (Matrix::Bt2020, Range::Full, [35.0, 212.0, 197.0]),
];

/// B03: the six hints.
fn check_hints(gl: &Gl, mapper: &Mapper, display: &Display, buffer: &Buffer, format: &Yuv) -> Result<()> {
    fill_yuv(buffer, format, |_, _| PROBE);
    for (matrix, range, expected) in SIX {
        let color = Color { matrix, range, ..Color::HD };
        for pixel in sample_yuv(gl, mapper, display, buffer, Some(color))?.chunks_exact(4) {
            compare(pixel, expected, 3.0, || format!("{matrix:?} {range:?}"))?;
        }
    }
    Ok(())
}

/// B02, B03: every YUV format that the display lists.
#[test]
fn b02_yuv_formats() {
    every_listed(|bench, listed, table| {
        let Bench { device, display, gl, mapper } = *bench;
        let fourcc = listed.fourcc;
        let Some(format) = yuv(fourcc) else { return };
        let usage = Usage::SAMPLE | Usage::CPU_WRITE;
        let Some(buffer) = or_skip("yuv", allocate(device, fourcc, PICTURE, usage)) else { return };
        let mut row = |usage, result| table.insert((fourcc.to_string(), usage), (fourcc, outcome(true, result)));
        row("external", check_yuv(gl, mapper, display, &buffer, &format));
        row("hints", check_hints(gl, mapper, display, &buffer, &format));
    });
}

/// B04, B05: planes with padding between, in any order, in one fd or in two, show the same samples.
#[test]
fn b04_planes_anywhere() {
    let Some((device, display, _)) = gpu_display(Fourcc::ABGR8888, SMALL) else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    let mapper = Mapper::default();
    let plane = |offset_bytes, stride_bytes| PlaneLayout { offset_bytes, stride_bytes };
    for (fourcc, samples) in [(Fourcc::NV12, [U, V]), (Fourcc::NV21, [V, U])] {
        let format = yuv(fourcc).unwrap();
        for (what, planes, fds) in [
            ("rows of padding", [plane(0, 64), plane(64 * 16, 64)], 1),
            ("a wide pitch", [plane(64, 128), plane(64 + 128 * 8, 192)], 1),
            ("chroma first", [plane(128 * 8, 128), plane(0, 128)], 1),
            ("two memories", [plane(0, 64), plane(64 * 3, 128)], 2),
        ] {
            // Memory of 64 rows of 64 bytes, whoever makes it.
            let usage = Usage::SAMPLE | Usage::CPU_WRITE;
            let memory = || allocate(&device, Fourcc::R8, Size::new(64, 64), usage).unwrap();
            let memories: Vec<Buffer> = (0..fds).map(|_| memory()).collect();
            let fd = |index: usize| memories[index.min(fds - 1)].plane_fd(0).try_clone_to_owned().unwrap();
            let layout = Layout::new(fourcc, PICTURE, Modifier::LINEAR, &planes).unwrap();
            let buffer = Buffer::from_fds(layout, vec![fd(0), fd(1)]).unwrap();
            fill_yuv(&buffer, &format, |x, y| yuv_codes(&format, x, y));
            for (index, view) in views(fourcc, PICTURE).unwrap().iter().enumerate() {
                let options = ImportOptions { plane: Some(view.plane), ..ImportOptions::default() };
                let image = Image::import_with(&display, &buffer, &options).unwrap();
                let texels = mapper.map(&gl, &Texture::from_image(&gl, &image).unwrap(), [0.0; 4], "texel").unwrap();
                for (at, texel) in texels.chunks_exact(4).enumerate() {
                    let (x, y) = (at as u32 % view.size.width, at as u32 / view.size.width);
                    let wanted: Vec<u32> = match index {
                        0 => vec![yuv_codes(&format, x, y)[Y]],
                        _ => samples.iter().map(|component| yuv_codes(&format, x * 2, y * 2)[*component]).collect(),
                    };
                    let got: Vec<u32> = texel.iter().take(wanted.len()).map(|byte| u32::from(*byte)).collect();
                    assert_eq!(got, wanted, "{fourcc}, {what}: plane {index}, ({x}, {y})");
                }
            }
            // Whole, where the driver takes the format at all.
            match check_yuv(&gl, &mapper, &display, &buffer, &format) {
                Ok(()) => println!("{fourcc}, {what}: as an external image too"),
                Err(error) => {
                    assert!(!error.to_string().contains("expected"), "{fourcc}, {what}: {error}");
                    println!("{fourcc}, {what}: no external image: {error}");
                }
            }
            let _ = gl.check();
        }
    }
}
