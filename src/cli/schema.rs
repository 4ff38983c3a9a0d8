//! `darkframe schema`.
//!
//! In: nothing. Out: the JSON Schema of pipeline files, or their reference as a page, on standard output.
//! Not here: what either says (`darkframe::pipeline::reference`).

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use darkframe::error::{Error, ErrorKind, Result};
use darkframe::pipeline::reference;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the reference page (docs/pipeline.md) instead.
    #[arg(long)]
    markdown: bool,
}

/// Prints the schema.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let text = match arguments.markdown {
        true => reference::markdown(),
        false => {
            let text = serde_json::to_string_pretty(&reference::json_schema());
            text.map_err(|error| Error::failed("schema", error.to_string()))? + "\n"
        }
    };
    match std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Error::from_io("write", "standard output", error))
    {
        // `darkframe schema | head`
        Err(error) if error.kind() != ErrorKind::PeerClosed => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}
