//! Targets of YUV formats: the pass draws R'G'B', and each plane is drawn from that.
//!
//! In: a target's shape. Out: the planes of each buffer as framebuffers, drawn and read back.
//! Not here: the shaders (`gles::yuv::target`), when it is done (`target`).

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::buffer::{Access, Buffer, Map};
use crate::device::Device;
use crate::egl::{Image, ImportOptions};
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::gles::yuv::target::target_views;
use crate::gles::{self, Framebuffer, Gl, PackRing, PlaneView, PlaneWay, PlaneWriter, Texture, TextureOptions};
use crate::layout::{Constraints, Size};

use super::super::sink::Shape;
use super::target::tight_memory;

/// The format in which a pass of this format draws: RGB, deep enough for the planes.
pub(super) fn drawn_format(gl: &Gl, fourcc: Fourcc) -> Result<Fourcc> {
    let format = fourcc.format()?;
    Ok(match format.is_yuv() {
        false => fourcc,
        // OpenGL ES 2 renders to nothing deeper.
        true if format.component_bits > 8 && gl.caps().at_least(3, 0) => Fourcc::ABGR2101010,
        true => Fourcc::ABGR8888,
    })
}

/// The planes of one or more buffers.
pub(super) struct Planes {
    writer: PlaneWriter,
    views: Vec<PlaneView>,
    sets: Vec<Vec<Framebuffer>>,
    way: PlaneWay,
    rows: Rows,
}

impl Planes {
    /// Planes in textures of their own, to be read back.
    pub(super) fn to_read_back(gl: &Gl, shape: &Shape, sets: usize) -> Result<Self> {
        Self::new(gl, shape, PlaneWay::Packed, |views| {
            let make = |view: &PlaneView| {
                let options = TextureOptions { fourcc: view.fourcc, ..TextureOptions::default() };
                Framebuffer::new(gl, Texture::new(gl, view.size, &options)?)
            };
            (0..sets).map(|_| views.iter().map(make).collect()).collect()
        })
    }

    /// Planes in memory that the GPU draws into, proved with two colours.
    pub(super) fn import(
        gl: &Gl,
        device: &Device,
        shape: &Shape,
        (kind, count): (AllocatorKind, usize),
        survives: impl FnOnce() -> Result<()>,
    ) -> Result<(Self, Vec<Buffer>)> {
        let request = Request::new(shape.size, shape.fourcc)
            .usage(Usage::RENDER | Usage::SAMPLE | Usage::CPU_READ | Usage::VIDEO)
            .constrain(Constraints { stride_align_bytes: 4, ..Constraints::NONE })?
            .constrain(shape.layout)?
            .only(kind)
            .require_dma_buf();
        let buffers = (0..count).map(|_| device.allocate(&request)).collect::<Result<Vec<Buffer>>>()?;
        survives()?;
        let mut refusals = Vec::new();
        for way in [PlaneWay::Views, PlaneWay::Packed] {
            let made =
                Self::new(gl, shape, way, |views| buffers.iter().map(|buffer| planes(gl, buffer, views)).collect());
            match made.and_then(|made| made.prove(gl, shape, &buffers[0])) {
                Ok(made) => return Ok((made, buffers)),
                Err(error) => refusals.push(format!("{way}: {error}")),
            }
        }
        Err(Error::unsupported("import", refusals.join(" | ")))
    }

    fn new(
        gl: &Gl,
        shape: &Shape,
        way: PlaneWay,
        sets: impl FnOnce(&[PlaneView]) -> Result<Vec<Vec<Framebuffer>>>,
    ) -> Result<Self> {
        let views = target_views(shape.fourcc, shape.size, way)?;
        let sets = sets(&views)?;
        // The picture is a texture of our own, whose components are in their places.
        let writer = PlaneWriter::new(gl, shape.fourcc, shape.size, shape.color, way, "rgba")?;
        Ok(Self { writer, views, sets, way, rows: Rows::default() })
    }

    pub(super) fn way(&self) -> PlaneWay {
        self.way
    }

    /// Draws the planes of buffer `set` from the pass's picture.
    pub(super) fn draw(&self, gl: &Gl, picture: &Framebuffer, set: usize) -> Result<()> {
        let texture = picture.texture().ok_or_else(|| Error::failed("planes", "the picture is no texture"))?;
        self.writer.draw(gl, texture, &self.sets[set])
    }

    /// Reads the planes of `set` back into memory of [`read_back_memory`].
    pub(super) fn read(&mut self, gl: &Gl, set: usize, map: &mut Map<'_>) -> Result<()> {
        for (plane, target) in self.sets[set].iter().enumerate() {
            self.rows.read(self.views[plane].size, map, plane, |out| gles::read_pixels(gl, target, out))?;
        }
        Ok(())
    }

    /// Rings that read the planes back late.
    pub(super) fn rings(&self, gl: &Gl, depth: usize) -> Result<Vec<PackRing>> {
        self.views.iter().map(|view| PackRing::new(gl, view.size, depth)).collect()
    }

    /// The framebuffers of `set`, as the rings.
    pub(super) fn set(&self, set: usize) -> &[Framebuffer] {
        &self.sets[set]
    }

    /// Ends what the rings began.
    pub(super) fn finish(&mut self, gl: &Gl, rings: &mut [PackRing], map: &mut Map<'_>) -> Result<()> {
        for (plane, ring) in rings.iter_mut().enumerate() {
            self.rows.read(self.views[plane].size, map, plane, |out| ring.finish(gl, out).map(|_| ()))?;
        }
        Ok(())
    }

    /// Draws two colours and compares what the memory has with the arithmetic of [`crate::color`].
    fn prove(self, gl: &Gl, shape: &Shape, buffer: &Buffer) -> Result<Self> {
        let drawn = drawn_format(gl, shape.fourcc)?;
        let options = TextureOptions { fourcc: drawn, ..TextureOptions::default() };
        let picture = Framebuffer::new(gl, Texture::new(gl, shape.size, &options)?)?;
        let format = shape.fourcc.format()?;
        let packing = shape.fourcc.packing().ok_or_else(|| Error::unsupported("format", format.name))?;
        let bits = packing.bits;
        let max = f64::from((1u32 << bits) - 1);
        // Colours whose components have codes of 8 and of 10 bits near them.
        for [r, g, b] in [[0.8, 0.2, 0.4], [0.0, 0.6, 1.0]] {
            picture.bind(gl)?;
            gl.clear([r as f32, g as f32, b as f32, 1.0]);
            self.draw(gl, &picture, 0)?;
            gl.finish();
            let codes = shape.color.rgb_to_yuv(bits).map(|row| (row[0] * r + row[1] * g + row[2] * b + row[3]) * max);
            let map = buffer.map(Access::Read)?;
            for (plane, samples) in packing.planes.iter().enumerate() {
                let last = buffer.layout().rows(plane) - 1;
                for row in [map.row(plane, 0), map.row(plane, last)] {
                    let block = samples.len() * packing.sample_bytes;
                    for bytes in [&row[..block], &row[row.len() - block..]] {
                        for (component, sample) in samples.iter().zip(bytes.chunks(packing.sample_bytes)) {
                            use crate::format::Component;
                            let wanted = match component {
                                Component::Y => codes[0],
                                Component::Cb => codes[1],
                                Component::Cr => codes[2],
                                Component::Alpha | Component::X => continue,
                            };
                            let got = f64::from(packing.load(sample));
                            // Two codes of 8 bits: the picture has its own rounding.
                            if (got - wanted).abs() > 2.0 * max / 255.0 {
                                let detail = format!(
                                    "{}: a test picture has {component:?} {got} in plane {plane}, expected {wanted:.0}",
                                    buffer.layout()
                                );
                                return Err(Error::unsupported("draw", detail));
                            }
                        }
                    }
                }
            }
        }
        Ok(self)
    }
}

fn planes(gl: &Gl, buffer: &Buffer, views: &[PlaneView]) -> Result<Vec<Framebuffer>> {
    let import = |view: &PlaneView| {
        let (plane, reinterpret) = (Some(view.plane), Some(view.fourcc));
        let options = ImportOptions { plane, reinterpret, ..ImportOptions::default() };
        let image = Image::import_with(gl.display(), buffer, &options)?;
        if image.size() != view.size {
            let detail = format!("{}: rows of plane {} have no room for whole texels", buffer.layout(), view.plane);
            return Err(Error::unsupported("stride", detail));
        }
        Framebuffer::new(gl, Texture::from_image(gl, &image)?)
    };
    views.iter().map(import).collect()
}

/// Memory for planes that are read back: rows of whole texels of four bytes.
pub(super) fn read_back_memory(device: &Device, shape: &Shape) -> Result<Buffer> {
    match shape.fourcc.format()?.is_yuv() {
        true => tight_memory(device, shape.size, shape.fourcc, shape.layout),
        false => tight_memory(device, shape.size, Fourcc::ABGR8888, shape.layout),
    }
}

/// Tight rows of texels of four bytes, on their way into memory whose rows are padded, or end before the last texel.
#[derive(Default)]
pub(super) struct Rows(Vec<u8>);

impl Rows {
    /// Has `read` fill a plane with `size` texels.
    pub(super) fn read(
        &mut self,
        size: Size,
        map: &mut Map<'_>,
        plane: usize,
        read: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let stride = map.layout().planes()[plane].stride_bytes as usize;
        let (row, rows) = (size.width as usize * 4, size.height as usize);
        let into = map.plane_mut(plane);
        if into.len() == row * rows && stride == row {
            return read(into);
        }
        self.0.resize(row * rows, 0);
        read(&mut self.0)?;
        for (into, from) in into.chunks_mut(stride).zip(self.0.chunks(row)) {
            let length = into.len().min(row);
            into[..length].copy_from_slice(&from[..length]);
        }
        Ok(())
    }
}
