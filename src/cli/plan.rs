//! The arguments of `loadline plan`.

use std::path::PathBuf;

use clap::Args;

/// The arguments of `loadline plan`.
///
/// Runs the command lines of a file, each after those whose results it needs, and keeps every step's results under an address
/// made of its words, its inputs' contents and the program's version: a plan that was killed goes on where it was, and a changed
/// line runs again with all that follows from it, and nothing else. Steps of the same words and inputs share one result.
#[derive(Debug, Args)]
#[command(after_long_help = "\
A plan is TOML:

  [values]                          # words for the lines below, as {model}
  model = \"Qwen/Qwen3-32B\"

  [[step]]
  name = \"trace\"
  run = \"synth sin --time-duration 60 --output-file {dir}/trace.jsonl\"

  [[step]]
  name = \"measure\"                  # unfolds to measure-1, measure-2
  each = { tp = [1, 2] }
  needs = [\"trace\"]                 # steps before it
  on = \"sim-{tp}\"                   # one step at a time on each endpoint; others run beside it
  gpus = \"{tp}\"                     # for the account of GPU hours
  expected_s = 30                   # for --dry-run
  run = \"profile --simulate --model {model} --tp {tp} --input-file {trace}/trace.jsonl --artifact-dir {dir}\"

  {dir} is the step's own directory, {STEP} that of a step among its needs, {STEP:FILE:/POINTER} a value of a JSON file there.
  A value may be a list of words, and hold other values: deployment = [\"--url\", \"http://tp{tp}:8000\"]; a {deployment} by
  itself in a line is then two words. Values under [simulated] replace those of the same name with --simulate.
  with = { NAME = VALUE } gives a step values of its own; inputs = [FILES] are files whose contents matter;
  accepted_exit_codes = [0, 1] takes a failed threshold as an answer; show = true prints, after the account, what the step printed.
  Paths are as seen from where loadline is started.

Examples:
  See what would run, and what it would cost:
    loadline plan plans/quick.toml --dry-run

  Run it, and go on after Ctrl-C:
    loadline plan plans/quick.toml --output-dir results/quick

  The full-size plan in simulated time, with a trace from elsewhere:
    loadline plan plans/qwen3-32b-h200.toml --simulate --set trace=conversation_trace.jsonl")]
pub struct PlanArgs {
    /// The plan.
    pub file: PathBuf,
    /// Where the steps' results go; by default `results/` and the file's name.
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Print the steps, what they wait for, and the time and GPU hours expected; run nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Take the plan's `[simulated]` values: the same steps on simulated deployments, in simulated time.
    #[arg(long)]
    pub simulate: bool,
    /// Replace one of the plan's values; can be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// Steps that run at the same time, at most; by default one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
}

impl PlanArgs {
    /// Where the steps' results go.
    pub fn output_dir(&self) -> PathBuf {
        let stem = self.file.file_stem().unwrap_or(self.file.as_os_str());
        self.output_dir.clone().unwrap_or_else(|| PathBuf::from("results").join(stem))
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is not of the form NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
