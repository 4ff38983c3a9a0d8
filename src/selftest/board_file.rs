//! A board file of measured facts.
//!
//! In: a [`Report`]. Out: the text of a board file that [`Board::parse`](crate::board::Board::parse) reads.

use std::fmt::Write as _;

use super::placement::What;
use super::report::{DisplayReport, Report};
use super::{Case, Outcome};

/// Formats whose placement decides.
const FORMATS: [&str; 3] = ["ABGR8888", "R8", "GR88"];

/// The text; `None` where no display draws.
pub fn board_file(report: &Report) -> Option<String> {
    let right = |display: &&DisplayReport| {
        let right = display.rows.iter().filter(|row| matches!(row.outcome, Outcome::Ok { .. })).count();
        // Memory that the GPU uses itself before everything else.
        (DisplayReport::proved_memory(&display.rows).is_some(), right)
    };
    // The first of the best.
    let best = report.displays.iter().filter(|display| !display.driver.version.is_empty()).rev().max_by_key(right)?;
    let driver = &best.driver;
    let mut text = String::new();
    let name = report.machine.clone().unwrap_or_else(|| format!("{} {}", report.kernel, driver.renderer));
    let _ = writeln!(text, "# Measured by `darkframe selftest --write-board`: every value here came out of pixels.");
    let _ = writeln!(text, "name = {}", quoted(&name));
    let _ = writeln!(text, "\n[measured]");
    for (key, value) in [
        ("by", report.by.as_str()),
        ("date", report.date.as_str()),
        ("kernel", report.kernel.as_str()),
        ("driver", &format!("{}; {}; {}", driver.version, driver.renderer, driver.egl)),
        ("darkframe", report.darkframe),
    ] {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
    let _ = writeln!(text, "\n[match]");
    if !report.compatible.is_empty() {
        let names: Vec<String> = report.compatible.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(text, "compatible = [{}]", names.join(", "));
    }
    let _ = writeln!(text, "gl-renderer = [{}]", quoted(&driver.renderer));
    let kinds = kinds(best);
    let dumb = best.allocators().into_iter().find_map(|(name, _)| inside(&name, "dumb"));
    if !driver.kernel_driver.is_empty() || dumb.is_some() {
        let _ = writeln!(text, "\n[drm]");
        if !driver.kernel_driver.is_empty() {
            let _ = writeln!(text, "render = {}", quoted(&driver.kernel_driver));
        }
        if let Some(dumb) = dumb {
            let _ = writeln!(text, "dumb = {}", quoted(&dumb));
        }
    }
    let _ = writeln!(text, "\n[egl]");
    let mut platforms: Vec<&str> = vec![best.name.split(':').next().unwrap_or("")];
    for display in report.displays.iter().filter(|display| !display.driver.version.is_empty()) {
        let platform = display.name.split(':').next().unwrap_or("");
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    let platforms: Vec<String> = platforms.into_iter().map(quoted).collect();
    let _ = writeln!(text, "platforms = [{}]", platforms.join(", "));
    let _ = writeln!(text, "\n[allocate]");
    let _ = writeln!(text, "order = [{}]", kinds.iter().map(|kind| quoted(kind)).collect::<Vec<_>>().join(", "));
    let heaps: Vec<String> =
        best.allocators().iter().filter_map(|(name, _)| inside(name, "dma-heap")).map(|name| quoted(&name)).collect();
    if !heaps.is_empty() {
        let _ = writeln!(text, "heaps = [{}]", heaps.join(", "));
    }
    let largest = |whats: [What; 2]| {
        let found = FORMATS.iter().flat_map(|format| whats.map(|what| best.alignment(format, what)));
        found.collect::<Option<Vec<u32>>>().and_then(|all| all.into_iter().max())
    };
    // What was not found keeps the default, which suits every Mali.
    if let Some(bytes) = largest([What::SampledStride, What::DrawnStride]) {
        let _ = writeln!(text, "stride-align-bytes = {bytes}");
    }
    if let Some(bytes) = largest([What::SampledOffset, What::DrawnOffset]) {
        let _ = writeln!(text, "offset-align-bytes = {bytes}");
    }
    if largest([What::SampledRows, What::DrawnRows]).is_some() {
        let _ = writeln!(text, "height-align-rows = 1");
    }
    limits(&mut text, best);
    let mut said = Vec::new();
    for row in &best.rows {
        if let (Some(known), false) = (row.known, said.contains(&row.known)) {
            let _ = writeln!(text, "\n[[fault]]\nwhat = {}", quoted(&format!("{}: {known}", row.name)));
            let _ = writeln!(text, "source = {}", quoted(&format!("selftest: {}", row.outcome)));
            said.push(row.known);
        }
    }
    Some(text)
}

fn limits(text: &mut String, display: &DisplayReport) {
    let facts = display.rows.iter().find_map(|row| match (&row.case, &row.outcome) {
        (Case::Limits, Outcome::Ok { facts }) => Some(facts),
        _ => None,
    });
    let Some(facts) = facts else { return };
    let _ = writeln!(text, "\n[limits]");
    for key in [
        "max-texture-size",
        "max-texture-units",
        "max-varying-vectors",
        "max-fragment-uniform-vectors",
        "max-vertex-uniform-vectors",
    ] {
        if let Some(value) = facts.get(key) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    let bits = ["highp", "mediump"].iter().find_map(|name| facts.get(&format!("fragment-{name}-mantissa-bits")));
    if let Some(bits) = bits {
        let _ = writeln!(text, "fragment-mantissa-bits = {bits}");
    }
}

/// Kinds of the allocators that work, best first; a memfd always does.
fn kinds(display: &DisplayReport) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for (name, _) in display.allocators() {
        let kind = name.split('(').next().unwrap_or("").to_owned();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.retain(|kind| kind != "memfd");
    kinds.push("memfd".to_owned());
    kinds
}

/// `virtio_gpu` of `dumb(virtio_gpu)`.
fn inside(name: &str, kind: &str) -> Option<String> {
    Some(name.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')')?.to_owned())
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
