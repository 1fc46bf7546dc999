//! A socket → the same socket with the times of its reads and writes, for the flights that are on it.
//!
//! Invariant: one read a turn. A second read in the same turn of the task is put off until those that the first one's
//! bytes woke have run: so whoever is handed bytes finds their own read in [`WireLog::last`].
//! Not here: what the bytes are. Under TLS, the times are those of the records.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::transport::{Marks, ReadStamp};
use crate::time::{Clock, SystemClock};

/// What a connection's socket did, shared between the socket and the flights on it.
#[derive(Debug, Default)]
pub struct WireLog {
    /// The last read, numbered from the connection's first.
    last: Cell<ReadStamp>,
    reads: Cell<u32>,
    /// Flights with bytes that are not known to be written.
    unwritten: RefCell<Vec<Unwritten>>,
}

#[derive(Debug)]
struct Unwritten {
    marks: Rc<Cell<Marks>>,
    bytes: usize,
}

impl WireLog {
    /// The number that the connection's next read will have.
    pub fn next_read(&self) -> u32 {
        self.reads.get()
    }

    /// The last read, numbered from the one that was to come when `first` was asked for by [`WireLog::next_read`].
    pub fn last(&self, first: u32) -> ReadStamp {
        let last = self.last.get();
        ReadStamp { read: last.read.saturating_sub(first), ..last }
    }

    /// From now on, writes are for this flight, until they have taken `bytes`.
    pub fn hand_over(&self, marks: Rc<Cell<Marks>>, bytes: usize) {
        self.unwritten.borrow_mut().push(Unwritten { marks, bytes });
    }

    /// No write is for anyone any more.
    pub fn clear(&self) {
        self.unwritten.borrow_mut().clear();
    }

    fn on_write(&self, before_ns: i64, after_ns: i64, written: usize) {
        self.unwritten.borrow_mut().retain_mut(|flight| {
            let mut marks = flight.marks.get();
            marks.sent_ns.get_or_insert(before_ns);
            marks.written_ns = Some(after_ns);
            flight.marks.set(marks);
            flight.bytes = flight.bytes.saturating_sub(written);
            flight.bytes > 0
        });
    }
}

/// The socket.
#[derive(Debug)]
pub struct Stamped {
    /// Any stream socket: nothing that is asked of it is TCP's own.
    io: TcpStream,
    clock: SystemClock,
    log: Rc<WireLog>,
    /// Bytes were handed out in this turn.
    has_read: bool,
}

impl Stamped {
    /// Wraps a socket that is connected.
    pub fn new(io: TcpStream, clock: SystemClock, log: Rc<WireLog>) -> Stamped {
        Stamped { io, clock, log, has_read: false }
    }

    fn write_with(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let before_ns = self.clock.now_ns();
        let written = write(Pin::new(&mut self.io));
        if let Poll::Ready(Ok(n)) = written {
            self.log.on_write(before_ns, self.clock.now_ns(), n);
        }
        written
    }
}

impl AsyncRead for Stamped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_read) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() > before {
            let n = self.log.reads.get();
            self.log.last.set(ReadStamp { t_ns: self.clock.now_ns(), kernel_ns: None, read: n });
            self.log.reads.set(n.wrapping_add(1));
            self.has_read = true;
        }
        read
    }
}

impl AsyncWrite for Stamped {
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
