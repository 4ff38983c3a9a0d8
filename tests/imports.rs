//! Memory that comes again is imported once: frames of a producer that lie in a few dma-bufs, sampled where they lie.
//!
//! Skips where no driver imports dma-bufs; not in the virtual machines.

use std::path::{Path, PathBuf};
use std::time::Duration;

use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::buffer::Access;
use darkframe::device::Device;
use darkframe::error::{Error, ErrorKind};
use darkframe::format::Fourcc;
use darkframe::frame::Frame;
use darkframe::layout::Size;
use darkframe::pipeline::description::Require;
use darkframe::pipeline::report::Edge;
use darkframe::pipeline::runner::{self, Options};
use darkframe::pipeline::{Description, Report};
use darkframe::pool::Pool;
use darkframe::share::unixfd::Address;
use darkframe::share::unixfd::server::{self, Server, WhenFull};

mod common;

use common::acquire;

const SIZE: Size = Size::new(64, 32);
const LONG: Duration = Duration::from_secs(60);

/// One after the other: each makes many buffers.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn value(number: u64, at: usize) -> u8 {
    ((number as usize * 37 + at * 11) % 251) as u8
}

/// `buffers` dma-bufs, each in a pool of its own: they take turns.
fn pools(device: &Device, buffers: usize) -> Option<Vec<Pool>> {
    let usage = Usage::SAMPLE | Usage::CPU_READ | Usage::CPU_WRITE;
    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(usage).require_dma_buf();
    common::or_skip("zero-copy", device.allocate(&request))?;
    Some((0..buffers).map(|_| Pool::new(device, request.clone(), 1)).collect())
}

/// Serves frames `numbers` out of the pools in turn, to one client that takes all of them.
fn serve(server: &Server, pools: &[Pool], numbers: std::ops::Range<u64>) {
    for number in numbers {
        let buffer = acquire(&pools[number as usize % pools.len()]);
        let mut map = buffer.map(Access::Write).unwrap();
        let stride = buffer.layout().planes()[0].stride_bytes as usize;
        for (row, bytes) in map.plane_mut(0).chunks_mut(stride).take(SIZE.height as usize).enumerate() {
            for (column, byte) in bytes[..SIZE.width as usize * 4].iter_mut().enumerate() {
                *byte = value(number, row * SIZE.width as usize * 4 + column);
            }
        }
        drop(map);
        let frame = Frame { sequence: number, timestamp_ns: number * 40_000_000, ..Frame::new(buffer, None) };
        server.send(frame).unwrap();
    }
}

fn bind(socket: &Path) -> Server {
    let options = server::Options { when_full: WhenFull::Wait, patience: LONG, ..server::Options::default() };
    Server::bind(&Address::Path(socket.to_owned()), options).unwrap()
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-imports-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Takes `frames` frames of the socket in this folder and writes them.
    fn run(&self, frames: u64, keys: &str) -> Result<Report, Error> {
        let socket = self.0.join("s");
        let out = self.0.join("out.rgba");
        let text = format!(
            "frames = {frames}\n[source.in]\nkind = \"unixfd\"\nsocket = \"{}\"\n{keys}\n[sink.out]\ninput = \"in\"\nfile = \"{}\"\n",
            socket.display(),
            out.display()
        );
        let description = Description::parse(self.0.join("p.toml"), text)?;
        runner::run(&description, Options { require: Some(Require::ZeroCopy), ..Options::default() })
    }

    fn check(&self, frames: u64) {
        let bytes = std::fs::read(self.0.join("out.rgba")).unwrap();
        let frame_bytes = SIZE.pixels() as usize * 4;
        assert_eq!(bytes.len(), frames as usize * frame_bytes);
        for (number, got) in bytes.chunks(frame_bytes).enumerate() {
            let wrong = got.iter().enumerate().find(|(at, byte)| **byte != value(number as u64, *at));
            assert!(wrong.is_none(), "frame {number}: byte {wrong:?}");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The source's edge; `None` where nothing is imported here.
fn source(report: Result<Report, Error>) -> Option<Edge> {
    match report {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound) => {
            common::skip("zero-copy", error);
            None
        }
        report => Some(report.unwrap().sources.remove(0)),
    }
}

/// Serves in a thread while `take` runs.
fn served<T>(serve: impl FnOnce() + Send, take: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let server = scope.spawn(serve);
        let taken = take();
        server.join().unwrap();
        taken
    })
}

#[test]
fn as_many_imports_as_buffers() {
    let _alone = alone();
    let device = Device::open(&Board::generic()).unwrap();
    for (buffers, frames) in [(5, 60), (1, 9)] {
        let Some(pools) = pools(&device, buffers) else { return };
        let folder = Folder::new("few");
        let server = bind(&folder.0.join("s"));
        let serving = || {
            server.wait_for_clients(1, LONG).unwrap();
            serve(&server, &pools, 0..frames);
            server.finish(LONG);
        };
        let Some(edge) = source(served(serving, || folder.run(frames, ""))) else { return };
        assert_eq!((edge.path.as_str(), edge.pictures), ("zero-copy", frames));
        assert_eq!((edge.imports, edge.buffers), (buffers as u64, buffers), "{frames} frames in {buffers} buffers");
        folder.check(frames);
    }
}

/// More buffers than are remembered, in turn: each is imported anew, and no more are kept than the bound says.
#[test]
fn more_buffers_than_are_remembered_do_not_pile_up() {
    const BUFFERS: usize = 40;
    const FRAMES: u64 = 100;
    let _alone = alone();
    let device = Device::open(&Board::generic()).unwrap();
    let Some(pools) = pools(&device, BUFFERS) else { return };
    let folder = Folder::new("many");
    let server = bind(&folder.0.join("s"));
    let serving = || {
        server.wait_for_clients(1, LONG).unwrap();
        serve(&server, &pools, 0..FRAMES);
        server.finish(LONG);
    };
    let Some(edge) = source(served(serving, || folder.run(FRAMES, ""))) else { return };
    assert_eq!((edge.path.as_str(), edge.pictures, edge.imports), ("zero-copy", FRAMES, FRAMES));
    assert!(edge.buffers <= 32, "{} buffers are kept", edge.buffers);
    folder.check(FRAMES);
}

/// A producer goes and another one comes: what the first one lent is let go.
#[test]
fn memory_that_nobody_has_any_more_is_let_go() {
    let _alone = alone();
    let device = Device::open(&Board::generic()).unwrap();
    let (Some(first), Some(second)) = (pools(&device, 5), pools(&device, 3)) else { return };
    let folder = Folder::new("gone");
    let socket = folder.0.join("s");
    let server = bind(&socket);
    let serving = || {
        server.wait_for_clients(1, LONG).unwrap();
        serve(&server, &first, 0..20);
        // All of them were drawn: they have come back.
        first.iter().for_each(|pool| drop(acquire(pool)));
        drop((server, first));
        let server = bind(&socket);
        server.wait_for_clients(1, LONG).unwrap();
        serve(&server, &second, 20..40);
        server.finish(LONG);
    };
    let Some(edge) = source(served(serving, || folder.run(40, "reconnect = true"))) else { return };
    assert_eq!((edge.path.as_str(), edge.pictures), ("zero-copy", 40));
    assert_eq!((edge.imports, edge.buffers), (5 + 3, 3));
    folder.check(40);
}
