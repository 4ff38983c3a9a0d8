//! `darkframe check FILE`.
//!
//! In: a pipeline file. Out: what it would do, or what is wrong with it.
//! Not here: drawing. With `--plan` the driver is asked who it is, where there is one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use darkframe::board::Board;
use darkframe::device::Device;
use darkframe::egl::{Context, Display};
use darkframe::error::Result;
use darkframe::pipeline::Description;
use darkframe::pipeline::plan::{Known, Plan};

use super::Output;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The pipeline file.
    file: PathBuf,
    /// Change a value first, as in `run`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Say how it would be drawn and why: what is fused, how inputs are read, what is used again.
    #[arg(long)]
    plan: bool,
}

/// Who would draw; nobody where no driver starts.
fn driver(description: &Description) -> Option<Known> {
    let board = match &description.board {
        Some(name) => Board::open(name.get_ref()),
        None => Board::detect(),
    };
    let device = Device::open(&board.ok()?).ok()?;
    let display = Display::open(&device).ok()?;
    let context = Context::new(&display).ok()?;
    let gl = context.make_current().ok()?;
    let caps = gl.caps();
    Some(Known {
        renderer: format!("{} ({})", caps.renderer, caps.version_text),
        software: caps.is_software,
        es3: caps.at_least(3, 0),
        copies: display.dma_buf_import().is_none(),
    })
}

/// Checks a pipeline.
pub fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    let mut description = Description::open(&arguments.file)?;
    for assignment in &arguments.set {
        description.set(assignment)?;
    }
    let plan = Plan::new(&description, None)?;
    if arguments.plan {
        for line in plan.explain(driver(&description).as_ref()) {
            println!("{line}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !output.quiet {
        for line in plan.describe() {
            println!("{line}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
