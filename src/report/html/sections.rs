//! Manifest, summary and verdict → the sections of the page that are text and tables.
//!
//! Invariants: everything that comes from outside passes [`escape`]; the size of each section is bounded, whatever is
//! in it.

use serde_json::Value as Json;

use crate::metrics::{OverTime, Summary, Value};
use crate::record::manifest::{Judgement, Manifest, Verdict};
use crate::report::number::{count, number, percent, unit, utc};
use crate::report::table::{COLUMNS, THIN_NOTE, metric_rows};
use crate::report::text::fit;
use crate::report::words;

use super::escape::{escape, escape_cut};
use super::shell;

const REASONS_MAX: usize = 20;
const ERRORS_MAX: usize = 30;
const BOUNDS_MAX: usize = 10;
const CONFIG_ROWS_MAX: usize = 150;
const CONFIG_DEPTH_MAX: usize = 6;
/// Longest text from outside, in columns.
const TEXT_MAX: usize = 240;

/// The head of the page: what was tested, when, and whether to trust it.
pub(super) fn header(manifest: &Manifest, verdict: &Verdict) -> String {
    let (word, class) = judgement(verdict.judgement);
    format!(
        "<header><div><p class=\"kicker\">loadline · run {} · {} · {}</p><h1>{}</h1><p class=\"sub\">{}</p></div>\
         <p class=\"badge {class}\">{word}</p></header>\n",
        escape_cut(&manifest.run_id, 40),
        utc(manifest.anchor.t0_unix_ns),
        words::state(manifest),
        escape_cut(&manifest.model, 120),
        escape_cut(&words::endpoint(manifest), TEXT_MAX),
    )
}

fn judgement(judgement: Judgement) -> (&'static str, &'static str) {
    match judgement {
        Judgement::Valid => ("valid", "valid"),
        Judgement::Suspect => ("suspect", "suspect"),
        Judgement::Invalid => ("invalid", "invalid"),
    }
}

/// The verdict with its reasons.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let (word, class) = judgement(verdict.judgement);
    let reasons: String =
        verdict.reasons.iter().take(REASONS_MAX).map(|r| format!("<li>{}</li>", escape_cut(r, 400))).collect();
    let body = if reasons.is_empty() {
        "<p>Nothing in the recording speaks against these numbers.</p>".into()
    } else {
        format!("<ul>{reasons}</ul>")
    };
    format!("<section class=\"verdict {class}\"><h2>Verdict: {word}</h2>{body}</section>\n")
}

/// What was configured, and the host it ran on; the whole configuration folded away below.
pub(super) fn configuration(manifest: &Manifest, summary: &Summary) -> String {
    let objective = words::objective(&manifest.slo[..manifest.slo.len().min(BOUNDS_MAX)]).join(", ");
    let host = &manifest.host;
    let gib = host.memory_bytes as f64 / f64::from(1 << 30);
    let rows = [
        ("Load", words::load(summary)),
        ("Window", words::window(manifest, summary)),
        ("SLO", if objective.is_empty() { "none".into() } else { objective }),
        ("Seed", manifest.seed.to_string()),
        ("Client", words::client(manifest)),
        ("Stamps", words::token_times(manifest, summary)),
        ("Sends", words::transmit(manifest).unwrap_or_else(|| "no transmit stamps were taken".into())),
        ("Host", format!("{}, {} CPUs, {} GiB, {}", host.cpu_model, host.cpus, number(gib), host.kernel)),
    ];
    let list: String = rows.iter().map(|(k, v)| format!("<dt>{k}</dt><dd>{}</dd>", escape_cut(v, TEXT_MAX))).collect();
    let mut flat = Vec::new();
    flatten(&manifest.config, "", 0, &mut flat);
    let more = flat.len() > CONFIG_ROWS_MAX;
    let config: String = flat
        .iter()
        .take(CONFIG_ROWS_MAX)
        .map(|(k, v)| format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape_cut(k, 80), escape_cut(v, 160)))
        .collect();
    let rest = if more { "<p>The rest is in run.json.</p>" } else { "" };
    format!(
        "<section><h2>Configuration</h2><dl>{list}</dl><details><summary>Resolved configuration</summary>\
         <div class=\"scroll\"><table class=\"pairs\"><tbody>{config}</tbody></table></div>{rest}</details></section>\n"
    )
}

/// Leaves of a JSON value with their dotted paths, no more than a few beyond what is shown.
fn flatten(value: &Json, path: &str, depth: usize, out: &mut Vec<(String, String)>) {
    if out.len() > CONFIG_ROWS_MAX {
        return;
    }
    match value {
        Json::Object(map) if depth < CONFIG_DEPTH_MAX && !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(value, &path, depth + 1, out);
            }
        }
        Json::Null if path.is_empty() => {}
        Json::String(text) => out.push((path.into(), text.clone())),
        other => out.push((path.into(), other.to_string())),
    }
}

/// The few numbers that a reader looks for first.
pub(super) fn key_numbers(manifest: &Manifest, summary: &Summary) -> String {
    let scalar = |name| words::scalar(summary, name).map(number);
    let mut tiles: Vec<(&str, Option<String>, &str, String)> = Vec::new();
    let latencies = [
        ("TTFT p50", "time_to_first_token"),
        ("ITL p50", "inter_token_latency"),
        ("Request latency p50", "request_latency"),
    ];
    for (label, name) in latencies {
        let s = words::stats(summary, name);
        let p99 = s.map(|s| format!("p99 {} ms", number(words::percentile(s, 99.0)))).unwrap_or_default();
        tiles.push((label, s.map(|s| number(words::percentile(s, 50.0))), "ms", p99));
    }
    let share = words::scalar(summary, "good_request_fraction");
    let from_scheduled = scalar("scheduled_goodput").map(|x| format!("{x} from scheduled")).unwrap_or_default();
    let good = share.map(|s| format!("{} good, ", percent(s))).unwrap_or_default();
    tiles.push(("Goodput", scalar("goodput"), "req/s", good + &from_scheduled));
    let failed = format!("{} of {} failed", count(manifest.counts.failed), count(manifest.counts.scheduled));
    tiles.push(("Request throughput", scalar("request_throughput"), "req/s", failed));
    let total = scalar("total_token_throughput").map(|x| format!("{x} with input")).unwrap_or_default();
    tiles.push(("Output throughput", scalar("output_token_throughput"), "tok/s", total));
    let lag = words::stats(summary, "send_lag");
    let max = lag.map(|s| format!("max {} ms", number(s.max))).unwrap_or_default();
    tiles.push(("Send lag p99", lag.map(|s| number(words::percentile(s, 99.0))), "ms", max));
    let tile = |(label, value, unit, sub): &(&str, Option<String>, &str, String)| {
        let value = value.as_ref().map_or_else(|| "–".into(), |v| format!("{v}<small> {unit}</small>"));
        format!("<li><span>{label}</span><b>{value}</b><span>{}</span></li>", escape(sub.trim_end_matches(", ")))
    };
    format!("<ul class=\"tiles\">{}</ul>\n", tiles.iter().map(tile).collect::<String>())
}

/// Every metric: distributions as a table, single numbers below.
pub(super) fn metrics(summary: &Summary) -> String {
    let rows = metric_rows(summary, |_| true);
    let head: String = COLUMNS.iter().map(|c| format!("<th scope=\"col\">{c}</th>")).collect();
    let thin = rows.iter().any(|r| r.cells.iter().any(|c| c.thin));
    let body: String = rows
        .iter()
        .map(|row| {
            let cells: String = row
                .cells
                .iter()
                .map(|c| {
                    if c.thin { format!("<td class=\"thin\">{}*</td>", c.text) } else { format!("<td>{}</td>", c.text) }
                })
                .collect();
            let (title, formula) = (escape(row.title), escape(row.formula));
            format!(
                "<tr><th scope=\"row\" title=\"{formula}\">{title}</th><td class=\"unit\">{}</td>{cells}</tr>",
                row.unit
            )
        })
        .collect();
    let table = if rows.is_empty() {
        "<p class=\"empty\">no data</p>".into()
    } else {
        format!(
            "<div class=\"scroll\"><table class=\"numbers\"><thead><tr><th scope=\"col\">Metric</th>\
             <th></th>{head}</tr></thead>\
             <tbody>{body}</tbody></table></div>"
        )
    };
    let note = if thin { format!("<p class=\"small\">{THIN_NOTE}</p>") } else { String::new() };
    let scalars: String = summary
        .values
        .iter()
        .filter_map(|(def, value)| match value {
            Value::Scalar(x) | Value::OverTime(OverTime { mean: x, .. }) => Some((def, x)),
            Value::Distribution(_) => None,
        })
        .map(|(def, x)| {
            format!(
                "<div><dt title=\"{}\">{}</dt><dd>{} {}</dd></div>",
                escape(def.formula),
                escape(def.title),
                number(*x),
                unit(def.unit)
            )
        })
        .collect();
    format!("<section><h2>Metrics</h2>{table}{note}<dl class=\"scalars\">{scalars}</dl></section>\n")
}

/// The law of conservation, and the failures by kind.
pub(super) fn outcomes(manifest: &Manifest, summary: &Summary) -> String {
    let counts = &manifest.counts;
    let broken = if counts.accounted() == counts.scheduled { "" } else { " class=\"bad\"" };
    let warmup = match summary.warmup.total() {
        0 => String::new(),
        n => format!(" Warm-up: {} requests, in no metric.", count(n)),
    };
    let rows: String = summary
        .errors
        .iter()
        .take(ERRORS_MAX)
        .map(|e| {
            format!(
                "<tr><td>{}</td><th scope=\"row\">{}</th><td>{}</td></tr>",
                count(e.count),
                escape(&words::error_kind(e)),
                escape_cut(&e.message, TEXT_MAX)
            )
        })
        .collect();
    let more = summary.errors.len().saturating_sub(ERRORS_MAX);
    let more =
        if more > 0 { format!("<p class=\"small\">and {} more kinds</p>", count(more as u64)) } else { String::new() };
    let errors = if rows.is_empty() {
        "<p>Every request was completed.</p>".into()
    } else {
        format!(
            "<div class=\"scroll\"><table class=\"errors\"><thead><tr><th scope=\"col\">n</th>\
             <th scope=\"col\">Kind</th>\
             <th scope=\"col\">First message</th></tr></thead><tbody>{rows}</tbody></table></div>{more}"
        )
    };
    format!(
        "<section><h2>Outcomes and errors</h2><p{broken}><b>{}</b></p>\
         <p class=\"small\">{}.{warmup}</p>{errors}</section>\n",
        words::conservation(counts),
        escape(&words::token_rows(counts)),
    )
}

/// The foot of the page: which program made it, and how to repeat the run.
pub(super) fn footer(manifest: &Manifest) -> String {
    format!(
        "<footer><p>loadline {} · run {} · schema {}</p><p><code>{}</code></p></footer>\n",
        escape_cut(&manifest.loadline_version, 40),
        escape_cut(&manifest.run_id, 40),
        manifest.schema_version,
        escape_cut(&shell::line(&manifest.command), 2000)
    )
}

/// Which run a plot comes from, in one line.
pub(super) fn source(manifest: &Manifest) -> String {
    format!(
        "{}, run {} of {} by loadline {}:",
        fit(&manifest.model, 80),
        fit(&manifest.run_id, 40),
        utc(manifest.anchor.t0_unix_ns),
        fit(&manifest.loadline_version, 40)
    )
}
