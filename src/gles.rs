//! OpenGL ES 2.0 and newer: everything that has a GL name.
//!
//! In: [`Gl`], the proof that a context is current on this thread; images and bytes. Out: textures, render targets,
//! programs, pixels. Not here: which draws make a picture (`pipeline`), dma-buf import (`egl::image`).
//!
//! Row 0 of memory is the top of the picture and lies at GL's y = 0. So a quad with uv (0, 0) at clip (-1, -1) keeps
//! rows in memory order, `uv.y` grows downwards in the picture, and nothing is ever flipped.
#![expect(unsafe_code, reason = "GL is a C interface; each block names the rule it keeps")]

pub mod compute;
pub mod depth_target;
pub mod external;
pub mod fences;
pub mod framebuffer;
pub mod geometry;
pub mod gl;
mod image;
pub(crate) mod names;
pub mod program;
pub mod program_cache;
pub mod readback;
pub mod renderbuffer;
pub mod sampling;
pub mod texture;
pub mod timer;
pub mod yuv;

pub use depth_target::{DepthTarget, max_samples};
pub use fences::Mark;
pub use framebuffer::Framebuffer;
pub use geometry::{Attribute, Geometry, Sides, Surface};
pub use gl::{Caps, Gl};
pub use program::{Program, ProgramSource, ShaderVersion};
pub use program_cache::ProgramCache;
pub use readback::{PackRing, read_pixels};
pub use renderbuffer::Renderbuffer;
pub use sampling::{Filter, Wrap};
pub use texture::{Texture, TextureOptions, TextureTarget};
pub use timer::Timer;
pub use yuv::{Input, InputBinding, PlaneView, PlaneWay, PlaneWriter};
