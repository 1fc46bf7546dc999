//! A network in simulated time: the engine's transport with a seeded world behind it, and the truth about what it did.
//!
//! Each request meets a fate drawn from the seed: no descriptor for its connection, a connection that fails, a status, a stream whose bytes are cut and
//! coalesced at random, a stall, a reset, an early end, an error event. What the engine should have seen of it is
//! kept as [`Truth`], made from byte offsets and not by the engine's own parsers.
//! Invariant: waiting moves the clock to the next thing that happens, and never past the time asked for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use rand::RngExt;

use crate::engine::stop::{Stop, StopSwitch};
use crate::engine::transport::{FlightKey, Marks, Outgoing, ReadStamp, Signal, Transport};
use crate::outcome::Outcome;
use crate::rng::{Rng, Seed, Stream};
use crate::time::{Clock, SimClock};

/// What is due within this time is waited for before the next signal: longer than on a real network, so that it is met with.
const HOLD_NS: i64 = 200_000;

/// What the network did to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// The `X-Request-Id` that came with it.
    pub x_request_id: String,
    /// The body that came with it.
    pub body: Vec<u8>,
    /// When it was started.
    pub started_ns: i64,
    /// How it ends if nobody gives it up first; [`Outcome::NotSent`] where no connection was to be had.
    pub outcome: Outcome,
    /// For each stream event: the time of the read that completes its data line.
    pub events_ns: Vec<i64>,
    /// For each of them, whether it carries output.
    pub content: Vec<bool>,
}

/// Something that will happen.
#[derive(Debug)]
enum Step {
    Mark(fn(&mut Marks, i64)),
    Head(u16),
    Body(Vec<u8>, ReadStamp),
    End,
    Failed(Outcome),
}

/// The network of one worker.
#[derive(Debug)]
pub struct SimNetwork {
    clock: SimClock,
    rng: Rng,
    /// What will happen, by time and then by order of planning.
    future: BinaryHeap<Reverse<(i64, u64)>>,
    steps: HashMap<u64, (FlightKey, Step)>,
    planned: u64,
    arrived: VecDeque<(FlightKey, Step)>,
    /// The body that was handed out last.
    lent: Vec<u8>,
    marks: HashMap<FlightKey, Marks>,
    truths: Vec<Truth>,
    interruption: Option<(i64, Stop, Arc<StopSwitch>)>,
}

impl SimNetwork {
    /// A network on this clock, with fates drawn from this seed.
    pub fn new(clock: SimClock, seed: Seed) -> Self {
        SimNetwork {
            clock,
            rng: seed.stream(Stream::Simulation),
            future: BinaryHeap::new(),
            steps: HashMap::new(),
            planned: 0,
            arrived: VecDeque::new(),
            lent: Vec::new(),
            marks: HashMap::new(),
            truths: Vec::new(),
            interruption: None,
        }
    }

    /// Asks for a stop when the clock reaches `at_ns`, as a Ctrl-C would.
    pub fn interrupt_at(&mut self, at_ns: i64, stop: Stop, switch: Arc<StopSwitch>) {
        self.interruption = Some((at_ns, stop, switch));
    }

    /// What was done to each request, in order of their start.
    pub fn truths(&self) -> &[Truth] {
        &self.truths
    }

    fn plan(&mut self, at_ns: i64, key: FlightKey, step: Step) {
        self.future.push(Reverse((at_ns, self.planned)));
        self.steps.insert(self.planned, (key, step));
        self.planned += 1;
    }

    /// Makes everything happen that is due.
    fn happen(&mut self) {
        while let Some(&Reverse((at_ns, number))) = self.future.peek() {
            if at_ns > self.clock.now_ns() {
                return;
            }
            self.future.pop();
            let Some((key, step)) = self.steps.remove(&number) else { continue };
            // Steps of a flight that was released happen to nobody.
            let Some(marks) = self.marks.get_mut(&key) else { continue };
            match step {
                Step::Mark(set) => set(marks, at_ns),
                signal => self.arrived.push_back((key, signal)),
            }
        }
    }

    fn gap_ns(&mut self, mean_ns: f64) -> i64 {
        let u: f64 = self.rng.random();
        (-mean_ns * (1.0 - u).ln()) as i64
    }

    /// Draws the fate of a request and plans its steps.
    fn fate(&mut self, key: FlightKey, request: &Outgoing) -> Truth {
        let started_ns = self.clock.now_ns();
        let mut truth = Truth {
            x_request_id: request.x_request_id.clone(),
            body: request.body.to_vec(),
            started_ns,
            outcome: Outcome::Completed,
            events_ns: Vec::new(),
            content: Vec::new(),
        };
        let mut t = started_ns + self.gap_ns(20_000.0);
        if self.rng.random_bool(0.3) {
            if self.rng.random_bool(0.05) {
                truth.outcome = Outcome::NotSent;
                self.plan(t, key, Step::Failed(Outcome::NotSent));
                return truth;
            }
            self.plan(t, key, Step::Mark(|m, t| m.dialed_ns = Some(t)));
            t += self.gap_ns(200_000.0);
            if self.rng.random_bool(0.1) {
                truth.outcome = Outcome::ConnectError;
                self.plan(t, key, Step::Failed(Outcome::ConnectError));
                return truth;
            }
            self.plan(t, key, Step::Mark(|m, t| m.connected_ns = Some(t)));
        }
        self.plan(t, key, Step::Mark(|m, t| m.sent_ns = Some(t)));
        t += self.gap_ns(10_000.0);
        self.plan(t, key, Step::Mark(|m, t| (m.written_ns, m.writes) = (Some(t), 1)));
        t += self.gap_ns(20e6);
        if self.rng.random_bool(0.05) {
            truth.outcome = Outcome::Reset;
            self.plan(t, key, Step::Failed(Outcome::Reset));
            return truth;
        }
        self.plan(t, key, Step::Mark(|m, t| m.head_ns = Some(t)));
        let status = if self.rng.random_bool(0.05) { 503 } else { 200 };
        self.plan(t, key, Step::Head(status));
        if status != 200 {
            truth.outcome = Outcome::HttpError;
            let body = b"{\"error\":{\"message\":\"busy\"}}".to_vec();
            let stamp = ReadStamp { t_ns: t, kernel_ns: None, read: 0 };
            self.plan(t, key, Step::Body(body, stamp));
            self.plan(t, key, Step::End);
            return truth;
        }
        self.stream(key, t, &mut truth);
        truth
    }

    /// Plans the bytes of a stream from `t` on, and how it ends.
    fn stream(&mut self, key: FlightKey, mut t: i64, truth: &mut Truth) {
        let script = Script::draw(&mut self.rng);
        truth.outcome = script.outcome;
        let mut read = 0;
        let mut from = 0;
        while from < script.bytes.len() {
            t += self.gap_ns(5e6);
            let most = (script.bytes.len() - from).min(400);
            let to = from + self.rng.random_range(1..=most);
            let bytes = script.bytes[from..to].to_vec();
            let stamp = ReadStamp { t_ns: t, kernel_ns: None, read };
            for (line_end, content) in &script.lines {
                if (from..to).contains(line_end) {
                    truth.events_ns.push(t);
                    truth.content.push(*content);
                }
            }
            self.plan(t, key, Step::Body(bytes, stamp));
            read += 1;
            from = to;
        }
        t += self.gap_ns(1e6);
        let last = match script.end {
            End::Clean => Step::End,
            End::Reset => Step::Failed(Outcome::Reset),
            End::Never => return,
        };
        self.plan(t, key, last);
    }
}

/// How a stream's transport ends.
enum End {
    Clean,
    Reset,
    Never,
}

/// The bytes of a stream, and what they mean.
struct Script {
    bytes: Vec<u8>,
    /// For each event: the offset of the byte that ends its data line, and whether it carries output.
    lines: Vec<(usize, bool)>,
    outcome: Outcome,
    end: End,
}

impl Script {
    fn draw(rng: &mut Rng) -> Script {
        let mut script = Script { bytes: Vec::new(), lines: Vec::new(), outcome: Outcome::Completed, end: End::Clean };
        let newline = ["\n", "\r\n", "\r"][rng.random_range(0..3)];
        script.event(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#, newline, false);
        for _ in 0..rng.random_range(1..40) {
            if rng.random_bool(0.05) {
                script.bytes.extend_from_slice(format!(": keep-alive{newline}{newline}").as_bytes());
            }
            script.event(r#"{"choices":[{"index":0,"delta":{"content":" tok"}}]}"#, newline, true);
        }
        match rng.random_range(0..20) {
            0 => script.outcome = Outcome::Truncated,
            1 => (script.outcome, script.end) = (Outcome::Reset, End::Reset),
            2 => (script.outcome, script.end) = (Outcome::Timeout, End::Never),
            3 => {
                script.event(r#"{"error":{"message":"boom","code":500}}"#, newline, false);
                script.event("[DONE]", newline, false);
                script.outcome = Outcome::StreamError;
            }
            4 => {
                script.event(r#"{"choices":[{"del"#, newline, false);
                script.event("[DONE]", newline, false);
                script.outcome = Outcome::ProtocolError;
            }
            // A server that leaves out [DONE], and one that breaks the connection behind it.
            5 => script.event(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, newline, false),
            6 => {
                script.event("[DONE]", newline, false);
                script.end = End::Reset;
            }
            _ => {
                script.event(r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#, newline, false);
                script.event("[DONE]", newline, false);
            }
        }
        script
    }

    fn event(&mut self, data: &str, newline: &str, content: bool) {
        self.bytes.extend_from_slice(b"data: ");
        self.bytes.extend_from_slice(data.as_bytes());
        self.lines.push((self.bytes.len(), content));
        self.bytes.extend_from_slice(newline.as_bytes());
        self.bytes.extend_from_slice(newline.as_bytes());
    }
}

impl Transport for SimNetwork {
    type Prepared = Outgoing;

    fn prepare(&self, request: Outgoing) -> Outgoing {
        request
    }

    fn start(&mut self, key: FlightKey, request: Outgoing) {
        self.marks.insert(key, Marks::default());
        let truth = self.fate(key, &request);
        self.truths.push(truth);
    }

    fn marks(&self, key: FlightKey) -> Marks {
        self.marks.get(&key).copied().unwrap_or_default()
    }

    fn release(&mut self, key: FlightKey) {
        self.marks.remove(&key);
    }

    fn poll_signal(&mut self) -> Option<(FlightKey, Signal<'_>)> {
        self.happen();
        let (key, step) = self.arrived.pop_front()?;
        let signal = match step {
            Step::Head(status) => Signal::Head { status, event_stream: status == 200 },
            Step::Body(bytes, stamp) => {
                self.lent = bytes;
                if let Some(marks) = self.marks.get_mut(&key) {
                    marks.reads = stamp.read + 1;
                }
                Signal::Body { bytes: &self.lent, stamp }
            }
            Step::End | Step::Mark(_) => Signal::End,
            Step::Failed(outcome) => Signal::Failed { outcome, text: "simulated".into() },
        };
        Some((key, signal))
    }

    fn hold(&mut self, now_ns: i64, until_ns: i64) -> bool {
        let holds = until_ns - now_ns <= HOLD_NS && self.interruption.is_none();
        if holds {
            self.clock.advance_to(until_ns);
        }
        holds
    }

    async fn wait(&mut self, until_ns: i64) {
        let next_ns = self.future.peek().map_or(i64::MAX, |Reverse((t, _))| *t);
        let mut to_ns = until_ns.min(next_ns);
        if let Some((at_ns, ..)) = &self.interruption {
            to_ns = to_ns.min((*at_ns).max(self.clock.now_ns()));
        }
        self.clock.advance_to(to_ns);
        if let Some((at_ns, stop, switch)) = &self.interruption
            && *at_ns <= self.clock.now_ns()
        {
            switch.ask(*stop);
            self.interruption = None;
        }
        self.happen();
    }

    fn connections(&self) -> u64 {
        0
    }
}
