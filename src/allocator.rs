//! Making memory that other hardware can use.
//!
//! In: one [`Request`]: size, format, modifiers, usage, what every consumer demands of the layout.
//! Out: a [`Buffer`] that says which allocator made it and why ([`Buffer::provenance`]).
//! Not here: opening nodes (`device`), recycling (`pool`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bitflags::bitflags;

use crate::board::AllocatorKind;
use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Constraints, Layout, Size};

pub mod dumb;
#[cfg(feature = "gbm")]
pub mod gbm;
pub mod heap;
pub mod memfd;
pub mod udmabuf;

bitflags! {
    /// Who is going to touch the pixels.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Usage: u32 {
        /// The GPU samples it.
        const SAMPLE = 1;
        /// The GPU renders into it.
        const RENDER = 1 << 1;
        /// The CPU reads it.
        const CPU_READ = 1 << 2;
        /// The CPU writes it.
        const CPU_WRITE = 1 << 3;
        /// A video block (capture, encoder, decoder) reads or writes it.
        const VIDEO = 1 << 4;
        /// A display reads it.
        const SCANOUT = 1 << 5;
    }
}

/// What is wanted. [`Device::allocate`] finds who can make it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Visible size in pixels.
    pub size: Size,
    /// Pixel format.
    pub fourcc: Fourcc,
    /// Modifiers that every consumer accepts, any order; empty where none was negotiated (linear is then made).
    pub modifiers: Vec<Modifier>,
    /// Who is going to touch the pixels.
    pub usage: Usage,
    /// What the consumers demand of the layout, joined with what the board demands.
    pub constraints: Constraints,
    /// Only these allocators, in this order; empty for the board's order.
    pub allocators: Vec<AllocatorKind>,
    /// The memory must be a dma-buf: a memfd will not do.
    pub require_dma_buf: bool,
}

impl Request {
    /// A request for a picture that the GPU samples and renders, with no demands beyond the board's.
    pub fn new(size: Size, fourcc: Fourcc) -> Self {
        Self {
            size,
            fourcc,
            modifiers: Vec::new(),
            usage: Usage::SAMPLE | Usage::RENDER,
            constraints: Constraints::NONE,
            allocators: Vec::new(),
            require_dma_buf: false,
        }
    }

    /// Says who is going to touch the pixels.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Says which modifiers every consumer accepts.
    #[must_use]
    pub fn modifiers(mut self, modifiers: impl IntoIterator<Item = Modifier>) -> Self {
        self.modifiers = modifiers.into_iter().collect();
        self
    }

    /// Adds one consumer's demands.
    ///
    /// # Errors
    /// `InvalidInput` where no layout can satisfy both.
    pub fn constrain(mut self, constraints: Constraints) -> Result<Self> {
        self.constraints = self.constraints.join(constraints)?;
        Ok(self)
    }

    /// Only this allocator.
    #[must_use]
    pub fn only(mut self, kind: AllocatorKind) -> Self {
        self.allocators = vec![kind];
        self
    }

    /// A memfd will not do.
    #[must_use]
    pub fn require_dma_buf(mut self) -> Self {
        self.require_dma_buf = true;
        self
    }

    /// Linear memory satisfies the request.
    fn accepts_linear(&self) -> bool {
        self.modifiers.is_empty()
            || self.modifiers.contains(&Modifier::LINEAR)
            || self.modifiers.contains(&Modifier::INVALID)
    }

    /// Hardware that reads physical memory touches it.
    fn touches_hardware(&self) -> bool {
        self.usage.intersects(Usage::VIDEO | Usage::SCANOUT)
    }

    /// The linear layout that this request asks for, and the bytes to allocate for it.
    ///
    /// # Errors
    /// `Unsupported` where linear memory is not among the modifiers, or the format has none.
    pub fn linear_layout(&self) -> Result<(Layout, u64)> {
        if !self.accepts_linear() {
            return Err(Error::unsupported(
                "modifiers",
                format!("this allocator makes linear memory only; wanted {}", list(&self.modifiers)),
            ));
        }
        if self.fourcc.format()?.needs_modifier {
            return Err(Error::unsupported("format", format!("{} has no linear layout", self.fourcc)));
        }
        let layout = Layout::linear(self.fourcc, self.size, &self.constraints)?;
        let bytes = layout.allocation_bytes(&self.constraints)?;
        Ok((layout, bytes))
    }
}

fn list(modifiers: &[Modifier]) -> String {
    modifiers.iter().map(Modifier::to_string).collect::<Vec<_>>().join(", ")
}

/// One way to make memory.
pub trait Allocator: Send + Sync {
    /// For reports: `dumb(virtio_gpu)`, `dma-heap(system)`.
    fn name(&self) -> String;

    /// Makes a buffer. Blocks as long as the kernel does.
    ///
    /// # Errors
    /// `Unsupported` where this allocator cannot make such memory (the next one is asked); `OutOfMemory`;
    /// `PermissionDenied`.
    fn allocate(&self, request: &Request) -> Result<Buffer>;
}

/// Opened allocators by kind, so that a node or a GBM device is opened once. Refusals are remembered as well, except
/// those that may pass (no fds left, no memory).
type Opened = Mutex<HashMap<AllocatorKind, Result<Vec<Arc<dyn Allocator>>>>>;

impl Device {
    /// The allocators of one kind on this machine, best first. Opened at the first call and kept.
    ///
    /// # Errors
    /// `Unsupported`, `NotFound` or `PermissionDenied` where there is none, saying what is missing.
    pub fn allocators(&self, kind: AllocatorKind) -> Result<Vec<Arc<dyn Allocator>>> {
        let opened = self.allocator_cache(Opened::default);
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(&kind) {
            return known.clone();
        }
        let found = self.open_allocators(kind);
        let passing =
            matches!(&found, Err(error) if matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::Failed));
        if !passing {
            opened.insert(kind, found.clone());
        }
        found
    }

    fn open_allocators(&self, kind: AllocatorKind) -> Result<Vec<Arc<dyn Allocator>>> {
        match kind {
            AllocatorKind::Dumb => dumb::open_all(self),
            #[cfg(feature = "gbm")]
            AllocatorKind::Gbm => gbm::open_all(self),
            #[cfg(not(feature = "gbm"))]
            AllocatorKind::Gbm => Err(Error::unsupported("gbm", "built without the cargo feature `gbm`")),
            AllocatorKind::DmaHeap => heap::open_all(self),
            AllocatorKind::Udmabuf => Ok(vec![Arc::new(udmabuf::Udmabuf::open()?)]),
            AllocatorKind::Memfd => Ok(vec![Arc::new(memfd::Memfd)]),
        }
    }

    /// Makes a buffer with the first allocator that can; [`Buffer::provenance`] says which and why the ones before
    /// could not.
    ///
    /// The board's alignments are joined with the request's. A request for video or scanout on a board whose blocks
    /// have no IOMMU asks for contiguous memory.
    ///
    /// # Errors
    /// The last refusal's kind, with every allocator and what it said.
    pub fn allocate(&self, request: &Request) -> Result<Buffer> {
        let board = &self.board().allocate;
        let mut request = request.clone();
        request.size.check()?;
        request.constraints = request.constraints.join(board.constraints())?;
        request.constraints.contiguous |= board.contiguous_for_hardware && request.touches_hardware();
        let order = if request.allocators.is_empty() { board.order.clone() } else { request.allocators.clone() };

        let mut refusals: Vec<(String, Error)> = Vec::new();
        for kind in order {
            if kind == AllocatorKind::Memfd && (request.require_dma_buf || request.touches_hardware()) {
                let why = "hardware needs a dma-buf, and a memfd is none";
                refusals.push((kind.to_string(), Error::unsupported("require_dma_buf", why)));
                continue;
            }
            let allocators = match self.allocators(kind) {
                Ok(allocators) => allocators,
                Err(error) => {
                    refusals.push((kind.to_string(), error));
                    continue;
                }
            };
            for allocator in allocators {
                match allocator.allocate(&request) {
                    Ok(mut buffer) => {
                        let bytes: u64 = buffer.object_bytes().sum();
                        let asked =
                            format!("asked for {}, got {} in {bytes} bytes", self.wish(&request), buffer.layout());
                        let reasons = refusals.iter().map(|(name, error)| format!("not {name}: {error}"));
                        buffer.explain(reasons.chain([asked]).collect());
                        tracing::debug!(allocator = allocator.name(), layout = %buffer.layout(), "allocated");
                        return Ok(buffer);
                    }
                    Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(error),
                    Err(error) => refusals.push((allocator.name(), error)),
                }
            }
        }
        let kind = refusals.last().map_or(ErrorKind::Unsupported, |(_, error)| error.kind());
        let said: Vec<String> = refusals.iter().map(|(name, error)| format!("{name}: {error}")).collect();
        Err(Error::new(
            kind,
            "allocate",
            format!(
                "{} {}, {:?}: no allocator could: {}",
                request.fourcc,
                request.size,
                request.usage,
                said.join(" | ")
            ),
        )
        .with_hint("`darkframe probe` lists the nodes and heaps of this machine"))
    }

    fn wish(&self, request: &Request) -> String {
        let constraints = &request.constraints;
        format!(
            "{} {} with strides of {} bytes, offsets of {}, {} rows, {} columns{}",
            request.fourcc,
            request.size,
            constraints.stride_align_bytes,
            constraints.offset_align_bytes,
            constraints.height_align_rows,
            constraints.width_align_pixels,
            if constraints.contiguous { ", contiguous" } else { "" },
        )
    }
}

/// Fails with `OutOfMemory` hints that name the usual reasons.
fn out_of_memory_hint(error: Error, contiguous: bool) -> Error {
    match (error.kind(), contiguous) {
        (ErrorKind::OutOfMemory, true) => error.with_hint(
            "contiguous memory is exhausted or fragmented: raise cma= on the kernel command line, or use fewer buffers",
        ),
        (ErrorKind::OutOfMemory, false) => {
            error.with_hint("use fewer or smaller buffers, or raise RLIMIT_NOFILE if fds ran out")
        }
        _ => error,
    }
}
