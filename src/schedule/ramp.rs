//! A cap on requests at once → the share of one worker, opening place by place over a time.
//!
//! Over a ramp of length r, a cap of n grows from 1 at the phase's start to n at its end, in equal steps: place k (from 0) opens at
//! k r / (n − 1). Places are dealt out to the workers in turn, as [`super::shard::share_of`] counts them, so that the workers'
//! parts add up to the cap at every moment.
//! Not here: who takes a place (the engine).

use super::shard::share_of;

/// The places of one worker.
#[derive(Clone, Debug)]
pub struct Ramp {
    /// Places of all workers.
    total: u32,
    length_ns: i64,
    start_ns: i64,
    worker: u32,
    workers: u32,
    /// Places of this worker.
    share: u32,
    open: u32,
    /// When the next one opens.
    next_ns: i64,
}

impl Ramp {
    /// The part that `worker` of `workers` has of a cap (none for no cap), opening over `length_ns` from `start_ns` on.
    pub fn new(total: Option<u32>, length_ns: i64, start_ns: i64, worker: u32, workers: u32) -> Ramp {
        let share = total.map_or(u32::MAX, |total| share_of(total, worker, workers));
        let mut ramp = Ramp {
            total: total.unwrap_or(u32::MAX),
            length_ns: if total.is_some() { length_ns } else { 0 },
            start_ns,
            worker,
            workers,
            share,
            open: if length_ns == 0 || total.is_none() { share } else { 0 },
            next_ns: i64::MAX,
        };
        ramp.next_ns = ramp.opening_ns(ramp.open).unwrap_or(i64::MAX);
        ramp
    }

    /// When this worker's place `n` (from 0) opens; `None` where it has no such place.
    #[inline]
    pub fn opening_ns(&self, n: u32) -> Option<i64> {
        if n >= self.share {
            return None;
        }
        if self.length_ns == 0 {
            return Some(self.start_ns);
        }
        let place = i128::from(self.worker) + i128::from(n) * i128::from(self.workers);
        let steps = i128::from(self.total).max(2) - 1;
        Some(self.start_ns + (i128::from(self.length_ns) * place / steps) as i64)
    }

    /// Places that are open at `now_ns`, which never goes back.
    #[inline]
    pub fn open(&mut self, now_ns: i64) -> u32 {
        while now_ns >= self.next_ns {
            self.open += 1;
            self.next_ns = self.opening_ns(self.open).unwrap_or(i64::MAX);
        }
        self.open
    }

    /// When the next place opens; `i64::MAX` when all are open.
    #[inline]
    pub fn next_ns(&self) -> i64 {
        self.next_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_grows_from_one_in_equal_steps_and_the_parts_add_up() {
        for workers in 1..=4 {
            let ramps = || (0..workers).map(move |w| Ramp::new(Some(5), 800, 1000, w, workers));
            let mut growing: Vec<Ramp> = ramps().collect();
            for (now_ns, open) in [(999, 0), (1000, 1), (1199, 1), (1200, 2), (1799, 4), (1800, 5), (9999, 5)] {
                assert_eq!(growing.iter_mut().map(|r| r.open(now_ns)).sum::<u32>(), open, "{workers} at {now_ns}");
            }
            let mut times: Vec<i64> = ramps().flat_map(|r| (0..9).filter_map(move |n| r.opening_ns(n))).collect();
            times.sort_unstable();
            assert_eq!(times, [1000, 1200, 1400, 1600, 1800]);
        }
    }

    #[test]
    fn without_a_ramp_all_places_are_open_and_without_a_cap_all_there_are() {
        let mut whole = Ramp::new(Some(5), 0, 1000, 1, 2);
        assert_eq!(
            (whole.open(0), whole.next_ns(), whole.opening_ns(1), whole.opening_ns(2)),
            (2, i64::MAX, Some(1000), None)
        );
        assert_eq!(Ramp::new(None, 500, 1000, 0, 2).open(0), u32::MAX);
        assert_eq!(Ramp::new(Some(1), 500, 1000, 0, 1).open(1000), 1, "one place is open from the start");
    }
}
