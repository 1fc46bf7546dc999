//! An inspection → text: a trace or a schedule before anything is sent, or what a run directory holds.
//!
//! Invariants: lines keep to the style's width; only what is known is shown; text from outside is escaped.
//! Not here: the page ([`super::html::inspection`]).

use crate::inspection::arrivals::Arrivals;
use crate::inspection::lengths::Lengths;
use crate::inspection::prefix_cache::{HitRate, PrefixReuse};
use crate::inspection::recording::Contents;
use crate::inspection::{CAPACITIES, Inspection};
use crate::outcome::Outcome;
use crate::time::SECOND_NS;

use super::number::{count, duration, number, percent, utc};
use super::terminal::{BOLD, Style, labelled, paint};
use super::text::{columns, fit, plain, wrap};
use super::words;

/// Columns of a label.
const LABEL: usize = 11;
/// Most columns of the rate curve.
const CURVE_COLUMNS: usize = 60;
/// Heights of a column of the rate curve.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Describes a trace or a schedule. Ends with a line feed.
pub fn render(title: &str, inspection: &Inspection, style: Style) -> String {
    let mut facts = vec![("Requests", requests(inspection))];
    if let Some(arrivals) = &inspection.arrivals {
        facts.extend(when(arrivals));
    }
    facts.push(("Sessions", if inspection.sessions == 0 { "none".into() } else { count(inspection.sessions) }));
    facts.extend(inspection.notes.iter().map(|note| ("Note", plain(note))));
    let blocks = [
        [vec![paint(&fit(&plain(title), style.width), BOLD, style)], labelled_lines(&facts, style)].concat(),
        lengths(inspection),
        inspection.prefixes.as_ref().map_or_else(Vec::new, prefixes),
    ];
    joined(&blocks, style)
}

/// Describes a run directory. Ends with a line feed.
pub fn render_contents(dir: &str, contents: &Contents, style: Style) -> String {
    let m = &contents.manifest;
    let mut facts = vec![
        ("Run", format!("{}, {}, loadline {}", plain(&m.run_id), words::state(m), plain(&m.loadline_version))),
        ("Started", utc(m.anchor.t0_unix_ns)),
        ("Model", plain(&m.model)),
        ("Endpoint", words::endpoint(m)),
        ("Schema", format!("version {}", m.schema_version)),
        ("Rows", rows(contents)),
        ("Flushed", flushed(contents)),
        ("Sessions", if contents.sessions == 0 { "none".into() } else { count(contents.sessions) }),
    ];
    for phase in &contents.phases {
        let seconds = |t_ns: i64| number(t_ns as f64 / SECOND_NS as f64);
        let ended = Outcome::ALL.into_iter().map(|o| (o, phase.outcomes.of(o))).filter(|(_, n)| *n > 0);
        let outcomes: Vec<String> = ended.map(|(o, n)| format!("{} {}", o.as_str(), count(n))).collect();
        let (from, to) = (seconds(phase.covered_ns.0), seconds(phase.covered_ns.1));
        facts.push((
            "Phase",
            format!(
                "{}: {} requests from {from} s to {to} s, {} events; {}",
                phase.phase.as_str(),
                count(phase.outcomes.total()),
                count(phase.events),
                outcomes.join(", ")
            ),
        ));
    }
    let files: Vec<[String; 2]> = [["File".into(), "bytes".into()]]
        .into_iter()
        .chain(contents.files.iter().map(|(name, bytes)| [plain(name), count(*bytes)]))
        .collect();
    let title = paint(&fit(&format!("Recording {}", plain(dir)), style.width), BOLD, style);
    joined(&[[vec![title], labelled_lines(&facts, style)].concat(), columns(&files)], style)
}

fn rows(contents: &Contents) -> String {
    let missing = |n: u64| if n > 0 { format!(" ({} missing)", count(n)) } else { String::new() };
    format!(
        "{} requests{}, {} stream events{}",
        count(contents.request_rows),
        missing(contents.lost_rows),
        count(contents.token_rows),
        missing(contents.manifest.counts.tokens_lost)
    )
}

fn flushed(contents: &Contents) -> String {
    if contents.recovered {
        "not to the end: the run was cut off, and is read as far as it was flushed".into()
    } else {
        "completely".into()
    }
}

fn requests(inspection: &Inspection) -> String {
    let n = count(inspection.requests);
    match &inspection.arrivals {
        None => format!("{n}, none of which has a time of its own"),
        Some(arrivals) => {
            let span = duration(arrivals.duration_ns as f64 / SECOND_NS as f64);
            let mean = arrivals.mean_rps().map_or_else(String::new, |r| format!(", {} req/s on average", number(r)));
            let untimed = match inspection.untimed {
                0 => String::new(),
                n => format!("; {} more are released by completions", count(n)),
            };
            format!("{n} over {span}{mean}{untimed}")
        }
    }
}

fn when(arrivals: &Arrivals) -> Vec<(&'static str, String)> {
    let curve = &arrivals.curve;
    let mut facts = Vec::new();
    if arrivals.duration_ns > 0 {
        // The last interval is rarely whole.
        let whole = &curve.counts[..(curve.counts.len() - 1).max(1)];
        let rate = |n: Option<&u64>| number(n.map_or(0.0, |n| *n as f64 / curve.interval_s()));
        let (low, high) = (rate(whole.iter().min()), rate(whole.iter().max()));
        let interval = number(curve.interval_s());
        facts.push(("Rate", format!("{low} to {high} req/s in intervals of {interval} s")));
        facts.push(("", skyline(whole)));
    }
    let minute = number(arrivals.peak_60s_rps);
    facts.push(("Peaks", format!("{} requests in 1 s, {minute} req/s over 60 s", count(arrivals.peak_1s))));
    let idc = [(arrivals.idc_1s, "1 s"), (arrivals.idc_10s, "10 s"), (arrivals.idc_60s, "60 s")];
    let known: Vec<String> = idc.iter().filter_map(|(v, of)| Some(format!("{} at {of}", number((*v)?)))).collect();
    if !known.is_empty() {
        facts.push(("Dispersion", format!("{} (1 is Poisson at a constant rate)", known.join(", "))));
    }
    facts.push(("Buckets", arrivals.bucketing.to_string()));
    facts
}

/// Counts as a row of columns, neighbours taken together where there are too many.
fn skyline(counts: &[u64]) -> String {
    let together = counts.len().div_ceil(CURVE_COLUMNS);
    let heights: Vec<f64> = counts.chunks(together).map(|c| c.iter().sum::<u64>() as f64 / c.len() as f64).collect();
    let highest = heights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let level = |height: &f64| LEVELS[((height / highest * LEVELS.len() as f64) as usize).min(LEVELS.len() - 1)];
    heights.iter().map(level).collect()
}

fn lengths(inspection: &Inspection) -> Vec<String> {
    let head = ["Tokens", "mean", "p50", "p90", "p99", "max", "n", "total"].map(str::to_owned);
    let row = |name: &str, lengths: Option<&Lengths>| {
        let lengths = lengths?;
        let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|p| number(lengths.percentile(p)));
        let s = &lengths.stats;
        Some([name.into(), number(s.mean), p50, p90, p99, number(s.max), count(s.n), number(s.sum)])
    };
    let found = [row("Prompt", inspection.input.as_ref()), row("Answer", inspection.output.as_ref())];
    let rows: Vec<_> = [head].into_iter().chain(found.into_iter().flatten()).collect();
    columns(&rows)
}

fn prefixes(reuse: &PrefixReuse) -> Vec<String> {
    let row = |name: String, tokens: String, HitRate { tokens: by_token, requests }: HitRate| {
        [name, tokens, percent(by_token), percent(requests)]
    };
    let tokens = |blocks: u64| number(blocks as f64 * f64::from(reuse.block_size));
    let head = ["Prefix cache, hits", "tokens", "of all tokens", "mean of requests"].map(str::to_owned);
    let lru = CAPACITIES.map(|n| row(format!("{} blocks, LRU", count(n)), tokens(n), reuse.hit_rate(Some(n))));
    let all = row("forgets nothing".into(), tokens(reuse.unique_blocks), reuse.hit_rate(None));
    let mut lines = vec![format!(
        "{} prefix blocks of {} tokens, {} of them different",
        count(reuse.total_blocks),
        reuse.block_size,
        count(reuse.unique_blocks)
    )];
    lines.extend(columns(&[vec![head], lru.into(), vec![all]].concat()));
    lines
}

/// Each fact beside its label, in as many lines as it takes.
fn labelled_lines(facts: &[(&str, String)], style: Style) -> Vec<String> {
    let wrapped = facts.iter().flat_map(|(label, value)| {
        let lines = wrap(value, style.width.saturating_sub(LABEL).max(8));
        lines.into_iter().enumerate().map(|(i, line)| (if i == 0 { *label } else { "" }, line)).collect::<Vec<_>>()
    });
    wrapped.map(|(label, line)| labelled(label, LABEL, &line, style)).collect()
}

/// Blocks with an empty line between them. The first is as wide as it may be already.
fn joined(blocks: &[Vec<String>], style: Style) -> String {
    let [facts, tables @ ..] = blocks else { return String::new() };
    let mut parts = vec![facts.join("\n")];
    for table in tables.iter().filter(|t| !t.is_empty()) {
        parts.push(table.iter().map(|line| fit(line, style.width)).collect::<Vec<_>>().join("\n"));
    }
    parts.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::html;
    use super::super::text::width;
    use super::*;
    use crate::trace::{self, ReadOptions, Trace};

    /// 100 requests, four every three seconds, of two prompts in turn.
    fn bucketed() -> Trace {
        let row = |i: usize| {
            format!(
                "{{\"timestamp\": {}, \"input_length\": 600, \"output_length\": {}, \"hash_ids\": [0, {}]}}\n",
                i / 4 * 3000,
                1 + i,
                1 + i % 2
            )
        };
        let rows: String = (0..100).map(row).collect();
        trace::parse(&mut rows.as_bytes(), "t", &ReadOptions::default()).unwrap()
    }

    #[test]
    fn a_trace_reads_so() {
        let mut trace = bucketed();
        trace.notes = vec!["read as \x1b[31mmilliseconds".into()];
        let text = render("Trace t.jsonl", &Inspection::of_trace(&trace), Style::default());
        let expect = "\
Trace t.jsonl
Requests   100 over 72.0 s, 1.39 req/s on average
Rate       0 to 4 req/s in intervals of 1 s
           ██▁██▁██▁██▁██▁██▁██▁██▁██▁██▁██▁██▁
Peaks      4 requests in 1 s, 1.33 req/s over 60 s
Dispersion 2.70 at 1 s, 0.333 at 10 s (1 is Poisson at a constant rate)
Buckets    arrivals are bucketed: 100 requests stand at 25 instants, 3 s apart, up to 4 at one
Sessions   none
Note       read as \\u{1b}[31mmilliseconds

Tokens  mean   p50   p90   p99  max    n   total
Prompt   600   600   600   600  600  100  60,000
Answer  50.5  50.5  90.1  99.0  100  100   5,050

200 prefix blocks of 512 tokens, 3 of them different
Prefix cache, hits    tokens  of all tokens  mean of requests
1,000 blocks, LRU    512,000         98.9 %            98.5 %
5,000 blocks, LRU      2.56M         98.9 %            98.5 %
20,000 blocks, LRU     10.2M         98.9 %            98.5 %
100,000 blocks, LRU    51.2M         98.9 %            98.5 %
forgets nothing        1,536         98.9 %            98.5 %
";
        assert_eq!(text, expect, "\n{text}");
    }

    #[test]
    fn no_line_is_wider_than_its_style() {
        let mut trace = bucketed();
        trace.notes = vec!["漢字 <b>".repeat(60), "x".repeat(400)];
        for columns in [60, 100] {
            let style = Style { width: columns, color: false };
            let text = render(&"long ".repeat(90), &Inspection::of_trace(&trace), style);
            assert!(text.lines().all(|line| width(line) <= columns), "{text}");
        }
    }

    #[test]
    fn its_page_has_its_plots_and_nothing_hostile() {
        let hostile = "<script>alert(1)</script>\"'&\x1b[31m";
        let mut trace = bucketed();
        trace.notes = vec![hostile.into(); 90];
        let page = html::inspection::render(hostile, &Inspection::of_trace(&trace)).text;
        assert_eq!((page.matches("<svg class=\"chart\"").count(), page.matches(">no data<").count()), (4, 0));
        assert!(page.matches("<script").count() == 1 && !page.contains('\x1b') && !page.contains("NaN"));
        assert!(page.matches("&lt;script&gt;").count() > 10 && page.len() < 100_000, "{} bytes", page.len());
        let bare = trace::parse(&mut &b"{\"input_length\": 5}\n"[..], "t", &ReadOptions::default()).unwrap();
        let bare = html::inspection::render("t", &Inspection::of_trace(&bare)).text;
        assert_eq!((bare.matches("<svg class=\"chart\"").count(), bare.matches(">no data<").count()), (1, 3));
    }
}
