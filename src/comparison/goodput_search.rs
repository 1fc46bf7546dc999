//! The attainment at single rates, measured on demand → the highest rate at which enough requests meet their targets.
//!
//! DistServe's goodput: the highest rate of arrivals at which at least a share of the requests meets every bound. The search doubles
//! (or halves) the rate until it is between one that keeps the share and one that does not, and then halves the way between
//! them. A rate is decided by the interval of its attainment alone: it keeps the share where the whole interval does, and fails where
//! none of it does. Where it is undecided the rate is measured again with twice the requests, up to a bound; a longer run and not another
//! one, because a queue that grows shows only with time. What stays undecided is the answer's own uncertainty.
//!
//! The interval is Wilson's (1927) with Student's t in place of the normal quantile and as many requests as the run is worth:
//! requests that follow each other share a queue, so consecutive ones are taken in blocks, and the variance of the blocks' means tells
//! by how much n independent ones would be fewer.

use super::student::two_sided;
use crate::error::Result;

/// Blocks of a run.
const BLOCKS: usize = 20;
/// Steps of doubling and halving together.
const PROBES_MAX: usize = 40;

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// Share of the requests that must meet their targets.
    pub attainment: f64,
    /// Where the search begins, in requests per second.
    pub start_rps: f64,
    /// The highest rate that is tried.
    pub rate_max_rps: f64,
    /// Requests of a first look at a rate.
    pub requests: u64,
    /// Most requests of a rate.
    pub requests_max: u64,
    /// How close the ends of the answer have to be: their distance over the upper one.
    pub precision: f64,
    /// Confidence of a rate's decision, all looks at it together.
    pub confidence: f64,
}

/// A share with its interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Attainment {
    /// Requests.
    pub requests: u64,
    /// Independent requests that they are worth.
    pub effective_requests: f64,
    /// The share that met every bound.
    pub share: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What the interval says of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Enough requests meet their targets.
    Keeps,
    /// Too few do.
    Fails,
    /// It cannot be told with as many requests as were allowed.
    Undecided,
}

/// One rate.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Probe {
    /// Requests per second.
    pub rate_rps: f64,
    /// The last and longest look at it.
    pub attainment: Attainment,
    /// What that says.
    pub decision: Decision,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The rates that were measured, lowest first: the attainment curve.
    pub curve: Vec<Probe>,
    /// The highest rate below all that fail whose share is at least the one asked for; null where there is none.
    pub rate_rps: Option<f64>,
    /// The highest rate that keeps the share, as do all below it that were tried; 0 where none does.
    pub low_rps: f64,
    /// The lowest rate that fails; null where none does.
    pub high_rps: Option<f64>,
    /// Whether both ends are as close as was asked for.
    pub is_resolved: bool,
}

/// Searches. `measure` runs a rate with so many requests, and tells of each that counts whether it met every bound, in the order in
/// which they came; `None` where it was interrupted, which ends the search.
///
/// # Errors
/// Those of `measure`.
pub fn search(question: &Question, measure: &mut dyn FnMut(f64, u64) -> Result<Option<Vec<bool>>>) -> Result<Found> {
    let mut curve: Vec<Probe> = Vec::new();
    while let Some(rate_rps) = next(question, &curve).filter(|_| curve.len() < PROBES_MAX) {
        let Some(probe) = probe(question, rate_rps, measure)? else { break };
        let at = curve.partition_point(|p| p.rate_rps < rate_rps);
        curve.insert(at, probe);
    }
    Ok(conclude(question, curve))
}

/// Looks at a rate until it is decided.
fn probe(
    question: &Question,
    rate_rps: f64,
    measure: &mut dyn FnMut(f64, u64) -> Result<Option<Vec<bool>>>,
) -> Result<Option<Probe>> {
    let mut requests = question.requests.clamp(1, question.requests_max);
    let looks = 1 + (question.requests_max as f64 / requests as f64).log2().ceil().max(0.0) as u32;
    // Looking several times makes an error more likely: each look gets its part of what is allowed (Bonferroni).
    let confidence = 1.0 - (1.0 - question.confidence) / f64::from(looks);
    loop {
        let Some(met) = measure(rate_rps, requests)? else { return Ok(None) };
        let attainment = attainment(&met, confidence);
        let decision = if attainment.low >= question.attainment {
            Decision::Keeps
        } else if attainment.high < question.attainment {
            Decision::Fails
        } else {
            Decision::Undecided
        };
        if decision != Decision::Undecided || requests >= question.requests_max {
            return Ok(Some(Probe { rate_rps, attainment, decision }));
        }
        requests = (requests * 2).min(question.requests_max);
    }
}

/// The rate to look at next; `None` where all is known that can be.
fn next(question: &Question, curve: &[Probe]) -> Option<f64> {
    let ends = Ends::of(curve);
    let Some((from, to)) = ends.undecided else {
        return match (ends.low, ends.high) {
            (0.0, None) => Some(question.start_rps.min(question.rate_max_rps)),
            (low, None) => (low < question.rate_max_rps).then(|| (2.0 * low).min(question.rate_max_rps)),
            // Twelve halvings below the start nothing is to be expected.
            (0.0, Some(high)) => (high > question.start_rps / 4096.0).then_some(high / 2.0),
            (low, Some(high)) => between(question, low, high),
        };
    };
    // What is undecided stays so; the ends on both sides come closer to it.
    let below = if ends.low > 0.0 {
        between(question, ends.low, from)
    } else {
        (from > question.start_rps / 4096.0).then_some(from / 2.0)
    };
    below.or_else(|| match ends.high {
        Some(high) => between(question, to, high),
        None => (to < question.rate_max_rps).then(|| (2.0 * to).min(question.rate_max_rps)),
    })
}

/// The middle of two rates that are not close enough.
fn between(question: &Question, low: f64, high: f64) -> Option<f64> {
    (high - low > question.precision * high).then(|| f64::midpoint(low, high))
}

/// Between which rates the answer lies.
struct Ends {
    low: f64,
    high: Option<f64>,
    /// The lowest and the highest rate between them.
    undecided: Option<(f64, f64)>,
}

impl Ends {
    fn of(curve: &[Probe]) -> Ends {
        let high = curve.iter().find(|p| p.decision == Decision::Fails).map(|p| p.rate_rps);
        let below: Vec<&Probe> = curve.iter().filter(|p| high.is_none_or(|high| p.rate_rps < high)).collect();
        // Attainment falls as the rate rises: a rate above an undecided one that seems to keep the share was looked at too briefly.
        let low = below.iter().take_while(|p| p.decision == Decision::Keeps).last().map_or(0.0, |p| p.rate_rps);
        let mut open = below.iter().filter(|p| p.rate_rps > low).map(|p| p.rate_rps);
        let first = open.next();
        Ends { low, high, undecided: first.map(|first| (first, open.next_back().unwrap_or(first))) }
    }
}

fn conclude(question: &Question, curve: Vec<Probe>) -> Found {
    let Ends { low, high, .. } = Ends::of(&curve);
    let is_resolved = high.is_some_and(|high| low > 0.0 && high - low <= question.precision * high);
    let enough = |p: &&Probe| p.attainment.share >= question.attainment && high.is_none_or(|high| p.rate_rps < high);
    let rate_rps = curve.iter().rev().find(enough).map(|p| p.rate_rps);
    Found { rate_rps, low_rps: low, high_rps: high, is_resolved, curve }
}

/// The share of `met`, which are in order, with an interval of that confidence. Of no request it is from 0 to 1.
pub fn attainment(met: &[bool], confidence: f64) -> Attainment {
    let n = met.len();
    if n == 0 {
        return Attainment { requests: 0, effective_requests: 0.0, share: 0.0, low: 0.0, high: 1.0 };
    }
    let share_of = |part: &[bool]| part.iter().filter(|good| **good).count() as f64 / part.len() as f64;
    let share = share_of(met);
    let blocks: Vec<f64> =
        (0..BLOCKS.min(n)).map(|b| share_of(&met[b * n / BLOCKS.min(n)..(b + 1) * n / BLOCKS.min(n)])).collect();
    let count = blocks.len() as f64;
    let mean = blocks.iter().sum::<f64>() / count;
    let variance = blocks.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (count - 1.0).max(1.0);
    let alone = share * (1.0 - share);
    // How many times as far as independent requests the blocks lie apart; never less, which would be chance.
    let inflation = if alone > 0.0 { (variance * (n as f64 / count) / alone).max(1.0) } else { 1.0 };
    let effective = n as f64 / inflation;
    let t = two_sided(confidence, (blocks.len() as u32).saturating_sub(1).max(1));
    let (center, spread) =
        (share + t * t / (2.0 * effective), t * (alone / effective + t * t / (4.0 * effective * effective)).sqrt());
    let scale = 1.0 + t * t / effective;
    let (low, high) = (((center - spread) / scale).max(0.0), ((center + spread) / scale).min(1.0));
    Attainment { requests: n as u64, effective_requests: effective, share, low, high }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Exp1};

    use super::*;
    use crate::rng::{Seed, Stream};

    const QUESTION: Question = Question {
        attainment: 0.5,
        start_rps: 1.0,
        rate_max_rps: 1e6,
        requests: 400,
        requests_max: 12_800,
        precision: 0.1,
        confidence: 0.95,
    };

    /// One server that takes a second for each request, Poisson arrivals: of each request, whether it found it idle. By PASTA that
    /// share is 1 − ρ, whatever the length of the run.
    fn found_idle(rate_rps: f64, requests: u64, seed: u64) -> Vec<bool> {
        let mut rng = Seed(seed).stream(Stream::Arrival);
        let (mut now, mut free) = (0.0, 0.0_f64);
        (0..requests + 50)
            .map(|_| {
                let gap: f64 = Exp1.sample(&mut rng);
                now += gap / rate_rps;
                let idle = free <= now;
                free = free.max(now) + 1.0;
                idle
            })
            .skip(50)
            .collect()
    }

    #[test]
    fn the_answer_covers_the_rate_at_which_a_single_server_is_idle_for_half_of_the_requests() {
        let mut covered = 0;
        for seed in 0..20 {
            let mut looks = 0;
            let found = search(&QUESTION, &mut |rate, requests| {
                looks += 1;
                Ok(Some(found_idle(rate, requests, seed * 1000 + looks)))
            })
            .unwrap();
            let high = found.high_rps.unwrap();
            covered += u32::from(found.low_rps <= 0.5 && 0.5 <= high);
            assert!(high - found.low_rps < 0.2, "{found:?}");
            let rate = found.rate_rps.unwrap();
            assert!(found.low_rps <= rate && rate <= high, "{found:?}");
            assert!(found.curve.is_sorted_by(|a, b| a.rate_rps < b.rate_rps));
        }
        assert!(covered >= 18, "{covered} of 20 intervals hold the rate");
    }

    #[test]
    fn what_follows_each_other_is_worth_less_than_what_is_independent() {
        let turns: Vec<bool> = (0..1000).map(|n| n % 2 == 0).collect();
        let runs: Vec<bool> = (0..1000).map(|n| n / 100 % 2 == 0).collect();
        let (independent, queued) = (attainment(&turns, 0.95), attainment(&runs, 0.95));
        assert_eq!((independent.share, independent.effective_requests), (0.5, 1000.0));
        assert!(queued.effective_requests < 30.0, "{queued:?}");
        assert!(queued.low < independent.low && queued.high > independent.high);
        // Wilson's interval of 1000 of 1000, with t of 19 degrees of freedom: n / (n + t²).
        let all = attainment(&[true; 1000], 0.95);
        assert!((all.low - 1000.0 / (1000.0 + 2.093_024_054_408_263_f64.powi(2))).abs() < 1e-9);
        assert!((all.high - 1.0).abs() < 1e-12, "{all:?}");
        assert_eq!((attainment(&[], 0.95).low, attainment(&[], 0.95).high), (0.0, 1.0));
        assert!(attainment(&[true], 0.95).low < 0.1);
    }

    #[test]
    fn a_clear_answer_takes_no_second_look_and_an_impossible_one_is_said() {
        let mut looks = Vec::new();
        let found = search(&QUESTION, &mut |rate, requests| {
            looks.push(requests);
            Ok(Some(vec![rate <= 37.0; requests as usize]))
        })
        .unwrap();
        assert!(looks.iter().all(|n| *n == 400), "{looks:?}");
        assert!(found.is_resolved && found.low_rps <= 37.0 && found.high_rps.unwrap() > 37.0, "{found:?}");
        assert_eq!(found.rate_rps, Some(found.low_rps));
        let never = search(&QUESTION, &mut |_, n| Ok(Some(vec![false; n as usize]))).unwrap();
        assert_eq!((never.rate_rps, never.low_rps, never.is_resolved), (None, 0.0, false));
        let capped = Question { rate_max_rps: 50.0, ..QUESTION };
        let always = search(&capped, &mut |_, n| Ok(Some(vec![true; n as usize]))).unwrap();
        assert_eq!((always.rate_rps, always.high_rps, always.is_resolved), (Some(50.0), None, false));
        let stopped = search(&QUESTION, &mut |_, _| Ok(None)).unwrap();
        assert_eq!((stopped.curve.len(), stopped.rate_rps), (0, None));
    }
}
