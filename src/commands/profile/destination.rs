//! Where a run's requests go: a server that is there, or a simulated deployment that is started for the run.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::probe::{Probed, probe};
use crate::cli::base_url::{BaseUrl, Scheme};
use crate::cli::config::{Destination, ProfileConfig};
use crate::cli::network::{HttpVersion, NetworkConfig};
use crate::endpoint::EndpointType;
use crate::engine::dial::{Dialer, Peer};
use crate::engine::target::{Protocol, Target};
use crate::engine::tls::{Tls, TlsOptions};
use crate::error::{Error, Result};
use crate::sim::config::ServeConfig;
use crate::sim::server::{self, ServerHandle};

/// A destination that is ready. Dropping it stops a simulated deployment.
#[derive(Debug)]
pub(super) struct Destined {
    /// Its base URL, for people and for the manifest.
    pub(super) url: String,
    /// Where the server really is; in simulated time, nowhere.
    pub(super) base: Option<BaseUrl>,
    /// What the engine needs.
    pub(super) target: Target,
    simulated: Option<ServerHandle>,
    /// The deployment to be run in simulated time, for which there is no server and no target.
    pub(super) offline: Option<ServeConfig>,
}

impl Destined {
    /// Starts the simulated deployment, if there is one, and makes a first connection.
    pub(super) fn prepare(config: &ProfileConfig, cores: &[u32]) -> Result<Destined> {
        match &config.destination {
            Destination::Server(base) => Destined::at(config, base, None),
            Destination::Simulated(simulated) => {
                if config.simulate {
                    return Ok(Destined::offline(config, simulated));
                }
                // The last core is the server's; workers take theirs from the first on.
                let core = cores.last().filter(|_| cores.len() > 1).map(|core| *core as usize);
                let handle = server::spawn(&ServeConfig { core, seed: config.seed, ..ServeConfig::clone(simulated) })?;
                let base = BaseUrl::parse(&handle.url())?;
                let mut destined = Destined::at(config, &base, Some(handle))?;
                destined.url = name(simulated);
                Ok(destined)
            }
        }
    }

    fn offline(config: &ProfileConfig, simulated: &ServeConfig) -> Destined {
        let target = Target {
            dialer: Dialer::new(Peer::Tcp(Vec::new()), Vec::new()),
            tls: None,
            protocol: Protocol::Http1,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            session_header: config.session_header.clone(),
            streaming: config.request.streaming,
            reuse: true,
        };
        let offline = Some(ServeConfig { seed: config.seed, ..ServeConfig::clone(simulated) });
        Destined {
            url: format!("{}, in simulated time", name(simulated)),
            base: None,
            target,
            simulated: None,
            offline,
        }
    }

    fn at(config: &ProfileConfig, base: &BaseUrl, simulated: Option<ServerHandle>) -> Result<Destined> {
        let path = config.network.path(&base.path, config.request.endpoint.path(&base.path));
        let uri = Uri::try_from(path).map_err(|e| Error::Usage(format!("--url {base}: {e}")))?;
        let peer = match &base.scheme {
            Scheme::Unix(path) => Peer::Unix(path.clone()),
            Scheme::Http | Scheme::Https => Peer::Tcp(base.addresses()?),
        };
        let network = &config.network;
        let tls = (base.scheme == Scheme::Https).then(|| Tls::new(&tls_options(network), &base.host)).transpose()?;
        let dialer = Dialer::new(peer, network.local_addresses.clone());
        let probed = probe(&dialer, tls.as_ref()).map_err(|e| unusable(base, &e))?;
        let protocol = protocol(base, network, &probed)?;
        let target = Target {
            dialer: probed.dialer,
            tls: tls.map(|tls| tls.offering(vec![protocol.alpn().to_vec()])),
            protocol,
            uri,
            headers: headers(config, base)?,
            session_header: config.session_header.clone(),
            streaming: config.request.streaming,
            reuse: network.reuse,
        };
        Ok(Destined { url: base.to_string(), base: Some(base.clone()), target, simulated, offline: None })
    }

    /// Requests that may share a connection.
    pub(super) fn streams_per_connection(&self) -> u32 {
        match self.target.protocol {
            Protocol::Http2 { streams_per_connection } if self.target.reuse => streams_per_connection,
            _ => 1,
        }
    }

    /// Cores that neither a worker is pinned to, of which there are so many, nor a simulated deployment.
    pub(super) fn unused_cores(&self, cores: &[u32], workers: usize) -> Vec<u32> {
        let server = cores.last().filter(|_| self.simulated.is_some());
        cores.iter().skip(workers).filter(|core| Some(*core) != server).copied().collect()
    }

    /// How many ends of each connection this process has.
    pub(super) fn ends(&self) -> u32 {
        if self.simulated.is_some() { 2 } else { 1 }
    }
}

/// What people know a simulated deployment by.
fn name(c: &ServeConfig) -> String {
    let engines = |replicas: u32, tp: u32| match replicas {
        1 => format!("{tp} x {}", c.gpu),
        n => format!("{n} x {tp} x {}", c.gpu),
    };
    let decode = engines(c.replicas, c.tp);
    let prefill = c.disaggregation.map(|d| format!(" and {} for prompts", engines(d.prefill_replicas, d.prefill_tp)));
    format!("simulated {} on {decode}{} ({})", c.model, prefill.unwrap_or_default(), c.backend.as_str())
}

pub(super) fn tls_options(network: &NetworkConfig) -> TlsOptions {
    let versions: &[&[u8]] = match network.http_version {
        HttpVersion::Auto => &[b"h2", b"http/1.1"],
        HttpVersion::Http1 => &[b"http/1.1"],
        HttpVersion::Http2 => &[b"h2"],
    };
    TlsOptions {
        ca_file: network.tls_ca_file.clone(),
        insecure: network.tls_insecure,
        alpn: versions.iter().map(|v| v.to_vec()).collect(),
    }
}

/// The protocol that every worker speaks: the one asked for, or the one that the probe's TLS settled on.
fn protocol(base: &BaseUrl, network: &NetworkConfig, probed: &Probed) -> Result<Protocol> {
    let http2 = Protocol::Http2 { streams_per_connection: network.streams_per_connection };
    let agreed = probed.alpn.as_deref() == Some(b"h2");
    match network.http_version {
        HttpVersion::Auto if agreed => Ok(http2),
        HttpVersion::Auto | HttpVersion::Http1 => Ok(Protocol::Http1),
        HttpVersion::Http2 if agreed || base.scheme != Scheme::Https => Ok(http2),
        HttpVersion::Http2 => {
            Err(Error::Endpoint(format!("{base} does not agree to HTTP/2 (ALPN): leave out --http-version 2")))
        }
    }
}

/// What to say where no connection could be made.
fn unusable(base: &BaseUrl, why: &std::io::Error) -> Error {
    let tls = why.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    Error::Endpoint(match tls {
        Some(rustls::Error::InvalidCertificate(_)) => {
            format!(
                "{base} is not trusted: {why} (give its certificate authority as --tls-ca-file FILE, or accept anyone with --tls-insecure)"
            )
        }
        Some(_) => {
            format!("{base} does not shake hands: {why} (does it speak TLS there, and the HTTP version asked for?)")
        }
        None => format!(
            "{base} does not accept connections: {why} (start the server, or leave out --url to use a simulated deployment)"
        ),
    })
}

/// Anthropic's headers for its key, and for the version of its API, without which it takes no request.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The headers of every request; the user's win over ours.
fn headers(config: &ProfileConfig, base: &BaseUrl) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let bad = |name: &str| Error::Usage(format!("the value of header {name} has characters that HTTP forbids"));
    let accept = if config.request.streaming { "text/event-stream" } else { "application/json" };
    headers.insert(header::HOST, HeaderValue::from_str(&base.authority).map_err(|_| bad("Host"))?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("loadline/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    // What holds events back to compress them cannot be timed.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if config.request.endpoint == EndpointType::Messages {
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
    }
    if let Some(key) = &config.api_key {
        let (name, text) = match config.request.endpoint {
            EndpointType::Messages => (X_API_KEY, key.expose().to_owned()),
            _ => (header::AUTHORIZATION, format!("Bearer {}", key.expose())),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| bad(name.as_str()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    for (name, value) in &config.headers {
        let name_checked = HeaderName::try_from(name.as_str()).map_err(|_| bad(name))?;
        headers.insert(name_checked, HeaderValue::from_str(value).map_err(|_| bad(name))?);
    }
    Ok(headers)
}
