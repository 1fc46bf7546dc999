//! Whole runs over every protocol that can be spoken: HTTP/2 in the clear and by ALPN, TLS, unix sockets, IPv6, chosen
//! local addresses; and over what peers do to them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/peer.rs"]
mod peer;
#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use loadline::outcome::Outcome;
use loadline::record::manifest::Manifest;
use loadline::record::row::RequestRow;
use loadline::sim::config::ServeConfig;
use loadline::sim::server::spawn;
use loadline::sim::tls::TlsFiles;
use peer::{Fate, Peer, Script, tls_server};
use support::{Scratch, rows, run, run_expecting};

const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" tok\"},\"finish_reason\":null}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ANSWER: [&str; 5] = [TOKEN, TOKEN, TOKEN, FINISH, DONE];
/// One worker, so that what is said of a connection holds for the run.
const PROFILE: &str = "profile --model m --streaming --isl 3 --artifact-dir run --workers 1 --no-server-metrics";

/// Every way in which a request can be sent, with whether it is HTTP/2.
const WAYS: [(bool, &str); 3] = [(true, "--http-version 2"), (false, CLIENTS[0]), (false, CLIENTS[1])];
/// Who speaks HTTP/1.1.
const CLIENTS: [&str; 2] = ["--http-version 1.1 --http-client lane", "--http-version 1.1 --http-client hyper"];

fn script(http2: bool) -> Script {
    Script { http2, ..Script::http2(&ANSWER) }
}

/// Runs against the peer and gives the rows, which are one for each request. Every one that completed has its tokens.
#[track_caller]
fn profile(scratch: &Scratch, requests: usize, arguments: &str) -> Vec<RequestRow> {
    run_expecting(0, scratch, &format!("{PROFILE} --request-count {requests} {arguments}"));
    let rows = rows(&scratch.path("run"));
    assert_eq!(rows.len(), requests, "every request has its row");
    let complete = |row: &RequestRow, tokens: usize| row.outcome != Outcome::Completed || tokens == ANSWER.len();
    assert!(rows.iter().all(|(row, tokens)| complete(row, tokens.len())), "an event is missing");
    rows.into_iter().map(|(row, _)| row).collect()
}

#[track_caller]
fn count(rows: &[RequestRow], outcome: Outcome) -> usize {
    rows.iter().filter(|r| r.outcome == outcome).count()
}

#[track_caller]
fn all_completed(rows: &[RequestRow]) {
    assert!(rows.iter().all(|r| r.outcome == Outcome::Completed), "{:?}", rows.iter().find(|r| r.error.is_some()));
}

fn protocol(scratch: &Scratch) -> String {
    Manifest::read(&scratch.path("run")).unwrap().config["network"]["protocol"].as_str().unwrap().to_string()
}

#[test]
fn streams_share_connections_as_far_as_they_are_told_to() {
    let scratch = Scratch::new("h2-streams");
    let script = Script { gather: 32, ..Script::http2(&ANSWER) };
    let peer = Peer::start("127.0.0.1:0", script, None).unwrap();
    let line = format!("--url {} --http-version 2 --concurrency 32 --streams-per-connection 8", peer.address);
    let rows = profile(&scratch, 300, &line);
    all_completed(&rows);
    let seen = peer.seen();
    assert_eq!((seen.requests, seen.connections, seen.streams_max), (300, 4, 8), "{seen:?}");
    assert_eq!((seen.authority, protocol(&scratch)), (peer.address.to_string(), "h2".into()));
    assert_eq!(Manifest::read(&scratch.path("run")).unwrap().workers[0].connections, 4);
    assert_eq!(rows.iter().filter(|r| r.connected_ns.is_some()).count(), 32, "who waited for a connection says so");
    for row in &rows {
        let (sent, written, head) = (row.sent_ns.unwrap(), row.written_ns.unwrap(), row.head_ns.unwrap());
        assert!(row.scheduled_ns <= sent && sent <= written && sent <= head, "{row:?}");
        assert!(head <= row.first_token_ns.unwrap() && row.first_token_ns <= row.end_ns, "{row:?}");
        assert!(row.connected_ns.is_none_or(|t| row.dialed_ns <= Some(t) && t <= sent), "{row:?}");
        assert_eq!(row.dialed_ns.is_some(), row.connected_ns.is_some(), "{row:?}");
        assert!(row.writes > 0 && row.reads > 0 && row.bytes_sent > 40, "{row:?}");
    }
    let run = support::rows(&scratch.path("run"));
    let tokens: Vec<_> = run.iter().flat_map(|(_, tokens)| tokens).collect();
    assert!(tokens.iter().all(|t| t.kernel_ns.is_none_or(|k| k <= t.t_ns)), "received after it was read");
    assert!(tokens.iter().any(|t| t.kernel_ns.is_some()), "the kernel stamped nothing");
}

#[test]
fn the_peers_own_limit_of_streams_is_kept_without_a_queue() {
    let scratch = Scratch::new("h2-limit");
    let script = Script { gather: 12, streams_max: 3, ..Script::http2(&ANSWER) };
    let peer = Peer::start("127.0.0.1:0", script, None).unwrap();
    let rows = profile(&scratch, 100, &format!("--url {} --http-version 2 --concurrency 12", peer.address));
    all_completed(&rows);
    let seen = peer.seen();
    assert_eq!((seen.connections, seen.streams_max), (4, 3), "{seen:?}");
}

#[test]
fn a_connection_for_each_request_is_one_for_each_request() {
    let scratch = Scratch::new("h2-never");
    let peer = Peer::start("127.0.0.1:0", Script::http2(&ANSWER), None).unwrap();
    let line = format!("--url {} --http-version 2 --concurrency 4 --connection-reuse-strategy never", peer.address);
    all_completed(&profile(&scratch, 40, &line));
    let seen = peer.seen();
    assert_eq!((seen.connections, seen.streams_max), (40, 1), "{seen:?}");
}

#[test]
fn a_stream_that_is_reset_or_refused_or_given_up_harms_no_other() {
    let scratch = Scratch::new("h2-resets");
    // The first hold every lane until they are given up, so that their ends are seen by those that follow.
    let fate = |n| match (n, n % 3) {
        (..=8, _) => Fate::Ignored,
        (_, 0) => Fate::Reset,
        (_, 1) => Fate::Refused,
        _ => Fate::Answered,
    };
    let script = Script { fate, ..Script::http2(&ANSWER) };
    let peer = Peer::start("127.0.0.1:0", script, None).unwrap();
    let line = format!("--url {} --http-version 2 --concurrency 8 --request-timeout-seconds 0.5", peer.address);
    let rows = profile(&scratch, 80, &line);
    let counts = [Outcome::Reset, Outcome::ConnectError, Outcome::Timeout, Outcome::Completed].map(|o| count(&rows, o));
    assert_eq!(counts, [24, 24, 8, 24]);
    let said = |outcome| rows.iter().find(|r| r.outcome == outcome).unwrap().error.clone().unwrap();
    assert!(said(Outcome::ConnectError).contains("refused"), "{}", said(Outcome::ConnectError));
    let seen = peer.seen();
    assert_eq!((seen.connections, seen.cancelled), (1, 8), "the connection goes on: {seen:?}");
}

#[test]
fn a_peer_that_says_goaway_loses_nothing_and_one_that_breaks_off_resets_what_it_had() {
    let scratch = Scratch::new("h2-goaway");
    let script = Script { goaway_after: 7, ..Script::http2(&ANSWER) };
    let peer = Peer::start("127.0.0.1:0", script, None).unwrap();
    let rows = profile(&scratch, 100, &format!("--url {} --http-version 2 --concurrency 5", peer.address));
    all_completed(&rows);
    assert!(peer.seen().connections >= 8, "{:?}", peer.seen());
    let script = Script { break_after: 10, gather: usize::MAX, ..Script::http2(&ANSWER) };
    let peer = Peer::start("127.0.0.1:0", script, None).unwrap();
    let rows = profile(&scratch, 40, &format!("--url {} --http-version 2 --concurrency 10", peer.address));
    assert_eq!((count(&rows, Outcome::Reset), peer.seen().requests), (40, 40));
}

#[test]
fn large_bodies_pass_both_ways() {
    let scratch = Scratch::new("h2-large");
    // Five times the window of a stream, and of a request's the default window a hundred times over.
    let filler = "x".repeat(20 << 20);
    let document = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{filler}\"}},\"finish_reason\":\"stop\"}}]}}");
    let bytes = Bytes::from(document);
    let length = bytes.len() as u64;
    let script = Script { content_type: "application/json", pieces: vec![bytes], ..Script::http2(&[]) };
    let peer = Peer::start("127.0.0.1:0", script, None).unwrap();
    run_expecting(
        0,
        &scratch,
        &format!(
            "profile --model m --isl 1000000 --artifact-dir run --workers 1 --request-count 6 --concurrency 3 --url {} --http-version 2",
            peer.address
        ),
    );
    for (row, _) in rows(&scratch.path("run")) {
        assert_eq!((row.outcome, row.bytes_received), (Outcome::Completed, length), "{:?}", row.error);
    }
}

#[test]
fn compressed_answers_are_refused_over_either_version() {
    let scratch = Scratch::new("gzip");
    for (http2, way) in WAYS {
        let script = Script { http2, fate: |_| Fate::Coded("gzip"), ..Script::http2(&ANSWER) };
        let peer = Peer::start("127.0.0.1:0", script, None).unwrap();
        let rows = profile(&scratch, 2, &format!("--url {} {way}", peer.address));
        for row in rows {
            assert_eq!((row.outcome, row.http_status), (Outcome::ProtocolError, Some(200)));
            assert!(row.error.as_ref().unwrap().contains("gzip refused"), "{row:?}");
        }
    }
}

#[test]
fn a_peer_that_does_not_speak_http2_is_told_so() {
    let scratch = Scratch::new("h2-foreign");
    let peer = Peer::start("127.0.0.1:0", script(false), None).unwrap();
    let rows = profile(&scratch, 3, &format!("--url {} --http-version 2", peer.address));
    for row in rows {
        assert_eq!(row.outcome, Outcome::ConnectError);
        assert!(row.error.as_ref().unwrap().contains("--http-version 1.1"), "{row:?}");
    }
}

#[test]
fn tls_speaks_what_alpn_agrees_to_with_whom_it_trusts() {
    let scratch = Scratch::new("tls");
    let ca = scratch.path("ca.pem");
    let config = tls_server(&["h2", "http/1.1"], &ca);
    let h2 = Peer::start("127.0.0.1:0", Script::http2(&ANSWER), Some(config.clone())).unwrap();
    let trusted = format!("--url https://localhost:{} --tls-ca-file {}", h2.address.port(), ca.display());
    all_completed(&profile(&scratch, 50, &format!("{trusted} --concurrency 5")));
    assert_eq!((protocol(&scratch), h2.seen().connections, h2.seen().requests), ("h2".into(), 1, 50));

    let config = tls_server(&["http/1.1"], &ca);
    let h1 = Peer::start("127.0.0.1:0", script(false), Some(config)).unwrap();
    let url = format!("--url https://{}", h1.address);
    for client in CLIENTS {
        let rows = profile(&scratch, 50, &format!("{url} {client} --tls-ca-file {} --concurrency 5", ca.display()));
        all_completed(&rows);
        let bad = rows.iter().find(|r| {
            r.sent_ns > r.written_ns
                || r.sent_ns > r.head_ns
                || r.connected_ns > r.sent_ns
                || r.dialed_ns > r.connected_ns
                || r.writes == 0
        });
        assert!(bad.is_none(), "the handshake is in the marks: {bad:?}");
    }
    assert_eq!((protocol(&scratch), h1.seen().authority), ("http/1.1".into(), h1.address.to_string()));

    let refused = |arguments: &str| {
        String::from_utf8(run_expecting(3, &scratch, &format!("{PROFILE} {arguments}")).stderr).unwrap()
    };
    let text = refused(&url);
    assert!(text.contains("not trusted") && text.contains("--tls-ca-file"), "{text}");
    let text = refused(&format!("{url} --tls-insecure --http-version 2"));
    assert!(text.contains("HTTP") && !text.contains("start the server"), "{text}");

    let output = run(&scratch, &format!("{PROFILE} --request-count 3 {url} --tls-insecure"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.matches("not verified").count() == 1, "{said}");
}

#[test]
fn the_simulated_deployment_speaks_both_versions_over_tls() {
    let scratch = Scratch::new("serve-tls");
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let cert = scratch.file("cert.pem", &made.cert.pem());
    let key = scratch.file("key.pem", &made.signing_key.serialize_pem());
    let files = |cert: &PathBuf, key: &PathBuf| Some(TlsFiles { cert: cert.clone(), key: key.clone() });
    let config = ServeConfig { tp: 4, speedup: 100.0, oracle: true, tls: files(&cert, &key), ..ServeConfig::default() };
    let mut server = spawn(&config).unwrap();
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let url = format!("--url https://localhost:{} --tls-ca-file cert.pem", server.addr().port());
    for (way, spoken) in [("--http-version 2", "h2"), (CLIENTS[0], "http/1.1"), (CLIENTS[1], "http/1.1"), ("", "h2")] {
        let line = format!("{PROFILE} --model Qwen/Qwen3-32B --request-count 20 --osl 4 --concurrency 5 {url} {way}");
        run_expecting(0, &scratch, &line.replace("--model m ", ""));
        let rows = rows(&scratch.path("run"));
        assert!(rows.iter().all(|(r, _)| r.outcome == Outcome::Completed && r.output_tokens == Some(4)), "{way}");
        assert_eq!((rows.len(), protocol(&scratch).as_str()), (20, spoken), "{way}");
    }
    let oracle = server.shutdown().unwrap();
    let known = oracle.requests.iter().filter(|r| r.arrived_ns.is_some()).count();
    assert_eq!((oracle.requests.len(), known), (80, 40), "over HTTP/1.1, the sockets know when a request came");

    let other = scratch.file("other.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    for (files, said) in [(files(&cert, &other), "--tls-key"), (files(&key, &key), "no certificate")] {
        let text = spawn(&ServeConfig { tls: files, ..config.clone() }).unwrap_err().to_string();
        assert!(text.contains(said), "{text}");
    }
    let said = run_expecting(2, &scratch, "serve --port 0 --tls-cert cert.pem").stderr;
    assert!(String::from_utf8(said).unwrap().contains("--tls-key"));
}

#[test]
fn unix_sockets_carry_either_version() {
    let scratch = Scratch::new("unix");
    for (n, (http2, way)) in WAYS.into_iter().enumerate() {
        let path = scratch.path(&format!("{n}.sock"));
        let peer = Peer::at_path(&path, script(http2));
        let line = format!("--url unix:{} {way} --concurrency 4", path.display());
        all_completed(&profile(&scratch, 40, &line));
        assert_eq!((peer.seen().requests, peer.seen().authority.as_str()), (40, "localhost"));
    }
}

#[test]
fn ipv6_carries_either_version() {
    let scratch = Scratch::new("ipv6");
    for (http2, way) in WAYS {
        let Some(peer) = Peer::start("[::1]:0", script(http2), None) else {
            println!("SKIPPED: this machine has no IPv6 loopback address");
            return;
        };
        all_completed(&profile(&scratch, 20, &format!("--url http://{} {way}", peer.address)));
        assert_eq!(peer.seen().authority, peer.address.to_string());
    }
}

#[test]
fn the_peer_sees_the_local_addresses_in_turn() {
    let scratch = Scratch::new("local");
    for (http2, way) in WAYS {
        let peer = Peer::start("127.0.0.1:0", script(http2), None).unwrap();
        let line = format!(
            "--url {} {way} --local-address 127.0.0.2,127.0.0.3 --connection-reuse-strategy never",
            peer.address
        );
        all_completed(&profile(&scratch, 20, &line));
        let from: Vec<(String, usize)> = peer.seen().from.iter().map(|(ip, n)| (ip.to_string(), *n)).collect();
        // The probe is one more, from the first.
        assert_eq!(from, [("127.0.0.2".into(), 11), ("127.0.0.3".into(), 10)]);
    }
    let text = run_expecting(3, &scratch, &format!("{PROFILE} --url 127.0.0.1:9 --local-address ::1"));
    assert!(String::from_utf8(text.stderr).unwrap().contains("local addresses"));
}

/// llama.cpp's server on a busy machine: it says that it keeps the connection, and ends it 10 ms behind each answer.
#[test]
fn a_peer_that_closes_late_behind_each_answer_breaks_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body: String = ANSWER.iter().map(|event| format!("{:x}\r\n{event}\r\n", event.len())).collect();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\
         Keep-Alive: timeout=5, max=100\r\n\r\n{body}0\r\n\r\n"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let mut request = vec![0; 1 << 16];
                let mut got = 0;
                // Both clients end the JSON of their body with the last byte they send; a look at /metrics is no chat.
                while !request[..got].ends_with(b"}") {
                    match stream.read(&mut request[got..]).unwrap_or(0) {
                        0 => return,
                        _ if request.starts_with(b"GET") => return,
                        n => got += n,
                    }
                }
                stream.write_all(answer.as_bytes()).unwrap();
                // What comes in that time is not answered.
                stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
                let _ = stream.read(&mut request);
            });
        }
    });
    for client in CLIENTS {
        let scratch = Scratch::new("closes-late");
        // Answers come at once, so that a connection which is taken for kept is written to before its end.
        let rows = profile(&scratch, 60, &format!("--url {url} {client} --request-rate 200 --random-seed 1"));
        all_completed(&rows);
    }
}
