//! Frames to and from other processes.
//!
//! In: a [`Frame`](crate::frame::Frame) and where it goes. Out: the same frame in another process, its memory by fd.
//! Not here: making memory (`allocator`), pictures for files (`pipeline::sink`).
//!
//! [`unixfd`] speaks the protocol of GStreamer's `unixfdsink` and `unixfdsrc`, both roles, without GStreamer.
//! With the cargo feature `pipewire` the module of that name offers frames as a node of PipeWire, and takes those of others.
//! [`metadata`] is what travels with a frame beside its pixels, where both ends are of this crate.

pub mod metadata;
#[cfg(feature = "pipewire")]
pub mod pipewire;
pub mod unixfd;
