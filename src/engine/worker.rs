//! One core's share of a run: the loop that sends what is due, takes in what came, and gives up what is late.
//!
//! Generic over clock and transport, so that simulated time and a simulated network drive this very loop.
//! Invariants: a due slot is sent before the next signal is looked at; a late slot is sent late and never skipped,
//! merged or moved; every slot leaves exactly one row.
//! Not here: how requests end (`endings`), bytes (the transport), their meaning ([`super::flight`]), what is due ([`super::agenda`]).

mod endings;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::agenda::{Agenda, Due};
use super::conversations::Conversations;
use super::interference::Interference;
use super::live::LiveCounters;
use super::places::Places;
use super::stop::{Stop, StopSwitch};
use super::transport::{FlightKey, Outgoing, ReadStamp, Signal, Transport};
use crate::outcome::{Outcome, OutcomeCounts};
use crate::record::ring::Recorder;
use crate::schedule::conversation::History;
use crate::schedule::ramp::Ramp;
use crate::schedule::{Overload, PhasePlan, Plan, Slot};
use crate::time::{Clock, MILLISECOND_NS};

/// Longest wait without a look at the stop switch.
const LOOK_UP_NS: i64 = 50 * MILLISECOND_NS;
/// The reason of what was cut, and not sent, after too many failures.
const GIVEN_UP: &str = "the run was stopped because too many requests had failed (--failed-request-threshold)";
/// Signals taken in before stops and deadlines are looked at again.
const SIGNALS_PER_TURN: u32 = 256;

/// What a worker is told.
#[derive(Clone, Debug)]
pub struct WorkerSpec {
    /// Its number.
    pub worker: u32,
    /// How many there are.
    pub workers: u32,
    /// Time from a request's send to its giving up.
    pub timeout_ns: i64,
    /// Names this run in `X-Request-Id`.
    pub run_id: String,
    /// Time that is spun away after every body signal; 0 but for calibration.
    pub burn_ns: i64,
}

/// What became of a worker's share of one phase.
#[derive(Clone, Debug, Default)]
pub struct PhaseShare {
    /// Requests in the share; of closed-loop load bounded by time, those released.
    pub scheduled: u64,
    /// How they ended.
    pub outcomes: OutcomeCounts,
    /// End of its last request.
    pub end_ns: i64,
    /// Most requests in flight at once.
    pub in_flight_max: u64,
}

/// A request that was put together.
#[derive(Debug)]
struct Ready<T: Transport> {
    request: T::Prepared,
    body_bytes: u64,
}

/// The worker.
#[derive(Debug)]
pub struct Worker<C, T: Transport> {
    spec: WorkerSpec,
    plan: Arc<Plan>,
    clock: C,
    transport: T,
    recorder: Recorder,
    live: Arc<LiveCounters>,
    stop: Arc<StopSwitch>,
    places: Places,
    /// Deadlines in order: the time limit is the same for all, so they come due as they were sent.
    deadlines: VecDeque<(i64, FlightKey)>,
    /// When requests that the client gives up on purpose are to be looked at, and their keys.
    cancellations: BinaryHeap<Reverse<(i64, u32, u32)>>,
    /// Flights whose sending others wait for, until it is seen.
    unsent: Vec<FlightKey>,
    /// The request that the clock releases next, put together while there was nothing else to do; by position.
    staged: Option<(u64, Ready<T>)>,
    /// What the server said in sessions whose later turns hold it.
    conversations: Conversations,
    interference: Interference,
    share: PhaseShare,
}

impl<C: Clock, T: Transport> Worker<C, T> {
    /// A worker with nothing in flight.
    pub fn new(
        spec: WorkerSpec,
        plan: Arc<Plan>,
        (clock, transport): (C, T),
        recorder: Recorder,
        (live, stop): (Arc<LiveCounters>, Arc<StopSwitch>),
    ) -> Self {
        let interference = Interference::new(clock.now_ns());
        Worker {
            spec,
            plan,
            clock,
            transport,
            recorder,
            live,
            stop,
            places: Places::default(),
            deadlines: VecDeque::new(),
            cancellations: BinaryHeap::new(),
            unsent: Vec::new(),
            staged: None,
            conversations: Conversations::default(),
            interference,
            share: PhaseShare::default(),
        }
    }

    /// The transport, to ask what it did.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Token rows that found the ring full.
    pub fn tokens_lost(&self) -> u64 {
        self.recorder.tokens_lost()
    }

    /// Answers that later turns were to be sent with, and for which the planned ones stood in.
    pub fn replies_stood_in(&self) -> u64 {
        self.conversations.stood_in()
    }

    /// Ends the worker; what is left of it is what it did to the run.
    pub fn into_interference(self) -> Interference {
        self.interference
    }

    /// Runs this worker's share of a phase to its end.
    pub async fn run_phase(&mut self, index: usize, start_ns: i64) -> PhaseShare {
        let plan = self.plan.clone();
        let phase = &plan.phases[index];
        let (worker, workers) = (self.spec.worker, self.spec.workers);
        let caps = phase.caps;
        let opening = |most, ramp_ns| Ramp::new(most, ramp_ns, start_ns, worker, workers);
        let mut run = PhaseRun {
            agenda: Agenda::new(phase, start_ns, worker, workers),
            phase,
            releasing: true,
            // A lane that was freed by leaving its request out would ask for the next at once.
            waits: phase.lanes > 0 || phase.on_overload == Overload::Queue,
            // In closed loop it is the lanes that open one by one.
            places: opening(caps.in_flight_max, if phase.lanes > 0 { 0 } else { caps.ramp_ns }),
            prefill_places: opening(caps.prefill_max, caps.prefill_ramp_ns),
            in_prefill: 0,
            release_end_ns: phase.duration_ns.map_or(i64::MAX, |d| start_ns + d),
            give_up_ns: phase.duration_ns.map_or(i64::MAX, |d| (start_ns + d).saturating_add(phase.grace_ns)),
        };
        self.share = PhaseShare { end_ns: start_ns, ..PhaseShare::default() };
        self.conversations.clear();
        self.staged = None;
        // Between phases the thread waits for its leader; that is no gap.
        let mut now_ns = self.clock.now_ns();
        self.interference.woke(now_ns, i64::MAX);
        loop {
            self.heed_stops(&mut run, now_ns);
            self.note_sendings(&mut run);
            self.dispatch_due(&mut run, now_ns);
            self.expire(&mut run, now_ns);
            self.cancel_due(&mut run, now_ns);
            for _ in 0..SIGNALS_PER_TURN {
                if !self.take_signal(&mut run) {
                    break;
                }
                self.dispatch_due(&mut run, self.clock.now_ns());
            }
            if self.places.taken() == 0 && (!run.releasing || run.agenda.is_done()) {
                break;
            }
            self.stage(&run);
            let until_ns = self.next_wake_ns(&mut run);
            self.transport.wait(until_ns).await;
            now_ns = self.clock.now_ns();
            self.interference.woke(now_ns, until_ns);
        }
        self.account_for_leftovers(run);
        self.recorder.flush();
        std::mem::take(&mut self.share)
    }

    fn next_wake_ns(&self, run: &mut PhaseRun<'_>) -> i64 {
        let now_ns = self.clock.now_ns();
        let waits = run.waits && !self.has_room(run, now_ns);
        let room_ns = if waits { run.places.next_ns().min(run.prefill_places.next_ns()) } else { i64::MAX };
        let due_ns = run.agenda.next_due_ns().filter(|_| run.releasing && !waits);
        let cancel_ns = self.cancellations.peek().map(|Reverse((t, ..))| *t);
        let deadline_ns = self.deadlines.front().map(|(t, _)| *t).into_iter().chain(cancel_ns).min();
        let stop_ns = if run.releasing { run.release_end_ns } else { run.give_up_ns };
        // A transport need not come back when it has written.
        let look_up_ns = now_ns + if self.unsent.is_empty() { LOOK_UP_NS } else { MILLISECOND_NS };
        due_ns.unwrap_or(room_ns).min(deadline_ns.unwrap_or(i64::MAX)).min(stop_ns).min(look_up_ns)
    }

    /// Whether another request may be in flight.
    #[inline]
    fn has_room(&self, run: &mut PhaseRun<'_>, now_ns: i64) -> bool {
        // Both are looked at: what is due to open has to be open before its next opening is waited for.
        let (places, prefill_places) = (run.places.open(now_ns), run.prefill_places.open(now_ns));
        self.places.taken() < places && run.in_prefill < prefill_places
    }

    fn heed_stops(&mut self, run: &mut PhaseRun<'_>, now_ns: i64) {
        let asked = self.stop.asked();
        if asked != Stop::No || now_ns >= run.release_end_ns {
            run.releasing = false;
        }
        if asked == Stop::Cut {
            let why = if self.stop.is_given_up() { GIVEN_UP } else { "the run was interrupted" };
            self.cut_all(run, now_ns, why);
        } else if now_ns >= run.give_up_ns {
            self.cut_all(run, now_ns, "still in flight when the grace period ended");
        }
    }

    /// Sends what is due, and what would come due while the next signal is taken in. That one has to be taken in before another
    /// request is held for: else nothing would be read where requests follow each other closely.
    #[inline]
    fn dispatch_due(&mut self, run: &mut PhaseRun<'_>, mut now_ns: i64) {
        self.interference.looked(now_ns);
        let mut has_held = false;
        while run.releasing {
            if self.has_room(run, now_ns) {
                if let Some(due) = run.agenda.next_due(now_ns) {
                    self.send(run, due, now_ns);
                    continue;
                }
                let due_ns = run.agenda.next_due_ns().filter(|due_ns| *due_ns < run.release_end_ns);
                if has_held || !due_ns.is_some_and(|due_ns| self.transport.hold(now_ns, due_ns)) {
                    return;
                }
                has_held = true;
                now_ns = self.clock.now_ns();
            } else if run.waits || run.agenda.next_due_ns().is_none_or(|due_ns| due_ns > now_ns) {
                return;
            } else if !self.take_signal(run) {
                // No end that is already here makes room.
                self.turn_away(run, now_ns);
            }
        }
    }

    fn send(&mut self, run: &mut PhaseRun<'_>, due: Due, now_ns: i64) {
        let staged = self.staged.take_if(|(ordinal, _)| *ordinal == due.ordinal);
        let ready = staged.map_or_else(|| self.request(run, due.ordinal), |(_, ready)| ready);
        let key = self.places.take();
        // The write comes first. Nothing is asked of the flight before the next signal is.
        self.transport.start(key, ready.request);
        let slot = run.agenda.slot(due.ordinal);
        let holds_prefill = run.phase.caps.prefill_max.is_some();
        run.in_prefill += u32::from(holds_prefill);
        let keeps_reply = self.keeps_reply(slot);
        if let Some(flight) = self.places.current(key) {
            flight.begin(run.phase.first_request_id + due.ordinal, due.ordinal, due.scheduled_ns, due.released_ns);
            flight.holds_prefill = holds_prefill;
            flight.body_bytes = ready.body_bytes;
            if keeps_reply {
                flight.keep_reply(slot.max_tokens);
            }
            if self.recorder.keeps_exchanges() {
                flight.keep_exchange();
            }
        }
        if run.agenda.is_sending_awaited(due.ordinal) {
            self.unsent.push(key);
            self.note_sendings(run);
        }
        self.deadlines.push_back((now_ns.saturating_add(self.spec.timeout_ns), key));
        if slot.cancel {
            let at_ns = now_ns.saturating_add(run.phase.cancel_after_ns);
            self.cancellations.push(Reverse((at_ns, key.index, key.generation)));
        }
        self.share.in_flight_max = self.share.in_flight_max.max(u64::from(self.places.taken()));
        self.live.on_start(now_ns - due.scheduled_ns);
        self.interference.dispatched(now_ns, now_ns - due.scheduled_ns);
    }

    /// Whether the answer is a part of a later request.
    fn keeps_reply(&self, slot: &Slot) -> bool {
        self.plan.history == History::Live && slot.is_continued
    }

    fn request(&self, run: &PhaseRun<'_>, ordinal: u64) -> Ready<T> {
        let slot = run.agenda.slot(ordinal);
        let body = self.plan.body(run.phase, ordinal, self.conversations.before(run.phase, ordinal));
        let body_bytes = bytes::Buf::remaining(&body) as u64;
        let request = self.transport.prepare(Outgoing {
            body,
            x_request_id: self.x_request_id(run.phase.first_request_id + ordinal),
            session: slot.session.map(|s| self.plan.sessions[s as usize].clone()),
            verbatim: self.recorder.keeps_exchanges() || self.keeps_reply(slot),
        });
        Ready { request, body_bytes }
    }

    /// Puts the next request of the clock together, so that nothing but its write is left for when it is due. What the
    /// clock releases continues no conversation, and so no answer that is still to come.
    fn stage(&mut self, run: &PhaseRun<'_>) {
        let Some(next) = run.agenda.next_timed() else { return };
        // One that was left out for want of room makes way.
        if self.staged.as_ref().is_none_or(|(ordinal, _)| *ordinal != next) {
            self.staged = Some((next, self.request(run, next)));
        }
    }

    /// Looks which flights that others wait for have been sent by now.
    fn note_sendings(&mut self, run: &mut PhaseRun<'_>) {
        self.unsent.retain(|key| {
            let Some(sent_ns) = self.transport.marks(*key).sent_ns else { return true };
            if let Some(flight) = self.places.current(*key) {
                run.agenda.on_sent(flight.ordinal, sent_ns);
            }
            false
        });
    }

    fn x_request_id(&self, request_id: u64) -> String {
        format!("{}-{request_id:08x}", self.spec.run_id)
    }

    /// Takes in one signal, if one is here.
    #[inline]
    fn take_signal(&mut self, run: &mut PhaseRun<'_>) -> bool {
        let Some((key, signal)) = self.transport.poll_signal() else { return false };
        let Some(flight) = self.places.current(key) else { return true };
        let (outcome, error) = match signal {
            Signal::Head { status, event_stream } => {
                flight.on_head(status, event_stream);
                return true;
            }
            Signal::Body { bytes, stamp } => {
                let waited = flight.first_token_ns().is_none();
                let events = flight.on_body(bytes, stamp, &mut self.recorder);
                run.in_prefill -= u32::from(flight.leaves_prefill());
                self.live.on_events(events);
                if waited
                    && let (Some(first_ns), Some(sent_ns)) =
                        (flight.first_token_ns(), self.transport.marks(key).sent_ns)
                {
                    self.live.on_first_token(first_ns - sent_ns);
                }
                if self.spec.burn_ns > 0 {
                    self.burn();
                }
                return true;
            }
            Signal::Alike(events) => {
                let events = flight.on_alike(events, &mut self.recorder);
                self.live.on_events(events);
                return true;
            }
            Signal::End => {
                let stamp = ReadStamp { t_ns: self.clock.now_ns(), kernel_ns: None, read: 0 };
                flight.on_end(stamp, &mut self.recorder)
            }
            Signal::Failed { outcome: Outcome::NotSent, text } => {
                self.lack(run, key, &text);
                return true;
            }
            Signal::Failed { outcome, text } => flight.on_failure(outcome, &text, &mut self.recorder),
        };
        self.land(run, key, outcome, error);
        true
    }

    /// Keeps the core busy.
    #[cold]
    fn burn(&self) {
        let until_ns = self.clock.now_ns() + self.spec.burn_ns;
        while self.clock.now_ns() < until_ns {
            std::hint::spin_loop();
        }
    }
}

/// The state of one phase.
#[derive(Debug)]
struct PhaseRun<'a> {
    agenda: Agenda<'a>,
    phase: &'a PhasePlan,
    /// Whether slots are still sent.
    releasing: bool,
    /// Whether a slot that is due beyond `places` waits.
    waits: bool,
    /// Places in flight.
    places: Ramp,
    /// Places for requests in flight that have no token yet, and how many of them are taken.
    prefill_places: Ramp,
    in_prefill: u32,
    release_end_ns: i64,
    /// What is in flight then is cut.
    give_up_ns: i64,
}
