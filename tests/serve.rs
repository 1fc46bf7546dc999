//! The simulated server over real sockets, spoken to in raw bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use loadline::rng::Seed;
use loadline::sim::config::ServeConfig;
use loadline::sim::server::{ServerHandle, spawn};
use serde_json::{Value, json};

/// A deployment a hundred times as fast as the real one, so that no test waits long.
fn fast() -> ServeConfig {
    ServeConfig { tp: 4, speedup: 100.0, seed: Seed(3), oracle: true, ..ServeConfig::default() }
}

fn start(config: &ServeConfig) -> ServerHandle {
    spawn(config).expect("a server")
}

/// A connection that speaks HTTP/1.1 as the tests need it, and fails instead of hanging.
struct Wire {
    stream: BufReader<TcpStream>,
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl Wire {
    fn to(server: &ServerHandle) -> Wire {
        let stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Wire { stream: BufReader::new(stream) }
    }

    fn send(&mut self, method: &str, path: &str, extra: &str, body: &str) {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {length}\r\n\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a line without CRLF: {line:?}")).to_owned()
    }

    fn head(&mut self) -> Head {
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { return Head { status, headers } };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// One HTTP chunk; `None` for the last.
    fn chunk(&mut self) -> Option<String> {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes[length..], b"\r\n");
        bytes.truncate(length);
        (length > 0).then(|| String::from_utf8(bytes).unwrap())
    }

    fn chunks(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.chunk()).collect()
    }

    fn whole(&mut self) -> (Head, Value) {
        let head = self.head();
        let mut body = vec![0; head.get("content-length").unwrap().parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        let value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        (head, value)
    }

    fn ask(&mut self, path: &str, body: &Value) -> (Head, Value) {
        self.send("POST", path, "", &body.to_string());
        self.whole()
    }
}

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

fn chat(max_tokens: u32, stream: bool) -> Value {
    json!({
        "model": "Qwen/Qwen3-32B", "stream": stream, "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": "one two three"}],
    })
}

fn event(chunk: &str) -> Value {
    let data = chunk.strip_prefix("data: ").and_then(|c| c.strip_suffix("\n\n"));
    serde_json::from_str(data.unwrap_or_else(|| panic!("no event: {chunk:?}"))).unwrap()
}

#[test]
fn a_chat_stream_is_a_role_a_chunk_per_token_usage_and_done() {
    let server = start(&fast());
    let mut wire = Wire::to(&server);
    let mut body = chat(5, true);
    body["stream_options"] = json!({"include_usage": true});
    wire.send("POST", CHAT, "X-Request-Id: r-1\r\n", &body.to_string());
    let head = wire.head();
    assert_eq!(head.status, 200);
    assert_eq!(head.get("transfer-encoding"), Some("chunked"));
    assert!(head.get("content-type").unwrap().starts_with("text/event-stream"));
    assert_eq!(head.get("x-request-id"), Some("r-1"));
    let mut chunks = wire.chunks();
    assert_eq!(chunks.pop().unwrap(), "data: [DONE]\n\n");
    let events: Vec<Value> = chunks.iter().map(|c| event(c)).collect();
    let choice = |i: usize| &events[i]["choices"][0];
    assert_eq!(events.len(), 1 + 5 + 1);
    assert_eq!(choice(0)["delta"], json!({"role": "assistant", "content": ""}));
    assert!((1..6).all(|i| choice(i)["delta"]["content"].as_str().unwrap().split_whitespace().count() == 1));
    assert!((0..5).all(|i| choice(i)["finish_reason"].is_null()));
    assert_eq!(choice(5)["finish_reason"], "length");
    assert_eq!(events[6]["choices"], json!([]));
    assert_eq!(events[6]["usage"]["prompt_tokens"], 3);
    assert_eq!(events[6]["usage"]["completion_tokens"], 5);
    assert!(events.iter().all(|e| e["id"] == events[0]["id"] && e["model"] == "Qwen/Qwen3-32B"));
}

#[test]
fn a_completion_stream_has_no_role_and_no_unasked_usage() {
    let server = start(&fast());
    let mut wire = Wire::to(&server);
    wire.send("POST", COMPLETIONS, "", &json!({"prompt": [1, 2, 3], "stream": true, "max_tokens": 2}).to_string());
    assert_eq!(wire.head().status, 200);
    let chunks = wire.chunks();
    assert_eq!(chunks.len(), 3);
    assert_eq!(event(&chunks[0])["object"], "text_completion");
    assert_eq!(event(&chunks[0])["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(event(&chunks[1])["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[2], "data: [DONE]\n\n");
}

#[test]
fn an_answer_in_one_piece_counts_what_it_says_and_the_connection_is_reused() {
    let mut server = start(&fast());
    let mut wire = Wire::to(&server);
    let (head, answer) = wire.ask(CHAT, &chat(12, false));
    assert_eq!((head.status, head.get("content-type")), (200, Some("application/json")));
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text.split_whitespace().count(), 12);
    assert_eq!(answer["usage"]["total_tokens"], 15);
    let (_, answer) = wire.ask(COMPLETIONS, &json!({"prompt": "a b"}));
    assert_eq!(answer["choices"][0]["text"].as_str().unwrap().split_whitespace().count(), 16);
    wire.send("POST", CHAT, "", &chat(3, true).to_string());
    assert_eq!(wire.head().status, 200);
    assert_eq!(wire.chunks().len(), 5);
    let (head, models) = {
        wire.send("GET", "/v1/models", "", "");
        wire.whole()
    };
    assert_eq!((head.status, &models["data"][0]["id"]), (200, &json!("Qwen/Qwen3-32B")));
    // openai's client encodes the name, people do not.
    for name in ["Qwen%2FQwen3-32B", "Qwen/Qwen3-32B"] {
        wire.send("GET", &format!("/v1/models/{name}"), "", "");
        assert_eq!(wire.whole().1["id"], models["data"][0]["id"]);
    }
    wire.send("GET", "/health", "", "");
    assert_eq!(wire.whole().0.status, 200);
    server.shutdown().unwrap();
    let counts = server.counts();
    assert_eq!((counts.requests, counts.completions, counts.cancelled, counts.events), (3, 3, 0, 5));
}

#[test]
fn errors_have_a_status_and_openais_body() {
    let server = start(&ServeConfig { max_model_len: 50, ..fast() });
    let mut wire = Wire::to(&server);
    let mut check = |method: &str, path: &str, body: &str, status: u16, says: &str| {
        wire.send(method, path, "", body);
        let (head, answer) = wire.whole();
        let error = &answer["error"];
        assert_eq!((head.status, error["code"].as_u64()), (status, Some(u64::from(status))), "{answer}");
        assert!(error["message"].as_str().unwrap().contains(says), "{answer}");
        assert!(error["type"].is_string() && error.get("param").is_some(), "{answer}");
        head
    };
    check("POST", CHAT, "{\"messages\":", 400, "cannot be read");
    check("POST", CHAT, "{}", 400, "messages");
    let mut unknown = chat(5, true);
    unknown["model"] = json!("gpt-5");
    check("POST", CHAT, &unknown.to_string(), 404, "`gpt-5` does not exist");
    check("POST", CHAT, &chat(48, true).to_string(), 400, "maximum context length is 50");
    check("POST", "/v1/images/generations", "{}", 404, "/v1/images/generations");
    check("GET", "/v1/models/gpt-5", "", 404, "`gpt-5` does not exist");
    let head = check("GET", CHAT, "", 405, "takes POST");
    assert_eq!(head.get("allow"), Some("POST"));
    assert_eq!(check("DELETE", "/health", "", 405, "takes GET").get("allow"), Some("GET"));
    for (field, value, says) in [
        ("temperature", json!(-1), "temperature must be non-negative, got -1."),
        ("top_p", json!(1.5), "top_p must be in (0, 1], got 1.5."),
        ("min_tokens", json!(6), "min_tokens must be less than or equal to max_tokens=5, got 6."),
    ] {
        let mut body = chat(5, true);
        body[field] = value;
        check("POST", CHAT, &body.to_string(), 400, says);
    }
    assert_eq!(server.counts().refused, 7);
    // A body that is too large is refused by its announced length, before it is sent.
    let mut wire = Wire::to(&server);
    let request = format!("POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", (64 << 20) + 1);
    wire.stream.get_mut().write_all(request.as_bytes()).unwrap();
    assert_eq!(wire.whole().0.status, 413);
}

#[test]
fn the_server_says_what_an_event_costs_it() {
    let mut server = start(&fast());
    let mut wire = Wire::to(&server);
    wire.send("POST", CHAT, "", &chat(50, true).to_string());
    wire.head();
    assert_eq!(wire.chunks().len(), 52);
    wire.send("GET", "/metrics", "", "");
    let head = wire.head();
    let mut text = vec![0; head.get("content-length").unwrap().parse().unwrap()];
    wire.stream.read_exact(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (cpu_s, each_s) = (value("loadline:cpu_seconds_total"), value("loadline:cpu_seconds_per_event"));
    assert_eq!(value("loadline:events_total"), 52.0);
    assert!(cpu_s > 0.0 && (each_s * 52.0 / cpu_s - 1.0).abs() < 1e-9, "{cpu_s} {each_s}");
    assert!(server.shutdown().unwrap().cpu_ns as f64 / 1e9 >= cpu_s);
}

#[test]
fn a_stop_tells_what_was_served_and_what_it_cost() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loadline"));
    command.args(["serve", "--port", "0", "--speedup", "100"]).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).unwrap().split(';').next().unwrap();
    let mut wire = Wire { stream: BufReader::new(TcpStream::connect(address).unwrap()) };
    wire.send("POST", CHAT, "", &chat(5, true).to_string());
    wire.head();
    assert_eq!(wire.chunks().len(), 7);
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success() && child.wait().unwrap().success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("served 1 requests and 7 events in ") && rest.contains("µs of CPU time per event"), "{rest}");
}

#[test]
fn tokenize_counts_as_answers_do_and_its_ids_are_the_same_prompt() {
    let server = start(&fast());
    let mut wire = Wire::to(&server);
    let text = "ship deck keel mast sail tide wind port star cargo draft ".repeat(12);
    let (head, said) = wire.ask("/tokenize", &json!({"model": "Qwen/Qwen3-32B", "prompt": text}));
    assert_eq!((head.status, &said["count"], &said["max_model_len"]), (200, &json!(132), &json!(262_144)));
    let usage = |wire: &mut Wire, prompt: &Value| {
        wire.ask(COMPLETIONS, &json!({"prompt": prompt, "max_tokens": 1})).1["usage"].clone()
    };
    assert_eq!(usage(&mut wire, &json!(text))["prompt_tokens"], said["count"]);
    let again = usage(&mut wire, &said["tokens"]);
    assert_eq!(again["prompt_tokens_details"]["cached_tokens"], 128, "the ids find the blocks of the text");
    let (_, chat) = wire.ask("/tokenize", &chat(1, false));
    assert_eq!((&chat["count"], chat["tokens"].as_array().unwrap().len()), (&json!(3), 3));
    let (_, back) = wire.ask("/detokenize", &json!({"tokens": chat["tokens"]}));
    assert_eq!(back, json!({"prompt": "one two three"}));
    let (head, bad) = wire.ask("/tokenize", &json!({"text": "a"}));
    assert_eq!((head.status, &bad["error"]["param"]), (400, &json!("prompt")));
    let (head, bad) = wire.ask("/detokenize", &json!({"model": "gpt-5", "tokens": [1]}));
    assert_eq!((head.status, &bad["error"]["type"]), (404, &json!("NotFoundError")));
    wire.send("GET", "/tokenize", "", "");
    assert_eq!(wire.whole().0.get("allow"), Some("POST"));
}

#[test]
fn a_client_that_goes_away_frees_its_place() {
    for stream in [true, false] {
        let mut server = start(&ServeConfig { max_num_seqs: 1, speedup: 10.0, ..fast() });
        // A quarter of a million tokens take minutes: who waits for them fails.
        let mut first = Wire::to(&server);
        first.send("POST", CHAT, "", &chat(250_000, stream).to_string());
        while server.counts().requests == 0 {
            std::thread::yield_now();
        }
        if stream {
            assert_eq!(first.head().status, 200);
            first.chunk().unwrap();
        }
        let mut second = Wire::to(&server);
        second.send("POST", CHAT, "", &chat(3, true).to_string());
        assert_eq!(second.head().status, 200, "the head comes before the first token");
        drop(first);
        assert_eq!(second.chunks().len(), 5);
        server.shutdown().unwrap();
        let counts = server.counts();
        assert_eq!((counts.requests, counts.completions, counts.cancelled), (2, 1, 1), "stream: {stream}");
    }
}

#[test]
fn sixty_four_streams_at_once_conserve_every_token() {
    let server = start(&ServeConfig { max_num_seqs: 48, ..fast() });
    let received: Vec<(String, usize)> = std::thread::scope(|scope| {
        let ask = |i: u32| {
            let mut wire = Wire::to(&server);
            wire.send("POST", CHAT, &format!("X-Request-Id: r-{i}\r\n"), &chat(20 + i, true).to_string());
            assert_eq!(wire.head().status, 200);
            (format!("r-{i}"), wire.chunks().len())
        };
        let clients: Vec<_> = (0..64).map(|i| scope.spawn(move || ask(i))).collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    let wanted: usize = (0..64).map(|i| 20 + i + 2).sum();
    assert_eq!(received.iter().map(|(_, n)| n).sum::<usize>(), wanted);
    let counts = server.counts();
    assert_eq!((counts.requests, counts.completions, counts.events), (64, 64, wanted as u64));
    let oracle = server.finish().unwrap();
    let by_id = oracle.by_id();
    assert_eq!((by_id.len(), oracle.lost), (64, 0));
    for (id, events) in &received {
        let request = by_id[id.as_str()];
        assert_eq!(request.events_ns.len(), *events, "{id}");
        assert!(request.events_ns.is_sorted() && request.events_ns[0] > request.received_ns, "{id}");
        assert_eq!(request.output_tokens as usize + 2, *events, "{id}");
    }
}

#[test]
fn a_stop_lets_a_short_answer_end_and_cuts_a_long_one() {
    let server = start(&fast());
    let mut long = Wire::to(&server);
    long.send("POST", CHAT, "X-Request-Id: long\r\n", &chat(250_000, true).to_string());
    assert_eq!(long.head().status, 200);
    long.chunk().unwrap();
    let address = server.addr();
    let oracle = server.finish().unwrap();
    assert!(!oracle.by_id()["long"].events_ns.is_empty());
    let mut rest = Vec::new();
    // Either a clean end of the connection or a reset: what matters is that it ends without [DONE].
    let _ = long.stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n"));
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
}

#[test]
fn a_configuration_that_cannot_be_is_refused_before_anything_listens() {
    let refused = |config: ServeConfig| spawn(&config).unwrap_err().to_string();
    assert!(refused(ServeConfig { model: "gpt-5".into(), ..fast() }).contains("Qwen/Qwen3-32B"));
    assert!(refused(ServeConfig { gpu: "tpu".into(), ..fast() }).contains("h200_sxm"));
    assert!(refused(ServeConfig { tp: 3, ..fast() }).contains("1, 2, 4 or 8"));
    let too_big = ServeConfig { model: "Llama-3.1-70B".into(), gpu: "h100_sxm".into(), tp: 1, ..fast() };
    assert!(refused(too_big).contains("does not fit"));
    assert!(refused(ServeConfig { core: Some(1 << 20), ..fast() }).contains("core"));
    let taken = start(&fast());
    assert!(refused(ServeConfig { port: taken.addr().port(), ..fast() }).contains("--port"));
}

#[test]
fn tokens_leave_when_the_gpu_would_have_made_them_and_lateness_does_not_add_up() {
    use loadline::profiler::backend::Backend;
    use loadline::profiler::cost::{CostModel, StepLoad};
    use loadline::profiler::{gpu, model};

    let server = start(&ServeConfig { speedup: 10.0, ..fast() });
    let mut wire = Wire::to(&server);
    wire.send(
        "POST",
        COMPLETIONS,
        "",
        &json!({"prompt": "w ".repeat(2048), "max_tokens": 200, "stream": true}).to_string(),
    );
    assert_eq!(wire.head().status, 200);
    assert_eq!(wire.chunks().len(), 201);
    let oracle = server.finish().unwrap();
    let request = &oracle.requests[0];

    let (shape, h200) = (model::lookup("Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
    let cost = CostModel::new(shape, h200, Backend::Vllm, 4).unwrap();
    let mut due_ns = request.received_ns as f64;
    let mut late_ns = Vec::new();
    for (i, sent_ns) in request.events_ns[..200].iter().enumerate() {
        let load = if i == 0 { StepLoad::prefill(1, 2048) } else { StepLoad::decode(1, 2048 + i as u32) };
        due_ns += cost.step_s(&load) * 1e9 / 10.0;
        late_ns.push(*sent_ns as f64 - due_ns);
    }
    // Each step is rounded to a nanosecond.
    assert!(late_ns.iter().all(|late| *late > -200.0), "a token left early: {late_ns:?}");
    // Half a millisecond of drift per token would add up to 100 ms; what one wake-up is late does not.
    late_ns.sort_by(f64::total_cmp);
    assert!(late_ns[100] < 10e6, "half of the tokens left more than {} ns late", late_ns[100]);
}
