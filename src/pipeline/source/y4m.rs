//! YUV4MPEG2: a text header, then frames of planar YUV, each behind the word `FRAME`.
//!
//! In: a file. Out: planes, read straight into the destination's rows where a format has them as the file has; deeper
//! than 8 bits at the top of 16-bit words, exactly; mono as 4:2:0 with neutral chroma.
//! Not here: taking woven fields apart (`shaders/deinterlace-bob.frag`).
//!
//! # References
//! `yuv4mpeg(5)` of mjpegtools; the tags `XCOLORRANGE` and `XYSCSS` of FFmpeg.

use std::path::Path;
use std::time::Duration;

use crate::buffer::Map;
use crate::color::Range;
use crate::error::Result;
use crate::format::Component;
use crate::layout::Layout;

use super::{Info, Input, Reader, Rows, Stop};

mod header;
mod samples;

pub use header::{FilePlane, Header};
use samples::Placing;

const FRAME: &[u8] = b"FRAME";
/// Longer headers are no headers.
const MAX_HEADER_BYTES: usize = 4096;
/// Rows are read in pieces of about this size where their samples are put elsewhere.
const PIECE_BYTES: usize = 1 << 16;

/// Reads YUV4MPEG2.
pub struct Y4mReader {
    input: Input,
    info: Info,
    header: Header,
    /// Bytes of one frame's planes.
    body_bytes: u64,
    first: u64,
    /// Frame number and position of the next `FRAME` line.
    next: (u64, u64),
    /// Rows on their way, where they are not read into their place.
    piece: Vec<u8>,
}

impl Y4mReader {
    /// Opens a file and reads its header; `range` is what its codes are, where the header says it wrong.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; as [`Header::parse`].
    pub fn open(path: &Path, range: Option<Range>, stop: &Stop) -> Result<Self> {
        let mut input = Input::open(path, stop)?;
        let mut start = vec![0; MAX_HEADER_BYTES];
        let got = input.read_up_to(0, &mut start)?;
        if got == 0 {
            return Err(input.error(0, "the file is empty"));
        }
        let end = start[..got].iter().position(|byte| *byte == b'\n');
        let line = &start[..end.unwrap_or(got)];
        let mut header = Header::parse(line).map_err(|error| error.in_context(input.name()))?;
        header.color.range = range.unwrap_or(header.color.range);
        let Some(end) = end else {
            return Err(input.error(got as u64, "the header line does not end"));
        };
        let body_bytes = header.body_bytes();
        let first = end as u64 + 1;
        // A stream shows its end when it is there.
        let rest = input.len_bytes().map(|len| len.saturating_sub(first));
        if rest == Some(0) {
            return Err(input.error(first, "there is no frame behind the header"));
        }
        if let Some(rest) = rest.filter(|rest| *rest < body_bytes) {
            // Before memory of a size that only a header claims is made.
            let detail = format!(
                "a frame of {} {} has {body_bytes} bytes, the file ends {rest} bytes behind its header: it was cut",
                header.fourcc, header.size
            );
            return Err(input.error(first + rest, detail).with_hint("make the file again"));
        }
        // An upper limit: frame lines may carry parameters. Whether a frame is whole shows when it is read.
        let frames = rest.map(|rest| rest.div_ceil(FRAME.len() as u64 + 1 + body_bytes));
        let info = Info {
            size: header.size,
            fourcc: header.fourcc,
            color: header.color,
            rate: header.rate,
            frames,
            still: false,
        };
        Ok(Self { input, info, header, body_bytes, first, next: (0, first), piece: Vec::new() })
    }

    /// The position of the planes of the frame whose line begins at `at`; `None` at the end of the file.
    fn frame_line(&mut self, index: u64, at: u64) -> Result<Option<u64>> {
        let mut line = [0; 256];
        let got = self.input.read_up_to(at, &mut line)?;
        if got == 0 {
            return Ok(None);
        }
        let line = &line[..got];
        if !line.starts_with(FRAME) {
            let detail = format!("frame {index} does not begin with FRAME: the file is cut or damaged");
            return Err(self.input.error(at, detail));
        }
        match line.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(Some(at + end as u64 + 1)),
            None => Err(self.input.error(at + got as u64, format!("the FRAME line of frame {index} does not end"))),
        }
    }
}

impl Reader for Y4mReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        self.input.ready(timeout)
    }

    fn read(&mut self, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        let (mut number, mut at) = if index < self.next.0 { (0, self.first) } else { self.next };
        let mut body = loop {
            let Some(body) = self.frame_line(number, at)? else { return Ok(false) };
            if number == index {
                break body;
            }
            (number, at) = (number + 1, body + self.body_bytes);
        };
        let left = self.input.len_bytes().map(|len| len.saturating_sub(body));
        if let Some(left) = left.filter(|left| *left < self.body_bytes) {
            let detail = format!("frame {index} has {left} bytes of {}: the file was cut", self.body_bytes);
            let error = self.input.error(body + left, detail);
            return Err(match index {
                0 => error,
                _ => error.with_hint(format!("range = \"..{index}\" takes the whole frames before it")),
            });
        }
        self.next = (index + 1, body + self.body_bytes);
        let packing = self.info.fourcc.packing();
        let (bits, range) = (self.header.bits, self.info.color.range);
        let placing = |component| packing.and_then(|packing| Placing::new(packing, component, bits, range));
        for (index, plane) in self.header.planes.clone().into_iter().enumerate() {
            let row_bytes = plane.columns as usize * self.header.sample_bytes();
            let plane_bytes = row_bytes as u64 * u64::from(plane.rows);
            if bits == 8 && layout.format().planes.len() > 2 {
                // A plane of the file is one of the format.
                let stride = layout.planes()[index].stride_bytes as usize;
                let rows = Rows { rows: plane.rows, row_bytes, stride_bytes: row_bytes as u64 };
                self.input.read_rows(body, &rows, into.plane_mut(index), stride)?;
            } else if let Some(placing) = placing(plane.component) {
                let rows = (PIECE_BYTES / row_bytes).clamp(1, plane.rows as usize);
                self.piece.resize(rows * row_bytes, 0);
                for first in (0..plane.rows).step_by(rows) {
                    let rows = rows.min((plane.rows - first) as usize);
                    let piece = &mut self.piece[..rows * row_bytes];
                    self.input.read_exact(body + u64::from(first) * row_bytes as u64, piece)?;
                    for (row, samples) in (first..).zip(piece.chunks_exact(row_bytes)) {
                        placing.put(samples, layout, into, row);
                    }
                }
            }
            body += plane_bytes;
        }
        for component in [Component::Cb, Component::Cr, Component::Alpha] {
            let is_there = self.header.planes.iter().any(|plane| plane.component == component);
            if let Some(placing) = placing(component).filter(|_| !is_there) {
                placing.fill(layout, into);
            }
        }
        Ok(true)
    }

    fn notes(&self) -> Vec<String> {
        let fields = self.header.fields.map(|first| {
            format!("interlaced, {first}: frames have both fields woven; shaders/deinterlace-bob.frag takes them apart")
        });
        let deeper = self.header.bits > 8 && self.info.fourcc.packing().is_some_and(|to| to.bits != self.header.bits);
        let deeper = deeper.then(|| format!("{} bits read as {}", self.header.bits, self.info.fourcc));
        fields.into_iter().chain(deeper).collect()
    }
}
