//! The bytes that a glTF file names: beside it, inside it, or as a `data:` URI.
//!
//! In: URIs. Out: bytes, and decoded pictures. Not here: what the bytes mean (`accessor`).

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use gltf::json;

use crate::error::{Error, Result};
use crate::pipeline::source;
use crate::pipeline::source::image::decode::{Decoding, decode};

use super::{MAX_FILE_BYTES, Picture, invalid, too_much, unsupported};

/// What decoding the pictures of one model may allocate.
const MAX_DECODED_BYTES: u64 = 1 << 30;

/// The bytes of a file, at most `limit` of them.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |error| Error::from_io("read", path.display(), error);
    // Opening a fifo would wait for a writer.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return Err(invalid(path, "it is no plain file"));
    }
    let file = source::input::open_file(path)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(too_much(path, format!("{} bytes; files of models end at 1 GiB", metadata.len())));
    }
    let mut bytes = Vec::with_capacity(metadata.len().min(limit) as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The file that a relative URI names, or the bytes of a `data:` URI.
enum Named {
    File(PathBuf),
    Bytes(Vec<u8>),
}

fn resolve(model: &Path, uri: &str, what: &str) -> Result<Named> {
    let shown: String = uri.chars().take(60).collect();
    if let Some(data) = uri.strip_prefix("data:") {
        let Some((_, text)) = data.split_once(',').filter(|(head, _)| head.ends_with(";base64")) else {
            return Err(invalid(model, format!("{what}: \"{shown}\": expected data:…;base64,…")));
        };
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
        let bytes = bytes.map_err(|error| invalid(model, format!("{what}: data: URI: {error}")))?;
        return Ok(Named::Bytes(bytes));
    }
    let scheme = uri.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if scheme || uri.starts_with('/') || uri.is_empty() {
        let detail = format!("{what}: \"{shown}\": only files relative to the model are read");
        return Err(unsupported(model, detail).with_hint("put the file beside the model, and name it relatively"));
    }
    let name = percent_encoding::percent_decode_str(uri).decode_utf8();
    let name = name.map_err(|_| invalid(model, format!("{what}: \"{shown}\" is no UTF-8 after % escapes")))?;
    if name.contains('\0') {
        return Err(invalid(model, format!("{what}: \"{shown}\": a name with a zero byte")));
    }
    Ok(Named::File(model.parent().unwrap_or(Path::new("")).join(name.as_ref())))
}

/// The bytes of every buffer, each at least as long as the file says.
pub(super) fn buffers(
    path: &Path,
    root: &json::Root,
    mut blob: Option<Vec<u8>>,
    files: &mut Vec<PathBuf>,
) -> Result<Vec<Vec<u8>>> {
    let mut buffers = Vec::new();
    let mut total = 0u64;
    for (index, buffer) in root.buffers.iter().enumerate() {
        let what = format!("buffer {index}");
        let wanted = buffer.byte_length.0;
        total = total.saturating_add(wanted);
        if total > MAX_FILE_BYTES {
            return Err(too_much(path, format!("{what}: {wanted} bytes; buffers end at 1 GiB together")));
        }
        let mut bytes = match &buffer.uri {
            Some(uri) => match resolve(path, uri, &what)? {
                Named::Bytes(bytes) => bytes,
                Named::File(file) => {
                    let bytes = read_file(&file, wanted).map_err(|error| error.in_context(path.display()))?;
                    files.push(file);
                    bytes
                }
            },
            None => {
                blob.take().ok_or_else(|| invalid(path, format!("{what} has no uri, and there is no BIN chunk")))?
            }
        };
        if (bytes.len() as u64) < wanted {
            let detail = format!("{what}: {} bytes are there, byteLength is {wanted}", bytes.len());
            return Err(invalid(path, detail).with_hint("the file is cut, or is another one"));
        }
        // The file's length is at most 1 GiB.
        bytes.truncate(wanted as usize);
        buffers.push(bytes);
    }
    Ok(buffers)
}

/// The bytes of a view, which must lie inside its buffer.
pub(super) fn view<'a>(
    path: &Path,
    root: &json::Root,
    buffers: &'a [Vec<u8>],
    index: usize,
) -> Result<(&'a [u8], Option<usize>)> {
    let view = root.buffer_views.get(index).ok_or_else(|| invalid(path, format!("there is no buffer view {index}")))?;
    let (start, length) = (view.byte_offset.unwrap_or_default().0, view.byte_length.0);
    let bytes = buffers.get(view.buffer.value()).and_then(|bytes| {
        let range = usize::try_from(start).ok()?..usize::try_from(start.checked_add(length)?).ok()?;
        bytes.get(range)
    });
    let Some(bytes) = bytes else {
        let detail = format!("buffer view {index}: bytes {start} + {length} are beyond its buffer");
        return Err(invalid(path, detail));
    };
    Ok((bytes, view.byte_stride.map(|stride| stride.0).filter(|stride| *stride > 0)))
}

/// Decodes pictures; all of them together may take so much memory.
pub(super) struct Decoder {
    left: u64,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { left: MAX_DECODED_BYTES }
    }

    /// Picture `index` of the file.
    pub(super) fn picture(
        &mut self,
        path: &Path,
        root: &json::Root,
        buffers: &[Vec<u8>],
        index: usize,
        files: &mut Vec<PathBuf>,
    ) -> Result<Picture> {
        let what = format!("image {index}");
        let image = root.images.get(index).ok_or_else(|| invalid(path, format!("there is no {what}")))?;
        let bytes = match (&image.uri, &image.buffer_view) {
            (Some(uri), _) => match resolve(path, uri, &what)? {
                Named::Bytes(bytes) => bytes,
                Named::File(file) => {
                    let bytes = read_file(&file, MAX_FILE_BYTES).map_err(|error| error.in_context(path.display()))?;
                    files.push(file);
                    bytes
                }
            },
            (None, Some(at)) => view(path, root, buffers, at.value())?.0.to_owned(),
            (None, None) => return Err(invalid(path, format!("{what} has neither uri nor bufferView"))),
        };
        let name = PathBuf::from(format!("{}, {what}", path.display()));
        // glTF counts texels from the file's first one, and their numbers are sRGB whatever the file says of them.
        let decoding = Decoding { upright: false, to_srgb: false, max_bytes: self.left };
        let decoded = decode(Cursor::new(bytes), &name, &decoding)?;
        self.left = self.left.saturating_sub(decoded.pixels.len() as u64);
        Ok(Picture { size: decoded.size, bytes: decoded.pixels })
    }
}
