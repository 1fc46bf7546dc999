//! One connection before a run → the address that answers and, with TLS, the protocol that the server agrees to.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConnection;

use crate::engine::dial::{self, Dialer};
use crate::engine::tls::Tls;

/// How long a server may take to accept a connection, and for each step of a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a probe found.
#[derive(Debug)]
pub(super) struct Probed {
    /// The dialer without the addresses before the first that answers.
    pub(super) dialer: Dialer,
    /// What ALPN chose.
    pub(super) alpn: Option<Vec<u8>>,
}

/// Tries the peer's addresses in order, until one takes a connection and a TLS handshake.
///
/// # Errors
/// That of the last address.
pub(super) fn probe(dialer: &Dialer, tls: Option<&Tls>) -> io::Result<Probed> {
    let mut last =
        io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address that the local addresses can reach");
    let mut n = 0;
    while let Some(mut from_here) = dialer.from_address(n) {
        match connect(&mut from_here, tls) {
            Ok(alpn) => return Ok(Probed { dialer: from_here, alpn }),
            Err(e) => last = e,
        }
        n += 1;
    }
    Err(last)
}

fn connect(dialer: &mut Dialer, tls: Option<&Tls>) -> io::Result<Option<Vec<u8>>> {
    let (socket, in_progress) = dialer.start()?;
    if in_progress {
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        if poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&patience))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", PATIENCE.as_secs())));
        }
        dial::finish(&socket)?;
    }
    let Some(tls) = tls else { return Ok(None) };
    let mut stream = std::net::TcpStream::from(OwnedFd::from(socket));
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut client = ClientConnection::new(tls.client.clone(), tls.server.clone()).map_err(io::Error::other)?;
    while client.is_handshaking() {
        client.complete_io(&mut stream)?;
    }
    Ok(client.alpn_protocol().map(<[u8]>::to_vec))
}
