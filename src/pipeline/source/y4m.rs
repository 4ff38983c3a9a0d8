//! YUV4MPEG2: a text header, then frames of planar YUV, each behind the word `FRAME`.
//!
//! In: a file. Out: planes, read straight into the destination's rows; mono as 4:2:0 with neutral chroma.
//! Not here: deeper than 8 bits and interlaced video (refused by name).
//!
//! # References
//! `yuv4mpeg(5)` of mjpegtools; the tags `XCOLORRANGE` and `XYSCSS` of FFmpeg.

use std::path::Path;
use std::time::Duration;

use crate::buffer::Map;
use crate::color::{Color, Range, Siting};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::{Layout, Size};

use super::super::description::Rate;
use super::{Info, Input, Reader, Rows, Stop};

const MAGIC: &[u8] = b"YUV4MPEG2";
const FRAME: &[u8] = b"FRAME";
/// Longer headers are no headers.
const MAX_HEADER_BYTES: usize = 4096;

/// What the header says.
#[derive(Clone, Debug)]
pub struct Header {
    /// Picture size.
    pub size: Size,
    /// Frames per second, where it is said.
    pub rate: Option<Rate>,
    /// Format of the planes; `YUV420` for mono.
    pub fourcc: Fourcc,
    /// Luma only.
    pub mono: bool,
    /// Range and siting from the tags; the matrix is a guess.
    pub color: Color,
}

impl Header {
    /// Reads the header line, without its newline.
    ///
    /// # Errors
    /// `InvalidInput` with the byte position within the line; `Unsupported` for what is refused.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let bad = |at: usize, detail: String| Error::invalid("y4m", format!("byte {at}: {detail}"));
        if !line.starts_with(MAGIC) || line.get(MAGIC.len()).is_some_and(|byte| *byte != b' ') {
            return Err(bad(0, "the file does not begin with YUV4MPEG2".into()));
        }
        let (mut width, mut height, mut rate, mut space, mut range) = (None, None, None, "420jpeg".to_owned(), None);
        let mut at = MAGIC.len();
        for field in line[MAGIC.len()..].split(|byte| *byte == b' ') {
            let start = at;
            at += field.len() + 1;
            let Some((tag, value)) = field.split_first() else { continue };
            let value = String::from_utf8_lossy(value);
            let number = || {
                value.parse::<u32>().map_err(|_| bad(start, format!("{}{value}: expected a number", char::from(*tag))))
            };
            match tag {
                b'W' => width = Some(number()?),
                b'H' => height = Some(number()?),
                // 0:0 means unknown.
                b'F' if value == "0:0" => {}
                b'F' => rate = Some(value.parse::<Rate>().map_err(|error| bad(start, error.detail().to_owned()))?),
                b'I' if matches!(value.as_ref(), "p" | "?") => {}
                b'I' => {
                    return Err(Error::unsupported("y4m", format!("byte {start}: I{value}: interlaced video"))
                        .with_hint("deinterlace it first, e.g. ffmpeg -i IN -vf yadif OUT.y4m"));
                }
                b'C' => space = value.into_owned(),
                b'X' if value == "COLORRANGE=FULL" => range = Some(Range::Full),
                b'X' if value == "COLORRANGE=LIMITED" => range = Some(Range::Limited),
                _ => {}
            }
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err(bad(0, "the header has no W or no H".into()));
        };
        let size = Size::new(width, height).check().map_err(|error| bad(0, error.detail().to_owned()))?;
        let mut color = Color::guess(size);
        let (fourcc, mono) = match space.as_str() {
            "420jpeg" | "420" => {
                color.siting = Siting::Center;
                (Fourcc::YUV420, false)
            }
            "420mpeg2" => (Fourcc::YUV420, false),
            // PAL DV has Cb and Cr on alternating rows; top left is the nearest of ours.
            "420paldv" => {
                color.siting = Siting::TopLeft;
                (Fourcc::YUV420, false)
            }
            "422" => (Fourcc::YUV422, false),
            "444" => (Fourcc::YUV444, false),
            "mono" => (Fourcc::YUV420, true),
            other => {
                return Err(Error::unsupported("y4m", format!("C{other}: this colour space is not read"))
                    .with_hint("read are 420jpeg, 420mpeg2, 420paldv, 422, 444 and mono, 8 bits: convert with ffmpeg -pix_fmt yuv420p"));
            }
        };
        color.range = range.unwrap_or(color.range);
        Ok(Self { size, rate, fourcc, mono, color })
    }
}

/// Reads YUV4MPEG2.
pub struct Y4mReader {
    input: Input,
    info: Info,
    mono: bool,
    /// Bytes of one frame's planes.
    body_bytes: u64,
    first: u64,
    /// Frame number and position of the next `FRAME` line.
    next: (u64, u64),
}

impl Y4mReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; as [`Header::parse`].
    pub fn open(path: &Path, stop: &Stop) -> Result<Self> {
        let mut input = Input::open(path, stop)?;
        let mut start = vec![0; MAX_HEADER_BYTES];
        let got = input.read_up_to(0, &mut start)?;
        if got == 0 {
            return Err(input.error(0, "the file is empty"));
        }
        let end = start[..got].iter().position(|byte| *byte == b'\n');
        let line = &start[..end.unwrap_or(got)];
        let header = Header::parse(line).map_err(|error| error.in_context(input.name()))?;
        let Some(end) = end else {
            return Err(input.error(got as u64, "the header line does not end"));
        };
        let format = header.fourcc.format()?;
        let planes = if header.mono { &format.planes[..1] } else { format.planes };
        let body_bytes = planes
            .iter()
            .map(|plane| plane.row_bytes(header.size.width) * u64::from(plane.rows(header.size.height)))
            .sum();
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
        Ok(Self { input, info, mono: header.mono, body_bytes, first, next: (0, first) })
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
        for plane in 0..layout.planes().len() {
            let stride = layout.planes()[plane].stride_bytes as usize;
            let target = into.plane_mut(plane);
            if self.mono && plane > 0 {
                target.fill(128);
                continue;
            }
            let row_bytes = layout.row_bytes(plane);
            let rows = Rows { rows: layout.rows(plane), row_bytes: row_bytes as usize, stride_bytes: row_bytes };
            self.input.read_rows(body, &rows, target, stride)?;
            body += row_bytes * u64::from(rows.rows);
        }
        Ok(true)
    }
}
