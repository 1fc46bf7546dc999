//! A measured sweep → a table for the terminal.

use super::number::{count, duration, number};
use super::terminal::{Style, labelled};
use super::text::{columns, fit, plain, wrap};
use crate::comparison::measured_sweep::{Binding, MeasuredPoint, Recommendation};
use crate::comparison::profiled::{MeasuredSweep, Profiled, State};
use crate::comparison::selection::{Candidate, Choice};

/// Columns of the labels below the table.
const LABEL: usize = 12;

/// The table of the sizes, what to deploy, and what is to be said.
pub fn render(o: &MeasuredSweep<'_>, style: Style) -> String {
    let title = format!("Measured sweep of {} on {}, {}", plain(o.model), plain(o.gpu), o.backend);
    let asked = format!(
        "Prompts of {} and answers of {} tokens; mean TTFT {} ms and ITL {} ms at most; up to {} GPUs",
        count(o.isl.into()),
        count(o.osl.into()),
        number(o.bounds.ttft_ms),
        number(o.bounds.itl_ms),
        o.max_gpus
    );
    let mut lines = vec![title, asked, String::new()];
    let heads =
        ["TP", "TTFT alone", "in flight", "TTFT", "ITL", "req/s", "tok/s/GPU", "capacity", "loads", "ready s", "GPU-s"];
    let mut rows = vec![heads.map(String::from)];
    rows.extend(o.candidates.iter().map(|c| row(c, o)));
    lines.extend(columns(&rows));
    let mut text: String = lines.iter().map(|l| format!("{}\n", fit(l, style.width))).collect();
    text.push('\n');
    for (label, value) in facts(o) {
        for (i, line) in wrap(&plain(&value), style.width.saturating_sub(LABEL).max(8)).iter().enumerate() {
            text += &format!("{}\n", labelled(if i == 0 { label } else { "" }, LABEL, line, style));
        }
    }
    let mut says = vec![
        "TTFT alone: one prompt at a time; in flight: the load with the highest throughput within the SLA, * where none is and the \
         nearest is shown; capacity: requests in flight from which on throughput did not grow, + where it still did"
            .to_owned(),
    ];
    says.extend(o.notes.iter().cloned());
    text.push('\n');
    for line in says.iter().flat_map(|s| wrap(&plain(s), style.width)) {
        text += &format!("{line}\n");
    }
    text
}

/// What a method measured one after the other, and what it chose.
pub fn selection(candidates: &[Candidate], choice: &Choice, clock: &str, style: Style) -> String {
    let shown = |x: Option<f64>| x.map_or_else(|| "-".into(), number);
    let mut rows =
        vec![["step", "candidate", "effort", "predicted", "measured", "GPU-s", "best so far"].map(String::from)];
    for (n, step) in choice.steps.iter().enumerate() {
        rows.push([
            (n + 1).to_string(),
            step.name.clone(),
            number(step.effort),
            shown(candidates[step.candidate].predicted),
            shown(step.value),
            number(step.gpu_s),
            step.incumbent.map_or_else(|| "-".into(), |c| candidates[c].name.clone()),
        ]);
    }
    let mut lines = vec![format!("Method {}, among {} candidates", choice.method, candidates.len())];
    lines.extend(columns(&rows));
    let chosen = choice.chosen.map_or_else(|| "none".into(), |c| candidates[c].name.clone());
    lines.push(format!(
        "Chosen: {chosen}, after {} measurements and {} GPU-h, measured ({clock} time)",
        number(choice.measurements()),
        number(choice.gpu_s() / 3600.0)
    ));
    lines.push("predicted, measured: tokens per second and GPU, 0 where the SLA is missed".into());
    lines.extend(choice.notes.iter().cloned());
    let lines = lines.iter().flat_map(|l| if l.len() > style.width { wrap(l, style.width) } else { vec![l.clone()] });
    lines.map(|l| format!("{l}\n")).collect::<String>() + "\n"
}

fn row(c: &Profiled, o: &MeasuredSweep<'_>) -> [String; 11] {
    let shown = |x: Option<f64>| x.map_or_else(|| "-".into(), number);
    let kept = c.points.iter().filter(|p| p.strain(o.bounds) <= 1.0);
    let best = kept.max_by(|a, b| a.tokens_per_s.total_cmp(&b.tokens_per_s));
    let nearest = || c.points.iter().min_by(|a, b| a.strain(o.bounds).total_cmp(&b.strain(o.bounds)));
    let (point, mark) = best.map_or_else(|| (nearest(), "*"), |p| (Some(p), ""));
    let at = |f: fn(&MeasuredPoint) -> Option<f64>| shown(point.and_then(f));
    let alone = c.prefill.iter().find(|p| p.isl_tokens == o.isl);
    let grows = if c.is_saturated { "" } else { "+" };
    [
        c.tp.to_string(),
        shown(alone.map(|p| p.ttft_ms)),
        point.map_or_else(|| "-".into(), |p| format!("{}{mark}", p.batch)),
        at(|p| p.ttft_ms),
        at(|p| p.itl_ms),
        at(|p| Some(p.requests_per_s)),
        at(|p| Some(p.tokens_per_s_per_gpu())),
        if c.capacity > 0 { format!("{}{grows}", c.capacity) } else { "-".into() },
        c.points.len().to_string(),
        number(c.spent.ready_s),
        number(c.spent.gpu_s()),
    ]
}

/// What to do, what it cost, and what is missing.
fn facts(o: &MeasuredSweep<'_>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    match o.recommendation {
        Some(Recommendation::Deploy { best, runner_up }) => {
            facts.push(("Deploy", at(best)));
            let lower = |p: &MeasuredPoint| 100.0 * (1.0 - p.tokens_per_s_per_gpu() / best.tokens_per_s_per_gpu());
            facts.push((
                "Runner-up",
                runner_up
                    .as_ref()
                    .map_or_else(|| "none of another size".into(), |p| format!("{}, {:.1} % lower", at(p), lower(p))),
            ));
        }
        Some(Recommendation::Infeasible { binding, nearest }) => {
            let name = match binding {
                Binding::Ttft => "TTFT",
                Binding::Itl => "ITL",
            };
            facts.push(("Infeasible", format!("no load that was measured meets the SLA: {name} binds")));
            facts.push(("Nearest", at(nearest)));
        }
        None => facts.push(("Unknown", "nothing was answered".into())),
    }
    let begun = o.candidates.iter().filter(|c| c.ready_at_ns.is_some()).count();
    facts.push((
        "Cost",
        format!(
            "{begun} deployments, {} and {} GPU-h, measured ({} time); this program ran for {}",
            duration(o.deployed_s()),
            number(o.gpu_s() / 3600.0),
            o.clock(),
            duration(o.wall_s)
        ),
    ));
    for c in o.candidates.iter().filter(|c| c.state != State::Measured) {
        facts.push(("Missing", format!("TP{}: {}", c.tp, c.reason.as_deref().unwrap_or("it was not measured"))));
    }
    facts
}

fn at(p: &MeasuredPoint) -> String {
    let shown = |x: Option<f64>| x.map_or_else(|| "-".into(), number);
    format!(
        "TP{} at {} in flight: TTFT {} ms, ITL {} ms, {} tok/s/GPU",
        p.tp,
        p.batch,
        shown(p.ttft_ms),
        shown(p.itl_ms),
        number(p.tokens_per_s_per_gpu())
    )
}
