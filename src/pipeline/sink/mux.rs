//! Coded streams in files: as they are, or in a container with the time of every picture.
//!
//! In: pieces of an encoder's stream. Out: a file that is whole at the end. Not here: who makes the pieces
//! (`v4l2::encoder`), how a file becomes whole (`output`).

use std::path::Path;

use crate::color::Color;
use crate::error::{Error, Result};
use crate::layout::Size;
use crate::v4l2::encoder::{Piece, codec};

use super::super::description::Rate;
use super::output::Output;

#[cfg(feature = "mux")]
pub mod matroska;
#[cfg(feature = "mux")]
pub mod mp4;
#[cfg(feature = "mux")]
pub mod units;

/// What is around a coded stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// ISO base media file format, ISO/IEC 14496-12.
    Mp4,
    /// RFC 9559.
    Matroska,
    /// Matroska's part for browsers.
    WebM,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Mp4 => "an MP4 file",
            Self::Matroska => "a Matroska file",
            Self::WebM => "a WebM file",
        })
    }
}

impl Container {
    /// By the file's extension; none for an elementary stream.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "mp4" | "m4v" => Some(Self::Mp4),
            "mkv" => Some(Self::Matroska),
            "webm" => Some(Self::WebM),
            _ => None,
        }
    }

    /// The codecs that are put into it here, by their names.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Mp4 => &["h264", "hevc"],
            Self::Matroska => &["h264", "hevc", "vp8", "vp9", "mjpeg"],
            Self::WebM => &["vp8", "vp9"],
        }
    }

    /// The codecs' codes.
    ///
    /// # Errors
    /// None: every name is one of a codec.
    pub fn codecs(self) -> Result<Vec<u32>> {
        self.names().iter().map(|name| codec(name)).collect()
    }

    /// Fails unless it carries the codec.
    ///
    /// # Errors
    /// `Unsupported`, `op` being `codec`: it does not, or this was built without the cargo feature `mux`.
    pub fn check(self, name: &str) -> Result<()> {
        if cfg!(not(feature = "mux")) {
            let detail = format!("{self}: built without the cargo feature `mux`");
            return Err(Error::unsupported("codec", detail).with_hint("another extension, as .h264, writes the stream"));
        }
        if self.names().contains(&name) {
            return Ok(());
        }
        let hint = match (self, Self::Matroska.names().contains(&name)) {
            (Self::Mp4 | Self::WebM, true) => "a Matroska file (.mkv) carries it".into(),
            _ => format!("it carries {}; another extension, as .{name}, writes the stream", self.names().join(", ")),
        };
        Err(Error::unsupported("codec", format!("{self} carries no {name}")).with_hint(hint))
    }
}

/// What a stream is.
#[derive(Clone, Debug)]
pub struct Track {
    /// The codec's name: `h264`.
    pub codec: String,
    /// The visible part of its pictures.
    pub size: Size,
    /// What their numbers mean.
    pub color: Color,
    /// Pictures per second, where nothing else tells how long the last one is shown.
    pub rate: Rate,
}

impl Track {
    /// ITU-T H.273's codes for primaries, transfer and matrix.
    #[cfg(feature = "mux")]
    fn color_codes(&self) -> (u8, u8, u8) {
        use crate::color::{Matrix, Primaries, Transfer};
        let primaries = match self.color.primaries {
            Primaries::Bt709 => 1,
            Primaries::Bt601Of625 => 5,
            Primaries::Bt601Of525 => 6,
            Primaries::Bt2020 => 9,
            Primaries::DisplayP3 => 12,
        };
        let transfer = match self.color.transfer {
            Transfer::Bt709 => 1,
            Transfer::Linear => 8,
            Transfer::Srgb => 13,
            Transfer::Pq => 16,
            Transfer::Hlg => 18,
        };
        let matrix = match self.color.matrix {
            Matrix::Identity => 0,
            Matrix::Bt709 => 1,
            Matrix::Bt601 => 6,
            Matrix::Smpte240m => 7,
            Matrix::Bt2020 => 9,
        };
        (primaries, transfer, matrix)
    }
}

/// A coded stream that becomes a file.
pub struct Stream(Kind);

enum Kind {
    Plain(Output),
    #[cfg(feature = "mux")]
    Mp4(mp4::Mp4),
    #[cfg(feature = "mux")]
    Matroska(matroska::Matroska),
}

impl Stream {
    /// Begins the file; the container is found by its extension.
    ///
    /// # Errors
    /// As [`Container::check`] and [`Output::create`]; `Unsupported` for an MP4 file that is a pipe.
    pub fn create(path: &Path, track: Track) -> Result<Self> {
        let container = Container::of(path);
        if let Some(container) = container {
            container.check(&track.codec)?;
        }
        let file = Output::create(path)?;
        Ok(Self(match container {
            None => Kind::Plain(file),
            #[cfg(feature = "mux")]
            Some(Container::Mp4) => Kind::Mp4(mp4::Mp4::begin(file, path, track)?),
            #[cfg(feature = "mux")]
            Some(container) => Kind::Matroska(matroska::Matroska::begin(file, track, container)),
            #[cfg(not(feature = "mux"))]
            Some(container) => return Err(Error::unsupported("mux", format!("{container}"))),
        }))
    }

    /// Takes a piece: a picture with or without headers, or headers alone.
    ///
    /// # Errors
    /// `Failed`: a stream that is not what it says it is. Those of the file.
    pub fn piece(&mut self, piece: Piece<'_>) -> Result<()> {
        match &mut self.0 {
            Kind::Plain(file) => file.write_all(piece.bytes),
            #[cfg(feature = "mux")]
            Kind::Mp4(mp4) => mp4.piece(piece),
            #[cfg(feature = "mux")]
            Kind::Matroska(matroska) => matroska.piece(piece),
        }
    }

    /// Gives the file its name. Bytes that were written.
    ///
    /// # Errors
    /// Those of the file.
    pub fn commit(self) -> Result<u64> {
        match self.0 {
            Kind::Plain(file) => file.commit(),
            #[cfg(feature = "mux")]
            Kind::Mp4(mp4) => mp4.finish()?.commit(),
            #[cfg(feature = "mux")]
            Kind::Matroska(matroska) => matroska.finish()?.commit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_codec() {
        for container in [Container::Mp4, Container::Matroska, Container::WebM] {
            assert_eq!(container.codecs().unwrap().len(), container.names().len());
        }
        assert_eq!(Container::of(Path::new("a/b.MP4")), Some(Container::Mp4));
        assert_eq!(Container::of(Path::new("-")), None);
        assert_eq!(Container::of(Path::new("mp4")), None);
    }
}
