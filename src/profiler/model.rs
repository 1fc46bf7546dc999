//! Model dimensions, by name: decoder-only transformers, dense or with experts, with grouped-query or latent attention.
//!
//! Source: each model's own `config.json` on the Hugging Face hub. A new model is one row here; [`super::config`] reads any other
//! from such a file.

use super::precision::{Format, Precision};
use crate::error::{Error, Result};

/// The shape of a model; everything that its cost depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelShape {
    /// The hub id, and the other names that are accepted for the same shape.
    pub names: &'static [&'static str],
    /// Hidden size.
    pub hidden: u32,
    /// Width of the gated feed-forward layer; with experts, of the dense layers before them.
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Layers.
    pub layers: u32,
    /// Vocabulary.
    pub vocab: u32,
    /// Tokens that every second layer looks back at most; 0 where all layers look at everything.
    pub window: u32,
    /// Whether queries and keys are normalised.
    pub qk_norm: bool,
    /// Layers with linear attention, whose state does not grow with the context.
    pub linear_layers: u32,
    /// Latent attention (MLA), in place of key/value heads.
    pub latent: Option<Latent>,
    /// Experts (MoE), in place of most feed-forward layers.
    pub experts: Option<Experts>,
    /// Number formats of the published weights.
    pub precision: Precision,
}

/// Ranks and widths of latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latent {
    /// Rank of the queries.
    pub q_rank: u32,
    /// Rank of keys and values, which is what the cache holds.
    pub kv_rank: u32,
    /// Width of a head's keys without position.
    pub nope: u32,
    /// Width of a head's keys with position, shared by all heads.
    pub rope: u32,
    /// Width of a head's values.
    pub value: u32,
}

/// The experts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// Experts that tokens are routed to.
    pub count: u32,
    /// How many of them each token takes.
    pub top_k: u32,
    /// Width of one.
    pub intermediate: u32,
    /// Width of the experts that every token takes; 0 for none.
    pub shared: u32,
    /// Layers before the first with experts.
    pub dense_layers: u32,
}

/// What a model is where its row does not say otherwise.
const PLAIN: ModelShape = ModelShape {
    names: &[],
    hidden: 0,
    intermediate: 0,
    heads: 0,
    kv_heads: 0,
    head_dim: 128,
    layers: 0,
    vocab: 0,
    window: 0,
    qk_norm: false,
    linear_layers: 0,
    latent: None,
    experts: None,
    precision: Precision::BF16,
};

const FP8_BLOCK: Precision = Precision { dense: Format::Fp8Block, experts: Format::Fp8Block, kv_bytes: 1 };
const MXFP4_EXPERTS: Precision = Precision { dense: Format::Bf16, experts: Format::Mxfp4, kv_bytes: 2 };
const NVFP4: Precision = Precision { dense: Format::Nvfp4, experts: Format::Nvfp4, kv_bytes: 1 };

const DEEPSEEK_LATENT: Latent = Latent { q_rank: 1536, kv_rank: 512, nope: 128, rope: 64, value: 128 };

const fn experts(count: u32, top_k: u32, intermediate: u32, shared: u32, dense_layers: u32) -> Option<Experts> {
    Some(Experts { count, top_k, intermediate, shared, dense_layers })
}

#[rustfmt::skip]
const QWEN3: ModelShape = ModelShape { qk_norm: true, vocab: 151_936, kv_heads: 8, ..PLAIN };
#[rustfmt::skip]
const LLAMA: ModelShape = ModelShape { kv_heads: 8, vocab: 128_256, ..PLAIN };
#[rustfmt::skip]
const DEEPSEEK: ModelShape = ModelShape { hidden: 7168, intermediate: 18432, heads: 128, kv_heads: 128, layers: 61, vocab: 129_280, latent: Some(DEEPSEEK_LATENT), experts: experts(256, 8, 2048, 2048, 3), precision: FP8_BLOCK, ..PLAIN };
#[rustfmt::skip]
const KIMI: ModelShape = ModelShape { heads: 64, kv_heads: 64, vocab: 163_840, experts: experts(384, 8, 2048, 2048, 1), ..DEEPSEEK };
#[rustfmt::skip]
const MINIMAX: ModelShape = ModelShape { hidden: 3072, intermediate: 1536, heads: 48, kv_heads: 8, layers: 62, vocab: 200_064, qk_norm: true, experts: experts(256, 8, 1536, 0, 0), precision: FP8_BLOCK, ..PLAIN };
#[rustfmt::skip]
const GLM5: ModelShape = ModelShape { hidden: 6144, intermediate: 12288, heads: 64, kv_heads: 64, layers: 78, vocab: 154_880, latent: Some(Latent { q_rank: 2048, kv_rank: 512, nope: 192, rope: 64, value: 256 }), experts: experts(256, 8, 2048, 2048, 3), ..PLAIN };
#[rustfmt::skip]
const QWEN3_32B: ModelShape = ModelShape { hidden: 5120, intermediate: 25600, heads: 64, layers: 64, ..QWEN3 };
#[rustfmt::skip]
const QWEN3_30B_A3B: ModelShape = ModelShape { hidden: 2048, intermediate: 6144, heads: 32, kv_heads: 4, layers: 48, experts: experts(128, 8, 768, 0, 0), ..QWEN3 };
#[rustfmt::skip]
const QWEN3_235B_A22B: ModelShape = ModelShape { hidden: 4096, intermediate: 12288, heads: 64, kv_heads: 4, layers: 94, experts: experts(128, 8, 1536, 0, 0), ..QWEN3 };
#[rustfmt::skip]
const QWEN35_397B: ModelShape = ModelShape { hidden: 4096, intermediate: 1024, heads: 32, kv_heads: 2, head_dim: 256, layers: 60, vocab: 248_320, qk_norm: true, linear_layers: 45, experts: experts(512, 10, 1024, 1024, 0), ..PLAIN };

/// Every model with a shape in this tree.
#[rustfmt::skip]
pub const MODELS: [ModelShape; 40] = [
    ModelShape { names: &["Qwen/Qwen3-32B"], ..QWEN3_32B },
    ModelShape { names: &["Qwen/Qwen3-32B-FP8"], precision: FP8_BLOCK, ..QWEN3_32B },
    ModelShape { names: &["nvidia/Qwen3-32B-NVFP4", "nvidia/Qwen3-32B-FP4"], precision: NVFP4, ..QWEN3_32B },
    ModelShape { names: &["Qwen/Qwen3-14B"], hidden: 5120, intermediate: 17408, heads: 40, layers: 40, ..QWEN3 },
    ModelShape { names: &["Qwen/Qwen3-8B"],  hidden: 4096, intermediate: 12288, heads: 32, layers: 36, ..QWEN3 },
    ModelShape { names: &["Qwen/Qwen3-4B"],  hidden: 2560, intermediate: 9728, heads: 32, layers: 36, ..QWEN3 },
    ModelShape { names: &["Qwen/Qwen3-1.7B"], hidden: 2048, intermediate: 6144, heads: 16, layers: 28, ..QWEN3 },
    ModelShape { names: &["Qwen/Qwen3-0.6B"], hidden: 1024, intermediate: 3072, heads: 16, layers: 28, ..QWEN3 },
    ModelShape { names: &["meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B-Instruct"],
                 hidden: 4096, intermediate: 14336, heads: 32, layers: 32, ..LLAMA },
    ModelShape { names: &["meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Meta-Llama-3.1-70B", "meta-llama/Meta-Llama-3.1-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"],
                 hidden: 8192, intermediate: 28672, heads: 64, layers: 80, ..LLAMA },
    ModelShape { names: &["meta-llama/Llama-3.1-405B", "meta-llama/Llama-3.1-405B-Instruct", "meta-llama/Meta-Llama-3.1-405B"],
                 hidden: 16384, intermediate: 53248, heads: 128, layers: 126, ..LLAMA },
    ModelShape { names: &["mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0.1"],
                 hidden: 4096, intermediate: 14336, heads: 32, kv_heads: 8, layers: 32, vocab: 32_000, experts: experts(8, 2, 14336, 0, 0), ..PLAIN },
    ModelShape { names: &["mistralai/Mixtral-8x22B-v0.1", "mistralai/Mixtral-8x22B-Instruct-v0.1"],
                 hidden: 6144, intermediate: 16384, heads: 48, kv_heads: 8, layers: 56, vocab: 32_000, experts: experts(8, 2, 16384, 0, 0), ..PLAIN },
    ModelShape { names: &["mistralai/Mistral-7B-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"], hidden: 4096, intermediate: 14336, heads: 32, kv_heads: 8, layers: 32, vocab: 32_768, ..PLAIN },
    ModelShape { names: &["Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct"], hidden: 3584, intermediate: 18944, heads: 28, kv_heads: 4, layers: 28, vocab: 152_064, ..PLAIN },
    ModelShape { names: &["Qwen/Qwen2.5-32B", "Qwen/Qwen2.5-32B-Instruct"], hidden: 5120, intermediate: 27648, heads: 40, kv_heads: 8, layers: 64, vocab: 152_064, ..PLAIN },
    ModelShape { names: &["Qwen/Qwen2.5-72B", "Qwen/Qwen2.5-72B-Instruct"], hidden: 8192, intermediate: 29568, heads: 64, kv_heads: 8, layers: 80, vocab: 152_064, ..PLAIN },
    ModelShape { names: &["XiaomiMiMo/MiMo-7B-Base", "XiaomiMiMo/MiMo-7B-RL"], hidden: 4096, intermediate: 11008, heads: 32, kv_heads: 8, layers: 36, vocab: 151_680, ..PLAIN },
    ModelShape { names: &["Qwen/Qwen3.5-27B"], hidden: 5120, intermediate: 17408, heads: 24, kv_heads: 4, head_dim: 256, layers: 64, vocab: 248_320, qk_norm: true, linear_layers: 48, ..PLAIN },
    ModelShape { names: &["Qwen/Qwen3.5-35B-A3B"], hidden: 2048, intermediate: 512, heads: 16, layers: 40, linear_layers: 30, experts: experts(256, 8, 512, 512, 0), ..QWEN35_397B },
    ModelShape { names: &["Qwen/Qwen3.5-122B-A10B"], hidden: 3072, intermediate: 1024, layers: 48, linear_layers: 36, experts: experts(256, 8, 1024, 1024, 0), ..QWEN35_397B },
    ModelShape { names: &["Qwen/Qwen3-30B-A3B"], ..QWEN3_30B_A3B },
    ModelShape { names: &["Qwen/Qwen3-30B-A3B-FP8"], precision: FP8_BLOCK, ..QWEN3_30B_A3B },
    ModelShape { names: &["Qwen/Qwen3-235B-A22B"], ..QWEN3_235B_A22B },
    ModelShape { names: &["Qwen/Qwen3-235B-A22B-FP8"], precision: FP8_BLOCK, ..QWEN3_235B_A22B },
    ModelShape { names: &["nvidia/Qwen3-235B-A22B-NVFP4"], precision: NVFP4, ..QWEN3_235B_A22B },
    ModelShape { names: &["Qwen/Qwen3-Coder-480B-A35B-Instruct"],
                 hidden: 6144, intermediate: 8192, heads: 96, layers: 62, experts: experts(160, 8, 2560, 0, 0), ..QWEN3 },
    ModelShape { names: &["Qwen/Qwen3.5-397B-A17B"], ..QWEN35_397B },
    ModelShape { names: &["nvidia/Qwen3.5-397B-A17B-NVFP4"], precision: NVFP4, ..QWEN35_397B },
    ModelShape { names: &["deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3.1", "deepseek-ai/DeepSeek-V3-0324", "deepseek-ai/DeepSeek-R1-0528"], ..DEEPSEEK },
    ModelShape { names: &["nvidia/DeepSeek-R1-NVFP4", "nvidia/DeepSeek-R1-0528-FP4", "nvidia/DeepSeek-V3.1-NVFP4", "nvidia/DeepSeek-V3-FP4"], precision: NVFP4, ..DEEPSEEK },
    ModelShape { names: &["moonshotai/Kimi-K2.5", "moonshotai/Kimi-K2-Instruct", "moonshotai/Kimi-K2-Thinking"], ..KIMI },
    ModelShape { names: &["nvidia/Kimi-K2.5-NVFP4", "nvidia/Kimi-K2-Thinking-NVFP4"], precision: NVFP4, ..KIMI },
    ModelShape { names: &["MiniMaxAI/MiniMax-M2.5", "MiniMaxAI/MiniMax-M2", "MiniMaxAI/MiniMax-M2.1", "MiniMaxAI/MiniMax-M2.7"], ..MINIMAX },
    ModelShape { names: &["nvidia/MiniMax-M2.5-NVFP4"], precision: NVFP4, ..MINIMAX },
    ModelShape { names: &["openai/gpt-oss-120b"],
                 hidden: 2880, intermediate: 2880, heads: 64, kv_heads: 8, head_dim: 64, layers: 36, vocab: 201_088, window: 128, experts: experts(128, 4, 2880, 0, 0), precision: MXFP4_EXPERTS, ..PLAIN },
    ModelShape { names: &["openai/gpt-oss-20b"],
                 hidden: 2880, intermediate: 2880, heads: 64, kv_heads: 8, head_dim: 64, layers: 24, vocab: 201_088, window: 128, experts: experts(32, 4, 2880, 0, 0), precision: MXFP4_EXPERTS, ..PLAIN },
    ModelShape { names: &["zai-org/GLM-5", "zhipuai/GLM-5"], ..GLM5 },
    ModelShape { names: &["zai-org/GLM-5-FP8", "zai-org/GLM-5.1-FP8"], precision: FP8_BLOCK, ..GLM5 },
    ModelShape { names: &["nvidia/GLM-5-NVFP4"], precision: NVFP4, ..GLM5 },
];

/// Endings of names whose weights are another model's, quantised, and the format that they are in.
const QUANTISED: [(&str, Format); 4] =
    [("-FP8-Static-PerTensor", Format::Fp8), ("-FP8", Format::Fp8), ("-NVFP4", Format::Nvfp4), ("-FP4", Format::Nvfp4)];

/// The model of that name, as [`lookup`] finds it; or, where the name ends in a format, the model of the rest of its last part
/// (whoever published it) in that format.
///
/// # Errors
/// As [`lookup`].
pub fn named(name: &str) -> Result<ModelShape> {
    let unknown = match lookup(name) {
        Ok(model) => return Ok(*model),
        Err(unknown) => unknown,
    };
    let bare = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let found = QUANTISED.iter().find_map(|(ending, format)| {
        let model = lookup(bare.strip_suffix(&ending.to_lowercase())?).ok()?;
        Some(ModelShape { precision: Precision::quantised(*format, model.precision), ..*model })
    });
    found.ok_or(unknown)
}

/// The model of that name: a hub id, or its last part, in any case.
///
/// # Errors
/// [`Error::Usage`] with the known names.
pub fn lookup(name: &str) -> Result<&'static ModelShape> {
    let is = |known: &&str| {
        let bare = known.rsplit('/').next().unwrap_or(known);
        known.eq_ignore_ascii_case(name) || bare.eq_ignore_ascii_case(name)
    };
    const { &MODELS }.iter().find(|m| m.names.iter().any(is)).ok_or_else(|| {
        let known = MODELS.map(|m| m.names[0]).join(", ");
        Error::Usage(format!("unknown model `{name}`; models with known dimensions are {known}"))
    })
}

impl ModelShape {
    /// Layers with experts.
    pub(super) fn expert_layers(&self) -> u32 {
        self.experts.map_or(0, |e| self.layers.saturating_sub(e.dense_layers))
    }

    /// Parameters of attention and dense layers, of the experts, and of the embedding and the output matrix, of the whole
    /// model; norms and routers are left out (under 0.1 %).
    pub(super) fn parameters(&self, tp: u32) -> [f64; 3] {
        let f = f64::from;
        let (hidden, head_dim, heads) = (f(self.hidden), f(self.head_dim), f(self.heads));
        let attention = match self.latent {
            Some(l) => {
                let (q, kv) = (f(l.q_rank), f(l.kv_rank));
                hidden * (q + kv + f(l.rope))
                    + heads * (q * f(l.nope + l.rope) + kv * f(l.nope + l.value) + f(l.value) * hidden)
            }
            // Key/value heads are repeated where there are fewer of them than GPUs.
            None => hidden * head_dim * (2.0 * heads + 2.0 * f(self.kv_heads.max(tp))),
        };
        let expert_layers = f(self.expert_layers());
        let dense_layers = f(self.layers) - expert_layers;
        let (shared, routed) = self.experts.map_or((0.0, 0.0), |e| (f(e.shared), f(e.count) * f(e.intermediate)));
        let dense =
            f(self.layers) * attention + 3.0 * hidden * (dense_layers * f(self.intermediate) + expert_layers * shared);
        [dense, 3.0 * hidden * expert_layers * routed, 2.0 * f(self.vocab) * hidden]
    }

    /// Weights, in parameters, of one of `tp` equal shares.
    pub fn parameters_per_share(&self, tp: u32) -> f64 {
        self.parameters(tp).iter().sum::<f64>() / f64::from(tp)
    }

    /// Numbers that one token of one sequence keeps in the cache of one of `tp` GPUs, all layers together, where nothing is
    /// bounded by a window.
    pub(super) fn kv_numbers(&self, tp: u32) -> f64 {
        let growing = f64::from(self.layers - self.linear_layers.min(self.layers));
        let per_layer = match self.latent {
            // The compressed cache is the same on every GPU.
            Some(l) => f64::from(l.kv_rank + l.rope),
            None => 2.0 * (f64::from(self.kv_heads) / f64::from(tp)).max(1.0) * f64::from(self.head_dim),
        };
        // A window keeps next to nothing in every second layer.
        if self.window > 0 { growing / 2.0 * per_layer } else { growing * per_layer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_its_id_or_its_last_part() {
        let by_id = lookup("Qwen/Qwen3-32B").unwrap();
        assert_eq!(lookup("qwen3-32b").unwrap(), by_id);
        assert_eq!(lookup("Meta-Llama-3.1-8B").unwrap().layers, 32);
        let e = lookup("gpt-5").unwrap_err().to_string();
        assert!(e.contains("Qwen/Qwen3-32B") && e.contains("meta-llama/Llama-3.1-70B"), "{e}");
    }

    #[test]
    fn an_ending_that_names_a_format_is_the_model_in_that_format() {
        for (name, format) in [("nvidia/Llama-3.1-70B-Instruct-FP8", Format::Fp8), ("llama-3.1-70b-fp4", Format::Nvfp4)]
        {
            let model = named(name).unwrap();
            assert_eq!((model.layers, model.precision.dense), (80, format), "{name}");
        }
        assert_eq!(named("Qwen3-32B-FP8").unwrap().precision.dense, Format::Fp8Block);
        assert!(named("-FP8").is_err() && named("gpt-5-FP8").unwrap_err().to_string().contains("gpt-5-FP8"));
    }

    #[test]
    fn no_two_models_share_a_name() {
        let mut names: Vec<String> =
            MODELS.iter().flat_map(|m| m.names).map(|n| n.rsplit('/').next().unwrap().to_lowercase()).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        // zai-org/GLM-5 and zhipuai/GLM-5 are the same model.
        assert_eq!(names.len(), all - 1);
    }

    #[test]
    fn parameters_are_those_of_the_published_weights() {
        let billions = |name, tp| lookup(name).unwrap().parameters_per_share(tp) / 1e9;
        let near = |name, published: f64, within: f64| {
            let got = billions(name, 1);
            assert!((got / published - 1.0).abs() < within, "{name}: {got} for {published}");
        };
        near("Qwen3-32B", 32.76, 0.001);
        near("Llama-3.1-8B", 8.03, 0.001);
        near("Llama-3.1-405B", 405.9, 0.01);
        near("Qwen3-30B-A3B", 30.5, 0.01);
        near("Qwen3-235B-A22B", 235.0, 0.01);
        near("DeepSeek-V3", 671.0, 0.01);
        near("Kimi-K2.5", 1026.0, 0.02);
        near("MiniMax-M2.5", 229.0, 0.02);
        near("gpt-oss-120b", 116.8, 0.02);
        near("Qwen2.5-7B", 7.6, 0.01);
        near("Qwen2.5-72B", 72.7, 0.01);
        near("Mixtral-8x22B-v0.1", 140.6, 0.01);
        near("Mistral-7B-v0.3", 7.25, 0.01);
        assert!((billions("Qwen3-32B", 8) * 8.0 - 32.76).abs() < 0.02);
    }
}
