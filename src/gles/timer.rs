//! How long the GPU takes for a piece of work, by `GL_EXT_disjoint_timer_query`.
//!
//! In: pieces of work, frame after frame. Out: their times, a few frames later: nobody waits for them.
//! Not here: what the pieces are (`pipeline`).
//!
//! Queries go round in a ring of frames. A frame's results are read together, when the last of them is there. A GPU
//! that was suspended or has changed its clock in between says so (`GL_GPU_DISJOINT_EXT`): what was measured meanwhile
//! is let go, and counted.

use std::ffi::c_void;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use glow::HasContext;

use super::gl::Gl;
use super::names::{Kind, Name};
use crate::egl::Extensions;
use crate::egl::library::Library;
use crate::error::{Error, Result};

const EXTENSION: &str = "GL_EXT_disjoint_timer_query";
const QUERY_COUNTER_BITS: u32 = 0x8864;
const QUERY_RESULT: u32 = 0x8866;
const QUERY_RESULT_AVAILABLE: u32 = 0x8867;
const TIME_ELAPSED: u32 = 0x88BF;
const GPU_DISJOINT: u32 = 0x8FBB;

/// Frames whose results may be on their way.
const FRAMES: usize = 8;
/// How long the results of the last frames are waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Entry points of the extension.
#[derive(Clone, Copy)]
pub(super) struct Functions {
    generate: unsafe extern "system" fn(i32, *mut u32),
    pub(super) delete: unsafe extern "system" fn(i32, *const u32),
    begin: unsafe extern "system" fn(u32, u32),
    end: unsafe extern "system" fn(u32),
    parameter: unsafe extern "system" fn(u32, u32, *mut i32),
    result_u32: unsafe extern "system" fn(u32, u32, *mut u32),
    result_u64: unsafe extern "system" fn(u32, u32, *mut u64),
}

impl Functions {
    /// Those of a context with these extensions; `None` where one is missing.
    pub(super) fn resolve(library: &Library, extensions: &Extensions) -> Option<Self> {
        if !extensions.has(EXTENSION) {
            return None;
        }
        macro_rules! load {
            ($name:literal) => {{
                let address = library.gl_address($name);
                // SAFETY: the extension names this function, whose C type is the field's; a null address becomes None.
                unsafe { std::mem::transmute::<*mut c_void, Option<_>>(address) }?
            }};
        }
        Some(Self {
            generate: load!(c"glGenQueriesEXT"),
            delete: load!(c"glDeleteQueriesEXT"),
            begin: load!(c"glBeginQueryEXT"),
            end: load!(c"glEndQueryEXT"),
            parameter: load!(c"glGetQueryivEXT"),
            result_u32: load!(c"glGetQueryObjectuivEXT"),
            result_u64: load!(c"glGetQueryObjectui64vEXT"),
        })
    }
}

/// Measures the same pieces of work in every frame.
#[doc(alias = "GL_EXT_disjoint_timer_query")]
pub struct Timer {
    functions: Functions,
    /// Those of each frame of the ring, one a piece.
    queries: Vec<Vec<Name>>,
    ring: Ring,
    /// Bits of the driver's counter.
    bits: i32,
    /// When each frame of the ring began.
    begun: [Instant; FRAMES],
    /// The frame that has begun.
    frame: Option<usize>,
    /// Times that cannot be.
    impossible: u64,
}

impl Timer {
    /// A timer of `pieces`.
    ///
    /// # Errors
    /// `Unsupported` where the driver has no timer, or one of 0 bits; `Failed`.
    pub fn new(gl: &Gl, pieces: usize) -> Result<Self> {
        let Some(functions) = gl.own().timer else {
            return Err(Error::unsupported(EXTENSION, "this driver does not offer it"));
        };
        let mut bits = 0;
        // SAFETY: a context is current, which has the extension; one number is written.
        unsafe { (functions.parameter)(TIME_ELAPSED, QUERY_COUNTER_BITS, &mut bits) };
        if bits <= 0 {
            return Err(Error::unsupported(EXTENSION, "this driver's counter has 0 bits"));
        }
        let mut queries = Vec::new();
        for _ in 0..FRAMES {
            let mut raw = vec![0; pieces];
            // SAFETY: as many names are written as the vector has.
            unsafe { (functions.generate)(i32::try_from(pieces).unwrap_or(0), raw.as_mut_ptr()) };
            queries.push(raw.into_iter().filter_map(NonZeroU32::new).map(|raw| gl.name(Kind::Query, raw)).collect());
        }
        gl.check_error("glGenQueriesEXT", || format!("{pieces} queries"))?;
        if queries.iter().any(|queries: &Vec<Name>| queries.len() != pieces) {
            return Err(Error::failed("glGenQueriesEXT", format!("fewer than {pieces} names")));
        }
        let begun = [Instant::now(); FRAMES];
        let timer = Self { functions, queries, ring: Ring::default(), bits, begun, frame: None, impossible: 0 };
        // What was before is none of ours.
        timer.is_disjoint(gl);
        Ok(timer)
    }

    /// Bits of the driver's counter, which counts nanoseconds.
    pub fn bits(&self) -> i32 {
        self.bits
    }

    /// Pieces of frames that were not measured because too many results were on their way.
    pub fn skipped(&self) -> u64 {
        self.ring.skipped * self.pieces()
    }

    /// Times that were let go: the GPU's clock was disturbed meanwhile, or they are longer than it is since they began.
    pub fn discarded(&self) -> u64 {
        self.ring.discarded * self.pieces() + self.impossible
    }

    fn pieces(&self) -> u64 {
        self.queries.first().map_or(0, |queries| queries.len() as u64)
    }

    /// A frame begins: each piece is to be measured once in it.
    pub fn begin(&mut self) {
        self.frame = self.ring.take();
        if let Some(frame) = self.frame {
            self.begun[frame] = Instant::now();
        }
    }

    /// Does `work`, and measures what the GPU has to do for it as piece `piece` of the frame. `work` must not measure.
    pub fn measure<T>(&mut self, _gl: &Gl, piece: usize, work: impl FnOnce() -> T) -> T {
        let Some(query) = self.frame.and_then(|frame| self.queries[frame].get(piece)) else { return work() };
        // SAFETY: a context is current (the caller has it), which has the extension; the query is ours, and no other
        // is active: this is the only place that begins one, and it is ended below.
        unsafe { (self.functions.begin)(TIME_ELAPSED, query.raw().get()) };
        let result = work();
        // SAFETY: as above.
        unsafe { (self.functions.end)(TIME_ELAPSED) };
        result
    }

    /// The frame has ended. Gives the times of frames that are there to `found`, piece by piece. Does not wait.
    pub fn end(&mut self, gl: &Gl, found: impl FnMut(usize, Duration)) {
        if let Some(frame) = self.frame.take() {
            self.ring.push(frame);
        }
        self.collect(gl, found);
    }

    /// Gives what is still on its way to `found`; waits for it a second at most.
    pub fn finish(&mut self, gl: &Gl, mut found: impl FnMut(usize, Duration)) {
        gl.flush();
        let begun = Instant::now();
        while !self.ring.waiting.is_empty() {
            self.collect(gl, &mut found);
            if begun.elapsed() > PATIENCE {
                self.ring.skipped += self.ring.waiting.len() as u64;
                self.ring.waiting.clear();
            }
            if !self.ring.waiting.is_empty() {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    fn collect(&mut self, gl: &Gl, mut found: impl FnMut(usize, Duration)) {
        let Self { functions, queries, .. } = &*self;
        let mut read = Vec::new();
        while let Some(frame) = self.ring.waiting.get(read.len()).copied() {
            let is_there = |query: &Name| {
                let mut available = 0;
                // SAFETY: a context is current; the query is ours and has ended; one number is written.
                unsafe { (functions.result_u32)(query.raw().get(), QUERY_RESULT_AVAILABLE, &mut available) };
                available != 0
            };
            // The last one first: it is the one that is not there.
            if !queries[frame].iter().rev().all(is_there) {
                break;
            }
            let result = |query: &Name| {
                let mut ns = 0;
                // SAFETY: as above; the result is there, so that this does not wait.
                unsafe { (functions.result_u64)(query.raw().get(), QUERY_RESULT, &mut ns) };
                Duration::from_nanos(ns)
            };
            let times: Vec<Duration> = queries[frame].iter().map(result).collect();
            read.push((times, self.begun[frame].elapsed()));
        }
        if read.is_empty() {
            return;
        }
        let is_disjoint = self.is_disjoint(gl);
        if !self.ring.done(read.len(), is_disjoint) {
            return;
        }
        for (times, limit) in read {
            for (piece, time) in times.into_iter().enumerate() {
                // Mesa 22.3 and 25.0 on llvmpipe: the first draw of a context took as long as the machine runs.
                match time <= limit {
                    true => found(piece, time),
                    false => self.impossible += 1,
                }
            }
        }
    }

    /// Whether times since the last call mean nothing. Asking resets it.
    fn is_disjoint(&self, gl: &Gl) -> bool {
        // SAFETY: a context is current, which has the extension.
        unsafe { gl.glow().get_parameter_i32(GPU_DISJOINT) != 0 }
    }
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Timer({} bits, {} pieces)", self.bits, self.pieces())
    }
}

/// Which frames' queries are in use, and what became of the others.
#[derive(Debug, Default)]
struct Ring {
    /// Frames of the ring whose results are on their way, oldest first.
    waiting: std::collections::VecDeque<usize>,
    next: usize,
    /// Frames that began, or were on their way, before the clock was disturbed: their results are let go.
    tainted: usize,
    skipped: u64,
    discarded: u64,
}

impl Ring {
    /// Queries for a frame; `None` where all are on their way.
    fn take(&mut self) -> Option<usize> {
        if self.waiting.len() == FRAMES {
            self.skipped += 1;
            return None;
        }
        let frame = self.next;
        self.next = (self.next + 1) % FRAMES;
        Some(frame)
    }

    fn push(&mut self, frame: usize) {
        self.waiting.push_back(frame);
    }

    /// The results of the oldest `frames` were read, and the clock asked then. Whether they mean something.
    fn done(&mut self, frames: usize, is_disjoint: bool) -> bool {
        self.waiting.drain(..frames);
        let tainted = self.tainted.min(frames);
        self.tainted -= tainted;
        if is_disjoint {
            // Nobody knows when it was: all that had begun by now.
            self.tainted = self.waiting.len();
        }
        let is_good = !is_disjoint && tainted == 0;
        if !is_good {
            self.discarded += frames as u64;
        }
        is_good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_skips_and_a_disturbed_clock_taints_what_is_on_its_way() {
        let mut ring = Ring::default();
        let frames: Vec<usize> = std::iter::from_fn(|| ring.take().inspect(|frame| ring.push(*frame))).collect();
        assert_eq!((frames, ring.skipped), ((0..FRAMES).collect::<Vec<_>>(), 1));
        assert!(ring.done(2, false));
        assert_eq!((ring.take(), ring.discarded), (Some(0), 0));
        // Two frames with it, four behind it.
        assert!(!ring.done(2, true));
        assert_eq!((ring.discarded, ring.waiting.len(), ring.tainted), (2, 4, 4));
        // A frame that begins afterwards is a good one, but not what is read together with tainted ones.
        ring.push(0);
        assert!(!ring.done(3, false));
        assert!(!ring.done(1, false));
        assert_eq!((ring.discarded, ring.tainted), (6, 0));
        assert!(ring.done(1, false));
        assert_eq!(ring.discarded, 6);
    }
}
