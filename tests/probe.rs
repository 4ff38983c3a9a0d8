//! `darkframe probe`: one screen for a person, everything for machines, and both true.

mod common;

use std::process::Command;

use common::demanded;
use serde_json::Value;

fn probe(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_darkframe")).arg("probe").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn json_has_the_nodes_that_the_kernel_has() {
    let (ok, text, errors) = probe(&["--json"]);
    assert!(ok, "{errors}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let paths: Vec<&str> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["path"].as_str().unwrap()).collect();
    let mut there: Vec<String> = std::fs::read_dir("/dev/dri")
        .map(|entries| entries.flatten().map(|entry| entry.path().display().to_string()).collect())
        .unwrap_or_default();
    there.retain(|path| path.contains("/card") || path.contains("/renderD"));
    there.sort();
    assert_eq!(paths, there);
    let heaps: Vec<&str> =
        report["heaps"].as_array().unwrap().iter().map(|heap| heap["name"].as_str().unwrap()).collect();
    assert_eq!(!heaps.is_empty(), std::path::Path::new("/dev/dma_heap").exists());

    let displays = report["displays"].as_array().unwrap();
    let chosen = report["chosen"].as_u64().map(|index| &displays[index as usize]);
    if let Some(chosen) = chosen {
        assert!(chosen["gl"]["version"].as_str().unwrap().starts_with("OpenGL ES "), "{chosen}");
        assert!(chosen["egl_extensions"].as_array().unwrap().len() > 5);
    }
    if demanded("gpu") {
        let chosen = chosen.expect("a display is chosen where there is a driver");
        assert_eq!(chosen["dma_buf_import"], "modifiers");
        let nv12 = chosen["formats"].as_array().unwrap().iter().find(|format| format["name"] == "NV12").unwrap();
        assert_eq!(nv12["fourcc"], 0x3231_564e);
        assert_eq!(nv12["modifiers"][0][0], "LINEAR");
        // Native fences are there; the software rasteriser's are not safe (egl::faults).
        let software = chosen["gl"]["is_software"].as_bool().unwrap();
        assert_eq!(chosen["gl"]["fence_out"], if software { "client-wait" } else { "native-fence" });
    }
}

#[test]
fn text_is_one_screen() {
    let (ok, text, errors) = probe(&[]);
    assert!(ok, "{errors}");
    assert!(text.starts_with(&format!("darkframe {} on Linux ", env!("CARGO_PKG_VERSION"))), "{text}");
    for title in ["DRM nodes", "Allocators", "EGL displays"] {
        assert!(text.contains(title), "{text}");
    }
    let lines = text.lines().count();
    assert!(lines <= 50, "{lines} lines:\n{text}");
}

#[test]
fn an_unknown_board_is_an_error_with_the_nearest() {
    let (ok, _, errors) = probe(&["--board", "generik"]);
    assert!(!ok && errors.contains("did you mean generic?"), "{errors}");
}
