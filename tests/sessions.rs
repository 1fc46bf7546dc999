//! Conversations over real sockets: each turn after the one before it, with what was said so far, as the server counts it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::HashMap;

use loadline::outcome::Outcome;
use loadline::record::row::RequestRow;
use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server::spawn;
use loadline::time::MILLISECOND_NS;
use support::{Scratch, rows, run_expecting};

const TRACE: &str = r#"{"session_id":"a","timestamp":0,"input_length":40,"output_length":10}
{"session_id":"b","timestamp":5,"text_input":"say \"hi\" to me"}
{"session_id":"a","delay":30,"input_length":12,"output_length":6}
{"session_id":"b","timestamp":200,"text_input":"and now"}
{"session_id":"a","input_length":7,"output_length":3}
{"timestamp":210,"input_length":5,"output_length":2}
"#;

/// The rows of a replay, by session and turn, and its directory.
fn replay(args: &str) -> (Scratch, HashMap<(Option<String>, u32), RequestRow>) {
    let scratch = Scratch::new("sessions");
    let timing = Timing::Constant { ttft_ns: 5 * MILLISECOND_NS, itl_ns: MILLISECOND_NS };
    let server = spawn(&ServeConfig { timing, oracle: true, ..ServeConfig::default() }).unwrap();
    let file = scratch.file("t.jsonl", TRACE);
    run_expecting(
        0,
        &scratch,
        &format!(
            "profile --url {} --model Qwen/Qwen3-32B --random-seed 5 --input-file {} --artifact-dir run {args}",
            server.url(),
            file.display()
        ),
    );
    let oracle = server.finish().unwrap();
    let counted = oracle.by_id();
    let rows = rows(&scratch.path("run"));
    assert_eq!(rows.len(), 6);
    for (row, _) in &rows {
        assert_eq!(row.outcome, Outcome::Completed, "{args} {row:?}");
        assert_eq!(row.input_tokens, counted[row.x_request_id.as_str()].prompt_tokens, "{args} {row:?}");
    }
    (scratch, rows.into_iter().map(|(row, _)| ((row.session_id.clone(), row.turn), row)).collect())
}

#[test]
fn turns_hold_what_was_said_planned_or_really_and_follow_each_other() {
    // The server's own choice of length, where the trace gives none: 256 tokens in a chat, 16 for a completion.
    for (api, unasked) in [("chat", 256), ("completions", 16)] {
        for client in ["--http-client lane", "--http-client hyper"] {
            for streaming in ["--streaming", ""] {
                for (history, reply) in [("planned", 0), ("live", unasked)] {
                    let args = format!("--endpoint-type {api} {client} {streaming} --history {history} --workers 2");
                    let (_scratch, rows) = replay(&args);
                    let of = |session: &str, turn| &rows[&(Some(session.to_string()), turn)];
                    let tokens = |session, turns| (0..turns).map(|t| of(session, t).input_tokens).collect::<Vec<_>>();
                    assert_eq!(tokens("a", 3), [40, 40 + 10 + 12, 62 + 6 + 7], "{args}");
                    assert_eq!(tokens("b", 2), [4, 4 + reply + 2], "{args}");
                    for (session, turn, think_ms) in [("a", 1, 30), ("a", 2, 0), ("b", 1, 0)] {
                        let (before, row) = (of(session, turn - 1), of(session, turn));
                        assert_eq!(row.released_ns, before.end_ns, "{args}");
                        assert!(row.sent_ns >= before.end_ns.map(|t| t + think_ms * MILLISECOND_NS), "{args} {row:?}");
                        assert_eq!(row.worker, before.worker);
                    }
                    let clock = of("b", 1).scheduled_ns - of("b", 0).scheduled_ns;
                    assert!(clock >= 195 * MILLISECOND_NS, "its own clock is later than the end before it");
                }
            }
        }
    }
}

#[test]
fn inputs_hold_each_conversation_once_with_the_bodies_of_its_turns() {
    let scratch = Scratch::new("inputs");
    let rows = TRACE.lines().filter(|line| line.contains("\"b\"")).map(|line| format!("{line}\n")).collect::<String>();
    let file = scratch.file("t.jsonl", &rows);
    run_expecting(0, &scratch, &format!("profile --input-file {} --tp 8 --osl 4 --artifact-dir run", file.display()));
    let inputs: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scratch.path("run/inputs.json")).unwrap()).unwrap();
    let data = inputs["data"].as_array().unwrap();
    assert_eq!((data.len(), &data[0]["session_id"]), (1, &"b".into()));
    let messages = |turn: usize| data[0]["payloads"][turn]["messages"].as_array().unwrap();
    assert_eq!((messages(0).len(), messages(1).len()), (1, 3));
    assert_eq!(messages(1)[0]["content"], "say \"hi\" to me");
    assert_eq!((&messages(1)[1]["role"], &messages(1)[2]["content"]), (&"assistant".into(), &"and now".into()));
}
