//! Turns the arguments of `synth` into a trace file and a report on it.
//!
//! In: a [`SynthCommand`], and a place for standard output. Out: the file, whole or not at all, and a
//! [`SynthReport`] for the caller to print. Not here: how traces are drawn (`trace`, `arrival`).

mod load;

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::arrival::{self, ArrivalParams, Rescaled, SineRate, UnitGaps, bucketed, index_of_dispersion};
use crate::cli::synth::{SynthCommand, SynthMooncakeArgs, SynthSinArgs, seed_or_drawn};
use crate::error::{Error, Result};
use crate::rng::{Seed, Stream};
use crate::time::SECOND_NS;
use crate::trace::Trace;
use crate::trace::conversations::Hits;
use crate::trace::lengths::MAX_TOKENS;
use crate::trace::mixture::{Mixture, Shape};
use crate::trace::mooncake_shape;
use crate::trace::writer::{self, TimeForm};

/// The most requests, and the most prefix blocks, that are generated.
const MAX_REQUESTS: f64 = 10_000_000.0;
const MAX_BLOCKS: f64 = 200_000_000.0;
/// The longest trace, in seconds: a year.
const MAX_DURATION_S: f64 = 366.0 * 86_400.0;
/// Above this rate a reader that guesses the unit from gaps may take milliseconds for seconds.
const AMBIGUOUS_RATE_RPS: f64 = 500.0;

/// What was generated, and whether it is what was asked for.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SynthReport {
    /// Where the trace is; `-` for standard output.
    pub path: String,
    /// The seed, given or drawn.
    pub seed: u64,
    /// Arrivals of the trace: requests, or first turns of sessions.
    pub drawn: u64,
    /// Arrivals to be expected, where their number is random.
    pub expected: Option<f64>,
    /// How far the drawn number is from the expected, in standard deviations of a count (of a Poisson count, unless the arrivals
    /// are smoother or burstier).
    pub z_score: Option<f64>,
    /// What else is known of a general load.
    pub load: Option<LoadReport>,
    /// Index of dispersion of the counts per 100 ms: 1 for Poisson arrivals of constant rate.
    pub idc_100ms: Option<f64>,
    /// The same per second.
    pub idc_1s: Option<f64>,
    /// Length of the trace in seconds.
    pub duration_s: f64,
    /// What a user of the file should know.
    pub warning: Option<String>,
}

/// Turns, lengths and prefixes of a general load.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct LoadReport {
    /// Requests in the trace and their expected number, where the arrivals are sessions.
    pub turns: Option<(u64, f64)>,
    /// Mean length of what requests add to their prompts, in tokens, as drawn.
    pub mean_isl: f64,
    /// Mean length of the answers, in tokens, as drawn.
    pub mean_osl: f64,
    /// What a prefix cache without bounds finds.
    pub hits: Hits,
}

impl fmt::Display for SynthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SynthReport { path, seed, drawn, duration_s, .. } = self;
        let turns = self.load.and_then(|load| load.turns);
        let what = if turns.is_some() { "sessions" } else { "requests" };
        write!(f, "{path}: {drawn} {what} over {duration_s:.3} s, seed {seed}")?;
        if let Some(expected) = self.expected {
            write!(f, "\nexpected {expected:.2} {what}")?;
        }
        if let Some(z) = self.z_score {
            write!(f, ", z-score {z:+.2}")?;
        }
        if let Some((drawn, expected)) = turns {
            write!(f, "\n{drawn} requests, expected {expected:.2}")?;
        }
        if let (Some(short), Some(long)) = (self.idc_100ms, self.idc_1s) {
            write!(
                f,
                "\nindex of dispersion {short:.2} at 100 ms, {long:.2} at 1 s (1 is Poisson at a constant rate)"
            )?;
        }
        if let Some(LoadReport { mean_isl, mean_osl, hits, .. }) = &self.load {
            write!(f, "\nmean lengths {mean_isl:.1} tokens in, {mean_osl:.1} out")?;
            let target = hits.target.map_or_else(String::new, |target| format!("target {target:.4}, "));
            let Hits { expected, drawn, .. } = hits;
            write!(
                f,
                "\nprefix hit rate by token, cache without bounds: {target}expected {expected:.4}, drawn {drawn:.4}"
            )?;
        }
        match &self.warning {
            Some(warning) => write!(f, "\n{warning}"),
            None => Ok(()),
        }
    }
}

/// Generates what the command asks for. `stdout` is written to where the output file is `-`.
///
/// # Errors
/// A usage error that names the flag; a file that cannot be written.
pub fn run(command: &SynthCommand, stdout: &mut dyn Write) -> Result<SynthReport> {
    match command {
        SynthCommand::Load(args) => load::run(args, stdout),
        SynthCommand::Sin(args) => sin(args, stdout),
        SynthCommand::Mooncake(args) => mooncake(args, stdout),
    }
}

/// Generates a sinusoidal trace.
///
/// # Errors
/// As [`run`].
pub fn sin(args: &SynthSinArgs, stdout: &mut dyn Write) -> Result<SynthReport> {
    validate_sin(args)?;
    let seed = seed_or_drawn(args.seed);
    let rate = SineRate {
        min_rps: args.request_rate_min,
        max_rps: args.request_rate_max,
        period_s: args.request_rate_period,
        phase_rad: args.phase,
    };
    let mixture = Mixture {
        first: Shape { input_tokens: args.isl1, output_tokens: args.osl1 },
        second: Shape { input_tokens: args.isl2, output_tokens: args.osl2 },
        share_min: args.isl_osl_ratio_min,
        share_max: args.isl_osl_ratio_max,
        period_s: args.isl_osl_ratio_period,
        block_size: args.block_size,
        total_blocks: args.total_blocks,
    };
    let blocks_per_request = f64::from(args.isl1.max(args.isl2).div_ceil(args.block_size));
    rate.validate()?;
    check_size(rate.expected_count(args.time_duration), blocks_per_request, "--time-duration")?;
    let mut rng = seed.stream(Stream::Arrival);
    let (arrivals_ns, expected, form) = if args.compat_bucketed {
        let (arrivals_ns, expected) = bucketed(&rate, args.time_duration, args.process_interval, &mut rng);
        (arrivals_ns, expected, TimeForm::WholeMs)
    } else {
        let mut process = Rescaled::new(rate.curve(), UnitGaps::Exponential);
        let arrivals_ns = arrival::before(nanoseconds(args.time_duration), &mut process, &mut rng);
        (arrivals_ns, rate.expected_count(args.time_duration), TimeForm::DecimalMs)
    };
    let trace = mixture.generate(&arrivals_ns, seed);
    let path = args.output_file.clone().unwrap_or_else(|| sin_name(args, seed));
    save(&trace, form, &path, stdout)?;
    Ok(report(path, seed, &arrivals_ns, Some(expected), args.time_duration))
}

/// Generates a trace of Mooncake's published shape.
///
/// # Errors
/// As [`run`].
pub fn mooncake(args: &SynthMooncakeArgs, stdout: &mut dyn Write) -> Result<SynthReport> {
    flag("--request-rate", args.request_rate, 1e-6..=1e6, "requests per second")?;
    flag("--isl-scale", args.isl_scale, 1e-4..=100.0, "a factor")?;
    let seed = seed_or_drawn(args.seed);
    let params = ArrivalParams { rate_rps: Some(args.request_rate), ..Default::default() };
    let mut process = arrival::build("poisson", &params)?;
    let mut rng = seed.stream(Stream::Arrival);
    let blocks_per_request = 1.0 + 24.0 * args.isl_scale;
    let (arrivals_ns, expected, duration_s) = match (args.time_duration, args.requests) {
        (Some(duration_s), _) => {
            flag("--time-duration", duration_s, 1e-3..=MAX_DURATION_S, "seconds")?;
            let expected = duration_s * args.request_rate;
            check_size(expected, blocks_per_request, "--time-duration")?;
            (arrival::before(nanoseconds(duration_s), &mut *process, &mut rng), Some(expected), duration_s)
        }
        (None, requests) => {
            let requests = requests.unwrap_or(1000);
            if requests == 0 {
                return Err(Error::Usage("--requests 0 makes no trace; use a number from 1".into()));
            }
            check_size(requests as f64, blocks_per_request, "--requests")?;
            let arrivals_ns = arrival::first(requests as usize, &mut *process, &mut rng);
            let duration_s = arrivals_ns.last().map_or(0.0, |&last_ns| last_ns as f64 / SECOND_NS as f64);
            (arrivals_ns, None, duration_s)
        }
    };
    let trace = mooncake_shape::generate(&arrivals_ns, args.isl_scale, seed);
    let path = args.output_file.clone().unwrap_or_else(|| {
        let length = args.time_duration.map_or_else(|| format!("n{}", arrivals_ns.len()), |s| format!("t{s}"));
        format!("mooncake_{length}_rr{}_scale{}_seed{}.jsonl", args.request_rate, args.isl_scale, seed.0)
    });
    save(&trace, TimeForm::DecimalMs, &path, stdout)?;
    Ok(report(path, seed, &arrivals_ns, expected, duration_s))
}

fn validate_sin(args: &SynthSinArgs) -> Result<()> {
    const RATES: std::ops::RangeInclusive<f64> = 0.0..=1e6;
    const PERIODS: std::ops::RangeInclusive<f64> = 1e-3..=1e9;
    flag("--time-duration", args.time_duration, 1e-3..=MAX_DURATION_S, "seconds")?;
    flag("--process-interval", args.process_interval, 1e-3..=MAX_DURATION_S, "seconds")?;
    flag("--request-rate-min", args.request_rate_min, RATES, "requests per second")?;
    flag("--request-rate-max", args.request_rate_max, RATES, "requests per second")?;
    flag("--request-rate-period", args.request_rate_period, PERIODS, "seconds")?;
    flag("--isl-osl-ratio-min", args.isl_osl_ratio_min, 0.0..=1.0, "a share of requests")?;
    flag("--isl-osl-ratio-max", args.isl_osl_ratio_max, 0.0..=1.0, "a share of requests")?;
    flag("--isl-osl-ratio-period", args.isl_osl_ratio_period, PERIODS, "seconds")?;
    flag("--phase", args.phase, -1e6..=1e6, "radians")?;
    in_order("--request-rate", args.request_rate_min, args.request_rate_max)?;
    in_order("--isl-osl-ratio", args.isl_osl_ratio_min, args.isl_osl_ratio_max)?;
    if args.request_rate_max == 0.0 {
        return Err(Error::Usage("--request-rate-max 0 makes no requests; use a number above 0".into()));
    }
    for (name, tokens) in [
        ("--block-size", args.block_size),
        ("--isl1", args.isl1),
        ("--osl1", args.osl1),
        ("--isl2", args.isl2),
        ("--osl2", args.osl2),
    ] {
        if !(1..=MAX_TOKENS).contains(&tokens) {
            return Err(Error::Usage(format!(
                "{name} {tokens} cannot be; use a number of tokens from 1 to {MAX_TOKENS}"
            )));
        }
    }
    if args.total_blocks == 0 {
        return Err(Error::Usage("--total-blocks 0 leaves nothing to make prompts of; use a number from 1".into()));
    }
    Ok(())
}

fn flag(name: &str, value: f64, range: std::ops::RangeInclusive<f64>, unit: &str) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(Error::Usage(format!("{name} {value} cannot be; use {unit} from {least} to {most}")))
}

fn in_order(name: &str, min: f64, max: f64) -> Result<()> {
    if min <= max {
        return Ok(());
    }
    Err(Error::Usage(format!("{name}-min {min} is above {name}-max {max}; exchange them")))
}

fn check_size(requests: f64, blocks_per_request: f64, name: &str) -> Result<()> {
    if requests <= MAX_REQUESTS && requests * blocks_per_request <= MAX_BLOCKS {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "these flags ask for about {requests:.0} requests of up to {blocks_per_request:.0} blocks, more than a trace may hold ({MAX_REQUESTS:.0} requests, {MAX_BLOCKS:.0} blocks); lower {name}, the rate or the prompts' length"
    )))
}

fn nanoseconds(t_s: f64) -> i64 {
    (t_s * SECOND_NS as f64).round() as i64
}

/// The file's default name, which holds all that is needed to make it again.
fn sin_name(args: &SynthSinArgs, seed: Seed) -> String {
    let SynthSinArgs { block_size, total_blocks, time_duration, isl1, osl1, isl2, osl2, .. } = args;
    let mut name = format!("sin_b{block_size}");
    if *total_blocks != 10_000 {
        name += &format!("_n{total_blocks}");
    }
    name += &format!(
        "_t{time_duration}_rr{}-{}-{}_io{isl1}-{osl1}_io{isl2}-{osl2}_mix{}-{}-{}",
        args.request_rate_min,
        args.request_rate_max,
        args.request_rate_period,
        args.isl_osl_ratio_min,
        args.isl_osl_ratio_max,
        args.isl_osl_ratio_period,
    );
    if args.phase != 0.0 {
        name += &format!("_phase{}", args.phase);
    }
    if args.compat_bucketed {
        name += &format!("_bucketed{}", args.process_interval);
    }
    format!("{name}_seed{}.jsonl", seed.0)
}

/// Writes the trace whole or not at all: beside its place first, then by renaming.
fn save(trace: &Trace, form: TimeForm, path: &str, stdout: &mut dyn Write) -> Result<()> {
    if trace.entries.is_empty() {
        let problem = "no request was drawn in so short a time; use a longer --time-duration or a higher request rate";
        return Err(Error::Usage(problem.into()));
    }
    if path == "-" {
        let mut out = BufWriter::new(stdout);
        return writer::write(trace, form, &mut out).and_then(|()| out.flush()).map_err(Error::io("standard output"));
    }
    let mut partial = PathBuf::from(path).into_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let mut out = BufWriter::new(File::create(partial).map_err(Error::io(path))?);
    let written = writer::write(trace, form, &mut out).and_then(|()| out.flush());
    let moved = written.and_then(|()| std::fs::rename(partial, path));
    moved.map_err(|e| {
        // The first error is the one to tell; a partial file that cannot be removed does no harm.
        let _ = std::fs::remove_file(partial);
        Error::io(path)(e)
    })
}

fn report(path: String, seed: Seed, arrivals_ns: &[i64], expected: Option<f64>, duration_s: f64) -> SynthReport {
    let duration_ns = nanoseconds(duration_s);
    let drawn = arrivals_ns.len() as u64;
    let idc = |width_ns| index_of_dispersion(arrivals_ns, width_ns, duration_ns);
    let warning = (drawn as f64 / duration_s > AMBIGUOUS_RATE_RPS)
        .then(|| "its gaps are so short that they could be seconds: read it with --time-unit ms".to_owned());
    SynthReport {
        path,
        seed: seed.0,
        drawn,
        expected,
        z_score: expected.map(|expected| (drawn as f64 - expected) / expected.sqrt()),
        load: None,
        idc_100ms: idc(SECOND_NS / 10),
        idc_1s: idc(SECOND_NS),
        duration_s,
        warning,
    }
}

#[cfg(test)]
mod tests;
