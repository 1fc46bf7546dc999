//! The parameters of a request that are numbers, flags or stop words → what they say, or vLLM's words for why they cannot be.
//!
//! In: a field's name and its JSON. Out: its number, where it has one; [`RULES`] says what each may be.
//! Not here: what the parameters do. Most change nothing in a simulated answer, but a client that gets them wrong must hear
//! of it here as it would there.

use serde_json::Value;
use serde_json::value::RawValue;

use super::ask::BadAsk;

/// Bytes of a wrong value that an error repeats, at most.
const ECHO_MAX: usize = 64;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    /// A number without a fraction.
    Integer,
    Flag,
    /// A string or several.
    Stop,
}

impl Kind {
    /// Pydantic's name and words for something else in its place.
    fn mismatch(self) -> (&'static str, &'static str) {
        match self {
            Kind::Number => ("float_type", "Input should be a valid number"),
            Kind::Integer => ("int_type", "Input should be a valid integer"),
            Kind::Flag => ("bool_type", "Input should be a valid boolean"),
            Kind::Stop => ("string_type", "Input should be a valid string"),
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Kind::Number => value.as_f64().is_some_and(f64::is_finite),
            Kind::Integer => value.as_f64().is_some_and(|v| v.fract() == 0.0),
            Kind::Flag => value.is_boolean(),
            Kind::Stop => value.is_string() || value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
        }
    }
}

/// A field: its kind, which numbers may stand there, and what vLLM says of others.
type Rule = (&'static str, Kind, fn(f64) -> bool, &'static str);

/// Every field that is looked at.
const RULES: [Rule; 15] = [
    ("temperature", Kind::Number, |v| v >= 0.0, "temperature must be non-negative"),
    ("top_p", Kind::Number, |v| v > 0.0 && v <= 1.0, "top_p must be in (0, 1]"),
    ("top_k", Kind::Integer, |v| v >= -1.0, "top_k must be 0 (disable), or at least 1"),
    ("min_p", Kind::Number, |v| (0.0..=1.0).contains(&v), "min_p must be in [0, 1]"),
    ("presence_penalty", Kind::Number, |v| (-2.0..=2.0).contains(&v), "presence_penalty must be in [-2, 2]"),
    ("frequency_penalty", Kind::Number, |v| (-2.0..=2.0).contains(&v), "frequency_penalty must be in [-2, 2]"),
    ("repetition_penalty", Kind::Number, |v| v > 0.0, "repetition_penalty must be greater than zero"),
    ("n", Kind::Integer, |v| v >= 1.0, "n must be at least 1"),
    ("max_tokens", Kind::Integer, |v| v >= 1.0, "max_tokens must be at least 1"),
    ("max_completion_tokens", Kind::Integer, |v| v >= 1.0, "max_tokens must be at least 1"),
    ("max_output_tokens", Kind::Integer, |v| v >= 1.0, "max_tokens must be at least 1"),
    ("min_tokens", Kind::Integer, |v| v >= 0.0, "min_tokens must be greater than or equal to 0"),
    ("seed", Kind::Integer, |_| true, ""),
    ("ignore_eos", Kind::Flag, |_| true, ""),
    ("stop", Kind::Stop, |_| true, ""),
];

/// The number of a field that a body has, rounded to what an `i64` holds; `None` for a field that is no number or not there.
///
/// # Errors
/// [`BadAsk`] for a value of another kind, and for one outside of the field's bounds.
pub(super) fn check(name: &str, raw: Option<&RawValue>) -> Result<Option<i64>, BadAsk> {
    let (Some(raw), Some((name, kind, allows, says))) = (raw, RULES.iter().find(|rule| rule.0 == name)) else {
        return Ok(None);
    };
    let value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
    if !kind.fits(&value) {
        let (error, message) = kind.mismatch();
        // What is long is not said back.
        let input = Some(raw.get()).filter(|text| text.len() <= ECHO_MAX).unwrap_or("…");
        let message =
            format!("[{{'type': '{error}', 'loc': ('body', '{name}'), 'msg': '{message}', 'input': {input}}}]");
        return Err(BadAsk::new(message, Some(name)));
    }
    let Some(number) = value.as_f64() else { return Ok(None) };
    if allows(number) {
        // A number without bounds saturates.
        return Ok(Some(number as i64));
    }
    Err(BadAsk::new(format!("{says}, got {value}."), Some(name)))
}

/// How many tokens an answer has, of which `limit` are the most that the request wants, if it says so, and `min` the least.
///
/// Without a limit it has `default` tokens, more where `min` is more, and no more than `room`.
///
/// # Errors
/// [`BadAsk`] for a minimum above the limit, or above the room where there is no limit.
pub(super) fn answer_tokens(limit: Option<i64>, min: Option<i64>, default: u32, room: i64) -> Result<i64, BadAsk> {
    let min = min.unwrap_or(0);
    let most = limit.unwrap_or(room.max(1));
    if min > most {
        let message = format!("min_tokens must be less than or equal to max_tokens={most}, got {min}.");
        return Err(BadAsk::new(message, Some("min_tokens")));
    }
    Ok(limit.unwrap_or_else(|| i64::from(default).max(min).min(most)))
}

#[cfg(test)]
mod tests {
    use crate::sim::ask::{Api, Ask};

    /// What is said of a body with these fields beside its prompt, and of which field; the answer's tokens, if nothing.
    fn ask(api: Api, fields: &str) -> Result<u32, (String, Option<&'static str>)> {
        let body = format!(r#"{{"prompt":"a b","messages":[{{"content":"a b"}}],{fields}}}"#);
        Ask::read(api, body.as_bytes(), 1000).map(|ask| ask.output_tokens).map_err(|bad| (bad.message, bad.param))
    }

    #[test]
    fn what_is_wrong_is_said_in_vllms_words_and_of_its_field() {
        for (fields, param, says) in [
            (r#""temperature":-0.5"#, "temperature", "temperature must be non-negative, got -0.5."),
            (r#""temperature":"warm""#, "temperature", "'loc': ('body', 'temperature')"),
            (r#""temperature":1e400"#, "temperature", "'input': 1e400"),
            (r#""top_p":0"#, "top_p", "top_p must be in (0, 1], got 0."),
            (r#""top_p":1.5"#, "top_p", "top_p must be in (0, 1], got 1.5."),
            (r#""top_k":-2"#, "top_k", "top_k must be 0 (disable), or at least 1, got -2."),
            (r#""top_k":1.5"#, "top_k", "Input should be a valid integer"),
            (r#""min_p":2"#, "min_p", "min_p must be in [0, 1]"),
            (r#""presence_penalty":3"#, "presence_penalty", "presence_penalty must be in [-2, 2], got 3."),
            (r#""frequency_penalty":-3"#, "frequency_penalty", "frequency_penalty must be in [-2, 2], got -3."),
            (r#""repetition_penalty":0"#, "repetition_penalty", "must be greater than zero, got 0."),
            (r#""n":0"#, "n", "n must be at least 1, got 0."),
            (r#""max_tokens":0"#, "max_tokens", "max_tokens must be at least 1, got 0."),
            (r#""max_tokens":-1"#, "max_tokens", "max_tokens must be at least 1, got -1."),
            (r#""max_tokens":"many""#, "max_tokens", "Input should be a valid integer"),
            (r#""max_tokens":[1]"#, "max_tokens", "'input': [1]"),
            (r#""max_tokens":5,"min_tokens":6"#, "min_tokens", "less than or equal to max_tokens=5, got 6."),
            (r#""min_tokens":999"#, "min_tokens", "less than or equal to max_tokens=998, got 999."),
            (r#""min_tokens":-1"#, "min_tokens", "greater than or equal to 0, got -1."),
            (r#""seed":"x""#, "seed", "Input should be a valid integer"),
            (r#""ignore_eos":1"#, "ignore_eos", "Input should be a valid boolean"),
            (r#""stop":[1]"#, "stop", "Input should be a valid string"),
            (r#""stream_options":{"include_usage":true}"#, "stream_options", "only be defined when `stream=True`."),
        ] {
            for api in [Api::Chat, Api::Completions] {
                let (message, of) = ask(api, fields).expect_err(fields);
                assert!(message.contains(says) && of.unwrap_or_default() == param, "{fields}: {message} of {of:?}");
            }
        }
        assert_eq!(ask(Api::Chat, r#""max_completion_tokens":0"#).unwrap_err().1, Some("max_completion_tokens"));
    }

    #[test]
    fn what_may_be_is_served_and_the_least_length_is_kept() {
        for (fields, tokens) in [
            (
                r#""temperature":0,"top_p":1,"top_k":-1,"min_p":0,"seed":-7,"stop":"x","ignore_eos":true,"max_tokens":4"#,
                4,
            ),
            (r#""temperature":null,"top_p":null,"stop":["a","b"],"min_tokens":0,"n":1,"max_tokens":4.0"#, 4),
            (r#""max_tokens":5,"min_tokens":5"#, 5),
            (r#""min_tokens":400"#, 400),
            (r#""min_tokens":998"#, 998),
            (r#""stream":true,"stream_options":{"include_usage":true},"max_tokens":1"#, 1),
            (r#""stream_options":null,"max_tokens":1"#, 1),
        ] {
            for api in [Api::Chat, Api::Completions] {
                assert_eq!(ask(api, fields), Ok(tokens), "{fields}");
            }
        }
        assert_eq!(
            (ask(Api::Chat, r#""min_tokens":1"#), ask(Api::Completions, r#""min_tokens":1"#)),
            (Ok(256), Ok(16))
        );
    }
}
