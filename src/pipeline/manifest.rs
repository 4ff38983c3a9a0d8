//! The manifest of a block of frames: what was written, with checksums, one JSON object a line.
//!
//! In: what a worker wrote. Out: a file that outlives it, and what such files say.
//! Not here: whether the files still are what they were (`resume`, `merge`).
//!
//! A line is appended in one call after its frame is whole on disk; a line that a killed worker left torn has no newline
//! and is ignored. Nothing is synced to the disk: a line may outlive the frame that it speaks of in a power cut, so no
//! line is believed before the bytes have the checksum. Where two lines speak of one frame the later one counts.
//!
//! Checksums are XXH3, 128 bits (`xxhsum -H2`): they find damage, not forgery, and cost a fraction of writing the bytes
//! on processors without instructions for SHA-256.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use twox_hash::xxhash3_128::Hasher;

use crate::error::{Error, ErrorKind, Result};

use super::description::SinkKind;

/// What this version writes and reads.
const VERSION: u32 = 1;

/// The checksum of bytes that come in pieces.
#[derive(Default)]
pub struct Checksum(Hasher);

impl Checksum {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// 32 hexadecimal digits.
    pub fn finish(&self) -> String {
        format!("{:032x}", self.0.finish_128())
    }

    /// Of bytes that are all there.
    pub fn of(bytes: &[u8]) -> String {
        format!("{:032x}", Hasher::oneshot(bytes))
    }
}

/// The first line: which job, which block of it, drawn from what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the format.
    pub version: u32,
    /// The pipeline file as it was named.
    pub pipeline: String,
    /// `--set`, in order.
    pub settings: Vec<String>,
    /// The whole job's frames.
    pub frames: Range<u64>,
    /// Index and count, where the job was split.
    pub shard: Option<(u64, u64)>,
    /// This block's frames.
    pub block: Range<u64>,
    /// Frames drawn and not written before each run of frames, for passes with memory.
    pub warm_up: Option<u64>,
    /// What the pictures are made from, and its checksum; the same for all shards of a job.
    pub identity: BTreeMap<String, String>,
    /// What is written.
    pub sinks: BTreeMap<String, SinkHead>,
}

/// A sink of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkHead {
    /// What it writes.
    pub kind: SinkKind,
    /// The name in the pipeline file, with `%04d`; none where nothing is written.
    pub file: Option<PathBuf>,
    /// Takes every so many frames.
    pub every: u64,
    /// All frames in one file: each block writes a part of it.
    pub parts: bool,
}

/// Bytes that were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The sink.
    pub sink: String,
    /// The frame; none for what stands before the first one in a part.
    pub frame: Option<u64>,
    /// The file.
    pub file: PathBuf,
    /// First byte.
    pub at: u64,
    /// How many.
    pub bytes: u64,
    /// Their checksum.
    pub xxh3: String,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
enum Line {
    Job(Head),
    /// Who draws from here on.
    Driver {
        name: String,
    },
    Wrote(Record),
    /// A source ended before this frame: there are none from here on.
    End {
        frame: u64,
    },
}

/// What a manifest says.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The file.
    pub path: PathBuf,
    /// The first line.
    pub head: Head,
    /// Who drew.
    pub drivers: Vec<String>,
    /// The last record of each frame of each sink.
    pub records: BTreeMap<(String, Option<u64>), Record>,
    /// A source ended before this frame.
    pub end: Option<u64>,
}

impl Contents {
    /// Reads a manifest.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; `InvalidInput`: the first line is whole and no head of this version.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::from_io("manifest", path.display(), error))?;
        Self::parse(path, &bytes)?.ok_or_else(|| {
            Error::invalid("manifest", format!("{}: it has no whole line", path.display()))
                .with_hint("its worker was killed at once: run that shard again, or remove the file")
        })
    }

    /// `None` where not even the first line is whole.
    fn parse(path: &Path, bytes: &[u8]) -> Result<Option<Self>> {
        let mut lines = whole(bytes).split(|byte| *byte == b'\n');
        let Some(first) = lines.next().filter(|line| !line.is_empty()) else { return Ok(None) };
        let Ok(Line::Job(head)) = serde_json::from_slice(first) else {
            let version = serde_json::from_slice::<serde_json::Value>(first).ok();
            let version = version.and_then(|line| line.get("version").and_then(serde_json::Value::as_u64));
            let detail = match version {
                Some(version) if version != u64::from(VERSION) => format!("it is of version {version}, not {VERSION}"),
                _ => "the first line is none of a manifest".into(),
            };
            return Err(Error::invalid("manifest", format!("{}:1: {detail}", path.display()))
                .with_hint("name another folder with --job, or remove the file"));
        };
        let mut contents =
            Self { path: path.to_owned(), head, drivers: Vec::new(), records: BTreeMap::new(), end: None };
        for (index, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Line::Wrote(record)) => {
                    contents.records.insert((record.sink.clone(), record.frame), record);
                }
                Ok(Line::Driver { name }) if contents.drivers.contains(&name) => {}
                Ok(Line::Driver { name }) => contents.drivers.push(name),
                Ok(Line::End { frame }) => contents.end = Some(contents.end.map_or(frame, |end| end.min(frame))),
                // Its frame is then not known to be there, and is drawn again.
                Ok(Line::Job(_)) | Err(_) => {
                    tracing::warn!(path = %path.display(), line = index + 2, "a damaged line is ignored");
                }
            }
        }
        Ok(Some(contents))
    }

    /// The record of a frame, or of what stands before the first.
    pub fn record(&self, sink: &str, frame: Option<u64>) -> Option<&Record> {
        self.records.get(&(sink.to_owned(), frame))
    }
}

/// Up to the last newline, with it.
fn whole(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bytes[..end]
}

/// The manifest of this process's block, locked against other processes for as long as it is open.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    file: Mutex<Flock<File>>,
    frames: AtomicU64,
}

impl Manifest {
    /// Opens the manifest at `path` for appending, and makes missing folders. With `resume` it gives what an earlier
    /// worker left there; otherwise that is removed. A new one gets `head` as its first line.
    ///
    /// # Errors
    /// `Failed`: another process works on it. As [`Contents::open`]; those of the file.
    pub fn open(path: &Path, head: &Head, resume: bool) -> Result<(Self, Option<Contents>)> {
        let failed = |op: &'static str| move |error| Error::from_io(op, path.display(), error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed("mkdir"))?;
        }
        let open = File::options().read(true).append(true).create(true).open(path);
        let mut file = lock(path, open.map_err(failed("open"))?)?;
        let mut bytes = Vec::new();
        let mut earlier = None;
        if resume {
            file.read_to_end(&mut bytes).map_err(failed("read"))?;
            earlier = Contents::parse(path, &bytes)?;
        }
        // What a killed worker left torn would run into the next line.
        let keep = if earlier.is_some() { whole(&bytes).len() as u64 } else { 0 };
        file.set_len(keep).and_then(|()| file.rewind()).map_err(failed("truncate"))?;
        let manifest = Self { path: path.to_owned(), file: Mutex::new(file), frames: AtomicU64::new(0) };
        if earlier.is_none() {
            manifest.append(&Line::Job(Head { version: VERSION, ..head.clone() }))?;
        }
        Ok((manifest, earlier))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes who draws.
    ///
    /// # Errors
    /// Those of the file.
    pub fn driver(&self, name: &str) -> Result<()> {
        self.append(&Line::Driver { name: name.to_owned() })
    }

    /// Notes what is whole on disk.
    ///
    /// # Errors
    /// Those of the file.
    pub fn wrote(&self, record: Record) -> Result<()> {
        self.frames.fetch_add(u64::from(record.frame.is_some()), Ordering::Relaxed);
        self.append(&Line::Wrote(record))
    }

    /// How many frames were noted since it was opened; one that goes to two sinks counts twice.
    pub fn frames_written(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Notes that a source ended before `frame`.
    ///
    /// # Errors
    /// Those of the file.
    pub fn end(&self, frame: u64) -> Result<()> {
        self.append(&Line::End { frame })
    }

    fn append(&self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|error| Error::failed("manifest", error.to_string()))?;
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).map_err(|error| Error::from_io("manifest", self.path.display(), error))
    }
}

/// Keeps other processes off; the kernel lets go of it when this process ends, however it ends.
fn lock(path: &Path, file: File) -> Result<Flock<File>> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => Ok(locked),
        Err((_, Errno::EWOULDBLOCK)) => {
            let detail = format!("{}: another process works on these frames", path.display());
            Err(Error::new(ErrorKind::Failed, "manifest", detail)
                .with_hint("let it end, or give this run a --job folder and output names of its own"))
        }
        Err((_, errno)) => Err(Error::from_errno("flock", path.display(), errno)
            .with_hint("the folder's file system must know locks: name another one with --job")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let sink = SinkHead { kind: SinkKind::Png, file: Some("a-%d.png".into()), every: 1, parts: false };
        Head {
            version: VERSION,
            pipeline: "a.toml".into(),
            settings: vec!["pass.x.y=\"1 2\"".into()],
            frames: 0..100,
            shard: Some((1, 4)),
            block: 25..50,
            warm_up: None,
            identity: [("pipeline".into(), "ab".into())].into(),
            sinks: [("p".into(), sink)].into(),
        }
    }

    fn record(frame: u64, xxh3: &str) -> Record {
        let file = format!("a-{frame}.png").into();
        Record { sink: "p".into(), frame: Some(frame), file, at: 0, bytes: 7, xxh3: xxh3.into() }
    }

    /// XXH3-128 of the specification's own test vectors (seed 0), as `xxhsum -H2` prints them.
    #[test]
    fn checksums_are_xxh3() {
        assert_eq!(Checksum::of(b""), "99aa06d3014798d86001c324468d497f");
        let mut pieces = Checksum::default();
        (0..100u8).for_each(|byte| pieces.update(&[byte]));
        assert_eq!(pieces.finish(), Checksum::of(&(0..100).collect::<Vec<u8>>()));
    }

    #[test]
    fn what_a_killed_worker_left_is_read_and_torn_lines_are_not() {
        let folder = std::env::temp_dir().join(format!("darkframe-manifest-{}", std::process::id()));
        let path = folder.join("job/b.jsonl");
        let (manifest, earlier) = Manifest::open(&path, &head(), true).unwrap();
        assert!(earlier.is_none());
        manifest.driver("llvmpipe").unwrap();
        manifest.wrote(record(25, "old")).unwrap();
        manifest.wrote(record(26, "b")).unwrap();
        manifest.wrote(record(25, "new")).unwrap();
        // While it is open nobody else gets it.
        let error = Manifest::open(&path, &head(), true).unwrap_err();
        assert!(error.to_string().contains("another process works on these frames"), "{error}");
        drop(manifest);

        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            // Every place at which a worker may be killed.
            let lines = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (manifest, earlier) = Manifest::open(&path, &head(), true).unwrap();
            let found = earlier.as_ref().map_or(0, |earlier| earlier.records.len());
            assert_eq!(found, [0, 0, 0, 1, 2, 2][lines], "cut at {cut}");
            assert_eq!(earlier.is_some(), lines > 0);
            manifest.wrote(record(27, "c")).unwrap();
            drop(manifest);
            let read = Contents::open(&path).unwrap();
            assert_eq!(read.head, head());
            assert_eq!(read.records.len(), found + 1);
            if lines == 5 {
                assert_eq!(read.record("p", Some(25)).unwrap().xxh3, "new");
                assert_eq!(read.drivers, ["llvmpipe"]);
            }
        }
        // Without resume an earlier run is gone.
        let (manifest, earlier) = Manifest::open(&path, &head(), false).unwrap();
        assert!(earlier.is_none());
        drop(manifest);
        assert!(Contents::open(&path).unwrap().records.is_empty());

        for (text, words) in [
            ("{\"is\":\"job\",\"version\":2}\n", "version 2, not 1"),
            ("hello\n", "none of a manifest"),
            ("\u{0}\n", "none of a manifest"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Contents::open(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(Manifest::open(&path, &head(), true).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "a file that is no manifest was changed");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn damaged_lines_are_ignored() {
        let path = std::env::temp_dir().join(format!("darkframe-damaged-{}.jsonl", std::process::id()));
        let mut text = serde_json::to_string(&Line::Job(head())).unwrap();
        text.push_str("\n{\"is\":\"wro\n\u{fffd}\n\n");
        text.push_str(&serde_json::to_string(&Line::Wrote(record(30, "x"))).unwrap());
        text.push_str("\n{\"is\":\"end\",\"frame\":40}\n{\"is\":\"end\",\"frame\":50}\n");
        std::fs::write(&path, text).unwrap();
        let contents = Contents::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((contents.records.len(), contents.end), (1, Some(40)));
    }
}
