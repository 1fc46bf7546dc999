//! HTTP/2 by the h2 crate: connections of one core, many streams on each, and the signals of their answers.
//!
//! A flight's `sent_ns` is the clock before the first write behind the hand-over of its head to a connection that is
//! ready, and `written_ns` that behind the write with which its body's length had been written since: where several
//! flights write at once, neither is later than the truth by more than that write, nor is `written_ns` earlier by more
//! than the others' bytes. `head_ns` is the read that delivered the HEADERS, and reads are numbered within the
//! connection from the flight's start on.
//! A stream or a GOAWAY that the peer resets is a reset; a stream that it refuses unseen (REFUSED_STREAM) is a refused
//! connect. A stream that is given up is cancelled, and its connection goes on. Trailers are passed over.
//! No silent retry: a flight goes to another connection only if the first would not take it.
//! Not here: the socket's times ([`super::stamped`]), TLS and ALPN ([`super::stream`]).

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Buf;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::uri::Authority;
use http::{Method, Request, Response, Uri, header};
use tokio::sync::Notify;

use super::dial::{self, Dialer};
use super::stamped::{WireClock, WireLog};
use super::stream::Stream;
use super::target::{Failure, Protocol, Target, refuse_coding};
use super::tasked::{Network, Post, Tasked};
use super::transport::{Marks, Outgoing};
use crate::outcome::Outcome;
use crate::prompt::arena::Pieces;
use crate::time::SystemClock;

/// Bytes that a peer may send on one stream ahead of what was read: more than any answer has on its way.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for a whole connection.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Largest head of an answer.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// Streams that were given up and whose late frames are still told from nonsense.
const CANCELLED_MAX: usize = 1024;

/// What may be wrong with a peer that says nothing sensible.
const FOREIGN: &str = " (does the server speak HTTP/2? --http-version 1.1 is for those that do not)";

/// The connections of one worker.
#[derive(Debug)]
pub struct Http2 {
    target: Target,
    dialer: RefCell<Dialer>,
    clock: WireClock,
    /// Where a flight may go, the oldest first.
    connections: RefCell<Vec<Rc<Connection>>>,
    streams_max: u32,
    opened: Cell<u64>,
}

#[derive(Debug)]
struct Connection {
    state: RefCell<State>,
    /// Told when `state` is no longer [`State::Opening`].
    changed: Notify,
    log: Rc<WireLog>,
    /// Flights that are on it or wait for it.
    taken: Cell<u32>,
    /// Most streams that it may have.
    limit: Cell<u32>,
    /// Whether it outlives the flights on it.
    is_kept: bool,
}

#[derive(Debug)]
enum State {
    Opening,
    Open(SendRequest<Pieces>),
    /// It takes no flight any more, for this reason.
    Closed(Failure),
}

/// A flight's right to one stream of a connection.
#[derive(Debug)]
struct Seat {
    connection: Rc<Connection>,
    /// How many seats were taken with this one.
    number: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.taken.set(connection.taken.get() - 1);
        if connection.taken.get() == 0 && !connection.is_kept {
            connection.change(State::Closed(closed("it was for one request")));
        }
    }
}

impl Connection {
    fn is_opening(&self) -> bool {
        matches!(*self.state.borrow(), State::Opening)
    }

    fn sender(&self) -> Result<SendRequest<Pieces>, Failure> {
        match &*self.state.borrow() {
            State::Open(sender) => Ok(sender.clone()),
            State::Opening => Err(closed("it is not open yet")),
            State::Closed(why) => Err(why.clone()),
        }
    }

    fn has_room(&self) -> bool {
        self.taken.get() < self.limit.get()
    }

    fn sit(self: &Rc<Self>) -> Seat {
        self.taken.set(self.taken.get() + 1);
        Seat { connection: self.clone(), number: self.taken.get() }
    }

    fn change(&self, state: State) {
        *self.state.borrow_mut() = state;
        self.changed.notify_waiters();
    }
}

impl Http2 {
    /// A transport without connections, on the runtime that calls it.
    ///
    /// # Errors
    /// Those of [`Tasked::new`], and `InvalidInput` where the `Host` header cannot be an authority.
    pub fn transport(mut target: Target, clock: SystemClock) -> io::Result<Tasked<Http2>> {
        let invalid = |e: http::Error| io::Error::new(io::ErrorKind::InvalidInput, e);
        let host = target.headers.remove(header::HOST);
        let authority = Authority::try_from(host.as_ref().map_or(&b"localhost"[..], |h| h.as_bytes()));
        let mut uri = std::mem::take(&mut target.uri).into_parts();
        uri.scheme = Some(if target.tls.is_some() { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
        uri.authority = Some(authority.map_err(|e| invalid(e.into()))?);
        target.uri = Uri::from_parts(uri).map_err(|e| invalid(e.into()))?;
        // What speaks of HTTP/1.1's connection is forbidden here.
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            target.headers.remove(name);
        }
        let streams_max = match target.protocol {
            Protocol::Http2 { streams_per_connection } if target.reuse => streams_per_connection.max(1),
            _ => 1,
        };
        let network = Http2 {
            dialer: RefCell::new(target.dialer.clone()),
            target,
            clock: WireClock::new(clock),
            connections: RefCell::new(Vec::new()),
            streams_max,
            opened: Cell::new(0),
        };
        Tasked::new(network, clock)
    }

    /// A stream of a connection that takes it, and what takes it.
    async fn seat(self: &Rc<Self>, post: &Post) -> Result<(Seat, SendRequest<Pieces>), Failure> {
        loop {
            let seat = self.take_seat();
            let connection = &seat.connection;
            let is_new = connection.is_opening();
            let dialed_ns = Some(self.clock.now_ns());
            while connection.is_opening() {
                connection.changed.notified().await;
            }
            // The peer's limit, which came with its first settings, may be lower than ours.
            if is_new && seat.number > connection.limit.get() {
                continue;
            }
            let why = match connection.sender() {
                Ok(sender) => match sender.ready().await {
                    Ok(sender) => {
                        if is_new {
                            let connected_ns = Some(self.clock.now_ns());
                            post.marks.set(Marks { dialed_ns, connected_ns, ..Marks::default() });
                        }
                        return Ok((seat, sender));
                    }
                    Err(e) => closed(&text_of(&e)),
                },
                Err(why) => why,
            };
            if is_new {
                return Err(why);
            }
            self.forget(connection);
            connection.change(State::Closed(why));
        }
    }

    fn take_seat(self: &Rc<Self>) -> Seat {
        if let Some(free) = self.connections.borrow().iter().find(|c| c.has_room()) {
            return free.sit();
        }
        let connection = Rc::new(Connection {
            state: RefCell::new(State::Opening),
            changed: Notify::new(),
            log: Rc::default(),
            taken: Cell::new(0),
            limit: Cell::new(self.streams_max),
            is_kept: self.target.reuse,
        });
        let seat = connection.sit();
        if self.target.reuse {
            self.connections.borrow_mut().push(connection.clone());
        }
        tokio::task::spawn_local(self.clone().serve(connection));
        seat
    }

    /// Gives a request to its connection.
    fn hand_over(
        &self,
        seat: &Seat,
        mut sender: SendRequest<Pieces>,
        post: &Post,
        outgoing: Box<Outgoing>,
    ) -> Result<ResponseFuture, Failure> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = self.target.headers_of(&outgoing)?;
        seat.connection.log.hand_over(post.marks.clone(), outgoing.body.remaining());
        let (response, mut stream) = sender.send_request(request, false).map_err(|e| failure_of(&e))?;
        // A peer that answers before it has read the body may have ended the stream: the answer tells.
        let _ = stream.send_data({ *outgoing }.body, true);
        Ok(response)
    }

    /// Tells of an answer's head, and gives its body.
    fn open(
        &self,
        seat: &Seat,
        first: u32,
        post: &Post,
        response: Response<RecvStream>,
    ) -> Result<RecvStream, Failure> {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        post.head(status, self.target.is_event_stream(&head.headers), seat.connection.log.last(first));
        refuse_coding(status, &head.headers)?;
        Ok(body)
    }

    fn forget(&self, connection: &Rc<Connection>) {
        self.connections.borrow_mut().retain(|c| !Rc::ptr_eq(c, connection));
    }

    /// One connection, from its connect to its end.
    async fn serve(self: Rc<Self>, connection: Rc<Connection>) {
        let why = self.drive(&connection).await.unwrap_or_else(|why| why);
        self.forget(&connection);
        connection.change(State::Closed(why));
    }

    /// Says why the connection is at its end.
    async fn drive(&self, connection: &Rc<Connection>) -> Result<Failure, Failure> {
        let socket = self.dialer.borrow_mut().start();
        let log = (self.clock.clone(), connection.log.clone());
        let opening = Stream::open(socket, self.target.tls.as_ref(), self.target.protocol, log);
        let stream = opening.await.map_err(|e| dial::failure_of(&e))?;
        let shaking = builder().handshake::<_, Pieces>(stream).await;
        let (sender, mut driver) = shaking.map_err(|e| closed(&text_of(&e)))?;
        let mut sender = Some(sender);
        let ended = std::future::poll_fn(|cx| {
            let ended = Pin::new(&mut driver).poll(cx);
            // Nothing is sent before the peer's first settings have come: until then the limit is 0.
            let limit = u32::try_from(driver.max_concurrent_send_streams()).unwrap_or(u32::MAX);
            if limit > 0
                && let Some(sender) = sender.take()
            {
                self.opened.set(self.opened.get() + 1);
                // Whoever it was for may have gone.
                if connection.is_opening() {
                    connection.change(State::Open(sender));
                }
            }
            if sender.is_none() {
                connection.limit.set(limit.min(self.streams_max));
            }
            ended
        });
        let why = ended.await.map_or_else(|e| text_of(&e), |()| "HTTP/2: the server closed the connection".into());
        // A peer that goes before its settings came may not know what they are.
        Ok(closed(&if connection.is_opening() { why + FOREIGN } else { why }))
    }
}

impl Network for Http2 {
    async fn exchange(self: Rc<Self>, post: &Post, outgoing: Box<Outgoing>) -> Result<(), Failure> {
        let (seat, sender) = Box::pin(self.seat(post)).await?;
        let first = seat.connection.log.next_read();
        let response = self.hand_over(&seat, sender, post, outgoing)?.await.map_err(|e| failure_of(&e))?;
        let mut body = self.open(&seat, first, post, response)?;
        while let Some(bytes) = body.data().await {
            let bytes = bytes.map_err(|e| failure_of(&e))?;
            release(&mut body, bytes.len());
            post.body(bytes, seat.connection.log.last(first));
        }
        Ok(())
    }

    fn opened(&self) -> u64 {
        self.opened.get()
    }

    fn clock_steps(&self) -> u64 {
        self.clock.steps()
    }
}

/// Lets the peer send as much again. Windows are wider than what is ever unread, so no answer waits for this.
fn release(body: &mut RecvStream, bytes: usize) {
    // A stream that has ended meanwhile has no window left to widen.
    let _ = body.flow_control().release_capacity(bytes);
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_concurrent_reset_streams(CANCELLED_MAX)
        // Late frames of streams that were given up are no attack.
        .max_local_error_reset_streams(None);
    builder
}

/// The failure of a flight whose connection takes none.
fn closed(why: &str) -> Failure {
    (Outcome::ConnectError, why.into())
}

/// What an HTTP/2 error is counted as.
fn failure_of(error: &h2::Error) -> Failure {
    let refused = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
    let outcome = match error {
        _ if refused => Outcome::ConnectError,
        e if e.is_library() => Outcome::ProtocolError,
        _ => Outcome::Reset,
    };
    (outcome, text_of(error))
}

fn text_of(error: &h2::Error) -> String {
    format!("HTTP/2: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what a flight's task holds.
    fn bytes_of<'a, F>(_exchange: impl FnOnce(Rc<Http2>, &'a Post, Box<Outgoing>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_stream_holds_nothing_of_its_request_or_its_start() {
        let bytes = bytes_of(<Http2 as Network>::exchange);
        assert!(bytes <= 320, "{bytes} bytes");
    }
}
