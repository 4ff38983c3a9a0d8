//! `darkframe check FILE`.
//!
//! In: a pipeline file. Out: what it would do, or everything that is wrong with it.
//! Not here: drawing. The driver compiles the shaders, where there is one; streams, producers and sinks are not opened.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use darkframe::board::{Board, Limits};
use darkframe::device::Device;
use darkframe::egl::{Context, ContextOptions, Display};
use darkframe::error::{Error, Result};
use darkframe::gles::Gl;
use darkframe::pipeline::description::FrameRange;
use darkframe::pipeline::faults::Faults;
use darkframe::pipeline::plan::{Known, Plan};
use darkframe::pipeline::runner::compile;
use darkframe::pipeline::{Description, board_limits};

use super::{Output, diagnostic, exit_code};

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
    /// Whether a driver compiles the shaders: where there is one, never, or it is an error where there is none.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "never", "always"])]
    gpu: String,
    /// Also hold it against the limits of this board (a shipped board's name, or a file), which need not be this machine:
    /// what its GPU cannot do is an error with the line in the shader.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
    /// Print what is wrong as JSON on standard output: a list of errors, empty where nothing is.
    #[arg(long, conflicts_with = "plan")]
    json: bool,
}

/// Reads a pipeline file and what the command line changes in it.
///
/// # Errors
/// All that is wrong in it, the first with the others behind it.
pub fn read(file: &Path, set: &[String], frames: Option<FrameRange>) -> Result<Description> {
    let (description, mut faults) = Description::open_partly(file)?;
    let Some(mut description) = description else {
        faults.into_result()?;
        return Description::open(file);
    };
    for assignment in set {
        faults.take(description.set(assignment));
    }
    match faults.is_empty() {
        true => Ok(description),
        // What else is wrong.
        false => Plan::look(&description, frames, faults).map(|_| description),
    }
}

/// Who would draw. `limits`: with the OpenGL ES version of another board at most.
fn driver(description: &Description, limits: Option<&Limits>) -> Result<(Context, Known)> {
    let board = match &description.board {
        Some(name) => Board::open(name.get_ref()),
        None => Board::detect(),
    };
    let display = Display::open(&Device::open(&board?)?)?;
    let version = limits.and_then(|limits| limits.gles.as_deref()).and_then(|version| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    let context =
        Context::with_options(&display, &ContextOptions { max_version: version, ..ContextOptions::default() })?;
    let gl = context.make_current()?;
    let caps = gl.caps();
    let known = Known {
        renderer: format!("{} ({})", caps.renderer, caps.version_text),
        software: caps.is_software,
        es3: caps.at_least(3, 0),
        copies: display.dma_buf_import().is_none(),
    };
    drop(gl);
    Ok((context, known))
}

/// Compiles the shaders; says who did, or why nobody.
fn compile_with(arguments: &Arguments, description: &Description, limits: Option<&Limits>) -> Result<String> {
    if arguments.gpu == "never" {
        return Ok("shaders were not compiled: --gpu never".into());
    }
    let (context, known) = match driver(description, limits) {
        Ok(found) => found,
        Err(error) if arguments.gpu == "always" => return Err(error),
        Err(error) => return Ok(format!("shaders were not compiled: no driver: {error}")),
    };
    // A plan of its own: compiling takes it apart.
    let mut plan = Plan::look(description, None, Faults::default())?;
    let mut faults = Faults::default();
    let gl: Gl = context.make_current()?;
    let no_vulkan = compile::compile(&gl, &mut plan, description, &mut faults)?;
    faults.into_result()?;
    match no_vulkan {
        Some(error) if arguments.gpu == "always" => Err(error),
        Some(error) => Ok(format!("shaders compiled by {}, but those of wgpu: {error}", known.renderer)),
        None => Ok(format!("shaders compiled by {}", known.renderer)),
    }
}

/// Checks a pipeline.
pub fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    let checked = check(arguments);
    if arguments.json {
        let errors = checked.as_ref().err().map_or_else(Vec::new, all);
        let list: Vec<_> = errors.iter().map(|error| diagnostic::json(error)).collect();
        let text = serde_json::to_string_pretty(&list).map_err(|error| Error::failed("--json", error.to_string()))?;
        println!("{text}");
        return Ok(checked.err().map_or(ExitCode::SUCCESS, |error| exit_code(&error)));
    }
    let (mut plan, compiled, description) = checked?;
    if arguments.plan {
        let known =
            if arguments.gpu == "never" { None } else { driver(&description, None).ok().map(|(_, known)| known) };
        plan.settle_for(known.as_ref().is_none_or(|known| known.software));
        for line in plan.explain(known.as_ref()) {
            println!("{line}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !output.quiet {
        for line in plan.describe() {
            println!("{line}");
        }
        for source in &plan.sources {
            source.notes().iter().for_each(|note| println!("{}: {note}", source.name()));
        }
        println!("{compiled}");
    }
    Ok(ExitCode::SUCCESS)
}

fn check(arguments: &Arguments) -> Result<(Plan, String, Description)> {
    let description = read(&arguments.file, &arguments.set, None)?;
    let plan = Plan::look(&description, None, Faults::default())?;
    let board = arguments.board.as_deref().map(Board::open).transpose()?;
    if let Some(board) = &board {
        // Each pass by itself: places in files are those of the author's.
        let mut apart = description.clone();
        apart.set("optimize=false")?;
        let mut faults = Faults::default();
        let plan = Plan::look(&apart, None, Faults::default())?;
        board_limits::check(&plan, &board.name, &board.limits, &mut faults);
        faults.into_result()?;
    }
    let mut compiled = compile_with(arguments, &description, board.as_ref().map(|board| &board.limits))?;
    if let Some(board) = &board {
        compiled.push_str(&format!("\nnothing is beyond the limits of {}", board.name));
        for fault in &board.fault {
            compiled.push_str(&format!("\nknown of {}: {} ({})", board.name, fault.what, fault.source));
        }
    }
    Ok((plan, compiled, description))
}

/// The error and those behind it.
fn all(error: &Error) -> Vec<&Error> {
    std::iter::once(error).chain(error.others()).collect()
}
