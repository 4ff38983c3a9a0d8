//! The blocks of a job become one: every frame looked for, every checksum compared, parts joined to files.
//!
//! In: manifests. Out: files that are there whole or not at all, and an [`Outcome`] that says what is missing and which
//! command draws it.
//! Not here: drawing (`runner`), printing (the command line).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

use super::description::FrameRange;
use super::frames::FrameSet;
use super::identity;
use super::manifest::{Checksum, Contents, Head, Record, SinkHead};
use super::resume::{checksum_at, expected, is_whole_file};
use super::shard::Shard;
use super::sink::output::{Output, Pattern};

/// What became of a job.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Frames of the job.
    pub frames: u64,
    /// The job's sinks.
    pub sinks: Vec<Merged>,
    /// Why frames are not there, in words, with the commands that draw them; empty where nothing is missing.
    pub missing: Vec<Missing>,
    /// Who drew, where blocks were drawn by different drivers.
    pub drivers: Vec<String>,
}

/// A sink whose frames are all there.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The name in the pipeline file.
    pub name: String,
    /// The file, or the pattern of the files.
    pub file: PathBuf,
    /// How many frames.
    pub frames: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The file was made of parts.
    pub joined: bool,
}

/// Frames of a block that are not there.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The frames.
    pub frames: FrameSet,
    /// Sinks that lack some of them.
    pub sinks: BTreeSet<String>,
    /// What is known of it: never begun, not finished, files that are gone or damaged.
    pub why: String,
    /// The command that draws them.
    pub again: String,
}

/// A record and the manifest that has it.
type Found<'a> = (&'a Contents, &'a Record);

/// Joins the blocks of which `paths` are the manifests, or folders with manifests. `frames` is the job's range where no
/// manifest has it whole. With `write` off nothing is made.
///
/// # Errors
/// `InvalidInput`: manifests of different jobs; two blocks with different pictures of one frame. Those of the files.
pub fn merge(paths: &[PathBuf], frames: Option<FrameRange>, write: bool) -> Result<Outcome> {
    let manifests = manifests(paths)?;
    let mut contents = Vec::new();
    for path in &manifests {
        contents.push(Contents::open(path)?);
    }
    let first = contents.first().ok_or_else(|| Error::invalid("merge", "there is no manifest"))?;
    for other in &contents[1..] {
        let differences = identity::differences(&first.head, &other.head);
        if !differences.is_empty() {
            let (one, two) = (first.path.display(), other.path.display());
            let detail = format!("{one} and {two} are of different jobs: {}", differences.join("; "));
            return Err(Error::invalid("merge", detail)
                .with_hint("draw the shards of the older one again, or leave its manifest out"));
        }
    }
    let total = total(&contents, frames);
    let mut outcome = Outcome { frames: total.end - total.start, drivers: drivers(&contents), ..Outcome::default() };
    let mut lacking: BTreeMap<String, FrameSet> = BTreeMap::new();
    let mut outputs = Vec::new();
    for (name, sink) in &first.head.sinks {
        let Some(file) = &sink.file else { continue };
        let records = records(&contents, name, sink, &total)?;
        let frames: Vec<u64> = expected(&total, sink.every).collect();
        let gone = match sink.parts {
            true => {
                let (gone, output) = join(&contents, name, file, &frames, &records, write)?;
                outputs.extend(output.map(|output| (outcome.sinks.len(), output)));
                gone
            }
            false => {
                let pattern = Pattern::parse(file).map_err(|detail| Error::invalid("file", detail))?;
                let is_there = |frame: &u64| {
                    let record = records.get(frame).and_then(|found| found.first());
                    record.is_some_and(|(_, record)| is_whole_file(record, &pattern.name(*frame)))
                };
                frames.iter().copied().filter(|frame| !is_there(frame)).collect()
            }
        };
        let bytes = records.values().filter_map(|found| found.first()).map(|(_, record)| record.bytes).sum();
        if !gone.is_empty() {
            lacking.insert(name.clone(), gone);
        }
        outcome.sinks.push(Merged {
            name: name.clone(),
            file: file.clone(),
            frames: frames.len() as u64,
            bytes,
            joined: sink.parts,
        });
    }
    outcome.missing = missing(&contents, &total, &lacking);
    if outcome.missing.is_empty() {
        // Nothing gets its name unless everything is there.
        for (sink, output) in outputs {
            outcome.sinks[sink].bytes = output.commit()?;
        }
    }
    Ok(outcome)
}

/// The files that `paths` name, and those in the folders that it names.
fn manifests(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries =
            std::fs::read_dir(path).map_err(|error| Error::from_io("merge", path.display(), error))?.flatten();
        let before = found.len();
        found.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|name| name == "jsonl")),
        );
        if found.len() == before {
            let detail = format!("{}: there is no manifest (*.jsonl) in this folder", path.display());
            return Err(Error::new(ErrorKind::NotFound, "merge", detail)
                .with_hint("it is the folder --job of the runs, by default NAME.job for NAME.toml"));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The frames of the whole job: what is asked for, else all that any manifest speaks of; up to where a source ended.
fn total(contents: &[Contents], asked: Option<FrameRange>) -> Range<u64> {
    let heads = || contents.iter().map(|contents| &contents.head.frames);
    let start = heads().map(|frames| frames.start).min().unwrap_or(0);
    let end = heads().map(|frames| frames.end).max().unwrap_or(0);
    let (start, end) = match asked {
        Some(asked) => (asked.start, asked.end.unwrap_or(end)),
        None => (start, end),
    };
    let ended = contents.iter().filter_map(|contents| contents.end).min().unwrap_or(u64::MAX);
    start..end.min(ended).max(start)
}

/// All drivers, where there is more than one.
fn drivers(contents: &[Contents]) -> Vec<String> {
    let all: BTreeSet<&String> = contents.iter().flat_map(|contents| &contents.drivers).collect();
    if all.len() > 1 { all.into_iter().cloned().collect() } else { Vec::new() }
}

/// What the manifests say of each frame.
fn records<'a>(
    contents: &'a [Contents],
    sink: &str,
    head: &SinkHead,
    total: &Range<u64>,
) -> Result<BTreeMap<u64, Vec<Found<'a>>>> {
    let mut records: BTreeMap<u64, Vec<Found<'a>>> = BTreeMap::new();
    for contents in contents {
        let from = (sink.to_owned(), Some(total.start));
        for ((_, frame), record) in contents.records.range(from..).take_while(|((name, _), _)| name == sink) {
            if let Some(frame) = frame.filter(|frame| frame.is_multiple_of(head.every) && *frame < total.end) {
                records.entry(frame).or_default().push((contents, record));
            }
        }
    }
    for (frame, found) in &records {
        let other = |(_, record): &&Found<'_>| record.xxh3 != found[0].1.xxh3 || record.bytes != found[0].1.bytes;
        if let Some((other, _)) = found.iter().find(other) {
            let (one, two) = (found[0].0.path.display(), other.path.display());
            let detail = format!("sink \"{sink}\": {one} and {two} have different pictures of frame {frame}");
            return Err(Error::invalid("merge", detail)
                .with_hint("the two were drawn differently: draw one of the blocks again, or remove its manifest"));
        }
    }
    Ok(records)
}

/// Copies the frames of all parts, one after the other, and gives those that are not there; the output where none is
/// missing and `write` is on.
fn join(
    contents: &[Contents],
    sink: &str,
    file: &Path,
    frames: &[u64],
    records: &BTreeMap<u64, Vec<Found<'_>>>,
    write: bool,
) -> Result<(FrameSet, Option<Output>)> {
    let mut parts = Parts::default();
    let mut output = match write && frames.iter().all(|frame| records.contains_key(frame)) && !frames.is_empty() {
        true => Some(Output::create(file)?),
        false => None,
    };
    let mut gone = FrameSet::default();
    let headers: Vec<&Record> = contents.iter().filter_map(|contents| contents.record(sink, None)).collect();
    if let Some(other) = headers.iter().find(|header| header.xxh3 != headers[0].xxh3) {
        let (one, two) = (headers[0].file.display(), other.file.display());
        return Err(Error::invalid("merge", format!("sink \"{sink}\": {one} and {two} begin differently")));
    }
    if !headers.is_empty() {
        match (headers.iter().find_map(|record| parts.read(record, file)), &mut output) {
            (Some(header), Some(output)) => output.write_all(&header)?,
            (Some(_), None) => {}
            // Parts without their beginning are of no use.
            (None, _) => return Ok((frames.iter().copied().collect(), None)),
        }
    }
    for frame in frames {
        let found = records.get(frame).map_or(&[][..], Vec::as_slice);
        match &mut output {
            Some(output) => match found.iter().find_map(|(_, record)| parts.read(record, file)) {
                Some(bytes) => output.write_all(&bytes)?,
                None => gone.insert(*frame..frame + 1),
            },
            None if found.iter().any(|(_, record)| parts.has(record, file)) => {}
            None => gone.insert(*frame..frame + 1),
        }
    }
    Ok((gone.clone(), output.filter(|_| gone.is_empty())))
}

/// Open parts; frames mostly come from one after the other.
#[derive(Default)]
struct Parts(Option<(PathBuf, File)>);

impl Parts {
    fn open(&mut self, record: &Record, file: &Path) -> Option<&File> {
        if self.0.as_ref().is_none_or(|(path, _)| *path != record.file) {
            // A job that was not split has given its only part the file's own name.
            let open = File::open(&record.file).or_else(|_| File::open(file)).ok()?;
            self.0 = Some((record.file.clone(), open));
        }
        self.0.as_ref().map(|(_, file)| file)
    }

    /// The bytes, where they are what the record says.
    fn read(&mut self, record: &Record, file: &Path) -> Option<Vec<u8>> {
        let open = self.open(record, file)?;
        // The length is the manifest's word: no memory for it unless the file has it.
        let there = open.metadata().ok()?.len();
        let end = record.at.checked_add(record.bytes).filter(|end| *end <= there)?;
        let mut bytes = vec![0; usize::try_from(end - record.at).ok()?];
        open.read_exact_at(&mut bytes, record.at).ok()?;
        (Checksum::of(&bytes) == record.xxh3).then_some(bytes)
    }

    fn has(&mut self, record: &Record, file: &Path) -> bool {
        let Some(open) = self.open(record, file) else { return false };
        matches!(checksum_at(open, record.at, record.bytes), Ok(Some(sum)) if sum == record.xxh3)
    }
}

/// What is missing, block by block, with the command that draws it.
fn missing(contents: &[Contents], total: &Range<u64>, lacking: &BTreeMap<String, FrameSet>) -> Vec<Missing> {
    let mut all = FrameSet::default();
    lacking.values().flat_map(FrameSet::ranges).for_each(|range| all.insert(range.clone()));
    let mut found = Vec::new();
    // Blocks that were begun, then the others of the same splits, then what no split covers.
    let mut known: Vec<(Range<u64>, Option<&Contents>, Head)> = Vec::new();
    for contents in contents {
        known.push((contents.head.block.clone(), Some(contents), contents.head.clone()));
    }
    for contents in contents {
        let Some((_, count)) = contents.head.shard else { continue };
        for index in 0..count {
            let block = Shard { index, count }.block(&contents.head.frames);
            let head = Head { shard: Some((index, count)), block: block.clone(), ..contents.head.clone() };
            if !known.iter().any(|(other, ..)| *other == block) {
                known.push((block, None, head));
            }
        }
    }
    if let Some(first) = contents.first() {
        let head = Head { shard: Some((0, 1)), frames: total.clone(), block: total.clone(), ..first.head.clone() };
        known.push((total.clone(), None, head));
    }
    for (block, begun, mut head) in known {
        let here = |set: &FrameSet| set.iter().filter(|frame| block.contains(frame)).collect::<FrameSet>();
        let frames = here(&all);
        let (Some(first), Some(last)) = (frames.ranges().first(), frames.ranges().last()) else { continue };
        let sinks = lacking.iter().filter(|(_, set)| !here(set).is_empty()).map(|(name, _)| name.clone()).collect();
        let is_last = block == *total && begun.is_none();
        if is_last {
            head.frames = first.start..last.end;
        }
        let why = match begun {
            None => "never begun".into(),
            Some(contents) => {
                let noted = |frame: &u64| {
                    let mut sinks = lacking.iter().filter(|(_, set)| set.contains(*frame));
                    sinks.all(|(name, _)| contents.record(name, Some(*frame)).is_some())
                };
                match frames.iter().filter(noted).count() as u64 {
                    0 => "not finished".into(),
                    gone if Some(gone) == frames.count() => "gone or damaged since they were written".into(),
                    gone => format!("not finished; {gone} of them gone or damaged since they were written"),
                }
            }
        };
        found.push(Missing { frames: frames.clone(), sinks, why, again: command(&head, begun) });
        // Each frame once.
        all = all.iter().filter(|frame| !frames.contains(*frame)).collect();
    }
    found
}

/// The command that draws a block, or goes on with it.
fn command(head: &Head, begun: Option<&Contents>) -> String {
    let quoted = |text: &str| match text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,%+@".contains(c)) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    };
    let mut words = vec!["darkframe run".to_owned(), quoted(&head.pipeline)];
    words.extend(head.settings.iter().map(|setting| format!("--set {}", quoted(setting))));
    words.push(format!("--frames {}..{}", head.frames.start, head.frames.end));
    words.extend(head.shard.map(|(index, count)| format!("--shard {index}/{count}")));
    words.extend(head.warm_up.map(|frames| format!("--warm-up {frames}")));
    if let Some(folder) = begun.and_then(|contents| contents.path.parent()) {
        words.push(format!("--job {}", quoted(&folder.display().to_string())));
    }
    words.push("--resume".into());
    words.join(" ")
}
