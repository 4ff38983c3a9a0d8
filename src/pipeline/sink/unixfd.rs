//! A sink that hands its pictures' memory to other processes, in GStreamer's unixfd protocol.
//!
//! In: the sink's keys, then pictures before anything maps them. Out: frames for every client.
//! Not here: the protocol (`share::unixfd`).

use crate::color::Color;
use crate::error::{Error, Result};
use crate::fence::Timeline;
use crate::frame::Frame;
use crate::share::unixfd::address::{self, Address, Allow};
use crate::share::unixfd::server::{Options, Server};

use super::super::description::{self, Description, Rate};
use super::shared::{LINGER, SharedKeys, WAIT_FOR_CLIENTS};
use super::{Handover, Picture, Shape, Writer, Written};

/// Clients at one time, where the description says nothing; each may hold buffers.
const DEFAULT_MAX_CLIENTS: usize = 4;
/// The keys of the sink.
#[derive(Clone, Debug)]
pub struct Share {
    address: Address,
    options: Options,
    /// Clients that the first frame waits for.
    wait_for: usize,
}

impl Share {
    /// Reads the keys of sink `name`, whose kind is `unixfd`.
    ///
    /// # Errors
    /// `Config` with the place.
    pub fn new(description: &Description, name: &str, sink: &description::Sink) -> Result<Self> {
        let key = |key: &str| format!("sink.{name}.{key}");
        let place = description.sinks.get_key_value(name).map_or(0..0, |(name, _)| name.span());
        let Some(socket) = &sink.socket else {
            let error = description.error(key("socket"), "missing: this kind serves frames on a socket", place);
            return Err(
                error.with_hint("add socket = \"/run/user/1000/camera.sock\", or \"@camera\" for an abstract name")
            );
        };
        let wrong = |key: String, span, error: Error| {
            let ours = description.error(key, error.detail(), span);
            match error.hint() {
                Some(hint) => ours.with_hint(hint),
                None => ours,
            }
        };
        let address = socket.get_ref().parse().map_err(|error| wrong(key("socket"), socket.span(), error))?;
        let mut options = Options { stream: name.to_owned(), max_clients: DEFAULT_MAX_CLIENTS, ..Options::default() };
        let keys = SharedKeys { description, name, sink };
        options.when_full = keys.when_full();
        options.patience = keys.patience(options.patience)?;
        if let Some(mode) = &sink.mode {
            options.mode = *mode.get_ref();
            if options.mode > 0o777 {
                let error =
                    description.error(key("mode"), format!("{mode}: permission bits are 0 to 0o777"), mode.span());
                return Err(error.with_hint("octal numbers begin with 0o: mode = 0o660"));
            }
        }
        if let Some(group) = &sink.group {
            options.group = Some(address::group(group.get_ref()).ok_or_else(|| {
                description.error(key("group"), format!("\"{group}\": there is no such group"), group.span())
            })?);
        }
        options.allow = allow(description, &key("allow"), &sink.allow)?;
        options.max_in_flight = keys.count("max-in-flight", &sink.max_in_flight, options.max_in_flight)?;
        options.max_clients = keys.count("max-clients", &sink.max_clients, options.max_clients)?;
        let wait_for = keys.count("wait-for", &sink.wait_for, 0)?;
        if let Some(given) = sink.wait_for.as_ref().filter(|_| wait_for > options.max_clients) {
            let detail = format!("{given}: at most {} clients are served", options.max_clients);
            return Err(description.error(key("wait-for"), detail, given.span()).with_hint("raise max-clients"));
        }
        Ok(Self { address, options, wait_for })
    }

    /// Buffers that clients may hold while everybody else goes on.
    pub(super) fn holds(&self) -> usize {
        self.options.max_in_flight * self.options.max_clients
    }

    /// Where it serves.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn open(&self, shape: &Shape) -> Result<Box<dyn Writer>> {
        let rate = Some((shape.rate.numerator, shape.rate.denominator));
        // Fences are points of a timeline where both ends have a node for that.
        let timelines = Timeline::find_node();
        let server = Server::bind(&self.address, Options { rate, timelines, ..self.options.clone() })?;
        tracing::info!(socket = %self.address, "serving");
        Ok(Box::new(ShareWriter {
            server: Some(server),
            wait_for: self.wait_for,
            rate: shape.rate,
            color: shape.color,
            written: Written::default(),
        }))
    }
}

/// Reads an allow list.
pub(in super::super) fn allow(
    description: &Description,
    key: &str,
    list: &[description::Spanned<String>],
) -> Result<Vec<Allow>> {
    let read = |entry: &description::Spanned<String>| {
        entry.get_ref().parse::<Allow>().map_err(|error| {
            let ours = description.error(key, error.detail(), entry.span());
            ours.with_hint(error.hint().unwrap_or("numbers do as well: \"user:1000\"").to_owned())
        })
    };
    list.iter().map(read).collect()
}

struct ShareWriter {
    server: Option<Server>,
    wait_for: usize,
    rate: Rate,
    color: Color,
    written: Written,
}

impl Writer for ShareWriter {
    fn write(&mut self, _picture: &Picture<'_>) -> Result<()> {
        Err(Error::failed("unixfd", "this sink takes memory, not pixels"))
    }

    fn takes_memory(&self) -> bool {
        true
    }

    fn take(&mut self, handover: Handover) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        if self.wait_for > 0 {
            server.wait_for_clients(self.wait_for, WAIT_FOR_CLIENTS)?;
            self.wait_for = 0;
        }
        let Handover { frame, buffer, fence, captured_ns, keep } = handover;
        let timestamp_ns = captured_ns.unwrap_or_else(|| self.rate.timestamp_ns(frame));
        let frame = Frame { color: self.color, sequence: frame, timestamp_ns, ..Frame::new(buffer, fence) };
        server.send(crate::share::unixfd::server::Outgoing { keep: Some(keep), ..frame.into() })?;
        self.written.pictures += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.finish(LINGER);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Written> {
        self.end()?;
        Ok(self.written)
    }
}
