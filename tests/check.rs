//! `darkframe check`: everything that is wrong is said at once, once, at its place; shaders are compiled where a driver is.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-check-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }

    fn darkframe(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn errors(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect()
}

const SHADER: &str = "uniform float gain;\nuniform vec3 tint;\n\
                      vec4 pixel(vec2 uv) { return vec4(source().rgb * gain * tint, 1.0); }\n";

/// Sixteen mistakes of every kind. What is right beside them is not complained of.
const WRONG: &str = r#"frames = "9..2"

[parameter.glow]
default = 5
max = 2

[source.camera]
patern = "bars"
size = "64x48"

[source.logo]
file = "gone.png"

[source.photos]
file = "*.jpg"

[pass.grade]
shader = "s.frag"
inputs = { source = "camera" }
uniforms = { gian = 1.5, tint = [1, 0.5] }

[pass.soft]
shader = 7
inputs = ["grade"]

[pass.sharp]
shader = "t.frag"
inputs = { a = "softt", b = "logo" }
format = "NV30"
repeat = 0

[pass.one]
blend = "multiply"
inputs = ["two", "camera"]

[pass.two]
blend = "multiply"
inputs = ["one", "camera"]

[sink.out]
input = "grad"
file = "out/a-%02d.pgn"

[sink.other]
input = "soft"
kind = "mp4"
"#;

const WORDS: [(&str, &str); 16] = [
    ("1:10", "\"9..2\""),
    ("4:11", "5 is above max 2"),
    ("8:1", "unknown key `patern`; did you mean `pattern`?"),
    ("12:8", "source.logo.file: gone.png"),
    ("15:8", "no file matches"),
    ("20:14", "did you mean \"gain\"?"),
    ("20:33", "vec3 tint has 3"),
    ("23:10", "expected a string"),
    ("27:10", "t.frag"),
    ("28:16", "did you mean \"soft\"?"),
    ("29:10", "NV30"),
    ("30:10", "drawn at least once"),
    ("38:11", "in a circle"),
    ("41:9", "did you mean \"grade\"?"),
    ("42:8", "does not say what is written"),
    ("46:8", "unknown value `mp4`"),
];

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let folder = Folder::new("all", &[("p.toml", WRONG), ("s.frag", SHADER)]);
    for command in ["check", "run"] {
        let output = folder.darkframe(&[command, "p.toml"]);
        let lines = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{lines:#?}");
        for ((place, words), line) in WORDS.iter().zip(&lines) {
            assert!(line.starts_with(&format!("darkframe: error: p.toml:{place}: ")), "{place}: {line}");
            assert!(line.contains(words), "{words}: {line}");
        }
        assert_eq!(lines[16..], ["darkframe: 16 errors"], "{command}");
    }
    assert!(!folder.0.join("out").exists());
    // The same for machines.
    let output = folder.darkframe(&["check", "--json", "p.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 16);
    assert_eq!(list[2]["place"]["line"], 8);
    assert_eq!(list[2]["place"]["text"], "patern");
    assert_eq!(list[2]["place"]["end_column"], 7);
    assert_eq!((&list[5]["kind"], &list[5]["hint"]), (&"description".into(), &"did you mean \"gain\"?".into()));
    // One mistake after the other put right: each time one error less, and no other.
    let mut text = WRONG.to_owned();
    let right = [
        ("\"9..2\"", "\"2..9\""),
        ("default = 5", "default = 1"),
        ("patern", "pattern"),
        ("gone.png", "there.png"),
        ("*.jpg", "*.png"),
        ("gian", "gain"),
        ("[1, 0.5]", "[1, 0.5, 1]"),
        (
            "shader = 7\ninputs = [\"grade\"]",
            "shader = \"s.frag\"\ninputs = { source = \"grade\" }\nuniforms = { gain = 1, tint = [1, 1, 1] }",
        ),
        ("t.frag\"\ninputs = { a", "s.frag\"\nuniforms = { gain = 1, tint = [1, 1, 1] }\ninputs = { source"),
        ("softt", "soft"),
        ("NV30", "NV12"),
        ("repeat = 0", "repeat = 1"),
        ("\"two\", ", "\"grade\", "),
        ("\"grad\"", "\"grade\""),
        (".pgn", ".png"),
        ("\"mp4\"", "\"null\""),
    ];
    image::RgbaImage::new(4, 4).save(folder.0.join("there.png")).unwrap();
    for (at, (from, to)) in right.iter().enumerate() {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
        std::fs::write(folder.0.join("p.toml"), &text).unwrap();
        let lines = errors(&folder.darkframe(&["check", "p.toml", "--gpu", "never"]));
        let left = lines.iter().filter(|line| line.starts_with("darkframe: error")).count();
        assert_eq!(left, 15 - at, "{to}: {lines:#?}");
    }
    let output = folder.darkframe(&["check", "--json", "p.toml"]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).trim()), (Some(0), "[]"));
}

#[test]
fn one_mistake_is_one_error() {
    let right = "[source.camera]\npattern = \"bars\"\n[pass.grade]\nshader = \"s.frag\"\ninputs = { source = \"camera\" }\n\
                 uniforms = { gain = 1, tint = [1, 1, 1] }\n[sink.out]\ninput = \"grade\"\nkind = \"null\"\n";
    let folder = Folder::new("one", &[("s.frag", SHADER)]);
    for (from, to, words) in [
        ("inputs =", "input =", "did you mean `inputs`?"),
        ("shader =", "shadr =", "did you mean `shader`?"),
        ("pattern =", "patttern =", "did you mean `pattern`?"),
        ("uniforms =", "uniform =", "did you mean `uniforms`?"),
        ("gain = 1", "gain = \"x\"", "a number"),
        ("input = \"grade\"", "inputt = \"grade\"", "did you mean `input`?"),
        ("[source.camera]\npattern = \"bars\"", "[source]\ncamera = 3", "expected a table"),
        ("s.frag", "gone.frag", "gone.frag"),
        ("kind = \"null\"", "kind = null", "p.toml"),
        ("\"camera\"", "\"kamera\"", "did you mean \"camera\"?"),
    ] {
        assert!(right.contains(from), "{from}");
        std::fs::write(folder.0.join("p.toml"), right.replacen(from, to, 1)).unwrap();
        let output = folder.darkframe(&["check", "p.toml"]);
        let lines = errors(&output);
        assert_eq!((output.status.code(), lines.len()), (Some(2), 1), "{to}: {lines:#?}");
        assert!(lines[0].contains(words), "{to}: {lines:?}");
    }
}

#[test]
fn shaders_are_compiled_where_a_driver_is() {
    let pass = |name: &str, input: &str| format!("[pass.{name}]\nshader = \"{name}.frag\"\ninputs = [\"{input}\"]\n");
    let pipeline = format!(
        "[source.camera]\npattern = \"bars\"\n{}{}{}{}[sink.out]\ninput = \"d\"\nfile = \"out/%d.png\"\n",
        pass("a", "camera"),
        pass("b", "a"),
        pass("c", "b"),
        pass("d", "c")
    );
    // The first two are pointwise, and drawn as one; the last asks for more.
    let files = [
        ("p.toml", pipeline.as_str()),
        ("a.frag", "vec4 pixel(vec2 uv) {\n    return camera() * nonsense;\n}\n"),
        ("b.frag", "vec4 pixel(vec2 uv) {\n    return a();\n}\n"),
        ("c.frag", "vec4 pixel(vec2 uv) {\n    return vec4(uv, b().r);\n}\n"),
        ("d.frag", "\n\n\nvec4 pixel(vec2 uv) {\n    return c(uv.yx) + undefined_function(uv);\n}\n"),
    ];
    let folder = Folder::new("shaders", &files);
    let output = folder.darkframe(&["check", "p.toml"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.contains("shaders were not compiled: no driver") {
        return println!("SKIP {said}");
    }
    let lines = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{lines:#?}");
    for place in ["a.frag:2:", "c.frag:2:", "d.frag:5:"] {
        let found = lines.iter().filter(|line| line.contains(place)).count();
        assert_eq!(found, 1, "{place}: {lines:#?}");
    }
    assert_eq!(lines.last().unwrap(), "darkframe: 3 errors");
    assert!(!folder.0.join("out").exists());
    // Nobody is asked.
    let output = folder.darkframe(&["check", "p.toml", "--gpu", "never"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("not compiled: --gpu never"));
    // Nobody is there.
    std::fs::write(
        folder.0.join("b.toml"),
        "name = \"none\"\n[egl]\nlibraries = [\"libno-such-EGL.so\"]\ngles-libraries = [\"libno-such-GLES.so\"]\n",
    )
    .unwrap();
    let board = format!("board = \"{}\"\n{pipeline}", folder.0.join("b.toml").display());
    std::fs::write(folder.0.join("p.toml"), board).unwrap();
    let output = folder.darkframe(&["check", "p.toml"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{:?}", errors(&output));
    let line = said.lines().last().unwrap();
    assert!(line.starts_with("shaders were not compiled: no driver: ") && line.contains("libno-such-EGL.so"), "{line}");
    let output = folder.darkframe(&["check", "p.toml", "--gpu", "always"]);
    assert_eq!(output.status.code(), Some(1), "{:?}", errors(&output));
    // With the shaders right, they compile.
    for (name, input) in [("a", "camera"), ("c", "b"), ("d", "c")] {
        std::fs::write(folder.0.join(format!("{name}.frag")), format!("vec4 pixel(vec2 uv) {{ return {input}(); }}\n"))
            .unwrap();
    }
    std::fs::write(folder.0.join("p.toml"), &pipeline).unwrap();
    let output = folder.darkframe(&["check", "p.toml", "--gpu", "always"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("shaders compiled by "), "{said}{:?}", errors(&output));
}

#[test]
fn nothing_is_taken_from_streams() {
    let pipeline = "[source.camera]\nfile = \"-\"\n[sink.out]\ninput = \"camera\"\nfile = \"out.y4m\"\n";
    let folder = Folder::new("streams", &[("p.toml", pipeline)]);
    // Whoever reads behind the check gets every byte.
    let script = format!("\"{}\" check -q --gpu never p.toml && cat", env!("CARGO_BIN_EXE_darkframe"));
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&folder.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"YUV4MPEG2 W2 H2\nFRAME\n123456").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"YUV4MPEG2 W2 H2\nFRAME\n123456", "{:?}", errors(&output));
    // A fifo without a writer, and a socket that nobody serves: nobody is waited for.
    nix::unistd::mkfifo(&folder.0.join("fifo.y4m"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    for source in ["file = \"fifo.y4m\"", "kind = \"unixfd\"\nsocket = \"nobody.sock\""] {
        std::fs::write(folder.0.join("p.toml"), pipeline.replace("file = \"-\"", source)).unwrap();
        let output = folder.darkframe(&["check", "--gpu", "never", "p.toml"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("not read here"), "{said}{:?}", errors(&output));
    }
    assert!(!folder.0.join("out.y4m").exists());
}

/// What Mali-400 cannot do, each at its place in the shader; the same pipeline is fine without the board.
#[test]
fn a_board_that_is_not_here_is_held_against_the_shaders() {
    let shader = "uniform int n;\nuniform highp vec2 shift;\nvec4 pixel(vec2 uv) {\n    vec4 sum = vec4(0.0);\n    \
                  for (int i = 0; i < 8; i++) { if (i >= n) break; sum += source(uv + shift); }\n    \
                  for (int i = 0; i < n; i++) sum += source(uv);\n    return sum + vec4(fwidth(uv), 0.0, 1.0);\n}\n";
    let pipeline = "[source.source]\npattern = \"bars\"\nsize = \"8192x16\"\n\n[pass.p]\ninputs = { source = \"source\" }\n\
                    shader = \"s.frag\"\nuniforms = { n = 3, shift = [0.0, 0.1] }\n\n[sink.out]\ninput = \"p\"\nfile = \"o.png\"\n";
    let folder = Folder::new("board", &[("p.toml", pipeline), ("s.frag", shader)]);
    let output = folder.darkframe(&["check", "--gpu", "never", "p.toml"]);
    assert!(output.status.success(), "{:?}", errors(&output));
    let output = folder.darkframe(&["check", "--gpu", "never", "--board", "zynqmp-lima", "p.toml"]);
    let errors = errors(&output).join("\n");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for wanted in [
        "s.frag:2:9: board zynqmp-lima: highp",
        "s.frag:6:25: board zynqmp-lima: the loop ends at n",
        "s.frag:7:23: board zynqmp-lima: fwidth: there are no derivatives",
        "source \"source\" is 8192x16, textures end at 4096x4096 there",
        "pass \"p\" draws 8192x16",
    ] {
        assert!(errors.contains(wanted), "no \"{wanted}\" in:\n{errors}");
    }
    assert!(!errors.contains("s.frag:5:"), "{errors}");
}

/// `boards` knows every file; the error of a typo names the nearest.
#[test]
fn boards_are_listed_shown_and_detected() {
    let folder = Folder::new("boards", &[]);
    let list = folder.darkframe(&["boards"]);
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    for name in ["zynqmp-lima", "zynqmp-mali", "rockchip-rk3588", "raspberry-pi", "nvidia-headless"] {
        assert!(text.contains(name), "{text}");
    }
    let show = folder.darkframe(&["boards", "show", "zynqmp-lima"]);
    assert!(String::from_utf8_lossy(&show.stdout).contains("lima_resource.c"));
    let typo = errors(&folder.darkframe(&["boards", "show", "zynqmp-lime"])).join("\n");
    assert!(typo.contains("did you mean zynqmp-lima?"), "{typo}");
    let detect = folder.darkframe(&["boards", "detect", "--no-gpu"]);
    let text = String::from_utf8_lossy(&detect.stdout).into_owned();
    assert!(detect.status.success() && text.lines().any(|line| line.starts_with("board ")), "{text}");
}
