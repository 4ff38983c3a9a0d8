//! What is done with every texture: cleared, read back.
//!
//! In: a [`Texture`]. Out: pixels, or work. Not here: drawing.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Device, Submitted, Texture, Use, catch};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::vulkan::submit::HANG;

/// Clears the texture to one level in all components.
///
/// # Errors
/// Those of [`Device::submit`].
pub fn clear(device: &Device, used: Use<'_>, level: f64) -> Result<Submitted> {
    used.texture().check_device(device)?;
    let view = used.texture().view();
    let commands = catch(device.device(), "wgpu clear", || {
        let mut encoder = device.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let color = wgpu::Color { r: level, g: level, b: level, a: level };
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(color), store: wgpu::StoreOp::Store };
        let attachment = wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
        drop(encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(attachment)],
            ..wgpu::RenderPassDescriptor::default()
        }));
        encoder.finish()
    })?;
    device.submit(&[used], &[], [commands])
}

/// Reads a texture back, behind `waits`: its texels' bytes, rows tight, row 0 first. Blocks until they are there.
///
/// # Errors
/// `InvalidInput` where it was not imported with `COPY_SRC`; `Timeout`; those of [`Device::submit`].
pub fn read(device: &Device, texture: &Texture, waits: &[&Fence]) -> Result<Vec<u8>> {
    let size = texture.buffer().size();
    rows(device, texture, waits, (size.width, size.height))
}

/// The first pixel of a texture of four bytes a texel, as [`read`].
///
/// # Errors
/// As [`read`].
pub fn corner(device: &Device, texture: &Texture, waits: &[&Fence]) -> Result<[u8; 4]> {
    let bytes = rows(device, texture, waits, (1, 1))?;
    bytes.try_into().map_err(|_| Error::invalid("wgpu read", format!("{texture:?}: its texels have not four bytes")))
}

fn rows(device: &Device, texture: &Texture, waits: &[&Fence], (width, height): (u32, u32)) -> Result<Vec<u8>> {
    texture.check_device(device)?;
    let texel = texture.texture().format().block_copy_size(None).unwrap_or(4);
    let (row, stride) = (width * texel, (width * texel).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT));
    let (buffer, commands) = catch(device.device(), "wgpu read", || {
        let buffer = device.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(stride) * u64::from(height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(stride), rows_per_image: None };
        let into = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        let extent = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        encoder.copy_texture_to_buffer(texture.texture().as_image_copy(), into, extent);
        let commands = encoder.finish();
        (buffer, commands)
    })?;
    device.submit(&[Use::read(texture)], waits, [commands])?.wait(HANG)?;
    let bytes = mapped(device, &buffer)?;
    Ok(bytes.chunks(stride as usize).flat_map(|bytes| &bytes[..row as usize]).copied().collect())
}

/// The bytes of a buffer that work before has filled.
///
/// # Errors
/// `Timeout`; `Failed`.
pub(crate) fn mapped(device: &Device, buffer: &wgpu::Buffer) -> Result<Vec<u8>> {
    let mapped = Arc::new(Mutex::new(None));
    let told = mapped.clone();
    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    device.wait(HANG)?;
    let result = mapped.lock().unwrap_or_else(PoisonError::into_inner).take();
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(Error::failed("wgpu map", error.to_string())),
        None => return Err(Error::failed("wgpu map", "the memory was not mapped")),
    }
    let bytes = buffer.get_mapped_range(..).map_err(|error| Error::failed("wgpu map", error.to_string()))?;
    Ok(bytes.to_vec())
}
