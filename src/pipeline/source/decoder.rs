//! A source whose pictures a Video4Linux decoder makes of a coded stream.
//!
//! In: the source's keys. Out: a [`Reader`] that lends the decoder's pictures where they lie, or copies them.
//! Not here: the decoder (`crate::v4l2`).

use std::time::Duration;

use crate::board::AllocatorKind;
use crate::buffer::{Access, Map};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::v4l2::capture::{self, Captured, Event};
use crate::v4l2::{Decoder, decoder};

use super::super::description::{Io, Rate};
use super::{Info, Lent, Reader, lent};

/// A decoder that gives nothing for so long hangs.
const HANG: Duration = Duration::from_secs(10);

/// Decodes.
pub(super) struct DecoderReader {
    // Dropped first: it gives the decoder's buffers back.
    next: Option<Captured>,
    decoder: Decoder,
    info: Info,
    io: Io,
    has_ended: bool,
    ended: Option<String>,
    waited: Duration,
    pictures: u64,
}

impl DecoderReader {
    pub(super) fn new(decoder: decoder::Decoder, io: Io, rate: Option<Rate>) -> Self {
        let capture::Negotiated { size, fourcc, color, .. } = *decoder.negotiated();
        let info = Info { size, fourcc, color, rate, frames: None, still: false };
        let (next, ended) = (None, None);
        Self { next, decoder, info, io, has_ended: false, ended, waited: Duration::ZERO, pictures: 0 }
    }

    fn end(&mut self, why: &str) {
        tracing::warn!(device = %self.decoder.negotiated(), "{why}: the stream ends here");
        (self.has_ended, self.ended) = (true, Some(why.to_owned()));
    }
}

impl Reader for DecoderReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn says_color(&self) -> bool {
        self.decoder.negotiated().says_color
    }

    fn takes_memory(&self) -> bool {
        self.io == Io::Import
    }

    fn prepare(&mut self, device: &Device, kinds: &[AllocatorKind]) -> Result<()> {
        let io = match self.io {
            Io::Export => capture::Io::Export,
            Io::Import => capture::Io::Import,
        };
        self.decoder.start(io, device, kinds)
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        if self.has_ended || self.next.is_some() {
            return Ok(true);
        }
        match self.decoder.next(timeout)? {
            Event::Frame(captured) => {
                self.waited = Duration::ZERO;
                self.pictures += 1;
                self.next = Some(captured);
            }
            Event::Nothing => {
                self.waited += timeout;
                if self.waited < HANG {
                    return Ok(false);
                }
                let detail = format!("{}: no picture for {HANG:?}", self.decoder.negotiated());
                return Err(Error::new(ErrorKind::Timeout, "v4l2", detail));
            }
            Event::Last => self.has_ended = true,
            Event::Changed => self.end("the pictures have another size now (V4L2_EVENT_SOURCE_CHANGE)"),
            Event::Gone => self.end("the device went away"),
        }
        Ok(true)
    }

    fn lends(&self) -> bool {
        true
    }

    fn lend(&mut self) -> Result<Option<Lent>> {
        while !self.ready(HANG)? {}
        Ok(self.next.take().map(|Captured { frame, lease, .. }| Lent { frame, lease: Box::new(lease) }))
    }

    fn copies(&self) -> Option<&'static str> {
        Some("the CPU copies pictures out of the decoder's memory")
    }

    fn read(&mut self, _index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        while !self.ready(HANG)? {}
        let Some(Captured { frame, lease, .. }) = self.next.take() else { return Ok(false) };
        let map = frame.buffer.map(Access::Read)?;
        lent::copy(frame.buffer.layout(), &map, layout, into);
        drop(map);
        drop(lease);
        Ok(true)
    }

    fn ended(&self) -> Option<String> {
        self.ended.clone()
    }

    fn notes(&self) -> Vec<String> {
        let negotiated = self.decoder.negotiated();
        vec![format!("{negotiated}, rows of {} bytes", negotiated.stride_bytes)]
    }
}
