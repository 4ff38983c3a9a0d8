//! All cases of one display, through a worker that is started again behind every crash.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use darkframe::selftest::report::{DisplayReport, Row};
use darkframe::selftest::{Case, Driver, Outcome};

use super::worker::{Reply, Worker};

/// Crashes and hangs of one kind, after which more of the kind are left out: each costs a start of the driver.
const ENOUGH: usize = 3;

/// How cases are tried.
pub struct Options {
    pub board: Option<String>,
    pub only: Vec<String>,
    pub limit: Duration,
    pub keep_rules: bool,
    pub progress: bool,
}

/// Tries every case of the display `name`.
pub fn try_all(name: &str, options: &Options) -> DisplayReport {
    let mut report = DisplayReport { name: name.to_owned(), driver: Driver::default(), rows: Vec::new() };
    let mut worker = match Worker::start(name, options) {
        Ok(worker) => worker,
        Err(outcome) => {
            report.rows.push(Row::new(&report.driver, Case::Open, outcome));
            return report;
        }
    };
    report.driver = worker.driver.clone();
    report.rows.push(Row::new(&report.driver, Case::Open, Outcome::ok()));
    let cases = select(std::mem::take(&mut worker.cases), &options.only);
    let mut running = Some(worker);
    let mut lost: HashMap<String, usize> = HashMap::new();
    let count = cases.len();
    for (number, case) in cases.into_iter().enumerate() {
        if options.progress {
            eprint!("\r\x1b[K{name} {}/{count} {case}", number + 1);
            let _ = std::io::stderr().flush();
        }
        let kind = match &case {
            Case::Placement { what, .. } => format!("placement {}", what.name()),
            case => case.allocator().unwrap_or(case.topic()).to_owned(),
        };
        let allocator = DisplayReport::proved_memory(&report.rows);
        let outcome = if lost.get(&kind).is_some_and(|lost| *lost >= ENOUGH) {
            Outcome::NotTried { why: format!("{ENOUGH} crashes or hangs with {kind} are enough") }
        } else if case.needs_memory() && allocator.is_none() {
            Outcome::NotTried { why: "no allocator's memory is proved on this display".into() }
        } else {
            attempt(&mut running, name, options, &case, allocator.as_deref())
        };
        if matches!(outcome, Outcome::Crash { .. } | Outcome::Hang { .. }) {
            *lost.entry(kind).or_default() += 1;
        }
        tracing::info!("{name}: {case}: {outcome}");
        report.rows.push(Row::new(&report.driver, case, outcome));
    }
    if options.progress {
        eprint!("\r\x1b[K");
    }
    report
}

/// The cases that are asked for, and those that prove memory for them.
fn select(mut cases: Vec<Case>, only: &[String]) -> Vec<Case> {
    if only.is_empty() {
        return cases;
    }
    let is_asked = |case: &Case| only.iter().any(|text| case.to_string().contains(text));
    let needs_memory = cases.iter().any(|case| is_asked(case) && case.needs_memory());
    let proves = |case: &Case| {
        let line = case.to_string();
        line.starts_with("memory ")
            && (line.ends_with("ABGR8888 LINEAR external") || line.ends_with("ABGR8888 LINEAR render"))
    };
    cases.retain(|case| is_asked(case) || needs_memory && proves(case));
    cases
}

/// One case; the worker is started where there is none.
fn attempt(
    running: &mut Option<Worker>,
    name: &str,
    options: &Options,
    case: &Case,
    allocator: Option<&str>,
) -> Outcome {
    if running.is_none() {
        match Worker::start(name, options) {
            Ok(worker) => *running = Some(worker),
            Err(outcome) => return Outcome::NotTried { why: format!("the display does not open again: {outcome}") },
        }
    }
    let Some(worker) = running else { return Outcome::NotTried { why: "no worker".into() } };
    match worker.ask(case, allocator, options.limit) {
        Reply::Outcome(outcome) => outcome,
        Reply::Lost(outcome) => {
            *running = None;
            outcome
        }
    }
}
