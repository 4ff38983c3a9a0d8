//! Linked programs kept on disk, so that a driver need not compile them again.
//!
//! In: the texts of a program, the driver's name. Out: its binary, where this driver made it of these texts and still
//! takes it. Not here: compiling (`program`).
//!
//! An entry holds its whole key (driver and texts) and a checksum: one that is torn, foreign or of another driver is
//! ignored and removed. Entries are written aside and renamed. When all of them are larger than the bound, the oldest go.
//! Any of them may be deleted at any time. Drivers that draw with the CPU keep compiled code themselves: they
//! are left out unless they are asked for. What either kind gains has not been measured.

use std::io::Write as _;
use std::path::{Path, PathBuf};
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
        let aside = path.with_extension(format!("{}.new", std::process::id()));
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
}
