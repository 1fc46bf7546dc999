//! The configuration of a run → a scraper of its server's metrics, and what became of it.

use std::path::Path;

use http::{HeaderValue, Uri};
use serde_json::{Value, json};

use super::destination::{Destined, tls_options};
use crate::cli::base_url::{BaseUrl, Scheme};
use crate::cli::config::ProfileConfig;
use crate::engine::dial::{Dialer, Peer};
use crate::engine::target::Protocol;
use crate::engine::tls::Tls;
use crate::error::{Error, Result};
use crate::export::remove_stale;
use crate::record::schema::Table;
use crate::report::out;
use crate::telemetry::fetch::MetricsEndpoint;
use crate::telemetry::scraper::{INTERVAL_NS, Scraper, ScraperSpec};
use crate::time::SystemClock;

/// Starts to scrape what the user named, and the endpoint's own metrics if it has some. `cores` are those without a worker.
pub(super) fn start(
    config: &ProfileConfig,
    destined: &Destined,
    (dir, run_id): (&Path, &str),
    clock: SystemClock,
    cores: Vec<u32>,
) -> Result<Option<Scraper>> {
    // Of an earlier run, in a directory that the user named.
    for name in [Table::ServerMetrics.file_name(), Table::ServerMetrics.sidecar_name()] {
        remove_stale(&dir.join(name))?;
    }
    let telemetry = &config.telemetry;
    let mut endpoints = Vec::new();
    if let (true, Some(base)) = (telemetry.of_endpoint, &destined.base) {
        endpoints.push((of_endpoint(destined, base.clone())?, false));
    }
    for url in &telemetry.further {
        endpoints.push((further(config, url)?, true));
    }
    if endpoints.is_empty() {
        return Ok(None);
    }
    let spec = ScraperSpec {
        endpoints,
        interval_ns: INTERVAL_NS,
        dir: dir.to_owned(),
        run_id: run_id.to_owned(),
        clock,
        cores,
    };
    Scraper::spawn(spec).map(|(scraper, _)| Some(scraper))
}

/// Ends the scraper. Its failures are told and are no failure of the run.
pub(super) fn finish(scraper: Option<Scraper>) -> Result<Value> {
    let Some(scraper) = scraper else { return Ok(Value::Null) };
    let report = match scraper.finish() {
        Ok(report) => report,
        Err(error) => {
            out::stderr(&format!("The server's metrics are incomplete: {error}\n"))?;
            return Ok(json!({"error": error.to_string()}));
        }
    };
    if let Some(first) = &report.first_failure {
        let all = report.scrapes + report.failures;
        out::stderr(&format!("{} of {all} scrapes of metrics failed; the first: {first}\n", report.failures))?;
    }
    if report.samples_left_out > 0 {
        out::stderr(&format!("{} samples of metrics were left out, for want of room\n", report.samples_left_out))?;
    }
    serde_json::to_value(report).map_err(|e| Error::Internal(e.to_string()))
}

/// `/metrics` of the endpoint, beside `/v1`.
fn of_endpoint(destined: &Destined, mut url: BaseUrl) -> Result<MetricsEndpoint> {
    let path = url.path.strip_suffix("/v1").unwrap_or(&url.path);
    url.path = format!("{path}/metrics");
    let tls = destined.target.tls.as_ref().map(|tls| tls.offering(vec![Protocol::Http1.alpn().to_vec()]));
    endpoint(&url, destined.target.dialer.clone(), tls)
}

fn further(config: &ProfileConfig, url: &BaseUrl) -> Result<MetricsEndpoint> {
    let peer = match &url.scheme {
        Scheme::Unix(path) => Peer::Unix(path.clone()),
        Scheme::Http | Scheme::Https => Peer::Tcp(url.addresses()?),
    };
    let tls = (url.scheme == Scheme::Https).then(|| Tls::new(&tls_options(&config.network), &url.host)).transpose()?;
    let tls = tls.map(|tls| tls.offering(vec![Protocol::Http1.alpn().to_vec()]));
    endpoint(url, Dialer::new(peer, config.network.local_addresses.clone()), tls)
}

fn endpoint(url: &BaseUrl, dialer: Dialer, tls: Option<Tls>) -> Result<MetricsEndpoint> {
    let bad = |why: String| Error::Usage(format!("--server-metrics {url}: {why}"));
    Ok(MetricsEndpoint {
        url: url.to_string(),
        dialer,
        tls,
        authority: HeaderValue::from_str(&url.authority).map_err(|e| bad(e.to_string()))?,
        path: Uri::try_from(url.path.as_str()).map_err(|e| bad(e.to_string()))?,
    })
}
