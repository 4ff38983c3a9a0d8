//! Compute passes on the machine's own driver, against arithmetic written here: every value exact.
//!
//! Skips only where no driver gives OpenGL ES 3.1.

use std::path::{Path, PathBuf};

use darkframe::board::Board;
use darkframe::device::Device;
use darkframe::egl::{Context, Display};
use darkframe::error::{Error, ErrorKind};
use darkframe::format::Fourcc;
use darkframe::gles::{Framebuffer, Texture, TextureOptions, read_pixels};
use darkframe::layout::Size;
use darkframe::pipeline::description::Optimize;
use darkframe::pipeline::pass::Moment;
use darkframe::pipeline::pass::compute::{ComputeOptions, ComputePass};
use darkframe::pipeline::plan::Plan;
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::shader::Shader;
use darkframe::pipeline::{Description, Report};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-compute-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// A description that lies in this folder and writes `OUT` there.
    fn parse(&self, text: &str) -> Result<Description, Error> {
        let text = text.replace("OUT", &self.0.join("out.rgba").display().to_string());
        Description::parse(self.0.join("p.toml"), text)
    }

    fn run(&self, text: &str, max_version: Option<(u8, u8)>) -> Result<(Report, Vec<u8>), Error> {
        let out = self.0.join("out.rgba");
        let description = self.parse(text)?;
        let report = runner::run(&description, Options { max_version, ..Options::default() })?;
        Ok((report, std::fs::read(&out).unwrap()))
    }

    /// As [`Folder::run`]; `None` where there is no driver with compute shaders.
    fn pixels(&self, text: &str) -> Option<Vec<u8>> {
        match self.run(text, None) {
            Ok((_, pixels)) => Some(pixels),
            Err(error)
                if error.kind() == ErrorKind::Unsupported
                    && (error.op().starts_with("eglCreateContext") || error.to_string().contains("OpenGL ES 3.1")) =>
            {
                println!("SKIP: {error}");
                None
            }
            Err(error) if error.kind() == ErrorKind::NotFound && error.to_string().contains("libEGL") => {
                println!("SKIP: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes without a pattern, the same each time.
fn noise(seed: u32, count: usize) -> Vec<u8> {
    (0..count as u32).map(|at| ((at ^ seed).wrapping_mul(2_654_435_761) >> 15) as u8).collect()
}

/// A raw RGBA file and its entry in the description.
fn source(folder: &Folder, name: &str, (width, height): (usize, usize), frames: &[Vec<u8>]) -> String {
    folder.write(&format!("{name}.raw"), frames.concat());
    format!("[source.{name}]\nfile = \"{name}.raw\"\nformat = \"ABGR8888\"\nsize = \"{width}x{height}\"\n")
}

/// Each texel from its own place, from another, and from the frame's number; work groups that do not divide the size.
#[test]
fn texels_are_stored_where_they_belong() {
    let folder = Folder::new("store");
    let (w, h, frames) = (21usize, 13usize, 3usize);
    let clip: Vec<Vec<u8>> = (0..frames as u32).map(|frame| noise(frame * 31, w * h * 4)).collect();
    let a = source(&folder, "a", (w, h), &clip);
    folder.write(
        "s.comp",
        "#version 310 es\nuniform int add;\nvoid main() {\n  ivec2 at = ivec2(gl_GlobalInvocationID.xy);\n  vec4 mirrored = a((resolution - vec2(at) - 0.5) / a_size);\n  vec4 own = a();\n  imageStore(target, at, vec4(own.rg, mirrored.b, float(frame + add) / 255.0));\n}\n",
    );
    let expected: Vec<u8> = clip
        .iter()
        .enumerate()
        .flat_map(|(frame, picture)| {
            (0..w * h).flat_map(move |at| {
                let other = w * h - 1 - at;
                [picture[at * 4], picture[at * 4 + 1], picture[other * 4 + 2], frame as u8 + 7]
            })
        })
        .collect();
    for keys in [
        "compute = \"s.comp\"",
        "compute = { file = \"s.comp\", local-size = [32, 4] }",
        "compute = { file = \"s.comp\", local-size = [1, 1] }",
    ] {
        let pass = format!("{a}[pass.p]\n{keys}\ninputs = [\"a\"]\nuniforms = {{ add = 7 }}\nfilter = \"nearest\"\n");
        let text = format!("{pass}[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n");
        let Some(pixels) = folder.pixels(&text) else { return };
        assert!(pixels == expected, "{keys}");
        // The same through another pass, so that the target is no sink's.
        folder.write("copy.frag", "vec4 pixel(vec2 uv) { return x(); }");
        let text = format!(
            "{pass}[pass.c]\nshader = \"copy.frag\"\ninputs = {{ x = \"p\" }}\n[sink.s]\ninput = \"c\"\nfile = \"OUT\"\n"
        );
        assert!(folder.pixels(&text).unwrap() == expected, "{keys}, read by a pass");
    }
}

/// What a fragment shader cannot do: all invocations of a group count together.
#[test]
fn a_histogram_is_counted_exactly() {
    let folder = Folder::new("histogram");
    let (w, h) = (67usize, 45usize);
    let picture = noise(5, w * h * 4);
    let a = source(&folder, "a", (w, h), std::slice::from_ref(&picture));
    // Counts of 16 bits in two components of 8.
    folder.write(
        "count.comp",
        "shared uint counts[256];\nvoid main() {\n  uint self = gl_LocalInvocationIndex;\n  for (uint i = self; i < 256u; i += 64u) counts[i] = 0u;\n  barrier();\n  uvec2 size = uvec2(a_size);\n  for (uint i = self; i < size.x * size.y; i += 64u) {\n    vec2 at = (vec2(i % size.x, i / size.x) + 0.5) / a_size;\n    atomicAdd(counts[uint(a(at).g * 255.0 + 0.5)], 1u);\n  }\n  barrier();\n  for (uint i = self; i < 256u; i += 64u)\n    imageStore(target, ivec2(i, 0), vec4(counts[i] & 255u, counts[i] >> 8, i, 255) / 255.0);\n}\n",
    );
    let text = format!(
        "{a}[pass.p]\ncompute = {{ file = \"count.comp\", local-size = [64, 1], groups = [1, 1] }}\ninputs = [\"a\"]\nfilter = \"nearest\"\nsize = \"256x1\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n"
    );
    let Some(pixels) = folder.pixels(&text) else { return };
    let mut counts = [0u32; 256];
    picture.chunks(4).for_each(|pixel| counts[usize::from(pixel[1])] += 1);
    for (code, got) in pixels.chunks(4).enumerate() {
        assert_eq!(got, [counts[code] as u8, (counts[code] >> 8) as u8, code as u8, 255], "{code}");
    }
}

/// What nobody stores is the colour of `clear`; a shader's own frame before is there, and it is switched off like others.
#[test]
fn clear_previous_and_enable() {
    let folder = Folder::new("keys");
    folder.write("half.comp", "void main() {\n  ivec2 at = ivec2(gl_GlobalInvocationID.xy);\n  if (at.x < 4) imageStore(target, at, vec4(1.0));\n}\n");
    let text = "[pass.p]\ncompute = \"half.comp\"\nsize = \"8x2\"\nclear = \"#0a141eff\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    let Some(pixels) = folder.pixels(text) else { return };
    let row = [[255u8; 16].to_vec(), [10, 20, 30, 255].repeat(4)].concat();
    assert_eq!(pixels, row.repeat(2));
    folder.write("add.comp", "void main() {\n  imageStore(target, ivec2(gl_GlobalInvocationID.xy), last() + vec4(3.0, 2.0, 1.0, 0.0) / 255.0);\n}\n");
    let text = "frames = 5\n[pass.p]\ncompute = \"add.comp\"\nsize = \"9x3\"\nclear = \"#000000\"\nenable = \"frame != 3\"\ninputs = { last = \"@previous\" }\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    let pixels = folder.pixels(text).unwrap();
    let frames: Vec<&[u8]> = pixels.chunks(9 * 3 * 4).collect();
    for (frame, times) in [1u8, 2, 3, 3, 4].into_iter().enumerate() {
        assert!(frames[frame].chunks(4).all(|p| p == [3 * times, 2 * times, times, 255]), "frame {frame}");
    }
}

/// Formats with a draw between what is stored and what leaves.
#[test]
fn targets_of_other_formats() {
    let folder = Folder::new("formats");
    folder.write("grey.comp", "void main() {\n  imageStore(target, ivec2(gl_GlobalInvocationID.xy), vec4(vec3(float(gl_GlobalInvocationID.x) / 8.0), 1.0));\n}\n");
    folder.write("copy.frag", "vec4 pixel(vec2 uv) { return x() * 0.5; }");
    // Floats beyond 1 survive between passes.
    folder.write(
        "large.comp",
        "void main() {\n  imageStore(target, ivec2(gl_GlobalInvocationID.xy), vec4(1.5, 2.0, 0.5, 2.0));\n}\n",
    );
    let text = "[pass.p]\ncompute = \"large.comp\"\nsize = \"8x8\"\nformat = \"ABGR16161616F\"\n[pass.c]\nshader = \"copy.frag\"\ninputs = { x = \"p\" }\n[sink.s]\ninput = \"c\"\nfile = \"OUT\"\n";
    let Some(pixels) = folder.pixels(text) else { return };
    assert!(pixels.chunks(4).all(|p| p == [191, 255, 64, 255]), "{:?}", &pixels[..4]);
    // Planes: limited luma of greys, as BT.601 has it.
    let text = "[pass.p]\ncompute = \"grey.comp\"\nsize = \"8x8\"\nformat = \"YUV420\"\ncolor = { matrix = \"bt601\", range = \"limited\" }\n[sink.s]\ninput = \"p\"\nkind = \"raw\"\nfile = \"OUT\"\n";
    let pixels = folder.pixels(text).unwrap();
    assert_eq!(pixels.len(), 8 * 8 * 3 / 2);
    for (at, luma) in pixels[..64].iter().enumerate() {
        let code = (255.0 * (at % 8) as f64 / 8.0).round();
        assert!((f64::from(*luma) - (16.0 + 219.0 * code / 255.0)).abs() <= 1.0, "{at}: {luma}");
    }
}

/// Where the target's texture is none that shaders store, as an image of a dma-buf is not: by way of another one.
#[test]
fn targets_that_cannot_be_stored_are_drawn() {
    let folder = Folder::new("aside");
    folder.write("xy.comp", "void main() {\n  uvec2 at = gl_GlobalInvocationID.xy;\n  imageStore(target, ivec2(at), vec4(at.x, at.y, 7u, 255u) / 255.0);\n}\n");
    let Some(shader) = Shader::open_compute(&folder.0.join("xy.comp")).ok() else { panic!("no shader") };
    let device = Device::open(&Board::generic()).unwrap();
    let opened = Display::open(&device).and_then(|display| Context::new(&display));
    let context = match opened {
        Ok(context) => context,
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {
            return println!("SKIP: {error}");
        }
        Err(error) => panic!("{error}"),
    };
    let gl = context.make_current().unwrap();
    if !gl.caps().at_least(3, 1) {
        return println!("SKIP: {}", gl.caps().version_text);
    }
    let size = Size::new(19, 11);
    let target = (size, Fourcc::ABGR8888);
    let options = ComputeOptions {
        name: "p",
        shader: &shader,
        inputs: Vec::new(),
        target,
        values: &[],
        local_size: [8, 8],
        groups: None,
        clear: None,
        needs_aside: true,
        optimize: Optimize::ALL,
    };
    let pass = ComputePass::new(&gl, options).unwrap();
    let moment = Moment { frame: 0, seconds: 0.0, step_seconds: 0.04 };
    for texture in [
        Texture::new(&gl, size, &TextureOptions::default()).unwrap(),
        Texture::storage(&gl, size, Fourcc::ABGR8888).unwrap(),
    ] {
        let framebuffer = Framebuffer::new(&gl, texture).unwrap();
        pass.run(&gl, &framebuffer, &[], moment).unwrap();
        let mut pixels = vec![0; 19 * 11 * 4];
        read_pixels(&gl, &framebuffer, &mut pixels).unwrap();
        for (at, pixel) in pixels.chunks(4).enumerate() {
            assert_eq!(pixel, [(at % 19) as u8, (at / 19) as u8, 7, 255]);
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let folder = Folder::new("wrong");
    let good = "void main() { imageStore(target, ivec2(gl_GlobalInvocationID.xy), vec4(1.0)); }\n";
    folder.write("good.comp", good);
    folder.write("bad.comp", "\nvoid main() {\n  imageStore(target, ivec2(0), vec4(nothing));\n}\n");
    folder.write("pixel.comp", "vec4 pixel(vec2 uv) { return vec4(1.0); }\n");
    folder.write("old.comp", format!("#version 300 es\n{good}"));
    folder.write("k.comp", format!("uniform float k;\n{good}"));
    folder.write("x.frag", "vec4 pixel(vec2 uv) { return vec4(1.0); }\n");
    let text = |keys: &str| format!("[pass.p]\n{keys}\nsize = \"8x8\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n");
    for (keys, words) in [
        ("compute = \"gone.comp\"", "p.toml:2:"),
        ("compute = \"pixel.comp\"", "void main()"),
        ("compute = \"old.comp\"", "310 es"),
        ("compute = \"k.comp\"", "declares float k, and no value is given"),
        ("compute = { file = \"good.comp\", local-size = [64, 64] }", "local-size: 64x64: expected 1 to 1024"),
        ("compute = { file = \"good.comp\", group = [1, 1] }", "did you mean `groups`?"),
        ("compute = \"good.comp\"\nrepeat = 2", "a compute shader is run once a frame"),
        ("compute = \"good.comp\"\nshader = \"x.frag\"", "compute and shader are both there"),
        ("compute = \"good.comp\"\nformat = \"RGB565\"", "compute shaders do not store it"),
        ("compute = \"good.comp\"\nstyle = \"shadertoy\"", "a pass with compute has no dialect"),
    ] {
        let description = folder.parse(&text(keys));
        let error = description.and_then(|description| Plan::new(&description, None).map(|_| ())).expect_err(keys);
        assert!(error.to_string().contains(words), "{keys}\n{error}\nexpected {words}");
    }
    let Some(_) = folder.pixels(&text("compute = \"good.comp\"")) else { return };
    // The author's line, whatever stands before it.
    let error = folder.run(&text("compute = \"bad.comp\""), None).unwrap_err().to_string();
    assert!(error.contains("bad.comp:3:") && error.contains("nothing"), "{error}");
    for version in [(2, 0), (3, 0)] {
        let error = folder.run(&text("compute = \"good.comp\""), Some(version)).unwrap_err();
        let words = format!("compute shaders need OpenGL ES 3.1: this is {}.{}", version.0, version.1);
        let said = error.to_string();
        assert!(error.kind() == ErrorKind::Unsupported && said.contains(&words), "{said}");
        assert!(said.contains("p.toml:2:11: ") && said.contains("shader = \"FILE.frag\""), "{said}");
    }
}

#[test]
fn the_plan_and_the_report_name_compute_passes() {
    let folder = Folder::new("plan");
    folder.write("a.comp", "void main() { imageStore(target, ivec2(gl_GlobalInvocationID.xy), x()); }\n");
    folder.write("not.frag", "vec4 pixel(vec2 uv) { return 1.0 - x(); }");
    let text = "[source.s]\npattern = \"bars\"\nsize = \"20x16\"\nframes = 1\n[pass.n]\nshader = \"not.frag\"\ninputs = { x = \"s\" }\n[pass.p]\ncompute = \"a.comp\"\ninputs = { x = \"n\" }\n[pass.m]\nshader = \"not.frag\"\ninputs = { x = \"p\" }\n[sink.s]\ninput = \"m\"\nfile = \"OUT\"\n";
    let description = folder.parse(text).unwrap();
    let lines = Plan::new(&description, None).unwrap().explain(None).join("\n");
    for words in [
        "runs a.comp in 3x2 work groups of 8x8 invocations",
        "not fused with what reads it: it is a compute shader",
        "not fused with what reads it: p reads it, and it is a compute shader",
    ] {
        assert!(lines.contains(words), "{words}\n{lines}");
    }
    let Some(_) = folder.pixels(text) else { return };
    let (report, _) = folder.run(text, None).unwrap();
    let pass = report.passes.iter().find(|pass| pass.name == "p").unwrap();
    assert_eq!((pass.glsl.as_str(), pass.parts.as_slice()), ("3.10", &["p".to_owned()][..]));
}

/// The shipped example's passes on a picture, beside the same in whole numbers.
#[test]
fn equalized_levels_are_exact() {
    let folder = Folder::new("equalize");
    let (w, h) = (48usize, 31usize);
    let picture: Vec<u8> =
        noise(2, w * h * 4).iter().enumerate().map(|(at, b)| if at % 4 == 3 { 255 } else { b / 3 + 40 }).collect();
    let a = source(&folder, "camera", (w, h), std::slice::from_ref(&picture));
    let example =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/equalize.toml")).unwrap();
    let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let passes = &example[example.find("[pass.levels]").unwrap()..example.find("[sink.").unwrap()];
    let absolute = |name: &str| format!("\"{}\"", shaders.join(name).display());
    let passes = ["histogram-levels.comp", "equalize.frag"]
        .into_iter()
        .fold(passes.to_owned(), |text, name| text.replace(&format!("\"{name}\""), &absolute(name)));
    for sink in ["levels", "picture"] {
        let text = format!("{a}{passes}[sink.s]\ninput = \"{sink}\"\nfile = \"OUT\"\n");
        let Some(pixels) = folder.pixels(&text) else { return };
        let luma = |p: &[u8]| (u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29) >> 8;
        let mut counts = [0u32; 256];
        picture.chunks(4).for_each(|pixel| counts[luma(pixel) as usize] += 1);
        let least = counts.iter().copied().find(|count| *count > 0).unwrap();
        let all = (w * h) as u32;
        let mut below = 0;
        let levels: Vec<u32> = counts
            .iter()
            .map(|count| {
                below += count;
                (2 * 255 * below.saturating_sub(least) + (all - least)) / (2 * (all - least))
            })
            .collect();
        if sink == "levels" {
            for (code, pixel) in pixels.chunks(4).enumerate() {
                assert_eq!(pixel, [levels[code] as u8, levels[code] as u8, levels[code] as u8, 255], "{code}");
            }
            continue;
        }
        for (got, given) in pixels.chunks(4).zip(picture.chunks(4)) {
            let gain = f64::from(levels[luma(given) as usize]) / f64::from(luma(given).max(1));
            for c in 0..3 {
                let exact = (f64::from(given[c]) * gain).min(255.0);
                assert!((f64::from(got[c]) - exact).abs() <= 1.0, "{given:?}: {got:?}, expected {exact}");
            }
        }
    }
}
