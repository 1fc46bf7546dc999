//! A table of aggregated serving → scenarios: of one model, engine and workload, what each tensor-parallel size was measured and
//! predicted to do.
//!
//! A row is taken where it has both latencies measured, and a prediction as it stands from everyone who predicts: this program, and AI
//! Configurator where the table has its columns. No data or expert parallelism: sizes would not be all that differs.
//! Invariant: predictors are compared on the same rows. Not here: choosing ([`crate::comparison`] knows nothing of tables).

use std::collections::BTreeMap;

use super::serving::{self, MEASURED};
use super::{Law, Row, Table};
use crate::error::{InputError, Result};

/// Fewest sizes among which a choice is one.
pub const SIZES_MIN: usize = 3;

/// The columns of AI Configurator's prediction, which `scripts/aic_points` adds.
const AIC_COLUMNS: [&str; 2] = ["aic_ttft_ms", "aic_tpot_ms"];

/// Mean latencies of a closed loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latencies {
    /// Time to first token.
    pub ttft_ms: f64,
    /// Time per output token.
    pub tpot_ms: f64,
}

/// So many requests under way on one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Requests under way.
    pub batch: u32,
    /// As measured.
    pub measured: Latencies,
    /// As predicted, by [`Scenarios::predictors`].
    pub predicted: Vec<Latencies>,
}

/// One model on one kind of GPU and engine, with one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Model, GPU, engine, precision, tokens of prompts and of answers.
    pub name: String,
    /// Tokens of an answer.
    pub osl: u32,
    /// Tensor-parallel sizes, smallest first, each with its points.
    pub sizes: Vec<(u32, Vec<Point>)>,
}

/// A candidate of a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// GPUs.
    pub tp: u32,
    /// Requests under way; the best predicted one where it is a size that is offered.
    pub batch: u32,
    /// Predicted requests/s per GPU; where no point keeps to the targets minus the largest ratio of a latency to its target, of the nearest.
    pub predicted: f64,
    /// Measured requests/s per GPU, 0 where the targets are missed.
    pub measured: f64,
}

impl Scenario {
    /// Requests/s per GPU by Little's law where both targets are kept, else minus the larger ratio of a latency to its target.
    fn worth(&self, tp: u32, batch: u32, at: Latencies, target: Latencies) -> f64 {
        let missed = (at.ttft_ms / target.ttft_ms).max(at.tpot_ms / target.tpot_ms);
        if missed > 1.0 {
            return -missed;
        }
        let request_s = (at.ttft_ms + at.tpot_ms * (f64::from(self.osl) - 1.0)) / 1e3;
        f64::from(batch) / request_s / f64::from(tp)
    }

    /// Every size as a candidate: how many requests are under way is tuned after it was deployed.
    pub fn sizes_offered(&self, predictor: usize, target: Latencies) -> Vec<Offer> {
        let best_of = |(tp, points): &(u32, Vec<Point>)| {
            let all = self.offers(*tp, points, predictor, target);
            let measured = all.iter().map(|o| o.measured).fold(0.0, f64::max);
            all.into_iter()
                .reduce(|best, o| if o.predicted > best.predicted { o } else { best })
                .map(|best| Offer { measured, ..best })
        };
        self.sizes.iter().filter_map(best_of).collect()
    }

    /// Every size with every number of requests as a candidate: it is deployed as predicted.
    pub fn points_offered(&self, predictor: usize, target: Latencies) -> Vec<Offer> {
        self.sizes.iter().flat_map(|(tp, points)| self.offers(*tp, points, predictor, target)).collect()
    }

    fn offers(&self, tp: u32, points: &[Point], predictor: usize, target: Latencies) -> Vec<Offer> {
        let offer = |p: &Point| Offer {
            tp,
            batch: p.batch,
            predicted: self.worth(tp, p.batch, p.predicted[predictor], target),
            measured: self.worth(tp, p.batch, p.measured, target).max(0.0),
        };
        points.iter().map(offer).collect()
    }
}

/// All scenarios of a table with enough sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenarios {
    /// Whose predictions there are.
    pub predictors: Vec<&'static str>,
    /// By name.
    pub list: Vec<Scenario>,
    /// Rows of the table.
    pub rows: usize,
    /// Rows in the scenarios.
    pub rows_used: usize,
}

/// Reads a table; `file` is its name, for errors.
///
/// # Errors
/// [`crate::error::Error::Input`] for a file that is no table of aggregated serving, or has no scenario with enough sizes.
pub fn scenarios(file: &str, text: &str) -> Result<Scenarios> {
    let table = Table::parse(file, text)?;
    if let Some(missing) = serving::KIND.required.iter().find(|column| table.column(column).is_none()) {
        let what = format!("has no column `{missing}`");
        return Err(InputError::of_file(
            file,
            what,
            "regret needs points of aggregated serving, with what was measured",
        )
        .into());
    }
    let has_aic = AIC_COLUMNS.iter().all(|column| table.column(column).is_some());
    let mut found: BTreeMap<Vec<String>, BTreeMap<u32, Vec<Point>>> = BTreeMap::new();
    for index in 0..table.rows() {
        let row = Row { table: &table, index, law: Law::built_in() };
        let Some((tp, point)) = point(&row, has_aic) else { continue };
        let key = KEY.map(|column| row.text(column).unwrap_or("").to_owned());
        found.entry(key.to_vec()).or_default().entry(tp).or_default().push(point);
    }
    let list: Vec<Scenario> = found
        .into_iter()
        .filter(|(_, sizes)| sizes.len() >= SIZES_MIN)
        .map(|(key, sizes)| Scenario {
            osl: key.last().and_then(|osl| osl.parse::<f64>().ok()).unwrap_or(1.0) as u32,
            name: key.join(" "),
            sizes: sizes.into_iter().collect(),
        })
        .collect();
    if list.is_empty() {
        let what = format!("no scenario has {SIZES_MIN} tensor-parallel sizes that are measured and predicted");
        return Err(InputError::of_file(
            file,
            what,
            "give rows with silicon_ttft_ms and silicon_tpot_ms of more sizes",
        )
        .into());
    }
    let rows_used = list.iter().flat_map(|s| &s.sizes).map(|(_, points)| points.len()).sum();
    let predictors = if has_aic { vec!["loadline", "aiconfigurator"] } else { vec!["loadline"] };
    Ok(Scenarios { predictors, list, rows: table.rows(), rows_used })
}

/// What makes a scenario.
const KEY: [&str; 6] = ["model_path", "system", "backend", "precision", "isl", "osl"];

fn point(row: &Row, has_aic: bool) -> Option<(u32, Point)> {
    if row.gpus("attention_dp_size").ok()? > 1 || row.gpus("moe_ep_size").ok()? > 1 {
        return None;
    }
    let [ttft, tpot] = MEASURED.map(|columns| columns.iter().find_map(|c| row.number(c)));
    let measured = Latencies { ttft_ms: ttft?, tpot_ms: tpot? };
    let own = serving::predict(row).ok().filter(|p| p.note.is_none())?;
    let mut predicted = vec![Latencies { ttft_ms: own.values[0].0, tpot_ms: own.values[1].0 }];
    if has_aic {
        let [ttft, tpot] = AIC_COLUMNS.map(|column| row.number(column));
        predicted.push(Latencies { ttft_ms: ttft?, tpot_ms: tpot? });
    }
    Some((row.count("tp_size").ok()?, Point { batch: row.count("batch_size").ok()?, measured, predicted }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "model_path,system,backend,precision,mode,isl,osl,batch_size,tp_size,silicon_ttft_ms,silicon_tpot_ms";

    fn rows(tps: &[u32], more: &str) -> String {
        let row =
            |tp: &u32| format!("Qwen/Qwen3-32B,h100_sxm,trtllm,fp8,agg,2048,257,32,{tp},{},20{more}\n", 1000 / tp);
        tps.iter().map(row).collect()
    }

    #[test]
    fn sizes_of_one_workload_are_a_scenario_and_worth_what_littles_law_says() {
        let text = format!("{HEADER}\n{}", rows(&[1, 2, 4], ""));
        let found = scenarios("f", &text).unwrap();
        assert_eq!((found.list.len(), found.rows, found.rows_used, found.predictors.len()), (1, 3, 3, 1));
        let target = Latencies { ttft_ms: 500.0, tpot_ms: 30.0 };
        let offers = found.list[0].sizes_offered(0, target);
        // TP 1 takes 1000 ms to the first token. 32 requests in 0.5 s + 256 x 20 ms, over 2 GPUs.
        assert_eq!(offers[0].measured, 0.0);
        assert!((offers[1].measured - 32.0 / (0.5 + 256.0 * 0.020) / 2.0).abs() < 1e-9);
        assert_eq!(found.list[0].points_offered(0, target), offers);
        let none = found.list[0].sizes_offered(0, Latencies { ttft_ms: 1.0, tpot_ms: 0.1 });
        assert!(none.iter().all(|o| o.predicted < -1.0 && o.measured == 0.0));
    }

    #[test]
    fn two_sizes_are_no_choice_and_who_predicts_is_compared_on_the_same_rows() {
        let error = |text: String| scenarios("f.csv", &text).unwrap_err().to_string();
        assert!(error(format!("{HEADER}\n{}", rows(&[1, 2], ""))).contains("no scenario has 3"));
        assert!(error("a,b\n1,2\n".into()).contains("f.csv: has no column"));
        let text = format!("{HEADER},aic_ttft_ms,aic_tpot_ms\n{}{}", rows(&[1, 2, 4], ",400,19"), rows(&[8], ",,"));
        let found = scenarios("f", &text).unwrap();
        assert_eq!((found.predictors, found.rows, found.rows_used), (vec!["loadline", "aiconfigurator"], 4, 3));
    }
}
