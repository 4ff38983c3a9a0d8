//! Textures: from images (no copy) or from bytes (upload).
//!
//! In: an [`Image`], or bytes in a format with a GL twin. Out: what programs sample and framebuffers draw into.
//! Not here: what lies between texels and beyond the edge (`sampling`), reading several planes as one picture (`yuv`).

use std::os::fd::OwnedFd;

use glow::HasContext;

use super::external;
use super::gl::Gl;
use super::names::{Kind, Name};
use super::sampling::{Filter, Wrap};
use crate::egl::Image;
use crate::error::{Error, Result};
use crate::format::{Format, Fourcc, GlTwin};
use crate::layout::Size;

/// `GL_TEXTURE_EXTERNAL_OES`
pub(super) const TEXTURE_EXTERNAL: u32 = 0x8D65;
const UNPACK_ROW_LENGTH: u32 = 0x0CF2;
const LUMINANCE: u32 = 0x1909;
const LUMINANCE_ALPHA: u32 = 0x190A;

/// Which sampler reads a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextureTarget {
    /// `GL_TEXTURE_2D`, `sampler2D`
    TwoD,
    /// `GL_TEXTURE_EXTERNAL_OES`, `samplerExternalOES`
    External,
}

impl TextureTarget {
    pub(super) fn raw(self) -> u32 {
        match self {
            Self::TwoD => glow::TEXTURE_2D,
            Self::External => TEXTURE_EXTERNAL,
        }
    }
}

/// What a new texture is.
#[derive(Clone, Copy, Debug)]
pub struct TextureOptions {
    /// A format with a [`GlTwin`].
    pub fourcc: Fourcc,
    /// What lies between texels.
    pub filter: Filter,
    /// What lies beyond the edge.
    pub wrap: Wrap,
}

impl Default for TextureOptions {
    fn default() -> Self {
        Self { fourcc: Fourcc::ABGR8888, filter: Filter::Linear, wrap: Wrap::ClampToEdge }
    }
}

/// A texture. Its GL name is queued for deletion when it is dropped, on any thread.
#[derive(Debug)]
pub struct Texture {
    name: Name,
    target: TextureTarget,
    size: Size,
    fourcc: Fourcc,
    swizzle: String,
    /// How bytes get in; `None` for images.
    upload: Option<UploadFormat>,
    /// Its storage was made once for ever: compute shaders may store into it.
    is_storage: bool,
    /// Kept: some drivers let go of the memory with the EGLImage although textures remain.
    image: Option<Image>,
    /// Memory of another API. Its name goes after the texture's.
    _memory: Option<Name>,
}

/// `internalformat`, `format` and `type` of `glTexImage2D` on this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UploadFormat {
    internal: u32,
    format: u32,
    kind: u32,
    pixel_bytes: u32,
}

/// Fails where no texture of this context can have the size. To be asked before memory for one is made: the kernel ends
/// processes that ask for more than there is.
///
/// # Errors
/// `InvalidInput`.
pub fn check_size(gl: &Gl, size: Size) -> Result<()> {
    size.check()?;
    let max = gl.caps().max_texture_size;
    if size.width > max || size.height > max {
        return Err(Error::invalid("glTexImage2D", format!("{size}: this context's textures end at {max}x{max}"))
            .with_hint("use smaller pictures"));
    }
    Ok(())
}

impl Texture {
    /// Makes a texture with storage and no contents.
    ///
    /// # Errors
    /// `Unsupported`: the format has no GL twin, or none on this context. `InvalidInput`: larger than the context's
    /// textures, or a wrap that OpenGL ES 2 lacks for this size. `OutOfMemory`.
    pub fn new(gl: &Gl, size: Size, options: &TextureOptions) -> Result<Self> {
        check_size(gl, size)?;
        let format = options.fourcc.format()?;
        let (upload, swizzle) = upload_format(gl, format)?;
        let name = create(gl, TextureTarget::TwoD)?;
        // SAFETY: a context is current; no data is read.
        unsafe {
            gl.glow().tex_image_2d(
                glow::TEXTURE_2D,
                0,
                upload.internal as i32,
                size.width as i32,
                size.height as i32,
                0,
                upload.format,
                upload.kind,
                glow::PixelUnpackData::Slice(None),
            );
        }
        gl.check_error("glTexImage2D", || format!("{} {size}", format.name))?;
        let fourcc = options.fourcc;
        let texture = Self {
            name,
            target: TextureTarget::TwoD,
            size,
            fourcc,
            swizzle,
            upload: Some(upload),
            is_storage: false,
            image: None,
            _memory: None,
        };
        texture.set_filter(gl, options.filter)?;
        texture.set_wrap(gl, options.wrap)?;
        Ok(texture)
    }

    /// A target for fragments that make four pixels each: texels of four whole numbers of 32 bits, whose bytes are those
    /// of four RGBA pixels. `size` is that of the picture. For [`Framebuffer::four_wide`](super::Framebuffer::four_wide).
    pub(super) fn four_wide(gl: &Gl, size: Size) -> Result<Self> {
        size.check()?;
        if !gl.caps().at_least(3, 0) || !size.width.is_multiple_of(4) || cfg!(target_endian = "big") {
            let detail = format!("four pixels at a time: {size} on {}", gl.caps().version_text);
            return Err(Error::unsupported("GL_RGBA32UI", detail));
        }
        let name = create(gl, TextureTarget::TwoD)?;
        // SAFETY: a context of version 3 is current; no data is read.
        unsafe {
            gl.glow().tex_storage_2d(glow::TEXTURE_2D, 1, glow::RGBA32UI, (size.width / 4) as i32, size.height as i32);
        }
        gl.check_error("glTexStorage2D", || format!("GL_RGBA32UI for {size}"))?;
        let (target, fourcc, swizzle) = (TextureTarget::TwoD, Fourcc::ABGR8888, "rgba".to_owned());
        let texture =
            Self { name, target, size, fourcc, swizzle, upload: None, is_storage: false, image: None, _memory: None };
        texture.set_filter(gl, Filter::Nearest)?;
        Ok(texture)
    }

    /// A texture of fixed storage, which compute shaders store into.
    ///
    /// # Errors
    /// `Unsupported`: OpenGL ES 2, or a format without a GL twin. Those of [`check_size`]; `OutOfMemory`.
    #[doc(alias = "glTexStorage2D")]
    pub fn storage(gl: &Gl, size: Size, fourcc: Fourcc) -> Result<Self> {
        check_size(gl, size)?;
        let format = fourcc.format()?;
        if !gl.caps().at_least(3, 0) {
            let detail = format!("{} {size} on {}", format.name, gl.caps().version_text);
            return Err(Error::unsupported("glTexStorage2D", detail));
        }
        let (upload, swizzle) = upload_format(gl, format)?;
        let name = create(gl, TextureTarget::TwoD)?;
        // SAFETY: a context of version 3 is current; no data is read.
        unsafe {
            gl.glow().tex_storage_2d(glow::TEXTURE_2D, 1, upload.internal, size.width as i32, size.height as i32);
        }
        gl.check_error("glTexStorage2D", || format!("{} {size}", format.name))?;
        Self::of_storage(gl, name, (size, fourcc), (upload, swizzle), None)
    }

    /// A texture over memory that another API has made for an image of this size and format, with optimal tiling from its
    /// first byte on. `dedicated`: the memory was made for that image alone.
    ///
    /// # Safety
    /// The fd (`VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT`) is such memory of this context's device and driver, of `bytes`
    /// bytes: no driver checks that. [`Gl::uuids`] tells device and driver.
    ///
    /// # Errors
    /// `Unsupported` where the driver has no `GL_EXT_memory_object_fd`, or the format no GL twin; `Failed`.
    #[doc(alias = "glTexStorageMem2DEXT")]
    pub unsafe fn from_opaque_memory(
        gl: &Gl,
        size: Size,
        fourcc: Fourcc,
        (fd, bytes, dedicated): (OwnedFd, u64, bool),
    ) -> Result<Self> {
        check_size(gl, size)?;
        let (upload, swizzle) = upload_format(gl, fourcc.format()?)?;
        let name = create(gl, TextureTarget::TwoD)?;
        // SAFETY: the texture is bound; the rest is the caller's promise.
        let memory = unsafe { external::texture_storage(gl, (upload.internal, size), (fd, bytes, dedicated)) }?;
        Self::of_storage(gl, name, (size, fourcc), (upload, swizzle), Some(memory))
    }

    /// A texture whose storage was made, of `memory` where that is another API's.
    fn of_storage(
        gl: &Gl,
        name: Name,
        (size, fourcc): (Size, Fourcc),
        (upload, swizzle): (UploadFormat, String),
        memory: Option<Name>,
    ) -> Result<Self> {
        let (target, upload, is_storage) = (TextureTarget::TwoD, Some(upload), true);
        let texture = Self { name, target, size, fourcc, swizzle, upload, is_storage, image: None, _memory: memory };
        texture.set_filter(gl, Filter::Linear)?;
        texture.set_wrap(gl, Wrap::ClampToEdge)?;
        Ok(texture)
    }

    /// Made by [`Texture::storage`] or of another API's memory.
    pub fn is_storage(&self) -> bool {
        self.is_storage
    }

    /// Makes a `GL_TEXTURE_2D` of an image: it can be sampled and drawn into. A fresh name each time.
    ///
    /// # Errors
    /// `Unsupported`: an image for external samplers only (use [`Texture::external`]), a context without
    /// `GL_OES_EGL_image`, a format that the driver does not take here. `InvalidInput`: an image of another display.
    #[doc(alias = "glEGLImageTargetTexture2DOES")]
    pub fn from_image(gl: &Gl, image: &Image) -> Result<Self> {
        if image.external_only() {
            let detail = format!("{image:?}: this display samples the format through samplerExternalOES only");
            return Err(Error::unsupported("glEGLImageTargetTexture2DOES", detail)
                .with_hint("use Texture::external, or import the planes one by one (ImportOptions::plane)"));
        }
        if !gl.caps().extensions.has("GL_OES_EGL_image") {
            return Err(Error::unsupported("GL_OES_EGL_image", format!("{gl:?} does not offer it")));
        }
        Self::of_image(gl, image, TextureTarget::TwoD)
    }

    /// Makes a `GL_TEXTURE_EXTERNAL_OES` of an image: it can be sampled, the driver converts YUV. A fresh name each time.
    ///
    /// # Errors
    /// As [`Texture::from_image`], for `GL_OES_EGL_image_external`.
    #[doc(alias = "GL_TEXTURE_EXTERNAL_OES")]
    pub fn external(gl: &Gl, image: &Image) -> Result<Self> {
        if !gl.caps().extensions.has("GL_OES_EGL_image_external") {
            return Err(Error::unsupported("GL_OES_EGL_image_external", format!("{gl:?} does not offer it")));
        }
        Self::of_image(gl, image, TextureTarget::External)
    }

    fn of_image(gl: &Gl, image: &Image, target: TextureTarget) -> Result<Self> {
        check_display(gl, image)?;
        let set = gl.own().image_target_texture.ok_or_else(|| {
            Error::unsupported("glEGLImageTargetTexture2DOES", "offered, and libGLESv2 has no such function")
        })?;
        let name = create(gl, target)?;
        // SAFETY: the extension is listed, the texture is bound to this target and the image lives.
        unsafe { set(target.raw(), image.as_ptr()) };
        gl.check_error("glEGLImageTargetTexture2DOES", || format!("{image:?} as {target:?}"))
            .map_err(|error| Error::unsupported("glEGLImageTargetTexture2DOES", error.detail().to_owned()))?;
        let fourcc = image.fourcc();
        // X components read as 1 by specification; a shader makes sure.
        let opaque = fourcc.format().is_ok_and(|format| !format.has_alpha);
        let swizzle = if opaque { "rgb1" } else { "rgba" }.to_owned();
        let image = Some(image.clone());
        let texture = Self {
            name,
            target,
            size: image.as_ref().map_or(Size::new(0, 0), Image::size),
            fourcc,
            swizzle,
            upload: None,
            is_storage: false,
            image,
            _memory: None,
        };
        texture.set_filter(gl, Filter::Linear)?;
        texture.set_wrap(gl, Wrap::ClampToEdge)?;
        Ok(texture)
    }

    /// Copies a picture in. Row 0 of `bytes` is the top row; rows are `stride_bytes` apart, the last may be short.
    ///
    /// # Errors
    /// `InvalidInput`: too few bytes, a stride shorter than a row, or a texture made of an image.
    #[doc(alias = "glTexSubImage2D")]
    pub fn upload(&self, gl: &Gl, bytes: &[u8], stride_bytes: u32) -> Result<()> {
        gl.check_name(&self.name, "glTexSubImage2D")?;
        let Some(upload) = self.upload else {
            return Err(Error::invalid("glTexSubImage2D", "the texture is an image: write to its buffer"));
        };
        let row = self.size.width as usize * upload.pixel_bytes as usize;
        let stride = stride_bytes as usize;
        let rows = self.size.height as usize;
        let needed = stride.checked_mul(rows - 1).and_then(|bytes| bytes.checked_add(row));
        if stride < row || needed.is_none_or(|needed| bytes.len() < needed) {
            let detail = format!(
                "{} {}: {} bytes with stride_bytes {stride}; {rows} rows of {row} bytes are needed",
                self.fourcc,
                self.size,
                bytes.len()
            );
            return Err(Error::invalid("glTexSubImage2D", detail));
        }
        let pixel = upload.pixel_bytes as usize;
        let has_row_length = gl.caps().at_least(3, 0) || gl.caps().extensions.has("GL_EXT_unpack_subimage");
        self.bind(gl, 0)?;
        let glow = gl.glow();
        // SAFETY: a context is current; row length exists where it is set; the slice holds all rows, checked above.
        unsafe {
            glow.pixel_store_i32(glow::UNPACK_ALIGNMENT, 1);
            if stride == row || rows == 1 {
                self.sub_image(gl, upload, bytes);
            } else if has_row_length && stride.is_multiple_of(pixel) {
                glow.pixel_store_i32(UNPACK_ROW_LENGTH, (stride / pixel) as i32);
                self.sub_image(gl, upload, bytes);
                glow.pixel_store_i32(UNPACK_ROW_LENGTH, 0);
            } else {
                let tight: Vec<u8> = (0..rows).flat_map(|y| &bytes[y * stride..y * stride + row]).copied().collect();
                self.sub_image(gl, upload, &tight);
            }
        }
        gl.check_error("glTexSubImage2D", || format!("{} {}", self.fourcc, self.size))
    }

    /// # Safety
    /// A context is current with this texture bound; `bytes` holds every row as the unpack state says.
    unsafe fn sub_image(&self, gl: &Gl, upload: UploadFormat, bytes: &[u8]) {
        // SAFETY: the caller's promise.
        unsafe {
            gl.glow().tex_sub_image_2d(
                glow::TEXTURE_2D,
                0,
                0,
                0,
                self.size.width as i32,
                self.size.height as i32,
                upload.format,
                upload.kind,
                glow::PixelUnpackData::Slice(Some(bytes)),
            );
        }
    }

    /// Binds it to a texture unit, counted from 0. Contents that others wrote since the last bind are seen after it.
    ///
    /// # Errors
    /// `InvalidInput`: a texture of another context, a unit above 31.
    pub fn bind(&self, gl: &Gl, unit: u32) -> Result<()> {
        gl.check_name(&self.name, "glBindTexture")?;
        if unit > 31 {
            return Err(Error::invalid("glActiveTexture", format!("unit {unit}: units are 0 to 31")));
        }
        // SAFETY: a context is current; the name lives and always had this target.
        unsafe {
            gl.glow().active_texture(glow::TEXTURE0 + unit);
            gl.glow().bind_texture(self.target.raw(), Some(glow::NativeTexture(self.name.raw())));
        }
        Ok(())
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The format it was made with.
    pub fn fourcc(&self) -> Fourcc {
        self.fourcc
    }

    /// Which sampler reads it.
    pub fn target(&self) -> TextureTarget {
        self.target
    }

    /// How a shader gets r, g, b, a from the sampled components: `rgba`, `bgra`, `r001`, `ra01`, …
    pub fn swizzle(&self) -> &str {
        &self.swizzle
    }

    /// The image it shows, where it was made of one.
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }
}

pub(super) fn check_display(gl: &Gl, image: &Image) -> Result<()> {
    match gl.display().raw() == image.display().raw() {
        true => Ok(()),
        false => Err(Error::invalid("EGLImage", format!("{image:?} belongs to another display than the context"))),
    }
}

fn create(gl: &Gl, target: TextureTarget) -> Result<Name> {
    // SAFETY: a context is current.
    unsafe {
        let raw = gl.glow().create_texture().map_err(|error| Error::failed("glGenTextures", error))?;
        gl.glow().active_texture(glow::TEXTURE0);
        gl.glow().bind_texture(target.raw(), Some(raw));
        Ok(gl.name(Kind::Texture, raw.0))
    }
}

/// How a format's bytes get into a texture of this context, and how a shader reads them there.
fn upload_format(gl: &Gl, format: &Format) -> Result<(UploadFormat, String)> {
    let refuse = |why: &str| {
        Err(Error::unsupported("glTexImage2D", format!("{}: {why} on {}", format.name, gl.caps().version_text)))
    };
    let Some(twin) = format.gl else {
        return refuse("no GL format has the same bytes")
            .map_err(|error: Error| error.with_hint("upload its planes one by one (gles::yuv::views)"));
    };
    let pixel_bytes = format.planes[0].block_bytes;
    let same = |internal| UploadFormat { internal, format: twin.format, kind: twin.kind, pixel_bytes };
    let has = |name| gl.caps().extensions.has(name);
    let norm16 = twin.kind == glow::UNSIGNED_SHORT;
    if gl.caps().at_least(3, 0) {
        if norm16 && !has("GL_EXT_texture_norm16") {
            return refuse("needs GL_EXT_texture_norm16");
        }
        return Ok((same(twin.internal), twin.swizzle.to_owned()));
    }
    match twin {
        _ if norm16 || twin.kind == glow::HALF_FLOAT || twin.kind == glow::FLOAT => refuse("needs OpenGL ES 3"),
        GlTwin { kind: glow::UNSIGNED_INT_2_10_10_10_REV, .. } if !has("GL_EXT_texture_type_2_10_10_10_REV") => {
            refuse("needs GL_EXT_texture_type_2_10_10_10_REV")
        }
        // OpenGL ES 2 before EXT_texture_rg: one component is luminance, two are luminance and alpha.
        GlTwin { format: glow::RED, .. } if !has("GL_EXT_texture_rg") => {
            let upload = UploadFormat { internal: LUMINANCE, format: LUMINANCE, ..same(LUMINANCE) };
            Ok((upload, twin.swizzle.to_owned()))
        }
        GlTwin { format: glow::RG, .. } if !has("GL_EXT_texture_rg") => {
            let upload = UploadFormat { internal: LUMINANCE_ALPHA, format: LUMINANCE_ALPHA, ..same(LUMINANCE_ALPHA) };
            Ok((upload, twin.swizzle.replace('g', "a")))
        }
        // OpenGL ES 2 wants the internal format to be the format.
        _ => Ok((same(twin.format), twin.swizzle.to_owned())),
    }
}
