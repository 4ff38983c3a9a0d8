//! `--watch`: an edited pipeline file or shader is taken into the run that goes on.
//!
//! In: files, and what the kernel says of their folders. Out: reloads; errors for people, each once.
//! Not here: what a reload changes (`darkframe::pipeline::runner::live`).
//!
//! Folders are watched, not files: an editor that writes beside and renames makes a new file each time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use darkframe::error::{Error, Result};
use darkframe::pipeline::Description;
use darkframe::pipeline::runner::live::Live;
use darkframe::pipeline::runner::reload::Reloaded;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Output, diagnostic};

/// An editor writes a file in several steps: so long must be quiet …
const QUIET: Duration = Duration::from_millis(40);
/// … but no longer is waited.
const AT_MOST: Duration = Duration::from_millis(400);

/// Reads the pipeline again, as it was read at the start.
#[derive(Clone)]
pub struct Reloader {
    pub live: Arc<Live>,
    /// The pipeline file.
    pub file: PathBuf,
    /// `--set`
    pub set: Vec<String>,
}

impl Reloader {
    /// Takes the files as they are now into the run.
    ///
    /// # Errors
    /// As [`Description::open`] and [`Live::reload`].
    pub fn reload(&self, patience: Option<Duration>) -> Result<Reloaded> {
        let mut description = Description::open(&self.file)?;
        for assignment in &self.set {
            description.set(assignment)?;
        }
        self.live.reload(&description, patience)
    }
}

/// The thread that waits for edits. Dropped, it ends.
pub struct Watch {
    events: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

enum Event {
    Changed(Vec<PathBuf>),
    End,
}

impl Watch {
    /// Watches the pipeline file and the shaders of `description`.
    ///
    /// # Errors
    /// Those of inotify.
    pub fn start(reloader: Reloader, description: &Description, output: Output) -> Result<Self> {
        let (events, received) = channel();
        let told = events.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A reader makes events too; it changes nothing.
            if let Ok(event) = event
                && !matches!(event.kind, EventKind::Access(_))
            {
                let _ = told.send(Event::Changed(event.paths));
            }
        });
        let watcher = watcher.map_err(|error| failed(&reloader.file, &error))?;
        let mut watching = Watching { watcher, folders: BTreeSet::new(), files: BTreeSet::new() };
        let shaders = description.passes.values().filter_map(|pass| pass.shader_file());
        let shaders = shaders.map(|(_, file)| description.resolve(file.get_ref()));
        let files: Vec<PathBuf> = shaders.chain([reloader.file.clone()]).collect();
        watching.look_at(&files)?;
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || run(&reloader, &mut watching, &received, output))
            .map_err(|error| Error::from_io("thread", "--watch", error))?;
        Ok(Self { events, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.events.send(Event::End);
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

fn failed(path: &Path, error: &notify::Error) -> Error {
    let hint = "the limits are in /proc/sys/fs/inotify; `reload` on the control socket needs no watching";
    Error::failed("--watch", format!("{}: {error}", path.display())).with_hint(hint)
}

/// What is watched.
struct Watching {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    /// Files whose changes count.
    files: BTreeSet<PathBuf>,
}

impl Watching {
    fn look_at(&mut self, files: &[PathBuf]) -> Result<()> {
        for file in files {
            let (Some(name), Some(folder)) = (file.file_name(), file.parent()) else { continue };
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let Ok(folder) = folder.canonicalize() else { continue };
            if !self.folders.contains(&folder) {
                self.watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(|error| failed(&folder, &error))?;
                self.folders.insert(folder.clone());
            }
            // The file that a link leads to may be elsewhere.
            let target = folder.join(name).canonicalize();
            self.files.insert(folder.join(name));
            if let Ok(target) = target
                && self.files.insert(target.clone())
            {
                self.look_at(&[target])?;
            }
        }
        Ok(())
    }

    /// One of the files has changed; while the last edit is broken, any file may be the missing one.
    fn concerns(&self, paths: &[PathBuf], is_broken: bool) -> bool {
        let is_source = |path: &Path| {
            path.extension().is_some_and(|ending| {
                ["frag", "glsl", "vert", "comp", "wgsl", "toml"].iter().any(|known| ending == *known)
            })
        };
        paths.is_empty() || paths.iter().any(|path| self.files.contains(path) || (is_broken && is_source(path)))
    }
}

fn run(reloader: &Reloader, watching: &mut Watching, events: &Receiver<Event>, output: Output) {
    // The includes are known after a first reading, which finds nothing to change.
    let mut shown: Option<String> = None;
    let mut first = true;
    loop {
        if !first {
            match events.recv() {
                Ok(Event::Changed(paths)) if watching.concerns(&paths, shown.is_some()) => {}
                Ok(Event::Changed(_)) => continue,
                Ok(Event::End) | Err(_) => return,
            }
            if !settle(events) {
                return;
            }
        } else if !wait_for_start(reloader, events) {
            return;
        }
        first = false;
        match reloader.reload(None) {
            Ok(reloaded) => {
                if let Err(error) = watching.look_at(&reloaded.files) {
                    diagnostic::print(&error, output.terminal);
                }
                let changed = !reloaded.compiled.is_empty() || reloaded.values;
                if !output.quiet && (changed || shown.is_some()) {
                    eprintln!("darkframe: {}", words(&reloaded));
                }
                shown = None;
            }
            Err(_) if reloader.live.has_ended() => return,
            Err(error) => {
                let place = error.span().map(|span| span.path.clone());
                if let Err(error) = watching.look_at(place.as_slice()) {
                    diagnostic::print(&error, output.terminal);
                }
                let text = error.to_string();
                if shown.as_ref() != Some(&text) {
                    diagnostic::print(&error, output.terminal);
                    eprintln!("darkframe: the run goes on with what it had");
                }
                shown = Some(text);
            }
        }
    }
}

fn words(reloaded: &Reloaded) -> String {
    match reloaded.compiled.as_slice() {
        [] if reloaded.values => "reloaded: values".into(),
        [] => "reloaded: as before the error".into(),
        passes => format!("reloaded: {}", passes.join(", ")),
    }
}

/// Waits until the run takes edits; `false` where it ends before.
fn wait_for_start(reloader: &Reloader, events: &Receiver<Event>) -> bool {
    while !reloader.live.takes_edits() {
        if reloader.live.has_ended() {
            return false;
        }
        match events.recv_timeout(Duration::from_millis(20)) {
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return false,
            // What changed is read at the start.
            Ok(Event::Changed(_)) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
    true
}

/// Waits for the end of a burst of events; `false` at the end of the run.
fn settle(events: &Receiver<Event>) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < AT_MOST {
        match events.recv_timeout(QUIET) {
            Ok(Event::Changed(_)) => {}
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    true
}
