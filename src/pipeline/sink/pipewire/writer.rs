//! The sink at work.

use crate::buffer::Buffer;
use crate::color::Color;
use crate::error::{Error, Result};
use crate::fence::Timeline;
use crate::frame::Frame;
use crate::share::pipewire::output::{Options, Output};

use super::super::super::description::Rate;
use super::super::shared::{LINGER, WAIT_FOR_CLIENTS};
use super::super::{Handover, Picture, Shape, Writer, Written};
use super::Node;

pub(super) struct NodeWriter {
    options: Options,
    output: Option<Output>,
    wait: bool,
    rate: Rate,
    color: Color,
    written: Written,
}

impl NodeWriter {
    pub(super) fn new(node: &Node, shape: &Shape) -> Self {
        let options = Options {
            remote: node.remote.clone(),
            color: shape.color,
            rate: Some((shape.rate.numerator, shape.rate.denominator)),
            max_in_flight: node.max_in_flight,
            when_full: node.when_full,
            patience: node.patience,
            // Fences are points of a timeline where both ends have a node for that.
            timelines: Timeline::find_node(),
            ..Options::new(&node.name)
        };
        let (rate, color) = (shape.rate, shape.color);
        Self { options, output: None, wait: node.wait, rate, color, written: Written::default() }
    }
}

impl Writer for NodeWriter {
    fn write(&mut self, _picture: &Picture<'_>) -> Result<()> {
        Err(Error::failed("pipewire", "this sink takes memory, not pixels"))
    }

    fn takes_memory(&self) -> bool {
        true
    }

    fn expect_memories(&mut self, memories: &[Buffer]) -> Result<()> {
        let output = Output::open(self.options.clone(), memories.to_vec())?;
        tracing::info!(node = self.options.node, id = output.node_id(), "offering frames");
        self.output = Some(output);
        Ok(())
    }

    fn take(&mut self, handover: Handover) -> Result<()> {
        let Some(output) = &self.output else { return Ok(()) };
        if self.wait {
            output.wait_for_consumer(WAIT_FOR_CLIENTS)?;
            self.wait = false;
        }
        let Handover { frame, buffer, fence, captured_ns, keep } = handover;
        let timestamp_ns = captured_ns.unwrap_or_else(|| self.rate.timestamp_ns(frame));
        let frame = Frame { color: self.color, sequence: frame, timestamp_ns, ..Frame::new(buffer, fence) };
        self.written.pictures += u64::from(output.send(frame, Some(keep))?);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(output) = self.output.take() {
            output.finish(LINGER);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        self.end()?;
        Ok(self.written)
    }
}
