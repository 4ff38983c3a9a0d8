//! Two pictures into one: the shaders of `overlay` and `blend` passes.
//!
//! In: the keys, the inputs' names and sizes. Out: a [`Shader`] like an author's, drawn, timed and planned like one.
//! Not here: which keys go together (`graph`).
//!
//! Pictures have straight alpha, before and after. With colours c and alphas a of the lower (b) and the upper (s) picture:
//! a = as + ab (1 - as), and c = (as cs + ab cb (1 - as)) / a. A blend mode B replaces cs by (1 - ab) cs + ab B(cb, cs), as
//! the W3C's "Compositing and Blending Level 1" has it.

use crate::error::{Error, Result};
use crate::layout::Size;

use super::super::description::{Alpha, BlendKeys, BlendMode, Length, Overlay};
use super::super::shader::Shader;

/// `df_over(b, c, p, a)`: over `b` the colour whose product with its alpha `a` is `p`.
const OVER: &str = "vec4 df_over(vec4 df_b, vec3 df_p, float df_a) {
    float df_rest = df_b.a * (1.0 - df_a);
    float df_sum = df_a + df_rest;
    return vec4((df_p + df_b.rgb * df_rest) / max(df_sum, 0.000001), df_sum);
}
";

/// A rectangle of the target in whole pixels from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Left edge; negative where it begins outside.
    pub x: i64,
    /// Top edge.
    pub y: i64,
    /// Width and height.
    pub size: Size,
}

/// Where the upper picture lies.
///
/// # Errors
/// `InvalidInput`: a size out of range.
pub fn place(overlay: &Overlay, target: Size, top: Size) -> Result<Place> {
    let factor = match overlay.scale.0 {
        Length::Number(factor) => factor,
        Length::Percent(percent) => percent / 100.0 * f64::from(target.width) / f64::from(top.width),
    };
    let scaled = |length: u32| (f64::from(length) * factor).round().clamp(1.0, f64::from(u32::MAX)) as u32;
    let size = Size::new(scaled(top.width), scaled(top.height)).check()?;
    let (across, down) = overlay.anchor.parts();
    let edge = |part: f64, moved: Length, whole: u32, own: u32| {
        (part * (f64::from(whole) - f64::from(own)) + moved.of(whole)).round() as i64
    };
    let [right, below] = overlay.position.map(|length| length.0);
    Ok(Place {
        x: edge(across, right, target.width, size.width),
        y: edge(down, below, target.height, size.height),
        size,
    })
}

/// The shader of an `overlay` pass.
///
/// # Errors
/// As [`place`].
pub fn overlay(overlay: &Overlay, names: [&str; 2], target: Size, top: Size) -> Result<Shader> {
    let [base, above] = names;
    let Place { x, y, size } = place(overlay, target, top)?;
    let opacity = overlay.opacity;
    let product = match overlay.alpha {
        Alpha::Straight => "df_s.rgb * df_s.a",
        Alpha::Premultiplied => "df_s.rgb",
    };
    let text = format!(
        "{OVER}vec4 pixel(vec2 uv) {{
    vec2 df_at = (uv * vec2({:?}, {:?}) - vec2({:?}, {:?})) / vec2({:?}, {:?});
    // 1 inside, 0 outside, without a branch.
    vec2 df_in = step(vec2(0.0), df_at) * step(df_at, vec2(1.0));
    vec4 df_s = {above}(clamp(df_at, 0.0, 1.0));
    float df_shown = {opacity:?} * df_in.x * df_in.y;
    return df_over({base}(), {product} * df_shown, df_s.a * df_shown);
}}
",
        f64::from(target.width),
        f64::from(target.height),
        x as f64,
        y as f64,
        f64::from(size.width),
        f64::from(size.height),
    );
    let mut shader = Shader::parse("overlay", text).map_err(generated)?;
    if size == top {
        shader.on_texels.push(above.to_owned());
    }
    Ok(shader)
}

/// The shader of a `blend` pass.
///
/// # Errors
/// None that a description can cause.
pub fn blend(blend: BlendKeys, [base, above]: [&str; 2]) -> Result<Shader> {
    let formula = match blend.mode {
        BlendMode::Normal => "df_s",
        BlendMode::Add => "min(df_b + df_s, 1.0)",
        BlendMode::Multiply => "df_b * df_s",
        BlendMode::Screen => "df_b + df_s - df_b * df_s",
        BlendMode::Difference => "abs(df_b - df_s)",
        BlendMode::Lighten => "max(df_b, df_s)",
        BlendMode::Darken => "min(df_b, df_s)",
        BlendMode::Overlay => "mix(2.0 * df_b * df_s, 1.0 - 2.0 * (1.0 - df_b) * (1.0 - df_s), step(0.5, df_b))",
    };
    let text = format!(
        "{OVER}vec3 df_mode(vec3 df_b, vec3 df_s) {{ return {formula}; }}
vec4 pixel(vec2 uv) {{
    vec4 df_low = {base}();
    vec4 df_high = {above}();
    float df_a = df_high.a * {:?};
    vec3 df_c = df_high.rgb * (1.0 - df_low.a) + df_mode(df_low.rgb, df_high.rgb) * df_low.a;
    return df_over(df_low, df_c * df_a, df_a);
}}
",
        blend.opacity
    );
    Shader::parse("blend", text).map_err(generated)
}

fn generated(error: Error) -> Error {
    Error::failed("generated shader", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::description::{Anchor, value::Text};

    #[test]
    fn places() {
        let (target, top) = (Size::new(100, 60), Size::new(20, 10));
        let at = |anchor, x: &str, y: &str, scale: &str| {
            let position = [x, y].map(|text| Text(text.parse().unwrap()));
            let keys = Overlay { anchor, position, scale: Text(scale.parse().unwrap()), ..Overlay::default() };
            let Place { x, y, size } = place(&keys, target, top).unwrap();
            (x, y, size.width, size.height)
        };
        assert_eq!(at(Anchor::TopLeft, "3", "-4", "1"), (3, -4, 20, 10));
        assert_eq!(at(Anchor::BottomRight, "-5", "-10%", "1"), (75, 44, 20, 10));
        assert_eq!(at(Anchor::Center, "0", "0", "50%"), (25, 18, 50, 25));
        assert_eq!(at(Anchor::Right, "0", "1.4", "2"), (60, 21, 40, 20));
        let keys = Overlay { scale: Text(Length::Number(1e5)), ..Overlay::default() };
        assert!(place(&keys, target, top).is_err());
    }
}
