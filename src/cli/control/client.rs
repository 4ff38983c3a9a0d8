//! `darkframe control SOCKET COMMAND…`: the other end of `--control`.
//!
//! In: a command, or lines of standard input. Out: the answers on standard output; exit code 1 where one is an error.
//! Not here: what a command means (`commands`).

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use darkframe::error::{Error, ErrorKind, Result};

/// A run that answers later hangs.
const LIMIT: Duration = Duration::from_secs(30);
/// No answer is longer.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The socket that the run was given with --control.
    socket: PathBuf,
    /// What to do: set NAME VALUE, get NAME, list, stats, reload, stop. Left out, lines of standard input are commands.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Sends commands and prints the answers.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let what = || arguments.socket.display();
    let socket = UnixStream::connect(&arguments.socket).map_err(|error| {
        let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
        let error = Error::from_io("control", what(), error);
        match (refused, error.kind()) {
            (true, _) => error.with_hint("the run that made this socket is gone"),
            (_, ErrorKind::NotFound) => error.with_hint("give the path that the run has with --control"),
            _ => error,
        }
    })?;
    socket.set_read_timeout(Some(LIMIT)).map_err(|error| Error::from_io("control", what(), error))?;
    let mut answers = BufReader::new(socket.try_clone().map_err(|error| Error::from_io("control", what(), error))?);
    let mut ask = |line: &str| -> Result<bool> {
        (&socket)
            .write_all(format!("{line}\n").as_bytes())
            .map_err(|error| Error::from_io("control", what(), error))?;
        let mut answer = String::new();
        let got = (&mut answers).take(MAX_ANSWER_BYTES).read_line(&mut answer);
        match got.map_err(|error| Error::from_io("control", what(), error))? {
            0 => Err(Error::new(ErrorKind::PeerClosed, "control", format!("{}: the run has ended", what()))),
            _ => Ok(print(line, answer.trim_end())),
        }
    };
    let mut fine = true;
    if !arguments.command.is_empty() {
        fine = ask(&arguments.command.join(" ").replace('\n', " "))?;
    } else {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| Error::from_io("control", "standard input", error))?;
            if !line.trim().is_empty() {
                fine &= ask(&line)?;
            }
        }
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints an answer; `false` where it is an error.
fn print(line: &str, answer: &str) -> bool {
    let Some(words) = answer.strip_prefix("ok") else {
        eprintln!("darkframe: {answer}");
        return false;
    };
    let words = words.trim_start();
    let command = line.split_whitespace().next().unwrap_or_default();
    // For people; a program gets the JSON as it came.
    let words = match (command, std::io::stdout().is_terminal()) {
        ("list", true) => table(words).unwrap_or_else(|| words.to_owned()),
        ("stats", true) => serde_json::from_str::<serde_json::Value>(words)
            .ok()
            .and_then(|value| serde_json::to_string_pretty(&value).ok())
            .unwrap_or_else(|| words.to_owned()),
        _ => words.to_owned(),
    };
    if !words.is_empty() {
        // A reader that closes early is no fault of ours.
        let _ = writeln!(std::io::stdout(), "{words}");
    }
    true
}

/// A line a parameter.
fn table(json: &str) -> Option<String> {
    let parameters: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
    let lines = parameters.iter().map(|parameter| {
        let text = |key: &str| match &parameter[key] {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let range = match (text("min").as_str(), text("max").as_str()) {
            ("", "") => String::new(),
            (min, max) => format!("  ({min}..{max})"),
        };
        format!("{} = {}{range}  {}", text("name"), text("value"), text("description")).trim_end().to_owned()
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}
