//! All outcomes together: what works, what is a fault, and what follows for a program.
//!
//! In: [`Row`]s. Out: a [`Report`]: one screen or a few for a person ([`Report::render`]), `Serialize` for machines.
//! Not here: the board file that follows from it (`board_file`).

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::placement::{BYTES, What};
use super::{Case, Driver, Outcome, Use, known};

/// One case and what it came to.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The case in one line.
    pub name: String,
    /// The case.
    pub case: Case,
    /// What it came to.
    pub outcome: Outcome,
    /// Why that is no news, where it is a known fault of this driver.
    pub known: Option<&'static str>,
    /// It counts as a failure of the test.
    pub fault: bool,
}

impl Row {
    /// Judges an outcome.
    pub fn new(driver: &Driver, case: Case, outcome: Outcome) -> Self {
        let name = case.to_string();
        let known = known::find(driver, &name, &outcome).map(|known| known.why);
        let bad = match (&case, &outcome) {
            // Darkframe checks what a driver does not.
            (Case::Guard { .. }, _) => false,
            (_, Outcome::Wrong { .. } | Outcome::Crash { .. } | Outcome::Hang { .. }) => true,
            // Whose memory a driver takes, and where planes may lie, is its own affair; so is a display that does not open.
            (Case::Memory { .. } | Case::Placement { .. } | Case::Open, _) => false,
            (_, Outcome::Refused { .. }) => true,
            _ => false,
        };
        Self { name, case, fault: bad && known.is_none(), outcome, known }
    }
}

/// One display.
#[derive(Clone, Debug, Serialize)]
pub struct DisplayReport {
    /// `gbm:/dev/dri/card0`
    pub name: String,
    /// Who draws there.
    pub driver: Driver,
    /// In the order in which they were tried.
    pub rows: Vec<Row>,
}

/// Everything that was tried on a machine.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// This crate's version.
    pub darkframe: &'static str,
    /// `2026-11-21`, UTC.
    pub date: String,
    /// `Linux 6.12.1 aarch64`
    pub kernel: String,
    /// What the device tree calls the machine.
    pub machine: Option<String>,
    /// `/proc/device-tree/compatible`
    pub compatible: Vec<String>,
    /// Name of the board file in use.
    pub board: String,
    /// Who measured.
    pub by: String,
    /// The displays.
    pub displays: Vec<DisplayReport>,
}

impl Report {
    /// A report about this machine, without displays.
    pub fn new(board: &str, by: String) -> Self {
        let uname = nix::sys::utsname::uname().ok();
        let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let read = |name: &str| std::fs::read(format!("/proc/device-tree/{name}")).unwrap_or_default();
        let strings = |bytes: Vec<u8>| -> Vec<String> {
            let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
        };
        Self {
            darkframe: env!("CARGO_PKG_VERSION"),
            date: today(),
            kernel: format!(
                "{} {} {}",
                part(uname.as_ref().map(|uname| uname.sysname())),
                part(uname.as_ref().map(|uname| uname.release())),
                part(uname.as_ref().map(|uname| uname.machine()))
            ),
            machine: strings(read("model")).into_iter().next(),
            compatible: strings(read("compatible")),
            board: board.to_owned(),
            by,
            displays: Vec::new(),
        }
    }

    /// Every row of every display.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.displays.iter().flat_map(|display| &display.rows)
    }

    /// Rows that fail the test.
    pub fn faults(&self) -> usize {
        self.rows().filter(|row| row.fault).count()
    }

    /// Known faults that appeared.
    pub fn known(&self) -> usize {
        self.rows().filter(|row| row.known.is_some()).count()
    }

    /// Cases that were right.
    pub fn right(&self) -> usize {
        let pixels = |row: &&Row| !matches!(row.case, Case::Open) && matches!(row.outcome, Outcome::Ok { .. });
        self.rows().filter(pixels).count()
    }
}

impl DisplayReport {
    /// The outcome of a case.
    fn outcome(&self, wanted: impl Fn(&Case) -> bool) -> Option<&Outcome> {
        self.rows.iter().find(|row| wanted(&row.case)).map(|row| &row.outcome)
    }

    /// Allocators by the number of uses that are right, best first; those without any are left out.
    pub fn allocators(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (order, row) in self.rows.iter().enumerate() {
            let Case::Memory { allocator, usage, .. } = &row.case else { continue };
            // What other devices do with it is no merit of the memory's.
            let right = matches!(row.outcome, Outcome::Ok { .. }) && *usage != Use::Device;
            let entry = counts.entry(allocator).or_insert((0, order));
            entry.0 += usize::from(right);
        }
        let mut all: Vec<_> = counts.into_iter().filter(|(_, (right, _))| *right > 0).collect();
        all.sort_by_key(|(_, (right, order))| (std::cmp::Reverse(*right), *order));
        all.into_iter().map(|(name, (right, _))| (name.to_owned(), right)).collect()
    }

    /// The allocator whose memory is proved: sampled and drawn into, or at least sampled.
    pub fn proved_memory(rows: &[Row]) -> Option<String> {
        let right = |wanted: Use| {
            rows.iter().find_map(|row| match &row.case {
                Case::Memory { allocator, format, usage, .. }
                    if *usage == wanted && format == "ABGR8888" && matches!(row.outcome, Outcome::Ok { .. }) =>
                {
                    Some(allocator.clone())
                }
                _ => None,
            })
        };
        right(Use::Render).or_else(|| right(Use::External))
    }

    /// The smallest alignment from which on everything tried is right; `None` where not even the largest is, or nothing was
    /// tried.
    pub(super) fn alignment(&self, format: &str, what: What) -> Option<u32> {
        let mut found = None;
        for bytes in BYTES {
            let is_it = |case: &Case| matches!(case, Case::Placement { format: f, what: w, bytes: b } if f == format && *w == what && *b == bytes);
            match self.outcome(is_it) {
                Some(Outcome::Ok { .. }) => found = Some(bytes),
                Some(_) => break,
                None => {}
            }
        }
        found
    }
}

/// The civil date of now, UTC.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date((seconds / 86_400) as i64)
}

/// Days since 1970-01-01 as a date of the Gregorian calendar: years begin in March, so that leap days are last.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        // By `date -u -d @…`.
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_778), "2026-11-21");
        assert_eq!(date(21_243), "2028-02-29");
    }

    fn row(bytes: u32, ok: bool) -> Row {
        let case = Case::Placement { format: "R8".into(), what: What::DrawnStride, bytes };
        let outcome = if ok { Outcome::ok() } else { Outcome::Refused { why: "EGL_BAD_ALLOC".into() } };
        Row::new(&Driver::default(), case, outcome)
    }

    #[test]
    fn an_alignment_is_the_smallest_without_a_gap_above() {
        let display = |rows| DisplayReport { name: "x".into(), driver: Driver::default(), rows };
        let all = display(BYTES.map(|bytes| row(bytes, bytes >= 64)).to_vec());
        assert_eq!(all.alignment("R8", What::DrawnStride), Some(64));
        // 16 works by chance, 32 does not.
        let gap = display(BYTES.map(|bytes| row(bytes, bytes >= 64 || bytes == 16)).to_vec());
        assert_eq!(gap.alignment("R8", What::DrawnStride), Some(64));
        assert_eq!(gap.alignment("R8", What::SampledStride), None);
        assert!(gap.rows.iter().all(|row| !row.fault));
    }
}
