//! Which steps of the planner are taken: `optimize = true`, `false`, or their names.
//!
//! In: the key's value. Out: [`Optimize`]. Not here: the steps (`plan`).

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::did_you_mean;

/// One step of the planner that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Passes that only ask for their own pixel are drawn together with what feeds them.
    Fuse,
    /// Where the CPU draws, inputs that are read a whole number of pixels away are read without a filter.
    Nearest,
    /// Where the CPU draws, `mediump` and `lowp` mean `highp`.
    Precision,
    /// Passes that are never needed at the same time share a texture.
    Reuse,
    /// Where the CPU draws, four pixels are made at once where that saves reads: of subsampled chroma, and of pixels beside
    /// the own one.
    FourWide,
    /// Where the CPU draws, uniforms that nothing can change are constants for the compiler.
    Constants,
    /// Where the CPU draws, alpha that nobody reads is not computed.
    Alpha,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 7] =
        [Self::Fuse, Self::Nearest, Self::Precision, Self::Reuse, Self::FourWide, Self::Constants, Self::Alpha];

    /// Its name in a pipeline file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fuse => "fuse",
            Self::Nearest => "nearest",
            Self::Precision => "precision",
            Self::Reuse => "reuse",
            Self::FourWide => "four-wide",
            Self::Constants => "constants",
            Self::Alpha => "alpha",
        }
    }

    /// What it does, in words.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Fuse => "passes that only ask for their own pixel are drawn together with what feeds them",
            Self::Nearest => "where the CPU draws, inputs that are read whole pixels away are read without a filter",
            Self::Precision => "where the CPU draws, `mediump` and `lowp` mean `highp`",
            Self::Reuse => "passes that are never needed at the same time share a texture",
            Self::FourWide => {
                "where the CPU draws, four pixels are made at once where they share reads: of subsampled chroma, or of pixels at known places beside their own"
            }
            Self::Constants => {
                "where the CPU draws, sizes and uniforms that no parameter can change are constants for the compiler"
            }
            Self::Alpha => "where the CPU draws, alpha that nobody reads is not computed",
        }
    }
}

/// The steps that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optimize([bool; Step::ALL.len()]);

impl Optimize {
    /// Every step.
    pub const ALL: Self = Self([true; Step::ALL.len()]);
    /// None: every pass is drawn as it is written.
    pub const NONE: Self = Self([false; Step::ALL.len()]);

    /// Whether `step` is taken.
    pub fn has(self, step: Step) -> bool {
        self.0[step as usize]
    }

    /// The same without these steps.
    pub fn without(mut self, steps: &[Step]) -> Self {
        steps.iter().for_each(|step| self.0[*step as usize] = false);
        self
    }

    fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut steps = Self::NONE;
        for name in names {
            let Some(step) = Step::ALL.into_iter().find(|step| step.name() == name) else {
                let hint = did_you_mean(name, Step::ALL.into_iter().map(Step::name));
                return Err(format!("there is no step \"{name}\"; {hint}"));
            };
            steps.0[step as usize] = true;
        }
        Ok(steps)
    }
}

impl Default for Optimize {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Optimize {
    type Err = String;

    /// Reads what may stand in a pipeline file, or names with commas: `true`, `["fuse"]`, `fuse,nearest`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" => Ok(Self::ALL),
            "false" => Ok(Self::NONE),
            names => {
                let names = names.trim_start_matches('[').trim_end_matches(']').split(',');
                Self::of_names(names.map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty()))
            }
        }
    }
}

impl fmt::Display for Optimize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("all steps"),
            Self::NONE => f.write_str("no step"),
            _ => {
                let names: Vec<_> = Step::ALL.into_iter().filter(|step| self.has(*step)).map(Step::name).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Optimize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptimizeVisitor;
        impl<'de> Visitor<'de> for OptimizeVisitor {
            type Value = Optimize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or an array of step names")
            }
            fn visit_bool<E: de::Error>(self, all: bool) -> Result<Optimize, E> {
                Ok(if all { Optimize::ALL } else { Optimize::NONE })
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Optimize, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = sequence.next_element()? {
                    names.push(name);
                }
                Optimize::of_names(names.iter().map(String::as_str)).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(OptimizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named() {
        assert_eq!("true".parse(), Ok(Optimize::ALL));
        assert_eq!("false".parse(), Ok(Optimize::NONE));
        let two: Optimize = "[\"fuse\", \"reuse\"]".parse().unwrap();
        assert_eq!("fuse,reuse".parse(), Ok(two));
        assert!(two.has(Step::Fuse) && two.has(Step::Reuse) && !two.has(Step::Nearest));
        assert_eq!(two.to_string(), "fuse, reuse");
        assert_eq!("[]".parse(), Ok(Optimize::NONE));
        assert!(Optimize::from_str("fusee").unwrap_err().contains("did you mean \"fuse\"?"));
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index, "{}", step.name());
        }
    }
}
