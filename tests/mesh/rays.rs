//! A picture of triangles by rays, in double precision: no matrix to clip space, no rasteriser, no depth buffer.

pub type V = [f64; 3];

pub fn add(a: V, b: V) -> V {
    [0, 1, 2].map(|i| a[i] + b[i])
}

pub fn sub(a: V, b: V) -> V {
    [0, 1, 2].map(|i| a[i] - b[i])
}

pub fn times(a: V, k: f64) -> V {
    a.map(|x| x * k)
}

pub fn dot(a: V, b: V) -> f64 {
    (0..3).map(|i| a[i] * b[i]).sum()
}

pub fn cross(a: V, b: V) -> V {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub fn unit(a: V) -> V {
    times(a, 1.0 / dot(a, a).sqrt())
}

/// Turns about an axis, counter-clockwise seen from its tip (Rodrigues).
pub fn turned(v: V, axis: V, degrees: f64) -> V {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let axis = unit(axis);
    add(add(times(v, cos), times(cross(axis, v), sin)), times(axis, dot(axis, v) * (1.0 - cos)))
}

/// A triangle in the world, with a normal at each corner and a colour (linear).
#[derive(Clone, Copy, Debug)]
pub struct Triangle {
    pub corners: [V; 3],
    pub normals: [V; 3],
    pub color: V,
}

/// A camera: where it stands, its axes in the world, and half the height of what it sees one unit away.
#[derive(Clone, Copy, Debug)]
pub struct Eye {
    pub place: V,
    pub right: V,
    pub up: V,
    pub towards: V,
    pub half_height: f64,
}

/// Which triangle a ray meets first, and the weights of its corners there. Backs are not seen.
pub fn first(triangles: &[Triangle], from: V, along: V) -> Option<(usize, V)> {
    let mut nearest: Option<(f64, usize, V)> = None;
    for (index, triangle) in triangles.iter().enumerate() {
        let [a, b, c] = triangle.corners;
        let (ab, ac) = (sub(b, a), sub(c, a));
        // Möller and Trumbore, 1997.
        let p = cross(along, ac);
        let determinant = dot(ab, p);
        if determinant < 1e-12 {
            continue;
        }
        let to = sub(from, a);
        let q = cross(to, ab);
        let (u, v, t) = (dot(to, p) / determinant, dot(along, q) / determinant, dot(ac, q) / determinant);
        if u >= 0.0 && v >= 0.0 && u + v <= 1.0 && t > 0.0 && nearest.is_none_or(|(known, ..)| t < known) {
            nearest = Some((t, index, [1.0 - u - v, u, v]));
        }
    }
    nearest.map(|(_, index, weights)| (index, weights))
}

impl Eye {
    /// The ray through a place of the picture, in pixels from its top left corner.
    pub fn ray(&self, (x, y): (f64, f64), (width, height): (usize, usize)) -> V {
        let (width, height) = (width as f64, height as f64);
        let across = (2.0 * x / width - 1.0) * self.half_height * width / height;
        let up = (1.0 - 2.0 * y / height) * self.half_height;
        add(add(times(self.right, across), times(self.up, up)), times(self.towards, -1.0))
    }

    /// What a pixel shows: the triangle and the weights of its corners, where the whole pixel shows one triangle.
    pub fn pixel(
        &self,
        triangles: &[Triangle],
        (x, y): (usize, usize),
        size: (usize, usize),
    ) -> Result<Option<(usize, V)>, ()> {
        let at = |dx: f64, dy: f64| first(triangles, self.place, self.ray((x as f64 + dx, y as f64 + dy), size));
        let middle = at(0.5, 0.5);
        let around =
            [(-0.1, -0.1), (1.1, -0.1), (-0.1, 1.1), (1.1, 1.1), (0.5, -0.2), (0.5, 1.2), (-0.2, 0.5), (1.2, 0.5)];
        let same = around.iter().all(|(dx, dy)| at(*dx, *dy).map(|(index, _)| index) == middle.map(|(index, _)| index));
        if same { Ok(middle) } else { Err(()) }
    }

    /// The code of each component under the light (right, up, towards, as the camera sees it).
    pub fn shade(&self, triangle: &Triangle, weights: V, light: V, ambient: f64) -> [f64; 3] {
        let normal = (0..3).fold([0.0; 3], |sum, i| add(sum, times(triangle.normals[i], weights[i])));
        let seen = unit([dot(normal, self.right), dot(normal, self.up), dot(normal, self.towards)]);
        let lambert = ambient + (1.0 - ambient) * dot(seen, unit(light)).max(0.0);
        triangle.color.map(|color| 255.0 * encoded(color * lambert))
    }
}

/// sRGB of linear light (IEC 61966-2-1).
pub fn encoded(x: f64) -> f64 {
    if x <= 0.0031308 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 }
}
