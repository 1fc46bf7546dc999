//! `loadline sweep --points FILE --regret`: what each way to choose would have lost on measured deployments.

use std::path::Path;

use crate::cli::sweep::SweepFormat;
use crate::comparison::selection::cases::{self, Case, Standing};
use crate::comparison::selection::{Candidate, METHODS, method};
use crate::error::{Error, ExitCode, Result};
use crate::profiler::points::scenarios::{self, Latencies, Offer, Scenario, Scenarios};
use crate::report::terminal::Style;
use crate::report::{out, selection as report};
use crate::rng::Seed;

/// Targets of TTFT and TPOT, ms.
const TTFT_MS: [f64; 3] = [500.0, 1000.0, 2000.0];
const TPOT_MS: [f64; 2] = [30.0, 50.0];

/// What is chosen from, and with how many measurements.
struct Question {
    key: &'static str,
    title: &'static str,
    offers: fn(&Scenario, usize, Latencies) -> Vec<Offer>,
    budgets: &'static [u32],
}

const QUESTIONS: [Question; 2] = [
    Question {
        key: "sizes",
        title: "Which tensor-parallel size; requests under way are tuned once it is deployed",
        offers: Scenario::sizes_offered,
        budgets: &[2, 3],
    },
    Question {
        key: "points",
        title: "Which size with how many requests under way, deployed as predicted",
        offers: Scenario::points_offered,
        budgets: &[2, 3, 5],
    },
];

/// Prints how every method and a few fixed choices fare.
///
/// # Errors
/// A file that cannot be read, or that is no table of measured sizes.
pub(in crate::commands) fn run(points: &Path, seed: Seed, format: SweepFormat, style: Style) -> Result<ExitCode> {
    let text = std::fs::read_to_string(points).map_err(Error::io(points))?;
    let scenarios = scenarios::scenarios(&points.display().to_string(), &text)?;
    let answers = QUESTIONS.iter().map(|q| Ok((q, standings(&scenarios, q, seed)?))).collect::<Result<Vec<_>>>()?;
    let cases = answers.first().and_then(|(_, s)| s.first()).map_or(0, |s| s.cases);
    if format == SweepFormat::Json {
        let mut json = serde_json::json!({
            "schema": "loadline.regret/1",
            "rows": scenarios.rows,
            "rows_used": scenarios.rows_used,
            "scenarios": scenarios.list.len(),
            "cases": cases,
        });
        for (question, standings) in &answers {
            json[question.key] = serde_json::to_value(standings).map_err(|e| Error::Internal(e.to_string()))?;
        }
        out::stdout(&(serde_json::to_string_pretty(&json).map_err(|e| Error::Internal(e.to_string()))? + "\n"))?;
        return Ok(ExitCode::Ok);
    }
    let of = format!(
        "Regret in {cases} cases: {} scenarios of {} rows (of {}), targets TTFT {} x TPOT {} ms",
        scenarios.list.len(),
        scenarios.rows_used,
        scenarios.rows,
        TTFT_MS.map(|t| t.to_string()).join("|"),
        TPOT_MS.map(|t| t.to_string()).join("|"),
    );
    let sections: Vec<report::Section> =
        answers.iter().map(|(question, standings)| report::Section { title: question.title, standings }).collect();
    out::stdout(&report::render(&of, &sections, &notes(), style))?;
    Ok(ExitCode::Ok)
}

fn notes() -> Vec<String> {
    [
        "measured: mean number of full measurements. GPUs %: of those, over those of measuring all",
        "regret: (best - chosen) / best, of requests/s per GPU within the targets",
        "best %: how often the best was chosen. Cases in which no candidate meets the targets are left out",
        "intervals: scenarios drawn with repeats, all targets of one together",
        "halving: a table has no shorter runs; brief measurements are exact here, its regret is too good",
    ]
    .map(String::from)
    .to_vec()
}

fn standings(scenarios: &Scenarios, question: &Question, seed: Seed) -> Result<Vec<Standing>> {
    let cases_of = |predictor| cases_of(scenarios, question, predictor);
    let unpredicted = cases_of(0);
    let mut all = vec![cases::of_any(&unpredicted)];
    if question.key == "sizes" {
        for (name, gpus) in [("always the smallest", 1.0), ("always 4", 4.0), ("always the largest", f64::MAX)] {
            all.push(cases::of_always(&unpredicted, name, gpus));
        }
    }
    for (predictor, name) in scenarios.predictors.iter().enumerate() {
        let cases = cases_of(predictor);
        let budgets = || question.budgets.iter().copied().map(Some);
        let mut add = |method_name: &str, budget| -> Result<()> {
            let standing = cases::of_method(&cases, method(method_name)?, budget, seed)?;
            all.push(Standing { prediction: Some((*name).to_owned()), ..standing });
            Ok(())
        };
        add("predict-all", None)?;
        for budget in budgets() {
            add("stack-rank", budget)?;
        }
        for budget in budgets().chain([None]) {
            add("hybrid", budget)?;
        }
    }
    for method in METHODS.iter().filter(|m| !["predict-all", "stack-rank", "hybrid"].contains(&m.name)) {
        let bounded = !["measure-all", "halving"].contains(&method.name);
        for budget in question.budgets.iter().copied().map(Some).filter(|_| bounded).chain([None]) {
            // With as many as there are, random is measure-all.
            if method.name != "random" || budget.is_some() {
                all.push(cases::of_method(&unpredicted, method, budget, seed)?);
            }
        }
    }
    Ok(all)
}

fn cases_of(scenarios: &Scenarios, question: &Question, predictor: usize) -> Vec<Case> {
    let targets = || TTFT_MS.into_iter().flat_map(|ttft_ms| TPOT_MS.map(|tpot_ms| Latencies { ttft_ms, tpot_ms }));
    let candidate = |o: &Offer| Candidate {
        name: format!("TP {} x {}", o.tp, o.batch),
        tp: o.tp,
        batch: o.batch,
        gpus: o.tp,
        predicted: Some(o.predicted),
    };
    let of = |(scenario, s): (usize, &Scenario)| {
        let case = move |target| {
            let offers = (question.offers)(s, predictor, target);
            Case {
                scenario,
                candidates: offers.iter().map(candidate).collect(),
                truth: offers.iter().map(|o| o.measured).collect(),
            }
        };
        targets().map(case).collect::<Vec<_>>()
    };
    scenarios.list.iter().enumerate().flat_map(of).collect()
}
