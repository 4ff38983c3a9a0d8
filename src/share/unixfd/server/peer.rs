//! One client of a server: what it holds, what is on its way, what it says.
//!
//! In: messages to send; its socket. Out: memory that it released. Not here: other clients.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::device::DrmNode;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::{Fence, Timeline};

use super::super::OP;
use super::super::address::Credentials;
use super::super::link::{Arrival, Inbox, Outbox, Parcel};
use super::super::wire::{self, EXTENSION_VERSION, Hello, Message};
use super::{ClientState, Options, Pending, Shipment};

/// Messages read at one time, so that no client keeps the thread to itself.
const MESSAGES_AT_ONCE: usize = 64;
/// Commands within one second that are no release of a frame; more is a flood.
const IDLE_TALK: u32 = 1000;

/// Sync objects that this client alone has with us: what it does to them is no other client's loss.
struct Timelines {
    acquire: Timeline,
    /// The last point that was set.
    acquire_point: u64,
    release: Timeline,
}

pub(super) struct Peer {
    id: u64,
    socket: Arc<OwnedFd>,
    pub(super) credentials: Credentials,
    inbox: Inbox,
    outbox: Outbox,
    held: HashMap<u64, Arc<Shipment>>,
    /// Release fences of frames whose release follows.
    fences: HashMap<u64, Fence>,
    hello: Option<Hello>,
    timelines: Option<Timelines>,
    sent: u64,
    pub(super) dropped: u64,
    /// Start of the second, and idle commands in it.
    talk: (Instant, u32),
}

impl Peer {
    pub(super) fn new(id: u64, socket: OwnedFd, credentials: Credentials) -> Self {
        Self {
            id,
            socket: Arc::new(socket),
            credentials,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            held: HashMap::new(),
            fences: HashMap::new(),
            hello: None,
            timelines: None,
            sent: 0,
            dropped: 0,
            talk: (Instant::now(), 0),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn socket(&self) -> Arc<OwnedFd> {
        self.socket.clone()
    }

    pub(super) fn push(&mut self, parcel: Parcel) {
        self.outbox.push(parcel);
    }

    pub(super) fn hold(&mut self, frame: u64, shipment: Arc<Shipment>) {
        self.held.insert(frame, shipment);
        self.sent += 1;
    }

    /// Frames held or coming, those behind a release fence included.
    pub(super) fn in_flight(&self, pending: &[Pending]) -> usize {
        self.held.len() + pending.iter().filter(|pending| pending.peer == self.id).count()
    }

    /// Makes room by taking back the oldest frame of which nothing has left.
    pub(super) fn drop_oldest(&mut self, garbage: &mut Vec<Arc<Shipment>>) -> bool {
        let Some(frame) = self.outbox.remove_oldest_frame() else { return false };
        garbage.extend(self.held.remove(&frame));
        self.sent -= 1;
        self.dropped += 1;
        true
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(super) fn is_idle(&self, pending: &[Pending]) -> bool {
        self.outbox.is_empty() && self.in_flight(pending) == 0
    }

    pub(super) fn takes_fences(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.fences)
    }

    pub(super) fn takes_metadata(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.metadata)
    }

    /// Announces that frame `id` is to be read behind `fence`.
    pub(super) fn push_acquire(&mut self, id: u64, fence: &Arc<Fence>) {
        let mut parcel = None;
        if let Some(timelines) = &mut self.timelines {
            let point = timelines.acquire_point + 1;
            match timelines.acquire.set(point, fence) {
                Ok(()) => {
                    timelines.acquire_point = point;
                    parcel = Some(Parcel::new(&Message::AcquirePoint { id, point }));
                }
                Err(error) => tracing::debug!(%error, "a fence goes by itself"),
            }
        }
        let alone = || Parcel { fds: Some(fence.clone()), ..Parcel::new(&Message::AcquireFence { id }) };
        self.push(Parcel { frame: Some(id), ..parcel.unwrap_or_else(alone) });
    }

    /// Makes this client's timelines, and the message with their fds.
    fn open_timelines(&mut self, node: &DrmNode) -> Result<Parcel> {
        let (acquire, release) = (Timeline::new(node)?, Timeline::new(node)?);
        let fds = vec![acquire.export()?, release.export()?];
        self.timelines = Some(Timelines { acquire, acquire_point: 0, release });
        Ok(Parcel { fds: Some(Arc::new(fds)), ..Parcel::new(&Message::Timelines) })
    }

    fn take_release_fence(&mut self, command: &str, id: u64, fence: Result<Fence>, next_frame: u64) -> Result<()> {
        if !self.held.contains_key(&id) {
            return Err(unknown_frame(command, id, next_frame));
        }
        if self.fences.insert(id, fence.map_err(|error| error.in_context(command))?).is_some() {
            return Err(Error::invalid(OP, format!("{command} {id}: there is one already")));
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<bool> {
        self.outbox.flush(self.socket.as_fd())
    }

    pub(super) fn into_held(self) -> impl Iterator<Item = Arc<Shipment>> {
        self.held.into_values()
    }

    pub(super) fn state(&self, pending: &[Pending]) -> ClientState {
        ClientState {
            credentials: self.credentials,
            extended: self.hello.is_some(),
            timelines: self.timelines.is_some(),
            in_flight: self.in_flight(pending),
            sent: self.sent,
            dropped: self.dropped,
        }
    }

    /// Takes what the client has said. An error is a reason to let it go.
    pub(super) fn receive(
        &mut self,
        options: &Options,
        next_frame: u64,
        pending: &mut Vec<Pending>,
        garbage: &mut Vec<Arc<Shipment>>,
    ) -> Result<()> {
        for _ in 0..MESSAGES_AT_ONCE {
            let (message, mut fds) = match self.inbox.receive(self.socket.as_fd())? {
                Arrival::Message(message, fds) => (message, fds),
                Arrival::Nothing => return Ok(()),
                Arrival::Closed => {
                    return Err(Error::new(ErrorKind::PeerClosed, OP, "the client closed its connection"));
                }
            };
            match message {
                Message::Release { id } => {
                    let shipment =
                        self.held.remove(&id).ok_or_else(|| unknown_frame("RELEASE_BUFFER", id, next_frame))?;
                    match self.fences.remove(&id).filter(|fence| matches!(fence.is_signaled(), Ok(false))) {
                        Some(fence) => pending.push(Pending { peer: self.id, fence, since: Instant::now(), shipment }),
                        None => garbage.push(shipment),
                    }
                }
                Message::ReleaseFence { id } => {
                    let Some(fence) = fds.pop() else { continue };
                    self.take_release_fence("RELEASE_FENCE", id, Fence::from_fd(fence), next_frame)?;
                }
                Message::ReleasePoint { id, point } => {
                    let Some(timelines) = &self.timelines else {
                        return Err(Error::invalid(OP, "RELEASE_POINT: this client has no timeline"));
                    };
                    let fence = timelines.release.fence(point);
                    self.take_release_fence("RELEASE_POINT", id, fence, next_frame)?;
                }
                Message::Hello(hello) => {
                    self.count_talk()?;
                    if self.hello.is_some() {
                        return Err(Error::invalid(OP, "HELLO: there was one already"));
                    }
                    let node = options.timelines.as_ref().filter(|_| hello.timelines && hello.fences);
                    let timelines = node.and_then(|node| {
                        let made = self.open_timelines(node);
                        made.inspect_err(|error| tracing::warn!("unixfd: fences go one by one: {error}")).ok()
                    });
                    let answer = Hello {
                        version: EXTENSION_VERSION,
                        fences: true,
                        metadata: true,
                        timelines: timelines.is_some(),
                        stream: options.stream.clone(),
                    };
                    self.push(Parcel::new(&Message::Hello(answer)));
                    timelines.into_iter().for_each(|parcel| self.push(parcel));
                    self.hello = Some(hello);
                }
                Message::Unknown { .. } => self.count_talk()?,
                Message::NewBuffer(_)
                | Message::Caps(_)
                | Message::Eos
                | Message::AcquireFence { .. }
                | Message::AcquirePoint { .. }
                | Message::Timelines
                | Message::Metadata { .. } => {
                    let detail = format!("{}: a command that only servers send", wire::name(message.kind()));
                    return Err(Error::invalid(OP, detail));
                }
            }
        }
        Ok(())
    }

    fn count_talk(&mut self) -> Result<()> {
        if self.talk.0.elapsed() >= Duration::from_secs(1) {
            self.talk = (Instant::now(), 0);
        }
        self.talk.1 += 1;
        if self.talk.1 > IDLE_TALK {
            return Err(Error::invalid(OP, format!("a flood: more than {IDLE_TALK} commands in a second")));
        }
        Ok(())
    }
}

fn unknown_frame(command: &str, id: u64, next_frame: u64) -> Error {
    let what = match id < next_frame {
        true => "this client does not hold that frame: released twice, or never sent to it",
        false => "there is no such frame",
    };
    Error::invalid(OP, format!("{command} {id}: {what}"))
}
