//! Animated PNG: all pictures in one file, which browsers and players show as a loop.
//!
//! In: mapped pictures of 8-bit RGB formats. Out: one file. Its number of frames stands before the first one and is put
//! there at the end, when it is known: the output must be a file.
//!
//! # References
//! Portable Network Graphics (PNG) Specification (Third Edition), 11.3.6 Animation information.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::layout::Size;

use super::super::description::Rate;
use super::output::Output;
use super::pixels::Packed;
use super::{Picker, Picture, Writer, Written};

/// Where the encoder writes, and from where the file takes it.
#[derive(Clone, Default)]
struct Encoded(Arc<Mutex<Vec<u8>>>);

impl Encoded {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Encoded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes an animated PNG.
pub struct ApngWriter {
    output: Option<Output>,
    /// Ends the file when it is dropped.
    encoder: Option<png::Writer<Encoded>>,
    encoded: Encoded,
    /// First byte of the chunk with the number of frames.
    control_at: u64,
    pixels: Packed,
    written: Written,
}

impl ApngWriter {
    /// Opens the file and writes its head.
    ///
    /// # Errors
    /// As [`Output::create`]; `Unsupported` for a stream.
    pub fn create(path: &Path, size: Size, rate: Rate, picker: Picker) -> Result<Self> {
        let mut output = Output::create(path)?;
        if output.is_stream() {
            let detail = format!("{}: the number of frames stands at the file's beginning", path.display());
            return Err(Error::unsupported("apng", detail).with_hint("write to a file, or y4m to the stream"));
        }
        let pixels = Packed::new(picker, true);
        let encoded = Encoded::default();
        let mut encoder = png::Encoder::new(encoded.clone(), size.width, size.height);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_color(match pixels.components() {
            1 => png::ColorType::Grayscale,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        encoder.set_compression(png::Compression::Fast);
        encoder.set_filter(png::Filter::Paeth);
        let (numerator, denominator) = delay(rate);
        // The largest number that the format has, until the right one is known.
        let head = encoder.set_animated(i32::MAX as u32, 0);
        let head = head.and_then(|()| encoder.set_frame_delay(numerator, denominator));
        let encoder = head.and_then(|()| encoder.write_header()).map_err(failed)?;
        let head = encoded.take();
        let control_at = head.windows(4).position(|name| name == b"acTL").unwrap_or(4) as u64 - 4;
        output.write_all(&head)?;
        let written = Written::default();
        Ok(Self { output: Some(output), encoder: Some(encoder), encoded, control_at, pixels, written })
    }
}

/// Seconds a frame as a fraction of 16-bit numbers.
fn delay(rate: Rate) -> (u16, u16) {
    match (u16::try_from(rate.denominator), u16::try_from(rate.numerator)) {
        (Ok(numerator), Ok(denominator)) => (numerator, denominator),
        _ => {
            let ms = 1000.0 * f64::from(rate.denominator) / f64::from(rate.numerator);
            (ms.round().clamp(1.0, 65535.0) as u16, 1000)
        }
    }
}

fn failed(error: png::EncodingError) -> Error {
    Error::failed("apng", error.to_string())
}

impl Writer for ApngWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        let (Some(output), Some(encoder)) = (&mut self.output, &mut self.encoder) else { return Ok(()) };
        encoder.write_image_data(self.pixels.pack(picture)).map_err(failed)?;
        output.write_all(&self.encoded.take())?;
        self.written.pictures += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        // Dropped, it writes the end.
        drop(self.encoder.take());
        let Some(mut output) = self.output.take() else { return Ok(self.written) };
        if self.written.pictures == 0 {
            return Ok(self.written);
        }
        output.write_all(&self.encoded.take())?;
        let mut chunk = b"acTL".to_vec();
        chunk.extend(u32::try_from(self.written.pictures).unwrap_or(u32::MAX).to_be_bytes());
        // Again and again.
        chunk.extend([0; 4]);
        chunk.extend(crc32fast::hash(&chunk).to_be_bytes());
        output.rewrite(self.control_at + 4, &chunk)?;
        self.written.bytes = output.commit()?;
        Ok(self.written)
    }
}
