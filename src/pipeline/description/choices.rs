//! Keys of sources that are one of a few words.
//!
//! In: TOML strings. Out: enums. Not here: which source has which key (`source::keys`).

use serde::Deserialize;

/// What a source's colours are converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Convert {
    /// Nothing: R'G'B' as they are.
    None,
    /// sRGB.
    Srgb,
    /// The transfer function of BT.709.
    Bt709,
    /// Linear light.
    Linear,
}

/// How a picture gets into a frame of other proportions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// All of the picture, in the middle, `background` beside it.
    Contain,
    /// All of the frame, what hangs over cut off on both sides.
    Cover,
    /// All of both: proportions change.
    Stretch,
}

impl std::fmt::Display for Fit {
    /// As description files name it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Contain => "contain",
            Self::Cover => "cover",
            Self::Stretch => "stretch",
        })
    }
}

/// What is done with the orientation that a picture's file notes (EXIF, TIFF).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Orientation {
    /// The picture is turned and mirrored so that it stands upright.
    Upright,
    /// Pixels as they are stored.
    Stored,
}

/// What is done with the colour profile in a picture's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Colours are converted to sRGB, relative colorimetric.
    Srgb,
    /// Nothing: numbers as they are stored.
    Ignore,
}

/// When a source hands its pictures on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// As fast as the run takes them.
    Free,
    /// At its rate, the first at once. None is left out: a picture that is late comes at once, and the source catches up.
    Realtime,
}

/// Whose memory a device fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Io {
    /// The device's own, lent as dma-bufs (`VIDIOC_EXPBUF`).
    #[default]
    Export,
    /// Memory that the GPU is known to read, given to the device as dma-bufs (`V4L2_MEMORY_DMABUF`).
    Import,
}
