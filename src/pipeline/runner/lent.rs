//! Pictures in memory of somebody else's: sampled where they lie, each memory imported once; or uploaded from there.
//!
//! In: pictures that a source lends. Out: textures with the picture of each frame; leases given back behind the GPU's work.
//! Not here: sources that fill memory of ours (`feed`).

use std::collections::VecDeque;

use crate::buffer::{Access, Buffer, Memory, MemoryId};
use crate::color::probe;
use crate::egl::Image;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Modifier;
use crate::gles::yuv::PlaneView;
use crate::gles::{Gl, Texture, TextureOptions};
use crate::layout::Layout;

use super::super::source::{Info, Lent};
use super::Job;
use super::feed::HANG;
use super::trial::Role;
use super::way::{self, Way};

/// Memories that are remembered: as many as the other end's client remembers.
const REMEMBERED: usize = 32;

/// What tells one memory from another.
type Key = (Layout, Vec<MemoryId>);

fn key(buffer: &Buffer) -> Key {
    (buffer.layout().clone(), (0..buffer.layout().planes().len()).map(|plane| buffer.plane_id(plane)).collect())
}

/// Memory that was imported, latest use last.
pub(super) struct Imports {
    external: bool,
    known: VecDeque<(Key, Vec<Texture>)>,
    /// How many memories were imported, those that are forgotten too.
    count: u64,
}

/// Nobody but these textures has their memory any more: it does not come again.
fn is_left(textures: &[Texture]) -> bool {
    let buffer = textures.first().and_then(Texture::image).and_then(Image::buffer);
    // One clone with the image of each.
    buffer.is_some_and(|buffer| buffer.clones() <= textures.len())
}

impl Imports {
    /// The buffer's textures: those it had before, or new ones.
    fn take(&mut self, gl: &Gl, info: &Info, views: &[PlaneView], buffer: &Buffer) -> Result<()> {
        let key = key(buffer);
        let known = self.known.iter().position(|(known, _)| *known == key).and_then(|index| self.known.remove(index));
        let entry = match known {
            Some(entry) => entry,
            None => {
                self.known.retain(|(_, textures)| !is_left(textures));
                let way = way::import(gl, info, views, std::slice::from_ref(buffer), self.external)?;
                self.count += 1;
                (key, way.textures.into_iter().flatten().collect())
            }
        };
        self.known.push_back(entry);
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        Ok(())
    }
}

/// Pictures that a source lends.
pub(super) struct Lending {
    /// `None`: they are uploaded.
    imports: Option<Imports>,
    held: Option<Lent>,
    /// Imported before they were uploaded.
    count: u64,
}

impl Lending {
    pub(super) fn uploads() -> Self {
        Self::uploads_after(0)
    }

    /// So many memories were imported before.
    pub(super) fn uploads_after(count: u64) -> Self {
        Self { imports: None, held: None, count }
    }

    /// Imports the picture's memory, where pictures are: that it was possible with the first says nothing of others.
    ///
    /// # Errors
    /// `Unsupported` where this memory cannot be imported.
    pub(super) fn import(&mut self, gl: &Gl, info: &Info, views: &[PlaneView], lent: &Lent) -> Result<()> {
        let Some(imports) = &mut self.imports else { return Ok(()) };
        let buffer = &lent.frame.buffer;
        let imported = match buffer.memory() {
            Memory::DmaBuf => imports.take(gl, info, views, buffer),
            Memory::SealedMemfd => Err(Error::unsupported("import", "it lies in a memory file")),
        };
        imported.map_err(|error| match error.kind() {
            ErrorKind::Unsupported => {
                let detail = format!("memory that came later is not imported as the first was: {error}");
                Error::unsupported("import", detail)
            }
            _ => error,
        })
    }

    /// Takes the picture of the next frame, which was imported; where it is uploaded, into `uploaded`, and it is given back
    /// at once.
    pub(super) fn next(&mut self, gl: &Gl, views: &[PlaneView], lent: Lent, uploaded: &[Texture]) -> Result<()> {
        let buffer = &lent.frame.buffer;
        match &self.imports {
            Some(_) => {
                if let Some(fence) = &lent.frame.fence {
                    gl.wait_fence(fence)?;
                }
                self.held = Some(lent);
            }
            None => {
                if let Some(fence) = &lent.frame.fence {
                    fence.wait(Some(HANG))?;
                }
                upload(gl, views, buffer, uploaded)?;
            }
        }
        Ok(())
    }

    /// The current frame's, where it was imported.
    pub(super) fn textures(&self) -> Option<&[Texture]> {
        self.imports.as_ref()?.known.back().map(|(_, textures)| textures.as_slice())
    }

    pub(super) fn is_zero_copy(&self) -> bool {
        self.imports.is_some()
    }

    /// Memories that were imported, each once as long as it is remembered.
    pub(super) fn imported(&self) -> u64 {
        self.imports.as_ref().map_or(self.count, |imports| imports.count)
    }

    /// Memories that are imported.
    pub(super) fn len(&self) -> usize {
        self.imports.as_ref().map_or(0, |imports| imports.known.len())
    }

    /// The frame's draws have been handed to the GPU: whoever lent the picture gets it back behind `fence`.
    pub(super) fn release(&mut self, fence: Option<&crate::fence::Fence>) -> Result<()> {
        if let (Some(lent), Some(fence)) = (&self.held, fence) {
            lent.lease.until(fence.try_clone()?);
        }
        self.held = None;
        Ok(())
    }
}

/// Copies a picture from where it lies.
fn upload(gl: &Gl, views: &[PlaneView], buffer: &Buffer, textures: &[Texture]) -> Result<()> {
    if !matches!(buffer.layout().modifier, Modifier::LINEAR | Modifier::INVALID) {
        let detail = format!("{}: only linear pictures are copied", buffer.layout());
        return Err(Error::unsupported("upload", detail).with_hint("have the producer make linear frames"));
    }
    let map = buffer.map(Access::Read)?;
    for (view, texture) in views.iter().zip(textures) {
        texture.upload(gl, map.plane(view.plane), buffer.layout().planes()[view.plane].stride_bytes)?;
    }
    Ok(())
}

/// The way in which the GPU samples the source's memory itself, tried with its first picture.
///
/// # Errors
/// `Unsupported` with every reason.
pub(super) fn adopt(gl: &Gl, job: &Job<'_>, info: &Info, views: &[PlaneView], first: &Lent) -> Result<(Way, Lending)> {
    let buffer = &first.frame.buffer;
    let display = gl.display();
    if display.dma_buf_import().is_none() {
        let reason = display.unsupported_reason().unwrap_or_else(|| "no dma-buf import".into());
        return Err(Error::unsupported("EGL_EXT_image_dma_buf_import", reason));
    }
    if buffer.memory() != Memory::DmaBuf {
        return Err(Error::unsupported("import", "what is received lies in memory files, which no GPU imports"));
    }
    if let Some(fence) = &first.frame.fence {
        fence.wait(Some(HANG))?;
    }
    let mut refusals = Vec::new();
    for (role, external) in [(Role::Planes, false), (Role::External, true)] {
        let way = job
            .survives_received(gl, role, buffer)
            .and_then(|()| way::import(gl, info, views, std::slice::from_ref(buffer), external))
            .and_then(|way| prove(gl, job, info, views, buffer, way, external));
        match way {
            Ok(mut way) => {
                let textures = std::mem::take(&mut way.textures).into_iter().flatten().collect();
                // Who remembers the memory are the imports alone.
                way.buffers.clear();
                let imports = Imports { external, known: VecDeque::from([(key(buffer), textures)]), count: 1 };
                return Ok((way, Lending { imports: Some(imports), held: None, count: 0 }));
            }
            Err(error) => {
                let refusal = error.to_string();
                if !refusals.contains(&refusal) {
                    refusals.push(refusal);
                }
            }
        }
    }
    Err(Error::unsupported("import", refusals.join(" | ")))
}

/// Draws the first picture as it was imported and as it is when it is uploaded: both must show the same. Whether a driver
/// converts colours as it should is asked of memory of our own, which can be filled with a known one.
fn prove(
    gl: &Gl,
    job: &Job<'_>,
    info: &Info,
    views: &[PlaneView],
    buffer: &Buffer,
    way: Way,
    external: bool,
) -> Result<Way> {
    if external && info.fourcc.format()?.is_yuv() {
        job.import_first(|kind, refusals| {
            let tried = job
                .survives(Role::External, kind, info.fourcc, info.size)
                .and_then(|()| way::try_import(gl, job.device, info, kind, true));
            tried.map_err(|error| refusals.push(format!("{kind}: {error}"))).ok()
        })?;
    }
    if !matches!(buffer.layout().modifier, Modifier::LINEAR | Modifier::INVALID) {
        // Tiles: the CPU has nothing to compare with.
        return Ok(way);
    }
    let mut textures = Vec::new();
    for view in views {
        let options = TextureOptions { fourcc: view.fourcc, filter: view.filter, ..TextureOptions::default() };
        textures.push(Texture::new(gl, view.size, &options)?);
    }
    match upload(gl, views, buffer, &textures) {
        Ok(()) => {}
        // What the CPU cannot read is not copied either.
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(way),
        Err(error) => return Err(error),
    }
    let copied = way::draw_small(gl, info, way::uploaded_binding(info, &textures)?, textures.iter().collect())?;
    let imported = way::draw_small(gl, info, way.binding.clone(), way.textures[0].iter().collect())?;
    let furthest = copied.iter().zip(&imported).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    // A driver's own conversion may be a few codes off; pixels as they are may not.
    let limit = if external && info.fourcc.format()?.is_yuv() { 2 * probe::TOLERANCE } else { 1 };
    if furthest > limit {
        let detail = format!("{}: the first picture came out up to {furthest} codes from what the CPU reads", way.how);
        return Err(Error::unsupported("import", detail));
    }
    Ok(way)
}
