//! A metrics endpoint → the text that it answers with, over one connection that is kept while the server keeps it.
//!
//! Invariants: an answer is bounded in bytes and in time; a fetch that fails is not repeated, the next one comes soon enough.
//! Not here: when to fetch.

use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::engine::dial::{self, Dialer};
use crate::engine::tls::Tls;
use crate::time::{Clock, SystemClock};

/// Largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest time that a fetch may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An endpoint that is scraped.
#[derive(Clone, Debug)]
pub struct MetricsEndpoint {
    /// Its URL, as files name it.
    pub url: String,
    /// Makes sockets to it.
    pub dialer: Dialer,
    /// TLS, if it is spoken; offers HTTP/1.1 alone.
    pub tls: Option<Tls>,
    /// The `Host` header.
    pub authority: HeaderValue,
    /// The path.
    pub path: Uri,
}

/// An answer, with its times on the run's clock.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) sent_ns: i64,
    pub(super) first_byte_ns: i64,
    pub(super) end_ns: i64,
    /// The text, or why there is none.
    pub(super) text: Result<String, String>,
}

/// Fetches from one endpoint.
#[derive(Debug)]
pub(super) struct Fetcher {
    endpoint: MetricsEndpoint,
    clock: SystemClock,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Fetcher {
    pub(super) fn new(endpoint: MetricsEndpoint, clock: SystemClock) -> Fetcher {
        Fetcher { endpoint, clock, sender: None }
    }

    pub(super) fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// One fetch. Must be called on a `LocalSet`.
    pub(super) async fn fetch(&mut self) -> Fetched {
        let mut times = (self.clock.now_ns(), None);
        let text = match tokio::time::timeout(PATIENCE, self.text(&mut times)).await {
            Ok(text) => text,
            Err(_) => Err(format!("no whole answer within {} s", PATIENCE.as_secs())),
        };
        if text.is_err() {
            self.sender = None;
        }
        let end_ns = self.clock.now_ns();
        Fetched { sent_ns: times.0, first_byte_ns: times.1.unwrap_or(end_ns), end_ns, text }
    }

    async fn text(&mut self, times: &mut (i64, Option<i64>)) -> Result<String, String> {
        if self.sender.as_ref().is_none_or(|sender| !sender.is_ready()) {
            self.sender = Some(self.connect().await?);
        }
        let Some(sender) = self.sender.as_mut() else { return Err("no connection".into()) };
        let request = Request::builder()
            .method(Method::GET)
            .uri(self.endpoint.path.clone())
            .header(header::HOST, self.endpoint.authority.clone())
            .header(header::USER_AGENT, concat!("loadline/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "text/plain;version=0.0.4")
            .body(Empty::new())
            .map_err(|e| e.to_string())?;
        times.0 = self.clock.now_ns();
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        times.1 = Some(self.clock.now_ns());
        if !answer.status().is_success() {
            return Err(format!("HTTP {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
        String::from_utf8(body.to_bytes().into()).map_err(|_| "the answer is not UTF-8".into())
    }

    async fn connect(&mut self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let io = self.socket().await.map_err(|e| e.to_string())?;
        let Some(tls) = &self.endpoint.tls else { return shake_hands(io).await };
        let connector = TlsConnector::from(tls.client.clone());
        let stream = connector.connect(tls.server.clone(), io).await.map_err(|e| e.to_string())?;
        shake_hands(stream).await
    }

    async fn socket(&mut self) -> std::io::Result<TcpStream> {
        let (socket, in_progress) = self.endpoint.dialer.start()?;
        let io = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(socket)))?;
        if in_progress {
            io.writable().await?;
            dial::finish(&io)?;
        }
        Ok(io)
    }
}

async fn shake_hands<T>(io: T) -> Result<SendRequest<Empty<Bytes>>, String>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
    // Its error is that of the request that is on its way, which tells it.
    tokio::task::spawn_local(connection);
    Ok(sender)
}
