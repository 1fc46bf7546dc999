//! `{dir}`, `{STEP}` and `{STEP:FILE:/POINTER}` in a word of a step.
//!
//! Invariant: what the user wrote and this file does not know is an error, not text. `{{` and `}}` stand for braces.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// The step's own directory.
    Dir,
    /// The directory of the step of that number.
    DirOf(usize),
    /// A value that the step of that number wrote into a JSON file.
    Told {
        /// The step.
        step: usize,
        /// The file, below its directory.
        file: String,
        /// A JSON pointer (RFC 6901).
        pointer: String,
    },
}

/// Takes a word apart. `step` gives the number of a step that is needed.
///
/// # Errors
/// What is wrong with the word, in a few words.
pub fn pieces(word: &str, step: &dyn Fn(&str) -> Option<usize>) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        let (name, after) = rest.split_once('}').filter(|_| brace == "{").ok_or_else(|| {
            format!("`{word}` has a `{brace}` without its pair; write `{brace}{brace}` for the character")
        })?;
        rest = after;
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(reference(name, step)?);
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn reference(name: &str, step: &dyn Fn(&str) -> Option<usize>) -> Result<Piece, String> {
    if name == "dir" {
        return Ok(Piece::Dir);
    }
    let (of, told) = name.split_once(':').map_or((name, None), |(of, told)| (of, Some(told)));
    let number =
        step(of).ok_or_else(|| format!("`{{{name}}}` is neither a value, nor `dir`, nor a step among its `needs`"))?;
    let Some(told) = told else { return Ok(Piece::DirOf(number)) };
    match told.split_once(':') {
        Some((file, pointer)) if pointer.starts_with('/') && is_below(file) => {
            Ok(Piece::Told { step: number, file: file.into(), pointer: pointer.into() })
        }
        _ => {
            Err(format!("`{{{name}}}` is not of the form {{STEP:FILE:/POINTER}}, with FILE below the step's directory"))
        }
    }
}

fn is_below(file: &str) -> bool {
    use std::path::Component::{CurDir, Normal};
    !file.is_empty() && Path::new(file).components().all(|part| matches!(part, Normal(_) | CurDir))
}

/// Where the words are to lead.
pub struct Places<'a> {
    /// The step's own directory.
    pub own: &'a str,
    /// The directories of all steps, by their numbers; `None` for one that has no results yet.
    pub of: &'a [Option<PathBuf>],
    /// The same, as they are to be written.
    pub written: &'a dyn Fn(&Path) -> String,
}

/// Puts a word together.
///
/// # Errors
/// What an earlier step did not tell, in one sentence.
pub fn resolve(pieces: &[Piece], places: &Places<'_>) -> Result<String, String> {
    let dir = |step: usize| places.of.get(step).and_then(Option::as_ref).ok_or("a step before it has no results");
    let mut word = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => word.push_str(text),
            Piece::Dir => word.push_str(places.own),
            Piece::DirOf(step) => word.push_str(&(places.written)(dir(*step)?)),
            Piece::Told { step, file, pointer } => word.push_str(&told(&dir(*step)?.join(file), pointer)?),
        }
    }
    Ok(word)
}

fn told(path: &Path, pointer: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| format!("{} is not JSON: {e}", path.display()))?;
    match value.pointer(pointer) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(_) => Err(format!("{}: {pointer} is neither text, a number nor a truth value", path.display())),
        None => Err(format!("{}: there is no {pointer}", path.display())),
    }
}
