//! How a source's buffers become textures: images of their memory, proved with a test picture, or uploads.
//!
//! In: what the pictures are, a driver. Out: a [`Way`], or why another one must be taken.
//! Not here: who fills the buffers (`feed`), memory of somebody else's (`lent`).

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::buffer::{Access, Buffer};
use crate::color::probe;
use crate::device::Device;
use crate::egl::{Image, ImportOptions};
use crate::error::{Error, Result};
use crate::format::{Component, Fourcc};
use crate::gles::yuv::{self, PlaneView};
use crate::gles::{self, Gl, InputBinding, Texture, TextureOptions};
use crate::layout::{Constraints, Size};

use super::super::description::Optimize;
use super::super::source::Info;
use super::Job;
use super::memory::tight_memory;
use super::trial::Role;

/// Buffers and the textures over them.
pub(super) struct Way {
    pub(super) buffers: Vec<Buffer>,
    pub(super) textures: Vec<Vec<Texture>>,
    pub(super) binding: InputBinding,
    pub(super) how: &'static str,
    /// Why pixels are copied, where they are.
    pub(super) reason: Option<Error>,
}

/// Memory that the GPU reads itself, proved with a test picture. Each allocator's memory is asked for first with planes
/// as images of their own, which leaves the colours to us, then as an external image, whose colours are the driver's.
pub(super) fn import_all(gl: &Gl, job: &Job<'_>, info: &Info, views: &[PlaneView], count: usize) -> Result<Way> {
    job.import_first(|kind, refusals| {
        let buffers = allocate(job.device, info, kind, count).map_err(|error| refusals.push(error.to_string())).ok()?;
        [(Role::Planes, false), (Role::External, true)].into_iter().find_map(|(role, external)| {
            let survives = job.survives(role, kind, info.fourcc, info.size);
            let way = survives.and_then(|()| import(gl, info, views, &buffers, external));
            let proved = way.and_then(|way| prove(gl, info, way));
            proved.map_err(|error| refusals.push(format!("{kind}: {error}"))).ok()
        })
    })
}

fn allocate(device: &Device, info: &Info, kind: AllocatorKind, count: usize) -> Result<Vec<Buffer>> {
    let request =
        Request::new(info.size, info.fourcc).usage(Usage::SAMPLE | Usage::CPU_WRITE).only(kind).require_dma_buf();
    (0..count).map(|_| device.allocate(&request)).collect()
}

/// One way of [`import_all`], tried and let go.
pub(super) fn try_import(gl: &Gl, device: &Device, info: &Info, kind: AllocatorKind, external: bool) -> Result<()> {
    let views = views_of(info)?;
    let buffers = allocate(device, info, kind, 1)?;
    let way = import(gl, info, &views, &buffers, external)?;
    prove(gl, info, way).map(|_| ())
}

/// Imports a buffer and draws it.
pub(super) fn try_buffer(gl: &Gl, info: &Info, buffer: &Buffer, external: bool) -> Result<()> {
    let way = import(gl, info, &views_of(info)?, std::slice::from_ref(buffer), external)?;
    draw_small(gl, info, way.binding, way.textures[0].iter().collect()).map(|_| ())
}

pub(super) fn views_of(info: &Info) -> Result<Vec<PlaneView>> {
    Ok(match info.fourcc.format()?.is_yuv() {
        true => yuv::views(info.fourcc, info.size)?,
        false => vec![PlaneView { plane: 0, fourcc: info.fourcc, size: info.size, filter: gles::Filter::Nearest }],
    })
}

/// Images of every buffer, and textures of them.
pub(super) fn import(gl: &Gl, info: &Info, views: &[PlaneView], buffers: &[Buffer], external: bool) -> Result<Way> {
    let display = gl.display();
    let is_yuv = info.fourcc.format()?.is_yuv();
    let mut textures = Vec::new();
    for buffer in buffers {
        let mut set = Vec::new();
        if external || !is_yuv {
            let options = ImportOptions { color: is_yuv.then_some(info.color), ..ImportOptions::default() };
            let image = Image::import_with(display, buffer, &options)?;
            set.push(if external { Texture::external(gl, &image)? } else { Texture::from_image(gl, &image)? });
        } else {
            for view in views {
                let options = ImportOptions {
                    plane: Some(view.plane),
                    reinterpret: Some(view.fourcc),
                    ..ImportOptions::default()
                };
                set.push(Texture::from_image(gl, &Image::import_with(display, buffer, &options)?)?);
            }
        }
        textures.push(set);
    }
    let (binding, how) = match (external, is_yuv) {
        (true, _) => (InputBinding::External, "external image"),
        (_, true) => (planes(info, &textures[0]), "planes as images"),
        (_, false) => (InputBinding::Rgb { swizzle: textures[0][0].swizzle().to_owned() }, "image"),
    };
    Ok(Way { buffers: buffers.to_vec(), textures, binding, how, reason: None })
}

fn planes(info: &Info, textures: &[Texture]) -> InputBinding {
    let swizzles = textures.iter().map(|texture| texture.swizzle().to_owned()).collect();
    InputBinding::Planes { fourcc: info.fourcc, swizzles }
}

/// Fills the first buffer with the probe colour, draws it, and compares with what the recommendations make of it: what
/// a driver takes the numbers for shows, whatever it was told.
fn prove(gl: &Gl, info: &Info, way: Way) -> Result<Way> {
    let is_yuv = info.fourcc.format()?.is_yuv();
    let filled = {
        let buffer = &way.buffers[0];
        let mut map = buffer.map(Access::Write)?;
        match is_yuv {
            true => fill_probe(info.fourcc, buffer.layout().planes().len(), &mut map),
            false => {
                map.plane_mut(0).fill(BYTE);
                info.fourcc.format()?.component_bits == 8
            }
        }
    };
    let pixels = draw_small(gl, info, way.binding.clone(), way.textures[0].iter().collect())?;
    let got = [pixels[0], pixels[1], pixels[2]];
    let (matrix, range) = (info.color.matrix, info.color.range);
    let close = match is_yuv {
        true => probe::is_close(got, matrix, range),
        false => got.iter().all(|got| got.abs_diff(BYTE) <= probe::TOLERANCE),
    };
    if filled && !close {
        let detail = match probe::identify(got).filter(|_| is_yuv) {
            Some((as_matrix, as_range)) => {
                format!("{}: the driver takes {matrix} {range:?} for {as_matrix} {as_range:?}", way.how)
            }
            None => format!("{}: a test picture came out as {got:?}", way.how),
        };
        return Err(Error::unsupported("import", detail));
    }
    Ok(way)
}

/// RGBA of 16x16 points of a picture.
pub(super) fn draw_small(gl: &Gl, info: &Info, binding: InputBinding, textures: Vec<&Texture>) -> Result<Vec<u8>> {
    use super::super::pass::{Moment, Pass, PassInput, Sampling};
    const SIZE: Size = Size::new(16, 16);
    let nearest = Sampling { filter: gles::Filter::Nearest, wrap: gles::Wrap::ClampToEdge };
    for texture in &textures {
        nearest.apply(gl, texture)?;
    }
    let samplings = vec![nearest; textures.len()];
    let (color, size) = (info.color, info.size);
    let input = PassInput { name: "picture".into(), binding, color, size, samplings, convert: None };
    let pass = Pass::new(gl, "proof", None, vec![input], (SIZE, Fourcc::ABGR8888), &[], Optimize::ALL)?;
    let target = gles::Framebuffer::new(gl, Texture::new(gl, SIZE, &TextureOptions::default())?)?;
    target.bind(gl)?;
    pass.draw(gl, &[textures], Moment { frame: 0, seconds: 0.0, step_seconds: 0.0 })?;
    let mut pixels = vec![0; SIZE.pixels() as usize * 4];
    gles::read_pixels(gl, &target, &mut pixels)?;
    Ok(pixels)
}

/// A byte that is neither black nor white.
const BYTE: u8 = 0x8C;

/// Fills all planes with the probe colour; false where the format's samples are not known here.
fn fill_probe(fourcc: Fourcc, planes: usize, map: &mut crate::buffer::Map<'_>) -> bool {
    let code = |component: Component, bits: u8| match component {
        Component::Y => u32::from(probe::PROBE[0]) << (bits - 8),
        Component::Cb => u32::from(probe::PROBE[1]) << (bits - 8),
        Component::Cr => u32::from(probe::PROBE[2]) << (bits - 8),
        Component::Alpha | Component::X => (1 << bits) - 1,
    };
    let Some(packing) = fourcc.packing() else {
        let known = matches!(fourcc, Fourcc::Y410 | Fourcc::XVYU2101010);
        if known {
            let [y, cb, cr] = [Component::Y, Component::Cb, Component::Cr].map(|component| code(component, 10));
            let word = 3 << 30 | cr << 20 | y << 10 | cb;
            map.plane_mut(0).chunks_mut(4).for_each(|four| four.copy_from_slice(&word.to_le_bytes()[..four.len()]));
        }
        return known;
    };
    for plane in 0..planes.min(packing.planes.len()) {
        let mut block = Vec::new();
        for component in packing.planes[plane] {
            let mut sample = [0; 2];
            packing.store(code(*component, packing.bits), &mut sample);
            block.extend_from_slice(&sample[..packing.sample_bytes]);
        }
        // Strides are multiples of a block wherever planes are allocated.
        let bytes = map.plane_mut(plane);
        bytes.iter_mut().zip(block.iter().cycle()).for_each(|(byte, value)| *byte = *value);
    }
    true
}

/// Memory that the CPU fills, and textures into which it is copied.
pub(super) fn upload_way(
    gl: &Gl,
    job: &Job<'_>,
    info: &Info,
    views: &[PlaneView],
    count: usize,
    reason: Error,
) -> Result<Way> {
    // Where the CPU draws it is busy with that: nothing is gained by reading or uploading further ahead.
    let is_software = gl.caps().is_software;
    let count = if is_software { count.min(2) } else { count };
    let buffers = (0..count)
        .map(|_| tight_memory(job.device, info.size, info.fourcc, Constraints::NONE))
        .collect::<Result<Vec<Buffer>>>()?;
    Ok(Way { buffers, ..textures_way(gl, info, views, reason)? })
}

/// Textures into which pictures are copied.
pub(super) fn textures_way(gl: &Gl, info: &Info, views: &[PlaneView], reason: Error) -> Result<Way> {
    // Two sets take turns on a GPU.
    let sets = if info.still || gl.caps().is_software { 1 } else { 2 };
    let mut textures = Vec::new();
    for _ in 0..sets {
        let set = views.iter().map(|view| {
            let options = TextureOptions { fourcc: view.fourcc, filter: view.filter, ..TextureOptions::default() };
            Texture::new(gl, view.size, &options)
        });
        textures.push(set.collect::<Result<Vec<Texture>>>()?);
    }
    let binding = uploaded_binding(info, &textures[0])?;
    Ok(Way { buffers: Vec::new(), textures, binding, how: "texture upload", reason: Some(reason) })
}

/// How a shader reads textures into which a picture was copied.
pub(super) fn uploaded_binding(info: &Info, textures: &[Texture]) -> Result<InputBinding> {
    Ok(match info.fourcc.format()?.is_yuv() {
        true => planes(info, textures),
        false => InputBinding::Rgb { swizzle: textures[0].swizzle().to_owned() },
    })
}

/// Whose memory the GPU reads itself, best first; then all others, from which pictures are copied.
pub(super) fn readable_kinds(gl: &Gl, job: &Job<'_>, info: &Info) -> Vec<AllocatorKind> {
    let mut kinds = Vec::new();
    // Where the driver imports nothing the list is empty.
    let _ = job.import_first(|kind, _| {
        let reads = [(Role::Planes, false), (Role::External, true)].into_iter().any(|(role, external)| {
            let survives = job.survives(role, kind, info.fourcc, info.size);
            survives.and_then(|()| try_import(gl, job.device, info, kind, external)).is_ok()
        });
        kinds.extend(reads.then_some(kind));
        None::<()>
    });
    for kind in &job.device.board().allocate.order {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    kinds
}
