//! The sink at work.

use crate::buffer::Buffer;
use crate::color::Color;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::share::gstreamer::output::{Options, Output};

use super::super::super::description::Rate;
use super::super::{Handover, Picture, Shape, Writer, Written};
use super::Elements;

pub(super) struct ElementsWriter {
    options: Options,
    output: Option<Output>,
    rate: Rate,
    color: Color,
    notes: Vec<String>,
    written: Written,
}

impl ElementsWriter {
    pub(super) fn new(elements: &Elements, shape: &Shape) -> Self {
        let options = Options {
            text: elements.text.clone(),
            color: shape.color,
            rate: (shape.rate.numerator, shape.rate.denominator),
            max_in_flight: elements.max_in_flight,
            patience: elements.patience,
        };
        let (rate, color) = (shape.rate, shape.color);
        Self { options, output: None, rate, color, notes: Vec::new(), written: Written::default() }
    }
}

impl Writer for ElementsWriter {
    fn write(&mut self, _picture: &Picture<'_>) -> Result<()> {
        Err(Error::failed("gstreamer", "this sink takes memory, not pixels"))
    }

    fn takes_memory(&self) -> bool {
        true
    }

    fn expect_memories(&mut self, memories: &[Buffer]) -> Result<()> {
        let output = Output::open(self.options.clone(), memories)?;
        tracing::info!(caps = output.caps(), "GStreamer takes frames");
        self.output = Some(output);
        Ok(())
    }

    fn require_zero_copy(&mut self) -> Result<()> {
        self.output.as_mut().map_or(Ok(()), Output::require_zero_copy)
    }

    fn take(&mut self, handover: Handover) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let Handover { frame, buffer, fence, captured_ns, keep } = handover;
        let timestamp_ns = captured_ns.unwrap_or_else(|| self.rate.timestamp_ns(frame));
        let taken = Frame { color: self.color, sequence: frame, timestamp_ns, ..Frame::new(buffer, fence) };
        output.send(taken, Some(keep)).map_err(|error| error.in_context(format!("frame {frame}")))?;
        self.written.pictures += 1;
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn end(&mut self) -> Result<()> {
        if let Some(mut output) = self.output.take() {
            let done = output.finish();
            self.notes = output.notes();
            done?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        self.end()?;
        Ok(self.written)
    }
}
