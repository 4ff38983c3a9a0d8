//! Who looks at a model, from where, and how far it has turned.
//!
//! In: a model, the keys of a pass, the size of its target. Out: matrices. Not here: GL.
//!
//! GL's y points up in its window, and row 0 of a target is at its bottom: the projection turns y round, so that the top
//! of the picture is in row 0. Triangles thereby go round the other way in GL's window than in the model.

use glam::{DMat3, DMat4, DVec3};

use crate::error::{Error, Result};
use crate::layout::Size;
use crate::pipeline::description::{MeshKeys, Turntable, did_you_mean};

use super::{Lens, Model};

/// From the world to the picture.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// From the world's coordinates to the camera's: right, up, towards the viewer.
    pub camera: DMat4,
    /// From the camera's coordinates to GL's clip space, row 0 at the top.
    pub projection: DMat4,
}

/// The name of the camera that frames the whole model.
pub const AUTO: &str = "auto";

impl View {
    /// Who looks at `model`, as the keys say.
    ///
    /// # Errors
    /// `InvalidInput`, in the words of the keys: no such camera, a camera in the place that it looks at.
    pub fn new(model: &Model, keys: &MeshKeys, size: Size) -> Result<Self> {
        let aspect = f64::from(size.width) / f64::from(size.height);
        let radius = model.radius.max(1e-9);
        let height_radians = keys.fov.to_radians();
        if let Some(position) = keys.position {
            let (eye, target) = (DVec3::from(position), keys.target.map_or(model.center, DVec3::from));
            return Self::looking(eye, target, Lens::perspective(model, eye, height_radians), aspect);
        }
        let wanted = keys.camera.as_deref();
        let camera = match wanted {
            Some(AUTO) => None,
            Some(name) => match model.cameras.iter().find(|camera| camera.name == name) {
                Some(camera) => Some(camera),
                None => {
                    let names = model.cameras.iter().map(|camera| camera.name.as_str()).chain([AUTO]);
                    let hint = did_you_mean(name, names);
                    return Err(Error::invalid("camera", format!("the file has no camera \"{name}\"")).with_hint(hint));
                }
            },
            None => model.cameras.first(),
        };
        let Some(camera) = camera else {
            // The whole sphere around the model is seen, however it turns.
            let half = (height_radians / 2.0).min(((height_radians / 2.0).tan() * aspect).atan());
            let distance = 1.05 * radius / half.sin();
            let (azimuth, elevation) = (keys.azimuth.to_radians(), keys.elevation.to_radians());
            let from = DVec3::new(azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos());
            let lens = Lens::Perspective {
                height_radians,
                near: distance - 1.02 * radius,
                far: Some(distance + 1.02 * radius),
            };
            return Self::looking(model.center + from * distance, model.center, lens, aspect);
        };
        // A camera's scale means nothing.
        let axes = DMat3::from_mat4(camera.place);
        let axes = [axes.x_axis, axes.y_axis, axes.z_axis].map(DVec3::normalize_or_zero);
        let axes = DMat3::from_cols(axes[0], axes[1], axes[2]);
        if axes.determinant().abs() < 1e-6 {
            let detail = format!("camera \"{}\": its node squeezes space flat", camera.name);
            return Err(Error::invalid("camera", detail));
        }
        let eye = camera.place.w_axis.truncate();
        let place = DMat4::from_mat3(axes) * DMat4::IDENTITY;
        let camera_from_world = (DMat4::from_translation(eye) * place).inverse();
        let lens = match camera.lens {
            Lens::Perspective { height_radians, near, far: None } => {
                let far = (eye.distance(model.center) + 1.02 * radius).max(2.0 * near);
                Lens::Perspective { height_radians, near, far: Some(far) }
            }
            lens => lens,
        };
        Ok(Self { camera: camera_from_world, projection: projection(lens, aspect) })
    }

    fn looking(eye: DVec3, target: DVec3, lens: Lens, aspect: f64) -> Result<Self> {
        let towards = (eye - target).normalize_or_zero();
        if !eye.is_finite() || !target.is_finite() || towards == DVec3::ZERO {
            return Err(Error::invalid("position", "the camera is in the place that it looks at"));
        }
        // Straight from above, up is away from the front.
        let up = if towards.y.abs() > 0.999_999 { -DVec3::Z * towards.y.signum() } else { DVec3::Y };
        let right = up.cross(towards).normalize();
        let place =
            DMat4::from_cols(right.extend(0.0), towards.cross(right).extend(0.0), towards.extend(0.0), eye.extend(1.0));
        Ok(Self { camera: place.inverse(), projection: projection(lens, aspect) })
    }
}

impl Lens {
    /// A lens for a camera at `eye` that sees the model, from the nearest of it to the farthest.
    fn perspective(model: &Model, eye: DVec3, height_radians: f64) -> Self {
        let (distance, radius) = (eye.distance(model.center), 1.02 * model.radius.max(1e-9));
        let near = (distance - radius).max(1e-3 * (distance + radius));
        Self::Perspective { height_radians, near, far: Some(distance + radius) }
    }
}

/// To clip space with row 0 at the top; depth from -1 to 1.
fn projection(lens: Lens, aspect: f64) -> DMat4 {
    let (scale, near, far, perspective) = match lens {
        Lens::Perspective { height_radians, near, far } => {
            let scale = 1.0 / (height_radians / 2.0).tan();
            ([scale / aspect, scale], near, far.unwrap_or(1e6 * near), true)
        }
        Lens::Orthographic { half, near, far } => ([1.0 / half[0], 1.0 / half[1]], near, far, false),
    };
    let depth = far - near;
    let [x, y] = scale;
    // Depth, and the number that everything is divided by: from the last two coordinates.
    let (z, w) = match perspective {
        true => ([-(far + near) / depth, -2.0 * far * near / depth], [-1.0, 0.0]),
        false => ([-2.0 / depth, -(far + near) / depth], [0.0, 1.0]),
    };
    DMat4::from_cols_array_2d(&[
        [x, 0.0, 0.0, 0.0],
        [0.0, -y, 0.0, 0.0],
        [0.0, 0.0, z[0], w[0]],
        [0.0, 0.0, z[1], w[1]],
    ])
}

/// How far the model has turned, about its middle.
pub fn turn(model: &Model, turntable: Option<Turntable>, axis: [f64; 3], frame: u64, seconds: f64) -> DMat4 {
    let Some(turntable) = turntable else { return DMat4::IDENTITY };
    let degrees = turntable.degrees(frame, seconds) % 360.0;
    let axis = DVec3::from(axis).normalize_or_zero();
    if axis == DVec3::ZERO {
        return DMat4::IDENTITY;
    }
    let middle = DMat4::from_translation(model.center);
    middle * DMat4::from_axis_angle(axis, degrees.to_radians()) * DMat4::from_translation(-model.center)
}
