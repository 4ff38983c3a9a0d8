//! A source whose pictures come from a node of PipeWire.
//!
//! In: the source's keys. Out: a [`Reader`] that lends each frame's memory, or copies it, and gives it back.
//! Not here: PipeWire (`share::pipewire`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::buffer::Map;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::{Fence, Timeline};
use crate::layout::Layout;
use crate::share::pipewire::input::{self, Event, Input, Options, Received};

use super::super::description::Rate;
use super::lent::{self, HANG};
use super::unixfd::WAIT_FOR_CAPS;
use super::{BRIEF, Info, Lease, Lent, Reader, Stop};

/// Takes frames from a node.
pub struct NodeReader {
    input: Input,
    name: String,
    info: Info,
    next: Option<Received>,
    ended: bool,
}

impl NodeReader {
    /// Makes a stream and waits until it is linked and known what its frames are; no longer than `patience`, or until `stop`
    /// is set.
    ///
    /// # Errors
    /// `NotFound` where no daemon answers; `Timeout` where nobody links the stream; `Interrupted`.
    pub fn open(options: Options, patience: Option<Duration>, stop: &Stop) -> Result<Self> {
        let patience = patience.unwrap_or(if options.reconnect { Duration::MAX } else { WAIT_FOR_CAPS });
        let name = options.target.clone().unwrap_or_else(|| options.node.clone());
        let node = options.node.clone();
        let input = Input::open(Options { timelines: Timeline::find_node(), ..options })?;
        let since = Instant::now();
        let picture = loop {
            if stop.load(Ordering::Relaxed) {
                let detail = format!("{name}: the run was ended before anything was linked to it");
                return Err(Error::new(ErrorKind::Interrupted, "pipewire", detail));
            }
            if let Some(picture) = input.wait_for_picture(BRIEF)? {
                break picture;
            }
            if since.elapsed() >= patience {
                let detail = format!("{name}: nothing is linked to the node \"{node}\" after {patience:?}");
                return Err(Error::new(ErrorKind::Timeout, "pipewire", detail)
                    .with_hint("link it (pw-link), start a session manager and the producer, or raise patience"));
            }
        };
        let rate = picture.rate.map(|(numerator, denominator)| Rate { numerator, denominator });
        let info =
            Info { size: picture.size, fourcc: picture.fourcc, color: picture.color, rate, frames: None, still: false };
        Ok(Self { input, name, info, next: None, ended: false })
    }

    /// The next frame, which is what the first was.
    fn take(&mut self) -> Result<Option<Received>> {
        while !self.ready(HANG)? {}
        let Some(received) = self.next.take() else { return Ok(None) };
        let from = received.frame.buffer.layout();
        if (from.size, from.fourcc) != (self.info.size, self.info.fourcc) {
            let detail = format!(
                "{}: frames of {} {} became {} {}",
                self.name, self.info.fourcc, self.info.size, from.fourcc, from.size
            );
            return Err(Error::unsupported("pipewire", detail).with_hint("run again: a run has one size and format"));
        }
        Ok(Some(received))
    }
}

impl Lease for input::Lease {
    fn until(&self, fence: Fence) {
        input::Lease::until(self, fence);
    }
}

impl Reader for NodeReader {
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
        match self.input.next(timeout) {
            Ok(Event::Nothing) => return Ok(false),
            Ok(Event::Frame(received)) => self.next = Some(*received),
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
        lent::copy_frame("pipewire", &self.name, &frame, layout, into)?;
        drop(lease);
        Ok(true)
    }
}
