//! Where a run's requests go: a server that is there, or a simulated deployment that is started for the run.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::cli::base_url::BaseUrl;
use crate::cli::resolve::{Destination, ProfileConfig};
use crate::engine::dial::{Dialer, Peer};
use crate::engine::http1::Target;
use crate::error::{Error, Result};
use crate::sim::server::{self, ServeConfig, ServerHandle};

/// How long a server may take to accept a connection before the run starts.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A destination that is ready. Dropping it stops a simulated deployment.
#[derive(Debug)]
pub(super) struct Destined {
    /// Its base URL, for people and for the manifest.
    pub(super) url: String,
    /// What the engine needs.
    pub(super) target: Target,
    _simulated: Option<ServerHandle>,
}

impl Destined {
    /// Starts the simulated deployment, or checks that the server accepts connections.
    pub(super) fn prepare(config: &ProfileConfig, cores: &[u32]) -> Result<Destined> {
        match &config.destination {
            Destination::Server(base) => {
                let address = probe(base)?;
                Destined::at(config, base, address, None)
            }
            Destination::Simulated(simulated) => {
                // The last core is the server's; workers take theirs from the first on.
                let core = cores.last().filter(|_| cores.len() > 1).map(|core| *core as usize);
                let handle = server::spawn(&ServeConfig { core, seed: config.seed, ..simulated.clone() })?;
                let base = BaseUrl::parse(&handle.url())?;
                let mut destined = Destined::at(config, &base, handle.addr(), Some(handle))?;
                destined.url = format!(
                    "simulated {} on {} x {} ({})",
                    simulated.model,
                    simulated.tp,
                    simulated.gpu,
                    simulated.backend.as_str()
                );
                Ok(destined)
            }
        }
    }

    fn at(
        config: &ProfileConfig,
        base: &BaseUrl,
        address: SocketAddr,
        simulated: Option<ServerHandle>,
    ) -> Result<Destined> {
        let path = config.request.endpoint.path(&base.path);
        let uri = Uri::try_from(path).map_err(|e| Error::Usage(format!("--url {base}: {e}")))?;
        let target = Target {
            dialer: Dialer::new(Peer::Tcp(vec![address]), Vec::new()),
            uri,
            headers: headers(config, base)?,
            streaming: config.request.streaming,
            reuse: config.reuse,
        };
        Ok(Destined { url: base.to_string(), target, _simulated: simulated })
    }
}

/// The headers of every request; the user's win over ours.
fn headers(config: &ProfileConfig, base: &BaseUrl) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let bad = |name: &str| Error::Usage(format!("the value of header {name} has characters that HTTP forbids"));
    let accept = if config.request.streaming { "text/event-stream" } else { "application/json" };
    headers.insert(header::HOST, HeaderValue::from_str(&base.authority).map_err(|_| bad("Host"))?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("loadline/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &config.api_key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| bad("Authorization"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    for (name, value) in &config.headers {
        let name_checked = HeaderName::try_from(name.as_str()).map_err(|_| bad(name))?;
        headers.insert(name_checked, HeaderValue::from_str(value).map_err(|_| bad(name))?);
    }
    Ok(headers)
}

/// The first address of the server that accepts a connection; fails where none does.
fn probe(base: &BaseUrl) -> Result<SocketAddr> {
    let mut last = String::from("the host has no address");
    for address in base.addresses()? {
        match TcpStream::connect_timeout(&address, PROBE_TIMEOUT) {
            Ok(_) => return Ok(address),
            Err(e) => last = e.to_string(),
        }
    }
    Err(Error::Endpoint(format!(
        "{base} does not accept connections: {last} (start the server, or leave out --url to use a simulated deployment)"
    )))
}
