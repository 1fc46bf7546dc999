//! Several runs → one offline page: their latencies and rates laid over each other, and what lies between them.
//!
//! Invariants: those of every page; the numbers are those of the text.

use crate::analysis::overlay::{LATENCIES, Latency, answers_per_s, in_order};
use crate::analysis::spread::cdf;
use crate::record::manifest::Judgement;
use crate::report::number::{count, number};
use crate::report::runs::{LETTERS, NOTE, Run, apart, ended, judgement, lines, state};

use super::axis::Axis;
use super::escape::{escape, escape_cut};
use super::figure::{Figure, Key, figure, no_data};
use super::svg::Chart;
use super::table::table;
use super::{Page, section};

/// Classes of the curves of [`LETTERS`], in their order.
const CLASSES: [&str; 8] = ["s1", "s2", "s3", "s4", "s1 dash", "s2 dash", "s3 dash", "s4 dash"];

/// The page.
pub fn render(runs: &[Run]) -> Page {
    let title = format!("{} runs", runs.len());
    let worst = runs.iter().filter_map(|run| run.verdict.as_ref()).map(|v| v.judgement).max();
    let class = match worst {
        Some(Judgement::Valid) => "valid",
        Some(Judgement::Suspect) | None => "suspect",
        Some(Judgement::Invalid) => "invalid",
    };
    let told: String = LETTERS
        .iter()
        .zip(runs)
        .map(|(letter, run)| {
            let text = format!("{letter}: {}, {} ({})", judgement(run), run.dir, run.about);
            format!("<li>{}</li>", escape_cut(&text, 300))
        })
        .collect();
    let mut figures: Vec<Figure> = LATENCIES.iter().map(|(name, latency)| spread(runs, name, *latency)).collect();
    figures.push(answers(runs));
    let body = [
        format!(
            "<header><div><p class=\"kicker\">loadline · runs</p><h1>{}</h1></div></header>\n<main>\n",
            escape(&title)
        ),
        format!("<section class=\"verdict {class}\"><h2>Verdicts</h2><ul>{told}</ul></section>\n"),
        section("Plots", &figures),
        differences(runs),
        counts(runs),
        "</main>\n".into(),
    ];
    Page::new(&title, &body.concat(), figures)
}

fn keys(runs: &[Run]) -> Vec<Key> {
    let key = |((class, letter), run): ((&'static str, &str), &Run)| {
        Key::named(class, format!("{letter} {}", end_of(&run.dir)))
    };
    CLASSES.into_iter().zip(LETTERS.iter().copied()).zip(runs).map(key).collect()
}

/// Of a path of any length the last 40 characters, by which directories of one series differ.
fn end_of(dir: &str) -> String {
    let all: Vec<char> = dir.chars().collect();
    match all.len().checked_sub(40) {
        None | Some(0) => dir.into(),
        Some(cut) => format!("…{}", all[cut..].iter().collect::<String>()),
    }
}

fn spread(runs: &[Run], name: &str, latency: Latency) -> Figure {
    let heading = format!("{name}, share of requests");
    let curves: Vec<Vec<(f64, f64)>> = runs
        .iter()
        .map(|run| {
            let mut values = in_order(&run.measured, latency);
            values.sort_by(f64::total_cmp);
            cdf(&values)
        })
        .collect();
    let values = || curves.iter().flatten().map(|p| p.0);
    if values().next().is_none() {
        return no_data(&heading, "No completed request of any run has it.");
    }
    let n: Vec<String> = runs.iter().map(|run| count(in_order(&run.measured, latency).len() as u64)).collect();
    let caption = format!("Empirical distributions, from the sending, of completed requests: n = {}.", n.join(", "));
    let axes = (Axis::log("ms, log scale", values()), Axis::up_to("share of requests", 1.0));
    let mut chart = Chart::new(&heading, &caption, axes, 0);
    for (class, curve) in CLASSES.iter().zip(&curves).filter(|(_, curve)| !curve.is_empty()) {
        chart.rise(class, curve);
    }
    figure(&heading, &keys(runs), chart, &caption)
}

fn answers(runs: &[Run]) -> Figure {
    let heading = "Answers over time";
    let rates: Vec<_> = runs.iter().map(|run| answers_per_s(&run.measured)).collect();
    let last = rates.iter().filter_map(|r| r.last()).map(|r| r.1).fold(0.0, f64::max);
    let most = rates.iter().flatten().filter_map(|r| r.2).fold(0.0, f64::max);
    if last <= 0.0 {
        return no_data(heading, "No request of any run was completed.");
    }
    let n: Vec<String> = runs.iter().map(|run| ended(run)[1].clone()).collect();
    let caption = format!(
        "Completed requests per second, in sixtieths of each run, from when its first request was due: n = {}.",
        n.join(", ")
    );
    let axes = (Axis::up_to("s", last), Axis::from_zero("requests/s", most));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    for (class, rate) in CLASSES.iter().zip(&rates) {
        chart.steps(class, rate);
    }
    figure(heading, &keys(runs), chart, &caption)
}

fn differences(runs: &[Run]) -> String {
    let mut rows = Vec::new();
    for (name, latency) in LATENCIES {
        for (letter, line) in LETTERS.iter().zip(lines(runs, latency)) {
            let Some(line) = line else { continue };
            let [estimate, ends] = apart(line.difference);
            rows.push(vec![
                format!("{name}, {letter}"),
                count(line.n as u64),
                number(line.mean),
                number(line.p50),
                number(line.p99),
                estimate,
                ends,
                state(line.difference).into(),
            ]);
        }
    }
    table("Latencies, ms", NOTE, &["", "n", "mean", "p50", "p99", "to A", "interval", "state"], &rows)
}

fn counts(runs: &[Run]) -> String {
    let row = |(letter, run): (&&str, &Run)| {
        let [all, completed, good] = ended(run);
        vec![format!("{letter}, {}", run.dir), all, completed, good]
    };
    let rows: Vec<Vec<String>> = LETTERS.iter().zip(runs).map(row).collect();
    table(
        "Requests",
        "SLO met: share of all requests of the measurement.",
        &["", "requests", "completed", "SLO met"],
        &rows,
    )
}
