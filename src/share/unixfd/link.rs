//! One connection: messages and fds put together from what a socket gives, and sent as far as it takes them.
//!
//! In: a non-blocking stream socket. Out: whole messages with the fds that came with their headers; bytes and fds sent.
//! Not here: waiting, and what messages mean.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::error::{Error, ErrorKind, Result};

use super::OP;
use super::wire::{self, HEADER_BYTES, Header, Message};

/// The most fds that the kernel passes with one message.
const MAX_FDS: usize = 253;

/// Of a payload, read at one time: a length is believed when its bytes are there.
const CHUNK_BYTES: usize = 4096;

/// What a socket had to give.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message with its fds, whose number is right.
    Message(Message, Vec<OwnedFd>),
    /// Nothing more for now.
    Nothing,
    /// The other end is gone, between two messages.
    Closed,
}

/// A message being received.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header, then of header and payload.
    got: usize,
    fds: Vec<OwnedFd>,
    current: Option<Header>,
    payload: Vec<u8>,
}

impl Inbox {
    /// Reads on; one message at a time, and never beyond it: fds belong to the header they came with.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<Arrival> {
        loop {
            let header = match self.current {
                Some(header) => header,
                None if self.got == HEADER_BYTES => {
                    let header = Header::parse(self.header)?;
                    // Not kept until the payload is there: a client that never sends it would hold them here.
                    match header.max_fds() {
                        None => self.fds.clear(),
                        Some(most) if self.fds.len() > most => {
                            return Err(wrong_fds(header.kind, self.fds.len(), most));
                        }
                        Some(_) => {}
                    }
                    *self.current.insert(header)
                }
                None => {
                    let mut bytes = self.header;
                    let got = self.got;
                    let Some(count) = self.read(socket, &mut bytes[got..])? else { return Ok(Arrival::Nothing) };
                    if count == 0 && got == 0 {
                        return Ok(Arrival::Closed);
                    }
                    self.check_open(count, "a header")?;
                    self.header = bytes;
                    self.got += count;
                    if self.got < HEADER_BYTES && !self.fds.is_empty() {
                        // Whoever sends a header whole has it read whole.
                        return Err(Error::invalid(OP, format!("{} fds with a part of a header", self.fds.len())));
                    }
                    continue;
                }
            };
            let left = header.payload_bytes as usize - (self.got - HEADER_BYTES);
            if left == 0 {
                let message = Message::parse(header.kind, &self.payload)?;
                let fds = std::mem::take(&mut self.fds);
                self.payload.clear();
                (self.current, self.got) = (None, 0);
                if let Some(wanted) = message.fds()
                    && wanted != fds.len()
                {
                    return Err(wrong_fds(header.kind, fds.len(), wanted));
                }
                return Ok(Arrival::Message(message, fds));
            }
            let fds = self.fds.len();
            let mut payload = std::mem::take(&mut self.payload);
            let had = payload.len();
            payload.resize(had + left.min(CHUNK_BYTES), 0);
            let count = self.read(socket, &mut payload[had..]);
            // What nobody knows is read and forgotten.
            let kept = if header.is_unknown() { 0 } else { count.as_ref().map_or(0, |count| count.unwrap_or(0)) };
            payload.truncate(had + kept);
            self.payload = payload;
            let Some(count) = count? else { return Ok(Arrival::Nothing) };
            self.check_open(count, &wire::name(header.kind))?;
            if self.fds.len() != fds {
                let detail = format!("{}: fds in the middle of the payload", wire::name(header.kind));
                return Err(Error::invalid(OP, detail));
            }
            self.got += count;
        }
    }

    fn check_open(&self, count: usize, what: &str) -> Result<()> {
        if count > 0 {
            return Ok(());
        }
        let detail = format!("the other end closed in the middle of {what}, after {} bytes", self.got);
        Err(Error::new(ErrorKind::PeerClosed, OP, detail))
    }

    /// Bytes read, 0 at the end, `None` where there are none yet.
    fn read(&mut self, socket: BorrowedFd<'_>, into: &mut [u8]) -> Result<Option<usize>> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = loop {
            match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(into)], &mut control, flags) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                // What the other end had not read when it closed.
                Err(Errno::CONNRESET) => return Ok(Some(0)),
                Err(errno) => return Err(Error::from_io("recvmsg", OP, errno.into())),
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Error::new(ErrorKind::OutOfMemory, "recvmsg", "fds were lost on the way")
                .with_hint("raise the limit on open files: ulimit -n"));
        }
        if self.fds.len() > MAX_FDS {
            return Err(Error::invalid(OP, format!("more than {MAX_FDS} fds with one header")));
        }
        Ok(Some(received.bytes))
    }
}

fn wrong_fds(kind: u32, came: usize, wanted: usize) -> Error {
    Error::invalid(OP, format!("{}: {came} fds came with it, it has {wanted}", wire::name(kind)))
}

/// Fds that travel with a message, kept open until it is sent.
pub(super) trait Fds: Send + Sync {
    /// Calls `with` with the fds.
    fn lend(&self, with: &mut dyn FnMut(&[BorrowedFd<'_>]));
}

impl Fds for crate::fence::Fence {
    fn lend(&self, with: &mut dyn FnMut(&[BorrowedFd<'_>])) {
        with(&[self.as_fd()]);
    }
}

/// Fds that only the message needs.
impl Fds for Vec<OwnedFd> {
    fn lend(&self, with: &mut dyn FnMut(&[BorrowedFd<'_>])) {
        with(&self.iter().map(AsFd::as_fd).collect::<Vec<_>>());
    }
}

/// A message to send.
pub(super) struct Parcel {
    pub(super) bytes: Arc<[u8]>,
    pub(super) fds: Option<Arc<dyn Fds>>,
    /// The frame that it announces.
    pub(super) frame: Option<u64>,
}

impl Parcel {
    pub(super) fn new(message: &Message) -> Self {
        Self { bytes: message.encode().into(), fds: None, frame: None }
    }
}

/// Messages on their way out.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Parcel>,
    /// Bytes of the first that are sent.
    sent: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, parcel: Parcel) {
        self.queue.push_back(parcel);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Removes the messages of the oldest frame of which nothing was sent yet; its id.
    pub(super) fn remove_oldest_frame(&mut self) -> Option<u64> {
        let begun = self.queue.front().filter(|_| self.sent > 0).and_then(|parcel| parcel.frame);
        let oldest = self.queue.iter().filter_map(|parcel| parcel.frame).find(|frame| Some(*frame) != begun)?;
        self.queue.retain(|parcel| parcel.frame != Some(oldest));
        Some(oldest)
    }

    /// Sends what the socket takes; true once everything is sent.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<bool> {
        while let Some(parcel) = self.queue.front() {
            let fds = parcel.fds.as_ref().filter(|_| self.sent == 0);
            let sent = match fds {
                None => send(socket, &parcel.bytes[self.sent..], &[])?,
                Some(fds) => {
                    let mut result = Ok(None);
                    fds.lend(&mut |fds| result = send(socket, &parcel.bytes, fds));
                    result?
                }
            };
            let Some(sent) = sent else { return Ok(false) };
            self.sent += sent;
            if self.sent == parcel.bytes.len() {
                self.queue.pop_front();
                self.sent = 0;
            }
        }
        Ok(true)
    }
}

/// Bytes sent; `None` where the socket takes none now.
fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<Option<usize>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Error::failed("sendmsg", format!("{} fds for one message", fds.len())));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno @ (Errno::PIPE | Errno::CONNRESET)) => {
                let detail = format!("the other end is gone: {errno}");
                return Err(Error::new(ErrorKind::PeerClosed, OP, detail));
            }
            Err(errno) => return Err(Error::from_io("sendmsg", OP, errno.into())),
        }
    }
}
