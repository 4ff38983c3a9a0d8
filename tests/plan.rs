//! What the planner makes of a pipeline shows the same picture as the pipeline drawn as it is written.
//!
//! The reference is the same driver without the planner; `tests/pipeline.rs` holds that against a reference in f64.
//! Skips only where no driver gives OpenGL ES.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use darkframe::error::ErrorKind;
use darkframe::gles::ProgramCache;
use darkframe::pipeline::description::Optimize;
use darkframe::pipeline::plan::Plan;
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::shader::gain::bounds::Bound;
use darkframe::pipeline::shader::gain::{Read, result_off};
use darkframe::pipeline::{Description, Report};
use proptest::prelude::*;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("darkframe-plan-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn parse(&self, text: &str) -> Description {
        Description::parse(self.0.join("test.toml"), text).unwrap_or_else(|error| panic!("{error}"))
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

/// Runs; `None` where there is no driver.
fn run(description: &Description, frames: &str) -> Option<Report> {
    run_on(description, frames, None)
}

/// With no newer OpenGL ES than `max_version`.
fn run_on(description: &Description, frames: &str, max_version: Option<(u8, u8)>) -> Option<Report> {
    let options = Options { frames: Some(frames.parse().unwrap()), max_version, ..Options::default() };
    match runner::run(description, options) {
        Ok(report) => Some(report),
        Err(error)
            if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound)
                && (error.op().starts_with("egl") || error.to_string().contains("libEGL")) =>
        {
            println!("SKIP: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// Runs a pipeline whose sink `o` is raw, with the steps named and without any; gives the report of the first, and how
/// far the pictures are apart.
fn planned_and_plain(folder: &Folder, text: &str, steps: &str) -> Option<(Report, u8)> {
    let mut pictures = Vec::new();
    let mut first = None;
    for (name, optimize) in [("planned", steps.parse::<Optimize>().unwrap()), ("plain", Optimize::NONE)] {
        let mut description = folder.parse(text);
        description.optimize = optimize;
        let file = folder.0.join(format!("{name}.raw"));
        description.set(&format!("sink.o.file={}", file.display())).unwrap();
        let report = run(&description, "0..2")?;
        pictures.push(std::fs::read(&file).unwrap());
        first.get_or_insert(report);
    }
    Some((first?, largest_difference(&pictures[0], &pictures[1])))
}

fn parts(report: &Report) -> Vec<String> {
    report.passes.iter().map(|pass| pass.parts.join("+")).collect()
}

/// On a GPU what cannot be shown to stay within one code is drawn in parts, so that fewer may be together.
fn assert_parts(report: &Report, expected: &[&str]) {
    let found = parts(report);
    if report.driver.software {
        assert_eq!(found, expected);
        return;
    }
    let is_in = |group: &str, whole: &str| group.split('+').all(|part| whole.split('+').any(|other| other == part));
    let fits = found.iter().all(|group| expected.iter().any(|whole| is_in(group, whole)));
    assert!(fits, "{found:?}, at most {expected:?}");
}

const GRADE: &str =
    "uniform float exposure;\nvec4 pixel(vec2 uv) { return vec4(source().rgb * exposure, source().a); }\n";
const SHIFT: &str = "vec4 pixel(vec2 uv) { return source(uv + vec2(1.0, 2.0) / source_size) * 0.9; }\n";
const MEAN: &str = "#version 300 es\nvec4 pixel(vec2 uv) { return 0.5 * (a() + b()); }\n";
const HARD: &str =
    "const float exposure = 8.0;\nvec4 pixel(vec2 uv) { return (source() - 0.5) * exposure + 0.5 + uv.x * 0.1; }\n";

fn shaders(folder: &Folder) {
    for (name, text) in [("grade", GRADE), ("shift", SHIFT), ("mean", MEAN), ("hard", HARD)] {
        folder.write(&format!("{name}.frag"), text);
    }
}

/// A pipeline over a source of noise. Each pass: name, shader, inputs, the rest of its table.
fn pipeline(source: &str, passes: &[(&str, &str, &str, &str)], out: &str) -> String {
    let mut text = format!("[source.s]\n{source}\n");
    for (name, shader, inputs, rest) in passes {
        text += &format!("[pass.{name}]\nshader = \"{shader}.frag\"\ninputs = {{ {inputs} }}\n{rest}\n");
    }
    text + &format!("[sink.o]\ninput = \"{out}\"\nfile = \"o.raw\"\nkind = \"raw\"\n")
}

const NOISE: &str = "pattern = \"noise\"\nsize = \"36x20\"";
const EXPOSURE: &str = "uniforms = { exposure = 1.3 }";

/// Name, shader, inputs, the rest of its table.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Passes, who is expected to be drawn with whom.
type Case<'a> = (&'a [Row<'a>], &'a [&'a str]);

/// Keys of a parameter, passes, who is drawn with whom on a GPU, and why not.
type GpuCase<'a> = (&'a str, &'a [Row<'a>], &'a [&'a str], &'a str);

/// A shader's text, keys of its pass, and its values.
type Valued = (String, &'static str, Vec<(&'static str, Vec<f64>)>);

#[test]
fn passes_that_ask_for_their_own_pixel_are_fused_and_others_are_not() {
    let folder = Folder::new();
    shaders(&folder);
    let cases: [Case<'_>; 9] = [
        // A chain, two of one shader with a uniform of one name; the clamp between them is kept.
        (
            &[
                ("p", "grade", "source = \"s\"", "uniforms = { exposure = 2.5 }"),
                ("q", "grade", "source = \"p\"", "uniforms = { exposure = 0.5 }"),
            ],
            &["p+q"],
        ),
        // Behind a pass that reads other places, and another that amplifies what lies between two codes.
        (
            &[
                ("p", "shift", "source = \"s\"", ""),
                ("q", "grade", "source = \"p\"", EXPOSURE),
                ("r", "hard", "source = \"q\"", ""),
            ],
            &["p+q+r"],
        ),
        // Not into one that reads it elsewhere.
        (&[("p", "grade", "source = \"s\"", EXPOSURE), ("q", "shift", "source = \"p\"", "")], &["p", "q"]),
        // GLSL ES 1.00 and 3.00; a picture that both parts read.
        (&[("p", "grade", "source = \"s\"", EXPOSURE), ("q", "mean", "a = \"p\", b = \"s\"", "")], &["p+q"]),
        // A diamond: the two arms into the end, and what they share with them.
        (
            &[
                ("p", "hard", "source = \"s\"", ""),
                ("q", "shift", "source = \"s\"", ""),
                ("r", "grade", "source = \"p\"", EXPOSURE),
                ("t", "mean", "a = \"r\", b = \"q\"", ""),
            ],
            &["p+r+q+t"],
        ),
        // Read by two draws, and cheap: made twice.
        (
            &[
                ("p", "grade", "source = \"s\"", EXPOSURE),
                ("q", "hard", "source = \"p\"", ""),
                ("r", "shift", "source = \"q\"", ""),
                ("t", "mean", "a = \"r\", b = \"p\"", ""),
            ],
            &["p+q", "p+r+t"],
        ),
        // Read by two draws, and dear: stored.
        (
            &[
                ("p", "shift", "source = \"s\"", ""),
                ("q", "hard", "source = \"p\"", ""),
                ("r", "shift", "source = \"q\"", ""),
                ("t", "mean", "a = \"r\", b = \"p\"", ""),
            ],
            &["p", "q", "r+t"],
        ),
        // Another size, another depth.
        (
            &[
                ("p", "grade", "source = \"s\"", EXPOSURE),
                ("q", "grade", "source = \"p\"", "size = \"50%\"\nuniforms = { exposure = 1 }"),
            ],
            &["p", "q"],
        ),
        (
            &[
                ("p", "grade", "source = \"s\"", "format = \"RGB565\"\nuniforms = { exposure = 1 }"),
                ("q", "hard", "source = \"p\"", ""),
            ],
            &["p", "q"],
        ),
    ];
    for (passes, expected) in cases {
        let text = pipeline(NOISE, passes, passes.last().unwrap().0);
        let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return };
        assert_parts(&report, expected);
        assert!(difference <= 1, "{difference} code values apart: {text}");
        // Without the step, nothing.
        let Some((report, difference)) = planned_and_plain(&folder, &text, "nearest,precision,reuse,four-wide") else {
            return;
        };
        assert_eq!(report.passes.len(), passes.len());
        assert!(difference <= 1, "{difference} code values apart: {text}");
    }
}

#[test]
fn a_sinks_pass_is_stored_and_reasons_are_given() {
    let folder = Folder::new();
    shaders(&folder);
    let passes = [
        ("p", "grade", "source = \"s\"", EXPOSURE),
        ("q", "hard", "source = \"p\"", ""),
        ("r", "shift", "source = \"q\"", ""),
    ];
    let text = pipeline(NOISE, &passes, "r") + "[sink.n]\ninput = \"p\"\nkind = \"null\"\n";
    let plan = Plan::new(&folder.parse(&text), None).unwrap();
    let kept: Vec<_> = plan.kept.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert_eq!(kept, ["p: sink n takes its picture", "q: r reads it at other places too: source is not only source()"]);
    assert_eq!(plan.parts, [["p"], ["q"], ["r"]]);
}

/// Long chains with few textures: the same picture, and fewer buffers to hold it.
#[test]
fn textures_are_used_again_and_whole_pixels_are_read_unfiltered() {
    let folder = Folder::new();
    shaders(&folder);
    let passes = ["p", "q", "r", "t", "u"].map(|name| name.to_owned());
    let sources: Vec<String> = ["s", "p", "q", "r", "t"].iter().map(|feed| format!("source = \"{feed}\"")).collect();
    let table: Vec<_> =
        passes.iter().zip(&sources).map(|(name, source)| (name.as_str(), "shift", source.as_str(), "")).collect();
    let text = pipeline(NOISE, &table, "u");
    let plan = Plan::new(&folder.parse(&text), None).unwrap();
    // p and q take turns; the last one's picture goes to a sink.
    assert_eq!(plan.reused, [None, None, Some(0), Some(1), None]);
    assert!((0..5).all(|pass| plan.reads_middles(pass, "source")));
    let Some((_, difference)) = planned_and_plain(&folder, &text, "true") else { return };
    assert!(difference <= 1, "{difference}");

    let explained = plan.explain(None).join("\n");
    for words in [
        "reads q as source: nearest where the CPU draws (every read is whole pixels away), else linear",
        "not fused with what reads it: q reads it at other places too: source is not only source()",
        "target: the texture of p, which nobody needs any more",
        "no driver here",
    ] {
        assert!(explained.contains(words), "{explained}");
    }
    let off = Plan::new(&folder.parse(&format!("optimize = false\n{text}")), None).unwrap();
    assert!(!off.reads_middles(0, "source") && off.reused.iter().all(Option::is_none));
    assert!(off.explain(None).join("\n").contains("the step \"nearest\" is off"));
}

/// A GPU may round between passes otherwise than a fused one does: it is fused only where one code stays one.
#[test]
fn on_a_gpu_one_code_stays_one() {
    let folder = Folder::new();
    shaders(&folder);
    folder.write("less.frag", "uniform float k;\nvec4 pixel(vec2 uv) { return source() * k; }\n");
    let less = |value: &str| format!("uniforms = {{ k = {value} }}");
    folder.write("tenths.frag", "vec4 pixel(vec2 uv) { return 0.4 * a() + 0.4 * b(); }\n");
    let (calm, same, free) = (less("0.8"), less("1.0"), less("\"$k\""));
    let parameter = "[parameter.k]\ndefault = 0.5\nmin = 0\n";
    let cases: [GpuCase<'_>; 8] = [
        ("", &[("p", "grade", "source = \"s\"", EXPOSURE), ("q", "less", "source = \"p\"", &calm)], &["p+q"], ""),
        (
            "",
            &[("p", "less", "source = \"s\"", &calm), ("q", "grade", "source = \"p\"", EXPOSURE)],
            &["p", "q"],
            "one code in it may become 1.3 in q",
        ),
        // Two roundings, each a sixteenth of a code off, make two codes of it now and then.
        (
            "",
            &[("p", "grade", "source = \"s\"", EXPOSURE), ("q", "less", "source = \"p\"", &same)],
            &["p", "q"],
            "one code in it may become 1.0 in q, of which no more than 0.875 stay one",
        ),
        // The steep one is farther behind: what it reads must be as it is written, and what that reads.
        (
            "",
            &[
                ("p", "grade", "source = \"s\"", EXPOSURE),
                ("q", "less", "source = \"p\"", &calm),
                ("r", "shift", "source = \"q\"", ""),
                ("t", "hard", "source = \"r\"", ""),
            ],
            &["p", "q", "r", "t"],
            "one code in it may become 8.0 in t",
        ),
        // Four tenths of each of two.
        (
            "",
            &[
                ("p", "hard", "source = \"s\"", ""),
                ("q", "shift", "source = \"s\"", ""),
                ("r", "tenths", "a = \"p\", b = \"q\"", ""),
            ],
            &["p+q+r"],
            "",
        ),
        // A value that may change, with an upper end and without.
        ("max = 0.8\n", &[("p", "hard", "source = \"s\"", ""), ("q", "less", "source = \"p\"", &free)], &["p+q"], ""),
        (
            "",
            &[("p", "hard", "source = \"s\"", ""), ("q", "less", "source = \"p\"", &free)],
            &["p", "q"],
            "that one code in it stays one in q cannot be shown",
        ),
        // One code of 8 bits is many of a float.
        (
            "",
            &[
                ("p", "hard", "source = \"s\"", ""),
                ("q", "less", "source = \"p\"", &format!("{calm}\nformat = \"ABGR16161616F\"")),
                ("r", "less", "source = \"q\"", &calm),
            ],
            &["p", "q", "r"],
            "another number of codes in q, which is ABGR16161616F",
        ),
    ];
    for (rest, passes, expected, why) in cases {
        let text = pipeline(NOISE, passes, passes.last().unwrap().0);
        let uses = text.contains("$k");
        let text = if uses { format!("{text}{parameter}{rest}") } else { text };
        let mut plan = Plan::new(&folder.parse(&text), None).unwrap();
        let together = plan.parts.clone();
        let without = plan.explain(None).join("\n");
        plan.settle_for(false);
        let parts: Vec<String> = plan.parts.iter().map(|parts| parts.join("+")).collect();
        assert_eq!(parts, expected, "{text}");
        let kept: Vec<_> = plan.kept.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        assert!(kept.join("\n").contains(why), "{kept:?}");
        assert!(why.is_empty() || without.contains("where a GPU draws, "), "{without}");
        plan.settle_for(true);
        assert_eq!(plan.parts, together);
        let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return };
        // The CPU's sums are the same, whatever stands beside them.
        let most = u8::from(!report.driver.software);
        assert!(difference <= most, "{difference} code values apart: {text}");
    }
    // The main job: within its inner circle the vignette leaves a code one, and so rounds it again.
    let mut plan = Plan::new(&Description::open(project("examples/enhance.toml")).unwrap(), None).unwrap();
    plan.settle_for(false);
    let parts: Vec<String> = plan.parts.iter().map(|parts| parts.join("+")).collect();
    assert_eq!(parts, ["grade", "blur-h", "blur-v", "unsharp", "vignette"]);
}

/// Many pixels next to the middle of two codes, and a pass behind them that makes eight of one.
#[test]
fn steep_passes_are_the_same_planned() {
    let folder = Folder::new();
    shaders(&folder);
    let passes = [
        ("p", "grade", "source = \"s\"", EXPOSURE),
        ("q", "shift", "source = \"p\"", ""),
        ("r", "grade", "source = \"q\"", "uniforms = { exposure = 0.77 }"),
        ("t", "mean", "a = \"r\", b = \"s\"", ""),
        ("u", "hard", "source = \"t\"", ""),
    ];
    for source in ["pattern = \"noise\"\nsize = \"1024x768\"", "pattern = \"zone-plate\"\nsize = \"1024x768\""] {
        let text = pipeline(source, &passes, "u");
        let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return };
        assert_parts(&report, &["p", "q+r+t+u"]);
        assert!(difference <= 1, "{difference} code values apart: {text}");
    }
}

/// Alpha that reaches no sink is not computed, and the picture is the same.
#[test]
fn alpha_that_nobody_reads_is_left_out() {
    let folder = Folder::new();
    shaders(&folder);
    folder.write("over.frag", "vec4 pixel(vec2 uv) { vec4 s = a(); return vec4(mix(s.rgb, b().rgb, 0.25), s.a); }\n");
    folder.write("keyed.frag", "vec4 pixel(vec2 uv) { return mix(a(), b(), b(uv).a); }\n");
    let read = [("p", "shift", "source = \"s\"", ""), ("q", "shift", "source = \"p\"", "")];
    let last = |shader| ("r", shader, "a = \"s\", b = \"q\"", "");
    let cases: [(Vec<Row<'_>>, &str, &[bool]); 6] = [
        // Only the colour of q is read, and so only that of p.
        ([&read[..], &[last("over")]].concat(), "", &[true, false]),
        ([&read[..], &[last("keyed")]].concat(), "", &[false, false, false]),
        // What a sink takes, it takes whole.
        ([&read[..], &[last("over")]].concat(), "[sink.n]\ninput = \"p\"\nkind = \"null\"\n", &[false, false]),
        // No alpha in the target; where a sink takes it, its bits are what they were.
        (
            vec![("p", "shift", "source = \"s\"", "format = \"XBGR8888\""), ("q", "shift", "source = \"p\"", "")],
            "",
            &[true, false],
        ),
        (
            vec![("p", "shift", "source = \"s\"", ""), ("q", "shift", "source = \"p\"", "format = \"XBGR8888\"")],
            "",
            &[false, false],
        ),
        // The frame before is not followed.
        (
            vec![
                ("p", "shift", "source = \"s\"", ""),
                ("q", "over", "a = \"@previous\", b = \"p\"", "size = \"36x20\""),
            ],
            "",
            &[false, false],
        ),
    ];
    for (passes, rest, expected) in cases {
        let text = pipeline(NOISE, &passes, passes.last().unwrap().0) + rest;
        let plan = Plan::new(&folder.parse(&text), None).unwrap();
        assert_eq!(plan.unread_alpha, expected, "{text}\n{:?}", plan.parts);
        let explained = plan.explain(None).join("\n");
        assert_eq!(explained.matches("alpha: not computed").count(), expected.iter().filter(|it| **it).count());
        for steps in ["alpha", "true"] {
            let Some((report, difference)) = planned_and_plain(&folder, &text, steps) else { return };
            assert!(difference <= u8::from(!report.driver.software), "{text}{difference} codes apart");
        }
    }
}

/// What is shown of a shader's gain holds on the driver: of two pictures one code apart the results are no farther apart.
#[test]
fn gains_are_what_a_driver_draws() {
    let folder = Folder::new();
    let (w, h) = (64u32, 48u32);
    let mut state = 1u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let first: Vec<u8> = (0..w * h * 4).map(|_| random() as u8).collect();
    let second: Vec<u8> = first.iter().map(|code| code.saturating_add_signed((random() % 3) as i8 - 1)).collect();
    let other: Vec<u8> = (0..w * h * 4).map(|_| random() as u8).collect();
    for (name, bytes) in [("one", &first), ("two", &second), ("b", &other)] {
        std::fs::write(folder.0.join(format!("{name}.rgba")), bytes).unwrap();
    }
    let library = |name: &str| std::fs::read_to_string(project(&format!("shaders/{name}"))).unwrap();
    let renamed = |text: String| text.replace("source", "a").replace("blurred", "b").replace("base()", "b()");
    let gaussian = library("lib/gaussian.glsl");
    let mut texts: Vec<Valued> = BODIES
        .iter()
        .map(|(head, value)| (format!("{head}vec4 pixel(vec2 uv) {{ return {value}; }}\n"), "", vec![]))
        .collect();
    texts.push((
        renamed(library("blur.frag").replace("#include \"gaussian.glsl\"", &gaussian)),
        "uniforms = { direction = [1, 0] }",
        vec![("direction", vec![1.0, 0.0])],
    ));
    texts.push((renamed(library("unsharp.frag")), "uniforms = { amount = 0.6 }", vec![("amount", vec![0.6])]));
    texts.push((renamed(library("vignette.frag")), "uniforms = { strength = 0.35 }", vec![("strength", vec![0.35])]));
    texts.push((
        renamed(library("grade.frag")),
        "uniforms = { exposure = 1.08, contrast = 0.35 }",
        vec![("exposure", vec![1.08]), ("contrast", vec![0.35])],
    ));
    let mut bounded = 0;
    for (text, uniforms, values) in texts {
        folder.write("it.frag", &text);
        let unit = |name, off: f64| Read::even(name, Bound::new(0.0, 1.0, off / 255.0));
        let known = |name: &str| {
            let (_, numbers) = values.iter().find(|(known, _)| *known == name)?;
            Some(numbers.iter().map(|number| (*number, *number)).collect())
        };
        let Some(off) = result_off(&text, &[unit("a", 1.0), unit("b", 0.0)], known) else { continue };
        let codes = off * 255.0;
        let mut pictures = Vec::new();
        for picture in ["one", "two"] {
            let raw =
                |name| format!("file = \"{name}.rgba\"\nkind = \"raw\"\nformat = \"ABGR8888\"\nsize = \"{w}x{h}\"\n");
            let inputs = if text.contains("b(") { "{ a = \"a\", b = \"b\" }" } else { "{ a = \"a\" }" };
            let text = format!(
                "[source.a]\n{}[source.b]\n{}[pass.p]\nshader = \"it.frag\"\ninputs = {inputs}\n{uniforms}\n[sink.o]\ninput = \"p\"\nfile = \"{}\"\n",
                raw(picture),
                raw("b"),
                folder.0.join("o.raw").display()
            );
            let mut description = folder.parse(&text);
            description.optimize = Optimize::NONE;
            if run(&description, "0..1").is_none() {
                return;
            }
            pictures.push(std::fs::read(folder.0.join("o.raw")).unwrap());
        }
        let difference = f64::from(largest_difference(&pictures[0], &pictures[1]));
        // Each is rounded to the nearest.
        assert!(difference <= (codes + 1.0 + 1e-3).floor(), "{difference} codes, expected {codes} at most: {text}");
        assert!(difference > 0.0, "nothing differs: {text}");
        bounded += 1;
    }
    assert!(bounded >= 13, "only {bounded} shaders have a bound");
}

/// A fused shader that the driver refuses is drawn in its parts; an error is about the author's text, at its line.
#[test]
fn what_a_driver_refuses_is_drawn_in_parts() {
    let folder = Folder::new();
    shaders(&folder);
    // A macro makes a function whose name the reader does not see, in both.
    let hidden = |factor: &str| {
        format!(
            "#define MAKE(name) float name(float x) {{ return x * {factor}; }}\nMAKE(hidden)\nvec4 pixel(vec2 uv) {{ return vec4(hidden(source().r)); }}\n"
        )
    };
    folder.write("one.frag", &hidden("0.5"));
    folder.write("two.frag", &hidden("1.5"));
    let passes = [("p", "one", "source = \"s\"", ""), ("q", "two", "source = \"p\"", "")];
    let text = pipeline(NOISE, &passes, "q");
    let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return };
    assert_eq!((report.passes.len(), difference), (2, 0));

    folder.write("two.frag", "// first\nvec4 pixel(vec2 uv) {\n    return source() * nothing;\n}\n");
    let passes = [("p", "grade", "source = \"s\"", EXPOSURE), ("q", "two", "source = \"p\"", "")];
    let error = runner::run(&folder.parse(&pipeline(NOISE, &passes, "q")), Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shader);
    assert!(error.to_string().contains("two.frag:3:") && error.to_string().contains("nothing"), "{error}");
}

/// OpenGL ES 2.0, where every shader is GLSL ES 1.00: fused passes show what the passes show one by one there, and what
/// a newer context shows.
#[test]
fn fused_passes_are_the_same_on_the_oldest_version() {
    let folder = Folder::new();
    shaders(&folder);
    folder.write("both.frag", "vec4 pixel(vec2 uv) { return 0.5 * (a() + b()); }\n");
    let passes = [
        ("p", "shift", "source = \"s\"", ""),
        ("q", "grade", "source = \"p\"", EXPOSURE),
        ("r", "hard", "source = \"q\"", ""),
        ("t", "both", "a = \"r\", b = \"s\"", ""),
    ];
    for source in [NOISE, nv12(&folder)] {
        let mut pictures = Vec::new();
        for (optimize, max_version) in
            [(Optimize::ALL, Some((2, 0))), (Optimize::NONE, Some((2, 0))), (Optimize::NONE, None)]
        {
            let mut description = folder.parse(&pipeline(source, &passes, "t"));
            description.optimize = optimize;
            let file = folder.0.join("o.raw");
            description.set(&format!("sink.o.file={}", file.display())).unwrap();
            let Some(report) = run_on(&description, "0..2", max_version) else { return };
            let planned = optimize == Optimize::ALL;
            assert_parts(&report, if planned { &["p+q+r+t"] } else { &["p", "q", "r", "t"] });
            if max_version.is_some() {
                assert!(report.passes.iter().all(|pass| pass.glsl == "1.00"), "{}", report.passes[0].glsl);
                assert!(report.passes.iter().all(|pass| pass.pixels_per_fragment == 1));
            }
            pictures.push(std::fs::read(&file).unwrap());
        }
        assert!(pictures[0].iter().any(|byte| *byte != pictures[0][0]), "nothing was drawn");
        // A code of p is 1.3 * 8 / 2 of t: those are the same to the bit, or nearly so.
        let apart = [1, 2].map(|other| largest_difference(&pictures[0], &pictures[other]));
        assert!(apart[0] <= 1 && apart[1] <= 1, "{apart:?} code values apart: {source}");
    }
}

/// An NV12 clip of two frames as the source `s`.
fn nv12(folder: &Folder) -> &'static str {
    let bytes: Vec<u8> = (0..36 * 20 * 3 / 2 * 2).map(|i: u32| (i * 7 % 251) as u8).collect();
    std::fs::write(folder.0.join("clip.nv12"), bytes).unwrap();
    "file = \"clip.nv12\"\nformat = \"NV12\"\nsize = \"36x20\"\ncolor = { matrix = \"bt601\" }"
}

/// Fused passes over subsampled chroma are drawn four pixels a fragment like one, where that is offered.
#[test]
fn fused_passes_are_drawn_four_wide() {
    let folder = Folder::new();
    shaders(&folder);
    // Four pixels are converted in one sum, one pixel in another: what is steep behind them would show it.
    for (second, rest, four_wide) in [("grade", "uniforms = { exposure = 0.9 }", true), ("hard", "", false)] {
        let passes = [("p", "grade", "source = \"s\"", EXPOSURE), ("q", second, "source = \"p\"", rest)];
        let text = pipeline(nv12(&folder), &passes, "q");
        let plan = Plan::new(&folder.parse(&text), None).unwrap();
        assert_eq!((plan.parts.len(), plan.four_wide[0]), (1, four_wide));
        let explained = plan.explain(None).join("\n");
        assert_eq!(explained.contains("a later part is steep"), !four_wide, "{explained}");
        let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return };
        assert_parts(&report, &["p+q"]);
        assert!(four_wide || report.passes[0].pixels_per_fragment == 1);
        assert!(difference <= 1, "{difference}");
    }
}

/// Passes that read whole pixels beside their own are drawn four pixels a fragment, edges and all: every byte is the one
/// that the clamped place of the input has.
#[test]
fn pixels_beside_are_read_for_four_at_once() {
    // For red, green, blue and alpha: columns and rows to the pixel that it is taken from.
    type Places = [[i64; 2]; 4];
    let near: Places = [[-1, 0], [1, 0], [0, -1], [0, 1]];
    let far: Places = [[-9, 2], [4, -3], [3, 0], [-4, 1]];
    let mixed: Places = [[0, 0], [5, 5], [-5, -5], [2, -1]];
    let take = |places: &Places| {
        let at = |place: usize| format!("source(uv + vec2({}, {}) / source_size)", places[place][0], places[place][1]);
        format!("vec4 pixel(vec2 uv) {{ return vec4({}.r, {}.g, {}.b, {}.a); }}\n", at(0), at(1), at(2), at(3))
    };
    let folder = Folder::new();
    for (width, height) in [(4, 1), (4, 5), (8, 3), (20, 7), (64, 36)] {
        let noise = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 15) as u8;
        let bytes: Vec<u8> = (0..width * height * 4).map(noise).collect();
        std::fs::write(folder.0.join("in.raw"), &bytes).unwrap();
        let source = format!("file = \"in.raw\"\nformat = \"ABGR8888\"\nsize = \"{width}x{height}\"\nrate = 5");
        for (first, second) in [(near, far), (far, mixed), (mixed, near)] {
            folder.write("first.frag", &take(&first));
            folder.write("second.frag", &take(&second));
            let passes = [("p", "first", "source = \"s\"", ""), ("q", "second", "source = \"p\"", "")];
            let mut description = folder.parse(&pipeline(&source, &passes, "q"));
            description.set(&format!("sink.o.file={}", folder.0.join("out.raw").display())).unwrap();
            let Some(report) = run(&description, "0..1") else { return };
            assert_eq!(report.passes[0].pixels_per_fragment, report.passes[1].pixels_per_fragment);
            let (mut expected, mut from) = (bytes.clone(), bytes.clone());
            for places in [first, second] {
                for (at, byte) in expected.iter_mut().enumerate() {
                    let [dx, dy] = places[at % 4];
                    let (x, y) = ((at / 4 % width) as i64 + dx, (at / 4 / width) as i64 + dy);
                    let (x, y) = (x.clamp(0, width as i64 - 1), y.clamp(0, height as i64 - 1));
                    *byte = from[(y as usize * width + x as usize) * 4 + at % 4];
                }
                from.clone_from(&expected);
            }
            let out = std::fs::read(folder.0.join("out.raw")).unwrap();
            let wrong = out.iter().zip(&expected).position(|(got, wanted)| got != wanted);
            assert_eq!((out.len(), wrong), (expected.len(), None), "{width}x{height} {first:?} {second:?}");
            if report.passes[0].pixels_per_fragment == 1 {
                println!(
                    "SKIP four pixels a fragment: this driver is a GPU's, has OpenGL ES 2 only, or imports dma-bufs"
                );
                return;
            }
        }
    }
}

/// A blur and what follows it, drawn so, is the same to the bit; what reads the picture at places that are not known keeps
/// it as it is.
#[test]
fn stencils_are_drawn_four_wide_to_the_bit() {
    let folder = Folder::new();
    shaders(&folder);
    let blur = project("shaders/blur.frag");
    let blur = blur.with_extension("");
    let blur = blur.to_str().unwrap();
    let (rows, columns) = ("uniforms = { direction = [1, 0] }", "uniforms = { direction = [0, 1] }");
    let mut passes = vec![
        ("p", blur, "source = \"s\"", rows),
        ("q", blur, "source = \"p\"", columns),
        ("r", "grade", "source = \"q\"", EXPOSURE),
    ];
    let source = "pattern = \"noise\"\nsize = \"40x24\"";
    let wide = |text: &str| Plan::new(&folder.parse(text), None).unwrap().four_wide;
    let text = pipeline(source, &passes, "r");
    assert_eq!(wide(&text), [true, true]);
    let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return };
    assert_parts(&report, &["p", "q+r"]);
    assert_eq!(difference, 0);
    let Some((_, difference)) = planned_and_plain(&folder, &text, "four-wide") else { return };
    assert_eq!(difference, 0);

    // A reader of other places, and all before it; a step that a parameter may change; a width that four does not divide.
    passes.push(("t", "grade", "source = \"r\"", "size = \"50%\"\nuniforms = { exposure = 1 }"));
    assert_eq!(wide(&pipeline(source, &passes, "t")), [false; 3]);
    passes.pop();
    passes[1].3 = "uniforms = { direction = \"$way\" }";
    let free = format!("[parameter.way]\ndefault = [0, 1]\n{}", pipeline(source, &passes, "r"));
    assert_eq!(wide(&free), [false, false]);
    let narrow = pipeline("pattern = \"noise\"\nsize = \"42x24\"", &passes[..1], "p");
    assert_eq!(wide(&narrow), [false]);
    let explained = Plan::new(&folder.parse(&narrow), None).unwrap().explain(None).join("\n");
    assert!(explained.contains("four does not divide its width"), "{explained}");
    let explained = Plan::new(&folder.parse(&text), None).unwrap().explain(None).join("\n");
    assert!(explained.contains("9 reads of f0_source, not 36"), "{explained}");
}

/// Four pixels a fragment are drawn by GLSL ES 3.00: what is right in 1.00 only is drawn one by one.
#[test]
fn a_shader_of_the_old_version_only_is_not_four_wide() {
    let folder = Folder::new();
    shaders(&folder);
    // 1.00 lets authors add to a built-in function, 3.00 does not.
    folder.write(
        "old.frag",
        "float fract(float x, float y) { return x * y; }\nvec4 pixel(vec2 uv) { return source() * fract(0.5, 1.5); }\n",
    );
    let text = pipeline(nv12(&folder), &[("p", "old", "source = \"s\"", "")], "p");
    assert_eq!(Plan::new(&folder.parse(&text), None).unwrap().four_wide, [true]);
    let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return };
    assert_eq!((report.passes[0].pixels_per_fragment, report.passes[0].glsl.as_str()), (1, "1.00"));
    assert!(difference <= 1, "{difference}");
}

/// Values of every type that a description can give are the same as constants; what is right as a uniform only stays one.
#[test]
fn values_are_the_same_as_constants() {
    let folder = Folder::new();
    folder.write(
        "types.frag",
        "uniform float f, g; // two of one declaration\nuniform highp vec2\n  at;\nuniform vec3 c;\nuniform vec4 d;\nuniform int i;\n\
         uniform bool b;\nuniform ivec2 k;\nuniform mat3 m;\nuniform float unused;\n\
         vec4 pixel(vec2 uv) {\n    vec3 s = source(uv + at * float(i) / source_size).rgb * f + c * g;\n    \
         if (b) { s = m * s; }\n    return vec4(s, 1.0) * d + vec4(k, 0, 0) * 0.01 + vec4(resolution, 0.0, 0.0) * 0.0001;\n}\n",
    );
    let uniforms = "uniforms = { f = 0.7, g = -0.25, at = [1, -2], c = [0.1, 0.2, 0.3], d = [1, 0.9, 1e-3, 1], i = 2, b = 1, \
                    k = [-3, 4], m = [0.5, 0.1, 0, 0.2, 0.6, 0.1, 0, 0, 0.9], unused = 1 }";
    let text = pipeline(NOISE, &[("p", "types", "source = \"s\"", uniforms)], "p");
    let Some((_, difference)) = planned_and_plain(&folder, &text, "constants") else { return };
    assert!(difference <= 1, "{difference}");
    let plan = Plan::new(&folder.parse(&text), None).unwrap();
    let explained = plan.explain(None).join("\n");
    assert!(explained.contains("constants: all sizes, f, g, at, c, d, i, b, k, m, unused"), "{explained}");

    // As a constant the index is wrong, though never used.
    folder.write(
        "index.frag",
        "#version 300 es\nuniform int n;\nvec4 pixel(vec2 uv) {\n    float k[3] = float[3](0.1, 0.2, 0.3);\n    \
         return source() * (n < 3 ? k[n] : 0.5);\n}\n",
    );
    let text = pipeline(NOISE, &[("p", "index", "source = \"s\"", "uniforms = { n = 5 }")], "p");
    let Some((_, difference)) = planned_and_plain(&folder, &text, "constants") else { return };
    assert_eq!(difference, 0);

    // What a parameter changes is no constant, and an error is at the author's line.
    let text = pipeline(NOISE, &[("p", "grade", "source = \"s\"", "uniforms = { exposure = \"$e\" }")], "p");
    let text = text + "[parameter.e]\ndefault = 0.5\n";
    let explained = Plan::new(&folder.parse(&text), None).err().map(|error| error.to_string());
    assert!(explained.is_some_and(|error| error.contains("grade.frag")), "grade.frag is not there yet");
    shaders(&folder);
    let explained = Plan::new(&folder.parse(&text), None).unwrap().explain(None).join("\n");
    assert!(explained.contains("constants: all sizes (where the CPU draws)\n"), "{explained}");
    folder.write("wrong.frag", "uniform float x;\n\nvec4 pixel(vec2 uv) { return vec4(x, y, 0.0, 1.0); }\n");
    let text = pipeline(NOISE, &[("p", "wrong", "source = \"s\"", "uniforms = { x = 1 }")], "p");
    let error = runner::run(&folder.parse(&text), Options::default()).unwrap_err();
    assert!(error.to_string().contains("wrong.frag:3:"), "{error}");
}

fn kept(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Programs are kept, taken, and made again where what was kept is torn or another's.
#[test]
fn programs_are_kept_on_disk() {
    let folder = Folder::new();
    shaders(&folder);
    let cache = folder.0.join("programs");
    let passes = [("p", "grade", "source = \"s\"", EXPOSURE), ("q", "shift", "source = \"p\"", "")];
    let text = pipeline(NOISE, &passes, "q");
    let picture = |programs: Option<ProgramCache>| {
        let mut description = folder.parse(&text);
        let file = folder.0.join("o.raw");
        description.set(&format!("sink.o.file={}", file.display())).unwrap();
        let options = Options { frames: Some("0..1".parse().unwrap()), programs, ..Options::default() };
        match runner::run(&description, options) {
            Ok(_) => Some(std::fs::read(&file).unwrap()),
            Err(error) if error.op().starts_with("egl") || error.to_string().contains("libEGL") => None,
            Err(error) => panic!("{error}"),
        }
    };
    let Some(expected) = picture(None) else { return };
    let with = || picture(Some(ProgramCache::new(&cache).on_software(true))).unwrap();
    assert_eq!(with(), expected);
    let files = kept(&cache);
    if files.is_empty() {
        println!("SKIP: this driver gives no program binaries");
        return;
    }
    assert_eq!(files.len(), 2, "{files:?}");
    let times = || files.iter().map(|file| std::fs::metadata(file).unwrap().modified().unwrap()).collect::<Vec<_>>();
    let first = times();
    // Taken: nothing is written again.
    assert_eq!((with(), times()), (expected.clone(), first.clone()));
    // A torn one, and one that belongs to another program.
    let whole = files.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>();
    std::fs::write(&files[0], &whole[0][..whole[0].len() / 2]).unwrap();
    std::fs::write(&files[1], &whole[0]).unwrap();
    assert_eq!(with(), expected);
    assert_eq!(kept(&cache), files);
    let again = files.iter().map(|file| std::fs::read(file).unwrap().len()).collect::<Vec<_>>();
    assert_eq!(again, whole.iter().map(Vec::len).collect::<Vec<_>>());
    // The bound: with room for less than one, none stays.
    for file in &files {
        std::fs::remove_file(file).unwrap();
    }
    picture(Some(ProgramCache::new(&cache).on_software(true).max_bytes(100))).unwrap();
    assert!(kept(&cache).is_empty(), "{:?}", kept(&cache));
    // A folder that cannot be made costs nothing but time.
    std::fs::write(folder.0.join("file"), "").unwrap();
    assert_eq!(picture(Some(ProgramCache::new(folder.0.join("file")).on_software(true))).unwrap(), expected);
}

/// Pipelines of up to six passes, each of one or two inputs, every input any earlier picture.
fn chains() -> impl Strategy<Value = Vec<(usize, usize, usize, bool)>> {
    prop::collection::vec(
        (0usize..BODIES.len(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()),
        2..7,
    )
    .prop_map(|passes| {
        let pick = |index: prop::sample::Index, pass: usize| index.index(pass + 1);
        let passes = passes.into_iter().enumerate();
        passes.map(|(pass, (body, a, b, nearest))| (body, pick(a, pass), pick(b, pass), nearest)).collect()
    })
}

const BODIES: &[(&str, &str)] = &[
    ("", "a() * 1.7 - 0.2"),
    ("", "1.0 - a()"),
    ("", "vec4(a().brg, 1.0)"),
    ("const float gain = 4.0;\n", "(a() - 0.5) * gain + 0.5"),
    ("float gain(float x) { return x * x; }\n", "vec4(gain(a().r), gain(b().g), a().b, 1.0)"),
    ("", "mix(a(), b(), 0.5)"),
    ("#define MIXED mix(a(), b(), uv.x)\n", "MIXED"),
    ("", "a(uv + vec2(1.0, -1.0) / a_size) * 0.8 + b() * 0.2"),
    ("", "a(uv * 0.9) - b() * 0.1"),
    ("struct Two { vec4 x; vec4 y; };\nTwo both;\n", "(both.x = a(), both.y = b(), both.x * both.y)"),
    ("", "a() + vec4(sin(time + uv.y * 9.0), float(frame) * 0.1, 0.0, 0.0)"),
    ("", "abs(a() - b()) * 3.0"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_chain_is_the_same_planned(passes in chains()) {
        let folder = Folder::new();
        let mut text = format!("[source.s]\n{NOISE}\n");
        let name = |picture: usize| if picture == 0 { "s".to_owned() } else { format!("p{picture}") };
        for (index, (body, a, b, nearest)) in passes.iter().enumerate() {
            let (head, value) = BODIES[*body];
            folder.write(&format!("{index}.frag"), &format!("{head}vec4 pixel(vec2 uv) {{ return {value}; }}\n"));
            let filter = if *nearest { "filter = \"nearest\"\n" } else { "" };
            text += &format!(
                "[pass.p{}]\nshader = \"{index}.frag\"\ninputs = {{ a = \"{}\", b = \"{}\" }}\n{filter}", index + 1, name(*a), name(*b)
            );
        }
        text += &format!("[sink.o]\ninput = \"p{}\"\nfile = \"o.raw\"\n", passes.len());
        let Some((report, difference)) = planned_and_plain(&folder, &text, "true") else { return Ok(()) };
        prop_assert!(difference <= 1, "{} code values apart, {:?}: {}", difference, parts(&report), text);
    }
}

/// Examples whose input somebody must make first, or sends; other tests run them.
const WITH_INPUT: [&str; 10] = [
    "augment.toml",
    "camera.toml",
    "chain.toml",
    "encode.toml",
    "gstreamer.toml",
    "halation.toml",
    "kms.toml",
    "pipewire.toml",
    "raw-nv12.toml",
    "record.toml",
];

/// Every example, a few frames of it.
#[test]
fn examples_are_the_same_planned() {
    let mut compared = 0;
    for entry in std::fs::read_dir(project("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let mut outputs = Vec::new();
        for optimize in ["true", "false"] {
            let folder = Folder::new();
            let mut description = Description::open(&path).unwrap();
            description.set(&format!("optimize={optimize}")).unwrap();
            let sinks: Vec<_> =
                description.sinks.iter().map(|(name, sink)| (name.to_string(), sink.file.clone())).collect();
            for (name, file) in sinks {
                if let Some(file) = file {
                    let file = folder.0.join(file.get_ref().file_name().unwrap());
                    description.set(&format!("sink.{name}.file={}", file.display())).unwrap();
                }
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if WITH_INPUT.contains(&name.as_str()) {
                println!("left out: {name}");
                continue;
            }
            let plan = Plan::new(&description, None).unwrap_or_else(|error| panic!("{error}"));
            // A still has one frame only.
            let frames = plan.end.map_or(14, |end| end.min(14));
            if run(&description, &format!("0..{frames}")).is_none() {
                return;
            }
            let mut files: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            let pictures = files.iter().map(|file| match file.extension().and_then(|e| e.to_str()) {
                Some("png") => image::open(file).unwrap().into_rgba8().into_raw(),
                _ => std::fs::read(file).unwrap(),
            });
            outputs.push(pictures.collect::<Vec<_>>());
        }
        let [planned, plain] = outputs.as_slice() else { continue };
        assert_eq!(planned.len(), plain.len());
        for (planned, plain) in planned.iter().zip(plain) {
            let difference = largest_difference(planned, plain);
            assert!(difference <= 1, "{}: {difference} code values apart", path.display());
            compared += 1;
        }
    }
    println!("{compared} files compared");
    assert!(compared >= 30, "only {compared} files compared");
}
