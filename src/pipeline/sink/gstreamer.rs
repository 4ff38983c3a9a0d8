//! A sink that hands its pictures to the elements of a GStreamer pipeline.
//!
//! In: the sink's keys, the memory that pictures will come in, then pictures before anything maps them. Out: buffers in the
//! pipeline's first element. Not here: GStreamer (`share::gstreamer`), which builds without its cargo feature lack.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::layout::Constraints;

use super::super::description::{Description, Sink};
use super::shared::SharedKeys;
use super::{Shape, Writer};

#[cfg(feature = "gstreamer")]
mod writer;

/// Memories that the pipeline may have, where the description says nothing.
const DEFAULT_IN_FLIGHT: usize = 4;
/// Where it says nothing: encoders may take long.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);

/// What elements want of memory: which order of pixels is not known before it is made.
pub(in super::super) const CONSTRAINTS: Constraints = Constraints { linear: true, ..Constraints::NONE };

/// The keys of the sink.
#[derive(Clone, Debug)]
pub struct Elements {
    /// The pipeline's text.
    pub text: String,
    max_in_flight: usize,
    #[cfg_attr(not(feature = "gstreamer"), expect(dead_code, reason = "for builds that have GStreamer"))]
    patience: Duration,
}

impl Elements {
    /// Reads the keys of sink `name`, whose kind is `gstreamer`, and makes the elements once to see whether they exist.
    ///
    /// # Errors
    /// `Config` with the place, also where this build has no GStreamer.
    pub fn new(description: &Description, name: &str, sink: &Sink) -> Result<Self> {
        let keys = SharedKeys { description, name, sink };
        let key = format!("sink.{name}.pipeline");
        let Some(text) = &sink.pipeline else {
            let place = description.sinks.get_key_value(name).map_or(0..0, |(name, _)| name.span());
            let error = description.error(key, "missing: this kind hands pictures to a pipeline", place);
            return Err(error.with_hint(
                "add pipeline = \"videoconvert ! x264enc ! h264parse ! mp4mux ! filesink location=out.mp4\"",
            ));
        };
        let max_in_flight = keys.count("max-in-flight", &sink.max_in_flight, DEFAULT_IN_FLIGHT)?;
        let patience = keys.patience(DEFAULT_PATIENCE)?;
        #[cfg(not(feature = "gstreamer"))]
        if let Some(kind) = &sink.kind {
            let error = description.error(format!("sink.{name}.kind"), "this build has no GStreamer", kind.span());
            return Err(
                error.with_hint("build it with the cargo feature gstreamer, or hand frames on with kind = \"unixfd\"")
            );
        }
        #[cfg(feature = "gstreamer")]
        crate::share::gstreamer::check(text.get_ref(), crate::share::gstreamer::End::Begin)
            .map_err(|found| wrong(description, &key, text, &found))?;
        Ok(Self { text: text.get_ref().clone(), max_in_flight, patience })
    }

    /// Buffers that the pipeline may hold while everybody else goes on; of 64 in all some are others'.
    pub(super) fn holds(&self) -> usize {
        self.max_in_flight.min(56)
    }

    /// What is said where the pipeline does not begin.
    pub(super) fn place(description: &Description, name: &str, found: &Error) -> Error {
        let Some(sink) = description.sinks.get(name) else { return found.clone() };
        let (key, span) = match (found.op(), &sink.pipeline) {
            ("gstreamer", Some(text)) => ("pipeline", text.span()),
            ("format", _) => ("input", sink.input.span()),
            _ => return found.clone().in_context(format!("sink \"{name}\"")),
        };
        description.error(format!("sink.{name}.{key}"), found.detail(), span).with_hint_of(found)
    }

    #[cfg(not(feature = "gstreamer"))]
    pub(super) fn open(&self, _shape: &Shape) -> Result<Box<dyn Writer>> {
        Err(Error::unsupported("gstreamer", "this build has no GStreamer"))
    }

    #[cfg(feature = "gstreamer")]
    pub(super) fn open(&self, shape: &Shape) -> Result<Box<dyn Writer>> {
        Ok(Box::new(writer::ElementsWriter::new(self, shape)))
    }
}

/// What is wrong in a pipeline's text, with the place of the word that is meant.
#[cfg(feature = "gstreamer")]
pub(in super::super) fn wrong(
    description: &Description,
    key: &str,
    text: &super::super::description::Spanned<String>,
    found: &crate::share::gstreamer::Wrong,
) -> Error {
    let whole = text.span();
    let span = found.word.as_deref().and_then(|word| find_word(description.text(whole.clone()), word));
    let span = span.map_or(whole.clone(), |at| whole.start + at.start..whole.start + at.end);
    description.error(key, found.error.detail(), span).with_hint_of(&found.error)
}

/// Where a word stands in a text by itself.
#[cfg(feature = "gstreamer")]
fn find_word(text: &str, word: &str) -> Option<std::ops::Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let mut found = text.match_indices(word).map(|(at, word)| at..at + word.len());
    found.find(|at| !text[..at.start].ends_with(is_part) && !text[at.end..].starts_with(is_part))
}

#[cfg(all(test, feature = "gstreamer"))]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_themselves() {
        assert_eq!(find_word("\"x264enc2 ! x264enc bitrate=1\"", "x264enc"), Some(12..19));
        assert_eq!(find_word("\"x264enc key-int-max=1\"", "key"), None);
        assert_eq!(find_word("\"ä! x264enc\"", "x264enc"), Some(5..12));
    }
}
