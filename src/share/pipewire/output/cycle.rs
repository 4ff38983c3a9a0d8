//! A cycle of the graph that a stream of ours drives: begun by us, ended when everybody in it is through.
//!
//! In: how often the stream said that a cycle ends. Out: whether the next may begin. Not here: what goes with it (`output`).

use std::time::{Duration, Instant};

use ::pipewire::stream::Stream;

/// A cycle that takes longer has somebody in it who does not answer: it is waited for no more. Not less: a frame that is not
/// yet taken when the next cycle begins is lost, and an end that comes late is taken for that of a later cycle.
const CYCLE: Duration = Duration::from_secs(3);
/// While nodes come and go, cycles end more often than they should. After so long without an end none is to come.
const QUIET: Duration = Duration::from_millis(150);

/// A cycle of the graph that we have begun.
pub(super) struct Cycle {
    /// Ends of which the stream has still to tell; `None`: it is over when no more come.
    left: Option<u32>,
    since: Instant,
}

pub(super) enum Kind {
    /// One in which a start comes to rest.
    Opening,
    /// One that only brings buffers back.
    Empty,
    /// One that hands a frame over.
    Frame,
}

impl Cycle {
    /// Where another node drives the graph, it is asked for a cycle.
    pub(super) fn begin(stream: &Stream, kind: Kind) -> Self {
        let _ = stream.trigger_process();
        // One without a frame ends twice: for us at once, and when everybody is through.
        let left = match kind {
            Kind::Frame => Some(1),
            Kind::Empty => Some(2),
            Kind::Opening => None,
        };
        Self { left, since: Instant::now() }
    }

    /// What runs already, until it is quiet.
    pub(super) fn settle() -> Self {
        Self { left: None, since: Instant::now() }
    }

    pub(super) fn is_over(&self) -> bool {
        match self.left {
            Some(left) => left == 0 || self.since.elapsed() >= CYCLE,
            None => self.since.elapsed() >= QUIET,
        }
    }

    pub(super) fn after(self, ended: u32) -> Self {
        match self.left {
            Some(left) => Self { left: Some(left.saturating_sub(ended)), ..self },
            None if ended > 0 => Self::settle(),
            None => self,
        }
    }
}
