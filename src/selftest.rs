//! What the driver of this machine really does, proved by pixels, one small case at a time.
//!
//! In: a [`Board`] and the name of a display. Out: the [`Case`]s that there are to try ([`Bench::cases`]) and what each came
//! to ([`Bench::run`]). Not here: processes (the command runs a [`Bench`] in one of its own, since drivers crash and hang),
//! and what the outcomes mean together ([`report`]).
//!
//! Nothing is believed: what a driver lists is tried, what comes out is compared with what must come out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::allocator::Allocator;
use crate::board::{AllocatorKind, Board, EglPlatform};
use crate::device::Device;
use crate::egl::{Context, Display};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Fourcc;
use crate::gles::Gl;

mod board_file;
mod draw;
mod guard;
pub mod import;
pub mod known;
mod limits;
mod memory;
pub mod peer;
mod placement;
mod readback;
pub mod report;
mod rgb;
mod sync;
mod table;
mod yuv;

pub use board_file::board_file;
pub use peer::Peer;
pub use report::Report;

/// One thing to try on one display.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "topic", rename_all = "kebab-case")]
pub enum Case {
    /// The display opens and makes a context.
    Open,
    /// Memory of one allocator in one use.
    Memory {
        /// `dumb(virtio_gpu)`, `dma-heap(system)`, …
        allocator: String,
        /// DRM name.
        format: String,
        /// The modifier that is passed, or `none`.
        modifier: String,
        /// What is done with it.
        usage: Use,
    },
    /// Byte order of an RGB format, and what can be done with it.
    Rgb {
        /// DRM name.
        format: String,
        /// What is done with it.
        usage: Use,
    },
    /// Byte order of an RGB format that is copied into a texture.
    Upload {
        /// DRM name.
        format: String,
        /// Rows are further apart than they are long.
        padded: bool,
    },
    /// A YUV format through an external sampler.
    Yuv {
        /// DRM name.
        format: String,
        /// Whether the hints are tried, or a picture without any.
        hints: bool,
    },
    /// Where planes may lie: an odd multiple of `bytes`, and nothing larger.
    Placement {
        /// DRM name.
        format: String,
        /// Which number.
        what: placement::What,
        /// What the number is a multiple of.
        bytes: u32,
    },
    /// Fences and coherency.
    Sync {
        /// Which way.
        what: sync::What,
    },
    /// Ways back to the CPU.
    Readback {
        /// Which way.
        what: readback::What,
    },
    /// What the driver checks before it touches memory.
    Guard {
        /// What it is given.
        what: guard::What,
    },
    /// Numbers of the context, measured where they can be.
    Limits,
    /// One import by its numbers: never of [`Bench::cases`], for `doctor`.
    Import(import::Attempt),
}

/// What is done with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// The CPU writes, `samplerExternalOES` reads.
    External,
    /// The CPU writes, `sampler2D` reads.
    #[serde(rename = "2d")]
    TwoD,
    /// Drawn into as a texture, the CPU reads.
    Render,
    /// Drawn into as a renderbuffer, the CPU reads.
    Renderbuffer,
    /// The CPU and the GPU write and read by turns.
    Turns,
    /// Everything but an fd is closed, and the fd imported again.
    Survive,
    /// Another process samples it.
    Process,
    /// Drawn here, sampled by another process on another device.
    Device,
    /// Copied into a texture and sampled.
    Copy,
}

impl Use {
    /// The word in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::TwoD => "2d",
            Self::Render => "render",
            Self::Renderbuffer => "renderbuf",
            Self::Turns => "turns",
            Self::Survive => "survive",
            Self::Process => "process",
            Self::Device => "device",
            Self::Copy => "copy",
        }
    }
}

impl Case {
    /// Chapter of the report.
    pub const fn topic(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Memory { .. } => "memory",
            Self::Rgb { .. } => "rgb",
            Self::Upload { .. } => "upload",
            Self::Yuv { .. } => "yuv",
            Self::Placement { .. } => "placement",
            Self::Sync { .. } => "sync",
            Self::Readback { .. } => "readback",
            Self::Guard { .. } => "guard",
            Self::Limits => "limits",
            Self::Import(_) => "import",
        }
    }

    /// The allocator whose crash makes more of the same pointless.
    pub fn allocator(&self) -> Option<&str> {
        match self {
            Self::Memory { allocator, .. } => Some(allocator),
            _ => None,
        }
    }

    /// Whether it needs memory that a memory case has proved.
    pub fn needs_memory(&self) -> bool {
        match self {
            Self::Rgb { .. } | Self::Yuv { .. } | Self::Placement { .. } => true,
            Self::Sync { what } => what.needs_memory(),
            Self::Readback { what } => what.needs_memory(),
            Self::Guard { what } => what.needs_memory(),
            _ => false,
        }
    }
}

impl fmt::Display for Case {
    /// `memory dumb(vgem) ABGR8888 LINEAR external`: what `--only` and the table of known faults compare with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { allocator, format, modifier, usage } => {
                write!(f, "memory {allocator} {format} {modifier} {}", usage.name())
            }
            Self::Rgb { format, usage } => write!(f, "rgb {format} {}", usage.name()),
            Self::Upload { format, padded: true } => write!(f, "upload {format} padded"),
            Self::Upload { format, padded: false } => write!(f, "upload {format} tight"),
            Self::Yuv { format, hints } => write!(f, "yuv {format} {}", if *hints { "hints" } else { "picture" }),
            Self::Placement { format, what, bytes } => write!(f, "placement {format} {} {bytes}", what.name()),
            Self::Sync { what } => write!(f, "sync {}", what.name()),
            Self::Readback { what } => write!(f, "readback {}", what.name()),
            Self::Guard { what } => write!(f, "guard {}", what.name()),
            Self::Open | Self::Limits => f.write_str(self.topic()),
            Self::Import(attempt) => write!(f, "import {} {}", attempt.format, attempt.size),
        }
    }
}

/// Facts by name, measured.
pub type Facts = BTreeMap<String, String>;

/// What a case came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// The pixels are right.
    Ok {
        /// What was measured beside.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        facts: Facts,
    },
    /// The driver says that it does not do this, and never promised it.
    Unsupported {
        /// Who said what.
        why: String,
    },
    /// Refused, although it was offered.
    Refused {
        /// Who said what.
        why: String,
    },
    /// Accepted, and the result is not what it must be.
    Wrong {
        /// What came out.
        why: String,
    },
    /// The process ended.
    Crash {
        /// `SIGSEGV`, or how else.
        why: String,
    },
    /// No answer.
    Hang {
        /// How long it was waited for.
        seconds: u64,
    },
    /// Left out.
    NotTried {
        /// What would be needed.
        why: String,
    },
}

impl Outcome {
    /// Right, with nothing else to say.
    pub fn ok() -> Self {
        Self::Ok { facts: Facts::new() }
    }

    /// What an attempt came to. `promised`: the driver lists it.
    fn of(promised: bool, result: Result<Facts>) -> Self {
        match result {
            Ok(facts) => Self::Ok { facts },
            Err(error) if error.op() == PIXELS => Self::Wrong { why: error.detail().to_owned() },
            Err(error) if error.kind() == ErrorKind::Unsupported && !promised => {
                Self::Unsupported { why: error.to_string() }
            }
            Err(error) => Self::Refused { why: error.to_string() },
        }
    }

    /// The one word of tables.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ok { .. } => "ok",
            Self::Unsupported { .. } => "no",
            Self::Refused { .. } => "refused",
            Self::Wrong { .. } => "WRONG",
            Self::Crash { .. } => "CRASH",
            Self::Hang { .. } => "HANG",
            Self::NotTried { .. } => "-",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok { facts } => {
                let facts: Vec<String> = facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
                write!(f, "ok{}{}", if facts.is_empty() { "" } else { ": " }, facts.join(", "))
            }
            Self::Unsupported { why } => write!(f, "not supported: {why}"),
            Self::Refused { why } => write!(f, "refused: {why}"),
            Self::Wrong { why } => write!(f, "WRONG: {why}"),
            Self::Crash { why } => write!(f, "CRASH: {why}"),
            Self::Hang { seconds } => write!(f, "HANG after {seconds} s"),
            Self::NotTried { why } => write!(f, "not tried: {why}"),
        }
    }
}

/// `op` of errors that say that pixels differ.
const PIXELS: &str = "pixels";

/// The result that pixels are not what they must be.
fn wrong<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::failed(PIXELS, why))
}

/// Who draws, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// `GL_VERSION`
    pub version: String,
    /// `GL_RENDERER`
    pub renderer: String,
    /// `GL_VENDOR`
    pub vendor: String,
    /// EGL's version and vendor, and the platform with its node.
    pub egl: String,
    /// The CPU draws.
    pub is_software: bool,
    /// Kernel driver of the node, where there is one.
    pub kernel_driver: String,
    /// Dma-bufs become images here, as the driver says.
    pub imports: bool,
}

/// The names of the displays to try, best first: `gbm:/dev/dri/card0`, `surfaceless`, `device`. Opens no driver.
pub fn displays(device: &Device) -> Vec<String> {
    let mut names = Vec::new();
    for platform in &device.board().egl.platforms {
        match platform {
            EglPlatform::Gbm => {
                names.extend(device.nodes().iter().map(|node| format!("gbm:{}", node.path().display())));
            }
            // With nodes it is the same drivers again; vendors without nodes have nothing else.
            EglPlatform::Device if !device.nodes().is_empty() => {}
            other => names.push(other.to_string()),
        }
    }
    names
}

/// One display, ready for cases.
pub struct Bench {
    name: String,
    device: Device,
    display: Display,
    // Before the context, which it needs.
    gl: Gl,
    _context: Context,
    mapper: draw::Mapper,
}

impl Bench {
    /// Opens a display by its name of [`displays`], and a context.
    ///
    /// # Errors
    /// `InvalidInput`: no such name. Those of [`Display::open_on`] and [`Context::new`].
    pub fn open(board: &Board, name: &str) -> Result<Self> {
        let device = Device::open(board)?;
        let (platform, node) = name.split_once(':').map_or((name, None), |(platform, node)| (platform, Some(node)));
        let known = [EglPlatform::Gbm, EglPlatform::Surfaceless, EglPlatform::Device, EglPlatform::Default];
        let platform = known.into_iter().find(|known| known.to_string() == platform).ok_or_else(|| {
            Error::invalid("display", format!("\"{name}\" is no display"))
                .with_hint("PLATFORM or PLATFORM:NODE, e.g. gbm:/dev/dri/card0")
        })?;
        let node = node.map(|node| device.find(node).cloned()).transpose()?;
        let display = Display::open_on(&device, platform, node.as_ref())?;
        let context = Context::new(&display)?;
        let gl = context.make_current()?;
        Ok(Self { name: name.to_owned(), device, display, gl, _context: context, mapper: draw::Mapper::default() })
    }

    /// Who draws.
    pub fn driver(&self) -> Driver {
        let caps = self.gl.caps();
        Driver {
            version: caps.version_text.clone(),
            renderer: caps.renderer.clone(),
            vendor: caps.vendor.clone(),
            egl: self.display.to_string(),
            is_software: caps.is_software,
            kernel_driver: self.display.node().map_or(String::new(), |node| node.driver().to_owned()),
            imports: self.display.dma_buf_import().is_some(),
        }
    }

    /// Everything to try here, in the order to try it in.
    ///
    /// # Errors
    /// `Failed`: the driver does not say its formats.
    pub fn cases(&self) -> Result<Vec<Case>> {
        let mut cases = vec![Case::Limits];
        cases.extend(memory::cases(self)?);
        cases.extend(rgb::upload_cases());
        cases.extend(readback::What::ALL.map(|what| Case::Readback { what }));
        cases.extend(sync::What::ALL.map(|what| Case::Sync { what }));
        if self.display.dma_buf_import().is_some() {
            cases.extend(rgb::cases());
            cases.extend(yuv::cases(self)?);
            cases.extend(placement::cases());
            cases.extend(guard::What::ALL.map(|what| Case::Guard { what }));
        }
        Ok(cases)
    }

    /// Carries out one case. `allocator` is the one whose memory is proved, for cases that need some. May crash or hang:
    /// that is for the caller to survive.
    pub fn run(&self, case: &Case, allocator: Option<&str>, peer: &dyn Peer) -> Outcome {
        let (promised, result) = self.carry_out(case, allocator, peer);
        // Errors of what the driver refused must not reach the next case.
        let pending = self.gl.check();
        self.gl.collect();
        match (result, pending) {
            (Ok(_), Err(error)) => Outcome::Refused { why: error.to_string() },
            (result, _) => Outcome::of(promised, result),
        }
    }

    fn carry_out(&self, case: &Case, allocator: Option<&str>, peer: &dyn Peer) -> (bool, Result<Facts>) {
        let memory = || {
            let name = allocator.ok_or_else(|| Error::unsupported("memory", "no allocator is known to work"))?;
            self.allocator(name)
        };
        match case {
            Case::Open => (true, Ok(Facts::new())),
            Case::Limits => (true, limits::measure(self)),
            Case::Import(attempt) => (
                false,
                self.allocator(&attempt.allocator).and_then(|memory| import::carry_out(self, &*memory, attempt)),
            ),
            Case::Memory { allocator, format, modifier, usage } => {
                memory::carry_out(self, allocator, format, modifier, *usage, peer)
            }
            Case::Rgb { format, usage } => match memory() {
                Ok(memory) => rgb::carry_out(self, &*memory, format, *usage),
                Err(error) => (false, Err(error)),
            },
            Case::Upload { format, padded } => (false, rgb::upload(self, format, *padded)),
            Case::Yuv { format, hints } => {
                (true, memory().and_then(|memory| yuv::carry_out(self, &*memory, format, *hints)))
            }
            Case::Placement { format, what, bytes } => {
                (false, memory().and_then(|memory| placement::carry_out(self, &*memory, format, *what, *bytes)))
            }
            Case::Sync { what } => (false, sync::carry_out(self, *what, memory)),
            Case::Readback { what } => (false, readback::carry_out(self, *what, memory)),
            Case::Guard { what } => (true, memory().and_then(|memory| guard::carry_out(self, &*memory, *what))),
        }
    }

    /// Every allocator of this machine, by name; each name once.
    fn allocators(&self) -> Vec<(AllocatorKind, Arc<dyn Allocator>)> {
        let mut found: Vec<(AllocatorKind, Arc<dyn Allocator>)> = Vec::new();
        for kind in AllocatorKind::ALL {
            for allocator in self.device.allocators(kind).unwrap_or_default() {
                if !found.iter().any(|(_, known)| known.name() == allocator.name()) {
                    found.push((kind, allocator));
                }
            }
        }
        found
    }

    fn allocator(&self, name: &str) -> Result<Arc<dyn Allocator>> {
        let found = self.allocators().into_iter().find(|(_, allocator)| allocator.name() == name);
        found
            .map(|(_, allocator)| allocator)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "allocator", format!("\"{name}\" is not on this machine")))
    }

    /// The display lists the format.
    fn lists(&self, fourcc: Fourcc) -> bool {
        self.display.formats().is_ok_and(|formats| formats.iter().any(|format| format.fourcc == fourcc))
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bench({})", self.name)
    }
}
