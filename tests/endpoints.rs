//! The APIs beside chats and completions, over sockets: what is sent is what they take, and every token and count is seen.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use loadline::outcome::{EventKind, Outcome};
use serde_json::Value;
use support::{Scratch, Scripted, chunked, rows, run_expecting};

#[test]
fn responses_and_messages_are_spoken_in_streams_and_in_one_piece() {
    let scratch = Scratch::new("typed");
    for (endpoint, reason) in [("responses", "max_output_tokens"), ("messages", "max_tokens")] {
        for streaming in ["--streaming", ""] {
            let dir = format!("{endpoint}{streaming}");
            let line = format!(
                "profile --tp 8 --endpoint-type {endpoint} {streaming} --concurrency 2 --request-count 6 --isl 40 --osl 7 --artifact-dir {dir}"
            );
            run_expecting(0, &scratch, &line);
            for (row, tokens) in rows(&scratch.path(&dir)) {
                assert_eq!((row.outcome, row.error.as_deref()), (Outcome::Completed, None), "{dir}");
                assert_eq!((row.prompt_tokens, row.output_tokens), (Some(40), Some(7)), "{dir}");
                assert_eq!(row.finish_reason.as_deref(), Some(reason), "{dir}");
                let content = tokens.iter().filter(|t| t.kind == EventKind::Output).count();
                assert_eq!(content, if streaming.is_empty() { 0 } else { 7 }, "{dir}");
                assert_eq!(row.first_token_ns.is_some(), !streaming.is_empty(), "{dir}");
            }
        }
    }
}

#[test]
fn conversations_are_messages_in_every_api_that_has_some() {
    let scratch = Scratch::new("typed-sessions");
    let rows_of = "{\"session_id\":\"a\",\"input_length\":20,\"output_length\":3}\n".repeat(3);
    let file = scratch.file("t.jsonl", &rows_of);
    for endpoint in ["responses", "messages"] {
        let line = format!(
            "profile --tp 8 --endpoint-type {endpoint} --streaming --history live --input-file {} --artifact-dir {endpoint}",
            file.display()
        );
        run_expecting(0, &scratch, &line);
        let seen: Vec<_> = rows(&scratch.path(endpoint)).iter().map(|(r, _)| r.prompt_tokens).collect();
        // Each turn holds the ones before it and their answers of three tokens.
        assert_eq!(seen, [Some(20), Some(43), Some(66)], "{endpoint}");
    }
}

#[test]
fn embeddings_have_latencies_and_prompts_and_no_tokens() {
    let scratch = Scratch::new("embeddings");
    let line =
        "profile --tp 8 --endpoint-type embeddings --concurrency 2 --request-count 9 --isl 30 --artifact-dir run";
    run_expecting(0, &scratch, line);
    for (row, tokens) in rows(&scratch.path("run")) {
        assert_eq!((row.outcome, row.prompt_tokens, row.output_tokens), (Outcome::Completed, Some(30), None));
        assert!(tokens.is_empty() && row.first_token_ns.is_none());
    }
    let artifact = std::fs::read_to_string(scratch.path("run/profile_export_aiperf.json")).unwrap();
    let artifact: Value = serde_json::from_str(&artifact).unwrap();
    assert_eq!(
        (&artifact["request_count"]["avg"], &artifact["input_sequence_length"]["avg"]),
        (&9.0.into(), &30.0.into())
    );
    assert!(artifact["request_latency"]["p99"].as_f64().unwrap() > 0.0);
    for absent in ["time_to_first_token", "inter_token_latency", "output_sequence_length", "output_token_throughput"] {
        assert!(artifact.get(absent).is_none(), "{absent}: {}", artifact[absent]);
    }
}

#[test]
fn an_error_inside_a_response_is_an_error_and_an_answer_without_vectors_none() {
    let scratch = Scratch::new("typed-errors");
    let token =
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n";
    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"boom\"}}}\n\n";
    let cases = [
        ("responses --streaming", chunked("text/event-stream", &[token, failed]), Outcome::StreamError, "boom"),
        ("responses --streaming", chunked("text/event-stream", &[token]), Outcome::Truncated, "finish reason"),
        ("embeddings", chunked("application/json", &["{\"data\":[]}"]), Outcome::ProtocolError, "no output"),
    ];
    for (n, (endpoint, answer, outcome, text)) in cases.into_iter().enumerate() {
        let server = Scripted::start(answer, true);
        let line = format!(
            "profile --url {} --model m --endpoint-type {endpoint} --request-count 1 --isl 5 --osl 2 --artifact-dir run{n}",
            server.url()
        );
        run_expecting(0, &scratch, &line);
        let (row, _) = &rows(&scratch.path(&format!("run{n}")))[0];
        assert_eq!(row.outcome, outcome, "{endpoint}: {:?}", row.error);
        assert!(row.error.as_deref().unwrap_or("").contains(text), "{endpoint}: {:?}", row.error);
    }
}

#[test]
fn rerankers_get_a_query_and_passages_of_their_tokens_and_answer_with_scores() {
    let scratch = Scratch::new("rankings");
    for (endpoint, counts) in [("cohere_rankings", true), ("hf-tei-rankings", false), ("nim_rankings", true)] {
        let line = format!(
            "profile --tp 8 --endpoint-type {endpoint} --concurrency 2 --request-count 6 --rankings-passages-mean 3 \
             --rankings-passages-prompt-token-mean 20 --rankings-query-prompt-token-mean 7 --artifact-dir {endpoint}"
        );
        run_expecting(0, &scratch, &line);
        for (row, tokens) in rows(&scratch.path(endpoint)) {
            assert_eq!((row.outcome, row.error.as_deref()), (Outcome::Completed, None), "{endpoint}");
            // TEI tells no usage.
            assert_eq!((row.input_tokens, row.prompt_tokens), (67, counts.then_some(67)), "{endpoint}");
            assert!(tokens.is_empty() && row.first_token_ns.is_none() && row.output_tokens.is_none());
        }
        let sent = json(&scratch, &format!("{endpoint}/inputs.json"));
        assert_eq!(sent["data"].as_array().map(Vec::len), Some(6));
        let source = &json(&scratch, &format!("{endpoint}/run.json"))["config"]["source"];
        assert_eq!((&source["input_tokens_mean"], &source["texts"]["count_mean"]), (&67.0.into(), &3.0.into()));
    }
}

#[test]
fn a_batch_to_embed_is_a_list_of_texts_of_the_length_that_was_asked() {
    let scratch = Scratch::new("batch");
    let line = "profile --tp 8 --endpoint-type embeddings -b 4 --request-count 5 --isl 30 --artifact-dir run";
    run_expecting(0, &scratch, line);
    for (row, _) in rows(&scratch.path("run")) {
        assert_eq!((row.outcome, row.input_tokens, row.prompt_tokens), (Outcome::Completed, 120, Some(120)));
    }
    let sent = json(&scratch, "run/inputs.json");
    let texts = sent["data"][0]["payloads"][0]["input"].as_array().unwrap();
    let words: Vec<usize> = texts.iter().map(|t| t.as_str().unwrap().split_whitespace().count()).collect();
    assert_eq!(words, [30; 4]);
}

fn json(scratch: &Scratch, path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(scratch.path(path)).unwrap()).unwrap()
}
