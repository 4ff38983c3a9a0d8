//! The command line: arguments in, words and an exit code out.
//!
//! In: arguments, the environment. Out: pictures on standard output only where a sink says `-`; everything for people
//! on standard error. Exit codes: 0 done, 1 failed, 2 wrong usage or a wrong description, 3 frames are missing
//! (`merge`).
//! Not here: any work (the library does it).

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use darkframe::error::{Error, ErrorKind};

mod boards;
mod check;
mod control;
mod diagnostic;
mod doctor;
mod merge;
mod metrics;
mod probe;
mod prove;
mod run;
mod schema;
mod selftest;
mod summary;
mod watch;

/// Headless EGL / OpenGL ES rendering into dma-bufs.
#[derive(Debug, Parser)]
#[command(name = "darkframe", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say more: -v what was chosen and why, -vv every step, -vvv everything. RUST_LOG overrides it.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// Say nothing but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline file.
    Run(Box<run::Arguments>),
    /// Read a pipeline file and everything it names, and say what is wrong, without drawing.
    Check(check::Arguments),
    /// Change parameters of a run that goes on, and ask what it does (`run --control`).
    Control(control::client::Arguments),
    /// Join the shards of a job, or say which frames are missing.
    Merge(merge::Arguments),
    /// Print the JSON Schema of pipeline files, for editors; or the reference of every key.
    Schema(schema::Arguments),
    /// Look at this machine: nodes, heaps, EGL platforms, extensions, formats, limits.
    Probe(probe::Arguments),
    /// Say why an import fails and what to change: replays it in variants, and holds its numbers against drivers' rules.
    Doctor(doctor::Arguments),
    /// Board files: which there are, what is in one, and which fits this machine.
    Boards(boards::Arguments),
    /// Prove by pixels what this machine's drivers do: every memory, format, fence and limit, each in a process of its own.
    Selftest(selftest::Arguments),
    /// Internal: carries out the imports that `run` asks for, in a process that may crash.
    #[command(hide = true)]
    ProveImport(prove::Arguments),
    /// Internal: carries out the cases of `selftest`, in a process that may crash.
    #[command(hide = true)]
    SelftestWorker(selftest::worker::Arguments),
}

/// What every command may ask.
#[derive(Clone, Copy, Debug)]
struct Output {
    quiet: bool,
    /// Standard error is a terminal.
    terminal: bool,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output { quiet: arguments.quiet, terminal: std::io::stderr().is_terminal() };
    start_log(arguments.verbose, output);
    let result = match &arguments.command {
        Command::Run(arguments) => run::run(arguments, output),
        Command::Check(arguments) => check::run(arguments, output),
        Command::Control(arguments) => control::client::run(arguments),
        Command::Merge(arguments) => merge::run(arguments, output),
        Command::Schema(arguments) => schema::run(arguments),
        Command::Probe(arguments) => probe::run(arguments),
        Command::ProveImport(arguments) => prove::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Boards(arguments) => boards::run(arguments),
        Command::Selftest(arguments) => selftest::run(arguments, output),
        Command::SelftestWorker(arguments) => selftest::worker::run(arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            diagnostic::print(&error, output.terminal);
            exit_code(&error)
        }
    }
}

/// 2 where the user's text is wrong, or the file or board that the command line names is none; 1 for everything else.
fn exit_code(error: &Error) -> ExitCode {
    let usage = |error: &Error| error.kind() == ErrorKind::Config || matches!(error.op(), "pipeline" | "board");
    ExitCode::from(if usage(error) || error.others().iter().any(usage) { 2 } else { 1 })
}

fn start_log(verbose: u8, output: Output) {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;
    let level = match (output.quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "darkframe=warn",
        (_, 1) => "darkframe=info",
        (_, 2) => "darkframe=debug",
        (_, _) => "trace",
    };
    let parse = |text: &str| text.parse::<Targets>().ok();
    let filter =
        std::env::var("RUST_LOG").ok().and_then(|text| parse(&text)).or_else(|| parse(level)).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(output.terminal);
    // A second logger cannot be there yet; if it were, it would do.
    let _ = tracing_subscriber::registry().with(lines.with_target(false).without_time().with_filter(filter)).try_init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
