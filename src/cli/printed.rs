//! The arguments of `profile` → a TOML file for `--config` that gives the same run, for `--print-config`.
//!
//! What was given stands there, and what was drawn or taken from the environment (seed, salt, URL, model); defaults are
//! comments. Secrets are not there: a comment says where to give them.

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};

use super::config::ProfileConfig;
use super::profile::ProfileArgs;
use super::secret::is_secret_header;

/// Flags that make no sense in the file.
const LEFT_OUT: [&str; 5] = ["config", "print-config", "url-from-env", "help", "version"];

/// A flag with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The long flag, without dashes.
    pub flag: String,
    /// Its values; `None` for a switch that is on.
    pub values: Option<Vec<String>>,
    /// Whether it can be given several times.
    pub is_list: bool,
    /// Whether the value is the default.
    pub is_default: bool,
}

/// All flags of a command that have a value, in the order of the help.
pub(super) fn settings(command: &Command, matches: &ArgMatches) -> Vec<Setting> {
    let flags = command.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| !LEFT_OUT.contains(&long)));
    flags
        .filter_map(|arg| {
            let id = arg.get_id().as_str();
            let source = matches.value_source(id)?;
            let values = arg.get_action().takes_values().then(|| {
                let raw = matches.get_raw(id).into_iter().flatten();
                raw.map(|value| value.to_string_lossy().into_owned()).collect()
            });
            let on = values.is_some() || matches.try_get_one::<bool>(id).is_ok_and(|on| on == Some(&true));
            on.then(|| Setting {
                flag: arg.get_long().unwrap_or_default().into(),
                values,
                is_list: matches!(arg.get_action(), ArgAction::Append),
                is_default: source == ValueSource::DefaultValue,
            })
        })
        .collect()
}

impl ProfileArgs {
    /// The file. `config` is what the arguments were resolved to.
    pub fn printed(&self, config: &ProfileConfig) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!("# loadline {version}; `loadline profile --config THIS_FILE` gives the same run.\n");
        let salt = config.prompt.cache_salt.clone().unwrap_or_else(|| "none".into());
        let drawn =
            [("model", config.request.model.clone()), ("random-seed", config.seed.0.to_string()), ("cache-salt", salt)];
        for (flag, value) in &drawn {
            let given = self.settings.iter().find(|s| s.flag == *flag && !s.is_default).and_then(|s| s.values.clone());
            let value = given.filter(|_| *flag == "model").unwrap_or_else(|| vec![value.clone()]);
            text.push_str(&line(flag, &Some(value), false));
        }
        for setting in self.settings.iter().filter(|s| drawn.iter().all(|(flag, _)| s.flag != *flag)) {
            text.push_str(&setting.printed());
        }
        text
    }
}

impl Setting {
    fn printed(&self) -> String {
        let secret = |value: &String| match self.flag.as_str() {
            "api-key" => true,
            "header" => value.split(':').next().is_some_and(is_secret_header),
            _ => false,
        };
        let (hidden, shown): (Vec<String>, Vec<String>) = self.values.iter().flatten().cloned().partition(secret);
        let mut text = String::new();
        for value in &hidden {
            let name = value.split(':').next().filter(|_| self.flag == "header");
            let of = name.map(|name| format!(" {name}")).unwrap_or_default();
            text.push_str(&format!("# {}{of} is a secret and left out; give it with the flag\n", self.flag));
        }
        if self.values.is_some() && shown.is_empty() {
            return text;
        }
        let line = line(&self.flag, &self.values.as_ref().map(|_| shown), self.is_list);
        text + if self.is_default { "# default: " } else { "" } + &line
    }
}

/// `key = value`; what is a number in TOML's eyes is written as one.
fn line(flag: &str, values: &Option<Vec<String>>, is_list: bool) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| match text.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && (whole == "0" || !whole.starts_with('0')),
        None => digits(text) && text.parse::<i64>().is_ok_and(|n| n.to_string() == text),
    };
    let written = |text: &String| {
        if number(text) { text.clone() } else { toml::Value::String(text.clone()).to_string() }
    };
    let value = match values {
        None => "true".into(),
        Some(values) if is_list => format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", ")),
        Some(values) => values.last().map(written).unwrap_or_default(),
    };
    format!("{flag} = {value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(flag: &str, values: &[&str], is_list: bool) -> Setting {
        let values = Some(values.iter().map(ToString::to_string).collect());
        Setting { flag: flag.into(), values, is_list, is_default: false }
    }

    #[test]
    fn values_are_what_toml_takes_them_for() {
        for (text, written) in [
            ("5", "5"),
            ("05", "\"05\""),
            ("0.5", "0.5"),
            ("1e3", "\"1e3\""),
            ("18446744073709551615", "\"18446744073709551615\""),
            ("a \"b\" \\ c", "'a \"b\" \\ c'"),
            ("", "\"\""),
        ] {
            let line = setting("x", &[text], false).printed();
            assert_eq!(line, format!("x = {written}\n"));
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table["x"].as_str().map_or_else(|| table["x"].to_string(), String::from), text);
        }
        assert_eq!(setting("goodput", &["ttft:5", "itl:6"], true).printed(), "goodput = [\"ttft:5\", \"itl:6\"]\n");
    }

    #[test]
    fn secrets_are_left_out_and_said_to_be() {
        let text = setting("header", &["x-ok:1", "x-token:s3cret"], true).printed();
        assert_eq!(text, "# header x-token is a secret and left out; give it with the flag\nheader = [\"x-ok:1\"]\n");
        let text = setting("api-key", &["s3cret"], false).printed();
        assert_eq!(text, "# api-key is a secret and left out; give it with the flag\n");
    }
}
