//! A picture that Vulkan makes and GLES goes on with, by one memory and one fence; nothing is copied by the processor.
//!
//!     cargo run --example vulkan --features vulkan
//!
//! With a word, the Vulkan device whose name has it: `… -- llvmpipe`.

#![allow(unsafe_code)] // commands of Vulkan are C calls

use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::device::Device as Machine;
use darkframe::egl::{Context, Display, Image as EglImage};
use darkframe::error::{Error, ErrorKind, Result};
use darkframe::format::Fourcc;
use darkframe::gles::{Framebuffer, Texture, read_pixels};
use darkframe::layout::Size;
use darkframe::vulkan::ash::vk;
use darkframe::vulkan::{Choice, Device, ExportOptions, Image, ImportOptions, Use};

const SIZE: Size = Size::new(256, 128);

fn main() -> Result<()> {
    let machine = Machine::open(&Board::detect()?)?;
    let display = Display::open(&machine)?;
    let gl = Context::new(&display)?.make_current()?;
    let vulkan = match (std::env::args().nth(1), display.node()) {
        (Some(name), _) => Device::open(&Choice::Name(name))?,
        (None, Some(node)) => Device::open(&Choice::Node(node.clone()))?,
        (None, None) => {
            return Err(Error::unsupported("vulkan example", "this machine has no DRM node: name a device"));
        }
    };
    println!("Vulkan: {}; OpenGL ES: {}", vulkan.info(), gl.caps().renderer);

    let (image, seen) = shared(&machine, &display, &vulkan)?;
    println!("memory: {} by {}", image.buffer().layout(), image.buffer().provenance().allocator);
    let layout = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
    let work = vulkan.submit(&[Use::image(&image, layout).overwrite()], &[], |ash, commands| {
        let color = vk::ClearColorValue { float32: [0.0, 0.4, 0.8, 1.0] };
        // SAFETY: the image is in this layout, and may be copied to.
        unsafe { ash.cmd_clear_color_image(commands, image.raw(), layout, &color, &[Image::range()]) };
        Ok(())
    })?;

    // GLES waits for Vulkan on the GPU, where both drivers can.
    if let Some(fence) = &work.fence {
        gl.wait_fence(fence)?;
    }
    let texture = Texture::from_image(&gl, &seen)?;
    let mut pixels = vec![0; SIZE.pixels() as usize * 4];
    read_pixels(&gl, &Framebuffer::new(&gl, texture)?, &mut pixels)?;
    println!("first pixel, as GLES reads it: {:?}", &pixels[..4]);
    Ok(())
}

/// Memory that both take: Vulkan's own, or, where GLES does not take that, GLES's.
fn shared(machine: &Machine, display: &Display, vulkan: &Device) -> Result<(Image, EglImage)> {
    let made = Image::allocate(vulkan, SIZE, Fourcc::ABGR8888, &ExportOptions::default());
    match made.and_then(|image| EglImage::import(display, image.buffer()).map(|seen| (image, seen))) {
        Err(error) if error.kind() == ErrorKind::Unsupported => println!("not Vulkan's memory: {error}"),
        other => return other,
    }
    let usage = Usage::SAMPLE | Usage::RENDER;
    let buffer = machine.allocate(&Request::new(SIZE, Fourcc::ABGR8888).usage(usage).require_dma_buf())?;
    // Where the processor draws, memory is rows of pixels, whether or not its maker says so.
    let options = ImportOptions { assume_linear: vulkan.info().is_software, ..ImportOptions::target() };
    Ok((Image::import(vulkan, &buffer, &options)?, EglImage::import(display, &buffer)?))
}
