//! A picture in which no two components of a pixel are alike, and its comparison.

use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::egl::Display;
use darkframe::format::Fourcc;
use darkframe::gles::{Gl, Texture};
use darkframe::layout::Size;

use super::draw::sampled;
use super::gpu_display;

pub const SIZE: Size = Size::new(64, 48);

pub fn pattern(x: u32, y: u32) -> [u8; 4] {
    [(x * 3 + 7) as u8, (y * 5 + 1) as u8, (x + y * 2) as u8, 255]
}

pub fn write_pattern(buffer: &Buffer) {
    let stride = buffer.layout().planes()[0].stride_bytes as usize;
    let mut map = buffer.map(Access::Write).unwrap();
    for (y, row) in map.plane_mut(0).chunks_mut(stride).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(4).take(SIZE.width as usize).enumerate() {
            pixel.copy_from_slice(&pattern(x as u32, y as u32));
        }
    }
}

#[track_caller]
pub fn is_pattern(pixels: &[u8], what: &str) {
    assert_eq!(pixels.len() as u64, SIZE.pixels() * 4);
    for (index, got) in pixels.chunks_exact(4).enumerate() {
        let (x, y) = (index as u32 % SIZE.width, index as u32 / SIZE.width);
        assert_eq!(got, pattern(x, y), "{what}: pixel ({x}, {y})");
    }
}

#[track_caller]
pub fn shows_pattern(gl: &Gl, texture: &Texture, what: &str) {
    is_pattern(&sampled(gl, texture).unwrap(), what);
}

/// A display and a buffer with the pattern in it.
pub fn bench() -> Option<(Device, Display, Buffer)> {
    let (device, display, buffer) = gpu_display(Fourcc::ABGR8888, SIZE)?;
    write_pattern(&buffer);
    Some((device, display, buffer))
}
