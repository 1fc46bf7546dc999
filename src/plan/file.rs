//! The text of a plan → its steps, with `each` unfolded and every reference checked.
//!
//! In: TOML. Out: [`Plan`]. Invariants: names are unique; a step's `needs` are numbers below its own.
//! Not here: what earlier steps tell ([`super::reference`] reads that when it is there).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::reference::{Piece, pieces};
use crate::error::InputError;

/// Steps of a plan, at most.
const STEPS_MAX: usize = 10_000;
/// How deep values may stand in values.
const DEPTH_MAX: usize = 8;
/// Longest word, in bytes: values in values may double it many times over.
const WORD_BYTES_MAX: usize = 1 << 16;

/// How a plan is read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Whether the file's `[simulated]` values replace those of `[values]`.
    pub is_simulated: bool,
    /// Values that replace the file's, by name.
    pub set: Vec<(String, String)>,
}

/// A plan.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Its steps; each needs only steps before it.
    pub steps: Vec<Step>,
}

/// One command line.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name: the file's, with the values of `each` behind it.
    pub name: String,
    /// The words behind the program's name.
    pub words: Vec<Vec<Piece>>,
    /// Numbers of the steps whose results it needs.
    pub needs: Vec<usize>,
    /// The endpoint that it loads: of the steps on one endpoint, one runs at a time.
    pub on: Option<String>,
    /// GPUs that it keeps busy.
    pub gpus: f64,
    /// Seconds that it is expected to take.
    pub expected_s: Option<f64>,
    /// Files that its answer depends on, beside other steps' results.
    pub inputs: Vec<PathBuf>,
    /// Exit codes that count as an answer.
    pub accepted: Vec<i32>,
    /// Whether what it prints is part of the plan's own answer.
    pub is_shown: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    values: BTreeMap<String, Value>,
    #[serde(default)]
    simulated: BTreeMap<String, Value>,
    #[serde(rename = "step", default)]
    steps: Vec<StepText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    name: toml::Spanned<String>,
    run: Line,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    each: BTreeMap<String, Vec<Scalar>>,
    /// Values of this step alone.
    #[serde(default)]
    with: BTreeMap<String, Scalar>,
    on: Option<String>,
    gpus: Option<Scalar>,
    expected_s: Option<Scalar>,
    #[serde(default)]
    inputs: Vec<String>,
    accepted_exit_codes: Option<Vec<i32>>,
    #[serde(default)]
    show: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Words(Vec<String>),
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(i64),
    Real(f64),
}

/// A value: text inside a word, or the words that a `{NAME}` by itself stands for.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Value {
    One(Scalar),
    Words(Vec<Scalar>),
}

impl Value {
    /// The value in words, as a line of a step would have them.
    fn words(&self) -> Vec<String> {
        match self {
            Value::One(one) => vec![one.text()],
            Value::Words(words) => words.iter().map(Scalar::text).collect(),
        }
    }
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Scalar::Text(text) => text.clone(),
            Scalar::Whole(n) => n.to_string(),
            Scalar::Real(x) => x.to_string(),
        }
    }
}

impl Plan {
    /// Reads a plan. `file` is its name for people.
    ///
    /// # Errors
    /// [`InputError`] with the line and field at fault.
    pub fn parse(file: &str, text: &str, how: &Reading) -> Result<Plan, InputError> {
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() as u64 + 1;
        let read: FileText = toml::from_str(text).map_err(|e| InputError {
            line: e.span().map_or(0, |span| line(span.start)),
            ..InputError::of_file(file, e.message(), "see `loadline plan --help` for the fields of a plan")
        })?;
        let values = values(&read, how).map_err(|problem| InputError::of_file(file, problem, ""))?;
        let mut plan = Plan::default();
        let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for step in &read.steps {
            let wrong = |field: &str, problem: String| InputError {
                line: line(step.name.span().start),
                field: Some(field.into()),
                ..InputError::of_file(file, format!("step `{}`: {problem}", step.name.get_ref()), "")
            };
            for own in combinations(&step.each) {
                if plan.steps.len() == STEPS_MAX {
                    return Err(wrong("each", format!("unfolds to more than {STEPS_MAX} steps")));
                }
                let unfolded = Unfolded { step, own: &own, values: &values, families: &families };
                let made = unfolded.step().map_err(|(field, problem)| wrong(field, problem))?;
                if families.contains_key(&made.name) {
                    return Err(wrong("name", format!("there are two steps `{}`", made.name)));
                }
                families.entry(made.name.clone()).or_default().push(plan.steps.len());
                if !own.is_empty() {
                    families.entry(step.name.get_ref().clone()).or_default().push(plan.steps.len());
                }
                plan.steps.push(made);
            }
        }
        if plan.steps.is_empty() {
            return Err(InputError::of_file(file, "has no step", "give at least one [[step]]"));
        }
        Ok(plan)
    }
}

/// The values that hold for every step.
fn values<'a>(read: &'a FileText, how: &Reading) -> Result<BTreeMap<&'a str, Vec<String>>, String> {
    let simulated = read.simulated.iter().filter(|_| how.is_simulated);
    let mut values: BTreeMap<&str, Vec<String>> =
        read.values.iter().chain(simulated).map(|(name, value)| (name.as_str(), value.words())).collect();
    if how.is_simulated && read.simulated.is_empty() {
        return Err("has no [simulated] values: it does not say what --simulate would change".into());
    }
    for (name, text) in &how.set {
        let Some((known, value)) = read.values.get_key_value(name) else {
            return Err(format!("has no value `{name}` that could be set"));
        };
        let words = match value {
            Value::One(_) => vec![text.clone()],
            Value::Words(_) => split(text)?,
        };
        values.insert(known, words);
    }
    Ok(values)
}

/// Every combination of the lists' values, the last list fastest.
fn combinations(each: &BTreeMap<String, Vec<Scalar>>) -> Vec<Vec<(&str, String)>> {
    let mut all = vec![Vec::new()];
    for (name, values) in each {
        all = all
            .iter()
            .flat_map(|one: &Vec<(&str, String)>| {
                values.iter().map(move |value| {
                    let mut one = one.clone();
                    one.push((name.as_str(), value.text()));
                    one
                })
            })
            .collect();
    }
    all
}

/// A step of the file with one combination of its values.
struct Unfolded<'a> {
    step: &'a StepText,
    /// The values of `each`.
    own: &'a [(&'a str, String)],
    values: &'a BTreeMap<&'a str, Vec<String>>,
    families: &'a BTreeMap<String, Vec<usize>>,
}

impl Unfolded<'_> {
    fn step(&self) -> Result<Step, (&'static str, String)> {
        let step = self.step;
        let mut name = step.name.get_ref().clone();
        for (_, value) in self.own {
            name.push('-');
            name.push_str(value);
        }
        if name.is_empty()
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            || name.starts_with('.')
        {
            return Err(("name", format!("`{name}` has more than letters, digits, `-`, `_` and `.`")));
        }
        let mut needs = Vec::new();
        for need in &step.needs {
            let need = self.filled(need, 0).map_err(|problem| ("needs", problem))?;
            let numbers = self.families.get(&need).ok_or(("needs", format!("`{need}` is no step before it")))?;
            needs.extend(numbers);
        }
        needs.sort_unstable();
        needs.dedup();
        let words = match &step.run {
            Line::Text(text) => split(text).map_err(|problem| ("run", problem))?,
            Line::Words(words) => words.clone(),
        };
        let needed = |name: &str| match self.families.get(name).map(Vec::as_slice) {
            Some([number]) if needs.contains(number) => Some(*number),
            _ => None,
        };
        let words = self.spliced(&words, 0).map_err(|problem| ("run", problem))?;
        let words = words.iter().map(|word| pieces(word, &needed)).collect::<Result<_, _>>();
        let number = |field: &'static str, scalar: &Option<Scalar>| match scalar {
            None => Ok(None),
            Some(scalar) => {
                let text = self.filled(&scalar.text(), 0).map_err(|problem| (field, problem))?;
                text.parse::<f64>().map(Some).map_err(|_| (field, format!("`{text}` is not a number")))
            }
        };
        let on = step.on.as_ref().map(|on| self.filled(on, 0)).transpose().map_err(|problem| ("on", problem))?;
        let inputs = step.inputs.iter().map(|input| self.filled(input, 0).map(PathBuf::from)).collect::<Result<_, _>>();
        Ok(Step {
            name,
            words: words.map_err(|problem| ("run", problem))?,
            needs,
            on,
            gpus: number("gpus", &step.gpus)?.unwrap_or(0.0),
            expected_s: number("expected_s", &step.expected_s)?,
            inputs: inputs.map_err(|problem| ("inputs", problem))?,
            is_shown: step.show,
            accepted: step.accepted_exit_codes.clone().unwrap_or_else(|| vec![0]),
        })
    }

    /// The words of a value: the step's own, or else the plan's.
    fn known(&self, name: &str) -> Option<Vec<String>> {
        let own = self.own.iter().find(|(known, _)| *known == name).map(|(_, value)| vec![value.clone()]);
        let own = own.or_else(|| self.step.with.get(name).map(|value| vec![value.text()]));
        own.or_else(|| self.values.get(name).cloned())
    }

    /// The words with values in place; a word that is a value and nothing else becomes as many words as that has.
    fn spliced(&self, words: &[String], depth: usize) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        for word in words {
            let name = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match name.and_then(|name| self.known(name)) {
                Some(_) if depth == DEPTH_MAX => return Err(format!("values stand in each other around `{word}`")),
                Some(inner) => all.extend(self.spliced(&inner, depth + 1)?),
                None => all.push(self.filled(word, depth)?),
            }
        }
        Ok(all)
    }

    /// The text with the plan's and the step's values in place; what else stands in braces stays. A value's name may hold a value:
    /// `{url_{tp}}`.
    fn filled(&self, text: &str, depth: usize) -> Result<String, String> {
        if depth > DEPTH_MAX {
            return Err(format!("values stand in each other around `{text}`"));
        }
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let value = match inside(rest) {
                Some(name) if name.contains('{') => self.known(&self.filled(name, depth + 1)?).zip(Some(name)),
                Some(name) => self.known(name).zip(Some(name)),
                None => None,
            };
            let taken = match value {
                Some((words, name)) => {
                    filled.push_str(&self.filled(&words.join(" "), depth + 1)?);
                    name.len() + 2
                }
                // Two braces stand for one, which `reference` knows.
                None if rest.starts_with("{{") => {
                    filled.push_str("{{");
                    2
                }
                None => {
                    filled.push('{');
                    1
                }
            };
            if filled.len() > WORD_BYTES_MAX {
                return Err(format!("a word is longer than {WORD_BYTES_MAX} bytes"));
            }
            rest = &rest[taken..];
        }
        Ok(filled + rest)
    }
}

/// What stands between the first brace of the text and the one that closes it.
fn inside(text: &str) -> Option<&str> {
    let mut open = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 1 => return Some(&text[1..at]),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// The words of a line: white space parts them, double quotes hold them together.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quoted { Err("a quote is not closed".into()) } else { Ok(words) }
}
