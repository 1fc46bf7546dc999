//! The largest batch of a deployment, or its capacity → the four levels of load that a prediction is held against.
//!
//! Idle is one request at a time; medium is 50 %, saturation 90 % and overload 110 %. Requests in flight are whole numbers:
//! medium is rounded, saturation down (up where that is medium again) and overload up, so that overload is more than the deployment
//! can hold at once. Below a batch of 3 some are the same ([`same`]).

/// How a level is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Closed loop: so many requests in flight.
    Clients(u32),
    /// Open loop: Poisson arrivals, requests per second.
    Rate(f64),
}

/// One level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Its name, in files and directories.
    pub name: &'static str,
    /// Its load.
    pub load: Load,
    /// That as per cent of the largest batch, or of the capacity; after rounding. Null of idle in an open loop.
    pub percent: Option<f64>,
}

/// Levels by requests in flight.
pub fn closed(batch_max: u32) -> [Level; 4] {
    let batch = batch_max.max(1);
    // In whole numbers: 1.1 times 10 is more than 11 in binary.
    let n = u64::from(batch);
    let medium = (n * 50 + 50) / 100;
    let below = n * 90 / 100;
    let saturation = if below > medium { below } else { (n * 90).div_ceil(100) };
    let overload = (n * 110).div_ceil(100);
    [("idle", 1), ("medium", medium), ("saturation", saturation), ("overload", overload)].map(|(name, clients)| {
        let clients = u32::try_from(clients).unwrap_or(u32::MAX);
        let percent = Some(100.0 * f64::from(clients) / f64::from(batch));
        Level { name, load: Load::Clients(clients), percent }
    })
}

/// Levels by arrivals, of a deployment that answers so many requests per second; idle remains one request at a time.
pub fn open(capacity_rps: f64) -> [Level; 4] {
    let rate =
        |name, percent: f64| Level { name, load: Load::Rate(capacity_rps * percent / 100.0), percent: Some(percent) };
    let idle = Level { name: "idle", load: Load::Clients(1), percent: None };
    [idle, rate("medium", 50.0), rate("saturation", 90.0), rate("overload", 110.0)]
}

/// Neighbours whose load is the same.
pub fn same(levels: &[Level]) -> Vec<(&'static str, &'static str)> {
    levels.windows(2).filter(|pair| pair[0].load == pair[1].load).map(|pair| (pair[0].name, pair[1].name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(batch: u32) -> [u32; 4] {
        closed(batch).map(|level| match level.load {
            Load::Clients(n) => n,
            Load::Rate(_) => unreachable!("levels of a closed loop"),
        })
    }

    #[test]
    fn levels_differ_where_they_can_and_overload_is_beyond_the_batch() {
        assert_eq!(clients(8), [1, 4, 7, 9], "the plan's own: 110 % of 8 is 9, not 8");
        assert_eq!((clients(10), clients(100), clients(64)), ([1, 5, 9, 11], [1, 50, 90, 110], [1, 32, 57, 71]));
        assert_eq!((clients(3), clients(4), clients(5)), ([1, 2, 3, 4], [1, 2, 3, 5], [1, 3, 4, 6]));
        for batch in 3..3000 {
            let levels = closed(batch);
            assert_eq!(same(&levels), [], "{levels:?}");
            assert!(clients(batch).is_sorted() && clients(batch)[3] > batch);
        }
    }

    #[test]
    fn where_they_cannot_differ_that_is_said() {
        assert_eq!((clients(1), clients(2)), ([1, 1, 1, 2], [1, 1, 2, 3]));
        assert_eq!(same(&closed(1)), [("idle", "medium"), ("medium", "saturation")]);
        assert_eq!(same(&closed(2)), [("idle", "medium")]);
        assert_eq!(clients(u32::MAX)[3], u32::MAX);
    }

    #[test]
    fn an_open_loops_levels_are_shares_of_the_capacity() {
        let [idle, medium, saturation, overload] = open(20.0);
        assert_eq!((idle.load, idle.percent), (Load::Clients(1), None));
        assert_eq!((medium.load, saturation.load), (Load::Rate(10.0), Load::Rate(18.0)));
        assert_eq!((overload.load, overload.percent), (Load::Rate(22.0), Some(110.0)));
    }
}
