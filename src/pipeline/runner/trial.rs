//! The proof of an import, for a process of its own: a driver that crashes on it then takes nobody along.
//!
//! In: a [`Prover`] that the caller gives, and [`Trial`]s. Out: whether a way may be tried in this process.
//! Not here: starting processes (the command does it; this library never runs anything unasked).
//!
//! The other process calls [`serve`]: it opens the same display, allocates the same kind of memory, imports, draws and
//! compares, one trial a line, and answers `ok` or `no`. Either answer means that the driver lived. Memory that was received
//! goes to a process for itself ([`ReceivedTrial::carry_out`]).

use std::io::{BufRead, Write};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::str::FromStr;

use crate::board::{AllocatorKind, Board, EglPlatform};
use crate::buffer::Buffer;
use crate::color::Color;
use crate::device::Device;
use crate::egl::{Context, Display};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::gles::Gl;
use crate::layout::{Constraints, Layout, PlaneLayout, Size};
use crate::sys;

use super::super::description::Rate;
use super::super::sink::Shape;
use super::super::source::Info;
use super::{target, way};

/// Answers for imports before this process tries them.
pub trait Prover: Send + Sync {
    /// Fails where the driver did not live through `trial`; the reason is for the report. Blocks until that is known.
    ///
    /// # Errors
    /// `Unsupported`: the driver crashed or hung.
    fn prove(&self, trial: &Trial) -> Result<()>;

    /// The same for memory of another process, which the process of its own gets.
    ///
    /// # Errors
    /// As [`Prover::prove`].
    fn prove_received(&self, trial: &ReceivedTrial, buffer: &Buffer) -> Result<()>;
}

/// What the memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sampled, each plane as an image of its own (or whole, where it is RGB).
    Planes,
    /// Sampled as an external image.
    External,
    /// Drawn into and mapped.
    Target,
}

impl Role {
    const ALL: [(Self, &str); 3] = [(Self::Planes, "planes"), (Self::External, "external"), (Self::Target, "target")];

    fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == word).map(|(role, _)| role)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self::ALL.iter().find(|(role, _)| role == self).map_or("", |(_, name)| name))
    }
}

/// One way to import memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The driver and the kernel below it, for people and as a key: `GL_RENDERER`, `GL_VERSION`, …
    pub driver: String,
    /// The display's platform.
    pub platform: EglPlatform,
    /// The node that the display was opened on, where it was one.
    pub node: Option<PathBuf>,
    /// What the memory is for.
    pub role: Role,
    /// Who makes it.
    pub allocator: AllocatorKind,
    /// Format of the pictures.
    pub fourcc: Fourcc,
    /// Size of the pictures.
    pub size: Size,
}

impl std::fmt::Display for Trial {
    /// `import of NV12 640x480 from udmabuf as external on …`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fourcc, size, allocator, role, driver, .. } = self;
        write!(f, "import of {fourcc} {size} from {allocator} as {role} on {driver}")
    }
}

/// One way to import memory of another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedTrial {
    /// The driver and the kernel below it, for people and as a key.
    pub driver: String,
    /// The platform of the display.
    pub platform: EglPlatform,
    /// The node that the display draws on, where it has one.
    pub node: Option<PathBuf>,
    /// What the memory is for.
    pub role: Role,
    /// Who made the memory, as far as the kernel says: `virtio_gpu`, `system`, …
    pub exporter: String,
    /// Where the planes are.
    pub layout: Layout,
    /// For each plane the number of its fd among [`ReceivedTrial::fds`].
    pub objects: Vec<usize>,
}

impl std::fmt::Display for ReceivedTrial {
    /// `import of NV12 640x480 received(virtio_gpu) as planes on …`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { layout, exporter, driver, .. } = self;
        write!(f, "import of {} {} received({exporter}) as {} on {driver}", layout.fourcc, layout.size, self.role)
    }
}

impl ReceivedTrial {
    pub(super) fn new(gl: &Gl, display: &Display, role: Role, buffer: &Buffer) -> Self {
        let planes = buffer.layout().planes().len();
        Self {
            driver: Trial::driver(gl, display),
            platform: display.platform(),
            node: display.node().map(|node| node.path().to_owned()),
            role,
            exporter: sys::dma_buf::exporter(buffer.plane_fd(0)).unwrap_or_else(|| "unknown".into()),
            layout: buffer.layout().clone(),
            objects: (0..planes).map(|plane| buffer.plane_object(plane)).collect(),
        }
    }

    /// The memory's fds, for the other process.
    pub fn fds(buffer: &Buffer) -> Vec<BorrowedFd<'_>> {
        buffer.object_fds().collect()
    }

    /// As the other process reads it.
    pub fn to_line(&self) -> String {
        let Layout { fourcc, size: Size { width, height }, modifier, .. } = &self.layout;
        let node = self.node.as_ref().map_or("-".into(), |node| node.display().to_string());
        let planes = self.layout.planes().iter().zip(&self.objects);
        let planes: Vec<String> =
            planes.map(|(plane, object)| format!("{object}:{}:{}", plane.offset_bytes, plane.stride_bytes)).collect();
        let modifier = modifier.0;
        format!("{} {} {fourcc} {width}x{height} {modifier:x} {} {node}", self.role, self.platform, planes.join(","))
    }

    /// Imports `fds` and draws. Returning at all is the answer.
    ///
    /// # Errors
    /// Those of the import; `InvalidInput` for what is no line of [`ReceivedTrial::to_line`].
    pub fn carry_out(board: &Board, line: &str, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let bad = || Error::invalid("trial", format!("\"{line}\""));
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [role, platform, fourcc, size, modifier, planes, node] = words.as_slice() else { return Err(bad()) };
        let (role, platform) = (Role::read(role).ok_or_else(bad)?, read_platform(platform).ok_or_else(bad)?);
        let modifier = Modifier(u64::from_str_radix(modifier, 16).map_err(|_| bad())?);
        let (fourcc, size): (Fourcc, Size) = (fourcc.parse()?, size.parse()?);
        let (mut placed, mut memory) = (Vec::new(), Vec::new());
        for plane in planes.split(',') {
            let numbers: Vec<u64> = plane.split(':').map_while(|number| number.parse().ok()).collect();
            let [object, offset_bytes, stride_bytes] = numbers.as_slice() else { return Err(bad()) };
            let stride_bytes = u32::try_from(*stride_bytes).map_err(|_| bad())?;
            placed.push(PlaneLayout { offset_bytes: *offset_bytes, stride_bytes });
            let fd = usize::try_from(*object).ok().and_then(|object| fds.get(object)).ok_or_else(bad)?;
            memory.push(fd.try_clone_to_owned().map_err(|error| Error::from_io("dup", "memory", error))?);
        }
        let buffer = Buffer::from_fds(Layout::new(fourcc, size, modifier, &placed)?, memory)?;
        let device = Device::open(board)?;
        let node = (*node != "-").then(|| device.find(node)).transpose()?;
        let context = Context::new(&Display::open_on(&device, platform, node)?)?;
        let gl = context.make_current()?;
        let color = if fourcc.format()?.is_yuv() { Color::guess(size) } else { Color::SRGB };
        let info = Info { size, fourcc, color, rate: None, frames: None, still: true };
        way::try_buffer(&gl, &info, &buffer, role == Role::External)
    }
}

fn read_platform(word: &str) -> Option<EglPlatform> {
    let platforms = [EglPlatform::Gbm, EglPlatform::Device, EglPlatform::Surfaceless, EglPlatform::Default];
    platforms.into_iter().find(|known| known.to_string() == word)
}

impl Trial {
    pub(super) fn driver(gl: &Gl, display: &Display) -> String {
        let caps = gl.caps();
        let kernel = nix::sys::utsname::uname()
            .map(|name| format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()))
            .unwrap_or_default();
        let node = display.node().map_or(String::new(), |node| format!(" on {}", node.driver()));
        let driver = display.driver_name().map_or(String::new(), |name| format!(" ({name})"));
        format!("{}{driver}, {}, {}{node}, {kernel}", caps.renderer, caps.version_text, display.platform())
    }

    /// As the other process reads it.
    pub fn to_line(&self) -> String {
        let role = self.role;
        let node = self.node.as_ref().map_or("-".into(), |node| node.display().to_string());
        let Size { width, height } = self.size;
        format!("{role} {} {} {width}x{height} {} {node}", self.allocator, self.fourcc, self.platform)
    }
}

impl FromStr for Trial {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let bad = || Error::invalid("trial", format!("\"{line}\""));
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [role, allocator, fourcc, size, platform, node] = words.as_slice() else { return Err(bad()) };
        Ok(Self {
            driver: String::new(),
            platform: read_platform(platform).ok_or_else(bad)?,
            node: (*node != "-").then(|| node.into()),
            role: Role::read(role).ok_or_else(bad)?,
            allocator: allocator.parse()?,
            fourcc: fourcc.parse()?,
            size: size.parse()?,
        })
    }
}

/// Carries out the trials of `input`, one a line, and answers each with a line: `ok`, or `no` and the reason.
///
/// # Errors
/// Those of `Device::open`; of reading and writing.
pub fn serve(board: &Board, input: impl BufRead, mut output: impl Write) -> Result<()> {
    let device = Device::open(board)?;
    // The driver starts before the first question, and once: the one that would be chosen is most likely the one asked for.
    let mut contexts: Vec<Context> =
        Display::open(&device).and_then(|display| Context::new(&display)).into_iter().collect();
    let io = |error| Error::from_io("trial", "standard input or output", error);
    for line in input.lines() {
        let answer = match line.map_err(io)?.parse().and_then(|trial| carry_out(&device, &mut contexts, &trial)) {
            Ok(()) => "ok".into(),
            Err(error) => format!("no {}", error.to_string().replace('\n', " ")),
        };
        writeln!(output, "{answer}").and_then(|()| output.flush()).map_err(io)?;
    }
    Ok(())
}

fn carry_out(device: &Device, contexts: &mut Vec<Context>, trial: &Trial) -> Result<()> {
    let node = trial.node.as_deref().map(|path| device.find(&path.to_string_lossy())).transpose()?;
    let is_it = |context: &Context| {
        let display = context.display();
        display.platform() == trial.platform && display.node().map(|node| node.path()) == trial.node.as_deref()
    };
    let known = match contexts.iter().position(is_it) {
        Some(known) => known,
        None => {
            contexts.push(Context::new(&Display::open_on(device, trial.platform, node)?)?);
            contexts.len() - 1
        }
    };
    let gl = contexts[known].make_current()?;
    let Trial { allocator, fourcc, size, .. } = *trial;
    match trial.role {
        Role::Planes | Role::External => {
            let color = if fourcc.format()?.is_yuv() { Color::guess(size) } else { Color::SRGB };
            let info = Info { size, fourcc, color, rate: None, frames: None, still: true };
            way::try_import(&gl, device, &info, allocator, trial.role == Role::External)
        }
        Role::Target => {
            let color = if fourcc.format()?.is_yuv() { Color::guess(size) } else { Color::SRGB };
            let shape =
                Shape { size, fourcc, color, rate: Rate::DEFAULT, frames: Some(1), held: 0, layout: Constraints::NONE };
            target::import_kind(&gl, device, &shape, 0, allocator, || Ok(())).map(|_| ())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_trial_of_received_memory() {
        for bad in ["", "planes gbm AB24 8x8 0 0:0:32", "planes gbm AB24 8x8 0 1:0:32 -", "planes gbm AB24 8x8 0 0:0 -"]
        {
            assert!(ReceivedTrial::carry_out(&Board::generic(), bad, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_trial_travels_as_a_line() {
        let trial = Trial {
            driver: String::new(),
            platform: EglPlatform::Gbm,
            node: Some("/dev/dri/card1".into()),
            role: Role::External,
            allocator: AllocatorKind::DmaHeap,
            fourcc: Fourcc::NV12,
            size: Size::new(640, 480),
        };
        assert_eq!(trial.to_line(), "external dma-heap NV12 640x480 gbm /dev/dri/card1");
        assert_eq!(trial.to_line().parse::<Trial>().unwrap(), trial);
        for bad in ["", "planes", "planes dumb NV12 0x0 gbm -", "planes dumb NV12 8x8 x11 -", "x dumb NV12 8x8 gbm -"] {
            assert!(bad.parse::<Trial>().is_err(), "{bad}");
        }
    }
}
