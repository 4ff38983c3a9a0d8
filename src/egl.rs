//! EGL: the library, displays, contexts, images over dma-bufs, and sync objects.
//!
//! In: a [`Device`](crate::device::Device) and [`Buffer`](crate::buffer::Buffer)s. Out: handles that terminate and
//! destroy themselves in the right order. Not here: anything with a GL name (`gles`).
//!
//! No function is called because its pointer is not null: an entry point of an extension is used where the extension
//! string names the extension, a core function where `eglInitialize` returned its version.
#![expect(unsafe_code, reason = "EGL is a C interface; each block names the rule it keeps")]

use std::fmt;

pub mod context;
mod device_list;
pub mod display;
mod export;
mod faults;
pub mod formats;
mod functions;
pub mod image;
pub(crate) mod library;
#[doc(hidden)]
pub mod raw;
pub mod sync;

pub use context::{Context, ContextOptions};
pub use display::Display;
pub use faults::fault_rules_are_off;
pub use formats::{DmaBufImport, FormatSupport, ModifierSupport};
pub use image::{Image, ImportOptions, UseModifier};
pub use sync::{FenceWay, FenceWays};

/// A code of `eglGetError`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EglError(pub i32);

impl EglError {
    /// `EGL_SUCCESS`: also seen after a call that failed (some drivers set no error).
    pub const SUCCESS: Self = Self(0x3000);
    /// `EGL_BAD_ACCESS`
    pub const BAD_ACCESS: Self = Self(0x3002);
    /// `EGL_BAD_ALLOC`
    pub const BAD_ALLOC: Self = Self(0x3003);
    /// `EGL_BAD_ATTRIBUTE`
    pub const BAD_ATTRIBUTE: Self = Self(0x3004);
    /// `EGL_BAD_MATCH`
    pub const BAD_MATCH: Self = Self(0x3009);
    /// `EGL_BAD_PARAMETER`
    pub const BAD_PARAMETER: Self = Self(0x300C);
    /// `EGL_CONTEXT_LOST`
    pub const CONTEXT_LOST: Self = Self(0x300E);

    /// The C name, or `EGL error` for a code outside core EGL.
    pub fn name(self) -> &'static str {
        match self.0 {
            0x3000 => "EGL_SUCCESS",
            0x3001 => "EGL_NOT_INITIALIZED",
            0x3002 => "EGL_BAD_ACCESS",
            0x3003 => "EGL_BAD_ALLOC",
            0x3004 => "EGL_BAD_ATTRIBUTE",
            0x3005 => "EGL_BAD_CONFIG",
            0x3006 => "EGL_BAD_CONTEXT",
            0x3007 => "EGL_BAD_CURRENT_SURFACE",
            0x3008 => "EGL_BAD_DISPLAY",
            0x3009 => "EGL_BAD_MATCH",
            0x300A => "EGL_BAD_NATIVE_PIXMAP",
            0x300B => "EGL_BAD_NATIVE_WINDOW",
            0x300C => "EGL_BAD_PARAMETER",
            0x300D => "EGL_BAD_SURFACE",
            0x300E => "EGL_CONTEXT_LOST",
            0x322B => "EGL_BAD_DEVICE_EXT",
            _ => "EGL error",
        }
    }
}

impl fmt::Display for EglError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x3000 => write!(f, "the driver failed without setting an error (EGL_SUCCESS)"),
            code => write!(f, "{} (0x{code:04X})", self.name()),
        }
    }
}

impl fmt::Debug for EglError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:04X})", self.name(), self.0)
    }
}

impl std::error::Error for EglError {}

/// A list of extension names, as EGL and GL give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(String);

impl Extensions {
    /// Takes a space-separated list.
    pub fn new(list: impl Into<String>) -> Self {
        Self(list.into())
    }

    /// Whether the list has exactly this word (`EGL_EXT_image_dma_buf_import` is not found in
    /// `EGL_EXT_image_dma_buf_import_modifiers`).
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|word| word == name)
    }

    /// Every name.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }
}

impl fmt::Display for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_match_whole_words() {
        let list = Extensions::new("EGL_EXT_image_dma_buf_import_modifiers EGL_KHR_fence_sync ");
        assert!(list.has("EGL_KHR_fence_sync"));
        assert!(!list.has("EGL_EXT_image_dma_buf_import"));
        assert!(!list.has(""));
        assert_eq!(list.iter().count(), 2);
    }

    #[test]
    fn errors_have_names_and_unknown_codes_do_not_panic() {
        assert_eq!(EglError(0x3009).to_string(), "EGL_BAD_MATCH (0x3009)");
        assert!(EglError(0x3000).to_string().contains("without setting an error"));
        assert_eq!(EglError(0x7777).to_string(), "EGL error (0x7777)");
    }
}
