//! Where a source's bytes come from: a file that is read by position, or a stream that is read forwards.
//!
//! In: a path. Out: an [`Input`] whose errors name the file and the byte.
//! Not here: what the bytes are.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, ErrorKind, Result};

use super::{BRIEF, Stop};

/// Opens a file, not a folder. Of a fifo this does not wait for the other end: who reads it does.
pub(in crate::pipeline) fn open_file(path: &Path) -> Result<File> {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let failed = |error| {
        let error = Error::from_io("open", path.display(), error);
        match error.kind() {
            ErrorKind::PermissionDenied => error.with_hint("this user may not read it: chmod, or run as its owner"),
            _ => error,
        }
    };
    let is_fifo = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let flags = if is_fifo { nix::libc::O_NONBLOCK } else { 0 };
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Error::invalid("open", format!("{}: is a directory", path.display())));
    }
    Ok(file)
}

/// Standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdin") || path == Path::new("/proc/self/fd/0")
}

/// Standard input, a fifo, or a device that gives bytes one after the other.
pub fn is_stream(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let other = |kind: std::fs::FileType| kind.is_fifo() || kind.is_char_device();
    is_stdin(path) || std::fs::metadata(path).is_ok_and(|metadata| other(metadata.file_type()))
}

/// A file that is read by position, or a stream that is read forwards, with its name for errors.
pub(crate) struct Input {
    file: File,
    path: PathBuf,
    /// `None` for streams.
    len_bytes: Option<u64>,
    stream: Option<Stream>,
}

/// What has been taken from a stream and not yet been used.
struct Stream {
    /// Position of the first byte of `ahead`.
    at: u64,
    ahead: Vec<u8>,
    stop: Stop,
}

impl Stream {
    fn new(stop: &Stop) -> Self {
        Self { at: 0, ahead: Vec::new(), stop: stop.clone() }
    }
}

impl Input {
    /// Opens a regular file or a stream, which nobody waits for once `stop` is set.
    pub fn open(path: &Path, stop: &Stop) -> Result<Self> {
        if is_stdin(path) {
            return Self::standard_input(stop);
        }
        let file = open_file(path)?;
        if is_stream(path) {
            return Ok(Self { file, path: path.to_owned(), len_bytes: None, stream: Some(Stream::new(stop)) });
        }
        let metadata = file.metadata().map_err(|error| Error::from_io("fstat", path.display(), error))?;
        if !metadata.is_file() {
            let detail = format!("{}: is neither a file nor a stream", path.display());
            return Err(Error::unsupported("open", detail));
        }
        Ok(Self { file, path: path.to_owned(), len_bytes: Some(metadata.len()), stream: None })
    }

    /// What errors call the file at `path`.
    pub fn named(path: &Path) -> &Path {
        if is_stdin(path) { Path::new("standard input") } else { path }
    }

    fn standard_input(stop: &Stop) -> Result<Self> {
        use std::io::IsTerminal;
        use std::os::fd::AsFd;
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            let error = Error::invalid("open", "standard input is a terminal, not a stream of pictures");
            return Err(error.with_hint("cat clip.y4m | darkframe run …"));
        }
        let fd = stdin.as_fd().try_clone_to_owned().map_err(|error| Error::from_io("dup", "standard input", error))?;
        Ok(Self { file: fd.into(), path: "standard input".into(), len_bytes: None, stream: Some(Stream::new(stop)) })
    }

    /// As errors name it.
    pub fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Size of the file when it was opened; `None` for a stream.
    pub fn len_bytes(&self) -> Option<u64> {
        self.len_bytes
    }

    /// Fills `into` from byte `at`. What a stream has given is gone with this.
    pub fn read_exact(&mut self, at: u64, into: &mut [u8]) -> Result<()> {
        let wanted = into.len();
        let got = match self.stream.is_some() {
            true => {
                self.skip_to(at)?;
                let ahead = self.stream.as_mut().map_or(Vec::new(), |stream| {
                    let taken = stream.ahead.len().min(wanted);
                    stream.at += taken as u64;
                    stream.ahead.drain(..taken).collect()
                });
                into[..ahead.len()].copy_from_slice(&ahead);
                let got = ahead.len() + self.read_on(at + ahead.len() as u64, &mut into[ahead.len()..])?;
                if let Some(stream) = &mut self.stream {
                    stream.at = at + got as u64;
                }
                got
            }
            false => self.read_up_to(at, into)?,
        };
        if got == wanted {
            return Ok(());
        }
        Err(self.error(at + got as u64, format!("the file ends here, {} bytes too early", wanted - got)))
    }

    /// Reads from byte `at` until `into` is full or the file ends. A stream keeps what it gave from `at` on.
    pub fn read_up_to(&mut self, at: u64, into: &mut [u8]) -> Result<usize> {
        if self.stream.is_none() {
            return self.read_at(at, into);
        }
        self.skip_to(at)?;
        let have = self.stream.as_ref().map_or(0, |stream| stream.ahead.len());
        if have < into.len() {
            let mut more = vec![0; into.len() - have];
            let got = self.read_on(at + have as u64, &mut more)?;
            if let Some(stream) = &mut self.stream {
                stream.ahead.extend(&more[..got]);
            }
        }
        let ahead = self.stream.as_ref().map_or(&[][..], |stream| &stream.ahead);
        let got = ahead.len().min(into.len());
        into[..got].copy_from_slice(&ahead[..got]);
        Ok(got)
    }

    /// Lets a stream's bytes before `at` go.
    fn skip_to(&mut self, at: u64) -> Result<()> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(()) };
            let Some(distance) = at.checked_sub(stream.at) else {
                let detail = format!("a stream at byte {} does not go back", stream.at);
                return Err(self.error(at, detail));
            };
            let ahead = stream.ahead.len().min(usize::try_from(distance).unwrap_or(usize::MAX));
            stream.ahead.drain(..ahead);
            stream.at += ahead as u64;
            if stream.at == at {
                return Ok(());
            }
            let mut rest = vec![0; usize::try_from(at - stream.at).unwrap_or(usize::MAX).min(1 << 16)];
            let from = stream.at;
            let got = self.read_on(from, &mut rest)?;
            if let Some(stream) = &mut self.stream {
                // At the end the place stays: whoever reads there finds nothing.
                stream.at = if got == 0 { at } else { from + got as u64 };
            }
        }
    }

    /// The next bytes of the stream, until `into` is full or it ends; `at` is for errors.
    fn read_on(&mut self, at: u64, into: &mut [u8]) -> Result<usize> {
        let mut file = &self.file;
        let mut interrupted = false;
        let read = fill(into, |rest, _| {
            // A writer that is silent, or has not come yet, is not waited for in read(2), which no flag ends.
            while !self.has_more(BRIEF)? {
                if self.stream.as_ref().is_some_and(|stream| stream.stop.load(Ordering::Relaxed)) {
                    interrupted = true;
                    return Ok(0);
                }
            }
            std::io::Read::read(&mut file, rest)
        });
        let got = read.map_err(|(done, error)| self.failed(at + done, error))?;
        match interrupted {
            true => {
                let detail = format!("{}: at byte {}: the run was ended", self.path.display(), at + got as u64);
                Err(Error::new(ErrorKind::Interrupted, "read", detail))
            }
            false => Ok(got),
        }
    }

    /// Waits until a stream has given something, or has ended, at most `timeout`.
    fn has_more(&self, timeout: Duration) -> std::io::Result<bool> {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)) {
            Ok(count) => Ok(count > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// As [`Reader::ready`].
    pub fn ready(&self, timeout: Duration) -> Result<bool> {
        match &self.stream {
            Some(stream) if stream.ahead.is_empty() => {
                self.has_more(timeout).map_err(|error| self.failed(stream.at, error))
            }
            _ => Ok(true),
        }
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<usize> {
        use std::os::unix::fs::FileExt;
        fill(into, |rest, done| self.file.read_at(rest, at + done))
            .map_err(|(done, error)| self.failed(at + done, error))
    }

    fn failed(&self, at: u64, error: std::io::Error) -> Error {
        Error::from_io("read", format!("{}: at byte {at}", self.path.display()), error)
    }

    /// Reads `rows` rows of `row_bytes` that lie `stride_bytes` apart in the file, into rows `into_stride` apart:
    /// in one piece where both strides are the same.
    pub fn read_rows(&mut self, at: u64, rows: &Rows, into: &mut [u8], into_stride: usize) -> Result<()> {
        if rows.stride_bytes == into_stride as u64 {
            let bytes = (rows.stride_bytes as usize * (rows.rows as usize - 1) + rows.row_bytes).min(into.len());
            return self.read_exact(at, &mut into[..bytes]);
        }
        for (row, target) in into.chunks_mut(into_stride).take(rows.rows as usize).enumerate() {
            self.read_exact(at + rows.stride_bytes * row as u64, &mut target[..rows.row_bytes])?;
        }
        Ok(())
    }

    /// An error about byte `at` of this file.
    pub fn error(&self, at: u64, detail: impl std::fmt::Display) -> Error {
        Error::invalid("read", format!("{}: byte {at}: {detail}", self.path.display()))
    }
}

/// Reads until `into` is full or there is no more: how much it is, or how much it was before the error. `read` is told
/// how many bytes are there already.
fn fill(
    into: &mut [u8],
    mut read: impl FnMut(&mut [u8], u64) -> std::io::Result<usize>,
) -> Result<usize, (u64, std::io::Error)> {
    let mut done = 0;
    while done < into.len() {
        match read(&mut into[done..], done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err((done as u64, error)),
        }
    }
    Ok(done)
}

/// Rows of a plane in a file.
pub(crate) struct Rows {
    pub rows: u32,
    pub row_bytes: usize,
    pub stride_bytes: u64,
}
