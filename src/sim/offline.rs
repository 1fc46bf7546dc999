//! A deployment without sockets: a network in simulated time, behind which an engine answers.
//!
//! In: requests, as [`Transport`]. Out: the bytes that [`super::server`] would send, at the times of the engine, without
//! the time of any network. Waiting moves the clock to the engine's next event and no further, so that a whole
//! day takes as long as its events do.
//! Invariants: the client's own parsers read every event that is not like the one before but for its text, and every byte where they
//! are kept; of the others it is told times and sizes, all at once, when something hangs on them. Equal seeds and plans give
//! equal times.

use std::collections::VecDeque;

use http::StatusCode;

use super::ask::{Api, Ask};
use super::config::ServeConfig;
use super::content::Content;
use super::deployment::{Deployment, Job, Refusal, SequenceId, Token};
use super::read_ahead::{Asked, ReadAhead};
use super::reply::{FRAMING_BYTES, Reply, Usage, done_event, error_body, with_usage};
use crate::engine::transport::{Alike, FlightKey, Marks, Outgoing, ReadStamp, Signal, Transport};
use crate::error::Result;
use crate::prompt::arena::Pieces;
use crate::rng::Seed;
use crate::time::{Clock, SimClock};
use crate::wire::learned::BYTES_MAX;

/// An answer under way.
#[derive(Debug)]
struct Flight {
    key: FlightKey,
    marks: Marks,
    sequence: SequenceId,
    reply: Reply,
    stream: bool,
    include_usage: bool,
    continuous_usage: bool,
    prompt_tokens: u32,
    produced_tokens: u32,
    /// Reads of its body so far.
    reads: u32,
    /// Whether tokens are held back, behind the first and before the last.
    holds_back: bool,
    /// When those came that are, as far as the engine has told.
    held_ns: Vec<i64>,
}

/// A request that the engine took, what it is answered with, and whether tokens are held back; or what it is told where the
/// engine did not.
type Submitted = std::result::Result<(Ask<'static>, Reply, bool), (StatusCode, String)>;

/// Words of an answer whose events are measured: they repeat after that.
const WORDS_TRIED: u32 = 16;

/// What the client is told next.
#[derive(Debug)]
enum Step {
    Head(StatusCode),
    Body(Vec<u8>, i64),
    /// The next token of the flight.
    Token(Token),
    /// The tokens that were held back.
    Held,
    End,
}

/// The network of one worker, and the deployment behind it.
#[derive(Debug)]
pub struct Offline {
    clock: SimClock,
    deployment: Box<dyn Deployment>,
    api: Api,
    model: String,
    model_json: String,
    max_model_tokens: u32,
    queue_full: StatusCode,
    seed: Seed,
    ahead: Option<ReadAhead>,
    submitted: u64,
    /// By the place of their keys.
    flights: Vec<Option<Flight>>,
    under_way: UnderWay,
    steps: VecDeque<(FlightKey, Step)>,
    tokens: Vec<Token>,
    /// The body that was handed out last.
    lent: Vec<u8>,
    /// The times and sizes that were handed out last.
    lent_ns: Vec<i64>,
    lent_bytes: Vec<u32>,
}

/// The flights of the sequences from the oldest one under way on, by their numbers, of which each is one more than the last.
#[derive(Debug, Default)]
struct UnderWay {
    first: u64,
    keys: VecDeque<Option<FlightKey>>,
}

impl UnderWay {
    fn push(&mut self, key: Option<FlightKey>) {
        self.keys.push_back(key);
    }

    fn place(&mut self, sequence: SequenceId) -> Option<&mut Option<FlightKey>> {
        self.keys.get_mut(usize::try_from(sequence.0.checked_sub(self.first)?).ok()?)
    }

    fn get(&mut self, sequence: SequenceId) -> Option<FlightKey> {
        *self.place(sequence)?
    }

    fn remove(&mut self, sequence: SequenceId) -> Option<FlightKey> {
        let key = self.place(sequence)?.take();
        while self.keys.pop_front_if(|key| key.is_none()).is_some() {
            self.first += 1;
        }
        key
    }
}

impl Offline {
    /// The deployment of this configuration, asked by this API.
    ///
    /// # Errors
    /// Those of [`ServeConfig::engine`].
    pub fn new(config: &ServeConfig, api: Api, clock: SimClock) -> Result<Offline> {
        Ok(Offline {
            clock,
            deployment: config.engine()?,
            api,
            model: config.model.clone(),
            model_json: serde_json::Value::from(config.model.as_str()).to_string(),
            max_model_tokens: config.max_model_len,
            queue_full: StatusCode::from_u16(config.queue_full_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            seed: config.seed,
            ahead: None,
            submitted: 0,
            flights: Vec::new(),
            under_way: UnderWay::default(),
            steps: VecDeque::new(),
            tokens: Vec::new(),
            lent: Vec::new(),
            lent_ns: Vec::new(),
            lent_bytes: Vec::new(),
        })
    }

    /// Has bodies that will be sent, about in this order, read by another thread. It changes no answer.
    pub fn read_ahead(&mut self, bodies: impl Iterator<Item = Pieces> + Send + 'static) {
        self.ahead = Some(ReadAhead::new(bodies, (self.api, self.max_model_tokens)));
    }

    fn flight(&mut self, key: FlightKey) -> Option<&mut Flight> {
        self.flights.get_mut(key.index as usize)?.as_mut().filter(|f| f.key == key)
    }

    /// Gives a request to the engine.
    fn submit(&mut self, now_ns: i64, body: &Pieces, verbatim: bool) -> Submitted {
        // A refused one has a number of its own too: what is done to it must never meet another.
        let number = self.submitted;
        self.submitted += 1;
        let read = self.ahead.as_mut().and_then(|ahead| ahead.take(body));
        let read = read.unwrap_or_else(|| Asked::read(body, (self.api, self.max_model_tokens)));
        let Asked { ask, content } = read.map_err(|bad| (StatusCode::BAD_REQUEST, bad.message))?;
        if ask.model.as_ref().is_some_and(|m| *m != self.model) {
            return Err((StatusCode::NOT_FOUND, format!("this deployment has `{}`", self.model)));
        }
        let hash = self.seed.hash(number);
        let reply = Reply::new(self.api, &format!("sim-{hash:016x}"), 0, &self.model_json, hash);
        let holds_back = ask.stream
            && !verbatim
            && !ask.continuous_usage
            && (0..ask.output_tokens.min(WORDS_TRIED)).all(|p| reply.token_data_bytes(p) <= BYTES_MAX);
        let content = Content { answer: hash, ..content };
        let quiet = holds_back || !ask.stream;
        let job = Job { prompt_tokens: ask.prompt_tokens, output_tokens: ask.output_tokens, content, quiet };
        self.deployment.submit(SequenceId(number), now_ns, job).map_err(|refusal| match refusal {
            Refusal::QueueFull => (self.queue_full, "the queue is full".into()),
            Refusal::TooLong { kv_tokens } => {
                (StatusCode::BAD_REQUEST, format!("longer than the whole KV cache of {kv_tokens} tokens"))
            }
        })?;
        Ok((ask, reply, holds_back))
    }

    /// Does what is due, and plans what the clients are told of it.
    fn happen(&mut self) {
        self.deployment.advance(self.clock.now_ns(), &mut self.tokens);
        let mut tokens = std::mem::take(&mut self.tokens);
        for mut token in tokens.drain(..) {
            let Some(key) = self.under_way.get(token.sequence) else { continue };
            if token.last {
                self.under_way.remove(token.sequence);
            }
            let Some(flight) = self.flight(key) else { continue };
            flight.produced_tokens += 1 + token.before_ns.len() as u32;
            if flight.holds_back {
                flight.hold(std::mem::take(&mut token.before_ns));
                if flight.produced_tokens > 1 && !token.last {
                    flight.held_ns.push(token.at_ns);
                    continue;
                }
            }
            let held = !flight.held_ns.is_empty();
            // An answer in one piece comes with its last token.
            let (stream, last) = (flight.stream, token.last);
            let heard = if stream { flight.produced_tokens == 1 } else { last };
            if heard {
                flight.marks.head_ns = Some(token.at_ns);
                self.steps.push_back((key, Step::Head(StatusCode::OK)));
            }
            if held {
                self.steps.push_back((key, Step::Held));
            }
            if heard || stream {
                self.steps.push_back((key, Step::Token(token)));
            }
            if last {
                self.steps.push_back((key, Step::End));
            }
        }
        self.tokens = tokens;
    }

    /// Hands out the tokens of a flight that were held back and came before `end_ns`.
    fn lend_held(&mut self, key: FlightKey, end_ns: i64) -> Alike<'_> {
        let (mut times, mut sizes) = (std::mem::take(&mut self.lent_ns), std::mem::take(&mut self.lent_bytes));
        times.clear();
        sizes.clear();
        let mut first_read = 0;
        if let Some(flight) = self.flight(key) {
            let count = flight.held_ns.partition_point(|t_ns| *t_ns < end_ns);
            times.extend(flight.held_ns.drain(..count));
            first_read = flight.reads;
            flight.reads += count as u32;
            flight.marks.reads = flight.reads;
            sizes.extend((0..WORDS_TRIED).map(|i| flight.reply.token_data_bytes(first_read + i) as u32));
        }
        (self.lent_ns, self.lent_bytes) = (times, sizes);
        let framing_bytes = FRAMING_BYTES as u32;
        Alike { t_ns: &self.lent_ns, data_bytes: &self.lent_bytes, framing_bytes, first_read }
    }

    /// Writes what a token brings; the stamp of its read.
    fn write(&mut self, key: FlightKey, token: &Token) -> ReadStamp {
        self.lent.clear();
        let mut into = std::mem::take(&mut self.lent);
        let mut read = 0;
        if let Some(flight) = self.flight(key) {
            flight.write(&mut into, token);
            read = flight.reads;
            flight.reads += 1;
            flight.marks.reads = flight.reads;
        }
        self.lent = into;
        ReadStamp { t_ns: token.at_ns, kernel_ns: None, read }
    }
}

impl Flight {
    /// Holds tokens back that came in this order.
    fn hold(&mut self, times_ns: Vec<i64>) {
        if self.held_ns.is_empty() {
            self.held_ns = times_ns;
        } else {
            self.held_ns.extend(times_ns);
        }
    }

    fn usage(&self, token: &Token, output_tokens: u32) -> Usage {
        Usage { prompt_tokens: self.prompt_tokens, output_tokens, cached_tokens: token.cached_tokens }
    }

    fn counted(&self, event: bytes::Bytes, token: &Token, output_tokens: u32) -> bytes::Bytes {
        if self.continuous_usage { with_usage(&event, self.usage(token, output_tokens)) } else { event }
    }

    fn write(&self, into: &mut Vec<u8>, token: &Token) {
        // Of a stream, reads count tokens.
        let position = self.reads;
        if !self.stream {
            into.extend_from_slice(&self.reply.whole(self.usage(token, self.produced_tokens)));
            return;
        }
        if position == 0 && self.reply.has_role() {
            let role = self.reply.role_event(self.usage(token, 0));
            into.extend_from_slice(&self.counted(role, token, 0));
        }
        if self.continuous_usage {
            let event = self.reply.token_event(position, token.last);
            into.extend_from_slice(&self.counted(event, token, position + 1));
        } else {
            self.reply.put_token_event(into, position, token.last);
        }
        if token.last {
            if self.include_usage {
                into.extend_from_slice(&self.reply.usage_event(self.usage(token, position + 1)));
            }
            into.extend_from_slice(&done_event());
        }
    }
}

impl Transport for Offline {
    type Prepared = Outgoing;

    fn prepare(&self, request: Outgoing) -> Outgoing {
        request
    }

    fn start(&mut self, key: FlightKey, request: Outgoing) {
        let now_ns = self.clock.now_ns();
        let mut marks = Marks { sent_ns: Some(now_ns), written_ns: Some(now_ns), writes: 1, ..Marks::default() };
        let sequence = SequenceId(self.submitted);
        let (ask, reply, holds_back) = match self.submit(now_ns, &request.body, request.verbatim) {
            Ok(taken) => {
                self.under_way.push(Some(key));
                taken
            }
            Err((status, message)) => {
                self.under_way.push(None);
                (marks.head_ns, marks.reads) = (Some(now_ns), 1);
                self.steps.push_back((key, Step::Head(status)));
                let body = error_body(status, &message, None).to_vec();
                self.steps.push_back((key, Step::Body(body, now_ns)));
                self.steps.push_back((key, Step::End));
                (Ask::default(), Reply::new(self.api, "", 0, "", 0), false)
            }
        };
        let index = key.index as usize;
        if self.flights.len() <= index {
            self.flights.resize_with(index + 1, || None);
        }
        self.flights[index] = Some(Flight {
            key,
            marks,
            sequence,
            reply,
            stream: ask.stream,
            include_usage: ask.include_usage,
            continuous_usage: ask.continuous_usage,
            prompt_tokens: ask.prompt_tokens,
            produced_tokens: 0,
            reads: 0,
            holds_back,
            held_ns: Vec::new(),
        });
    }

    fn marks(&self, key: FlightKey) -> Marks {
        let flight = self.flights.get(key.index as usize).and_then(Option::as_ref);
        flight.filter(|f| f.key == key).map(|f| f.marks).unwrap_or_default()
    }

    fn release(&mut self, key: FlightKey) {
        let Some(flight) = self.flights.get_mut(key.index as usize).and_then(|f| f.take_if(|f| f.key == key)) else {
            return;
        };
        if self.under_way.remove(flight.sequence).is_some() {
            self.deployment.cancel(flight.sequence);
        }
    }

    fn poll_signal(&mut self) -> Option<(FlightKey, Signal<'_>)> {
        loop {
            let (key, step) = self.steps.pop_front()?;
            let signal = match step {
                // Nothing comes of a flight that was released.
                _ if self.flight(key).is_none() => continue,
                Step::Head(status) => {
                    let stream = self.flight(key).is_some_and(|f| f.stream);
                    Signal::Head { status: status.as_u16(), event_stream: stream && status == StatusCode::OK }
                }
                Step::Body(bytes, t_ns) => {
                    self.lent = bytes;
                    Signal::Body { bytes: &self.lent, stamp: ReadStamp { t_ns, kernel_ns: None, read: 0 } }
                }
                Step::Token(token) => {
                    let stamp = self.write(key, &token);
                    Signal::Body { bytes: &self.lent, stamp }
                }
                Step::Held => Signal::Alike(self.lend_held(key, i64::MAX)),
                Step::End => Signal::End,
            };
            return Some((key, signal));
        }
    }

    fn held_back(&mut self, key: FlightKey, now_ns: i64) -> Option<Alike<'_>> {
        let flight = self.flight(key).filter(|flight| flight.holds_back)?;
        let sequence = flight.sequence;
        // It is given up now: what the engine has not told of does not come any more.
        if self.under_way.remove(sequence).is_some() {
            let untold_ns = self.deployment.cancel(sequence);
            self.flight(key)?.hold(untold_ns);
        }
        let first_ns = *self.flight(key)?.held_ns.first()?;
        (first_ns < now_ns).then(|| self.lend_held(key, now_ns))
    }

    async fn wait(&mut self, until_ns: i64) {
        if !self.steps.is_empty() {
            return;
        }
        let next_ns = self.deployment.next_event_ns().unwrap_or(i64::MAX);
        self.clock.advance_to(until_ns.min(next_ns));
        self.happen();
    }

    fn connections(&self) -> u64 {
        0
    }
}
