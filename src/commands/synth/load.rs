//! Turns the arguments of `synth load` into arrivals, conversations, a file and a report.
//!
//! In: [`SynthLoadArgs`]. Out: as every `synth`. Not here: how anything is drawn (`arrival`, `trace`).

use std::io::Write;

use super::{LoadReport, MAX_DURATION_S, SynthReport, check_size, flag, nanoseconds, report, save};
use crate::arrival::{self, Rescaled, UnitGaps};
use crate::cli::profile::PatternArg;
use crate::cli::rate;
use crate::cli::synth::{LengthLawArg, SessionLawArg, SynthLoadArgs, seed_or_drawn};
use crate::error::{Error, Result};
use crate::rng::{Seed, Stream};
use crate::trace::conversations::{Conversations, Hits, OutOfReach, Seeds, Turns};
use crate::trace::lengths::{Form, Law, Lengths, MAX_TOKENS, pairs};
use crate::trace::mixture::Shape;
use crate::trace::sharing::{MAX_LEAVES, Prefixes};
use crate::trace::writer::TimeForm;
use crate::trace::{self, ReadOptions, Trace};

const ISL_DEFAULT: f64 = 2048.0;
const OSL_DEFAULT: f64 = 256.0;
/// The block size that readers assume.
const USUAL_BLOCK_SIZE: u32 = 512;
/// How far the drawn hit rate may be from its target before it is warned about.
const HIT_RATE_TOLERANCE: f64 = 0.01;

/// Generates a general load.
///
/// # Errors
/// A usage error that names the flag; a trace of lengths that cannot be read; a file that cannot be written.
pub(super) fn run(args: &SynthLoadArgs, stdout: &mut dyn Write) -> Result<SynthReport> {
    flag("--time-duration", args.time_duration, 1e-3..=MAX_DURATION_S, "seconds")?;
    let gaps = gaps(args)?;
    let rate = rate::rate("--rate", &args.rate, args.time_duration)?;
    let turns = turns(args)?;
    let lengths = lengths(args)?;
    let prefixes = prefixes(args)?;
    let expected = rate.integral(args.time_duration);
    let mean_turns = turns.as_ref().map_or(1.0, |t| t.mean);
    let blocks = (lengths.mean_input() / f64::from(args.block_size)).ceil();
    check_size(expected * mean_turns, blocks, "--time-duration")?;

    let seed = seed_or_drawn(args.seed);
    let of = |given: Option<u64>| given.map_or(seed, Seed);
    let mut arrivals = of(args.seed_arrivals).stream(Stream::Arrival);
    let mut process = Rescaled::new(rate, gaps);
    let arrivals_ns = arrival::before(nanoseconds(args.time_duration), &mut process, &mut arrivals);
    let has_sessions = turns.is_some();
    let conversations = Conversations {
        lengths,
        turns,
        block_size: args.block_size,
        prefixes,
        hit_rate: args.hit_rate,
        seeds: Seeds {
            lengths: of(args.seed_lengths),
            prefixes: of(args.seed_prefixes),
            sessions: of(args.seed_sessions),
        },
    };
    let (trace, hits) = conversations.generate(&arrivals_ns).map_err(|e| out_of_reach(args, e))?;
    save(&trace, TimeForm::DecimalMs, &args.output_file, stdout)?;

    let mut told = report(args.output_file.clone(), seed, &arrivals_ns, Some(expected), args.time_duration);
    let deviation = (expected * gaps.variance()).sqrt();
    told.z_score = (deviation > 0.0).then(|| (told.drawn as f64 - expected) / deviation);
    told.load = Some(load_report(&trace, has_sessions.then_some(expected * mean_turns), hits));
    let warnings = [told.warning.take(), hit_rate_missed(&hits), unusual_blocks(args.block_size)];
    let warnings: Vec<String> = warnings.into_iter().flatten().collect();
    told.warning = (!warnings.is_empty()).then(|| warnings.join("\n"));
    Ok(told)
}

fn load_report(trace: &Trace, expected_requests: Option<f64>, hits: Hits) -> LoadReport {
    let requests = trace.entries.len() as f64;
    LoadReport {
        turns: expected_requests.map(|expected| (trace.entries.len() as u64, expected)),
        mean_isl: trace.entries.iter().map(|e| f64::from(e.input_tokens)).sum::<f64>() / requests,
        mean_osl: trace.entries.iter().map(|e| f64::from(e.output_tokens.unwrap_or(0))).sum::<f64>() / requests,
        hits,
    }
}

fn hit_rate_missed(hits: &Hits) -> Option<String> {
    let target = hits.target?;
    ((hits.drawn - target).abs() > HIT_RATE_TOLERANCE).then(|| {
        format!(
            "the drawn hit rate is {:.1} points from its target: there are too few requests for so many prefixes; use a longer --time-duration or a smaller --prefix-branching",
            100.0 * (hits.drawn - target).abs()
        )
    })
}

fn unusual_blocks(block_size: u32) -> Option<String> {
    (block_size != USUAL_BLOCK_SIZE)
        .then(|| format!("its blocks are of {block_size} tokens: `profile --block-size {block_size}` makes sure of it"))
}

fn out_of_reach(args: &SynthLoadArgs, OutOfReach { least, most }: OutOfReach) -> Error {
    let asked = args.hit_rate.unwrap_or(0.0);
    let remedy = if asked > most {
        "use a smaller --block-size (the last block of a prompt is its own), fewer prefixes, or longer prompts"
    } else {
        "use fewer --turns or a smaller --turn-isl: a later turn finds the whole prompt of the turn before it"
    };
    Error::Usage(format!(
        "--hit-rate {asked} is out of reach: these requests can have from {least:.4} to {most:.4}; {remedy}"
    ))
}

fn usage<T>(problem: String) -> Result<T> {
    Err(Error::Usage(problem))
}

fn gaps(args: &SynthLoadArgs) -> Result<UnitGaps> {
    if let Some(shape) = args.arrival_smoothness {
        flag("--arrival-smoothness", shape, 0.001..=1e6, "a shape")?;
    }
    match (args.arrival_pattern, args.arrival_smoothness) {
        (PatternArg::Constant, None) => Ok(UnitGaps::Constant),
        (PatternArg::Constant, Some(_)) => {
            usage("--arrival-smoothness is gamma's, and constant arrivals have none; leave one of the two out".into())
        }
        (PatternArg::Poisson, None) => Ok(UnitGaps::Exponential),
        (PatternArg::Gamma | PatternArg::Poisson, shape) => Ok(UnitGaps::Gamma { shape: shape.unwrap_or(1.0) }),
        (PatternArg::ConcurrencyBurst, _) => {
            usage("--arrival-pattern concurrency_burst has no times, and a trace needs them; use another one".into())
        }
    }
}

fn law(args: &SynthLoadArgs, name: &str, mean_tokens: f64, stddev_tokens: Option<f64>) -> Result<Law> {
    let most = f64::from(MAX_TOKENS);
    let stddev_tokens = stddev_tokens.unwrap_or(0.0);
    flag(name, mean_tokens, 1.0..=most, "a number of tokens")?;
    flag(&format!("{name}-stddev"), stddev_tokens, 0.0..=most, "a number of tokens")?;
    let form = match args.length_law {
        LengthLawArg::Normal => Form::Normal,
        LengthLawArg::Lognormal => Form::LogNormal,
    };
    Ok(Law { mean_tokens, stddev_tokens, form })
}

fn lengths(args: &SynthLoadArgs) -> Result<Lengths> {
    if let Some(path) = &args.lengths_from {
        let pairs = pairs(&trace::read(path, &ReadOptions::default())?);
        if pairs.is_empty() {
            let path = path.display();
            return usage(format!("--lengths-from {path}: no request of it has both lengths; use --isl and --osl"));
        }
        return Ok(Lengths::Pairs(pairs));
    }
    let Some(shapes) = &args.shapes else {
        return Ok(Lengths::Laws {
            input: law(args, "--isl", args.isl.unwrap_or(ISL_DEFAULT), args.isl_stddev)?,
            output: law(args, "--osl", args.osl.unwrap_or(OSL_DEFAULT), args.osl_stddev)?,
        });
    };
    let share = args.first_share.as_deref().unwrap_or("0.5");
    let share = rate::share("--first-share", share, args.time_duration)?;
    let (first, second) = two_shapes(shapes)?;
    Ok(Lengths::Mix { first, second, share: Box::new(move |t_s| share.value(t_s)) })
}

/// `3000/150,150/20`.
fn two_shapes(text: &str) -> Result<(Shape, Shape)> {
    let tokens = |text: &str| text.trim().parse::<u32>().ok().filter(|n| (1..=MAX_TOKENS).contains(n));
    let shape = |text: &str| {
        let (input, output) = text.split_once('/')?;
        Some(Shape { input_tokens: tokens(input)?, output_tokens: tokens(output)? })
    };
    let both = text.split_once(',').and_then(|(first, second)| Some((shape(first)?, shape(second)?)));
    both.ok_or_else(|| {
        Error::Usage(format!(
            "--shapes {text:?} is not two shapes; write prompt and answer tokens of both, from 1 to {MAX_TOKENS}: 3000/150,150/20"
        ))
    })
}

fn prefixes(args: &SynthLoadArgs) -> Result<Prefixes> {
    if let Some(share) = args.hit_rate {
        flag("--hit-rate", share, 0.0..=1.0, "a share of tokens")?;
    }
    let prefixes = Prefixes { depth: args.prefix_depth, branching: args.prefix_branching };
    let tokens = 1..=MAX_TOKENS;
    if !tokens.contains(&args.block_size) {
        return usage(format!(
            "--block-size {} cannot be; use a number of tokens from 1 to {MAX_TOKENS}",
            args.block_size
        ));
    }
    if prefixes.depth == 0 || prefixes.branching == 0 || prefixes.depth > 64 || prefixes.leaves() > MAX_LEAVES {
        return usage(format!(
            "--prefix-depth {} and --prefix-branching {} cannot be; use numbers from 1, of at most 64 levels and {MAX_LEAVES:e} prefixes (branching to the power of depth)",
            prefixes.depth, prefixes.branching
        ));
    }
    Ok(prefixes)
}

fn turns(args: &SynthLoadArgs) -> Result<Option<Turns>> {
    let mean = args.turns.unwrap_or(1.0);
    flag("--turns", mean, 1.0..=1000.0, "a mean number of turns")?;
    flag("--think-time", args.think_time, 0.0..=MAX_DURATION_S, "seconds")?;
    let random = args.session_law == SessionLawArg::Random;
    if !random && mean.fract() != 0.0 {
        return usage(format!(
            "--turns {mean} cannot be the same for all sessions; use a whole number, or --session-law random"
        ));
    }
    let input = args.turn_isl.map(|mean| law(args, "--turn-isl", mean, args.turn_isl_stddev)).transpose()?;
    Ok((mean > 1.0).then_some(Turns { mean, think_s: args.think_time, random, input }))
}

#[cfg(test)]
mod tests;
