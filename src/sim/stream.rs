//! Turns the tokens of one request into the frames of its answer: server-sent events, or one piece.
//!
//! In: a [`Ticket`] and a [`Reply`]. Out: an [`http_body::Body`], one frame per event, each an HTTP chunk of its own.
//! Invariant: an event is stamped just before it goes to the socket; a body that is dropped before its end counts
//! as cancelled, and never as completed.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::driver::Ticket;
use super::fault::Fault;
use super::oracle::Counters;
use super::reply::{Reply, Usage, done_event, with_usage};
use super::service::Service;
use crate::time::monotonic_ns;

/// An answer in flight: what it needs of the server, and what it must tell when it ends.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) service: Rc<Service>,
    pub(super) ticket: Ticket,
    pub(super) reply: Reply,
    pub(super) prompt_tokens: u32,
    /// Whether each event tells the usage so far.
    pub(super) continuous_usage: bool,
    /// The request's entry in the oracle.
    pub(super) entry: Option<usize>,
    pub(super) completed: bool,
}

impl Flight {
    fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.ticket.output_tokens(),
            cached_tokens: self.ticket.cached_tokens(),
        }
    }

    /// An event as it goes out when so many tokens are there.
    fn counted(&self, event: Bytes, output_tokens: u32) -> Bytes {
        if self.continuous_usage { with_usage(&event, Usage { output_tokens, ..self.usage() }) } else { event }
    }

    fn stamp(&self) {
        if let Some(entry) = self.entry {
            self.service.oracle.stamp(entry, monotonic_ns());
        }
    }

    fn complete(&mut self) {
        self.completed = true;
        if let Some(entry) = self.entry {
            self.service.oracle.complete(entry, self.ticket.cached_tokens());
        }
        Counters::add(&self.service.counters.completions);
    }

    /// Waits for the last token; the answer in one piece.
    pub(super) async fn whole(mut self) -> Bytes {
        let tokens = self.ticket.output_tokens();
        std::future::poll_fn(|cx| self.ticket.poll_tokens(cx, tokens)).await;
        let bytes = self.reply.whole(self.usage());
        self.stamp();
        self.complete();
        bytes
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.completed {
            Counters::add(&self.service.counters.cancelled);
        }
    }
}

/// The next event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Role,
    Token(u32),
    Usage,
    Done,
    End,
}

/// The frames of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// A body that is there.
    Whole(Bytes),
    /// Events as they come.
    Stream { flight: Box<Flight>, next: Next, include_usage: bool },
}

impl Answer {
    fn poll_event(flight: &mut Flight, next: &mut Next, include_usage: bool, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let event = match *next {
            Next::End => return Poll::Ready(None),
            // As from vLLM, the role comes when the first token is there, and no sooner.
            Next::Role => {
                ready!(flight.ticket.poll_tokens(cx, 1));
                *next = Next::Token(0);
                flight.counted(flight.reply.role_event(flight.usage()), 0)
            }
            Next::Token(position) => {
                ready!(flight.ticket.poll_tokens(cx, position + 1));
                let last = position + 1 == flight.ticket.output_tokens();
                *next = match (last, include_usage) {
                    (false, _) => Next::Token(position + 1),
                    (true, true) => Next::Usage,
                    (true, false) => Next::Done,
                };
                flight.counted(flight.reply.token_event(position, last), position + 1)
            }
            Next::Usage => {
                *next = if flight.reply.api().says_done() { Next::Done } else { Next::End };
                if *next == Next::End {
                    flight.complete();
                }
                flight.reply.usage_event(flight.usage())
            }
            Next::Done => {
                *next = Next::End;
                flight.complete();
                done_event()
            }
        };
        Counters::add(&flight.service.counters.events);
        flight.stamp();
        Poll::Ready(Some(event))
    }
}

/// An answer, and what goes wrong with it.
#[derive(Debug)]
pub(super) struct Faulted {
    answer: Answer,
    fault: Option<Fault>,
    /// Events that were handed out.
    events: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl From<Answer> for Faulted {
    fn from(answer: Answer) -> Faulted {
        Faulted { answer, fault: None, events: 0, pause: None }
    }
}

impl Faulted {
    pub(super) fn meet(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// What the fault makes of the event that is next: `None` lets it pass.
    fn interfere(&mut self, cx: &mut Context<'_>) -> Poll<Option<Interference>> {
        let (pause_ns, then) = match self.fault {
            Some(Fault::Cut(after)) if self.events >= after => (FLUSH_NS, Some(Interference::Cut)),
            Some(Fault::Truncate(after)) if self.events >= after => return Poll::Ready(Some(Interference::End)),
            Some(Fault::Stall(after, ns)) if self.events == after => (ns, None),
            Some(Fault::Slow(ns)) => (ns, None),
            _ => return Poll::Ready(None),
        };
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(Duration::from_nanos(pause_ns.unsigned_abs()))));
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(then)
    }
}

/// Time for the events before a cut to leave the server's own buffer.
const FLUSH_NS: i64 = 2_000_000;

/// What becomes of a stream.
enum Interference {
    Cut,
    End,
}

impl Body for Faulted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        match ready!(this.interfere(cx)) {
            Some(Interference::Cut) => return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into()))),
            Some(Interference::End) => return Poll::Ready(None),
            None => {}
        }
        let Some(Ok(frame)) = ready!(Pin::new(&mut this.answer).poll_frame(cx)) else { return Poll::Ready(None) };
        let broken = matches!(this.fault, Some(Fault::Malformed(after)) if after == this.events);
        this.events += 1;
        this.pause = None;
        let frame = if broken { frame.map_data(|event| half_of(&event)) } else { frame };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.fault.is_some() { SizeHint::default() } else { self.answer.size_hint() }
    }
}

/// Half of an event's line, ended as if it were whole.
fn half_of(event: &Bytes) -> Bytes {
    let mut half = event[..event.len() / 2].to_vec();
    half.extend_from_slice(b"\n\n");
    half.into()
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match self.get_mut() {
            Answer::Whole(bytes) if bytes.is_empty() => None,
            Answer::Whole(bytes) => Some(std::mem::take(bytes)),
            Answer::Stream { flight, next, include_usage } => {
                ready!(Answer::poll_event(flight, next, *include_usage, cx))
            }
        };
        Poll::Ready(bytes.map(|b| Ok(Frame::data(b))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(bytes) => bytes.is_empty(),
            Answer::Stream { next, .. } => *next == Next::End,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Answer::Stream { .. } => SizeHint::default(),
        }
    }
}
