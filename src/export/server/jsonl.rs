//! Scrapes → `server_metrics_export.jsonl`: a line for each that brought something new, with all values as they were then.
//!
//! Times are nanoseconds since 1970. A value that JSON cannot hold is null.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::ServerFormat;
use crate::analysis::server::replay::{Now, Replay, Scrape, Series};
use crate::error::{Error, Result};
use crate::record::manifest::Manifest;
use crate::record::server::ServerRecording;

pub(super) fn write(manifest: &Manifest, recording: &ServerRecording, out: &mut dyn Write) -> Result<()> {
    let mut written = Ok(());
    let on_scrape = &mut |scrape: &Scrape, series: &[Series]| {
        if written.is_ok() && series.iter().any(|s| s.changed) {
            written = serde_json::to_writer(&mut *out, &line(manifest, scrape, series))
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"));
        }
    };
    let mut replay = Replay::default();
    recording.for_each(&mut |row| replay.push(row, on_scrape))?;
    replay.finish(on_scrape);
    written.map_err(Error::io(ServerFormat::Jsonl.file_name()))
}

fn line(manifest: &Manifest, scrape: &Scrape, series: &[Series]) -> Json {
    let [sent_ns, first_byte_ns, end_ns] = scrape.times_ns;
    let mut metrics: Map<String, Json> = Map::new();
    for series in series {
        let Some(value) = value(series) else { continue };
        let list = metrics.entry(&*series.metric).or_insert_with(|| Json::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(value);
        }
    }
    let unix = |t_ns| manifest.anchor.to_unix(t_ns);
    let mut line = Map::new();
    line.insert("endpoint_url".into(), json!(&*scrape.url));
    line.insert("timestamp_ns".into(), unix(first_byte_ns).into());
    line.insert("endpoint_latency_ns".into(), end_ns.saturating_sub(sent_ns).into());
    line.insert("metrics".into(), Json::Object(metrics));
    line.insert("request_sent_ns".into(), unix(sent_ns).into());
    line.insert("first_byte_ns".into(), unix(first_byte_ns).into());
    if manifest.profiling.is_some_and(|window| first_byte_ns > window.start_ns) {
        let index = u64::from(manifest.warmup.is_some());
        for (key, value) in [
            ("benchmark_phase", json!("profiling")),
            ("phase_index", json!(index)),
            ("profiling_index", json!(0)),
            ("phase_name", json!("profiling")),
            ("phase_kind", json!("profiling")),
        ] {
            line.insert(key.into(), value);
        }
    }
    Json::Object(line)
}

fn value(series: &Series) -> Option<Json> {
    let mut object = Map::new();
    if !series.labels.is_empty() {
        let labels = series.labels.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str())));
        object.insert("labels".into(), Json::Object(labels.collect()));
    }
    match &series.now {
        Now::Scalar(value) => {
            object.insert("value".into(), json!((*value)?));
        }
        Now::Histogram(buckets) => {
            let upto = buckets.upto.iter().map(|(le, _, upto)| (le.clone(), json!(upto)));
            object.insert("buckets".into(), Json::Object(upto.collect()));
            object.insert("sum".into(), json!(buckets.sum));
            object.insert("count".into(), json!(buckets.count));
        }
    }
    Some(Json::Object(object))
}
