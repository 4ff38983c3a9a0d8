//! Fences of a context: the end of its work for others, and others' work before its own.
//!
//! In: what was drawn; [`Fence`]s of others. Out: a [`Fence`], or a wait by the best way that worked when it was tried.
//! Not here: sync objects (`egl::sync`), waits of the CPU (`fence`).

use std::time::Duration;

use super::gl::Gl;
use crate::buffer::{Access, Buffer};
use crate::egl::sync::Sync;
use crate::egl::{FenceWay, FenceWays};
use crate::error::{Error, Result};
use crate::fence::Fence;

/// How long a CPU wait for the GPU may take before it is called a hang.
const HANG: Duration = Duration::from_secs(10);

/// A point in the work of a context: what was asked for before it is done when [`Mark::wait`] returns.
pub struct Mark(Sync);

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mark")
    }
}

impl Mark {
    /// Blocks until the work before the mark is done, or ten seconds.
    ///
    /// # Errors
    /// `Timeout`; `ContextLost`; `Failed`.
    pub fn wait(self, _gl: &Gl) -> Result<()> {
        self.0.wait(Some(HANG))
    }
}

impl Gl {
    /// Marks the work so far, and hands it to the GPU. For this thread to wait a little later, with other work between;
    /// [`Gl::fence`] is for others.
    ///
    /// # Errors
    /// `Unsupported` where the display has no `EGL_KHR_fence_sync`; `Failed`.
    pub fn mark(&self) -> Result<Mark> {
        let mark = Sync::fence(self.current()).map(Mark);
        self.flush();
        mark
    }

    /// How the end of work is told on this context: tried once, at the first call. Blocks for as long as the work so far.
    pub fn fence_ways(&self) -> FenceWays {
        *self.fence_ways_slot().get_or_init(|| {
            // Two threads that make native fences on one display crash Mesa's software rasteriser (see egl::faults).
            let trusted = !self.caps().is_software || crate::egl::fault_rules_are_off();
            let native = match trusted {
                true => self.native_fence(),
                false => Err(Error::unsupported("EGL_ANDROID_native_fence_sync", "the CPU draws: nothing to gain")),
            };
            let into = match &native {
                Ok(fence) => Sync::import(self.current(), fence).and_then(|sync| sync.wait_on_gpu(self.current())),
                Err(error) => Err(Error::unsupported("native fence", error.to_string())),
            };
            let out = match &native {
                Ok(_) => FenceWay::NativeFence,
                Err(error) => {
                    tracing::debug!(%error, "no native fences");
                    let tried = Sync::fence(self.current()).and_then(|sync| sync.wait(Some(HANG)));
                    if tried.is_ok() { FenceWay::ClientWait } else { FenceWay::Finish }
                }
            };
            // llvmpipe waits in eglWaitSync, on this thread, without an end, and takes a failed fence for a signaled one:
            // our own wait costs the same and has neither fault.
            let on_gpu = into.is_ok() && !self.caps().is_software;
            let ways = FenceWays { out, into: if on_gpu { FenceWay::NativeFence } else { FenceWay::ClientWait } };
            tracing::debug!(out = %ways.out, into = %ways.into, "fences");
            ways
        })
    }

    fn native_fence(&self) -> Result<Fence> {
        let sync = Sync::native_fence(self.current())?;
        // The fd comes to be with the flush.
        self.flush();
        sync.dup_native()
    }

    /// A fence behind all work so far, or `None` after this thread has waited for that work.
    ///
    /// With native fences nobody blocks; without, this call blocks in `eglClientWaitSync` or `glFinish`
    /// ([`Gl::fence_ways`] says which). Either way the work is handed to the GPU.
    ///
    /// # Errors
    /// `Timeout` after ten seconds (a hang); `ContextLost`; `Failed`.
    #[must_use = "the pixels are not there before the fence has signaled"]
    pub fn fence(&self) -> Result<Option<Fence>> {
        match self.fence_ways().out {
            FenceWay::NativeFence => self.native_fence().map(Some),
            FenceWay::ClientWait => {
                Sync::fence(self.current())?.wait(Some(HANG))?;
                Ok(None)
            }
            FenceWay::DmaBufImplicit | FenceWay::Finish => {
                self.finish();
                self.check()?;
                Ok(None)
            }
        }
    }

    /// Lets the work that follows wait for `fence`: on the GPU where native fences work, else on this thread. Software
    /// rasterisers have no GPU that could wait.
    ///
    /// # Errors
    /// `Timeout` after ten seconds and `Failed` where the work behind the fence failed: on this thread only. A GPU takes
    /// a failed fence for a signaled one.
    pub fn wait_fence(&self, fence: &Fence) -> Result<()> {
        if self.fence_ways().into == FenceWay::NativeFence {
            let waited = Sync::import(self.current(), fence).and_then(|sync| sync.wait_on_gpu(self.current()));
            match waited {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(%error, "waiting for a fence on the CPU"),
            }
        }
        fence.wait(Some(HANG))
    }

    /// The fence that the kernel's driver put on `buffer` for what was drawn into it: hands the work to the GPU, then
    /// asks the memory. Does not block.
    ///
    /// Never chosen by [`Gl::fence`]: drivers that put no fences there (vendor drivers without reservation objects) and
    /// those that submit later from a thread of their own give a fence that signals too early. Use it where the board is
    /// known to be neither.
    ///
    /// # Errors
    /// `Unsupported`: an old kernel, or memory that is no dma-buf.
    #[doc(alias = "DMA_BUF_IOCTL_EXPORT_SYNC_FILE")]
    pub fn implicit_fence(&self, buffer: &Buffer) -> Result<Fence> {
        self.flush();
        buffer.export_fence(Access::Read)
    }
}
