//! Fences that a test signals when it likes: the kernel's sw_sync.
#![allow(unsafe_code, missing_docs)] // ioctls, declared by macros

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use darkframe::fence::Fence;

use super::skip;

/// When a fence is signaled by another thread: long against what a call takes in an emulated machine.
const LATER: Duration = Duration::from_millis(700);

/// `struct sw_sync_create_fence_data` of `drivers/dma-buf/sw_sync.c`; the kernel has no uapi header for it.
#[repr(C)]
struct CreateFence {
    value: u32,
    name: [u8; 32],
    fence: i32,
}

nix::ioctl_readwrite!(sw_sync_create_fence, b'W', 0, CreateFence);
nix::ioctl_write_ptr!(sw_sync_increment, b'W', 1, u32);

/// A timeline: a counter, and fences that signal when it reaches their value.
pub struct Timeline(File);

impl Timeline {
    pub fn open() -> Option<Self> {
        let paths = ["/sys/kernel/debug/sync/sw_sync", "/dev/sw_sync"];
        let opened = paths.iter().find_map(|path| File::options().read(true).write(true).open(path).ok());
        if opened.is_none() {
            skip("dma-buf", "this kernel has no sw_sync");
        }
        opened.map(Self)
    }

    pub fn fence(&self, value: u32) -> Fence {
        let mut argument = CreateFence { value, name: [0; 32], fence: -1 };
        argument.name[..4].copy_from_slice(b"test");
        // SAFETY: the fd is sw_sync's and the argument is the struct the ioctl reads and writes.
        unsafe { sw_sync_create_fence(self.0.as_raw_fd(), &mut argument) }.unwrap();
        // SAFETY: on success the kernel has made a new fd for this caller alone.
        Fence::from_fd(unsafe { OwnedFd::from_raw_fd(argument.fence) }).unwrap()
    }

    pub fn increment(&self, by: u32) {
        // SAFETY: the fd is sw_sync's and the argument is the u32 that the ioctl reads.
        unsafe { sw_sync_increment(self.0.as_raw_fd(), &by) }.unwrap();
    }

    /// Increments by one after a while, on another thread; the answer is when.
    pub fn increment_later(&self) -> mpsc::Receiver<Instant> {
        let (sender, receiver) = mpsc::channel();
        let timeline = Self(self.0.try_clone().unwrap());
        std::thread::spawn(move || {
            std::thread::sleep(LATER);
            // Told before: who has waited for the increment finds the answer there.
            let _ = sender.send(Instant::now());
            timeline.increment(1);
        });
        receiver
    }
}
