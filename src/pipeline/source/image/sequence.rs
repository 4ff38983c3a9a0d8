//! Several image files, each a frame.
//!
//! In: files in their order. Out: one decoded picture at a time: the source's thread is as far ahead as it has buffers.
//! Not here: which files they are (`list`).

use std::path::PathBuf;

use crate::buffer::Map;
use crate::error::{Error, Result};
use crate::layout::Layout;

use super::super::{Info, Reader};
use super::{Options, check_size, decode, info, put};

/// Decodes files when they are wanted.
pub struct SequenceReader {
    files: Vec<PathBuf>,
    options: Options,
    info: Info,
    notes: Vec<String>,
}

impl SequenceReader {
    /// Decodes the first file, and looks at the sizes of the others where no size is given.
    pub fn open(files: Vec<PathBuf>, options: Options) -> Result<Self> {
        let [first, others @ ..] = files.as_slice() else {
            return Err(Error::invalid("open", "no files"));
        };
        let picture = decode::decode_file(first, &options.decoding)?;
        let mut notes = picture.notes;
        let size = options.framing.map_or(picture.size, |framing| framing.size);
        if let Some(framing) = options.framing {
            notes.push(format!("scaled to {} ({})", framing.size, framing.fit));
        }
        let info = Info { frames: Some(files.len() as u64), ..info(size) };
        if options.framing.is_none() {
            for file in others {
                let size = decode::size_of_file(file, &options.decoding)?;
                check_size(&info, &first.display(), size, &file.display())?;
            }
        }
        Ok(Self { files, options, info, notes })
    }
}

impl Reader for SequenceReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&mut self, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        let Some(file) = usize::try_from(index).ok().and_then(|index| self.files.get(index)) else {
            return Ok(false);
        };
        let picture = decode::decode_file(file, &self.options.decoding)?;
        let picture = self.options.frame(picture)?;
        // It may have been replaced since.
        check_size(&self.info, &self.files[0].display(), picture.size, &file.display())?;
        put(&picture, layout, into);
        Ok(true)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
