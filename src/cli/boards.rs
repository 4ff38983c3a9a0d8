//! `darkframe boards [list|show|detect]`.
//!
//! In: nothing, or a name. Out: the shipped board files, the text of one, or which one fits this machine and why.
//! Not here: reading board files (the library's `board`).

use std::process::ExitCode;

use clap::{Args, Subcommand};
use darkframe::board::{Board, Machine};
use darkframe::device::Device;
use darkframe::egl::{Context, Display};
use darkframe::error::{Error, Result};

use super::prove::in_another_process;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every shipped board (the default).
    List,
    /// The file of a board, with the source of every fact.
    Show {
        /// A shipped board's name.
        name: String,
    },
    /// Which board fits this machine, and why.
    Detect {
        /// Do not start the GL driver to ask for its renderer.
        #[arg(long)]
        no_gpu: bool,
    },
    /// Internal: prints `GL_RENDERER`.
    #[command(hide = true)]
    Renderer,
}

/// Prints what was asked for.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.action.as_ref().unwrap_or(&Action::List) {
        Action::List => {
            for (name, board) in Board::shipped()? {
                let what = Board::text(name).and_then(|text| text.lines().next()).unwrap_or("");
                let kept = if board.fault.is_empty() { "" } else { " *" };
                println!("{name:<18} {}{kept}", what.trim_start_matches("# "));
            }
            println!("\n* has known faults: `darkframe boards show NAME`");
        }
        Action::Show { name } => {
            // The error of an unknown name has the nearest.
            Board::open(name)?;
            match Board::text(name) {
                Some(text) => print!("{text}"),
                None => {
                    print!("{}", std::fs::read_to_string(name).map_err(|error| Error::from_io("board", name, error))?)
                }
            }
        }
        Action::Detect { no_gpu } => detect(*no_gpu)?,
        Action::Renderer => println!("{}", renderer()?),
    }
    Ok(ExitCode::SUCCESS)
}

fn renderer() -> Result<String> {
    let display = Display::open(&Device::open(&Board::detect()?)?)?;
    let context = Context::new(&display)?;
    let gl = context.make_current()?;
    Ok(gl.caps().renderer.clone())
}

fn detect(no_gpu: bool) -> Result<()> {
    let mut machine = Machine::this();
    if !no_gpu {
        // A driver may crash at its start.
        machine.gl_renderer = in_another_process(&["boards", "renderer"]);
    }
    let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    println!("compatible   {}", list(&machine.compatible));
    println!("DRM drivers  {}", list(&machine.drm_drivers));
    println!("GL_RENDERER  {}", machine.gl_renderer.as_deref().unwrap_or("not asked, or no answer"));
    match Board::fitting(&machine)? {
        Some((name, board)) => {
            let mut why = Vec::new();
            let common = |wanted: &[String], found: &[String]| {
                wanted.iter().filter(|name| found.contains(name)).cloned().collect::<Vec<_>>()
            };
            why.extend(common(&board.matches.compatible, &machine.compatible));
            why.extend(common(&board.matches.drm_drivers, &machine.drm_drivers));
            let renderer = machine.gl_renderer.as_deref().unwrap_or_default();
            why.extend(board.matches.gl_renderer.iter().filter(|part| renderer.contains(part.as_str())).cloned());
            println!("board        {name} ({})", why.join(", "));
        }
        None => {
            println!("board        generic (no shipped board fits; `darkframe selftest --write-board FILE` makes one)")
        }
    }
    Ok(())
}
