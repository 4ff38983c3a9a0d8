//! Animations: GIF, WebP and PNG files with several pictures, each a frame.
//!
//! In: a file. Out: whole pictures, what a frame leaves as it was filled in.
//! Not here: the time that each picture is shown: a source has one rate, the mean of the file's.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use image::codecs::png::PngDecoder;
#[cfg(feature = "image-formats")]
use image::codecs::{gif::GifDecoder, webp::WebPDecoder};
use image::{AnimationDecoder, Frames, ImageDecoder, ImageFormat, ImageReader, ImageResult};

use crate::buffer::Map;
use crate::error::{Error, Result};
use crate::layout::{Layout, Size};

use super::super::super::description::Rate;
use super::super::{Info, Reader};
use super::{Options, Picture, check_size, decode, info, put};

/// Takes one picture after the other from a thread that decodes them: decoders stay on the thread that made them.
pub struct AnimationReader {
    path: PathBuf,
    options: Options,
    pictures: Receiver<Result<Picture>>,
    /// The number of the next one of `pictures`.
    next: u64,
    info: Info,
    notes: Vec<String>,
}

impl AnimationReader {
    /// Opens a file and counts its pictures, all of which are decoded for it; `None` where it is no animation of two
    /// pictures or more.
    pub fn open(path: &Path, options: Options) -> Result<Option<Self>> {
        let Some(frames) = frames(path)? else { return Ok(None) };
        let (mut count, mut size, mut shown_ms) = (0u64, None, 0.0);
        let (mut shortest, mut longest) = (f64::MAX, 0f64);
        for frame in frames {
            let frame = frame.map_err(|error| decode::decode_error(path, size, error))?;
            let (numerator, denominator) = frame.delay().numer_denom_ms();
            let ms = f64::from(numerator) / f64::from(denominator.max(1));
            (shown_ms, shortest, longest) = (shown_ms + ms, shortest.min(ms), longest.max(ms));
            size = Some(Size::new(frame.buffer().width(), frame.buffer().height()));
            count += 1;
        }
        let (Some(size), true) = (size, count > 1) else { return Ok(None) };
        let mut notes = Vec::new();
        if longest > shortest {
            notes.push(format!("its pictures are shown for {shortest} to {longest} ms each: read at their mean rate"));
        }
        let rate = count as f64 * 1000.0 / shown_ms;
        let rate = (rate.is_finite() && rate < 1000.0).then(|| format!("{rate:.3}").parse::<Rate>().ok()).flatten();
        let size = options.framing.map_or(size, |framing| framing.size);
        let info = Info { frames: Some(count), rate, ..info(size) };
        let pictures = decoding(path.to_owned())?;
        Ok(Some(Self { path: path.to_owned(), options, pictures, next: 0, info, notes }))
    }
}

/// Starts decoding from the first picture. The thread is one picture ahead, and ends with the receiver.
fn decoding(path: PathBuf) -> Result<Receiver<Result<Picture>>> {
    let (into, pictures) = sync_channel(1);
    let decode = move || {
        let frames = match frames(&path) {
            Ok(frames) => frames,
            // Nobody listens where the reader is gone.
            Err(error) => return drop(into.send(Err(error))),
        };
        for frame in frames.into_iter().flatten() {
            let picture = frame.map_err(|error| decode::decode_error(&path, None, error)).map(|frame| {
                let pixels = frame.into_buffer();
                let size = Size::new(pixels.width(), pixels.height());
                Picture { size, pixels: pixels.into_raw(), notes: Vec::new() }
            });
            let failed = picture.is_err();
            if into.send(picture).is_err() || failed {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("animation".into()).spawn(decode);
    started.map_err(|error| Error::from_io("thread", "animation", error))?;
    Ok(pictures)
}

/// The pictures of an animation; `None` for any other file.
fn frames(path: &Path) -> Result<Option<Frames<'static>>> {
    let reader = ImageReader::new(decode::open(path)?)
        .with_guessed_format()
        .map_err(|error| Error::from_io("read", path.display(), error))?;
    let format = reader.format();
    let open = || frames_of(format, reader.into_inner());
    match open() {
        Ok(frames) => Ok(frames),
        Err(error) => Err(decode::decode_error(path, None, error)),
    }
}

fn frames_of(format: Option<ImageFormat>, file: BufReader<File>) -> ImageResult<Option<Frames<'static>>> {
    // The canvas, the one before it, and what the decoder needs beside.
    fn within(decoder: &mut impl ImageDecoder) -> ImageResult<()> {
        let mut limits = decode::limits(decode::MAX_DECODE_BYTES);
        let (width, height) = decoder.dimensions();
        limits.check_dimensions(width, height)?;
        limits.reserve(u64::from(width) * u64::from(height) * 4)?;
        decoder.set_limits(limits)
    }
    Ok(match format {
        Some(ImageFormat::Png) => {
            let mut decoder = PngDecoder::with_limits(file, decode::limits(decode::MAX_DECODE_BYTES))?;
            if !decoder.is_apng()? {
                return Ok(None);
            }
            within(&mut decoder)?;
            Some(decoder.apng()?.into_frames())
        }
        #[cfg(feature = "image-formats")]
        Some(ImageFormat::Gif) => {
            let mut decoder = GifDecoder::new(file)?;
            within(&mut decoder)?;
            Some(decoder.into_frames())
        }
        #[cfg(feature = "image-formats")]
        Some(ImageFormat::WebP) => {
            let mut decoder = WebPDecoder::new(file)?;
            if !decoder.has_animation() {
                return Ok(None);
            }
            within(&mut decoder)?;
            Some(decoder.into_frames())
        }
        _ => None,
    })
}

impl Reader for AnimationReader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read(&mut self, index: u64, layout: &Layout, into: &mut Map<'_>) -> Result<bool> {
        if index < self.next {
            (self.pictures, self.next) = (decoding(self.path.clone())?, 0);
        }
        loop {
            let Ok(picture) = self.pictures.recv() else { return Ok(false) };
            let picture = picture?;
            self.next += 1;
            if self.next <= index {
                continue;
            }
            let picture = self.options.frame(picture)?;
            check_size(&self.info, &"the first picture", picture.size, &self.path.display())?;
            put(&picture, layout, into);
            return Ok(true);
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
