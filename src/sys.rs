//! Kernel uapi that no crate has, and the smallest safe layer over it.
//!
//! In: borrowed fds and plain numbers. Out: owned fds, plain structs, `errno`.
//! Not here: policy. Which heap, which flags, what an error means to a user: the callers know.
#![expect(unsafe_code, reason = "ioctls and mmap; each block names the rule it keeps")]

pub mod dma_buf;
pub mod dma_heap;
#[cfg(feature = "gbm")]
pub mod gbm_dl;
#[cfg(feature = "gstreamer")]
pub mod gstreamer;
#[cfg(feature = "kms")]
pub mod kms;
pub mod mapping;
pub mod memfd;
#[cfg(feature = "pipewire")]
pub mod pipewire;
pub mod sw_sync;
pub mod sync_file;
pub mod syncobj;
pub mod udmabuf;
pub mod v4l2;

/// Runs `call` again while the kernel says it was interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            other => return other,
        }
    }
}

/// Now, by `CLOCK_MONOTONIC`, the clock that the kernel's own times are of.
pub(crate) fn monotonic_ns() -> u64 {
    // The clock is always there.
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| u64::try_from(std::time::Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

/// Size of a page of memory.
pub(crate) fn page_bytes() -> u32 {
    // SAFETY: sysconf reads a constant of the running system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u32::try_from(bytes).unwrap_or(4096)
}
