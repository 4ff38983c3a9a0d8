//! Errors that are collected, so that all of them are said at once, and each only once.
//!
//! In: errors, from the text to the plan, and which parts they make unreadable. Out: one error with the others behind it.
//! Not here: what is wrong (whoever looks).

use std::collections::BTreeSet;

use crate::error::{Error, Result};

/// What is wrong with a description.
#[derive(Debug, Default)]
pub struct Faults {
    errors: Vec<Error>,
    /// Parts that were not read whole: what they lack is no fault of its own.
    broken: BTreeSet<(String, String)>,
}

impl Faults {
    /// Adds an error, and those behind it.
    pub fn add(&mut self, error: Error) {
        let (first, others) = error.apart();
        for error in std::iter::once(first).chain(others) {
            let text = error.to_string();
            if !self.errors.iter().any(|known| known.to_string() == text) {
                self.errors.push(error);
            }
        }
    }

    /// The value, or its error is added.
    pub fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// Part `name` of `table` (`"pass"`) was not read whole.
    pub fn breaks(&mut self, table: &str, name: &str) {
        self.broken.insert((table.to_owned(), name.to_owned()));
    }

    /// Part `name` of `table` was not read whole.
    pub fn is_broken(&self, table: &str, name: &str) -> bool {
        self.broken.iter().any(|(broken, part)| broken == table && part == name)
    }

    /// Some part of `table` was not read whole.
    pub fn has_broken(&self, table: &str) -> bool {
        self.broken.iter().any(|(broken, _)| broken == table)
    }

    /// How many errors there are.
    pub fn count(&self) -> usize {
        self.errors.len()
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors in the order of their places, the first with the others behind it.
    ///
    /// # Errors
    /// Those that were added.
    pub fn into_result(self) -> Result<()> {
        let mut errors = self.errors;
        errors.sort_by_key(|error| {
            // What has no place comes last; the pipeline file and shaders each by themselves.
            let place =
                error.span().map(|span| (span.path.extension().is_none_or(|end| end != "toml"), span.path.clone()));
            (place.is_none(), place, error.span().map(|span| span.start))
        });
        let mut errors = errors.into_iter();
        match errors.next() {
            None => Ok(()),
            Some(first) => Err(first.with_others(errors.collect())),
        }
    }
}
