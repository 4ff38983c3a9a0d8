//! wgpu: textures over memory of GLES, Vulkan and displays, compared byte by byte in both directions; fences; what does not fit is
//! refused in words. Passes in WGSL: `wgpu/passes.rs`.

use std::time::{Duration, Instant};

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::color::{Color, Matrix, Range};
use darkframe::device::Device as Machine;
use darkframe::egl::{Context, Display, Image as EglImage};
use darkframe::error::{ErrorKind, Result};
use darkframe::fence::Fence;
use darkframe::format::{Fourcc, Modifier};
use darkframe::gles::{Framebuffer, Gl, Texture as GlTexture};
use darkframe::layout::{Layout, Size};
use darkframe::vulkan;
use darkframe::wgpu::wgpu::TextureUsages;
use darkframe::wgpu::{Choice, Device, Imports, Options, Texture, Use, clear, read};

#[path = "vulkan/bench.rs"]
mod bench;
mod common;
#[path = "wgpu/paint.rs"]
mod paint;
#[path = "wgpu/passes.rs"]
mod passes;

use common::pattern::{SIZE, is_pattern, pattern};
use common::{bt, draw, gpu_display, open_fds, or_skip, refused, skip, sw_sync};
use paint::Painter;

const LIMIT: Duration = Duration::from_secs(30);

/// A texture for every use.
fn usage() -> TextureUsages {
    TextureUsages::TEXTURE_BINDING
        | TextureUsages::RENDER_ATTACHMENT
        | TextureUsages::COPY_SRC
        | TextureUsages::COPY_DST
}

/// The picture of `common::pattern`, in WGSL.
const PATTERN: &str = "fn color(at: vec2u) -> vec4f {
    let bytes = vec4u(at.x * 3u + 7u, at.y * 5u + 1u, at.x + at.y * 2u, 255u) % 256u;
    return vec4f(bytes) / 255.0;
}";
const SAME: &str = "fn color(at: vec2u) -> vec4f { return textureLoad(input_0, at, 0); }";

pub(crate) fn device() -> Option<Device> {
    let list = or_skip("vulkan", Device::list())?;
    let Some(first) = list.first() else {
        skip("vulkan", "no Vulkan device");
        return None;
    };
    or_skip("vulkan", Device::open(&Choice::Uuid(first.device_uuid), &Options::default()))
}

/// A wgpu device, and a GLES context on a display whose buffers both use.
struct Both {
    wgpu: Device,
    machine: Machine,
    display: Display,
    gl: Gl,
    buffer: Buffer,
}

fn both() -> Option<Both> {
    let wgpu = device()?;
    let (machine, display, buffer) = gpu_display(Fourcc::ABGR8888, SIZE)?;
    let gl = Context::new(&display).unwrap().make_current().unwrap();
    Some(Both { wgpu, machine, display, gl, buffer })
}

impl Both {
    fn texture(&self) -> Option<Texture> {
        or_skip("vulkan", Texture::import(&self.wgpu, &self.buffer, usage()))
    }

    /// Draws the pattern by GLES.
    fn draw(&self) -> Option<Fence> {
        let image = EglImage::import(&self.display, &self.buffer).unwrap();
        let target = Framebuffer::new(&self.gl, GlTexture::from_image(&self.gl, &image).unwrap()).unwrap();
        let body = "void main() { vec2 p = floor(gl_FragCoord.xy);
            gl_FragColor = mod(vec4(p.x * 3.0 + 7.0, p.y * 5.0 + 1.0, p.x + p.y * 2.0, 255.0), 256.0) / 255.0; }";
        let program = draw::program(&self.gl, "precision highp float;\n", body).unwrap();
        target.bind(&self.gl).unwrap();
        program.draw_triangle(&self.gl).unwrap();
        let fence = self.gl.fence().unwrap();
        self.gl.check().unwrap();
        fence
    }

    fn sampled(&self, buffer: &Buffer) -> Vec<u8> {
        let image = EglImage::import(&self.display, buffer).unwrap();
        draw::sampled(&self.gl, &GlTexture::from_image(&self.gl, &image).unwrap()).unwrap()
    }
}

#[test]
fn wgpu_samples_what_gles_renders() {
    let Some(both) = both() else { return };
    println!("{:?} with {}", both.wgpu, both.buffer.provenance().allocator);
    let Some(texture) = both.texture() else { return };
    let fence = both.draw();
    let waits: Vec<_> = fence.iter().collect();
    is_pattern(&read(&both.wgpu, &texture, &waits).unwrap(), "copied by wgpu");
    let painter = Painter::new(&both.wgpu, SAME, 1);
    let (pixels, work) = painter.sampled(&[&texture], &waits);
    is_pattern(&pixels, "sampled by wgpu");
    println!("waits: {} on the GPU, {} on the CPU; told by the {:?}", work.gpu_waits, work.cpu_waits, work.signal);
    // What is read stays: another user finds it.
    is_pattern(&both.sampled(&both.buffer), "sampled by GLES behind wgpu");
}

#[test]
fn gles_samples_what_wgpu_renders() {
    let Some(both) = both() else { return };
    let Some(texture) = both.texture() else { return };
    let painter = Painter::new(&both.wgpu, PATTERN, 0);
    for (round, used) in [Use::overwrite(&texture), Use::write(&texture)].into_iter().enumerate() {
        let work = clear(&both.wgpu, Use::write(&texture), 0.5).unwrap();
        work.wait(LIMIT).unwrap();
        let work = painter.paint(used, &[], &[]).unwrap();
        if let Some(fence) = &work.fence {
            both.gl.wait_fence(fence).unwrap();
        }
        is_pattern(&both.sampled(&both.buffer), &format!("drawn by wgpu, sampled by GLES, round {round}"));
    }
    // Drawn over in part, the rest of what GLES has drawn stays.
    let part = Painter::new(
        &both.wgpu,
        "fn color(at: vec2u) -> vec4f { if at.x >= 32u { discard; } return vec4f(1.0, 0.0, 0.2, 1.0); }",
        0,
    );
    let fence = both.draw();
    let work = part.paint_over(Use::write(&texture), &[], &fence.iter().collect::<Vec<_>>()).unwrap();
    work.wait(LIMIT).unwrap();
    for (index, pixel) in both.sampled(&both.buffer).chunks_exact(4).enumerate() {
        let (x, y) = (index as u32 % SIZE.width, index as u32 / SIZE.width);
        let expected = if x < 32 { [255, 0, 51, 255] } else { pattern(x, y) };
        assert_eq!(pixel, expected, "({x}, {y})");
    }
}

/// Another Vulkan device of the same driver: memory and fences cross between the two.
#[test]
fn vulkan_and_wgpu_read_each_other() {
    let Some(both) = both() else { return };
    let Some(vulkan) = bench::device() else { return };
    let options = vulkan::ImportOptions { assume_linear: true, ..vulkan::ImportOptions::target() };
    let Some(image) = or_skip("vulkan", vulkan::Image::import(&vulkan, &both.buffer, &options)) else { return };
    let Some(texture) = both.texture() else { return };
    let picture: Vec<u8> = (0..SIZE.height).flat_map(|y| (0..SIZE.width).flat_map(move |x| pattern(x, y))).collect();
    bench::write(&image, &picture).unwrap();
    let (pixels, _) = Painter::new(&both.wgpu, SAME, 1).sampled(&[&texture], &[]);
    is_pattern(&pixels, "written by Vulkan, sampled by wgpu");
    clear(&both.wgpu, Use::overwrite(&texture), 0.0).unwrap().wait(LIMIT).unwrap();
    let work = Painter::new(&both.wgpu, PATTERN, 0).paint(Use::overwrite(&texture), &[], &[]).unwrap();
    let waits: Vec<_> = work.fence.iter().collect();
    is_pattern(&bench::read(&image, &waits).unwrap(), "drawn by wgpu, copied by Vulkan");
    work.wait(LIMIT).unwrap();
    let options = vulkan::ImportOptions { assume_linear: true, ..vulkan::ImportOptions::default() };
    let sampled = vulkan::Image::import(&vulkan, &both.buffer, &options).unwrap();
    is_pattern(&bench::sampled(&sampled).unwrap(), "drawn by wgpu, sampled by Vulkan");
}

/// GLES renders, Vulkan copies, wgpu draws what it samples, GLES samples that: one picture through four hands.
#[test]
fn a_picture_goes_round() {
    let Some(both) = both() else { return };
    let Some(vulkan) = bench::device() else { return };
    let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ;
    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(usage).require_dma_buf();
    let [second, third] = [(); 2].map(|()| both.machine.allocate(&request).unwrap());
    let fence = both.draw();
    let options = vulkan::ImportOptions { assume_linear: true, ..vulkan::ImportOptions::target() };
    let import = |buffer: &Buffer| or_skip("vulkan", vulkan::Image::import(&vulkan, buffer, &options));
    let (Some(from), Some(to)) = (import(&both.buffer), import(&second)) else { return };
    let pixels = bench::read(&from, &fence.iter().collect::<Vec<_>>()).unwrap();
    bench::write(&to, &pixels).unwrap();
    let input = Texture::import(&both.wgpu, &second, TextureUsages::TEXTURE_BINDING).unwrap();
    let target = Texture::import(&both.wgpu, &third, TextureUsages::RENDER_ATTACHMENT).unwrap();
    // Red and blue change places, so that a copy that was not drawn shows.
    let text = "fn color(at: vec2u) -> vec4f { return textureLoad(input_0, at, 0).bgra; }";
    let work = Painter::new(&both.wgpu, text, 1).paint(Use::overwrite(&target), &[&input], &[]).unwrap();
    if let Some(fence) = &work.fence {
        both.gl.wait_fence(fence).unwrap();
    }
    let mut round = both.sampled(&third);
    round.chunks_exact_mut(4).for_each(|pixel| pixel.swap(0, 2));
    is_pattern(&round, "GLES, Vulkan, wgpu, GLES");
}

/// Planes of Y'CbCr as textures: sampled against the recommendations' equations, and drawn code by code.
#[test]
fn planes_are_textures_both_ways() {
    let Some(both) = both() else { return };
    let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE;
    let codes = |x: u32, y: u32, bits: u32| -> [u32; 3] {
        let scale = 1 << (bits - 8);
        [(16 + (x * 3 + y) % 220) * scale + x % scale, (20 + x / 2 * 6) * scale, (230 - y / 2 * 8) * scale]
    };
    for (fourcc, bits) in [(Fourcc::NV12, 8), (Fourcc::P010, 10)] {
        let request = Request::new(SIZE, fourcc).usage(usage).require_dma_buf();
        let Some(buffer) = or_skip("dma-buf", both.machine.allocate(&request)) else { return };
        let planes = or_skip("vulkan", Texture::import_planes(&both.wgpu, &buffer, self::usage()));
        let Some(planes) = planes else { continue };
        assert_eq!(planes.len(), 2);
        let bytes = if bits == 8 { 1 } else { 2 };
        // Bytes of a sample, as the format has them: 10 bits at the top of 16.
        let sample = |code: u32| ((code << (16 - bits)) as u16).to_le_bytes()[2 - bytes..].to_vec();
        {
            let strides: Vec<_> = buffer.layout().planes().iter().map(|plane| plane.stride_bytes as usize).collect();
            let mut map = buffer.map(Access::Write).unwrap();
            for y in 0..SIZE.height {
                let luma: Vec<u8> = (0..SIZE.width).flat_map(|x| sample(codes(x, y, bits)[0])).collect();
                map.plane_mut(0)[y as usize * strides[0]..][..luma.len()].copy_from_slice(&luma);
                if y % 2 == 0 {
                    let pair = |x| codes(x, y, bits)[1..].to_vec();
                    let chroma: Vec<u8> = (0..SIZE.width).step_by(2).flat_map(pair).flat_map(sample).collect();
                    map.plane_mut(1)[y as usize / 2 * strides[1]..][..chroma.len()].copy_from_slice(&chroma);
                }
            }
        }
        // BT.709, limited: numbers of the recommendation, written out. A word of P010 is its code times 64 of 65535.
        let max = (1 << bits) - 1;
        let unit = if bits == 8 { 255.0 } else { 65535.0 / 64.0 };
        let (black, white, middle, span) = (16 << (bits - 8), 219 << (bits - 8), 128 << (bits - 8), 224 << (bits - 8));
        let text = format!(
            "fn color(at: vec2u) -> vec4f {{
                let y = (textureLoad(input_0, at, 0).r * {unit:.6} - {black}.0) / {white}.0;
                let c = (textureLoad(input_1, at / 2u, 0).rg * {unit:.6} - {middle}.0) / {span}.0;
                return vec4f(y + 1.5748 * c.g, y - 0.187324 * c.r - 0.468124 * c.g, y + 1.8556 * c.r, 1.0);
            }}"
        );
        let (pixels, _) = Painter::new(&both.wgpu, &text, 2).of(SIZE, &[&planes[0], &planes[1]], &[]);
        let color = Color { matrix: Matrix::Bt709, range: Range::Limited, ..Color::HD };
        let mut worst = 0.0f64;
        for (index, pixel) in pixels.chunks_exact(4).enumerate() {
            let (x, y) = (index as u32 % SIZE.width, index as u32 / SIZE.width);
            let own = codes(x, y, bits);
            let codes = [own[0], codes(x / 2 * 2, y, bits)[1], codes(x, y / 2 * 2, bits)[2]];
            let expected = bt::rgb(color, bits, codes.map(f64::from));
            for (got, expected) in pixel.iter().zip(expected) {
                worst = worst.max((f64::from(*got) - expected * 255.0).abs());
            }
            assert!(worst <= 0.51, "{fourcc} ({x}, {y}): {pixel:?}, expected {expected:?} (codes up to {max})");
        }
        println!("{fourcc}: at most {worst:.3} of 255 off");

        // And drawn: luma falls, chroma is of the place.
        let whole = if bits == 8 { 255.0 } else { 65535.0 };
        let shift = if bits == 8 { 0 } else { 16 - bits };
        let luma = format!(
            "fn color(at: vec2u) -> vec4f {{ return vec4f(f32((({max}u - at.x * 3u - at.y) & {max}u) << {shift}u) / {whole:.1}); }}"
        );
        let chroma = format!(
            "fn color(at: vec2u) -> vec4f {{
                return vec4f(f32((at.x * 7u) << {shift}u) / {whole:.1}, f32((at.y * 5u + 1u) << {shift}u) / {whole:.1}, 0.0, 0.0);
            }}"
        );
        for (plane, text) in planes.iter().zip([&luma, &chroma]) {
            Painter::new(&both.wgpu, text, 0).paint(Use::overwrite(plane), &[], &[]).unwrap().wait(LIMIT).unwrap();
        }
        let map = buffer.map(Access::Read).unwrap();
        for y in 0..SIZE.height {
            let luma: Vec<u8> = (0..SIZE.width).flat_map(|x| sample((max - x * 3 - y) & max)).collect();
            assert!(map.row(0, y)[..luma.len()] == luma, "{fourcc}: luma row {y}");
            if y % 2 == 0 {
                let chroma: Vec<u8> =
                    (0..SIZE.width / 2).flat_map(|x| [x * 7, y / 2 * 5 + 1]).flat_map(sample).collect();
                assert!(map.row(1, y / 2)[..chroma.len()] == chroma, "{fourcc}: chroma row {}", y / 2);
            }
        }
    }
}

/// Every modifier that this device lists, in memory of its own: the processor reads linear memory, GLES what it takes.
#[test]
fn memory_that_wgpu_makes_is_a_buffer() {
    let Some(both) = both() else { return };
    let Some(modifiers) = or_skip("vulkan", both.wgpu.modifiers(Fourcc::ABGR8888)) else { return };
    assert!(modifiers.contains(&Modifier::LINEAR), "{modifiers:?}");
    for modifier in modifiers {
        let made = Texture::allocate(&both.wgpu, SIZE, Fourcc::ABGR8888, usage(), &[modifier]);
        let Some(texture) = or_skip("vulkan", made) else { return };
        println!("{} by {}", texture.buffer().layout(), texture.buffer().provenance().allocator);
        let work = Painter::new(&both.wgpu, PATTERN, 0).paint(Use::overwrite(&texture), &[], &[]).unwrap();
        work.wait(LIMIT).unwrap();
        if modifier == Modifier::LINEAR {
            let map = texture.buffer().map(Access::Read).unwrap();
            let rows: Vec<u8> = (0..SIZE.height).flat_map(|y| map.row(0, y).to_vec()).collect();
            is_pattern(&rows, "drawn by wgpu, read by the processor");
        }
        is_pattern(&read(&both.wgpu, &texture, &[]).unwrap(), "drawn and copied by wgpu");
        let Some(taken) = or_skip("vulkan-egl", EglImage::import(&both.display, texture.buffer())) else { continue };
        let sampled = draw::sampled(&both.gl, &GlTexture::from_image(&both.gl, &taken).unwrap()).unwrap();
        is_pattern(&sampled, "made and drawn by wgpu, sampled by GLES");
    }
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let Some(wgpu) = device() else { return };
    let options = Options::default();
    let none = Choice::Name("no such device".into());
    refused(Device::open(&none, &options), ErrorKind::NotFound, &["no such device", &wgpu.info().name]);
    refused(Device::of(&[7; 16]), ErrorKind::NotFound, &["0707", &wgpu.info().name]);
    let memfd = common::files::buffer(SIZE, Fourcc::ABGR8888);
    refused(Texture::import(&wgpu, &memfd, usage()), ErrorKind::Unsupported, &["memfd", "require_dma_buf"]);
    let Some(both) = both() else { return };
    let planes = both.buffer.layout().planes().to_vec();
    let again = |fourcc: Fourcc, modifier: Modifier| {
        let layout = Layout::new(fourcc, SIZE, modifier, &planes).unwrap();
        Buffer::from_fds(layout, vec![both.buffer.plane_fd(0).try_clone_to_owned().unwrap()]).unwrap()
    };
    let fds = open_fds();
    let wrong = again(Fourcc::ABGR8888, Modifier(0x0123_4567_89ab_cdef));
    refused(
        Texture::import(&both.wgpu, &wrong, usage()),
        ErrorKind::Unsupported,
        &["0x0123456789abcdef", "LINEAR", "negotiate"],
    );
    let grey = again(Fourcc::from_chars(b"AYUV"), Modifier::LINEAR);
    refused(Texture::import(&both.wgpu, &grey, usage()), ErrorKind::Unsupported, &["no format with the bytes of AYUV"]);
    refused(
        Texture::import(&both.wgpu, &both.buffer, TextureUsages::STORAGE_BINDING),
        ErrorKind::InvalidInput,
        &["STORAGE_BINDING", "RENDER_ATTACHMENT"],
    );
    drop((wrong, grey));
    assert_eq!(open_fds(), fds);
    // A texture of another device, and a usage that wgpu's validation refuses.
    let Some(texture) = both.texture() else { return };
    refused(clear(&wgpu, Use::overwrite(&texture), 0.0), ErrorKind::InvalidInput, &["another device"]);
    refused(wgpu.submit(&[Use::read(&texture)], &[], []), ErrorKind::InvalidInput, &["another device"]);
    let sampled = Texture::import(&both.wgpu, &both.buffer, TextureUsages::TEXTURE_BINDING).unwrap();
    refused(clear(&both.wgpu, Use::overwrite(&sampled), 0.0), ErrorKind::InvalidInput, &["RENDER_ATTACHMENT"]);
    refused(read(&both.wgpu, &sampled, &[]), ErrorKind::InvalidInput, &["COPY_SRC"]);
    // The device goes on.
    let painter = Painter::new(&both.wgpu, PATTERN, 0);
    painter.paint(Use::overwrite(&texture), &[], &[]).unwrap().wait(LIMIT).unwrap();
    is_pattern(&read(&both.wgpu, &texture, &[]).unwrap(), "drawn behind errors");
}

/// wgpu makes views of its own format over an image of ours.
#[test]
fn both_sides_have_the_same_vulkan_format() {
    use darkframe::vulkan::ash::vk::Format as Vk;
    use darkframe::vulkan::formats;
    use darkframe::wgpu::texture::format_of;
    use darkframe::wgpu::wgpu::TextureFormat as Wgpu;
    let mut count = 0;
    for format in darkframe::format::FORMATS {
        let fourcc: Fourcc = format.name.parse().unwrap();
        let Ok(theirs) = format_of(fourcc) else { continue };
        // As `conv::map_texture_format` of wgpu-hal writes them.
        let expected = match theirs {
            Wgpu::R8Unorm => Vk::R8_UNORM,
            Wgpu::R16Unorm => Vk::R16_UNORM,
            Wgpu::Rg8Unorm => Vk::R8G8_UNORM,
            Wgpu::Rg16Unorm => Vk::R16G16_UNORM,
            Wgpu::Bgra8Unorm => Vk::B8G8R8A8_UNORM,
            Wgpu::Rgba8Unorm => Vk::R8G8B8A8_UNORM,
            Wgpu::Rgb10a2Unorm => Vk::A2B10G10R10_UNORM_PACK32,
            Wgpu::Rgba16Unorm => Vk::R16G16B16A16_UNORM,
            Wgpu::Rgba16Float => Vk::R16G16B16A16_SFLOAT,
            other => panic!("{other:?}"),
        };
        assert_eq!(formats::of(fourcc).unwrap(), expected, "{fourcc}");
        count += 1;
    }
    assert_eq!(count, 14);
    refused(format_of(Fourcc::NV12), ErrorKind::Unsupported, &["NV12", "import_planes"]);
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Frames of another process, a new fd of a known memory each time; textures that are dropped while they are drawn.
#[test]
fn hundreds_of_frames_leave_nothing_behind() {
    let Some(both) = both() else { return };
    if both.texture().is_none() {
        return;
    }
    let painter = Painter::new(&both.wgpu, PATTERN, 0);
    let mut imports = Imports::new(&both.wgpu, usage());
    let received = || {
        let fd = both.buffer.plane_fd(0).try_clone_to_owned().unwrap();
        Buffer::from_fds(both.buffer.layout().clone(), vec![fd]).unwrap()
    };
    let (mut fds, mut maps) = (0, 0);
    for round in 0..310 {
        let known = imports.take(&received()).unwrap();
        painter.paint(Use::overwrite(&known[0]), &[], &[]).unwrap().wait(LIMIT).unwrap();
        let fresh = Texture::import(&both.wgpu, &received(), usage()).unwrap();
        let work = painter.paint(Use::overwrite(&fresh), &[], &[]).unwrap();
        drop(fresh);
        work.wait(LIMIT).unwrap();
        both.wgpu.wait(LIMIT).unwrap();
        if round == 9 {
            (fds, maps) = (open_fds(), mappings());
        }
    }
    assert!(imports.imports() <= 2, "{} imports of one memory", imports.imports());
    assert!(open_fds() <= fds, "{fds} fds after 10 frames, {} after 310", open_fds());
    assert!(mappings() <= maps, "{maps} mappings after 10 frames, {} after 310", mappings());
    is_pattern(&both.sampled(&both.buffer), "the last frame");
}

/// Opening and dropping a device, with memory imported and work done, closes all that it opened.
#[test]
fn devices_close_what_they_open() {
    let Some(both) = both() else { return };
    let once = || {
        let device = device().unwrap();
        let texture = Texture::import(&device, &both.buffer, usage()).unwrap();
        let work = clear(&device, Use::overwrite(&texture), 1.0).unwrap();
        // The texture has the device; the work goes on without either.
        drop(device);
        drop(texture);
        work.wait(LIMIT).unwrap();
    };
    if both.texture().is_none() {
        return;
    }
    once();
    once();
    let fds = open_fds();
    for _ in 0..5 {
        once();
    }
    assert!(open_fds() <= fds, "{fds} fds, then {}", open_fds());
    let pixels = both.sampled(&both.buffer);
    assert!(pixels.iter().all(|byte| *byte == 255));
}

/// A fence that nobody signals ends in words; one that is signaled later holds the work back until then.
#[test]
fn fences_hold_work_back() {
    let Some(wgpu) = device() else { return };
    let Some(clock) = sw_sync::Timeline::open() else { return };
    let gate = clock.fence(1);
    let fds = open_fds();
    if wgpu.info().is_software {
        refused(wgpu.submit(&[], &[&gate], []), ErrorKind::Timeout, &["not signaled"]);
        assert_eq!(open_fds(), fds);
    } else {
        let work = wgpu.submit(&[], &[&gate], []).unwrap();
        refused(work.wait(Duration::from_millis(50)), ErrorKind::Timeout, &["not signaled"]);
    }
    let signaled = clock.increment_later();
    let work = wgpu.submit(&[], &[&gate], []).unwrap();
    work.wait(LIMIT).unwrap();
    assert!(Instant::now() >= signaled.recv().unwrap(), "the work did not wait");
    // A driver that draws with the processor waits on whatever thread asks, without an end: that is done here, with one.
    let expected = if wgpu.info().is_software { (0, 1) } else { (1, 0) };
    assert_eq!((work.gpu_waits, work.cpu_waits), expected);
    // One that has signaled is waited for by nobody.
    let work = wgpu.submit(&[], &[&gate], []).unwrap();
    assert_eq!((work.gpu_waits, work.cpu_waits), (0, 0));
    work.wait(LIMIT).unwrap();
}

/// What wgpu draws into a display's memory is what the display shows: vkms writes it back.
#[cfg(feature = "kms")]
#[test]
fn a_display_shows_what_wgpu_renders() {
    use darkframe::kms;
    let _alone = common::screens();
    let Some(wgpu) = device() else { return };
    let board = Board::parse(std::path::Path::new("vkms.toml"), "name = \"vkms\"\n[drm]\ndumb = \"vkms\"\n").unwrap();
    let Some(machine) = or_skip("kms", Machine::open(&board)) else { return };
    let size = Size::new(640, 480);
    let usage = Usage::CPU_READ | Usage::CPU_WRITE | Usage::SCANOUT;
    let request = Request::new(size, Fourcc::XRGB8888).usage(usage).only(AllocatorKind::Dumb).require_dma_buf();
    let buffer = || machine.allocate(&request).unwrap();
    let (buffers, into) = ([buffer(), buffer()], buffer());
    let import = |buffer: &Buffer| Texture::import(&wgpu, buffer, TextureUsages::RENDER_ATTACHMENT);
    let textures = buffers.each_ref().map(import);
    let textures = textures.into_iter().collect::<Result<Vec<_>>>();
    let Some(textures) = or_skip("vulkan", textures) else { return };
    let options = kms::Options { device: Some("vkms".into()), connector: None, write_back: true };
    let mut screen = kms::Screen::open(&options, size).unwrap();
    for frame in 0..6u32 {
        let text = format!(
            "fn color(at: vec2u) -> vec4f {{
                return vec4f(vec4u((at.x + {frame}u * 16u) & 255u, (at.y * 3u) & 255u, (at.x ^ at.y) & 255u, 255u)) / 255.0;
            }}"
        );
        let at = frame as usize % 2;
        let work = Painter::new(&wgpu, &text, 0).paint(Use::overwrite(&textures[at]), &[], &[]).unwrap();
        let mut done = work.fence;
        let mut fences = std::collections::VecDeque::new();
        let mut again = 0;
        // As in tests/kms.rs: vkms now and then needs to be asked twice for a write-back.
        loop {
            let told = screen.show(buffers[at].clone(), done.take(), Box::new(()), Some(&into)).unwrap();
            fences.push_back(told.expect("a fence of the write-back"));
            match fences.pop_front().unwrap().wait(Some(Duration::from_secs(5))) {
                Ok(()) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout, "{error}"),
            }
            again += 1;
            assert!(again < 10, "frame {frame}");
        }
        let map = into.map(Access::Read).unwrap();
        for y in 0..size.height {
            let row = map.row(0, y);
            for x in 0..size.width {
                let expected = [(x ^ y) as u8, (y * 3) as u8, (x + frame * 16) as u8];
                assert_eq!(row[x as usize * 4..][..3], expected, "frame {frame} ({x}, {y})");
            }
        }
    }
    screen.settle().unwrap();
}
