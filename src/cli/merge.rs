//! `darkframe merge JOB`.
//!
//! In: the manifests of a job's shards. Out: its files, or what is missing and the commands that draw it.
//! Not here: the joining (`darkframe::pipeline::merge`).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use darkframe::error::Result;
use darkframe::pipeline::description::FrameRange;
use darkframe::pipeline::merge;

use super::Output;

/// Frames are missing: the shards named are to be run again.
const INCOMPLETE: u8 = 3;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every frame is there and every file is whole; 1 failed, or two shards have different \
pictures of one frame; 3 frames are missing or damaged, and the commands that draw them are printed. Run it where the \
shards ran: the manifests name files as those did."
)]
pub struct Arguments {
    /// Folders with manifests (`--job` of the runs, by default NAME.job), or manifests.
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<PathBuf>,
    /// The job's frames, where no manifest has them all.
    #[arg(long, value_name = "A..B", value_parser = |text: &str| text.parse::<FrameRange>().map_err(|e| e.to_string()))]
    frames: Option<FrameRange>,
    /// Say what is missing, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Joins shards.
pub fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    let outcome = merge::merge(&arguments.jobs, arguments.frames, !arguments.dry_run)?;
    for missing in &outcome.missing {
        let sinks: Vec<&str> = missing.sinks.iter().map(String::as_str).collect();
        eprintln!("missing: frames {} of {} ({})", missing.frames, sinks.join(", "), missing.why);
        eprintln!("  {}", missing.again);
    }
    if !outcome.missing.is_empty() {
        let frames: u64 = outcome.missing.iter().filter_map(|missing| missing.frames.count()).sum();
        eprintln!("darkframe: {frames} of {} frames are missing; nothing was joined", outcome.frames);
        return Ok(ExitCode::from(INCOMPLETE));
    }
    if !output.quiet {
        for sink in &outcome.sinks {
            let what = match (sink.joined, arguments.dry_run) {
                (true, false) => "joined",
                (true, true) => "could be joined",
                (false, _) => "all there",
            };
            let (name, file) = (&sink.name, sink.file.display());
            eprintln!("sink {name}: {file}: {} frames, {} bytes, {what}", sink.frames, sink.bytes);
        }
        if !outcome.drivers.is_empty() {
            eprintln!("drawn by different drivers: {}", outcome.drivers.join(" | "));
        }
    }
    Ok(ExitCode::SUCCESS)
}
