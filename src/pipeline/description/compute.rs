//! The keys of a pass that is a compute shader.
//!
//! In: TOML. Out: typed values. Not here: the shader (`shader`), running it (`pass::compute`).

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::Spanned;

/// `compute`: the file alone, or a table.
#[derive(Clone, Debug)]
pub struct Compute(pub ComputeKeys);

/// Runs a compute shader: OpenGL ES 3.1, GLSL ES 3.10 (the version line may be left out). Its `void main()` stores texels:
/// `imageStore(target, ivec2(x, y), color)`, (0, 0) at the top left, `resolution` being the target's size. Inputs are
/// functions as everywhere; `camera()` is the pixel of this invocation, `gl_GlobalInvocationID.xy`. Invocations beyond the
/// target store nothing. What nobody stores is the colour of `clear`, or what was there. The target's format is one that
/// shaders store: 8 bits of red, green, blue and alpha, 16 or 32 bits of float; YUV of 8 bits is made from the former.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComputeKeys {
    /// The compute shader, relative to the pipeline file.
    pub file: Spanned<PathBuf>,
    /// Invocations of a work group, across and down: `local_size_x` and `local_size_y`. Every driver takes 128 together.
    /// Default: `[8, 8]`.
    #[serde(default = "default_local_size")]
    pub local_size: [u32; 2],
    /// Work groups, across and down. Default: as many as cover the target.
    #[serde(default)]
    pub groups: Option<[u32; 2]>,
}

fn default_local_size() -> [u32; 2] {
    [8, 8]
}

impl ComputeKeys {
    /// What is wrong with the numbers by themselves: key and words.
    pub fn wrong(&self) -> Option<(&'static str, String)> {
        let [across, down] = self.local_size;
        if !(1..=1024).contains(&across) || !(1..=1024).contains(&down) || across * down > 1024 {
            return Some(("local-size", format!("{across}x{down}: expected 1 to 1024 invocations in all")));
        }
        match self.groups {
            Some([across, down]) if !(1..=65535).contains(&across) || !(1..=65535).contains(&down) => {
                Some(("groups", format!("{across}x{down}: expected 1 to 65535 each")))
            }
            _ => None,
        }
    }
}

impl Compute {
    /// Gives the file its place: the short form is the file itself, and has that of the key.
    pub(super) fn place(compute: &mut Spanned<Self>) {
        let (span, file) = (compute.span(), &mut compute.get_mut().0.file);
        if file.span().is_empty() {
            *file = Spanned::new(span, file.get_ref().clone());
        }
    }
}

impl<'de> Deserialize<'de> for Compute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ComputeVisitor;
        impl<'de> Visitor<'de> for ComputeVisitor {
            type Value = Compute;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a shader (\"levels.comp\"), or a table { file = \"levels.comp\", local-size = [8, 8] }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Compute, E> {
                let file = Spanned::new(0..0, text.into());
                Ok(Compute(ComputeKeys { file, local_size: default_local_size(), groups: None }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Compute, A::Error> {
                ComputeKeys::deserialize(MapAccessDeserializer::new(map)).map(Compute)
            }
        }
        deserializer.deserialize_any(ComputeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_groups_have_limits() {
        let wrong = |local_size, groups| {
            let file = Spanned::new(0..0, PathBuf::new());
            ComputeKeys { file, local_size, groups }.wrong().map(|(key, _)| key)
        };
        assert_eq!((wrong([8, 8], None), wrong([1024, 1], Some([65535, 1]))), (None, None));
        for local_size in [[0, 1], [1, 0], [1025, 1], [64, 17], [u32::MAX, u32::MAX]] {
            assert_eq!(wrong(local_size, None), Some("local-size"), "{local_size:?}");
        }
        assert_eq!(wrong([8, 8], Some([0, 1])), Some("groups"));
    }
}
