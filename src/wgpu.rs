//! wgpu: buffers as textures that wgpu samples and draws into, with fences both ways.
//!
//! In: [`Buffer`](crate::buffer::Buffer)s and [`Fence`](crate::fence::Fence)s. Out: [`Texture`]s of a wgpu device, the fence behind
//! what was drawn. Not here: drawing; shaders, pipelines and bind groups are the program's, with the handles of
//! [`wgpu`](mod@wgpu), which is passed on.
//!
//! Only wgpu's Vulkan backend takes memory and fences of others. The device is one Vulkan device for wgpu and for
//! [`vulkan`](crate::vulkan), whose imports are used here: each plane at its place, everything asked for before a driver sees it.
//!
//! # Who waits for whom
//! [`Device::submit`] hands everything in through wgpu's queue, which orders it: fences are semaphores there, and the GPU waits for
//! them. The calling thread waits only where the driver takes no sync_files or draws with the processor; [`Submitted`] says so.
//!
//! # References
//! wgpu-hal 30: `vulkan::Device::texture_from_raw`, `Adapter::device_from_raw`, `Queue::add_wait_semaphore`,
//! `Queue::add_signal_semaphore`; `VK_QUEUE_FAMILY_FOREIGN_EXT`
#![expect(
    unsafe_code,
    reason = "what wgpu and Vulkan are told of each other is checked by neither; each block names the rule it keeps"
)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub use wgpu;

use crate::error::{Error, ErrorKind, Result};

pub mod cache;
pub mod device;
pub mod submit;
pub mod texture;
mod tools;

pub use cache::Imports;
pub use device::{Device, Options};
pub use submit::Use;
pub use texture::Texture;
pub(crate) use tools::mapped;
pub use tools::{clear, corner, read};

pub use crate::vulkan::{Choice, Submitted, Way};

/// What is there at once: natively, wgpu's futures are.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The error that wgpu has kept for the scope around a call.
fn scoped(op: &'static str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::new(ErrorKind::OutOfMemory, op, "wgpu is out of memory"),
        wgpu::Error::Validation { description, .. } => Error::invalid(op, one_line(&description)),
        wgpu::Error::Internal { description, .. } => Error::failed(op, one_line(&description)),
    }
}

/// wgpu writes one cause a line.
fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}

/// Calls of wgpu whose errors are returned, instead of being reported somewhere else.
///
/// # Errors
/// `InvalidInput` where wgpu's validation says so; `OutOfMemory`; `Failed`.
pub fn catch<T>(device: &wgpu::Device, op: &'static str, calls: impl FnOnce() -> T) -> Result<T> {
    let scopes = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation]
        .map(|filter| device.push_error_scope(filter));
    let made = calls();
    let mut found = None;
    for scope in scopes.into_iter().rev() {
        found = found.or(now(scope.pop()).flatten());
    }
    match found {
        Some(error) => Err(scoped(op, error)),
        None => Ok(made),
    }
}
