//! Numbers of the context. Where a driver's word is not to be had for the truth they are measured.

use super::{Bench, Facts};
use crate::error::Result;
use crate::gles::program::Uniform;
use crate::gles::{Framebuffer, Texture, TextureOptions, readback};
use crate::layout::Size;

/// Mantissa bits that are looked for: a float has 23.
const MOST_BITS: u32 = 26;

/// Everything.
///
/// # Errors
/// Those of drawing.
pub fn measure(bench: &Bench) -> Result<Facts> {
    let gl = &bench.gl;
    let mut facts = Facts::new();
    facts.insert("max-texture-size".into(), gl.caps().max_texture_size.to_string());
    for (name, code) in [
        ("max-fragment-uniform-vectors", 0x8DFD),
        ("max-vertex-uniform-vectors", 0x8DFB),
        ("max-varying-vectors", 0x8DFC),
        ("max-texture-units", 0x8872),
        ("max-vertex-texture-units", 0x8B4C),
        ("max-renderbuffer-size", 0x84E8),
    ] {
        facts.insert(name.into(), gl.integer(code).to_string());
    }
    facts.insert("fragment-highp-offered".into(), gl.caps().fragment_highp.to_string());
    for precision in ["highp", "mediump"] {
        if precision == "highp" && !gl.caps().fragment_highp {
            continue;
        }
        facts.insert(format!("fragment-{precision}-mantissa-bits"), mantissa_bits(bench, precision)?.to_string());
    }
    Ok(facts)
}

/// How small a number still changes 1: by drawing, since drivers say more than their processors have.
fn mantissa_bits(bench: &Bench, precision: &str) -> Result<u32> {
    let gl = &bench.gl;
    let size = Size::new(MOST_BITS, 1);
    let target = Framebuffer::new(gl, Texture::new(gl, size, &TextureOptions::default())?)?;
    let prelude = format!("precision {precision} float;\nuniform {precision} float one, two;\n");
    let body = format!(
        "void main() {{
    {precision} float small = one;
    for (int i = 0; i < {MOST_BITS}; i++) {{
        if (float(i) < gl_FragCoord.x) small *= 0.5;
    }}
    {precision} float sum = min(one + small, two);
    gl_FragColor = vec4(sum - one > 0.0 ? 1.0 : 0.0);
}}"
    );
    bench.mapper.with(gl, &prelude, &body, |program| {
        target.bind(gl)?;
        program.set(gl, "one", Uniform::Float(1.0))?;
        // A compiler makes `small` of `(one + small) - one`; it does not through this limit.
        program.set(gl, "two", Uniform::Float(2.0))?;
        program.draw_triangle(gl)
    })?;
    let mut pixels = vec![0; MOST_BITS as usize * 4];
    readback::read_pixels(gl, &target, &mut pixels)?;
    // Column x has halved x + 1 times.
    Ok(pixels.chunks_exact(4).take_while(|pixel| pixel[0] > 127).count() as u32)
}
