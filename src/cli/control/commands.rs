//! What a line of the control protocol means.
//!
//! In: one line. Out: one line, which begins with `ok` or `error`. Not here: sockets (`control`), what a parameter may be
//! (`darkframe::pipeline::parameters`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use darkframe::error::{Error, ErrorKind, Result, nearest};
use darkframe::pipeline::runner::live::Live;
use serde::Serialize;

use super::super::watch::Reloader;

/// How long a question may wait for the drawing thread.
const PATIENCE: Duration = Duration::from_secs(1);
/// A reload compiles shaders.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);
/// No answer repeats more of what was given.
const MAX_QUOTED: usize = 200;

/// The commands, and how each is written.
const COMMANDS: [(&str, &str); 7] = [
    ("set", "set NAME VALUE [; NAME VALUE]…"),
    ("get", "get NAME"),
    ("list", "list"),
    ("stats", "stats"),
    ("reload", "reload"),
    ("stop", "stop"),
    ("help", "help"),
];

/// Carries commands out.
pub struct Commands {
    pub live: Arc<Live>,
    /// Ends the run.
    pub stop: Arc<AtomicBool>,
    /// Set where a command has ended it.
    pub stopped: Arc<AtomicBool>,
    /// Reads the pipeline again, where the run takes edits.
    pub reloader: Option<Reloader>,
}

impl Commands {
    /// Answers a line, without its line feed. An empty line has no answer.
    pub fn answer(&self, line: &[u8]) -> Option<String> {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() {
            return None;
        }
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let answer = match self.carry_out(command, rest.trim()) {
            Ok(words) if words.is_empty() => "ok".into(),
            Ok(words) => format!("ok {words}"),
            Err(error) => format!("error {error}"),
        };
        Some(one_line(&answer))
    }

    fn carry_out(&self, command: &str, rest: &str) -> Result<String> {
        match command {
            "set" => self.live.parameters.set(rest).map(|()| String::new()),
            "get" => self.live.parameters.snapshot().get(rest).map(|parameter| parameter.text()),
            "list" => json(&Vec::from(self.live.parameters.snapshot())),
            "stats" => match self.live.report(PATIENCE) {
                Some(report) => json(&report),
                None => Err(Error::new(ErrorKind::Timeout, "stats", "no frame has been drawn yet")),
            },
            "reload" => self.reload(),
            "stop" => {
                self.stopped.store(true, Ordering::Relaxed);
                self.stop.store(true, Ordering::Relaxed);
                Ok(String::new())
            }
            "help" => Ok(COMMANDS.map(|(_, usage)| usage).join(" | ")),
            _ => {
                let error = Error::invalid("control", format!("there is no command \"{command}\""));
                Err(match nearest(command, COMMANDS.map(|(name, _)| name)) {
                    Some(name) => error.with_hint(format!("did you mean \"{name}\"?")),
                    None => error.with_hint(format!("commands: {}", COMMANDS.map(|(name, _)| name).join(", "))),
                })
            }
        }
    }

    fn reload(&self) -> Result<String> {
        let Some(reloader) = &self.reloader else {
            let error = Error::unsupported("reload", "each pass must be drawn as it is written for that");
            return Err(error.with_hint("start the run with --watch"));
        };
        let reloaded = reloader.reload(Some(RELOAD_PATIENCE))?;
        Ok(match (reloaded.compiled.as_slice(), reloaded.values) {
            ([], false) => "nothing changed".into(),
            ([], true) => "values".into(),
            (passes, _) => format!("compiled {}", passes.join(" ")),
        })
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::failed("control", error.to_string()))
}

/// No control characters, and errors no longer than a line should be: what was given may be anything.
fn one_line(answer: &str) -> String {
    let plain = answer.chars().map(|c| if c.is_control() { ' ' } else { c });
    match answer.starts_with("error") && answer.len() > MAX_QUOTED * 4 {
        true => plain.take(MAX_QUOTED).chain("…".chars()).collect(),
        false => plain.collect(),
    }
}
