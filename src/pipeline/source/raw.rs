//! Raw video: frames one after the other, with any format of the table and explicit strides and offsets.
//!
//! In: a file and its [`FileLayout`]. Out: planes, read straight into the destination's rows.
//! Not here: what the planes mean (`color`).

use std::path::Path;
use std::time::Duration;

use crate::buffer::Map;
use crate::color::Color;
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Constraints, Layout, PlaneLayout, Size};

use super::super::description::Numbers;
use super::{Info, Input, Reader, Rows, Stop};

/// What the description says about a raw file.
pub struct Parameters<'a> {
    /// Pixel format.
    pub fourcc: Fourcc,
    /// Picture size.
    pub size: Size,
    /// Bytes from row to row.
    pub strides: Option<&'a Numbers>,
    /// First byte of each plane in a frame.
    pub offsets: Option<&'a Numbers>,
    /// Bytes from frame to frame.
    pub frame_bytes: Option<u64>,
    /// Bytes before the first frame.
    pub header_bytes: u64,
}

/// Where frames and planes lie in a file.
#[derive(Clone, Debug)]
pub struct FileLayout {
    planes: Layout,
    frame_bytes: u64,
    header_bytes: u64,
}

impl FileLayout {
    /// Checks the numbers; what is left out is tight.
    ///
    /// # Errors
    /// `Unsupported` formats; `InvalidInput` numbers. The error's `op` is the key.
    pub fn new(parameters: Parameters<'_>) -> Result<Self> {
        let Parameters { fourcc, size, strides, offsets, frame_bytes, header_bytes } = parameters;
        let format = fourcc.format()?;
        if format.needs_modifier {
            return Err(Error::unsupported("format", format!("{fourcc} has no linear layout")));
        }
        let tight = Layout::linear(fourcc, size, &Constraints::NONE)?;
        let count = format.planes.len();
        let each = |key: &'static str, numbers: &Numbers| match numbers {
            Numbers::Each(numbers) if numbers.len() == count => Ok(numbers.clone()),
            Numbers::One(number) if count == 1 => Ok(vec![*number]),
            Numbers::Each(numbers) => {
                Err(Error::invalid(key, format!("{} numbers given, {fourcc} has {count} planes", numbers.len())))
            }
            Numbers::One(_) => Err(Error::invalid(key, format!("one number given, {fourcc} has {count} planes"))),
        };
        let strides = match strides {
            None => tight.planes().iter().map(|plane| u64::from(plane.stride_bytes)).collect(),
            // One number describes the luma rows; chroma rows follow, as V4L2 does it.
            Some(Numbers::One(luma)) => {
                format.planes.iter().map(|plane| plane.derived_stride(*luma, &format.planes[0])).collect()
            }
            Some(numbers) => each("stride", numbers)?,
        };
        let too_large = |number: u64| Error::invalid("stride", format!("{number} does not fit 32 bits"));
        let offsets = offsets.map(|offsets| each("offset", offsets)).transpose()?;
        let mut planes = Vec::new();
        let mut next = 0u64;
        for (index, stride) in strides.iter().enumerate() {
            let offset_bytes = offsets.as_ref().map_or(next, |offsets| offsets[index]);
            planes.push(PlaneLayout {
                offset_bytes,
                stride_bytes: u32::try_from(*stride).map_err(|_| too_large(*stride))?,
            });
            let rows = u64::from(format.planes[index].rows(size.height));
            next = stride.checked_mul(rows).and_then(|bytes| bytes.checked_add(offset_bytes)).ok_or_else(|| {
                Error::invalid("offset", format!("plane {index}: {offset_bytes} + {stride} * {rows} is too large"))
            })?;
        }
        let planes = Layout::new(fourcc, size, Modifier::LINEAR, &planes)
            .map_err(|error| Error::invalid("stride", error.detail()))?;
        let mut end = 0;
        for index in 0..count {
            end = planes.plane_end(index)?.max(end);
        }
        let frame_bytes = match frame_bytes {
            None => next.max(end),
            Some(bytes) if bytes >= end => bytes,
            Some(bytes) => {
                return Err(Error::invalid("frame-bytes", format!("{bytes}: the planes of a frame end at byte {end}")));
            }
        };
        Ok(Self { planes, frame_bytes, header_bytes })
    }

    /// Bytes from frame to frame.
    pub fn frame_bytes(&self) -> u64 {
        self.frame_bytes
    }
}

/// Reads raw video.
pub struct RawReader {
    input: Input,
    layout: FileLayout,
    info: Info,
}

impl RawReader {
    /// Opens a file, and checks that it holds whole frames.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; `InvalidInput` where the file is smaller than one frame.
    pub fn open(path: &Path, layout: FileLayout, stop: &Stop) -> Result<Self> {
        let mut input = Input::open(path, stop)?;
        let size = layout.planes.size;
        let fourcc = layout.planes.fourcc;
        let mut last_end = 0;
        for index in 0..layout.planes.planes().len() {
            last_end = layout.planes.plane_end(index)?.max(last_end);
        }
        let color = if fourcc.format()?.is_yuv() { Color::guess(size) } else { Color::SRGB };
        let Some(len_bytes) = input.len_bytes() else {
            // A stream shows its end when it is there; one that is empty is a mistake.
            if input.read_up_to(layout.header_bytes, &mut [0])? == 0 {
                return Err(input.error(layout.header_bytes, "the stream has no frame"));
            }
            let info = Info { size, fourcc, color, rate: None, frames: None, still: false };
            return Ok(Self { input, layout, info });
        };
        let body = len_bytes.saturating_sub(layout.header_bytes);
        // The last frame may lack the padding after its last row.
        let frames = if body < last_end { 0 } else { (body - last_end) / layout.frame_bytes + 1 };
        if frames == 0 {
            let detail = format!("{fourcc} {size} needs {last_end} bytes a frame, the file has {body}");
            return Err(input.error(layout.header_bytes, detail).with_hint("check size, format, stride and offset"));
        }
        let whole = (frames - 1) * layout.frame_bytes + last_end;
        let padding = layout.frame_bytes - last_end;
        if body - whole > padding {
            tracing::warn!(
                path = %path.display(), frames, rest_bytes = body - whole - padding,
                "the file ends inside a frame, which is left out: it was cut, or size or format are wrong"
            );
        }
        let info = Info { size, fourcc, color, rate: None, frames: Some(frames), still: false };
        Ok(Self { input, layout, info })
    }
}

impl Reader for RawReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        self.input.ready(timeout)
    }

    fn read(&mut self, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        if self.info.frames.is_some_and(|frames| index >= frames) {
            return Ok(false);
        }
        let start = self.layout.header_bytes + index * self.layout.frame_bytes;
        if self.info.frames.is_none() && self.input.read_up_to(start, &mut [0])? == 0 {
            return Ok(false);
        }
        for (plane, place) in self.layout.planes.planes().iter().enumerate() {
            let rows = Rows {
                rows: self.layout.planes.rows(plane),
                row_bytes: self.layout.planes.row_bytes(plane) as usize,
                stride_bytes: u64::from(place.stride_bytes),
            };
            let stride = layout.planes()[plane].stride_bytes as usize;
            self.input.read_rows(start + place.offset_bytes, &rows, into.plane_mut(plane), stride)?;
        }
        Ok(true)
    }
}
