//! An inspection → one offline page: the numbers, and plots of the rate, the lengths and the prefix cache.
//!
//! Invariants: those of every page; the numbers are those of the text. Not here: what the numbers are
//! ([`crate::inspection`]).

use crate::inspection::arrivals::Arrivals;
use crate::inspection::lengths::Lengths;
use crate::inspection::prefix_cache::PrefixReuse;
use crate::inspection::{CAPACITIES, Inspection};
use crate::report::number::{count, duration, number, percent};
use crate::time::SECOND_NS;

use super::axis::Axis;
use super::escape::{escape, escape_cut};
use super::figure::{Figure, Key, figure, no_data};
use super::svg::{Chart, Interval, Slice};
use super::{Page, section};

/// Points of the curve over the cache's capacity.
const CAPACITY_POINTS: usize = 100;
const NOTES_MAX: usize = 20;

/// The page of one trace or schedule.
pub fn render(title: &str, inspection: &Inspection) -> Page {
    let lengths = |heading, known: Option<&Lengths>| match known {
        Some(lengths) => length_figure(heading, lengths),
        None => no_data(heading, "It gives no such length."),
    };
    let figures = [
        inspection.arrivals.as_ref().filter(|a| a.duration_ns > 0).map_or_else(
            || no_data("Requests over time", "Its requests have no times of their own."),
            |a| rate_figure(a, inspection),
        ),
        inspection
            .prefixes
            .as_ref()
            .map_or_else(|| no_data("Prefix cache by capacity", "Its prompts have no prefix blocks."), cache_figure),
        lengths("Prompt lengths", inspection.input.as_ref()),
        lengths("Answer lengths", inspection.output.as_ref()),
    ];
    let body = [
        format!(
            "<header><div><p class=\"kicker\">loadline · before anything is sent</p><h1>{}</h1></div></header>\n<main>\n",
            escape_cut(title, 120)
        ),
        tiles(inspection),
        section("Plots", &figures),
        cache_table(inspection),
        notes(inspection),
        "</main>\n".into(),
    ];
    Page::new(title, &body.concat(), figures)
}

fn tiles(inspection: &Inspection) -> String {
    let none = || "–".to_owned();
    let arrivals = inspection.arrivals.as_ref();
    let of = |f: fn(&Arrivals) -> Option<f64>| arrivals.and_then(f).map_or_else(none, number);
    let span = arrivals.map_or_else(none, |a| duration(a.duration_ns as f64 / SECOND_NS as f64));
    let untimed = match inspection.untimed {
        0 => String::new(),
        n => format!("{} without a time", count(n)),
    };
    let buckets = match arrivals.and_then(|a| a.bucketing.period_ns) {
        Some(period_ns) => format!("in buckets of {} ms", number(period_ns as f64 / 1e6)),
        None => String::new(),
    };
    let length = |l: Option<&Lengths>| l.map_or_else(none, |l| number(l.stats.mean));
    let p99 = |l: Option<&Lengths>| l.map_or_else(String::new, |l| format!("p99 {}", number(l.percentile(99.0))));
    let (input, output) = (inspection.input.as_ref(), inspection.output.as_ref());
    let hit = inspection.prefixes.as_ref().map_or_else(none, |p| percent(p.hit_rate(None).tokens));
    let tiles = [
        ("Requests", count(inspection.requests), untimed),
        ("Span", span, buckets),
        ("Mean rate, req/s", of(Arrivals::mean_rps), format!("{} in the fullest minute", of(|a| Some(a.peak_60s_rps)))),
        ("Peak in 1 s", of(|a| Some(a.peak_1s as f64)), format!("dispersion {}", of(|a| a.idc_1s))),
        ("Prompt, mean tokens", length(input), p99(input)),
        ("Answer, mean tokens", length(output), p99(output)),
        ("Prefix hits, tokens", hit, format!("{} sessions", count(inspection.sessions))),
    ];
    let tile = |(label, value, sub): &(&str, String, String)| {
        format!("<li><span>{label}</span><b>{value}</b><span>{}</span></li>", escape(sub))
    };
    format!("<ul class=\"tiles\">{}</ul>\n", tiles.iter().map(tile).collect::<String>())
}

fn rate_figure(arrivals: &Arrivals, inspection: &Inspection) -> Figure {
    let heading = "Requests over time";
    let curve = &arrivals.curve;
    let (seconds, unit) = match arrivals.duration_ns / SECOND_NS {
        s if s <= 600 => (1.0, "s"),
        s if s <= 36_000 => (60.0, "min"),
        _ => (3600.0, "h"),
    };
    let edge = |i: usize| i as f64 * curve.interval_s() / seconds;
    let rates: Vec<f64> = curve.rates_rps().collect();
    let highest = rates.iter().copied().fold(0.0, f64::max);
    let interval = number(curve.interval_s());
    let caption = format!(
        "Requests/s in intervals of {interval} s, the last one cut short by the end; {}. n = {}. Most in one second: {}; in one minute: {}/s.",
        arrivals.bucketing,
        count(inspection.requests - inspection.untimed),
        count(arrivals.peak_1s),
        number(arrivals.peak_60s_rps)
    );
    let axes = (Axis::up_to(format!("time, {unit}"), edge(rates.len())), Axis::from_zero("requests/s", highest));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let levels: Vec<Interval<f64>> = rates.iter().enumerate().map(|(i, r)| (edge(i), edge(i + 1), *r)).collect();
    chart.band("s1", &levels.iter().map(|&(from, to, r)| (from, to, Some((0.0, r)))).collect::<Vec<_>>());
    chart.steps("s1", &levels.iter().map(|&(from, to, r)| (from, to, Some(r))).collect::<Vec<_>>());
    if let Some(mean) = arrivals.mean_rps() {
        chart.reference_y("slo", mean, &format!("mean {}", number(mean)));
    }
    let slice = |&(from, to, rate): &Interval<f64>| Slice {
        from,
        to,
        height: 0.0,
        note: format!("{} {unit}: {} requests/s", number(from), number(rate)),
    };
    chart.hover(&levels.iter().map(slice).collect::<Vec<_>>());
    figure(heading, &[], chart, &caption)
}

fn length_figure(heading: &str, lengths: &Lengths) -> Figure {
    let s = &lengths.stats;
    let at = |p| lengths.percentile(p);
    let caption = format!(
        "Share of requests at or below each length. n = {}. mean {} · p50 {} · p90 {} · p99 {} · max {} tokens",
        count(s.n),
        number(s.mean),
        number(at(50.0)),
        number(at(90.0)),
        number(at(99.0)),
        number(s.max)
    );
    let axes = (Axis::log("tokens, log scale", [s.min, s.max]), Axis::up_to("share of requests", 1.0));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    chart.rise("s1", &lengths.cdf);
    for p in [50.0, 90.0, 99.0] {
        if let Some(point) = lengths.cdf.iter().find(|c| c.1 * 100.0 >= p) {
            chart.dot("s1", *point, &format!("p{p}: {} tokens", number(at(p))));
        }
    }
    figure(heading, &[], chart, &caption)
}

fn cache_figure(reuse: &PrefixReuse) -> Figure {
    let heading = "Prefix cache by capacity";
    let enough = reuse.enough_blocks().max(2) as f64;
    let caption = format!(
        "Share of prompt tokens (and mean share of a request's blocks) that an LRU prefix cache of so many blocks of {} tokens \
         holds when they are asked for, n = {} blocks; more than {} blocks hold no more.",
        reuse.block_size,
        count(reuse.total_blocks),
        count(reuse.enough_blocks())
    );
    let all = reuse.hit_rate(None);
    let axes = (
        Axis::log("capacity, blocks, log scale", [1.0, enough]),
        Axis::from_zero("share", all.tokens.max(all.requests)),
    );
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let step = enough.ln() / CAPACITY_POINTS as f64;
    let mut capacities: Vec<u64> = (0..=CAPACITY_POINTS).map(|i| (i as f64 * step).exp().round() as u64).collect();
    capacities.dedup();
    let curve = |of: fn(&PrefixReuse, u64) -> f64| -> Vec<(f64, f64)> {
        capacities.iter().map(|&n| (n as f64, of(reuse, n))).collect()
    };
    let by_token = curve(|r, n| r.hit_rate(Some(n)).tokens);
    chart.rise("s1", &by_token);
    chart.rise("s2 dash", &curve(|r, n| r.hit_rate(Some(n)).requests));
    for blocks in CAPACITIES.into_iter().filter(|n| *n as f64 <= enough) {
        let hit = reuse.hit_rate(Some(blocks)).tokens;
        chart.dot("s1", (blocks as f64, hit), &format!("{} blocks: {}", count(blocks), percent(hit)));
    }
    let keys = [Key::line("s1", "of all tokens"), Key::line("s2 dash", "mean of requests")];
    figure(heading, &keys, chart, &caption)
}

fn cache_table(inspection: &Inspection) -> String {
    let Some(reuse) = &inspection.prefixes else { return String::new() };
    let row = |name: String, capacity: Option<u64>| {
        let hit = reuse.hit_rate(capacity);
        let (tokens, requests) = (percent(hit.tokens), percent(hit.requests));
        format!("<tr><th scope=\"row\">{name}</th><td>{tokens}</td><td>{requests}</td></tr>")
    };
    let lru: String = CAPACITIES.map(|n| row(format!("LRU, {} blocks", count(n)), Some(n))).concat();
    format!(
        "<section><h2>Prefix cache</h2><p>{} blocks of {} tokens, {} of them different.</p><div class=\"scroll\">\
         <table class=\"numbers\"><thead><tr><th scope=\"col\">Cache</th><th scope=\"col\">of all tokens</th>\
         <th scope=\"col\">mean of requests</th></tr></thead><tbody>{lru}{}</tbody></table></div></section>\n",
        count(reuse.total_blocks),
        reuse.block_size,
        count(reuse.unique_blocks),
        row("forgets nothing".into(), None)
    )
}

fn notes(inspection: &Inspection) -> String {
    if inspection.notes.is_empty() {
        return String::new();
    }
    let notes: String =
        inspection.notes.iter().take(NOTES_MAX).map(|n| format!("<li>{}</li>", escape_cut(n, 240))).collect();
    format!("<section><h2>Notes</h2><ul class=\"notes\">{notes}</ul></section>\n")
}
