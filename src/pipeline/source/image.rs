//! Image files: one picture, held for the whole run.
//!
//! In: PNG, JPEG, PBM, PGM, PPM, PAM. Out: bytes R, G, B, A (`ABGR8888`), alpha not premultiplied.
//! Not here: colour profiles (sRGB is assumed), animation.

use std::path::Path;

use image::ImageDecoder;

use crate::error::{Error, ErrorKind, Result};
use crate::layout::{MAX_DIMENSION, Size};

use super::still::StillReader;

/// What decoding one picture may allocate.
const MAX_DECODE_BYTES: u64 = 1 << 30;

/// Opens and decodes a file, whose kind is seen from its content.
///
/// # Errors
/// `NotFound`, `PermissionDenied`; `InvalidInput` where it is damaged, `Unsupported` where it is of another kind,
/// `OutOfMemory` where it is larger than 65536 pixels a side or 1 GiB.
pub fn open(path: &Path) -> Result<StillReader> {
    let file = super::open_file(path)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0) {
        return Err(Error::invalid("decode", format!("{}: the file is empty", path.display())));
    }
    let (size, pixels) = decode(path, std::io::BufReader::new(file), MAX_DECODE_BYTES)?;
    Ok(StillReader::new(size, pixels))
}

/// Decodes a picture to bytes R, G, B, A; `path` is for errors. Decoding may allocate `max_bytes`.
///
/// # Errors
/// As [`open`].
pub(in crate::pipeline) fn decode(
    path: &Path,
    bytes: impl std::io::BufRead + std::io::Seek,
    max_bytes: u64,
) -> Result<(Size, Vec<u8>)> {
    let mut reader = image::ImageReader::new(bytes)
        .with_guessed_format()
        .map_err(|error| Error::from_io("read", path.display(), error))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_DIMENSION);
    limits.max_image_height = Some(MAX_DIMENSION);
    limits.max_alloc = Some(max_bytes);
    reader.limits(limits.clone());
    let mut size = None;
    let decode = || {
        let mut decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        size = Some(Size::new(width, height));
        limits.reserve(decoder.total_bytes())?;
        decoder.set_limits(limits)?;
        image::DynamicImage::from_decoder(decoder)
    };
    let decoded = decode();
    let picture = decoded.map_err(|error| decode_error(path, size, error))?.into_rgba8();
    let size = Size::new(picture.width(), picture.height()).check().map_err(|e| e.in_context(path.display()))?;
    Ok((size, picture.into_raw()))
}

fn decode_error(path: &Path, size: Option<Size>, error: image::ImageError) -> Error {
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
        format!("{}: {size}{}", path.display(), error.to_string().trim().replace('\n', " ")),
    );
    match kind {
        ErrorKind::OutOfMemory => {
            ours.with_hint("pictures end at 65536 pixels a side and 1 GiB decoded: scale it down, or it is damaged")
        }
        ErrorKind::InvalidInput => ours.with_hint("the file is cut or damaged"),
        ErrorKind::Unsupported => ours.with_hint("read are PNG, JPEG, PBM, PGM, PPM and PAM"),
        _ => ours,
    }
}
