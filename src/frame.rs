//! A frame: a buffer, the fence to wait for before touching it, what its numbers mean, and when it was.
//!
//! In: what sources make. Out: what passes read and sinks take.
//! Not here: pixels (`buffer`), waiting (`fence`).

use crate::buffer::Buffer;
use crate::color::Color;
use crate::fence::Fence;

/// One picture on its way.
#[derive(Debug)]
#[must_use = "a dropped frame is a lost picture"]
pub struct Frame {
    /// The pixels.
    pub buffer: Buffer,
    /// Wait for it before reading; `None` where the pixels are there already.
    pub fence: Option<Fence>,
    /// What the numbers mean.
    pub color: Color,
    /// Counts from 0 without gaps, except where the source lost frames.
    pub sequence: u64,
    /// Presentation time from the start of the stream.
    pub timestamp_ns: u64,
}

impl Frame {
    /// A frame at sequence 0 and time 0, colour guessed from format and size.
    pub fn new(buffer: Buffer, fence: Option<Fence>) -> Self {
        let color = if buffer.layout().format().is_yuv() { Color::guess(buffer.size()) } else { Color::SRGB };
        Self { buffer, fence, color, sequence: 0, timestamp_ns: 0 }
    }
}
