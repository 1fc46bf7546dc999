//! Lengths of requests and answers, in tokens.

use super::registry::{Compute, Metric};
use super::totals::Totals;
use super::{Better, MetricDef, Unit};

/// A sum over requests.
const fn total(
    name: &'static str,
    title: &'static str,
    formula: &'static str,
    compute: fn(&Totals) -> Option<f64>,
) -> Metric {
    Metric {
        def: MetricDef { name, title, unit: Unit::Tokens, better: Better::Neither, formula },
        compute: Compute::Total(compute),
    }
}

pub(super) const INPUT_SEQUENCE_LENGTH: Metric = Metric::neutral(
    "input_sequence_length",
    "Input Sequence Length",
    Unit::Tokens,
    "prompt tokens by the server's count, else as asked for",
    |r| r.input_tokens().map(f64::from),
);

pub(super) const OUTPUT_SEQUENCE_LENGTH: Metric = Metric::neutral(
    "output_sequence_length",
    "Output Sequence Length",
    Unit::Tokens,
    "output tokens, reasoning included",
    |r| r.row.output_tokens.map(f64::from),
);

pub(super) const OUTPUT_TOKEN_COUNT: Metric = Metric::neutral(
    "output_token_count",
    "Output Token Count",
    Unit::Tokens,
    "output tokens without reasoning, where any",
    |r| {
        let reasoning = r.row.reasoning_tokens.unwrap_or(0);
        r.row.output_tokens.map(|n| n.saturating_sub(reasoning)).filter(|&n| n > 0).map(f64::from)
    },
);

pub(super) const REASONING_TOKEN_COUNT: Metric = Metric::neutral(
    "reasoning_token_count",
    "Reasoning Token Count",
    Unit::Tokens,
    "reasoning tokens, where any",
    |r| r.row.reasoning_tokens.filter(|&n| n > 0).map(f64::from),
);

pub(super) const ISL_MISMATCH_DIFF_PCT: Metric = Metric::neutral(
    "isl_mismatch_diff_pct",
    "ISL Mismatch Diff %",
    Unit::Percent,
    "100 · (prompt tokens by the server's count − asked for) / asked for",
    |r| difference_pct(r.row.prompt_tokens?, r.row.input_tokens),
);

pub(super) const OSL_MISMATCH_DIFF_PCT: Metric = Metric::neutral(
    "osl_mismatch_diff_pct",
    "OSL Mismatch Diff %",
    Unit::Percent,
    "100 · (output tokens − asked for) / asked for",
    |r| difference_pct(r.row.output_tokens?, r.row.max_tokens?),
);

pub(super) fn difference_pct(actual: u32, asked: u32) -> Option<f64> {
    (asked > 0).then(|| 100.0 * (f64::from(actual) - f64::from(asked)) / f64::from(asked))
}

pub(super) const OSL_MISMATCH_COUNT: Metric = Metric {
    def: MetricDef {
        name: "osl_mismatch_count",
        title: "OSL Mismatch Count",
        unit: Unit::Requests,
        better: Better::Lower,
        formula: "valid requests whose answer is off by more than the lesser of 5 % and 50 tokens",
    },
    compute: Compute::Total(|t| t.asked_output.map(|_| t.osl_mismatches as f64)),
};

/// Whether an answer's length is worth telling: off by more than 5 % of what was asked for, or by more than 50 tokens.
pub(super) fn is_osl_mismatch(actual: u32, asked: u32) -> bool {
    f64::from(actual.abs_diff(asked)) > (f64::from(asked) * 0.05).min(50.0)
}

pub(super) const TOTAL_ISL: Metric =
    total("total_isl", "Total Input Sequence Length", "sum of input sequence lengths", |t| t.any_valid(t.input_tokens));

pub(super) const TOTAL_OSL: Metric =
    total("total_osl", "Total Output Sequence Length", "sum of output sequence lengths", |t| {
        t.any_valid(t.output_tokens).filter(|&n| n > 0.0)
    });

pub(super) const TOTAL_OUTPUT_TOKENS: Metric =
    total("total_output_tokens", "Total Output Tokens", "sum of output tokens without reasoning", |t| {
        t.any_valid(t.output_tokens.saturating_sub(t.reasoning_tokens)).filter(|_| t.output_tokens > 0)
    });

pub(super) const TOTAL_REASONING_TOKENS: Metric =
    total("total_reasoning_tokens", "Total Reasoning Tokens", "sum of reasoning tokens, where any", |t| {
        t.any_valid(t.reasoning_tokens).filter(|&n| n > 0.0)
    });

pub(super) const ERROR_ISL: Metric = Metric {
    def: MetricDef {
        name: "error_isl",
        title: "Error Input Sequence Length",
        unit: Unit::Tokens,
        better: Better::Neither,
        formula: "prompt tokens of requests that failed",
    },
    compute: Compute::Failed(|r| r.input_tokens().map(f64::from)),
};

pub(super) const TOTAL_ERROR_ISL: Metric =
    total("total_error_isl", "Total Error Input Sequence Length", "sum of input lengths of failed requests", |t| {
        (t.failed() > 0).then_some(t.failed_input_tokens as f64)
    });
