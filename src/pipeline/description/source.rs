//! The keys of a source.
//!
//! In: TOML. Out: typed values. Not here: opening what they name (`source`).

use std::path::PathBuf;

use serde::Deserialize;

use crate::format::Fourcc;
use crate::layout::Size;
use crate::v4l2::Value as Control;

use super::{ColorKeys, FrameRange, Named, Numbers, Rate, Rgba, Spanned, Text};

/// Where pictures come from.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// The file, relative to the pipeline file; `-` is standard input (y4m; raw where `format` is given; PNG or JPEG
    /// pictures one behind the other with `kind = "image"`). Fifos too. Streams are read once, forwards: no `range`, no
    /// `loop`. Images: `"photos/*.jpg"` (`*`, `?`, `[0-9]`, `**` for folders below, links to folders not) is all of these files, each a frame,
    /// by name with numbers by their value (`a2` before `a10`); `"scan-%04d.png"` those with a number there, by number.
    /// Default: none, where `pattern` is given.
    pub file: Option<Spanned<PathBuf>>,
    /// What the file is. Default: by its extension.
    pub kind: Option<Spanned<SourceKind>>,
    /// `unixfd`: the producer's socket, a path (relative to the current directory) or `@name` for an abstract name.
    /// `pipewire`: the daemon's, by name or path. Default: `unixfd` needs it; `pipewire`: that of the variable
    /// `PIPEWIRE_REMOTE`, else `pipewire-0`.
    pub socket: Option<Spanned<String>>,
    /// `pipewire`: the node to take frames from, by name or number, for the session manager, which links it. Default:
    /// whatever is linked to this one, `darkframe.` and the source's name.
    pub node: Option<Spanned<String>>,
    /// `gstreamer`: what makes the pictures, as `gst-launch-1.0` takes it: `"filesrc location=clip.mp4 ! decodebin"`. Files are
    /// relative to the current directory. Default: `gstreamer` needs it.
    pub pipeline: Option<Spanned<String>>,
    /// `unixfd`, `pipewire`: how long the producer has to say what its frames are; `gstreamer`: how long the first picture may
    /// take. Unit: seconds. Default: 10; with `reconnect` no limit.
    pub patience: Option<Spanned<f64>>,
    /// `unixfd`, `pipewire`: waits for a producer that is not there yet, and again where one goes away without saying that
    /// its stream ends.
    #[serde(default)]
    pub reconnect: bool,
    /// `unixfd`: who may be the producer, as `"user:NAME"` or `"group:NAME"` (a primary group), numbers too.
    /// Default: anyone; for abstract names this user and root.
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    /// `v4l2`, `v4l2-decoder`: the device, a path (`"/dev/video0"`) or its driver's, card's or bus's name (`"vivid"`,
    /// `"platform:vivid-000"`). Default: the first that suits.
    pub device: Option<Spanned<String>>,
    /// `v4l2`: which of the device's inputs, by name or number. Default: as it is.
    pub input: Option<Spanned<String>>,
    /// `v4l2-decoder`: what the stream is, `"h264"`, `"hevc"`, `"vp8"`, `"vp9"`, `"av1"`, `"mpeg2"`, `"mpeg4"`, `"h263"`,
    /// `"mjpeg"`, `"jpeg"` or `"fwht"`. Default: by the file's extension.
    pub codec: Option<Spanned<String>>,
    /// `v4l2`, `v4l2-decoder`: whose memory the device fills. Default: `"export"`.
    pub io: Option<Spanned<Io>>,
    /// `v4l2`: how many pictures the device and the run have between them, 2 to 32; it may want more. Unit: pictures.
    /// Default: 6.
    pub buffers: Option<Spanned<u64>>,
    /// `v4l2`, `gstreamer`: after so long without a picture the stream is over; what came before is kept. Unit: s.
    /// Default: `v4l2` 5, `gstreamer` 10.
    pub timeout: Option<Spanned<f64>>,
    /// `v4l2`: controls that are set before the first picture, by the names that `v4l2-ctl -L` shows:
    /// `{ brightness = 128, test_pattern = "100% Colorbar" }`. Default: as they are.
    #[serde(default)]
    pub controls: Named<Spanned<Control>>,
    /// A picture that is computed, instead of a file.
    pub pattern: Option<Spanned<Pattern>>,
    /// Size of a raw file's, a pattern's or a device's pictures; images are scaled to it (Lanczos, by the CPU).
    /// Unit: pixels. Default: patterns 1280x720; raw files need it; images keep theirs, which must be one size; devices
    /// theirs.
    pub size: Option<Spanned<Text<Size>>>,
    /// Raw files and devices: format of the pictures. Default: raw files need it; devices give what they are set to.
    pub format: Option<Spanned<Text<Fourcc>>>,
    /// Images with `size`: how a picture of other proportions gets there. Default: `"contain"`.
    pub fit: Option<Spanned<Fit>>,
    /// Images with `fit = "contain"`: the colour beside the picture. Default: `"#000000"`.
    pub background: Option<Spanned<Rgba>>,
    /// Images: whether they are turned as the camera noted it. Default: `"upright"`.
    pub orientation: Option<Spanned<Orientation>>,
    /// Images: what is done with an embedded colour profile (ICC) of RGB pixels; those of grey and CMYK are not used.
    /// Default: `"srgb"`.
    pub profile: Option<Spanned<Profile>>,
    /// Frames per second; of devices it is set. Unit: frames/s. Default: the file's or device's; patterns 25.
    pub rate: Option<Text<Rate>>,
    /// When pictures are handed on. Default: `"free"`.
    pub pace: Option<Spanned<Pace>>,
    /// Raw files: from row to row; one number for the first plane, the others following from it, or one per plane.
    /// Unit: bytes. Default: rows without padding.
    pub stride: Option<Spanned<Numbers>>,
    /// Raw files: first byte of each plane within a frame. Unit: bytes. Default: one plane after the other.
    pub offset: Option<Spanned<Numbers>>,
    /// Raw files: from frame to frame. Unit: bytes. Default: the end of the last plane.
    pub frame_bytes: Option<Spanned<u64>>,
    /// Raw files: before the first frame. Unit: bytes.
    #[serde(default)]
    pub header_bytes: u64,
    /// Patterns: how many pictures. Unit: frames. Default: endless.
    pub frames: Option<Spanned<u64>>,
    /// The pattern `noise`: the same seed gives the same pictures.
    #[serde(default)]
    pub seed: u64,
    /// Begin again at the end.
    #[serde(default)]
    pub r#loop: bool,
    /// Which pictures of the file. Default: all.
    pub range: Option<Text<FrameRange>>,
    /// What the numbers mean, where the file does not say or says it wrong. Default: as the file says, else guessed.
    #[serde(default)]
    pub color: ColorKeys,
    /// What shaders get, with the primaries of BT.709: the file's numbers as they are, or converted in linear light, HDR
    /// with the tone curve of BT.2390. Default: `"srgb"` where `color.transfer` is `"pq"` or `"hlg"`, else `"none"`.
    pub convert: Option<Convert>,
}

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

/// What a source's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// YUV4MPEG2.
    Y4m,
    /// Frames one after the other, nothing between.
    Raw,
    /// Pictures: PNG, JPEG, WebP, GIF, BMP, TIFF, PBM, PGM, PPM, PAM; 16 bits a channel are rounded to 8. The pictures of
    /// an animation (GIF, WebP, PNG) are frames; any other file is one picture, which is held. At most 65536 pixels a side
    /// and 1 GiB decoded.
    Image,
    /// A colour table, as the picture that `shaders/lut.frag` reads.
    Cube,
    /// Frames from another process, over `socket`, as GStreamer's `unixfdsink` and this command's sink send them.
    Unixfd,
    /// Frames from a node of PipeWire: a camera, a screen, another pipeline. In builds with the cargo feature `pipewire`.
    Pipewire,
    /// Pictures that a `pipeline` of GStreamer makes, in this process: decoders, cameras, networks. In builds with the cargo
    /// feature `gstreamer`.
    Gstreamer,
    /// Pictures of a camera or grabber, a Video4Linux device.
    V4l2,
    /// Pictures that a Video4Linux decoder makes of an elementary stream.
    V4l2Decoder,
}

/// A picture that is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Eight colour bars, 75 %.
    Bars,
    /// Red rises to the right, green downwards, blue with time.
    Gradient,
    /// Black and white fields of 16 pixels that move one pixel right per frame.
    Checker,
    /// Rings that get finer outwards, to the limit of the grid; they move inwards.
    ZonePlate,
    /// Every pixel at random, from `seed` and the frame's number.
    Noise,
    /// The frame's number in large digits.
    Counter,
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
