//! YUV formats through external samplers: order of the samples, the conversion, what hints do.

use super::{Bench, Case, Facts, wrong};
use crate::allocator::{Allocator, Request, Usage};
use crate::buffer::{Access, Buffer};
use crate::color::probe::{self, CONVERSIONS, PROBE};
use crate::color::{Color, Matrix, Range};
use crate::egl::{Image, ImportOptions, UseModifier};
use crate::error::{Error, Result};
use crate::format::{Component, Fourcc, Modifier};
use crate::gles::Texture;
use crate::layout::{Constraints, Size};

const PICTURE: Size = Size::new(32, 16);

/// Mean error of a driver's arithmetic, in codes of 8 bits.
const TOLERANCE: f64 = 3.0;

/// Every YUV format that the display lists and whose samples are known here.
///
/// # Errors
/// `Failed`: the driver does not say its formats.
pub fn cases(bench: &Bench) -> Result<Vec<Case>> {
    let listed = bench.display.formats()?;
    let known = listed.iter().map(|format| format.fourcc).filter(|fourcc| Samples::of(*fourcc).is_some());
    Ok(known.flat_map(|fourcc| [false, true].map(|hints| Case::Yuv { format: fourcc.to_string(), hints })).collect())
}

/// One format: a picture without hints, or all hints.
///
/// # Errors
/// Pixels that differ; those of the way there.
pub fn carry_out(bench: &Bench, allocator: &dyn Allocator, format: &str, hints: bool) -> Result<Facts> {
    let fourcc = format.parse()?;
    match hints {
        false => picture(bench, allocator, fourcc, UseModifier::Auto),
        true => all_hints(bench, allocator, fourcc),
    }
}

/// Where samples are: bits from the start of the plane's row.
enum Samples {
    /// Whole bytes or words.
    Packed(crate::format::Packing),
    /// Luma and pairs of chroma of ten bits without gaps.
    Tight,
    /// Ten bits each of a 32-bit word: U, Y, V from the lowest.
    Word10,
}

impl Samples {
    fn of(fourcc: Fourcc) -> Option<Self> {
        match fourcc {
            Fourcc::NV15 | Fourcc::NV20 | Fourcc::NV30 => Some(Self::Tight),
            Fourcc::Y410 => Some(Self::Word10),
            other => other.packing().map(Self::Packed),
        }
    }

    const fn bits(&self) -> u32 {
        match self {
            Self::Packed(packing) => packing.bits as u32,
            Self::Tight | Self::Word10 => 10,
        }
    }
}

/// Writes `codes` (Y, U, V of 8 bits) into every pixel.
fn fill(buffer: &Buffer, codes: impl Fn(u32, u32) -> [u8; 3]) -> Result<()> {
    let fourcc = buffer.fourcc();
    let samples =
        Samples::of(fourcc).ok_or_else(|| Error::unsupported("format", format!("{fourcc}: samples not known")))?;
    let format = fourcc.format()?;
    let strides: Vec<usize> = buffer.layout().planes().iter().map(|plane| plane.stride_bytes as usize).collect();
    let mut map = buffer.map(Access::Write)?;
    (0..strides.len()).for_each(|plane| map.plane_mut(plane).fill(0));
    let widen = |eight: u8| (u64::from(eight) * 257) >> (16 - samples.bits());
    for (x, y) in (0..PICTURE.height).flat_map(|y| (0..PICTURE.width).map(move |x| (x, y))) {
        let [luma, cb, cr] = codes(x, y);
        for (plane, stride) in strides.iter().enumerate() {
            let shape = &format.planes[plane];
            let (column, row) =
                ((x / shape.horizontal_subsampling) as usize, (y / shape.vertical_subsampling) as usize);
            let row = row * stride;
            match &samples {
                Samples::Packed(packing) => {
                    let block = packing.planes[plane];
                    let luma_columns = packing.luma_columns(plane);
                    let at = row + column / luma_columns * block.len() * packing.sample_bytes;
                    let mut seen_luma = 0;
                    for (index, component) in block.iter().enumerate() {
                        let value = match component {
                            Component::Y => {
                                seen_luma += 1;
                                if (seen_luma - 1) != column % luma_columns {
                                    continue;
                                }
                                luma
                            }
                            Component::Cb => cb,
                            Component::Cr => cr,
                            Component::Alpha | Component::X => 255,
                        };
                        let at = at + index * packing.sample_bytes;
                        packing.store(widen(value) as u32, &mut map.plane_mut(plane)[at..]);
                    }
                }
                Samples::Tight if plane == 0 => put(map.plane_mut(0), row * 8 + column * 10, 10, widen(luma)),
                Samples::Tight => {
                    put(map.plane_mut(1), row * 8 + column * 20, 10, widen(cb));
                    put(map.plane_mut(1), row * 8 + column * 20 + 10, 10, widen(cr));
                }
                Samples::Word10 => {
                    let word = widen(cb) | widen(luma) << 10 | widen(cr) << 20 | 3 << 30;
                    put(map.plane_mut(0), row * 8 + column * 32, 32, word);
                }
            }
        }
    }
    Ok(())
}

/// Sets `bits` bits from bit `at` of little-endian memory.
fn put(memory: &mut [u8], at: usize, bits: usize, value: u64) {
    let mask = ((1u64 << bits) - 1) << (at % 8);
    let value = value << (at % 8);
    for (index, byte) in memory[at / 8..].iter_mut().take((at % 8 + bits).div_ceil(8)).enumerate() {
        *byte = *byte & !((mask >> (8 * index)) as u8) | (value >> (8 * index)) as u8;
    }
}

fn allocate(allocator: &dyn Allocator, fourcc: Fourcc) -> Result<Buffer> {
    let mut request = Request::new(PICTURE, fourcc).usage(Usage::SAMPLE | Usage::CPU_WRITE | Usage::CPU_READ);
    request.modifiers = vec![Modifier::LINEAR];
    request.constraints = Constraints::MALI;
    allocator.allocate(&request)
}

fn sample(bench: &Bench, buffer: &Buffer, modifier: UseModifier, color: Option<Color>) -> Result<Vec<u8>> {
    let image =
        Image::import_with(&bench.display, buffer, &ImportOptions { modifier, color, ..ImportOptions::default() })?;
    // A fresh name for each image: Mesa keeps the range of the first.
    bench.mapper.sampled(&bench.gl, &Texture::external(&bench.gl, &image)?)
}

/// Codes of the picture. Chroma is constant over blocks of 4 by 4, luma is not; U and V differ.
fn codes(x: u32, y: u32) -> [u8; 3] {
    let (cx, cy) = ((x / 4) as u8, (y / 4) as u8);
    [(60 + x * 3 + y * 5) as u8, 104 + cx * 3 + cy * 5, 150 - cx * 4 + cy]
}

/// A picture without hints: first which conversion the driver takes, then every pixel by that conversion.
///
/// # Errors
/// Pixels that differ; those of the way there.
pub fn picture(bench: &Bench, allocator: &dyn Allocator, fourcc: Fourcc, passed: UseModifier) -> Result<Facts> {
    let buffer = allocate(allocator, fourcc)?;
    fill(&buffer, |_, _| PROBE)?;
    let pixels = sample(bench, &buffer, passed, None)?;
    let seen = [pixels[0], pixels[1], pixels[2]];
    let Some((matrix, range)) = probe::identify(seen) else {
        return wrong(format!(
            "the probe colour is {seen:?}, which no conversion makes of Y, U, V {PROBE:?}{}",
            swapped(seen)
        ));
    };
    fill(&buffer, codes)?;
    let pixels = sample(bench, &buffer, passed, None)?;
    let color = Color { matrix, range, ..Color::HD };
    let rows = color.yuv_to_rgb(8);
    for (index, got) in pixels.chunks_exact(4).enumerate() {
        let (x, y) = (index as u32 % PICTURE.width, index as u32 / PICTURE.width);
        let [luma, cb, cr] = codes(x, y).map(|code| f64::from(code) / 255.0);
        let expected = rows.map(|row| ((row[0] * luma + row[1] * cb + row[2] * cr + row[3]) * 255.0).clamp(0.0, 255.0));
        if got.iter().zip(expected).any(|(got, expected)| (f64::from(*got) - expected).abs() > TOLERANCE + 0.5) {
            return wrong(format!("({x}, {y}) is {:?}, expected {expected:.0?} by {}", &got[..3], name(matrix, range)));
        }
    }
    Ok(Facts::from([("without hints".to_owned(), name(matrix, range))]))
}

/// What the probe would be with U and V exchanged.
fn swapped(seen: [u8; 3]) -> String {
    for (matrix, range) in CONVERSIONS {
        let color = Color { matrix, range, ..Color::HD };
        let [y, cb, cr] = PROBE.map(|code| f64::from(code) / 255.0);
        let rgb = color
            .yuv_to_rgb(8)
            .map(|row| ((row[0] * y + row[1] * cr + row[2] * cb + row[3]) * 255.0).clamp(0.0, 255.0));
        if rgb.iter().zip(seen).all(|(wanted, got)| (wanted - f64::from(got)).abs() <= TOLERANCE + 0.5) {
            return format!("; U and V are exchanged ({})", name(matrix, range));
        }
    }
    String::new()
}

fn name(matrix: Matrix, range: Range) -> String {
    format!("{matrix} {}", if range == Range::Full { "full" } else { "limited" })
}

/// Each hint: is it followed, or is the conversion always the same?
fn all_hints(bench: &Bench, allocator: &dyn Allocator, fourcc: Fourcc) -> Result<Facts> {
    let buffer = allocate(allocator, fourcc)?;
    fill(&buffer, |_, _| PROBE)?;
    let (mut followed, mut taken) = (Vec::new(), Vec::new());
    for (matrix, range) in CONVERSIONS {
        let color = Color { matrix, range, ..Color::HD };
        let pixels = sample(bench, &buffer, UseModifier::Auto, Some(color))?;
        let seen = [pixels[0], pixels[1], pixels[2]];
        match probe::identify(seen) {
            Some(found) if found == (matrix, range) => followed.push(name(matrix, range)),
            Some((found, of)) => taken.push(format!("{} as {}", name(matrix, range), name(found, of))),
            None => return wrong(format!("hint {}: the probe is {seen:?}, no conversion's", name(matrix, range))),
        }
    }
    let facts = match (followed.len(), taken.is_empty()) {
        (_, true) => Facts::from([("hints".to_owned(), "all followed".to_owned())]),
        (0 | 1, _) => Facts::from([("hints".to_owned(), "ignored".to_owned())]),
        _ => Facts::from([
            ("hints".to_owned(), "some followed".to_owned()),
            ("not followed".to_owned(), taken.join("; ")),
        ]),
    };
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_put_where_they_belong() {
        let mut memory = [0xffu8; 4];
        put(&mut memory, 10, 10, 0);
        assert_eq!(memory, [0xff, 0x03, 0xf0, 0xff]);
        put(&mut memory, 10, 10, 0x3ff);
        assert_eq!(memory, [0xff; 4]);
    }

    #[test]
    fn chroma_is_constant_over_what_a_sample_covers() {
        for (x, y) in [(0, 0), (5, 9), (31, 15)] {
            assert_eq!(codes(x, y)[1..], codes(x / 4 * 4, y / 4 * 4)[1..]);
        }
    }
}
