//! The words of a command line ⇄ flags with their values, as far as clap and the tables of other tools' flags know them.
//!
//! In: words. Out: [`Given`] flags, and words again. What nobody knows stays a word, for clap to complain of.
//! Not here: what a flag of another tool means (`spelling`, `vllm`).

use clap::{Arg, ArgAction, Command};

use super::known_flags::{KnownFlag, Takes};

/// A flag as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Its name, with its dashes, and hyphens where underscores were typed; or a word that is no flag.
    pub(super) name: String,
    /// Its values.
    pub(super) values: Vec<String>,
    /// The line of the configuration file that it stands in, 1-based; `None` for the command line.
    pub(super) line: Option<u64>,
}

impl Given {
    /// A flag with one value.
    pub(super) fn new(name: &str, value: impl Into<String>) -> Given {
        Given { name: name.into(), values: vec![value.into()], line: None }
    }

    /// A switch, or a word.
    pub(super) fn switch(name: &str) -> Given {
        Given { name: name.into(), values: Vec::new(), line: None }
    }

    /// The last of its values.
    pub(super) fn value(&self) -> &str {
        self.values.last().map_or("", String::as_str)
    }
}

/// The argument of a command that has this name (with its dashes).
pub(super) fn argument<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let is = |arg: &Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|all| all.contains(&long)),
        None => arg.get_short().is_some_and(|short| name.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
    };
    command.get_arguments().find(|arg| is(arg))
}

/// Whether an argument gathers the values of all its occurrences.
pub(super) fn gathers(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Takes words apart. `other` says what follows a flag that neither clap nor aiperf has.
pub(super) fn parse(words: &[String], command: &Command, other: impl Fn(&str) -> Option<Takes>) -> Vec<Given> {
    let mut given = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let word = &words[at];
        at += 1;
        let (name, joined) = split(word, command);
        let arg = argument(command, &name);
        // All that aiperf lets follow a flag is taken in, also where it is refused then.
        let known = KnownFlag::find(&name).map(|f| f.takes);
        let takes = other(&name)
            .or(known.filter(|takes| *takes == Takes::Many))
            .or_else(|| arg.map(takes))
            .or(known)
            .filter(|_| word.starts_with('-'));
        let hyphens = arg.is_some_and(Arg::is_allow_hyphen_values_set);
        let (Some(takes), None) = (takes, joined) else {
            let known = takes.is_some();
            given.push(Given {
                name: if known { name } else { word.clone() },
                values: joined.filter(|_| known).map(String::from).into_iter().collect(),
                line: None,
            });
            continue;
        };
        let most = match takes {
            Takes::Nothing => 0,
            Takes::One => 1,
            Takes::Many => usize::MAX,
        };
        let follows = words[at..].iter().take_while(|w| hyphens || is_value(w)).take(most).count();
        given.push(Given { name, values: words[at..at + follows].to_vec(), line: None });
        at += follows;
    }
    given
}

/// A word's flag, and the value in the same word.
fn split<'a>(word: &'a str, command: &Command) -> (String, Option<&'a str>) {
    if word.starts_with("--") {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        return (name.replace('_', "-"), value);
    }
    let short = word.char_indices().nth(2).map(|(at, _)| word.split_at(at)).filter(|(name, _)| name.starts_with('-'));
    match short {
        Some((name, value)) if KnownFlag::find(word).is_none() => {
            let valued = argument(command, name).is_some_and(|arg| arg.get_action().takes_values());
            if valued { (name.into(), Some(value)) } else { (word.into(), None) }
        }
        _ => (word.into(), None),
    }
}

fn takes(arg: &Arg) -> Takes {
    if !arg.get_action().takes_values() {
        return Takes::Nothing;
    }
    // Nothing but flags stands on these command lines, so what follows a flag that gathers is its own.
    let several = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
    if several || gathers(arg) && !arg.is_allow_hyphen_values_set() { Takes::Many } else { Takes::One }
}

/// Whether a word behind a flag is its value: no flag, or a negative number.
fn is_value(word: &str) -> bool {
    !word.starts_with('-') || word == "-" || word[1..].parse::<f64>().is_ok()
}

/// Words for clap: each value in the flag's own word, so that none is taken for a flag.
pub(super) fn words(given: &[Given]) -> Vec<String> {
    let mut words = Vec::new();
    for flag in given {
        if flag.values.is_empty() {
            words.push(flag.name.clone());
        }
        for value in &flag.values {
            if flag.name.starts_with("--") {
                words.push(format!("{}={value}", flag.name));
            } else {
                words.extend([flag.name.clone(), value.clone()]);
            }
        }
    }
    words
}
