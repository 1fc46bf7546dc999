//! The arguments of `loadline inspect`: which of three things is meant, told from the arguments themselves.

use std::path::{Path, PathBuf};

use clap::{Arg, ValueEnum};

use super::config::{LoadConfig, ProfileConfig, SourceConfig};
use super::plots::PlotsArgs;
use super::profile::{self, ProfileArgs};
use crate::error::{Error, Result};
use crate::record::manifest;

/// Describe a trace, a schedule or a recording; nothing is sent.
///
/// A trace: when its requests arrive (span, rate, peaks, index of dispersion, recorder's buckets), how long they are, and
/// how a prefix cache of any capacity would do on them. A schedule, which is what `profile` would send with the same
/// flags: the same, seeded draws included. A recording, the directory of a run: what it holds, and whether it is whole.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, mut_args(only_what_shapes_the_load))]
pub struct InspectArgs {
    /// A trace's file or folder, or the directory of a run.
    #[arg(value_name = "PATH", conflicts_with = "input_file")]
    pub path: Option<PathBuf>,

    /// How to print it.
    #[arg(long, value_enum, default_value_t = FormatArg::Text)]
    pub format: FormatArg,

    /// Also draw it, into one page that needs no network.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Pictures.
    #[command(flatten)]
    pub plots: PlotsArgs,

    /// Every flag of `profile`; those that shape the load matter.
    #[command(flatten)]
    pub profile: ProfileArgs,
}

const EXAMPLES: &str = "\
Examples:
  A trace:
    loadline inspect conversation_trace.jsonl --html trace.html

  What a run would send (`inspect` in place of `profile`):
    loadline inspect --request-rate 20 --request-count 1000 --isl 2048 --osl 256 --random-seed 7

  What a run left behind:
    loadline inspect artifacts/Qwen_Qwen3-32B-openai-chat-fixed_schedule --format json";

/// `profile`'s flags about the endpoint, the results and the client are taken, so that a command line can be inspected as it
/// is, but not shown.
fn only_what_shapes_the_load(arg: Arg) -> Arg {
    let beside = [profile::ENDPOINT, profile::OUTPUT, profile::SIMULATED];
    let hidden = arg.get_help_heading().is_some_and(|heading| beside.contains(&heading));
    arg.hide(hidden)
}

/// Ways to print, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What is to be described.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The trace, as the transforms leave it.
    Trace(Box<ProfileConfig>),
    /// What `profile` would send.
    Schedule(Box<ProfileConfig>),
    /// The recording in a run directory.
    Recording(PathBuf),
}

/// What is to be described, and how.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// What.
    pub subject: Subject,
    /// How it is printed.
    pub format: FormatArg,
    /// Where its page goes.
    pub html: Option<PathBuf>,
    /// Where its plots go as pictures.
    pub plots: Option<PathBuf>,
}

impl InspectArgs {
    /// Tells what is meant.
    ///
    /// # Errors
    /// As those of `profile`; and [`Error::Usage`] where there is nothing to inspect, or no page of it.
    pub fn resolve(&self) -> Result<Inspect> {
        let subject = match &self.path {
            // A folder without a manifest may be a trace in several files.
            Some(path) if path.join(manifest::FILE_NAME).exists() => self.recording(path)?,
            _ => self.load()?,
        };
        Ok(Inspect { subject, format: self.format, html: self.html.clone(), plots: self.plots.dir.clone() })
    }

    fn recording(&self, dir: &Path) -> Result<Subject> {
        if self.html.is_some() || self.plots.dir.is_some() {
            return Err(Error::Usage(
                "a recording's page and plots are those of its report: loadline report RUN_DIR".into(),
            ));
        }
        Ok(Subject::Recording(dir.to_owned()))
    }

    fn load(&self) -> Result<Subject> {
        let mut flags = self.profile.clone();
        flags.trace.input_file = self.path.clone().or(flags.trace.input_file);
        let config = Box::new(flags.resolve()?);
        let is_bounded =
            config.request_count.is_some() || config.duration_ns.is_some() || config.pool.conversations.is_some();
        match (&config.source, &config.load) {
            (SourceConfig::Trace { .. }, LoadConfig::FromTrace) if !is_bounded => Ok(Subject::Trace(config)),
            (SourceConfig::Synthetic(_), LoadConfig::Lanes(_)) if !is_bounded && flags.concurrency.is_none() => {
                Err(Error::Usage(
                    "there is nothing to inspect; give a trace's file, the directory of a run, or the flags of a load, e.g. \
                     --request-rate"
                        .into(),
                ))
            }
            _ => Ok(Subject::Schedule(config)),
        }
    }
}
