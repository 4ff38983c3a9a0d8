//! The sinks' threads: each waits for a picture's fence, maps it and writes it.
//!
//! In: [`Delivery`]. Out: what the sink has written, or its error. Not here: file formats (`sink`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use crate::buffer::{Access, Buffer};
use crate::error::{Error, Result};
use crate::format::Fourcc;

use super::super::description::Description;
use super::super::report::{Edge, Times};
use super::super::sink::{Handover, Picture, Plan, Shape, Writer, Written};
use super::circle::Delivery;
use super::feed::HANG;
use super::queue::{Next, Receiver, Sender, queue};

/// A sink at work.
pub(super) struct SinkThread<'scope> {
    pub(super) pass: usize,
    plan: Plan,
    queue: Sender<Delivery>,
    failed: Arc<AtomicBool>,
    /// Times of the thread: one a picture.
    work: Arc<Mutex<Times>>,
    thread: ScopedJoinHandle<'scope, Result<(Written, Vec<String>)>>,
}

impl<'scope> SinkThread<'scope> {
    /// Opens the sink on its own thread. Its pictures come in `memories`.
    pub(super) fn start(
        scope: &'scope Scope<'scope, '_>,
        plan: Plan,
        pass: usize,
        (shape, delivered): (Shape, Fourcc),
        (memories, require_zero_copy): (&[Buffer], bool),
        description: &Description,
    ) -> Result<Self> {
        let opened = plan.open(&shape, delivered).and_then(|mut writer| {
            writer.expect_memories(memories)?;
            if require_zero_copy {
                writer.require_zero_copy()?;
            }
            Ok(writer)
        });
        let mut writer = opened.map_err(|error| plan.explain(description, error))?;
        let (queue, pictures) = queue(plan.queue, plan.when_full);
        let failed = Arc::new(AtomicBool::new(false));
        let flag = failed.clone();
        let work = Arc::default();
        let times = Arc::clone(&work);
        let thread = scope.spawn(move || {
            let result = write_all(writer.as_mut(), &pictures, &times);
            if result.is_err() {
                flag.store(true, Ordering::Release);
            }
            result.map(|written| (written, writer.notes()))
        });
        Ok(Self { pass, plan, queue, failed, work, thread })
    }

    pub(super) fn wants(&self, frame: u64) -> bool {
        self.plan.wants(frame)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Ends without making the output whole; gives the sink's own error, if it has one.
    pub(super) fn give_up(self) -> Option<Error> {
        drop(self.queue);
        let result = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.err().map(|error| error.in_context(format!("sink \"{}\"", self.plan.name)))
    }

    /// All pictures have come: what waits is written. Does not wait for it.
    pub(super) fn no_more(&self) {
        self.queue.finish();
    }

    /// Waits until everything is written, or the sink has failed.
    pub(super) fn wait_until_written(&self) {
        self.queue.wait_until_written();
    }

    /// Makes the output whole.
    pub(super) fn finish(self, edge: Edge) -> Result<Edge> {
        self.queue.commit();
        let dropped = self.queue.dropped();
        let result = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (written, more) = result.map_err(|error| error.in_context(format!("sink \"{}\"", self.plan.name)))?;
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let notes = edge.notes.iter().cloned().chain(more).collect();
        Ok(Edge {
            name: self.plan.name,
            pictures: written.pictures,
            bytes: written.bytes,
            notes,
            dropped,
            work,
            ..edge
        })
    }

    /// What has been written so far; the bytes are known at the end.
    pub(super) fn so_far(&self, edge: Edge) -> Edge {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let dropped = self.queue.dropped();
        Edge { name: self.plan.name.clone(), pictures: work.count, dropped, work, ..edge }
    }
}

/// Hands a picture to every sink of its pass that wants its frame.
pub(super) fn send(sinks: &[SinkThread<'_>], pass: usize, delivery: Delivery) -> Result<()> {
    for sink in sinks {
        if sink.pass == pass && sink.wants(delivery.frame) {
            // A sink that failed is seen by the run, which then ends.
            sink.queue.send(delivery.clone());
        }
    }
    Ok(())
}

fn write_all(writer: &mut dyn Writer, pictures: &Receiver<Delivery>, work: &Mutex<Times>) -> Result<Written> {
    loop {
        let Delivery { frame, lease, fence, captured_ns } = match pictures.next() {
            Next::Picture(delivery) => delivery,
            Next::Finished => {
                writer.end()?;
                let written = if pictures.may_commit() { writer.finish()? } else { Written::default() };
                return Ok(written);
            }
            // The run failed elsewhere: the writer is dropped, and with it its temporary files.
            Next::GivenUp => return Ok(Written::default()),
        };
        if writer.takes_memory() {
            let begun = std::time::Instant::now();
            let fence = fence.map(|fence| fence.try_clone()).transpose()?;
            let buffer = lease.buffer.clone();
            writer.take(Handover { frame, buffer, fence, captured_ns, keep: Box::new(lease) })?;
            work.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
            continue;
        }
        if let Some(fence) = fence {
            fence.wait(Some(HANG))?;
        }
        let map = lease.buffer.map(Access::Read)?;
        let begun = std::time::Instant::now();
        writer.write(&Picture { layout: lease.buffer.layout(), map: &map, frame })?;
        work.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
    }
}
