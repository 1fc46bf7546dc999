//! Command lines of aiperf and of `vllm bench serve`, read by this program.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use clap::CommandFactory;
use loadline::cli::Cli;
use loadline::cli::known_flags::{AIPERF, Fate, KnownFlag, page};
use loadline::cli::spelling::{self, Surroundings};
use loadline::sim::config::ServeConfig;
use loadline::sim::server::spawn;
use serde_json::Value;
use support::{Scratch, run_expecting};

/// Where the tables of the page begin.
const MARK: &str = "<!-- Below: `known_flags::page()`. -->\n\n";
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/aiperf.md");

fn config_of(scratch: &Scratch, run_dir: &str) -> Value {
    let text = std::fs::read_to_string(scratch.path(run_dir).join("run.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Whether clap has a flag of that name for `profile`.
fn is_ours(name: &str) -> bool {
    let command = Cli::command();
    let profile = command.find_subcommand("profile").unwrap();
    profile.get_arguments().any(|arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        match name.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long) || aliases.contains(&long),
            None => arg.get_short().is_some_and(|short| name == format!("-{short}")),
        }
    })
}

#[test]
fn the_page_of_aiperfs_flags_is_the_tables() {
    let text = std::fs::read_to_string(PAGE).unwrap();
    let (head, tables) = text.split_once(MARK).unwrap();
    if std::env::vars().any(|(name, _)| name == "LOADLINE_WRITE_PAGE") {
        std::fs::write(PAGE, format!("{head}{MARK}{}\n", page().trim_end())).unwrap();
        return;
    }
    assert_eq!(tables.trim_end(), page().trim_end(), "LOADLINE_WRITE_PAGE=1 cargo test --test drop_in writes it anew");
}

#[test]
fn each_flag_is_what_its_row_says() {
    let mut wrong = Vec::new();
    for flag in AIPERF.iter().flat_map(|(_, flags)| *flags) {
        let here = flag.names().any(is_ours);
        if here != flag.fate.is_here() {
            wrong.push(format!(
                "{}: {}, but its row says {:?}",
                flag.names,
                if here { "here" } else { "not here" },
                flag.fate
            ));
        }
        for name in flag.names() {
            wrong.extend(misread(flag, name));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// What is wrong with how one name of a flag is read, if anything.
fn misread(flag: &KnownFlag, name: &str) -> Option<String> {
    let words: Vec<String> = ["loadline", "profile", name, "5.toml"].map(String::from).to_vec();
    let around = Surroundings { variable: &|_| None, file: &|_| Ok(String::new()) };
    let read = spelling::rewrite(&words, &Cli::command(), around);
    let first = read.as_ref().ok().and_then(|line| line.words.get(2)).map(|word| word.split('=').next().unwrap_or(""));
    let right = match flag.fate {
        Fate::Same | Fate::Written(_) => first.is_some_and(is_ours),
        // Of some the value that is tried is one of those which are left out.
        Fate::But(text) => match &read {
            Ok(_) => first.is_some_and(is_ours),
            Err(e) => e.to_string().contains(text),
        },
        Fate::Idle(why) => read.as_ref().is_ok_and(|line| line.notes.iter().any(|note| note.contains(why))),
        Fate::Instead(text) | Fate::Outside(text) => read.as_ref().is_err_and(|e| e.to_string().contains(text)),
    };
    (!right).then(|| format!("{name} ({:?}): {read:?}", flag.fate))
}

#[test]
fn aiperfs_command_line_runs() {
    let scratch = Scratch::new("drop-in-aiperf");
    let output = run_expecting(
        0,
        &scratch,
        "profile --model-names Qwen/Qwen3-32B --tp 8 --endpoint_type chat --streaming --prompt-input-tokens-mean 40 --osl 4 \
         --num-requests 6 --concurrency 3 --random-seed 1 --workers-max 1 --record-processors 2 --no-gpu-telemetry \
         --log-level info --output-artifact-dir run",
    );
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(talk.matches("accepted without effect").count(), 1, "{talk}");
    let run = config_of(&scratch, "run");
    assert_eq!((run["counts"]["completed"].as_u64(), run["streaming"].as_bool()), (Some(6), Some(true)));
    assert_eq!(run["config"]["load"]["concurrency"], 3);
    run_expecting(
        0,
        &scratch,
        "profile --model Qwen/Qwen3-32B --tp 8 --streaming --isl 40 --osl 4 --request-count 6 --concurrency 3 \
         --random-seed 1 --workers 1 --artifact-dir own",
    );
    assert_eq!(same_part(&run), same_part(&config_of(&scratch, "own")), "the same run in our own words");
}

#[test]
fn vllms_command_line_runs() {
    let scratch = Scratch::new("drop-in-vllm");
    let output = run_expecting(
        0,
        &scratch,
        "bench serve --backend openai-chat --model Qwen/Qwen3-32B --dataset-name random --random_input_len 40 \
         --random-output-len 4 --num-prompts 6 --max-concurrency 3 --request-rate inf --goodput ttft:500 tpot:50 --seed 1 \
         --tp 8 --disable-tqdm --workers 1 --artifact-dir run",
    );
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(talk.contains("read as vllm bench serve's command line"), "{talk}");
    let run = config_of(&scratch, "run");
    assert_eq!((run["counts"]["completed"].as_u64(), run["streaming"].as_bool()), (Some(6), Some(true)));
    assert_eq!(run["slo"].as_array().unwrap().len(), 2);
    run_expecting(
        0,
        &scratch,
        "profile --endpoint-type chat --model Qwen/Qwen3-32B --tp 8 --streaming --isl 40 --osl 4 --request-count 6 \
         --concurrency 3 --extra-inputs ignore_eos:true --goodput time_to_first_token:500 inter_token_latency:50 \
         --random-seed 1 --workers 1 --artifact-dir own",
    );
    assert_eq!(same_part(&run), same_part(&config_of(&scratch, "own")), "the same run in our own words");
}

/// What two runs of one configuration have in common.
fn same_part(run: &Value) -> (Value, Value, Value) {
    let mut config = run["config"].clone();
    config["prompt"]["cache_salt"] = Value::Null;
    config["prompt"]["text"] = Value::Null;
    config["calibration"] = Value::Null;
    (config, run["slo"].clone(), run["seed"].clone())
}

#[test]
fn what_has_no_place_is_refused_in_one_line() {
    let scratch = Scratch::new("drop-in-refused");
    for line in ["profile --accuracy-benchmark mmlu", "profile --gpu-telemetry", "bench serve --lora-modules a"] {
        let output = run_expecting(2, &scratch, line);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(talk.starts_with("error: ") && talk.lines().count() == 1, "{talk}");
    }
}

#[test]
fn a_printed_configuration_gives_the_same_run() {
    let scratch = Scratch::new("drop-in-config");
    scratch.file(
        "scenario.yaml",
        "model: Qwen/Qwen3-32B\ntp: 8\nstreaming: true\nrequest_count: 5\nisl: 40\nosl: 4\nconcurrency: 2\n\
         goodput: {ttft: 500}\nextra-inputs: {top_k: 3, stop: [\"a, b\", \"'\\\"\"]}\nheader: [\"x-ok: \\\"a\\\" b\"]\n",
    );
    let line = "profile -f scenario.yaml --concurrency 3 --workers 1 --artifact-dir first";
    let printed = run_expecting(0, &scratch, &format!("{line} --api-key s3cret --print-config"));
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(!text.contains("s3cret") && text.contains("# api-key is a secret"), "{text}");
    assert!(text.contains("\nconcurrency = 3\n") && text.contains("\n# default: gpu = \"h200_sxm\"\n"), "{text}");
    assert!(!scratch.path("first").exists(), "nothing is sent");
    scratch.file("printed.toml", &text);
    let again = run_expecting(0, &scratch, "profile --config printed.toml --print-config --api-key s3cret");
    assert_eq!(String::from_utf8_lossy(&again.stdout), text, "what was printed prints itself");
    run_expecting(0, &scratch, line);
    run_expecting(0, &scratch, "profile --config printed.toml --artifact-dir second");
    run_expecting(0, &scratch, "profile --config printed.toml --artifact-dir third");
    let [first, second, third] = ["first", "second", "third"].map(|dir| config_of(&scratch, dir));
    assert_eq!(first["counts"]["completed"], 5);
    assert_eq!(same_part(&first).0, same_part(&second).0);
    for drawn in
        ["/seed", "/config/prompt/cache_salt", "/config/prompt/text", "/config/extra_inputs", "/config/headers"]
    {
        assert_eq!(second.pointer(drawn), third.pointer(drawn), "{drawn}");
    }
    let inputs = |dir: &str| std::fs::read_to_string(scratch.path(dir).join("inputs.json")).unwrap();
    assert_eq!(inputs("second"), inputs("third"), "the same prompts, to the letter");
}

#[test]
fn a_file_that_cannot_be_used_is_told_in_one_line() {
    let scratch = Scratch::new("drop-in-bad-config");
    scratch.file("s.yaml", "model: m\n\nrequest-rat: 5\n");
    let output = run_expecting(2, &scratch, "profile -f s.yaml");
    let expected = "error: s.yaml:3: field `request-rat`: is no flag of `profile` (did you mean `request-rate`?)\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    scratch.file("long.toml", &"# long\n".repeat(200_000));
    let output = run_expecting(2, &scratch, "profile -f long.toml");
    assert!(String::from_utf8_lossy(&output.stderr).contains("longer than"));
    run_expecting(2, &scratch, "profile -f missing.toml");
}

#[test]
fn a_url_of_the_environment_is_told() {
    let scratch = Scratch::new("drop-in-environment");
    let mut command = support::loadline(&scratch, "profile --model m --print-config");
    let output = command.env("OPENAI_BASE_URL", "https://paid.example/v1").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--url-from-env"), "{output:?}");
    let mut command = support::loadline(&scratch, "profile --model m --print-config");
    let output = command.env("LOADLINE_URL", "http://lab:8000").env("LOADLINE_API_KEY", "s3cret").output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        talk,
        "note: the load goes to http://lab:8000 (LOADLINE_URL)\nnote: the key in LOADLINE_API_KEY is sent\n"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("\nurl = \"http://lab:8000\"\n"));
}

#[test]
fn vllms_result_file_has_its_keys_and_our_numbers() {
    let scratch = Scratch::new("drop-in-result");
    let line = "bench serve --backend openai-chat --model Qwen/Qwen3-32B --random-input-len 40 --random-output-len 4 \
                --num-prompts 6 --max-concurrency 3 --goodput ttft:60000 --tp 8 --workers 1 --artifact-dir run \
                --save-result --save-detailed --result-dir results --metadata tp=8 host=a=b --metric-percentiles 50,99 \
                --percentile-metrics ttft,tpot,itl,e2el";
    run_expecting(0, &scratch, line);
    let copies: Vec<_> = std::fs::read_dir(scratch.path("results")).unwrap().map(|e| e.unwrap().path()).collect();
    let [copy] = &copies[..] else { panic!("{copies:?}") };
    let name = copy.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("openai-chat-infqps-concurrency3-Qwen3-32B-2") && name.ends_with(".json"), "{name}");
    let result: Value = serde_json::from_str(&std::fs::read_to_string(copy).unwrap()).unwrap();
    let text = |key: &str| result[key].as_str().unwrap();
    assert_eq!(
        (text("backend"), text("model_id"), text("tp"), text("host")),
        ("openai-chat", "Qwen/Qwen3-32B", "8", "a=b")
    );
    assert_eq!((text("request_rate"), result["max_concurrency"].as_u64()), ("inf", Some(3)));
    let counts = ["num_prompts", "completed", "failed", "total_output_tokens"].map(|key| result[key].as_u64().unwrap());
    assert_eq!(counts, [6, 6, 0, 24]);
    let aiperf = std::fs::read_to_string(scratch.path("run").join("profile_export_aiperf.json")).unwrap();
    let aiperf: Value = serde_json::from_str(&aiperf).unwrap();
    for (theirs, ours) in [
        ("mean_ttft_ms", "/time_to_first_token/avg"),
        ("std_ttft_ms", "/time_to_first_token/std"),
        ("p99_tpot_ms", "/inter_token_latency/p99"),
        ("median_itl_ms", "/inter_chunk_latency/p50"),
        ("p50_e2el_ms", "/request_latency/p50"),
        ("request_throughput", "/request_throughput/avg"),
        ("request_goodput", "/goodput/avg"),
        ("output_throughput", "/output_token_throughput/avg"),
        ("total_token_throughput", "/total_token_throughput/avg"),
        ("total_input_tokens", "/total_isl/avg"),
    ] {
        let numbers = (result[theirs].as_f64(), aiperf.pointer(ours).and_then(Value::as_f64));
        assert!(numbers.0.is_some() && numbers.0 == numbers.1, "{theirs} {ours}: {numbers:?}");
    }
    let list = |key: &str| result[key].as_array().unwrap().clone();
    let ttfts: Vec<f64> = list("ttfts").iter().filter_map(Value::as_f64).collect();
    let mean_ms = ttfts.iter().sum::<f64>() / 6.0 * 1e3;
    assert!((mean_ms / result["mean_ttft_ms"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{ttfts:?}");
    assert!(list("itls").iter().all(|gaps| gaps.as_array().unwrap().len() == 3), "{:?}", list("itls"));
    assert_eq!(list("output_lens"), vec![Value::from(4); 6]);
    assert_eq!((list("input_lens").len(), list("errors")), (6, vec![Value::from(""); 6]));
    let beside = std::fs::read(scratch.path("run").join("vllm_result.json")).unwrap();
    assert_eq!(beside, std::fs::read(copy).unwrap());
    run_expecting(0, &scratch, "report run --output-dir again");
    assert_eq!(
        beside,
        std::fs::read(scratch.path("again").join("vllm_result.json")).unwrap(),
        "from the recording alone"
    );
    for refused in
        ["--metric-percentiles 99.9", "--percentile-metrics speed", "--save-result --metadata x", "--result-dir d"]
    {
        run_expecting(2, &scratch, &format!("profile {refused}"));
    }
}

#[test]
fn a_path_of_ones_own_is_asked() {
    let scratch = Scratch::new("drop-in-path");
    let server = spawn(&ServeConfig { tp: 8, ..ServeConfig::default() }).unwrap();
    let common = "--model Qwen/Qwen3-32B --streaming --isl 20 --osl 2 --request-count 2 --workers 1";
    for (n, (url, path, completed)) in
        [("", "/v1/chat/completions", 2), ("/v1", "v1/chat/completions", 2), ("", "/v1/nowhere", 0)]
            .into_iter()
            .enumerate()
    {
        let url = format!("{}{url}", server.url());
        support::run(
            &scratch,
            &format!("profile --url {url} --endpoint {path} --endpoint-type chat {common} --artifact-dir {n}"),
        );
        let run = config_of(&scratch, &n.to_string());
        assert_eq!(
            (run["counts"]["scheduled"].as_u64(), run["counts"]["completed"].as_u64()),
            (Some(2), Some(completed)),
            "{path}"
        );
    }
}

#[test]
fn completions_and_manual_pages_know_every_flag() {
    let scratch = Scratch::new("drop-in-pages");
    let script = run_expecting(0, &scratch, "completions bash");
    run_expecting(0, &scratch, "man pages");
    let page = std::fs::read_to_string(scratch.path("pages").join("loadline-profile.1")).unwrap().replace("\\-", "-");
    let script = String::from_utf8_lossy(&script.stdout).into_owned();
    let command = Cli::command();
    let shown = command.find_subcommand("profile").unwrap().get_arguments().filter(|arg| !arg.is_hide_set());
    let longs = shown.filter_map(clap::Arg::get_long);
    let missing: Vec<&str> =
        longs.filter(|long| !page.contains(&format!("--{long}")) || !script.contains(&format!("--{long}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
