//! A compute shader that stores a target.
//!
//! In: a [`Shader`], how each input reaches it, values, work groups. Out: a [`ComputePass`].
//! Not here: the target's textures (`runner::target`), the inputs' functions (`gles::yuv`).
//!
//! Shaders store into textures of fixed storage only. Where the target is an image of a dma-buf, or a texture of another
//! kind, the shader stores into a texture beside it, and a draw copies that.

use std::fmt::Write as _;

use super::{BUILT_IN, Moment, Pass, PassInput};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::gles::compute::{self, ComputeSource};
use crate::gles::program::Uniform;
use crate::gles::{self, Framebuffer, Gl, Program, ShaderVersion, Texture};
use crate::layout::Size;
use crate::pipeline::description::{Optimize, Step};
use crate::pipeline::parameters::ParameterSet;
use crate::pipeline::plan::Setting;
use crate::pipeline::shader::Shader;

/// The name of the image that the shader stores.
pub const TARGET: &str = "target";

/// A compute shader with its inputs.
pub struct ComputePass {
    program: Program,
    inputs: Vec<PassInput>,
    groups: [u32; 2],
    clear: Option<[f32; 4]>,
    /// What is stored into where the target itself cannot be, and the draw from there into the target.
    aside: Option<(Framebuffer, Pass)>,
}

/// What a compute pass is made of.
pub struct ComputeOptions<'a> {
    /// Name of the pass.
    pub name: &'a str,
    /// The author's shader.
    pub shader: &'a Shader,
    /// Pictures that it reads.
    pub inputs: Vec<PassInput>,
    /// Size and format of the target.
    pub target: (Size, Fourcc),
    /// Values of the shader's uniforms.
    pub values: &'a [Setting],
    /// Invocations of a work group.
    pub local_size: [u32; 2],
    /// Work groups; as many as cover the target where nothing is said.
    pub groups: Option<[u32; 2]>,
    /// The colour of texels that are not stored.
    pub clear: Option<[f32; 4]>,
    /// The target's own textures cannot be stored.
    pub needs_aside: bool,
    /// Which steps are taken: `precision` is one for the driver.
    pub optimize: Optimize,
}

impl ComputePass {
    /// Compiles the shader.
    ///
    /// # Errors
    /// `Shader` with the author's line; `Unsupported`: a context below OpenGL ES 3.1, a format that shaders do not store,
    /// larger work groups than the driver's.
    pub fn new(gl: &Gl, options: ComputeOptions<'_>) -> Result<Self> {
        let ComputeOptions { name, shader, inputs, target: (size, fourcc), values, local_size, groups, clear, .. } =
            options;
        compute::check(gl, local_size)?;
        let image = compute::image_format(fourcc)?;
        let views: Vec<gles::Input<'_>> = inputs.iter().map(PassInput::as_input).collect();
        let mut prelude = String::new();
        for extension in &shader.extensions {
            let _ = writeln!(prelude, "{extension}");
        }
        prelude.push_str(&gles::yuv::glsl_head(ShaderVersion::Essl310, &views)?);
        if gl.caps().is_software && options.optimize.has(Step::Precision) {
            prelude.push_str("#define mediump highp\n#define lowp highp\n");
        }
        prelude.push_str("precision highp float;\nprecision highp int;\nprecision highp sampler2D;\n");
        let _ = writeln!(prelude, "layout(local_size_x = {}, local_size_y = {}) in;", local_size[0], local_size[1]);
        let _ = writeln!(prelude, "layout({image}, binding = 0) writeonly uniform highp image2D {TARGET};");
        let declared = |name: &str| shader.uniforms.iter().any(|uniform| uniform.name == name);
        for (name, kind) in BUILT_IN.into_iter().zip(["float", "int", "vec2"]) {
            if !declared(name) {
                let _ = writeln!(prelude, "uniform {kind} {name};");
            }
        }
        for input in &inputs {
            let name = format!("{}_size", input.name);
            if !declared(&name) {
                let _ = writeln!(prelude, "uniform vec2 {name};");
            }
        }
        let source = ComputeSource { name, prelude: &prelude, body: &shader.text, body_path: &shader.path };
        let program = compute::program(gl, &source).map_err(|error| super::at_author(shader, &inputs, error))?;
        drop(views);
        let pixels = |size: Size| Uniform::Vec2([size.width as f32, size.height as f32]);
        for name in ["resolution", "df_resolution"] {
            program.set(gl, name, pixels(size))?;
        }
        for input in &inputs {
            program.set(gl, &format!("{}_size", input.name), pixels(input.size))?;
        }
        for setting in values {
            if !super::set(gl, &program, &setting.uniform, &setting.numbers)? {
                tracing::warn!(uniform = setting.uniform.name, "the shader declares it and does not use it");
            }
        }
        let aside = match options.needs_aside {
            true => Some(make_aside(gl, name, (size, fourcc), options.optimize)?),
            false => None,
        };
        let cover = |pixels: u32, local: u32| pixels.div_ceil(local);
        let groups = groups.unwrap_or([cover(size.width, local_size[0]), cover(size.height, local_size[1])]);
        Ok(Self { program, inputs, groups, clear, aside })
    }

    /// Its inputs, in the order of the textures that [`run`](ComputePass::run) takes.
    pub fn inputs(&self) -> &[PassInput] {
        &self.inputs
    }

    /// Gives every uniform of `settings` its numbers.
    ///
    /// # Errors
    /// As [`Program::set`].
    pub fn assign(&self, gl: &Gl, settings: &[Setting]) -> Result<()> {
        settings.iter().try_for_each(|set| super::set(gl, &self.program, &set.uniform, &set.numbers).map(|_| ()))
    }

    /// Gives the uniforms of `settings` that take a parameter its value.
    ///
    /// # Errors
    /// As [`Program::set`].
    pub fn update(&self, gl: &Gl, settings: &[Setting], parameters: &ParameterSet) -> Result<()> {
        for setting in settings {
            if let Some(numbers) = setting.parameter.as_deref().and_then(|name| parameters.value(name)) {
                super::set(gl, &self.program, &setting.uniform, numbers)?;
            }
        }
        Ok(())
    }

    /// Stores one frame into `target`. `textures` are those of each input.
    ///
    /// # Errors
    /// `Failed` where the driver reports an error.
    pub fn run(&self, gl: &Gl, target: &Framebuffer, textures: &[Vec<&Texture>], moment: Moment) -> Result<()> {
        let storable = target.texture().is_some_and(Texture::is_storage);
        let aside = self.aside.as_ref().filter(|_| !storable);
        let into = aside.map_or(target, |(framebuffer, _)| framebuffer);
        let Some(texture) = into.texture().filter(|texture| texture.is_storage()) else {
            return Err(Error::failed("compute", "the target is no texture of fixed storage"));
        };
        if let Some(color) = self.clear {
            into.bind(gl)?;
            gl.clear(color);
        }
        let mut unit = 0;
        for (input, textures) in self.inputs.iter().zip(textures) {
            unit = input.as_input().bind(gl, &self.program, textures, unit)?;
        }
        self.program.set(gl, "time", Uniform::Float(moment.seconds as f32))?;
        self.program.set(gl, "frame", Uniform::Int((moment.frame % (1 << 31)) as i32))?;
        compute::dispatch(gl, &self.program, texture, self.groups)?;
        if let Some((_, pass)) = aside {
            for sampling in &pass.inputs()[0].samplings {
                sampling.apply(gl, texture)?;
            }
            target.bind(gl)?;
            pass.draw(gl, &[vec![texture]], moment)?;
        }
        Ok(())
    }
}

fn make_aside(gl: &Gl, name: &str, (size, fourcc): (Size, Fourcc), optimize: Optimize) -> Result<(Framebuffer, Pass)> {
    let framebuffer = Framebuffer::new(gl, Texture::storage(gl, size, fourcc)?)?;
    let picture = PassInput::picture(size);
    Ok((framebuffer, Pass::new(gl, name, None, vec![picture], (size, fourcc), &[], optimize)?))
}
