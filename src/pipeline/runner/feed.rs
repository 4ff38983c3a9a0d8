//! How pictures get into GL: a source's thread fills buffers, which the GPU samples itself or from which they are uploaded.
//!
//! In: an opened source. Out: textures with the picture of each frame.
//! Not here: what the textures mean to a shader (`gles::yuv`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::buffer::{Access, Buffer};
use crate::color::{Color, probe};
use crate::device::Device;
use crate::egl::{Image, ImportOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::format::{Component, Fourcc};
use crate::gles::yuv::{self, PlaneView};
use crate::gles::{self, Gl, InputBinding, Texture, TextureOptions};
use crate::layout::{Constraints, Size};

use super::super::description::{Filter, Optimize, Rate};
use super::super::frames::FrameSet;
use super::super::report::{self, Edge, Times};
use super::super::source::pace::Pacer;
use super::super::source::{BRIEF, Info, Lent, Opened, unpack};
use super::lent::{self, Lending};
use super::target::tight_memory;
use super::trial::Role;
use super::{BUFFERS, Job};

/// Work of the GPU that takes longer is a hang.
pub(super) const HANG: Duration = Duration::from_secs(10);

/// A buffer that may be filled again, behind the fence.
struct Free {
    slot: usize,
    fence: Option<Arc<Fence>>,
}

/// What the source's thread has for a frame.
enum Filled {
    Slot(usize),
    Lent(Lent),
}

/// What a source has for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Its picture.
    Frame,
    /// Its picture, which shaders have to read in another way than those before: they are compiled anew.
    Rebound,
    /// Nothing more.
    End,
}

/// The source's thread, and the textures that show what it reads.
pub(super) struct SourceFeed<'scope> {
    info: Info,
    edge: Edge,
    views: Vec<PlaneView>,
    binding: InputBinding,
    buffers: Vec<Buffer>,
    /// Zero-copy: those of each buffer. Copy: two sets that take turns on a GPU, so that an upload never waits
    /// for a draw.
    textures: Vec<Vec<Texture>>,
    zero_copy: bool,
    /// Nothing may be copied.
    required: bool,
    /// Pictures come in memory of somebody else's.
    lending: Option<Lending>,
    /// Set in `textures` of the current frame.
    current: usize,
    /// Buffer of the current frame, until it is given back.
    held: Option<usize>,
    seen: bool,
    filled: Option<Receiver<Result<Filled>>>,
    free: Option<Sender<Free>>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
    /// Times of the thread.
    work: Arc<Mutex<Times>>,
    /// Pictures that were late.
    late: Arc<AtomicU64>,
}

impl<'scope> SourceFeed<'scope> {
    /// Decides the way by trying it, and starts reading. With `four_wide` the textures are for
    /// [`InputBinding::Four`]; the driver is known to import no dma-bufs then.
    pub(super) fn start<'a: 'scope>(
        scope: &'scope Scope<'scope, 'a>,
        gl: &Gl,
        job: &Job<'a>,
        mut source: Opened,
        (frames, rate): (FrameSet, Rate),
        four_wide: Option<Filter>,
    ) -> Result<Self> {
        let given = source.info().fourcc;
        if let Some(readable) = unpack::readable(gl, given) {
            source.unpack_as(job.device, readable)?;
        }
        let info = source.info().clone();
        gles::texture::check_size(gl, info.size).map_err(|error| error.in_context(source.name()))?;
        let views = match four_wide.and_then(|_| yuv::views_of_four(info.fourcc, info.size)) {
            Some(views) => views,
            None => views_of(&info)?,
        };
        let count = if info.still { 1 } else { BUFFERS };
        // Four pixels a fragment take memory whose rows are laid out for them.
        let first = if source.lends() && four_wide.is_none() { first_lent(&mut source, job.stop)? } else { None };
        let way = match &first {
            Some(first) => match lent::adopt(gl, job, &info, &views, first) {
                Ok((way, lending)) => Ok((way, Some(lending))),
                Err(reason) => textures_way(gl, &info, &views, reason).map(|way| (way, Some(Lending::uploads()))),
            },
            None => import_all(gl, job, &info, &views, count)
                .or_else(|reason| upload_way(gl, job, &info, &views, count, reason))
                .map(|way| (way, None)),
        };
        let (Way { buffers, textures, mut binding, how, reason }, lending) =
            way.map_err(|error| error.in_context(source.name()))?;
        if let Some(filter) = four_wide {
            binding = InputBinding::Four { fourcc: info.fourcc, mixed: filter == Filter::Linear };
        }
        let zero_copy = reason.is_none();
        let copied = source.copies().filter(|_| lending.is_none()).map(str::to_owned);
        let provenance = match &first {
            Some(lent) => lent.frame.buffer.provenance().clone(),
            None => buffers[0].provenance().clone(),
        };
        let reason = reason.as_ref().map(Error::to_string).or(copied);
        let (planes, buffer_bytes) =
            report::layout_of(first.as_ref().map_or_else(|| &buffers[0], |lent| &lent.frame.buffer));
        let edge = Edge {
            name: source.name().to_owned(),
            picture: format!("{given} {}", info.size),
            notes: source.notes().to_vec(),
            path: if reason.is_none() { "zero-copy" } else { "copy" }.into(),
            binding: how.into(),
            allocator: provenance.allocator,
            allocator_reasons: provenance.reasons,
            buffers: lending.as_ref().map_or(buffers.len(), Lending::len),
            planes,
            buffer_bytes,
            imports: match &lending {
                Some(lending) => lending.imported(),
                None if zero_copy => buffers.len() as u64,
                None => 0,
            },
            reason,
            ..Edge::default()
        };
        tracing::info!(source = edge.name, path = edge.path, binding = edge.binding, reason = ?edge.reason, "source");
        // What is lent waits with the thread: each frame that waits is one that the other end cannot write again.
        let (filled_in, filled) = sync_channel(buffers.len());
        let (free, free_out) = channel();
        for slot in 0..buffers.len() {
            // The receiver lives in this function.
            let _ = free.send(Free { slot, fence: None });
        }
        let (work, late) = (Arc::default(), Arc::default());
        let pacer = source.pacer(rate);
        let late_here = Arc::clone(&late);
        let thread = Reading {
            pacer,
            late: late_here,
            source,
            buffers: buffers.clone(),
            lends: lending.is_some(),
            first,
            frames,
            stop: job.stop,
            work: Arc::clone(&work),
        };
        let thread = scope.spawn(move || thread.run(free_out, filled_in));
        Ok(Self {
            zero_copy,
            required: job.require,
            lending,
            info,
            edge,
            views,
            binding,
            buffers,
            textures,
            current: 0,
            held: None,
            seen: false,
            filled: Some(filled),
            free: Some(free),
            thread: Some(thread),
            work,
            late,
        })
    }

    /// Takes the picture of the next frame.
    pub(super) fn next(&mut self, gl: &Gl, frame: u64) -> Result<Taken> {
        if self.info.still && self.seen {
            return Ok(Taken::Frame);
        }
        let Some(filled) = &self.filled else { return Ok(Taken::End) };
        let Ok(slot) = self.edge.wait.measure(|| filled.recv()) else { return Ok(Taken::End) };
        let slot = match slot? {
            Filled::Slot(slot) => slot,
            Filled::Lent(lent) => return self.next_lent(gl, frame, lent),
        };
        self.seen = true;
        self.edge.pictures += 1;
        if self.zero_copy {
            (self.current, self.held) = (slot, Some(slot));
            return Ok(Taken::Frame);
        }
        self.current = (frame % self.textures.len() as u64) as usize;
        let begun = std::time::Instant::now();
        {
            let buffer = &self.buffers[slot];
            let map = buffer.map(Access::Read)?;
            for (view, texture) in self.views.iter().zip(&self.textures[self.current]) {
                texture.upload(gl, map.plane(view.plane), buffer.layout().planes()[view.plane].stride_bytes)?;
            }
        }
        self.edge.transfer.add(begun.elapsed());
        self.held = Some(slot);
        self.give_back(None);
        Ok(Taken::Frame)
    }

    fn next_lent(&mut self, gl: &Gl, frame: u64, lent: Lent) -> Result<Taken> {
        self.edge.pictures += 1;
        let Some(lending) = &mut self.lending else { return Ok(Taken::Frame) };
        let begun = std::time::Instant::now();
        let mut taken = Taken::Frame;
        match lending.import(gl, &self.info, &self.views, &lent) {
            Ok(()) => {}
            Err(reason) if reason.kind() == ErrorKind::Unsupported && !self.required => {
                // From here on pictures are uploaded: what follows may be of the same kind.
                tracing::warn!(source = self.edge.name, frame, "pictures are copied from here on: {reason}");
                (self.edge.path, self.edge.reason) = ("copy".into(), Some(format!("from frame {frame} on: {reason}")));
                let way = textures_way(gl, &self.info, &self.views, reason)?;
                self.edge.binding = way.how.into();
                if way.binding != self.binding {
                    taken = Taken::Rebound;
                }
                (self.textures, self.binding, self.zero_copy) = (way.textures, way.binding, false);
                *lending = Lending::uploads_after(lending.imported());
            }
            Err(reason) => return Err(reason),
        }
        self.current = (frame % self.textures.len().max(1) as u64) as usize;
        let uploaded = self.textures.get(self.current).map_or(&[][..], Vec::as_slice);
        lending.next(gl, &self.views, lent, uploaded)?;
        (self.edge.buffers, self.edge.imports) = (lending.len(), lending.imported());
        if !lending.is_zero_copy() {
            self.edge.transfer.add(begun.elapsed());
        }
        Ok(taken)
    }

    /// The current frame's textures.
    pub(super) fn textures(&self) -> Vec<&Texture> {
        match self.lending.as_ref().and_then(Lending::textures) {
            Some(textures) => textures.iter().collect(),
            None => self.textures[self.current].iter().collect(),
        }
    }

    /// How a shader reads the textures.
    pub(super) fn sampling(&self) -> (InputBinding, Color, Size, Vec<gles::Filter>) {
        let filters = match self.binding {
            InputBinding::External => vec![gles::Filter::Linear],
            _ => self.views.iter().map(|view| view.filter).collect(),
        };
        (self.binding.clone(), self.info.color, self.info.size, filters)
    }

    /// The frame's draws have been handed to the GPU: the buffer may be filled again behind `fence`.
    pub(super) fn release(&mut self, fence: Option<Arc<Fence>>) -> Result<()> {
        if let Some(lending) = &mut self.lending {
            return lending.release(fence.as_deref());
        }
        if !self.info.still {
            self.give_back(fence);
        }
        Ok(())
    }

    fn give_back(&mut self, fence: Option<Arc<Fence>>) {
        if let (Some(slot), Some(free)) = (self.held.take(), &self.free) {
            // A thread that has ended wants no buffers.
            let _ = free.send(Free { slot, fence });
        }
    }

    pub(super) fn is_zero_copy(&self) -> bool {
        self.zero_copy && !(self.info.still && self.seen)
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Ends the thread.
    pub(super) fn finish(mut self) -> Result<Edge> {
        self.filled = None;
        self.free = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        Ok(self.so_far())
    }

    /// What has been read so far.
    pub(super) fn so_far(&self) -> Edge {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Edge { work, late: self.late.load(Ordering::Relaxed), ..self.edge.clone() }
    }
}

/// The first picture that the source lends; `None` where it has ended, or the run is to.
fn first_lent(source: &mut Opened, stop: &std::sync::atomic::AtomicBool) -> Result<Option<Lent>> {
    while !source.ready(BRIEF)? {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(None);
        }
    }
    source.lend()
}

/// What the source's thread needs.
struct Reading<'a> {
    source: Opened,
    buffers: Vec<Buffer>,
    /// Pictures stay where they are.
    lends: bool,
    first: Option<Lent>,
    frames: FrameSet,
    stop: &'a AtomicBool,
    work: Arc<Mutex<Times>>,
    pacer: Option<Pacer>,
    late: Arc<AtomicU64>,
}

impl Reading<'_> {
    fn run(mut self, free: Receiver<Free>, filled: SyncSender<Result<Filled>>) {
        if self.lends {
            return self.lend(&filled);
        }
        for frame in self.frames.iter() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let Ok(Free { slot, fence }) = free.recv() else { break };
            let read = || -> Result<bool> {
                if let Some(fence) = fence {
                    fence.wait(Some(HANG))?;
                }
                while !self.source.ready(BRIEF)? {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(false);
                    }
                }
                let buffer = &self.buffers[slot];
                let mut map = buffer.map(Access::Write)?;
                let begun = std::time::Instant::now();
                let read = self.source.read(frame, buffer.layout(), &mut map);
                self.work.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
                read
            };
            let message = match read() {
                Ok(true) => Ok(Filled::Slot(slot)),
                Ok(false) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => break,
                Err(error) => Err(error),
            };
            if !wait_until_due(self.pacer.as_mut(), &self.late, self.stop) {
                break;
            }
            let failed = message.is_err();
            if filled.send(message).is_err() || failed || self.source.info().still {
                break;
            }
        }
    }
}

impl Reading<'_> {
    /// Hands on what the source lends.
    fn lend(mut self, filled: &SyncSender<Result<Filled>>) {
        for _ in self.frames.iter() {
            let next = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => first_lent(&mut self.source, self.stop),
            };
            let message = match next {
                Ok(Some(lent)) => Ok(Filled::Lent(lent)),
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => break,
                Err(error) => Err(error),
            };
            let failed = message.is_err();
            if self.stop.load(Ordering::Relaxed) || filled.send(message).is_err() || failed {
                break;
            }
        }
    }
}

/// Waits until the picture that is there is due; false where the run is stopped.
fn wait_until_due(pacer: Option<&mut Pacer>, late: &AtomicU64, stop: &AtomicBool) -> bool {
    let Some(pacer) = pacer else { return true };
    let due = pacer.due(Instant::now());
    late.store(pacer.late(), Ordering::Relaxed);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(left.min(BRIEF));
    }
}

/// Buffers and the textures over them.
pub(super) struct Way {
    pub(super) buffers: Vec<Buffer>,
    pub(super) textures: Vec<Vec<Texture>>,
    pub(super) binding: InputBinding,
    pub(super) how: &'static str,
    /// Why pixels are copied, where they are.
    reason: Option<Error>,
}

/// Memory that the GPU reads itself, proved with a test picture. Each allocator's memory is asked for first with planes
/// as images of their own, which leaves the colours to us, then as an external image, whose colours are the driver's.
fn import_all(gl: &Gl, job: &Job<'_>, info: &Info, views: &[PlaneView], count: usize) -> Result<Way> {
    job.import_first(|kind, refusals| {
        let buffers = allocate(job.device, info, kind, count).map_err(|error| refusals.push(error.to_string())).ok()?;
        [(Role::Planes, false), (Role::External, true)].into_iter().find_map(|(role, external)| {
            let survives = job.survives(role, kind, info.fourcc, info.size);
            let way = survives.and_then(|()| import(gl, info, views, &buffers, external));
            let proved = way.and_then(|way| prove(gl, info, way));
            proved.map_err(|error| refusals.push(format!("{kind}: {error}"))).ok()
        })
    })
}

fn allocate(device: &Device, info: &Info, kind: AllocatorKind, count: usize) -> Result<Vec<Buffer>> {
    let request =
        Request::new(info.size, info.fourcc).usage(Usage::SAMPLE | Usage::CPU_WRITE).only(kind).require_dma_buf();
    (0..count).map(|_| device.allocate(&request)).collect()
}

/// One way of [`import_all`], tried and let go.
pub(super) fn try_import(gl: &Gl, device: &Device, info: &Info, kind: AllocatorKind, external: bool) -> Result<()> {
    let views = views_of(info)?;
    let buffers = allocate(device, info, kind, 1)?;
    let way = import(gl, info, &views, &buffers, external)?;
    prove(gl, info, way).map(|_| ())
}

/// Imports a buffer and draws it.
pub(super) fn try_buffer(gl: &Gl, info: &Info, buffer: &Buffer, external: bool) -> Result<()> {
    let way = import(gl, info, &views_of(info)?, std::slice::from_ref(buffer), external)?;
    draw_small(gl, info, way.binding, way.textures[0].iter().collect()).map(|_| ())
}

pub(super) fn views_of(info: &Info) -> Result<Vec<PlaneView>> {
    Ok(match info.fourcc.format()?.is_yuv() {
        true => yuv::views(info.fourcc, info.size)?,
        false => vec![PlaneView { plane: 0, fourcc: info.fourcc, size: info.size, filter: gles::Filter::Nearest }],
    })
}

/// Images of every buffer, and textures of them.
pub(super) fn import(gl: &Gl, info: &Info, views: &[PlaneView], buffers: &[Buffer], external: bool) -> Result<Way> {
    let display = gl.display();
    let is_yuv = info.fourcc.format()?.is_yuv();
    let mut textures = Vec::new();
    for buffer in buffers {
        let mut set = Vec::new();
        if external || !is_yuv {
            let options = ImportOptions { color: is_yuv.then_some(info.color), ..ImportOptions::default() };
            let image = Image::import_with(display, buffer, &options)?;
            set.push(if external { Texture::external(gl, &image)? } else { Texture::from_image(gl, &image)? });
        } else {
            for view in views {
                let options = ImportOptions {
                    plane: Some(view.plane),
                    reinterpret: Some(view.fourcc),
                    ..ImportOptions::default()
                };
                set.push(Texture::from_image(gl, &Image::import_with(display, buffer, &options)?)?);
            }
        }
        textures.push(set);
    }
    let (binding, how) = match (external, is_yuv) {
        (true, _) => (InputBinding::External, "external image"),
        (_, true) => (planes(info, &textures[0]), "planes as images"),
        (_, false) => (InputBinding::Rgb { swizzle: textures[0][0].swizzle().to_owned() }, "image"),
    };
    Ok(Way { buffers: buffers.to_vec(), textures, binding, how, reason: None })
}

fn planes(info: &Info, textures: &[Texture]) -> InputBinding {
    let swizzles = textures.iter().map(|texture| texture.swizzle().to_owned()).collect();
    InputBinding::Planes { fourcc: info.fourcc, swizzles }
}

/// Fills the first buffer with the probe colour, draws it, and compares with what the recommendations make of it: what
/// a driver takes the numbers for shows, whatever it was told.
fn prove(gl: &Gl, info: &Info, way: Way) -> Result<Way> {
    let is_yuv = info.fourcc.format()?.is_yuv();
    let filled = {
        let buffer = &way.buffers[0];
        let mut map = buffer.map(Access::Write)?;
        match is_yuv {
            true => fill_probe(info.fourcc, buffer.layout().planes().len(), &mut map),
            false => {
                map.plane_mut(0).fill(BYTE);
                info.fourcc.format()?.component_bits == 8
            }
        }
    };
    let pixels = draw_small(gl, info, way.binding.clone(), way.textures[0].iter().collect())?;
    let got = [pixels[0], pixels[1], pixels[2]];
    let (matrix, range) = (info.color.matrix, info.color.range);
    let close = match is_yuv {
        true => probe::is_close(got, matrix, range),
        false => got.iter().all(|got| got.abs_diff(BYTE) <= probe::TOLERANCE),
    };
    if filled && !close {
        let detail = match probe::identify(got).filter(|_| is_yuv) {
            Some((as_matrix, as_range)) => {
                format!("{}: the driver takes {matrix} {range:?} for {as_matrix} {as_range:?}", way.how)
            }
            None => format!("{}: a test picture came out as {got:?}", way.how),
        };
        return Err(Error::unsupported("import", detail));
    }
    Ok(way)
}

/// RGBA of 16x16 points of a picture.
pub(super) fn draw_small(gl: &Gl, info: &Info, binding: InputBinding, textures: Vec<&Texture>) -> Result<Vec<u8>> {
    use super::super::pass::{Moment, Pass, PassInput, Sampling};
    const SIZE: Size = Size::new(16, 16);
    let nearest = Sampling { filter: gles::Filter::Nearest, wrap: gles::Wrap::ClampToEdge };
    for texture in &textures {
        nearest.apply(gl, texture)?;
    }
    let samplings = vec![nearest; textures.len()];
    let (color, size) = (info.color, info.size);
    let input = PassInput { name: "picture".into(), binding, color, size, samplings, convert: None };
    let pass = Pass::new(gl, "proof", None, vec![input], (SIZE, Fourcc::ABGR8888), &[], Optimize::ALL)?;
    let target = gles::Framebuffer::new(gl, Texture::new(gl, SIZE, &TextureOptions::default())?)?;
    target.bind(gl)?;
    pass.draw(gl, &[textures], Moment { frame: 0, seconds: 0.0, step_seconds: 0.0 })?;
    let mut pixels = vec![0; SIZE.pixels() as usize * 4];
    gles::read_pixels(gl, &target, &mut pixels)?;
    Ok(pixels)
}

/// A byte that is neither black nor white.
const BYTE: u8 = 0x8C;

/// Fills all planes with the probe colour; false where the format's samples are not known here.
fn fill_probe(fourcc: Fourcc, planes: usize, map: &mut crate::buffer::Map<'_>) -> bool {
    let code = |component: Component, bits: u8| match component {
        Component::Y => u32::from(probe::PROBE[0]) << (bits - 8),
        Component::Cb => u32::from(probe::PROBE[1]) << (bits - 8),
        Component::Cr => u32::from(probe::PROBE[2]) << (bits - 8),
        Component::Alpha | Component::X => (1 << bits) - 1,
    };
    let Some(packing) = fourcc.packing() else {
        let known = matches!(fourcc, Fourcc::Y410 | Fourcc::XVYU2101010);
        if known {
            let [y, cb, cr] = [Component::Y, Component::Cb, Component::Cr].map(|component| code(component, 10));
            let word = 3 << 30 | cr << 20 | y << 10 | cb;
            map.plane_mut(0).chunks_mut(4).for_each(|four| four.copy_from_slice(&word.to_le_bytes()[..four.len()]));
        }
        return known;
    };
    for plane in 0..planes.min(packing.planes.len()) {
        let mut block = Vec::new();
        for component in packing.planes[plane] {
            let mut sample = [0; 2];
            packing.store(code(*component, packing.bits), &mut sample);
            block.extend_from_slice(&sample[..packing.sample_bytes]);
        }
        // Strides are multiples of a block wherever planes are allocated.
        let bytes = map.plane_mut(plane);
        bytes.iter_mut().zip(block.iter().cycle()).for_each(|(byte, value)| *byte = *value);
    }
    true
}

/// Memory that the CPU fills, and textures into which it is copied.
fn upload_way(gl: &Gl, job: &Job<'_>, info: &Info, views: &[PlaneView], count: usize, reason: Error) -> Result<Way> {
    // Where the CPU draws it is busy with that: nothing is gained by reading or uploading further ahead.
    let is_software = gl.caps().is_software;
    let count = if is_software { count.min(2) } else { count };
    let buffers = (0..count)
        .map(|_| tight_memory(job.device, info.size, info.fourcc, Constraints::NONE))
        .collect::<Result<Vec<Buffer>>>()?;
    Ok(Way { buffers, ..textures_way(gl, info, views, reason)? })
}

/// Textures into which pictures are copied.
fn textures_way(gl: &Gl, info: &Info, views: &[PlaneView], reason: Error) -> Result<Way> {
    // Two sets take turns on a GPU.
    let sets = if info.still || gl.caps().is_software { 1 } else { 2 };
    let mut textures = Vec::new();
    for _ in 0..sets {
        let set = views.iter().map(|view| {
            let options = TextureOptions { fourcc: view.fourcc, filter: view.filter, ..TextureOptions::default() };
            Texture::new(gl, view.size, &options)
        });
        textures.push(set.collect::<Result<Vec<Texture>>>()?);
    }
    let binding = uploaded_binding(info, &textures[0])?;
    Ok(Way { buffers: Vec::new(), textures, binding, how: "texture upload", reason: Some(reason) })
}

/// How a shader reads textures into which a picture was copied.
pub(super) fn uploaded_binding(info: &Info, textures: &[Texture]) -> Result<InputBinding> {
    Ok(match info.fourcc.format()?.is_yuv() {
        true => planes(info, textures),
        false => InputBinding::Rgb { swizzle: textures[0].swizzle().to_owned() },
    })
}
