//! HTTP/1.1 by hyper: connections of one core, and the signals of their answers.
//!
//! No silent retry: a request goes to another connection only if none of its bytes was written.
//! Not here: the socket's times ([`super::stamped`]), TLS ([`super::stream`]).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::dial::{self, Dialer};
use super::reuse::Reuse;
use super::stamped::{WireClock, WireLog};
use super::stream::Stream;
use super::target::{Failure, Target, refuse_coding};
use super::tasked::{Network, Post, Tasked};
use super::transport::{Marks, Outgoing};
use crate::outcome::Outcome;
use crate::prompt::arena::Pieces;
use crate::time::SystemClock;

/// The connections of one worker.
#[derive(Debug)]
pub struct Http1 {
    target: Target,
    dialer: RefCell<Dialer>,
    clock: WireClock,
    /// Connections with nothing on them, the last used last.
    idle: RefCell<VecDeque<Connection>>,
    reuse: Cell<Reuse>,
    opened: Cell<u64>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<OneShot>,
    log: Rc<WireLog>,
    /// When the last answer on it ended.
    idle_since_ns: i64,
}

impl Http1 {
    /// A transport without connections, on the runtime that calls it.
    ///
    /// # Errors
    /// Those of [`Tasked::new`].
    pub fn transport(target: Target, clock: SystemClock) -> io::Result<Tasked<Http1>> {
        let network = Http1 {
            dialer: RefCell::new(target.dialer.clone()),
            target,
            clock: WireClock::new(clock),
            idle: RefCell::new(VecDeque::new()),
            reuse: Cell::new(Reuse::default()),
            opened: Cell::new(0),
        };
        Tasked::new(network, clock)
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request<OneShot>, Failure> {
        let headers = self.target.headers_of(&outgoing)?;
        let mut request = Request::new(OneShot(Some(outgoing.body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// A connection for this flight: an idle one that may be used, else a new one.
    async fn connection(&self, post: &Post) -> Result<Connection, Failure> {
        while let Some(connection) = self.take_idle() {
            if connection.sender.is_ready() {
                return Ok(connection);
            }
        }
        self.connect(post).await
    }

    /// The connection that was used last; while the server is not trusted, the one that has rested longest.
    fn take_idle(&self) -> Option<Connection> {
        let mut reuse = self.reuse.get();
        let mut idle = self.idle.borrow_mut();
        if reuse.is_trusted() {
            return idle.pop_back();
        }
        let idle_ns = self.clock.now_ns() - idle.front()?.idle_since_ns;
        if !reuse.has_rested(idle_ns, idle.len()) {
            return None;
        }
        let connection = idle.pop_front()?;
        reuse.found(connection.sender.is_ready(), idle_ns);
        self.reuse.set(reuse);
        Some(connection)
    }

    async fn connect(&self, post: &Post) -> Result<Connection, Failure> {
        let log = Rc::<WireLog>::default();
        let dialed_ns = Some(self.clock.now_ns());
        let socket = self.dialer.borrow_mut().start();
        let opening =
            Stream::open(socket, self.target.tls.as_ref(), self.target.protocol, (self.clock.clone(), log.clone()));
        let stream = opening.await.map_err(|e| dial::failure_of(&e))?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = shaken.map_err(|e| (Outcome::ConnectError, e.to_string()))?;
        tokio::task::spawn_local(async move {
            // Its failure reaches the flight that is on it; an idle connection may end as it likes.
            let _ = driver.await;
        });
        self.opened.set(self.opened.get() + 1);
        post.marks.set(Marks { dialed_ns, connected_ns: Some(self.clock.now_ns()), ..Marks::default() });
        Ok(Connection { sender, log, idle_since_ns: 0 })
    }
}

impl Network for Http1 {
    async fn exchange(self: Rc<Self>, post: &Post, outgoing: Box<Outgoing>) -> Result<(), Failure> {
        let mut request = self.request(*outgoing)?;
        let (mut connection, first, response) = loop {
            let mut connection = Box::pin(self.connection(post)).await?;
            let first = connection.log.next_read();
            connection.log.clear();
            connection.log.hand_over(post.marks.clone(), usize::MAX);
            match connection.sender.try_send_request(request).await {
                Ok(response) => break (connection, first, response),
                Err(mut error) => match error.take_message() {
                    // The connection was closed while it lay idle, before a byte of this request was written.
                    Some(unsent) if post.marks.get().sent_ns.is_none() => request = unsent,
                    _ => return Err(failure_of(&error.into_error())),
                },
            }
        };
        let (head, mut body) = response.into_parts();
        let status = head.status.as_u16();
        post.head(status, self.target.is_event_stream(&head.headers), connection.log.last(first));
        refuse_coding(status, &head.headers)?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| failure_of(&e))?;
            if let Ok(bytes) = frame.into_data() {
                post.body(bytes, connection.log.last(first));
            }
        }
        drop::<Incoming>(body);
        if self.target.reuse && !self.reuse.get().is_refused() && connection.sender.ready().await.is_ok() {
            connection.idle_since_ns = self.clock.now_ns();
            self.idle.borrow_mut().push_back(connection);
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

/// What a hyper error is counted as.
fn failure_of(error: &hyper::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    let mut bad_http = error.is_parse();
    while let Some(e) = cause {
        // hyper reports a body that breaks the chunked coding as invalid input.
        let kind = e.downcast_ref::<io::Error>().map(io::Error::kind);
        bad_http |= matches!(kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput));
        text = format!("{text}: {e}");
        cause = e.source();
    }
    (if bad_http { Outcome::ProtocolError } else { Outcome::Reset }, text)
}

/// A body of one frame, of exactly known length.
#[derive(Debug)]
struct OneShot(Option<Pieces>);

impl Body for OneShot {
    type Data = Pieces;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Pieces>, Infallible>>> {
        Poll::Ready(self.0.take().map(|pieces| Ok(Frame::data(pieces))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |pieces| bytes::Buf::remaining(pieces) as u64))
    }
}
