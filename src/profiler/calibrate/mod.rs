//! What was measured of one deployment → the few constants that the compact model cannot know, and how far it is off with them.
//!
//! In: [`Observation`]s, from profilers' tables and from runs. Out: a [`Calibration`], fitted on as few points as it has
//! constants; the [`Held`]-out rest says what it is worth.
//! - prefill: `TTFT = request + factor · pass(ISL)`, from two lengths;
//! - decode: `ITL = pass(batch, context) + step + sequence · batch`, from two batches of the shortest context, the smallest and the middle one;
//! - deployment: closed loop through one serial stage, from two numbers of clients: `X = min(C/(T0 + D), 1/s)`,
//!   `TTFT = max(T0, C·s − D)`, `D = (OSL − 1)·ITL` (the asymptotic bounds of a closed network: Denning and Buzen, The
//!   Operational Analysis of Queueing Network Models, 1978). On disaggregated deployments that stage is the hand-off. It is
//!   there only where more clients get hardly more.
//!
//! Without a profiler's tables, runs of one aggregated engine stand in for them: lone clients of different prompt lengths for
//! prefill, different numbers of clients with the same lengths for decode, against the mean field's ITL.
//!
//! [`observe`] reads the measurements, [`file`](mod@file) keeps the constants; [`Engine`] applies them.

pub mod file;
pub mod observe;

use serde::{Deserialize, Serialize};

use crate::profiler::capacity::{Engine, Workload};
use crate::profiler::mean_field;
use crate::profiler::results::tables::{DecodeTable, PrefillTable};

/// Length that the second prefill point is chosen nearest to: long enough for the slope, short of where attention decides.
const LONG_PROMPT_TOKENS: f64 = 20_000.0;

/// Lengths that are this close to each other are the same: means of runs differ a little.
const ALIKE: f64 = 1.02;
/// Clients are held up by a serial stage where the rate grows by less than this power of their number.
const PLATEAU: f64 = 0.3;
/// Where there is no level between, they are where they get less than this share of what they would get without a stage.
const SATURATED_BELOW: f64 = 0.5;

/// Something that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observation {
    /// TTFT of a prompt alone, at the engine.
    Prefill {
        /// Tokens of prompt.
        isl: f64,
        /// Measured, ms.
        ttft_ms: f64,
    },
    /// A decode step, at the engine.
    Decode {
        /// Sequences.
        batch: f64,
        /// Tokens of context of each.
        context: f64,
        /// Measured, ms.
        itl_ms: f64,
    },
    /// A closed loop, at the client.
    Clients {
        /// Clients.
        clients: u32,
        /// Tokens of prompt.
        isl: f64,
        /// Tokens of answer.
        osl: f64,
        /// Mean TTFT, ms.
        ttft_ms: f64,
        /// Mean ITL, ms.
        itl_ms: f64,
        /// Requests per second.
        requests_per_s: f64,
    },
}

impl Observation {
    /// The points of a prefill table.
    pub fn of_prefill(table: &PrefillTable) -> impl Iterator<Item = Observation> + '_ {
        table.isl.iter().zip(&table.ttft_ms).map(|(&isl, &ttft_ms)| Observation::Prefill { isl, ttft_ms })
    }

    /// The points of a decode table.
    pub fn of_decode(table: &DecodeTable) -> impl Iterator<Item = Observation> + '_ {
        table.itl_ms.iter().enumerate().map(|(i, &itl_ms)| Observation::Decode {
            batch: table.batch(i),
            context: table.context_tokens[i],
            itl_ms,
        })
    }
}

/// Host costs of prefill.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefillCosts {
    /// Once a request, ms.
    pub request_ms: f64,
    /// Multiplies the forward pass.
    pub factor: f64,
}

/// Host costs of decode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeCosts {
    /// Once a step, ms.
    pub step_ms: f64,
    /// For each sequence in it, ms.
    pub sequence_ms: f64,
}

/// A deployment with one serial stage, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialStage {
    /// TTFT of a lone client, ms: `T0`.
    pub idle_ttft_ms: f64,
    /// Time of a request in the stage, ms: `s`.
    pub serial_ms: f64,
    /// ITL under load, ms.
    pub itl_ms: f64,
    /// Tokens of prompt it was measured with.
    pub isl: f64,
    /// Tokens of answer it was measured with.
    pub osl: f64,
}

impl SerialStage {
    /// Mean TTFT, ms, and requests per second of so many clients.
    pub fn at(&self, clients: u32) -> (f64, f64) {
        let clients = f64::from(clients);
        let answer_ms = (self.osl - 1.0).max(0.0) * self.itl_ms;
        let ttft_ms = self.idle_ttft_ms.max(clients * self.serial_ms - answer_ms);
        (ttft_ms, 1e3 * (clients / (self.idle_ttft_ms + answer_ms)).min(1.0 / self.serial_ms))
    }
}

/// What was fitted. Each part is there where there were two points for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Of prefill.
    pub prefill: Option<PrefillCosts>,
    /// Of decode.
    pub decode: Option<DecodeCosts>,
    /// Of the deployment around the engines.
    pub deployment: Option<SerialStage>,
}

/// How far the calibrated model is off on points that it was not fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Points.
    pub points: usize,
    /// Mean absolute relative error with the constants, %.
    pub error_pct: f64,
    /// The same without them, %; `None` where nothing is predicted without.
    pub uncalibrated_pct: Option<f64>,
}

/// Held-out errors of each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// TTFT at the engine.
    pub prefill: Option<Held>,
    /// ITL at the engine.
    pub decode: Option<Held>,
    /// Mean TTFT at the client.
    pub deployment_ttft: Option<Held>,
    /// Requests per second at the client.
    pub deployment_rate: Option<Held>,
}

/// Fits what there is data for. `prefill` and `decode` are the engines that were measured, uncalibrated.
pub fn fit(observations: &[Observation], prefill: &Engine, decode: &Engine) -> (Calibration, HeldOut) {
    let mut calibration = Calibration::default();
    let mut held = HeldOut::default();
    if let Some((stage, ttft, rate)) = fit_deployment(observations) {
        calibration.deployment = Some(stage);
        held.deployment_ttft = ttft;
        held.deployment_rate = rate;
    }
    // What clients saw behind a serial stage tells of that stage and not of the engine.
    let of_runs = calibration.deployment.is_none();
    if let Some((costs, error)) = fit_prefill(prefill_points(observations, prefill, of_runs)) {
        calibration.prefill = Some(costs);
        held.prefill = error;
    }
    let engine = decode.calibrated(&Calibration { prefill: calibration.prefill, ..Calibration::default() });
    if let Some((costs, error)) = fit_decode(&decode_points(observations, &engine, of_runs)) {
        calibration.decode = Some(costs);
        held.decode = error;
    }
    (calibration, held)
}

/// A prompt alone: its length, the pass as predicted, and as measured, ms.
type PrefillPoint = (f64, f64, f64);

/// Those of the tables; without any, those of lone clients where `of_runs`. Shortest first.
fn prefill_points(observations: &[Observation], engine: &Engine, of_runs: bool) -> Vec<PrefillPoint> {
    let point = |isl: f64, ttft_ms| (isl, engine.prefill_ms(1, isl.round() as u32), ttft_ms);
    let table = observations.iter().filter_map(|o| match *o {
        Observation::Prefill { isl, ttft_ms } if isl >= 1.0 => Some(point(isl, ttft_ms)),
        _ => None,
    });
    let mut points: Vec<PrefillPoint> = table.collect();
    if points.is_empty() && of_runs {
        let runs = observations.iter().filter_map(|o| match *o {
            Observation::Clients { clients: 1, isl, ttft_ms, .. } if isl >= 1.0 => Some(point(isl, ttft_ms)),
            _ => None,
        });
        points.extend(runs);
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn fit_prefill(points: Vec<PrefillPoint>) -> Option<(PrefillCosts, Option<Held>)> {
    let short = *points.first()?;
    let far = |p: &&PrefillPoint| (p.0 - LONG_PROMPT_TOKENS).abs();
    let longer = points[1..].iter().filter(|p| p.1 > short.1);
    let long = *longer.min_by(|a, b| far(a).total_cmp(&far(b)))?;
    let factor = (long.2 - short.2) / (long.1 - short.1);
    let costs = PrefillCosts { request_ms: short.2 - factor * short.1, factor };
    let rest = points.into_iter().filter(|p| *p != short && *p != long);
    Some((costs, held(rest.map(|p| (costs.request_ms + factor * p.1, Some(p.1), p.2)))))
}

/// A batch: sequences, prompt length or context that it shares with others, ITL as predicted, and as measured, ms.
type DecodePoint = (f64, f64, f64, f64);

/// Those of the tables; without any, those of runs where `of_runs`.
fn decode_points(observations: &[Observation], engine: &Engine, of_runs: bool) -> Vec<DecodePoint> {
    let table = observations.iter().filter_map(|o| match *o {
        Observation::Decode { batch, context, itl_ms } if batch >= 1.0 => {
            Some((batch, context, engine.decode_ms(batch.round() as u32, context.round() as u32), itl_ms))
        }
        _ => None,
    });
    let mut points: Vec<DecodePoint> = table.collect();
    if points.is_empty() && of_runs {
        points.extend(observations.iter().filter_map(|o| match *o {
            Observation::Clients { clients, isl, osl, itl_ms, .. } if isl >= 1.0 && osl >= 2.0 => {
                let workload = Workload { isl_tokens: isl.round() as u32, osl_tokens: osl.round() as u32 };
                Some((clients.into(), isl, mean_field::steady(engine, workload, clients).itl_ms, itl_ms))
            }
            _ => None,
        }));
    }
    points
}

fn fit_decode(points: &[DecodePoint]) -> Option<(DecodeCosts, Option<Held>)> {
    let shortest = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let mut of_shortest: Vec<&DecodePoint> = points.iter().filter(|p| p.1 <= shortest * ALIKE).collect();
    of_shortest.sort_by(|a, b| a.0.total_cmp(&b.0));
    let few = **of_shortest.first()?;
    // Host time grows a little faster than the batch: a line through the middle is nearer to both ends than one through
    // the last.
    let many = **of_shortest.get(of_shortest.len() / 2).filter(|p| p.0 > few.0)?;
    let sequence_ms = ((many.3 - many.2) - (few.3 - few.2)) / (many.0 - few.0);
    let costs = DecodeCosts { step_ms: few.3 - few.2 - sequence_ms * few.0, sequence_ms };
    let rest = points.iter().filter(|p| **p != few && **p != many);
    Some((costs, held(rest.map(|p| (p.2 + costs.step_ms + sequence_ms * p.0, Some(p.2), p.3)))))
}

fn fit_deployment(observations: &[Observation]) -> Option<(SerialStage, Option<Held>, Option<Held>)> {
    let mut levels: Vec<_> = observations
        .iter()
        .filter_map(|o| match *o {
            Observation::Clients { clients, isl, osl, ttft_ms, itl_ms, requests_per_s } if requests_per_s > 0.0 => {
                Some((clients, (isl, osl), (ttft_ms, itl_ms, requests_per_s)))
            }
            _ => None,
        })
        .collect();
    levels.sort_by_key(|l| l.0);
    let busy = *levels.last()?;
    let ((isl, osl), (_, itl_ms, rate)) = (busy.1, busy.2);
    let near = |a: f64, b: f64| (a / b).max(b / a) <= ALIKE;
    levels.retain(|l| near(l.1.0, isl) && near(l.1.1, osl));
    let idle = *levels.first().filter(|l| l.0 < busy.0)?;
    // Whether more clients get more: by the level before, or, where there is none, by what there would be without a stage.
    let before = levels.iter().rev().find(|l| l.0 < busy.0 && l.0 > idle.0);
    let held_up = match before {
        Some(b) => (rate / b.2.2).ln() < PLATEAU * (f64::from(busy.0) / f64::from(b.0)).ln(),
        None => {
            let answer_ms = (osl - 1.0).max(0.0) * itl_ms;
            rate < SATURATED_BELOW * f64::from(busy.0) * 1e3 / (idle.2.0 + answer_ms)
        }
    };
    if !held_up {
        return None;
    }
    let stage = SerialStage { idle_ttft_ms: idle.2.0, serial_ms: 1e3 / rate, itl_ms, isl, osl };
    let rest = || levels.iter().filter(|l| **l != idle && **l != busy);
    let ttft = held(rest().map(|l| (stage.at(l.0).0, None, l.2.0)));
    let rate = held(rest().map(|l| (stage.at(l.0).1, None, l.2.2)));
    Some((stage, ttft, rate))
}

/// Predicted with the constants, without them, and measured.
type Point = (f64, Option<f64>, f64);

/// Mean absolute relative errors.
fn held(points: impl Iterator<Item = Point>) -> Option<Held> {
    let points: Vec<_> = points.filter(|p| p.2 > 0.0).collect();
    let mean_pct = |of: &dyn Fn(&Point) -> f64| {
        points.iter().map(|p| (of(p) / p.2 - 1.0).abs()).sum::<f64>() / points.len() as f64 * 100.0
    };
    let without = points.iter().all(|p| p.1.is_some());
    (!points.is_empty()).then(|| Held {
        points: points.len(),
        error_pct: mean_pct(&|p| p.0),
        uncalibrated_pct: without.then(|| mean_pct(&|p| p.1.unwrap_or(0.0))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::backend::Backend;
    use crate::profiler::results::folder::ProfilerRun;
    use crate::profiler::{gpu, model};

    fn engine(backend: Backend) -> Engine {
        Engine::new(model::lookup("Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap(), backend, 1).unwrap()
    }

    #[test]
    fn constants_that_made_the_data_are_found_again_and_nothing_is_left_over() {
        let e = engine(Backend::Vllm);
        let mut observations: Vec<Observation> = [100, 1000, 5000, 21_000, 40_000]
            .map(|isl| Observation::Prefill { isl: isl.into(), ttft_ms: 25.0 + 1.1 * e.prefill_ms(1, isl) })
            .into();
        for (batch, context) in [(1, 350), (40, 350), (426, 350), (7, 7000)] {
            let itl_ms = e.decode_ms(batch, context) + 4.0 + 0.045 * f64::from(batch);
            observations.push(Observation::Decode { batch: batch.into(), context: context.into(), itl_ms });
        }
        let (c, held) = fit(&observations, &e, &e);
        let (p, d) = (c.prefill.unwrap(), c.decode.unwrap());
        assert!((p.request_ms - 25.0).abs() < 1e-6 && (p.factor - 1.1).abs() < 1e-9, "{p:?}");
        assert!((d.step_ms - 4.0).abs() < 1e-6 && (d.sequence_ms - 0.045).abs() < 1e-9, "{d:?}");
        let (p, d) = (held.prefill.unwrap(), held.decode.unwrap());
        assert_eq!((p.points, d.points, c.deployment), (3, 2, None));
        assert!(p.error_pct < 1e-6 && p.uncalibrated_pct.unwrap() > 5.0 && d.error_pct < 1e-6, "{held:?}");
    }

    #[test]
    fn one_point_is_no_fit() {
        let e = engine(Backend::Vllm);
        let one = [
            Observation::Prefill { isl: 100.0, ttft_ms: 9.0 },
            Observation::Decode { batch: 1.0, context: 350.0, itl_ms: 9.0 },
        ];
        assert_eq!(fit(&one, &e, &e), (Calibration::default(), HeldOut::default()));
    }

    #[test]
    fn a_loop_through_one_stage_is_idle_then_saturated() {
        let stage = SerialStage { idle_ttft_ms: 1000.0, serial_ms: 1250.0, itl_ms: 10.0, isl: 2048.0, osl: 101.0 };
        assert_eq!(stage.at(1), (1000.0, 0.5));
        let (ttft_ms, rate) = stage.at(8);
        assert_eq!((ttft_ms, rate), (9000.0, 0.8));
        assert!((rate * (ttft_ms + 1000.0) / 1e3 - 8.0).abs() < 1e-9, "Little's law");
    }

    #[test]
    fn published_tables_are_met_within_3_and_4_percent_where_they_were_held_out() {
        let Some(path) = crate::published::shared("data/h200/online_all_vllm") else { return };
        let run = ProfilerRun::read(&path).unwrap().unwrap();
        let (prefill, decode) = (run.prefill.unwrap(), run.decode.unwrap());
        let mut observations = Vec::new();
        observations.extend(Observation::of_prefill(&prefill));
        observations.extend(Observation::of_decode(&decode));
        let e = engine(Backend::Vllm);
        let (_, held) = fit(&observations, &e, &e);
        let (p, d) = (held.prefill.unwrap(), held.decode.unwrap());
        assert_eq!((p.points, d.points), (12, 7));
        assert!(p.error_pct <= 3.0 && p.uncalibrated_pct.unwrap() > 5.0, "{p:?}");
        assert!(d.error_pct <= 4.0 && d.uncalibrated_pct.unwrap() > 10.0, "{d:?}");
    }
}
