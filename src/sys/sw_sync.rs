//! Fences that this process signals when it likes: the kernel's sw_sync, for tests of drivers. Root's alone, mostly.
//!
//! # References
//! `drivers/dma-buf/sw_sync.c`; the kernel has no uapi header for it

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::retry;

#[repr(C)]
struct CreateFence {
    value: u32,
    name: [u8; 32],
    fence: i32,
}

nix::ioctl_readwrite!(ioctl_create_fence, b'W', 0, CreateFence);
nix::ioctl_write_ptr!(ioctl_increment, b'W', 1, u32);

/// A counter, and fences that signal when it reaches their value.
pub struct Timeline(File);

impl Timeline {
    /// Opens a new one.
    pub fn open() -> std::io::Result<Self> {
        let open = |path| File::options().read(true).write(true).open(path);
        open("/sys/kernel/debug/sync/sw_sync").or_else(|_| open("/dev/sw_sync")).map(Self)
    }

    /// A sync_file that signals at `value`.
    pub fn fence(&self, value: u32) -> nix::Result<OwnedFd> {
        let mut argument = CreateFence { value, name: [0; 32], fence: -1 };
        argument.name[..9].copy_from_slice(b"darkframe");
        // SAFETY: the fd is sw_sync's and the argument is the struct the ioctl reads and writes.
        retry(|| unsafe { ioctl_create_fence(self.0.as_raw_fd(), &mut argument) })?;
        // SAFETY: on success the kernel has made a new fd for this caller alone.
        Ok(unsafe { OwnedFd::from_raw_fd(argument.fence) })
    }

    /// Counts on.
    pub fn increment(&self, by: u32) -> nix::Result<()> {
        // SAFETY: the fd is sw_sync's and the argument is the u32 that the ioctl reads.
        retry(|| unsafe { ioctl_increment(self.0.as_raw_fd(), &by) }).map(|_| ())
    }
}
