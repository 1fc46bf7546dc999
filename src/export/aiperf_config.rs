//! The manifest's configuration → `input_config` as aiperf 0.13.0 keeps it, which its models check field by field.
//!
//! aiperf's model takes no field that it does not know and insists on a data set and on phases; what it has no word for (a
//! simulated deployment, a rate as an expression) is put as the nearest thing that it has. Our own configuration stands whole
//! beside it, under `loadline_config`. Not here: defaults, which aiperf leaves out too.

use serde_json::{Map, Value as Json, json};

use crate::metrics::Summary;
use crate::record::manifest::Manifest;

/// Trace formats of the same name there and here.
const FORMATS: [&str; 12] = [
    "mooncake_trace",
    "bailian_trace",
    "burst_gpt_trace",
    "baseten_trace",
    "single_turn",
    "multi_turn",
    "random_pool",
    "raw_payload",
    "inputs_json",
    "dag_jsonl",
    "weka_trace",
    "tracelab",
];

/// The object under `input_config`.
pub(super) fn input_config(manifest: &Manifest, summary: &Summary) -> Json {
    let config = &manifest.config;
    let mut doc = Map::new();
    doc.insert("models".into(), json!({"items": [{"name": manifest.model}]}));
    doc.insert("endpoint".into(), endpoint(manifest));
    doc.insert("datasets".into(), json!([dataset(manifest, summary)]));
    let mut phases = Vec::new();
    if manifest.warmup.is_some() {
        phases.push(warmup(config));
    }
    phases.push(profiling(manifest, summary));
    doc.insert("phases".into(), Json::Array(phases));
    if !manifest.slo.is_empty() {
        let bounds: Map<String, Json> = manifest.slo.iter().map(|s| (s.metric.clone(), json!(s.bound))).collect();
        doc.insert("slos".into(), Json::Object(bounds));
    }
    if let Some(name) = config["prompt"]["tokenizer"].as_str() {
        doc.insert("tokenizer".into(), json!({"name": name}));
    }
    Json::Object(doc)
}

fn endpoint(manifest: &Manifest) -> Json {
    // A simulated deployment and a socket have no URL that aiperf could take; both are on this host.
    let is_url = manifest.url.starts_with("http") && !manifest.url.contains(char::is_whitespace);
    let url = if is_url { manifest.url.as_str() } else { "http://localhost" };
    let mut endpoint = Map::new();
    endpoint.insert("urls".into(), json!([url]));
    endpoint.insert("type".into(), json!(manifest.endpoint_type));
    endpoint.insert("streaming".into(), json!(manifest.streaming));
    let extra = &manifest.config["extra_inputs"];
    if extra.as_object().is_some_and(|fields| !fields.is_empty()) {
        endpoint.insert("extra".into(), extra.clone());
    }
    Json::Object(endpoint)
}

fn dataset(manifest: &Manifest, summary: &Summary) -> Json {
    let (config, source) = (&manifest.config, &manifest.config["source"]);
    let lengths = |mean: &Json, stddev: &Json| {
        let mut lengths = Map::new();
        lengths.insert("mean".into(), mean.clone());
        lengths.insert("stddev".into(), json!(stddev.as_f64().unwrap_or(0.0)));
        Json::Object(lengths)
    };
    let osl = config["output_tokens_mean"]
        .is_number()
        .then(|| lengths(&config["output_tokens_mean"], &config["output_tokens_stddev"]));
    let mut dataset = Map::new();
    dataset.insert("name".into(), json!("main"));
    if let Some(path) = source["input_file"].as_str() {
        dataset.insert("type".into(), json!("file"));
        dataset.insert("path".into(), json!(path));
        if let Some(format) = source["format"].as_str().filter(|name| FORMATS.contains(name)) {
            dataset.insert("format".into(), json!(format));
        }
        dataset.insert("random_seed".into(), json!(manifest.seed));
        if let Some(osl) = osl {
            dataset.insert("osl".into(), osl);
        }
    } else {
        dataset.insert("type".into(), json!("synthetic"));
        dataset.insert("entries".into(), json!(summary.outcomes.total().max(1)));
        dataset.insert("random_seed".into(), json!(manifest.seed));
        let mut prompts = Map::new();
        prompts.insert("isl".into(), lengths(&source["input_tokens_mean"], &source["input_tokens_stddev"]));
        if let Some(osl) = osl {
            prompts.insert("osl".into(), osl);
        }
        dataset.insert("prompts".into(), Json::Object(prompts));
    }
    Json::Object(dataset)
}

fn profiling(manifest: &Manifest, summary: &Summary) -> Json {
    let config = &manifest.config;
    let mut phase = phase("profiling", config);
    // A rate that follows an expression has no number of its own: the mean of what was scheduled stands for it.
    if phase["type"] != "concurrency" && phase["type"] != "fixed_schedule" && !phase["rate"].is_number() {
        phase["rate"] = json!(summary.outcomes.total() as f64 / summary.window_s.max(f64::MIN_POSITIVE));
    }
    match config["benchmark_duration_s"].as_f64() {
        Some(duration_s) => {
            phase["duration"] = json!(duration_s);
            phase["grace_period"] = config["benchmark_grace_period_s"].clone();
        }
        None => phase["requests"] = json!(summary.outcomes.total().max(1)),
    }
    if let Some(share) = config["request_cancellation_share"].as_f64() {
        let delay_s = config["request_cancellation_delay_s"].as_f64().unwrap_or(0.0);
        phase["cancellation"] = json!({"rate": 100.0 * share, "delay": delay_s});
    }
    phase
}

fn warmup(config: &Json) -> Json {
    let warmup = &config["warmup"];
    let mut phase = phase("warmup", &json!({"load": warmup["load"], "in_flight_max": warmup["caps"]["in_flight"]}));
    phase["exclude_from_results"] = json!(true);
    for (name, bound) in [
        ("requests", "request_count"),
        ("sessions", "sessions"),
        ("duration", "duration_s"),
        ("grace_period", "grace_period_s"),
    ] {
        if warmup[bound].is_number() {
            phase[name] = warmup[bound].clone();
        }
    }
    phase
}

/// What both phases have: aiperf's kind of load, with its parameters.
fn phase(name: &str, config: &Json) -> Json {
    let load = &config["load"];
    let mut phase = json!({"name": name, "kind": name});
    if load["fixed_schedule"] == true {
        phase["type"] = json!("fixed_schedule");
    } else if load["num_users"].is_number() {
        phase["type"] = json!("user_centric");
        phase["rate"] = load["user_centric_rate"].clone();
        phase["users"] = load["num_users"].clone();
    } else if let Some(lanes) = load["concurrency"].as_u64() {
        phase["type"] = json!("concurrency");
        phase["concurrency"] = json!(lanes);
        return phase;
    } else {
        let process = load["arrival_pattern"].as_str().unwrap_or("poisson");
        phase["type"] = json!(if matches!(process, "constant" | "gamma") { process } else { "poisson" });
        if load["request_rate"].is_number() {
            phase["rate"] = load["request_rate"].clone();
        }
        if let (Some(smoothness), "gamma") = (load["arrival_smoothness"].as_f64(), process) {
            phase["smoothness"] = json!(smoothness);
        }
    }
    if let Some(cap) = config["in_flight_max"].as_u64() {
        phase["concurrency"] = json!(cap);
    }
    phase
}
