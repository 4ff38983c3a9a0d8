//! Errors for people: the file, the line, the text underlined, what to do next.
//!
//! In: an [`Error`]. Out: lines on standard error: drawn on a terminal, one plain line per error elsewhere.
//! Not here: what the error says.

use std::fmt;

use darkframe::error::{Error, ErrorKind, Span};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

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
    let mut text = String::new();
    if !terminal {
        text = format!("darkframe: error: {error}\n");
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            text.push_str(&format!("  caused by: {next}\n"));
            cause = next.source();
        }
        return text;
    }
    let diagnostic = Drawn::new(error);
    let theme = if std::env::var_os("NO_COLOR").is_some() {
        GraphicalTheme::unicode_nocolor()
    } else {
        GraphicalTheme::unicode()
    };
    match GraphicalReportHandler::new_themed(theme).render_report(&mut text, &diagnostic) {
        Ok(()) => text,
        Err(_) => format!("darkframe: error: {error}\n"),
    }
}

/// An error as miette draws it.
#[derive(Debug)]
struct Drawn<'a> {
    error: &'a Error,
    source: Option<NamedSource<String>>,
    label: Option<LabeledSpan>,
}

impl<'a> Drawn<'a> {
    fn new(error: &'a Error) -> Self {
        let source =
            error.span().map(|span: &Span| NamedSource::new(span.path.display().to_string(), span.text.to_string()));
        let label = error.span().map(|span| LabeledSpan::new(None, span.start, span.len));
        Self { error, source, label }
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error.op(), self.error.detail())
    }
}

impl std::error::Error for Drawn<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.error)
    }
}

impl Diagnostic for Drawn<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        code(self.error.kind()).map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.hint().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.label.clone().map(|label| Box::new(std::iter::once(label)) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
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
        for part in ["a.toml", "size = 0", "sizes start at 1", "remove the key"] {
            assert!(drawn.contains(part), "{drawn}");
        }
    }
}
