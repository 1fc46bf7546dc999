//! The only place that knows clap, configuration files and environment variables: what was typed → what is meant.
//!
//! Each verb has a file with its arguments (their help texts are the manual) and `resolve`, which checks them against
//! each other and gives a configuration that needs no flag any more. Nothing here does what the flags ask for.

mod argv;
pub mod artifacts;
pub mod base_url;
pub mod calibrate;
pub mod compare;
pub mod config;
pub mod dataset;
pub mod endpoint;
mod environment;
pub mod engines;
pub mod goodput;
pub mod inspect;
pub mod known_flags;
pub mod lengths;
pub mod network;
mod model_file;
pub mod online;
pub mod opening;
pub mod plan;
pub mod plots;
pub mod plugin;
pub mod profile;
pub mod prompt;
pub mod ramp;
pub mod rate;
pub mod readiness;
mod printed;
pub mod resolve;
pub mod result_file;
mod scenario;
pub mod secret;
pub mod series;
pub mod serve;
pub mod session;
mod site_packages;
pub mod spelling;
pub mod sweep;
pub mod synth;
mod target;
pub mod telemetry;
pub mod trace;
pub mod validate;
mod vllm;
pub mod warmup;

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::report::terminal::Style;

/// Load generator and trace replayer for LLM serving, with the analysis built in.
#[derive(Debug, Parser)]
#[command(name = "loadline", version, max_term_width = 100, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Any other NAME is an analysis of yours: `loadline NAME RUN_DIR …` runs `loadline-NAME` from the PATH (docs/analysis.md).

Exit codes: 0 done, 1 a threshold was not met, 2 bad usage or input, 3 endpoint unusable (or --on-overload abort), 4 internal failure.
Results go to standard output, everything else to standard error.";

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Drive load into an endpoint, record the time of every token, and report.
    Profile(Box<profile::ProfileArgs>),
    /// Compute the numbers, artifacts and page of a run from its recording alone.
    Report(ReportArgs),
    /// Describe a trace, a schedule or a recording; nothing is sent.
    Inspect(Box<inspect::InspectArgs>),
    /// Serve a simulated deployment behind an OpenAI-compatible API.
    Serve(Box<serve::ServeArgs>),
    /// Predict TTFT, ITL, capacity and cost for each tensor-parallel size, and say what to deploy.
    #[command(visible_alias = "profile-sla")]
    Sweep(Box<sweep::SweepArgs>),
    /// Hold a prediction against a deployment at four levels of load.
    #[command(visible_alias = "validate-deployment")]
    Validate(Box<validate::ValidateArgs>),
    /// Find the highest rate of requests at which enough of them meet their targets (the goodput search).
    Goodput(Box<goodput::GoodputArgs>),
    /// Compare methods that choose a deployment: cost, accuracy, goodput and regret.
    #[command(visible_alias = "run-comparison")]
    Compare(Box<compare::CompareArgs>),
    /// Measure what this host's client can be believed at.
    Calibrate(calibrate::CalibrateArgs),
    /// Run many command lines as one plan, and go on where it was killed.
    Plan(plan::PlanArgs),
    /// Make a trace.
    Synth {
        /// Which kind.
        #[command(subcommand)]
        kind: synth::SynthCommand,
    },
    /// Make a trace with a sinusoidal request rate (the same as `synth sin`).
    #[command(name = "sin-synth")]
    SinSynth(synth::SynthSinArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each verb, into a directory.
    Man {
        /// The directory; it is made if it is not there.
        #[arg(default_value = "man")]
        dir: PathBuf,
    },
    /// An analysis from outside: `loadline NAME RUN_DIR …` runs `loadline-NAME` from the PATH.
    #[command(external_subcommand)]
    Plugin(Vec<String>),
}

/// The arguments of `loadline report`.
///
/// Reads run.json, requests.parquet and tokens.parquet and nothing else, and gives the numbers that `profile` gave,
/// byte for byte. A run that was killed is read as far as it was flushed; the report says what is missing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Look at a run again:
    loadline report artifacts/Qwen_Qwen3-32B-openai-chat-fixed_schedule

  Write its page and artifacts elsewhere, and fail when the run cannot be trusted:
    loadline report RUN_DIR --output-dir /tmp/again --fail-on suspect

  Write each plot of the page as SVG and PNG, for slides and papers:
    loadline report RUN_DIR --plots plots

  Lay runs over each other, and say which differences are more than chance:
    loadline report TP2 TP4 TP8 --output-dir overlaid --plots overlaid/plots")]
pub struct ReportArgs {
    /// Directory that `profile` wrote. Several, up to eight, are laid over each other: one table and one page, with the differences to the
    /// first and their intervals.
    #[arg(required = true, num_args = 1..=8, value_name = "RUN_DIR")]
    pub run_dirs: Vec<PathBuf>,
    /// Where to write the page and the artifacts; by default the run directory. Of several runs the page, runs.html, is written only here.
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Pictures.
    #[command(flatten)]
    pub plots: plots::PlotsArgs,
    /// Also draw the token times of this request, by its number or its X-Request-Id; up to eight.
    #[arg(long = "request", num_args = 1..=8, value_name = "ID")]
    pub requests: Vec<String>,
    /// Exit with code 1 when the verdict is this bad or worse.
    #[arg(long, value_name = "VERDICT")]
    pub fail_on: Option<FailOn>,
}

/// A command line that was read.
#[derive(Debug)]
pub struct Parsed {
    /// What it asks for.
    pub cli: Cli,
    /// What the user should know of how it was read; a line each.
    pub notes: Vec<String>,
}

/// Why a command line cannot be read.
#[derive(Debug)]
pub enum Unread {
    /// clap's error, or the help that was asked for.
    Clap {
        /// It.
        error: Box<clap::Error>,
        /// What the user should know of how the line was read.
        notes: Vec<String>,
    },
    /// Ours.
    Error(Error),
}

/// Reads a command line in this program's spelling, aiperf's or vLLM's.
///
/// # Errors
/// See [`Unread`].
pub fn parse(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Parsed, Unread> {
    let utf8 = |word: std::ffi::OsString| {
        word.into_string().map_err(|word| Error::Usage(format!("{} is not UTF-8", word.to_string_lossy())))
    };
    let words = words.into_iter().map(utf8).collect::<crate::error::Result<Vec<_>>>().map_err(Unread::Error)?;
    let mut command = Cli::command();
    let around = spelling::Surroundings { variable: &environment::variable, file: &scenario::text };
    let line = spelling::rewrite(&words, &command, around).map_err(Unread::Error)?;
    let unread = |error: clap::Error| Unread::Clap { error: Box::new(error), notes: line.notes.clone() };
    let combinations = match words.get(1).map(String::as_str) {
        Some("profile" | "bench") => series::expand(&line.words).map_err(Unread::Error)?,
        _ => Vec::new(),
    };
    let is_profile_sla = words.get(1).is_some_and(|verb| verb == "profile-sla");
    let words = combinations.first().map_or(&line.words, |(_, words)| words);
    let matches = command.try_get_matches_from_mut(words).map_err(unread)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|e| unread(e.format(&mut command)))?;
    for (parameters, words) in &combinations {
        let matches = command.try_get_matches_from_mut(words).map_err(unread)?;
        let one = Cli::from_arg_matches(&matches).map_err(|e| unread(e.format(&mut command)))?;
        if let (Verb::Profile(all), Verb::Profile(one)) = (&mut cli.verb, one.verb) {
            all.combinations.push((parameters.clone(), *one));
        }
    }
    if let (Verb::Profile(args), Some((name, matches))) = (&mut cli.verb, matches.subcommand())
        && let Some(command) = command.find_subcommand(name)
    {
        args.settings = printed::settings(command, matches);
    }
    if let (Verb::Sweep(args), true) = (&mut cli.verb, is_profile_sla) {
        args.as_profile_sla();
    }
    Ok(Parsed { cli, notes: line.notes })
}

/// How text is laid out on standard output: in colour on a terminal, unless NO_COLOR is set.
#[expect(clippy::disallowed_methods, reason = "cli is where the environment is read")]
pub fn style(is_terminal: bool) -> Style {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    Style { color: is_terminal && !no_color, ..Style::default() }
}

/// The verdict from which on a run counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Suspect and invalid runs fail.
    Suspect,
    /// Invalid runs fail.
    Invalid,
}
