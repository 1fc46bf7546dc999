//! Tokens that were asked for against those that came: prompts by the server's count, answers by the row's.
//!
//! Only completed requests count: of the others nothing, or half, is known.

use serde::Serialize;

use crate::outcome::Outcome;
use crate::record::row::RequestRow;

/// Errors of prompt lengths: what the server counted minus what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InputTokens {
    /// Prompts whose tokens the server told.
    pub n: u64,
    /// No error.
    pub exact: u64,
    /// One token more or less.
    pub within_1: u64,
    /// Of the others: up to 1 % of what was asked for.
    pub within_1_pct: u64,
    /// Of the others: up to 5 %.
    pub within_5_pct: u64,
    /// The rest.
    pub beyond: u64,
    /// Mean error, signed, in tokens.
    pub mean_error_tokens: f64,
    /// Mean of the errors as a share of what was asked for, signed, in per cent.
    pub mean_error_pct: f64,
    /// Least error. Equal to the largest where each prompt gets the same addition, as by a chat template.
    pub min_error_tokens: i64,
    /// Largest error.
    pub max_error_tokens: i64,
}

impl InputTokens {
    /// The classes of error, nearest first: name and number of prompts.
    pub fn classes(&self) -> [(&'static str, u64); 5] {
        [
            ("exact", self.exact),
            ("± 1 token", self.within_1),
            ("± 1 %", self.within_1_pct),
            ("± 5 %", self.within_5_pct),
            ("beyond", self.beyond),
        ]
    }
}

#[derive(Debug, Default)]
pub(super) struct InputFold {
    numbers: InputTokens,
    sum_tokens: i64,
    sum_pct: f64,
}

impl InputFold {
    pub(super) fn add(&mut self, row: &RequestRow) {
        let (true, asked, Some(counted)) = (row.outcome == Outcome::Completed, row.input_tokens, row.prompt_tokens)
        else {
            return;
        };
        if asked == 0 {
            return;
        }
        let error = i64::from(counted) - i64::from(asked);
        let percent = 100.0 * error as f64 / f64::from(asked);
        let n = &mut self.numbers;
        *match (error.abs(), percent.abs()) {
            (0, _) => &mut n.exact,
            (1, _) => &mut n.within_1,
            (_, p) if p <= 1.0 => &mut n.within_1_pct,
            (_, p) if p <= 5.0 => &mut n.within_5_pct,
            _ => &mut n.beyond,
        } += 1;
        (n.min_error_tokens, n.max_error_tokens) = match n.n {
            0 => (error, error),
            _ => (error.min(n.min_error_tokens), error.max(n.max_error_tokens)),
        };
        n.n += 1;
        self.sum_tokens += error;
        self.sum_pct += percent;
    }

    pub(super) fn finish(self) -> Option<InputTokens> {
        let InputFold { numbers, sum_tokens, sum_pct } = self;
        let n = numbers.n as f64;
        (numbers.n > 0).then(|| InputTokens {
            mean_error_tokens: sum_tokens as f64 / n,
            mean_error_pct: sum_pct / n,
            ..numbers
        })
    }
}

/// Lengths of answers against the limits that were sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OutputTokens {
    /// Answers whose length and limit are known.
    pub n: u64,
    /// As long as asked for.
    pub as_asked: u64,
    /// Shorter.
    pub shorter: u64,
    /// Longer.
    pub longer: u64,
    /// Tokens that were asked for.
    pub asked_tokens: u64,
    /// Tokens that were given.
    pub given_tokens: u64,
    /// Mean of the errors as a share of what was asked for, signed, in per cent.
    pub mean_error_pct: f64,
}

#[derive(Debug, Default)]
pub(super) struct OutputFold {
    numbers: OutputTokens,
    sum_pct: f64,
}

impl OutputFold {
    pub(super) fn add(&mut self, row: &RequestRow) {
        let (Outcome::Completed, Some(asked), Some(given)) = (row.outcome, row.max_tokens, row.output_tokens) else {
            return;
        };
        let n = &mut self.numbers;
        n.n += 1;
        *match given.cmp(&asked) {
            std::cmp::Ordering::Less => &mut n.shorter,
            std::cmp::Ordering::Equal => &mut n.as_asked,
            std::cmp::Ordering::Greater => &mut n.longer,
        } += 1;
        n.asked_tokens += u64::from(asked);
        n.given_tokens += u64::from(given);
        self.sum_pct += 100.0 * (f64::from(given) - f64::from(asked)) / f64::from(asked.max(1));
    }

    pub(super) fn finish(self) -> Option<OutputTokens> {
        let OutputFold { numbers, sum_pct } = self;
        let n = numbers.n;
        (n > 0).then(|| OutputTokens { mean_error_pct: sum_pct / n as f64, ..numbers })
    }
}
