//! Files of a test, and what sources read of them.

use std::path::PathBuf;

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::error::Result;
use darkframe::format::Fourcc;
use darkframe::layout::Size;
use darkframe::pipeline::source::Opened;

/// A folder of its own, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// `name` must be one of its own in the test binary.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file, and makes the folders that it is in.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Memory for the CPU alone.
pub fn buffer(size: Size, fourcc: Fourcc) -> Buffer {
    let device = Device::open(&Board::generic()).unwrap();
    let usage = Usage::CPU_READ | Usage::CPU_WRITE;
    device.allocate(&Request::new(size, fourcc).usage(usage).only(AllocatorKind::Memfd)).unwrap()
}

/// The planes of picture `frame` without padding; `None` at the end.
pub fn read(source: &mut Opened, frame: u64) -> Result<Option<Vec<Vec<u8>>>> {
    let buffer = buffer(source.info().size, source.info().fourcc);
    let layout = buffer.layout().clone();
    let more = {
        let mut map = buffer.map(Access::Write).unwrap();
        source.read(frame, &layout, &mut map)?
    };
    let map = buffer.map(Access::Read).unwrap();
    let planes = 0..layout.planes().len();
    let plane = |plane| (0..layout.rows(plane)).flat_map(|row| map.row(plane, row).to_vec()).collect();
    Ok(more.then(|| planes.map(plane).collect()))
}
