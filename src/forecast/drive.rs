//! Requests and a simulated deployment → when each got its tokens, in simulated time.
//!
//! The counterpart of `sim`'s driver without clock, sockets and answers. Invariant: what happens at an instant is done before
//! what arrives at it, as with a server that looks at its queue between two steps.

use crate::sim::deployment::{Deployment, Job, SequenceId, Token};

/// A request and when it comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// Nanoseconds since the start.
    pub at_ns: i64,
    /// What it asks for.
    pub job: Job,
}

/// How requests come.
#[derive(Clone, Debug)]
pub enum Load {
    /// At times of their own, in order.
    Open(Vec<Arrival>),
    /// From so many clients, each of which sends the next when it has the whole of its last answer.
    Closed {
        /// Clients; all begin at 0.
        clients: u32,
        /// The requests, in order.
        jobs: Vec<Job>,
    },
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// When it came, ns.
    pub arrival_ns: i64,
    /// When its first token was there, ns; `None` for a refused one.
    pub first_ns: Option<i64>,
    /// When its last token was there, ns.
    pub last_ns: Option<i64>,
    /// Tokens of its answer.
    pub output_tokens: u32,
}

/// Serves all requests, in the order of their arrival.
pub fn drive(deployment: &mut dyn Deployment, load: Load) -> Vec<Served> {
    let mut served = Vec::new();
    let mut tokens = Vec::new();
    match load {
        Load::Open(arrivals) => {
            for Arrival { at_ns, job } in arrivals {
                while let Some(due_ns) = deployment.next_event_ns().filter(|due_ns| *due_ns <= at_ns) {
                    deployment.advance(due_ns, &mut tokens);
                }
                note(&mut tokens, &mut served);
                submit(deployment, at_ns, job, &mut served);
            }
            while let Some(due_ns) = deployment.next_event_ns() {
                deployment.advance(due_ns, &mut tokens);
                note(&mut tokens, &mut served);
            }
        }
        Load::Closed { clients, jobs } => {
            let mut jobs = jobs.into_iter();
            for job in jobs.by_ref().take(clients as usize) {
                submit(deployment, 0, job, &mut served);
            }
            while let Some(due_ns) = deployment.next_event_ns() {
                deployment.advance(due_ns, &mut tokens);
                let ended = tokens.iter().filter(|t| t.last).count();
                note(&mut tokens, &mut served);
                for job in jobs.by_ref().take(ended) {
                    submit(deployment, due_ns, job, &mut served);
                }
            }
        }
    }
    served
}

fn submit(deployment: &mut dyn Deployment, at_ns: i64, job: Job, served: &mut Vec<Served>) {
    let sequence = SequenceId(served.len() as u64);
    served.push(Served { arrival_ns: at_ns, first_ns: None, last_ns: None, output_tokens: job.output_tokens });
    // A refused request stays without tokens.
    let _ = deployment.submit(sequence, at_ns, Job { quiet: true, ..job });
}

fn note(tokens: &mut Vec<Token>, served: &mut [Served]) {
    for token in tokens.drain(..) {
        let request = &mut served[token.sequence.0 as usize];
        request.first_ns.get_or_insert(token.at_ns);
        if token.last {
            request.last_ns = Some(token.at_ns);
        }
    }
}
