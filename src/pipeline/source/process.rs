//! A source whose pictures come from another process.
//!
//! In: what brings frames, and what they are. Out: a [`Reader`] that lends each frame's memory, or copies it, and gives it
//! back. Not here: how frames travel (`unixfd`, `pipewire`).

use std::time::Duration;

use crate::buffer::Map;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;

use super::lent::{self, HANG};
use super::{Info, Lent, Reader};

/// What brings frames of another process.
pub trait Incoming: Send {
    /// What errors name.
    const OP: &'static str;

    /// The next frame; waits no longer than `timeout`.
    ///
    /// # Errors
    /// `PeerClosed` where the producer went away; those of what brings them.
    fn next(&mut self, timeout: Duration) -> Result<Coming>;
}

/// What came.
pub enum Coming {
    /// A frame.
    Frame(Lent),
    /// No more come.
    End,
    /// Nothing within the time.
    Nothing,
}

/// Takes frames of one size and format.
pub struct ProcessReader<I> {
    incoming: I,
    /// Of the producer, for errors.
    name: String,
    info: Info,
    next: Option<Lent>,
    ended: bool,
}

impl<I: Incoming> ProcessReader<I> {
    pub(super) fn new(incoming: I, name: String, info: Info) -> Self {
        Self { incoming, name, info, next: None, ended: false }
    }

    /// The next frame, which is what the first was.
    fn take(&mut self) -> Result<Option<Lent>> {
        while !self.ready(HANG)? {}
        let Some(lent) = self.next.take() else { return Ok(None) };
        let from = lent.frame.buffer.layout();
        if (from.size, from.fourcc) != (self.info.size, self.info.fourcc) {
            let detail = format!(
                "{}: frames of {} {} became {} {}",
                self.name, self.info.fourcc, self.info.size, from.fourcc, from.size
            );
            return Err(Error::unsupported(I::OP, detail).with_hint("run again: a run has one size and format"));
        }
        Ok(Some(lent))
    }
}

impl<I: Incoming> Reader for ProcessReader<I> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn lends(&self) -> bool {
        true
    }

    fn lend(&mut self) -> Result<Option<Lent>> {
        self.take()
    }

    fn copies(&self) -> Option<&'static str> {
        Some("the CPU copies frames out of the other process's memory")
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        if self.ended || self.next.is_some() {
            return Ok(true);
        }
        match self.incoming.next(timeout) {
            Ok(Coming::Nothing) => return Ok(false),
            Ok(Coming::Frame(lent)) => self.next = Some(lent),
            Ok(Coming::End) => self.ended = true,
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
        let Some(Lent { frame, lease }) = self.take()? else { return Ok(false) };
        lent::copy_frame(I::OP, &self.name, &frame, layout, into)?;
        drop(lease);
        Ok(true)
    }
}
