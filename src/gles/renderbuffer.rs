//! Renderbuffers: images that are only drawn into.
//!
//! In: an [`Image`]. Out: what framebuffers draw into. Not here: what is sampled too (`texture`).

use glow::HasContext;

use super::gl::Gl;
use super::names::{Kind, Name};
use super::texture::check_display;
use crate::egl::Image;
use crate::error::{Error, Result};

/// A renderbuffer over an image: for drawing only, where a driver does not render to textures of images.
#[derive(Debug)]
pub struct Renderbuffer {
    name: Name,
    image: Image,
}

impl Renderbuffer {
    /// Makes a renderbuffer of an image.
    ///
    /// # Errors
    /// As [`Texture::from_image`](super::Texture::from_image).
    #[doc(alias = "glEGLImageTargetRenderbufferStorageOES")]
    pub fn from_image(gl: &Gl, image: &Image) -> Result<Self> {
        const OP: &str = "glEGLImageTargetRenderbufferStorageOES";
        if image.external_only() {
            return Err(Error::unsupported(OP, format!("{image:?}: this display only samples the format")));
        }
        check_display(gl, image)?;
        let set = gl
            .own()
            .image_target_renderbuffer
            .ok_or_else(|| Error::unsupported("GL_OES_EGL_image", format!("{gl:?} does not offer it")))?;
        // SAFETY: a context is current; the extension is listed and the image lives.
        let name = unsafe {
            let raw = gl.glow().create_renderbuffer().map_err(|error| Error::failed("glGenRenderbuffers", error))?;
            let name = gl.name(Kind::Renderbuffer, raw.0);
            gl.glow().bind_renderbuffer(glow::RENDERBUFFER, Some(raw));
            set(glow::RENDERBUFFER, image.as_ptr());
            name
        };
        gl.check_error(OP, || format!("{image:?}"))
            .map_err(|error| Error::unsupported(OP, error.detail().to_owned()))?;
        Ok(Self { name, image: image.clone() })
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }
}
