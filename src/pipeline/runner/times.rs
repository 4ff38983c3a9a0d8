//! How long passes take: the drawing thread in their calls, and the GPU with what they ask for.
//!
//! In: draws. Out: their times, in a report. Not here: queries (`gles::timer`).

use std::time::Instant;

use crate::error::{ErrorKind, Result};
use crate::gles::{Framebuffer, Gl, Timer};

use super::super::report::{GpuTimes, Report, Times};

/// Times of the passes of a run.
pub(super) struct PassTimes {
    submit: Vec<Times>,
    gpu: Vec<Times>,
    timer: Option<Timer>,
    /// By what the GPU's times are taken, or why not.
    way: String,
}

impl PassTimes {
    /// For `passes`; those of the GPU where they are wanted and the driver tells them.
    pub(super) fn new(gl: &Gl, passes: usize, of_gpu: bool) -> Result<Self> {
        let (timer, way) = match of_gpu.then(|| Timer::new(gl, passes)) {
            Some(Ok(timer)) => {
                let way = format!("GL_EXT_disjoint_timer_query, {} bits", timer.bits());
                (Some(timer), way)
            }
            Some(Err(error)) if error.kind() == ErrorKind::Unsupported => {
                tracing::debug!(%error, "no gpu times");
                (None, format!("not offered by this driver ({}: {})", error.op(), error.detail()))
            }
            Some(Err(error)) => return Err(error),
            None => (None, "switched off".into()),
        };
        let none = vec![Times::default(); passes];
        Ok(Self { submit: none.clone(), gpu: none, timer, way })
    }

    /// A frame begins.
    pub(super) fn begin(&mut self) {
        if let Some(timer) = &mut self.timer {
            timer.begin();
        }
    }

    /// Draws a pass into a target; its calls count since `begun`.
    pub(super) fn draw(
        &mut self,
        gl: &Gl,
        (pass, target): (usize, &Framebuffer),
        begun: Instant,
        draw: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        match &mut self.timer {
            Some(timer) => {
                // What is bound when the time begins is where drivers put its beginning: among the work for that target.
                target.bind(gl)?;
                timer.measure(gl, pass, draw)?;
            }
            None => draw()?,
        }
        self.submit[pass].add(begun.elapsed());
        Ok(())
    }

    /// The frame has been handed over.
    pub(super) fn end(&mut self, gl: &Gl) {
        if let Some(timer) = &mut self.timer {
            timer.end(gl, |pass, time| self.gpu[pass].add(time));
        }
    }

    /// The last frame has been.
    pub(super) fn finish(&mut self, gl: &Gl) {
        if let Some(timer) = &mut self.timer {
            timer.finish(gl, |pass, time| self.gpu[pass].add(time));
        }
    }

    pub(super) fn tell(&self, report: &mut Report) {
        for (pass, (submit, gpu)) in report.passes.iter_mut().zip(self.submit.iter().zip(&self.gpu)) {
            (pass.submit, pass.gpu) = (submit.clone(), gpu.clone());
        }
        report.gpu_times = GpuTimes {
            measured: self.timer.is_some(),
            way: self.way.clone(),
            discarded: self.timer.as_ref().map_or(0, Timer::discarded),
            skipped: self.timer.as_ref().map_or(0, Timer::skipped),
        };
    }
}
