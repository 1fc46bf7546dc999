//! A network that has one task for each flight → a [`Transport`].
//!
//! The tasks post what they see into one mailbox, from which the worker takes it in the order in which it came.
//! Not here: any protocol.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use tokio::task::AbortHandle;

use super::pace::Pacer;
use super::target::Failure;
use super::transport::{FlightKey, Marks, Outgoing, ReadStamp, Signal, Transport};
use crate::outcome::Outcome;
use crate::time::SystemClock;

/// What can carry out one request in a task of its own.
pub trait Network: 'static {
    /// One flight, to the end of its answer. As many of these are open as there are streams: what is needed for a moment only is
    /// best boxed, as the request is, and dropped before the next wait.
    fn exchange(self: Rc<Self>, post: &Post, outgoing: Box<Outgoing>) -> impl Future<Output = Result<(), Failure>>;

    /// Connections opened so far.
    fn opened(&self) -> u64;

    /// How often the wall clock jumped while kernel stamps were converted.
    fn clock_steps(&self) -> u64;
}

/// A [`Signal`] that owns its bytes, on its way from a flight's task to the worker.
#[derive(Debug)]
enum Letter {
    Head { status: u16, event_stream: bool },
    Body { bytes: Bytes, stamp: ReadStamp },
    End,
    Failed { outcome: Outcome, text: String },
}

/// The signals of one worker, and who waits for them.
#[derive(Debug, Default)]
struct Mailbox {
    signals: RefCell<VecDeque<(FlightKey, Letter)>>,
    waker: RefCell<Option<Waker>>,
}

impl Mailbox {
    async fn filled(&self) {
        std::future::poll_fn(|cx| {
            if !self.signals.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What a flight's task says, and to whom.
#[derive(Debug)]
pub struct Post {
    mailbox: Rc<Mailbox>,
    key: FlightKey,
    /// What was seen of the flight.
    pub marks: Rc<Cell<Marks>>,
}

impl Post {
    /// The head has come, with the read of this stamp.
    pub fn head(&self, status: u16, event_stream: bool, stamp: ReadStamp) {
        self.marks.set(Marks { head_ns: Some(stamp.seen_ns()), reads: stamp.read + 1, ..self.marks.get() });
        self.letter(Letter::Head { status, event_stream });
    }

    /// Some of the body has come, the last of it with the read of this stamp.
    pub fn body(&self, bytes: Bytes, stamp: ReadStamp) {
        self.marks.set(Marks { reads: stamp.read + 1, ..self.marks.get() });
        self.letter(Letter::Body { bytes, stamp });
    }

    fn letter(&self, letter: Letter) {
        self.mailbox.signals.borrow_mut().push_back((self.key, letter));
        if let Some(waker) = self.mailbox.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The transport of one worker. Lives inside a tokio `LocalSet`.
#[derive(Debug)]
pub struct Tasked<N> {
    network: Rc<N>,
    mailbox: Rc<Mailbox>,
    pacer: Pacer,
    /// By place: what was seen of the flight, and the handle of its task.
    flights: Vec<Option<(Rc<Cell<Marks>>, AbortHandle)>>,
    /// The body that was handed out last.
    lent: Bytes,
}

impl<N: Network> Tasked<N> {
    /// A transport with nothing in flight, on the runtime that calls it.
    ///
    /// # Errors
    /// Those of making a timer.
    pub fn new(network: N, clock: SystemClock) -> io::Result<Tasked<N>> {
        Ok(Tasked {
            network: Rc::new(network),
            mailbox: Rc::default(),
            pacer: Pacer::new(clock)?,
            flights: Vec::new(),
            lent: Bytes::new(),
        })
    }
}

impl<N: Network> Tasked<N> {
    /// How often the wall clock jumped while kernel stamps were converted.
    pub fn clock_steps(&self) -> u64 {
        self.network.clock_steps()
    }
}

impl<N: Network> Transport for Tasked<N> {
    type Prepared = Outgoing;

    fn prepare(&self, request: Outgoing) -> Outgoing {
        request
    }

    fn start(&mut self, key: FlightKey, request: Outgoing) {
        let marks = Rc::<Cell<Marks>>::default();
        let post = Post { mailbox: self.mailbox.clone(), key, marks: marks.clone() };
        let task = tokio::task::spawn_local(fly(self.network.clone(), post, Box::new(request)));
        let index = key.index as usize;
        if self.flights.len() <= index {
            self.flights.resize_with(index + 1, || None);
        }
        self.flights[index] = Some((marks, task.abort_handle()));
    }

    fn marks(&self, key: FlightKey) -> Marks {
        self.flights[key.index as usize].as_ref().map_or_else(Marks::default, |(marks, _)| marks.get())
    }

    fn release(&mut self, key: FlightKey) {
        if let Some((_, task)) = self.flights[key.index as usize].take() {
            // A task that has ended is not disturbed; any other takes its connection or stream with it.
            task.abort();
        }
    }

    fn poll_signal(&mut self) -> Option<(FlightKey, Signal<'_>)> {
        let (key, letter) = self.mailbox.signals.borrow_mut().pop_front()?;
        let signal = match letter {
            Letter::Head { status, event_stream } => Signal::Head { status, event_stream },
            Letter::Body { bytes, stamp } => {
                self.lent = bytes;
                Signal::Body { bytes: &self.lent, stamp }
            }
            Letter::End => Signal::End,
            Letter::Failed { outcome, text } => Signal::Failed { outcome, text },
        };
        Some((key, signal))
    }

    async fn wait(&mut self, until_ns: i64) {
        self.pacer.wait(until_ns, self.mailbox.filled()).await;
    }

    fn connections(&self) -> u64 {
        self.network.opened()
    }
}

async fn fly<N: Network>(network: Rc<N>, post: Post, outgoing: Box<Outgoing>) {
    let letter = match network.exchange(&post, outgoing).await {
        Ok(()) => Letter::End,
        Err((outcome, text)) => Letter::Failed { outcome, text },
    };
    post.letter(letter);
}
