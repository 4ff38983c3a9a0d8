//! Which formats and modifiers a display imports.
//!
//! In: a [`Display`]. Out: [`FormatSupport`], asked from the driver or, where it has no question to ask, assumed.
//! Not here: whether an import that is advertised works.

use super::Display;
use super::raw;
use crate::error::{Error, Result, nearest};
use crate::format::{Fourcc, Modifier};

/// How a display takes dma-bufs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaBufImport {
    /// `EGL_EXT_image_dma_buf_import`: no modifiers, formats cannot be asked for.
    Plain,
    /// The same with `EGL_EXT_image_dma_buf_import_modifiers`.
    Modifiers,
}

/// A format that a display says it imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatSupport {
    /// The format.
    pub fourcc: Fourcc,
    /// Its memory layouts; empty where the driver says nothing about them: then only an import without modifier is left.
    pub modifiers: Vec<ModifierSupport>,
    /// The driver cannot be asked: this row says what drivers with plain import commonly take.
    pub assumed: bool,
}

impl FormatSupport {
    /// The entry for `modifier`.
    pub fn modifier(&self, modifier: Modifier) -> Option<ModifierSupport> {
        self.modifiers.iter().copied().find(|entry| entry.modifier == modifier)
    }

    /// Whether every layout of the format can be sampled through `samplerExternalOES` only.
    pub fn external_only(&self) -> bool {
        match self.modifiers.is_empty() {
            true => self.fourcc.format().is_ok_and(|format| format.is_yuv()),
            false => self.modifiers.iter().all(|entry| entry.external_only),
        }
    }
}

/// A memory layout of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModifierSupport {
    /// The layout.
    pub modifier: Modifier,
    /// Images can be sampled through `samplerExternalOES` only: no `GL_TEXTURE_2D`, no render target.
    pub external_only: bool,
}

/// What drivers with plain import commonly take, where they cannot be asked.
const ASSUMED: &[Fourcc] = &[
    Fourcc::ABGR8888,
    Fourcc::XBGR8888,
    Fourcc::ARGB8888,
    Fourcc::XRGB8888,
    Fourcc::RGB565,
    Fourcc::R8,
    Fourcc::GR88,
    Fourcc::NV12,
    Fourcc::YUV420,
    Fourcc::YUYV,
];

impl Display {
    /// Every format this display says it imports. Asked once per display.
    ///
    /// Without `EGL_EXT_image_dma_buf_import_modifiers` the rows are marked [`assumed`](FormatSupport::assumed); without
    /// dma-buf import the list is empty.
    ///
    /// # Errors
    /// `Failed` where the driver's answer is an error.
    #[doc(alias = "eglQueryDmaBufFormatsEXT")]
    #[doc(alias = "eglQueryDmaBufModifiersEXT")]
    pub fn formats(&self) -> Result<Vec<FormatSupport>> {
        if let Some(known) = self.format_cache().get() {
            return Ok(known.clone());
        }
        let formats = match self.dma_buf_import() {
            None => Vec::new(),
            Some(DmaBufImport::Plain) => ASSUMED
                .iter()
                .map(|fourcc| FormatSupport { fourcc: *fourcc, modifiers: Vec::new(), assumed: true })
                .collect(),
            Some(DmaBufImport::Modifiers) => self.ask_formats()?,
        };
        Ok(self.format_cache().get_or_init(|| formats).clone())
    }

    /// What this display says about one format.
    ///
    /// # Errors
    /// `Unsupported` where it does not import the format (the hint names the nearest that it does), or no dma-buf.
    pub fn format(&self, fourcc: Fourcc) -> Result<FormatSupport> {
        if let Some(reason) = self.unsupported_reason() {
            return Err(Error::unsupported("EGL_EXT_image_dma_buf_import", reason));
        }
        let formats = self.formats()?;
        // A list of assumptions, or an empty one, is no reason to refuse.
        let assumed = formats.iter().all(|format| format.assumed);
        if let Some(found) = formats.iter().find(|format| format.fourcc == fourcc) {
            return Ok(found.clone());
        }
        if assumed {
            return Ok(FormatSupport { fourcc, modifiers: Vec::new(), assumed: true });
        }
        let names: Vec<String> = formats.iter().map(|format| format.fourcc.to_string()).collect();
        let near = nearest(&fourcc.to_string(), names.iter().map(String::as_str));
        let hint = near.map_or_else(
            || format!("offered: {}", names.join(", ")),
            |near| format!("the nearest that is offered is {near}"),
        );
        Err(Error::unsupported("eglQueryDmaBufFormatsEXT", format!("{fourcc} is not among this display's formats"))
            .with_hint(hint))
    }

    fn ask_formats(&self) -> Result<Vec<FormatSupport>> {
        let fail = |op: &'static str, what: String, error| Error::failed(op, format!("{what}: {error}"));
        let codes =
            raw::query_formats(self).map_err(|error| fail("eglQueryDmaBufFormatsEXT", format!("{self}"), error))?;
        let mut formats = Vec::with_capacity(codes.len());
        for code in codes {
            let fourcc = Fourcc(code as u32);
            let modifiers = raw::query_modifiers(self, code)
                .map_err(|error| fail("eglQueryDmaBufModifiersEXT", fourcc.to_string(), error))?
                .into_iter()
                .map(|(modifier, external)| ModifierSupport {
                    modifier: Modifier(modifier),
                    external_only: external != 0,
                })
                .collect();
            formats.push(FormatSupport { fourcc, modifiers, assumed: false });
        }
        Ok(formats)
    }
}
