//! Requests of several texts, a batch to embed or a query and its passages → how many each has, how long each is, and its spans.
//!
//! Every text is one that no other shares, and has its tokens exactly; a request's length is their sum. What a server adds to
//! each of them is not counted, whatever `--isl-counts` says. They are drawn in the order of the requests.

use super::dataset::Drawn;
use super::spec::LengthLaw;
use super::{Plan, Prompt};
use crate::error::{Error, Result};
use crate::prompt::arena::Span;
use crate::rng::{Seed, Stream};

/// Most texts of a run: a bound of memory.
const TEXTS_MAX: usize = 1 << 26;

/// What the texts of requests are drawn by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextLaws {
    /// Tokens of the text before the others, a query, where there is one.
    pub query: Option<LengthLaw>,
    /// How many others there are.
    pub count: LengthLaw,
    /// Tokens of each of them.
    pub tokens: LengthLaw,
}

/// The texts of all requests of a dataset.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    /// Tokens of each, one request's after the other's.
    tokens: Vec<u32>,
    /// Where each request's begin, and where the last one's end.
    starts: Vec<u32>,
    /// Most texts of one request, at least 1.
    most: u32,
    /// Whether a request that is taken again is the same texts again.
    repeats: bool,
}

impl TextLaws {
    /// The mean of a request's tokens.
    pub fn tokens_mean(&self) -> f64 {
        self.query.map_or(0.0, |law| law.mean()) + self.count.mean() * self.tokens.mean()
    }

    /// Draws the texts of these requests, and gives the requests their lengths.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn draw(&self, requests: &mut [Drawn], repeats: bool, seed: Seed) -> Result<Texts> {
        let [mut queries, mut counts, mut lengths] =
            [Stream::QueryLength, Stream::TextCount, Stream::InputLength].map(|stream| seed.stream(stream));
        let mut texts = Texts { starts: vec![0], most: 1, repeats, ..Texts::default() };
        for request in requests {
            let first = texts.tokens.len();
            texts.tokens.extend(self.query.map(|law| law.draw(&mut queries)));
            let count = self.count.draw(&mut counts);
            if texts.tokens.len() + count as usize > TEXTS_MAX {
                return Err(Error::Usage(format!(
                    "the requests have more than {TEXTS_MAX} texts in all; ask for fewer requests, or for fewer texts in each"
                )));
            }
            texts.tokens.extend((0..count).map(|_| self.tokens.draw(&mut lengths)));
            let own = &texts.tokens[first..];
            let sum = own.iter().map(|n| u64::from(*n)).sum::<u64>();
            request.input_tokens = i32::try_from(sum)
                .map_err(|_| Error::Usage(format!("{} texts have {sum} tokens, too many for one request", own.len())))?
                as u32;
            texts.most = texts.most.max(own.len() as u32);
            texts.starts.push(texts.tokens.len() as u32);
        }
        Ok(texts)
    }
}

impl Texts {
    /// What a request's prompt is, by its place in the dataset; `None` where requests are of one text each.
    pub(super) fn prompt(&self, request: u32) -> Option<Prompt> {
        let start = *self.starts.get(request as usize)?;
        let end = *self.starts.get(request as usize + 1)?;
        Some(Prompt::Texts { start, len: end - start })
    }

    /// Texts of one request, at most, and at least 1.
    pub(super) fn most(&self) -> u64 {
        u64::from(self.most.max(1))
    }

    /// Tokens of a text.
    pub(super) fn tokens(&self, text: u32) -> u32 {
        self.tokens[text as usize]
    }
}

impl Plan {
    /// Appends the spans of one text of a request: the `n`th of those that begin at `start`.
    pub(super) fn one_text(&self, (start, n): (u32, u32), request_id: u64, out: &mut Vec<Span>) {
        let own = if self.texts.repeats { u64::from(start) } else { request_id * self.texts.most() };
        let code = self.corpus.radix().opening_code(self.unique_blocks, own + u64::from(n));
        let first = out.len();
        self.corpus.spans(code, self.texts.tokens(start + n), out);
        if let Some(first) = out.get_mut(first) {
            self.corpus.begin_prompt(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::endpoint::EndpointType;
    use crate::outcome::Phase;
    use crate::schedule::build::tests::spec;
    use crate::schedule::dataset::{Dataset, DatasetLaws};
    use crate::schedule::spec::{Load, PhaseSpec, Source};

    fn plan(laws: TextLaws, endpoint: EndpointType, (conversations, repeats): (u64, bool)) -> Plan {
        let drawn = DatasetLaws { texts: Some(laws), ..Dataset::single_turns(laws.tokens, 1).laws };
        let source = Source::Synthetic(Dataset { laws: drawn, conversations, requests: u64::MAX, repeats });
        let lanes = Load::Lanes { lanes: 1, requests: Some(6) };
        let mut spec = spec(source, vec![PhaseSpec::new(Phase::Profiling, lanes)]);
        spec.request.endpoint = endpoint;
        spec.build().unwrap()
    }

    fn bodies(plan: &Plan) -> Vec<serde_json::Value> {
        let body = |n| serde_json::from_slice(&plan.body(&plan.phases[0], n, None).to_vec()).unwrap();
        (0..6).map(body).collect()
    }

    fn words(text: &serde_json::Value) -> usize {
        text.as_str().unwrap().split_whitespace().count()
    }

    #[test]
    fn a_query_and_its_passages_have_their_tokens_exactly_and_are_nobody_elses() {
        let laws = TextLaws {
            query: Some(LengthLaw::exactly(4.0)),
            count: LengthLaw::normal(3.0, 2.0),
            tokens: LengthLaw::normal(20.0, 6.0),
        };
        let plan = plan(laws, EndpointType::CohereRankings, (6, false));
        let mut seen = HashSet::new();
        let mut counts = HashSet::new();
        for (slot, body) in plan.phases[0].slots.iter().zip(bodies(&plan)) {
            let passages = body["documents"].as_array().unwrap();
            assert_eq!(words(&body["query"]), 4);
            let sum: usize = passages.iter().map(words).sum();
            assert_eq!(slot.input_tokens as usize, 4 + sum);
            counts.insert(passages.len());
            assert!(passages.iter().chain([&body["query"]]).all(|text| seen.insert(text.to_string())), "each once");
        }
        assert!(counts.len() > 1, "{counts:?}");
        assert_eq!(plan.expected_cached_tokens(), None);
    }

    #[test]
    fn a_batch_that_is_taken_again_is_the_same_texts() {
        let laws = TextLaws { query: None, count: LengthLaw::exactly(3.0), tokens: LengthLaw::exactly(5.0) };
        let bodies = bodies(&plan(laws, EndpointType::Embeddings, (2, true)));
        assert!(bodies[0]["input"].as_array().unwrap().iter().all(|text| words(text) == 5));
        assert_eq!((&bodies[0], &bodies[1]), (&bodies[2], &bodies[3]));
        assert_ne!(bodies[0]["input"], bodies[1]["input"]);
        assert_eq!(laws.tokens_mean(), 15.0);
    }
}
