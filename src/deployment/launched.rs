//! A command line with places in it (`{model}`, `{tp}`, `{port}`) → a server on this machine.
//!
//! No shell stands in between: words are taken apart as a shell would (quotes, backslashes), and then filled in, so that no value
//! can become a word of its own. `NAME=VALUE` in front sets the environment.

use std::net::TcpListener;
use std::path::Path;

use super::process::{self, Group};
use super::{Slot, Watch};
use crate::error::{Error, Result};

/// The file with the words of a deployment.
pub const LOG_NAME: &str = "deployment.log";
/// The places.
const PLACES: [&str; 3] = ["model", "tp", "port"];

/// A command line to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    settings: Vec<(String, String)>,
    words: Vec<String>,
}

impl Template {
    /// Takes a command line apart.
    ///
    /// # Errors
    /// [`Error::Usage`] for an open quote, a place that does not exist, or a line without a program or without `{port}`.
    pub fn parse(line: &str) -> Result<Template> {
        let refuse = |why: String| Error::Usage(format!("--launch {line}: {why}"));
        let mut words = words(line).map_err(|why| refuse(why.into()))?;
        for word in &words {
            check(word).map_err(refuse)?;
        }
        let mut settings = Vec::new();
        while let Some((name, value)) = words.first().and_then(|word| setting(word)) {
            settings.push((name, value));
            words.remove(0);
        }
        if words.is_empty() {
            return Err(refuse("there is no command in it".into()));
        }
        let has_port = words.iter().chain(settings.iter().map(|(_, value)| value)).any(|word| word.contains("{port}"));
        if !has_port {
            return Err(refuse("it has no {port}: a free one is chosen for each deployment, and goes there".into()));
        }
        Ok(Template { settings, words })
    }

    /// Starts the server, and waits until its model answers; `None` where the user stopped it.
    ///
    /// # Errors
    /// [`Error::Endpoint`] where it does not; [`Error::Io`] for its log.
    pub(super) fn start(&self, slot: Slot<'_>, watch: &Watch<'_>) -> Result<Option<Launched>> {
        let port = free_port()?;
        let fill = |text: &str| fill(text, slot, port);
        let words: Vec<String> = self.words.iter().map(|word| fill(word)).collect();
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        let log = slot.dir.join(LOG_NAME);
        let mut group = Group::start(&words, &settings, &log, watch.stop_ns)?;
        let url = format!("http://127.0.0.1:{port}");
        match watch.until_ready(&url, &mut || group.ended()) {
            Ok(true) => Ok(Some(Launched { url, group })),
            Ok(false) => group.stop().map(|()| None),
            Err(why) => {
                group.stop()?;
                Err(failed(slot.tp, &why, &log))
            }
        }
    }
}

/// What to say of a deployment that did not get ready.
pub(super) fn failed(tp: u32, why: &str, log: &Path) -> Error {
    let said = process::tail(log);
    let last = if said.is_empty() { String::new() } else { format!("; it said last: {said}") };
    Error::Endpoint(format!("the deployment of TP{tp} did not get ready: {why} (its log is {}{last})", log.display()))
}

/// A server that was started.
#[derive(Debug)]
pub struct Launched {
    /// Where it answers.
    pub url: String,
    group: Group,
}

impl Launched {
    pub(super) fn log(&self) -> &Path {
        self.group.log()
    }

    pub(super) fn ended(&mut self) -> Option<String> {
        self.group.ended()
    }

    pub(super) fn stop(self) -> Result<()> {
        self.group.stop()
    }
}

/// A port that nobody listens on. Another program may take it before the server does; the server then says so.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let port = listener.and_then(|l| l.local_addr()).map(|a| a.port());
    port.map_err(|e| Error::Internal(format!("no port is free on 127.0.0.1: {e}")))
}

/// A text with its places filled in, each once: a value is not looked into.
pub(super) fn fill(text: &str, slot: Slot<'_>, port: u16) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((at, place)) = next_place(rest) {
        filled.push_str(&rest[..at]);
        match place {
            "model" => filled.push_str(slot.model),
            "tp" => filled.push_str(&slot.tp.to_string()),
            "port" => filled.push_str(&port.to_string()),
            // It is no place: a brace of the text's own.
            other => filled.push_str(&format!("{{{other}}}")),
        }
        rest = &rest[at + place.len() + 2..];
    }
    filled + rest
}

/// The next `{word}` of small letters, and where it begins.
fn next_place(text: &str) -> Option<(usize, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let word = text[at + 1..].split('}').next()?;
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (is_word && text.as_bytes().get(at + 1 + word.len()) == Some(&b'}')).then_some((at, word))
    })
}

/// Refuses a place that does not exist.
pub(super) fn check(word: &str) -> std::result::Result<(), String> {
    let mut rest = word;
    while let Some((at, place)) = next_place(rest) {
        if !PLACES.contains(&place) {
            return Err(format!("{{{place}}} is no place; there are {{model}}, {{tp}} and {{port}}"));
        }
        rest = &rest[at + place.len() + 2..];
    }
    Ok(())
}

/// `NAME=VALUE`, where a word is one.
fn setting(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    (starts && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')).then(|| (name.into(), value.into()))
}

/// The words of a line, as a shell without variables takes them apart.
fn words(line: &str) -> std::result::Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('"') | None, '\\') => {
                let next = letters.next().ok_or("it ends in a backslash")?;
                let word = word.get_or_insert_default();
                if quote.is_some() && !matches!(next, '"' | '\\') {
                    word.push('\\');
                }
                word.push(next);
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot<'static> {
        Slot { model: "a b{tp}", tp: 4, dir: Path::new("/tmp") }
    }

    #[test]
    fn words_are_a_shells_and_values_stay_in_their_word() {
        let line = r#"A_1={tp} B='x y' vllm serve {model} --port={port} '--x={"a": 1}' "q\"\n" \{ e'm'pty ''"#;
        let template = Template::parse(line).unwrap();
        let filled: Vec<String> = template.words.iter().map(|word| fill(word, slot(), 81)).collect();
        let expect = ["vllm", "serve", "a b{tp}", "--port=81", r#"--x={"a": 1}"#, r#"q"\n"#, "{", "empty", ""];
        assert_eq!(filled, expect);
        let settings: Vec<_> = template.settings.iter().map(|(n, v)| (n.as_str(), fill(v, slot(), 81))).collect();
        assert_eq!(settings, [("A_1", "4".to_owned()), ("B", "x y".to_owned())]);
    }

    #[test]
    fn what_cannot_be_started_is_refused_with_its_reason() {
        for (line, why) in [
            ("vllm serve 'x --port {port}", "a quote is not closed"),
            ("vllm serve \\", "ends in a backslash"),
            ("", "no command"),
            ("A=1 B={port}", "no command"),
            ("vllm serve {model}", "no {port}"),
            ("vllm serve {tps} --port {port}", "{tps} is no place; there are {model}, {tp} and {port}"),
        ] {
            let text = Template::parse(line).unwrap_err().to_string();
            assert!(text.contains(why) && text.contains("--launch"), "{line}: {text}");
        }
    }

    #[test]
    fn braces_that_are_no_places_are_left_alone() {
        for text in ["{", "}", "{}", "{A}", "{a", "{{", "{\"k\": {\"x\": 1}}"] {
            assert_eq!((check(text), fill(text, slot(), 1)), (Ok(()), text.to_owned()));
        }
        assert_eq!(fill("{tp}{tp}{{port}}", slot(), 9), "44{9}");
    }
}
