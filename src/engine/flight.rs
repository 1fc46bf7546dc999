//! One request from its send to its outcome: the bytes of an answer → stamps, counts and a row.
//!
//! A pure state machine: it is told what came and when, reads no clock and does no I/O. Token stamps leave it in
//! chunks through the recorder.
//! Invariants: the clock reading that an event bears is that of the read that completed its data line; nothing is
//! allocated per event, unless the answer is to be kept as it came (`keep_exchange`).

use super::reply::ReplyText;
use super::transport::{Alike, Marks, ReadStamp};
use crate::outcome::{EventKind, Outcome, TokenSource};
use crate::record::exchange;
use crate::record::ring::Recorder;
use crate::record::row::{ERROR_TEXT_MAX, RUN_EVENTS_MAX, RequestRow, TokenChunk, TokenRun, TokenStamp};
use crate::wire::delta::{Delta, Usage};
use crate::wire::learned::Learned;
use crate::wire::sse::{Event, Scanner};

/// Largest body that is kept of an answer that is not a stream.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes kept of the body of an error answer.
const ERROR_BODY_MAX: usize = 8 << 10;

/// How the answer's body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    /// No head yet.
    #[default]
    Unknown,
    /// An event stream.
    Stream,
    /// One JSON document.
    Document,
    /// An error page, of which the beginning is kept.
    Error,
}

/// The state of one flight.
#[derive(Debug, Default)]
pub struct Flight {
    /// Its id.
    pub request_id: u64,
    /// Position in the phase's slots, counted on through repeats.
    pub ordinal: u64,
    /// When it should have been sent.
    pub scheduled_ns: i64,
    /// When a completion released it.
    pub released_ns: Option<i64>,
    /// Whether it holds one of the places for requests without a token.
    pub holds_prefill: bool,
    /// Bytes of the request's body.
    pub body_bytes: u64,
    body: Body,
    scanner: Scanner<ReadStamp>,
    answer: Answer,
}

/// What has been seen of the answer. Apart from the scanner, so that an event goes from one to the other where it is.
#[derive(Debug, Default)]
struct Answer {
    request_id: u64,
    http_status: Option<u16>,
    learned: Learned,
    reply: ReplyText,
    /// The answer as it came, where it is kept; `Err` once it had no room.
    heard: Option<Result<exchange::Answer, ()>>,
    chunk: Option<Box<TokenChunk>>,
    first_token_ns: Option<i64>,
    first_output_ns: Option<i64>,
    last_token_ns: Option<i64>,
    content_events: u32,
    /// It holds vectors, and no text is missed.
    vectors: bool,
    events: u32,
    bytes_received: u64,
    usage: Usage,
    finish_reason: Option<String>,
    /// The stream said that it was whole.
    whole: bool,
    /// The first thing that went wrong inside the answer.
    fault: Option<(Outcome, String)>,
    kept: Vec<u8>,
}

impl Flight {
    /// Makes this the state of a new flight; keeps the buffers of the old one.
    pub fn begin(&mut self, request_id: u64, ordinal: u64, scheduled_ns: i64, released_ns: Option<i64>) {
        let mut learned = std::mem::take(&mut self.answer.learned);
        let mut kept = std::mem::take(&mut self.answer.kept);
        let mut reply = std::mem::take(&mut self.answer.reply);
        self.scanner.reset();
        learned.forget();
        kept.clear();
        reply.forget();
        self.request_id = request_id;
        self.ordinal = ordinal;
        self.scheduled_ns = scheduled_ns;
        self.released_ns = released_ns;
        self.holds_prefill = false;
        self.body = Body::Unknown;
        self.answer = Answer { request_id, learned, kept, reply, ..Answer::default() };
    }

    /// Keeps the text of the answer, which is limited to so many tokens; there is room for it from now on.
    pub fn keep_reply(&mut self, max_tokens: Option<u32>) {
        self.answer.reply.keep(max_tokens);
    }

    /// The text of the answer, where it was kept and is whole: as it stands between the quotes of a JSON string.
    pub fn reply(&mut self) -> Option<&[u8]> {
        self.answer.reply.whole()
    }

    /// Keeps the answer as it comes.
    pub fn keep_exchange(&mut self) {
        self.answer.heard = Some(Ok(exchange::Answer::default()));
    }

    /// The answer as it came, where it was kept and had room.
    pub fn take_heard(&mut self) -> Option<exchange::Answer> {
        let mut heard = self.answer.heard.take()?.ok()?;
        if self.body == Body::Stream {
            heard.events.get_or_insert_default();
            return Some(heard);
        }
        heard.text = std::mem::take(&mut self.answer.kept);
        (heard.text.len() <= exchange::ANSWER_BYTES_MAX).then_some(heard)
    }

    /// When the first event with output of any kind came.
    #[inline]
    pub fn first_token_ns(&self) -> Option<i64> {
        self.answer.first_token_ns
    }

    /// Takes the answer's head.
    pub fn on_head(&mut self, status: u16, event_stream: bool) {
        self.answer.http_status = Some(status);
        self.body = match status {
            200..=299 if event_stream => Body::Stream,
            200..=299 => Body::Document,
            _ => Body::Error,
        };
    }

    /// Takes some of the answer's body. Returns how many stream events it completed.
    pub fn on_body(&mut self, bytes: &[u8], stamp: ReadStamp, recorder: &mut Recorder) -> u32 {
        let Flight { body, scanner, answer, .. } = self;
        answer.bytes_received += bytes.len() as u64;
        let before = answer.events;
        match body {
            Body::Stream => scanner.push(bytes, stamp, |event| answer.on_event(event, recorder)),
            Body::Document if answer.kept.len() + bytes.len() > ANSWER_BYTES_MAX => {
                answer.fail(Outcome::ProtocolError, "the answer is larger than 64 MiB");
            }
            Body::Document => answer.kept.extend_from_slice(bytes),
            Body::Error | Body::Unknown => {
                let room = ERROR_BODY_MAX.saturating_sub(answer.kept.len());
                answer.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
        answer.events - before
    }

    /// Takes events that differ from the last one in nothing but their text. Returns how many they are.
    pub fn on_alike(&mut self, events: Alike<'_>, recorder: &mut Recorder) -> u32 {
        let answer = &mut self.answer;
        let (Some(kind), Some(last_ns)) = (answer.learned.kind(), events.t_ns.last()) else {
            answer.fail(Outcome::ProtocolError, "events are said to be like one that was not text alone");
            return 0;
        };
        debug_assert!(answer.heard.is_none() && !answer.reply.is_kept(), "an answer of which every byte is wanted");
        answer.flush(recorder);
        let turns = events.data_bytes.len().max(1);
        for (t_ns, first) in events.t_ns.chunks(RUN_EVENTS_MAX).zip((0..).step_by(RUN_EVENTS_MAX)) {
            recorder.push_run(TokenRun {
                request_id: answer.request_id,
                first_seq: answer.events + first as u32,
                first_read: events.first_read + first as u32,
                kind,
                t_ns: t_ns.to_vec(),
                bytes: events.data_bytes.iter().cycle().skip(first % turns).take(turns).copied().collect(),
            });
        }
        let count = events.t_ns.len();
        let data = |sizes: &[u32]| sizes.iter().map(|bytes| u64::from(*bytes)).sum::<u64>();
        answer.bytes_received += (count / turns) as u64 * data(events.data_bytes)
            + data(&events.data_bytes[..count % turns])
            + count as u64 * u64::from(events.framing_bytes);
        // What they are like came before them, so that the first token is known.
        answer.content_events += count as u32;
        answer.events += count as u32;
        answer.last_token_ns = Some(*last_ns);
        count as u32
    }

    /// Whether it held a place for requests without a token until now, and has one; says so once.
    #[inline]
    pub fn leaves_prefill(&mut self) -> bool {
        self.holds_prefill && self.answer.first_token_ns.is_some() && std::mem::take(&mut self.holds_prefill)
    }

    /// HTTP's own end of the answer has come: the outcome, and in words why it is not `Completed`.
    pub fn on_end(&mut self, stamp: ReadStamp, recorder: &mut Recorder) -> (Outcome, Option<String>) {
        let Flight { body, scanner, answer, .. } = self;
        match body {
            Body::Stream => {
                scanner.finish(stamp, |event| answer.on_event(event, recorder));
                if scanner.oversized() > 0 {
                    answer.fail(Outcome::ProtocolError, "an event is longer than 4 MiB");
                }
            }
            Body::Document => answer.read_document(),
            Body::Error => {
                let text = error_text(&answer.kept);
                answer.fail(Outcome::HttpError, &text);
            }
            Body::Unknown => answer.fail(Outcome::ProtocolError, "the answer has no head"),
        }
        answer.flush(recorder);
        if answer.fault.is_none() && answer.content_events == 0 && !answer.vectors {
            answer.fail(Outcome::ProtocolError, "the answer holds no output");
        } else if !answer.whole {
            answer.fail(Outcome::Truncated, "the stream ended without a finish reason and without [DONE]");
        }
        answer.ended()
    }

    /// The flight cannot go on. An answer that was already whole stays completed.
    pub fn on_failure(&mut self, outcome: Outcome, text: &str, recorder: &mut Recorder) -> (Outcome, Option<String>) {
        let Flight { scanner, answer, .. } = self;
        scanner.cut(|event| answer.on_event(event, recorder));
        answer.flush(recorder);
        if answer.http_status.is_some_and(|status| !(200..300).contains(&status)) {
            let text = error_text(&answer.kept);
            answer.fail(Outcome::HttpError, &text);
        } else if !(answer.whole && answer.content_events > 0) {
            answer.fail(outcome, text);
        }
        answer.ended()
    }

    /// Fills a row with what the flight and its transport saw.
    pub fn fill(&mut self, row: &mut RequestRow, marks: Marks) {
        row.released_ns = self.released_ns;
        row.dialed_ns = marks.dialed_ns;
        row.connected_ns = marks.connected_ns;
        row.sent_ns = marks.sent_ns;
        row.written_ns = marks.written_ns;
        row.head_ns = marks.head_ns;
        row.bytes_sent = marks.sent_ns.map_or(0, |_| self.body_bytes);
        row.writes = marks.writes;
        row.reads = marks.reads;
        self.answer.fill(row);
    }
}

impl Answer {
    fn on_event(&mut self, event: Event<'_, ReadStamp>, recorder: &mut Recorder) {
        let Event { name, data, stamp } = event;
        if let Some(heard) = &mut self.heard {
            let has_room = heard.as_mut().is_ok_and(|answer| answer.push(name, data, stamp.seen_ns()));
            if !has_room {
                *heard = Err(());
            }
        }
        let (kind, tokens) = match self.learned.recognise(data) {
            Some(kind) => {
                if self.reply.is_kept() && kind == EventKind::Output {
                    self.reply.push(self.learned.text(data));
                }
                (kind, None)
            }
            None => self.walk(data),
        };
        if kind.is_content() {
            let seen_ns = stamp.seen_ns();
            self.content_events += 1;
            self.first_token_ns.get_or_insert(seen_ns);
            if kind != EventKind::Reasoning {
                self.first_output_ns.get_or_insert(seen_ns);
            }
            self.last_token_ns = Some(seen_ns);
        }
        self.whole |= kind == EventKind::Done;
        self.record(
            TokenStamp {
                t_ns: stamp.t_ns,
                kernel_ns: stamp.kernel_ns,
                read: stamp.read,
                bytes: data.len() as u32,
                tokens,
                kind,
            },
            recorder,
        );
    }

    /// Parses an event. Gives its kind, and the tokens that it carried, if it tells.
    fn walk(&mut self, data: &[u8]) -> (EventKind, Option<u16>) {
        match Delta::read(data) {
            Ok(delta) => {
                self.learned.learn(data, &delta);
                (delta.kind, self.take_delta(&delta))
            }
            Err(malformed) => {
                if self.fault.is_none() {
                    let text = format!("event {} is not JSON at byte {}", self.events, malformed.at);
                    self.fail(Outcome::ProtocolError, &text);
                }
                (EventKind::Other, None)
            }
        }
    }

    /// Takes what a delta says beyond its kind. Returns the tokens that the event carried, if its running usage
    /// tells.
    fn take_delta(&mut self, delta: &Delta<'_>) -> Option<u16> {
        let mut tokens = None;
        if let (true, EventKind::Output, Some(text)) = (self.reply.is_kept(), delta.kind, delta.text) {
            self.reply.push(text);
        }
        if let Some(usage) = delta.usage {
            if let (true, Some(now)) = (delta.kind.is_content(), usage.completion_tokens) {
                let before = self.usage.completion_tokens.unwrap_or(0);
                tokens = u16::try_from(now.saturating_sub(before)).ok();
            }
            self.take_usage(usage);
        }
        if let Some(reason) = delta.finish_reason {
            self.take_finish_reason(reason);
        }
        if let Some(error) = delta.error {
            self.fail_bytes(Outcome::StreamError, error);
        }
        tokens
    }

    fn take_finish_reason(&mut self, reason: &[u8]) {
        self.whole = true;
        if self.finish_reason.is_none() {
            self.finish_reason = Some(bounded(reason, 64));
        }
    }

    fn take_usage(&mut self, usage: Usage) {
        self.usage = Usage {
            prompt_tokens: usage.prompt_tokens.or(self.usage.prompt_tokens),
            completion_tokens: usage.completion_tokens.or(self.usage.completion_tokens),
            cached_tokens: usage.cached_tokens.or(self.usage.cached_tokens),
            reasoning_tokens: usage.reasoning_tokens.or(self.usage.reasoning_tokens),
        };
    }

    #[inline]
    fn record(&mut self, stamp: TokenStamp, recorder: &mut Recorder) {
        let chunk = self.chunk.get_or_insert_with(|| {
            let mut chunk = recorder.chunk();
            chunk.request_id = self.request_id;
            chunk.first_seq = self.events;
            chunk
        });
        chunk.stamps.push(stamp);
        self.events += 1;
        if chunk.is_full() {
            self.flush(recorder);
        }
    }

    fn flush(&mut self, recorder: &mut Recorder) {
        if let Some(chunk) = self.chunk.take() {
            recorder.push_tokens(chunk);
        }
    }

    fn fail(&mut self, outcome: Outcome, text: &str) {
        self.fail_bytes(outcome, text.as_bytes());
    }

    fn fail_bytes(&mut self, outcome: Outcome, text: &[u8]) {
        if self.fault.is_none() {
            self.fault = Some((outcome, bounded(text, ERROR_TEXT_MAX)));
        }
    }

    fn ended(&mut self) -> (Outcome, Option<String>) {
        match self.fault.take() {
            Some((outcome, text)) => (outcome, Some(text)),
            None => (Outcome::Completed, None),
        }
    }

    fn read_document(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        match Delta::read(&kept) {
            Ok(delta) => {
                self.content_events = u32::from(delta.kind.is_content());
                self.vectors = delta.vectors;
                self.whole = true;
                self.take_delta(&delta);
            }
            Err(malformed) => {
                self.fail(Outcome::ProtocolError, &format!("the answer is not JSON at byte {}", malformed.at));
            }
        }
        self.kept = kept;
    }

    fn fill(&mut self, row: &mut RequestRow) {
        row.first_token_ns = self.first_token_ns;
        row.first_output_ns = self.first_output_ns;
        row.last_token_ns = self.last_token_ns;
        row.http_status = self.http_status;
        row.finish_reason = self.finish_reason.take();
        row.prompt_tokens = self.usage.prompt_tokens;
        row.cached_tokens = self.usage.cached_tokens;
        row.reasoning_tokens = self.usage.reasoning_tokens;
        row.events = self.events;
        row.bytes_received = self.bytes_received;
        // Some servers count no token of output where there is none to count.
        let counted = self.usage.completion_tokens.filter(|_| !self.vectors);
        (row.output_tokens, row.output_tokens_source) = match counted {
            Some(n) => (Some(n), TokenSource::Usage),
            None if self.content_events > 0 => (Some(self.content_events), TokenSource::Events),
            None => (None, TokenSource::Events),
        };
    }
}

/// The words of an error page: the message of a JSON error, else the page's beginning.
fn error_text(page: &[u8]) -> String {
    match Delta::read(page) {
        Ok(Delta { error: Some(message), .. }) if !message.is_empty() => bounded(message, ERROR_TEXT_MAX),
        _ => bounded(page.trim_ascii(), ERROR_TEXT_MAX),
    }
}

/// At most `max` bytes as text; what is not UTF-8 is replaced.
fn bounded(bytes: &[u8], max: usize) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned();
    while text.len() > max {
        text.pop();
    }
    text
}
