//! `darkframe selftest`: on this machine's driver, on one that lies, and in the guests on those whose faults are known.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{demanded, skip};
use darkframe::board::Board;
use serde_json::Value;

fn selftest(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
    command.args(["-q", "selftest", "--json", "--by", "tests"]).args(arguments);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn report(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, Value) {
    let output = selftest(arguments, environment);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{errors}"));
    (output.status.code().expect("the command itself never crashes"), json)
}

/// A case: name, result, why or facts, known.
type Row = (String, String, String, bool);

/// Rows of all displays.
fn rows(report: &Value) -> Vec<Row> {
    let displays = report["displays"].as_array().unwrap();
    let rows = displays.iter().flat_map(|display| display["rows"].as_array().unwrap());
    rows.map(|row| {
        let outcome = &row["outcome"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&row["name"]), text(&outcome["result"]), outcome.to_string(), !row["known"].is_null())
    })
    .collect()
}

fn result<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    rows.iter().find(|row| row.0 == name).unwrap_or_else(|| panic!("no case \"{name}\" in {rows:#?}"))
}

/// A machine may have no driver at all.
fn has_driver(rows: &[Row]) -> bool {
    let found = rows.iter().any(|(name, result, ..)| name == "limits" && result == "ok");
    if !found {
        skip("gpu", "no display draws here");
    }
    found
}

#[test]
fn copies_are_exact_here() {
    let (status, report) = report(
        &[
            "--display",
            "surfaceless",
            "--only",
            "upload",
            "--only",
            "readback read",
            "--only",
            "limits",
            "--only",
            "memory memfd",
            "--only",
            "sync finish",
            "--only",
            "sync client-wait",
            "--timeout",
            "120",
        ],
        &[],
    );
    let rows = rows(&report);
    if !has_driver(&rows) {
        assert_eq!(status, 77, "nothing could be tried");
        return;
    }
    assert_eq!(status, 0, "{rows:#?}");
    for name in [
        "upload ABGR8888 tight",
        "upload ABGR8888 padded",
        "upload RGB565 padded",
        "memory memfd ABGR8888 none copy",
        "memory memfd ABGR8888 none process",
        "readback read-pixels",
        "sync finish",
    ] {
        assert_eq!(result(&rows, name).1, "ok", "{:?}", result(&rows, name));
    }
    let limits = report["displays"][0]["rows"].as_array().unwrap().iter().find(|row| row["name"] == "limits").unwrap();
    let facts = &limits["outcome"]["facts"];
    let number =
        |name: &str| facts[name].as_str().unwrap().parse::<u32>().unwrap_or_else(|_| panic!("{name}: {facts}"));
    // OpenGL ES 2.0, tables 6.18 to 6.20: what every context has.
    assert!(number("max-texture-size") >= 64 && number("max-varying-vectors") >= 8);
    assert!(number("max-fragment-uniform-vectors") >= 16);
    // IEEE 754: a float of 32 bits has 23 bits of mantissa; GLSL ES 1.00 4.5.2 wants 16 of a highp, 10 of a mediump.
    let software = report["displays"][0]["driver"]["is_software"].as_bool().unwrap();
    let bits = number("fragment-highp-mantissa-bits");
    assert!(if software { bits == 23 } else { (16..=23).contains(&bits) }, "{facts}");
}

#[test]
fn a_machine_without_a_driver_is_a_skip() {
    let folder = common_folder("nothing");
    let board = folder.join("nothing.toml");
    std::fs::write(&board, "name = \"nothing\"\n[egl]\nlibraries = [\"libno-such-egl.so\"]\n").unwrap();
    let (status, report) = report(&["--board", board.to_str().unwrap(), "--display", "surfaceless"], &[]);
    assert_eq!(status, 77, "{report}");
    let rows = rows(&report);
    assert_eq!((rows[0].0.as_str(), rows[0].1.as_str()), ("open", "unsupported"));
    assert!(rows[0].2.contains("libno-such-egl.so"), "{rows:?}");
}

#[test]
fn a_board_file_is_written_and_read() {
    let path = common_folder("board").join("measured.toml");
    let arguments = [
        "--display",
        "surfaceless",
        "--only",
        "limits",
        "--only",
        "memory memfd",
        "--timeout",
        "120",
        "--write-board",
        path.to_str().unwrap(),
    ];
    let (_, report) = report(&arguments, &[]);
    if !has_driver(&rows(&report)) {
        return;
    }
    let board = Board::open(path.to_str().unwrap()).unwrap();
    let measured = board.measured.unwrap();
    assert_eq!(measured.by, "tests");
    let today = Command::new("date").args(["-u", "+%F"]).output().unwrap();
    assert_eq!(measured.date, String::from_utf8_lossy(&today.stdout).trim());
    assert!(measured.kernel.starts_with("Linux ") && measured.driver.starts_with("OpenGL ES "), "{measured:?}");
    assert!(board.limits.max_texture_size.is_some_and(|size| size >= 64));
    assert!(board.matches.gl_renderer.len() == 1, "{:?}", board.matches);
}

#[test]
fn tables_name_every_chapter() {
    let arguments = [
        "-q",
        "selftest",
        "--display",
        "surfaceless",
        "--only",
        "upload ABGR",
        "--only",
        "sync finish",
        "--only",
        "limits",
        "--timeout",
        "120",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_darkframe")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(77) {
        skip("gpu", "no display draws here");
        return;
    }
    for word in ["== surfaceless", "Copied into textures", "ABGR8888", "Fences", "Limits", " right, "] {
        assert!(text.contains(word), "no \"{word}\" in:\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours are for terminals");
}

fn common_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("selftest").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The board file of the lying driver, built where there is a compiler.
fn liar() -> Option<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let board = project.join("target/liar/liar.toml");
    let built = Command::new(project.join("tests/liar/build")).output();
    if !built.as_ref().is_ok_and(|output| output.status.success()) && !board.exists() {
        skip("liar", format!("the lying driver was not built: {built:?}"));
        return None;
    }
    Some(board.display().to_string())
}

/// Runs one lie against the cases that must find it.
fn lie(lie: &str, display: &str, only: &[&str]) -> Option<(i32, Vec<Row>)> {
    let board = liar()?;
    let mut arguments = vec!["--board", board.as_str(), "--display", display, "--timeout"];
    arguments.push(if lie == "hang" { "15" } else { "120" });
    for text in only {
        arguments.extend(["--only", *text]);
    }
    let (status, report) = report(&arguments, &[("LIAR", lie)]);
    let rows = rows(&report);
    has_driver_or_open(&rows).then_some((status, rows))
}

fn has_driver_or_open(rows: &[Row]) -> bool {
    let opened = rows.iter().any(|(name, result, ..)| name == "open" && result == "ok");
    if !opened {
        skip("gpu", format!("no display draws here: {rows:?}"));
    }
    opened
}

#[test]
fn the_liar_without_a_lie_is_the_driver() {
    let Some((status, rows)) = lie("", "surfaceless", &["upload ABGR8888", "readback read-pixels", "sync client-wait"])
    else {
        return;
    };
    assert_eq!(status, 0, "{rows:#?}");
    assert!(rows.iter().all(|row| row.1 == "ok"), "{rows:#?}");
}

#[test]
fn a_driver_that_swaps_channels_is_found() {
    let Some((status, rows)) = lie("swap-read", "surfaceless", &["upload ABGR8888", "readback read-pixels"]) else {
        return;
    };
    assert_eq!(status, 1);
    let read = result(&rows, "readback read-pixels");
    assert!(read.1 == "wrong" && read.2.contains("red and blue are exchanged"), "{read:?}");
    let upload = result(&rows, "upload ABGR8888 tight");
    assert!(upload.1 == "wrong" && upload.2.contains("ARGB8888"), "{upload:?}");
}

#[test]
fn a_driver_that_ignores_the_stride_is_found() {
    let Some((status, rows)) = lie("stride-upload", "surfaceless", &["upload ABGR8888"]) else { return };
    assert_eq!(status, 1);
    assert_eq!(result(&rows, "upload ABGR8888 tight").1, "ok");
    assert_eq!(result(&rows, "upload ABGR8888 padded").1, "wrong");
}

#[test]
fn a_crash_loses_only_its_own_case() {
    let only = ["upload ABGR8888", "upload RGB565", "upload R8 ", "readback read-pixels", "sync finish"];
    let Some((status, rows)) = lie("crash-upload", "surfaceless", &only) else { return };
    assert_eq!(status, 1);
    // Two uploads of each process are right, the third ends it; what follows goes on in another.
    let uploads: Vec<&str> = rows.iter().filter(|row| row.0.starts_with("upload ")).map(|row| row.1.as_str()).collect();
    assert_eq!(uploads, ["ok", "ok", "crash", "ok", "ok", "crash"], "{rows:#?}");
    assert!(rows.iter().any(|row| row.1 == "crash" && row.2.contains("SIGSEGV")));
    assert_eq!(result(&rows, "readback read-pixels").1, "ok");
    assert_eq!(result(&rows, "sync finish").1, "ok");
}

#[test]
fn a_hang_ends_after_its_time() {
    let Some((status, rows)) = lie("hang", "surfaceless", &["sync finish", "sync client-wait", "readback read-pixels"])
    else {
        return;
    };
    assert_eq!(status, 1);
    let wait = result(&rows, "sync client-wait");
    assert!(wait.1 == "hang" && wait.2.contains("15"), "{wait:?}");
    assert_eq!(result(&rows, "sync finish").1, "ok");
    assert_eq!(result(&rows, "readback read-pixels").1, "ok");
}

/// The first GBM display in the guest: virtio-gpu.
fn gbm() -> Option<String> {
    let device = darkframe::device::Device::open(&Board::generic()).unwrap();
    let node = device.nodes().iter().find(|node| node.driver() == "virtio_gpu" && !node.is_render());
    let name = node.map(|node| format!("gbm:{}", node.path().display()));
    if name.is_none() {
        skip("gpu", "no virtio-gpu: imports are tried in the virtual machine");
    }
    name
}

#[test]
fn lies_about_imports_are_found() {
    let Some(display) = gbm() else { return };
    let only = ["memory dumb(virtio_gpu) ABGR8888 LINEAR"];
    let Some((_, rows)) = lie("swap-import", &display, &only) else { return };
    let external = result(&rows, "memory dumb(virtio_gpu) ABGR8888 LINEAR external");
    assert!(external.1 == "wrong" && external.2.contains("read as those of ARGB8888"), "{external:?}");
    assert_eq!(result(&rows, "memory dumb(virtio_gpu) ABGR8888 LINEAR render").1, "wrong");

    let Some((_, rows)) = lie("stride-import", &display, &only) else { return };
    assert_eq!(result(&rows, "memory dumb(virtio_gpu) ABGR8888 LINEAR external").1, "wrong");

    let Some((_, rows)) = lie("crash-import", &display, &only) else { return };
    let results: Vec<&str> = rows.iter().filter(|row| row.0.starts_with(only[0])).map(|row| row.1.as_str()).collect();
    assert_eq!(results[..4], ["ok", "ok", "crash", "ok"], "{rows:#?}");
}

/// What `facts` of this driver are known appears by itself; and nothing else that is wrong.
#[test]
fn known_faults_appear_by_themselves() {
    let Some(display) = gbm() else { return };
    let heap = if std::path::Path::new("/dev/dma_heap/system").exists() { "dma-heap(system)" } else { "udmabuf" };
    let only = [
        "memory dumb(virtio_gpu)",
        &format!("memory {heap} ABGR8888 LINEAR external"),
        "yuv NV12",
        "yuv YUYV",
        "yuv Y210",
        "yuv NV15",
        "rgb ABGR8888",
        "rgb RGBA8888",
        "rgb RGB565",
        "sync ",
        "guard ",
        "placement ABGR8888",
        "readback ",
    ];
    let mut arguments = vec!["--display", display.as_str(), "--timeout", "120"];
    for text in &only {
        arguments.extend(["--only", *text]);
    }
    let (status, report) = report(&arguments, &[]);
    let rows = rows(&report);
    println!("{rows:#?}");
    assert_eq!(status, 0, "a fault that is not in the table: {:#?}", report["displays"]);
    let version = report["displays"][0]["driver"]["version"].as_str().unwrap();
    assert_eq!(result(&rows, "rgb ABGR8888 external").1, "ok");
    let dumb = result(&rows, "memory dumb(virtio_gpu) ABGR8888 LINEAR turns");
    assert_eq!(dumb.1, "ok", "{dumb:?}");
    let heap = result(&rows, &format!("memory {heap} ABGR8888 LINEAR external"));
    let nv12 = result(&rows, "yuv NV12 picture");
    if version.contains("Mesa 25.") {
        assert!(heap.1 == "refused" && heap.2.contains("EGL_BAD_ALLOC") && heap.3, "{heap:?}");
        assert!(nv12.1 == "refused" && nv12.3, "{nv12:?}");
        assert!(result(&rows, "yuv YUYV picture").2.contains("bt601 limited"));
    } else if version.contains("Mesa 26.") {
        assert_eq!(heap.1, "ok", "{heap:?}");
        assert!(nv12.2.contains("bt601 limited"), "{nv12:?}");
        assert!(result(&rows, "yuv NV15 picture").3 && result(&rows, "yuv Y210 picture").3);
        assert!(result(&rows, "guard too-small").3);
    }
    if demanded("dma-buf") {
        let pending = result(&rows, "sync native-fence-pending");
        assert!(pending.1 == "wrong" && pending.3, "{pending:?}");
    }
}

/// Mesa 25 on vgem: the import of foreign memory is taken, and the draw ends the process.
#[test]
fn a_real_crash_is_a_row() {
    let device = darkframe::device::Device::open(&Board::generic()).unwrap();
    let node = device.nodes().iter().find(|node| node.driver() == "vgem" && !node.is_render());
    let Some(node) = node else { return skip("gpu", "no vgem") };
    let display = format!("gbm:{}", node.path().display());
    let (_, report) =
        report(&["--display", &display, "--only", "memory udmabuf ABGR8888 LINEAR external", "--timeout", "120"], &[]);
    let rows = rows(&report);
    if report["displays"][0]["driver"]["version"].as_str().unwrap().contains("Mesa 25.") {
        let crash = result(&rows, "memory udmabuf ABGR8888 LINEAR external");
        assert!(crash.1 == "crash" && crash.2.contains("SIGSEGV") && crash.3, "{crash:?}");
    } else {
        assert_eq!(result(&rows, "memory udmabuf ABGR8888 LINEAR external").1, "ok");
    }
}
