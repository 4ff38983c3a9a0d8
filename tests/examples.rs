//! The examples run, and print what is so.

use std::path::PathBuf;
use std::process::Command;

/// The example beside this test's binary: `cargo test` builds both.
fn example(name: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let folder: PathBuf = test.parent().unwrap().parent().unwrap().join("examples");
    let output = Command::new(folder.join(name)).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn allocate_gives_an_encoders_nv12() {
    let text = example("allocate");
    // 1080 rows padded to 1088, chroma behind them with the luma stride: what an H.264 encoder of whole macroblocks reads.
    let layout = format!("NV12 1920x1080 LINEAR [0+1920, {}+1920]", 1920 * 1088);
    assert!(text.lines().any(|line| line.starts_with("memfd") && line.ends_with(&layout)), "{text}");
    assert!(text.contains("this board's choice: "), "{text}");
}

#[test]
fn render_has_its_bottom_right_where_it_should_be() {
    // df_uv is (255.5 / 256, 127.5 / 128) there: 254.502 and 254.004 of 255; a half is 127.5, rounded up or down.
    let text = example("render");
    let ends = ["[255, 254, 128, 255]", "[255, 254, 127, 255]"];
    assert!(ends.iter().any(|end| text.trim_end().ends_with(end)), "{text}");
}

#[test]
fn hand_on_reaches_the_child_and_back() {
    let text = example("hand_on");
    assert!(text.contains("wrote [72, 105, 33, 255]"), "{text}");
}
