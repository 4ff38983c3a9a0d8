//! RGB formats: the byte order of `drm_fourcc.h`, bit by bit, in every use.

use super::draw::pattern;
use super::{Bench, Case, Facts, Use, wrong};
use crate::allocator::{Allocator, Request, Usage};
use crate::buffer::{Access, Buffer};
use crate::egl::{Image, ImportOptions, UseModifier};
use crate::error::{Error, Result};
use crate::format::{FORMATS, Fourcc, Modifier};
use crate::gles::{Framebuffer, Renderbuffer, Texture, TextureOptions};
use crate::layout::{Constraints, Size};

/// Where a component lies in its little-endian word: component (index in RGBA), lowest bit, bits.
pub type Field = (usize, u32, u32);

const R: usize = 0;
const G: usize = 1;
const B: usize = 2;
const A: usize = 3;
const X: usize = 9;

/// Not a multiple of 16, so that a stride taken for a width shows.
pub const SIZE: Size = Size::new(52, 37);

/// From the lowest bit up: component and bits.
type Order = &'static [(usize, u32)];

const ORDERS: &[(Fourcc, Order)] = &[
    (Fourcc::ABGR8888, &[(R, 8), (G, 8), (B, 8), (A, 8)]),
    (Fourcc::XBGR8888, &[(R, 8), (G, 8), (B, 8), (X, 8)]),
    (Fourcc::ARGB8888, &[(B, 8), (G, 8), (R, 8), (A, 8)]),
    (Fourcc::XRGB8888, &[(B, 8), (G, 8), (R, 8), (X, 8)]),
    (Fourcc::RGBA8888, &[(A, 8), (B, 8), (G, 8), (R, 8)]),
    (Fourcc::RGBX8888, &[(X, 8), (B, 8), (G, 8), (R, 8)]),
    (Fourcc::BGRA8888, &[(A, 8), (R, 8), (G, 8), (B, 8)]),
    (Fourcc::BGRX8888, &[(X, 8), (R, 8), (G, 8), (B, 8)]),
    (Fourcc::RGB888, &[(B, 8), (G, 8), (R, 8)]),
    (Fourcc::BGR888, &[(R, 8), (G, 8), (B, 8)]),
    (Fourcc::RGB565, &[(B, 5), (G, 6), (R, 5)]),
    (Fourcc::BGR565, &[(R, 5), (G, 6), (B, 5)]),
    (Fourcc::ARGB1555, &[(B, 5), (G, 5), (R, 5), (A, 1)]),
    (Fourcc::ABGR1555, &[(R, 5), (G, 5), (B, 5), (A, 1)]),
    (Fourcc::RGBA5551, &[(A, 1), (B, 5), (G, 5), (R, 5)]),
    (Fourcc::ARGB4444, &[(B, 4), (G, 4), (R, 4), (A, 4)]),
    (Fourcc::ABGR4444, &[(R, 4), (G, 4), (B, 4), (A, 4)]),
    (Fourcc::RGBA4444, &[(A, 4), (B, 4), (G, 4), (R, 4)]),
    (Fourcc::XRGB2101010, &[(B, 10), (G, 10), (R, 10), (X, 2)]),
    (Fourcc::ARGB2101010, &[(B, 10), (G, 10), (R, 10), (A, 2)]),
    (Fourcc::XBGR2101010, &[(R, 10), (G, 10), (B, 10), (X, 2)]),
    (Fourcc::ABGR2101010, &[(R, 10), (G, 10), (B, 10), (A, 2)]),
    (Fourcc::R8, &[(R, 8)]),
    (Fourcc::R16, &[(R, 16)]),
    (Fourcc::GR88, &[(R, 8), (G, 8)]),
    (Fourcc::GR1616, &[(R, 16), (G, 16)]),
    (Fourcc::ABGR16161616, &[(R, 16), (G, 16), (B, 16), (A, 16)]),
    (Fourcc::XBGR16161616, &[(R, 16), (G, 16), (B, 16), (X, 16)]),
];

/// The word of a format: its bits, and the fields that mean something.
pub struct Word {
    bytes: usize,
    fields: Vec<Field>,
}

/// The word of an RGB format.
///
/// # Errors
/// `Unsupported`: a format that is not spelled out here.
pub fn word(fourcc: Fourcc) -> Result<Word> {
    let order = ORDERS.iter().find(|(known, _)| *known == fourcc).map(|(_, order)| *order);
    let order = order.ok_or_else(|| Error::unsupported("format", format!("{fourcc} is not spelled out here")))?;
    let (mut at, mut fields) = (0, Vec::new());
    for (component, bits) in order {
        if *component != X {
            fields.push((*component, at, *bits));
        }
        at += bits;
    }
    Ok(Word { bytes: at as usize / 8, fields })
}

/// Code of a component at (x, y): all differ, from pixel to pixel and from component to component.
fn code(component: usize, x: u32, y: u32, turn: u32, bits: u32) -> u64 {
    let [dx, dy, start] = [[41, 11, 3], [13, 47, 90], [29, 23, 160], [7, 53, 200]][component];
    // 8 bits, then widened by repeating them: every bit of a wide component takes part.
    let eight = (start + u64::from(x) * dx + u64::from(y) * dy + u64::from(turn) * 17) % 256;
    (eight << 8 | eight) >> (16 - bits)
}

impl Word {
    /// One pixel of codes.
    fn pixel(&self, x: u32, y: u32, turn: u32) -> [u8; 8] {
        let fields = self.fields.iter();
        fields.fold(0u64, |word, (component, at, bits)| word | code(*component, x, y, turn, *bits) << at).to_le_bytes()
    }

    /// Fills a plane of codes.
    pub fn fill(&self, plane: &mut [u8], stride: usize, size: Size, turn: u32) {
        for (y, row) in plane.chunks_mut(stride).enumerate().take(size.height as usize) {
            for (x, pixel) in row.chunks_exact_mut(self.bytes).enumerate().take(size.width as usize) {
                pixel.copy_from_slice(&self.pixel(x as u32, y as u32, turn)[..self.bytes]);
            }
        }
    }

    /// Writes the codes into a buffer, by the CPU.
    ///
    /// # Errors
    /// Those of [`Buffer::map`].
    pub fn write(&self, buffer: &Buffer, turn: u32) -> Result<()> {
        let stride = buffer.layout().planes()[0].stride_bytes as usize;
        let mut map = buffer.map(Access::Write)?;
        self.fill(map.plane_mut(0), stride, buffer.size(), turn);
        Ok(())
    }

    /// Samples a picture of codes: each is exact in the format's own bits. What is missing reads 0, alpha 1.
    ///
    /// # Errors
    /// The first pixel that differs; those of drawing.
    pub fn check_sampled(&self, bench: &Bench, texture: &Texture, turn: u32) -> Result<()> {
        let mut levels = [255.0; 4];
        for (component, _, bits) in &self.fields {
            levels[*component] = ((1u32 << bits) - 1) as f32;
        }
        let (gl, mapper) = (&bench.gl, &bench.mapper);
        let is_wide = levels.iter().any(|max| *max > 255.0);
        // Luminance and alpha stand for red and green on OpenGL ES 2: the texture's swizzle puts them right.
        let component = |letter: char| match letter {
            '0' => "0.0".to_owned(),
            // What X reads as is the driver's to say.
            '1' => "texel.a".to_owned(),
            letter => format!("texel.{letter}"),
        };
        let components: Vec<String> = texture.swizzle().chars().map(component).collect();
        let texel = format!("vec4({})", components.join(", "));
        let low_of = match is_wide {
            true => format!("mod(floor({texel} * levels + 0.5), 256.0) / 255.0"),
            false => format!("floor({texel} * levels + 0.5) / 255.0"),
        };
        let low = mapper.map(gl, texture, levels, &low_of)?;
        let high = match is_wide {
            true => {
                mapper.map(gl, texture, levels, &format!("floor(floor({texel} * levels + 0.5) / 256.0) / 255.0"))?
            }
            false => vec![0; low.len()],
        };
        let size = texture.size();
        for index in 0..size.pixels() as u32 {
            let (x, y) = (index % size.width, index / size.width);
            for component in 0..4 {
                let at = index as usize * 4 + component;
                let got = u64::from(low[at]) | u64::from(high[at]) << 8;
                let field = self.fields.iter().find(|field| field.0 == component);
                let expected = match field {
                    Some((_, _, bits)) => code(component, x, y, turn, *bits),
                    // Of a copy, what is missing is whatever the texture has there.
                    None if texture.image().is_none() => continue,
                    None => [0, 0, 0, 255][component],
                };
                if got != expected {
                    let name = ["red", "green", "blue", "alpha"][component];
                    return wrong(format!("{name} of ({x}, {y}) is {got}, expected {expected}{}", self.seen_as(&low)));
                }
            }
        }
        Ok(())
    }

    /// What the first pixel of 8-bit components looks like instead, where it is another order of the same bytes.
    fn seen_as(&self, low: &[u8]) -> String {
        if self.fields.iter().any(|(_, _, bits)| *bits != 8) || low.len() < 4 {
            return String::new();
        }
        let bytes = self.pixel(0, 0, 0);
        for (fourcc, _) in ORDERS {
            let Ok(other) = word(*fourcc) else { continue };
            if other.bytes != self.bytes || other.fields.iter().any(|(_, _, bits)| *bits != 8) {
                continue;
            }
            let all = other.fields.iter().all(|(component, at, _)| low[*component] == bytes[*at as usize / 8]);
            if all && other.fields != self.fields {
                return format!("; the bytes are read as those of {fourcc}");
            }
        }
        String::new()
    }

    /// Compares memory with the drawn pattern: exact for 8 bits, within one code else.
    ///
    /// # Errors
    /// The first pixel that differs; those of [`Buffer::map`].
    pub fn check_drawn(&self, buffer: &Buffer, turn: u32) -> Result<()> {
        let map = buffer.map(Access::Read)?;
        let size = buffer.size();
        for y in 0..size.height {
            for (x, pixel) in map.row(0, y).chunks_exact(self.bytes).enumerate() {
                let mut bytes = [0; 8];
                bytes[..pixel.len()].copy_from_slice(pixel);
                let value = u64::from_le_bytes(bytes);
                let wanted = pattern(x as u32, y, turn);
                for (component, at, bits) in &self.fields {
                    let max = (1u64 << bits) - 1;
                    let got = value >> at & max;
                    let expected = (f64::from(wanted[*component]) / 255.0 * max as f64).round() as u64;
                    let tolerance = u64::from(*bits != 8);
                    if got.abs_diff(expected) > tolerance {
                        let name = ["red", "green", "blue", "alpha"][*component];
                        return wrong(format!("{name} of ({x}, {y}) in memory is {got} of {max}, expected {expected}"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Makes a buffer that both sides touch.
///
/// # Errors
/// Those of the allocator.
pub fn allocate(allocator: &dyn Allocator, fourcc: Fourcc, size: Size, modifiers: &[Modifier]) -> Result<Buffer> {
    let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE;
    let mut request = Request::new(size, fourcc).usage(usage).modifiers(modifiers.iter().copied());
    request.constraints = Constraints::MALI;
    allocator.allocate(&request)
}

/// Memory of `rows` rows of 4096 bytes, and no more where pages are as large.
///
/// # Errors
/// Those of the allocator.
pub fn allocate_rows(allocator: &dyn Allocator, rows: u32) -> Result<Buffer> {
    let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE;
    allocator.allocate(&Request::new(Size::new(4096, rows), Fourcc::R8).usage(usage).modifiers([Modifier::LINEAR]))
}

/// An image of a buffer. `modifier`: passed, or not.
///
/// # Errors
/// Those of [`Image::import_with`].
pub fn import(bench: &Bench, buffer: &Buffer, modifier: UseModifier) -> Result<Image> {
    Image::import_with(&bench.display, buffer, &ImportOptions { modifier, ..ImportOptions::default() })
}

/// One of the four uses of an image of `buffer`.
///
/// # Errors
/// Pixels that differ; those of the way there.
pub fn try_use(bench: &Bench, buffer: &Buffer, modifier: UseModifier, usage: Use) -> Result<Facts> {
    let (gl, word) = (&bench.gl, word(buffer.fourcc())?);
    let image = || import(bench, buffer, modifier);
    match usage {
        Use::External => {
            word.write(buffer, 0)?;
            word.check_sampled(bench, &Texture::external(gl, &image()?)?, 0)?;
        }
        Use::TwoD => {
            word.write(buffer, 0)?;
            word.check_sampled(bench, &Texture::from_image(gl, &image()?)?, 0)?;
        }
        Use::Render | Use::Renderbuffer => {
            // What was there before must go.
            word.write(buffer, 1)?;
            let image = image()?;
            let target = match usage {
                Use::Render => Framebuffer::new(gl, Texture::from_image(gl, &image)?)?,
                _ => Framebuffer::from_renderbuffer(gl, Renderbuffer::from_image(gl, &image)?)?,
            };
            bench.mapper.draw_pattern(gl, &target, 0)?;
            gl.finish();
            gl.check()?;
            word.check_drawn(buffer, 0)?;
        }
        other => return Err(Error::invalid("use", format!("{} is none of a format", other.name()))),
    }
    Ok(Facts::new())
}

const USES: [Use; 4] = [Use::External, Use::TwoD, Use::Render, Use::Renderbuffer];

/// Every RGB format in every use.
pub fn cases() -> Vec<Case> {
    let formats = ORDERS.iter().map(|(fourcc, _)| fourcc.to_string());
    formats.flat_map(|format| USES.map(|usage| Case::Rgb { format: format.clone(), usage })).collect()
}

/// One format in one use; and whether the driver promised it.
pub fn carry_out(bench: &Bench, allocator: &dyn Allocator, format: &str, usage: Use) -> (bool, Result<Facts>) {
    let fourcc: Fourcc = match format.parse() {
        Ok(fourcc) => fourcc,
        Err(error) => return (false, Err(error)),
    };
    if !bench.lists(fourcc) {
        return (false, Err(Error::unsupported("eglQueryDmaBufFormatsEXT", format!("{fourcc} is not listed"))));
    }
    let external_only = bench.display.format(fourcc).is_ok_and(|support| support.external_only());
    // What OpenGL ES 2 itself draws into must be drawn into.
    let must = [Fourcc::ABGR8888, Fourcc::XBGR8888, Fourcc::RGB565].contains(&fourcc);
    let promised = match usage {
        Use::External => true,
        Use::TwoD => !external_only,
        _ => must && !external_only,
    };
    let buffer = allocate(allocator, fourcc, SIZE, &[Modifier::LINEAR]);
    (promised, buffer.and_then(|buffer| try_use(bench, &buffer, UseModifier::Auto, usage)))
}

/// Every RGB format that has a GL twin, with rows one behind the other and apart.
pub fn upload_cases() -> Vec<Case> {
    let formats = FORMATS.iter().filter(|format| format.gl.is_some() && word(format.fourcc).is_ok());
    formats
        .flat_map(|format| [false, true].map(|padded| Case::Upload { format: format.name.to_owned(), padded }))
        .collect()
}

/// Copies codes into a texture and samples them.
///
/// # Errors
/// Pixels that differ; `Unsupported` where the context has no such texture.
pub fn upload(bench: &Bench, format: &str, padded: bool) -> Result<Facts> {
    let fourcc: Fourcc = format.parse()?;
    let word = word(fourcc)?;
    let row = SIZE.width as usize * word.bytes;
    let stride = if padded { row + 5 * word.bytes } else { row };
    let mut bytes = vec![0; stride * SIZE.height as usize];
    word.fill(&mut bytes, stride, SIZE, 0);
    let texture = Texture::new(&bench.gl, SIZE, &TextureOptions { fourcc, ..TextureOptions::default() })?;
    texture.upload(&bench.gl, &bytes, stride as u32)?;
    word.check_sampled(bench, &texture, 0)?;
    Ok(Facts::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_long_as_the_table_says() {
        for (fourcc, _) in ORDERS {
            let format = fourcc.format().unwrap();
            assert_eq!(word(*fourcc).unwrap().bytes, format.planes[0].block_bytes as usize, "{fourcc}");
        }
    }

    #[test]
    fn the_trap_of_rgba8888() {
        // Fully red: the first byte in memory is alpha, the last red.
        let word = word(Fourcc::RGBA8888).unwrap();
        let red = word.fields.iter().find(|field| field.0 == R).unwrap();
        assert_eq!(*red, (R, 24, 8));
    }
}
