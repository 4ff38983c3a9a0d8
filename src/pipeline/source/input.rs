//! Where a source's bytes come from: a file that is read by position, or a stream that is read forwards.
//!
//! In: a path. Out: an [`Input`] whose errors name the file and the byte.
//! Not here: what the bytes are.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Opens a file, not a folder.
pub(in crate::pipeline) fn open_file(path: &Path) -> Result<File> {
    let failed = |error| {
        let error = Error::from_io("open", path.display(), error);
        match error.kind() {
            ErrorKind::PermissionDenied => error.with_hint("this user may not read it: chmod, or run as its owner"),
            _ => error,
        }
    };
    let file = File::open(path).map_err(failed)?;
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
#[derive(Default)]
struct Stream {
    /// Position of the first byte of `ahead`.
    at: u64,
    ahead: Vec<u8>,
}

impl Input {
    /// Opens a regular file; or a stream, where this blocks until there is a writer.
    pub fn open(path: &Path) -> Result<Self> {
        if is_stdin(path) {
            return Self::standard_input();
        }
        let file = open_file(path)?;
        if is_stream(path) {
            return Ok(Self { file, path: path.to_owned(), len_bytes: None, stream: Some(Stream::default()) });
        }
        let metadata = file.metadata().map_err(|error| Error::from_io("fstat", path.display(), error))?;
        if !metadata.is_file() {
            let detail = format!("{}: is neither a file nor a stream", path.display());
            return Err(Error::unsupported("open", detail));
        }
        Ok(Self { file, path: path.to_owned(), len_bytes: Some(metadata.len()), stream: None })
    }

    fn standard_input() -> Result<Self> {
        use std::io::IsTerminal;
        use std::os::fd::AsFd;
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            let error = Error::invalid("open", "standard input is a terminal, not a stream of pictures");
            return Err(error.with_hint("cat clip.y4m | darkframe run …"));
        }
        let fd = stdin.as_fd().try_clone_to_owned().map_err(|error| Error::from_io("dup", "standard input", error))?;
        Ok(Self { file: fd.into(), path: "standard input".into(), len_bytes: None, stream: Some(Stream::default()) })
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
        fill(into, |rest, _| std::io::Read::read(&mut file, rest))
            .map_err(|(done, error)| self.failed(at + done, error))
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
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
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
