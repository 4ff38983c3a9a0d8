//! Planar samples of a file put where a format has them: interleaved, deeper, with what the file leaves out.
//!
//! In: rows of one component. Out: the same codes in a mapped buffer.
//! Not here: reading the rows (`y4m`).

use crate::buffer::Map;
use crate::color::Range;
use crate::format::{Component, Packing};
use crate::layout::Layout;

/// Where one component is, and how its codes become those of the format.
pub struct Placing {
    packing: Packing,
    /// Plane of the format.
    plane: usize,
    /// Its codes lie around the middle one.
    is_chroma: bool,
    /// Its samples in a block.
    slots: Vec<usize>,
    /// Bits of the file's codes.
    bits: u8,
    range: Range,
}

impl Placing {
    /// Of `component`; `None` where the format has none.
    pub fn new(packing: Packing, component: Component, bits: u8, range: Range) -> Option<Self> {
        let (plane, block) = packing.planes.iter().enumerate().find(|(_, block)| block.contains(&component))?;
        let slots = block.iter().enumerate().filter(|(_, other)| **other == component).map(|(slot, _)| slot);
        let is_chroma = matches!(component, Component::Cb | Component::Cr);
        Some(Self { packing, plane, is_chroma, slots: slots.collect(), bits, range })
    }

    /// Puts a row of samples, as they are in the file, into row `row`.
    pub fn put(&self, samples: &[u8], layout: &Layout, into: &mut Map<'_>, row: u32) {
        let codes = samples.chunks_exact(if self.bits > 8 { 2 } else { 1 }).map(|sample| match sample {
            [low, high] => u32::from(u16::from_le_bytes([*low, *high])),
            [byte] => u32::from(*byte),
            _ => 0,
        });
        self.put_codes(codes, layout, into, row);
    }

    /// Puts the same code everywhere: neutral chroma, full opacity.
    pub fn fill(&self, layout: &Layout, into: &mut Map<'_>) {
        let plane = &layout.format().planes[self.plane];
        let columns = plane.columns(layout.size.width) as usize;
        let code = if self.is_chroma { 1 << (self.bits - 1) } else { u32::MAX };
        for row in 0..layout.rows(self.plane) {
            self.put_codes(std::iter::repeat_n(code, columns), layout, into, row);
        }
    }

    fn put_codes(&self, codes: impl Iterator<Item = u32>, layout: &Layout, into: &mut Map<'_>, row: u32) {
        let (sample, block) = (self.packing.sample_bytes, self.packing.planes[self.plane].len());
        let stride = layout.planes()[self.plane].stride_bytes as usize;
        let row_bytes = layout.row_bytes(self.plane) as usize;
        let target = &mut into.plane_mut(self.plane)[row as usize * stride..][..row_bytes];
        let mut codes = codes.map(|code| self.deepened(code));
        let mut last = 0;
        for block in target.chunks_exact_mut(block * sample) {
            for slot in &self.slots {
                // An odd width fills its last block with the last sample.
                last = codes.next().unwrap_or(last);
                self.packing.store(last, &mut block[slot * sample..]);
            }
        }
    }

    /// The code among those of the format: limited range scales by the power of two, full range by the largest code.
    fn deepened(&self, code: u32) -> u32 {
        let (most, wanted) = ((1u32 << self.bits) - 1, (1u32 << self.packing.bits) - 1);
        let code = code.min(most);
        match self.range {
            _ if self.bits == self.packing.bits => code,
            Range::Limited => code << (self.packing.bits - self.bits),
            Range::Full => {
                let middle = |bits: u8| if self.is_chroma { f64::from(1u32 << (bits - 1)) } else { 0.0 };
                let from_middle = (f64::from(code) - middle(self.bits)) * f64::from(wanted) / f64::from(most);
                ((from_middle + middle(self.packing.bits)).round() as u32).min(wanted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Fourcc;

    #[test]
    fn codes_between_the_depths_of_formats_keep_black_and_white() {
        let packing = Fourcc::P016.packing().unwrap();
        let limited = Placing::new(packing, Component::Y, 14, Range::Limited).unwrap();
        // BT.709 item 5: black is 16 << (n - 8), white 235 << (n - 8).
        assert_eq!([16 << 6, 235 << 6].map(|code| limited.deepened(code)), [16 << 8, 235 << 8]);
        let full = Placing::new(packing, Component::Y, 9, Range::Full).unwrap();
        assert_eq!([0, 256, 511, 60_000].map(|code| full.deepened(code)), [0, 32_832, 65_535, 65_535]);
        let chroma = Placing::new(packing, Component::Cb, 9, Range::Full).unwrap();
        assert_eq!([0, 256, 511].map(|code| chroma.deepened(code)), [0, 32_768, 65_471], "grey stays grey");
        assert!(Placing::new(packing, Component::Alpha, 9, Range::Full).is_none());
    }
}
