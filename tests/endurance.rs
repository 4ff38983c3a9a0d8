//! A long run holds what it held after its first frames: no fd and no memory is left per frame.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use darkframe::error::ErrorKind;
use darkframe::pipeline::Description;
use darkframe::pipeline::runner::{self, Options, Progress};

/// Pattern to pass to nothing and to raw bytes in `/dev/null`: small, so that frames are many.
const PIPELINE: &str = "[source.camera]
pattern = \"gradient\"
size = \"32x32\"

[pass.grade]
shader = \"shaders/copy.frag\"
inputs = { source = \"camera\" }

[sink.null]
input = \"grade\"
kind = \"null\"

[sink.raw]
input = \"grade\"
file = \"/dev/null\"
kind = \"raw\"
";

/// Frames on a machine that is not emulated; 500 are enough to see a leak of one fd a frame.
const FRAMES: u64 = 20_000;
const FRAMES_IN_GUEST: u64 = 500;
const MEBIBYTE: u64 = 1 << 20;

/// Frames, and after how many of them nothing may grow any more.
const MANY: u64 = 100_000;
const FIRST: u64 = 100;

/// Three passes that the planner fuses and whose textures it shares, drawn a hundred thousand times.
const SMALL: &str = "[source.camera]
pattern = \"gradient\"
size = \"16x16\"

[pass.grade]
shader = \"shaders/copy.frag\"
inputs = { source = \"camera\" }

[pass.blur]
shader = \"shaders/blur.frag\"
inputs = { source = \"grade\" }
uniforms = { direction = [1, 0] }

[pass.sharp]
shader = \"shaders/unsharp.frag\"
inputs = { source = \"grade\", blurred = \"blur\" }
uniforms = { amount = 0.5 }

[sink.null]
input = \"sharp\"
kind = \"null\"
";

/// Each test counts what the process holds: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn thousands_of_frames_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let guest = std::env::var_os("DARKFRAME_VM").is_some();
    let frames = if guest { FRAMES_IN_GUEST } else { FRAMES };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/endurance.toml");
    let description = Description::parse(path, PIPELINE).unwrap();
    // (open fds, resident bytes) at each fifth of the way; looked at by the run itself, between frames.
    let seen: Arc<Mutex<BTreeMap<u64, (usize, u64)>>> = Arc::default();
    let progress = {
        let seen = seen.clone();
        move |progress: Progress| {
            if !progress.finished && progress.done.is_multiple_of(frames / 5) {
                seen.lock().unwrap().insert(progress.done, (common::open_fds(), resident_bytes()));
            }
        }
    };
    let options = Options {
        frames: Some(format!("0..{frames}").parse().unwrap()),
        progress: Some(Box::new(progress)),
        ..Options::default()
    };
    let started = Instant::now();
    let report = match runner::run(&description, options) {
        Ok(report) => report,
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {
            return common::skip("egl", error);
        }
        Err(error) => panic!("{error}"),
    };
    let seconds = started.elapsed().as_secs_f64();
    let edges: Vec<_> = report.sources.iter().chain(&report.sinks).map(|edge| edge.path.as_str()).collect();
    println!("{} frames in {seconds:.1} s, {edges:?}, {seen:?}", report.frames);
    assert_eq!(report.frames, frames);
    if common::demanded("zero-copy") {
        assert_eq!(edges, ["zero-copy"; 3]);
    }
    let seen = seen.lock().unwrap();
    let seen: Vec<(usize, u64)> = seen.values().copied().collect();
    assert_eq!(seen.len(), 5);
    // A driver's cache may still be at work after the first fifth: fewer is no leak.
    assert!(seen.windows(2).all(|pair| pair[1].0 <= pair[0].0), "{seen:?}");
    // What leaks grows in every fifth. The memory allocator may take a piece of 4 MiB once, and touch it bit by bit.
    let mut growth: Vec<u64> = seen.windows(2).map(|pair| pair[1].1.saturating_sub(pair[0].1)).collect();
    growth.sort_unstable();
    assert!(growth[0] + growth[1] < MEBIBYTE / 4, "grew by {growth:?} bytes");
    assert!(growth.iter().sum::<u64>() < 32 * MEBIBYTE, "grew by {growth:?} bytes");
    for sink in &report.sinks {
        assert_eq!(sink.pictures, frames);
    }
}

/// Memory files and dma-bufs that this process has open: the buffers of a run.
fn open_buffers() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let names = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    names.filter(|name| name.to_string_lossy().contains("memfd") || name.to_string_lossy().contains("dmabuf")).count()
}

#[test]
fn a_hundred_thousand_frames_hold_what_the_first_hundred_held() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Under an emulated CPU the shorter test has to do.
    if std::env::var_os("DARKFRAME_VM").is_some() {
        return;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/endurance.toml");
    let description = Description::parse(path, SMALL).unwrap();
    /// Frames, fds, buffers, resident bytes.
    type Sample = (u64, usize, usize, u64);
    let seen: Arc<Mutex<Vec<Sample>>> = Arc::default();
    let progress = {
        let seen = seen.clone();
        move |progress: Progress| {
            if !progress.finished && (progress.done == FIRST || progress.done.is_multiple_of(MANY / 5)) {
                let now = (progress.done, common::open_fds(), open_buffers(), resident_bytes());
                seen.lock().unwrap().push(now);
            }
        }
    };
    let options = Options {
        frames: Some(format!("0..{MANY}").parse().unwrap()),
        progress: Some(Box::new(progress)),
        ..Options::default()
    };
    let report = match runner::run(&description, options) {
        Ok(report) => report,
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {
            return common::skip("egl", error);
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!((report.frames, report.sinks[0].pictures), (MANY, MANY));
    let seen = seen.lock().unwrap();
    println!("{seen:?}");
    let (_, fds, buffers, bytes) = seen[0];
    assert_eq!(seen.len(), 6);
    for (frame, fds_now, buffers_now, bytes_now) in seen.iter().copied() {
        assert_eq!((fds_now, buffers_now), (fds, buffers), "after {frame} frames");
        assert!(bytes_now < bytes + 4 * MEBIBYTE, "{bytes} bytes after {FIRST} frames, {bytes_now} after {frame}");
    }
}
