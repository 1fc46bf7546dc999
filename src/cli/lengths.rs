//! The flags of `profile` that give lengths another law than a normal one: mixtures of pairs, and ranges. aiperf's.

use clap::ValueEnum;

use super::profile::INPUT;
use super::resolve::{law, usage};
use crate::error::{Error, Result};
use crate::schedule::dataset::LengthPair;
use crate::schedule::spec::LengthLaw;

/// How far shares may be from a hundred per cent in all.
const SHARES_OFF_MAX: f64 = 0.01;

/// Flags about laws of lengths.
#[derive(Clone, Debug, clap::Args)]
pub struct LengthArgs {
    /// Draw prompt and answer lengths as pairs, each with its share of the requests in per cent: "256,128:40;512|20,256|10:60",
    /// where |N is a standard deviation.
    #[arg(long, visible_alias = "sequence-distribution", value_name = "ISL,OSL:PERCENT;…", help_heading = INPUT,
        conflicts_with_all = ["synthetic_input_tokens_mean", "output_tokens_mean", "random_range_ratio"])]
    pub seq_dist: Option<String>,

    /// Draw each length of a range as likely, as vLLM's benchmark does: from (1 − R) to (1 + R) times --isl, and --osl; of two
    /// ratios, {"input": R, "output": R}.
    #[arg(long, value_name = "R|JSON", value_parser = RangeRatio::parse, help_heading = INPUT)]
    pub random_range_ratio: Option<RangeRatio>,

    /// Whose range that is: vLLM's, or SGLang's, from R times --isl to --isl.
    #[arg(long, value_enum, default_value_t = RangeStyle::Vllm, requires = "random_range_ratio", help_heading = INPUT)]
    pub random_corpus_style: RangeStyle,
}

/// Ranges, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RangeStyle {
    /// Around the mean.
    Vllm,
    /// Up to the mean.
    Sglang,
}

/// How far lengths range, as a share of their means.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeRatio {
    /// Of prompts.
    pub input: f64,
    /// Of answers.
    pub output: f64,
}

impl RangeRatio {
    fn parse(text: &str) -> std::result::Result<RangeRatio, String> {
        let both = text.parse().map(|ratio| RangeRatio { input: ratio, output: ratio }).ok();
        both.or_else(|| serde_json::from_str(text).ok())
            .ok_or_else(|| r#"give a number, or {"input": 0.3, "output": 0.5}"#.into())
    }
}

impl LengthArgs {
    /// The law of prompt lengths with this mean: that of a range, where one is asked for.
    ///
    /// # Errors
    /// A usage error where no such range can be, or the law has a standard deviation.
    pub(super) fn ranged_input(&self, law: LengthLaw) -> Result<LengthLaw> {
        self.ranged(law, self.random_range_ratio.map(|ratio| ratio.input))
    }

    /// The same of answer lengths.
    ///
    /// # Errors
    /// Those of [`LengthArgs::ranged_input`].
    pub(super) fn ranged_output(&self, law: LengthLaw) -> Result<LengthLaw> {
        self.ranged(law, self.random_range_ratio.map(|ratio| ratio.output))
    }

    fn ranged(&self, law: LengthLaw, ratio: Option<f64>) -> Result<LengthLaw> {
        let (Some(ratio), mean) = (ratio, law.mean()) else { return Ok(law) };
        if law != LengthLaw::exactly(mean) {
            return usage("--random-range-ratio and a standard deviation are two laws of one length; give one of them");
        }
        let (low, high) = match self.random_corpus_style {
            RangeStyle::Vllm if (0.0..1.0).contains(&ratio) => (mean * (1.0 - ratio), mean * (1.0 + ratio)),
            RangeStyle::Sglang if (0.0..=1.0).contains(&ratio) => (mean * ratio, mean),
            RangeStyle::Vllm => return usage("--random-range-ratio must be from 0 to below 1"),
            RangeStyle::Sglang => return usage("--random-range-ratio must be from 0 to 1"),
        };
        Ok(LengthLaw::Uniform { low: (low.floor() as u32).max(1), high: (high.ceil() as u32).max(1) })
    }

    /// The pairs of lengths; none where lengths are drawn each by itself.
    ///
    /// # Errors
    /// A usage error that says what is no pair.
    pub(super) fn pairs(&self) -> Result<Vec<LengthPair>> {
        self.seq_dist.as_deref().map_or(Ok(Vec::new()), pairs)
    }
}

/// aiperf's JSON for pairs.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonPairs {
    pairs: Vec<JsonPair>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonPair {
    isl: f64,
    #[serde(default)]
    isl_stddev: f64,
    osl: f64,
    #[serde(default)]
    osl_stddev: f64,
    prob: f64,
}

/// Reads pairs of lengths and their shares. aiperf's other spellings, `[(256,128):40,(512,256):60]` and
/// `{"pairs": [{"isl": 256, "isl_stddev": 10, "osl": 128, "prob": 40}, …]}`, are read, too.
fn pairs(text: &str) -> Result<Vec<LengthPair>> {
    let pairs: Vec<LengthPair> = if text.trim_start().starts_with('{') {
        let read: JsonPairs =
            serde_json::from_str(text).map_err(|e| Error::Usage(format!("--seq-dist {text}: {e}")))?;
        let pair = |p: &JsonPair| weighted(text, (p.isl, p.isl_stddev), (p.osl, p.osl_stddev), p.prob);
        read.pairs.iter().map(pair).collect::<Result<_>>()?
    } else {
        let plain = text.replace(' ', "").replace(",(", ";").replace(['[', ']', '(', ')'], "");
        plain.split(';').filter(|pair| !pair.is_empty()).map(pair).collect::<Result<_>>()?
    };
    if pairs.is_empty() {
        return usage("--seq-dist holds no pair: it must be ISL,OSL:PERCENT;…");
    }
    let total: f64 = pairs.iter().map(|pair| pair.share).sum();
    if (total - 1.0).abs() > SHARES_OFF_MAX / 100.0 {
        return usage(&format!("--seq-dist {text}: its shares add up to {} per cent, not to 100", total * 100.0));
    }
    Ok(pairs)
}

fn pair(text: &str) -> Result<LengthPair> {
    let parts = text.split_once(':').and_then(|(pair, share)| Some((pair.split_once(',')?, share)));
    let read = |(lengths, share): ((&str, &str), &str)| {
        Some((length(lengths.0)?, length(lengths.1)?, share.trim_end_matches('%').parse::<f64>().ok()?))
    };
    match parts.and_then(read) {
        Some((isl, osl, percent)) => weighted(text, isl, osl, percent),
        None => usage(&format!("--seq-dist {text}: must be ISL,OSL:PERCENT, or ISL|STDDEV,OSL|STDDEV:PERCENT")),
    }
}

/// A pair of a mean and a standard deviation each, with its share; `text` is where it stands.
fn weighted(text: &str, input: (f64, f64), output: (f64, f64), percent: f64) -> Result<LengthPair> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(Error::Usage(format!("--seq-dist {text}: a share is from 0 to 100 per cent")));
    }
    let input = law("--seq-dist: a length", input.0, input.1)?;
    let output = law("--seq-dist: a length", output.0, output.1)?;
    Ok(LengthPair { share: percent / 100.0, input, output })
}

/// A mean, and its standard deviation.
fn length(text: &str) -> Option<(f64, f64)> {
    let (mean, stddev) = text.split_once('|').unwrap_or((text, "0"));
    Some((mean.parse().ok()?, stddev.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_in_aiperfs_spellings() {
        let expect = [
            LengthPair { share: 0.4, input: LengthLaw::normal(256.0, 10.0), output: LengthLaw::exactly(128.0) },
            LengthPair { share: 0.6, input: LengthLaw::exactly(512.0), output: LengthLaw::normal(256.0, 2.5) },
        ];
        assert_eq!(pairs("256|10,128:40;512,256|2.5:60").unwrap(), expect);
        assert_eq!(pairs("[(256|10,128):40, (512,256|2.5):60]").unwrap(), expect);
        let json = r#"{"pairs": [{"isl": 256, "isl_stddev": 10, "osl": 128, "prob": 40},
            {"isl": 512, "osl": 256, "osl_stddev": 2.5, "prob": 60}]}"#;
        assert_eq!(pairs(json).unwrap(), expect);
        for (bad, why) in [
            (r#"{"pairs": [{"isl": 256, "prob": 40}]}"#, "missing field `osl`"),
            ("256,128", "must be ISL,OSL:PERCENT"),
            ("256:100", "must be ISL,OSL:PERCENT"),
            ("x,128:100", "must be ISL,OSL:PERCENT"),
            ("", "holds no pair"),
            ("1,1:50;2,2:49", "add up to 99"),
            ("1,1:-50;2,2:150", "from 0 to 100"),
            ("0,1:100", "from 1 to 16 million"),
        ] {
            let error = pairs(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_range_has_one_ratio_or_two() {
        assert_eq!(RangeRatio::parse("0.5"), Ok(RangeRatio { input: 0.5, output: 0.5 }));
        assert_eq!(RangeRatio::parse(r#"{"input": 0.3, "output": 0.5}"#), Ok(RangeRatio { input: 0.3, output: 0.5 }));
        assert!(RangeRatio::parse("half").unwrap_err().contains("a number"));
    }
}
