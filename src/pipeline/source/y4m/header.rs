//! The header line of YUV4MPEG2: tags in, what the frames are out.
//!
//! Not here: the frames (`y4m`), the order of samples in memory (`samples`).
//!
//! # References
//! `yuv4mpeg(5)` of mjpegtools; FFmpeg's `yuv4mpegenc.c` for `C420p10` and its kin, `XYSCSS` and `XCOLORRANGE`.

use crate::color::{Color, Range, Siting};
use crate::error::{Error, Result};
use crate::format::{Component, Fourcc};
use crate::layout::Size;

use super::super::super::description::Rate;

const MAGIC: &[u8] = b"YUV4MPEG2";

/// What the header says.
#[derive(Clone, Debug)]
pub struct Header {
    /// Picture size.
    pub size: Size,
    /// Frames per second, where it is said.
    pub rate: Option<Rate>,
    /// Format into which the frames are read: planes as they are, or for what no format has, the next that holds it.
    pub fourcc: Fourcc,
    /// Bits of a sample, which has one byte up to 8 and two, the low one first, above.
    pub bits: u8,
    /// Planes of a frame in their order.
    pub planes: Vec<FilePlane>,
    /// Range and siting from the tags; the matrix is a guess.
    pub color: Color,
    /// The frames are two fields, woven: which comes first, in words.
    pub fields: Option<&'static str>,
}

/// One plane in the file, rows without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePlane {
    /// What the samples are.
    pub component: Component,
    /// Samples in a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
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
        let (mut width, mut height, mut rate, mut range, mut fields) = (None, None, None, None, None);
        // FFmpeg repeats `C` in `XYSCSS`, and older programs wrote that alone.
        let (mut space, mut written_space) = (None, None);
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
                b'I' => {
                    fields = match value.as_ref() {
                        "p" | "?" => None,
                        "t" => Some("the top field first"),
                        "b" => Some("the bottom field first"),
                        "m" => Some("some of them, as their FRAME lines say"),
                        _ => return Err(bad(start, format!("I{value}: expected p, t, b, m or ?"))),
                    }
                }
                b'C' => space = Some(value.into_owned()),
                b'X' if value == "COLORRANGE=FULL" => range = Some(Range::Full),
                b'X' if value == "COLORRANGE=LIMITED" => range = Some(Range::Limited),
                b'X' => {
                    if let Some(space) = value.strip_prefix("YSCSS=") {
                        written_space = Some(space.to_ascii_lowercase());
                    }
                }
                _ => {}
            }
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err(bad(0, "the header has no W or no H".into()));
        };
        let size = Size::new(width, height).check().map_err(|error| bad(0, error.detail().to_owned()))?;
        let space = space.or(written_space).unwrap_or_else(|| "420jpeg".into());
        let Some(Space { chroma, bits, siting, fourcc }) = Space::parse(&space) else {
            return Err(Error::unsupported("y4m", format!("C{space}: this colour space is not read")).with_hint(
                "read are 420 (jpeg, mpeg2, paldv), 422, 444, 411, 410 and mono, also with p9 to p16 bits, and \
                 444alpha: convert with ffmpeg -pix_fmt yuv420p",
            ));
        };
        let mut color = Color::guess(size);
        color.siting = siting.unwrap_or(color.siting);
        color.range = range.unwrap_or(color.range);
        let plane = |component, (across, down): (u32, u32)| FilePlane {
            component,
            columns: width.div_ceil(across),
            rows: height.div_ceil(down),
        };
        let mut planes = vec![plane(Component::Y, (1, 1))];
        if let Some(subsampling) = chroma.subsampling() {
            planes.extend([Component::Cb, Component::Cr].map(|component| plane(component, subsampling)));
        }
        if chroma == Chroma::WithAlpha {
            planes.push(plane(Component::Alpha, (1, 1)));
        }
        Ok(Self { size, rate, fourcc, bits, planes, color, fields })
    }

    /// Bytes of a sample in the file.
    pub fn sample_bytes(&self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// Bytes of one frame's planes.
    pub fn body_bytes(&self) -> u64 {
        let samples = self.planes.iter().map(|plane| u64::from(plane.columns) * u64::from(plane.rows));
        samples.sum::<u64>() * self.sample_bytes() as u64
    }
}

/// How many chroma samples there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chroma {
    None,
    Yuv410,
    Yuv411,
    Yuv420,
    Yuv422,
    Yuv444,
    WithAlpha,
}

impl Chroma {
    fn subsampling(self) -> Option<(u32, u32)> {
        match self {
            Self::None => None,
            Self::Yuv410 => Some((4, 4)),
            Self::Yuv411 => Some((4, 1)),
            Self::Yuv420 => Some((2, 2)),
            Self::Yuv422 => Some((2, 1)),
            Self::Yuv444 | Self::WithAlpha => Some((1, 1)),
        }
    }
}

/// A colour space tag.
struct Space {
    chroma: Chroma,
    bits: u8,
    siting: Option<Siting>,
    fourcc: Fourcc,
}

impl Space {
    fn parse(text: &str) -> Option<Self> {
        let (chroma, bits, siting) = match text {
            "420jpeg" | "420" => (Chroma::Yuv420, 8, Some(Siting::Center)),
            "420mpeg2" => (Chroma::Yuv420, 8, Some(Siting::Left)),
            // PAL DV has Cb and Cr on alternating rows; top left is the nearest of ours.
            "420paldv" => (Chroma::Yuv420, 8, Some(Siting::TopLeft)),
            "422" => (Chroma::Yuv422, 8, None),
            "444" => (Chroma::Yuv444, 8, None),
            "444alpha" => (Chroma::WithAlpha, 8, None),
            "411" => (Chroma::Yuv411, 8, None),
            "410" => (Chroma::Yuv410, 8, None),
            "mono" => (Chroma::None, 8, None),
            _ => {
                let deep = [("420p", Chroma::Yuv420), ("422p", Chroma::Yuv422), ("444p", Chroma::Yuv444)];
                let (chroma, bits) = deep
                    .into_iter()
                    .chain([("mono", Chroma::None)])
                    .find_map(|(before, chroma)| Some((chroma, text.strip_prefix(before)?)))?;
                let bits = bits.parse().ok().filter(|bits| (9..=16).contains(bits))?;
                (chroma, bits, None)
            }
        };
        let fourcc = match (chroma, bits) {
            (Chroma::None | Chroma::Yuv420, 8) => Fourcc::YUV420,
            (Chroma::None | Chroma::Yuv420, 10) => Fourcc::P010,
            (Chroma::None | Chroma::Yuv420, 12) => Fourcc::P012,
            (Chroma::None | Chroma::Yuv420, _) => Fourcc::P016,
            (Chroma::Yuv422, 8) => Fourcc::YUV422,
            (Chroma::Yuv422, 10) => Fourcc::P210,
            (Chroma::Yuv422, 12) => Fourcc::Y212,
            (Chroma::Yuv422, _) => Fourcc::Y216,
            (Chroma::Yuv444, 8) => Fourcc::YUV444,
            (Chroma::Yuv444, 10) => Fourcc::Q410,
            (Chroma::Yuv444, 12) => Fourcc::Y412,
            (Chroma::Yuv444, _) => Fourcc::Y416,
            (Chroma::Yuv411, _) => Fourcc::YUV411,
            (Chroma::Yuv410, _) => Fourcc::YUV410,
            (Chroma::WithAlpha, _) => Fourcc::AYUV,
        };
        Some(Self { chroma, bits, siting, fourcc })
    }
}
