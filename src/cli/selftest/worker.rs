//! The process that carries cases out, and may crash or hang: the command runs itself again as `selftest-worker`.
//!
//! Lines of JSON go both ways. What drivers print on standard output is told from them by a mark.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::Args;
use darkframe::board::Board;
use darkframe::error::{Error, Result};
use darkframe::selftest::{Bench, Case, Driver, Outcome, Peer, peer::Task};
use serde::{Deserialize, Serialize};

use super::display::Options;

/// Before every line that is ours.
const MARK: &str = "\u{1}darkframe ";

/// A driver needs longer for its start than for a case.
const START: u32 = 3;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The display to open.
    #[arg(long, value_name = "DISPLAY", default_value = "")]
    display: String,
    /// As in `selftest`.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
    /// Seconds that a case may take.
    #[arg(long, default_value_t = 20)]
    limit: u64,
    /// One task with memory that is standard input.
    #[arg(long, value_name = "TASK")]
    peer: Option<String>,
}

/// What the worker says first.
#[derive(Serialize, Deserialize)]
struct Opened {
    driver: Driver,
    cases: Vec<Case>,
}

/// One question.
#[derive(Serialize, Deserialize)]
struct Question {
    case: Case,
    allocator: Option<String>,
}

/// The worker's side.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    use nix::sys::resource::{Resource, setrlimit};
    // Crashes are expected; their images are of no use. Where the limit cannot be set, a core file is no harm.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let board = arguments.board.as_deref().map_or_else(Board::detect, Board::open)?;
    if let Some(task) = &arguments.peer {
        let task: Task = serde_json::from_str(task).map_err(|error| Error::invalid("--peer", error.to_string()))?;
        let stdin = std::io::stdin();
        let memory = stdin.as_fd().try_clone_to_owned();
        let memory = memory.map_err(|error| Error::from_io("dup", "standard input", error))?;
        say(&task.carry_out(&board, memory))?;
        return Ok(ExitCode::SUCCESS);
    }
    let opened = Bench::open(&board, &arguments.display).and_then(|bench| Ok((bench.cases()?, bench)));
    let (cases, bench) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            say::<std::result::Result<Opened, String>>(&Err(error.to_string()))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    say::<std::result::Result<Opened, String>>(&Ok(Opened { driver: bench.driver(), cases }))?;
    let peer = ChildPeer { board: arguments.board.clone(), limit: Duration::from_secs(arguments.limit) };
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::from_io("selftest", "standard input", error))?;
        let question: Question =
            serde_json::from_str(&line).map_err(|error| Error::invalid("selftest", error.to_string()))?;
        say(&bench.run(&question.case, question.allocator.as_deref(), &peer))?;
    }
    // Drivers crash at their end too, which says nothing about a case: the process goes without it.
    std::process::exit(0);
}

fn say<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Error::failed("selftest", error.to_string()))?;
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "\n{MARK}{text}").and_then(|()| out.flush());
    written.map_err(|error| Error::from_io("selftest", "standard output", error))
}

/// A worker, from outside.
pub struct Worker {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
    pub driver: Driver,
    pub cases: Vec<Case>,
}

/// What came back.
pub enum Reply {
    Outcome(Outcome),
    /// The worker is gone.
    Lost(Outcome),
}

impl Worker {
    /// Starts one and waits until it has opened the display.
    pub fn start(display: &str, options: &Options) -> std::result::Result<Self, Outcome> {
        let failed = |error: std::io::Error| Outcome::NotTried { why: format!("no process: {error}") };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["--quiet", "selftest-worker", "--display", display]);
        command.args(["--limit", &options.limit.as_secs().to_string()]);
        if let Some(board) = &options.board {
            command.args(["--board", board]);
        }
        if !options.keep_rules {
            // The faults themselves are to be seen.
            command.env("DARKFRAME_NO_FAULT_RULES", "1");
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
        let questions = child.stdin.take();
        let (send, answers) = channel();
        if let Some(lines) = child.stdout.take() {
            // Ends with the process.
            std::thread::spawn(move || {
                let mut lines = BufReader::new(lines);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    let text = String::from_utf8_lossy(&line);
                    if let Some(answer) = text.strip_prefix(MARK)
                        && send.send(answer.trim_end().to_owned()).is_err()
                    {
                        break;
                    }
                    line.clear();
                }
            });
        }
        let mut worker = Self { child, questions, answers, driver: Driver::default(), cases: Vec::new() };
        let opened = worker.wait(options.limit * START)?;
        let unreadable = |error: serde_json::Error| Outcome::NotTried { why: format!("answer of the worker: {error}") };
        match serde_json::from_str::<std::result::Result<Opened, String>>(&opened).map_err(unreadable)? {
            Ok(opened) => {
                worker.driver = opened.driver;
                worker.cases = opened.cases;
                Ok(worker)
            }
            Err(why) => Err(Outcome::Unsupported { why }),
        }
    }

    /// Has a case carried out.
    pub fn ask(&mut self, case: &Case, allocator: Option<&str>, limit: Duration) -> Reply {
        let question = Question { case: case.clone(), allocator: allocator.map(str::to_owned) };
        if let (Some(questions), Ok(text)) = (&mut self.questions, serde_json::to_string(&question)) {
            // That it has ended is seen below.
            let _ = writeln!(questions, "{text}");
        }
        match self.wait(limit) {
            Ok(answer) => match serde_json::from_str(&answer) {
                Ok(outcome) => Reply::Outcome(outcome),
                Err(error) => Reply::Lost(Outcome::NotTried { why: format!("answer of the worker: {error}") }),
            },
            Err(outcome) => Reply::Lost(outcome),
        }
    }

    fn wait(&mut self, limit: Duration) -> std::result::Result<String, Outcome> {
        match self.answers.recv_timeout(limit) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(Outcome::Hang { seconds: limit.as_secs() }),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Outcome::Crash { why: self.child.wait().map_or_else(|error| error.to_string(), ended) })
            }
        }
    }
}

/// `SIGSEGV`, or the exit status in words.
fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => signal_hook::low_level::signal_name(signal).unwrap_or("a signal").to_owned(),
        None => format!("the process ended ({status})"),
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.questions = None;
        // It may hang in the driver; whatever it holds goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Other processes for memory to go to.
struct ChildPeer {
    board: Option<String>,
    limit: Duration,
}

impl Peer for ChildPeer {
    fn ask(&self, task: &Task, memory: BorrowedFd<'_>) -> Outcome {
        self.try_ask(task, memory).unwrap_or_else(|error| Outcome::NotTried { why: format!("no process: {error}") })
    }
}

impl ChildPeer {
    fn try_ask(&self, task: &Task, memory: BorrowedFd<'_>) -> std::io::Result<Outcome> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--quiet", "selftest-worker", "--peer", &serde_json::to_string(task)?]);
        if let Some(board) = &self.board {
            command.args(["--board", board]);
        }
        command.stdin(Stdio::from(memory.try_clone_to_owned()?)).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let since = Instant::now();
        // Before the limit of the whole case: the answer is then about the other process.
        let limit = self.limit.mul_f64(0.8);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if since.elapsed() > limit {
                child.kill()?;
                child.wait()?;
                return Ok(Outcome::Hang { seconds: limit.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut text = String::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_string(&mut text)?;
        }
        match text.lines().find_map(|line| line.strip_prefix(MARK)) {
            Some(answer) => Ok(serde_json::from_str(answer)?),
            None => Ok(Outcome::Crash { why: ended(status) }),
        }
    }
}
