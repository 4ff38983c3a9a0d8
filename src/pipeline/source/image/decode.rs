//! One encoded picture to pixels: upright, in sRGB, within limits.
//!
//! In: bytes of any kind that is read. Out: a [`Picture`].
//! Not here: animations (`animation`), sizes (`fit`).
//!
//! 16 bits a channel are rounded to 8. A colour profile (ICC) of RGB pixels is converted to sRGB by its matrix or tables,
//! relative colorimetric; one that is sRGB within a code changes nothing. Profiles of grey and CMYK pixels are not used.

use std::io::{BufRead, BufReader, Seek};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, metadata::Orientation};
use moxcms::{ColorProfile, DataColorSpace, TransformOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::layout::{MAX_DIMENSION, Size};

use super::super::input::open_file;

/// What decoding one picture may allocate.
pub const MAX_DECODE_BYTES: u64 = 1 << 30;

/// What is read, for people.
pub(super) const KINDS: &str = if cfg!(feature = "image-formats") {
    "PNG, JPEG, WebP, GIF, BMP, TIFF, PBM, PGM, PPM and PAM"
} else {
    "PNG, JPEG, PBM, PGM, PPM and PAM; a build with the cargo feature image-formats (on by default) reads WebP, GIF, BMP and TIFF too"
};

/// What is done with what a file says beside its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoding {
    /// Turn and mirror the picture as the orientation (EXIF, TIFF) says.
    pub upright: bool,
    /// Convert from the file's colour profile to sRGB.
    pub to_srgb: bool,
    /// What decoding may allocate.
    pub max_bytes: u64,
}

impl Default for Decoding {
    fn default() -> Self {
        Self { upright: true, to_srgb: true, max_bytes: MAX_DECODE_BYTES }
    }
}

/// Pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width and height.
    pub size: Size,
    /// Bytes R, G, B, A without padding, row 0 at the top.
    pub pixels: Vec<u8>,
    /// What was done to it, for reports.
    pub notes: Vec<String>,
}

/// Decodes a file.
///
/// # Errors
/// As [`decode`]; those of the file.
pub fn decode_file(path: &Path, decoding: &Decoding) -> Result<Picture> {
    decode(open(path)?, path, decoding)
}

/// The size of the picture that a file decodes to, from its head.
///
/// # Errors
/// As [`decode_file`], as far as the head shows it.
pub fn size_of_file(path: &Path, decoding: &Decoding) -> Result<Size> {
    let mut decoder = head(open(path)?, path, decoding.max_bytes)?.0;
    let (width, height) = decoder.dimensions();
    let turned = decoding.upright && is_turned(orientation(&mut decoder));
    Ok(if turned { Size::new(height, width) } else { Size::new(width, height) })
}

/// A file that has something in it.
pub(super) fn open(path: &Path) -> Result<BufReader<std::fs::File>> {
    let file = open_file(path)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0) {
        return Err(Error::invalid("decode", format!("{}: the file is empty", path.display())));
    }
    Ok(BufReader::new(file))
}

/// Decodes a picture, whose kind is seen from its content; `name` is for errors.
///
/// # Errors
/// `InvalidInput` where it is damaged, `Unsupported` where it is of another kind, `OutOfMemory` where it is larger than
/// 65536 pixels a side or 1 GiB.
pub fn decode<'a>(reader: impl BufRead + Seek + 'a, name: &'a Path, decoding: &Decoding) -> Result<Picture> {
    let (mut decoder, size) = head(reader, name, decoding.max_bytes)?;
    let failed = |error| decode_error(name, Some(size), error);
    let orientation = if decoding.upright { orientation(&mut decoder) } else { Orientation::NoTransforms };
    // A profile that cannot be read is none.
    let profile = if decoding.to_srgb { decoder.icc_profile().ok().flatten() } else { None };
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    let mut notes = Vec::new();
    if orientation != Orientation::NoTransforms {
        notes.push(format!("turned upright by its orientation {}", orientation.to_exif()));
    }
    let has_colour = picture.color().has_color();
    let picture = picture.into_rgba8();
    let size = Size::new(picture.width(), picture.height()).check().map_err(|e| e.in_context(name.display()))?;
    let mut pixels = picture.into_raw();
    if let Some(profile) = profile {
        notes.extend(to_srgb(&profile, has_colour, &mut pixels));
    }
    Ok(Picture { size, pixels, notes })
}

/// The decoder of a picture, within the limits, and the size that its head says.
fn head<'a>(
    reader: impl BufRead + Seek + 'a,
    name: &'a Path,
    max_bytes: u64,
) -> Result<(impl ImageDecoder + 'a, Size)> {
    let mut reader = ImageReader::new(reader)
        .with_guessed_format()
        .map_err(|error| Error::from_io("read", name.display(), error))?;
    let mut limits = limits(max_bytes);
    reader.limits(limits.clone());
    let mut size = None;
    let open = || {
        let mut decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        size = Some(Size::new(width, height));
        limits.reserve(decoder.total_bytes())?;
        decoder.set_limits(limits)?;
        Ok((decoder, Size::new(width, height)))
    };
    let opened = open();
    opened.map_err(|error| decode_error(name, size, error))
}

/// What a decoder may allocate.
pub(super) fn limits(max_bytes: u64) -> image::Limits {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_DIMENSION);
    limits.max_image_height = Some(MAX_DIMENSION);
    limits.max_alloc = Some(max_bytes);
    limits
}

fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    // Metadata that cannot be read say nothing.
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// Width and height change places.
fn is_turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Converts `pixels` from the colours of an ICC profile to sRGB; says what it did, or why it did not.
fn to_srgb(profile: &[u8], has_colour: bool, pixels: &mut [u8]) -> Option<String> {
    let profile = match ColorProfile::new_from_slice(profile) {
        Ok(profile) => profile,
        Err(_) => return Some("its colour profile is damaged and was not used".into()),
    };
    if !has_colour || profile.color_space != DataColorSpace::Rgb {
        return Some(format!("its colour profile is for {:?} and was not used", profile.color_space));
    }
    let layout = moxcms::Layout::Rgba;
    let made = profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), layout, TransformOptions::default());
    let Ok(transform) = made else { return Some("its colour profile has no way to sRGB and was not used".into()) };
    // Most profiles are sRGB by another name: rounding would only add noise.
    let levels = || (0..=255u8).step_by(17);
    let grid: Vec<u8> =
        levels().flat_map(|r| levels().flat_map(move |g| levels().flat_map(move |b| [r, g, b, 255]))).collect();
    let mut converted = vec![0; grid.len()];
    transform.transform(&grid, &mut converted).ok()?;
    if grid.iter().zip(&converted).all(|(before, after)| before.abs_diff(*after) <= 1) {
        return None;
    }
    // In pieces, so that the picture is not there twice.
    let mut piece = vec![0; 1 << 16];
    for bytes in pixels.chunks_mut(piece.len()) {
        let piece = &mut piece[..bytes.len()];
        piece.copy_from_slice(bytes);
        transform.transform(piece, bytes).ok()?;
    }
    Some("converted from its colour profile to sRGB".into())
}

/// What a decoder's error means to the user.
pub(super) fn decode_error(name: &Path, size: Option<Size>, error: image::ImageError) -> Error {
    let kind = match &error {
        image::ImageError::Unsupported(_) => ErrorKind::Unsupported,
        image::ImageError::Limits(_) => ErrorKind::OutOfMemory,
        image::ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => ErrorKind::Failed,
        _ => ErrorKind::InvalidInput,
    };
    let size = size.map_or(String::new(), |size| format!("{size}: "));
    let ours = Error::new(
        kind,
        "decode",
        format!("{}: {size}{}", name.display(), error.to_string().trim().replace('\n', " ")),
    );
    match kind {
        ErrorKind::OutOfMemory => {
            ours.with_hint("pictures end at 65536 pixels a side and 1 GiB decoded: scale it down, or it is damaged")
        }
        ErrorKind::InvalidInput => ours.with_hint("the file is cut or damaged"),
        ErrorKind::Unsupported => ours.with_hint(format!("read are {KINDS}")),
        _ => ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads of the four kinds that are a feature: a build without it names it.
    #[test]
    fn kinds_of_another_build_are_named() {
        let heads: [&[u8]; 4] =
            [b"RIFF\x1a\0\0\0WEBPVP8L", b"GIF89a\x01\0\x01\0\0\0\0;", b"BM\x1a\0\0\0\0\0\0\0", b"II*\0\x08\0\0\0\0\0"];
        for head in heads {
            let error = decode(std::io::Cursor::new(head), Path::new("picture"), &Decoding::default()).unwrap_err();
            let words = error.to_string();
            match cfg!(feature = "image-formats") {
                // They are known, and these are cut.
                true => assert_ne!(error.kind(), ErrorKind::Unsupported, "{words}"),
                false => assert!(
                    error.kind() == ErrorKind::Unsupported && words.contains("the cargo feature image-formats"),
                    "{words}"
                ),
            }
        }
    }
}
