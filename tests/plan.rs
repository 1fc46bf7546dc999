//! `loadline plan` from end to end: steps after steps, kept answers, failures, an interruption.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::io::{BufRead, BufReader};

use serde_json::Value;
use support::{Scratch, loadline, run_expecting};

const PLAN: &str = r#"
[values]
load = "--request-count 4 --isl 16 --osl 2"

[[step]]
name = "trace"
run = "synth sin --time-duration 2 --isl1 64 --isl2 64 --osl1 2 --osl2 2 --output-file {dir}/t.jsonl"

[[step]]
name = "measure"
each = { tp = [1, 2] }
needs = ["trace"]
on = "sim-{tp}"
gpus = "{tp}"
expected_s = 3600
run = "profile --simulate --tp {tp} --input-file {trace}/t.jsonl --random-seed 1 --artifact-dir {dir}"

[[step]]
name = "again"
needs = ["measure-2"]
show = true
run = "profile --simulate --request-count {measure-2:run.json:/counts/completed} --isl 8 --osl 1 --artifact-dir {dir}"
"#;

fn account(scratch: &Scratch) -> Value {
    serde_json::from_str(&std::fs::read_to_string(scratch.path("out/plan.json")).unwrap()).unwrap()
}

fn states(account: &Value) -> Vec<&str> {
    account["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect()
}

#[test]
fn a_plan_runs_once_and_only_what_changed_runs_again() {
    let scratch = Scratch::new("plan");
    scratch.file("p.toml", PLAN);
    let dry = run_expecting(0, &scratch, "plan p.toml --output-dir out --dry-run");
    let dry = String::from_utf8(dry.stdout).unwrap();
    assert!(dry.contains("4 of 4 steps to run, 7200 s one after the other, 3.000 GPU hours"), "{dry}");
    assert!(!scratch.path("out").exists(), "a dry run leaves nothing");

    let output = run_expecting(0, &scratch, "plan p.toml --output-dir out");
    let printed = String::from_utf8(output.stdout).unwrap();
    let (account_table, shown) = printed.split_once("── again ──\n").unwrap();
    assert!(account_table.contains("4 of 4 steps answered") && !account_table.contains("Request Latency"));
    assert!(shown.starts_with("loadline ") && shown.contains("Request Latency"), "{shown}");
    let first = account(&scratch);
    assert_eq!(states(&first), ["done"; 4]);
    let told = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(scratch.path(&format!("out/{name}/run.json"))).unwrap()).unwrap()
    };
    assert_eq!(told("again")["counts"]["scheduled"], told("measure-2")["counts"]["completed"]);
    assert_eq!(first["steps"][2]["gpu_s"], 2.0 * first["steps"][2]["wall_s"].as_f64().unwrap());

    run_expecting(0, &scratch, "plan p.toml --output-dir out");
    assert_eq!(states(&account(&scratch)), ["kept"; 4]);
    // Results are found wherever they are.
    std::fs::rename(scratch.path("out"), scratch.path("moved")).unwrap();
    let moved = run_expecting(0, &scratch, "plan p.toml --output-dir moved --dry-run");
    assert!(String::from_utf8(moved.stdout).unwrap().contains("0 of 4 steps to run"));
    std::fs::rename(scratch.path("moved"), scratch.path("out")).unwrap();

    scratch.file("p.toml", &PLAN.replace("--isl 8 --osl 1", "--isl 8 --osl 3"));
    run_expecting(0, &scratch, "plan p.toml --output-dir out");
    assert_eq!(states(&account(&scratch)), ["kept", "kept", "kept", "done"]);
    scratch.file("p.toml", &PLAN.replace("--time-duration 2", "--time-duration 1"));
    run_expecting(0, &scratch, "plan p.toml --output-dir out");
    // The last step hangs on a number of the third alone, and is new only if that is.
    assert_eq!(states(&account(&scratch))[..3], ["done"; 3], "what follows from a changed step is new");
}

#[test]
fn a_step_that_fails_takes_those_that_need_it_along_and_no_others() {
    let scratch = Scratch::new("plan-fails");
    let plan = r#"
        [[step]]
        name = "bad"
        run = "report nowhere"
        [[step]]
        name = "after"
        needs = ["bad"]
        run = "man {dir}"
        [[step]]
        name = "untold"
        needs = ["good"]
        run = "report {good:none.json:/x}"
        "#;
    let good = "[[step]]\nname = \"good\"\nrun = \"man {dir}\"\n";
    scratch.file("p.toml", &format!("{good}{plan}"));
    let output = run_expecting(2, &scratch, "plan p.toml --output-dir out");
    assert_eq!(states(&account(&scratch)), ["done", "failed", "skipped", "failed"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("bad: ended with 2; its words are in out/steps/bad-"), "{said}");
    assert!(said.contains("untold: out/steps/good-"), "{said}");
    assert!(scratch.path("out/good/loadline-profile.1").exists());
}

#[test]
fn an_interrupted_plan_goes_on_and_keeps_what_was_half_done() {
    let scratch = Scratch::new("plan-interrupted");
    let plan = "[[step]]\nname = \"quick\"\nrun = \"man {dir}\"\n\
        [[step]]\nname = \"slow\"\nneeds = [\"quick\"]\n\
        run = \"profile --request-rate 5 --request-count 100000 --isl 8 --osl 1 --ui none --artifact-dir {dir}\"\n";
    scratch.file("p.toml", plan);
    let mut child = loadline(&scratch, "plan p.toml --output-dir out").spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().starts_with("slow: loadline profile")));
    let steps = scratch.path("out/steps");
    let dir_of_slow = || {
        let mut dirs = std::fs::read_dir(&steps).unwrap().map(|entry| entry.unwrap().path());
        dirs.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("slow-")).unwrap()
    };
    // Its recording has begun: the signal reaches a run under way.
    while !dir_of_slow().join("out/requests.parquet").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!(states(&account(&scratch)), ["done", "interrupted"]);
    let run: Value =
        serde_json::from_str(&std::fs::read_to_string(dir_of_slow().join("out/run.json")).unwrap()).unwrap();
    assert_eq!(run["state"], "interrupted", "the step was told, and ended in order");
    scratch.file("p.toml", &plan.replace("slow", "other"));
    let dry = run_expecting(0, &scratch, "plan p.toml --output-dir out --dry-run");
    assert!(String::from_utf8(dry.stdout).unwrap().contains("1 of 2 steps to run"));
}

#[test]
fn the_plans_of_this_tree_are_plans() {
    let scratch = Scratch::new("plan-tree");
    let plans = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let trace = scratch.file("t.jsonl", "{}\n");
    let dry = |words: &str| {
        let output = run_expecting(0, &scratch, &format!("plan {}/{words} --dry-run", plans.display()));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(dry("quick.toml").contains("19 of 19 steps to run"));
    let full = format!("qwen3-32b-h200.toml --set trace={}", trace.display());
    // What deployments would cost is told; a simulation keeps no GPU busy.
    let deployed = dry(&full);
    assert!(deployed.contains("23 of 23 steps to run") && !deployed.contains(" 0.000 GPU hours"), "{deployed}");
    assert!(dry(&format!("{full} --simulate")).contains(" 0.000 GPU hours"));
}

#[test]
fn a_step_of_the_same_words_has_the_same_results() {
    let scratch = Scratch::new("plan-twins");
    let plan = "[[step]]\nname = \"one\"\nrun = \"man {dir}\"\n[[step]]\nname = \"other\"\nneeds = [\"one\"]\nrun = \"man {dir}\"\n\
        [[step]]\nname = \"third\"\nneeds = [\"other\"]\nrun = \"man {other}/x\"\n";
    scratch.file("p.toml", plan);
    run_expecting(0, &scratch, "plan p.toml --output-dir out");
    let told = account(&scratch);
    assert_eq!(states(&told), ["done", "kept", "done"]);
    assert!(
        told["steps"][1]["wall_s"].is_null() && told["steps"][0]["wall_s"].is_number(),
        "what was run once is paid once"
    );
    assert!(scratch.path("out/other/loadline-profile.1").exists() && scratch.path("out/one/x").exists());
    let steps = std::fs::read_dir(scratch.path("out/steps")).unwrap().count();
    assert_eq!(steps, 2, "the second was never run");
}
