//! TLS on a connection of the lane: what the socket delivers → what was sent, and back. No I/O of its own but the
//! socket's writes; records are opened in memory, in the read that delivered them, so its stamp is theirs.

use std::io::{self, IoSlice, Read, Write};

use bytes::Buf;
use rustls::ClientConnection;
use socket2::Socket;

use super::connection::{SLICES, Written};
use super::request::Request;
use crate::engine::tls::Tls;

/// One TLS session.
#[derive(Debug)]
pub(super) struct Secure(ClientConnection);

impl Secure {
    pub(super) fn new(tls: &Tls) -> io::Result<Box<Secure>> {
        let mut session = ClientConnection::new(tls.client.clone(), tls.server.clone()).map_err(io::Error::other)?;
        // A request goes in whole; the socket, not this buffer, is what makes it wait.
        session.set_buffer_limit(None);
        Ok(Box::new(Secure(session)))
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Opens the records in `sealed` into `plain`, which must be as large. Gives the bytes of plain text, and whether
    /// the peer has said that no more will come.
    pub(super) fn open(&mut self, mut sealed: &[u8], plain: &mut [u8]) -> io::Result<(usize, bool)> {
        let mut filled = 0;
        while !sealed.is_empty() {
            self.0.read_tls(&mut sealed)?;
            let state = self.0.process_new_packets().map_err(io::Error::other)?;
            let more = state.plaintext_bytes_to_read();
            self.0.reader().read_exact(&mut plain[filled..filled + more])?;
            filled += more;
            if state.peer_has_closed() {
                return Ok((filled, true));
            }
        }
        Ok((filled, false))
    }

    /// Seals what is left of the request, once the handshake is over, and writes what the socket takes. `begun` becomes
    /// true with the first of its bytes, and `writes` counts the writes from there on.
    pub(super) fn send(
        &mut self,
        request: &mut Option<Request>,
        begun: &mut bool,
        writes: &mut u32,
        socket: &Socket,
    ) -> Written {
        if !self.0.is_handshaking()
            && let Some(mut whole) = request.take()
        {
            *begun = true;
            while whole.has_remaining() {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let n = whole.chunks_vectored(&mut slices);
                match self.0.writer().write_vectored(&slices[..n]) {
                    Ok(sealed) => whole.advance(sealed),
                    Err(e) => return Written::Failed(e),
                }
            }
        }
        while self.0.wants_write() {
            match self.0.write_tls(&mut &*socket) {
                Ok(_) => *writes += u32::from(*begun),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Written::Part,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Written::Failed(e),
            }
        }
        if request.is_some() { Written::Later } else { Written::All }
    }
}
