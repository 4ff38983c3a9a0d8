//! A run as a part of a job: which frames of its block are whole on disk already, and which are to be drawn.
//!
//! In: a checked pipeline and what the command line says of the job. Out: a [`Work`] whose sinks write only what is
//! missing, each into files of its own, and note it in the manifest.
//! Not here: the manifest's form (`manifest`), joining the blocks (`merge`).
//!
//! Nothing is believed but bytes: a frame is whole where the manifest has its checksum and the bytes on disk have it too.
//! Sinks with all frames in one file write a part, `NAME.part-START-END`, which grows frame by frame; what stands behind
//! its last whole frame is cut off. Where the job is not split, the part gets the file's own name at the end.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::description::{Description, SinkKind, WhenFull};
use super::frames::FrameSet;
use super::identity;
use super::manifest::{Checksum, Contents, Head, Manifest, Record, SinkHead};
use super::plan::Plan;
use super::shard::Shard;
use super::sink::journal::{Book, Journal};
use super::sink::output::Pattern;
use super::source;

/// How a run is a part of a job.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Where the manifests are.
    pub folder: PathBuf,
    /// Which part; all of it, with single files under their own names, where it is left out.
    pub shard: Option<Shard>,
    /// Go on where an earlier run of this part was.
    pub resume: bool,
    /// For passes with memory: frames that are drawn and not written before each run of frames.
    pub warm_up: Option<u64>,
    /// What the command line set in the description, in order.
    pub settings: Vec<String>,
}

/// The frames that this run has to draw, and its open manifest.
#[derive(Debug)]
pub struct Work {
    manifest: Arc<Manifest>,
    /// Frames of the block.
    pub frames: u64,
    /// Those that were whole on disk in every sink.
    pub whole: u64,
    /// Parts and the names that they get at the end.
    named: Vec<(PathBuf, PathBuf)>,
    /// What each sink has to write.
    missing: Vec<FrameSet>,
    /// A source has ended before this frame.
    ended: Cell<u64>,
}

impl Work {
    /// Finds out what is missing, and turns `plan` to that: its frames, and the files of its sinks.
    ///
    /// # Errors
    /// `Config`: the job has no end, reads or writes a stream, or is not the one that the manifest is of.
    /// As [`Manifest::open`].
    pub fn open(description: &Description, plan: &mut Plan, options: &JobOptions) -> Result<Self> {
        let refuse = |op: &'static str, detail: String| Error::new(ErrorKind::Config, op, detail);
        let Some(end) = plan.end else {
            return Err(refuse("--frames", "a job has a last frame, this pipeline runs without end".into())
                .with_hint("add --frames A..B"));
        };
        let total = plan.start..end;
        let block = options.shard.unwrap_or(Shard::WHOLE).block(&total);
        refuse_streams(description, plan)?;
        refuse_drops(description, plan, options)?;
        let memory = memory(description, plan);
        let warm_up = options.warm_up.filter(|_| memory.is_some());
        match &memory {
            Some(error) if block != total && warm_up.is_none() => return Err(error.clone()),
            None if options.warm_up.is_some() => {
                tracing::warn!("no pass reads the frame before: --warm-up does nothing")
            }
            _ => {}
        }
        let mut sinks = std::collections::BTreeMap::new();
        for sink in &plan.graph.sinks {
            let sink = &sink.plan;
            let parts = is_in_parts(sink.kind);
            sinks.insert(
                sink.name.clone(),
                SinkHead { kind: sink.kind, file: sink.file.clone(), every: sink.every, parts },
            );
        }
        let head = Head {
            version: 0,
            pipeline: description.origin.path.display().to_string(),
            settings: options.settings.clone(),
            frames: total.clone(),
            shard: options.shard.map(|shard| (shard.index, shard.count)),
            block: block.clone(),
            warm_up,
            identity: identity::of(description, plan)?,
            sinks,
        };
        let path = options.folder.join(format!("{}.jsonl", block_name(&block)));
        let (manifest, earlier) = Manifest::open(&path, &head, options.resume)?;
        if let Some(earlier) = &earlier {
            let changed = identity::differences(&earlier.head, &head);
            if !changed.is_empty() {
                let detail = format!("{}: it is of another job: {}", path.display(), changed.join("; "));
                return Err(refuse("--resume", detail)
                    .with_hint("undo the change; or run without --resume to draw every frame again"));
            }
        }
        let manifest = Arc::new(manifest);
        // What is not there cannot be missing.
        let end = earlier.as_ref().and_then(|earlier| earlier.end).unwrap_or(u64::MAX);
        let there = block.start..block.end.min(end).max(block.start);
        let mut missing = FrameSet::default();
        let (mut named, mut needed) = (Vec::new(), Vec::new());
        let mut at_work = Vec::new();
        for mut node in std::mem::take(&mut plan.graph.sinks) {
            let sink = &mut node.plan;
            let Some(file) = sink.file.clone() else {
                // It writes nothing, and takes what is drawn for the others.
                at_work.push(node);
                continue;
            };
            let expected = expected(&there, sink.every);
            let (whole, part) = match is_in_parts(sink.kind) {
                true => {
                    let part = part_name(&file, &block);
                    let (whole, keep) = match &earlier {
                        Some(earlier) if options.shard.is_none() && !part.exists() => {
                            // It may have got its name already; if so, then with all of its frames.
                            let (whole, _) = whole_part(earlier, &sink.name, &file, expected.clone());
                            let all = whole.count() == Some(expected.clone().count() as u64);
                            (if all { whole } else { FrameSet::default() }, 0)
                        }
                        Some(earlier) => whole_part(earlier, &sink.name, &part, expected.clone()),
                        None => (FrameSet::default(), 0),
                    };
                    if options.shard.is_none() {
                        named.push((part.clone(), file));
                    }
                    (whole, Some((part, keep)))
                }
                false => {
                    let pattern = Pattern::parse(&file).map_err(|detail| Error::invalid("file", detail))?;
                    let is_whole = |frame: &u64| {
                        let record = earlier.as_ref().and_then(|earlier| earlier.record(&sink.name, Some(*frame)));
                        record.is_some_and(|record| is_whole_file(record, &pattern.name(*frame)))
                    };
                    let whole: FrameSet = expected.clone().filter(is_whole).collect();
                    let gone = expected.clone().filter(|frame| !whole.contains(*frame));
                    remove_temporaries(gone.map(|frame| pattern.name(frame)));
                    (whole, None)
                }
            };
            let gone: FrameSet = expected.filter(|frame| !whole.contains(*frame)).collect();
            if gone.is_empty() {
                continue;
            }
            gone.ranges().iter().for_each(|range| missing.insert(range.clone()));
            needed.push(gone.clone());
            let book = Book { manifest: manifest.clone(), sink: sink.name.clone(), missing: gone, part };
            sink.journal = Journal::new(book);
            at_work.push(node);
        }
        plan.graph.sinks = at_work;
        let frames = there.end - there.start;
        let whole = frames - missing.count().unwrap_or(frames);
        tracing::info!(manifest = %path.display(), missing = %missing, "job");
        plan.draw = match memory {
            Some(_) => with_frames_before(&missing, total.start, warm_up),
            None => missing,
        };
        Ok(Self { manifest, frames, whole, named, missing: needed, ended: Cell::new(u64::MAX) })
    }

    /// Notes who draws.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn driver(&self, name: &str) -> Result<()> {
        self.manifest.driver(name)
    }

    /// Notes that a source has no frame `frame`.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn end(&self, frame: u64) -> Result<()> {
        self.ended.set(frame);
        self.manifest.end(frame)
    }

    /// All frames are whole: files that are not to be merged get their names.
    ///
    /// # Errors
    /// `Failed`: a sink has let frames go. Those of rename(2).
    pub fn finish(&self) -> Result<()> {
        let is_there = |frame: &u64| *frame < self.ended.get();
        let wanted: usize = self.missing.iter().map(|frames| frames.iter().filter(is_there).count()).sum();
        let left = (wanted as u64).saturating_sub(self.manifest.frames_written());
        if left > 0 {
            let detail = format!("{left} pictures were not written: sinks have let them go");
            return Err(
                Error::failed("--resume", detail).with_hint("run the same command again; sinks of a job should wait")
            );
        }
        for (part, file) in self.named.iter().filter(|(part, _)| part.exists()) {
            std::fs::rename(part, file)
                .map_err(|error| Error::from_io("rename", format!("to {}", file.display()), error))?;
        }
        Ok(())
    }
}

/// An error about the pass that reads the frame before, where there is one.
fn memory(description: &Description, plan: &Plan) -> Option<Error> {
    let passes = plan.graph.passes.iter().filter_map(|node| node.described.as_ref());
    passes.into_iter().find_map(|name| {
        let inputs = &description.passes[name.as_str()].inputs.0;
        let (_, from) = inputs.iter().find(|(_, from)| from.get_ref().starts_with("@previous"))?;
        let detail = "it reads the frame before, and a shard begins without it";
        let error = description.error(format!("pass.{name}.inputs"), detail, from.span());
        Some(error.with_hint(
            "--warm-up N draws N frames before each shard that are not written: enough where older ones no longer show",
        ))
    })
}

/// Frames before the missing ones, which are drawn for those that remember them: `warm_up`, or all from `start` on.
fn with_frames_before(missing: &FrameSet, start: u64, warm_up: Option<u64>) -> FrameSet {
    let mut draw = FrameSet::default();
    for range in missing.ranges() {
        let first = warm_up.map_or(start, |frames| range.start.saturating_sub(frames).max(start));
        draw.insert(first..range.end);
    }
    draw
}

/// The name of a block in file names: sorted as the frames are.
fn block_name(block: &Range<u64>) -> String {
    format!("{:06}-{:06}", block.start, block.end)
}

/// The part of `file` that a block writes.
pub fn part_name(file: &Path, block: &Range<u64>) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(format!(".part-{}", block_name(block)));
    name.into()
}

/// The frames of `range` that a sink takes.
pub(super) fn expected(range: &Range<u64>, every: u64) -> impl Iterator<Item = u64> + Clone + use<> {
    let first = range.start.checked_next_multiple_of(every).unwrap_or(u64::MAX);
    (first..range.end).step_by(usize::try_from(every).unwrap_or(usize::MAX))
}

/// All frames go into one file.
fn is_in_parts(kind: SinkKind) -> bool {
    match kind {
        SinkKind::Raw | SinkKind::Y4m => true,
        SinkKind::Png | SinkKind::Jpeg | SinkKind::Apng | SinkKind::Null | SinkKind::Unixfd => false,
        SinkKind::V4l2 | SinkKind::V4l2Encoder | SinkKind::Kms => false,
        SinkKind::Pipewire | SinkKind::Gstreamer => false,
    }
}

/// A job has every frame: a sink may not let go what comes too fast.
fn refuse_drops(description: &Description, plan: &Plan, options: &JobOptions) -> Result<()> {
    let option = match options {
        JobOptions { shard: Some(_), .. } => "--shard",
        JobOptions { resume: true, .. } => "--resume",
        _ => "--job",
    };
    for node in plan.graph.sinks.iter().filter(|node| node.plan.file.is_some()) {
        let name = &node.plan.name;
        let given = &description.sinks[name.as_str()].when_full;
        let Some(given) = given.as_ref().filter(|given| *given.get_ref() != WhenFull::Block) else { continue };
        let detail = format!("a sink that lets pictures go, in a job that notes every frame ({option})");
        let error = description.error(format!("sink.{name}.when-full"), detail, given.span());
        return Err(error.with_hint(format!("when-full = \"block\", or run without {option}")));
    }
    Ok(())
}

/// Files only: a stream's frames are gone with the worker that read or wrote them.
fn refuse_streams(description: &Description, plan: &Plan) -> Result<()> {
    for name in &plan.graph.sources {
        let Some(file) = &description.sources[name.as_str()].file else { continue };
        let path = description.resolve(file.get_ref());
        if source::is_stream(&path) {
            let detail = format!("{} is a stream, and a job reads its sources again", path.display());
            let error = description.error(format!("source.{name}.file"), detail, file.span());
            return Err(error.with_hint("write it to a file first"));
        }
    }
    for node in &plan.graph.sinks {
        let Some(path) = &node.plan.file else { continue };
        if node.plan.kind == SinkKind::Apng {
            let name = &node.plan.name;
            let span = description.sinks[name.as_str()].input.span();
            let error = description.error(format!("sink.{name}.kind"), "an animated PNG is made in one piece", span);
            return Err(error.with_hint("write numbered PNG files"));
        }
        let special = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
        if path == Path::new("-") || path.starts_with("/dev") || path.starts_with("/proc") || special {
            let detail = format!("{} is no file, and a job looks at what it wrote", path.display());
            let span = description.sinks[node.plan.name.as_str()].file.as_ref().map_or(0..0, |file| file.span());
            let error = description.error(format!("sink.{}.file", node.plan.name), detail, span);
            return Err(error.with_hint("name a file, or kind = \"null\""));
        }
    }
    Ok(())
}

/// The checksum of bytes of a file; `None` where it ends before.
pub(super) fn checksum_at(file: &File, at: u64, bytes: u64) -> std::io::Result<Option<String>> {
    let mut sum = Checksum::default();
    let mut buffer = vec![0; (bytes as usize).min(1 << 20)];
    let mut done = 0;
    while done < bytes {
        let wanted = buffer.len().min((bytes - done) as usize);
        match file.read_exact_at(&mut buffer[..wanted], at + done) {
            Ok(()) => sum.update(&buffer[..wanted]),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        done += wanted as u64;
    }
    Ok(Some(sum.finish()))
}

/// The file is there with the length and the checksum of `record`. What cannot be read is not there.
pub(super) fn is_whole_file(record: &Record, path: &Path) -> bool {
    let read = || {
        let file = File::open(path)?;
        if record.file != path || file.metadata()?.len() != record.bytes {
            return Ok(false);
        }
        checksum_at(&file, 0, record.bytes).map(|sum| sum.as_deref() == Some(&record.xxh3))
    };
    read().unwrap_or_else(|error: std::io::Error| {
        tracing::debug!(path = %path.display(), %error, "not there");
        false
    })
}

/// The frames at the beginning of a part that are whole and follow each other, and where the last of them ends.
fn whole_part(earlier: &Contents, sink: &str, path: &Path, expected: impl Iterator<Item = u64>) -> (FrameSet, u64) {
    let mut whole = FrameSet::default();
    let mut end = 0;
    let Ok(file) = File::open(path) else { return (whole, end) };
    let is_whole = |record: &Record, at: u64| {
        let sum = (record.at == at).then(|| checksum_at(&file, at, record.bytes));
        matches!(sum, Some(Ok(Some(sum))) if sum == record.xxh3)
    };
    if let Some(header) = earlier.record(sink, None) {
        if !is_whole(header, 0) {
            return (whole, end);
        }
        end = header.bytes;
    }
    for frame in expected {
        match earlier.record(sink, Some(frame)) {
            Some(record) if is_whole(record, end) => {
                whole.insert(frame..frame + 1);
                end += record.bytes;
            }
            _ => break,
        }
    }
    (whole, end)
}

/// Removes what workers that were killed left of these files. Nobody else writes them: the manifest is locked.
fn remove_temporaries(files: impl Iterator<Item = PathBuf>) {
    let mut folders: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
    for file in files {
        if let Some(name) = file.file_name() {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folders.entry(folder.to_owned()).or_default().insert(name.to_owned());
        }
    }
    for (folder, names) in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let of = name.to_str().and_then(|name| name.strip_prefix('.')?.rsplit_once(".tmp-"));
            if of.is_some_and(|(of, _)| names.contains(std::ffi::OsStr::new(of)))
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "left by a killed run, and not removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_before_are_drawn_for_those_that_remember_them() {
        let missing: FrameSet = [12, 13, 20, 40].into_iter().collect();
        assert_eq!(with_frames_before(&missing, 10, Some(3)).to_string(), "10..14, 17..21, 37..41");
        assert_eq!(with_frames_before(&missing, 10, Some(0)), missing);
        // Without a number every frame since the first one counts.
        assert_eq!(with_frames_before(&missing, 10, None).to_string(), "10..41");
        assert!(with_frames_before(&FrameSet::default(), 10, None).is_empty());
    }

    #[test]
    fn sinks_take_multiples() {
        let frames = |range: Range<u64>, every| expected(&range, every).collect::<Vec<_>>();
        assert_eq!(frames(5..14, 4), [8, 12]);
        assert_eq!(frames(8..9, 4), [8]);
        assert!(frames(9..12, 4).is_empty() && frames(7..7, 1).is_empty());
        assert!(frames(u64::MAX - 1..u64::MAX, u64::MAX).is_empty());
        assert_eq!(part_name(Path::new("out/a.y4m"), &(25..50)), Path::new("out/a.y4m.part-000025-000050"));
    }
}
