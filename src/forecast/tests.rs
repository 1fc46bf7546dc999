//! Forecasts against what is known of their limits: the static engine at idle, the mean field at load, Little's law.

use super::under_load::Offered;
use super::*;
use crate::profiler::backend::Backend;
use crate::profiler::calibrate::{self, Calibration, DecodeCosts, Observation, PrefillCosts};
use crate::profiler::capacity::Workload;
use crate::profiler::disaggregate::Handoff;
use crate::profiler::{gpu, model};
use crate::trace::{Entry, Trace};

fn spec() -> Spec {
    Spec {
        model: model::lookup("Qwen3-32B").unwrap(),
        gpu: gpu::lookup("h200_sxm").unwrap(),
        backend: Backend::Vllm,
        tps: vec![1, 2],
        workload: Workload { isl_tokens: 2048, osl_tokens: 32 },
        sla: Sla { ttft_ms: 500.0, itl_ms: 50.0 },
        max_gpus: 2,
        handoff: Handoff::default(),
        calibration: Calibration::default(),
    }
}

fn question(spec: &Spec) -> Question<'_> {
    Question { spec, attainment: 0.9, seed: Seed(7), trace: None }
}

#[test]
fn a_lone_client_gets_the_static_engine() {
    let spec = spec();
    let sweep = spec.sweep().unwrap();
    let point = sweep.feasible.iter().find(|p| matches!(p.topology, Topology::Aggregated { tp: 2, .. })).unwrap();
    let forecast = question(&spec).forecast(point).unwrap();
    let (idle, alone) = (&forecast.closed_loop[0], &sweep.capacities[1].alone);
    assert_eq!(idle.offered, Offered::Clients(1));
    assert!((idle.ttft_ms.mean / alone.ttft_ms - 1.0).abs() < 1e-3, "{idle:?} {alone:?}");
    assert!((idle.itl_ms.mean / alone.itl_ms - 1.0).abs() < 0.01, "{idle:?} {alone:?}");
    assert_eq!(idle.attainment, 1.0);
}

#[test]
fn load_makes_slower_attainment_falls_and_the_capacity_lies_between() {
    let spec = spec();
    let sweep = spec.sweep().unwrap();
    for point in sweep.feasible.iter().take(2) {
        let f = question(&spec).forecast(point).unwrap();
        let ttft: Vec<f64> = f.open_loop.iter().map(|l| l.ttft_ms.p99).collect();
        assert!(ttft[0] < ttft[3] && ttft[3] < ttft[5], "{}: {ttft:?}", point.topology);
        assert_eq!(f.open_loop[0].attainment, 1.0, "{}", point.topology);
        assert!(f.open_loop[5].attainment < 0.9, "{}: {:?}", point.topology, f.open_loop[5]);
        let share = f.capacity_rps / point.requests_per_s;
        assert!((0.3..1.1).contains(&share), "{}: {share}", point.topology);
        assert_eq!(f, question(&spec).forecast(point).unwrap(), "a seed is a forecast");
    }
}

#[test]
fn the_closed_loop_obeys_littles_law_and_the_mean_field_is_near_it() {
    let spec = spec();
    let sweep = spec.sweep().unwrap();
    let point = sweep.feasible.iter().find(|p| matches!(p.topology, Topology::Aggregated { tp: 1, .. })).unwrap();
    let f = question(&spec).forecast(point).unwrap();
    for level in &f.closed_loop[1..3] {
        let Offered::Clients(clients) = level.offered else { panic!() };
        let seconds = (level.ttft_ms.mean + 31.0 * level.itl_ms.mean) / 1e3;
        let in_flight = level.requests_per_s * seconds;
        assert!((in_flight / f64::from(clients) - 1.0).abs() < 0.1, "{clients}: {in_flight}");
    }
    let saturated = f.closed_loop[2].requests_per_s / point.requests_per_s;
    assert!((0.8..1.15).contains(&saturated), "{saturated}");
}

#[test]
fn a_trace_is_served_at_its_times_and_finds_its_prefixes_again() {
    let spec = spec();
    let entry = |n: u32, blocks_start: u32| Entry {
        arrival_ns: (n < 9).then_some(i64::from(n) * 1_000_000_000),
        input_tokens: 2048,
        output_tokens: Some(8),
        blocks_start,
        blocks_len: 4,
        ..Entry::default()
    };
    let trace = |shared: bool| Trace {
        entries: (0..10).map(|n| entry(n, if shared { 0 } else { 4 * n })).collect(),
        block_ids: (0..40).collect(),
        unique_blocks: 40,
        block_size: 512,
        ..Trace::default()
    };
    let point = spec.sweep().unwrap().feasible[0];
    let play = |shared| {
        let requests = Requests::of(&trace(shared), spec.workload);
        assert_eq!((requests.arrivals.len(), requests.untimed), (9, 1));
        Question { trace: Some(&requests), ..question(&spec) }.forecast(&point).unwrap().trace.unwrap()
    };
    let (fresh, cached) = (play(false), play(true));
    assert_eq!((fresh.requests, fresh.offered), (9, Offered::TraceRps(9.0 / 8.0)));
    assert!(cached.ttft_ms.p50 < fresh.ttft_ms.p50 * 0.5, "{cached:?} {fresh:?}");
}

#[test]
fn a_calibration_by_two_lengths_and_two_numbers_of_clients_predicts_the_runs_between() {
    let truth = Calibration {
        prefill: Some(PrefillCosts { request_ms: 25.0, factor: 1.15 }),
        decode: Some(DecodeCosts { step_ms: 4.0, sequence_ms: 0.05 }),
        deployment: None,
    };
    let kernels = Spec { tps: vec![2], ..spec() };
    let deployed = Spec { calibration: truth, ..kernels.clone() };
    let run = |isl_tokens: u32, clients: u32| {
        let sla = Sla { ttft_ms: 60_000.0, itl_ms: 1_000.0 };
        let spec = Spec { workload: Workload { isl_tokens, osl_tokens: 64 }, sla, ..deployed.clone() };
        let mut point = spec.sweep().unwrap().feasible[0];
        point.topology = Topology::Aggregated { tp: 2, replicas: 1 };
        point.batch = 256;
        let level = question(&spec).closed(&point, clients, spec.sla).unwrap();
        Observation::Clients {
            clients,
            isl: isl_tokens.into(),
            osl: 64.0,
            ttft_ms: level.ttft_ms.mean,
            itl_ms: level.itl_ms.mean,
            requests_per_s: level.requests_per_s,
        }
    };
    let observations = [run(512, 1), run(16_384, 1), run(4_096, 1), run(512, 4), run(512, 8), run(512, 16)];
    let sweep = kernels.sweep().unwrap();
    let engine = sweep.capacities[0].engine();
    let (fitted, held) = calibrate::fit(&observations, engine, engine);
    let prefill = fitted.prefill.unwrap();
    assert!(
        (prefill.request_ms / 25.0 - 1.0).abs() < 0.05 && (prefill.factor / 1.15 - 1.0).abs() < 0.02,
        "{prefill:?}"
    );
    assert_eq!(fitted.deployment, None, "no stage holds anybody up");
    let (prefill, decode) = (held.prefill.unwrap(), held.decode.unwrap());
    assert!(prefill.points == 1 && prefill.error_pct < 3.0 && prefill.uncalibrated_pct.unwrap() > 10.0, "{prefill:?}");
    assert!(decode.error_pct < 10.0 && decode.error_pct < decode.uncalibrated_pct.unwrap() / 2.0, "{decode:?}");
}
