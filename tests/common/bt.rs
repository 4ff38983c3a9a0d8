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

/// Signal to linear light and back, tone curve and primaries, from the texts: SMPTE ST 2084 5.2 and 5.3, BT.2100-2 table 5,
/// BT.2390-10 5.4.1, IEC 61966-2-1, BT.709-6 1.2; matrices of BT.2087-0 (709 to 2020, inverted) and of the chromaticities
/// of SMPTE EG 432-1 and BT.601-7, worked out beside the code with numpy.
pub mod light {
    fn pq_eotf(signal: f64) -> f64 {
        let (m1, m2) = (2610.0 / 16384.0, 2523.0 / 4096.0 * 128.0);
        let (c1, c2, c3) = (3424.0 / 4096.0, 2413.0 / 4096.0 * 32.0, 2392.0 / 4096.0 * 32.0);
        let n = f64::powf(signal, 1.0 / m2);
        10_000.0 * f64::powf(f64::max(n - c1, 0.0) / (c2 - c3 * n), 1.0 / m1)
    }

    fn pq_inverse(nits: f64) -> f64 {
        let (m1, m2) = (2610.0 / 16384.0, 2523.0 / 4096.0 * 128.0);
        let (c1, c2, c3) = (3424.0 / 4096.0, 2413.0 / 4096.0 * 32.0, 2392.0 / 4096.0 * 32.0);
        let y = f64::powf(nits / 10_000.0, m1);
        f64::powf((c1 + c2 * y) / (1.0 + c3 * y), m2)
    }

    /// Light of a display of 1000 cd/m2.
    fn hlg(rgb: [f64; 3]) -> [f64; 3] {
        let (a, b, c) = (0.17883277, 0.28466892, 0.55991073);
        let scene = rgb.map(|v| if v <= 0.5 { v * v / 3.0 } else { (f64::exp((v - c) / a) + b) / 12.0 });
        let y = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
        scene.map(|v| if y > 0.0 { 1000.0 * y.powf(0.2) * v } else { 0.0 })
    }

    /// 1000 cd/m2 to 203, black at 0.
    fn eetf(nits: f64) -> f64 {
        let (source, target) = (pq_inverse(1000.0), pq_inverse(203.0));
        let max_lum = target / source;
        let ks = 1.5 * max_lum - 0.5;
        let e1 = (pq_inverse(nits) / source).min(1.0);
        let e2 = if e1 < ks {
            e1
        } else {
            let t = (e1 - ks) / (1.0 - ks);
            let (t2, t3) = (t * t, t * t * t);
            (2.0 * t3 - 3.0 * t2 + 1.0) * ks + (t3 - 2.0 * t2 + t) * (1.0 - ks) + (-2.0 * t3 + 3.0 * t2) * max_lum
        };
        pq_eotf(e2 * source)
    }

    fn srgb_encode(light: f64) -> f64 {
        if light <= 0.0031308 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
    }

    fn srgb_decode(signal: f64) -> f64 {
        if signal <= 0.04045 { signal / 12.92 } else { ((signal + 0.055) / 1.055).powf(2.4) }
    }

    fn bt709_decode(signal: f64) -> f64 {
        if signal < 0.081 { signal / 4.5 } else { ((signal + 0.099) / 1.099).powf(1.0 / 0.45) }
    }

    const FROM_2020: [[f64; 3]; 3] = [
        [1.660_491_0, -0.587_641_1, -0.072_849_9],
        [-0.124_550_5, 1.132_899_9, -0.008_349_4],
        [-0.018_150_8, -0.100_578_9, 1.118_729_7],
    ];
    const FROM_P3: [[f64; 3]; 3] =
        [[1.224_940_2, -0.224_940_2, 0.0], [-0.042_057_0, 1.042_057_0, 0.0], [-0.019_637_6, -0.078_636_0, 1.098_273_6]];
    const FROM_525: [[f64; 3]; 3] = [
        [0.939_542_1, 0.050_181_4, 0.010_276_6],
        [0.017_772_2, 0.965_792_9, 0.016_434_9],
        [-0.001_621_6, -0.004_369_7, 1.005_991_3],
    ];

    fn apply(matrix: [[f64; 3]; 3], rgb: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2])
    }

    /// `what` to sRGB: "pq" and "hlg" of BT.2020, "p3" (sRGB curve), "2020" and "525" (BT.709 curve).
    pub fn to_srgb(what: &str, rgb: [f64; 3]) -> [f64; 3] {
        let hdr = |nits: [f64; 3]| {
            let top = nits.into_iter().fold(0.0, f64::max);
            let gain = if top > 0.0 { eetf(top) / top } else { 0.0 };
            apply(FROM_2020, nits.map(|v| v * gain / 203.0))
        };
        let light = match what {
            "pq" => hdr(rgb.map(pq_eotf)),
            "hlg" => hdr(hlg(rgb)),
            "p3" => apply(FROM_P3, rgb.map(srgb_decode)),
            "2020" => apply(FROM_2020, rgb.map(bt709_decode)),
            "525" => apply(FROM_525, rgb.map(bt709_decode)),
            other => panic!("{other}"),
        };
        light.map(|v| srgb_encode(v.clamp(0.0, 1.0)))
    }
}
