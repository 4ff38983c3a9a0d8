//! The draws of cases: a texture copied texel by texel, a pattern drawn into a target.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use crate::error::Result;
use crate::gles::program::{Program, ProgramSource, ShaderVersion, Uniform};
use crate::gles::{Filter, Framebuffer, Gl, Texture, TextureOptions, TextureTarget, readback, yuv};

/// A program in GLSL ES 1.00 that covers its target.
pub fn program(gl: &Gl, prelude: &str, body: &str) -> Result<Program> {
    Program::new(
        gl,
        &ProgramSource {
            name: "selftest",
            version: ShaderVersion::Essl100,
            vertex: &yuv::glsl_vertex(ShaderVersion::Essl100, &[])?,
            prelude,
            body,
            body_path: Path::new("selftest.frag"),
        },
    )
}

/// The best float that every fragment shader of this context has.
pub fn precision(gl: &Gl) -> &'static str {
    if gl.caps().fragment_highp { "highp" } else { "mediump" }
}

/// Programs of draws that come again: emulated machines take long to compile them.
#[derive(Default)]
pub struct Mapper(RefCell<HashMap<String, Program>>);

impl Mapper {
    /// Calls `draw` with a program, made once for its texts.
    pub fn with(&self, gl: &Gl, prelude: &str, body: &str, draw: impl FnOnce(&Program) -> Result<()>) -> Result<()> {
        let key = format!("{prelude}{body}");
        let mut programs = self.0.borrow_mut();
        if !programs.contains_key(&key) {
            programs.insert(key.clone(), program(gl, prelude, body)?);
        }
        draw(&programs[&key])
    }

    /// `expression` for every texel of `texture`, which it knows as `texel`: bytes R, G, B, A, top row first.
    pub fn map(&self, gl: &Gl, texture: &Texture, levels: [f32; 4], expression: &str) -> Result<Vec<u8>> {
        let (extension, sampler) = match texture.target() {
            TextureTarget::External => ("#extension GL_OES_EGL_image_external : require\n", "samplerExternalOES"),
            TextureTarget::TwoD => ("", "sampler2D"),
        };
        let precision = precision(gl);
        let prelude = format!(
            "{extension}precision {precision} float;\nuniform {precision} {sampler} image;\nuniform vec2 size;\nuniform vec4 levels;\n"
        );
        let body = format!(
            "void main() {{ vec4 texel = texture2D(image, gl_FragCoord.xy / size); gl_FragColor = {expression}; }}"
        );
        let options = TextureOptions { filter: Filter::Nearest, ..TextureOptions::default() };
        let target = Framebuffer::new(gl, Texture::new(gl, texture.size(), &options)?)?;
        texture.set_filter(gl, Filter::Nearest)?;
        self.with(gl, &prelude, &body, |program| {
            texture.bind(gl, 0)?;
            program.set(gl, "image", Uniform::Sampler(0))?;
            program.set(gl, "size", Uniform::Vec2([texture.size().width as f32, texture.size().height as f32]))?;
            program.set(gl, "levels", Uniform::Vec4(levels))?;
            target.bind(gl)?;
            program.draw_triangle(gl)
        })?;
        let mut pixels = vec![0; texture.size().pixels() as usize * 4];
        readback::read_pixels(gl, &target, &mut pixels)?;
        gl.check()?;
        Ok(pixels)
    }

    /// Copies `texture` texel by texel and reads it back.
    pub fn sampled(&self, gl: &Gl, texture: &Texture) -> Result<Vec<u8>> {
        self.map(gl, texture, [0.0; 4], "texel")
    }

    /// Draws [`pattern`] into `target`; hands it over and does not wait.
    pub fn draw_pattern(&self, gl: &Gl, target: &Framebuffer, turn: u32) -> Result<()> {
        let prelude = format!("precision {} float;\nuniform float turn;\n", precision(gl));
        let body = "void main() {
    vec2 p = floor(gl_FragCoord.xy);
    gl_FragColor = vec4(p.x * 4.0 + 3.0, p.y * 6.0 + 1.0, p.x * 2.0 + p.y * 3.0 + turn, 255.0) / 255.0;
}";
        self.with(gl, &prelude, body, |program| {
            target.bind(gl)?;
            program.set(gl, "turn", Uniform::Float(turn as f32))?;
            program.draw_triangle(gl)
        })?;
        gl.flush();
        gl.check()
    }
}

/// Red, green, blue and alpha of pixel (x, y) of a picture of at most 52 by 37: no two components alike, row 0 told from the
/// last, one turn from the next.
pub fn pattern(x: u32, y: u32, turn: u32) -> [u8; 4] {
    [(x * 4 + 3) as u8, (y * 6 + 1) as u8, (x * 2 + y * 3 + turn) as u8, 255]
}
