//! Headless EGL / OpenGL ES rendering into dma-bufs, for boards that have a GPU and no display.

pub mod allocator;
pub mod board;
pub mod buffer;
pub mod color;
mod config;
pub mod device;
pub mod egl;
pub mod error;
pub mod fence;
pub mod format;
pub mod frame;
pub mod gles;
pub mod layout;
pub mod pipeline;
pub mod pool;
pub mod probe;
mod sys;
