//! `--metrics FILE`: what an endless run does, in Prometheus text format, for node_exporter's textfile collector.
//!
//! In: reports of the run so far. Out: a file that is written anew every few seconds, whole each time.
//! Not here: counting (`darkframe::pipeline::report`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use darkframe::error::{Error, Result};
use darkframe::pipeline::Report;
use darkframe::pipeline::report::Times;
use darkframe::pipeline::runner::live::Live;
use darkframe::pipeline::sink::output::Output as File;

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

/// One metric after the other, each with its samples.
#[derive(Default)]
struct Text(String);

/// Names and values of labels.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn summary(&mut self, name: &str, help: &str, times: &[(&str, &str, &Times)]) {
        self.head(name, "summary", help);
        for (label, part, times) in times {
            for quantile in ["0.5", "0.99"] {
                let ms = times.quantile_ms(quantile.parse().unwrap_or(0.5));
                self.sample(name, &[(label, part), ("quantile", quantile)], ms * 1e-3);
            }
            self.sample(&format!("{name}_sum"), &[(label, part)], times.total_ms * 1e-3);
            self.sample(&format!("{name}_count"), &[(label, part)], times.count as f64);
        }
    }
}

/// A report as Prometheus reads it. Percentiles are over the whole run.
fn text(report: &Report, (reloads, failed_reloads): (u64, u64)) -> String {
    let mut text = Text::default();
    let driver = &report.driver;
    text.head("darkframe_run_info", "gauge", "Where the pictures are drawn.");
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("renderer", driver.renderer.as_str()),
        ("driver", &driver.version),
        ("board", &report.board),
    ];
    text.sample("darkframe_run_info", &labels, 1.0);
    text.head("darkframe_frames_total", "counter", "Frames drawn.");
    text.sample("darkframe_frames_total", &[], report.frames as f64);
    text.head("darkframe_run_seconds", "gauge", "Time since the first frame's draw.");
    text.sample("darkframe_run_seconds", &[], report.seconds);
    text.head("darkframe_reloads_total", "counter", "Edits that were taken into the run, and those that failed.");
    text.sample("darkframe_reloads_total", &[("result", "taken")], reloads as f64);
    text.sample("darkframe_reloads_total", &[("result", "failed")], failed_reloads as f64);
    let edges = || {
        let sources = report.sources.iter().map(|edge| ("source", edge));
        sources.chain(report.sinks.iter().map(|edge| ("sink", edge)))
    };
    text.head("darkframe_pictures_total", "counter", "Pictures read from a source or written to a sink.");
    for (kind, edge) in edges() {
        text.sample("darkframe_pictures_total", &[(kind, &edge.name)], edge.pictures as f64);
    }
    text.head("darkframe_zero_copy", "gauge", "1 where the GPU uses the memory itself, 0 where pixels are copied.");
    for (kind, edge) in edges() {
        let zero_copy = f64::from(u8::from(edge.path == "zero-copy"));
        text.sample("darkframe_zero_copy", &[(kind, &edge.name), ("binding", &edge.binding)], zero_copy);
    }
    text.head("darkframe_buffers", "gauge", "Buffers in use.");
    for (kind, edge) in edges() {
        let labels = [(kind, edge.name.as_str()), ("allocator", edge.allocator.as_str())];
        text.sample("darkframe_buffers", &labels, edge.buffers as f64);
    }
    let passes: Vec<_> = report.passes.iter().map(|pass| ("pass", pass.name.as_str(), &pass.submit)).collect();
    text.summary("darkframe_pass_submit_seconds", "Time of the drawing thread in a pass's calls.", &passes);
    let work: Vec<_> = edges().map(|(kind, edge)| (kind, edge.name.as_str(), &edge.work)).collect();
    text.summary("darkframe_work_seconds", "Time in reading or writing a picture, on the edge's own thread.", &work);
    let waits: Vec<_> = edges().map(|(kind, edge)| (kind, edge.name.as_str(), &edge.wait)).collect();
    text.summary("darkframe_wait_seconds", "Time in which the drawing thread waited for a source or a sink.", &waits);
    let transfers: Vec<_> = edges().map(|(kind, edge)| (kind, edge.name.as_str(), &edge.transfer)).collect();
    text.summary("darkframe_transfer_seconds", "Time of the drawing thread in uploads or read-back.", &transfers);
    text.head("darkframe_parameter", "gauge", "Values of parameters; component counts the numbers of a vector from 0.");
    for parameter in &report.parameters {
        for (component, value) in parameter.value.iter().enumerate() {
            let labels = [("name", parameter.name.as_str()), ("component", &component.to_string())];
            text.sample("darkframe_parameter", &labels, *value);
        }
    }
    text.0
}
