//! A source whose pictures come from another process, in GStreamer's unixfd protocol.
//!
//! In: the source's keys. Out: a [`Reader`] that lends each frame's memory, or copies it, and gives it back.
//! Not here: the protocol (`share::unixfd`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::buffer::Map;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::{Fence, Timeline};
use crate::layout::Layout;
use crate::share::unixfd::Address;
use crate::share::unixfd::client::{self, Client, Event, Options, Received};

use super::super::description::Rate;
use super::lent::{self, HANG};
use super::{BRIEF, Info, Lease, Lent, Reader, Stop};

/// How long the producer has to say what its frames are, where the description says nothing.
pub(super) const WAIT_FOR_CAPS: Duration = Duration::from_secs(10);

/// Takes frames from a server.
pub struct SocketReader {
    client: Client,
    address: Address,
    info: Info,
    next: Option<Received>,
    ended: bool,
}

impl SocketReader {
    /// Connects and waits until the producer has said what its frames are; no longer than `patience`, or until `stop` is set.
    ///
    /// # Errors
    /// `NotFound` where nobody serves the socket; `Timeout` where the producer says nothing; `Interrupted`.
    pub fn open(address: &Address, options: Options, patience: Option<Duration>, stop: &Stop) -> Result<Self> {
        let patience = patience.unwrap_or(if options.reconnect { Duration::MAX } else { WAIT_FOR_CAPS });
        let mut client = Client::connect(address, Options { timelines: Timeline::find_node(), ..options })?;
        let since = Instant::now();
        let mut known = false;
        while !known && !client.has_ended() && since.elapsed() < patience {
            if stop.load(Ordering::Relaxed) {
                let detail = format!("{address}: the run was ended before the producer had said what its frames are");
                return Err(Error::new(ErrorKind::Interrupted, "unixfd", detail));
            }
            known = client.wait_for_caps(Some(BRIEF))?;
        }
        let Some(caps) = client.caps().copied().filter(|_| known) else {
            let detail = match client.has_ended() {
                true => format!("{address}: the stream ended before the producer had said what its frames are"),
                false => format!("{address}: the producer does not say what its frames are, after {patience:?}"),
            };
            return Err(Error::new(ErrorKind::Timeout, "unixfd", detail)
                .with_hint("start the producer's pipeline, or raise patience"));
        };
        let rate = caps.rate.map(|(numerator, denominator)| Rate { numerator, denominator });
        let info = Info { size: caps.size, fourcc: caps.fourcc, color: caps.color, rate, frames: None, still: false };
        Ok(Self { client, address: address.clone(), info, next: None, ended: false })
    }
}

impl SocketReader {
    /// The next frame, which is what the first was.
    fn take(&mut self) -> Result<Option<Received>> {
        while !self.ready(HANG)? {}
        let Some(received) = self.next.take() else { return Ok(None) };
        let from = received.frame.buffer.layout();
        if (from.size, from.fourcc) != (self.info.size, self.info.fourcc) {
            let detail = format!(
                "{}: frames of {} {} became {} {}",
                self.address, self.info.fourcc, self.info.size, from.fourcc, from.size
            );
            return Err(Error::unsupported("unixfd", detail).with_hint("run again: a run has one size and format"));
        }
        Ok(Some(received))
    }
}

impl Lease for client::Lease {
    fn until(&self, fence: Fence) {
        client::Lease::until(self, fence);
    }
}

impl Reader for SocketReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn lends(&self) -> bool {
        true
    }

    fn lend(&mut self) -> Result<Option<Lent>> {
        Ok(self.take()?.map(|Received { frame, lease, .. }| Lent { frame, lease: Box::new(lease) }))
    }

    fn copies(&self) -> Option<&'static str> {
        Some("the CPU copies frames out of the other process's memory")
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        if self.ended || self.next.is_some() {
            return Ok(true);
        }
        match self.client.next(Some(timeout)) {
            Ok(Event::Nothing) => return Ok(false),
            Ok(Event::Frame(received)) => self.next = Some(received),
            Ok(Event::End) => self.ended = true,
            // A clear end: what came so far is whole.
            Err(error) if error.kind() == ErrorKind::PeerClosed => {
                tracing::warn!("{error}");
                self.ended = true;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn read(&mut self, _index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        let Some(Received { frame, lease, .. }) = self.take()? else { return Ok(false) };
        lent::copy_frame("unixfd", &self.address, &frame, layout, into)?;
        drop(lease);
        Ok(true)
    }
}
