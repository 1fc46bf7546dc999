//! Runs in simulated time: the plan, worker, parsers and recording of every run, against the engine of the simulated
//! deployment without a socket.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use loadline::outcome::{EventKind, Outcome, Phase};
use loadline::profiler::backend::Backend;
use loadline::profiler::cost::{CostModel, StepLoad};
use loadline::profiler::results::npz;
use loadline::profiler::{gpu, model};
use loadline::record::manifest::Manifest;
use loadline::record::row::{RequestRow, TokenRow};
use support::{Scratch, rows, run_expecting};

fn trace(rows: usize, gap_ms: u64, isl: usize, osl: usize) -> String {
    let row = |n: usize| {
        let at = n as u64 * gap_ms;
        format!(
            "{{\"timestamp\": {at}, \"input_length\": {isl}, \"output_length\": {osl}, \"hash_ids\": [0, {}]}}\n",
            n + 1
        )
    };
    (0..rows).map(row).collect()
}

/// Runs `profile --simulate` with these flags, and gives what it recorded.
fn simulate(name: &str, file: &str, flags: &str) -> Vec<(RequestRow, Vec<TokenRow>)> {
    let scratch = Scratch::new(name);
    let file = scratch.file("t.jsonl", file);
    let line = format!(
        "profile --simulate --streaming --random-seed 7 --input-file {} --artifact-dir run {flags}",
        file.display()
    );
    run_expecting(0, &scratch, &line);
    let dir = scratch.path("run");
    let counts = Manifest::read(&dir).unwrap().counts;
    assert_eq!((counts.accounted(), counts.tokens_lost), (counts.scheduled, 0));
    rows(&dir)
}

fn sent(row: &RequestRow) -> i64 {
    row.sent_ns.unwrap()
}

#[test]
fn a_lone_request_takes_what_the_cost_model_says_to_the_nanosecond() {
    let rows = simulate("lone", &trace(1, 0, 1000, 3), "--tp 4");
    let (shape, h200) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
    let cost = CostModel::new(shape, h200, Backend::Vllm, 4).unwrap();
    let ns = |seconds: f64| (seconds * 1e9).round() as i64;
    let (row, tokens) = &rows[0];
    let first_ns = sent(row) + ns(cost.step_s(&StepLoad::prefill(1, 1000)));
    let second_ns = first_ns + ns(cost.step_s(&StepLoad::decode(1, 1001)));
    let last_ns = second_ns + ns(cost.step_s(&StepLoad::decode(1, 1002)));
    assert_eq!((row.first_token_ns, row.last_token_ns), (Some(first_ns), Some(last_ns)));
    assert_eq!((row.scheduled_ns, row.prompt_tokens, row.output_tokens), (sent(row), Some(1000), Some(3)));
    let output: Vec<i64> = tokens.iter().filter(|t| t.kind == EventKind::Output).map(|t| t.t_ns).collect();
    assert_eq!(output, [first_ns, second_ns, last_ns]);
}

#[test]
fn a_lone_request_takes_what_a_profilers_tables_say_to_the_nanosecond() {
    let scratch = Scratch::new("tables");
    let arrays: [(&str, &[f64]); 5] = [
        ("prefill_isl", &[500.0, 1000.0, 2000.0]),
        ("prefill_ttft_ms", &[40.0, 70.0, 150.0]),
        ("decode_active_kv_tokens", &[1000.0, 5000.0]),
        ("decode_context_length", &[1000.0, 1000.0]),
        ("decode_itl", &[9.0, 13.0]),
    ];
    let tables = scratch.path("tables.npz");
    std::fs::write(&tables, npz::encode(&arrays).unwrap()).unwrap();
    for (isl, ttft_ns) in [(1000, 70_000_000), (1500, 110_000_000)] {
        let rows = simulate("tables-run", &trace(1, 0, isl, 3), &format!("--engine-profile {}", tables.display()));
        let (row, tokens) = &rows[0];
        assert_eq!(row.first_token_ns, Some(sent(row) + ttft_ns));
        let output: Vec<i64> = tokens.iter().filter(|t| t.kind == EventKind::Output).map(|t| t.t_ns).collect();
        // From 9 ms at 1000 tokens on, one more per thousand: 1001 or 1501, then one more.
        let step = |context: i64| 9_000_000 + 1_000 * (context - 1000);
        let expect = [step(isl as i64 + 1), step(isl as i64 + 2)];
        assert_eq!([output[1] - output[0], output[2] - output[1]], expect);
    }
    let line = format!(
        "profile --simulate --streaming --isl 10 --osl 2 --request-count 1 --artifact-dir run --engine-profile {}",
        scratch.path("none").display()
    );
    run_expecting(2, &scratch, &line);
}

#[test]
fn one_seed_gives_one_run_and_another_gives_another() {
    let times = |seed: u64| -> Vec<_> {
        let flags = format!("--no-fixed-schedule --request-rate 20 --step-noise 0.2 --random-seed {seed}");
        let flags = flags.as_str();
        let scratch = Scratch::new("seed");
        let file = scratch.file("t.jsonl", &trace(40, 0, 700, 9));
        let line = format!("profile --simulate --streaming --input-file {} --artifact-dir run {flags}", file.display());
        run_expecting(0, &scratch, &line);
        rows(&scratch.path("run")).iter().map(|(r, _)| (r.sent_ns, r.first_token_ns, r.last_token_ns)).collect()
    };
    assert_eq!(times(1), times(1));
    assert_ne!(times(1), times(2));
}

#[test]
fn prefixes_that_were_seen_are_hits_unless_the_cache_is_off() {
    let hits = |flags: &str| -> Vec<u32> {
        let rows = simulate("hits", &trace(4, 3000, 1024, 2), flags);
        rows.iter().map(|(r, _)| r.cached_tokens.unwrap()).collect()
    };
    // The first block of 512 is common; behind it stand the request's own.
    assert_eq!(hits(""), [0, 512, 512, 512]);
    assert_eq!(hits("--no-prefix-caching"), [0; 4]);
}

#[test]
fn a_full_queue_refuses_with_the_status_that_was_asked_for() {
    let flags = "--max-num-seqs 2 --queue-limit 3 --queue-full-status 429";
    let rows = simulate("full", &trace(20, 0, 600, 20), flags);
    let refused = rows.iter().filter(|(r, _)| r.outcome == Outcome::HttpError && r.http_status == Some(429)).count();
    let completed = rows.iter().filter(|(r, _)| r.outcome == Outcome::Completed).count();
    assert_eq!((refused, completed), (17, 3), "three wait for the first iteration, the rest find the queue full");
}

#[test]
fn a_refused_request_takes_nothing_from_the_one_behind_it() {
    let file = trace(1, 0, 9000, 4) + &trace(1, 0, 600, 4);
    let rows = simulate("behind", &file, "--kv-cache-tokens 2048 --request-timeout-seconds 60");
    let ended = |n: usize| (rows[n].0.outcome, rows[n].0.http_status);
    assert_eq!((ended(0), ended(1)), ((Outcome::HttpError, Some(400)), (Outcome::Completed, Some(200))));
}

#[test]
fn closed_loops_warm_ups_limits_and_cancellations_are_those_of_any_run() {
    let flags = "--no-fixed-schedule --concurrency 3 --request-count 12 --warmup-request-count 2 \
         --request-cancellation-rate 30 --request-cancellation-delay 0.01";
    let rows = simulate("loop", &trace(5, 0, 300, 30), flags);
    let of = |phase| rows.iter().filter(move |(r, _)| r.phase == phase);
    assert_eq!((of(Phase::Warmup).count(), of(Phase::Profiling).count()), (2, 12));
    let cancelled = of(Phase::Profiling).filter(|(r, _)| r.outcome == Outcome::Cancelled);
    assert!(cancelled.clone().count() > 0, "30 % of twelve");
    assert!(cancelled.into_iter().all(|(r, _)| r.end_ns.unwrap() - sent(r) == 10_000_000));
    let mut running: Vec<(i64, i32)> =
        of(Phase::Profiling).flat_map(|(r, _)| [(sent(r), 1), (r.end_ns.unwrap(), -1)]).collect();
    running.sort_unstable();
    let most = running.iter().scan(0, |n, (_, d)| Some((*n += d, *n).1)).max();
    assert_eq!(most, Some(3));
}

#[test]
fn events_that_are_told_in_numbers_are_recorded_as_if_their_bytes_had_been_parsed() {
    // Answers of one hand-over, and of several.
    let file = trace(30, 40, 300, 40) + &trace(3, 40, 300, 1200);
    let flags = "--no-fixed-schedule --concurrency 8 --request-count 33 --request-cancellation-rate 30 --request-cancellation-delay 0.12";
    let told = simulate("told", &file, flags);
    let parsed = simulate("parsed", &file, &format!("{flags} --export-level raw"));
    let of = |rows: &[(RequestRow, Vec<TokenRow>)], outcome| rows.iter().filter(|(r, _)| r.outcome == outcome).count();
    assert!(of(&told, Outcome::Completed) > 5 && of(&told, Outcome::Cancelled) > 5);
    let cut = told.iter().filter(|(r, _)| r.outcome == Outcome::Cancelled && r.events > 3).count();
    assert!(cut > 3, "some are given up in mid-answer, and what had come of them is there");
    assert!(told.iter().any(|(r, _)| r.events > 1200));
    for ((mut a, a_tokens), (b, b_tokens)) in told.into_iter().zip(parsed) {
        // Each run has words of its own, so that no cache knows them.
        a.x_request_id.clone_from(&b.x_request_id);
        a.bytes_sent = b.bytes_sent;
        assert_eq!((a, a_tokens), (b, b_tokens));
    }
}

#[test]
fn an_answer_in_one_piece_and_prefill_on_engines_of_its_own() {
    let scratch = Scratch::new("whole");
    let flags = "--isl 2048 --osl 5 --request-count 2 --endpoint-type completions";
    let line = |more: &str| format!("profile --simulate {flags} --artifact-dir run{} {more}", more.len());
    run_expecting(0, &scratch, &line(""));
    let together = rows(&scratch.path("run0"));
    assert!(together.iter().all(|(r, _)| r.output_tokens == Some(5) && r.prompt_tokens == Some(2048)));
    let apart = "--prefill-replicas 1 --handoff-gb-per-s 1 --handoff-setup-ms 5";
    run_expecting(0, &scratch, &line(apart));
    let apart = rows(&scratch.path(&format!("run{}", apart.len())));
    // 2048 tokens of 256 KiB at 1 GB/s, and 5 ms.
    let handoff_ns = 536_870_912 + 5_000_000;
    for ((a, _), (b, _)) in together.iter().zip(&apart) {
        let took = |r: &RequestRow| r.end_ns.unwrap() - sent(r);
        assert_eq!(took(b) - took(a), handoff_ns);
    }
}
