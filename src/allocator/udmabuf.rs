//! `/dev/udmabuf`: dma-bufs over the pages of a sealed memfd. Not contiguous.
//!
//! # References
//! `drivers/dma-buf/udmabuf.c`; module parameter `size_limit_mb`, 64 by default

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;

use super::{Allocator, Request, out_of_memory_hint};
use crate::buffer::{Buffer, Provenance};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::align_up;
use crate::sys;

const NODE: &str = "/dev/udmabuf";

/// Makes dma-bufs over memory files.
#[derive(Debug)]
pub struct Udmabuf {
    node: File,
}

impl Udmabuf {
    /// Opens `/dev/udmabuf`.
    ///
    /// # Errors
    /// `NotFound` (the hint names the kernel option), `PermissionDenied`.
    pub fn open() -> Result<Self> {
        let node = File::options().read(true).write(true).open(NODE).map_err(|error| {
            let error = Error::from_io("open", NODE, error);
            match error.kind() {
                ErrorKind::NotFound => error.with_hint("load the module udmabuf (CONFIG_UDMABUF)"),
                ErrorKind::PermissionDenied => error.with_hint("add this user to the node's group (kvm on Debian)"),
                _ => error,
            }
        })?;
        Ok(Self { node })
    }
}

impl Allocator for Udmabuf {
    fn name(&self) -> String {
        "udmabuf".into()
    }

    fn allocate(&self, request: &Request) -> Result<Buffer> {
        if request.constraints.contiguous {
            return Err(Error::unsupported("udmabuf", "its pages are not contiguous"));
        }
        let (layout, bytes) = request.linear_layout()?;
        let bytes = align_up(bytes, sys::page_bytes())
            .ok_or_else(|| Error::invalid("udmabuf", format!("{layout}: size wraps when rounded up to pages")))?;
        let failed = |op: &'static str, errno: Errno| {
            out_of_memory_hint(Error::from_errno(op, format!("{layout}, {bytes} bytes"), errno), false)
        };
        let memfd =
            sys::memfd::create_sealed("darkframe-udmabuf", bytes).map_err(|errno| failed("memfd_create", errno))?;
        let fd = sys::udmabuf::create(self.node.as_fd(), memfd.as_fd(), 0, bytes).map_err(|errno| match errno {
            // The driver answers EINVAL to a size above its limit: say so instead.
            Errno::EINVAL if bytes > size_limit_bytes() => Error::unsupported(
                "UDMABUF_CREATE",
                format!("{layout}: {bytes} bytes; the driver's limit is {}", size_limit_bytes()),
            )
            .with_hint("raise the module parameter udmabuf.size_limit_mb"),
            errno => failed("UDMABUF_CREATE", errno),
        })?;
        let provenance = Provenance { allocator: self.name(), reasons: Vec::new() };
        Buffer::with_provenance(layout, vec![fd], provenance, None)
    }
}

/// The driver's size limit, as its module parameter says.
fn size_limit_bytes() -> u64 {
    let text = std::fs::read_to_string(Path::new("/sys/module/udmabuf/parameters/size_limit_mb"));
    let megabytes: u64 = text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(64);
    megabytes << 20
}
