//! A golden run of aiperf → rows, as our engine would have recorded the same requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loadline::error::Result;
use loadline::metrics::parse_goodput;
use loadline::outcome::{EventKind, Outcome, Phase, TokenSource};
use loadline::record::manifest::{Host, Manifest, PhaseWindow, RunState, SCHEMA_VERSION};
use loadline::record::reader::{Rows, Visit};
use loadline::record::row::{RequestRow, TokenRow};
use loadline::time::Anchor;
use serde_json::Value as Json;

/// The cases whose numbers are compared.
pub(crate) const CASES: [&str; 5] = [
    "c01_concurrency_synthetic",
    "c02_mooncake_fixed_schedule",
    "c04_edges_client_tok",
    "c06_rate_warmup_timeslice",
    "c14_multi_turn",
];

/// Rows in memory.
pub(crate) struct Memory {
    pub(crate) manifest: Manifest,
    pub(crate) requests: Vec<(RequestRow, Vec<TokenRow>)>,
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

/// A manifest of a streamed run that says nothing in particular.
pub(crate) fn memory_manifest() -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        loadline_version: "0.0.0".into(),
        run_id: "0123456789abcdef".into(),
        command: vec![],
        config: Json::Null,
        seed: 42,
        model: "mock-llm".into(),
        url: "http://127.0.0.1:18080".into(),
        endpoint_type: "chat".into(),
        streaming: true,
        slo: vec![],
        host: Host::default(),
        anchor: Anchor { t0_unix_ns: 1_795_486_877_000_000_000, t0_monotonic_ns: 0 },
        state: RunState::Complete,
        counts: Default::default(),
        warmup: None,
        profiling: None,
        workers: vec![],
        steal_ns: 0,
        verdict: None,
    }
}

/// What aiperf wrote of one run, and the rows that it amounts to.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) summary: Json,
    pub(crate) csv: String,
    pub(crate) timeslices: String,
    pub(crate) timeslices_csv: String,
    pub(crate) records: Vec<Json>,
    pub(crate) rows: Memory,
}

impl Case {
    /// Reads a case; nothing, with a word on the standard error, if the golden runs are not there.
    pub(crate) fn load(name: &str) -> Option<Case> {
        #[allow(clippy::disallowed_methods, reason = "where test data lies is the environment's to say")]
        let shared = std::env::var("LOADLINE_SHARED").unwrap_or_else(|_| "../shared".into());
        let dir = Path::new(&shared).join("golden").join(name);
        if !dir.is_dir() {
            eprintln!("SKIPPED: no golden run of aiperf at {}", dir.display());
            return None;
        }
        let artifacts = std::fs::read_dir(dir.join("artifacts")).unwrap().next().unwrap().unwrap().path();
        let summary: Json = serde_json::from_str(&read(&artifacts.join("profile_export_aiperf.json"))).unwrap();
        let records = lines(&artifacts.join("profile_export.jsonl")).unwrap();
        let raw: BTreeMap<String, Json> = lines(&artifacts.join("profile_export_raw.jsonl"))
            .unwrap_or_default()
            .into_iter()
            .map(|r| (text(&r["metadata"]["x_request_id"]), r))
            .collect();
        let mut manifest = memory_manifest();
        manifest.anchor.t0_unix_ns = records.iter().map(|r| int(&r["metadata"]["request_start_ns"])).min().unwrap();
        manifest.slo = goodput_of(&read(&dir.join("command.txt")));
        let t0 = manifest.anchor.t0_unix_ns;
        let requests: Vec<_> = (0..)
            .zip(&records)
            .map(|(id, record)| request(id, record, raw.get(&text(&record["metadata"]["x_request_id"])), t0))
            .collect();
        let profiling = requests.iter().filter(|(row, _)| row.phase == Phase::Profiling);
        let start_ns = profiling.map(|(row, _)| row.sent_ns.unwrap()).min().unwrap();
        let window_s =
            summary["request_count"]["avg"].as_f64().unwrap() / summary["request_throughput"]["avg"].as_f64().unwrap();
        manifest.profiling = Some(PhaseWindow { start_ns, end_ns: start_ns + (window_s * 1e9).round() as i64 });
        let has_warmup = requests.iter().any(|(row, _)| row.phase == Phase::Warmup);
        manifest.warmup = has_warmup.then_some(PhaseWindow { start_ns: 0, end_ns: start_ns });
        let csv = read(&artifacts.join("profile_export_aiperf.csv"));
        let slices = |end: &str| {
            let path = artifacts.join(format!("profile_export_aiperf_timeslices.{end}"));
            std::fs::read_to_string(path).unwrap_or_default()
        };
        let (timeslices, timeslices_csv) = (slices("json"), slices("csv"));
        Some(Case {
            name: name.into(),
            summary,
            csv,
            timeslices,
            timeslices_csv,
            records,
            rows: Memory { manifest, requests },
        })
    }
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn lines(path: &PathBuf) -> Option<Vec<Json>> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn int(value: &Json) -> i64 {
    value.as_i64().unwrap()
}

fn text(value: &Json) -> String {
    value.as_str().unwrap().into()
}

/// The SLO of a shell command line, whose spaces are escaped.
fn goodput_of(command: &str) -> Vec<loadline::record::manifest::SloBound> {
    let Some((_, rest)) = command.split_once("--goodput ") else { return vec![] };
    let rest = rest.replace("\\ ", "\0");
    parse_goodput(&rest.split_whitespace().next().unwrap().replace('\0', " ")).unwrap()
}

fn request(id: u64, record: &Json, raw: Option<&Json>, t0: i64) -> (RequestRow, Vec<TokenRow>) {
    let (metadata, metrics, trace) = (&record["metadata"], &record["metrics"], &record["trace_data"]);
    let at_in = |part: &Json, key: &str| part[key].as_i64().map(|t| t - t0);
    let at = |key: &str| at_in(metadata, key);
    let count = |tag: &str| metrics[tag]["value"].as_u64().map(|n| n as u32);
    let sent_ns = at("request_start_ns").unwrap();
    let tokens = match raw {
        Some(raw) => raw_events(id, raw, sent_ns),
        None => events_of_gaps(id, metrics, sent_ns),
    };
    let first = |kinds: &[EventKind]| tokens.iter().find(|t| kinds.contains(&t.kind)).map(|t| t.t_ns);
    let output = [EventKind::Output, EventKind::ToolCall];
    let row = RequestRow {
        x_request_id: text(&metadata["x_request_id"]),
        session_id: metadata["conversation_id"].as_str().map(str::to_owned),
        turn: metadata["turn_index"].as_u64().unwrap() as u32,
        phase: Phase::parse(metadata["benchmark_phase"].as_str().unwrap()).unwrap(),
        sent_ns: Some(sent_ns),
        written_ns: at_in(trace, "request_send_end_ns"),
        dialed_ns: at_in(trace, "tcp_connect_start_ns"),
        connected_ns: at_in(trace, "tcp_connect_end_ns"),
        head_ns: at_in(trace, "response_receive_start_ns").or(at("request_ack_ns")),
        bytes_sent: trace["request_bytes_total"].as_u64().unwrap_or(0),
        bytes_received: trace["response_bytes_total"].as_u64().unwrap_or(0),
        writes: trace["request_chunks_count"].as_u64().unwrap_or(0) as u32,
        reads: trace["response_chunks_count"].as_u64().unwrap_or(0) as u32,
        first_token_ns: first(&[EventKind::Output, EventKind::ToolCall, EventKind::Reasoning]),
        first_output_ns: first(&output),
        last_token_ns: tokens.iter().rfind(|t| t.kind.is_content()).map(|t| t.t_ns),
        end_ns: at("request_end_ns"),
        outcome: outcome(record),
        http_status: raw.and_then(|r| r["status"].as_u64()).map(|s| s as u16),
        error: record["error"]["message"].as_str().map(str::to_owned),
        input_tokens: count("input_sequence_length").or(count("error_isl")).unwrap_or(0),
        max_tokens: raw.and_then(|r| r["payload"]["max_completion_tokens"].as_u64()).map(|n| n as u32),
        output_tokens: count("output_sequence_length"),
        output_tokens_source: TokenSource::Tokenizer,
        reasoning_tokens: count("reasoning_token_count"),
        events: tokens.len() as u32,
        ..RequestRow::scheduled(id, at("credit_issued_ns").unwrap())
    };
    (row, tokens)
}

fn outcome(record: &Json) -> Outcome {
    let Some(error) = record.get("error") else { return Outcome::Completed };
    match error["type"].as_str().unwrap() {
        "InvalidInferenceResultError" => Outcome::ProtocolError,
        "ClientPayloadError" => Outcome::Truncated,
        "SSEResponseError" => Outcome::StreamError,
        _ => Outcome::HttpError,
    }
}

/// The events that aiperf kept, in full, with the time of the read that brought each.
fn raw_events(request_id: u64, raw: &Json, sent_ns: i64) -> Vec<TokenRow> {
    let start = int(&raw["start_perf_ns"]);
    let responses = raw["responses"].as_array().unwrap();
    (0..)
        .zip(responses)
        .map(|(seq, response)| {
            let data = response["packets"].as_array().unwrap().iter().find(|p| p["name"] == "data");
            let data = data.and_then(|p| p["value"].as_str()).unwrap_or("");
            event(request_id, seq, int(&response["perf_ns"]) - start + sent_ns, kind(data))
        })
        .collect()
}

/// What an event carried, as aiperf sees it: reasoning before tool calls before text.
fn kind(data: &str) -> EventKind {
    let Ok(json) = serde_json::from_str::<Json>(data) else { return EventKind::Done };
    let delta = &json["choices"][0]["delta"];
    let filled = |v: &Json| v.as_str().is_some_and(|s| !s.is_empty());
    let called = |call: &Json| filled(&call["function"]["name"]) || filled(&call["function"]["arguments"]);
    if filled(&delta["reasoning_content"]) || filled(&delta["reasoning"]) {
        EventKind::Reasoning
    } else if delta["tool_calls"].as_array().is_some_and(|calls| calls.iter().any(called)) {
        EventKind::ToolCall
    } else if filled(&delta["content"]) {
        EventKind::Output
    } else {
        EventKind::Other
    }
}

/// Content events from a record without raw events: its first token and the gaps after it.
fn events_of_gaps(request_id: u64, metrics: &Json, sent_ns: i64) -> Vec<TokenRow> {
    let ns = |ms: &Json| ms.as_f64().map(|ms| (ms * 1e6).round() as i64);
    let Some(first) = ns(&metrics["time_to_first_token"]["value"]) else { return vec![] };
    let mut t_ns = sent_ns + first;
    let mut events = vec![event(request_id, 0, t_ns, EventKind::Output)];
    let gaps = metrics["inter_chunk_latency"]["value"].as_array();
    for (seq, gap) in (1..).zip(gaps.into_iter().flatten()) {
        t_ns += ns(gap).unwrap();
        events.push(event(request_id, seq, t_ns, EventKind::Output));
    }
    events
}

fn event(request_id: u64, seq: u32, t_ns: i64, kind: EventKind) -> TokenRow {
    TokenRow { request_id, seq, t_ns, kernel_ns: None, read: seq, kind, bytes: 1, tokens: None }
}
