//! Frames into a pipeline of GStreamer.
//!
//! In: a text, the memory that frames will come in, then frames. Out: buffers in the first element; each memory back when
//! the last element has let go of it. Not here: how memory becomes GStreamer's (`memory`).

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_allocators::DmaBufAllocator;
use gstreamer_app::{AppSrc, AppSrcCallbacks};
use gstreamer_video as video;

use crate::buffer::{Access, Buffer, Memory};
use crate::color::Color;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Fourcc, Modifier};
use crate::frame::Frame;
use crate::layout::{Layout, Size};
use crate::share::unixfd::caps::Caps;
use crate::share::unixfd::video_format;

use super::chain::{BRIEF, Chain, clock};
use super::memory::{self, Keep, Way};
use super::{End, OP, is_at_least, ours};

/// How long a fence may take: longer is a hang.
const HANG: Duration = Duration::from_secs(10);
/// How long a pipeline that wants more may give nothing back before it is taken for one that keeps its pictures, as encoders
/// that look ahead do.
const KEEPS: Duration = Duration::from_millis(250);

/// What goes in, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The pipeline behind the run's end, as `gst-launch-1.0` takes it.
    pub text: String,
    /// What the frames' numbers mean.
    pub color: Color,
    /// Frames per second as a fraction.
    pub rate: (u32, u32),
    /// Memories that the pipeline may hold; further frames are copied where it keeps them.
    pub max_in_flight: usize,
    /// How long the pipeline may take nothing, and how long it may take to end.
    pub patience: Duration,
}

impl Options {
    /// Those of a text.
    pub fn new(text: impl Into<String>) -> Self {
        let (color, rate) = (Color::SRGB, (25, 1));
        Self { text: text.into(), color, rate, max_in_flight: 4, patience: Duration::from_secs(60) }
    }
}

/// What the pipeline's thread and whoever sends know of each other.
#[derive(Debug, Default)]
struct State {
    /// It has nothing to do.
    is_hungry: bool,
    /// It obeys `GstVideoMeta`; known from its first wish on.
    takes_strides: Option<bool>,
    /// Memories of ours that it has.
    held: usize,
}

#[derive(Debug, Default)]
struct Flight {
    state: Mutex<State>,
    changed: Condvar,
}

impl Flight {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, limit: Duration, done: impl Fn(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !done(state));
        done(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// One frame's memory on its way; dropped with the last reference to it.
struct OnItsWay {
    flight: Arc<Flight>,
    _keep: Option<Box<dyn Any + Send + Sync>>,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        // What is kept goes first: whoever hears of it may use the memory.
        self._keep = None;
        self.flight.lock().held -= 1;
        self.flight.changed.notify_all();
    }
}

/// Hands frames to a pipeline.
#[derive(Debug)]
pub struct Output {
    options: Options,
    // Before the pipeline: its element of ours.
    source: AppSrc,
    chain: Chain,
    flight: Arc<Flight>,
    allocator: DmaBufAllocator,
    way: Way,
    caps: gst::Caps,
    /// Frames are copied into this layout, and why; else their memory goes as it is.
    copied: Option<(video::VideoInfo, String)>,
    usual: Option<video::VideoInfo>,
    requires_zero_copy: bool,
    keeps: bool,
    first_ns: Option<u64>,
    sent: u64,
    copies: u64,
}

impl Output {
    /// Starts the pipeline and waits until it wants a frame, which is when its elements have agreed on what they take. Frames
    /// will be like `memories`.
    ///
    /// # Errors
    /// What is wrong with the text; `Unsupported`, `op` being `format`: it takes no such frames; the pipeline's own;
    /// `Timeout`.
    pub fn open(options: Options, memories: &[Buffer]) -> Result<Self> {
        let Some(first) = memories.first() else { return Err(Error::invalid(OP, "no memory to hand on")) };
        let (chain, element) = Chain::parse(&options.text, End::Begin)?;
        let source =
            element.downcast::<AppSrc>().map_err(|_| Error::failed(OP, "the element of ours is another one"))?;
        source.set_format(gst::Format::Time);
        // One frame at a time: those that wait do so before their memory is given away.
        source.set_property("max-buffers", 0u64);
        source.set_max_bytes(0);
        let flight = Arc::new(Flight::default());
        // Sinks empty their files as soon as they are ready: what cannot be is found out before.
        check_format(&source, &options, first)?;
        chain.set_state(gst::State::Ready, options.patience, &|| false)?;
        let (way, caps) = choose(&source, &options, first)?;
        source.set_caps(Some(&caps));
        source.set_callbacks(callbacks(&flight, &caps));
        let usual = memory::usual(first.layout());
        let mut output = Self {
            options,
            source,
            chain,
            flight,
            allocator: DmaBufAllocator::new(),
            way,
            caps,
            copied: None,
            usual,
            requires_zero_copy: false,
            keeps: false,
            first_ns: None,
            sent: 0,
            copies: 0,
        };
        output.chain.set_state(gst::State::Playing, output.options.patience, &|| false)?;
        output.wait_until_hungry()?;
        output.copied = output.must_copy(memories)?;
        if let Some((_, why)) = &output.copied {
            tracing::info!("frames are copied: {why}");
        }
        Ok(output)
    }

    /// The layout to copy into, where memory cannot go as it is.
    fn must_copy(&self, memories: &[Buffer]) -> Result<Option<(video::VideoInfo, String)>> {
        // Who takes memory by fd has to obey, and does not always say so.
        let takes_strides = is_by_fd(&self.caps) || self.flight.lock().takes_strides.unwrap_or(false);
        let Some(usual) = &self.usual else { return Ok(None) };
        if takes_strides || memories.iter().all(|memory| memory::is_usual(memory, usual)) {
            return Ok(None);
        }
        let layout = memories[0].layout();
        let why = format!("the pipeline does not obey GstVideoMeta, and would take {layout} for rows without padding");
        Ok(Some((usual.clone(), why)))
    }

    /// Fails where frames are copied, now or when the pipeline keeps too many.
    ///
    /// # Errors
    /// `Unsupported` with the reason.
    pub fn require_zero_copy(&mut self) -> Result<()> {
        self.requires_zero_copy = true;
        match &self.copied {
            Some((_, why)) => Err(Error::unsupported("require zero-copy", why.clone())
                .with_hint("run without it to copy, or begin the text with an element that takes strides")),
            None => Ok(()),
        }
    }

    /// What was agreed on.
    pub fn caps(&self) -> String {
        self.caps.to_string()
    }

    /// Memories that the pipeline has.
    pub fn held(&self) -> usize {
        self.flight.lock().held
    }

    /// What is to be known of the way that frames took: what was copied, and what elements warned of.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.copies > 0 {
            let why = match &self.copied {
                Some((_, why)) => why.clone(),
                None => format!(
                    "the pipeline keeps more than {} pictures (max-in-flight), as encoders that look ahead do",
                    self.options.max_in_flight
                ),
            };
            notes.push(format!("{} of {} pictures were copied for GStreamer: {why}", self.copies, self.sent));
        }
        notes.extend(self.chain.warnings());
        notes
    }

    fn is_over(&self) -> Error {
        let detail = format!("the pipeline came to its end by itself, after {} frames", self.sent);
        Error::new(ErrorKind::PeerClosed, OP, detail)
    }

    /// Waits until the pipeline has nothing to do.
    fn wait_until_hungry(&self) -> Result<()> {
        let since = Instant::now();
        loop {
            let is_hungry = self.flight.wait_until(BRIEF, |state| state.is_hungry);
            if self.chain.look()? {
                return Err(self.is_over());
            }
            if is_hungry {
                return Ok(());
            }
            if since.elapsed() >= self.options.patience {
                let detail =
                    format!("the pipeline has taken no frame for {:?}, after {}", self.options.patience, self.sent);
                return Err(Error::new(ErrorKind::Timeout, OP, detail).with_hint(
                    "GST_DEBUG=3 shows what its elements wait for; where several branches meet each needs a queue; or raise patience",
                ));
            }
        }
    }

    /// This frame's memory cannot be given away: the pipeline has as many as it may.
    fn is_full(&mut self) -> Result<bool> {
        let most = self.options.max_in_flight;
        let has_room = |state: &State| state.held < most;
        if has_room(&self.flight.lock()) {
            return Ok(false);
        }
        let since = Instant::now();
        let limit = match (self.requires_zero_copy, self.keeps) {
            (true, _) => self.options.patience,
            (false, true) => Duration::ZERO,
            (false, false) => KEEPS,
        };
        while since.elapsed() < limit {
            if self.flight.wait_until(BRIEF.min(limit), has_room) {
                return Ok(false);
            }
            self.chain.look()?;
        }
        if self.requires_zero_copy {
            let detail = format!("the pipeline wants more frames and gives none of {most} back");
            return Err(Error::unsupported("require zero-copy", detail)
                .with_hint("raise max-in-flight, or have the encoder look less far ahead (x264enc tune=zerolatency)"));
        }
        if !self.keeps {
            tracing::info!("the pipeline keeps {most} frames and wants more: those beyond are copied");
            self.keeps = true;
        }
        Ok(true)
    }

    /// Hands a frame on: waits for its fence, and until the pipeline wants one. `keep` is dropped when nobody has the memory
    /// any more.
    ///
    /// # Errors
    /// `PeerClosed` where the pipeline has ended by itself; its own; `Timeout`; those of the fence.
    pub fn send(&mut self, frame: Frame, keep: Option<Box<dyn Any + Send + Sync>>) -> Result<()> {
        self.wait_until_hungry()?;
        if let Some(fence) = &frame.fence {
            fence.wait(Some(HANG))?;
        }
        let is_full = self.copied.is_none() && self.is_full()?;
        let copied_into = match &self.copied {
            Some((usual, _)) => Some(usual.clone()),
            None if is_full => Some(self.usual.clone().ok_or_else(|| {
                let detail = format!("{}: the pipeline keeps frames, and no copy can be made", frame.buffer.layout());
                Error::unsupported(OP, detail).with_hint("raise max-in-flight, or have the encoder look less far ahead")
            })?),
            None => None,
        };
        let mut buffer = match copied_into {
            Some(usual) => {
                self.copies += 1;
                let copy = memory::copy(&frame.buffer, &usual)?;
                drop(keep);
                copy
            }
            None => {
                self.flight.lock().held += 1;
                let keep: Keep = Arc::new(OnItsWay { flight: Arc::clone(&self.flight), _keep: keep });
                memory::lend(&frame.buffer, self.way, &self.allocator, &keep)?
            }
        };
        let first_ns = *self.first_ns.get_or_insert(frame.timestamp_ns);
        let (numerator, denominator) = self.options.rate;
        let duration_ns = 1_000_000_000 * u64::from(denominator) / u64::from(numerator.max(1));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(clock(Duration::from_nanos(frame.timestamp_ns.saturating_sub(first_ns))));
            buffer.set_duration(clock(Duration::from_nanos(duration_ns)));
            buffer.set_offset(frame.sequence);
            buffer.set_offset_end(frame.sequence.saturating_add(1));
        }
        self.flight.lock().is_hungry = false;
        if self.source.push_buffer(buffer).is_err() {
            // Who refused says why, or has ended.
            self.chain.wait_for_end(Duration::from_secs(1))?;
            return Err(self.is_over());
        }
        self.sent += 1;
        Ok(())
    }

    /// Says that no frame comes any more and waits until every element is done: files are whole then.
    ///
    /// # Errors
    /// The pipeline's own; `Timeout`.
    pub fn finish(&mut self) -> Result<()> {
        // An end that was there before is one too.
        let _ = self.source.end_of_stream();
        if self.chain.wait_for_end(self.options.patience)? {
            return Ok(());
        }
        let detail = format!("the pipeline is not done {:?} after its last frame", self.options.patience);
        Err(Error::new(ErrorKind::Timeout, OP, detail)
            .with_hint("its files may not be whole; another source in the text that does not end? else raise patience"))
    }
}

/// What the pipeline's thread calls when it has nothing to do.
fn callbacks(flight: &Arc<Flight>, caps: &gst::Caps) -> AppSrcCallbacks {
    let (flight, caps) = (Arc::clone(flight), caps.clone());
    let wanted = move |source: &AppSrc, _: u32| {
        let is_known = flight.lock().takes_strides.is_some();
        // Asked on this thread, as elements expect it, once they have agreed on the caps.
        let takes_strides = if is_known { None } else { Some(asks_for_strides(source, &caps)) };
        let mut state = flight.lock();
        state.takes_strides = state.takes_strides.or(takes_strides);
        state.is_hungry = true;
        drop(state);
        flight.changed.notify_all();
    };
    AppSrcCallbacks::builder().need_data(wanted).build()
}

fn is_by_fd(caps: &gst::Caps) -> bool {
    caps.features(0).is_some_and(|features| features.contains("memory:DMABuf"))
}

fn asks_for_strides(source: &AppSrc, caps: &gst::Caps) -> bool {
    let mut query = gst::query::Allocation::new(Some(caps), false);
    let answered = source.static_pad("src").is_some_and(|pad| pad.peer_query(&mut query));
    answered && query.find_allocation_meta::<video::VideoMeta>().is_some()
}

/// Fails where the elements are known to take other formats only, before anything is opened.
fn check_format(source: &AppSrc, options: &Options, first: &Buffer) -> Result<()> {
    let Some(pad) = source.static_pad("src") else { return Ok(()) };
    let downstream = pad.peer_query_caps(None);
    let taken = formats(&downstream);
    match taken.is_empty() || taken.contains(&first.fourcc()) {
        true => Ok(()),
        false => Err(refused(&downstream, first.layout(), options)),
    }
}

/// The caps that the pipeline takes, best first, and as which memory frames go.
fn choose(source: &AppSrc, options: &Options, first: &Buffer) -> Result<(Way, gst::Caps)> {
    let layout = first.layout();
    let is_dma_buf = first.memory() == Memory::DmaBuf;
    let pad = source.static_pad("src").ok_or_else(|| Error::failed(OP, "the element of ours has no pad"))?;
    let downstream = pad.peer_query_caps(None);
    let plain = Caps {
        fourcc: layout.fourcc,
        modifier: layout.modifier,
        dma_drm: false,
        size: layout.size,
        rate: Some(options.rate),
        color: options.color,
    };
    let mut offers: Vec<String> = Vec::new();
    let is_plain = plain.check().is_ok();
    if is_dma_buf {
        if is_at_least(24) {
            offers.push(Caps { dma_drm: true, ..plain }.to_string());
        } else if is_plain {
            // Before 1.24 there are no words for modifiers: it is linear.
            offers.push(plain.to_string().replacen("video/x-raw", "video/x-raw(memory:DMABuf)", 1));
        }
    }
    if is_plain {
        // Elements that take anything look at bytes.
        let at = if downstream.is_any() { 0 } else { offers.len() };
        offers.insert(at, plain.to_string());
    }
    let parsed = offers.iter().map(|text| text.parse::<gst::Caps>());
    let offers: Vec<gst::Caps> = parsed
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| Error::failed(OP, format!("caps of ours: {error}: {}", offers.join("; "))))?;
    let fits = |caps: &gst::Caps| downstream.can_intersect(caps);
    let chosen = offers.iter().find(|caps| fits(caps)).cloned().or_else(|| {
        // An element that lists colours it knows, ours not among them, takes the picture without a word of them.
        let without = offers.iter().cloned().map(|mut caps| {
            for structure in caps.make_mut().iter_mut() {
                structure.remove_fields(["colorimetry", "chroma-site"]);
            }
            caps
        });
        let chosen = without.into_iter().find(fits);
        chosen
            .inspect(|_| tracing::warn!("the pipeline does not take these colours by name: it is told nothing of them"))
    });
    let Some(caps) = chosen else { return Err(refused(&downstream, layout, options)) };
    let is_mappable = || first.map(Access::Read).is_ok() && maps_by_fd(first);
    let way = if is_dma_buf && (is_by_fd(&caps) || is_mappable()) { Way::DmaBuf } else { Way::Mapped };
    Ok((way, caps))
}

/// GStreamer can map the dma-bufs by their fds, as elements that know none will want.
fn maps_by_fd(buffer: &Buffer) -> bool {
    let keep: Keep = Arc::new(());
    let lent = memory::lend(buffer, Way::DmaBuf, &DmaBufAllocator::new(), &keep);
    lent.is_ok_and(|lent| (0..lent.n_memory()).all(|index| lent.peek_memory(index).map_readable().is_ok()))
}

/// The formats of caps, in DRM's names.
fn formats(downstream: &gst::Caps) -> Vec<Fourcc> {
    let mut found = Vec::new();
    for structure in downstream.iter().filter(|structure| structure.name() == "video/x-raw") {
        let Ok(value) = structure.value("format") else { continue };
        let names: Vec<String> = match value.get::<gst::List>() {
            Ok(list) => list.iter().filter_map(|name| name.get::<String>().ok()).collect(),
            Err(_) => value.get::<String>().into_iter().collect(),
        };
        for name in names {
            if let Ok(fourcc) = video_format::from_name(&name)
                && !found.contains(&fourcc)
            {
                found.push(fourcc);
            }
        }
    }
    found
}

/// The pipeline takes no such frames.
fn refused(downstream: &gst::Caps, layout: &Layout, options: &Options) -> Error {
    let Layout { fourcc, size: Size { width, height }, modifier, .. } = *layout;
    let taken = formats(downstream);
    let first = options.text.split_whitespace().next().unwrap_or_default();
    if !taken.is_empty() && !taken.contains(&fourcc) {
        let names: Vec<String> = taken.iter().map(Fourcc::to_string).collect();
        let detail = format!("{first} takes no {fourcc}; it takes {}", names.join(", "));
        let example =
            [Fourcc::NV12, Fourcc::YUV420].into_iter().find(|format| taken.contains(format)).unwrap_or(taken[0]);
        return Error::unsupported("format", detail).with_hint(format!(
            "give the pass format = \"{example}\", or begin the text with videoconvert ! (which copies)"
        ));
    }
    let modifier = if modifier == Modifier::LINEAR { String::new() } else { format!(" with modifier {modifier}") };
    let (numerator, denominator) = options.rate;
    let detail = format!(
        "the pipeline takes no {fourcc} of {width}x{height}{modifier} at {numerator}/{denominator} frames a second; it takes {downstream}"
    );
    let shown: String = detail.chars().take(600).collect();
    ours(Error::unsupported("format", shown))
        .with_hint("begin the text with videoconvert ! videoscale ! videorate !, as far as needed")
}
