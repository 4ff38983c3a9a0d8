//! A source that is described and not opened: what comes once, or from others, while a pipeline is only looked at.
//!
//! In: what its keys say. Out: a [`Reader`] that has no pictures.
//! Not here: opening (`keys`).

use crate::buffer::Map;
use crate::color::Color;
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::{Layout, Size};

use super::{Info, Reader};

/// Stands for a source.
pub struct Unread {
    info: Info,
    note: String,
}

impl Unread {
    /// `what` it is, for people. A size and a format that nobody knows yet are taken to be 1280x720 and `YUV420`.
    pub fn new(what: &str, size: Option<Size>, fourcc: Option<Fourcc>) -> Self {
        let mut note = format!("{what} is not read here");
        if size.is_none() || fourcc.is_none() {
            note.push_str(": its size and format are not known, what depends on them is not checked");
        }
        let (size, fourcc) = (size.unwrap_or(Size::new(1280, 720)), fourcc.unwrap_or(Fourcc::YUV420));
        let is_yuv = fourcc.format().is_ok_and(crate::format::Format::is_yuv);
        let color = if is_yuv { Color::guess(size) } else { Color::SRGB };
        Self { info: Info { size, fourcc, color, rate: None, frames: None, still: false }, note }
    }
}

impl Reader for Unread {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&mut self, _index: u64, _layout: &Layout, _into: &mut Map<'_>) -> Result<bool> {
        Err(Error::failed("read", "a source that was only looked at has no pictures"))
    }

    fn notes(&self) -> Vec<String> {
        vec![self.note.clone()]
    }
}
