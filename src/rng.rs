//! Randomness as a parameter: one recorded seed, one independent stream per dimension.
//!
//! Streams are named, so that drawing more of one (lengths, say) never changes another (arrivals).
//! Not here: the operating system's randomness, which only `cli` reads, once, when no seed is given.

use rand_pcg::Pcg64Mcg;

/// The generator that all of loadline draws from.
pub type Rng = Pcg64Mcg;

/// A dimension of a run that is drawn on its own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// When requests arrive.
    Arrival,
    /// Arrivals of the warm-up phase.
    WarmupArrival,
    /// Input lengths.
    InputLength,
    /// Output lengths.
    OutputLength,
    /// The words of prompts.
    PromptText,
    /// Which prefix blocks are shared.
    Prefix,
    /// Choice among classes of requests.
    Mix,
    /// The simulated deployment.
    Simulation,
    /// Resampling in statistics.
    Bootstrap,
    /// Which requests the client cancels.
    Cancellation,
    /// Where in their gap the requests of a trace's bucket arrive.
    Spread,
    /// Which conversations of a trace are kept.
    TraceSampling,
    /// Turns and think times of sessions.
    Session,
    /// Pauses between the turns of drawn conversations.
    Pause,
    /// In which order conversations are taken from a pool.
    Order,
    /// Which family of prefixes a conversation belongs to.
    Family,
    /// How many texts a request has, where it has several.
    TextCount,
    /// Lengths of the queries of rerankers.
    QueryLength,
    /// What a method that chooses a deployment draws.
    Selection,
}

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// The generator of one dimension. Equal seeds and streams give equal draws on every machine.
    pub fn stream(self, stream: Stream) -> Rng {
        let a = mix(self.0 ^ mix(stream as u64 + 1));
        let b = mix(a ^ 0x9e37_79b9_7f4a_7c15);
        Pcg64Mcg::new((u128::from(a) << 64) | u128::from(b))
    }

    /// A 64-bit hash of `(seed, value)`, for draws that must not depend on their order.
    pub fn hash(self, value: u64) -> u64 {
        mix(self.0 ^ mix(value ^ 0xd1b5_4a32_d192_ed03))
    }
}

/// The finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of u64 that mixes every bit.
pub fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn streams_are_reproducible_and_differ() {
        let draw = |seed, stream| Seed(seed).stream(stream).next_u64();
        assert_eq!(draw(7, Stream::Arrival), draw(7, Stream::Arrival));
        assert_ne!(draw(7, Stream::Arrival), draw(7, Stream::Mix));
        assert_ne!(draw(7, Stream::Arrival), draw(8, Stream::Arrival));
    }
}
