//! A picture that is held for the whole run.
//!
//! In: decoded pixels, bytes R, G, B, A without padding. Out: the same picture for every frame.
//! Not here: where the pixels come from (`image`, `cube`).

use crate::buffer::Map;
use crate::color::Color;
use crate::error::Result;
use crate::format::Fourcc;
use crate::layout::{Layout, Size};

use super::{Info, Reader};

/// Holds one decoded picture.
pub struct StillReader {
    pixels: Vec<u8>,
    info: Info,
}

impl StillReader {
    /// Takes `size.pixels()` pixels of sRGB, `ABGR8888`, row 0 at the top.
    pub(super) fn new(size: Size, pixels: Vec<u8>) -> Self {
        let info =
            Info { size, fourcc: Fourcc::ABGR8888, color: Color::SRGB, rate: None, frames: Some(1), still: true };
        Self { pixels, info }
    }
}

impl Reader for StillReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&mut self, _index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        let row_bytes = self.info.size.width as usize * 4;
        let stride = layout.planes()[0].stride_bytes as usize;
        for (target, row) in into.plane_mut(0).chunks_mut(stride).zip(self.pixels.chunks_exact(row_bytes)) {
            target[..row_bytes].copy_from_slice(row);
        }
        Ok(true)
    }
}
