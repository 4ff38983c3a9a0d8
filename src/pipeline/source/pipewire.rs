//! A source whose pictures come from a node of PipeWire.
//!
//! In: the source's keys. Out: a reader of its frames. Not here: PipeWire (`share::pipewire`), and what is done with frames
//! (`process`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::fence::{Fence, Timeline};
use crate::share::pipewire::input::{self, Event, Input, Options};

use super::super::description::Rate;
use super::process::{Coming, Incoming, ProcessReader};
use super::unixfd::WAIT_FOR_CAPS;
use super::{BRIEF, Info, Lease, Lent, Stop};

/// Makes a stream and waits until it is linked and known what its frames are; no longer than `patience`, or until `stop` is
/// set.
///
/// # Errors
/// `NotFound` where no daemon answers; `Timeout` where nobody links the stream; `Interrupted`.
pub(super) fn open(options: Options, patience: Option<Duration>, stop: &Stop) -> Result<ProcessReader<Input>> {
    let patience = patience.unwrap_or(if options.reconnect { Duration::MAX } else { WAIT_FOR_CAPS });
    let name = options.target.clone().unwrap_or_else(|| options.node.clone());
    let node = options.node.clone();
    let input = Input::open(Options { timelines: Timeline::find_node(), ..options })?;
    let since = Instant::now();
    let picture = loop {
        if stop.load(Ordering::Relaxed) {
            let detail = format!("{name}: the run was ended before anything was linked to it");
            return Err(Error::new(ErrorKind::Interrupted, "pipewire", detail));
        }
        if let Some(picture) = input.wait_for_picture(BRIEF)? {
            break picture;
        }
        if since.elapsed() >= patience {
            let detail = format!("{name}: nothing is linked to the node \"{node}\" after {patience:?}");
            return Err(Error::new(ErrorKind::Timeout, "pipewire", detail)
                .with_hint("link it (pw-link), start a session manager and the producer, or raise patience"));
        }
    };
    let rate = picture.rate.map(|(numerator, denominator)| Rate { numerator, denominator });
    let info =
        Info { size: picture.size, fourcc: picture.fourcc, color: picture.color, rate, frames: None, still: false };
    Ok(ProcessReader::new(input, name, info))
}

impl Incoming for Input {
    const OP: &'static str = "pipewire";

    fn next(&mut self, timeout: Duration) -> Result<Coming> {
        Ok(match Self::next(self, timeout)? {
            Event::Frame(received) => Coming::Frame(Lent { frame: received.frame, lease: Box::new(received.lease) }),
            Event::End => Coming::End,
            Event::Nothing => Coming::Nothing,
        })
    }
}

impl Lease for input::Lease {
    fn until(&self, fence: Fence) {
        input::Lease::until(self, fence);
    }
}
