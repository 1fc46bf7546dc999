//! Turns the flags of `synth` into typed arguments: `synth load`, `synth sin` with the flags of sin_synth.py, and `synth mooncake`.
//!
//! In: the command line. Out: [`SynthCommand`]. Not here: whether the values make sense together (`commands::synth`).

use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;

use super::profile::PatternArg;
use crate::rng::Seed;

/// What to generate.
#[derive(Clone, Debug, clap::Subcommand)]
#[expect(missing_docs, reason = "a doc comment here would replace the arguments' own in the help")]
pub enum SynthCommand {
    Load(Box<SynthLoadArgs>),
    Sin(SynthSinArgs),
    Mooncake(SynthMooncakeArgs),
}

/// Generates a trace of any rate, lengths, shared prefixes and sessions.
///
/// The rate is an expression of time, in requests per second. Its terms are joined with +, - and *:
///   10                                          a constant
///   sin(period=60s, amplitude=5, phase=0.25)    amplitude * sin(2 pi (t / period + phase))
///   ramp(from=1, to=2, start=0s, end=5m)        a straight line, level before and after it
///   step(at=60s, from=0, to=1)                  one value, then another
///   spike(at=60s, width=10s, height=50)         a triangle with its peak there
///   pulse(at=60s, width=10s, height=50)         a rectangle that begins there
///   diurnal(low=2, high=20, peak=14h)           a day (period=24h) between two values
///   piecewise(0s:5, 60s:20, 2m:5)               straight lines from point to point
///   steps(0s:5, 60s:20)                         each value from its time on
/// Times are in seconds, or have a unit: ms, s, m, h, d. Arrivals are exact: the cumulative rate is a
/// closed form, and inverted.
///
/// What was drawn is told on standard error beside what was to be expected. The file is of Mooncake's
/// format; later turns of a session hold what they add, and the delay after the answer before them, as
/// aiperf's sessions do.
#[derive(Clone, Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  Ten minutes that swing between 5 and 15 requests per second and grow to twice that, 40 % of the prompts' tokens seen before:
    loadline synth load --rate \"(10 + sin(amplitude=5, period=60s)) * ramp(from=1, to=2, end=10m)\" --time-duration 600 \\
      --isl 2048 --isl-stddev 500 --osl 256 --hit-rate 0.4 --prefix-depth 2 --seed 42 -o load.jsonl
    loadline profile --input-file load.jsonl --streaming

  Bursty sessions of four turns on average, with the lengths of a recorded trace:
    loadline synth load --rate 0.5 --arrival-pattern gamma --arrival-smoothness 0.25 --time-duration 1800 \\
      --lengths-from conversation_trace.jsonl --turns 4 --think-time 15 --turn-isl 200 --seed 42 -o sessions.jsonl"
)]
pub struct SynthLoadArgs {
    /// Requests per second (sessions per second, with --turns) as an expression of time
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true, help_heading = ARRIVALS)]
    pub rate: String,
    /// Length of the trace in seconds
    #[arg(long, alias = "duration", value_name = "S", default_value_t = 100.0, allow_negative_numbers = true, help_heading = ARRIVALS)]
    pub time_duration: f64,
    /// How requests at that rate are spaced
    #[arg(long, value_enum, default_value_t = PatternArg::Poisson, help_heading = ARRIVALS)]
    pub arrival_pattern: PatternArg,
    /// Shape of gamma arrivals: 1 is Poisson, less is burstier, more is smoother
    #[arg(long, aliases = ["burstiness", "vllm-burstiness"], value_name = "SHAPE", allow_negative_numbers = true, help_heading = ARRIVALS)]
    pub arrival_smoothness: Option<f64>,

    /// Mean prompt length, in tokens [default: 2048]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true, help_heading = LENGTHS)]
    pub isl: Option<f64>,
    /// Standard deviation of the prompt length
    #[arg(long, value_name = "TOKENS", requires = "isl", allow_negative_numbers = true, help_heading = LENGTHS)]
    pub isl_stddev: Option<f64>,
    /// Mean answer length, in tokens [default: 256]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true, help_heading = LENGTHS)]
    pub osl: Option<f64>,
    /// Standard deviation of the answer length
    #[arg(long, value_name = "TOKENS", requires = "osl", allow_negative_numbers = true, help_heading = LENGTHS)]
    pub osl_stddev: Option<f64>,
    /// How lengths vary about their mean
    #[arg(long, value_enum, default_value_t = LengthLawArg::Normal, help_heading = LENGTHS)]
    pub length_law: LengthLawArg,
    /// Trace whose lengths to draw from, prompt and answer of one request together
    #[arg(long, value_name = "FILE", conflicts_with_all = BY_LAW.into_iter().chain(["shapes"]), help_heading = LENGTHS)]
    pub lengths_from: Option<PathBuf>,
    /// Two shapes of requests, as prompt and answer tokens, instead: 3000/150,150/20
    #[arg(long, value_name = "ISL/OSL,ISL/OSL", conflicts_with_all = BY_LAW, help_heading = LENGTHS)]
    pub shapes: Option<String>,
    /// Share of requests that have the first of the shapes, 0 to 1, as an expression of time [default: 0.5]
    #[arg(long, value_name = "EXPRESSION", requires = "shapes", conflicts_with_all = BY_LAW, allow_hyphen_values = true, help_heading = LENGTHS)]
    pub first_share: Option<String>,

    /// Share of all prompt tokens, 0 to 1, that a prefix cache without bounds has seen before; none is shared without it
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, help_heading = PREFIXES)]
    pub hit_rate: Option<f64>,
    /// Levels of the tree of prefixes: a system prompt is one, a system prompt and documents are two
    #[arg(long, value_name = "LEVELS", default_value_t = 1, help_heading = PREFIXES)]
    pub prefix_depth: u32,
    /// Prefixes on the first level, and branches of every prefix after it
    #[arg(long, value_name = "BRANCHES", default_value_t = 10, help_heading = PREFIXES)]
    pub prefix_branching: u32,
    /// Tokens in a block of prompt that can be shared; each block has one hash id
    #[arg(long, value_name = "TOKENS", default_value_t = 512, help_heading = PREFIXES)]
    pub block_size: u32,

    /// Mean number of turns of a session [default: 1, no sessions]
    #[arg(long, value_name = "TURNS", allow_negative_numbers = true, help_heading = SESSIONS)]
    pub turns: Option<f64>,
    /// Mean time between an answer's end and the next turn, in seconds
    #[arg(long, value_name = "S", default_value_t = 10.0, allow_negative_numbers = true, help_heading = SESSIONS)]
    pub think_time: f64,
    /// Mean number of tokens that a later turn adds to the prompt [default: drawn like a first turn's prompt]
    #[arg(long, value_name = "TOKENS", requires = "turns", allow_negative_numbers = true, help_heading = SESSIONS)]
    pub turn_isl: Option<f64>,
    /// Standard deviation of that number
    #[arg(long, value_name = "TOKENS", requires = "turn_isl", allow_negative_numbers = true, help_heading = SESSIONS)]
    pub turn_isl_stddev: Option<f64>,
    /// Whether sessions differ: geometric numbers of turns and exponential think times, or all alike
    #[arg(long, value_enum, default_value_t = SessionLawArg::Random, help_heading = SESSIONS)]
    pub session_law: SessionLawArg,

    /// Seed; equal seeds and flags give equal files [default: drawn, and printed]
    #[arg(long, help_heading = SEEDS)]
    pub seed: Option<u64>,
    /// Seed of the arrivals alone [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = SEEDS)]
    pub seed_arrivals: Option<u64>,
    /// Seed of the lengths alone [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = SEEDS)]
    pub seed_lengths: Option<u64>,
    /// Seed of the shared prefixes alone [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = SEEDS)]
    pub seed_prefixes: Option<u64>,
    /// Seed of turns and think times alone [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = SEEDS)]
    pub seed_sessions: Option<u64>,

    /// Where to write the trace; `-` is standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output_file: String,
}

/// Flags of lengths by law. clap drops a `requires` whose flag conflicts with another one, so that each conflict is named.
const BY_LAW: [&str; 4] = ["isl", "isl_stddev", "osl", "osl_stddev"];

const ARRIVALS: &str = "Arrivals";
const LENGTHS: &str = "Lengths";
const PREFIXES: &str = "Shared prefixes";
const SESSIONS: &str = "Sessions";
const SEEDS: &str = "Seeds";

/// Laws of lengths, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LengthLawArg {
    /// Normal, from 1 on.
    Normal,
    /// Log-normal: long tails.
    Lognormal,
}

/// Laws of sessions, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SessionLawArg {
    /// Geometric and exponential.
    Random,
    /// All have the mean.
    Constant,
}

/// Generates a trace whose request rate and whose mix of two request shapes swing like sines.
///
/// Requests arrive as an exact Poisson process of rate(t) = (min + max) / 2 - (max - min) / 2 * cos(2 pi t / period + phase),
/// which starts at the minimum. Each request has the shape isl1/osl1 with probability ratio(t), a sine of its own, and
/// isl2/osl2 otherwise. The expected number of requests is printed beside the number drawn.
#[derive(Clone, Debug, PartialEq, clap::Args)]
#[command(
    after_long_help = "Example: ten minutes between 5 and 45 requests per second, four swings, 2048 tokens in and 256 out:\n\n  \
    loadline synth sin --time-duration 600 --request-rate-min 5 --request-rate-max 45 --request-rate-period 150 \\\n    \
    --isl1 2048 --osl1 256 --isl2 2048 --osl2 256 --seed 42 --output-file sinusoidal.jsonl\n  \
    loadline profile --input-file sinusoidal.jsonl --custom-dataset-type mooncake_trace --fixed-schedule …"
)]
pub struct SynthSinArgs {
    /// Tokens in a block of prompt that can be shared; each block has one hash id
    #[arg(long, alias = "block_size", value_name = "TOKENS", default_value_t = 512)]
    pub block_size: u32,
    /// How many different blocks prompts are made of: the fewer, the more prompts begin alike by chance
    #[arg(long, alias = "total_blocks", value_name = "BLOCKS", default_value_t = 10_000)]
    pub total_blocks: u64,
    /// Where to write the trace; `-` is standard output [default: a name made of the parameters]
    #[arg(long, short = 'o', alias = "output_file", value_name = "FILE")]
    pub output_file: Option<String>,
    /// Length of the trace in seconds
    #[arg(long, alias = "time_duration", value_name = "S", default_value_t = 100.0, allow_negative_numbers = true)]
    pub time_duration: f64,
    /// With --compat-bucketed: seconds for which the rate is frozen. Otherwise not used, as the rate is exact at every instant
    #[arg(long, alias = "process_interval", value_name = "S", default_value_t = 1.0, allow_negative_numbers = true)]
    pub process_interval: f64,
    /// Lowest request rate, in requests per second
    #[arg(long, alias = "request_rate_min", value_name = "RPS", default_value_t = 5.0, allow_negative_numbers = true)]
    pub request_rate_min: f64,
    /// Highest request rate, in requests per second
    #[arg(long, alias = "request_rate_max", value_name = "RPS", default_value_t = 10.0, allow_negative_numbers = true)]
    pub request_rate_max: f64,
    /// Length of one swing of the request rate, in seconds
    #[arg(
        long,
        alias = "request_rate_period",
        value_name = "S",
        default_value_t = 10.0,
        allow_negative_numbers = true
    )]
    pub request_rate_period: f64,
    /// Input tokens of the first shape
    #[arg(long, value_name = "TOKENS", default_value_t = 100)]
    pub isl1: u32,
    /// Output tokens of the first shape
    #[arg(long, value_name = "TOKENS", default_value_t = 2000)]
    pub osl1: u32,
    /// Input tokens of the second shape
    #[arg(long, value_name = "TOKENS", default_value_t = 5000)]
    pub isl2: u32,
    /// Output tokens of the second shape
    #[arg(long, value_name = "TOKENS", default_value_t = 100)]
    pub osl2: u32,
    /// Lowest share of requests that have the first shape, 0 to 1 (a share of requests, not a ratio of lengths)
    #[arg(
        long,
        alias = "isl_osl_ratio_min",
        value_name = "SHARE",
        default_value_t = 0.2,
        allow_negative_numbers = true
    )]
    pub isl_osl_ratio_min: f64,
    /// Highest share of requests that have the first shape, 0 to 1
    #[arg(
        long,
        alias = "isl_osl_ratio_max",
        value_name = "SHARE",
        default_value_t = 0.8,
        allow_negative_numbers = true
    )]
    pub isl_osl_ratio_max: f64,
    /// Length of one swing of that share, in seconds
    #[arg(
        long,
        alias = "isl_osl_ratio_period",
        value_name = "S",
        default_value_t = 10.0,
        allow_negative_numbers = true
    )]
    pub isl_osl_ratio_period: f64,
    /// Seed; equal seeds and flags give equal files [default: drawn, and printed]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where the rate's swing starts, in radians: 0 at the minimum, 3.1416 at the maximum. The mix keeps its own phase
    #[arg(long, value_name = "RADIANS", default_value_t = 0.0, allow_negative_numbers = true)]
    pub phase: f64,
    /// Arrivals as sin_synth.py makes them: the rate is frozen for each process interval, and requests are spread evenly in it,
    /// at whole milliseconds. Smoother than real traffic; for comparison with older results only
    #[arg(long, alias = "compat_bucketed")]
    pub compat_bucketed: bool,
}

/// Generates a trace with the published shape of Mooncake's production trace.
///
/// Three populations arrive as one Poisson process: chats (48.6 %) that share their first block and repeat their history turn
/// by turn, median 7,000 tokens in and 350 out; tool calls (36.1 %) behind 12 shared blocks, 14 tokens out; and tool calls
/// (15.3 %) behind 5 shared blocks, 20 tokens out. Blocks are of 512 tokens. No row of the original is used.
#[derive(Clone, Debug, PartialEq, clap::Args)]
#[command(
    after_long_help = "Example: five minutes at 4 requests per second, prompts a quarter of their published length:\n\n  \
    loadline synth mooncake --time-duration 300 --request-rate 4 --isl-scale 0.25 --seed 42 --output-file mooncake.jsonl"
)]
pub struct SynthMooncakeArgs {
    /// Number of requests [default: 1000, where no duration is given]
    #[arg(long, value_name = "COUNT", conflicts_with = "time_duration")]
    pub requests: Option<u64>,
    /// Length of the trace in seconds, instead of a number of requests
    #[arg(long, alias = "time_duration", value_name = "S", allow_negative_numbers = true)]
    pub time_duration: Option<f64>,
    /// Mean request rate, in requests per second
    #[arg(long, alias = "request_rate", value_name = "RPS", default_value_t = 5.0, allow_negative_numbers = true)]
    pub request_rate: f64,
    /// Factor on the length of every prompt and of what prompts share; 1 is the published length
    #[arg(long, alias = "isl_scale", value_name = "FACTOR", default_value_t = 1.0, allow_negative_numbers = true)]
    pub isl_scale: f64,
    /// Where to write the trace; `-` is standard output [default: a name made of the parameters]
    #[arg(long, short = 'o', alias = "output_file", value_name = "FILE")]
    pub output_file: Option<String>,
    /// Seed; equal seeds and flags give equal files [default: drawn, and printed]
    #[arg(long)]
    pub seed: Option<u64>,
}

/// The seed that the user gave, or one from the operating system's randomness.
pub fn seed_or_drawn(given: Option<u64>) -> Seed {
    // A `RandomState` is keyed by the operating system; the hash of nothing under its keys is as random as they are. 53
    // bits, so that readers of JSON keep every digit.
    Seed(given.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish() >> 11))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(subcommand)]
        command: SynthCommand,
    }

    fn sin(flags: &[&str]) -> SynthSinArgs {
        match Line::try_parse_from(["synth", "sin"].iter().chain(flags)).unwrap().command {
            SynthCommand::Sin(args) => args,
            other => panic!("sin was asked for: {other:?}"),
        }
    }

    #[test]
    fn defaults_are_the_originals() {
        let args = sin(&[]);
        let expected = SynthSinArgs {
            block_size: 512,
            total_blocks: 10_000,
            output_file: None,
            time_duration: 100.0,
            process_interval: 1.0,
            request_rate_min: 5.0,
            request_rate_max: 10.0,
            request_rate_period: 10.0,
            isl1: 100,
            osl1: 2000,
            isl2: 5000,
            osl2: 100,
            isl_osl_ratio_min: 0.2,
            isl_osl_ratio_max: 0.8,
            isl_osl_ratio_period: 10.0,
            seed: None,
            phase: 0.0,
            compat_bucketed: false,
        };
        assert_eq!(args, expected);
    }

    #[test]
    fn underscores_are_accepted_for_every_flag() {
        let hyphens = [
            "--block-size",
            "64",
            "--total-blocks",
            "5",
            "--output-file",
            "x",
            "--time-duration",
            "9",
            "--process-interval",
            "2",
            "--request-rate-min",
            "1",
            "--request-rate-max",
            "2.5",
            "--request-rate-period",
            "7",
            "--isl-osl-ratio-min",
            "0",
            "--isl-osl-ratio-max",
            "1",
            "--isl-osl-ratio-period",
            "3",
            "--phase",
            "-1.5",
            "--compat-bucketed",
        ];
        let underscores: Vec<String> =
            hyphens.iter().map(|f| f.replacen("--", "\0", 1).replace('-', "_").replace('\0', "--")).collect();
        let underscores: Vec<&str> =
            underscores.iter().zip(hyphens).map(|(u, h)| if h.starts_with("--") { u.as_str() } else { h }).collect();
        assert_eq!(sin(&underscores), sin(&hyphens));
        assert!((sin(&hyphens).phase + 1.5).abs() < f64::EPSILON);
    }

    #[test]
    fn drawn_seeds_differ_and_given_ones_stay() {
        assert_eq!(seed_or_drawn(Some(7)), Seed(7));
        assert_ne!(seed_or_drawn(None), seed_or_drawn(None));
    }
}
