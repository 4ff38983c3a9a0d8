//! A source whose pictures come from another process, in GStreamer's unixfd protocol.
//!
//! In: the source's keys. Out: a reader of its frames. Not here: the protocol (`share::unixfd`), and what is done with
//! frames (`process`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::fence::{Fence, Timeline};
use crate::share::unixfd::Address;
use crate::share::unixfd::client::{self, Client, Event, Options};

use super::super::description::Rate;
use super::process::{Coming, Incoming, ProcessReader};
use super::{BRIEF, Info, Lease, Lent, Stop};

/// How long the producer has to say what its frames are, where the description says nothing.
pub(super) const WAIT_FOR_CAPS: Duration = Duration::from_secs(10);

/// Connects and waits until the producer has said what its frames are; no longer than `patience`, or until `stop` is set.
///
/// # Errors
/// `NotFound` where nobody serves the socket; `Timeout` where the producer says nothing; `Interrupted`.
pub(super) fn open(
    address: &Address,
    options: Options,
    patience: Option<Duration>,
    stop: &Stop,
) -> Result<ProcessReader<Client>> {
    let patience = patience.unwrap_or(if options.reconnect { Duration::MAX } else { WAIT_FOR_CAPS });
    let mut client = Client::connect(address, Options { timelines: Timeline::find_node(), ..options })?;
    let since = Instant::now();
    let mut known = false;
    while !known && !client.has_ended() && since.elapsed() < patience {
        if stop.load(Ordering::Relaxed) {
            let detail = format!("{address}: the run was ended before the producer had said what its frames are");
            return Err(Error::new(ErrorKind::Interrupted, "unixfd", detail));
        }
        known = client.wait_for_caps(Some(BRIEF))?;
    }
    let Some(caps) = client.caps().copied().filter(|_| known) else {
        let detail = match client.has_ended() {
            true => format!("{address}: the stream ended before the producer had said what its frames are"),
            false => format!("{address}: the producer does not say what its frames are, after {patience:?}"),
        };
        return Err(Error::new(ErrorKind::Timeout, "unixfd", detail)
            .with_hint("start the producer's pipeline, or raise patience"));
    };
    let rate = caps.rate.map(|(numerator, denominator)| Rate { numerator, denominator });
    let info = Info { size: caps.size, fourcc: caps.fourcc, color: caps.color, rate, frames: None, still: false };
    Ok(ProcessReader::new(client, address.to_string(), info))
}

impl Incoming for Client {
    const OP: &'static str = "unixfd";

    fn next(&mut self, timeout: Duration) -> Result<Coming> {
        Ok(match Self::next(self, Some(timeout))? {
            Event::Frame(received) => Coming::Frame(Lent { frame: received.frame, lease: Box::new(received.lease) }),
            Event::End => Coming::End,
            Event::Nothing => Coming::Nothing,
        })
    }
}

impl Lease for client::Lease {
    fn until(&self, fence: Fence) {
        client::Lease::until(self, fence);
    }
}
