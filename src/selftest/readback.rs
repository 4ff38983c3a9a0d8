//! Ways back to the CPU, each by its pixels.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::draw::pattern;
use super::rgb::{self, SIZE};
use super::{Bench, Facts, Use, wrong};
use crate::allocator::Allocator;
use crate::buffer::Access;
use crate::egl::{Image, UseModifier};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::gles::readback::{PackRing, read_pixels};
use crate::gles::{Framebuffer, Texture, TextureOptions};

/// Which way is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// `glReadPixels` into memory.
    ReadPixels,
    /// `glReadPixels` of a target of 16 bits.
    ReadRgb565,
    /// `glReadPixels` into a buffer of the driver's, taken later.
    PackBuffer,
    /// A dma-buf target, mapped.
    Map,
    /// The memory of a texture given out as a dma-buf (`EGL_MESA_image_dma_buf_export`).
    Export,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::ReadPixels, Self::ReadRgb565, Self::PackBuffer, Self::Map, Self::Export];

    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadPixels => "read-pixels",
            Self::ReadRgb565 => "read-rgb565",
            Self::PackBuffer => "pack-buffer",
            Self::Map => "map",
            Self::Export => "export",
        }
    }

    pub(super) const fn needs_memory(self) -> bool {
        matches!(self, Self::Map)
    }
}

/// One way.
///
/// # Errors
/// Pixels that differ; `Unsupported` where there is no such way.
pub fn carry_out(bench: &Bench, what: What, memory: impl Fn() -> Result<Arc<dyn Allocator>>) -> Result<Facts> {
    let gl = &bench.gl;
    let draw = |fourcc| {
        let texture = Texture::new(gl, SIZE, &TextureOptions { fourcc, ..TextureOptions::default() })?;
        let target = Framebuffer::new(gl, texture)?;
        bench.mapper.draw_pattern(gl, &target, 0)?;
        Ok::<_, Error>(target)
    };
    let mut pixels = vec![0; SIZE.pixels() as usize * 4];
    match what {
        What::ReadPixels => {
            read_pixels(gl, &draw(Fourcc::ABGR8888)?, &mut pixels)?;
            compare(&pixels, 0)?;
        }
        What::ReadRgb565 => {
            read_pixels(gl, &draw(Fourcc::RGB565)?, &mut pixels)?;
            // Less than a step of five bits: drivers round or cut, and may dither.
            compare(&pixels, 9)?;
        }
        What::PackBuffer => {
            let mut ring = PackRing::new(gl, SIZE, 2)?;
            ring.start(gl, &draw(Fourcc::ABGR8888)?)?;
            ring.finish(gl, &mut pixels)?;
            compare(&pixels, 0)?;
        }
        What::Map => {
            let buffer = rgb::allocate(&*memory()?, Fourcc::ABGR8888, SIZE, &[Modifier::LINEAR])?;
            return rgb::try_use(bench, &buffer, UseModifier::Auto, Use::Render);
        }
        What::Export => {
            if !bench.display.extensions().has("EGL_MESA_image_dma_buf_export") {
                return Err(Error::unsupported("EGL_MESA_image_dma_buf_export", "not offered"));
            }
            let target = draw(Fourcc::ABGR8888)?;
            let texture = target
                .texture()
                .ok_or_else(|| Error::failed("Framebuffer::texture", "a target without its texture"))?;
            let buffer = Image::from_texture(gl, texture)?.export()?;
            gl.finish();
            let facts = Facts::from([
                ("modifier".to_owned(), buffer.layout().modifier.to_string()),
                ("stride_bytes".to_owned(), buffer.layout().planes()[0].stride_bytes.to_string()),
            ]);
            if buffer.layout().modifier == Modifier::LINEAR || buffer.layout().modifier == Modifier::INVALID {
                let map = buffer.map(Access::Read)?;
                let rows: Vec<u8> = (0..SIZE.height).flat_map(|y| map.row(0, y)).copied().collect();
                compare(&rows, 0)?;
            }
            return Ok(facts);
        }
    }
    Ok(Facts::new())
}

fn compare(pixels: &[u8], tolerance: u8) -> Result<()> {
    for (index, got) in pixels.chunks_exact(4).enumerate() {
        let (x, y) = (index as u32 % SIZE.width, index as u32 / SIZE.width);
        let expected = pattern(x, y, 0);
        if got.iter().zip(expected).any(|(got, expected)| got.abs_diff(expected) > tolerance) {
            let swapped = got[0] == expected[2] && got[2] == expected[0] && got[0] != got[2];
            let note = if swapped { "; red and blue are exchanged" } else { "" };
            return wrong(format!("({x}, {y}) is {got:?}, expected {expected:?}{note}"));
        }
    }
    Ok(())
}
