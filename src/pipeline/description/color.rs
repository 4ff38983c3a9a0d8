//! The keys that say what a picture's numbers mean.
//!
//! In: TOML. Out: a colour with what they say. Not here: conversions (`color`).

use serde::Deserialize;

use crate::color::{Color, Matrix, Primaries, Range, Siting, Transfer};

/// Colour tags; what is left out is taken from the file, else guessed from the size.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ColorKeys {
    /// The Y'CbCr matrix. Default: `"bt601"` up to 720x576, else `"bt709"`.
    pub matrix: Option<Matrix>,
    /// Which codes black and white have. Default: `"limited"`.
    pub range: Option<Range>,
    /// Where chroma samples sit. Default: `"left"`.
    pub siting: Option<Siting>,
    /// Transfer function. Default: `"bt709"`, sRGB for RGB formats.
    pub transfer: Option<Transfer>,
    /// Primaries. Default: those of the matrix; `"bt709"` for RGB formats.
    pub primaries: Option<Primaries>,
}

impl ColorKeys {
    /// `color` with what these keys say instead.
    pub fn over(&self, color: Color) -> Color {
        Color {
            matrix: self.matrix.unwrap_or(color.matrix),
            range: self.range.unwrap_or(color.range),
            siting: self.siting.unwrap_or(color.siting),
            transfer: self.transfer.unwrap_or(color.transfer),
            primaries: self.primaries.unwrap_or(color.primaries),
        }
    }
}
