//! EGL and GLES on the driver of this machine: no mocks. Skips only where the driver says `Unsupported`.

use std::path::Path;

use darkframe::allocator::{Request, Usage};
use darkframe::board::{Board, EglPlatform};
use darkframe::buffer::Access;
use darkframe::color::{Color, Matrix, Range, Siting};
use darkframe::device::Device;
use darkframe::egl::raw::{Limit, open_limited};
use darkframe::egl::{Context, ContextOptions, Display, FenceWay, Image, ImportOptions, UseModifier};
use darkframe::error::{ErrorKind, Result};
use darkframe::format::Fourcc;
use darkframe::gles::program::Uniform;
use darkframe::gles::yuv::{glsl_head, glsl_vertex, views};
use darkframe::gles::{
    Filter, Framebuffer, Gl, Input, InputBinding, PackRing, Program, ProgramSource, ShaderVersion, Texture,
    TextureOptions, Wrap, read_pixels,
};
use darkframe::layout::{Constraints, Size};

fn display() -> Display {
    let device = Device::open(&Board::generic()).unwrap();
    Display::open(&device).expect("this machine has EGL")
}

fn with_gl(max_version: Option<(u8, u8)>, test: impl Fn(&Gl)) {
    let options = ContextOptions { max_version, ..ContextOptions::default() };
    let context = Context::with_options(&display(), &options).unwrap();
    let gl = context.make_current().unwrap();
    test(&gl);
    gl.check().unwrap();
}

/// Runs a test on the newest version and on the floor.
fn with_both(test: impl Fn(&Gl)) {
    with_gl(None, &test);
    with_gl(Some((2, 0)), &test);
}

/// The value, or a printed reason to skip.
fn or_skip<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            println!("SKIP: {error}");
            None
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn target(gl: &Gl, size: Size) -> Framebuffer {
    Framebuffer::new(gl, Texture::new(gl, size, &TextureOptions::default()).unwrap()).unwrap()
}

fn read(gl: &Gl, framebuffer: &Framebuffer) -> Vec<u8> {
    let mut out = vec![0; framebuffer.size().pixels() as usize * 4];
    read_pixels(gl, framebuffer, &mut out).unwrap();
    out
}

/// The newest language of the context, and a body around `expression` in it.
fn newest(gl: &Gl) -> ShaderVersion {
    if gl.caps().at_least(3, 0) { ShaderVersion::Essl300 } else { ShaderVersion::Essl100 }
}

fn body(version: ShaderVersion, expression: &str) -> String {
    match version {
        ShaderVersion::Essl100 => format!("void main() {{\n    gl_FragColor = {expression};\n}}\n"),
        _ => format!("out vec4 color;\nvoid main() {{\n    color = {expression};\n}}\n"),
    }
}

fn program(gl: &Gl, version: ShaderVersion, inputs: &[Input<'_>], body: &str) -> Result<Program> {
    let vertex = glsl_vertex(version, inputs)?;
    let prelude = glsl_head(version, inputs)?;
    let source = ProgramSource {
        name: "test",
        version,
        vertex: &vertex,
        prelude: &prelude,
        body,
        body_path: Path::new("shaders/test.frag"),
    };
    Program::new(gl, &source)
}

#[test]
fn display_is_one_per_native_display_and_lives_with_its_handles() {
    let device = Device::open(&Board::generic()).unwrap();
    let first = Display::open(&device).unwrap();
    let second = Display::open(&device).unwrap();
    assert_eq!(first.to_string(), second.to_string());
    assert!(first.version() >= (1, 4), "{first}");
    assert!(first.client_apis().contains("OpenGL_ES"));
    println!("{first}, driver {:?}", first.driver_name());
    drop(first);
    // The second handle still works after the first is gone, and a display can be opened again after the last.
    Context::new(&second).unwrap().make_current().unwrap().check().unwrap();
    drop(second);
    Context::new(&Display::open(&device).unwrap()).unwrap().make_current().unwrap().check().unwrap();
}

#[test]
fn missing_library_names_what_was_tried() {
    let mut board = Board::generic();
    board.egl.libraries = vec!["libEGL-that-is-not-there.so.1".into()];
    let error = Display::open(&Device::open(&board).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.contains("libEGL-that-is-not-there.so.1") && text.contains("libegl1"), "{text}");
}

#[test]
fn every_platform_opens_or_says_why() {
    let device = Device::open(&Board::generic()).unwrap();
    for platform in [EglPlatform::Surfaceless, EglPlatform::Device, EglPlatform::Default] {
        if let Some(display) = or_skip(Display::open_on(&device, platform, None)) {
            println!("{display}");
            Context::new(&display).unwrap().make_current().unwrap().check().unwrap();
        }
    }
    let error = Display::open_on(&device, EglPlatform::Gbm, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn no_platform_lists_every_attempt() {
    let mut board = Board::generic();
    board.egl.platforms = vec![EglPlatform::Gbm];
    let device = Device::open(&board).unwrap();
    if device.nodes().is_empty() {
        let error = Display::open(&device).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("gbm: no DRM node could be opened"), "{error}");
    }
}

#[test]
fn newest_context_and_the_floor() {
    with_gl(None, |gl| assert!(gl.caps().at_least(2, 0), "{gl:?}"));
    with_gl(Some((2, 0)), |gl| {
        assert_eq!(gl.caps().version, (2, 0));
        let error = program(gl, ShaderVersion::Essl300, &[], &body(ShaderVersion::Essl300, "vec4(1)")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let error = PackRing::new(gl, Size::new(4, 4), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
    let options = ContextOptions { max_version: Some((1, 1)), ..ContextOptions::default() };
    assert_eq!(Context::with_options(&display(), &options).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A driver that truly has nothing above 2.0: every glow function beyond is absent or refused.
#[test]
fn a_driver_with_2_0_only() {
    if std::env::var_os("MESA_GLES_VERSION_OVERRIDE").is_none() {
        // The variable is read when the driver starts: a process of its own.
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_driver_with_2_0_only", "--nocapture"])
            .env("MESA_GLES_VERSION_OVERRIDE", "2.0")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    with_gl(None, |gl| {
        if gl.caps().version != (2, 0) {
            return println!("SKIP: {} does not heed MESA_GLES_VERSION_OVERRIDE", gl.caps().version_text);
        }
        clear_and_draw(gl);
        upload_every_stride(gl);
        nv12_probe(gl);
    });
}

#[test]
fn one_thread_and_one_context_at_a_time() {
    let display = display();
    let (first, second) = (Context::new(&display).unwrap(), Context::new(&display).unwrap());
    let gl = first.make_current().unwrap();
    assert_eq!(first.make_current().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(second.make_current().unwrap_err().kind(), ErrorKind::InvalidInput);
    let elsewhere = first.clone();
    let error = std::thread::spawn(move || elsewhere.make_current().map(drop).unwrap_err()).join().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    drop(gl);
    // Free again, on another thread too.
    std::thread::spawn(move || first.make_current().unwrap().check().unwrap()).join().unwrap();
    second.make_current().unwrap().check().unwrap();
}

fn clear_and_draw(gl: &Gl) {
    let framebuffer = target(gl, Size::new(5, 3));
    gl.clear([0.0, 1.0, 0.2, 1.0]);
    assert!(read(gl, &framebuffer).chunks(4).all(|pixel| pixel == [0, 255, 51, 255]));

    // Row 0 of memory is uv.y = 0: the top row is dark, the bottom row bright.
    let version = newest(gl);
    let program = program(gl, version, &[], &body(version, "vec4(df_uv, 0.0, 1.0)")).unwrap();
    framebuffer.bind(gl).unwrap();
    program.draw_triangle(gl).unwrap();
    let pixels = read(gl, &framebuffer);
    for (index, pixel) in pixels.chunks(4).enumerate() {
        let expected = |at: usize, of: f64| ((at as f64 + 0.5) / of * 255.0).round() as i32;
        assert!((i32::from(pixel[0]) - expected(index % 5, 5.0)).abs() <= 1, "{index}: {pixel:?}");
        assert!((i32::from(pixel[1]) - expected(index / 5, 3.0)).abs() <= 1, "{index}: {pixel:?}");
    }
    let mut short = vec![0; 7];
    assert_eq!(read_pixels(gl, &framebuffer, &mut short).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn clear_and_draw_land_where_they_should() {
    with_both(clear_and_draw);
}

/// Contexts of two threads on one display, a fence after every draw: Mesa's software rasteriser does not live through
/// this with native fences (`egl::faults`; with `DARKFRAME_NO_FAULT_RULES=1` it can be seen to die).
#[test]
fn two_threads_draw_and_make_fences_side_by_side() {
    let display = display();
    let draw = || {
        for _ in 0..8 {
            let context = Context::new(&display).unwrap();
            let gl = context.make_current().unwrap();
            let framebuffer = target(&gl, Size::new(128, 128));
            let program = program(&gl, newest(&gl), &[], &body(newest(&gl), "vec4(df_uv, 0.0, 1.0)")).unwrap();
            for frame in 0..30 {
                framebuffer.bind(&gl).unwrap();
                program.draw_triangle(&gl).unwrap();
                if frame % 2 == 1 {
                    // Nothing of this context is left to wait for: that is when the fault was seen.
                    assert_eq!(read(&gl, &framebuffer)[..4], [1, 1, 0, 255]);
                }
                if let Some(fence) = gl.fence().unwrap() {
                    fence.wait(Some(std::time::Duration::from_secs(10))).unwrap();
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(draw);
        draw();
    });
}

#[test]
fn a_debug_robust_context_works() {
    let options = ContextOptions { debug: true, ..ContextOptions::default() };
    let context = Context::with_options(&display(), &options).unwrap();
    let gl = context.make_current().unwrap();
    clear_and_draw(&gl);
    println!("robust: {}, {gl:?}", context.is_robust());
}

fn picture(fourcc: Fourcc, size: Size, gl: &Gl, bytes: &[u8], stride: u32) -> Texture {
    let options = TextureOptions { fourcc, filter: Filter::Nearest, wrap: Wrap::ClampToEdge };
    let texture = Texture::new(gl, size, &options).unwrap();
    texture.upload(gl, bytes, stride).unwrap();
    texture
}

/// Draws one RGB texture at its own size.
fn show(gl: &Gl, texture: &Texture) -> Vec<u8> {
    let binding = InputBinding::Rgb { swizzle: texture.swizzle().to_owned() };
    let input = Input { name: "picture", binding, color: Color::SRGB, size: texture.size(), convert: None };
    let version = newest(gl);
    let program = program(gl, version, std::slice::from_ref(&input), &body(version, "picture()")).unwrap();
    let framebuffer = target(gl, texture.size());
    input.bind(gl, &program, &[texture], 0).unwrap();
    framebuffer.bind(gl).unwrap();
    program.draw_triangle(gl).unwrap();
    read(gl, &framebuffer)
}

fn upload_every_stride(gl: &Gl) {
    let size = Size::new(3, 2);
    // (format, bytes of a pixel, what its first byte becomes)
    for (fourcc, pixel_bytes) in [
        (Fourcc::ABGR8888, 4),
        (Fourcc::ARGB8888, 4),
        (Fourcc::XBGR8888, 4),
        (Fourcc::RGB888, 3),
        (Fourcc::R8, 1),
        (Fourcc::GR88, 2),
    ] {
        let row = 3 * pixel_bytes;
        for stride in [row, row + pixel_bytes, row + 1, row + 5] {
            let mut bytes = vec![0xEE; stride + row];
            for y in 0..2 {
                for x in 0..row {
                    bytes[y * stride + x] = (y * 100 + x * 7 + 1) as u8;
                }
            }
            let got = show(gl, &picture(fourcc, size, gl, &bytes, stride as u32));
            for (index, pixel) in got.chunks(4).enumerate() {
                let (x, y) = (index % 3, index / 3);
                let at = |component: usize| bytes[y * stride + x * pixel_bytes + component];
                let expected = match fourcc {
                    Fourcc::ABGR8888 => [at(0), at(1), at(2), at(3)],
                    Fourcc::ARGB8888 => [at(2), at(1), at(0), at(3)],
                    Fourcc::XBGR8888 => [at(0), at(1), at(2), 255],
                    Fourcc::RGB888 => [at(2), at(1), at(0), 255],
                    Fourcc::GR88 => [at(0), at(1), 0, 255],
                    _ => [at(0), 0, 0, 255],
                };
                assert_eq!(pixel, expected, "{fourcc} stride {stride} ({x}, {y}) {gl:?}");
            }
        }
    }
    let texture = Texture::new(gl, size, &TextureOptions::default()).unwrap();
    assert_eq!(texture.upload(gl, &[0; 23], 12).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(texture.upload(gl, &[0; 24], 11).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(texture.upload(gl, &[0; 24], u32::MAX).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn uploads_of_every_stride_are_exact() {
    with_both(upload_every_stride);
}

#[test]
fn formats_without_gl_names_and_sizes_too_large_are_refused() {
    with_both(|gl| {
        let new = |fourcc, size| Texture::new(gl, size, &TextureOptions { fourcc, ..TextureOptions::default() });
        assert_eq!(new(Fourcc::NV12, Size::new(4, 4)).unwrap_err().kind(), ErrorKind::Unsupported);
        let large = Size::new(gl.caps().max_texture_size + 1, 1);
        assert_eq!(new(Fourcc::ABGR8888, large).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(new(Fourcc::ABGR8888, Size::new(0, 4)).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

/// Y'CbCr to R'G'B' in codes, straight from the recommendations: independent of `Color::yuv_to_rgb`.
fn reference(color: &Color, [y, u, v]: [f64; 3]) -> [f64; 3] {
    let (kr, kb) = match color.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
        Matrix::Smpte240m | Matrix::Identity => unreachable!("not asked for here"),
    };
    let (y, pb, pr) = match color.range {
        Range::Limited => ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
        Range::Full => (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
    };
    let red = y + 2.0 * (1.0 - kr) * pr;
    let blue = y + 2.0 * (1.0 - kb) * pb;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|value| value.clamp(0.0, 1.0) * 255.0)
}

const SIX: [(Matrix, Range); 6] = [
    (Matrix::Bt601, Range::Limited),
    (Matrix::Bt601, Range::Full),
    (Matrix::Bt709, Range::Limited),
    (Matrix::Bt709, Range::Full),
    (Matrix::Bt2020, Range::Limited),
    (Matrix::Bt2020, Range::Full),
];

/// Draws a YUV picture given as the bytes of its planes, tight rows.
fn show_yuv(gl: &Gl, version: ShaderVersion, fourcc: Fourcc, size: Size, color: Color, planes: &[Vec<u8>]) -> Vec<u8> {
    let textures: Vec<Texture> = views(fourcc, size)
        .unwrap()
        .iter()
        .map(|view| {
            let stride = planes[view.plane].len() as u32 / view.size.height;
            picture(view.fourcc, view.size, gl, &planes[view.plane], stride)
        })
        .collect();
    let swizzles = textures.iter().map(|texture| texture.swizzle().to_owned()).collect();
    let input =
        Input { name: "camera", binding: InputBinding::Planes { fourcc, swizzles }, color, size, convert: None };
    let program = program(gl, version, std::slice::from_ref(&input), &body(version, "camera()")).unwrap();
    let framebuffer = target(gl, size);
    let next = input.bind(gl, &program, &textures.iter().collect::<Vec<_>>(), 0).unwrap();
    assert_eq!(next as usize, textures.len());
    framebuffer.bind(gl).unwrap();
    program.draw_triangle(gl).unwrap();
    read(gl, &framebuffer)
}

fn close(got: &[u8], expected: [f64; 3], what: &str) {
    for (got, expected) in got.iter().zip(expected) {
        assert!((f64::from(*got) - expected).abs() <= 1.0, "{what}: {got} for {expected:.2}");
    }
}

/// The colour that tells all six conversions apart, in every language of the context.
fn nv12_probe(gl: &Gl) {
    let size = Size::new(4, 4);
    let planes = [vec![165; 16], [145, 40].repeat(4)];
    for (matrix, range) in SIX {
        let color = Color { matrix, range, ..Color::HD };
        let mut versions = vec![ShaderVersion::Essl100];
        versions.extend(gl.caps().at_least(3, 0).then_some(ShaderVersion::Essl300));
        for version in versions {
            let got = show_yuv(gl, version, Fourcc::NV12, size, color, &planes);
            for pixel in got.chunks(4) {
                close(pixel, reference(&color, [165.0, 145.0, 40.0]), &format!("{matrix:?} {range:?} {version:?}"));
                assert_eq!(pixel[3], 255);
            }
        }
    }
}

#[test]
fn nv12_in_six_conversions_matches_the_recommendations() {
    with_both(nv12_probe);
}

/// Every format whose planes a shader reads, with Y, U and V of their own in every pixel.
#[test]
fn every_plane_format_puts_y_u_and_v_where_they_belong() {
    let size = Size::new(4, 4);
    let color = Color { matrix: Matrix::Bt601, range: Range::Limited, ..Color::HD };
    let luma: Vec<u8> = (0..16).map(|index| 50 + index * 10).collect();
    let (u, v) = (90u8, 180u8);
    let pairs = |first: u8, second: u8, count: usize| [first, second].repeat(count);
    let packed = |order: [usize; 4]| {
        // order: where Y0, U, Y1, V go.
        luma.chunks(2)
            .flat_map(|pair| {
                let mut bytes = [0; 4];
                for (at, value) in order.into_iter().zip([pair[0], u, pair[1], v]) {
                    bytes[at] = value;
                }
                bytes
            })
            .collect::<Vec<u8>>()
    };
    let cases: Vec<(Fourcc, Vec<Vec<u8>>)> = vec![
        (Fourcc::NV12, vec![luma.clone(), pairs(u, v, 4)]),
        (Fourcc::NV21, vec![luma.clone(), pairs(v, u, 4)]),
        (Fourcc::NV16, vec![luma.clone(), pairs(u, v, 8)]),
        (Fourcc::NV24, vec![luma.clone(), pairs(u, v, 16)]),
        (Fourcc::NV42, vec![luma.clone(), pairs(v, u, 16)]),
        (Fourcc::YUV420, vec![luma.clone(), vec![u; 4], vec![v; 4]]),
        (Fourcc::YVU420, vec![luma.clone(), vec![v; 4], vec![u; 4]]),
        (Fourcc::YUV422, vec![luma.clone(), vec![u; 8], vec![v; 8]]),
        (Fourcc::YUV444, vec![luma.clone(), vec![u; 16], vec![v; 16]]),
        (Fourcc::YUV410, vec![luma.clone(), vec![u; 1], vec![v; 1]]),
        (Fourcc::YUYV, vec![packed([0, 1, 2, 3])]),
        (Fourcc::YVYU, vec![packed([0, 3, 2, 1])]),
        (Fourcc::UYVY, vec![packed([1, 0, 3, 2])]),
        (Fourcc::VYUY, vec![packed([1, 2, 3, 0])]),
        (Fourcc::XYUV8888, vec![luma.iter().flat_map(|y| [v, u, *y, 0]).collect()]),
        (Fourcc::XVUY8888, vec![luma.iter().flat_map(|y| [*y, u, v, 0]).collect()]),
    ];
    with_both(|gl| {
        for (fourcc, planes) in &cases {
            let got = show_yuv(gl, newest(gl), *fourcc, size, color, planes);
            for (index, pixel) in got.chunks(4).enumerate() {
                let expected = reference(&color, [f64::from(luma[index]), f64::from(u), f64::from(v)]);
                close(pixel, expected, &format!("{fourcc} pixel {index} {gl:?}"));
            }
        }
    });
}

#[test]
fn ten_bits_use_the_whole_range() {
    with_gl(None, |gl| {
        let texture = TextureOptions { fourcc: Fourcc::R16, ..TextureOptions::default() };
        if or_skip(Texture::new(gl, Size::new(4, 4), &texture)).is_none() {
            return;
        }
        let color = Color { matrix: Matrix::Bt709, range: Range::Limited, ..Color::HD };
        let code = |value: u16| (value << 6).to_le_bytes();
        let luma: Vec<u8> = [64, 940, 300, 700].iter().flat_map(|y| code(*y)).collect::<Vec<u8>>().repeat(4);
        let chroma: Vec<u8> = [code(512), code(512)].concat().repeat(4);
        let got = show_yuv(gl, newest(gl), Fourcc::P010, Size::new(4, 4), color, &[luma, chroma]);
        for (index, y) in [64.0, 940.0, 300.0, 700.0].into_iter().enumerate() {
            close(&got[index * 4..], [(y - 64.0) / 876.0 * 255.0; 3], &format!("code {y}"));
        }
    });
}

#[test]
fn siting_moves_chroma_by_a_quarter() {
    // One row of two chroma samples, 0 and 255 in U: with linear filtering the blue channel shows where they sit.
    with_both(|gl| {
        let blue = |siting| {
            let size = Size::new(4, 2);
            let color = Color { matrix: Matrix::Bt601, range: Range::Full, siting, ..Color::HD };
            let planes = [vec![128; 8], vec![96, 128, 160, 128]];
            let textures: Vec<Texture> = views(Fourcc::NV12, size)
                .unwrap()
                .iter()
                .map(|view| {
                    let options = TextureOptions { fourcc: view.fourcc, filter: view.filter, wrap: Wrap::ClampToEdge };
                    let texture = Texture::new(gl, view.size, &options).unwrap();
                    texture.upload(gl, &planes[view.plane], 4).unwrap();
                    texture
                })
                .collect();
            let swizzles = textures.iter().map(|texture| texture.swizzle().to_owned()).collect();
            let binding = InputBinding::Planes { fourcc: Fourcc::NV12, swizzles };
            let input = Input { name: "camera", binding, color, size, convert: None };
            let version = newest(gl);
            // Once as "this pixel", once by position: both must agree.
            ["camera()", "camera(df_uv)"].map(|call| {
                let program = program(gl, version, std::slice::from_ref(&input), &body(version, call)).unwrap();
                let framebuffer = target(gl, size);
                input.bind(gl, &program, &textures.iter().collect::<Vec<_>>(), 0).unwrap();
                framebuffer.bind(gl).unwrap();
                program.draw_triangle(gl).unwrap();
                read(gl, &framebuffer)[..16].chunks(4).map(|pixel| pixel[2]).collect::<Vec<u8>>()
            })
        };
        let expected = |weights: [f64; 4]| weights.map(|w| 128.0 + 1.772 * (96.0 + 64.0 * w - 128.0));
        for (siting, weights) in [
            (Siting::Center, [0.0, 0.25, 0.75, 1.0]),
            (Siting::Left, [0.0, 0.5, 1.0, 1.0]),
            (Siting::TopLeft, [0.0, 0.5, 1.0, 1.0]),
        ] {
            for got in blue(siting) {
                for (got, expected) in got.iter().zip(expected(weights)) {
                    assert!((f64::from(*got) - expected).abs() <= 1.5, "{siting:?}: {got} for {expected}");
                }
            }
        }
    });
}

#[test]
fn compile_errors_point_at_the_authors_line() {
    with_both(|gl| {
        let version = newest(gl);
        let broken = body(version, "vec4(1.0)") + "float f() {\n    return wrong;\n}\n";
        let error = program(gl, version, &[], &broken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shader);
        let (line, _) = error.span().expect("a place").line_column();
        assert_eq!(broken.lines().nth(line - 1).unwrap().trim(), "return wrong;", "{error}");
        assert!(error.to_string().starts_with(&format!("shaders/test.frag:{line}:")), "{error}");
        assert!(error.detail().contains("wrong"), "{error}");

        let error = program(gl, version, &[], "#version 100\nvoid main() {}\n").unwrap_err();
        assert_eq!((error.kind(), error.span().unwrap().line_column()), (ErrorKind::Shader, (1, 1)));
        let error = program(gl, version, &[], "void f() {}\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shader, "{error}");
    });
}

#[test]
fn uniforms_are_typed() {
    with_both(|gl| {
        let version = newest(gl);
        let text = format!("uniform vec4 tint;\nuniform float unused;\n{}", body(version, "tint"));
        let text = if version == ShaderVersion::Essl300 { text } else { text.replace("uniform float unused;\n", "") };
        let program = program(gl, version, &[], &text).unwrap();
        assert!(program.has_uniform("tint"));
        assert!(program.set(gl, "tint", Uniform::Vec4([1.0, 0.0, 0.4, 1.0])).unwrap());
        assert!(!program.set(gl, "unused", Uniform::Float(1.0)).unwrap());
        assert_eq!(program.set(gl, "tint", Uniform::Float(1.0)).unwrap_err().kind(), ErrorKind::InvalidInput);
        let framebuffer = target(gl, Size::new(2, 2));
        program.draw_triangle(gl).unwrap();
        assert_eq!(read(gl, &framebuffer)[..4], [255, 0, 102, 255]);
    });
}

#[test]
fn names_are_queued_and_deleted_when_current() {
    let context = Context::new(&display()).unwrap();
    let gl = context.make_current().unwrap();
    let (texture, framebuffer) =
        (Texture::new(&gl, Size::new(4, 4), &TextureOptions::default()).unwrap(), target(&gl, Size::new(4, 4)));
    assert_eq!(gl.pending_names(), 0);
    drop(texture);
    assert_eq!(gl.pending_names(), 1);
    assert_eq!(gl.collect(), 1);
    drop(gl);
    // No context is current, and it is another thread.
    std::thread::spawn(move || drop(framebuffer)).join().unwrap();
    let gl = context.make_current().unwrap();
    assert_eq!(gl.pending_names(), 0, "make_current drains the queue");
    gl.check().unwrap();
}

#[test]
fn names_of_another_context_are_refused_unless_shared() {
    let display = display();
    let first = Context::new(&display).unwrap();
    let texture = {
        let gl = first.make_current().unwrap();
        picture(Fourcc::ABGR8888, Size::new(1, 1), &gl, &[10, 20, 30, 40], 4)
    };
    let stranger = Context::new(&display).unwrap();
    let error = texture.bind(&stranger.make_current().unwrap(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let options = ContextOptions { share: Some(&first), ..ContextOptions::default() };
    let sharing = Context::with_options(&display, &options).unwrap();
    let gl = sharing.make_current().unwrap();
    assert_eq!(show(&gl, &texture), [10, 20, 30, 40]);
}

#[test]
fn pack_ring_gives_frames_back_in_order() {
    with_gl(None, |gl| {
        let size = Size::new(7, 5);
        let Some(mut ring) = or_skip(PackRing::new(gl, size, 2)) else { return };
        let framebuffer = target(gl, size);
        let mut out = vec![0; 7 * 5 * 4];
        assert!(!ring.finish(gl, &mut out).unwrap());
        let mut taken = 0;
        for frame in 0..6u8 {
            if !ring.has_room() {
                assert!(ring.finish(gl, &mut out).unwrap());
                assert!(out.chunks(4).all(|pixel| pixel == [taken * 40, 0, 0, 255]), "frame {taken}: {:?}", &out[..4]);
                taken += 1;
            }
            framebuffer.bind(gl).unwrap();
            gl.clear([f32::from(frame) * 40.0 / 255.0, 0.0, 0.0, 1.0]);
            ring.start(gl, &framebuffer).unwrap();
        }
        assert_eq!(ring.start(gl, &framebuffer).unwrap_err().kind(), ErrorKind::InvalidInput);
        gl.finish();
        assert!(ring.is_ready(gl));
        assert_eq!((taken, ring.pending()), (4, 2));
        // Two buffers and two syncs: nothing stays behind until the context ends.
        gl.collect();
        drop(ring);
        assert_eq!(gl.pending_names(), 4);
        assert_eq!(gl.collect(), 4);
        gl.check().unwrap();
    });
}

#[test]
fn fences_work_by_some_way() {
    with_gl(None, |gl| {
        let framebuffer = target(gl, Size::new(64, 64));
        println!("{:?} {:?}", gl.fence_ways(), framebuffer);
        gl.clear([1.0; 4]);
        if let Some(fence) = gl.fence().unwrap() {
            gl.wait_fence(&fence).unwrap();
            fence.wait(None).unwrap();
        }
    });
}

#[test]
fn import_without_dma_buf_is_unsupported_with_a_reason() {
    let display = display();
    let Some(reason) = display.unsupported_reason() else { return println!("SKIP: {display} imports dma-bufs") };
    assert!(reason.contains("EGL_EXT_image_dma_buf_import"), "{reason}");
    assert!(display.formats().unwrap().is_empty());
    assert_eq!(display.format(Fourcc::ABGR8888).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(display.dma_buf_import(), None);
}

/// What the driver says reaches `tracing`.
#[test]
fn driver_messages_reach_tracing() {
    use std::sync::{Arc, Mutex};
    use tracing::{Event, Metadata, Subscriber, field, span};

    #[derive(Clone, Default)]
    struct Listener(Arc<Mutex<Vec<String>>>);

    impl field::Visit for Listener {
        fn record_debug(&mut self, field: &field::Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(format!("{value:?}"));
            }
        }
    }

    impl Subscriber for Listener {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "darkframe::gl"
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    // For the whole process: with one listener of one thread, tracing remembers the answer of the threads without.
    let heard = Listener::default();
    tracing::subscriber::set_global_default(heard.clone()).unwrap();
    let options = ContextOptions { debug: true, ..ContextOptions::default() };
    let context = Context::with_options(&display(), &options).unwrap();
    let gl = context.make_current().unwrap();
    if !gl.caps().extensions.has("GL_KHR_debug") {
        return println!("SKIP: {gl:?} has no GL_KHR_debug");
    }
    // An enum that does not exist: every driver reports GL errors, not every one a shader that does not compile.
    #[allow(unsafe_code)]
    // SAFETY: a context is current; a wrong enum sets an error and nothing else.
    unsafe {
        glow::HasContext::enable(gl.glow(), 0xDEAD);
    }
    gl.check().unwrap_err();
    let heard = heard.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    assert!(!heard.is_empty(), "the driver said nothing of GL_INVALID_ENUM");
}

/// The memory of a picture, plane by plane, without a copy; through both entry points of EGL.
#[test]
fn planes_of_a_dma_buf_are_read_where_they_lie() {
    let device = Device::open(&Board::generic()).unwrap();
    let display = Display::open(&device).unwrap();
    read_planes(&device, &display, &[false, true]);
}

fn read_planes(device: &Device, display: &Display, ways: &[bool]) {
    if let Some(reason) = display.unsupported_reason() {
        return println!("SKIP: {reason}");
    }
    let context = Context::new(display).unwrap();
    let gl = context.make_current().unwrap();
    let size = Size::new(36, 18);
    let color = Color { matrix: Matrix::Bt709, range: Range::Full, ..Color::HD };
    let (u, v) = (90, 180);
    for fourcc in [Fourcc::NV12, Fourcc::NV21, Fourcc::NV24, Fourcc::YUV420, Fourcc::YUYV, Fourcc::UYVY] {
        let usage = Usage::SAMPLE | Usage::CPU_WRITE;
        let request = Request::new(size, fourcc).usage(usage).require_dma_buf().constrain(Constraints::MALI).unwrap();
        let Some(buffer) = or_skip(device.allocate(&request)) else { continue };
        let luma = |x: usize, y: usize| (20 + x * 3 + y * 5) as u8;
        {
            let mut map = buffer.map(Access::Write).unwrap();
            for (plane, place) in buffer.layout().planes().iter().enumerate() {
                let row_bytes = buffer.layout().row_bytes(plane) as usize;
                for (y, row) in map.plane_mut(plane).chunks_mut(place.stride_bytes as usize).enumerate() {
                    for (x, byte) in row.iter_mut().take(row_bytes).enumerate() {
                        *byte = match (fourcc, plane) {
                            (Fourcc::YUYV, _) => [luma(x / 2, y), u, luma(x / 2, y), v][x % 4],
                            (Fourcc::UYVY, _) => [u, luma(x / 2, y), v, luma(x / 2, y)][x % 4],
                            (_, 0) => luma(x, y),
                            (Fourcc::YUV420, plane) => [u, v][plane - 1],
                            (Fourcc::NV21, _) => [v, u][x % 2],
                            _ => [u, v][x % 2],
                        };
                    }
                }
            }
        }
        for force_khr in ways.iter().copied() {
            let import = |view: &darkframe::gles::PlaneView| {
                let reinterpret = Some(view.fourcc);
                let options =
                    ImportOptions { plane: Some(view.plane), reinterpret, force_khr, ..ImportOptions::default() };
                let texture = Texture::from_image(&gl, &Image::import_with(display, &buffer, &options)?)?;
                texture.set_filter(&gl, Filter::Nearest)?;
                assert_eq!(texture.size(), view.size);
                Ok(texture)
            };
            let textures: Result<Vec<Texture>> = views(fourcc, size).unwrap().iter().map(import).collect();
            let textures = textures.unwrap_or_else(|error| panic!("{fourcc} {force_khr}: {error:?}"));
            let swizzles = textures.iter().map(|texture| texture.swizzle().to_owned()).collect();
            let input = Input {
                name: "camera",
                binding: InputBinding::Planes { fourcc, swizzles },
                color,
                size,
                convert: None,
            };
            let version = newest(&gl);
            let program = program(&gl, version, std::slice::from_ref(&input), &body(version, "camera()")).unwrap();
            let framebuffer = target(&gl, size);
            input.bind(&gl, &program, &textures.iter().collect::<Vec<_>>(), 0).unwrap();
            framebuffer.bind(&gl).unwrap();
            program.draw_triangle(&gl).unwrap();
            for (index, pixel) in read(&gl, &framebuffer).chunks(4).enumerate() {
                let (x, y) = (index % 36, index / 36);
                let expected = reference(&color, [f64::from(luma(x, y)), f64::from(u), f64::from(v)]);
                close(pixel, expected, &format!("{fourcc} ({x}, {y}) khr {force_khr}"));
            }
        }
        println!("{fourcc}: planes read where they lie, {}", buffer.provenance().allocator);
    }
    gl.check().unwrap();
}

/// What can be known before the driver is asked is refused with a reason.
#[test]
fn imports_that_cannot_be_are_refused_before_the_driver() {
    let device = Device::open(&Board::generic()).unwrap();
    let display = Display::open(&device).unwrap();
    if let Some(reason) = display.unsupported_reason() {
        return println!("SKIP: {reason}");
    }
    let formats = display.formats().unwrap();
    println!("{display}: {} formats, {:?}", formats.len(), display.dma_buf_import());
    assert!(formats.iter().any(|format| format.fourcc == Fourcc::ABGR8888 && !format.assumed), "{formats:?}");
    let request = Request::new(Size::new(32, 32), Fourcc::ABGR8888).require_dma_buf();
    let Some(buffer) = or_skip(device.allocate(&request)) else { return };
    let import = |options: ImportOptions| Image::import_with(&display, &buffer, &options).unwrap_err();
    let error = import(ImportOptions { plane: Some(1), ..ImportOptions::default() });
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let error = import(ImportOptions { plane: Some(0), ..ImportOptions::default() });
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let error = import(ImportOptions { reinterpret: Some(Fourcc::R8), ..ImportOptions::default() });
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    // Told, not told, and by itself: the same picture each time.
    for modifier in [UseModifier::Auto, UseModifier::Explicit, UseModifier::Implicit] {
        let options = ImportOptions { modifier, ..ImportOptions::default() };
        if let Some(image) = or_skip(Image::import_with(&display, &buffer, &options)) {
            println!("{modifier:?}: {image:?}");
            assert_eq!(
                (image.size(), image.fourcc(), image.external_only()),
                (Size::new(32, 32), Fourcc::ABGR8888, false)
            );
        }
    }
}

/// The driver's own conversion follows the colour of the frame.
#[test]
fn external_yuv_follows_the_hints() {
    let device = Device::open(&Board::generic()).unwrap();
    let display = Display::open(&device).unwrap();
    if let Some(reason) = display.unsupported_reason() {
        return println!("SKIP: {reason}");
    }
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    let size = Size::new(32, 16);
    for fourcc in [Fourcc::NV12, Fourcc::YUYV] {
        let request = Request::new(size, fourcc).usage(Usage::SAMPLE | Usage::CPU_WRITE).require_dma_buf();
        let Some(buffer) = or_skip(device.allocate(&request)) else { continue };
        {
            let mut map = buffer.map(Access::Write).unwrap();
            match fourcc {
                Fourcc::NV12 => {
                    map.plane_mut(0).fill(165);
                    map.plane_mut(1).chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(&[145, 40]));
                }
                _ => map.plane_mut(0).chunks_exact_mut(4).for_each(|four| four.copy_from_slice(&[165, 145, 165, 40])),
            }
        }
        for (matrix, range) in SIX {
            let color = Color { matrix, range, ..Color::HD };
            let options = ImportOptions { color: Some(color), ..ImportOptions::default() };
            let image = match Image::import_with(&display, &buffer, &options) {
                Ok(image) => image,
                // Known: Mesa 25.0 on software KMS advertises NV12 and refuses every import of it.
                Err(error) if gl.caps().version_text.contains("Mesa 25.0") && fourcc == Fourcc::NV12 => {
                    println!("known fault: {error}");
                    assert!(error.detail().contains("EGL_BAD_ALLOC"), "{error}");
                    continue;
                }
                Err(error) => panic!("{error:?}"),
            };
            // The image outlives the texture made of it, and each texture is a fresh name.
            let texture = Texture::external(&gl, &image).unwrap();
            texture.set_filter(&gl, Filter::Nearest).unwrap();
            assert_eq!(texture.set_wrap(&gl, Wrap::Repeat).unwrap_err().kind(), ErrorKind::InvalidInput);
            if image.external_only() {
                assert_eq!(Texture::from_image(&gl, &image).unwrap_err().kind(), ErrorKind::Unsupported);
            }
            let mut versions = vec![ShaderVersion::Essl100];
            versions.extend(gl.caps().has_external_essl300().then_some(ShaderVersion::Essl300));
            for version in versions {
                let input = Input { name: "camera", binding: InputBinding::External, color, size, convert: None };
                let program = program(&gl, version, std::slice::from_ref(&input), &body(version, "camera()")).unwrap();
                let framebuffer = target(&gl, size);
                input.bind(&gl, &program, &[&texture], 0).unwrap();
                framebuffer.bind(&gl).unwrap();
                program.draw_triangle(&gl).unwrap();
                let got = read(&gl, &framebuffer);
                println!("{fourcc} {matrix:?} {range:?} {version:?}: {:?}", &got[..4]);
                for pixel in got.chunks(4) {
                    for (got, expected) in pixel.iter().zip(reference(&color, [165.0, 145.0, 40.0])) {
                        assert!((f64::from(*got) - expected).abs() <= 3.0, "{fourcc} {color:?}: {got} for {expected}");
                    }
                }
            }
        }
    }
    gl.check().unwrap();
}

/// What vendor drivers of small boards lack, one after the other and all at once: EGL 1.4 with KHR functions, no context
/// without a surface, no native fences, no fences at all, no modifiers.
#[test]
fn drivers_that_offer_less_still_work() {
    let native = ["EGL_ANDROID_native_fence_sync"];
    let all_fences =
        ["EGL_ANDROID_native_fence_sync", "EGL_KHR_fence_sync", "EGL_KHR_wait_sync", "EGL_KHR_reusable_sync"];
    let surfaceless = ["EGL_KHR_surfaceless_context"];
    let configless = ["EGL_KHR_no_config_context", "EGL_MESA_configless_context"];
    let robust = ["EGL_EXT_create_context_robustness", "EGL_KHR_create_context"];
    let modifiers = ["EGL_EXT_image_dma_buf_import_modifiers"];
    let everything = [&all_fences[..], &surfaceless, &configless, &robust, &modifiers].concat();
    let device = Device::open(&Board::generic()).unwrap();
    let whole = Display::open(&device).unwrap();
    let cases: [&[&str]; 8] = [&[], &native, &all_fences, &surfaceless, &configless, &robust, &modifiers, &everything];
    for hidden in cases {
        let limit = Limit { version: (1, 4), hidden };
        let display = open_limited(&device, whole.platform(), whole.node(), limit).unwrap();
        assert_eq!(display.version(), (1, 4));
        let Some(context) = or_skip(Context::new(&display)) else { continue };
        // No pbuffers on this platform and no context without a surface: nothing is left.
        let Some(gl) = or_skip(context.make_current()) else { continue };
        clear_and_draw(&gl);
        let ways = gl.fence_ways();
        println!("without {hidden:?}: {ways:?}, robust {}", context.is_robust());
        if hidden.contains(&"EGL_KHR_fence_sync") {
            assert_eq!((ways.out, ways.into), (FenceWay::Finish, FenceWay::ClientWait));
        } else if hidden == native {
            assert_eq!((ways.out, ways.into), (FenceWay::ClientWait, FenceWay::ClientWait));
        }
        gl.clear([1.0; 4]);
        if let Some(fence) = gl.fence().unwrap() {
            fence.wait(None).unwrap();
        }
        gl.check().unwrap();
        drop(gl);
        if display.dma_buf_import().is_some() {
            read_planes(&device, &display, &[false]);
        }
    }
    // The whole display was not terminated with the limited ones.
    Context::new(&whole).unwrap().make_current().unwrap().check().unwrap();
}
