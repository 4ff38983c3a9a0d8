//! PNG files: one per frame where the name has a number, else one.
//!
//! In: mapped pictures of 8-bit RGB formats. Out: files that are whole as soon as they have their names.
//! Not here: 16 bits, animation, metadata (no colour chunk: readers take sRGB).

use std::path::{Path, PathBuf};

use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use crate::error::{Error, Result};

use super::output::{Output, Pattern};
use super::{Journal, Picker, Picture, Writer, Written};

/// Writes PNG files.
pub struct PngWriter {
    pattern: Pattern,
    path: PathBuf,
    picker: Picker,
    journal: Journal,
    /// Pixels without padding, in PNG's order; used where the mapping's bytes are not that already.
    pixels: Vec<u8>,
    encoded: Vec<u8>,
    written: Written,
}

impl PngWriter {
    /// Checks that the first file can be made where the name has no number; folders are made.
    ///
    /// # Errors
    /// `InvalidInput` for a bad name; as [`Output::create`].
    pub fn create(path: &Path, picker: Picker, journal: Journal) -> Result<Self> {
        let pattern = Pattern::parse(path).map_err(|detail| Error::invalid("file", detail))?;
        // Fails now, not after the first frame was drawn; dropped, it leaves nothing.
        drop(Output::create(&pattern.name(0))?);
        Ok(Self {
            pattern,
            path: path.to_owned(),
            picker,
            journal,
            pixels: Vec::new(),
            encoded: Vec::new(),
            written: Written::default(),
        })
    }
}

impl Writer for PngWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        if self.written.pictures > 0 && !self.pattern.is_numbered() {
            let detail = format!("{}: a second picture for one file", self.path.display());
            return Err(Error::invalid("png", detail).with_hint("put %04d into the name, or take one frame"));
        }
        let (layout, picker) = (picture.layout, &self.picker);
        let (width, height) = (layout.size.width, layout.size.height);
        let stride = layout.planes()[0].stride_bytes as usize;
        let row_bytes = layout.row_bytes(0) as usize;
        let bytes = picture.map.plane(0);
        let color = match (picker.is_gray(), picker.has_alpha()) {
            (true, _) => image::ExtendedColorType::L8,
            (_, true) => image::ExtendedColorType::Rgba8,
            (_, false) => image::ExtendedColorType::Rgb8,
        };
        let ready = stride == row_bytes && (picker.is_rgba() || picker.is_gray());
        let pixels = if ready {
            bytes
        } else {
            self.pixels.clear();
            for row in bytes.chunks(stride) {
                let row = &row[..row_bytes];
                if picker.is_rgba() || picker.is_gray() {
                    self.pixels.extend_from_slice(row);
                    continue;
                }
                let keep = if picker.has_alpha() { 4 } else { 3 };
                for pixel in row.chunks_exact(picker.pixel_bytes()) {
                    self.pixels.extend_from_slice(&picker.pick(pixel)[..keep]);
                }
            }
            &self.pixels
        };
        self.encoded.clear();
        let name = self.pattern.name(picture.frame);
        // Trying every filter on every row costs half as much again, and makes files at most 1 % smaller.
        PngEncoder::new_with_quality(&mut self.encoded, CompressionType::Fast, FilterType::Paeth)
            .write_image(pixels, width, height, color)
            .map_err(|error| Error::failed("png", format!("{}: {error}", name.display())))?;
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
