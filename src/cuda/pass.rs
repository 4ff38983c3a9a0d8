//! Pictures from GLES to a CUDA kernel and back, where there are no dma-bufs: both have the same image of Vulkan's, and order
//! their work by semaphores on the GPU.
//!
//! In: a target that GLES draws into. Out: a texture that GLES samples; between the two a kernel of the program's reads and
//! writes [`Pixels`]. Not here: dma-bufs (`frames`).
//!
//! # References
//! `GL_EXT_memory_object_fd`, `GL_EXT_semaphore_fd`; CUDA Driver API: "External Resource Interoperability"

use std::sync::Arc;
use std::time::Duration;

use ash::vk;
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, sys};

use super::memory::Array;
use super::{Device, HANG, Pixels, Semaphore, failed};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::gles::{Framebuffer, Gl, Texture, external};
use crate::layout::{Constraints, Layout, Size};
use crate::vulkan;
use crate::vulkan::OpaqueImage;

/// What drivers of GLES, Vulkan and CUDA do with a shared image.
fn usage() -> vk::ImageUsageFlags {
    vk::ImageUsageFlags::COLOR_ATTACHMENT
        | vk::ImageUsageFlags::SAMPLED
        | vk::ImageUsageFlags::TRANSFER_SRC
        | vk::ImageUsageFlags::TRANSFER_DST
}

/// A kernel's place among the draws of GLES. It belongs to the context that it was made with.
pub struct Pass {
    target: Framebuffer,
    result: Framebuffer,
    // GLES's side and CUDA's of each semaphore.
    drawn: (external::Semaphore, Semaphore),
    computed: (Semaphore, external::Semaphore),
    stream: Arc<CudaStream>,
    memory: Option<[(CudaSlice<u8>, Pixels); 2]>,
    from: Array,
    to: Array,
    device: Device,
    // The memory and semaphores that both sides have; the device is the last to go.
    _images: [OpaqueImage; 2],
    _semaphores: [vulkan::Semaphore; 2],
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cuda::Pass({} {})", self.result.fourcc(), self.result.size())
    }
}

impl Pass {
    /// For pictures of this size and format (`ABGR8888`, `R8`, `GR88`, …).
    ///
    /// # Errors
    /// `Unsupported`: no CUDA, no Vulkan, a driver that shares no memory, a format that CUDA has no array of. `NotFound`: the
    /// device that GLES draws on is not one of Vulkan's and CUDA's. `InvalidInput`: see [`vulkan::opaque`].
    pub fn new(gl: &Gl, size: Size, fourcc: Fourcc) -> Result<Self> {
        let device = Device::of_gles(gl)?;
        let vulkan = vulkan::Device::open(&vulkan::Choice::Uuid(device.info().uuid))?;
        Self::on(gl, &vulkan, &device, size, fourcc)
    }

    /// The same with devices that are open already.
    ///
    /// # Errors
    /// As [`Pass::new`]; `InvalidInput` where the three are not one device.
    pub fn on(gl: &Gl, vulkan: &vulkan::Device, device: &Device, size: Size, fourcc: Fourcc) -> Result<Self> {
        let image = || OpaqueImage::allocate(vulkan, size, fourcc, usage());
        let images = [image()?, image()?];
        let target = Framebuffer::new(gl, images[0].texture(gl)?)?;
        let result = Framebuffer::new(gl, images[1].texture(gl)?)?;
        let (from, to) = (Array::import(device, &images[0])?, Array::import(device, &images[1])?);
        let semaphores = [vulkan::Semaphore::for_sharing(vulkan)?, vulkan::Semaphore::for_sharing(vulkan)?];
        let drawn = (semaphores[0].gles(gl)?, Semaphore::binary(device, &semaphores[0])?);
        let computed = (Semaphore::binary(device, &semaphores[1])?, semaphores[1].gles(gl)?);
        let stream = device.stream()?;
        let rows = Constraints { stride_align_bytes: 256, ..Constraints::NONE };
        let layout = Layout::linear(fourcc, size, &rows)?;
        let bytes = u64::from(layout.planes()[0].stride_bytes) * u64::from(size.height);
        let linear = || -> Result<(CudaSlice<u8>, Pixels)> {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            let slice = stream.alloc_zeros::<u8>(bytes);
            let slice = slice.map_err(|error| failed("cuMemAllocAsync", format!("{bytes} bytes"), error))?;
            let address = slice.device_ptr(&stream).0;
            Ok((slice, Pixels::new(address, layout.clone())))
        };
        let memory = Some([linear()?, linear()?]);
        Ok(Self {
            target,
            result,
            drawn,
            computed,
            stream,
            memory,
            from,
            to,
            device: device.clone(),
            _images: images,
            _semaphores: semaphores,
        })
    }

    /// Where GLES draws what the kernel reads.
    pub fn target(&self) -> &Framebuffer {
        &self.target
    }

    /// What the kernel has written: its texture is for GLES to sample, its pixels can be read.
    pub fn result(&self) -> &Framebuffer {
        &self.result
    }

    /// The device's memory that [`Pass::read`] fills and [`Pass::write`] takes; `None` after a failure.
    pub fn pixels(&self) -> Option<(&Pixels, &Pixels)> {
        self.memory.as_ref().map(|[(_, source), (_, result)]| (source, result))
    }

    /// Copies what GLES has drawn to the first of [`Pass::pixels`], inside [`Pass::run_arrays`].
    ///
    /// # Errors
    /// `Failed`.
    pub fn read(&self) -> Result<()> {
        self.from.copy(&self.stream, self.both()?.0, true)
    }

    /// Copies the second of [`Pass::pixels`] to what GLES will sample, inside [`Pass::run_arrays`].
    ///
    /// # Errors
    /// `Failed`.
    pub fn write(&self) -> Result<()> {
        self.to.copy(&self.stream, self.both()?.1, false)
    }

    fn both(&self) -> Result<(&Pixels, &Pixels)> {
        self.pixels().ok_or_else(|| Error::failed("cuda pass", "its memory is gone"))
    }

    /// Where kernels are launched.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// CUDA's device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The images as CUDA arrays (what GLES drew, what it will sample), for kernels that read texels and write surfaces:
    /// inside [`Pass::run_arrays`] that saves both copies.
    pub fn arrays(&self) -> (sys::CUarray, sys::CUarray) {
        (self.from.level(), self.to.level())
    }

    /// Hands what GLES has drawn to `kernel` as device pointers (source, result), and what it writes back to GLES: one copy on
    /// the GPU each way. Draws that follow wait for it on the GPU; nobody waits here.
    ///
    /// # Errors
    /// Those of `kernel`: the result keeps its picture then. `InvalidInput` with another context; `Failed`.
    pub fn run(
        &mut self,
        gl: &Gl,
        kernel: impl FnOnce(&Arc<CudaStream>, &Pixels, &Pixels) -> Result<()>,
    ) -> Result<()> {
        self.run_arrays(gl, |pass| {
            let (source, result) = pass.both()?;
            pass.read()?;
            kernel(&pass.stream, source, result)?;
            pass.write()
        })
    }

    /// As [`Pass::run`], without copies: `work` launches into [`Pass::stream`] what reads and writes [`Pass::arrays`].
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn run_arrays(&mut self, gl: &Gl, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.drawn.0.signal(gl, &textures(&self.target))?;
        self.drawn.1.wait(&self.stream, 0)?;
        let worked = work(self);
        // GLES must not draw the next picture before this one is read, even where the kernel was not launched.
        self.computed.0.signal(&self.stream, 0)?;
        self.computed.1.wait(gl, &textures(&self.result))?;
        worked
    }

    /// Blocks until the kernels so far are done.
    ///
    /// # Errors
    /// `Timeout`; `ContextLost`.
    pub fn wait(&self, limit: Duration) -> Result<()> {
        self.device.wait(&self.stream, limit)
    }
}

fn textures(target: &Framebuffer) -> Vec<&Texture> {
    target.texture().into_iter().collect()
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.wait(HANG).is_err() {
            tracing::error!(device = %self.device.info(), "work that does not end: a CUDA pass keeps its memory");
            std::mem::forget(self.memory.take());
        }
    }
}
