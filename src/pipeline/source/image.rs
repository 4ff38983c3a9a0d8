//! Image files: one picture that is held, several files as frames, an animation, or pictures from a stream.
//!
//! In: PNG, JPEG, WebP, GIF, BMP, TIFF, PBM, PGM, PPM, PAM. Out: bytes R, G, B, A (`ABGR8888`), alpha not premultiplied.
//! Not here: which files a name stands for (`list`), how a picture is decoded (`decode`) and scaled (`fit`).

use std::path::{Path, PathBuf};

use crate::buffer::Map;
use crate::color::Color;
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::{Layout, Size};

use super::{Info, Reader, Stop};

mod animation;
pub mod decode;
pub mod fit;
pub mod list;
mod sequence;
mod stream;

pub use decode::{Decoding, Picture};
pub use fit::Framing;

/// How files are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What is done with what a file says beside its pixels.
    pub decoding: Decoding,
    /// The size that every picture gets; as it is without.
    pub framing: Option<Framing>,
}

impl Options {
    fn frame(&self, picture: Picture) -> Result<Picture> {
        match &self.framing {
            Some(framing) => framing.place(picture),
            None => Ok(picture),
        }
    }
}

/// Opens one file: a picture, which is decoded now, or an animation, whose pictures are frames. What it is is seen from
/// its content.
///
/// # Errors
/// `NotFound`, `PermissionDenied`; `InvalidInput` where it is damaged, `Unsupported` where it is of another kind,
/// `OutOfMemory` where it is larger than 65536 pixels a side or 1 GiB.
pub fn open(path: &Path, options: Options) -> Result<Box<dyn Reader>> {
    if let Some(animation) = animation::AnimationReader::open(path, options)? {
        return Ok(Box::new(animation));
    }
    let picture = decode::decode_file(path, &options.decoding)?;
    Ok(Box::new(StillReader::new(options.frame(picture)?)))
}

/// Opens several files, each a frame, in this order. They are decoded one by one when they are wanted.
///
/// # Errors
/// As [`open`] for the first; `InvalidInput` where the files have different sizes and `options` has none.
pub fn open_all(files: Vec<PathBuf>, options: Options) -> Result<Box<dyn Reader>> {
    Ok(Box::new(sequence::SequenceReader::open(files, options)?))
}

/// Opens a stream: PNG or JPEG pictures one behind the other, or one picture of any kind up to the stream's end.
///
/// # Errors
/// As [`open`]; `InvalidInput` where the stream is empty.
pub fn open_stream(path: &Path, options: Options, stop: &Stop) -> Result<Box<dyn Reader>> {
    Ok(Box::new(stream::StreamReader::open(path, options, stop)?))
}

/// What pictures of image files are.
fn info(size: Size) -> Info {
    Info { size, fourcc: Fourcc::ABGR8888, color: Color::SRGB, rate: None, frames: None, still: false }
}

/// Puts the rows of `picture` where they belong in a buffer of its size.
fn put(picture: &Picture, layout: &Layout, into: &mut Map<'_>) {
    let row_bytes = picture.size.width as usize * 4;
    let stride = layout.planes()[0].stride_bytes as usize;
    for (target, row) in into.plane_mut(0).chunks_mut(stride).zip(picture.pixels.chunks_exact(row_bytes)) {
        target[..row_bytes].copy_from_slice(row);
    }
}

/// Fails where a picture is not as large as those before it.
fn check_size(info: &Info, first: &dyn std::fmt::Display, size: Size, name: &dyn std::fmt::Display) -> Result<()> {
    if size == info.size {
        return Ok(());
    }
    let detail = format!("{name} is {size}, {first} is {}: the pictures of a source have one size", info.size);
    Err(Error::invalid("size", detail).with_hint(format!("add size = \"{}\" (and fit) to scale them", info.size)))
}

/// Holds one decoded picture for the whole run.
pub struct StillReader {
    picture: Picture,
    info: Info,
}

impl StillReader {
    /// Takes pixels of sRGB.
    pub(super) fn new(picture: Picture) -> Self {
        let info = Info { frames: Some(1), still: true, ..info(picture.size) };
        Self { picture, info }
    }
}

impl Reader for StillReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&mut self, _index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        put(&self.picture, layout, into);
        Ok(true)
    }

    fn notes(&self) -> Vec<String> {
        self.picture.notes.clone()
    }
}
