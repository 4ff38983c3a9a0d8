//! Raw pictures: the bytes of each frame without padding, one frame after the other.
//!
//! In: mapped pictures of any format. Out: one file or stream with the bytes of the pass's `format`; where they are that
//! already, rows go from the mapping to the system, not through a copy.
//! Not here: conversion beyond the order of 8-bit components (read-back gives R, G, B, A whatever the format).

use std::path::Path;

use crate::error::Result;
use crate::format::Fourcc;

use super::output::Sequence;
use super::{Picker, Picture, Writer, Written};

/// Writes raw pictures.
pub struct RawWriter {
    output: Sequence,
    /// From the delivered bytes to the wanted ones, where they differ.
    reorder: Option<(Picker, Picker)>,
    pixels: Vec<u8>,
}

impl RawWriter {
    /// Opens the output for pictures that come as `delivered` and are written as `wanted`.
    ///
    /// # Errors
    /// As [`Output::create`](super::output::Output::create); `Unsupported` where the two differ and are not both 8-bit RGB.
    pub fn create(path: &Path, wanted: Fourcc, delivered: Fourcc) -> Result<Self> {
        let reorder = match wanted == delivered {
            true => None,
            false => Some((Picker::new(delivered.format()?)?, Picker::new(wanted.format()?)?)),
        };
        Ok(Self { output: Sequence::create(path)?, reorder, pixels: Vec::new() })
    }
}

impl Writer for RawWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        let Self { output, reorder, pixels } = self;
        output.picture(|output| {
            for (plane, place) in picture.layout.planes().iter().enumerate() {
                let bytes = picture.map.plane(plane);
                let row_bytes = picture.layout.row_bytes(plane) as usize;
                let stride = place.stride_bytes as usize;
                if let Some((from, to)) = reorder {
                    let given = bytes.chunks(stride).flat_map(|row| row[..row_bytes].chunks_exact(from.pixel_bytes()));
                    pixels.resize(picture.layout.size.pixels() as usize * to.pixel_bytes(), 0);
                    for (pixel, target) in given.zip(pixels.chunks_exact_mut(to.pixel_bytes())) {
                        to.place(from.pick(pixel), target);
                    }
                    output.write_all(pixels)?;
                    continue;
                }
                match stride == row_bytes {
                    true => output.write_all(bytes)?,
                    false => output.write_pieces(bytes.chunks(stride).map(|row| &row[..row_bytes]))?,
                }
            }
            Ok(())
        })
    }

    fn end(&mut self) -> Result<()> {
        self.output.end()
    }

    fn finish(&mut self) -> Result<Written> {
        self.output.finish()
    }
}
