//! Headless EGL / OpenGL ES rendering into dma-bufs, for boards that have a GPU and no display.
//!
//! The crate reads in one direction; each step takes the step before by reference and returns the next by value:
//!
//! ```text
//!  board ─▶ device ─▶ allocator ─▶ buffer ─▶ image ─▶ texture / framebuffer ─▶ pass ─▶ sink
//!  TOML     nodes     Request      planes    EGLImage  GL names                draw     frame leaves
//!                                    └───────── Frame = Buffer + Fence + colour + time ─────────┘
//! ```
//!
//! Start with [`board::Board`] and [`device::Device`]; make memory with [`device::Device::allocate`]; give it to the GPU
//! with [`egl::Image::import`]; draw into it through [`gles`]; read it with [`buffer::Buffer::map`], or hand its fds on.
//! [`pipeline`] does all of that from one TOML file.
//!
//! Row 0 is the top row of the picture and the first row in memory, everywhere.
//!
//! # Cargo features
//! - `gbm` (default): the GBM allocator and EGL's GBM platform. libgbm is opened at run time, never linked.
//! - `cli` (default): the command `darkframe`.
//! - `vulkan`: buffers as Vulkan images and buffers, and back. libvulkan is opened at run time, never linked.
//! - `wgpu`: buffers as textures of wgpu on Vulkan, and passes of shaders in WGSL.
//! - `cuda`: frames as CUDA device pointers, and back. libcuda is opened at run time, never linked.
//! - `pipewire`: frames to and from PipeWire; links libpipewire.
//! - `gstreamer`: frames to and from pipelines of GStreamer; links GStreamer.

pub mod allocator;
pub mod board;
pub mod buffer;
pub mod color;
mod config;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod doctor;
pub mod egl;
pub mod error;
pub mod fence;
pub mod format;
pub mod frame;
pub mod gles;
#[cfg(feature = "kms")]
pub mod kms;
pub mod layout;
pub mod pipeline;
pub mod pool;
pub mod probe;
pub mod selftest;
pub mod share;
mod sys;
pub mod v4l2;
#[cfg(feature = "vulkan")]
pub mod vulkan;
#[cfg(feature = "wgpu")]
pub mod wgpu;

/// The Rust blocks of the README are compiled as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
