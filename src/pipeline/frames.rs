//! Which frames: ranges with gaps between them.
//!
//! In: ranges. Out: a [`FrameSet`] that is walked in order, asked, and printed. Not here: what a frame is.

use std::fmt;
use std::ops::Range;

/// Frame numbers as sorted ranges that neither overlap nor touch. A range that ends at `u64::MAX` has no end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameSet(Vec<Range<u64>>);

impl FrameSet {
    /// Frames `start..end`; without an end where there is none.
    pub fn from_bounds(start: u64, end: Option<u64>) -> Self {
        let mut set = Self::default();
        set.insert(start..end.unwrap_or(u64::MAX));
        set
    }

    /// Adds frames.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // The ranges that overlap or touch the new one become one with it.
        let first = self.0.partition_point(|known| known.end < range.start);
        let after = self.0.partition_point(|known| known.start <= range.end);
        let joined = self.0[first..after].iter().fold(range, |a, b| a.start.min(b.start)..a.end.max(b.end));
        self.0.splice(first..after, [joined]);
    }

    /// The frame is in it.
    pub fn contains(&self, frame: u64) -> bool {
        let at = self.0.partition_point(|range| range.end <= frame);
        self.0.get(at).is_some_and(|range| range.start <= frame)
    }

    /// There is no frame.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many frames; `None` without an end.
    pub fn count(&self) -> Option<u64> {
        match self.0.last() {
            Some(last) if last.end == u64::MAX => None,
            _ => Some(self.0.iter().map(|range| range.end - range.start).sum()),
        }
    }

    /// The frames, rising.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// The ranges, rising.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }
}

impl FromIterator<u64> for FrameSet {
    fn from_iter<I: IntoIterator<Item = u64>>(frames: I) -> Self {
        let mut set = Self::default();
        frames.into_iter().for_each(|frame| set.insert(frame..frame.saturating_add(1)));
        set
    }
}

impl fmt::Display for FrameSet {
    /// `3, 5..9, 12..`: each range without its end, as `--frames` reads it; long lists are cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        for (index, range) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match *range {
                Range { start, end: u64::MAX } => write!(f, "{comma}{start}..")?,
                Range { start, end } if end == start + 1 => write!(f, "{comma}{start}")?,
                Range { start, end } => write!(f, "{comma}{start}..{end}")?,
            }
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => write!(f, ", and {more} more ranges"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_joined_and_printed() {
        let mut set = FrameSet::default();
        for range in [5..9, 3..4, 12..13, 9..10, 7..7] {
            set.insert(range);
        }
        assert_eq!(set.ranges(), [3..4, 5..10, 12..13]);
        assert_eq!(set.to_string(), "3, 5..10, 12");
        assert_eq!(set.count(), Some(7));
        set.insert(4..u64::MAX);
        assert_eq!((set.to_string().as_str(), set.count()), ("3..", None));
        assert!(set.contains(u64::MAX - 1) && !set.contains(2));
        assert_eq!((0..40).map(|frame| frame * 2).collect::<FrameSet>().to_string().matches(", ").count(), 12);
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_its_frames(ranges in prop::collection::vec((0u64..60, 0u64..9), 0..12)) {
            let mut set = FrameSet::default();
            let mut expected = std::collections::BTreeSet::new();
            for (start, length) in ranges {
                set.insert(start..start + length);
                expected.extend(start..start + length);
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.count(), Some(expected.len() as u64));
            prop_assert!((0..80).all(|frame| set.contains(frame) == expected.contains(&frame)));
            prop_assert!(set.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(expected.into_iter().collect::<FrameSet>(), set);
        }
    }
}
