//! sync_file fds: information and merging. Waiting is poll(2).
//!
//! # References
//! `include/uapi/linux/sync_file.h`, `Documentation/driver-api/sync_file.rst`

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::retry;

#[repr(C)]
struct FileInfo {
    name: [u8; 32],
    status: i32,
    flags: u32,
    num_fences: u32,
    pad: u32,
    sync_fence_info: u64,
}

#[repr(C)]
struct MergeData {
    name: [u8; 32],
    fd2: i32,
    fence: i32,
    flags: u32,
    pad: u32,
}

nix::ioctl_readwrite!(ioctl_file_info, b'>', 4, FileInfo);
nix::ioctl_readwrite!(ioctl_merge, b'>', 3, MergeData);

/// State of a sync_file: `Ok(true)` signaled, `Ok(false)` active, `Err` with the fence's own error, or ENOTTY / EINVAL
/// where the fd is no sync_file.
pub fn status(fd: BorrowedFd<'_>) -> nix::Result<bool> {
    let mut argument = FileInfo { name: [0; 32], status: 0, flags: 0, num_fences: 0, pad: 0, sync_fence_info: 0 };
    // SAFETY: the fd is open; num_fences 0 makes the ioctl fill this struct only.
    retry(|| unsafe { ioctl_file_info(fd.as_raw_fd(), &mut argument) })?;
    match argument.status {
        1 => Ok(true),
        0 => Ok(false),
        error => Err(nix::errno::Errno::from_raw(-error)),
    }
}

/// A sync_file that signals when both have.
pub fn merge(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let mut argument = MergeData { name: [0; 32], fd2: second.as_raw_fd(), fence: -1, flags: 0, pad: 0 };
    argument.name[..9].copy_from_slice(b"darkframe");
    // SAFETY: both fds are open and the argument is the struct the ioctl reads and writes.
    retry(|| unsafe { ioctl_merge(first.as_raw_fd(), &mut argument) })?;
    let fd: RawFd = argument.fence;
    // SAFETY: on success the kernel has made a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
