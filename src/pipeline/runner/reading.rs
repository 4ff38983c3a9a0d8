//! A source's thread: reads pictures into buffers, or has them lent, and notes when they were.
//!
//! In: an opened source, buffers that are free. Out: pictures, in their order.
//! Not here: textures (`feed`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::buffer::{Access, Buffer};
use crate::error::{ErrorKind, Result};
use crate::fence::Fence;

use super::super::frames::FrameSet;
use super::super::report::Times;
use super::super::source::pace::Pacer;
use super::super::source::{BRIEF, Lent, Opened, Stamp};
use super::feed::HANG;

/// A buffer that may be filled again, behind the fence.
pub(super) struct Free {
    pub(super) slot: usize,
    pub(super) fence: Option<Arc<Fence>>,
}

/// What the source's thread has for a frame.
pub(super) enum Filled {
    Slot(usize),
    Lent(Lent),
}

/// A picture, and when its maker says that it was.
pub(super) type Stamped = (Filled, Option<u64>);

/// What a source says of when its pictures were.
#[derive(Default)]
pub(super) struct Clock {
    pub(super) last: Option<Stamp>,
    pub(super) lost: u64,
    pub(super) starved: u64,
    pub(super) intervals: Times,
    pub(super) ended: Option<String>,
}

impl Clock {
    fn add(&mut self, stamp: Stamp) {
        if let Some(last) = self.last.replace(stamp) {
            self.lost += stamp.sequence.saturating_sub(last.sequence).saturating_sub(1);
            self.starved += stamp.starved;
            self.intervals.add(Duration::from_nanos(stamp.timestamp_ns.saturating_sub(last.timestamp_ns)));
        }
    }
}

/// The first picture that the source lends; `None` where it has ended, or the run is to.
pub(super) fn first_lent(source: &mut Opened, stop: &std::sync::atomic::AtomicBool) -> Result<Option<Lent>> {
    while !source.ready(BRIEF)? {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
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
    pub(super) clock: Arc<Mutex<Clock>>,
    /// Pictures come by themselves: says when the run begins.
    pub(super) begun: Option<Receiver<()>>,
}

impl Reading<'_> {
    /// Notes when the last picture was.
    fn stamped(&self, filled: Filled) -> Stamped {
        let stamp = self.source.stamp();
        if let Some(stamp) = stamp {
            self.clock.lock().unwrap_or_else(PoisonError::into_inner).add(stamp);
        }
        (filled, stamp.map(|stamp| stamp.timestamp_ns))
    }

    fn note_end(&self) {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).ended = self.source.ended();
    }

    pub(super) fn run(mut self, free: Receiver<Free>, filled: SyncSender<Result<Stamped>>) {
        if let Some(begun) = self.begun.take() {
            // What was captured while shaders were compiled is no part of the run.
            if begun.recv().is_err() {
                return;
            }
            self.first = None;
            if let Err(error) = self.source.begin() {
                let _ = filled.send(Err(error));
                return;
            }
        }
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
                let begun = std::time::Instant::now();
                let read = self.source.read(frame, buffer.layout(), &mut map);
                self.work.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
                read
            };
            let message = match read() {
                Ok(true) => Ok(self.stamped(Filled::Slot(slot))),
                Ok(false) => {
                    self.note_end();
                    break;
                }
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
}

impl Reading<'_> {
    /// Hands on what the source lends.
    fn lend(mut self, filled: &SyncSender<Result<Stamped>>) {
        for _ in self.frames.iter() {
            let next = match self.first.take() {
                Some(first) => Ok(Some(first)),
                None => first_lent(&mut self.source, self.stop),
            };
            let message = match next {
                Ok(Some(lent)) => Ok(self.stamped(Filled::Lent(lent))),
                Ok(None) => {
                    self.note_end();
                    break;
                }
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
