//! The simulated engine against a measured deployment: Dynamo's published runs of Qwen3-32B on H200, prefill TP1, decode TP2,
//! TensorRT-LLM, in closed loops of 1, 4, 7 and 8 clients of 2048 tokens in and 256 out.
//!
//! The runs are not in the repository; without them this test skips and says so. Two constants are taken from them: the link's
//! bandwidth from the idle run's second token, the host's time per step from the ITL of 4 clients. All else is computed. The
//! bounds are what was reached, with a little room; docs/simulation.md has the table.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

use loadline::forecast::drive::{Load, Served, drive};
use loadline::profiler::backend::Backend;
use loadline::profiler::{memory, model};
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
    fn simulated(clients: u32, bytes_per_s: f64, first_token: FirstToken) -> Level {
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
fn errors(bytes_per_s: f64, first_token: FirstToken) -> [Level; 4] {
    LEVELS.map(|(name, clients)| {
        let measured = Run::read(name).unwrap().level();
        let simulated = Level::simulated(clients, bytes_per_s, first_token);
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
    let [idle, loaded @ ..] = errors(bytes_per_s, FirstToken::FirstShare);
    for off in loaded {
        assert!(off.requests_per_s.abs() < 0.03 && off.ttft_ms.abs() < 0.04 && off.itl_ms.abs() < 0.03, "{off:?}");
    }
    // The idle TTFT is 0.27 s more than prefill and link: that goal of 10 % is missed.
    assert!(idle.requests_per_s.abs() < 0.03 && idle.itl_ms.abs() < 0.06, "{idle:?}");
    assert!((-0.25..-0.2).contains(&idle.ttft_ms), "{idle:?}");
    // The two simpler explanations of the first token are further off.
    let [idle_after, ..] = errors(bytes_per_s, FirstToken::After);
    assert!(idle_after.ttft_ms > 0.3 && idle_after.itl_ms < -0.12, "{idle_after:?}");
    let before = errors(bytes_per_s, FirstToken::Before);
    assert!(before.iter().all(|off| off.ttft_ms < -0.8 && off.itl_ms > 0.2), "{before:?}");
}
