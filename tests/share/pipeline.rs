//! Two runs of the command, one feeding the other; and GStreamer before and behind a run.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::*;

pub fn darkframe(folder: &Path, text: &str) -> Command {
    let file = folder.join("pipeline.toml");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
    command.arg("run").arg(file).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
pub fn ok(output: Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

pub fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("df-share-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

const PATTERN: &str = "frames = \"0..60\"\n[source.test]\npattern = \"gradient\"\nsize = \"64x48\"\n";

/// What one run serves, another one takes: the same bytes as when one run does both.
#[test]
fn a_run_feeds_a_run() {
    let folder = folder("runs");
    ok(darkframe(&folder.join("one"), &format!("{PATTERN}[sink.out]\ninput = \"test\"\nfile = \"out.rgba\"\n"))
        .output()
        .unwrap());
    let expected = std::fs::read(folder.join("one/out.rgba")).unwrap();
    assert_eq!(expected.len(), 60 * 64 * 48 * 4);
    let served = format!(
        "{PATTERN}[sink.out]\ninput = \"test\"\nkind = \"unixfd\"\nsocket = \"{0}/s\"\nwait-for = 1\nmode = 0o640\n",
        folder.display()
    );
    let producer = darkframe(&folder.join("two"), &served).spawn().unwrap();
    let taken = format!(
        "[source.in]\nkind = \"unixfd\"\nsocket = \"{0}/s\"\nreconnect = true\n[sink.out]\ninput = \"in\"\nfile = \"out.rgba\"\n",
        folder.display()
    );
    let consumer = darkframe(&folder.join("three"), &taken).spawn().unwrap();
    let text = ok(consumer.wait_with_output().unwrap());
    assert!(text.contains("60 frames"), "{text}");
    let text = ok(producer.wait_with_output().unwrap());
    assert!(text.contains("60 frames"), "{text}");
    assert!(!folder.join("s").exists());
    let got = std::fs::read(folder.join("three/out.rgba")).unwrap();
    assert!(got == expected, "{} bytes for {}", got.len(), expected.len());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A producer that is killed: the consumer's files are whole, with what had come; one that waits is ended by a signal.
#[test]
fn a_killed_producer_ends_a_run_cleanly() {
    let folder = folder("killed");
    let served = format!(
        "[source.test]\npattern = \"gradient\"\nsize = \"64x48\"\n[sink.out]\ninput = \"test\"\nkind = \"unixfd\"\nsocket = \"{}/s\"\n",
        folder.display()
    );
    let mut producer = darkframe(&folder.join("p"), &served).spawn().unwrap();
    let taken = format!(
        "[source.in]\nkind = \"unixfd\"\nsocket = \"{}/s\"\nreconnect = true\n[sink.out]\ninput = \"in\"\nfile = \"out-%04d.png\"\n",
        folder.display()
    );
    let text = taken.replace("reconnect = true\n", "");
    eventually("the producer serves", || folder.join("s").exists());
    let consumer = darkframe(&folder.join("c"), &text).spawn().unwrap();
    eventually("a picture", || folder.join("c/out-0000.png").exists());
    producer.kill().unwrap();
    producer.wait().unwrap();
    let text = ok(consumer.wait_with_output().unwrap());
    assert!(text.contains("frames in"), "{text}");
    let names: Vec<_> = std::fs::read_dir(folder.join("c")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains(".tmp")), "{names:?}");
    // Nobody comes back: the run waits, and ends when it is told to.
    let mut producer = darkframe(&folder.join("p"), &served).spawn().unwrap();
    let consumer = darkframe(&folder.join("w"), &taken).spawn().unwrap();
    eventually("a picture", || folder.join("w/out-0000.png").exists());
    producer.kill().unwrap();
    producer.wait().unwrap();
    let pid = nix::unistd::Pid::from_raw(consumer.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = consumer.wait_with_output().unwrap();
    assert!(output.status.code().is_some(), "ended by itself: {}", output.status);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A build without PipeWire says so, at the key.
#[cfg(not(feature = "pipewire"))]
#[test]
fn a_build_without_pipewire_says_so() {
    let folder = folder("no-pipewire");
    for text in [
        format!("{PATTERN}[sink.out]\ninput = \"test\"\nkind = \"pipewire\"\n"),
        "[source.in]\nkind = \"pipewire\"\n[sink.out]\ninput = \"in\"\nkind = \"null\"\n".into(),
    ] {
        let output = darkframe(&folder, &text).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("this build has no PipeWire"), "{error}");
        assert!(error.contains("cargo feature pipewire"), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A build without GStreamer says so, at the key.
#[cfg(not(feature = "gstreamer"))]
#[test]
fn a_build_without_gstreamer_says_so() {
    let folder = folder("no-gstreamer");
    for text in [
        format!("{PATTERN}[sink.out]\ninput = \"test\"\nkind = \"gstreamer\"\npipeline = \"fakesink\"\n"),
        "[source.in]\nkind = \"gstreamer\"\npipeline = \"videotestsrc\"\n[sink.out]\ninput = \"in\"\nkind = \"null\"\n"
            .into(),
    ] {
        let output = darkframe(&folder, &text).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("this build has no GStreamer"), "{error}");
        assert!(error.contains("cargo feature gstreamer"), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A producer that accepts and says nothing is waited for as long as `patience` says.
#[test]
fn patience_ends() {
    let folder = folder("patience");
    let _silent = std::os::unix::net::UnixListener::bind(folder.join("s")).unwrap();
    let text = format!(
        "[source.in]\nkind = \"unixfd\"\nsocket = \"{}/s\"\npatience = 0.25\n[sink.out]\ninput = \"in\"\nkind = \"null\"\n",
        folder.display()
    );
    let output = darkframe(&folder, &text).output().unwrap();
    let error: Vec<String> = String::from_utf8_lossy(&output.stderr).split_whitespace().map(str::to_owned).collect();
    let error = error.join(" ").replace("│ ", "");
    assert!(!output.status.success() && error.contains("after 250ms"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The first frames are dma-bufs, which the run imports; later ones lie in memory files: it goes on with copies, and says so
/// once. With `require = "zero-copy"` it ends.
#[test]
fn later_memory_that_is_not_imported_is_copied() {
    let _alone = alone();
    let size = Size::new(64, 48);
    let device = Device::open(&Board::detect().unwrap_or_else(|_| Board::generic())).unwrap();
    // What older Mesa maps through its node comes first.
    let kinds = [AllocatorKind::Dumb, AllocatorKind::Udmabuf, AllocatorKind::DmaHeap];
    let pool_of = |kind: AllocatorKind| {
        let mut request = Request::new(size, Fourcc::ABGR8888).usage(Usage::CPU_READ | Usage::CPU_WRITE).only(kind);
        request.constraints.stride_align_bytes = 256;
        device.allocate(&request).map(|_| Pool::new(&device, request, 4))
    };
    let found =
        kinds.into_iter().map(pool_of).find_map(Result::ok).ok_or_else(|| {
            darkframe::error::Error::unsupported("dma-buf", "no allocator of this machine makes dma-bufs")
        });
    let Some(imported) = common::or_skip("dma-buf", found) else { return };
    let files = pool_of(AllocatorKind::Memfd).unwrap();
    for require in ["", "require = \"zero-copy\"\n"] {
        let folder = folder("later");
        // In an emulated machine the first frame takes its time.
        let patient = server::Options { patience: 6 * LONG, ..lossless() };
        let server = Server::bind(&Address::Path(folder.join("s")), patient).unwrap();
        let text = format!(
            "{require}[source.in]\nkind = \"unixfd\"\nsocket = \"{}/s\"\n[sink.out]\ninput = \"in\"\nfile = \"out.rgba\"\n",
            folder.display()
        );
        let mut command = darkframe(&folder, &text);
        let run = command.args(["--report", "report.json"]).spawn().unwrap();
        server.wait_for_clients(1, 6 * LONG).unwrap();
        for number in 0..10 {
            let pool = if number < 5 { &imported } else { &files };
            server.send(numbered(acquire(pool), number)).unwrap();
        }
        server.finish(6 * LONG);
        let output = run.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // The report wraps lines.
        let said = said.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        if said.contains("would be copied") && !common::demanded("zero-copy") {
            println!("SKIP later memory: {said}");
            return;
        }
        if !require.is_empty() {
            assert!(!output.status.success() && said.contains("memory file"), "{said}");
            std::fs::remove_dir_all(&folder).unwrap();
            continue;
        }
        assert!(output.status.success(), "{said}");
        let file = std::fs::read(folder.join("out.rgba")).unwrap();
        assert_eq!(file.len() as u64, 10 * size.pixels() * 4);
        for (number, frame) in file.chunks(size.pixels() as usize * 4).enumerate() {
            for (at, got) in frame.iter().enumerate() {
                let (row, column) = (at / (size.width as usize * 4), at % (size.width as usize * 4));
                assert_eq!(
                    *got,
                    byte(number as u64, 0, row as u32, column),
                    "frame {number}, row {row}, byte {column}"
                );
            }
        }
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
        let source = &report["sources"][0];
        println!("later memory: {} {}", source["path"], source["reason"]);
        let reason = source["reason"].as_str().unwrap_or_default();
        assert_eq!(source["path"], "copy");
        // Where not even the first could be imported, there was nothing to go on from.
        if common::demanded("zero-copy") || reason.contains("from frame") {
            assert!(reason.contains("from frame 5 on") && reason.contains("memory file"), "{reason}");
            assert_eq!(said.matches("copied from here on").count(), 1, "{said}");
            assert!(source["imports"].as_u64().unwrap() >= 1, "{source}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Keys that do not fit together, with their place.
#[test]
fn wrong_keys_have_a_place() {
    let folder = folder("keys");
    let sink = |keys: &str| format!("{PATTERN}[sink.out]\ninput = \"test\"\n{keys}\n");
    for (text, words) in [
        (sink("kind = \"unixfd\""), "sink.out.socket: missing"),
        (sink("kind = \"unixfd\"\nsocket = \"@\""), "the name is empty"),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\nmode = 660000"), "permission bits"),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\ngroup = \"nobody-has-this\""), "no such group"),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\nallow = [\"me\"]"), "expected user:NAME"),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\nmax-in-flight = 0"), "1 to 64"),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\nwait-for = 5"), "at most 4 clients"),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\nfile = \"x\""), "writes no file"),
        (sink("file = \"x.png\"\nsocket = \"@x\""), "this key is for kind"),
        (sink("file = \"x.png\"\nnode = \"x\""), "this key is for kind = \"pipewire\""),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\nnode = \"x\""), "this key is for kind = \"pipewire\""),
        (sink("kind = \"unixfd\"\nsocket = \"@x\"\npatience = 0"), "more than 0"),
        (
            "[source.in]\nfile = \"x.png\"\npatience = 1\n[sink.o]\ninput = \"in\"\nkind = \"null\"".into(),
            "this key is for kind = \"unixfd\"",
        ),
        (
            "[source.in]\nkind = \"unixfd\"\nsocket = \"@x\"\npatience = -1\n[sink.o]\ninput = \"in\"\nkind = \"null\"".into(),
            "more than 0",
        ),
        ("[source.in]\nkind = \"unixfd\"\n[sink.o]\ninput = \"in\"\nkind = \"null\"".into(), "source.in.socket: missing"),
        (
            "[source.in]\nkind = \"unixfd\"\nsocket = \"/nowhere/x\"\n[sink.o]\ninput = \"in\"\nkind = \"null\"".into(),
            "nobody serves it",
        ),
        (
            "[source.in]\nkind = \"unixfd\"\nsocket = \"@x\"\nsize = \"4x4\"\n[sink.o]\ninput = \"in\"\nkind = \"null\"".into(),
            "the producer says",
        ),
    ] {
        let output = darkframe(&folder, &text).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).replace("\n  │ ", " ").replace('\n', " ");
        assert!(!output.status.success(), "{text}");
        let plain: String = error.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(plain.contains(words) && plain.contains("pipeline.toml"), "expected \"{words}\": {plain}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
