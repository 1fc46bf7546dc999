//! The arguments of `loadline inspect`: which of three things is meant, told from the arguments themselves.

use std::path::{Path, PathBuf};

use clap::{Arg, ValueEnum};

use super::config::ProfileConfig;
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
    let shown = [None, Some(profile::INPUT), Some(profile::LOAD)].contains(&arg.get_help_heading());
    arg.hide(!shown)
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
        Ok(Inspect { subject, format: self.format, html: self.html.clone() })
    }

    fn recording(&self, dir: &Path) -> Result<Subject> {
        if self.html.is_some() {
            return Err(Error::Usage("a recording's page is its report: loadline report RUN_DIR".into()));
        }
        Ok(Subject::Recording(dir.to_owned()))
    }

    fn load(&self) -> Result<Subject> {
        let flags = &self.profile;
        let as_recorded = flags.request_rate.is_none()
            && flags.concurrency.is_none()
            && flags.request_count.is_none()
            && flags.benchmark_duration.is_none();
        let input_file = self.path.as_ref().or(flags.trace.input_file.as_ref());
        if as_recorded && input_file.is_none() {
            return Err(Error::Usage(
                "there is nothing to inspect; give a trace's file, the directory of a run, or the flags of a load, e.g. \
                 --request-rate"
                    .into(),
            ));
        }
        let mut flags = flags.clone();
        flags.trace.input_file = input_file.cloned();
        let config = Box::new(flags.resolve()?);
        Ok(if as_recorded { Subject::Trace(config) } else { Subject::Schedule(config) })
    }
}
