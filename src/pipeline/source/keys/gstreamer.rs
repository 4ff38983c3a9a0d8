//! The keys of a source that is a GStreamer pipeline.
//!
//! In: one source of a description. Out: its reader; errors with the place, in the pipeline's text too.
//! Not here: GStreamer (`share::gstreamer`).

use crate::error::Result;

use super::super::{Reader, name_span};
use super::{Given, Keys, Spanned};

#[cfg(feature = "gstreamer")]
use super::super::Opening;
#[cfg(feature = "gstreamer")]
use super::Unread;
#[cfg(feature = "gstreamer")]
use crate::error::ErrorKind;

impl Keys<'_> {
    /// The pictures of a pipeline.
    pub(super) fn gstreamer(&self) -> Result<Box<dyn Reader>> {
        let source = self.source;
        let [device, input, io, buffers, _, controls, codec] = self.of_devices();
        self.refuse(&[device, input, io, buffers, controls, codec], "this key is for devices")?;
        let others = [
            ("file", source.file.as_ref().map(Spanned::span)),
            ("pattern", source.pattern.as_ref().map(Spanned::span)),
            ("socket", source.socket.as_ref().map(Spanned::span)),
            ("node", source.node.as_ref().map(Spanned::span)),
            ("allow", source.allow.first().map(Spanned::span)),
            self.size(),
            ("frames", source.frames.as_ref().map(Spanned::span)),
        ];
        for given in [&self.of_raw_files() as &Given, &others, &self.of_images()] {
            self.refuse(given, "the pipeline's text says what its pictures are")?;
        }
        let place = name_span(self.description, self.name);
        if let Some(wrong) = self.part() {
            return Err(self.error(wrong, "pictures of a pipeline come once", place));
        }
        if source.reconnect {
            return Err(self.error("reconnect", "a pipeline that has ended does not begin again", place));
        }
        let Some(text) = &source.pipeline else {
            let error = self.error("pipeline", "missing: this kind takes the pictures of a pipeline", place);
            return Err(error.with_hint("add pipeline = \"filesrc location=clip.mp4 ! decodebin\""));
        };
        let (patience, timeout) = (self.patience()?, self.timeout()?);
        #[cfg(not(feature = "gstreamer"))]
        {
            let _ = (text, patience, timeout);
            let place = source.kind.as_ref().map_or(0..0, |kind| kind.span());
            let error = self.error("kind", "this build has no GStreamer", place);
            Err(error.with_hint("build it with the cargo feature gstreamer, or take frames with kind = \"unixfd\""))
        }
        #[cfg(feature = "gstreamer")]
        {
            use crate::share::gstreamer as share;
            let key = format!("source.{}.pipeline", self.name);
            let wrong = |wrong| super::super::super::sink::gstreamer::wrong(self.description, &key, text, &wrong);
            if let Opening::Look = self.opening {
                share::check(text.get_ref(), share::End::Finish).map_err(wrong)?;
                return Ok(Box::new(Unread::new("a pipeline of GStreamer", None, None)));
            }
            let options = share::input::Options::new(text.get_ref().clone());
            let options = share::input::Options { patience: patience.unwrap_or(options.patience), ..options };
            // Once for the place of what is wrong in the text, which costs next to nothing.
            share::check(text.get_ref(), share::End::Finish).map_err(wrong)?;
            let reader = super::super::gstreamer::PipelineReader::open(options, timeout, self.stop());
            Ok(Box::new(reader.map_err(|error| match error.kind() {
                ErrorKind::Interrupted => error,
                _ => self.error("pipeline", error.detail(), text.span()).with_hint_of(&error),
            })?))
        }
    }
}
