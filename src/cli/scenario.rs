//! A configuration file (`--config`), YAML or TOML → flags, as if they were typed; flags that are typed win.
//!
//! In: the file's text. Out: a [`Given`] for each key, with its line. Keys are the long flags, with hyphens or underscores.
//! Bounds: [`FILE_BYTES_MAX`]; the parsers bound nesting and aliases. Not here: what the flags mean, and whether their values
//! are any good, which clap says.

use std::collections::HashMap;
use std::path::Path;

use clap::{Arg, Command};
use serde_json::Value;

use super::argv::{Given, argument, gathers};
use super::known_flags::KnownFlag;
use crate::error::{Error, InputError, Result};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Keys that say how aiperf's own layout is told from flags.
const NESTED: [&str; 8] = ["models", "endpoint", "datasets", "phases", "benchmark", "artifacts", "sweep", "multi_run"];

/// Flags that make no sense in a file.
const NOT_IN_FILES: [&str; 4] = ["config", "print-config", "help", "version"];

/// Reads a file's text.
///
/// # Errors
/// [`Error::Io`], and [`Error::Input`] for a file that is too long or no text.
pub(super) fn text(path: &Path) -> Result<String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(Error::io(path))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("is longer than {FILE_BYTES_MAX} bytes");
        return Err(InputError::of_file(
            path.display().to_string(),
            problem,
            "a configuration has a line for each flag",
        )
        .into());
    }
    Ok(text)
}

/// The flags that a file gives. `command` is `profile`'s.
///
/// # Errors
/// [`Error::Input`] with file, line, key and remedy.
pub(super) fn flags(file: &str, text: &str, command: &Command) -> Result<Vec<Given>> {
    let entries = match Path::new(file).extension().and_then(|e| e.to_str()) {
        Some("toml") => toml_entries(file, text)?,
        Some("yaml" | "yml" | "json") => yaml_entries(file, text)?,
        _ => {
            let remedy = "name it .yaml, .json or .toml";
            return Err(InputError::of_file(file, "is of a kind that is not known", remedy).into());
        }
    };
    let mut given: Vec<Given> = Vec::new();
    for entry in &entries {
        let refuse = |problem: String, remedy: String| {
            Error::Input(InputError {
                file: file.into(),
                line: entry.line,
                field: Some(entry.key.clone()),
                problem,
                remedy,
            })
        };
        let name = format!("--{}", entry.key.replace('_', "-"));
        let scalar = !matches!(entry.value, Value::Array(_) | Value::Object(_));
        if NESTED.contains(&entry.key.as_str()) && !scalar {
            let remedy = "give keys that are named like the flags, e.g. `request-rate: 5`";
            return Err(refuse("is of aiperf's nested layout, which is not read".into(), remedy.into()));
        }
        let arg = argument(command, &name);
        let known = arg.is_some() || KnownFlag::find(&name).is_some();
        if !known || NOT_IN_FILES.contains(&&name[2..]) {
            return Err(refuse("is no flag of `profile`".into(), nearest(&name[2..], command)));
        }
        if let Some(other) = given.iter().find(|g| g.name == name) {
            return Err(refuse(format!("stands in line {} already", other.line.unwrap_or(0)), "leave one out".into()));
        }
        let values = values(&name, arg, &entry.value).map_err(|problem| refuse(problem, String::new()))?;
        if let Some(values) = values {
            given.push(Given { name, values, line: Some(entry.line) });
        }
    }
    Ok(given)
}

/// A key with its value.
#[derive(Debug, PartialEq)]
struct Entry {
    key: String,
    line: u64,
    value: Value,
}

fn toml_entries(file: &str, text: &str) -> Result<Vec<Entry>> {
    let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() as u64 + 1;
    let table = toml::de::DeTable::parse(text).map_err(|e| InputError {
        file: file.into(),
        line: e.span().map_or(0, |span| line(span.start)),
        field: None,
        problem: format!("is not TOML: {}", e.message()),
        remedy: String::new(),
    })?;
    let mut entries: Vec<Entry> = table
        .get_ref()
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            line: line(key.span().start),
            value: json_of(value.get_ref()),
        })
        .collect();
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// TOML's numbers and dates stay the text that they are.
fn json_of(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(n) => match u64::from_str_radix(n.as_str(), n.radix()) {
            Ok(number) if n.radix() != 10 => Value::from(number),
            _ => Value::from(n.as_str()),
        },
        DeValue::Float(x) => Value::from(x.as_str()),
        DeValue::Boolean(on) => Value::from(*on),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json_of(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref()))).collect()
        }
    }
}

fn yaml_entries(file: &str, text: &str) -> Result<Vec<Entry>> {
    use serde_saphyr::Spanned;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let entries: HashMap<Spanned<String>, Value> = serde_saphyr::from_str(text).map_err(|e| {
        let line = e.location().map_or(0, |place| place.line());
        let told = e.to_string();
        let problem = format!("is not a YAML mapping of flags: {}", told.lines().next().unwrap_or_default());
        InputError { file: file.into(), line, field: None, problem, remedy: String::new() }
    })?;
    let entry = |(key, value): (Spanned<String>, Value)| Entry { line: key.referenced.line(), key: key.value, value };
    let mut entries: Vec<Entry> = entries.into_iter().map(entry).collect();
    entries.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
    Ok(entries)
}

/// The values that follow a flag; `None` where the flag is not given at all.
fn values(name: &str, arg: Option<&Arg>, value: &Value) -> std::result::Result<Option<Vec<String>>, String> {
    let switch = arg.is_some_and(|arg| !arg.get_action().takes_values());
    match value {
        Value::Null | Value::Bool(false) if switch => Ok(None),
        Value::Bool(true) if switch => Ok(Some(Vec::new())),
        _ if switch => Err("is a switch; give true or false".into()),
        Value::Null => Ok(None),
        Value::Array(items) => {
            let texts = items.iter().map(scalar).collect::<Option<Vec<_>>>().ok_or("has a list in a list")?;
            let apart = arg.is_none_or(gathers);
            Ok(Some(if apart { texts } else { vec![texts.join(",")] }))
        }
        Value::Object(pairs) => match name {
            "--extra-inputs" => Ok(Some(vec![value.to_string()])),
            "--header" | "--goodput" | "--metadata" => {
                let between = if name == "--metadata" { '=' } else { ':' };
                let pair = |(key, value)| scalar(value).map(|value| format!("{key}{between}{value}"));
                Ok(Some(pairs.iter().map(pair).collect::<Option<_>>().ok_or("has a value that is no word")?))
            }
            _ => Err("has keys of its own; give a value or a list".into()),
        },
        scalar_value => Ok(scalar(scalar_value).map(|text| vec![text])),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// What a user may have meant by a key.
fn nearest(key: &str, command: &Command) -> String {
    let ours = command.get_arguments().filter_map(Arg::get_long).filter(|long| !NOT_IN_FILES.contains(long));
    let near = ours.map(|long| (strsim::jaro_winkler(key, long), long)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, long)) if likeness > 0.7 => format!("did you mean `{long}`?"),
        _ => "keys are the long flags of `loadline profile --help`".into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn read(file: &str, text: &str) -> Result<Vec<Given>> {
        flags(file, text, Cli::command().find_subcommand("profile").unwrap())
    }

    fn shown(file: &str, text: &str) -> Vec<String> {
        let given = read(file, text).unwrap();
        given
            .iter()
            .map(|g| format!("{}: {} {}", g.line.unwrap(), g.name, g.values.join(" ")).trim_end().into())
            .collect()
    }

    #[track_caller]
    fn refused(file: &str, text: &str, expected: &str) {
        let told = read(file, text).unwrap_err().to_string();
        assert!(told.starts_with(expected) && !told.contains('\n'), "{told}");
    }

    #[test]
    fn yaml_and_toml_say_the_same() {
        let expected = [
            "2: --model m",
            "3: --request-rate 2.5",
            "4: --streaming",
            "6: --goodput ttft:500 itl:50",
            "7: --header x-a:1",
            "8: --local-address 127.0.0.1 127.0.0.2",
            "9: --random-seed 9007199254740993",
        ];
        let yaml = "# a scenario\nmodel: m\nrequest_rate: 2.5\nstreaming: true\nspread-buckets: false\ngoodput: [\"ttft:500\", \"itl:50\"]\n\
                    header: {x-a: 1}\nlocal-address: [127.0.0.1, 127.0.0.2]\nrandom-seed: 9007199254740993\n";
        assert_eq!(shown("s.yaml", yaml), expected);
        let toml = "# a scenario\nmodel = \"m\"\nrequest_rate = 2.5\nstreaming = true\nspread-buckets = false\ngoodput = [\"ttft:500\", \"itl:50\"]\n\
                    header = {x-a = 1}\nlocal-address = [\"127.0.0.1\", \"127.0.0.2\"]\nrandom-seed = 9007199254740993\n";
        assert_eq!(shown("s.toml", toml), expected);
        assert_eq!(
            shown("s.json", "{\"extra-inputs\": {\"top_k\": 3, \"a\": [1]}}"),
            ["1: --extra-inputs {\"top_k\":3,\"a\":[1]}"]
        );
        assert_eq!(shown("s.yml", " \n"), Vec::<String>::new());
        assert_eq!(
            shown("s.toml", "request-count = 0x10\nconcurrency = [1, 2]"),
            ["1: --request-count 16", "2: --concurrency 1,2"]
        );
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_line() {
        refused(
            "s.yaml",
            "model: m\nrequest-rat: 5\n",
            "s.yaml:2: field `request-rat`: is no flag of `profile` (did you mean `request-rate`?)",
        );
        refused("s.toml", "\nzzz = 5\n", "s.toml:2: field `zzz`: is no flag of `profile` (keys are the long flags");
        refused("s.toml", "a = = 5\n", "s.toml:1: is not TOML: ");
        refused("s.yaml", "- a\n", "s.yaml:1: is not a YAML mapping of flags: ");
        refused("s.yaml", "model: m\nmodel: n\n", "s.yaml:2: is not a YAML mapping of flags: ");
        refused(
            "s.yaml",
            "request-rate: 1\nrequest_rate: 2\n",
            "s.yaml:2: field `request_rate`: stands in line 1 already",
        );
        refused("s.yaml", "models: [m]\nphases:\n  - a: 1\n", "s.yaml:1: field `models`: is of aiperf's nested layout");
        refused("s.yaml", "streaming: maybe\n", "s.yaml:1: field `streaming`: is a switch; give true or false");
        refused("s.yaml", "model: {a: b}\n", "s.yaml:1: field `model`: has keys of its own");
        refused("s.yaml", "config: other.yaml\n", "s.yaml:1: field `config`: is no flag");
        refused("s.ini", "model: m\n", "s.ini: is of a kind that is not known (name it .yaml, .json or .toml)");
    }
}
