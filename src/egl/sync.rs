//! Sync objects: how the end of GPU work is told to others, and how the GPU waits for others.
//!
//! In: a current context, fds of sync_files. Out: [`Fence`]s, or a wait by the best way that works.
//! Not here: choosing the way (`gles` tries them once per context), waiting for a sync_file on the CPU (`fence`).
//!
//! # References
//! `EGL_KHR_fence_sync`, `EGL_KHR_wait_sync`, `EGL_ANDROID_native_fence_sync`, EGL 1.5 section 3.8

use std::ffi::c_void;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::context::Current;
use super::{Display, EglError};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;

type Handle = *mut c_void;

const NONE: i32 = 0x3038;
const SYNC_FENCE: u32 = 0x30F9;
const SYNC_NATIVE_FENCE_ANDROID: u32 = 0x3144;
const SYNC_NATIVE_FENCE_FD_ANDROID: i32 = 0x3145;
const SYNC_FLUSH_COMMANDS_BIT: i32 = 1;
const TIMEOUT_EXPIRED: i32 = 0x30F5;
const CONDITION_SATISFIED: i32 = 0x30F6;
const FOREVER: u64 = u64::MAX;

/// How the end of GPU work becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceWay {
    /// `EGL_ANDROID_native_fence_sync`: a sync_file, nobody blocks.
    NativeFence,
    /// The kernel's implicit fences of the dma-buf (`Buffer::export_fence`, `Buffer::import_fence`).
    DmaBufImplicit,
    /// This thread waits: out by `eglClientWaitSync`, in by poll on the sync_file.
    ClientWait,
    /// This thread waits in `glFinish`.
    Finish,
}

impl fmt::Display for FenceWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NativeFence => "native-fence",
            Self::DmaBufImplicit => "dma-buf-implicit",
            Self::ClientWait => "client-wait",
            Self::Finish => "finish",
        })
    }
}

/// The ways that worked when they were tried on this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FenceWays {
    /// From our GPU work to others.
    pub out: FenceWay,
    /// From others' work to our GPU.
    pub into: FenceWay,
}

/// An EGL sync object of a display.
pub(crate) struct Sync {
    display: Display,
    raw: Handle,
}

impl Sync {
    /// A fence behind all GL commands given so far; blocks not.
    ///
    /// # Errors
    /// `Unsupported` where the display has no fences; `Failed`.
    #[doc(alias = "eglCreateSync")]
    pub(crate) fn fence(current: &Current) -> Result<Self> {
        Self::create(current, SYNC_FENCE, &[])
    }

    /// A fence that [`Sync::dup_native`] can turn into a sync_file after the next flush.
    pub(crate) fn native_fence(current: &Current) -> Result<Self> {
        check_native(current.display())?;
        Self::create(current, SYNC_NATIVE_FENCE_ANDROID, &[])
    }

    /// A sync that stands for `fence`, for [`Sync::wait_on_gpu`].
    pub(crate) fn import(current: &Current, fence: &Fence) -> Result<Self> {
        check_native(current.display())?;
        let fd = fence
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::from_io("dup", "a fence for eglCreateSync", error))?;
        let sync = Self::create(current, SYNC_NATIVE_FENCE_ANDROID, &[SYNC_NATIVE_FENCE_FD_ANDROID, fd.as_raw_fd()])?;
        // On success EGL owns the fd; after a failure it is still ours and closed by the drop above.
        std::mem::forget(fd);
        Ok(sync)
    }

    fn create(current: &Current, kind: u32, attributes: &[i32]) -> Result<Self> {
        let display = current.display();
        let functions = display.functions();
        display.library().last_error();
        // Native fences exist for the KHR function only in 1.4; in 1.5 both take them, and KHR is what drivers test.
        let raw = if let Some(create) = functions.create_sync_khr {
            let mut list = attributes.to_vec();
            list.push(NONE);
            // SAFETY: a context of the display is current (proof: `current`); the list ends with EGL_NONE.
            unsafe { create(display.raw(), kind, list.as_ptr()) }
        } else if let Some(create) = functions.create_sync {
            let mut list: Vec<usize> = attributes.iter().map(|value| *value as isize as usize).collect();
            list.push(NONE as usize);
            // SAFETY: as above.
            unsafe { create(display.raw(), kind, list.as_ptr()) }
        } else {
            return Err(Error::unsupported("EGL_KHR_fence_sync", format!("{display} does not offer it")));
        };
        if raw.is_null() {
            return Err(sync_error(display, "eglCreateSync"));
        }
        Ok(Self { display: display.clone(), raw })
    }

    /// The sync_file of a native fence. `glFlush` must have been called since the fence was made.
    ///
    /// # Errors
    /// `Failed`: there is none (not flushed, or the driver does not keep its promise).
    #[doc(alias = "eglDupNativeFenceFDANDROID")]
    pub(crate) fn dup_native(&self) -> Result<Fence> {
        let dup = self.display.functions().dup_native_fence_fd.ok_or_else(|| {
            Error::unsupported("EGL_ANDROID_native_fence_sync", format!("{} does not offer it", self.display))
        })?;
        // SAFETY: a live sync of this display.
        let fd = unsafe { dup(self.display.raw(), self.raw) };
        if fd < 0 {
            return Err(sync_error(&self.display, "eglDupNativeFenceFDANDROID"));
        }
        // SAFETY: the extension gives the caller a new fd of its own.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
            .map_err(|errno| Error::from_errno("fcntl", "FD_CLOEXEC on a fence", errno))?;
        Fence::from_fd(fd)
    }

    /// Blocks this thread until the work before the fence is done, flushing first. `None` waits for ever.
    ///
    /// # Errors
    /// `Timeout`; `ContextLost`; `Failed`.
    #[doc(alias = "eglClientWaitSync")]
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        let wait =
            self.display.functions().client_wait_sync.ok_or_else(|| {
                Error::unsupported("eglClientWaitSync", format!("{} does not offer it", self.display))
            })?;
        let timeout_ns = timeout.map_or(FOREVER, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(FOREVER - 1));
        // SAFETY: a live sync of this display; flags are those of the specification.
        match unsafe { wait(self.display.raw(), self.raw, SYNC_FLUSH_COMMANDS_BIT, timeout_ns) } {
            CONDITION_SATISFIED => Ok(()),
            TIMEOUT_EXPIRED => Err(Error::new(
                ErrorKind::Timeout,
                "eglClientWaitSync",
                format!("not signaled after {:?}", timeout.unwrap_or_default()),
            )),
            _ => Err(sync_error(&self.display, "eglClientWaitSync")),
        }
    }

    /// Lets the GPU wait before the commands that follow; this thread goes on.
    ///
    /// # Errors
    /// `Unsupported` where the display has no server-side wait; `Failed`.
    #[doc(alias = "eglWaitSync")]
    pub(crate) fn wait_on_gpu(&self, _current: &Current) -> Result<()> {
        let wait =
            self.display.functions().wait_sync.ok_or_else(|| {
                Error::unsupported("EGL_KHR_wait_sync", format!("{} does not offer it", self.display))
            })?;
        // SAFETY: a live sync of this display, a current context of it (proof: `_current`); flags must be 0.
        match unsafe { wait(self.display.raw(), self.raw, 0) } {
            1 => Ok(()),
            _ => Err(sync_error(&self.display, "eglWaitSync")),
        }
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        if let Some(destroy) = self.display.functions().destroy_sync {
            // SAFETY: made by this display, destroyed once.
            unsafe { destroy(self.display.raw(), self.raw) };
        }
    }
}

fn check_native(display: &Display) -> Result<()> {
    match display.functions().dup_native_fence_fd {
        Some(_) => Ok(()),
        None => Err(Error::unsupported("EGL_ANDROID_native_fence_sync", format!("{display} does not offer it"))),
    }
}

fn sync_error(display: &Display, op: &'static str) -> Error {
    let error = display.library().last_error();
    let kind = match error {
        EglError::CONTEXT_LOST => ErrorKind::ContextLost,
        EglError::BAD_ALLOC => ErrorKind::OutOfMemory,
        _ => ErrorKind::Failed,
    };
    Error::new(kind, op, error.to_string())
}
