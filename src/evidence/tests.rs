//! Directories that were made up, and the published ones.

use std::path::PathBuf;

use super::*;
use crate::comparison::method::{MEDIUM, Source};

const TARGET: Target = Target { ttft_ms: 500.0, itl_ms: 50.0, isl: 2048, osl: 256 };

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("loadline-evidence-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self) -> Result<Method> {
        read(&Sources { name: "M".into(), dirs: vec![self.0.clone()], ..Sources::default() }, TARGET)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn artifact(objective: &str, ttft: f64) -> String {
    format!(
        r#"{{"request_count":{{"avg":8}},"error_request_count":{{"avg":2}},"request_throughput":{{"avg":4.0}},
        "time_to_first_token":{{"avg":{ttft},"p50":{ttft},"p99":{ttft}}},"inter_token_latency":{{"avg":14.0,"p50":13.0}},
        "time_to_second_token":{{"avg":514.0}},"output_sequence_length":{{"avg":102.0,"min":102.0,"max":102.0}},
        "goodput":{{"avg":3.0}},"good_request_count":{{"avg":6}},"benchmark_duration":{{"avg":2.0}},
        "input_config":{{"loadgen":{{"concurrency":4}},"input":{{"goodput":{objective}}}}}}}"#
    )
}

const OWN: &str = r#"{"time_to_first_token":500,"inter_token_latency":50}"#;

#[test]
fn an_artifacts_goodput_is_taken_where_its_objective_is_the_comparisons() {
    let dir = Scratch::new("objective");
    dir.file("validation/medium/profile_export_aiperf.json", &artifact(OWN, 300.0));
    dir.file("validation/idle/profile_export_aiperf.json", &artifact(r#"{"time_to_first_token":900}"#, 300.0));
    dir.file("optimization/profile_export_aiperf.json", &artifact(OWN, 0.0));
    let method = dir.read().unwrap();
    let medium = method.levels[MEDIUM].measured.as_ref().unwrap();
    assert_eq!((medium.concurrency, medium.goodput_rps, medium.attainment), (Some(4), Some(3.0), Some(0.6)));
    assert!((medium.itl_without_second_token_ms.unwrap() - 9.0).abs() < 1e-9, "{medium:?}");
    let idle = method.levels[0].measured.as_ref().unwrap();
    assert!(idle.goodput_rps.is_none() && idle.goodput_unknown.as_ref().unwrap().contains("no objective"));
    let optimization = method.optimization.as_ref().unwrap();
    assert_eq!(optimization.ttft.p50, Some(0.0), "0 is a value");
    assert_eq!((method.cost.clone(), method.deployment.gpus), (Default::default(), None));
    let notes = method.notes.join("\n");
    for note in ["saturation, overload", "no prediction on disk of TTFT and ITL", "unknown, which is not 0", "--gpus"] {
        assert!(notes.contains(note), "{notes}");
    }
}

#[test]
fn requests_of_an_artifact_are_counted_for_any_target() {
    let dir = Scratch::new("requests");
    dir.file("profile_export_aiperf.json", &artifact("{}", 300.0));
    let record = |phase: &str, ttft: f64, error: &str| {
        format!(
            r#"{{"metadata":{{"benchmark_phase":"{phase}","request_start_ns":5}},"metrics":{{"time_to_first_token":{{"value":{ttft}}},"inter_token_latency":{{"value":9}}}},"error":{error}}}"#
        )
    };
    let lines = [
        record("warmup", 1.0, "null"),
        record("profiling", 500.0, "null"),
        record("profiling", 501.0, "null"),
        record("profiling", 1.0, r#"{"code":500}"#),
        record("profiling", 1.0, "null"),
    ];
    dir.file("profile_export.jsonl", &lines.join("\n"));
    let measured = dir.read().unwrap().optimization.unwrap();
    assert_eq!((measured.goodput_rps, measured.attainment, measured.requests), (Some(1.0), Some(0.5), 4));
    assert_eq!(measured.series.len(), 1);
    dir.file("profile_export.jsonl", "{\"metadata\":{}}\n");
    assert!(dir.read().unwrap_err().to_string().contains("profile_export.jsonl:1: it has no request_start_ns"));
}

#[test]
fn cost_is_told_where_the_log_tells_it_and_never_guessed() {
    let log = |lines: &str| {
        let dir = Scratch::new("log");
        dir.file("profile_sla.log", lines);
        dir.read().unwrap().cost
    };
    let told = log("2026-01-15 10:00:00 - p - INFO - Profiling prefill with 2 GPUs...\n\
                    2026-01-15 10:30:00 - p - INFO - Profiling decode with 4 GPUs...\n\
                    2026-01-15 11:00:00 - p - INFO - Suggested decode parallel mapping: TP4 on 4 GPU(s) (ITL 21.10 ms, throughput 1.00 tokens/s/GPU)\n");
    let value = |f: &Option<crate::comparison::method::Figure>| f.as_ref().map(|f| (f.value, f.source));
    assert_eq!(value(&told.wall_s), Some((3600.0, Source::Measured)));
    assert_eq!(value(&told.gpu_hours), Some((3.0, Source::Measured)));
    assert_eq!(value(&told.deployments), Some((2.0, Source::Measured)));
    // Ready deployments alone: of the prefill half, so neither all of them nor their GPU hours.
    let partly = log("2026-01-15 10:00:00 - p - INFO - Created client with service_name a\n\
                      2026-01-15 10:00:01 - p - INFO - use_ai_configurator=True\n");
    assert_eq!(value(&partly.deployments), Some((1.0, Source::Estimated)));
    assert_eq!(partly.gpu_hours, None, "a word in a log makes no deployment free");
    // A log of one moment, as `sweep` writes it.
    let moment = log(
        "2026-01-15 10:00:00 - p - INFO - Suggested decode parallel mapping: TP4 on 4 GPU(s) (ITL 21.10 ms, throughput 1.00 tokens/s/GPU)\n",
    );
    assert_eq!(moment, Default::default());
    let predicted = log("2026-01-15 10:00:00 - p - INFO - Using aiconfigurator\n2026-01-15 10:00:31 - p - INFO - x\n");
    assert_eq!(
        (value(&predicted.gpu_hours), value(&predicted.wall_s)),
        (Some((0.0, Source::Measured)), Some((31.0, Source::Measured)))
    );
}

#[test]
fn a_validation_gives_levels_and_what_was_predicted_of_them() {
    let dir = Scratch::new("validation");
    let file = dir.file(
        "validation.json",
        r#"{"predicted_ttft":100.0,"predicted_itl":0,"load_level_results":[{"load_level":"medium","concurrency":4,
        "ttft_p50":200.0,"ttft_p99":300.0,"itl_p50":10.0,"itl_p99":12.0,"goodput_rps":0.0,"sla_hit_rate":0.0,
        "ttft":{"mean":{"actual":{"mean":210.0}}}}]}"#,
    );
    let sources = Sources { name: "M".into(), validations: vec![file], ..Sources::default() };
    let method = read(&sources, TARGET).unwrap();
    let level = &method.levels[MEDIUM];
    assert_eq!((level.ttft.as_ref().map(|p| p.ms), level.itl.is_some()), (Some(100.0), false), "0 is none");
    let measured = level.measured.as_ref().unwrap();
    assert_eq!((measured.ttft.mean, measured.goodput_rps, measured.attainment), (Some(210.0), Some(0.0), Some(0.0)));
    dir.file("validation.json", r#"{"load_level_results":[{"load_level":"rush hour"}]}"#);
    assert!(dir.read().unwrap_err().to_string().contains("`rush hour` is unknown"));
}

#[test]
fn a_measured_sweep_has_a_measured_cost_and_a_predicted_one_deployed_nothing() {
    let dir = Scratch::new("sweeps");
    let best = r#""recommendation":{"best":{"ttft_ms":90.0,"itl_ms":12.0,"gpus":2}}"#;
    dir.file("sweep.json", &format!("{{{best}}}"));
    let method = dir.read().unwrap();
    assert_eq!(method.cost.gpu_hours.as_ref().map(|f| f.value), Some(0.0));
    assert_eq!((method.cost.wall_s, method.deployment.gpus), (None, Some(2)), "how long it took is not told");
    let step = Scratch::new("sweep-step");
    step.file("step.json", r#"{"wall_s":0.25}"#);
    step.file("out/sweep.json", &format!("{{{best}}}"));
    let mut method = Method::default();
    super::directory(&mut method, &step.0.join("out"), TARGET).unwrap();
    assert_eq!(
        method.cost.wall_s.map(|f| (f.value, f.source)),
        Some((0.25, Source::Measured)),
        "a plan's account tells"
    );
    let cost = r#""cost":{"source":"measured","clock":"wall","wall_s":600.0,"gpu_hours":0.5,"deployments":4}"#;
    dir.file("online.json", &format!("{{{best},{cost}}}"));
    let method = dir.read().unwrap();
    let figure = method.cost.gpu_hours.unwrap();
    assert_eq!((figure.value, figure.source, method.cost.wall_s.unwrap().value), (0.5, Source::Measured, 600.0));
    assert!(figure.from.ends_with("online.json, wall clock"), "{}", figure.from);
    assert_eq!(method.ttft.unwrap().ms, 90.0);
    // Of a simulated one, its deployments' time counts, and not the time that simulating took.
    let cost = r#""cost":{"source":"measured","clock":"simulated","deployed_s":5000.0,"wall_s":18.0,"gpu_hours":2.0}"#;
    dir.file("online.json", &format!("{{{best},{cost}}}"));
    let wall = dir.read().unwrap().cost.wall_s.unwrap();
    assert!(wall.value == 5000.0 && wall.from.ends_with("simulated clock"), "{wall:?}");
}

#[test]
fn a_search_of_another_target_is_left_out_and_an_empty_directory_is_refused() {
    let dir = Scratch::new("search");
    let error = dir.read().unwrap_err().to_string();
    assert!(error.contains("holds no results") && error.contains("goodput.json"), "{error}");
    let search = |ttft: f64| {
        format!(
            r#"{{"ttft_target":{ttft},"itl_target":50.0,"goodput_rate_rps":4.0,"low_rps":3.9,"high_rps":4.1,"resolved":true,"attainment":0.9}}"#
        )
    };
    dir.file("goodput.json", &search(500.0));
    let found = dir.read().unwrap().search.unwrap();
    assert_eq!((found.rate_rps, found.low_rps, found.is_resolved), (Some(4.0), Some(3.9), true));
    dir.file("goodput.json", &search(600.0));
    let method = dir.read().unwrap();
    assert!(method.search.is_none() && method.notes[0].contains("another target"));
    dir.file("goodput.json", "[]");
    assert!(dir.read().unwrap_err().to_string().contains("no JSON object"));
}

#[test]
fn the_published_trees_are_read_and_what_they_lack_is_named() {
    let Some(aic) = crate::published::shared("data/h200/aic_all") else { return };
    let sources = |name: &str, dir: PathBuf| Sources { name: name.into(), dirs: vec![dir], ..Sources::default() };
    let method = read(&sources("AIC-ALL", aic.clone()), TARGET).unwrap();
    assert_eq!(method.deployment.gpus, Some(3));
    let clients: Vec<u32> = method.levels.iter().map(|l| l.measured.as_ref().unwrap().concurrency.unwrap()).collect();
    assert_eq!(clients, [1, 4, 7, 8]);
    assert!(method.levels.iter().all(|l| l.measured.as_ref().unwrap().goodput_rps == Some(0.0)));
    assert!(method.cost.wall_s.is_none(), "its log was never published");
    let online = read(&sources("Online-ALL", aic.with_file_name("online_all_vllm")), TARGET).unwrap();
    assert!(online.notes.iter().any(|n| n.contains("at idle, medium, saturation, overload")), "{:?}", online.notes);
    assert!(online.ttft.is_some() && online.deployment.gpus == Some(2));
}
