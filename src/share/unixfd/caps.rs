//! The caps text: what the frames of a stream are, in GStreamer's words.
//!
//! In: the text of a CAPS command, or what a frame is. Out: [`Caps`]; or the text.
//! Not here: where planes lie (each frame says it itself).

use std::fmt::{self, Write};
use std::str::FromStr;

use crate::color::{Color, Matrix, Primaries, Range, Siting, Transfer};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::Size;

use super::{OP, video_format};

/// The longest text accepted.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// What the frames of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Pixel format.
    pub fourcc: Fourcc,
    /// Order of the samples in memory; LINEAR where the text says nothing.
    pub modifier: Modifier,
    /// The text has the feature `memory:DMABuf`: every frame is a dma-buf, and may be one that only hardware reads.
    pub dma_drm: bool,
    /// Visible size.
    pub size: Size,
    /// Frames per second as a fraction; `None` where it varies or is not said.
    pub rate: Option<(u32, u32)>,
    /// What the numbers mean; guessed from format and size where the text says nothing.
    pub color: Color,
}

impl Caps {
    /// Linear frames in memory that the CPU can map.
    pub fn linear(fourcc: Fourcc, size: Size) -> Self {
        let is_yuv = fourcc.format().is_ok_and(|format| format.is_yuv());
        let color = if is_yuv { Color::guess(size) } else { Color::SRGB };
        Self { fourcc, modifier: Modifier::LINEAR, dma_drm: false, size, rate: None, color }
    }

    /// Fails where a stock peer has no words for it.
    ///
    /// # Errors
    /// `Unsupported`: no GStreamer name for the format, a modifier without `dma_drm`.
    pub fn check(&self) -> Result<()> {
        if self.dma_drm {
            return Ok(());
        }
        if self.modifier != Modifier::LINEAR {
            let detail = format!("{} with modifier {}: caps of plain memory are linear", self.fourcc, self.modifier);
            return Err(Error::unsupported(OP, detail).with_hint("say dma-drm = true"));
        }
        if video_format::name(self.fourcc).is_none() {
            let detail = format!("{}: GStreamer has no name for the format in plain memory", self.fourcc);
            return Err(Error::unsupported(OP, detail).with_hint("give the pass format = \"ABGR8888\""));
        }
        Ok(())
    }
}

impl fmt::Display for Caps {
    /// As `gst_caps_to_string` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dma_drm {
            // The four characters as they are, spaces included ("R8  ").
            let chars = self.fourcc.0.to_le_bytes().map(char::from);
            let code: String = chars.into_iter().collect();
            let modifier = match self.modifier {
                Modifier::LINEAR => String::new(),
                Modifier(value) => format!(":0x{value:016x}"),
            };
            let value = format!("{code}{modifier}");
            let value = if value.contains(' ') { format!("\"{value}\"") } else { value };
            write!(f, "video/x-raw(memory:DMABuf), format=(string)DMA_DRM, drm-format=(string){value}")?;
        } else {
            write!(f, "video/x-raw, format=(string){}", video_format::name(self.fourcc).unwrap_or("ENCODED"))?;
        }
        let Size { width, height } = self.size;
        write!(f, ", width=(int){width}, height=(int){height}, interlace-mode=(string)progressive")?;
        f.write_str(", pixel-aspect-ratio=(fraction)1/1")?;
        let is_yuv = self.fourcc.format().is_ok_and(|format| format.is_yuv());
        if is_yuv {
            let subsampled = self.fourcc.format().is_ok_and(|format| {
                let sub =
                    |plane: &crate::format::PlaneFormat| plane.horizontal_subsampling * plane.vertical_subsampling;
                format.planes.iter().any(|plane| sub(plane) > 1)
            });
            if subsampled {
                write!(f, ", chroma-site=(string){}", site_name(self.color.siting))?;
            }
        }
        write!(f, ", colorimetry=(string){}", Colorimetry::of(&self.color, is_yuv))?;
        let (numerator, denominator) = self.rate.unwrap_or((0, 1));
        write!(f, ", framerate=(fraction){numerator}/{denominator}")
    }
}

fn site_name(siting: Siting) -> &'static str {
    match siting {
        Siting::Left => "mpeg2",
        Siting::Center => "jpeg",
        Siting::TopLeft => "cosited",
    }
}

/// `range:matrix:transfer:primaries` by GStreamer's numbers, or one of its names.
struct Colorimetry([u32; 4]);

const COLORIMETRY: &[(&str, [u32; 4])] = &[
    ("bt601", [2, 4, 16, 4]),
    ("bt709", [2, 3, 5, 1]),
    ("bt2020", [2, 6, 11, 7]),
    ("bt2020-10", [2, 6, 13, 7]),
    ("sRGB", [1, 1, 7, 1]),
    ("smpte240m", [2, 5, 6, 5]),
    ("bt2100-pq", [2, 6, 14, 7]),
    ("bt2100-hlg", [2, 6, 15, 7]),
];

impl Colorimetry {
    fn of(color: &Color, is_yuv: bool) -> Self {
        let range = if color.range == Range::Full { 1 } else { 2 };
        let (matrix, own_transfer) = match color.matrix {
            _ if !is_yuv => (1, 5),
            Matrix::Identity => (1, 5),
            Matrix::Bt601 => (4, 16),
            Matrix::Bt709 => (3, 5),
            Matrix::Bt2020 => (6, 11),
            Matrix::Smpte240m => (5, 6),
        };
        let transfer = match color.transfer {
            Transfer::Bt709 => own_transfer,
            Transfer::Srgb => 7,
            Transfer::Linear => 1,
            Transfer::Pq => 14,
            Transfer::Hlg => 15,
        };
        let primaries = match color.primaries {
            Primaries::Bt709 => 1,
            Primaries::Bt601Of625 => 3,
            Primaries::Bt601Of525 => 4,
            Primaries::Bt2020 => 7,
            Primaries::DisplayP3 => 11,
        };
        Self([range, matrix, transfer, primaries])
    }

    /// `color` with what these numbers say; what this crate has no word for is left as it is.
    fn over(&self, mut color: Color, is_yuv: bool) -> Color {
        let Self([range, matrix, transfer, primaries]) = *self;
        match range {
            1 => color.range = Range::Full,
            2 => color.range = Range::Limited,
            _ => {}
        }
        match matrix {
            1 if is_yuv => color.matrix = Matrix::Identity,
            3 => color.matrix = Matrix::Bt709,
            4 => color.matrix = Matrix::Bt601,
            5 => color.matrix = Matrix::Smpte240m,
            6 => color.matrix = Matrix::Bt2020,
            _ => {}
        }
        match primaries {
            1 => color.primaries = Primaries::Bt709,
            3 => color.primaries = Primaries::Bt601Of625,
            4 => color.primaries = Primaries::Bt601Of525,
            7 => color.primaries = Primaries::Bt2020,
            11 => color.primaries = Primaries::DisplayP3,
            _ => {}
        }
        match transfer {
            1 => color.transfer = Transfer::Linear,
            5 | 6 | 11 | 13 | 16 => color.transfer = Transfer::Bt709,
            7 => color.transfer = Transfer::Srgb,
            14 => color.transfer = Transfer::Pq,
            15 => color.transfer = Transfer::Hlg,
            _ => {}
        }
        color
    }
}

/// Range, matrix, transfer and primaries by GStreamer's numbers, which are PipeWire's too.
#[cfg(feature = "pipewire")]
pub(in crate::share) fn color_numbers(color: &Color, is_yuv: bool) -> [u32; 4] {
    Colorimetry::of(color, is_yuv).0
}

/// `color` with what such numbers say; 0 says nothing.
#[cfg(feature = "pipewire")]
pub(in crate::share) fn color_over(color: Color, numbers: [u32; 4], is_yuv: bool) -> Color {
    Colorimetry(numbers).over(color, is_yuv)
}

impl fmt::Display for Colorimetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = COLORIMETRY.iter().find(|(_, numbers)| *numbers == self.0) {
            return f.write_str(name);
        }
        let [range, matrix, transfer, primaries] = self.0;
        write!(f, "{range}:{matrix}:{transfer}:{primaries}")
    }
}

impl FromStr for Colorimetry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some((_, numbers)) = COLORIMETRY.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*numbers));
        }
        let numbers: Vec<u32> = text.split(':').map_while(|part| part.parse().ok()).collect();
        let wrong = || Error::invalid(OP, format!("caps: colorimetry \"{text}\""));
        numbers.try_into().map(Self).map_err(|_| wrong())
    }
}

/// One `name=(type)value`.
struct Field<'a> {
    name: &'a str,
    value: String,
}

/// Name of the structure, its features, its fields.
fn split(text: &str) -> Result<(&str, &str, Vec<Field<'_>>)> {
    let wrong = |at: usize, what: &str| {
        let rest: String = text.get(at..).unwrap_or_default().chars().take(30).collect();
        Error::invalid(OP, format!("caps, byte {at} (\"{rest}\"): {what}"))
    };
    if text.len() > MAX_TEXT_BYTES {
        return Err(wrong(0, &format!("a text of {} bytes; at most {MAX_TEXT_BYTES} are read", text.len())));
    }
    let bytes = text.as_bytes();
    let head_end = bytes.iter().position(|byte| matches!(byte, b'(' | b',' | b';')).unwrap_or(text.len());
    let head = text[..head_end].trim();
    let mut at = head_end;
    let mut features = "";
    if bytes.get(at) == Some(&b'(') {
        let end = text[at..].find(')').ok_or_else(|| wrong(at, "features without an end"))? + at;
        features = text[at + 1..end].trim();
        at = end + 1;
    }
    let mut fields = Vec::new();
    loop {
        let skip = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            at
        };
        at = skip(at);
        match bytes.get(at) {
            None => return Ok((head, features, fields)),
            Some(b';') if text[at + 1..].trim().is_empty() => return Ok((head, features, fields)),
            Some(b';') => return Err(wrong(at, "more than one kind of stream")),
            Some(b',') => at = skip(at + 1),
            Some(_) => return Err(wrong(at, "expected a comma")),
        }
        let equals = text[at..].find('=').ok_or_else(|| wrong(at, "a field without a value"))? + at;
        let name = text[at..equals].trim();
        at = skip(equals + 1);
        if bytes.get(at) == Some(&b'(') {
            at = text[at..].find(')').ok_or_else(|| wrong(at, "a type without an end"))? + at + 1;
            at = skip(at);
        }
        let mut value = String::new();
        if bytes.get(at) == Some(&b'"') {
            let start = at;
            at += 1;
            loop {
                match text[at..].chars().next() {
                    None => return Err(wrong(start, "a quote without an end")),
                    Some('"') => break,
                    Some('\\') => {
                        let escaped =
                            text[at + 1..].chars().next().ok_or_else(|| wrong(at, "a backslash at the end"))?;
                        value.push(escaped);
                        at += 1 + escaped.len_utf8();
                    }
                    Some(char) => {
                        value.push(char);
                        at += char.len_utf8();
                    }
                }
            }
            at += 1;
        } else {
            // A list, a range or an array ends with its own bracket; commas inside belong to it.
            let mut depth = 0u32;
            let end = text[at..].char_indices().find(|(_, char)| {
                match char {
                    '{' | '[' | '<' => depth += 1,
                    '}' | ']' | '>' => depth = depth.saturating_sub(1),
                    ',' | ';' if depth == 0 => return true,
                    _ => {}
                }
                false
            });
            let end = end.map_or(text.len(), |(end, _)| at + end);
            value.push_str(text[at..end].trim());
            at = end;
        }
        fields.push(Field { name, value });
    }
}

impl FromStr for Caps {
    type Err = Error;

    /// Reads fixed caps of raw video.
    fn from_str(text: &str) -> Result<Self> {
        let (head, features, fields) = split(text)?;
        let get = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.value.as_str());
        let need = |name: &str| get(name).ok_or_else(|| Error::invalid(OP, format!("caps: there is no {name}")));
        if head != "video/x-raw" {
            let mut shown = String::new();
            let _ = write!(shown, "caps: \"{head}\"; only video/x-raw is taken");
            return Err(Error::unsupported(OP, shown).with_hint("put a decoder before unixfdsink"));
        }
        let features: Vec<&str> = features.split(',').map(str::trim).filter(|feature| !feature.is_empty()).collect();
        let known = ["memory:DMABuf", "memory:SystemMemory", "meta:GstVideoOverlayComposition"];
        if let Some(feature) = features.iter().find(|feature| !known.contains(feature)) {
            return Err(Error::unsupported(OP, format!("caps: feature \"{feature}\"")));
        }
        if let Some(mode @ ("alternate" | "fields")) = get("interlace-mode") {
            return Err(Error::unsupported(OP, format!("caps: interlace-mode {mode}: only whole frames are taken")));
        }
        let number = |name: &str| {
            let value = need(name)?;
            let parsed = value.parse::<u32>();
            parsed.map_err(|_| Error::invalid(OP, format!("caps: {name} \"{value}\": expected one number")))
        };
        let size = Size::new(number("width")?, number("height")?);
        let size = size.check().map_err(|error| Error::invalid(OP, format!("caps: {}", error.detail())))?;
        let format = need("format")?;
        let dma_drm = features.contains(&"memory:DMABuf");
        let (fourcc, modifier) = match format {
            "DMA_DRM" if dma_drm => drm_format(need("drm-format")?)?,
            "DMA_DRM" => return Err(Error::invalid(OP, "caps: DMA_DRM without the feature memory:DMABuf")),
            name => (video_format::from_name(name)?, Modifier::LINEAR),
        };
        let mut caps = Self { modifier, dma_drm, ..Self::linear(fourcc, size) };
        if let Some(rate) = get("framerate") {
            let parse = || {
                let (numerator, denominator) = rate.split_once('/')?;
                Some((numerator.trim().parse::<u32>().ok()?, denominator.trim().parse::<u32>().ok()?))
            };
            caps.rate = match parse() {
                Some((_, 0)) | None => return Err(Error::invalid(OP, format!("caps: framerate \"{rate}\""))),
                // 0/1 is "it varies".
                Some((0, _)) => None,
                fraction => fraction,
            };
        }
        let is_yuv = fourcc.format()?.is_yuv();
        if let Some(colorimetry) = get("colorimetry") {
            caps.color = colorimetry.parse::<Colorimetry>()?.over(caps.color, is_yuv);
        }
        match get("chroma-site") {
            Some("mpeg2") => caps.color.siting = Siting::Left,
            Some("jpeg") => caps.color.siting = Siting::Center,
            Some("cosited") => caps.color.siting = Siting::TopLeft,
            _ => {}
        }
        Ok(caps)
    }
}

/// `NV12`, or `NV12:0x0800000000000051`.
fn drm_format(text: &str) -> Result<(Fourcc, Modifier)> {
    let wrong = || {
        Error::invalid(
            OP,
            format!("caps: drm-format \"{text}\": expected four characters, and a modifier after a colon"),
        )
    };
    let (code, modifier) = match text.split_once(':') {
        Some((code, modifier)) => {
            let digits = modifier.strip_prefix("0x").ok_or_else(wrong)?;
            (code, Modifier(u64::from_str_radix(digits, 16).map_err(|_| wrong())?))
        }
        None => (text, Modifier::LINEAR),
    };
    let mut chars = [b' '; 4];
    if code.is_empty() || code.len() > 4 || !code.is_ascii() {
        return Err(wrong());
    }
    chars[..code.len()].copy_from_slice(code.as_bytes());
    let fourcc = Fourcc::from_chars(&chars);
    fourcc.format().map_err(|error| Error::unsupported(OP, format!("caps: {}", error.detail())))?;
    Ok((fourcc, modifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that GStreamer 1.26 wrote.
    #[test]
    fn texts_of_gstreamer_are_read() {
        let caps: Caps = "video/x-raw, format=(string)NV12, width=(int)320, height=(int)240, framerate=(fraction)30/1, \
            multiview-mode=(string)mono, multiview-flags=(GstVideoMultiviewFlagsSet)0:ffffffff:/right-view-first/left-flipped, \
            interlace-mode=(string)progressive, pixel-aspect-ratio=(fraction)1/1, chroma-site=(string)jpeg, \
            colorimetry=(string)1:4:7:1"
            .parse()
            .unwrap();
        assert_eq!((caps.fourcc, caps.size, caps.rate), (Fourcc::NV12, Size::new(320, 240), Some((30, 1))));
        let expected = Color {
            matrix: Matrix::Bt601,
            range: Range::Full,
            siting: Siting::Center,
            transfer: Transfer::Srgb,
            primaries: Primaries::Bt709,
        };
        assert_eq!(caps.color, expected);
        let caps: Caps =
            "video/x-raw(memory:DMABuf), format=(string)DMA_DRM, drm-format=(string)NV12:0x0800000000000051, \
            width=(int)64, height=(int)32, colorimetry=(string)bt709"
                .parse()
                .unwrap();
        assert!(caps.dma_drm);
        assert_eq!((caps.modifier, caps.rate), (Modifier(0x0800_0000_0000_0051), None));
        assert_eq!((caps.color.matrix, caps.color.range), (Matrix::Bt709, Range::Limited));
        let quoted: Caps =
            "video/x-raw(memory:DMABuf), format=DMA_DRM, drm-format=\"R8\\ \\ \", width=4, height=4, x={ a, b };"
                .parse()
                .unwrap();
        assert_eq!(quoted.fourcc, Fourcc::R8);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_in_words() {
        for (text, word) in [
            ("", "only video/x-raw"),
            ("audio/x-raw, rate=(int)48000", "only video/x-raw"),
            ("video/x-raw, width=(int)4", "no height"),
            ("video/x-raw, width=(int)4, height=(int)4", "no format"),
            ("video/x-raw, format=(string)v210, width=(int)4, height=(int)4", "v210"),
            ("video/x-raw, format=(string)RGBA, width=(int)[ 1, 9 ], height=(int)4", "expected one number"),
            ("video/x-raw, format=(string)RGBA, width=(int)99999999, height=(int)4", "1 to 65536"),
            ("video/x-raw, format=(string)RGBA, width=(int)4, height=(int)4, framerate=(fraction)1/0", "framerate"),
            ("video/x-raw, format=(string)RGBA, width=(int)4, height=(int)4, colorimetry=(string)1:2", "colorimetry"),
            (
                "video/x-raw, format=(string)DMA_DRM, drm-format=(string)NV12, width=(int)4, height=(int)4",
                "memory:DMABuf",
            ),
            ("video/x-raw(memory:GLMemory), format=(string)RGBA, width=(int)4, height=(int)4", "memory:GLMemory"),
            ("video/x-raw(memory:DMABuf, format=RGBA", "features without an end"),
            ("video/x-raw, format=\"RG", "quote without an end"),
            ("video/x-raw, format=RGBA; video/x-raw, format=RGB", "more than one"),
            (
                "video/x-raw(memory:DMABuf), format=DMA_DRM, drm-format=NV12:5, width=4, height=4",
                "modifier after a colon",
            ),
        ] {
            let error = text.parse::<Caps>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn every_colour_comes_back() {
        let size = Size::new(64, 48);
        let check = |color: Color| {
            for dma_drm in [false, true] {
                let caps = Caps { color, rate: Some((30000, 1001)), dma_drm, ..Caps::linear(Fourcc::NV12, size) };
                assert_eq!(caps.to_string().parse::<Caps>().unwrap(), caps, "{caps}");
            }
        };
        for matrix in Matrix::ALL {
            for range in [Range::Limited, Range::Full] {
                for siting in [Siting::Left, Siting::Center, Siting::TopLeft] {
                    check(Color { matrix, range, siting, ..Color::HD });
                }
            }
            use Transfer::{Bt709, Hlg, Linear, Pq, Srgb};
            for transfer in [Bt709, Srgb, Linear, Pq, Hlg] {
                use Primaries::{Bt601Of525, Bt601Of625, Bt2020, DisplayP3};
                for primaries in [Primaries::Bt709, Bt601Of525, Bt601Of625, Bt2020, DisplayP3] {
                    check(Color { matrix, transfer, primaries, ..Color::HD });
                }
            }
        }
        let srgb = Caps::linear(Fourcc::ABGR8888, Size::new(4, 4)).to_string();
        assert!(srgb.contains("format=(string)RGBA,") && srgb.contains("colorimetry=(string)sRGB"), "{srgb}");
        assert_eq!(srgb.parse::<Caps>().unwrap().color, Color::SRGB);
    }
}
