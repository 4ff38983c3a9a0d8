//! What a run did, on one screen.
//!
//! In: a [`Report`]. Out: lines on standard error. Not here: the numbers' origin (`darkframe::pipeline::report`).

use darkframe::pipeline::Report;
use darkframe::pipeline::report::Edge;

/// Prints the summary.
pub fn print(report: &Report) {
    eprint!("{}", text(report));
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    let ended = if report.interrupted { " (interrupted)" } else { "" };
    lines.push(format!(
        "{} frames in {:.2} s, {:.1} frames/s, after {:.2} s of start{ended}",
        report.frames, report.seconds, report.frames_per_second, report.start_seconds
    ));
    let driver = &report.driver;
    let node = driver.node.as_deref().map_or(String::new(), |node| format!(" on {node}"));
    lines.push(format!(
        "drawn by {} ({}, {}{node}); fences: {}",
        driver.renderer, driver.version, driver.platform, report.fence
    ));
    lines.extend(report.sources.iter().map(|edge| line("from", edge)));
    for pass in &report.passes {
        lines.push(format!("pass {:<12} {:<22} {:.2} ms to submit", pass.name, pass.target, pass.submit.mean_ms));
    }
    lines.extend(report.sinks.iter().map(|edge| line("to", edge)));
    if !report.unused.is_empty() {
        lines.push(format!("left out, as no sink needs them: {}", report.unused.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn line(word: &str, edge: &Edge) -> String {
    let written = match edge.bytes {
        0 => String::new(),
        bytes => format!(", {:.1} MB", bytes as f64 / 1e6),
    };
    let reason = edge.reason.as_deref().map_or(String::new(), |reason| format!("\n     because {reason}"));
    format!(
        "{word:<4} {:<12} {:<22} {}: {}, {} x {}; {} pictures{written}, {:.2} ms each{reason}",
        edge.name,
        edge.picture,
        edge.path,
        edge.binding,
        edge.buffers,
        edge.allocator,
        edge.pictures,
        edge.work.mean_ms
    )
}
