//! `--metrics FILE`: what an endless run does, in Prometheus text format, for node_exporter's textfile collector.
//!
//! In: reports of the run so far. Out: a file that is written anew every few seconds, whole each time.
//! Not here: counting (`darkframe::pipeline::report`), the format (`text`), `--metrics-listen` (`listen`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use darkframe::error::{Error, Result};
use darkframe::pipeline::runner::live::Live;
use darkframe::pipeline::sink::output::Output as File;

mod listen;
mod text;

pub use listen::{Address, Listener};
use text::text;

/// From file to file.
const EVERY: Duration = Duration::from_secs(5);
/// The first one comes soon: that something is wrong is seen at the start.
const FIRST: Duration = Duration::from_millis(500);
/// How long the drawing thread may take to say what it has done.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread that writes. Dropped, it writes a last time and ends.
pub struct Metrics {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Checks that the file can be written, and begins.
    ///
    /// # Errors
    /// Those of the file.
    pub fn start(path: PathBuf, live: Arc<Live>) -> Result<Self> {
        drop(File::create(&path).map_err(|error| error.in_context("--metrics"))?);
        let (end, ended) = channel::<()>();
        let run = move || {
            let mut wait = FIRST;
            loop {
                let is_last = !matches!(ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
                wait = EVERY;
                let patience = if is_last { Duration::ZERO } else { PATIENCE };
                if let Some(report) = live.report(patience)
                    && let Err(error) = write(&path, &text(&report, live.reloads()))
                {
                    tracing::warn!(%error, "--metrics");
                }
                if is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(run);
        let thread = thread.map_err(|error| Error::from_io("thread", "--metrics", error))?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.commit().map(|_| ())
}
