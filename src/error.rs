//! The one error type of the crate.
//!
//! In: what failed, with its numbers. Out: an [`Error`] whose [`kind`](Error::kind) says who must act.
//! Not here: how an error is printed on a terminal (the command line does that from [`Error::span`] and [`Error::hint`]).

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who must act on an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This machine cannot do it: try the next way, or skip.
    Unsupported,
    /// A file, node, library or name is not there.
    NotFound,
    /// It is there, and this user may not use it.
    PermissionDenied,
    /// The caller's numbers break a rule; nothing was handed to the driver.
    InvalidInput,
    /// A board file or a pipeline file says something that cannot be.
    Config,
    /// A shader does not compile or link.
    Shader,
    /// Memory of some kind (system, GPU, CMA, fds) ran out.
    OutOfMemory,
    /// A wait ended without its event.
    Timeout,
    /// The GPU context is gone (reset, hang); everything made with it must be made again.
    ContextLost,
    /// The process at the other end of a socket or pipe went away.
    PeerClosed,
    /// The caller has asked for the end while this was waiting.
    Interrupted,
    /// The driver or the kernel failed in a way that fits none of the above.
    Failed,
}

/// A place in a text file, for errors in descriptions, board files and shaders.
#[derive(Clone, Debug)]
pub struct Span {
    /// The file's name as the user gave it.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
    /// First byte of the place.
    pub start: usize,
    /// Length of the place in bytes; 0 for a point.
    pub len: usize,
}

impl Span {
    /// A place in `text`; `range` is clamped to the text.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>, range: std::ops::Range<usize>) -> Self {
        let text = text.into();
        let start = range.start.min(text.len());
        let len = range.end.clamp(start, text.len()) - start;
        Self { path: path.into(), text, start, len }
    }

    /// Line and column of the start, both counted from 1; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        // A range from a foreign parser may start inside a character: step back to its first byte.
        let mut start = self.start;
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// What failed, with its numbers and what to do next.
///
/// `Display` prints `op: detail; hint`, preceded by `file:line:column: ` where the error has a place in a file.
/// It never repeats the [`source`](std::error::Error::source).
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    op: Cow<'static, str>,
    detail: String,
    hint: Option<String>,
    span: Option<Span>,
    others: Vec<Error>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`. `op` is the C name of the call or the key of the description; `detail` has the numbers.
    pub fn new(kind: ErrorKind, op: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            op: op.into(),
            detail: detail.into(),
            hint: None,
            span: None,
            others: Vec::new(),
            source: None,
        }))
    }

    /// Short for kind [`ErrorKind::Unsupported`].
    pub fn unsupported(op: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, op, detail)
    }

    /// Short for kind [`ErrorKind::InvalidInput`].
    pub fn invalid(op: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, op, detail)
    }

    /// Short for kind [`ErrorKind::Failed`].
    pub fn failed(op: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, op, detail)
    }

    /// An error from a system call: the kind follows from `errno`.
    pub fn from_errno(op: impl Into<Cow<'static, str>>, detail: impl fmt::Display, errno: nix::errno::Errno) -> Self {
        let kind = kind_of_errno(errno);
        Self::new(kind, op, format!("{detail}: {} ({errno:?})", errno.desc()))
    }

    /// An error from [`std::io`]: the kind follows from the OS error where there is one.
    pub fn from_io(op: impl Into<Cow<'static, str>>, detail: impl fmt::Display, error: std::io::Error) -> Self {
        if let Some(raw) = error.raw_os_error() {
            return Self::from_errno(op, detail, nix::errno::Errno::from_raw(raw));
        }
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => ErrorKind::InvalidInput,
            std::io::ErrorKind::BrokenPipe => ErrorKind::PeerClosed,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, op, format!("{detail}: {error}"))
    }

    /// The same error with what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with what `other` says to do next.
    #[must_use]
    pub fn with_hint_of(self, other: &Self) -> Self {
        match other.hint() {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }

    /// The same error with a place in a file.
    #[must_use]
    pub fn with_span(mut self, span: Span) -> Self {
        self.0.span = Some(span);
        self
    }

    /// The same error with others that were found beside it.
    #[must_use]
    pub fn with_others(mut self, others: Vec<Self>) -> Self {
        self.0.others = others;
        self
    }

    /// The error alone, and those that were found beside it.
    pub fn apart(mut self) -> (Self, Vec<Self>) {
        let others = std::mem::take(&mut self.0.others);
        (self, others)
    }

    /// Errors that were found beside it, which `Display` leaves out.
    pub fn others(&self) -> &[Self] {
        &self.0.others
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// The same error with `context: ` before its detail (a file's name, a pass's name).
    #[must_use]
    pub fn in_context(mut self, context: impl fmt::Display) -> Self {
        self.0.detail = format!("{context}: {}", self.0.detail);
        self
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The C name of the call, or the key of the description.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// The numbers and the rule that was broken.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The place in a file.
    pub fn span(&self) -> Option<&Span> {
        self.0.span.as_ref()
    }
}

/// Who must act on an `errno`.
fn kind_of_errno(errno: nix::errno::Errno) -> ErrorKind {
    use nix::errno::Errno as E;
    match errno {
        E::ENOENT | E::ENXIO | E::ENODEV => ErrorKind::NotFound,
        E::EACCES | E::EPERM => ErrorKind::PermissionDenied,
        E::EINVAL | E::EBADF | E::EFAULT | E::EOVERFLOW | E::ERANGE => ErrorKind::InvalidInput,
        E::ENOMEM | E::EMFILE | E::ENFILE | E::ENOSPC => ErrorKind::OutOfMemory,
        E::ETIMEDOUT | E::ETIME => ErrorKind::Timeout,
        E::ENOTTY | E::ENOSYS | E::EOPNOTSUPP => ErrorKind::Unsupported,
        E::EPIPE | E::ECONNRESET => ErrorKind::PeerClosed,
        _ => ErrorKind::Failed,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.0.span {
            let (line, column) = span.line_column();
            write!(f, "{}:{line}:{column}: ", span.path.display())?;
        }
        write!(f, "{}: {}", self.0.op, self.0.detail)?;
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(f, " (caused by: {source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The name in `names` nearest to `given`, if one is near enough to be a typo.
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = given.chars().count() / 3 + 1;
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Reads a text file; the error names the file.
pub(crate) fn read_text(path: &Path, op: &'static str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::IsADirectory => Error::invalid(op, format!("{}: is a folder, not a file", path.display())),
        _ => Error::from_io(op, path.display(), error),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::invalid(op, format!("{}: byte {at}: the file is no text (UTF-8)", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_has_place_op_detail_and_hint_once() {
        let error = Error::new(ErrorKind::Config, "pass.blur.size", "0x0: sizes start at 1")
            .with_hint("remove the key to take the input's size")
            .with_span(Span::new("a.toml", "x = 1\nsize = 0\n", 13..14));
        assert_eq!(
            error.to_string(),
            "a.toml:2:8: pass.blur.size: 0x0: sizes start at 1; remove the key to take the input's size"
        );
    }

    #[test]
    fn span_inside_a_character_does_not_panic() {
        assert_eq!(Span::new("a", "é=1", 1..2).line_column(), (1, 1));
        assert_eq!(Span::new("a", "", 5..9).line_column(), (1, 1));
    }

    #[test]
    fn nearest_finds_typos_only() {
        assert_eq!(nearest("shadr", ["shader", "size"]), Some("shader"));
        assert_eq!(nearest("completely", ["shader", "size"]), None);
    }
}
