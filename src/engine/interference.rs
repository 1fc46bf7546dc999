//! What a worker's own thread did to the run: how long it went without a look at its schedule, and how busy it was.
//!
//! Kept in windows of equal length, at most `WINDOWS_MAX` of them: when they are full, neighbours are joined and
//! windows are twice as long. A gap is the time between two looks at the schedule, or, after a sleep, how much
//! longer than asked it lasted; a thread that was stopped, or worked too long on one thing, shows as a gap.
//! Pure but for [`CpuTimes`], which asks the kernel about this thread.

use crate::record::manifest::{InterferenceWindow, WorkerWindows};
use crate::time::SECOND_NS;

/// Most windows that are kept.
const WINDOWS_MAX: usize = 512;

/// The timeline of one worker.
#[derive(Debug)]
pub struct Interference {
    window_ns: i64,
    windows: Vec<InterferenceWindow>,
    last_look_ns: i64,
    gap_max_ns: i64,
}

impl Interference {
    /// A timeline that starts at `now_ns`.
    pub fn new(now_ns: i64) -> Self {
        Interference {
            window_ns: SECOND_NS,
            windows: Vec::with_capacity(WINDOWS_MAX),
            last_look_ns: now_ns,
            gap_max_ns: 0,
        }
    }

    /// A look at the schedule at `now_ns`.
    #[inline]
    pub fn looked(&mut self, now_ns: i64) {
        let gap_ns = now_ns - self.last_look_ns;
        self.last_look_ns = now_ns;
        // Most gaps are tens of nanoseconds; only one that could be a window's largest is looked up.
        if gap_ns > 20_000 {
            self.note(now_ns, |w| w.gap_max_ns = w.gap_max_ns.max(gap_ns));
            self.gap_max_ns = self.gap_max_ns.max(gap_ns);
        }
    }

    /// A sleep that was to end at `until_ns` at the latest has ended.
    #[inline]
    pub fn woke(&mut self, now_ns: i64, until_ns: i64) {
        self.last_look_ns = now_ns.min(until_ns);
        self.looked(now_ns);
    }

    /// A request was dispatched this long after its time.
    #[inline]
    pub fn dispatched(&mut self, now_ns: i64, lag_ns: i64) {
        self.note(now_ns, |w| w.lag_max_ns = w.lag_max_ns.max(lag_ns));
    }

    /// The longest gap of all.
    pub fn gap_max_ns(&self) -> i64 {
        self.gap_max_ns
    }

    /// The windows, for the manifest.
    pub fn windows(self) -> WorkerWindows {
        WorkerWindows { window_ns: self.window_ns, windows: self.windows }
    }

    fn note(&mut self, now_ns: i64, change: impl FnOnce(&mut InterferenceWindow)) {
        let mut index = usize::try_from(now_ns / self.window_ns).unwrap_or(0);
        while index >= WINDOWS_MAX {
            self.join_neighbours();
            index = usize::try_from(now_ns / self.window_ns).unwrap_or(0);
        }
        if self.windows.len() <= index {
            self.windows.resize_with(index + 1, InterferenceWindow::default);
        }
        change(&mut self.windows[index]);
    }

    fn join_neighbours(&mut self) {
        self.window_ns *= 2;
        let joined = self.windows.chunks(2).map(|pair| InterferenceWindow {
            gap_max_ns: pair.iter().map(|w| w.gap_max_ns).max().unwrap_or(0),
            lag_max_ns: pair.iter().map(|w| w.lag_max_ns).max().unwrap_or(0),
        });
        let joined: Vec<_> = joined.collect();
        self.windows.clear();
        self.windows.extend(joined);
    }
}

/// What the kernel says of the calling thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Time on a core.
    pub cpu_ns: i64,
    /// Time that it could have run but waited for its core.
    pub run_delay_ns: i64,
}

impl CpuTimes {
    /// The times of the calling thread since it began. The delay is 0 where the kernel does not keep it.
    pub fn of_this_thread() -> CpuTimes {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let run_delay_ns = schedstat.split_whitespace().nth(1).and_then(|v| v.parse().ok()).unwrap_or(0);
        CpuTimes { cpu_ns: cpu.tv_sec * SECOND_NS + cpu.tv_nsec, run_delay_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_lags_fall_into_their_windows() {
        let mut timeline = Interference::new(0);
        timeline.looked(100);
        timeline.looked(50_000_000);
        timeline.woke(1_000_030_000, 1_000_000_000);
        timeline.woke(1_500_000_000, 2_000_000_000);
        timeline.dispatched(1_600_000_000, 777);
        assert_eq!(timeline.gap_max_ns(), 49_999_900);
        let windows = timeline.windows();
        let expect = [(49_999_900, 0), (30_000, 777)]
            .map(|(gap_max_ns, lag_max_ns)| InterferenceWindow { gap_max_ns, lag_max_ns });
        assert_eq!((windows.window_ns, windows.windows), (SECOND_NS, expect.to_vec()));
    }

    #[test]
    fn a_long_run_keeps_its_largest_gaps_in_a_bounded_number_of_windows() {
        let mut timeline = Interference::new(0);
        for second in 0..5000 {
            timeline.dispatched(second * SECOND_NS, second);
        }
        let windows = timeline.windows();
        assert!(windows.windows.len() <= WINDOWS_MAX);
        assert_eq!(windows.window_ns, 16 * SECOND_NS);
        assert!(windows.windows.iter().zip(0..).all(|(w, n)| w.lag_max_ns == (n * 16 + 15).min(4999)));
    }
}
