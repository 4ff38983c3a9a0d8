//! Where planes may lie: the smallest stride, offset and padding that the driver takes, found by trying.
//!
//! Every number is an odd multiple of the alignment in question, so that it has no larger one by chance.

use serde::{Deserialize, Serialize};

use super::{Bench, Case, Facts, Use, rgb};
use crate::allocator::Allocator;
use crate::buffer::Buffer;
use crate::egl::UseModifier;
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Layout, PlaneLayout, Size};

/// Which number is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The stride of a picture that is sampled.
    SampledStride,
    /// The stride of a picture that is drawn into.
    DrawnStride,
    /// The offset of a picture that is sampled.
    SampledOffset,
    /// The offset of a picture that is drawn into.
    DrawnOffset,
    /// The memory ends with the last row, which is no multiple of `bytes` rows; sampled.
    SampledRows,
    /// The same, drawn into.
    DrawnRows,
}

impl What {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SampledStride => "sampled-stride",
            Self::DrawnStride => "drawn-stride",
            Self::SampledOffset => "sampled-offset",
            Self::DrawnOffset => "drawn-offset",
            Self::SampledRows => "sampled-rows",
            Self::DrawnRows => "drawn-rows",
        }
    }

    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SampledStride,
        Self::DrawnStride,
        Self::SampledOffset,
        Self::DrawnOffset,
        Self::SampledRows,
        Self::DrawnRows,
    ];
}

/// Alignments that are tried, largest first.
pub const BYTES: [u32; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];

/// Formats that are tried: the one that is drawn most, and the two that YUV planes are seen as.
const FORMATS: [Fourcc; 3] = [Fourcc::ABGR8888, Fourcc::R8, Fourcc::GR88];

/// Every number that makes sense for the format.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for fourcc in FORMATS {
        let pixel = fourcc.format().map_or(4, |format| format.planes[0].block_bytes);
        for what in What::ALL {
            let rows = matches!(what, What::SampledRows | What::DrawnRows);
            let tried = BYTES.into_iter().filter(|bytes| if rows { *bytes == 16 } else { *bytes >= pixel });
            cases.extend(tried.map(|bytes| Case::Placement { format: fourcc.to_string(), what, bytes }));
        }
    }
    cases
}

/// One picture at one place.
///
/// # Errors
/// Pixels that differ: taken and read elsewhere; or the driver's refusal.
pub fn carry_out(bench: &Bench, allocator: &dyn Allocator, format: &str, what: What, bytes: u32) -> Result<Facts> {
    let fourcc: Fourcc = format.parse()?;
    let pixel = fourcc.format()?.planes[0].block_bytes;
    let usage = match what {
        What::SampledStride | What::SampledOffset | What::SampledRows => Use::External,
        _ => Use::Render,
    };
    // 4096 bytes a row: the memory of some rows is whole pages.
    let memory = |rows| rgb::allocate_rows(allocator, rows);
    let buffer = match what {
        What::SampledStride | What::DrawnStride => {
            let row = rgb::SIZE.width * pixel;
            let stride = row.next_multiple_of(2 * bytes) + bytes;
            place(&memory(16)?, fourcc, rgb::SIZE, PlaneLayout { offset_bytes: 0, stride_bytes: stride })?
        }
        What::SampledOffset | What::DrawnOffset => {
            let stride = (rgb::SIZE.width * pixel).next_multiple_of(256);
            place(
                &memory(16)?,
                fourcc,
                rgb::SIZE,
                PlaneLayout { offset_bytes: u64::from(bytes), stride_bytes: stride },
            )?
        }
        What::SampledRows | What::DrawnRows => {
            // 52 columns of 4096 bytes: one row more would not be there.
            let rows = 2 * bytes + 1;
            let size = Size::new(rgb::SIZE.width, rows);
            place(&memory(rows)?, fourcc, size, PlaneLayout { offset_bytes: 0, stride_bytes: 4096 })?
        }
    };
    rgb::try_use(bench, &buffer, UseModifier::Auto, usage)
}

fn place(memory: &Buffer, fourcc: Fourcc, size: Size, plane: PlaneLayout) -> Result<Buffer> {
    let layout = Layout::new(fourcc, size, Modifier::LINEAR, &[plane])?;
    let fd = memory.plane_fd(0).try_clone_to_owned().map_err(|error| Error::from_io("dup", "a dma-buf", error))?;
    Buffer::from_fds(layout, vec![fd])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alignment_is_tried_where_pixels_are_as_small() {
        let of = |format: &str, what: What| {
            let fits =
                |case: &&Case| matches!(case, Case::Placement { format: f, what: w, .. } if f == format && *w == what);
            cases().iter().filter(fits).count()
        };
        assert_eq!(of("ABGR8888", What::SampledStride), 7);
        assert_eq!(of("R8", What::DrawnOffset), 9);
        assert_eq!(of("GR88", What::DrawnRows), 1);
    }
}
