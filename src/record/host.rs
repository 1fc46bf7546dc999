//! The machine → [`Host`]: what a reader of the recording must know about where it was made.
//!
//! In: `uname`, `sched_getaffinity` and two files of `/proc`. Out: a value; what cannot be found out is empty or 0.
//! Not here: whether the machine was fit for the run, which is the verdict's business.

use super::manifest::Host;

/// Longest text that is taken from the system.
const TEXT_MAX: usize = 128;

impl Host {
    /// Looks at this machine.
    pub fn detect() -> Host {
        let uname = rustix::system::uname();
        let kernel = format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        let cpus = rustix::thread::sched_getaffinity(None).map_or(0, |set| set.count());
        Host {
            kernel: kernel.chars().take(TEXT_MAX).collect(),
            cpu_model: cpu_model(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cpus,
            memory_bytes: memory_bytes(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        }
    }
}

/// Time of all processors, since the machine started, that its hypervisor gave to others; 0 where there is none.
pub fn steal_ns() -> i64 {
    stolen_ns(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// The eighth number of the first line of `/proc/stat`, which counts in hundredths of a second.
fn stolen_ns(stat: &str) -> i64 {
    let ticks = stat.lines().next().and_then(|cpu| cpu.split_whitespace().nth(8)).and_then(|n| n.parse::<i64>().ok());
    ticks.unwrap_or(0).saturating_mul(10_000_000)
}

/// The first processor's model in the text of `/proc/cpuinfo`: `model name` on x86, `Model` or the parts' numbers on
/// ARM, which has no such line on many machines.
fn cpu_model(cpuinfo: &str) -> String {
    let value = |key: &str| {
        let mut pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim().chars().take(TEXT_MAX).collect::<String>())
    };
    value("model name")
        .or_else(|| value("Model"))
        .or_else(|| Some(format!("implementer {} part {}", value("CPU implementer")?, value("CPU part")?)))
        .unwrap_or_default()
}

/// `MemTotal` in the text of `/proc/meminfo`, which counts in KiB.
fn memory_bytes(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_processors_and_memory() {
        let host = Host::detect();
        assert!(host.kernel.starts_with("Linux "), "{host:?}");
        assert!(host.cpus >= 1 && host.memory_bytes > 1 << 20, "{host:?}");
    }

    #[test]
    fn the_files_of_proc_are_understood() {
        assert_eq!(stolen_ns("cpu  1 2 3 4 5 6 7 42 9 10\ncpu0 1 2\n"), 420_000_000);
        assert_eq!(stolen_ns("cpu  1 2\n"), 0);
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC 7B13\nmodel name\t: other\n"), "AMD EPYC 7B13");
        assert_eq!(cpu_model("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"), "implementer 0x41 part 0xd0c");
        assert_eq!(cpu_model(""), "");
        assert_eq!(memory_bytes("MemFree: 1 kB\nMemTotal:       24567 kB\n"), 24567 * 1024);
        assert_eq!(memory_bytes("MemTotal: many\n"), 0);
    }
}
