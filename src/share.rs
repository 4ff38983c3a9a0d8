//! Frames to and from other processes.
//!
//! In: a [`Frame`](crate::frame::Frame) and where it goes. Out: the same frame in another process, its memory by fd.
//! Not here: making memory (`allocator`), pictures for files (`pipeline::sink`).
//!
//! [`unixfd`] speaks the protocol of GStreamer's `unixfdsink` and `unixfdsrc`, both roles, without GStreamer.
//! [`metadata`] is what travels with a frame beside its pixels, where both ends are of this crate.

pub mod metadata;
pub mod unixfd;
