//! A deployment without load effects: turns each request into tokens at fixed times after its arrival.
//!
//! In: jobs with arrival times. Out: [`Token`]s, the k-th of a sequence at `arrival + TTFT + k·ITL`, however many others
//! there are: what a client is measured against, since every delay beyond these times is a server's or a client's.
//! Invariants: tokens come out in order of time; a sequence gets exactly its `output_tokens`.
//! Not here: batching, queueing, memory.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::deployment::{Deployment, Job, Load, SequenceId, Taken, Token};

/// The two times, of a deployment with unlimited room.
#[derive(Debug)]
pub struct ConstantTime {
    ttft_ns: i64,
    itl_ns: i64,
    /// Tokens that each sequence still gets.
    left: HashMap<SequenceId, u32>,
    /// Tokens that came out.
    produced: u64,
    /// The next token of each sequence; that of a cancelled one stays until its time, and is nobody's then.
    next: BinaryHeap<Reverse<(i64, SequenceId)>>,
}

impl ConstantTime {
    /// An idle deployment. Both times are in nanoseconds and at least 0.
    pub fn new(ttft_ns: i64, itl_ns: i64) -> ConstantTime {
        ConstantTime { ttft_ns, itl_ns, left: HashMap::new(), produced: 0, next: BinaryHeap::new() }
    }
}

impl Deployment for ConstantTime {
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job) -> Taken {
        self.left.insert(sequence, job.output_tokens);
        self.next.push(Reverse((arrival_ns + self.ttft_ns, sequence)));
        Ok(())
    }

    fn cancel(&mut self, sequence: SequenceId) -> Vec<i64> {
        self.left.remove(&sequence);
        Vec::new()
    }

    fn next_event_ns(&self) -> Option<i64> {
        self.next.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    fn advance(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        while self.next_event_ns().is_some_and(|at_ns| at_ns <= now_ns) {
            let Some(Reverse((at_ns, sequence))) = self.next.pop() else { return };
            let Some(left) = self.left.get_mut(&sequence) else { continue };
            *left -= 1;
            let last = *left == 0;
            self.produced += 1;
            tokens.push(Token { sequence, at_ns, last, cached_tokens: 0, before_ns: Vec::new() });
            if last {
                self.left.remove(&sequence);
            } else {
                self.next.push(Reverse((at_ns + self.itl_ns, sequence)));
            }
        }
    }

    fn load(&self) -> Load {
        Load { running: self.left.len() as u64, output_tokens_total: self.produced, ..Load::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(deployment: &mut ConstantTime, now_ns: i64) -> Vec<(i64, u64, bool)> {
        let mut tokens = Vec::new();
        deployment.advance(now_ns, &mut tokens);
        tokens.iter().map(|t| (t.at_ns, t.sequence.0, t.last)).collect()
    }

    #[test]
    fn tokens_come_at_their_times_whatever_else_runs_and_however_late_one_looks() {
        let mut deployment = ConstantTime::new(50, 10);
        for (n, arrival_ns) in [(0, 0), (1, 5)] {
            deployment.submit(SequenceId(n), arrival_ns, Job::new(9, 3)).unwrap();
        }
        assert_eq!(deployment.next_event_ns(), Some(50));
        assert_eq!(times(&mut deployment, 49), []);
        assert_eq!(times(&mut deployment, 60), [(50, 0, false), (55, 1, false), (60, 0, false)]);
        assert_eq!(times(&mut deployment, 1_000), [(65, 1, false), (70, 0, true), (75, 1, true)]);
        assert_eq!(deployment.next_event_ns(), None);
    }

    #[test]
    fn a_cancelled_sequence_gets_no_more_tokens_and_leaves_nothing_behind() {
        let mut deployment = ConstantTime::new(0, 10);
        deployment.submit(SequenceId(7), 0, Job::new(1, 1_000)).unwrap();
        assert_eq!(times(&mut deployment, 5), [(0, 7, false)]);
        deployment.cancel(SequenceId(7));
        assert_eq!(times(&mut deployment, 10), []);
        assert_eq!(deployment.next_event_ns(), None);
    }
}
