//! What a pipeline file says: sources, passes and sinks, with the place of every value in the text.
//!
//! In: a TOML file, and settings from the command line. Out: a [`Description`] whose values are well-formed by themselves.
//! Not here: whether names and sizes fit together (`graph`), opening what is named (`source`, `pass`, `sink`).
//!
//! Files of sources and shaders are relative to the pipeline file, so that a pipeline moves as a folder.
//! Files of sinks are relative to the current directory, like any output of a command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::color::{Color, Matrix, Primaries, Range, Siting, Transfer};
use crate::config;
use crate::error::{Error, ErrorKind, Result, Span, nearest, read_text};
use crate::format::Fourcc;
use crate::layout::Size;

use super::faults::Faults;

pub mod layout;
pub mod mesh;
pub mod optimize;
pub mod pass;
#[cfg(feature = "schema")]
mod schema;
pub mod sink;
mod spanned;
pub mod value;

pub use layout::LayoutKeys;
pub use mesh::{Mesh, MeshKeys, Samples, Turntable};
pub use optimize::{Optimize, Step};
pub use pass::{Alpha, Anchor, Blend, BlendKeys, BlendMode, Length, Overlay, Rgba, Style, Wrap};
pub use sink::{Sink, SinkKind, WhenFull};
pub use spanned::Spanned;
pub use value::{FrameRange, Inputs, Numbers, PassSize, Rate, Text, Uniform};

/// Named parts, with the place of each name.
pub type Named<T> = BTreeMap<Spanned<String>, T>;

/// A pipeline file.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Description {
    /// A shipped board's name or the path of a board file. Default: found out from the machine.
    pub board: Option<Spanned<String>>,
    /// What the run must have, or fail. Default: nothing.
    pub require: Option<Require>,
    /// Which frames are made. Default: all.
    pub frames: Option<Text<FrameRange>>,
    /// Frames per second of the run. Unit: frames/s. Default: that of the first source that has one, else 25.
    pub rate: Option<Text<Rate>>,
    /// Which steps of the planner are taken: `true` for all, `false` for none, or their names. Each lets a pixel be off
    /// by one code value at most; without them every pass is drawn as it is written. Default: `true`.
    #[serde(default)]
    pub optimize: Optimize,
    /// Values that uniforms refer to by name, and that change while the run goes on.
    #[serde(default, rename = "parameter")]
    pub parameters: Named<Parameter>,
    /// Where pictures come from, by name.
    #[serde(default, rename = "source")]
    pub sources: Named<Source>,
    /// What is done to them, by name.
    #[serde(default, rename = "pass")]
    pub passes: Named<Pass>,
    /// Where they go, by name.
    #[serde(default, rename = "sink")]
    pub sinks: Named<Sink>,
    /// Where the text came from.
    #[serde(skip)]
    pub origin: Origin,
}

/// The file and its text, for errors with a place.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The file's name as the user gave it.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
}

/// What a run must have, or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// No edge of the pipeline may copy pixels.
    ZeroCopy,
}

/// A value that uniforms refer to as `"$NAME"`, and that changes while the run goes on.
/// One place for several passes; `--set NAME=VALUE` sets it at the start, `--control` at any time.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameter {
    /// The value at the start; its kind (numbers or `true` and `false`) and how many numbers it has stay.
    pub default: Spanned<Uniform>,
    /// No number of the value may be smaller. Default: no limit.
    pub min: Option<Spanned<f64>>,
    /// No number of the value may be larger. Default: no limit.
    pub max: Option<Spanned<f64>>,
    /// What it does, for whoever lists the parameters. Default: nothing.
    pub description: Option<String>,
}

/// Where pictures come from.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// The file, relative to the pipeline file; `-` is standard input (y4m; raw where `format` is given; PNG or JPEG
    /// pictures one behind the other with `kind = "image"`). Fifos too. Streams are read once, forwards: no `range`, no
    /// `loop`. Images: `"photos/*.jpg"` (`*`, `?`, `[0-9]`, `**` for folders below, links to folders not) is all of these files, each a frame,
    /// by name with numbers by their value (`a2` before `a10`); `"scan-%04d.png"` those with a number there, by number.
    /// Default: none, where `pattern` is given.
    pub file: Option<Spanned<PathBuf>>,
    /// What the file is. Default: by its extension.
    pub kind: Option<Spanned<SourceKind>>,
    /// `unixfd`: the producer's socket, a path (relative to the current directory) or `@name` for an abstract name.
    pub socket: Option<Spanned<String>>,
    /// `unixfd`: how long the producer has to say what its frames are. Unit: seconds. Default: 10; with
    /// `reconnect` no limit.
    pub patience: Option<Spanned<f64>>,
    /// `unixfd`: waits for a producer that is not there yet, and again where one goes away without saying that
    /// its stream ends.
    #[serde(default)]
    pub reconnect: bool,
    /// `unixfd`: who may be the producer, as `"user:NAME"` or `"group:NAME"` (a primary group), numbers too.
    /// Default: anyone; for abstract names this user and root.
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    /// A picture that is computed, instead of a file.
    pub pattern: Option<Spanned<Pattern>>,
    /// Size of a raw file's or a pattern's pictures; images are scaled to it (Lanczos, by the CPU). Unit: pixels.
    /// Default: patterns 1280x720; raw files need it; images keep theirs, which must be one size.
    pub size: Option<Spanned<Text<Size>>>,
    /// Raw files: format of the pictures. Default: raw files need it.
    pub format: Option<Spanned<Text<Fourcc>>>,
    /// Images with `size`: how a picture of other proportions gets there. Default: `"contain"`.
    pub fit: Option<Spanned<Fit>>,
    /// Images with `fit = "contain"`: the colour beside the picture. Default: `"#000000"`.
    pub background: Option<Spanned<Rgba>>,
    /// Images: whether they are turned as the camera noted it. Default: `"upright"`.
    pub orientation: Option<Spanned<Orientation>>,
    /// Images: what is done with an embedded colour profile (ICC) of RGB pixels; those of grey and CMYK are not used.
    /// Default: `"srgb"`.
    pub profile: Option<Spanned<Profile>>,
    /// Frames per second. Unit: frames/s. Default: the file's; patterns 25.
    pub rate: Option<Text<Rate>>,
    /// When pictures are handed on. Default: `"free"`.
    pub pace: Option<Spanned<Pace>>,
    /// Raw files: from row to row; one number for the first plane, the others following from it, or one per plane.
    /// Unit: bytes. Default: rows without padding.
    pub stride: Option<Spanned<Numbers>>,
    /// Raw files: first byte of each plane within a frame. Unit: bytes. Default: one plane after the other.
    pub offset: Option<Spanned<Numbers>>,
    /// Raw files: from frame to frame. Unit: bytes. Default: the end of the last plane.
    pub frame_bytes: Option<Spanned<u64>>,
    /// Raw files: before the first frame. Unit: bytes.
    #[serde(default)]
    pub header_bytes: u64,
    /// Patterns: how many pictures. Unit: frames. Default: endless.
    pub frames: Option<Spanned<u64>>,
    /// The pattern `noise`: the same seed gives the same pictures.
    #[serde(default)]
    pub seed: u64,
    /// Begin again at the end.
    #[serde(default)]
    pub r#loop: bool,
    /// Which pictures of the file. Default: all.
    pub range: Option<Text<FrameRange>>,
    /// What the numbers mean, where the file does not say or says it wrong. Default: as the file says, else guessed.
    #[serde(default)]
    pub color: ColorKeys,
    /// What shaders get, with the primaries of BT.709: the file's numbers as they are, or converted in linear light, HDR
    /// with the tone curve of BT.2390. Default: `"srgb"` where `color.transfer` is `"pq"` or `"hlg"`, else `"none"`.
    pub convert: Option<Convert>,
}

/// What a source's colours are converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Convert {
    /// Nothing: R'G'B' as they are.
    None,
    /// sRGB.
    Srgb,
    /// The transfer function of BT.709.
    Bt709,
    /// Linear light.
    Linear,
}

/// How a picture gets into a frame of other proportions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// All of the picture, in the middle, `background` beside it.
    Contain,
    /// All of the frame, what hangs over cut off on both sides.
    Cover,
    /// All of both: proportions change.
    Stretch,
}

impl std::fmt::Display for Fit {
    /// As description files name it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Contain => "contain",
            Self::Cover => "cover",
            Self::Stretch => "stretch",
        })
    }
}

/// What is done with the orientation that a picture's file notes (EXIF, TIFF).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Orientation {
    /// The picture is turned and mirrored so that it stands upright.
    Upright,
    /// Pixels as they are stored.
    Stored,
}

/// What is done with the colour profile in a picture's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Colours are converted to sRGB, relative colorimetric.
    Srgb,
    /// Nothing: numbers as they are stored.
    Ignore,
}

/// When a source hands its pictures on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// As fast as the run takes them.
    Free,
    /// At its rate, the first at once. None is left out: a picture that is late comes at once, and the source catches up.
    Realtime,
}

/// What a source's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// YUV4MPEG2.
    Y4m,
    /// Frames one after the other, nothing between.
    Raw,
    /// Pictures: PNG, JPEG, WebP, GIF, BMP, TIFF, PBM, PGM, PPM, PAM; 16 bits a channel are rounded to 8. The pictures of
    /// an animation (GIF, WebP, PNG) are frames; any other file is one picture, which is held. At most 65536 pixels a side
    /// and 1 GiB decoded.
    Image,
    /// A colour table, as the picture that `shaders/lut.frag` reads.
    Cube,
    /// Frames from another process, over `socket`, as GStreamer's `unixfdsink` and this command's sink send them.
    Unixfd,
}

/// A picture that is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Eight colour bars, 75 %.
    Bars,
    /// Red rises to the right, green downwards, blue with time.
    Gradient,
    /// Black and white fields of 16 pixels that move one pixel right per frame.
    Checker,
    /// Rings that get finer outwards, to the limit of the grid; they move inwards.
    ZonePlate,
    /// Every pixel at random, from `seed` and the frame's number.
    Noise,
    /// The frame's number in large digits.
    Counter,
}

/// Colour tags; what is left out is taken from the file, else guessed from the size.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ColorKeys {
    /// The Y'CbCr matrix. Default: `"bt601"` up to 720x576, else `"bt709"`.
    pub matrix: Option<Matrix>,
    /// Which codes black and white have. Default: `"limited"`.
    pub range: Option<Range>,
    /// Where chroma samples sit. Default: `"left"`.
    pub siting: Option<Siting>,
    /// Transfer function. Default: `"bt709"`, sRGB for RGB formats.
    pub transfer: Option<Transfer>,
    /// Primaries. Default: those of the matrix; `"bt709"` for RGB formats.
    pub primaries: Option<Primaries>,
}

impl ColorKeys {
    /// `color` with what these keys say instead.
    pub fn over(&self, color: Color) -> Color {
        Color {
            matrix: self.matrix.unwrap_or(color.matrix),
            range: self.range.unwrap_or(color.range),
            siting: self.siting.unwrap_or(color.siting),
            transfer: self.transfer.unwrap_or(color.transfer),
            primaries: self.primaries.unwrap_or(color.primaries),
        }
    }
}

/// One draw: inputs by name, one of `shader`, `overlay`, `blend` and `mesh`, one target.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pass {
    /// The fragment shader, relative to the pipeline file; beside `mesh` that of its surfaces. Default: none, where
    /// `overlay`, `blend` or `mesh` is given.
    pub shader: Option<Spanned<PathBuf>>,
    /// Lays the second input over the first.
    pub overlay: Option<Spanned<Overlay>>,
    /// Mixes the second input, stretched over the target, into the first: a mode, or a table.
    pub blend: Option<Spanned<Blend>>,
    /// Draws a model (glTF 2.0): its file, or a table.
    pub mesh: Option<Spanned<Mesh>>,
    /// The dialect of the shader. Default: `"darkframe"`.
    pub style: Option<Spanned<Style>>,
    /// Names in the shader, and the source or pass that each is: `{ base = "camera" }`; `["camera"]` is short for
    /// `{ camera = "camera" }`. `"@previous"` is the pass's own picture of the frame before, `"@previous.NAME"` that of
    /// another pass or of a source; before the first frame it is transparent black, or has the colour of `clear`.
    /// Default: none.
    #[serde(default)]
    pub inputs: Inputs,
    /// Values of the uniforms that the shader declares; `"$NAME"` is the value of a parameter. Default: none.
    #[serde(default)]
    pub uniforms: Named<Spanned<Uniform>>,
    /// Size of the target: that of the first input (pictures of the frame before do not count), in pixels, or a part of
    /// the first input. Unit: pixels or %.
    /// Default: `"as-input"`.
    pub size: Option<Spanned<Text<PassSize>>>,
    /// Format of the target. YUV formats (`"NV12"`, `"YUV420"`, `"P010"`, `"YUYV"`, …) are planes for encoders and y4m,
    /// drawn from the pass's RGB picture, which is what other passes read. Default: `"ABGR8888"`, which is bytes
    /// R, G, B, A.
    pub format: Option<Spanned<Text<Fourcc>>>,
    /// YUV formats: what the planes' numbers mean; chroma is filtered to `siting`. Default: as guessed from the size.
    #[serde(default)]
    pub color: ColorKeys,
    /// How the target lies in memory, for the hardware that takes it (an encoder, a display): joined with what the GPU
    /// and the CPU need. Where no allocator can, the run fails. Default: what the GPU needs.
    pub layout: Option<Spanned<LayoutKeys>>,
    /// How inputs are read between pixels. Default: `"linear"`.
    #[serde(default)]
    pub filter: Filter,
    /// What lies beyond the edges of inputs. OpenGL ES 2 repeats and mirrors sizes that are powers of two only, unless it
    /// has `GL_OES_texture_npot`; external images and YUV of odd sizes only clamp. Default: `"clamp"`.
    pub wrap: Option<Spanned<Wrap>>,
    /// The colour of the target before it is drawn into, and of the frame before the first. A shader that draws every
    /// pixel needs none. Default: what was there, and transparent black before the first frame.
    pub clear: Option<Spanned<Rgba>>,
    /// How often it is drawn; each draw reads the result of the last as its first input. Unit: draws. Default: 1.
    pub repeat: Option<Spanned<u32>>,
    /// An expression on the frame's number, `"frame >= 10 && frame % 2 == 0"`: where it is false, the first input passes
    /// through unchanged (scaled where the target has another size). Whole numbers with `+ - * / %`, comparisons, `!`,
    /// `&&`, `||` and parentheses. Default: always.
    pub enable: Option<Spanned<String>>,
}

impl Pass {
    /// The key that names a shader file, and the file.
    pub fn shader_file(&self) -> Option<(&'static str, &Spanned<PathBuf>)> {
        self.shader.as_ref().map(|file| ("shader", file))
    }
}

/// How a texture is read between pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// Between the four around it.
    #[default]
    Linear,
}

impl Description {
    /// Reads a pipeline file.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; `Config` with the place in the text.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(path, Self::read(path)?)
    }

    /// Reads the text of a pipeline file; `path` is for errors and for the files that the text names.
    ///
    /// # Errors
    /// `Config` with the place in the text.
    pub fn parse(path: impl AsRef<Path>, text: impl Into<Arc<str>>) -> Result<Self> {
        let (description, faults) = Self::parse_partly(path, text);
        faults.into_result()?;
        description.ok_or_else(|| Error::new(ErrorKind::Config, "toml", "the text says nothing"))
    }

    /// As [`Description::open`], without what is wrong; nothing where the text is no TOML.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `InvalidInput` of the file.
    pub fn open_partly(path: impl AsRef<Path>) -> Result<(Option<Self>, Faults)> {
        let path = path.as_ref();
        Ok(Self::parse_partly(path, Self::read(path)?))
    }

    /// As [`Description::parse`], without what is wrong; nothing where the text is no TOML.
    pub fn parse_partly(path: impl AsRef<Path>, text: impl Into<Arc<str>>) -> (Option<Self>, Faults) {
        let (path, text) = (path.as_ref(), text.into());
        let parsed: config::Parsed<Self> = config::parse_all(path, &text);
        let mut faults = Faults::default();
        parsed.errors.into_iter().for_each(|error| faults.add(error));
        for keys in &parsed.without {
            match keys.as_slice() {
                [table, name, ..] => faults.breaks(table, name),
                [table] => faults.breaks(table, ""),
                [] => {}
            }
        }
        let description = parsed.value.map(|mut description| {
            description.origin = Origin { path: path.to_owned(), text };
            description
        });
        (description, faults)
    }

    fn read(path: &Path) -> Result<String> {
        read_text(path, "pipeline").map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::InvalidInput => {
                error.with_hint("give the path of a pipeline file (TOML), e.g. examples/enhance.toml")
            }
            _ => error,
        })
    }

    /// Changes one value: `PARAMETER=VALUE` (or `parameter.NAME=VALUE`), `pass.NAME.UNIFORM=VALUE` (or
    /// `pass.NAME.uniforms.UNIFORM`), `pass.NAME.size=…`, `source.NAME.file=…`, `source.NAME.frames=…`, `sink.NAME.file=…`, `sink.NAME.every=…`, `optimize=…`.
    ///
    /// # Errors
    /// `Config`: no such key (with the nearest), a value of the wrong type.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let error = |detail: String| Error::new(ErrorKind::Config, "--set", format!("{assignment}: {detail}"));
        let (key, value) = assignment
            .split_once('=')
            .ok_or_else(|| error("expected KEY=VALUE".into()).with_hint("e.g. --set pass.grade.exposure=1.2"))?;
        let parts: Vec<&str> = key.trim().split('.').collect();
        let place = |value: Uniform| Spanned::new(0..0, value);
        match parts.as_slice() {
            ["pass", name, key] | ["pass", name, "uniforms", key] => {
                let pass = find_mut(&mut self.passes, "pass", name).map_err(error)?;
                if *key == "size" && parts.len() == 3 {
                    let size = value.parse().map_err(|wrong: Error| error(wrong.detail().to_owned()))?;
                    pass.size = Some(Spanned::new(0..0, Text(size)));
                    return Ok(());
                }
                let known = pass.uniforms.keys().map(|name| name.get_ref().as_str());
                if !pass.uniforms.contains_key(*key) {
                    let hint = did_you_mean(key, known);
                    return Err(error(format!("pass \"{name}\" sets no uniform \"{key}\"")).with_hint(hint));
                }
                let uniform = Uniform::from_text(value).map_err(error)?;
                pass.uniforms.insert(Spanned::new(0..0, (*key).to_owned()), place(uniform));
            }
            ["optimize"] => self.optimize = value.parse().map_err(error)?,
            ["source", name, "file"] => {
                find_mut(&mut self.sources, "source", name).map_err(error)?.file =
                    Some(Spanned::new(0..0, absolute(value)))
            }
            ["source", name, "frames"] => {
                let frames = value.parse().map_err(|_| error("expected a number of frames".into()))?;
                find_mut(&mut self.sources, "source", name).map_err(error)?.frames = Some(Spanned::new(0..0, frames));
            }
            ["sink", name, "file"] => {
                find_mut(&mut self.sinks, "sink", name).map_err(error)?.file = Some(Spanned::new(0..0, value.into()))
            }
            ["sink", name, "every"] => {
                let every = value.parse().map_err(|_| error("expected a number of frames".into()))?;
                find_mut(&mut self.sinks, "sink", name).map_err(error)?.every = Some(Spanned::new(0..0, every));
            }
            ["parameter", name] | [name] if parts.len() == 2 || self.parameters.contains_key(*name) => {
                let value = Uniform::from_text(value).map_err(error)?;
                let parameter = find_mut(&mut self.parameters, "parameter", name).map_err(error)?;
                parameter.default = place(value);
            }
            _ => {
                let hint = match parts.as_slice() {
                    [name] => nearest(name, self.parameters.keys().map(|name| name.get_ref().as_str())),
                    _ => None,
                };
                if let Some(name) = hint {
                    return Err(error("no such parameter".into()).with_hint(format!("did you mean \"{name}\"?")));
                }
                return Err(error("no such key".into()).with_hint(
                    "keys: PARAMETER, pass.NAME.UNIFORM, pass.NAME.size, source.NAME.file, source.NAME.frames, sink.NAME.file, sink.NAME.every, optimize",
                ));
            }
        }
        Ok(())
    }

    /// An error about the text at `range`; `op` is the key.
    pub fn error(&self, op: impl Into<String>, detail: impl Into<String>, range: std::ops::Range<usize>) -> Error {
        let error = Error::new(ErrorKind::Config, op.into(), detail);
        match range.is_empty() {
            // The value was set on the command line: it has no place in the text.
            true => error,
            false => error.with_span(Span::new(&self.origin.path, self.origin.text.clone(), range)),
        }
    }

    /// The folder that files are relative to.
    pub fn folder(&self) -> &Path {
        self.origin.path.parent().unwrap_or(Path::new(""))
    }

    /// A file named in the text, relative to the folder of the pipeline file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        if path == Path::new("-") {
            return path.to_owned();
        }
        self.origin.path.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

/// A path from the command line is relative to the current directory, not to the pipeline file.
fn absolute(path: &str) -> PathBuf {
    if path == "-" {
        return path.into();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

fn find_mut<'a, T>(parts: &'a mut Named<T>, kind: &str, name: &str) -> Result<&'a mut T, String> {
    let hint = did_you_mean(name, parts.keys().map(|name| name.get_ref().as_str()));
    parts.get_mut(name).ok_or_else(|| format!("there is no {kind} \"{name}\"; {hint}"))
}

/// `did you mean "x"?`, or the list of what there is.
pub(crate) fn did_you_mean<'a>(given: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(given, names.clone()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => {
            let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
            if names.is_empty() { "there are none".into() } else { format!("there is {}", names.join(", ")) }
        }
    }
}
