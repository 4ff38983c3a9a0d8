//! `darkframe check FILE`.
//!
//! In: a pipeline file. Out: what it would do, or what is wrong with it.
//! Not here: drivers; nothing is drawn and no shader is compiled.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use darkframe::error::Result;
use darkframe::pipeline::{Description, plan::Plan};

use super::Output;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The pipeline file.
    file: PathBuf,
    /// Change a value first, as in `run`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Checks a pipeline.
pub fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    let mut description = Description::open(&arguments.file)?;
    for assignment in &arguments.set {
        description.set(assignment)?;
    }
    let plan = Plan::new(&description, None)?;
    if !output.quiet {
        for line in plan.describe() {
            println!("{line}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
