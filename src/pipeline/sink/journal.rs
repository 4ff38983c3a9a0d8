//! What a sink tells about the pictures that it has made whole, so that a killed run can go on where it was.
//!
//! In: frames with their bytes. Out: lines of a manifest, with checksums. Without a manifest nothing happens.
//! Not here: the manifest's form (`manifest`), which frames are missing (`resume`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;

use super::super::frames::FrameSet;
use super::super::manifest::{Checksum, Manifest, Record};
use super::Written;
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

/// The one file with all frames of a sink, or this run's part of it; or a stream, which is closed behind the last frame
/// while files wait until every sink has written everything.
#[derive(Debug)]
pub struct OneFile {
    output: Option<Output>,
    written: Written,
    path: PathBuf,
    journal: Journal,
}

impl OneFile {
    /// Opens the file, or the part behind what is whole there, and writes `header` where nothing is.
    ///
    /// # Errors
    /// As [`Output::create`]; those of the manifest.
    pub fn open(path: &Path, journal: Journal, header: &[u8]) -> Result<Self> {
        let mut output = match journal.0.as_ref().and_then(|book| book.part.as_ref()) {
            Some((part, keep)) => Output::append(part, *keep)?,
            None => Output::create(path)?,
        };
        if output.bytes() == 0 && !header.is_empty() {
            output.write_all(header)?;
            journal.wrote(None, path, 0, [header])?;
        }
        Ok(Self { output: Some(output), written: Written::default(), path: path.to_owned(), journal })
    }

    /// Writes the pieces of a frame.
    ///
    /// # Errors
    /// As [`Output::write_all`]; those of the manifest.
    pub fn write<'a>(&mut self, frame: u64, pieces: impl Iterator<Item = &'a [u8]> + Clone) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let at = output.bytes();
        output.write_pieces(pieces.clone())?;
        self.written.pictures += 1;
        self.journal.wrote(Some(frame), &self.path, at, pieces)
    }

    /// As [`Writer::end`](super::Writer::end).
    ///
    /// # Errors
    /// Those of the stream.
    pub fn end(&mut self) -> Result<()> {
        if self.output.as_ref().is_some_and(Output::is_stream) {
            self.finish()?;
        }
        Ok(())
    }

    /// As [`Output::commit`]; once.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn finish(&mut self) -> Result<Written> {
        if let Some(output) = self.output.take() {
            self.written.bytes = output.commit()?;
        }
        Ok(self.written)
    }
}
