//! Formats that no sampler reads, put into ones that are read: by the CPU, while the pictures are read.
//!
//! In: a reader of NV15, NV20, or of any deep format where the context has no 16-bit textures. Out: the same samples in
//! whole words (P010, P210), or rounded to bytes. Not here: Y'CbCr to RGB.

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::buffer::{Access, Buffer, Map};
use crate::color::Range;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::{Component, Fourcc, Packing};
use crate::gles::Gl;
use crate::layout::{Layout, Size};

use super::{Info, Reader};

/// The format in which this context reads pictures of `fourcc`; `None` where it reads them as they are.
pub fn readable(gl: &Gl, fourcc: Fourcc) -> Option<Fourcc> {
    let caps = gl.caps();
    let words = caps.at_least(3, 0) && caps.extensions.has("GL_EXT_texture_norm16");
    let tens = caps.at_least(3, 0) || caps.extensions.has("GL_EXT_texture_type_2_10_10_10_REV");
    Some(match fourcc {
        Fourcc::NV15 if words => Fourcc::P010,
        Fourcc::NV20 if words => Fourcc::P210,
        Fourcc::NV15 | Fourcc::P010 | Fourcc::P012 | Fourcc::P016 if !words => Fourcc::NV12,
        Fourcc::NV20 | Fourcc::P210 if !words => Fourcc::NV16,
        Fourcc::Y210 | Fourcc::Y212 | Fourcc::Y216 if !words => Fourcc::YUYV,
        Fourcc::Y412 | Fourcc::Y416 if !words => Fourcc::AYUV,
        Fourcc::Y410 if !tens => Fourcc::AYUV,
        Fourcc::XVYU2101010 if !tens => Fourcc::XYUV8888,
        Fourcc::Q410 if !words => Fourcc::YUV444,
        _ => return None,
    })
}

/// Reads into memory of its own, and from there into another format.
pub struct Unpacking {
    from: Buffer,
    samples: Samples,
    into: Packing,
    /// From codes to codes.
    scale: f64,
    codes: Vec<u32>,
}

/// How the samples of a format lie in its rows.
#[derive(Clone, Copy)]
enum Samples {
    Packed(Packing),
    /// Ten bits each, lowest first, without gaps.
    Tight(&'static [&'static [Component]]),
    /// Cb, Y, Cr of ten bits and two of alpha in a word.
    Word,
}

impl Samples {
    fn of(fourcc: Fourcc) -> Option<Self> {
        match fourcc {
            Fourcc::NV15 | Fourcc::NV20 => Some(Self::Tight(&[&[Component::Y], &[Component::Cb, Component::Cr]])),
            Fourcc::Y410 | Fourcc::XVYU2101010 => Some(Self::Word),
            _ => fourcc.packing().map(Self::Packed),
        }
    }

    fn bits(&self) -> u8 {
        match self {
            Self::Packed(packing) => packing.bits,
            Self::Tight(_) | Self::Word => 10,
        }
    }

    /// The samples of a block of `plane`.
    fn block(&self, plane: usize) -> &'static [Component] {
        match self {
            Self::Packed(packing) => packing.planes[plane],
            Self::Tight(planes) => planes[plane],
            Self::Word => &[Component::Cb, Component::Y, Component::Cr, Component::Alpha],
        }
    }

    /// The codes of a row, one after the other.
    fn codes(&self, row: &[u8], codes: &mut Vec<u32>) {
        codes.clear();
        match self {
            Self::Packed(packing) => {
                codes.extend(row.chunks_exact(packing.sample_bytes).map(|sample| packing.load(sample)));
            }
            Self::Tight(_) => codes.extend(row.chunks_exact(5).flat_map(|five| {
                let word = five.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
                [0, 10, 20, 30].map(|at| (word >> at) as u32 & 0x3ff)
            })),
            Self::Word => codes.extend(row.chunks_exact(4).flat_map(|four| {
                let word = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                [word & 0x3ff, word >> 10 & 0x3ff, word >> 20 & 0x3ff, (word >> 30) * 341]
            })),
        }
    }
}

impl Unpacking {
    /// From pictures of `info` to the same in `fourcc`.
    ///
    /// # Errors
    /// `Unsupported` where the formats have other planes or samples.
    pub fn new(device: &Device, info: &Info, fourcc: Fourcc) -> Result<Self> {
        let refuse = || Error::unsupported("format", format!("{} cannot be unpacked as {fourcc}", info.fourcc));
        let samples = Samples::of(info.fourcc).ok_or_else(refuse)?;
        let into = fourcc.packing().ok_or_else(refuse)?;
        if info.fourcc.format()?.planes.len() != into.planes.len() {
            return Err(refuse());
        }
        let scale = match (info.color.range, samples.bits(), into.bits) {
            (_, from, to) if from == to => 1.0,
            // Codes of limited range scale by the power of two, of full range by their largest.
            (Range::Limited, from, to) => 1.0 / f64::from(1u32 << (from - to)),
            (Range::Full, from, to) => f64::from((1u32 << to) - 1) / f64::from((1u32 << from) - 1),
        };
        let from = scratch(device, info.size, info.fourcc)?;
        Ok(Self { from, samples, into, scale, codes: Vec::new() })
    }

    /// Has `reader` read picture `index`, and unpacks it.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read(&mut self, reader: &mut dyn Reader, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        {
            let mut map = self.from.map(Access::Write)?;
            if !reader.read(index, self.from.layout(), &mut map)? {
                return Ok(false);
            }
        }
        let map = self.from.map(Access::Read)?;
        for plane in 0..layout.planes().len() {
            let block = self.samples.block(plane);
            let wanted = self.into.planes[plane];
            // Where each wanted sample is in a block of the source; the second luma sample is the second there.
            let places: Vec<Option<usize>> = wanted
                .iter()
                .enumerate()
                .map(|(at, component)| {
                    let earlier = wanted[..at].iter().filter(|other| *other == component).count();
                    block.iter().enumerate().filter(|(_, other)| *other == component).nth(earlier).map(|(at, _)| at)
                })
                .collect();
            let stride = layout.planes()[plane].stride_bytes as usize;
            let row_bytes = layout.row_bytes(plane) as usize;
            let most = (1u32 << self.into.bits) - 1;
            let target = into.plane_mut(plane);
            for row in 0..layout.rows(plane) {
                self.samples.codes(map.row(plane, row), &mut self.codes);
                let target = &mut target[row as usize * stride..][..row_bytes];
                let blocks = target.chunks_exact_mut(wanted.len() * self.into.sample_bytes);
                for (codes, bytes) in self.codes.chunks_exact(block.len()).zip(blocks) {
                    for (place, sample) in places.iter().zip(bytes.chunks_mut(self.into.sample_bytes)) {
                        let code = place.map_or(most, |place| (f64::from(codes[place]) * self.scale + 0.5) as u32);
                        self.into.store(code.min(most), sample);
                    }
                }
            }
        }
        Ok(true)
    }
}

fn scratch(device: &Device, size: Size, fourcc: Fourcc) -> Result<Buffer> {
    let request = Request::new(size, fourcc).usage(Usage::CPU_READ | Usage::CPU_WRITE);
    let memfd = device.allocators(AllocatorKind::Memfd)?;
    memfd.first().ok_or_else(|| Error::unsupported("memfd", "this machine has no memory files"))?.allocate(&request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tight_samples_begin_at_the_lowest_bit() {
        // drm_fourcc.h: "[39:0] Y3:Y2:Y1:Y0 10:10:10:10 little endian".
        let word: u64 = 0x001 | 0x202 << 10 | 0x0ff << 20 | 0x3fe << 30;
        let mut codes = Vec::new();
        Samples::of(Fourcc::NV15).unwrap().codes(&word.to_le_bytes()[..5], &mut codes);
        assert_eq!(codes, [0x001, 0x202, 0x0ff, 0x3fe]);
        // "[31:0] A:Cr:Y:Cb 2:10:10:10 little endian".
        let word: u32 = 0x111 | 0x222 << 10 | 0x333 << 20 | 2 << 30;
        Samples::of(Fourcc::Y410).unwrap().codes(&word.to_le_bytes(), &mut codes);
        assert_eq!(codes, [0x111, 0x222, 0x333, 682]);
    }
}
