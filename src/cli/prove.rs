//! Proofs of imports in a process of their own: the command runs itself again, as `darkframe prove-import`.
//!
//! In: trials of a run. Out: whether the driver lived through them; a crash or a hang is a result like any other.
//! Not here: what a trial does (`darkframe::pipeline::runner::trial`).
//!
//! Results are kept in `$XDG_CACHE_HOME/darkframe/imports` (`~/.cache` where that is not set), one a line, with
//! driver, kernel, allocator, format and size class: a known way costs the next start nothing. Lines that are none are
//! ignored; the file may be deleted at any time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::Args;
use darkframe::board::Board;
use darkframe::buffer::Buffer;
use darkframe::error::{Error, Result};
use darkframe::pipeline::runner::trial::{self, Prover, ReceivedTrial, Trial};
use darkframe::pipeline::sink::output::Output as File;

/// A driver that needs longer for one import and one draw hangs.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Arguments {
    /// As in `run`.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
    /// One trial of memory that is this process's standard input, output and error, as far as there is any.
    #[arg(long, value_name = "TRIAL")]
    received: Option<String>,
}

/// The other process: trials on standard input, answers on standard output.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    use nix::sys::resource::{Resource, setrlimit};
    // The crash is expected; its image is of no use. Where the limit cannot be set, a core file is no harm.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let board = arguments.board.as_deref().map_or_else(Board::detect, Board::open)?;
    if let Some(line) = &arguments.received {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        // Nothing is printed from here on; either way it has lived.
        let lived = ReceivedTrial::carry_out(&board, line, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
        return Ok(if lived.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    trial::serve(&board, std::io::stdin().lock(), std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the other process, which is started at the first question that the cache has no answer to.
pub struct ChildProver {
    board: Option<String>,
    state: Mutex<State>,
}

struct State {
    worker: Option<Worker>,
    cache: Cache,
}

impl ChildProver {
    /// `board` is what the run's board was found by.
    ///
    /// On a machine with DRM nodes of which nothing is known, the other process starts now, beside this one's driver.
    pub fn new(board: Option<String>) -> Self {
        let cache = Cache::open();
        let nodes = std::fs::read_dir("/dev/dri").is_ok_and(|mut nodes| nodes.next().is_some());
        let worker = match nodes && cache.results.is_empty() {
            true => Worker::start(board.as_deref()).ok(),
            false => None,
        };
        Self { board, state: Mutex::new(State { worker, cache }) }
    }
}

impl Drop for ChildProver {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.worker.is_some() && state.cache.results.is_empty() {
            // Nothing was asked: this driver imports nothing. The next start shall not begin by starting a process.
            state.cache.store("import of nothing".into(), "ok");
        }
    }
}

fn refused(trial: &dyn std::fmt::Display, how: &str, where_from: &str) -> Result<()> {
    let detail = format!("CRASH: {how} in {trial}{where_from}");
    Err(Error::unsupported("import", detail).with_hint("this way is not used; a newer driver may do it"))
}

impl State {
    /// What an earlier run found.
    fn known(&self, trial: &dyn std::fmt::Display, key: &str) -> Option<Result<()>> {
        Some(match self.cache.results.get(key)?.as_str() {
            "ok" => Ok(()),
            how => refused(trial, how, &format!(" (known from {})", self.cache.name())),
        })
    }

    /// Keeps and tells how the other process ended.
    fn ended(&mut self, trial: &dyn std::fmt::Display, key: String, status: ExitStatus) -> Result<()> {
        let how = match status.signal() {
            Some(signal) => signal_hook::low_level::signal_name(signal).unwrap_or("a signal").to_owned(),
            None => format!("the process ended ({status})"),
        };
        // Ended from outside (by a key, for want of memory), it says nothing about the driver.
        if !matches!(how.as_str(), "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGKILL") {
            self.cache.store(key, &how);
        }
        tracing::warn!("{how} in {trial}: this way is not used");
        refused(trial, &how, "")
    }
}

impl Prover for ChildProver {
    fn prove_received(&self, trial: &ReceivedTrial, buffer: &Buffer) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let layout = &trial.layout;
        let strides: Vec<_> = layout.planes().iter().map(|plane| plane.stride_bytes).collect();
        let key = with_rules(format!("{trial}, {} of {strides:?}", layout.modifier));
        if let Some(known) = state.known(trial, &key) {
            return known;
        }
        let fds = ReceivedTrial::fds(buffer);
        if fds.len() > 3 {
            return Err(Error::unsupported(
                "import",
                format!("{layout} in {} memories: at most 3 are tried", fds.len()),
            ));
        }
        let status = match ask_once(self.board.as_deref(), trial, &fds) {
            Ok(status) => status,
            Err(error) => {
                tracing::warn!(%error, "imports are not proved in a process of their own");
                return Ok(());
            }
        };
        match status {
            None => refused(trial, &format!("no answer in {} s", LIMIT.as_secs()), ""),
            Some(status) if status.code().is_some_and(|code| code <= 1) => {
                state.cache.store(key, "ok");
                Ok(())
            }
            Some(status) => state.ended(trial, key, status),
        }
    }

    fn prove(&self, trial: &Trial) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let key = key(trial);
        if let Some(known) = state.known(trial, &key) {
            return known;
        }
        if state.worker.is_none() {
            match Worker::start(self.board.as_deref()) {
                Ok(worker) => state.worker = Some(worker),
                Err(error) => {
                    tracing::warn!(%error, "imports are not proved in a process of their own");
                    return Ok(());
                }
            }
        }
        let Some(worker) = &mut state.worker else { return Ok(()) };
        match worker.ask(trial) {
            Answer::Lived => {
                state.cache.store(key, "ok");
                Ok(())
            }
            Answer::Hung => {
                state.worker = None;
                refused(trial, &format!("no answer in {} s", LIMIT.as_secs()), "")
            }
            Answer::Ended(status) => {
                state.worker = None;
                state.ended(trial, key, status)
            }
        }
    }
}

/// What a result is kept under.
fn key(trial: &Trial) -> String {
    let class = |length: u32| length.next_power_of_two();
    let classed = Trial {
        size: darkframe::layout::Size::new(class(trial.size.width), class(trial.size.height)),
        ..trial.clone()
    };
    with_rules(classed.to_string())
}

fn with_rules(key: String) -> String {
    let rules = if darkframe::egl::fault_rules_are_off() { ", fault rules off" } else { "" };
    format!("{key}{rules}").replace(['\t', '\n'], " ")
}

/// A process for one trial, whose memory it gets in place of its standard streams; how it ended, or `None` where it hung.
fn ask_once(board: Option<&str>, trial: &ReceivedTrial, fds: &[BorrowedFd<'_>]) -> std::io::Result<Option<ExitStatus>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--quiet", "prove-import", "--received", &trial.to_line()]);
    if let Some(board) = board {
        command.args(["--board", board]);
    }
    let stream = |index: usize| match fds.get(index) {
        Some(fd) => fd.try_clone_to_owned().map(Stdio::from),
        None => Ok(Stdio::null()),
    };
    let mut child = command.stdin(stream(0)?).stdout(stream(1)?).stderr(stream(2)?).spawn()?;
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if since.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs the command again with `arguments`: its first line, or `None` where it fails, crashes or hangs.
pub fn in_another_process(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.arg("--quiet").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let since = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if since.elapsed() > LIMIT {
            child.kill().ok()?;
            child.wait().ok()?;
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let line = BufReader::new(child.stdout.take()?).lines().next()?.ok()?;
    child.wait().ok()?.success().then_some(line)
}

enum Answer {
    Lived,
    Hung,
    Ended(ExitStatus),
}

/// The other process.
struct Worker {
    child: Child,
    trials: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Worker {
    fn start(board: Option<&str>) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--quiet", "prove-import"]);
        if let Some(board) = board {
            command.args(["--board", board]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let trials = child.stdin.take();
        let (send, answers) = channel();
        if let Some(lines) = child.stdout.take() {
            // Ends with the process.
            std::thread::spawn(move || {
                for line in BufReader::new(lines).lines().map_while(|line| line.ok()) {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, trials, answers })
    }

    fn ask(&mut self, trial: &Trial) -> Answer {
        if let Some(trials) = &mut self.trials {
            // That it has ended is seen below.
            let _ = writeln!(trials, "{}", trial.to_line());
        }
        match self.answers.recv_timeout(LIMIT) {
            Ok(answer) => {
                tracing::debug!(%trial, answer, "proved");
                Answer::Lived
            }
            Err(RecvTimeoutError::Timeout) => Answer::Hung,
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) => Answer::Ended(status),
                Err(_) => Answer::Hung,
            },
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.trials = None;
        // It may hang in the driver; whatever it holds goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Results of earlier runs.
struct Cache {
    path: Option<PathBuf>,
    results: BTreeMap<String, String>,
}

impl Cache {
    fn open() -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        let path = base.filter(|base| base.is_absolute()).map(|base| base.join("darkframe/imports"));
        let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Self { path, results: read(&text) }
    }

    fn name(&self) -> String {
        self.path.as_ref().map_or(String::new(), |path| path.display().to_string())
    }

    /// A cache that cannot be written only costs time.
    fn store(&mut self, key: String, result: &str) {
        self.results.insert(key, result.to_owned());
        let Some(path) = &self.path else { return };
        // Another run may have written meanwhile.
        let mut all = std::fs::read_to_string(path).map(|text| read(&text)).unwrap_or_default();
        all.extend(self.results.clone());
        let text: String = all.iter().map(|(key, result)| format!("{result}\t{key}\n")).collect();
        let written = File::create(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.commit()
        });
        if let Err(error) = written {
            tracing::debug!(%error, "results of imports are not kept");
        }
    }
}

/// `RESULT<tab>KEY` lines; others are left out.
fn read(text: &str) -> BTreeMap<String, String> {
    let known = |result: &str| result == "ok" || result.starts_with("SIG") || result.starts_with("the process");
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(result, key)| known(result) && key.starts_with("import of "))
        .map(|(result, key)| (key.to_owned(), result.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn broken_lines_of_the_cache_are_ignored() {
        let read = super::read("ok\timport of a\n\0\u{fffd}\nok\nSIGSEGV\timport of b\nyes\timport of c\nok\tother\n");
        let pairs: Vec<_> = read.iter().map(|(key, result)| (key.as_str(), result.as_str())).collect();
        assert_eq!(pairs, [("import of a", "ok"), ("import of b", "SIGSEGV")]);
    }
}
