//! The spread of each latency → its figure: empirical CDFs with the objective, and the send lag's histogram.
//!
//! Invariant: percentiles in captions are those of the summary, so that no number differs from the table's.

use crate::analysis::spread::{Distribution, Spread};
use crate::metrics::Summary;
use crate::record::manifest::Manifest;
use crate::report::number::{count, number, percent};
use crate::report::words;

use super::axis::Axis;
use super::figure::{Figure, Key, figure, no_data};
use super::svg::{Chart, Slice};

const FROM_SENT: Key = Key::line("s1", "from sent");
const FROM_SCHEDULED: Key = Key::line("s2 dash", "from scheduled");
const NOTHING: &str = "No completed request has a value for this.";

/// The four figures.
pub(super) fn figures(spread: &Spread, manifest: &Manifest, summary: &Summary) -> [Figure; 4] {
    let latency = |heading, metric, sent, scheduled| {
        cdf(heading, metric, &[(FROM_SENT, sent), (FROM_SCHEDULED, scheduled)], manifest, summary)
    };
    [
        latency("Time to first token", "time_to_first_token", &spread.ttft, &spread.scheduled_ttft),
        cdf(
            "Inter-token latency",
            "inter_token_latency",
            &[(Key::line("s1", "mean gap of a request"), &spread.itl)],
            manifest,
            summary,
        ),
        latency("Request latency", "request_latency", &spread.latency, &spread.scheduled_latency),
        send_lag(&spread.send_lag, summary),
    ]
}

/// The tails of the three latencies, and the lengths of prompts and answers.
pub(super) fn tails_and_lengths(spread: &Spread, manifest: &Manifest) -> [Figure; 5] {
    let both = |sent, scheduled| [(FROM_SENT, sent), (FROM_SCHEDULED, scheduled)];
    [
        tail("Time to first token", "time_to_first_token", &both(&spread.ttft, &spread.scheduled_ttft), manifest),
        tail(
            "Inter-token latency",
            "inter_token_latency",
            &[(Key::line("s1", "mean gap of a request"), &spread.itl)],
            manifest,
        ),
        tail("Request latency", "request_latency", &both(&spread.latency, &spread.scheduled_latency), manifest),
        lengths("Prompt lengths, planned and served", &spread.prompts, "The server told the tokens of no prompt."),
        lengths(
            "Answer lengths, planned and served",
            &spread.answers,
            "No completed request had a planned length and told its own.",
        ),
    ]
}

/// The share of requests above each value, on two log axes: a tail that falls as a power of the value is a straight line.
fn tail(heading: &str, metric: &str, curves: &[(Key, &Distribution)], manifest: &Manifest) -> Figure {
    let heading = format!("{heading}, tail");
    let n = curves[0].1.n;
    if n == 0 {
        return no_data(&heading, NOTHING);
    }
    let bound = manifest.slo.iter().find(|s| s.metric == metric).map(|s| s.bound).filter(|b| *b > 0.0);
    let values = curves.iter().flat_map(|(_, d)| d.cdf.iter().map(|p| p.0));
    let axes = (
        Axis::log("ms, log scale", values.chain(bound)),
        Axis::log("share of requests above, log scale", [1.0 / n as f64, 1.0]),
    );
    let caption =
        format!("The share of n = {} completed requests with more than each value, down to a single one.", count(n));
    let mut chart = Chart::new(&heading, &caption, axes, u32::from(bound.is_some()));
    if let Some(bound) = bound {
        chart.reference_x("slo", bound, &format!("SLO {} ms", number(bound)));
    }
    for (key, d) in curves {
        chart.fall(key.class, &d.cdf);
    }
    let keys: Vec<Key> = curves.iter().map(|(k, _)| k.clone()).collect();
    figure(&heading, &keys, chart, &caption)
}

fn lengths(heading: &str, [planned, served]: &[Distribution; 2], missing: &str) -> Figure {
    if planned.n == 0 {
        return no_data(heading, missing);
    }
    let values = planned.cdf.iter().chain(&served.cdf).map(|p| p.0);
    let axes = (Axis::log("tokens, log scale", values), Axis::up_to("share of requests", 1.0));
    let median = |d: &Distribution| d.cdf.iter().find(|p| p.1 >= 0.5).map_or_else(String::new, |p| number(p.0));
    let caption = format!(
        "n = {} completed requests with both. Half of them have at most {} planned tokens, and at most {} served.",
        count(planned.n),
        median(planned),
        median(served)
    );
    let mut chart = Chart::new(heading, &caption, axes, 0);
    chart.rise("s4 wide", &planned.cdf);
    chart.rise("s1", &served.cdf);
    figure(heading, &[Key::line("s4 wide", "planned"), Key::line("s1", "served")], chart, &caption)
}

fn cdf(heading: &str, metric: &str, curves: &[(Key, &Distribution)], manifest: &Manifest, summary: &Summary) -> Figure {
    let heading = format!("{heading}, distribution");
    if curves.iter().all(|(_, d)| d.cdf.is_empty()) {
        return no_data(&heading, NOTHING);
    }
    let bound = manifest.slo.iter().find(|s| s.metric == metric).map(|s| s.bound).filter(|b| *b > 0.0);
    let values = curves.iter().flat_map(|(_, d)| d.cdf.iter().map(|p| p.0));
    let axes = (Axis::log("ms, log scale", values.chain(bound)), Axis::up_to("share of requests", 1.0));
    let title = format!("{heading}: share of requests at or below each value");
    let mut chart = Chart::new(&title, &caption(metric, summary), axes, u32::from(bound.is_some()));
    if let Some(bound) = bound {
        chart.reference_x("slo", bound, &bound_label(bound, curves[0].1));
    }
    for (key, d) in curves {
        chart.rise(key.class, &d.cdf);
    }
    for percent in [50.0, 90.0, 99.0] {
        let first = &curves[0].1.cdf;
        if let Some(at) = first.iter().find(|p| p.1 * 100.0 >= percent) {
            chart.dot(curves[0].0.class, *at, &format!("p{percent}: {} ms", number(at.0)));
        }
    }
    let keys: Vec<Key> = curves.iter().map(|(k, _)| k.clone()).collect();
    figure(&heading, &keys, chart, &caption(metric, summary))
}

/// The objective, and the share of a distribution that keeps it.
fn bound_label(bound_ms: f64, d: &Distribution) -> String {
    let kept = d.cdf.iter().rev().find(|p| p.0 <= bound_ms).map_or(0.0, |p| p.1);
    // Between two points of a CDF that is not drawn at every value, the share is known only from below.
    let about = if d.n as usize > d.cdf.len() && kept < 1.0 { "≥ " } else { "" };
    format!("SLO {} ms: {about}{} keep it", number(bound_ms), percent(kept))
}

fn caption(metric: &str, summary: &Summary) -> String {
    let line = |name: &str, from: &str| {
        let s = words::stats(summary, name)?;
        let p = |percent| number(words::percentile(s, percent));
        Some(format!("{from}p50 {} · p90 {} · p99 {} · max {} ms", p(50.0), p(90.0), p(99.0), number(s.max)))
    };
    let n = words::stats(summary, metric).map_or(0, |s| s.n);
    let scheduled = line(&format!("scheduled_{metric}"), "from scheduled: ");
    let sent = line(metric, if scheduled.is_some() { "from sent: " } else { "" });
    let parts: Vec<String> = [sent, scheduled].into_iter().flatten().collect();
    format!("n = {}. {}", count(n), parts.join("; "))
}

fn send_lag(d: &Distribution, summary: &Summary) -> Figure {
    let heading = "Send lag, distribution";
    let (Some(first), Some(last)) = (d.histogram.first(), d.histogram.last()) else {
        return no_data(heading, "No request was sent.");
    };
    let marks: Vec<(&str, f64)> = words::stats(summary, "send_lag").map_or_else(Vec::new, |s| {
        vec![("p50", words::percentile(s, 50.0)), ("p99", words::percentile(s, 99.0)), ("max", s.max)]
    });
    let marks: Vec<_> = marks.into_iter().filter(|m| m.1 > 0.0).collect();
    let tallest = d.histogram.iter().map(|b| b.count).max().unwrap_or(0);
    let x = Axis::log(
        "sent − scheduled, ms, log scale",
        [first.low_ms, last.high_ms].into_iter().chain(marks.iter().map(|m| m.1)),
    );
    let caption = format!(
        "n = {} requests that were sent, of every outcome. How late the client itself was: what lies between the two \
         curves of the other figures.",
        count(d.n)
    );
    let axes = (x, Axis::from_zero("requests", tallest as f64));
    let mut chart = Chart::new("Send lag: requests by how late they were sent", &caption, axes, marks.len() as u32);
    let bars: Vec<Slice> = d
        .histogram
        .iter()
        .map(|b| Slice {
            from: b.low_ms,
            to: b.high_ms,
            height: b.count as f64,
            note: format!("{} to {} ms: {}", number(b.low_ms), number(b.high_ms), count(b.count)),
        })
        .collect();
    chart.bars("s1", &bars);
    for (name, value) in marks {
        chart.reference_x("ref", value, &format!("{name} {} ms", number(value)));
    }
    figure(heading, &[], chart, &caption)
}
