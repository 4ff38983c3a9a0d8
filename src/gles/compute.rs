//! Compute shaders that store into one image: OpenGL ES 3.1.
//!
//! In: a shader's text, a texture of fixed storage. Out: a [`Program`] that is dispatched. Not here: what its prelude says
//! (`pipeline::pass::compute`).

use std::path::Path;

use glow::HasContext;

use super::gl::Gl;
use super::program::{Program, ProgramSource, ShaderVersion};
use super::texture::Texture;
use crate::error::{Error, Result};
use crate::format::Fourcc;

const MAX_INVOCATIONS: u32 = 0x90EB;
const MAX_LOCAL_SIZE: u32 = 0x91BF;

/// The texts of a compute shader. `#version` is put before them; write none.
#[derive(Clone, Copy, Debug)]
pub struct ComputeSource<'a> {
    /// For errors: the pass.
    pub name: &'a str,
    /// Generated text before the author's.
    pub prelude: &'a str,
    /// The author's text.
    pub body: &'a str,
    /// The author's file, for errors.
    pub body_path: &'a Path,
}

/// How a shader declares an image of this format: `rgba8`, `rgba16f`, …
///
/// # Errors
/// `Unsupported`: OpenGL ES 3.1 stores no such images.
pub fn image_format(fourcc: Fourcc) -> Result<&'static str> {
    let format = fourcc.format()?;
    match format.gl.map(|twin| twin.internal) {
        Some(glow::RGBA8) => Ok("rgba8"),
        Some(glow::RGBA16F) => Ok("rgba16f"),
        Some(glow::RGBA32F) => Ok("rgba32f"),
        Some(glow::R32F) => Ok("r32f"),
        _ => {
            let detail = format!("{}: compute shaders do not store it", format.name);
            Err(Error::unsupported("image format", detail).with_hint("they store ABGR8888 and ABGR16161616F"))
        }
    }
}

/// Fails where this context has no compute shaders, or not of so many invocations.
///
/// # Errors
/// `Unsupported`.
pub fn check(gl: &Gl, local_size: [u32; 2]) -> Result<()> {
    if !gl.caps().at_least(3, 1) {
        let (major, minor) = gl.caps().version;
        let detail =
            format!("compute shaders need OpenGL ES 3.1: this is {major}.{minor} ({})", gl.caps().version_text);
        let hint = "a fragment shader (shader = \"FILE.frag\") runs everywhere";
        return Err(Error::unsupported("GL_COMPUTE_SHADER", detail).with_hint(hint));
    }
    // SAFETY: a context of version 3.1 is current, which has these values.
    let (all, across, down) = unsafe {
        let glow = gl.glow();
        (
            glow.get_parameter_i32(MAX_INVOCATIONS),
            glow.get_parameter_indexed_i32(MAX_LOCAL_SIZE, 0),
            glow.get_parameter_indexed_i32(MAX_LOCAL_SIZE, 1),
        )
    };
    let [x, y] = local_size;
    let above = |wanted: u32, max: i32| i64::from(wanted) > i64::from(max);
    if above(x * y, all) || above(x, across) || above(y, down) {
        let detail = format!("local-size {x}x{y}: work groups of this driver end at {across}x{down}, {all} in all");
        return Err(Error::unsupported("GL_MAX_COMPUTE_WORK_GROUP_INVOCATIONS", detail));
    }
    Ok(())
}

/// Compiles and links.
///
/// # Errors
/// As [`Program::new`].
#[doc(alias = "GL_COMPUTE_SHADER")]
pub fn program(gl: &Gl, source: &ComputeSource<'_>) -> Result<Program> {
    let ComputeSource { name, prelude, body, body_path } = *source;
    Program::new(gl, &ProgramSource { name, version: ShaderVersion::Essl310, vertex: "", prelude, body, body_path })
}

/// Runs so many work groups that store into `image`; whatever reads it later sees what was stored.
///
/// # Errors
/// `InvalidInput`: a texture without fixed storage. `Failed`: a GL error is pending.
#[doc(alias = "glDispatchCompute")]
#[doc(alias = "glBindImageTexture")]
pub fn dispatch(gl: &Gl, program: &Program, image: &Texture, groups: [u32; 2]) -> Result<()> {
    gl.check_name(image.name(), "glBindImageTexture")?;
    let internal = image.fourcc().format()?.gl.map(|twin| twin.internal).filter(|_| image.is_storage());
    let Some(internal) = internal else {
        return Err(Error::invalid("glBindImageTexture", "the texture has no fixed storage"));
    };
    program.make_current(gl)?;
    // SAFETY: a context of version 3.1 is current, as the program shows; the texture is of its share group and has this
    // format; image unit 0 is let go before the texture can be.
    unsafe {
        let glow = gl.glow();
        let raw = Some(glow::NativeTexture(image.name().raw()));
        glow.bind_image_texture(0, raw, 0, false, 0, glow::WRITE_ONLY, internal);
        glow.dispatch_compute(groups[0], groups[1], 1);
        glow.memory_barrier(glow::ALL_BARRIER_BITS);
        glow.bind_image_texture(0, None, 0, false, 0, glow::WRITE_ONLY, internal);
    }
    gl.check_error("glDispatchCompute", || program.label().to_owned())
}
