//! One colour that tells apart which matrix and range somebody converts with.
//!
//! In: the pixels that a driver made of [`PROBE`]. Out: what it took the numbers for.
//! Not here: drawing it.

use super::{Color, Matrix, Range};

/// Y, Cb, Cr as codes of 8 bits. No component of any of the six results is clipped, and any two of the results are at
/// least 9 codes apart in some component.
pub const PROBE: [u8; 3] = [165, 145, 40];

/// A driver's result may be this many codes off: two results are further apart than twice as much.
pub const TOLERANCE: u8 = 3;

/// The conversions that drivers know: those that EGL has hints for.
pub const CONVERSIONS: [(Matrix, Range); 6] = [
    (Matrix::Bt601, Range::Limited),
    (Matrix::Bt601, Range::Full),
    (Matrix::Bt709, Range::Limited),
    (Matrix::Bt709, Range::Full),
    (Matrix::Bt2020, Range::Limited),
    (Matrix::Bt2020, Range::Full),
];

/// R, G, B of the probe, in codes of 8 bits, not rounded.
pub fn expected(matrix: Matrix, range: Range) -> [f64; 3] {
    let color = Color { matrix, range, ..Color::HD };
    let [y, cb, cr] = PROBE.map(|code| f64::from(code) / 255.0);
    color.yuv_to_rgb(8).map(|row| (row[0] * y + row[1] * cb + row[2] * cr + row[3]) * 255.0)
}

/// Which of [`CONVERSIONS`] makes these R, G, B of the probe; `None` where none is within [`TOLERANCE`].
pub fn identify(rgb: [u8; 3]) -> Option<(Matrix, Range)> {
    CONVERSIONS.into_iter().find(|(matrix, range)| is_close(rgb, *matrix, *range))
}

/// Whether these R, G, B of the probe are within [`TOLERANCE`] of a conversion's.
pub fn is_close(rgb: [u8; 3], matrix: Matrix, range: Range) -> bool {
    let wanted = expected(matrix, range).map(|value| value.clamp(0.0, 255.0));
    wanted.into_iter().zip(rgb).all(|(wanted, got)| (wanted - f64::from(got)).abs() <= f64::from(TOLERANCE) + 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The equations of the recommendations, written out: BT.601-7 2.5, BT.709-6 3 and 4, BT.2020-2 tables 4 and 5, with
    /// the quantisation inverted. Not the code above.
    fn by_the_standard(kr: f64, kb: f64, full: bool) -> [f64; 3] {
        let [y, cb, cr] = PROBE.map(f64::from);
        let (luma, cb, cr) = match full {
            true => (y / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0),
            false => ((y - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0),
        };
        // E'CR = (E'R - E'Y) / (2 (1 - Kr)); E'CB likewise; E'Y = Kr E'R + Kg E'G + Kb E'B.
        let red = luma + 2.0 * (1.0 - kr) * cr;
        let blue = luma + 2.0 * (1.0 - kb) * cb;
        let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
        [red, green, blue].map(|value| value * 255.0)
    }

    const WEIGHTS: [(f64, f64); 3] = [(0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)];

    #[test]
    fn the_probe_tells_the_six_conversions_apart() {
        let mut all = Vec::new();
        for (index, (matrix, range)) in CONVERSIONS.into_iter().enumerate() {
            let (kr, kb) = WEIGHTS[index / 2];
            let wanted = by_the_standard(kr, kb, range == Range::Full);
            for (got, wanted) in expected(matrix, range).into_iter().zip(wanted) {
                assert!((got - wanted).abs() < 1e-9, "{matrix:?} {range:?}: {got} for {wanted}");
                assert!((3.0..252.0).contains(&wanted), "{matrix:?} {range:?}: {wanted} is clipped or nearly so");
            }
            all.push((matrix, range, wanted));
        }
        for (index, (matrix, range, rgb)) in all.iter().enumerate() {
            // Within three codes of the right one, whatever the errors' signs, it is found.
            for errors in [[0, 0, 0], [3, 3, 3], [-3, -3, -3], [3, -3, 3], [-3, 3, -3]] {
                let noisy = [0, 1, 2].map(|c| (rgb[c].round() as i32 + errors[c]) as u8);
                assert_eq!(identify(noisy), Some((*matrix, *range)), "{noisy:?}");
            }
            for (other, _, apart) in &all[index + 1..] {
                let furthest = (0..3).map(|c| (rgb[c] - apart[c]).abs()).fold(0.0, f64::max);
                assert!(furthest > 2.0 * f64::from(TOLERANCE) + 1.0, "{matrix:?} and {other:?}: {furthest}");
            }
        }
        assert_eq!(identify([0, 0, 0]), None);
    }
}
