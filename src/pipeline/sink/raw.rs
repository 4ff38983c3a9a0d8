//! Raw pictures: the bytes of each frame without padding, one frame after the other.
//!
//! In: mapped pictures of any format. Out: one file or stream; rows go from the mapping to the system, not through a copy.
//! Not here: conversion; the bytes are those of the pass's `format`.

use std::path::Path;

use crate::error::Result;

use super::output::Output;
use super::{Picture, Writer, Written};

/// Writes raw pictures.
pub struct RawWriter {
    output: Option<Output>,
    written: Written,
}

impl RawWriter {
    /// Opens the output.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self { output: Some(Output::create(path)?), written: Written::default() })
    }
}

impl Writer for RawWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        for (plane, place) in picture.layout.planes().iter().enumerate() {
            let bytes = picture.map.plane(plane);
            let row_bytes = picture.layout.row_bytes(plane) as usize;
            let stride = place.stride_bytes as usize;
            match stride == row_bytes {
                true => output.write_all(bytes)?,
                false => output.write_pieces(bytes.chunks(stride).map(|row| &row[..row_bytes]))?,
            }
        }
        self.written.pictures += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        if let Some(output) = self.output.take() {
            self.written.bytes = output.commit()?;
        }
        Ok(self.written)
    }
}
