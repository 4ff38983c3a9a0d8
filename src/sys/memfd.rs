//! Sealed memory files.
//!
//! # References
//! memfd_create(2), fcntl(2) "File Sealing"

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A memfd of `size_bytes`, zeroed, that can neither shrink nor grow. It may still be written, as udmabuf demands.
pub fn create_sealed(name: &str, size_bytes: u64) -> nix::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&fd, libc::off_t::try_from(size_bytes).map_err(|_| Errno::EOVERFLOW)?)?;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW))?;
    Ok(fd)
}

/// The seals of a memory file; `None` where the fd is no memory file that can carry seals.
pub fn seals(fd: impl AsFd) -> Option<SealFlag> {
    fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS).ok().map(SealFlag::from_bits_retain)
}

/// Adds `F_SEAL_SHRINK` to a foreign memory file, where it lets us.
pub fn seal_shrink(fd: impl AsFd) -> nix::Result<()> {
    fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).map(|_| ())
}
