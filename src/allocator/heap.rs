//! `/dev/dma_heap/*`: dma-bufs from a named pool. CMA heaps are contiguous, `system` is not.
//!
//! # References
//! `include/uapi/linux/dma-heap.h`, `Documentation/userspace-api/dma-buf-heaps.rst`

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::{Allocator, Request, out_of_memory_hint};
use crate::buffer::{Buffer, Provenance};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// Where heaps are.
pub const FOLDER: &str = "/dev/dma_heap";

/// Makes dma-bufs from one heap.
#[derive(Debug)]
pub struct DmaHeap {
    heap: String,
    node: File,
}

impl DmaHeap {
    /// Opens `/dev/dma_heap/<heap>`.
    ///
    /// # Errors
    /// `NotFound` with the heaps that are there, `PermissionDenied`, `InvalidInput` for a name with a `/`.
    pub fn open(heap: &str) -> Result<Self> {
        if heap.contains('/') || heap.is_empty() || heap == ".." {
            return Err(Error::invalid(
                "dma-heap",
                format!("\"{heap}\" is no heap name; give the name below {FOLDER}"),
            ));
        }
        let path = Path::new(FOLDER).join(heap);
        // Read access is all that the ioctl asks for.
        let node = File::open(&path).map_err(|error| {
            let error = Error::from_io("open", path.display(), error);
            match error.kind() {
                ErrorKind::NotFound => {
                    let there = names();
                    let there = if there.is_empty() { "none".into() } else { there.join(", ") };
                    error.with_hint(format!("heaps on this machine: {there} (CONFIG_DMABUF_HEAPS)"))
                }
                ErrorKind::PermissionDenied => {
                    error.with_hint("give this user read access to the node (a udev rule; group video)")
                }
                _ => error,
            }
        })?;
        Ok(Self { heap: heap.to_owned(), node })
    }

    /// Its memory is contiguous: everything but the system heaps is a CMA or carve-out pool.
    pub fn is_contiguous(&self) -> bool {
        !self.heap.starts_with("system")
    }
}

impl Allocator for DmaHeap {
    fn name(&self) -> String {
        format!("dma-heap({})", self.heap)
    }

    fn allocate(&self, request: &Request) -> Result<Buffer> {
        if request.constraints.contiguous && !self.is_contiguous() {
            return Err(Error::unsupported(self.name(), "its pages are not contiguous"));
        }
        let (layout, bytes) = request.linear_layout()?;
        let fd = sys::dma_heap::allocate(self.node.as_fd(), bytes).map_err(|errno| {
            let error =
                Error::from_errno("DMA_HEAP_IOCTL_ALLOC", format!("{}, {layout}, {bytes} bytes", self.heap), errno);
            out_of_memory_hint(error, self.is_contiguous())
        })?;
        let provenance = Provenance { allocator: self.name(), reasons: Vec::new() };
        Buffer::with_provenance(layout, vec![fd], provenance, None)
    }
}

/// The heaps of this machine, by name.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(FOLDER)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// The board's heaps that are on this machine, in its order.
pub(super) fn open_all(device: &Device) -> Result<Vec<Arc<dyn Allocator>>> {
    let mut refused = None;
    let mut heaps: Vec<Arc<dyn Allocator>> = Vec::new();
    for name in &device.board().allocate.heaps {
        match DmaHeap::open(name) {
            Ok(heap) => heaps.push(Arc::new(heap)),
            Err(error) => refused = Some(error),
        }
    }
    match (heaps.is_empty(), refused) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(Error::unsupported("dma-heap", "the board lists no heaps")),
        _ => Ok(heaps),
    }
}
