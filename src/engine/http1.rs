//! HTTP/1.1 over TCP, by hyper: connections of one core, and the signals of their answers.
//!
//! Each connection's reads and writes go through `Stamped`, which takes the clock before hyper sees a byte. hyper
//! hands out a body frame only when it is asked for one, and reads no further until then, so the last read's stamp
//! is that of the frame.
//! No silent retry: a request goes to another connection only if none of its bytes was written.
//! Not here: TLS, HTTP/2, kernel time stamps.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::dial::Dialer;
use super::pace::Pacer;
use super::reuse::Reuse;
use super::transport::{FlightKey, Marks, Outgoing, ReadStamp, Signal, Transport};
use crate::outcome::Outcome;
use crate::prompt::arena::Pieces;
use crate::time::{Clock, SystemClock};

/// Where requests go, and what they all carry.
#[derive(Clone, Debug)]
pub struct Target {
    /// Makes sockets to the endpoint.
    pub dialer: Dialer,
    /// Path and query of every request.
    pub uri: Uri,
    /// Headers of every request, `Host` among them.
    pub headers: HeaderMap,
    /// Whether answers are streamed.
    pub streaming: bool,
    /// Whether connections are used again.
    pub reuse: bool,
}

impl Target {
    /// A target that nobody listens at, for tests of what does not send.
    #[cfg(test)]
    pub(super) fn to_nowhere() -> Target {
        Target {
            dialer: Dialer::new(super::dial::Peer::Tcp(Vec::new()), Vec::new()),
            uri: Uri::from_static("/x"),
            headers: HeaderMap::new(),
            streaming: true,
            reuse: true,
        }
    }
}

/// What a flight's task and its transport share.
#[derive(Debug, Default)]
struct FlightCell {
    marks: Cell<Marks>,
    /// The last read.
    read: Cell<ReadStamp>,
    reads: Cell<u32>,
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
    fn post(&self, key: FlightKey, letter: Letter) {
        self.signals.borrow_mut().push_back((key, letter));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

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

/// The transport of one worker. Lives inside a tokio `LocalSet`.
#[derive(Debug)]
pub struct Http1 {
    shared: Rc<Shared>,
    pacer: Pacer,
    /// By place: the flight's cell and the handle of its task.
    flights: Vec<Option<(Rc<FlightCell>, AbortHandle)>>,
    /// The body that was handed out last.
    lent: Bytes,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    dialer: RefCell<Dialer>,
    clock: SystemClock,
    mailbox: Mailbox,
    /// Connections with nothing on them, the last used last.
    idle: RefCell<VecDeque<Connection>>,
    reuse: Cell<Reuse>,
    opened: Cell<u64>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<OneShot>,
    /// The flight that is on it.
    current: Rc<RefCell<Rc<FlightCell>>>,
    /// When the last answer on it ended.
    idle_since_ns: i64,
}

impl Http1 {
    /// A transport without connections, on the runtime that calls it.
    pub fn new(target: Target, clock: SystemClock) -> io::Result<Http1> {
        let shared = Shared {
            dialer: RefCell::new(target.dialer.clone()),
            target,
            clock,
            mailbox: Mailbox::default(),
            idle: RefCell::new(VecDeque::new()),
            reuse: Cell::new(Reuse::default()),
            opened: Cell::new(0),
        };
        Ok(Http1 { shared: Rc::new(shared), pacer: Pacer::new(clock)?, flights: Vec::new(), lent: Bytes::new() })
    }
}

impl Transport for Http1 {
    fn start(&mut self, key: FlightKey, request: Outgoing) {
        let cell = Rc::new(FlightCell::default());
        let task = tokio::task::spawn_local(fly(self.shared.clone(), key, cell.clone(), request));
        let index = key.index as usize;
        if self.flights.len() <= index {
            self.flights.resize_with(index + 1, || None);
        }
        self.flights[index] = Some((cell, task.abort_handle()));
    }

    fn marks(&self, key: FlightKey) -> Marks {
        self.flights[key.index as usize].as_ref().map_or_else(Marks::default, |(cell, _)| cell.marks.get())
    }

    fn release(&mut self, key: FlightKey) {
        if let Some((_, task)) = self.flights[key.index as usize].take() {
            // A task that has ended is not disturbed; any other takes its connection with it.
            task.abort();
        }
    }

    fn poll_signal(&mut self) -> Option<(FlightKey, Signal<'_>)> {
        let (key, letter) = self.shared.mailbox.signals.borrow_mut().pop_front()?;
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
        self.pacer.wait(until_ns, self.shared.mailbox.filled()).await;
    }

    fn connections(&self) -> u64 {
        self.shared.opened.get()
    }
}

/// One flight: a connection, the request, and the signals of its answer.
async fn fly(shared: Rc<Shared>, key: FlightKey, cell: Rc<FlightCell>, outgoing: Outgoing) {
    let letter = match exchange(&shared, key, &cell, outgoing).await {
        Ok(()) => Letter::End,
        Err((outcome, text)) => Letter::Failed { outcome, text },
    };
    shared.mailbox.post(key, letter);
}

type Failure = (Outcome, String);

async fn exchange(
    shared: &Rc<Shared>,
    key: FlightKey,
    cell: &Rc<FlightCell>,
    outgoing: Outgoing,
) -> Result<(), Failure> {
    let mut request = shared.request(outgoing)?;
    let (mut connection, response) = loop {
        let mut connection = shared.connection(cell).await?;
        match connection.sender.try_send_request(request).await {
            Ok(response) => break (connection, response),
            Err(mut error) => match error.take_message() {
                // The connection was closed while it lay idle, before a byte of this request was written.
                Some(unsent) if cell.marks.get().sent_ns.is_none() => request = unsent,
                _ => return Err(failure_of(&error.into_error())),
            },
        }
    };
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    shared.mailbox.post(key, Letter::Head { status, event_stream: shared.is_event_stream(&head.headers) });
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| failure_of(&e))?;
        if let Ok(bytes) = frame.into_data() {
            shared.mailbox.post(key, Letter::Body { bytes, stamp: cell.read.get() });
        }
    }
    drop::<Incoming>(body);
    if shared.target.reuse && !shared.reuse.get().is_refused() && connection.sender.ready().await.is_ok() {
        connection.idle_since_ns = shared.clock.now_ns();
        shared.idle.borrow_mut().push_back(connection);
    }
    Ok(())
}

impl Shared {
    fn request(&self, outgoing: Outgoing) -> Result<Request<OneShot>, Failure> {
        let mut headers = self.target.headers.clone();
        let mut set = |name: &'static str, value: &str| -> Result<(), Failure> {
            let value = HeaderValue::from_str(value).map_err(|e| (Outcome::ProtocolError, e.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        set("x-request-id", &outgoing.x_request_id)?;
        set("x-correlation-id", outgoing.session.as_deref().unwrap_or(&outgoing.x_request_id))?;
        let mut request = Request::new(OneShot(Some(outgoing.body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn is_event_stream(&self, headers: &HeaderMap) -> bool {
        match headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) {
            Some(value) => value.trim_start().to_ascii_lowercase().starts_with("text/event-stream"),
            None => self.target.streaming,
        }
    }

    /// A connection for this flight: an idle one that may be used, else a new one.
    async fn connection(self: &Rc<Self>, cell: &Rc<FlightCell>) -> Result<Connection, Failure> {
        while let Some(connection) = self.take_idle() {
            if connection.sender.is_ready() {
                *connection.current.borrow_mut() = cell.clone();
                return Ok(connection);
            }
        }
        self.connect(cell).await
    }

    /// The connection that was used last; while the server is not trusted, the one that has rested longest.
    fn take_idle(&self) -> Option<Connection> {
        let mut reuse = self.reuse.get();
        let mut idle = self.idle.borrow_mut();
        if reuse.is_trusted() {
            return idle.pop_back();
        }
        let idle_ns = self.clock.now_ns() - idle.front()?.idle_since_ns;
        if !reuse.has_rested(idle_ns) {
            return None;
        }
        let connection = idle.pop_front()?;
        reuse.found(connection.sender.is_ready(), idle_ns);
        self.reuse.set(reuse);
        Some(connection)
    }

    async fn connect(self: &Rc<Self>, cell: &Rc<FlightCell>) -> Result<Connection, Failure> {
        let stream = self.open_socket().await.map_err(|e| (Outcome::ConnectError, e.to_string()))?;
        let current = Rc::new(RefCell::new(cell.clone()));
        let io = Stamped { io: TokioIo::new(stream), clock: self.clock, current: current.clone() };
        let (sender, driver) = http1::handshake(io).await.map_err(|e| (Outcome::ConnectError, e.to_string()))?;
        tokio::task::spawn_local(async move {
            // Its failure reaches the flight that is on it; an idle connection may end as it likes.
            let _ = driver.await;
        });
        self.opened.set(self.opened.get() + 1);
        let connected_ns = Some(self.clock.now_ns());
        cell.marks.set(Marks { connected_ns, ..Marks::default() });
        Ok(Connection { sender, current, idle_since_ns: 0 })
    }

    async fn open_socket(&self) -> io::Result<TcpStream> {
        let (socket, in_progress) = self.dialer.borrow_mut().start()?;
        let stream = TcpStream::from_std(socket.into())?;
        if in_progress {
            stream.writable().await?;
            stream.take_error()?.map_or(Ok(()), Err)?;
        }
        Ok(stream)
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

/// A socket that takes the clock at each read and write, for the flight that is on it.
#[derive(Debug)]
struct Stamped {
    io: TokioIo<TcpStream>,
    clock: SystemClock,
    current: Rc<RefCell<Rc<FlightCell>>>,
}

impl Stamped {
    fn write_with(
        &mut self,
        write: impl FnOnce(Pin<&mut TokioIo<TcpStream>>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let before_ns = self.clock.now_ns();
        let written = write(Pin::new(&mut self.io));
        if matches!(written, Poll::Ready(Ok(_))) {
            let cell = self.current.borrow();
            let mut marks = cell.marks.get();
            marks.sent_ns.get_or_insert(before_ns);
            marks.written_ns = Some(self.clock.now_ns());
            cell.marks.set(marks);
        }
        written
    }
}

impl Read for Stamped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            let t_ns = self.clock.now_ns();
            let cell = self.current.borrow();
            let n = cell.reads.get();
            cell.reads.set(n + 1);
            cell.read.set(ReadStamp { t_ns, kernel_ns: None, read: n });
            let mut marks = cell.marks.get();
            if marks.sent_ns.is_some() && marks.head_ns.is_none() {
                marks.head_ns = Some(t_ns);
                cell.marks.set(marks);
            }
        }
        read
    }
}

impl Write for Stamped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write_with(|io| io.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_with(|io| io.poll_write_vectored(cx, bufs))
    }
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
