//! Turns the kernel's count of CPU time into the share of the machine that others used meanwhile.

use rustix::time::{ClockId, clock_gettime};

use super::spread::ratio;
use crate::time::SECOND_NS;

/// CPU time so far, of the whole machine and of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// Of all processors, idle time included, in the kernel's ticks.
    total_ticks: u64,
    /// Of those, not idle; time that a hypervisor took away included.
    busy_ticks: u64,
    /// Of this process.
    own_ns: i64,
}

/// The kernel tells CPU times to programs in ticks of 10 ms on every architecture (`USER_HZ`).
const TICK_NS: i64 = SECOND_NS / 100;

impl Usage {
    /// The times now; `None` where `/proc/stat` cannot be read.
    pub(super) fn now() -> Option<Usage> {
        let own = clock_gettime(ClockId::ProcessCPUTime);
        let (total_ticks, busy_ticks) = ticks(&std::fs::read_to_string("/proc/stat").ok()?)?;
        Some(Usage { total_ticks, busy_ticks, own_ns: own.tv_sec * SECOND_NS + own.tv_nsec })
    }

    /// Share of the machine's time until `later` that neither idled nor was this process's, 0 to 1.
    pub(super) fn others_share(self, later: Usage) -> f64 {
        let busy = later.busy_ticks.saturating_sub(self.busy_ticks) as f64;
        let own = (later.own_ns - self.own_ns) as f64 / TICK_NS as f64;
        ratio((busy - own).max(0.0), later.total_ticks.saturating_sub(self.total_ticks) as f64)
    }
}

/// All ticks and busy ticks in the text of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests'
/// times are in the first two.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let fields = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<u64> = fields.split_whitespace().take(8).map(|t| t.parse().ok()).collect::<Option<_>>()?;
    let [_, _, _, idle, iowait, ..] = times[..] else { return None };
    let total: u64 = times.iter().sum();
    Some((total, total - idle - iowait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_ours_is_the_others() {
        let at = |stat, own_ns| {
            let (total_ticks, busy_ticks) = ticks(stat).unwrap();
            Usage { total_ticks, busy_ticks, own_ns }
        };
        let before = at("cpu  10 0 10 70 10 0 0 0 9 9\ncpu0 1 2 3 4\n", 0);
        let after = at("cpu  40 10 30 90 10 0 5 15 9 9\ncpu0 1 2 3 4\n", 30 * TICK_NS);
        assert_eq!((before.total_ticks, before.busy_ticks), (100, 20));
        assert_eq!(before.others_share(after), 0.5, "80 busy ticks of 100, less 30 of ours");
        assert_eq!(after.others_share(before), 0.0, "never negative, never infinite");
        assert_eq!(ticks("intr 5\n"), None);
        assert!(Usage::now().is_some());
    }
}
