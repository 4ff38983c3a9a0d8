//! GL names and their end: a name may go out of scope where no context is current, so it is queued, not deleted.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Texture,
    Renderbuffer,
    Framebuffer,
    Buffer,
    Program,
    Shader,
    Query,
    /// A memory object of another API.
    Memory,
    /// A semaphore of another API.
    Semaphore,
}

/// What is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dead {
    Name(Kind, NonZeroU32),
    /// Syncs have pointers for names.
    Sync(glow::NativeFence),
}

// SAFETY: a sync's pointer is its name: nobody follows it here, and GL takes it from any thread whose context is of its
// share group.
unsafe impl Send for Dead {}

/// Names that nobody uses any more, until their context is current.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<Vec<Dead>>);

impl Queue {
    fn push(&self, dead: Dead) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(dead);
    }

    /// Takes every name out.
    pub(crate) fn drain(&self) -> Vec<Dead> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Number of names waiting.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).len()
    }
}

/// A GL name. Dropping it queues it for deletion; any thread may do that.
#[derive(Debug)]
pub(crate) struct Name {
    kind: Kind,
    raw: NonZeroU32,
    queue: Arc<Queue>,
}

impl Name {
    pub(crate) fn new(kind: Kind, raw: NonZeroU32, queue: &Arc<Queue>) -> Self {
        Self { kind, raw, queue: queue.clone() }
    }

    pub(crate) fn raw(&self) -> NonZeroU32 {
        self.raw
    }

    pub(crate) fn is_of(&self, queue: &Arc<Queue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.queue.push(Dead::Name(self.kind, self.raw));
    }
}

/// A GL sync. Dropping it queues it for deletion; any thread may do that.
#[derive(Debug)]
pub(crate) struct SyncName {
    raw: glow::NativeFence,
    /// Taken by [`SyncName::into_raw`]: its new owner deletes it.
    given_away: bool,
    queue: Arc<Queue>,
}

// SAFETY: as for `Dead`; it is used with a current context of its share group only.
unsafe impl Send for SyncName {}

impl SyncName {
    pub(crate) fn new(raw: glow::NativeFence, queue: &Arc<Queue>) -> Self {
        Self { raw, given_away: false, queue: queue.clone() }
    }

    pub(crate) fn raw(&self) -> glow::NativeFence {
        self.raw
    }

    /// Gives the sync away: it is not queued.
    pub(crate) fn into_raw(mut self) -> glow::NativeFence {
        self.given_away = true;
        self.raw
    }

    pub(crate) fn is_of(&self, queue: &Arc<Queue>) -> bool {
        Arc::ptr_eq(&self.queue, queue)
    }
}

impl Drop for SyncName {
    fn drop(&mut self) {
        if !self.given_away {
            self.queue.push(Dead::Sync(self.raw));
        }
    }
}
