//! A sink that is a display.
//!
//! In: the sink's keys, then pictures as memory. Out: pictures on a connector, one per refresh.
//! Not here: modesetting (`crate::kms`).

use crate::error::{Error, Result};
use crate::format::Modifier;
use crate::kms::{Options, Screen};
use crate::layout::Constraints;

use super::super::description::{self, Description, Spanned};
use super::{Handover, Picture, Shape, Writer, Written};

/// The keys of the sink.
#[derive(Clone, Debug)]
pub struct Display(Options);

impl Display {
    /// Reads the keys of a sink of kind `kms`.
    pub(super) fn new(sink: &description::Sink) -> Self {
        let text = |given: &Option<Spanned<String>>| given.as_ref().map(|given| given.get_ref().clone());
        Self(Options { device: text(&sink.device), connector: text(&sink.connector), write_back: false })
    }

    /// What displays want of memory.
    pub(in super::super) fn constraints(&self) -> Constraints {
        Constraints { linear: true, ..Constraints::NONE }
    }

    pub(super) fn open(&self, shape: &Shape) -> Result<Box<dyn Writer>> {
        let screen = Screen::open(&self.0, shape.size)?;
        screen.check(shape.fourcc, Modifier::LINEAR)?;
        tracing::info!(screen = screen.name(), "showing");
        Ok(Box::new(ScreenWriter { screen: Some(screen), written: Written::default() }))
    }
}

/// The error with the place of the key that it is about.
pub(in super::super) fn place(description: &Description, name: &str, wrong: &Error) -> Error {
    let Some(sink) = description.sinks.get(name) else { return wrong.clone() };
    let of = |given: &Option<Spanned<String>>| given.as_ref().map_or(sink.input.span(), Spanned::span);
    let (key, span) = match wrong.op() {
        "device" => ("device", of(&sink.device)),
        "connector" => ("connector", of(&sink.connector)),
        "format" | "size" => ("input", sink.input.span()),
        _ => return wrong.clone(),
    };
    description.error(format!("sink.{name}.{key}"), wrong.detail(), span).with_hint_of(wrong)
}

struct ScreenWriter {
    screen: Option<Screen>,
    written: Written,
}

impl Writer for ScreenWriter {
    fn write(&mut self, _picture: &Picture<'_>) -> Result<()> {
        Err(Error::failed("kms", "this sink takes memory, not pixels"))
    }

    fn takes_memory(&self) -> bool {
        true
    }

    fn take(&mut self, handover: Handover) -> Result<()> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let Handover { frame, buffer, fence, keep, .. } = handover;
        screen.show(buffer, fence, keep, None).map_err(|error| error.in_context(format!("frame {frame}")))?;
        self.written.pictures += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        // What was shown before comes back.
        self.screen.as_mut().map_or(Ok(()), Screen::settle)?;
        self.screen = None;
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        self.end()?;
        Ok(self.written)
    }
}
