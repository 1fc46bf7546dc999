//! `loadline sweep --online` from the outside: simulated, at a URL, launched; what is written, what fails how, and that nothing that
//! was started is left.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use loadline::profiler::results::folder::ProfilerRun;
use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server;
use loadline::time::{Clock, SECOND_NS, SystemClock};
use rustix::process::{Pid, test_kill_process_group};
use serde_json::Value as Json;
use support::{Scratch, loadline, run_expecting};

/// Few and short requests: the tests' build simulates slowly.
const SMALL: &str =
    "--isl 64 --osl 4 --prefill-isl 32 --prefill-requests 2 --requests-min 24 --seed 1 --no-server-metrics";

fn read(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(json: &Json, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"))
}

#[test]
fn two_simulated_sizes_are_measured_and_one_is_recommended() {
    let scratch = Scratch::new("online");
    let line = format!("sweep --online {SMALL} --tp 1,2 --max-num-seqs 4 --output-dir out");
    let output = run_expecting(0, &scratch, &line);
    let online = read(&scratch.path("out/online.json"));
    assert_eq!((&online["schema"], &online["source"]), (&"loadline.online/1".into(), &"measured".into()));
    let candidates = online["candidates"].as_array().unwrap();
    assert_eq!(candidates.iter().map(|c| c["tp"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let mut gpu_s = 0.0;
    for c in candidates {
        assert_eq!((&c["state"], &c["deployment"]), (&"measured".into(), &"simulated".into()), "{c}");
        let lengths: Vec<u64> =
            c["prefill"].as_array().unwrap().iter().map(|p| p["isl_tokens"].as_u64().unwrap()).collect();
        assert_eq!(lengths, [32, 64], "the asked length is always among them");
        let points = c["points"].as_array().unwrap();
        let batches: Vec<u64> = points.iter().map(|p| p["batch"].as_u64().unwrap()).collect();
        assert!(batches.is_sorted_by(|a, b| a < b) && batches.starts_with(&[1, 2]), "{batches:?}");
        // Four run at once: more clients wait, and bring nothing.
        assert_eq!((&c["search_ended_by"], &c["capacity"]["saturated"]), (&"throughput".into(), &true.into()));
        assert!((3..=8).contains(&c["capacity"]["batch"].as_u64().unwrap()), "{}", c["capacity"]);
        for p in points {
            let clients = p["batch"].as_u64().unwrap();
            let run =
                read(&scratch.path("out").join(p["run_dir"].as_str().unwrap()).join("profile_export_aiperf.json"));
            assert_eq!(run["request_count"]["avg"], (24 + 4 * clients) as f64);
            assert_eq!(p["numbers_are_of"], "steady_state");
            let per_gpu = number(p, "requests_per_s") * 4.0 / c["gpus"].as_f64().unwrap();
            assert!((per_gpu / number(p, "tokens_per_s_per_gpu") - 1.0).abs() < 1e-9);
        }
        let cost = &c["cost"];
        assert_eq!(
            (&cost["source"], &cost["clock"], &cost["ready_s"]),
            (&"measured".into(), &"simulated".into(), &0.0.into())
        );
        assert!((number(cost, "gpu_s") / number(cost, "measure_s") / c["gpus"].as_f64().unwrap() - 1.0).abs() < 1e-9);
        gpu_s += number(cost, "gpu_s");
    }
    assert!((gpu_s / number(&online["cost"], "gpu_s") - 1.0).abs() < 1e-9);
    assert_eq!((&online["cost"]["deployments"], &online["missing"]), (&2.into(), &Json::Array(Vec::new())));
    let best = &online["recommendation"]["best"];
    let per_gpu = |p: &Json| number(p, "tokens_per_s_per_gpu");
    let all = candidates.iter().flat_map(|c| c["points"].as_array().unwrap());
    let most = all.filter(|p| p["meets_sla"] == true).map(per_gpu).fold(0.0, f64::max);
    assert_eq!((per_gpu(best), &best["meets_sla"]), (most, &true.into()));
    assert_ne!(online["recommendation"]["runner_up"]["point"]["topology"]["tp"], best["topology"]["tp"]);
    let csv = std::fs::read_to_string(scratch.path("out/online.csv")).unwrap();
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|l| l.split(',').count() == columns) && csv.contains("\nprefill,TP1,1,1,32,"), "{csv}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    for part in ["\n1 ", "\n2 ", "\nDeploy ", "\nRunner-up ", "simulated time", "2 deployments"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn the_clients_of_a_load_do_not_ask_in_step() {
    let scratch = Scratch::new("online-step");
    let line = "sweep --online --isl 2048 --osl 32 --prefill-isl 2048 --prefill-requests 2 --tp 1 --max-concurrency 2 --output-dir out";
    run_expecting(0, &scratch, line);
    let one = &read(&scratch.path("out/online.json"))["candidates"][0];
    let alone = number(&one["prefill"][0], "ttft_ms");
    let ttft: Vec<f64> = one["points"].as_array().unwrap().iter().map(|p| number(p, "ttft_ms")).collect();
    assert!((ttft[0] / alone - 1.0).abs() < 0.01, "{ttft:?} {alone}");
    // In step, both prompts are computed together and take twice as long.
    assert!(ttft[1] < 1.3 * alone, "{ttft:?} {alone}");
}

#[test]
fn the_folder_is_the_originals_with_the_duration_of_the_deployments_in_its_log() {
    let scratch = Scratch::new("online-folder");
    // The original's name measures; with its flag for predictions it does not.
    let small = SMALL.replace("--osl 4", "--osl 128");
    let line = format!("profile-sla --backend vllm {small} --tp 1 --max-num-seqs 2 --output-dir out --format json");
    let online: Json = serde_json::from_slice(&run_expecting(0, &scratch, &line).stdout).unwrap();
    let run = ProfilerRun::read(&scratch.path("out")).unwrap().unwrap();
    let log = run.log.unwrap();
    assert_eq!((log.deployments, log.used_aiconfigurator), (1, false));
    let measured_s = number(&online["cost"], "deployed_s");
    assert!(measured_s > 3.0 && (log.duration_s.unwrap() - measured_s).abs() <= 1.0, "{log:?} {measured_s}");
    let (prefill, decode) = (run.prefill.unwrap(), run.decode.unwrap());
    assert_eq!(prefill.isl, [32.0, 64.0]);
    assert_eq!(log.prefill.unwrap().latency_ms, (prefill.ttft_ms[1] * 100.0).round() / 100.0);
    let capacity = online["candidates"][0]["capacity"]["batch"].as_f64().unwrap();
    assert_eq!(decode.max_kv_tokens, capacity * (64.0 + 64.0));
    let batches: Vec<f64> = (0..decode.itl_ms.len()).map(|i| decode.batch(i)).collect();
    assert!(batches.starts_with(&[1.0]) && batches.last() == Some(&capacity), "{batches:?}");
    assert_eq!(run.config.unwrap().decode_worker.unwrap().tp, Some(1));
    let json = run_expecting(0, &scratch, "profile-sla --use-ai-configurator --format json").stdout;
    assert_eq!(serde_json::from_slice::<Json>(&json).unwrap()["schema"], "loadline.sweep/1");
}

#[test]
fn an_sla_that_nothing_meets_names_its_bound_and_the_nearest_point() {
    let scratch = Scratch::new("online-infeasible");
    let line = format!("sweep --online {SMALL} --tp 1 --itl 0.5 --output-dir out");
    let text = String::from_utf8(run_expecting(1, &scratch, &line).stdout).unwrap();
    assert!(text.contains("ITL binds") && text.contains("Nearest     TP1 at 1 in flight"), "{text}");
    let online = read(&scratch.path("out/online.json"));
    let recommendation = &online["recommendation"];
    assert_eq!((&recommendation["feasible"], &recommendation["binding"]), (&false.into(), &"itl".into()));
    assert_eq!(recommendation["nearest"]["batch"], 1);
    assert_eq!(
        online["candidates"][0]["points"].as_array().unwrap().len(),
        1,
        "one client is beyond the bound already"
    );
}

#[test]
fn urls_are_measured_on_the_wall_clock_and_one_that_is_not_there_is_missing() {
    let scratch = Scratch::new("online-url");
    let config =
        ServeConfig { timing: Timing::Constant { ttft_ns: 2_000_000, itl_ns: 500_000 }, ..ServeConfig::default() };
    let server = server::spawn(&config).unwrap();
    let line = format!(
        "sweep --online {SMALL} --tp 2,4,8 --max-gpus 4 --endpoint tp=2={} --endpoint tp=4=http://127.0.0.1:9 --max-concurrency 2 \
         --gpus tp=2=4 --output-dir out",
        server.url()
    );
    let text = String::from_utf8(run_expecting(0, &scratch, &line).stdout).unwrap();
    let online = read(&scratch.path("out/online.json"));
    let [two, four, eight] = &online["candidates"].as_array().unwrap()[..] else { panic!("{online}") };
    assert_eq!(
        (&two["state"], &two["deployment"], &two["cost"]["clock"]),
        (&"measured".into(), &"endpoint".into(), &"wall".into())
    );
    assert_eq!((&two["search_ended_by"], &two["capacity"]["saturated"]), (&"clients_max".into(), &false.into()));
    assert_eq!((&two["cost"]["ready_s"], &two["url"]), (&0.0.into(), &server.url().into()));
    // It takes four GPUs, whatever its TP: throughput and cost are counted on those.
    assert_eq!((&two["tp"], &two["gpus"], &four["gpus"]), (&2.into(), &4.into(), &4.into()));
    assert!((number(&two["cost"], "gpu_s") / number(&two["cost"], "measure_s") - 4.0).abs() < 1e-9, "{two}");
    let best = &online["recommendation"]["best"];
    assert_eq!((&best["gpus"], &online["recommendation"]["engines_in_max_gpus"]), (&4.into(), &1.into()));
    assert!((number(best, "requests_per_s") * 4.0 / 4.0 / number(best, "tokens_per_s_per_gpu") - 1.0).abs() < 1e-9);
    let alone = &two["prefill"][1];
    let per_gpu = 64.0 / number(alone, "ttft_ms") * 1e3 / 4.0;
    assert!((per_gpu / number(alone, "tokens_per_s_per_gpu") - 1.0).abs() < 1e-9, "{alone}");
    assert_eq!((&four["state"], &eight["state"]), (&"failed".into(), &"not_measured".into()));
    assert!(four["reason"].as_str().unwrap().contains("does not accept connections"), "{four}");
    assert_eq!(online["missing"].as_array().unwrap().len(), 2);
    assert!(text.contains("Missing     TP4") && text.contains("TP8: it takes more than --max-gpus"), "{text}");
    assert_eq!(online["recommendation"]["best"]["topology"]["tp"], 2);
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_runs() {
    let scratch = Scratch::new("online-refused");
    for (flags, why) in [
        ("--endpoint http://a --tp 1,2", "one URL is one size"),
        ("--endpoint tp=3=http://a --tp 1,2", "TP `3` is none of --tp"),
        ("--endpoint tp=1=http://a --endpoint tp=1=sim --tp 1", "has one already"),
        ("--endpoint tp=1=http://a --tp 1,2", "TP 2 has no --endpoint"),
        ("--endpoint tp=1=ftp://a --tp 1", "unknown scheme"),
        ("--under-load", "--under-load is about predictions"),
        ("--osl 1", "an ITL needs two tokens"),
        ("--tp 8 --max-gpus 4", "no size of --tp"),
        ("--model gpt-5", "gpt-5"),
        ("--top 2", "name it with --method"),
        ("--method best", "use one of predict-all"),
        ("--method random --budget-gpu-s 0", "above 0"),
        ("--gpus 8 --tp 4", "is one engine, of 4 GPUs"),
        ("--endpoint http://a --gpus 2 --tp 4", "takes at least 4"),
        ("--endpoint http://a --gpus tp=3=8 --tp 4", "--gpus tp=3=8: TP `3` is none of --tp"),
        ("--endpoint http://a --gpus 16 --tp 4", "no size of --tp"),
    ] {
        let output = run_expecting(2, &scratch, &format!("sweep --online {flags}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(why), "{flags}: {said}");
    }
    assert!(std::fs::read_dir(scratch.path("")).unwrap().next().is_none(), "something was written");
}

#[test]
fn a_model_that_its_config_json_describes_is_simulated_as_the_one_that_is_named() {
    let scratch = Scratch::new("online-config-json");
    std::fs::create_dir(scratch.path("qwen")).unwrap();
    let config = r#"{"architectures": ["Qwen3ForCausalLM"], "hidden_size": 5120, "intermediate_size": 25600, "head_dim": 128,
        "num_attention_heads": 64, "num_key_value_heads": 8, "num_hidden_layers": 64, "vocab_size": 151936}"#;
    scratch.file("qwen/config.json", config);
    let measured = |model: &str, dir: &str| {
        let line = format!("sweep --online {SMALL} --tp 1 --max-num-seqs 2 --model {model} --output-dir {dir}");
        run_expecting(0, &scratch, &line);
        read(&scratch.path(dir).join("online.json"))
    };
    let (named, file) = (measured("Qwen/Qwen3-32B", "named"), measured("qwen/config.json", "file"));
    let points = |online: &Json| online["candidates"][0]["points"].clone();
    assert!(points(&named).as_array().unwrap().len() >= 2);
    assert_eq!((points(&named), &file["model"]), (points(&file), &"qwen/config.json".into()));
    // So does every verb that simulates, from the folder too.
    let ttft = |model: &str, dir: &str| {
        let line = format!("profile --simulate --model {model} --request-count 3 --random-seed 1 --artifact-dir {dir}");
        run_expecting(0, &scratch, &line);
        read(&scratch.path(dir).join("profile_export_aiperf.json"))["time_to_first_token"].clone()
    };
    let of_name = ttft("Qwen/Qwen3-32B --streaming", "a");
    assert!(of_name["avg"].as_f64().unwrap() > 0.0);
    assert_eq!(of_name, ttft("qwen --streaming", "b"));
}

/// A script that starts this program's server as a child, and tells the group's number; it is deaf to SIGTERM where that is asked.
fn script(scratch: &Scratch, first: &str, flags: &str) -> String {
    let program = env!("CARGO_BIN_EXE_loadline");
    let text = format!(
        "{first}\necho $$ >> groups\n{program} serve --model \"$1\" --tp \"$2\" --port \"$3\" {flags} &\nwait\nwait\n"
    );
    scratch.file("server.sh", &text);
    "MARK={tp} sh server.sh {model} {tp} {port}".into()
}

fn groups(scratch: &Scratch) -> Vec<Pid> {
    let text = std::fs::read_to_string(scratch.path("groups")).unwrap_or_default();
    text.lines().map(|line| Pid::from_raw(line.parse().unwrap()).unwrap()).collect()
}

fn launching(scratch: &Scratch, launch: &str, flags: &str) -> Command {
    let mut command = loadline(scratch, &format!("sweep --online {SMALL} --output-dir out {flags} --launch"));
    command.arg(launch);
    command
}

#[test]
fn each_size_is_launched_measured_and_ended_with_all_that_it_started() {
    let scratch = Scratch::new("online-launch");
    let launch = script(&scratch, "echo size $MARK", "--constant-ttft-ms 2 --constant-itl-ms 0.5");
    let output = launching(&scratch, &launch, "--tp 1,2 --max-concurrency 2").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let online = read(&scratch.path("out/online.json"));
    for (c, tp) in online["candidates"].as_array().unwrap().iter().zip([1, 2]) {
        assert_eq!((&c["state"], &c["deployment"], &c["tp"]), (&"measured".into(), &"launched".into(), &tp.into()));
        assert!(number(&c["cost"], "ready_s") > 0.0 && number(&c["cost"], "measure_s") > 0.0, "{c}");
        let spent = number(&c["cost"], "ready_s") + number(&c["cost"], "measure_s");
        assert!((number(&c["cost"], "gpu_s") - f64::from(tp) * spent).abs() < 1e-6, "{c}");
        let log = std::fs::read_to_string(scratch.path(c["log"].as_str().unwrap())).unwrap();
        assert!(log.contains(&format!("size {tp}")) && log.contains("loadline serves Qwen/Qwen3-32B"), "{log}");
    }
    let groups = groups(&scratch);
    assert_eq!(groups.len(), 2, "each is started once");
    assert!(groups.iter().all(|group| test_kill_process_group(*group).is_err()), "something is left");
    let log = ProfilerRun::read(&scratch.path("out")).unwrap().unwrap().log.unwrap();
    assert_eq!(log.deployments, 2);
}

#[test]
fn a_deployment_that_does_not_get_ready_names_its_log_and_the_others_are_measured() {
    let scratch = Scratch::new("online-unready");
    let server = script(&scratch, "", "--constant-ttft-ms 2 --constant-itl-ms 0.5");
    scratch.file("some.sh", "[ $2 = 4 ] && echo no room for the weights >&2 && exit 7\nexec sh server.sh $1 $2 $3\n");
    let output =
        launching(&scratch, &server.replace("server.sh", "some.sh"), "--tp 2,4 --max-concurrency 1").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let online = read(&scratch.path("out/online.json"));
    let [two, four] = &online["candidates"].as_array().unwrap()[..] else { panic!("{online}") };
    assert_eq!((&two["state"], &four["state"]), (&"measured".into(), &"failed".into()));
    let reason = four["reason"].as_str().unwrap();
    for part in
        ["TP4 did not get ready", "exit status: 7", "out/tp4/deployment.log", "it said last: no room for the weights"]
    {
        assert!(reason.contains(part), "{reason}");
    }
    // One that never answers, and no other: the program fails with that.
    let output = launching(&scratch, "sh -c 'sleep 1000' {port}", "--tp 1 --ready-timeout 0.2").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("error: the deployment of TP1 did not get ready: not ready within 0.2 s"), "{said}");
    let output = launching(&scratch, "no-such-program-9 {port}", "--tp 1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`no-such-program-9` cannot be started"));
}

#[test]
fn an_interrupt_ends_the_deployment_keeps_what_was_measured_and_says_what_is_missing() {
    let scratch = Scratch::new("online-interrupt");
    // The script does not heed SIGTERM, and a request takes a fifth of a second.
    let launch = script(&scratch, "trap '' TERM", "--constant-ttft-ms 200 --constant-itl-ms 1");
    let line = "sweep --online --isl 64 --osl 4 --prefill-isl 64 --no-server-metrics --output-dir out --tp 1,2 --stop-timeout 0.2 \
                --prefill-requests 1 --requests-min 4 --launch";
    let mut child = loadline(&scratch, line).arg(&launch).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("TP1: 2 in flight")), "it never came to two clients");
    // The run that is to be interrupted records by then.
    while !scratch.path("out/tp1/decode/concurrency_0002/requests.parquet").exists() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{rest:?}");
    let groups = groups(&scratch);
    assert!(groups.len() == 1 && test_kill_process_group(groups[0]).is_err(), "{groups:?}: something is left");
    let online = read(&scratch.path("out/online.json"));
    let [one, two] = &online["candidates"].as_array().unwrap()[..] else { panic!("{online}") };
    assert_eq!((&one["state"], &two["state"]), (&"interrupted".into(), &"not_measured".into()));
    assert_eq!((one["prefill"].as_array().unwrap().len(), one["points"].as_array().unwrap().len()), (1, 1));
    assert_eq!(online["recommendation"]["best"]["batch"], 1, "what was measured is kept");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Missing     TP1: the sweep was interrupted at it") && text.contains("TP2: "), "{text}");
}

/// Whether a process runs; one that has ended and that nobody has collected does not.
fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty())
}

#[test]
fn what_was_launched_ends_with_a_program_that_is_killed_without_a_word() {
    let scratch = Scratch::new("online-killed");
    // The script is deaf to SIGTERM and has a child, the server, with a child of its own.
    let launch =
        script(&scratch, "trap '' TERM; sleep 1000 & echo $! > sleeper", "--constant-ttft-ms 200 --constant-itl-ms 1");
    let line = "sweep --online --isl 64 --osl 4 --no-server-metrics --output-dir out --tp 1 --stop-timeout 1 --launch";
    let mut child = loadline(&scratch, line).arg(&launch).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("prompts of")), "nothing was measured");
    let script = u32::try_from(groups(&scratch)[0].as_raw_nonzero().get()).unwrap();
    let sleeper = std::fs::read_to_string(scratch.path("sleeper")).unwrap().trim().parse().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
    let all: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).chain([script, sleeper]).collect();
    assert!(all.len() >= 4 && all.iter().all(|pid| runs(*pid)), "{all:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let clock = SystemClock::starting_in(0);
    while all.iter().any(|pid| runs(*pid)) {
        assert!(clock.now_ns() < 30 * SECOND_NS, "something of {all:?} goes on");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm-tp{tp}}
spec: {template: {spec: {containers: [{name: x, args: ['--model', '{model}', '--tp={tp}']}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: llm-tp{tp}}
spec: {ports: [{port: 8765}]}
";

/// A kubectl that writes down what it is told, fails to roll `fails` out, and forwards to a server of this program.
fn kubectl(scratch: &Scratch, fails: &str) {
    use std::os::unix::fs::PermissionsExt;
    let program = env!("CARGO_BIN_EXE_loadline");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> calls\nfor last; do :; done\ncase \"$*\" in\n  *rollout*{fails}*) echo no node has so many GPUs >&2; \
         exit 1;;\n  *port-forward*) echo $$ >> groups; {program} serve --constant-ttft-ms 2 --constant-itl-ms 0.5 --port \
         ${{last%:8765}} & wait;;\nesac\n"
    );
    let path = scratch.file("kubectl", &text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    scratch.file("llm.yaml", MANIFEST);
}

fn in_cluster(scratch: &Scratch, path: &str) -> std::process::Output {
    let mut command = launching(scratch, "kubectl:llm.yaml", "--namespace llm --tp 1,2 --max-concurrency 1");
    command.env("PATH", path).output().unwrap()
}

#[test]
fn manifests_are_applied_waited_for_forwarded_and_deleted() {
    let scratch = Scratch::new("online-kubectl");
    kubectl(&scratch, "tp2");
    let output = in_cluster(&scratch, &format!("{}:/usr/bin:/bin", scratch.path("").display()));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = std::fs::read_to_string(scratch.path("calls")).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    let [apply, rollout, forward, delete, apply_2, _, delete_2] = calls[..] else { panic!("{calls:?}") };
    assert_eq!(apply, "--namespace llm apply -f out/tp1/manifest.yaml");
    assert!(rollout.starts_with("--namespace llm rollout status deployment/llm-tp1 --timeout="), "{rollout}");
    assert!(
        forward.starts_with("--namespace llm port-forward service/llm-tp1 ") && forward.ends_with(":8765"),
        "{forward}"
    );
    assert_eq!(delete, "--namespace llm delete -f out/tp1/manifest.yaml --ignore-not-found --wait");
    assert_eq!(
        (apply_2, delete_2),
        (&*apply.replace("tp1", "tp2"), &*delete.replace("tp1", "tp2")),
        "what failed is deleted, too"
    );
    let applied = std::fs::read_to_string(scratch.path("out/tp1/manifest.yaml")).unwrap();
    assert_eq!(applied, MANIFEST.replace("{tp}", "1").replace("{model}", "Qwen/Qwen3-32B"));
    assert!(groups(&scratch).iter().all(|group| test_kill_process_group(*group).is_err()), "a port is still forwarded");
    let online = read(&scratch.path("out/online.json"));
    let [one, two] = &online["candidates"].as_array().unwrap()[..] else { panic!("{online}") };
    assert_eq!((&one["state"], &one["deployment"]), (&"measured".into(), &"kubernetes".into()));
    let reason = two["reason"].as_str().unwrap();
    assert!(reason.contains("kubectl rollout status") && reason.contains("no node has so many GPUs"), "{reason}");
}

#[test]
fn without_kubectl_there_is_one_clear_error() {
    let scratch = Scratch::new("online-no-kubectl");
    scratch.file("llm.yaml", MANIFEST);
    let output = in_cluster(&scratch, "/nowhere");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    assert!(said.contains("`kubectl` cannot be started") && said.contains("is it on the PATH?"), "{said}");
}

#[test]
fn a_method_measures_what_it_needs_and_writes_down_how_it_chose() {
    let scratch = Scratch::new("online-method");
    let line = format!("sweep --online {SMALL} --tp 1,2 --batches 1,2,4 --max-concurrency 4 --output-dir out");
    let text = run_expecting(0, &scratch, &format!("{line} --method stack-rank --top 2")).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("Method stack-rank, among 6 candidates") && text.contains("\nDeploy "), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    let selection = read(&scratch.path("out/selection.json"));
    let all = selection["candidates"].as_array().unwrap();
    let steps = selection["steps"].as_array().unwrap();
    let predicted = |step: &Json| number(&all[step["candidate"].as_u64().unwrap() as usize], "predicted");
    let mut best: Vec<f64> = all.iter().map(|c| number(c, "predicted")).collect();
    best.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(steps.iter().map(predicted).collect::<Vec<_>>(), best[..2]);
    let values: Vec<f64> = steps.iter().map(|step| number(step, "value")).collect();
    let chosen = steps.iter().find(|step| number(step, "value") == values[0].max(values[1])).unwrap();
    assert_eq!(selection["chosen"], chosen["candidate"]);
    // In this build and at these lengths the simulation is the prediction's own model.
    assert!(steps.iter().all(|step| (number(step, "value") / predicted(step) - 1.0).abs() < 0.25), "{selection}");
    let online = read(&scratch.path("out/online.json"));
    let points: usize =
        online["candidates"].as_array().unwrap().iter().map(|c| c["points"].as_array().unwrap().len()).sum();
    assert_eq!(points, 2);
    assert!(
        (number(&selection["cost"], "gpu_s") / number(&online["cost"], "gpu_s") - 1.0).abs() < 1e-6,
        "{selection} {online}"
    );
    // Nothing is measured for a prediction.
    run_expecting(
        0,
        &scratch,
        &format!("{} --method aic-all", line.replace("--output-dir out", "--output-dir predicted")),
    );
    let selection = read(&scratch.path("predicted/selection.json"));
    assert_eq!((&selection["method"], selection["steps"].as_array().unwrap().len()), (&"predict-all".into(), 0));
    assert_eq!(number(&selection["chosen_candidate"], "predicted"), best[0]);
    assert!(!scratch.path("predicted/tp1").exists());
    // Shorter measurements are runs of their own.
    let line = line.replace("--output-dir out", "--output-dir halving --format json");
    let halving: Json =
        serde_json::from_slice(&run_expecting(0, &scratch, &format!("{line} --method halving")).stdout).unwrap();
    let efforts: Vec<f64> = halving["steps"].as_array().unwrap().iter().map(|step| number(step, "effort")).collect();
    assert_eq!(efforts, [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 1.0, 1.0]);
    assert_eq!(halving, read(&scratch.path("halving/selection.json")));
    let runs = |tp| std::fs::read_dir(scratch.path(&format!("halving/tp{tp}/decode"))).unwrap().count();
    assert_eq!(runs(1) + runs(2), efforts.len());
}

#[test]
fn a_method_starts_each_size_once_where_its_candidates_stand_together() {
    let scratch = Scratch::new("online-method-launch");
    let launch = script(&scratch, "[ $2 = 4 ] && exit 7", "--constant-ttft-ms 2 --constant-itl-ms 0.5");
    let flags = "--tp 1,2,4 --batches 1,2 --max-concurrency 2 --ttft 5000 --method measure-all";
    let output = launching(&scratch, &launch, flags).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let selection = read(&scratch.path("out/selection.json"));
    let steps = selection["steps"].as_array().unwrap();
    assert_eq!(steps.len(), selection["candidates"].as_array().unwrap().len());
    for step in steps {
        let fails = step["name"].as_str().unwrap().starts_with("TP4");
        assert_eq!(step["value"].is_null(), fails, "{step}");
    }
    let groups = groups(&scratch);
    assert_eq!(groups.len(), 2, "a size that failed is not started again: {groups:?}");
    assert!(groups.iter().all(|group| test_kill_process_group(*group).is_err()), "something is left");
    let online = read(&scratch.path("out/online.json"));
    let states: Vec<&Json> = online["candidates"].as_array().unwrap().iter().map(|c| &c["state"]).collect();
    assert_eq!(states, ["measured", "measured", "failed"]);
}
