//! `synth` from its flags to its bytes: what is drawn, what is refused, and that the repository's traces can be made again.

use std::path::{Path, PathBuf};

use clap::Parser;

use super::*;
use crate::trace::{ReadOptions, read};

#[derive(clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: SynthCommand,
}

fn generate(flags: &str) -> Result<(String, SynthReport)> {
    let words = std::iter::once("synth").chain(flags.split_whitespace());
    let mut out = Vec::new();
    let report = run(&Line::try_parse_from(words).unwrap().command, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), report))
}

fn refusal(flags: &str) -> String {
    match generate(flags) {
        Err(e @ Error::Usage(_)) => e.to_string(),
        other => panic!("{flags}: {other:?}"),
    }
}

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("loadline-synth-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_drawn_count_and_its_dispersion_are_those_of_the_rate() {
    let (rows, report) =
        generate("sin --time-duration 600 --request-rate-max 20 --request-rate-period 150 --seed 1 -o -").unwrap();
    assert_eq!(rows.lines().count() as u64, report.drawn);
    assert!((report.expected.unwrap() - 7500.0).abs() < 1e-6);
    assert!(report.z_score.unwrap().abs() < 3.0, "seed 1: {report}");
    // Arrivals are Poisson within 100 ms; over 1 s the swing of the rate adds to it: 1 + 1 s * var(rate) / mean(rate) = 3.25.
    let (short, long) = (report.idc_100ms.unwrap(), report.idc_1s.unwrap());
    assert!((1.0..1.45).contains(&short) && (2.7..3.8).contains(&long), "seed 1: {report}");
    assert!(report.to_string().contains("expected 7500.00 requests, z-score "), "{report}");
}

#[test]
fn bucketed_arrivals_are_the_older_generators_even_combs() {
    let flags =
        "sin --time-duration 600 --request-rate-max 20 --request-rate-period 150 --seed 1 --compat-bucketed -o -";
    let (rows, report) = generate(flags).unwrap();
    let times: Vec<u64> = rows
        .lines()
        .map(|r| r["{\"timestamp\": ".len()..r.find(',').unwrap()].parse().expect("whole milliseconds"))
        .collect();
    let on_the_second = times.iter().filter(|t| *t % 1000 == 0).count();
    assert!((590..=620).contains(&on_the_second), "each interval begins with a request: {on_the_second}");
    assert!(report.idc_100ms.unwrap() < 0.6, "{report}");
    // The left Riemann sum of whole periods is the integral here.
    assert!((report.expected.unwrap() - 7500.0).abs() < 1e-6 && report.z_score.unwrap().abs() < 3.0, "{report}");
}

#[test]
fn seeds_repeat_and_drawn_ones_are_told() {
    let short = |seed: &str| generate(&format!("sin --time-duration 5 -o - {seed}")).unwrap();
    assert_eq!(short("--seed 5"), short("--seed 5"));
    assert_ne!(short("--seed 5").0, short("--seed 6").0);
    let (rows, report) = short("");
    assert_eq!(short(&format!("--seed {}", report.seed)).0, rows);
}

#[test]
fn a_phase_moves_the_rate_and_leaves_the_expected_count_of_whole_periods() {
    let first_half = |phase: &str| {
        let (rows, report) =
            generate(&format!("sin --time-duration 100 --request-rate-min 0 --request-rate-max 40 --request-rate-period 100 --seed 2 -o - {phase}")).unwrap();
        assert!((report.expected.unwrap() - 2000.0).abs() < 1e-6);
        let first = |r: &&str| r["{\"timestamp\": ".len()..r.find(',').unwrap()].parse::<f64>().unwrap() < 25_000.0;
        rows.lines().filter(first).count()
    };
    // The first quarter holds 500 - 637/2 of 2000 from the minimum, 500 + 637/2 from the maximum.
    assert!(first_half("") < 260 && first_half("--phase 3.14159265") > 740);
}

#[test]
fn what_cannot_be_is_refused_by_the_name_of_its_flag() {
    for (flags, message) in [
        ("sin --request-rate-min 11", "--request-rate-min 11 is above --request-rate-max 10; exchange them"),
        ("sin --isl-osl-ratio-min 0.9", "--isl-osl-ratio-min 0.9 is above --isl-osl-ratio-max 0.8; exchange them"),
        ("sin --isl-osl-ratio-max 1.5", "--isl-osl-ratio-max 1.5 cannot be; use a share of requests from 0 to 1"),
        ("sin --request-rate-period 0", "--request-rate-period 0 cannot be; use seconds from 0.001 to 1000000000"),
        ("sin --request-rate-min -5", "--request-rate-min -5 cannot be; use requests per second from 0 to 1000000"),
        ("sin --time-duration -1", "--time-duration -1 cannot be; use seconds from 0.001 to 31622400"),
        ("sin --process-interval 0", "--process-interval 0 cannot be; use seconds from 0.001 to 31622400"),
        (
            "sin --isl-osl-ratio-period NaN",
            "--isl-osl-ratio-period NaN cannot be; use seconds from 0.001 to 1000000000",
        ),
        (
            "sin --request-rate-min 0 --request-rate-max 0",
            "--request-rate-max 0 makes no requests; use a number above 0",
        ),
        ("sin --isl1 0", "--isl1 0 cannot be; use a number of tokens from 1 to 16777216"),
        ("sin --block-size 0", "--block-size 0 cannot be; use a number of tokens from 1 to 16777216"),
        ("sin --total-blocks 0", "--total-blocks 0 leaves nothing to make prompts of; use a number from 1"),
        ("mooncake --requests 0", "--requests 0 makes no trace; use a number from 1"),
        ("mooncake --isl-scale 0", "--isl-scale 0 cannot be; use a factor from 0.0001 to 100"),
        ("mooncake --time-duration inf", "--time-duration inf cannot be; use seconds from 0.001 to 31622400"),
    ] {
        assert_eq!(refusal(flags), message);
    }
    assert!(refusal("sin --time-duration 1e7 -o -").contains("lower --time-duration"));
    assert!(refusal("mooncake --requests 999999999 -o -").contains("lower --requests"));
    assert!(refusal("sin --time-duration 0.001 --request-rate-min 0 --seed 1 -o -").contains("no request was drawn"));
}

#[test]
fn files_appear_whole_and_read_back() {
    let folder = folder("whole");
    let file = folder.join("t.jsonl");
    let (out, report) = generate(&format!("mooncake --time-duration 60 --seed 4 -o {}", file.display())).unwrap();
    assert!(out.is_empty() && std::fs::read_dir(&folder).unwrap().count() == 1, "nothing partial is left");
    let trace = read(&file, &ReadOptions::default()).unwrap();
    trace.check().unwrap();
    assert_eq!((trace.entries.len() as u64, trace.block_size), (report.drawn, 512));
    let lost = generate(&format!("sin -o {}", folder.join("no/such/folder.jsonl").display())).unwrap_err();
    assert!(lost.to_string().contains("no/such/folder.jsonl: "), "{lost}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_default_name_tells_all_parameters() {
    let Ok(Line { command: SynthCommand::Sin(args) }) =
        Line::try_parse_from(["synth", "sin", "--phase", "1", "--total-blocks", "7"])
    else {
        panic!("sin was asked for")
    };
    assert_eq!(
        sin_name(&args, Seed(42)),
        "sin_b512_n7_t100_rr5-10-10_io100-2000_io5000-100_mix0.2-0.8-10_phase1_seed42.jsonl"
    );
}

/// `traces/README.md` names the command of every trace beside it; the commands must make those files, byte for byte.
#[test]
fn the_traces_of_the_repository_can_be_made_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("traces/README.md")).unwrap().replace("\\\n", " ");
    let mut made = 0;
    for command in readme.lines().filter_map(|line| line.trim().strip_prefix("loadline synth ")) {
        let (flags, file) = command.split_once(" --output-file ").unwrap();
        let (rows, report) = generate(&format!("{flags} --output-file -")).unwrap();
        let kept = std::fs::read_to_string(root.join(file.trim())).unwrap();
        assert!(rows == kept, "{file} is not what `loadline synth {flags}` makes");
        assert!(report.duration_s < 60.0 && kept.len() < 200_000, "{report}, {} bytes", kept.len());
        let trace = read(&root.join(file.trim()), &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        assert_eq!(trace.entries.len() as u64, report.drawn);
        made += 1;
    }
    let kept = std::fs::read_dir(root.join("traces"))
        .unwrap()
        .filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "jsonl"));
    assert_eq!(made, kept.count(), "every trace has its command");
}
