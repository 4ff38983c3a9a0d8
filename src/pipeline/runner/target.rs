//! What passes draw into, and how their pictures get out of GL: as mapped memory, or read back one frame late.
//!
//! In: a pass's size and format, and whether a sink reads it. Out: textures for other passes, [`Delivery`] for sinks.
//! Not here: writing (`deliver`).

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::buffer::{Access, Buffer};
use crate::color::Color;
use crate::device::Device;
use crate::egl::Image;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::format::Fourcc;
use crate::gles::{self, Framebuffer, Gl, InputBinding, Mark, PackRing, Texture, TextureOptions};
use crate::layout::Size;

use super::super::report::{self, Edge};
use super::super::sink::Shape;
use super::Job;
use super::circle::{Circle, Delivery, Lease};
use super::memory::{buffers_for, read_back_buffers};
use super::planes::{Planes, Rows, drawn_format, read_back_memory};
use super::trial::Role;

enum Out {
    /// No sink reads the pass.
    Nowhere,
    /// Sinks map the memory that was drawn into; slots of the circle are those of the framebuffers.
    Mapped(Circle),
    /// Read back one frame late, when the driver has surely finished it, into memory of our own.
    ///
    /// `drawn` marks the last frame's draw. The next one is not handed over before it is done: llvmpipe makes a reader
    /// wait for everything that was handed over, and then nobody would draw while pixels are copied.
    Late { circle: Circle, pending: VecDeque<(u64, usize)>, drawn: Option<Mark> },
    /// Likewise through pixel-pack buffers, where a GPU copies by itself.
    Packed { circle: Circle, rings: Vec<PackRing>, pending: VecDeque<u64> },
}

/// The target of a pass.
pub(super) struct Target {
    /// Shared with targets that are never needed at the same time.
    framebuffers: Vec<Rc<Framebuffer>>,
    /// YUV formats: what is drawn from the framebuffer, and handed out instead of it. As many sets as there are buffers,
    /// or framebuffers.
    planes: Option<Planes>,
    current: usize,
    /// Counts frames; without buffers of its own a picture is in the framebuffer of this number, round and round.
    turn: usize,
    /// Where somebody reads it: the picture of the frame before, and what keeps its memory from being drawn into.
    previous: Option<(usize, Option<Arc<Lease>>)>,
    /// What keeps the memory of the last picture, where it will be the frame before.
    lease: Option<Arc<Lease>>,
    out: Out,
    rows: Rows,
    edge: Option<Edge>,
}

/// How a picture reaches shaders: binding, colour, size, and what should lie between the texels of each texture.
pub(super) type Readable = (InputBinding, Color, Size, Vec<gles::Filter>);

/// What is asked of a target beside size and format.
#[derive(Clone, Copy)]
pub(super) struct Demands {
    /// A compute shader stores it, where it is a texture.
    pub(super) stored: bool,
    /// For passes of [`Plan::four_wide`].
    pub(super) four_wide: bool,
    /// The frame before stays readable; before the first frame it has this colour.
    pub(super) previous: Option<[f32; 4]>,
}

impl Target {
    /// Makes the target. `memory` is there where a sink reads the pass: buffers made beforehand, or none yet.
    pub(super) fn new(
        gl: &Gl,
        job: &Job<'_>,
        name: &str,
        shape: &Shape,
        memory: Option<Vec<Buffer>>,
        demands: Demands,
    ) -> Result<Self> {
        let mut target = Self::make(gl, job, name, shape, memory, demands)?;
        if let Some(color) = demands.previous {
            for framebuffer in &target.framebuffers {
                framebuffer.bind(gl)?;
                gl.clear(color);
            }
            target.previous = match &target.out {
                Out::Mapped(circle) if target.draws_into_buffers() => {
                    let slot = circle.take()?;
                    target.current = slot;
                    Some((slot, Some(circle.lease(slot))))
                }
                _ => Some((target.picture(), None)),
            };
        }
        Ok(target)
    }

    fn with(framebuffers: Vec<Framebuffer>, planes: Option<Planes>, out: Out, edge: Option<Edge>) -> Self {
        // The first frame is drawn into the first framebuffer.
        let turn = framebuffers.len().saturating_sub(1);
        let framebuffers = framebuffers.into_iter().map(Rc::new).collect();
        Self { framebuffers, planes, current: 0, turn, previous: None, lease: None, out, rows: Rows::default(), edge }
    }

    fn make(
        gl: &Gl,
        job: &Job<'_>,
        name: &str,
        shape: &Shape,
        memory: Option<Vec<Buffer>>,
        Demands { stored, four_wide, previous }: Demands,
    ) -> Result<Self> {
        // One more is kept for a frame.
        let kept = usize::from(previous.is_some());
        let Shape { size, fourcc, .. } = *shape;
        gles::texture::check_size(gl, size).map_err(|error| error.in_context(name))?;
        let drawn = drawn_format(gl, fourcc)?;
        let plain = |fourcc| if stored { storage(gl, size, fourcc) } else { plain(gl, size, fourcc) };
        let Some(memory) = memory else {
            let make = || if four_wide { Framebuffer::four_wide(gl, size) } else { plain(drawn) };
            let framebuffers = (0..1 + kept).map(|_| make()).collect::<Result<_>>()?;
            return Ok(Self::with(framebuffers, None, Out::Nowhere, None));
        };
        let mut edge = Edge {
            name: format!("target of {name}"),
            picture: format!("{fourcc} {size}"),
            path: "zero-copy".into(),
            binding: "mapped target".into(),
            ..Edge::default()
        };
        match import_all(gl, job, shape, kept) {
            Ok(Made { framebuffers, planes, buffers }) => {
                describe(&mut edge, &buffers);
                edge.imports = buffers.len() as u64;
                if let Some(planes) = &planes {
                    edge.binding = planes.way().to_string();
                }
                let out = Out::Mapped(Circle::new(buffers));
                tracing::info!(pass = name, path = edge.path, allocator = edge.allocator, "target");
                Ok(Self::with(framebuffers, planes, out, Some(edge)))
            }
            Err(reason) => {
                let reason_text = reason.to_string();
                tracing::info!(pass = name, path = "copy", reason = reason_text, "target");
                edge.path = "copy".into();
                edge.reason = Some(reason_text);
                let format = fourcc.format()?;
                if format.component_bits != 8 && !format.is_yuv() {
                    let detail = format!("{fourcc} {size}: glReadPixels gives 8 bits a component only");
                    return Err(Error::unsupported("format", detail)
                        .in_context(name)
                        .with_hint("let a last pass draw into ABGR8888, or run where targets can be mapped"));
                }
                let mut memory = memory;
                let caps = gl.caps();
                for _ in memory.len()..read_back_buffers(shape, caps.is_software) {
                    memory.push(read_back_memory(job.device, shape).map_err(|error| error.in_context(name))?);
                }
                describe(&mut edge, &memory);
                let circle = Circle::new(memory);
                let several = buffers_for(shape) > 1 && !caps.is_software;
                let make = || if four_wide { Framebuffer::four_wide(gl, size) } else { plain(drawn) };
                let sets = if several || kept > 0 { 2 } else { 1 };
                let framebuffers = (0..sets).map(|_| make()).collect::<Result<_>>()?;
                let planes = if format.is_yuv() { Some(Planes::to_read_back(gl, shape, sets)?) } else { None };
                let out = if several && !caps.is_software && caps.at_least(3, 0) {
                    edge.binding = "pixel-pack buffers".into();
                    let rings = match &planes {
                        Some(planes) => planes.rings(gl, 2)?,
                        None => vec![PackRing::new(gl, size, 2)?],
                    };
                    Out::Packed { circle, rings, pending: VecDeque::new() }
                } else {
                    edge.binding = "glReadPixels".into();
                    Out::Late { circle, pending: VecDeque::new(), drawn: None }
                };
                Ok(Self::with(framebuffers, planes, out, Some(edge)))
            }
        }
    }

    /// A target over the same texture, for a pass that is drawn when nobody needs this one's picture any more.
    pub(super) fn shared(&self) -> Self {
        let mut shared = Self::with(Vec::new(), None, Out::Nowhere, None);
        shared.framebuffers.clone_from(&self.framebuffers);
        shared
    }

    /// Chooses the framebuffer of the next frame; waits for the sinks where they hold all of them.
    pub(super) fn begin(&mut self, gl: &Gl) -> Result<()> {
        if self.previous.is_some() {
            // What was drawn last is the frame before; what was that may be drawn into again. Before the first frame
            // nothing has been drawn into the buffers.
            match (self.draws_into_buffers(), self.lease.take()) {
                (true, None) => {}
                (_, lease) => self.previous = Some((self.picture(), lease)),
            }
        }
        self.turn += 1;
        match &mut self.out {
            Out::Nowhere => {}
            Out::Mapped(circle) => {
                let edge = self.edge.get_or_insert_default();
                self.current = edge.wait.measure(|| circle.take())?;
            }
            Out::Late { drawn, .. } => {
                self.current = self.turn % self.framebuffers.len();
                if let Some(mark) = drawn.take() {
                    let edge = self.edge.get_or_insert_default();
                    edge.draw.measure(|| mark.wait(gl))?;
                }
            }
            Out::Packed { .. } => self.current = self.turn % self.framebuffers.len(),
        }
        Ok(())
    }

    pub(super) fn keeps_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// What the pass draws into.
    pub(super) fn framebuffer(&self) -> &Framebuffer {
        &self.framebuffers[self.picture()]
    }

    /// Which of the framebuffers that is: with planes over mapped memory it is none of the buffers'.
    fn picture(&self) -> usize {
        match self.draws_into_buffers() {
            true => self.current,
            false => self.turn % self.framebuffers.len(),
        }
    }

    /// The framebuffers are the buffers that sinks map.
    fn draws_into_buffers(&self) -> bool {
        matches!(self.out, Out::Mapped(_)) && self.planes.is_none()
    }

    /// The pass has drawn: draws the planes from its picture, where there are any.
    pub(super) fn drawn(&self, gl: &Gl) -> Result<()> {
        match &self.planes {
            Some(planes) => planes.draw(gl, self.framebuffer(), self.current),
            None => Ok(()),
        }
    }

    /// The frame has been drawn. Gives what is ready for the sinks.
    pub(super) fn end(
        &mut self,
        gl: &Gl,
        frame: u64,
        wanted: bool,
        fence: Option<Arc<Fence>>,
    ) -> Result<Vec<Delivery>> {
        let keep = match &mut self.out {
            Out::Nowhere => return Ok(Vec::new()),
            Out::Mapped(circle) => {
                // Dropped unwanted, the lease sends the slot back at once: the next draw into it is ordered by GL.
                let lease = circle.lease(self.current);
                if self.previous.is_some() && self.planes.is_none() {
                    self.lease = Some(lease.clone());
                }
                let delivery = Delivery { frame, lease, fence, captured_ns: None };
                return Ok(if wanted { vec![delivery] } else { Vec::new() });
            }
            Out::Late { pending, drawn, .. } => {
                if self.framebuffers.len() > 1 {
                    *drawn = gl.mark().ok();
                }
                if wanted {
                    pending.push_back((frame, self.current));
                }
                // All but this frame's; with one framebuffer also this one's, before it is drawn over.
                usize::from(self.framebuffers.len() > 1 && wanted)
            }
            Out::Packed { rings, pending, .. } => {
                if wanted {
                    let from = match &self.planes {
                        Some(planes) => planes.set(self.current),
                        None => std::slice::from_ref(&*self.framebuffers[self.current]),
                    };
                    for (ring, framebuffer) in rings.iter_mut().zip(from) {
                        ring.start(gl, framebuffer)?;
                    }
                    pending.push_back(frame);
                }
                usize::from(wanted)
            }
        };
        self.read_back(gl, keep)
    }

    /// Gives everything that is still on its way.
    pub(super) fn drain(&mut self, gl: &Gl) -> Result<Vec<Delivery>> {
        self.read_back(gl, 0)
    }

    /// Reads frames back until `keep` are left.
    fn read_back(&mut self, gl: &Gl, keep: usize) -> Result<Vec<Delivery>> {
        let edge = self.edge.get_or_insert_default();
        let mut deliveries = Vec::new();
        loop {
            let (circle, length) = match &self.out {
                Out::Nowhere | Out::Mapped(_) => return Ok(deliveries),
                Out::Late { circle, pending, .. } => (circle, pending.len()),
                Out::Packed { circle, pending, .. } => (circle, pending.len()),
            };
            if length <= keep {
                return Ok(deliveries);
            }
            let slot = edge.wait.measure(|| circle.take())?;
            let lease = circle.lease(slot);
            let begun = Instant::now();
            let mut map = lease.buffer.map(Access::Write)?;
            let frame = match &mut self.out {
                Out::Late { pending, .. } => {
                    let Some((frame, framebuffer)) = pending.pop_front() else { return Ok(deliveries) };
                    match &mut self.planes {
                        Some(planes) => planes.read(gl, framebuffer, &mut map)?,
                        None => {
                            let from = &self.framebuffers[framebuffer];
                            self.rows.read(from.size(), &mut map, 0, |out| gles::read_pixels(gl, from, out))?;
                        }
                    }
                    frame
                }
                Out::Packed { rings, pending, .. } => {
                    let Some(frame) = pending.pop_front() else { return Ok(deliveries) };
                    match &mut self.planes {
                        Some(planes) => planes.finish(gl, rings, &mut map)?,
                        None => {
                            let size = self.framebuffers[0].size();
                            self.rows.read(size, &mut map, 0, |out| rings[0].finish(gl, out).map(|_| ()))?;
                        }
                    }
                    frame
                }
                Out::Nowhere | Out::Mapped(_) => return Ok(deliveries),
            };
            drop(map);
            edge.transfer.add(begun.elapsed());
            deliveries.push(Delivery { frame, lease, fence: None, captured_ns: None });
        }
    }

    /// The texture with the current frame's picture, for other passes.
    pub(super) fn textures(&self) -> Result<Vec<&Texture>> {
        let texture = self.framebuffer().texture();
        texture.map(|texture| vec![texture]).ok_or_else(|| Error::failed("target", "the target is no texture"))
    }

    /// The texture with the picture of the frame before.
    pub(super) fn previous_textures(&self) -> Result<Vec<&Texture>> {
        let previous = self.previous.as_ref().ok_or_else(|| Error::failed("target", "the frame before is not kept"))?;
        let texture = self.framebuffers[previous.0].texture();
        texture.map(|texture| vec![texture]).ok_or_else(|| Error::failed("target", "the target is no texture"))
    }

    /// What the sinks get: read-back is bytes R, G, B, A, or planes.
    pub(super) fn delivered(&self, shape: &Shape) -> (Shape, Fourcc) {
        match self.out {
            _ if self.planes.is_some() => (*shape, shape.fourcc),
            Out::Mapped(_) | Out::Nowhere => (*shape, shape.fourcc),
            Out::Late { .. } | Out::Packed { .. } => (*shape, Fourcc::ABGR8888),
        }
    }

    /// Every memory in which sinks get pictures.
    pub(super) fn memories(&self) -> &[Buffer] {
        match &self.out {
            Out::Nowhere => &[],
            Out::Mapped(circle) | Out::Late { circle, .. } | Out::Packed { circle, .. } => &circle.buffers,
        }
    }

    pub(super) fn is_zero_copy(&self) -> bool {
        matches!(self.out, Out::Mapped(_))
    }

    pub(super) fn edge(&self) -> Option<&Edge> {
        self.edge.as_ref()
    }
}

/// How a shader reads the picture of a pass that makes four pixels a fragment; which of them, the pass that reads it says.
pub(super) fn sampling_of_four(size: Size) -> Readable {
    let binding = InputBinding::Beside { swizzle: None, offsets: Vec::new() };
    (binding, Color::SRGB, size, vec![gles::Filter::Nearest])
}

/// How a shader reads the picture of a pass; of a YUV format that from which its planes are drawn.
pub(super) fn sampling_of(fourcc: Fourcc, size: Size) -> Readable {
    // Components that were drawn come back in their own places, whatever the order of the bytes.
    let alpha = fourcc.format().is_ok_and(|format| format.has_alpha);
    let swizzle = if alpha { "rgba" } else { "rgb1" }.to_owned();
    (InputBinding::Rgb { swizzle }, Color::SRGB, size, vec![gles::Filter::Nearest])
}

fn describe(edge: &mut Edge, buffers: &[Buffer]) {
    edge.buffers = buffers.len();
    if let Some(first) = buffers.first() {
        edge.allocator = first.provenance().allocator.clone();
        edge.allocator_reasons = first.provenance().reasons.clone();
        (edge.planes, edge.buffer_bytes) = report::layout_of(first);
    }
}

pub(super) fn plain(gl: &Gl, size: Size, fourcc: Fourcc) -> Result<Framebuffer> {
    let options = TextureOptions { fourcc, ..TextureOptions::default() };
    Framebuffer::new(gl, Texture::new(gl, size, &options)?)
}

/// As [`plain`], of fixed storage.
fn storage(gl: &Gl, size: Size, fourcc: Fourcc) -> Result<Framebuffer> {
    Framebuffer::new(gl, Texture::storage(gl, size, fourcc)?)
}

/// Memory that the GPU draws into, and how.
pub(super) struct Made {
    framebuffers: Vec<Framebuffer>,
    planes: Option<Planes>,
    buffers: Vec<Buffer>,
}

/// Memory that the GPU draws into and the CPU maps, proved with a colour.
fn import_all(gl: &Gl, job: &Job<'_>, shape: &Shape, kept: usize) -> Result<Made> {
    job.import_first(|kind, refusals| {
        let survives = || job.survives(Role::Target, kind, shape.fourcc, shape.size);
        import_kind(gl, job.device, shape, kept, kind, survives)
            .map_err(|error| refusals.push(format!("{kind}: {error}")))
            .ok()
    })
}

/// One way of [`import_all`]; `survives` is asked when the memory is there. `kept` buffers stay with the drawing side.
pub(super) fn import_kind(
    gl: &Gl,
    device: &Device,
    shape: &Shape,
    kept: usize,
    kind: AllocatorKind,
    survives: impl FnOnce() -> Result<()>,
) -> Result<Made> {
    if shape.fourcc.format()?.is_yuv() {
        let (planes, buffers) = Planes::import(gl, device, shape, (kind, buffers_for(shape)), survives)?;
        let drawn = drawn_format(gl, shape.fourcc)?;
        let framebuffers = (0..1 + kept).map(|_| plain(gl, shape.size, drawn)).collect::<Result<_>>()?;
        return Ok(Made { framebuffers, planes: Some(planes), buffers });
    }
    let request = Request::new(shape.size, shape.fourcc)
        .usage(Usage::RENDER | Usage::SAMPLE | Usage::CPU_READ)
        .constrain(shape.layout)?
        .only(kind)
        .require_dma_buf();
    let buffers = (0..buffers_for(shape) + kept).map(|_| device.allocate(&request)).collect::<Result<Vec<Buffer>>>()?;
    survives()?;
    let mut framebuffers = Vec::new();
    for buffer in &buffers {
        let image = Image::import(gl.display(), buffer)?;
        framebuffers.push(Framebuffer::new(gl, Texture::from_image(gl, &image)?)?);
    }
    prove(gl, &framebuffers[0], &buffers[0])?;
    Ok(Made { framebuffers, planes: None, buffers })
}

/// Clears the target to a colour and looks for it at the first and the last byte of the memory.
fn prove(gl: &Gl, framebuffer: &Framebuffer, buffer: &Buffer) -> Result<()> {
    for value in [0x33u8, 0xCC] {
        framebuffer.bind(gl)?;
        gl.clear([f32::from(value) / 255.0; 4]);
        gl.finish();
        let map = buffer.map(Access::Read)?;
        let last = buffer.layout().rows(0).saturating_sub(1);
        let ends = [map.row(0, 0), map.row(0, last)].map(|row| (row.first().copied(), row.last().copied()));
        // Formats of other depths store other bytes: that they changed is all that can be asked of them.
        let exact = buffer.layout().format().component_bits == 8;
        let near = |byte: Option<u8>| byte.is_some_and(|byte| byte.abs_diff(value) <= 1 || !exact);
        let opaque = !buffer.layout().format().has_alpha;
        let fine = ends.iter().all(|(first, last)| near(*first) && (opaque || near(*last)));
        if !fine {
            let detail = format!("{}: drew 0x{value:02x}, the memory has {ends:02x?}", buffer.layout());
            return Err(Error::unsupported("draw", detail));
        }
    }
    Ok(())
}
