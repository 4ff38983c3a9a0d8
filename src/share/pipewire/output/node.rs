//! The stream behind an offered node, and its cycles.
//!
//! In: frames to hand over. Out: PipeWire's calls, in the order that loses none. A buffer comes back in a cycle of the graph
//! that this node begins: where frames wait for one, cycles without a frame are begun.
//! Not here: what a producer sees (`output`), what a cycle is (`cycle`).

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use ::pipewire as pw;
use pw::loop_::Timeout;
use pw::spa;
use pw::spa::param::ParamType;
use pw::stream::{Stream, StreamFlags, StreamRc, StreamState};

use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::share::pipewire::links::End;
use crate::share::pipewire::params;
use crate::share::pipewire::{Connection, Links, OP, daemon_is_gone, listen};
use crate::sys::pipewire as raw;

use super::cycle::{Cycle, Kind};
use super::slots::{Placed, Reclaimed, Slots};
use super::{Job, Options, Shared};

/// Between two cycles that only bring buffers back: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));
/// The graph runs, and no node at the other end can be asked whether it does: it counts as running.
const SILENCE: Duration = Duration::from_secs(1);

/// Everything that the callbacks and the loop share.
struct Node {
    shared: Arc<Shared>,
    slots: RefCell<Slots>,
    /// The stream broke and is to be offered anew.
    broken: Cell<bool>,
    /// The stream takes part in the graph, and since when.
    runs: Cell<Option<Instant>>,
}

impl Node {
    fn state_changed(&self, stream: &Stream, new: &StreamState) {
        self.runs.set((*new == StreamState::Streaming).then(Instant::now));
        let mut state = self.shared.lock();
        // Whether somebody takes frames is seen in the loop.
        state.streaming &= self.runs.get().is_some();
        state.node_id = Some(stream.node_id()).filter(|id| *id != u32::MAX);
        state.stuck = false;
        let mut unsent: Vec<Job> = Vec::new();
        if !state.streaming {
            unsent.extend(state.jobs.drain(..));
            state.in_flight = state.in_flight.saturating_sub(unsent.len());
            state.dropped += unsent.len() as u64;
            unsent.extend(state.waiting.take());
        }
        drop(state);
        if let StreamState::Error(what) = new {
            tracing::warn!(what, "PipeWire: a link was not made; the node is offered anew");
            self.broken.set(true);
        }
        self.shared.changed.notify_all();
        drop(unsent);
    }

    fn param_changed(&self, stream: &Stream, id: u32, pod: Option<&spa::pod::Pod>) {
        if id != ParamType::Format.as_raw() {
            return;
        }
        let answer = match pod {
            None => {
                self.slots.borrow_mut().forget_format();
                return;
            }
            Some(pod) => params::read(pod).and_then(|(_, modifiers)| self.slots.borrow_mut().agree(&modifiers)),
        };
        let shares_dma_bufs = self.slots.borrow().shares_dma_bufs();
        self.shared.lock().shares_dma_bufs = shares_dma_bufs;
        let updated = answer.and_then(|bytes| {
            let updated = stream.update_params(&mut params::pods(&bytes));
            updated.map_err(|error| Error::failed("pw_stream_update_params", error.to_string()))
        });
        if let Err(error) = updated {
            tracing::warn!("PipeWire: what a consumer wants is not possible: {error}");
        }
    }

    fn add_buffer(&self, buffer: *mut pw::sys::pw_buffer) {
        #[expect(unsafe_code, reason = "the callback's pointer becomes a handle")]
        // SAFETY: this is `add_buffer`; `remove_buffer` makes the slots forget it.
        let Some(buffer) = (unsafe { raw::StreamBuffer::new(buffer) }) else { return };
        let mut slots = self.slots.borrow_mut();
        if let Err(error) = slots.add(buffer) {
            drop(slots);
            self.shared.fail(error);
            return;
        }
        let takes_fences = slots.take_fences();
        drop(slots);
        self.shared.lock().takes_fences = takes_fences;
    }

    fn remove_buffer(&self, buffer: *mut pw::sys::pw_buffer) {
        let Reclaimed { frames, free } = self.slots.borrow_mut().remove(buffer);
        drop(free);
        self.shared.returned(frames);
    }

    /// Takes back what came back, and hands over the next frame, where there is a buffer for it and `may_queue`. True where a
    /// cycle of the graph is to be begun. One frame goes with a cycle: PipeWire would let the one before be lost.
    fn work(&self, stream: &Stream, may_queue: bool) -> bool {
        let Reclaimed { frames, free } = self.slots.borrow_mut().reclaim(stream);
        // The producer's code may run here.
        drop(free);
        self.shared.returned(frames);
        let mut queued = false;
        while may_queue && !queued {
            let mut state = self.shared.lock();
            if state.jobs.is_empty()
                && state.in_flight < self.slots.borrow().max_in_flight
                && let Some(job) = state.waiting.take()
            {
                state.in_flight += 1;
                state.jobs.push_back(job);
            }
            let Some(job) = state.jobs.pop_front() else { break };
            drop(state);
            let placed = self.slots.borrow_mut().place(job);
            match placed {
                Ok(Placed::In(buffer)) => {
                    raw::queue(stream, buffer);
                    self.shared.lock().sent += 1;
                    queued = true;
                }
                Ok(Placed::NoRoom(job)) => {
                    self.shared.lock().jobs.push_front(job);
                    break;
                }
                Err(error) => {
                    self.shared.fail(error);
                    self.shared.returned(1);
                }
            }
        }
        queued
    }

    /// Frames wait for buffers, or buffers for a cycle.
    fn needs_cycles(&self, stream: &Stream) -> bool {
        let state = self.shared.lock();
        if !state.streaming {
            return false;
        }
        let waits = !state.jobs.is_empty() || state.waiting.is_some() || (state.wanted && state.in_flight > 0);
        drop(state);
        let slots = self.slots.borrow();
        waits || slots.has_pending() || slots.is_short() || stream.time().is_ok_and(|time| time.queued_buffers() > 0)
    }
}

/// Offers frames until it is told to stop. What the stream is for is said of [`Output`](super::Output).
///
/// # Errors
/// As [`Output::open`](super::Output::open), and `PeerClosed` where the daemon has gone.
pub(super) fn run(
    shared: &Arc<Shared>,
    options: &Options,
    memories: Vec<Buffer>,
    woken: UnixStream,
    opened: &SyncSender<Result<()>>,
) -> Result<()> {
    // Its handles of the stream's buffers stay on this thread.
    let slots = Slots::new(options, memories)?;
    let connection = Connection::open(options.remote.as_deref())?;
    let gone = shared.clone();
    let _gone = connection.on_gone(move |_| {
        let sent = gone.lock().sent;
        gone.fail(daemon_is_gone(sent));
    });
    let _woken = listen(connection.main_loop.loop_(), woken);
    if options.node.contains('\0') {
        return Err(Error::invalid(OP, "a node's name with a byte 0"));
    }
    let mut properties = pw::properties::PropertiesBox::new();
    for (key, value) in [
        ("media.type", "Video"),
        ("media.class", "Video/Source"),
        ("media.role", "Camera"),
        ("node.name", options.node.as_str()),
        ("node.description", options.node.as_str()),
    ] {
        properties.insert(key, value);
    }
    let failed = |what: &'static str| move |error: pw::Error| Error::failed(what, error.to_string());
    let stream = StreamRc::new(connection.core.clone(), &options.node, properties).map_err(failed("pw_stream_new"))?;
    let offers = slots.offers()?;
    let (slots, broken, runs) = (RefCell::new(slots), Cell::default(), Cell::default());
    let node = Rc::new(Node { shared: shared.clone(), slots, broken, runs });
    let (a, b, c, d) = (node.clone(), node.clone(), node.clone(), node.clone());
    let _listener = stream
        .add_local_listener_with_user_data(())
        .state_changed(move |stream, (), _old, new| a.state_changed(stream, &new))
        .param_changed(move |stream, (), id, pod| b.param_changed(stream, id, pod))
        .add_buffer(move |_, (), buffer| c.add_buffer(buffer))
        .remove_buffer(move |_, (), buffer| d.remove_buffer(buffer))
        .register()
        .map_err(failed("pw_stream_add_listener"))?;
    let links = Rc::new(Links::default());
    let of = stream.clone();
    let _links = links.follow(&connection.core, End::Output, move || of.node_id())?;
    let connect = || -> Result<()> {
        let flags = StreamFlags::DRIVER | StreamFlags::ALLOC_BUFFERS | StreamFlags::RT_PROCESS;
        stream
            .connect(spa::utils::Direction::Output, None, flags, &mut params::pods(&offers))
            .map_err(failed("pw_stream_connect"))?;
        // A stream that was never asked for a cycle begins one by itself with the first frame that is queued: ours, behind
        // it, would overtake it, and frames be lost. Nothing runs yet, so this one is none.
        let _ = stream.trigger_process();
        Ok(())
    };
    connect()?;
    let _ = opened.send(Ok(()));
    let ends = raw::CycleEnds::listen(&stream);
    let mut cycle: Option<Cycle> = None;
    let mut pause = None;
    // Between cycles that bring buffers back.
    let mut between = PAUSES.0;
    loop {
        let timeout = pause.map_or(Timeout::Infinite, Timeout::Finite);
        let dispatched = connection.main_loop.loop_().iterate(timeout);
        {
            let state = shared.lock();
            if state.stop || state.error.is_some() {
                break;
            }
        }
        // PipeWire keeps the buffers of a consumer that went away without giving them back: a node made anew has all.
        if node.broken.replace(false) || links.gone.replace(false) {
            let _ = stream.disconnect();
            let Reclaimed { frames, free } = node.slots.borrow_mut().clear();
            drop(free);
            shared.returned(frames);
            connect()?;
            continue;
        }
        let ended = ends.take();
        cycle = cycle.map(|cycle| cycle.after(ended));
        let Some(since) = node.runs.get() else {
            (cycle, pause) = (None, None);
            continue;
        };
        if !shared.lock().streaming {
            // PipeWire starts us before it starts the other end, which would miss the first frames.
            let begins = links.has_running_peer() || (!links.asks() && since.elapsed() > SILENCE);
            match &cycle {
                // What is left of the start comes to rest in a cycle without a frame.
                None if begins => cycle = Some(Cycle::begin(&stream, Kind::Opening)),
                Some(cycle) if cycle.is_over() && begins => {
                    links.take_changed();
                    shared.lock().streaming = true;
                    shared.changed.notify_all();
                }
                _ => {}
            }
            // Whoever starts and cycles that end wake this.
            pause = Some(PAUSES.1);
            continue;
        }
        if links.take_changed() {
            cycle = Some(Cycle::settle());
        }
        let is_idle = cycle.as_ref().is_none_or(Cycle::is_over);
        let queued = node.work(&stream, is_idle);
        if !shared.lock().streaming {
            cycle = None;
        } else if queued {
            cycle = Some(Cycle::begin(&stream, Kind::Frame));
        } else if is_idle {
            let waited = pause.is_some() && dispatched == 0;
            cycle = waited.then(|| Cycle::begin(&stream, Kind::Empty));
        }
        let brings_back = cycle.is_some() && !queued && is_idle;
        pause = match (cycle.is_some(), node.needs_cycles(&stream)) {
            (false, false) => None,
            (false, true) => Some(between),
            // Its end wakes this.
            (true, _) => Some(PAUSES.1),
        };
        between = match (brings_back, queued || pause.is_none()) {
            (true, _) => (between * 2).min(PAUSES.1),
            (false, true) => PAUSES.0,
            (false, false) => between,
        };
    }
    let _ = stream.disconnect();
    let mut state = shared.lock();
    state.streaming = false;
    let left = (std::mem::take(&mut state.jobs), state.waiting.take());
    drop(state);
    drop(left);
    // Where the daemon is gone, no callback said so of each buffer.
    drop(node.slots.borrow_mut().clear());
    shared.changed.notify_all();
    Ok(())
}
