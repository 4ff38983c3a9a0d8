//! `darkframe run FILE`.
//!
//! In: a pipeline file and what the command line changes in it. Out: its pictures, a summary, a report.
//! Not here: the running (`darkframe::pipeline`).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use darkframe::board::Board;
use darkframe::error::{Error, ErrorKind, Result};
use darkframe::gles::ProgramCache;
use darkframe::pipeline::description::{FrameRange, Require};
use darkframe::pipeline::parameters::ParameterSet;
use darkframe::pipeline::resume::JobOptions;
use darkframe::pipeline::runner::live::Live;
use darkframe::pipeline::runner::{self, Options, Progress};
use darkframe::pipeline::shard::ShardChoice;
use darkframe::pipeline::sink::output::{Output as File, is_stdout};
use darkframe::pipeline::source::is_stdin;
use darkframe::pipeline::{Description, Report};

use super::control::{Commands, Place, Server};
use super::metrics::{Address, Listener, Metrics};
use super::prove::ChildProver;
use super::watch::{Reloader, Watch};
use super::{Output, summary};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The pipeline file.
    file: PathBuf,
    /// Fail where pixels would have to be copied.
    #[arg(long, value_name = "WHAT", value_parser = ["zero-copy"])]
    require: Option<String>,
    /// Change a value: PARAMETER=1.2, pass.NAME.UNIFORM=1.2, pass.NAME.size=640x360, source.NAME.file=PATH, sink.NAME.file=PATH, …
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Take commands while the run goes on: on a socket that is made at PATH (`darkframe control PATH list`), or on
    /// standard input with `-`.
    #[arg(long, value_name = "PATH|-", conflicts_with_all = ["shard", "resume", "job"])]
    control: Option<PathBuf>,
    /// Take edits of the pipeline file (uniforms and parameters), of its shaders and what they include into the run. Each
    /// pass is then drawn by itself (without the steps fuse, four-wide, constants and alpha of `optimize`).
    #[arg(long, conflicts_with_all = ["shard", "resume", "job"])]
    watch: bool,
    /// Which frames to make: A..B (B left out), A.., ..B, or a number.
    #[arg(long, value_name = "A..B", value_parser = |text: &str| text.parse::<FrameRange>().map_err(|e| e.to_string()))]
    frames: Option<FrameRange>,
    /// Draw one shard of a job: I of N blocks, from 0; or as Slurm or Kubernetes says. Single files become parts.
    #[arg(long, value_name = "I/N|slurm[/N]|kubernetes[/N]", help_heading = "Large jobs")]
    shard: Option<String>,
    /// Draw only what is not whole on disk: by the manifest of an earlier run of the same shard, and its checksums.
    #[arg(long, help_heading = "Large jobs")]
    resume: bool,
    /// Folder of the job's manifests [default: NAME.job for NAME.toml]
    #[arg(long, value_name = "DIR", help_heading = "Large jobs")]
    job: Option<PathBuf>,
    /// Passes that read the frame before: draw so many frames before each shard, and do not write them.
    #[arg(long, value_name = "FRAMES", help_heading = "Large jobs")]
    warm_up: Option<u64>,
    /// A shipped board's name, or the path of a board file.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
    /// Compile every shader again. Else drivers that use a GPU get programs that they linked in an earlier run, from
    /// $XDG_CACHE_HOME/darkframe/programs.
    #[arg(long)]
    no_program_cache: bool,
    /// Do not ask the driver how long the GPU takes for each pass (GL_EXT_disjoint_timer_query).
    #[arg(long)]
    no_gpu_times: bool,
    /// Write what was done, how, and how long it took, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write counts and times every five seconds and at the end, in Prometheus text format (textfile collector: *.prom).
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Give the same over HTTP to whoever asks for /metrics: on PORT of 127.0.0.1 (0: a free one), on ADDRESS:PORT, or
    /// on a socket that is made at PATH.
    #[arg(long, value_name = "PORT|ADDRESS:PORT|unix:PATH", value_parser = |text: &str| text.parse::<Address>())]
    metrics_listen: Option<Address>,
}

/// Runs a pipeline.
pub fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    let description = super::check::read(&arguments.file, &arguments.set, arguments.frames)?;
    let live = Arc::new(Live::new(ParameterSet::new(&description)?));
    let stop = Arc::new(AtomicBool::new(false));
    catch_signals(&stop)?;
    let bar = (output.terminal && !output.quiet).then(Bar::default);
    let board = arguments.board.clone().or(description.board.as_ref().map(|board| board.get_ref().clone()));
    let job = job(arguments)?;
    let options = Options {
        job,
        require: arguments.require.as_ref().map(|_| Require::ZeroCopy),
        frames: arguments.frames,
        board: arguments.board.as_deref().map(Board::open).transpose()?,
        stop: stop.clone(),
        live: Some(live.clone()),
        edits: arguments.watch,
        prover: Some(Box::new(ChildProver::new(board))),
        progress: bar.map(|bar| Box::new(move |progress| bar.show(progress)) as Box<dyn FnMut(Progress)>),
        max_version: None,
        no_gpu_times: arguments.no_gpu_times,
        programs: if arguments.no_program_cache { None } else { program_cache() },
    };
    let reloader = arguments.watch.then(|| Reloader {
        live: live.clone(),
        file: arguments.file.clone(),
        set: arguments.set.clone(),
    });
    let stopped = Arc::new(AtomicBool::new(false));
    let commands =
        Commands { live: live.clone(), stop: stop.clone(), stopped: stopped.clone(), reloader: reloader.clone() };
    let control = arguments.control.as_deref().map(|path| Server::start(&place(path, &description)?, commands));
    let control = control.transpose()?;
    let watch = reloader.map(|reloader| Watch::start(reloader, &description, output)).transpose()?;
    let metrics = arguments.metrics.clone().map(|path| Metrics::start(path, live.clone())).transpose()?;
    let listener =
        arguments.metrics_listen.as_ref().map(|address| Listener::start(address, live.clone())).transpose()?;
    if let (Some(listener), false) = (&listener, output.quiet) {
        eprintln!("metrics: {}", listener.place());
    }
    // That it cannot be written is said now, not after the run.
    let file = arguments.report.as_deref().map(open_report).transpose()?;
    let report = runner::run(&description, options);
    drop((watch, control, metrics, listener));
    let report = report?;
    if let Some(file) = file {
        write_report(file, &report)?;
    }
    if !output.quiet {
        summary::print(&report);
    }
    // The shell's convention for a command ended by SIGINT.
    let interrupted = stop.load(Ordering::Relaxed) && !stopped.load(Ordering::Relaxed);
    Ok(if interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS })
}

/// Where commands come from.
fn place(path: &Path, description: &Description) -> Result<Place> {
    if path != Path::new("-") {
        return Ok(Place::Socket(path.to_owned()));
    }
    let file = |file: Option<&Path>| file.is_some_and(is_stdin);
    if let Some((name, _)) =
        description.sources.iter().find(|(_, source)| file(source.file.as_ref().map(|file| file.get_ref().as_path())))
    {
        let error = Error::new(ErrorKind::Config, "--control -", format!("source \"{name}\" reads standard input"));
        return Err(error.with_hint("give the path of a socket instead"));
    }
    let mut outputs = description.sinks.values().filter_map(|sink| sink.file.as_ref());
    Ok(Place::Standard { answer_on_error: outputs.any(|file| is_stdout(file.get_ref())) })
}

/// Where programs are kept. `DARKFRAME_PROGRAM_CACHE=0` keeps none, `1` keeps those of drivers that draw with the CPU too.
fn program_cache() -> Option<ProgramCache> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let cache = ProgramCache::new(base.filter(|base| base.is_absolute())?.join("darkframe/programs"));
    match std::env::var("DARKFRAME_PROGRAM_CACHE").as_deref() {
        Ok("0") => None,
        Ok("1") => Some(cache.on_software(true)),
        _ => Some(cache),
    }
}

/// What the command line says of a job; none of it is read from the environment unasked.
fn job(arguments: &Arguments) -> Result<Option<JobOptions>> {
    let variable = |name: &str| std::env::var(name).ok();
    let choice = arguments.shard.as_deref().map(str::parse::<ShardChoice>).transpose()?;
    let shard = choice.map(|choice| choice.resolve(variable)).transpose()?;
    if shard.is_none() {
        for (name, engine) in [("SLURM_ARRAY_TASK_ID", "slurm"), ("JOB_COMPLETION_INDEX", "kubernetes")] {
            if variable(name).is_some() {
                tracing::warn!(
                    "{name} is set, and this run draws all frames: --shard {engine} would draw a share of them"
                );
            }
        }
    }
    if shard.is_none() && !arguments.resume && arguments.job.is_none() {
        return Ok(None);
    }
    let folder = arguments.job.clone().unwrap_or_else(|| {
        let mut name = arguments.file.file_stem().map_or_else(|| "darkframe".into(), ToOwned::to_owned);
        name.push(".job");
        name.into()
    });
    let settings = arguments.set.clone();
    Ok(Some(JobOptions { folder, shard, resume: arguments.resume, warm_up: arguments.warm_up, settings }))
}

/// The first signal lets the frames in flight finish; a second one ends the process at once.
fn catch_signals(stop: &Arc<AtomicBool>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    // A write beyond `ulimit -f` is then an error that removes the half file, not the end of the process.
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .map_err(|error| Error::from_io("sigaction", "SIGXFSZ", error))?;
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Error::from_io("sigaction", format!("signal {signal}"), error))?;
    }
    Ok(())
}

fn open_report(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| error.in_context("--report"))
}

fn write_report(mut file: File, report: &Report) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(report)
        .map_err(|error| Error::new(ErrorKind::Failed, "--report", error.to_string()))?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.commit().map(|_| ())
}

/// The bar on a terminal.
struct Bar(indicatif::ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        let bar = indicatif::ProgressBar::no_length();
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr_with_hz(8));
        Self(bar)
    }
}

impl Bar {
    fn show(&self, progress: Progress) {
        let template = match progress.total {
            Some(_) => "{bar:30} {pos}/{len} frames  {per_sec}  {eta} left",
            None => "{spinner} {pos} frames  {per_sec}",
        };
        if self.0.position() == 0
            && let Ok(style) = indicatif::ProgressStyle::with_template(template)
        {
            self.0.set_style(style);
        }
        if let Some(total) = progress.total {
            self.0.set_length(total);
        }
        self.0.set_position(progress.done);
        if progress.finished {
            self.0.finish_and_clear();
        }
    }
}
