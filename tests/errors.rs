//! Every mistake as a user meets it: a wrong input, the built command, its exit code and the words of its message.
//!
//! 1 is "failed", 2 is "the text or the usage is wrong". Each message is one line (tests have no terminal), names the file,
//! the key or the number, and says what to do next. After each case the folder holds what it held before: nothing
//! half-written, nothing aside. No case may panic.
//!
//! `DARKFRAME_SHOW=1 cargo test --test errors -- --nocapture` prints every message.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PIPELINE: &str = r#"[source.camera]
pattern = "bars"
size = "64x48"
frames = 4

[pass.grade]
shader = "s.frag"
inputs = { source = "camera" }
uniforms = { gain = 1.5, tint = [1, 0.5, 0.25] }

[sink.out]
input = "grade"
file = "out/a-%02d.png"
"#;

const SHADER: &str = "uniform float gain;
uniform vec3 tint;

vec4 pixel(vec2 uv) {
    vec4 s = source();
    return vec4(s.rgb * gain * tint, s.a);
}
";

/// The lines of `PIPELINE` that a case with a file replaces.
const PATTERN: &str = "pattern = \"bars\"\nsize = \"64x48\"\nframes = 4";

struct Case {
    name: &'static str,
    toml: String,
    shader: String,
    files: Vec<(&'static str, Vec<u8>)>,
    arguments: Vec<&'static str>,
    /// The shell's words before the command, e.g. limits.
    shell: &'static str,
    code: i32,
    words: Vec<&'static str>,
}

fn case(name: &'static str, code: i32, words: &[&'static str]) -> Case {
    Case {
        name,
        toml: PIPELINE.into(),
        shader: SHADER.into(),
        files: Vec::new(),
        arguments: vec!["run", "p.toml"],
        shell: "",
        code,
        words: words.to_vec(),
    }
}

impl Case {
    /// Replaces one piece of the pipeline.
    fn edit(mut self, from: &str, to: &str) -> Self {
        assert!(self.toml.contains(from), "{}: {from}", self.name);
        self.toml = self.toml.replacen(from, to, 1);
        self
    }

    /// Replaces one piece of the shader.
    fn shader(mut self, from: &str, to: &str) -> Self {
        assert!(self.shader.contains(from), "{}: {from}", self.name);
        self.shader = self.shader.replacen(from, to, 1);
        self
    }

    /// A source that is a file with these bytes.
    fn source(mut self, name: &'static str, bytes: impl Into<Vec<u8>>, keys: &str) -> Self {
        self.files.push((name, bytes.into()));
        self.edit(PATTERN, &format!("file = \"{name}\"\n{keys}"))
    }

    fn file(mut self, name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name, bytes.into()));
        self
    }

    fn more(mut self, arguments: &[&'static str]) -> Self {
        self.arguments.extend(arguments);
        self
    }

    fn instead(mut self, arguments: &[&'static str]) -> Self {
        self.arguments = arguments.to_vec();
        self
    }

    fn shell(mut self, words: &'static str) -> Self {
        self.shell = words;
        self
    }
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-errors-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Every file below the folder, without folders.
    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => walk(&entry.path(), into),
                    false => into.push(entry.path()),
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.0, &mut files);
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(&self.0).status();
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn darkframe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// Holds the output of one case against what it should be; gives what is wrong.
fn judge(name: &str, output: &Output, code: i32, words: &[&str]) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if std::env::var_os("DARKFRAME_SHOW").is_some() {
        println!("[{name}] {:?}\n    {}", output.status.code(), text.trim_end().replace('\n', "\n    "));
    }
    let mut wrong = Vec::new();
    if output.status.code() != Some(code) {
        wrong.push(format!("{name}: {}, expected exit code {code}: {text}", output.status));
    }
    for word in words {
        if !text.contains(word) {
            wrong.push(format!("{name}: \"{word}\" is not in: {text}"));
        }
    }
    for never in ["panicked", "RUST_BACKTRACE", "unwrap"] {
        if text.contains(never) {
            wrong.push(format!("{name}: {never}: {text}"));
        }
    }
    wrong
}

fn run(case: &Case) -> Vec<String> {
    let folder = Folder::new(&case.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    std::fs::write(folder.0.join("p.toml"), &case.toml).unwrap();
    std::fs::write(folder.0.join("s.frag"), &case.shader).unwrap();
    for (name, bytes) in &case.files {
        std::fs::write(folder.0.join(name), bytes).unwrap();
    }
    let before = folder.files();
    let output = match case.shell {
        "" => darkframe().args(&case.arguments).current_dir(&folder.0).output().unwrap(),
        shell => Command::new("sh")
            .args(["-c", &format!("{shell} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_darkframe")])
            .args(&case.arguments)
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .env_remove("RUST_LOG")
            .output()
            .unwrap(),
    };
    let mut wrong = judge(case.name, &output, case.code, &case.words);
    let after = folder.files();
    if after != before {
        // Pictures of frames before the fault stay, if they are whole.
        let left: Vec<_> = after.iter().filter(|file| !before.contains(file) && image::open(file).is_err()).collect();
        if !left.is_empty() {
            wrong.push(format!("{}: left behind: {left:?}", case.name));
        }
    }
    wrong
}

#[track_caller]
fn all(cases: Vec<Case>) {
    if std::env::var_os("DARKFRAME_VM").is_some() {
        println!("these messages are the same on the host, and a start takes seconds here");
        return;
    }
    let wrong: Vec<String> = cases.iter().flat_map(run).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// `frames` grey frames of 8x8 in 4:2:0.
fn y4m(header: &str, frames: usize) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 {header}\n").into_bytes();
    for _ in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend([128; 96]);
    }
    bytes
}

fn png(width: u32, height: u32) -> Vec<u8> {
    use image::ImageEncoder;
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&vec![99; width as usize * height as usize], width, height, image::ExtendedColorType::L8)
        .unwrap();
    bytes
}

/// A PNG whose header says 65535x65535 and whose data is a few bytes.
fn bomb(size: u32) -> Vec<u8> {
    let mut bytes = png(1, 1);
    bytes[16..20].copy_from_slice(&size.to_be_bytes());
    bytes[20..24].copy_from_slice(&size.to_be_bytes());
    // RGBA, 16 bits: eight bytes a pixel.
    bytes[24..26].copy_from_slice(&[16, 6]);
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 4, y as u8 * 5, 77]));
    image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&picture).unwrap();
    bytes
}

#[test]
fn usage() {
    all(vec![
        case("no file given", 2, &["<FILE>", "Usage"]).instead(&["run"]),
        case("missing pipeline", 2, &["nowhere.toml", "No such file"]).instead(&["run", "nowhere.toml"]),
        case("missing pipeline to check", 2, &["nowhere.toml", "No such file"]).instead(&["check", "nowhere.toml"]),
        case("folder as pipeline", 2, &["pipeline: .:", "is a folder"]).instead(&["run", "."]),
        case("empty pipeline", 2, &["p.toml", "no sink", "[sink."]).edit(PIPELINE, ""),
        case("binary pipeline", 2, &["b.toml"]).file("b.toml", [0xff, 0xfe, 0, 1, 2]).instead(&["run", "b.toml"]),
        case("png as pipeline", 2, &["b.toml"]).file("b.toml", png(2, 2)).instead(&["run", "b.toml"]),
        case("clip as pipeline", 2, &["c.y4m"]).file("c.y4m", y4m("W8 H8 F25:1", 2)).instead(&["run", "c.y4m"]),
        case("unknown command", 2, &["fly"]).instead(&["fly"]),
        case("unknown option", 2, &["--loop"]).more(&["--loop"]),
        case("set without value", 2, &["--set", "KEY=VALUE"]).more(&["--set", "nonsense"]),
        case("set of an unknown pass", 2, &["--set", "blurr", "grade"]).more(&["--set", "pass.blurr.x=1"]),
        case("set of an unknown uniform", 2, &["gian", "did you mean \"gain\"?"]).more(&["--set", "pass.grade.gian=1"]),
        case("set of a wrong type", 2, &["\"much\"", "number"]).more(&["--set", "pass.grade.gain=much"]),
        case("set of a wrong size", 2, &["--set", "pass.grade.size", "\"big\""])
            .more(&["--set", "pass.grade.size=big"]),
        case("set of a key that is none", 2, &["--set", "no such key", "keys: "]).more(&["--set", "colour=red"]),
        case("set of an empty value", 2, &["--set", "gain"]).more(&["--set", "pass.grade.gain="]),
        case("frames in words", 2, &["--frames", "\"many\"", "A..B"]).more(&["--frames", "many"]),
        case("frames backwards", 2, &["--frames", "A below B"]).more(&["--frames", "9..2"]),
        case("no frames", 2, &["--frames"]).more(&["--frames", "0"]),
        case("frames after the end", 2, &["frames", "100", "\"camera\" has 4 frames"]).more(&["--frames", "100.."]),
        case("requiring nonsense", 2, &["--require", "zero-copy"]).more(&["--require", "speed"]),
        case("unknown board", 2, &["board", "generik", "did you mean generic?"]).more(&["--board", "generik"]),
        case("missing board file", 2, &["./b.toml", "No such file"]).more(&["--board", "./b.toml"]),
        case("report into nowhere", 1, &["/proc/nowhere/r.json"]).more(&["--report", "/proc/nowhere/r.json"]),
    ]);
}

#[test]
fn pipeline_text() {
    all(vec![
        case("syntax", 2, &["p.toml:7:"]).edit("shader = \"s.frag\"", "shader = \"s.frag"),
        case("unknown table", 2, &["p.toml:6:2", "did you mean `pass`?"]).edit("[pass.grade]", "[pas.grade]"),
        case("unknown key of a source", 2, &["p.toml:2:1", "did you mean `pattern`?"]).edit("pattern", "patern"),
        case("unknown key of a pass", 2, &["p.toml:8:1", "did you mean `inputs`?"]).edit("inputs", "input"),
        case("unknown key of a sink", 2, &["p.toml:13:1", "did you mean `file`?"]).edit("file =", "fil ="),
        case("unknown key at the top", 2, &["p.toml:1:1", "did you mean `frames`?"])
            .edit("[source", "frame = 3\n[source"),
        case("wrong type", 2, &["p.toml:7:10", "string"]).edit("shader = \"s.frag\"", "shader = 7"),
        case("wrong type of a table", 2, &["p.toml:1:10", "expected a table"])
            .edit("[source.camera]", "source = 3\n[x.y]"),
        case("wrong value", 2, &["p.toml:2:11", "did you mean `bars`?"]).edit("\"bars\"", "\"barz\""),
        case("wrong kind", 2, &["p.toml:14:", "did you mean `png`?"]).edit("%02d.png\"", "%02d.png\"\nkind = \"pgn\""),
        case("wrong filter", 2, &["`nearest`"]).edit("[sink", "filter = \"neerest\"\n[sink"),
        case("wrong require", 2, &["p.toml:1:11", "zero-copy"]).edit("[source", "require = \"zerocopy\"\n[source"),
        case("wrong rate", 2, &["p.toml:1:8", "frames per second"]).edit("[source", "rate = \"fast\"\n[source"),
        case("wrong frames", 2, &["p.toml:1:10", "A..B"]).edit("[source", "frames = \"5..2\"\n[source"),
        case("negative number", 2, &["p.toml:4:10", "-4", "whole number"]).edit("frames = 4", "frames = -4"),
        case("duplicate name", 2, &["p.toml:11:", "duplicate"])
            .edit("[sink.out]", "[pass.grade]\nshader = \"s.frag\"\n[sink.out]"),
        case("source named as a pass", 2, &["p.toml:6:7", "pass.camera", "same name", "rename"])
            .edit("[pass.grade]", "[pass.camera]"),
        case("cycle", 2, &["p.toml:8:21", "circle", "grade reads grade"]).edit("\"camera\" }", "\"grade\" }"),
        case("missing input", 2, &["p.toml:8:21", "did you mean \"camera\"?"]).edit("\"camera\" }", "\"camra\" }"),
        case("sink of nothing", 2, &["p.toml:12:9", "did you mean \"grade\"?"]).edit("\"grade\"\n", "\"garde\"\n"),
        case("a source as a sink's name", 2, &["p.toml:12:9", "there is "])
            .edit("input = \"grade\"", "input = \"zzzzzzzz\""),
        case("no sink", 2, &["p.toml", "no sink", "add [sink."]).edit(&PIPELINE[PIPELINE.find("[sink").unwrap()..], ""),
        case("size 0", 2, &["p.toml:3:8", "0x48", "1 to 65536"]).edit("64x48", "0x48"),
        case("size 70000", 2, &["p.toml:3:8", "70000x48", "1 to 65536"]).edit("64x48", "70000x48"),
        case("size that is none", 2, &["p.toml:3:8", "WIDTHxHEIGHT"]).edit("64x48", "large"),
        case("pass size 0", 2, &["p.toml:11:8", "0x10", "1 to 65536"]).edit("[sink", "size = \"0x10\"\n[sink"),
        case("pass size 0 %", 2, &["0%"]).edit("[sink", "size = \"0%\"\n[sink"),
        case("unknown format", 2, &["ABGR8889", "did you mean"]).edit("[sink", "format = \"ABGR8889\"\n[sink"),
        case("planes for a PNG file", 2, &["p.toml:12:9", "NV12", "PNG and JPEG files are RGB", "without `format`"])
            .edit("\n[sink", "format = \"NV12\"\n[sink"),
        case("unknown uniform", 2, &["p.toml:9:14", "gian", "did you mean \"gain\"?"]).edit("gain", "gian"),
        case("uniform without value", 2, &["p.toml:7:10", "float gain", "add uniforms"]).edit("gain = 1.5, ", ""),
        case("too few numbers", 2, &["p.toml:9:33", "tint", "2 numbers", "vec3"]).edit("[1, 0.5, 0.25]", "[1, 0.5]"),
        case("too many numbers", 2, &["p.toml:9:21", "gain", "2 numbers"]).edit("1.5", "[1, 2]"),
        case("a word for a number", 2, &["p.toml:9:21", "number"]).edit("1.5", "\"much\""),
        case("half for a whole number", 2, &["gain", "whole numbers"]).shader("float gain", "int gain"),
        case("a sampler as a uniform", 2, &["sampler2D look", "inputs"])
            .shader("uniform vec3", "uniform sampler2D look;\nuniform vec3")
            .edit("gain = ", "look = 1, gain = "),
        case("a sampler without a value", 2, &["sampler2D look", "inputs"])
            .shader("uniform vec3", "uniform sampler2D look;\nuniform vec3"),
        case("built-in uniform given", 2, &["time", "p.toml:9:14", "the run sets", "remove it"])
            .edit("gain = 1.5", "time = 1, gain = 1.5"),
        case("input name that is none", 2, &["p.toml:8:12", "1st", "letters"]).edit("source =", "1st ="),
        case("input name that is taken", 2, &["p.toml:8:12", "vec4", "reserved"]).edit("source =", "vec4 ="),
        case("two sinks for one file", 2, &["sink.out.file", "sink \"two\" writes the same file"])
            .edit("[sink.out]", "[sink.two]\ninput = \"grade\"\nfile = \"out/a-%02d.png\"\n[sink.out]"),
        case("two sinks for one file by another way", 2, &["sink.out.file", "same file"])
            .edit("[sink.out]", "[sink.two]\ninput = \"grade\"\nfile = \"./out/../out/a-%02d.png\"\n[sink.out]"),
        case("sink over the source's file", 2, &["sink.out.file", "source \"camera\""])
            .source("c.y4m", y4m("W8 H8 F25:1", 2), "")
            .edit("out/a-%02d.png", "c.y4m"),
        case("many pictures for one file", 2, &["4 pictures", "%04d"]).edit("a-%02d.png", "a.png"),
        case("two numbers in a name", 2, &["more than one number"]).edit("a-%02d", "a-%02d-%d"),
        case("wrong number in a name", 2, &["after % comes"]).edit("a-%02d", "a-%s"),
        case("sink of an unknown extension", 2, &["p.toml:13:8", ".png, .jpg"]).edit("a-%02d.png", "a.mp4"),
        case("sink without a file", 2, &["sink.out", "file"]).edit("file = \"out/a-%02d.png\"", ""),
        case("every 0", 2, &["sink.out.every", "0"]).edit("%02d.png\"", "%02d.png\"\nevery = 0"),
        case("board of the text missing", 2, &["p.toml:1:9", "generik", "did you mean generic?"])
            .edit("[source", "board = \"generik\"\n[source"),
    ]);
}

#[test]
fn shaders() {
    all(vec![
        case("missing shader", 2, &["p.toml:7:10", "t.frag", "No such file"]).edit("s.frag", "t.frag"),
        case("folder as shader", 2, &["p.toml:7:10", "is a folder"]).edit("s.frag", "."),
        case("binary shader", 2, &["UTF-8"]).edit("s.frag", "b.frag").file("b.frag", [0xff, 0xd8, 0, 0]),
        case("empty shader", 1, &["s.frag:1:1", "no entry function", "vec4 pixel(vec2 uv)"]).shader(SHADER, ""),
        case("syntax error", 1, &["s.frag:6:5", "syntax error"]).shader("source();", "source()"),
        case("undeclared name", 1, &["s.frag:6:", "gian"]).shader("gain * tint", "gian * tint"),
        case("input not called as a function", 1, &["s.frag:5:", "source()"]).shader("source()", "source"),
        case("unknown input called", 1, &["s.frag:5:", "camera", "source"]).shader("source()", "camera()"),
        case("wrong type", 1, &["s.frag:6:"]).shader("gain * tint", "uv"),
        case("link error", 1, &["s.frag:4:7", "glLinkProgram", "helper"])
            .shader("vec4 pixel", "float helper(float x);\nvec4 pixel")
            .shader("gain * tint", "helper(gain)"),
        case("missing include", 1, &["s.frag:1:1", "gone.glsl", "looked in"])
            .shader("uniform", "#include \"gone.glsl\"\nuniform"),
        case("include without quotes", 1, &["s.frag:1:1", "#include \"file\""])
            .shader("uniform", "#include <a>\nuniform"),
        case("error in an include", 1, &["a.glsl:2:"])
            .shader("uniform", "#include \"a.glsl\"\nuniform")
            .file("a.glsl", "float f() {\n  return nonsense;\n}\n"),
        case("old version", 1, &["s.frag:1:1", "#version 310 es", "300 es"])
            .shader("uniform", "#version 310 es\nuniform"),
        case("desktop version", 1, &["s.frag:1:1", "#version 330"]).shader("uniform", "#version 330 core\nuniform"),
        case("main and pixel", 1, &["s.frag", "both"]).shader("vec4 pixel", "void main() {}\nvec4 pixel"),
        case("extension that is none", 1, &["s.frag:1:", "GL_NO_such"])
            .shader("uniform", "#extension GL_NO_such : require\nuniform"),
    ]);
}

#[test]
fn a_cyclic_include_is_read_once() {
    let fine = case("cyclic include", 0, &[])
        .shader("uniform", "#include \"a.glsl\"\nuniform")
        .file("a.glsl", "#include \"b.glsl\"\nfloat f() { return 1.0; }\n")
        .file("b.glsl", "#include \"a.glsl\"\n")
        .edit("file = \"out/a-%02d.png\"", "kind = \"null\"");
    all(vec![fine]);
}

#[test]
fn sources() {
    let cut = |bytes: Vec<u8>, at: usize| bytes[..at].to_vec();
    all(vec![
        case("missing file", 2, &["p.toml:2:8", "source.camera.file", "gone.y4m", "No such file"])
            .edit(PATTERN, "file = \"gone.y4m\""),
        case("folder", 2, &["p.toml:2:8", "directory"]).edit(PATTERN, "file = \"/tmp\"\nkind = \"y4m\""),
        case("folder as image", 2, &["directory"]).edit(PATTERN, "file = \"/tmp\"\nkind = \"image\""),
        case("unknown extension", 2, &["p.toml:2:8", "kind = "]).source("a.mp4", "x", ""),
        case("no extension", 2, &["p.toml:2:8", "kind = "]).source("a", "x", ""),
        case("file and pattern", 2, &["not both"]).edit("pattern", "file = \"x.y4m\"\npattern"),
        case("neither", 2, &["p.toml:1:9", "file", "pattern"]).edit("pattern = \"bars\"\n", ""),
        case("empty y4m", 1, &["a.y4m", "empty"]).source("a.y4m", "", ""),
        case("garbage as y4m", 1, &["a.y4m", "YUV4MPEG2"]).source("a.y4m", [0x80; 5000], ""),
        case("png as y4m", 1, &["a.y4m", "YUV4MPEG2"]).source("a.y4m", png(4, 4), ""),
        case("wrong magic", 1, &["a.y4m", "YUV4MPEG2"]).source("a.y4m", "YUV4MPEG1 W8 H8\n", ""),
        case("y4m 17 bits", 1, &["a.y4m", "420p17", "ffmpeg"]).source("a.y4m", y4m("W8 H8 C420p17", 1), ""),
        case("y4m 10 bits cut", 1, &["a.y4m", "192 bytes"]).source("a.y4m", y4m("W8 H8 C420p10", 1), ""),
        case("y4m of no colour space", 1, &["a.y4m", "C440"]).source("a.y4m", y4m("W8 H8 C440", 1), ""),
        case("y4m of no order of fields", 1, &["a.y4m", "Iq"]).source("a.y4m", y4m("W8 H8 Iq", 1), ""),
        case("y4m without a size", 1, &["a.y4m", "no W"]).source("a.y4m", y4m("F25:1", 1), ""),
        case("y4m of size 0", 1, &["a.y4m", "0x8", "1 to 65536"]).source("a.y4m", y4m("W0 H8", 1), ""),
        case("y4m of a negative size", 1, &["a.y4m", "W-8"]).source("a.y4m", y4m("W-8 H8", 1), ""),
        case("y4m of a huge size", 1, &["a.y4m", "4294967295x4294967295"]).source(
            "a.y4m",
            y4m("W4294967295 H4294967295", 1),
            "",
        ),
        case("y4m of a size past all numbers", 1, &["a.y4m", "W99999999999999999999"]).source(
            "a.y4m",
            y4m("W99999999999999999999 H8", 1),
            "",
        ),
        case("y4m of the largest size", 1, &["a.y4m", "65536x65536"]).source("a.y4m", y4m("W65536 H65536", 1), ""),
        case("y4m of a large size", 1, &["a.y4m", "16384x16384"]).source("a.y4m", y4m("W16384 H16384", 1), ""),
        case("y4m without end of header", 1, &["a.y4m", "does not end"]).source("a.y4m", "YUV4MPEG2 W8 H8", ""),
        case("y4m without frames", 1, &["a.y4m", "no frame"]).source("a.y4m", y4m("W8 H8", 0), ""),
        case("y4m with a bad rate", 1, &["a.y4m", "0:0:0", "frames per second"]).source(
            "a.y4m",
            y4m("W8 H8 F0:0:0", 1),
            "",
        ),
        case("y4m cut in the header", 1, &["a.y4m"]).source("a.y4m", cut(y4m("W8 H8", 2), 12), ""),
        case("y4m cut in a frame", 1, &["a.y4m", "frame 1", "cut", "range = \"..1\""]).source(
            "a.y4m",
            cut(y4m("W8 H8", 2), 16 + 102 + 50),
            "",
        ),
        case("y4m cut in the second FRAME line", 1, &["a.y4m", "byte 118"]).source(
            "a.y4m",
            cut(y4m("W8 H8", 2), 16 + 102 + 3),
            "",
        ),
        case("y4m range after the end", 2, &["9..12", "2 frames"]).source(
            "a.y4m",
            y4m("W8 H8", 2),
            "range = \"9..12\"",
        ),
        case("key of raw files", 2, &["p.toml:3:10", "says it itself"]).source(
            "a.y4m",
            y4m("W8 H8", 1),
            "format = \"NV12\"",
        ),
        case("key of patterns", 2, &["p.toml:3:10", "for patterns", "range"]).source(
            "a.y4m",
            y4m("W8 H8", 1),
            "frames = 3",
        ),
        case("raw without a size", 2, &["source.camera.size", "add size"]).source(
            "a.nv12",
            [0; 96],
            "format = \"NV12\"",
        ),
        case("raw without a format", 2, &["source.camera.format", "add format"]).source(
            "a.raw",
            [0; 96],
            "size = \"8x8\"",
        ),
        case("raw of an unknown format", 2, &["NV99", "p.toml:4:10"]).source(
            "a.raw",
            [0; 96],
            "size = \"8x8\"\nformat = \"NV99\"",
        ),
        case("raw too small", 1, &["a.nv12", "96", "95", "check size"]).source(
            "a.nv12",
            [0; 95],
            "size = \"8x8\"\nformat = \"NV12\"",
        ),
        case("raw empty", 1, &["a.nv12", "the file has 0"]).source("a.nv12", [], "size = \"8x8\"\nformat = \"NV12\""),
        case("raw stride too small", 2, &["source.camera.stride", "stride_bytes 4", "8"]).source(
            "a.nv12",
            [0; 96],
            "size = \"8x8\"\nformat = \"NV12\"\nstride = 4",
        ),
        case("raw stride past all numbers", 2, &["source.camera.stride"]).source(
            "a.nv12",
            [0; 96],
            "size = \"8x8\"\nformat = \"NV12\"\nstride = 9223372036854775807",
        ),
        case("raw strides of other planes", 2, &["source.camera.stride", "3 numbers", "2 planes"]).source(
            "a.nv12",
            [0; 96],
            "size = \"8x8\"\nformat = \"NV12\"\nstride = [8, 8, 8]",
        ),
        case("raw frame too small", 2, &["source.camera.frame-bytes", "90"]).source(
            "a.nv12",
            [0; 96],
            "size = \"8x8\"\nformat = \"NV12\"\nframe-bytes = 90",
        ),
        case("raw header past the end", 1, &["a.nv12"]).source(
            "a.nv12",
            [0; 96],
            "size = \"8x8\"\nformat = \"NV12\"\nheader-bytes = 9223372036854775807",
        ),
        case("raw size odd for its format", 1, &["a.nv12"]).source(
            "a.nv12",
            [0; 20],
            "size = \"5x5\"\nformat = \"NV12\"",
        ),
        case("empty image", 1, &["a.png", "empty"]).source("a.png", [], ""),
        case("garbage as image", 1, &["a.png", "PNG, JPEG"]).source("a.png", [0x80; 300], ""),
        case("y4m as image", 1, &["a.png", "PNG, JPEG"]).source("a.png", y4m("W8 H8", 1), ""),
        case("png cut in the header", 1, &["a.png"]).source("a.png", cut(png(64, 48), 20), ""),
        case("png cut in the data", 1, &["a.png"]).source(
            "a.png",
            {
                let b = png(64, 48);
                let n = b.len();
                cut(b, n - 20)
            },
            "",
        ),
        case("png bomb", 1, &["a.png", "65535x65535"]).source("a.png", bomb(65_535), ""),
        case("png past every size", 1, &["a.png"]).source("a.png", bomb(0x7fff_ffff), ""),
        case("jpeg cut", 1, &["a.jpg", "cut or damaged"]).source(
            "a.jpg",
            {
                let b = jpeg();
                let n = b.len();
                cut(b, n / 2)
            },
            "",
        ),
        case("jpeg cut in the header", 1, &["a.jpg"]).source("a.jpg", cut(jpeg(), 30), ""),
        case("pnm without data", 1, &["a.pgm"]).source("a.pgm", "P5 64 48 255\nxx", ""),
    ]);
}

#[test]
fn sinks() {
    all(vec![
        case("full disk", 1, &["/dev/full", "disk is full"]).edit("out/a-%02d.png\"", "/dev/full\"\nkind = \"raw\""),
        case("full disk, png", 1, &["/dev/full", "disk is full"])
            .edit("out/a-%02d.png\"", "/dev/full\"\nkind = \"png\"")
            .more(&["--frames", "1"]),
        case("full disk, y4m", 1, &["/dev/full", "disk is full"])
            .edit("out/a-%02d.png\"", "/dev/full\"\nkind = \"y4m\""),
        case("folder as file", 1, &["/tmp", "is a directory"]).edit("out/a-%02d.png\"", "/tmp\"\nkind = \"raw\""),
        case("file as folder", 1, &["s.frag/a-", "is a file, not a folder"]).edit("out/a-%02d", "s.frag/a-%02d"),
        case("folder that cannot be made", 1, &["/proc/nowhere"]).edit("out/", "/proc/nowhere/"),
        case("name too long", 1, &["name"]).edit("a-%02d", &"x".repeat(300)).more(&["--frames", "1"]),
        case("file size limit", 1, &["out/v.raw", "too large"])
            .edit("a-%02d.png", "v.raw")
            .edit("frames = 4", "frames = 40")
            .shell("ulimit -f 40;"),
        case("format that png cannot hold", 2, &["sink.out.input", "ABGR16161616F", "8-bit"])
            .edit("\n[sink", "format = \"ABGR16161616F\"\n[sink"),
        case("y4m of a siting that it has not", 2, &["siting", "top-left"])
            .edit("a-%02d.png\"", "a.y4m\"\ncolor = { siting = \"top-left\" }"),
    ]);
}

#[test]
fn machine() {
    let board = |text: &str| text.as_bytes().to_vec();
    all(vec![
        case("board without libraries", 1, &["libNothing.so", "libEGL", "board"])
            .file("b.toml", board("name = \"x\"\n[egl]\nlibraries = [\"libNothing.so\"]\n"))
            .more(&["--board", "./b.toml"]),
        case("board with a library that is none", 1, &["libm.so.6", "no EGL", "[egl] libraries"])
            .file("b.toml", board("name = \"x\"\n[egl]\nlibraries = [\"libm.so.6\"]\n"))
            .more(&["--board", "./b.toml"]),
        case("board without platforms", 2, &["b.toml:3:1", "egl.platforms", "empty"])
            .file("b.toml", board("name = \"x\"\n[egl]\nplatforms = []\n"))
            .more(&["--board", "./b.toml"]),
        case("board with a typo", 2, &["b.toml:3:1", "did you mean `libraries`?"])
            .file("b.toml", board("name = \"x\"\n[egl]\nlibrarys = []\n"))
            .more(&["--board", "./b.toml"]),
        case("board with a typo in a value", 2, &["b.toml:3:", "surfaceless"])
            .file("b.toml", board("name = \"x\"\n[egl]\nplatforms = [\"surfaceles\"]\n"))
            .more(&["--board", "./b.toml"]),
        case("board without a name", 2, &["b.toml", "name"])
            .file("b.toml", board("[egl]\n"))
            .more(&["--board", "./b.toml"]),
        case("board with another machine's node", 1, &["/dev/dri/card99", "board"])
            .file("b.toml", board("name = \"x\"\n[drm]\nrender = \"/dev/dri/card99\"\n"))
            .more(&["--board", "./b.toml"]),
        case("board with another machine's driver", 1, &["panfrots", "there is"])
            .file("b.toml", board("name = \"x\"\n[drm]\nrender = \"panfrots\"\n"))
            .more(&["--board", "./b.toml"]),
        case("board of alignment 0", 2, &["b.toml:3:1", "alignments start at 1"])
            .file("b.toml", board("name = \"x\"\n[allocate]\nstride-align-bytes = 0\n"))
            .more(&["--board", "./b.toml"]),
        case("5 files", 1, &["oo many open files"]).shell("ulimit -n 5;"),
        case("little memory", 1, &["darkframe: error: "]).edit("64x48", "4096x4096").shell("ulimit -v 300000;"),
        case("a picture larger than the driver's textures", 1, &["camera", "40000x40000", "textures end at"])
            .edit("64x48", "40000x40000"),
    ]);
}

/// With few fds a run works, or says that they ran out; it never panics or leaves half a file.
#[test]
fn few_files() {
    let wrong: Vec<String> = (4..20)
        .step_by(if std::env::var_os("DARKFRAME_VM").is_some() { 5 } else { 1 })
        .flat_map(|limit| {
            let folder = Folder::new(&format!("fds-{limit}"));
            std::fs::write(folder.0.join("p.toml"), PIPELINE).unwrap();
            std::fs::write(folder.0.join("s.frag"), SHADER).unwrap();
            let output = Command::new("sh")
                .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" run p.toml"), env!("CARGO_BIN_EXE_darkframe")])
                .current_dir(&folder.0)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let fine = match output.status.code() {
                Some(0) => folder.files().len() == 6,
                // The loader of the system says it in its own words, and ends with 127.
                Some(127) => text.contains("Error 24"),
                Some(1 | 2) => {
                    text.contains("EMFILE") || text.contains("os error 24") || text.contains("Too many open")
                }
                _ => false,
            };
            let whole = folder.files().iter().all(|file| !file.to_string_lossy().contains(".tmp-"));
            (!fine || !whole).then(|| format!("{limit} fds: {}: {text}\n{:?}", output.status, folder.files()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a command that was just copied: a child that another test forks meanwhile may still hold the copy open for
/// writing, and the kernel then refuses to run it for a moment.
fn output_of_a_copy(command: &mut Command) -> Output {
    loop {
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            output => return output.unwrap(),
        }
    }
}

/// Files and folders that this user may not touch. As root the command runs as another user.
#[test]
fn without_rights() {
    let folder = Folder::new("rights");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let root = nix::unistd::geteuid().is_root();
    let command = folder.0.join("darkframe");
    // The build folder may be one that only root may enter.
    std::fs::copy(env!("CARGO_BIN_EXE_darkframe"), &command).unwrap();
    let secret = |name: &str, text: &str| {
        std::fs::write(folder.0.join(name), text).unwrap();
        std::fs::set_permissions(folder.0.join(name), std::fs::Permissions::from_mode(0o0)).unwrap();
    };
    std::fs::write(folder.0.join("s.frag"), SHADER).unwrap();
    std::fs::write(folder.0.join("sink.toml"), PIPELINE).unwrap();
    secret("secret.toml", PIPELINE);
    secret("secret.frag", SHADER);
    secret("secret.y4m", "YUV4MPEG2");
    secret("secret.png", "PNG");
    std::fs::write(folder.0.join("shader.toml"), PIPELINE.replace("s.frag", "secret.frag")).unwrap();
    std::fs::write(folder.0.join("source.toml"), PIPELINE.replace(PATTERN, "file = \"secret.y4m\"")).unwrap();
    std::fs::write(folder.0.join("image.toml"), PIPELINE.replace(PATTERN, "file = \"secret.png\"")).unwrap();
    std::fs::create_dir(folder.0.join("out")).unwrap();
    std::fs::set_permissions(folder.0.join("out"), std::fs::Permissions::from_mode(0o555)).unwrap();
    let cases: [(&str, i32, &[&str]); 5] = [
        ("secret.toml", 2, &["secret.toml", "EACCES"]),
        ("shader.toml", 1, &["secret.frag", "EACCES"]),
        ("source.toml", 1, &["secret.y4m", "EACCES", "chmod"]),
        ("image.toml", 1, &["secret.png", "EACCES", "chmod"]),
        ("sink.toml", 1, &["out/a-00.png", "EACCES", "another folder"]),
    ];
    let before = folder.files();
    let mut wrong = Vec::new();
    for (file, code, words) in cases {
        let mut run = Command::new(&command);
        run.args(["run", file]).current_dir(&folder.0).stdin(Stdio::null()).env_remove("RUST_LOG");
        if root {
            run.uid(65_534).gid(65_534);
        }
        wrong.extend(judge(file, &output_of_a_copy(&mut run), code, words));
    }
    assert_eq!(folder.files(), before);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A node of the board that this user may not open; and without any node the run goes on with copies.
#[test]
fn a_node_without_rights() {
    let node = Path::new("/dev/dri/card0");
    if !node.exists() || !nix::unistd::geteuid().is_root() {
        println!("SKIP node without rights: needs {} and root", node.display());
        return;
    }
    let folder = Folder::new("node");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o777)).unwrap();
    let command = folder.0.join("darkframe");
    std::fs::copy(env!("CARGO_BIN_EXE_darkframe"), &command).unwrap();
    std::fs::write(folder.0.join("s.frag"), SHADER).unwrap();
    std::fs::write(folder.0.join("p.toml"), PIPELINE).unwrap();
    std::fs::write(folder.0.join("b.toml"), "name = \"x\"\n[drm]\nrender = \"/dev/dri/card0\"\n").unwrap();
    let nobody = |arguments: &[&str]| {
        let mut run = Command::new(&command);
        run.args(arguments).current_dir(&folder.0).stdin(Stdio::null()).uid(65_534).gid(65_534);
        output_of_a_copy(&mut run)
    };
    let mode = std::fs::metadata(node).unwrap().permissions();
    std::fs::set_permissions(node, std::fs::Permissions::from_mode(0o600)).unwrap();
    let named = nobody(&["run", "p.toml", "--board", "./b.toml"]);
    let free = nobody(&["run", "p.toml"]);
    std::fs::set_permissions(node, mode).unwrap();
    let mut wrong = judge("named node", &named, 1, &["/dev/dri/card0", "EACCES", "video, render"]);
    wrong.extend(judge("any node", &free, 0, &["/dev/dri/card0", "EACCES", "4 frames"]));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A reader that goes away ends the run with an error in words, at once.
#[test]
fn a_closed_pipe() {
    let folder = Folder::new("pipe");
    std::fs::write(folder.0.join("s.frag"), SHADER).unwrap();
    let text = PIPELINE.replace("frames = 4", "").replace("out/a-%02d.png\"", "-\"\nkind = \"y4m\"");
    std::fs::write(folder.0.join("p.toml"), text).unwrap();
    let mut child = darkframe()
        .args(["run", "p.toml"])
        .current_dir(&folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut head = [0; 9];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut head).unwrap();
    assert_eq!(&head, b"YUV4MPEG2");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let wrong = judge("closed pipe", &output, 1, &["write", "EPIPE", "reader of the pipe went away"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Descriptions that fail, over and over in one process, leave no fd open.
#[test]
fn failing_runs_leak_nothing() {
    use darkframe::pipeline::Description;
    use darkframe::pipeline::runner::{self, Options};
    let folder = Folder::new("leaks");
    std::fs::write(folder.0.join("s.frag"), SHADER).unwrap();
    std::fs::write(folder.0.join("bad.frag"), "vec4 pixel(vec2 uv) { return nothing; }\n").unwrap();
    std::fs::write(folder.0.join("cut.y4m"), &y4m("W8 H8", 3)[..300]).unwrap();
    let out = folder.0.join("out").display().to_string();
    let text = PIPELINE.replace("out/", &format!("{out}/"));
    let texts = [
        text.replace(PATTERN, "file = \"cut.y4m\""),
        text.replace("s.frag", "bad.frag").replace("uniforms = {", "#"),
        text.replace(&format!("{out}/a-%02d.png"), "/dev/full\"\nkind = \"raw"),
        text.replace("64x48", "40000x40000"),
    ];
    let round = || {
        for text in &texts {
            let description = Description::parse(folder.0.join("p.toml"), text.as_str()).unwrap();
            runner::run(&description, Options::default()).unwrap_err();
        }
    };
    // What the driver opens once stays.
    round();
    let before = fds();
    (0..if std::env::var_os("DARKFRAME_VM").is_some() { 1 } else { 5 }).for_each(|_| round());
    // Other tests of this process open and close files meanwhile: what leaked is still there a while later.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fds().len() > before.len() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let now = fds();
    assert!(now.len() <= before.len(), "before: {before:?}\nnow: {now:?}");
}

/// What this process has open, without sockets and pipes of the test harness's threads.
fn fds() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .filter(|target| !target.starts_with("pipe:") && !target.starts_with("socket:") && !target.contains("/fd"))
        // Folders and children of other tests.
        .filter(|target| !target.contains("darkframe-errors-") || target.contains("-leaks-"))
        .collect();
    names.sort();
    names
}
