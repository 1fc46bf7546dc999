//! A deployment whose host takes a constant time over every request before its engine sees it: tokenising, HTTP, scheduling.
//!
//! In: jobs. Out: the tokens of the engine inside, each that much later. Not here: host time of steps ([`super::batch`]).

use super::deployment::{Deployment, Job, Load, SequenceId, Taken, Token};

/// An engine behind such a host.
#[derive(Debug)]
pub struct Delayed<D> {
    inner: D,
    delay_ns: i64,
}

impl<D> Delayed<D> {
    /// An engine that sees each request `delay_ns`, at least 0, after it came.
    pub fn new(inner: D, delay_ns: i64) -> Delayed<D> {
        Delayed { inner, delay_ns: delay_ns.max(0) }
    }
}

impl Deployment for Delayed<Box<dyn Deployment + Send>> {
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job) -> Taken {
        self.inner.submit(sequence, arrival_ns + self.delay_ns, job)
    }

    fn cancel(&mut self, sequence: SequenceId) -> Vec<i64> {
        self.inner.cancel(sequence)
    }

    fn next_event_ns(&self) -> Option<i64> {
        self.inner.next_event_ns()
    }

    fn advance(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        self.inner.advance(now_ns, tokens);
    }

    fn load(&self) -> Load {
        self.inner.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::constant::ConstantTime;

    #[test]
    fn tokens_come_that_much_later() {
        let inner: Box<dyn Deployment + Send> = Box::new(ConstantTime::new(50, 10));
        let mut delayed = Delayed::new(inner, 7);
        delayed.submit(SequenceId(0), 100, Job::new(9, 2)).unwrap();
        let mut tokens = Vec::new();
        delayed.advance(1_000, &mut tokens);
        assert_eq!(tokens.iter().map(|t| t.at_ns).collect::<Vec<_>>(), [157, 167]);
    }
}
