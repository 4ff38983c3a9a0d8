//! A value with its place in the text.
//!
//! In: what `serde_spanned` reads. Out: the same, with the schema of the bare value, which the foreign type cannot have.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Deserializer};

/// A value and where it stands in the text. Compared and found by its value alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spanned<T>(serde_spanned::Spanned<T>);

impl<T> Spanned<T> {
    /// `value` at `range`; an empty range for a value that is not from the text.
    pub fn new(range: Range<usize>, value: T) -> Self {
        Self(serde_spanned::Spanned::new(range, value))
    }

    /// The bytes of the text.
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }

    /// The value.
    pub fn get_ref(&self) -> &T {
        self.0.get_ref()
    }

    /// The value, to be changed.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// The value without its place.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl Borrow<str> for Spanned<String> {
    fn borrow(&self) -> &str {
        self.get_ref()
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get_ref().fmt(f)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_spanned::Spanned::deserialize(deserializer).map(Self)
    }
}
