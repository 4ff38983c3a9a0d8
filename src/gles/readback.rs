//! Pixels back to the CPU: at once, or some frames late without a stall.
//!
//! In: a [`Framebuffer`]. Out: tight RGBA rows, top row first. Not here: mapping linear dma-bufs, which needs no copy
//! (`Buffer::map`).

use std::collections::VecDeque;

use glow::HasContext;

use super::framebuffer::Framebuffer;
use super::gl::Gl;
use super::names::{Kind, Name, SyncName};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Size;

/// Reads a framebuffer as bytes R, G, B, A. Blocks until the GPU is done.
///
/// # Shapes
/// `out` has `width * height * 4` bytes, rows tight, row 0 (the top) first.
///
/// # Errors
/// `InvalidInput`: `out` has another length, or the framebuffer is of another context. `Failed`; `OutOfMemory`.
#[doc(alias = "glReadPixels")]
pub fn read_pixels(gl: &Gl, framebuffer: &Framebuffer, out: &mut [u8]) -> Result<()> {
    let size = framebuffer.size();
    check_len(size, out.len())?;
    framebuffer.bind_for_reading(gl)?;
    let fragments = framebuffer.fragments();
    let (format, kind) = match framebuffer.is_four_wide() {
        true => (glow::RGBA_INTEGER, glow::UNSIGNED_INT),
        false => (glow::RGBA, glow::UNSIGNED_BYTE),
    };
    // SAFETY: a context is current, no pack buffer is bound (PackRing unbinds its own), and `out` holds all rows with
    // alignment 1: four pixels are one fragment of 16 bytes.
    unsafe {
        gl.glow().pixel_store_i32(glow::PACK_ALIGNMENT, 1);
        gl.glow().read_pixels(
            0,
            0,
            fragments.width as i32,
            fragments.height as i32,
            format,
            kind,
            glow::PixelPackData::Slice(Some(out)),
        );
    }
    gl.check_error("glReadPixels", || format!("{} {size}", framebuffer.fourcc()))
}

fn check_len(size: Size, len: usize) -> Result<()> {
    let needed = size.pixels() * 4;
    match len as u64 == needed {
        true => Ok(()),
        false => Err(Error::invalid("glReadPixels", format!("{size}: {len} bytes given, {needed} are needed"))),
    }
}

/// Reads frames back while the next ones are drawn: a ring of pixel-pack buffers, each with a fence.
///
/// Belongs to the share group it was made in. Dropping it forgets the frames that are on their way.
pub struct PackRing {
    size: Size,
    free: Vec<Name>,
    busy: VecDeque<(Name, SyncName)>,
}

impl PackRing {
    /// Makes `depth` buffers for frames of `size`.
    ///
    /// # Errors
    /// `Unsupported` on OpenGL ES 2; `InvalidInput`: no depth, or more than 16; `OutOfMemory`.
    #[doc(alias = "GL_PIXEL_PACK_BUFFER")]
    pub fn new(gl: &Gl, size: Size, depth: usize) -> Result<Self> {
        if !gl.caps().at_least(3, 0) {
            let detail = format!("{} has none", gl.caps().version_text);
            return Err(Error::unsupported("GL_PIXEL_PACK_BUFFER", detail).with_hint("use read_pixels"));
        }
        if !(1..=16).contains(&depth) {
            return Err(Error::invalid("PackRing", format!("depth {depth}: 1 to 16 buffers")));
        }
        size.check()?;
        let bytes = i32::try_from(size.pixels() * 4)
            .map_err(|_| Error::invalid("PackRing", format!("{size}: more than 2 GiB in a buffer")))?;
        let mut free = Vec::with_capacity(depth);
        for _ in 0..depth {
            // SAFETY: a context of version 3 is current.
            unsafe {
                let raw = gl.glow().create_buffer().map_err(|error| Error::failed("glGenBuffers", error))?;
                free.push(gl.name(Kind::Buffer, raw.0));
                gl.glow().bind_buffer(glow::PIXEL_PACK_BUFFER, Some(raw));
                gl.glow().buffer_data_size(glow::PIXEL_PACK_BUFFER, bytes, glow::STREAM_READ);
                gl.glow().bind_buffer(glow::PIXEL_PACK_BUFFER, None);
            }
        }
        gl.check_error("glBufferData", || format!("{depth} pack buffers of {bytes} bytes"))?;
        Ok(Self { size, free, busy: VecDeque::new() })
    }

    /// Number of frames on their way.
    pub fn pending(&self) -> usize {
        self.busy.len()
    }

    /// Whether [`PackRing::start`] has a buffer left.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Starts reading a framebuffer; does not wait.
    ///
    /// # Errors
    /// `InvalidInput`: another size, another context, or no room (take a frame out first).
    pub fn start(&mut self, gl: &Gl, framebuffer: &Framebuffer) -> Result<()> {
        if framebuffer.size() != self.size {
            let detail = format!("a framebuffer of {} for a ring of {}", framebuffer.size(), self.size);
            return Err(Error::invalid("PackRing", detail));
        }
        if framebuffer.is_four_wide() {
            return Err(Error::invalid("PackRing", "a framebuffer whose fragments make four pixels: use read_pixels"));
        }
        framebuffer.bind_for_reading(gl)?;
        if let Some(name) = self.free.last() {
            gl.check_name(name, "PackRing")?;
        }
        let Some(name) = self.free.pop() else {
            return Err(Error::invalid("PackRing", format!("all {} buffers are on their way", self.busy.len())));
        };
        // SAFETY: a context of version 3 is current; the bound buffer holds all rows with alignment 1.
        let fence = unsafe {
            let glow = gl.glow();
            glow.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(glow::NativeBuffer(name.raw())));
            glow.pixel_store_i32(glow::PACK_ALIGNMENT, 1);
            glow.read_pixels(
                0,
                0,
                self.size.width as i32,
                self.size.height as i32,
                glow::RGBA,
                glow::UNSIGNED_BYTE,
                glow::PixelPackData::BufferOffset(0),
            );
            glow.bind_buffer(glow::PIXEL_PACK_BUFFER, None);
            let fence = glow.fence_sync(glow::SYNC_GPU_COMMANDS_COMPLETE, 0);
            glow.flush();
            fence
        };
        match fence {
            Ok(fence) if !fence.0.is_null() => {
                self.busy.push_back((name, gl.sync_name(fence)));
                gl.check_error("glReadPixels", || format!("{} {} into a pack buffer", framebuffer.fourcc(), self.size))
            }
            answer => {
                self.free.push(name);
                gl.check()?;
                Err(Error::failed("glFenceSync", answer.err().unwrap_or_else(|| "no sync and no error".into())))
            }
        }
    }

    /// Whether the oldest frame is there; not with a context of another share group. Never blocks.
    pub fn is_ready(&self, gl: &Gl) -> bool {
        // SAFETY: a context of version 3 of the fence's share group is current; the fence lives until its frame is taken.
        self.busy.front().filter(|(_, fence)| gl.owns_sync(fence)).is_some_and(|(_, fence)| unsafe {
            matches!(gl.glow().client_wait_sync(fence.raw(), 0, 0), glow::ALREADY_SIGNALED | glow::CONDITION_SATISFIED)
        })
    }

    /// Takes the oldest frame out, waiting for it where it is not yet there; false where none is on its way.
    ///
    /// # Shapes
    /// As [`read_pixels`].
    ///
    /// # Errors
    /// `InvalidInput`: `out` has another length. `Timeout` after ten seconds; `ContextLost`; `Failed`.
    pub fn finish(&mut self, gl: &Gl, out: &mut [u8]) -> Result<bool> {
        check_len(self.size, out.len())?;
        let Some((name, fence)) = self.busy.front() else { return Ok(false) };
        gl.check_name(name, "PackRing")?;
        let glow = gl.glow();
        // glow takes the timeout as 32 bits, about two seconds: asked five times.
        let signaled = (0..5).any(|_| {
            // SAFETY: a context of version 3 is current and the fence lives.
            let answer = unsafe { glow.client_wait_sync(fence.raw(), glow::SYNC_FLUSH_COMMANDS_BIT, 2_000_000_000) };
            matches!(answer, glow::ALREADY_SIGNALED | glow::CONDITION_SATISFIED)
        });
        if !signaled {
            gl.check()?;
            return Err(Error::new(ErrorKind::Timeout, "glClientWaitSync", "a frame is not there after ten seconds"));
        }
        let Some((name, fence)) = self.busy.pop_front() else { return Ok(false) };
        // SAFETY: a context of version 3 is current; the mapping has `out.len()` bytes, which is the buffer's size, and
        // is read before it is unmapped.
        let mapped = unsafe {
            glow.delete_sync(fence.into_raw());
            glow.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(glow::NativeBuffer(name.raw())));
            let bytes = glow.map_buffer_range(glow::PIXEL_PACK_BUFFER, 0, out.len() as i32, glow::MAP_READ_BIT);
            if !bytes.is_null() {
                out.copy_from_slice(std::slice::from_raw_parts(bytes, out.len()));
                glow.unmap_buffer(glow::PIXEL_PACK_BUFFER);
            }
            glow.bind_buffer(glow::PIXEL_PACK_BUFFER, None);
            !bytes.is_null()
        };
        self.free.push(name);
        gl.check_error("glMapBufferRange", || format!("{} from a pack buffer", self.size))?;
        match mapped {
            true => Ok(true),
            false => Err(Error::failed("glMapBufferRange", "NULL without an error")),
        }
    }
}

impl std::fmt::Debug for PackRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackRing({}, {} on their way, {} free)", self.size, self.busy.len(), self.free.len())
    }
}
