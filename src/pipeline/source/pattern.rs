//! Pictures that are computed: the same parameters and frame give the same bytes on every machine.
//!
//! In: a pattern's name, size, rate and seed. Out: bytes R, G, B, A (`ABGR8888`), opaque.
//! Not here: anything that a shader could do as well on the GPU; these are for tests, alignment and timing.

use crate::buffer::Map;
use crate::color::Color;
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::{Layout, Size};

use super::super::description::{Pattern, Rate};
use super::{Info, Reader};

/// What is drawn.
pub struct Parameters {
    /// Which pattern.
    pub pattern: Pattern,
    /// Picture size.
    pub size: Size,
    /// How many pictures; `None` for no end.
    pub frames: Option<u64>,
    /// For `noise`.
    pub seed: u64,
    /// Frames per second.
    pub rate: Rate,
}

/// Draws a pattern.
pub struct PatternReader {
    pattern: Pattern,
    seed: u64,
    info: Info,
}

impl PatternReader {
    /// Checks the parameters.
    ///
    /// # Errors
    /// `InvalidInput` for a size out of range or no frames at all.
    pub fn new(parameters: Parameters) -> Result<Self> {
        let size = parameters.size.check()?;
        if parameters.frames == Some(0) {
            return Err(Error::invalid("frames", "0: a pattern has at least one picture"));
        }
        let still = parameters.pattern == Pattern::Bars && parameters.frames.is_none();
        let info = Info {
            size,
            fourcc: Fourcc::ABGR8888,
            color: Color::SRGB,
            rate: Some(parameters.rate),
            frames: parameters.frames,
            still,
        };
        Ok(Self { pattern: parameters.pattern, seed: parameters.seed, info })
    }
}

impl Reader for PatternReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&mut self, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        if self.info.frames.is_some_and(|frames| index >= frames) {
            return Ok(false);
        }
        let size = self.info.size;
        let stride = layout.planes()[0].stride_bytes as usize;
        let digits = index.to_string();
        for (y, row) in into.plane_mut(0).chunks_mut(stride).take(size.height as usize).enumerate() {
            for (x, pixel) in row.chunks_exact_mut(4).take(size.width as usize).enumerate() {
                let (x, y) = (x as u32, y as u32);
                let [r, g, b] = match self.pattern {
                    Pattern::Bars => bars(x, size),
                    Pattern::Gradient => gradient(x, y, index, size),
                    Pattern::Checker => checker(x, y, index),
                    Pattern::ZonePlate => zone_plate(x, y, index, size),
                    Pattern::Noise => noise(self.seed, index, u64::from(y) << 32 | u64::from(x)),
                    Pattern::Counter => counter(x, y, &digits, size),
                };
                pixel.copy_from_slice(&[r, g, b, 255]);
            }
        }
        Ok(true)
    }
}

/// White, yellow, cyan, green, magenta, red, blue, black at 75 %.
fn bars(x: u32, size: Size) -> [u8; 3] {
    let bar = (u64::from(x) * 8 / u64::from(size.width)) as u8;
    let level = |off: bool| if off { 0 } else { 191 };
    [level(bar & 2 != 0), level(bar & 4 != 0), level(bar & 1 != 0)]
}

fn gradient(x: u32, y: u32, index: u64, size: Size) -> [u8; 3] {
    let ramp = |at: u32, length: u32| (u64::from(at) * 255 / u64::from(length.max(2) - 1)) as u8;
    [ramp(x, size.width), ramp(y, size.height), (index % 256) as u8]
}

fn checker(x: u32, y: u32, index: u64) -> [u8; 3] {
    // 32 pixels are a whole period.
    let x = x + 32 - (index % 32) as u32;
    if (x / 16 + y / 16).is_multiple_of(2) { [255; 3] } else { [0; 3] }
}

/// cos(phase) where the phase's gradient reaches half a cycle per pixel at the nearer edge.
fn zone_plate(x: u32, y: u32, index: u64, size: Size) -> [u8; 3] {
    let (cx, cy) = (f64::from(size.width) / 2.0, f64::from(size.height) / 2.0);
    let (dx, dy) = (f64::from(x) + 0.5 - cx, f64::from(y) + 0.5 - cy);
    let phase = std::f64::consts::PI * (dx * dx + dy * dy) / (2.0 * cx.min(cy));
    let turn = (index % 32) as f64 / 32.0 * std::f64::consts::TAU;
    [(127.5 + 127.5 * (phase + turn).cos()).round() as u8; 3]
}

/// SplitMix64 of seed, frame and place.
///
/// # References
/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014)
fn noise(seed: u64, index: u64, place: u64) -> [u8; 3] {
    let mix = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let bytes = mix(mix(seed ^ mix(index)) ^ place).to_le_bytes();
    [bytes[0], bytes[1], bytes[2]]
}

/// Digits of 3 x 5 fields, one row per three bits, top row first.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];

/// White digits on dark blue, centred, as large as fits.
fn counter(x: u32, y: u32, digits: &str, size: Size) -> [u8; 3] {
    const PAPER: [u8; 3] = [16, 24, 64];
    let columns = digits.len() as u32 * 4 + 1;
    let field = (size.width / columns).min(size.height / 7).max(1);
    let left = size.width.saturating_sub(field * columns) / 2 + field;
    let top = size.height.saturating_sub(field * 5) / 2;
    let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top)) else { return PAPER };
    let (column, row) = (x / field, y / field);
    let Some(digit) = digits.as_bytes().get((column / 4) as usize) else { return PAPER };
    if row >= 5 || column % 4 == 3 {
        return PAPER;
    }
    let bits = DIGITS[usize::from(digit - b'0') % 10];
    let bit = 14 - (row * 3 + column % 4);
    if bits >> bit & 1 == 1 { [255; 3] } else { PAPER }
}
