//! The keys of a sink.
//!
//! In: TOML. Out: typed values. Not here: which of them go together (`sink::Plan`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::v4l2::Value as Control;

use super::{ColorKeys, Named, Spanned};

/// Where pictures go.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sink {
    /// The pass (or source) whose pictures are taken.
    pub input: Spanned<String>,
    /// The file, relative to the current directory; `%04d` becomes the frame's number, `-` is standard output. Files are
    /// written aside and renamed when they are whole. Default: none, where `kind` is `"null"`.
    pub file: Option<Spanned<PathBuf>>,
    /// What is written. Default: by the file's extension.
    pub kind: Option<Spanned<SinkKind>>,
    /// `unixfd`: where frames are served, a path (relative to the current directory) or `@name` for an abstract name.
    /// `pipewire`: the daemon's, by name or path. Default: `unixfd` needs it; `pipewire`: that of the variable
    /// `PIPEWIRE_REMOTE`, else `pipewire-0`.
    pub socket: Option<Spanned<String>>,
    /// `gstreamer`: what the pictures go into, as `gst-launch-1.0` takes it: `"x264enc ! h264parse ! mp4mux ! filesink
    /// location=out.mp4"`. Files are relative to the current directory. Default: `gstreamer` needs it.
    pub pipeline: Option<Spanned<String>>,
    /// `unixfd`: permission bits of the socket's file. Default: 0o600, this user alone.
    pub mode: Option<Spanned<u32>>,
    /// `unixfd`: group of the socket's file, by name or number. Default: this user's.
    pub group: Option<Spanned<String>>,
    /// `unixfd`: who may connect, as `"user:NAME"` or `"group:NAME"` (a primary group), numbers too.
    /// Default: whoever `mode` lets in; for abstract names this user and root.
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    /// `pipewire`: the name of the node that others link to. Default: `darkframe.` and the sink's name.
    pub node: Option<Spanned<String>>,
    /// `unixfd`: frames that one client may hold or have coming; `pipewire`: all consumers together. 1 to 64, each is a
    /// buffer more, for `pipewire` two; `when-full` says what happens beyond. `gstreamer`: frames whose memory the pipeline may
    /// have; where it keeps them and wants more, as encoders that look ahead do, further ones are copied.
    /// Unit: frames. Default: `unixfd` 2, `pipewire` and `gstreamer` 4.
    pub max_in_flight: Option<Spanned<u64>>,
    /// `unixfd`, `pipewire`: how long `when-full = "block"` waits for one that gives nothing back: then `unixfd` lets the
    /// client go, and `pipewire`, which cannot, drops frames until something comes back. `gstreamer`: how long the pipeline may
    /// take nothing, and how long it may need to end. Unit: seconds. Default: 10; `gstreamer` 60.
    pub patience: Option<Spanned<f64>>,
    /// `unixfd`: clients at one time, 1 to 64; each may hold `max-in-flight` buffers. Default: 4.
    pub max_clients: Option<Spanned<u64>>,
    /// `unixfd`: the first frame waits for so many clients, for a minute at most; `pipewire`: 1 is anybody.
    /// Default: it waits for none.
    pub wait_for: Option<Spanned<u64>>,
    /// Takes frames 0, N, 2N, … Unit: frames. Default: 1.
    pub every: Option<Spanned<u64>>,
    /// What happens with a picture that comes while `queue` others wait for this sink. Files of a job (`--shard`,
    /// `--resume`, `--job`) take every frame: there only `"block"` may stand.
    /// Default: `"block"`.
    pub when_full: Option<Spanned<WhenFull>>,
    /// How many pictures may wait for this sink, 1 to 64; each holds a buffer. Unit: pictures. Default: 3.
    pub queue: Option<Spanned<u64>>,
    /// `v4l2`, `v4l2-encoder`: the device, a path (`"/dev/video1"`) or its driver's, card's or bus's name (`"vicodec"`); of
    /// encoders also `"allegro-dvt"`, `"bcm2835-codec"`, `"hantro"`, `"mtk-vcodec"`, `"rkvenc"`, `"wave5"`.
    /// `kms`: the card, a path (`"/dev/dri/card0"`) or its driver's name. Default: the first that suits, of encoders
    /// those of the board file (`encode.nodes`) first.
    pub device: Option<Spanned<String>>,
    /// `kms`: the connector, as `"HDMI-A-1"`. Default: the first with a screen.
    pub connector: Option<Spanned<String>>,
    /// `v4l2`: which of the device's outputs, by name or number. Default: as it is.
    pub output: Option<Spanned<String>>,
    /// `v4l2-encoder`: what is made, `"h264"`, `"hevc"`, `"vp8"`, `"vp9"`, `"av1"`, `"mpeg2"`, `"mpeg4"`, `"h263"`, `"mjpeg"`,
    /// `"jpeg"` or `"fwht"`. MP4 files carry `"h264"` and `"hevc"`, Matroska files `"vp8"`, `"vp9"` and `"mjpeg"` too, WebM
    /// files `"vp8"` and `"vp9"`. Default: the device's first that the file carries.
    pub codec: Option<Spanned<String>>,
    /// `v4l2-encoder`: the stream's bits a second (control `video_bitrate`). Unit: bit/s. Default: the device's.
    pub bitrate: Option<Spanned<u64>>,
    /// `v4l2-encoder`: pictures from one that is coded by itself to the next (control `video_gop_size`). Unit: pictures.
    /// Default: the device's.
    pub gop: Option<Spanned<u64>>,
    /// `v4l2`, `v4l2-encoder`: controls that are set before the first picture, by the names that `v4l2-ctl -L` shows:
    /// `{ h264_profile = "High" }`. Default: as they are.
    #[serde(default)]
    pub controls: Named<Spanned<Control>>,
    /// JPEG: 1 (small) to 100 (close to the picture). Default: 90.
    pub quality: Option<Spanned<u64>>,
    /// y4m: matrix, range and siting of the file. Default: BT.601 up to 720x576, else BT.709; limited; left.
    #[serde(default)]
    pub color: ColorKeys,
}

/// What a sink writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SinkKind {
    /// PNG, one file per frame or one in all.
    Png,
    /// JPEG, one file per frame or one in all; alpha is left out.
    Jpeg,
    /// Animated PNG: all frames in one file, which repeats without end.
    Apng,
    /// The bytes of each frame, one after the other.
    Raw,
    /// YUV4MPEG2, 4:2:0.
    Y4m,
    /// Nothing: for timing.
    Null,
    /// Frames for other processes, over `socket`: GStreamer's `unixfdsrc` and this command's source take them.
    Unixfd,
    /// Pictures for a video output, a Video4Linux device; they are shown at its own rate.
    V4l2,
    /// A stream in `file`, made by a Video4Linux encoder: in MP4 (`.mp4`, `.m4v`), Matroska (`.mkv`) or WebM (`.webm`) with
    /// the pictures' times (cargo feature `mux`), else as it is.
    V4l2Encoder,
    /// A screen, by atomic modesetting: one picture per refresh, without tearing; what was shown before comes back.
    Kms,
    /// Frames for other processes, as a node of PipeWire (class `Video/Source`) that they link to. In builds with the cargo
    /// feature `pipewire`.
    Pipewire,
    /// The elements of a `pipeline` of GStreamer, in this process: encoders, files, networks. In builds with the cargo feature
    /// `gstreamer`.
    Gstreamer,
}

/// What happens with a picture that comes while a sink is busy and its queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The run waits for the sink: every picture is written.
    #[default]
    Block,
    /// The picture that has waited longest is let go: the sink stays near the present. Dropped pictures are counted.
    DropOldest,
    /// The picture that came is let go: the sink works off what it has. Dropped pictures are counted.
    DropNewest,
}
