//! What a sink tells about the pictures that it has made whole, so that a killed run can go on where it was.
//!
//! In: frames with their bytes. Out: lines of a manifest, with checksums. Without a manifest nothing happens.
//! Not here: the manifest's form (`manifest`), which frames are missing (`resume`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;

use super::super::frames::FrameSet;
use super::super::manifest::{Checksum, Manifest, Record};
use super::output::Output;

/// A sink's way to the manifest; by default there is none, and every frame is wanted.
#[derive(Clone, Debug, Default)]
pub struct Journal(Option<Arc<Book>>);

/// What a sink of a job knows.
#[derive(Debug)]
pub struct Book {
    /// Where lines go.
    pub manifest: Arc<Manifest>,
    /// The sink's name.
    pub sink: String,
    /// Frames that are not whole on disk yet.
    pub missing: FrameSet,
    /// Where all frames are in one file: the part of it that this run writes, and how much of that is whole already.
    pub part: Option<(PathBuf, u64)>,
}

impl Journal {
    /// Lines for `book`.
    pub fn new(book: Book) -> Self {
        Self(Some(Arc::new(book)))
    }

    /// The sink takes this frame.
    pub fn wants(&self, frame: u64) -> bool {
        self.0.as_ref().is_none_or(|book| book.missing.contains(frame))
    }

    /// Opens the file with all frames, or the part of it that this run writes: behind what is whole there, so that
    /// [`Output::bytes`] begins with that.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub fn open(&self, path: &Path) -> Result<Output> {
        match self.0.as_ref().and_then(|book| book.part.as_ref()) {
            Some((part, keep)) => Output::append(part, *keep),
            None => Output::create(path),
        }
    }

    /// `pieces` are whole in `file` from byte `at`: those of `frame`, or of what stands before the first one.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn wrote<'a>(
        &self,
        frame: Option<u64>,
        file: &Path,
        at: u64,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<()> {
        let Some(book) = &self.0 else { return Ok(()) };
        let (mut bytes, mut checksum) = (0, Checksum::default());
        for piece in pieces {
            bytes += piece.len() as u64;
            checksum.update(piece);
        }
        let file = book.part.as_ref().map_or(file, |(part, _)| part);
        book.manifest.wrote(Record {
            sink: book.sink.clone(),
            frame,
            file: file.to_owned(),
            at,
            bytes,
            xxh3: checksum.finish(),
        })
    }
}
