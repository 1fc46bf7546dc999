//! Several runs → one table: each latency of each run, and how far it lies from the first run's.
//!
//! Invariants: lines keep to the style's width; a difference without an interval is a dash, never 0.

use crate::analysis::measured::Measured;
use crate::analysis::overlay::{LATENCIES, Latency, in_order};
use crate::comparison::difference::{Difference, difference};
use crate::metrics::quantile::percentile_of_sorted;
use crate::record::manifest::{Judgement, Manifest, Verdict};

use super::number::{number, percent};
use super::terminal::Style;
use super::text::{columns, fit, plain, wrap};
use super::words;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;
/// Letters that runs go by; there can be no more of them.
pub const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];

/// A run to be laid over others.
#[derive(Debug)]
pub struct Run {
    /// Where it lies.
    pub dir: String,
    /// What it was: model, endpoint.
    pub about: String,
    /// What its verdict was; null of a run without one.
    pub verdict: Option<Verdict>,
    /// Its requests.
    pub measured: Measured,
    /// Whether it had an objective.
    pub has_slo: bool,
}

impl Run {
    /// The run of `manifest`, which lies in `dir`.
    pub fn new(dir: String, manifest: &Manifest, measured: Measured) -> Run {
        let (verdict, has_slo) = (manifest.verdict.clone(), !manifest.slo.is_empty());
        Run { dir, about: format!("{}, {}", manifest.model, words::endpoint(manifest)), verdict, measured, has_slo }
    }
}

/// One latency of one run.
pub(super) struct Line {
    pub(super) n: usize,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// To the first run; null of the first itself, or where there are too few requests.
    pub(super) difference: Option<Difference>,
}

/// A latency of each run; null of a run that has none.
pub(super) fn lines(runs: &[Run], latency: Latency) -> Vec<Option<Line>> {
    let values: Vec<Vec<f64>> = runs.iter().map(|run| in_order(&run.measured, latency)).collect();
    let line = |(i, values_ms): (usize, &Vec<f64>)| {
        let mut sorted = values_ms.clone();
        sorted.sort_by(f64::total_cmp);
        if sorted.is_empty() {
            return None;
        }
        let at = |p: f64| percentile_of_sorted(&sorted, p);
        Some(Line {
            n: sorted.len(),
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            p50: at(50.0),
            p99: at(99.0),
            difference: if i == 0 { None } else { difference(&values[0], values_ms, CONFIDENCE) },
        })
    };
    values.iter().enumerate().map(line).collect()
}

/// What a difference says.
pub(super) fn state(difference: Option<Difference>) -> &'static str {
    match difference {
        None => "",
        Some(d) if !d.is_distinguishable() => "not distinguishable",
        Some(d) if d.estimate > 0.0 => "higher",
        Some(_) => "lower",
    }
}

/// A difference and its interval, in cells.
pub(super) fn apart(difference: Option<Difference>) -> [String; 2] {
    let signed = |x: f64| format!("{}{}", if x < 0.0 { "-" } else { "+" }, number(x.abs()));
    difference.map_or_else(
        || ["-".into(), "-".into()],
        |d| [signed(d.estimate), format!("{} to {}", signed(d.low), signed(d.high))],
    )
}

/// How the requests of a run ended: all, completed, good (a dash without an objective).
pub(super) fn ended(run: &Run) -> [String; 3] {
    let all = run.measured.requests.len();
    let completed = run.measured.requests.iter().filter(|r| r.latency_ms.is_some()).count();
    let good = run.measured.requests.iter().filter(|r| r.good).count();
    let share = if run.has_slo && all > 0 { percent(good as f64 / all as f64) } else { "-".into() };
    [all.to_string(), completed.to_string(), share]
}

/// A verdict, in a word.
pub(super) fn judgement(run: &Run) -> &'static str {
    match run.verdict.as_ref().map(|v| v.judgement) {
        Some(Judgement::Valid) => "valid",
        Some(Judgement::Suspect) => "suspect",
        Some(Judgement::Invalid) => "invalid",
        None => "no verdict",
    }
}

/// The table. Ends with a line feed.
pub fn render(runs: &[Run], style: Style) -> String {
    let mut text = String::new();
    let mut rows = vec![["", "requests", "completed", "SLO met", "verdict", "run"].map(String::from)];
    for (letter, run) in LETTERS.iter().zip(runs) {
        let [all, completed, good] = ended(run);
        rows.push([
            (*letter).into(),
            all,
            completed,
            good,
            judgement(run).into(),
            fit(&plain(&format!("{} ({})", run.dir, run.about)), 56),
        ]);
    }
    table(&mut text, &rows, style);
    let head = ["ms", "run", "n", "mean", "p50", "p99", "to A", "interval", ""].map(String::from);
    let mut rows = vec![head];
    for (name, latency) in LATENCIES {
        for (letter, line) in LETTERS.iter().zip(lines(runs, latency)) {
            let Some(line) = line else { continue };
            let [estimate, ends] = apart(line.difference);
            rows.push([
                name.into(),
                (*letter).into(),
                line.n.to_string(),
                number(line.mean),
                number(line.p50),
                number(line.p99),
                estimate,
                ends,
                state(line.difference).into(),
            ]);
        }
    }
    table(&mut text, &rows, style);
    for line in wrap(NOTE, style.width) {
        text += &format!("{line}\n");
    }
    text
}

/// What the columns mean.
pub(super) const NOTE: &str = "to A: the difference of the means, with its 95 % interval from the means of ten blocks of each run; not distinguishable: \
    the interval holds 0. Latencies count from the sending, of completed requests.";

fn table<const N: usize>(text: &mut String, rows: &[[String; N]], style: Style) {
    for line in columns(rows) {
        *text += &format!("{}\n", fit(line.trim_end(), style.width));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::text::width;
    use super::*;
    use crate::analysis::fixture::{Memory, answered, manifest};

    fn run(dir: &str, ttft_ms: f64) -> Run {
        let rows = (0..40).map(|i| answered(i, i as f64 * 10.0, 0.0, ttft_ms + (i % 3) as f64, 10.0, 4)).collect();
        let measured = Measured::read(&Memory::new(manifest(), rows)).unwrap();
        Run { verdict: None, ..Run::new(dir.into(), &manifest(), measured) }
    }

    #[test]
    fn a_run_is_told_apart_from_the_first_or_not_and_the_table_fits() {
        let long = "d".repeat(200);
        let text = render(&[run("a", 100.0), run("b", 100.0), run(&long, 150.0)], Style::default());
        assert!(text.lines().all(|line| width(line) <= 100), "{text}");
        let of = |letter: &str| text.lines().find(|l| l.split_whitespace().take(2).eq(["TTFT", letter])).unwrap();
        assert!(of("A").contains(" - "), "{text}");
        assert!(of("B").ends_with("not distinguishable"), "{text}");
        assert!(of("C").ends_with("higher") && of("C").contains("+50"), "{text}");
        assert!(text.contains("no verdict"));
    }
}
