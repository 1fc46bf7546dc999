//! A thread → one that ordinary threads of its core cannot keep waiting: SCHED_FIFO.
//!
//! The kernel lets real-time threads of a core run for a part of each period alone (`/proc/sys/kernel/sched_rt_*`, 95 % unless
//! it was changed) and stops them for the rest, so that they cannot lock the machine up: see [`longest_share`].
//! Not here: which core a thread is on ([`super::affinity`]).

#![expect(unsafe_code, reason = "rustix cannot set a scheduling policy")]

use std::io;
use std::path::Path;

/// Above every ordinary thread, and below the kernel's own, which start at 50.
const PRIORITY: libc::c_int = 10;

/// Where the kernel keeps its bounds, in microseconds.
const KERNEL: &str = "/proc/sys/kernel";

/// Puts the calling thread under SCHED_FIFO.
///
/// # Errors
/// The kernel's refusal: it takes root, CAP_SYS_NICE, or a limit (RLIMIT_RTPRIO) of at least 10.
pub fn enter() -> io::Result<()> {
    // SAFETY: an all-zero sched_param is a valid one.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = PRIORITY;
    // SAFETY: 0 names the calling thread, and `param` outlives the call, which only reads it.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tries [`enter`] on a thread that ends at once.
///
/// # Errors
/// As [`enter`]'s.
pub fn try_out() -> io::Result<()> {
    std::thread::spawn(enter).join().unwrap_or_else(|_| Err(io::Error::other("the thread that tried it panicked")))
}

/// The share of a core that real-time threads may take; `None` where nothing bounds it.
pub fn longest_share() -> Option<f64> {
    let read = |name: &str| std::fs::read_to_string(Path::new(KERNEL).join(name)).ok();
    share(&read("sched_rt_runtime_us")?, &read("sched_rt_period_us")?)
}

/// A runtime of -1 is no bound.
fn share(runtime_us: &str, period_us: &str) -> Option<f64> {
    let runtime_us: f64 = runtime_us.trim().parse().ok()?;
    let period_us: f64 = period_us.trim().parse().ok()?;
    (runtime_us >= 0.0 && runtime_us < period_us).then(|| runtime_us / period_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_bound_is_a_share_of_its_period() {
        assert_eq!(share("950000\n", "1000000\n"), Some(0.95));
        assert_eq!([share("-1", "1000000"), share("1000000", "1000000"), share("", "1")], [None; 3]);
    }

    #[test]
    fn a_thread_that_may_is_under_the_policy_and_one_that_may_not_is_told_so() {
        let tried = std::thread::spawn(|| {
            enter().map(|()| {
                // SAFETY: 0 names the calling thread; the call touches no memory of ours.
                unsafe { libc::sched_getscheduler(0) }
            })
        });
        match tried.join().unwrap() {
            Ok(policy) => assert_eq!(policy, libc::SCHED_FIFO),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::PermissionDenied, "{e}"),
        }
    }
}
