//! Requests of a run → exact sums and counts, from which the run's single numbers are made.
//!
//! In: profiling rows. Out: [`Totals`]. Invariant: whole numbers only, so merging is exact in any order.
//! Not here: distributions ([`super::quantile`]).

use super::request::Request;
use super::tokens::is_osl_mismatch;
use super::usage::{UsageSums, is_discrepancy};
use crate::outcome::{OutcomeClass, OutcomeCounts};
use crate::record::manifest::PhaseWindow;

/// Earliest and latest of some instants, in nanoseconds.
type Span = (i64, i64);

/// Sums over the requests of a measurement.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// The measurement as the manifest tells it; null while a run has not ended.
    pub(super) phase: Option<PhaseWindow>,
    /// Outcomes of the measurement.
    pub(super) outcomes: OutcomeCounts,
    /// Tokens of prompt of valid requests.
    pub(super) input_tokens: u64,
    /// Tokens of answer of valid requests, reasoning included.
    pub(super) output_tokens: u64,
    /// Of those, reasoning.
    pub(super) reasoning_tokens: u64,
    /// What the server's `usage` said, of valid requests.
    pub(super) usage: UsageSums,
    /// Valid requests whose prompt the server counted otherwise.
    pub(super) usage_discrepancies: u64,
    /// Whether any valid request asked for a length of its answer.
    pub(super) asked_output: Option<()>,
    /// Valid requests whose answer has another length.
    pub(super) osl_mismatches: u64,
    /// Tokens of prompt of failed requests.
    pub(super) failed_input_tokens: u64,
    /// From the first sending to the last whole answer, of valid requests.
    pub(super) valid_span_ns: Option<Span>,
    /// From the first sending to the last end, of all sent requests.
    pub(super) sent_span_ns: Option<Span>,
    /// Whether the run has an SLO at all.
    pub(super) has_slo: bool,
    /// Valid requests that met it, latencies counted from sending.
    pub(super) good: u64,
    /// Valid requests that met it, latencies counted from the scheduled time.
    pub(super) scheduled_good: u64,
}

impl Totals {
    /// Counts a request of the measurement.
    pub(super) fn add(&mut self, request: &Request<'_>) {
        let row = request.row;
        self.outcomes.add(row.outcome);
        if let (Some(sent), Some(end)) = (row.sent_ns, row.end_ns) {
            extend(&mut self.sent_span_ns, (sent, end));
        }
        match row.outcome.class() {
            OutcomeClass::Completed => self.add_valid(request),
            OutcomeClass::Failed => self.failed_input_tokens += u64::from(request.input_tokens().unwrap_or(0)),
            OutcomeClass::Cancelled | OutcomeClass::NotSent => {}
        }
    }

    fn add_valid(&mut self, request: &Request<'_>) {
        let row = request.row;
        self.input_tokens += u64::from(request.input_tokens().unwrap_or(0));
        self.output_tokens += u64::from(row.output_tokens.unwrap_or(0));
        self.reasoning_tokens += u64::from(row.reasoning_tokens.unwrap_or(0));
        self.usage.add(request);
        self.usage_discrepancies +=
            u64::from(row.prompt_tokens.is_some_and(|counted| is_discrepancy(counted, row.input_tokens)));
        if let (Some(actual), Some(asked)) = (row.output_tokens, row.max_tokens) {
            self.asked_output = Some(());
            self.osl_mismatches += u64::from(is_osl_mismatch(actual, asked));
        }
        if let (Some(sent), Some(answered)) = (row.sent_ns, request.answered_ns()) {
            extend(&mut self.valid_span_ns, (sent, answered));
        }
    }

    /// Adds another's sums to these; both must be of the same run.
    pub(super) fn merge(&mut self, other: &Totals) {
        self.outcomes.merge(&other.outcomes);
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.usage.merge(&other.usage);
        self.usage_discrepancies += other.usage_discrepancies;
        self.asked_output = self.asked_output.or(other.asked_output);
        self.osl_mismatches += other.osl_mismatches;
        self.failed_input_tokens += other.failed_input_tokens;
        for (mine, theirs) in
            [(&mut self.valid_span_ns, other.valid_span_ns), (&mut self.sent_span_ns, other.sent_span_ns)]
        {
            if let Some(span) = theirs {
                extend(mine, span);
            }
        }
        self.good += other.good;
        self.scheduled_good += other.scheduled_good;
    }

    /// Valid requests.
    pub(super) fn valid(&self) -> u64 {
        self.outcomes.of_class(OutcomeClass::Completed)
    }

    /// Requests that were sent and ended by an error.
    pub(super) fn failed(&self) -> u64 {
        self.outcomes.of_class(OutcomeClass::Failed)
    }

    /// What rates divide by, in seconds: the phase, or else the span of all sent requests. Null if it is empty.
    pub(super) fn window_s(&self) -> Option<f64> {
        let (start, end) = self.window_ns()?;
        Some(end.saturating_sub(start) as f64 / 1e9)
    }

    /// The window of [`Totals::window_s`]: its start and its end.
    pub(super) fn window_ns(&self) -> Option<(i64, i64)> {
        self.phase.map(|p| (p.start_ns, p.end_ns)).or(self.sent_span_ns).filter(|(start, end)| end > start)
    }

    /// `count` per second of the window.
    pub(super) fn per_window_second(&self, count: u64) -> Option<f64> {
        Some(count as f64 / self.window_s()?)
    }

    /// `sum`, where there is a valid request at all.
    pub(super) fn any_valid(&self, sum: u64) -> Option<f64> {
        (self.valid() > 0).then_some(sum as f64)
    }
}

fn extend(span: &mut Option<Span>, by: Span) {
    let (first, last) = span.unwrap_or(by);
    *span = Some((first.min(by.0), last.max(by.1)));
}
