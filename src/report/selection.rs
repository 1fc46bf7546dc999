//! How choices of a deployment fared over known cases → tables.
//!
//! Invariant: lines keep to the style's width. Not here: writing it, choosing.

use crate::comparison::selection::cases::Standing;

use super::terminal::{BOLD, Style, paint};
use super::text::{columns, fit, plain};

/// A table: what was chosen from, and how each choice fared.
pub struct Section<'a> {
    /// What the candidates are.
    pub title: &'a str,
    /// One line each.
    pub standings: &'a [Standing],
}

/// The text. Ends with a line feed.
pub fn render(of: &str, sections: &[Section], notes: &[String], style: Style) -> String {
    let line = |text: &str| fit(&plain(text), style.width);
    let mut lines = vec![paint(&line(of), BOLD, style)];
    for section in sections {
        lines.push(String::new());
        lines.push(paint(&line(section.title), BOLD, style));
        lines.extend(table(section.standings).into_iter().map(|text| fit(&text, style.width)));
    }
    lines.push(String::new());
    lines.extend(notes.iter().map(|note| line(note)));
    lines.join("\n") + "\n"
}

fn table(standings: &[Standing]) -> Vec<String> {
    let head = ["choice", "prediction", "measured", "GPUs %", "regret %", "95 % interval", "best %"];
    let row = |s: &Standing| {
        let percent = |x: f64| format!("{:.1}", 100.0 * x);
        let interval = match (s.regret_low, s.regret_high) {
            (Some(low), Some(high)) => format!("{:.1} - {:.1}", 100.0 * low, 100.0 * high),
            _ => "unknown".into(),
        };
        [
            plain(&s.choice),
            plain(s.prediction.as_deref().unwrap_or("none")),
            format!("{:.1}", s.measured),
            format!("{:.0}", 100.0 * s.cost_share),
            percent(s.regret),
            interval,
            format!("{:.0}", 100.0 * s.best_share),
        ]
    };
    let rows: Vec<[String; 7]> = std::iter::once(head.map(String::from)).chain(standings.iter().map(row)).collect();
    columns(&rows)
}
