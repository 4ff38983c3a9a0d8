//! Buffers that go round between the GL thread, which fills them, and sinks.
//!
//! In: buffers. Out: [`Delivery`], whose buffer comes back when the last sink lets go. Not here: writing (`deliver`).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::fence::Fence;

/// A buffer on its way to sinks. The last of them that lets go sends it back.
pub(super) struct Lease {
    pub(super) buffer: Buffer,
    slot: usize,
    back: Sender<usize>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // At the end of the run nobody waits for it.
        let _ = self.back.send(self.slot);
    }
}

/// One picture for the sinks of a pass.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) frame: u64,
    pub(super) lease: Arc<Lease>,
    pub(super) fence: Option<Arc<Fence>>,
    /// When its source's picture was made, where that is known.
    pub(super) captured_ns: Option<u64>,
}

/// Buffers that go round between the GL thread and the sinks.
pub(super) struct Circle {
    pub(super) buffers: Vec<Buffer>,
    free: Receiver<usize>,
    back: Sender<usize>,
}

impl Circle {
    pub(super) fn new(buffers: Vec<Buffer>) -> Self {
        let (back, free) = channel();
        for slot in 0..buffers.len() {
            // The receiver is ours.
            let _ = back.send(slot);
        }
        Self { buffers, free, back }
    }

    /// Waits for a buffer that no sink holds.
    pub(super) fn take(&self) -> Result<usize> {
        self.free.recv().map_err(|_| Error::failed("buffers", "no sink is left to give one back"))
    }

    pub(super) fn lease(&self, slot: usize) -> Arc<Lease> {
        Arc::new(Lease { buffer: self.buffers[slot].clone(), slot, back: self.back.clone() })
    }
}
