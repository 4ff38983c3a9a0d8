//! GLSL of a colour conversion: the arithmetic of [`Conversion::apply`].
//!
//! In: a [`Conversion`]. Out: a function of R'G'B'. Not here: what the steps are and where they come from (`color`).
//! 24-bit floats are enough; 16-bit ones are not for PQ.

use std::fmt::Write as _;

use super::number;
use crate::color::{Conversion, HDR_PEAK_NITS, HLG, HLG_GAMMA, PQ, SDR_WHITE_NITS, Transfer};

/// The name of the function for input `name`.
pub(super) fn function(name: &str) -> String {
    format!("df_convert_{name}")
}

/// `vec3 df_convert_NAME(vec3)`.
pub(super) fn glsl(name: &str, conversion: &Conversion) -> String {
    let mut text = format!("vec3 {}(vec3 c) {{\n    c = clamp(c, 0.0, 1.0);\n", function(name));
    // Powers of 0 are left out of by the clamps: some drivers make them of logarithms.
    let to_light = match conversion.from.0 {
        Transfer::Linear => "c".to_owned(),
        Transfer::Srgb => "mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(vec3(0.04045), c))".to_owned(),
        Transfer::Bt709 => "mix(c / 4.5, pow((c + 0.099) / 1.099, vec3(1.0 / 0.45)), step(vec3(0.081), c))".to_owned(),
        Transfer::Pq => {
            let [m1, m2, c1, c2, c3] = PQ.map(number);
            let _ = writeln!(text, "    vec3 p = pow(max(c, 1e-6), vec3(1.0 / {m2}));");
            let scale = number(10_000.0 / SDR_WHITE_NITS);
            format!("pow(max(p - {c1}, 0.0) / ({c2} - {c3} * p) + 1e-12, vec3(1.0 / {m1})) * {scale}")
        }
        Transfer::Hlg => {
            let [a, b, constant] = HLG.map(number);
            format!("mix(c * c / 3.0, (exp((c - {constant}) / {a}) + {b}) / 12.0, step(vec3(0.5), c))")
        }
    };
    let _ = writeln!(text, "    vec3 l = {to_light};");
    if conversion.from.0 == Transfer::Hlg {
        let (gamma, scale) = (number(HLG_GAMMA - 1.0), number(HDR_PEAK_NITS / SDR_WHITE_NITS));
        let _ = writeln!(text, "    l *= {scale} * pow(max(dot(l, vec3(0.2627, 0.6780, 0.0593)), 1e-9), {gamma});");
    }
    if conversion.from.0.is_hdr() {
        let [m1, m2, c1, c2, c3] = PQ.map(number);
        let tone = Conversion::tone_curve();
        let (peak, knee, most) = (number(tone.peak), number(tone.knee), number(tone.most));
        let white = number(SDR_WHITE_NITS / 10_000.0);
        let _ = writeln!(text, "    float top = max(max(l.r, max(l.g, l.b)), 1e-6);");
        let _ = writeln!(text, "    float y = pow(top * {white}, {m1});");
        let _ = writeln!(text, "    float e = min(pow(({c1} + {c2} * y) / (1.0 + {c3} * y), {m2}) / {peak}, 1.0);");
        let _ = writeln!(text, "    if (e > {knee}) {{");
        let _ = writeln!(text, "        float t = (e - {knee}) / (1.0 - {knee}), t2 = t * t, t3 = t2 * t;");
        let _ =
            writeln!(text, "        e = (2.0 * t3 - 3.0 * t2 + 1.0) * {knee} + (t3 - 2.0 * t2 + t) * (1.0 - {knee})");
        let _ = writeln!(text, "            + (3.0 * t2 - 2.0 * t3) * {most};");
        let _ = writeln!(text, "        float s = pow(e * {peak}, 1.0 / {m2});");
        let _ = writeln!(text, "        l *= pow((s - {c1}) / ({c2} - {c3} * s), 1.0 / {m1}) / {white} / top;");
        let _ = writeln!(text, "    }}");
    }
    if let Some(matrix) = conversion.primaries_matrix() {
        let rows = matrix.map(|row| format!("dot(l, vec3({}))", row.map(number).join(", ")));
        let _ = writeln!(text, "    l = vec3({});", rows.join(", "));
    }
    let _ = writeln!(text, "    l = clamp(l, 0.0, 1.0);");
    let result = match conversion.to.0 {
        Transfer::Srgb => {
            "mix(l * 12.92, 1.055 * pow(max(l, 0.003), vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), l))"
        }
        Transfer::Bt709 => "mix(l * 4.5, 1.099 * pow(max(l, 0.01), vec3(0.45)) - 0.099, step(vec3(0.018), l))",
        Transfer::Linear | Transfer::Pq | Transfer::Hlg => "l",
    };
    let _ = writeln!(text, "    return {result};\n}}");
    text
}
