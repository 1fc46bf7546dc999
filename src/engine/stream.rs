//! A target → a connected stream with stamps, in the clear or through TLS.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial;
use super::stamped::{Stamped, WireClock, WireLog};
use super::target::Protocol;
use super::tls::Tls;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(Stamped),
    /// Through TLS.
    Tls(Box<TlsStream<Stamped>>),
}

impl Stream {
    /// Connects and, with TLS, shakes hands; none of that is logged as a flight's.
    ///
    /// # Errors
    /// The connect's, the handshake's, and `Unsupported` where ALPN did not agree on `protocol`. A server that knows
    /// no ALPN is taken to speak HTTP/1.1.
    pub async fn open(
        socket: io::Result<(socket2::Socket, bool)>,
        tls: Option<&Tls>,
        protocol: Protocol,
        (clock, log): (WireClock, Rc<WireLog>),
    ) -> io::Result<Stream> {
        let (socket, in_progress) = socket?;
        let io = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(socket)))?;
        if in_progress {
            io.writable().await?;
            dial::finish(&io)?;
        }
        let stamped = Stamped::new(io, clock, log);
        let Some(tls) = tls else { return Ok(Stream::Plain(stamped)) };
        let stream = TlsConnector::from(tls.client.clone()).connect(tls.server.clone(), stamped).await?;
        let agreed = stream.get_ref().1.alpn_protocol().unwrap_or(b"http/1.1");
        if agreed != protocol.alpn() {
            let agreed = String::from_utf8_lossy(agreed).into_owned();
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("the server speaks {agreed} over TLS")));
        }
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// The same call on whichever stream it is.
macro_rules! on_either {
    ($self:ident, $call:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Stream::Plain(io) => Pin::new(io).$call($($argument),*),
            Stream::Tls(io) => Pin::new(io).$call($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_either!(self, poll_write, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_shutdown, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, poll_write_vectored, cx, bufs)
    }
}
