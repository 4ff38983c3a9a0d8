//! `/dev/udmabuf`: a dma-buf over the pages of a sealed memfd.
//!
//! # References
//! `include/uapi/linux/udmabuf.h`, `drivers/dma-buf/udmabuf.c` (limits `size_limit_mb`, 64 by default)

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::retry;

const FLAG_CLOEXEC: u32 = 1;

#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

nix::ioctl_write_ptr!(ioctl_create, b'u', 0x42, Create);

/// A dma-buf of `size_bytes` at `offset_bytes` of `memfd`; both page-aligned. The memfd must carry `F_SEAL_SHRINK` and
/// must not carry `F_SEAL_WRITE`.
pub fn create(
    device: BorrowedFd<'_>,
    memfd: BorrowedFd<'_>,
    offset_bytes: u64,
    size_bytes: u64,
) -> nix::Result<OwnedFd> {
    let argument =
        Create { memfd: memfd.as_raw_fd() as u32, flags: FLAG_CLOEXEC, offset: offset_bytes, size: size_bytes };
    // SAFETY: both fds are open and the argument is the struct the ioctl reads; it takes no ownership.
    let fd: RawFd = retry(|| unsafe { ioctl_create(device.as_raw_fd(), &argument) })?;
    // SAFETY: the ioctl returns a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
