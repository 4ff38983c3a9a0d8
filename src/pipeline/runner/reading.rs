//! A source's thread: it fills buffers, or hands on what the source lends, when each picture is due.
//!
//! In: an opened source, free buffers. Out: filled ones. Not here: GL (`feed`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::buffer::{Access, Buffer};
use crate::error::{ErrorKind, Result};

use super::super::frames::FrameSet;
use super::super::report::Times;
use super::super::source::pace::Pacer;
use super::super::source::{BRIEF, Lent, Opened};
use super::feed::{Filled, Free, HANG};

/// The first picture that the source lends; `None` where it has ended, or the run is to.
pub(super) fn first_lent(source: &mut Opened, stop: &AtomicBool) -> Result<Option<Lent>> {
    while !source.ready(BRIEF)? {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    source.lend()
}

/// What the source's thread needs.
pub(super) struct Reading<'a> {
    pub(super) source: Opened,
    pub(super) buffers: Vec<Buffer>,
    /// Pictures stay where they are.
    pub(super) lends: bool,
    pub(super) first: Option<Lent>,
    pub(super) frames: FrameSet,
    pub(super) stop: &'a AtomicBool,
    pub(super) work: Arc<Mutex<Times>>,
    pub(super) pacer: Option<Pacer>,
    pub(super) late: Arc<AtomicU64>,
}

impl Reading<'_> {
    /// Fills buffers until the source ends or the run does.
    pub(super) fn run(mut self, free: Receiver<Free>, filled: SyncSender<Result<Filled>>) {
        if self.lends {
            return self.lend(&filled);
        }
        for frame in self.frames.iter() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let Ok(Free { slot, fence }) = free.recv() else { break };
            let read = || -> Result<bool> {
                if let Some(fence) = fence {
                    fence.wait(Some(HANG))?;
                }
                while !self.source.ready(BRIEF)? {
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(false);
                    }
                }
                let buffer = &self.buffers[slot];
                let mut map = buffer.map(Access::Write)?;
                let begun = Instant::now();
                let read = self.source.read(frame, buffer.layout(), &mut map);
                self.work.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
                read
            };
            let message = match read() {
                Ok(true) => Ok(Filled::Slot(slot)),
                Ok(false) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => break,
                Err(error) => Err(error),
            };
            if !wait_until_due(self.pacer.as_mut(), &self.late, self.stop) {
                break;
            }
            let failed = message.is_err();
            if filled.send(message).is_err() || failed || self.source.info().still {
                break;
            }
        }
    }

    /// Hands on what the source lends.
    fn lend(mut self, filled: &SyncSender<Result<Filled>>) {
        for _ in self.frames.iter() {
            let next = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => first_lent(&mut self.source, self.stop),
            };
            let message = match next {
                Ok(Some(lent)) => Ok(Filled::Lent(lent)),
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => break,
                Err(error) => Err(error),
            };
            let failed = message.is_err();
            if self.stop.load(Ordering::Relaxed) || filled.send(message).is_err() || failed {
                break;
            }
        }
    }
}

/// Waits until the picture that is there is due; false where the run is stopped.
fn wait_until_due(pacer: Option<&mut Pacer>, late: &AtomicU64, stop: &AtomicBool) -> bool {
    let Some(pacer) = pacer else { return true };
    let due = pacer.due(Instant::now());
    late.store(pacer.late(), Ordering::Relaxed);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(left.min(BRIEF));
    }
}
