//! Model dimensions, by name: dense decoder-only transformers with grouped-query attention.
//!
//! Source: each model's own `config.json` on the Hugging Face hub. A new dense model is one row here.
//! Not here: mixture-of-experts models and quantised weights; their operators have no constants in this tree.

use crate::error::{Error, Result};

/// The shape of a dense model; everything that its cost depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// The hub id, and the other names that are accepted for the same shape.
    pub names: &'static [&'static str],
    /// Hidden size.
    pub hidden: u32,
    /// Width of the gated feed-forward layer.
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
}

/// Every model with a shape in this tree.
#[rustfmt::skip]
pub const MODELS: [ModelShape; 5] = [
    ModelShape { names: &["Qwen/Qwen3-32B"], hidden: 5120, intermediate: 25600, heads: 64, kv_heads: 8, head_dim: 128, layers: 64, vocab: 151_936 },
    ModelShape { names: &["Qwen/Qwen3-14B"], hidden: 5120, intermediate: 17408, heads: 40, kv_heads: 8, head_dim: 128, layers: 40, vocab: 151_936 },
    ModelShape { names: &["Qwen/Qwen3-8B"],  hidden: 4096, intermediate: 12288, heads: 32, kv_heads: 8, head_dim: 128, layers: 36, vocab: 151_936 },
    ModelShape { names: &["meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B-Instruct"],
                 hidden: 4096, intermediate: 14336, heads: 32, kv_heads: 8, head_dim: 128, layers: 32, vocab: 128_256 },
    ModelShape { names: &["meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Meta-Llama-3.1-70B", "meta-llama/Meta-Llama-3.1-70B-Instruct"],
                 hidden: 8192, intermediate: 28672, heads: 64, kv_heads: 8, head_dim: 128, layers: 80, vocab: 128_256 },
];

/// The model of that name: a hub id, or its last part, in any case.
///
/// # Errors
/// [`Error::Usage`] with the known names.
pub fn lookup(name: &str) -> Result<&'static ModelShape> {
    let is = |known: &&str| {
        let bare = known.rsplit('/').next().unwrap_or(known);
        known.eq_ignore_ascii_case(name) || bare.eq_ignore_ascii_case(name)
    };
    MODELS.iter().find(|m| m.names.iter().any(is)).ok_or_else(|| {
        let known = MODELS.map(|m| m.names[0]).join(", ");
        Error::Usage(format!("unknown model `{name}`; models with known dimensions are {known}"))
    })
}

impl ModelShape {
    /// Weights, in parameters, of one of `tp` equal shares: per layer `H·(q+2kv)·hd + q·hd·H + 3·H·I`, and twice `V·H`
    /// for the embedding and the output matrix; norms are left out (under 0.01 %).
    pub fn parameters_per_share(&self, tp: u32) -> f64 {
        let (hidden, head_dim, tp) = (f64::from(self.hidden), f64::from(self.head_dim), f64::from(tp));
        let (heads, kv_heads) = (f64::from(self.heads) / tp, (f64::from(self.kv_heads) / tp).max(1.0));
        let attention = hidden * (heads + 2.0 * kv_heads) * head_dim + heads * head_dim * hidden;
        let feed_forward = 3.0 * hidden * f64::from(self.intermediate) / tp;
        f64::from(self.layers) * (attention + feed_forward) + 2.0 * f64::from(self.vocab) * hidden / tp
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
    fn parameters_are_those_of_the_published_weights() {
        let billions = |name, tp| lookup(name).unwrap().parameters_per_share(tp) / 1e9;
        assert!((billions("Qwen3-32B", 1) - 32.76).abs() < 0.02, "{}", billions("Qwen3-32B", 1));
        assert!((billions("Llama-3.1-8B", 1) - 8.03).abs() < 0.01, "{}", billions("Llama-3.1-8B", 1));
        assert!((billions("Qwen3-32B", 8) * 8.0 - 32.76).abs() < 0.02);
    }
}
