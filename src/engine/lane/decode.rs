//! Bytes of an HTTP/1.1 answer, however they were split → its head, the pieces of its body, its end.
//!
//! Pure and incremental; says what it found in the slice it was given, so that a body is never copied. Takes what hyper
//! takes (`tests/lane_against_hyper.rs` feeds both the same bytes): the chunked coding with extensions and trailers,
//! lengths, bodies until the connection's end, interim answers (1xx), which are skipped.
//! Refused, as protocol errors: a coding of the content (a compressed event stream has no token times), a head above
//! [`HEAD_BYTES_MAX`], chunk sizes that are none.
//! Invariants: nothing is allocated but the carry of a head or a chunk's size that was split.

/// Longest head that is read.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Headers of a head.
const HEADERS_MAX: usize = 100;
/// Longest line of a chunk's size with its extension, and longest trailer.
const LINE_BYTES_MAX: usize = 8 << 10;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing more in this slice.
    Nothing,
    /// The answer's head.
    Head {
        /// The HTTP status.
        status: u16,
        /// The content type, as far as it matters.
        content: Content,
    },
    /// A piece of the body: this many bytes, which stand at the front of what was given and are consumed.
    Body(usize),
    /// The answer's end.
    End,
}

/// What a content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `text/event-stream`.
    EventStream,
    /// Something else.
    Other,
    /// Nothing: there is none.
    Unknown,
}

/// Why an answer cannot be read.
pub type Refusal = &'static str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// Bytes of body that are still to come.
    Length(u64),
    UntilClose,
    /// The line with a chunk's size.
    ChunkSize,
    /// Bytes of this chunk that are still to come.
    Chunk(u64),
    /// The line end behind a chunk's data.
    ChunkEnd,
    /// Trailers, up to the blank line.
    Trailers,
    /// A body that is not read.
    Coded,
    Done,
}

/// The state of one answer.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// A head or a line that was split, as far as it came.
    carry: Vec<u8>,
    keep_alive: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { state: State::Head, carry: Vec::new(), keep_alive: false }
    }
}

impl Decoder {
    /// Back to the start of an answer; keeps the buffer.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.carry.clear();
        self.keep_alive = false;
    }

    /// Whether the connection may carry another answer, once this one has ended.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive && self.state == State::Done
    }

    /// Whether some of the answer has come.
    pub fn has_begun(&self) -> bool {
        self.state != State::Head || !self.carry.is_empty()
    }

    /// The connection ended: whether the answer ends properly with it.
    pub fn ends_with_connection(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Looks at `bytes` and takes what it finds first; call again with what is left, until [`Found::Nothing`].
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Found, Refusal> {
        loop {
            if self.state == State::Done {
                return Ok(Found::Nothing);
            }
            let ended = matches!(self.state, State::Length(0));
            if ended {
                self.state = State::Done;
                return Ok(Found::End);
            }
            if self.state == State::Coded {
                return Err(
                    "a content-encoding such as gzip refused: token times need the answer as it was written; switch compression off",
                );
            }
            if bytes.is_empty() {
                return Ok(Found::Nothing);
            }
            match self.state {
                State::Head => match self.head(bytes)? {
                    Some(found) => return Ok(found),
                    None if bytes.is_empty() => return Ok(Found::Nothing),
                    None => {}
                },
                State::Length(left) => {
                    let n = take(bytes, left);
                    self.state = State::Length(left - n as u64);
                    return Ok(Found::Body(n));
                }
                State::UntilClose => return Ok(Found::Body(take(bytes, u64::MAX))),
                State::Chunk(left) => {
                    let n = take(bytes, left);
                    self.state = if n as u64 == left { State::ChunkEnd } else { State::Chunk(left - n as u64) };
                    return Ok(Found::Body(n));
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    if let Some(found) = self.line(bytes)? {
                        return Ok(found);
                    }
                }
                State::Coded | State::Done => unreachable!("returned above"),
            }
        }
    }

    /// Takes a head, if `bytes` completes one. `None`: more is needed, or an interim answer was skipped.
    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<Found>, Refusal> {
        let carried = self.carry.len();
        if carried > 0 {
            let room = HEAD_BYTES_MAX - carried;
            self.carry.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let whole: &[u8] = if carried > 0 { &self.carry } else { bytes };
        let Some((length, head)) = Head::parse(whole)? else {
            if whole.len() >= HEAD_BYTES_MAX {
                return Err("the answer's head is longer than 32 KiB");
            }
            if carried == 0 {
                self.carry.extend_from_slice(bytes);
            }
            *bytes = &[];
            return Ok(None);
        };
        *bytes = &bytes[length - carried..];
        self.carry.clear();
        if (100..200).contains(&head.status) {
            return if head.status == 101 { Err("the server switches protocols") } else { Ok(None) };
        }
        self.keep_alive = head.keep_alive;
        self.state = match (head.status, head.chunked, head.length) {
            (204 | 304, ..) => State::Length(0),
            (200..300, ..) if head.coded => State::Coded,
            (_, true, _) => State::ChunkSize,
            (_, false, Ok(Some(n))) => State::Length(n),
            (_, false, Ok(None)) => {
                self.keep_alive = false;
                State::UntilClose
            }
            (_, false, Err(why)) => return Err(why),
        };
        Ok(Some(Found::Head { status: head.status, content: head.content }))
    }

    /// Takes a line of the chunked coding, if `bytes` completes one.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<Option<Found>, Refusal> {
        let Some(at) = memchr::memchr(b'\n', bytes) else {
            if self.carry.len() + bytes.len() > LINE_BYTES_MAX {
                return Err("a line of the chunked coding is longer than 8 KiB");
            }
            self.carry.extend_from_slice(bytes);
            *bytes = &[];
            return Ok(None);
        };
        let (part, rest) = (&bytes[..at], &bytes[at + 1..]);
        *bytes = rest;
        if self.carry.is_empty() {
            return self.end_line(part);
        }
        self.carry.extend_from_slice(part);
        let line = std::mem::take(&mut self.carry);
        let found = self.end_line(&line);
        self.carry = line;
        self.carry.clear();
        found
    }

    fn end_line(&mut self, line: &[u8]) -> Result<Option<Found>, Refusal> {
        let line = line.strip_suffix(b"\r").ok_or("a line of the chunked coding does not end in CR LF")?;
        if line.contains(&b'\r') {
            return Err("a line of the chunked coding holds a CR");
        }
        match self.state {
            State::ChunkSize => {
                self.state = match chunk_size(line)? {
                    0 => State::Trailers,
                    n => State::Chunk(n),
                };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err("a chunk is longer than its size says"),
            State::Trailers if line.is_empty() => {
                self.state = State::Done;
                return Ok(Some(Found::End));
            }
            State::Trailers if !is_header(line) => return Err("a trailer is not a header"),
            _ => {}
        }
        Ok(None)
    }
}

/// Whether a line has the form of a header: a token, a colon, a value.
fn is_header(line: &[u8]) -> bool {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    line.iter().position(|b| *b == b':').is_some_and(|at| at > 0 && line[..at].iter().all(is_token))
}

/// Takes at most `most` bytes off the front; returns how many.
fn take(bytes: &mut &[u8], most: u64) -> usize {
    let n = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    *bytes = &bytes[n..];
    n
}

/// The size in a chunk's line; what follows a `;` is an extension.
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    const BAD: Refusal = "the size of a chunk is not a number";
    let mut digits = line.split(|b| *b == b';').next().unwrap_or(line);
    while let [rest @ .., b' ' | b'\t'] = digits {
        digits = rest;
    }
    if digits.is_empty() || digits.len() > 15 {
        return Err(BAD);
    }
    digits.iter().try_fold(0u64, |n, b| {
        let digit = (*b as char).to_digit(16).ok_or(BAD)?;
        Ok(n * 16 + u64::from(digit))
    })
}

/// What a head says, as far as it matters.
struct Head {
    status: u16,
    content: Content,
    chunked: bool,
    /// The content length, or why it is none; only looked at where it decides.
    length: Result<Option<u64>, Refusal>,
    keep_alive: bool,
    coded: bool,
}

impl Head {
    /// Parses a head at the front of `bytes`: its length and meaning; `None` when it is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<(usize, Head)>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err("the answer's head has more than 100 headers"),
            Err(_) => return Err("the answer is not HTTP/1"),
        };
        let mut head = Head {
            status: response.code.unwrap_or(0),
            content: Content::Unknown,
            chunked: false,
            length: Ok(None),
            keep_alive: response.version == Some(1),
            coded: false,
        };
        for header in response.headers.iter() {
            head.take(header.name, header.value.trim_ascii());
        }
        Ok(Some((length, head)))
    }

    fn take(&mut self, name: &str, value: &[u8]) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("content-type") {
            let stream = value.get(..17).is_some_and(|v| v.eq_ignore_ascii_case(b"text/event-stream"));
            self.content = if stream { Content::EventStream } else { Content::Other };
        } else if is("content-length") {
            let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
            self.length = match (self.length, digits.and_then(|v| v.parse().ok())) {
                (Ok(None), Some(n)) => Ok(Some(n)),
                (Ok(Some(before)), Some(n)) if before == n => Ok(Some(n)),
                (Ok(Some(_)), Some(_)) => Err("the answer has two content lengths"),
                (Ok(_), None) => Err("the content length is not a number"),
                (refused, _) => refused,
            };
        } else if is("transfer-encoding") {
            let last = value.rsplit(|b| *b == b',').next().unwrap_or(value).trim_ascii();
            self.chunked = last.eq_ignore_ascii_case(b"chunked");
        } else if is("connection") {
            for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                if token.eq_ignore_ascii_case(b"close") {
                    self.keep_alive = false;
                } else if token.eq_ignore_ascii_case(b"keep-alive") {
                    self.keep_alive = true;
                }
            }
        } else if is("content-encoding") {
            self.coded = !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
        }
    }
}

/// The property that the fuzz target checks: any split of the bytes gives the same head, body and end.
pub fn fuzz_split_invariance(bytes: &[u8]) {
    let whole = digest(&[bytes]);
    let step = (bytes.len() / 16).max(1);
    for cut in (0..=bytes.len()).step_by(step) {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(digest(&[a, b]), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(digest(&single), whole, "byte by byte");
}

/// What an answer that came in these pieces says: status, body, whether it ended, and why it was refused.
pub fn digest(pieces: &[&[u8]]) -> (Option<u16>, Vec<u8>, bool, Option<Refusal>) {
    let mut decoder = Decoder::default();
    let (mut status, mut body, mut ended) = (None, Vec::new(), false);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let before = rest;
            match decoder.next(&mut rest) {
                Ok(Found::Nothing) => break,
                Ok(Found::Head { status: s, .. }) => status = Some(s),
                Ok(Found::Body(n)) => body.extend_from_slice(&before[before.len() - rest.len() - n..][..n]),
                Ok(Found::End) => ended = true,
                Err(refusal) => return (status, body, ended, Some(refusal)),
            }
        }
    }
    (status, body, ended, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, status: u16, body: &str, ended: bool) {
        fuzz_split_invariance(answer.as_bytes());
        for cut in 0..=answer.len() {
            let (a, b) = answer.as_bytes().split_at(cut);
            let got = digest(&[a, b]);
            assert_eq!(got, (Some(status), body.as_bytes().to_vec(), ended, None), "{answer:?} cut at {cut}");
        }
    }

    #[track_caller]
    fn refused(answer: &str, why: &str) {
        fuzz_split_invariance(answer.as_bytes());
        let refusal = digest(&[answer.as_bytes()]).3.expect("it is refused");
        assert!(refusal.contains(why), "{answer:?}: {refusal}");
    }

    #[test]
    fn bodies_in_each_form() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, "hello", true);
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 200, "hel", false);
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, "", true);
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
        check("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", false);
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n, w\r\n0\r\n\r\n",
            200,
            "hello, w",
            true,
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
            200,
            "0123456789",
            true,
        );
        check("HTTP/1.1 529 <none>\r\ncontent-length: 2\r\n\r\n{}", 529, "{}", true);
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, "x", true);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        refused("SSH-2.0-OpenSSH_9\r\n\r\n", "not HTTP/1");
        refused("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "not a number");
        refused("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloo\r\n", "longer than its size");
        refused("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\nhello", "CR LF");
        refused("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "content length");
        refused("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "two content lengths");
        refused("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\n", "gzip refused");
        refused("HTTP/1.1 101 Switching\r\n\r\n", "switches");
        refused(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "y".repeat(HEAD_BYTES_MAX)), "32 KiB");
        refused(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)), "100 headers");
    }

    #[test]
    fn a_connection_is_kept_only_where_the_answer_says_so_and_has_ended() {
        let keeps = |answer: &str| {
            let mut decoder = Decoder::default();
            let mut rest = answer.as_bytes();
            while !matches!(decoder.next(&mut rest), Ok(Found::Nothing) | Err(_)) {}
            decoder.keeps_alive()
        };
        assert!(keeps("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"));
        assert!(keeps("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"));
        assert!(!keeps("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"));
        assert!(!keeps("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nx"));
        assert!(!keeps("HTTP/1.1 200 OK\r\n\r\nx"));
    }

    #[test]
    fn the_fuzz_corpus_holds() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/http1");
        let mut files = 0;
        for file in std::fs::read_dir(dir).unwrap() {
            fuzz_split_invariance(&std::fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 8, "{files} files in {dir}");
    }
}
