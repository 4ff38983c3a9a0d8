//! Cameras, codecs and video outputs on the kernel's own test devices: vivid, which draws a known picture with a counter,
//! and vicodec, a real codec. Needs a machine that has them (the guests of `tests/vm`), and root for what is unplugged.

mod common;

#[path = "v4l2/capture.rs"]
mod capture;
#[path = "v4l2/codec.rs"]
mod codec;
#[path = "v4l2/faults.rs"]
mod faults;
#[path = "v4l2/output.rs"]
mod output;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use darkframe::error::Result;
use darkframe::pipeline::description::Require;
use darkframe::pipeline::runner::{Options, run};
use darkframe::pipeline::{Description, Report};
use darkframe::v4l2::{Role, VideoDevice};

/// One device, one user.
pub(crate) fn alone() -> (MutexGuard<'static, ()>, std::fs::File) {
    static ALONE: Mutex<()> = Mutex::new(());
    (ALONE.lock().unwrap_or_else(PoisonError::into_inner), common::cameras())
}

/// The device, or a skip.
pub(crate) fn device(name: &str, role: Role) -> Option<VideoDevice> {
    let device = common::or_skip("v4l2", VideoDevice::find(Some(name), role))?;
    if role == Role::Capture {
        // A test that failed may have left another.
        device.select_connection(false, "0").unwrap();
    }
    Some(device)
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("df-v4l2-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn parse(folder: &Path, text: &str) -> Result<Description> {
    Description::parse(folder.join("pipeline.toml"), text.replace("@OUT", folder.to_str().unwrap()))
}

pub(crate) fn run_text(folder: &Path, text: &str, options: Options) -> Result<Report> {
    run(&parse(folder, text)?, options)
}

/// HDMI with the smallest of timings.
pub(crate) fn small_timings(device: &VideoDevice) {
    let path = device.path().display().to_string();
    let set = std::process::Command::new("v4l2-ctl").args(["-d", &path, "--set-dv-bt-timings", "index=0"]).status();
    assert!(set.unwrap().success(), "{path}");
}

/// As [`run_text`]; again, where the device left pictures out although it had buffers for them. vivid does where its own
/// thread is late by a whole picture, whoever waits for it: what the run does of itself is to be seen without that.
pub(crate) fn run_with_whole_pictures(folder: &Path, text: &str, options: impl Fn() -> Options) -> Result<Report> {
    let mut tries = 0..4;
    loop {
        let report = run_text(folder, text, options())?;
        let source = &report.sources[0];
        if source.lost == source.starved || tries.next().is_none() {
            return Ok(report);
        }
        println!("once more: {}", short(source));
    }
}

/// Zero-copy is asked for where this tier is known to have it.
pub(crate) fn require() -> Option<Require> {
    common::demanded("zero-copy").then_some(Require::ZeroCopy)
}

/// A source's or sink's edge in short: times have long insides.
pub(crate) fn short(edge: &darkframe::pipeline::report::Edge) -> String {
    format!(
        "{} {}: {} {} by {} ({} buffers, {} imports), {} pictures, {} lost, {} for want of a buffer, mean {:.0} ms, longest {:.0} ms, {:?} {:?}",
        edge.name,
        edge.picture,
        edge.path,
        edge.binding,
        edge.allocator,
        edge.buffers,
        edge.imports,
        edge.pictures,
        edge.lost,
        edge.starved,
        edge.intervals.mean_ms,
        edge.intervals.max_ms,
        edge.reason,
        edge.ended
    )
}
