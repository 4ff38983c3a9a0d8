//! The report as tables that a person reads at a glance.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::placement::What;
use super::report::{DisplayReport, Report, Row};
use super::{Case, Outcome, Use};

/// Columns of the table of memory.
const USES: [Use; 9] = [
    Use::External,
    Use::TwoD,
    Use::Render,
    Use::Renderbuffer,
    Use::Turns,
    Use::Survive,
    Use::Process,
    Use::Device,
    Use::Copy,
];

/// Writes in colours, or without.
struct Pen {
    text: String,
    colors: bool,
}

impl Pen {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// A cell of a table, padded to `width`.
    fn cell(&self, row: Option<&Row>, width: usize) -> String {
        let word = row.map_or("", |row| if row.known.is_some() { "KNOWN" } else { row.outcome.word() });
        let padded = format!("{word:<width$}");
        self.paint(row, &padded)
    }

    fn paint(&self, row: Option<&Row>, text: &str) -> String {
        let Some(row) = row.filter(|_| self.colors) else { return text.to_owned() };
        let code = match &row.outcome {
            _ if row.fault => "1;31",
            Outcome::Ok { .. } => "32",
            Outcome::Unsupported { .. } | Outcome::NotTried { .. } => "2",
            _ => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A table: rows by name, columns by word.
    fn table(&mut self, title: &str, columns: &[&str], rows: &[(String, Vec<Option<&Row>>)]) {
        let used: Vec<usize> =
            (0..columns.len()).filter(|column| rows.iter().any(|(_, cells)| cells[*column].is_some())).collect();
        if used.is_empty() {
            return;
        }
        let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(24);
        let width = |column: usize| columns[column].len().max(7) + 1;
        let mut head = format!("\n{title:<widest$}   ", widest = widest + 2);
        for column in &used {
            let _ = write!(head, "{:<width$}", columns[*column], width = width(*column));
        }
        self.line(&head);
        for (name, cells) in rows {
            let mut line = format!("  {name:<widest$}   ");
            for column in &used {
                line.push_str(&self.cell(cells[*column], width(*column)));
            }
            self.line(&line);
        }
    }
}

impl Report {
    /// Tables and what is behind every word that is not `ok`.
    pub fn render(&self, colors: bool) -> String {
        let mut pen = Pen { text: String::new(), colors };
        pen.line(&format!(
            "darkframe {} selftest, {}, {}, board {}",
            self.darkframe, self.date, self.kernel, self.board
        ));
        if let Some(machine) = &self.machine {
            pen.line(machine);
        }
        for display in &self.displays {
            display.render(&mut pen);
        }
        pen.line(&format!(
            "\n{} right, {} not supported, {} faults, {} known faults, {} not tried",
            self.right(),
            self.rows().filter(|row| matches!(row.outcome, Outcome::Unsupported { .. })).count(),
            self.faults(),
            self.known(),
            self.rows().filter(|row| matches!(row.outcome, Outcome::NotTried { .. })).count(),
        ));
        pen.text
    }
}

impl DisplayReport {
    fn render(&self, pen: &mut Pen) {
        let driver = &self.driver;
        pen.line(&format!("\n== {}", self.name));
        if let Some(row) = self.rows.iter().find(|row| matches!(row.case, Case::Open)) {
            pen.line(&pen.paint(Some(row), &row.outcome.to_string()));
        }
        if driver.version.is_empty() {
            return;
        }
        pen.line(&format!("{} on {}; {}", driver.version, driver.renderer, driver.egl));
        if !driver.imports {
            pen.line("no dma-buf import: frames are copied");
        }
        self.memory(pen);
        self.rgb(pen);
        self.pairs(pen, "Copied into textures", ["tight", "padded"], |case| match case {
            Case::Upload { format, padded } => Some((format.clone(), usize::from(*padded))),
            _ => None,
        });
        self.pairs(pen, "YUV formats", ["picture", "hints"], |case| match case {
            Case::Yuv { format, hints } => Some((format.clone(), usize::from(*hints))),
            _ => None,
        });
        self.placement(pen);
        self.list(pen, "Fences", "sync");
        self.list(pen, "Read back", "readback");
        self.list(pen, "What the driver checks", "guard");
        self.list(pen, "Limits", "limits");
        self.reasons(pen);
    }

    fn memory(&self, pen: &mut Pen) {
        let mut rows: Vec<(String, Vec<Option<&Row>>)> = Vec::new();
        for row in &self.rows {
            let Case::Memory { allocator, format, modifier, usage } = &row.case else { continue };
            let modifier = if modifier == "none" { "(no modifier)" } else { modifier };
            let name = format!("{allocator} {format} {modifier}");
            let column = USES.iter().position(|known| known == usage).unwrap_or(0);
            set(&mut rows, name, USES.len(), column, row);
        }
        pen.table("Memory", &USES.map(Use::name), &rows);
    }

    fn rgb(&self, pen: &mut Pen) {
        let (mut rows, mut unlisted) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let Case::Rgb { format, usage } = &row.case else { continue };
            if matches!(&row.outcome, Outcome::Unsupported { why } if why.ends_with("is not listed")) {
                if *usage == Use::External {
                    unlisted.push(format.as_str());
                }
                continue;
            }
            let column = USES.iter().position(|known| known == usage).unwrap_or(0);
            set(&mut rows, format.clone(), USES.len(), column, row);
        }
        pen.table("RGB formats", &USES.map(Use::name), &rows);
        if !unlisted.is_empty() {
            pen.line(&format!("  not listed: {}", unlisted.join(" ")));
        }
    }

    /// Rows of two columns; facts behind them.
    fn pairs(&self, pen: &mut Pen, title: &str, columns: [&str; 2], place: impl Fn(&Case) -> Option<(String, usize)>) {
        let mut rows = Vec::new();
        let mut facts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in &self.rows {
            let Some((name, column)) = place(&row.case) else { continue };
            if let Outcome::Ok { facts: found } = &row.outcome {
                for (fact, value) in found {
                    facts.entry(format!("{fact}: {value}")).or_default().push(name.clone());
                }
            }
            set(&mut rows, name, 2, column, row);
        }
        pen.table(title, &columns, &rows);
        let facts: Vec<(String, String)> = facts.into_iter().map(|(fact, names)| (fact, names.join(" "))).collect();
        for (fact, names) in facts {
            pen.line(&format!("  {fact} ({names})"));
        }
    }

    fn placement(&self, pen: &mut Pen) {
        let mut formats: Vec<&str> = Vec::new();
        for row in &self.rows {
            if let Case::Placement { format, .. } = &row.case
                && !formats.contains(&format.as_str())
            {
                formats.push(format);
            }
        }
        if formats.is_empty() {
            return;
        }
        pen.line("\nSmallest multiples that are right (bytes)");
        for format in formats {
            let mut words = Vec::new();
            for what in What::ALL {
                if matches!(what, What::SampledRows | What::DrawnRows) {
                    let is_it = |case: &Case| matches!(case, Case::Placement { format: f, what: w, .. } if f == format && *w == what);
                    let word = match self.rows.iter().find(|row| is_it(&row.case)).map(|row| &row.outcome) {
                        Some(Outcome::Ok { .. }) => "any",
                        None | Some(Outcome::NotTried { .. }) => "not tried",
                        Some(_) => "padded",
                    };
                    words.push(format!("{} {word}", what.name()));
                } else {
                    let found = self.alignment(format, what).map_or("none".to_owned(), |bytes| bytes.to_string());
                    words.push(format!("{} {found}", what.name()));
                }
            }
            pen.line(&format!("  {format:<10} {}", words.join(", ")));
        }
    }

    fn list(&self, pen: &mut Pen, title: &str, topic: &str) {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.case.topic() == topic).collect();
        if rows.is_empty() {
            return;
        }
        pen.line(&format!("\n{title}"));
        for row in rows {
            let name = row.name.split_once(' ').map_or(row.name.as_str(), |(_, name)| name);
            let text = match &row.outcome {
                outcome @ Outcome::Ok { .. } => outcome.to_string(),
                other => if row.known.is_some() { "KNOWN" } else { other.word() }.to_owned(),
            };
            pen.line(&format!("  {name:<22} {}", pen.paint(Some(row), &text)));
        }
    }

    /// Everything that is neither right nor plainly unsupported, each reason once.
    fn reasons(&self, pen: &mut Pen) {
        let mut reasons: Vec<(String, Vec<&Row>)> = Vec::new();
        for row in &self.rows {
            if matches!(row.outcome, Outcome::Ok { .. }) {
                continue;
            }
            let text = row.outcome.to_string();
            match reasons.iter_mut().find(|(known, rows)| *known == text && rows[0].known == row.known) {
                Some((_, rows)) => rows.push(row),
                None => reasons.push((text, vec![row])),
            }
        }
        if reasons.is_empty() {
            return;
        }
        pen.line("\nReasons");
        for (text, rows) in reasons {
            let row = rows[0];
            let more = if rows.len() > 1 { format!(" and {} more", rows.len() - 1) } else { String::new() };
            pen.line(&format!("  {}{more}: {}", row.name, pen.paint(Some(row), &text)));
            if let Some(known) = row.known {
                pen.line(&format!("    KNOWN: this driver {known}"));
            }
        }
    }
}

/// Sets a cell; makes the row where it is new.
fn set<'a>(rows: &mut Vec<(String, Vec<Option<&'a Row>>)>, name: String, columns: usize, column: usize, row: &'a Row) {
    match rows.iter_mut().find(|(known, _)| *known == name) {
        Some((_, cells)) => cells[column] = Some(row),
        None => {
            let mut cells = vec![None; columns];
            cells[column] = Some(row);
            rows.push((name, cells));
        }
    }
}
