//! The examples run, and print what is so.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use darkframe::pipeline::Description;

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

/// A pipeline's file for a sink, as its first frame names it.
fn first_file(pattern: &str) -> String {
    match pattern.split_once("%04d") {
        Some((before, after)) => format!("{before}0000{after}"),
        None => pattern.to_owned(),
    }
}

/// The planes of the shipped clip as NV12, which one example reads.
fn nv12_clip(to: &Path) {
    let clip = std::fs::File::open(project("examples/media/clip.y4m")).unwrap();
    let mut clip = y4m::decode(std::io::BufReader::new(clip)).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let frame = clip.read_frame().unwrap();
        bytes.extend(frame.get_y_plane());
        bytes.extend(frame.get_u_plane().iter().zip(frame.get_v_plane()).flat_map(|(u, v)| [*u, *v]));
    }
    std::fs::write(to, bytes).unwrap();
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_pipeline_runs_and_leaves_pictures() {
    let folder = std::env::temp_dir().join(format!("darkframe-examples-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // What two of them read is made by scripts, too large to be shipped.
    let (nv12, dataset) = (folder.join("clip.nv12"), folder.join("dataset.rgba"));
    nv12_clip(&nv12);
    std::fs::write(&dataset, (0..3 * 64 * 64 * 4).map(|i| (i * 37 % 251) as u8).collect::<Vec<u8>>()).unwrap();
    let mut ran = 0;
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(project("examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // tests/pipewire.rs runs it beside a daemon, in a build that has PipeWire; tests/gstreamer.rs and tests/wgpu.rs the others.
        if matches!(name, "pipewire.toml" | "gstreamer.toml" | "halation.toml") {
            continue;
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        let path = match name {
            // Of a guest's cards the one whose pictures go nowhere.
            "kms.toml" if std::env::var_os("DARKFRAME_VM").is_some() => {
                let text = std::fs::read_to_string(path).unwrap();
                let text = text.replace("media/clip.y4m", project("examples/media/clip.y4m").to_str().unwrap());
                let text = text.replace("../shaders", project("shaders").to_str().unwrap());
                let vkms = folder.join("vkms.toml");
                std::fs::write(&vkms, text + "device = \"vkms\"\n").unwrap();
                vkms
            }
            _ => path.clone(),
        };
        let path = path.as_path();
        command.current_dir(&folder).args(["run", "-q"]).arg(path);
        match name {
            "raw-nv12.toml" => command.arg("--set").arg(format!("source.camera.file={}", nv12.display())),
            "augment.toml" => command.arg("--set").arg(format!("source.dataset.file={}", dataset.display())),
            _ => &mut command,
        };
        // An emulated processor is slow, and some pipelines have no end: they write to standard output.
        if std::env::var_os("DARKFRAME_VM").is_some() {
            command.args(["--frames", "0..1"]);
        } else if name == "live.toml" {
            command.args(["--frames", "0..3"]);
        }
        // What it takes frames from: another example.
        let camera = (name == "chain.toml").then(|| {
            let text = std::fs::read_to_string(project("examples/serve.toml")).unwrap();
            let clip = project("examples/media/clip.y4m").display().to_string();
            let text = text.replace("media/clip.y4m", &clip).replace("@darkframe-example", "@darkframe-camera");
            std::fs::write(folder.join("camera.toml"), text + "wait-for = 1\n").unwrap();
            let mut camera = Command::new(env!("CARGO_BIN_EXE_darkframe"));
            camera.args(["run", "-q"]).arg(folder.join("camera.toml")).spawn().unwrap()
        });
        let _cameras = matches!(name, "camera.toml" | "record.toml").then(common::cameras);
        let _screens = (name == "kms.toml").then(common::screens);
        let output = command.output().unwrap();
        if let Some(mut camera) = camera {
            // A run that ended first has no more use for it.
            let _ = camera.kill();
            camera.wait().unwrap();
        }
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("libEGL") && said.contains("not found") {
            println!("SKIP {name}: {said}");
            continue;
        }
        // What no machine of the tests has: an encoder of H.264; and what only some have.
        let nowhere = ["no encoder of this machine"];
        let elsewhere = ["this machine has no", "no screen is connected"];
        let is_guest = std::env::var_os("DARKFRAME_VM").is_some();
        let absent = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let skipped = match name {
            "record.toml" => absent(&nowhere) || (!is_guest && absent(&elsewhere)),
            "camera.toml" | "encode.toml" | "kms.toml" => !is_guest && absent(&elsewhere),
            _ => false,
        };
        if skipped {
            println!("SKIP {name}: {said}");
            continue;
        }
        assert!(output.status.success(), "{name}: {}\n{said}", output.status);
        let description = Description::open(path).unwrap();
        for (sink, keys) in &description.sinks {
            let Some(file) = &keys.file else { continue };
            if file.get_ref() == Path::new("-") {
                assert!(output.stdout.len() > 1000, "{name}, {sink}: {} bytes", output.stdout.len());
                continue;
            }
            let file = folder.join(first_file(file.get_ref().to_str().unwrap()));
            let bytes = std::fs::metadata(&file).unwrap_or_else(|error| panic!("{name}, {sink}: {error}")).len();
            assert!(bytes > 1000, "{name}, {sink}: {bytes} bytes in {}", file.display());
            if file.extension().is_some_and(|extension| extension == "png" || extension == "jpg") {
                let picture = image::open(&file).unwrap_or_else(|error| panic!("{name}, {sink}: {error}")).into_rgb8();
                let colors: std::collections::HashSet<_> = picture.pixels().map(|pixel| pixel.0).collect();
                // The kernel's own camera draws eight bars.
                let least = if name == "camera.toml" { 8 } else { 50 };
                assert!(colors.len() >= least, "{name}, {sink}: {} colours", colors.len());
            }
        }
        ran += 1;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(ran >= 12, "{ran} pipelines ran");
}
