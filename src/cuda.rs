//! CUDA: frames as device pointers, and back; what moves them stays on the GPU.
//!
//! In: [`Buffer`](crate::buffer::Buffer)s of dma-bufs ([`Frames`]), or textures of GLES where there are no dma-bufs ([`Pass`]).
//! Out: [`Pixels`]: an address, a stride, a stream to work in. Not here: kernels; they are the program's, with the handles of
//! [`cudarc`], which is passed on.
//!
//! libcuda is opened at run time. Devices are matched by UUID, which Vulkan, OpenGL ES and CUDA tell alike; what is not of the
//! same device is refused before a driver sees it.
//!
//! # Who waits for whom
//! Work is ordered by semaphores that the GPU waits for. The calling thread waits where a program asks for it
//! ([`Device::wait`], with a time limit), and when the last user of a device's work is dropped.
//!
//! # References
//! CUDA Driver API: "External Resource Interoperability"; `VK_KHR_external_memory_fd`, `VK_KHR_external_semaphore_fd`,
//! `GL_EXT_memory_object_fd`, `GL_EXT_semaphore_fd`
#![expect(unsafe_code, reason = "CUDA is a C interface; each block names the rule it keeps")]

use std::fmt;
use std::time::Duration;

pub use cudarc;
use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

use crate::error::{Error, ErrorKind};

pub mod device;
pub mod frames;
pub mod memory;
pub mod pass;
pub mod semaphore;

pub use device::{Device, Info};
pub use frames::Frames;
pub use memory::{Memory, Pixels};
pub use pass::Pass;
pub use semaphore::Semaphore;

/// Work that takes longer than this hangs.
const HANG: Duration = Duration::from_secs(10);

/// The error of a CUDA call.
fn failed(op: &'static str, detail: impl fmt::Display, error: DriverError) -> Error {
    let kind = match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => ErrorKind::OutOfMemory,
        CUresult::CUDA_ERROR_NO_DEVICE
        | CUresult::CUDA_ERROR_NOT_SUPPORTED
        | CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        | CUresult::CUDA_ERROR_SYSTEM_NOT_READY
        | CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE
        | CUresult::CUDA_ERROR_STUB_LIBRARY
        | CUresult::CUDA_ERROR_INVALID_IMAGE
        | CUresult::CUDA_ERROR_INVALID_PTX
        | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => ErrorKind::Unsupported,
        CUresult::CUDA_ERROR_INVALID_HANDLE => ErrorKind::InvalidInput,
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | CUresult::CUDA_ERROR_LAUNCH_FAILED
        | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
        | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
        | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED => ErrorKind::ContextLost,
        _ => ErrorKind::Failed,
    };
    let name = format!("{:?}", error.0);
    let separator = if detail.to_string().is_empty() { "" } else { ": " };
    let error = Error::new(kind, op, format!("{detail}{separator}{name}"));
    match kind {
        ErrorKind::ContextLost => error.with_hint("a kernel has broken the context: start the process anew"),
        _ => error,
    }
}
