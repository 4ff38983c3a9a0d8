//! One import by its numbers, carried out: for `doctor`.

use serde::{Deserialize, Serialize};

use super::{Bench, Facts, Use, rgb};
use crate::allocator::Allocator;
use crate::buffer::Buffer;
use crate::egl::{Image, ImportOptions, UseModifier};
use crate::error::{Error, Result};
use crate::gles::{Framebuffer, Texture};
use crate::layout::Size;

/// An import by its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// DRM name.
    pub format: String,
    /// Visible size in pixels.
    #[serde(with = "size")]
    pub size: Size,
    /// Offset and stride of each plane, in bytes.
    pub planes: Vec<(u64, u32)>,
    /// The modifier that is passed.
    pub modifier: Option<String>,
    /// By `eglCreateImageKHR`.
    pub khr: bool,
    /// An fd, and memory of its own, for each plane.
    pub each: bool,
    /// The memory has room for a multiple of so many rows.
    pub padded_rows: u32,
    /// What is done with the image: `External`, `TwoD` or `Render`.
    pub usage: Use,
    /// Whose memory; empty for any that works.
    pub allocator: String,
}

mod size {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::layout::Size;

    pub fn serialize<S: Serializer>(size: &Size, out: S) -> Result<S::Ok, S::Error> {
        (size.width, size.height).serialize(out)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        <(u32, u32)>::deserialize(from).map(|(width, height)| Size::new(width, height))
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            format: "ABGR8888".into(),
            size: Size::new(64, 64),
            planes: Vec::new(),
            modifier: Some("LINEAR".into()),
            khr: false,
            each: false,
            padded_rows: 1,
            usage: Use::External,
            allocator: String::new(),
        }
    }
}

/// Imports, and uses the image.
///
/// # Errors
/// Those of the way there.
pub fn carry_out(bench: &Bench, memory: &dyn Allocator, attempt: &Attempt) -> Result<Facts> {
    let layout = attempt.layout()?;
    let mut bytes = 0u64;
    for index in 0..layout.planes().len() {
        bytes = bytes.max(layout.plane_end(index)?);
    }
    let last = layout.planes().last().map_or(0, |plane| u64::from(plane.stride_bytes));
    let padding = u64::from(attempt.size.height.next_multiple_of(attempt.padded_rows.max(1)) - attempt.size.height);
    bytes += last * padding;
    let rows = u32::try_from(bytes.div_ceil(4096)).map_err(|_| Error::invalid("doctor", "a picture beyond 16 TiB"))?;
    let count = if attempt.each { layout.planes().len() } else { 1 };
    let mut fds = Vec::new();
    for _ in 0..count {
        let memory = rgb::allocate_rows(memory, rows)?;
        let fd = memory.plane_fd(0).try_clone_to_owned();
        fds.push(fd.map_err(|error| Error::from_io("dup", "a dma-buf", error))?);
    }
    let buffer = Buffer::from_fds(layout, fds)?;
    let modifier = if attempt.modifier.is_some() { UseModifier::Explicit } else { UseModifier::Implicit };
    let options = ImportOptions { modifier, force_khr: attempt.khr, ..ImportOptions::default() };
    let image = Image::import_with(&bench.display, &buffer, &options)?;
    let gl = &bench.gl;
    match attempt.usage {
        Use::Render => {
            let target = Framebuffer::new(gl, Texture::from_image(gl, &image)?)?;
            bench.mapper.draw_pattern(gl, &target, 0)?;
            gl.finish();
        }
        Use::TwoD => drop(bench.mapper.sampled(gl, &Texture::from_image(gl, &image)?)?),
        _ => drop(bench.mapper.sampled(gl, &Texture::external(gl, &image)?)?),
    }
    gl.check()?;
    Ok(Facts::new())
}
