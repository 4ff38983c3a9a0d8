//! Pictures from a stream: PNG or JPEG files one behind the other, as `ffmpeg -f image2pipe` writes them.
//!
//! In: a stream. Out: its pictures in their order. Any other kind of file is one picture, up to the end of the stream.
//! Not here: decoding (`decode`).

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::buffer::Map;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;

use super::super::{Info, Input, Reader, Stop};
use super::{Options, Picture, check_size, decode, info, put};

/// What one encoded picture may have.
const MAX_ENCODED_BYTES: usize = 256 << 20;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";
/// A pipe holds more, and a picture that is whole does not wait long for the next.
const PIECE_BYTES: usize = 4096;

/// Reads pictures as they come.
pub struct StreamReader {
    input: Input,
    at: u64,
    options: Options,
    info: Info,
    /// The next picture's number, and the picture, where it is read already.
    next: (u64, Option<Picture>),
    notes: Vec<String>,
}

impl StreamReader {
    /// Reads the first picture.
    pub fn open(path: &Path, options: Options, stop: &Stop) -> Result<Self> {
        let input = Input::open(path, stop)?;
        let (next, notes) = ((0, None), Vec::new());
        let mut reader = Self { input, at: 0, options, info: info(crate::layout::Size::new(1, 1)), next, notes };
        let Some(first) = reader.picture()? else {
            return Err(reader.input.error(0, "the stream has no picture"));
        };
        reader.info = info(first.size);
        reader.notes.clone_from(&first.notes);
        reader.next.1 = Some(first);
        Ok(reader)
    }

    /// The next picture of the stream.
    fn picture(&mut self) -> Result<Option<Picture>> {
        let begin = self.at;
        let Some(bytes) = self.encoded()? else { return Ok(None) };
        let name = PathBuf::from(format!("{}: byte {begin}", self.input.name()));
        let picture = decode::decode(Cursor::new(bytes), &name, &self.options.decoding)?;
        self.options.frame(picture).map(Some)
    }

    /// The bytes of the next picture.
    fn encoded(&mut self) -> Result<Option<Vec<u8>>> {
        let mut start = [0; 8];
        let got = self.input.read_up_to(self.at, &mut start)?;
        if got == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        if start == PNG {
            self.png(&mut bytes)?;
        } else if start.starts_with(JPEG) {
            self.jpeg(&mut bytes)?;
        } else {
            while self.piece(&mut bytes)? > 0 {}
        }
        Ok(Some(bytes))
    }

    /// Chunks, each with its length, up to `IEND`.
    fn png(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.take(bytes, PNG.len())?;
        loop {
            let chunk = bytes.len();
            self.take(bytes, 8)?;
            let length = u32::from_be_bytes([bytes[chunk], bytes[chunk + 1], bytes[chunk + 2], bytes[chunk + 3]]);
            let is_end = &bytes[chunk + 4..chunk + 8] == b"IEND";
            self.take(bytes, length as usize + 4)?;
            if is_end {
                return Ok(());
            }
        }
    }

    /// Segments, each with its length; behind `SOS` pixels, in which no marker but those of `RST` stands.
    fn jpeg(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.take(bytes, 2)?;
        loop {
            self.take(bytes, 2)?;
            let [before, mut marker] = [bytes[bytes.len() - 2], bytes[bytes.len() - 1]];
            if before != 0xff {
                return Err(self.input.error(self.at - 2, "a JPEG file has no marker here: the stream is damaged"));
            }
            // Any number of them may stand before a marker.
            while marker == 0xff {
                self.take(bytes, 1)?;
                marker = bytes[bytes.len() - 1];
            }
            match marker {
                0xd9 => return Ok(()),
                0x01 | 0xd0..=0xd7 => continue,
                _ => {}
            }
            self.take(bytes, 2)?;
            let length = u16::from_be_bytes([bytes[bytes.len() - 2], bytes[bytes.len() - 1]]);
            self.take(bytes, usize::from(length).saturating_sub(2))?;
            if marker == 0xda {
                self.pixels(bytes)?;
            }
        }
    }

    /// Entropy-coded bytes up to the next marker, which is left.
    fn pixels(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        let mut piece = [0; PIECE_BYTES];
        loop {
            let got = self.input.read_up_to(self.at, &mut piece)?;
            let pairs = piece[..got].windows(2);
            let marker = pairs.enumerate().find(|(_, pair)| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7));
            match marker {
                Some((at, _)) => return self.take(bytes, at),
                // A last 0xff may be the first half of a marker.
                None if got > 1 => self.take(bytes, got - 1)?,
                None => return Err(self.input.error(self.at, "the stream ends inside a JPEG file")),
            }
        }
    }

    /// Moves `count` bytes of the stream to the end of `bytes`.
    fn take(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            self.check(bytes.len() + left)?;
            // Only what is there takes memory.
            let piece = left.min(PIECE_BYTES);
            let start = bytes.len();
            bytes.resize(start + piece, 0);
            self.input.read_exact(self.at, &mut bytes[start..])?;
            (self.at, left) = (self.at + piece as u64, left - piece);
        }
        Ok(())
    }

    /// Moves some bytes of the stream to the end of `bytes`: how many.
    fn piece(&mut self, bytes: &mut Vec<u8>) -> Result<usize> {
        self.check(bytes.len())?;
        let mut piece = [0; PIECE_BYTES];
        let got = self.input.read_up_to(self.at, &mut piece)?;
        self.input.read_exact(self.at, &mut piece[..got])?;
        bytes.extend_from_slice(&piece[..got]);
        self.at += got as u64;
        Ok(got)
    }

    fn check(&self, count: usize) -> Result<()> {
        if count <= MAX_ENCODED_BYTES {
            return Ok(());
        }
        let detail = format!("{}: byte {}: a picture of more than 256 MiB", self.input.name(), self.at);
        Err(Error::new(ErrorKind::OutOfMemory, "read", detail).with_hint("the stream is damaged, or is no picture"))
    }
}

impl Reader for StreamReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn ready(&mut self, timeout: Duration) -> Result<bool> {
        match self.next.1 {
            Some(_) => Ok(true),
            None => self.input.ready(timeout),
        }
    }

    fn read(&mut self, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        loop {
            let (number, read) = (self.next.0, self.next.1.take());
            let picture = match read {
                Some(picture) => Some(picture),
                None => self.picture()?,
            };
            let Some(picture) = picture else { return Ok(false) };
            self.next.0 += 1;
            if number < index {
                continue;
            }
            let name = format!("picture {number} of {}", self.input.name());
            check_size(&self.info, &"the first", picture.size, &name)?;
            put(&picture, layout, into);
            return Ok(true);
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
