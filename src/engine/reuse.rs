//! Whether a server's connections can be used again, learnt from what it does with the first few.
//!
//! Some servers (llama.cpp's) close the connection behind every stream without having said so. A request that is
//! written in the moment before that end arrives fails through no fault of its own, and is not repeated: so the first
//! idle connections rest for a moment before they are used, and a server that closes them gets a new one each time.
//! Pure: times are passed in.

use crate::time::MILLISECOND_NS;

/// How long an idle connection rests while its server is not known. The end of a connection that follows an answer comes
/// within a round trip, but no sooner than the server's thread has a core.
const REST_NS: i64 = 50 * MILLISECOND_NS;
/// How long it rests where many do, so that fast answers do not take a connection each for all of [`REST_NS`].
const REST_AMONG_MANY_NS: i64 = 2 * MILLISECOND_NS;
/// Resting connections that are many.
const MANY: usize = 64;
/// A connection that was found closed after a longer time had its idle limit, which says nothing about manners.
const IDLE_LIMIT_NS: i64 = 500 * MILLISECOND_NS;
/// Connections that have to survive their rest before the server is trusted.
const SURVIVORS: u32 = 4;
/// Connections that have to be found closed before the server is given new ones only.
const CLOSED: u32 = 2;

/// What is known of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    survived: u32,
    closed: u32,
}

impl Reuse {
    /// Whether the server has been seen to keep its connections.
    pub fn is_trusted(self) -> bool {
        self.survived >= SURVIVORS
    }

    /// Whether the server has been seen to close them behind every answer.
    pub fn is_refused(self) -> bool {
        self.survived == 0 && self.closed >= CLOSED
    }

    /// Whether a connection that has been idle for this long, one of so many, may be looked at.
    pub fn has_rested(self, idle_ns: i64, resting: usize) -> bool {
        let rest_ns = if resting >= MANY { REST_AMONG_MANY_NS } else { REST_NS };
        self.is_trusted() || idle_ns >= rest_ns
    }

    /// Learns that a connection was found open or closed after having been idle for this long.
    pub fn found(&mut self, open: bool, idle_ns: i64) {
        if open {
            self.survived += 1;
        } else if idle_ns < IDLE_LIMIT_NS {
            self.closed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_keeps_connections_is_trusted_after_a_few() {
        let mut reuse = Reuse::default();
        assert!(!reuse.has_rested(REST_NS - 1, 1) && reuse.has_rested(REST_NS, 1));
        (0..SURVIVORS).for_each(|_| reuse.found(true, REST_NS));
        assert!(reuse.is_trusted() && reuse.has_rested(0, 1) && !reuse.is_refused());
    }

    #[test]
    fn where_many_rest_the_rest_is_short() {
        let reuse = Reuse::default();
        assert!(!reuse.has_rested(REST_AMONG_MANY_NS, MANY - 1) && reuse.has_rested(REST_AMONG_MANY_NS, MANY));
        assert!(!reuse.has_rested(REST_AMONG_MANY_NS - 1, MANY));
    }

    #[test]
    fn a_server_that_closes_behind_every_answer_is_refused_and_one_with_an_idle_limit_is_not() {
        let mut closes = Reuse::default();
        closes.found(false, REST_NS);
        closes.found(false, REST_NS);
        assert!(closes.is_refused());
        let mut tires = Reuse::default();
        (0..5).for_each(|_| tires.found(false, 5_000 * MILLISECOND_NS));
        assert!(!tires.is_refused());
    }
}
