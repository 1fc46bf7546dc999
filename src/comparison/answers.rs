//! A comparison → answers to the plan's five questions, in their order, in words.
//!
//! How fast is each method; how accurate are its predictions at each load; does it find good configurations; what does accuracy cost;
//! which one to use. Invariant: an answer names what is not known.

use super::criteria::{Decision, criteria};
use super::judgement::{Comparison, Judged, P50};
use super::method::{LEVELS, MEDIUM};

/// The questions.
pub const QUESTIONS: [&str; 5] = [
    "How fast is each method?",
    "How accurate are its predictions at each load?",
    "Does it find good configurations?",
    "What is the trade-off between cost and accuracy?",
    "Which one should I use?",
];

/// The answers, in the order of [`QUESTIONS`].
pub fn answers(c: &Comparison) -> [String; 5] {
    [speed(c), accuracy(c), configurations(c), trade_off(c), which(c)]
}

fn each(c: &Comparison, of: impl Fn(&Judged) -> String) -> String {
    let parts: Vec<String> = c.choosers().map(|m| format!("{}: {}", m.method.name, of(m))).collect();
    parts.join("; ") + "."
}

fn speed(c: &Comparison) -> String {
    each(c, |m| {
        let cost = &m.method.cost;
        let of = |f: &Option<super::method::Figure>, unit: &str| match f {
            Some(f) => format!("{} {unit} ({})", round(f.value), f.source.as_str()),
            None => format!("{} unknown", unit.trim_start_matches("s of ")),
        };
        format!(
            "{}, {}, {}",
            of(&cost.wall_s, "s of wall time"),
            of(&cost.gpu_hours, "GPU hours"),
            of(&cost.deployments, "deployments")
        )
    })
}

/// Three decimals, without zeros at the end.
fn round(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

fn accuracy(c: &Comparison) -> String {
    each(c, |m| {
        let levels: Vec<String> = (0..LEVELS.len())
            .map(|level| {
                let of = |e: Option<super::prediction_error::PredictionError>| {
                    e.map_or_else(|| "unknown".into(), |e| format!("{:+.1} %", e.signed_pct()))
                };
                let errors = &m.errors[level];
                format!("{} TTFT {} ITL {}", LEVELS[level], of(errors.ttft[P50]), of(errors.itl[P50]))
            })
            .collect();
        levels.join(", ")
    })
}

fn configurations(c: &Comparison) -> String {
    each(c, |m| {
        let goodput = m
            .strict
            .as_ref()
            .map_or_else(|| "goodput unknown".into(), |at| format!("goodput {:.3} req/s at {}", at.rps, at.load));
        let regret = match (m.regret.value(), m.regret.reason()) {
            (Some(value), _) => format!("regret {:.1} %", value * 100.0),
            (_, reason) => format!("regret undefined, {}", reason.unwrap_or_default()),
        };
        format!("{goodput}, {regret}")
    })
}

fn trade_off(c: &Comparison) -> String {
    let known =
        |m: &Judged| Some((m.method.cost.gpu_hours.as_ref()?.value, m.errors[MEDIUM].ttft[P50]?.absolute_pct()));
    let mut points: Vec<(&str, (f64, f64))> =
        c.choosers().filter_map(|m| Some((m.method.name.as_str(), known(m)?))).collect();
    points.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let missing = c.choosers().count() - points.len();
    let told: Vec<String> = points
        .iter()
        .map(|(name, (hours, error))| {
            format!("{name} {} GPU hours for {error:.1} % TTFT error at medium", round(*hours))
        })
        .collect();
    match (told.is_empty(), missing) {
        (true, _) => "Undecided: of no method both the GPU hours and the error at medium load are known.".into(),
        (false, 0) => told.join("; ") + ".",
        (false, n) => format!("{}; not known of {n} of {} methods.", told.join("; "), c.choosers().count()),
    }
}

fn which(c: &Comparison) -> String {
    let wall = |m: &Judged| m.method.cost.wall_s.as_ref().map_or(f64::INFINITY, |f| f.value);
    let all_pass = |m: &&Judged| !m.method.is_reference && criteria(c, m).iter().all(|c| c.decision == Decision::Pass);
    if let Some(best) = c.choosers().filter(all_pass).min_by(|a, b| wall(a).total_cmp(&wall(b))) {
        return format!("{}: it is the fastest that meets every criterion.", best.method.name);
    }
    let failed = |m: &Judged| criteria(c, m).iter().any(|c| c.decision == Decision::Fail);
    let others = || c.choosers().filter(|m| !m.method.is_reference);
    if let Some(reference) = c.reference()
        && others().next().is_some()
        && others().all(failed)
        && reference.regret.value().is_some()
    {
        let name = &reference.method.name;
        let least = c.best_optimization.map_or("none", |i| &c.methods[i].method.name);
        return if failed(reference) {
            format!(
                "None as it is: every method fails a criterion, {name} that of regret; {least} has the least regret."
            )
        } else {
            format!("{name}: every other method fails a criterion.")
        };
    }
    let open: Vec<String> = others()
        .flat_map(|m| criteria(c, m).into_iter().map(move |criterion| (m, criterion)))
        .filter(|(_, criterion)| criterion.decision == Decision::Undecided)
        .map(|(m, criterion)| format!("{}, {}: {}", m.method.name, criterion.name, criterion.reason))
        .collect();
    format!(
        "Undecided. {}",
        if open.is_empty() { "There is nothing to choose between.".into() } else { open.join("; ") + "." }
    )
}

#[cfg(test)]
mod tests {
    use super::super::judgement::tests::{method, question};
    use super::*;

    #[test]
    fn five_answers_name_what_is_known_and_what_is_not() {
        let good = (95.0, 100.0);
        let online = method("Online-ALL", 2, 10.0, good, Some(9000.0));
        let c = Comparison::new(question(), &[method("A", 2, 10.0, good, Some(30.0)), online.clone()]);
        let [speed, accuracy, found, cost, use_] = answers(&c);
        assert!(speed.contains("A: 30 s of wall time (measured), GPU hours unknown"), "{speed}");
        assert!(
            accuracy.contains("medium TTFT -5.0 % ITL unknown") && accuracy.contains("idle TTFT unknown"),
            "{accuracy}"
        );
        assert!(found.contains("goodput 10.000 req/s at optimization, regret 0.0 %"), "{found}");
        assert!(cost.starts_with("Undecided"), "{cost}");
        assert!(use_.starts_with("A: it is the fastest"), "{use_}");
        let c = Comparison::new(question(), &[method("A", 2, 2.0, good, Some(30.0)), online.clone()]);
        assert!(answers(&c)[4].starts_with("Online-ALL: every other"));
        let slow = method("B", 2, 20.0, good, Some(8000.0));
        let c = Comparison::new(question(), &[slow, online.clone()]);
        assert!(answers(&c)[4].starts_with("None as it is") && answers(&c)[4].contains("B has the least regret"));
        let c = Comparison::new(question(), &[method("A", 2, 10.0, good, None), online]);
        assert!(answers(&c)[4].contains("the wall time of A is not known"));
    }
}
