//! Frames to and from other processes, and pipelines of GStreamer in this one.
//!
//! In: a [`Frame`](crate::frame::Frame) and where it goes. Out: the same frame somewhere else, its memory shared.
//! Not here: making memory (`allocator`), pictures for files (`pipeline::sink`).
//!
//! [`unixfd`] speaks the protocol of GStreamer's `unixfdsink` and `unixfdsrc`, both roles, without GStreamer.
//! With the cargo feature `pipewire` the module of that name offers frames as a node of PipeWire, and takes those of others.
//! With the cargo feature `gstreamer` the module of that name hands frames to the elements of any GStreamer pipeline, and
//! takes those that one makes.
//! [`metadata`] is what travels with a frame beside its pixels, where both ends are of this crate.

#[cfg(feature = "gstreamer")]
pub mod gstreamer;
pub mod metadata;
#[cfg(feature = "pipewire")]
pub mod pipewire;
pub mod unixfd;
