//! A model drawn into a target: its surfaces' programs, its buffers and textures, depth and samples.
//!
//! In: a [`Model`], the keys of the pass, a shader of its surfaces where there is one. Out: a [`MeshPass`].
//! Not here: reading the model (`model`), who looks at it (`model::view`), GL (`gles`).
//!
//! Colours are multiplied by alpha while they are drawn: only so do surfaces, samples and an empty background mix. Where
//! the background is not opaque a last draw divides by alpha again, as every pass gives straight alpha.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use glam::{DMat3, DMat4};
use image::imageops::{self, FilterType};

use super::{Moment, Pass, PassInput};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::gles::program::{POSITION, UV, Uniform};
use crate::gles::yuv::{VertexText, glsl_vertex_of};
use crate::gles::{
    self, Attribute, DepthTarget, Framebuffer, Geometry, Gl, Program, ProgramSource, ShaderVersion, Sides, Surface,
    Texture, TextureOptions,
};
use crate::layout::Size;
use crate::pipeline::description::{MeshKeys, Samples};
use crate::pipeline::description::{Optimize, Step};
use crate::pipeline::model::view::{self, View};
use crate::pipeline::model::{AlphaMode, Material, Model, Picture, Repeat, TextureReading};
use crate::pipeline::parameters::ParameterSet;
use crate::pipeline::plan::Setting;
use crate::pipeline::shader::{Entry, Shader, Version};

const NORMAL: &str = "df_normal";
const COORDINATES: &str = "df_coordinates";
const TINT: &str = "df_tint";

const PLAIN: [Attribute; 3] = [
    Attribute { name: POSITION, components: 3 },
    Attribute { name: NORMAL, components: 3 },
    Attribute { name: COORDINATES, components: 2 },
];
const TINTED: [Attribute; 4] = [PLAIN[0], PLAIN[1], PLAIN[2], Attribute { name: TINT, components: 4 }];

/// What a surface's colour is where the author says nothing.
const SURFACE: &str = "vec4 pixel(vec2 uv) { return mesh_color(); }\n";
/// From colours multiplied by alpha to straight ones.
const STRAIGHT: &str = "vec4 pixel(vec2 uv) { vec4 c = picture(); return vec4(c.rgb / max(c.a, 0.0019), c.a); }\n";

/// What makes two surfaces' programs different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Look {
    textured: bool,
    tinted: bool,
    /// The factor is not white.
    colored: bool,
    unlit: bool,
    alpha: Alpha,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Alpha {
    Opaque,
    Mask,
    Blend,
}

/// A model, ready to be drawn in every frame.
pub struct MeshPass {
    model: Arc<Model>,
    keys: MeshKeys,
    inputs: Vec<PassInput>,
    version: ShaderVersion,
    programs: HashMap<Look, Program>,
    /// As [`Model::parts`].
    parts: Vec<Vec<Geometry>>,
    /// As [`Model::images`], for each way in which one is read.
    textures: Vec<Vec<(TextureReading, Texture)>>,
    view: View,
    depth: DepthTarget,
    /// What is drawn into where the target itself cannot be, and the draw from there into the target.
    aside: Option<(Framebuffer, Pass)>,
    /// The last draw makes alpha straight.
    straightens: bool,
    clear: [f32; 4],
}

/// What a mesh pass is made of.
pub struct MeshOptions<'a> {
    /// Name of the pass.
    pub name: &'a str,
    /// The model.
    pub model: Arc<Model>,
    /// Keys of the pass.
    pub keys: &'a MeshKeys,
    /// The author's shader of its surfaces.
    pub shader: Option<&'a Shader>,
    /// Pictures that the shader reads, or that are shown on the model.
    pub inputs: Vec<PassInput>,
    /// Size and format of the target.
    pub target: (Size, Fourcc),
    /// Values of the shader's uniforms.
    pub values: &'a [Setting],
    /// The background.
    pub clear: [f32; 4],
    /// Which steps are taken: `precision` is one for the driver.
    pub optimize: Optimize,
}

impl MeshPass {
    /// Compiles the programs and copies the model to GL.
    ///
    /// # Errors
    /// `Shader` with the author's line; `Unsupported`: more samples than the driver offers, an author's `main`;
    /// `InvalidInput`: a camera that is not there, a texture larger than the driver's.
    pub fn new(gl: &Gl, options: MeshOptions<'_>) -> Result<Self> {
        let MeshOptions { name, model, keys, shader, inputs, target: (size, fourcc), values, clear, optimize } =
            options;
        let default;
        let shader = match shader {
            Some(shader) => shader,
            None => {
                default = Shader::parse("surface.frag", SURFACE)?;
                &default
            }
        };
        if shader.entry != Entry::Pixel {
            let detail = format!("{}: a surface's shader has vec4 pixel(vec2 uv)", shader.path.display());
            return Err(Error::unsupported("mesh", detail));
        }
        let view = View::new(&model, keys, size)?;
        let samples = match keys.samples.0 {
            Samples::Number(samples) => samples,
            Samples::Max => gles::max_samples(gl),
        };
        let depth = DepthTarget::new(gl, size, fourcc, samples).map_err(|error| {
            let hint = "samples = \"max\" takes what the driver offers";
            if samples > 1 { error.with_hint(hint) } else { error }
        })?;
        let version = if shader.version == Version::Es100 { ShaderVersion::Essl100 } else { ShaderVersion::Essl300 };
        let mut pass = Self {
            straightens: clear[3] < 1.0 && (samples > 1 || model.blends()),
            programs: HashMap::new(),
            parts: Vec::new(),
            textures: (0..model.images.len()).map(|_| Vec::new()).collect(),
            aside: None,
            keys: keys.clone(),
            model,
            inputs,
            version,
            view,
            depth,
            clear,
        };
        pass.compile(gl, name, shader, (size, fourcc), values, optimize)?;
        pass.upload(gl)?;
        if pass.straightens || pass.depth.needs_own_texture() {
            pass.aside = Some(pass.make_aside(gl, name, (size, fourcc), optimize)?);
        }
        Ok(pass)
    }

    fn look(&self, part: usize) -> Look {
        let part = &self.model.parts[part];
        let material = &self.model.materials[part.material];
        Look {
            textured: self.keys.texture.is_none() && material.texture.is_some(),
            tinted: part.has_colors,
            colored: material.factor != [1.0; 4],
            unlit: material.unlit || self.keys.ambient == 1.0,
            alpha: match material.alpha {
                AlphaMode::Opaque => Alpha::Opaque,
                AlphaMode::Mask(_) => Alpha::Mask,
                AlphaMode::Blend => Alpha::Blend,
            },
        }
    }

    fn compile(
        &mut self,
        gl: &Gl,
        name: &str,
        shader: &Shader,
        (size, fourcc): (Size, Fourcc),
        values: &[Setting],
        optimize: Optimize,
    ) -> Result<()> {
        let clamps = fourcc.format()?.component_bits <= 10;
        let highp = gl.caps().is_software && optimize.has(Step::Precision);
        let views: Vec<gles::Input<'_>> = self.inputs.iter().map(PassInput::as_input).collect();
        let prelude = super::prelude(shader, self.version, &views, (size, clamps), highp, false)?;
        let vertex = vertex(self.version, &views)?;
        let light = glam::DVec3::from(self.keys.light).normalize_or_zero().as_vec3().to_array();
        let mut programs = HashMap::new();
        for draw in &self.model.draws {
            let look = self.look(draw.part);
            if programs.contains_key(&look) {
                continue;
            }
            let prelude = format!("{prelude}{}", surface(self.version, look, self.keys.texture.as_deref()));
            let source = ProgramSource {
                name,
                version: self.version,
                vertex: &vertex,
                prelude: &prelude,
                body: &body(shader, self.version, look),
                body_path: &shader.path,
            };
            let program = Program::new(gl, &source).map_err(|error| super::at_author(shader, &self.inputs, error))?;
            let pixels = |size: Size| Uniform::Vec2([size.width as f32, size.height as f32]);
            program.set(gl, "resolution", pixels(size))?;
            for input in &self.inputs {
                program.set(gl, &format!("{}_size", input.name), pixels(input.size))?;
            }
            for setting in values {
                super::set(gl, &program, &setting.uniform, &setting.numbers)?;
            }
            program.set(gl, "df_light", Uniform::Vec3(light))?;
            program.set(gl, "df_ambient", Uniform::Float(self.keys.ambient as f32))?;
            programs.insert(look, program);
        }
        drop(views);
        self.programs = programs;
        Ok(())
    }

    fn upload(&mut self, gl: &Gl) -> Result<()> {
        for part in &self.model.parts {
            let attributes: &[Attribute] = if part.has_colors { &TINTED } else { &PLAIN };
            let chunks = part.chunks.iter();
            let geometry = chunks.map(|chunk| Geometry::new(gl, attributes, &chunk.vertices, &chunk.indices));
            self.parts.push(geometry.collect::<Result<_>>()?);
        }
        if self.keys.texture.is_some() {
            return Ok(());
        }
        for material in &self.model.materials {
            let Some((image, reading)) = material.texture else { continue };
            if self.textures[image].iter().all(|(known, _)| *known != reading) {
                let file = self.model.files.first().map_or(String::new(), |file| file.display().to_string());
                let texture = texture(gl, &self.model.images[image], reading).map_err(|e| e.in_context(file))?;
                self.textures[image].push((reading, texture));
            }
        }
        Ok(())
    }

    fn make_aside(
        &self,
        gl: &Gl,
        name: &str,
        (size, fourcc): (Size, Fourcc),
        optimize: Optimize,
    ) -> Result<(Framebuffer, Pass)> {
        let framebuffer =
            Framebuffer::new(gl, Texture::new(gl, size, &TextureOptions { fourcc, ..TextureOptions::default() })?)?;
        let picture = PassInput::picture(size);
        let shader = self.straightens.then(|| Shader::parse("straight.frag", STRAIGHT)).transpose()?;
        let pass = Pass::new(gl, name, shader.as_ref(), vec![picture], (size, fourcc), &[], optimize)?;
        Ok((framebuffer, pass))
    }

    /// Its inputs, in the order of the textures that [`draw`](MeshPass::draw) takes.
    pub fn inputs(&self) -> &[PassInput] {
        &self.inputs
    }

    /// `1.00` or `3.00`.
    pub fn version(&self) -> &'static str {
        super::version_name(self.version)
    }

    /// Gives every uniform of `settings` its numbers.
    ///
    /// # Errors
    /// As [`Program::set`].
    pub fn assign(&self, gl: &Gl, settings: &[Setting]) -> Result<()> {
        for (program, setting) in self.programs.values().flat_map(|p| settings.iter().map(move |s| (p, s))) {
            super::set(gl, program, &setting.uniform, &setting.numbers)?;
        }
        Ok(())
    }

    /// Gives the uniforms of `settings` that take a parameter its value.
    ///
    /// # Errors
    /// As [`Program::set`].
    pub fn update(&self, gl: &Gl, settings: &[Setting], parameters: &ParameterSet) -> Result<()> {
        for setting in settings {
            if let Some(numbers) = setting.parameter.as_deref().and_then(|name| parameters.value(name)) {
                for program in self.programs.values() {
                    super::set(gl, program, &setting.uniform, numbers)?;
                }
            }
        }
        Ok(())
    }

    /// Draws one frame into `target`. `textures` are those of each input.
    ///
    /// # Errors
    /// `Failed` where the driver reports an error; `Unsupported` where it does not draw into the target with depth.
    pub fn draw(&self, gl: &Gl, target: &Framebuffer, textures: &[Vec<&Texture>], moment: Moment) -> Result<()> {
        let is_image = target.texture().is_some_and(|texture| texture.image().is_some());
        let aside = self.aside.as_ref().filter(|_| self.straightens || is_image);
        let into = aside.map_or(target, |(framebuffer, _)| framebuffer);
        let alpha = if self.straightens { self.clear[3] } else { 1.0 };
        let [r, g, b, a] = self.clear;
        self.depth.begin(gl, into, [r * alpha, g * alpha, b * alpha, a])?;
        self.draw_all(gl, textures, moment)?;
        self.depth.end(gl, into)?;
        if let Some((framebuffer, pass)) = aside {
            let texture = framebuffer.texture().ok_or_else(|| Error::failed("mesh", "the target is no texture"))?;
            for sampling in &pass.inputs()[0].samplings {
                sampling.apply(gl, texture)?;
            }
            target.bind(gl)?;
            pass.draw(gl, &[vec![texture]], moment)?;
        }
        Ok(())
    }

    fn draw_all(&self, gl: &Gl, textures: &[Vec<&Texture>], moment: Moment) -> Result<()> {
        let Moment { frame, seconds, .. } = moment;
        let keys = &self.keys;
        let turn = view::turn(&self.model, keys.turntable.map(|text| text.0), keys.axis, frame, seconds);
        let from_world = self.view.camera * turn;
        for program in self.programs.values() {
            let mut unit = 0;
            for (input, textures) in self.inputs.iter().zip(textures) {
                unit = input.as_input().bind(gl, program, textures, unit)?;
            }
            program.set(gl, "df_base", Uniform::Sampler(unit))?;
            program.set(gl, "time", Uniform::Float(seconds as f32))?;
            program.set(gl, "frame", Uniform::Int((frame % (1 << 31)) as i32))?;
        }
        let base_unit: u32 = textures.iter().map(|textures| textures.len() as u32).sum();
        let is_blended = |draw: &&crate::pipeline::model::Draw| self.material(draw.part).alpha == AlphaMode::Blend;
        let depth = |draw: &crate::pipeline::model::Draw| {
            (from_world * draw.place).transform_point3(self.model.parts[draw.part].center).z
        };
        let (mut blended, solid): (Vec<_>, Vec<_>) = self.model.draws.iter().partition(is_blended);
        // Towards the viewer is +z: what is far comes first.
        blended.sort_by(|one, other| depth(one).total_cmp(&depth(other)));
        for draw in solid.into_iter().chain(blended) {
            let material = self.material(draw.part);
            let Some(program) = self.programs.get(&self.look(draw.part)) else { continue };
            let place = from_world * draw.place;
            self.set_place(gl, program, place)?;
            program.set(gl, "df_factor", Uniform::Vec4(material.factor))?;
            if let AlphaMode::Mask(cutoff) = material.alpha {
                program.set(gl, "df_cutoff", Uniform::Float(cutoff))?;
            }
            if let Some((image, reading)) = material.texture
                && let Some((_, texture)) = self.textures[image].iter().find(|(known, _)| *known == reading)
            {
                texture.bind(gl, base_unit)?;
            }
            // The projection turns y round; in a mirror triangles go round the other way, and fronts stay fronts.
            let mirrored = DMat3::from_mat4(place).determinant() < 0.0;
            let surface = Surface {
                front: if mirrored { Sides::CounterClockwise } else { Sides::Clockwise },
                culls: !material.double_sided,
                blends: material.alpha == AlphaMode::Blend,
            };
            for geometry in &self.parts[draw.part] {
                geometry.draw(gl, program, surface)?;
            }
        }
        Ok(())
    }

    fn material(&self, part: usize) -> &Material {
        &self.model.materials[self.model.parts[part].material]
    }

    fn set_place(&self, gl: &Gl, program: &Program, place: DMat4) -> Result<()> {
        let clip = (self.view.projection * place).as_mat4().to_cols_array();
        let linear = DMat3::from_mat4(place);
        // Normals stay upright on their surfaces; where space is squeezed flat there is no such thing.
        let normals = match linear.determinant().abs() > 1e-30 {
            true => linear.inverse().transpose(),
            false => linear,
        };
        // Their length does not matter, and large or small numbers would.
        let scale = normals.to_cols_array().iter().fold(0.0f64, |max, number| max.max(number.abs())).max(1e-300);
        program.set(gl, "df_clip", Uniform::Mat4(clip))?;
        program.set(gl, "df_upright", Uniform::Mat3((normals * (1.0 / scale)).as_mat3().to_cols_array()))?;
        Ok(())
    }
}

/// A picture of the file as a texture.
fn texture(gl: &Gl, picture: &Picture, reading: TextureReading) -> Result<Texture> {
    let wrap = |repeat: Repeat| match repeat {
        Repeat::Clamp => gles::Wrap::ClampToEdge,
        Repeat::Again => gles::Wrap::Repeat,
        Repeat::Mirrored => gles::Wrap::MirroredRepeat,
    };
    let filter = |linear: bool| if linear { gles::Filter::Linear } else { gles::Filter::Nearest };
    let Picture { mut size, .. } = *picture;
    let scaled;
    let mut bytes = &picture.bytes;
    let repeats = reading.wraps != [Repeat::Clamp; 2];
    let wanted = Size::new(size.width.next_power_of_two(), size.height.next_power_of_two());
    if repeats && wanted != size && !gles::sampling::has_npot(gl) {
        // OpenGL ES 2 repeats no other sizes.
        gles::texture::check_size(gl, wanted)?;
        scaled = enlarged(picture, wanted)?;
        (bytes, size) = (&scaled, wanted);
    }
    let texture = Texture::new(gl, size, &TextureOptions::default())?;
    texture.upload(gl, bytes, size.width * 4)?;
    texture.set_wraps(gl, wrap(reading.wraps[0]), wrap(reading.wraps[1]))?;
    texture.set_filters(gl, filter(reading.larger_is_linear), filter(reading.smaller_is_linear), reading.mipmaps)?;
    Ok(texture)
}

/// The picture in a larger size.
fn enlarged(picture: &Picture, size: Size) -> Result<Vec<u8>> {
    let given = image::RgbaImage::from_raw(picture.size.width, picture.size.height, picture.bytes.clone());
    let given = given.ok_or_else(|| Error::failed("texture", "its bytes are not as many as its size says"))?;
    Ok(imageops::resize(&given, size.width, size.height, FilterType::Triangle).into_raw())
}

/// The vertex shader of every surface.
fn vertex(version: ShaderVersion, inputs: &[gles::Input<'_>]) -> Result<String> {
    let (attribute, varying) = match version {
        ShaderVersion::Essl100 => ("attribute", "varying"),
        _ => ("in", "out"),
    };
    let mut declarations = String::new();
    for (kind, name) in [("vec3", POSITION), ("vec3", NORMAL), ("vec2", COORDINATES), ("vec4", TINT)] {
        let _ = writeln!(declarations, "{attribute} {kind} {name};");
    }
    declarations.push_str("uniform mat4 df_clip;\nuniform mat3 df_upright;\n");
    let _ = writeln!(declarations, "{varying} vec3 df_facing;\n{varying} vec4 df_tinted;");
    let body = format!(
        "    vec3 n = df_upright * {NORMAL};\n    df_facing = n * inversesqrt(max(dot(n, n), 1e-12));\n    df_tinted = {TINT};\n    gl_Position = df_clip * vec4({POSITION}, 1.0);\n"
    );
    glsl_vertex_of(version, inputs, &VertexText { declarations: &declarations, uv: COORDINATES, body: &body })
}

/// What a surface's shader finds beside the inputs.
fn surface(version: ShaderVersion, look: Look, shown: Option<&str>) -> String {
    let (varying, read) = match version {
        ShaderVersion::Essl100 => ("varying", "texture2D"),
        _ => ("in", "texture"),
    };
    let mut text = format!(
        "{varying} DF_P vec3 df_facing;\n{varying} DF_P vec4 df_tinted;\nuniform DF_P vec4 df_factor;\n\
         uniform DF_P vec3 df_light;\nuniform DF_P float df_ambient;\nuniform DF_P float df_cutoff;\n"
    );
    // The transfer function of sRGB (IEC 61966-2-1), both ways.
    text.push_str(
        "vec3 df_linear(vec3 c) { return mix(c * (1.0 / 12.92), pow((c + 0.055) * (1.0 / 1.055), vec3(2.4)), \
         step(0.04045, c)); }\n\
         vec3 df_encoded(vec3 c) { return mix(c * 12.92, 1.055 * pow(max(c, 0.0), vec3(1.0 / 2.4)) - 0.055, \
         step(0.0031308, c)); }\n",
    );
    let texel = match (shown, look.textured) {
        (Some(input), _) => format!("{input}()"),
        (None, true) => {
            text.push_str("uniform DF_P sampler2D df_base;\n");
            format!("{read}(df_base, {UV})")
        }
        (None, false) => "vec4(1.0)".into(),
    };
    let factor = match (look.colored, look.tinted) {
        (true, true) => "df_factor * df_tinted",
        (true, false) => "df_factor",
        (false, true) => "df_tinted",
        (false, false) => "",
    };
    let _ = writeln!(text, "vec4 df_texel() {{ return {texel}; }}");
    text.push_str(
        "vec3 mesh_normal() { vec3 n = df_facing * inversesqrt(max(dot(df_facing, df_facing), 1e-12)); \
         return gl_FrontFacing ? n : -n; }\n",
    );
    text.push_str(match look.unlit {
        true => "float mesh_light() { return 1.0; }\n",
        false => {
            "float mesh_light() { return df_ambient + (1.0 - df_ambient) * max(dot(mesh_normal(), df_light), 0.0); }\n"
        }
    });
    // In linear light, what is there of factor and light; a texture that is multiplied by nothing stays as it is.
    let product = |factor: &str, light: &str| {
        let (rgb, alpha) = match factor {
            "" => ("df_linear(t.rgb)".to_owned(), "t.a".to_owned()),
            factor => (format!("df_linear(t.rgb) * ({factor}).rgb"), format!("t.a * ({factor}).a")),
        };
        match (factor, light) {
            ("", "") => "return t;".to_owned(),
            _ => format!("return vec4(df_encoded({rgb}{light}), {alpha});"),
        }
    };
    let light = if look.unlit { "" } else { " * mesh_light()" };
    let _ = writeln!(text, "vec4 mesh_base() {{ vec4 t = df_texel(); {} }}", product(factor, ""));
    let _ = writeln!(text, "vec4 mesh_color() {{ vec4 t = df_texel(); {} }}", product(factor, light));
    text
}

/// The author's text, and what becomes of its alpha.
fn body(shader: &Shader, version: ShaderVersion, look: Look) -> String {
    let target = if version == ShaderVersion::Essl100 { "gl_FragColor" } else { "df_color" };
    let alpha = match look.alpha {
        Alpha::Opaque => "c.a = 1.0;",
        Alpha::Mask => "if (c.a < df_cutoff) discard; c.a = 1.0;",
        Alpha::Blend => "c = vec4(c.rgb * c.a, c.a);",
    };
    format!("{}void main() {{ vec4 c = pixel({UV}); {alpha} {target} = c; }}\n", shader.text)
}
