//! Runs small enough to compute by hand: the definitions of METHODOLOGY.md in numbers, and the laws of a fold.

use super::*;
use crate::error::Result;
use crate::outcome::{EventKind, Phase, TokenSource};
use crate::record::manifest::{Host, Manifest, PhaseWindow, RunState, SCHEMA_VERSION, SloBound};
use crate::record::reader::{Rows, Visit};
use crate::record::row::{RequestRow, TokenRow};
use crate::time::{Anchor, MILLISECOND_NS};

struct Memory {
    manifest: Manifest,
    requests: Vec<(RequestRow, Vec<TokenRow>)>,
}

impl Rows for Memory {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn for_each_request(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.requests.iter().for_each(|(row, tokens)| visit(row, tokens));
        Ok(())
    }
}

fn manifest(slo: &str) -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        loadline_version: "0".into(),
        run_id: "0123456789abcdef".into(),
        command: vec![],
        config: serde_json::Value::Null,
        seed: 1,
        model: "m".into(),
        url: "http://h".into(),
        endpoint_type: "chat".into(),
        streaming: true,
        slo: if slo.is_empty() { Vec::<SloBound>::new() } else { parse_goodput(slo).unwrap() },
        host: Host::default(),
        anchor: Anchor { t0_unix_ns: 0, t0_monotonic_ns: 0 },
        state: RunState::Complete,
        counts: Default::default(),
        warmup: None,
        profiling: None,
        workers: vec![],
        steal_ns: 0,
        verdict: None,
    }
}

/// A completed request whose content events come at `at_ms`, with as many output tokens as events.
fn streamed(id: u64, scheduled_ms: i64, sent_ms: i64, at_ms: &[i64]) -> (RequestRow, Vec<TokenRow>) {
    let t = |ms: i64| ms * MILLISECOND_NS;
    let tokens: Vec<TokenRow> = (0..)
        .zip(at_ms)
        .map(|(seq, &ms)| TokenRow {
            request_id: id,
            seq,
            t_ns: t(ms),
            kernel_ns: None,
            read: seq,
            kind: EventKind::Output,
            bytes: 1,
            tokens: None,
        })
        .collect();
    let row = RequestRow {
        sent_ns: Some(t(sent_ms)),
        first_token_ns: at_ms.first().map(|&ms| t(ms)),
        first_output_ns: at_ms.first().map(|&ms| t(ms)),
        last_token_ns: at_ms.last().map(|&ms| t(ms)),
        end_ns: at_ms.last().map(|&ms| t(ms + 5)),
        outcome: Outcome::Completed,
        http_status: Some(200),
        input_tokens: 100,
        output_tokens: Some(at_ms.len() as u32),
        output_tokens_source: TokenSource::Usage,
        events: at_ms.len() as u32,
        ..RequestRow::scheduled(id, t(scheduled_ms))
    };
    (row, tokens)
}

fn failed(id: u64, outcome: Outcome) -> (RequestRow, Vec<TokenRow>) {
    let (mut row, tokens) = streamed(id, 0, 2, &[50]);
    (row.outcome, row.http_status, row.error) = (outcome, Some(503), Some("busy".into()));
    (row, tokens)
}

fn stats(summary: &Summary, name: &str) -> Stats {
    match summary.get(name) {
        Some(Value::Distribution(stats)) => stats.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

fn scalar(summary: &Summary, name: &str) -> f64 {
    match summary.get(name) {
        Some(Value::Scalar(value) | Value::OverTime(OverTime { mean: value, .. })) => *value,
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn one_request_of_five_events() {
    // Scheduled at 10 ms, sent at 12, content at 112, 122, 122, 142, 152 (two in one read), end at 157.
    let (mut row, tokens) = streamed(0, 10, 12, &[112, 122, 122, 142, 152]);
    row.output_tokens = Some(9); // More tokens than events: the ITL counts tokens, the ICL events.
    row.reasoning_tokens = Some(2);
    (row.prompt_tokens, row.cached_tokens) = (Some(80), Some(20));
    let rows = Memory { manifest: manifest(""), requests: vec![(row, tokens)] };
    let s = summarise(&rows).unwrap();
    let mean = |name| stats(&s, name).mean;
    assert_eq!(mean("time_to_first_token"), 100.0);
    assert_eq!(mean("scheduled_time_to_first_token"), 102.0);
    assert_eq!(mean("time_to_first_output_token"), 100.0);
    assert_eq!(mean("time_to_second_token"), 10.0);
    assert_eq!(mean("inter_token_latency"), 5.0); // (152 − 112) / (9 − 1)
    assert_eq!(mean("usage_completion_tokens_diff_pct"), 80.0); // 9 tokens in 5 events
    assert!(s.get("usage_reasoning_tokens_diff_pct").is_none(), "no event held reasoning");
    assert_eq!(mean("output_token_throughput_per_user"), 200.0);
    assert_eq!(mean("request_latency"), 140.0);
    assert_eq!(mean("scheduled_request_latency"), 142.0);
    assert_eq!(mean("decode_duration"), 40.0);
    assert_eq!(mean("send_lag"), 2.0);
    assert_eq!(mean("e2e_output_token_throughput"), 9.0 / 0.14);
    assert_eq!(mean("prefill_throughput_per_user"), 800.0);
    assert_eq!(mean("input_sequence_length"), 80.0);
    assert_eq!(mean("output_sequence_length"), 9.0);
    assert_eq!(mean("output_token_count"), 7.0);
    assert_eq!(mean("reasoning_token_count"), 2.0);
    assert_eq!(mean("usage_total_tokens"), 89.0);
    assert_eq!(scalar(&s, "overall_usage_prompt_cache_read_pct"), 25.0);
    let icl = stats(&s, "inter_chunk_latency");
    assert_eq!((icl.n, icl.min, icl.max, icl.sum), (4, 0.0, 20.0, 40.0));
    assert_eq!(scalar(&s, "benchmark_duration"), 0.14);
    // Without a phase in the manifest the window runs from the sending to the end: 145 ms.
    assert_eq!(s.window_s, 0.145);
    assert_eq!(scalar(&s, "request_throughput"), 1.0 / 0.145);
    assert_eq!(scalar(&s, "output_token_throughput"), 9.0 / 0.145);
    assert_eq!(scalar(&s, "effective_concurrency"), 1.0);
    assert!(s.get("goodput").is_none(), "no SLO was given");
    assert!(s.get("error_isl").is_none());
}

#[test]
fn only_completed_requests_of_the_measurement_are_valid_and_all_are_counted() {
    let mut warm = streamed(0, 0, 0, &[900, 950]);
    warm.0.phase = Phase::Warmup;
    let mut cancelled = streamed(4, 0, 7, &[60]);
    cancelled.0.outcome = Outcome::Cancelled;
    let not_sent = (RequestRow::scheduled(5, 0), vec![]);
    let requests = vec![
        warm,
        streamed(1, 0, 1, &[21, 31]),
        failed(2, Outcome::HttpError),
        failed(3, Outcome::StreamError),
        cancelled,
        not_sent,
    ];
    let mut rows = Memory { manifest: manifest("ttft:100 itl:100"), requests };
    rows.manifest.profiling = Some(PhaseWindow { start_ns: 0, end_ns: 100 * MILLISECOND_NS });
    let s = summarise(&rows).unwrap();
    for name in ["time_to_first_token", "request_latency", "input_sequence_length", "inter_chunk_latency"] {
        assert_eq!(stats(&s, name).n, 1, "{name}");
    }
    assert_eq!(stats(&s, "send_lag").n, 4, "of every request that was sent");
    assert_eq!(stats(&s, "send_lag").max, 7.0);
    assert_eq!(stats(&s, "error_isl").sum, 200.0);
    let expected = [
        ("request_count", 1.0),
        ("error_request_count", 2.0),
        ("completed_request_count", 3.0),
        ("cancelled_request_count", 1.0),
        ("not_sent_request_count", 1.0),
        ("good_request_count", 1.0),
        ("good_request_fraction", 1.0 / 3.0),
        ("goodput", 10.0),
        ("request_throughput", 10.0),
        ("request_error_rate", 200.0 / 3.0),
        // In flight 1..36, twice 2..55 and 7..65 of 100 ms.
        ("effective_concurrency", (35.0 + 53.0 + 53.0 + 58.0) / 100.0),
    ];
    for (name, want) in expected {
        assert!((scalar(&s, name) - want).abs() < 1e-12, "{name} is {}, not {want}", scalar(&s, name));
    }
    assert_eq!((s.outcomes.total(), s.warmup.total()), (5, 1));
    assert_eq!(s.errors.len(), 4, "two failures, one cancelled, one not sent");
}

#[test]
fn goodput_counts_from_sending_and_scheduled_goodput_from_the_schedule() {
    let requests = vec![
        streamed(0, 0, 0, &[90, 100]),
        streamed(1, 0, 50, &[140, 150]), // 90 ms after its sending, 140 after its scheduled time.
        streamed(2, 0, 0, &[90]),        // One token: no ITL.
    ];
    let mut rows = Memory { manifest: manifest("ttft:100 itl:20"), requests };
    rows.manifest.profiling = Some(PhaseWindow { start_ns: 0, end_ns: 1000 * MILLISECOND_NS });
    let s = summarise(&rows).unwrap();
    assert_eq!((scalar(&s, "goodput"), scalar(&s, "scheduled_goodput")), (2.0, 1.0));
    assert_eq!(scalar(&s, "scheduled_good_request_fraction"), 1.0 / 3.0);
}

#[test]
fn a_run_without_streams_has_no_token_times() {
    let mut rows = Memory { manifest: manifest(""), requests: vec![streamed(0, 10, 12, &[112, 122])] };
    rows.manifest.streaming = false;
    let s = summarise(&rows).unwrap();
    let gone = [
        "time_to_first_token",
        "scheduled_time_to_first_token",
        "time_to_first_output_token",
        "time_to_second_token",
        "inter_token_latency",
        "inter_chunk_latency",
        "decode_duration",
        "output_token_throughput_per_user",
        "prefill_throughput_per_user",
    ];
    for name in gone {
        assert!(s.get(name).is_none(), "{name}");
    }
    assert_eq!(stats(&s, "request_latency").mean, 115.0, "until the end of the answer");
    assert_eq!(stats(&s, "output_sequence_length").mean, 2.0);
}

#[test]
fn an_empty_run_has_counts_and_no_rate_that_divides_by_nothing() {
    let s = summarise(&Memory { manifest: manifest("ttft:1"), requests: vec![] }).unwrap();
    assert_eq!(scalar(&s, "request_count"), 0.0);
    assert_eq!(s.window_s, 0.0);
    for (def, value) in &s.values {
        assert!(matches!(value, Value::Scalar(0.0)), "{} is {value:?}", def.name);
    }
}

#[test]
fn an_slo_that_no_metric_answers_to_is_refused() {
    let mut m = manifest("");
    m.slo = vec![SloBound { metric: "speed".into(), bound: 1.0 }];
    assert!(summarise(&Memory { manifest: m, requests: vec![] }).unwrap_err().to_string().contains("`speed`"));
}

#[test]
fn folding_parts_and_merging_is_folding_the_whole() {
    let mut requests: Vec<_> =
        (0..40).map(|i| streamed(i, i as i64, i as i64 + 1, &[i as i64 * 3 + 7, i as i64 * 4 + 9])).collect();
    requests.push(failed(40, Outcome::Timeout));
    let rows = Memory { manifest: manifest("ttft:40"), requests };
    let whole = summarise(&rows).unwrap();
    for cut in [0, 1, 17, 41] {
        let part = |range: std::ops::Range<usize>| {
            let mut fold = Fold::new(&rows.manifest).unwrap();
            rows.requests[range].iter().for_each(|(row, tokens)| fold.add(row, tokens));
            fold
        };
        let mut merged = part(cut..41);
        merged.merge(part(0..cut));
        assert_eq!(format!("{:?}", merged.finish()), format!("{whole:?}"), "cut at {cut}");
    }
}

#[test]
fn times_of_a_damaged_recording_give_numbers_and_no_overflow() {
    let (mut row, mut tokens) = streamed(0, 0, 0, &[1, 2]);
    row.sent_ns = Some(i64::MIN);
    (row.last_token_ns, row.end_ns) = (Some(i64::MAX), Some(i64::MAX));
    (tokens[0].t_ns, tokens[1].t_ns) = (i64::MIN, i64::MAX);
    (tokens[0].seq, tokens[1].seq) = (u32::MAX - 1, u32::MAX);
    let mut rows = Memory { manifest: manifest("ttft:1"), requests: vec![(row, tokens)] };
    for phase in [None, Some(PhaseWindow { start_ns: i64::MIN, end_ns: i64::MAX })] {
        rows.manifest.profiling = phase;
        let s = summarise(&rows).unwrap();
        assert_eq!(stats(&s, "request_latency").max, i64::MAX as f64 / 1e6);
        assert!(s.window_s.is_finite());
    }
}
