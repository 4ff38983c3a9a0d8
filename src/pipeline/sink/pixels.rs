//! Pixels as image encoders want them: rows without padding, R, G, B, A in this order or gray.
//!
//! In: mapped pictures of 8-bit RGB formats. Out: bytes; the mapping's own where they are that already.

use super::{Picker, Picture};

/// Packs pixels; keeps its memory.
pub(super) struct Packed {
    picker: Picker,
    /// R, G, B, A where the picture has alpha and it is wanted, else R, G, B.
    alpha: bool,
    bytes: Vec<u8>,
}

impl Packed {
    pub fn new(picker: Picker, wants_alpha: bool) -> Self {
        Self { picker, alpha: wants_alpha && picker.has_alpha(), bytes: Vec::new() }
    }

    /// Components of a pixel: 1 (gray), 3 or 4.
    pub fn components(&self) -> u8 {
        match (self.picker.is_gray(), self.alpha) {
            (true, _) => 1,
            (_, true) => 4,
            (_, false) => 3,
        }
    }

    pub fn pack<'a>(&'a mut self, picture: &'a Picture<'_>) -> &'a [u8] {
        let stride = picture.layout.planes()[0].stride_bytes as usize;
        let row_bytes = picture.layout.row_bytes(0) as usize;
        let bytes = picture.map.plane(0);
        let as_it_is = self.picker.is_gray() || (self.picker.is_rgba() && self.alpha);
        if as_it_is && stride == row_bytes {
            return bytes;
        }
        self.bytes.clear();
        let keep = usize::from(self.components());
        for row in bytes.chunks(stride).map(|row| &row[..row_bytes]) {
            if as_it_is {
                self.bytes.extend_from_slice(row);
                continue;
            }
            for pixel in row.chunks_exact(self.picker.pixel_bytes()) {
                self.bytes.extend_from_slice(&self.picker.pick(pixel)[..keep]);
            }
        }
        &self.bytes
    }
}
