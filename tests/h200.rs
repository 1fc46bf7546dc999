//! The simulated engine against a measured deployment: Dynamo's published runs of Qwen3-32B on H200, prefill TP1, decode TP2,
//! TensorRT-LLM, in closed loops of 1, 4, 7 and 8 clients of 2048 tokens in and 256 out.
//!
//! The runs are not in the repository; without them this test skips and says so. Two constants are taken from them: the link's
//! bandwidth from the idle run's second token, the host's time per step from the ITL of 4 clients. All else is computed. The
//! bounds are what was reached, with a little room; docs/simulation.md has the table. A second test fits the bandwidth to all four
//! levels instead, for each way in which the first token may get out.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

use loadline::forecast::drive::{Load, Served, drive};
use loadline::profiler::backend::Backend;
use loadline::profiler::calibrate::{Calibration, PrefillCosts};
use loadline::profiler::cost::{CostModel, StepLoad};
use loadline::profiler::{gpu, memory, model};
use loadline::sim::config::{Disaggregation, ServeConfig};
use loadline::sim::deployment::Job;
use loadline::sim::disaggregated::FirstToken;

#[path = "support/shared.rs"]
mod shared;

const MODEL: &str = "Qwen/Qwen3-32B";
const ISL: u32 = 2048;
const OSL: u32 = 256;
const REQUESTS: u32 = 100;
/// The host's time per step: what the runs' ITL is above that of the kernels.
const STEP_OVERHEAD_S: f64 = 1.5e-3;
/// A step of one sequence in the idle run without the hand-off: `(14.32 ms x 255 - 678 ms) / 254`.
const IDLE_STEP_S: f64 = 11.7e-3;
/// What the engine's prefill of one prompt was measured to take, without link and load.
const PREFILL_S: f64 = 0.2316;
/// The goals: rate and TTFT within a tenth, ITL within 8 %.
const GOALS: Level = Level { requests_per_s: 0.10, ttft_ms: 0.10, itl_ms: 0.08 };
const LEVELS: [(&str, u32); 4] = [("idle", 1), ("medium", 4), ("saturation", 7), ("overload", 8)];

/// A level of load, by the artifact's definitions: means over requests, ITL = (latency - TTFT) / (tokens - 1).
#[derive(Clone, Copy, Debug)]
struct Level {
    requests_per_s: f64,
    ttft_ms: f64,
    itl_ms: f64,
}

/// A published run's means, by metric.
struct Run(serde_json::Value);

impl Run {
    fn read(name: &str) -> Option<Run> {
        let path = shared::shared(&format!("data/h200/aic_all/validation/{name}/profile_export_aiperf.json"))?;
        let run = Run(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
        let shape = ["request_count", "input_sequence_length", "output_sequence_length"].map(|m| run.mean(m));
        assert_eq!(shape, [f64::from(REQUESTS), f64::from(ISL), f64::from(OSL)]);
        Some(run)
    }

    fn mean(&self, metric: &str) -> f64 {
        self.0[metric]["avg"].as_f64().unwrap()
    }

    fn level(&self) -> Level {
        Level {
            requests_per_s: self.mean("request_throughput"),
            ttft_ms: self.mean("time_to_first_token"),
            itl_ms: self.mean("inter_token_latency"),
        }
    }
}

impl Level {
    /// Everything that is not the link's is as it is for a lone engine: where `measured_prefill`, what a prompt takes as well.
    fn simulated(clients: u32, bytes_per_s: f64, first_token: FirstToken, measured_prefill: bool) -> Level {
        let disaggregation = Disaggregation {
            prefill_replicas: 1,
            prefill_tp: 1,
            handoff_bytes_per_s: bytes_per_s,
            handoff_setup_s: 0.0,
            first_token,
        };
        let config = ServeConfig {
            model: MODEL.into(),
            backend: Backend::TrtLlm,
            tp: 2,
            disaggregation: Some(disaggregation),
            step_overhead_s: STEP_OVERHEAD_S,
            calibration: measured_prefill.then(|| Box::new(prefill_as_measured())),
            ..ServeConfig::default()
        };
        let jobs = vec![Job::new(ISL, OSL); REQUESTS as usize];
        let served = drive(&mut *config.engine().unwrap(), Load::Closed { clients, jobs });
        let mean = |of: &dyn Fn(&Served) -> i64| served.iter().map(of).sum::<i64>() as f64 / 1e6 / served.len() as f64;
        let ttft_ms = mean(&|s| s.first_ns.unwrap() - s.arrival_ns);
        let generation_ms = mean(&|s| s.last_ns.unwrap() - s.first_ns.unwrap());
        let end_ns = served.iter().map(|s| s.last_ns.unwrap()).max().unwrap();
        Level {
            requests_per_s: served.len() as f64 / (end_ns as f64 / 1e9),
            ttft_ms,
            itl_ms: generation_ms / f64::from(OSL - 1),
        }
    }
}

/// The time of a request that the model's prefill lacks of the measured one.
fn prefill_as_measured() -> Calibration {
    let (shape, gpu) = (model::lookup(MODEL).unwrap(), gpu::lookup("h200_sxm").unwrap());
    let model_s = CostModel::new(shape, gpu, Backend::TrtLlm, 1).unwrap().step_s(&StepLoad::prefill(1, ISL));
    let request_ms = 1e3 * (PREFILL_S - model_s - STEP_OVERHEAD_S);
    Calibration { prefill: Some(PrefillCosts { request_ms, factor: 1.0 }), ..Calibration::default() }
}

/// Simulated over measured, less 1.
fn error(simulated: Level, measured: Level) -> Level {
    Level {
        requests_per_s: simulated.requests_per_s / measured.requests_per_s - 1.0,
        ttft_ms: simulated.ttft_ms / measured.ttft_ms - 1.0,
        itl_ms: simulated.itl_ms / measured.itl_ms - 1.0,
    }
}

/// The idle run's second token came when the other GPU's half of the cache did, and a step later.
fn link_bytes_per_s(idle: &Run) -> f64 {
    let bytes = f64::from(ISL) * memory::kv_bytes_per_token(model::lookup(MODEL).unwrap(), 1);
    bytes / 2.0 / (idle.mean("time_to_second_token") / 1e3 - IDLE_STEP_S)
}

/// Errors of a way in which the first token gets out, by level.
fn errors(bytes_per_s: f64, first_token: FirstToken, measured_prefill: bool) -> [Level; 4] {
    LEVELS.map(|(name, clients)| {
        let measured = Run::read(name).unwrap().level();
        let simulated = Level::simulated(clients, bytes_per_s, first_token, measured_prefill);
        let off = error(simulated, measured);
        let line = |l: Level| format!("{:.3} | {:.0} | {:.2}", l.requests_per_s, l.ttft_ms, l.itl_ms);
        let percent = [off.requests_per_s, off.ttft_ms, off.itl_ms].map(|e| format!("{:+.1} %", 1e2 * e)).join(" | ");
        eprintln!("| {} | {clients} | {} | {} | {percent} |", first_token.as_str(), line(measured), line(simulated));
        off
    })
}

#[test]
fn a_measured_disaggregated_deployment_is_as_the_simulated_one() {
    let Some(idle) = Run::read(LEVELS[0].0) else { return };
    let bytes_per_s = link_bytes_per_s(&idle);
    eprintln!("link: {:.4} GB/s", bytes_per_s / 1e9);
    assert!((0.385e9..0.41e9).contains(&bytes_per_s), "{bytes_per_s}");
    let [idle, loaded @ ..] = errors(bytes_per_s, FirstToken::FirstShare, false);
    for off in loaded {
        assert!(off.requests_per_s.abs() < 0.03 && off.ttft_ms.abs() < 0.04 && off.itl_ms.abs() < 0.03, "{off:?}");
    }
    // The idle TTFT is 0.27 s more than prefill and link: that goal of 10 % is missed.
    assert!(idle.requests_per_s.abs() < 0.03 && idle.itl_ms.abs() < 0.06, "{idle:?}");
    assert!((-0.25..-0.2).contains(&idle.ttft_ms), "{idle:?}");
    // The two simpler explanations of the first token are further off.
    let [idle_after, ..] = errors(bytes_per_s, FirstToken::After, false);
    assert!(idle_after.ttft_ms > 0.3 && idle_after.itl_ms < -0.12, "{idle_after:?}");
    let before = errors(bytes_per_s, FirstToken::Before, false);
    assert!(before.iter().all(|off| off.ttft_ms < -0.8 && off.itl_ms > 0.2), "{before:?}");
}

/// How far a level is from the measured one in units of the goals, at its worst.
fn worst(off: &Level) -> f64 {
    let ratios = [off.requests_per_s / GOALS.requests_per_s, off.ttft_ms / GOALS.ttft_ms, off.itl_ms / GOALS.itl_ms];
    ratios.into_iter().map(f64::abs).fold(0.0, f64::max)
}

#[test]
fn no_bandwidth_alone_explains_all_levels_and_the_first_share_comes_nearest() {
    if Run::read(LEVELS[0].0).is_none() {
        return;
    }
    let measured = LEVELS.map(|(name, _)| Run::read(name).unwrap().level());
    let fitted = [FirstToken::FirstShare, FirstToken::After, FirstToken::Before].map(|first_token| {
        let at = |hundredths: u32| {
            let bytes_per_s = f64::from(hundredths) * 1e7;
            let of = |i: usize| error(Level::simulated(LEVELS[i].1, bytes_per_s, first_token, true), measured[i]);
            let off = [0, 1, 2, 3].map(of);
            (off.iter().map(|o| o.ttft_ms.powi(2) + o.requests_per_s.powi(2)).sum::<f64>(), hundredths, off)
        };
        let (_, hundredths, off) = (32..=52).map(at).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        eprintln!("{}: {:.2} GB/s", first_token.as_str(), f64::from(hundredths) / 1e2);
        for ((_, clients), o) in LEVELS.iter().zip(&off) {
            let percent = [o.requests_per_s, o.ttft_ms, o.itl_ms].map(|e| format!("{:+.1} %", 1e2 * e)).join(" | ");
            eprintln!("| {clients} | {percent} | {:.1} |", worst(o));
        }
        off.iter().map(worst).fold(0.0, f64::max)
    });
    // Each goal is missed somewhere, by everyone.
    assert!(fitted.iter().all(|w| *w > 1.0), "{fitted:?}");
    assert!(fitted[0] < fitted[1] && fitted[1] < fitted[2] && fitted[0] < 2.5, "{fitted:?}");
}
