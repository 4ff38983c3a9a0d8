//! Sources that are streams: standard input and fifos, against the same bytes in a file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

#[test]
fn what_streams_cannot_do_is_said() {
    let cases: [(&str, i32, &[&str]); 4] = [
        ("file = \"-\"\nrange = \"1..3\"", 2, &["p.toml:2:8", "source.camera.range", "stream", "to a file first"]),
        ("file = \"-\"\nloop = true", 2, &["source.camera.loop", "stream"]),
        ("file = \"-\"\nkind = \"image\"", 2, &["p.toml:2:8", "images are read from files"]),
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
