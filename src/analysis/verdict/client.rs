//! What the client's machine did to the run: other work on its cores, a hypervisor, a wall clock that jumped.

use super::wall_ns;
use crate::record::manifest::Manifest;

/// Longest time that a worker may go without a look at its schedule.
const GAP_MS_MAX: f64 = 40.0;
/// Largest share of the wall time that a worker may wait for its core.
const RUN_DELAY_SHARE_MAX: f64 = 0.05;
/// Largest share of the machine's time that a hypervisor may take away.
const STEAL_SHARE_MAX: f64 = 0.02;

/// A worker that was stopped, or was kept busy by one thing.
pub(super) fn paused(manifest: &Manifest) -> Option<String> {
    let worst = manifest.workers.iter().max_by_key(|w| w.gap_max_ns)?;
    let gap_ms = worst.gap_max_ns as f64 / 1e6;
    (gap_ms > GAP_MS_MAX).then(|| {
        format!(
            "worker {} did not look at its schedule for {gap_ms:.1} ms, above {GAP_MS_MAX:.0} ms; \
             give the client cores that nothing else uses",
            worst.worker
        )
    })
}

/// A worker whose core others used too.
pub(super) fn crowded(manifest: &Manifest) -> Option<String> {
    let worst = manifest.workers.iter().max_by_key(|w| w.run_delay_ns)?;
    let share = worst.run_delay_ns as f64 / wall_ns(manifest)? as f64;
    (share > RUN_DELAY_SHARE_MAX).then(|| {
        format!(
            "worker {} waited for its core {:.1} % of the time because other programs ran on it, above {:.0} %; \
             give the client cores that nothing else uses",
            worst.worker,
            share * 100.0,
            RUN_DELAY_SHARE_MAX * 100.0
        )
    })
}

/// A virtual machine whose host was overcommitted.
pub(super) fn robbed(manifest: &Manifest) -> Option<String> {
    let machine_ns = wall_ns(manifest)?.saturating_mul(i64::from(manifest.host.cpus.max(1)));
    let share = manifest.steal_ns as f64 / machine_ns as f64;
    (share > STEAL_SHARE_MAX).then(|| {
        format!(
            "the hypervisor took {:.1} % of this machine's time away, above {:.0} %; \
             run the client on a machine with cores of its own",
            share * 100.0,
            STEAL_SHARE_MAX * 100.0
        )
    })
}

/// Kernel time stamps were converted across a jump of the wall clock.
pub(super) fn clock_jumped(manifest: &Manifest) -> Option<String> {
    let steps = manifest.workers.iter().map(|w| w.clock_steps).max()?;
    (steps > 0).then(|| {
        format!(
            "the wall clock jumped {steps} times, and token times near a jump are wrong by as much; \
             let the clock settle (or stop what sets it) and run again"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::record::manifest::Judgement::Suspect;

    #[test]
    fn what_the_machine_did_is_told_with_its_figure() {
        check(
            |m| m.workers[1].gap_max_ns = 40_100_000,
            &[],
            Suspect,
            &["worker 1 did not look at its schedule for 40.1 ms"],
        );
        check(|m| m.workers[0].run_delay_ns = 3_100_000_000, &[], Suspect, &["worker 0 waited for its core 5."]);
        check(|m| m.steal_ns = 100_000_000_000, &[], Suspect, &["the hypervisor took"]);
        check(|m| m.workers[0].clock_steps = 2, &[], Suspect, &["jumped 2 times"]);
    }
}
