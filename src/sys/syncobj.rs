//! DRM sync objects: the one request that crate drm cannot make, a sync_file put into an object that is there already.
//!
//! # References
//! `include/uapi/drm/drm.h`

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::retry;

/// `DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE`
const IMPORT_SYNC_FILE: u32 = 1;

#[repr(C)]
struct FdToHandle {
    handle: u32,
    flags: u32,
    fd: RawFd,
    pad: u32,
}

nix::ioctl_readwrite!(ioctl_fd_to_handle, b'd', 0xC2, FdToHandle);

/// The object `handle` of `node` signals when the sync_file does.
pub fn import_sync_file(node: BorrowedFd<'_>, handle: u32, fence: BorrowedFd<'_>) -> nix::Result<()> {
    let mut argument = FdToHandle { handle, flags: IMPORT_SYNC_FILE, fd: fence.as_raw_fd(), pad: 0 };
    // SAFETY: both fds are open and the argument is the struct the ioctl reads and writes.
    retry(|| unsafe { ioctl_fd_to_handle(node.as_raw_fd(), &mut argument) })?;
    Ok(())
}
