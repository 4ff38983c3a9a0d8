//! How a file becomes whole: written without a name, which it gets at the end. A reader never sees half of it, and a
//! process that is killed leaves nothing behind. Where the file system has no such files (`O_TMPFILE`), it is written
//! beside under a temporary name, then renamed.
//!
//! In: a path, numbered names, bytes. Out: a file that is there whole or not at all.
//! Not here: what the bytes are.
//!
//! Devices, pipes and standard output (`-`, `/dev/stdout`) are written as they are. A symbolic link to a file is followed.
//! Missing folders are made. Nothing is synced to the disk: whole means whole for readers, not after a power cut.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Standard output.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout") || path == Path::new("/proc/self/fd/1")
}

/// An output being written. Dropped before [`commit`](Output::commit), the temporary file is removed.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// As the user gave it.
    name: PathBuf,
    /// `None` where the output is written as it is.
    aside: Option<Aside>,
    bytes: u64,
}

/// Where a file is until it is whole.
#[derive(Debug)]
struct Aside {
    temporary: PathBuf,
    target: PathBuf,
    /// It has the temporary name; without, it has none.
    is_named: bool,
}

impl Aside {
    /// Gives the file the target's name.
    fn commit(&mut self, file: &File) -> std::io::Result<()> {
        use nix::fcntl::AtFlags;
        use std::os::fd::AsRawFd;
        if !self.is_named {
            let own = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            let link = |to: &Path| {
                let flags = AtFlags::AT_SYMLINK_FOLLOW;
                nix::unistd::linkat(nix::fcntl::AT_FDCWD, &own, nix::fcntl::AT_FDCWD, to, flags)
            };
            match link(&self.target) {
                Ok(()) => return Ok(()),
                // A link does not replace: by way of a name that does.
                Err(nix::errno::Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            match link(&self.temporary) {
                // Of a process that was killed and had our number.
                Err(nix::errno::Errno::EEXIST) => {
                    std::fs::remove_file(&self.temporary)?;
                    link(&self.temporary)?;
                }
                other => other?,
            }
            self.is_named = true;
        }
        std::fs::rename(&self.temporary, &self.target)
    }
}

/// A file in `folder` without a name, where the file system has such and `/proc` is there to name it by.
fn nameless(folder: &Path) -> Option<File> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options().write(true).custom_flags(nix::libc::O_TMPFILE).open(folder).ok()?;
    std::fs::symlink_metadata(format!("/proc/self/fd/{}", file.as_raw_fd())).is_ok().then_some(file)
}

impl Output {
    /// Opens the output and makes missing folders.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound`, `Failed`, with the file's name.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |op: &'static str, path: &Path, error| {
            let error = Error::from_io(op, path.display(), error);
            match error.kind() {
                ErrorKind::PermissionDenied => error.with_hint("this user may not write there: name another folder"),
                _ => error,
            }
        };
        let direct = |file| Self { file, name: path.to_owned(), aside: None, bytes: 0 };
        if is_stdout(path) {
            use std::os::fd::AsFd;
            let fd = std::io::stdout().as_fd().try_clone_to_owned().map_err(|error| failed("dup", path, error))?;
            return Ok(direct(File::from(fd)));
        }
        if let Ok(metadata) = std::fs::metadata(path) {
            if metadata.is_dir() {
                return Err(Error::invalid("create", format!("{}: is a directory", path.display())));
            }
            if !metadata.is_file() || path.starts_with("/dev") || path.starts_with("/proc") {
                let file = File::options().write(true).open(path).map_err(|error| failed("open", path, error))?;
                return Ok(direct(file));
            }
        }
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| match folder.ancestors().find(|folder| folder.is_file()) {
            Some(file) => {
                Error::invalid("mkdir", format!("{}: {} is a file, not a folder", path.display(), file.display()))
            }
            None => failed("mkdir", folder, error).in_context(path.display()),
        })?;
        let Some(file_name) = target.file_name() else {
            return Err(Error::invalid("create", format!("{}: is no file name", path.display())));
        };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut temporary = OsString::from(".");
        temporary.push(file_name);
        temporary.push(format!(".tmp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let temporary = folder.join(temporary);
        if let Some(file) = nameless(folder) {
            return Ok(Self {
                file,
                name: path.to_owned(),
                aside: Some(Aside { temporary, target, is_named: false }),
                bytes: 0,
            });
        }
        // A process that was killed may have left one with our number.
        let open = || File::options().write(true).create_new(true).open(&temporary);
        let file = match open() {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&temporary).and_then(|()| open())
            }
            other => other,
        };
        let file = file.map_err(|error| failed("create", path, error))?;
        Ok(Self { file, name: path.to_owned(), aside: Some(Aside { temporary, target, is_named: true }), bytes: 0 })
    }

    /// Opens a file that keeps its name and its first `keep` bytes; what stands behind them goes. It is never removed:
    /// what says which of its bytes are whole is a manifest. [`Output::bytes`] begins with `keep`.
    ///
    /// # Errors
    /// As [`Output::create`]; `InvalidInput` where the file is shorter.
    pub fn append(path: &Path, keep: u64) -> Result<Self> {
        let failed = |op: &'static str| move |error| Error::from_io(op, path.display(), error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed("mkdir"))?;
        }
        let mut file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed("create"))?;
        let there = file.metadata().map_err(failed("fstat"))?.len();
        if there < keep {
            return Err(Error::invalid("append", format!("{}: {there} bytes of {keep}", path.display())));
        }
        file.set_len(keep).map_err(failed("truncate"))?;
        file.seek(SeekFrom::Start(keep)).map_err(failed("seek"))?;
        Ok(Self { file, name: path.to_owned(), aside: None, bytes: keep })
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// `OutOfMemory` for a full disk, `PeerClosed` for a pipe whose reader went away; the file is named.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed(error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes pieces one after the other, with as few calls as the system allows.
    ///
    /// # Errors
    /// As [`Output::write_all`].
    pub fn write_pieces<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        // The system takes 1024 pieces in one call.
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(1024);
        let mut pieces = pieces.peekable();
        while pieces.peek().is_some() {
            slices.clear();
            slices.extend(pieces.by_ref().take(1024).map(IoSlice::new));
            let mut left = slices.as_mut_slice();
            while !left.is_empty() {
                match self.file.write_vectored(left) {
                    Ok(0) => return Err(self.failed(std::io::ErrorKind::WriteZero.into())),
                    Ok(count) => {
                        self.bytes += count as u64;
                        IoSlice::advance_slices(&mut left, count);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.failed(error)),
                }
            }
        }
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> Error {
        let full = error.raw_os_error() == Some(nix::errno::Errno::ENOSPC as i32);
        let large = error.raw_os_error() == Some(nix::errno::Errno::EFBIG as i32);
        let error = Error::from_io("write", format!("{}: after {} bytes", self.name.display(), self.bytes), error);
        match error.kind() {
            ErrorKind::OutOfMemory if full => error.with_hint("the disk is full; nothing half-written is left"),
            _ if large => error.with_hint("a limit on the size of files (ulimit -f); nothing half-written is left"),
            ErrorKind::PeerClosed => error.with_hint("the reader of the pipe went away"),
            _ => error,
        }
    }

    /// Replaces bytes that were written before.
    ///
    /// # Errors
    /// As [`Output::write_all`].
    pub fn rewrite(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(bytes, at).map_err(|error| self.failed(error))
    }

    /// A device, a pipe or standard output: what was written is out already.
    pub fn is_stream(&self) -> bool {
        self.aside.is_none()
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the file its name. Replaces an older one.
    ///
    /// # Errors
    /// Those of linkat(2) and rename(2).
    pub fn commit(mut self) -> Result<u64> {
        if let Some(aside) = &mut self.aside {
            aside
                .commit(&self.file)
                .map_err(|error| Error::from_io("rename", format!("to {}", aside.target.display()), error))?;
            self.aside = None;
        }
        Ok(self.bytes)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(Aside { temporary, is_named: true, .. }) = &self.aside
            && let Err(error) = std::fs::remove_file(temporary)
        {
            tracing::warn!(path = %temporary.display(), %error, "temporary file not removed");
        }
    }
}

/// A file name with at most one `%d` or `%04d`; `%%` is a percent sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    /// Digits at least, and the text after them.
    number: Option<(usize, String)>,
}

impl Pattern {
    /// Reads a name; the error is in words.
    pub fn parse(path: &Path) -> Result<Self, String> {
        let text = path.to_str().ok_or("the file's name is not UTF-8")?;
        let mut parsed = Self { before: String::new(), number: None };
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('%') {
            parsed.tail().push_str(literal);
            if let Some(after) = after.strip_prefix('%') {
                parsed.tail().push('%');
                rest = after;
                continue;
            }
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let width = if digits == 0 { Ok(0) } else { after[..digits].parse::<usize>() };
            match (width, after[digits..].strip_prefix('d')) {
                (Ok(width @ 0..=20), Some(after)) if parsed.number.is_none() => {
                    parsed.number = Some((width, String::new()));
                    rest = after;
                }
                (Ok(0..=20), Some(_)) => return Err(format!("\"{text}\": more than one number in the name")),
                _ => return Err(format!("\"{text}\": after % comes d, a width such as 04d, or %")),
            }
        }
        parsed.tail().push_str(rest);
        Ok(parsed)
    }

    fn tail(&mut self) -> &mut String {
        match &mut self.number {
            Some((_, after)) => after,
            None => &mut self.before,
        }
    }

    /// There is a number in the name.
    pub fn is_numbered(&self) -> bool {
        self.number.is_some()
    }

    /// The number in `name`, where [`Pattern::name`] makes this name of it.
    pub fn number_in(&self, name: &str) -> Option<u64> {
        let (_, after) = self.number.as_ref()?;
        let number = name.strip_prefix(self.before.as_str())?.strip_suffix(after.as_str())?.parse().ok()?;
        (self.name(number) == Path::new(name)).then_some(number)
    }

    /// The name for `frame`.
    pub fn name(&self, frame: u64) -> PathBuf {
        match &self.number {
            Some((width, after)) => format!("{}{frame:0width$}{after}", self.before).into(),
            None => self.before.clone().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("darkframe-output-{}", std::process::id()));
        let path = folder.join("deep/er/a.raw");
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(output);
        assert_eq!(names(path.parent().unwrap()), Vec::<String>::new());

        let mut output = Output::create(&path).unwrap();
        output.write_pieces([b"wh".as_slice(), b"", b"ole"].into_iter()).unwrap();
        assert_eq!(output.commit().unwrap(), 5);
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(path.parent().unwrap()), ["a.raw"]);

        let link = folder.join("link.raw");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut output = Output::create(&link).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_part_keeps_what_is_whole() {
        let path = std::env::temp_dir().join(format!("darkframe-part-{}.raw", std::process::id()));
        std::fs::write(&path, b"wholehalf").unwrap();
        let mut output = Output::append(&path, 5).unwrap();
        assert_eq!(output.bytes(), 5);
        output.write_all(b"more").unwrap();
        drop(output);
        assert_eq!(std::fs::read(&path).unwrap(), b"wholemore");
        assert!(Output::append(&path, 10).unwrap_err().to_string().contains("9 bytes of 10"));
        Output::append(&path, 0).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_has_no_name_before_it_is_whole() {
        let folder = std::env::temp_dir().join(format!("darkframe-nameless-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let is_offered = nameless(&folder).is_some();
        let path = folder.join("a.raw");
        for text in ["first", "second"] {
            let mut output = Output::create(&path).unwrap();
            output.write_all(text.as_bytes()).unwrap();
            let there = names(&folder).iter().filter(|name| *name != "a.raw").count();
            // A process that is killed here leaves what is there now.
            assert_eq!(there, usize::from(!is_offered), "{:?}", names(&folder));
            output.commit().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), text.as_bytes());
            assert_eq!(names(&folder), ["a.raw"]);
        }
        // The other way, whatever the file system.
        let temporary = folder.join(".a.raw.tmp");
        let mut file = File::create(&temporary).unwrap();
        file.write_all(b"third").unwrap();
        let aside = Some(Aside { temporary, target: path.clone(), is_named: true });
        Output { file, name: path.clone(), aside, bytes: 5 }.commit().unwrap();
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), names(&folder).len()), (&b"third"[..], 1));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn devices_are_written_as_they_are() {
        let mut output = Output::create(Path::new("/dev/null")).unwrap();
        output.write_all(&[0; 100]).unwrap();
        output.commit().unwrap();
        let mut full = Output::create(Path::new("/dev/full")).unwrap();
        let error = full.write_all(&[0; 100]).unwrap_err();
        assert!(error.to_string().contains("/dev/full") && error.to_string().contains("disk is full"), "{error}");
    }

    #[test]
    fn errors_name_the_file() {
        let error = Output::create(Path::new("/proc/nowhere/a.raw")).unwrap_err();
        assert!(error.to_string().contains("/proc/nowhere"), "{error}");
        assert!(Output::create(Path::new("/tmp")).unwrap_err().to_string().contains("is a directory"));
    }

    #[test]
    fn numbered_names() {
        let name = |text: &str, frame| Pattern::parse(Path::new(text)).unwrap().name(frame);
        assert_eq!(name("out/a-%04d.png", 7), Path::new("out/a-0007.png"));
        assert_eq!(name("a%d.png", 12345), Path::new("a12345.png"));
        assert_eq!(name("100%%.png", 1), Path::new("100%.png"));
        assert_eq!(name("100%%-%3d%%.png", 1), Path::new("100%-001%.png"));
        for bad in ["a%s.png", "a%", "%d%d", "%99d"] {
            assert!(Pattern::parse(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
