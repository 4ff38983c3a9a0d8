//! Where a server listens, and who is at the other end.
//!
//! In: text such as `/run/camera.sock` or `@camera`. Out: bound and connected sockets, credentials, allow lists.
//! Not here: what is said over them.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{getsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{Error, ErrorKind, Result};

use super::OP;

/// How long another server may look at the same folder: it takes microseconds, a lock for longer is somebody else's.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket in the file system.
    Path(PathBuf),
    /// A name in the abstract namespace, which has no file and no file permissions. Written `@name`.
    Abstract(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads a path, or `@name` for an abstract name.
    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix('@') {
            _ if text.is_empty() || text == "@" => Err(Error::invalid("socket", "the name is empty")
                .with_hint("name a path such as /run/user/1000/camera.sock, or @camera for an abstract name")),
            _ if text.contains('\0') => Err(Error::invalid("socket", "a NUL in the name")),
            Some(name) => Ok(Self::Abstract(name.to_owned())),
            None => Ok(Self::Path(text.into())),
        }
    }
}

impl Address {
    fn to_socket(&self) -> Result<SocketAddrUnix> {
        let address = match self {
            Self::Path(path) => SocketAddrUnix::new(path),
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        };
        address.map_err(|error| match error {
            Errno::NAMETOOLONG => Error::invalid("socket", format!("{self}: names of sockets have at most 107 bytes"))
                .with_hint("use a shorter folder, such as /run or /tmp"),
            error => self.failed("socket", error),
        })
    }

    fn failed(&self, op: &'static str, errno: Errno) -> Error {
        Error::from_io(op, self, errno.into())
    }

    /// Connects, or says why not. The socket is non-blocking.
    pub(super) fn connect(&self) -> Result<OwnedFd> {
        let socket = stream().map_err(|errno| self.failed("socket", errno))?;
        rustix::net::connect(&socket, &self.to_socket()?).map_err(|errno| {
            let error = self.failed("connect", errno);
            match errno {
                Errno::NOENT | Errno::CONNREFUSED => {
                    Error::new(ErrorKind::NotFound, "connect", error.detail().to_owned())
                        .with_hint("nobody serves it: start the producer first, or set reconnect = true to wait for it")
                }
                Errno::ACCESS => {
                    error.with_hint("the socket's mode keeps this user out: the producer sets mode and group")
                }
                Errno::AGAIN => error.with_hint("the producer does not accept connections"),
                _ => error,
            }
        })?;
        Ok(socket)
    }

    /// Listens. A path never has more rights than `mode` gives, from its first moment; a stale socket is replaced.
    ///
    /// Of several servers that start at one path at the same time one gets it: each holds a lock on the folder while it
    /// looks and binds. The lock is `flock`'s, gone with the process, and leaves no file.
    ///
    /// # Errors
    /// `InvalidInput` where another process serves the address, or the path is a file that is no socket.
    pub(super) fn listen(&self, mode: u32, group: Option<u32>) -> Result<Listener> {
        let socket = stream().map_err(|errno| self.failed("socket", errno))?;
        const BACKLOG: i32 = 16;
        let Self::Path(path) = self else {
            rustix::net::bind(&socket, &self.to_socket()?).map_err(|errno| match errno {
                Errno::ADDRINUSE => self.in_use(),
                errno => self.failed("bind", errno),
            })?;
            rustix::net::listen(&socket, BACKLOG).map_err(|errno| self.failed("listen", errno))?;
            return Ok(Listener { socket, file: None });
        };
        let address = self.to_socket()?;
        let lock = self.lock_folder(path)?;
        if self.is_stale(path)? {
            std::fs::remove_file(path).map_err(|error| Error::from_io("unlink", self, error))?;
        }
        // The file takes the socket's bits. Nobody can connect before listen: until then they may be fewer, never more.
        nix::sys::stat::fchmod(&socket, nix::sys::stat::Mode::from_bits_truncate(mode & 0o700))
            .map_err(|errno| Error::from_errno("fchmod", self, errno))?;
        rustix::net::bind(&socket, &address).map_err(|errno| {
            let error = self.failed("bind", errno);
            match error.kind() {
                // The folder could not be locked, and another server was faster.
                _ if errno == Errno::ADDRINUSE => self.in_use(),
                ErrorKind::NotFound => error.with_hint("make the folder first"),
                ErrorKind::PermissionDenied => error.with_hint("this user may not write there: name another folder"),
                _ => error,
            }
        })?;
        let io = |op: &'static str| move |error| Error::from_io(op, self, error);
        let metadata = std::fs::symlink_metadata(path).map_err(io("stat"))?;
        // From here on an error removes the file.
        let listener = Listener { socket, file: Some((path.clone(), (metadata.dev(), metadata.ino()))) };
        if group.is_some() {
            std::os::unix::fs::chown(path, None, group).map_err(io("chown"))?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(io("chmod"))?;
        rustix::net::listen(&listener.socket, BACKLOG).map_err(|errno| self.failed("listen", errno))?;
        drop(lock);
        Ok(listener)
    }

    /// Keeps other servers from looking at the folder's sockets while this one does. `None` where the folder cannot be
    /// locked: it may be written and not read, or its file system has no locks.
    fn lock_folder(&self, path: &Path) -> Result<Option<Flock<File>>> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(mut file) = File::open(folder) else { return Ok(None) };
        let since = Instant::now();
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Some(lock)),
                Err((file, nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR)) => file,
                Err((_, errno)) => {
                    tracing::debug!(folder = %folder.display(), %errno, "the folder cannot be locked");
                    return Ok(None);
                }
            };
            if since.elapsed() > LOCK_PATIENCE {
                let detail =
                    format!("{}: another process has had a lock on it for {LOCK_PATIENCE:?}", folder.display());
                return Err(Error::new(ErrorKind::Timeout, "flock", detail).with_hint("name a folder of your own"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn in_use(&self) -> Error {
        Error::invalid("bind", format!("{self}: another process serves it"))
            .with_hint("end that process, or name another socket")
    }

    /// True for a socket that nobody serves, false where there is none; fails for anything else.
    fn is_stale(&self, path: &Path) -> Result<bool> {
        let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(false) };
        if !metadata.file_type().is_socket() {
            let error = Error::invalid("bind", format!("{self}: there is a file that is no socket"));
            return Err(error.with_hint("name another path; this file is left as it is"));
        }
        let probe = stream().map_err(|errno| self.failed("socket", errno))?;
        match rustix::net::connect(&probe, &self.to_socket()?) {
            // Left behind by a process that was killed.
            Err(Errno::CONNREFUSED) => Ok(true),
            // Removed meanwhile.
            Err(Errno::NOENT) => Ok(false),
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => Err(self.failed("bind", errno)),
            Ok(()) | Err(_) => Err(self.in_use()),
        }
    }
}

fn stream() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// A listening socket; its file is removed on drop, if it is still this one.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: OwnedFd,
    file: Option<(PathBuf, (u64, u64))>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, identity)) = &self.file
            && std::fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == *identity)
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "socket not removed");
        }
    }
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process; 0 where it is in another pid namespace.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

impl Credentials {
    pub(super) fn of(socket: impl AsFd) -> Result<Self> {
        let found = getsockopt(&socket, sockopt::PeerCredentials)
            .map_err(|errno| Error::from_errno("SO_PEERCRED", "the other end", errno))?;
        Ok(Self { pid: found.pid(), uid: found.uid(), gid: found.gid() })
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} (user {}, group {})", self.pid, self.uid, self.gid)
    }
}

/// Who may be at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// A user.
    User(u32),
    /// Those whose primary group this is.
    Group(u32),
}

impl FromStr for Allow {
    type Err = Error;

    /// Reads `user:NAME`, `user:1000`, `group:NAME`, `group:44`.
    fn from_str(text: &str) -> Result<Self> {
        let unknown = |what: &str| Error::invalid("allow", format!("\"{text}\": there is no such {what}"));
        match text.split_once(':') {
            Some(("user", name)) => match name.parse() {
                Ok(uid) => Ok(Self::User(uid)),
                Err(_) => match nix::unistd::User::from_name(name) {
                    Ok(Some(user)) => Ok(Self::User(user.uid.as_raw())),
                    _ => Err(unknown("user")),
                },
            },
            Some(("group", name)) => group(name).map(Self::Group).ok_or_else(|| unknown("group")),
            _ => Err(Error::invalid("allow", format!("\"{text}\": expected user:NAME or group:NAME"))
                .with_hint("e.g. allow = [\"user:media\", \"group:video\"]; numbers do as well")),
        }
    }
}

/// The number of a group, by name or number.
pub fn group(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()))
}

/// Fails unless one of `allow` is at the other end; `by_default` decides where the list is empty.
pub(super) fn check(peer: Credentials, allow: &[Allow], by_default: impl FnOnce(Credentials) -> bool) -> Result<()> {
    let allowed = match allow.is_empty() {
        true => by_default(peer),
        false => allow.iter().any(|allow| match allow {
            Allow::User(uid) => *uid == peer.uid,
            Allow::Group(gid) => *gid == peer.gid,
        }),
    };
    if allowed {
        return Ok(());
    }
    let error = Error::new(ErrorKind::PermissionDenied, OP, format!("{peer} is not on the allow list"));
    Err(error.with_hint("add it: allow = [\"user:NAME\"]"))
}

/// This process's user, or root.
pub(super) fn is_own_user(peer: Credentials) -> bool {
    peer.uid == 0 || peer.uid == nix::unistd::geteuid().as_raw()
}
