//! R'G'B' and Y'CbCr in double precision, written from the recommendations (BT.601-7, BT.709-6, BT.2020-2, H.273), not
//! from the library: what tests compare with.

use darkframe::color::{Color, Matrix, Range, Siting};

/// Kr and Kb of H.273 table 4.
fn weights(matrix: Matrix) -> Option<(f64, f64)> {
    match matrix {
        Matrix::Bt709 => Some((0.2126, 0.0722)),
        Matrix::Bt601 => Some((0.299, 0.114)),
        Matrix::Smpte240m => Some((0.212, 0.087)),
        Matrix::Bt2020 => Some((0.2627, 0.0593)),
        Matrix::Identity => None,
    }
}

/// R'G'B' in 0..1 to codes, not rounded: H.273 8.3, equations for `MatrixCoefficients` and `VideoFullRangeFlag`.
pub fn codes(color: Color, bits: u32, [r, g, b]: [f64; 3]) -> [f64; 3] {
    let unit = f64::from(1u32 << (bits - 8));
    let max = f64::from((1u32 << bits) - 1);
    let half = f64::from(1u32 << (bits - 1));
    let luma = |value: f64| match color.range {
        Range::Limited => unit * (219.0 * value + 16.0),
        Range::Full => max * value,
    };
    let chroma = |value: f64| match color.range {
        Range::Limited => unit * 224.0 * value + half,
        Range::Full => max * value + half,
    };
    let Some((kr, kb)) = weights(color.matrix) else { return [luma(g), luma(b), luma(r)] };
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    [luma(y), chroma(0.5 * (b - y) / (1.0 - kb)), chroma(0.5 * (r - y) / (1.0 - kr))]
}

/// Codes to R'G'B' in 0..1, clipped: the same equations solved.
pub fn rgb(color: Color, bits: u32, [y, cb, cr]: [f64; 3]) -> [f64; 3] {
    let unit = f64::from(1u32 << (bits - 8));
    let max = f64::from((1u32 << bits) - 1);
    let half = f64::from(1u32 << (bits - 1));
    let luma = |code: f64| match color.range {
        Range::Limited => (code / unit - 16.0) / 219.0,
        Range::Full => code / max,
    };
    let chroma = |code: f64| match color.range {
        Range::Limited => (code - half) / (unit * 224.0),
        Range::Full => (code - half) / max,
    };
    let result = match weights(color.matrix) {
        None => [luma(cr), luma(y), luma(cb)],
        Some((kr, kb)) => {
            let y = luma(y);
            let b = y + 2.0 * (1.0 - kb) * chroma(cb);
            let r = y + 2.0 * (1.0 - kr) * chroma(cr);
            [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
        }
    };
    result.map(|value| value.clamp(0.0, 1.0))
}

/// Three planes of codes, not rounded.
pub struct Planes {
    pub y: Vec<f64>,
    pub cb: Vec<f64>,
    pub cr: Vec<f64>,
    /// Columns and rows of chroma.
    pub chroma: (usize, usize),
}

/// An R'G'B' picture as planes; chroma filtered as documented: means for centre, [1 2 1] / 4 for co-sited.
pub fn planes(
    color: Color,
    bits: u32,
    (width, height): (usize, usize),
    (hs, vs): (usize, usize),
    pixel: impl Fn(usize, usize) -> [f64; 3],
) -> Planes {
    let chroma = (width.div_ceil(hs), height.div_ceil(vs));
    let all = |x: i64, y: i64| {
        let (x, y) = (x.clamp(0, width as i64 - 1) as usize, y.clamp(0, height as i64 - 1) as usize);
        codes(color, bits, pixel(x, y))
    };
    let weights = |subsampling: usize, cosited: bool| -> Vec<(i64, f64)> {
        match (subsampling, cosited) {
            (1, _) => vec![(0, 1.0)],
            (_, false) => vec![(0, 0.5), (1, 0.5)],
            (_, true) => vec![(-1, 0.25), (0, 0.5), (1, 0.25)],
        }
    };
    let across = weights(hs, color.siting != Siting::Center);
    let down = weights(vs, color.siting == Siting::TopLeft);
    let mut planes = Planes { y: Vec::new(), cb: Vec::new(), cr: Vec::new(), chroma };
    for y in 0..height as i64 {
        planes.y.extend((0..width as i64).map(|x| all(x, y)[0]));
    }
    for row in 0..chroma.1 as i64 {
        for column in 0..chroma.0 as i64 {
            let (mut cb, mut cr) = (0.0, 0.0);
            for (dx, wx) in &across {
                for (dy, wy) in &down {
                    let codes = all(column * hs as i64 + dx, row * vs as i64 + dy);
                    cb += wx * wy * codes[1];
                    cr += wx * wy * codes[2];
                }
            }
            planes.cb.push(cb);
            planes.cr.push(cr);
        }
    }
    planes
}

/// The value of a plane at luma pixel (x, y), between samples where `mixed`, clamped at the edges.
pub fn chroma_at(
    plane: &[f64],
    (columns, rows): (usize, usize),
    (hs, vs): (usize, usize),
    siting: Siting,
    (x, y): (usize, usize),
) -> f64 {
    // Sample k sits at luma position s * k + o.
    let (ox, oy) = match siting {
        Siting::Left => (0.0, 0.5),
        Siting::Center => (0.5, 0.5),
        Siting::TopLeft => (0.0, 0.0),
    };
    let place =
        |at: usize, s: usize, o: f64| if s == 1 { at as f64 } else { (at as f64 - o * (s as f64 - 1.0)) / s as f64 };
    let (px, py) = (place(x, hs, ox), place(y, vs, oy));
    let at = |x: f64, y: f64| {
        let x = x.clamp(0.0, columns as f64 - 1.0) as usize;
        let y = y.clamp(0.0, rows as f64 - 1.0) as usize;
        plane[y * columns + x]
    };
    let (fx, fy) = (px - px.floor(), py - py.floor());
    let row = |y: f64| at(px.floor(), y) * (1.0 - fx) + at(px.floor() + 1.0, y) * fx;
    row(py.floor()) * (1.0 - fy) + row(py.floor() + 1.0) * fy
}
