//! YUV4MPEG2, 4:2:0, 8 bits: what ordinary players and encoders open.
//!
//! In: mapped pictures of 8-bit RGB formats; alpha is left out. Out: one file or stream.
//! Not here: pictures that are YUV already ([`planes`]); a conversion of 1280x720 takes the CPU a few milliseconds,
//! beside the drawing.
//!
//! Chroma siting left: [1 2 1] / 4 across and [1 1] / 2 down, so that a sample sits on its luma column between the rows.
//! Siting center: the mean of the four. Edges repeat. Rounded once, at the end.

use std::path::Path;

use crate::color::{Color, Range, Siting};
use crate::error::{Error, Result};
use crate::layout::Size;

use super::super::description::Rate;
use super::journal::OneFile;
use super::{Journal, Picker, Picture, Writer, Written};

pub mod planes;

/// Fails where y4m has no name for the siting.
pub(super) fn check(color: Color) -> Result<()> {
    match color.siting {
        Siting::Left | Siting::Center => Ok(()),
        Siting::TopLeft => {
            Err(Error::unsupported("color.siting", "y4m has no tag for top-left").with_hint("use left or center"))
        }
    }
}

/// Writes YUV4MPEG2.
pub struct Y4mWriter {
    output: OneFile,
    converter: Converter,
    frame: Vec<u8>,
}

impl Y4mWriter {
    /// Opens the output and writes the header.
    ///
    /// # Errors
    /// As [`OneFile::open`]; `Unsupported` siting.
    pub fn create(path: &Path, size: Size, rate: Rate, color: Color, picker: Picker, journal: Journal) -> Result<Self> {
        check(color)?;
        let siting = if color.siting == Siting::Center { "420jpeg" } else { "420mpeg2" };
        let output = OneFile::open(path, journal, header(size, rate, siting, color).as_bytes())?;
        let converter = Converter::new(size, color, picker);
        Ok(Self { output, converter, frame: Vec::new() })
    }
}

fn header(size: Size, rate: Rate, space: &str, color: Color) -> String {
    let range = if color.range == Range::Full { "FULL" } else { "LIMITED" };
    let Size { width, height } = size;
    let Rate { numerator, denominator } = rate;
    format!("YUV4MPEG2 W{width} H{height} F{numerator}:{denominator} Ip A1:1 C{space} XCOLORRANGE={range}\n")
}

impl Writer for Y4mWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        const LINE: &[u8] = b"FRAME\n";
        self.frame.resize(LINE.len() + self.converter.frame_bytes(), 0);
        self.frame[..LINE.len()].copy_from_slice(LINE);
        let stride = picture.layout.planes()[0].stride_bytes as usize;
        self.converter.convert(picture.map.plane(0), stride, &mut self.frame[LINE.len()..]);
        self.output.write(picture.frame, [self.frame.as_slice()].into_iter())
    }

    fn end(&mut self) -> Result<()> {
        self.output.end()
    }

    fn finish(&mut self) -> Result<Written> {
        self.output.finish()
    }
}

/// RGB rows to planes Y, Cb, Cr.
pub(super) struct Converter {
    size: Size,
    picker: Picker,
    /// Codes from codes: rows Y, Cb, Cr; columns R, G, B, 1, and half a code for rounding.
    matrix: [[f32; 4]; 3],
    left: bool,
    /// The sum of two rows, R, G, B apart, with one column repeated at either end.
    sums: [Vec<f32>; 3],
}

impl Converter {
    pub(super) fn new(size: Size, color: Color, picker: Picker) -> Self {
        let rows = color.rgb_to_yuv(8);
        let matrix = rows.map(|row| [row[0] as f32, row[1] as f32, row[2] as f32, (row[3] * 255.0 + 0.5) as f32]);
        let columns = size.width as usize + 2;
        let sums = [vec![0.0; columns], vec![0.0; columns], vec![0.0; columns]];
        Self { size, picker, matrix, left: color.siting != Siting::Center, sums }
    }

    /// Bytes of the three planes.
    pub(super) fn frame_bytes(&self) -> usize {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
    }

    pub(super) fn convert(&mut self, rgb: &[u8], stride: usize, into: &mut [u8]) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
        let (luma, chroma) = into.split_at_mut(width * height);
        let (cb, cr) = chroma.split_at_mut(chroma_width * chroma_height);
        for pair in 0..chroma_height {
            for second in [false, true] {
                // With an odd number of rows the last one is its own neighbour.
                let row = (pair * 2 + usize::from(second)).min(height - 1);
                let pixels = &rgb[row * stride..row * stride + width * self.picker.pixel_bytes()];
                let target = &mut luma[row * width..(row + 1) * width];
                match self.picker.is_rgba() {
                    true => self.luma_row::<true>(pixels, target, second),
                    false => self.luma_row::<false>(pixels, target, second),
                }
            }
            let at = pair * chroma_width;
            self.chroma_row(&mut cb[at..at + chroma_width], &mut cr[at..at + chroma_width]);
        }
    }

    fn luma_row<const RGBA: bool>(&mut self, pixels: &[u8], target: &mut [u8], add: bool) {
        let [mr, mg, mb, bias] = self.matrix[0];
        let width = target.len();
        let [sum_r, sum_g, sum_b] = &mut self.sums;
        let sums = sum_r[1..].iter_mut().zip(&mut sum_g[1..]).zip(&mut sum_b[1..]);
        let pixels = pixels.chunks_exact(self.picker.pixel_bytes());
        for ((pixel, target), ((sum_r, sum_g), sum_b)) in pixels.zip(target).zip(sums) {
            let [r, g, b] = if RGBA {
                [pixel[0], pixel[1], pixel[2]]
            } else {
                let [r, g, b, _] = self.picker.pick(pixel);
                [r, g, b]
            };
            let (r, g, b) = (f32::from(r), f32::from(g), f32::from(b));
            *target = (r * mr + g * mg + b * mb + bias) as u8;
            if add {
                (*sum_r, *sum_g, *sum_b) = (*sum_r + r, *sum_g + g, *sum_b + b);
            } else {
                (*sum_r, *sum_g, *sum_b) = (r, g, b);
            }
        }
        for sum in &mut self.sums {
            sum[0] = sum[1];
            sum[width + 1] = sum[width];
        }
    }

    fn chroma_row(&self, cb: &mut [u8], cr: &mut [u8]) {
        let [_, row_b, row_r] = self.matrix;
        let [sum_r, sum_g, sum_b] = &self.sums;
        // Column 2k lies at 2k + 1 of the sums, its neighbours beside it.
        let (weights, scale) = if self.left { ([1.0, 2.0, 1.0], 1.0 / 8.0) } else { ([0.0, 1.0, 1.0], 1.0 / 4.0) };
        let mean = |sum: &[f32], k: usize| {
            (sum[2 * k] * weights[0] + sum[2 * k + 1] * weights[1] + sum[2 * k + 2] * weights[2]) * scale
        };
        for (k, (cb, cr)) in cb.iter_mut().zip(cr).enumerate() {
            let (r, g, b) = (mean(sum_r, k), mean(sum_g, k), mean(sum_b, k));
            *cb = (r * row_b[0] + g * row_b[1] + b * row_b[2] + row_b[3]) as u8;
            *cr = (r * row_r[0] + g * row_r[1] + b * row_r[2] + row_r[3]) as u8;
        }
    }
}
