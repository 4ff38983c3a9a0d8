//! Programs: compiled from a generated prelude and an author's file, with errors that point into that file.
//!
//! In: [`ProgramSource`]. Out: a [`Program`] with typed uniforms. Not here: what the prelude says (`yuv` writes the
//! inputs, the pipeline's runner the rest).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::Path;

use glow::HasContext;

use super::gl::Gl;
use super::names::{Kind, Name};
use super::program_cache::ProgramCache;
use crate::error::{Error, ErrorKind, Result, Span};

/// Name of the vertex attribute: the corner of the triangle in clip space, `vec2`. Always at location 0.
pub const POSITION: &str = "df_position";
/// Name of the varying: position in the picture, `vec2`, (0, 0) at the top left corner of row 0.
pub const UV: &str = "df_uv";

/// Which GLSL ES the sources are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShaderVersion {
    /// `#version 100`: every context.
    Essl100,
    /// `#version 300 es`: OpenGL ES 3.
    Essl300,
    /// `#version 310 es`: OpenGL ES 3.1; compute shaders here.
    Essl310,
}

impl ShaderVersion {
    /// The first line of a shader, with its line feed.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Essl100 => "#version 100\n",
            Self::Essl300 => "#version 300 es\n",
            Self::Essl310 => "#version 310 es\n",
        }
    }
}

/// The texts of a program. `#version` is put before both shaders; write none.
#[derive(Clone, Copy, Debug)]
pub struct ProgramSource<'a> {
    /// For errors: the pass.
    pub name: &'a str,
    /// Language of both shaders.
    pub version: ShaderVersion,
    /// The whole vertex shader, none where the body is a compute shader; it reads [`POSITION`] (`yuv::glsl_vertex` writes one).
    pub vertex: &'a str,
    /// Generated text before the author's: extensions, precision, inputs.
    pub prelude: &'a str,
    /// The author's fragment shader.
    pub body: &'a str,
    /// The author's file, for errors.
    pub body_path: &'a Path,
}

/// A value of a uniform.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Uniform {
    Float(f32),
    Vec2([f32; 2]),
    Vec3([f32; 3]),
    Vec4([f32; 4]),
    Int(i32),
    IVec2([i32; 2]),
    IVec3([i32; 3]),
    IVec4([i32; 4]),
    /// Texture unit of a sampler of any kind.
    Sampler(u32),
    /// Columns one after the other.
    Mat3([f32; 9]),
    /// Columns one after the other.
    Mat4([f32; 16]),
}

/// A linked program. Its GL name is queued for deletion when it is dropped.
#[derive(Debug)]
pub struct Program {
    name: Name,
    label: String,
    uniforms: HashMap<String, Active>,
    from_cache: bool,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    location: u32,
    kind: u32,
}

impl Program {
    /// Compiles and links. Blocks while the driver compiles: from milliseconds to seconds.
    ///
    /// # Errors
    /// `Shader`: it does not compile or link; the span is the author's line, the driver's words are the detail.
    /// `Unsupported`: GLSL ES 3.00 on OpenGL ES 2.
    #[doc(alias = "glCompileShader")]
    #[doc(alias = "glLinkProgram")]
    pub fn new(gl: &Gl, source: &ProgramSource<'_>) -> Result<Self> {
        if source.version == ShaderVersion::Essl300 && !gl.caps().at_least(3, 0) {
            let detail = format!("{}: GLSL ES 3.00 on {}", source.name, gl.caps().version_text);
            return Err(Error::unsupported("#version 300 es", detail).with_hint("write it in GLSL ES 1.00"));
        }
        check_body(source)?;
        let head = format!("{}{}{}", source.version.line(), source.prelude, line_end(source.prelude));
        let vertex_text = format!("{}{}", source.version.line(), source.vertex);
        let fragment_text = format!("{head}{}", source.body);
        let cache = gl.program_cache().map(|cache| (cache, ProgramCache::key(gl, &vertex_text, &fragment_text)));
        if let Some((cache, key)) = &cache {
            // SAFETY: a context is current.
            let raw = unsafe { gl.glow().create_program() };
            let raw = raw.map_err(|error| Error::failed("glCreateProgram", error))?;
            let name = gl.name(Kind::Program, raw.0);
            if cache.load(gl, key, raw) {
                let uniforms = active_uniforms(gl, name.raw());
                return Ok(Self { name, label: source.name.to_owned(), uniforms, from_cache: true });
            }
        }
        let is_compute = source.version == ShaderVersion::Essl310;
        let vertex = match is_compute {
            true => None,
            false => Some(compile(gl, glow::VERTEX_SHADER, &vertex_text)?.map_err(|log| {
                let detail = format!("{}: generated vertex shader: {log}", source.name);
                Error::new(ErrorKind::Shader, "glCompileShader", detail)
            })?),
        };
        let kind = if is_compute { glow::COMPUTE_SHADER } else { glow::FRAGMENT_SHADER };
        let fragment = compile(gl, kind, &fragment_text)?.map_err(|log| body_error(source, &head, &log))?;

        let glow = gl.glow();
        // SAFETY: a context is current; both shaders live until the names are dropped below.
        let (name, linked) = unsafe {
            let raw = glow.create_program().map_err(|error| Error::failed("glCreateProgram", error))?;
            let name = gl.name(Kind::Program, raw.0);
            if let Some(vertex) = &vertex {
                glow.attach_shader(raw, glow::NativeShader(vertex.raw()));
            }
            glow.attach_shader(raw, glow::NativeShader(fragment.raw()));
            if !is_compute {
                glow.bind_attrib_location(raw, 0, POSITION);
            }
            if cache.is_some() {
                ProgramCache::prepare(gl, raw);
            }
            glow.link_program(raw);
            (name, glow.get_program_link_status(raw))
        };
        if !linked {
            let log = gl.info_log(Kind::Program, name.raw());
            let log = if log.is_empty() { "the driver gives no reason".into() } else { log.replace('\n', "; ") };
            let whole = Span::new(source.body_path, source.body, 0..0);
            return Err(
                Error::new(ErrorKind::Shader, "glLinkProgram", format!("{}: {log}", source.name)).with_span(whole)
            );
        }
        let uniforms = active_uniforms(gl, name.raw());
        gl.check_error("glLinkProgram", || source.name.to_owned())?;
        if let Some((cache, key)) = &cache {
            cache.store(gl, key, glow::NativeProgram(name.raw()));
        }
        Ok(Self { name, label: source.name.to_owned(), uniforms, from_cache: false })
    }

    /// Its binary was kept from an earlier run; nothing was compiled.
    pub fn is_from_cache(&self) -> bool {
        self.from_cache
    }

    /// Names of the uniforms that the program uses, samplers included. Arrays are without `[0]`.
    pub fn uniforms(&self) -> impl Iterator<Item = &str> {
        self.uniforms.keys().map(String::as_str)
    }

    /// Whether the program uses this uniform (compilers drop what has no effect).
    pub fn has_uniform(&self, name: &str) -> bool {
        self.uniforms.contains_key(name)
    }

    /// Sets a uniform and says whether the program uses it. Makes the program current.
    ///
    /// # Errors
    /// `InvalidInput`: the shader declares another type, or the program is of another context.
    #[doc(alias = "glUniform")]
    pub fn set(&self, gl: &Gl, name: &str, value: Uniform) -> Result<bool> {
        let Some(active) = self.uniforms.get(name) else { return Ok(false) };
        if !value.fits(active.kind) {
            let detail = format!("{}: {value:?} for a {}", self.label, type_name(active.kind));
            return Err(Error::invalid(format!("uniform {name}"), detail));
        }
        self.make_current(gl)?;
        let glow = gl.glow();
        let location = glow::NativeUniformLocation(active.location);
        let at = Some(&location);
        // SAFETY: a context is current, the program in use, the location its own and of this type.
        unsafe {
            match value {
                Uniform::Float(x) => glow.uniform_1_f32(at, x),
                Uniform::Vec2(v) => glow.uniform_2_f32(at, v[0], v[1]),
                Uniform::Vec3(v) => glow.uniform_3_f32(at, v[0], v[1], v[2]),
                Uniform::Vec4(v) => glow.uniform_4_f32(at, v[0], v[1], v[2], v[3]),
                Uniform::Int(x) => glow.uniform_1_i32(at, x),
                Uniform::IVec2(v) => glow.uniform_2_i32(at, v[0], v[1]),
                Uniform::IVec3(v) => glow.uniform_3_i32(at, v[0], v[1], v[2]),
                Uniform::IVec4(v) => glow.uniform_4_i32(at, v[0], v[1], v[2], v[3]),
                Uniform::Sampler(unit) => glow.uniform_1_i32(at, i32::try_from(unit).unwrap_or(0)),
                Uniform::Mat3(m) => glow.uniform_matrix_3_f32_slice(at, false, &m),
                Uniform::Mat4(m) => glow.uniform_matrix_4_f32_slice(at, false, &m),
            }
        }
        Ok(true)
    }

    /// Draws one triangle that covers the bound framebuffer.
    ///
    /// # Errors
    /// `InvalidInput`: the program is of another context. `Failed`: a GL error is pending after the draw.
    pub fn draw_triangle(&self, gl: &Gl) -> Result<()> {
        self.make_current(gl)?;
        let triangle = gl.triangle()?;
        let glow = gl.glow();
        // SAFETY: a context is current; the buffer has three vec2, as the pointer says.
        unsafe {
            glow.bind_buffer(glow::ARRAY_BUFFER, Some(glow::NativeBuffer(triangle.raw())));
            glow.enable_vertex_attrib_array(0);
            glow.vertex_attrib_pointer_f32(0, 2, glow::FLOAT, false, 8, 0);
            glow.draw_arrays(glow::TRIANGLES, 0, 3);
        }
        gl.check_error("glDrawArrays", || self.label.clone())
    }

    /// Where vertices give the program this attribute; `None` where it uses none of this name.
    pub(super) fn attribute(&self, gl: &Gl, name: &str) -> Option<u32> {
        // SAFETY: a context is current and the program is linked.
        unsafe { gl.glow().get_attrib_location(glow::NativeProgram(self.name.raw()), name) }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn make_current(&self, gl: &Gl) -> Result<()> {
        gl.check_name(&self.name, "glUseProgram")?;
        // SAFETY: a context is current and the program lives in its share group.
        unsafe { gl.glow().use_program(Some(glow::NativeProgram(self.name.raw()))) };
        Ok(())
    }
}

impl Uniform {
    fn fits(&self, kind: u32) -> bool {
        match self {
            Self::Float(_) => kind == glow::FLOAT,
            Self::Vec2(_) => kind == glow::FLOAT_VEC2,
            Self::Vec3(_) => kind == glow::FLOAT_VEC3,
            Self::Vec4(_) => kind == glow::FLOAT_VEC4,
            Self::Int(_) => matches!(kind, glow::INT | glow::BOOL),
            Self::IVec2(_) => matches!(kind, glow::INT_VEC2 | glow::BOOL_VEC2),
            Self::IVec3(_) => matches!(kind, glow::INT_VEC3 | glow::BOOL_VEC3),
            Self::IVec4(_) => matches!(kind, glow::INT_VEC4 | glow::BOOL_VEC4),
            Self::Sampler(_) => is_sampler(kind),
            Self::Mat3(_) => kind == glow::FLOAT_MAT3,
            Self::Mat4(_) => kind == glow::FLOAT_MAT4,
        }
    }
}

fn is_sampler(kind: u32) -> bool {
    // sampler2D, samplerExternalOES, sampler3D, samplerCube, the shadow and integer ones of GLSL ES 3.00.
    matches!(kind, glow::SAMPLER_2D | 0x8D66 | glow::SAMPLER_3D | glow::SAMPLER_CUBE | 0x8B62 | 0x8DC1..=0x8DD8)
}

fn type_name(kind: u32) -> &'static str {
    match kind {
        glow::FLOAT => "float",
        glow::FLOAT_VEC2 => "vec2",
        glow::FLOAT_VEC3 => "vec3",
        glow::FLOAT_VEC4 => "vec4",
        glow::INT => "int",
        glow::INT_VEC2 => "ivec2",
        glow::INT_VEC3 => "ivec3",
        glow::INT_VEC4 => "ivec4",
        glow::BOOL => "bool",
        glow::BOOL_VEC2 => "bvec2",
        glow::BOOL_VEC3 => "bvec3",
        glow::BOOL_VEC4 => "bvec4",
        glow::FLOAT_MAT3 => "mat3",
        glow::FLOAT_MAT4 => "mat4",
        kind if is_sampler(kind) => "sampler",
        _ => "type that this crate cannot set",
    }
}

fn line_end(text: &str) -> &'static str {
    if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }
}

/// `#version` is the runner's to write: in the middle of a text it would be an error with a confusing place.
fn check_body(source: &ProgramSource<'_>) -> Result<()> {
    let mut start = 0;
    for line in source.body.split_inclusive('\n') {
        if line.trim_start().starts_with("#version") {
            let span = Span::new(source.body_path, source.body, start..start + line.trim_end().len());
            let detail = format!("{}: the version is chosen for you", source.name);
            return Err(Error::new(ErrorKind::Shader, "#version", detail).with_span(span).with_hint("remove the line"));
        }
        start += line.len();
    }
    Ok(())
}

/// The shader's name, or the driver's log.
fn compile(gl: &Gl, kind: u32, text: &str) -> Result<std::result::Result<Name, String>> {
    let glow = gl.glow();
    // SAFETY: a context is current; the text is passed with its length.
    let (name, compiled) = unsafe {
        let raw = glow.create_shader(kind).map_err(|error| Error::failed("glCreateShader", error))?;
        let name = gl.name(Kind::Shader, raw.0);
        glow.shader_source(raw, text);
        glow.compile_shader(raw);
        (name, glow.get_shader_compile_status(raw))
    };
    if compiled {
        return Ok(Ok(name));
    }
    let log = gl.info_log(Kind::Shader, name.raw());
    Ok(Err(if log.is_empty() { "the driver gives no reason".into() } else { log }))
}

fn active_uniforms(gl: &Gl, program: NonZeroU32) -> HashMap<String, Active> {
    let program = glow::NativeProgram(program);
    let mut uniforms = HashMap::new();
    // SAFETY: a context is current and the program is linked.
    unsafe {
        for index in 0..gl.glow().get_active_uniforms(program) {
            let Some(uniform) = gl.glow().get_active_uniform(program, index) else { continue };
            let Some(location) = gl.glow().get_uniform_location(program, &uniform.name) else { continue };
            let name = uniform.name.trim_end_matches("[0]").to_owned();
            uniforms.insert(name, Active { location: location.0, kind: uniform.utype });
        }
    }
    uniforms
}

/// One line of a driver's log.
#[derive(Debug, PartialEq, Eq)]
struct LogLine<'a> {
    line: usize,
    /// Counted from 1.
    column: Option<usize>,
    message: &'a str,
}

/// Reads `0:12(5): error: …` (Mesa), `0:12: L0001: …` (Mali), `0(12) : error …` (NVIDIA), `ERROR: 0:12: …` (Adreno,
/// PowerVR, ANGLE).
fn parse_log_line(text: &str) -> Option<LogLine<'_>> {
    let text = text.trim();
    let text = ["ERROR: ", "WARNING: "].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    // The number of the source string, which is always the first.
    let rest = text.strip_prefix('0')?;
    let number = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some((text[..end].parse::<usize>().ok()?, end))
    };
    let (line, column, rest) = if let Some(rest) = rest.strip_prefix(':') {
        let (line, end) = number(rest)?;
        let rest = &rest[end..];
        match rest.strip_prefix('(') {
            Some(inner) => {
                let (column, end) = number(inner)?;
                (line, Some(column), inner[end..].strip_prefix(')')?)
            }
            None => (line, None, rest),
        }
    } else {
        let inner = rest.strip_prefix('(')?;
        let (line, end) = number(inner)?;
        (line, None, inner[end..].strip_prefix(')')?)
    };
    let message = rest.trim_start_matches([' ', ':']);
    let message = message.strip_prefix("error: ").unwrap_or(message);
    Some(LogLine { line, column, message })
}

/// Maps a log back to the author's file.
fn body_error(source: &ProgramSource<'_>, head: &str, log: &str) -> Error {
    let head_lines = head.matches('\n').count();
    let lines: Vec<LogLine<'_>> = log.lines().filter_map(parse_log_line).collect();
    let is_error = |line: &&LogLine<'_>| line.line > head_lines && !line.message.starts_with("warning");
    let first = lines.iter().find(is_error);
    let Some(first) = first else {
        // In the generated part, or in no form we know: the driver's own words.
        let text = match lines.first() {
            Some(line) => {
                let at = head.lines().nth(line.line.saturating_sub(1)).unwrap_or_default();
                format!("{}: in the generated prelude, `{}`: {}", source.name, at.trim(), line.message)
            }
            None => format!("{}: {log}", source.name),
        };
        return Error::new(ErrorKind::Shader, "glCompileShader", text).with_span(Span::new(
            source.body_path,
            source.body,
            0..0,
        ));
    };
    // What follows is mostly its consequence: a few words of the same line, and how many more there are.
    let mut messages = vec![first.message];
    let mut more = 0;
    for other in lines.iter().filter(is_error) {
        match messages.contains(&other.message) {
            true => {}
            false if other.line == first.line && messages.len() < 3 => messages.push(other.message),
            false => more += 1,
        }
    }
    let mut detail = format!("{}: {}", source.name, messages.join("; "));
    if more > 0 {
        detail.push_str(&format!("; and {more} more"));
    }
    let range = line_range(source.body, first.line - head_lines, first.column);
    Error::new(ErrorKind::Shader, "glCompileShader", detail).with_span(Span::new(source.body_path, source.body, range))
}

/// The bytes of line `line` (from 1), from `column` (from 1) or its first character to its last.
fn line_range(text: &str, line: usize, column: Option<usize>) -> std::ops::Range<usize> {
    let mut start = 0;
    for (index, content) in text.split_inclusive('\n').enumerate() {
        if index + 1 == line {
            let end = start + content.trim_end().len();
            let blank = content.len() - content.trim_start().len();
            let wanted = column.and_then(|column| content.char_indices().nth(column.saturating_sub(1)));
            let from = wanted.map_or(start + blank, |(at, _)| start + at);
            return from.min(end)..end;
        }
        start += content.len();
    }
    text.len()..text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_four_drivers() {
        let line = |line, column, message| Some(LogLine { line, column, message });
        assert_eq!(parse_log_line("0:12(5): error: `foo' undeclared"), line(12, Some(5), "`foo' undeclared"));
        assert_eq!(
            parse_log_line("0:12: L0002: Undeclared variable 'foo'"),
            line(12, None, "L0002: Undeclared variable 'foo'")
        );
        assert_eq!(
            parse_log_line("0(12) : error C1503: undefined variable \"foo\""),
            line(12, None, "error C1503: undefined variable \"foo\"")
        );
        assert_eq!(
            parse_log_line("ERROR: 0:12: 'foo' : undeclared identifier"),
            line(12, None, "'foo' : undeclared identifier")
        );
        assert_eq!(parse_log_line("1 compilation errors generated."), None);
        assert_eq!(parse_log_line("0"), None);
        assert_eq!(parse_log_line("0:99999999999999999999: x"), None);
    }

    #[test]
    fn errors_point_into_the_authors_file() {
        let source = ProgramSource {
            name: "blur",
            version: ShaderVersion::Essl100,
            vertex: "",
            prelude: "a\nb",
            body: "x\n  foo = 1;\n",
            body_path: Path::new("blur.frag"),
        };
        let head = "#version 100\na\nb\n";
        let error = body_error(&source, head, "0:5(3): error: `foo' undeclared\n0:5(3): error: type mismatch");
        assert_eq!(error.to_string(), "blur.frag:2:3: glCompileShader: blur: `foo' undeclared; type mismatch");
        let error = body_error(&source, head, "0:2(1): error: syntax error");
        assert!(error.to_string().contains("in the generated prelude, `a`: syntax error"), "{error}");
        let error = body_error(&source, head, "Out of registers.");
        assert!(error.to_string().contains("blur: Out of registers."), "{error}");
        let error = body_error(&source, head, "0:500: L0001: x");
        assert_eq!(error.kind(), ErrorKind::Shader);
    }
}
