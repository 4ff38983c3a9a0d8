//! Cameras, codecs and video outputs: Video4Linux devices with dma-bufs.
//!
//! In: a device by path, driver, card or bus name. Out: [`Capture`] lends its pictures' memory, [`Output`] and
//! [`Encoder`] take ours, [`Decoder`] lends what it decodes.
//! Not here: ioctls (`sys::v4l2`), keys of pipeline files (`pipeline`).
//!
//! Both APIs (single- and multi-planar) look the same from here. Nothing waits in an ioctl: devices are opened without
//! blocking and polled.
//!
//! # References
//! `Documentation/userspace-api/media/v4l`

pub mod capture;
pub mod control;
pub mod decoder;
pub mod device;
pub mod encoder;
pub mod format;
pub mod output;
mod queue;

pub use capture::{Capture, Captured, Io};
pub use control::{Control, Value};
pub use decoder::Decoder;
pub use device::{Role, VideoDevice};
pub use encoder::Encoder;
pub use format::PixelCode;
pub use output::Output;
