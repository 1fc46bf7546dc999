//! [`ServerMetrics`] of each phase → `phases/NAME/server_metrics.json`, where there was a warm-up.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::json::{endpoint_json, families, urls};
use super::{Scraped, remove_stale, write_whole};
use crate::analysis::server::{EndpointInfo, ServerMetrics};
use crate::error::{Error, Result};
use crate::export::aiperf_json::benchmark_id;
use crate::export::aiperf_phases::{PROFILING_SERVER, WARMUP_SERVER, about};
use crate::outcome::Phase;
use crate::record::manifest::{Manifest, RunState};

/// Writes them, or removes what an earlier run left of them; gives their paths.
pub(super) fn write(dir: &Path, manifest: &Manifest, scraped: Option<&Scraped<'_>>) -> Result<Vec<PathBuf>> {
    let warmup = scraped.and_then(|scraped| scraped.warmup.as_ref());
    let profiling = scraped.filter(|_| warmup.is_some()).map(|scraped| &scraped.profiling);
    let mut written = Vec::new();
    for (phase, name, metrics) in
        [(Phase::Warmup, WARMUP_SERVER, warmup), (Phase::Profiling, PROFILING_SERVER, profiling)]
    {
        let (Some(metrics), Some(document)) = (metrics, about(manifest, phase)) else {
            remove_stale(&dir.join(name))?;
            continue;
        };
        let document = document_of(manifest, document, metrics);
        written.push(write_whole(dir, name, |out| {
            serde_json::to_writer_pretty(&mut *out, &document).map_err(|e| Error::io(name)(e.into()))?;
            out.write_all(b"\n").map_err(Error::io(name))
        })?);
    }
    Ok(written)
}

fn document_of(manifest: &Manifest, mut phase: Map<String, Json>, metrics: &ServerMetrics) -> Json {
    let mut data = phase.clone();
    data.insert("benchmark_id".into(), benchmark_id(manifest).into());
    data.insert("phase".into(), phase["phase_kind"].clone());
    let seen = metrics.endpoints.iter().enumerate().filter(|(_, e)| !e.updates_ns.is_empty());
    let summaries: Map<String, Json> = seen.map(|(at, e)| (name_of(e), summary(manifest, metrics, at))).collect();
    data.insert("endpoint_summaries".into(), Json::Object(summaries));
    data.insert("endpoints_configured".into(), urls(metrics, |_| true));
    data.insert("endpoints_successful".into(), urls(metrics, |e| e.fetches > 0));
    data.insert("error_summary".into(), json!([]));
    phase.insert("was_cancelled".into(), (manifest.state == RunState::Interrupted).into());
    json!({"schema_version": 1, "phase": phase, "data": data, "warnings": []})
}

fn summary(manifest: &Manifest, metrics: &ServerMetrics, at: usize) -> Json {
    let endpoint = &metrics.endpoints[at];
    json!({
        "endpoint_url": &*endpoint.url,
        "info": endpoint_json(manifest, endpoint),
        "metrics": families(metrics, Some(at)),
    })
}

/// An endpoint as aiperf names it: without its scheme, and without `/metrics`.
fn name_of(endpoint: &EndpointInfo) -> String {
    let plain = endpoint.url.split_once("://").map_or(&*endpoint.url, |(_, rest)| rest);
    plain.strip_suffix("/metrics").unwrap_or(plain).to_owned()
}
