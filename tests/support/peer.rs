//! An in-process peer that speaks HTTP/1.1 or HTTP/2, in the clear or through TLS, over TCP or a unix socket, and
//! keeps count of what it saw.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What becomes of the n-th request, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered with the script's pieces, each in a frame of its own.
    Answered,
    /// The same under this content coding.
    Coded(&'static str),
    /// Reset after the first piece.
    Reset,
    /// Reset unseen.
    Refused,
    /// Never answered.
    Ignored,
}

/// What the peer does.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) http2: bool,
    pub(crate) content_type: &'static str,
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) fate: fn(usize) -> Fate,
    /// Nothing is answered before this many requests have come.
    pub(crate) gather: usize,
    /// The most streams that a connection may have.
    pub(crate) streams_max: u32,
    /// Requests on a connection after which the peer asks for another one.
    pub(crate) goaway_after: usize,
    /// Requests on a connection after which the peer breaks it off.
    pub(crate) break_after: usize,
}

impl Script {
    /// Answers everything at once with these pieces of an event stream.
    pub(crate) fn http2(pieces: &[&'static str]) -> Script {
        Script {
            http2: true,
            content_type: "text/event-stream",
            pieces: pieces.iter().map(|p| Bytes::from_static(p.as_bytes())).collect(),
            fate: |_| Fate::Answered,
            gather: 0,
            streams_max: 1000,
            goaway_after: usize::MAX,
            break_after: usize::MAX,
        }
    }
}

/// What the peer saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) requests: usize,
    /// Most streams that one connection had at once.
    pub(crate) streams_max: usize,
    /// Streams that the client gave up.
    pub(crate) cancelled: usize,
    /// Connections by the client's address.
    pub(crate) from: BTreeMap<IpAddr, usize>,
    /// The last request's authority, from wherever it stood.
    pub(crate) authority: String,
}

/// The peer; it lives as long as the process.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What the tasks of a peer share.
struct Stage {
    script: Script,
    seen: Arc<Mutex<Seen>>,
    arrived: watch::Sender<usize>,
}

impl Peer {
    /// A peer on a TCP address.
    pub(crate) fn start(on: &str, script: Script, tls: Option<Arc<ServerConfig>>) -> Option<Peer> {
        let listener = std::net::TcpListener::bind(on).ok()?;
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Self::run(script, async move |stage| {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (io, from) = listener.accept().await.unwrap();
                *stage.seen.lock().unwrap().from.entry(from.ip()).or_default() += 1;
                let (stage, tls) = (stage.clone(), tls.clone());
                tokio::task::spawn_local(async move {
                    match tls {
                        None => serve(io, stage).await,
                        // A client that does not trust us goes away.
                        Some(tls) => {
                            if let Ok(io) = TlsAcceptor::from(tls).accept(io).await {
                                serve(io, stage).await;
                            }
                        }
                    }
                });
            }
        });
        Some(Peer { address, seen })
    }

    /// A peer on a unix socket.
    pub(crate) fn at_path(path: &Path, script: Script) -> Peer {
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let seen = Self::run(script, async move |stage| {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            loop {
                let (io, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(serve(io, stage.clone()));
            }
        });
        Peer { address: SocketAddr::from(([0; 4], 0)), seen }
    }

    fn run(script: Script, accept: impl AsyncFnOnce(Rc<Stage>) + Send + 'static) -> Arc<Mutex<Seen>> {
        let seen = Arc::<Mutex<Seen>>::default();
        let kept = seen.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            let stage = Rc::new(Stage { script, seen, arrived: watch::Sender::new(0) });
            tokio::task::LocalSet::new().block_on(&runtime, accept(stage));
        });
        kept
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

/// A TLS server for `localhost` and 127.0.0.1 that offers these protocols, and the file with its certificate.
pub(crate) fn tls_server(alpn: &[&str], certificate: &Path) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string(), "127.0.0.1".to_string()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}

impl Stage {
    /// Counts a request in, and waits for the others.
    async fn arrive(&self, authority: &str) -> Fate {
        let n = {
            let mut seen = self.seen.lock().unwrap();
            seen.requests += 1;
            seen.authority = authority.to_string();
            seen.requests
        };
        self.arrived.send_replace(n);
        self.arrived.subscribe().wait_for(|n| *n >= self.script.gather).await.unwrap();
        (self.script.fate)(n)
    }
}

async fn serve<T: AsyncRead + AsyncWrite + Unpin + 'static>(io: T, stage: Rc<Stage>) {
    if stage.script.http2 { serve_http2(io, stage).await } else { serve_http1(io, stage).await }
}

async fn serve_http1<T: AsyncRead + AsyncWrite + Unpin + 'static>(io: T, stage: Rc<Stage>) {
    stage.seen.lock().unwrap().connections += 1;
    let answer = service_fn(async |request: Request<Incoming>| {
        let host = request.headers()["host"].to_str().unwrap().to_string();
        request.into_body().collect().await.unwrap();
        let coding = match stage.arrive(&host).await {
            Fate::Coded(coding) => coding,
            _ => "identity",
        };
        let answer = Response::builder().header("content-type", stage.script.content_type);
        let body = Full::new(Bytes::from(stage.script.pieces.concat()));
        Ok::<_, Infallible>(answer.header("content-encoding", coding).body(body).unwrap())
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), answer).await;
}

async fn serve_http2<T: AsyncRead + AsyncWrite + Unpin>(io: T, stage: Rc<Stage>) {
    let Ok(mut connection) = Builder::new().max_concurrent_streams(stage.script.streams_max).handshake(io).await else {
        return;
    };
    let (mut requests, live) = (0, Rc::new(Cell::new(0)));
    while let Some(Ok((request, respond))) = connection.accept().await {
        if requests == 0 {
            // A probe asks for nothing.
            stage.seen.lock().unwrap().connections += 1;
        }
        requests += 1;
        live.set(live.get() + 1);
        {
            let mut seen = stage.seen.lock().unwrap();
            seen.streams_max = seen.streams_max.max(live.get());
        }
        if requests == stage.script.goaway_after {
            connection.graceful_shutdown();
        }
        if requests == stage.script.break_after {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        let (stage, live) = (stage.clone(), live.clone());
        tokio::task::spawn_local(async move {
            answer_http2(request, respond, &stage).await;
            live.set(live.get() - 1);
        });
    }
}

async fn answer_http2(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, stage: &Stage) {
    let authority = request.uri().authority().unwrap().to_string();
    let mut body = request.into_body();
    while let Some(Ok(bytes)) = body.data().await {
        let _ = body.flow_control().release_capacity(bytes.len());
    }
    let fate = stage.arrive(&authority).await;
    let mut head = Response::builder().header("content-type", stage.script.content_type);
    match fate {
        Fate::Refused => return respond.send_reset(Reason::REFUSED_STREAM),
        Fate::Ignored => {
            if matches!(std::future::poll_fn(|cx| respond.poll_reset(cx)).await, Ok(Reason::CANCEL)) {
                stage.seen.lock().unwrap().cancelled += 1;
            }
            return;
        }
        Fate::Coded(coding) => head = head.header("content-encoding", coding),
        Fate::Answered | Fate::Reset => {}
    }
    let Ok(mut out) = respond.send_response(head.body(()).unwrap(), false) else { return };
    for piece in &stage.script.pieces {
        // A client that has gone away is told no more.
        let _ = out.send_data(piece.clone(), false);
        if fate == Fate::Reset {
            // Once the piece is on its way.
            tokio::task::yield_now().await;
            return out.send_reset(Reason::INTERNAL_ERROR);
        }
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", http::HeaderValue::from_static("0"));
    let _ = out.send_trailers(trailers);
}
