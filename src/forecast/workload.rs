//! A workload or a trace → requests for the simulated engine.
//!
//! A trace keeps its times, lengths and shared prefixes. Entries without a time of their own (later turns, which a completion
//! releases) are left out and counted. Invariant: a trace block has one name wherever it follows the same blocks.

use crate::arrival::{self, ArrivalParams};
use crate::error::Result;
use crate::profiler::capacity::Workload;
use crate::rng::{Seed, Stream, mix};
use crate::sim::content::{BLOCK_TOKENS, Content};
use crate::sim::deployment::Job;
use crate::trace::{Entry, Trace};

use super::drive::Arrival;

/// The requests of a trace.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Those with a time, in order.
    pub arrivals: Vec<Arrival>,
    /// Entries that have none.
    pub untimed: usize,
    /// Entries that do not tell the length of their answer, and got the workload's.
    pub unsized_answers: usize,
}

/// Poisson arrivals at one request per second, in nanoseconds.
pub(super) fn unit_arrivals(count: u32, seed: Seed) -> Result<Vec<i64>> {
    let mut poisson = arrival::build("poisson", &ArrivalParams { rate_rps: Some(1.0), ..ArrivalParams::default() })?;
    Ok(arrival::first(count as usize, &mut *poisson, &mut seed.stream(Stream::Arrival)))
}

/// The same arrivals at another rate, each with an equal request.
pub(super) fn at_rate(unit_ns: &[i64], rate_rps: f64, workload: Workload) -> Vec<Arrival> {
    let at = |unit_ns: &i64| Arrival { at_ns: (*unit_ns as f64 / rate_rps).round() as i64, job: job(workload) };
    unit_ns.iter().map(at).collect()
}

/// Equal requests.
pub(super) fn equal(count: u32, workload: Workload) -> Vec<Job> {
    vec![job(workload); count as usize]
}

fn job(workload: Workload) -> Job {
    Job::new(workload.isl_tokens, workload.osl_tokens)
}

impl Requests {
    /// Of a trace.
    pub fn of(trace: &Trace, workload: Workload) -> Requests {
        let mut requests = Requests::default();
        for entry in &trace.entries {
            let Some(at_ns) = entry.arrival_ns else {
                requests.untimed += 1;
                continue;
            };
            requests.unsized_answers += usize::from(entry.output_tokens.is_none());
            let output_tokens = entry.output_tokens.unwrap_or(workload.osl_tokens).max(1);
            let content = content(trace, entry);
            requests.arrivals.push(Arrival {
                at_ns,
                job: Job { prompt_tokens: entry.input_tokens.max(1), output_tokens, content, quiet: false },
            });
        }
        requests
    }
}

/// The names of a prompt's full KV blocks, as far as the trace's blocks reach.
fn content(trace: &Trace, entry: &Entry) -> Content {
    let whole = entry.input_tokens / BLOCK_TOKENS;
    let per_block = (trace.block_size / BLOCK_TOKENS).max(1);
    let mut chain = 0;
    let mut blocks = Vec::new();
    for id in trace.blocks(entry) {
        chain = mix(chain ^ mix(u64::from(*id) + 1));
        blocks.extend((0..per_block).map(|part| mix(chain ^ u64::from(part))));
    }
    blocks.truncate(whole as usize);
    Content { blocks, ..Content::default() }
}
