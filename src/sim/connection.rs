//! One connection, to its end: TLS where the server has it, and the version of HTTP that its client speaks.
//!
//! In: an accepted socket. Out: answers of the [`Service`], until the client goes or the server closes.
//! In the clear, who begins with HTTP/2's preface gets HTTP/2; under TLS, ALPN decides.

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::service::Service;
use super::tls::HTTP2;
use crate::engine::stamped::{Stamped, WireLog};

/// What a client begins with that speaks HTTP/2 without having asked.
const PREFACE: &[u8; 4] = b"PRI ";
/// Wait between two looks at a preface that has come in part.
const PREFACE_PAUSE: Duration = Duration::from_millis(1);
/// Time that a client has for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection at once.
const HTTP2_STREAMS_MAX: u32 = 1024;

/// Serves the connection.
pub(super) async fn serve(
    service: Rc<Service>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    is_closing: watch::Receiver<bool>,
) {
    // Without this option an event would wait for the acknowledgement of the one before it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match (tls, service.wire_clock.clone()) {
        (None, clock) => match (speaks_http2(&stream).await, clock) {
            (Err(_), _) => {}
            // Requests of several streams share reads: of none it is known when it had come.
            (Ok(true), _) => converse_http2(service, stream, is_closing).await,
            (Ok(false), Some(clock)) => {
                let log = Rc::new(WireLog::default());
                let stamped = Stamped::new(stream, clock, Rc::clone(&log));
                converse(service, stamped, Some(log), is_closing).await;
            }
            (Ok(false), None) => converse(service, stream, None, is_closing).await,
        },
        (Some(tls), Some(clock)) => {
            let log = Rc::new(WireLog::default());
            let stamped = Stamped::new(stream, clock, Rc::clone(&log));
            under_tls(service, shake(&tls, stamped).await, Some(log), is_closing).await;
        }
        (Some(tls), None) => under_tls(service, shake(&tls, stream).await, None, is_closing).await,
    }
}

/// The handshake; `None` where it fails, which is the client's to report, or lasts too long.
async fn shake<T: AsyncRead + AsyncWrite + Unpin>(tls: &TlsAcceptor, io: T) -> Option<TlsStream<T>> {
    tokio::time::timeout(HANDSHAKE, tls.accept(io)).await.ok()?.ok()
}

/// What is spoken behind a handshake.
async fn under_tls<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    service: Rc<Service>,
    shaken: Option<TlsStream<T>>,
    log: Option<Rc<WireLog>>,
    is_closing: watch::Receiver<bool>,
) {
    let Some(stream) = shaken else { return };
    if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
        converse_http2(service, stream, is_closing).await;
    } else {
        converse(service, stream, log, is_closing).await;
    }
}

/// Whether the client begins with HTTP/2's preface (prior knowledge). Nothing is taken from the socket.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut head = [0; PREFACE.len()];
    loop {
        let n = stream.peek(&mut head).await?;
        if n == PREFACE.len() || n == 0 || head[..n] != PREFACE[..n] {
            return Ok(n == PREFACE.len() && head == *PREFACE);
        }
        // The socket stays readable while the rest is on its way.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

/// The requests of an HTTP/1.1 connection, and their answers.
async fn converse(
    service: Rc<Service>,
    io: impl AsyncRead + AsyncWrite + Unpin,
    log: Option<Rc<WireLog>>,
    mut is_closing: watch::Receiver<bool>,
) {
    let answer = hyper::service::service_fn(move |request| {
        let (service, log) = (Rc::clone(&service), log.clone());
        async move { Ok::<_, Infallible>(service.serve(request, log).await) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(io), answer));
    // A connection's error is the client's going away; the answer in flight has counted it.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = is_closing.wait_for(|closing| *closing) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The requests of an HTTP/2 connection, and their answers.
async fn converse_http2(
    service: Rc<Service>,
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    mut is_closing: watch::Receiver<bool>,
) {
    let answer = hyper::service::service_fn(move |request| {
        let service = Rc::clone(&service);
        async move { Ok::<_, Infallible>(service.serve(request, None).await) }
    });
    let mut builder = http2::Builder::new(OnThisThread);
    builder.max_concurrent_streams(HTTP2_STREAMS_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), answer));
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = is_closing.wait_for(|closing| *closing) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Runs the tasks of HTTP/2's streams where their connection runs.
#[derive(Clone, Copy, Debug)]
struct OnThisThread;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
