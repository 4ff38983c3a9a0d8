//! Draws with depth, and with several samples a pixel where that is asked for, into the texture of a framebuffer.
//!
//! In: framebuffers of one size and format. Out: the same, drawn into with a depth test. Not here: what is drawn
//! (`geometry`).
//!
//! Several samples have two ways. With `GL_EXT_multisampled_render_to_texture` the samples live in the GPU's tile memory
//! and the texture gets the result. OpenGL ES 3 draws into a renderbuffer of its own and copies (`glBlitFramebuffer`);
//! textures that are images may have a layout which that copy does not take, so it goes into textures of GL's own only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU32;

use glow::HasContext;

use super::framebuffer::{Framebuffer, status_name};
use super::gl::Gl;
use super::names::{Kind, Name};
use super::texture::Texture;
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::Size;

const MAX_SAMPLES: u32 = 0x8D57;
const DEPTH_COMPONENT24: u32 = 0x81A6;

/// Depth, and samples, for draws into framebuffers of one size and format.
#[derive(Debug)]
pub struct DepthTarget {
    size: Size,
    samples: u32,
    way: Way,
    depth: Name,
    /// Framebuffers with the depth attached, by the texture that they draw into.
    framebuffers: RefCell<HashMap<NonZeroU32, Name>>,
}

#[derive(Debug)]
enum Way {
    /// One sample a pixel.
    Plain,
    /// `GL_EXT_multisampled_render_to_texture`
    Implicit,
    /// A renderbuffer, and the framebuffer that has it.
    Blit { _color: Name, framebuffer: Name },
}

/// The most samples a pixel that this context draws with; 1 where it offers no more.
pub fn max_samples(gl: &Gl) -> u32 {
    let offered = gl.own().texture_multisample.is_some() || gl.caps().at_least(3, 0);
    // SAFETY: a context is current; version 3 and the extension have this value.
    let max = if offered { unsafe { gl.glow().get_parameter_i32(MAX_SAMPLES) } } else { 1 };
    u32::try_from(max).unwrap_or(1).max(1)
}

impl DepthTarget {
    /// Makes depth for targets of this size and format, with `samples` a pixel.
    ///
    /// # Errors
    /// `Unsupported`: more samples than [`max_samples`]. `OutOfMemory`.
    pub fn new(gl: &Gl, size: Size, fourcc: Fourcc, samples: u32) -> Result<Self> {
        let max = max_samples(gl);
        if samples > max {
            let detail = match max {
                1 => format!("{samples} samples a pixel: {} offers one", gl.caps().version_text),
                _ => format!("{samples} samples a pixel: {} offers {max} at most", gl.caps().version_text),
            };
            return Err(Error::unsupported("GL_MAX_SAMPLES", detail));
        }
        let own = gl.own();
        let depth_format = match gl.caps().at_least(3, 0) || gl.caps().extensions.has("GL_OES_depth24") {
            true => DEPTH_COMPONENT24,
            false => glow::DEPTH_COMPONENT16,
        };
        let (width, height) = (size.width as i32, size.height as i32);
        let way = match samples {
            0 | 1 => Way::Plain,
            _ if own.texture_multisample.is_some() => Way::Implicit,
            _ => {
                let format = fourcc.format()?;
                let Some(twin) = format.gl else {
                    return Err(Error::unsupported("glRenderbufferStorageMultisample", format.name));
                };
                let color = renderbuffer(gl, |target| {
                    // SAFETY: a context of version 3 is current and a renderbuffer bound.
                    unsafe {
                        gl.glow().renderbuffer_storage_multisample(
                            target,
                            samples as i32,
                            twin.internal,
                            width,
                            height,
                        );
                    }
                })?;
                let framebuffer = framebuffer(gl)?;
                // SAFETY: a context is current; the framebuffer is bound and the renderbuffer lives in its share group.
                unsafe {
                    let raw = Some(glow::NativeRenderbuffer(color.raw()));
                    gl.glow().framebuffer_renderbuffer(
                        glow::FRAMEBUFFER,
                        glow::COLOR_ATTACHMENT0,
                        glow::RENDERBUFFER,
                        raw,
                    );
                }
                Way::Blit { _color: color, framebuffer }
            }
        };
        let depth = renderbuffer(gl, |target| {
            // SAFETY: a context is current, a renderbuffer bound, and the function exists for this way.
            unsafe {
                match (&way, own.renderbuffer_multisample) {
                    (Way::Plain, _) => gl.glow().renderbuffer_storage(target, depth_format, width, height),
                    (Way::Implicit, Some(storage)) => storage(target, samples as i32, depth_format, width, height),
                    _ => {
                        gl.glow().renderbuffer_storage_multisample(target, samples as i32, depth_format, width, height)
                    }
                }
            }
        })?;
        let target = Self { size, samples: samples.max(1), way, depth, framebuffers: RefCell::default() };
        if let Way::Blit { framebuffer, .. } = &target.way {
            bind(gl, framebuffer);
            target.attach_depth(gl);
            check(gl, || format!("{fourcc} {size}, {samples} samples"))?;
        }
        gl.check_error("glRenderbufferStorage", || format!("depth {size}, {samples} samples"))?;
        Ok(target)
    }

    /// Samples a pixel, as asked for.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// Draws cannot go into textures that are images.
    pub fn needs_own_texture(&self) -> bool {
        matches!(self.way, Way::Blit { .. })
    }

    /// Makes `target`, with depth, what the next draws go into; clears both. To be followed by [`DepthTarget::end`].
    ///
    /// # Errors
    /// `Unsupported`: the driver does not draw into this with depth. `InvalidInput`: of another size or context.
    pub fn begin(&self, gl: &Gl, target: &Framebuffer, clear: [f32; 4]) -> Result<()> {
        let texture = self.texture(target)?;
        gl.check_name(&self.depth, "glBindFramebuffer")?;
        match &self.way {
            Way::Blit { framebuffer, .. } => bind(gl, framebuffer),
            Way::Plain | Way::Implicit => {
                let mut framebuffers = self.framebuffers.borrow_mut();
                match framebuffers.get(&texture.name().raw()) {
                    Some(framebuffer) => bind(gl, framebuffer),
                    None => drop(framebuffers.insert(texture.name().raw(), self.attach(gl, texture)?)),
                }
            }
        }
        let (width, height) = (self.size.width as i32, self.size.height as i32);
        // SAFETY: a context is current; everything here is in OpenGL ES 2.0.
        unsafe {
            let glow = gl.glow();
            glow.viewport(0, 0, width, height);
            glow.disable(glow::SCISSOR_TEST);
            glow.enable(glow::DEPTH_TEST);
            glow.depth_func(glow::LEQUAL);
            glow.depth_mask(true);
            glow.clear_depth_f32(1.0);
            glow.clear_color(clear[0], clear[1], clear[2], clear[3]);
            glow.clear(glow::COLOR_BUFFER_BIT | glow::DEPTH_BUFFER_BIT);
        }
        Ok(())
    }

    /// The draws are done: the picture is in the texture, depth is forgotten.
    ///
    /// # Errors
    /// `Failed` where the driver reports an error.
    pub fn end(&self, gl: &Gl, target: &Framebuffer) -> Result<()> {
        let (width, height) = (self.size.width as i32, self.size.height as i32);
        // SAFETY: a context is current; what is called of version 3 is called there.
        unsafe {
            let glow = gl.glow();
            glow.disable(glow::DEPTH_TEST);
            if let Way::Blit { framebuffer, .. } = &self.way {
                target.bind(gl)?;
                let raw = Some(glow::NativeFramebuffer(framebuffer.raw()));
                glow.bind_framebuffer(glow::READ_FRAMEBUFFER, raw);
                let color = glow::COLOR_BUFFER_BIT;
                glow.blit_framebuffer(0, 0, width, height, 0, 0, width, height, color, glow::NEAREST);
                // Neither is needed any more: a tiler need not write it to memory.
                glow.invalidate_framebuffer(glow::READ_FRAMEBUFFER, &[glow::COLOR_ATTACHMENT0, glow::DEPTH_ATTACHMENT]);
            } else if gl.caps().at_least(3, 0) {
                glow.invalidate_framebuffer(glow::FRAMEBUFFER, &[glow::DEPTH_ATTACHMENT]);
            }
        }
        gl.check_error("glBlitFramebuffer", || format!("{} {}", target.fourcc(), self.size))?;
        target.bind(gl)
    }

    fn texture<'a>(&self, target: &'a Framebuffer) -> Result<&'a Texture> {
        let texture = target.texture().filter(|_| target.size() == self.size && !target.is_four_wide());
        texture.ok_or_else(|| Error::invalid("depth", format!("the target is no texture of {}", self.size)))
    }

    /// A framebuffer over `texture` with the depth; it is bound.
    fn attach(&self, gl: &Gl, texture: &Texture) -> Result<Name> {
        let name = framebuffer(gl)?;
        let raw = texture.name().raw();
        // SAFETY: a context is current, the framebuffer bound, the texture of its share group; the function exists.
        unsafe {
            match (&self.way, gl.own().texture_multisample) {
                (Way::Implicit, Some(attach)) => attach(
                    glow::FRAMEBUFFER,
                    glow::COLOR_ATTACHMENT0,
                    glow::TEXTURE_2D,
                    raw.get(),
                    0,
                    self.samples as i32,
                ),
                _ => gl.glow().framebuffer_texture_2d(
                    glow::FRAMEBUFFER,
                    glow::COLOR_ATTACHMENT0,
                    glow::TEXTURE_2D,
                    Some(glow::NativeTexture(raw)),
                    0,
                ),
            }
        }
        self.attach_depth(gl);
        check(gl, || format!("{} {} with depth, {} samples", texture.fourcc(), self.size, self.samples))?;
        Ok(name)
    }

    fn attach_depth(&self, gl: &Gl) {
        let depth = Some(glow::NativeRenderbuffer(self.depth.raw()));
        // SAFETY: a context is current, a framebuffer bound, the renderbuffer of its share group.
        unsafe {
            gl.glow().framebuffer_renderbuffer(glow::FRAMEBUFFER, glow::DEPTH_ATTACHMENT, glow::RENDERBUFFER, depth);
        }
    }
}

fn check(gl: &Gl, what: impl Fn() -> String) -> Result<()> {
    gl.check_error("glFramebufferTexture2D", &what)?;
    // SAFETY: a context is current and the framebuffer bound.
    match unsafe { gl.glow().check_framebuffer_status(glow::FRAMEBUFFER) } {
        glow::FRAMEBUFFER_COMPLETE => Ok(()),
        status => {
            let detail = format!("{}: {} on {}", what(), status_name(status), gl.caps().renderer);
            Err(Error::unsupported("glCheckFramebufferStatus", detail).with_hint("draw into ABGR8888"))
        }
    }
}

fn bind(gl: &Gl, framebuffer: &Name) {
    // SAFETY: a context is current and the name its own.
    unsafe { gl.glow().bind_framebuffer(glow::FRAMEBUFFER, Some(glow::NativeFramebuffer(framebuffer.raw()))) };
}

/// A new framebuffer, bound.
fn framebuffer(gl: &Gl) -> Result<Name> {
    // SAFETY: a context is current.
    let raw = unsafe { gl.glow().create_framebuffer() };
    let name = gl.name(Kind::Framebuffer, raw.map_err(|error| Error::failed("glGenFramebuffers", error))?.0);
    bind(gl, &name);
    Ok(name)
}

/// A new renderbuffer; `storage` gives it memory while it is bound to the target.
fn renderbuffer(gl: &Gl, storage: impl FnOnce(u32)) -> Result<Name> {
    // SAFETY: a context is current.
    let raw = unsafe { gl.glow().create_renderbuffer() };
    let name = gl.name(Kind::Renderbuffer, raw.map_err(|error| Error::failed("glGenRenderbuffers", error))?.0);
    // SAFETY: as above; the name is new.
    unsafe { gl.glow().bind_renderbuffer(glow::RENDERBUFFER, Some(glow::NativeRenderbuffer(name.raw()))) };
    storage(glow::RENDERBUFFER);
    Ok(name)
}
