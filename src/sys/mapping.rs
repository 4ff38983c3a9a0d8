//! One shared memory mapping of a file descriptor.
//!
//! The file must not shrink while it is mapped, or an access ends the process with SIGBUS: dma-bufs never do, memory
//! files only without `F_SEAL_SHRINK`. Callers map nothing else.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len_bytes: usize,
    writable: bool,
}

// SAFETY: a mapping is memory of the process, not of a thread.
unsafe impl Send for Mapping {}
// SAFETY: the methods hand out raw pointers only; who turns them into slices keeps the aliasing rules.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len_bytes` of `fd`, shared.
    pub fn new(fd: BorrowedFd<'_>, offset_bytes: u64, len_bytes: u64, writable: bool) -> nix::Result<Self> {
        let len = usize::try_from(len_bytes).ok().and_then(NonZeroUsize::new).ok_or(nix::errno::Errno::EINVAL)?;
        let offset = i64::try_from(offset_bytes).map_err(|_| nix::errno::Errno::EOVERFLOW)?;
        let protection = if writable { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe { mmap(None, len, protection, MapFlags::MAP_SHARED, fd, offset as libc::off_t)? };
        Ok(Self { start: start.cast(), len_bytes: len.get(), writable })
    }

    /// First byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Makes every page present and writable at once, which costs a fraction of one fault each. Nothing happens on
    /// kernels before 5.14 or where memory is short: pages then come with their first store.
    pub fn populate(&self) {
        // SAFETY: the range is this mapping; its contents do not change.
        let result = unsafe { libc::madvise(self.start.as_ptr().cast(), self.len_bytes, libc::MADV_POPULATE_WRITE) };
        if result != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "MADV_POPULATE_WRITE");
        }
    }

    /// Copies `bytes` to `at`; `None` where they do not fit, or the mapping is read-only.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Option<()> {
        let at = usize::try_from(at).ok()?;
        if !self.writable || at.checked_add(bytes.len())? > self.len_bytes {
            return None;
        }
        // SAFETY: the range was checked; `bytes` is not of this mapping, of which nobody has a slice who calls this.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len()) };
        Some(())
    }

    /// Copies `length_bytes` from `at` behind what `into` has; `None` where the mapping ends before.
    pub fn read(&self, at: u64, length_bytes: u64, into: &mut Vec<u8>) -> Option<()> {
        let (at, length) = (usize::try_from(at).ok()?, usize::try_from(length_bytes).ok()?);
        if at.checked_add(length)? > self.len_bytes {
            return None;
        }
        into.reserve(length);
        // SAFETY: the range was checked, as many bytes were reserved, and they are set by the copy.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr().add(at), into.as_mut_ptr().add(into.len()), length);
            into.set_len(into.len() + length);
        }
        Some(())
    }

    /// Length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Stores are allowed.
    pub fn is_writable(&self) -> bool {
        self.writable
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what mmap returned; nothing borrowed from it outlives the owner (see Buffer::map).
        if let Err(errno) = unsafe { munmap(self.start.cast(), self.len_bytes) } {
            tracing::error!(%errno, "munmap");
        }
    }
}
