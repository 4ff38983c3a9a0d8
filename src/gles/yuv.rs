//! How pictures of any format reach a shader as RGB: the text of the functions, and the textures they need.
//!
//! In: a format, a size, what its numbers mean. Out: for input `camera` the GLSL functions `vec4 camera(vec2 uv)` and
//! `vec4 camera()` (this very pixel), RGB in 0..1, row 0 at `uv.y` = 0. Not here: choosing between the ways.
//!
//! Three ways: the driver converts (`samplerExternalOES`); the picture is RGB already; or the planes are textures of
//! their own and the text here converts, with the coefficients of [`Color::yuv_to_rgb`].

use std::fmt::Write as _;

use recipe::{Place, recipe, recipe_of};

use super::gl::Gl;
use super::program::{POSITION, Program, ShaderVersion, UV, Uniform};
use super::sampling::Filter;
use super::texture::Texture;
use crate::color::{Color, Conversion};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::Size;

mod beside;
mod convert;
mod four;
mod recipe;
pub mod target;

pub use target::{PlaneWay, PlaneWriter};

pub use beside::{beside, reads as reads_of_four};
pub use four::views_of_four;

/// One texture of a picture that is given plane by plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneView {
    /// Plane of the buffer whose bytes the texture has.
    pub plane: usize,
    /// The RGB format in which to read them.
    pub fourcc: Fourcc,
    /// Size of the texture in its own texels.
    pub size: Size,
    /// What should lie between texels when the picture is drawn at its own size: luma as it is, chroma mixed.
    pub filter: Filter,
}

/// How an input reaches the shader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputBinding {
    /// One external texture; the driver converts.
    External,
    /// One 2D texture; `swizzle` is [`Texture::swizzle`].
    Rgb {
        /// Which sampled component is red, green, blue and alpha; `0` and `1` are constants.
        swizzle: String,
    },
    /// The textures of [`views`], in that order.
    Planes {
        /// The format of the whole picture.
        fourcc: Fourcc,
        /// [`Texture::swizzle`] of each texture.
        swizzles: Vec<String>,
    },
    /// The textures of [`views_of_four`]: four pixels a fragment, in GLSL ES 3.00. The shader finds `NAME()` alone, and
    /// calls `df_read_NAME()` once and [`Input::take`]'s text for each pixel before.
    Four {
        /// The format of the whole picture.
        fourcc: Fourcc,
        /// Chroma is mixed between its samples; else each pixel takes that of its own block.
        mixed: bool,
    },
    /// One 2D texture of RGB, of which each pixel reads some beside its own: four pixels a fragment, in GLSL ES 3.00. The
    /// shader finds the functions that [`beside`] names, and `NAME()` where `[0, 0]` is among the places; it calls
    /// `df_read_NAME()` once and [`Input::take`]'s text for each pixel before.
    Beside {
        /// As in [`InputBinding::Rgb`]; `None` where the texture is that of a
        /// [`Framebuffer::four_wide`](super::Framebuffer::four_wide).
        swizzle: Option<String>,
        /// Columns to the right and rows on, in pixels.
        offsets: Vec<[i32; 2]>,
    },
}

impl InputBinding {
    /// It is read for four pixels at once.
    pub fn is_four_wide(&self) -> bool {
        matches!(self, Self::Four { .. } | Self::Beside { .. })
    }
}

/// One picture that a shader reads.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The name of the functions: a GLSL identifier without `__`.
    pub name: &'a str,
    /// How it gets there.
    pub binding: InputBinding,
    /// What the numbers mean; used for [`InputBinding::Planes`].
    pub color: Color,
    /// Size of the picture in pixels.
    pub size: Size,
    /// What is done to the colours before the shader has them.
    pub convert: Option<Conversion>,
}

/// The textures that a YUV picture of this format and size needs to be read plane by plane.
///
/// Import each with [`ImportOptions::plane`](crate::egl::ImportOptions::plane) (and `reinterpret` set to the view's
/// fourcc), or upload its plane into a texture of that format.
///
/// # Errors
/// `Unsupported`: no shader here reads the format's planes.
pub fn views(fourcc: Fourcc, size: Size) -> Result<Vec<PlaneView>> {
    size.check()?;
    let recipe = recipe_of(fourcc)?;
    let planes = fourcc.format()?.planes;
    let view = |(index, &(plane, view)): (usize, &(usize, Fourcc))| {
        let texel_bytes = u64::from(view.format()?.planes[0].block_bytes);
        // The texture has whatever texels a row of the plane has: with odd widths more than the picture needs.
        let width = planes[plane].row_bytes(size.width) / texel_bytes;
        let filter = if index == recipe.y.0 { Filter::Nearest } else { Filter::Linear };
        let size = Size::new(width as u32, planes[plane].rows(size.height));
        Ok(PlaneView { plane, fourcc: view, size, filter })
    };
    recipe.views.iter().enumerate().map(view).collect()
}

impl Input<'_> {
    /// Names of the sampler uniforms, in the order of the textures.
    pub fn samplers(&self) -> Vec<String> {
        let count = match &self.binding {
            InputBinding::External | InputBinding::Rgb { .. } | InputBinding::Beside { .. } => 1,
            InputBinding::Planes { fourcc, .. } | InputBinding::Four { fourcc, .. } => {
                recipe(*fourcc).map_or(0, |recipe| recipe.views.len())
            }
        };
        (0..count).map(|index| format!("df{index}_{}", self.name)).collect()
    }

    /// Binds the input's textures to units from `first_unit` on, sets its samplers, and returns the next free unit.
    ///
    /// # Errors
    /// `InvalidInput`: another number of textures than [`Input::samplers`]; those of [`Texture::bind`].
    pub fn bind(&self, gl: &Gl, program: &Program, textures: &[&Texture], first_unit: u32) -> Result<u32> {
        let samplers = self.samplers();
        if samplers.len() != textures.len() {
            let detail = format!("{} textures given, {} are needed", textures.len(), samplers.len());
            return Err(Error::invalid(format!("input {}", self.name), detail));
        }
        let mut unit = first_unit;
        for (sampler, texture) in samplers.iter().zip(textures) {
            texture.bind(gl, unit)?;
            program.set(gl, sampler, Uniform::Sampler(unit))?;
            unit += 1;
        }
        Ok(unit)
    }

    /// GLSL that makes the functions of an input that is read for four pixels at once mean pixel `index` (0 to 3).
    pub fn take(&self, index: usize) -> String {
        match &self.binding {
            InputBinding::Four { .. } => four::take(self.name, index),
            InputBinding::Beside { swizzle, offsets } => beside::take(self.name, swizzle.is_none(), offsets, index),
            InputBinding::External | InputBinding::Rgb { .. } | InputBinding::Planes { .. } => String::new(),
        }
    }

    /// GLSL of these R'G'B' as the shader gets them.
    fn converted(&self, rgb: &str) -> String {
        match self.convert {
            Some(_) => format!("{}({rgb})", convert::function(self.name)),
            None => rgb.to_owned(),
        }
    }

    fn coordinates(&self) -> Result<Coordinates> {
        match &self.binding {
            InputBinding::External | InputBinding::Rgb { .. } | InputBinding::Beside { .. } => {
                Ok(Coordinates { luma: Transform::NONE, chroma: Transform::NONE })
            }
            InputBinding::Planes { fourcc, .. } | InputBinding::Four { fourcc, .. } => {
                let recipe = recipe_of(*fourcc)?;
                let views = views(*fourcc, self.size)?;
                let (sx, sy) = recipe.subsampling;
                let (ox, oy) = self.color.siting.offset();
                let luma = views[recipe.y.0].size;
                let chroma = views[recipe.u.0].size;
                let mut coordinates = Coordinates {
                    luma: Transform::of(self.size, luma, (1, 1), (0.0, 0.0)),
                    chroma: Transform::of(self.size, chroma, (sx, sy), (ox, oy)),
                };
                if let InputBinding::Four { .. } = self.binding {
                    // A texel has the samples of one block; what lies between them is made of whole texels.
                    (coordinates.chroma.scale.0, coordinates.chroma.bias.0) = (1.0, 0.0);
                }
                Ok(coordinates)
            }
        }
    }
}

/// From position in the picture to position in a texture, both 0..1: `uv * scale + bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Transform {
    scale: (f64, f64),
    bias: (f64, f64),
}

struct Coordinates {
    luma: Transform,
    chroma: Transform,
}

impl Transform {
    const NONE: Self = Self { scale: (1.0, 1.0), bias: (0.0, 0.0) };

    /// `offset` is [`Siting::offset`](crate::color::Siting::offset): where a chroma sample of 2x2 sits, in luma pixels.
    fn of(picture: Size, texture: Size, subsampling: (u32, u32), offset: (f64, f64)) -> Self {
        // Sample c sits at luma position s*c + o (+ 0.5 for the middle of a pixel), so luma position x is texel
        // (x - 0.5 - o) / s + 0.5.
        let axis = |pixels: u32, texels: u32, s: u32, offset: f64| {
            let (pixels, texels, s) = (f64::from(pixels), f64::from(texels), f64::from(s));
            let o = offset * (s - 1.0);
            (pixels / (s * texels), (0.5 - (0.5 + o) / s) / texels)
        };
        let (scale_x, bias_x) = axis(picture.width, texture.width, subsampling.0, offset.0);
        let (scale_y, bias_y) = axis(picture.height, texture.height, subsampling.1, offset.1);
        Self { scale: (scale_x, scale_y), bias: (bias_x, bias_y) }
    }

    /// As GLSL, of a `vec2` expression.
    fn glsl(&self, uv: &str) -> String {
        match *self == Self::NONE {
            true => uv.to_owned(),
            false => format!(
                "{uv} * vec2({}, {}) + vec2({}, {})",
                number(self.scale.0),
                number(self.scale.1),
                number(self.bias.0),
                number(self.bias.1)
            ),
        }
    }

    /// The varying that has the result, and whether it is the input's own.
    fn varying(&self, which: &str, name: &str) -> (String, bool) {
        match *self == Self::NONE {
            true => (UV.to_owned(), false),
            false => (format!("df_{which}_{name}"), true),
        }
    }
}

/// A number as a GLSL float literal.
fn number(value: f64) -> String {
    let text = format!("{value:.9}");
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

/// The vertex shader for these inputs, without `#version`: the position in every texture is computed here, because
/// fragment processors of small GPUs have 16-bit floats only and cannot address a large texture with a computed position.
///
/// # Errors
/// As [`glsl_input`].
pub fn glsl_vertex(version: ShaderVersion, inputs: &[Input<'_>]) -> Result<String> {
    let attribute = if version == ShaderVersion::Essl100 { "attribute" } else { "in" };
    let declarations = format!("{attribute} vec2 {POSITION};\n");
    let (uv, body) = (format!("{POSITION} * 0.5 + 0.5"), format!("    gl_Position = vec4({POSITION}, 0.0, 1.0);\n"));
    glsl_vertex_of(version, inputs, &VertexText { declarations: &declarations, uv: &uv, body: &body })
}

/// What a vertex shader of another shape than the triangle over the whole target is made of.
#[derive(Clone, Copy, Debug)]
pub struct VertexText<'a> {
    /// Attributes, uniforms and varyings of its own.
    pub declarations: &'a str,
    /// [`UV`], where inputs are asked for this very pixel: an expression.
    pub uv: &'a str,
    /// Statements; one of them sets `gl_Position`.
    pub body: &'a str,
}

/// As [`glsl_vertex`], for vertices of any kind.
///
/// # Errors
/// As [`glsl_input`].
pub fn glsl_vertex_of(version: ShaderVersion, inputs: &[Input<'_>], own: &VertexText<'_>) -> Result<String> {
    let varying = if version == ShaderVersion::Essl100 { "varying" } else { "out" };
    let mut declarations = format!("{}{varying} vec2 {UV};\n", own.declarations);
    let mut body = format!("    {UV} = {};\n", own.uv);
    for input in inputs {
        let coordinates = input.coordinates()?;
        for (which, transform) in [("luma", coordinates.luma), ("chroma", coordinates.chroma)] {
            if let (name, true) = transform.varying(which, input.name) {
                let _ = writeln!(declarations, "{varying} vec2 {name};");
                let _ = writeln!(body, "    {name} = {};", transform.glsl(UV));
            }
        }
    }
    Ok(format!("{declarations}void main() {{\n{body}{}}}\n", own.body))
}

/// The head of a fragment shader for these inputs, without `#version`: extensions, precision, [`UV`] and every
/// [`glsl_input`]. It declares no output.
///
/// # Errors
/// As [`glsl_input`].
pub fn glsl_head(version: ShaderVersion, inputs: &[Input<'_>]) -> Result<String> {
    let mut head = String::new();
    if inputs.iter().any(|input| input.binding == InputBinding::External) {
        head.push_str(match version {
            ShaderVersion::Essl100 => "#extension GL_OES_EGL_image_external : require\n",
            ShaderVersion::Essl300 | ShaderVersion::Essl310 => "#extension GL_OES_EGL_image_external_essl3 : require\n",
        });
    }
    head.push_str(match version {
        ShaderVersion::Essl100 => {
            "#ifdef GL_FRAGMENT_PRECISION_HIGH\n#define DF_P highp\n#else\n#define DF_P mediump\n#endif\n"
        }
        ShaderVersion::Essl300 | ShaderVersion::Essl310 => "#define DF_P highp\n",
    });
    // A target of whole numbers clamps by itself: a caller that only copies into one defines this away.
    head.push_str("#ifndef DF_UNIT\n#define DF_UNIT(rgb) clamp(rgb, 0.0, 1.0)\n#endif\n");
    let _ = match version {
        // The middle of this invocation's pixel.
        ShaderVersion::Essl310 => writeln!(
            head,
            "precision DF_P float;\nuniform vec2 df_resolution;\n#define {UV} ((vec2(gl_GlobalInvocationID.xy) + 0.5) / df_resolution)"
        ),
        _ => writeln!(head, "precision DF_P float;\n{} DF_P vec2 {UV};", varying_word(version)),
    };
    if inputs.iter().any(|input| matches!(input.binding, InputBinding::Beside { swizzle: None, .. })) {
        head.push_str(beside::HEAD);
    }
    for input in inputs {
        head.push_str(&glsl_input(version, input)?);
    }
    Ok(head)
}

fn varying_word(version: ShaderVersion) -> &'static str {
    match version {
        ShaderVersion::Essl100 => "varying",
        ShaderVersion::Essl300 | ShaderVersion::Essl310 => "in",
    }
}

/// The samplers and functions of one input. [`glsl_head`] must have set precision, [`UV`] and extensions before it.
///
/// # Errors
/// `Unsupported`: a YUV format whose planes no shader here reads. `InvalidInput`: a number of swizzles that is not that
/// of the format's textures, or a swizzle of anything but four of `rgba01`.
pub fn glsl_input(version: ShaderVersion, input: &Input<'_>) -> Result<String> {
    let name = input.name;
    let texture = match version {
        ShaderVersion::Essl100 => "texture2D",
        ShaderVersion::Essl300 | ShaderVersion::Essl310 => "texture",
    };
    let mut text = String::new();
    let kind = match input.binding {
        InputBinding::External => "samplerExternalOES",
        InputBinding::Beside { swizzle: None, .. } => "usampler2D",
        _ => "sampler2D",
    };
    for sampler in input.samplers() {
        let _ = writeln!(text, "uniform DF_P {kind} {sampler};");
    }
    if let Some(conversion) = &input.convert {
        text.push_str(&convert::glsl(name, conversion));
    }
    match &input.binding {
        InputBinding::External => {
            let _ = writeln!(text, "vec4 df_{name}(vec4 s) {{ return vec4({}, s.a); }}", input.converted("s.rgb"));
            let _ = writeln!(text, "vec4 {name}(vec2 uv) {{ return df_{name}({texture}(df0_{name}, uv)); }}");
            let _ = writeln!(text, "vec4 {name}() {{ return df_{name}({texture}(df0_{name}, {UV})); }}");
        }
        InputBinding::Rgb { swizzle } => {
            let parts: Vec<String> = (0..4).map(|index| component(swizzle, index, "s")).collect::<Result<_>>()?;
            let rgb = input.converted(&format!("vec3({})", parts[..3].join(", ")));
            let _ = writeln!(text, "vec4 df_{name}(vec4 s) {{ return vec4({rgb}, {}); }}", parts[3]);
            let _ = writeln!(text, "vec4 {name}(vec2 uv) {{ return df_{name}({texture}(df0_{name}, uv)); }}");
            let _ = writeln!(text, "vec4 {name}() {{ return df_{name}({texture}(df0_{name}, {UV})); }}");
        }
        InputBinding::Planes { fourcc, swizzles } => {
            let recipe = recipe_of(*fourcc)?;
            if swizzles.len() != recipe.views.len() {
                let detail =
                    format!("{fourcc}: {} swizzles given, {} textures are read", swizzles.len(), recipe.views.len());
                return Err(Error::invalid(format!("input {name}"), detail));
            }
            let coordinates = input.coordinates()?;
            for (which, transform) in [("luma", coordinates.luma), ("chroma", coordinates.chroma)] {
                if let (varying, true) = transform.varying(which, name) {
                    let _ = match version {
                        ShaderVersion::Essl310 => writeln!(text, "#define {varying} ({})", transform.glsl(UV)),
                        _ => writeln!(text, "{} DF_P vec2 {varying};", varying_word(version)),
                    };
                }
            }
            let _ = writeln!(text, "vec4 df_{name}(vec2 luma, vec2 chroma) {{");
            for index in 0..recipe.views.len() {
                let at = if index == recipe.y.0 { "luma" } else { "chroma" };
                let _ = writeln!(text, "    vec4 s{index} = {texture}(df{index}_{name}, {at});");
            }
            let part = |(view, index): Place| component(&swizzles[view], index, &format!("s{view}"));
            let scale = if recipe.scale == 1.0 { String::new() } else { format!(" * {}", number(recipe.scale)) };
            let (y, u, v) = (part(recipe.y)?, part(recipe.u)?, part(recipe.v)?);
            let _ = writeln!(text, "    vec4 yuv1 = vec4(vec3({y}, {u}, {v}){scale}, 1.0);");
            let rows = input.color.yuv_to_rgb(recipe.bits).map(|row| {
                let numbers = row.map(number);
                format!("dot(yuv1, vec4({}))", numbers.join(", "))
            });
            let alpha = recipe.a.map_or_else(|| Ok("1.0".to_owned()), part)?;
            let rgb = input.converted(&format!("DF_UNIT(vec3({}))", rows.join(", ")));
            let _ = writeln!(text, "    return vec4({rgb}, {alpha});\n}}");
            let (luma, chroma) = (coordinates.luma.glsl("uv"), coordinates.chroma.glsl("uv"));
            let _ = writeln!(text, "vec4 {name}(vec2 uv) {{ return df_{name}({luma}, {chroma}); }}");
            let (luma, _) = coordinates.luma.varying("luma", name);
            let (chroma, _) = coordinates.chroma.varying("chroma", name);
            let _ = writeln!(text, "vec4 {name}() {{ return df_{name}({luma}, {chroma}); }}");
        }
        InputBinding::Four { fourcc, mixed } => text.push_str(&four::glsl(input, *fourcc, *mixed)?),
        InputBinding::Beside { swizzle, offsets } => {
            text.push_str(&beside::glsl(input, swizzle.as_deref(), offsets)?);
        }
    }
    Ok(text)
}

/// The GLSL of component `index` (0 is red) of the sampled vector `vector`.
fn component(swizzle: &str, index: usize, vector: &str) -> Result<String> {
    let parts: Vec<char> = swizzle.chars().collect();
    match parts.get(index) {
        Some('0') if parts.len() == 4 => Ok("0.0".into()),
        Some('1') if parts.len() == 4 => Ok("1.0".into()),
        Some(part @ ('r' | 'g' | 'b' | 'a')) if parts.len() == 4 => Ok(format!("{vector}.{part}")),
        _ => Err(Error::invalid("swizzle", format!("\"{swizzle}\": four of r, g, b, a, 0, 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::{Matrix, Range, Siting};

    fn color(siting: Siting) -> Color {
        Color { matrix: Matrix::Bt601, range: Range::Limited, siting, ..Color::HD }
    }

    #[test]
    fn centred_chroma_of_even_sizes_needs_no_transform() {
        let size = Size::new(8, 4);
        let planes = InputBinding::Planes { fourcc: Fourcc::NV12, swizzles: vec!["r001".into(), "rg01".into()] };
        let mut input = Input { name: "camera", binding: planes, color: color(Siting::Center), size, convert: None };
        let coordinates = input.coordinates().unwrap();
        assert_eq!((coordinates.luma, coordinates.chroma), (Transform::NONE, Transform::NONE));
        assert!(!glsl_vertex(ShaderVersion::Essl100, &[input.clone()]).unwrap().contains("df_chroma"));
        // Left: sample 0 sits in the middle of luma pixel 0, which is u = 0.5 / 8; the texel's middle is 0.5 / 4.
        input.color = color(Siting::Left);
        let chroma = input.coordinates().unwrap().chroma;
        assert!((0.5 / 8.0 * chroma.scale.0 + chroma.bias.0 - 0.5 / 4.0).abs() < 1e-12);
        assert_eq!((chroma.scale.1, chroma.bias.1), (1.0, 0.0));
    }

    #[test]
    fn odd_sizes_have_larger_chroma_planes() {
        let size = Size::new(5, 3);
        let views = views(Fourcc::YUYV, size).unwrap();
        assert_eq!((views[0].size, views[1].size), (Size::new(6, 3), Size::new(3, 3)));
        let planes = InputBinding::Planes { fourcc: Fourcc::YUV420, swizzles: vec!["r001".into(); 3] };
        let input = Input { name: "camera", binding: planes, color: color(Siting::TopLeft), size, convert: None };
        let chroma = input.coordinates().unwrap().chroma;
        // Luma pixel 4 (the last) has chroma sample 2 (the last).
        assert!((4.5 / 5.0 * chroma.scale.0 + chroma.bias.0 - 2.5 / 3.0).abs() < 1e-12);
        assert!((2.5 / 3.0 * chroma.scale.1 + chroma.bias.1 - 1.5 / 2.0).abs() < 1e-12);
    }

    #[test]
    fn every_recipe_agrees_with_the_format_table() {
        for format in crate::format::FORMATS {
            let Some(recipe) = recipe(format.fourcc) else { continue };
            assert!(format.is_yuv(), "{}", format.name);
            assert_eq!(recipe.bits, format.component_bits, "{}", format.name);
            let chroma = &format.planes[recipe.views[recipe.u.0].0];
            let packed = if chroma.block_width == 2 { 2 } else { 1 };
            let table = (chroma.horizontal_subsampling * packed, chroma.vertical_subsampling);
            assert_eq!(recipe.subsampling, table, "{}", format.name);
            for (plane, view) in recipe.views {
                if let Some(known) = format.planes[*plane].view {
                    assert_eq!(*view, known, "{}", format.name);
                }
            }
        }
    }

    #[test]
    fn swizzles_are_checked() {
        assert_eq!(component("ra01", 1, "s").unwrap(), "s.a");
        assert_eq!(component("r001", 3, "s").unwrap(), "1.0");
        for bad in ["", "rgb", "rgbx", "rgbaa"] {
            assert!((0..4).any(|index| component(bad, index, "s").is_err()), "{bad}");
        }
    }

    #[test]
    fn numbers_are_floats() {
        assert_eq!(number(1.0), "1.0");
        assert_eq!(number(-0.5), "-0.5");
        assert_eq!(number(1.596_026_785_7), "1.596026786");
    }
}
