//! Each method on made tables.

use super::*;
use crate::rng::{Seed, Stream};

/// A table: `(tp, batch, predicted, true value)`. A short measurement is off, by a factor that falls with the effort.
struct Table {
    candidates: Vec<Candidate>,
    truth: Vec<Option<f64>>,
    /// Measurements until an interruption.
    until: usize,
    noise: f64,
}

fn table(rows: &[(u32, u32, Option<f64>, Option<f64>)]) -> Table {
    let candidates = rows
        .iter()
        .map(|(tp, batch, predicted, _)| Candidate {
            name: format!("tp{tp} batch {batch}"),
            tp: *tp,
            batch: *batch,
            gpus: *tp,
            predicted: *predicted,
        })
        .collect();
    Table { candidates, truth: rows.iter().map(|r| r.3).collect(), until: usize::MAX, noise: 0.0 }
}

impl Table {
    fn values(&self) -> Vec<f64> {
        self.truth.iter().map(|v| v.unwrap_or(0.0)).collect()
    }

    fn choose(&mut self, name: &str, budget: Budget) -> Choice {
        method(name).unwrap().choose(self, &budget, &mut Seed(7).stream(Stream::Selection)).unwrap()
    }
}

impl Bench for Table {
    fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    fn measure(&mut self, candidate: usize, effort: f64) -> Result<Option<Measurement>> {
        assert!(effort > 0.0 && effort <= 1.0);
        if self.until == 0 {
            return Ok(None);
        }
        self.until -= 1;
        let off = if candidate.is_multiple_of(2) { self.noise } else { -self.noise };
        let value = self.truth[candidate].map(|v| v * (1.0 + off * (1.0 - effort)));
        let gpus = f64::from(self.candidates[candidate].gpus);
        Ok(Some(Measurement { value, wall_s: 60.0 + 600.0 * effort, gpu_s: gpus * (60.0 + 600.0 * effort) }))
    }
}

/// Sixteen points with one peak, at TP 4 and batch 64; the prediction takes its peak to be at TP 2.
fn hill() -> Table {
    let mut rows = Vec::new();
    for tp in [1, 2, 4, 8] {
        for batch in [8, 32, 64, 256] {
            let at = |peak: f64| {
                let (x, y) = (f64::from(tp).log2() - peak, f64::from(batch).log2() - 6.0);
                1000.0 * (-0.2 * (x * x + 0.5 * y * y)).exp()
            };
            rows.push((tp, batch, Some(at(1.0)), Some(at(2.0))));
        }
    }
    table(&rows)
}

const PEAK: usize = 2 * 4 + 2;

#[test]
fn measuring_all_has_no_regret_and_the_prediction_alone_costs_nothing() {
    let mut hill = hill();
    let all = hill.choose("Online_ALL", Budget::NONE);
    assert_eq!((all.method, all.chosen, all.steps.len()), ("measure-all", Some(PEAK), 16));
    assert!((all.measurements() - 16.0).abs() < 1e-12);
    let curve = all.curve(&hill.values());
    assert_eq!(curve.last().unwrap(), &(all.gpu_s(), Some(0.0)));
    assert!(curve.is_sorted_by(|a, b| a.1 >= b.1 && a.0 < b.0), "{curve:?}");
    assert!((all.wall_s() - 16.0 * 660.0).abs() < 1e-9);
    let predicted = hill.choose("aic-all", Budget::NONE);
    assert_eq!((predicted.chosen, predicted.steps.len()), (Some(4 + 2), 0));
}

#[test]
fn ranking_all_of_the_stack_is_measuring_all_and_fewer_is_cheaper() {
    let mut hill = hill();
    assert_eq!(hill.choose("stack-rank", Budget::NONE).chosen, hill.choose("measure-all", Budget::NONE).chosen);
    let two = hill.choose("stack-rank", Budget::measurements(2));
    let tried: Vec<usize> = two.steps.iter().map(|s| s.candidate).collect();
    let order = hill_order(&hill);
    assert_eq!(tried, order[..2]);
    assert_eq!(two.chosen, two.steps[1].incumbent);
}

fn hill_order(table: &Table) -> Vec<usize> {
    let mut order: Vec<usize> = (0..table.candidates.len()).collect();
    order.sort_by(|a, b| table.candidates[*b].predicted.unwrap().total_cmp(&table.candidates[*a].predicted.unwrap()));
    order
}

#[test]
fn what_was_measured_corrects_the_prediction_of_the_neighbours() {
    // TP 1 and 2 are predicted best by far and are worth a quarter of it; TP 8 is as predicted, and would be the last of the stack.
    let rows = [
        (1, 16, Some(900.0), Some(220.0)),
        (1, 32, Some(880.0), Some(215.0)),
        (1, 64, Some(860.0), Some(210.0)),
        (8, 32, Some(500.0), Some(510.0)),
    ];
    let two = Budget::measurements(2);
    assert_eq!(table(&rows).choose("stack-rank", two).chosen, Some(0));
    let hybrid = table(&rows).choose("hybrid", two);
    assert_eq!((hybrid.chosen, hybrid.steps[1].candidate), (Some(3), 3));
    // And it ends by itself once nothing better is expected.
    let alone = table(&rows).choose("hybrid", Budget::NONE);
    assert_eq!((alone.chosen, alone.steps.len()), (Some(3), 2), "{alone:?}");
    assert!(alone.notes[0].starts_with("ended"), "{:?}", alone.notes);
}

#[test]
fn the_search_finds_the_peak_without_a_prediction_and_without_measuring_all() {
    let mut found = 0;
    let mut measured = 0;
    for seed in 0..20 {
        let mut hill = hill();
        hill.candidates.iter_mut().for_each(|c| c.predicted = None);
        let mut rng = Seed(seed).stream(Stream::Selection);
        let choice = method("bayesian").unwrap().choose(&mut hill, &Budget::NONE, &mut rng).unwrap();
        found += usize::from(choice.chosen == Some(PEAK));
        measured += choice.steps.len();
    }
    assert!(found >= 19 && measured <= 20 * 11, "{found} found with {measured} measurements");
}

#[test]
fn halving_measures_the_good_ones_longest() {
    let mut hill = hill();
    hill.noise = 0.05;
    let choice = hill.choose("halving", Budget::NONE);
    assert_eq!(choice.chosen, Some(PEAK));
    let efforts: Vec<f64> = choice.steps.iter().map(|s| s.effort).collect();
    assert_eq!(efforts.iter().filter(|e| **e == 0.125).count(), 16);
    assert_eq!(efforts.iter().filter(|e| **e == 1.0).count(), 2);
    assert!((choice.measurements() - 8.0).abs() < 1e-9, "half of measuring all");
    let short = hill.choose("halving", Budget::measurements(4));
    assert!((short.measurements() - 4.0).abs() < 1e-9 && short.steps.len() == choice.steps.len());
}

#[test]
fn every_method_keeps_every_budget_and_repeats_itself() {
    for method in METHODS {
        for count in 0..18 {
            let choice = hill().choose(method.name, Budget::measurements(count));
            assert!(choice.measurements() <= f64::from(count) + 1e-6, "{} {count}: {choice:?}", method.name);
            assert_eq!(choice, hill().choose(method.name, Budget::measurements(count)), "{}", method.name);
        }
        let choice = hill().choose(method.name, Budget { gpu_s: 4000.0, ..Budget::NONE });
        let before_last: f64 = choice.steps.iter().rev().skip(1).map(|s| s.gpu_s).sum();
        assert!(before_last < 4000.0, "{}", method.name);
    }
}

#[test]
fn what_fails_is_never_chosen_and_an_interruption_ends_it_with_what_there_is() {
    for name in METHODS.iter().map(|m| m.name).filter(|n| *n != "predict-all") {
        let rows = [
            (1, 8, Some(9.0), None),
            (2, 8, Some(8.0), Some(3.0)),
            (4, 8, Some(7.0), Some(2.0)),
            (8, 8, Some(6.0), None),
        ];
        let choice = table(&rows).choose(name, Budget::NONE);
        assert_eq!(choice.chosen, Some(1), "{name}: {choice:?}");
        let mut hill = hill();
        hill.until = 1;
        let stopped = hill.choose(name, Budget::NONE);
        assert_eq!((stopped.steps.len(), stopped.chosen), (1, Some(stopped.steps[0].candidate)), "{name}");
        // Hybrid may see after one that no other is worth it.
        let is_told = |n: &String| n.starts_with("interrupted") || name == "hybrid" && n.starts_with("ended");
        assert!(stopped.notes.iter().any(is_told), "{name}");
        let none = table(&[(1, 8, Some(1.0), None)]).choose(name, Budget::NONE);
        assert_eq!((none.chosen, none.steps.len()), (None, 1), "{name}");
    }
}

#[test]
fn nothing_to_recommend_is_said() {
    for name in METHODS.iter().map(|m| m.name) {
        let none = table(&[]).choose(name, Budget::NONE);
        assert_eq!((none.chosen, none.notes.len()), (None, 1), "{name}");
    }
    let missed = [(1, 8, Some(0.0), Some(0.0)), (2, 8, Some(0.0), Some(0.0))];
    let predicted = table(&missed).choose("predict-all", Budget::NONE);
    assert!(predicted.chosen.is_none() && predicted.notes[0].contains("expects no candidate"));
    let measured = table(&missed).choose("measure-all", Budget::NONE);
    assert_eq!((measured.chosen, measured.curve(&[0.0, 0.0])[1].1), (Some(0), None));
    assert!(measured.notes[0].contains("nothing that was measured"), "{:?}", measured.notes);
    let unknown = table(&[(1, 8, None, Some(1.0))]).choose("predict-all", Budget::NONE);
    assert!(unknown.chosen.is_none() && unknown.notes[0].contains("no candidate has a prediction"));
    assert!(method("simplex").err().unwrap().to_string().contains("halving"));
}
