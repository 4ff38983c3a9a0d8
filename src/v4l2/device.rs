//! A V4L2 device: found by path or name, asked what it is and what it can do.
//!
//! In: a path under `/dev`, or a driver's, card's or bus's name, and what the device is wanted for. Out: a
//! [`VideoDevice`]. Not here: buffers (`queue`), controls (`control`).

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use crate::error::{Error, ErrorKind, Result, nearest};
use crate::format::Fourcc;
use crate::layout::Size;
use crate::sys::v4l2::{self as sys, Format, FormatRequest, uapi};

use super::format::{by_code, name_of};

/// What a device is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Gives pictures: a camera, a grabber.
    Capture,
    /// Takes pictures: a video output.
    Output,
    /// Takes pictures and gives a coded stream.
    Encoder,
    /// Takes a coded stream and gives pictures.
    Decoder,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Capture => "capture device",
            Self::Output => "video output",
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        })
    }
}

/// A format that a queue offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// `V4L2_PIX_FMT_*`
    pub code: u32,
    /// A coded stream.
    pub is_compressed: bool,
    /// A stream may be cut anywhere into buffers.
    pub is_bytestream: bool,
}

/// An opened device. Clones share the file.
#[derive(Clone, Debug)]
pub struct VideoDevice(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    driver: String,
    card: String,
    bus: String,
    caps: u32,
}

impl VideoDevice {
    /// Opens a node. It may be opened by others at the same time; what is streaming belongs to one.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied` (the hint names the group), `Unsupported` where it is no V4L2 device.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file =
            File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|error| {
                let error = Error::from_io("open", path.display(), error);
                match error.kind() {
                    ErrorKind::PermissionDenied => error.with_hint("add this user to the group that owns it (video)"),
                    _ => error,
                }
            })?;
        let capability = sys::query_capability(file.as_fd()).map_err(|errno| {
            Error::unsupported("VIDIOC_QUERYCAP", format!("{}: no V4L2 device ({errno})", path.display()))
        })?;
        let caps = match capability.capabilities & uapi::CAP_DEVICE_CAPS {
            0 => capability.capabilities,
            _ => capability.device_caps,
        };
        Ok(Self(Arc::new(Inner {
            file,
            path: path.to_owned(),
            driver: sys::text(&capability.driver),
            card: sys::text(&capability.card),
            bus: sys::text(&capability.bus_info),
            caps,
        })))
    }

    /// Every V4L2 device of this machine that this user may open, by number.
    pub fn list() -> Vec<Self> {
        let mut numbers: Vec<u32> = std::fs::read_dir("/dev")
            .map(|entries| {
                let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix("video")?.parse().ok();
                entries.flatten().filter_map(name).collect()
            })
            .unwrap_or_default();
        numbers.sort_unstable();
        numbers.into_iter().filter_map(|number| Self::open(format!("/dev/video{number}")).ok()).collect()
    }

    /// The first device of this role whose path, driver, card or bus is `wanted`; the first at all where nothing is
    /// wanted.
    ///
    /// # Errors
    /// `NotFound` with what is there; `Unsupported` where the device at a path has another role; as [`VideoDevice::open`].
    pub fn find(wanted: Option<&str>, role: Role) -> Result<Self> {
        Self::find_with(wanted, role, |_| true)
    }

    /// As [`VideoDevice::find`], of those that `suits` takes; where only the name fits, that one.
    ///
    /// # Errors
    /// As [`VideoDevice::find`].
    pub fn find_with(wanted: Option<&str>, role: Role, suits: impl Fn(&Self) -> bool) -> Result<Self> {
        if let Some(path) = wanted.filter(|wanted| wanted.starts_with('/')) {
            let device = Self::open(path)?;
            return match device.is(role) {
                true => Ok(device),
                false => Err(Error::unsupported("device", format!("{device} is no {role}")).with_hint(there_is(role))),
            };
        }
        let named = |device: &Self| {
            wanted.is_none_or(|wanted| [device.driver(), device.card(), device.bus()].contains(&wanted))
        };
        let mut devices = Self::list();
        devices.retain(|device| device.is(role));
        let by_name = || devices.iter().find(|device| wanted.is_some() && named(device));
        if let Some(found) = devices.iter().find(|device| named(device) && suits(device)).or_else(by_name) {
            return Ok(found.clone());
        }
        let Some(wanted) = wanted else {
            let detail = match devices.is_empty() {
                true => format!("this machine has no {role}, or this user may not open it"),
                false => format!("no {role} of this machine has what is asked for"),
            };
            return Err(Error::new(ErrorKind::NotFound, "device", detail).with_hint(there_is(role)));
        };
        let detail = format!("there is no {role} \"{wanted}\"");
        let names = devices.iter().flat_map(|device| [device.driver(), device.card(), device.bus()]);
        let hint = match nearest(wanted, names) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => there_is(role),
        };
        Err(Error::new(ErrorKind::NotFound, "device", detail).with_hint(hint))
    }

    /// `/dev/video0`
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The kernel driver's name: `vivid`, `uvcvideo`, `hantro-vpu`, …
    pub fn driver(&self) -> &str {
        &self.0.driver
    }

    /// The device's name for people.
    pub fn card(&self) -> &str {
        &self.0.card
    }

    /// Where it is: `platform:vivid-000`, `usb-0000:00:14.0-1`.
    pub fn bus(&self) -> &str {
        &self.0.bus
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    fn has(&self, caps: u32) -> bool {
        self.0.caps & caps != 0
    }

    /// The device can be used so, with buffers.
    pub fn is(&self, role: Role) -> bool {
        let m2m = self.has(uapi::CAP_VIDEO_M2M | uapi::CAP_VIDEO_M2M_MPLANE);
        let capture = self.has(uapi::CAP_VIDEO_CAPTURE | uapi::CAP_VIDEO_CAPTURE_MPLANE);
        let output = self.has(uapi::CAP_VIDEO_OUTPUT | uapi::CAP_VIDEO_OUTPUT_MPLANE);
        // Codecs of before 2012 say both instead.
        let codec = m2m || (capture && output);
        let compressed = |kind: u32| self.formats(kind).iter().any(|format| format.is_compressed);
        self.has(uapi::CAP_STREAMING)
            && match role {
                Role::Capture => capture && !codec,
                Role::Output => output && !codec,
                Role::Encoder => codec && compressed(self.capture_kind()) && !compressed(self.output_kind()),
                Role::Decoder => codec && compressed(self.output_kind()) && !compressed(self.capture_kind()),
            }
    }

    /// The queue that gives: `V4L2_BUF_TYPE_VIDEO_CAPTURE`, or its multi-planar twin.
    pub(super) fn capture_kind(&self) -> u32 {
        match self.has(uapi::CAP_VIDEO_CAPTURE | uapi::CAP_VIDEO_M2M) {
            true => uapi::BUF_TYPE_VIDEO_CAPTURE,
            false => uapi::BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }

    /// The queue that takes.
    pub(super) fn output_kind(&self) -> u32 {
        match self.has(uapi::CAP_VIDEO_OUTPUT | uapi::CAP_VIDEO_M2M) {
            true => uapi::BUF_TYPE_VIDEO_OUTPUT,
            false => uapi::BUF_TYPE_VIDEO_OUTPUT_MPLANE,
        }
    }

    /// What a queue offers, best first.
    pub(super) fn formats(&self, kind: u32) -> Vec<Offered> {
        let one = |index| sys::enum_format(self.fd(), kind, index).ok();
        (0..256)
            .map_while(one)
            .map(|format| Offered {
                code: format.pixelformat,
                is_compressed: format.flags & uapi::FMT_FLAG_COMPRESSED != 0,
                is_bytestream: format.flags & uapi::FMT_FLAG_CONTINUOUS_BYTESTREAM != 0,
            })
            .collect()
    }

    /// The formats of pixels that a device of this role gives or takes and that are known here, best first.
    pub fn fourccs(&self, role: Role) -> Vec<Fourcc> {
        let kind = match role {
            Role::Capture | Role::Decoder => self.capture_kind(),
            Role::Output | Role::Encoder => self.output_kind(),
        };
        let mut found = Vec::new();
        for format in self.formats(kind) {
            if let Some(row) = by_code(format.code).filter(|row| !found.contains(&row.fourcc)) {
                found.push(row.fourcc);
            }
        }
        found
    }

    /// The sizes of a format, for messages: `640x360, 1280x720`, or from where to where.
    pub(super) fn sizes(&self, code: u32) -> Vec<String> {
        let mut found = Vec::new();
        for index in 0..64 {
            let Ok(sizes) = sys::enum_frame_size(self.fd(), code, index) else { break };
            let [a, b, c, d, e, f] = sizes.sizes;
            match sizes.kind {
                1 => found.push(Size::new(a, b).to_string()),
                _ => {
                    let (least, most) = (Size::new(a, d), Size::new(b, e));
                    found.push(format!("{least} to {most} in steps of {c} and {f}"));
                    break;
                }
            }
        }
        found
    }

    pub(super) fn format(&self, kind: u32, request: FormatRequest, wanted: &Format) -> Result<Format> {
        let op = match request {
            FormatRequest::Get => "VIDIOC_G_FMT",
            FormatRequest::Try => "VIDIOC_TRY_FMT",
            FormatRequest::Set => "VIDIOC_S_FMT",
        };
        sys::format(self.fd(), kind, request, wanted).map_err(|errno| {
            let wish = format!("{self}: {} {}x{}", name_of(wanted.pixel_format), wanted.width, wanted.height);
            let error = Error::from_errno(op, wish, errno);
            match errno {
                Errno::EBUSY => error.with_hint("somebody else is streaming with this device"),
                _ => error,
            }
        })
    }

    /// The visible part of a queue's pictures, where the driver tells one.
    pub(super) fn visible(&self, kind: u32, target: u32) -> Option<Size> {
        let kind = single_planar(kind);
        let (_, _, width, height) = sys::selection(self.fd(), kind, target, None).ok()?;
        Size::new(width, height).check().ok()
    }

    /// Chooses the input (of a capture device) or the output by number or name.
    ///
    /// # Errors
    /// `InvalidInput`, `op` being `input`: no such thing, with the nearest.
    pub fn select_connection(&self, outputs: bool, wanted: &str) -> Result<()> {
        let key = if outputs { "output" } else { "input" };
        let names = sys::connections(self.fd(), outputs);
        let by_name = names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let by_number = wanted.parse::<usize>().ok().filter(|number| *number < names.len().max(1));
        let Some(index) = by_name.or(by_number) else {
            let hint = match nearest(wanted, names.iter().map(String::as_str)) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("there is {}", names.join(", ")),
            };
            return Err(Error::invalid(key, format!("{self} has no {key} \"{wanted}\"")).with_hint(hint));
        };
        sys::select_connection(self.fd(), outputs, index as u32)
            .map_err(|errno| Error::from_errno(key, format!("{self}: {wanted}"), errno))
    }

    /// Frames per second as a fraction, set where `wanted` is given; `None` where the device knows none.
    pub(super) fn rate(&self, kind: u32, wanted: Option<(u32, u32)>) -> Option<(u32, u32)> {
        let wanted = wanted.map(|(numerator, denominator)| (denominator, numerator));
        let (numerator, denominator) = sys::frame_time(self.fd(), kind, wanted).ok()??;
        Some((denominator, numerator))
    }
}

/// Selections are asked for with the single-planar kind, whatever the queue is.
pub(super) fn single_planar(kind: u32) -> u32 {
    match kind {
        uapi::BUF_TYPE_VIDEO_CAPTURE_MPLANE => uapi::BUF_TYPE_VIDEO_CAPTURE,
        uapi::BUF_TYPE_VIDEO_OUTPUT_MPLANE => uapi::BUF_TYPE_VIDEO_OUTPUT,
        kind => kind,
    }
}

/// What there is of a role, in words.
fn there_is(role: Role) -> String {
    let devices = VideoDevice::list();
    let names: Vec<String> = devices.iter().filter(|device| device.is(role)).map(|device| device.to_string()).collect();
    match names.is_empty() {
        true => format!("`v4l2-ctl --list-devices` lists all devices; none of them can be opened as {role}"),
        false => format!("there is {}", names.join(", ")),
    }
}

impl fmt::Display for VideoDevice {
    /// `/dev/video0 (vivid)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.path.display(), self.0.driver)
    }
}
