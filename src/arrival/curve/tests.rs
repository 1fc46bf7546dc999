//! Curves against numeric integration, their inverse against their integral, and their bounds.

use rand::RngExt;

use super::*;
use crate::rng::{Seed, Stream};

fn curve(text: &str) -> Curve {
    Curve::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Rates of all kinds, with the seconds at which they are not smooth.
const RATES: &[(&str, &[f64])] = &[
    ("25", &[]),
    ("10 + sin(amplitude=5, period=60s, phase=0.25)", &[]),
    ("10 + sin(amplitude=10, period=7s) * sin(period=90s, phase=0.1)", &[]),
    ("(3 + 3 * sin(period=11s)) * ramp(from=1, to=4, start=20s, end=80s)", &[20.0, 80.0]),
    ("20 + ramp(to=6, end=100s) * ramp(to=-3, end=50s) * sin(period=13s)", &[50.0, 100.0]),
    ("step(at=30s, from=2, to=9) + spike(at=60s, width=10s, height=50)", &[30.0, 55.0, 60.0, 65.0]),
    ("(1 + pulse(at=25s, width=1s, height=40)) * diurnal(low=2, high=9, peak=40s, period=100s)", &[25.0, 26.0]),
    ("piecewise(0s:0, 10s:30, 40s:0) * steps(0s:1, 20s:0.5, 60s:2) + 1", &[10.0, 20.0, 40.0, 60.0]),
    ("(2 + sin(period=60s) + sin(period=60.0001s)) * (1 + sin(period=59.9s))", &[]),
];

/// Simpson's rule between the corners.
fn numeric(curve: &Curve, corners: &[f64], to_s: f64) -> f64 {
    let mut ends: Vec<f64> = corners.iter().copied().filter(|c| *c < to_s).chain([to_s]).collect();
    ends.insert(0, 0.0);
    let part = |from: f64, to: f64| {
        let n = 20_000;
        let h = (to - from) / f64::from(n);
        // Just before a corner, the value is not yet that of the next piece.
        let at = |i: i32| curve.value((from + f64::from(i) * h).min(to - 1e-12 * (1.0 + to)));
        let inner: f64 = (1..n).map(|i| if i % 2 == 0 { 2.0 } else { 4.0 } * at(i)).sum();
        h / 3.0 * (at(0) + inner + at(n))
    };
    ends.windows(2).map(|w| part(w[0], w[1])).sum()
}

#[test]
fn integrals_of_sums_and_products_are_those_of_the_values() {
    for (text, corners) in RATES {
        for to_s in [3.0, 61.7, 130.0] {
            let (exact, sum) = (curve(text).integral(to_s), numeric(&curve(text), corners, to_s));
            assert!((exact - sum).abs() < 1e-7 * (1.0 + sum), "{text} to {to_s}: {exact} against {sum}");
        }
    }
}

#[test]
fn integrals_are_the_closed_forms_of_the_facts() {
    for (text, t_s, count) in [
        ("12.5 + sin(amplitude=7.5, period=150s, phase=-0.25)", 600.0, 7500.0),
        ("7.5 + sin(amplitude=2.5, period=10s, phase=-0.25)", 1800.0, 13_500.0),
        ("12.5 + sin(amplitude=7.5, period=150s, phase=-0.25)", 1825.0, 22_657.44),
        ("ramp(from=2, to=10, end=60s)", 90.0, 660.0),
        ("5 + spike(at=30s, width=10s, height=100)", 60.0, 800.0),
        // sin² has the mean 1/2.
        ("8 * sin(period=10s) * sin(period=10s)", 100.0, 400.0),
    ] {
        assert!((curve(text).integral(t_s) - count).abs() < 0.005, "{text}: {}", curve(text).integral(t_s));
    }
}

#[test]
fn inversion_undoes_the_integral() {
    for (text, _) in RATES {
        let (curve, mut from_s) = (curve(text), 0.0);
        for i in 1..4000 {
            let area = f64::from(i) * 0.731;
            let t_s = curve.time_of_integral(area, from_s).expect("these rates never end");
            assert!(t_s >= from_s, "{text}: {t_s} after {from_s}");
            assert!((curve.integral(t_s) - area).abs() < 1e-7, "{text} at {area}: {t_s}");
            from_s = t_s;
        }
    }
}

#[test]
fn what_never_comes_is_null_and_a_pause_is_passed_over() {
    let ends = curve("pulse(at=10s, width=5s, height=2)");
    assert!((ends.time_of_integral(9.0, 0.0).unwrap() - 14.5).abs() < 1e-9);
    assert_eq!(ends.time_of_integral(10.5, 14.5), None);
    let pauses = curve("pulse(at=1s, width=1s, height=2) + pulse(at=500s, width=1s, height=2)");
    assert!((pauses.time_of_integral(2.5, 1.9).unwrap() - 500.25).abs() < 1e-9);
    let cut = curve("10 - ramp(to=20, end=200s)").until(50.0);
    assert_eq!((cut.integral(50.0), cut.integral(90.0), cut.value(50.0)), (375.0, 375.0, 0.0));
    assert_eq!(cut.time_of_integral(375.1, 0.0), None);
}

#[test]
fn curves_that_leave_their_bounds_are_told_where() {
    let below = |text: &str| curve(text).require_within(0.0, 1e9, 100.0);
    let Err(Some(found)) = below("3 + sin(amplitude=5, period=40s)") else { panic!("it falls to -2") };
    assert!((found.at_s - 30.0).abs() < 1e-3 && (found.value + 2.0).abs() < 1e-9, "{found:?}");
    let Err(Some(found)) = below("ramp(from=5, to=-5, end=100s)") else { panic!("it falls to -5") };
    assert!((found.value + 5.0).abs() < 1e-9, "{found:?}");
    let Err(Some(found)) = below("10 - spike(at=50s, width=10ms, height=11)") else { panic!("it falls to -1") };
    assert!((found.at_s - 50.0).abs() < 1e-3 && (found.value + 1.0).abs() < 1e-6, "{found:?}");
    assert_eq!(below("3 + sin(amplitude=5, period=1us)".replace("1us", "0.001ms").as_str()), Err(None));
    for touching in [
        "5 + sin(amplitude=5, period=40s)",
        "6 + (2 + sin(period=10s)) * (sin(period=10s, phase=0.5) - 1)",
        "ramp(from=3, to=0, end=100s)",
        "3 - step(at=100s, to=9)",
    ] {
        assert_eq!(below(touching), Ok(()), "{touching}");
    }
    let share = curve("0.5 + sin(amplitude=0.6, period=40s)").require_within(0.0, 1.0, 100.0);
    assert!(matches!(share, Err(Some(Excursion { value, .. })) if (value - 1.1).abs() < 1e-9), "{share:?}");
}

/// Any text that is made of the grammar's own words, and texts with a byte changed, keep the promise that fuzzing checks.
#[test]
fn random_expressions_keep_the_property() {
    let words = [
        "1",
        "2.5",
        "10",
        "+",
        "-",
        "*",
        "(",
        ")",
        "sin(period=7s)",
        "ramp(end=9s)",
        "step(at=3s)",
        "0",
        ",",
        "=",
        "1e3",
        "spike(at=5s, width=2s)",
        "piecewise(1s:2, 3s:4)",
        "diurnal(low=1, high=2)",
        "sin",
        "period",
        ":",
        "s",
        " ",
        "é",
    ];
    let mut rng = Seed(8).stream(Stream::Mix);
    let mut accepted = 0;
    for _ in 0..4000 {
        let text: String = (0..rng.random_range(1..9)).map(|_| words[rng.random_range(0..words.len())]).collect();
        accepted += u32::from(Curve::parse(&text).is_ok());
        fuzz_curve(text.as_bytes());
        let mut bytes = RATES[rng.random_range(0..RATES.len())].0.as_bytes().to_vec();
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random_range(32..127);
        fuzz_curve(&bytes);
    }
    assert!(accepted > 100, "seed 8: {accepted} of 4000");
}

#[test]
fn the_corpus_keeps_the_property() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/curve");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        fuzz_curve(&std::fs::read(file.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 8, "{files} files");
}
