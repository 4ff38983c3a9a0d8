//! What the integration tests share.
//!
//! A test skips only where the library says `Unsupported` (or a node is not there), prints `SKIP <what>: <why>`, and does
//! not skip at all where the tier demands the thing: `DARKFRAME_DEMAND` lists what must be there, e.g. in the virtual
//! machine `dumb gbm dma-heap udmabuf gpu`.
#![allow(dead_code)]

pub mod bt;
pub mod documented;
pub mod draw;
pub mod files;
pub mod numbered;
pub mod pattern;
pub mod sw_sync;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::buffer::Buffer;
use darkframe::device::Device;
use darkframe::egl::Display;
use darkframe::error::{Error, ErrorKind};
use darkframe::format::Fourcc;
use darkframe::layout::Size;
use darkframe::pool::Pool;

/// Names that this tier must not skip.
pub fn demanded(what: &str) -> bool {
    std::env::var("DARKFRAME_DEMAND").is_ok_and(|list| list.split_whitespace().any(|name| name == what))
}

/// Says that `what` is skipped; fails the test where the tier demands it.
pub fn skip(what: &str, why: impl std::fmt::Display) {
    assert!(!demanded(what), "{what} must not be skipped here, yet: {why}");
    println!("SKIP {what}: {why}");
}

/// The value, or `None` after a skip where the error is one that may be skipped.
pub fn or_skip<T>(what: &str, result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {
            skip(what, error);
            None
        }
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// Number of open fds of this process.
pub fn open_fds() -> usize {
    // The folder's own fd is among them each time.
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The kernel's view of an fd, for messages.
pub fn fd_name(fd: BorrowedFd<'_>) -> String {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().display().to_string()
}

/// A display that imports dma-bufs, and a buffer that it takes; skips where this machine has none.
pub fn gpu_display(fourcc: Fourcc, size: Size) -> Option<(Device, Display, Buffer)> {
    let device = Device::open(&Board::generic()).unwrap();
    let display = or_skip("zero-copy", Display::open(&device))?;
    if let Some(reason) = display.unsupported_reason() {
        skip("zero-copy", reason);
        return None;
    }
    let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE;
    let buffer = or_skip("zero-copy", device.allocate(&Request::new(size, fourcc).usage(usage).require_dma_buf()))?;
    Some((device, display, buffer))
}

/// Waits for a buffer of `pool` that nobody holds.
#[track_caller]
pub fn acquire(pool: &Pool) -> Buffer {
    let since = Instant::now();
    loop {
        if let Some(buffer) = pool.acquire().unwrap() {
            return buffer;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "no buffer came back");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Fails unless it was refused so, with these words.
#[track_caller]
pub fn refused<T>(result: Result<T, Error>, kind: ErrorKind, words: &[&str]) {
    let error = result.err().expect("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "\"{word}\" is not in: {error}");
    }
}

/// The machine's cameras, for as long as the file is open: a device streams for one at a time, and tests run side by side.
pub fn cameras() -> std::fs::File {
    locked("darkframe-cameras.lock")
}

/// The machine's screens, likewise: a card has one master.
pub fn screens() -> std::fs::File {
    locked("darkframe-screens.lock")
}

fn locked(name: &str) -> std::fs::File {
    let file = std::fs::File::create(std::env::temp_dir().join(name)).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    file
}
