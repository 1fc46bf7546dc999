//! `loadline synth load` as a program: its help, its rows, what it tells and what it refuses, held to the snapshot in
//! `tests/snapshots/synth_load.txt` (`LOADLINE_BLESS=1 cargo test --test synth` writes it anew); and that `profile` finds what it told.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the snapshot is written anew on request")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SMALL: &str =
    "--rate 3 + sin(amplitude=2, period=4s)|--time-duration|4|--isl|1200|--isl-stddev|300|--osl|40|--seed|7|-o|-";

/// Arguments, separated by bars.
const LINES: &[&str] = &[
    "--help",
    SMALL,
    "--hit-rate|0.3|--prefix-depth|2|--prefix-branching|2|--block-size|128",
    "--turns|2|--think-time|0.5|--turn-isl|30|--arrival-pattern|constant",
    "--hit-rate|0.99",
    "--turns|3|--hit-rate|0.1",
    "--shapes|10/20,30/40",
    "--first-share|0.5",
];

fn loadline(verb: &[&str], words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadline"));
    command.args(verb).args(words).env_remove("COLUMNS").output().unwrap()
}

fn synth(words: &[&str]) -> Output {
    loadline(&["synth", "load"], words)
}

fn small() -> Vec<&'static str> {
    let (rate, rest) = SMALL.split_once('|').unwrap();
    let (flag, expression) = rate.split_once(' ').unwrap();
    [flag, expression].into_iter().chain(rest.split('|')).collect()
}

#[test]
fn help_rows_and_messages_are_those_of_the_snapshot() {
    let mut told = String::new();
    for line in LINES {
        let words = match *line {
            "--help" => vec!["--help"],
            SMALL => small(),
            more => small().into_iter().chain(more.split('|')).collect(),
        };
        let out = synth(&words);
        writeln!(told, "=== {}\nexit code {}", words.join(" "), out.status.code().unwrap()).unwrap();
        told += &String::from_utf8_lossy(&out.stdout);
        told += &String::from_utf8_lossy(&out.stderr);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/synth_load.txt");
    if std::env::var_os("LOADLINE_BLESS").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    for (n, (told, kept)) in told.lines().zip(kept.lines()).enumerate() {
        assert_eq!(told, kept, "line {} of {}", n + 1, path.display());
    }
    assert_eq!(told.lines().count(), kept.lines().count());
}

#[test]
fn profile_expects_the_hits_that_were_told() {
    let folder: PathBuf = std::env::temp_dir().join(format!("loadline-synth-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (trace, run) = (folder.join("t.jsonl"), folder.join("run"));
    let (trace, run_dir) = (trace.to_str().unwrap(), run.to_str().unwrap());
    let made = synth(&[
        "--rate",
        "steps(0s:60, 1s:90)",
        "--time-duration",
        "2",
        "--isl",
        "1000",
        "--isl-stddev",
        "300",
        "--osl",
        "3",
        "--hit-rate",
        "0.5",
        "--prefix-depth",
        "2",
        "--prefix-branching",
        "2",
        "--block-size",
        "64",
        "--seed",
        "4",
        "-o",
        trace,
    ]);
    let told = String::from_utf8(made.stderr).unwrap();
    let drawn: f64 = told.split("drawn ").last().unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let replayed = loadline(&["profile"], &["--streaming", "--input-file", trace, "--artifact-dir", run_dir]);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(run.join("run.json")).unwrap()).unwrap();
    let rows = std::fs::read_to_string(trace).unwrap();
    let prompt_tokens: f64 = rows
        .lines()
        .map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()["input_length"].as_f64().unwrap())
        .sum();
    let expected = manifest["config"]["expected_cached_tokens"].as_f64().unwrap() / prompt_tokens;
    assert!((expected - drawn).abs() < 1e-4, "profile expects {expected}, {told}");
    assert_eq!(manifest["counts"]["completed"], rows.lines().count());
    std::fs::remove_dir_all(folder).unwrap();
}
