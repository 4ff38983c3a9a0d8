//! What a run did, for people and for machines.
//!
//! In: counts, times and the ways that were chosen. Out: a [`Report`] that serialises (`--report FILE`).
//! Not here: printing.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::parameters::Parameter;
use crate::buffer::Buffer;
use crate::layout::PlaneLayout;

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Frames drawn.
    pub frames: u64,
    /// Frames that an earlier run had made whole (`--resume`).
    pub whole: u64,
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
    /// Whether the GPU's times are in the passes, and how they were taken.
    pub gpu_times: GpuTimes,
    /// The board's name.
    pub board: String,
    /// Sources, in the order they are read.
    pub sources: Vec<Edge>,
    /// Passes, in the order they are drawn.
    pub passes: Vec<Pass>,
    /// Sinks.
    pub sinks: Vec<Edge>,
    /// Parameters with their values at the end.
    pub parameters: Vec<Parameter>,
    /// Sources and passes of the file that lead to no sink.
    pub unused: Vec<String>,
}

impl Report {
    /// Sets the time since `begun`, and with it the rate.
    pub(super) fn time(&mut self, begun: Instant) {
        self.seconds = begun.elapsed().as_secs_f64();
        self.frames_per_second = if self.seconds > 0.0 { self.frames as f64 / self.seconds } else { 0.0 };
    }
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

/// How the GPU's times were taken.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GpuTimes {
    /// They were: `Pass::gpu` has them.
    pub measured: bool,
    /// By what; or why not.
    pub way: String,
    /// Times that were let go: the GPU was suspended or changed its clock meanwhile, or they cannot be.
    pub discarded: u64,
    /// Draws that were not timed because too many results were on their way.
    pub skipped: u64,
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
    /// What was guessed of the pictures, and what is done to them on the way in.
    pub notes: Vec<String>,
    /// Who made the buffers: `dma-heap(system)`, `memfd`.
    pub allocator: String,
    /// Why this allocator, one line each.
    pub allocator_reasons: Vec<String>,
    /// Where each plane lies in the buffers, in bytes.
    pub planes: Vec<Plane>,
    /// Memory of one buffer, all planes.
    pub buffer_bytes: u64,
    /// Buffers in use.
    pub buffers: usize,
    /// Buffers that were imported into the driver: each once, however often it comes again. 0 where pixels are copied.
    pub imports: u64,
    /// Pictures read or written.
    pub pictures: u64,
    /// Sinks: pictures that were let go because too many waited (`when-full`).
    pub dropped: u64,
    /// Sources with `pace = "realtime"`: pictures that came when the next one was due already.
    pub late: u64,
    /// Sources that count their pictures: those that are missing between the ones that came. The run was too slow for them
    /// (`starved`), or the device left them out by itself or marked them as torn.
    pub lost: u64,
    /// Of `lost`: those for which the device had no buffer, because this run held them all. More `buffers` help where it is
    /// slow now and then only.
    pub starved: u64,
    /// Sources that stamp their pictures: time from one to the next, as stamped.
    pub intervals: Times,
    /// Sources: why the pictures ended, where that was not to be expected.
    pub ended: Option<String>,
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

/// Where a plane lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plane {
    /// First byte of row 0.
    pub offset_bytes: u64,
    /// From one row to the next.
    pub stride_bytes: u32,
}

/// The planes of a buffer, and its size in bytes.
pub(super) fn layout_of(buffer: &Buffer) -> (Vec<Plane>, u64) {
    let plane = |plane: &PlaneLayout| Plane { offset_bytes: plane.offset_bytes, stride_bytes: plane.stride_bytes };
    (buffer.layout().planes().iter().map(plane).collect(), buffer.object_bytes().sum())
}

/// One pass.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pass {
    /// The name in the pipeline file.
    pub name: String,
    /// The passes of the pipeline file that are drawn in this one (`optimize`), in the order of their work.
    pub parts: Vec<String>,
    /// `ABGR8888 1280x720`
    pub target: String,
    /// GLSL ES version, or `WGSL`.
    pub glsl: String,
    /// Who draws it, where that is not OpenGL ES, and how its pictures get there and back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn_by: Option<String>,
    /// 4 where the plan draws four pixels at a time (`optimize`), else 1.
    pub pixels_per_fragment: u32,
    /// Time of the GL thread in the draw's calls. They return before it is drawn: the GPU (or the threads of a driver
    /// that draws with the CPU) does that later, and the waiting shows in the edges' `draw` and `transfer`.
    pub submit: Times,
    /// Time from the beginning to the end of its work on the GPU, where the driver tells it ([`Report::gpu_times`]).
    pub gpu: Times,
}

/// Times of one repeated step, in milliseconds.
///
/// Percentiles come from a histogram whose size does not grow: two digits, from a microsecond to an hour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// Sum.
    pub total_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Longest.
    pub max_ms: f64,
    histogram: Option<Box<Histogram<u32>>>,
}

impl Times {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1000.0;
        self.count += 1;
        self.total_ms += ms;
        self.max_ms = self.max_ms.max(ms);
        self.mean_ms = self.total_ms / self.count as f64;
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_bounds(1_000, 3_600_000_000_000, 2).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// The time that `part` (0 to 1) of all stay below, to one in a hundred: 0.5 is the median.
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let ns = self.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(part));
        // A step of the histogram may end above the longest time.
        (ns as f64 * 1e-6).min(self.max_ms)
    }

    /// Runs `work` and adds its time.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(start.elapsed());
        result
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut times = serializer.serialize_struct("Times", 6)?;
        times.serialize_field("count", &self.count)?;
        times.serialize_field("total_ms", &self.total_ms)?;
        times.serialize_field("mean_ms", &self.mean_ms)?;
        times.serialize_field("p50_ms", &self.quantile_ms(0.5))?;
        times.serialize_field("p99_ms", &self.quantile_ms(0.99))?;
        times.serialize_field("max_ms", &self.max_ms)?;
        times.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_million_times_take_no_more_memory() {
        let mut times = Times::default();
        // 1 to 1000 microseconds, each a thousand times: p50 is 500, p99 is 990.
        for at in 0..1_000_000u64 {
            times.add(Duration::from_micros(at % 1000 + 1));
        }
        let near = |value: f64, wanted: f64| (value - wanted).abs() <= wanted * 0.01;
        assert!(near(times.quantile_ms(0.5), 0.5), "{}", times.quantile_ms(0.5));
        assert!(near(times.quantile_ms(0.99), 0.99), "{}", times.quantile_ms(0.99));
        assert!(near(times.mean_ms, 0.5005) && times.max_ms == 1.0 && times.quantile_ms(1.0) <= times.max_ms);
        let histogram = times.histogram.as_ref().unwrap();
        assert!(histogram.distinct_values() * size_of::<u32>() < 64 * 1024, "{}", histogram.distinct_values());
        times.add(Duration::from_secs(100_000));
        assert_eq!(times.histogram.as_ref().unwrap().distinct_values(), histogram_size());
        assert_eq!(Times::default().quantile_ms(0.5), 0.0);
    }

    fn histogram_size() -> usize {
        let mut times = Times::default();
        times.add(Duration::from_micros(1));
        times.histogram.unwrap().distinct_values()
    }
}
