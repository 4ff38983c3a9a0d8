//! The keys of a pass that draws a model.
//!
//! In: TOML. Out: typed values. Not here: whether they suit the model (`model`), drawing (`pass::mesh`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::value::Text;
use crate::error::Error;

/// `mesh`: the file alone, or a table.
#[derive(Clone, Debug)]
pub struct Mesh(pub MeshKeys);

/// Draws a model: glTF 2.0, triangles with depth, under one light that stands still beside the camera. Base colours are
/// sRGB in the file's textures and linear in its factors, and light is added up linearly; the picture is sRGB. Vertex
/// colours, `KHR_materials_unlit` and `KHR_texture_transform` are read; skins, morph targets and animations are not, and
/// nothing is read over a network. Alpha is straight. Surfaces with alpha are drawn after the others, far ones first, each
/// primitive of the file as a whole. With `shader` too, `vec4 pixel(vec2 uv)` is the colour of the surface at its texture
/// coordinates: it finds `mesh_color()` (what is drawn without it), `mesh_base()` (without light), `mesh_light()` (0 to 1)
/// and `vec3 mesh_normal()` (right, up, towards the viewer).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MeshKeys {
    /// The glTF 2.0 file (`.gltf`, `.glb`), relative to the pipeline file; what it names is relative to itself.
    pub file: PathBuf,
    /// The input that is shown on every surface instead of the file's base colour textures. Default: the file's textures.
    #[serde(default)]
    pub texture: Option<String>,
    /// Name of a camera in the file; `"auto"` frames the whole model, however it turns. Default: the file's first camera,
    /// `"auto"` where it has none.
    #[serde(default)]
    pub camera: Option<String>,
    /// Where the camera stands, instead of `camera`; y points up. Unit: the model's.
    #[serde(default)]
    pub position: Option<[f64; 3]>,
    /// With `position`: where it looks. Unit: the model's. Default: the middle of the model.
    #[serde(default)]
    pub target: Option<[f64; 3]>,
    /// With `position` or `"auto"`: from the lower edge of the picture to the upper one. Unit: degrees. Default: 35.
    #[serde(default = "default_fov")]
    pub fov: f64,
    /// With `"auto"`: from which side, counted from the front to the right. Unit: degrees. Default: 0.
    #[serde(default)]
    pub azimuth: f64,
    /// With `"auto"`: from how far above. Unit: degrees. Default: 20.
    #[serde(default = "default_elevation")]
    pub elevation: f64,
    /// Turns the model about the middle of its bounding box. Default: it stands.
    #[serde(default)]
    pub turntable: Option<Text<Turntable>>,
    /// What it turns about; seen from its tip, counter-clockwise. Default: `[0, 1, 0]`, upright.
    #[serde(default = "default_axis")]
    pub axis: [f64; 3],
    /// Where the light comes from as the camera sees it: right, up, towards the viewer. Default: `[0.4, 0.7, 0.6]`.
    #[serde(default = "default_light")]
    pub light: [f64; 3],
    /// The part of the light that comes from everywhere; 1 shows base colours as they are. Default: 0.25.
    #[serde(default = "default_ambient")]
    pub ambient: f64,
    /// Samples a pixel, for smooth edges; more than the driver offers is an error, `"max"` takes what it offers, 1 where
    /// it offers none. Default: 1.
    #[serde(default)]
    pub samples: Text<Samples>,
}

fn default_fov() -> f64 {
    35.0
}

fn default_elevation() -> f64 {
    20.0
}

fn default_axis() -> [f64; 3] {
    [0.0, 1.0, 0.0]
}

fn default_light() -> [f64; 3] {
    [0.4, 0.7, 0.6]
}

fn default_ambient() -> f64 {
    0.25
}

impl MeshKeys {
    /// The keys of a model alone.
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            texture: None,
            camera: None,
            position: None,
            target: None,
            fov: default_fov(),
            azimuth: 0.0,
            elevation: default_elevation(),
            turntable: None,
            axis: default_axis(),
            light: default_light(),
            ambient: default_ambient(),
            samples: Text::default(),
        }
    }

    /// What is wrong with the numbers by themselves: key and words.
    pub fn wrong(&self) -> Option<(&'static str, String)> {
        let finite = |numbers: &[f64]| numbers.iter().all(|number| number.abs() < 1e18);
        let is_zero = |vector: [f64; 3]| vector.iter().all(|number| *number == 0.0);
        let vectors = [("position", self.position), ("target", self.target), ("axis", Some(self.axis))];
        let vectors = vectors.into_iter().chain([("light", Some(self.light))]);
        let mut infinite = vectors.filter(|(_, vector)| vector.is_some_and(|vector| !finite(&vector)));
        if let Some((key, _)) = infinite.next() {
            return Some((key, "expected numbers within 1e18".into()));
        }
        if !(self.fov >= 1.0 && self.fov <= 170.0) {
            return Some(("fov", format!("{}: expected 1 to 170 degrees", self.fov)));
        }
        if !(self.ambient >= 0.0 && self.ambient <= 1.0) {
            return Some(("ambient", format!("{}: expected 0 to 1", self.ambient)));
        }
        if !(self.elevation.abs() <= 90.0 && finite(&[self.azimuth])) {
            return Some(("elevation", format!("{}: expected -90 to 90 degrees", self.elevation)));
        }
        if is_zero(self.axis) {
            return Some(("axis", "it points nowhere: expected e.g. [0, 1, 0]".into()));
        }
        if is_zero(self.light) {
            return Some(("light", "it comes from nowhere: ambient = 1 shows base colours without light".into()));
        }
        if self.target.is_some() && self.position.is_none() {
            return Some(("target", "it needs position, where the camera stands".into()));
        }
        if self.position.is_some() && self.camera.is_some() {
            return Some(("camera", "position is there too: remove one of them".into()));
        }
        None
    }
}

impl<'de> Deserialize<'de> for Mesh {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MeshVisitor;
        impl<'de> Visitor<'de> for MeshVisitor {
            type Value = Mesh;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a glTF file (\"model.glb\"), or a table { file = \"model.glb\", turntable = 90 }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Mesh, E> {
                Ok(Mesh(MeshKeys::new(text.into())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mesh, A::Error> {
                MeshKeys::deserialize(MapAccessDeserializer::new(map)).map(Mesh)
            }
        }
        deserializer.deserialize_any(MeshVisitor)
    }
}

/// How fast a model turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turntable {
    /// Degrees per second.
    PerSecond(f64),
    /// Degrees per frame.
    PerFrame(f64),
}

impl Turntable {
    /// The angle of a frame in degrees.
    pub fn degrees(self, frame: u64, seconds: f64) -> f64 {
        match self {
            Self::PerSecond(degrees) => degrees * seconds,
            Self::PerFrame(degrees) => degrees * frame as f64,
        }
    }
}

impl FromStr for Turntable {
    type Err = Error;

    /// Reads `90`, `90/s` and `3/frame`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        match (number.trim().parse::<f64>(), unit.trim()) {
            (Ok(degrees), "s") if degrees.abs() <= 1e6 => Ok(Self::PerSecond(degrees)),
            (Ok(degrees), "frame") if degrees.abs() <= 1e6 => Ok(Self::PerFrame(degrees)),
            _ => Err(Error::invalid(
                "turntable",
                format!("\"{text}\": expected degrees per second (90, \"90/s\") or per frame (\"3/frame\")"),
            )),
        }
    }
}

/// How many samples a pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// So many.
    Number(u32),
    /// As many as the driver offers.
    Max,
}

impl Default for Text<Samples> {
    fn default() -> Self {
        Self(Samples::Number(1))
    }
}

impl FromStr for Samples {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match (text.trim(), text.trim().parse::<u32>()) {
            ("max", _) => Ok(Self::Max),
            (_, Ok(samples @ 1..=64)) => Ok(Self::Number(samples)),
            _ => Err(Error::invalid("samples", format!("\"{text}\": expected 1 to 64, or \"max\""))),
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(1) => f.write_str("one sample a pixel"),
            Self::Number(samples) => write!(f, "{samples} samples a pixel"),
            Self::Max => f.write_str("as many samples a pixel as the driver offers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turntables_and_samples() {
        assert_eq!("3/frame".parse::<Turntable>().unwrap().degrees(10, 1.0), 30.0);
        assert_eq!("90".parse::<Turntable>().unwrap().degrees(10, 0.5), 45.0);
        assert_eq!("-90/s".parse::<Turntable>().unwrap().degrees(10, 0.5), -45.0);
        for bad in ["90/minute", "x/s", "", "1e9", "nan"] {
            assert!(bad.parse::<Turntable>().is_err(), "{bad}");
        }
        assert_eq!(("4".parse().unwrap(), "max".parse().unwrap()), (Samples::Number(4), Samples::Max));
        for bad in ["0", "65", "-1", "all"] {
            assert!(bad.parse::<Samples>().is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_that_mean_nothing_are_said() {
        let wrong = |change: fn(&mut MeshKeys)| {
            let mut keys = MeshKeys::new("x.glb".into());
            change(&mut keys);
            keys.wrong().map(|(key, _)| key)
        };
        assert_eq!(wrong(|_| ()), None);
        assert_eq!(wrong(|keys| keys.fov = f64::NAN), Some("fov"));
        assert_eq!(wrong(|keys| keys.ambient = 1.5), Some("ambient"));
        assert_eq!(wrong(|keys| keys.axis = [0.0; 3]), Some("axis"));
        assert_eq!(wrong(|keys| keys.light = [f64::INFINITY, 0.0, 0.0]), Some("light"));
        assert_eq!(wrong(|keys| keys.elevation = 91.0), Some("elevation"));
        assert_eq!(wrong(|keys| keys.target = Some([0.0; 3])), Some("target"));
        assert_eq!(wrong(|keys| (keys.position, keys.camera) = (Some([1.0; 3]), Some("auto".into()))), Some("camera"));
    }
}
