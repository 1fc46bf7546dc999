//! The laws of a drawn dataset → its requests: conversations of so many turns, each with its lengths and the pause before it.
//!
//! Every dimension is drawn on its own stream of the seed, in the order of the requests. What a later turn's length says is
//! what that turn adds, as in aiperf; the conversation goes in front of it (`conversation`).
//! Not here: texts (`build`), and in which order the conversations are taken (`order`).

use rand::RngExt;

use super::spec::LengthLaw;
use super::texts::TextLaws;
use crate::rng::{Rng, Seed, Stream};
use crate::time::MILLISECOND_NS;

/// What the requests of a drawn dataset are drawn by.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetLaws {
    /// Tokens that each request adds, where `pairs` is empty.
    pub input: LengthLaw,
    /// Lengths of prompt and answer together: of these one for each request, by their shares.
    pub pairs: Vec<LengthPair>,
    /// What the texts of a request are drawn by, where it has several; `input` and `pairs` say nothing then.
    pub texts: Option<TextLaws>,
    /// Turns of a conversation.
    pub turns: LengthLaw,
    /// Pauses before later turns; `None` for none.
    pub pauses: Option<PauseLaw>,
}

/// Lengths that go together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthPair {
    /// Its share of the requests, 0 to 1.
    pub share: f64,
    /// Tokens that the request adds.
    pub input: LengthLaw,
    /// Tokens of its answer.
    pub output: LengthLaw,
}

impl DatasetLaws {
    /// The mean of the lengths that requests add.
    pub fn input_mean(&self) -> f64 {
        if let Some(texts) = self.texts {
            texts.tokens_mean()
        } else if self.pairs.is_empty() {
            self.input.mean()
        } else {
            self.pairs.iter().map(|p| p.share * p.input.mean()).sum()
        }
    }

    /// The laws of one request's lengths.
    fn lengths(&self, output: Option<LengthLaw>, rng: &mut Rng) -> (LengthLaw, Option<LengthLaw>) {
        let Some(last) = self.pairs.last() else { return (self.input, output) };
        let mut at: f64 = rng.random();
        let drawn = self.pairs.iter().find(|pair| {
            at -= pair.share;
            at < 0.0
        });
        let pair = drawn.unwrap_or(last);
        (pair.input, Some(pair.output))
    }
}

/// The pause between the end of a turn and the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PauseLaw {
    /// Its whole milliseconds, before they are scaled.
    pub ms: LengthLaw,
    /// What they are multiplied by.
    pub ratio: f64,
    /// The longest pause.
    pub longest_ns: i64,
}

/// A drawn dataset: its laws, and how much of it there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What is drawn.
    pub laws: DatasetLaws,
    /// Conversations, at most.
    pub conversations: u64,
    /// No conversation begins when there are so many requests.
    pub requests: u64,
    /// Whether a conversation that is taken again is the same text again, and no new one.
    pub repeats: bool,
}

/// One request of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) input_tokens: u32,
    pub(super) output_tokens: Option<u32>,
    /// Number of its conversation.
    pub(super) conversation: u32,
    pub(super) delay_ns: Option<i64>,
}

impl Dataset {
    /// `requests` requests of one turn each, with texts of their own.
    pub fn single_turns(input: LengthLaw, requests: u64) -> Dataset {
        let laws = DatasetLaws { input, pairs: Vec::new(), texts: None, turns: LengthLaw::exactly(1.0), pauses: None };
        Dataset { laws, conversations: requests, requests, repeats: false }
    }

    /// Whether conversations can have several turns.
    pub(super) fn has_turns(&self) -> bool {
        self.laws.turns != LengthLaw::exactly(1.0)
    }

    /// The requests, those of a conversation in order and one conversation after the other.
    pub(super) fn draw(&self, output: Option<LengthLaw>, seed: Seed) -> Vec<Drawn> {
        let [mut inputs, mut outputs, mut turns, mut pauses, mut pairs] =
            [Stream::InputLength, Stream::OutputLength, Stream::Session, Stream::Pause, Stream::Mix]
                .map(|stream| seed.stream(stream));
        let mut requests = Vec::new();
        for conversation in 0..self.conversations as u32 {
            if requests.len() as u64 >= self.requests {
                break;
            }
            for turn in 0..self.laws.turns.draw(&mut turns) {
                let (input, output) = self.laws.lengths(output, &mut pairs);
                requests.push(Drawn {
                    input_tokens: input.draw(&mut inputs),
                    output_tokens: output.map(|law| law.draw(&mut outputs)),
                    conversation,
                    delay_ns: self.laws.pauses.filter(|_| turn > 0).map(|law| law.draw(&mut pauses)),
                });
            }
        }
        requests
    }
}

impl PauseLaw {
    fn draw(&self, rng: &mut Rng) -> i64 {
        let ms = f64::from(self.ms.draw(rng)) * self.ratio;
        ((ms * MILLISECOND_NS as f64).round() as i64).min(self.longest_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(turns: LengthLaw) -> Dataset {
        let pauses = PauseLaw { ms: LengthLaw::normal(100.0, 40.0), ratio: 0.5, longest_ns: 60 * MILLISECOND_NS };
        let laws = DatasetLaws {
            input: LengthLaw::normal(50.0, 9.0),
            pairs: Vec::new(),
            texts: None,
            turns,
            pauses: Some(pauses),
        };
        Dataset { laws, conversations: 1000, requests: u64::MAX, repeats: false }
    }

    #[test]
    fn conversations_have_turns_and_pauses_by_their_laws() {
        let drawn = dataset(LengthLaw::normal(4.0, 1.0)).draw(Some(LengthLaw::exactly(7.0)), Seed(3));
        let mean_turns = drawn.len() as f64 / 1000.0;
        assert!((mean_turns - 4.5).abs() < 0.15, "rounded up: {mean_turns}");
        let firsts = drawn.iter().filter(|d| d.delay_ns.is_none()).count();
        assert_eq!((firsts, drawn.last().unwrap().conversation), (1000, 999));
        let pauses: Vec<i64> = drawn.iter().filter_map(|d| d.delay_ns).collect();
        assert!(pauses.iter().all(|p| (0..=60 * MILLISECOND_NS).contains(p) && p % (MILLISECOND_NS / 2) == 0));
        let capped = pauses.iter().filter(|p| **p == 60 * MILLISECOND_NS).count() as f64 / pauses.len() as f64;
        assert!((capped - 0.32).abs() < 0.04, "those above 120 ms before halving: {capped}");
        assert!(drawn.iter().all(|d| d.output_tokens == Some(7)));
    }

    #[test]
    fn pairs_keep_their_lengths_together_and_their_shares() {
        let pair = |share, tokens| LengthPair {
            share,
            input: LengthLaw::exactly(tokens),
            output: LengthLaw::exactly(2.0 * tokens),
        };
        let mut of = dataset(LengthLaw::exactly(4.0));
        of.laws.pairs = vec![pair(0.25, 10.0), pair(0.75, 20.0)];
        assert_eq!(of.laws.input_mean(), 17.5);
        let drawn = of.draw(Some(LengthLaw::exactly(1.0)), Seed(3));
        assert!(drawn.iter().all(|d| d.output_tokens == Some(2 * d.input_tokens)));
        let share = drawn.iter().filter(|d| d.input_tokens == 10).count() as f64 / 4000.0;
        assert!((share - 0.25).abs() < 0.03, "{share}");
    }

    #[test]
    fn a_dataset_ends_with_the_conversation_that_reaches_its_requests() {
        let three = Dataset { requests: 7, ..dataset(LengthLaw::exactly(3.0)) };
        let drawn = three.draw(None, Seed(3));
        assert_eq!(drawn.iter().map(|d| d.conversation).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        let single = dataset(LengthLaw::exactly(1.0)).draw(None, Seed(3));
        assert_eq!(single[..3].iter().map(|d| d.input_tokens).collect::<Vec<_>>(), {
            drawn[..3].iter().map(|d| d.input_tokens).collect::<Vec<_>>()
        });
    }
}
