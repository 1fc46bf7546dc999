//! Latency by length and load, as Dynamo's planner interpolates it ↔ arrays and JSON.
//!
//! `raw_data.npz` of `selected_prefill_interpolation` and `selected_decode_interpolation`, and the same keys as JSON in the
//! planner's ConfigMap. Not here: how a table was come by; [`predicted`] makes one from the static engine.

use serde_json::{Value, json};

use super::npz::Arrays;
use crate::profiler::capacity::Engine;

/// Answer length at which the original measures decode steps.
const DECODE_OSL: u32 = 500;
/// Prompt lengths of a predicted table: those of the original for a context of 40,960 tokens.
const FIRST_ISL: u32 = 100;
const LAST_ISL: u32 = 40_436;
const PREFILL_POINTS: u32 = 17;
const DECODE_POINTS: u32 = 6;
/// The deepest prompt of decode points.
const LAST_DECODE_ISL: u32 = 33_815;
/// Capacities in tokens that are no engine's: a cache of fewer holds no more than a few prompts.
const KV_TOKENS_DOUBTED: f64 = 16_384.0;
/// A capacity below this share of the predicted one is doubted.
const KV_SHARE_DOUBTED: f64 = 0.25;

/// TTFT of one prompt alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrefillTable {
    /// Tokens of prompt.
    pub isl: Vec<f64>,
    /// TTFT, ms.
    pub ttft_ms: Vec<f64>,
    /// Prompt tokens per second and GPU.
    pub tokens_per_s_per_gpu: Vec<f64>,
}

/// ITL by load and context.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodeTable {
    /// Share of the KV cache in use.
    pub kv_usage: Vec<f64>,
    /// Tokens of context of each sequence, in the mean.
    pub context_tokens: Vec<f64>,
    /// ITL, ms.
    pub itl_ms: Vec<f64>,
    /// Tokens of answer per second and GPU.
    pub tokens_per_s_per_gpu: Vec<f64>,
    /// Tokens of the KV cache that `kv_usage` is a share of.
    pub max_kv_tokens: f64,
}

impl PrefillTable {
    /// From the arrays of an npz, or the ConfigMap's JSON brought into their form by [`arrays_of`].
    ///
    /// # Errors
    /// Which array is missing, or of another length.
    pub fn from_arrays(arrays: &Arrays) -> Result<PrefillTable, String> {
        let isl = array(arrays, "prefill_isl")?;
        let ttft_ms = array(arrays, "prefill_ttft").or_else(|e| array(arrays, "prefill_ttft_ms").map_err(|_| e))?;
        // Newer files have no throughput; it is on how many GPUs that is not known then.
        let tokens_per_s_per_gpu = array(arrays, "prefill_thpt_per_gpu").unwrap_or_default();
        same_length("prefill_isl", &[("prefill_ttft", isl.len(), ttft_ms.len())])?;
        if !tokens_per_s_per_gpu.is_empty() {
            same_length("prefill_isl", &[("prefill_thpt_per_gpu", isl.len(), tokens_per_s_per_gpu.len())])?;
        }
        Ok(PrefillTable { isl, ttft_ms, tokens_per_s_per_gpu })
    }

    /// The arrays of its npz.
    pub fn arrays(&self) -> [(&'static str, &[f64]); 3] {
        [
            ("prefill_isl", &self.isl),
            ("prefill_ttft", &self.ttft_ms),
            ("prefill_thpt_per_gpu", &self.tokens_per_s_per_gpu),
        ]
    }

    /// The ConfigMap's JSON.
    pub fn json(&self) -> Value {
        self.arrays().into_iter().map(|(name, values)| (name.to_owned(), json!(values))).collect()
    }
}

impl DecodeTable {
    /// As [`PrefillTable::from_arrays`].
    ///
    /// # Errors
    /// Which array is missing, or of another length.
    pub fn from_arrays(arrays: &Arrays) -> Result<DecodeTable, String> {
        let kv_usage = array(arrays, "x_kv_usage")?;
        let context_tokens = array(arrays, "y_context_length")?;
        let itl_ms = array(arrays, "z_itl")?;
        let tokens_per_s_per_gpu = array(arrays, "z_thpt_per_gpu")?;
        let max = array(arrays, "max_kv_tokens")?;
        let &[max_kv_tokens] = &max[..] else { return Err(format!("`max_kv_tokens` has {} values, not 1", max.len())) };
        let n = kv_usage.len();
        same_length(
            "x_kv_usage",
            &[
                ("y_context_length", n, context_tokens.len()),
                ("z_itl", n, itl_ms.len()),
                ("z_thpt_per_gpu", n, tokens_per_s_per_gpu.len()),
            ],
        )?;
        Ok(DecodeTable { kv_usage, context_tokens, itl_ms, tokens_per_s_per_gpu, max_kv_tokens })
    }

    /// Sequences in the batch of point `i`.
    pub fn batch(&self, i: usize) -> f64 {
        (self.kv_usage[i] * self.max_kv_tokens / self.context_tokens[i]).round().max(1.0)
    }

    /// Why `max_kv_tokens` is not to be believed, if so. `expected` is what the memory model says.
    ///
    /// A known trap: TensorRT-LLM logs the cache of its own memory estimation first (8,224 tokens), and a reader that takes
    /// the first match sweeps to a concurrency of 3 and finds nothing.
    pub fn doubt(&self, expected: Option<u64>) -> Option<String> {
        let max = self.max_kv_tokens;
        let low = expected.is_some_and(|e| max < KV_SHARE_DOUBTED * e as f64);
        if max > KV_TOKENS_DOUBTED && !low {
            return None;
        }
        let expected = expected.map_or_else(String::new, |e| format!(", where {e} are expected to fit"));
        Some(format!(
            "max_kv_tokens is {max}{expected}: likely the log line of an engine's memory estimation and not of its cache; \
             loads and capacities derived from it are too low"
        ))
    }

    /// The arrays of its npz; `max` is where its one-element array is kept.
    pub fn arrays<'a>(&'a self, max: &'a [f64; 1]) -> [(&'static str, &'a [f64]); 5] {
        [
            ("x_kv_usage", &self.kv_usage),
            ("y_context_length", &self.context_tokens),
            ("z_itl", &self.itl_ms),
            ("z_thpt_per_gpu", &self.tokens_per_s_per_gpu),
            ("max_kv_tokens", max),
        ]
    }

    /// The ConfigMap's JSON, where the capacity is a plain number.
    pub fn json(&self) -> Value {
        json!({
            "x_kv_usage": self.kv_usage,
            "y_context_length": self.context_tokens,
            "z_itl": self.itl_ms,
            "z_thpt_per_gpu": self.tokens_per_s_per_gpu,
            "max_kv_tokens": self.max_kv_tokens.round() as u64,
        })
    }
}

/// A JSON object of numbers and lists of numbers as arrays. What is neither is left out.
pub fn arrays_of(json: &Value) -> Arrays {
    let numbers = |v: &Value| match v {
        Value::Number(n) => Some(vec![n.as_f64()?]),
        Value::Array(items) => items.iter().map(Value::as_f64).collect(),
        _ => None,
    };
    let fields = json.as_object().into_iter().flatten();
    fields.filter_map(|(name, v)| Some((name.clone(), numbers(v)?))).collect()
}

/// The tables that the original's sweep would make of engines as fast as predicted. `decode` has a KV cache.
pub fn predicted(prefill: &Engine, decode: &Engine) -> (PrefillTable, DecodeTable) {
    let mut p = PrefillTable::default();
    for isl in spread(FIRST_ISL, LAST_ISL, PREFILL_POINTS) {
        let ttft_ms = prefill.prefill_ms(1, isl);
        p.isl.push(isl.into());
        p.ttft_ms.push(ttft_ms);
        p.tokens_per_s_per_gpu.push(f64::from(isl) / ttft_ms * 1e3 / f64::from(prefill.tp));
    }
    let max_kv_tokens = decode.kv_tokens.unwrap_or(0);
    let mut d = DecodeTable { max_kv_tokens: max_kv_tokens as f64, ..DecodeTable::default() };
    for isl in spread(FIRST_ISL, LAST_DECODE_ISL, DECODE_POINTS) {
        let context = isl + DECODE_OSL / 2;
        let most = u32::try_from(max_kv_tokens / u64::from(isl + DECODE_OSL)).unwrap_or(u32::MAX).min(4096);
        for batch in spread(1, most.max(1), DECODE_POINTS) {
            let itl_ms = decode.decode_ms(batch, context);
            d.kv_usage.push(f64::from(batch) * f64::from(context) / d.max_kv_tokens);
            d.context_tokens.push(context.into());
            d.itl_ms.push(itl_ms);
            d.tokens_per_s_per_gpu.push(f64::from(batch) / itl_ms * 1e3 / f64::from(decode.tp));
        }
    }
    (p, d)
}

/// Up to `n` different whole numbers from `first` to `last`, evenly spaced.
fn spread(first: u32, last: u32, n: u32) -> Vec<u32> {
    let at = |i: u32| first + ((u64::from(last - first) * u64::from(i)) / u64::from(n - 1)) as u32;
    let mut all: Vec<u32> = (0..n).map(at).collect();
    all.dedup();
    all
}

fn array(arrays: &Arrays, name: &str) -> Result<Vec<f64>, String> {
    let values = arrays.get(name).ok_or_else(|| {
        let there: Vec<&str> = arrays.keys().map(String::as_str).collect();
        format!("there is no array `{name}` among {}", there.join(", "))
    })?;
    if let Some(bad) = values.iter().find(|v| !v.is_finite() || **v < 0.0) {
        return Err(format!("`{name}` holds {bad}"));
    }
    Ok(values.clone())
}

fn same_length(of: &str, others: &[(&str, usize, usize)]) -> Result<(), String> {
    match others.iter().find(|(_, n, other)| n != other) {
        Some((name, n, other)) => Err(format!("`{of}` has {n} values and `{name}` {other}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::npz;
    use super::*;
    use crate::profiler::backend::Backend;
    use crate::profiler::{gpu, model};

    fn tables() -> (PrefillTable, DecodeTable) {
        let engine = |tp| {
            let (shape, h200) = (model::lookup("Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
            Engine::new(shape, h200, Backend::TrtLlm, tp).unwrap()
        };
        predicted(&engine(1), &engine(2))
    }

    #[test]
    fn tables_come_back_from_npz_and_from_json() {
        let (prefill, decode) = tables();
        let npz_of = |arrays: &[(&str, &[f64])]| npz::parse(&npz::encode(arrays).unwrap()).unwrap();
        assert_eq!(PrefillTable::from_arrays(&npz_of(&prefill.arrays())).unwrap(), prefill);
        assert_eq!(DecodeTable::from_arrays(&npz_of(&decode.arrays(&[decode.max_kv_tokens]))).unwrap(), decode);
        assert_eq!(PrefillTable::from_arrays(&arrays_of(&prefill.json())).unwrap(), prefill);
        assert_eq!(DecodeTable::from_arrays(&arrays_of(&decode.json())).unwrap(), decode);
    }

    #[test]
    fn the_grid_is_the_originals_and_batches_come_back_from_it() {
        let (prefill, decode) = tables();
        assert_eq!((prefill.isl[1], prefill.isl[16]), (2621.0, 40_436.0));
        assert_eq!((decode.context_tokens[0], decode.context_tokens[6]), (350.0, 7093.0));
        assert_eq!((decode.batch(0), decode.itl_ms.len()), (1.0, 36));
        assert!(decode.kv_usage.iter().all(|x| (0.0..=1.0).contains(x)));
        let wide: Vec<f64> = (0..6).map(|i| decode.batch(i)).collect();
        assert!(wide.windows(2).all(|w| w[0] < w[1]) && wide[5] > 1000.0, "{wide:?}");
    }

    #[test]
    fn a_cache_of_the_memory_estimation_is_doubted() {
        let with = |max_kv_tokens| DecodeTable { max_kv_tokens, ..DecodeTable::default() };
        assert!(with(8224.0).doubt(Some(276_856)).unwrap().contains("8224, where 276856 are expected"));
        assert!(with(8224.0).doubt(None).is_some());
        assert!(with(50_000.0).doubt(Some(276_856)).is_some());
        assert_eq!((with(256_000.0).doubt(Some(249_864)), with(256_000.0).doubt(None)), (None, None));
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named() {
        let mut arrays = arrays_of(&tables().0.json());
        arrays.get_mut("prefill_ttft").unwrap().pop();
        assert!(PrefillTable::from_arrays(&arrays).unwrap_err().contains("`prefill_ttft` 16"));
        arrays.remove("prefill_ttft");
        assert!(PrefillTable::from_arrays(&arrays).unwrap_err().contains("no array `prefill_ttft` among prefill_isl"));
        arrays.insert("prefill_ttft".into(), vec![f64::NAN; 17]);
        assert!(PrefillTable::from_arrays(&arrays).unwrap_err().contains("holds NaN"));
    }
}
