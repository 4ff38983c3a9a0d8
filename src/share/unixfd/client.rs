//! The role of `unixfdsrc`: takes frames from a server and gives each back when nobody holds it any more.
//!
//! In: an address. Out: [`Received`] frames whose memory is the server's own where it can be trusted not to shrink, else a
//! copy. Not here: which memory is known already (`import`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::buffer::{Access, Buffer, Memory};
use crate::device::DrmNode;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::{Fence, Timeline};
use crate::frame::Frame;
use crate::share::metadata::{MAX_BLOCK_BYTES, Metadata};

use super::OP;
use super::address::{self, Address, Allow, Credentials};
use super::caps::Caps;
use super::link::{Arrival, Inbox, Outbox, Parcel};
use super::wire::{self, EXTENSION_VERSION, Hello, Message, NewBuffer};

mod import;

use import::Imports;

/// Releases that a server has not taken: more, and it is one that never will.
const MAX_UNSENT: usize = 4096;
/// Messages without a frame that are read after the time is over.
const MESSAGES_AT_ONCE: usize = 256;
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(50);

/// How frames are taken.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may serve. Where it is empty: anyone, for abstract names this user and root.
    pub allow: Vec<Allow>,
    /// Connects again where the server goes away without an end of the stream, and waits for one that is not there yet.
    pub reconnect: bool,
    /// Tells the server that fences and metadata are understood. A stock server does not mind.
    pub extension: bool,
    /// A node with [timelines](Timeline): fences are points on them then, where the server has one too.
    pub timelines: Option<DrmNode>,
}

impl Default for Options {
    fn default() -> Self {
        Self { allow: Vec::new(), reconnect: false, extension: true, timelines: None }
    }
}

/// What [`Client::next`] found.
#[derive(Debug)]
pub enum Event {
    /// A frame.
    Frame(Received),
    /// The server said that no more come.
    End,
    /// Nothing within the time.
    Nothing,
}

/// A frame from another process.
#[derive(Debug)]
pub struct Received {
    /// The frame. The same memory comes as clones of one [`Buffer`], so what was made of it can be used again. Its time
    /// counts from the first frame. Read only: the memory is the server's.
    pub frame: Frame,
    /// Presentation time on `CLOCK_MONOTONIC`.
    pub pts_ns: Option<u64>,
    /// What else the server says of it.
    pub metadata: Metadata,
    /// The memory is the server's own, not a copy.
    pub shared: bool,
    /// Keeps the server from writing the memory again; keep it, or a clone, while the buffer is read.
    pub lease: Lease,
}

/// The right to read a frame's memory. When the last clone is dropped the server is told, once. That of a copy is empty:
/// the server was told when the copy was made.
#[derive(Clone, Debug)]
pub struct Lease(Option<Arc<LeaseInner>>);

#[derive(Debug)]
struct LeaseInner {
    id: u64,
    outlet: Arc<Outlet>,
    buffer: Option<Buffer>,
    fences: Mutex<Vec<Fence>>,
}

impl Lease {
    /// The memory is read until `fence` signals: the server is told so, or the fence is attached to the dma-buf, or waited
    /// for when the lease is dropped.
    pub fn until(&self, fence: Fence) {
        if let Some(inner) = &self.0 {
            inner.fences.lock().unwrap_or_else(PoisonError::into_inner).push(fence);
        }
    }
}

impl Drop for LeaseInner {
    fn drop(&mut self) {
        let fences = std::mem::take(self.fences.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut merged: Option<Fence> = None;
        for fence in fences.into_iter().filter(|fence| matches!(fence.is_signaled(), Ok(false))) {
            merged = match merged.as_ref().map(|first| first.merge(&fence)) {
                None => Some(fence),
                Some(Ok(both)) => Some(both),
                // Out of fds, most likely: waiting does as well.
                Some(Err(_)) => {
                    let _ = fence.wait(Some(HANG));
                    merged
                }
            };
        }
        self.outlet.release(self.id, merged, self.buffer.as_ref());
    }
}

/// How long a fence may take: longer is a hang.
const HANG: Duration = Duration::from_secs(10);

/// The way back to the server, which leases share with the client.
#[derive(Debug)]
struct Outlet {
    socket: OwnedFd,
    out: Mutex<Out>,
}

#[derive(Default)]
struct Out {
    outbox: Outbox,
    /// The server takes release fences.
    fences: bool,
    /// On which they are points, and the last that was set.
    timeline: Option<(Timeline, u64)>,
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Out({} unsent)", self.outbox.len())
    }
}

impl Outlet {
    fn release(&self, id: u64, fence: Option<Fence>, buffer: Option<&Buffer>) {
        let takes_fences = self.out.lock().unwrap_or_else(PoisonError::into_inner).fences;
        let fence = fence.filter(|fence| {
            let carried = || buffer.is_some_and(|buffer| buffer.import_fence(fence, Access::Read).is_ok());
            if !takes_fences && !carried() {
                let _ = fence.wait(Some(HANG));
            }
            takes_fences
        });
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fence) = fence {
            let point = out.timeline.as_mut().and_then(|(timeline, last)| {
                let point = *last + 1;
                timeline
                    .set(point, &fence)
                    .inspect_err(|error| tracing::debug!(%error, "a fence goes by itself"))
                    .ok()?;
                *last = point;
                Some(point)
            });
            out.outbox.push(match point {
                Some(point) => Parcel::new(&Message::ReleasePoint { id, point }),
                None => Parcel { fds: Some(Arc::new(fence)), ..Parcel::new(&Message::ReleaseFence { id }) },
            });
        }
        out.outbox.push(Parcel::new(&Message::Release { id }));
        // A server that is gone wants no frame back.
        let _ = out.outbox.flush(self.socket.as_fd());
    }

    fn push(&self, message: &Message) -> Result<bool> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.outbox.push(Parcel::new(message));
        out.outbox.flush(self.socket.as_fd())
    }

    /// True where something is left to send.
    fn flush(&self) -> Result<bool> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.outbox.len() > MAX_UNSENT {
            return Err(Error::invalid(OP, format!("the server takes no releases: {MAX_UNSENT} are waiting")));
        }
        match out.outbox.flush(self.socket.as_fd()) {
            Ok(all) => Ok(!all),
            // What it sent before it went is still to be read; reading tells of the end.
            Err(error) if error.kind() == ErrorKind::PeerClosed => {
                out.outbox = Outbox::default();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// One connection and what was said on it.
struct Connection {
    outlet: Arc<Outlet>,
    inbox: Inbox,
    server: Credentials,
    caps: Option<Caps>,
    hello: Option<Hello>,
    /// For the frame that follows.
    acquire: Option<(u64, Fence)>,
    node: Option<DrmNode>,
    acquire_timeline: Option<Timeline>,
    metadata: Option<(u64, Metadata)>,
    imports: Imports,
}

/// Takes frames from a server.
pub struct Client {
    address: Address,
    options: Options,
    connection: Option<Connection>,
    first_pts_ns: Option<u64>,
    frames: u64,
    ended: bool,
}

impl Client {
    /// Connects. With [`Options::reconnect`] a server that is not there yet is no error: [`Client::next`] waits for it.
    ///
    /// # Errors
    /// `NotFound` where nobody serves the address; `PermissionDenied` by its mode or by the allow list.
    pub fn connect(address: &Address, options: Options) -> Result<Self> {
        let mut client =
            Self { address: address.clone(), options, connection: None, first_pts_ns: None, frames: 0, ended: false };
        match client.open() {
            Ok(connection) => client.connection = Some(connection),
            Err(error) if client.options.reconnect && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(client)
    }

    /// Takes a socket that is connected already.
    ///
    /// # Errors
    /// `PermissionDenied` by the allow list.
    pub fn from_socket(socket: OwnedFd, options: Options) -> Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true).map_err(|errno| Error::from_io("FIONBIO", OP, errno.into()))?;
        let address = Address::Abstract("connected before".into());
        let options = Options { reconnect: false, ..options };
        let mut client = Self { address, options, connection: None, first_pts_ns: None, frames: 0, ended: false };
        client.connection = Some(client.greet(socket)?);
        Ok(client)
    }

    fn open(&self) -> Result<Connection> {
        self.greet(self.address.connect()?)
    }

    fn greet(&self, socket: OwnedFd) -> Result<Connection> {
        let server = Credentials::of(&socket)?;
        let is_abstract = matches!(self.address, Address::Abstract(_));
        address::check(server, &self.options.allow, |peer| !is_abstract || address::is_own_user(peer))?;
        let outlet = Arc::new(Outlet { socket, out: Mutex::default() });
        if self.options.extension {
            let hello = Hello {
                version: EXTENSION_VERSION,
                fences: true,
                metadata: true,
                timelines: self.options.timelines.is_some(),
                stream: String::new(),
            };
            match outlet.push(&Message::Hello(hello)) {
                // It may have sent its last frames already.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::PeerClosed => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Connection {
            outlet,
            inbox: Inbox::default(),
            server,
            caps: None,
            hello: None,
            acquire: None,
            node: self.options.timelines.clone(),
            acquire_timeline: None,
            metadata: None,
            imports: Imports::default(),
        })
    }

    /// What the frames are, once the server has said it.
    pub fn caps(&self) -> Option<&Caps> {
        self.connection.as_ref()?.caps.as_ref()
    }

    /// No more frames come.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The stream's name, where the server is of this crate.
    pub fn stream(&self) -> Option<&str> {
        Some(self.connection.as_ref()?.hello.as_ref()?.stream.as_str())
    }

    /// Fences come as points of timelines.
    pub fn has_timelines(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.acquire_timeline.is_some())
    }

    /// Who serves.
    pub fn server(&self) -> Option<Credentials> {
        self.connection.as_ref().map(|connection| connection.server)
    }

    /// What to wait on in a poll loop: readable where [`Client::next`] has something to do. `None` while there is no
    /// connection.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(|connection| connection.outlet.socket.as_fd())
    }

    /// Reads until the caps are known, for callers that make room before the first frame. `false` where the stream ended
    /// or nothing came within `timeout`.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub fn wait_for_caps(&mut self, timeout: Option<Duration>) -> Result<bool> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        while self.caps().is_none() {
            match self.step(deadline)? {
                Step::Went => {}
                Step::Frame(_) => return Ok(true),
                Step::End | Step::Late => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next frame. Blocks until there is one, the stream has ended, or `timeout` has passed; `None` waits for ever.
    ///
    /// # Errors
    /// `PeerClosed`: the server went away without an end of the stream (and reconnecting is not asked for).
    /// `InvalidInput`: it broke the protocol; the error says how, and the connection is closed.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Event> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut late = 0;
        loop {
            match self.step(deadline)? {
                // What is there is read even without any time; a server that talks and talks does not keep us for ever.
                Step::Went if deadline.is_some_and(|deadline| Instant::now() > deadline) => {
                    late += 1;
                    if late > MESSAGES_AT_ONCE {
                        return Ok(Event::Nothing);
                    }
                }
                Step::Went => {}
                Step::Frame(received) => return Ok(Event::Frame(*received)),
                Step::End => return Ok(Event::End),
                Step::Late => return Ok(Event::Nothing),
            }
        }
    }

    fn step(&mut self, deadline: Option<Instant>) -> Result<Step> {
        if self.ended {
            return Ok(Step::End);
        }
        if self.connection.is_none() {
            match self.open() {
                Ok(connection) => self.connection = Some(connection),
                Err(error) if self.options.reconnect && error.kind() == ErrorKind::NotFound => {
                    let left = deadline.map_or(RETRY, |deadline| deadline.saturating_duration_since(Instant::now()));
                    if left.is_zero() {
                        return Ok(Step::Late);
                    }
                    std::thread::sleep(left.min(RETRY));
                    return Ok(Step::Went);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(connection) = &mut self.connection else { return Ok(Step::Went) };
        let arrival = connection
            .outlet
            .flush()
            .and_then(|unsent| Ok((unsent, connection.inbox.receive(connection.outlet.socket.as_fd())?)));
        let result = match arrival {
            Ok((_, Arrival::Message(message, fds))) => connection.take(message, fds),
            Ok((unsent, Arrival::Nothing)) => {
                return connection.wait(unsent, deadline).map(|ready| if ready { Step::Went } else { Step::Late });
            }
            Ok((_, Arrival::Closed)) => {
                let detail = format!(
                    "{}: the server went away after {} frames, without an end of the stream",
                    self.address, self.frames
                );
                Err(Error::new(ErrorKind::PeerClosed, OP, detail))
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(Taken::Nothing) => Ok(Step::Went),
            Ok(Taken::End) => {
                self.ended = true;
                Ok(Step::End)
            }
            Ok(Taken::Frame(mut received, number)) => {
                received.frame.sequence = number.unwrap_or(self.frames);
                self.frames += 1;
                if let Some(pts_ns) = received.pts_ns {
                    let first = *self.first_pts_ns.get_or_insert(pts_ns);
                    received.frame.timestamp_ns = pts_ns.saturating_sub(first);
                }
                Ok(Step::Frame(received))
            }
            Err(error) => {
                self.connection = None;
                if error.kind() == ErrorKind::PeerClosed && self.options.reconnect {
                    tracing::info!("{error}; waiting for the next");
                    return Ok(Step::Went);
                }
                self.ended = true;
                Err(error)
            }
        }
    }
}

enum Step {
    Went,
    Frame(Box<Received>),
    End,
    Late,
}

enum Taken {
    Nothing,
    /// With the server's number for it.
    Frame(Box<Received>, Option<u64>),
    End,
}

impl Connection {
    /// False where the deadline came first.
    fn wait(&self, unsent: bool, deadline: Option<Instant>) -> Result<bool> {
        let wanted = if unsent { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let left = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut [PollFd::new(self.outlet.socket.as_fd(), wanted)], left) {
            Ok(0) => Ok(false),
            Ok(_) | Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => Ok(true),
            Err(errno) => Err(Error::from_errno("poll", "waiting for a frame", errno)),
        }
    }

    fn take(&mut self, message: Message, mut fds: Vec<OwnedFd>) -> Result<Taken> {
        match message {
            Message::NewBuffer(message) => return self.take_frame(message, fds),
            Message::Caps(None) => self.caps = None,
            Message::Caps(Some(text)) => {
                let caps = text.parse::<Caps>()?;
                if self.caps != Some(caps) {
                    self.imports = Imports::default();
                }
                self.caps = Some(caps);
            }
            Message::Eos => return Ok(Taken::End),
            Message::Hello(hello) => {
                self.outlet.out.lock().unwrap_or_else(PoisonError::into_inner).fences = hello.fences;
                self.hello = Some(hello);
            }
            Message::AcquireFence { id } => {
                self.check_extended(&message)?;
                if let Some(fd) = fds.pop() {
                    self.acquire = Some((id, Fence::from_fd(fd).map_err(|error| error.in_context("ACQUIRE_FENCE"))?));
                }
            }
            Message::Timelines => {
                self.check_extended(&message)?;
                let Some(node) = self.node.as_ref().filter(|_| self.acquire_timeline.is_none()) else {
                    return Err(Error::invalid(OP, "TIMELINES: nobody asked for them, or there are some already"));
                };
                let mut import = fds.into_iter().map(|fd| Timeline::import(node, fd));
                let (Some(acquire), Some(release)) = (import.next(), import.next()) else { return Ok(Taken::Nothing) };
                let wrong = |error: Error| error.in_context("TIMELINES");
                self.acquire_timeline = Some(acquire.map_err(wrong)?);
                let mut out = self.outlet.out.lock().unwrap_or_else(PoisonError::into_inner);
                out.timeline = Some((release.map_err(wrong)?, 0));
            }
            Message::AcquirePoint { id, point } => {
                let Some(timeline) = &self.acquire_timeline else {
                    return Err(Error::invalid(OP, "ACQUIRE_POINT before TIMELINES"));
                };
                let fence = timeline.fence(point).map_err(|error| error.in_context("ACQUIRE_POINT"))?;
                self.acquire = Some((id, fence));
            }
            Message::Metadata { id, ref block } => {
                self.check_extended(&message)?;
                if block.len() > MAX_BLOCK_BYTES {
                    let detail = format!("METADATA {id}: {} bytes; at most {MAX_BLOCK_BYTES}", block.len());
                    return Err(Error::invalid(OP, detail));
                }
                self.metadata = Some((id, Metadata::decode(block)?));
            }
            Message::Unknown { .. } => {}
            Message::Release { .. } | Message::ReleaseFence { .. } | Message::ReleasePoint { .. } => {
                let detail = format!("{}: a command that only clients send", wire::name(message.kind()));
                return Err(Error::invalid(OP, detail));
            }
        }
        Ok(Taken::Nothing)
    }

    fn check_extended(&self, message: &Message) -> Result<()> {
        if self.hello.is_some() {
            return Ok(());
        }
        Err(Error::invalid(OP, format!("{} before HELLO", wire::name(message.kind()))))
    }

    fn take_frame(&mut self, message: NewBuffer, fds: Vec<OwnedFd>) -> Result<Taken> {
        let caps = self.caps.ok_or_else(|| Error::invalid(OP, format!("NEW_BUFFER {} before CAPS", message.id)))?;
        let fence = self.acquire.take().filter(|(id, _)| *id == message.id).map(|(_, fence)| fence);
        let metadata = self.metadata.take().filter(|(id, _)| *id == message.id).map(|(_, metadata)| metadata);
        let lease = |buffer: Option<Buffer>| {
            let (id, outlet, fences) = (message.id, self.outlet.clone(), Mutex::default());
            Lease(Some(Arc::new(LeaseInner { id, outlet, buffer, fences })))
        };
        if message.memories.is_empty() {
            // A gap in the stream: given back at once.
            drop(lease(None));
            return Ok(Taken::Nothing);
        }
        let (buffer, shared) = self.imports.take(&message, &caps, fds, fence.as_ref())?;
        let lease = match shared {
            true => lease(Some(buffer.clone()).filter(|buffer| buffer.memory() == Memory::DmaBuf)),
            false => {
                drop(lease(None));
                Lease(None)
            }
        };
        let frame = Frame { color: caps.color, ..Frame::new(buffer, fence) };
        let received =
            Received { frame, pts_ns: message.pts_ns, metadata: metadata.unwrap_or_default(), shared, lease };
        // A frame's number where the next one is said to follow it; some elements of GStreamer put a file's bytes there.
        let number = message.offset.filter(|offset| message.offset_end == offset.checked_add(1));
        Ok(Taken::Frame(Box::new(received), number))
    }
}
