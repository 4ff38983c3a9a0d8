//! A node that offers frames: a video source, in PipeWire's words.
//!
//! In: the memories that frames come in, then frames. Out: their fds, once, to whoever links to the node; then which of them
//! has the next frame. Not here: what is agreed on as bytes (`params`), which buffer stands for which memory (`slots`),
//! the stream and its cycles (`node`).
//!
//! PipeWire hands fds over when a link is made, so every memory is known before.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::buffer::{Access, Buffer, Memory};
use crate::color::Color;
use crate::device::DrmNode;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::share::unixfd::server::WhenFull;

use super::{HANG, OP, Waker};

mod cycle;
mod node;
mod slots;

/// How frames are offered.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's name.
    pub node: String,
    /// The daemon's socket, by name or path. `None`: that of `PIPEWIRE_REMOTE`, else `pipewire-0`.
    pub remote: Option<String>,
    /// What the numbers mean.
    pub color: Color,
    /// Frames per second.
    pub rate: Option<(u32, u32)>,
    /// Frames that consumers hold or that are on their way.
    pub max_in_flight: usize,
    /// What happens beyond that. A consumer cannot be made to release: after [`Options::patience`] frames are dropped until
    /// it does.
    pub when_full: WhenFull,
    /// How long [`WhenFull::Wait`] waits.
    pub patience: Duration,
    /// A node with [timelines](crate::fence::Timeline): fences are points on them then, for consumers that have one too.
    pub timelines: Option<DrmNode>,
}

impl Options {
    /// Those of a node of this name.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            remote: None,
            color: Color::SRGB,
            rate: None,
            max_in_flight: 4,
            when_full: WhenFull::default(),
            patience: HANG,
            timelines: None,
        }
    }
}

/// A frame on its way.
pub(super) struct Job {
    pub(super) frame: Frame,
    pub(super) keep: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Default)]
struct State {
    /// Somebody is linked and takes frames.
    streaming: bool,
    /// dma-bufs were agreed on, with timelines.
    shares_dma_bufs: bool,
    takes_fences: bool,
    jobs: VecDeque<Job>,
    /// The newest frame, where there was no room for it.
    waiting: Option<Job>,
    in_flight: usize,
    /// A sender waits for room.
    wanted: bool,
    /// Nothing came back for so long that frames are dropped.
    stuck: bool,
    sent: u64,
    dropped: u64,
    node_id: Option<u32>,
    error: Option<Error>,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    waker: Waker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many frames have come back, or were let go.
    fn returned(&self, frames: usize) {
        if frames > 0 {
            let mut state = self.lock();
            state.in_flight = state.in_flight.saturating_sub(frames);
            state.stuck = false;
            drop(state);
            self.changed.notify_all();
        }
    }

    fn fail(&self, error: Error) {
        self.lock().error.get_or_insert(error);
        self.changed.notify_all();
        // The loop ends, and consumers hear of it.
        self.waker.wake();
    }
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Somebody is linked and takes frames.
    pub streaming: bool,
    /// Its memory is dma-bufs.
    pub shares_dma_bufs: bool,
    /// Fences travel as points of timelines.
    pub timelines: bool,
    /// Frames that consumers hold or that are on their way.
    pub in_flight: usize,
    /// Frames that were handed over.
    pub sent: u64,
    /// Frames for which nobody was there, or nobody had room.
    pub dropped: u64,
}

/// Offers frames as a node. Dropped, the node goes away at once; [`finish`](Output::finish) waits for what is on its way.
pub struct Output {
    shared: Arc<Shared>,
    options: Options,
    thread: Option<JoinHandle<()>>,
}

impl Output {
    /// Makes the node. Frames come in `memories`, all of one layout, and in no other memory. With fewer than two more than
    /// twice [`Options::max_in_flight`] a frame may be lost where a consumer gives several back at once: PipeWire takes one
    /// back per frame.
    ///
    /// # Errors
    /// `NotFound` where no daemon answers; `Unsupported`: a format that PipeWire has no name for.
    pub fn open(options: Options, memories: Vec<Buffer>) -> Result<Self> {
        let (waker, woken) = Waker::new()?;
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), waker });
        let (opened, result) = sync_channel(1);
        let (inner, wanted) = (shared.clone(), options.clone());
        let thread = std::thread::Builder::new().name("pipewire".into());
        let thread = thread.spawn(move || {
            if let Err(error) = node::run(&inner, &wanted, memories, woken, &opened) {
                // Nobody listens any more where it had been opened.
                let _ = opened.try_send(Err(error.clone()));
                inner.fail(error);
            }
        });
        let thread = Some(thread.map_err(|error| Error::from_io("pthread_create", OP, error))?);
        let output = Self { shared, options, thread };
        result.recv().unwrap_or_else(|_| Err(Error::failed(OP, "the thread ended")))?;
        Ok(output)
    }

    /// Hands a frame over; `false` where nobody takes it. `keep` is dropped when nobody reads the memory any more.
    /// Waits as [`WhenFull::Wait`] says, and for the frame's fence where it cannot travel.
    ///
    /// # Errors
    /// `PeerClosed` where the daemon has gone; those of the fence.
    pub fn send(&self, mut frame: Frame, keep: Option<Box<dyn Any + Send + Sync>>) -> Result<bool> {
        self.settle(&mut frame)?;
        let job = Job { frame, keep };
        let since = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(error) = &state.error {
                return Err(error.clone());
            }
            if !state.streaming || (state.stuck && state.in_flight >= self.options.max_in_flight) {
                state.dropped += 1;
                return Ok(false);
            }
            if state.in_flight < self.options.max_in_flight {
                break;
            }
            match self.options.when_full {
                WhenFull::DropNewest => {
                    state.dropped += 1;
                    state.wanted = true;
                    drop(state);
                    self.shared.waker.wake();
                    return Ok(false);
                }
                WhenFull::DropOldest => {
                    let before = state.waiting.replace(job);
                    state.dropped += u64::from(before.is_some());
                    drop(state);
                    self.shared.waker.wake();
                    return Ok(true);
                }
                WhenFull::Wait => {}
            }
            let left = self.options.patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                let patience = self.options.patience;
                tracing::warn!(
                    node = self.options.node,
                    ?patience,
                    "no buffer comes back: frames are dropped until one does"
                );
                state.stuck = true;
                continue;
            }
            state.wanted = true;
            self.shared.waker.wake();
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.in_flight += 1;
        state.wanted = false;
        state.jobs.push_back(job);
        drop(state);
        self.shared.waker.wake();
        Ok(true)
    }

    /// Attaches the frame's fence to its memory, or waits for it, where it does not travel by itself.
    fn settle(&self, frame: &mut Frame) -> Result<()> {
        let Some(fence) = &frame.fence else { return Ok(()) };
        let (takes_fences, shares) = {
            let state = self.shared.lock();
            (state.takes_fences, state.shares_dma_bufs)
        };
        if takes_fences {
            return Ok(());
        }
        let carried = shares && frame.buffer.memory() == Memory::DmaBuf;
        if !(carried && frame.buffer.import_fence(fence, Access::Write).is_ok()) {
            fence.wait(Some(HANG))?;
        }
        frame.fence = None;
        Ok(())
    }

    /// Blocks until somebody takes frames.
    ///
    /// # Errors
    /// `Timeout`; `PeerClosed` where the daemon has gone.
    pub fn wait_for_consumer(&self, timeout: Duration) -> Result<()> {
        self.wait_until(timeout, |state| state.streaming)?.then_some(()).ok_or_else(|| {
            let detail = format!("node \"{}\": nobody takes its frames after {timeout:?}", self.options.node);
            Error::new(crate::error::ErrorKind::Timeout, OP, detail)
                .with_hint("link one to it: pw-link, or a session manager")
        })
    }

    fn wait_until(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> Result<bool> {
        let since = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(error) = &state.error {
                return Err(error.clone());
            }
            let left = timeout.saturating_sub(since.elapsed());
            if done(&state) || left.is_zero() {
                return Ok(done(&state));
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What has happened so far.
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        Status {
            streaming: state.streaming,
            shares_dma_bufs: state.shares_dma_bufs,
            timelines: state.takes_fences,
            in_flight: state.in_flight,
            sent: state.sent,
            dropped: state.dropped,
        }
    }

    /// The node's number with the daemon.
    pub fn node_id(&self) -> Option<u32> {
        self.shared.lock().node_id
    }

    /// Waits until consumers have given everything back, at most `linger`, and ends.
    pub fn finish(self, linger: Duration) {
        self.shared.lock().wanted = true;
        self.shared.waker.wake();
        // A daemon that went away wants nothing any more.
        let _ = self.wait_until(linger, |state| !state.streaming || (state.in_flight == 0 && state.waiting.is_none()));
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            // It does not panic; where it did, there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}
