//! A source whose pictures a GStreamer pipeline makes.
//!
//! In: the source's keys. Out: a reader that lends its dma-bufs, or copies what lies in memory of GStreamer's.
//! Not here: GStreamer (`share::gstreamer`).

use std::time::{Duration, Instant};

use crate::buffer::Map;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::layout::Layout;
use crate::share::gstreamer::input::{self, Event, Input, Options, Received};

use super::super::description::Rate;
use super::{Info, Lease, Lent, Reader, Stamp, Stop};

/// How long a pipeline may have no picture, where the description says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes the pictures of a pipeline.
pub(super) struct PipelineReader {
    input: Input,
    info: Info,
    timeout: Duration,
    waited: Duration,
    next: Option<Received>,
    taken: u64,
    first_pts_ns: Option<u64>,
    stamp: Option<Stamp>,
    /// There are no more; why, where that was not to be expected.
    ended: Option<Option<String>>,
}

impl PipelineReader {
    /// Starts the pipeline and waits for its first picture.
    ///
    /// # Errors
    /// As [`Input::open`].
    pub(super) fn open(options: Options, timeout: Option<Duration>, stop: &Stop) -> Result<Self> {
        let input = Input::open(options, stop)?;
        let caps = input.caps();
        let rate = caps.rate.map(|(numerator, denominator)| Rate { numerator, denominator });
        let info = Info { size: caps.size, fourcc: caps.fourcc, color: caps.color, rate, frames: None, still: false };
        Ok(Self {
            input,
            info,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            waited: Duration::ZERO,
            next: None,
            taken: 0,
            first_pts_ns: None,
            stamp: None,
            ended: None,
        })
    }

    fn end(&mut self, why: String) {
        tracing::warn!("GStreamer: {why}: the stream ends here");
        self.ended = Some(Some(why));
    }

    fn take(&mut self) -> Result<Option<Received>> {
        while !self.ready(self.timeout)? {}
        let Some(received) = self.next.take() else { return Ok(None) };
        // A picture without a time is where its number says.
        self.stamp = received.pts_ns.map(|pts_ns| {
            let first = *self.first_pts_ns.get_or_insert(pts_ns);
            Stamp { sequence: self.taken, timestamp_ns: pts_ns.saturating_sub(first), starved: 0 }
        });
        self.taken += 1;
        Ok(Some(received))
    }
}

impl Lease for input::Lease {
    fn until(&self, fence: Fence) {
        input::Lease::until(self, fence);
    }
}

impl Reader for PipelineReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn says_color(&self) -> bool {
        self.input.says_color()
    }

    fn lends(&self) -> bool {
        self.input.lends()
    }

    fn lend(&mut self) -> Result<Option<Lent>> {
        let Some(received) = self.take()? else { return Ok(None) };
        let (frame, lease) = self.input.lend(received)?;
        Ok(Some(Lent { frame, lease: Box::new(lease) }))
    }

    fn copies(&self) -> Option<&'static str> {
        Some("the CPU copies pictures out of GStreamer's memory")
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        if self.ended.is_some() || self.next.is_some() {
            return Ok(true);
        }
        let begun = Instant::now();
        match self.input.next(timeout) {
            Ok(Event::Picture(received)) => {
                self.waited = Duration::ZERO;
                self.next = Some(received);
            }
            Ok(Event::Nothing) => {
                self.waited += begun.elapsed();
                if self.waited < self.timeout {
                    return Ok(false);
                }
                let why = format!("no picture for {:?}", self.timeout);
                if self.taken == 0 {
                    return Err(Error::new(crate::error::ErrorKind::Timeout, "gstreamer", why)
                        .with_hint("GST_DEBUG=3 shows what its elements wait for; or raise timeout"));
                }
                self.end(why);
            }
            Ok(Event::Changed(change)) => self.end(change),
            Ok(Event::End) => self.ended = Some(None),
            // A camera that went away; a file that breaks off is an error.
            Err(error) if self.input.is_live() && self.taken > 0 => self.end(error.detail().to_owned()),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn read(&mut self, _index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        let Some(received) = self.take()? else { return Ok(false) };
        received.copy_into(layout, into)?;
        Ok(true)
    }

    fn is_live(&self) -> bool {
        self.input.is_live()
    }

    fn begin(&mut self) -> Result<()> {
        (self.next, self.stamp, self.first_pts_ns) = (None, None, None);
        (self.taken, self.waited) = (0, Duration::ZERO);
        self.input.begin();
        Ok(())
    }

    fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    fn ended(&self) -> Option<String> {
        self.ended.clone().flatten()
    }

    fn notes(&self) -> Vec<String> {
        self.input.warnings()
    }
}
