//! A fence: a sync_file fd that becomes readable when GPU, display or video work is done.
//!
//! In: fds from EGL, Vulkan, the kernel or another process. Out: waits, merges, `AsFd` for poll loops.
//! Not here: EGL sync objects (`egl::sync`), implicit fences of a dma-buf ([`Buffer`](crate::buffer::Buffer) has them).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

pub mod timeline;

pub use timeline::Timeline;

/// A sync_file. Owns its fd.
#[derive(Debug)]
#[must_use = "a fence that nobody waits for guards nothing"]
pub struct Fence(OwnedFd);

impl Fence {
    /// Takes an fd that must be a sync_file.
    ///
    /// # Errors
    /// `InvalidInput` where it is something else; the fd is closed.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        match sys::sync_file::status(fd.as_fd()) {
            Err(errno @ (Errno::ENOTTY | Errno::EINVAL | Errno::EBADF | Errno::EFAULT)) => {
                Err(Error::invalid("SYNC_IOC_FILE_INFO", format!("the fd is no sync_file ({errno})")))
            }
            // A fence that signaled with an error is still a fence; wait() reports the error.
            _ => Ok(Self(fd)),
        }
    }

    /// Whether the work is done. Never blocks.
    ///
    /// # Errors
    /// `Failed` where the work ended with an error (a GPU hang, a producer that went away).
    pub fn is_signaled(&self) -> Result<bool> {
        sys::sync_file::status(self.0.as_fd())
            .map_err(|errno| Error::new(ErrorKind::Failed, "fence", format!("the work ended with {errno}")))
    }

    /// Blocks until the work is done; `None` waits for ever.
    ///
    /// # Errors
    /// `Timeout`; `Failed` where the work ended with an error.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = match deadline {
                None => PollTimeout::NONE,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    // Rounded up: poll counts milliseconds, and 0 would spin through the last one.
                    PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
                }
            };
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                Ok(0) => {
                    let waited = timeout.unwrap_or_default();
                    return Err(Error::new(ErrorKind::Timeout, "fence", format!("not signaled after {waited:?}")));
                }
                Ok(_) => return self.is_signaled().map(|_| ()),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(Error::from_errno("poll", "waiting for a fence", errno)),
            }
        }
    }

    /// A fence that signals when both have.
    ///
    /// # References
    /// `SYNC_IOC_MERGE`
    pub fn merge(&self, other: &Fence) -> Result<Fence> {
        sys::sync_file::merge(self.0.as_fd(), other.0.as_fd())
            .map(Fence)
            .map_err(|errno| Error::from_errno("SYNC_IOC_MERGE", "two fences", errno))
    }

    /// A second handle to the same fence.
    pub fn try_clone(&self) -> Result<Fence> {
        self.0.try_clone().map(Fence).map_err(|error| Error::from_io("dup", "a fence", error))
    }

    /// Gives the fd away.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Fence {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
