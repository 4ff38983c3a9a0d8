//! dma-buf file descriptors: recognition, size, identity, CPU access brackets, implicit fences.
//!
//! # References
//! `include/uapi/linux/dma-buf.h`, `Documentation/driver-api/dma-buf.rst`

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::retry;

/// `f_type` of the dma-buf pseudo file system (Linux 5.3 and later), "DMAB".
const DMA_BUF_MAGIC: libc::__fsword_t = 0x444d_4142;

/// CPU access is a read, a write or both: `DMA_BUF_SYNC_*`.
pub const SYNC_READ: u64 = 1;
/// See [`SYNC_READ`].
pub const SYNC_WRITE: u64 = 2;
const SYNC_END: u64 = 4;

#[repr(C)]
struct Sync {
    flags: u64,
}

#[repr(C)]
struct SyncFile {
    flags: u32,
    fd: RawFd,
}

nix::ioctl_write_ptr!(ioctl_sync, b'b', 0, Sync);
nix::ioctl_readwrite!(ioctl_export_sync_file, b'b', 2, SyncFile);
nix::ioctl_write_ptr!(ioctl_import_sync_file, b'b', 3, SyncFile);

/// How a file descriptor was recognised as a dma-buf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// By its file system; its inode number is its identity.
    FileSystem,
    /// By its name in `/proc` (kernels before 5.3): every dma-buf has the same inode there.
    AnonymousInode,
}

/// The type is `long` on glibc, which is narrower on 32-bit machines: the constant fits both.
fn is_dma_buf_magic(kind: nix::sys::statfs::FsType) -> bool {
    kind.0 == DMA_BUF_MAGIC
}

/// The name of who made a dma-buf, as the kernel's `fdinfo` has it: `virtio_gpu`, `system`, `udmabuf`, …
pub fn exporter(fd: BorrowedFd<'_>) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix("exp_name:"))?.trim().to_owned())
}

/// Tells whether `fd` is a dma-buf, without any ioctl on a file that may be something else.
pub fn recognise(fd: BorrowedFd<'_>) -> Option<Recognition> {
    if let Ok(stat) = nix::sys::statfs::fstatfs(fd)
        && is_dma_buf_magic(stat.filesystem_type())
    {
        return Some(Recognition::FileSystem);
    }
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    (link.to_str()? == "anon_inode:dmabuf").then_some(Recognition::AnonymousInode)
}

/// Begins (`start`) or ends CPU access; `access` is [`SYNC_READ`], [`SYNC_WRITE`] or both. Restarted on EINTR.
pub fn sync(fd: BorrowedFd<'_>, access: u64, start: bool) -> nix::Result<()> {
    let argument = Sync { flags: access | if start { 0 } else { SYNC_END } };
    // SAFETY: the fd is open and the argument is the struct the ioctl reads; it writes nothing.
    retry(|| unsafe { ioctl_sync(fd.as_raw_fd(), &argument) }).map(|_| ())
}

/// The fences to wait for before an access, as a sync_file. `access` is what the caller is going to do.
pub fn export_sync_file(fd: BorrowedFd<'_>, access: u64) -> nix::Result<OwnedFd> {
    let mut argument = SyncFile { flags: access as u32, fd: -1 };
    // SAFETY: the fd is open and the argument is the struct the ioctl reads and writes.
    retry(|| unsafe { ioctl_export_sync_file(fd.as_raw_fd(), &mut argument) })?;
    if argument.fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: on success the kernel has made a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(argument.fd) })
}

/// Attaches a fence: others that use the buffer implicitly wait for it. `access` is what the fence stands for.
pub fn import_sync_file(fd: BorrowedFd<'_>, access: u64, fence: BorrowedFd<'_>) -> nix::Result<()> {
    let argument = SyncFile { flags: access as u32, fd: fence.as_raw_fd() };
    // SAFETY: both fds are open and the argument is the struct the ioctl reads; it takes no ownership.
    retry(|| unsafe { ioctl_import_sync_file(fd.as_raw_fd(), &argument) }).map(|_| ())
}

/// Size by `lseek`, which never moves the position of a dma-buf.
pub fn size_bytes(fd: impl AsFd) -> nix::Result<u64> {
    let end = nix::unistd::lseek64(fd.as_fd(), 0, nix::unistd::Whence::SeekEnd)?;
    u64::try_from(end).map_err(|_| Errno::EOVERFLOW)
}
