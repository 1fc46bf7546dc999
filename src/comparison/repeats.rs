//! Repeats of one run → for each of its numbers the mean, the spread and an interval of confidence.
//!
//! In: a [`Summary`] of each run. Out: [`Spread`]s, in the order of the first run's metrics. The interval is
//! `mean ± t · s/√n` with the sample's standard deviation (ddof 1) and Student's t: what the mean of many such runs is
//! expected in, if runs differ by chance alone. Of one run there is no interval; its ends are the value itself.

use super::student::two_sided;
use crate::metrics::{MetricDef, OverTime, PERCENTILES, Summary, Value};

/// A statistic of a metric: one number of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistic {
    /// The metric.
    pub def: &'static MetricDef,
    /// `avg`, `p99`, …; aiperf's names.
    pub stat: String,
    /// The number.
    pub value: f64,
}

/// One statistic over several runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// The metric.
    pub def: &'static MetricDef,
    /// The statistic.
    pub stat: String,
    /// Runs that have it.
    pub n: usize,
    /// Mean over the runs.
    pub mean: f64,
    /// Standard deviation of the sample; 0 of one run.
    pub std: f64,
    /// Least.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Standard deviation over the mean's magnitude; null where the mean is 0.
    pub cv: Option<f64>,
    /// Standard error of the mean.
    pub se: f64,
    /// The interval's lower end.
    pub ci_low: f64,
    /// The interval's upper end.
    pub ci_high: f64,
    /// Student's t of the interval; null of one run.
    pub t_critical: Option<f64>,
}

/// The mean of one number over several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Runs that have it.
    pub n: usize,
    /// Mean over them.
    pub mean: f64,
    /// Student's interval of the mean; null of one run.
    pub ends: Option<(f64, f64)>,
}

/// The mean of `values` with its interval; null where there are none. `confidence` lies in (0, 1).
pub fn interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let n = values.len();
    let mean = (n > 0).then(|| values.iter().sum::<f64>() / n as f64)?;
    let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
    let margin = (n > 1).then(|| two_sided(confidence, n as u32 - 1) * (squares / (n - 1) as f64 / n as f64).sqrt());
    Some(Interval { n, mean, ends: margin.map(|m| (mean - m, mean + m)) })
}

/// Every finite number of a run, in the order of its metrics.
pub fn statistics(summary: &Summary) -> Vec<Statistic> {
    let mut all = Vec::new();
    for (def, value) in &summary.values {
        let mut push = |stat: String, value: f64| {
            if value.is_finite() {
                all.push(Statistic { def, stat, value });
            }
        };
        match value {
            Value::Scalar(number) => push("avg".into(), *number),
            Value::Distribution(s) => {
                [("avg", s.mean), ("min", s.min), ("max", s.max), ("sum", s.sum)]
                    .into_iter()
                    .for_each(|(stat, v)| push(stat.into(), v));
                PERCENTILES.iter().zip(s.percentiles).for_each(|(p, v)| push(format!("p{p}"), v));
                push("std".into(), s.std);
                push("count".into(), s.n as f64);
            }
            Value::OverTime(s) => {
                [("avg", s.mean), ("min", s.min), ("max", s.max)]
                    .into_iter()
                    .for_each(|(stat, v)| push(stat.into(), v));
                OverTime::PERCENTILES.iter().zip(s.percentiles).for_each(|(p, v)| push(format!("p{p}"), v));
                push("std".into(), s.std);
            }
        }
    }
    all
}

/// The spread of every statistic over the runs that have it. `confidence` lies in (0, 1).
pub fn spreads(runs: &[Summary], confidence: f64) -> Vec<Spread> {
    let mut found: Vec<(&'static MetricDef, String, Vec<f64>)> = Vec::new();
    for run in runs {
        for Statistic { def, stat, value } in statistics(run) {
            match found.iter_mut().find(|(d, s, _)| d.name == def.name && *s == stat) {
                Some((_, _, values)) => values.push(value),
                None => found.push((def, stat, vec![value])),
            }
        }
    }
    found.into_iter().map(|(def, stat, values)| spread(def, stat, &values, confidence)).collect()
}

fn spread(def: &'static MetricDef, stat: String, values: &[f64], confidence: f64) -> Spread {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
    let std = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
    let se = std / (n as f64).sqrt();
    let t_critical = (n > 1).then(|| two_sided(confidence, n as u32 - 1));
    let margin = t_critical.unwrap_or(0.0) * se;
    Spread {
        def,
        stat,
        n,
        mean,
        std,
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        cv: (mean != 0.0).then(|| std / mean.abs()),
        se,
        ci_low: mean - margin,
        ci_high: mean + margin,
        t_critical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{no_numbers, with};

    fn runs(throughputs: &[f64]) -> Vec<Summary> {
        throughputs.iter().map(|x| with(no_numbers(), &[("request_throughput", Value::Scalar(*x))])).collect()
    }

    #[test]
    fn the_interval_is_students() {
        // aiperf 0.13.0 of 20.163… and 62.249…: mean 41.2066, std 29.7595, interval −226.17 to 308.58.
        let s = &spreads(&runs(&[20.163_436_550_622_123, 62.249_711_026_440_97]), 0.95)[0];
        assert_eq!((s.def.name, s.stat.as_str(), s.n), ("request_throughput", "avg", 2));
        for (got, want) in [
            (s.mean, 41.206_573_788_531_54),
            (s.std, 29.759_490_076_729_82),
            (s.se, 21.043_137_237_909_423),
            (s.cv.unwrap(), 0.722_202_487_143_261_7),
            (s.ci_low, -226.171_836_247_767_2),
            (s.ci_high, 308.584_983_824_830_3),
        ] {
            assert!((got / want - 1.0).abs() < 1e-9, "{got} for {want}");
        }
    }

    #[test]
    fn of_one_run_there_is_no_interval_and_of_equal_runs_none_is_needed() {
        let s = &spreads(&runs(&[5.0]), 0.95)[0];
        assert_eq!((s.t_critical, s.std, s.ci_low, s.ci_high), (None, 0.0, 5.0, 5.0));
        let s = &spreads(&runs(&[0.0, 0.0, 0.0]), 0.99)[0];
        assert_eq!((s.cv, s.ci_low, s.ci_high, s.n), (None, 0.0, 0.0, 3));
    }

    #[test]
    fn a_number_that_one_run_lacks_is_that_of_the_others() {
        let mut all = runs(&[1.0, 3.0]);
        all.push(with(no_numbers(), &[("goodput", Value::Scalar(7.0))]));
        let spreads = spreads(&all, 0.95);
        assert_eq!(
            spreads.iter().map(|s| (s.def.name, s.n)).collect::<Vec<_>>(),
            [("request_throughput", 2), ("goodput", 1)]
        );
    }
}
