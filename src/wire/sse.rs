//! Turns the bytes of an event stream, however they were split, into its events.
//!
//! In: slices in order of arrival, each with the stamp of the read that delivered it. Out: each event's data, with
//! the stamp of the read that completed its last data line (the blank line that ends the event may come later, and
//! says nothing about the server). Follows the WHATWG "server-sent events" grammar: LF, CRLF and CR ends, comments,
//! several data lines, a leading BOM; `id` and `retry` are ignored.
//! Invariants: any split of the same bytes gives the same events; an event whose lines lie in one slice is handed
//! out without a copy; nothing is allocated once the carry buffers have grown to the longest line seen.
//! Not here: what the data means, see [`super::delta`].

use memchr::memchr2;

/// Longest line, and longest event, that is carried. A chat delta has a few hundred bytes; the room is for echoed
/// prompts. What is longer is dropped and counted in [`Scanner::oversized`].
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a, S> {
    /// The `event:` field; empty when there was none.
    pub name: &'a [u8],
    /// The data lines, joined by LF.
    pub data: &'a [u8],
    /// The stamp of the read that completed the last data line.
    pub stamp: S,
}

/// The incremental scanner of one stream. `S` is the stamp of a read.
#[derive(Debug, Default)]
pub struct Scanner<S> {
    /// The part of an unfinished line that earlier slices held.
    line: Vec<u8>,
    /// Data lines of the unfinished event.
    data: Vec<u8>,
    name: Vec<u8>,
    /// The stamp of the last data line, if the unfinished event has one.
    stamp: Option<S>,
    /// The last slice ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    started: bool,
    /// The line or event in progress is too long and will be dropped.
    skipping: bool,
    oversized: u64,
}

impl<S: Copy> Scanner<S> {
    /// A scanner at the start of a stream, with no buffer yet.
    pub fn new() -> Self {
        Scanner {
            line: Vec::new(),
            data: Vec::new(),
            name: Vec::new(),
            stamp: None,
            after_cr: false,
            started: false,
            skipping: false,
            oversized: 0,
        }
    }

    /// Back to the start of a stream; keeps the buffers.
    pub fn reset(&mut self) {
        self.line.clear();
        self.data.clear();
        self.name.clear();
        self.stamp = None;
        self.after_cr = false;
        self.started = false;
        self.skipping = false;
        self.oversized = 0;
    }

    /// Events that were dropped because they were longer than [`EVENT_BYTES_MAX`].
    pub fn oversized(&self) -> u64 {
        self.oversized
    }

    /// Takes the next bytes of the stream and hands out every event that they complete.
    pub fn push(&mut self, bytes: &[u8], stamp: S, mut on_event: impl FnMut(Event<'_, S>)) {
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            if rest[0] == b'\n' {
                rest = &rest[1..];
            }
        }
        while !rest.is_empty() {
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.carry(rest);
                return;
            };
            let (head, mut tail) = (&rest[..end], &rest[end + 1..]);
            if rest[end] == b'\r' {
                match tail.first() {
                    Some(b'\n') => tail = &tail[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if self.line.is_empty() {
                self.end_line(head, &mut tail, stamp, &mut on_event);
            } else {
                self.carry(head);
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, &mut tail, stamp, &mut on_event);
                self.line = line;
                self.line.clear();
            }
            rest = tail;
        }
    }

    /// Ends the stream: an event whose blank line never came is handed out all the same, since servers that close
    /// after `data: [DONE]` exist.
    pub fn finish(&mut self, stamp: S, mut on_event: impl FnMut(Event<'_, S>)) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.end_line(&line, &mut &[][..], stamp, &mut on_event);
            self.line = line;
            self.line.clear();
        }
        self.dispatch(&mut on_event);
    }

    /// The stream was cut: an event whose data lines had come is handed out, a line in the middle is not.
    pub fn cut(&mut self, mut on_event: impl FnMut(Event<'_, S>)) {
        self.line.clear();
        self.dispatch(&mut on_event);
    }

    fn carry(&mut self, part: &[u8]) {
        if self.line.len() + part.len() > EVENT_BYTES_MAX {
            self.skipping = true;
            self.line.clear();
            // One byte keeps the line from looking like the blank line that would end the event.
            self.line.push(b':');
        } else {
            self.line.extend_from_slice(part);
        }
    }

    /// Handles one whole line. `tail` is what follows it in the slice: when that begins with the blank line, a
    /// single-line event goes out without a copy and the blank line is taken from `tail`.
    #[inline]
    fn end_line(&mut self, line: &[u8], tail: &mut &[u8], stamp: S, on_event: &mut impl FnMut(Event<'_, S>)) {
        let line = if self.started { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.started = true;
        if line.is_empty() {
            self.dispatch(on_event);
            return;
        }
        // Nearly every line is a data line; it needs no search for its colon.
        let data = line.strip_prefix(b"data:").map(|value| (&b"data"[..], value.strip_prefix(b" ").unwrap_or(value)));
        let Some((field, value)) = data.or_else(|| split_field(line)) else { return };
        match field {
            b"data" => {
                if self.stamp.is_none() && !self.skipping && !self.after_cr && take_blank_line(tail, &mut self.after_cr)
                {
                    on_event(Event { name: &self.name, data: value, stamp });
                    self.name.clear();
                    return;
                }
                if self.data.len() + value.len() > EVENT_BYTES_MAX {
                    self.skipping = true;
                    self.data.clear();
                } else {
                    if self.stamp.is_some() {
                        self.data.push(b'\n');
                    }
                    self.data.extend_from_slice(value);
                }
                self.stamp = Some(stamp);
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(&value[..value.len().min(64)]);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(Event<'_, S>)) {
        if self.skipping {
            self.oversized += 1;
            self.skipping = false;
        } else if let Some(stamp) = self.stamp {
            on_event(Event { name: &self.name, data: &self.data, stamp });
        }
        self.stamp = None;
        self.data.clear();
        self.name.clear();
    }
}

/// `field: value` of a line; `None` for a comment.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    match memchr::memchr(b':', line) {
        Some(0) => None,
        Some(colon) => {
            let value = &line[colon + 1..];
            Some((&line[..colon], value.strip_prefix(b" ").unwrap_or(value)))
        }
        None => Some((line, b"")),
    }
}

/// Takes a blank line off the front of `tail`, if one stands there whole.
#[inline]
fn take_blank_line(tail: &mut &[u8], after_cr: &mut bool) -> bool {
    match tail {
        [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => *tail = rest,
        [b'\r', rest @ ..] => {
            *after_cr = rest.is_empty();
            *tail = rest;
        }
        _ => return false,
    }
    true
}

/// The property that the fuzz target checks: a split in two at any of `cuts` gives the events of the whole.
pub fn fuzz_split_invariance(bytes: &[u8]) {
    let whole = collect(&[bytes]);
    let step = (bytes.len() / 16).max(1);
    for cut in (0..=bytes.len()).step_by(step) {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(collect(&[a, b]), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(collect(&single), whole, "byte by byte");
}

/// The names and data of all events of a stream that came in these pieces.
fn collect(pieces: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scanner = Scanner::new();
    let mut events = Vec::new();
    for piece in pieces {
        scanner.push(piece, (), |e| events.push((e.name.to_vec(), e.data.to_vec())));
    }
    scanner.finish((), |e| events.push((e.name.to_vec(), e.data.to_vec())));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stream: &str, expect: &[(&str, &str)]) {
        fuzz_split_invariance(stream.as_bytes());
        for cut in 0..=stream.len() {
            let (a, b) = stream.as_bytes().split_at(cut);
            let events = collect(&[a, b]);
            let got: Vec<(&str, &str)> = events
                .iter()
                .map(|(n, d)| (std::str::from_utf8(n).unwrap(), std::str::from_utf8(d).unwrap()))
                .collect();
            assert_eq!(got, expect, "{stream:?} cut at {cut}");
        }
    }

    #[test]
    fn every_line_end_and_every_split_gives_the_same_events() {
        let lines = ["data: {\"a\":1}", "", "data: b", "", "data: [DONE]", "", ""];
        for end in ["\n", "\r\n", "\r"] {
            check(&lines.join(end), &[("", "{\"a\":1}"), ("", "b"), ("", "[DONE]")]);
        }
    }

    #[test]
    fn the_grammar_of_the_standard() {
        check("\u{feff}data: x\n\n", &[("", "x")]);
        check(": comment\n\n:\n\ndata: x\n\n", &[("", "x")]);
        check("data: one\ndata: two\n\n", &[("", "one\ntwo")]);
        check("data:x\n\ndata:  y\n\n", &[("", "x"), ("", " y")]);
        check("data\n\n", &[("", "")]);
        check("data\ndata\n\n", &[("", "\n")]);
        check("event: error\ndata: x\n\ndata: y\n\n", &[("error", "x"), ("", "y")]);
        check("event: ping\n\ndata: x\n\n", &[("", "x")]);
        check("id: 7\nretry: 9\nother\ndata: x\n\n", &[("", "x")]);
        check("data: x\r\n\r\ndata: y\n\r\ndata: z\r\r", &[("", "x"), ("", "y"), ("", "z")]);
        check("data: unended", &[("", "unended")]);
        check("data: no blank line\n", &[("", "no blank line")]);
        check("data: é\u{1F600}\n\n", &[("", "é\u{1F600}")]);
        check("", &[]);
    }

    #[test]
    fn an_event_bears_the_stamp_of_its_data_line_not_of_the_blank_line() {
        let mut scanner = Scanner::new();
        let mut stamps = Vec::new();
        scanner.push(b"data: x", 1, |e| stamps.push(e.stamp));
        scanner.push(b"\n", 2, |e| stamps.push(e.stamp));
        scanner.push(b"\ndata: y\n\n", 3, |e| stamps.push(e.stamp));
        assert_eq!(stamps, [2, 3]);
    }

    #[test]
    fn what_is_too_long_is_dropped_and_counted_and_the_next_event_is_read() {
        let mut scanner = Scanner::new();
        let mut events = Vec::new();
        let piece = vec![b'x'; 1 << 20];
        scanner.push(b"data: ", (), |_| {});
        for _ in 0..6 {
            scanner.push(&piece, (), |e| events.push(e.data.len()));
        }
        scanner.push(b"\n\ndata: y\n\n", (), |e| events.push(e.data.len()));
        assert_eq!((events, scanner.oversized()), (vec![1], 1));
        assert!(scanner.line.capacity() <= EVENT_BYTES_MAX + (1 << 20));
    }

    #[test]
    fn a_cut_hands_out_what_was_whole_and_nothing_else() {
        for (stream, whole) in [("data: x\n", 1), ("data: x\ndata: hal", 1), ("data: hal", 0), ("data: x\n\n", 1)] {
            let mut scanner = Scanner::new();
            let mut events = Vec::new();
            scanner.push(stream.as_bytes(), (), |e| events.push(e.data.to_vec()));
            scanner.cut(|e| events.push(e.data.to_vec()));
            assert_eq!(events, vec![b"x".to_vec(); whole], "{stream:?}");
        }
    }

    #[test]
    fn a_reused_scanner_starts_afresh() {
        let mut scanner = Scanner::new();
        scanner.push(b"event: a\ndata: cut of", (), |_| {});
        scanner.reset();
        let mut events = Vec::new();
        scanner.push("\u{feff}data: x\n\n".as_bytes(), (), |e| events.push(e.data.to_vec()));
        assert_eq!(events, [b"x".to_vec()]);
    }

    #[test]
    fn the_fuzz_corpus_holds() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/sse");
        let mut files = 0;
        for file in std::fs::read_dir(dir).unwrap() {
            fuzz_split_invariance(&std::fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 8, "{files} files in {dir}");
    }
}
