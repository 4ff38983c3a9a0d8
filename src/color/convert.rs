//! From one transfer function and set of primaries to another, through linear light.
//!
//! In: R'G'B' in 0..1 and what they mean. Out: R'G'B' for another meaning. Not here: shader text (`gles::yuv`).
//!
//! Linear light is relative: 1 is the white of an ordinary picture. HDR has more than that and is made to fit:
//! - PQ (SMPTE ST 2084) is absolute; HLG is what a display of 1000 cd/m2 shows (BT.2100 OOTF, gamma 1.2);
//! - white is [`SDR_WHITE_NITS`] (BT.2408);
//! - the tone curve is the EETF of BT.2390-10 5.4.1, from a peak of 1000 cd/m2 to white, black level 0, applied to the
//!   largest of R, G, B; the others keep their ratio to it, so that hues stay.
//!
//! Primaries are converted in linear light behind the tone curve; what lies outside the new ones is clipped.

use super::{Primaries, Transfer};

/// Light of an ordinary picture's white, in cd/m2 (ITU-R BT.2408: 203).
pub const SDR_WHITE_NITS: f64 = 203.0;
/// Light of the brightest HDR pixel that is told from brighter ones: what most programmes are made for.
pub const HDR_PEAK_NITS: f64 = 1000.0;

/// SMPTE ST 2084, 5.2: m1, m2, c1, c2, c3.
pub const PQ: [f64; 5] = [0.159_301_757_812_5, 78.843_75, 0.835_937_5, 18.851_562_5, 18.6875];
/// ITU-R BT.2100 table 5: a, b, c of the HLG OETF.
pub const HLG: [f64; 3] = [0.178_832_77, 0.284_668_92, 0.559_910_73];
/// BT.2100 table 5: the OOTF's exponent for a display of 1000 cd/m2.
pub const HLG_GAMMA: f64 = 1.2;

/// What is done to R'G'B'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conversion {
    /// What the numbers are.
    pub from: (Transfer, Primaries),
    /// What they shall be; never an HDR transfer.
    pub to: (Transfer, Primaries),
}

impl Conversion {
    /// The conversion between two meanings; `None` where there is nothing to do.
    ///
    /// # Panics
    /// Where `to` has an HDR transfer: nothing here makes HDR.
    pub fn new(from: (Transfer, Primaries), to: (Transfer, Primaries)) -> Option<Self> {
        assert!(!to.0.is_hdr(), "nothing here makes HDR");
        (from != to).then_some(Self { from, to })
    }

    /// Converts one colour.
    pub fn apply(&self, rgb: [f64; 3]) -> [f64; 3] {
        let mut light = rgb.map(|value| self.from.0.to_light(value.clamp(0.0, 1.0)));
        if self.from.0 == Transfer::Hlg {
            // The OOTF: light of the scene to light of a display of 1000 cd/m2.
            let [r, g, b] = light;
            let y = 0.2627 * r + 0.6780 * g + 0.0593 * b;
            let gain = HDR_PEAK_NITS * y.powf(HLG_GAMMA - 1.0) / SDR_WHITE_NITS;
            light = light.map(|value| value * gain);
        }
        if self.from.0.is_hdr() {
            let brightest = light.into_iter().fold(0.0, f64::max);
            if brightest > 0.0 {
                let gain = tone(brightest) / brightest;
                light = light.map(|value| value * gain);
            }
        }
        if let Some(matrix) = self.primaries_matrix() {
            light = matrix.map(|row| row[0] * light[0] + row[1] * light[1] + row[2] * light[2]);
        }
        light.map(|value| self.to.0.of_light(value.clamp(0.0, 1.0)))
    }

    /// The EETF's numbers.
    pub fn tone_curve() -> ToneCurve {
        let peak = pq_of_nits(HDR_PEAK_NITS);
        let most = pq_of_nits(SDR_WHITE_NITS) / peak;
        ToneCurve { peak, most, knee: 1.5 * most - 0.5 }
    }

    /// Linear light of the old primaries to that of the new; `None` where they are the same.
    pub fn primaries_matrix(&self) -> Option<[[f64; 3]; 3]> {
        let (from, to) = (self.from.1, self.to.1);
        (from != to).then(|| multiply(invert(to.to_xyz()), from.to_xyz()))
    }
}

/// The tone curve's numbers: PQ signals of white and of the peak, and parts of the peak's.
#[derive(Clone, Copy, Debug)]
pub struct ToneCurve {
    /// PQ signal of the brightest light.
    pub peak: f64,
    /// White, as a part of `peak`: `maxLum` of BT.2390.
    pub most: f64,
    /// Where the curve leaves the straight line, as a part of `peak`: `KS`.
    pub knee: f64,
}

/// The EETF: light relative to white, above it to below it.
fn tone(light: f64) -> f64 {
    let ToneCurve { peak, most, knee } = Conversion::tone_curve();
    let e1 = (pq_of_nits(light * SDR_WHITE_NITS) / peak).min(1.0);
    let e2 = if e1 < knee {
        e1
    } else {
        let t = (e1 - knee) / (1.0 - knee);
        (2.0 * t.powi(3) - 3.0 * t.powi(2) + 1.0) * knee
            + (t.powi(3) - 2.0 * t.powi(2) + t) * (1.0 - knee)
            + (-2.0 * t.powi(3) + 3.0 * t.powi(2)) * most
    };
    nits_of_pq(e2 * peak) / SDR_WHITE_NITS
}

/// PQ's signal of absolute light.
fn pq_of_nits(nits: f64) -> f64 {
    let [m1, m2, c1, c2, c3] = PQ;
    let power = (nits / 10_000.0).powf(m1);
    ((c1 + c2 * power) / (1.0 + c3 * power)).powf(m2)
}

fn nits_of_pq(signal: f64) -> f64 {
    let [m1, m2, c1, c2, c3] = PQ;
    let power = signal.powf(1.0 / m2);
    10_000.0 * ((power - c1).max(0.0) / (c2 - c3 * power)).powf(1.0 / m1)
}

impl Transfer {
    /// Light of a signal in 0..1: relative to white, HLG relative to the scene's peak.
    fn to_light(self, signal: f64) -> f64 {
        match self {
            Self::Linear => signal,
            Self::Srgb if signal <= 0.040_45 => signal / 12.92,
            Self::Srgb => ((signal + 0.055) / 1.055).powf(2.4),
            Self::Bt709 if signal < 0.081 => signal / 4.5,
            Self::Bt709 => ((signal + 0.099) / 1.099).powf(1.0 / 0.45),
            Self::Pq => nits_of_pq(signal) / SDR_WHITE_NITS,
            Self::Hlg if signal <= 0.5 => signal * signal / 3.0,
            Self::Hlg => (((signal - HLG[2]) / HLG[0]).exp() + HLG[1]) / 12.0,
        }
    }

    /// Signal of light in 0..1; of HDR transfers none is made.
    fn of_light(self, light: f64) -> f64 {
        match self {
            Self::Srgb if light <= 0.003_130_8 => light * 12.92,
            Self::Srgb => 1.055 * light.powf(1.0 / 2.4) - 0.055,
            Self::Bt709 if light < 0.018 => light * 4.5,
            Self::Bt709 => 1.099 * light.powf(0.45) - 0.099,
            Self::Linear | Self::Pq | Self::Hlg => light,
        }
    }
}

impl Primaries {
    /// Every set.
    pub const ALL: [Self; 5] = [Self::Bt601Of525, Self::Bt601Of625, Self::Bt709, Self::Bt2020, Self::DisplayP3];

    /// CIE x, y of red, green and blue.
    ///
    /// # References
    /// ITU-T H.273 table 2: values 6, 5, 1, 9, 12.
    pub const fn chromaticities(self) -> [[f64; 2]; 3] {
        match self {
            Self::Bt601Of525 => [[0.630, 0.340], [0.310, 0.595], [0.155, 0.070]],
            Self::Bt601Of625 => [[0.640, 0.330], [0.290, 0.600], [0.150, 0.060]],
            Self::Bt709 => [[0.640, 0.330], [0.300, 0.600], [0.150, 0.060]],
            Self::Bt2020 => [[0.708, 0.292], [0.170, 0.797], [0.131, 0.046]],
            Self::DisplayP3 => [[0.680, 0.320], [0.265, 0.690], [0.150, 0.060]],
        }
    }

    /// Linear R, G, B to CIE XYZ with white's Y at 1.
    ///
    /// # References
    /// SMPTE RP 177.
    fn to_xyz(self) -> [[f64; 3]; 3] {
        const WHITE: [f64; 2] = [0.3127, 0.3290];
        let xyz = |[x, y]: [f64; 2]| [x / y, 1.0, (1.0 - x - y) / y];
        let [r, g, b] = self.chromaticities().map(xyz);
        let columns = [[r[0], g[0], b[0]], [r[1], g[1], b[1]], [r[2], g[2], b[2]]];
        let white = xyz(WHITE);
        let amounts = invert(columns).map(|row| row[0] * white[0] + row[1] * white[1] + row[2] * white[2]);
        columns.map(|row| [row[0] * amounts[0], row[1] * amounts[1], row[2] * amounts[2]])
    }
}

fn multiply(a: [[f64; 3]; 3], b: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    a.map(|row| [0, 1, 2].map(|column| row[0] * b[0][column] + row[1] * b[1][column] + row[2] * b[2][column]))
}

fn invert(m: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    [0, 1, 2].map(|r| [0, 1, 2].map(|c| minor(c, r) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: [f64; 3], wanted: [f64; 3], within: f64) {
        for (got, wanted) in got.into_iter().zip(wanted) {
            assert!((got - wanted).abs() <= within, "{got} for {wanted}");
        }
    }

    /// BT.2087-0 2.2: linear R, G, B of BT.709 to BT.2020, printed to four digits.
    #[test]
    fn bt2020_to_bt709_is_that_of_bt2087() {
        let printed = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]];
        let linear = |primaries| (Transfer::Linear, primaries);
        let conversion = Conversion::new(linear(Primaries::Bt709), linear(Primaries::Bt2020)).unwrap();
        for (row, wanted) in conversion.primaries_matrix().unwrap().into_iter().zip(printed) {
            near(row, wanted, 5e-5);
        }
        for primaries in Primaries::ALL {
            // White stays white, and there and back again changes nothing.
            let Some(there) = Conversion::new(linear(primaries), linear(Primaries::Bt709)) else { continue };
            near(there.apply([1.0; 3]), [1.0; 3], 1e-9);
            let back = Conversion { from: there.to, to: there.from };
            let gray_green = [0.4, 0.5, 0.42];
            near(back.apply(there.apply(gray_green)), gray_green, 1e-9);
        }
    }

    /// Printed values: IEC 61966-2-1 (0.5 is 0.2140 of light), ST 2084 (0.5081 is 100, 0.7518 is 1000 cd/m2), BT.2100
    /// (HLG 0.5 is 1/12), BT.2408 table 1 (203 cd/m2 is PQ 0.58, and HLG 0.75).
    #[test]
    fn transfers_have_the_printed_values() {
        assert!((Transfer::Srgb.to_light(0.5) - 0.2140).abs() < 1e-4);
        assert!((nits_of_pq(0.508_1) - 100.0).abs() < 0.1 && (nits_of_pq(0.751_8) - 1000.0).abs() < 0.5);
        assert!((Transfer::Hlg.to_light(0.5) - 1.0 / 12.0).abs() < 1e-9);
        assert!((Transfer::Hlg.to_light(1.0) - 1.0).abs() < 1e-6);
        assert!((pq_of_nits(203.0) - 0.58).abs() < 0.005);
        let hlg = HDR_PEAK_NITS * Transfer::Hlg.to_light(0.75).powf(HLG_GAMMA);
        assert!((hlg - 203.0).abs() < 1.0, "{hlg}");
        for transfer in [Transfer::Srgb, Transfer::Bt709, Transfer::Linear] {
            for step in 0..=20 {
                let signal = f64::from(step) / 20.0;
                assert!((transfer.of_light(transfer.to_light(signal)) - signal).abs() < 1e-3, "{transfer:?} {signal}");
            }
        }
    }

    #[test]
    fn the_tone_curve_keeps_the_dark_and_ends_at_white() {
        assert!((tone(0.05) - 0.05).abs() < 1e-9);
        assert!((tone(HDR_PEAK_NITS / SDR_WHITE_NITS) - 1.0).abs() < 1e-9);
        let mut last = 0.0;
        for step in 1..=600 {
            let now = tone(f64::from(step) / 100.0);
            assert!(now >= last && now <= 1.0 + 1e-9, "at {step}");
            last = now;
        }
        let to = (Transfer::Srgb, Primaries::Bt709);
        for from in [(Transfer::Pq, Primaries::Bt2020), (Transfer::Hlg, Primaries::Bt2020)] {
            let conversion = Conversion::new(from, to).unwrap();
            near(conversion.apply([0.0; 3]), [0.0; 3], 1e-6);
            near(conversion.apply([1.0; 3]), [1.0; 3], 1e-6);
        }
    }
}
