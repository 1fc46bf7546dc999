//! How the requests of a worker end: as their answer did, late, cancelled, cut, or without having been sent; and the row of each.
//!
//! Invariant: every slot leaves exactly one row.
//! Not here: what an answer says ([`crate::engine::flight`]).

use std::cmp::Reverse;

use super::{GIVEN_UP, PhaseRun, Worker};
use crate::engine::agenda::Due;
use crate::engine::conversations::Turn;
use crate::engine::stop::Stop;
use crate::engine::transport::{FlightKey, Transport};
use crate::outcome::{ABORTED, DROPPED, LOST, ON_REQUEST, Outcome};
use crate::record::exchange::Exchange;
use crate::record::row::RequestRow;
use crate::schedule::conversation::History;
use crate::schedule::{Overload, PhasePlan};
use crate::time::{Clock, MILLISECOND_NS};

impl<C: Clock, T: Transport> Worker<C, T> {
    /// The next slot is due, no place in flight is free, and the user does not want it to wait.
    pub(super) fn turn_away(&mut self, run: &mut PhaseRun<'_>, now_ns: i64) {
        let Some(due) = run.agenda.next_due(now_ns) else { return };
        let why = if self.places.taken() < run.places.open(now_ns) {
            format!("{} requests of this worker had no token yet", run.in_prefill)
        } else {
            format!("{} requests of this worker were in flight", self.places.taken())
        };
        let mut row = self.row(run.phase, due);
        row.released_ns = due.released_ns;
        row.error = Some(self.no_room(run, &why));
        row.end_ns = Some(now_ns);
        self.finish_row(row);
        self.not_sent(run, due.ordinal, now_ns);
    }

    /// This machine has no descriptor or port for a flight.
    pub(super) fn lack(&mut self, run: &mut PhaseRun<'_>, key: FlightKey, why: &str) {
        let (outcome, why) = match run.phase.on_overload {
            Overload::Queue => (Outcome::ConnectError, why.to_string()),
            Overload::Drop | Overload::Abort => (Outcome::NotSent, self.no_room(run, why)),
        };
        self.give_up(run, key, outcome, &why);
    }

    /// The reason of a slot that is not sent for want of room. Stops the run where that is asked for.
    fn no_room(&self, run: &mut PhaseRun<'_>, why: &str) -> String {
        if run.phase.on_overload == Overload::Abort {
            self.stop.abort();
            run.releasing = false;
            return format!("{ABORTED}{why}");
        }
        format!("{DROPPED}{why}")
    }

    pub(super) fn expire(&mut self, run: &mut PhaseRun<'_>, now_ns: i64) {
        while let Some((deadline_ns, key)) = self.deadlines.front().copied() {
            if self.places.current(key).is_none() {
                self.deadlines.pop_front();
                continue;
            }
            if deadline_ns > now_ns {
                return;
            }
            self.deadlines.pop_front();
            self.give_up(run, key, Outcome::Timeout, "no whole answer within the request's time limit");
        }
    }

    /// Gives up the requests whose time for that has come. It counts from their last byte, so one that was still being
    /// written is looked at again.
    pub(super) fn cancel_due(&mut self, run: &mut PhaseRun<'_>, now_ns: i64) {
        while let Some(&Reverse((at_ns, index, generation))) = self.cancellations.peek() {
            if at_ns > now_ns {
                return;
            }
            self.cancellations.pop();
            let key = FlightKey { index, generation };
            if self.places.current(key).is_none() {
                continue;
            }
            let after_ns = run.phase.cancel_after_ns;
            let marks = self.transport.marks(key);
            // A peer that takes only a part of it must not keep it for ever.
            let due_ns = marks.written_ns.or(marks.sent_ns).map(|t| t.saturating_add(after_ns));
            match due_ns {
                Some(due_ns) if due_ns <= now_ns => {
                    let why = format!("{ON_REQUEST}{} s after it was written", after_ns as f64 / 1e9);
                    self.give_up(run, key, Outcome::Cancelled, &why);
                }
                later => {
                    let again_ns = later.unwrap_or(now_ns + MILLISECOND_NS);
                    self.cancellations.push(Reverse((again_ns, index, generation)));
                }
            }
        }
    }

    pub(super) fn cut_all(&mut self, run: &mut PhaseRun<'_>, now_ns: i64, why: &str) {
        run.releasing = false;
        run.give_up_ns = run.give_up_ns.min(now_ns);
        for key in self.places.keys() {
            self.give_up(run, key, Outcome::Cancelled, why);
        }
    }

    fn give_up(&mut self, run: &mut PhaseRun<'_>, key: FlightKey, outcome: Outcome, why: &str) {
        let Some(flight) = self.places.current(key) else { return };
        if let Some(events) = self.transport.held_back(key, self.clock.now_ns()) {
            let events = flight.on_alike(events, &mut self.recorder);
            self.live.on_events(events);
        }
        let (outcome, error) = flight.on_failure(outcome, why, &mut self.recorder);
        self.land(run, key, outcome, error);
    }

    /// The flight is over: its row, its place, and what its end releases.
    pub(super) fn land(&mut self, run: &mut PhaseRun<'_>, key: FlightKey, outcome: Outcome, error: Option<String>) {
        let end_ns = self.clock.now_ns();
        let marks = self.transport.marks(key);
        self.transport.release(key);
        let mut flight = self.places.lift(key);
        run.in_prefill -= u32::from(flight.holds_prefill);
        let due = Due { ordinal: flight.ordinal, scheduled_ns: flight.scheduled_ns, released_ns: flight.released_ns };
        // What was given up before its first write was, in the end, not sent.
        let outcome = match (outcome, marks.sent_ns) {
            (Outcome::Cancelled, None) => Outcome::NotSent,
            (outcome, _) => outcome,
        };
        let mut row = self.row(run.phase, due);
        flight.fill(&mut row, marks);
        row.outcome = outcome;
        row.error = error;
        row.end_ns = Some(end_ns);
        if self.recorder.keeps_exchanges() && outcome != Outcome::NotSent {
            // Before the conversation goes on: the body is put together once more, out of the same turns.
            let body = || self.plan.body(run.phase, due.ordinal, self.conversations.before(run.phase, due.ordinal));
            let (request_id, answer) = (row.request_id, flight.take_heard());
            let exchange = answer.map(|answer| Exchange { request_id, body: body().to_vec(), answer });
            self.recorder.push_exchange(exchange);
        }
        if self.plan.history == History::Live && outcome != Outcome::NotSent {
            let text = if outcome == Outcome::Completed { flight.reply() } else { None };
            let tokens = row.output_tokens.map(|n| n.saturating_sub(row.reasoning_tokens.unwrap_or(0)));
            row.input_tokens = self.conversations.take(run.phase, due.ordinal, Turn { text, tokens });
        }
        self.live.on_end(&row);
        self.finish_row(row);
        self.places.give_back(key, flight);
        self.share.end_ns = self.share.end_ns.max(end_ns);
        let unseen = self.unsent.iter().position(|unsent| *unsent == key).map(|at| self.unsent.swap_remove(at));
        if outcome == Outcome::NotSent {
            self.not_sent(run, due.ordinal, end_ns);
            return;
        }
        if unseen.is_some() {
            // A request that failed before its first write was never sent; what waits for that goes on with its end.
            run.agenda.on_sent(due.ordinal, marks.sent_ns.unwrap_or(end_ns));
        }
        run.agenda.on_end(due.ordinal, end_ns);
    }

    /// A slot was not sent: neither is what hangs on it.
    fn not_sent(&mut self, run: &mut PhaseRun<'_>, ordinal: u64, now_ns: i64) {
        self.share.end_ns = self.share.end_ns.max(now_ns);
        self.conversations.end(run.phase, ordinal);
        for due in run.agenda.on_not_sent(ordinal, now_ns) {
            let mut row = self.row(run.phase, due);
            row.error = Some(LOST.into());
            row.end_ns = Some(now_ns);
            self.finish_row(row);
        }
    }

    pub(super) fn account_for_leftovers(&mut self, run: PhaseRun<'_>) {
        let now_ns = self.clock.now_ns();
        let why = match self.stop.asked() {
            _ if self.stop.is_aborted() => format!("{ABORTED}an earlier request found no room"),
            _ if self.stop.is_given_up() => GIVEN_UP.into(),
            Stop::No => "the phase ended before it could be sent".into(),
            Stop::Drain | Stop::Cut => "the run was interrupted before it was sent".into(),
        };
        let PhaseRun { agenda, phase, .. } = run;
        for due in agenda.leftovers(now_ns) {
            let mut row = self.row(phase, due);
            row.released_ns = due.released_ns;
            row.outcome = Outcome::NotSent;
            row.error = Some(why.clone());
            self.finish_row(row);
        }
    }

    fn row(&self, phase: &PhasePlan, due: Due) -> RequestRow {
        let slot = &phase.slots[(due.ordinal % phase.slots.len() as u64) as usize];
        let request_id = phase.first_request_id + due.ordinal;
        let mut row = RequestRow::scheduled(request_id, due.scheduled_ns);
        row.x_request_id = self.x_request_id(request_id);
        row.session_id = slot.session.map(|s| self.plan.sessions[s as usize].clone());
        row.turn = slot.turn;
        row.phase = phase.phase;
        row.worker = self.spec.worker;
        row.input_tokens = slot.input_tokens;
        row.max_tokens = slot.max_tokens;
        row
    }

    fn finish_row(&mut self, row: RequestRow) {
        self.share.scheduled += 1;
        self.share.outcomes.add(row.outcome);
        self.live.on_outcome(row.outcome);
        self.recorder.push_request(row);
    }
}
