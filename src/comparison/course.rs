//! What methods measured one after the other → the regret of ending after each measurement, over what was spent until then.
//!
//! In: courses of methods that chose among the same candidates. The value of a candidate is what was measured of it with most effort, the mean
//! of all methods that did so; regret is held against the best of these, as everywhere in a comparison: the best that was measured of any
//! method. Invariants: as in [`super::regret`]; a candidate that nobody measured has no regret. Not here: reading (`evidence`).

use std::collections::BTreeMap;

use super::regret::regret;

/// A tensor-parallel size, and the requests in flight.
pub type Offer = (u32, u32);

/// How a method went on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// What it measured: a candidate, the share of a full measurement, and tokens per second and GPU, 0 where the targets were missed.
    pub values: Vec<(Offer, f64, f64)>,
    /// After each measurement the GPU hours spent until then, and what it would have deployed if it had ended there.
    pub path: Vec<(f64, Option<Offer>)>,
}

/// For each course, in their order: GPU hours spent, and the regret of having ended there; null where it is not defined.
pub fn regrets(courses: &[Option<&Course>]) -> Vec<Vec<(f64, Option<f64>)>> {
    let mut known: BTreeMap<Offer, (f64, Vec<f64>)> = BTreeMap::new();
    for (offer, effort, value) in courses.iter().flatten().flat_map(|course| &course.values) {
        let (most, values) = known.entry(*offer).or_insert((*effort, Vec::new()));
        if effort > most {
            (*most, *values) = (*effort, Vec::new());
        }
        if effort >= most {
            values.push(*value);
        }
    }
    let truth: BTreeMap<Offer, f64> =
        known.into_iter().map(|(offer, (_, v))| (offer, v.iter().sum::<f64>() / v.len() as f64)).collect();
    let best = truth.values().copied().max_by(f64::total_cmp);
    let lost = |(hours, offer): &(f64, Option<Offer>)| {
        let own = offer.and_then(|offer| truth.get(&offer).copied());
        (*hours, regret(best, own).value())
    };
    courses.iter().map(|course| course.map_or_else(Vec::new, |c| c.path.iter().map(lost).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_with_most_effort_of_any_method_is_the_truth() {
        let brief = Course {
            values: vec![((1, 8), 0.25, 200.0), ((2, 8), 0.25, 100.0), ((2, 8), 1.0, 80.0)],
            path: vec![(0.5, Some((1, 8))), (1.0, Some((1, 8))), (3.0, Some((2, 8)))],
        };
        let all = Course {
            values: vec![((1, 8), 1.0, 60.0), ((2, 8), 1.0, 120.0), ((4, 8), 1.0, 0.0)],
            path: vec![(2.0, None), (4.0, Some((2, 8))), (8.0, Some((4, 8)))],
        };
        let predicted = Course { values: Vec::new(), path: vec![(0.0, Some((8, 1)))] };
        // Of TP1 60, of TP2 the mean of 80 and 120; nobody measured TP8.
        let curves = regrets(&[Some(&brief), None, Some(&all), Some(&predicted)]);
        assert_eq!(curves[0], [(0.5, Some(0.4)), (1.0, Some(0.4)), (3.0, Some(0.0))]);
        assert_eq!(curves[1], []);
        assert_eq!(curves[2], [(2.0, None), (4.0, Some(0.0)), (8.0, Some(1.0))]);
        assert_eq!(curves[3], [(0.0, None)]);
        let missed = Course { values: vec![((1, 1), 1.0, 0.0)], path: vec![(1.0, Some((1, 1)))] };
        assert_eq!(regrets(&[Some(&missed)]), [vec![(1.0, None)]], "where nothing meets the targets nothing is lost");
    }
}
