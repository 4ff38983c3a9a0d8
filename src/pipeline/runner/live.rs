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

use crate::error::{Error, ErrorKind, Result};

use super::super::description::Description;
use super::super::parameters::{ParameterSet, Parameters};
use super::super::plan::{Plan, Programs};
use super::super::report::Report;
use super::reload::{Base, Reloaded};

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
    /// One reload at a time.
    reloading: Mutex<()>,
    edit: Mutex<Edit>,
    /// An edit is offered.
    offered: AtomicBool,
    edited: Condvar,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

/// A run, and what is to change in it.
#[derive(Debug, Default)]
enum Edit {
    /// The run has not begun, or does not take edits.
    #[default]
    None,
    /// Nothing is to change.
    Idle(Box<Base>),
    /// For the drawing thread to take.
    Offered(Box<Base>, Box<Programs>),
    /// It is at it.
    Taken(Box<Base>),
    /// What became of it.
    Done(Box<Base>, Result<Vec<String>>),
    Ended,
}

impl Live {
    /// Parameters that have the values of `set` until the run begins.
    pub fn new(set: ParameterSet) -> Self {
        Self { parameters: Parameters::new(set), ..Self::default() }
    }

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

    /// Somebody asks for a report. The first frame's is made in any case: for whoever asks while the run waits.
    pub(super) fn is_wanted(&self, frames: u64) -> bool {
        frames == 1 || self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Acquire)
    }

    pub(super) fn publish(&self, report: Report) {
        *self.lock() = Some((Instant::now(), report));
        self.arrived.notify_all();
    }

    fn edit(&self) -> MutexGuard<'_, Edit> {
        self.edit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes shaders, uniforms and parameters from an edited description into the run. Its files are read on this
    /// thread, programs are compiled by the drawing thread between two frames. Where one does not compile, everything
    /// stays as it was. Blocks until that is done, at most `patience`; without an end where it is `None`.
    ///
    /// # Errors
    /// Those of the description and the shaders, with their places; `Config` where something else has changed too;
    /// `Unsupported` where the run does not take edits; `Timeout` where the run waits for a source or a sink.
    pub fn reload(&self, description: &Description, patience: Option<Duration>) -> Result<Reloaded> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.reload_once(description, patience);
        let counter = if result.is_ok() { &self.reloads } else { &self.failed_reloads };
        match &result {
            Ok(reloaded) if reloaded.compiled.is_empty() && !reloaded.values => {}
            _ => drop(counter.fetch_add(1, Ordering::Relaxed)),
        }
        result
    }

    /// Reloads that were taken, and those that failed.
    pub fn reloads(&self) -> (u64, u64) {
        (self.reloads.load(Ordering::Relaxed), self.failed_reloads.load(Ordering::Relaxed))
    }

    fn reload_once(&self, description: &Description, patience: Option<Duration>) -> Result<Reloaded> {
        let not_running = || Error::unsupported("reload", "the run does not take edits");
        let base = match &*self.edit() {
            Edit::Idle(base) => base.clone(),
            Edit::Ended => return Err(Error::new(ErrorKind::PeerClosed, "reload", "the run has ended")),
            _ => return Err(not_running().with_hint("start it with --watch, and wait for its first frame")),
        };
        let programs = base.read(description)?;
        let mut files = vec![description.origin.path.clone()];
        files.extend(programs.shaders.iter().flatten().flat_map(|shader| shader.files().map(Into::into)));
        files.sort();
        files.dedup();
        let before = self.parameters.snapshot();
        let next = Base { description: description.clone(), ..(*base).clone() };
        let mut edit = self.edit();
        if !matches!(*edit, Edit::Idle(_)) {
            return Err(not_running());
        }
        let values = base.values_differ(&next);
        *edit = Edit::Offered(Box::new(next), Box::new(programs));
        self.offered.store(true, Ordering::Release);
        let limit = patience.map(|patience| Instant::now() + patience);
        loop {
            match std::mem::take(&mut *edit) {
                Edit::Done(next, Ok(compiled)) => {
                    *edit = Edit::Idle(next);
                    let values = values || self.parameters.snapshot() != before;
                    return Ok(Reloaded { compiled, values, files });
                }
                Edit::Done(_, Err(error)) => {
                    *edit = Edit::Idle(base);
                    return Err(error);
                }
                Edit::Offered(..) if limit.is_some_and(|limit| Instant::now() >= limit) => {
                    *edit = Edit::Idle(base);
                    self.offered.store(false, Ordering::Release);
                    let detail = "the run draws no frame: it waits for a source or a sink";
                    return Err(Error::new(ErrorKind::Timeout, "reload", detail).with_hint("try again later"));
                }
                Edit::Ended => {
                    *edit = Edit::Ended;
                    return Err(Error::new(ErrorKind::PeerClosed, "reload", "the run has ended"));
                }
                other => *edit = other,
            }
            let step = limit.map_or(Duration::from_secs(1), |limit| limit.saturating_duration_since(Instant::now()));
            let step = step.clamp(Duration::from_millis(1), Duration::from_secs(1));
            edit = self.edited.wait_timeout(edit, step).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The run begins; it takes edits of `description`.
    pub(super) fn take_edits(&self, description: &Description, plan: &Plan) {
        *self.edit() = Edit::Idle(Box::new(Base {
            description: description.clone(),
            graph: plan.graph.clone(),
            sizes: [plan.infos.iter().map(|info| info.size).collect(), plan.sizes.clone()],
        }));
    }

    /// What the run is to change before its next frame; it must be answered by [`Live::edited`].
    pub(super) fn take_edit(&self) -> Option<Programs> {
        if !self.offered.load(Ordering::Relaxed) || !self.offered.swap(false, Ordering::Acquire) {
            return None;
        }
        let mut edit = self.edit();
        match std::mem::take(&mut *edit) {
            Edit::Offered(base, programs) => {
                *edit = Edit::Taken(base);
                Some(*programs)
            }
            other => {
                *edit = other;
                None
            }
        }
    }

    /// The edit was taken: names of the passes that were compiled; or everything stays as it was.
    pub(super) fn edited(&self, result: Result<Vec<String>>) {
        let mut edit = self.edit();
        if let Edit::Taken(base) = std::mem::take(&mut *edit) {
            *edit = Edit::Done(base, result);
        }
        self.edited.notify_all();
    }

    /// The run has ended, well or not.
    pub(super) fn end(&self) {
        *self.edit() = Edit::Ended;
        self.edited.notify_all();
        self.arrived.notify_all();
    }

    /// The run has begun, and takes edits.
    pub fn takes_edits(&self) -> bool {
        !matches!(*self.edit(), Edit::None | Edit::Ended)
    }

    /// The run has ended.
    pub fn has_ended(&self) -> bool {
        matches!(*self.edit(), Edit::Ended)
    }
}
