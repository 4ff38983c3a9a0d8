//! Frames to and from pipelines of GStreamer: bytes, order, memory that comes back, errors, and runs of the command.
//!
//! Every frame carries its number in all of its bytes; what files hold is taken apart by the strides that GStreamer documents.

mod common;

#[path = "gstreamer/bytes.rs"]
mod bytes;
#[path = "gstreamer/memory.rs"]
mod memory;
#[path = "gstreamer/runs.rs"]
mod runs;
#[path = "gstreamer/words.rs"]
mod words;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::color::Color;
use darkframe::device::Device;
use darkframe::error::{Error, ErrorKind};
use darkframe::format::Fourcc;
use darkframe::frame::Frame;
use darkframe::layout::{Constraints, Layout, Size};
use darkframe::pool::Pool;
use darkframe::share::gstreamer::{input, output};
use darkframe::share::unixfd::video_format::default_layout;

use common::files::Folder;
use common::numbered::{byte, check, eventually, fill};

/// An emulated processor is slow.
const LONG: Duration = Duration::from_secs(90);

/// Bytes of a frame as GStreamer lays it out where nobody says anything: rows and planes up to the end of the last.
fn usual_bytes(layout: &Layout) -> usize {
    let last = layout.planes().len() - 1;
    let plane = layout.planes()[last];
    plane.offset_bytes as usize + plane.stride_bytes as usize * layout.rows(last) as usize
}

/// Checks the bytes of a frame in GStreamer's own layout.
#[track_caller]
fn check_bytes(bytes: &[u8], layout: &Layout, number: u64, mask: u8) {
    for (index, plane) in layout.planes().iter().enumerate() {
        for row in 0..layout.rows(index) {
            let start = plane.offset_bytes as usize + plane.stride_bytes as usize * row as usize;
            for column in 0..layout.row_bytes(index) as usize {
                // Of 16-bit words only the lower byte has bits that are not the picture's.
                let mask = if column % 2 == 0 { mask } else { 0xFF };
                let expected = byte(number, index, row, column) & mask;
                assert_eq!(
                    bytes[start + column] & mask,
                    expected,
                    "frame {number}, plane {index}, row {row}, byte {column}"
                );
            }
        }
    }
}

/// Memory of a kind, its rows longer than the pixels where `align` says so; `None` where this machine has none.
fn pool(kind: AllocatorKind, fourcc: Fourcc, size: Size, align: u32, limit: usize) -> Option<Pool> {
    let device = Device::open(&Board::detect().unwrap_or_else(|_| Board::generic())).unwrap();
    let mut request = Request::new(size, fourcc).usage(Usage::CPU_READ | Usage::CPU_WRITE).only(kind);
    request.constraints = Constraints { stride_align_bytes: align, linear: true, ..Constraints::NONE };
    common::or_skip(&format!("{kind}"), device.allocate(&request))?;
    Some(Pool::new(&device, request, limit))
}

fn files(fourcc: Fourcc, size: Size, limit: usize) -> Pool {
    pool(AllocatorKind::Memfd, fourcc, size, 64, limit).unwrap()
}

/// Memory files, and every kind of dma-buf that this machine has.
const KINDS: [AllocatorKind; 4] =
    [AllocatorKind::Memfd, AllocatorKind::Udmabuf, AllocatorKind::DmaHeap, AllocatorKind::Dumb];

fn numbered(buffer: Buffer, number: u64) -> Frame {
    fill(&buffer, number);
    Frame { sequence: number, timestamp_ns: number * 40_000_000, ..Frame::new(buffer, None) }
}

/// Where elements are missing that this test needs, nothing; tests that check for that name them themselves.
fn open(text: &str, first: &Buffer) -> Option<output::Output> {
    let color = if first.layout().format().is_yuv() { Color::HD } else { Color::SRGB };
    let options = output::Options { color, patience: LONG, ..output::Options::new(text) };
    common::or_skip(text, output::Output::open(options, std::slice::from_ref(first)))
}

/// Sends frames `0..count` of a pool into `text`; what the output noted.
fn send(pool: &Pool, text: &str, count: u64) -> Option<Vec<String>> {
    let first = common::acquire(pool);
    let mut output = open(text, &first)?;
    drop(first);
    for number in 0..count {
        output.send(numbered(common::acquire(pool), number), None).unwrap();
    }
    output.finish().unwrap();
    Some(output.notes())
}

fn take(text: &str) -> Option<input::Input> {
    let options = input::Options { patience: LONG, ..input::Options::new(text) };
    common::or_skip(text, input::Input::open(options, &AtomicBool::new(false)))
}

#[track_caller]
fn next(input: &mut input::Input) -> Option<input::Received> {
    match input.next(LONG).unwrap() {
        input::Event::Picture(received) => Some(received),
        input::Event::End => None,
        other => panic!("{other:?}"),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
