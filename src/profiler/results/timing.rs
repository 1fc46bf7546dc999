//! The times of an engine as a profiler measured them, whatever file they stand in.
//!
//! In: a directory of a profiler's run ([`super::folder`]); one `.npz` or JSON object with both tables' arrays, by the planner's names or
//! by those that Dynamo's mock engine reads (`prefill_isl`, `prefill_ttft_ms`, `decode_active_kv_tokens`,
//! `decode_context_length`, `decode_itl`); or a ConfigMap. Out: [`MeasuredTimes`]: points, in seconds.
//! Invariant: both parts are there, and every number is one that time can be made of. Not here: interpolation.

use std::path::Path;

use super::folder::ProfilerRun;
use super::npz::{self, Arrays};
use super::planner;
use super::tables::{DecodeTable, PrefillTable, arrays_of};
use crate::error::{Error, InputError, Result};

/// Bytes of a file, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// One decode step that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodePoint {
    /// Tokens of all sequences in the KV cache.
    pub active_kv_tokens: f64,
    /// Tokens of each, in the mean.
    pub context_tokens: f64,
    /// Seconds.
    pub step_s: f64,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasuredTimes {
    /// Tokens of a prompt, and the seconds to its first token, alone.
    pub prefill: Vec<(f64, f64)>,
    /// Decode steps.
    pub decode: Vec<DecodePoint>,
    /// Tokens of the KV cache, where the tables tell.
    pub kv_tokens: Option<u64>,
    /// The decode table that told it, to be doubted.
    pub decode_table: Option<DecodeTable>,
}

impl MeasuredTimes {
    /// Reads a file or a directory; `None` for a file that is JSON of another kind, with a `schema`.
    ///
    /// # Errors
    /// [`Error::Input`] saying what is missing or wrong, [`Error::Io`] for what cannot be read.
    pub fn read(path: &Path) -> Result<Option<MeasuredTimes>> {
        let fault = |problem: String| -> Error {
            let remedy =
                "give the directory that a profiler wrote, or one .npz or JSON with the tables of prefill and decode";
            InputError::of_file(path.display().to_string(), problem, remedy).into()
        };
        if path.is_dir() {
            let run = ProfilerRun::read(path)?.ok_or_else(|| fault("nothing of a profiler's is in it".into()))?;
            return of_tables(run.prefill, run.decode).map(Some).map_err(fault);
        }
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if size > FILE_BYTES_MAX {
            return Err(fault(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        parse(&std::fs::read(path).map_err(Error::io(path))?).map_err(fault)
    }
}

/// Reads the bytes of a file.
///
/// # Errors
/// What is missing or wrong, in words.
pub fn parse(bytes: &[u8]) -> std::result::Result<Option<MeasuredTimes>, String> {
    if bytes.starts_with(b"PK") {
        return of_arrays(&npz::parse(bytes)?).map(Some);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is neither an .npz nor text")?;
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) if json["schema"].is_string() => Ok(None),
        Ok(json) if json["prefill_isl"].is_array() => of_arrays(&arrays_of(&json)).map(Some),
        // A ConfigMap, as YAML or wrapped in JSON.
        _ => {
            let config = planner::parse(text)?;
            of_tables(config.prefill, config.decode).map(Some)
        }
    }
}

fn of_arrays(arrays: &Arrays) -> std::result::Result<MeasuredTimes, String> {
    let prefill = PrefillTable::from_arrays(arrays)?;
    if !arrays.contains_key("decode_active_kv_tokens") {
        return of_tables(Some(prefill), Some(DecodeTable::from_arrays(arrays)?));
    }
    let get = |name: &str| arrays.get(name).ok_or_else(|| format!("array `{name}` is missing"));
    let (active, context, itl) = (get("decode_active_kv_tokens")?, get("decode_context_length")?, get("decode_itl")?);
    let point = |(active, context): (&f64, &f64), itl_ms: &f64| DecodePoint {
        active_kv_tokens: *active,
        context_tokens: *context,
        step_s: itl_ms / 1e3,
    };
    // Either a point for each place of the three arrays, or a grid: a row for each load, a column for each context.
    let decode: Vec<DecodePoint> = if active.len() == context.len() && itl.len() == active.len() {
        active.iter().zip(context).zip(itl).map(|(at, itl)| point(at, itl)).collect()
    } else if itl.len() == active.len() * context.len() {
        let places = active.iter().flat_map(|a| context.iter().map(move |c| (a, c)));
        places.zip(itl).map(|(at, itl)| point(at, itl)).collect()
    } else {
        return Err(format!(
            "`decode_itl` has {} values, for {} loads and {} contexts",
            itl.len(),
            active.len(),
            context.len()
        ));
    };
    checked(MeasuredTimes { prefill: prefill_points(&prefill), decode, ..MeasuredTimes::default() })
}

fn prefill_points(table: &PrefillTable) -> Vec<(f64, f64)> {
    table.isl.iter().zip(&table.ttft_ms).map(|(isl, ms)| (*isl, ms / 1e3)).collect()
}

fn of_tables(prefill: Option<PrefillTable>, decode: Option<DecodeTable>) -> std::result::Result<MeasuredTimes, String> {
    let prefill = prefill.ok_or("it has no times of prefill, which a simulated engine needs beside those of decode")?;
    let decode = decode.ok_or("it has no times of decode, which a simulated engine needs beside those of prefill")?;
    let point = |i: usize| DecodePoint {
        active_kv_tokens: decode.kv_usage[i] * decode.max_kv_tokens,
        context_tokens: decode.context_tokens[i],
        step_s: decode.itl_ms[i] / 1e3,
    };
    checked(MeasuredTimes {
        prefill: prefill_points(&prefill),
        decode: (0..decode.kv_usage.len()).map(point).collect(),
        kv_tokens: (decode.max_kv_tokens >= 1.0).then_some(decode.max_kv_tokens as u64),
        decode_table: Some(decode),
    })
}

fn checked(times: MeasuredTimes) -> std::result::Result<MeasuredTimes, String> {
    let positive = |v: f64| v.is_finite() && v > 0.0;
    if times.prefill.is_empty() || times.decode.is_empty() {
        return Err("a table in it is empty".into());
    }
    if let Some((isl, s)) = times.prefill.iter().find(|(isl, s)| !positive(*isl) || !positive(*s)) {
        return Err(format!("a prompt of {isl} tokens cannot take {} ms", s * 1e3));
    }
    let bad = |p: &&DecodePoint| !(positive(p.active_kv_tokens) && positive(p.context_tokens) && positive(p.step_s));
    if let Some(p) = times.decode.iter().find(bad) {
        let (active, context, ms) = (p.active_kv_tokens, p.context_tokens, p.step_s * 1e3);
        return Err(format!("a step of {active} KV tokens at a context of {context} cannot take {ms} ms"));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mock_engines_names_are_read_as_points_and_as_a_grid() {
        let prefill: [(&str, &[f64]); 2] = [("prefill_isl", &[100.0, 200.0]), ("prefill_ttft_ms", &[10.0, 30.0])];
        let file =
            |decode: [(&str, &[f64]); 3]| npz::encode(&prefill.into_iter().chain(decode).collect::<Vec<_>>()).unwrap();
        let names = ["decode_active_kv_tokens", "decode_context_length", "decode_itl"];
        let points = file([(names[0], &[100.0, 400.0]), (names[1], &[100.0, 200.0]), (names[2], &[5.0, 6.0])]);
        let times = parse(&points).unwrap().unwrap();
        assert_eq!(times.prefill, [(100.0, 0.01), (200.0, 0.03)]);
        let at = |t: &MeasuredTimes, i: usize| {
            let p = t.decode[i];
            (p.active_kv_tokens, p.context_tokens, p.step_s)
        };
        assert_eq!((at(&times, 0), at(&times, 1)), ((100.0, 100.0, 0.005), (400.0, 200.0, 0.006)));
        let grid = file([(names[0], &[100.0, 400.0]), (names[1], &[50.0]), (names[2], &[5.0, 6.0])]);
        assert_eq!(at(&parse(&grid).unwrap().unwrap(), 1), (400.0, 50.0, 0.006));
        let torn = file([(names[0], &[1.0]), (names[1], &[1.0]), (names[2], &[5.0, 6.0])]);
        assert!(parse(&torn).unwrap_err().contains("2 values, for 1 loads and 1 contexts"));
    }

    #[test]
    fn the_planners_names_are_read_from_json_and_what_is_missing_or_impossible_is_said() {
        let json = r#"{"prefill_isl": [100], "prefill_ttft": [10], "x_kv_usage": [0.5], "y_context_length": [100],
            "z_itl": [7], "z_thpt_per_gpu": [1], "max_kv_tokens": 20000}"#;
        let times = parse(json.as_bytes()).unwrap().unwrap();
        assert_eq!((times.decode[0].active_kv_tokens, times.kv_tokens), (10_000.0, Some(20_000)));
        assert_eq!(parse(br#"{"schema": "loadline.profile/1"}"#), Ok(None));
        let lone = npz::encode(&[("prefill_isl", &[1.0]), ("prefill_ttft", &[1.0])]).unwrap();
        assert!(parse(&lone).unwrap_err().contains("x_kv_usage"));
        assert!(parse(json.replace("[7]", "[0]").as_bytes()).unwrap_err().contains("cannot take 0 ms"));
        assert!(parse(&[0xff]).is_err());
    }
}
