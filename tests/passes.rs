//! The kinds of passes on the machine's own driver, against references in double precision written here.
//!
//! Skips only where no driver gives OpenGL ES.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use darkframe::error::{Error, ErrorKind};
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::{Description, Report};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-passes-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// Runs a description that lies in this folder and writes `out.rgba` there.
    fn run(&self, text: &str) -> Result<(Report, Vec<u8>), Error> {
        let out = self.0.join("out.rgba");
        let text = text.replace("OUT", &out.display().to_string());
        let description = Description::parse(self.0.join("p.toml"), text)?;
        let report = runner::run(&description, Options::default())?;
        IS_GPU.store(!report.driver.software, Ordering::Relaxed);
        Ok((report, std::fs::read(&out).unwrap()))
    }

    /// As [`Folder::run`]; `None` where there is no driver.
    fn pixels(&self, text: &str) -> Option<Vec<u8>> {
        or_skip(self.run(text)).map(|(_, pixels)| pixels)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn has_no_driver(error: &Error) -> bool {
    (error.kind() == ErrorKind::Unsupported && error.op().starts_with("eglCreateContext"))
        || (error.kind() == ErrorKind::NotFound && error.to_string().contains("libEGL"))
}

fn or_skip<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if has_no_driver(&error) => {
            println!("SKIP: {error}");
            None
        }
        Err(error) => panic!("{error}"),
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

/// Whether a GPU drew: its targets may round through 16-bit floats, which are up to 1/16 code off (seen on an NVIDIA H100).
static IS_GPU: AtomicBool = AtomicBool::new(false);

/// What an 8-bit target stores for a value that is computed in 32-bit floats: where the exact value is next to the middle
/// between two codes, either.
#[track_caller]
fn assert_stored(got: u8, exact: f64, what: &str) {
    let code = exact.clamp(0.0, 1.0) * 255.0;
    let near = if IS_GPU.load(Ordering::Relaxed) { 1.0 / 16.0 } else { 1e-3 };
    let near_middle = (code - code.floor() - 0.5).abs() < near;
    let expected = code.round() as u8;
    let fine =
        got == expected || (near_middle && f64::from(got) - code.floor() >= 0.0 && f64::from(got) <= code.ceil());
    assert!(fine, "{what}: {got} for {code}");
}

/// Straight alpha over straight alpha: colour `c` with alpha `a` (its product in `p`) over `b`.
fn over(b: [f64; 4], p: [f64; 3], a: f64) -> [f64; 4] {
    let rest = b[3] * (1.0 - a);
    let sum = a + rest;
    let c = [0, 1, 2].map(|i| if sum > 0.0 { (p[i] + b[i] * rest) / sum } else { 0.0 });
    [c[0], c[1], c[2], sum]
}

fn unit(pixel: &[u8]) -> [f64; 4] {
    [0, 1, 2, 3].map(|i| f64::from(pixel[i]) / 255.0)
}

/// As [`assert_stored`], for a straight colour: the smaller its alpha, the less its colour is worth.
#[track_caller]
fn assert_pixel(got: &[u8], exact: [f64; 4], what: &str) {
    (0..4).for_each(|c| assert_stored(got[c], exact[c], what));
}

#[test]
fn blend_modes_are_exact() {
    let folder = Folder::new("blend");
    let (w, h) = (37, 29);
    let (mut low, high) = (noise(1, w * h * 4), noise(77, w * h * 4));
    // Half of the lower picture is opaque, as most are.
    low[..w * h * 2].chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255);
    let sources =
        source(&folder, "low", (w, h), &[low.clone()]) + &source(&folder, "high", (w, h), std::slice::from_ref(&high));
    type Mode = fn(f64, f64) -> f64;
    let modes: [(&str, Mode); 8] = [
        ("normal", |_, s| s),
        ("add", |b, s| (b + s).min(1.0)),
        ("multiply", |b, s| b * s),
        ("screen", |b, s| 1.0 - (1.0 - b) * (1.0 - s)),
        ("difference", |b, s| (b - s).abs()),
        ("lighten", f64::max),
        ("darken", f64::min),
        ("overlay", |b, s| if b <= 0.5 { 2.0 * b * s } else { 1.0 - 2.0 * (1.0 - b) * (1.0 - s) }),
    ];
    for (mode, formula) in modes {
        for (keys, opacity) in [(format!("\"{mode}\""), 1.0), (format!("{{ mode = \"{mode}\", opacity = 0.2 }}"), 0.2)]
        {
            let text = format!(
                "{sources}[pass.mix]\nblend = {keys}\ninputs = [\"low\", \"high\"]\n[sink.s]\ninput = \"mix\"\nfile = \"OUT\"\n"
            );
            let Some(pixels) = folder.pixels(&text) else { return };
            assert_eq!(pixels.len(), w * h * 4);
            for (at, got) in pixels.chunks(4).enumerate() {
                let (b, s) = (unit(&low[at * 4..]), unit(&high[at * 4..]));
                let a = s[3] * opacity;
                let c = [0, 1, 2].map(|i| (1.0 - b[3]) * s[i] + b[3] * formula(b[i], s[i]));
                assert_pixel(got, over(b, c.map(|c| c * a), a), &format!("{mode} {opacity} pixel {at}"));
            }
        }
    }
}

#[test]
fn overlays_are_exact() {
    let folder = Folder::new("overlay");
    let ((w, h), (tw, th)) = ((40usize, 30usize), (11usize, 7usize));
    let (mut low, high) = (noise(5, w * h * 4), noise(99, tw * th * 4));
    low[..w * h * 2].chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255);
    let sources = source(&folder, "low", (w, h), &[low.clone()])
        + &source(&folder, "logo", (tw, th), std::slice::from_ref(&high));
    // Keys, left, top, how many times as large (read nearest), opacity, premultiplied.
    type Case = (&'static str, i64, i64, usize, f64, bool);
    let cases: [Case; 6] = [
        ("", 0, 0, 1, 1.0, false),
        ("position = [3, 5], opacity = 0.6", 3, 5, 1, 0.6, false),
        ("anchor = \"bottom-right\", position = [-4, \"-10%\"]", 40 - 11 - 4, 30 - 7 - 3, 1, 1.0, false),
        ("anchor = \"center\", alpha = \"premultiplied\"", 15, 12, 1, 1.0, true),
        ("position = [-5, 26], alpha = \"premultiplied\", opacity = 0.4", -5, 26, 1, 0.4, true),
        ("anchor = \"top-right\", scale = 2", 18, 0, 2, 1.0, false),
    ];
    for (keys, left, top, times, opacity, premultiplied) in cases {
        let filter = if times > 1 { "filter = \"nearest\"\n" } else { "" };
        let text = format!(
            "{sources}[pass.burn]\noverlay = {{ {keys} }}\ninputs = [\"low\", \"logo\"]\n{filter}[sink.s]\ninput = \"burn\"\nfile = \"OUT\"\n"
        );
        let Some(pixels) = folder.pixels(&text) else { return };
        for (at, got) in pixels.chunks(4).enumerate() {
            let b = unit(&low[at * 4..]);
            let (x, y) = ((at % w) as i64 - left, (at / w) as i64 - top);
            let (x, y) = (x.div_euclid(times as i64), y.div_euclid(times as i64));
            let inside = (0..tw as i64).contains(&x) && (0..th as i64).contains(&y);
            let exact = if inside {
                let s = unit(&high[(y as usize * tw + x as usize) * 4..]);
                let product = [0, 1, 2].map(|i| s[i] * if premultiplied { 1.0 } else { s[3] } * opacity);
                over(b, product, s[3] * opacity)
            } else {
                over(b, [0.0; 3], 0.0)
            };
            assert_pixel(got, exact, &format!("{keys}: pixel ({}, {})", at % w, at / w));
        }
    }
}

#[test]
fn feedback_reads_the_frame_before() {
    let folder = Folder::new("feedback");
    let (w, h, frames) = (8usize, 6usize, 9usize);
    let clip: Vec<Vec<u8>> = (0..frames as u32).map(|frame| noise(frame * 31, w * h * 4)).collect();
    let camera = source(&folder, "camera", (w, h), &clip);
    // Half of the new picture, half of the last result; a pass between, so that the target is not a sink's.
    folder.write("mix.frag", "vec4 pixel(vec2 uv) { return floor((camera() + last()) * 127.5 + 0.1) / 255.0; }");
    folder.write("copy.frag", "vec4 pixel(vec2 uv) { return a(); }");
    let floor_mix = |clip: &[Vec<u8>], at: usize, frame: usize| {
        (0..=frame).fold(0u32, |last, frame| (u32::from(clip[frame][at]) + last) / 2) as u8
    };
    let own = "[pass.mix]\nshader = \"mix.frag\"\ninputs = { camera = \"camera\", last = \"@previous\" }\n";
    let cases = [
        // The target of a sink, of a pass, and of both.
        format!("{own}[sink.s]\ninput = \"mix\"\nfile = \"OUT\"\n"),
        format!(
            "{own}[pass.c]\nshader = \"copy.frag\"\ninputs = {{ a = \"mix\" }}\n[sink.s]\ninput = \"c\"\nfile = \"OUT\"\n"
        ),
        format!(
            "{own}[pass.c]\nshader = \"copy.frag\"\ninputs = {{ a = \"mix\" }}\n[sink.s]\ninput = \"c\"\nfile = \"OUT\"\n[sink.t]\ninput = \"mix\"\nkind = \"null\"\nevery = 3\n"
        ),
    ];
    for (index, case) in cases.iter().enumerate() {
        let Some(pixels) = folder.pixels(&format!("{camera}{case}")) else { return };
        assert_eq!(pixels.len(), w * h * 4 * frames);
        for (at, got) in pixels.iter().enumerate() {
            let (frame, at) = (at / (w * h * 4), at % (w * h * 4));
            assert_eq!(*got, floor_mix(&clip, at, frame), "case {index} frame {frame} byte {at}");
        }
    }
    // Another pass's frame before, drawn before it and after it, round in a circle; and a source's.
    folder.write("two.frag", "vec4 pixel(vec2 uv) { return floor((x() + y()) * 127.5 + 0.1) / 255.0; }");
    let text = format!(
        "{camera}[pass.a]\nshader = \"two.frag\"\ninputs = {{ x = \"camera\", y = \"@previous.b\" }}\n[pass.b]\nshader = \"two.frag\"\ninputs = {{ x = \"a\", y = \"@previous.camera\" }}\n[sink.s]\ninput = \"b\"\nfile = \"OUT\"\n"
    );
    let Some(pixels) = folder.pixels(&text) else { return };
    for at in 0..w * h * 4 {
        let (mut last_b, mut last_camera) = (0u32, 0u32);
        for (frame, picture) in clip.iter().enumerate() {
            let now = u32::from(picture[at]);
            let a = (now + last_b) / 2;
            last_b = (a + last_camera) / 2;
            last_camera = now;
            assert_eq!(u32::from(pixels[frame * w * h * 4 + at]), last_b, "frame {frame} byte {at}");
        }
    }
    // Before the first frame there is the colour of `clear`.
    folder.write("last.frag", "vec4 pixel(vec2 uv) { return last(); }");
    let text = "frames = 1\n[pass.p]\nshader = \"last.frag\"\nsize = \"2x2\"\nclear = \"#0a141eff\"\ninputs = { last = \"@previous\" }\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    assert_eq!(folder.pixels(text).unwrap(), [10, 20, 30, 255].repeat(4));
}

#[test]
fn repeated_passes_read_their_own_result() {
    let folder = Folder::new("repeat");
    let (w, h) = (12usize, 1usize);
    let picture = noise(3, w * h * 4);
    let a = source(&folder, "a", (w, h), std::slice::from_ref(&picture));
    // Adds 3 and moves one pixel to the right, round the edge.
    folder.write(
        "step.frag",
        "vec4 pixel(vec2 uv) { return mod(floor(p(uv - vec2(1.0 / p_size.x, 0.0)) * 255.0 + 3.5), 256.0) / 255.0; }",
    );
    for times in [1usize, 2, 3, 8] {
        let text = format!(
            "{a}[pass.walk]\nshader = \"step.frag\"\ninputs = {{ p = \"a\" }}\nfilter = \"nearest\"\nwrap = \"repeat\"\nrepeat = {times}\n[sink.s]\ninput = \"walk\"\nfile = \"OUT\"\n"
        );
        let Some(pixels) = folder.pixels(&text) else { return };
        for (at, got) in pixels.iter().enumerate() {
            let from = ((at / 4 + w * 4 - times) % w) * 4 + at % 4;
            assert_eq!(*got, picture[from].wrapping_add(3 * times as u8), "{times} times, byte {at}");
        }
    }
}

#[test]
fn wraps_read_beyond_the_edges() {
    let folder = Folder::new("wrap");
    let (w, h) = (8usize, 4usize);
    let picture = noise(9, w * h * 4);
    let a = source(&folder, "a", (w, h), std::slice::from_ref(&picture));
    // Three pictures beside and above each other, the middle one in its place.
    folder.write("wide.frag", "vec4 pixel(vec2 uv) { return a(uv * 3.0 - 1.0); }");
    let fold = |at: i64, n: i64| if at.rem_euclid(2 * n) < n { at.rem_euclid(n) } else { n - 1 - at.rem_euclid(n) };
    type Wrap = fn(i64, i64, &dyn Fn(i64, i64) -> i64) -> i64;
    let wraps: [(&str, Wrap); 3] = [
        ("clamp", |at, n, _| at.clamp(0, n - 1)),
        ("repeat", |at, n, _| at.rem_euclid(n)),
        ("mirror", |at, n, fold| fold(at, n)),
    ];
    for (wrap, index) in wraps {
        let text = format!(
            "{a}[pass.wide]\nshader = \"wide.frag\"\ninputs = [\"a\"]\nsize = \"300%\"\nfilter = \"nearest\"\nwrap = \"{wrap}\"\n[sink.s]\ninput = \"wide\"\nfile = \"OUT\"\n"
        );
        let Some(pixels) = folder.pixels(&text) else { return };
        assert_eq!(pixels.len(), 9 * w * h * 4);
        for (at, got) in pixels.chunks(4).enumerate() {
            let x = index((at % (3 * w)) as i64 - w as i64, w as i64, &fold) as usize;
            let y = index((at / (3 * w)) as i64 - h as i64, h as i64, &fold) as usize;
            assert_eq!(got, &picture[(y * w + x) * 4..][..4], "{wrap} pixel {at}");
        }
    }
}

#[test]
fn what_a_context_cannot_wrap_is_said_with_its_place() {
    let folder = Folder::new("wrap-error");
    folder.write("a.frag", "vec4 pixel(vec2 uv) { return a(uv * 2.0); }");
    let text = "[source.a]\npattern = \"bars\"\nsize = \"15x9\"\nframes = 1\n[pass.p]\nshader = \"a.frag\"\ninputs = [\"a\"]\nwrap = \"repeat\"\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    // Odd YUV: the planes are larger than the picture.
    folder.write("y.raw", vec![0; 5 * 3 + 2 * 3 * 2]);
    let yuv = text.replace(
        "pattern = \"bars\"\nsize = \"15x9\"\nframes = 1",
        "file = \"y.raw\"\nformat = \"YUV420\"\nsize = \"5x3\"",
    );
    let Err(error) = folder.run(&yuv) else { panic!("odd YUV repeats") };
    if has_no_driver(&error) {
        return println!("SKIP: {error}");
    }
    let words = error.to_string();
    assert!(words.contains("p.toml:8:8: pass.p.wrap: input \"a\": YUV420 5x3: the chroma planes"), "{words}");
}

#[test]
fn disabled_passes_let_their_first_input_through() {
    let folder = Folder::new("enable");
    let (w, h, frames) = (4usize, 4usize, 12usize);
    let clip: Vec<Vec<u8>> = (0..frames as u32).map(|frame| noise(frame * 7, w * h * 4)).collect();
    let camera = source(&folder, "a", (w, h), &clip);
    folder.write("not.frag", "vec4 pixel(vec2 uv) { return 1.0 - a(); }");
    let text = format!(
        "{camera}[pass.flash]\nshader = \"not.frag\"\ninputs = [\"a\"]\nenable = \"frame >= 4 && frame % 2 == 0\"\n[sink.s]\ninput = \"flash\"\nfile = \"OUT\"\n"
    );
    let Some(pixels) = folder.pixels(&text) else { return };
    for (frame, got) in pixels.chunks(w * h * 4).enumerate() {
        let inverted = frame >= 4 && frame % 2 == 0;
        let expected: Vec<u8> = clip[frame].iter().map(|byte| if inverted { 255 - byte } else { *byte }).collect();
        assert_eq!(got, expected, "frame {frame}");
    }
    // Without an input there is the colour of `clear`.
    folder.write("white.frag", "vec4 pixel(vec2 uv) { return vec4(1.0); }");
    let text = "frames = 2\n[pass.p]\nshader = \"white.frag\"\nsize = \"1x1\"\nenable = \"frame == 1\"\nclear = [0, 0.2, 1]\n[sink.s]\ninput = \"p\"\nfile = \"OUT\"\n";
    assert_eq!(folder.pixels(text).unwrap(), [0, 51, 255, 255, 255, 255, 255, 255]);
    // Discarded pixels keep it too.
    folder.write("half.frag", "vec4 pixel(vec2 uv) { if (uv.x < 0.5) discard; return vec4(1.0); }");
    let text = text.replace("white", "half").replace("frame == 1", "true");
    let text = text.replace("frames = 2", "frames = 1").replace("1x1", "2x1");
    assert_eq!(folder.pixels(&text).unwrap(), [0, 51, 255, 255, 255, 255, 255, 255]);
    // What only shows in a frame ends the run there, with its place.
    let late = text.replace("\"true\"", "\"1 / frame > 0\"");
    let error = folder.run(&late).unwrap_err().to_string();
    assert!(error.contains(":5:11: pass.p.enable: division by zero at frame 0"), "{error}");
}

/// Descriptions that are wrong, with the place and the words of the error. No driver is asked.
#[test]
fn keys_that_do_not_go_together_are_said() {
    let head = "[source.a]\npattern = \"bars\"\nsize = \"8x8\"\n[sink.s]\ninput = \"p\"\nkind = \"null\"\n[pass.p]\n";
    for (keys, place, words) in [
        (
            "inputs = [\"a\"]",
            "7:7",
            "it does nothing: a pass has one of shader, overlay, blend, mesh, compute and wgpu",
        ),
        (
            "shader = \"x.frag\"\nblend = \"add\"",
            "9:9",
            "shader and blend are both there: a pass has one of shader, overlay, blend, mesh, compute and wgpu",
        ),
        ("blend = \"ad\"\ninputs = [\"a\", \"a\"]", "8:9", "did you mean `add`?"),
        ("blend = \"add\"\ninputs = [\"a\"]", "8:9", "blend takes two inputs, the lower picture first: 1 given"),
        (
            "blend = { mode = \"add\", opacity = 2 }\ninputs = { x = \"a\", y = \"a\" }",
            "8:9",
            "opacity 2: expected 0 to 1",
        ),
        ("blend = { mod = \"add\" }\ninputs = { x = \"a\", y = \"a\" }", "8:11", "did you mean `mode`?"),
        ("overlay = { scale = 0 }\ninputs = { x = \"a\", y = \"a\" }", "8:11", "scale: expected more than 0"),
        ("overlay = { anchor = \"botom\" }\ninputs = { x = \"a\", y = \"a\" }", "8:22", "did you mean `bottom`?"),
        ("overlay = { scale = 1e6 }\ninputs = { x = \"a\", y = \"a\" }", "8:11", "scale: "),
        ("overlay = {}\nuniforms = { k = 1 }\ninputs = { x = \"a\", y = \"a\" }", "9:14", "has no shader of its own"),
        ("blend = \"add\"\nstyle = \"shadertoy\"", "9:9", "a pass with blend has no dialect"),
        ("shader = \"x\"\ninputs = [\"a\"]\nrepeat = 0", "10:10", "drawn at least once"),
        ("shader = \"x\"\nsize = \"8x8\"\nrepeat = 2", "10:10", "as its first input: add one"),
        ("shader = \"x\"\ninputs = [\"a\"]\nenable = \"frame % 2\"", "10:11", "neither true nor false"),
        ("shader = \"x\"\ninputs = [\"a\"]\nenable = 'frame > 3 && fram < 9'", "10:24", "the only name is frame"),
        ("shader = \"x\"\ninputs = [\"a\"]\nclear = \"red\"", "10:9", "expected \"#rrggbb\""),
        ("shader = \"x\"\ninputs = [\"a\"]\nclear = [1, 2, 3]", "10:9", "numbers are from 0 to 1"),
        ("shader = \"x\"\ninputs = [\"a\"]\nwrap = \"miror\"", "10:8", "did you mean `mirror`?"),
        (
            "shader = \"x\"\ninputs = { l = \"@previous.q\" }\nsize = \"8x8\"",
            "9:16",
            "there is no source or pass \"q\"",
        ),
        ("shader = \"x\"\ninputs = { l = \"@previous\" }", "7:7", "only reads pictures of the frame before"),
        ("shader = \"x\"\ninputs = { l = \"p\" }", "9:16", "\"@previous.p\" is its picture of the frame before"),
    ] {
        let text = format!("{head}{keys}\n");
        let description = Description::parse(Path::new("p.toml"), text.as_str());
        let error = description
            .and_then(|description| darkframe::pipeline::plan::Plan::new(&description, None).map(|_| ()))
            .expect_err(keys);
        // Files that are not there are said beside it.
        let mut all = std::iter::once(&error).chain(error.others()).map(ToString::to_string);
        let is_meant = |error: String| error.starts_with(&format!("p.toml:{place}: ")) && error.contains(words);
        assert!(all.any(is_meant), "{keys}\n{error}");
    }
}

#[test]
fn shadertoy_shaders_run_as_they_are() {
    let folder = Folder::new("shadertoy");
    let (w, h) = (8usize, 6usize);
    let picture = noise(21, w * h * 4);
    let a = source(&folder, "time", (w, h), std::slice::from_ref(&picture));
    let run = |keys: &str, inputs: &str, shader: &str| {
        folder.write("toy.frag", shader);
        let text = format!(
            "rate = 4\n{}[pass.toy]\nshader = \"toy.frag\"\nstyle = \"shadertoy\"\n{keys}inputs = {inputs}\n[sink.s]\ninput = \"toy\"\nfile = \"OUT\"\n",
            if inputs == "[]" { "frames = \"3..4\"\n" } else { a.as_str() }
        );
        folder.run(&text)
    };
    let size = "size = \"8x6\"\n";
    // Names of ours are the author's here; y points up; without a version it is GLSL ES 3.00.
    let toy = "float time = 1.0; vec4 pixel(uint frame) { return vec4(float(frame) / 255.0); }
void mainImage( out vec4 fragColor, in vec2 fragCoord ) {
  vec2 at = floor(fragCoord);
  fragColor = vec4(at.x, at.y, float(iFrame) + iTime * 100.0 + iTimeDelta * 4.0 + iMouse.x + iDate.x - 1970.0, 0.0) / 255.0 + pixel(0u) * time;
  if (iResolution != vec3(8.0, 6.0, 1.0) || iChannelResolution[0].x != 0.0) fragColor = vec4(1.0);
}";
    for (version, glsl) in [("", "3.00"), ("#version 300 es\n", "3.00"), ("#version 100\n", "1.00")] {
        let toy = format!("{version}{toy}");
        let toy = if glsl == "1.00" { toy.replace("uint", "int").replace("0u", "0") } else { toy };
        let Some((report, pixels)) = or_skip(run(size, "[]", &toy)) else { return };
        assert!(report.passes[0].glsl == glsl || version.is_empty(), "{version}: {}", report.passes[0].glsl);
        for (at, got) in pixels.chunks(4).enumerate() {
            // Frame 3 at 0.75 s, a quarter of a second each; opaque, whatever is written.
            assert_eq!(got, [(at % w) as u8, (h - 1 - at / w) as u8, 3 + 75 + 1, 255], "{version} pixel {at}");
        }
    }
    // Textures are the other way up too: what is read where it is drawn is the picture as it is.
    for read in [
        "texture(iChannel0, fragCoord / iResolution.xy)",
        "texture(iChannel0, fragCoord / iChannelResolution[0].xy, 0.0)",
        "textureLod(iChannel0, fragCoord / iResolution.xy, 0.0)",
        "texelFetch(iChannel0, ivec2(fragCoord), 0)",
    ] {
        let toy = format!("void mainImage(out vec4 c, in vec2 fragCoord) {{ c = {read}; }}");
        let (_, pixels) =
            run("filter = \"nearest\"\n", "[\"time\"]", &toy).unwrap_or_else(|error| panic!("{read}: {error}"));
        for (at, got) in pixels.chunks(4).enumerate() {
            let expected = &picture[at * 4..at * 4 + 3];
            assert_eq!((&got[..3], got[3]), (expected, 255), "{read} pixel {at}");
        }
    }
    // A pass that is read keeps its alpha, here its own picture of the frame before.
    let toy = "void mainImage(out vec4 c, in vec2 at) { c = texture(iChannel0, at / iResolution.xy) + 51.0 / 255.0; }";
    let (_, pixels) = run(size, "[\"@previous\"]", toy).unwrap_or_else(|error| panic!("{error}"));
    assert!(pixels.iter().all(|byte| *byte == 51), "{pixels:?}");
    // Mistakes.
    let error =
        run(size, "[]", "\nvoid mainImage(out vec4 c, in vec2 at) {\n  c = nonsense;\n}\n").unwrap_err().to_string();
    assert!(error.contains("toy.frag:3:") && error.contains("nonsense"), "{error}");
    let error = run(size, "[]", "vec4 pixel(vec2 uv) { return vec4(1.0); }").unwrap_err().to_string();
    assert!(error.contains("p.toml:4:10: pass.toy.shader: toy.frag has no mainImage; remove style"), "{error}");
    folder.write("toy.frag", "void mainImage(out vec4 c, in vec2 at) { c = vec4(1.0); }");
    let text = "[pass.toy]\nshader = \"toy.frag\"\nsize = \"8x8\"\n[sink.s]\ninput = \"toy\"\nkind = \"null\"\n";
    let error = folder.run(text).unwrap_err().to_string();
    assert!(
        error.contains("p.toml:2:10: pass.toy.shader: toy.frag has mainImage, as on shadertoy.com; add style"),
        "{error}"
    );
}
