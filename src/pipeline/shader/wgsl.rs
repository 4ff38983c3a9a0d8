//! An author's shader in WGSL, with what is generated behind it, and where the numbers of its uniforms lie.
//!
//! In: the path of a WGSL file, the names of its inputs. Out: a [`Shader`] whose [`Wgsl`] has the whole text.
//! Not here: drawing it (`pass::wgpu`).
//!
//! The author writes `fn pixel(uv: vec2f) -> vec4f`: the colour of the target at `uv`, (0, 0) top left, (1, 1) bottom right. WGSL
//! does not mind the order of declarations, so what is generated follows the author's text, and places in errors are the author's.

use std::path::Path;
use std::sync::Arc;

use super::{Entry, Shader, Version};
use crate::error::{Error, ErrorKind, Result, Span, read_text};

#[cfg(feature = "wgpu")]
mod read;
#[cfg(not(feature = "wgpu"))]
#[path = "wgsl/absent.rs"]
mod read;

/// The struct whose members are the uniforms.
pub const UNIFORMS: &str = "Uniforms";

/// What is known of a text in WGSL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wgsl {
    /// The author's text and what follows it.
    pub text: String,
    /// Size of the uniforms; 0 where there are none.
    pub bytes: usize,
    /// Where each uniform lies, as [`Shader::uniforms`].
    pub places: Vec<Place>,
}

/// Where the numbers of a uniform lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first byte of each number.
    pub offsets: Vec<usize>,
    /// What each is.
    pub number: Number,
}

/// A number of four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// `f32`
    Float,
    /// `i32`
    Int,
    /// `u32`
    Uint,
}

impl Number {
    /// The four bytes of a number.
    pub fn bytes(self, number: f64) -> [u8; 4] {
        match self {
            Self::Float => (number as f32).to_le_bytes(),
            Self::Int => (number as i32).to_le_bytes(),
            Self::Uint => (number as u32).to_le_bytes(),
        }
    }
}

impl Shader {
    /// Reads a shader in WGSL for a pass with these inputs, and checks it as wgpu does.
    ///
    /// # Errors
    /// `NotFound` and the like; `Shader` with the author's place; `Unsupported` in a build without the feature `wgpu`.
    pub fn open_wgsl(path: &Path, inputs: &[&str]) -> Result<Self> {
        let text = read_text(path, "shader")?;
        let file: Arc<str> = text.as_str().into();
        let at = |range| Span::new(path, file.clone(), range);
        let Some(entry) = entry(&text) else {
            return Err(Error::new(ErrorKind::Shader, "shader", "no entry function")
                .with_hint("write fn pixel(uv: vec2f) -> vec4f { return …; }: the colour of the target at uv")
                .with_span(at(0..0)));
        };
        let (uniforms, wgsl) = read::read(&text, inputs, entry).map_err(|wrong| wrong.error(at))?;
        Ok(Self {
            path: path.to_owned(),
            version: Version::Wgsl,
            version_is_given: false,
            entry: Entry::Pixel,
            uniforms,
            extensions: Vec::new(),
            on_texels: Vec::new(),
            lines: (0..text.lines().count()).map(|line| (0, line)).collect(),
            text,
            files: vec![(path.to_owned(), file.clone())],
            joined: None,
            wgsl: Some(wgsl),
        })
    }
}

/// What is wrong with a text.
struct Wrong {
    kind: ErrorKind,
    detail: String,
    range: Option<std::ops::Range<usize>>,
    hint: Option<String>,
}

impl Wrong {
    fn error(self, at: impl Fn(std::ops::Range<usize>) -> Span) -> Error {
        let mut error =
            Error::new(self.kind, if self.kind == ErrorKind::Shader { "shader" } else { "wgsl" }, self.detail);
        if let Some(range) = self.range {
            error = error.with_span(at(range));
        }
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The text with comments, which nest in WGSL, as so many spaces.
fn blanked(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let (mut depth, mut in_line) = (0u32, false);
    let mut bytes = text.bytes().zip(text.bytes().skip(1).chain([b' ']));
    while let Some((byte, next)) = bytes.next() {
        let (opens, closes) = ((byte, next) == (b'/', b'*'), (byte, next) == (b'*', b'/'));
        if !in_line && (opens || (closes && depth > 0)) {
            depth = if opens { depth + 1 } else { depth - 1 };
            bytes.next();
            plain.push_str("  ");
            continue;
        }
        in_line = byte != b'\n' && (in_line || (depth == 0 && (byte, next) == (b'/', b'/')));
        // One space for each byte: places stay.
        let is_text = byte == b'\n' || (depth == 0 && !in_line && byte.is_ascii());
        plain.push(if is_text { byte as char } else { ' ' });
    }
    plain
}

/// The place of the entry function's name, outside comments.
fn entry(text: &str) -> Option<std::ops::Range<usize>> {
    let plain = blanked(text);
    let mut from = 0;
    while let Some(at) = plain[from..].find("pixel").map(|at| from + at) {
        from = at + "pixel".len();
        let before = plain[..at].trim_end();
        let is_function =
            before.strip_suffix("fn").is_some_and(|head| !head.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        if is_function && before.len() < at && plain[from..].trim_start().starts_with('(') {
            return Some(at..from);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_is_found_outside_of_comments() {
        assert_eq!(entry("// fn pixel(\nfn pixel (uv: vec2f)"), Some(16..21));
        assert_eq!(entry("fn pixels(uv: vec2f)"), None);
        assert_eq!(entry("/* /* */ fn pixel(uv) */ fn xpixel()"), None);
        assert_eq!(entry("/*é*/fn pixel(uv)"), Some(9..14));
        assert_eq!(entry(""), None);
    }
}
