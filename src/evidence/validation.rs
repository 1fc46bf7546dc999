//! `validation.json` and `goodput.json` → levels and the answer of a search.
//!
//! Both forms of the validation are read: the original's, and ours with means and intervals beside it. What a level's own run
//! has told already goes before the summary here; predictions of the file go before those of tables, for they are what was held
//! against the deployment.

use std::path::Path;

use serde_json::Value;

use super::json::{number, read as read_json, text, whole};
use crate::comparison::method::{LEVELS, Measured, Method, Predicted, Quantiles, Searched, Target};
use crate::error::{InputError, Result};

/// Reads a validation.
///
/// # Errors
/// [`crate::error::Error::Input`] for a file without levels, or of levels that are unknown.
pub(super) fn read(method: &mut Method, path: &Path) -> Result<()> {
    let json = read_json(path)?;
    let shown = path.display().to_string();
    let fault = |problem: String| InputError::of_file(shown.clone(), problem, "give a validation.json");
    // 0 is how the original says that there was none.
    let predicted =
        |name: &str| number(&json, name).filter(|ms| *ms > 0.0).map(|ms| Predicted { ms, from: shown.clone() });
    let (ttft, itl) = (predicted("/predicted_ttft"), predicted("/predicted_itl"));
    method.model = method.model.take().or(text(&json, "/model"));
    let levels = json["load_level_results"].as_array().filter(|levels| !levels.is_empty());
    let levels = levels.ok_or_else(|| fault("it has no load_level_results".into()))?;
    for level in levels {
        let name = level["load_level"].as_str().unwrap_or_default();
        let Some(index) = LEVELS.iter().position(|l| *l == name) else {
            return Err(fault(format!("the load_level `{}` is unknown", name.escape_default())).into());
        };
        let place = &mut method.levels[index];
        place.ttft = ttft.clone().or(place.ttft.take());
        place.itl = itl.clone().or(place.itl.take());
        if place.measured.is_none() {
            place.measured = Some(measured(level, &shown));
        }
    }
    method.ttft = ttft.or(method.ttft.take());
    method.itl = itl.or(method.itl.take());
    Ok(())
}

fn measured(level: &Value, source: &str) -> Measured {
    let quantiles = |metric: &str| {
        let actual = |stat: &str| number(level, &format!("/{metric}/{stat}/actual/mean"));
        let plain = |stat: &str| number(level, &format!("/{metric}_{stat}"));
        Quantiles {
            mean: actual("mean"),
            p50: plain("p50").or_else(|| actual("p50")),
            p90: actual("p90"),
            p99: plain("p99").or_else(|| actual("p99")),
        }
    };
    let goodput_rps = number(level, "/goodput_rps");
    Measured {
        concurrency: whole(level, "/concurrency"),
        concurrency_pct: number(level, "/concurrency_pct"),
        ttft: quantiles("ttft"),
        itl: quantiles("itl"),
        request_rps: number(level, "/request_throughput_rps/mean"),
        goodput_rps,
        goodput_unknown: goodput_rps.is_none().then(|| format!("{source} has none")),
        attainment: number(level, "/sla_hit_rate").filter(|share| (0.0..=1.0).contains(share)),
        source: source.to_owned(),
        ..Measured::default()
    }
}

/// Reads a goodput search. One of another target is not taken, and that is said; false then.
///
/// # Errors
/// As the file's.
pub(super) fn search(method: &mut Method, path: &Path, target: Target) -> Result<bool> {
    let json = read_json(path)?;
    let shown = path.display().to_string();
    let asked = [number(&json, "/ttft_target"), number(&json, "/itl_target")];
    if asked != [Some(target.ttft_ms), Some(target.itl_ms)] {
        method.notes.push(format!("{shown} searched for another target, and is left out"));
        return Ok(false);
    }
    method.model = method.model.take().or(text(&json, "/model"));
    method.search.get_or_insert_with(|| Searched {
        rate_rps: number(&json, "/goodput_rate_rps"),
        low_rps: number(&json, "/low_rps"),
        high_rps: number(&json, "/high_rps"),
        attainment: number(&json, "/attainment"),
        is_resolved: json["resolved"] == true,
        source: shown,
    });
    Ok(true)
}
