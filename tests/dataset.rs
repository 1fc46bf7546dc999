//! Drawn datasets over a real socket: how much is sent, what is the same, and what a conversation holds.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

#[path = "support/shared.rs"]
mod shared;
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::HashMap;

use loadline::record::row::RequestRow;
use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server::spawn;
use loadline::time::MILLISECOND_NS;
use serde_json::Value;
use shared::shared;
use support::{Scratch, rows, run_expecting};

/// A run against a quick simulated deployment: its rows in order, and its inputs.
fn profiled(args: &str) -> (Vec<RequestRow>, Value) {
    replayed("", args)
}

/// The same, with a file `t.jsonl`.
fn replayed(trace: &str, args: &str) -> (Vec<RequestRow>, Value) {
    let scratch = Scratch::new("dataset");
    scratch.file("t.jsonl", trace);
    let timing = Timing::Constant { ttft_ns: 2 * MILLISECOND_NS, itl_ns: MILLISECOND_NS / 10 };
    let server = spawn(&ServeConfig { timing, oracle: true, ..ServeConfig::default() }).unwrap();
    let line = format!(
        "profile --url {} --model Qwen/Qwen3-32B --streaming --random-seed 5 --artifact-dir run {args}",
        server.url()
    );
    run_expecting(0, &scratch, &line);
    let oracle = server.finish().unwrap();
    let counted = oracle.by_id();
    let mut rows: Vec<RequestRow> = rows(&scratch.path("run")).into_iter().map(|(row, _)| row).collect();
    rows.sort_by_key(|row| row.request_id);
    for row in &rows {
        assert_eq!(row.input_tokens, counted[row.x_request_id.as_str()].prompt_tokens, "{args} {row:?}");
    }
    let inputs = std::fs::read(scratch.path("run/inputs.json")).ok();
    (rows, inputs.map_or(Value::Null, |inputs| serde_json::from_slice(&inputs).unwrap()))
}

/// The text of the first message of each conversation's first body.
fn openings(inputs: &Value) -> Vec<&str> {
    let data = inputs["data"].as_array().unwrap();
    data.iter().map(|item| item["payloads"][0]["messages"][0]["content"].as_str().unwrap()).collect()
}

#[test]
fn nothing_bounds_ten_requests_and_each_is_another_text() {
    let (rows, inputs) = profiled("--isl 20 --osl 2");
    assert_eq!(rows.len(), 10);
    let mut texts = openings(&inputs);
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 10);
}

#[test]
fn a_pool_of_three_is_sent_again_in_order() {
    let (rows, inputs) = profiled("--isl 20 --isl-stddev 5 --osl 2 --num-dataset-entries 3 --request-count 8");
    let texts = openings(&inputs);
    assert_eq!(texts.len(), 8);
    for n in 3..8 {
        assert_eq!((texts[n], rows[n].input_tokens), (texts[n - 3], rows[n - 3].input_tokens));
    }
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2]);
}

#[test]
fn conversations_are_sent_to_their_end_with_pauses_and_the_servers_replies() {
    for load in ["--concurrency 2", "--request-rate 200"] {
        let line = format!(
            "{load} --num-conversations 6 --conversation-turn-mean 3 --conversation-turn-delay-mean 20 --isl 12 --osl 4 \
             --history live"
        );
        let (rows, inputs) = profiled(&line);
        assert_eq!(rows.len(), 18);
        let of: HashMap<_, _> = rows.iter().map(|r| ((r.session_id.clone().unwrap(), r.turn), r)).collect();
        for session in (0..6).map(|n| format!("session_{n:06}")) {
            for turn in 0..3 {
                let row = of[&(session.clone(), turn)];
                assert_eq!(row.input_tokens, 12 + turn * 16, "what was said, and twelve more");
                if turn > 0 {
                    let before = of[&(session.clone(), turn - 1)];
                    assert!(row.sent_ns >= before.end_ns.map(|t| t + 20 * MILLISECOND_NS), "{line} {row:?}");
                }
            }
        }
        let data = inputs["data"].as_array().unwrap();
        assert_eq!((data.len(), data[0]["payloads"].as_array().unwrap().len()), (6, 3));
    }
}

#[test]
fn openings_are_what_the_server_counts_and_caches() {
    let opening = "--shared-system-prompt-length 64 --user-context-prompt-length 40 --num-dataset-entries 4";
    for api in ["chat", "completions"] {
        let line =
            format!("--endpoint-type {api} --isl 20 --osl 2 --conversation-turn-mean 2 --request-count 16 {opening}");
        let (rows, _) = profiled(&line);
        assert_eq!((rows[0].input_tokens, rows[1].input_tokens), (64 + 40 + 20, 64 + 40 + 20 + 2 + 20), "{line}");
    }
    let text = "--system-prompt-file t.jsonl --num-prefix-prompts 2 --prefix-prompt-length 16 --isl 20 --osl 2";
    let (rows, inputs) = replayed("you are\nkind", text);
    assert_eq!(rows.iter().map(|r| r.input_tokens).collect::<Vec<_>>(), [3 + 16 + 20; 10]);
    assert!(openings(&inputs).iter().all(|text| *text == "you are\nkind"));
    let (rows, inputs) = replayed("you are\nkind", &format!("{text} --cache-bust system-prefix"));
    assert_eq!(rows[0].input_tokens, 3 + 8 + 16 + 20);
    let mut marked = openings(&inputs);
    marked.dedup();
    assert_eq!(marked.len(), 10);
}

#[test]
fn pairs_and_ranges_of_lengths_are_sent() {
    let (rows, _) = profiled("--seq-dist 12,3:50;30,5:50 --request-count 40");
    let lengths = |row: &RequestRow| (row.input_tokens, row.max_tokens);
    assert!(rows.iter().all(|row| [(12, Some(3)), (30, Some(5))].contains(&lengths(row))));
    let short = rows.iter().filter(|row| row.input_tokens == 12).count();
    assert!((8..32).contains(&short), "{short}");
    let (rows, _) = profiled("--isl 20 --osl 4 --random-range-ratio 0.5 --request-count 60");
    let range = |low, high, of: fn(&RequestRow) -> u32| {
        let seen: std::collections::HashSet<u32> = rows.iter().map(of).collect();
        assert!(seen.iter().all(|n| (low..=high).contains(n)), "{seen:?}");
        seen.len()
    };
    assert!(range(10, 30, |row| row.input_tokens) > 12);
    assert_eq!(range(2, 6, |row| row.max_tokens.unwrap()), 5);
}

#[test]
fn a_trace_is_cut_by_aiperfs_offsets_and_its_pauses_left_out() {
    let trace: String = [1000, 1040, 1100, 1160]
        .iter()
        .map(|t| format!("{{\"timestamp\": {t}, \"input_length\": {}, \"output_length\": 2}}\n", t / 10))
        .collect();
    let cut = |args: &str| {
        let (rows, _) = replayed(&trace, &format!("--input-file t.jsonl {args}"));
        let lengths: Vec<u32> = rows.iter().map(|row| row.input_tokens).collect();
        let gaps: Vec<i64> = rows.iter().map(|r| (r.scheduled_ns - rows[0].scheduled_ns) / MILLISECOND_NS).collect();
        (lengths, gaps)
    };
    let (lengths, gaps) = cut("--fixed-schedule-auto-offset");
    assert_eq!((lengths, gaps), (vec![100, 104, 110, 116], vec![0, 40, 100, 160]));
    let (lengths, gaps) = cut("--fixed-schedule-start-offset 1030 --fixed-schedule-end-offset 1100");
    assert_eq!((lengths, gaps), (vec![104, 110], vec![0, 60]), "both ends are inside");
    let (lengths, gaps) = cut("--fixed-schedule-end-offset 1040");
    assert_eq!((lengths, gaps), (vec![100, 104], vec![0, 40]), "the first request is 0");
    let turns = r#"{"session_id":"a","input_length":9,"output_length":2}
{"session_id":"a","input_length":9,"output_length":2,"delay":600000}
"#;
    for args in ["--ignore-trace-delays", "--inter-turn-delay-cap-seconds 0.01"] {
        let (rows, _) = replayed(turns, &format!("--input-file t.jsonl {args}"));
        assert_eq!(rows.iter().map(|r| r.input_tokens).collect::<Vec<_>>(), [9, 20], "{args}");
    }
}

#[test]
fn aiperfs_conversations_are_sent_as_aiperf_sent_them() {
    let file = r#"{"session_id": "m0", "turns": [{"role": "system", "text": "be brief"}, {"text": "first question"}, {"text": "second question", "delay": 30}]}
{"session_id": "m1", "turns": [{"text": "third", "output_length": 3}]}
"#;
    let args = "--input-file t.jsonl --custom-dataset-type multi_turn --concurrency 2 --osl 4 --history live";
    let (rows, inputs) = replayed(file, args);
    assert_eq!(rows.iter().map(|r| r.output_tokens).collect::<Vec<_>>(), [Some(4), Some(4), Some(3)]);
    let messages = |session: usize, turn: usize| inputs["data"][session]["payloads"][turn]["messages"].clone();
    let said = |role: &str, text: &str| serde_json::json!({"role": role, "content": text});
    assert_eq!(messages(0, 0), Value::from(vec![said("system", "be brief"), said("user", "first question")]));
    assert_eq!(messages(0, 1).as_array().unwrap().last().unwrap(), &said("user", "second question"));
    assert_eq!(messages(1, 0), Value::from(vec![said("user", "third")]));
    // The second turn's prompt holds all of the first's, its answer too: the deployment counted all of it.
    assert!(rows[1].input_tokens >= rows[0].input_tokens + 4, "{rows:?}");
    let Some(golden) = shared("golden/traces/multi.jsonl") else { return };
    let (rows, inputs) = replayed(&std::fs::read_to_string(golden).unwrap(), "--input-file t.jsonl --osl 4");
    assert_eq!((rows.len(), inputs["data"].as_array().unwrap().len()), (9, 3));
}

#[test]
fn inputs_have_the_shape_of_aiperfs() {
    let Some(golden) = shared("golden/c14_multi_turn/artifacts/mock-llm-openai-chat-concurrency2/inputs.json") else {
        return;
    };
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let (_, ours) = profiled("--num-conversations 3 --conversation-turn-mean 3 --isl 4 --osl 4");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&golden), keys(&ours));
    for (theirs, ours) in [golden, ours].map(|v| v["data"][0].clone()).windows(2).map(|w| (&w[0], &w[1])) {
        assert_eq!(keys(theirs), keys(ours));
        let turns = |v: &Value| v["payloads"].as_array().unwrap().len();
        assert_eq!(turns(theirs), turns(ours));
        assert_eq!(keys(&theirs["payloads"][0]), keys(&ours["payloads"][0]));
        assert_eq!(keys(&theirs["payloads"][0]["messages"][0]), keys(&ours["payloads"][0]["messages"][0]));
    }
}
