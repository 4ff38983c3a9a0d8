//! Errors for people: the file, the line, the text underlined, what to do next.
//!
//! In: an [`Error`]. Out: lines on standard error: drawn on a terminal, one plain line per error elsewhere.
//! Not here: what the error says.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use darkframe::error::{Error, ErrorKind, Span};

/// Prints `error`, its causes and the errors that were found beside it; how many they are, where they are several.
pub fn print(error: &Error, terminal: bool) {
    eprint!("{}", render(error, terminal));
    error.others().iter().for_each(|other| eprint!("{}", render(other, terminal)));
    if !error.others().is_empty() {
        eprintln!("darkframe: {} errors", error.others().len() + 1);
    }
}

/// The error for machines. Lines and columns count from 1, columns in characters; the last column is behind the place.
pub fn json(error: &Error) -> serde_json::Value {
    let place = error.span().map(|span| {
        let (line, column) = span.line_column();
        let end = Span::new(&span.path, span.text.clone(), span.start + span.len..span.start + span.len).line_column();
        serde_json::json!({
            "file": span.path, "line": line, "column": column, "end_line": end.0, "end_column": end.1,
            "text": span.text.get(span.start..span.start + span.len),
        })
    });
    serde_json::json!({
        "kind": code(error.kind()), "key": error.op(), "message": error.detail(), "hint": error.hint(), "place": place,
    })
}

/// The kind of an error, in words.
fn code(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::NotFound => "not found",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::InvalidInput => "invalid input",
        ErrorKind::Config => "description",
        ErrorKind::Shader => "shader",
        ErrorKind::OutOfMemory => "out of memory",
        ErrorKind::Timeout => "timeout",
        ErrorKind::ContextLost => "context lost",
        ErrorKind::PeerClosed => "peer closed",
        _ => return None,
    })
}

fn render(error: &Error, terminal: bool) -> String {
    if !terminal {
        let mut text = format!("darkframe: error: {error}\n");
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            text.push_str(&format!("  caused by: {next}\n"));
            cause = next.source();
        }
        return text;
    }
    let renderer = if std::env::var_os("NO_COLOR").is_some() { Renderer::plain() } else { Renderer::styled() };
    renderer.decor_style(DecorStyle::Unicode).render(&[drawn(error)]) + "\n\n"
}

/// The error as annotate-snippets draws it: what is wrong, its place, what it comes from, what to do.
fn drawn(error: &Error) -> Group<'_> {
    let title = Level::ERROR.primary_title(format!("{}: {}", error.op(), error.detail()));
    let title = match code(error.kind()) {
        Some(code) => title.id(code),
        None => title,
    };
    let mut group = Group::with_title(title);
    if let Some(span) = error.span() {
        let place = Snippet::source(&*span.text).path(span.path.display().to_string());
        let end = span.start + span.len;
        // A place outside its own text would be our mistake; the error itself must be seen all the same.
        group = match span.text.get(span.start..end) {
            Some(_) => group.element(place.annotation(AnnotationKind::Primary.span(span.start..end))),
            None => group.element(place),
        };
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    group = group.elements(causes.map(|cause| Level::NOTE.message(format!("caused by: {cause}"))));
    group.elements(error.hint().map(|hint| Level::HELP.message(hint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_drawn_on_a_terminal_and_is_one_line_elsewhere() {
        let error = Error::new(ErrorKind::Config, "pass.blur.size", "sizes start at 1")
            .with_hint("remove the key")
            .with_span(Span::new("a.toml", "x = 1\nsize = 0\n", 13..14));
        let plain = render(&error, false);
        assert_eq!(plain, "darkframe: error: a.toml:2:8: pass.blur.size: sizes start at 1; remove the key\n");
        let drawn = render(&error, true);
        for part in ["a.toml:2:8", "size = 0", "sizes start at 1", "remove the key"] {
            assert!(drawn.contains(part), "{drawn}");
        }
    }

    #[test]
    fn places_at_the_end_and_outside_of_a_text_are_drawn() {
        for place in [14..14, 0..14, 13..15, 20..21, 3..3] {
            let error =
                Error::new(ErrorKind::Config, "size", "is missing").with_span(Span::new("a", "x = 1\nä = 0\nz", place));
            assert!(render(&error, true).contains("is missing"));
        }
    }
}
