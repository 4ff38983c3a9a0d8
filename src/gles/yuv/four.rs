//! Four pixels that lie side by side, read at once: for rasterisers on the CPU, whose draws cost mostly texture reads.
//!
//! In: a format with subsampled columns and a width that four divides. Out: textures whose texels hold four luma samples
//! or two chroma samples of a row, and the GLSL that takes them apart. A fragment then reads two texels for four pixels
//! where it read eight, and pixels that share a chroma sample share its part of the sum.
//! Not here: how four results leave the fragment ([`Framebuffer::four_wide`](crate::gles::Framebuffer::four_wide)).

use std::fmt::Write as _;

use super::recipe::{Recipe, recipe, recipe_of};
use super::{Filter, Input, PlaneView, UV, number, varying_word, views};
use crate::error::Result;
use crate::format::Fourcc;
use crate::gles::program::ShaderVersion;
use crate::layout::Size;

/// The textures that a picture of this format and size needs to be read four pixels at a time; `None` where it cannot
/// be. Each is to be read with [`Filter::Nearest`].
pub fn views_of_four(fourcc: Fourcc, size: Size) -> Option<Vec<PlaneView>> {
    let recipe = recipe(fourcc)?;
    let fits = size.width.is_multiple_of(4) && recipe.bits == 8 && recipe.a.is_none();
    if !fits || recipe.subsampling.0 != 2 || recipe.subsampling.1 > 2 {
        return None;
    }
    let mut found = views(fourcc, size).ok()?;
    for (index, view) in found.iter_mut().enumerate() {
        // Luma: four texels in one. Chroma: two, of one component or of both.
        view.fourcc = match (view.fourcc, index == recipe.y.0) {
            (Fourcc::R8, true) | (Fourcc::GR88, false) => Fourcc::ABGR8888,
            (Fourcc::R8, false) => Fourcc::GR88,
            _ => return None,
        };
        view.size.width = size.width / 4;
        view.filter = Filter::Nearest;
    }
    Some(found)
}

/// Chroma samples that the four pixels mix: where each lies from the block's first one, and how much the next one adds.
fn mixes(mixed: bool, offset: f64) -> [(i32, f64); 4] {
    [0.0, 1.0, 2.0, 3.0].map(|pixel: f64| match mixed {
        // The sample of the pixel's own pair.
        false => ((pixel / 2.0).floor() as i32, 0.0),
        true => {
            let at = (pixel - offset) / 2.0;
            (at.floor() as i32, at - at.floor())
        }
    })
}

/// The functions of an input that is read four pixels at a time: `df_read_NAME()`, to be called once, then
/// for each pixel [`take`], and `vec4 NAME()`. GLSL ES 3.00.
pub(super) fn glsl(input: &Input<'_>, fourcc: Fourcc, mixed: bool) -> Result<String> {
    let name = input.name;
    let recipe = recipe_of(fourcc)?;
    let chroma_rows = views(fourcc, input.size)?[recipe.u.0].size.height;
    let (chroma, own) = input.coordinates()?.chroma.varying("chroma", name);
    let mut text = String::new();
    if own {
        let _ = writeln!(text, "{} DF_P vec2 {chroma};", varying_word(ShaderVersion::Essl300));
    }
    let _ = writeln!(text, "vec4 df_now_{name}, df_y_{name}, df_cb_{name}, df_cr_{name};");
    let _ = writeln!(text, "vec4 {name}() {{ return df_now_{name}; }}");
    // Cb, Cr, Cb, Cr of two samples.
    let _ = writeln!(text, "vec4 df_texel_{name}(vec2 at) {{ {} }}", texel(&recipe, name));
    if mixed && recipe.subsampling.1 > 1 {
        let rows = number(f64::from(chroma_rows));
        let _ = writeln!(text, "vec4 df_pair_{name}(vec2 at) {{");
        let _ = writeln!(text, "    float row = at.y * {rows} - 0.5, above = floor(row);");
        let _ = writeln!(text, "    vec4 high = df_texel_{name}(vec2(at.x, (above + 0.5) / {rows}));");
        let _ = writeln!(text, "    vec4 low = df_texel_{name}(vec2(at.x, (above + 1.5) / {rows}));");
        let _ = writeln!(text, "    return mix(high, low, row - above);\n}}");
    } else {
        let _ = writeln!(text, "vec4 df_pair_{name}(vec2 at) {{ return df_texel_{name}(at); }}");
    }
    let _ = writeln!(text, "void df_read_{name}() {{");
    let _ = writeln!(text, "    df_y_{name} = texture(df{}_{name}, {UV});", recipe.y.0);
    let _ = writeln!(text, "    vec2 at = vec2({UV}.x, {chroma}.y);");
    let _ = writeln!(text, "    vec4 own = df_pair_{name}(at);");
    let mixes = mixes(mixed, input.color.siting.offset().0);
    let texels = input.size.width / 4;
    // Beyond the first and the last block lie that block's own outer samples, not the texel that the edge repeats.
    if mixes.iter().any(|(first, _)| *first < 0) {
        let _ = writeln!(text, "    vec2 beside = vec2(at.x - {}, at.y);", number(1.0 / f64::from(texels)));
        let _ = writeln!(text, "    vec2 before = beside.x > 0.0 ? df_pair_{name}(beside).zw : own.xy;");
    }
    if mixes.iter().any(|(first, part)| *first + i32::from(*part > 0.0) > 1) {
        let _ = writeln!(text, "    vec2 next = vec2(at.x + {}, at.y);", number(1.0 / f64::from(texels)));
        let _ = writeln!(text, "    vec2 behind = next.x < 1.0 ? df_pair_{name}(next).xy : own.zw;");
    }
    let sample = |index: i32| match index {
        ..0 => "before",
        0 => "own.xy",
        1 => "own.zw",
        _ => "behind",
    };
    for (pixel, (first, part)) in mixes.into_iter().enumerate() {
        let value = match part > 0.0 {
            false => sample(first).to_owned(),
            true => format!("mix({}, {}, {})", sample(first), sample(first + 1), number(part)),
        };
        let _ = writeln!(text, "    vec2 c{pixel} = {value};");
    }
    let _ = writeln!(text, "    df_cb_{name} = vec4(c0.x, c1.x, c2.x, c3.x);");
    let _ = writeln!(text, "    df_cr_{name} = vec4(c0.y, c1.y, c2.y, c3.y);\n}}");
    let rows = input.color.yuv_to_rgb(recipe.bits);
    let column = |index: usize| format!("vec3({})", rows.map(|row| number(row[index])).join(", "));
    let _ = writeln!(text, "void df_take_{name}(float y, float cb, float cr) {{");
    // Luma last: the rest is the same for the pixels of one chroma sample.
    let _ = writeln!(text, "    vec3 rest = {} * cb + ({} * cr + {});", column(1), column(2), column(3));
    let rgb = input.converted(&format!("DF_UNIT({} * y + rest)", column(0)));
    let _ = writeln!(text, "    df_now_{name} = vec4({rgb}, 1.0);\n}}");
    Ok(text)
}

/// The body of `df_texel_NAME`.
fn texel(recipe: &Recipe, name: &str) -> String {
    let ((u, cb), (v, cr)) = (recipe.u, recipe.v);
    if u == v {
        let letters = ["r", "g", "b", "a"];
        let order = [letters[cb], letters[cr], letters[cb + 2], letters[cr + 2]].concat();
        return format!("return texture(df{u}_{name}, at).{order};");
    }
    format!("vec2 u = texture(df{u}_{name}, at).rg, v = texture(df{v}_{name}, at).rg; return vec4(u.x, v.x, u.y, v.y);")
}

/// GLSL that makes `NAME()` mean pixel `index` (0 to 3) of the four that were read.
pub(super) fn take(name: &str, index: usize) -> String {
    let part = ["r", "g", "b", "a"][index];
    format!("df_take_{name}(df_y_{name}.{part}, df_cb_{name}.{part}, df_cr_{name}.{part});")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pixels_mix_the_samples_that_lie_beside_them() {
        assert_eq!(mixes(false, 0.5), [(0, 0.0), (0, 0.0), (1, 0.0), (1, 0.0)]);
        // Left: samples sit on pixels 0 and 2.
        assert_eq!(mixes(true, 0.0), [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.5)]);
        // Centre: between 0 and 1, and between 2 and 3.
        assert_eq!(mixes(true, 0.5), [(-1, 0.75), (0, 0.25), (0, 0.75), (1, 0.25)]);
    }

    #[test]
    fn only_subsampled_formats_of_whole_blocks_are_read_so() {
        let views = |fourcc, width| views_of_four(fourcc, Size::new(width, 6));
        let nv12 = views(Fourcc::NV12, 8).unwrap();
        assert_eq!((nv12[0].fourcc, nv12[0].size), (Fourcc::ABGR8888, Size::new(2, 6)));
        assert_eq!((nv12[1].fourcc, nv12[1].size), (Fourcc::ABGR8888, Size::new(2, 3)));
        let planar = views(Fourcc::YUV422, 8).unwrap();
        assert_eq!((planar[2].fourcc, planar[2].size), (Fourcc::GR88, Size::new(2, 6)));
        assert!(views(Fourcc::NV12, 6).is_none());
        for other in [Fourcc::P010, Fourcc::YUV444, Fourcc::YUYV, Fourcc::YUV410, Fourcc::YUV411, Fourcc::ABGR8888] {
            assert!(views(other, 8).is_none(), "{other}");
        }
    }
}
