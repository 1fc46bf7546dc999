//! The runs of one level of load → what was predicted of it against what was measured.
//!
//! Each statistic is the mean over the repeats, with Student's interval where there are several. The error is that of the
//! mean. What no run has is missing, never 0.

use super::levels::Level;
use super::prediction_error::PredictionError;
use super::repeats::{Interval, interval};
use super::steady_state::{Measured, REQUESTS_MIN};
use crate::metrics::{PERCENTILES, Stats};
use crate::record::manifest::{Judgement, Verdict};

/// The statistics of a latency that are looked at.
pub const STATISTICS: [&str; 4] = ["mean", "p50", "p90", "p99"];

/// What was predicted, in milliseconds; null where nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Predicted {
    /// Time to first token.
    pub ttft_ms: Option<f64>,
    /// Time between tokens.
    pub itl_ms: Option<f64>,
}

/// One statistic of a latency, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Which of [`STATISTICS`].
    pub stat: &'static str,
    /// What was measured.
    pub actual: Option<Interval>,
    /// How wrong the prediction was.
    pub error: Option<PredictionError>,
}

/// One level, measured.
#[derive(Clone, Debug)]
pub struct LevelResult {
    /// Which.
    pub level: Level,
    /// Over which time its clients began, s; null where it has none that could.
    pub ramp_s: Option<f64>,
    /// Its runs.
    pub runs: Vec<Measured>,
    /// Time to first token.
    pub ttft: [Compared; 4],
    /// Time between tokens.
    pub itl: [Compared; 4],
    /// Requests per second that met both targets.
    pub goodput_rps: Option<Interval>,
    /// Share of requests that met both targets.
    pub attainment: Option<Interval>,
    /// Answers per second.
    pub request_rps: Option<Interval>,
    /// The worst of its runs' verdicts, and what is to be said of the level itself.
    pub verdict: Verdict,
}

impl LevelResult {
    /// Takes a level's runs and their verdicts together. `confidence` lies in (0, 1).
    pub fn new(level: Level, runs: Vec<(Measured, Verdict)>, predicted: Predicted, confidence: f64) -> LevelResult {
        let (runs, verdicts): (Vec<Measured>, Vec<Verdict>) = runs.into_iter().unzip();
        let over = |value: &dyn Fn(&Measured) -> Option<f64>| {
            interval(&runs.iter().filter_map(value).collect::<Vec<_>>(), confidence)
        };
        let compared = |latency: fn(&Measured) -> Option<&Stats>, predicted: Option<f64>| {
            STATISTICS.map(|stat| {
                let actual = over(&|run| latency(run).map(|s| statistic(s, stat)));
                Compared { stat, actual, error: PredictionError::new(predicted, actual.map(|i| i.mean)) }
            })
        };
        LevelResult {
            level,
            ramp_s: None,
            ttft: compared(|run| run.ttft.as_ref(), predicted.ttft_ms),
            itl: compared(|run| run.itl.as_ref(), predicted.itl_ms),
            goodput_rps: over(&|run| run.goodput_rps),
            attainment: over(&|run| run.attainment),
            request_rps: over(&|run| run.request_rps),
            verdict: verdict(&runs, verdicts),
            runs,
        }
    }

    /// The larger of the absolute errors of both medians, in per cent; null where either was predicted and has none.
    pub fn worst_error_pct(&self, predicted: Predicted) -> Option<f64> {
        let of = |asked: Option<f64>, compared: &[Compared; 4]| match asked {
            None => Some(0.0),
            Some(_) => compared[1].error.map(|e| e.absolute_pct()),
        };
        Some(of(predicted.ttft_ms, &self.ttft)?.max(of(predicted.itl_ms, &self.itl)?))
    }
}

fn statistic(stats: &Stats, stat: &str) -> f64 {
    let at = |percent: f64| PERCENTILES.iter().position(|p| *p == percent).map_or(f64::NAN, |i| stats.percentiles[i]);
    match stat {
        "mean" => stats.mean,
        "p50" => at(50.0),
        "p90" => at(90.0),
        _ => at(99.0),
    }
}

fn verdict(runs: &[Measured], verdicts: Vec<Verdict>) -> Verdict {
    let judgement = verdicts.iter().map(|v| v.judgement).max().unwrap_or(Judgement::Invalid);
    let mut reasons: Vec<String> = Vec::new();
    for reason in verdicts.into_iter().flat_map(|v| v.reasons) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if let Some(run) = runs.iter().find(|run| !run.is_steady) {
        reasons.push(format!(
            "{} requests were sent in the steady state, fewer than {REQUESTS_MIN}: the numbers are of the whole run, its way in and \
             out included; give more requests per level",
            run.steady_requests
        ));
        return Verdict { judgement: judgement.max(Judgement::Suspect), reasons };
    }
    Verdict { judgement, reasons }
}

#[cfg(test)]
mod tests {
    use super::super::levels::closed;
    use super::*;
    use crate::analysis::fixture::stats;

    fn run(ttft_ms: &[f64], is_steady: bool) -> (Measured, Verdict) {
        let measured = Measured {
            steady_requests: if is_steady { 50 } else { 3 },
            is_steady,
            requests: 50,
            window_s: 5.0,
            ttft: Some(stats(ttft_ms)),
            itl: None,
            request_rps: Some(10.0),
            goodput_rps: Some(0.0),
            attainment: Some(0.0),
        };
        (measured, Verdict { judgement: Judgement::Valid, reasons: Vec::new() })
    }

    #[test]
    fn an_error_is_that_of_the_mean_over_the_repeats_and_what_is_not_known_is_missing() {
        let predicted = Predicted { ttft_ms: Some(150.0), itl_ms: Some(5.0) };
        let runs = vec![run(&[90.0, 100.0, 110.0], true), run(&[190.0, 200.0, 210.0], true)];
        let level = LevelResult::new(closed(8)[1], runs, predicted, 0.95);
        let [mean, p50, ..] = level.ttft;
        assert_eq!((mean.stat, mean.error.unwrap().signed, p50.actual.unwrap().mean), ("mean", 0.0, 150.0));
        let (low, high) = p50.actual.unwrap().ends.unwrap();
        assert!((high - 150.0 - 12.706_204_736 * 50.0).abs() < 1e-6 && (150.0 - low - (high - 150.0)).abs() < 1e-9);
        assert!(level.itl.iter().all(|c| c.actual.is_none() && c.error.is_none()));
        assert_eq!(level.worst_error_pct(predicted), None, "the ITL's error is not known");
        assert_eq!(level.worst_error_pct(Predicted { itl_ms: None, ..predicted }), Some(0.0));
        assert_eq!(level.goodput_rps.unwrap().mean, 0.0, "none met the targets: that is known");
        assert_eq!(level.verdict.judgement, Judgement::Valid);
    }

    #[test]
    fn a_run_without_a_steady_state_is_suspect_and_says_why() {
        let level = LevelResult::new(closed(8)[3], vec![run(&[1.0], false)], Predicted::default(), 0.95);
        assert_eq!(level.verdict.judgement, Judgement::Suspect);
        assert!(level.verdict.reasons[0].starts_with("3 requests"), "{:?}", level.verdict);
        assert_eq!(level.ttft[1].actual.unwrap().ends, None, "of one run there is no interval");
    }
}
