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

use crate::config;
use crate::error::{Error, ErrorKind, Result, Span, nearest, read_text};
use crate::format::Fourcc;

use super::faults::Faults;

pub mod color;
pub mod compute;
pub mod layout;
pub mod mesh;
pub mod optimize;
pub mod pass;
#[cfg(feature = "schema")]
mod schema;
mod set;
pub mod sink;
pub mod source;
mod spanned;
pub mod value;

pub use color::ColorKeys;
pub use compute::{Compute, ComputeKeys};
pub use layout::LayoutKeys;
pub use mesh::{Mesh, MeshKeys, Samples, Turntable};
pub use optimize::{Optimize, Step};
pub use pass::{Alpha, Anchor, Blend, BlendKeys, BlendMode, Length, Overlay, Rgba, Style, Wrap};
pub use sink::{Sink, SinkKind, WhenFull};
pub use source::{Convert, Fit, Io, Orientation, Pace, Pattern, Profile, Source, SourceKind};
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

/// One draw: inputs by name, one of `shader`, `overlay`, `blend`, `mesh`, `compute` and `wgpu`, one target.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pass {
    /// The fragment shader, relative to the pipeline file; beside `mesh` that of its surfaces. Default: none, where
    /// `overlay`, `blend`, `mesh`, `compute` or `wgpu` is given.
    pub shader: Option<Spanned<PathBuf>>,
    /// Lays the second input over the first.
    pub overlay: Option<Spanned<Overlay>>,
    /// Mixes the second input, stretched over the target, into the first: a mode, or a table.
    pub blend: Option<Spanned<Blend>>,
    /// Draws a model (glTF 2.0): its file, or a table.
    pub mesh: Option<Spanned<Mesh>>,
    /// Runs a compute shader (OpenGL ES 3.1): its file, or a table.
    pub compute: Option<Spanned<Compute>>,
    /// Draws with wgpu on Vulkan (cargo feature `wgpu`): a file in WGSL with `fn pixel(uv: vec2f) -> vec4f`, the colour of the target
    /// at `uv`, (0, 0) top left. Inputs are functions, `camera(uv: vec2f) -> vec4f` between texels by `filter` and `wrap`, and
    /// `camera_texel(at: vec2i) -> vec4f`; `resolution`, `camera_size`, `time` and `frame` are variables; `struct Uniforms` has the
    /// uniforms, read as `uniforms.NAME`. Inputs and target have 8 bits; YUV is converted on the way in and drawn on the way out.
    /// Pictures go to wgpu and back in dma-bufs where both drivers take them, else through memory; the report says which.
    pub wgpu: Option<Spanned<PathBuf>>,
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
        let compute = self.compute.as_ref().map(|compute| ("compute", &compute.get_ref().0.file));
        let wgpu = self.wgpu.as_ref().map(|file| ("wgpu", file));
        self.shader.as_ref().map(|file| ("shader", file)).or(compute).or(wgpu)
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
            for compute in description.passes.values_mut().filter_map(|pass| pass.compute.as_mut()) {
                Compute::place(compute);
            }
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

    /// An error about the text at `range`; `op` is the key.
    pub fn error(&self, op: impl Into<String>, detail: impl Into<String>, range: std::ops::Range<usize>) -> Error {
        let error = Error::new(ErrorKind::Config, op.into(), detail);
        match range.is_empty() {
            // The value was set on the command line: it has no place in the text.
            true => error,
            false => error.with_span(Span::new(&self.origin.path, self.origin.text.clone(), range)),
        }
    }

    /// The text between the two bytes; empty where it was not there.
    #[cfg(feature = "gstreamer")]
    pub(in crate::pipeline) fn text(&self, range: std::ops::Range<usize>) -> &str {
        self.origin.text.get(range).unwrap_or_default()
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
