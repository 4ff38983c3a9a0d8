//! Semaphores of Vulkan in CUDA's streams.
//!
//! In: a semaphore that was made for sharing. Out: waits and signals in a stream, on the GPU. Not here: waiting on the
//! processor ([`Device::wait`]).
//!
//! # References
//! CUDA Driver API: `cuImportExternalSemaphore`, `cuWaitExternalSemaphoresAsync`, `cuSignalExternalSemaphoresAsync`

use std::os::fd::{AsRawFd, OwnedFd};

use cudarc::driver::{CudaStream, sys};

use super::memory::given;
use super::{Device, failed};
use crate::error::{Error, Result};
use crate::vulkan;
use crate::vulkan::device::hex;

/// A binary or timeline semaphore of Vulkan.
pub struct Semaphore {
    raw: sys::CUexternalSemaphore,
    is_timeline: bool,
    device: Device,
}

impl std::fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cuda::Semaphore({})", if self.is_timeline { "timeline" } else { "binary" })
    }
}

// SAFETY: a CUexternalSemaphore is a name that any thread may use with its context current.
unsafe impl Send for Semaphore {}

fn check(device: &Device, other: &vulkan::Device) -> Result<()> {
    let (ours, theirs) = (device.info(), other.info());
    match ours.uuid == theirs.device_uuid {
        true => Ok(()),
        false => {
            let (there, here) = (hex(&theirs.device_uuid), hex(&ours.uuid));
            let detail = format!("the semaphore is on {there} ({}), CUDA on {here} ({})", theirs.name, ours.name);
            Err(Error::invalid("cuImportExternalSemaphore", detail)
                .with_hint("open the device with cuda::Device::of_vulkan"))
        }
    }
}

impl Semaphore {
    /// CUDA's side of a binary semaphore ([`vulkan::Semaphore::for_sharing`]): each signal is waited for once, and submitted
    /// before.
    ///
    /// # Errors
    /// `InvalidInput`: another device, or a semaphore that was not made for sharing.
    pub fn binary(device: &Device, semaphore: &vulkan::Semaphore) -> Result<Self> {
        check(device, semaphore.device())?;
        Self::import(device, semaphore.to_opaque_fd()?, false)
    }

    /// CUDA's side of a timeline ([`vulkan::TimelineSemaphore::for_sharing`]).
    ///
    /// # Errors
    /// As [`Semaphore::binary`].
    pub fn timeline(device: &Device, semaphore: &vulkan::TimelineSemaphore) -> Result<Self> {
        check(device, semaphore.device())?;
        Self::import(device, semaphore.to_opaque_fd()?, true)
    }

    fn import(device: &Device, fd: OwnedFd, is_timeline: bool) -> Result<Self> {
        device.bind()?;
        let kind = match is_timeline {
            true => sys::CUexternalSemaphoreHandleType::CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD,
            false => sys::CUexternalSemaphoreHandleType::CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD,
        };
        let desc = sys::CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC {
            type_: kind,
            handle: sys::CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC_st__bindgen_ty_1 { fd: fd.as_raw_fd() },
            flags: 0,
            reserved: [0; 16],
        };
        let mut raw = std::ptr::null_mut();
        // SAFETY: the context is current; the fd is a semaphore of this kind on this device.
        let imported = unsafe { sys::cuImportExternalSemaphore(&mut raw, &desc) }.result();
        given(fd, imported.is_ok());
        imported.map_err(|error| failed("cuImportExternalSemaphore", format!("{kind:?}"), error))?;
        Ok(Self { raw, is_timeline, device: device.clone() })
    }

    /// Lets the stream wait for it; `value` is for timelines. A value that nobody sets is waited for without an end, on the
    /// GPU: [`Device::wait`] ends then.
    ///
    /// # Errors
    /// `Failed`.
    pub fn wait(&self, stream: &CudaStream, value: u64) -> Result<()> {
        self.device.bind()?;
        // SAFETY: numbers alone, of which zeros are valid.
        let mut params: sys::CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS = unsafe { std::mem::zeroed() };
        params.params.fence.value = value;
        // SAFETY: the context is current; semaphore and parameters are one.
        unsafe { sys::cuWaitExternalSemaphoresAsync(&self.raw, &params, 1, stream.cu_stream()) }
            .result()
            .map_err(|error| failed("cuWaitExternalSemaphoresAsync", value, error))
    }

    /// Signals it behind the stream's work; `value` is for timelines.
    ///
    /// # Errors
    /// `Failed`.
    pub fn signal(&self, stream: &CudaStream, value: u64) -> Result<()> {
        self.device.bind()?;
        // SAFETY: numbers alone, of which zeros are valid.
        let mut params: sys::CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS = unsafe { std::mem::zeroed() };
        params.params.fence.value = value;
        // SAFETY: as above.
        unsafe { sys::cuSignalExternalSemaphoresAsync(&self.raw, &params, 1, stream.cu_stream()) }
            .result()
            .map_err(|error| failed("cuSignalExternalSemaphoresAsync", value, error))
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: made here; its users have waited for the work.
            unsafe { sys::cuDestroyExternalSemaphore(self.raw) };
        }
    }
}
