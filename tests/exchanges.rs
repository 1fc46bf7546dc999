//! What was sent and what came back, in aiperf's files and from the recording alone.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashMap;

use serde_json::Value;
use support::{Scratch, Scripted, chunked, rows, run_expecting};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn raw_records_hold_bodies_and_events_with_the_times_of_the_recording() {
    let scratch = Scratch::new("raw");
    let sessions = "{\"session_id\":\"a\",\"input_length\":20,\"output_length\":3}\n".repeat(3);
    let file = scratch.file("t.jsonl", &sessions);
    let line = format!(
        "profile --tp 8 --streaming --history live --input-file {} --export-level raw --export-outputs-json --api-key s3cret \
         --header X-Team:blue --header X-My-Token:s3cret --workers 1 --artifact-dir run",
        file.display()
    );
    run_expecting(0, &scratch, &line);
    let text = std::fs::read_to_string(scratch.path("run/profile_export_raw.jsonl")).unwrap();
    assert!(!text.contains("s3cret") && text.contains("\"Authorization\":\"<redacted>\""), "{text}");
    let raw = lines(&text);
    let recorded: HashMap<u64, _> =
        rows(&scratch.path("run")).into_iter().map(|(row, tokens)| (row.request_id, (row, tokens))).collect();
    assert_eq!(raw.len(), 3);
    let mut history: Vec<String> = Vec::new();
    for record in &raw {
        let id = record["metadata"]["session_num"].as_u64().unwrap();
        let (row, tokens) = &recorded[&id];
        assert_eq!((record["start_perf_ns"].as_i64(), record["status"].as_u64()), (row.sent_ns, Some(200)));
        assert_eq!(record["request_headers"]["X-Team"], "blue");
        assert_eq!(row.bytes_sent, record["payload"].to_string().len() as u64);
        assert_eq!((row.writes, row.reads), (1, tokens.last().unwrap().read + 1));
        assert_eq!(row.dialed_ns.is_some(), row.connected_ns.is_some());
        assert!(row.dialed_ns <= row.connected_ns && (id > 0 || row.dialed_ns >= Some(row.scheduled_ns)), "{row:?}");
        let events = record["responses"].as_array().unwrap();
        let times: Vec<_> = events.iter().map(|e| e["perf_ns"].as_i64().unwrap()).collect();
        assert_eq!(times, tokens.iter().map(|t| t.kernel_ns.unwrap_or(t.t_ns)).collect::<Vec<_>>());
        let data: Vec<&str> = events.iter().map(|e| e["packets"][0]["value"].as_str().unwrap()).collect();
        assert_eq!(
            data.iter().map(|d| d.len() as u32).collect::<Vec<_>>(),
            tokens.iter().map(|t| t.bytes).collect::<Vec<_>>()
        );
        // The body holds the server's own answers to the turns before it.
        let messages = record["payload"]["messages"].as_array().unwrap();
        let answers = messages.iter().filter(|m| m["role"] == "assistant").map(|m| m["content"].as_str().unwrap());
        assert_eq!(answers.collect::<Vec<_>>(), history);
        let deltas = data.iter().filter_map(|d| serde_json::from_str::<Value>(d).ok());
        let said = deltas.filter_map(|d| Some(d["choices"][0]["delta"]["content"].as_str()?.to_owned()));
        history.push(said.collect());
    }
    let outputs: Value =
        serde_json::from_str(&std::fs::read_to_string(scratch.path("run/outputs.json")).unwrap()).unwrap();
    let texts: Vec<_> =
        outputs["data"].as_array().unwrap().iter().map(|e| e["response_text"].as_str().unwrap()).collect();
    assert_eq!(texts, history);
    assert_eq!(outputs["data"][2]["metrics"]["output_sequence_length"], 3);
    // From the recording alone, the same bytes.
    run_expecting(0, &scratch, "report run --output-dir again");
    for name in ["profile_export_raw.jsonl", "outputs.json"] {
        let of = |dir: &str| std::fs::read(scratch.path(dir).join(name)).unwrap();
        assert!(of("run") == of("again"), "{name}");
    }
    // The next run in the same directory is asked for less.
    run_expecting(0, &scratch, "profile --tp 8 --request-count 2 --isl 10 --osl 2 --artifact-dir run");
    for gone in ["profile_export_raw.jsonl", "outputs.json", "exchanges.bin"] {
        assert!(!scratch.path("run").join(gone).exists(), "{gone}");
    }
}

#[test]
fn documents_error_pages_and_named_events_are_kept_as_they_came() {
    let scratch = Scratch::new("raw-kinds");
    let named =
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n";
    let document = "{\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}";
    let ok = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{document}",
        document.len()
    );
    let busy = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy".to_string();
    let page = |text: &str| serde_json::json!([text]);
    for (flags, answer, said, expected) in [
        ("--endpoint-type chat", ok.into_bytes(), Some("hi"), page(document)),
        ("--endpoint-type chat", busy.into_bytes(), None, page("busy")),
        (
            "--endpoint-type responses --streaming",
            chunked("text/event-stream", &[named]),
            Some("a"),
            serde_json::json!(["response.output_text.delta"]),
        ),
    ] {
        let server = Scripted::start(answer, false);
        let line = format!(
            "profile --url {} --model m {flags} --request-count 1 --isl 5 --osl 2 --no-server-metrics --export-level raw \
             --export-outputs-json --profile-export-prefix foo --artifact-dir run",
            server.url()
        );
        run_expecting(0, &scratch, &line);
        let raw = lines(&std::fs::read_to_string(scratch.path("run/foo_raw.jsonl")).unwrap());
        let responses = raw[0]["responses"].as_array().unwrap();
        let seen: Vec<_> =
            responses.iter().map(|r| r.get("text").unwrap_or(&r["packets"][0]["value"]).clone()).collect();
        assert_eq!(Value::from(seen), expected, "{flags}");
        assert_eq!(raw[0]["payload"]["model"], "m");
        let outputs = std::fs::read_to_string(scratch.path("run/outputs.json")).unwrap();
        let outputs: Value = serde_json::from_str(&outputs).unwrap();
        assert_eq!(outputs["data"][0]["response_text"].as_str(), said, "{flags}");
    }
}

/// The artifact of a run against a server that says just this.
fn summary(scratch: &Scratch, server: &Scripted, flags: &str) -> Value {
    let line = format!(
        "profile --url {} --model m --streaming {flags} --request-count 1 --isl 5 --osl 9 --no-server-metrics --artifact-dir run",
        server.url()
    );
    run_expecting(0, scratch, &line);
    serde_json::from_str(&std::fs::read_to_string(scratch.path("run/profile_export_aiperf.json")).unwrap()).unwrap()
}

#[test]
fn tokens_of_the_first_event_are_no_gaps_and_without_usage_there_is_no_count() {
    let scratch = Scratch::new("chunk-usage");
    let event = |text: &str, usage: u32| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}],\
             \"usage\":{{\"prompt_tokens\":6,\"completion_tokens\":{usage}}}}}\n\n"
        )
    };
    let pieces = [event("a b c", 3), event("d", 4), event("e f g h i", 9), "data: [DONE]\n\n".into()];
    let server = Scripted::start(chunked("text/event-stream", &pieces.each_ref().map(String::as_str)), false);
    for (flags, gaps) in
        [("", 8.0), ("--use-server-token-count", 8.0), ("--use-server-token-count --per-chunk-usage", 6.0)]
    {
        let summary = summary(&scratch, &server, flags);
        let metric = |name: &str| summary[name]["avg"].as_f64().unwrap();
        assert_eq!((metric("output_sequence_length"), metric("input_sequence_length")), (9.0, 6.0), "{flags}");
        let decode = metric("request_latency") - metric("time_to_first_token");
        assert!((metric("inter_token_latency") * gaps - decode).abs() < 1e-6, "{flags}");
    }
    let tokens: Vec<_> = rows(&scratch.path("run"))[0].1.iter().map(|t| t.tokens).collect();
    assert_eq!(tokens, [Some(3), Some(1), Some(5), None]);
    let silent = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    let server = Scripted::start(chunked("text/event-stream", &[silent]), false);
    for (flags, counted) in [("", true), ("--use-server-token-count", false)] {
        let summary = summary(&scratch, &server, flags);
        assert_eq!(summary["request_count"]["avg"], 1.0);
        for name in ["output_sequence_length", "input_sequence_length", "output_token_throughput"] {
            assert_eq!(summary.get(name).is_some(), counted, "{name} {flags}");
        }
    }
    run_expecting(2, &scratch, "profile --streaming --per-chunk-usage --request-count 1");
}

#[test]
fn a_simulated_server_tells_its_usage_in_every_event_where_it_is_asked_to() {
    let scratch = Scratch::new("continuous");
    for simulate in ["", "--simulate"] {
        let line = format!(
            "profile --tp 8 {simulate} --streaming --per-chunk-usage --use-server-token-count --request-count 3 --isl 10 --osl 4 \
             --artifact-dir run{simulate}"
        );
        run_expecting(0, &scratch, &line);
        for (row, tokens) in rows(&scratch.path(&format!("run{simulate}"))) {
            assert_eq!((row.prompt_tokens, row.output_tokens), (Some(10), Some(4)));
            let counted: Vec<_> = tokens.iter().filter(|t| t.kind.is_content()).map(|t| t.tokens).collect();
            assert_eq!(counted, [Some(1); 4], "{simulate}");
        }
    }
}
