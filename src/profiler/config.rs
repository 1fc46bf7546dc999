//! The shape of any model from its `config.json`, as the Hugging Face hub has it.
//!
//! In: the bytes of the file. Out: a [`ModelShape`]. Pure, and bounded: a file above [`FILE_BYTES_MAX`] and dimensions out of all
//! proportion are refused. What cannot be told from the file (a model whose layers are of a kind that has no cost here) is refused too.

use serde_json::{Map, Value};

use super::model::{Experts, Latent, ModelShape};
use super::precision::{Format, Precision};
use crate::error::{InputError, Result};

/// The largest file that is read, bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// The largest dimension that is believed.
const DIMENSION_MAX: u64 = 1 << 24;
/// The most layers, heads and experts that are believed.
const COUNT_MAX: u64 = 1 << 14;

/// Fields of a configuration.
struct Fields<'a> {
    file: &'a str,
    map: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn fault(&self, field: &str, problem: impl Into<String>) -> InputError {
        let remedy = "give the config.json of a decoder-only transformer";
        InputError { field: Some(field.into()), ..InputError::of_file(self.file, problem, remedy) }
    }

    /// The first of `names` that is a number in 1..=`most`; `None` where none is there.
    fn optional(&self, names: &[&str], most: u64) -> std::result::Result<Option<u32>, InputError> {
        for name in names {
            match self.map.get(*name) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    let number = value.as_u64().filter(|n| *n <= most).and_then(|n| u32::try_from(n).ok());
                    let Some(number) = number else {
                        return Err(self.fault(name, format!("is {value}, not a whole number up to {most}")));
                    };
                    if number > 0 {
                        return Ok(Some(number));
                    }
                }
            }
        }
        Ok(None)
    }

    fn required(&self, names: &[&str], most: u64) -> std::result::Result<u32, InputError> {
        self.optional(names, most)?.ok_or_else(|| self.fault(names[0], "is not there"))
    }
}

/// Reads a configuration; `file` is its name, for errors.
///
/// # Errors
/// [`crate::error::Error::Input`] with the field at fault.
pub fn parse(file: &str, bytes: &[u8]) -> Result<ModelShape> {
    let whole = |problem: String| InputError::of_file(file, problem, "give a model's config.json");
    if bytes.len() > FILE_BYTES_MAX {
        return Err(whole(format!("has {} bytes, and {FILE_BYTES_MAX} at most are read", bytes.len())).into());
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| whole(format!("is no JSON: {e}")))?;
    let object = value.as_object().ok_or_else(|| whole("is no JSON object".into()))?;
    // Models that also see images keep the text model's dimensions apart.
    let map = object.get("text_config").and_then(Value::as_object).unwrap_or(object);
    let fields = Fields { file, map };
    let heads = fields.required(&["num_attention_heads"], COUNT_MAX)?;
    let hidden = fields.required(&["hidden_size"], DIMENSION_MAX)?;
    let layers = fields.required(&["num_hidden_layers"], COUNT_MAX)?;
    let latent = latent(&fields)?;
    let shape = ModelShape {
        names: &["the model of config.json"],
        hidden,
        intermediate: fields.required(&["intermediate_size", "moe_intermediate_size"], DIMENSION_MAX)?,
        heads,
        kv_heads: fields.optional(&["num_key_value_heads"], COUNT_MAX)?.unwrap_or(heads),
        head_dim: fields.optional(&["head_dim"], DIMENSION_MAX)?.unwrap_or(hidden / heads),
        layers,
        vocab: fields.required(&["vocab_size"], DIMENSION_MAX)?,
        window: window(&fields)?,
        qk_norm: name(object).is_some_and(|n| n.starts_with("Qwen3") || n.starts_with("MiniMax")),
        linear_layers: linear_layers(&fields, layers)?,
        latent,
        experts: experts(&fields)?,
        precision: precision(object, map),
    };
    if shape.head_dim == 0 || shape.kv_heads > heads {
        return Err(fields.fault("num_key_value_heads", "does not go with num_attention_heads").into());
    }
    Ok(shape)
}

fn name(object: &Map<String, Value>) -> Option<&str> {
    object.get("architectures")?.as_array()?.first()?.as_str()
}

fn latent(fields: &Fields) -> std::result::Result<Option<Latent>, InputError> {
    let Some(kv_rank) = fields.optional(&["kv_lora_rank"], DIMENSION_MAX)? else { return Ok(None) };
    Ok(Some(Latent {
        q_rank: fields.required(&["q_lora_rank"], DIMENSION_MAX)?,
        kv_rank,
        nope: fields.required(&["qk_nope_head_dim"], DIMENSION_MAX)?,
        rope: fields.required(&["qk_rope_head_dim"], DIMENSION_MAX)?,
        value: fields.required(&["v_head_dim"], DIMENSION_MAX)?,
    }))
}

fn experts(fields: &Fields) -> std::result::Result<Option<Experts>, InputError> {
    let Some(count) = fields.optional(&["n_routed_experts", "num_experts", "num_local_experts"], COUNT_MAX)? else {
        return Ok(None);
    };
    let intermediate = fields.required(&["moe_intermediate_size", "intermediate_size"], DIMENSION_MAX)?;
    let shared = match fields.optional(&["shared_expert_intermediate_size"], DIMENSION_MAX)? {
        Some(width) => width,
        None => fields.optional(&["n_shared_experts"], COUNT_MAX)?.unwrap_or(0).saturating_mul(intermediate),
    };
    let top_k = fields.required(&["num_experts_per_tok", "experts_per_token"], COUNT_MAX)?;
    if top_k > count {
        return Err(fields.fault("num_experts_per_tok", format!("is {top_k} of {count} experts")));
    }
    let dense_layers = fields.optional(&["first_k_dense_replace"], COUNT_MAX)?.unwrap_or(0);
    Ok(Some(Experts { count, top_k, intermediate, shared, dense_layers }))
}

/// The kinds of the layers, where they are named.
fn layer_types<'a>(fields: &'a Fields) -> impl Iterator<Item = &'a str> {
    fields.map.get("layer_types").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The window of every second layer, where the file says that there is one.
fn window(fields: &Fields) -> std::result::Result<u32, InputError> {
    if !layer_types(fields).any(|t| t == "sliding_attention") {
        return Ok(0);
    }
    fields.required(&["sliding_window"], DIMENSION_MAX)
}

fn linear_layers(fields: &Fields, layers: u32) -> std::result::Result<u32, InputError> {
    let named = layer_types(fields).filter(|t| *t == "linear_attention").count();
    if named > 0 {
        return Ok(u32::try_from(named).unwrap_or(layers).min(layers));
    }
    // One layer in so many has full attention.
    let interval = fields.optional(&["full_attention_interval"], COUNT_MAX)?;
    Ok(interval.map_or(0, |n| layers - layers / n))
}

/// The number formats that `quantization_config` names; BF16 where it is not there or unknown.
fn precision(object: &Map<String, Value>, map: &Map<String, Value>) -> Precision {
    let config = object.get("quantization_config").or_else(|| map.get("quantization_config"));
    let text = |key: &str| config.and_then(|c| c.get(key)).and_then(Value::as_str).unwrap_or("");
    let (method, algorithm) = (text("quant_method"), text("quant_algo"));
    if method == "mxfp4" {
        return Precision { experts: Format::Mxfp4, ..Precision::BF16 };
    }
    let blocks = config.and_then(|c| c.get("weight_block_size")).is_some_and(Value::is_array);
    let format = match (method, algorithm) {
        ("fp8", _) if blocks => Format::Fp8Block,
        (_, "NVFP4") => Format::Nvfp4,
        ("fp8", _) | (_, "FP8") => Format::Fp8,
        _ => return Precision::BF16,
    };
    Precision::quantised(format, Precision::BF16)
}

/// What the fuzz target asks: any bytes are read or refused, and a shape that is read is costed or refused.
pub fn fuzz_config(bytes: &[u8]) {
    use super::deployment::{Deployment, Layout};
    use super::{aggregated, backend::Backend, gpu::GPUS};

    let Ok(model) = parse("config.json", bytes) else { return };
    for gpu in &GPUS {
        let deployment = Deployment {
            model: &model,
            gpu,
            backend: Backend::Vllm,
            precision: model.precision,
            layout: Layout::tensor(2),
        };
        if let Ok(engine) = aggregated::Aggregated::new(&deployment) {
            let p = engine.predict(aggregated::AggregatedLoad {
                isl: 1024,
                osl: 128,
                concurrency: 8,
                lengths: aggregated::Lengths::Any,
            });
            assert!(p.ttft_ms > 0.0 && p.tpot_ms > 0.0, "{p:?} of {model:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzzers_corpus_is_read_or_refused() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/config");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            fuzz_config(&bytes);
            read += u32::from(parse("config.json", &bytes).is_ok());
        }
        assert!(read >= 3, "{read} of the corpus are configurations");
    }
    use crate::profiler::model;

    const QWEN3_32B: &str = r#"{"architectures": ["Qwen3ForCausalLM"], "hidden_size": 5120, "intermediate_size": 25600,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "num_hidden_layers": 64, "vocab_size": 151936}"#;
    const DEEPSEEK_V3: &str = r#"{"architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 7168, "intermediate_size": 18432,
        "num_attention_heads": 128, "num_key_value_heads": 128, "num_hidden_layers": 61, "vocab_size": 129280,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048,
        "first_k_dense_replace": 3, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}"#;

    #[test]
    fn a_file_gives_the_shape_that_is_known_by_name() {
        for (text, name) in [(QWEN3_32B, "Qwen3-32B"), (DEEPSEEK_V3, "DeepSeek-V3")] {
            let (got, known) = (parse("config.json", text.as_bytes()).unwrap(), model::lookup(name).unwrap());
            let head_dim = known.latent.map_or(known.head_dim, |_| got.head_dim);
            assert_eq!(ModelShape { names: known.names, head_dim, ..got }, ModelShape { head_dim, ..*known });
        }
    }

    #[test]
    fn windows_linear_layers_and_formats_are_told_from_the_file() {
        let with = |more: &str| parse("c", QWEN3_32B.replacen('{', &format!("{{{more}, "), 1).as_bytes()).unwrap();
        let window = with(r#""sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"]"#);
        assert_eq!(window.window, 128);
        assert_eq!(with(r#""sliding_window": 128"#).window, 0);
        assert_eq!(with(r#""full_attention_interval": 4"#).linear_layers, 48);
        assert_eq!(with(r#""quantization_config": {"quant_algo": "NVFP4"}"#).precision.dense, Format::Nvfp4);
        assert_eq!(with(r#""quantization_config": {"quant_method": "mxfp4"}"#).precision.experts, Format::Mxfp4);
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_the_field() {
        let error = |text: &str| parse("dir/config.json", text.as_bytes()).unwrap_err().to_string();
        assert!(error("{").contains("no JSON") && error("[]").contains("object"));
        assert!(error("{}").contains("`num_attention_heads`"));
        assert!(error(&QWEN3_32B.replace("5120", "-1")).contains("`hidden_size`"));
        assert!(
            error(&QWEN3_32B.replace("\"num_key_value_heads\": 8", "\"num_key_value_heads\": 80"))
                .contains("does not go")
        );
        assert!(error(&QWEN3_32B.replace("151936", "99999999999")).contains("up to"));
    }
}
