//! `darkframe doctor`: why an import fails, and what to change.
//!
//! In: the line of an error, or numbers. Out: which variants of the import work on this machine, which rules of drivers its
//! numbers break, what to use instead. Exit codes: 0 it works as it is, 1 it does not, 77 nothing could be replayed here.
//! Not here: variants and rules (the library's `doctor`), the process that imports (`selftest::worker`).

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use darkframe::board::Board;
use darkframe::device::Device;
use darkframe::doctor::{self, rules};
use darkframe::error::{Error, Result};
use darkframe::selftest::import::Attempt;
use darkframe::selftest::{Case, Outcome, displays};

use super::selftest::display::Options;
use super::selftest::worker::{Reply, Worker};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The error, or any text that has it; "-" reads standard input, e.g. what a failed run wrote.
    #[arg(required_unless_present = "format")]
    line: Option<String>,
    /// The format instead, by its DRM name; with --size and --plane.
    #[arg(long, value_name = "NAME", requires = "size", conflicts_with = "line")]
    format: Option<String>,
    /// Pixels.
    #[arg(long, value_name = "WxH")]
    size: Option<String>,
    /// Offset and stride of each plane, in bytes; once for each.
    #[arg(long, value_name = "OFFSET:STRIDE")]
    plane: Vec<String>,
    /// The modifier that is passed: LINEAR, none or a number.
    #[arg(long, default_value = "LINEAR")]
    modifier: String,
    /// Drawn into, not sampled.
    #[arg(long)]
    render: bool,
    /// Whose rules: lima, panfrost, "Mali-T860", … Those of this machine's driver where it is left out.
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// A shipped board's name, or the path of a board file; found out where it is left out.
    #[arg(long, value_name = "NAME|PATH")]
    board: Option<String>,
    /// Only this display, e.g. gbm:/dev/dri/card0.
    #[arg(long, value_name = "DISPLAY")]
    display: Vec<String>,
    /// Seconds that a variant may take before it counts as a hang.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl Arguments {
    fn attempt(&self) -> Result<Attempt> {
        let mut attempt = match (&self.line, &self.format) {
            (Some(line), _) if line == "-" => {
                let mut text = String::new();
                let read = std::io::stdin().take(1 << 20).read_to_string(&mut text);
                read.map_err(|error| Error::from_io("doctor", "standard input", error))?;
                doctor::read(&text)?
            }
            (Some(line), _) => doctor::read(line)?,
            (None, format) => {
                let plane = |text: &String| {
                    let (offset, stride) = text.split_once(':')?;
                    Some((offset.parse().ok()?, stride.parse().ok()?))
                };
                let bad = |text: &String| {
                    Error::invalid("--plane", format!("\"{text}\""))
                        .with_hint("OFFSET:STRIDE in bytes, e.g. 307200:640")
                };
                let planes = self.plane.iter().map(|text| plane(text).ok_or_else(|| bad(text)));
                Attempt {
                    format: format.clone().unwrap_or_default(),
                    size: self.size.as_deref().unwrap_or_default().parse()?,
                    planes: planes.collect::<Result<_>>()?,
                    modifier: (self.modifier != "none").then(|| self.modifier.clone()),
                    ..Attempt::default()
                }
            }
        };
        if self.render {
            attempt.usage = darkframe::selftest::Use::Render;
        }
        // The numbers must be a layout at all: the error says which is not.
        attempt.layout()?;
        Ok(attempt)
    }
}

/// Replays and explains.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let attempt = arguments.attempt()?;
    let board = arguments.board.as_deref().map_or_else(Board::detect, Board::open)?;
    let names = match arguments.display.is_empty() {
        true => displays(&Device::open(&board)?),
        false => arguments.display.clone(),
    };
    let options = Options {
        board: arguments.board.clone(),
        only: Vec::new(),
        limit: Duration::from_secs(arguments.timeout),
        keep_rules: false,
        progress: false,
    };
    println!("import  {}{}", attempt.layout()?, attempt.modifier.as_ref().map_or(", no modifier passed", |_| ""));
    let (mut replayed, mut works) = (false, false);
    for name in names {
        let mut patient = Patient { name: &name, options: &options, worker: None };
        if patient.start().is_err() {
            continue;
        }
        let (driver, allocators) = patient.facts();
        println!("\n== {name}: {} on {}", driver.version, driver.renderer);
        let whose = arguments.driver.clone().unwrap_or_else(|| format!("{} {}", driver.renderer, driver.kernel_driver));
        print_rules(&attempt, &whose)?;
        let Some(memory) = patient.memory(&allocators) else {
            println!(
                "  nothing is replayed: {}",
                match driver.imports {
                    true => "no allocator's memory is imported here",
                    false => "this display imports no dma-bufs",
                }
            );
            continue;
        };
        replayed = true;
        let base = Attempt { allocator: memory.clone(), ..attempt.clone() };
        let mut helps = Vec::new();
        let mut as_it_is = false;
        for variant in doctor::variants(&base, &allocators)? {
            let outcome = patient.ask(&variant.attempt);
            println!("  {:<36} {outcome}", variant.what);
            match (&outcome, variant.what.as_str()) {
                (Outcome::Ok { .. }, "as it is") => as_it_is = true,
                (Outcome::Ok { .. }, what) => helps.push(what.to_owned()),
                _ => {}
            }
        }
        works |= as_it_is;
        match (as_it_is, helps.is_empty()) {
            (true, _) => println!("  it works here as it is, with memory of {memory}"),
            (false, true) => println!("  no variant works here: copy the picture into a texture"),
            (false, false) => println!("  what helps: {}", helps.join("; ")),
        }
    }
    if !replayed {
        if arguments.driver.is_none() {
            println!("\nOn boards with a Mali:");
            print_rules(&attempt, "lima panfrost Mali-T Mali-G")?;
        }
        return Ok(ExitCode::from(super::selftest::NOTHING));
    }
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_rules(attempt: &Attempt, driver: &str) -> Result<()> {
    for (words, source) in rules::broken(attempt, driver)? {
        println!("  {words} ({source})");
    }
    Ok(())
}

/// A display whose worker is started again behind a crash.
struct Patient<'a> {
    name: &'a str,
    options: &'a Options,
    worker: Option<Worker>,
}

impl Patient<'_> {
    fn start(&mut self) -> std::result::Result<&mut Worker, Outcome> {
        if self.worker.is_none() {
            self.worker = Some(Worker::start(self.name, self.options)?);
        }
        self.worker.as_mut().ok_or(Outcome::NotTried { why: "no worker".into() })
    }

    fn facts(&mut self) -> (darkframe::selftest::Driver, Vec<String>) {
        let Ok(worker) = self.start() else { return Default::default() };
        let mut names: Vec<String> = Vec::new();
        for allocator in worker.cases.iter().filter_map(Case::allocator).filter(|name| *name != "memfd") {
            if !names.iter().any(|known| known == allocator) {
                names.push(allocator.to_owned());
            }
        }
        (worker.driver.clone(), names)
    }

    /// The first allocator whose memory is imported where nothing is wrong with the numbers.
    fn memory(&mut self, allocators: &[String]) -> Option<String> {
        let fits = |name: &&String| {
            let easy = Attempt { planes: vec![(0, 256)], allocator: (*name).clone(), ..Attempt::default() };
            matches!(self.ask(&easy), Outcome::Ok { .. })
        };
        allocators.iter().find(fits).cloned()
    }

    fn ask(&mut self, attempt: &Attempt) -> Outcome {
        let limit = self.options.limit;
        let worker = match self.start() {
            Ok(worker) => worker,
            Err(outcome) => return outcome,
        };
        match worker.ask(&Case::Import(attempt.clone()), None, limit) {
            Reply::Outcome(outcome) => outcome,
            Reply::Lost(outcome) => {
                self.worker = None;
                outcome
            }
        }
    }
}
