//! The role of `unixfdsink`: hands frames to any number of clients, and waits for none of them.
//!
//! In: frames. Out: their fds, to each client that has room. Not here: what one client holds (`peer`).
//!
//! A thread accepts clients, takes releases and sends what a socket did not take at once; frames go out on the thread
//! that gives them. A frame's memory is held until every client that got it has released it, its release fence has
//! signaled, or it is gone.

use std::any::Any;
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::buffer::{Access, Buffer, Memory};
use crate::device::DrmNode;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::format::Modifier;
use crate::frame::Frame;
use crate::share::metadata::Metadata;

use super::address::{Address, Allow, Credentials};
use super::caps::Caps;
use super::link::{Fds, Parcel};
use super::wire::{Message, NewBuffer};
use super::{OP, planes};

mod peer;
mod serving;

use peer::Peer;
use serving::Serving;

/// How long a fence may take: longer is a hang.
const HANG: Duration = Duration::from_secs(10);
/// Departures that are remembered.
const REMEMBERED: usize = 64;

/// What happens to a frame for which a client has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// This client does not get it.
    #[default]
    DropNewest,
    /// It takes the place of the oldest frame that has not left for this client; where all have left, the client does not
    /// get it.
    DropOldest,
    /// The producer waits until the client releases a frame; one that does not for [`Options::patience`] is let go.
    Wait,
}

/// How frames are served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Permission bits of the socket's file.
    pub mode: u32,
    /// Group of the socket's file.
    pub group: Option<u32>,
    /// Who may connect. Where it is empty: whoever the file's mode lets in; for abstract names this user and root.
    pub allow: Vec<Allow>,
    /// Clients at one time; more are turned away.
    pub max_clients: usize,
    /// Frames that one client holds or has coming.
    pub max_in_flight: usize,
    /// What happens beyond that.
    pub when_full: WhenFull,
    /// How long [`WhenFull::Wait`] waits for one client.
    pub patience: Duration,
    /// Memory files are handed out for reading only.
    pub read_only: bool,
    /// Caps with the feature `memory:DMABuf`, for consumers that import; always so for modifiers other than linear.
    pub dma_drm: bool,
    /// A node with [timelines](crate::fence::Timeline): fences are points on them then, for clients that have one too.
    pub timelines: Option<DrmNode>,
    /// The stream's name, for clients of this crate.
    pub stream: String,
    /// Frames per second, for the caps.
    pub rate: Option<(u32, u32)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: 0o600,
            group: None,
            allow: Vec::new(),
            max_clients: 16,
            max_in_flight: 2,
            when_full: WhenFull::default(),
            patience: HANG,
            read_only: true,
            dma_drm: false,
            timelines: None,
            stream: String::new(),
            rate: None,
        }
    }
}

/// A frame to hand out.
#[derive(Debug)]
pub struct Outgoing {
    /// The frame. Its fence goes to clients that take fences; for others it is attached to the dma-buf, or waited for.
    pub frame: Frame,
    /// What else there is to say of it.
    pub metadata: Metadata,
    /// Dropped with the buffer, when nobody holds the frame any more.
    pub keep: Option<Box<dyn Any + Send + Sync>>,
}

impl From<Frame> for Outgoing {
    fn from(frame: Frame) -> Self {
        Self { frame, metadata: Metadata::default(), keep: None }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Clients that get it.
    pub clients: usize,
    /// Clients that had no room.
    pub dropped: usize,
}

/// A client that is there.
#[derive(Clone, Debug)]
pub struct ClientState {
    /// Who it is.
    pub credentials: Credentials,
    /// It is of this crate: fences and metadata travel.
    pub extended: bool,
    /// Fences travel as points of timelines.
    pub timelines: bool,
    /// Frames that it holds or has coming.
    pub in_flight: usize,
    /// Frames that it got.
    pub sent: u64,
    /// Frames that it did not get, for lack of room.
    pub dropped: u64,
}

/// A client that has gone, and why.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Who it was; `None` where it was turned away before that was known.
    pub credentials: Option<Credentials>,
    /// What it did. Kind `PeerClosed` is a client that ended by itself.
    pub reason: Error,
}

/// A frame that clients hold.
struct Shipment {
    buffer: Buffer,
    read_only: bool,
    _keep: Option<Box<dyn Any + Send + Sync>>,
}

impl Fds for Shipment {
    fn lend(&self, with: &mut dyn FnMut(&[BorrowedFd<'_>])) {
        let fds: Vec<BorrowedFd<'_>> = planes::fds(&self.buffer, self.read_only).collect();
        with(&fds);
    }
}

/// Memory that a client has released behind a fence.
struct Pending {
    peer: u64,
    fence: Fence,
    since: Instant,
    shipment: Arc<Shipment>,
}

#[derive(Default)]
struct State {
    peers: Vec<Peer>,
    next_peer: u64,
    next_frame: u64,
    pending: Vec<Pending>,
    caps: Option<Caps>,
    /// The frame times' zero on the monotonic clock.
    base_ns: Option<u64>,
    departures: VecDeque<Departure>,
    ended: bool,
    stop: bool,
    /// Shipments to drop once the lock is open: that may run code of the producer.
    garbage: Vec<Arc<Shipment>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Wakes the thread.
    waker: UnixStream,
    options: Options,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.waker).write(&[0]);
    }

    /// Opens the lock, then drops what nobody holds any more.
    fn unlock(&self, mut state: MutexGuard<'_, State>) {
        let garbage = std::mem::take(&mut state.garbage);
        drop(state);
        self.changed.notify_all();
        drop(garbage);
    }
}

/// Serves frames on a socket. Dropped, it closes it at once; [`finish`](Server::finish) says goodbye first.
pub struct Server {
    shared: Arc<Shared>,
    address: Address,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `address`. A socket that a killed process left is replaced.
    ///
    /// # Errors
    /// `InvalidInput` where another process serves it; `PermissionDenied`, `NotFound` for its folder.
    pub fn bind(address: &Address, options: Options) -> Result<Self> {
        if options.max_in_flight == 0 || options.max_clients == 0 {
            return Err(Error::invalid(OP, "max_in_flight and max_clients are at least 1"));
        }
        let listener = address.listen(options.mode, options.group)?;
        let pair = UnixStream::pair().and_then(|(waker, woken)| {
            waker.set_nonblocking(true)?;
            woken.set_nonblocking(true)?;
            Ok((waker, woken))
        });
        let (waker, woken) = pair.map_err(|error| Error::from_io("socketpair", OP, error))?;
        let is_abstract = matches!(address, Address::Abstract(_));
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), waker, options });
        let serving = Serving { shared: shared.clone(), listener, woken, is_abstract, deaf_until: None };
        let thread = std::thread::Builder::new().name("unixfd".into()).spawn(move || serving.run());
        let thread = thread.map_err(|error| Error::from_io("pthread_create", OP, error))?;
        Ok(Self { shared, address: address.clone(), thread: Some(thread) })
    }

    /// Hands a frame to every client that has room. Waits for nobody, except as [`WhenFull::Wait`] says, and for the
    /// frame's own fence where a client takes none and the memory cannot carry it.
    ///
    /// # Errors
    /// `Unsupported`: a format or modifier that caps cannot say. Those of the fence. Never those of a client.
    pub fn send(&self, outgoing: impl Into<Outgoing>) -> Result<Sent> {
        let Outgoing { frame, metadata, keep } = outgoing.into();
        let Options { max_in_flight, when_full, patience, read_only, .. } = self.shared.options;
        let caps = self.caps(&frame)?;
        let (memory, memories, video) = planes::describe(&frame.buffer)?;
        let block = if metadata.is_empty() { None } else { Some(metadata.encode()?) };
        let fence = frame.fence.map(Arc::new);
        // Whoever uses the dma-buf implicitly waits then, across processes.
        let carried = fence.as_ref().is_none_or(|fence| {
            frame.buffer.memory() == Memory::DmaBuf && frame.buffer.import_fence(fence, Access::Write).is_ok()
        });
        let mut waited = carried;
        let mut state = self.shared.lock();
        let since = Instant::now();
        loop {
            if state.ended {
                return Err(Error::invalid(OP, "a frame after the end of the stream"));
            }
            if let Some(fence) =
                fence.as_ref().filter(|_| !waited && state.peers.iter().any(|peer| !peer.takes_fences()))
            {
                drop(state);
                fence.wait(Some(HANG))?;
                waited = true;
                state = self.shared.lock();
                continue;
            }
            let is_full = |peer: &Peer, state: &State| peer.in_flight(&state.pending) >= max_in_flight;
            if when_full != WhenFull::Wait || !state.peers.iter().any(|peer| is_full(peer, &state)) {
                break;
            }
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                let late: Vec<u64> = state.peers.iter().filter(|peer| is_full(peer, &state)).map(Peer::id).collect();
                for peer in late {
                    let detail = format!("released no frame for {patience:?} and holds {max_in_flight}");
                    state.part(peer, Error::new(ErrorKind::Timeout, OP, detail));
                }
                continue;
            }
            let opened = self.shared.changed.wait_timeout(state, left);
            state = opened.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.caps != Some(caps) {
            state.caps = Some(caps);
            let text = Parcel::new(&Message::Caps(Some(caps.to_string()))).bytes;
            for peer in &mut state.peers {
                peer.push(Parcel { bytes: text.clone(), fds: None, frame: None });
            }
        }
        let id = state.next_frame;
        state.next_frame += 1;
        let base_ns =
            *state.base_ns.get_or_insert_with(|| crate::sys::monotonic_ns().saturating_sub(frame.timestamp_ns));
        let message = NewBuffer {
            id,
            pts_ns: Some(base_ns.saturating_add(frame.timestamp_ns)),
            dts_ns: None,
            duration_ns: caps.rate.map(|(rate, per)| 1_000_000_000 * u64::from(per) / u64::from(rate.max(1))),
            offset: Some(frame.sequence),
            offset_end: Some(frame.sequence.saturating_add(1)),
            flags: 0,
            memory,
            memories,
            metas: vec![super::wire::Meta::Video(video)],
        };
        let bytes: Arc<[u8]> = Message::NewBuffer(message).encode().into();
        let metadata = block.map(|block| Parcel::new(&Message::Metadata { id, block }).bytes);
        let shipment = Arc::new(Shipment { buffer: frame.buffer, read_only, _keep: keep });
        let mut sent = Sent::default();
        let mut gone = Vec::new();
        let mut unsent = false;
        let State { peers, pending, garbage, .. } = &mut *state;
        for peer in peers.iter_mut() {
            if peer.in_flight(pending) >= max_in_flight
                && !(when_full == WhenFull::DropOldest && peer.drop_oldest(garbage))
            {
                peer.dropped += 1;
                sent.dropped += 1;
                continue;
            }
            let parcel = |bytes: &Arc<[u8]>, fds| Parcel { bytes: bytes.clone(), fds, frame: Some(id) };
            if let Some(metadata) = metadata.as_ref().filter(|_| peer.takes_metadata()) {
                peer.push(parcel(metadata, None));
            }
            if let Some(fence) = fence.as_ref().filter(|_| peer.takes_fences()) {
                peer.push_acquire(id, fence);
            }
            peer.push(parcel(&bytes, Some(shipment.clone())));
            peer.hold(id, shipment.clone());
            sent.clients += 1;
            match peer.flush() {
                Ok(all) => unsent |= !all,
                Err(reason) => gone.push((peer.id(), reason)),
            }
        }
        for (peer, reason) in gone {
            state.part(peer, reason);
        }
        state.garbage.push(shipment);
        self.shared.unlock(state);
        if unsent {
            self.shared.wake();
        }
        Ok(sent)
    }

    fn caps(&self, frame: &Frame) -> Result<Caps> {
        let layout = frame.buffer.layout();
        let is_linear = matches!(layout.modifier, Modifier::LINEAR | Modifier::INVALID);
        let options = &self.shared.options;
        let is_dma_buf = frame.buffer.memory() == Memory::DmaBuf;
        let caps = Caps {
            fourcc: layout.fourcc,
            modifier: if is_linear { Modifier::LINEAR } else { layout.modifier },
            dma_drm: is_dma_buf && (options.dma_drm || !is_linear),
            size: layout.size,
            rate: options.rate,
            color: frame.color,
        };
        caps.check()?;
        Ok(caps)
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The clients that are there.
    pub fn clients(&self) -> Vec<ClientState> {
        let state = self.shared.lock();
        state.peers.iter().map(|peer| peer.state(&state.pending)).collect()
    }

    /// The clients that have gone since the last call, and why; the last 64.
    pub fn departures(&self) -> Vec<Departure> {
        self.shared.lock().departures.drain(..).collect()
    }

    /// Blocks until `count` clients are there.
    ///
    /// # Errors
    /// `Timeout`.
    pub fn wait_for_clients(&self, count: usize, timeout: Duration) -> Result<()> {
        let mut found = 0;
        self.wait_until(timeout, |state| {
            found = state.peers.len();
            found >= count
        })
        .then_some(())
        .ok_or_else(|| {
            let detail = format!("{}: {found} of {count} clients after {timeout:?}", self.address);
            Error::new(ErrorKind::Timeout, OP, detail).with_hint("start the consumers")
        })
    }

    fn wait_until(&self, timeout: Duration, mut done: impl FnMut(&State) -> bool) -> bool {
        let since = Instant::now();
        let mut state = self.shared.lock();
        while !done(&state) {
            let left = timeout.saturating_sub(since.elapsed());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Says that no more frames come, and waits up to `timeout` for clients to take and release what they have. True where
    /// all did. Clients keep what they hold in any case.
    pub fn finish(mut self, timeout: Duration) -> bool {
        {
            let mut state = self.shared.lock();
            state.ended = true;
            for peer in &mut state.peers {
                peer.push(Parcel::new(&Message::Eos));
            }
            self.shared.unlock(state);
            self.shared.wake();
        }
        let done = self.wait_until(timeout, |state| {
            state.pending.is_empty() && state.peers.iter().all(|peer| peer.is_idle(&state.pending))
        });
        self.close();
        done
    }

    fn close(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a unixfd server panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    /// Lets a client go; what it held comes back.
    fn part(&mut self, id: u64, reason: Error) {
        let Some(index) = self.peers.iter().position(|peer| peer.id() == id) else { return };
        let peer = self.peers.swap_remove(index);
        let credentials = peer.credentials;
        self.garbage.extend(peer.into_held());
        self.remember(Some(credentials), reason);
    }

    fn remember(&mut self, credentials: Option<Credentials>, reason: Error) {
        let who = credentials.map_or("a client".into(), |credentials| credentials.to_string());
        match reason.kind() {
            ErrorKind::PeerClosed => tracing::debug!(who, %reason, "unixfd client gone"),
            _ => tracing::warn!("unixfd client let go: {who}: {reason}"),
        }
        if self.departures.len() == REMEMBERED {
            self.departures.pop_front();
        }
        self.departures.push_back(Departure { credentials, reason });
    }
}
