//! What a run did, for people and for machines.
//!
//! In: counts, times and the ways that were chosen. Out: a [`Report`] that serialises (`--report FILE`).
//! Not here: printing.

use std::time::Duration;

use serde::Serialize;

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Frames drawn.
    pub frames: u64,
    /// The run was ended by a signal before the last frame.
    pub interrupted: bool,
    /// From the first frame's draw to the last sink's end.
    pub seconds: f64,
    /// Frames per second over `seconds`.
    pub frames_per_second: f64,
    /// From the start of the run to the first draw: driver, shaders, sources.
    pub start_seconds: f64,
    /// Where the pictures were drawn.
    pub driver: Driver,
    /// How the end of GPU work becomes known.
    pub fence: String,
    /// How GPU work waits for the fences of others.
    pub fence_into: String,
    /// The board's name.
    pub board: String,
    /// Sources, in the order they are read.
    pub sources: Vec<Edge>,
    /// Passes, in the order they are drawn.
    pub passes: Vec<Pass>,
    /// Sinks.
    pub sinks: Vec<Edge>,
    /// Sources and passes of the file that lead to no sink.
    pub unused: Vec<String>,
}

/// Where the pictures were drawn.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Driver {
    /// `GL_RENDERER`
    pub renderer: String,
    /// `GL_VERSION`
    pub version: String,
    /// `EGL_VENDOR`
    pub egl_vendor: String,
    /// EGL platform.
    pub platform: String,
    /// DRM node, where one is used.
    pub node: Option<String>,
    /// It draws with the CPU.
    pub software: bool,
}

/// A source or a sink and the way its pixels took.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Edge {
    /// The name in the pipeline file.
    pub name: String,
    /// Sinks: the pass whose pictures are taken; sinks of one pass share its read-back. Empty for sources.
    pub input: String,
    /// What the pictures are: `NV12 1280x720`.
    pub picture: String,
    /// `zero-copy` or `copy`.
    pub path: String,
    /// How: `external image`, `planes as images`, `texture upload`, `mapped target`, `glReadPixels`, …
    pub binding: String,
    /// Why the copy, where it is one.
    pub reason: Option<String>,
    /// Who made the buffers: `dma-heap(system)`, `memfd`.
    pub allocator: String,
    /// Why this allocator, one line each.
    pub allocator_reasons: Vec<String>,
    /// Buffers in use.
    pub buffers: usize,
    /// Pictures read or written.
    pub pictures: u64,
    /// Sinks: pictures that were let go because too many waited (`when-full`).
    pub dropped: u64,
    /// Bytes written; 0 for sources.
    pub bytes: u64,
    /// Time in reading, decoding and converting, or in encoding and writing, on the edge's own thread.
    pub work: Times,
    /// Time of the GL thread in uploads or read-back.
    pub transfer: Times,
    /// Time of the GL thread in waiting for the draws of the frame before, where it has to.
    pub draw: Times,
    /// Time of the GL thread in waiting for this edge (a slow source; a sink that gives no buffer back).
    pub wait: Times,
}

/// One pass.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pass {
    /// The name in the pipeline file.
    pub name: String,
    /// `ABGR8888 1280x720`
    pub target: String,
    /// GLSL ES version.
    pub glsl: String,
    /// 4 where the plan draws four pixels at a time (`optimize`), else 1.
    pub pixels_per_fragment: u32,
    /// Time of the GL thread in the draw's calls. They return before it is drawn: the GPU (or the threads of a driver
    /// that draws with the CPU) does that later, and the waiting shows in the edges' `draw` and `transfer`.
    pub submit: Times,
}

/// Times of one repeated step, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// Sum.
    pub total_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

impl Times {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1000.0;
        self.count += 1;
        self.total_ms += ms;
        self.max_ms = self.max_ms.max(ms);
        self.mean_ms = self.total_ms / self.count as f64;
    }

    /// Runs `work` and adds its time.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let result = work();
        self.add(start.elapsed());
        result
    }
}
