//! TOML text to typed values, with errors that show the place and the nearest valid name.
//!
//! In: a file's name and text. Out: a value, or an [`Error`] of kind `Config` with a [`Span`].
//! Not here: what the keys mean (`board`, `pipeline::description`).

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result, Span, nearest};

/// Parses `text`, which came from `path`.
///
/// # Errors
/// `Config`: a syntax error, a wrong type, an unknown key (with the nearest valid one).
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &Arc<str>) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim();
        let range = error.span().unwrap_or(0..0);
        let mut ours = Error::new(ErrorKind::Config, "toml", plain_words(message));
        if let Some(hint) = hint(message) {
            ours = ours.with_hint(hint);
        }
        ours.with_span(Span::new(path, text.clone(), range))
    })
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
    .fold(message.to_owned(), |text, (rust, toml)| text.replace(rust, toml))
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
