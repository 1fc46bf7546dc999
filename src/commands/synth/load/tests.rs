//! `synth load` from its flags to its rows: what is drawn, and that what is told of it is so.

use clap::Parser;

use super::*;
use crate::cli::synth::SynthCommand;
use crate::trace::{ReadOptions, TimeUnit, parse};

#[derive(clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: SynthCommand,
}

fn generate(flags: &str) -> Result<(String, SynthReport)> {
    let words = ["synth", "load", "-o", "-"].into_iter().chain(flags.split_whitespace());
    let mut out = Vec::new();
    let report = crate::commands::synth::run(&Line::try_parse_from(words).unwrap().command, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), report))
}

fn trace(rows: &str) -> Trace {
    let options = ReadOptions { time_unit: TimeUnit::Ms, ..ReadOptions::default() };
    parse(&mut rows.as_bytes(), "t", &options).unwrap()
}

const PRODUCT: &str = "--rate (10+sin(amplitude=8,period=20s,phase=0.25))*ramp(from=1,to=3,end=60s) --time-duration 90";

#[test]
fn what_is_told_is_what_was_drawn() {
    let (rows, report) =
        generate(&format!("{PRODUCT} --isl 1000 --isl-stddev 300 --osl 50 --hit-rate 0.3 --seed 5")).unwrap();
    let trace = trace(&rows);
    trace.check().unwrap();
    assert_eq!(trace.entries.len() as u64, report.drawn);
    // 10 * (60 * 2 + 30 * 3); the swing, a cosine over whole periods of the ramp and half periods after it, adds nothing.
    assert!((report.expected.unwrap() - 2100.0).abs() < 1e-6, "{report}");
    assert!(report.z_score.unwrap().abs() < 3.0, "seed 5: {report}");
    let load = report.load.unwrap();
    let mean = trace.entries.iter().map(|e| f64::from(e.input_tokens)).sum::<f64>() / report.drawn as f64;
    assert!((load.mean_isl - mean).abs() < 1e-9 && (mean - 1000.0).abs() < 30.0, "seed 5: {report}");
    assert!((load.hits.expected - 0.3).abs() < 2e-4 && (load.hits.drawn - 0.3).abs() < 0.01, "seed 5: {report}");
}

#[test]
fn burstiness_is_that_of_the_arrivals_and_not_of_the_rate() {
    let idc = |pattern: &str| {
        let flags = format!("--rate 40 --time-duration 500 --isl 10 {pattern} --seed 2");
        let (_, report) = generate(&flags).unwrap();
        assert!(report.z_score.is_none_or(|z| z.abs() < 3.0), "{pattern}, seed 2: {report}");
        (report.idc_100ms.unwrap(), report.idc_1s.unwrap())
    };
    // For windows of many gaps the index of dispersion is the gaps' variance: 1 / shape. Its standard error over 500 windows
    // of a second is 6 %.
    assert!((idc("").1 - 1.0).abs() < 0.2 && (idc("").0 - 1.0).abs() < 0.1);
    assert!((idc("--arrival-smoothness 0.25").1 - 4.0).abs() < 0.8);
    assert!((idc("--arrival-pattern gamma --arrival-smoothness 4").1 - 0.25).abs() < 0.07);
    assert!(idc("--arrival-pattern constant").1 < 0.01);
}

#[test]
fn each_dimension_has_its_seed() {
    let flags = format!("{PRODUCT} --isl 1500 --isl-stddev 500 --hit-rate 0.3 --turns 2 --turn-isl 50 --seed 5");
    let (rows, _) = generate(&flags.replace("--hit-rate 0.3", "")).unwrap();
    assert_eq!(generate(&flags.replace("--hit-rate 0.3", "")).unwrap().0, rows);
    let column = |rows: &str, pick: fn(&crate::trace::Entry) -> Option<i64>| -> Vec<i64> {
        trace(rows).entries.iter().filter_map(pick).collect()
    };
    let (times, lengths) = (
        |rows: &str| column(rows, |e| e.arrival_ns),
        |rows: &str| column(rows, |e| e.arrival_ns.map(|_| i64::from(e.input_tokens))),
    );
    let think = |rows: &str| column(rows, |e| e.delay_ns);
    for (seed, changed) in [("arrivals", 0), ("lengths", 1), ("sessions", 2)] {
        let (other, _) = generate(&format!("{} --seed-{seed} 6", flags.replace("--hit-rate 0.3", ""))).unwrap();
        let same = [
            times(&other) == times(&rows),
            lengths(&other)[..900] == lengths(&rows)[..900],
            think(&other) == think(&rows),
        ];
        let expected = [changed != 0, changed != 1, changed != 2];
        // Other arrivals are another number of sessions, and so of pauses.
        assert!(same[..2] == expected[..2] && (seed == "arrivals" || same[2] == expected[2]), "{seed}: {same:?}");
    }
    let single = flags.replace("--turns 2 --turn-isl 50", "");
    let with = |seed: &str| trace(&generate(&format!("{single} {seed}")).unwrap().0);
    let (a, b) = (with(""), with("--seed-prefixes 6"));
    assert!(
        a.block_ids != b.block_ids && a.entries.iter().zip(&b.entries).all(|(a, b)| a.input_tokens == b.input_tokens)
    );
}

#[test]
fn lengths_come_from_a_trace_or_from_two_shapes() {
    let file = std::env::temp_dir().join(format!("loadline-lengths-{}.jsonl", std::process::id()));
    let row = |i: u32| {
        format!("{{\"timestamp\": {}, \"input_length\": {}, \"output_length\": {}}}\n", i * 1000, 100 * i + 1, 9 + i)
    };
    std::fs::write(&file, (0..40).map(row).collect::<String>()).unwrap();
    let (rows, _) = generate(&format!("--rate 20 --lengths-from {} --seed 3", file.display())).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(trace(&rows).entries.iter().all(|e| e.output_tokens == Some(9 + e.input_tokens / 100)), "pairs stay pairs");
    let swing = "--rate 50 --shapes 3000/150,500/20 --first-share 0.5+sin(amplitude=0.5,period=200s) --seed 3";
    let (rows, _) = generate(swing).unwrap();
    let share = |part: fn(&i64) -> bool| {
        let trace = trace(&rows);
        let part: Vec<_> = trace.entries.iter().filter(|e| e.arrival_ns.as_ref().is_some_and(part)).collect();
        part.iter().filter(|e| e.input_tokens == 3000).count() as f64 / part.len() as f64
    };
    // Half a period: the mean share is 1/2 + 1/pi; at its middle, 1.
    assert!((share(|_| true) - 0.818).abs() < 0.02, "seed 3: {}", share(|_| true));
    assert!(share(|t_ns| (48_000_000_000..52_000_000_000).contains(t_ns)) > 0.97, "seed 3");
}

#[test]
fn mistakes_are_told_with_the_flag_and_the_remedy() {
    for (flags, message) in [
        ("--rate 5 --time-duration 0", "--time-duration 0 cannot be; use seconds from 0.001 to 31622400"),
        ("--rate 5 --isl 0", "--isl 0 cannot be; use a number of tokens from 1 to 16777216"),
        ("--rate 5 --osl 9 --osl-stddev -1", "--osl-stddev -1 cannot be; use a number of tokens from 0 to 16777216"),
        ("--rate 5 --hit-rate 1.5", "--hit-rate 1.5 cannot be; use a share of tokens from 0 to 1"),
        ("--rate 5 --turns 0.5", "--turns 0.5 cannot be; use a mean number of turns from 1 to 1000"),
        (
            "--rate 5 --turns 2.5 --session-law constant",
            "--turns 2.5 cannot be the same for all sessions; use a whole number, or --session-law random",
        ),
        ("--rate 5 --arrival-smoothness 0", "--arrival-smoothness 0 cannot be; use a shape from 0.001 to 1000000"),
        (
            "--rate 5 --arrival-smoothness 2 --arrival-pattern constant",
            "--arrival-smoothness is gamma's, and constant arrivals have none; leave one of the two out",
        ),
        (
            "--rate 5 --prefix-depth 10 --prefix-branching 10",
            "--prefix-depth 10 and --prefix-branching 10 cannot be; use numbers from 1, of at most 64 levels and 1e9 prefixes (branching to the power of depth)",
        ),
        (
            "--rate 5 --shapes 5/6",
            "--shapes \"5/6\" is not two shapes; write prompt and answer tokens of both, from 1 to 16777216: 3000/150,150/20",
        ),
        ("--rate 5 --block-size 0", "--block-size 0 cannot be; use a number of tokens from 1 to 16777216"),
    ] {
        let told = generate(&format!("{flags} --seed 1")).err().map_or_else(String::new, |e| e.to_string());
        assert_eq!(told, message, "{flags}");
    }
    let much = generate("--rate 1e5 --time-duration 1e4").unwrap_err().to_string();
    assert!(much.contains("lower --time-duration"), "{much}");
}
