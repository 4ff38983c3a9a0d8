//! The protocol of GStreamer's `unixfdsink` (a server) and `unixfdsrc` (its clients): frames by fd over a Unix socket.
//!
//! In: frames, or an address. Out: frames in another process, their memory shared.
//! Not here: what is drawn into them.
//!
//! [`Server`] hands frames to any number of clients and never waits for one of them; [`Client`] takes frames from a
//! server. Either end may be GStreamer 1.24 or later. Between two ends of this crate the same messages carry fences, a
//! stream name and metadata: commands of their own, which a stock peer skips (see [`wire`]).

pub mod address;
pub mod caps;
pub mod client;
mod link;
pub(in crate::share) mod planes;
pub mod server;
pub mod video_format;
pub mod wire;

pub use address::Address;
pub use caps::Caps;
pub use client::{Client, Received};
pub use server::Server;

/// The name of this protocol in errors.
const OP: &str = "unixfd";
