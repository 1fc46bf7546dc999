//! Manifest, summary, fidelity and verdict → the text that a run ends with.
//!
//! In: what a run was and measured, and a [`Style`]. Out: text whose lines keep to the style's width.
//! Invariants: without colour there is no escape sequence in it; text from outside is escaped; only what was measured
//! is shown.
//! Not here: whether stdout is a terminal, and writing to it.

use std::path::PathBuf;

use crate::analysis::fidelity::Fidelity;
use crate::metrics::{OverTime, Summary, Value};
use crate::record::manifest::{Judgement, Manifest, Verdict};

use super::fidelity::phrases;
use super::number::{count, number, percent, unit, utc};
use super::table::{COLUMNS, FIRST_LOOK, MetricRow, THIN_NOTE, metric_rows};
use super::text::{fit, pad, plain, width, wrap};
use super::words;

/// How text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of a line; the metric table needs 100 where its numbers are long.
    pub width: usize,
    /// Whether to use the terminal's colours.
    pub color: bool,
}

impl Default for Style {
    fn default() -> Self {
        Style { width: 100, color: false }
    }
}

pub(super) const BOLD: &str = "1";
pub(super) const DIM: &str = "2";
pub(super) const RED: &str = "1;31";
const GREEN: &str = "1;32";
pub(super) const YELLOW: &str = "1;33";

/// Single numbers that a run ends with, in this order. The rest is in the artifacts and on the page.
const SCALARS: [&str; 7] = [
    "request_throughput",
    "output_token_throughput",
    "total_token_throughput",
    "goodput",
    "scheduled_goodput",
    "good_request_fraction",
    "effective_concurrency",
];
/// Kinds of failure that are listed; the page lists more.
const ERRORS_MAX: usize = 10;

/// The report of one run. Ends with a line feed.
pub fn render(manifest: &Manifest, summary: &Summary, fidelity: &Fidelity, verdict: &Verdict, style: Style) -> String {
    let blocks = [
        header(manifest, summary, style),
        table(&metric_rows(summary, |name| FIRST_LOOK.contains(&name)), style),
        scalars(summary, style),
        outcomes(manifest, summary, style),
        as_planned(fidelity, style),
        objective(manifest, summary, style),
        judgement(verdict, style),
    ];
    let mut text = blocks.into_iter().filter(|b| !b.is_empty()).map(|b| b.join("\n")).collect::<Vec<_>>().join("\n\n");
    text.push('\n');
    text
}

/// The list of files that were written. Empty without files, else ends with a line feed.
pub fn files(paths: &[PathBuf], style: Style) -> String {
    let line = |(i, path): (usize, &PathBuf)| {
        let label = if i == 0 { "Files" } else { "" };
        labelled(label, 7, &plain(&path.display().to_string()), style) + "\n"
    };
    paths.iter().enumerate().map(line).collect()
}

fn header(manifest: &Manifest, summary: &Summary, style: Style) -> Vec<String> {
    let title = format!(
        "loadline {}  run {}  {}  {}",
        plain(&manifest.loadline_version),
        plain(&manifest.run_id),
        utc(manifest.anchor.t0_unix_ns),
        words::state(manifest)
    );
    let mut lines = vec![paint(&fit(&title, style.width), BOLD, style)];
    for (label, value) in [
        ("Model", plain(&manifest.model)),
        ("Endpoint", words::endpoint(manifest)),
        ("Load", words::load(summary)),
        ("Seed", manifest.seed.to_string()),
        ("Window", words::window(manifest, summary)),
        ("Client", words::client(manifest)),
        ("Stamps", words::token_times(manifest, summary)),
        ("Sends", words::transmit(manifest).unwrap_or_default()),
    ]
    .iter()
    .filter(|(_, value)| !value.is_empty())
    {
        lines.push(labelled(label, 10, value, style));
    }
    lines
}

fn table(rows: &[MetricRow], style: Style) -> Vec<String> {
    if rows.is_empty() {
        return vec!["No request was measured: there is no latency to show.".into()];
    }
    // A column with a mark anywhere keeps a place for it in every row, so that digits stand below digits.
    let marked: Vec<bool> = (0..COLUMNS.len()).map(|c| rows.iter().any(|r| r.cells[c].thin)).collect();
    let cell = |row: &MetricRow, c: usize| {
        let mark = if row.cells[c].thin { "*" } else { " " };
        format!("{}{}", row.cells[c].text, if marked[c] { mark } else { "" })
    };
    let head = |c: usize| format!("{}{}", COLUMNS[c], if marked[c] { " " } else { "" });
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|c| rows.iter().map(|r| width(&cell(r, c))).chain([width(&head(c))]).max().unwrap_or(0).max(5))
        .collect();
    let unit_width = rows.iter().map(|r| r.unit.len()).max().unwrap_or(0);
    let title_longest = rows.iter().map(|r| width(r.title)).max().unwrap_or(0);
    let room = |gap: usize| style.width.saturating_sub(widths.iter().map(|w| w + gap).sum::<usize>() + 2 + unit_width);
    // Where it gets tight, the gaps between the columns go first, then the ends of long names.
    let gap = if title_longest <= room(2) { 2 } else { 1 };
    let title_width = title_longest.min(room(gap).max(12));
    let line = |title: &str, unit: &str, cell: &dyn Fn(usize) -> String| {
        let mut line = format!("{}  {}", pad(&fit(title, title_width), title_width), pad(unit, unit_width));
        for (c, columns) in widths.iter().enumerate() {
            line += &format!("{}{}", " ".repeat(gap + columns - width(&cell(c))), cell(c));
        }
        line.trim_end().to_string()
    };
    let mut lines = vec![paint(&line("Metric", "", &head), BOLD, style)];
    lines.extend(rows.iter().map(|row| line(row.title, row.unit, &|c| cell(row, c))));
    if marked.contains(&true) {
        lines.push(paint(THIN_NOTE, DIM, style));
    }
    lines
}

fn scalars(summary: &Summary, style: Style) -> Vec<String> {
    let found: Vec<_> = SCALARS
        .iter()
        .filter_map(|name| summary.values.iter().find(|(def, _)| def.name == *name))
        .filter_map(|(def, value)| match value {
            Value::Scalar(x) | Value::OverTime(OverTime { mean: x, .. }) => {
                Some((def.title, number(*x), unit(def.unit)))
            }
            Value::Distribution(_) => None,
        })
        .collect();
    let title_width = found.iter().map(|(title, ..)| width(title)).max().unwrap_or(0);
    let line = |(title, x, unit): &(&str, String, &str)| format!("{}  {x:>8} {unit}", pad(title, title_width));
    found.iter().map(|f| fit(&line(f), style.width)).collect()
}

fn outcomes(manifest: &Manifest, summary: &Summary, style: Style) -> Vec<String> {
    let counts = &manifest.counts;
    let law = fit(&words::conservation(counts), style.width);
    let holds = counts.accounted() == counts.scheduled;
    let mut lines = vec![if holds { law } else { paint(&law, RED, style) }];
    if counts.tokens_lost > 0 {
        lines.push(fit(&words::token_rows(counts), style.width));
    }
    for error in summary.errors.iter().take(ERRORS_MAX) {
        let text = format!("  {:>7}  {}  {}", count(error.count), words::error_kind(error), plain(&error.message));
        lines.push(fit(text.trim_end(), style.width));
    }
    if summary.errors.len() > ERRORS_MAX {
        lines.push(format!("           and {} more kinds", summary.errors.len() - ERRORS_MAX));
    }
    lines
}

fn objective(manifest: &Manifest, summary: &Summary, style: Style) -> Vec<String> {
    let bounds = words::objective(&manifest.slo);
    if bounds.is_empty() {
        return Vec::new();
    }
    let good = words::scalar(summary, "good_request_fraction").map_or_else(
        || "no share of good requests".into(),
        |share| format!("{} of ended requests good", percent(share)),
    );
    block("SLO", &format!("{}: {good}", bounds.join(", ")), style)
}

/// Whether the load was the one that was planned.
fn as_planned(fidelity: &Fidelity, style: Style) -> Vec<String> {
    const COLUMNS: usize = 10;
    let phrases = phrases(fidelity);
    if phrases.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![paint("Fidelity to the plan", BOLD, style)];
    for (label, phrase) in phrases {
        let wrapped = wrap(&phrase, style.width.saturating_sub(COLUMNS).max(8));
        lines.extend(
            wrapped.iter().enumerate().map(|(i, l)| labelled(if i == 0 { label } else { "" }, COLUMNS, l, style)),
        );
    }
    lines
}

fn judgement(verdict: &Verdict, style: Style) -> Vec<String> {
    let (word, color) = match verdict.judgement {
        Judgement::Valid => ("VALID", GREEN),
        Judgement::Suspect => ("SUSPECT", YELLOW),
        Judgement::Invalid => ("INVALID", RED),
    };
    let mut lines = vec![format!("{}  {}", paint("Verdict", BOLD, style), paint(word, color, style))];
    for reason in &verdict.reasons {
        let wrapped = wrap(&plain(reason), style.width.saturating_sub(4).max(8));
        lines.extend(wrapped.iter().enumerate().map(|(i, l)| format!("{}{l}", if i == 0 { "  - " } else { "    " })));
    }
    lines
}

pub(super) fn labelled(label: &str, columns: usize, value: &str, style: Style) -> String {
    paint(&pad(label, columns), DIM, style) + &fit(value, style.width.saturating_sub(columns))
}

/// A label, and a value that may take several lines beside it.
fn block(label: &str, value: &str, style: Style) -> Vec<String> {
    let indent = label.len() + 2;
    wrap(value, style.width.saturating_sub(indent).max(8))
        .iter()
        .enumerate()
        .map(|(i, line)| labelled(if i == 0 { label } else { "" }, indent, line, style))
        .collect()
}

pub(super) fn paint(text: &str, code: &str, style: Style) -> String {
    if style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
}

#[cfg(test)]
mod tests;
