//! Images of textures: GL's own memory, to be shared or exported.
//!
//! In: a [`Texture`] of this context. Out: an [`Image`]. Not here: images of buffers and export (`egl`).
//!
//! # References
//! `EGL_KHR_gl_image`, EGL 1.5 section 3.9

use super::gl::Gl;
use super::texture::{Texture, TextureTarget};
use crate::egl::{EglError, Image, raw};
use crate::error::{Error, ErrorKind, Result};

impl Image {
    /// Makes an image of a texture's storage. It stays when the texture goes.
    ///
    /// # Errors
    /// `InvalidInput`: an external texture, one that is made of an image already, or one of another context.
    /// `Unsupported`: neither EGL 1.5 nor `EGL_KHR_gl_texture_2D_image`, or a format that the driver does not share.
    #[doc(alias = "EGL_GL_TEXTURE_2D_KHR")]
    #[doc(alias = "EGL_KHR_gl_texture_2D_image")]
    pub fn from_texture(gl: &Gl, texture: &Texture) -> Result<Self> {
        const OP: &str = "eglCreateImage";
        let what = || format!("texture {} {}", texture.fourcc(), texture.size());
        gl.check_name(texture.name(), OP)?;
        if texture.target() != TextureTarget::TwoD || texture.image().is_some() {
            return Err(Error::invalid(OP, format!("{}: it is made of an image", what()))
                .with_hint("use that image (Texture::image)"));
        }
        let display = gl.display();
        if display.version() < (1, 5) && !display.extensions().has("EGL_KHR_gl_texture_2D_image") {
            let detail = format!("{}: {display} does not offer it", what());
            return Err(Error::unsupported("EGL_KHR_gl_texture_2D_image", detail));
        }
        let raw = raw::create_image_of_texture(gl.current(), texture.name().raw()).map_err(|error| {
            let kind = match error {
                EglError::CONTEXT_LOST => ErrorKind::ContextLost,
                EglError::BAD_ALLOC => ErrorKind::OutOfMemory,
                _ => ErrorKind::Unsupported,
            };
            Error::new(kind, OP, format!("{}: {error}{}", what(), raw::driver_message()))
        })?;
        Ok(Self::from_raw(display, raw, texture.fourcc(), texture.size()))
    }
}
