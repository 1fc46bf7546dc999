//! Runs an engine against the real clock and hands its tokens to the answers that wait for them.
//!
//! In: jobs from the service, the clock. Out: token counts in each answer's [`Seat`], and a wake-up of its task.
//! Invariants: the engine's times are absolute, so that late wake-ups never add up; an answer that is dropped before its
//! last token frees its place at once. One thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::deployment::{Deployment, Job, Refusal, SequenceId, Token};
use super::metrics::Metrics;
use crate::time::alarm::Alarm;
use crate::time::monotonic_ns;

/// Where an answer waits for its tokens.
#[derive(Default)]
struct Seat {
    ready_tokens: Cell<u32>,
    cached_tokens: Cell<u32>,
    waker: Cell<Option<Waker>>,
    prompt_tokens: u32,
    arrival_ns: i64,
    /// When its last token so far came.
    token_ns: Cell<i64>,
}

/// An engine, and the answers that wait for it. Times are of CLOCK_MONOTONIC.
pub(super) struct Engine {
    deployment: RefCell<Box<dyn Deployment>>,
    seats: RefCell<HashMap<SequenceId, Rc<Seat>>>,
    /// Rung when the engine's next event comes earlier than the driver knows.
    sooner: Notify,
    submitted: Cell<u64>,
    metrics: Metrics,
}

impl Engine {
    pub(super) fn new(deployment: Box<dyn Deployment>) -> Engine {
        Engine {
            deployment: RefCell::new(deployment),
            seats: RefCell::default(),
            sooner: Notify::new(),
            submitted: Cell::new(0),
            metrics: Metrics::new(),
        }
    }

    /// The number that the next job will have.
    pub(super) fn next_number(&self) -> u64 {
        self.submitted.get()
    }

    /// Submits a job that arrived at `arrival_ns`. Its tokens come to the ticket.
    pub(super) fn submit(self: &Rc<Self>, arrival_ns: i64, job: Job) -> Result<Ticket, Refusal> {
        let sequence = SequenceId(self.submitted.replace(self.submitted.get() + 1));
        let (prompt_tokens, output_tokens) = (job.prompt_tokens, job.output_tokens);
        let mut deployment = self.deployment.borrow_mut();
        let before = deployment.next_event_ns();
        deployment.submit(sequence, arrival_ns, job)?;
        if deployment.next_event_ns() != before {
            self.sooner.notify_one();
        }
        let seat = Rc::new(Seat { prompt_tokens, arrival_ns, ..Seat::default() });
        self.seats.borrow_mut().insert(sequence, Rc::clone(&seat));
        Ok(Ticket { engine: Rc::clone(self), sequence, seat, output_tokens })
    }

    /// Runs the engine for ever.
    pub(super) async fn drive(self: Rc<Self>, alarm: Alarm) -> std::io::Result<()> {
        let mut tokens = Vec::new();
        loop {
            let due_ns = self.deployment.borrow().next_event_ns();
            match due_ns {
                None => self.sooner.notified().await,
                // An engine that is behind must let the answers write what they have.
                Some(due_ns) if due_ns <= monotonic_ns() => tokio::task::yield_now().await,
                Some(due_ns) => tokio::select! {
                    rung = alarm.wait_until(due_ns) => rung?,
                    () = self.sooner.notified() => {}
                },
            }
            self.deployment.borrow_mut().advance(monotonic_ns(), &mut tokens);
            self.deliver(&mut tokens);
        }
    }

    /// What the engine says of itself.
    pub(super) fn metrics_text(&self, model_json: &str) -> String {
        self.metrics.text(model_json, self.deployment.borrow().load())
    }

    fn observe(&self, seat: &Seat, token: &Token) {
        let since_arrival_ns = token.at_ns - seat.arrival_ns;
        match seat.ready_tokens.get() {
            1 => self.metrics.on_first_token(seat.prompt_tokens, since_arrival_ns),
            _ => self.metrics.on_next_token(token.at_ns - seat.token_ns.get()),
        }
        seat.token_ns.set(token.at_ns);
        if token.last {
            self.metrics.on_last_token(since_arrival_ns);
        }
    }

    fn deliver(&self, tokens: &mut Vec<Token>) {
        let mut seats = self.seats.borrow_mut();
        for token in tokens.drain(..) {
            let Some(seat) = seats.get(&token.sequence) else { continue };
            seat.ready_tokens.set(seat.ready_tokens.get() + 1);
            self.observe(seat, &token);
            seat.cached_tokens.set(token.cached_tokens);
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
            if token.last {
                seats.remove(&token.sequence);
            }
        }
    }
}

/// The right to the tokens of one job. Dropped early, it cancels the job.
pub(super) struct Ticket {
    engine: Rc<Engine>,
    sequence: SequenceId,
    seat: Rc<Seat>,
    output_tokens: u32,
}

impl Ticket {
    /// Tokens of the whole answer.
    pub(super) fn output_tokens(&self) -> u32 {
        self.output_tokens
    }

    /// Tokens of the prompt that were found in the cache; known from the first token on.
    pub(super) fn cached_tokens(&self) -> u32 {
        self.seat.cached_tokens.get()
    }

    /// Waits until at least `tokens` of the answer's tokens are there.
    pub(super) fn poll_tokens(&self, cx: &Context<'_>, tokens: u32) -> Poll<()> {
        if self.seat.ready_tokens.get() >= tokens {
            return Poll::Ready(());
        }
        self.seat.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.engine.seats.borrow_mut().remove(&self.sequence).is_some() {
            self.engine.deployment.borrow_mut().cancel(self.sequence);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}
