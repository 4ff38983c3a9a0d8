//! Draws that tests read back: textures copied texel by texel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use darkframe::error::Result;
use darkframe::gles::program::{Program, ProgramSource, ShaderVersion, Uniform};
use darkframe::gles::{Filter, Framebuffer, Gl, Texture, TextureOptions, TextureTarget, readback, yuv};

/// A program in GLSL ES 1.00 that covers its target.
pub fn program(gl: &Gl, prelude: &str, body: &str) -> Result<Program> {
    Program::new(
        gl,
        &ProgramSource {
            name: "test",
            version: ShaderVersion::Essl100,
            vertex: &yuv::glsl_vertex(ShaderVersion::Essl100, &[])?,
            prelude,
            body,
            body_path: Path::new("test.frag"),
        },
    )
}

/// Keeps the programs of draws that come again: an emulated machine takes long to compile them.
#[derive(Default)]
pub struct Mapper(RefCell<HashMap<(TextureTarget, String), Program>>);

impl Mapper {
    /// `expression` for every texel of `texture`, which it knows as `texel`: bytes R, G, B, A, top row first.
    pub fn map(&self, gl: &Gl, texture: &Texture, levels: [f32; 4], expression: &str) -> Result<Vec<u8>> {
        let key = (texture.target(), expression.to_owned());
        let mut programs = self.0.borrow_mut();
        if !programs.contains_key(&key) {
            programs.insert(key.clone(), mapping_program(gl, texture.target(), expression)?);
        }
        run(gl, &programs[&key], texture, levels)
    }
}

fn mapping_program(gl: &Gl, target: TextureTarget, expression: &str) -> Result<Program> {
    let (extension, sampler) = match target {
        TextureTarget::External => ("#extension GL_OES_EGL_image_external : require\n", "samplerExternalOES"),
        TextureTarget::TwoD => ("", "sampler2D"),
    };
    let prelude = format!(
        "{extension}precision highp float;\nuniform highp {sampler} image;\nuniform vec2 size;\nuniform vec4 levels;\n"
    );
    let body = format!(
        "void main() {{ vec4 texel = texture2D(image, gl_FragCoord.xy / size); gl_FragColor = {expression}; }}"
    );
    program(gl, &prelude, &body)
}

fn run(gl: &Gl, program: &Program, texture: &Texture, levels: [f32; 4]) -> Result<Vec<u8>> {
    let options = TextureOptions { filter: Filter::Nearest, ..TextureOptions::default() };
    let target = Framebuffer::new(gl, Texture::new(gl, texture.size(), &options)?)?;
    texture.set_filter(gl, Filter::Nearest)?;
    texture.bind(gl, 0)?;
    program.set(gl, "image", Uniform::Sampler(0))?;
    program.set(gl, "size", Uniform::Vec2([texture.size().width as f32, texture.size().height as f32]))?;
    if program.has_uniform("levels") {
        program.set(gl, "levels", Uniform::Vec4(levels))?;
    }
    target.bind(gl)?;
    program.draw_triangle(gl)?;
    let mut pixels = vec![0; texture.size().pixels() as usize * 4];
    readback::read_pixels(gl, &target, &mut pixels)?;
    gl.check()?;
    Ok(pixels)
}

/// Copies `texture` texel by texel into memory of its own and reads it back.
pub fn sampled(gl: &Gl, texture: &Texture) -> Result<Vec<u8>> {
    Mapper::default().map(gl, texture, [0.0; 4], "texel")
}
