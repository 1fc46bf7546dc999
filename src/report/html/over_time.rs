//! The timeline → its figures: rates and goodput, requests in flight, TTFT and ITL.
//!
//! Invariant: each figure shares the time axis, so that they can be read one above the other.

use crate::analysis::timeline::{Bin, BinPercentiles, Timeline};
use crate::outcome::Outcome;
use crate::record::manifest::Manifest;
use crate::report::number::{count, duration, number, percent};

use super::axis::Axis;
use super::figure::{Figure, Key, figure, no_data};
use super::svg::{Chart, Interval, Slice};

/// From this spread between the lowest median and the highest p99 on, latencies are drawn on a log axis.
const LOG_FROM: f64 = 40.0;
/// An objective farther above the data than this is told in words, and the axis is left to the data.
const SLO_IN_SIGHT: f64 = 2.5;

/// The four figures.
pub(super) fn figures(timeline: &Timeline, manifest: &Manifest) -> [Figure; 4] {
    let slo = |metric: &str| manifest.slo.iter().find(|s| s.metric == metric).map(|s| s.bound);
    [
        rates(timeline, !manifest.slo.is_empty()),
        in_flight(timeline),
        latency(
            timeline,
            &Latency {
                heading: "Time to first token over time",
                caption: "TTFT from sent, of the requests sent in each interval",
                n: timeline.ttft_n,
                slo_ms: slo("time_to_first_token"),
                of: |b| b.ttft_ms,
            },
        ),
        latency(
            timeline,
            &Latency {
                heading: "Inter-token latency over time",
                caption: "ITL of the requests that ended in each interval",
                n: timeline.itl_n,
                slo_ms: slo("inter_token_latency"),
                of: |b| b.itl_ms,
            },
        ),
    ]
}

/// Seconds, minutes or hours, whichever reads best for a run of this length.
struct TimeUnit {
    seconds: f64,
    name: &'static str,
}

impl TimeUnit {
    fn of(timeline: &Timeline) -> TimeUnit {
        match timeline.start_s(timeline.bins.len()) {
            s if s <= 600.0 => TimeUnit { seconds: 1.0, name: "s" },
            s if s <= 36_000.0 => TimeUnit { seconds: 60.0, name: "min" },
            _ => TimeUnit { seconds: 3600.0, name: "h" },
        }
    }

    fn axis(&self, timeline: &Timeline) -> Axis {
        Axis::up_to(format!("time, {}", self.name), timeline.start_s(timeline.bins.len()) / self.seconds)
    }

    /// Edges of a bin on the axis.
    fn edges(&self, timeline: &Timeline, index: usize) -> (f64, f64) {
        (timeline.start_s(index) / self.seconds, timeline.start_s(index + 1) / self.seconds)
    }

    /// One slice per bin, for the pointer.
    fn slices(&self, timeline: &Timeline, note: impl Fn(&Bin) -> String) -> Vec<Slice> {
        let slice = |(i, bin): (usize, &Bin)| {
            let (from, to) = self.edges(timeline, i);
            Slice { from, to, height: 0.0, note: format!("{} {}: {}", number(from), self.name, note(bin)) }
        };
        timeline.bins.iter().enumerate().map(slice).collect()
    }
}

fn intervals<T>(timeline: &Timeline, of: impl Fn(&Bin) -> T) -> Vec<Interval<T>> {
    let unit = TimeUnit::of(timeline);
    let interval = |(i, bin): (usize, &Bin)| {
        let (from, to) = unit.edges(timeline, i);
        (from, to, of(bin))
    };
    timeline.bins.iter().enumerate().map(interval).collect()
}

fn rates(timeline: &Timeline, has_slo: bool) -> Figure {
    let heading = "Offered, sent, completed and good requests over time";
    if timeline.bins.is_empty() {
        return no_data(heading, "No request was scheduled.");
    }
    let unit = TimeUnit::of(timeline);
    let rate = |n: u64| n as f64 / timeline.interval_s();
    let n_of = |f: fn(&Bin) -> u64| timeline.bins.iter().map(f).sum::<u64>();
    let failed = n_of(|b| b.failed);
    let highest = timeline.bins.iter().flat_map(|b| [b.scheduled, b.sent, b.completed, b.failed]).max().unwrap_or(0);
    let caption = format!(
        "Requests/s in intervals of {}, the last one cut short by the end of the run. n = {} scheduled, {} sent, \
         {} completed, {} good, {} failed; each counts where it happened.",
        interval(timeline),
        count(n_of(|b| b.scheduled)),
        count(n_of(|b| b.sent)),
        count(n_of(|b| b.completed)),
        count(n_of(|b| b.good)),
        count(failed)
    );
    let axes = (unit.axis(timeline), Axis::from_zero("requests/s", rate(highest)));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let mut keys = Vec::new();
    if has_slo {
        chart.band("s3", &intervals(timeline, |b| Some((0.0, rate(b.good)))));
        keys.push(Key::area("s3", "good (met every SLO)"));
    }
    let mut line = |class, name, of: fn(&Bin) -> u64| {
        chart.steps(class, &intervals(timeline, |b| Some(rate(of(b)))));
        keys.push(Key::line(class, name));
    };
    line("s4 wide", "sent", |b| b.sent);
    line("ink dot1", "offered", |b| b.scheduled);
    line("s1", "completed", |b| b.completed);
    if failed > 0 {
        line("s2 dash", "failed", |b| b.failed);
    }
    chart.hover(&unit.slices(timeline, |b| {
        format!(
            "offered {}, sent {}, completed {}, good {}, failed {}",
            b.scheduled, b.sent, b.completed, b.good, b.failed
        )
    }));
    figure(heading, &keys, chart, &caption)
}

/// A line of a figure over time: what it is, and its value in each bin.
pub(super) type Track = (Key, Vec<Option<f64>>);

/// Lines over time; none where none has a value.
pub(super) fn tracks(
    timeline: &Timeline,
    heading: &str,
    label: &str,
    tracks: &[Track],
    caption: &str,
    reference: Option<(f64, &str)>,
) -> Option<Figure> {
    let values = || tracks.iter().flat_map(|t| t.1.iter().flatten().copied());
    values().next()?;
    let unit = TimeUnit::of(timeline);
    let highest = values().chain(reference.map(|r| r.0)).fold(0.0, f64::max);
    let caption = format!("{caption}. Intervals of {}.", interval(timeline));
    let axes = (unit.axis(timeline), Axis::from_zero(label, highest));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    for (key, values) in tracks {
        let level = |(i, value): (usize, &Option<f64>)| {
            let (from, to) = unit.edges(timeline, i);
            (from, to, *value)
        };
        chart.steps(key.class, &values.iter().enumerate().map(level).collect::<Vec<_>>());
    }
    if let Some((value, text)) = reference {
        chart.reference_y("slo", value, text);
    }
    let note = |i: usize| -> String {
        let of = |(key, values): &Track| Some(format!("{} {}", key.name, number(values.get(i).copied().flatten()?)));
        tracks.iter().filter_map(of).collect::<Vec<_>>().join(", ")
    };
    let slice = |i: usize| {
        let (from, to) = unit.edges(timeline, i);
        Slice { from, to, height: 0.0, note: format!("{} {}: {}", number(from), unit.name, note(i)) }
    };
    chart.hover(&(0..timeline.bins.len()).map(slice).collect::<Vec<_>>());
    let keys: Vec<Key> = tracks.iter().map(|t| t.0.clone()).collect();
    Some(figure(heading, &keys, chart, &caption))
}

/// Failures by how they ended, where there were any.
pub(super) fn failures(timeline: &Timeline) -> Option<Figure> {
    const CLASSES: [&str; 7] = ["s2", "s1", "s3 dash", "ink dot1", "s4 dash", "s2 dot1", "ink"];
    let line = |((outcome, bins), class): (&(Outcome, Vec<u64>), &'static str)| -> Track {
        let rate = |n: &u64| Some(*n as f64 / timeline.interval_s());
        (Key::line(class, outcome.as_str()), bins.iter().map(rate).collect())
    };
    let lines: Vec<Track> = timeline.failures.iter().zip(CLASSES).map(line).collect();
    let of = |(outcome, bins): &(Outcome, Vec<u64>)| format!("{} {}", count(bins.iter().sum()), outcome.as_str());
    let caption = format!(
        "Failures/s by outcome, when they were known. n = {}",
        timeline.failures.iter().map(of).collect::<Vec<_>>().join(", ")
    );
    tracks(timeline, "Failures by outcome over time", "failures/s", &lines, &caption, None)
}

/// The share of prompt tokens that the server told it had cached, where it told; beside that of the plan, and the whole plan's for a
/// reference.
pub(super) fn prefix_hits(timeline: &Timeline, expected_share: Option<f64>) -> Option<Figure> {
    let share = |b: &Bin| (b.prompt_tokens > 0).then(|| b.cached_tokens as f64 / b.prompt_tokens as f64);
    let expect = |b: &Bin| (b.planned_tokens > 0).then(|| b.expected_cached_tokens / b.planned_tokens as f64);
    let mut lines = vec![(Key::line("s1", "observed"), timeline.bins.iter().map(share).collect())];
    let expected: Vec<Option<f64>> = timeline.bins.iter().map(expect).collect();
    let has_course = expected.iter().any(Option::is_some);
    if has_course && expected_share.is_some() {
        lines.push((Key::line("s4 dash", "expected"), expected));
    }
    let tokens: u64 = timeline.bins.iter().map(|b| b.prompt_tokens).sum();
    let cached: u64 = timeline.bins.iter().map(|b| b.cached_tokens).sum();
    let caption = format!(
        "Share of prompt tokens that the server had cached, of the completed requests sent in each interval. n = {} prompt tokens, {} \
         of them cached{}",
        count(tokens),
        count(cached),
        match (expected_share.is_some(), has_course) {
            (false, _) => "",
            (true, false) => "; expected is what a cache that forgets nothing would hold, over the whole plan",
            (true, true) =>
                "; expected is what a cache that forgets nothing would hold of the requests as planned: of those sent in each \
                 interval, told to a 256th of the plan, and, the level line, of the whole plan",
        }
    );
    let reference = expected_share.map(|share| (share, format!("expected {}", percent(share))));
    let reference = reference.as_ref().map(|(share, text)| (*share, text.as_str()));
    tracks(timeline, "Prefix hits over time", "share of prompt tokens", &lines, &caption, reference)
}

/// The planned rate, and the one that was sent.
pub(super) fn planned_and_sent(timeline: &Timeline) -> Figure {
    let heading = "Planned and sent requests over time";
    if timeline.bins.is_empty() {
        return no_data(heading, "No request was scheduled.");
    }
    let unit = TimeUnit::of(timeline);
    let rate = |n: u64| n as f64 / timeline.interval_s();
    let highest = timeline.bins.iter().map(|b| b.scheduled.max(b.sent)).max().unwrap_or(0);
    let elsewhere: u64 = timeline.bins.iter().map(|b| b.scheduled.saturating_sub(b.sent)).sum();
    let caption = format!(
        "Requests/s in intervals of {}. n = {} planned; {} were missing in the interval for which they were planned.",
        interval(timeline),
        count(timeline.bins.iter().map(|b| b.scheduled).sum()),
        count(elsewhere)
    );
    let axes = (unit.axis(timeline), Axis::from_zero("requests/s", rate(highest)));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    chart.band("s4", &intervals(timeline, |b| Some((0.0, rate(b.scheduled)))));
    chart.steps("s1", &intervals(timeline, |b| Some(rate(b.sent))));
    chart.hover(&unit.slices(timeline, |b| format!("planned {}, sent {}", b.scheduled, b.sent)));
    figure(heading, &[Key::area("s4", "planned"), Key::line("s1", "sent")], chart, &caption)
}

fn in_flight(timeline: &Timeline) -> Figure {
    let heading = "Requests in flight over time";
    if timeline.bins.is_empty() {
        return no_data(heading, "No request was scheduled.");
    }
    let unit = TimeUnit::of(timeline);
    let highest = timeline.bins.iter().map(|b| b.in_flight).max().unwrap_or(0);
    let caption = format!(
        "Requests sent and not ended, at the end of each interval of {}; n = {} sent, at most {} at once.",
        interval(timeline),
        count(timeline.bins.iter().map(|b| b.sent).sum()),
        count(highest)
    );
    let axes = (unit.axis(timeline), Axis::from_zero("requests", highest as f64));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    chart.band("s1", &intervals(timeline, |b| Some((0.0, b.in_flight as f64))));
    chart.steps("s1", &intervals(timeline, |b| Some(b.in_flight as f64)));
    chart.hover(&unit.slices(timeline, |b| format!("{} in flight", b.in_flight)));
    figure(heading, &[], chart, &caption)
}

/// What one of the latency figures shows.
struct Latency {
    heading: &'static str,
    caption: &'static str,
    n: u64,
    slo_ms: Option<f64>,
    of: fn(&Bin) -> Option<BinPercentiles>,
}

fn latency(timeline: &Timeline, what: &Latency) -> Figure {
    let values: Vec<BinPercentiles> = timeline.bins.iter().filter_map(what.of).collect();
    if values.is_empty() {
        return no_data(what.heading, "No completed request has a value for this.");
    }
    let unit = TimeUnit::of(timeline);
    let lowest = values.iter().map(|v| v[0]).filter(|v| *v > 0.0).fold(f64::MAX, f64::min);
    let highest = values.iter().map(|v| v[2]).fold(0.0, f64::max);
    let in_sight = what.slo_ms.filter(|slo| *slo <= highest * SLO_IN_SIGHT);
    let y = if lowest < f64::MAX && highest / lowest > LOG_FROM {
        Axis::log("ms, log scale", [lowest, highest].into_iter().chain(in_sight))
    } else {
        Axis::from_zero("ms", highest.max(in_sight.unwrap_or(0.0)))
    };
    let above = match what.slo_ms {
        Some(slo) if in_sight.is_none() => format!(" The SLO, {} ms, lies above the plot.", number(slo)),
        _ => String::new(),
    };
    let caption =
        format!("{}, by intervals of {}, in ms. n = {}.{above}", what.caption, interval(timeline), count(what.n));
    let mut chart = Chart::new(what.heading, &caption, (unit.axis(timeline), y), 0);
    let band = |high: usize| intervals(timeline, |b| (what.of)(b).map(|p| (p[0], p[high])));
    chart.band("s4 faint", &band(2));
    chart.band("s4", &band(1));
    chart.steps("s1", &intervals(timeline, |b| (what.of)(b).map(|p| p[0])));
    if let Some(slo) = in_sight {
        chart.reference_y("slo", slo, &format!("SLO {} ms", number(slo)));
    }
    chart.hover(&unit.slices(timeline, |b| match (what.of)(b) {
        Some([p50, p90, p99]) => format!("p50 {}, p90 {}, p99 {} ms", number(p50), number(p90), number(p99)),
        None => "no value".into(),
    }));
    let keys = [Key::line("s1", "p50"), Key::area("s4", "p50 to p90"), Key::area("s4 faint", "p50 to p99")];
    figure(what.heading, &keys, chart, &caption)
}

fn interval(timeline: &Timeline) -> String {
    match timeline.interval_s() {
        s if s < 1.0 => format!("{} ms", number(s * 1e3)),
        s if s < 600.0 => format!("{} s", number(s)),
        s => duration(s),
    }
}
