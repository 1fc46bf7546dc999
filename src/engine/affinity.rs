//! Which cores there are, and pinning a thread to one.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use, in order. Never empty.
pub fn allowed_cores() -> Vec<u32> {
    let allowed: Vec<u32> = match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|c| set.is_set(*c)).map(|c| c as u32).collect(),
        Err(_) => Vec::new(),
    };
    if allowed.is_empty() { vec![0] } else { allowed }
}

/// Pins the calling thread to `core`. Tells whether that worked: a container may forbid it.
pub fn pin_to(core: u32) -> bool {
    let mut set = CpuSet::new();
    set.set(core as usize);
    sched_setaffinity(None, &set).is_ok()
}
