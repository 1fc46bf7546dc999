//! `loadline sweep` from end to end: the plan's command lines, what is printed, what is written, exit codes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use serde_json::Value;
use support::{Scratch, run_expecting};

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
    let broken = scratch.file("broken.json", "{}").display().to_string();
    let refused = run_expecting(2, &scratch, &format!("sweep --model {broken}")).stderr;
    assert!(String::from_utf8(refused).unwrap().contains("num_attention_heads"));
}
