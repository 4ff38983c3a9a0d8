//! Frames to and from PipeWire: our own ends, GStreamer's `pipewiresrc` and `pipewiresink`, and runs of the command, on a
//! daemon of the test's own without a session manager: `pw-link` links.
//!
//! Every frame carries its number in all of its pixels.

mod common;

#[path = "pipewire/daemon.rs"]
mod daemon;
#[path = "pipewire/gstreamer.rs"]
mod gstreamer;
#[path = "pipewire/own.rs"]
mod own;
#[path = "pipewire/runs.rs"]
mod runs;

use std::time::{Duration, Instant};

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::format::Fourcc;
use darkframe::frame::Frame;
use darkframe::layout::Size;
use darkframe::share::pipewire::{input, output};

use common::numbered::{byte, check, eventually, fill};
use daemon::Daemon;

/// An emulated processor is slow.
const LONG: Duration = Duration::from_secs(90);
/// With four in flight: as many on their way back, one that rests, and one to be filled.
const MEMORIES: usize = 10;

/// Memory files that go round: a frame's is free when what keeps it is dropped.
struct Circle {
    memories: Vec<Buffer>,
    back: std::sync::mpsc::Sender<usize>,
    free: std::sync::Mutex<std::sync::mpsc::Receiver<usize>>,
}

struct Keep(usize, std::sync::mpsc::Sender<usize>);

impl Drop for Keep {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

impl Circle {
    fn new(kind: AllocatorKind, fourcc: Fourcc, size: Size, count: usize, stride_align_bytes: u32) -> Option<Self> {
        let device = Device::open(&Board::detect().unwrap_or_else(|_| Board::generic())).unwrap();
        let mut request = Request::new(size, fourcc).usage(Usage::CPU_READ | Usage::CPU_WRITE).only(kind);
        request.constraints.stride_align_bytes = stride_align_bytes;
        let memories = (0..count).map(|_| device.allocate(&request)).collect::<Result<Vec<_>, _>>();
        let memories = common::or_skip(&format!("{kind}"), memories)?;
        let (back, free) = std::sync::mpsc::channel();
        (0..count).for_each(|index| back.send(index).unwrap());
        Some(Self { memories, back, free: free.into() })
    }

    fn files(fourcc: Fourcc, size: Size, count: usize) -> Self {
        Self::new(AllocatorKind::Memfd, fourcc, size, count, 4).unwrap()
    }

    /// How many nobody holds.
    fn count_free(&self) -> usize {
        let free: Vec<usize> = self.free.lock().unwrap().try_iter().collect();
        free.iter().for_each(|index| self.back.send(*index).unwrap());
        free.len()
    }

    #[track_caller]
    fn send(&self, output: &output::Output, number: u64) -> bool {
        let index = self.free.lock().unwrap().recv_timeout(LONG).expect("no memory comes back");
        let buffer = self.memories[index].clone();
        fill(&buffer, number);
        let frame = Frame { sequence: number, timestamp_ns: number * 40_000_000, ..Frame::new(buffer, None) };
        output.send(frame, Some(Box::new(Keep(index, self.back.clone())))).unwrap()
    }
}

/// Dma-bufs of the first kind that this machine has.
fn dma_bufs(fourcc: Fourcc) -> Option<(AllocatorKind, Circle)> {
    [AllocatorKind::Udmabuf, AllocatorKind::DmaHeap, AllocatorKind::Dumb]
        .into_iter()
        .find_map(|kind| Circle::new(kind, fourcc, Size::new(64, 48), MEMORIES, 64).map(|circle| (kind, circle)))
}

/// The first frame of a link; the next number. It arrives: a node says that it is taken from when the other end runs.
#[track_caller]
fn meet(circle: &Circle, output: &output::Output, input: &mut input::Input, number: u64) -> u64 {
    output.wait_for_consumer(LONG).unwrap();
    assert!(circle.send(output, number));
    let received = next(input);
    assert_eq!(received.frame.sequence, number);
    check(&received.frame.buffer, number);
    number + 1
}

#[track_caller]
fn next(input: &mut input::Input) -> input::Received {
    match input.next(LONG).unwrap() {
        input::Event::Frame(received) => *received,
        other => panic!("{other:?}"),
    }
}
