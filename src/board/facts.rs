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
    /// Paths of V4L2 nodes, names of [`ENCODERS`] or of other kernel drivers. Where a pipeline names no encoder, the first
    /// of them that suits is taken before all others.
    pub nodes: Vec<String>,
}

/// Known encoders: what people call them, and what the kernel does (`VIDIOC_QUERYCAP`: driver or card).
///
/// # References
/// `drivers/media/platform/allegro-dvt/allegro-core.c`, `…/verisilicon/hantro_drv.c`, `…/mediatek/vcodec`,
/// `…/chips-media/wave5/wave5-vpu-enc.c`, `drivers/media/test-drivers/vicodec`; raspberrypi/linux
/// `drivers/staging/vc04_services/bcm2835-codec`. rkvenc is in no kernel of kernel.org.
pub static ENCODERS: [(&str, &[&str]); 7] = [
    ("allegro-dvt", &["allegro"]),
    ("bcm2835-codec", &["bcm2835-codec-encode", "bcm2835-codec"]),
    ("hantro", &["hantro-vpu"]),
    ("mtk-vcodec", &["mtk-vcodec-enc"]),
    ("rkvenc", &["rkvenc"]),
    ("vicodec", &["vicodec"]),
    ("wave5", &["wave5-enc"]),
];

impl Encode {
    /// What the kernel may call the encoder of this name: the name itself where it is none of [`ENCODERS`].
    pub fn kernel_names(name: &str) -> Vec<&str> {
        match ENCODERS.iter().find(|(known, _)| *known == name) {
            Some((_, names)) => names.to_vec(),
            None => vec![name],
        }
    }

    /// The first node that is nearly one of [`ENCODERS`], with that one.
    pub(super) fn mistyped(&self) -> Option<(&str, &'static str)> {
        let known = || ENCODERS.iter().flat_map(|(name, names)| [*name].into_iter().chain(names.iter().copied()));
        let names = self.nodes.iter().filter(|node| !node.starts_with('/') && !known().any(|name| name == *node));
        names.into_iter().find_map(|node| Some((node.as_str(), crate::error::nearest(node, known())?)))
    }
}
