//! The process's limit of open files: raised as far as it goes, and compared with what a run needs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside the connections: standard streams, recording, runtime, and each worker's timers.
const FILES_BESIDE: u64 = 64;

/// Raises the limit of open files to the hard limit. Returns the limit that holds, `u64::MAX` for none.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // A process that may not raise its limit lives with it.
    let holds = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    holds.current.unwrap_or(u64::MAX)
}

/// What to tell the user where `in_flight` requests need more files than the limit allows. `streams` share a
/// connection, and `ends` of each connection are this process's.
pub fn shortage(open_files: u64, in_flight: u32, streams: u32, ends: u32) -> Option<String> {
    let needed = u64::from(in_flight).div_ceil(u64::from(streams.max(1))) * u64::from(ends) + FILES_BESIDE;
    (needed > open_files).then(|| {
        format!(
            "{in_flight} requests in flight need {needed} open files, and the limit is {open_files}: raise the hard \
             limit (ulimit -Hn, or LimitNOFILE= of a service) or lower --concurrency or --max-in-flight"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let holds = raise_open_files();
        assert_eq!(holds, getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX));
        assert_eq!(holds, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
    }

    #[test]
    fn a_shortage_is_told_with_its_numbers_and_a_remedy() {
        assert_eq!(shortage(20_000, 10_000, 1, 1), None);
        let text = shortage(20_000, 10_000, 1, 2).unwrap();
        assert!(text.contains("20064") && text.contains("20000") && text.contains("--concurrency"), "{text}");
        assert_eq!(shortage(1024, 10_000, 100, 2), None);
        assert_eq!(shortage(u64::MAX, u32::MAX, 1, 2), None);
    }
}
