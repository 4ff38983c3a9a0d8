//! GStreamer's `pipewiresrc` and `pipewiresink` at the other end.

use std::process::{Child, Stdio};

use darkframe::share::pipewire::{Input, Output};
use darkframe::share::unixfd::server::WhenFull;

use super::*;

fn has_elements() -> bool {
    let mut command = std::process::Command::new("gst-inspect-1.0");
    let found = command.arg("pipewiresrc").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        common::skip("gstreamer", "gst-inspect-1.0 finds no pipewiresrc (package gstreamer1.0-pipewire)");
    }
    found
}

/// From PipeWire 1.2 on `pipewiresrc` asks that no cycle waits for it: it misses frames that come faster than it runs, and what
/// it gets is not what this compares.
fn waits(daemon: &Daemon) -> bool {
    let waits = daemon.version() < (1, 2);
    if !waits {
        common::skip("pipewiresrc", "that of PipeWire 1.2 and later misses frames");
    }
    waits
}

fn launch(daemon: &Daemon, pipeline: &str) -> Child {
    daemon.command("gst-launch-1.0").arg("-q").args(pipeline.split_whitespace()).spawn().unwrap()
}

#[track_caller]
fn succeeds(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

const FRAMES: u64 = 300;

fn source(name: &str) -> String {
    format!("pipewiresrc client-name={name} stream-properties=props,node.name={name}")
}

/// What `pipewiresrc` writes to a file is every frame from the first on, in order, to the byte; then one that is killed gives
/// everything back. `begins` is where each plane begins in a frame of the file.
fn takes(daemon: &Daemon, circle: &Circle, begins: &[u64], dma_bufs: bool) {
    let layout = circle.memories[0].layout().clone();
    let fourcc = layout.fourcc;
    let (name, reader) = (format!("df.{fourcc}"), format!("gst-{fourcc}"));
    let options = output::Options {
        remote: daemon.remote(),
        rate: Some((25, 1)),
        when_full: WhenFull::Wait,
        patience: LONG,
        ..output::Options::new(&name)
    };
    let output = Output::open(options, circle.memories.clone()).unwrap();
    let file = daemon.folder.join(format!("{fourcc}.raw"));
    // Buffered, `filesink` holds on to 64 KiB of frames, more than the node lets anybody hold: both would wait.
    let sink = format!("num-buffers={FRAMES} ! filesink buffer-mode=unbuffered location={}", file.display());
    let taking = launch(daemon, &format!("{} {sink}", source(&reader)));
    daemon.link(&name, &reader);
    output.wait_for_consumer(LONG).unwrap();
    assert_eq!(output.status().shares_dma_bufs, dma_bufs);
    // It takes as many as it was told to, and goes.
    let mut number = 0;
    while circle.send(&output, number) {
        number += 1;
        assert!(number < 10 * FRAMES, "nobody goes");
    }
    succeeds(taking);
    let bytes = std::fs::read(&file).unwrap();
    let whole = bytes.len() / FRAMES as usize;
    assert_eq!(bytes.len(), whole * FRAMES as usize);
    for (number, frame) in (0..).zip(bytes.chunks(whole)) {
        for (plane, at) in layout.planes().iter().enumerate() {
            for row in 0..layout.rows(plane) {
                let start = begins[plane] as usize + at.stride_bytes as usize * row as usize;
                for column in 0..layout.row_bytes(plane) as usize {
                    let expected = byte(number, plane, row, column);
                    let got = frame[start + column];
                    assert_eq!(got, expected, "{fourcc} frame {number}, plane {plane}, row {row}, byte {column}");
                }
            }
        }
    }
    eventually("everything comes back", || circle.count_free() == circle.memories.len());

    let killed = format!("{reader}-killed");
    let mut taking = launch(daemon, &format!("{} ! fakesink", source(&killed)));
    daemon.link(&name, &killed);
    output.wait_for_consumer(LONG).unwrap();
    for number in 0..20 {
        assert!(circle.send(&output, number));
    }
    taking.kill().unwrap();
    taking.wait().unwrap();
    eventually("the node notices", || !output.status().streaming);
    eventually("everything comes back", || circle.count_free() == circle.memories.len());
}

#[test]
fn pipewiresrc_takes_numbered_frames() {
    let Some(daemon) = Daemon::start("gst-src") else { return };
    if !has_elements() || !waits(&daemon) {
        return;
    }
    for fourcc in [Fourcc::ABGR8888, Fourcc::NV12] {
        let circle = Circle::files(fourcc, Size::new(64, 48), MEMORIES);
        let layout = darkframe::share::unixfd::video_format::default_layout(fourcc, Size::new(64, 48)).unwrap();
        let begins: Vec<u64> = layout.planes().iter().map(|plane| plane.offset_bytes).collect();
        takes(&daemon, &circle, &begins, false);
    }
}

/// GStreamer 1.24 and later agrees on a modifier and gets the dma-bufs themselves.
#[test]
fn pipewiresrc_takes_dma_bufs() {
    let Some(daemon) = Daemon::start("gst-dma") else { return };
    if !has_elements() || !waits(&daemon) {
        return;
    }
    for fourcc in [Fourcc::ABGR8888, Fourcc::NV12] {
        let Some((_, circle)) = dma_bufs(fourcc) else { return };
        // Each plane is a memory of its own, up to its last sample.
        let layout = circle.memories[0].layout();
        let bytes = |plane: usize| layout.plane_end(plane).unwrap() - layout.planes()[plane].offset_bytes;
        let begins: Vec<u64> = (0..layout.planes().len()).map(|plane| (0..plane).map(bytes).sum()).collect();
        takes(&daemon, &circle, &begins, true);
    }
}

/// What `pipewiresink` gives is what the same pipeline writes to a file.
#[test]
fn pipewiresink_feeds_us() {
    let Some(daemon) = Daemon::start("gst-sink") else { return };
    if !has_elements() {
        return;
    }
    const FRAMES: usize = 30;
    let (width, height) = (64, 48);
    for (format, fourcc) in [("RGBA", Fourcc::ABGR8888), ("I420", Fourcc::YUV420)] {
        let caps = format!("video/x-raw,format={format},width={width},height={height},framerate=25/1");
        let pattern = format!("videotestsrc pattern=ball is-live=true ! {caps}");
        let file = daemon.folder.join(format!("{format}.raw"));
        succeeds(launch(
            &daemon,
            &format!(
                "videotestsrc pattern=ball num-buffers={} ! {caps} ! filesink location={}",
                FRAMES * 10,
                file.display()
            ),
        ));
        let expected = std::fs::read(&file).unwrap();
        let whole = expected.len() / (FRAMES * 10);
        let node = format!("gst-{format}");
        let mut writer = launch(
            &daemon,
            &format!(
                "{pattern} ! pipewiresink mode=provide sync=false client-name={node} stream-properties=props,node.name={node}"
            ),
        );
        let ours = format!("df.{format}");
        let mut input = Input::open(input::Options { remote: daemon.remote(), ..input::Options::new(&ours) }).unwrap();
        daemon.link(&node, &ours);
        let picture = input.wait_for_picture(LONG).unwrap().unwrap();
        assert_eq!((picture.fourcc, picture.size), (fourcc, Size::new(width, height)));
        let mut last = None;
        for _ in 0..FRAMES {
            let received = next(&mut input);
            let map = received.frame.buffer.map(Access::Read).unwrap();
            let layout = received.frame.buffer.layout();
            // Live, it gives what it has: which frame it is is told by its pixels.
            let is = |frame: &[u8]| {
                let own = darkframe::share::unixfd::video_format::default_layout(fourcc, picture.size).unwrap();
                own.planes().iter().enumerate().all(|(plane, at)| {
                    (0..own.rows(plane)).all(|row| {
                        let start = at.offset_bytes as usize + at.stride_bytes as usize * row as usize;
                        let bytes = own.row_bytes(plane) as usize;
                        map.row(plane, row)[..bytes] == frame[start..start + bytes]
                    })
                })
            };
            let found = expected.chunks(whole).position(is);
            let found = found.unwrap_or_else(|| panic!("a frame that GStreamer did not make: {layout}"));
            assert!(last.is_none_or(|last| found > last), "frame {found} after {last:?}");
            last = Some(found);
        }
        let _ = writer.kill();
        let _ = writer.wait();
        eventually("the end", || matches!(input.next(Duration::from_millis(100)), Ok(input::Event::End)));
    }
}
