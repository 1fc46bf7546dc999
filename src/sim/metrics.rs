//! What a simulated deployment says of itself at `/metrics`, in vLLM's names and in Prometheus' text format.
//!
//! In: the tokens that come out, and the engine's load. Out: text. Durations are those of the simulated times, not of the
//! sockets; but what the server itself costs ([`own_cost`]) is real. One thread.

use std::cell::RefCell;
use std::fmt::Write as _;

use super::deployment::Load;

/// vLLM's bounds of the time to the first token, in seconds.
const TTFT_BOUNDS_S: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
];
/// vLLM's bounds of the time between tokens, in seconds.
const ITL_BOUNDS_S: [f64; 19] =
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0];
/// vLLM's bounds of a request's whole time, in seconds.
const E2E_BOUNDS_S: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
];

/// A Prometheus histogram.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum_s: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum_s: 0.0 }
    }

    fn observe(&mut self, duration_ns: i64) {
        let seconds = duration_ns as f64 / 1e9;
        self.counts[self.bounds.partition_point(|bound| *bound < seconds)] += 1;
        self.sum_s += seconds;
    }

    fn write(&self, text: &mut String, (name, help): (&str, &str), labels: &str) {
        declare(text, name, "histogram", help);
        let mut below = 0;
        let bounds = self.bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".into()]);
        for (bound, count) in bounds.zip(&self.counts) {
            below += count;
            line(text, &format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), below as f64);
        }
        line(text, &format!("{name}_sum"), labels, self.sum_s);
        line(text, &format!("{name}_count"), labels, below as f64);
    }
}

#[derive(Debug)]
struct Observed {
    prompt_tokens: u64,
    generation_tokens: u64,
    finished: u64,
    ttft: Histogram,
    itl: Histogram,
    e2e: Histogram,
}

/// Counters since the server's start.
#[derive(Debug)]
pub(super) struct Metrics(RefCell<Observed>);

impl Metrics {
    pub(super) fn new() -> Metrics {
        Metrics(RefCell::new(Observed {
            prompt_tokens: 0,
            generation_tokens: 0,
            finished: 0,
            ttft: Histogram::new(&TTFT_BOUNDS_S),
            itl: Histogram::new(&ITL_BOUNDS_S),
            e2e: Histogram::new(&E2E_BOUNDS_S),
        }))
    }

    /// A sequence's first token came `since_arrival_ns` after its request.
    pub(super) fn on_first_token(&self, prompt_tokens: u32, since_arrival_ns: i64) {
        let mut seen = self.0.borrow_mut();
        seen.prompt_tokens += u64::from(prompt_tokens);
        seen.generation_tokens += 1;
        seen.ttft.observe(since_arrival_ns);
    }

    /// A later token came `gap_ns` after the one before.
    pub(super) fn on_next_token(&self, gap_ns: i64) {
        let mut seen = self.0.borrow_mut();
        seen.generation_tokens += 1;
        seen.itl.observe(gap_ns);
    }

    /// A sequence has all its tokens, so long after its request.
    pub(super) fn on_last_token(&self, since_arrival_ns: i64) {
        let mut seen = self.0.borrow_mut();
        seen.finished += 1;
        seen.e2e.observe(since_arrival_ns);
    }

    /// All of it as text. `model_json` is the model's name as a JSON string, whose escapes are Prometheus' for all names that
    /// can be served.
    pub(super) fn text(&self, model_json: &str, load: Load) -> String {
        let seen = self.0.borrow();
        let labels = format!("engine=\"0\",model_name={model_json}");
        let mut text = String::with_capacity(8 << 10);
        let kv_used = load.kv_blocks_used as f64 / load.kv_blocks.max(1) as f64;
        for (name, help, value) in [
            ("vllm:num_requests_running", "Number of requests in model execution batches.", load.running as f64),
            ("vllm:num_requests_waiting", "Number of requests waiting to be processed.", load.waiting as f64),
            ("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", kv_used),
        ] {
            declare(&mut text, name, "gauge", help);
            line(&mut text, name, &labels, value);
        }
        for (name, help, value) in [
            ("vllm:prompt_tokens_total", "Number of prefill tokens processed.", seen.prompt_tokens),
            ("vllm:generation_tokens_total", "Number of generation tokens processed.", seen.generation_tokens),
            ("vllm:prefix_cache_queries_total", "Prefix cache queries, in tokens.", load.prompt_tokens_total),
            ("vllm:prefix_cache_hits_total", "Prefix cache hits, in tokens.", load.cached_tokens_total),
            ("vllm:num_preemptions_total", "Number of preemptions.", load.preemptions_total),
        ] {
            declare(&mut text, name, "counter", help);
            line(&mut text, name, &labels, value as f64);
        }
        let success = "vllm:request_success_total";
        declare(&mut text, success, "counter", "Count of successfully processed requests.");
        line(&mut text, success, &format!("{labels},finished_reason=\"length\""), seen.finished as f64);
        for (histogram, name, help) in [
            (&seen.ttft, "vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds."),
            (&seen.itl, "vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds."),
            (&seen.e2e, "vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds."),
        ] {
            histogram.write(&mut text, (name, help), &labels);
        }
        text
    }
}

/// Adds what the server costs: the CPU time of its thread, the events that it sent, and the one divided by the other (0 before
/// the first event). The labels are none: these numbers are of this program and not of the engine it plays.
pub(super) fn own_cost(text: &mut String, cpu_ns: i64, events: u64) {
    let cpu_s = cpu_ns as f64 / 1e9;
    let per_event = if events == 0 { 0.0 } else { cpu_s / events as f64 };
    for (name, kind, help, value) in [
        ("loadline:cpu_seconds_total", "counter", "CPU time of the simulated server's thread.", cpu_s),
        ("loadline:events_total", "counter", "Stream events handed to sockets.", events as f64),
        ("loadline:cpu_seconds_per_event", "gauge", "CPU time of the server's thread by its events.", per_event),
    ] {
        declare(text, name, kind, help);
        let _ = writeln!(text, "{name} {value:?}");
    }
}

fn declare(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(text, "{name}{{{labels}}} {value:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::exposition::{self, FamilyKind};

    #[test]
    fn what_the_server_costs_is_prometheus_and_no_event_costs_nothing() {
        for (events, per_event) in [(0, 0.0), (4, 0.5)] {
            let mut text = String::new();
            own_cost(&mut text, 2_000_000_000, events);
            let mut found = Vec::new();
            let counts = exposition::read(&text, |s| found.push((s.name.to_owned(), s.value)));
            assert_eq!((counts.bad_lines, found.len()), (0, 3), "{text}");
            assert_eq!(found[0], ("loadline:cpu_seconds_total".into(), 2.0));
            assert_eq!(found[2], ("loadline:cpu_seconds_per_event".into(), per_event));
        }
    }

    #[test]
    fn the_text_is_prometheus_and_its_counts_are_what_was_observed() {
        let metrics = Metrics::new();
        metrics.on_first_token(600, 20_000_000);
        metrics.on_next_token(7_500_000);
        metrics.on_next_token(12_500_000);
        metrics.on_last_token(40_000_000);
        let load = Load { running: 3, waiting: 2, kv_blocks: 8, kv_blocks_used: 2, ..Load::default() };
        let text = metrics.text("\"Qwen/Qwen3-32B\"", load);
        let mut found = std::collections::HashMap::new();
        let counts = exposition::read(&text, |s| {
            assert_ne!(s.kind, FamilyKind::Unknown, "{s:?}");
            let labels = s.labels.replace("engine=\"0\",model_name=\"Qwen/Qwen3-32B\"", "");
            found.insert(format!("{}{labels}", s.name), s.value);
        });
        assert_eq!((counts.bad_lines, found.len() as u64), (0, counts.samples));
        for (name, value) in [
            ("vllm:num_requests_running", 3.0),
            ("vllm:num_requests_waiting", 2.0),
            ("vllm:kv_cache_usage_perc", 0.25),
            ("vllm:prompt_tokens_total", 600.0),
            ("vllm:generation_tokens_total", 3.0),
            ("vllm:request_success_total,finished_reason=\"length\"", 1.0),
            ("vllm:time_to_first_token_seconds_bucket,le=\"0.01\"", 0.0),
            ("vllm:time_to_first_token_seconds_bucket,le=\"0.02\"", 1.0),
            ("vllm:time_to_first_token_seconds_bucket,le=\"+Inf\"", 1.0),
            ("vllm:inter_token_latency_seconds_bucket,le=\"0.01\"", 1.0),
            ("vllm:inter_token_latency_seconds_bucket,le=\"0.025\"", 2.0),
            ("vllm:inter_token_latency_seconds_sum", 0.02),
            ("vllm:e2e_request_latency_seconds_count", 1.0),
        ] {
            assert!((found[name] - value).abs() < 1e-12, "{name}: {}", found[name]);
        }
    }
}
