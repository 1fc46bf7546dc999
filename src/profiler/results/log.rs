//! The log of Dynamo's SLA profiler ↔ what it suggests, and how long it ran.
//!
//! Two dialects are read, `Suggested prefill parallel mapping: TP1 on 1 GPU(s) (TTFT 231.00 ms, throughput 8841.00
//! tokens/s/GPU)` and the older `Suggested prefill TP:1 (TTFT …)`; the first is written. Lines begin with a time of day,
//! whose zone the log does not tell.

/// One half of a suggestion.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// How the GPUs share the model, in the log's words: `TP1`, `TEP4`.
    pub label: String,
    /// GPUs; `None` where the log does not tell.
    pub gpus: Option<u32>,
    /// TTFT (prefill) or ITL (decode), ms.
    pub latency_ms: f64,
    /// Tokens per second and GPU.
    pub tokens_per_s_per_gpu: f64,
}

/// What a log says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileLog {
    /// The last suggestion for prefill.
    pub prefill: Option<Mapping>,
    /// The last suggestion for decode.
    pub decode: Option<Mapping>,
    /// From the first to the last line with a time, seconds.
    pub duration_s: Option<f64>,
    /// Deployments that came up, as far as they are logged: the original tells of those of its prefill half alone.
    pub deployments: u64,
    /// Configurations that were tested for prefill and for decode, by the lines that begin each test.
    pub tested: [u64; 2],
    /// GPU seconds of these tests: from each such line to the next one, or to the end of the log, times the GPUs that it names.
    pub gpu_s: Option<f64>,
    /// Whether the sweep itself was AI Configurator's, by the profiler's own words.
    pub used_aiconfigurator: bool,
}

/// Reads a log. Lines that say nothing of this are passed over.
pub fn parse(text: &str) -> ProfileLog {
    let mut log = ProfileLog::default();
    let mut span: Option<(i64, i64)> = None;
    // Since when a configuration is tested, and on how many GPUs.
    let mut under_test: Option<(i64, f64)> = None;
    let gpu_s = |since: Option<(i64, f64)>, until: i64| since.map_or(0.0, |(from, gpus)| (until - from) as f64 * gpus);
    for line in text.lines() {
        let time = timestamp_s(line);
        if let Some(t) = time {
            span = Some((span.map_or(t, |s| s.0), t));
        }
        if let Some((half, gpus)) = test_begins(line) {
            log.tested[half] += 1;
            if let Some(t) = time {
                log.gpu_s = Some(log.gpu_s.unwrap_or_default() + gpu_s(under_test, t));
                under_test = Some((t, gpus));
            }
        }
        if let Some(rest) = behind(line, "Suggested prefill") {
            log.prefill = mapping(rest, "TTFT").or(log.prefill.take());
        } else if let Some(rest) = behind(line, "Suggested decode") {
            log.decode = mapping(rest, "ITL").or(log.decode.take());
        } else if line.contains("Deployment") && line.contains("is ready")
            || line.contains("Created client with service_name")
        {
            log.deployments += 1;
        } else if line.contains("Using aiconfigurator")
            || line.contains("Using AI Configurator")
            || line.contains("use_ai_configurator=True")
        {
            log.used_aiconfigurator = true;
        }
    }
    log.duration_s = span.map(|(from, to)| (to - from) as f64);
    log.gpu_s = log.gpu_s.zip(span).map(|(sum, (_, end))| sum + gpu_s(under_test, end));
    log
}

/// A log of the two suggestions, as the profiler words them. `at` is the time of its lines, `YYYY-mm-dd HH:MM:SS`.
pub fn write(prefill: &Mapping, decode: &Mapping, at: &str) -> String {
    let says = |half: &str, latency: &str, m: &Mapping| {
        let gpus = m.gpus.unwrap_or(1);
        let says = format!(
            "Suggested {half} parallel mapping: {} on {gpus} GPU(s) ({latency} {:.2} ms, throughput {:.2} tokens/s/GPU)",
            m.label, m.latency_ms, m.tokens_per_s_per_gpu
        );
        line(at, &says)
    };
    says("prefill", "TTFT", prefill) + &says("decode", "ITL", decode)
}

/// One line of a log. `at` as for [`write()`].
pub fn line(at: &str, says: &str) -> String {
    format!("{at} - loadline.sweep - INFO - {says}\n")
}

/// `Profiling prefill with 2 GPUs...` begins a test: the half (0 prefill, 1 decode) and the GPUs.
fn test_begins(line: &str) -> Option<(usize, f64)> {
    let rest = behind(line, "Profiling ")?;
    let half = ["prefill", "decode"].iter().position(|half| rest.starts_with(half))?;
    Some((half, number_behind(rest, "with").filter(|_| rest.contains("GPU"))?))
}

fn behind<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    line.split_once(words).map(|(_, rest)| rest)
}

fn mapping(rest: &str, latency: &str) -> Option<Mapping> {
    let (head, figures) = rest.split_once('(').and_then(|(head, rest)| {
        // "on 1 GPU(s) (…": the bracket of the plural is not the one of the figures.
        match rest.strip_prefix("s)") {
            Some(rest) => rest.split_once('(').map(|(_, figures)| (head, figures)),
            None => Some((head, rest)),
        }
    })?;
    let name = head.rsplit_once("mapping:").map_or(head, |(_, name)| name).trim();
    let (name, gpus) = match name.split_once(" on ") {
        Some((name, gpus)) => (name.trim(), gpus.split_whitespace().next().and_then(|n| n.parse().ok())),
        None => (name, None),
    };
    let label: String = name.chars().filter(|c| *c != ':').take(32).collect();
    let of_tp = label.strip_prefix("TP").and_then(|n| n.parse().ok());
    Some(Mapping {
        gpus: gpus.or(of_tp),
        label,
        latency_ms: number_behind(figures, latency)?,
        tokens_per_s_per_gpu: number_behind(figures, "throughput")?,
    })
}

/// The first number behind a word.
fn number_behind(text: &str, word: &str) -> Option<f64> {
    let rest = behind(text, word)?.trim_start_matches([' ', ':', '=']);
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Seconds since 1970 of the time of day that a line begins with, its zone unknown.
fn timestamp_s(line: &str) -> Option<i64> {
    let stamp = line.get(..19)?;
    chrono::NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S").ok().map(|t| t.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_are_read() {
        let new = "2026-01-15 10:00:00 - dynamo.profiler - INFO - Using aiconfigurator to estimate\n\
                   2026-01-15 10:00:31 - profile_sla - INFO - Suggested prefill parallel mapping: TP1 on 1 GPU(s) \
                   (TTFT 231.00 ms, throughput 8841.00 tokens/s/GPU)\n\
                   2026-01-15 10:01:30 - profile_sla - INFO - Suggested decode parallel mapping: TEP4 on 4 GPU(s) \
                   (ITL 21.10 ms, throughput 512.50 tokens/s/GPU)\n";
        let log = parse(new);
        let (p, d) = (log.prefill.unwrap(), log.decode.unwrap());
        assert_eq!((p.label.as_str(), p.gpus, p.latency_ms, p.tokens_per_s_per_gpu), ("TP1", Some(1), 231.0, 8841.0));
        assert_eq!((d.label.as_str(), d.gpus, d.latency_ms, d.tokens_per_s_per_gpu), ("TEP4", Some(4), 21.1, 512.5));
        assert_eq!((log.duration_s, log.used_aiconfigurator), (Some(90.0), true));
        let old = parse(
            "2025-08-01 00:00:00 - m - INFO - Suggested prefill TP:2 (TTFT 48.37 ms, throughput 15505.23 tokens/s/GPU)",
        );
        let p = old.prefill.unwrap();
        assert_eq!((p.label.as_str(), p.gpus, p.latency_ms), ("TP2", Some(2), 48.37));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mapping = |label: &str, gpus, latency_ms| Mapping {
            label: label.into(),
            gpus: Some(gpus),
            latency_ms,
            tokens_per_s_per_gpu: 1234.5,
        };
        let (p, d) = (mapping("TP1", 1, 187.25), mapping("TP2", 2, 49.5));
        let log = parse(&write(&p, &d, "2026-11-24 12:00:00"));
        assert_eq!((log.prefill, log.decode, log.duration_s), (Some(p), Some(d), Some(0.0)));
    }

    #[test]
    fn what_was_tested_is_counted_in_both_halves_with_its_gpus_and_its_time() {
        let log = parse(
            "2026-01-15 10:00:00 - p - INFO - Profiling prefill with 1 GPUs...\n\
             2026-01-15 10:00:05 - p - INFO - Created client with service_name a\n\
             2026-01-15 10:10:00 - p - INFO - Profiling prefill with 2 GPUs...\n\
             2026-01-15 10:20:00 - p - INFO - Profiling decode with 4 GPUs...\n\
             2026-01-15 10:50:00 - p - INFO - done\n",
        );
        assert_eq!((log.tested, log.deployments, log.duration_s), ([2, 1], 1, Some(3000.0)));
        assert_eq!(log.gpu_s, Some(600.0 + 2.0 * 600.0 + 4.0 * 1800.0));
    }

    #[test]
    fn other_lines_and_broken_ones_are_passed_over() {
        let log = parse(
            "Suggested prefill parallel mapping: TP1 on\n(\nSuggested decode (ITL ms, throughput x)\n2026-99-99 99:99:99 é\n",
        );
        assert_eq!(log, ProfileLog::default());
    }
}
