//! How a method went on: `selection.json`, or of a sweep of everything `online.json`.

use std::path::Path;

use serde_json::Value;

use super::json::{number, read as read_json, whole};
use crate::comparison::course::{Course, Offer};
use crate::comparison::method::Target;
use crate::error::Result;

/// What a method that chooses writes.
const SELECTION: &str = "selection.json";
/// What it, and a sweep of everything, has measured.
const ONLINE: &str = "online.json";

/// Reads the course in a directory, if there is one for this target; a note where there is one for another.
///
/// # Errors
/// As the files'.
pub(super) fn read(dir: &Path, target: Target) -> Result<(Option<Course>, Option<String>)> {
    let online = dir.join(ONLINE);
    if !online.is_file() {
        return Ok((None, None));
    }
    let json = read_json(&online)?;
    let asked = [
        ("/workload/isl_tokens", f64::from(target.isl)),
        ("/workload/osl_tokens", f64::from(target.osl)),
        ("/sla/ttft_ms", target.ttft_ms),
        ("/sla/itl_ms", target.itl_ms),
    ];
    if asked.iter().any(|(at, value)| number(&json, at).is_some_and(|told| told != *value)) {
        let note = format!("{} is for other lengths or targets: its course is not drawn", online.display());
        return Ok((None, Some(note)));
    }
    let selection = dir.join(SELECTION);
    let course = if selection.is_file() { chosen(&read_json(&selection)?) } else { swept(&json) };
    Ok((Some(course).filter(|course| !course.path.is_empty()), None))
}

/// Of a method that chose: step by step.
fn chosen(json: &Value) -> Course {
    let offer = |of: &Value| Some((whole(of, "/tp")?, whole(of, "/batch")?));
    let at = |of: &Value, name: &str| offer(json.pointer(&format!("/candidates/{}", whole(of, name)?))?);
    let mut course = Course::default();
    let mut spent_s = 0.0;
    for step in items(json, "/steps") {
        spent_s += number(step, "/gpu_s").unwrap_or(0.0);
        let measured = at(step, "/candidate").zip(number(step, "/effort")).zip(number(step, "/value"));
        course.values.extend(measured.map(|((offer, effort), value)| (offer, effort, value)));
        course.path.push((spent_s / 3600.0, at(step, "/incumbent")));
    }
    if course.path.is_empty() && json.pointer("/chosen").is_some_and(Value::is_number) {
        course.path.push((0.0, at(json, "/chosen")));
    }
    course
}

/// Of a sweep of everything: its end.
fn swept(json: &Value) -> Course {
    let offer = |point: &Value| -> Option<Offer> { Some((whole(point, "/topology/tp")?, whole(point, "/batch")?)) };
    let value = |point: &Value| {
        let meets = point.pointer("/meets_sla")?.as_bool()?;
        Some((offer(point)?, 1.0, number(point, "/tokens_per_s_per_gpu").filter(|_| meets).unwrap_or(0.0)))
    };
    let points = items(json, "/candidates").iter().flat_map(|candidate| items(candidate, "/points"));
    let best = json.pointer("/recommendation/best").and_then(offer);
    Course {
        values: points.filter_map(value).collect(),
        path: number(json, "/cost/gpu_hours")
            .filter(|_| best.is_some())
            .map(|hours| (hours, best))
            .into_iter()
            .collect(),
    }
}

fn items<'a>(json: &'a Value, at: &str) -> &'a [Value] {
    json.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
