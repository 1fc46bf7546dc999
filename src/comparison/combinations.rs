//! Runs with different parameters → which of them are worth having: the fastest, the quickest to answer, and those that no
//! other beats in both.
//!
//! Throughput is `request_throughput`; the latency is the 99th percentile of `time_to_first_token`, or of
//! `request_latency` where a run has no token times. Those are aiperf's objectives.

use std::fmt;

use crate::metrics::{MetricDef, Summary, find};

use super::repeats::{Spread, spreads};

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// A whole number.
    Whole(u64),
    /// Any other.
    Real(f64),
}

impl Setting {
    /// The number as JSON.
    pub fn to_json(self) -> serde_json::Value {
        match self {
            Setting::Whole(n) => n.into(),
            Setting::Real(x) => x.into(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Whole(n) => write!(f, "{n}"),
            // A rate of 40 is 40.0, as in aiperf's directories.
            Setting::Real(x) => write!(f, "{x:?}"),
        }
    }
}

/// Parameters by name, in the order in which they were asked for.
pub type Parameters = Vec<(&'static str, Setting)>;

/// What the repeats of one combination say.
#[derive(Clone, Debug)]
pub struct Combination {
    /// Its parameters.
    pub parameters: Parameters,
    /// The runs that ended.
    pub runs: Vec<Summary>,
    /// Their numbers.
    pub spreads: Vec<Spread>,
}

/// A combination that is the best in one respect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Its place among the combinations.
    pub index: usize,
    /// What it is the best in.
    pub def: &'static MetricDef,
    /// How much that is.
    pub value: f64,
}

/// What all combinations say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Most requests per second.
    pub best_throughput: Option<Best>,
    /// Least latency at the 99th percentile.
    pub best_latency_p99: Option<Best>,
    /// The places of those that no other beats in both, in order.
    pub pareto_optimal: Vec<usize>,
}

impl Combination {
    /// Takes the runs of a combination together.
    pub fn new(parameters: Parameters, runs: Vec<Summary>, confidence: f64) -> Combination {
        let spreads = spreads(&runs, confidence);
        Combination { parameters, runs, spreads }
    }

    /// The mean over the runs of a metric's statistic.
    pub fn mean(&self, name: &str, stat: &str) -> Option<f64> {
        self.spreads.iter().find(|s| s.def.name == name && s.stat == stat).map(|s| s.mean)
    }
}

/// The latency that every combination has.
pub fn latency_of(all: &[Combination]) -> Option<&'static MetricDef> {
    ["time_to_first_token", "request_latency"]
        .into_iter()
        .find(|name| all.iter().all(|c| c.mean(name, "p99").is_some()))
        .and_then(find)
}

/// Which combinations are worth having. A respect that one of them lacks is left out.
pub fn findings(all: &[Combination]) -> Findings {
    let throughputs: Option<Vec<f64>> = all.iter().map(|c| c.mean("request_throughput", "avg")).collect();
    let latency = latency_of(all);
    let latencies: Option<Vec<f64>> = latency.and_then(|def| all.iter().map(|c| c.mean(def.name, "p99")).collect());
    let best = |def: Option<&'static MetricDef>, values: &Option<Vec<f64>>, sign: f64| {
        let (def, values) = (def?, values.as_ref()?);
        let index = (0..values.len()).min_by(|a, b| (sign * values[*a]).total_cmp(&(sign * values[*b])))?;
        Some(Best { index, def, value: values[index] })
    };
    Findings {
        best_throughput: best(find("request_throughput"), &throughputs, -1.0),
        best_latency_p99: best(latency, &latencies, 1.0),
        pareto_optimal: match (&throughputs, &latencies) {
            (Some(throughputs), Some(latencies)) => undominated(throughputs, latencies),
            _ => Vec::new(),
        },
    }
}

/// The places at which no other has at least as much of the one and at most as much of the other, and not the same.
fn undominated(more: &[f64], less: &[f64]) -> Vec<usize> {
    let beats =
        |a: usize, b: usize| more[a] >= more[b] && less[a] <= less[b] && (more[a] > more[b] || less[a] < less[b]);
    (0..more.len()).filter(|b| !(0..more.len()).any(|a| beats(a, *b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{no_numbers, stats, with};
    use crate::metrics::Value;

    fn combination(concurrency: u64, throughput: f64, latency_ms: f64) -> Combination {
        let latency = Value::Distribution(stats(&[latency_ms; 3]));
        let values = [("request_throughput", Value::Scalar(throughput)), ("time_to_first_token", latency)];
        Combination::new(vec![("concurrency", Setting::Whole(concurrency))], vec![with(no_numbers(), &values)], 0.95)
    }

    #[test]
    fn what_another_beats_in_both_is_not_worth_having() {
        let all = [(1, 10.0, 20.0), (2, 18.0, 25.0), (4, 18.0, 30.0), (8, 30.0, 90.0), (16, 29.0, 400.0)]
            .map(|(n, throughput, latency)| combination(n, throughput, latency));
        let found = findings(&all);
        assert_eq!(found.pareto_optimal, [0, 1, 3]);
        assert_eq!(found.best_throughput.map(|b| (b.index, b.value)), Some((3, 30.0)));
        assert_eq!(
            found.best_latency_p99.map(|b| (b.index, b.def.name, b.value)),
            Some((0, "time_to_first_token", 20.0))
        );
    }

    #[test]
    fn equals_do_not_beat_each_other_and_what_is_not_known_is_not_judged() {
        assert_eq!(findings(&[combination(1, 5.0, 9.0), combination(2, 5.0, 9.0)]).pareto_optimal, [0, 1]);
        let empty = Combination::new(vec![], vec![no_numbers()], 0.95);
        assert_eq!(findings(&[combination(1, 5.0, 9.0), empty]), Findings::default());
        assert_eq!(findings(&[]).pareto_optimal, Vec::<usize>::new());
    }
}
