//! A stream that takes frames from a node: a camera, a screen, another pipeline.
//!
//! In: the name of a node. Out: [`Received`] frames whose memory is the node's own where it can be trusted not to shrink,
//! else a copy; given back when nobody holds them any more. Not here: what the bytes of a buffer say (`place`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::pipewire as pw;
use pw::loop_::Timeout;
use pw::spa;
use pw::spa::param::ParamType;
use pw::spa::utils::ChoiceEnum;
use pw::stream::{Stream, StreamFlags, StreamRc, StreamState};

use crate::buffer::{Access, Buffer, Memory};
use crate::device::DrmNode;
use crate::error::{Error, Result};
use crate::fence::{Fence, Timeline};
use crate::format::Modifier;
use crate::frame::Frame;
use crate::sys::pipewire::{self as raw, StreamBuffer};

use super::links::End;
use super::params::{self, Buffers, Bytes, Modifiers};
use super::{Connection, HANG, Links, OP, Waker, daemon_is_gone, listen};

mod place;

pub use super::params::Picture;

/// How frames are taken.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name or number of the node to take from. `None`: whatever is linked.
    pub target: Option<String>,
    /// The name of our own node.
    pub node: String,
    /// The daemon's socket, by name or path. `None`: that of `PIPEWIRE_REMOTE`, else `pipewire-0`.
    pub remote: Option<String>,
    /// Modifiers of dma-bufs that are taken; memory files are taken too.
    pub modifiers: Vec<Modifier>,
    /// A node with [timelines](Timeline): fences are points on them then, where the producer has one too.
    pub timelines: Option<DrmNode>,
    /// Waits for another link where the producer goes away.
    pub reconnect: bool,
}

impl Options {
    /// Those of a stream of this name.
    pub fn new(node: impl Into<String>) -> Self {
        let node = node.into();
        Self { target: None, node, remote: None, modifiers: vec![Modifier::LINEAR], timelines: None, reconnect: false }
    }
}

/// What [`Input::next`] found.
#[derive(Debug)]
pub enum Event {
    /// A frame.
    Frame(Box<Received>),
    /// The producer has gone.
    End,
    /// Nothing within the time.
    Nothing,
}

/// A frame from another process.
#[derive(Debug)]
pub struct Received {
    /// The frame. The same memory comes as clones of one [`Buffer`]. Its time counts from the first frame. Read only.
    pub frame: Frame,
    /// Presentation time as the producer says it.
    pub pts_ns: Option<u64>,
    /// The memory is the producer's own, not a copy.
    pub shared: bool,
    /// Keeps the producer from writing the memory again.
    pub lease: Lease,
}

/// The right to read a frame's memory. When it is dropped the buffer goes back, once.
#[derive(Debug)]
pub struct Lease {
    back: Arc<Shared>,
    /// The buffer's number; `None` for a copy.
    serial: Option<u64>,
    buffer: Buffer,
    fences: Mutex<Vec<Fence>>,
}

impl Lease {
    /// The memory is read until `fence` signals: the producer is told so, or the fence is attached to the dma-buf, or waited
    /// for when the lease is dropped.
    pub fn until(&self, fence: Fence) {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner).push(fence);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(serial) = self.serial else { return };
        let fences = std::mem::take(self.fences.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut merged: Option<Fence> = None;
        for fence in fences.into_iter().filter(|fence| matches!(fence.is_signaled(), Ok(false))) {
            merged = match merged.as_ref().map(|first| first.merge(&fence)) {
                None => Some(fence),
                Some(Ok(both)) => Some(both),
                Some(Err(_)) => {
                    let _ = fence.wait(Some(HANG));
                    merged
                }
            };
        }
        let takes_fences = self.back.lock().takes_fences;
        let merged = merged.filter(|fence| {
            let carried =
                || self.buffer.memory() == Memory::DmaBuf && self.buffer.import_fence(fence, Access::Read).is_ok();
            if !takes_fences && !carried() {
                let _ = fence.wait(Some(HANG));
            }
            takes_fences
        });
        self.back.lock().returns.push((serial, merged));
        self.back.waker.wake();
    }
}

#[derive(Default)]
struct State {
    picture: Option<Picture>,
    frames: VecDeque<Received>,
    /// Buffers to give back.
    returns: Vec<(u64, Option<Fence>)>,
    takes_fences: bool,
    /// Frames came, and the producer has gone.
    ended: bool,
    taken: u64,
    first_pts_ns: Option<u64>,
    error: Option<Error>,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    waker: Waker,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({} frames wait)", self.frames.len())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: Error) {
        self.lock().error.get_or_insert(error);
        self.changed.notify_all();
    }
}

/// Takes frames from a node.
pub struct Input {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Input {
    /// Makes the stream. Who links it to a node is a session manager, where there is one and `target` is known, or whoever
    /// else does so.
    ///
    /// # Errors
    /// `NotFound` where no daemon answers.
    pub fn open(options: Options) -> Result<Self> {
        let (waker, woken) = Waker::new()?;
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), waker });
        let (opened, result) = sync_channel(1);
        let inner = shared.clone();
        let thread = std::thread::Builder::new().name("pipewire".into());
        let thread = thread.spawn(move || {
            if let Err(error) = run(&inner, &options, woken, &opened) {
                // Nobody listens any more where it had been opened.
                let _ = opened.try_send(Err(error.clone()));
                inner.fail(error);
            }
        });
        let thread = Some(thread.map_err(|error| Error::from_io("pthread_create", OP, error))?);
        let input = Self { shared, thread };
        result.recv().unwrap_or_else(|_| Err(Error::failed(OP, "the thread ended")))?;
        Ok(input)
    }

    fn wait(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let since = Instant::now();
        let mut state = self.shared.lock();
        loop {
            let left = timeout.saturating_sub(since.elapsed());
            if done(&state) || state.ended || state.error.is_some() || left.is_zero() {
                return state;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it is known what the frames are, at most `timeout`.
    ///
    /// # Errors
    /// `PeerClosed` where the daemon has gone; `Unsupported`: frames that are not understood.
    pub fn wait_for_picture(&self, timeout: Duration) -> Result<Option<Picture>> {
        let state = self.wait(timeout, |state| state.picture.is_some());
        match (&state.picture, &state.error) {
            (Some(picture), _) => Ok(Some(*picture)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }

    /// The next frame, waited for at most `timeout`.
    ///
    /// # Errors
    /// As [`Input::wait_for_picture`].
    pub fn next(&mut self, timeout: Duration) -> Result<Event> {
        let mut state = self.wait(timeout, |state| !state.frames.is_empty());
        if let Some(received) = state.frames.pop_front() {
            return Ok(Event::Frame(Box::new(received)));
        }
        match &state.error {
            Some(error) => Err(error.clone()),
            None if state.ended => Ok(Event::End),
            None => Ok(Event::Nothing),
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Their leases refer to what holds them.
        let left = std::mem::take(&mut self.shared.lock().frames);
        drop(left);
    }
}

/// Two timelines of one buffer.
struct Timelines {
    acquire: Timeline,
    release: Timeline,
}

struct Slot {
    serial: u64,
    buffer: StreamBuffer,
    /// What it was the last time.
    known: Option<Buffer>,
    timelines: Option<Timelines>,
}

/// Everything that the callbacks and the loop share.
struct Node {
    shared: Arc<Shared>,
    slots: RefCell<Vec<Slot>>,
    next_serial: Cell<u64>,
    picture: Cell<Option<(Picture, Modifier)>>,
    is_dma_buf: Cell<bool>,
    node: Option<DrmNode>,
    reconnect: bool,
    /// Memory for frames that are copied; free where nobody else holds it.
    copies: RefCell<Vec<Buffer>>,
}

impl Node {
    fn state_changed(&self, new: &StreamState) {
        if let StreamState::Error(what) = new {
            let detail = format!("the stream broke: {what}");
            self.shared.fail(
                Error::failed(OP, detail).with_hint("is the producer one of raw video in a format that is known here?"),
            );
        }
    }

    fn param_changed(&self, stream: &Stream, id: u32, pod: Option<&spa::pod::Pod>) {
        if id != ParamType::Format.as_raw() {
            return;
        }
        let Some(pod) = pod else { return };
        let answer = params::read(pod).and_then(|(picture, modifiers)| {
            let modifier = match modifiers {
                // The producer chooses, and says so next.
                Modifiers::Offered(_) => return Ok(None),
                Modifiers::Fixed(modifier) => modifier,
                Modifiers::None => Modifier::LINEAR,
            };
            self.is_dma_buf.set(matches!(modifiers, Modifiers::Fixed(_)));
            self.picture.set(Some((picture, modifier)));
            self.wishes(&picture).map(|wishes| Some((picture, wishes)))
        });
        let updated = answer.and_then(|answer| {
            let Some((picture, wishes)) = answer else { return Ok(()) };
            let updated = stream.update_params(&mut params::pods(&wishes));
            updated.map_err(|error| Error::failed("pw_stream_update_params", error.to_string()))?;
            self.shared.lock().picture = Some(picture);
            Ok(())
        });
        if let Err(error) = updated {
            self.shared.fail(error);
        }
        self.shared.changed.notify_all();
    }

    /// The last link has gone.
    fn producer_went(&self) {
        let mut state = self.shared.lock();
        state.ended |= state.picture.is_some() && !self.reconnect;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// The buffers that we take.
    fn wishes(&self, picture: &Picture) -> Result<Vec<Bytes>> {
        let planes = picture.fourcc.format()?.planes.len() as i32;
        let dma_buf = 1 << spa::sys::SPA_DATA_DmaBuf;
        // PipeWire before 1.0 gives plain pointers where memory files were asked for.
        let files = 1 << spa::sys::SPA_DATA_MemFd | 1 << spa::sys::SPA_DATA_MemPtr;
        let kinds = if self.is_dma_buf.get() { dma_buf } else { dma_buf | files };
        let buffers = |blocks: ChoiceEnum<i32>, timelines: bool| {
            let count = ChoiceEnum::Range { default: 8, min: 2, max: 64 };
            Buffers { count, blocks, only: None, kinds, timelines }.bytes()
        };
        let mut wishes = Vec::new();
        let timelines = self.node.is_some() && self.is_dma_buf.get();
        if timelines {
            wishes.push(buffers(ChoiceEnum::None(planes + 2), true)?);
        }
        // Files hold all planes; GStreamer's sink, which leaves their number to us, fills the first and crashes on a second.
        let default = if self.is_dma_buf.get() { planes } else { 1 };
        wishes.push(buffers(ChoiceEnum::Range { default, min: 1, max: 4 }, false)?);
        wishes.push(params::header()?);
        wishes.push(params::busy()?);
        if timelines {
            wishes.push(params::points()?);
        }
        Ok(wishes)
    }

    fn add_buffer(&self, buffer: *mut pw::sys::pw_buffer) {
        #[expect(unsafe_code, reason = "the callback's pointer becomes a handle")]
        // SAFETY: this is `add_buffer`; `remove_buffer` makes the slots forget it.
        let Some(buffer) = (unsafe { StreamBuffer::new(buffer) }) else { return };
        let timelines = match place::timelines(buffer, self.node.as_ref()) {
            Ok(timelines) => timelines,
            Err(error) => return self.shared.fail(error),
        };
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        let takes_fences = timelines.is_some();
        self.slots.borrow_mut().push(Slot { serial, buffer, known: None, timelines });
        self.shared.lock().takes_fences = takes_fences;
    }

    fn remove_buffer(&self, buffer: *mut pw::sys::pw_buffer) {
        self.slots.borrow_mut().retain(|slot| !slot.buffer.is(buffer));
    }

    /// Gives back what is to be given back, and takes what has come.
    fn work(&self, stream: &Stream) {
        let returns = std::mem::take(&mut self.shared.lock().returns);
        for (serial, fence) in returns {
            self.give_back(stream, serial, fence.as_ref());
        }
        while let Some(buffer) = raw::dequeue(stream) {
            let received = self.take(buffer);
            match received {
                Ok(Some(received)) => {
                    let unshared = (!received.shared).then_some(buffer);
                    let mut state = self.shared.lock();
                    state.taken += 1;
                    let received = received.on_clock(&mut state.first_pts_ns);
                    state.frames.push_back(received);
                    drop(state);
                    self.shared.changed.notify_all();
                    if let Some(buffer) = unshared {
                        self.release(stream, buffer, None);
                    }
                }
                Ok(None) => self.release(stream, buffer, None),
                Err(error) => {
                    self.release(stream, buffer, None);
                    self.shared.fail(error);
                }
            }
        }
    }

    fn give_back(&self, stream: &Stream, serial: u64, fence: Option<&Fence>) {
        let buffer = self.slots.borrow().iter().find(|slot| slot.serial == serial).map(|slot| slot.buffer);
        // Buffers of a link that is gone went with it.
        if let Some(buffer) = buffer {
            self.release(stream, buffer, fence);
        }
    }

    fn release(&self, stream: &Stream, buffer: StreamBuffer, fence: Option<&Fence>) {
        let slots = self.slots.borrow();
        let timelines = slots.iter().find(|slot| slot.buffer == buffer).and_then(|slot| slot.timelines.as_ref());
        if let (Some(timelines), Some(points)) = (timelines, buffer.points()) {
            let set = match fence {
                Some(fence) => timelines.release.set(points.release, fence),
                None => timelines.release.signal(points.release),
            };
            if let Err(error) = set {
                tracing::warn!("PipeWire: a release point is not set: {error}");
            }
        } else if let Some(fence) = fence {
            let _ = fence.wait(Some(HANG));
        }
        drop(slots);
        raw::queue(stream, buffer);
    }
}

impl Received {
    fn on_clock(mut self, first_pts_ns: &mut Option<u64>) -> Self {
        if let Some(pts_ns) = self.pts_ns {
            self.frame.timestamp_ns = pts_ns.saturating_sub(*first_pts_ns.get_or_insert(pts_ns));
        }
        self
    }
}

fn run(shared: &Arc<Shared>, options: &Options, woken: UnixStream, opened: &SyncSender<Result<()>>) -> Result<()> {
    let connection = Connection::open(options.remote.as_deref())?;
    let gone = shared.clone();
    let _gone = connection.on_gone(move |_| {
        let taken = gone.lock().taken;
        gone.fail(daemon_is_gone(taken));
    });
    let _woken = listen(connection.main_loop.loop_(), woken);
    let mut properties = pw::properties::PropertiesBox::new();
    for (key, value) in [
        ("media.type", Some("Video")),
        ("media.category", Some("Capture")),
        ("media.role", Some("Camera")),
        ("node.name", Some(options.node.as_str())),
        ("target.object", options.target.as_deref()),
    ] {
        if value.is_some_and(|value| value.contains('\0')) {
            return Err(Error::invalid(OP, "a node's name with a byte 0"));
        }
        if let Some(value) = value {
            properties.insert(key, value);
        }
    }
    let failed = |what: &'static str| move |error: pw::Error| Error::failed(what, error.to_string());
    let stream = StreamRc::new(connection.core.clone(), &options.node, properties).map_err(failed("pw_stream_new"))?;
    let mut wishes = Vec::new();
    if !options.modifiers.is_empty() {
        wishes.push(params::wish(&Modifiers::Offered(options.modifiers.clone()))?);
    }
    wishes.push(params::wish(&Modifiers::None)?);
    let node = Rc::new(Node {
        shared: shared.clone(),
        slots: RefCell::default(),
        next_serial: Cell::default(),
        picture: Cell::default(),
        is_dma_buf: Cell::default(),
        node: options.timelines.clone(),
        reconnect: options.reconnect,
        copies: RefCell::default(),
    });
    let (a, b, c, d) = (node.clone(), node.clone(), node.clone(), node.clone());
    let came = shared.clone();
    let _listener = stream
        .add_local_listener_with_user_data(())
        .state_changed(move |_, (), _old, new| a.state_changed(&new))
        .param_changed(move |stream, (), id, pod| b.param_changed(stream, id, pod))
        .add_buffer(move |_, (), buffer| c.add_buffer(buffer))
        .remove_buffer(move |_, (), buffer| d.remove_buffer(buffer))
        // On the thread of the graph: what came is taken by the loop, which this wakes.
        .process(move |_, ()| came.waker.wake())
        .register()
        .map_err(failed("pw_stream_add_listener"))?;
    // Without RT_PROCESS PipeWire 1.2 and later wait for us in no cycle, and a frame may pass us.
    let flags = StreamFlags::AUTOCONNECT | StreamFlags::RT_PROCESS;
    stream
        .connect(spa::utils::Direction::Input, None, flags, &mut params::pods(&wishes))
        .map_err(failed("pw_stream_connect"))?;
    let links = Rc::new(Links::default());
    let of = stream.clone();
    let _links = links.follow(&connection.core, End::Input, move || of.node_id())?;
    let _ = opened.send(Ok(()));
    loop {
        connection.main_loop.loop_().iterate(Timeout::Infinite);
        {
            let state = shared.lock();
            if state.stop || state.error.is_some() {
                break;
            }
        }
        node.work(&stream);
        if links.gone.replace(false) {
            node.producer_went();
        }
    }
    let _ = stream.disconnect();
    node.slots.borrow_mut().clear();
    Ok(())
}
