//! TOML text to typed values, with errors that show the place and the nearest valid name.
//!
//! In: a file's name and text. Out: a value, or an [`Error`] of kind `Config` with a [`Span`].
//! Not here: what the keys mean (`board`, `pipeline::description`).

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, ErrorKind, Result, Span, nearest};

/// Parses `text`, which came from `path`.
///
/// # Errors
/// `Config`: a syntax error, a wrong type, an unknown key (with the nearest valid one).
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &Arc<str>) -> Result<T> {
    toml::from_str(text).map_err(|error| at(path, text, &error))
}

/// What was read of a text, and what was not.
pub(crate) struct Parsed<T> {
    /// The value without what is wrong; none where the text is no TOML, or too little is left.
    pub value: Option<T>,
    /// All errors.
    pub errors: Vec<Error>,
    /// Keys that were left out, from the top.
    pub without: Vec<Vec<String>>,
}

/// Parses `text`, which came from `path`, and goes on behind every wrong key.
pub(crate) fn parse_all<T: DeserializeOwned>(path: &Path, text: &Arc<str>) -> Parsed<T> {
    /// More are not read by anybody.
    const MANY: usize = 100;
    let (mut root, syntax) = DeTable::parse_recoverable(text);
    let mut parsed = Parsed { value: None, errors: Vec::new(), without: Vec::new() };
    if !syntax.is_empty() {
        // What follows from the first in its line would only confuse.
        let mut lines = std::collections::BTreeSet::new();
        for error in syntax {
            let error = at(path, text, &error);
            if lines.insert(error.span().map(|span| span.line_column().0)) {
                parsed.errors.push(error);
            }
        }
        return parsed;
    }
    while parsed.errors.len() < MANY {
        let error = match T::deserialize(toml::Deserializer::from(root.clone())) {
            Ok(value) => {
                parsed.value = Some(value);
                break;
            }
            Err(error) => error,
        };
        let removed = error.span().and_then(|place| remove(root.get_mut(), &place));
        // What is missing because it was taken out above has been said.
        let follows = removed.as_ref().is_some_and(|removed| {
            let mut before = parsed.without.iter();
            error.message().contains("missing field") && before.any(|before| before.starts_with(removed))
        });
        if !follows {
            parsed.errors.push(at(path, text, &error));
        }
        match removed {
            Some(removed) => parsed.without.push(removed),
            None => break,
        }
    }
    parsed
}

/// Takes the innermost entry around `place` out of `table`: its name from the top.
fn remove(table: &mut DeTable<'_>, place: &Range<usize>) -> Option<Vec<String>> {
    let inside = |span: Range<usize>| span.start <= place.start && place.start < span.end.max(span.start + 1);
    for (key, value) in table.iter_mut() {
        // A table's own place is its head alone.
        if let DeValue::Table(inner) = value.get_mut()
            && let Some(rest) = remove(inner, place)
        {
            let mut whole = vec![key.get_ref().to_string()];
            whole.extend(rest);
            return Some(whole);
        }
    }
    let (key, _) = table.iter().find(|(key, value)| inside(key.span()) || inside(value.span()))?;
    let key = key.clone();
    table.remove(&key);
    Some(vec![key.get_ref().to_string()])
}

fn at(path: &Path, text: &Arc<str>, error: &toml::de::Error) -> Error {
    let message = error.message().trim();
    let range = error.span().unwrap_or(0..0);
    let mut ours = Error::new(ErrorKind::Config, "toml", plain_words(message));
    if let Some(hint) = hint(message) {
        ours = ours.with_hint(hint);
    }
    ours.with_span(Span::new(path, text.clone(), range))
}

/// serde's words for types and keys are those of Rust: says them in those of TOML.
fn plain_words(message: &str) -> String {
    let named = message.starts_with("unknown field") || message.starts_with("unknown variant");
    // The hint has the names.
    let message = if named { message.split(", expected").next().unwrap_or(message) } else { message };
    [
        ("unknown field", "unknown key"),
        ("unknown variant", "unknown value"),
        ("missing field", "missing key"),
        ("expected path string", "expected a string"),
        ("expected a map", "expected a table"),
        ("expected u64", "expected a whole number from 0"),
        ("expected u32", "expected a whole number from 0"),
    ]
    .into_iter()
    .fold(without_struct(message), |text, (rust, toml)| text.replace(rust, toml))
}

/// `expected struct Source` is `expected a table`.
fn without_struct(message: &str) -> String {
    match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected a table"),
        None => message.to_owned(),
    }
}

/// serde says "unknown field `shadr`, expected one of `shader`, `size`": finds the nearest of those.
fn hint(message: &str) -> Option<String> {
    let (given, expected) = message.split_once("expected")?;
    if !given.starts_with("unknown") {
        return None;
    }
    let given = given.split('`').nth(1)?;
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    Some(match nearest(given, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("valid here: {}", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Example {
        shader: String,
        #[serde(default)]
        size: u32,
    }

    #[test]
    fn unknown_key_has_line_and_nearest_name() {
        let error = parse::<Example>(Path::new("p.toml"), &"size = 3\nshadr = \"a\"\n".into()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("p.toml:2:1: toml: unknown key `shadr`"), "{text}");
        assert!(text.ends_with("did you mean `shader`?"), "{text}");
    }

    #[test]
    fn wrong_type_has_a_place() {
        let error = parse::<Example>(Path::new("p.toml"), &"shader = 3\n".into()).unwrap_err();
        assert_eq!(error.span().unwrap().line_column(), (1, 10));
    }
}
