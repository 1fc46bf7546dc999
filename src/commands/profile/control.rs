//! What is asked of a server around a run, off the data plane: whether its model is there, an empty prefix cache, a profile of its own.
//!
//! Each is one request over a connection of its own, bounded in time and in bytes; none of them has a row.

use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::destination::Destined;
use crate::cli::config::ProfileConfig;
use crate::cli::readiness::{Errand, ReadyBy};
use crate::endpoint::{EndpointType, least_body};
use crate::engine::dial;
use crate::engine::target::{Protocol, Target};
use crate::error::{Error, Result};
use crate::report::out;
use crate::time::{Clock, SECOND_NS, SystemClock};

/// Largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest time that one look at a model may take.
const LOOK: Duration = Duration::from_secs(60);

/// Prepares the destination; where that is asked for, again and again until its model is there.
///
/// # Errors
/// [`Error::Endpoint`] where it is not in time.
pub(super) fn ready(config: &ProfileConfig, cores: &[u32]) -> Result<Destined> {
    let (wait_ns, interval_ns) = (config.readiness.wait_ns, config.readiness.interval_ns);
    let clock = SystemClock::starting_in(0);
    let mut is_told = false;
    loop {
        let missing = match Destined::prepare(config, cores) {
            Ok(destined) if wait_ns == 0 => return Ok(destined),
            Ok(destined) => match look(config, &destined) {
                Ok(()) => return Ok(destined),
                Err(why) => why,
            },
            Err(Error::Endpoint(why)) if wait_ns > 0 => why,
            Err(error) => return Err(error),
        };
        if clock.now_ns().saturating_add(interval_ns) > wait_ns {
            return Err(Error::Endpoint(format!(
                "{} was not there within {:.1} s (--wait-for-model-timeout): {missing}",
                config.request.model,
                wait_ns as f64 / SECOND_NS as f64
            )));
        }
        if !is_told {
            out::stderr(&format!("Waiting for {}: {missing}\n", config.request.model))?;
            is_told = true;
        }
        std::thread::park_timeout(Duration::from_nanos(interval_ns.cast_unsigned()));
    }
}

/// Whether the model is served at a destination at this moment; if not, why.
///
/// # Errors
/// Why it is not.
pub(in crate::commands) fn answers(config: &ProfileConfig) -> std::result::Result<(), String> {
    let destined = Destined::prepare(config, &[]).map_err(|e| e.to_string())?;
    look(config, &destined)
}

/// Whether the model is served; if not, why.
fn look(config: &ProfileConfig, destined: &Destined) -> std::result::Result<(), String> {
    let (Some(base), by) = (&destined.base, config.readiness.ready_by) else { return Ok(()) };
    let model = &config.request.model;
    if by != ReadyBy::Inference {
        let prefix = base.path.strip_suffix("/v1").unwrap_or(&base.path);
        let list = exchange(&destined.target, Method::GET, &format!("{prefix}/v1/models"), Bytes::new(), LOOK)?;
        let list: serde_json::Value = serde_json::from_str(&list).map_err(|e| format!("its list of models: {e}"))?;
        let models = list["data"].as_array().map_or(&[][..], Vec::as_slice);
        if !models.iter().any(|entry| entry["id"] == *model.as_str()) {
            return Err("it is not in the list of models".into());
        }
    }
    if by != ReadyBy::Models {
        let prompt = match config.request.endpoint {
            other if !other.gives_tokens() => {
                serde_json::from_slice(&least_body(&config.request)).map_err(|e| e.to_string())?
            }
            EndpointType::Completions => json!({"model": model, "prompt": "hi", "max_tokens": 1}),
            _ => json!({"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}),
        };
        exchange(&destined.target, Method::POST, destined.target.uri.path(), prompt.to_string().into(), LOOK)?;
    }
    Ok(())
}

/// What is asked before the run.
///
/// # Errors
/// [`Error::Endpoint`] where the server does not do it.
pub(super) fn before(config: &ProfileConfig, destined: &Destined) -> Result<()> {
    let readiness = &config.readiness;
    if let Some(reset) = &readiness.reset {
        run_errand(reset, destined, "--reset-kv-cache")?;
    }
    match &readiness.profiler {
        Some([start, _]) => run_errand(start, destined, "--server-profiler"),
        None => Ok(()),
    }
}

/// What is asked after it. A failure is told, and is none of the run.
pub(super) fn after(config: &ProfileConfig, destined: &Destined) -> Result<()> {
    let Some([_, stop]) = &config.readiness.profiler else { return Ok(()) };
    match run_errand(stop, destined, "--server-profiler") {
        Err(error) => out::stderr(&format!("warning: {error}\n")),
        Ok(()) => Ok(()),
    }
}

fn run_errand(errand: &Errand, destined: &Destined, flag: &str) -> Result<()> {
    let patience = Duration::from_nanos(errand.patience_ns.cast_unsigned());
    match exchange(&destined.target, Method::POST, &errand.path, Bytes::new(), patience) {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::Endpoint(format!("{flag}: POST {}: {why}", errand.path))),
    }
}

/// One request and its answer's text, or why there is none.
fn exchange(
    target: &Target,
    method: Method,
    path: &str,
    body: Bytes,
    patience: Duration,
) -> std::result::Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        match tokio::time::timeout(patience, answer(target, method, path, body)).await {
            Ok(text) => text,
            Err(_) => Err(format!("no whole answer within {} s", patience.as_secs_f64())),
        }
    })
}

async fn answer(target: &Target, method: Method, path: &str, body: Bytes) -> std::result::Result<String, String> {
    let said = |e: &dyn std::fmt::Display| e.to_string();
    let (socket, in_progress) = target.dialer.clone().start().map_err(|e| said(&e))?;
    let io = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(socket))).map_err(|e| said(&e))?;
    if in_progress {
        io.writable().await.map_err(|e| said(&e))?;
        dial::finish(&io).map_err(|e| said(&e))?;
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::try_from(path).map_err(|e| said(&e))?;
    request.headers_mut().clone_from(&target.headers);
    request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    match &target.tls {
        None => over(io, request).await,
        Some(tls) => {
            let tls = tls.offering(vec![Protocol::Http1.alpn().to_vec()]);
            let connector = TlsConnector::from(tls.client.clone());
            over(connector.connect(tls.server.clone(), io).await.map_err(|e| said(&e))?, request).await
        }
    }
}

async fn over<T>(io: T, request: Request<Full<Bytes>>) -> std::result::Result<String, String>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
    // Its error is that of the request, which tells it.
    tokio::task::spawn_local(connection);
    let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    Err(format!("HTTP {status}: {}", text.chars().take(200).collect::<String>().trim()))
}
