//! Passes in WGSL inside a pipeline: against a reference in double precision, on whichever way pictures get to wgpu; what is wrong in a
//! text is said at its place.

use std::path::PathBuf;
use std::process::Command;

use darkframe::error::{Error, ErrorKind};
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::shader::Shader;
use darkframe::pipeline::shader::wgsl::Number;
use darkframe::pipeline::{Description, Report};

use crate::common::skip;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-wgpu-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn run(&self, text: &str, options: Options) -> Result<(Report, Vec<u8>), Error> {
        let out = self.0.join("out.rgba");
        let text = text.replace("OUT", &out.display().to_string());
        let report = runner::run(&Description::parse(self.0.join("p.toml"), text)?, options)?;
        Ok((report, std::fs::read(&out).unwrap()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `None` where no Vulkan device draws where GLES does, or nothing draws at all.
fn or_skip<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error)
            if error.kind() == ErrorKind::Unsupported
                && ["vkCreateInstance", "libvulkan", "no Vulkan device", "eglCreateContext"]
                    .iter()
                    .any(|words| error.to_string().contains(words)) =>
        {
            skip("vulkan", error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

const SIZE: (usize, usize) = (37, 21);

fn noise(seed: u32) -> Vec<u8> {
    (0..(SIZE.0 * SIZE.1 * 4) as u32).map(|at| ((at ^ seed).wrapping_mul(2_654_435_761) >> 15) as u8).collect()
}

/// Two inputs, uniforms of several kinds, the frame's number, a neighbour's texel; and GLES passes before and behind.
const TEXT: &str = "frames = 3
[parameter.gain]
default = 0.75
[source.a]
file = \"a.raw\"
format = \"ABGR8888\"
size = \"37x21\"
[source.b]
file = \"b.raw\"
format = \"ABGR8888\"
size = \"37x21\"
[pass.before]
shader = \"not.frag\"
inputs = [\"a\"]
[pass.middle]
wgpu = \"mix.wgsl\"
inputs = { base = \"before\", other = \"b\" }
uniforms = { gain = \"$gain\", tint = [1, 0.5, 0.25], step = 3 }
[pass.behind]
shader = \"not.frag\"
inputs = { a = \"middle\" }
[sink.s]
input = \"behind\"
file = \"OUT\"
";
const MIX: &str = "// Mixes.
struct Uniforms { gain: f32, tint: vec3f, step: i32 }
fn pixel(uv: vec2f) -> vec4f {
    let at = vec2i(uv * resolution);
    let near = other_texel(at + vec2i(uniforms.step, -1));
    let own = base(uv);
    return vec4f(own.rgb * uniforms.tint * uniforms.gain + near.bgr * 0.25, f32(frame) / 5.0 + own.a * 0.2);
}
";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let clip = |seed: u32| (0..3).flat_map(|frame| noise(seed + frame * 991)).collect::<Vec<u8>>();
    folder.write("a.raw", clip(1));
    folder.write("b.raw", clip(77));
    folder.write("not.frag", "vec4 pixel(vec2 uv) { return 1.0 - a(); }\n");
    folder.write("mix.wgsl", MIX);
    folder
}

#[test]
fn a_pass_in_wgsl_is_what_it_says() {
    let folder = folder("mix");
    let Some((report, pixels)) = or_skip(folder.run(TEXT, Options::default())) else { return };
    let middle = &report.passes.iter().find(|pass| pass.name == "middle").unwrap();
    println!("{}: {}", middle.glsl, middle.drawn_by.as_deref().unwrap());
    assert_eq!(middle.glsl, "WGSL");
    if crate::common::demanded("zero-copy") {
        assert!(middle.drawn_by.as_deref().unwrap().ends_with("pictures in dma-bufs"), "{:?}", middle.drawn_by);
    }
    let (w, h) = SIZE;
    let mut worst = 0.0f64;
    for frame in 0..3u32 {
        let (a, b) = (noise(1 + frame * 991), noise(77 + frame * 991));
        for y in 0..h {
            for x in 0..w {
                let own: [f64; 4] = std::array::from_fn(|part| f64::from(255 - a[(y * w + x) * 4 + part]) / 255.0);
                let (nx, ny) = ((x + 3).min(w - 1), y.saturating_sub(1));
                let near: [f64; 4] = std::array::from_fn(|part| f64::from(b[(ny * w + nx) * 4 + part]) / 255.0);
                let tint = [1.0, 0.5, 0.25];
                for part in 0..4 {
                    let value = match part {
                        3 => f64::from(frame) / 5.0 + own[3] * 0.2,
                        _ => own[part] * tint[part] * 0.75 + near[2 - part] * 0.25,
                    };
                    let expected = 255.0 - value.clamp(0.0, 1.0) * 255.0;
                    let got = f64::from(pixels[frame as usize * w * h * 4 + (y * w + x) * 4 + part]);
                    worst = worst.max((got - expected).abs());
                    assert!((got - expected).abs() <= 0.51, "frame {frame} ({x}, {y}) {part}: {got}, {expected}");
                }
            }
        }
    }
    println!("at most {worst:.3} codes off");
}

/// Both ways to wgpu give the same bytes.
#[test]
fn copies_and_shared_memory_give_the_same() {
    let folder = folder("ways");
    let Some((report, pixels)) = or_skip(folder.run(TEXT, Options::default())) else { return };
    // On OpenGL ES 2.0, and without dma-bufs: no allocator of them is in this board's order.
    let board = darkframe::board::Board::parse(
        std::path::Path::new("memfd.toml"),
        "name = \"memfd\"\n[allocate]\norder = [\"memfd\"]\n",
    );
    let options = Options { board: Some(board.unwrap()), max_version: Some((2, 0)), ..Options::default() };
    let (copied, other) = folder.run(TEXT, options).unwrap();
    let way = |report: &Report| report.passes.iter().find_map(|pass| pass.drawn_by.clone()).unwrap();
    println!("{}\n{}", way(&report), way(&copied));
    assert!(way(&copied).contains("pictures copied"), "{}", way(&copied));
    assert!(pixels == other, "the ways differ");
    // What asks for zero-copy does not get copies.
    let board = Options {
        board: Some(
            darkframe::board::Board::parse(
                std::path::Path::new("memfd.toml"),
                "name = \"memfd\"\n[allocate]\norder = [\"memfd\"]\n",
            )
            .unwrap(),
        ),
        require: Some(darkframe::pipeline::description::Require::ZeroCopy),
        ..Options::default()
    };
    let error = folder.run(TEXT, board).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

/// YUV in, another size between, filters and edges, YUV out.
#[test]
fn sizes_filters_and_yuv_reach_wgpu() {
    let folder = Folder::new("yuv");
    folder.write("read.wgsl", "fn pixel(uv: vec2f) -> vec4f { return bars(uv * 2.0 - 0.5); }\n");
    folder.write("read.frag", "vec4 pixel(vec2 uv) { return bars(uv * 2.0 - 0.5); }\n");
    let text = |key: &str, wrap: &str, filter: &str| {
        format!(
            "frames = 1\n[source.bars]\npattern = \"bars\"\nsize = \"64x32\"\nformat = \"NV12\"\n[pass.rgb]\nshader = \"same.frag\"\n\
             inputs = [\"bars\"]\n[pass.p]\n{key}\ninputs = {{ bars = \"rgb\" }}\nsize = \"32x64\"\nwrap = \"{wrap}\"\n\
             filter = \"{filter}\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n"
        )
    };
    folder.write("same.frag", "vec4 pixel(vec2 uv) { return bars(); }\n");
    let text = |key: &str, wrap: &str, filter: &str| text(key, wrap, filter).replace("format = \"NV12\"\n", "");
    for (wrap, filter) in [("clamp", "nearest"), ("repeat", "nearest"), ("mirror", "nearest"), ("clamp", "linear")] {
        let wgpu = folder.run(&text("wgpu = \"read.wgsl\"", wrap, filter), Options::default());
        let Some((_, pixels)) = or_skip(wgpu) else { return };
        let (_, expected) = folder.run(&text("shader = \"read.frag\"", wrap, filter), Options::default()).unwrap();
        let worst = pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        // Drivers filter with as many bits as they like.
        assert!(worst <= if filter == "linear" { 2 } else { 0 }, "{wrap} {filter}: {worst} codes apart");
    }
}

/// Errors are in the author's file; `darkframe check` finds them, without a driver too.
#[test]
fn errors_have_their_places() {
    let folder = folder("errors");
    let error = |wgsl: &str, text: &str| {
        folder.write("mix.wgsl", wgsl);
        folder.run(text, Options::default()).expect_err("it must be refused").to_string()
    };
    let typo = MIX.replace("base(uv)", "bose(uv)");
    let said = error(&typo, TEXT);
    assert!(said.contains("mix.wgsl:6:15: shader: ") && said.contains("bose"), "{said}");
    let folder_text = folder.0.join("p.toml");
    folder.write("p.toml", TEXT.replace("OUT", "out.rgba"));
    let check = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_darkframe")).arg("check").args(arguments).arg(&folder_text).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (fine, said) = check(&["--gpu", "never"]);
    assert!(!fine && said.contains("mix.wgsl:6:15") && said.contains("bose"), "{said}");
    folder.write("mix.wgsl", MIX);
    let (fine, said) = check(&["--gpu", "never"]);
    assert!(fine, "{said}");
    // A machine without Vulkan says so, and looks at the rest; where it is to compile, that is an error.
    let nowhere = |when: &str| {
        let mut check = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        check.env("VK_DRIVER_FILES", "/dev/null").env("VK_ICD_FILENAMES", "/dev/null");
        let output = check.args(["check", "--gpu", when]).arg(&folder_text).output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        (output.status.success(), said)
    };
    let (fine, said) = nowhere("auto");
    assert!(fine && said.contains("but those of wgpu: ") && said.contains("Vulkan driver"), "{said}");
    let (fine, said) = nowhere("always");
    assert!(!fine && said.contains("Vulkan driver"), "{said}");
    for (from, to, words) in [
        ("gain = \"$gain\", ", "", "the shader declares f32 gain, and no value is given"),
        ("step = 3", "step = 2.5", "i32 step takes whole numbers"),
        ("tint = [1, 0.5, 0.25]", "tint = [1, 2]", "2 numbers given, vec3f tint has 3"),
        ("step = 3", "step = 3, stop = 1", "did you mean \"step\"?"),
        ("[pass.behind]", "repeat = 2\n[pass.behind]", "a shader of wgpu is drawn once a frame"),
        ("[pass.behind]", "format = \"ABGR16161616F\"\n[pass.behind]", "has 16 bits"),
        ("wgpu = \"mix.wgsl\"", "wgpu = \"gone.wgsl\"", "gone.wgsl"),
        (
            "wgpu = \"mix.wgsl\"",
            "wgpu = \"mix.wgsl\"\nshader = \"not.frag\"",
            "shader and wgpu are both there|wgpu and shader are both there",
        ),
        ("wgpu = \"mix.wgsl\"", "wgpu = \"mix.wgsl\"\nstyle = \"shadertoy\"", "has no dialect"),
    ] {
        assert!(TEXT.contains(from));
        let said = error(MIX, &TEXT.replace(from, to));
        assert!(words.split('|').any(|words| said.contains(words)) && said.contains("p.toml:"), "{to}: {said}");
    }
}

fn open(folder: &Folder, text: &str) -> Result<Shader, Error> {
    folder.write("one.wgsl", text);
    Shader::open_wgsl(&folder.0.join("one.wgsl"), &["camera"])
}

/// Offsets of WGSL's "Structure Member Layout".
#[test]
fn uniforms_lie_where_the_specification_says() {
    let folder = Folder::new("offsets");
    let text = "struct Uniforms { gain: f32, tint: vec3f, count: u32, turn: mat3x3f, at: array<vec4f, 2>, low: vec2i }\n\
                fn pixel(uv: vec2f) -> vec4f { return camera(uv) * uniforms.gain; }\n";
    let shader = open(&folder, text).unwrap();
    let names: Vec<_> = shader.uniforms.iter().map(|u| (u.name.as_str(), u.kind.as_str(), u.components())).collect();
    let expected = [
        ("gain", "f32", Some(1)),
        ("tint", "vec3f", Some(3)),
        ("count", "u32", Some(1)),
        ("turn", "mat3x3f", Some(9)),
        ("at", "vec4f", Some(8)),
        ("low", "vec2i", Some(2)),
    ];
    assert_eq!(names, expected);
    let wgsl = shader.wgsl.unwrap();
    let offsets: Vec<_> = wgsl.places.iter().map(|place| place.offsets.clone()).collect();
    assert_eq!(offsets[..3], [vec![0], vec![16, 20, 24], vec![28]]);
    assert_eq!(offsets[3], [32, 36, 40, 48, 52, 56, 64, 68, 72]);
    assert_eq!(offsets[4], [80, 84, 88, 92, 96, 100, 104, 108]);
    assert_eq!((offsets[5].clone(), wgsl.bytes), (vec![112, 116], 128));
    assert_eq!((wgsl.places[2].number, wgsl.places[5].number), (Number::Uint, Number::Int));
}

#[test]
fn errors_of_a_text_have_the_authors_place() {
    let folder = Folder::new("places");
    let entry = "fn pixel(uv: vec2f) -> vec4f { return vec4f(1.0); }\n";
    for (text, place, words) in [
        ("fn pixel(uv: vec2f) -> vec4f {\n  return camra(uv);\n}\n", (2, 10), "camra"),
        (
            "fn pixel(uv: vec2f) -> vec4f {\n  return camera(uv).rgb;\n}\n",
            (2, 10),
            "`return` expression does not match",
        ),
        ("fn pixel(uv: vec2f) -> vec3f { return vec3f(1.0); }\n", (1, 4), ""),
        ("fn pixel(uv: vec2f -> vec4f {}\n", (1, 20), "expected"),
        (&format!("@group(0) @binding(0) var t: texture_2d<f32>;\n{entry}"), (1, 23), "no bindings of its own"),
        (&format!("{entry}@fragment fn main() -> @location(0) vec4f {{ return vec4f(1.0); }}\n"), (2, 11), "main"),
        ("vec4 pixel(vec2 uv) { return camera(); }\n", (1, 1), "no entry function"),
    ] {
        let error = open(&folder, text).unwrap_err();
        let span = error.span().unwrap_or_else(|| panic!("{text}: {error}"));
        println!("{error}");
        assert_eq!(span.line_column(), place, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

/// The shipped example runs.
#[test]
fn the_example_runs() {
    let folder = Folder::new("example");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/halation.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
    let output = command.current_dir(&folder.0).args(["run", "-q", "--frames", "0..1", example]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if ["no Vulkan device", "vkCreateInstance", "libvulkan"].iter().any(|words| said.contains(words)) {
        return skip("vulkan", said);
    }
    assert!(output.status.success(), "{said}");
    let picture = image::open(folder.0.join("out/halation-0000.png")).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (424, 240));
    // What bleeds is red, most of it beside what is white already and can gain nothing.
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
    command.current_dir(&folder.0).args(["run", "-q", "--frames", "0..1", "--set", "amount=0", example]);
    assert!(command.status().unwrap().success());
    let plain = image::open(folder.0.join("out/halation-0000.png")).unwrap().to_rgb8();
    let gained = |channel: usize| {
        let sum = |picture: &image::RgbImage| picture.pixels().map(|pixel| f64::from(pixel.0[channel])).sum::<f64>();
        (sum(&picture) - sum(&plain)) / f64::from(424 * 240)
    };
    assert!(gained(0) > 1.0 && gained(0) > 2.0 * gained(2), "red {}, blue {}", gained(0), gained(2));
}
