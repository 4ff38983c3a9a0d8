//! What changes while a run goes on: parameters, shaders, and what a person sees of it.
//!
//! Skips only where no driver gives OpenGL ES.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use darkframe::pipeline::Description;
use darkframe::pipeline::plan::Plan;

#[path = "live/metrics.rs"]
mod metrics;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    /// With a shader that fills the picture with `(level, 0.5, 0, 1)`.
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-live-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder
            .write("level.frag", "uniform float level;\nvec4 pixel(vec2 uv) { return vec4(level, 0.5, 0.0, 1.0); }\n");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        command.args(arguments).current_dir(&self.0).env("XDG_CACHE_HOME", self.path("cache"));
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Standard error, after a run that may find no driver; `None` says that it was skipped.
fn ran(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(1) && (text.contains("libEGL") || text.contains("eglCreateContext")) {
        println!("SKIP run: {text}");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    Some(text)
}

const TWO_PASSES: &str = "[parameter.level]
default = 0.25
min = 0
max = 1
description = \"how bright\"

[pass.one]
shader = \"level.frag\"
size = \"4x4\"
uniforms = { level = \"$level\" }

[pass.two]
shader = \"level.frag\"
size = \"4x4\"
uniforms = { level = \"$level\" }

[sink.one]
input = \"one\"
file = \"one.rgba\"

[sink.two]
input = \"two\"
file = \"two.rgba\"
";

#[test]
fn one_parameter_feeds_uniforms_of_several_passes() {
    let folder = Folder::new("two");
    folder.write("p.toml", TWO_PASSES);
    // 0.25 * 255 = 63.75 and 0.6 * 255 = 153, to the nearest.
    for (arguments, level) in [(&[][..], 64u8), (&["--set", "level=0.6"], 153), (&["--set", "parameter.level=1"], 255)]
    {
        let arguments = [&["run", "-q", "p.toml"], arguments].concat();
        if ran(&folder.command(&arguments).output().unwrap()).is_none() {
            return;
        }
        for name in ["one.rgba", "two.rgba"] {
            let pixels = folder.read(name);
            assert_eq!(pixels.len(), 4 * 4 * 4);
            for pixel in pixels.chunks_exact(4) {
                assert!(pixel[0] == level && (127..=128).contains(&pixel[1]) && pixel[2..] == [0, 255], "{pixel:?}");
            }
        }
    }
}

#[test]
fn parameters_are_held_against_the_shader() {
    let folder = Folder::new("kinds");
    folder.write("kinds.frag", "uniform int count;\nuniform bool on;\nuniform vec2 at;\nvec4 pixel(vec2 uv) { return vec4(at, on ? 1.0 : 0.0, float(count)); }\n");
    let plan = |parameters: &str, uniforms: &str| {
        let text = format!(
            "{parameters}\n[pass.p]\nshader = \"kinds.frag\"\nsize = \"4x4\"\nuniforms = {{ {uniforms} }}\n[sink.out]\ninput = \"p\"\nkind = \"null\"\n"
        );
        let description = Description::parse(folder.path("p.toml"), text).map_err(|error| error.to_string())?;
        Plan::new(&description, None).map_err(|error| error.to_string())
    };
    let three =
        "[parameter.n]\ndefault = 2\nmax = 9\n[parameter.on]\ndefault = true\n[parameter.place]\ndefault = [0, 1]\n";
    let uniforms = "count = \"$n\", on = \"$on\", at = \"$place\"";
    let mut set = plan(three, uniforms).unwrap().parameters;
    set.set("n 3; on false; place [0.5, 0.5]").unwrap();
    // An int uniform takes it: whole numbers only, from then on.
    assert!(set.set("n 2.5").unwrap_err().to_string().contains("takes whole numbers"));
    for (parameters, uniforms, words) in [
        (three, "count = \"$m\", on = true, at = [0, 0]", "there is no parameter \"m\"; did you mean \"n\"?"),
        ("", "count = \"$m\", on = true, at = [0, 0]", "add [parameter.m] with default = …"),
        (three, "count = 1, on = true, at = \"$n\"", "$n has 1 numbers, vec2 at has 2"),
        (three, "count = \"n\", on = true, at = [0, 0]", "\"$NAME\" of a parameter"),
        ("[parameter.n]\ndefault = 1.5", "count = \"$n\", on = true, at = [0, 0]", "int count takes whole numbers"),
    ] {
        let Err(error) = plan(parameters, uniforms) else { panic!("{uniforms}") };
        assert!(error.contains(words), "{error}");
        assert!(error.starts_with(&folder.path("p.toml").display().to_string()), "no place: {error}");
    }
    let mut description = Description::parse("p.toml", TWO_PASSES).unwrap();
    assert!(description.set("levl=1").unwrap_err().to_string().contains("did you mean \"level\"?"));
    assert!(description.set("level=x").unwrap_err().to_string().contains("is no value"));
    description.set("level=3").unwrap();
    let error = darkframe::pipeline::parameters::ParameterSet::new(&description).unwrap_err().to_string();
    assert_eq!(error, "parameter.level.default: 3 is above max 1");
}

/// A run whose frames come on standard output: 16x16 pixels of (level, number of the frame in two bytes, 255).
struct Endless {
    child: Child,
    frames: BufReader<ChildStdout>,
    next: u32,
    errors: Receiver<String>,
}

const NUMBERED: &str = "uniform float level;
vec4 pixel(vec2 uv) {
    float n = float(frame);
    return vec4(level, mod(n, 256.0) / 255.0, mod(floor(n / 256.0), 256.0) / 255.0, 1.0);
}
";

const ENDLESS: &str = "[parameter.level]
default = 0.2
min = 0
max = 1
description = \"how bright\"

[source.clock]
pattern = \"checker\"
size = \"16x16\"

[pass.level]
shader = \"level.frag\"
inputs = [\"clock\"]
uniforms = { level = \"$level\" }

[sink.out]
input = \"level\"
file = \"-\"
kind = \"raw\"
";

const FRAME_BYTES: usize = 16 * 16 * 4;
/// No step of a run takes so long, on however slow a machine: a test that waits longer fails.
const LIMIT: Duration = Duration::from_secs(60);

impl Endless {
    /// Resident memory of the run.
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn start(folder: &Folder, arguments: &[&str]) -> Option<Self> {
        Self::start_with(folder, ENDLESS, arguments)
    }

    fn start_with(folder: &Folder, pipeline: &str, arguments: &[&str]) -> Option<Self> {
        folder.write("p.toml", pipeline);
        folder.write("level.frag", NUMBERED);
        let arguments = [&["run", "p.toml"], arguments].concat();
        let mut command = folder.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let frames = BufReader::new(child.stdout.take().unwrap());
        let (sender, errors) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut run = Self { child, frames, next: 0, errors };
        if run.frame().is_some() {
            return Some(run);
        }
        let text: Vec<String> = run.errors.iter().collect();
        let text = text.join("\n");
        assert!(text.contains("libEGL") || text.contains("eglCreateContext"), "{text}");
        println!("SKIP run: {text}");
        None
    }

    /// The level of the next frame, which must have the next number.
    fn frame(&mut self) -> Option<u8> {
        let mut bytes = [0; FRAME_BYTES];
        self.frames.read_exact(&mut bytes).ok()?;
        let number = u32::from(bytes[1]) + 256 * u32::from(bytes[2]);
        assert_eq!(number, self.next % 65536, "a frame is missing");
        assert!(bytes.chunks_exact(4).all(|pixel| pixel == &bytes[..4]), "half of a frame has changed");
        self.next += 1;
        Some(bytes[0])
    }

    /// Reads frames until one has this level; those before have the levels of `before`.
    fn until(&mut self, level: u8, before: &[u8]) {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < LIMIT, "no frame has level {level}");
            match self.frame().expect("the run has ended") {
                seen if seen == level => return,
                seen => assert!(before.contains(&seen), "level {seen}"),
            }
        }
    }

    /// Reads frames until a line of standard error has these words; their levels are `level`.
    fn until_said(&mut self, words: &str, level: u8) -> String {
        let begun = Instant::now();
        loop {
            match self.errors.try_recv() {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(_) => {
                    assert_eq!(self.frame().expect("the run has ended"), level);
                    assert!(begun.elapsed() < LIMIT, "\"{words}\" was not said");
                }
            }
        }
    }

    /// Reads what is left, after the run was told to stop.
    fn end(mut self) -> (i32, Vec<String>) {
        while self.frame().is_some() {}
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, self.errors.iter().collect())
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `darkframe control`: exit code, standard output and standard error.
fn control(folder: &Folder, words: &[&str]) -> (i32, String, String) {
    let output = folder.command(&[&["control", "c.sock"], words].concat()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_control_socket_changes_parameters_between_frames() {
    let folder = Folder::new("socket");
    let Some(mut run) = Endless::start(&folder, &["--control", "c.sock"]) else { return };
    let mode = std::fs::metadata(folder.path("c.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // 0.2 * 255 = 51; 0.6 * 255 = 153; 0.8 * 255 = 204.
    let fine = |text: &str| (0, text.to_owned(), String::new());
    assert_eq!(control(&folder, &["get", "level"]), fine("0.2"));
    assert_eq!(control(&folder, &["set", "level", "0.6"]), fine(""));
    run.until(153, &[51]);
    assert_eq!(control(&folder, &["set", "level=0.8"]), fine(""));
    run.until(204, &[153]);
    assert_eq!(control(&folder, &["get", "level"]), fine("0.8"));
    for (words, said) in [
        (&["set", "level", "7"][..], "7 is above max 1"),
        (&["set", "levle", "1"], "there is no parameter \"levle\"; did you mean \"level\"?"),
        (&["set", "level", "[1, 2]"], "2 numbers given, level has 1"),
        (&["get", "x"], "there is no parameter \"x\""),
        (&["sett", "level", "1"], "did you mean \"set\"?"),
        (&["reload"], "start the run with --watch"),
    ] {
        let (code, _, text) = control(&folder, words);
        assert!(code == 1 && text.contains(said), "{code} {text}");
    }
    let (_, list, _) = control(&folder, &["list"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["value"][0]), (&"level".into(), &0.8.into()));
    assert_eq!((&list[0]["max"], &list[0]["description"]), (&1.0.into(), &"how bright".into()));
    let (_, stats, _) = control(&folder, &["stats"]);
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert!(
        stats["frames"].as_u64().unwrap() >= u64::from(run.next)
            && stats["passes"][0]["submit"]["p99_ms"].as_f64().unwrap() > 0.0
    );
    assert_eq!(run.frame(), Some(204));

    // Another run on the same socket; then one after a run that was killed.
    let second = folder.command(&["run", "-q", "p.toml", "--control", "c.sock"]).output().unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && text.contains("another run listens there"), "{text}");
    drop(run);
    assert!(folder.path("c.sock").exists());
    assert!(control(&folder, &["list"]).2.contains("the run that made this socket is gone"));
    let Some(mut run) = Endless::start(&folder, &["--control", "c.sock", "--set", "level=1"]) else { return };
    assert_eq!(run.frame(), Some(255));
    assert_eq!(control(&folder, &["stop"]), fine(""));
    let (code, lines) = run.end();
    assert_eq!(code, 0, "{lines:?}");
    assert!(!folder.path("c.sock").exists());
    // What is there and no socket stays.
    let plain = folder.command(&["run", "-q", "p.toml", "--control", "level.frag"]).output().unwrap();
    assert!(String::from_utf8_lossy(&plain.stderr).contains("is no socket"));
    assert_eq!(folder.read("level.frag"), NUMBERED.as_bytes());
}

#[test]
fn hostile_clients_do_not_hold_the_run_up() {
    let folder = Folder::new("hostile");
    let Some(mut run) = Endless::start(&folder, &["--control", "c.sock"]) else { return };
    let connect = || UnixStream::connect(folder.path("c.sock")).unwrap();
    let line_of = |client: UnixStream| {
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line
    };
    // A line without an end, and bytes that are no text.
    let mut endless = connect();
    let _ = endless.write_all(&[b'a'; 100_000]);
    assert_eq!(line_of(endless), "error control: a line is too long\n");
    let mut garbage = connect();
    garbage.write_all(b"\x00\xff\x1b[2J\x07 x\n").unwrap();
    let line = line_of(garbage);
    assert!(
        line.starts_with("error control: there is no command") && !line[..line.len() - 1].contains(char::is_control)
    );
    // One that asks and asks and never reads.
    let deaf = connect();
    deaf.set_nonblocking(true).unwrap();
    for _ in 0..20_000 {
        if (&deaf).write_all(b"stats\n").is_err() {
            break;
        }
    }
    (0..200).for_each(|_| assert_eq!(run.frame(), Some(51)));
    let before = run.resident_kib();
    // More than there is room for; those that have room send half a line and wait.
    let crowd: Vec<UnixStream> = (0..30).map(|_| connect()).collect();
    for mut client in &crowd {
        let _ = client.write_all(b"set level 0.");
    }
    (0..2000).for_each(|_| assert_eq!(run.frame(), Some(51)));
    drop(crowd);
    assert!(run.resident_kib() < before + 16 * 1024, "{before} KiB, then {} KiB", run.resident_kib());
    // Somebody decent is still served, once the crowd has gone. (The crowd's half lines were none.)
    let begun = Instant::now();
    while control(&folder, &["set", "level", "0.6"]).0 != 0 {
        assert!(begun.elapsed() < LIMIT);
    }
    run.until(153, &[51, 0]);
    drop(deaf);
    control(&folder, &["stop"]);
    assert_eq!(run.end().0, 0);
}

#[test]
fn standard_input_controls_a_run() {
    let folder = Folder::new("stdin");
    let Some(mut run) = Endless::start(&folder, &["--control", "-"]) else { return };
    let mut stdin = run.child.stdin.take().unwrap();
    stdin.write_all(b"set level 0.6; level 0.8\nget level\nset lvel 1\n").unwrap();
    // Both assignments of a line come at once. Pictures have standard output: answers go to standard error.
    run.until(204, &[51]);
    run.until_said("ok 0.8", 204);
    run.until_said("error parameter: there is no parameter \"lvel\"; did you mean \"level\"?", 204);
    stdin.write_all(b"stop").unwrap();
    drop(stdin);
    assert_eq!(run.end().0, 0);
}

#[test]
fn watched_shaders_change_without_a_missing_frame() {
    let folder = Folder::new("watch");
    let Some(mut run) = Endless::start(&folder, &["--watch", "--control", "c.sock"]) else { return };
    assert_eq!(run.frame(), Some(51));
    // Edited in place: the level is inverted. 255 - 51 = 204.
    folder.write("level.frag", &NUMBERED.replace("vec4(level,", "vec4(1.0 - level,"));
    run.until(204, &[51]);
    run.until_said("reloaded: level", 204);
    // Broken: the place is said once, and the picture stays.
    folder.write("level.frag", &NUMBERED.replace("vec4(level,", "vec4(levle,"));
    let line = run.until_said("levle", 204);
    assert!(line.contains("level.frag:4:"), "{line}");
    run.until_said("goes on with what it had", 204);
    folder.write("level.frag", "#include \"half.glsl\"\n");
    run.until_said("#include \"half.glsl\": not found", 204);
    // A file that was missing comes, written as editors do: beside, then renamed.
    folder.write("half.glsl.new", &NUMBERED.replace("vec4(level,", "vec4(level * 0.0,"));
    std::fs::rename(folder.path("half.glsl.new"), folder.path("half.glsl")).unwrap();
    run.until(0, &[204]);
    // An included file is watched as well.
    folder.write("new", &NUMBERED.replace("vec4(level,", "vec4(level * 2.0,"));
    std::fs::rename(folder.path("new"), folder.path("half.glsl")).unwrap();
    run.until(102, &[0]);
    // Values of the pipeline file; what was set live stays until the text says something else.
    folder.write("p.toml", &ENDLESS.replace("default = 0.2", "default = 0.4"));
    run.until(204, &[102]);
    assert_eq!(control(&folder, &["set", "level", "0.1"]).0, 0);
    run.until(51, &[204]);
    folder.write("p.toml", &ENDLESS.replace("default = 0.2", "default = 0.4 # the same"));
    // The drawing thread answers: frames must flow.
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| control(&folder, &["reload"]));
        while !asked.is_finished() {
            assert_eq!(run.frame(), Some(51));
        }
        asked.join().unwrap()
    });
    assert_eq!(asked.0, 0, "{asked:?}");
    (0..100).for_each(|_| assert_eq!(run.frame(), Some(51)));
    folder.write("p.toml", &ENDLESS.replace("level = \"$level\"", "level = 0.3"));
    run.until(153, &[51]);
    // What needs a new run is said, with its place.
    folder.write("p.toml", &ENDLESS.replace("16x16", "32x32"));
    let line = run.until_said("source.clock.size", 153);
    assert!(line.contains("p.toml:9:") && line.contains("start it again"), "{line}");
    folder.write("p.toml", ENDLESS);
    run.until(102, &[153]);
    assert_eq!(control(&folder, &["stop"]).0, 0);
    let (code, lines) = run.end();
    assert_eq!(code, 0, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("levle")), "said twice: {lines:?}");
}

/// Passes that a plan draws into textures of others, and would fuse where nothing is edited.
#[test]
fn watched_passes_that_share_textures_change_without_a_missing_frame() {
    let folder = Folder::new("reuse");
    // Reads another pixel, so that its input is stored.
    folder.write("turn.frag", "vec4 pixel(vec2 uv) { return source(uv.yx); }\n");
    let gain =
        |expression: &str| format!("vec4 pixel(vec2 uv) {{ vec4 s = source(); return vec4({expression}, s.gba); }}\n");
    folder.write("gain.frag", &gain("s.r"));
    let pass = |name: &str, shader: &str, from: &str| {
        format!("[pass.{name}]\nshader = \"{shader}.frag\"\ninputs = {{ source = \"{from}\" }}\n\n")
    };
    let chain = [
        pass("b", "turn", "level"),
        pass("c", "gain", "b"),
        pass("d", "turn", "c"),
        pass("e", "gain", "d"),
        pass("f", "turn", "e"),
        pass("g", "turn", "f"),
    ];
    let (head, sink) = ENDLESS.split_at(ENDLESS.find("[sink.out]").unwrap());
    let text = format!("{head}{}{}", chain.concat(), sink.replace("\"level\"", "\"g\""));
    folder.write("level.frag", NUMBERED);
    let mut description = Description::parse(folder.path("p.toml"), text.as_str()).unwrap();
    let plan = Plan::new(&description, None).unwrap();
    assert!(plan.parts.iter().any(|parts| parts.len() > 1), "nothing is fused: {:?}", plan.parts);
    // As `--watch` draws it.
    description.optimize = "nearest,precision,reuse".parse().unwrap();
    let shared = Plan::new(&description, None).unwrap().reused;
    assert!(shared.iter().flatten().count() >= 4, "{shared:?}");

    let Some(mut run) = Endless::start_with(&folder, &text, &["--watch", "--control", "c.sock"]) else { return };
    assert_eq!(run.frame(), Some(51));
    // Two passes of one shader, both drawing over what others drew: 51 turned over twice is 51.
    folder.write("gain.frag", &gain("s.r + 0.2"));
    run.until(153, &[51]);
    run.until_said("reloaded: c, e", 153);
    (0..100).for_each(|_| assert_eq!(run.frame(), Some(153)));
    folder.write("gain.frag", &gain("s.red"));
    let line = run.until_said("gain.frag:1:", 153);
    assert!(line.contains("red"), "{line}");
    run.until_said("goes on with what it had", 153);
    (0..100).for_each(|_| assert_eq!(run.frame(), Some(153)));
    // The last good one is the whole of it: half of an edit of two shaders is not taken.
    folder.write("turn.frag", "vec4 pixel(vec2 uv) { return 1.0 - source(uv.yx); }\n");
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| control(&folder, &["reload"]));
        while !asked.is_finished() {
            assert_eq!(run.frame(), Some(153));
        }
        asked.join().unwrap()
    });
    assert!(asked.0 == 1 && asked.2.contains("gain.frag:1:"), "{asked:?}");
    (0..100).for_each(|_| assert_eq!(run.frame(), Some(153)));
    folder.write("gain.frag", &gain("s.r"));
    // Four turns of 1 - x, of alpha, blue and green too: the number is what it was.
    run.until(51, &[153]);
    folder.write("turn.frag", "vec4 pixel(vec2 uv) { return source(uv.yx); }\n");
    run.until_said("reloaded: b, d, f, g", 51);
    // A parameter reaches every pass that takes it in the same frame: the mean of 0.6 and 0.6 is 0.6, twice.
    folder.write("p.toml", &text.replace("\"gain.frag\"", "\"gain.frag\"\nuniforms = { level = \"$level\" }"));
    run.until_said("goes on with what it had", 51);
    folder.write("gain.frag", &format!("uniform float level;\n{}", gain("0.5 * (s.r + level)")));
    run.until_said("reloaded: c, e", 51);
    assert_eq!(control(&folder, &["set", "level", "0.6"]).0, 0);
    run.until(153, &[51]);
    assert_eq!(control(&folder, &["stop"]).0, 0);
    assert_eq!(run.end().0, 0);
}
