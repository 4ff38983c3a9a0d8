//! `--metrics-listen ADDRESS`: what an endless run does, over HTTP, when Prometheus asks.
//!
//! In: `GET /metrics`. Out: the report of the run so far, and the connection is closed. Nothing else is served.
//! Not here: the format (`text`).
//!
//! One thread serves all clients and never waits for one of them; the drawing thread knows nothing of them. What a client
//! can make this thread hold is bounded: a request has an end after [`MAX_HEAD_BYTES`], every step has a time limit, and
//! there are at most [`MAX_CLIENTS`].

use std::io::{ErrorKind as Io, PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use darkframe::error::{Error, Result};
use darkframe::pipeline::runner::live::Live;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::control::Socket;
use super::{PATIENCE, text};

/// A longer request is none.
const MAX_HEAD_BYTES: usize = 8192;
/// Lines of a request's head.
const MAX_HEADERS: usize = 64;
/// Clients at a time.
const MAX_CLIENTS: usize = 16;
/// A client has so long for its request, and so long to take its answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How long the end of a client is waited for that has its answer: closing at once could take it away again.
const LINGER: Duration = Duration::from_secs(1);
/// Between two turns: a client that never stops asking gets no processor of its own.
const PAUSE: Duration = Duration::from_millis(2);

const OPTION: &str = "--metrics-listen";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of this machine; 127.0.0.1 where only a port is given.
    Tcp(SocketAddr),
    /// A socket, made at this path.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.contains('/').then_some(text)) {
            return match path.is_empty() {
                true => Err("there is no path behind unix:".into()),
                false => Ok(Self::Unix(path.into())),
            };
        }
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(Self::Tcp(local(port)));
        }
        if let Some(Ok(port)) = text.strip_prefix("localhost:").map(str::parse) {
            return Ok(Self::Tcp(local(port)));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            "expected PORT (on 127.0.0.1), ADDRESS:PORT with a number for an address ([::1]:9101), or unix:PATH".into()
        })
    }
}

/// The thread that serves. Dropped, it ends.
pub struct Listener {
    wake: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
    /// Where it can be asked.
    place: String,
    socket: Option<Socket>,
}

impl Listener {
    /// Opens the address and serves it.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2): somebody listens there, the address is not this machine's.
    pub fn start(address: &Address, live: Arc<Live>) -> Result<Self> {
        let (ended, wake) = std::io::pipe().map_err(|error| Error::from_io("pipe", OPTION, error))?;
        let (socket, door, place) = match address {
            Address::Unix(path) => {
                let (socket, listener) = Socket::listen(path, OPTION)?;
                (Some(socket), Door::Unix(listener), format!("{} (/metrics)", path.display()))
            }
            Address::Tcp(address) => {
                let (listener, address) = listen(*address)?;
                (None, Door::Tcp(listener), format!("http://{address}/metrics"))
            }
        };
        let serve = move || serve(&ended, &door, &live);
        let thread = std::thread::Builder::new().name("metrics-http".into()).spawn(serve);
        let thread = thread.map_err(|error| Error::from_io("thread", OPTION, error))?;
        Ok(Self { wake: Some(wake), thread: Some(thread), place, socket })
    }

    /// Where it can be asked.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
        drop(self.socket.take());
    }
}

/// Listens, and says at which address: port 0 is a free one.
fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |error: std::io::Error| {
        let kind = error.kind();
        let error = Error::from_io("bind", format!("{OPTION} {address}"), error);
        match kind {
            Io::AddrInUse => error.with_hint("another program listens there: name another port, or 0 for a free one"),
            Io::AddrNotAvailable => error.with_hint("it is no address of this machine: 127.0.0.1, [::1], 0.0.0.0"),
            Io::PermissionDenied => error.with_hint("ports below 1024 are root's: name another one"),
            _ => error,
        }
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Door {
    fn accept(&self) -> Option<Stream> {
        let stream = match self {
            Self::Tcp(listener) => Stream::Tcp(listener.accept().ok()?.0),
            Self::Unix(listener) => Stream::Unix(listener.accept().ok()?.0),
        };
        let prepared = match &stream {
            Stream::Tcp(stream) => stream.set_nonblocking(true),
            Stream::Unix(stream) => stream.set_nonblocking(true),
        };
        prepared.ok().map(|()| stream)
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn end_writing(&self) {
        // Whoever has gone already needs no end.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// What a client is at.
enum State {
    /// It sends its request; so much has come.
    Asks(Vec<u8>),
    /// Its request for the metrics is whole; the flag leaves the body out.
    Waits { head_only: bool },
    /// It takes its answer.
    Takes(Vec<u8>),
    /// It has its answer, and is to close.
    Closes,
    /// It is gone.
    Gone,
}

struct Client {
    stream: Stream,
    state: State,
    /// The step that it is at must be done.
    until: Instant,
}

impl Client {
    fn new(stream: Stream) -> Self {
        Self { stream, state: State::Asks(Vec::new()), until: Instant::now() + LIMIT }
    }

    fn waits_for(&self) -> PollFlags {
        match self.state {
            State::Asks(_) | State::Closes => PollFlags::POLLIN,
            State::Takes(_) => PollFlags::POLLOUT,
            State::Waits { .. } | State::Gone => PollFlags::empty(),
        }
    }

    /// The system says that something can be done.
    fn go_on(&mut self) {
        match &mut self.state {
            State::Asks(head) => {
                let mut bytes = [0; 2048];
                match self.stream.read(&mut bytes) {
                    Ok(0) => self.state = State::Gone,
                    Ok(count) => {
                        head.extend(&bytes[..count]);
                        match request(head) {
                            Request::Unfinished => {}
                            Request::Metrics { head_only } => self.state = State::Waits { head_only },
                            Request::Refused(status, more) => self.answer(status, more, status.as_bytes(), false),
                        }
                    }
                    Err(error) if matches!(error.kind(), Io::WouldBlock | Io::Interrupted) => {}
                    Err(_) => self.state = State::Gone,
                }
            }
            State::Takes(answer) => match self.stream.write(answer) {
                Ok(count) => {
                    answer.drain(..count);
                    if answer.is_empty() {
                        self.stream.end_writing();
                        (self.state, self.until) = (State::Closes, Instant::now() + LINGER);
                    }
                }
                Err(error) if matches!(error.kind(), Io::WouldBlock | Io::Interrupted) => {}
                Err(_) => self.state = State::Gone,
            },
            // What it still sends is not for us.
            State::Closes => match self.stream.read(&mut [0; 2048]) {
                Ok(0) => self.state = State::Gone,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), Io::WouldBlock | Io::Interrupted) => {}
                Err(_) => self.state = State::Gone,
            },
            State::Waits { .. } | State::Gone => {}
        }
    }

    fn answer(&mut self, status: &str, more: &str, body: &[u8], head_only: bool) {
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        if !head_only {
            answer.extend(body);
        }
        (self.state, self.until) = (State::Takes(answer), Instant::now() + LIMIT);
    }

    /// Its time is over.
    fn expire(&mut self) {
        match &self.state {
            State::Asks(head) if !head.is_empty() => {
                self.answer("408 Request Timeout", "", b"408 Request Timeout", false);
            }
            _ => self.state = State::Gone,
        }
    }
}

/// What has come of a request.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Unfinished,
    Metrics {
        head_only: bool,
    },
    /// Status, and lines for the answer's head.
    Refused(&'static str, &'static str),
}

fn request(head: &[u8]) -> Request {
    let too_large = Request::Refused("431 Request Header Fields Too Large", "");
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD_BYTES => {}
        Ok(httparse::Status::Partial) if head.len() < MAX_HEAD_BYTES => return Request::Unfinished,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return too_large,
        Err(httparse::Error::Version) => return Request::Refused("505 HTTP Version Not Supported", ""),
        Err(_) => return Request::Refused("400 Bad Request", ""),
    }
    let path = request.path.unwrap_or_default();
    match (request.method, path.split('?').next()) {
        (_, path) if path != Some("/metrics") => Request::Refused("404 Not Found: try /metrics", ""),
        (Some("GET"), _) => Request::Metrics { head_only: false },
        (Some("HEAD"), _) => Request::Metrics { head_only: true },
        _ => Request::Refused("405 Method Not Allowed", "Allow: GET, HEAD\r\n"),
    }
}

/// Serves until the other end of `ended` is dropped.
fn serve(ended: &PipeReader, door: &Door, live: &Live) {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN), PollFd::new(door.as_fd(), PollFlags::POLLIN)];
        fds.extend(clients.iter().map(|client| PollFd::new(client.stream.as_fd(), client.waits_for())));
        let left = clients.iter().map(|client| client.until.saturating_duration_since(Instant::now())).min();
        // A millisecond more: poll rounds down.
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return tracing::error!(%errno, "poll: nobody can ask for metrics any more"),
        }
        let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        if is_ready(&fds[0]) {
            return;
        }
        let is_called = is_ready(&fds[1]);
        let ready: Vec<bool> = fds[2..].iter().map(is_ready).collect();
        for (client, ready) in clients.iter_mut().zip(ready) {
            if ready {
                client.go_on();
            } else if client.until <= Instant::now() {
                client.expire();
            }
        }
        if clients.iter().any(|client| matches!(client.state, State::Waits { .. })) {
            // One look at the run for all who ask.
            let report = live.report(PATIENCE).unwrap_or_default();
            let text = text(&report, live.reloads());
            for client in &mut clients {
                if let State::Waits { head_only } = client.state {
                    client.answer("200 OK", "", text.as_bytes(), head_only);
                }
            }
        }
        clients.retain(|client| !matches!(client.state, State::Gone));
        if is_called && let Some(stream) = door.accept() {
            let mut client = Client::new(stream);
            if clients.len() >= MAX_CLIENTS {
                // It gets its answer where that fits into the socket at once, and is not kept.
                client.answer("503 Service Unavailable", "Retry-After: 1\r\n", b"too many clients at a time", false);
                client.go_on();
            } else {
                clients.push(client);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_local_unless_it_says_otherwise() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        for (given, expected) in [
            ("9101", tcp("127.0.0.1:9101")),
            (":9101", tcp("127.0.0.1:9101")),
            ("localhost:0", tcp("127.0.0.1:0")),
            ("0.0.0.0:9101", tcp("0.0.0.0:9101")),
            ("[::1]:9101", tcp("[::1]:9101")),
            ("unix:df.sock", Address::Unix("df.sock".into())),
            ("./df.sock", Address::Unix("./df.sock".into())),
        ] {
            assert_eq!(given.parse(), Ok(expected), "{given}");
        }
        for wrong in ["", "unix:", "example.org:80", "1.2.3.4", "65536", "::1:9101x", "localhost"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_is_one_of_few() {
        use Request::{Metrics, Refused, Unfinished};
        let ok = |head_only| Metrics { head_only };
        for (given, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", ok(false)),
            ("GET /metrics?a=b HTTP/1.0\r\n\r\n", ok(false)),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", ok(true)),
            ("GET /metrics HTTP/1.1\r\n", Unfinished),
            ("", Unfinished),
            ("GET / HTTP/1.1\r\n\r\n", Refused("404 Not Found: try /metrics", "")),
            ("GET /metrics/../etc HTTP/1.1\r\n\r\n", Refused("404 Not Found: try /metrics", "")),
            ("POST /metrics HTTP/1.1\r\n\r\n", Refused("405 Method Not Allowed", "Allow: GET, HEAD\r\n")),
            ("GET /metrics HTTP/2.0\r\n\r\n", Refused("505 HTTP Version Not Supported", "")),
            ("\x16\x03\x01\x02", Refused("400 Bad Request", "")),
        ] {
            assert_eq!(request(given.as_bytes()), expected, "{given:?}");
        }
        let long = format!("GET /metrics HTTP/1.1\r\nA: {}", "x".repeat(MAX_HEAD_BYTES));
        assert_eq!(request(long.as_bytes()), Refused("431 Request Header Fields Too Large", ""));
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(request(many.as_bytes()), Refused("431 Request Header Fields Too Large", ""));
    }
}
