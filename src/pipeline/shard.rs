//! Which part of a job one worker draws.
//!
//! In: `I/N`, or the name of an engine that says it in the environment. Out: a [`Shard`] and its block of frames.
//! Not here: starting workers (Slurm, Kubernetes or a shell does it).
//!
//! Shards are numbered from 0, as frames are, and as Kubernetes and the examples of Slurm count. Each is a block of
//! frames that follow each other, not every Nth frame: parts of a video can then be joined end to end, a source that is
//! read forwards is read once, and a pass with memory needs one warm-up per shard.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Shard `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// At least 1.
    pub count: u64,
}

impl Shard {
    /// All frames.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Shard `index` of `count`.
    ///
    /// # Errors
    /// `Config`: there is no such shard.
    pub fn new(index: u64, count: u64) -> Result<Self> {
        if index < count {
            return Ok(Self { index, count });
        }
        let detail = match count {
            0 => format!("{index}/0: there is at least one shard"),
            1 => format!("{index}/1: the only shard is 0/1"),
            _ => format!("{index}/{count}: shards are counted from 0, the last one is {}/{count}", count - 1),
        };
        Err(Error::new(ErrorKind::Config, "--shard", detail))
    }

    /// This shard's block of `frames`; blocks differ by at most one frame, and may be empty.
    pub fn block(self, frames: &Range<u64>) -> Range<u64> {
        let length = u128::from(frames.end.saturating_sub(frames.start));
        // Below `length`, so it fits.
        let cut = |index: u64| (length * u128::from(index) / u128::from(self.count)) as u64 + frames.start;
        cut(self.index)..cut(self.index + 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Who says which shard this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardChoice {
    /// `I/N`
    Given(Shard),
    /// `slurm`, `slurm/N`: the environment of a Slurm array task.
    Slurm(Option<u64>),
    /// `kubernetes`, `kubernetes/N`: the environment of a pod of an Indexed Job.
    Kubernetes(Option<u64>),
}

impl FromStr for ShardChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            let detail = format!("\"{text}\": expected I/N, slurm, slurm/N, kubernetes or kubernetes/N");
            Error::new(ErrorKind::Config, "--shard", detail).with_hint("the first of 8 shards is 0/8, the last one 7/8")
        };
        let (name, count) = match text.split_once('/') {
            Some((name, count)) => (name, Some(count.parse::<u64>().map_err(|_| bad())?)),
            None => (text, None),
        };
        if count == Some(0) {
            return Err(Error::new(ErrorKind::Config, "--shard", format!("{text}: there is at least one shard")));
        }
        match (name, count) {
            ("slurm", count) => Ok(Self::Slurm(count)),
            ("kubernetes", count) => Ok(Self::Kubernetes(count)),
            (index, Some(count)) => Shard::new(index.parse().map_err(|_| bad())?, count).map(Self::Given),
            _ => Err(bad()),
        }
    }
}

impl ShardChoice {
    /// The shard; `variable` reads the environment.
    ///
    /// # Errors
    /// `Config`: a variable is missing, is no number, or the array has gaps.
    pub fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Shard> {
        let error = |detail: String| Error::new(ErrorKind::Config, "--shard", detail);
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => {
                text.trim().parse::<u64>().map(Some).map_err(|_| error(format!("{name}=\"{text}\" is no number")))
            }
        };
        let needed = |name: &str, engine: &str| {
            number(name)?.ok_or_else(|| {
                error(format!("{name} is not set: this is no {engine}")).with_hint("give the shard itself: --shard I/N")
            })
        };
        match self {
            Self::Given(shard) => Ok(shard),
            Self::Slurm(Some(count)) => Shard::new(needed("SLURM_ARRAY_TASK_ID", "task of a Slurm array")?, count)
                .map_err(|wrong| error(format!("SLURM_ARRAY_TASK_ID with {}", wrong.detail()))),
            Self::Slurm(None) => {
                let engine = "task of a Slurm array";
                let id = needed("SLURM_ARRAY_TASK_ID", engine)?;
                let count = needed("SLURM_ARRAY_TASK_COUNT", engine)?;
                let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
                let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
                let last = number("SLURM_ARRAY_TASK_MAX")?;
                let index = id.checked_sub(first).map(|over| (over / step, over % step));
                // `--array=1,3,7` has neither a step nor places between which to count.
                let even = count > 0 && last.is_none_or(|last| last.checked_sub(first) == Some((count - 1) * step));
                match index {
                    Some((index, 0)) if even && index < count => Ok(Shard { index, count }),
                    _ => {
                        let last = last.map_or("unknown".into(), |last| last.to_string());
                        let detail = format!(
                            "task {id} of a Slurm array of {count} tasks from {first} to {last} in steps of {step}: the tasks are not evenly spaced, so their places are unknown"
                        );
                        Err(error(detail)
                            .with_hint("use --shard slurm/N, where the task's number is the shard, from 0"))
                    }
                }
            }
            Self::Kubernetes(count) => {
                let index = needed("JOB_COMPLETION_INDEX", "pod of an Indexed Job")?;
                let count = match count {
                    Some(count) => count,
                    None => number("JOB_COMPLETIONS")?.ok_or_else(|| {
                        error("JOB_COMPLETIONS is not set, and Kubernetes itself tells a pod no count".into())
                            .with_hint("use --shard kubernetes/N, or set the variable to the Job's completions")
                    })?,
                };
                Shard::new(index, count).map_err(|wrong| error(format!("JOB_COMPLETION_INDEX with {}", wrong.detail())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(choice: &str, variables: &[(&str, &str)]) -> Result<Shard> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        choice.parse::<ShardChoice>()?.resolve(find)
    }

    fn array<'a>(id: &'a str, [count, min, max, step]: [&'a str; 4]) -> Vec<(&'a str, &'a str)> {
        let names = ["COUNT", "MIN", "MAX", "STEP"].map(|name| match name {
            "COUNT" => "SLURM_ARRAY_TASK_COUNT",
            "MIN" => "SLURM_ARRAY_TASK_MIN",
            "MAX" => "SLURM_ARRAY_TASK_MAX",
            _ => "SLURM_ARRAY_TASK_STEP",
        });
        let mut variables = vec![("SLURM_ARRAY_TASK_ID", id)];
        variables.extend(names.into_iter().zip([count, min, max, step]));
        variables
    }

    #[test]
    fn engines_say_which_shard_it_is() {
        let shard = |index, count| Shard { index, count };
        assert_eq!(resolve("2/8", &[]).unwrap(), shard(2, 8));
        assert_eq!(resolve("slurm", &array("5", ["8", "0", "7", "1"])).unwrap(), shard(5, 8));
        // --array=1-8, --array=10-40:10
        assert_eq!(resolve("slurm", &array("8", ["8", "1", "8", "1"])).unwrap(), shard(7, 8));
        assert_eq!(resolve("slurm", &array("30", ["4", "10", "40", "10"])).unwrap(), shard(2, 4));
        // Two of eight run again: the array no longer says how many there were.
        assert_eq!(resolve("slurm/8", &array("5", ["2", "3", "5", "1"])).unwrap(), shard(5, 8));
        let index = ("JOB_COMPLETION_INDEX", "3");
        assert_eq!(resolve("kubernetes/4", &[index]).unwrap(), shard(3, 4));
        assert_eq!(resolve("kubernetes", &[index, ("JOB_COMPLETIONS", "5")]).unwrap(), shard(3, 5));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let error = |choice: &str, variables: &[(&str, &str)]| resolve(choice, variables).unwrap_err().to_string();
        assert!(error("8/8", &[]).contains("the last one is 7/8"));
        for bad in ["0/0", "slurm/0", "x/3", "3", "", "slurm/x", "-1/2", "1/2/3"] {
            assert!(error(bad, &[]).starts_with("--shard: "), "{bad}");
        }
        assert!(error("slurm", &[]).contains("SLURM_ARRAY_TASK_ID is not set"));
        assert!(error("slurm", &array("7", ["3", "1", "7", "1"])).contains("not evenly spaced"));
        assert!(error("slurm/4", &array("4", ["1", "4", "4", "1"])).contains("SLURM_ARRAY_TASK_ID with 4/4"));
        assert!(error("kubernetes", &[("JOB_COMPLETION_INDEX", "3")]).contains("kubernetes/N"));
        assert!(error("kubernetes/3", &[("JOB_COMPLETION_INDEX", "3")]).contains("the last one is 2/3"));
        assert!(error("kubernetes/3", &[("JOB_COMPLETION_INDEX", "x")]).contains("is no number"));
    }

    proptest! {
        #[test]
        fn blocks_are_all_frames_once_and_of_one_size(start in 0u64..1000, length in 0u64..5000, count in 1u64..200) {
            let frames = start..start + length;
            let mut next = start;
            for index in 0..count {
                let block = Shard { index, count }.block(&frames);
                prop_assert_eq!(block.start, next);
                prop_assert!((length / count..=length.div_ceil(count)).contains(&(block.end - block.start)));
                next = block.end;
            }
            prop_assert_eq!(next, frames.end);
        }

        #[test]
        fn no_number_is_too_large(start: u64, end: u64, index: u64, count: u64) {
            if let Ok(shard) = Shard::new(index, count) {
                shard.block(&(start..end));
            }
        }
    }
}
