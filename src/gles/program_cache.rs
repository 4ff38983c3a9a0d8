//! Linked programs kept on disk, so that a driver need not compile them again.
//!
//! In: the texts of a program, the driver's name. Out: its binary, where this driver made it of these texts and still
//! takes it. Not here: compiling (`program`).
//!
//! An entry holds its whole key (driver and texts) and a checksum: one that is torn, foreign or of another driver is
//! ignored and removed. Entries are written aside and renamed. When all of them are larger than the bound, the oldest go.
//! Any of them may be deleted at any time. Drivers that draw with the CPU keep compiled code themselves: they
//! are left out unless they are asked for. `benches/run start` measures what either kind gains.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use glow::HasContext;

use super::gl::Gl;
use crate::error::{Error, Result};

/// Bytes of all entries; beyond it the oldest are removed until half is left.
const MAX_BYTES: u64 = 32 << 20;
/// One entry that is larger is not kept.
const MAX_ENTRY_BYTES: usize = 4 << 20;
const MAGIC: &[u8; 8] = b"DFPROG1\n";
const NUM_PROGRAM_BINARY_FORMATS: u32 = 0x87FE;

/// A folder of linked programs.
#[derive(Clone, Debug)]
pub struct ProgramCache {
    folder: PathBuf,
    max_bytes: u64,
    on_software: bool,
}

impl ProgramCache {
    /// Keeps programs in `folder`, which is made when the first is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), max_bytes: MAX_BYTES, on_software: false }
    }

    /// Another bound for the bytes of all entries.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Also where the CPU draws.
    #[must_use]
    pub fn on_software(mut self, wanted: bool) -> Self {
        self.on_software = wanted;
        self
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this driver gives and takes binaries, and gains by it.
    pub(super) fn serves(&self, gl: &Gl) -> bool {
        let caps = gl.caps();
        let offered = caps.at_least(3, 0) || caps.extensions.has("GL_OES_get_program_binary");
        if !offered || (caps.is_software && !self.on_software) {
            return false;
        }
        // SAFETY: a context is current, and the version or the extension has this query.
        unsafe { gl.glow().get_parameter_i32(NUM_PROGRAM_BINARY_FORMATS) > 0 }
    }

    /// What a program is made of and by whom.
    pub(super) fn key(gl: &Gl, vertex: &str, fragment: &str) -> Vec<u8> {
        let caps = gl.caps();
        let parts = [env!("CARGO_PKG_VERSION"), &caps.vendor, &caps.renderer, &caps.version_text, vertex, fragment];
        parts.join("\0").into_bytes()
    }

    /// Gives `program` the binary of `key`; false where there is none or the driver refuses it.
    pub(super) fn load(&self, gl: &Gl, key: &[u8], program: glow::NativeProgram) -> bool {
        let path = self.path(key);
        let Ok(bytes) = std::fs::read(&path) else { return false };
        let Some((format, binary)) = read(&bytes, key) else {
            tracing::debug!(path = %path.display(), "no program of this driver: removed");
            let _ = std::fs::remove_file(&path);
            return false;
        };
        let binary = glow::ProgramBinary { buffer: binary.to_vec(), format };
        // SAFETY: a context is current, the program its own; `serves` has seen that the functions are there. A binary
        // that the driver does not take leaves the program unlinked.
        let linked = unsafe {
            gl.glow().program_binary(program, &binary);
            let fine = gl.glow().get_error() == glow::NO_ERROR;
            gl.glow().get_program_link_status(program) && fine
        };
        if !linked {
            tracing::debug!(path = %path.display(), "the driver refuses its binary: removed");
            let _ = std::fs::remove_file(&path);
        }
        linked
    }

    /// Asks the driver to keep what it links for [`store`](Self::store).
    pub(super) fn prepare(gl: &Gl, program: glow::NativeProgram) {
        if gl.caps().at_least(3, 0) {
            // SAFETY: a context of version 3 is current, the program its own.
            unsafe { gl.glow().program_binary_retrievable_hint(program, true) };
        }
    }

    /// Keeps a linked program. What goes wrong only costs time at the next start.
    pub(super) fn store(&self, gl: &Gl, key: &[u8], program: glow::NativeProgram) {
        // SAFETY: a context is current, the program linked; `serves` has seen that the function is there.
        let Some(binary) = (unsafe { gl.glow().get_program_binary(program) }) else { return };
        if binary.buffer.is_empty() || binary.buffer.len() > MAX_ENTRY_BYTES {
            return;
        }
        let written = self.write(&self.path(key), &entry(key, binary.format, &binary.buffer));
        match written {
            Ok(()) => self.keep_within(),
            Err(error) => tracing::debug!(%error, "a program is not kept"),
        }
    }

    fn path(&self, key: &[u8]) -> PathBuf {
        self.folder.join(format!("{:016x}{:016x}.program", checksum(0, key), checksum(1, key)))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let failed = |error| Error::from_io("write", path.display().to_string(), error);
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        // Other threads may be writing the same one.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let aside = path.with_extension(format!("{}-{number}.new", std::process::id()));
        let written = std::fs::File::create(&aside).and_then(|mut file| file.write_all(bytes));
        let written = written.and_then(|()| std::fs::rename(&aside, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&aside);
        }
        written.map_err(failed)
    }

    /// Removes the oldest entries where all of them are too large.
    fn keep_within(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let data = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((data.modified().ok()?, data.len(), entry.path()))
            })
            .collect();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        if bytes <= self.max_bytes {
            return;
        }
        files.sort();
        for (_, length, path) in files {
            if bytes <= self.max_bytes / 2 {
                break;
            }
            // Another run may have removed it.
            let _ = std::fs::remove_file(path);
            bytes -= length;
        }
    }
}

/// FNV-1a, 64 bits; `seed` makes a second, different one.
fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

fn entry(key: &[u8], format: u32, binary: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key);
    bytes.extend(format.to_le_bytes());
    bytes.extend((binary.len() as u64).to_le_bytes());
    bytes.extend(binary);
    bytes.extend(checksum(2, &bytes).to_le_bytes());
    bytes
}

/// Format and binary of an entry, where it is one of `key` and whole.
fn read<'a>(bytes: &'a [u8], key: &[u8]) -> Option<(u32, &'a [u8])> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    if sum != checksum(2, body).to_le_bytes() {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let rest = rest.strip_prefix(&(key.len() as u64).to_le_bytes())?.strip_prefix(key)?;
    let (format, rest) = rest.split_first_chunk::<4>()?;
    let (length, binary) = rest.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*length) == binary.len() as u64).then(|| (u32::from_le_bytes(*format), binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_entries_of_the_key_are_read() {
        let whole = entry(b"key", 7, b"binary");
        assert_eq!(read(&whole, b"key"), Some((7, &b"binary"[..])));
        assert!(read(&whole, b"kex").is_none() && read(&whole, b"ke").is_none());
        for length in 0..whole.len() {
            assert!(read(&whole[..length], b"key").is_none(), "{length}");
        }
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 0x40;
            assert!(read(&torn, b"key").is_none(), "{at}");
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("darkframe-programs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    /// What is there of each key.
    fn there(cache: &ProgramCache, keys: &[String]) -> Vec<bool> {
        keys.iter()
            .map(|key| {
                let bytes = std::fs::read(cache.path(key.as_bytes()));
                bytes.is_ok_and(|bytes| read(&bytes, key.as_bytes()).is_some())
            })
            .collect()
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_until_half_is_left() {
        let cache = ProgramCache::new(folder("bound")).max_bytes(10_000);
        let keys: Vec<String> = (0..8).map(|key| format!("key {key}")).collect();
        for (age, key) in keys.iter().enumerate() {
            let path = cache.path(key.as_bytes());
            // A little more than a tenth of the bound each; the first is the oldest.
            cache.write(&path, &entry(key.as_bytes(), 1, &[0; 1200])).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 + age as u64);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
            cache.keep_within();
        }
        assert_eq!(there(&cache, &keys), [true; 8]);
        // The bound is passed by what a killed run left, which is older than all.
        let left = cache.folder.join("0.program.1-0.new");
        std::fs::write(&left, [0; 1000]).unwrap();
        std::fs::File::options().write(true).open(&left).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        cache.keep_within();
        // Each has 1200 bytes and its head: four fit into half.
        let size = entry(keys[0].as_bytes(), 1, &[0; 1200]).len() as u64;
        assert!(4 * size <= 5000 && 5 * size > 5000 && 8 * size <= 10_000 && 8 * size + 1000 > 10_000, "{size}");
        assert_eq!(there(&cache, &keys), [false, false, false, false, true, true, true, true]);
        assert!(!left.exists());
        std::fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn writers_and_removers_at_once_leave_whole_entries_only() {
        let cache = ProgramCache::new(folder("race")).max_bytes(40_000);
        let keys: Vec<String> = (0..6).map(|key| format!("key {key}")).collect();
        // Of each key every writer has the same length and its own byte: a mixture shows.
        let check = |key: &str| {
            let Ok(bytes) = std::fs::read(cache.path(key.as_bytes())) else { return false };
            let (format, binary) = read(&bytes, key.as_bytes()).expect("half an entry");
            assert!(binary.len() == 9000 && binary.iter().all(|byte| u32::from(*byte) == format), "a mixture");
            true
        };
        let seen: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4u8)
                .map(|writer| {
                    let (cache, keys, check) = (&cache, &keys, &check);
                    scope.spawn(move || {
                        let rounds = keys.iter().cycle().take(240);
                        rounds
                            .map(|key| {
                                let whole = entry(key.as_bytes(), writer.into(), &[writer; 9000]);
                                // Another one may remove what is being written, where that is the oldest there is.
                                let _ = cache.write(&cache.path(key.as_bytes()), &whole);
                                cache.keep_within();
                                usize::from(check(key))
                            })
                            .sum::<usize>()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(seen > 0, "nothing was ever there");
        cache.keep_within();
        let files: Vec<_> = std::fs::read_dir(&cache.folder).unwrap().flatten().collect();
        let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(bytes <= 40_000, "{bytes}");
        assert!(files.iter().all(|file| file.path().extension().is_some_and(|name| name == "program")), "{files:?}");
        std::fs::remove_dir_all(&cache.folder).unwrap();
    }
}
