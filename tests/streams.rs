//! Sources that are streams: standard input and fifos, against the same bytes in a file.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

mod common;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, source: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-streams-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let text = format!("[source.camera]\n{source}\n\n[sink.out]\ninput = \"camera\"\nfile = \"out.raw\"\n");
        std::fs::write(path.join("p.toml"), text).unwrap();
        Self(path)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        command.args(["run", "-q", "p.toml"]).args(more).current_dir(&self.0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs with `bytes` on standard input, through a pipe in pieces.
    fn pipe(&self, more: &[&str], bytes: &[u8]) -> Output {
        let mut child = self.command(more).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || {
            for piece in bytes.chunks(777) {
                // The command may have had enough.
                if stdin.write_all(piece).is_err() {
                    break;
                }
            }
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    fn taken(&self) -> Vec<u8> {
        let path = self.0.join("out.raw");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        bytes
    }

    fn has_output(&self) -> bool {
        std::fs::read_dir(&self.0)
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("out.raw"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn fine(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
}

fn clip() -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W48 H32 F25:1 C420jpeg\n".to_vec();
    for frame in 0..6u32 {
        bytes.extend(b"FRAME Xcomment\n");
        bytes.extend((0..48 * 32 * 3 / 2).map(|at: u32| ((at.wrapping_mul(2_654_435_761) >> 20) ^ (frame * 31)) as u8));
    }
    bytes
}

#[test]
fn a_piped_clip_is_the_same_as_its_file() {
    let folder = Folder::new("y4m", "file = \"a.y4m\"");
    std::fs::write(folder.0.join("a.y4m"), clip()).unwrap();
    fine(&folder.pipe(&[], b""));
    let expected = folder.taken();
    assert_eq!(expected.len(), 6 * 48 * 32 * 4);
    let stdin = ["--set", "source.camera.file=-"];
    fine(&folder.pipe(&stdin, &clip()));
    assert_eq!(folder.taken(), expected);
    // A part of a stream: what comes before is read and let go.
    fine(&folder.pipe(&[&stdin[..], &["--frames", "2..4"]].concat(), &clip()));
    assert_eq!(folder.taken(), expected[2 * 48 * 32 * 4..4 * 48 * 32 * 4]);
    // A file as standard input is a stream too.
    let file = std::fs::File::open(folder.0.join("a.y4m")).unwrap();
    fine(&folder.command(&stdin).stdin(file).output().unwrap());
    assert_eq!(folder.taken(), expected);

    let cut = folder.pipe(&stdin, &clip()[..5000]);
    refused(&cut, 1, &["standard input: byte 5000", "ends here"]);
    assert!(!folder.has_output());
    refused(&folder.pipe(&stdin, b""), 1, &["standard input", "empty"]);
    refused(&folder.pipe(&stdin, b"RIFF"), 1, &["standard input", "YUV4MPEG2"]);
    assert!(!folder.has_output());
}

#[test]
fn raw_frames_come_through_pipes_and_fifos() {
    let keys = "format = \"NV12\"\nsize = \"16x8\"\nheader-bytes = 5\nframe-bytes = 200\nstride = [16, 16]";
    let bytes: Vec<u8> = (0..5 + 3 * 200u32).map(|at| (at * 37 % 251) as u8).collect();
    let folder = Folder::new("raw", &format!("file = \"a.raw\"\n{keys}"));
    std::fs::write(folder.0.join("a.raw"), &bytes).unwrap();
    fine(&folder.pipe(&[], b""));
    let expected = folder.taken();
    assert_eq!(expected.len(), 3 * 16 * 8 * 4);
    fine(&folder.pipe(&["--set", "source.camera.file=-"], &bytes));
    assert_eq!(folder.taken(), expected);

    let fifo = folder.0.join("fifo.raw");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let writer = std::thread::spawn({
        let (fifo, bytes) = (fifo.clone(), bytes.clone());
        move || std::fs::write(fifo, bytes).unwrap()
    });
    let set = format!("source.camera.file={}", fifo.display());
    fine(&folder.pipe(&["--set", &set], b""));
    writer.join().unwrap();
    assert_eq!(folder.taken(), expected);

    refused(&folder.pipe(&["--set", "source.camera.file=-"], &bytes[..305]), 1, &["byte 305", "ends here"]);
    refused(&folder.pipe(&["--set", "source.camera.file=-"], &bytes[..3]), 1, &["standard input", "no frame"]);
    assert!(!folder.has_output());
}

/// Sends one SIGINT when the command catches it, and waits until it has ended. `input` is kept open all the while.
fn interrupted(mut child: Child, input: impl Sized) -> Output {
    let pid = child.id();
    let catches = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(caught, 16).unwrap() & (1 << (Signal::SIGINT as u64 - 1)) != 0
    };
    while !catches() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(pid as i32), Signal::SIGINT).unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("one SIGINT does not end it: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(input);
    child.wait_with_output().unwrap()
}

#[test]
fn one_interrupt_ends_a_run_whose_input_is_silent() {
    let folder = Folder::new("silent", "file = \"-\"");
    let text = std::fs::read_to_string(folder.0.join("p.toml")).unwrap();
    let more = "\n[sink.seen]\ninput = \"camera\"\nfile = \"-\"\nkind = \"raw\"\n";
    std::fs::write(folder.0.join("p.toml"), text.clone() + more).unwrap();
    std::fs::write(folder.0.join("a.y4m"), clip()).unwrap();
    fine(&folder.pipe(&["--set", "source.camera.file=a.y4m"], b""));
    let expected = folder.taken();

    // Two frames and a part of the third, then nothing.
    let mut child = folder.command(&[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let frame = "FRAME Xcomment\n".len() + 48 * 32 * 3 / 2;
    input.write_all(&clip()[..33 + 2 * frame + 500]).unwrap();
    let mut drawn = vec![0; 2 * 48 * 32 * 4];
    child.stdout.as_mut().unwrap().read_exact(&mut drawn).unwrap();
    let output = interrupted(child, input);
    refused(&output, 130, &[]);
    assert!(drawn == expected[..drawn.len()] && output.stdout.is_empty());
    assert!(folder.taken() == drawn, "the frames that were drawn, whole");

    // Not even a header: of standard input, and of a fifo that nobody has opened for writing.
    std::fs::write(folder.0.join("p.toml"), text).unwrap();
    assert!(Command::new("mkfifo").arg(folder.0.join("fifo.y4m")).status().unwrap().success());
    for more in [&[][..], &["--set", "source.camera.file=fifo.y4m"]] {
        let mut child = folder.command(more).stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        refused(&interrupted(child, input), 130, &[]);
        assert!(!folder.has_output(), "{more:?}");
    }

    // Commands that do not come.
    let endless = "[source.camera]\npattern = \"gradient\"\nsize = \"16x8\"\n";
    let sinks = "[sink.out]\ninput = \"camera\"\nfile = \"out.raw\"\n[sink.seen]\ninput = \"camera\"\nfile = \"-\"\nkind = \"raw\"\n";
    std::fs::write(folder.0.join("p.toml"), format!("{endless}{sinks}")).unwrap();
    let mut child = folder.command(&["--control", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 16 * 8 * 4]).unwrap();
    let rest = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    refused(&interrupted(child, input), 130, &[]);
    assert_eq!(folder.taken().len(), 16 * 8 * 4 + rest.join().unwrap());
}

#[test]
fn what_streams_cannot_do_is_said() {
    let cases: [(&str, i32, &[&str]); 5] = [
        ("file = \"-\"\nrange = \"1..3\"", 2, &["p.toml:2:8", "source.camera.range", "stream", "to a file first"]),
        ("file = \"-\"\nloop = true", 2, &["source.camera.loop", "stream"]),
        ("file = \"-\"\nkind = \"cube\"", 2, &["p.toml:2:8", "tables are read from files"]),
        ("file = \"-\"\nkind = \"image\"", 1, &["standard input: byte 0", "read are PNG, JPEG"]),
        (
            "file = \"-\"\n[source.two]\nfile = \"-\"\n[sink.two]\ninput = \"two\"\nkind = \"null\"",
            2,
            &["source.two.file", "source \"camera\" reads standard input already"],
        ),
    ];
    for (at, (source, code, words)) in cases.into_iter().enumerate() {
        let folder = Folder::new(&format!("refused-{at}"), source);
        refused(&folder.pipe(&[], &clip()), code, words);
        assert!(!folder.has_output());
    }
    assert!(Path::new("/dev/stdin").exists());
}

/// 40 pictures of 80 kB, more than a pipe holds, to two fifos: one read at once, one only when the other has come
/// whole. The blue of every pixel is the frame's number.
fn fast_and_slow(rule: &str) -> (Vec<u8>, Vec<u8>, u64) {
    let folder = Folder::new(&format!("slow-{rule}"), "pattern = \"gradient\"\nsize = \"160x128\"\nframes = 40");
    let sink = |name: &str, keys: &str| {
        let fifo = folder.0.join(name);
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        format!("[sink.{name}]\ninput = \"camera\"\nfile = \"{}\"\nkind = \"raw\"\n{keys}\n", fifo.display())
    };
    let text = std::fs::read_to_string(folder.0.join("p.toml")).unwrap();
    let source = text.split("[sink").next().unwrap();
    let slow = sink("slow", &format!("when-full = \"{rule}\"\nqueue = 3"));
    std::fs::write(folder.0.join("p.toml"), format!("{source}{slow}{}", sink("fast", ""))).unwrap();

    let mut child = folder.command(&["--report", "report.json"]).spawn().unwrap();
    // Opening a fifo waits for the other end.
    let mut slow = std::fs::File::open(folder.0.join("slow")).unwrap();
    let fast = std::fs::read(folder.0.join("fast")).unwrap();
    let mut late = Vec::new();
    std::io::Read::read_to_end(&mut slow, &mut late).unwrap();
    assert!(child.wait().unwrap().success());

    let report = std::fs::read(folder.0.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let of = |name: &str, key: &str| {
        let sinks = report["sinks"].as_array().unwrap();
        sinks.iter().find(|sink| sink["name"] == name).unwrap()[key].as_u64().unwrap()
    };
    assert_eq!((of("fast", "pictures"), of("fast", "dropped")), (40, 0));
    assert_eq!(of("slow", "pictures") * 160 * 128 * 4, late.len() as u64);
    (fast, late, of("slow", "dropped"))
}

/// The frames' numbers, after a look at every pixel.
fn numbers(bytes: &[u8]) -> Vec<u8> {
    let frame = |pixels: &[u8]| {
        let number = pixels[2];
        for (at, pixel) in pixels.chunks_exact(4).enumerate() {
            let (x, y) = (at % 160, at / 160);
            assert_eq!(pixel, [(x * 255 / 159) as u8, (y * 255 / 127) as u8, number, 255], "frame {number}, {x},{y}");
        }
        number
    };
    assert_eq!(bytes.len() % (160 * 128 * 4), 0, "the last frame is not whole");
    bytes.chunks_exact(160 * 128 * 4).map(frame).collect()
}

#[test]
fn a_slow_sink_that_may_drop_never_stalls_a_fast_one() {
    for rule in ["drop-oldest", "drop-newest"] {
        let (fast, slow, dropped) = fast_and_slow(rule);
        assert_eq!(numbers(&fast), (0..40).collect::<Vec<u8>>(), "{rule}");
        let slow = numbers(&slow);
        assert!(slow.is_sorted_by(|a, b| a < b), "{rule}: {slow:?}");
        assert_eq!(slow.len() as u64 + dropped, 40, "{rule}: {slow:?}");
        // Nobody read before all had been drawn: one picture was being written, three waited.
        assert!((3..=4).contains(&slow.len()), "{rule}: {slow:?}");
        match rule {
            "drop-oldest" => assert!(slow.ends_with(&[37, 38, 39]), "{slow:?}"),
            _ => assert!(slow.starts_with(&[0, 1, 2]), "{slow:?}"),
        }
    }
}

#[test]
fn ffmpeg_reads_what_goes_to_standard_output() {
    if let Err(error) = Command::new("ffmpeg").arg("-version").output() {
        return common::skip("ffmpeg", error);
    }
    let folder = Folder::new("ffmpeg", "pattern = \"gradient\"\nsize = \"160x128\"\nframes = 7");
    let text = std::fs::read_to_string(folder.0.join("p.toml")).unwrap();
    let raw = ["-f", "rawvideo", "-pix_fmt", "rgba", "-video_size", "160x128"];
    for (kind, more) in [("raw", raw.as_slice()), ("y4m", &["-f", "yuv4mpegpipe"])] {
        let piped = text.replace("file = \"out.raw\"", &format!("file = \"-\"\nkind = \"{kind}\""));
        std::fs::write(folder.0.join("p.toml"), piped).unwrap();
        let mut darkframe = folder.command(&[]).stderr(Stdio::inherit()).spawn().unwrap();
        let output = Command::new("ffmpeg")
            .args(["-v", "error"])
            .args(more)
            .args(["-i", "-", "-f", "rawvideo", "-pix_fmt", "rgba", "-"])
            .stdin(darkframe.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(darkframe.wait().unwrap().success());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if kind == "raw" {
            assert_eq!(numbers(&output.stdout), (0..7).collect::<Vec<u8>>());
            continue;
        }
        // Through 4:2:0 in BT.601 and back by FFmpeg: near, and every frame its own.
        assert_eq!(output.stdout.len(), 7 * 160 * 128 * 4);
        for (at, pixel) in output.stdout.chunks_exact(4).enumerate() {
            let (frame, x, y) = (at / (160 * 128), at % 160, at / 160 % 128);
            let expected = [(x * 255 / 159) as u8, (y * 255 / 127) as u8, frame as u8];
            let near = pixel.iter().zip(expected).all(|(got, wanted)| got.abs_diff(wanted) <= 8);
            assert!(near, "frame {frame}, {x},{y}: {pixel:?}, not {expected:?}");
        }
    }
}
