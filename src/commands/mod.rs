//! One file per verb: wiring only. What is computed is computed elsewhere.

pub mod calibrate;
pub mod compare;
pub mod goodput;
pub mod inspect;
mod interrupt;
mod plan;
mod plots;
mod plugin;
pub mod profile;
pub mod report;
pub mod serve;
pub mod sweep;
pub mod synth;
pub mod validate;

use clap::CommandFactory;

use crate::cli::plugin::PluginCall;
use crate::cli::{Cli, Verb, secret};
use crate::error::{Error, ExitCode, Result};
use crate::report::out;
use crate::report::terminal::Style;
use crate::rng::Seed;

/// Does what a command line asks for. `args` is that line, for the manifest.
pub fn execute(cli: &Cli, args: impl IntoIterator<Item = String>, style: Style) -> Result<ExitCode> {
    match &cli.verb {
        Verb::Profile(args_of_profile) if args_of_profile.print_config => {
            out::stdout(&args_of_profile.printed(&args_of_profile.resolve()?))?;
            Ok(ExitCode::Ok)
        }
        Verb::Profile(args_of_profile) if args_of_profile.is_series() => {
            profile::series::run(&args_of_profile.resolve_series()?, &secret::masked_command(args), style)
        }
        Verb::Profile(args_of_profile) => {
            profile::run(&args_of_profile.resolve()?, secret::masked_command(args), style)
        }
        Verb::Report(args_of_report) => report::run(args_of_report, &secret::masked_command(args), style),
        Verb::Inspect(args_of_inspect) => {
            inspect::run(&args_of_inspect.resolve()?, &secret::masked_command(args), style)
        }
        Verb::Sweep(args_of_sweep) if args_of_sweep.is_online() => {
            sweep::online::run(&args_of_sweep.resolve_online()?, &secret::masked_command(args), style)
        }
        Verb::Sweep(args_of_sweep) => match &args_of_sweep.points {
            Some(points) if args_of_sweep.regret => {
                sweep::regret::run(points, Seed(args_of_sweep.seed), args_of_sweep.format, style)
            }
            Some(points) => sweep::score(points, args_of_sweep.output.as_deref(), style),
            None => sweep::run(&args_of_sweep.resolve()?, &secret::masked_command(args), style),
        },
        Verb::Plan(args) => plan::run(args, style),
        Verb::Validate(args_of_validate) => {
            validate::run(&args_of_validate.resolve()?, &secret::masked_command(args), style)
        }
        Verb::Goodput(args_of_goodput) => {
            goodput::run(&args_of_goodput.resolve()?, &secret::masked_command(args), style)
        }
        Verb::Compare(args_of_compare) => {
            compare::run(&args_of_compare.resolve()?, &secret::masked_command(args), style)
        }
        Verb::Calibrate(args) => calibrate::run(&args.resolve()?, style),
        Verb::Serve(args) => {
            serve::run(args, &mut |url| {
                // A closed standard error is no reason to stop serving.
                let _ = out::stderr(&format!("loadline serves {} at {url}; Ctrl-C stops it\n", args.model));
            })?;
            Ok(ExitCode::Ok)
        }
        Verb::SinSynth(args) => make_trace(|stdout| synth::sin(args, stdout)),
        Verb::Synth { kind } => make_trace(|stdout| synth::run(kind, stdout)),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "loadline", &mut script);
            out::stdout(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::Ok)
        }
        Verb::Plugin(words) => plugin::run(&PluginCall::resolve(words)?),
        Verb::Man { dir } => {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
            clap_mangen::generate_to(Cli::command(), dir).map_err(Error::io(dir))?;
            Ok(ExitCode::Ok)
        }
    }
}

/// Makes a trace; what it writes to standard output goes there whole.
fn make_trace(make: impl FnOnce(&mut dyn std::io::Write) -> Result<synth::SynthReport>) -> Result<ExitCode> {
    let mut trace = Vec::new();
    let report = make(&mut trace)?;
    out::stdout(&String::from_utf8_lossy(&trace))?;
    out::stderr(&format!("{report}\n"))?;
    Ok(ExitCode::Ok)
}
