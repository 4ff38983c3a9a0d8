//! Images: a buffer's memory as the GPU sees it, without a copy.
//!
//! In: a [`Buffer`] of dma-bufs. Out: an [`Image`] to make textures and render targets of (`gles`).
//! Not here: the way back (`export`), images of textures (`gles::image`), YUV conversion by own shaders (`gles::yuv`), which imports planes one by one with [`ImportOptions::plane`].
//!
//! File descriptors stay the buffer's: EGL takes references of its own, on success only.
//!
//! # References
//! `EGL_EXT_image_dma_buf_import`, `EGL_EXT_image_dma_buf_import_modifiers`, `EGL_KHR_image_base`

use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::faults;
use super::raw::{self, RawImage};
use super::{Display, DmaBufImport, EglError, FormatSupport};
use crate::buffer::{Buffer, Memory};
use crate::color::{Color, Matrix, Range};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{PlaneLayout, Size};

const HEIGHT: i32 = 0x3056;
const WIDTH: i32 = 0x3057;
const IMAGE_PRESERVED: i32 = 0x30D2;
const LINUX_DRM_FOURCC: i32 = 0x3271;
/// FD, OFFSET, PITCH, MODIFIER_LO, MODIFIER_HI of planes 0 to 3.
const PLANE: [[i32; 5]; 4] = [
    [0x3272, 0x3273, 0x3274, 0x3443, 0x3444],
    [0x3275, 0x3276, 0x3277, 0x3445, 0x3446],
    [0x3278, 0x3279, 0x327A, 0x3447, 0x3448],
    [0x3440, 0x3441, 0x3442, 0x3449, 0x344A],
];
const YUV_COLOR_SPACE_HINT: i32 = 0x327B;
const SAMPLE_RANGE_HINT: i32 = 0x327C;
const HORIZONTAL_SITING_HINT: i32 = 0x327D;
const VERTICAL_SITING_HINT: i32 = 0x327E;
const ITU_REC601: i32 = 0x327F;
const ITU_REC709: i32 = 0x3280;
const ITU_REC2020: i32 = 0x3281;
const YUV_FULL_RANGE: i32 = 0x3282;
const YUV_NARROW_RANGE: i32 = 0x3283;
const CHROMA_SITING_0: i32 = 0x3284;
const CHROMA_SITING_0_5: i32 = 0x3285;

/// Whether the driver is told the buffer's modifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseModifier {
    /// Told where the display lists the buffer's modifier for the format, else not.
    #[default]
    Auto,
    /// Always told; an error where the display takes none.
    Explicit,
    /// Never told: the driver takes linear, or what the memory itself says.
    Implicit,
}

/// How a buffer becomes an image.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions {
    /// What the numbers of a YUV format mean, passed as hints; `None` lets the driver guess (Mesa: BT.601, limited).
    pub color: Option<Color>,
    /// Whether the modifier is passed.
    pub modifier: UseModifier,
    /// Import this plane alone, as its [`view`](crate::format::PlaneFormat::view): `R8`, `GR88`, …
    pub plane: Option<usize>,
    /// With `plane`: read its bytes as this RGB format instead (`YUYV` as `GR88`, or as `ABGR8888` of half the width).
    pub reinterpret: Option<Fourcc>,
    /// `EGL_IMAGE_PRESERVED`: the contents survive the import. Drivers keep them anyway; `true` makes it formal.
    pub preserved: bool,
    /// Use `eglCreateImageKHR` also where EGL 1.5 has `eglCreateImage`.
    pub force_khr: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        let modifier = UseModifier::Auto;
        Self { color: None, modifier, plane: None, reinterpret: None, preserved: true, force_khr: false }
    }
}

/// An EGLImage over the memory of a [`Buffer`], which it keeps, or over a texture's ([`Image::from_texture`]). Clones share it; usable from any thread.
#[derive(Clone)]
pub struct Image(Arc<Inner>);

struct Inner {
    // Destroyed before the buffer's memory goes.
    raw: RawImage,
    display: Display,
    /// `None` where it was made of a texture.
    buffer: Option<Buffer>,
    fourcc: Fourcc,
    size: Size,
    modifier: Option<Modifier>,
    external_only: bool,
}

impl Image {
    /// Imports a whole buffer with the default [`ImportOptions`].
    ///
    /// # Errors
    /// As [`Image::import_with`].
    pub fn import(display: &Display, buffer: &Buffer) -> Result<Self> {
        Self::import_with(display, buffer, &ImportOptions::default())
    }

    /// Imports a buffer, or one plane of it.
    ///
    /// # Shapes
    /// Row 0 of the image is row 0 of the memory: the top of the picture.
    ///
    /// # Errors
    /// `Unsupported`: memory that is no dma-buf, a display without import, a format or modifier it does not list,
    /// `EGL_BAD_MATCH` and `EGL_BAD_ACCESS` (format, modifier, stride or offset are not this driver's). `InvalidInput`:
    /// numbers that EGL cannot hold, a plane that is not there. `Failed`: any other code; Mesa says `EGL_BAD_ALLOC` for
    /// every memory that its driver refuses, so that is not called out of memory. [`Error::hint`] names the likely rule.
    #[doc(alias = "eglCreateImage")]
    #[doc(alias = "eglCreateImageKHR")]
    #[doc(alias = "EGL_LINUX_DMA_BUF_EXT")]
    pub fn import_with(display: &Display, buffer: &Buffer, options: &ImportOptions) -> Result<Self> {
        let view = View::new(buffer, options)?;
        if buffer.memory() != Memory::DmaBuf {
            let detail = format!("{view}: the memory is a memfd, which the GPU cannot reach");
            return Err(Error::unsupported("EGL_EXT_image_dma_buf_import", detail)
                .with_hint("upload it into a texture (copy path), or allocate from a dma-heap, udmabuf or DRM node"));
        }
        let support = display.format(view.fourcc).map_err(|error| error.in_context(&view))?;
        faults::check(display, buffer)?;
        let modifier = choose_modifier(display, &support, &view, options.modifier)?;
        let attributes = view.attributes(buffer, modifier, options)?;
        let entry = if options.force_khr { raw::Entry::Khr } else { raw::Entry::Best };
        let raw = raw::create_image(display, &attributes, entry)
            .map_err(|error| import_error(&view, modifier, error, entry))?;
        let listed = support.modifier(modifier.unwrap_or(view.modifier));
        let external_only = listed.map_or_else(|| support.external_only(), |entry| entry.external_only);
        tracing::debug!(image = %view, modifier = ?modifier, external_only, "imported");
        Ok(Self(Arc::new(Inner {
            raw,
            display: display.clone(),
            buffer: Some(buffer.clone()),
            fourcc: view.fourcc,
            size: view.size,
            modifier,
            external_only,
        })))
    }

    /// Takes an image of a texture's storage, which lives while the image does.
    pub(crate) fn from_raw(display: &Display, raw: RawImage, fourcc: Fourcc, size: Size) -> Self {
        let display = display.clone();
        Self(Arc::new(Inner { raw, display, buffer: None, fourcc, size, modifier: None, external_only: false }))
    }

    /// Size in pixels: of the view, where one plane was imported.
    pub fn size(&self) -> Size {
        self.0.size
    }

    /// Format: of the view, where one plane was imported.
    pub fn fourcc(&self) -> Fourcc {
        self.0.fourcc
    }

    /// The modifier that was passed; `None` where none was.
    pub fn modifier(&self) -> Option<Modifier> {
        self.0.modifier
    }

    /// Whether only `samplerExternalOES` can read it: no `GL_TEXTURE_2D`, no render target.
    pub fn external_only(&self) -> bool {
        self.0.external_only
    }

    /// The memory that was imported; `None` for an image of a texture ([`Image::export`] may give its memory out).
    pub fn buffer(&self) -> Option<&Buffer> {
        self.0.buffer.as_ref()
    }

    /// The display it belongs to.
    pub fn display(&self) -> &Display {
        &self.0.display
    }

    pub(crate) fn as_ptr(&self) -> *mut std::ffi::c_void {
        self.0.raw.as_ptr()
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} {}, modifier {:?})", self.0.fourcc, self.0.size, self.0.modifier)
    }
}

/// What is imported: the whole layout, or one plane under another name.
struct View {
    fourcc: Fourcc,
    size: Size,
    modifier: Modifier,
    /// Index in the buffer and place of each plane.
    planes: Vec<(usize, PlaneLayout)>,
}

impl View {
    fn new(buffer: &Buffer, options: &ImportOptions) -> Result<Self> {
        let layout = buffer.layout();
        let Some(plane) = options.plane else {
            if options.reinterpret.is_some() {
                return Err(Error::invalid("ImportOptions::reinterpret", format!("{layout}: a plane must be named")));
            }
            let planes = layout.planes().iter().copied().enumerate().collect();
            return Ok(Self { fourcc: layout.fourcc, size: layout.size, modifier: layout.modifier, planes });
        };
        let (Some(place), Some(format)) = (layout.planes().get(plane), layout.format().planes.get(plane)) else {
            return Err(Error::invalid("ImportOptions::plane", format!("{layout}: there is no plane {plane}")));
        };
        if layout.modifier != Modifier::LINEAR && layout.modifier != Modifier::INVALID {
            let detail = format!("{layout}: one plane of a tiled or compressed picture has no format of its own");
            return Err(Error::unsupported("ImportOptions::plane", detail));
        }
        let fourcc = options.reinterpret.or(format.view).ok_or_else(|| {
            Error::unsupported(
                "ImportOptions::plane",
                format!("{layout}: plane {plane} has no RGB format of the same bytes"),
            )
        })?;
        let as_format = fourcc.format()?;
        let row_bytes = layout.row_bytes(plane);
        let pixel_bytes = u64::from(as_format.planes[0].block_bytes);
        // The last pixel of a row may reach into the padding, where each row and the memory have it.
        let row_bytes = match row_bytes.next_multiple_of(pixel_bytes) {
            padded
                if padded <= u64::from(place.stride_bytes)
                    && layout.plane_end(plane)? - row_bytes + padded <= buffer.plane_object_bytes(plane) =>
            {
                padded
            }
            _ => row_bytes,
        };
        if as_format.planes.len() != 1 || as_format.planes[0].block_width != 1 || !row_bytes.is_multiple_of(pixel_bytes)
        {
            let detail = format!("{layout}: rows of {row_bytes} bytes in plane {plane} are no rows of {fourcc}");
            return Err(Error::invalid("ImportOptions::reinterpret", detail));
        }
        // A row of a checked layout is at most 65536 columns of at most 8 bytes.
        let size = Size::new((row_bytes / pixel_bytes) as u32, layout.rows(plane));
        Ok(Self { fourcc, size, modifier: layout.modifier, planes: vec![(plane, *place)] })
    }

    fn attributes(&self, buffer: &Buffer, modifier: Option<Modifier>, options: &ImportOptions) -> Result<Vec<i32>> {
        let fit = |value: u64, what: &str, plane: usize| {
            i32::try_from(value).map_err(|_| {
                Error::invalid(
                    "eglCreateImage",
                    format!("{self}: {what} {value} of plane {plane} does not fit an EGLint"),
                )
            })
        };
        let mut list = vec![
            WIDTH,
            fit(u64::from(self.size.width), "width", 0)?,
            HEIGHT,
            fit(u64::from(self.size.height), "height", 0)?,
            LINUX_DRM_FOURCC,
            self.fourcc.0 as i32,
        ];
        for (names, (index, place)) in PLANE.iter().zip(&self.planes) {
            let [fd, offset, pitch, low, high] = *names;
            list.extend([fd, buffer.plane_fd(*index).as_raw_fd()]);
            list.extend([offset, fit(place.offset_bytes, "offset_bytes", *index)?]);
            list.extend([pitch, fit(u64::from(place.stride_bytes), "stride_bytes", *index)?]);
            if let Some(modifier) = modifier {
                list.extend([low, modifier.low() as i32, high, modifier.high() as i32]);
            }
        }
        let is_yuv = self.fourcc.format().is_ok_and(|format| format.is_yuv());
        if let Some(color) = options.color.filter(|_| is_yuv) {
            list.extend(color_hints(&color)?);
        }
        if options.preserved {
            list.extend([IMAGE_PRESERVED, 1]);
        }
        Ok(list)
    }
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.fourcc, self.size, self.modifier)
    }
}

/// Names and values of the four hints.
fn color_hints(color: &Color) -> Result<[i32; 8]> {
    let matrix = match color.matrix {
        Matrix::Bt601 => ITU_REC601,
        Matrix::Bt709 => ITU_REC709,
        Matrix::Bt2020 => ITU_REC2020,
        Matrix::Smpte240m | Matrix::Identity => {
            let detail = format!("{:?}: EGL has no name for this matrix", color.matrix);
            return Err(Error::unsupported("EGL_YUV_COLOR_SPACE_HINT_EXT", detail)
                .with_hint("import the planes one by one (ImportOptions::plane)"));
        }
    };
    let range = match color.range {
        Range::Full => YUV_FULL_RANGE,
        Range::Limited => YUV_NARROW_RANGE,
    };
    let siting = |offset: f64| if offset == 0.0 { CHROMA_SITING_0 } else { CHROMA_SITING_0_5 };
    let (horizontal, vertical) = color.siting.offset();
    Ok([
        YUV_COLOR_SPACE_HINT,
        matrix,
        SAMPLE_RANGE_HINT,
        range,
        HORIZONTAL_SITING_HINT,
        siting(horizontal),
        VERTICAL_SITING_HINT,
        siting(vertical),
    ])
}

fn choose_modifier(
    display: &Display,
    support: &FormatSupport,
    view: &View,
    wanted: UseModifier,
) -> Result<Option<Modifier>> {
    let known = view.modifier != Modifier::INVALID;
    let takes = display.dma_buf_import() == Some(DmaBufImport::Modifiers);
    let listed = support.modifier(view.modifier).is_some();
    let fail =
        |detail: &str| Err(Error::unsupported("EGL_EXT_image_dma_buf_import_modifiers", format!("{view}: {detail}")));
    match wanted {
        UseModifier::Explicit if !known => fail("the allocator did not say the modifier"),
        UseModifier::Explicit if !takes => fail("this display takes no modifiers"),
        UseModifier::Explicit if !listed && !support.modifiers.is_empty() => {
            let offered: Vec<String> = support.modifiers.iter().map(|entry| entry.modifier.to_string()).collect();
            fail("not listed for this format")
                .map_err(|error: Error| error.with_hint(format!("offered: {}", offered.join(", "))))
        }
        UseModifier::Explicit => Ok(Some(view.modifier)),
        UseModifier::Auto if known && takes && listed => Ok(Some(view.modifier)),
        // Only linear memory may go without its modifier: a driver that guesses would read tiles as rows.
        UseModifier::Auto if known && view.modifier != Modifier::LINEAR => {
            fail("this display does not list the modifier")
        }
        UseModifier::Auto | UseModifier::Implicit => Ok(None),
    }
}

fn import_error(view: &View, modifier: Option<Modifier>, error: EglError, entry: raw::Entry) -> Error {
    let kind = match error {
        EglError::BAD_MATCH | EglError::BAD_ACCESS => ErrorKind::Unsupported,
        EglError::CONTEXT_LOST => ErrorKind::ContextLost,
        _ => ErrorKind::Failed,
    };
    let op = if entry == raw::Entry::Khr { "eglCreateImageKHR" } else { "eglCreateImage" };
    let modifier = modifier.map_or("no modifier passed".to_owned(), |modifier| format!("modifier {modifier}"));
    let planes: Vec<String> = view
        .planes
        .iter()
        .map(|(index, place)| {
            format!("plane {index} offset_bytes {} stride_bytes {}", place.offset_bytes, place.stride_bytes)
        })
        .collect();
    let detail = format!("{view}, {modifier}, {}: {error}{}", planes.join(", "), raw::driver_message());
    let error = Error::new(kind, op, detail);
    match hint(view) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The rule that is most likely broken.
fn hint(view: &View) -> Option<String> {
    const ALIGN: u64 = 64;
    let odd = |value: u64| !value.is_multiple_of(ALIGN);
    for (index, place) in &view.planes {
        if odd(place.offset_bytes) || odd(u64::from(place.stride_bytes)) {
            return Some(format!(
                "Mali drivers take offsets and strides that are multiples of {ALIGN} bytes; plane {index} breaks that"
            ));
        }
    }
    match view.fourcc {
        Fourcc::RGBA8888 | Fourcc::RGBX8888 => {
            Some("GL_RGBA's bytes are DRM ABGR8888; RGBA8888 is A, B, G, R in memory".into())
        }
        Fourcc::RGB888 | Fourcc::BGR888 => Some("few GPUs take 24-bit pixels; use XRGB8888 or XBGR8888".into()),
        fourcc if fourcc.format().is_ok_and(|format| format.is_yuv()) => {
            Some("import its planes one by one (ImportOptions::plane) and convert in a shader".into())
        }
        _ => Some("allocate on the DRM node that EGL uses, or from an allocator whose memory it takes".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_follow_the_extension() {
        let color = Color { matrix: Matrix::Bt709, range: Range::Full, ..Color::HD };
        assert_eq!(color_hints(&color).unwrap(), [0x327B, 0x3280, 0x327C, 0x3282, 0x327D, 0x3284, 0x327E, 0x3285]);
    }

    #[test]
    fn errors_name_the_planes_and_the_rule() {
        let view = View {
            fourcc: Fourcc::NV12,
            size: Size::new(1920, 1080),
            modifier: Modifier::LINEAR,
            planes: vec![
                (0, PlaneLayout { offset_bytes: 0, stride_bytes: 1920 }),
                (1, PlaneLayout { offset_bytes: 2_073_601, stride_bytes: 1920 }),
            ],
        };
        let error = import_error(&view, Some(Modifier::LINEAR), EglError::BAD_MATCH, raw::Entry::Best);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.starts_with("eglCreateImage: NV12 1920x1080 LINEAR, modifier LINEAR, plane 0"), "{text}");
        assert!(text.contains("plane 1 offset_bytes 2073601 stride_bytes 1920: EGL_BAD_MATCH (0x3009)"), "{text}");
        assert!(text.contains("multiples of 64 bytes; plane 1"), "{text}");
        let error = import_error(&view, None, EglError::SUCCESS, raw::Entry::Khr);
        assert_eq!(error.kind(), ErrorKind::Failed);
    }
}
