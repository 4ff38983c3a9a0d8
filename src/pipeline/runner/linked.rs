//! Pictures that GLES and wgpu hand each other: memory that both take, or copies.
//!
//! In: a pass that wgpu draws. Out: its pictures, proved by pixels. Not here: drawing (`pass::wgpu`).

use std::time::Duration;

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::egl::Image;
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::gles::{Framebuffer, Gl, Texture, read_pixels};
use crate::layout::Size;
use crate::wgpu::{self as bridge, Device, Use};

use super::super::pass::wgpu::{Picture, WgpuPass};
use super::Job;
use super::trial::Role;

const HANG: Duration = Duration::from_secs(10);

/// Gives the pass its pictures.
pub(super) fn link(gl: &Gl, job: &Job<'_>, pass: &mut WgpuPass) -> Result<()> {
    let device = pass.device().clone();
    let sizes = pass.sizes();
    let shared = job.import_first(|kind, refusals| {
        let make = |size: &Size| {
            job.survives(Role::Target, kind, Fourcc::ABGR8888, *size)?;
            shared(gl, job, &device, kind, *size)
        };
        let made = sizes.iter().map(make).collect::<Result<Vec<Picture>>>();
        made.map_err(|error| refusals.push(format!("{kind}: {error}"))).ok()
    });
    match shared {
        Ok(pictures) => pass.link(pictures, None),
        Err(reason) => {
            let pictures = sizes.iter().map(|size| Picture::copied(gl, &device, *size)).collect::<Result<_>>()?;
            pass.link(pictures, Some(reason.to_string()))
        }
    }
}

/// What both take: a modifier of one plane that GLES draws into and Vulkan samples and draws into.
fn modifiers(gl: &Gl, device: &Device) -> Result<Vec<Modifier>> {
    let ours = gl.display().format(Fourcc::ABGR8888)?.modifiers;
    let theirs = device.modifiers(Fourcc::ABGR8888)?;
    let both = theirs.into_iter().filter(|modifier| {
        ours.is_empty() || ours.iter().any(|known| known.modifier == *modifier && !known.external_only)
    });
    Ok(both.collect())
}

/// One memory for both, proved in both directions.
fn shared(gl: &Gl, job: &Job<'_>, device: &Device, kind: AllocatorKind, size: Size) -> Result<Picture> {
    let request = Request::new(size, Fourcc::ABGR8888)
        .usage(Usage::RENDER | Usage::SAMPLE)
        .modifiers(modifiers(gl, device)?)
        .only(kind)
        .require_dma_buf();
    let buffer = job.device.allocate(&request)?;
    let image = Image::import(gl.display(), &buffer)?;
    let framebuffer = Framebuffer::new(gl, Texture::from_image(gl, &image)?)?;
    let usage = ::wgpu::TextureUsages::TEXTURE_BINDING
        | ::wgpu::TextureUsages::RENDER_ATTACHMENT
        | ::wgpu::TextureUsages::COPY_SRC;
    let texture = bridge::Texture::import(device, &buffer, usage)?;
    prove(gl, device, &framebuffer, &texture)?;
    Ok(Picture::Shared(framebuffer, texture))
}

/// GLES clears it and wgpu reads it, wgpu clears it and GLES reads it.
fn prove(gl: &Gl, device: &Device, framebuffer: &Framebuffer, texture: &bridge::Texture) -> Result<()> {
    let near = |pixel: [u8; 4], value: u8| pixel.iter().all(|byte| byte.abs_diff(value) <= 1);
    for value in [0x33u8, 0xCC] {
        let level = f64::from(value) / 255.0;
        framebuffer.bind(gl)?;
        gl.clear([level as f32; 4]);
        let drawn = gl.fence()?;
        let pixel = bridge::corner(device, texture, &drawn.iter().collect::<Vec<_>>())?;
        if !near(pixel, value) {
            let detail = format!("{texture:?}: GLES drew 0x{value:02x}, wgpu reads {pixel:02x?}");
            return Err(Error::unsupported("wgpu", detail));
        }
        let other = !value;
        let work = bridge::clear(device, Use::overwrite(texture), f64::from(other) / 255.0)?;
        match &work.fence {
            Some(fence) => gl.wait_fence(fence)?,
            None => work.wait(HANG)?,
        }
        let mut pixels = vec![0; framebuffer.size().pixels() as usize * 4];
        read_pixels(gl, framebuffer, &mut pixels)?;
        let last: [u8; 4] = std::array::from_fn(|at| pixels[pixels.len() - 4 + at]);
        if !near(last, other) {
            let detail = format!("{texture:?}: wgpu drew 0x{other:02x}, GLES reads {last:02x?}");
            return Err(Error::unsupported("wgpu", detail));
        }
    }
    Ok(())
}
