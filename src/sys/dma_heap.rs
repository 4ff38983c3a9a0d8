//! `/dev/dma_heap/*`: one ioctl.
//!
//! # References
//! `include/uapi/linux/dma-heap.h`

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::retry;

#[repr(C)]
struct Allocation {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

nix::ioctl_readwrite!(ioctl_alloc, b'H', 0, Allocation);

/// A new dma-buf of at least `bytes` (the kernel rounds up to pages; 0 is EINVAL), readable, writable, close-on-exec.
pub fn allocate(heap: BorrowedFd<'_>, bytes: u64) -> nix::Result<OwnedFd> {
    let mut argument =
        Allocation { len: bytes, fd: 0, fd_flags: (libc::O_RDWR | libc::O_CLOEXEC) as u32, heap_flags: 0 };
    // SAFETY: the fd is open and the argument is the struct the ioctl reads and writes; `fd` is 0 as it demands.
    retry(|| unsafe { ioctl_alloc(heap.as_raw_fd(), &mut argument) })?;
    // SAFETY: on success the kernel has made a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(argument.fd as i32) })
}
