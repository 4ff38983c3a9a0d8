//! What a run did, on one screen.
//!
//! In: a [`Report`]. Out: lines on standard error. Not here: the numbers' origin (`darkframe::pipeline::report`).

use std::collections::BTreeSet;

use darkframe::pipeline::Report;
use darkframe::pipeline::report::{Edge, GpuTimes, Times};

/// Prints the summary.
pub fn print(report: &Report) {
    eprint!("{}", text(report));
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    if report.whole > 0 {
        let were = if report.whole == 1 { "was" } else { "were" };
        lines.push(format!("{} {were} whole on disk", count(report.whole, "frame")));
        if report.frames == 0 {
            return lines.join("\n") + "\n";
        }
    }
    if report.interrupted && report.driver.renderer.is_empty() {
        return "interrupted before the first frame\n".into();
    }
    let ended = if report.interrupted { " (interrupted)" } else { "" };
    lines.push(format!(
        "{} in {:.2} s, {:.1} frames/s, after {:.2} s of start{ended}",
        count(report.frames, "frame"),
        report.seconds,
        report.frames_per_second,
        report.start_seconds
    ));
    let driver = &report.driver;
    let node = driver.node.as_deref().map_or(String::new(), |node| format!(" on {node}"));
    let cpu = if driver.software { "; the CPU draws" } else { "" };
    lines.push(format!(
        "drawn by {} ({}, {}{node}){cpu}; fences: {}",
        driver.renderer, driver.version, driver.platform, report.fence
    ));
    let edges = || report.sources.iter().chain(&report.sinks);
    let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let name = widest(
        &mut edges().map(|edge| &edge.name).chain(report.passes.iter().map(|p| &p.name)).map(|text| width(text)),
    );
    let picture = widest(
        &mut edges().map(|edge| &edge.picture).chain(report.passes.iter().map(|p| &p.target)).map(|text| width(text)),
    );
    let way = widest(&mut edges().map(|edge| width(&way_of(edge))));
    let edge_line = |kind: &str, edge: &Edge, what: String| {
        let way_of = way_of(edge);
        format!("{kind:<6} {:<name$}  {:<picture$}  {way_of:<way$}  {what}", edge.name, edge.picture)
    };
    for edge in &report.sources {
        let mut what = count(edge.pictures, "picture");
        if edge.lost > 0 {
            what.push_str(&format!(" ({} lost, {} of them for want of a buffer)", edge.lost, edge.starved));
        }
        what.push_str(&format!(", read {}", each(&edge.work)));
        if edge.intervals.count > 0 {
            what.push_str(&format!(", one every {}", each(&edge.intervals)));
        }
        if edge.transfer.count > 0 {
            what.push_str(&format!(", uploaded {}", each(&edge.transfer)));
        }
        lines.push(edge_line("source", edge, what));
    }
    for pass in &report.passes {
        let mut calls = format!("calls {}", each(&pass.submit));
        if pass.gpu.count > 0 {
            calls.push_str(&format!(", GPU {}", each(&pass.gpu)));
        }
        lines.push(format!("pass   {:<name$}  {:<picture$}  {:<way$}  {calls}", pass.name, pass.target, ""));
    }
    for edge in &report.sinks {
        let mut what = count(edge.pictures, "picture");
        if edge.dropped > 0 {
            what.push_str(&format!(" ({} dropped)", edge.dropped));
        }
        if edge.transfer.count > 0 {
            what.push_str(&format!(", read back {}", each(&edge.transfer)));
        }
        let bytes = if edge.bytes > 0 { format!("{} ", megabytes(edge.bytes)) } else { String::new() };
        what.push_str(&format!(", {bytes}written {}", each(&edge.work)));
        lines.push(edge_line("sink", edge, what));
    }
    lines.extend(gpu_times(report));
    lines.extend(per_frame(report));
    lines.extend(why_copied(edges()));
    let notes = report
        .sources
        .iter()
        .chain(&report.sinks)
        .flat_map(|edge| edge.notes.iter().map(|note| format!("{}: {note}", edge.name)));
    lines.extend(notes);
    let ended = |edge: &Edge| Some(format!("{}: the stream ended early: {}", edge.name, edge.ended.as_ref()?));
    lines.extend(report.sources.iter().filter_map(ended));
    if !report.unused.is_empty() {
        lines.push(format!("left out, as no sink needs them: {}", report.unused.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn each(times: &Times) -> String {
    format!("{:.2} ms each", times.mean_ms)
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn way_of(edge: &Edge) -> String {
    format!("{}: {}, {} x {}", edge.path, edge.binding, edge.buffers, edge.allocator)
}

/// Why there are no times of the GPU, or what they leave out.
fn gpu_times(report: &Report) -> Option<String> {
    let GpuTimes { measured, way, discarded, skipped } = &report.gpu_times;
    match (measured, discarded + skipped) {
        (false, _) => Some(format!("gpu times: {way}")),
        // One of many is not worth a line: the report has it.
        (true, 0..=1) => None,
        (true, _) => {
            let draws = count(*discarded, "draw");
            Some(format!(
                "gpu times: without {draws} in which its clock was wrong, and {skipped} that it told too late"
            ))
        }
    }
}

/// Where the drawing thread's time went, per frame. The calls of a draw return before it is drawn, and a driver that
/// draws with the CPU does so when somebody waits for the pixels: only the sum of both says something.
fn per_frame(report: &Report) -> Option<String> {
    if report.frames == 0 || report.seconds == 0.0 {
        return None;
    }
    let mut seen = BTreeSet::new();
    // Sinks of one pass share its target's times.
    let targets: Vec<&Edge> = report.sinks.iter().filter(|edge| seen.insert(edge.input.as_str())).collect();
    let per_frame = |total: f64| total / report.frames as f64;
    let sum = |edges: &mut dyn Iterator<Item = &Times>| per_frame(edges.map(|times| times.total_ms).sum());
    let parts = [
        ("draw calls", sum(&mut report.passes.iter().map(|pass| &pass.submit))),
        ("uploads", sum(&mut report.sources.iter().map(|edge| &edge.transfer))),
        ("drawing, waited for", sum(&mut targets.iter().map(|edge| &edge.draw))),
        ("read-back, with drawing not yet done", sum(&mut targets.iter().map(|edge| &edge.transfer))),
        ("waiting for sources", sum(&mut report.sources.iter().map(|edge| &edge.wait))),
        ("waiting for sinks", sum(&mut targets.iter().map(|edge| &edge.wait))),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(_, ms)| *ms >= 0.005).map(|(what, ms)| format!("{what} {ms:.2}")).collect();
    if shown.is_empty() {
        return None;
    }
    Some(format!("a frame: {:.2} ms; of it {}", per_frame(report.seconds * 1000.0), shown.join(", ")))
}

/// Each reason once, with the edges that it is the reason of.
fn why_copied<'a>(edges: impl Iterator<Item = &'a Edge>) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for edge in edges {
        let Some(reason) = edge.reason.as_deref() else { continue };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(&edge.name),
            None => reasons.push((reason, vec![&edge.name])),
        }
    }
    reasons.into_iter().map(|(reason, names)| format!("copied ({}): {reason}", names.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkframe::pipeline::report::Pass;

    #[test]
    fn a_reason_is_said_once_and_columns_are_aligned() {
        let mut times = Times::default();
        [1, 3].into_iter().for_each(|ms| times.add(std::time::Duration::from_millis(ms)));
        let edge = |name: &str| Edge {
            name: name.into(),
            input: "grade".into(),
            picture: "NV12 8x8".into(),
            path: "copy".into(),
            binding: "texture upload".into(),
            reason: Some("no import here".into()),
            allocator: "memfd".into(),
            buffers: 3,
            pictures: 2,
            transfer: times.clone(),
            ..Edge::default()
        };
        let pass =
            Pass { name: "grade".into(), target: "ABGR8888 8x8".into(), submit: times.clone(), ..Pass::default() };
        let report = Report {
            frames: 2,
            seconds: 0.02,
            sources: vec![edge("camera"), edge("a-long-name")],
            passes: vec![pass],
            sinks: vec![edge("one"), edge("two")],
            ..Report::default()
        };
        let text = text(&report);
        assert_eq!(text.matches("no import here").count(), 1, "{text}");
        assert!(text.contains("copied (camera, a-long-name, one, two): no import here"), "{text}");
        // Two sinks of one pass: its read-back counts once.
        assert!(text.contains("read-back, with drawing not yet done 2.00"), "{text}");
        let columns: BTreeSet<_> = text.lines().filter_map(|line| line.find("copy: ")).collect();
        assert_eq!(columns.len(), 1, "{text}");
    }

    #[test]
    fn that_there_are_no_times_of_the_gpu_is_said_once() {
        let mut times = Times::default();
        times.add(std::time::Duration::from_millis(4));
        let pass = |name: &str, gpu: &Times| Pass { name: name.into(), gpu: gpu.clone(), ..Pass::default() };
        let of = |gpu: &Times, gpu_times: GpuTimes| {
            let passes = vec![pass("one", gpu), pass("two", gpu)];
            let driver = darkframe::pipeline::report::Driver { renderer: "x".into(), ..Default::default() };
            text(&Report { frames: 1, seconds: 1.0, passes, gpu_times, driver, ..Report::default() })
        };
        let way = "not offered by this driver (GL_EXT_disjoint_timer_query: this driver does not offer it)".to_owned();
        let without = of(&Times::default(), GpuTimes { way, ..GpuTimes::default() });
        assert_eq!(without.matches("gpu times: not offered by this driver").count(), 1, "{without}");
        assert!(!without.contains("GPU"), "{without}");
        let with = of(&times, GpuTimes { measured: true, ..GpuTimes::default() });
        assert!(with.matches("GPU 4.00 ms each").count() == 2 && !with.contains("gpu times"), "{with}");
        let late = of(&times, GpuTimes { measured: true, discarded: 7, skipped: 3, ..GpuTimes::default() });
        assert!(late.contains("without 7 draws in which its clock was wrong, and 3 that it told too late"), "{late}");
    }
}
