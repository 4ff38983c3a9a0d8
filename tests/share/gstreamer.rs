//! The same with GStreamer at the other end, as `gst-launch-1.0` starts it; skipped where it has no unixfd.

use std::process::{Child, Command, Stdio};

use darkframe::layout::PlaneLayout;
use darkframe::share::unixfd::video_format;

use super::*;

/// Numbered frames each way.
const FRAMES: u64 = 10_000;

fn has_unixfd() -> bool {
    let found = Command::new("gst-inspect-1.0").arg("unixfdsrc").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        common::skip("gstreamer", "gst-inspect-1.0 finds no unixfdsrc (gstreamer1.0-plugins-bad 1.24 and later)");
    }
    found
}

fn launch(pipeline: &str) -> Child {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The bytes of a frame as GStreamer writes it to a file.
fn tight(number: u64, fourcc: Fourcc, size: Size, plane_of: impl Fn(usize, usize) -> (usize, usize)) -> Vec<u8> {
    let layout = video_format::default_layout(fourcc, size).unwrap();
    let mut bytes = Vec::new();
    for (index, PlaneLayout { offset_bytes, stride_bytes }) in layout.planes().iter().enumerate() {
        bytes.resize(*offset_bytes as usize, 0);
        for row in 0..layout.rows(index) {
            let start = bytes.len();
            for column in 0..layout.row_bytes(index) as usize {
                let (plane, column) = plane_of(index, column);
                bytes.push(byte(number, plane, row, column));
            }
            bytes.resize(start + *stride_bytes as usize, 0);
        }
    }
    bytes
}

/// A frame of a file against the numbers, padding left out.
#[track_caller]
fn compare(file: &[u8], expected: &[u8], number: u64, fourcc: Fourcc, size: Size) {
    let layout = video_format::default_layout(fourcc, size).unwrap();
    for (index, plane) in layout.planes().iter().enumerate() {
        for row in 0..layout.rows(index) {
            let start = plane.offset_bytes as usize + plane.stride_bytes as usize * row as usize;
            let row_bytes = start..start + layout.row_bytes(index) as usize;
            assert_eq!(file[row_bytes.clone()], expected[row_bytes], "frame {number}, plane {index}, row {row}");
        }
    }
}

fn to_gstreamer(pool: &Pool, options: server::Options, frames: u64, to: (&str, Fourcc)) {
    let (path, address) = socket("to-gst");
    let file = path.with_extension("raw");
    let server = Server::bind(&address, options).unwrap();
    // Nobody is there yet: the late joiner gets the caps all the same.
    server.send(numbered(acquire(pool), 0)).unwrap();
    let child = launch(&format!(
        "unixfdsrc socket-path={} ! videoconvert ! video/x-raw,format={} ! filesink location={}",
        path.display(),
        to.0,
        file.display()
    ));
    server.wait_for_clients(1, LONG).unwrap();
    let (mut size, mut fourcc, mut padded, mut fds) = (Size::new(1, 1), Fourcc::R8, false, 0);
    for number in 1..=frames {
        let buffer = acquire(pool);
        (size, fourcc) = (buffer.size(), buffer.fourcc());
        padded = buffer.layout().planes() != video_format::default_layout(fourcc, size).unwrap().planes();
        let sent = server.send(numbered(buffer, number)).unwrap();
        assert_eq!((sent.clients, sent.dropped), (1, 0), "frame {number}: {:?}", server.departures());
        if number == 50 {
            fds = common::open_fds();
        }
    }
    assert!(common::open_fds() <= fds + 4, "{fds} fds at frame 50, {} at the end", common::open_fds());
    server.finish(LONG);
    succeeds(child);
    let written = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let frame_bytes = tight(0, to.1, size, |plane, column| (plane, column)).len();
    let rounded = written.len() as u64 / frames;
    assert_eq!(written.len() as u64 % frames, 0, "{} bytes", written.len());
    assert_eq!(rounded, frame_bytes as u64);
    for number in 1..=frames {
        let start = ((number - 1) * rounded) as usize;
        let got = &written[start..start + rounded as usize];
        let expected = tight(number, to.1, size, |plane, column| match (fourcc, to.1) {
            // Bytes R, G, B, A become B, G, R, A.
            (Fourcc::ABGR8888, Fourcc::ARGB8888) => (plane, column - column % 4 + [2, 1, 0, 3][column % 4]),
            // Pairs of chroma become planes.
            (Fourcc::NV12, Fourcc::YUV420) if plane > 0 => (1, 2 * column + plane - 1),
            _ => (plane, column),
        });
        // unixfdsrc 1.26 drops the GstVideoMeta of its first frame: nothing in its process has registered it by then.
        if !(padded && number == 1) {
            compare(got, &expected, number, to.1, size);
        }
    }
}

/// 10,000 frames to `unixfdsrc ! videoconvert ! filesink`, whose rows are longer in our memory than in the file.
#[test]
fn gstreamer_takes_every_frame() {
    let _alone = alone();
    if !has_unixfd() {
        return;
    }
    let rgba = pool(Fourcc::ABGR8888, Size::new(32, 14), 8);
    assert_eq!(rgba.acquire().unwrap().unwrap().layout().planes()[0].stride_bytes, 256);
    to_gstreamer(&rgba, lossless(), FRAMES, ("BGRA", Fourcc::ARGB8888));
    let unpadded = pool(Fourcc::ABGR8888, Size::new(64, 14), 8);
    to_gstreamer(&unpadded, lossless(), 500, ("BGRA", Fourcc::ARGB8888));
    let nv12 = pool(Fourcc::NV12, Size::new(32, 14), 8);
    to_gstreamer(&nv12, lossless(), 500, ("I420", Fourcc::YUV420));
}

/// The same with dma-bufs, where the kernel has them.
#[test]
fn gstreamer_takes_dma_bufs() {
    let _alone = alone();
    if !has_unixfd() {
        return;
    }
    let device = Device::open(&Board::generic()).unwrap();
    let request = Request::new(Size::new(32, 14), Fourcc::ABGR8888).usage(Usage::CPU_READ | Usage::CPU_WRITE);
    let mut request = request.require_dma_buf();
    request.constraints.stride_align_bytes = 256;
    if common::or_skip("dma-buf", device.allocate(&request)).is_none() {
        return;
    }
    to_gstreamer(&Pool::new(&device, request, 8), lossless(), 500, ("BGRA", Fourcc::ARGB8888));
}

/// `videotestsrc ! … ! unixfdsink` to our client, against the same written to a file by GStreamer itself.
#[test]
fn gstreamer_gives_every_frame() {
    let _alone = alone();
    if !has_unixfd() {
        return;
    }
    for (format, fourcc, frames) in
        [("RGBA", Fourcc::ABGR8888, FRAMES), ("NV12", Fourcc::NV12, 100), ("I420", Fourcc::YUV420, 100)]
    {
        let (path, address) = socket("from-gst");
        let file = path.with_extension("raw");
        let source = format!(
            "videotestsrc pattern=ball motion=sweep num-buffers={frames} ! video/x-raw,format={format},width=33,height=17"
        );
        succeeds(launch(&format!("{source} ! filesink location={}", file.display())));
        let expected = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let frame_bytes = expected.len() / frames as usize;
        let child = launch(&format!(
            "{source} ! unixfdsink socket-path={} wait-for-connection=true sync=false",
            path.display()
        ));
        let mut client = Client::connect(&address, client::Options { reconnect: true, ..Default::default() }).unwrap();
        let mut fds = 0;
        for number in 0..frames {
            let received = next(&mut client);
            assert_eq!(received.frame.sequence, number);
            assert!(received.shared, "GStreamer seals its memory files against shrinking");
            assert_eq!((received.frame.buffer.fourcc(), received.frame.buffer.size()), (fourcc, Size::new(33, 17)));
            let map = received.frame.buffer.map(Access::Read).unwrap();
            let layout = video_format::default_layout(fourcc, Size::new(33, 17)).unwrap();
            let frame = &expected[number as usize * frame_bytes..];
            for (index, plane) in layout.planes().iter().enumerate() {
                for row in 0..layout.rows(index) {
                    let start = plane.offset_bytes as usize + plane.stride_bytes as usize * row as usize;
                    let expected = &frame[start..start + layout.row_bytes(index) as usize];
                    assert_eq!(map.row(index, row), expected, "{format}, frame {number}, plane {index}, row {row}");
                }
            }
            if number == 50 {
                fds = common::open_fds();
            }
        }
        // As many memories are remembered; GStreamer makes more when its frames wait.
        assert!(common::open_fds() <= fds + 32, "{fds} fds at frame 50, {} at the end", common::open_fds());
        assert!(matches!(client.next(Some(LONG)).unwrap(), Event::End));
        drop(client);
        succeeds(child);
    }
}
