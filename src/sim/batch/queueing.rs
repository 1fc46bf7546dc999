//! The queue in front of a batch, against queueing theory: one sequence at a time, one iteration each, Poisson arrivals.
//!
//! The waiting time of M/G/1 is `λ·E[S²] / (2·(1 − λ·E[S]))` (Pollaczek and Khinchine), which is `ρ/(μ·(1 − ρ))` for M/M/1 and half
//! of that for M/D/1.

use rand_distr::Exp;

use super::*;

/// Service times that have nothing to do with what is served.
#[derive(Debug)]
enum Service {
    Exponential(Exp<f64>, Rng),
    Constant(f64),
}

impl StepTime for Service {
    fn step_s(&mut self, _load: &StepLoad) -> f64 {
        match self {
            Service::Exponential(law, rng) => law.sample(rng),
            Service::Constant(s) => *s,
        }
    }
}

const MEAN_SERVICE_S: f64 = 0.01;
const SEEDS: u64 = 40;
const REQUESTS: u64 = 20_000;
/// Requests before the queue has forgotten that it began empty.
const FORGET: usize = 2_000;

/// The mean waiting time in seconds of one seeded run at utilisation `rho`.
fn mean_wait_s(seed: u64, rho: f64, service: Service) -> f64 {
    let config = BatchConfig {
        max_sequences: 1,
        max_batched_tokens: 8,
        kv_tokens: 160,
        prefix_caching: false,
        admission: Admission::Reserve,
        queue_limit: None,
        step_overhead_s: 0.0,
        sequence_overhead_s: 0.0,
        speedup: 1.0,
        step_noise: 0.0,
        seed: Seed(seed),
    };
    let mut engine = ContinuousBatch::new(service, config).unwrap();
    let gaps = Exp::new(rho / MEAN_SERVICE_S).unwrap();
    let mut rng = Seed(seed).stream(Stream::Arrival);
    let (mut arrival_s, mut arrivals_ns) = (0.0, Vec::new());
    for id in 0..REQUESTS {
        arrival_s += gaps.sample(&mut rng);
        let arrival_ns = (arrival_s * 1e9) as i64;
        engine.submit(SequenceId(id), arrival_ns, Job::new(1, 1)).unwrap();
        arrivals_ns.push(arrival_ns);
    }
    // When a service begins is when the one before it ended, or the request came.
    let (mut tokens, mut free_ns, mut waited_ns) = (Vec::new(), 0, 0.0);
    engine.advance(i64::MAX, &mut tokens);
    assert_eq!(tokens.len() as u64, REQUESTS);
    for (index, (token, arrival_ns)) in tokens.iter().zip(&arrivals_ns).enumerate() {
        assert_eq!(token.sequence.0, index as u64, "first come, first served");
        if index >= FORGET {
            waited_ns += (free_ns - arrival_ns).max(0) as f64;
        }
        free_ns = token.at_ns;
    }
    waited_ns / 1e9 / (REQUESTS as usize - FORGET) as f64
}

/// The mean over the seeds lies within four standard errors of theory: by chance, once in 16,000 correct queues.
fn check(name: &str, rho: f64, expected_s: f64, service: impl Fn(u64) -> Service) {
    let waits: Vec<f64> = (0..SEEDS).map(|seed| mean_wait_s(seed, rho, service(seed))).collect();
    let n = waits.len() as f64;
    let mean = waits.iter().sum::<f64>() / n;
    let variance = waits.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    assert!(error < 0.05 * expected_s, "{name}, rho {rho}: the test is too blunt ({error} of {expected_s} s)");
    assert!((mean - expected_s).abs() < 4.0 * error, "{name}, rho {rho}: {mean} s for {expected_s}, error {error}");
}

#[test]
fn waiting_times_are_those_of_theory() {
    for rho in [0.5, 0.8] {
        let mm1 = MEAN_SERVICE_S * rho / (1.0 - rho);
        check("M/M/1", rho, mm1, |seed| {
            Service::Exponential(Exp::new(1.0 / MEAN_SERVICE_S).unwrap(), Seed(seed).stream(Stream::Simulation))
        });
        check("M/D/1", rho, mm1 / 2.0, |_| Service::Constant(MEAN_SERVICE_S));
    }
}
