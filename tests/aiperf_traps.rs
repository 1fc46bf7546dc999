//! What programs that expect aiperf's runs trip over: the heads of requests, the metrics that a kind of run must not have, and
//! where files lie. Numbers and files are compared in `aiperf_artifacts`, bodies in `endpoint`, offsets and pools in `dataset`,
//! warm-ups in `bounds`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;
use support::{Scratch, rows, run_expecting};

/// A server that gives on the heads of the requests that it is sent, in lower case; its address, and the heads.
fn listener(answer: String) -> (String, Receiver<Vec<String>>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let (heard, heads) = channel();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let heard = heard.clone();
            let answer = answer.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &answer, &heard));
        }
    });
    (address, heads)
}

fn serve(mut stream: TcpStream, answer: &str, heard: &Sender<Vec<String>>) {
    let mut input = BufReader::new(stream.try_clone().unwrap());
    loop {
        let lines = input.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let head: Vec<String> = lines.map(|line| line.to_lowercase()).collect();
        let Some(length) = head.iter().find_map(|line| line.strip_prefix("content-length: ")) else { return };
        let mut body = vec![0; length.parse().unwrap()];
        if input.read_exact(&mut body).is_err() || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
        let _ = heard.send(head);
    }
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn a_request_says_who_it_is_of_and_what_it_takes_for_an_answer() {
    let answer = |kind: &str, body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let document = "{\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}";
    let stream = answer("text/event-stream", &format!("data: {document}\n\ndata: [DONE]\n\n"));
    let document = answer("application/json", document);
    for (streaming, answer, accepts) in
        [("--streaming", stream, "text/event-stream"), ("", document, "application/json")]
    {
        let scratch = Scratch::new("traps-heads");
        let (address, heads) = listener(answer);
        let line = format!(
            "profile --url {address} --model m --endpoint-type completions {streaming} --num-conversations 2 \
             --conversation-turn-mean 2 --isl 5 --osl 1 --concurrency 1 --no-server-metrics --request-timeout-seconds 9 --artifact-dir run"
        );
        run_expecting(0, &scratch, &line);
        let mut heads: Vec<Vec<String>> = heads.try_iter().collect();
        // Two threads of the server may tell of two requests in either order.
        heads.sort_unstable_by_key(|head| header(head, "x-request-id").map(str::to_owned));
        assert_eq!(heads.len(), 4);
        let recorded = rows(&scratch.path("run"));
        for (head, (row, _)) in heads.iter().zip(&recorded) {
            assert_eq!(head[0], "post /v1/completions http/1.1");
            assert_eq!(header(head, "x-request-id"), Some(row.x_request_id.as_str()));
            let session = row.session_id.as_deref();
            assert_eq!(header(head, "x-correlation-id"), session, "turns of a conversation bear its name");
            assert_eq!(header(head, "x-session-affinity"), session);
            assert_eq!((header(head, "accept"), header(head, "accept-encoding")), (Some(accepts), Some("identity")));
            assert_eq!(header(head, "content-type"), Some("application/json"));
            assert!(header(head, "user-agent").is_some_and(|agent| agent.starts_with("loadline/")), "{head:?}");
        }
    }
}

/// The metrics of a small simulated run.
fn metrics_of(scratch: &Scratch, flags: &str) -> Value {
    let line = format!("profile --simulate --isl 20 --concurrency 2 --request-count 4 --artifact-dir run {flags}");
    run_expecting(0, scratch, &line);
    let text = std::fs::read_to_string(scratch.path("run/profile_export_aiperf.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_was_not_seen_is_no_metric() {
    let of_streams = [
        "time_to_first_token",
        "time_to_second_token",
        "time_to_first_output_token",
        "inter_token_latency",
        "inter_chunk_latency",
        "output_token_throughput_per_user",
        "prefill_throughput_per_user",
        "decode_duration",
    ];
    let scratch = Scratch::new("traps-metrics");
    let streamed = metrics_of(&scratch, "--osl 3 --streaming");
    let whole = metrics_of(&scratch, "--osl 3");
    for name in of_streams {
        assert!(streamed.get(name).is_some() && whole.get(name).is_none(), "{name}");
    }
    for name in ["request_latency", "output_sequence_length", "e2e_output_token_throughput", "http_req_duration"] {
        assert!(whole.get(name).is_some(), "{name}");
    }
    assert_eq!(streamed["request_latency"]["count"], 4);
    let single = metrics_of(&scratch, "--osl 1 --streaming");
    assert_eq!(single["decode_duration"]["max"], 0.0, "a single token takes no time to decode");
    for name in ["inter_token_latency", "inter_chunk_latency", "time_to_second_token"] {
        assert!(single.get(name).is_none(), "a single token has no {name}");
    }
}

#[test]
fn a_run_has_a_folder_of_its_own_unless_it_is_given_one_and_a_trace_with_times_keeps_them() {
    let scratch = Scratch::new("traps-folders");
    let rows = "{\"timestamp\": 5, \"input_length\": 9, \"output_length\": 2}\n".repeat(2);
    scratch.file("t.jsonl", &rows);
    let run = |flags: &str| run_expecting(0, &scratch, &format!("profile --simulate --streaming {flags}"));
    run("--isl 9 --osl 2 --request-count 2 --concurrency 4");
    run("--isl 9 --osl 2 --request-count 2 --request-rate 40");
    run("--input-file t.jsonl");
    run("--input-file t.jsonl --no-fixed-schedule --concurrency 2");
    scratch.file("texts.jsonl", "{\"text\": \"hello\"}\n{\"text\": \"again\"}\n");
    run("--input-file texts.jsonl --custom-dataset-type single_turn --concurrency 3 --osl 2");
    run("--isl 9 --osl 2 --request-count 2 --artifact-dir given");
    let mut names: Vec<String> = std::fs::read_dir(scratch.path("artifacts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let name = |load: &str| format!("Qwen_Qwen3-32B-openai-chat-{load}");
    assert_eq!(names, ["concurrency2", "concurrency3", "concurrency4", "fixed_schedule", "request_rate40.0"].map(name));
    for file in ["profile_export_aiperf.json", "profile_export_aiperf.csv", "profile_export.jsonl"] {
        assert!(scratch.path("given").join(file).is_file(), "{file}");
        assert!(scratch.path("artifacts").join(&names[3]).join(file).is_file(), "{file}");
    }
}
