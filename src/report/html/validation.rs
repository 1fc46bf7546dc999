//! A validation → one offline page: what was predicted against what each level of load showed.
//!
//! Invariants: those of every page; what was not measured is a dash, or absent from a plot. Not here: the numbers
//! ([`crate::comparison::validation`]).

use crate::comparison::repeats::Interval;
use crate::comparison::validation::{Compared, LevelResult, Predicted};
use crate::record::manifest::Judgement;
use crate::report::number::{count, number, percent};
use crate::report::validation::{load, remarks, shown, signed};

use super::axis::Axis;
use super::escape::{escape, escape_cut};
use super::figure::{Figure, Key, figure, no_data};
use super::svg::{Chart, Slice};
use super::table::table;
use super::{Page, section};

/// Statistics that are drawn: the place among those of a latency, the mark, the name.
const DRAWN: [(usize, &str, &str); 3] = [(1, "s1", "p50"), (2, "s3", "p90"), (3, "s2", "p99")];
/// Of one latency at one level.
type Of = fn(&LevelResult) -> &[Compared; 4];

/// The page. `about` says what was asked of which deployment.
pub fn render(title: &str, about: &str, predicted: Predicted, levels: &[LevelResult], notes: &[String]) -> Page {
    let judgement = levels.iter().map(|r| r.verdict.judgement).max().unwrap_or(Judgement::Invalid);
    let class = match judgement {
        Judgement::Valid => "valid",
        Judgement::Suspect => "suspect",
        Judgement::Invalid => "invalid",
    };
    let worst = levels.iter().map(|r| r.worst_error_pct(predicted)).reduce(|a, b| Some(a?.max(b?))).flatten();
    let heading = match worst {
        _ if predicted.ttft_ms.is_none() && predicted.itl_ms.is_none() => "Nothing was predicted".into(),
        Some(worst) => format!("The worst error of a median is {} %", number(worst)),
        None => "The worst error of a median is not known: a level has no latency".into(),
    };
    let says: String =
        remarks(levels, notes).iter().map(|line| format!("<li>{}</li>", escape_cut(line, 600))).collect();
    let (ttft, itl): (Of, Of) = (|r| &r.ttft, |r| &r.itl);
    let figures = [
        latency("TTFT by level", "TTFT, ms", levels, ttft, predicted.ttft_ms),
        latency("ITL by level", "ITL, ms", levels, itl, predicted.itl_ms),
        attainment(levels),
    ];
    let body = [
        format!(
            "<header><div><p class=\"kicker\">loadline · validation</p><h1>{}</h1><p class=\"sub\">{}</p></div></header>\n<main>\n",
            escape_cut(title, 120),
            escape_cut(about, 400)
        ),
        format!("<section class=\"verdict {class}\"><h2>{}</h2><ul>{says}</ul></section>\n", escape(&heading)),
        section("Plots", &figures),
        errors(predicted, levels),
        rates(levels),
        "</main>\n".into(),
    ];
    Page::new(title, &body.concat(), figures)
}

/// Requests of the steady states.
fn requests(levels: &[LevelResult]) -> String {
    count(levels.iter().flat_map(|r| &r.runs).map(|run| run.steady_requests).sum())
}

fn names(levels: &[LevelResult]) -> Vec<&'static str> {
    levels.iter().map(|r| r.level.name).collect()
}

fn latency(heading: &str, label: &str, levels: &[LevelResult], of: Of, predicted: Option<f64>) -> Figure {
    let actual = |r: &LevelResult, at: usize| of(r)[at].actual;
    let values = || levels.iter().flat_map(|r| DRAWN.iter().filter_map(move |d| actual(r, d.0)));
    if values().next().is_none() {
        return no_data(heading, "No level has this latency.");
    }
    let runs = levels.iter().map(|r| r.runs.len()).max().unwrap_or(0);
    let caption = format!(
        "Percentiles over the requests of the steady state, n = {} in all; the mean over {runs} run(s) of a level, with its \
         interval where there are several. Dashed: what was predicted.",
        requests(levels)
    );
    let ends = values().flat_map(|i| i.ends.map_or([i.mean; 2], |(low, high)| [low, high])).filter(|v| *v > 0.0);
    let axes = (
        Axis::classes("level of load", &names(levels)),
        Axis::log(format!("{label}, log scale"), ends.chain(predicted)),
    );
    let mut chart = Chart::new(heading, &caption, axes, 0);
    for (n, (at, class, name)) in DRAWN.into_iter().enumerate() {
        let x = |i: usize| i as f64 + 0.3 + 0.2 * n as f64;
        for (i, r) in levels.iter().enumerate() {
            let Some(interval) = actual(r, at) else { continue };
            if let Some(ends) = interval.ends {
                chart.strokes(class, ends, [x(i)].into_iter());
            }
            let error = of(r)[at].error.map_or_else(String::new, |e| format!(", error {}", signed(e.signed_pct())));
            let note = format!("{} at {}, {name}: {} ms{error}", r.level.name, load(r), number(interval.mean));
            chart.dot(&format!("{class} big"), (x(i), interval.mean), &note);
        }
    }
    if let Some(predicted) = predicted {
        chart.reference_y("slo", predicted, &format!("predicted {} ms", number(predicted)));
    }
    figure(heading, &DRAWN.map(|(_, class, name)| Key::line(class, name)), chart, &caption)
}

fn attainment(levels: &[LevelResult]) -> Figure {
    let heading = "SLA attainment by level";
    let caption = format!(
        "Share of requests that met both targets, in the steady state; failed and unsent ones met none. n = {} in all.",
        requests(levels)
    );
    let axes = (Axis::classes("level of load", &names(levels)), Axis::up_to("share within both targets", 1.0));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let bar = |(i, r): (usize, &LevelResult)| {
        let share = r.attainment?.mean;
        let note = format!("{} at {}: {}", r.level.name, load(r), percent(share));
        Some(Slice { from: i as f64 + 0.25, to: i as f64 + 0.75, height: share, note })
    };
    let bars: Vec<Slice> = levels.iter().enumerate().filter_map(bar).collect();
    if bars.is_empty() {
        return no_data(heading, "No level has requests that ended.");
    }
    chart.bars("s1 solid", &bars);
    figure(heading, &[], chart, &caption)
}

fn errors(predicted: Predicted, levels: &[LevelResult]) -> String {
    let row = |r: &LevelResult, metric: &str, predicted: Option<f64>, c: &Compared| {
        vec![
            format!("{} at {}", r.level.name, load(r)),
            metric.into(),
            c.stat.into(),
            shown(predicted),
            shown(c.actual.map(|i| i.mean)),
            ends(c.actual),
            c.error.map_or_else(|| "–".into(), |e| signed(e.signed_pct())),
            c.error.map_or_else(|| "–".into(), |e| format!("{} %", number(e.absolute_pct()))),
        ]
    };
    let rows: Vec<Vec<String>> = levels
        .iter()
        .flat_map(|r| {
            let ttft = r.ttft.iter().map(move |c| row(r, "TTFT", predicted.ttft_ms, c));
            ttft.chain(r.itl.iter().map(move |c| row(r, "ITL", predicted.itl_ms, c)))
        })
        .collect();
    table(
        "Predicted against actual",
        "Milliseconds. Error: (predicted − actual) / actual, signed, and its size.",
        &["", "metric", "statistic", "predicted", "actual", "interval", "error", "size"],
        &rows,
    )
}

fn rates(levels: &[LevelResult]) -> String {
    let rows: Vec<Vec<String>> = levels
        .iter()
        .map(|r| {
            let mean = |i: Option<Interval>| shown(i.map(|i| i.mean));
            vec![
                r.level.name.into(),
                load(r),
                r.runs.iter().map(|run| run.steady_requests).sum::<u64>().to_string(),
                mean(r.request_rps),
                mean(r.goodput_rps),
                ends(r.goodput_rps),
                r.attainment.map_or_else(|| "–".into(), |i| percent(i.mean)),
            ]
        })
        .collect();
    table(
        "Throughput and attainment",
        "Per second, in the steady state. Goodput: requests that met both targets.",
        &["", "load", "n", "req/s", "goodput, req/s", "interval", "SLA met"],
        &rows,
    )
}

fn ends(interval: Option<Interval>) -> String {
    let ends = interval.and_then(|i| i.ends);
    ends.map_or_else(|| "–".into(), |(low, high)| format!("{} to {}", number(low.max(0.0)), number(high)))
}
