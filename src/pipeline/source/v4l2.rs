//! A source whose pictures come from a camera or grabber.
//!
//! In: the source's keys. Out: a [`Reader`] that lends the device's pictures where they lie, or copies them.
//! Not here: the device (`crate::v4l2`).

use std::time::{Duration, Instant};

use crate::board::AllocatorKind;
use crate::buffer::{Access, Map};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::Fence;
use crate::frame::Frame;
use crate::layout::Layout;
use crate::v4l2::capture::{self, Capture, Captured, Event, Negotiated};

use super::super::description::{Io, Rate};
use super::{Info, Lease, Lent, Reader, Stamp, lent};

/// Pictures between device and run, where the description says nothing: two that the device fills, one that waits, one
/// that the GPU reads, and two for when the run is late.
pub(super) const DEFAULT_BUFFERS: u32 = 6;
/// How long a device may give nothing.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a device is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) io: Io,
    pub(super) buffers: u32,
    pub(super) timeout: Duration,
}

/// Captures.
pub(super) struct CaptureReader {
    // Dropped first: it gives the device's buffers back.
    next: Option<Captured>,
    capture: Option<Capture>,
    negotiated: Negotiated,
    info: Info,
    options: Options,
    ended: Option<String>,
    /// Time spent waiting since the last picture.
    waited: Duration,
    stamp: Option<Stamp>,
}

impl CaptureReader {
    pub(super) fn new(negotiated: Negotiated, options: Options) -> Self {
        let Negotiated { size, fourcc, color, rate, .. } = negotiated;
        let rate = rate.map(|(numerator, denominator)| Rate { numerator, denominator });
        let info = Info { size, fourcc, color, rate, frames: None, still: false };
        let (waited, stamp) = (Duration::ZERO, None);
        Self { next: None, capture: None, negotiated, info, options, ended: None, waited, stamp }
    }

    /// The stream is over; before the first picture that is an error.
    fn end(&mut self, kind: ErrorKind, why: String) -> Result<()> {
        if self.stamp.is_none() {
            let error = Error::new(kind, "v4l2", format!("{}: {why}, before the first picture", self.negotiated));
            return Err(error.with_hint("`v4l2-ctl --stream-mmap` shows whether the device gives pictures at all"));
        }
        tracing::warn!(device = %self.negotiated, "{why}: the stream ends here");
        self.ended = Some(why);
        Ok(())
    }

    fn take(&mut self) -> Option<Captured> {
        let captured = self.next.take()?;
        let Captured { frame: Frame { sequence, timestamp_ns, .. }, starved, .. } = captured;
        self.stamp = Some(Stamp { sequence, timestamp_ns, starved });
        Some(captured)
    }
}

impl Lease for capture::Lease {
    fn until(&self, fence: Fence) {
        capture::Lease::until(self, fence);
    }
}

impl Reader for CaptureReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn says_color(&self) -> bool {
        self.negotiated.says_color
    }

    fn takes_memory(&self) -> bool {
        self.options.io == Io::Import
    }

    fn prepare(&mut self, device: &Device, kinds: &[AllocatorKind]) -> Result<()> {
        let io = match self.options.io {
            Io::Export => capture::Io::Export,
            Io::Import => capture::Io::Import,
        };
        self.capture = Some(Capture::start(self.negotiated.clone(), io, self.options.buffers, device, kinds)?);
        Ok(())
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        if self.ended.is_some() || self.next.is_some() {
            return Ok(true);
        }
        let Some(capture) = &mut self.capture else {
            return Err(Error::failed("v4l2", "the device was not started"));
        };
        let begun = Instant::now();
        match capture.next(timeout)? {
            Event::Frame(captured) => {
                self.waited = Duration::ZERO;
                self.next = Some(captured);
            }
            Event::Nothing => {
                self.waited += begun.elapsed();
                if self.waited < self.options.timeout {
                    return Ok(false);
                }
                self.end(ErrorKind::Timeout, format!("no picture for {:?}", self.options.timeout))?;
            }
            Event::Changed => {
                self.end(ErrorKind::Failed, "its signal has another size now (V4L2_EVENT_SOURCE_CHANGE)".into())?;
            }
            // Of codecs only.
            Event::Last => self.ended = Some("the stream is over".into()),
            Event::Gone => self.end(ErrorKind::NotFound, "the device went away".into())?,
        }
        Ok(true)
    }

    fn lends(&self) -> bool {
        true
    }

    fn lend(&mut self) -> Result<Option<Lent>> {
        while !self.ready(self.options.timeout)? {}
        Ok(self.take().map(|Captured { frame, lease, .. }| Lent { frame, lease: Box::new(lease) }))
    }

    fn copies(&self) -> Option<&'static str> {
        Some("the CPU copies pictures out of the device's memory")
    }

    fn read(&mut self, _index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        while !self.ready(self.options.timeout)? {}
        let Some(Captured { frame, lease, .. }) = self.take() else { return Ok(false) };
        let map = frame.buffer.map(Access::Read)?;
        lent::copy(frame.buffer.layout(), &map, layout, into);
        drop(map);
        drop(lease);
        Ok(true)
    }

    fn is_live(&self) -> bool {
        true
    }

    fn begin(&mut self) -> Result<()> {
        self.next = None;
        self.stamp = None;
        self.waited = Duration::ZERO;
        self.capture.as_mut().map_or(Ok(()), Capture::begin)
    }

    fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    fn ended(&self) -> Option<String> {
        self.ended.clone()
    }

    fn notes(&self) -> Vec<String> {
        vec![format!("{}, rows of {} bytes", self.negotiated, self.negotiated.stride_bytes)]
    }
}
