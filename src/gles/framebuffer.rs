//! Framebuffers: what draws go into.
//!
//! In: a texture or renderbuffer. Out: a target whose row 0 is row 0 of the memory.
//! Not here: reading pixels back (`readback`).

use glow::HasContext;

use super::gl::Gl;
use super::names::{Kind, Name};
use super::renderbuffer::Renderbuffer;
use super::texture::{Texture, TextureTarget};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::Size;

/// A framebuffer with one colour attachment, which it owns. It belongs to the context it was made with.
#[derive(Debug)]
pub struct Framebuffer {
    name: Name,
    attachment: Attachment,
    size: Size,
    fourcc: Fourcc,
    four_wide: bool,
}

#[derive(Debug)]
enum Attachment {
    Texture(Texture),
    Renderbuffer(Renderbuffer),
}

impl Framebuffer {
    /// Makes a framebuffer that draws into `texture`, and binds it. Into an external texture of a YUV format draws a
    /// shader with `layout(yuv)`, where the driver has `GL_EXT_YUV_target`.
    ///
    /// # Errors
    /// `Unsupported`: the driver does not render to this format (the detail has the reason), or the texture is an
    /// external one of RGB, or of YUV without that extension.
    #[doc(alias = "GL_EXT_YUV_target")]
    pub fn new(gl: &Gl, texture: Texture) -> Result<Self> {
        if texture.target() == TextureTarget::External {
            let is_yuv = texture.fourcc().format().is_ok_and(|format| format.is_yuv());
            if !is_yuv || !gl.caps().has_yuv_target() {
                let detail = format!("{} {}: external textures cannot be drawn into", texture.fourcc(), texture.size());
                return Err(Error::unsupported("glFramebufferTexture2D", detail)
                    .with_hint("use Texture::from_image, for YUV on each plane"));
            }
        }
        gl.check_name(texture.name(), "glFramebufferTexture2D")?;
        let (size, fourcc) = (texture.size(), texture.fourcc());
        Self::attach(gl, Attachment::Texture(texture), size, fourcc)
    }

    /// Makes a framebuffer of `size` whose fragments make four pixels each that lie side by side, as bytes R, G, B, A in
    /// a `uvec4`: for rasterisers on the CPU, where a fragment costs more than its arithmetic. A shader reads it as
    /// [`InputBinding::Beside`](super::InputBinding::Beside).
    ///
    /// # Errors
    /// `Unsupported`: OpenGL ES 2, or a width that four does not divide.
    pub fn four_wide(gl: &Gl, size: Size) -> Result<Self> {
        let texture = Texture::four_wide(gl, size)?;
        let mut framebuffer = Self::attach(gl, Attachment::Texture(texture), size, Fourcc::ABGR8888)?;
        framebuffer.four_wide = true;
        framebuffer.bind(gl)?;
        Ok(framebuffer)
    }

    /// Makes a framebuffer that draws into `renderbuffer`, and binds it.
    ///
    /// # Errors
    /// As [`Framebuffer::new`].
    pub fn from_renderbuffer(gl: &Gl, renderbuffer: Renderbuffer) -> Result<Self> {
        gl.check_name(renderbuffer.name(), "glFramebufferRenderbuffer")?;
        let (size, fourcc) = (renderbuffer.image().size(), renderbuffer.image().fourcc());
        Self::attach(gl, Attachment::Renderbuffer(renderbuffer), size, fourcc)
    }

    fn attach(gl: &Gl, attachment: Attachment, size: Size, fourcc: Fourcc) -> Result<Self> {
        let glow = gl.glow();
        // SAFETY: a context is current; the attachment's name lives in its share group.
        let name = unsafe {
            let raw = glow.create_framebuffer().map_err(|error| Error::failed("glGenFramebuffers", error))?;
            let name = gl.name(Kind::Framebuffer, raw.0);
            glow.bind_framebuffer(glow::FRAMEBUFFER, Some(raw));
            match &attachment {
                Attachment::Texture(texture) => glow.framebuffer_texture_2d(
                    glow::FRAMEBUFFER,
                    glow::COLOR_ATTACHMENT0,
                    texture.target().raw(),
                    Some(glow::NativeTexture(texture.name().raw())),
                    0,
                ),
                Attachment::Renderbuffer(renderbuffer) => glow.framebuffer_renderbuffer(
                    glow::FRAMEBUFFER,
                    glow::COLOR_ATTACHMENT0,
                    glow::RENDERBUFFER,
                    Some(glow::NativeRenderbuffer(renderbuffer.name().raw())),
                ),
            }
            name
        };
        gl.check_error("glFramebufferTexture2D", || format!("{fourcc} {size}"))?;
        // SAFETY: a context is current and the framebuffer bound.
        let status = unsafe { glow.check_framebuffer_status(glow::FRAMEBUFFER) };
        if status != glow::FRAMEBUFFER_COMPLETE {
            let detail = format!("{fourcc} {size}: {} on {}", status_name(status), gl.caps().renderer);
            return Err(Error::unsupported("glCheckFramebufferStatus", detail)
                .with_hint("draw into ABGR8888 (GL_RGBA8), which every driver takes"));
        }
        let framebuffer = Self { name, attachment, size, fourcc, four_wide: false };
        framebuffer.bind(gl)?;
        Ok(framebuffer)
    }

    /// Makes it the target of the draws that follow: viewport over the whole target, no scissor.
    ///
    /// (A context that is current without a surface starts with a viewport of 0x0.)
    ///
    /// # Errors
    /// `InvalidInput`: made with another context.
    pub fn bind(&self, gl: &Gl) -> Result<()> {
        gl.check_name(&self.name, "glBindFramebuffer")?;
        let (width, height) = (self.fragments().width as i32, self.size.height as i32);
        // SAFETY: a context is current; the name lives in it.
        unsafe {
            gl.glow().bind_framebuffer(glow::FRAMEBUFFER, Some(glow::NativeFramebuffer(self.name.raw())));
            gl.glow().viewport(0, 0, width, height);
            gl.glow().scissor(0, 0, width, height);
            gl.glow().disable(glow::SCISSOR_TEST);
        }
        Ok(())
    }

    /// Makes it what is read, and on OpenGL ES 3 leaves the target of draws as it is: a driver that draws there still is
    /// not made to wait.
    pub(super) fn bind_for_reading(&self, gl: &Gl) -> Result<()> {
        if !gl.caps().at_least(3, 0) {
            return self.bind(gl);
        }
        gl.check_name(&self.name, "glBindFramebuffer")?;
        let raw = Some(glow::NativeFramebuffer(self.name.raw()));
        // SAFETY: a context of version 3 is current; the name lives in it.
        unsafe { gl.glow().bind_framebuffer(glow::READ_FRAMEBUFFER, raw) };
        Ok(())
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Fragments of a draw over the whole target.
    pub(super) fn fragments(&self) -> Size {
        Size { width: if self.four_wide { self.size.width / 4 } else { self.size.width }, ..self.size }
    }

    /// Made with [`Framebuffer::four_wide`].
    pub fn is_four_wide(&self) -> bool {
        self.four_wide
    }

    /// The format of its attachment.
    pub fn fourcc(&self) -> Fourcc {
        self.fourcc
    }

    /// The texture it draws into, where it is one: to be sampled by the next pass.
    pub fn texture(&self) -> Option<&Texture> {
        match &self.attachment {
            Attachment::Texture(texture) => Some(texture),
            Attachment::Renderbuffer(_) => None,
        }
    }
}

pub(super) fn status_name(status: u32) -> String {
    let name = match status {
        glow::FRAMEBUFFER_INCOMPLETE_ATTACHMENT => {
            "GL_FRAMEBUFFER_INCOMPLETE_ATTACHMENT (the format is not renderable)"
        }
        0x8CD9 => "GL_FRAMEBUFFER_INCOMPLETE_DIMENSIONS",
        glow::FRAMEBUFFER_INCOMPLETE_MISSING_ATTACHMENT => "GL_FRAMEBUFFER_INCOMPLETE_MISSING_ATTACHMENT",
        glow::FRAMEBUFFER_UNSUPPORTED => "GL_FRAMEBUFFER_UNSUPPORTED (this driver does not render to it)",
        0 => "glCheckFramebufferStatus failed",
        _ => "incomplete",
    };
    format!("{name} (0x{status:04X})")
}
