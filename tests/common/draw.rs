//! Draws that tests read back: textures copied texel by texel.

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

/// `expression` for every texel of `texture`, which it knows as `texel`: bytes R, G, B, A, top row first.
pub fn mapped(gl: &Gl, texture: &Texture, levels: [f32; 4], expression: &str) -> Result<Vec<u8>> {
    let (extension, sampler) = match texture.target() {
        TextureTarget::External => ("#extension GL_OES_EGL_image_external : require\n", "samplerExternalOES"),
        TextureTarget::TwoD => ("", "sampler2D"),
    };
    let prelude = format!(
        "{extension}precision highp float;\nuniform highp {sampler} image;\nuniform vec2 size;\nuniform vec4 levels;\n"
    );
    let body = format!(
        "void main() {{ vec4 texel = texture2D(image, gl_FragCoord.xy / size); gl_FragColor = {expression}; }}"
    );
    let program = program(gl, &prelude, &body)?;
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
    mapped(gl, texture, [0.0; 4], "texel")
}
