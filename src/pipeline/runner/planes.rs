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
use crate::format::{Component, Fourcc};
use crate::gles::yuv::target::target_views;
use crate::gles::{self, Framebuffer, Gl, PackRing, PlaneView, PlaneWay, PlaneWriter, Texture, TextureOptions};
use crate::layout::{Constraints, Size};

use super::super::sink::Shape;
use super::memory::tight_memory;

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
        // One pass where the driver has it and filters chroma as we do.
        let whole = gl.caps().has_yuv_target().then_some(PlaneWay::Whole);
        for way in whole.into_iter().chain([PlaneWay::Views, PlaneWay::Packed]) {
            let made = Self::new(gl, shape, way, |views| {
                buffers.iter().map(|buffer| planes(gl, buffer, views, way)).collect()
            });
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

    /// Draws test pictures and compares what the memory has with the arithmetic of [`crate::color`].
    fn prove(self, gl: &Gl, shape: &Shape, buffer: &Buffer) -> Result<Self> {
        let drawn = drawn_format(gl, shape.fourcc)?;
        let options = TextureOptions { fourcc: drawn, ..TextureOptions::default() };
        let picture = Framebuffer::new(gl, Texture::new(gl, shape.size, &options)?)?;
        // Colours whose components have codes of 8 and of 10 bits near them.
        for color in [[0.8, 0.2, 0.4], [0.0, 0.6, 1.0]] {
            let [r, g, b] = color.map(|part| part as f32);
            picture.bind(gl)?;
            gl.clear([r, g, b, 1.0]);
            self.draw(gl, &picture, 0)?;
            gl.finish();
            compare(shape, buffer, |_, _| color)?;
        }
        if self.way == PlaneWay::Whole {
            // Who filters chroma is the driver: fields of three pixels tell one filter from another.
            let field = |x: u32, y: u32| match (x / 3 + y / 3) % 2 {
                0 => [1.0, 0.0, 0.0],
                _ => [0.0, 0.0, 1.0],
            };
            let texture = Texture::new(gl, shape.size, &TextureOptions::default())?;
            let pixel = |at: u64| {
                let (x, y) = (at % u64::from(shape.size.width), at / u64::from(shape.size.width));
                let [r, g, b] = field(x as u32, y as u32).map(|part| (part * 255.0) as u8);
                [r, g, b, 255]
            };
            let bytes: Vec<u8> = (0..shape.size.pixels()).flat_map(pixel).collect();
            texture.upload(gl, &bytes, shape.size.width * 4)?;
            self.writer.draw(gl, &texture, &self.sets[0])?;
            gl.finish();
            compare(shape, buffer, field)?;
        }
        Ok(self)
    }
}

/// Compares samples of every plane, near its corners, with what a picture has there: `pixel` gives its R'G'B'.
fn compare(shape: &Shape, buffer: &Buffer, pixel: impl Fn(u32, u32) -> [f64; 3]) -> Result<()> {
    let format = shape.fourcc.format()?;
    let packing = shape.fourcc.packing().ok_or_else(|| Error::unsupported("format", format.name))?;
    let max = f64::from((1u32 << packing.bits) - 1);
    let matrix = shape.color.rgb_to_yuv(packing.bits);
    let siting = shape.color.siting.offset();
    // The codes of a sample: what the pixels at `across` times `down` have, weighted.
    let code = |row: usize, across: &[(u32, f64)], down: &[(u32, f64)]| {
        let mut sum = matrix[row][3];
        for (y, y_weight) in down {
            for (x, x_weight) in across {
                let color = pixel(*x, *y);
                sum += (0..3).map(|part| matrix[row][part] * color[part]).sum::<f64>() * x_weight * y_weight;
            }
        }
        sum * max
    };
    let map = buffer.map(Access::Read)?;
    for (plane, components) in packing.planes.iter().enumerate() {
        let columns = packing.luma_columns(plane) as u32;
        let (hs, vs) =
            (format.planes[plane].horizontal_subsampling * columns, format.planes[plane].vertical_subsampling);
        let block_bytes = components.len() * packing.sample_bytes;
        let blocks = (buffer.layout().row_bytes(plane) / block_bytes as u64) as u32;
        let rows = buffer.layout().rows(plane);
        for row in corner(rows) {
            for block in corner(blocks) {
                let start = block as usize * block_bytes;
                let samples = map.row(plane, row)[start..start + block_bytes].chunks(packing.sample_bytes);
                let mut luma = 0;
                for (component, sample) in components.iter().zip(samples) {
                    let chroma = (
                        &taps(block, hs, siting.0 == 0.0, shape.size.width)[..],
                        &taps(row, vs, siting.1 == 0.0, shape.size.height)[..],
                    );
                    let wanted = match component {
                        Component::Y => {
                            // In the last block of an odd width, a column beyond the picture is anybody's.
                            let column = block * columns + luma;
                            luma += 1;
                            if column >= shape.size.width {
                                continue;
                            }
                            code(0, &[(column, 1.0)], &[(row, 1.0)])
                        }
                        Component::Cb => code(1, chroma.0, chroma.1),
                        Component::Cr => code(2, chroma.0, chroma.1),
                        Component::Alpha | Component::X => continue,
                    };
                    let got = f64::from(packing.load(sample));
                    // Two codes of 8 bits: the picture has its own rounding.
                    if (got - wanted).abs() > 2.0 * max / 255.0 {
                        let detail = format!(
                            "{}: a test picture has {component:?} {got} in block {block} of row {row} of plane {plane}, \
                             expected {wanted:.0}",
                            buffer.layout()
                        );
                        return Err(Error::unsupported("draw", detail));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Indexes near both ends.
fn corner(count: u32) -> impl Iterator<Item = u32> {
    (0..count.min(4)).chain((count > 4).then(|| count - 1))
}

/// The pixels that a chroma sample is the mean of, with their weights: see `gles::yuv::target`.
fn taps(index: u32, subsampling: u32, cosited: bool, size: u32) -> Vec<(u32, f64)> {
    let last = size - 1;
    match (subsampling, cosited) {
        (1, _) => vec![(index.min(last), 1.0)],
        (_, false) => [0, 1].map(|step| ((index * 2 + step).min(last), 0.5)).to_vec(),
        (_, true) => {
            let at = index * 2;
            vec![(at.saturating_sub(1), 0.25), (at.min(last), 0.5), ((at + 1).min(last), 0.25)]
        }
    }
}

fn planes(gl: &Gl, buffer: &Buffer, views: &[PlaneView], way: PlaneWay) -> Result<Vec<Framebuffer>> {
    if way == PlaneWay::Whole {
        let image = Image::import(gl.display(), buffer)?;
        return Ok(vec![Framebuffer::new(gl, Texture::external(gl, &image)?)?]);
    }
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
