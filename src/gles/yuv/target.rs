//! YUV pictures as targets: each plane is drawn by a pass of its own from one RGB texture.
//!
//! In: an RGB picture as a texture, a YUV format, what its numbers shall mean. Out: the planes' bytes.
//! Not here: memory of the planes (`egl::image` imports them, `pipeline` reads them back).
//!
//! Two ways to see a plane as a render target ([`PlaneWay`]): as the RGB format of its own samples (`R8`, `GR88`), or as
//! `ABGR8888` texels of four bytes each, for contexts that render to no others. Read back, the second gives a plane's
//! bytes as they are: `glReadPixels` of R, G, B, A is all that OpenGL ES 2 promises. The third sees no planes: a driver
//! with `GL_EXT_YUV_target` takes Y, Cb and Cr of every pixel in one pass, and filters the chroma by itself.
//!
//! Chroma is filtered to where it sits. Across: centre is the mean of two columns, left and top-left are
//! [1 2 1] / 4 around the even column. Down: centre and left are the mean of two rows, top-left is [1 2 1] / 4 around the
//! even row. Edges repeat. It is done on R'G'B', which is the same as on Cb and Cr: both are sums of the same three. Each
//! tap lies between two or four pixels, where the sampler's linear filter is their mean.

use std::fmt::Write as _;
use std::path::Path;

use super::{Filter, PlaneView, number};
use crate::color::{Color, Siting};
use crate::error::{Error, Result};
use crate::format::{Component, Format, Fourcc, Packing};
use crate::gles::framebuffer::Framebuffer;
use crate::gles::gl::Gl;
use crate::gles::program::{POSITION, Program, ProgramSource, ShaderVersion, Uniform};
use crate::gles::sampling::Wrap;
use crate::gles::texture::Texture;
use crate::layout::Size;

/// How a plane is seen as a render target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaneWay {
    /// One block of samples a texel: `R8`, `GR88`, `R16`, `GR1616`, `ABGR8888`.
    Views,
    /// Four bytes a texel, whatever they are.
    Packed,
    /// The whole picture at once, by `GL_EXT_YUV_target`. How the driver filters chroma is its own affair: prove it.
    Whole,
}

impl std::fmt::Display for PlaneWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Views => "planes as targets",
            Self::Packed => "planes as targets of four bytes a texel",
            Self::Whole => "one pass over all planes",
        })
    }
}

/// Fails where planes of this format cannot be drawn.
///
/// # Errors
/// `Unsupported`: RGB; samples that are no whole bytes; more than two luma columns or rows a chroma sample.
pub fn check_target(fourcc: Fourcc) -> Result<()> {
    Shape::new(fourcc).map(|_| ())
}

/// Size of each plane, and the format in which it is drawn into.
///
/// Import each with [`ImportOptions::plane`](crate::egl::ImportOptions::plane) and `reinterpret`, or make a texture of it.
/// In the last texel of a row, [`PlaneWay::Packed`] writes up to three bytes beyond the samples: into padding.
/// [`PlaneWay::Whole`] has one view, the picture itself: an image of the whole buffer as an external texture.
///
/// # Errors
/// As [`check_target`].
pub fn target_views(fourcc: Fourcc, size: Size, way: PlaneWay) -> Result<Vec<PlaneView>> {
    size.check()?;
    let shape = Shape::new(fourcc)?;
    if way == PlaneWay::Whole {
        return Ok(vec![PlaneView { plane: 0, fourcc, size, filter: Filter::Nearest }]);
    }
    let view = |plane: usize| {
        let row_bytes = shape.format.planes[plane].row_bytes(size.width);
        let (view, texel_bytes) = shape.view(plane, way)?;
        let texels = row_bytes.div_ceil(texel_bytes as u64) as u32;
        let size = Size::new(texels, shape.format.planes[plane].rows(size.height));
        Ok(PlaneView { plane, fourcc: view, size, filter: Filter::Nearest })
    };
    (0..shape.format.planes.len()).map(view).collect()
}

/// What the planes of a format are made of.
struct Shape {
    fourcc: Fourcc,
    format: &'static Format,
    packing: Packing,
    /// Luma columns and rows of a chroma sample.
    subsampling: (u32, u32),
}

impl Shape {
    fn new(fourcc: Fourcc) -> Result<Self> {
        let format = fourcc.format()?;
        let refuse = |why: &str| {
            Err(Error::unsupported("format", format!("{fourcc}: {why}"))
                .with_hint("NV12, NV21, NV16, NV24, YUV420, YUV422, YUV444, P010, YUYV and AYUV are drawn"))
        };
        let Some(packing) = fourcc.packing() else { return refuse("no shader here writes its samples") };
        let chroma = format.planes.last().unwrap_or(&format.planes[0]);
        let packed = if format.planes.len() == 1 { packing.luma_columns(0) as u32 } else { 1 };
        let subsampling = (chroma.horizontal_subsampling * packed, chroma.vertical_subsampling);
        if subsampling.0 > 2 || subsampling.1 > 2 {
            return refuse("chroma of more than two columns or rows");
        }
        let shape = Self { fourcc, format, packing, subsampling };
        if (0..packing.planes.len()).any(|plane| shape.view(plane, PlaneWay::Packed).is_err()) {
            return refuse("no render target has texels of its blocks");
        }
        Ok(shape)
    }

    /// The format in which a plane is drawn into, and bytes of its texels.
    fn view(&self, plane: usize, way: PlaneWay) -> Result<(Fourcc, usize)> {
        let bytes = self.packing.planes[plane].len() * self.packing.sample_bytes;
        let own = match (bytes, self.packing.sample_bytes) {
            (1, 1) => Some(Fourcc::R8),
            (2, 1) => Some(Fourcc::GR88),
            (4, 1) => Some(Fourcc::ABGR8888),
            (2, 2) => Some(Fourcc::R16),
            (4, 2) => Some(Fourcc::GR1616),
            _ => None,
        };
        match own {
            None => Err(Error::unsupported("format", format!("{}: blocks of {bytes} bytes", self.fourcc))),
            Some(_) if way == PlaneWay::Packed => Ok((Fourcc::ABGR8888, 4)),
            Some(own) => Ok((own, bytes)),
        }
    }

    /// The samples of one texel of a plane: each with its block within the texel and its place within the block.
    fn samples(&self, plane: usize, way: PlaneWay) -> Result<Vec<(usize, Component, usize)>> {
        let block = self.packing.planes[plane];
        let (_, texel_bytes) = self.view(plane, way)?;
        let count = texel_bytes / self.packing.sample_bytes;
        Ok((0..count).map(|index| (index / block.len(), block[index % block.len()], index % block.len())).collect())
    }
}

/// Draws an RGB texture into the planes of a YUV picture of the same size.
#[derive(Debug)]
pub struct PlaneWriter {
    planes: Vec<(Program, Filter)>,
    /// Filtering by the texture's own 8 bits is not exact where the CPU draws: see `pipeline::pass::samplings`.
    mirrored: bool,
}

impl PlaneWriter {
    /// Compiles the passes. `swizzle` is that of the textures to come ([`Texture::swizzle`]).
    ///
    /// # Errors
    /// As [`target_views`]; `Unsupported`: more than 8 bits where fragment shaders have 16-bit floats only, or
    /// [`PlaneWay::Whole`] without `GL_EXT_YUV_target`.
    pub fn new(gl: &Gl, fourcc: Fourcc, size: Size, color: Color, way: PlaneWay, swizzle: &str) -> Result<Self> {
        let shape = Shape::new(fourcc)?;
        if shape.packing.sample_bytes > 1 && !gl.caps().fragment_highp {
            let detail = format!("{fourcc}: fragment shaders of {} have no highp floats", gl.caps().renderer);
            return Err(Error::unsupported("GL_FRAGMENT_PRECISION_HIGH", detail).with_hint("use an 8-bit format"));
        }
        if way == PlaneWay::Whole && !gl.caps().has_yuv_target() {
            let detail = format!("{fourcc}: {} does not offer it on OpenGL ES 3", gl.caps().renderer);
            return Err(Error::unsupported("GL_EXT_YUV_target", detail).with_hint("draw plane by plane"));
        }
        let mut planes = Vec::new();
        for view in target_views(fourcc, size, way)? {
            let (text, version) = match way {
                PlaneWay::Whole => (Text::whole(&shape, color, swizzle)?, ShaderVersion::Essl300),
                _ => (Text::new(&shape, &view, size, color, way, swizzle)?, ShaderVersion::Essl100),
            };
            let source = ProgramSource {
                name: "planes",
                version,
                vertex: &text.vertex,
                prelude: &text.prelude,
                body: &text.body,
                body_path: Path::new("planes.frag"),
            };
            let program = Program::new(gl, &source)?;
            program.set(gl, "picture", Uniform::Sampler(0))?;
            let filter = if text.mixes { Filter::Linear } else { Filter::Nearest };
            planes.push((program, filter));
        }
        let npot = gl.caps().at_least(3, 0) || gl.caps().extensions.has("GL_OES_texture_npot");
        Ok(Self { planes, mirrored: gl.caps().is_software && npot })
    }

    /// Draws `texture` into the planes, which are the framebuffers of [`target_views`] in that order. Sets the texture's
    /// filter and wrap.
    ///
    /// # Errors
    /// `InvalidInput`: another number of framebuffers; `Failed` where the driver reports an error.
    pub fn draw(&self, gl: &Gl, texture: &Texture, planes: &[Framebuffer]) -> Result<()> {
        if planes.len() != self.planes.len() {
            let detail = format!("{} framebuffers given, {} are needed", planes.len(), self.planes.len());
            return Err(Error::invalid("PlaneWriter", detail));
        }
        for ((program, filter), target) in self.planes.iter().zip(planes) {
            let mirrored = self.mirrored && *filter == Filter::Linear;
            texture.set_filter(gl, *filter)?;
            texture.set_wrap(gl, if mirrored { Wrap::MirroredRepeat } else { Wrap::ClampToEdge })?;
            target.bind(gl)?;
            texture.bind(gl, 0)?;
            program.draw_triangle(gl)?;
        }
        Ok(())
    }
}

/// Positions that the vertex shader computes; those beyond are computed from the first. OpenGL ES 2 promises eight.
const VARYINGS: usize = 8;

/// The shaders of one plane.
struct Text {
    vertex: String,
    prelude: String,
    body: String,
    /// Some taps lie between pixels.
    mixes: bool,
}

impl Text {
    /// Y, Cb and Cr of every pixel, which the driver writes into the planes. The codes are ours, so the colours are those
    /// of the other ways: the extension's own `rgb_2_yuv` has BT.601 and BT.709 only.
    fn whole(shape: &Shape, color: Color, swizzle: &str) -> Result<Self> {
        let order: Vec<String> = (0..4).map(|index| super::component(swizzle, index, "s")).collect::<Result<_>>()?;
        let matrix = color.rgb_to_yuv(shape.packing.bits);
        let code = |row: [f64; 4]| format!("dot(rgb, vec4({}))", row.map(number).join(", "));
        Ok(Self {
            vertex: format!(
                "in vec2 {POSITION};\nout vec2 t0;\nvoid main() {{\n    t0 = {POSITION} * 0.5 + 0.5;\n    \
                 gl_Position = vec4({POSITION}, 0.0, 1.0);\n}}\n"
            ),
            prelude: "#extension GL_EXT_YUV_target : require\nprecision highp float;\nprecision highp sampler2D;\n\
                      uniform sampler2D picture;\nin vec2 t0;\nlayout(yuv) out vec4 yuv;\n"
                .into(),
            body: format!(
                "void main() {{\n    vec4 s = texture(picture, t0);\n    vec4 rgb = vec4({}, 1.0);\n    \
                 yuv = vec4({}, 1.0);\n}}\n",
                order[..3].join(", "),
                matrix.map(code).join(", ")
            ),
            mixes: false,
        })
    }

    fn new(shape: &Shape, view: &PlaneView, size: Size, color: Color, way: PlaneWay, swizzle: &str) -> Result<Self> {
        let plane = &shape.format.planes[view.plane];
        let samples = shape.samples(view.plane, way)?;
        let blocks = samples.iter().map(|(block, ..)| block + 1).max().unwrap_or(1);
        // Luma columns and rows of one texel.
        let block_columns = plane.horizontal_subsampling as usize * shape.packing.luma_columns(view.plane);
        let columns = block_columns * blocks;
        let rows = plane.vertical_subsampling;
        let mut taps = Taps { all: Vec::new(), mixes: false };
        let mut body = String::new();
        let mut parts = Vec::new();
        let (hs, vs) = shape.subsampling;
        let matrix = color.rgb_to_yuv(shape.packing.bits);
        let row = |index: usize| format!("vec4({})", matrix[index].map(number).join(", "));
        let mut lumas = vec![0; blocks];
        for (block, component, _) in samples {
            let first = block * block_columns;
            let value = match component {
                Component::X => "1.0".to_owned(),
                Component::Y | Component::Alpha => {
                    // The second luma sample of a block is that of the odd column.
                    let column = first + lumas[block];
                    lumas[block] += usize::from(component == Component::Y);
                    let at = match component {
                        Component::Alpha => first,
                        _ => column,
                    };
                    let tap = taps.index(at as f64 + 0.5, 0.5);
                    match component {
                        Component::Alpha => format!("s{tap}.a"),
                        _ => format!("dot({}, vec4(s{tap}.rgb, 1.0))", row(0)),
                    }
                }
                Component::Cb | Component::Cr => {
                    let mean = taps.mean(first as f64, (hs, vs), color.siting);
                    format!("dot({}, vec4({mean}, 1.0))", row(if component == Component::Cb { 1 } else { 2 }))
                }
            };
            parts.push(value);
        }
        let packing = &shape.packing;
        let max = f64::from((1u32 << packing.bits) - 1);
        let step = f64::from(packing.word(1));
        let outputs: Vec<String> = match (packing.sample_bytes, way) {
            (1, _) | (_, PlaneWay::Whole) => parts,
            // The code, then its word, of 65535.
            (_, PlaneWay::Views) => {
                let scale = number(step / 65535.0);
                parts.iter().map(|part| format!("floor(({part}) * {} + 0.5) * {scale}", number(max))).collect()
            }
            (_, PlaneWay::Packed) => {
                let mut outputs = Vec::new();
                for (index, part) in parts.iter().enumerate() {
                    let (max, step) = (number(max), number(step));
                    let code = format!("floor(clamp({part}, 0.0, 1.0) * {max} + 0.5) * {step}");
                    let _ = writeln!(body, "    float w{index} = {code}, h{index} = floor(w{index} / 256.0);");
                    outputs.push(format!("(w{index} - h{index} * 256.0) / 255.0"));
                    outputs.push(format!("h{index} / 255.0"));
                }
                outputs
            }
        };
        let mut color_parts = outputs;
        color_parts.resize(4, "1.0".into());
        let _ = writeln!(body, "    gl_FragColor = vec4({});", color_parts.join(", "));

        // Texel i of the target begins at luma column i * columns: uv.x * texels - 0.5 = i.
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let scale_x = f64::from(view.size.width) * columns as f64 / width;
        let scale_y = f64::from(view.size.height) * f64::from(rows) / height;
        let mut vertex = format!("attribute vec2 {POSITION};\n");
        let mut moves = String::new();
        let mut prelude = String::from(
            "#ifdef GL_FRAGMENT_PRECISION_HIGH\n#define DF_P highp\n#else\n#define DF_P mediump\n#endif\n\
             precision DF_P float;\nprecision DF_P sampler2D;\nuniform DF_P sampler2D picture;\n",
        );
        let mut reads = String::new();
        let order: Vec<String> = (0..4).map(|index| super::component(swizzle, index, "s")).collect::<Result<_>>()?;
        let _ = writeln!(
            prelude,
            "vec4 at(vec2 uv) {{ vec4 s = texture2D(picture, uv); return vec4({}); }}",
            order.join(", ")
        );
        for (index, (x, y)) in taps.all.iter().enumerate() {
            let bias = ((x - 0.5 * columns as f64) / width, (y - 0.5 * f64::from(rows)) / height);
            if index < VARYINGS {
                let _ = writeln!(vertex, "varying vec2 t{index};");
                let _ = writeln!(prelude, "varying DF_P vec2 t{index};");
                let _ = writeln!(
                    moves,
                    "    t{index} = ({POSITION} * 0.5 + 0.5) * vec2({}, {}) + vec2({}, {});",
                    number(scale_x),
                    number(scale_y),
                    number(bias.0),
                    number(bias.1)
                );
                let _ = writeln!(reads, "    vec4 s{index} = at(t{index});");
            } else {
                let (x0, y0) = taps.all[0];
                let (dx, dy) = (number((x - x0) / width), number((y - y0) / height));
                let _ = writeln!(reads, "    vec4 s{index} = at(t0 + vec2({dx}, {dy}));");
            }
        }
        let _ = write!(vertex, "void main() {{\n{moves}    gl_Position = vec4({POSITION}, 0.0, 1.0);\n}}\n");
        let body = format!("void main() {{\n{reads}{body}}}\n");
        Ok(Self { vertex, prelude, body, mixes: taps.mixes })
    }
}

/// Places that are sampled, in luma pixels from the first corner of a texel.
struct Taps {
    all: Vec<(f64, f64)>,
    mixes: bool,
}

impl Taps {
    fn index(&mut self, x: f64, y: f64) -> usize {
        self.mixes |= x.fract() == 0.0 || y.fract() == 0.0;
        match self.all.iter().position(|tap| *tap == (x, y)) {
            Some(known) => known,
            None => {
                self.all.push((x, y));
                self.all.len() - 1
            }
        }
    }

    /// GLSL of the mean R, G, B for a chroma sample whose first luma column is `first`.
    fn mean(&mut self, first: f64, (hs, vs): (u32, u32), siting: Siting) -> String {
        // A tap on a pixel's edge is the mean of its two sides; two such taps are [1 2 1] / 4.
        let places = |subsampling: u32, cosited: bool| match (subsampling, cosited) {
            (1, _) => vec![0.5],
            (_, false) => vec![1.0],
            (_, true) => vec![0.0, 1.0],
        };
        let (ox, oy) = siting.offset();
        let mut sum = Vec::new();
        for y in places(vs, oy == 0.0) {
            for x in places(hs, ox == 0.0) {
                sum.push(format!("s{}.rgb", self.index(first + x, y)));
            }
        }
        match sum.len() {
            1 => sum.remove(0),
            count => format!("({}) * {}", sum.join(" + "), number(1.0 / count as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_as_an_encoder_wants_them() {
        let sizes = |fourcc, way| -> Vec<(Fourcc, Size)> {
            let views = target_views(fourcc, Size::new(6, 5), way).unwrap();
            views.iter().map(|view| (view.fourcc, view.size)).collect()
        };
        let (r8, gr88, rgba) = (Fourcc::R8, Fourcc::GR88, Fourcc::ABGR8888);
        assert_eq!(sizes(Fourcc::NV12, PlaneWay::Views), [(r8, Size::new(6, 5)), (gr88, Size::new(3, 3))]);
        assert_eq!(sizes(Fourcc::NV12, PlaneWay::Packed), [(rgba, Size::new(2, 5)), (rgba, Size::new(2, 3))]);
        assert_eq!(sizes(Fourcc::P010, PlaneWay::Packed), [(rgba, Size::new(3, 5)), (rgba, Size::new(3, 3))]);
        for way in [PlaneWay::Views, PlaneWay::Packed] {
            assert_eq!(sizes(Fourcc::YUYV, way), [(rgba, Size::new(3, 5))]);
        }
        assert_eq!(sizes(Fourcc::NV12, PlaneWay::Whole), [(Fourcc::NV12, Size::new(6, 5))]);
        for wrong in [Fourcc::ABGR8888, Fourcc::NV15, Fourcc::Y410, Fourcc::YUV410, Fourcc::Y210, Fourcc::Y416] {
            assert!(check_target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn taps_are_those_of_the_documented_filters() {
        let places = |siting| {
            let mut taps = Taps { all: Vec::new(), mixes: false };
            taps.mean(2.0, (2, 2), siting);
            taps.all
        };
        assert_eq!(places(Siting::Center), [(3.0, 1.0)]);
        assert_eq!(places(Siting::Left), [(2.0, 1.0), (3.0, 1.0)]);
        assert_eq!(places(Siting::TopLeft), [(2.0, 0.0), (3.0, 0.0), (2.0, 1.0), (3.0, 1.0)]);
    }
}
