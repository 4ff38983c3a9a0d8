//! `darkframe doctor`: rules on every machine, replays where a driver imports dma-bufs.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::skip;
use darkframe::board::Board;

/// Exit code, standard output, standard error.
fn doctor(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_darkframe"))
        .args(["-q", "doctor", "--timeout", "120"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that ends at its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const LINE: &str = "eglCreateImage: NV12 320x240 LINEAR, modifier LINEAR, plane 0 offset_bytes 0 stride_bytes 320, plane 1 \
                    offset_bytes 76832 stride_bytes 320: EGL_BAD_ALLOC (0x3003)";

#[test]
fn a_line_of_ours_is_explained_for_another_board() {
    let wanted = "lima: plane 1 offset_bytes 76832 is not a multiple of 64; use 76864";
    let arguments = ["--driver", "lima", "--display", "surfaceless"];
    let (_, out, errors) = doctor(&[&arguments[..], &[LINE]].concat(), "");
    assert!(out.contains(wanted), "{out}{errors}");
    let (_, out, errors) =
        doctor(&[&arguments[..], &["-"]].concat(), &format!("one line\ndarkframe: error: {LINE}; words\n"));
    assert!(out.contains(wanted), "{out}{errors}");
    let numbers = ["--format", "NV12", "--size", "320x240", "--plane", "0:320", "--plane", "76832:320"];
    let (_, out, errors) = doctor(&[&arguments[..], &numbers].concat(), "");
    assert!(out.contains(wanted), "{out}{errors}");
}

#[test]
fn what_is_no_import_is_an_error_that_says_what_is() {
    let (code, _, errors) = doctor(&["it does not work"], "");
    assert!(code != 0 && errors.contains("offset_bytes"), "{errors}");
    let (code, _, errors) = doctor(&["--format", "NV21x", "--size", "64x64", "--plane", "0:64"], "");
    assert!(code != 0 && errors.contains("did you mean NV21?"), "{errors}");
    let (code, _, errors) = doctor(&["--format", "NV12", "--size", "64x64", "--plane", "0:32", "--plane", "9:64"], "");
    assert!(code != 0 && errors.contains("stride_bytes 32 is shorter than a row"), "{errors}");
    let (code, _, errors) = doctor(&["--format", "R8", "--size", "64x64", "--plane", "64"], "");
    assert!(code != 0 && errors.contains("OFFSET:STRIDE"), "{errors}");
}

/// Reports of users on a driver that we can run: what it refuses, what it takes instead.
#[test]
fn imports_are_replayed() {
    let device = darkframe::device::Device::open(&Board::generic()).unwrap();
    let node = device.nodes().iter().find(|node| node.driver() == "virtio_gpu" && !node.is_render());
    let Some(node) = node else { return skip("gpu", "no virtio-gpu: imports are replayed in the virtual machine") };
    let display = format!("gbm:{}", node.path().display());
    let (code, out, errors) = doctor(&["--display", &display, LINE], "");
    println!("{out}");
    let result = |what: &str| {
        let line = out.lines().find(|line| line.trim_start().starts_with(what));
        line.unwrap_or_else(|| panic!("no \"{what}\" in {out}{errors}")).to_owned()
    };
    if out.contains("Mesa 25.") {
        // Every picture of more than one plane is refused there, whatever is changed; packed ones are taken.
        assert_eq!(code, 1, "{out}{errors}");
        assert!(result("as it is").contains("EGL_BAD_ALLOC"));
        assert!(result("offsets multiples of 64").contains("EGL_BAD_ALLOC"));
        assert!(result("as YUYV").ends_with(" ok"), "{out}");
        assert!(result("what helps").contains("as YUYV"));
    } else {
        assert_eq!(code, 0, "{out}{errors}");
        assert!(result("as it is").ends_with(" ok"), "{out}");
    }
    // RGBA8888, the name on the vendor's page: nobody lists it; its sibling works.
    let numbers = ["--format", "RGBA8888", "--size", "64x64", "--plane", "0:256"];
    let (code, out, errors) = doctor(&[&["--display", display.as_str()][..], &numbers].concat(), "");
    println!("{out}");
    assert!(out.contains("GL_RGBA's bytes are those of ABGR8888"), "{out}{errors}");
    let taken = out.lines().any(|line| line.trim_start().starts_with("as ABGR8888") && line.ends_with(" ok"));
    assert!(taken && (code == 1 || out.contains("Mesa 26.")), "{code}: {out}{errors}");
}
