//! The steps of a plan → the table before it runs, and the account after.
//!
//! Invariant: lines keep to the style's width. Not here: writing them.

use crate::plan::agenda::State;

use super::terminal::{BOLD, Style, paint};
use super::text::{columns, fit, plain};

/// One step, as a line shows it.
#[derive(Clone, Debug)]
pub struct StepLine {
    /// Its name.
    pub name: String,
    /// The endpoint that it loads.
    pub on: Option<String>,
    /// What has become of it.
    pub state: State,
    /// Seconds that it was expected to take.
    pub expected_s: Option<f64>,
    /// Seconds that it took.
    pub wall_s: Option<f64>,
    /// GPUs that it keeps busy.
    pub gpus: f64,
    /// Names of the steps that it needs.
    pub needs: Vec<String>,
}

/// What would run. Ends with a line feed.
pub fn expected(steps: &[StepLine], style: Style) -> String {
    let head = ["step", "on", "state", "expected s", "GPU h", "needs"].map(String::from);
    let rows = steps.iter().map(|step| {
        let left = step.expected_s.filter(|_| !step.state.is_answered());
        let state = if step.state.is_answered() { "kept" } else { "to run" };
        let needs = step.needs.join(" ");
        [name(step), on(step), state.into(), seconds(left), hours(left, step), fit(&plain(&needs), 30)]
    });
    let open: Vec<&StepLine> = steps.iter().filter(|step| !step.state.is_answered()).collect();
    let told: Vec<f64> = open.iter().filter_map(|step| step.expected_s).collect();
    let gpu_h: f64 = open.iter().filter_map(|step| step.expected_s.map(|s| s * step.gpus / 3600.0)).sum();
    let untold = match open.len() - told.len() {
        0 => String::new(),
        n => format!("; {n} of them say nothing of their time"),
    };
    let last = format!(
        "{} of {} steps to run, {:.0} s one after the other, {gpu_h:.3} GPU hours, all as expected by the plan{untold}",
        open.len(),
        steps.len(),
        told.iter().sum::<f64>()
    );
    page(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), &last, style)
}

/// What has become of it. Ends with a line feed.
pub fn account(steps: &[StepLine], style: Style) -> String {
    let head = ["step", "on", "state", "measured s", "GPU h", "expected s"].map(String::from);
    let rows = steps.iter().map(|step| {
        let state = format!("{:?}", step.state).to_lowercase();
        [name(step), on(step), state, seconds(step.wall_s), hours(step.wall_s, step), seconds(step.expected_s)]
    });
    let answered = steps.iter().filter(|step| step.state.is_answered()).count();
    let wall_s: f64 = steps.iter().filter_map(|step| step.wall_s).sum();
    let gpu_h: f64 = steps.iter().filter_map(|step| step.wall_s.map(|s| s * step.gpus / 3600.0)).sum();
    let last = format!(
        "{answered} of {} steps answered; {wall_s:.1} s one after the other; {gpu_h:.3} GPU h: wall time x the plan's gpus",
        steps.len()
    );
    page(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), &last, style)
}

/// The line above what a step printed.
pub fn title(step: &str, style: Style) -> String {
    paint(&fit(&format!("── {} ──", plain(step)), style.width), BOLD, style)
}

fn page(rows: &[[String; 6]], last: &str, style: Style) -> String {
    let mut lines: Vec<String> = columns(rows).into_iter().map(|line| fit(&line, style.width)).collect();
    lines[0] = paint(&lines[0], BOLD, style);
    lines.push(String::new());
    lines.push(fit(last, style.width));
    lines.join("\n") + "\n"
}

fn name(step: &StepLine) -> String {
    fit(&plain(&step.name), 28)
}

fn on(step: &StepLine) -> String {
    fit(&plain(step.on.as_deref().unwrap_or("")), 16)
}

fn seconds(s: Option<f64>) -> String {
    s.map_or_else(String::new, |s| format!("{s:.1}"))
}

fn hours(s: Option<f64>, step: &StepLine) -> String {
    s.map_or_else(String::new, |s| format!("{:.3}", s * step.gpus / 3600.0))
}
