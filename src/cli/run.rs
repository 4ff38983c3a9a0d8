//! `darkframe run FILE`.
//!
//! In: a pipeline file and what the command line changes in it. Out: its pictures, a summary, a report.
//! Not here: the running (`darkframe::pipeline`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use darkframe::board::Board;
use darkframe::error::{Error, ErrorKind, Result};
use darkframe::pipeline::description::{FrameRange, Require};
use darkframe::pipeline::runner::{self, Options, Progress};
use darkframe::pipeline::sink::output::Output as File;
use darkframe::pipeline::{Description, Report};

use super::prove::ChildProver;
use super::{Output, summary};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The pipeline file.
    file: PathBuf,
    /// Fail where pixels would have to be copied.
    #[arg(long, value_name = "WHAT", value_parser = ["zero-copy"])]
    require: Option<String>,
    /// Change a value: pass.NAME.UNIFORM=1.2, pass.NAME.size=640x360, source.NAME.file=PATH, sink.NAME.file=PATH, …
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Which frames to make: A..B (B left out), A.., ..B, or a number.
    #[arg(long, value_name = "A..B", value_parser = |text: &str| text.parse::<FrameRange>().map_err(|e| e.to_string()))]
    frames: Option<FrameRange>,
    /// A shipped board's name, or the path of a board file.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
    /// Write what was done, how, and how long it took, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs a pipeline.
pub fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    let mut description = Description::open(&arguments.file)?;
    for assignment in &arguments.set {
        description.set(assignment)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    catch_signals(&stop)?;
    let bar = (output.terminal && !output.quiet).then(Bar::default);
    let board = arguments.board.clone().or(description.board.as_ref().map(|board| board.get_ref().clone()));
    let options = Options {
        require: arguments.require.as_ref().map(|_| Require::ZeroCopy),
        frames: arguments.frames,
        board: arguments.board.as_deref().map(Board::open).transpose()?,
        stop: stop.clone(),
        live: None,
        prover: Some(Box::new(ChildProver::new(board))),
        progress: bar.map(|bar| Box::new(move |progress| bar.show(progress)) as Box<dyn FnMut(Progress)>),
        max_version: None,
    };
    // That it cannot be written is said now, not after the run.
    let file = arguments.report.as_deref().map(open_report).transpose()?;
    let report = runner::run(&description, options)?;
    if let Some(file) = file {
        write_report(file, &report)?;
    }
    if !output.quiet {
        summary::print(&report);
    }
    // The shell's convention for a command ended by SIGINT.
    Ok(if stop.load(Ordering::Relaxed) { ExitCode::from(130) } else { ExitCode::SUCCESS })
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

fn open_report(path: &std::path::Path) -> Result<File> {
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
