//! A socket → the same socket with the times of its reads and writes, for the flights that are on it.
//!
//! Invariant: one read a turn. A second read in the same turn of the task is put off until those that the first one's
//! bytes woke have run: so whoever is handed bytes finds their own read in [`WireLog::last`].
//! A read bears the kernel's receive time too, where the socket has it.
//! Not here: what the bytes are. Under TLS, the times are those of the records.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::kernel_clock::KernelClock;
use super::recv;
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
            marks.writes += 1;
            flight.marks.set(marks);
            flight.bytes = flight.bytes.saturating_sub(written);
            flight.bytes > 0
        });
    }
}

/// The clocks of one worker's sockets.
#[derive(Clone, Debug)]
pub struct WireClock {
    clock: SystemClock,
    kernel: Rc<RefCell<KernelClock>>,
}

impl WireClock {
    /// The run's clock, and the kernel's beside it.
    pub fn new(clock: SystemClock) -> WireClock {
        WireClock { clock, kernel: Rc::new(RefCell::new(KernelClock::new(clock.anchor()))) }
    }

    /// Now, in nanoseconds on the run's clock.
    pub fn now_ns(&self) -> i64 {
        self.clock.now_ns()
    }

    /// How often the wall clock jumped while kernel stamps were converted.
    pub fn steps(&self) -> u64 {
        self.kernel.borrow().steps()
    }

    /// The stamp of a read that has just returned with the kernel's `stamp`.
    fn stamp(&self, stamp: Option<i64>, read: u32) -> ReadStamp {
        let t_ns = self.now_ns();
        let mut kernel = self.kernel.borrow_mut();
        kernel.refresh(t_ns);
        ReadStamp { t_ns, kernel_ns: stamp.map(|s| kernel.to_run_ns(s, t_ns)), read }
    }
}

/// The socket.
#[derive(Debug)]
pub struct Stamped {
    /// Any stream socket: nothing that is asked of it is TCP's own.
    io: TcpStream,
    clock: WireClock,
    log: Rc<WireLog>,
    /// Bytes were handed out in this turn.
    has_read: bool,
}

impl Stamped {
    /// Wraps a socket that is connected.
    pub fn new(io: TcpStream, clock: WireClock, log: Rc<WireLog>) -> Stamped {
        // A socket without stamps has those of its reads.
        let _ = recv::enable_stamps(io.as_fd());
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

/// Reads what is there, with the kernel's stamp. A read that did not fill the buffer has emptied the socket: the runtime
/// is told so, which saves the read that would find nothing.
fn receive(io: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<i64>)> {
    let mut read = None;
    let tried = io.try_io(Interest::READABLE, || {
        let (n, _) = *read.insert(recv::receive(io.as_fd(), buffer)?);
        if n > 0 && n < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match read {
        Some(read) => Ok(read),
        None => tried.map(|()| (0, None)),
    }
}

impl AsyncRead for Stamped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_read) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            ready!(self.io.poll_read_ready(cx))?;
            match receive(&self.io, buf.initialize_unfilled()) {
                Ok((0, _)) => return Poll::Ready(Ok(())),
                Ok((n, stamp)) => {
                    let read = self.log.reads.get();
                    self.log.last.set(self.clock.stamp(stamp, read));
                    self.log.reads.set(read.wrapping_add(1));
                    self.has_read = true;
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
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
