//! The server's thread: accepts clients, takes what they say, and sends what a socket did not take at once.
//!
//! In: the state that the server shares. Out: peers, and memory that nobody holds any more.
//! Not here: handing frames out (`server`), what one client holds (`peer`).

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::error::{Error, ErrorKind};

use super::super::OP;
use super::super::address::{self, Credentials, Listener};
use super::super::link::Parcel;
use super::super::wire::Message;
use super::peer::Peer;
use super::{HANG, Pending, Shared, State};

/// What the thread has.
pub(super) struct Serving {
    pub(super) shared: Arc<Shared>,
    pub(super) listener: Listener,
    pub(super) woken: UnixStream,
    pub(super) is_abstract: bool,
    /// Nobody is accepted until then: fds ran out.
    pub(super) deaf_until: Option<Instant>,
}

impl Serving {
    pub(super) fn run(mut self) {
        let mut drain = [0; 256];
        loop {
            let state = self.shared.lock();
            if state.stop {
                break;
            }
            let sockets: Vec<_> =
                state.peers.iter().map(|peer| (peer.id(), peer.socket(), peer.has_unsent())).collect();
            let fences: Vec<_> = state.pending.iter().filter_map(|pending| pending.fence.try_clone().ok()).collect();
            drop(state);
            self.deaf_until = self.deaf_until.filter(|until| *until > Instant::now());
            let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
            let listens = if self.deaf_until.is_none() { PollFlags::POLLIN } else { PollFlags::empty() };
            fds.push(PollFd::new(self.listener.socket.as_fd(), listens));
            for (_, socket, unsent) in &sockets {
                let wanted = if *unsent { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
                fds.push(PollFd::new(socket.as_fd(), wanted));
            }
            fds.extend(fences.iter().map(|fence| PollFd::new(fence.as_fd(), PollFlags::POLLIN)));
            let brief = self.deaf_until.is_some() || !fences.is_empty();
            let timeout = if brief { PollTimeout::from(100u8) } else { PollTimeout::NONE };
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
                Err(errno) => {
                    tracing::error!(%errno, "poll");
                    break;
                }
            }
            let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
            let ready: Vec<bool> = fds.iter().map(is_ready).collect();
            if ready[0] {
                while matches!((&self.woken).read(&mut drain), Ok(count) if count > 0) {}
            }
            if ready[1] {
                self.accept();
            }
            for ((id, _, _), _) in sockets.iter().zip(&ready[2..]).filter(|(_, ready)| **ready) {
                self.serve(*id);
            }
            self.take_back();
        }
        let mut state = self.shared.lock();
        while let Some(id) = state.peers.first().map(Peer::id) {
            state.part(id, Error::new(ErrorKind::PeerClosed, OP, "the server ended"));
        }
        let pending = std::mem::take(&mut state.pending);
        state.ended = true;
        self.shared.unlock(state);
        drop(pending);
    }

    fn accept(&mut self) {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match rustix::net::accept_with(&self.listener.socket, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(errno) => {
                    // The client stays in the queue, which would wake this thread again at once.
                    self.deaf_until = Some(Instant::now() + Duration::from_millis(100));
                    let reason = Error::from_io("accept", OP, errno.into());
                    self.shared.lock().remember(None, reason);
                    return;
                }
            };
            let credentials = Credentials::of(&socket);
            let options = &self.shared.options;
            let mut state = self.shared.lock();
            let checked = credentials.clone().and_then(|credentials| {
                let by_default = |peer| !self.is_abstract || address::is_own_user(peer);
                address::check(credentials, &options.allow, by_default)?;
                if state.peers.len() >= options.max_clients {
                    let detail = format!("{} clients are there already", options.max_clients);
                    return Err(Error::invalid(OP, detail).with_hint("raise max-clients"));
                }
                Ok(credentials)
            });
            match checked {
                Ok(credentials) => {
                    let id = state.next_peer;
                    state.next_peer += 1;
                    let mut peer = Peer::new(id, socket, credentials);
                    if let Some(caps) = state.caps {
                        peer.push(Parcel::new(&Message::Caps(Some(caps.to_string()))));
                    }
                    if state.ended {
                        peer.push(Parcel::new(&Message::Eos));
                    }
                    let flushed = peer.flush();
                    state.peers.push(peer);
                    if let Err(reason) = flushed {
                        state.part(id, reason);
                    }
                }
                Err(reason) => state.remember(credentials.ok(), reason),
            }
            self.shared.unlock(state);
        }
    }

    /// Takes what a client says and sends what it has room for.
    fn serve(&self, id: u64) {
        let mut state = self.shared.lock();
        let State { peers, pending, garbage, next_frame, .. } = &mut *state;
        let Some(peer) = peers.iter_mut().find(|peer| peer.id() == id) else { return };
        let result = peer.receive(&self.shared.options, *next_frame, pending, garbage).and_then(|()| peer.flush());
        if let Err(reason) = result {
            state.part(id, reason);
        }
        self.shared.unlock(state);
    }

    /// Lets go of memory whose release fence has signaled.
    fn take_back(&self) {
        let mut state = self.shared.lock();
        if state.pending.is_empty() {
            return;
        }
        let (done, pending) = std::mem::take(&mut state.pending).into_iter().partition::<Vec<_>, _>(|pending| {
            // A fence that failed stands for work that will not happen.
            pending.fence.is_signaled().unwrap_or(true) || pending.since.elapsed() > HANG
        });
        state.pending = pending;
        for Pending { peer, fence, shipment, .. } in done {
            state.garbage.push(shipment);
            if let Ok(false) = fence.is_signaled() {
                let detail = format!("a release fence did not signal in {HANG:?}");
                state.part(peer, Error::new(ErrorKind::Timeout, OP, detail));
            }
        }
        self.shared.unlock(state);
    }
}
