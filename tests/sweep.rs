//! `loadline sweep` from end to end: the plan's command lines, what is printed, what is written, exit codes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use loadline::profiler::results::folder::ProfilerRun;
use loadline::profiler::results::npz;
use serde_json::Value;
use support::{Scratch, run_expecting};

#[path = "support/plots.rs"]
mod plots;

const PLAN: &str = "--model Qwen/Qwen3-32B --backend trtllm --use-ai-configurator --aic-system h200_sxm \
                    --isl 2048 --osl 256 --ttft 500 --itl 50";

fn json_of(scratch: &Scratch, code: i32, line: &str) -> Value {
    serde_json::from_slice(&run_expecting(code, scratch, line).stdout).unwrap()
}

#[test]
fn the_plans_line_answers_for_each_size_and_both_names_of_the_verb_agree() {
    let scratch = Scratch::new("sweep");
    let text = String::from_utf8(run_expecting(0, &scratch, &format!("sweep {PLAN} --output-dir out")).stdout).unwrap();
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    for part in
        ["\n1 ", "\n2 ", "\n4 ", "\n8 ", "Static engine", "aggregated", "\nDeploy ", "\nRunner-up ", "was not called"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let read = |name: &str| std::fs::read_to_string(scratch.path("out").join(name)).unwrap();
    let written: Value = serde_json::from_str(&read("sweep.json")).unwrap();
    assert_eq!(written, json_of(&scratch, 0, &format!("profile-sla {PLAN} --format json")));
    assert_eq!(written["schema"], "loadline.sweep/1");
    let sizes: Vec<u64> =
        written["static_engine"].as_array().unwrap().iter().map(|c| c["tp"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [1, 2, 4, 8]);
    let front = written["pareto_front"].as_array().unwrap();
    let figure = |p: &Value, key: &str| p[key].as_f64().unwrap();
    assert!(front.len() > 20);
    assert!(front.windows(2).all(|w| {
        figure(&w[0], "tokens_per_s_per_user") > figure(&w[1], "tokens_per_s_per_user")
            && figure(&w[0], "tokens_per_s_per_gpu") < figure(&w[1], "tokens_per_s_per_gpu")
    }));
    let best = &written["recommendation"]["best"];
    assert!(figure(best, "ttft_ms") <= 500.0 && figure(best, "itl_ms") <= 50.0);
    let csv = read("sweep.csv");
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().count() > 300 && csv.lines().all(|l| l.split(',').count() == columns));
    for stage in ["static,", "aggregated,", "disaggregated,"] {
        assert!(csv.lines().any(|l| l.starts_with(stage)), "{stage}");
    }
}

#[test]
fn prices_are_gpu_hours_over_tokens() {
    let scratch = Scratch::new("sweep-price");
    let best = &json_of(&scratch, 0, "sweep --gpu-hour-price 3.6 --format json")["recommendation"]["best"];
    let (gpu_s, price) =
        (best["gpu_s_per_million_tokens"].as_f64().unwrap(), best["price_per_million_tokens"].as_f64().unwrap());
    assert!((price - gpu_s / 1e3).abs() < 1e-9);
    assert!((gpu_s * best["tokens_per_s_per_gpu"].as_f64().unwrap() - 1e6).abs() < 1e-3);
}

#[test]
fn an_sla_that_cannot_be_met_is_exit_code_1_with_its_bound_and_bad_input_is_2() {
    let scratch = Scratch::new("sweep-infeasible");
    let text = String::from_utf8(run_expecting(1, &scratch, "sweep --ttft 10").stdout).unwrap();
    assert!(text.contains("TTFT binds") && text.contains("Nearest") && text.contains("1 x TP8"), "{text}");
    let json = json_of(&scratch, 1, "sweep --itl 1 --format json");
    assert_eq!(json["recommendation"]["binding"], "itl");
    let output = run_expecting(2, &scratch, "sweep --model gpt-5");
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown model `gpt-5`"));
    run_expecting(2, &scratch, "sweep --tp 3");
}

#[test]
fn points_come_back_with_predictions_and_the_errors_are_printed() {
    let scratch = Scratch::new("sweep-points");
    let points = scratch.file(
        "points.csv",
        "model,quant,system,backend,tp,kind,batch,seq_len,latency_ms\n\
         Qwen3-32B,bfloat16,h200_sxm,trtllm,2,prefill,1,2048,110\n\
         Qwen3-32B,bfloat16,h200_sxm,trtllm,2,decode,32,2176,14.5\n\
         Qwen3-32B,bfloat16,tpu,trtllm,2,decode,32,2176,14.5\n",
    );
    let (points, out) = (points.display().to_string(), scratch.path("scored.csv"));
    let printed = run_expecting(0, &scratch, &format!("sweep --points {points} --output {}", out.display())).stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.contains("3 rows, 2 predicted") && printed.contains("unknown GPU `tpu`"), "{printed}");
    assert!(printed.lines().all(|l| l.chars().count() <= 100), "{printed}");
    let all: Vec<f64> = printed
        .lines()
        .find(|l| l.starts_with("all "))
        .unwrap()
        .split_whitespace()
        .skip(1)
        .map(|cell| cell.parse().unwrap())
        .collect();
    assert!(all[0] == 2.0 && all[1] < 10.0, "{printed}");
    // Without --output, the rows are what is printed.
    let rows = run_expecting(0, &scratch, &format!("sweep --points {points}")).stdout;
    assert_eq!(std::fs::read(&out).unwrap(), rows);
    assert!(String::from_utf8(rows).unwrap().lines().nth(1).unwrap().ends_with(",static,predicted"));
    let refused = run_expecting(2, &scratch, "sweep --points absent.csv").stderr;
    assert!(String::from_utf8(refused).unwrap().contains("absent.csv"));
    run_expecting(2, &scratch, "sweep --output scored.csv");
}

#[test]
fn a_model_can_be_given_as_its_config_json() {
    let scratch = Scratch::new("sweep-config");
    let config = scratch.file(
        "config.json",
        r#"{"architectures": ["Qwen3ForCausalLM"], "hidden_size": 5120, "intermediate_size": 25600, "num_attention_heads": 64,
            "num_key_value_heads": 8, "head_dim": 128, "num_hidden_layers": 64, "vocab_size": 151936}"#,
    );
    let of = |model: &str| json_of(&scratch, 0, &format!("sweep --model {model} --format json"));
    let (read, known) = (of(&config.display().to_string()), of("Qwen/Qwen3-32B"));
    assert_eq!(read["static_engine"], known["static_engine"]);
    let played = |model: &str| {
        json_of(&scratch, 0, &format!("sweep --model {model} --osl 8 --tp 2 --max-gpus 2 --under-load --format json"))
    };
    let known = played("Qwen/Qwen3-32B");
    assert!(known["under_load"][0]["capacity_rps"].as_f64().unwrap() > 0.0);
    assert_eq!(played(&config.display().to_string())["under_load"], known["under_load"], "nobody asks for its name");
    let broken = scratch.file("broken.json", "{}").display().to_string();
    let refused = run_expecting(2, &scratch, &format!("sweep --model {broken}")).stderr;
    assert!(String::from_utf8(refused).unwrap().contains("num_attention_heads"));
}

#[test]
fn what_a_profiler_would_leave_is_written_and_read_back() {
    let scratch = Scratch::new("sweep-files");
    run_expecting(0, &scratch, &format!("sweep {PLAN} --output-dir out"));
    let run = ProfilerRun::read(&scratch.path("out")).unwrap().unwrap();
    let (log, config) = (run.log.unwrap(), run.config.unwrap());
    let written: Value = serde_json::from_slice(&std::fs::read(scratch.path("out/sweep.json")).unwrap()).unwrap();
    let suggested = log.prefill.unwrap();
    let size =
        written["static_engine"].as_array().unwrap().iter().find(|c| c["tp"] == suggested.gpus.unwrap()).unwrap();
    assert!((size["alone"]["ttft_ms"].as_f64().unwrap() - suggested.latency_ms).abs() < 0.01);
    assert_eq!(config.decode_worker.unwrap().tp, log.decode.unwrap().gpus);
    // As text and back, a double may lose its last bit.
    let near = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a / b - 1.0).abs() < 1e-12);
    let (of_yaml, of_npz) = (config.prefill.unwrap(), run.prefill.unwrap());
    assert!(near(&of_yaml.ttft_ms, &of_npz.ttft_ms) && of_npz.ttft_ms.len() == 17, "YAML and npz hold the same");
    let (of_yaml, of_npz) = (config.decode.unwrap(), run.decode.as_ref().unwrap());
    assert!(near(&of_yaml.itl_ms, &of_npz.itl_ms) && near(&of_yaml.kv_usage, &of_npz.kv_usage));
    assert!(!log.used_aiconfigurator, "it was not used, and the log must not say so");
    let decode = run.decode.unwrap();
    assert!((decode.batch(5) - 1.0) > 100.0 && decode.doubt(None).is_none());
    let page = std::fs::read_to_string(scratch.path("out/sweep.html")).unwrap();
    assert!(page.contains("Throughput against speed") && page.matches("<svg class=\"chart\"").count() == 4);
}

#[test]
fn under_load_is_simulated_for_the_best_two_and_for_a_trace() {
    let scratch = Scratch::new("sweep-load");
    let row = |n: usize| {
        format!(
            "{{\"timestamp\": {}, \"input_length\": 1024, \"output_length\": 16, \"hash_ids\": [{n}, {}]}}\n",
            n * 100,
            n + 100
        )
    };
    scratch.file("t.jsonl", &(0..50).map(row).collect::<String>());
    let line =
        "sweep --osl 32 --tp 1,2 --max-gpus 2 --input-file t.jsonl --custom-dataset-type mooncake_trace --format json";
    let json = json_of(&scratch, 0, line);
    assert_eq!(json, json_of(&scratch, 0, line), "a seed is an answer");
    let played = json["under_load"].as_array().unwrap();
    assert_eq!(played.len(), 2);
    for f in played {
        let levels = f["open_loop"].as_array().unwrap();
        let attained: Vec<f64> = levels.iter().map(|l| l["attainment"].as_f64().unwrap()).collect();
        assert!(attained[0] > 0.99 && attained[5] < attained[0], "{attained:?}");
        assert!(f["capacity_rps"].as_f64().unwrap() > 0.0);
        assert_eq!((&f["trace"]["requests"], &f["trace"]["refused"]), (&Value::from(50), &Value::from(0)));
    }
    let text = String::from_utf8(
        run_expecting(0, &scratch, "sweep --osl 32 --tp 1,2 --max-gpus 2 --under-load --output-dir out --plots p")
            .stdout,
    )
    .unwrap();
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert!(text.contains("Under load, ") && text.contains("\nCapacity "), "{text}");
    let page = std::fs::read_to_string(scratch.path("out/sweep.html")).unwrap();
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 8);
    plots::assert_plots(
        &scratch.path("p"),
        &page,
        "sweep --osl 32 --tp 1,2 --max-gpus 2 --under-load --output-dir out --plots p",
    );
    run_expecting(2, &scratch, "sweep --points t.csv --plots p");
}

/// Tables of a made-up deployment: a prompt takes 30 ms and 1.2 times what is predicted, a step 5 ms and 0.05 ms a sequence more.
fn measured(scratch: &Scratch) {
    run_expecting(0, scratch, "sweep --tp 1 --max-gpus 1 --ttft 5000 --output-dir kernels");
    let run = ProfilerRun::read(&scratch.path("kernels")).unwrap().unwrap();
    let (mut prefill, mut decode) = (run.prefill.unwrap(), run.decode.unwrap());
    prefill.ttft_ms.iter_mut().for_each(|t| *t = 30.0 + 1.2 * *t);
    for i in 0..decode.itl_ms.len() {
        decode.itl_ms[i] += 5.0 + 0.05 * decode.batch(i);
    }
    let write = |name: &str, bytes: Vec<u8>| {
        let path = scratch.path("measured").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("selected_prefill_interpolation/raw_data.npz", npz::encode(&prefill.arrays()).unwrap());
    write("selected_decode_interpolation/raw_data.npz", npz::encode(&decode.arrays(&[decode.max_kv_tokens])).unwrap());
    for (clients, ttft, rate) in [(1, 900.0, 0.2), (4, 1800.0, 0.8), (8, 6800.0, 0.8)] {
        let metric = |value: f64| serde_json::json!({"avg": value});
        let run = serde_json::json!({
            "request_throughput": metric(rate),
            "time_to_first_token": metric(ttft),
            "inter_token_latency": metric(12.6),
            "input_sequence_length": metric(2048.0),
            "output_sequence_length": metric(256.0),
            "input_config": {"loadgen": {"concurrency": clients}},
        });
        write(&format!("validation/c{clients}/profile_export_aiperf.json"), run.to_string().into_bytes());
    }
}

#[test]
fn a_calibration_is_found_again_kept_and_used_by_sweep_and_serve() {
    let scratch = Scratch::new("sweep-calibrate");
    measured(&scratch);
    let json = json_of(
        &scratch,
        0,
        "sweep --tp 1 --max-gpus 1 --ttft 5000 --calibrate-from measured --profile-output p.json --format json",
    );
    let fitted = &json["profile"]["calibration"];
    let near = |value: &Value, expected: f64| {
        assert!((value.as_f64().unwrap() / expected - 1.0).abs() < 1e-3, "{value} for {expected}");
    };
    near(&fitted["prefill"]["request_ms"], 30.0);
    near(&fitted["prefill"]["factor"], 1.2);
    near(&fitted["decode"]["step_ms"], 5.0);
    near(&fitted["decode"]["sequence_ms"], 0.05);
    near(&fitted["deployment"]["serial_ms"], 1250.0);
    let held = &json["profile"]["held_out"];
    assert_eq!(
        (&held["prefill"]["points"], &held["decode"]["points"], &held["deployment_ttft"]["points"]),
        (&15.into(), &34.into(), &1.into())
    );
    assert!(
        held["prefill"]["error_pct"].as_f64().unwrap() < 0.1
            && held["prefill"]["uncalibrated_pct"].as_f64().unwrap() > 10.0
    );
    let kernels = json_of(&scratch, 0, "sweep --tp 1 --max-gpus 1 --ttft 5000 --format json");
    let alone = |json: &Value| json["static_engine"][0]["alone"]["ttft_ms"].as_f64().unwrap();
    assert!((alone(&json) - (30.0 + 1.2 * alone(&kernels))).abs() < 0.01);
    let again = json_of(&scratch, 0, "sweep --tp 1 --max-gpus 1 --ttft 5000 --profile p.json --format json");
    assert!((alone(&again) / alone(&json) - 1.0).abs() < 1e-12, "a file keeps what was fitted, to the last bit or two");
    near(&json["handoff"]["ms"], 1250.0);
    // What the sweep predicts for a lone request, the simulated deployment does.
    let text = String::from_utf8(
        run_expecting(0, &scratch, "sweep --tp 1 --max-gpus 1 --ttft 5000 --profile p.json --under-load").stdout,
    )
    .unwrap();
    assert!(text.contains("Calibrated ") && text.contains("Deployed "), "{text}");
    let played =
        json_of(&scratch, 0, "sweep --tp 1 --max-gpus 1 --ttft 5000 --profile p.json --under-load --format json");
    near(&played["under_load"][0]["closed_loop"][0]["ttft_ms"]["mean"], alone(&json));
    let refused = run_expecting(2, &scratch, "serve --port 0 --gpu h100_sxm --profile p.json");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("h100_sxm"), "another GPU's host time is not taken");
    let refused = run_expecting(2, &scratch, "sweep --backend trtllm --profile p.json");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the profile was made of"));
}

#[test]
fn ai_configurator_is_asked_where_it_is_and_its_absence_is_told() {
    let scratch = Scratch::new("sweep-aic");
    let mut without = support::loadline(&scratch, "sweep --method aic");
    let text = String::from_utf8(without.env("PATH", scratch.path("")).output().unwrap().stdout).unwrap();
    assert!(
        text.replace("\n           ", " ")
            .contains("AI Configurator was not used: neither aiconfigurator nor aisimulate is on the PATH"),
        "{text}"
    );
    // A stand-in that writes what AI Configurator 0.12.0 writes, and fails unless it is asked as that wants it.
    let heads = "model,bs,ttft,tpot,seq/s,num_total_gpus,tp,pp,dp,version";
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *'--model-path Qwen/Qwen3-32B --system h200_sxm --backend trtllm --total-gpus 8'*) ;; *) echo bad >&2; exit 1;; esac\n\
         for dir; do :; done\n/bin/mkdir -p $dir/x/agg\nprintf '{heads}\\nm,80,485.28,49.528,6.204,2,2,1,1,1.3.0\\n' > $dir/x/agg/best_config_topn.csv\n"
    );
    let program = scratch.file("aiconfigurator", &script);
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut with = support::loadline(&scratch, "sweep --backend trtllm --method aic --format json");
    let output = with.env("PATH", scratch.path("")).output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let theirs = &json["aiconfigurator"];
    assert_eq!(
        (&theirs["kernels_version"], &theirs["topologies"][0]["name"]),
        (&"1.3.0".into(), &"4 x TP2".into()),
        "{}",
        json["notes"]
    );
    let mut refused = support::loadline(&scratch, "sweep --backend vllm --method aic");
    let text = String::from_utf8(refused.env("PATH", scratch.path("")).output().unwrap().stdout).unwrap();
    assert!(text.contains("aiconfigurator failed: bad"), "{text}");
}
