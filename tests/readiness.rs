//! What a server is asked around a run: whether its model is there, an empty cache, a profile of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use support::{Scratch, chunked, run_expecting};

const TOKEN: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" tok\"},\"finish_reason\":\"length\"}]}\n\n";

/// A server that keeps the paths of its requests, and knows its model from the `absent`-th question for it on.
struct Asked {
    url: String,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Asked {
    fn start(absent: usize) -> Asked {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let paths = Arc::new(Mutex::new(Vec::new()));
        let kept = paths.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), kept.clone());
                std::thread::spawn(move || {
                    let mut out = stream.try_clone().unwrap();
                    let mut input = BufReader::new(stream);
                    while let Some((path, body)) = request(&mut input) {
                        let asked = kept.lock().unwrap().iter().filter(|p| **p == path).count();
                        kept.lock().unwrap().push(path.clone());
                        let answer = match &path[..] {
                            "GET /v1/models" if asked < absent => document("404 Not Found", "{}"),
                            "GET /v1/models" => document("200 OK", "{\"data\":[{\"id\":\"m\"}]}"),
                            "POST /refuses" => document("404 Not Found", "no such path"),
                            _ if body.contains("\"stream\":true") => {
                                chunked("text/event-stream", &[TOKEN, "data: [DONE]\n\n"])
                            }
                            _ => document("200 OK", "{\"choices\":[{\"message\":{\"content\":\"hi\"}}]}"),
                        };
                        if out.write_all(&answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Asked { url, paths }
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().iter().filter(|path| !path.ends_with("/metrics")).cloned().collect()
    }
}

fn document(status: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

/// The method and path of a request, and its body.
fn request(input: &mut impl BufRead) -> Option<(String, String)> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.rsplit_once(' ')?.0.to_string();
    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        input.read_line(&mut line).ok().filter(|n| *n > 0)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some((path, String::from_utf8(body).ok()?))
}

fn profile(code: i32, scratch: &Scratch, server: &Asked, flags: &str) -> String {
    let line = format!(
        "profile --url {} --model m --streaming --isl 3 --request-count 2 --artifact-dir run {flags}",
        server.url
    );
    String::from_utf8(run_expecting(code, scratch, &line).stderr).unwrap()
}

#[test]
fn errands_stand_before_and_after_the_requests() {
    let scratch = Scratch::new("errands");
    let server = Asked::start(0);
    profile(0, &scratch, &server, "--reset-kv-cache --server-profiler");
    let chat = "POST /v1/chat/completions";
    let expect = ["POST /reset_prefix_cache", "POST /start_profile", chat, chat, "POST /stop_profile"];
    assert_eq!(server.paths(), expect);
    let said = profile(3, &scratch, &server, "--reset-kv-cache --reset-kv-cache-path refuses");
    assert!(said.contains("--reset-kv-cache: POST /refuses: HTTP 404"), "{said}");
    assert_eq!(server.paths().len(), expect.len() + 1, "the run began all the same");
}

#[test]
fn a_model_is_waited_for_and_not_for_ever() {
    let scratch = Scratch::new("wait");
    let wait = "--wait-for-model-interval 0.05 --wait-for-model-timeout";
    let server = Asked::start(3);
    let said = profile(0, &scratch, &server, &format!("{wait} 20 --wait-for-model-mode both"));
    assert!(said.contains("Waiting for m: HTTP 404"), "{said}");
    let (list, chat) = ("GET /v1/models", "POST /v1/chat/completions");
    assert_eq!(server.paths(), [list, list, list, list, chat, chat, chat]);
    let never = Asked::start(usize::MAX);
    let said = profile(3, &scratch, &never, &format!("{wait} 0.3 --wait-for-model-mode models"));
    assert!(said.contains("m was not there within 0.3 s"), "{said}");
    assert!(never.paths().iter().all(|path| path == list) && never.paths().len() > 1);
    // Without the flag nobody is asked.
    profile(0, &scratch, &never, "");
    assert_eq!(never.paths().iter().filter(|path| *path == chat).count(), 2);
}
