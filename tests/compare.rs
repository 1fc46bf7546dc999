//! `loadline compare` on results that were made for it, by this program and by hand, and on the published ones.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

use std::path::Path;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::{Scratch, run_expecting};

#[path = "support/plots.rs"]
mod plots;

#[path = "support/shared.rs"]
mod shared;

fn results(scratch: &Scratch, dir: &str) -> Value {
    serde_json::from_slice(&std::fs::read(scratch.path(&format!("{dir}/comparison_results.json"))).unwrap()).unwrap()
}

fn write(scratch: &Scratch, path: &str, text: &str) {
    std::fs::create_dir_all(scratch.path(path).parent().unwrap()).unwrap();
    scratch.file(path, text);
}

/// An aiperf artifact of `clients` in flight whose requests all took `ttft` ms to their first token.
fn artifact(clients: u32, ttft: f64, goodput: f64) -> String {
    let of = |ms: f64| json!({"avg": ms, "p50": ms, "p90": ms, "p99": ms});
    json!({
        "request_count": {"avg": 100.0}, "request_throughput": {"avg": 4.0}, "benchmark_duration": {"avg": 25.0},
        "time_to_first_token": of(ttft), "inter_token_latency": of(20.0),
        "goodput": {"avg": goodput}, "good_request_count": {"avg": goodput * 25.0},
        "input_config": {"loadgen": {"concurrency": clients},
            "input": {"goodput": {"time_to_first_token": 500.0, "inter_token_latency": 50.0}}},
    })
    .to_string()
}

fn method<'a>(results: &'a Value, name: &str) -> &'a Value {
    results["methods"].as_array().unwrap().iter().find(|m| m["method_name"] == name).unwrap()
}

/// A tree of the original: AIC-ALL is off by −75 % and cheap, Online-ALL right, slow and better per request, worse per GPU.
fn trees(scratch: &Scratch) {
    for (tree, ttft) in [("aic_all", 400.0), ("online_all", 120.0)] {
        for (level, clients) in [("idle", 1), ("medium", 4), ("saturation", 7), ("overload", 9)] {
            let path = format!("{tree}/validation/{level}/profile_export_aiperf.json");
            write(scratch, &path, &artifact(clients, ttft, if level == "overload" { 0.0 } else { 2.0 }));
        }
    }
    write(scratch, "aic_all/optimization/profile_export_aiperf.json", &artifact(8, 400.0, 3.0));
    write(scratch, "online_all/optimization/profile_export_aiperf.json", &artifact(8, 400.0, 4.0));
    let suggestions = |gpus: u32| {
        format!(
            "Suggested prefill parallel mapping: TP{gpus} on {gpus} GPU(s) (TTFT 100.00 ms, throughput 8841.00 tokens/s/GPU)\n\
             2026-01-15 11:00:00 - p - INFO - Suggested decode parallel mapping: TP{gpus} on {gpus} GPU(s) (ITL 21.00 ms, throughput 900.00 tokens/s/GPU)\n"
        )
    };
    let aic = format!(
        "2026-01-15 10:59:30 - p - INFO - Using aiconfigurator\n2026-01-15 11:00:00 - p - INFO - {}",
        suggestions(1)
    );
    write(scratch, "aic_all/profile_sla.log", &aic);
    let online = format!(
        "2026-01-15 09:00:00 - p - INFO - Profiling prefill with 2 GPUs...\n\
         2026-01-15 09:30:00 - p - INFO - Profiling decode with 4 GPUs...\n2026-01-15 11:00:00 - p - INFO - {}",
        suggestions(2)
    );
    write(scratch, "online_all/profile_sla.log", &online);
}

#[test]
fn the_originals_trees_are_compared_with_costs_that_are_measured_and_one_sign_of_error() {
    let scratch = Scratch::new("compare-trees");
    trees(&scratch);
    let output = run_expecting(
        0,
        &scratch,
        "run-comparison --aic-results aic_all --online-results online_all --model m --backend trtllm --output-dir out",
    );
    let found = results(&scratch, "out");
    assert_eq!(
        (&found["schema_version"], &found["target_ttft"], &found["isl"]),
        (&json!(1), &json!(500.0), &json!(2048))
    );
    // Per GPU: 3 of 2 GPUs is more than 4 of 4. The truth is the best that was measured, whoever found it.
    assert_eq!(found["goodput_unit"], "req/s/GPU");
    assert_eq!((&found["ground_truth_method"], &found["ground_truth_goodput"]), (&json!("AIC-ALL"), &json!(3.0)));
    assert_eq!((&found["fastest_method"], &found["lowest_cost_method"]), (&json!("AIC-ALL"), &json!("AIC-ALL")));
    assert_eq!(found["most_accurate_at_medium"], "Online-ALL");
    let (aic, online) = (method(&found, "AIC-ALL"), method(&found, "Online-ALL"));
    assert_eq!((&aic["gpu_hours_consumed"], &aic["total_duration_seconds"]), (&json!(0.0), &json!(30.0)));
    // Half an hour on 2 GPUs and one and a half on 4: no five minutes of four GPUs each.
    assert_eq!(online["gpu_hours_consumed"], json!(7.0));
    assert_eq!(online["cost"]["gpu_hours"]["source"], "measured");
    assert_eq!((&online["num_prefill_configs_tested"], &online["num_decode_configs_tested"]), (&json!(1), &json!(1)));
    assert_eq!(aic["ttft_error_at_medium"], json!(-75.0), "(100 - 400) / 400");
    assert!((online["ttft_error_at_idle"].as_f64().unwrap() + 100.0 / 6.0).abs() < 1e-9);
    assert_eq!((&aic["actual_goodput"], &aic["optimization_regret"]), (&json!(3.0), &json!(0.0)));
    assert!((online["optimization_regret"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!(aic["regret"]["strict_absolute"]["value"], json!(0.25));
    let levels = aic["load_level_metrics"].as_array().unwrap();
    assert_eq!(
        (levels.len(), &levels[3]["load_level"], &levels[3]["sla_hit_rate"]),
        (4, &json!("overload"), &json!(0.0))
    );
    let decisions: Vec<&str> =
        aic["criteria"].as_array().unwrap().iter().map(|c| c["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions, ["pass", "fail", "pass"]);
    assert_eq!(aic["cost"]["validation_gpu_hours"], json!(2.0 * 125.0 / 3600.0), "five runs of 25 s on 2 GPUs");

    let summary = std::fs::read_to_string(scratch.path("out/summary.txt")).unwrap();
    assert!(summary.lines().all(|line| line.chars().count() <= 100), "{summary}");
    assert!(summary.contains("How fast is each method?") && summary.contains("-75 %"), "{summary}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), summary);
    files_hold_the_same(&scratch.path("out"));
    let page = std::fs::read_to_string(scratch.path("out/comparison.html")).unwrap();
    for part in ["Success: a criterion is failed", "Predicted, ms", "-75 %", "GPU hours until a method had chosen"] {
        assert!(page.to_lowercase().contains(&part.to_lowercase()), "{part}");
    }

    // A criterion that fails is an exit code where that was asked for; bounds are the user's.
    let line = "compare --aic-results aic_all --online-results online_all --fail-on-criteria --output-dir out2";
    run_expecting(1, &scratch, line);
    run_expecting(0, &scratch, &format!("{line} --success-accuracy 0.6 --success-regret 0.5"));
    // A name is the user's, also in a picture.
    let line = "compare --additional-results <b>&:aic_all --online-results online_all --output-dir out3 --plots p";
    run_expecting(0, &scratch, line);
    let page = std::fs::read_to_string(scratch.path("out3/comparison.html")).unwrap();
    let quoted = line.replace("<b>&:aic_all", "'<b>&:aic_all'");
    assert!(plots::assert_plots(&scratch.path("p"), &page, &quoted).len() >= 3);
    let regret = std::fs::read_to_string(scratch.path("p/regret-with-its-interval.svg")).unwrap();
    assert!(regret.contains("&lt;b&gt;&amp;") && !regret.contains("<b>"));
}

/// Ten rows, two methods of five loads, in both tables; 0 and unknown are not the same.
fn files_hold_the_same(dir: &Path) {
    let csv = std::fs::read_to_string(dir.join("comparison.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|n| *n == name).unwrap();
    assert_eq!(rows.len(), 11);
    let overload = rows.iter().find(|r| r[column("load")] == "overload").unwrap();
    assert_eq!((overload[column("goodput_rps")], overload[column("goodput_search_rps")]), ("0", ""));
    let file = SerializedFileReader::new(Bytes::from(std::fs::read(dir.join("comparison.parquet")).unwrap())).unwrap();
    let read: Vec<String> = file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    assert_eq!(read.len(), 10);
    let overload = read.iter().find(|row| row.contains("load: \"overload\"")).unwrap();
    assert!(overload.contains("goodput_rps: 0") && overload.contains("goodput_search_rps: null"), "{overload}");
}

#[test]
fn recorded_requests_give_paired_intervals_for_any_target() {
    let scratch = Scratch::new("compare-runs");
    for tp in [1, 2] {
        run_expecting(
            0,
            &scratch,
            &format!(
                "profile --simulate --model Qwen/Qwen3-32B --tp {tp} --streaming --isl 1024 --osl 32 --request-rate 8 \
                 --arrival-pattern poisson --request-count 240 --random-seed 3 --artifact-dir tp{tp}"
            ),
        );
    }
    let compare = |target: &str, out: &str| {
        run_expecting(
            0,
            &scratch,
            &format!(
                "compare --additional-results TP1:tp1 --additional-results TP2:tp2 --ground-truth tp2 --isl 1024 --osl 32 \
                 {target} --resamples 300 --format json --output-dir {out}"
            ),
        )
    };
    let output = compare("--ttft 160 --itl 50", "a");
    let found = results(&scratch, "a");
    assert_eq!(found, serde_json::from_slice::<Value>(&output.stdout).unwrap());
    assert_eq!((&found["reference_method"], &found["goodput_compared_at"]), (&json!("TP2"), &json!("optimization")));
    let (one, two) = (method(&found, "TP1"), method(&found, "TP2"));
    assert_eq!((&one["gpus"], &two["gpus"]), (&json!(1), &json!(2)));
    let goodput = |m: &Value| m["actual_goodput"].as_f64().unwrap();
    assert!(goodput(one) < goodput(two), "one GPU makes fewer requests good");
    // The same seed gave both the same requests at the same times.
    let difference = &one["goodput_less_that_of_reference"];
    assert_eq!(difference["paired"], true, "{one}");
    let at = |name: &str| difference[name].as_f64().unwrap();
    let per_gpu = goodput(one) - goodput(two) / 2.0;
    assert!((at("estimate") - per_gpu).abs() < 1e-9 && at("low") <= per_gpu && at("high") >= per_gpu, "{difference}");
    assert!(one["regret"]["strict_chosen_on_one_half_scored_on_the_other"].is_number());
    // No prediction, no cost on disk: unknown, and nobody wins.
    for key in ["total_duration_seconds", "gpu_hours_consumed", "predicted_ttft", "ttft_error_at_medium"] {
        assert_eq!(one[key], Value::Null, "{key}");
    }
    assert_eq!((&found["fastest_method"], &found["lowest_cost_method"]), (&Value::Null, &Value::Null));
    // Another target, from the same recordings.
    compare("--ttft 1 --itl 50", "b");
    let found = results(&scratch, "b");
    let one = method(&found, "TP1");
    assert_eq!((&one["actual_goodput"], &one["optimization_regret"]), (&json!(0.0), &Value::Null));
    assert!(one["regret"]["strict"]["undefined_because"].as_str().unwrap().contains("is 0"));
}

/// What `sweep --online` writes of two sizes.
fn online(values: [f64; 2], itl_ms: f64) -> String {
    let point = |tp: u32, value: f64| {
        json!({"topology": {"tp": tp}, "batch": 8, "gpus": tp, "ttft_ms": 100.0, "itl_ms": 20.0,
            "tokens_per_s_per_gpu": value, "meets_sla": true})
    };
    let points = [point(1, values[0]), point(2, values[1])];
    json!({
        "workload": {"isl_tokens": 2048, "osl_tokens": 256}, "sla": {"ttft_ms": 500.0, "itl_ms": itl_ms},
        "candidates": [{"points": [points[0]]}, {"points": [points[1]]}],
        "cost": {"source": "measured", "gpu_hours": 2.0},
        "recommendation": {"best": if values[0] > values[1] { &points[0] } else { &points[1] }},
    })
    .to_string()
}

#[test]
fn the_course_of_each_method_is_drawn_from_what_it_wrote_down() {
    let scratch = Scratch::new("compare-course");
    write(&scratch, "all/online.json", &online([80.0, 100.0], 50.0));
    write(&scratch, "chosen/online.json", &online([80.0, 100.0], 50.0));
    let step = |candidate: u32, value: f64, incumbent: u32| json!({"candidate": candidate, "effort": 1.0, "value": value, "gpu_s": 1800.0, "incumbent": incumbent});
    let selection = json!({
        "candidates": [{"tp": 1, "batch": 8}, {"tp": 2, "batch": 8}], "chosen": 1,
        "steps": [step(0, 80.0, 0), step(1, 100.0, 1)],
    });
    write(&scratch, "chosen/selection.json", &selection.to_string());
    write(&scratch, "other/online.json", &online([80.0, 100.0], 20.0));
    let line = "compare --online-results all --additional-results bayesian:chosen --additional-results other:other \
                --output-dir out --plots p";
    run_expecting(0, &scratch, line);
    let found = results(&scratch, "out");
    let course = |name: &str| method(&found, name)["course"].clone();
    assert_eq!(
        course("Online-ALL"),
        json!([{"gpu_hours": 2.0, "regret": 0.0}]),
        "it has measured both before it chose"
    );
    assert_eq!(course("bayesian"), json!([{"gpu_hours": 0.5, "regret": 0.2}, {"gpu_hours": 1.0, "regret": 0.0}]));
    assert_eq!(course("other"), json!([]), "its targets are others");
    assert!(method(&found, "other")["notes"].to_string().contains("its course is not drawn"));
    let page = std::fs::read_to_string(scratch.path("out/comparison.html")).unwrap();
    let captions = plots::assert_plots(&scratch.path("p"), &page, "--output-dir out --plots p");
    assert!(captions.iter().any(|c| c.contains("n = 3 measurements of 2 methods")), "{captions:?}");
    let curve = std::fs::read_to_string(scratch.path("p/regret-by-gpu-hours-spent.svg")).unwrap();
    assert!(curve.contains("B bayesian, 1 of 2: 0.500 GPU hours, regret 20 %"), "{curve}");
    write(&scratch, "chosen/selection.json", "[]");
    let said = run_expecting(2, &scratch, line).stderr;
    assert!(String::from_utf8(said).unwrap().contains("selection.json"));
}

#[test]
fn what_this_programs_verbs_wrote_is_one_method() {
    let scratch = Scratch::new("compare-verbs");
    let target = "--isl 512 --osl 16 --ttft-target 500 --itl-target 50 --random-seed 1";
    run_expecting(
        0,
        &scratch,
        &format!(
            "validate --simulate --tp 2 {target} --predicted-ttft 40 --predicted-itl 12 --max-batch-size 8 --requests-per-level 60 --output-dir v"
        ),
    );
    run_expecting(
        0,
        &scratch,
        &format!("goodput --simulate --tp 2 {target} --start-rate 16 --precision 0.5 --requests 100 --output-dir g"),
    );
    run_expecting(0, &scratch, "sweep --model Qwen/Qwen3-32B --isl 512 --osl 16 --ttft 500 --itl 50 --output-dir s");
    let line = "compare --additional-results mine:v --additional-results mine:g --additional-results mine:s --isl 512 --osl 16";
    run_expecting(0, &scratch, &format!("{line} --output-dir out"));
    let found = results(&scratch, "out");
    let mine = method(&found, "mine");
    assert_eq!(found["methods"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&mine["gpus"], &mine["gpu_hours_consumed"]),
        (&json!(2), &json!(0.0)),
        "as validated; nothing was deployed to predict"
    );
    assert_eq!((&mine["predicted_ttft"], mine["load_level_metrics"].as_array().unwrap().len()), (&json!(40.0), 4));
    let medium = &mine["load_level_metrics"][1];
    assert!(
        medium["source"].as_str().unwrap().ends_with("v/validation/medium"),
        "the recording goes before its summary"
    );
    // The same numbers as the validation's own, of the same steady state.
    let validation: Value = serde_json::from_slice(&std::fs::read(scratch.path("v/validation.json")).unwrap()).unwrap();
    let level = &validation["load_level_results"][1];
    for (ours, theirs) in
        [("actual_ttft_p50", "ttft_p50"), ("ttft_error_pct", "ttft_error_pct"), ("goodput_rps", "goodput_rps")]
    {
        let (ours, theirs) = (medium[ours].as_f64().unwrap(), level[theirs].as_f64().unwrap());
        assert!((ours - theirs).abs() < 1e-9 * theirs.abs(), "{ours} {theirs}");
    }
    let search: Value = serde_json::from_slice(&std::fs::read(scratch.path("g/goodput.json")).unwrap()).unwrap();
    assert_eq!(mine["goodput_search"]["rate_rps"], search["goodput_rate_rps"]);
    assert!(mine["regret"]["strict"]["undefined_because"].as_str().unwrap().contains("no other method"));
}

#[test]
fn what_cannot_be_read_is_one_line_with_file_and_remedy() {
    let scratch = Scratch::new("compare-errors");
    std::fs::create_dir_all(scratch.path("empty")).unwrap();
    write(&scratch, "broken/validation/idle/profile_export_aiperf.json", "{");
    for (line, says) in [
        ("compare --aic-results nowhere", "nowhere: is no directory (give a directory with"),
        ("compare --aic-results empty", "empty: holds no results that are known here"),
        ("compare --aic-results broken", "profile_export_aiperf.json: it is no JSON"),
        ("compare", "--online-results"),
    ] {
        let output = run_expecting(2, &scratch, line);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says) && text.lines().count() == 1, "{text}");
    }
}

/// Dynamo's published runs on H200. Of Online-ALL only the configuration is at hand; its validation is not on disk.
#[test]
fn the_published_results_are_told_without_the_originals_mistakes() {
    let Some(aic) = shared::shared("data/h200/aic_all/config_with_planner.yaml") else { return };
    let root = aic.parent().unwrap().parent().unwrap().display().to_string();
    let scratch = Scratch::new("compare-h200");
    run_expecting(
        0,
        &scratch,
        &format!("compare --aic-results {root}/aic_all --online-results {root}/online_all_vllm --output-dir out"),
    );
    let found = results(&scratch, "out");
    let (aic, online) = (method(&found, "AIC-ALL"), method(&found, "Online-ALL"));
    // By the original's sign the idle error would be +478 %.
    let idle = aic["ttft_error_at_idle"].as_f64().unwrap();
    eprintln!("idle TTFT error of AIC-ALL: {idle:.1} %; levels {}", aic["load_level_metrics"]);
    assert!((-84.0..-81.0).contains(&idle), "{idle}");
    assert_eq!(online["ttft_error_at_idle"], Value::Null);
    assert!(online["notes"].to_string().contains("no measurement on disk at idle, medium, saturation, overload"));
    // No request of any level met both targets.
    let levels = aic["load_level_metrics"].as_array().unwrap();
    assert_eq!(levels.len(), 4);
    assert!(levels.iter().all(|l| l["goodput_rps"] == 0.0 && l["sla_hit_rate"] == 0.0 && l["meets_sla"] == false));
    assert_eq!((&aic["actual_goodput"], &aic["optimization_regret"]), (&json!(0.0), &Value::Null));
    assert!(aic["regret"]["strict"]["undefined_because"].as_str().unwrap().contains("best measured goodput is 0"));
    assert!(found["notes"].to_string().contains("serving engines differ"), "TensorRT-LLM and vLLM: {}", found["notes"]);
    // Logs were never published: nobody is fastest or cheapest.
    assert_eq!((&found["fastest_method"], &found["lowest_cost_method"]), (&Value::Null, &Value::Null));
    // No rate meets the target: one request at a time misses it. The law's rate for a target that idle meets is 1/s.
    let rate = &aic["rate_that_meets_the_target"];
    assert_eq!((&rate["verdict"], &rate["rps"]), (&json!("never"), &Value::Null));
    let reason = rate["reason"].as_str().unwrap();
    eprintln!("{reason}");
    assert!(reason.contains("no rate does") && reason.contains("up to 0.72 req/s"), "{reason}");
    let law = &rate["closed_loop_law"];
    assert!((1380.0..1400.0).contains(&law["stage_ms"].as_f64().unwrap()), "{law}");
    assert!(law["worst_error_pct"].as_f64().unwrap().abs() < 5.0, "{law}");
}

#[test]
fn measuring_what_was_chosen_is_counted_beside_the_cost_of_choosing() {
    let scratch = Scratch::new("compare-validation-cost");
    // Two steps of a plan: the runs of one took 25 s on a real deployment, in a step of 100 s; those of the other took seconds of
    // simulated time, whatever it took to simulate them.
    write(&scratch, "steps/a/out/profile_export_aiperf.json", &artifact(4, 100.0, 2.0));
    write(&scratch, "steps/a/step.json", r#"{"exit_code": 0, "wall_s": 100.0}"#);
    write(&scratch, "steps/b/step.json", r#"{"exit_code": 0, "wall_s": 9999.0}"#);
    run_expecting(
        0,
        &scratch,
        "profile --simulate --tp 2 --streaming --isl 64 --osl 4 --concurrency 2 --request-count 20 --warmup-request-count 6 \
         --random-seed 1 --artifact-dir steps/b/out",
    );
    let search = "goodput --simulate --isl 64 --osl 4 --ttft-target 500 --itl-target 50 --requests 40 --requests-max 40 --random-seed 1";
    run_expecting(0, &scratch, &format!("{search} --output-dir steps/b/out"));
    let seconds = |run: &str| {
        let run: Value = serde_json::from_slice(&std::fs::read(scratch.path(run)).unwrap()).unwrap();
        let ns = |at: &str| run.pointer(at).unwrap().as_i64().unwrap();
        (ns("/profiling/end_ns") - ns("/warmup/start_ns")) as f64 / 1e9
    };
    let looks: Vec<f64> = (1..)
        .map(|look| format!("steps/b/out/goodput/look_{look:03}/run.json"))
        .take_while(|run| scratch.path(run).is_file())
        .map(|run| seconds(&run))
        .collect();
    assert!(!looks.is_empty());
    let line = "compare --additional-results real:steps/a/out --additional-results simulated:steps/b/out --gpus real:2 --output-dir out";
    let text = String::from_utf8(run_expecting(0, &scratch, line).stdout).unwrap();
    let found = results(&scratch, "out");
    let cost = |name: &str| method(&found, name)["cost"].clone();
    let (real, simulated) = (cost("real"), cost("simulated"));
    assert_eq!((&real["validation_wall_s"], &real["validation_gpu_hours"]), (&json!(100.0), &json!(200.0 / 3600.0)));
    assert!(real["validation_from"][0]["from"].as_str().unwrap().ends_with("step.json"), "{real}");
    assert_eq!((&real["wall_s"], &simulated["wall_s"]), (&Value::Null, &Value::Null), "of choosing nothing is known");
    let own = seconds("steps/b/out/run.json") + looks.iter().sum::<f64>();
    assert!((simulated["validation_wall_s"].as_f64().unwrap() - own).abs() < 1e-6, "{simulated}, not {own}");
    assert!(text.contains("no part of choosing") && text.contains("real 100 s"), "{text}");
}

/// The validation of the second published method, Online-ALL with TensorRT-LLM (Dynamo, benchmarks/profiler/comparison/results/online_all,
/// January 2026). It is not on disk; these of its numbers were noted when it was read: the medians of TTFT at idle (1554 ms) and with 8
/// in flight (3584 ms), the rate with 8 in flight (0.84 req/s), and that no request of any level met both targets. There was one run
/// of 100 requests at each level, as of the first method. Nothing else is known of it here, and nothing else is written.
fn second_published_method(scratch: &Scratch, tree: &str, predicted_ttft: f64) {
    for (level, clients, ttft, rps) in [
        ("idle", 1, Some(1554.0), None),
        ("medium", 4, None, None),
        ("saturation", 7, None, None),
        ("overload", 8, Some(3584.0), Some(0.84)),
    ] {
        let mut run = json!({
            "request_count": {"avg": 100.0}, "goodput": {"avg": 0.0}, "good_request_count": {"avg": 0.0},
            "input_config": {"loadgen": {"concurrency": clients}, "endpoint": {"model_names": ["Qwen/Qwen3-32B"]},
                "input": {"goodput": {"time_to_first_token": 500.0, "inter_token_latency": 50.0}}},
        });
        if let Some(ms) = ttft {
            run["time_to_first_token"] = json!({"p50": ms});
        }
        if let Some(rps) = rps {
            run["request_throughput"] = json!({"avg": rps});
        }
        write(scratch, &format!("{tree}/validation/{level}/profile_export_aiperf.json"), &run.to_string());
    }
    write(scratch, &format!("{tree}/validation.json"), &prediction(predicted_ttft));
}

/// What was predicted, in the original's form, of a deployment whose measurements lie elsewhere.
fn prediction(ttft_ms: f64) -> String {
    json!({"predicted_ttft": ttft_ms, "predicted_itl": 0, "load_level_results": [{"load_level": "idle"}]}).to_string()
}

#[test]
fn both_published_methods_are_off_by_the_same_sign_and_their_regret_is_undefined() {
    let Some(aic) = shared::shared("data/h200/aic_all/config_with_planner.yaml") else { return };
    let first = aic.parent().unwrap().display().to_string();
    let scratch = Scratch::new("compare-h200-both");
    // AI Configurator 0.12 predicts 193.7 ms for a prefill of 2048 tokens at TP1, whichever deployment follows; Online-ALL's own
    // profile, between its lengths, 231.6 ms.
    write(&scratch, "aic.json", &prediction(193.7));
    second_published_method(&scratch, "online_all", 231.6);
    second_published_method(&scratch, "predicted", 193.7);
    let line = format!(
        "compare --aic-results {first} --validation-results AIC-ALL:aic.json --online-results online_all \
         --additional-results AIC-of-Online:predicted --gpus AIC-ALL:3 --gpus Online-ALL:2 --gpus AIC-of-Online:2 --output-dir out"
    );
    let output = run_expecting(0, &scratch, &line);
    let found = results(&scratch, "out");
    let idle = |name: &str| method(&found, name)["ttft_error_at_idle"].as_f64().unwrap();
    let errors = ["AIC-ALL", "AIC-of-Online", "Online-ALL"].map(idle);
    eprintln!(
        "idle TTFT: predicted for the first {:.1} %, for the second {:.1} %, by its own profile {:.1} %",
        errors[0], errors[1], errors[2]
    );
    assert_eq!(errors.map(f64::round), [-83.0, -88.0, -85.0], "one sign: all were predicted too low");
    for name in ["AIC-ALL", "Online-ALL"] {
        let m = method(&found, name);
        assert!(m["load_level_metrics"].as_array().unwrap().iter().all(|l| l["goodput_rps"] == 0.0), "{m}");
        assert_eq!((&m["actual_goodput"], &m["optimization_regret"]), (&json!(0.0), &Value::Null), "{name}");
        let why = m["regret"]["strict"]["undefined_because"].as_str().unwrap();
        assert!(why.contains("best measured goodput is 0"), "{name}: {why}");
        assert_eq!(m["rate_that_meets_the_target"]["verdict"], "never", "{name}");
    }
    let summary = String::from_utf8(output.stdout).unwrap();
    for part in ["-83 %", "-88 %", "-85 %"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    assert!(!summary.contains("+478"), "{summary}");
}

#[test]
fn a_candidate_may_be_the_best_and_is_judged_by_nothing_else() {
    let scratch = Scratch::new("compare-candidate");
    write(&scratch, "m/profile_export_aiperf.json", &artifact(4, 100.0, 2.0));
    write(&scratch, "c/profile_export_aiperf.json", &artifact(4, 100.0, 4.0));
    let line = "compare --additional-results mine:m --candidate big:c --output-dir out";
    let output = run_expecting(0, &scratch, line);
    let found = results(&scratch, "out");
    let of = |name: &str| method(&found, name);
    assert_eq!((&of("mine")["is_candidate"], &of("big")["is_candidate"]), (&json!(false), &json!(true)));
    assert_eq!((&of("mine")["optimization_regret"], &of("big")["optimization_regret"]), (&json!(0.5), &json!(0.0)));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("Comparison of 1 method:"), "{text}");
    let success = text.split("Success\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(success.contains("mine: regret below 10 %") && !success.contains("big"), "{success}");
    run_expecting(2, &scratch, "compare --additional-results mine:m --candidate mine:c");
}
