//! Raw pictures: the bytes of each frame without padding, one frame after the other.
//!
//! In: mapped pictures of any format. Out: one file or stream with the bytes of the pass's `format`; where they are that
//! already, rows go from the mapping to the system, not through a copy.
//! Not here: conversion beyond the order of 8-bit components (read-back gives R, G, B, A whatever the format).

use std::path::Path;

use crate::error::Result;
use crate::format::Fourcc;

use super::journal::OneFile;
use super::{Journal, Picker, Picture, Writer, Written};

/// Writes raw pictures.
pub struct RawWriter {
    output: OneFile,
    /// From the delivered bytes to the wanted ones, where they differ.
    reorder: Option<(Picker, Picker)>,
    pixels: Vec<u8>,
}

impl RawWriter {
    /// Opens the output for pictures that come as `delivered` and are written as `wanted`.
    ///
    /// # Errors
    /// As [`OneFile::open`]; `Unsupported` where the two differ and are not both 8-bit RGB.
    pub fn create(path: &Path, wanted: Fourcc, delivered: Fourcc, journal: Journal) -> Result<Self> {
        let reorder = match wanted == delivered {
            true => None,
            false => Some((Picker::new(delivered.format()?)?, Picker::new(wanted.format()?)?)),
        };
        let output = OneFile::open(path, journal, b"")?;
        Ok(Self { output, reorder, pixels: Vec::new() })
    }
}

impl Writer for RawWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        let rows = |plane: usize| {
            let bytes = picture.map.plane(plane);
            let row_bytes = picture.layout.row_bytes(plane) as usize;
            let stride = picture.layout.planes()[plane].stride_bytes as usize;
            // Rows without padding between them are one piece.
            let (step, piece) = if stride == row_bytes { (bytes.len(), bytes.len()) } else { (stride, row_bytes) };
            bytes.chunks(step).map(move |row| &row[..piece])
        };
        if let Some((from, to)) = &self.reorder {
            // Both are formats of one plane.
            let pixels = rows(0).flat_map(|piece| piece.chunks_exact(from.pixel_bytes()));
            self.pixels.resize(picture.layout.size.pixels() as usize * to.pixel_bytes(), 0);
            for (pixel, target) in pixels.zip(self.pixels.chunks_exact_mut(to.pixel_bytes())) {
                to.place(from.pick(pixel), target);
            }
            self.output.write(picture.frame, [self.pixels.as_slice()].into_iter())
        } else {
            self.output.write(picture.frame, (0..picture.layout.planes().len()).flat_map(rows))
        }
    }

    fn end(&mut self) -> Result<()> {
        self.output.end()
    }

    fn finish(&mut self) -> Result<Written> {
        self.output.finish()
    }
}
