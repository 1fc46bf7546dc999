//! `loadline NAME RUN_DIR …`, where NAME is no verb → the program to run, and on what.
//!
//! In: the words. Out: a [`PluginCall`]. Not here: running it (`commands::plugin`).

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use crate::error::{Error, Result};

/// A name is this like a verb when it is taken for a slip of the hand.
const ALIKE: f64 = 0.8;

/// A call of an analysis that is not part of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCall {
    /// The program, to be found on the PATH: `loadline-NAME`.
    pub program: String,
    /// What it is to look at.
    pub run_dir: PathBuf,
    /// Its further words, as they were typed.
    pub args: Vec<String>,
    /// What to say where there is no such program.
    pub unknown: String,
}

impl PluginCall {
    /// Takes the words apart, the name first.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that cannot be a program's, and where no run directory follows.
    pub fn resolve(words: &[String]) -> Result<PluginCall> {
        let (name, rest) = words.split_first().ok_or_else(|| Error::Usage("no verb is given".into()))?;
        let unknown = unknown(name);
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            return Err(Error::Usage(unknown));
        }
        let program = format!("loadline-{name}");
        let Some((run_dir, args)) = rest.split_first().filter(|(dir, _)| !dir.starts_with('-')) else {
            return Err(Error::Usage(format!("{unknown}; for `{program}` of the PATH, the run directory comes first")));
        };
        Ok(PluginCall { program, run_dir: run_dir.into(), args: args.to_vec(), unknown })
    }
}

fn unknown(name: &str) -> String {
    let command = Cli::command();
    let verbs = command.get_subcommands().flat_map(|verb| verb.get_name_and_visible_aliases());
    let near = verbs.map(|verb| (strsim::jaro_winkler(name, verb), verb)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near.filter(|(alike, _)| *alike >= ALIKE) {
        Some((_, verb)) => format!("there is no verb `{name}`; did you mean `{verb}`?"),
        None => format!("there is no verb `{name}`; `loadline --help` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(words: &[&str]) -> Result<PluginCall> {
        PluginCall::resolve(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn what_follows_the_run_directory_is_the_programs_own() {
        let call = resolve(&["slowest", "run", "--top", "3"]).unwrap();
        assert_eq!(call.program, "loadline-slowest");
        assert_eq!((call.run_dir, call.args), (PathBuf::from("run"), vec!["--top".to_owned(), "3".to_owned()]));
    }

    #[test]
    fn a_slip_a_path_and_a_missing_directory_are_told_in_one_line() {
        let why = |words: &[&str]| resolve(words).unwrap_err().to_string();
        assert_eq!(why(&["../x", "run"]), "there is no verb `../x`; `loadline --help` lists them");
        assert!(why(&["profle", "--tp"]).starts_with("there is no verb `profle`; did you mean `profile`?"));
        assert!(why(&["slowest"]).ends_with("for `loadline-slowest` of the PATH, the run directory comes first"));
    }
}
