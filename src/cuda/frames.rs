//! Frames of dma-bufs as device pointers, and back: CUDA takes no dma-bufs, so Vulkan copies them once, on the GPU, into memory
//! that both have.
//!
//! In: buffers, fences to wait for. Out: [`Pixels`] for kernels in [`Frames::stream`]; a fence behind what comes back.
//! Not here: memory without a dma-buf (`pass`).

use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::CudaStream;

use super::{Device, HANG, Memory, Pixels, Semaphore};
use crate::buffer::Buffer;
use crate::error::Result;
use crate::fence::Fence;
use crate::format::Fourcc;
use crate::layout::Size;
use crate::vulkan;
use crate::vulkan::{Staging, Submitted, TimelineSemaphore};

/// Sizes that are remembered: those of one picture's way through a program.
const REMEMBERED: usize = 8;

struct Staged {
    staging: Staging,
    memory: Memory,
}

/// The way between dma-bufs and CUDA. Its memory is made once for each size and format.
pub struct Frames {
    /// Latest use last.
    staged: Vec<Staged>,
    there: Semaphore,
    stream: Arc<CudaStream>,
    timeline: TimelineSemaphore,
    /// The last value that somebody sets, or has set.
    value: u64,
    made: u64,
    vulkan: vulkan::Device,
    cuda: Device,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cuda::Frames({}, {} sizes)", self.cuda.info(), self.staged.len())
    }
}

impl Frames {
    /// Between dma-bufs that `vulkan` imports and CUDA on the same device.
    ///
    /// # Errors
    /// `Unsupported` where there is no CUDA, or Vulkan shares no timelines; `NotFound` where CUDA does not have the device.
    pub fn new(vulkan: &vulkan::Device) -> Result<Self> {
        let cuda = Device::of_vulkan(vulkan)?;
        let timeline = TimelineSemaphore::for_sharing(vulkan, 0)?;
        let there = Semaphore::timeline(&cuda, &timeline)?;
        let stream = cuda.stream()?;
        Ok(Self { staged: Vec::new(), there, stream, timeline, value: 0, made: 0, vulkan: vulkan.clone(), cuda })
    }

    /// Where kernels are launched.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// CUDA's device.
    pub fn device(&self) -> &Device {
        &self.cuda
    }

    /// Memories that were made, one for each size and format.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// The memory for this size and format, as kernels see it, without a frame in it: to be written and given back.
    ///
    /// # Errors
    /// Those of [`Staging::new`] and [`Memory::import`].
    pub fn blank(&mut self, size: Size, fourcc: Fourcc) -> Result<Pixels> {
        let index = self.find(size, fourcc)?;
        let Staged { staging, memory } = &self.staged[index];
        memory.pixels(staging.layout())
    }

    /// A frame as a device pointer, valid until the next frame of the same size and format is taken. What follows in
    /// [`Frames::stream`] waits on the GPU for `waits`, for the buffer's implicit fences and for the copy; `Submitted` says
    /// when the buffer may be written again.
    ///
    /// # Errors
    /// Those of [`Staging::take`] and [`Frames::blank`].
    pub fn take(&mut self, buffer: &Buffer, waits: &[&Fence]) -> Result<(Pixels, Submitted)> {
        let index = self.find(buffer.size(), buffer.fourcc())?;
        // The kernels so far may still read the memory.
        self.there.signal(&self.stream, self.value + 1)?;
        self.value += 1;
        let order = (Some((&self.timeline, self.value)), Some((&self.timeline, self.value + 1)));
        let Staged { staging, memory } = &mut self.staged[index];
        let submitted = staging.take(buffer, waits, order)?;
        self.value += 1;
        self.there.wait(&self.stream, self.value)?;
        Ok((memory.pixels(staging.layout())?, submitted))
    }

    /// Copies what the kernels so far have written, in the memory of [`Frames::take`] or [`Frames::blank`], into `buffer`. Whoever
    /// goes on with the buffer waits for the fence of `Submitted`, or for the buffer's implicit ones.
    ///
    /// # Errors
    /// Those of [`Staging::give`] and [`Frames::blank`].
    pub fn give(&mut self, buffer: &Buffer, waits: &[&Fence]) -> Result<Submitted> {
        let index = self.find(buffer.size(), buffer.fourcc())?;
        self.there.signal(&self.stream, self.value + 1)?;
        self.value += 1;
        let order = (Some((&self.timeline, self.value)), Some((&self.timeline, self.value + 1)));
        let submitted = self.staged[index].staging.give(buffer, waits, order)?;
        self.value += 1;
        // Kernels that follow may write the memory again.
        self.there.wait(&self.stream, self.value)?;
        Ok(submitted)
    }

    /// Blocks until everything so far is done.
    ///
    /// # Errors
    /// `Timeout`; `ContextLost`.
    pub fn wait(&self, limit: Duration) -> Result<()> {
        self.cuda.wait(&self.stream, limit)
    }

    fn find(&mut self, size: Size, fourcc: Fourcc) -> Result<usize> {
        let fits = |staged: &Staged| (staged.staging.layout().size, staged.staging.layout().fourcc) == (size, fourcc);
        let staged = match self.staged.iter().position(fits) {
            Some(index) => self.staged.remove(index),
            None => {
                let (staging, fd, handle) = Staging::new(&self.vulkan, size, fourcc)?;
                let memory = Memory::import(&self.cuda, fd, &handle)?;
                if self.staged.len() >= REMEMBERED {
                    self.wait(HANG)?;
                    self.staged.remove(0);
                }
                self.made += 1;
                Staged { staging, memory }
            }
        };
        self.staged.push(staged);
        Ok(self.staged.len() - 1)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if self.wait(HANG).is_err() {
            tracing::error!(device = %self.cuda.info(), "work that does not end: CUDA is let off its wait");
            // Vulkan's own signal of a value before this one comes too late for anybody.
            let _ = self.timeline.signal(self.value + 1);
            let _ = self.wait(HANG);
        }
    }
}
