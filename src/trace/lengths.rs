//! Turns random streams into the lengths of requests: by law, from recorded pairs, or as a mix of two shapes.
//!
//! In: a [`Lengths`]. Out: a [`Shape`] per request. Invariants: where lengths are drawn by law, input and output have streams of
//! their own and are independent; where they come from a trace, both come from one of its requests, so that what a trace knows
//! of their correlation is kept. Not here: which requests share a prefix.

use rand::RngExt;
use rand_distr::{Distribution, LogNormal, Normal};

use super::Trace;
use super::mixture::Shape;
use crate::rng::{Rng, Seed, Stream};

/// The longest prompt or answer that is drawn, in tokens: what readers accept.
pub const MAX_TOKENS: u32 = 16 << 20;

/// How lengths vary about their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Normal, drawn again while below 1.
    Normal,
    /// Log-normal: long tails, never negative.
    LogNormal,
}

/// The distribution of one length: rounded to whole tokens, from 1 to [`MAX_TOKENS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// Mean, in tokens; of a normal law, before what is below 1 is drawn again.
    pub mean_tokens: f64,
    /// Standard deviation, in tokens; 0 gives the mean, rounded.
    pub stddev_tokens: f64,
    /// How it varies.
    pub form: Form,
}

impl Law {
    fn draw(&self, rng: &mut Rng) -> u32 {
        let whole = |tokens: f64| tokens.round().clamp(1.0, f64::from(MAX_TOKENS)) as u32;
        if self.stddev_tokens <= 0.0 {
            return whole(self.mean_tokens);
        }
        match self.form {
            Form::Normal => {
                let Ok(normal) = Normal::new(self.mean_tokens, self.stddev_tokens) else { return 1 };
                // A mean of at least 1 is met or exceeded by every second draw.
                loop {
                    let tokens = normal.sample(rng);
                    if tokens >= 0.5 {
                        return whole(tokens);
                    }
                }
            }
            Form::LogNormal => {
                // The logarithm's variance and mean that give this mean and deviation (Johnson, Kotz and Balakrishnan 1994,
                // section 14.3).
                let variance = (1.0 + (self.stddev_tokens / self.mean_tokens).powi(2)).ln();
                let law = LogNormal::new(self.mean_tokens.ln() - variance / 2.0, variance.sqrt());
                law.map_or(1, |law| whole(law.sample(rng)))
            }
        }
    }
}

/// Where the lengths of requests come from.
pub enum Lengths {
    /// Input and output independently.
    Laws {
        /// Law of the prompt.
        input: Law,
        /// Law of the answer.
        output: Law,
    },
    /// One of these, with equal probability. Must not be empty.
    Pairs(Vec<Shape>),
    /// The first shape with a probability that changes with time, else the second.
    Mix {
        /// The shape that the share speaks of.
        first: Shape,
        /// The other.
        second: Shape,
        /// The probability of the first, 0 to 1, at a time in seconds.
        share: Box<dyn Fn(f64) -> f64>,
    },
}

/// The random streams of lengths.
pub(super) struct LengthStreams {
    input: Rng,
    output: Rng,
    choice: Rng,
}

impl LengthStreams {
    pub(super) fn new(seed: Seed) -> LengthStreams {
        LengthStreams {
            input: seed.stream(Stream::InputLength),
            output: seed.stream(Stream::OutputLength),
            choice: seed.stream(Stream::Mix),
        }
    }
}

impl Lengths {
    /// Mean length of a prompt, in tokens; of a mix, that of the longer shape.
    pub fn mean_input(&self) -> f64 {
        match self {
            Lengths::Laws { input, .. } => input.mean_tokens,
            Lengths::Pairs(pairs) => pairs.iter().map(|p| f64::from(p.input_tokens)).sum::<f64>() / pairs.len() as f64,
            Lengths::Mix { first, second, .. } => f64::from(first.input_tokens.max(second.input_tokens)),
        }
    }

    /// The lengths of a request that arrives at `at_s`. `input` takes the place of the prompt's law.
    pub(super) fn draw(&self, at_s: f64, input: Option<&Law>, streams: &mut LengthStreams) -> Shape {
        let drawn = match self {
            Lengths::Laws { input: law, output } => Shape {
                input_tokens: input.unwrap_or(law).draw(&mut streams.input),
                output_tokens: output.draw(&mut streams.output),
            },
            Lengths::Pairs(pairs) => pairs[streams.choice.random_range(0..pairs.len())],
            Lengths::Mix { first, second, share } => {
                if streams.choice.random::<f64>() < share(at_s) {
                    *first
                } else {
                    *second
                }
            }
        };
        match (self, input) {
            (Lengths::Laws { .. }, _) | (_, None) => drawn,
            (_, Some(law)) => Shape { input_tokens: law.draw(&mut streams.input), ..drawn },
        }
    }
}

/// The lengths of a trace's requests that have both.
pub fn pairs(trace: &Trace) -> Vec<Shape> {
    let pair = |e: &super::Entry| match (e.input_tokens, e.output_tokens) {
        (0, _) | (_, None) => None,
        (input_tokens, Some(output_tokens)) => Some(Shape { input_tokens, output_tokens }),
    };
    trace.entries.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(lengths: &Lengths, count: usize) -> Vec<(f64, f64)> {
        let mut streams = LengthStreams::new(Seed(6));
        let pair = |shape: Shape| (f64::from(shape.input_tokens), f64::from(shape.output_tokens));
        (0..count).map(|i| pair(lengths.draw(i as f64, None, &mut streams))).collect()
    }

    fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        (mean, (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    fn correlation(pairs: &[(f64, f64)]) -> f64 {
        let ((x, sx), (y, sy)) = (moments(pairs.iter().map(|p| p.0)), moments(pairs.iter().map(|p| p.1)));
        pairs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / pairs.len() as f64 / sx / sy
    }

    fn law(mean_tokens: f64, stddev_tokens: f64, form: Form) -> Law {
        Law { mean_tokens, stddev_tokens, form }
    }

    #[test]
    fn laws_have_their_moments_and_are_independent() {
        for form in [Form::Normal, Form::LogNormal] {
            let lengths = Lengths::Laws { input: law(2000.0, 500.0, form), output: law(300.0, 60.0, form) };
            let drawn = draws(&lengths, 20_000);
            // Standard errors: 3.5 and 0.42 of the means, 0.7 % of the deviations (twice that for the log-normal).
            let ((input, s_in), (output, s_out)) =
                (moments(drawn.iter().map(|d| d.0)), moments(drawn.iter().map(|d| d.1)));
            assert!((input - 2000.0).abs() < 14.0 && (output - 300.0).abs() < 1.7, "seed 6: {input}, {output}");
            assert!((s_in / 500.0 - 1.0).abs() < 0.05 && (s_out / 60.0 - 1.0).abs() < 0.05, "seed 6: {s_in}, {s_out}");
            // One uniform for both would give a correlation near 1.
            assert!(correlation(&drawn).abs() < 0.03, "seed 6: {}", correlation(&drawn));
        }
        let exact = Lengths::Laws { input: law(7.4, 0.0, Form::Normal), output: law(0.2, 0.0, Form::LogNormal) };
        assert_eq!(draws(&exact, 2), [(7.0, 1.0); 2]);
        let low = Lengths::Laws { input: law(1.0, 50.0, Form::Normal), output: law(1.0, 9.0, Form::LogNormal) };
        assert!(draws(&low, 2000).iter().all(|d| d.0 >= 1.0 && d.1 >= 1.0));
    }

    #[test]
    fn pairs_are_drawn_jointly_and_keep_their_correlation() {
        // Long prompts have short answers here.
        let recorded: Vec<Shape> =
            (1..=400).map(|i| Shape { input_tokens: i * 10, output_tokens: 900 - 2 * i + (i * 7919) % 200 }).collect();
        let as_numbers = |s: &Shape| (f64::from(s.input_tokens), f64::from(s.output_tokens));
        let of_trace = correlation(&recorded.iter().map(as_numbers).collect::<Vec<_>>());
        let drawn = draws(&Lengths::Pairs(recorded.clone()), 20_000);
        assert!(of_trace < -0.9 && (correlation(&drawn) - of_trace).abs() < 0.01, "{of_trace}");
        assert!(drawn.iter().all(|d| recorded.iter().any(|s| as_numbers(s) == *d)), "no pair is made up");
    }

    #[test]
    fn shares_follow_their_curve() {
        let shape = |input_tokens| Shape { input_tokens, output_tokens: 5 };
        let share = Box::new(|t_s: f64| if t_s < 10_000.0 { 0.2 } else { 0.9 });
        let drawn = draws(&Lengths::Mix { first: shape(1), second: shape(2), share }, 20_000);
        let first = |part: &[(f64, f64)]| part.iter().filter(|d| d.0 == 1.0).count() as f64 / part.len() as f64;
        let (early, late) = (first(&drawn[..10_000]), first(&drawn[10_000..]));
        assert!((early - 0.2).abs() < 0.012 && (late - 0.9).abs() < 0.009, "seed 6: {early}, {late}");
    }
}
