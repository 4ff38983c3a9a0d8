//! Sealed memory files: for kernels without dma-bufs, and for consumers that read with the CPU.

use super::{Allocator, Request, out_of_memory_hint};
use crate::buffer::{Buffer, Provenance};
use crate::error::{Error, Result};
use crate::sys;

/// Makes sealed memory files.
#[derive(Debug)]
pub struct Memfd;

impl Allocator for Memfd {
    fn name(&self) -> String {
        "memfd".into()
    }

    fn allocate(&self, request: &Request) -> Result<Buffer> {
        if request.constraints.contiguous {
            return Err(Error::unsupported("memfd", "its pages are not contiguous"));
        }
        let (layout, bytes) = request.linear_layout()?;
        let fd = sys::memfd::create_sealed("darkframe", bytes).map_err(|errno| {
            out_of_memory_hint(Error::from_errno("memfd_create", format!("{layout}, {bytes} bytes"), errno), false)
        })?;
        let provenance = Provenance { allocator: self.name(), reasons: Vec::new() };
        Buffer::with_provenance(layout, vec![fd], provenance, None)
    }
}
