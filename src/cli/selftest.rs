//! `darkframe selftest`: what this machine's drivers really do, proved by pixels.
//!
//! In: a board, which displays, which cases. Out: tables on standard output, JSON, a board file. Exit codes: 0 everything
//! that was tried is right, unsupported or known; 1 faults; 77 nothing could be tried.
//! Not here: the cases (the library's `selftest`), the processes that carry them out (`worker`).

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use darkframe::board::Board;
use darkframe::device::Device;
use darkframe::error::{Error, Result};
use darkframe::pipeline::sink::output::Output as File;
use darkframe::selftest::{Report, board_file, displays};

use super::Output;

pub mod display;
pub mod worker;

/// Nothing could be tried: what test runners take for a skip.
pub const NOTHING: u8 = 77;

#[derive(Debug, Args)]
pub struct Arguments {
    /// All outcomes as JSON.
    #[arg(long)]
    json: bool,
    /// Write a board file with the measured facts, and with who measured them, when, on which kernel and driver.
    #[arg(long, value_name = "FILE")]
    write_board: Option<PathBuf>,
    /// Who measures, for the board file and the report; USER@HOST where it is left out.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// A shipped board's name, or the path of a board file; found out where it is left out.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
    /// Only this display, e.g. gbm:/dev/dri/card0, surfaceless, device; may be given more than once.
    #[arg(long, value_name = "DISPLAY")]
    display: Vec<String>,
    /// Only cases whose line has this text, e.g. "yuv NV12" or "memory dumb"; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Seconds that a case may take before it counts as a hang.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Keep Darkframe's own rules about known faults of drivers: cases that they prevent are refused, not tried.
    #[arg(long)]
    keep_rules: bool,
}

/// Tries everything and prints what came out.
pub fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    let board = arguments.board.as_deref().map_or_else(Board::detect, Board::open)?;
    let device = Device::open(&board)?;
    let names = match arguments.display.is_empty() {
        true => displays(&device),
        false => arguments.display.clone(),
    };
    drop(device);
    let mut report = Report::new(&board.name, arguments.by.clone().unwrap_or_else(who));
    let options = display::Options {
        board: arguments.board.clone(),
        only: arguments.only.clone(),
        limit: Duration::from_secs(arguments.timeout),
        keep_rules: arguments.keep_rules,
        progress: output.terminal && !output.quiet,
    };
    for name in names {
        // The default display is the last resort of vendor drivers: elsewhere it is one of the others again.
        let drawn = report.displays.iter().any(|display| !display.driver.version.is_empty());
        if name == "default" && drawn && arguments.display.is_empty() {
            continue;
        }
        report.displays.push(display::try_all(&name, &options));
    }
    if let Some(path) = &arguments.write_board {
        let text = board_file(&report)
            .ok_or_else(|| Error::unsupported("--write-board", "no display draws here: there is nothing to write"))?;
        // What is written must be readable.
        Board::parse(path, &text)?;
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.commit()?;
    }
    let text = match arguments.json {
        true => {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|error| Error::failed("selftest", "the report does not become JSON").with_source(error))?
                + "\n"
        }
        false => report.render(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()),
    };
    // A reader that closes early (head) is no fault of ours.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Error::from_io("selftest", "standard output", error));
        }
        _ => {}
    }
    Ok(match (report.faults(), report.right() + report.known()) {
        (0, 0) => ExitCode::from(NOTHING),
        (0, _) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// USER@HOST.
fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| format!("user {}", nix::unistd::getuid()));
    let host = nix::sys::utsname::uname().map(|uname| uname.nodename().to_string_lossy().into_owned());
    format!("{user}@{}", host.unwrap_or_default())
}
