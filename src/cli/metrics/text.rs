//! A report in Prometheus text format 0.0.4.
//!
//! In: a report. Out: text. Not here: where it goes (`metrics`, `listen`).

use std::fmt::Write as _;

use darkframe::pipeline::Report;
use darkframe::pipeline::report::{GpuTimes, Times};

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
pub fn text(report: &Report, (reloads, failed_reloads): (u64, u64)) -> String {
    let mut text = Text::default();
    let driver = &report.driver;
    // Not known before the first frame.
    if !driver.renderer.is_empty() {
        text.head("darkframe_run_info", "gauge", "Where the pictures are drawn.");
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("renderer", driver.renderer.as_str()),
            ("driver", &driver.version),
            ("board", &report.board),
        ];
        text.sample("darkframe_run_info", &labels, 1.0);
    }
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
    text.head("darkframe_imports_total", "counter", "Buffers that were imported into the driver, each once.");
    for (kind, edge) in edges() {
        text.sample("darkframe_imports_total", &[(kind, &edge.name)], edge.imports as f64);
    }
    let passes: Vec<_> = report.passes.iter().map(|pass| ("pass", pass.name.as_str(), &pass.submit)).collect();
    text.summary("darkframe_pass_submit_seconds", "Time of the drawing thread in a pass's calls.", &passes);
    if report.gpu_times.measured {
        let gpu: Vec<_> = report.passes.iter().map(|pass| ("pass", pass.name.as_str(), &pass.gpu)).collect();
        text.summary("darkframe_pass_gpu_seconds", "Time of the GPU for a pass's work.", &gpu);
        text.head("darkframe_pass_gpu_unknown_total", "counter", "Draws whose time of the GPU is not known.");
        let GpuTimes { discarded, skipped, .. } = report.gpu_times;
        text.sample("darkframe_pass_gpu_unknown_total", &[("reason", "disjoint")], discarded as f64);
        text.sample("darkframe_pass_gpu_unknown_total", &[("reason", "late")], skipped as f64);
    }
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
