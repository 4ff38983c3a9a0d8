//! `darkframe probe [--json]`.
//!
//! In: a board. Out: what this machine has, on standard output: one screen, or everything as JSON.
//! Not here: looking (the library's `probe`).

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use darkframe::board::Board;
use darkframe::error::{Error, Result};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Everything that was found, as JSON.
    #[arg(long)]
    json: bool,
    /// A shipped board's name, or the path of a board file; found out where it is left out.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
}

/// Looks at this machine and prints what is there.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let board = arguments.board.as_deref().map_or_else(Board::detect, Board::open)?;
    let report = darkframe::probe::probe(&board)?;
    let text = match arguments.json {
        true => {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|error| Error::failed("probe", "the report does not become JSON").with_source(error))? + "\n"
        }
        false => report.to_string(),
    };
    // A reader that closes early (head) is no fault of ours.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::from_io("probe", "standard output", error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
