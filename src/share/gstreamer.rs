//! Frames to and from pipelines of GStreamer, which run in this process.
//!
//! In: the text of a pipeline, as `gst-launch-1.0` takes it, and frames. Out: frames in its elements, or those that it makes.
//! Not here: what an element does with them.
//!
//! [`Output`] stands where the text begins: its frames go into the first element. [`Input`] stands where the text ends.
//! Memory is shared in both directions where it is a dma-buf, and goes back when nobody has it any more. GStreamer knows no
//! fences: they are waited for at the border.
//!
//! # References
//! <https://gstreamer.freedesktop.org/documentation/additional/design/dmabuf.html>

use ::gstreamer as gst;

use crate::error::{Error, Result};

mod chain;
pub mod input;
mod memory;
pub mod output;
mod words;

pub use input::Input;
pub use output::Output;

/// The name of this border in errors.
const OP: &str = "gstreamer";

/// Which end of a text is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Frames go in where it begins.
    Begin,
    /// Frames come out where it ends.
    Finish,
}

/// What is wrong in a text, and the word of it that is meant, where it is one.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// In words.
    pub error: Error,
    /// As it stands in the text.
    pub word: Option<String>,
}

impl From<Wrong> for Error {
    fn from(wrong: Wrong) -> Self {
        wrong.error
    }
}

/// Makes the elements of a text and lets them go: nothing is opened.
///
/// # Errors
/// What is wrong: the text, an element or a property that does not exist, elements that do not fit together.
pub fn check(text: &str, end: End) -> std::result::Result<(), Wrong> {
    chain::Chain::parse(text, end).map(|_| ())
}

/// Loads the library.
fn init() -> Result<()> {
    gst::init().map_err(|error| {
        Error::failed(OP, format!("gst_init: {error}")).with_hint("is GStreamer installed whole? try gst-inspect-1.0")
    })?;
    crate::sys::gstreamer::register_video_meta();
    Ok(())
}

/// The running library is this version or later.
fn is_at_least(minor: u32) -> bool {
    let (major, running, ..) = gst::version();
    (major, running) >= (1, minor)
}

/// The same error as one of this border.
fn ours(error: Error) -> Error {
    Error::new(error.kind(), OP, error.detail()).with_hint_of(&error)
}
