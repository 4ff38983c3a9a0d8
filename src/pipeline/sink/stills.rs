//! PNG and JPEG files: one per frame where the name has a number, else one.
//!
//! In: mapped pictures of 8-bit RGB formats. Out: files that are whole as soon as they have their names.
//! Not here: 16 bits, animation (`apng`), metadata (no colour chunk: readers take sRGB).

use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::error::{Error, Result};

use super::output::{Output, Pattern};
use super::pixels::Packed;
use super::{Journal, Picker, Picture, Writer, Written};

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Without loss.
    Png,
    /// With losses: 1 (small) to 100 (close). Alpha is left out.
    Jpeg(u8),
}

/// Writes one file per picture.
pub struct StillsWriter {
    pattern: Pattern,
    path: PathBuf,
    encoding: Encoding,
    journal: Journal,
    pixels: Packed,
    encoded: Vec<u8>,
    written: Written,
}

impl StillsWriter {
    /// Checks that the first file can be made where the name has no number; folders are made.
    ///
    /// # Errors
    /// `InvalidInput` for a bad name; as [`Output::create`].
    pub fn create(path: &Path, encoding: Encoding, picker: Picker, journal: Journal) -> Result<Self> {
        let pattern = Pattern::parse(path).map_err(|detail| Error::invalid("file", detail))?;
        // Fails now, not after the first frame was drawn; dropped, it leaves nothing.
        drop(Output::create(&pattern.name(0))?);
        Ok(Self {
            pattern,
            path: path.to_owned(),
            encoding,
            journal,
            pixels: Packed::new(picker, encoding == Encoding::Png),
            encoded: Vec::new(),
            written: Written::default(),
        })
    }
}

impl Writer for StillsWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        if self.written.pictures > 0 && !self.pattern.is_numbered() {
            let detail = format!("{}: a second picture for one file", self.path.display());
            return Err(Error::invalid("file", detail).with_hint("put %04d into the name, or take one frame"));
        }
        let (width, height) = (picture.layout.size.width, picture.layout.size.height);
        let color = match self.pixels.components() {
            1 => ExtendedColorType::L8,
            3 => ExtendedColorType::Rgb8,
            _ => ExtendedColorType::Rgba8,
        };
        let pixels = self.pixels.pack(picture);
        self.encoded.clear();
        let name = self.pattern.name(picture.frame);
        let encoded = match self.encoding {
            // Trying every filter on every row costs half as much again, and makes files at most 1 % smaller.
            Encoding::Png => PngEncoder::new_with_quality(&mut self.encoded, CompressionType::Fast, FilterType::Paeth)
                .write_image(pixels, width, height, color),
            Encoding::Jpeg(quality) => {
                JpegEncoder::new_with_quality(&mut self.encoded, quality).write_image(pixels, width, height, color)
            }
        };
        encoded.map_err(|error| Error::failed("encode", format!("{}: {error}", name.display())))?;
        let mut output = Output::create(&name)?;
        output.write_all(&self.encoded)?;
        self.written.bytes += output.commit()?;
        self.journal.wrote(Some(picture.frame), &name, 0, [self.encoded.as_slice()])?;
        self.written.pictures += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        Ok(self.written)
    }
}
