//! What is known of a method that chooses a deployment: what it cost, what it predicted, what was measured of its choice.
//!
//! Invariant: what is not known is `None`, never 0; a figure tells where it is from. Not here: reading it (`evidence`), judging it
//! ([`super::judgement`]).

use super::bootstrap::Series;
use super::course::Course;

/// Levels of load, in rising order; the names of directories.
pub const LEVELS: [&str; 4] = ["idle", "medium", "saturation", "overload"];
/// The place of the level in [`LEVELS`] at which methods are compared.
pub const MEDIUM: usize = 1;
/// The place of the level next to what was deployed for.
pub const SATURATION: usize = 2;

/// What is asked of a deployment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Bound on a request's TTFT, ms.
    pub ttft_ms: f64,
    /// Bound on a request's mean ITL, ms.
    pub itl_ms: f64,
    /// Tokens of a prompt.
    pub isl: u32,
    /// Tokens of an answer.
    pub osl: u32,
}

/// How a figure was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From time stamps or counts of what happened.
    Measured,
    /// Derived from less than that.
    Estimated,
}

impl Source {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Measured => "measured",
            Source::Estimated => "estimated",
        }
    }
}

/// A figure of cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// It.
    pub value: f64,
    /// How it was come by.
    pub source: Source,
    /// From what, in words.
    pub from: String,
}

/// What a method cost until it had chosen; null is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Wall-clock time, seconds.
    pub wall_s: Option<Figure>,
    /// GPU hours.
    pub gpu_hours: Option<Figure>,
    /// Deployments that were made.
    pub deployments: Option<Figure>,
}

/// A prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// Milliseconds.
    pub ms: f64,
    /// Who says so.
    pub from: String,
}

/// A latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// One load on the deployment, measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Requests in flight, of a closed loop.
    pub concurrency: Option<u32>,
    /// That as per cent of what the deployment was made for.
    pub concurrency_pct: Option<f64>,
    /// Time to first token, from the sending.
    pub ttft: Quantiles,
    /// Mean time between the tokens of a request.
    pub itl: Quantiles,
    /// Its mean without the gap before the second token, which of a disaggregated deployment holds the hand-off; ms.
    pub itl_without_second_token_ms: Option<f64>,
    /// Answers per second.
    pub request_rps: Option<f64>,
    /// Requests per second that met every bound of the target.
    pub goodput_rps: Option<f64>,
    /// Why the goodput is not known, where it is not.
    pub goodput_unknown: Option<String>,
    /// Share of all requests that met every bound, from 0 to 1; failed and unsent requests met none.
    pub attainment: Option<f64>,
    /// Requests that this is of, whatever became of them; 0 where that is not told.
    pub requests: u64,
    /// How long it was measured, all runs together, seconds.
    pub duration_s: Option<f64>,
    /// Good requests over time, for each run whose requests are recorded.
    pub series: Vec<Series>,
    /// Files that it was read from.
    pub source: String,
}

/// A level of load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Level {
    /// What was predicted of TTFT.
    pub ttft: Option<Predicted>,
    /// Of ITL.
    pub itl: Option<Predicted>,
    /// What was measured; null where it was not.
    pub measured: Option<Measured>,
}

/// The GPUs of a deployment, and how they share the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployment {
    /// All GPUs.
    pub gpus: Option<u32>,
    /// GPUs that prefill.
    pub prefill_gpus: Option<u32>,
    /// GPUs that decode.
    pub decode_gpus: Option<u32>,
    /// How a prefill worker shares the model, `TP1`.
    pub prefill_mapping: Option<String>,
    /// A decode worker.
    pub decode_mapping: Option<String>,
}

/// What a goodput search found on a deployment: the highest rate at which a share of the requests meets the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Searched {
    /// Requests per second; null where none was found.
    pub rate_rps: Option<f64>,
    /// A rate that holds.
    pub low_rps: Option<f64>,
    /// One that does not.
    pub high_rps: Option<f64>,
    /// The share.
    pub attainment: Option<f64>,
    /// Whether the ends came as close as was asked.
    pub is_resolved: bool,
    /// The file.
    pub source: String,
}

/// A method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Method {
    /// Its name.
    pub name: String,
    /// Whether it is the one that measured everything, which others are held against.
    pub is_reference: bool,
    /// Whether it is no method but a deployment that was measured, one of those that methods choose among.
    pub is_candidate: bool,
    /// Where its results lie.
    pub source_dir: String,
    /// What it deploys.
    pub deployment: Deployment,
    /// The serving engine, as its configuration names it.
    pub backend: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// What it cost.
    pub cost: Cost,
    /// Configurations that were tested for prefill and for decode.
    pub configs_tested: Option<[u64; 2]>,
    /// Predicted tokens of prompt per second and GPU that prefills.
    pub prefill_tokens_per_s_per_gpu: Option<f64>,
    /// Predicted tokens of answer per second and GPU that decodes.
    pub decode_tokens_per_s_per_gpu: Option<f64>,
    /// Predicted TTFT.
    pub ttft: Option<Predicted>,
    /// Predicted ITL, at whatever load it chose.
    pub itl: Option<Predicted>,
    /// The levels, in the order of [`LEVELS`].
    pub levels: [Level; 4],
    /// The run that stands for what it deploys.
    pub optimization: Option<Measured>,
    /// What a goodput search found on what it deploys.
    pub search: Option<Searched>,
    /// Seconds that measuring what it deploys took, of each directory of such measurements: levels, the run that stands for the deployment,
    /// a goodput search.
    pub validation_s: Vec<Figure>,
    /// How it went on, measurement by measurement.
    pub course: Option<Course>,
    /// What there is to say.
    pub notes: Vec<String>,
}

impl Method {
    /// How long measuring what it deploys took, in seconds, and the GPU hours of that; both null where nothing was measured. It is no
    /// part of [`Cost`], which is that of choosing.
    pub fn validation_cost(&self) -> (Option<f64>, Option<f64>) {
        let wall_s = (!self.validation_s.is_empty()).then(|| self.validation_s.iter().map(|f| f.value).sum());
        (wall_s, wall_s.zip(self.deployment.gpus).map(|(s, gpus): (f64, u32)| s * f64::from(gpus) / 3600.0))
    }

    /// Everything that was measured of it, with its name.
    pub fn measured(&self) -> impl Iterator<Item = (&'static str, &Measured)> {
        let levels = LEVELS.into_iter().zip(&self.levels).filter_map(|(name, l)| Some((name, l.measured.as_ref()?)));
        levels.chain(self.optimization.as_ref().map(|m| ("optimization", m)))
    }
}

/// The mean ITL without the gap before the second token, ms: `(ITL·(n−1) − TTST) / (n−2)` of answers that all have n tokens.
pub fn without_second_token(itl_ms: Option<f64>, second_token_ms: Option<f64>, tokens: Option<f64>) -> Option<f64> {
    let tokens = tokens.filter(|n| *n > 2.0)?;
    Some((itl_ms? * (tokens - 1.0) - second_token_ms?) / (tokens - 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_of_the_hand_off_is_taken_out_of_the_others() {
        // The published idle run: a mean ITL of 14.32 ms over 256 tokens, the second after 678 ms.
        let steady = without_second_token(Some(14.32), Some(678.0), Some(256.0)).unwrap();
        assert!((steady - 11.707).abs() < 1e-3, "{steady}");
        assert_eq!(without_second_token(Some(1.0), Some(1.0), Some(2.0)), None);
        assert_eq!(without_second_token(Some(1.0), None, Some(9.0)), None);
    }
}
