//! Judgements of methods that were made up, and the methods, for other tests.

use super::*;
use crate::comparison::bootstrap::Series;
use crate::comparison::method::{Cost, Deployment, Figure, Level, Source};
use crate::rng::Seed;

pub(crate) fn question() -> Question {
    Question {
        model: None,
        backend: None,
        target: Target { ttft_ms: 500.0, itl_ms: 50.0, isl: 2048, osl: 256 },
        resampling: Resampling { resamples: 200, level: 0.95, seed: Seed(0) },
        bounds: Bounds::default(),
    }
}

/// A method with a goodput as deployed (every n-th of its requests is bad), a predicted and a measured TTFT at medium load, and a wall time.
pub(crate) fn method(name: &str, gpus: u32, rps: f64, ttft: (f64, f64), wall_s: Option<f64>) -> Method {
    let per_s = (0..200).map(|i| if i % 5 == 4 { 0.0 } else { rps * 1.25 }).collect();
    let optimization =
        Measured { goodput_rps: Some(rps), series: vec![Series { per_s, schedule: Some(1) }], ..Measured::default() };
    let mut levels: [Level; 4] = Default::default();
    levels[MEDIUM] = Level {
        ttft: Some(Predicted { ms: ttft.0, from: "a test".into() }),
        itl: None,
        measured: Some(Measured {
            ttft: Quantiles { p50: Some(ttft.1), ..Quantiles::default() },
            goodput_unknown: Some("a test".into()),
            ..Measured::default()
        }),
    };
    Method {
        name: name.into(),
        is_reference: name == "Online-ALL",
        deployment: Deployment { gpus: Some(gpus), ..Deployment::default() },
        cost: Cost {
            wall_s: wall_s.map(|value| Figure { value, source: Source::Measured, from: "a test".into() }),
            ..Cost::default()
        },
        levels,
        optimization: Some(optimization),
        ..Method::default()
    }
}

#[test]
fn more_gpus_are_no_better_goodput_and_the_best_is_the_measured_one_whoever_found_it() {
    let methods = [
        method("AIC-ALL", 2, 8.0, (90.0, 100.0), Some(30.0)),
        method("Online-ALL", 4, 12.0, (80.0, 100.0), Some(9000.0)),
    ];
    let c = Comparison::new(question(), &methods);
    let best = c.best.as_ref().unwrap();
    assert_eq!((c.unit(), best.method, best.at.per_gpu), ("req/s/GPU", 0, Some(4.0)));
    assert_eq!((c.methods[0].regret.value(), c.methods[1].regret.value()), (Some(0.0), Some(0.25)));
    assert_eq!(c.methods[0].regret_absolute.value(), Some(1.0 / 3.0));
    let interval = c.methods[1].regret_interval.unwrap();
    assert!(interval.is_paired && interval.low <= 0.25 && interval.high >= 0.25 && interval.high < 0.4, "{interval:?}");
    assert_eq!(c.methods[0].regret_interval, None, "it is the best itself");
    assert!((c.methods[0].difference.unwrap().estimate - 1.0).abs() < 1e-9);
    assert!((c.methods[1].regret_by_halves.unwrap() - 0.25).abs() < 0.1);
    assert_eq!(
        (c.fastest, c.most_accurate_at_medium, c.best_optimization, c.lowest_cost),
        (Some(0), Some(0), Some(0), None)
    );
    let error = c.methods[1].errors[MEDIUM].ttft[P50].unwrap();
    assert!((error.signed + 0.2).abs() < 1e-12, "predicted less than it took");
}

#[test]
fn what_is_unknown_wins_nothing() {
    let mut unknown = method("AIC-ALL", 2, 8.0, (90.0, 100.0), None);
    unknown.optimization = None;
    unknown.levels[MEDIUM].ttft = None;
    let c = Comparison::new(question(), &[unknown, method("Online-ALL", 4, 12.0, (80.0, 100.0), Some(9000.0))]);
    assert_eq!((c.fastest, c.most_accurate_at_medium, c.lowest_cost), (Some(1), Some(1), None));
    assert!(c.methods[0].regret.reason().unwrap().contains("its goodput was not measured"));
    assert!(c.methods[1].regret.reason().unwrap().contains("no other"), "one alone is not the best of anything");
    let nothing = Comparison::new(question(), &[]);
    assert_eq!((nothing.best, nothing.fastest), (None, None));
}

#[test]
fn what_differs_beside_the_method_and_levels_that_do_not_differ_are_told() {
    let mut methods = [method("A", 2, 8.0, (1.0, 1.0), None), method("B", 2, 8.0, (1.0, 1.0), None)];
    assert!(Comparison::new(question(), &methods).notes.is_empty());
    methods[0].backend = Some("trtllm".into());
    methods[1].backend = Some("vllm".into());
    for level in [2, 3] {
        methods[1].levels[level].measured = Some(Measured { concurrency: Some(8), ..Measured::default() });
    }
    let c = Comparison::new(question(), &methods);
    assert_eq!(c.backend(), None, "there is no one engine");
    assert!(c.notes[0].contains("A trtllm, B vllm") && c.notes[1].contains("saturation and overload"), "{:?}", c.notes);
}

#[test]
fn searches_are_compared_where_every_method_has_one_and_their_ends_bound_the_regret() {
    let search = |low: f64, rate: f64, high: f64| {
        Some(crate::comparison::method::Searched {
            rate_rps: Some(rate),
            low_rps: Some(low),
            high_rps: Some(high),
            is_resolved: true,
            ..Default::default()
        })
    };
    let mut methods = [method("A", 1, 8.0, (1.0, 1.0), None), method("B", 1, 8.0, (1.0, 1.0), None)];
    methods[0].search = search(9.0, 10.0, 11.0);
    let c = Comparison::new(question(), &methods);
    assert!(!c.is_by_search && c.methods[0].regret_retuned.value().is_none(), "the other was not searched");
    methods[1].search = search(7.0, 8.0, 10.0);
    let c = Comparison::new(question(), &methods);
    assert_eq!((c.methods[0].regret_retuned.value(), c.methods[1].regret_retuned.value()), (Some(0.0), Some(0.2)));
    // At worst 7 of 11, at best 10 of 9, which is no regret.
    let (low, high) = c.methods[1].regret_retuned_ends.unwrap();
    assert!(low == 0.0 && (high - 4.0 / 11.0).abs() < 1e-12, "{low} {high}");
}
