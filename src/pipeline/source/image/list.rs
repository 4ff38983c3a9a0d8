//! Which files a name stands for: one, those that match `*`, `?`, `[…]`, or those with numbers in the place of `%04d`.
//!
//! In: a folder and a name. Out: files in their order.
//! Not here: what is in them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

use super::super::super::sink::output::Pattern;

/// More are a mistake: a pattern over a whole disk.
const MAX_FILES: usize = 1_000_000;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// The file of this name, whether it is there or not.
    One(PathBuf),
    /// At least one file, and what is to be said about them.
    Several(Vec<PathBuf>, Option<String>),
}

/// Whether a name is meant for several files. Where a file has just this name, it is that file.
pub fn is_several(folder: &Path, name: &Path) -> bool {
    let is_pattern = is_glob(name) || is_numbered(name);
    is_pattern && std::fs::symlink_metadata(folder.join(name)).is_err()
}

/// Whether a name that stands for several files would stand for `file` too, if it were there.
pub fn is_among(folder: &Path, name: &Path, file: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let plain = |path: PathBuf| path.components().collect::<PathBuf>();
    let (wanted, file) = (plain(absolute(&folder.join(name))), plain(absolute(file)));
    if is_glob(name) {
        return wanted
            .to_str()
            .and_then(|text| glob::Pattern::new(text).ok())
            .is_some_and(|pattern| pattern.matches_path_with(&file, options()));
    }
    let numbered = wanted.file_name().and_then(|name| Pattern::parse(Path::new(name)).ok());
    let number = |name: &std::ffi::OsStr| numbered.as_ref()?.number_in(name.to_str()?);
    wanted.parent() == file.parent() && file.file_name().and_then(number).is_some()
}

fn is_glob(name: &Path) -> bool {
    name.to_string_lossy().contains(['*', '?', '['])
}

fn is_numbered(name: &Path) -> bool {
    name.file_name().is_some_and(|name| name.to_string_lossy().contains('%'))
}

/// Finds the files of `name`, which is relative to `folder`. Those of a pattern are sorted by name, numbers in names by
/// their value (`a2` before `a10`); numbered ones by their number.
///
/// # Errors
/// `NotFound` where no file matches; `InvalidInput` for a pattern that is none.
pub fn find(folder: &Path, name: &Path) -> Result<Files> {
    if !is_several(folder, name) {
        return Ok(Files::One(folder.join(name)));
    }
    match is_glob(name) {
        true => matching(folder, name),
        false => numbered(folder, name),
    }
}

fn options() -> glob::MatchOptions {
    // As shells do it: * is not for names that begin with a dot.
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true }
}

fn matching(folder: &Path, name: &Path) -> Result<Files> {
    let shown = folder.join(name);
    let not_text = || Error::invalid("open", format!("{}: the name is no text (UTF-8)", shown.display()));
    let wanted = name.to_str().ok_or_else(not_text)?;
    let text = match (name.is_absolute(), folder.as_os_str().is_empty()) {
        (true, _) | (_, true) => wanted.to_owned(),
        _ => format!("{}/{wanted}", glob::Pattern::escape(folder.to_str().ok_or_else(not_text)?)),
    };
    let wrong = |error: glob::PatternError| {
        let detail = format!("{}: at character {} of the pattern: {}", shown.display(), error.pos, error.msg);
        Error::invalid("open", detail).with_hint("* is any text, ? any character, [0-9] one of these")
    };
    let found: Box<dyn Iterator<Item = std::result::Result<PathBuf, (PathBuf, std::io::Error)>>> =
        match text.contains("**") {
            true => Box::new(below(&shown, glob::Pattern::new(&text).map_err(wrong)?)),
            false => {
                let found = glob::glob_with(&text, options()).map_err(wrong)?;
                Box::new(found.map(|path| path.map_err(|error| (error.path().to_owned(), error.into()))))
            }
        };
    let mut files: Vec<PathBuf> = Vec::new();
    // By a link to a folder above it, the same file may be found by many ways.
    let mut folders: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut seen = std::collections::HashSet::new();
    for (looked, path) in found.enumerate() {
        if looked >= MAX_FILES {
            let detail = format!("{}: more than {MAX_FILES} files match", shown.display());
            return Err(Error::invalid("open", detail).with_hint("name the folder and the extension"));
        }
        let path = match path {
            Ok(path) => path,
            // A link that leads in a circle has no files.
            Err((_, error)) if error.raw_os_error() == Some(nix::libc::ELOOP) => continue,
            Err((path, error)) => return Err(Error::from_io("open", path.display(), error)),
        };
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        let parent = path.parent().unwrap_or(Path::new("")).to_owned();
        let real = folders.entry(parent).or_insert_with_key(|parent| {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            std::fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned())
        });
        if seen.insert(real.join(path.file_name().unwrap_or_default())) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(nothing(&shown, "no file matches"));
    }
    files.sort_by(|one, other| alphanumeric_sort::compare_path(one, other));
    Ok(Files::Several(files, None))
}

/// Every file that matches, in the folders below the first that is no pattern. Links to folders are not followed: they may
/// lead in circles.
fn below(
    shown: &Path,
    pattern: glob::Pattern,
) -> impl Iterator<Item = std::result::Result<PathBuf, (PathBuf, std::io::Error)>> {
    let top = shown.ancestors().filter(|part| !is_glob(part)).find(|part| part.is_dir()).unwrap_or(Path::new(""));
    let top = if top.as_os_str().is_empty() { Path::new(".") } else { top };
    walkdir::WalkDir::new(top).into_iter().filter_map(move |entry| match entry {
        Ok(entry) => {
            let path = entry.path().strip_prefix("./").unwrap_or(entry.path());
            pattern.matches_path_with(path, options()).then(|| Ok(path.to_owned()))
        }
        Err(error) => {
            let path = error.path().map(Path::to_owned).unwrap_or_default();
            Some(Err((path, error.into())))
        }
    })
}

fn numbered(folder: &Path, name: &Path) -> Result<Files> {
    let shown = folder.join(name);
    let parent = shown.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let pattern = Pattern::parse(Path::new(shown.file_name().unwrap_or_default()))
        .map_err(|detail| Error::invalid("open", detail))?;
    if !pattern.is_numbered() {
        // `100%%.png` is a file with one sign.
        return Ok(Files::One(parent.join(pattern.name(0))));
    }
    let failed = |error| Error::from_io("open", parent.display(), error);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(parent).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(number) = name.to_str().and_then(|name| pattern.number_in(name)) {
            files.insert(number, shown.with_file_name(name));
        }
    }
    let (Some((first, _)), Some((last, _))) = (files.first_key_value(), files.last_key_value()) else {
        return Err(nothing(&shown, "no file has such a name"));
    };
    let count = files.len() as u64;
    let (first, last) = (*first, *last);
    let gap = (last - first + 1 > count).then(|| {
        let missing = (first..last).find(|number| !files.contains_key(number)).unwrap_or(first);
        format!("the files are {count} of {first} to {last}: the first that is missing is {missing}")
    });
    Ok(Files::Several(files.into_values().collect(), gap))
}

fn nothing(shown: &Path, why: &str) -> Error {
    let error = Error::new(ErrorKind::NotFound, "open", format!("{}: {why}", shown.display()));
    let plain = |part: &Path| !is_glob(part) && !part.as_os_str().is_empty();
    match shown.ancestors().skip(1).find(|part| plain(part)) {
        Some(folder) if !folder.is_dir() => error.with_hint(format!("there is no folder {}", folder.display())),
        _ => error.with_hint("the name is relative to the pipeline file"),
    }
}
