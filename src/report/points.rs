//! A scored table of points → text: how many were predicted, why others were not, and how far the predictions were off.
//!
//! Invariant: lines keep to the style's width. Not here: writing it.

use crate::profiler::points::{Errors, Scored};

use super::number::count;
use super::terminal::{BOLD, Style, paint};
use super::text::{columns, fit, plain};

/// Reasons that are shown, at most; the file has them all.
const REASONS_MAX: usize = 8;

/// The text. Ends with a line feed.
pub fn render(scored: &Scored, output: Option<&str>, style: Style) -> String {
    let line = |text: &str| fit(&plain(text), style.width);
    let title = format!(
        "Points of {}: {} rows, {} predicted",
        scored.kind.name,
        count(scored.rows as u64),
        count(scored.predicted as u64)
    );
    let mut lines = vec![paint(&line(&title), BOLD, style)];
    for (why, rows) in scored.refused.iter().take(REASONS_MAX) {
        lines.push(line(&format!("Not predicted, {}: {why}", count(*rows as u64))));
    }
    if let Some(more) = scored.refused.len().checked_sub(REASONS_MAX + 1) {
        lines.push(line(&format!("And {} more reasons, in the file", count(more as u64 + 1))));
    }
    if !scored.groups.is_empty() {
        lines.push(String::new());
        lines.push(line("Predicted / measured - 1, in %: mean of its size, median of its size, mean (bias)"));
        lines.extend(table(scored, style));
    }
    if let Some(path) = output {
        lines.push(String::new());
        lines.push(line(&format!("Written to {path}")));
    }
    lines.join("\n") + "\n"
}

/// Columns of the table: what the rows are of, how many, and three figures for each of two quantities at most.
const COLUMNS: usize = 4 + 2 * 3;

fn table(scored: &Scored, style: Style) -> Vec<String> {
    let named =
        scored.kind.quantities.iter().flat_map(|q| [format!("{} MAPE", q.name), "median".into(), "bias".into()]);
    let mut rows = vec![row(["model", "GPU", "backend", "rows"].map(String::from), named)];
    for group in &scored.groups {
        let n = group.errors.iter().flatten().map(|e| e.rows).max().unwrap_or(0);
        let [model, gpu, backend] = &group.of;
        let model = if model.is_empty() { "all" } else { model.rsplit('/').next().unwrap_or(model) };
        let of = [fit(&plain(model), 20), fit(&plain(gpu), 8), fit(&plain(backend), 7), count(n as u64)];
        rows.push(row(of, group.errors.iter().flat_map(|errors| figures(errors.as_ref()))));
    }
    columns(&rows).into_iter().map(|line| fit(&line, style.width)).collect()
}

fn row(of: [String; 4], figures: impl Iterator<Item = String>) -> [String; COLUMNS] {
    let mut cells = of.into_iter().chain(figures);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

fn figures(errors: Option<&Errors>) -> [String; 3] {
    errors.map_or_else(
        || ["", "", ""].map(String::from),
        |e| [format!("{:.1}", 100.0 * e.mape), format!("{:.1}", 100.0 * e.median), format!("{:+.1}", 100.0 * e.bias)],
    )
}
