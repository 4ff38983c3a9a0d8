//! Facts of a board that are told, not done: who measured them, the context's numbers, what is known to fail.

use serde::{Deserialize, Serialize};

/// Who measured the facts of a file. Without it they are read from sources, which the file names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Measured {
    /// Who.
    pub by: String,
    /// When: `2026-11-21`.
    pub date: String,
    /// `Linux 6.12.1 aarch64`
    pub kernel: String,
    /// `GL_VERSION`, `GL_RENDERER` and EGL's words.
    pub driver: String,
    /// The version of Darkframe that measured.
    pub darkframe: String,
}

/// Numbers of the GPU, for checks of pipelines on other machines (`darkframe check --board`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// The highest OpenGL ES version, `"2.0"`.
    pub gles: Option<String>,
    /// Pixels.
    pub max_texture_size: Option<u32>,
    /// `GL_MAX_TEXTURE_IMAGE_UNITS`
    pub max_texture_units: Option<u32>,
    /// `GL_MAX_VARYING_VECTORS`
    pub max_varying_vectors: Option<u32>,
    /// `GL_MAX_FRAGMENT_UNIFORM_VECTORS`
    pub max_fragment_uniform_vectors: Option<u32>,
    /// `GL_MAX_VERTEX_UNIFORM_VECTORS`
    pub max_vertex_uniform_vectors: Option<u32>,
    /// Mantissa bits of the best float of a fragment shader: 23 is a whole `highp`, 10 is half a float.
    pub fragment_mantissa_bits: Option<u32>,
    /// Fragment shaders have `dFdx`, `dFdy` and `fwidth`.
    pub derivatives: Option<bool>,
    /// Loops of fragment shaders may end where a value says so that is not known before.
    pub dynamic_loops: Option<bool>,
}

/// Something that is known to go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fault {
    /// What goes wrong, and what to do instead.
    pub what: String,
    /// Who says so.
    pub source: String,
}

/// Video encoders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Encode {
    /// Paths of V4L2 nodes, or names of their kernel drivers.
    pub nodes: Vec<String>,
}
