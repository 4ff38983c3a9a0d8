//! Frames out of a pipeline of GStreamer.
//!
//! In: a text. Out: what its pictures are, then [`Received`] ones, in the memory of the element that made them.
//! Not here: how memory becomes ours (`memory`).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_video as video;

use crate::buffer::{Access, Buffer, Map, MemoryId, identify};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::format::{Fourcc, Modifier};
use crate::frame::Frame;
use crate::layout::Layout;
use crate::share::unixfd::caps::Caps;
use crate::share::unixfd::video_format;
use crate::sys;

use super::chain::{BRIEF, Chain, clock};
use super::{End, OP, is_at_least, memory, ours};

/// Pictures that wait for us; each is a buffer that its maker does not have.
const WAITING: u32 = 2;
/// Memories that are remembered.
const REMEMBERED: usize = 32;
/// How long a fence may take: longer is a hang.
const HANG: Duration = Duration::from_secs(10);

/// Where pictures come from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The pipeline before the run's end, as `gst-launch-1.0` takes it.
    pub text: String,
    /// How long its first picture may take.
    pub patience: Duration,
    /// Modifiers of dma-bufs that are taken, from GStreamer 1.24 on; linear ones before.
    pub modifiers: Vec<Modifier>,
}

impl Options {
    /// Those of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), patience: Duration::from_secs(10), modifiers: vec![Modifier::LINEAR] }
    }
}

/// What [`Input::next`] found.
#[derive(Debug)]
pub enum Event {
    /// A picture.
    Picture(Received),
    /// There are no more.
    End,
    /// From here on pictures are others, in words.
    Changed(String),
    /// Nothing within the time.
    Nothing,
}

/// A picture of a pipeline.
#[derive(Debug)]
pub struct Received {
    /// Presentation time, as the pipeline says it.
    pub pts_ns: Option<u64>,
    buffer: gst::Buffer,
    caps: Caps,
    back: Arc<Back>,
}

/// The right to read a picture's memory; its maker gets it back when this is dropped and what reads it is done.
#[derive(Debug)]
pub struct Lease {
    buffer: Option<gst::Buffer>,
    fences: Mutex<Vec<Fence>>,
    back: Arc<Back>,
}

impl Lease {
    /// The memory is read until `fence` signals.
    pub fn until(&self, fence: Fence) {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner).push(fence);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let fences = std::mem::take(self.fences.get_mut().unwrap_or_else(PoisonError::into_inner));
        let unsignaled = |fence: &Fence| matches!(fence.is_signaled(), Ok(false));
        let fences: Vec<Fence> = fences.into_iter().filter(unsignaled).collect();
        if let Some(buffer) = self.buffer.take().filter(|_| !fences.is_empty()) {
            self.back.give(buffer, fences);
        }
    }
}

/// Waits for fences before memory goes back, on a thread of its own: GStreamer knows none.
#[derive(Debug, Default)]
struct Back(Mutex<Option<Sender<Read>>>);

/// A picture that was read, until its fences have signaled.
type Read = (gst::Buffer, Vec<Fence>);

impl Back {
    fn give(&self, buffer: gst::Buffer, fences: Vec<Fence>) {
        let wait = |fences: &[Fence]| {
            for fence in fences {
                if let Err(error) = fence.wait(Some(HANG)) {
                    tracing::warn!("a picture goes back to GStreamer unfinished: {error}");
                }
            }
        };
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.is_none() {
            let (to, from) = channel::<Read>();
            let run = move || {
                from.into_iter().for_each(|(buffer, fences)| {
                    wait(&fences);
                    drop(buffer);
                })
            };
            if std::thread::Builder::new().name("gstreamer-back".into()).spawn(run).is_ok() {
                *sender = Some(to);
            }
        }
        let Some(sender) = sender.as_ref() else { return wait(&fences) };
        if let Err(unsent) = sender.send((buffer, fences)) {
            wait(&unsent.0.1);
        }
    }
}

/// What memory a frame was in before.
#[derive(Debug, Default)]
struct Known(Vec<(Layout, Vec<MemoryId>, Buffer)>);

impl Known {
    fn take(&mut self, layout: Layout, fds: Vec<OwnedFd>) -> Result<Buffer> {
        let ids: Vec<MemoryId> =
            fds.iter().map(|fd| identify(fd.as_fd()).map(|(_, id)| id)).collect::<Result<_>>().map_err(ours)?;
        let found = self.0.iter().position(|(known, of, _)| *known == layout && *of == ids);
        let entry = match found {
            Some(index) => self.0.remove(index),
            None => {
                let buffer = Buffer::from_fds(layout.clone(), fds).map_err(ours)?;
                (layout, ids, buffer)
            }
        };
        let buffer = entry.2.clone();
        self.0.push(entry);
        if self.0.len() > REMEMBERED {
            self.0.remove(0);
        }
        Ok(buffer)
    }
}

impl Received {
    /// The CPU has to copy it: it lies in memory without an fd that others could use.
    pub fn is_mapped(&self) -> bool {
        !memory::is_dma_buf(&self.buffer)
    }

    /// Copies the picture into one of the same size and format.
    ///
    /// # Errors
    /// `InvalidInput`: it lies outside its memory. `Unsupported`: the pixels do not lie row by row.
    pub fn copy_into(&self, layout: &Layout, into: &mut Map<'_>) -> Result<()> {
        memory::copy_out(&self.buffer, &self.caps, layout, into)
    }

    /// The picture as a frame in memory of ours: a copy.
    fn copied(&self) -> Result<Buffer> {
        let layout = video_format::default_layout(self.caps.fourcc, self.caps.size).map_err(ours)?;
        let mut end = 0;
        for plane in 0..layout.planes().len() {
            end = end.max(layout.plane_end(plane)?);
        }
        let fd = sys::memfd::create_sealed("darkframe-gstreamer", end)
            .map_err(|errno| Error::from_errno("memfd_create", format!("{end} bytes"), errno))?;
        let buffer = Buffer::from_fds(layout.clone(), vec![fd])?;
        {
            let mut map = buffer.map(Access::Write)?;
            self.copy_into(&layout, &mut map)?;
        }
        Ok(buffer)
    }
}

/// Takes pictures from a pipeline.
#[derive(Debug)]
pub struct Input {
    // Before the pipeline: its element of ours.
    sink: AppSink,
    chain: Chain,
    options: Options,
    caps: Caps,
    caps_said: gst::Caps,
    is_live: bool,
    says_color: bool,
    lends: bool,
    is_playing: bool,
    /// Of a live pipeline: taken to see what it is.
    first: Option<gst::Sample>,
    known: Known,
    first_pts_ns: Option<u64>,
    taken: u64,
    back: Arc<Back>,
}

impl Input {
    /// Starts the pipeline and waits for its first picture, which is not taken yet; no longer than `patience`, and until
    /// `stop` is set.
    ///
    /// # Errors
    /// What is wrong with the text; the pipeline's own; `Timeout`; `Interrupted`; `Unsupported`: pictures of which we do not
    /// know what they are.
    pub fn open(options: Options, stop: &AtomicBool) -> Result<Self> {
        let (chain, element) = Chain::parse(&options.text, End::Finish)?;
        let sink =
            element.downcast::<AppSink>().map_err(|_| Error::failed(OP, "the element of ours is another one"))?;
        sink.set_sync(false);
        sink.set_enable_last_sample(false);
        sink.set_max_buffers(WAITING);
        sink.set_caps(Some(&wanted(&options.modifiers)?));
        // Whoever asks hears that we obey strides: decoders then give their own memory.
        if let Some(pad) = sink.static_pad("sink") {
            pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
                if let Some(gst::QueryViewMut::Allocation(query)) = info.query_mut().map(gst::QueryRef::view_mut) {
                    query.add_allocation_meta::<video::VideoMeta>(None);
                    return gst::PadProbeReturn::Handled;
                }
                gst::PadProbeReturn::Ok
            });
        }
        let stopped = || stop.load(Ordering::Relaxed);
        let since = Instant::now();
        let state = chain.set_state(gst::State::Paused, options.patience, &stopped)?;
        let is_live = state == gst::StateChangeSuccess::NoPreroll;
        if is_live {
            chain.set_state(gst::State::Playing, options.patience, &stopped)?;
        }
        let first = loop {
            let sample = match is_live {
                true => sink.try_pull_sample(clock(BRIEF)),
                false => sink.try_pull_preroll(clock(BRIEF)),
            };
            if let Some(sample) = sample {
                break sample;
            }
            let has_ended = chain.look()? || sink.is_eos();
            if has_ended {
                // What failed has been said by then.
                chain.wait_for_end(BRIEF)?;
                return Err(Error::failed(OP, "the pipeline came to its end without a picture"));
            }
            if stopped() {
                let detail = "the run was ended before the pipeline had a picture";
                return Err(Error::new(ErrorKind::Interrupted, OP, detail));
            }
            if since.elapsed() >= options.patience {
                let detail = format!("the pipeline has no picture after {:?}", options.patience);
                return Err(Error::new(ErrorKind::Timeout, OP, detail)
                    .with_hint("GST_DEBUG=3 shows what its elements wait for; or raise patience"));
            }
        };
        let (caps, caps_said) = caps_of(&first)?;
        let says_color = caps_said.structure(0).is_some_and(|structure| structure.has_field("colorimetry"));
        let lends = first.buffer().is_some_and(memory::is_dma_buf);
        let first = Some(first).filter(|_| is_live);
        Ok(Self {
            sink,
            chain,
            options,
            caps,
            caps_said,
            is_live,
            says_color,
            lends,
            is_playing: is_live,
            first,
            known: Known::default(),
            first_pts_ns: None,
            taken: 0,
            back: Arc::default(),
        })
    }

    /// What the pictures are.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The pipeline says what the numbers mean; else it is guessed.
    pub fn says_color(&self) -> bool {
        self.says_color
    }

    /// Pictures come by themselves, whether they are taken or not.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// The first picture is a dma-buf.
    pub fn lends(&self) -> bool {
        self.lends
    }

    /// What its elements warned of.
    pub fn warnings(&self) -> Vec<String> {
        self.chain.warnings()
    }

    /// Lets go of what has come so far; times count from the next picture on.
    pub fn begin(&mut self) {
        self.first = None;
        self.first_pts_ns = None;
        self.taken = 0;
        while self.sink.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
    }

    /// The next picture; waits no longer than `timeout`.
    ///
    /// # Errors
    /// The pipeline's own, once the pictures before have been taken.
    pub fn next(&mut self, timeout: Duration) -> Result<Event> {
        if !self.is_playing {
            self.chain.set_state(gst::State::Playing, self.options.patience, &|| false)?;
            self.is_playing = true;
        }
        let since = Instant::now();
        let sample = loop {
            let left = timeout.saturating_sub(since.elapsed());
            let sample = self.first.take().or_else(|| self.sink.try_pull_sample(clock(left.min(BRIEF))));
            if let Some(sample) = sample {
                break sample;
            }
            if self.sink.is_eos() {
                // An element that failed ends the stream too; it has said so before.
                self.chain.look()?;
                return Ok(Event::End);
            }
            // Elements that fail do not always end the stream. What they made before was taken by now.
            self.chain.look()?;
            if left.is_zero() {
                return Ok(Event::Nothing);
            }
        };
        let (caps, said) = match sample.caps() {
            Some(caps) if *caps == *self.caps_said => (self.caps, None),
            _ => {
                let (caps, said) = caps_of(&sample)?;
                (caps, Some(said))
            }
        };
        if let Some(said) = said {
            let before = Caps { rate: caps.rate, dma_drm: caps.dma_drm, ..self.caps };
            if before != caps {
                let words = |caps: &Caps| format!("{} {}", caps.fourcc, caps.size);
                let change = match words(&self.caps) == words(&caps) {
                    true => "its pictures have other colours or another order of pixels now".into(),
                    false => format!("its pictures were {} and are {} now", words(&self.caps), words(&caps)),
                };
                return Ok(Event::Changed(change));
            }
            (self.caps_said, self.caps) = (said, caps);
        }
        let Some(buffer) = sample.buffer_owned() else { return Ok(Event::Nothing) };
        // From the stream's beginning, wherever its own times begin.
        let pts_ns = buffer.pts().map(gst::ClockTime::nseconds);
        self.taken += 1;
        Ok(Event::Picture(Received { pts_ns, buffer, caps: self.caps, back: Arc::clone(&self.back) }))
    }

    /// A picture where it lies, or a copy where it cannot be shared.
    ///
    /// # Errors
    /// As [`Received::copy_into`]; those of the memory.
    pub fn lend(&mut self, received: Received) -> Result<(Frame, Lease)> {
        let Received { pts_ns, buffer, caps, back } = received;
        let first_pts_ns = *self.first_pts_ns.get_or_insert(pts_ns.unwrap_or(0));
        let timestamp_ns = pts_ns.unwrap_or(0).saturating_sub(first_pts_ns);
        let sequence = self.taken.saturating_sub(1);
        if !memory::is_dma_buf(&buffer) {
            let memory = Received { pts_ns, buffer, caps, back: Arc::clone(&back) }.copied()?;
            let frame = Frame { color: caps.color, sequence, timestamp_ns, ..Frame::new(memory, None) };
            return Ok((frame, Lease { buffer: None, fences: Mutex::default(), back }));
        }
        let placed = memory::place(&buffer, &caps, true)?;
        let fd = |index: &usize| {
            let fd = sys::gstreamer::dma_buf_fd(buffer.peek_memory(*index));
            fd.ok_or_else(|| Error::new(ErrorKind::OutOfMemory, "dup", "a dma-buf of GStreamer's: no fd is left"))
        };
        let fds = placed.memory.iter().map(fd).collect::<Result<Vec<_>>>()?;
        let memory = self.known.take(placed.layout, fds)?;
        // What its maker's GPU still draws, where it says so.
        let fence = memory.export_fence(Access::Read).ok().filter(|fence| matches!(fence.is_signaled(), Ok(false)));
        let frame = Frame { color: caps.color, sequence, timestamp_ns, ..Frame::new(memory, fence) };
        Ok((frame, Lease { buffer: Some(buffer), fences: Mutex::default(), back }))
    }
}

/// What a sample is.
fn caps_of(sample: &gst::Sample) -> Result<(Caps, gst::Caps)> {
    let said = sample.caps_owned().ok_or_else(|| Error::invalid(OP, "a picture without caps"))?;
    let caps = said.to_string().parse::<Caps>().map_err(|error| {
        Error::new(error.kind(), OP, error.detail())
            .with_hint("end the text with ! videoconvert ! video/x-raw,format=RGBA, or NV12")
    })?;
    Ok((caps, said))
}

/// What we take: dma-bufs, else memory that the CPU maps, of formats of which we know what they are.
fn wanted(modifiers: &[Modifier]) -> Result<gst::Caps> {
    let names: Vec<&str> = video_format::FORMATS.iter().map(|(name, _, _)| *name).collect();
    let names = names.join(", ");
    let mut text = String::new();
    if is_at_least(24) {
        let code = |fourcc: Fourcc| fourcc.0.to_le_bytes().map(char::from).into_iter().collect::<String>();
        let of = |modifier: &Modifier| match *modifier {
            Modifier::LINEAR => String::new(),
            Modifier(value) => format!(":0x{value:016x}"),
        };
        let known = video_format::FORMATS.iter().map(|(_, _, fourcc)| code(*fourcc));
        let all: Vec<String> = known
            .flat_map(|code| modifiers.iter().map(move |modifier| format!("\"{code}{}\"", of(modifier))))
            .collect();
        let all = all.join(", ");
        text.push_str(&format!("video/x-raw(memory:DMABuf), format=(string)DMA_DRM, drm-format=(string){{ {all} }}; "));
    }
    text.push_str(&format!("video/x-raw(memory:DMABuf), format=(string){{ {names} }}; "));
    text.push_str(&format!("video/x-raw, format=(string){{ {names} }}"));
    text.parse().map_err(|error| Error::failed(OP, format!("caps of ours: {error}")))
}
