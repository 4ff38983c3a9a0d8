//! Pacing to real time: when each picture of a source is due.
//!
//! In: the rate, the time. Out: how long to wait. Not here: waiting (`runner::feed`).
//!
//! The first picture is due when it is there, and the clock runs from then. A picture that comes late is handed on at once
//! and none is left out: a source that has fallen behind catches up as fast as it can.

use std::time::{Duration, Instant};

use super::super::description::Rate;

/// Counts pictures against the clock.
#[derive(Debug)]
pub struct Pacer {
    rate: Rate,
    begun: Option<Instant>,
    count: u64,
    late: u64,
}

impl Pacer {
    /// For pictures at `rate`.
    pub fn new(rate: Rate) -> Self {
        Self { rate, begun: None, count: 0, late: 0 }
    }

    /// When the next picture is due, at the earliest `now`. To be asked once for each picture.
    pub fn due(&mut self, now: Instant) -> Instant {
        let begun = *self.begun.get_or_insert(now);
        let at = |count: u64| begun + Duration::from_nanos(self.rate.timestamp_ns(count));
        let (due, next) = (at(self.count), at(self.count + 1));
        self.count += 1;
        // Before its successor is due it is still the picture to be shown.
        self.late += u64::from(now >= next);
        due.max(now)
    }

    /// Pictures that came when the next one was due already.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_due_by_their_number_and_late_ones_at_once() {
        let mut pacer = Pacer::new(Rate { numerator: 30_000, denominator: 1001 });
        let begun = Instant::now();
        let at = |ns: u64| begun + Duration::from_nanos(ns);
        // 1001 / 30000 s is 33 366 666 ns: the error of one picture does not add up.
        assert_eq!(pacer.due(begun), begun);
        assert_eq!(pacer.due(at(5_000_000)), at(33_366_666));
        assert_eq!(pacer.due(at(33_400_000)), at(66_733_333));
        // Late by less than a picture, then by more.
        assert_eq!(pacer.due(at(110_000_000)), at(110_000_000));
        assert_eq!(pacer.late(), 0);
        assert_eq!(pacer.due(at(400_000_000)), at(400_000_000));
        assert_eq!(pacer.late(), 1);
        // The clock did not stop: number 29 is due where it always was.
        assert!((5..29).all(|_| pacer.due(at(400_000_000)) >= at(400_000_000)));
        assert_eq!(pacer.due(at(400_000_000)), at(967_633_333));
    }
}
