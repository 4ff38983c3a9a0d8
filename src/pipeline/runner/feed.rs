//! How pictures get into GL: a source's thread fills buffers, which the GPU samples itself or from which they are uploaded.
//!
//! In: an opened source. Out: textures with the picture of each frame.
//! Not here: the thread (`reading`), how buffers become textures (`way`), what the textures mean to a shader (`gles::yuv`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::buffer::{Access, Buffer};
use crate::color::Color;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::gles::yuv::{self, PlaneView};
use crate::gles::{self, Gl, InputBinding, Texture};
use crate::layout::Size;

use super::super::description::{Filter, Rate};
use super::super::frames::FrameSet;
use super::super::report::{self, Edge, Times};
use super::super::source::{Info, Lent, Opened, unpack};
use super::lent::{self, Lending};
use super::reading::{Clock, Filled, Free, Reading, Stamped, first_lent};
use super::way::{Way, import_all, readable_kinds, textures_way, upload_way, views_of};
use super::{BUFFERS, Job};

/// Work of the GPU that takes longer is a hang.
pub(super) const HANG: Duration = Duration::from_secs(10);

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
    filled: Option<Receiver<Result<Stamped>>>,
    /// When the current frame's picture was, where that is known.
    captured_ns: Option<u64>,
    /// Dropped at the first frame, after a word.
    begin: Option<Sender<()>>,
    clock: Arc<Mutex<Clock>>,
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
        let kinds = if source.takes_memory() { readable_kinds(gl, job, &info) } else { Vec::new() };
        source.prepare(job.device, &kinds)?;
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
        let clock = Arc::default();
        let (begin, begun) = match source.is_live() {
            true => Some(channel()).unzip(),
            false => (None, None),
        };
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
            clock: Arc::clone(&clock),
            begun,
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
            captured_ns: None,
            begin,
            clock,
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
        if let Some(begin) = self.begin.take() {
            // A thread that has ended has sent why.
            let _ = begin.send(());
        }
        let Some(filled) = &self.filled else { return Ok(Taken::End) };
        let Ok(slot) = self.edge.wait.measure(|| filled.recv()) else { return Ok(Taken::End) };
        let (filled, captured_ns) = slot?;
        self.captured_ns = captured_ns;
        let slot = match filled {
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

    /// When the current frame's picture was made, from the first one's time, where its maker says it.
    pub(super) fn captured_ns(&self) -> Option<u64> {
        self.captured_ns
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
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        Ok(self.so_far())
    }

    /// What has been read so far.
    pub(super) fn so_far(&self) -> Edge {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let (lost, starved) = (clock.lost, clock.starved);
        let (intervals, ended) = (clock.intervals.clone(), clock.ended.clone());
        Edge { work, late: self.late.load(Ordering::Relaxed), lost, starved, intervals, ended, ..self.edge.clone() }
    }
}
