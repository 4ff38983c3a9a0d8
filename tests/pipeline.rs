//! Whole runs on the machine's own driver, against a reference in double precision written here.
//!
//! Skips only where no driver gives OpenGL ES.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use darkframe::error::ErrorKind;
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::{Description, Report};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-run-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a description as if its file lay in `shaders/`; `None` where there is no driver.
fn run(text: &str) -> Option<Report> {
    let description = Description::parse(project("shaders/test.toml"), text).unwrap_or_else(|error| panic!("{error}"));
    match runner::run(&description, Options::default()) {
        Ok(report) => Some(report),
        Err(error) if error.kind() == ErrorKind::Unsupported && error.op().starts_with("eglCreateContext") => {
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

fn darkframe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_darkframe")).args(arguments).output().unwrap()
}

/// A picture of R, G, B in 0..1.
type Picture = Vec<[f64; 3]>;

/// A y4m clip of 4:2:0, left, BT.601, limited; gentle waves, so that every pixel differs.
fn clip(width: usize, height: usize, frames: usize) -> (Vec<u8>, Vec<[Vec<u8>; 3]>) {
    let wave = |x: usize, y: usize, t: usize, k: f64| {
        0.5 + 0.5 * (x as f64 * 0.21 * k + y as f64 * 0.13 + t as f64).sin() * (y as f64 * 0.17 * k).cos()
    };
    let mut file = format!("YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n").into_bytes();
    let mut all = Vec::new();
    for t in 0..frames {
        let plane = |w: usize, h: usize, low: f64, span: f64, k: f64| -> Vec<u8> {
            (0..w * h).map(|i| (low + span * wave(i % w, i / w, t, k)).round() as u8).collect()
        };
        let (w, h) = (width.div_ceil(2), height.div_ceil(2));
        let planes =
            [plane(width, height, 30.0, 190.0, 1.0), plane(w, h, 90.0, 70.0, 1.7), plane(w, h, 90.0, 70.0, 2.3)];
        file.extend(b"FRAME\n");
        planes.iter().for_each(|plane| file.extend(plane));
        all.push(planes);
    }
    (file, all)
}

/// BT.601 limited, chroma sited left: sample k of a row on column 2k, row k between rows 2k and 2k + 1.
fn decode(planes: &[Vec<u8>; 3], width: usize, height: usize) -> Picture {
    let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
    let chroma = |plane: &[u8], x: usize, y: usize| {
        let (px, py) = (x as f64 / 2.0, (y as f64 - 0.5) / 2.0);
        let at = |x: f64, y: f64| {
            let (x, y) = (x.clamp(0.0, cw as f64 - 1.0) as usize, y.clamp(0.0, ch as f64 - 1.0) as usize);
            f64::from(plane[y * cw + x])
        };
        let (fx, fy) = (px - px.floor(), py - py.floor());
        let row = |y: f64| at(px.floor(), y) * (1.0 - fx) + at(px.floor() + 1.0, y) * fx;
        row(py.floor()) * (1.0 - fy) + row(py.floor() + 1.0) * fy
    };
    let mut picture = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let l = (f64::from(planes[0][y * width + x]) - 16.0) / 219.0;
            let cb = (chroma(&planes[1], x, y) - 128.0) / 224.0;
            let cr = (chroma(&planes[2], x, y) - 128.0) / 224.0;
            let rgb = [l + 1.402 * cr, l - 0.344_136_286 * cb - 0.714_136_286 * cr, l + 1.772 * cb];
            picture.push(rgb.map(|c| c.clamp(0.0, 1.0)));
        }
    }
    picture
}

/// What is stored in an 8-bit target.
fn stored(picture: Picture) -> Picture {
    picture.into_iter().map(|pixel| pixel.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() / 255.0)).collect()
}

fn blur(picture: &Picture, width: usize, height: usize, (dx, dy): (isize, isize)) -> Picture {
    let weights: Vec<f64> = (-4i32..=4).map(|k| (-f64::from(k * k) / 8.0).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let at = |x: isize, y: isize| {
        let (x, y) = (x.clamp(0, width as isize - 1), y.clamp(0, height as isize - 1));
        picture[y as usize * width + x as usize]
    };
    let mut out = Vec::new();
    for y in 0..height as isize {
        for x in 0..width as isize {
            let mut pixel = [0.0; 3];
            for (tap, weight) in weights.iter().enumerate() {
                let k = tap as isize - 4;
                let source = at(x + k * dx, y + k * dy);
                (0..3).for_each(|c| pixel[c] += source[c] * weight / sum);
            }
            out.push(pixel);
        }
    }
    out
}

fn enhance(planes: &[Vec<u8>; 3], width: usize, height: usize) -> Picture {
    let grade = |c: f64| {
        let c = (c * 1.08).clamp(0.0, 1.0);
        c + 0.35 * (c * c * (3.0 - 2.0 * c) - c)
    };
    let graded = stored(decode(planes, width, height).into_iter().map(|pixel| pixel.map(grade)).collect());
    let across = stored(blur(&graded, width, height, (1, 0)));
    let blurred = stored(blur(&across, width, height, (0, 1)));
    let sharp = graded.iter().zip(&blurred).map(|(a, b)| [0, 1, 2].map(|c| a[c] + 0.6 * (a[c] - b[c]))).collect();
    let sharp = stored(sharp);
    let vignette = |(at, pixel): (usize, [f64; 3])| {
        let (u, v) = (((at % width) as f64 + 0.5) / width as f64, ((at / width) as f64 + 0.5) / height as f64);
        let radius = (u - 0.5).hypot(v - 0.5) * std::f64::consts::SQRT_2;
        let t = ((radius - 0.45) / 0.5).clamp(0.0, 1.0);
        pixel.map(|c| c * (1.0 - 0.35 * t * t * (3.0 - 2.0 * t)))
    };
    stored(sharp.into_iter().enumerate().map(vignette).collect())
}

/// The enhance example's passes, with other sources and sinks.
fn enhance_text(source: &str, sinks: &str) -> String {
    let example = std::fs::read_to_string(project("examples/enhance.toml")).unwrap();
    let passes = &example[example.find("[pass.grade]").unwrap()..example.find("[sink.pictures]").unwrap()];
    format!("[source.camera]\n{source}\n{passes}\n{sinks}")
}

#[test]
fn enhance_is_within_two_codes_of_the_reference() {
    let folder = Folder::new("enhance");
    for (width, height) in [(64, 48), (53, 37)] {
        let (file, frames) = clip(width, height, 5);
        let path = folder.0.join("clip.y4m");
        std::fs::write(&path, file).unwrap();
        let out = folder.0.join("out.rgba");
        let png = folder.0.join("p-%02d.png");
        let text = enhance_text(
            &format!("file = \"{}\"", path.display()),
            &format!(
                "[sink.raw]\ninput = \"vignette\"\nfile = \"{}\"\n[sink.png]\ninput = \"vignette\"\nfile = \"{}\"\nevery = 2\n",
                out.display(),
                png.display()
            ),
        );
        let Some(report) = run(&text) else { return };
        assert_eq!((report.frames, report.sinks[0].pictures, report.sinks[1].pictures), (5, 5, 3));
        let bytes = std::fs::read(&out).unwrap();
        assert_eq!(bytes.len(), 5 * width * height * 4);
        for (index, (planes, pixels)) in frames.iter().zip(bytes.chunks(width * height * 4)).enumerate() {
            let mut furthest = 0.0f64;
            for (expected, pixel) in enhance(planes, width, height).iter().zip(pixels.chunks(4)) {
                for c in 0..3 {
                    furthest = furthest.max((expected[c] * 255.0 - f64::from(pixel[c])).abs());
                }
                assert_eq!(pixel[3], 255);
            }
            assert!(furthest <= 2.0, "frame {index} of {width}x{height}: {furthest}");
            if index % 2 == 0 {
                let png = image::open(folder.0.join(format!("p-{index:02}.png"))).unwrap().into_rgba8();
                assert_eq!(png.as_raw().as_slice(), pixels, "frame {index}: PNG and raw");
            }
        }
    }
    assert!(folder.names().iter().all(|name| !name.starts_with('.')), "{:?}", folder.names());
}

#[test]
fn every_yuv_format_arrives_as_rgb() {
    // Flat colours: the formula alone decides, whatever the planes' layout. Y 165, Cb 145, Cr 40, BT.709 limited.
    let folder = Folder::new("formats");
    let (y, u, v) = (165u8, 145u8, 40u8);
    let (w, h) = (16usize, 8usize);
    let flat =
        |parts: &[(u8, usize)]| parts.iter().flat_map(|(value, count)| vec![*value; *count]).collect::<Vec<u8>>();
    let repeat = |pattern: &[u8], count: usize| pattern.repeat(count);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("NV12", [flat(&[(y, w * h)]), repeat(&[u, v], w * h / 4)].concat()),
        ("NV21", [flat(&[(y, w * h)]), repeat(&[v, u], w * h / 4)].concat()),
        ("NV16", [flat(&[(y, w * h)]), repeat(&[u, v], w * h / 2)].concat()),
        ("NV24", [flat(&[(y, w * h)]), repeat(&[u, v], w * h)].concat()),
        ("YUV420", flat(&[(y, w * h), (u, w * h / 4), (v, w * h / 4)])),
        ("YVU420", flat(&[(y, w * h), (v, w * h / 4), (u, w * h / 4)])),
        ("YUV422", flat(&[(y, w * h), (u, w * h / 2), (v, w * h / 2)])),
        ("YUV444", flat(&[(y, w * h), (u, w * h), (v, w * h)])),
        ("YUYV", repeat(&[y, u, y, v], w * h / 2)),
        ("UYVY", repeat(&[u, y, v, y], w * h / 2)),
        ("ABGR8888", repeat(&[16, 217, 209, 255], w * h)),
        ("ARGB8888", repeat(&[209, 217, 16, 255], w * h)),
        ("XRGB8888", repeat(&[209, 217, 16, 7], w * h)),
        ("BGR888", repeat(&[16, 217, 209], w * h)),
    ];
    for (format, frame) in cases {
        let (input, out) = (folder.0.join("in.raw"), folder.0.join("out.rgba"));
        std::fs::write(&input, frame.repeat(2)).unwrap();
        let text = format!(
            "[source.a]\nfile = \"{}\"\nformat = \"{format}\"\nsize = \"{w}x{h}\"\ncolor = {{ matrix = \"bt709\", range = \"limited\" }}\n[sink.s]\ninput = \"a\"\nfile = \"{}\"\n",
            input.display(),
            out.display()
        );
        if run(&text).is_none() {
            return;
        }
        let bytes = std::fs::read(&out).unwrap();
        assert_eq!(bytes.len(), w * h * 4 * 2, "{format}");
        for pixel in bytes.chunks(4) {
            let close = pixel.iter().zip([16u8, 217, 209, 255]).all(|(got, want)| got.abs_diff(want) <= 1);
            assert!(close, "{format}: {pixel:?}");
        }
    }
}

#[test]
fn four_pixels_a_fragment_are_those_of_one_a_fragment() {
    let folder = Folder::new("four");
    let (input, out) = (folder.0.join("in.raw"), folder.0.join("out.rgba"));
    let tail = "uniform float gain;\nvec4 pixel(vec2 uv) {\n  return vec4(a().rgb * gain + vec3(uv * 0.2, time), uv.x * uv.y);\n}\n";
    std::fs::write(folder.0.join("old.frag"), tail).unwrap();
    std::fs::write(folder.0.join("new.frag"), format!("#version 300 es\n{tail}")).unwrap();
    std::fs::write(folder.0.join("state.frag"), format!("float sum;\n{tail}")).unwrap();
    let mut by_fours = 0;
    let copy = "";
    // Format, size, bytes of all planes in half luma planes, siting, filter, shader, pixels a fragment.
    type Case = (&'static str, (usize, usize), usize, &'static str, &'static str, &'static str, u32);
    let cases: [Case; 11] = [
        ("NV12", (64, 36), 3, "left", "linear", copy, 4),
        ("NV12", (64, 36), 3, "center", "linear", "old", 4),
        ("NV21", (20, 37), 3, "top-left", "linear", "new", 4),
        ("NV12", (20, 37), 3, "left", "nearest", "old", 4),
        ("NV16", (4, 5), 4, "left", "linear", "old", 4),
        ("YUV420", (64, 36), 3, "left", "linear", "old", 4),
        ("YVU420", (8, 3), 3, "center", "nearest", "new", 4),
        ("YUV422", (32, 18), 4, "center", "linear", copy, 4),
        ("NV12", (62, 36), 3, "left", "linear", copy, 1),
        ("YUV444", (64, 36), 6, "left", "linear", copy, 1),
        ("NV12", (64, 36), 3, "left", "linear", "state", 1),
    ];
    for (format, (w, h), halves, siting, filter, shader, wanted) in cases {
        // Every code, and steps between neighbours.
        let ch = if halves == 3 { h.div_ceil(2) } else { h };
        let bytes = w * h + if halves == 6 { 2 * w * h } else { w * ch };
        let noise = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 13) as u8;
        std::fs::write(&input, (0..2 * bytes).map(noise).collect::<Vec<u8>>()).unwrap();
        let pass = match shader {
            "" => String::new(),
            shader => format!(
                "[pass.p]\nshader = \"{}\"\ninputs = {{ a = \"s\" }}\nfilter = \"{filter}\"\nuniforms = {{ gain = 0.7 }}\n",
                folder.0.join(shader).with_extension("frag").display()
            ),
        };
        let mut pictures = Vec::new();
        for optimize in [true, false] {
            let text = format!(
                "optimize = {optimize}\n[source.s]\nfile = \"{}\"\nformat = \"{format}\"\nsize = \"{w}x{h}\"\nrate = 5\ncolor = {{ matrix = \"bt709\", siting = \"{siting}\" }}\n{pass}[sink.o]\ninput = \"{}\"\nfile = \"{}\"\n",
                input.display(),
                if pass.is_empty() { "s" } else { "p" },
                out.display()
            );
            let Some(report) = run(&text) else { return };
            let fragment = report.passes[0].pixels_per_fragment;
            assert!(fragment == 1 || (optimize && fragment == wanted), "{format} {w}x{h} {shader}: {fragment}");
            by_fours += u32::from(fragment == 4);
            pictures.push(std::fs::read(&out).unwrap());
        }
        assert_eq!(pictures[0].len(), 2 * w * h * 4);
        let apart = pictures[0].iter().zip(&pictures[1]).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart <= Some(1), "{format} {w}x{h} {siting} {filter} {shader}: {apart:?} codes apart");
    }
    if by_fours == 0 {
        println!("SKIP four pixels a fragment: this driver is a GPU's, has OpenGL ES 2 only, or imports dma-bufs");
    }
}

#[test]
fn versions_built_ins_and_other_formats() {
    let folder = Folder::new("built-ins");
    let shader = folder.0.join("a.frag");
    std::fs::write(
        &shader,
        "#version 300 es\nuniform vec3 tint;\nuniform bool on;\nvec4 pixel(vec2 uv) {\n  float x = floor(uv.x * resolution.x) / 255.0;\n  return vec4(x, float(frame) / 255.0, on ? tint.z : 0.0, time);\n}\n",
    )
    .unwrap();
    let out = folder.0.join("out.raw");
    let text = format!(
        "rate = 2\nframes = \"1..3\"\n[pass.p]\nshader = \"{}\"\nsize = \"5x3\"\nformat = \"ARGB8888\"\nuniforms = {{ tint = [0, 0, 0.2], on = true }}\n[sink.s]\ninput = \"p\"\nfile = \"{}\"\n",
        shader.display(),
        out.display()
    );
    let Some(report) = run(&text) else { return };
    assert_eq!(report.passes[0].glsl, "3.00");
    let bytes = std::fs::read(&out).unwrap();
    // Bytes B, G, R, A of frames 1 and 2; time is half a second, then one.
    for (index, picture) in bytes.chunks(5 * 3 * 4).enumerate() {
        for (at, pixel) in picture.chunks(4).enumerate() {
            let alpha = [128, 255][index];
            let expected = [51, index as u8 + 1, (at % 5) as u8, alpha];
            let close = pixel.iter().zip(expected).all(|(got, want)| got.abs_diff(want) <= 1);
            assert!(close, "frame {index} pixel {at}: {pixel:?} for {expected:?}");
        }
    }
}

#[test]
fn shader_errors_have_the_authors_line() {
    let folder = Folder::new("shader-error");
    std::fs::create_dir_all(folder.0.join("lib")).unwrap();
    std::fs::write(folder.0.join("lib/tone.glsl"), "float tone(float x) {\n  return x * nonsense;\n}\n").unwrap();
    std::fs::write(
        folder.0.join("a.frag"),
        "// a comment\n#include \"tone.glsl\"\nvec4 pixel(vec2 uv) { return vec4(tone(uv.x)); }\n",
    )
    .unwrap();
    std::fs::write(
        folder.0.join("p.toml"),
        "[pass.p]\nshader = \"a.frag\"\nsize = \"4x4\"\n[sink.s]\ninput = \"p\"\nkind = \"null\"\n",
    )
    .unwrap();
    let file = folder.0.join("p.toml");
    let output = darkframe(&["run", file.to_str().unwrap()]);
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("eglCreateContext") || words.contains("libEGL") {
        println!("SKIP: {words}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("lib/tone.glsl:2:") && words.contains("nonsense"), "{words}");
    // A check compiles too; without a driver, the description is fine.
    let output = darkframe(&["check", file.to_str().unwrap()]);
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("lib/tone.glsl:2:"));
    assert_eq!(darkframe(&["check", "--gpu", "never", file.to_str().unwrap()]).status.code(), Some(0));
}

#[test]
fn the_command_says_what_is_wrong_by_its_exit_code() {
    let folder = Folder::new("exit");
    let file = folder.0.join("p.toml");
    std::fs::write(&file, "[sink.s]\ninput = \"nobody\"\nkind = \"null\"\n").unwrap();
    let output = darkframe(&["run", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("p.toml:2:9: sink.s.input: there is no source or pass \"nobody\""), "{words}");
    assert_eq!(darkframe(&["check", "/nowhere.toml"]).status.code(), Some(2));
    assert_eq!(darkframe(&["fly"]).status.code(), Some(2));
    assert_eq!(darkframe(&["--version"]).status.code(), Some(0));
}

#[test]
fn zero_copy_is_had_or_refused_clearly() {
    let folder = Folder::new("require");
    let file = folder.0.join("p.toml");
    let out = folder.0.join("out.rgba");
    let text = format!(
        "[source.a]\npattern = \"gradient\"\nsize = \"64x32\"\nframes = 4\n[sink.s]\ninput = \"a\"\nfile = \"{}\"\n",
        out.display()
    );
    std::fs::write(&file, text).unwrap();
    let report = folder.0.join("report.json");
    let free = darkframe(&["run", file.to_str().unwrap(), "--report", report.to_str().unwrap()]);
    let words = String::from_utf8_lossy(&free.stderr).into_owned();
    if words.contains("eglCreateContext") || words.contains("libEGL") {
        println!("SKIP: {words}");
        return;
    }
    assert!(free.status.success(), "{words}");
    let pixels = std::fs::read(&out).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let paths = [&report["sources"][0]["path"], &report["sinks"][0]["path"]];
    std::fs::remove_file(&out).unwrap();
    let bound = darkframe(&["run", file.to_str().unwrap(), "--require", "zero-copy"]);
    let words = String::from_utf8_lossy(&bound.stderr).into_owned();
    if paths.iter().all(|path| **path == "zero-copy") {
        assert!(bound.status.success(), "{words}");
        assert_eq!(std::fs::read(&out).unwrap(), pixels);
        return;
    }
    assert_eq!(bound.status.code(), Some(1), "{words}");
    assert!(words.contains("require zero-copy: ") && words.contains("would be copied"), "{words}");
    assert_eq!(folder.names(), ["p.toml", "report.json"], "nothing is left");
}

#[test]
fn a_cut_clip_leaves_no_half_file() {
    let folder = Folder::new("cut");
    let (file, _) = clip(32, 16, 4);
    let path = folder.0.join("clip.y4m");
    std::fs::write(&path, &file[..file.len() - 5]).unwrap();
    let description = folder.0.join("p.toml");
    std::fs::write(
        &description,
        "[source.a]\nfile = \"clip.y4m\"\n[sink.s]\ninput = \"a\"\nfile = \"OUT\"\nkind = \"y4m\"\n",
    )
    .unwrap();
    let set = format!("sink.s.file={}/out.y4m", folder.0.display());
    let output = darkframe(&["run", "-q", description.to_str().unwrap(), "--set", &set]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if words.contains("eglCreateContext") || words.contains("libEGL") {
        println!("SKIP: {words}");
        return;
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(words.contains("source \"a\"") && words.contains("frame 3") && words.contains("cut"), "{words}");
    assert_eq!(folder.names(), ["clip.y4m", "p.toml"]);
    let whole = darkframe(&["run", "-q", description.to_str().unwrap(), "--set", &set, "--frames", "0..3"]);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(folder.names(), ["clip.y4m", "out.y4m", "p.toml"]);
    // A full disk is said and leaves nothing, and the run ends.
    let full =
        darkframe(&["run", "-q", description.to_str().unwrap(), "--frames", "0..3", "--set", "sink.s.file=/dev/full"]);
    let words = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(1));
    assert!(words.contains("/dev/full") && words.contains("disk is full"), "{words}");
}

#[test]
fn an_interrupt_leaves_whole_files() {
    let folder = Folder::new("interrupt");
    let file = folder.0.join("p.toml");
    let out = folder.0.join("out.y4m");
    let text = format!(
        "[source.a]\npattern = \"counter\"\nsize = \"64x32\"\n[sink.s]\ninput = \"a\"\nfile = \"{}\"\n",
        out.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_darkframe"))
        .args(["run", "-q", file.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Endless, until it has written something.
    let begun = std::time::Instant::now();
    let written = || {
        let entries = std::fs::read_dir(&folder.0).unwrap().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(".out.y4m"))
            .any(|entry| entry.metadata().is_ok_and(|data| data.len() > 20_000))
    };
    while !written() && child.try_wait().unwrap().is_none() && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if words.contains("eglCreateContext") || words.contains("libEGL") {
        println!("SKIP: {words}");
        return;
    }
    assert_eq!(output.status.code(), Some(130), "{words}");
    assert_eq!(folder.names(), ["out.y4m", "p.toml"]);
    let bytes = std::fs::read(&out).unwrap();
    let mut decoder = y4m::decode(bytes.as_slice()).unwrap();
    let mut frames = 0;
    loop {
        match decoder.read_frame() {
            Ok(_) => frames += 1,
            Err(y4m::Error::EOF) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert!(frames > 0 && (bytes.len() - header).is_multiple_of(6 + 64 * 32 * 3 / 2), "{frames} whole frames");
}

#[test]
fn every_example_is_right() {
    let mut count = 0;
    for entry in std::fs::read_dir(project("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        // Of a build with PipeWire or GStreamer: tests/pipewire.rs and tests/gstreamer.rs run them. The latter's elements need
        // not be there.
        if path.ends_with("gstreamer.toml") || !cfg!(feature = "pipewire") && path.ends_with("pipewire.toml") {
            continue;
        }
        count += 1;
        let description = Description::open(&path).unwrap_or_else(|error| panic!("{error}"));
        darkframe::pipeline::Graph::new(&description).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(count >= 5);
}

/// The layout that an encoder wants: the memory has it on every path, and the pictures in it are the same.
#[test]
fn targets_lie_in_memory_as_the_pipeline_says() {
    let folder = Folder::new("layout");
    let pipeline = |format: &str, layout: &str, file: &str| {
        let file = folder.0.join(file);
        let file = file.display();
        format!(
            "frames = \"0..3\"\n[source.s]\npattern = \"zone-plate\"\nsize = \"50x30\"\n\
             [pass.p]\nshader = \"copy.frag\"\ninputs = {{ source = \"s\" }}\nformat = \"{format}\"\n{layout}\n\
             [sink.o]\ninput = \"p\"\nkind = \"raw\"\nfile = \"{file}\"\n"
        )
    };
    let keys = "layout = { stride-align = 192, offset-align = 4096, height-align = 32, size-align = 8192, same-stride = true }";
    // Rows of the first plane that lie beside one row of each plane: 4:2:0 has half as many rows of chroma.
    for (format, shares) in [("ABGR8888", &[1u64][..]), ("NV12", &[1, 2]), ("YUV420", &[1, 2, 2])] {
        let Some(plain) = run(&pipeline(format, "", "plain")) else { return };
        let Some(report) = run(&pipeline(format, keys, "padded")) else { return };
        let planes = &report.sinks[0].planes;
        assert_eq!((planes.len(), plain.sinks[0].planes.len()), (shares.len(), shares.len()));
        let mut end = 0;
        for (plane, share) in planes.iter().zip(shares) {
            assert_eq!((plane.stride_bytes % 192, plane.offset_bytes % 4096), (0, 0), "{format}: {planes:?}");
            assert!(plane.offset_bytes >= end, "{format}: {planes:?}");
            end = plane.offset_bytes + u64::from(plane.stride_bytes) * 32 / share;
        }
        // Drivers may give more than was asked for.
        assert!(report.sinks[0].buffer_bytes >= end.next_multiple_of(8192), "{format}: {report:?}");
        let [plain, padded] = ["plain", "padded"].map(|name| std::fs::read(folder.0.join(name)).unwrap());
        assert!(plain == padded, "{format}: the pictures differ");
    }
    let of = |layout: &str| Description::parse(project("shaders/test.toml"), pipeline("NV12", layout, "x")).unwrap();
    let error = runner::run(&of("layout = { stride-align = 0 }"), Options::default()).unwrap_err().to_string();
    assert!(error.contains("test.toml:9:10: pass.p.layout.stride-align: 0: from 1 to 16777216"), "{error}");
}
