//! The least that a client can do: a loop that sends at given times, and one that receives and throws away. The engine is
//! held against them.
//!
//! Both speak just enough HTTP/1.1 for the simulated server, on the client's core, and keep nothing of an answer.
//! Not here: what the engine's numbers are next to theirs, see [`super::floor`].

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::event::epoll;
use rustix::time::Timespec;

use crate::endpoint::EndpointType;
use crate::engine::affinity;
use crate::engine::interference::CpuTimes;
use crate::error::{Error, Result};
use crate::time::{Anchor, Clock, SECOND_NS, SystemClock};

/// Connections of the sending loop: more than are in flight at any rate that is measured.
const CONNECTIONS: usize = 512;
/// Bytes read at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// What the loops ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// The server.
    pub(super) address: SocketAddr,
    /// The model's name.
    pub(super) model: &'a str,
    /// Tokens of every answer.
    pub(super) output_tokens: u32,
    /// The core to run on.
    pub(super) core: u32,
}

impl Ask<'_> {
    fn request(&self, id: usize, last_words: &str) -> Vec<u8> {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":"one two three four five six seven eight"}}],"model":"{}","stream":true,"max_completion_tokens":{}}}"#,
            self.model, self.output_tokens
        );
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nx-request-id: {}\r\n{last_words}content-length: {}\r\n\r\n{body}",
            EndpointType::Chat.path(""),
            self.address,
            id_of(id),
            body.len()
        )
        .into_bytes()
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Runs `body` on the client's core.
    fn on_core<T: Send>(&self, body: impl FnOnce() -> std::io::Result<T> + Send) -> Result<T> {
        std::thread::scope(|threads| {
            let pinned = || {
                affinity::pin_to(self.core);
                body()
            };
            threads.spawn(pinned).join().map_err(|_| Error::Internal("a bare loop panicked".into()))
        })?
        .map_err(|e| Error::Internal(format!("a bare loop cannot go on: {e}")))
    }
}

/// The `X-Request-Id` of a loop's request.
pub(super) fn id_of(n: usize) -> String {
    format!("bare-{n:08x}")
}

/// Sends a request at each of these times: waits by spinning, writes, and looks at nothing else; what the connection that is
/// used next has received is thrown away before the wait. Gives the axis of the times.
///
/// # Errors
/// [`Error::Internal`] where the system refuses a thread or a socket.
pub(super) fn send(ask: Ask<'_>, times_ns: &[i64]) -> Result<Anchor> {
    ask.on_core(|| {
        let requests: Vec<Vec<u8>> = (0..times_ns.len()).map(|n| ask.request(n, "")).collect();
        let mut sockets = (0..CONNECTIONS).map(|_| ask.connect()).collect::<std::io::Result<Vec<_>>>()?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let clock = SystemClock::starting_in(SECOND_NS / 10);
        for (n, (at_ns, request)) in times_ns.iter().zip(&requests).enumerate() {
            let socket = &mut sockets[n % CONNECTIONS];
            discard_all(socket, &mut buffer)?;
            while clock.now_ns() < *at_ns {
                std::hint::spin_loop();
            }
            socket.write_all(request)?;
        }
        Ok(clock.anchor())
    })
}

/// Reads all that is there; tells whether the peer has ended.
fn discard_all(socket: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<bool> {
    loop {
        match socket.read(buffer) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}

/// Opens a stream at each of these times, and reads and throws away what comes until all have ended. Gives the CPU time that
/// took, in nanoseconds.
///
/// # Errors
/// [`Error::Internal`] where the system refuses a thread or a socket.
pub(super) fn discard(ask: Ask<'_>, times_ns: &[i64]) -> Result<i64> {
    ask.on_core(|| {
        let requests: Vec<Vec<u8>> = (0..times_ns.len()).map(|n| ask.request(n, "connection: close\r\n")).collect();
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut sockets: Vec<TcpStream> = Vec::with_capacity(times_ns.len());
        let (mut buffer, mut events) = (vec![0; BUFFER_BYTES], Vec::with_capacity(EVENTS));
        let mut open = times_ns.len();
        let clock = SystemClock::starting_in(0);
        let before = CpuTimes::of_this_thread();
        while open > 0 {
            if times_ns.get(sockets.len()).is_some_and(|at_ns| *at_ns <= clock.now_ns()) {
                let mut socket = ask.connect()?;
                socket.write_all(&requests[sockets.len()])?;
                let data = epoll::EventData::new_u64(sockets.len() as u64);
                epoll::add(&poll, &socket, data, epoll::EventFlags::IN)?;
                sockets.push(socket);
            }
            let left_ns = times_ns.get(sockets.len()).map(|at_ns| (at_ns - clock.now_ns()).clamp(0, SECOND_NS - 1));
            let timeout = left_ns.map(|ns| Timespec { tv_sec: 0, tv_nsec: ns });
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref())?;
            for event in &events {
                let n = event.data.u64() as usize;
                // One read a time that it is ready, as the engine does.
                match sockets[n].read(&mut buffer) {
                    Ok(0) => {
                        epoll::delete(&poll, &sockets[n])?;
                        open -= 1;
                    }
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(CpuTimes::of_this_thread().cpu_ns - before.cpu_ns)
    })
}
