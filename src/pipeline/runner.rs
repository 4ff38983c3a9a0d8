//! Carries a plan out: sources, drawing and sinks side by side, buffers passed round and round.
//!
//! In: a [`Description`] and [`Options`]. Out: the sinks' files and a [`Report`].
//! Not here: what is drawn (`pass`), how pixels cross into GL (`feed`) and out of it (`target`).
//!
//! The calling thread is the GL thread. Each source and each sink has a thread of its own. Per frame the GL thread takes
//! filled buffers, draws, hands the work to the GPU and passes on what is finished; it waits for a slow source or sink
//! and for nothing else. After the first frames no buffer is made any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Instant;

use crate::board::{AllocatorKind, Board};
use crate::buffer::Buffer;
use crate::device::Device;
use crate::egl::{Context, ContextOptions, Display};
use crate::error::{Error, ErrorKind, Result, Span};
use crate::format::Fourcc;
use crate::gles::{Gl, ProgramCache};
use crate::layout::Size;

use super::description::{Description, Filter, FrameRange, Require, Step};
use super::graph::{Graph, Kind};
use super::pass::Moment;
use super::plan::Plan;
use super::report::{self, Driver, Report};
use super::resume::{JobOptions, Work};

mod circle;
pub mod compile;
mod deliver;
mod feed;
mod lent;
#[cfg(feature = "wgpu")]
mod linked;
pub mod live;
mod memory;
mod planes;
mod programs;
mod queue;
mod reading;
pub mod reload;
mod stage;
mod target;
mod times;
pub mod trial;
mod way;

use deliver::SinkThread;
use feed::{SourceFeed, Taken};
use live::Live;
use target::Target;
use times::PassTimes;
use trial::{Prover, ReceivedTrial, Role, Trial};

/// Buffers in a circle: one being filled, one in use, one on its way.
const BUFFERS: usize = 3;
/// Frames whose times are remembered: more than may be on their way out.
const STAMPS: usize = 16;

/// How a run differs from its description.
#[derive(Default)]
pub struct Options {
    /// What the run must have, or fail; beside what the description requires.
    pub require: Option<Require>,
    /// Which frames are made, instead of the description's.
    pub frames: Option<FrameRange>,
    /// The run is a part of a job: what it has made whole is noted, and can be gone on with.
    pub job: Option<JobOptions>,
    /// Facts about the board, instead of the description's.
    pub board: Option<Board>,
    /// The highest OpenGL ES version to be used: (2, 0) draws as a board with nothing newer does.
    pub max_version: Option<(u8, u8)>,
    /// Does not ask the driver how long the GPU takes for each pass.
    pub no_gpu_times: bool,
    /// Where linked programs are kept from run to run.
    pub programs: Option<ProgramCache>,
    /// Set to true, no new frame is begun; those in flight are finished.
    pub stop: Arc<AtomicBool>,
    /// Asked before memory of a kind is imported into a driver: whether the driver lives through it. Without one the
    /// import is tried at once, and a driver that crashes ends this process.
    pub prover: Option<Box<dyn Prover>>,
    /// What other threads see and change while the run goes on.
    pub live: Option<Arc<Live>>,
    /// Shaders and values may be changed by [`Live::reload`]; each pass is then drawn by itself: without the steps
    /// `fuse` and `four-wide` of `optimize`.
    pub edits: bool,
    /// Told after each frame.
    pub progress: Option<Box<dyn FnMut(Progress)>>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Frames drawn.
    pub done: u64,
    /// Frames in all, where it is known.
    pub total: Option<u64>,
    /// The last call.
    pub finished: bool,
}

/// Runs a pipeline. Blocks until every sink is finished, or the first error.
///
/// # Errors
/// As [`Plan::new`]; `Unsupported` where no driver is there, or where zero-copy is required and an edge copies (the
/// error names the edge and the reason); those of sources, shaders and sinks. After an error no output file is left.
pub fn run(description: &Description, options: Options) -> Result<Report> {
    let started = Instant::now();
    let board = match (&options.board, &description.board) {
        (Some(board), _) => board.clone(),
        (None, Some(name)) => Board::open(name.get_ref()).map_err(|error| match error.span() {
            Some(_) => error,
            None => {
                let ours = description.error("board", error.detail(), name.span());
                match error.hint() {
                    Some(hint) => ours.with_hint(hint),
                    None => ours,
                }
            }
        })?,
        (None, None) => Board::detect()?,
    };
    let live = options.live.unwrap_or_default();
    let _ending = Ending(live.clone());
    let plain;
    let (described, description) = match options.edits {
        // An edited shader may ask for what the cheaper ways leave out.
        true => {
            let optimize = description.optimize.without(&[Step::Fuse, Step::FourWide, Step::Constants, Step::Alpha]);
            plain = Description { optimize, ..description.clone() };
            (Some(description), &plain)
        }
        false => (None, description),
    };
    let device = Device::open(&board)?;
    // The driver starts while files are read and memory is made.
    let (driver, prepared) = std::thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let display = Display::open(&device)?;
            Context::with_options(&display, &ContextOptions { max_version: options.max_version, ..Default::default() })
        });
        let prepared = Plan::new_until(description, options.frames, &options.stop, &board.encode.nodes);
        let prepared = prepared.and_then(|mut plan| {
            let work = options.job.as_ref().map(|job| Work::open(description, &mut plan, job)).transpose()?;
            let staged = memory::stage(&device, &plan)?;
            Ok((plan, work, staged))
        });
        (driver.join(), prepared)
    });
    let (plan, work, staged) = match prepared {
        // Before a stream had said what its pictures are.
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            return Ok(Report { interrupted: true, board: board.name.clone(), ..Report::default() });
        }
        prepared => prepared?,
    };
    if let Some(work) = work.as_ref().filter(|_| plan.draw.is_empty()) {
        work.finish()?;
        return Ok(Report { whole: work.whole, board: board.name.clone(), ..Report::default() });
    }
    let context = driver.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let gl = context.make_current()?;
    if let Some(programs) = options.programs {
        gl.keep_programs(programs);
    }
    let job = Job {
        require: options.require.or(description.require).is_some(),
        gpu_times: !options.no_gpu_times,
        stop: &options.stop,
        live,
        described,
        device: &device,
        prover: options.prover.as_deref(),
        driver: Trial::driver(&gl, context.display()),
        context,
        started,
        description,
    };
    std::thread::scope(|scope| job.run(scope, gl, plan, work, staged, options.progress))
}

/// Says that the run has ended, well or not.
struct Ending(Arc<Live>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What stays the same during a run.
struct Job<'a> {
    require: bool,
    gpu_times: bool,
    stop: &'a AtomicBool,
    live: Arc<Live>,
    /// What edits are held against; without it there are none.
    described: Option<&'a Description>,
    device: &'a Device,
    prover: Option<&'a dyn Prover>,
    /// Who draws, for proofs.
    driver: String,
    context: Context,
    started: Instant,
    description: &'a Description,
}

impl<'a> Job<'a> {
    fn run<'scope>(
        self,
        scope: &'scope Scope<'scope, 'a>,
        current: Gl,
        mut plan: Plan,
        work: Option<Work>,
        staged: memory::Staged,
        mut progress: Option<Box<dyn FnMut(Progress)>>,
    ) -> Result<Report>
    where
        'a: 'scope,
    {
        let gl = &current;
        // Four pixels a fragment pay where a fragment is dear, and where pixels are copied in and out anyway.
        let copies = self.context.display().dma_buf_import().is_none();
        let by_fours = gl.caps().is_software && gl.caps().at_least(3, 0) && copies && cfg!(target_endian = "little");
        plan.settle_for(gl.caps().is_software);
        programs::settle_four_wide(gl, &mut plan, by_fours)?;
        let filters: Vec<Option<Filter>> =
            (0..plan.sources.len()).map(|source| plan.four_wide_filter(source)).collect();
        let (start, end, rate, draw) = (plan.start, plan.end, plan.rate, plan.draw.clone());
        let mut feeds: Vec<SourceFeed<'scope>> = Vec::new();
        for (source, filter) in std::mem::take(&mut plan.sources).into_iter().zip(filters) {
            feeds.push(SourceFeed::start(scope, gl, &self, source, (draw.clone(), rate), filter)?);
        }
        let mut stages =
            programs::compile(gl, &mut plan, &feeds).map_err(|error| with_place(self.description, error))?;
        stages.iter_mut().try_for_each(|stage| stage.link(gl, &self))?;
        let (graph, sizes, parts) = (plan.graph.clone(), plan.sizes.clone(), plan.parts.clone());
        let (four_wide, reused) = (plan.four_wide.clone(), plan.reused.clone());
        let mut parameters = plan.parameters.clone();
        let live = self.live.clone();
        parameters.keep_values_of(&live.parameters.snapshot());
        live.parameters.replace(parameters);
        if let Some(described) = self.described {
            live.take_edits(described, &plan);
        }
        // Nothing has been given to the passes yet.
        let mut seen = u64::MAX;
        let shapes: Vec<_> = (0..graph.passes.len())
            .map(|pass| super::sink::Shape {
                size: sizes[pass],
                fourcc: graph.passes[pass].fourcc,
                color: graph.passes[pass].color(sizes[pass]),
                rate,
                frames: end.map(|end| end - start),
                held: graph.held(pass),
                layout: graph.passes[pass].layout,
            })
            .collect();
        let mut staged = staged;
        let mut targets: Vec<Target> = Vec::new();
        for (index, node) in graph.passes.iter().enumerate() {
            let is_read_back = graph.sinks.iter().any(|sink| sink.pass == index);
            let memory = staged.take(&node.name);
            let memory = is_read_back.then_some(memory);
            if let Some(earlier) = reused[index] {
                targets.push(targets[earlier].shared());
                continue;
            }
            let previous = node.keeps_previous.then_some(node.clear.unwrap_or([0.0; 4]));
            let stored = node.kind == Kind::Compute;
            let demands = target::Demands { stored, four_wide: four_wide[index], previous };
            targets.push(Target::new(gl, &self, &node.name, &shapes[index], memory, demands)?);
        }
        if self.require {
            for edge in feeds.iter().map(SourceFeed::edge).chain(targets.iter().filter_map(Target::edge)) {
                if let Some(reason) = &edge.reason {
                    let detail = format!("{} would be copied ({}): {reason}", edge.name, edge.binding);
                    return Err(Error::unsupported("require zero-copy", detail).with_hint(
                        "run without it to copy, or run where the driver imports dma-bufs (darkframe probe)",
                    ));
                }
            }
        }
        if self.require {
            for (index, stage) in stages.iter().enumerate() {
                if let Some((device, Some(reason))) = stage.way() {
                    let name = &graph.passes[index].name;
                    let detail = format!("pass {name}: pictures would be copied to {device} and back: {reason}");
                    return Err(Error::unsupported("require zero-copy", detail).with_hint(
                        "run without it to copy, or run where both drivers take dma-bufs (darkframe probe)",
                    ));
                }
            }
        }
        let mut sinks: Vec<SinkThread<'scope>> = Vec::new();
        for sink in &graph.sinks {
            let target = &targets[sink.pass];
            let shape = target.delivered(&shapes[sink.pass]);
            let memories = target.memories();
            let memories = (memories, self.require);
            sinks.push(SinkThread::start(scope, sink.plan.clone(), sink.pass, shape, memories, self.description)?);
        }

        if let Some(work) = &work {
            let driver = self.driver(gl);
            work.driver(&format!("{}, {}", driver.renderer, driver.version))?;
        }
        // From here on every frame takes the same way.
        let begun = Instant::now();
        let start_seconds = (begun - self.started).as_secs_f64();
        let mut passes = PassTimes::new(gl, stages.len(), self.gpu_times)?;
        let facts = Report {
            start_seconds,
            driver: self.driver(gl),
            fence: gl.fence_ways().out.to_string(),
            fence_into: gl.fence_ways().into.to_string(),
            board: self.device.board().name.clone(),
            unused: graph.unused.clone(),
            passes: (0..stages.len())
                .map(|index| report::Pass {
                    name: graph.passes[index].name.clone(),
                    parts: parts[index].clone(),
                    target: format!("{} {}", graph.passes[index].fourcc, sizes[index]),
                    glsl: stages[index].version().into(),
                    pixels_per_fragment: if four_wide[index] { 4 } else { 1 },
                    drawn_by: stages[index].way().map(|(device, reason)| match reason {
                        None => format!("wgpu on {device}, pictures in dma-bufs"),
                        Some(reason) => format!("wgpu on {device}, pictures copied: {reason}"),
                    }),
                    ..report::Pass::default()
                })
                .collect(),
            ..Report::default()
        };
        // When the pictures of the latest frames were made; those on their way out are few.
        let mut stamps: VecDeque<(u64, u64)> = VecDeque::new();
        let stamp_of = |stamps: &VecDeque<(u64, u64)>, frame: u64| {
            stamps.iter().find(|(of, _)| *of == frame).map(|(_, captured_ns)| *captured_ns)
        };
        let mut done = 0u64;
        let mut interrupted = false;
        let total = draw.count();
        for frame in draw.iter() {
            if self.stop.load(Ordering::Relaxed) {
                interrupted = true;
                break;
            }
            let mut ended = false;
            let mut rebound = false;
            for feed in &mut feeds {
                let taken = feed.next(gl, frame)?;
                ended |= taken == Taken::End;
                rebound |= taken == Taken::Rebound;
            }
            if ended {
                // A source stops too where the run is stopped.
                if let Some(work) = work.as_ref().filter(|_| !self.stop.load(Ordering::Relaxed)) {
                    work.end(frame)?;
                }
                interrupted = self.stop.load(Ordering::Relaxed);
                break;
            }
            if let Some(captured_ns) = feeds.iter().find_map(SourceFeed::captured_ns) {
                stamps.push_back((frame, captured_ns));
                if stamps.len() > STAMPS {
                    stamps.pop_front();
                }
            }
            if rebound {
                let again = programs::compile_again(gl, &plan, &feeds);
                stages = again.map_err(|error| with_place(self.description, error))?;
                stages.iter_mut().try_for_each(|stage| stage.link(gl, &self))?;
                // New programs have no values yet.
                seen = u64::MAX;
                gl.collect();
            }
            if let Some(edit) = live.take_edit() {
                let result = programs::recompile(gl, &mut plan, &feeds, edit, &mut stages);
                for stage in stages.iter_mut().filter(|stage| stage.is_unlinked()) {
                    stage.link(gl, &self)?;
                }
                let result = result.map(|(compiled, mut parameters)| {
                    parameters.keep_values_of(&live.parameters.snapshot());
                    live.parameters.replace(parameters);
                    compiled
                });
                // Names of programs that are gone.
                gl.collect();
                live.edited(result);
            }
            if let Some(parameters) = live.parameters.changed(&mut seen) {
                for (stage, settings) in stages.iter().zip(&plan.uniforms) {
                    stage.update(gl, settings, &parameters)?;
                }
            }
            let seconds = rate.timestamp_ns(frame) as f64 * 1e-9;
            let moment = Moment { frame, seconds, step_seconds: rate.timestamp_ns(1) as f64 * 1e-9 };
            // Whoever reads the frame before may come first.
            for target in targets.iter_mut().filter(|target| target.keeps_previous()) {
                target.begin(gl)?;
            }
            passes.begin();
            for (index, stage) in stages.iter().enumerate() {
                let begun = Instant::now();
                if !targets[index].keeps_previous() {
                    targets[index].begin(gl)?;
                }
                passes.draw(gl, (index, targets[index].framebuffer()), begun, || {
                    stage.draw(gl, &graph.passes[index], &feeds, &targets, index, moment)?;
                    targets[index].drawn(gl)
                })?;
            }
            let wants = |pass: usize, frame: u64| sinks.iter().any(|sink| sink.pass == pass && sink.wants(frame));
            // One fence stands for the frame's whole work: sources get their buffers back behind it, sinks read behind it.
            let needs_fence = feeds.iter().any(SourceFeed::is_zero_copy) || targets.iter().any(Target::is_zero_copy);
            let fence = if needs_fence { gl.fence()?.map(Arc::new) } else { None };
            if !needs_fence {
                gl.flush();
            }
            for feed in &mut feeds {
                feed.release(fence.clone())?;
            }
            for (index, target) in targets.iter_mut().enumerate() {
                let wanted = wants(index, frame);
                for mut delivery in target.end(gl, frame, wanted, fence.clone())? {
                    delivery.captured_ns = stamp_of(&stamps, delivery.frame);
                    deliver::send(&sinks, index, delivery)?;
                }
            }
            passes.end(gl);
            done += 1;
            live.count(done);
            if live.is_wanted(done) {
                let mut report = so_far(&facts, done, begun, &passes);
                report.sources.extend(feeds.iter().map(SourceFeed::so_far));
                report.sinks.extend(sinks.iter().map(|sink| sink.so_far(sink_edge(&graph, &targets, sink.pass))));
                report.parameters = live.parameters.snapshot().into();
                live.publish(report);
            }
            if let Some(progress) = &mut progress {
                progress(Progress { done, total, finished: false });
            }
            if sinks.iter().any(SinkThread::has_failed) {
                break;
            }
        }
        for (index, target) in targets.iter_mut().enumerate() {
            for mut delivery in target.drain(gl)? {
                delivery.captured_ns = stamp_of(&stamps, delivery.frame);
                deliver::send(&sinks, index, delivery)?;
            }
        }
        if let Some(progress) = &mut progress {
            progress(Progress { done, total, finished: true });
        }

        passes.finish(gl);
        let mut report = so_far(&facts, done, begun, &passes);
        report.interrupted = interrupted;
        report.parameters = live.parameters.snapshot().into();
        report.whole = work.as_ref().map_or(0, |work| work.whole);
        // A source that failed made the loop end like one that is at its end: its error comes first.
        for feed in feeds {
            report.sources.push(feed.finish()?);
        }
        gl.check()?;
        let edges: Vec<_> = sinks.iter().map(|sink| sink_edge(&graph, &targets, sink.pass)).collect();
        // The driver ends while the sinks write what they have.
        drop((stages, targets, passes, current, self));
        if !sinks.iter().any(SinkThread::has_failed) {
            sinks.iter().for_each(SinkThread::no_more);
            sinks.iter().for_each(SinkThread::wait_until_written);
        }
        if sinks.iter().any(SinkThread::has_failed) {
            // Nothing is made whole where one sink failed.
            return Err(sinks
                .into_iter()
                .find_map(SinkThread::give_up)
                .unwrap_or_else(|| Error::failed("sink", "it ended early")));
        }
        for (sink, edge) in sinks.into_iter().zip(edges) {
            report.sinks.push(sink.finish(edge)?);
        }
        if let Some(work) = work.as_ref().filter(|_| !interrupted) {
            work.finish()?;
        }
        report.time(begun);
        live.publish(report.clone());
        Ok(report)
    }

    /// Tries the board's allocators of dma-bufs in their order, until `attempt` makes something of one's memory; it
    /// adds the reasons why not.
    ///
    /// # Errors
    /// `Unsupported` with every reason.
    fn import_first<T>(&self, mut attempt: impl FnMut(AllocatorKind, &mut Vec<String>) -> Option<T>) -> Result<T> {
        let display = self.context.display();
        if display.dma_buf_import().is_none() {
            let reason = display.unsupported_reason().unwrap_or_else(|| "no dma-buf import".into());
            return Err(Error::unsupported("EGL_EXT_image_dma_buf_import", reason));
        }
        let mut refusals = Vec::new();
        let kinds = self.device.board().allocate.order.iter().filter(|kind| **kind != AllocatorKind::Memfd);
        for kind in kinds {
            if let Some(made) = attempt(*kind, &mut refusals) {
                return Ok(made);
            }
        }
        if refusals.is_empty() {
            let board = self.device.board();
            let detail = format!("board {} allows no memory but memory files (allocate.order)", board.name);
            return Err(Error::unsupported("import", detail));
        }
        Err(Error::unsupported("import", refusals.join(" | ")))
    }

    /// Fails where the driver is known not to live through an import.
    fn survives(&self, role: Role, allocator: AllocatorKind, fourcc: Fourcc, size: Size) -> Result<()> {
        let Some(prover) = self.prover else { return Ok(()) };
        let display = self.context.display();
        let node = display.node().map(|node| node.path().to_owned());
        let driver = self.driver.clone();
        prover.prove(&Trial { driver, platform: display.platform(), node, role, allocator, fourcc, size })
    }

    /// Fails where the driver is known not to live through the import of memory that was received.
    fn survives_received(&self, gl: &Gl, role: Role, buffer: &Buffer) -> Result<()> {
        let Some(prover) = self.prover else { return Ok(()) };
        prover.prove_received(&ReceivedTrial::new(gl, self.context.display(), role, buffer), buffer)
    }

    fn driver(&self, gl: &Gl) -> Driver {
        let caps = gl.caps();
        let display = self.context.display();
        Driver {
            renderer: caps.renderer.clone(),
            version: caps.version_text.clone(),
            egl_vendor: display.vendor().to_owned(),
            platform: display.platform().to_string(),
            node: display.node().map(|node| node.path().display().to_string()),
            software: caps.is_software,
        }
    }
}

/// The report of a run that goes on, without its edges.
fn so_far(facts: &Report, done: u64, begun: Instant, passes: &PassTimes) -> Report {
    let mut report = Report { frames: done, ..facts.clone() };
    report.time(begun);
    passes.tell(&mut report);
    report
}

/// What is known of a sink before it has written anything.
fn sink_edge(graph: &Graph, targets: &[Target], pass: usize) -> report::Edge {
    report::Edge { input: graph.passes[pass].name.clone(), ..targets[pass].edge().cloned().unwrap_or_default() }
}

/// The error with the place of the key that it is about.
fn with_place(description: &Description, error: Error) -> Error {
    let key = error.op().strip_prefix("pass.").and_then(|key| key.rsplit_once('.'));
    let place = key.and_then(|(name, key)| {
        let pass = description.passes.get(name)?;
        match key {
            "wrap" => pass.wrap.as_ref().map(|wrap| wrap.span()),
            "mesh" => pass.mesh.as_ref().map(|mesh| mesh.span()),
            "compute" => pass.compute.as_ref().map(|compute| compute.span()),
            "wgpu" => pass.wgpu.as_ref().map(|file| file.span()),
            _ => None,
        }
    });
    match place {
        Some(place) => {
            let origin = &description.origin;
            error.with_span(Span::new(&origin.path, origin.text.clone(), place))
        }
        None => error,
    }
}
