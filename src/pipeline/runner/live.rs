//! What others see and change while a run goes on: parameters, counts, times.
//!
//! In: a [`Live`] shared between the run and other threads. Out: new values for the frames that follow, and a [`Report`]
//! of what has been done so far.
//! Not here: how others reach it (sockets, files: the command line), what a parameter may be (`parameters`).
//!
//! The drawing thread looks here once a frame and never waits: it takes what has changed, and leaves a report where one
//! was asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::parameters::Parameters;
use super::super::report::Report;

/// A report that is younger than this answers a question: asking often costs the run nothing.
const FRESH: Duration = Duration::from_millis(100);

/// What a run and other threads share.
#[derive(Debug, Default)]
pub struct Live {
    /// Named values; those of the description until others are set.
    pub parameters: Parameters,
    frames: AtomicU64,
    /// A report is asked for.
    wanted: AtomicBool,
    last: Mutex<Option<(Instant, Report)>>,
    arrived: Condvar,
}

impl Live {
    /// Frames drawn so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Report)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done so far. Waits for the drawing thread to say it, at most `patience`; while that waits for a source
    /// or a sink, this is what it said last. `None` before the first frame.
    pub fn report(&self, patience: Duration) -> Option<Report> {
        let mut last = self.lock();
        let fresh = |last: &Option<(Instant, Report)>| last.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
        if !fresh(&last) {
            self.wanted.store(true, Ordering::Release);
            let waited = self.arrived.wait_timeout_while(last, patience, |last| !fresh(last));
            last = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut report = last.as_ref().map(|(_, report)| report.clone())?;
        report.frames = report.frames.max(self.frames());
        Some(report)
    }

    /// A frame has been drawn.
    pub(super) fn count(&self, frames: u64) {
        self.frames.store(frames, Ordering::Relaxed);
    }

    /// Somebody asks for a report.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Acquire)
    }

    pub(super) fn publish(&self, report: Report) {
        *self.lock() = Some((Instant::now(), report));
        self.arrived.notify_all();
    }
}
