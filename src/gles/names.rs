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
}

/// Names that nobody uses any more, until their context is current.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<Vec<(Kind, NonZeroU32)>>);

impl Queue {
    fn push(&self, kind: Kind, raw: NonZeroU32) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((kind, raw));
    }

    /// Takes every name out.
    pub(crate) fn drain(&self) -> Vec<(Kind, NonZeroU32)> {
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
        self.queue.push(self.kind, self.raw);
    }
}
