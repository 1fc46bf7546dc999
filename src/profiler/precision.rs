//! In which numbers weights, experts and the KV cache are kept, and what they are multiplied in.

use crate::error::{Error, Result};

/// A number format of weights, and the arithmetic that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// BF16 weights and arithmetic.
    Bf16,
    /// FP8 with one scale per tensor or channel.
    Fp8,
    /// FP8 with one scale per block of 128 × 128 weights.
    Fp8Block,
    /// FP4 weights and arithmetic, one scale per 16 numbers (NVFP4).
    Nvfp4,
    /// FP4 weights, one scale per 32 numbers (MXFP4), multiplied in BF16 or FP8 where that is faster.
    Mxfp4,
}

impl Format {
    /// Every format, in the order in which help lists them.
    pub const ALL: [Format; 5] = [Format::Bf16, Format::Fp8, Format::Fp8Block, Format::Nvfp4, Format::Mxfp4];

    /// The name in data files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Bf16 => "bf16",
            Format::Fp8 => "fp8",
            Format::Fp8Block => "fp8_block",
            Format::Nvfp4 => "nvfp4",
            Format::Mxfp4 => "mxfp4",
        }
    }

    /// The format of that name; `bfloat16` and `w4a16_mxfp4`, as other tools write them, are known too.
    ///
    /// # Errors
    /// [`Error::Usage`] with the known names.
    pub fn parse(name: &str) -> Result<Format> {
        match name {
            "bfloat16" | "float16" | "fp16" => return Ok(Format::Bf16),
            "w4a16_mxfp4" | "w4a8_mxfp4_mxfp8" => return Ok(Format::Mxfp4),
            "fp8_static" | "fp8_ootb" => return Ok(Format::Fp8),
            "fp4" => return Ok(Format::Nvfp4),
            _ => {}
        }
        Format::ALL.into_iter().find(|f| f.as_str() == name).ok_or_else(|| {
            let known = Format::ALL.map(Format::as_str).join(", ");
            Error::Usage(format!("unknown precision `{name}`; known are {known}"))
        })
    }

    /// Bytes of one weight, its share of the scales included.
    pub fn bytes(self) -> f64 {
        match self {
            Format::Bf16 => 2.0,
            Format::Fp8 | Format::Fp8Block => 1.0,
            Format::Nvfp4 => 0.5625,
            Format::Mxfp4 => 0.53125,
        }
    }
}

/// The number formats of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Precision {
    /// Attention and dense feed-forward weights.
    pub dense: Format,
    /// Expert weights of a mixture-of-experts model.
    pub experts: Format,
    /// Bytes of a number in the KV cache: 2 (BF16) or 1 (FP8).
    pub kv_bytes: u32,
}

impl Precision {
    /// BF16 throughout.
    pub const BF16: Precision = Precision { dense: Format::Bf16, experts: Format::Bf16, kv_bytes: 2 };

    /// A format for dense weights and experts, of a model published in `native`. Whoever quantises weights keeps the KV cache in
    /// FP8; what is published with MXFP4 experts stays as it is.
    pub fn quantised(format: Format, native: Precision) -> Precision {
        if native.experts == Format::Mxfp4 {
            return native;
        }
        Precision { dense: format, experts: format, kv_bytes: if format == Format::Bf16 { 2 } else { 1 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_an_unknown_one_lists_them() {
        assert!(Format::ALL.into_iter().all(|f| Format::parse(f.as_str()).unwrap() == f));
        assert_eq!(Format::parse("bfloat16").unwrap(), Format::Bf16);
        let gpt_oss = Precision { dense: Format::Bf16, experts: Format::Mxfp4, kv_bytes: 2 };
        assert_eq!(Precision::quantised(Format::Nvfp4, gpt_oss), gpt_oss);
        assert_eq!(Precision::quantised(Format::Fp8, Precision::BF16).kv_bytes, 1);
        assert!(Format::parse("int3").unwrap_err().to_string().contains("bf16, fp8, fp8_block"));
    }
}
