//! One socket of the lane: the request that is going out on it, and the decoder of the answer that comes in.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use bytes::Buf;
use rustix::net::{RecvFlags, SendFlags};
use socket2::Socket;

use super::decode::Decoder;
use super::request::Request;
use super::secure::Secure;
use crate::engine::recv;
use crate::engine::transport::{FlightKey, ReadStamp};

/// Slices of one vectored write.
pub(super) const SLICES: usize = 64;

/// How far a write got.
#[derive(Debug)]
pub(super) enum Written {
    All,
    /// The socket takes no more for now.
    Part,
    /// The peer has to speak first: TLS shakes hands.
    Later,
    Failed(io::Error),
}

/// What a read gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Bytes of the answer.
    pub(super) bytes: usize,
    /// The kernel's stamp, on CLOCK_REALTIME.
    pub(super) stamp: Option<i64>,
    /// Whether no more will come.
    pub(super) ended: bool,
}

/// The socket and what is on it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    secure: Option<Box<Secure>>,
    pub(super) connecting: bool,
    /// Whether no request has gone out on it yet.
    pub(super) is_new: bool,
    pub(super) flight: Option<FlightKey>,
    pub(super) decoder: Decoder,
    /// What is still to be written.
    request: Option<Request>,
    /// Whether some of the request was handed to the socket.
    pub(super) begun: bool,
    /// Writes that took some of it, sealed or not.
    pub(super) writes: u32,
    reads: u32,
    /// The kernel's time of the last read, on the run's clock: a new offset must not make time go back.
    last_kernel_ns: i64,
    /// When the request was sent whose transmit stamp is still to come.
    pub(super) stamp_due_of_ns: Option<i64>,
    /// Whether the socket is watched for room to write.
    pub(super) watches_write: bool,
    /// When the last answer on it ended.
    pub(super) idle_since_ns: i64,
}

impl Connection {
    pub(super) fn new(socket: Socket, secure: Option<Box<Secure>>) -> Self {
        let _ = recv::enable_stamps(socket.as_fd());
        Connection {
            socket,
            secure,
            connecting: true,
            is_new: true,
            flight: None,
            decoder: Decoder::default(),
            request: None,
            begun: false,
            writes: 0,
            reads: 0,
            last_kernel_ns: i64::MIN,
            stamp_due_of_ns: None,
            watches_write: false,
            idle_since_ns: 0,
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Puts a flight on it.
    pub(super) fn begin(&mut self, key: FlightKey, request: Request) {
        self.flight = Some(key);
        self.request = Some(request);
        self.begun = false;
        self.decoder.reset();
        self.writes = 0;
        self.reads = 0;
    }

    /// Takes back a request of which nothing was written.
    pub(super) fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// Takes the flight off it.
    pub(super) fn rest(&mut self, now_ns: i64) {
        self.flight = None;
        self.request = None;
        self.idle_since_ns = now_ns;
    }

    /// Whether it can carry another request: the answer was whole, keeps the connection, and the request was
    /// written to its end.
    pub(super) fn may_rest(&self) -> bool {
        self.decoder.keeps_alive() && self.request.is_none()
    }

    /// The stamp of a read that returned at `t_ns`.
    pub(super) fn stamp(&mut self, t_ns: i64, kernel_ns: Option<i64>) -> ReadStamp {
        let kernel_ns = kernel_ns.map(|k| k.max(self.last_kernel_ns));
        self.last_kernel_ns = kernel_ns.unwrap_or(self.last_kernel_ns);
        self.reads += 1;
        ReadStamp { t_ns, kernel_ns, read: self.reads - 1 }
    }

    /// Whether requests can go out on it: it is connected, and TLS has shaken hands.
    pub(super) fn is_ready(&self) -> bool {
        !self.connecting && self.secure.as_ref().is_none_or(|s| !s.is_handshaking())
    }

    /// Reads once into `buffer`; what TLS sealed goes through `sealed`.
    pub(super) fn read(&mut self, buffer: &mut [u8], sealed: &mut [u8]) -> io::Result<Reading> {
        let Some(secure) = &mut self.secure else {
            let (bytes, stamp) = recv::receive(self.socket.as_fd(), buffer)?;
            return Ok(Reading { bytes, stamp, ended: bytes == 0 });
        };
        let (n, stamp) = recv::receive(self.socket.as_fd(), sealed)?;
        if n == 0 {
            return Ok(Reading { bytes: 0, stamp, ended: true });
        }
        let (bytes, ended) = secure.open(&sealed[..n], buffer)?;
        Ok(Reading { bytes, stamp, ended })
    }

    /// Whether the peer has neither closed it nor said anything.
    pub(super) fn is_open(&self) -> bool {
        let mut byte = [0];
        let peeked = rustix::net::recv(&self.socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Brings what a write goes through into the cache, by a write of nothing: none of it leaves this machine. A connection that
    /// has ended says so at its next read.
    pub(super) fn warm(&self) {
        let _ = rustix::net::send(&self.socket, &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Writes as much of the request as the socket takes. `stamped`: the kernel is to keep the time at which it leaves.
    pub(super) fn write(&mut self, stamped: bool) -> Written {
        if let Some(secure) = &mut self.secure {
            return secure.send(&mut self.request, &mut self.begun, &mut self.writes, &self.socket);
        }
        while let Some(request) = &mut self.request {
            let whole = request.in_one_piece().filter(|_| !stamped);
            let written = match whole {
                Some(bytes) => rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL).map_err(io::Error::from),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let n = request.chunks_vectored(&mut slices);
                    if stamped {
                        recv::send_stamped(self.socket.as_fd(), &slices[..n])
                    } else {
                        rustix::io::writev(&self.socket, &slices[..n]).map_err(io::Error::from)
                    }
                }
            };
            match written {
                Ok(written) => {
                    self.begun = true;
                    self.writes += 1;
                    request.advance(written);
                    if !request.has_remaining() {
                        self.request = None;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Written::Part,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Written::Failed(e),
            }
        }
        Written::All
    }

    /// Whether what goes out next is a whole request, in plain, of at most so many bytes.
    pub(super) fn is_whole_within(&self, bytes: usize) -> bool {
        let request = self.request.as_ref().filter(|_| self.secure.is_none() && !self.begun);
        request.is_some_and(|r| r.remaining() <= bytes)
    }

    /// The transmit stamp that waits, on CLOCK_REALTIME.
    pub(super) fn transmit_stamp(&self) -> Option<i64> {
        recv::transmit_stamp(self.socket.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn warming_a_connection_sends_nothing_and_survives_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let connection = Connection::new(Socket::from(ours), None);
        (0..3).for_each(|_| connection.warm());
        peer.set_nonblocking(true).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(connection.is_open());
        drop(peer);
        (0..3).for_each(|_| connection.warm());
        assert!(!connection.is_open());
    }
}
