//! The lane's decoder and hyper's, fed the same bytes, whole, mutilated and cut: they have to read the same.
//!
//! hyper is the reference for what an HTTP/1.1 answer is. Where the lane is stricter (a compressed content, a longer head
//! than it keeps, a stray line end), the case is left out, and their number is bounded.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use loadline::engine::lane::decode::{Decoder, Found};
use loadline::rng::{Rng, Seed, Stream};
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What was read: the status, the body as far as it came, and whether the answer was whole.
#[derive(Debug, PartialEq)]
struct Answer {
    status: Option<u16>,
    body: Vec<u8>,
    whole: bool,
}

fn by_lane(pieces: &[&[u8]]) -> Result<Answer, &'static str> {
    let mut decoder = Decoder::default();
    let mut answer = Answer { status: None, body: Vec::new(), whole: false };
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let before = rest;
            match decoder.next(&mut rest) {
                Ok(Found::Nothing) => break,
                Ok(Found::Head { status, .. }) => answer.status = Some(status),
                Ok(Found::Body(n)) => answer.body.extend_from_slice(&before[before.len() - rest.len() - n..][..n]),
                Ok(Found::End) => {
                    answer.whole = true;
                    return Ok(answer);
                }
                Err(why) => return if answer.status.is_none() { Err(why) } else { Ok(answer) },
            }
        }
    }
    answer.whole = decoder.ends_with_connection();
    Ok(answer)
}

async fn by_hyper(bytes: &[u8]) -> Option<Answer> {
    let (client, mut server) = tokio::io::duplex(1 << 20);
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.ok()?;
    let driver = tokio::task::spawn_local(driver);
    let request = hyper::Request::post("/").header("host", "h").body(Empty::<Bytes>::new()).unwrap();
    let answered = tokio::task::spawn_local(async move { sender.send_request(request).await });
    // The request's own head has to be there before an answer is taken for one.
    let mut head = [0; 512];
    let _ = server.read(&mut head).await.ok()?;
    server.write_all(bytes).await.ok()?;
    server.shutdown().await.ok()?;
    let response = answered.await.unwrap().ok()?;
    let mut answer = Answer { status: Some(response.status().as_u16()), body: Vec::new(), whole: false };
    let mut body = response.into_body();
    answer.whole = loop {
        match body.frame().await {
            None => break true,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    answer.body.extend_from_slice(&data);
                }
            }
            Some(Err(_)) => break false,
        }
    };
    driver.abort();
    Some(answer)
}

/// An answer. Trailers only on request: hyper parses them, the lane skips them, so they differ once mutilated.
fn draw(rng: &mut Rng, trailers: bool) -> Vec<u8> {
    let status = [200, 200, 200, 204, 304, 400, 503, 529][rng.random_range(0..8)];
    let reason = ["OK", "", "<none>"][rng.random_range(0..3)];
    let mut answer = Vec::new();
    if rng.random_bool(0.1) {
        answer.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    answer.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
    if rng.random_bool(0.5) {
        answer.extend_from_slice(b"Content-Type: text/event-stream; charset=utf-8\r\n");
    }
    if rng.random_bool(0.3) {
        answer.extend_from_slice(b"X-Empty:\r\nKeep-Alive: timeout=5, max=100\r\n");
    }
    let body: Vec<u8> = (0..rng.random_range(0..60)).map(|_| rng.random_range(32..127)).collect();
    match rng.random_range(0..3) {
        0 => {
            answer.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
            answer.extend_from_slice(&body);
        }
        1 => {
            answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(rng.random_range(1..30)) {
                let extension = if rng.random_bool(0.2) { ";a=b" } else { "" };
                answer.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
                answer.extend_from_slice(chunk);
                answer.extend_from_slice(b"\r\n");
            }
            let trailer = if trailers && rng.random_bool(0.2) { "x-sum: 1\r\n" } else { "" };
            answer.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
        }
        _ => {
            answer.extend_from_slice(b"\r\n");
            answer.extend_from_slice(&body);
        }
    }
    answer
}

/// Changes a byte, drops one, doubles a part or cuts the end off.
fn mutilate(answer: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.random_range(0..answer.len());
    match rng.random_range(0..4) {
        0 => answer[at] = rng.random(),
        1 => drop(answer.remove(at)),
        2 => {
            let part = answer[at..(at + rng.random_range(1..9)).min(answer.len())].to_vec();
            answer.splice(at..at, part);
        }
        _ => answer.truncate(at),
    }
}

fn check(seed: u64) -> bool {
    let mut rng = Seed(seed).stream(Stream::Simulation);
    let mutilated = rng.random_bool(0.5);
    let mut bytes = draw(&mut rng, !mutilated);
    if mutilated {
        mutilate(&mut bytes, &mut rng);
    }
    let cut = rng.random_range(0..=bytes.len());
    let (a, b) = bytes.split_at(cut);
    let lane = by_lane(&[a, b]);
    if matches!(lane, Err(why) if why.contains("gzip refused") || why.contains("32 KiB")) {
        return false;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let hyper = local.block_on(&runtime, by_hyper(&bytes));
    // What neither could read has no status on either side; how far each looked before it gave up is its own affair.
    let lane = lane.ok().filter(|answer| answer.status.is_some());
    match (&lane, &hyper) {
        (Some(ours), Some(theirs)) if !ours.whole && !theirs.whole => assert_eq!(ours.status, theirs.status),
        // hyper forgives a line end here and there behind the last chunk; the lane does not.
        (Some(ours), Some(theirs)) if mutilated && theirs.whole && ours.body == theirs.body => return ours.whole,
        _ => assert_eq!(lane, hyper, "seed {seed}: {:?}", String::from_utf8_lossy(&bytes)),
    }
    true
}

#[test]
fn the_lane_reads_what_hyper_reads() {
    let compared = (0..20_000).filter(|seed| check(*seed)).count();
    assert!(compared > 19_900, "only {compared} of 20,000 answers were read alike");
}
