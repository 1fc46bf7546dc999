//! Streams of a few requests → the figure of their tokens: a row each, and any of a sample where the script runs, by latency or by its id.
//!
//! Invariant: what is coalesced is told by the height of its stroke, a stall by a bar, neither by colour alone.
//! Not here: which requests, and what a stall is ([`crate::analysis::raster`]).

use std::fmt::Write as _;

use crate::analysis::raster::{COLUMNS, Column, Line, Raster, STALL_FACTOR};
use crate::report::number::{count, number};

use super::axis::Axis;
use super::figure::{Figure, Key, no_data, with_legend};
use super::svg::Chart;

const HEADING: &str = "Token times of the slowest and of typical requests";
const KEYS: [Key; 4] = [
    Key::line("ref", "sent to first token"),
    Key::line("s1", "a read with a token"),
    Key::line("s2 thick", "with several at once"),
    Key::area("s3", "stall"),
];

/// The figure.
pub(super) fn figure(raster: Option<&Raster>) -> Figure {
    let Some(raster) = raster else {
        return no_data(HEADING, "No completed request has stream events.");
    };
    let asked = || raster.asked.iter().map(|[shared, _]| shared);
    let lines: Vec<&Line> = asked().chain(&raster.slowest).chain(&raster.typical).collect();
    let caption = caption(raster);
    let mut names = vec![""; lines.len()];
    // From below: those in the middle, then the slowest, then those that were asked for.
    let mut name =
        |first: usize, n: usize, word| names.get_mut(first + n / 2).filter(|_| n > 0).map(|slot| *slot = word);
    name(0, raster.typical.len(), "mid");
    name(raster.typical.len(), raster.slowest.len(), "slow");
    name(raster.typical.len() + raster.slowest.len(), raster.asked.len(), "asked");
    let span_ms = lines.first().map_or(1.0, |l| l.span_ms);
    let axes = (Axis::up_to("ms since sent", span_ms), Axis::classes("requests, a row each", &names));
    let mut chart = Chart::new(HEADING, &caption, axes, 0);
    for (i, line) in lines.iter().enumerate() {
        row(&mut chart, line, (lines.len() - 1 - i) as f64);
    }
    let below = "<p class=\"chosen\"></p>";
    let own = raster.asked.iter().map(|[_, own]| own);
    let lines = sample(own.chain(&raster.sample));
    let data = format!("data-raster=\"{COLUMNS}\" data-lines=\"{lines}\" data-asked=\"{}\"", raster.asked.len());
    with_legend(HEADING, &KEYS, chart, below, &caption, &data)
}

fn caption(raster: &Raster) -> String {
    let ids = |ids: &mut dyn Iterator<Item = u64>| ids.map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
    let asked = match &raster.asked[..] {
        [] => String::new(),
        asked => format!("on top, as asked for, {}; ", ids(&mut asked.iter().map(|[line, _]| line.id))),
    };
    let undrawn = match &raster.undrawn[..] {
        [] => String::new(),
        undrawn => format!("Without a whole answer to draw: {}. ", ids(&mut undrawn.iter().copied())),
    };
    format!(
        "Of n = {} completed requests by latency, the {} slowest and the {} in the middle; {asked}{} at even steps of rank can be chosen, any \
         other one is put here by report --request. {undrawn}\
         A stall is a gap of more than {} ms, {STALL_FACTOR} times the larger of the median ITL and the median gap between events; of each \
         request the 24 longest are drawn. Times are told to a {COLUMNS}th of the width.",
        count(raster.n as u64),
        raster.slowest.len(),
        raster.typical.len(),
        raster.sample.len(),
        number(raster.stall_ms)
    )
}

fn row(chart: &mut Chart, line: &Line, at: f64) {
    let level = |share: f64| at + share;
    chart.curve("ref", &[(0.0, level(0.5)), (line.ttft_ms, level(0.5))]);
    let stall = |s: &(f64, f64)| [(s.0, s.1, Some((level(0.4), level(0.6)))), (s.1, s.1, None)];
    chart.band("s3", &line.longest.iter().flat_map(stall).collect::<Vec<_>>());
    let x = |i: usize| (i as f64 + 0.5) / COLUMNS as f64 * line.span_ms;
    let columns = |coalesced: bool| {
        line.columns.iter().enumerate().filter(move |(_, c)| c.any && c.coalesced == coalesced).map(move |(i, _)| x(i))
    };
    chart.strokes("s1 thin", (level(0.25), level(0.75)), columns(false));
    chart.strokes("s2 thick", (level(0.05), level(0.95)), columns(true));
    chart.hover_row((level(0.0), level(1.0)), &note(line));
}

fn note(line: &Line) -> String {
    format!(
        "request {}: TTFT {} ms, latency {} ms, {} events with tokens, {} of them together with others, {} stalls",
        line.id,
        number(line.ttft_ms),
        number(line.latency_ms),
        line.events,
        line.coalesced,
        line.stalls
    )
}

/// A name that needs no escape and has no end within; else a dash.
fn plain(name: &str) -> &str {
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    if is_plain { name } else { "-" }
}

/// Each request of the sample: its name, its numbers, its columns as hexadecimal digits of four, and its stalls.
fn sample<'l>(lines: impl Iterator<Item = &'l Line>) -> String {
    let mut text = String::new();
    for l in lines {
        let _ = write!(text, "{} {} ", l.id, plain(&l.name));
        let _ = write!(text, "{:.1} {:.1} {} {} {} ", l.ttft_ms, l.latency_ms, l.events, l.coalesced, l.stalls);
        let hex = |of: fn(&Column) -> bool| -> String {
            let digit = |four: &[Column]| {
                let bits = four.iter().fold(0, |bits, c| bits << 1 | u32::from(of(c)));
                char::from_digit(bits, 16).unwrap_or('0')
            };
            l.columns.chunks(4).map(digit).collect()
        };
        let stalls: Vec<String> = l.longest.iter().map(|s| format!("{:.0}-{:.0}", s.0, s.1)).collect();
        let _ = write!(text, "{} {} {};", hex(|c| c.any), hex(|c| c.coalesced), stalls.join(","));
    }
    text
}
