//! Renders a picture into a dma-buf and reads it with the CPU; without dma-bufs it says why and reads it back instead.
//!
//!     cargo run --example render

use std::path::Path;

use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::buffer::Access;
use darkframe::device::Device;
use darkframe::egl::{Context, Display, Image};
use darkframe::error::Result;
use darkframe::format::Fourcc;
use darkframe::gles::{
    Framebuffer, Gl, Program, ProgramSource, ShaderVersion, Texture, TextureOptions, read_pixels, yuv,
};
use darkframe::layout::Size;

const SIZE: Size = Size::new(256, 128);

/// Red grows to the right, green downwards: row 0 is the top.
const SHADER: &str = "void main() { gl_FragColor = vec4(df_uv, 0.5, 1.0); }\n";

fn main() -> Result<()> {
    let device = Device::open(&Board::detect()?)?;
    let display = Display::open(&device)?;
    let context = Context::new(&display)?;
    let gl = context.make_current()?;
    println!("{} on {}", gl.caps().version_text, gl.caps().renderer);

    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(Usage::RENDER | Usage::CPU_READ).require_dma_buf();
    let zero_copy = device.allocate(&request).and_then(|buffer| Ok((Image::import(&display, &buffer)?, buffer)));
    let corner = match zero_copy {
        Ok((image, buffer)) => {
            draw(&gl, &Framebuffer::new(&gl, Texture::from_image(&gl, &image)?)?)?;
            println!("drawn into {} of {}", buffer.layout(), buffer.provenance().allocator);
            let map = buffer.map(Access::Read)?;
            let last = map.row(0, SIZE.height - 1);
            last[last.len() - 4..].to_vec()
        }
        Err(error) => {
            println!("no zero-copy here: {error}");
            let target = Framebuffer::new(&gl, Texture::new(&gl, SIZE, &TextureOptions::default())?)?;
            draw(&gl, &target)?;
            let mut pixels = vec![0; SIZE.pixels() as usize * 4];
            read_pixels(&gl, &target, &mut pixels)?;
            pixels[pixels.len() - 4..].to_vec()
        }
    };
    println!("bottom right pixel: {corner:?}");
    Ok(())
}

/// Draws one oversized triangle over the whole target and waits until it is there.
fn draw(gl: &Gl, target: &Framebuffer) -> Result<()> {
    let version = ShaderVersion::Essl100;
    let source = ProgramSource {
        name: "example",
        version,
        vertex: &yuv::glsl_vertex(version, &[])?,
        prelude: "precision highp float;\nvarying vec2 df_uv;\n",
        body: SHADER,
        body_path: Path::new("examples/render.rs"),
    };
    let program = Program::new(gl, &source)?;
    target.bind(gl)?;
    program.draw_triangle(gl)?;
    match gl.fence()? {
        Some(fence) => fence.wait(None),
        None => gl.check(),
    }
}
