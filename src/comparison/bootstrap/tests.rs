//! Intervals against simulated runs whose regret is known.

use super::*;

const HOW: Resampling = Resampling { resamples: 400, level: 0.95, seed: Seed(1) };

/// Two candidates under one server's weather: a hidden state that stays for ten requests in the mean, in which each request is good
/// with the candidate's own chance. True goodputs are 0.8 and 0.6 of the requests.
fn weather(seed: u64, slices: usize, schedule: Option<u64>) -> [Vec<Series>; 2] {
    let mut rng = Seed(seed).stream(Stream::Simulation);
    let (mut is_fine, mut series) = (share(&mut rng) < 0.5, [Vec::new(), Vec::new()]);
    for _ in 0..slices {
        is_fine ^= share(&mut rng) < 0.1;
        for (values, (fine, foul)) in series.iter_mut().zip([(0.95, 0.65), (0.85, 0.35)]) {
            values.push(f64::from(u8::from(share(&mut rng) < if is_fine { fine } else { foul })));
        }
    }
    series.map(|per_s| vec![Series { per_s, schedule }])
}

fn regret(means: &[f64]) -> Option<f64> {
    (means[0] > 0.0).then(|| (means[0] - means[1]) / means[0])
}

#[test]
fn intervals_of_regret_and_of_a_difference_cover_the_truth_as_often_as_they_say() {
    const RUNS: u64 = 400;
    for schedule in [Some(7), None] {
        let (mut of_regret, mut of_difference, mut width) = (0, 0, 0.0);
        for seed in 0..RUNS {
            let runs = weather(seed, 2_000, schedule);
            let runs = [&runs[0][..], &runs[1][..]];
            let how = Resampling { seed: Seed(seed), ..HOW };
            let found = interval(&runs, &regret, how).unwrap();
            assert_eq!(found.is_paired, schedule.is_some());
            of_regret += u64::from((found.low..=found.high).contains(&0.25));
            width += found.high - found.low;
            let found = interval(&runs, &|m| Some(m[0] - m[1]), how).unwrap();
            of_difference += u64::from((found.low..=found.high).contains(&0.2));
        }
        println!(
            "paired {}: {of_regret} and {of_difference} of {RUNS}; mean width {:.4}",
            schedule.is_some(),
            width / RUNS as f64
        );
        if schedule.is_some() {
            for covered in [of_regret, of_difference] {
                assert!((372..=388).contains(&covered), "{covered} of {RUNS}: not 93 to 97 %");
            }
        } else {
            // These candidates did share their weather: not to know it makes intervals too wide, never too narrow.
            assert!(of_regret >= 372 && of_difference >= 372, "{of_regret} {of_difference}");
        }
    }
}

#[test]
fn equal_seeds_give_equal_intervals_and_little_data_none() {
    let runs = weather(3, 500, Some(1));
    let runs = [&runs[0][..], &runs[1][..]];
    assert_eq!(interval(&runs, &regret, HOW), interval(&runs, &regret, HOW));
    assert_ne!(interval(&runs, &regret, HOW), interval(&runs, &regret, Resampling { seed: Seed(2), ..HOW }));
    let short = weather(3, 15, Some(1));
    assert_eq!(interval(&[&short[0], &short[1]], &regret, HOW), None);
    assert_eq!(interval(&[&short[0], &[]], &regret, HOW), None);
    let none_good = [vec![Series { per_s: vec![0.0; 100], schedule: None }], runs[1].to_vec()];
    assert_eq!(interval(&[&none_good[0], &none_good[1]], &regret, HOW), None, "no regret without a goodput");
}

#[test]
fn runs_are_clusters() {
    // Runs that differ from each other and hardly within: the interval is that of two runs, however many requests they have.
    let run =
        |level: f64| Series { per_s: (0..400).map(|i| level + 0.001 * f64::from(i % 2)).collect(), schedule: None };
    let alone = interval(&[&[run(1.0)]], &|m| Some(m[0]), HOW).unwrap();
    let both = interval(&[&[run(1.0), run(2.0)]], &|m| Some(m[0]), HOW).unwrap();
    assert!(alone.high - alone.low < 0.01 && both.high - both.low > 1.0, "{alone:?} {both:?}");
}

#[test]
fn a_series_keeps_the_goodput_and_its_times() {
    let requests: Vec<(i64, bool)> = (0..100).map(|i| (i * 10, i < 25)).collect();
    let series = Series::new(&requests, 50.0, None).unwrap();
    assert!((series.mean() - 0.5).abs() < 1e-12, "25 good requests in 50 s");
    assert!(series.per_s[..20].iter().all(|v| *v > 0.0) && series.per_s[30..].iter().all(|v| *v == 0.0));
    assert_eq!((Series::new(&[], 1.0, None), Series::new(&requests, 0.0, None)), (None, None));
    let [even, odd] = halves(&[series]);
    assert_eq!(even[0].per_s.len() + odd[0].per_s.len(), 100);
}

#[test]
fn the_best_of_many_equal_ones_looks_better_than_it_is_unless_others_score_it() {
    // Eight candidates of the same goodput: the regret of each of them is 0.
    const TIMES: u64 = 200;
    let (mut naive, mut split) = (0.0, 0.0);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    for seed in 0..TIMES {
        let all: Vec<Vec<Series>> = (0..8).map(|i| weather(seed * 8 + i, 400, None)[0].clone()).collect();
        let values: Vec<f64> = all.iter().map(|runs| goodput(runs).unwrap()).collect();
        let best = values.iter().copied().fold(0.0, f64::max);
        naive += (best - mean(&values)) / best / TIMES as f64;
        let halved: Vec<[Vec<Series>; 2]> = all.iter().map(|runs| halves(runs)).collect();
        let half = |half: usize| halved.iter().map(|h| goodput(&h[half]).unwrap()).collect::<Vec<f64>>();
        let (select, score) = (half(0), half(1));
        let chosen = (0..8).max_by(|a, b| select[*a].total_cmp(&select[*b])).unwrap();
        split += (score[chosen] - mean(&score)) / score[chosen] / TIMES as f64;
    }
    assert!(naive > 0.02 && split.abs() < naive / 3.0, "naive {naive}, scored by the other half {split}");
}
