//! Manifest and numbers → whether the numbers can be trusted, and if not, why and what to do.
//!
//! In: the manifest as it is written at the end of a run, the run's summary and its fidelity. Out: a [`Verdict`].
//! Invariants: pure; valid exactly when there is no reason; reasons stand worst first; each is one sentence with its
//! figure and its remedy.
//! Not here: whether the service met its objective. That is the result, not its quality.

mod client;
mod load;

use super::fidelity::Fidelity;
use crate::metrics::{PERCENTILES, Stats, Summary, Unit, Value};
use crate::record::manifest::{Judgement, Manifest, RunState, Verdict, WorkerSummary};

/// Largest share of token rows that may be missing.
pub const TOKENS_LOST_SHARE_MAX: f64 = 1e-3;
/// Send lag (p99) beyond which a run is suspect, whatever it measured.
pub const SEND_LAG_P99_MS_MAX: f64 = 10.0;
/// Send lag (p99) beyond which a run is suspect, as a share of the TTFT that it is about.
pub const SEND_LAG_SHARE_OF_TTFT_MAX: f64 = 0.05;
/// Longest time that a worker may keep a due request waiting.
pub const STALL_MS_MAX: f64 = 50.0;
/// Largest share of the wall time that a worker may compute.
pub const WORKER_CPU_SHARE_MAX: f64 = 0.9;
/// Largest share of the sent requests that may fail.
pub const FAILED_SHARE_MAX: f64 = 0.05;

/// Judges a run. `manifest.state` must already say how the run ended.
pub fn judge(manifest: &Manifest, summary: &Summary, fidelity: &Fidelity) -> Verdict {
    let mut reasons: Vec<(Judgement, String)> = Vec::new();
    reasons.extend(not_ended(manifest).map(|r| (Judgement::Invalid, r)));
    reasons.extend(not_conserved(manifest).map(|r| (Judgement::Invalid, r)));
    reasons.extend(load::turns_early(fidelity).map(|r| (Judgement::Invalid, r)));
    reasons.extend(nothing_measured(manifest).map(|r| (Judgement::Invalid, r)));
    reasons.extend(tokens_lost(manifest).map(|r| (Judgement::Invalid, r)));
    reasons.extend(load::aborted(manifest, summary).map(|r| (Judgement::Suspect, r)));
    reasons.extend(not_sent(manifest).map(|r| (Judgement::Suspect, r)));
    reasons.extend(sent_late(manifest, summary).map(|r| (Judgement::Suspect, r)));
    let suspicions = [
        load::arrivals_moved(fidelity),
        stalled(manifest),
        client::paused(manifest),
        client::crowded(manifest),
        client::robbed(manifest),
        client::clock_jumped(manifest),
        computing(manifest),
        load::out_of_descriptors(summary),
        failed(manifest),
        load::prompts_off(summary),
        load::answers_off(summary),
        load::cache_too_warm(manifest, summary),
        load::replies_stood_in(manifest),
    ];
    reasons.extend(suspicions.into_iter().flatten().map(|r| (Judgement::Suspect, r)));
    Verdict {
        judgement: reasons.first().map_or(Judgement::Valid, |(worst, _)| *worst),
        reasons: reasons.into_iter().map(|(_, text)| text).collect(),
    }
}

fn not_ended(manifest: &Manifest) -> Option<String> {
    (manifest.state == RunState::Running).then(|| {
        "the run did not end (killed or crashed), so what came after the last flush is missing; \
         run it again to its end"
            .into()
    })
}

fn not_conserved(manifest: &Manifest) -> Option<String> {
    let counts = &manifest.counts;
    // A run that did not end never wrote its counts.
    if manifest.state == RunState::Running || counts.accounted() == counts.scheduled {
        return None;
    }
    Some(format!(
        "{} requests were scheduled and {} have an outcome, which is a fault of loadline itself; \
         report it with this run's run.json",
        counts.scheduled,
        counts.accounted()
    ))
}

fn nothing_measured(manifest: &Manifest) -> Option<String> {
    let counts = &manifest.counts;
    (manifest.state != RunState::Running && counts.completed == 0).then(|| {
        format!(
            "none of {} scheduled requests was completed, so nothing was measured; \
             look at the errors by kind, and let the run go on until answers have come",
            counts.scheduled
        )
    })
}

fn tokens_lost(manifest: &Manifest) -> Option<String> {
    let counts = &manifest.counts;
    let all = counts.tokens_recorded.saturating_add(counts.tokens_lost);
    let share = counts.tokens_lost as f64 / all.max(1) as f64;
    (share > TOKENS_LOST_SHARE_MAX).then(|| {
        format!(
            "{} of {all} token rows ({:.2} %) were lost because the disk was slower than the stream; \
             write to a faster disk or lower the load",
            counts.tokens_lost,
            share * 100.0
        )
    })
}

fn not_sent(manifest: &Manifest) -> Option<String> {
    let counts = &manifest.counts;
    (manifest.state == RunState::Complete && counts.not_sent > 0).then(|| {
        format!(
            "{} of {} scheduled requests were not sent, so the offered load was not the one asked for; \
             look at their reasons, and raise --max-in-flight or the file limits, or lower the load",
            counts.not_sent, counts.scheduled
        )
    })
}

fn sent_late(manifest: &Manifest, summary: &Summary) -> Option<String> {
    let lag_ms = percentile_ms(summary, "send_lag", 99.0)?;
    let slo_ms = manifest.slo.iter().find(|s| s.metric == "time_to_first_token").map(|s| s.bound);
    let (ttft_ms, of) = match slo_ms {
        Some(bound) => (Some(bound), "the TTFT bound"),
        None => (percentile_ms(summary, "time_to_first_token", 50.0), "the median TTFT"),
    };
    let relative_ms = ttft_ms.map_or(f64::INFINITY, |ttft| ttft * SEND_LAG_SHARE_OF_TTFT_MAX);
    let (limit_ms, limit) = if relative_ms < SEND_LAG_P99_MS_MAX {
        (relative_ms, format!("{:.0} % of {of}", SEND_LAG_SHARE_OF_TTFT_MAX * 100.0))
    } else {
        (SEND_LAG_P99_MS_MAX, "the most that is accepted".into())
    };
    (lag_ms > limit_ms).then(|| {
        format!(
            "1 % of the requests were sent {lag_ms:.2} ms or more after their time, above {limit_ms:.2} ms ({limit}); \
             use more workers or an idle client machine, or read the latencies that count from the schedule"
        )
    })
}

fn stalled(manifest: &Manifest) -> Option<String> {
    let worst = manifest.workers.iter().max_by_key(|w| w.stall_max_ns)?;
    let stall_ms = worst.stall_max_ns as f64 / 1e6;
    (stall_ms > STALL_MS_MAX).then(|| {
        format!(
            "worker {} kept a due request waiting for {stall_ms:.1} ms, above {STALL_MS_MAX:.0} ms; \
             give the client cores that nothing else uses",
            worst.worker
        )
    })
}

fn computing(manifest: &Manifest) -> Option<String> {
    // Time that was spun away before sends was free for work.
    let worked_ns = |w: &WorkerSummary| w.cpu_ns.saturating_sub(w.spun_ns);
    let worst = manifest.workers.iter().max_by_key(|w| worked_ns(w))?;
    let share = worked_ns(worst) as f64 / wall_ns(manifest)? as f64;
    (share > WORKER_CPU_SHARE_MAX).then(|| {
        format!(
            "worker {} was computing {:.0} % of the time, above {:.0} %, so the client may have set the pace; \
             use more workers or more client machines",
            worst.worker,
            share * 100.0,
            WORKER_CPU_SHARE_MAX * 100.0
        )
    })
}

fn failed(manifest: &Manifest) -> Option<String> {
    let counts = &manifest.counts;
    let sent = counts.completed + counts.failed + counts.cancelled;
    let share = counts.failed as f64 / sent.max(1) as f64;
    (share > FAILED_SHARE_MAX).then(|| {
        format!(
            "{} of {sent} sent requests ({:.1} %) failed, and the latencies are those of the others alone; \
             look at the errors by kind, then lower the load or mend the endpoint",
            counts.failed,
            share * 100.0
        )
    })
}

/// The time that workers ran for, by the phases that the manifest tells of.
fn wall_ns(manifest: &Manifest) -> Option<i64> {
    let phases = [manifest.warmup, manifest.profiling];
    let start = phases.iter().flatten().map(|p| p.start_ns).min()?;
    let end = phases.iter().flatten().map(|p| p.end_ns).max()?;
    (end > start).then(|| end.saturating_sub(start))
}

fn percentile_ms(summary: &Summary, name: &str, percent: f64) -> Option<f64> {
    let (def, value) = summary.values.iter().find(|(def, _)| def.name == name)?;
    let Value::Distribution(Stats { percentiles, .. }) = value else { return None };
    let value = percentiles[PERCENTILES.iter().position(|&p| p == percent)?];
    match def.unit {
        Unit::Milliseconds => Some(value),
        Unit::Seconds => Some(value * 1e3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{distribution, manifest, no_numbers, slo, with};
    use crate::record::manifest::PhaseWindow;

    /// A manifest changed by `change` and numbers changed by `values` are judged so, with these words in the reasons.
    pub(super) fn check(
        change: fn(&mut Manifest),
        values: &[(&'static str, Value)],
        expect: Judgement,
        words: &[&str],
    ) {
        let mut m = manifest();
        change(&mut m);
        let verdict = judge(&m, &with(no_numbers(), values), &Fidelity::default());
        assert_eq!(verdict.judgement, expect, "{:?}", verdict.reasons);
        assert_eq!(verdict.reasons.len(), words.len(), "{:?}", verdict.reasons);
        for (reason, word) in verdict.reasons.iter().zip(words) {
            assert!(reason.contains(word), "`{word}` is not in `{reason}`");
            assert!(reason.contains("; "), "no remedy in `{reason}`");
        }
    }

    fn lag(p99: f64) -> (&'static str, Value) {
        ("send_lag", distribution(100, &[0.0, p99]))
    }

    #[test]
    fn an_ordinary_run_is_valid() {
        check(|_| {}, &[lag(9.9)], Judgement::Valid, &[]);
    }

    #[test]
    fn a_broken_sum_lost_rows_and_a_crash_make_it_invalid() {
        check(|m| m.counts.completed -= 1, &[], Judgement::Invalid, &["240 requests were scheduled and 239"]);
        check(|m| (m.counts.tokens_recorded, m.counts.tokens_lost) = (998, 2), &[], Judgement::Invalid, &["0.20 %"]);
        check(|m| (m.counts.tokens_recorded, m.counts.tokens_lost) = (9990, 10), &[], Judgement::Valid, &[]);
        check(|m| m.state = RunState::Running, &[], Judgement::Invalid, &["did not end"]);
        check(
            |m| (m.state, m.counts) = (RunState::Running, Default::default()),
            &[],
            Judgement::Invalid,
            &["did not end"],
        );
    }

    #[test]
    fn a_run_without_an_answer_measured_nothing() {
        check(
            |m| (m.counts.completed, m.counts.cancelled, m.counts.failed) = (0, 240, 0),
            &[],
            Judgement::Invalid,
            &["none of 240 scheduled"],
        );
    }

    #[test]
    fn requests_that_were_not_sent_make_it_suspect_unless_the_user_stopped_it() {
        check(|m| (m.counts.completed, m.counts.not_sent) = (230, 8), &[], Judgement::Suspect, &["8 of 240"]);
        check(
            |m| (m.counts.completed, m.counts.not_sent, m.state) = (230, 8, RunState::Interrupted),
            &[],
            Judgement::Valid,
            &[],
        );
    }

    #[test]
    fn the_send_lag_is_held_against_the_tightest_of_three_bounds() {
        check(|_| {}, &[lag(10.5)], Judgement::Suspect, &["10.40 ms or more after their time, above 10.00 ms"]);
        check(
            |m| m.slo = slo(&[("time_to_first_token", 100.0)]),
            &[lag(5.2)],
            Judgement::Suspect,
            &["above 5.00 ms (5 % of the TTFT bound)"],
        );
        let ttft = ("time_to_first_token", distribution(100, &[60.0, 60.0]));
        check(|m| m.slo.clear(), &[lag(3.1), ttft.clone()], Judgement::Suspect, &["3.00 ms (5 % of the median TTFT)"]);
        check(|m| m.slo.clear(), &[lag(2.9), ttft], Judgement::Valid, &[]);
    }

    #[test]
    fn a_worker_that_stalls_or_never_rests_makes_it_suspect() {
        check(|m| m.workers[1].stall_max_ns = 50_100_000, &[], Judgement::Suspect, &["worker 1 kept"]);
        check(
            |m| {
                m.profiling = Some(PhaseWindow { start_ns: 0, end_ns: 1_000 });
                m.workers = vec![WorkerSummary { worker: 7, cpu_ns: 910, ..Default::default() }];
            },
            &[],
            Judgement::Suspect,
            &["worker 7 was computing 91 %"],
        );
    }

    #[test]
    fn the_worst_reason_stands_first_and_decides() {
        check(
            |m| (m.counts.failed, m.counts.tokens_lost) = (20, 9_000_000),
            &[lag(10.5)],
            Judgement::Invalid,
            &["258 have an outcome", "token rows", "after their time", "20 of 258 sent requests (7.8 %)"],
        );
    }
}
