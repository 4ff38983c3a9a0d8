//! The tables of `docs/formats.md`, which hold what the tests see.

use std::path::Path;

use darkframe::pipeline::report::Driver;

/// A cell of the table under `## heading`: the row whose first cell lists `format`, the column of this machine's `tier`.
pub fn cell(heading: &str, format: &str, tier: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let section = text.split("\n## ").find(|part| part.lines().next() == Some(heading));
    let section = section.unwrap_or_else(|| panic!("{}: no heading {heading}", path.display()));
    let mut rows = section.lines().filter(|line| line.starts_with('|')).map(|line| {
        let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        cells.collect::<Vec<_>>()
    });
    let titles = rows.next().unwrap();
    let column =
        titles.iter().position(|title| title == tier).unwrap_or_else(|| panic!("no column {tier}: {titles:?}"));
    let found: Vec<_> = rows.filter(|row| row[0].split(", ").any(|name| name == format)).collect();
    assert_eq!(found.len(), 1, "{heading}: rows of {format}");
    found[0][column].clone()
}

/// The column that a run on this machine belongs to; `None` where the tables have none for it.
pub fn tier(driver: &Driver, max_version: Option<(u8, u8)>) -> Option<&'static str> {
    if std::env::var_os("DARKFRAME_VM").is_some() {
        return Some("both guests");
    }
    let is_host = driver.software && driver.node.is_none() && driver.version.contains("Mesa");
    match max_version {
        _ if !is_host => None,
        Some(_) => Some("OpenGL ES 2.0 on the host"),
        None => Some("host"),
    }
}
