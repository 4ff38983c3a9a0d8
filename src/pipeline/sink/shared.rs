//! Keys that sinks have in common that hand memory to other processes, and whose they are.
//!
//! In: a sink of the description. Out: numbers; an error where a key is another kind's. Not here: what only one kind has.

use std::time::Duration;

use crate::error::Result;
use crate::share::unixfd::server::WhenFull;

use super::super::description::{self, Description, Sink, SinkKind, Spanned};

/// How long the first frame waits for its clients.
pub(super) const WAIT_FOR_CLIENTS: Duration = Duration::from_secs(60);
/// How long clients have to take and give back the last frames.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// A day: longer is a mistake.
const LONGEST_S: f64 = 86_400.0;

/// A sink's keys.
#[derive(Clone, Copy)]
pub(super) struct SharedKeys<'a> {
    pub(super) description: &'a Description,
    pub(super) name: &'a str,
    pub(super) sink: &'a Sink,
}

impl SharedKeys<'_> {
    fn key(&self, key: &str) -> String {
        format!("sink.{}.{key}", self.name)
    }

    pub(super) fn when_full(&self) -> WhenFull {
        match self.sink.when_full.as_ref().map_or_else(Default::default, |given| *given.get_ref()) {
            description::WhenFull::Block => WhenFull::Wait,
            description::WhenFull::DropOldest => WhenFull::DropOldest,
            description::WhenFull::DropNewest => WhenFull::DropNewest,
        }
    }

    pub(super) fn count(&self, name: &str, given: &Option<Spanned<u64>>, default: usize) -> Result<usize> {
        let Some(given) = given else { return Ok(default) };
        match usize::try_from(*given.get_ref()) {
            Ok(count @ 1..=64) => Ok(count),
            _ => Err(self.description.error(self.key(name), format!("{given}: 1 to 64 are possible"), given.span())),
        }
    }

    pub(super) fn patience(&self, default: Duration) -> Result<Duration> {
        patience(self.description, &self.key("patience"), &self.sink.patience).map(|given| given.unwrap_or(default))
    }

    /// Fails where there is a key that only other kinds have.
    pub(super) fn check_kind(&self, kind: SinkKind) -> Result<()> {
        use SinkKind::{Gstreamer, Pipewire, Unixfd};
        let sink = self.sink;
        let given: [(&str, _, &[SinkKind]); 10] = [
            ("socket", sink.socket.as_ref().map(Spanned::span), &[Unixfd, Pipewire]),
            ("mode", sink.mode.as_ref().map(Spanned::span), &[Unixfd]),
            ("group", sink.group.as_ref().map(Spanned::span), &[Unixfd]),
            ("allow", sink.allow.first().map(Spanned::span), &[Unixfd]),
            ("node", sink.node.as_ref().map(Spanned::span), &[Pipewire]),
            ("pipeline", sink.pipeline.as_ref().map(Spanned::span), &[Gstreamer]),
            ("max-in-flight", sink.max_in_flight.as_ref().map(Spanned::span), &[Unixfd, Pipewire, Gstreamer]),
            ("max-clients", sink.max_clients.as_ref().map(Spanned::span), &[Unixfd]),
            ("patience", sink.patience.as_ref().map(Spanned::span), &[Unixfd, Pipewire, Gstreamer]),
            ("wait-for", sink.wait_for.as_ref().map(Spanned::span), &[Unixfd, Pipewire]),
        ];
        for (key, span, kinds) in given {
            let Some(span) = span.filter(|_| !kinds.contains(&kind)) else { continue };
            let name = match kinds.first() {
                Some(Gstreamer) => "gstreamer",
                Some(Pipewire) => "pipewire",
                _ => "unixfd",
            };
            let detail = format!("this key is for kind = \"{name}\"");
            let error = self.description.error(self.key(key), detail, span);
            return Err(match kind {
                Unixfd | Pipewire | Gstreamer => error.with_hint("remove it"),
                _ => error.with_hint(format!("add kind = \"{name}\" and remove `file`")),
            });
        }
        Ok(())
    }
}

/// A time in seconds.
pub(in super::super) fn patience(
    description: &Description,
    key: &str,
    given: &Option<Spanned<f64>>,
) -> Result<Option<Duration>> {
    let Some(given) = given else { return Ok(None) };
    let seconds = *given.get_ref();
    if seconds > 0.0 && seconds <= LONGEST_S {
        return Ok(Some(Duration::from_secs_f64(seconds)));
    }
    let detail = format!("{seconds}: more than 0 and up to {LONGEST_S} seconds are possible");
    Err(description.error(key, detail, given.span()))
}
