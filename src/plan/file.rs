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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    values: BTreeMap<String, Scalar>,
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
    on: Option<String>,
    gpus: Option<Scalar>,
    expected_s: Option<f64>,
    #[serde(default)]
    inputs: Vec<String>,
    accepted_exit_codes: Option<Vec<i32>>,
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
    pub fn parse(file: &str, text: &str) -> Result<Plan, InputError> {
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() as u64 + 1;
        let read: FileText = toml::from_str(text).map_err(|e| InputError {
            line: e.span().map_or(0, |span| line(span.start)),
            ..InputError::of_file(file, e.message(), "see `loadline plan --help` for the fields of a plan")
        })?;
        let mut plan = Plan::default();
        let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for step in &read.steps {
            let wrong = |field: &str, problem: String| InputError {
                line: line(step.name.span().start),
                field: Some(field.into()),
                ..InputError::of_file(file, format!("step `{}`: {problem}", step.name.get_ref()), "")
            };
            for values in combinations(&step.each) {
                if plan.steps.len() == STEPS_MAX {
                    return Err(wrong("each", format!("unfolds to more than {STEPS_MAX} steps")));
                }
                let known = |name: &str| values.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
                let known = |name: &str| known(name).or_else(|| read.values.get(name).map(Scalar::text));
                let unfolded = Unfolded { step, values: &values, known: &known, families: &families };
                let made = unfolded.step().map_err(|(field, problem)| wrong(field, problem))?;
                if families.contains_key(&made.name) {
                    return Err(wrong("name", format!("there are two steps `{}`", made.name)));
                }
                families.entry(made.name.clone()).or_default().push(plan.steps.len());
                if !values.is_empty() {
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
    values: &'a [(&'a str, String)],
    known: &'a dyn Fn(&str) -> Option<String>,
    families: &'a BTreeMap<String, Vec<usize>>,
}

impl Unfolded<'_> {
    fn step(&self) -> Result<Step, (&'static str, String)> {
        let step = self.step;
        let mut name = step.name.get_ref().clone();
        for (_, value) in self.values {
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
            let need = self.filled(need);
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
        let words = words.iter().map(|word| pieces(&self.filled(word), &needed)).collect::<Result<_, _>>();
        let gpus = step.gpus.as_ref().map_or(Ok(0.0), |gpus| self.filled(&gpus.text()).parse());
        Ok(Step {
            name,
            words: words.map_err(|problem| ("run", problem))?,
            needs,
            on: step.on.as_ref().map(|on| self.filled(on)),
            gpus: gpus.map_err(|_| ("gpus", "is not a number".to_owned()))?,
            expected_s: step.expected_s,
            inputs: step.inputs.iter().map(|input| self.filled(input).into()).collect(),
            accepted: step.accepted_exit_codes.clone().unwrap_or_else(|| vec![0]),
        })
    }

    /// The text with the plan's and the step's values in place; what else stands in braces stays.
    fn filled(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let name: String = rest[1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let value = (self.known)(&name).filter(|_| rest[1 + name.len()..].starts_with('}'));
            let taken = if let Some(value) = value {
                filled.push_str(&value);
                name.len() + 2
            } else {
                filled.push('{');
                1
            };
            rest = &rest[taken..];
        }
        filled + rest
    }
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
