//! Pictures of RGB that a fragment reads for four pixels at once, each at whole pixels beside its own: for rasterisers on
//! the CPU, whose draws cost mostly texture reads.
//!
//! In: the places that a pixel reads. Out: GLSL ES 3.00 that reads each texel once for the four pixels. A picture that was
//! drawn four pixels a fragment lies in texels of four: nine rows of it are nine reads where they were 36. Of any other,
//! what lies side by side is shared: nine columns are twelve reads.
//! Not here: how four results leave the fragment ([`Framebuffer::four_wide`](crate::gles::Framebuffer::four_wide)).

use std::fmt::Write as _;

use super::{Input, UV, component, number};
use crate::error::Result;

/// The name of the function that gives the texel at `offsets[place]`.
pub fn beside(input: &str, place: usize) -> String {
    format!("df_at{place}_{input}")
}

/// Where a texel of four lies that has the pixel `x` columns from the first of the four, and which of its parts that is.
fn block(x: i32) -> (i32, usize) {
    (x.div_euclid(4), x.rem_euclid(4) as usize)
}

const PARTS: [&str; 4] = ["r", "g", "b", "a"];

/// What is read for the four pixels: columns from the first of them, or texels of four; and rows.
fn texels(offsets: &[[i32; 2]], by_four: bool) -> Vec<[i32; 2]> {
    let mut found = Vec::new();
    for [x, y] in offsets.iter().flat_map(|[x, y]| (0..4).map(move |pixel| [x + pixel, *y])) {
        let texel = if by_four { [block(x).0, y] } else { [x, y] };
        if !found.contains(&texel) {
            found.push(texel);
        }
    }
    found.sort_unstable();
    found
}

/// Reads of textures for four pixels that read `offsets` each; `by_four` where a texel has four pixels.
pub fn reads(offsets: &[[i32; 2]], by_four: bool) -> usize {
    texels(offsets, by_four).len()
}

/// What every input here needs, once: numbers of 32 bits (a fragment shader's have 16 where nothing is said), and
/// `df_unpack`.
pub(super) const HEAD: &str = "precision highp int;\nvec4 df_unpack(uint four) { int all = int(four); \
     return vec4(ivec4(all, all >> 8, all >> 16, all >> 24) & 255) * (1.0 / 255.0); }\n";

/// The functions of an input: `df_read_NAME()`, to be called once, then for each pixel [`take`], and `df_atN_NAME()` for
/// each place, and `vec4 NAME()` for this very pixel where that is one.
pub(super) fn glsl(input: &Input<'_>, swizzle: Option<&str>, offsets: &[[i32; 2]]) -> Result<String> {
    let name = input.name;
    let (width, height) = (f64::from(input.size.width), f64::from(input.size.height));
    let mut text = String::new();
    if let Some(swizzle) = swizzle {
        let parts: Vec<String> = (0..4).map(|index| component(swizzle, index, "s")).collect::<Result<_>>()?;
        let rgb = input.converted(&format!("vec3({})", parts[..3].join(", ")));
        let _ = writeln!(text, "vec4 df_{name}(vec4 s) {{ return vec4({rgb}, {}); }}", parts[3]);
    }
    let texels = texels(offsets, swizzle.is_none());
    let kind = if swizzle.is_none() { "uvec4" } else { "vec4" };
    for index in 0..texels.len() {
        let _ = writeln!(text, "{kind} df_t{index}_{name};");
    }
    for (place, offset) in offsets.iter().enumerate() {
        let function = beside(name, place);
        let _ = writeln!(text, "vec4 df_now{place}_{name};\nvec4 {function}() {{ return df_now{place}_{name}; }}");
        if *offset == [0, 0] {
            let _ = writeln!(text, "vec4 {name}() {{ return df_now{place}_{name}; }}");
        }
    }
    let _ = writeln!(text, "void df_read_{name}() {{");
    for (index, [x, y]) in texels.iter().enumerate() {
        // The varying is the middle of the four.
        let across = if swizzle.is_none() { f64::from(*x) * 4.0 } else { f64::from(*x) - 1.5 };
        let at = match (across == 0.0, *y) {
            (true, 0) => UV.to_owned(),
            _ => format!("{UV} + vec2({}, {})", number(across / width), number(f64::from(*y) / height)),
        };
        let _ = match swizzle {
            Some(_) => writeln!(text, "    df_t{index}_{name} = df_{name}(texture(df0_{name}, {at}));"),
            None => writeln!(text, "    df_t{index}_{name} = texture(df0_{name}, {at});"),
        };
        // Beyond the edge lies the outermost pixel, not the outermost four.
        if swizzle.is_none() && *x != 0 {
            let (beyond, part) = if *x < 0 { ("< 0.0", "r") } else { ("> 1.0", "a") };
            let edge = format!("{UV}.x + {} {beyond}", number(across / width));
            let texel = format!("df_t{index}_{name}");
            let _ = writeln!(text, "    {texel} = {edge} ? {texel}.{} : {texel};", part.repeat(4));
        }
    }
    text.push_str("}\n");
    Ok(text)
}

/// GLSL that makes the functions mean what pixel `index` (0 to 3) of the four reads.
pub(super) fn take(name: &str, by_four: bool, offsets: &[[i32; 2]], index: usize) -> String {
    let texels = texels(offsets, by_four);
    let mut text = String::new();
    for (place, [x, y]) in offsets.iter().enumerate() {
        let column = x + index as i32;
        let (texel, part) = if by_four { block(column) } else { (column, 0) };
        let Some(at) = texels.iter().position(|found| *found == [texel, *y]) else { continue };
        let _ = match by_four {
            true => write!(text, "df_now{place}_{name} = df_unpack(df_t{at}_{name}.{}); ", PARTS[part]),
            false => write!(text, "df_now{place}_{name} = df_t{at}_{name}; "),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pixels_share_what_they_read() {
        let row: Vec<[i32; 2]> = (-4..=4).map(|x| [x, 0]).collect();
        let column: Vec<[i32; 2]> = (-4..=4).map(|y| [0, y]).collect();
        // Of nine columns 4 + 3 + 1 + 4, or the texel before, the own and the next; of nine rows all, or one each.
        assert_eq!((reads(&row, false), reads(&row, true)), (12, 3));
        assert_eq!((reads(&column, false), reads(&column, true)), (36, 9));
        assert_eq!((reads(&[[0, 0]], false), reads(&[[0, 0]], true)), (4, 1));
        assert_eq!([-5, -4, -1, 0, 3, 4].map(block), [(-2, 3), (-1, 0), (-1, 3), (0, 0), (0, 3), (1, 0)]);
    }
}
