//! What happens to a run when the device does not do its part: unplugged, starved, changed, too fast.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use darkframe::pipeline::runner::Progress;
use darkframe::v4l2::Value;

use super::capture::options;
use super::*;

fn text(keys: &str) -> String {
    format!(
        "[source.camera]\nkind = \"v4l2\"\ndevice = \"platform:vivid-000\"\n{keys}\n\
         [sink.out]\ninput = \"camera\"\nfile = \"@OUT/out.rgba\"\n[sink.pictures]\ninput = \"camera\"\nfile = \"@OUT/%03d.png\"\n"
    )
}

/// Does something to the device, once, when so many frames were made.
fn when(frames: u64, act: impl Fn() + Send + 'static) -> Options {
    let done = AtomicBool::new(false);
    let progress = move |progress: Progress| {
        if progress.done >= frames && !done.swap(true, Ordering::Relaxed) {
            act();
        }
    };
    Options { progress: Some(Box::new(progress)), ..options(1000) }
}

/// What came before the end is whole, in every sink.
fn check_kept(folder: &Path, report: &Report, size: usize, words: &str) {
    let ended = report.sources[0].ended.as_deref().unwrap_or("nothing");
    assert!(ended.contains(words), "expected \"{words}\": {ended}");
    assert!((5..900).contains(&report.frames), "{}", report.frames);
    let bytes = std::fs::metadata(folder.join("out.rgba")).unwrap().len();
    assert_eq!(bytes, report.frames * size as u64);
    let pictures = std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".png"));
    assert_eq!(pictures.count() as u64, report.frames);
}

#[test]
fn starved() {
    let _alone = alone();
    let Some(device) = device("platform:vivid-000", Role::Capture) else { return };
    let folder = folder("starved");
    let set = |value| device.set_control("percentage_of_dropped_buffers", &Value::Number(value), true).unwrap();
    let other = device.clone();
    let starve = move || {
        other.set_control("percentage_of_dropped_buffers", &Value::Number(100), true).unwrap();
    };
    let keys = "size = \"320x180\"\nrate = 10\ntimeout = 1.5";
    let report = run_text(&folder, &text(keys), when(5, starve));
    let report = report.inspect_err(|_| set(0)).unwrap();
    check_kept(&folder, &report, 320 * 180 * 4, "no picture for 1.5s");
    // Before the first picture it is an error.
    let error = run_text(&folder, &text(keys), options(10)).unwrap_err();
    set(0);
    assert!(error.to_string().contains("before the first picture"), "{error}");
    assert_eq!(error.kind(), darkframe::error::ErrorKind::Timeout);
    // And the device works again.
    let report = run_text(&folder, &text(keys), options(3)).unwrap();
    assert_eq!(report.frames, 3);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_signal_changes() {
    let _alone = alone();
    let Some(device) = device("platform:vivid-000", Role::Capture) else { return };
    let folder = folder("changed");
    let other = device.clone();
    let change = move || {
        other.set_control("dv_timings_signal_mode", &Value::Text("No Signal".into()), true).unwrap();
    };
    device.select_connection(false, "3").unwrap();
    small_timings(&device);
    // HDMI has what its timings say, not what is asked for.
    let result = run_text(&folder, &text("input = \"3\"\nformat = \"YUYV\"\ntimeout = 10"), when(5, change));
    device.set_control("dv_timings_signal_mode", &Value::Number(0), true).unwrap();
    device.select_connection(false, "0").unwrap();
    let report = result.unwrap();
    let picture = &report.sources[0].picture;
    let size: darkframe::layout::Size = picture.split(' ').nth(1).unwrap().parse().unwrap();
    check_kept(&folder, &report, size.pixels() as usize * 4, "V4L2_EVENT_SOURCE_CHANGE");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A run that is slower than the camera: gaps are counted, nothing is torn, nothing piles up.
#[test]
fn slower_than_the_camera() {
    let _alone = alone();
    if device("platform:vivid-000", Role::Capture).is_none() {
        return;
    }
    let folder = folder("slow");
    let progress = |_: Progress| std::thread::sleep(Duration::from_millis(400));
    let options = Options { progress: Some(Box::new(progress)), ..options(12) };
    let keys = "size = \"320x180\"\nrate = 15\nbuffers = 4";
    let report = run_text(&folder, &text(keys), options).unwrap();
    let source = &report.sources[0];
    assert_eq!((report.frames, source.pictures), (12, 12));
    assert!(source.starved >= 10 && source.lost >= source.starved && source.ended.is_none(), "{}", short(source));
    assert!(source.buffers <= 8, "{}", short(source));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Two at a time: the second is told why.
#[test]
fn somebody_else_is_streaming() {
    let _alone = alone();
    if device("platform:vivid-000", Role::Capture).is_none() {
        return;
    }
    let folder = folder("busy");
    let stop = Arc::new(AtomicBool::new(false));
    let started = Arc::new(AtomicBool::new(false));
    let keys = "size = \"320x180\"\nrate = 10";
    std::thread::scope(|scope| {
        let (flag, seen, path) = (stop.clone(), started.clone(), folder.join("first"));
        let first = scope.spawn(move || {
            let progress = move |_: Progress| seen.store(true, Ordering::Relaxed);
            run_text(&path, &text(keys), Options { stop: flag, progress: Some(Box::new(progress)), ..options(1000) })
        });
        while !started.load(Ordering::Relaxed) && !first.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let error = run_text(&folder.join("second"), &text(keys), options(3)).unwrap_err();
        stop.store(true, Ordering::Relaxed);
        assert!(error.to_string().contains("somebody else"), "{error}");
        assert!(first.join().unwrap().unwrap().frames > 0);
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Last by its name: the device is gone afterwards, until the module is loaded again.
#[test]
fn unplugged() {
    let _alone = alone();
    let Some(device) = device("platform:vivid-000", Role::Capture) else { return };
    let folder = folder("unplugged");
    let fds = common::open_fds();
    let unplug = move || device.set_control("disconnect", &Value::Number(1), true).unwrap();
    let report = run_text(&folder, &text("size = \"320x180\"\nrate = 10"), when(5, unplug)).unwrap();
    check_kept(&folder, &report, 320 * 180 * 4, "the device went away");
    assert!(common::open_fds() <= fds, "{} fds before, {} after", fds, common::open_fds());
    // Whoever comes after needs it.
    let load =
        |arguments: &[&str]| Command::new("modprobe").args(arguments).status().is_ok_and(|status| status.success());
    assert!(load(&["-r", "vivid"]) && load(&["vivid", "n_devs=2", "multiplanar=1,2"]), "vivid was not loaded again");
    std::fs::remove_dir_all(&folder).unwrap();
}
