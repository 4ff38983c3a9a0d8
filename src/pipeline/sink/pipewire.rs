//! A sink that offers its pictures' memory as a node of PipeWire.
//!
//! In: the sink's keys, the memory that pictures will come in, then pictures before anything maps them. Out: frames for
//! whoever is linked to the node. Not here: PipeWire (`share::pipewire`), which builds without its cargo feature lack.

use std::time::Duration;

use crate::error::Result;
use crate::share::unixfd::server::WhenFull;

use super::super::description::{Description, Sink};
use super::shared::SharedKeys;
use super::{Shape, Writer};

#[cfg(feature = "pipewire")]
mod writer;

/// Frames in flight, where the description says nothing.
const DEFAULT_IN_FLIGHT: usize = 4;
/// Where it says nothing.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// The keys of the sink.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node's name.
    pub name: String,
    #[cfg_attr(not(feature = "pipewire"), expect(dead_code, reason = "for builds that have PipeWire"))]
    remote: Option<String>,
    max_in_flight: usize,
    #[cfg_attr(not(feature = "pipewire"), expect(dead_code, reason = "for builds that have PipeWire"))]
    when_full: WhenFull,
    #[cfg_attr(not(feature = "pipewire"), expect(dead_code, reason = "for builds that have PipeWire"))]
    patience: Duration,
    /// The first frame waits for somebody.
    #[cfg_attr(not(feature = "pipewire"), expect(dead_code, reason = "for builds that have PipeWire"))]
    wait: bool,
}

impl Node {
    /// Reads the keys of sink `name`, whose kind is `pipewire`.
    ///
    /// # Errors
    /// `Config` with the place, also where this build has no PipeWire.
    pub fn new(description: &Description, name: &str, sink: &Sink) -> Result<Self> {
        let keys = SharedKeys { description, name, sink };
        let node = match &sink.node {
            None => format!("darkframe.{name}"),
            Some(node) if node.get_ref().is_empty() || node.get_ref().contains('\0') => {
                let key = format!("sink.{name}.node");
                return Err(description.error(
                    key,
                    "a node's name has at least one character, and no byte 0",
                    node.span(),
                ));
            }
            Some(node) => node.get_ref().clone(),
        };
        let max_in_flight = keys.count("max-in-flight", &sink.max_in_flight, DEFAULT_IN_FLIGHT)?;
        if let Some(given) = sink.wait_for.as_ref().filter(|given| *given.get_ref() != 1) {
            let error = description.error(
                format!("sink.{name}.wait-for"),
                "PipeWire does not count: 1 is anybody",
                given.span(),
            );
            return Err(error.with_hint("wait-for = 1"));
        }
        #[cfg(not(feature = "pipewire"))]
        if let Some(kind) = &sink.kind {
            let error = description.error(format!("sink.{name}.kind"), "this build has no PipeWire", kind.span());
            return Err(
                error.with_hint("build it with the cargo feature pipewire, or hand frames on with kind = \"unixfd\"")
            );
        }
        Ok(Self {
            name: node,
            remote: sink.socket.as_ref().map(|socket| socket.get_ref().clone()),
            max_in_flight,
            when_full: keys.when_full(),
            patience: keys.patience(DEFAULT_PATIENCE)?,
            wait: sink.wait_for.is_some(),
        })
    }

    /// Buffers that consumers may hold, and that are on their way back, while everybody else goes on; of 64 in all some are
    /// others'.
    pub(super) fn holds(&self) -> usize {
        (2 * self.max_in_flight + 1).min(56)
    }

    #[cfg(not(feature = "pipewire"))]
    pub(super) fn open(&self, _shape: &Shape) -> Result<Box<dyn Writer>> {
        Err(crate::error::Error::unsupported("pipewire", format!("node \"{}\": this build has no PipeWire", self.name)))
    }

    #[cfg(feature = "pipewire")]
    pub(super) fn open(&self, shape: &Shape) -> Result<Box<dyn Writer>> {
        Ok(Box::new(writer::NodeWriter::new(self, shape)))
    }
}
