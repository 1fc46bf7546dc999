//! HTTP/1.1 over plain sockets, our own: one epoll instance, one read buffer and one set of connections per core.
//!
//! A request goes out as one vectored write of pre-encoded bytes, at the instant that it is due; an answer is decoded
//! in the buffer that it was received into and lent to the worker from there. Each read bears the kernel's receive
//! time. Nothing is allocated per event, and an open stream holds no buffer of its own.
//! No silent retry: a request goes to another connection only if none of its bytes was written.
//! TLS records are opened in the read that delivered them (`secure`), so their stamp is the read's.
//! Not here: HTTP/2 (another transport), the meaning of the bytes (`flight`).

mod connection;
pub mod decode;
mod request;
mod secure;
mod sleeper;
mod transmit;

use std::collections::VecDeque;
use std::io;

use connection::{Connection, Reading, Written};
use decode::{Content, Found};
pub use request::Request;
use request::Template;
use secure::Secure;
use sleeper::Sleeper;
use transmit::Transmit;

use super::dial::{self, Dialer, Peer};
use super::kernel_clock::KernelClock;
use super::pace::Pacing;
use super::reuse::Reuse;
use super::target::Target;
use super::tls::Tls;
use super::transport::{FlightKey, Marks, Outgoing, ReadStamp, Signal, Transport};
use crate::outcome::Outcome;
use crate::record::manifest::TransmitStamps;
use crate::time::{Clock, SystemClock};

/// The read buffer of a core. Larger than a socket hands out at once on a quiet day, small enough to stay in cache.
const BUFFER_BYTES: usize = 64 << 10;

/// The transport of one worker.
#[derive(Debug)]
pub struct Lane {
    clock: SystemClock,
    kernel: KernelClock,
    transmit: Transmit,
    sleeper: Sleeper,
    dialer: Dialer,
    tls: Option<Tls>,
    template: Template,
    streaming: bool,
    reuse_asked: bool,
    connections: Vec<Option<Connection>>,
    /// How many connections had each place before: an event may come of one that is gone.
    generations: Vec<u32>,
    free: Vec<u32>,
    /// Connections with nothing on them, the last used last.
    idle: VecDeque<u32>,
    reuse: Reuse,
    opened: u64,
    /// By place: what was seen of its flight.
    flights: Vec<Place>,
    buffer: Box<[u8]>,
    /// What TLS sealed, before it is opened into the buffer.
    sealed: Box<[u8]>,
    /// The part of the buffer that is not decoded yet, and whose it is.
    received: Option<Received>,
    /// Flights that failed without a word from the network.
    failed: VecDeque<(FlightKey, Outcome, String)>,
}

/// What is known of the flight at a place.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    marks: Marks,
    connection: Option<u32>,
}

/// A read that is being decoded.
#[derive(Clone, Copy, Debug)]
struct Received {
    connection: u32,
    key: FlightKey,
    from: usize,
    to: usize,
    stamp: ReadStamp,
}

impl Lane {
    /// A lane without connections.
    pub fn new(target: &Target, clock: SystemClock, pacing: Pacing) -> io::Result<Lane> {
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        Ok(Lane {
            clock,
            kernel: KernelClock::new(clock.anchor()),
            transmit: Transmit::new(matches!(target.dialer.peer(), Peer::Tcp(_))),
            sleeper: Sleeper::new(clock, pacing)?,
            dialer: target.dialer.clone(),
            tls: target.tls.clone(),
            template: Template::new(target),
            streaming: target.streaming,
            reuse_asked: target.reuse,
            connections: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            idle: VecDeque::new(),
            reuse: Reuse::default(),
            opened: 0,
            flights: Vec::new(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            sealed: vec![0; if target.tls.is_some() { BUFFER_BYTES } else { 0 }].into_boxed_slice(),
            received: None,
            failed: VecDeque::new(),
        })
    }

    /// Time that was spun away in waits, in nanoseconds.
    pub fn spun_ns(&self) -> i64 {
        self.sleeper.spun_ns()
    }

    /// How far the kernel's transmit stamps of a sample of requests lie behind their `sent_ns`.
    pub fn transmit_stamps(&self) -> Option<TransmitStamps> {
        self.transmit.stamps()
    }

    /// How often the wall clock jumped while kernel stamps were converted.
    pub fn clock_steps(&self) -> u64 {
        self.kernel.steps()
    }

    /// Puts a request on an idle connection, or on a new one.
    fn launch(&mut self, key: FlightKey, mut request: Request) -> Result<(), (Outcome, String)> {
        while let Some(index) = self.take_idle() {
            let Some(connection) = self.connections[index as usize].as_mut() else { continue };
            connection.begin(key, request);
            self.flights[key.index as usize].connection = Some(index);
            let Written::Failed(e) = self.write(index) else { return Ok(()) };
            // None of its bytes was written: it may go to another connection.
            let unsent = self.flights[key.index as usize].marks.sent_ns.is_none();
            match self.connections[index as usize].as_mut().and_then(Connection::take_request) {
                Some(whole) if unsent => request = whole,
                _ => return Err((Outcome::Reset, e.to_string())),
            }
            self.close(index);
            self.flights[key.index as usize] = Place::default();
        }
        let refused = |e: io::Error| dial::failure_of(&e);
        self.flights[key.index as usize].marks.dialed_ns = Some(self.clock.now_ns());
        let (socket, in_progress) = self.dialer.start().map_err(refused)?;
        let secure = self.tls.as_ref().map(Secure::new).transpose().map_err(refused)?;
        let mut connection = Connection::new(socket, secure);
        connection.begin(key, request);
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.generations.push(0);
            self.connections.len() as u32 - 1
        });
        self.sleeper.add(connection.socket(), self.token(index), in_progress).map_err(refused)?;
        connection.watches_write = in_progress;
        self.connections[index as usize] = Some(connection);
        self.flights[key.index as usize].connection = Some(index);
        if in_progress {
            return Ok(());
        }
        self.on_connected(index)
    }

    /// A connection is ready: its request goes out.
    fn on_connected(&mut self, index: u32) -> Result<(), (Outcome, String)> {
        let Some(connection) = self.connections[index as usize].as_mut() else { return Ok(()) };
        connection.connecting = false;
        self.opened += 1;
        match self.write(index) {
            Written::Failed(e) => Err((Outcome::Reset, e.to_string())),
            Written::All | Written::Part | Written::Later => Ok(()),
        }
    }

    /// Writes what the socket takes of a request.
    fn write(&mut self, index: u32) -> Written {
        let Some(connection) = self.connections[index as usize].as_mut() else { return Written::All };
        let Some(key) = connection.flight else { return Written::All };
        let before_ns = self.clock.now_ns();
        if connection.is_new && connection.is_ready() {
            connection.is_new = false;
            self.flights[key.index as usize].marks.connected_ns = Some(before_ns);
        }
        let stamped = connection.is_whole_within(transmit::BYTES_MAX) && self.transmit.is_next();
        let written = connection.write(stamped);
        let marks = &mut self.flights[key.index as usize].marks;
        if connection.begun {
            marks.sent_ns.get_or_insert(before_ns);
        }
        marks.writes = connection.writes;
        if stamped && matches!(written, Written::All) {
            connection.stamp_due_of_ns = Some(before_ns);
            self.take_transmit_stamp(index);
        }
        let marks = &mut self.flights[key.index as usize].marks;
        match written {
            Written::All => {
                // TLS may have more to say behind the request; the request was written the first time.
                marks.written_ns.get_or_insert_with(|| self.clock.now_ns());
                self.watch(index, false);
            }
            Written::Part => self.watch(index, true),
            Written::Later => self.watch(index, false),
            Written::Failed(_) => {}
        }
        written
    }

    /// Takes the transmit stamp that a connection waits for, if the kernel has it. Most are there when the write returns; one
    /// that is late makes its socket ready.
    fn take_transmit_stamp(&mut self, index: u32) {
        let Some(connection) = self.connections[index as usize].as_mut() else { return };
        let Some(sent_ns) = connection.stamp_due_of_ns else { return };
        if let Some(stamp) = connection.transmit_stamp() {
            connection.stamp_due_of_ns = None;
            self.transmit.record(sent_ns, self.kernel.to_run_ns(stamp, self.clock.now_ns()));
        }
    }

    /// What the events of a connection bear.
    fn token(&self, index: u32) -> u64 {
        u64::from(self.generations[index as usize]) << 32 | u64::from(index)
    }

    fn watch(&mut self, index: u32, writable: bool) {
        let token = self.token(index);
        let Some(connection) = self.connections[index as usize].as_mut() else { return };
        if connection.watches_write != writable {
            connection.watches_write = writable;
            // A socket that cannot be watched any more has ended; the next read tells.
            let _ = self.sleeper.watch(connection.socket(), token, writable);
        }
    }

    /// The connection that was used last; while the server is not trusted, the one that has rested longest.
    fn take_idle(&mut self) -> Option<u32> {
        if self.reuse.is_trusted() {
            return self.idle.pop_back();
        }
        let index = *self.idle.front()?;
        let Some(connection) = self.connections[index as usize].as_ref() else {
            self.idle.pop_front();
            return None;
        };
        let idle_ns = self.clock.now_ns() - connection.idle_since_ns;
        if !self.reuse.has_rested(idle_ns, self.idle.len()) {
            return None;
        }
        self.idle.pop_front();
        let open = connection.is_open();
        self.reuse.found(open, idle_ns);
        if open {
            return Some(index);
        }
        self.close(index);
        None
    }

    fn close(&mut self, index: u32) {
        if let Some(connection) = self.connections[index as usize].take() {
            self.generations[index as usize] = self.generations[index as usize].wrapping_add(1) & (u32::MAX >> 1);
            self.free.push(index);
            if connection.flight.is_none() {
                self.idle.retain(|i| *i != index);
            }
        }
        if self.received.is_some_and(|r| r.connection == index) {
            self.received = None;
        }
    }

    /// An answer has ended: its connection rests, or is closed.
    fn finish(&mut self, index: u32, clean: bool) {
        let Some(connection) = self.connections[index as usize].as_mut() else { return };
        let keep = clean && self.reuse_asked && !self.reuse.is_refused() && connection.may_rest();
        if keep {
            connection.rest(self.clock.now_ns());
            self.idle.push_back(index);
        } else {
            self.close(index);
        }
    }

    /// Decodes on in the read that is in hand.
    fn decode(&mut self) -> Option<(FlightKey, Step)> {
        let Received { connection: index, key, from, to, stamp } = self.received?;
        let connection = self.connections[index as usize].as_mut()?;
        let mut rest = &self.buffer[from..to];
        let found = connection.decoder.next(&mut rest);
        let at = to - rest.len();
        match found {
            Ok(Found::Nothing) => {
                self.received = None;
                None
            }
            Ok(Found::Head { status, content }) => {
                self.received = Some(Received { from: at, ..self.received? });
                let event_stream = match content {
                    Content::EventStream => true,
                    Content::Other => false,
                    Content::Unknown => self.streaming,
                };
                Some((key, Step::Head { status, event_stream }))
            }
            Ok(Found::Body(n)) => {
                self.received = Some(Received { from: at, ..self.received? });
                Some((key, Step::Body { from: at - n, to: at, stamp }))
            }
            Ok(Found::End) => {
                // Bytes behind the answer belong to nothing that was asked.
                let clean = at == to;
                self.received = None;
                self.finish(index, clean);
                self.flights[key.index as usize].connection = None;
                Some((key, Step::End))
            }
            Err(why) => {
                self.received = None;
                self.close(index);
                self.flights[key.index as usize].connection = None;
                Some((key, Step::Failed(Outcome::ProtocolError, why.to_string())))
            }
        }
    }

    /// Does what a ready socket is ready for. Gives a step only where a flight ends by it.
    fn on_ready(&mut self, index: u32, readable: bool, writable: bool) -> Option<(FlightKey, Step)> {
        let connection = self.connections.get(index as usize)?.as_ref()?;
        let (connecting, flight) = (connection.connecting, connection.flight);
        if connecting && (readable || writable) {
            let connected = dial::finish(connection.socket())
                .map_err(|e| (Outcome::ConnectError, e.to_string()))
                .and_then(|()| self.on_connected(index));
            return match connected {
                Ok(()) => None,
                Err((outcome, text)) => self.lose(index, flight, outcome, text),
            };
        }
        if readable {
            return self.read(index);
        }
        if writable && let Written::Failed(e) = self.write(index) {
            return self.lose(index, flight, Outcome::Reset, e.to_string());
        }
        None
    }

    /// Reads once. The bytes wait in the buffer for [`Lane::decode`].
    fn read(&mut self, index: u32) -> Option<(FlightKey, Step)> {
        self.take_transmit_stamp(index);
        let connection = self.connections[index as usize].as_mut()?;
        let shaking = !connection.is_ready();
        let read = connection.read(&mut self.buffer, &mut self.sealed);
        let t_ns = self.clock.now_ns();
        let flight = connection.flight;
        match read {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            Err(e) if shaking => self.lose(index, flight, Outcome::ConnectError, e.to_string()),
            Err(e) => self.lose(index, flight, Outcome::Reset, e.to_string()),
            Ok(Reading { bytes: 0, ended: true, .. }) => self.end(index, flight),
            // TLS may have something to say now: the rest of the handshake, or the request behind it.
            Ok(Reading { bytes: 0, .. }) => match self.write(index) {
                Written::Failed(e) => self.lose(index, flight, Outcome::Reset, e.to_string()),
                Written::All | Written::Part | Written::Later => None,
            },
            Ok(Reading { bytes: n, stamp, .. }) => {
                let Some(key) = flight else {
                    // Words that nobody asked for: the connection is not what it was taken for.
                    self.close(index);
                    return None;
                };
                let kernel_ns = stamp.map(|s| self.kernel.to_run_ns(s, t_ns));
                let stamp = connection.stamp(t_ns, kernel_ns);
                let marks = &mut self.flights[key.index as usize].marks;
                marks.head_ns.get_or_insert(stamp.seen_ns());
                marks.reads = stamp.read + 1;
                self.received = Some(Received { connection: index, key, from: 0, to: n, stamp });
                None
            }
        }
    }

    /// The peer will say no more.
    fn end(&mut self, index: u32, flight: Option<FlightKey>) -> Option<(FlightKey, Step)> {
        let connection = self.connections[index as usize].as_ref()?;
        let whole = connection.decoder.ends_with_connection();
        if flight.is_none() {
            self.reuse.found(false, self.clock.now_ns() - connection.idle_since_ns);
        }
        if !whole {
            return self.lose(index, flight, Outcome::Reset, "the server closed the connection".into());
        }
        self.close(index);
        let key = flight?;
        self.flights[key.index as usize].connection = None;
        Some((key, Step::End))
    }

    /// Closes a connection; the flight on it, if any, fails.
    fn lose(
        &mut self,
        index: u32,
        flight: Option<FlightKey>,
        outcome: Outcome,
        text: String,
    ) -> Option<(FlightKey, Step)> {
        self.close(index);
        let key = flight?;
        self.flights[key.index as usize].connection = None;
        Some((key, Step::Failed(outcome, text)))
    }

    fn step(&mut self) -> Option<(FlightKey, Step)> {
        if let Some((key, outcome, text)) = self.failed.pop_front() {
            return Some((key, Step::Failed(outcome, text)));
        }
        loop {
            if let Some(step) = self.decode() {
                return Some(step);
            }
            let (token, readable, writable) = self.sleeper.next_ready()?;
            let index = token as u32;
            if self.generations[index as usize] != (token >> 32) as u32 {
                continue;
            }
            if let Some(step) = self.on_ready(index, readable, writable) {
                return Some(step);
            }
        }
    }
}

/// A [`Signal`] whose body is a range of the buffer.
#[derive(Debug)]
enum Step {
    Head { status: u16, event_stream: bool },
    Body { from: usize, to: usize, stamp: ReadStamp },
    End,
    Failed(Outcome, String),
}

impl Transport for Lane {
    type Prepared = Request;

    fn prepare(&self, request: Outgoing) -> Request {
        self.template.request(request)
    }

    fn start(&mut self, key: FlightKey, request: Request) {
        let index = key.index as usize;
        if self.flights.len() <= index {
            self.flights.resize_with(index + 1, Place::default);
        }
        self.flights[index] = Place::default();
        if let Err((outcome, text)) = self.launch(key, request) {
            if let Some(connection) = self.flights[index].connection.take() {
                self.close(connection);
            }
            self.failed.push_back((key, outcome, text));
        }
    }

    fn marks(&self, key: FlightKey) -> Marks {
        self.flights[key.index as usize].marks
    }

    fn release(&mut self, key: FlightKey) {
        if let Some(index) = self.flights[key.index as usize].connection.take() {
            self.close(index);
        }
    }

    #[inline]
    fn poll_signal(&mut self) -> Option<(FlightKey, Signal<'_>)> {
        let (key, step) = self.step()?;
        let signal = match step {
            Step::Head { status, event_stream } => Signal::Head { status, event_stream },
            Step::Body { from, to, stamp } => Signal::Body { bytes: &self.buffer[from..to], stamp },
            Step::End => Signal::End,
            Step::Failed(outcome, text) => Signal::Failed { outcome, text },
        };
        Some((key, signal))
    }

    #[inline]
    fn hold(&mut self, now_ns: i64, until_ns: i64) -> bool {
        self.sleeper.hold(now_ns, until_ns)
    }

    async fn wait(&mut self, until_ns: i64) {
        if self.received.is_none() && self.failed.is_empty() {
            // Not behind the wait: a request may be due then.
            self.kernel.refresh(self.clock.now_ns());
            let next = self.idle.back().and_then(|index| self.connections[*index as usize].as_ref());
            self.sleeper.wait(until_ns, || next.map_or((), Connection::warm));
        }
    }

    fn connections(&self) -> u64 {
        self.opened
    }
}
