//! The terminal report as exact text, and its limits under extreme values.

use super::*;
use crate::analysis::fixture::{distribution, manifest, no_numbers, slo, with};
use crate::metrics::ErrorCount;
use crate::outcome::Outcome;

fn error(outcome: Outcome, http_status: Option<u16>, message: &str, count: u64) -> ErrorCount {
    ErrorCount { outcome, http_status, message: message.into(), count }
}

fn ordinary() -> Summary {
    let mut summary = no_numbers();
    (0..238).for_each(|_| summary.outcomes.add(Outcome::Completed));
    (0..2).for_each(|_| summary.outcomes.add(Outcome::HttpError));
    summary.errors = vec![error(Outcome::HttpError, Some(503), "overloaded", 2)];
    with(
        summary,
        &[
            ("time_to_first_token", distribution(238, &[112.0, 180.0, 1_240.0])),
            ("inter_token_latency", distribution(238, &[8.25, 9.5, 31.0])),
            ("send_lag", distribution(99, &[0.012, 0.21])),
            ("output_token_throughput_per_user", distribution(238, &[32.0, 121.0])),
            ("output_sequence_length", distribution(238, &[17.0, 256.0])),
            ("request_throughput", Value::Scalar(3.9667)),
            ("output_token_throughput", Value::Scalar(1015.2)),
            ("goodput", Value::Scalar(3.6)),
            ("scheduled_goodput", Value::Scalar(3.583)),
            ("good_request_fraction", Value::Scalar(0.9076)),
            ("effective_concurrency", Value::Scalar(12.4)),
        ],
    )
}

fn valid() -> Verdict {
    Verdict { judgement: Judgement::Valid, reasons: vec![] }
}

#[test]
fn an_ordinary_run_reads_so() {
    let expect = "\
loadline 0.1.0  run 5eed0f10adbea575  2026-01-01 00:00:00 UTC  complete
Model     Qwen/Qwen3-32B
Endpoint  http://127.0.0.1:8000 (chat, streaming)
Load      240 requests, 4 req/s offered on average
Seed      42
Window    60.0 s
Client    2 workers, busiest 8.2 % of a core, longest stall 0.812 ms
Stamps    the client's reads: late by as much as the client is

Metric                                       avg    min    p50    p90    p95    p99     max      n
Time to First Token               ms         429    112    182  1,028  1,134  1,219   1,240    238
Inter Token Latency               ms        14.6   8.25   9.54   26.7   28.8   30.6      31    238
Send Lag                          ms       0.111  0.012  0.111  0.190  0.200  0.208*  0.210     99
Output Token Throughput Per User  tok/s/u   76.5     32   76.5    112    117    120     121    238
Output Sequence Length            tok        136     17    136    232    244    254     256    238
* too few values to rely on: p90 needs 10, p95 20, p99 100

Request Throughput           3.97 req/s
Output Token Throughput     1,015 tok/s
Goodput                      3.60 req/s
Scheduled Goodput            3.58 req/s
Good Request Fraction       0.908 ratio
Effective Concurrency        12.4 req

scheduled 240 = completed 238 + failed 2 + cancelled 0 + not sent 0
        2  http_error 503  overloaded

SLO  Time to First Token ≤ 500 ms, Inter Token Latency ≤ 50 ms: 90.8 % of ended requests good

Verdict  VALID
";
    let text = render(&manifest(), &ordinary(), &Fidelity::default(), &valid(), Style::default());
    assert_eq!(text, expect, "\n{text}");
}

#[test]
fn fidelity_is_told_in_a_line_a_part_and_in_more_where_something_is_off() {
    use crate::analysis::fidelity::{Causality, InputTokens, OutputTokens, PrefixHits};
    let exact = InputTokens { n: 3, exact: 3, ..InputTokens::default() };
    let off = InputTokens {
        exact: 1,
        beyond: 2,
        mean_error_tokens: 8.5,
        mean_error_pct: 12.5,
        min_error_tokens: -1,
        max_error_tokens: 20,
        ..exact.clone()
    };
    let mut fidelity = Fidelity {
        input: Some(exact),
        output: Some(OutputTokens { n: 3, as_asked: 3, asked_tokens: 30, given_tokens: 30, ..OutputTokens::default() }),
        prefixes: Some(PrefixHits {
            expected_tokens: Some(60),
            expected_share: Some(0.6),
            told: 3,
            observed_tokens: Some(55),
            observed_share: Some(0.55),
        }),
        sessions: Some(Causality { sessions: 2, turns: 5, early: 1, early_max_ms: Some(7.0) }),
        ..Fidelity::default()
    };
    let text = |f: &Fidelity| as_planned(f, Style::default()).join("\n");
    assert_eq!(
        text(&fidelity),
        "Fidelity to the plan
Prompts   all 3 exact to the token by the server's count
Answers   all 3 as long as asked for, 30 tokens
Prefixes  55.0 % of prompt tokens were hits, by 3 answers; expected of a cache that forgets nothing: 60.0 %
Sessions  2, 5 later turns, 1 sent before the previous one had ended"
            .replace("nothing: 60.0 %", "nothing:\n          60.0 %")
    );
    fidelity.input = Some(off);
    let errors = "Prompts   1 exact, 0 ± 1 token, 0 ± 1 %, 0 ± 5 %, 2 beyond; mean error +8.50 tokens (+12.50 %), from";
    assert!(text(&fidelity).contains(errors), "{}", text(&fidelity));
    assert!(as_planned(&Fidelity::default(), Style::default()).is_empty());
}

#[test]
fn reasons_are_wrapped_and_files_listed() {
    let verdict = Verdict {
        judgement: Judgement::Suspect,
        reasons: vec![
            "worker 1 kept a due request waiting for 81.0 ms, above 50 ms; give the client cores that \
             nothing else uses"
                .into(),
        ],
    };
    let style = Style { width: 60, color: false };
    assert_eq!(
        judgement(&verdict, style).join("\n"),
        "Verdict  SUSPECT
  - worker 1 kept a due request waiting for 81.0 ms, above
    50 ms; give the client cores that nothing else uses"
    );
    assert_eq!(
        files(&["runs/a/run.json".into(), "runs/a/\x1b[2Jreport.html".into()], style),
        "Files  runs/a/run.json\n       runs/a/\\u{1b}[2Jreport.html\n"
    );
}

#[test]
fn colour_adds_escapes_and_nothing_else() {
    let plain = render(&manifest(), &ordinary(), &Fidelity::default(), &valid(), Style::default());
    let coloured =
        render(&manifest(), &ordinary(), &Fidelity::default(), &valid(), Style { color: true, ..Style::default() });
    assert!(coloured.contains("\x1b[1;32mVALID\x1b[0m"));
    let mut stripped = String::new();
    let mut parts = coloured.split('\x1b');
    stripped.push_str(parts.next().unwrap());
    parts.for_each(|p| stripped.push_str(p.split_once('m').unwrap().1));
    assert_eq!(stripped, plain);
}

/// Names and messages as long and as hostile as they come, numbers as large as they come.
fn extreme() -> (Manifest, Summary, Verdict) {
    let hostile = "<script>\x1b]0;owned\x07\r\n漢字\u{202e}".repeat(40);
    let mut m = manifest();
    (m.model, m.url, m.run_id, m.endpoint_type) = (hostile.clone(), hostile.clone(), hostile.clone(), hostile.clone());
    m.loadline_version = hostile.clone();
    m.slo = slo(&[(&hostile, f64::MAX), ("time_to_first_token", 1e-9), ("request_latency", 12_345.6)]);
    m.anchor.t0_unix_ns = i64::MAX;
    m.counts.scheduled = u64::MAX / 4;
    m.counts.completed = u64::MAX / 4;
    m.counts.tokens_lost = u64::MAX;
    m.workers[0].cpu_ns = i64::MAX;
    m.workers[0].stall_max_ns = i64::MIN;
    let mut summary = no_numbers();
    summary.window_s = f64::MIN_POSITIVE;
    summary.errors = (0..30).map(|i| error(Outcome::ProtocolError, Some(i), &hostile, u64::MAX / 40)).collect();
    let wild = distribution(9, &[-987_654.4, 999_999.4]);
    let all = ["time_to_first_token", "output_token_throughput_per_user", "scheduled_time_to_first_token", "send_lag"];
    let mut values: Vec<_> = all.map(|name| (name, wild.clone())).into();
    values.push(("request_throughput", Value::Scalar(f64::INFINITY)));
    values.push(("goodput", Value::Scalar(-f64::MAX)));
    let verdict = Verdict { judgement: Judgement::Invalid, reasons: vec![hostile.clone(), "x".repeat(500)] };
    (m, with(summary, &values), verdict)
}

#[test]
fn no_line_is_wider_than_its_style_whatever_the_values() {
    let (m, summary, verdict) = extreme();
    let text = render(&m, &summary, &Fidelity::default(), &verdict, Style::default());
    for line in text.lines() {
        assert!(width(line) <= 100, "{} columns: {line}", width(line));
    }
    assert!(text.contains("≠") || m.counts.accounted() == m.counts.scheduled);
    assert!(text.contains("-987,654") && text.contains("* too few"), "{text}");
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let (m, summary, verdict) = extreme();
    let text = render(&m, &summary, &Fidelity::default(), &verdict, Style::default());
    assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')));
    assert!(text.contains("\\u{1b}]0;owned\\u{7}"), "it is shown, escaped");
}

#[test]
fn a_run_without_any_answer_says_so() {
    let mut m = manifest();
    (m.counts.completed, m.counts.failed, m.profiling) = (0, 240, None);
    m.slo.clear();
    m.workers.clear();
    let text = render(&m, &no_numbers(), &Fidelity::default(), &valid(), Style::default());
    assert!(text.contains("No request was measured"), "{text}");
    assert!(!text.contains("SLO") && !text.contains("NaN"), "{text}");
}
