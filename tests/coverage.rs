//! Whether intervals cover the truth as often as they say, on the simulated deployment, where a very long run tells the truth.
//!
//! Ignored by default: in an unoptimised build 400 repetitions of simulated runs take four minutes of one core's time. In CI, and by
//! hand: `cargo test --test coverage -- --ignored --nocapture`. METHODOLOGY.md has the figures.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it found")]

use rand_distr::{Distribution, Exp1};

use loadline::comparison::bootstrap::{Resampling, Series, interval};
use loadline::comparison::goodput_search::{Question, search};
use loadline::forecast::drive::{Arrival, Load, drive};
use loadline::profiler::backend::Backend;
use loadline::profiler::cost::CostModel;
use loadline::profiler::deployment::{Deployment, Layout};
use loadline::profiler::{gpu, memory, model};
use loadline::rng::{Seed, Stream};
use loadline::sim::batch::{Admission, BatchConfig, ContinuousBatch};
use loadline::sim::deployment::Job;

const REPETITIONS: u64 = 400;
/// Requests of a run.
const REQUESTS: usize = 5_000;
/// Requests of a run that tells the truth.
const REQUESTS_OF_TRUTH: usize = 400_000;
const ISL: u32 = 1024;
const OSL: u32 = 16;
/// Bound on the time to first token. Every request's time per token is within any sensible bound.
const TTFT_NS: i64 = 100_000_000;
/// Seeds of truths, which no repetition has.
const TRUTH: u64 = 1 << 40;

/// Llama-3.1-8B on H100s, four sequences at once, so that requests queue.
fn engine(tp: u32) -> ContinuousBatch {
    let shape = &model::named("meta-llama/Llama-3.1-8B-Instruct").unwrap();
    let deployment = Deployment {
        model: shape,
        gpu: gpu::lookup("h100_sxm").unwrap(),
        backend: Backend::parse("vllm").unwrap(),
        precision: shape.precision,
        layout: Layout::tensor(tp),
    };
    let config = BatchConfig {
        max_sequences: 4,
        max_batched_tokens: 8192,
        kv_tokens: memory::kv_tokens_of(&deployment).unwrap(),
        prefix_caching: false,
        admission: Admission::of(deployment.backend),
        queue_limit: None,
        step_overhead_s: 0.5e-3,
        sequence_overhead_s: 0.0,
        speedup: 1.0,
        step_noise: 0.0,
        seed: Seed(0),
    };
    ContinuousBatch::new(CostModel::of(&deployment).unwrap(), config).unwrap()
}

/// Poisson arrivals at a rate: of each request when it came and whether its first token was in time, without the first tenth.
fn run(tp: u32, rate_rps: f64, requests: usize, seed: u64) -> Vec<(i64, bool)> {
    let mut rng = Seed(seed).stream(Stream::Arrival);
    let mut at_s = 0.0;
    let arrivals = (0..requests)
        .map(|_| {
            let gap: f64 = Exp1.sample(&mut rng);
            at_s += gap / rate_rps;
            Arrival { at_ns: (at_s * 1e9) as i64, job: Job::new(ISL, OSL) }
        })
        .collect();
    let served = drive(&mut engine(tp), Load::Open(arrivals));
    let is_good = |first_ns: Option<i64>, at_ns: i64| first_ns.is_some_and(|first| first - at_ns <= TTFT_NS);
    served[requests / 10..].iter().map(|s| (s.arrival_ns, is_good(s.first_ns, s.arrival_ns))).collect()
}

/// What each of the repetitions says, on all of this machine's cores.
fn repetitions<T: Send>(of: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let part = |first: u64| (first..REPETITIONS).step_by(workers).map(&of).collect::<Vec<T>>();
    std::thread::scope(|scope| {
        let part = &part;
        let parts: Vec<_> = (0..workers as u64).map(|first| scope.spawn(move || part(first))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

fn share(requests: &[(i64, bool)]) -> f64 {
    requests.iter().filter(|r| r.1).count() as f64 / requests.len() as f64
}

/// How many of the repetitions at a rate have an interval that holds the true regret.
fn covered_at(rate_rps: f64) -> usize {
    let [one, two] = [1, 2].map(|tp| share(&run(tp, rate_rps, REQUESTS_OF_TRUTH, TRUTH)));
    let truth = (two - one) / two;
    let found = repetitions(|seed| {
        let series = [1, 2].map(|tp| {
            let requests = run(tp, rate_rps, REQUESTS, seed);
            let window_s = (requests.last().unwrap().0 - requests[0].0) as f64 / 1e9;
            [Series::new(&requests, window_s, Some(seed)).unwrap()]
        });
        let lost = |m: &[f64]| (m[1] > 0.0).then(|| (m[1] - m[0]) / m[1]);
        let how = Resampling { resamples: 400, level: 0.95, seed: Seed(seed) };
        let found = interval(&[&series[0], &series[1]], &lost, how).unwrap();
        assert!(found.is_paired);
        found
    });
    let covered = found.iter().filter(|i| (i.low..=i.high).contains(&truth)).count();
    let width: f64 = found.iter().map(|i| i.high - i.low).sum::<f64>() / REPETITIONS as f64;
    eprintln!(
        "{rate_rps}/s: attainment {one:.4} and {two:.4}, regret {truth:.4}: covered {covered} of \
             {REPETITIONS}, mean width {width:.4}"
    );
    covered
}

#[test]
#[ignore = "400 repetitions: minutes in an unoptimised build"]
fn the_interval_of_regret_covers_the_true_regret() {
    // Below the capacity of both: where a queue grows for as long as the run lasts there is no true goodput.
    for rate_rps in [14.0, 16.0, 18.0] {
        let covered = covered_at(rate_rps);
        assert!((372..=388).contains(&covered), "{covered} of {REPETITIONS} at {rate_rps}/s: not 93 to 97 %");
    }
}

#[test]
#[ignore = "400 repetitions: minutes in an unoptimised build"]
fn the_interval_of_the_goodput_search_covers_the_true_rate() {
    let question = Question {
        attainment: 0.9,
        start_rps: 8.0,
        rate_max_rps: 100.0,
        requests: 200,
        requests_max: 1_600,
        precision: 0.05,
        confidence: 0.95,
    };
    let ends = (12.0_f64, 16.0_f64);
    let (mut low, mut high) = ends;
    while high - low > 1e-3 * high {
        let middle = f64::midpoint(low, high);
        let keeps = share(&run(1, middle, REQUESTS_OF_TRUTH, TRUTH)) >= question.attainment;
        *(if keeps { &mut low } else { &mut high }) = middle;
    }
    assert!(ends.0 < low && high < ends.1, "it lies between {low} and {high}, or beyond");
    let truth = f64::midpoint(low, high);
    let (mut covered, mut below, mut above, mut width, mut resolved, mut looks) = (0, 0, 0, 0.0, 0, 0_u64);
    let all = repetitions(|seed| {
        let mut look = 0;
        let found = search(&question, &mut |rate, requests| {
            look += 1;
            let all = run(1, rate, requests as usize * 10 / 9 + 1, seed * 1_000 + look);
            Ok(Some(all.iter().map(|r| r.1).collect()))
        })
        .unwrap();
        (found, look)
    });
    for (found, look) in all {
        looks += look;
        let high = found.high_rps.unwrap_or(f64::INFINITY);
        below += u64::from(high < truth);
        above += u64::from(found.low_rps > truth);
        covered += u64::from(found.low_rps <= truth && truth <= high);
        resolved += u64::from(found.is_resolved);
        width += (high - found.low_rps) / truth / REPETITIONS as f64;
    }
    eprintln!(
        "true rate {truth:.3}/s: covered {covered} of {REPETITIONS} ({below} below, {above} above), mean width {width:.3} of it, {resolved} resolved, {:.1} looks",
        looks as f64 / REPETITIONS as f64
    );
    assert!((372..=388).contains(&covered), "{covered} of {REPETITIONS}: not 93 to 97 %");
}
