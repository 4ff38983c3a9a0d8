//! Vulkan: buffers as images and buffers of a Vulkan device, its memory as buffers, and fences both ways.
//!
//! In: [`Buffer`](crate::buffer::Buffer)s and [`Fence`](crate::fence::Fence)s. Out: [`Image`]s and [`LinearBuffer`]s that a Vulkan
//! program uses with its own handles ([`ash`] is passed on), buffers that GLES, displays and encoders take, fences.
//! Not here: drawing; shaders, pipelines and descriptors are the program's.
//!
//! libvulkan is opened at run time. What a driver is not able to do is found by asking it, and refused with the numbers
//! before it sees a handle; drivers do not check these themselves.
//!
//! # Who destroys what
//! An [`Image`] or [`LinearBuffer`] keeps its [`Device`], and a [submission](Device::submit) keeps both until the GPU is done
//! with them. The device waits for work once, when its last user is dropped, and never in between. For command buffers that
//! the program submits by itself, the program keeps images until these are done.
//!
//! # References
//! Vulkan 1.3: "External Memory Handle Types", "Queue Family Ownership Transfer", "Sampler Y'CBCR Conversion";
//! `VK_EXT_external_memory_dma_buf`, `VK_EXT_image_drm_format_modifier`, `VK_EXT_queue_family_foreign`,
//! `VK_KHR_external_semaphore_fd`, `VK_EXT_physical_device_drm`
#![expect(unsafe_code, reason = "Vulkan is a C interface; each block names the rule it keeps")]

use std::fmt;

pub use ash;
use ash::vk;

use crate::error::{Error, ErrorKind};

#[cfg(feature = "wgpu")]
pub(crate) mod adopt;
pub mod buffer;
pub mod cache;
pub mod device;
pub mod export;
pub mod formats;
pub mod handle;
pub mod import;
pub mod memory;
pub mod opaque;
pub mod staging;
pub mod submit;
pub mod sync;

pub use buffer::{LinearBuffer, copy_region};
pub use cache::Imports;
pub use device::{Choice, Device, Handles, Info};
pub use export::ExportOptions;
pub use formats::ModifierSupport;
pub use handle::{Handle, HandleKind};
pub use import::{Image, ImportOptions};
pub use opaque::OpaqueImage;
pub use staging::Staging;
pub use submit::{At, Submitted, Use, Way};
pub use sync::{Semaphore, TimelineSemaphore};

/// The error of a Vulkan call.
fn failed(op: &'static str, detail: impl fmt::Display, result: vk::Result) -> Error {
    let kind = match result {
        vk::Result::ERROR_OUT_OF_HOST_MEMORY
        | vk::Result::ERROR_OUT_OF_DEVICE_MEMORY
        | vk::Result::ERROR_TOO_MANY_OBJECTS => ErrorKind::OutOfMemory,
        vk::Result::ERROR_DEVICE_LOST => ErrorKind::ContextLost,
        vk::Result::TIMEOUT => ErrorKind::Timeout,
        vk::Result::ERROR_EXTENSION_NOT_PRESENT
        | vk::Result::ERROR_FEATURE_NOT_PRESENT
        | vk::Result::ERROR_FORMAT_NOT_SUPPORTED
        | vk::Result::ERROR_INCOMPATIBLE_DRIVER => ErrorKind::Unsupported,
        vk::Result::ERROR_INVALID_EXTERNAL_HANDLE | vk::Result::ERROR_INVALID_DRM_FORMAT_MODIFIER_PLANE_LAYOUT_EXT => {
            ErrorKind::InvalidInput
        }
        _ => ErrorKind::Failed,
    };
    let error = Error::new(kind, op, format!("{detail}: VK_{result:?}"));
    match kind {
        ErrorKind::ContextLost => {
            error.with_hint("make a new device and import the buffers again; their memory is intact")
        }
        _ => error,
    }
}
