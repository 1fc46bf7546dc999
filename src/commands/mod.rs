//! One file per verb: wiring only. What is computed is computed elsewhere.

mod interrupt;
pub mod profile;
pub mod report;
pub mod serve;
pub mod synth;

use clap::CommandFactory;

use crate::cli::synth::SynthVerb;
use crate::cli::{Cli, Verb, secret};
use crate::error::{Error, ExitCode, Result};
use crate::report::out;
use crate::report::terminal::Style;

/// Does what a command line asks for. `args` is that line, for the manifest.
pub fn execute(cli: &Cli, args: impl IntoIterator<Item = String>, style: Style) -> Result<ExitCode> {
    match &cli.verb {
        Verb::Profile(args_of_profile) => {
            profile::run(&args_of_profile.resolve()?, secret::masked_command(args), style)
        }
        Verb::Report(args) => report::run(args, style),
        Verb::Serve(args) => {
            serve::run(args, &mut |url| {
                // A closed standard error is no reason to stop serving.
                let _ = out::stderr(&format!("loadline serves {} at {url}; Ctrl-C stops it\n", args.model));
            })?;
            Ok(ExitCode::Ok)
        }
        Verb::SinSynth(args) => tell(&synth::sin(args)?),
        Verb::Synth { kind: SynthVerb::Sin(args) } => tell(&synth::sin(args)?),
        Verb::Synth { kind: SynthVerb::Mooncake(args) } => tell(&synth::mooncake(args)?),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "loadline", &mut script);
            out::stdout(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::Ok)
        }
        Verb::Man { dir } => {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
            clap_mangen::generate_to(Cli::command(), dir).map_err(Error::io(dir))?;
            Ok(ExitCode::Ok)
        }
    }
}

fn tell(report: &impl std::fmt::Display) -> Result<ExitCode> {
    out::stderr(&format!("{report}\n"))?;
    Ok(ExitCode::Ok)
}
