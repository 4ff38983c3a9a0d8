//! An author's shader file: version, includes, entry function, declared uniforms, and where each line came from.
//!
//! In: the path of a fragment shader. Out: a [`Shader`] whose text is ready to follow a prelude.
//! Not here: the prelude and the program (`pass`).
//!
//! The author writes `vec4 pixel(vec2 uv)`: the colour of the target at `uv`, (0, 0) top left, (1, 1) bottom right.
//! `#version 300 es` in the first line chooses GLSL ES 3.00; without it the shader is GLSL ES 1.00.
//! `#include "file"` is looked for beside the including file, then in the folders `lib` beside it and beside the shader.
//! A file is included once.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, Span, read_text};

pub mod constants;
pub mod gain;
pub mod join;
pub mod texels;
pub mod tokens;
pub mod wgsl;
mod words;

use words::{NEW_IN_300, has_function, uniforms, without_comments, words};

/// Uniforms that every shader has.
pub const BUILT_IN: [&str; 3] = ["time", "frame", "resolution"];

/// A version of GLSL ES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GLSL ES 1.00: OpenGL ES 2.0.
    Es100,
    /// GLSL ES 3.00: OpenGL ES 3.0.
    Es300,
    /// GLSL ES 3.10: OpenGL ES 3.1, compute shaders only.
    Es310,
    /// No GLSL: WGSL, for wgpu.
    Wgsl,
}

/// Who writes the pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `vec4 pixel(vec2 uv)`; the prelude's `main` calls it.
    Pixel,
    /// The author's own `void main()`.
    Main,
    /// `void mainImage(out vec4, in vec2)`, as on shadertoy.com; the prelude's `main` calls it.
    MainImage,
}

/// A uniform that the author declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its type as written: `float`, `vec3`, …
    pub kind: String,
    /// Elements; 1 where it is no array.
    pub elements: usize,
}

impl Declared {
    /// A texture of the author's own.
    pub fn is_sampler(&self) -> bool {
        self.kind.contains("sampler")
    }

    /// Its numbers are whole ones.
    pub fn is_whole(&self) -> bool {
        self.kind.starts_with(['i', 'u', 'b']) || (self.kind.starts_with("vec") && self.kind.ends_with(['i', 'u']))
    }

    /// Numbers in a value of this type; `None` for samplers and types that no description can give.
    pub fn components(&self) -> Option<usize> {
        let one = match self.kind.as_str() {
            "float" | "int" | "uint" | "bool" => 1,
            "vec2" | "ivec2" | "uvec2" | "bvec2" => 2,
            "vec3" | "ivec3" | "uvec3" | "bvec3" => 3,
            "vec4" | "ivec4" | "uvec4" | "bvec4" | "mat2" => 4,
            "mat3" => 9,
            "mat4" => 16,
            // WGSL.
            "f32" | "i32" | "u32" => 1,
            "vec2f" | "vec2i" | "vec2u" => 2,
            "vec3f" | "vec3i" | "vec3u" => 3,
            "vec4f" | "vec4i" | "vec4u" | "mat2x2f" => 4,
            "mat2x3f" | "mat3x2f" => 6,
            "mat2x4f" | "mat4x2f" => 8,
            "mat3x3f" => 9,
            "mat3x4f" | "mat4x3f" => 12,
            "mat4x4f" => 16,
            _ => return None,
        };
        Some(one * self.elements)
    }
}

/// A shader file with its includes.
#[derive(Clone, Debug)]
pub struct Shader {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
    /// The version is in the text, not only taken for granted.
    pub version_is_given: bool,
    /// Who writes the pixel.
    pub entry: Entry,
    /// Uniforms in the order of the text.
    pub uniforms: Vec<Declared>,
    /// The text without its version line, included files in their places.
    pub text: String,
    /// `#extension` lines, which must stand before everything else.
    pub extensions: Vec<String>,
    /// Inputs that the shader asks for other places than its own pixel, and there for the middles of pixels only.
    pub on_texels: Vec<String>,
    files: Vec<(PathBuf, Arc<str>)>,
    /// File and line (from 0) of each line of `text`.
    lines: Vec<(usize, usize)>,
    /// What is known of a text that was put together.
    joined: Option<join::Joined>,
    /// WGSL: the whole text, and where uniforms lie.
    pub wgsl: Option<wgsl::Wgsl>,
}

/// A shader may include so many files.
const MAX_FILES: usize = 64;

impl Shader {
    /// Reads a shader and what it includes.
    ///
    /// # Errors
    /// `NotFound` and the like; `Shader` with the place: a missing include, another version, no entry function.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read_text(path, "shader")?;
        Self::parse(path, text)
    }

    /// As [`Shader::open`], from text; `path` is for errors and includes.
    ///
    /// # Errors
    /// As [`Shader::open`].
    pub fn parse(path: impl AsRef<Path>, text: impl Into<Arc<str>>) -> Result<Self> {
        Self::parse_as(path.as_ref(), text.into(), Version::Es100)
    }

    /// Reads a compute shader and what it includes. Its version is 3.10, written or not.
    ///
    /// # Errors
    /// As [`Shader::open`]; `Shader` where it has no `main`.
    pub fn open_compute(path: &Path) -> Result<Self> {
        Self::parse_as(path, read_text(path, "shader")?.into(), Version::Es310)
    }

    fn parse_as(path: &Path, text: Arc<str>, version: Version) -> Result<Self> {
        let mut shader = Self {
            path: path.to_owned(),
            version,
            version_is_given: false,
            entry: Entry::Pixel,
            uniforms: Vec::new(),
            text: String::with_capacity(text.len()),
            extensions: Vec::new(),
            on_texels: Vec::new(),
            files: Vec::new(),
            lines: Vec::new(),
            joined: None,
            wgsl: None,
        };
        shader.append(path, text)?;
        let plain = without_comments(&shader.text);
        shader.uniforms = uniforms(&plain);
        let is_image = has_function(&plain, "void", "mainImage");
        let entries = [
            // Beside mainImage, `pixel` is a function like any other.
            ("vec4 pixel(vec2 uv)", Entry::Pixel, has_function(&plain, "vec4", "pixel") && !is_image),
            ("void main()", Entry::Main, has_function(&plain, "void", "main")),
            ("void mainImage(…)", Entry::MainImage, is_image),
        ];
        let found: Vec<_> = entries.into_iter().filter(|(.., is_there)| *is_there).collect();
        let is_compute = version == Version::Es310;
        shader.entry = match found.as_slice() {
            [.., (_, Entry::Main, _)] if is_compute => Entry::Main,
            _ if is_compute => {
                let (path, text) = &shader.files[0];
                let hint = "e.g. void main() { imageStore(target, ivec2(gl_GlobalInvocationID.xy), camera()); }";
                return Err(Error::new(ErrorKind::Shader, "shader", "a compute shader has void main()")
                    .with_hint(hint)
                    .with_span(Span::new(path, text.clone(), 0..0)));
            }
            [(_, entry, _)] => *entry,
            several => {
                let detail = match several {
                    [(first, ..), (second, ..), ..] => format!("both {first} and {second}"),
                    _ => "no entry function".into(),
                };
                let (path, text) = &shader.files[0];
                return Err(Error::new(ErrorKind::Shader, "shader", detail)
                    .with_hint("write vec4 pixel(vec2 uv) { return …; }: the colour of the target at uv")
                    .with_span(Span::new(path, text.clone(), 0..0)));
            }
        };
        Ok(shader)
    }

    fn append(&mut self, path: &Path, text: Arc<str>) -> Result<()> {
        let file = self.files.len();
        self.files.push((path.to_owned(), text.clone()));
        let error = |detail: String, range: Range<usize>| {
            Error::new(ErrorKind::Shader, "shader", detail).with_span(Span::new(path, text.clone(), range))
        };
        let mut at = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let range = at..at + line.trim_end().len();
            at += line.len();
            let directive = line.trim_start().strip_prefix('#').map(str::trim_start).unwrap_or("");
            if let Some(version) = directive.strip_prefix("version") {
                self.set_version(version.trim(), file).map_err(|detail| error(detail, range))?;
                self.push_line("", file, number);
            } else if directive.starts_with("extension") {
                self.extensions.push(line.trim().to_owned());
                self.push_line("", file, number);
            } else if let Some(rest) = directive.strip_prefix("include") {
                let name = rest.trim().strip_prefix('"').and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
                let name = name.ok_or_else(|| error("expected #include \"file\"".into(), range.clone()))?;
                let found = self.find(path, name).ok_or_else(|| {
                    let folder = path.parent().unwrap_or(Path::new("")).display().to_string();
                    error(format!("#include \"{name}\": not found"), range.clone())
                        .with_hint(format!("looked in \"{folder}\" and in the folders lib beside it and the shader"))
                })?;
                if self.files.iter().any(|(known, _)| *known == found) {
                    self.push_line("", file, number);
                    continue;
                }
                if self.files.len() >= MAX_FILES {
                    return Err(error(format!("more than {MAX_FILES} included files"), range));
                }
                self.append(&found, read_text(&found, "#include")?.into())?;
            } else {
                self.push_line(line.trim_end_matches(['\n', '\r']), file, number);
            }
        }
        Ok(())
    }

    fn push_line(&mut self, line: &str, file: usize, number: usize) {
        self.text.push_str(line);
        self.text.push('\n');
        self.lines.push((file, number));
    }

    fn set_version(&mut self, version: &str, file: usize) -> Result<(), String> {
        let version = match version {
            "310 es" if self.version == Version::Es310 => Version::Es310,
            other if self.version == Version::Es310 => {
                return Err(format!("#version {other}: compute shaders are of 310 es"));
            }
            "100" => Version::Es100,
            "300 es" => Version::Es300,
            other => return Err(format!("#version {other}: expected 300 es, or no version for GLSL ES 1.00")),
        };
        if file == 0 {
            self.version = version;
            self.version_is_given = true;
        } else if version != self.version {
            return Err("the included file is of another version than the shader".into());
        }
        Ok(())
    }

    fn find(&self, from: &Path, name: &str) -> Option<PathBuf> {
        let parent = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
        let (near, root) = (parent(from), parent(&self.path));
        let places = [near.join(name), near.join("lib").join(name), root.join(name), root.join("lib").join(name)];
        places.into_iter().find(|path| path.is_file())
    }

    /// The place of a line of [`text`](Shader::text) (from 0) in the author's file.
    pub fn place(&self, line: usize) -> Option<Span> {
        let (file, number) = *self.lines.get(line)?;
        let (path, text) = self.files.get(file)?;
        let start: usize = text.split_inclusive('\n').take(number).map(str::len).sum();
        let line = text[start..].lines().next().unwrap_or("");
        let indent = line.len() - line.trim_start().len();
        Some(Span::new(path, text.clone(), start + indent..start + line.trim_end().len()))
    }

    /// The first place of `words` in the author's files, outside `//` comments.
    pub fn find_words(&self, words: &str) -> Option<Span> {
        if words.trim().is_empty() {
            return None;
        }
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        self.files.iter().find_map(|(path, text)| {
            text.match_indices(words)
                .find(|(at, _)| {
                    let before = &text[..*at];
                    let line = before.rsplit('\n').next().unwrap_or("");
                    let after = text[at + words.len()..].chars().next();
                    !line.contains("//") && !is_word(before.chars().next_back()) && !is_word(after)
                })
                .map(|(at, _)| Span::new(path, text.clone(), at..at + words.len()))
        })
    }

    /// The shader asks `input` for its own pixel only, never for another place.
    pub fn is_pointwise(&self, input: &str) -> bool {
        let plain = without_comments(&self.text);
        let words = words(&plain);
        words
            .iter()
            .enumerate()
            .all(|(at, word)| *word != input || (words.get(at + 1) == Some(&"(") && words.get(at + 2) == Some(&")")))
    }

    /// `pixel` may be called several times in one fragment, and the text is right in GLSL ES 3.00 too: nothing asks for
    /// the fragment itself, no global variable remembers, no name is new in 3.00. Says no where it is not sure.
    pub fn is_repeatable(&self) -> bool {
        /// Of the fragment, not of a pixel; or of another meaning in 3.00.
        const OF_THE_FRAGMENT: &[&str] = &["discard", "dFdx", "dFdy", "fwidth", "__VERSION__", "__LINE__", "DF_UNIT"];
        /// What a statement outside of functions may begin with.
        const REMEMBERS_NOTHING: &[&str] = &["uniform", "const", "precision", "struct"];
        if let Some(joined) = &self.joined {
            return joined.repeatable;
        }
        if self.entry != Entry::Pixel || !self.extensions.is_empty() {
            return false;
        }
        let plain = without_comments(&self.text);
        let is_taken = |word: &&str| {
            let new = self.version == Version::Es100 && NEW_IN_300.contains(word);
            new || OF_THE_FRAGMENT.contains(word) || word.starts_with("gl_")
        };
        if words(&plain).iter().any(is_taken) {
            return false;
        }
        let statements: String =
            plain.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
        let (mut depth, mut statement) = (0u32, Vec::new());
        for word in words(&statements) {
            match word {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => {
                    let is_prototype = statement.contains(&"(") && !statement.contains(&"=");
                    if !statement.first().is_none_or(|first| REMEMBERS_NOTHING.contains(first)) && !is_prototype {
                        return false;
                    }
                }
                _ if depth == 0 => {
                    statement.push(word);
                    continue;
                }
                _ => continue,
            }
            statement.clear();
        }
        true
    }

    /// The shader gives its input as it is, and does nothing else.
    pub fn is_passthrough(&self) -> bool {
        let plain = without_comments(&self.text);
        let words = words(&plain);
        let [head @ .., open, close, end, last] = words.as_slice() else { return false };
        let [start @ .., _name] = head else { return false };
        start.starts_with(&["vec4", "pixel", "(", "vec2"])
            && start.ends_with(&[")", "{", "return"])
            && start.len() == 8
            && [open, close, end, last] == [&"(", &")", &";", &"}"]
    }

    /// The name is declared and not used.
    pub fn names_once(&self, name: &str) -> bool {
        let plain = without_comments(&self.text);
        words(&plain).iter().filter(|word| **word == name).count() < 2
    }

    /// The files that were read, the shader first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#version 300 es\n#include \"tone.glsl\"\nuniform float exposure; // uniform float no;\n/* uniform vec2 no; */\nuniform highp vec3 tint, weights[4];\nvec4 pixel(vec2 uv) {\n  return vec4(bad);\n}\n";

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("darkframe-shader-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("lib")).unwrap();
        std::fs::write(folder.join("lib/tone.glsl"), "#include \"tone.glsl\"\nfloat tone(float x) {\n  return y;\n}\n")
            .unwrap();
        folder
    }

    #[test]
    fn lines_lead_back_to_the_authors_files() {
        let folder = folder();
        let shader = Shader::parse(folder.join("a.frag"), TEXT).unwrap();
        assert_eq!((shader.version, shader.entry), (Version::Es300, Entry::Pixel));
        assert_eq!(shader.files().count(), 2);
        let names: Vec<_> = shader.uniforms.iter().map(|u| (u.name.as_str(), u.components())).collect();
        assert_eq!(names, [("exposure", Some(1)), ("tint", Some(3)), ("weights", Some(12))]);
        let place = |words: &str| {
            let line = shader.text.lines().position(|line| line.contains(words)).unwrap();
            let span = shader.place(line).unwrap();
            (span.path.file_name().unwrap().to_string_lossy().into_owned(), span.line_column())
        };
        assert_eq!(place("vec4(bad)"), ("a.frag".into(), (7, 3)));
        assert_eq!(place("return y"), ("tone.glsl".into(), (3, 3)));
        assert!(shader.place(999).is_none());
    }

    #[test]
    fn pointwise_shaders_never_ask_for_another_place() {
        let shader = |body: &str| Shader::parse("a.frag", format!("vec4 pixel(vec2 uv) {{ return {body}; }}")).unwrap();
        assert!(shader("a() + b(uv) /* a(uv) */").is_pointwise("a"));
        assert!(!shader("a() + b(uv)").is_pointwise("b"));
        assert!(shader("a()").is_passthrough() && !shader("a() * 2.0").is_passthrough());
        assert!(!shader("a(uv)").is_passthrough() && !shader("-a()").is_passthrough());
        assert!(!shader("0.0\n#define S a\n").is_pointwise("a"));
    }

    #[test]
    fn repeatable_shaders_know_nothing_of_the_fragment() {
        let is_repeatable = |text: &str| Shader::parse("a.frag", text).unwrap().is_repeatable();
        let pixel = "vec4 pixel(vec2 uv) { float x = uv.x; x += 1.0; return vec4(x) * a(); }";
        for head in ["", "uniform float x, y[2];\n", "const float k = 1.0;\nfloat f(float x);\n", "#define X 3;\n"] {
            assert!(is_repeatable(&format!("{head}{pixel}")), "{head}");
        }
        assert!(is_repeatable(&format!("struct S {{ float x; }};\nfloat f() {{ S s; return s.x; }}\n{pixel}")));
        for head in
            ["float sum;\n", "vec2 a = vec2(0.0);\n", "varying vec2 at;\n", "float round(float x) { return x; }\n"]
        {
            assert!(!is_repeatable(&format!("{head}{pixel}")), "{head}");
        }
        assert!(!is_repeatable(&format!("struct S {{ float x; }} s;\n{pixel}")));
        for body in ["discard;", "vec4 x = gl_FragCoord;", "float w = fwidth(uv.x);"] {
            let text = format!("#version 300 es\nvec4 pixel(vec2 uv) {{ {body} return vec4(1.0); }}");
            assert!(!is_repeatable(&text), "{body}");
        }
        assert!(!is_repeatable("void main() {}") && !is_repeatable(&format!("#extension all : enable\n{pixel}")));
        assert!(is_repeatable(&format!("#version 300 es\n{pixel} float f(float x) {{ return round(x); }}")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| Shader::parse("a.frag", text).unwrap_err().to_string();
        assert!(error("float x;\n").contains("no entry function"));
        assert!(error("#version 310 es\nvoid main() {}\n").contains("#version 310 es: expected 300 es"));
        let missing = error("\n#include \"gone.glsl\"\n");
        assert!(missing.starts_with("a.frag:2:1: shader: #include \"gone.glsl\": not found"), "{missing}");
        assert!(error("// vec4 pixel(vec2 uv)\n").contains("no entry function"));
        assert_eq!(Shader::parse("a", "void main() {}").unwrap().entry, Entry::Main);
        assert!(
            Shader::parse("a", "").is_err()
                && Shader::parse("a", "/*").is_err()
                && Shader::parse("a", "uniform").is_err()
        );
    }
}
