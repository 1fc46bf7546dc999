//! One socket of the lane: the request that is going out on it, and the decoder of the answer that comes in.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use bytes::Buf;
use rustix::net::RecvFlags;
use socket2::Socket;

use super::decode::Decoder;
use super::recv;
use super::request::Request;
use crate::engine::transport::FlightKey;

/// Slices of one vectored write.
const SLICES: usize = 64;

/// How far a write got.
#[derive(Debug)]
pub(super) enum Written {
    All,
    Part,
    Failed(io::Error),
}

/// The socket and what is on it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    pub(super) connecting: bool,
    pub(super) flight: Option<FlightKey>,
    pub(super) decoder: Decoder,
    /// What is still to be written.
    request: Option<Request>,
    reads: u32,
    /// Whether the socket is watched for room to write.
    pub(super) watches_write: bool,
    /// When the last answer on it ended.
    pub(super) idle_since_ns: i64,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Self {
        let _ = recv::enable_stamps(socket.as_fd());
        Connection {
            socket,
            connecting: true,
            flight: None,
            decoder: Decoder::default(),
            request: None,
            reads: 0,
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
        self.decoder.reset();
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

    /// The number of this read within the answer.
    pub(super) fn next_read(&mut self) -> u32 {
        self.reads += 1;
        self.reads - 1
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<i64>)> {
        recv::receive(self.socket.as_fd(), buffer)
    }

    /// Whether the peer has neither closed it nor said anything.
    pub(super) fn is_open(&self) -> bool {
        let mut byte = [0];
        let peeked = rustix::net::recv(&self.socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Writes as much of the request as the socket takes.
    pub(super) fn write(&mut self) -> Written {
        while let Some(request) = &mut self.request {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let n = request.chunks_vectored(&mut slices);
            match rustix::io::writev(&self.socket, &slices[..n]) {
                Ok(written) => {
                    request.advance(written);
                    if !request.has_remaining() {
                        self.request = None;
                    }
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Written::Part,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Written::Failed(e.into()),
            }
        }
        Written::All
    }
}
