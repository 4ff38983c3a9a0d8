//! Live control of a run: `--control PATH` (a socket of the file system) or `--control -` (standard input).
//!
//! In: lines. Out: a line each. Not here: what a line means (`commands`), the other end (`client`).
//!
//! One thread serves all clients and never waits for one of them; the drawing thread knows nothing of them. What a client
//! can make this thread hold is bounded: a line has an end after [`MAX_LINE_BYTES`], a client that does not read its
//! answers is asked nothing more, and there are at most [`MAX_CLIENTS`].

use std::fs::File;
use std::io::{ErrorKind as Io, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use darkframe::error::{Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub mod client;
mod commands;

pub use commands::Commands;

/// A longer line is none.
const MAX_LINE_BYTES: usize = 4096;
/// Clients at a time.
const MAX_CLIENTS: usize = 16;
/// Lines of one client that are answered before the next one's turn.
const LINES_A_TURN: usize = 16;
/// Between two turns with work: a client that never stops asking gets no processor of its own.
const PAUSE: Duration = Duration::from_millis(2);
/// A client that reads nothing of its answer for so long is left.
const SLOW: Duration = Duration::from_secs(10);
/// Writes of this size do not block where the system says that it takes some (`PIPE_BUF`).
const PIECE_BYTES: usize = 4096;

/// Where lines come from.
#[derive(Clone, Debug)]
pub enum Place {
    /// A socket, made at this path.
    Socket(PathBuf),
    /// Standard input; answers go to standard output, or to standard error where pictures go to standard output.
    Standard { answer_on_error: bool },
}

/// The thread that serves clients. Dropped, it ends, and the socket is removed.
pub struct Server {
    wake: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
    socket: Option<Socket>,
}

impl Server {
    /// Opens the place and serves it.
    ///
    /// # Errors
    /// `InvalidInput`: another run listens there, or it is no socket; those of socket(2) and bind(2).
    pub fn start(place: &Place, commands: Commands) -> Result<Self> {
        let (ended, wake) = std::io::pipe().map_err(|error| Error::from_io("pipe", "--control", error))?;
        let (socket, mut clients, listener) = match place {
            Place::Socket(path) => {
                let (socket, listener) = Socket::listen(path, "--control")?;
                (Some(socket), Vec::new(), Some(listener))
            }
            Place::Standard { answer_on_error } => (None, vec![Client::standard(*answer_on_error)?], None),
        };
        let serve = move || serve(&ended, listener.as_ref(), &mut clients, &commands);
        let thread = std::thread::Builder::new().name("control".into()).spawn(serve);
        let thread = thread.map_err(|error| Error::from_io("thread", "--control", error))?;
        Ok(Self { wake: Some(wake), thread: Some(thread), socket })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
        drop(self.socket.take());
    }
}

/// A socket in the file system, removed when it is dropped, unless another has come in its place.
pub(super) struct Socket {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

impl Socket {
    /// Listens at `path`, for this user only; `option` is what names it.
    ///
    /// # Errors
    /// `InvalidInput`: another run listens there, or it is no socket; those of socket(2) and bind(2).
    pub(super) fn listen(path: &Path, option: &'static str) -> Result<(Self, UnixListener)> {
        use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
        use nix::sys::stat::{Mode, fchmod};
        let what = || format!("{option} {}", path.display());
        let failed = |op: &'static str| move |errno| Error::from_errno(op, what(), errno);
        if let Ok(metadata) = std::fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                let error = Error::invalid(option, format!("{}: is there, and is no socket", path.display()));
                return Err(error.with_hint("name another path, or remove it"));
            }
            match UnixStream::connect(path) {
                Ok(_) => {
                    let error = Error::invalid(option, format!("{}: another run listens there", path.display()));
                    return Err(error.with_hint("name another path"));
                }
                // Of a run that was killed.
                Err(error) if error.kind() == Io::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(|error| Error::from_io("unlink", what(), error))?
                }
                Err(error) => return Err(Error::from_io("connect", what(), error)),
            }
        }
        let address = UnixAddr::new(path).map_err(|errno| {
            let error = Error::from_errno("bind", what(), errno);
            match errno {
                nix::errno::Errno::ENAMETOOLONG => error.with_hint("paths of sockets have at most 107 bytes"),
                _ => error,
            }
        })?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed("socket"))?;
        // Before it has a name, so that nobody else can ever connect: bind gives the file the socket's mode.
        fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed("fchmod"))?;
        bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &address).map_err(failed("bind"))?;
        let metadata = std::fs::symlink_metadata(path).map_err(|error| Error::from_io("stat", what(), error))?;
        let socket = Self { path: path.to_owned(), id: (metadata.dev(), metadata.ino()) };
        listen(&fd, Backlog::new(MAX_CLIENTS as i32).unwrap_or(Backlog::MAXCONN)).map_err(failed("listen"))?;
        Ok((socket, UnixListener::from(fd)))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.id);
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket is not removed");
        }
    }
}

/// Where a client's bytes come from and go to.
enum Stream {
    Socket(UnixStream),
    /// Not made non-blocking: whoever shares it would see that.
    Standard {
        input: File,
        output: File,
    },
}

struct Client {
    stream: Stream,
    /// The beginning of a line.
    line: Vec<u8>,
    answers: Vec<u8>,
    /// When answers were last taken, or none were left.
    moved: Instant,
    /// It sends nothing more, or is sent away: it stays for its answers.
    is_closing: bool,
}

impl Client {
    fn new(stream: Stream) -> Self {
        Self { stream, line: Vec::new(), answers: Vec::new(), moved: Instant::now(), is_closing: false }
    }

    fn standard(answer_on_error: bool) -> Result<Self> {
        let own = |fd: BorrowedFd<'_>| -> Result<OwnedFd> {
            fd.try_clone_to_owned().map_err(|error| Error::from_io("dup", "--control -", error))
        };
        let output = match answer_on_error {
            true => own(std::io::stderr().as_fd()),
            false => own(std::io::stdout().as_fd()),
        }?;
        Ok(Self::new(Stream::Standard { input: own(std::io::stdin().as_fd())?.into(), output: output.into() }))
    }

    fn waits_for(&self) -> (BorrowedFd<'_>, PollFlags) {
        let reads = self.answers.is_empty();
        match &self.stream {
            Stream::Socket(socket) => (socket.as_fd(), if reads { PollFlags::POLLIN } else { PollFlags::POLLOUT }),
            Stream::Standard { input, .. } if reads => (input.as_fd(), PollFlags::POLLIN),
            Stream::Standard { output, .. } => (output.as_fd(), PollFlags::POLLOUT),
        }
    }

    fn has_line(&self) -> bool {
        self.line.contains(&b'\n')
    }

    /// Reads what is there. Nothing more than a line's worth is kept.
    fn read(&mut self) {
        let mut bytes = [0; MAX_LINE_BYTES];
        let got = match &mut self.stream {
            Stream::Socket(socket) => socket.read(&mut bytes),
            Stream::Standard { input, .. } => input.read(&mut bytes),
        };
        match got {
            Ok(0) => self.is_closing = true,
            Ok(count) => self.line.extend(&bytes[..count]),
            Err(error) if matches!(error.kind(), Io::WouldBlock | Io::Interrupted) => {}
            Err(_) => self.leave(),
        }
    }

    /// Gone, with what it would have been told.
    fn leave(&mut self) {
        self.is_closing = true;
        self.line.clear();
        self.answers.clear();
    }

    fn answer(&mut self, commands: &Commands) {
        for _ in 0..LINES_A_TURN {
            let end = self.line.iter().position(|byte| *byte == b'\n');
            let line: Vec<u8> = match end {
                Some(end) => self.line.drain(..=end).collect(),
                // The last line may lack its line feed.
                None if self.is_closing => std::mem::take(&mut self.line),
                None => break,
            };
            if line.len() > MAX_LINE_BYTES {
                return self.refuse("a line is too long");
            }
            if let Some(answer) = commands.answer(&line) {
                self.answers.extend(answer.as_bytes());
                self.answers.push(b'\n');
                self.moved = Instant::now();
            }
            if line.is_empty() {
                break;
            }
        }
        if self.line.len() > MAX_LINE_BYTES && !self.has_line() {
            self.refuse("a line is too long");
        }
    }

    fn refuse(&mut self, why: &str) {
        self.line.clear();
        self.is_closing = true;
        self.answers.extend(format!("error control: {why}\n").bytes());
    }

    /// Sends a piece of the answers; the system has said that it takes some.
    fn write(&mut self) {
        let piece = &self.answers[..self.answers.len().min(PIECE_BYTES)];
        let sent = match &mut self.stream {
            Stream::Socket(socket) => socket.write(piece),
            Stream::Standard { output, .. } => output.write(piece),
        };
        match sent {
            Ok(count) => {
                self.answers.drain(..count);
                self.moved = Instant::now();
            }
            Err(error) if matches!(error.kind(), Io::WouldBlock | Io::Interrupted) => {}
            Err(_) => self.leave(),
        }
    }

    fn is_done(&self) -> bool {
        let slow = !self.answers.is_empty() && self.moved.elapsed() > SLOW;
        slow || (self.is_closing && self.answers.is_empty() && self.line.is_empty())
    }
}

/// Serves until the other end of `ended` is dropped.
fn serve(ended: &PipeReader, listener: Option<&UnixListener>, clients: &mut Vec<Client>, commands: &Commands) {
    loop {
        let has_work = clients.iter().any(|client| client.answers.is_empty() && client.has_line());
        let mut fds = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        if let Some(listener) = listener {
            fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        let first = fds.len();
        for client in clients.iter() {
            let (fd, flags) = client.waits_for();
            // Lines that are there come before what is still to come.
            let flags = if flags == PollFlags::POLLIN && client.has_line() { PollFlags::empty() } else { flags };
            fds.push(PollFd::new(fd, flags));
        }
        let is_writing = clients.iter().any(|client| !client.answers.is_empty());
        let timeout = match (has_work, is_writing) {
            (true, _) => PollTimeout::ZERO,
            (_, true) => PollTimeout::try_from(SLOW).unwrap_or(PollTimeout::MAX),
            _ => PollTimeout::NONE,
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return tracing::error!(%errno, "poll: the run cannot be controlled any more"),
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        if ready(&fds[0]) {
            return;
        }
        let is_called = listener.is_some() && ready(&fds[1]);
        let ready: Vec<bool> = fds[first..].iter().map(ready).collect();
        for (client, ready) in clients.iter_mut().zip(ready) {
            match (client.answers.is_empty(), ready) {
                (false, true) => client.write(),
                (false, false) => {}
                (true, ready) => {
                    if ready && !client.has_line() && !client.is_closing {
                        client.read();
                    }
                    client.answer(commands);
                }
            }
        }
        clients.retain(|client| !client.is_done());
        if let (Some(listener), true) = (listener, is_called) {
            accept(listener, clients);
        }
        if listener.is_none() && clients.is_empty() {
            // Standard input has ended: the run goes on without.
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

fn accept(listener: &UnixListener, clients: &mut Vec<Client>) {
    let Ok((socket, _)) = listener.accept() else { return };
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    let mut client = Client::new(Stream::Socket(socket));
    if clients.len() < MAX_CLIENTS {
        return clients.push(client);
    }
    client.refuse("too many clients at a time");
    client.write();
}
