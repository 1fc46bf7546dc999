//! `config_with_planner.yaml` ↔ the deployment that a profiler suggests, with the tables that its planner reads.
//!
//! Two documents: the ConfigMap `planner-profile-data`, and a DynamoGraphDeployment. Read: tables, backend, the workers' TP, GPUs
//! and replicas, the planner's bounds; whatever else stands there is passed over. `configmap_data.json`, which holds the
//! same text as a string, is read too. Written: enough of both documents for the planner and for the readers of such folders;
//! images and volumes are the user's to fill in.

use std::fmt::Write as _;

use serde_json::Value;

use super::tables::{DecodeTable, PrefillTable, arrays_of};
use crate::profiler::backend::Backend;

/// Bytes of a file, at most.
const BYTES_MAX: usize = 16 << 20;
const CONFIG_MAP: &str = "planner-profile-data";

/// One kind of worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// Tensor-parallel size; `None` where it is not told.
    pub tp: Option<u32>,
    /// GPUs of one worker, by its limits.
    pub gpus: Option<u32>,
    /// How many of them.
    pub replicas: u32,
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlannerConfig {
    /// The prefill table.
    pub prefill: Option<PrefillTable>,
    /// The decode table.
    pub decode: Option<DecodeTable>,
    /// The serving engine.
    pub backend: Option<Backend>,
    /// The model.
    pub model: Option<String>,
    /// Workers that prefill.
    pub prefill_worker: Option<Worker>,
    /// Workers that decode, or do both.
    pub decode_worker: Option<Worker>,
    /// The planner's bound on TTFT, ms.
    pub ttft_ms: Option<f64>,
    /// The planner's bound on ITL, ms.
    pub itl_ms: Option<f64>,
}

impl PlannerConfig {
    /// GPUs of the deployment, as far as they are told.
    pub fn gpus(&self) -> Option<u32> {
        let of = |w: &Worker| Some(w.gpus.or(w.tp)?.saturating_mul(w.replicas));
        match (&self.prefill_worker, &self.decode_worker) {
            (Some(p), Some(d)) => of(p)?.checked_add(of(d)?),
            (Some(w), None) | (None, Some(w)) => of(w),
            (None, None) => None,
        }
    }
}

/// Reads the file.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(text: &str) -> Result<PlannerConfig, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it is larger than {} MiB", BYTES_MAX >> 20));
    }
    if text.trim_start().starts_with('{')
        && let Ok(json) = serde_json::from_str::<Value>(text)
        && let Some(inner) = json["config_with_planner.yaml"].as_str()
    {
        return parse_yaml(inner);
    }
    parse_yaml(text)
}

fn parse_yaml(text: &str) -> Result<PlannerConfig, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| first_line(&e.to_string()))?;
    let mut config = PlannerConfig::default();
    for document in &documents {
        match document["kind"].as_str() {
            Some("ConfigMap") => tables(&document["data"], &mut config)?,
            Some("DynamoGraphDeployment") => services(&document["spec"]["services"], &mut config),
            _ => {}
        }
    }
    if config == PlannerConfig::default() {
        return Err(format!("it has neither the ConfigMap `{CONFIG_MAP}` nor a DynamoGraphDeployment"));
    }
    Ok(config)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

fn tables(data: &Value, config: &mut PlannerConfig) -> Result<(), String> {
    let arrays = |name: &str| -> Result<Option<_>, String> {
        let Some(text) = data[name].as_str() else { return Ok(None) };
        let json: Value = serde_json::from_str(text).map_err(|e| format!("field `{name}`: {e}"))?;
        Ok(Some(arrays_of(&json)))
    };
    if let Some(arrays) = arrays("prefill_raw_data.json")? {
        config.prefill = Some(PrefillTable::from_arrays(&arrays).map_err(|e| format!("prefill_raw_data.json: {e}"))?);
    }
    if let Some(arrays) = arrays("decode_raw_data.json")? {
        config.decode = Some(DecodeTable::from_arrays(&arrays).map_err(|e| format!("decode_raw_data.json: {e}"))?);
    }
    Ok(())
}

fn services(services: &Value, config: &mut PlannerConfig) {
    for (name, service) in services.as_object().into_iter().flatten() {
        let words: Vec<&str> = ["command", "args"]
            .into_iter()
            .filter_map(|key| service["extraPodSpec"]["mainContainer"][key].as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let module = words.iter().find_map(|w| w.strip_prefix("dynamo."));
        config.backend = config.backend.or(module.and_then(|m| Backend::parse(m).ok()));
        let flag = |flag: &str| {
            let joined = words.iter().find_map(|w| w.strip_prefix(flag)?.strip_prefix('='));
            joined.or_else(|| words.iter().skip_while(|w| **w != flag).nth(1).copied())
        };
        match service["componentType"].as_str() {
            Some("planner") => {
                let number = |name| flag(name).and_then(|v| v.parse().ok());
                config.ttft_ms = config.ttft_ms.or(number("--ttft"));
                config.itl_ms = config.itl_ms.or(number("--itl"));
            }
            Some("frontend") => {}
            _ => {
                let model = ["--model-path", "--model"].into_iter().find_map(flag);
                config.model = config.model.take().or(model.map(str::to_owned));
                let worker = Worker {
                    tp: tp(&words, &flag),
                    gpus: number(&service["resources"]["limits"]["gpu"]),
                    replicas: number(&service["replicas"]).unwrap_or(1),
                };
                let sub = service["subComponentType"].as_str();
                let is_prefill = sub == Some("prefill") || sub.is_none() && name.to_lowercase().contains("prefill");
                if is_prefill { config.prefill_worker = Some(worker) } else { config.decode_worker = Some(worker) }
            }
        }
    }
}

fn tp<'a>(words: &[&'a str], flag: &dyn Fn(&str) -> Option<&'a str>) -> Option<u32> {
    let plain = ["--tensor-parallel-size", "--tp-size", "--tp", "-tp"].into_iter().find_map(flag);
    let overridden = || {
        let json: Value = serde_json::from_str(flag("--override-engine-args")?).ok()?;
        number(&json["tensor_parallel_size"])
    };
    let in_one_word = || words.iter().find_map(|w| w.rsplit_once("--tensor-parallel-size ")?.1.split(' ').next());
    plain.or_else(in_one_word).and_then(|n| n.parse().ok()).or_else(overridden)
}

/// A whole number, as YAML has it: a number or a text.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_u64().and_then(|n| u32::try_from(n).ok()),
    }
}

/// What a written file is made of.
#[derive(Clone, Copy, Debug)]
pub struct Suggestion<'a> {
    /// The model.
    pub model: &'a str,
    /// The serving engine.
    pub backend: Backend,
    /// TP of prefill workers.
    pub prefill_tp: u32,
    /// TP of decode workers.
    pub decode_tp: u32,
    /// Bound on TTFT, ms.
    pub ttft_ms: f64,
    /// Bound on ITL, ms.
    pub itl_ms: f64,
    /// GPUs, at most.
    pub max_gpus: u32,
    /// The prefill table.
    pub prefill: &'a PrefillTable,
    /// The decode table.
    pub decode: &'a DecodeTable,
}

/// The file. Its texts are JSON, which YAML reads as it is.
pub fn write(s: &Suggestion<'_>) -> String {
    let text = |v: &Value| Value::String(v.to_string()).to_string();
    let name = s.backend.as_str();
    let mut out = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {CONFIG_MAP}\ndata:\n  prefill_raw_data.json: {}\n  \
         decode_raw_data.json: {}\n---\napiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata:\n  \
         name: {name}-disagg\nspec:\n  services:\n    Frontend:\n      componentType: frontend\n      replicas: 1\n    \
         Planner:\n      componentType: planner\n      replicas: 1\n      extraPodSpec:\n        mainContainer:\n          \
         command: [\"python3\", \"-m\", \"planner_sla\"]\n          args:\n",
        text(&s.prefill.json()),
        text(&s.decode.json()),
    );
    for (flag, value) in [
        ("environment", "kubernetes".to_owned()),
        ("backend", name.to_owned()),
        ("ttft", s.ttft_ms.to_string()),
        ("itl", s.itl_ms.to_string()),
        ("max-gpu-budget", s.max_gpus.to_string()),
        ("prefill-engine-num-gpu", s.prefill_tp.to_string()),
        ("decode-engine-num-gpu", s.decode_tp.to_string()),
        ("profile-results-dir", "/workspace/profiling_results".to_owned()),
    ] {
        let _ = writeln!(out, "          - \"--{flag}={value}\"");
    }
    for (worker, half, tp) in [("DecodeWorker", "decode", s.decode_tp), ("PrefillWorker", "prefill", s.prefill_tp)] {
        let (model_flag, title) = match s.backend {
            Backend::TrtLlm => ("--model-path", "TRTLLM"),
            Backend::Vllm => ("--model", "Vllm"),
            Backend::SgLang => ("--model-path", "Sglang"),
        };
        let args: Vec<String> =
            [model_flag.to_owned(), s.model.to_owned(), "--served-model-name".into(), s.model.to_owned()]
                .into_iter()
                .chain(worker_flags(s.backend, half, tp))
                .map(|word| Value::String(word).to_string())
                .collect();
        let _ = write!(
            out,
            "    {title}{worker}:\n      componentType: worker\n      subComponentType: {half}\n      replicas: 1\n      \
             resources:\n        limits: {{gpu: \"{tp}\"}}\n        requests: {{gpu: \"{tp}\"}}\n      extraPodSpec:\n        \
             mainContainer:\n          command: [\"python3\", \"-m\", \"dynamo.{name}\"]\n          args: [{}]\n",
            args.join(", ")
        );
    }
    out
}

/// How each engine is told its half of the work and its size.
fn worker_flags(backend: Backend, half: &str, tp: u32) -> Vec<String> {
    let words: Vec<String> = match backend {
        Backend::TrtLlm => vec![
            "--disaggregation-mode".into(),
            half.into(),
            "--override-engine-args".into(),
            format!("{{\"tensor_parallel_size\": {tp}}}"),
        ],
        Backend::Vllm => vec![format!("--is-{half}-worker"), "--tensor-parallel-size".into(), tp.to_string()],
        Backend::SgLang => vec!["--disaggregation-mode".into(), half.into(), "--tp".into(), tp.to_string()],
    };
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> (PrefillTable, DecodeTable) {
        let prefill = PrefillTable {
            isl: vec![100.0, 2621.0],
            ttft_ms: vec![19.9, 249.3],
            tokens_per_s_per_gpu: vec![5036.5, 10_513.2],
        };
        let decode = DecodeTable {
            kv_usage: vec![0.001, 0.5],
            context_tokens: vec![350.0, 350.0],
            itl_ms: vec![10.6, 54.9],
            tokens_per_s_per_gpu: vec![47.2, 7619.0],
            max_kv_tokens: 502_272.0,
        };
        (prefill, decode)
    }

    #[test]
    fn what_is_written_is_read_back_for_every_backend() {
        let (prefill, decode) = tables();
        for backend in Backend::ALL {
            let model = "Qwen/Qwen3-32B";
            let suggestion = Suggestion {
                model,
                backend,
                prefill_tp: 1,
                decode_tp: 2,
                ttft_ms: 500.0,
                itl_ms: 50.0,
                max_gpus: 8,
                prefill: &prefill,
                decode: &decode,
            };
            let text = write(&suggestion);
            let read = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!((read.backend, read.model.as_deref(), read.gpus()), (Some(backend), Some(model), Some(3)));
            assert_eq!((read.prefill.as_ref(), read.decode.as_ref()), (Some(&prefill), Some(&decode)));
            assert_eq!(read.prefill_worker.as_ref().unwrap().tp, Some(1));
            assert_eq!(read.decode_worker.as_ref().unwrap().tp, Some(2));
            assert_eq!((read.ttft_ms, read.itl_ms), (Some(500.0), Some(50.0)));
            let wrapped = serde_json::json!({"config_with_planner.yaml": text}).to_string();
            assert_eq!(parse(&wrapped).unwrap(), read);
        }
    }

    #[test]
    fn what_is_something_else_is_refused_with_its_reason() {
        for (text, reason) in [
            ("kind: Pod\n", "neither the ConfigMap"),
            ("kind: ConfigMap\ndata:\n  prefill_raw_data.json: '{'\n", "field `prefill_raw_data.json`"),
            ("kind: ConfigMap\ndata:\n  decode_raw_data.json: '{}'\n", "decode_raw_data.json: there is no array"),
            ("{", ""),
        ] {
            assert!(parse(text).unwrap_err().contains(reason), "{text}");
        }
    }

    #[test]
    fn the_published_results_are_read() {
        let path = |name: &str| crate::published::shared(&format!("data/h200/{name}"));
        let Some((aic, online)) =
            path("aic_all/config_with_planner.yaml").zip(path("online_all_vllm/config_with_planner.yaml"))
        else {
            return;
        };
        let read = |path: &std::path::Path| parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        let config = read(&aic);
        assert_eq!((config.backend, config.gpus()), (Some(Backend::TrtLlm), Some(3)));
        assert_eq!(
            (config.ttft_ms, config.itl_ms, config.model.as_deref()),
            (Some(500.0), Some(50.0), Some("Qwen/Qwen3-32B"))
        );
        assert_eq!((config.prefill.unwrap().isl.len(), config.decode.as_ref().unwrap().itl_ms.len()), (17, 36));
        assert_eq!(config.decode.unwrap().doubt(Some(780_352)), None);
        let json = aic.with_file_name("configmap_data.json");
        assert_eq!(parse(&std::fs::read_to_string(json).unwrap()).unwrap().gpus(), Some(3));
        let config = read(&online);
        assert_eq!(
            (config.backend, config.gpus(), config.decode.unwrap().max_kv_tokens),
            (Some(Backend::Vllm), Some(2), 256_000.0)
        );
    }
}
