//! What the tests of whole runs share: running the binary, reading what it left, and a server that says just what it
//! is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use loadline::record::reader::{Recording, Rows};
use loadline::record::row::{RequestRow, TokenRow};

/// A directory of one test, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("loadline-{name}-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    pub(crate) fn file(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary with these arguments (words, none of which holds a space), in a directory of its own, with no URL and no key in the
/// environment.
pub(crate) fn loadline(scratch: &Scratch, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadline"));
    command
        .args(line.split_whitespace())
        .current_dir(&scratch.0)
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .env_remove("LOADLINE_API_KEY")
        .env_remove("LOADLINE_URL");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(scratch: &Scratch, line: &str) -> Output {
    loadline(scratch, line).output().unwrap()
}

/// Runs it, and fails with what it said unless it ended with `code`.
#[track_caller]
pub(crate) fn run_expecting(code: i32, scratch: &Scratch, line: &str) -> Output {
    let output = run(scratch, line);
    assert_eq!(output.status.code(), Some(code), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Every request of a run with its tokens.
pub(crate) fn rows(run_dir: &Path) -> Vec<(RequestRow, Vec<TokenRow>)> {
    let mut rows = Vec::new();
    let recording = Recording::open(run_dir).unwrap();
    recording.for_each_request(&mut |row, tokens| rows.push((row.clone(), tokens.to_vec()))).unwrap();
    rows
}

/// A server that answers every request with the same bytes and then, if told so, closes the connection.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
}

impl Scripted {
    pub(crate) fn start(answer: Vec<u8>, close: bool) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = answer.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &answer, close));
            }
        });
        Scripted { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Answers requests on one connection until it ends.
fn serve(stream: TcpStream, answer: &[u8], close: bool) {
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if input.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if input.read_exact(&mut body).is_err() || out.write_all(answer).is_err() || close {
            return;
        }
    }
}

/// An HTTP answer in the chunked coding, one chunk for each piece, with its end.
pub(crate) fn chunked(content_type: &str, pieces: &[&str]) -> Vec<u8> {
    let mut answer = unended(content_type, pieces);
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

/// The same without its end.
pub(crate) fn unended(content_type: &str, pieces: &[&str]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut answer = head.into_bytes();
    for piece in pieces {
        answer.extend_from_slice(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
    }
    answer
}
