//! Whether the load that the server saw was the load that was asked for: arrivals, turns, lengths, prefix cache, descriptors.

use crate::analysis::fidelity::{Fidelity, MOVED_LAG_MS_MIN};
use crate::metrics::{Stats, Summary, Value};
use crate::outcome::{ABORTED, Outcome};
use crate::record::manifest::Manifest;

/// Largest difference between the prompt tokens that the server counts and those that were asked for, on the mean.
const PROMPT_DIFF_PCT_MAX: f64 = 5.0;
/// Tokens that a chat template may add to each prompt beyond that.
const TEMPLATE_TOKENS_MAX: f64 = 64.0;
/// Largest difference between the answers' lengths and those that were asked for, on the mean.
const OUTPUT_DIFF_PCT_MAX: f64 = 5.0;
/// How much warmer than the schedule implies the prefix cache may be, as a share of all prompt tokens.
const CACHE_EXCESS_SHARE_MAX: f64 = 0.01;

/// Largest share of the requests that may be sent in another second than planned.
const MOVED_SHARE_MAX: f64 = 0.05;

/// Arrivals whose rate over time is not the planned one.
pub(super) fn arrivals_moved(fidelity: &Fidelity) -> Option<String> {
    let arrivals = fidelity.arrivals.as_ref()?;
    let share = arrivals.moved as f64 / arrivals.planned.max(1) as f64;
    let rate = |rps: Option<f64>| rps.map_or_else(|| "none".into(), |rps| format!("{rps:.2} requests/s"));
    (share > MOVED_SHARE_MAX).then(|| {
        format!(
            "{:.1} % of the requests were sent in another second than planned and over {MOVED_LAG_MS_MIN:.0} ms late, or not at \
             all, so the rate over time was not the planned one ({} instead of {}); \
             use more workers, raise --max-in-flight, or lower the load",
            100.0 * share,
            rate(arrivals.sent_rps),
            rate(arrivals.planned_rps)
        )
    })
}

/// Turns that did not wait for the answers before them.
pub(super) fn turns_early(fidelity: &Fidelity) -> Option<String> {
    let sessions = fidelity.sessions.as_ref().filter(|s| s.early > 0)?;
    Some(format!(
        "{} of {} turns were sent before the previous turn of their session had ended, which is a fault of loadline itself; \
         report it with this run's run.json",
        sessions.early, sessions.turns
    ))
}

/// Prompts that are longer or shorter for the server than for us.
pub(super) fn prompts_off(summary: &Summary) -> Option<String> {
    let diff = distribution(summary, "isl_mismatch_diff_pct")?;
    let counted = distribution(summary, "input_sequence_length")?.mean;
    let template_pct = 100.0 * TEMPLATE_TOKENS_MAX / counted.max(1.0);
    let off = diff.mean < -PROMPT_DIFF_PCT_MAX || diff.mean > PROMPT_DIFF_PCT_MAX.max(template_pct);
    off.then(|| {
        format!(
            "the server counts {:+.1} % prompt tokens on the mean against what was asked for, beyond {PROMPT_DIFF_PCT_MAX:.0} % \
             and a chat template; check that its tokenizer is of a family whose words loadline knows",
            diff.mean
        )
    })
}

/// Answers that are shorter or longer than asked for.
pub(super) fn answers_off(summary: &Summary) -> Option<String> {
    let diff = distribution(summary, "osl_mismatch_diff_pct")?;
    (diff.mean.abs() > OUTPUT_DIFF_PCT_MAX).then(|| {
        format!(
            "answers were {:+.1} % as long as asked for on the mean, beyond {OUTPUT_DIFF_PCT_MAX:.0} %, so the load was another \
             one; add --extra-inputs ignore_eos:true if the server knows it",
            diff.mean
        )
    })
}

/// A prefix cache that held more than this run can have put into it.
pub(super) fn cache_too_warm(manifest: &Manifest, summary: &Summary) -> Option<String> {
    let expected = manifest.config.get("expected_cached_tokens")?.as_f64()?;
    let cached = distribution(summary, "usage_prompt_cache_read_tokens")?.sum;
    let prompts = distribution(summary, "usage_prompt_tokens")?.sum;
    let excess = (cached - expected) / prompts.max(1.0);
    (excess > CACHE_EXCESS_SHARE_MAX).then(|| {
        format!(
            "the server's prefix cache held {:.1} % of the prompt tokens, and the schedule explains at most {:.1} %; \
             clear the cache, or use another --random-seed than the last run's",
            100.0 * cached / prompts.max(1.0),
            100.0 * expected / prompts.max(1.0)
        )
    })
}

/// Conversations that are not wholly those that were had.
pub(super) fn replies_stood_in(manifest: &Manifest) -> Option<String> {
    let count: u64 = manifest.workers.iter().map(|w| w.replies_stood_in).sum();
    (count > 0).then(|| {
        format!(
            "planned answers stood in for {count} of the server's replies in the conversations behind them, since those failed, \
             were longer than 16 bytes per token asked for, or were no text; set --osl to what the model says, or use --history \
             planned"
        )
    })
}

/// A run that an overload ended.
pub(super) fn aborted(manifest: &Manifest, summary: &Summary) -> Option<String> {
    let behind = summary.errors.iter().filter(|e| e.outcome == Outcome::NotSent && e.message.starts_with(ABORTED));
    let count: u64 = behind.map(|e| e.count).sum();
    (count > 0).then(|| {
        format!(
            "an overload ended the run with {count} of {} scheduled requests not sent, so the numbers are those of its beginning; \
             raise --max-in-flight or the file limits, or lower the load",
            manifest.counts.scheduled
        )
    })
}

/// Connections that this process had no descriptors for.
pub(super) fn out_of_descriptors(summary: &Summary) -> Option<String> {
    let starved = summary.errors.iter().filter(|e| e.message.contains("Too many open files"));
    let count: u64 = starved.map(|e| e.count).sum();
    (count > 0).then(|| {
        format!(
            "{count} requests found no file descriptor for their connection; raise the limit (ulimit -n) or lower the \
             requests in flight with --concurrency"
        )
    })
}

fn distribution<'a>(summary: &'a Summary, name: &str) -> Option<&'a Stats> {
    match summary.get(name)? {
        Value::Distribution(stats) => Some(stats),
        Value::Scalar(_) | Value::OverTime(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge;
    use super::super::tests::check;
    use crate::analysis::fidelity::{Arrivals, Causality, Fidelity};
    use crate::analysis::fixture::{distribution as numbers, manifest, no_numbers};
    use crate::record::manifest::Judgement::{Invalid, Suspect, Valid};

    #[test]
    fn arrivals_that_moved_and_turns_that_did_not_wait_speak_against_a_run() {
        let arrivals = |moved| Arrivals {
            planned: 100,
            sent: 100,
            planned_rps: Some(10.0),
            sent_rps: Some(7.5),
            lag_p50_ms: Some(0.0),
            lag_p99_ms: Some(900.0),
            lag_max_ms: Some(900.0),
            moved,
            planned_idc_1s: None,
            sent_idc_1s: None,
        };
        let judged = |moved, early| {
            let sessions = Some(Causality { sessions: 3, turns: 9, early, early_max_ms: None });
            let fidelity = Fidelity { arrivals: Some(arrivals(moved)), sessions, ..Fidelity::default() };
            judge(&manifest(), &no_numbers(), &fidelity)
        };
        assert_eq!(judged(5, 0).judgement, Valid);
        let moved = judged(6, 0);
        assert_eq!((moved.judgement, moved.reasons.len()), (Suspect, 1));
        assert!(
            moved.reasons[0].starts_with("6.0 % of the requests")
                && moved.reasons[0].contains("(7.50 requests/s instead of 10.00 requests/s); ")
        );
        let early = judged(0, 1);
        assert_eq!((early.judgement, early.reasons.len()), (Invalid, 1));
        assert!(early.reasons[0].starts_with("1 of 9 turns were sent before"), "{early:?}");
    }

    #[test]
    fn lengths_that_are_not_those_asked_for_make_it_suspect() {
        let isl = |diff: f64, length: f64| {
            [
                ("isl_mismatch_diff_pct", numbers(10, &[diff, diff])),
                ("input_sequence_length", numbers(10, &[length, length])),
            ]
        };
        check(|_| {}, &isl(5.1, 2000.0), Suspect, &["+5.1 % prompt tokens"]);
        check(|_| {}, &isl(-5.1, 100.0), Suspect, &["-5.1 % prompt tokens"]);
        check(|_| {}, &isl(20.0, 100.0), Valid, &[]);
        check(|_| {}, &[("osl_mismatch_diff_pct", numbers(10, &[-40.0, -40.0]))], Suspect, &["-40.0 % as long"]);
    }

    #[test]
    fn replies_that_could_not_be_sent_on_make_it_suspect() {
        check(|m| m.workers[1].replies_stood_in = 3, &[], Suspect, &["stood in for 3 of the server's replies"]);
    }

    #[test]
    fn a_cache_warmer_than_the_schedule_makes_it_suspect() {
        let usage = |cached: f64| {
            [
                ("usage_prompt_cache_read_tokens", numbers(10, &[cached, cached])),
                ("usage_prompt_tokens", numbers(10, &[100.0, 100.0])),
            ]
        };
        check(
            |m| m.config = serde_json::json!({"expected_cached_tokens": 300}),
            &usage(32.0),
            Suspect,
            &["held 32.0 %"],
        );
        check(|m| m.config = serde_json::json!({"expected_cached_tokens": 320}), &usage(32.0), Valid, &[]);
    }
}
