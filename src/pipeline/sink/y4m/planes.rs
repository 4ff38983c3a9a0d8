//! YUV4MPEG2 of pictures that are YUV already: samples are put in order, none is changed.
//!
//! In: mapped pictures of any format whose samples are whole bytes or words. Out: planes Y, Cb, Cr in one file or stream;
//! alpha is left out. Deeper than 8 bits: little-endian words with the code at the bottom, as FFmpeg writes them.
//! Not here: RGB.

use std::path::Path;

use crate::color::{Color, Matrix, Siting};
use crate::error::{Error, Result};
use crate::format::{Component, Fourcc, Packing};

use super::super::journal::OneFile;
use super::super::{Journal, Picture, Shape, Writer, Written};
use super::header;

/// Fails where y4m has no name for the format or its siting.
pub(in super::super) fn check(fourcc: Fourcc, color: Color) -> Result<()> {
    space(fourcc, color).map(|_| ())
}

/// The colour space tag.
fn space(fourcc: Fourcc, color: Color) -> Result<String> {
    let format = fourcc.format()?;
    let refuse = |why: &str| {
        Err(Error::unsupported("format", format!("{fourcc}: {why}"))
            .with_hint("NV12 and YUV420 are written, or write raw"))
    };
    let Some(packing) = fourcc.packing() else { return refuse("its samples are no whole bytes") };
    if color.matrix == Matrix::Identity {
        return refuse("y4m has no tag for the identity matrix");
    }
    let chroma = format.planes.last().unwrap_or(&format.planes[0]);
    let across = if format.planes.len() == 1 { packing.luma_columns(0) as u32 } else { chroma.horizontal_subsampling };
    let deep = if packing.bits > 8 { format!("p{}", packing.bits) } else { String::new() };
    Ok(match (across, chroma.vertical_subsampling, color.siting) {
        (2, 2, Siting::TopLeft) => {
            return Err(Error::unsupported("color.siting", "y4m has no tag for top-left")
                .with_hint("use left or center, or write raw"));
        }
        // Of deeper ones the tag does not say where chroma sits: readers take left.
        (2, 2, _) if packing.bits > 8 => format!("420{deep}"),
        (2, 2, Siting::Center) => "420jpeg".into(),
        (2, 2, Siting::Left) => "420mpeg2".into(),
        (2, 1, _) => format!("422{deep}"),
        (1, 1, _) => format!("444{deep}"),
        (4, 1, _) => "411".into(),
        _ => return refuse("y4m has no tag for its subsampling"),
    })
}

/// Writes YUV4MPEG2 without converting.
pub struct PlanesWriter {
    output: OneFile,
    packing: Packing,
    frame: Vec<u8>,
}

impl PlanesWriter {
    /// Opens the output and writes the header.
    ///
    /// # Errors
    /// As [`OneFile::open`]; `Unsupported` formats and sitings.
    pub fn create(path: &Path, shape: &Shape, journal: Journal) -> Result<Self> {
        let space = space(shape.fourcc, shape.color)?;
        let packing = shape.fourcc.packing().ok_or_else(|| Error::unsupported("format", shape.fourcc.to_string()))?;
        let header = header(shape.size, shape.rate, &space, shape.color);
        let output = OneFile::open(path, journal, header.as_bytes())?;
        Ok(Self { output, packing, frame: Vec::new() })
    }
}

impl Writer for PlanesWriter {
    fn write(&mut self, picture: &Picture<'_>) -> Result<()> {
        self.frame.clear();
        self.frame.extend(b"FRAME\n");
        for component in [Component::Y, Component::Cb, Component::Cr] {
            append(&self.packing, picture, component, &mut self.frame);
        }
        self.output.write(picture.frame, [self.frame.as_slice()].into_iter())
    }

    fn end(&mut self) -> Result<()> {
        self.output.end()
    }

    fn finish(&mut self) -> Result<Written> {
        self.output.finish()
    }
}

/// Appends the samples of one component, row after row.
fn append(packing: &Packing, picture: &Picture<'_>, component: Component, frame: &mut Vec<u8>) {
    let layout = picture.layout;
    let Some(plane) = packing.planes.iter().position(|samples| samples.contains(&component)) else { return };
    let samples = packing.planes[plane];
    let block_bytes = samples.len() * packing.sample_bytes;
    let places: Vec<usize> = (0..samples.len()).filter(|index| samples[*index] == component).collect();
    let format = &layout.format().planes[plane];
    // Packed 4:2:2 has two luma samples a block; of an odd width the last one is not part of the picture.
    let columns = match component {
        Component::Y => layout.size.width,
        _ => format.columns(layout.size.width).div_ceil(format.block_width),
    } as usize;
    for row in 0..layout.rows(plane) {
        let bytes = picture.map.row(plane, row);
        if samples.len() == 1 && packing.sample_bytes == 1 {
            frame.extend_from_slice(&bytes[..columns]);
            continue;
        }
        let found = bytes
            .chunks_exact(block_bytes)
            .flat_map(|block| places.iter().map(move |place| packing.load(&block[place * packing.sample_bytes..])));
        match packing.sample_bytes {
            1 => frame.extend(found.take(columns).map(|code| code as u8)),
            _ => frame.extend(found.take(columns).flat_map(|code| (code as u16).to_le_bytes())),
        }
    }
}
