//! A driver that crashes on import does not take the run with it.
//!
//! The crash is real: the software rasteriser of Mesa 25 goes through a null pointer at the first draw with memory of
//! another device on vgem (src/egl/faults.rs). `DARKFRAME_NO_FAULT_RULES` leaves out the rule that keeps imports from it.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use darkframe::board::Board;
use darkframe::device::Device;

const PIPELINE: &str = "[source.camera]
pattern = \"bars\"
size = \"64x48\"
frames = 3

[sink.out]
input = \"camera\"
kind = \"null\"
";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-crash-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("p.toml"), PIPELINE).unwrap();
        Self(path)
    }

    fn run(&self, more: &[&str], rules: bool) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        command.args(["run", "p.toml"]).args(more).current_dir(&self.0).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.0.join("cache"));
        if !rules {
            command.env("DARKFRAME_NO_FAULT_RULES", "1");
        }
        let output = command.output().unwrap();
        println!("{more:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        output
    }

    fn report(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn cache(&self) -> PathBuf {
        self.0.join("cache/darkframe/imports")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The node of vgem and a board file that has EGL draw there, in memory of udmabuf.
fn vgem(folder: &Folder) -> bool {
    let device = Device::open(&Board::generic()).unwrap();
    let node = device.nodes().iter().find(|node| node.driver() == "vgem" && !node.is_render());
    let (Some(node), true) = (node, Path::new("/dev/udmabuf").exists()) else {
        println!("SKIP crash on import: no vgem or no /dev/udmabuf here");
        return false;
    };
    let text = format!(
        "name = \"vgem\"\n[drm]\nrender = \"{}\"\n[egl]\nplatforms = [\"gbm\"]\n[allocate]\norder = [\"udmabuf\", \"memfd\"]\n",
        node.path().display()
    );
    std::fs::write(folder.0.join("vgem.toml"), text).unwrap();
    true
}

#[test]
fn a_crash_on_import_is_a_reason_to_copy() {
    let folder = Folder::new("run");
    if !vgem(&folder) {
        return;
    }
    let board = ["--board", "./vgem.toml"];
    let first = folder.run(&[&board[..], &["--report", "first.json"]].concat(), false);
    assert_eq!(first.status.code(), Some(0));
    let crashed = std::env::var("DARKFRAME_VM").is_ok_and(|guest| guest == "trixie");
    let report = folder.report("first.json");
    assert_eq!(report.contains("CRASH: SIGSEGV in import of ABGR8888 64x48 from udmabuf as "), crashed, "{report}");
    assert!(report.contains("\"frames\": 3"), "{report}");
    let cache = std::fs::read_to_string(folder.cache()).unwrap();
    assert_eq!(cache.contains("SIGSEGV\timport of ABGR8888 64x64 from udmabuf as "), crashed, "{cache}");

    // The next start knows it.
    let second = folder.run(&[&board[..], &["--report", "second.json"]].concat(), false);
    assert_eq!(second.status.code(), Some(0));
    assert_eq!(folder.report("second.json").contains("known from "), crashed);
    assert_eq!(std::fs::read_to_string(folder.cache()).unwrap(), cache);

    // Where zero-copy is required, the crash is the error's reason.
    let bound = folder.run(&[&board[..], &["--require", "zero-copy"]].concat(), false);
    let text = String::from_utf8_lossy(&bound.stderr).into_owned();
    assert_eq!(bound.status.code(), Some(i32::from(crashed)), "{text}");
    assert_eq!(text.contains("require zero-copy: camera would be copied"), crashed, "{text}");
    assert_eq!(text.contains("CRASH: SIGSEGV"), crashed, "{text}");

    // A broken cache is as good as none.
    std::fs::write(folder.cache(), [0, 255, b'\n', b'o', b'k']).unwrap();
    assert_eq!(folder.run(&board, false).status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(folder.cache()).unwrap(), cache);
}

/// With the rules in place the driver is not even asked; a proved way is remembered, and used.
#[test]
fn a_proved_way_is_used() {
    let folder = Folder::new("proved");
    let device = Device::open(&Board::generic()).unwrap();
    if device.nodes().is_empty() {
        let output = folder.run(&[], true);
        assert_eq!(output.status.code(), Some(0));
        assert!(!folder.cache().exists(), "nothing was to be proved");
        return common::skip("zero-copy", "no DRM node");
    }
    for _ in 0..2 {
        let output = folder.run(&["--report", "r.json", "--require", "zero-copy"], true);
        if output.status.code() == Some(1) && !common::demanded("zero-copy") {
            return common::skip("zero-copy", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(output.status.code(), Some(0));
        assert!(std::fs::read_to_string(folder.cache()).unwrap().contains("ok\timport of ABGR8888 64x64 from "));
    }
}
