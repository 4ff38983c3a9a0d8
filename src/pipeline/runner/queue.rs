//! Pictures that wait for a sink, and what happens when too many do.
//!
//! In: pictures from the GL thread. Out: pictures, oldest first, to the sink's thread; how many were dropped.
//! Not here: what a picture is, buffers (`target` makes as many more as may wait).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::super::description::WhenFull;

/// The GL thread's end.
pub(super) struct Sender<T>(Arc<Shared<T>>);

/// The sink thread's end.
pub(super) struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    depth: usize,
    when_full: WhenFull,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    dropped: u64,
    end: Option<End>,
    /// The receiver has done what it can and waits for [`Sender::commit`].
    is_written: bool,
    receiver_is_gone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything has come.
    Finished,
    /// Everybody has written everything.
    Committed,
    /// The run failed: what waits is not wanted any more.
    GivenUp,
}

/// What comes out of a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    Picture(T),
    /// There will be no more.
    Finished,
    /// There will be no more, and what was written is to be let go.
    GivenUp,
}

/// A queue of at most `depth` pictures.
pub(super) fn queue<T>(depth: usize, when_full: WhenFull) -> (Sender<T>, Receiver<T>) {
    let state = State {
        waiting: VecDeque::with_capacity(depth),
        dropped: 0,
        end: None,
        is_written: false,
        receiver_is_gone: false,
    };
    let shared = Arc::new(Shared { depth: depth.max(1), when_full, state: Mutex::new(state), changed: Condvar::new() });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A thread that panicked between two lines of ours left a queue that is still one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Hands a picture over. Blocks only where the rule says so, and not once the receiver has gone.
    pub(super) fn send(&self, picture: T) {
        let mut state = self.0.lock();
        let mut unwanted = None;
        while state.waiting.len() >= self.0.depth && !state.receiver_is_gone {
            match self.0.when_full {
                WhenFull::Block => state = self.0.wait(state),
                WhenFull::DropOldest => {
                    unwanted = state.waiting.pop_front();
                    state.dropped += 1;
                }
                WhenFull::DropNewest => {
                    state.dropped += 1;
                    return;
                }
            }
        }
        if !state.receiver_is_gone {
            state.waiting.push_back(picture);
            self.0.changed.notify_all();
        }
        drop(state);
        // Its buffer goes back outside of the lock.
        drop(unwanted);
    }

    /// Everything has come.
    pub(super) fn finish(&self) {
        let mut state = self.0.lock();
        state.end = Some(End::Finished);
        self.0.changed.notify_all();
    }

    /// Waits until the receiver has written everything, or is gone.
    pub(super) fn wait_until_written(&self) {
        let mut state = self.0.lock();
        while !state.is_written && !state.receiver_is_gone {
            state = self.0.wait(state);
        }
    }

    /// The output may be made whole.
    pub(super) fn commit(&self) {
        self.0.lock().end = Some(End::Committed);
        self.0.changed.notify_all();
    }

    /// Pictures that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.end != Some(End::Committed) {
            state.end = Some(End::GivenUp);
            self.0.changed.notify_all();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the oldest picture, or the end.
    pub(super) fn next(&self) -> Next<T> {
        let mut state = self.0.lock();
        loop {
            if state.end == Some(End::GivenUp) {
                return Next::GivenUp;
            }
            if let Some(picture) = state.waiting.pop_front() {
                self.0.changed.notify_all();
                return Next::Picture(picture);
            }
            if state.end == Some(End::Finished) {
                return Next::Finished;
            }
            state = self.0.wait(state);
        }
    }

    /// Everything is written. Waits for the word to make it whole; `false` where it is to be let go.
    pub(super) fn may_commit(&self) -> bool {
        let mut state = self.0.lock();
        state.is_written = true;
        self.0.changed.notify_all();
        loop {
            match state.end {
                Some(End::Committed) => return true,
                Some(End::GivenUp) => return false,
                _ => state = self.0.wait(state),
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver_is_gone = true;
        let waiting = std::mem::take(&mut state.waiting);
        self.0.changed.notify_all();
        drop(state);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(receiver: &Receiver<u32>) -> Vec<u32> {
        std::iter::from_fn(|| match receiver.next() {
            Next::Picture(picture) => Some(picture),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn full_queues_keep_what_their_rule_says() {
        for (rule, kept) in [(WhenFull::DropOldest, [7, 8, 9]), (WhenFull::DropNewest, [0, 1, 2])] {
            let (sender, receiver) = queue(3, rule);
            (0..10).for_each(|picture| sender.send(picture));
            sender.finish();
            assert_eq!((drain(&receiver), sender.dropped()), (kept.to_vec(), 7), "{rule:?}");
            assert_eq!(receiver.next(), Next::Finished);
        }
    }

    #[test]
    fn a_blocked_sender_goes_on_when_there_is_room_and_when_nobody_is_left() {
        let (sender, receiver) = queue(2, WhenFull::Block);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || (0..100).map(|_| receiver.next()).collect::<Vec<_>>());
            // Ten more than the reader takes: the last ones find nobody.
            (0..110).for_each(|picture| sender.send(picture));
            assert_eq!(reader.join().unwrap(), (0..100).map(Next::Picture).collect::<Vec<_>>());
        });
        assert_eq!(sender.dropped(), 0);
    }

    #[test]
    fn a_sender_that_goes_without_a_word_gives_up() {
        let (sender, receiver) = queue(2, WhenFull::Block);
        sender.send(1);
        sender.finish();
        drop(sender);
        assert_eq!(receiver.next(), Next::GivenUp);
        assert!(!receiver.may_commit());
    }

    #[test]
    fn a_receiver_commits_when_it_is_told_to() {
        let (sender, receiver) = queue::<u32>(2, WhenFull::Block);
        sender.finish();
        assert_eq!(receiver.next(), Next::Finished);
        std::thread::scope(|scope| {
            let receiver = scope.spawn(move || receiver.may_commit());
            sender.wait_until_written();
            sender.commit();
            drop(sender);
            assert!(receiver.join().unwrap());
        });
    }
}
