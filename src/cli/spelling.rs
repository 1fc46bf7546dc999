//! The spellings of aiperf and of `vllm bench serve` → this program's own flags; a pure rewriting before clap.
//!
//! In: the words of a command line, and of a configuration file. Out: words that clap knows, and notes for the user.
//! Invariants: a flag that clap knows is never refused here; what nobody knows is left for clap to complain of.

use std::path::Path;

use clap::{Arg, ArgAction, Command};

use super::argv::{self, Given, argument};
use super::known_flags::{Fate, KnownFlag, Takes};
use super::{environment, scenario, vllm};
use crate::error::{Error, InputError, Result};

/// A command line that clap can read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its words, the program's name first.
    pub words: Vec<String>,
    /// What the user should know of how it was read; a line each.
    pub notes: Vec<String>,
}

/// What a command line depends on beside its words.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file.
    pub file: &'a dyn Fn(&Path) -> Result<String>,
}

/// Rewrites a command line. `command` is the program's.
///
/// # Errors
/// [`Error::Usage`] with one line for a flag of another tool that has no place here, and what is wrong with a configuration file.
pub fn rewrite(words: &[String], command: &Command, around: Surroundings<'_>) -> Result<Line> {
    let bench = words.len() > 2 && words[1] == "bench" && words[2] == "serve";
    let from = match words.get(1).map(String::as_str) {
        Some("profile") => 2,
        Some("bench") if bench => 3,
        Some("validate" | "validate-deployment" | "goodput") => return targeted(words, command, around.variable),
        _ => return Ok(Line { words: hyphened(words, command), notes: Vec::new() }),
    };
    let mut line = Line { words: vec![words[0].clone(), "profile".into()], notes: Vec::new() };
    let Some(command) = command.find_subcommand("profile") else { return Ok(line) };
    let typed = argv::parse(&words[from..], command, vllm::takes);
    let file =
        typed.iter().find(|flag| matches!(flag.name.as_str(), "--config" | "-f")).map(|flag| flag.value().to_string());
    let mut given = match &file {
        Some(file) => scenario::flags(file, &(around.file)(Path::new(file))?, command)?,
        None => Vec::new(),
    };
    given.extend(typed);
    let given = vllm::translate(&given, bench, &mut line.notes)?;
    let mut given = resolve(given, command, &mut line.notes, file.as_deref())?;
    if let Some(file) = &file {
        overridden(&mut given, command, file, &mut line.notes);
    }
    single(&given, command, file.as_deref())?;
    environment::destination(&mut given, around.variable, &mut line.notes)?;
    line.words.extend(argv::words(&given));
    Ok(line)
}

/// The words of a verb that makes runs of `profile` against one deployment: the environment may name it.
fn targeted(words: &[String], command: &Command, variable: &dyn Fn(&str) -> Option<String>) -> Result<Line> {
    let words = hyphened(words, command);
    let mut line = Line { words: words[..2].to_vec(), notes: Vec::new() };
    let verb = command.find_subcommand(&words[1]).unwrap_or(command);
    let mut given = argv::parse(&words[2..], verb, |_| None);
    environment::destination(&mut given, variable, &mut line.notes)?;
    line.words.extend(argv::words(&given));
    Ok(line)
}

/// Refuses several values of a flag of which aiperf takes several, and this program one.
fn single(given: &[Given], command: &Command, file: Option<&str>) -> Result<()> {
    let mut seen = Vec::new();
    for flag in given {
        let Some(arg) = argument(command, &flag.name).filter(|arg| !argv::gathers(arg)) else { continue };
        let Some(KnownFlag { takes: Takes::Many, fate: Fate::But(why), .. }) = known(arg) else { continue };
        if flag.values.len() > 1 || seen.contains(&arg.get_id()) {
            return Err(refusal(flag, &format!("takes one value: {why}"), file));
        }
        seen.push(arg.get_id());
    }
    Ok(())
}

/// Refuses a value of aiperf's that is not among those of an argument.
fn one_of_listed(flag: &Given, command: &Command, file: Option<&str>) -> Result<()> {
    let Some(arg) = argument(command, &flag.name) else { return Ok(()) };
    let Some(KnownFlag { fate: Fate::But(why), .. }) = known(arg) else { return Ok(()) };
    let listed = arg.get_possible_values();
    let is_listed = |value: &String| listed.iter().any(|listed| listed.matches(&as_listed(arg, value), false));
    match flag.values.iter().find(|value| !listed.is_empty() && !is_listed(value)) {
        Some(value) => {
            let names: Vec<&str> = listed.iter().map(clap::builder::PossibleValue::get_name).collect();
            Err(refusal(flag, &format!("{value}: it is one of {} ({why})", names.join(", ")), file))
        }
        None => Ok(()),
    }
}

/// What the table says of an argument, whichever of its names aiperf has.
fn known(arg: &Arg) -> Option<&'static KnownFlag> {
    let mut longs = arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default());
    longs.find_map(|long| KnownFlag::find(&format!("--{long}")))
}

/// What is typed wins over what a file says.
fn overridden(given: &mut Vec<Given>, command: &Command, file: &str, notes: &mut Vec<String>) {
    let id = |flag: &Given| argument(command, &flag.name).map(Arg::get_id);
    let typed: Vec<_> = given.iter().filter(|flag| flag.line.is_none()).filter_map(id).collect();
    let is_overridden = |flag: &Given| flag.line.is_some() && id(flag).is_some_and(|id| typed.contains(&id));
    let (lost, used): (Vec<&Given>, Vec<&Given>) =
        given.iter().filter(|flag| flag.line.is_some()).partition(|flag| is_overridden(flag));
    let list = |flags: &[&Given]| flags.iter().map(|flag| flag.name.as_str()).collect::<Vec<_>>().join(" ");
    let but = if lost.is_empty() { String::new() } else { format!("; the command line overrides its {}", list(&lost)) };
    notes.push(format!("{file} gives {}{but}", if used.is_empty() { "nothing".into() } else { list(&used) }));
    let keep: Vec<bool> = given.iter().map(|flag| !is_overridden(flag)).collect();
    let mut keep = keep.into_iter();
    given.retain(|_| keep.next().unwrap_or(true));
}

/// aiperf's names → ours; what has no effect is left out and told.
pub(super) fn resolve(
    given: Vec<Given>,
    command: &Command,
    notes: &mut Vec<String>,
    file: Option<&str>,
) -> Result<Vec<Given>> {
    let mut resolved = Vec::with_capacity(given.len());
    let mut idle = Vec::new();
    for mut flag in given {
        if argument(command, &flag.name).is_none()
            && let Some(known) = KnownFlag::find(&flag.name)
        {
            let ours = known.names().find(|name| argument(command, name).is_some());
            match (ours, known.fate) {
                (Some(name), _) => flag.name = name.into(),
                (None, Fate::Written(words)) => {
                    let words: Vec<String> = words.split(' ').map(String::from).collect();
                    let stand_ins = argv::parse(&words, command, |_| None);
                    resolved.extend(stand_ins.into_iter().map(|given| Given { line: flag.line, ..given }));
                    continue;
                }
                (None, Fate::Idle(why)) => {
                    idle.push(format!("{} ({why})", flag.name));
                    continue;
                }
                (None, Fate::Instead(what)) => {
                    return Err(refusal(&flag, &format!("is aiperf's; instead: {what}"), file));
                }
                (None, Fate::Outside(why)) => {
                    return Err(refusal(&flag, &format!("is aiperf's, and not here: {why}"), file));
                }
                (None, Fate::Same | Fate::But(_)) => {}
            }
        }
        one_of_listed(&flag, command, file)?;
        match argument(command, &flag.name) {
            Some(arg) if is_switch(arg) && matches!(flag.value(), "false" | "False") => {}
            Some(arg) if is_switch(arg) && matches!(flag.value(), "true" | "True") => {
                resolved.push(Given { values: Vec::new(), ..flag });
            }
            Some(arg) => {
                flag.values = flag.values.iter().map(|value| as_listed(arg, value)).collect();
                resolved.push(flag);
            }
            None => resolved.push(flag),
        }
    }
    if !idle.is_empty() {
        notes.push(format!("accepted without effect: {}", idle.join(", ")));
    }
    Ok(resolved)
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

/// One line that refuses a flag, with its place where it stands in a file.
pub(super) fn refusal(flag: &Given, why: &str, file: Option<&str>) -> Error {
    match (file, flag.line) {
        (Some(file), Some(line)) => Error::Input(InputError {
            file: file.into(),
            line,
            field: Some(flag.name.trim_start_matches('-').into()),
            problem: why.into(),
            remedy: String::new(),
        }),
        _ => Error::Usage(format!("{} {why}", flag.name)),
    }
}

/// A value as the flag's list of values spells it: aiperf takes hyphens for underscores, and either case.
fn as_listed(arg: &Arg, value: &str) -> String {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let listed = arg.get_possible_values();
    match listed.iter().find(|listed| plain(listed.get_name()) == plain(value)) {
        Some(listed) => listed.get_name().into(),
        None => value.into(),
    }
}

/// Underscores in the names of flags → hyphens, where that makes a flag of the verb.
fn hyphened(words: &[String], command: &Command) -> Vec<String> {
    let mut command = command;
    let mut rewritten = Vec::with_capacity(words.len());
    for (n, word) in words.iter().enumerate() {
        if let Some(verb) = command.find_subcommand(word).filter(|_| n > 0) {
            command = verb;
        }
        let (name, rest) = word.split_at(word.find('=').unwrap_or(word.len()));
        let hyphened = name.replace('_', "-");
        let ours = name.starts_with("--") && argument(command, name).is_none();
        let known = ours && argument(command, &hyphened).is_some();
        rewritten.push(if known { format!("{hyphened}{rest}") } else { word.clone() });
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn read(line: &str) -> Result<Line> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        read_with(&words, "")
    }

    fn read_with(words: &[String], file: &str) -> Result<Line> {
        let around = Surroundings { variable: &|_| None, file: &|_| Ok(file.into()) };
        rewrite(words, &Cli::command(), around)
    }

    #[track_caller]
    fn reads(line: &str, expected: &str) -> Vec<String> {
        let line = read(&format!("loadline {line}")).unwrap();
        assert_eq!(line.words.join(" "), format!("loadline {expected}"));
        line.notes
    }

    #[track_caller]
    fn refused(line: &str, why: &str) {
        let text = read(&format!("loadline {line}")).unwrap_err().to_string();
        assert!(text.contains(why) && !text.contains('\n'), "{text}");
    }

    #[test]
    fn our_own_words_stay_as_they_are() {
        let notes = reads(
            "profile --model m --streaming -H a:b --goodput ttft:5 itl:6",
            "profile --model=m --streaming -H a:b --goodput=ttft:5 --goodput=itl:6",
        );
        assert_eq!(notes, Vec::<String>::new());
        reads("profile --rate-profile -sin(period=9s) --tp 4", "profile --rate-profile=-sin(period=9s) --tp=4");
        reads("profile --nonsense 5 --tp=4 -mx", "profile --nonsense 5 --tp=4 -m x");
        reads("report dir --fail-on suspect", "report dir --fail-on suspect");
    }

    #[test]
    fn underscores_stand_for_hyphens_in_names_alone() {
        reads("profile --request_count=5 --input_file my_trace", "profile --request-count=5 --input-file=my_trace");
        reads("synth sin --block_size=9 --output_file a_b", "synth sin --block_size=9 --output_file a_b");
        reads("report --output_dir a_b c", "report --output-dir a_b c");
    }

    #[test]
    fn aiperfs_other_names_are_ours() {
        reads(
            "profile --model-names m --prompt-input-tokens-mean 5",
            "profile --model-names=m --synthetic-input-tokens-mean=5",
        );
        reads("profile --vllm-burstiness 2 --isl-stddev 3", "profile --vllm-burstiness=2 --isl-stddev=3");
        reads("profile --output-artifact-dir d --num-requests 5", "profile --artifact-dir=d --num-requests=5");
        reads("profile --apply-chat-template --concurrency 2", "profile --isl-counts=rendered --concurrency=2");
        reads("profile --connection-reuse-strategy NEVER", "profile --connection-reuse-strategy=never");
        reads("profile --streaming=True --spread-buckets=false", "profile --streaming");
    }

    #[test]
    fn what_has_no_effect_is_left_out_and_told_once() {
        let notes = reads("profile --record-processors 4 --log-level debug -vv --zmq-host h --tp 2", "profile --tp=2");
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert!(note.starts_with("accepted without effect: --record-processors (one process"), "{note}");
        assert!(note.contains("--log-level") && note.contains("-vv") && note.contains("--zmq-host"), "{note}");
    }

    #[test]
    fn what_has_no_place_is_refused_with_what_to_use() {
        refused("profile --gpu-telemetry pynvml", "--gpu-telemetry is aiperf's, and not here: GPUs are not asked");
        refused("profile --accuracy-benchmark mmlu", "lm-evaluation-harness");
        refused("profile --image-width-mean 5", "prompts are text");
        refused("profile --mlflow_tag a:b c:d", "--mlflow-tag");
        refused("profile --search-space x", "instead: ");
        let several = "--url takes one value: several URLs are refused; put a load balancer in front of them";
        refused("profile --url a b", several);
        refused("profile --url a --streaming --url=b", several);
        refused("profile -u a -u b", "-u takes one value: several URLs");
        refused("profile --model a b", "--model takes one value: several models are refused; run once for each");
        refused(
            "profile --endpoint-type image-generation",
            "--endpoint-type image-generation: it is one of chat, completions",
        );
        refused("profile --connection-reuse-strategy sticky-user-sessions", "X-Session-Affinity");
    }

    #[test]
    fn vllms_command_line_is_translated_with_its_defaults() {
        let notes = reads(
            "bench serve --backend openai-chat --base-url http://h:1 --model m --dataset-name random --random-input-len 10 \
             --random_output_len 20 --num-prompts 30 --max-concurrency 4 --request-rate inf --percentile-metrics ttft",
            "profile --endpoint-type=chat --url=http://h:1 --model=m --isl=10 --osl=20 --request-count=30 --concurrency=4 \
             --percentile-metrics=ttft --streaming --extra-inputs=ignore_eos:true --random-seed=0",
        );
        assert!(
            notes[0]
                .starts_with("read as vllm bench serve's command line (it has --backend), with its defaults: profile")
        );
        reads(
            "profile --host ::1 --dataset-path f --dataset-name sharegpt --served-model-name s --model m --temperature 0",
            "profile --input-file=f --custom-dataset-type=sharegpt --extra-inputs=temperature:0 --url=http://[::1]:8000 --model=s \
             --concurrency=1000 --endpoint-type=completions --streaming --request-count=1000 --no-fixed-schedule --random-seed=0",
        );
        reads(
            "bench serve --request-rate 5 --burstiness 0.5 --num-prompts 9 --header A=1 B=2:3 --endpoint /v1/chat/completions",
            "profile --request-rate=5 --arrival-smoothness=0.5 --request-count=9 --header=A:1 --header=B:2:3 \
             --endpoint-type=chat --streaming --isl=1024 --osl=128 --extra-inputs=ignore_eos:true --random-seed=0",
        );
        refused("bench serve --lora-modules a b", "--lora-modules is vllm bench serve's; instead: --model");
        refused("bench serve --dataset-name hf", "--input-file");
        refused("profile --base-url http://h --backend tgi", "openai-chat");
    }

    #[test]
    fn the_number_of_prompts_means_what_its_tool_means() {
        let vllm = read("loadline profile --num-prompts 7 --max-concurrency 2").unwrap();
        assert!(vllm.words.contains(&"--request-count=7".into()), "{vllm:?}");
        let aiperf = read("loadline profile --num-prompts 7 --concurrency 2");
        match aiperf {
            Ok(line) => assert!(line.notes[0].contains("entries of the data set"), "{line:?}"),
            Err(error) => assert!(error.to_string().starts_with("--num-prompts is aiperf's"), "{error}"),
        }
    }

    #[test]
    fn all_at_once_needs_to_know_how_many() {
        reads("profile --request-rate inf --request-count 9", "profile --request-count=9 --concurrency=9");
        reads("profile --request-rate inf --concurrency 3", "profile --concurrency=3");
        refused("profile --request-rate inf", "give --request-count or --concurrency");
    }

    #[test]
    fn what_is_typed_wins_over_what_a_file_says() {
        let words = ["loadline", "profile", "-f", "s.yaml", "--isl", "9", "-H", "a:b"].map(String::from);
        let text = "prompt_input_tokens_mean: 5\nosl: 6\nheader: c:d\nrecord-processors: 4\n";
        let line = read_with(&words, text).unwrap();
        assert_eq!(line.words.join(" "), "loadline profile --osl=6 -f s.yaml --isl=9 -H a:b");
        assert_eq!(line.notes[0], "accepted without effect: --record-processors (one process with a thread per core)");
        let note = "s.yaml gives --osl; the command line overrides its --synthetic-input-tokens-mean --header";
        assert_eq!(line.notes[1], note);
        let told = read_with(&words, "osl: 5\naccuracy-benchmark: mmlu\n").unwrap_err().to_string();
        assert!(told.starts_with("s.yaml:2: field `accuracy-benchmark`: is aiperf's, and not here"), "{told}");
    }
}
