//! One draw: a program made of a generated prelude and the author's shader, and its inputs bound to textures.
//!
//! In: a [`Shader`], how each input reaches it, values. Out: a [`Pass`] that draws into the bound target.
//! Not here: which textures and targets (`runner`), the inputs' functions (`gles::yuv`).
//!
//! What a shader finds: its inputs as functions, `uniform float time` (seconds), `uniform int frame`,
//! `uniform vec2 resolution` (the target in pixels) and `uniform vec2 NAME_size` for each input.
//! Floats are highp unless the shader says otherwise; where the CPU draws, mediump and lowp are highp too:
//! conversions to 16 bits cost it a third of the time, and bits.

use std::fmt::Write as _;

use crate::color::{Color, Conversion};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Fourcc;
use crate::gles::program::Uniform;
use crate::gles::{self, Gl, InputBinding, Program, ProgramSource, ShaderVersion, Texture};
use crate::layout::Size;

use super::description::{Filter, Optimize, Step, Wrap};
use super::parameters::ParameterSet;
use super::plan::Setting;
use super::shader::constants::{literal, with_constants};
use super::shader::{BUILT_IN, Declared, Entry, Shader, Version};

pub mod composite;
pub mod compute;
#[cfg(feature = "mesh")]
pub mod mesh;
mod shadertoy;
#[cfg(feature = "wgpu")]
pub mod wgpu;

/// When a frame is.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Its number.
    pub frame: u64,
    /// When it is shown, from the start of the stream.
    pub seconds: f64,
    /// From one frame to the next.
    pub step_seconds: f64,
}

/// How one input reaches the shader.
#[derive(Clone, Debug)]
pub struct PassInput {
    /// Its name in the shader.
    pub name: String,
    /// The textures behind it.
    pub binding: InputBinding,
    /// What its numbers mean.
    pub color: Color,
    /// Its size in pixels.
    pub size: Size,
    /// How each of its textures is read.
    pub samplings: Vec<Sampling>,
    /// What is done to its colours before the shader has them.
    pub convert: Option<Conversion>,
}

impl PassInput {
    /// A picture of our own of the target's size, as it is: what was drawn or counted aside, on its way into the target.
    pub(super) fn picture(size: Size) -> Self {
        Self {
            name: "picture".into(),
            binding: InputBinding::Rgb { swizzle: "rgba".into() },
            color: Color::SRGB,
            size,
            samplings: vec![Sampling { filter: gles::Filter::Nearest, wrap: gles::Wrap::ClampToEdge }],
            convert: None,
        }
    }

    fn as_input(&self) -> gles::Input<'_> {
        gles::Input {
            name: &self.name,
            binding: self.binding.clone(),
            color: self.color,
            size: self.size,
            convert: self.convert,
        }
    }
}

/// What a pass is drawn into.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    /// Width and height.
    pub size: Size,
    /// What the target keeps of a colour.
    pub fourcc: Fourcc,
    /// Somebody reads its alpha; where the CPU draws it is not computed otherwise.
    pub alpha_is_read: bool,
}

impl From<(Size, Fourcc)> for Canvas {
    fn from((size, fourcc): (Size, Fourcc)) -> Self {
        Self { size, fourcc, alpha_is_read: true }
    }
}

/// The shader of a pass that only copies its input.
const COPY: &str = "vec4 pixel(vec2 uv) { return picture(); }\n";

/// A program with its inputs.
pub struct Pass {
    program: Program,
    inputs: Vec<PassInput>,
    version: ShaderVersion,
    moves: bool,
}

impl Pass {
    /// Compiles the shader, and sets what stays the same in every frame.
    ///
    /// # Errors
    /// `Shader` with the author's line; `Unsupported` where the context has no GLSL ES 3.00.
    pub fn new(
        gl: &Gl,
        name: &str,
        shader: Option<&Shader>,
        inputs: Vec<PassInput>,
        canvas: impl Into<Canvas>,
        values: &[Setting],
        optimize: Optimize,
    ) -> Result<Self> {
        let Canvas { size: target, fourcc, alpha_is_read } = canvas.into();
        let is_opaque = !alpha_is_read && gl.caps().is_software;
        // Floats keep what lies outside 0..1; whole numbers cannot.
        let clamps = fourcc.format()?.component_bits <= 10;
        let copy;
        let shader = match shader {
            Some(shader) => shader,
            None => {
                copy = Shader::parse("copy.frag", COPY)?;
                &copy
            }
        };
        let four_wide = inputs.iter().any(|input| input.binding.is_four_wide());
        let external = inputs.iter().any(|input| input.binding == InputBinding::External);
        let lifts = shader.is_better_lifted() && gl.caps().at_least(3, 0);
        let lifts = lifts && (!external || gl.caps().has_external_essl300());
        // On shadertoy.com nobody writes the version: it is 3.00.
        let lifts = lifts || (shader.entry == Entry::MainImage && !shader.version_is_given && gl.caps().at_least(3, 0));
        let version = match shader.version {
            Version::Es100 if !four_wide && !lifts => ShaderVersion::Essl100,
            _ => ShaderVersion::Essl300,
        };
        let views: Vec<gles::Input<'_>> = inputs.iter().map(PassInput::as_input).collect();
        let vertex = gles::yuv::glsl_vertex(version, &views)?;
        let highp = gl.caps().is_software && optimize.has(Step::Precision);
        // A GPU reads uniforms for nothing, and what its compiler makes of constants may round otherwise. So may any where
        // the result is not invariant: an author's own main names it.
        let is_invariant = gl.caps().is_software && shader.entry != Entry::Main;
        let constants = is_invariant && optimize.has(Step::Constants);
        let compile = |constants: bool| {
            let target = (target, clamps);
            let mut prelude = prelude(shader, version, &views, target, highp, constants)?;
            if is_invariant {
                // The same sums in the same order, alone, fused, and with constants.
                let _ = writeln!(prelude, "invariant {};", color_name(version));
            }
            if shader.entry == Entry::MainImage {
                prelude.push_str(&shadertoy::prelude(version, &views, target.0));
            }
            let text = if constants {
                with_constants(&shader.text, |name| constant(values, name))
            } else {
                shader.text.clone()
            };
            let body = match four_wide {
                true => four_wide_body(text, &views, target.0.width, is_opaque),
                false => body(text, shader.entry, version, is_opaque),
            };
            let body_path = &shader.path;
            let source = ProgramSource { name, version, vertex: &vertex, prelude: &prelude, body: &body, body_path };
            Program::new(gl, &source).map_err(|error| at_author(shader, &inputs, error))
        };
        let program = match compile(constants) {
            // What is right as a uniform may be wrong as a constant: an index, a divisor.
            Err(error) if constants && error.kind() == ErrorKind::Shader => compile(false),
            compiled => compiled,
        }?;
        drop(views);
        let size = |size: Size| Uniform::Vec2([size.width as f32, size.height as f32]);
        program.set(gl, "resolution", size(target))?;
        for input in &inputs {
            program.set(gl, &format!("{}_size", input.name), size(input.size))?;
        }
        for setting in values {
            let name = &setting.uniform.name;
            if !set(gl, &program, &setting.uniform, &setting.numbers)? && shader.names_once(name) {
                tracing::warn!(uniform = setting.uniform.name, "the shader declares it and does not use it");
            }
        }
        let moves =
            ["time", "frame", "iTime", "iFrame", "iTimeDelta"].into_iter().any(|name| program.has_uniform(name));
        Ok(Self { program, inputs, version, moves })
    }

    /// Gives every uniform of `settings` its numbers.
    ///
    /// # Errors
    /// As [`Program::set`].
    pub fn assign(&self, gl: &Gl, settings: &[Setting]) -> Result<()> {
        settings.iter().try_for_each(|setting| set(gl, &self.program, &setting.uniform, &setting.numbers).map(|_| ()))
    }

    /// Gives the uniforms of `settings` that take a parameter its value.
    ///
    /// # Errors
    /// As [`Program::set`].
    pub fn update(&self, gl: &Gl, settings: &[Setting], parameters: &ParameterSet) -> Result<()> {
        for setting in settings {
            if let Some(numbers) = setting.parameter.as_deref().and_then(|name| parameters.value(name)) {
                set(gl, &self.program, &setting.uniform, numbers)?;
            }
        }
        Ok(())
    }

    /// Its inputs, in the order of the textures that [`draw`](Pass::draw) takes.
    pub fn inputs(&self) -> &[PassInput] {
        &self.inputs
    }

    /// Shadertoy shaders: alpha is 1, whatever they write.
    ///
    /// # Errors
    /// As [`Program::set`].
    pub fn set_opaque(&self, gl: &Gl) -> Result<()> {
        self.program.set(gl, "df_opaque", Uniform::Float(1.0)).map(|_| ())
    }

    /// `GLSL ES 1.00` or `3.00`.
    pub fn version(&self) -> &'static str {
        version_name(self.version)
    }

    /// Draws over the whole of the bound target. `textures` are those of each input.
    ///
    /// # Errors
    /// `InvalidInput` for a wrong number of textures; `Failed` where the driver reports an error.
    pub fn draw(&self, gl: &Gl, textures: &[Vec<&Texture>], moment: Moment) -> Result<()> {
        let Moment { frame, seconds, step_seconds } = moment;
        let mut unit = 0;
        for (input, textures) in self.inputs.iter().zip(textures) {
            unit = input.as_input().bind(gl, &self.program, textures, unit)?;
        }
        if self.moves {
            let whole = Uniform::Int((frame % (1 << 31)) as i32);
            let seconds = Uniform::Float(seconds as f32);
            let step = Uniform::Float(step_seconds as f32);
            let values =
                [("time", seconds), ("iTime", seconds), ("frame", whole), ("iFrame", whole), ("iTimeDelta", step)];
            for (name, value) in values {
                self.program.set(gl, name, value)?;
            }
        }
        self.program.draw_triangle(gl)
    }
}

fn version_name(version: ShaderVersion) -> &'static str {
    match version {
        ShaderVersion::Essl100 => "1.00",
        ShaderVersion::Essl300 => "3.00",
        ShaderVersion::Essl310 => "3.10",
    }
}

/// Everything before the author's text.
fn prelude(
    shader: &Shader,
    version: ShaderVersion,
    inputs: &[gles::Input<'_>],
    (target, clamps): (Size, bool),
    highp: bool,
    constants: bool,
) -> Result<String> {
    let mut text = String::new();
    if clamps && shader.is_passthrough() {
        text.push_str("#define DF_UNIT(rgb) (rgb)\n");
    }
    for extension in &shader.extensions {
        let _ = writeln!(text, "{extension}");
    }
    text.push_str(&gles::yuv::glsl_head(version, inputs)?);
    if highp {
        text.push_str("#define mediump highp\n#define lowp highp\n#define DF_EVEN\n");
    }
    text.push_str("precision DF_P float;\nprecision highp int;\nprecision DF_P sampler2D;\n");
    let declared = |name: &str| shader.uniforms.iter().any(|uniform| uniform.name == name);
    for (name, kind) in BUILT_IN.into_iter().zip(["float", "int", "vec2"]) {
        if !declared(name) && shader.entry != Entry::MainImage {
            let _ = match (name, constants) {
                ("resolution", true) => writeln!(text, "{}", constant_size(name, target)),
                _ => writeln!(text, "uniform {kind} {name};"),
            };
        }
    }
    for input in inputs {
        let name = format!("{}_size", input.name);
        if !declared(&name) {
            let _ = match constants {
                true => writeln!(text, "{}", constant_size(&name, input.size)),
                false => writeln!(text, "uniform vec2 {name};"),
            };
        }
    }
    if version == ShaderVersion::Essl300 && shader.entry != Entry::Main {
        let four_wide = inputs.iter().any(|input| input.binding.is_four_wide());
        let kind = if four_wide { "uvec4" } else { "vec4" };
        let _ = writeln!(text, "layout(location = 0) out {kind} df_color;");
    }
    Ok(text)
}

fn constant_size(name: &str, size: Size) -> String {
    format!("const vec2 {name} = vec2({}.0, {}.0);", size.width, size.height)
}

/// The value of a uniform that nothing changes.
fn constant(values: &[Setting], name: &str) -> Option<String> {
    let setting = values.iter().find(|setting| setting.uniform.name == name)?;
    if setting.parameter.is_some() { None } else { literal(&setting.uniform, &setting.numbers) }
}

/// What `main` writes.
fn color_name(version: ShaderVersion) -> &'static str {
    if version == ShaderVersion::Essl300 { "df_color" } else { "gl_FragColor" }
}

/// The author's text, and the entry point behind it.
fn body(mut text: String, entry: Entry, version: ShaderVersion, is_opaque: bool) -> String {
    if entry == Entry::MainImage {
        text.push_str(&shadertoy::main(version));
    }
    if entry == Entry::Pixel {
        let target = color_name(version);
        let uv = gles::program::UV;
        let _ = match is_opaque {
            true => writeln!(text, "void main() {{ {target} = vec4(pixel({uv}).rgb, 1.0); }}"),
            false => writeln!(text, "void main() {{ {target} = pixel({uv}); }}"),
        };
    }
    text
}

/// The author's text, called for each of the four pixels of a fragment.
fn four_wide_body(mut text: String, inputs: &[gles::Input<'_>], width: u32, is_opaque: bool) -> String {
    // As a target of bytes does it: to the nearest of 256, and the even one of two. Signed numbers, as processors convert
    // no others.
    text.push_str("uint df_bytes(vec4 c) { ivec4 b = ivec4(roundEven(clamp(c, 0.0, 1.0) * 255.0)); ");
    text.push_str("return uint(b.r | (b.g << 8) | (b.b << 16) | (b.a << 24)); }\nvoid main() {\n");
    for input in inputs {
        let _ = writeln!(text, "df_read_{}();", input.name);
    }
    for (index, part) in ["r", "g", "b", "a"].into_iter().enumerate() {
        for input in inputs {
            let _ = writeln!(text, "{}", input.take(index));
        }
        let step = (index as f64 - 1.5) / f64::from(width);
        let pixel = format!("pixel({} + vec2({step:.9}, 0.0))", gles::program::UV);
        let _ = match is_opaque {
            true => writeln!(text, "df_color.{part} = df_bytes(vec4({pixel}.rgb, 1.0));"),
            false => writeln!(text, "df_color.{part} = df_bytes({pixel});"),
        };
    }
    text.push_str("}\n");
    text
}

/// The same error with the place in the author's file: the driver saw included files in their places.
fn at_author(shader: &Shader, inputs: &[PassInput], error: Error) -> Error {
    if error.kind() != ErrorKind::Shader {
        return error;
    }
    let Some(span) = error.span() else { return error };
    if span.len == 0 {
        // The driver named no line. What it quotes may be in one: an undefined function, an extension.
        let quoted: Vec<&str> = error.detail().split(['`', '\'', '"']).skip(1).step_by(2).collect();
        let place = quoted.into_iter().find_map(|words| shader.find_words(words));
        return match place {
            Some(place) => error.with_span(place),
            None => error,
        };
    }
    let (line, column) = span.line_column();
    let Some(mut place) = shader.place(line - 1) else { return error };
    // From the column that the driver named to the end of the line, where it is inside the line.
    let line_start = place.text[..place.start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = place.start + place.len;
    let wanted = place.text[line_start..line_end].char_indices().nth(column - 1).map(|(at, _)| line_start + at);
    if let Some(wanted) = wanted.filter(|wanted| *wanted > place.start) {
        place.len = line_end - wanted;
        place.start = wanted;
    }
    let unknown = ["undeclared", "no function", "undefined", "no matching"];
    let error = error.with_span(place);
    if !unknown.iter().any(|words| error.detail().to_lowercase().contains(words)) {
        return error;
    }
    if shader.entry == Entry::MainImage {
        let hint = format!("this pass has {} inputs, iChannel0 being the first: inputs = [\"NAME\"]", inputs.len());
        return error.with_hint(hint);
    }
    let inputs: Vec<String> = inputs.iter().map(|input| format!("{0}() and {0}(uv)", input.name)).collect();
    let inputs = if inputs.is_empty() { "none".into() } else { inputs.join(", ") };
    error.with_hint(format!("inputs of this pass are functions: {inputs}; a name of your own must be declared above"))
}

/// Sets a uniform; `false` where the program does not use it.
fn set(gl: &Gl, program: &Program, declared: &Declared, numbers: &[f64]) -> Result<bool> {
    fn array<const N: usize>(numbers: &[f64]) -> Option<[f32; N]> {
        numbers.iter().map(|number| *number as f32).collect::<Vec<_>>().try_into().ok()
    }
    fn whole<const N: usize>(numbers: &[f64]) -> Option<[i32; N]> {
        numbers.iter().map(|number| *number as i32).collect::<Vec<_>>().try_into().ok()
    }
    let value = match declared.kind.as_str() {
        _ if declared.elements > 1 => None,
        "float" => array(numbers).map(|[x]| Uniform::Float(x)),
        "vec2" => array(numbers).map(Uniform::Vec2),
        "vec3" => array(numbers).map(Uniform::Vec3),
        "vec4" => array(numbers).map(Uniform::Vec4),
        "int" | "bool" => whole(numbers).map(|[x]| Uniform::Int(x)),
        "ivec2" | "bvec2" => whole(numbers).map(Uniform::IVec2),
        "ivec3" | "bvec3" => whole(numbers).map(Uniform::IVec3),
        "ivec4" | "bvec4" => whole(numbers).map(Uniform::IVec4),
        "mat3" => array(numbers).map(Uniform::Mat3),
        "mat4" => array(numbers).map(Uniform::Mat4),
        _ => None,
    };
    let Some(value) = value else {
        let detail = format!("{} {}: values of this type cannot be set", declared.kind, declared.name);
        return Err(Error::unsupported("uniform", detail).with_hint("use float, vec2 to vec4, int, bool, mat3 or mat4"));
    };
    program.set(gl, &declared.name, value)
}

/// How one texture is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// What lies between the texels.
    pub filter: gles::Filter,
    /// What lies beyond the edge.
    pub wrap: gles::Wrap,
}

impl Sampling {
    /// What serves both.
    pub fn joined(&self, other: &Self) -> Self {
        let linear = self.filter == gles::Filter::Linear || other.filter == gles::Filter::Linear;
        let clamped = self.wrap == gles::Wrap::ClampToEdge || other.wrap == gles::Wrap::ClampToEdge;
        Self {
            filter: if linear { gles::Filter::Linear } else { gles::Filter::Nearest },
            wrap: if clamped { gles::Wrap::ClampToEdge } else { self.wrap },
        }
    }

    /// Sets it on `texture`.
    ///
    /// # Errors
    /// As [`Texture::set_filter`] and [`Texture::set_wrap`].
    pub fn apply(&self, gl: &Gl, texture: &Texture) -> Result<()> {
        texture.set_filter(gl, self.filter)?;
        texture.set_wrap(gl, self.wrap)
    }
}

/// Fails, in words, where this context cannot read the input beyond its edges as `wrap` says.
///
/// # Errors
/// `Unsupported`.
pub fn check_wrap(gl: &Gl, binding: &InputBinding, size: Size, wrap: Wrap) -> Result<()> {
    let fail = |why: String| {
        Err(Error::unsupported("wrap", why).with_hint("let a pass before it make RGB of a power-of-two size, or clamp"))
    };
    if wrap == Wrap::Clamp {
        return Ok(());
    }
    let even = size.width.is_multiple_of(2) && size.height.is_multiple_of(2);
    let power = size.width.is_power_of_two() && size.height.is_power_of_two();
    match binding {
        InputBinding::External => fail("external images only clamp to their edge".into()),
        InputBinding::Planes { fourcc, .. } if !even => {
            fail(format!("{fourcc} {size}: the chroma planes are larger than the picture"))
        }
        _ if !power && !gl.caps().at_least(3, 0) && !gl.caps().extensions.has("GL_OES_texture_npot") => {
            fail(format!("{size} is no power of two, and {} only clamps such textures", gl.caps().version_text))
        }
        _ => Ok(()),
    }
}

/// How an input's textures are read.
///
/// A shader that only asks for its own pixel, at the input's own size, gets exactly one texel: nearest gives the same
/// bits and costs the CPU half. Subsampled chroma is always mixed, unless the author asks for nearest.
///
/// The same holds with `middles`: where every read is known to be at the middle of some pixel.
///
/// llvmpipe mixes 8-bit texels with 8-bit arithmetic, and two codes of chroma are four of blue. Not so where the
/// texture is mirrored at its edges, which is the same picture as long as nobody asks beyond them.
pub fn samplings(
    gl: &Gl,
    shader: Option<&Shader>,
    input: &str,
    wanted: Filter,
    (same_size, middles): (bool, bool),
    planes: &[gles::Filter],
    wrap: Wrap,
) -> Vec<Sampling> {
    let on_texels = shader.is_some_and(|shader| shader.on_texels.iter().any(|name| name == input));
    let pointwise = on_texels || (same_size && shader.is_none_or(|shader| shader.is_pointwise(input)));
    let exact = pointwise && gl.caps().is_software && gl.caps().at_least(3, 0);
    planes
        .iter()
        .map(|plane| {
            let filter = match (wanted, pointwise || (same_size && middles)) {
                (Filter::Nearest, _) => gles::Filter::Nearest,
                (Filter::Linear, true) => *plane,
                (Filter::Linear, false) => gles::Filter::Linear,
            };
            let mirrored = exact && filter == gles::Filter::Linear && planes.len() > 1;
            let wrap = match wrap {
                Wrap::Clamp if mirrored => gles::Wrap::MirroredRepeat,
                Wrap::Clamp => gles::Wrap::ClampToEdge,
                Wrap::Repeat => gles::Wrap::Repeat,
                Wrap::Mirror => gles::Wrap::MirroredRepeat,
            };
            Sampling { filter, wrap }
        })
        .collect()
}
