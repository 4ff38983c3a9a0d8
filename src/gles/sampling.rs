//! What a texture gives between its texels, beyond its edge and where it is drawn smaller.
//!
//! In: a texture. Out: its parameters set. Not here: its bytes (`texture`).

use glow::HasContext;

use super::gl::Gl;
use super::texture::{Texture, TextureTarget};
use crate::error::{Error, Result};

/// What lies between texels. External textures have both; mipmaps are not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// The nearest texel.
    Nearest,
    /// A mix of four.
    #[default]
    Linear,
}

/// What lies beyond the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrap {
    /// The last texel. The only one for external textures, and for odd sizes on OpenGL ES 2.
    #[default]
    ClampToEdge,
    /// The picture again.
    Repeat,
    /// The picture mirrored.
    MirroredRepeat,
}

impl Texture {
    /// Sets what lies between texels. Binds unit 0.
    ///
    /// # Errors
    /// As [`Texture::bind`].
    pub fn set_filter(&self, gl: &Gl, filter: Filter) -> Result<()> {
        self.bind(gl, 0)?;
        let value = match filter {
            Filter::Nearest => glow::NEAREST,
            Filter::Linear => glow::LINEAR,
        };
        // SAFETY: a context is current and the texture bound.
        unsafe {
            gl.glow().tex_parameter_i32(self.target().raw(), glow::TEXTURE_MIN_FILTER, value as i32);
            gl.glow().tex_parameter_i32(self.target().raw(), glow::TEXTURE_MAG_FILTER, value as i32);
        }
        Ok(())
    }

    /// Sets what lies beyond the edge. Binds unit 0.
    ///
    /// # Errors
    /// `InvalidInput`: anything but [`Wrap::ClampToEdge`] for an external texture, or for a size that is no power of two
    /// on OpenGL ES 2 without `GL_OES_texture_npot`.
    pub fn set_wrap(&self, gl: &Gl, wrap: Wrap) -> Result<()> {
        if wrap != Wrap::ClampToEdge && self.target() == TextureTarget::External {
            return Err(Error::invalid(
                "glTexParameter",
                format!("{wrap:?}: external textures only clamp to the edge"),
            ));
        }
        let odd = !self.size().width.is_power_of_two() || !self.size().height.is_power_of_two();
        let npot = has_npot(gl);
        if wrap != Wrap::ClampToEdge && odd && !npot {
            let detail = format!("{wrap:?}: {} is no power of two, and this is OpenGL ES 2", self.size());
            return Err(Error::invalid("glTexParameter", detail));
        }
        self.bind(gl, 0)?;
        self.wrap_axis(gl, glow::TEXTURE_WRAP_S, wrap);
        self.wrap_axis(gl, glow::TEXTURE_WRAP_T, wrap);
        Ok(())
    }

    /// As [`Texture::set_wrap`], across and down.
    ///
    /// # Errors
    /// As [`Texture::set_wrap`].
    pub fn set_wraps(&self, gl: &Gl, across: Wrap, down: Wrap) -> Result<()> {
        self.set_wrap(gl, across)?;
        if across != down {
            self.set_wrap(gl, down)?;
            self.wrap_axis(gl, glow::TEXTURE_WRAP_S, across);
        }
        Ok(())
    }

    /// The texture is bound to unit 0.
    fn wrap_axis(&self, gl: &Gl, axis: u32, wrap: Wrap) {
        let value = match wrap {
            Wrap::ClampToEdge => glow::CLAMP_TO_EDGE,
            Wrap::Repeat => glow::REPEAT,
            Wrap::MirroredRepeat => glow::MIRRORED_REPEAT,
        };
        // SAFETY: a context is current and the texture bound.
        unsafe { gl.glow().tex_parameter_i32(self.target().raw(), axis, value as i32) };
    }

    /// Sets what lies between texels where the picture is drawn larger and where it is drawn smaller; with `mipmaps` from
    /// smaller pictures that are made now, of what has been uploaded. They are not made where OpenGL ES 2 cannot.
    ///
    /// # Errors
    /// As [`Texture::bind`]; `OutOfMemory`.
    #[doc(alias = "glGenerateMipmap")]
    pub fn set_filters(&self, gl: &Gl, larger: Filter, smaller: Filter, mipmaps: bool) -> Result<()> {
        self.set_filter(gl, smaller)?;
        let power = self.size().width.is_power_of_two() && self.size().height.is_power_of_two();
        let mipmaps = mipmaps && self.image().is_none() && (power || has_npot(gl));
        let larger = if larger == Filter::Nearest { glow::NEAREST } else { glow::LINEAR };
        // SAFETY: a context is current and the texture bound; its storage is one that has mipmaps.
        unsafe {
            gl.glow().tex_parameter_i32(self.target().raw(), glow::TEXTURE_MAG_FILTER, larger as i32);
            if mipmaps {
                gl.glow().generate_mipmap(self.target().raw());
                let smaller = glow::LINEAR_MIPMAP_LINEAR as i32;
                gl.glow().tex_parameter_i32(self.target().raw(), glow::TEXTURE_MIN_FILTER, smaller);
            }
        }
        gl.check_error("glGenerateMipmap", || format!("{} {}", self.fourcc(), self.size()))
    }
}

/// Textures of any size repeat and have mipmaps.
pub(crate) fn has_npot(gl: &Gl) -> bool {
    gl.caps().at_least(3, 0) || gl.caps().extensions.has("GL_OES_texture_npot")
}
