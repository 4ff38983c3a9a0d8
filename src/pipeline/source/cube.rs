//! Colour tables: a `.cube` file as a picture that a shader can look into.
//!
//! In: a `.cube` file with a 3D table. Out: one still picture (`ABGR8888`), the atlas that `shaders/lut.frag` reads.
//! Not here: 1D tables (refused by name); the mixing between entries (the shader).
//!
//! The atlas: slice b of blue is a square of N x N pixels, red to the right, green downwards. Slices fill columns of
//! [`ROWS`], so the picture is 8 N high and N wide for every 8 slices: 165x264 for 33 entries a side, and from the height
//! alone a shader knows N. GLES 2 has no 3D textures, and a strip of N slices would be wider than its textures may be.
//! Entries are held in 8 bits; what lies outside 0..1 is clamped.
//!
//! # References
//! Adobe, "Cube LUT Specification 1.0", 2013; `LUT_3D_INPUT_RANGE` is of DaVinci Resolve.

use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, Span, nearest};
use crate::layout::Size;

use super::image::{Picture, StillReader};

/// Slices above each other in the atlas.
pub const ROWS: usize = 8;
/// Entries a side, as the specification has it.
const EDGES: std::ops::RangeInclusive<usize> = 2..=256;
/// Text of 256 entries a side with generous digits.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// A table whose domain is not 0..1 is looked up at so many places a side, at least.
const RESAMPLED_EDGE: usize = 65;
const KEYWORDS: [&str; 6] = ["TITLE", "LUT_3D_SIZE", "LUT_1D_SIZE", "DOMAIN_MIN", "DOMAIN_MAX", "LUT_3D_INPUT_RANGE"];

/// A table from red, green and blue to red, green and blue.
#[derive(Clone, Debug, PartialEq)]
pub struct Cube {
    edge: usize,
    domain: [[f32; 3]; 2],
    /// Red changes fastest, then green.
    entries: Vec<[f32; 3]>,
}

/// A file's text, for errors with a place.
struct File<'a> {
    path: &'a Path,
    text: Arc<str>,
}

impl File<'_> {
    fn error(&self, op: &'static str, detail: impl Into<String>, range: Range<usize>) -> Error {
        Error::invalid(op, detail).with_span(Span::new(self.path, self.text.clone(), range))
    }
}

impl Cube {
    /// Reads a file's text; `path` is for errors.
    ///
    /// # Errors
    /// `InvalidInput` with the place: an unknown keyword, a number that is none, entries too few or too many.
    /// `Unsupported` for 1D tables.
    pub fn parse(path: &Path, text: impl Into<Arc<str>>) -> Result<Self> {
        let file = File { path, text: text.into() };
        let text = file.text.clone();
        let mut cube = Self { edge: 0, domain: [[0.0; 3], [1.0; 3]], entries: Vec::new() };
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let content = line.trim();
            let start = start + (line.len() - line.trim_start().len());
            let range = start..start + content.len();
            match content.chars().next() {
                None | Some('#') => {}
                Some(first) if first.is_ascii_alphabetic() => cube.keyword(&file, content, range)?,
                Some(_) => cube.entry(&file, content, range)?,
            }
        }
        let end = text.trim_end().len();
        if cube.edge == 0 {
            let error = file.error("LUT_3D_SIZE", "missing: the file is no 3D table", 0..0);
            return Err(
                error.with_hint("a table begins with LUT_3D_SIZE N and has N x N x N lines of red, green, blue")
            );
        }
        let (wanted, found) = (cube.edge.pow(3), cube.entries.len());
        if found < wanted {
            let detail = format!("the file ends after {found} of {wanted} entries (LUT_3D_SIZE {})", cube.edge);
            return Err(file.error("entries", detail, end..end));
        }
        if let Some(channel) = (0..3).find(|channel| cube.domain[0][*channel] >= cube.domain[1][*channel]) {
            let [low, high] = cube.domain.map(|ends| ends[channel]);
            let detail = format!("{low} is not below {high}, in {}", ["red", "green", "blue"][channel]);
            return Err(file.error("DOMAIN_MIN", detail, 0..0));
        }
        Ok(cube)
    }

    fn keyword(&mut self, file: &File<'_>, content: &str, range: Range<usize>) -> Result<()> {
        let word = content.split_whitespace().next().unwrap_or("");
        let rest = content[word.len()..].trim();
        let Some(known) = KEYWORDS.into_iter().find(|known| *known == word) else {
            let error =
                file.error("keyword", format!("unknown keyword \"{word}\""), range.start..range.start + word.len());
            let hint = match nearest(word, KEYWORDS) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", KEYWORDS.join(", ")),
            };
            return Err(error.with_hint(hint));
        };
        if known != "TITLE" && !self.entries.is_empty() {
            return Err(file.error(known, "keywords stand before the first entry", range));
        }
        let value = range.end - rest.len()..range.end;
        match known {
            "TITLE" => {}
            "LUT_1D_SIZE" => {
                let error = Error::unsupported(known, "a 1D table: only 3D tables are read");
                let span = Span::new(file.path, file.text.clone(), range);
                return Err(error.with_span(span).with_hint("convert it to a 3D table"));
            }
            "LUT_3D_SIZE" => {
                let edge = rest.parse().ok().filter(|edge| EDGES.contains(edge));
                self.edge = edge.ok_or_else(|| {
                    let detail = format!("\"{rest}\": expected a whole number from 2 to 256");
                    file.error(known, detail, value)
                })?;
            }
            "LUT_3D_INPUT_RANGE" => {
                let [low, high] = numbers(file, known, rest, value)?;
                self.domain = [[low; 3], [high; 3]];
            }
            _ => self.domain[usize::from(known == "DOMAIN_MAX")] = numbers(file, known, rest, value)?,
        }
        Ok(())
    }

    fn entry(&mut self, file: &File<'_>, content: &str, range: Range<usize>) -> Result<()> {
        if self.edge == 0 {
            let error = file.error("entries", "an entry before LUT_3D_SIZE", range);
            return Err(error.with_hint("LUT_3D_SIZE N says how many entries there are a side"));
        }
        if self.entries.len() == self.edge.pow(3) {
            let detail = format!("more than {} entries (LUT_3D_SIZE {})", self.entries.len(), self.edge);
            return Err(file.error("entries", detail, range));
        }
        let entry = numbers(file, "entries", content, range)?;
        self.entries.push(entry);
        Ok(())
    }

    /// The table's colour for `color`, mixed between the eight entries around.
    fn at(&self, color: [f32; 3]) -> [f32; 3] {
        let last = self.edge - 1;
        let place = [0, 1, 2].map(|c| {
            let [low, high] = self.domain.map(|ends| ends[c]);
            let place = ((color[c] - low) / (high - low)).clamp(0.0, 1.0) * last as f32;
            let first = (place as usize).min(last - 1);
            (first, place - first as f32)
        });
        let mut sum = [0.0; 3];
        for corner in 0..8 {
            let bit = |c: usize| corner >> c & 1;
            let weight: f32 = (0..3).map(|c| if bit(c) == 1 { place[c].1 } else { 1.0 - place[c].1 }).product();
            let index = |c: usize| place[c].0 + bit(c);
            let entry = self.entries[(index(2) * self.edge + index(1)) * self.edge + index(0)];
            (0..3).for_each(|c| sum[c] += weight * entry[c]);
        }
        sum
    }

    /// The same table with the domain 0..1.
    fn over_unit(self) -> Self {
        let unit = [[0.0; 3], [1.0; 3]];
        if self.domain == unit {
            return self;
        }
        let edge = self.edge.max(RESAMPLED_EDGE);
        let step = |index: usize| index as f32 / (edge - 1) as f32;
        let places = (0..edge.pow(3)).map(|i| [step(i % edge), step(i / edge % edge), step(i / edge / edge)]);
        let entries = places.map(|color| self.at(color)).collect();
        Self { edge, domain: unit, entries }
    }

    /// The atlas: its size, and bytes R, G, B, A.
    fn atlas(&self) -> (Size, Vec<u8>) {
        let edge = self.edge;
        let (width, height) = (edge * edge.div_ceil(ROWS), edge * ROWS);
        let mut pixels = [0, 0, 0, 255].repeat(width * height);
        for (index, entry) in self.entries.iter().enumerate() {
            let (red, green, blue) = (index % edge, index / edge % edge, index / edge / edge);
            let (x, y) = (blue / ROWS * edge + red, blue % ROWS * edge + green);
            for (byte, value) in pixels[(y * width + x) * 4..].iter_mut().zip(entry) {
                *byte = (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        }
        (Size::new(width as u32, height as u32), pixels)
    }
}

/// Exactly `N` finite numbers.
fn numbers<const N: usize>(file: &File<'_>, op: &'static str, words: &str, range: Range<usize>) -> Result<[f32; N]> {
    let mut values = [0.0; N];
    let mut count = 0;
    for word in words.split_whitespace() {
        // Both are pieces of one text: their distance is the place.
        let start = range.start + (word.as_ptr() as usize - words.as_ptr() as usize);
        let value = word.parse::<f32>().ok().filter(|value| value.is_finite());
        let value =
            value.ok_or_else(|| file.error(op, format!("\"{word}\" is no number"), start..start + word.len()))?;
        if let Some(place) = values.get_mut(count) {
            *place = value;
        }
        count += 1;
    }
    match count == N {
        true => Ok(values),
        false => Err(file.error(op, format!("{count} numbers, expected {N}"), range)),
    }
}

/// Opens and reads a file.
///
/// # Errors
/// `NotFound`, `PermissionDenied`; those of [`Cube::parse`].
pub fn open(path: &Path) -> Result<StillReader> {
    let failed = |error| Error::from_io("read", path.display(), error);
    let mut bytes = Vec::new();
    super::input::open_file(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let detail = format!("{}: more than 1 GiB: no table of 256 entries a side is so large", path.display());
        return Err(Error::new(ErrorKind::OutOfMemory, "read", detail));
    }
    // Titles come in any encoding; only they may have other than ASCII.
    let text = String::from_utf8_lossy(&bytes);
    let (size, pixels) = Cube::parse(path, text.as_ref())?.over_unit().atlas();
    Ok(StillReader::new(Picture { size, pixels, notes: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# made by hand\nTITLE \"é\"\n\nLUT_3D_SIZE 2\n";
    /// Swaps red and blue.
    const SWAP: &str = "0 0 0\n0 0 1\n0 1 0\n0 1 1\n1 0 0\n1 0 1\n1 1 0\n1 1 1\n";

    fn parse(text: &str) -> Result<Cube> {
        Cube::parse(Path::new("a.cube"), text)
    }

    #[test]
    fn entries_lie_where_the_shader_looks() {
        let cube = parse(&format!("{HEAD}{SWAP}")).unwrap();
        let (size, pixels) = cube.atlas();
        assert_eq!((size.width, size.height), (2, 16));
        let pixel = |x: usize, y: usize| &pixels[(y * 2 + x) * 4..][..4];
        // Red 1, green 0, blue 0 gives blue; blue 1 alone gives red, in the second slice, below the first.
        assert_eq!((pixel(1, 0), pixel(0, 2)), (&[0, 0, 255, 255][..], &[255, 0, 0, 255][..]));
        assert_eq!(cube.at([0.25, 0.5, 0.75]), [0.75, 0.5, 0.25]);
        // Nine slices: the last begins the second column.
        let nine: String = (0..729).map(|i| format!("{} 0 0\n", (i / 81) as f32 / 8.0)).collect();
        let (size, pixels) = parse(&format!("LUT_3D_SIZE 9\n{nine}")).unwrap().atlas();
        assert_eq!((size.width, size.height), (18, 72));
        assert_eq!((pixels[9 * 4], pixels[(8 * 9 * 18 - 18) * 4], pixels[8 * 4]), (255, 223, 0));
    }

    #[test]
    fn another_domain_is_brought_to_unit() {
        // From -1 to 3: 0 is a quarter of the way, 1 half.
        for domain in ["DOMAIN_MIN -1 -1 -1\nDOMAIN_MAX 3 3 3\n", "LUT_3D_INPUT_RANGE -1 3\n"] {
            let cube = parse(&format!("{HEAD}{domain}{SWAP}")).unwrap().over_unit();
            assert_eq!((cube.edge, cube.domain), (65, [[0.0; 3], [1.0; 3]]));
            assert_eq!((cube.at([0.0; 3]), cube.at([1.0; 3])), ([0.25; 3], [0.5; 3]));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        let wrong = error(&format!("{HEAD}0 0 0\n0 x 0\n"));
        assert!(wrong.starts_with("a.cube:6:3: entries: \"x\" is no number"), "{wrong}");
        let wrong = error("LUT_3D_SIZ 2\n");
        assert!(
            wrong.starts_with("a.cube:1:1: keyword: unknown keyword \"LUT_3D_SIZ\"; did you mean LUT_3D_SIZE?"),
            "{wrong}"
        );
        let wrong = error(&format!("{HEAD}0 0 0\n"));
        assert!(wrong.starts_with("a.cube:5:6: entries: the file ends after 1 of 8 entries"), "{wrong}");
        let wrong = error(&format!("{HEAD}{SWAP}0 0 0\n"));
        assert!(wrong.starts_with("a.cube:13:1: entries: more than 8 entries"), "{wrong}");
        assert!(error(&format!("{HEAD}0 0\n")).contains("5:1: entries: 2 numbers, expected 3"));
        assert!(error("LUT_3D_SIZE 257\n").starts_with("a.cube:1:13: LUT_3D_SIZE: \"257\": expected a whole number"));
        assert!(error("LUT_1D_SIZE 16\n").contains("a.cube:1:1: LUT_1D_SIZE: a 1D table"));
        assert!(error("").contains("LUT_3D_SIZE: missing") && error("0 0 0\n").contains("before LUT_3D_SIZE"));
        assert!(error(&format!("{HEAD}0 0 0\nDOMAIN_MIN 0 0 0\n")).contains("6:1: DOMAIN_MIN: keywords stand before"));
        assert!(error(&format!("{HEAD}DOMAIN_MAX 1 0 1\n{SWAP}")).contains("0 is not below 0, in green"));
        assert!(
            error("LUT_3D_SIZE 2\nnan 0 0\n").contains("unknown keyword")
                && error("LUT_3D_SIZE 2\n1e39 0 0").contains("no number")
        );
    }
}
