//! A calibration → a live line while it runs, and the text that it ends with.
//!
//! Invariants: every number shown was measured; a step that did not run is shown with its reason; text from outside is
//! escaped. Not here: whether stdout is a terminal, and writing to it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::number::{count, number, percent, utc};
use super::terminal::Style;
use super::text::{columns, fit, plain, wrap};
use crate::calibration::burn::STREAMS;
use crate::calibration::spread::Spread;
use crate::calibration::streams::{ByStamp, ITL_NS, StreamErrors, TTFT_NS};
use crate::calibration::{Calibration, Progress, Step, StepResult};

/// From this share on, what others did to the machine is told beside the limits.
const OTHERS_SHARE_MAX: f64 = 0.05;

/// The live line on stderr; silent where that is no terminal. It disappears when this is dropped.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
}

impl Steps {
    /// A line that has nothing to show yet.
    pub fn on_stderr() -> Steps {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        // An invalid template could only be one that is written wrong here; the default line is then good enough.
        if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/dim} {wide_msg}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Steps { bar }
    }

    /// Shows the step that begins.
    pub fn begin(&self, progress: Progress) {
        self.bar.set_length(progress.total as u64);
        self.bar.set_position(progress.done as u64);
        self.bar.set_message(match progress.now {
            Step::Clock => "clock".into(),
            Step::Timers(rate) => format!("timers, {}/s", count(rate.into())),
            Step::Sends(rate) => format!("sends, {} requests/s", count(rate.into())),
            Step::Streams(n) => format!("token times, {}", streams_named(n)),
            Step::Burn(percent) => format!("token times, client {percent} % busy"),
            Step::Floor => "the engine beside bare loops".into(),
        });
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The result. Ends with a line feed.
pub fn render(calibration: &Calibration, style: Style) -> String {
    let blocks = [
        header(calibration),
        timers(calibration),
        sends(calibration, style),
        streams(calibration, style),
        burn(calibration, style),
        floor(calibration, style),
        limits(calibration, style),
    ];
    let line = |text: String| fit(&text, style.width);
    let block = |lines: Vec<String>| lines.into_iter().map(line).collect::<Vec<_>>().join("\n");
    blocks.into_iter().filter(|lines| !lines.is_empty()).map(block).collect::<Vec<_>>().join("\n\n") + "\n"
}

fn header(c: &Calibration) -> Vec<String> {
    let server = match c.setup.server_core {
        Some(core) => format!("server on core {core}"),
        None => "server on the same core, for want of a second: everything below is worse than it need be".into(),
    };
    vec![
        format!(
            "loadline {}  calibration{}  {}",
            plain(&c.loadline_version),
            if c.setup.quick { " (quick)" } else { "" },
            utc(c.unix_ns)
        ),
        format!("Host    {}, {} CPUs, {}", plain(&c.host.cpu_model), c.host.cpus, plain(&c.host.kernel)),
        format!("Setup   client on core {}, {server}; {} descriptors", c.setup.client_core, count(c.setup.descriptors)),
        format!(
            "Others  {} of the machine's CPU time meanwhile",
            c.setup.others_share.map_or_else(|| "unknown share".into(), percent)
        ),
        format!(
            "Clock   {} ns a reading (fastest {}), steps of {} ns",
            number(c.clock.reading_median_ns),
            number(c.clock.reading_min_ns),
            c.clock.resolution_ns
        ),
    ]
}

fn timers(c: &Calibration) -> Vec<String> {
    let mut rows = vec![row(["Timer lateness, µs", "waits/s", "p50", "p99", "max"])];
    for step in &c.timers {
        for (name, spread) in [("clock_nanosleep", step.nanosleep), ("alarm", step.alarm), ("pacing", step.pacing)] {
            let [p50, p99, max] = [spread.p50_ns, spread.p99_ns, spread.max_ns].map(micros);
            rows.push(row([name, &count(step.rate_per_s.into()), &p50, &p99, &max]));
        }
    }
    columns(&rows)
}

fn sends(c: &Calibration, style: Style) -> Vec<String> {
    let mut rows = vec![row(["Send lag, µs", "p50", "p99", "max", "achieved", "client", "spun", "server"])];
    let mut notes = Vec::new();
    for step in &c.sends {
        let name = format!("{} requests/s", count(step.rate_rps.into()));
        match &step.result {
            StepResult::Measured(m) => {
                let [p50, p99, max] = [m.lag.p50_ns, m.lag.p99_ns, m.lag.max_ns].map(micros);
                let [achieved, client, spun, server] =
                    [m.achieved, m.client_utilisation, m.client_spun, m.server_utilisation].map(percent);
                rows.push(row([&name, &p50, &p99, &max, &achieved, &client, &spun, &server]));
                if m.at_in_flight_limit {
                    notes.push(format!(
                        "{name}: {} in flight, the most allowed: the lag is the server's too",
                        m.in_flight_max
                    ));
                }
                if m.failed > 0 {
                    notes.push(format!("{name}: {} requests failed", count(m.failed)));
                }
            }
            StepResult::Skipped(why) => notes.push(format!("{name}: not measured: {}", plain(why))),
        }
    }
    with_notes(columns(&rows), &notes, style)
}

fn streams(c: &Calibration, style: Style) -> Vec<String> {
    let head = ["Error, µs", "stamp", "token mean", "p99", "TTFT mean", "p99", "ITL mean", "p99"];
    let mut rows = vec![row(head)];
    let mut notes = Vec::new();
    for step in &c.streams {
        let name = streams_named(step.streams);
        match &step.result {
            StepResult::Measured(m) => {
                rows.push(error_row(&name, "read", m, |e| Some(e.read)));
                if m.token.kernel.is_some() {
                    rows.push(error_row("", "kernel", m, |e| e.kernel));
                }
                notes.push(stream_note(&name, m));
            }
            StepResult::Skipped(why) => notes.push(format!("{name}: not measured: {}", plain(why))),
        }
    }
    with_notes(columns(&rows), &notes, style)
}

fn error_row(name: &str, stamp: &str, m: &StreamErrors, of: impl Fn(ByStamp) -> Option<Spread>) -> [String; 8] {
    let cells = |errors: Option<ByStamp>| match errors.and_then(&of) {
        Some(s) => [micros(s.mean_ns), micros(s.p99_ns)],
        None => ["–".into(), "–".into()],
    };
    let [token_mean, token_p99] = cells(Some(m.token));
    let [ttft_mean, ttft_p99] = cells(Some(m.ttft));
    let [itl_mean, itl_p99] = cells(m.itl);
    [name.into(), stamp.into(), token_mean, token_p99, ttft_mean, ttft_p99, itl_mean, itl_p99]
}

/// What the server really did, since it may not have kept up, and what to make of the errors.
fn stream_note(name: &str, m: &StreamErrors) -> String {
    let ms = |ns: i64| number(ns as f64 / 1e6);
    let itl = m.server_itl.map_or_else(String::new, |s| format!(" and ITL {} ms of {}", ms(s.p50_ns), ms(ITL_NS)));
    let stamped = format!("of {} of {} requests", count(m.kernel_arrivals), count(m.compared));
    let queue = match m.server_queue {
        Some(queue) => format!(
            "{} µs of the server's queue are in its own TTFT, by the kernel's times {stamped}",
            micros(queue.mean_ns)
        ),
        None => "the kernel stamped no arrival: the server's queue is in the TTFT error".into(),
    };
    let mut text = format!(
        "{name}: {} tokens/s, true TTFT {} ms of {}{itl} (medians); client {}, server {}; {} of tokens shared a read; \
         {} µs of the TTFT error are the way there; {queue}",
        number(m.tokens_per_s),
        ms(m.server_ttft.p50_ns),
        ms(TTFT_NS),
        percent(m.client_utilisation),
        percent(m.server_utilisation),
        percent(m.shared_reads),
        micros(m.request_path.mean_ns),
    );
    if m.failed + m.unmatched > 0 {
        text += &format!("; {} failed, {} unmatched", count(m.failed), count(m.unmatched));
    }
    text
}

/// Nothing, unless it was asked for.
fn burn(c: &Calibration, style: Style) -> Vec<String> {
    if c.burn.is_empty() {
        return Vec::new();
    }
    let head = format!("Token error on a busy client, {}, µs", streams_named(STREAMS));
    let mut rows = vec![row([&head, "client", "read p50", "p99", "kernel p50", "p99"])];
    let mut notes = Vec::new();
    for step in &c.burn {
        let name = match step.burn_ns {
            0 => "without a spin".to_owned(),
            ns => format!("{} aimed at, {} µs spun a read", percent(step.aimed), micros(ns)),
        };
        match &step.step.result {
            StepResult::Measured(m) => {
                let [read_p50, read_p99] = [m.token.read.p50_ns, m.token.read.p99_ns].map(micros);
                let of_kernel = |of: fn(Spread) -> i64| m.token.kernel.map_or_else(|| "–".into(), |s| micros(of(s)));
                let (kernel_p50, kernel_p99) = (of_kernel(|s| s.p50_ns), of_kernel(|s| s.p99_ns));
                let client = percent(m.client_utilisation);
                rows.push(row([&name, &client, &read_p50, &read_p99, &kernel_p50, &kernel_p99]));
                if m.failed + m.unmatched > 0 {
                    notes.push(format!("{name}: {} failed, {} unmatched", count(m.failed), count(m.unmatched)));
                }
            }
            StepResult::Skipped(why) => notes.push(format!("{name}: not measured: {}", plain(why))),
        }
    }
    with_notes(columns(&rows), &notes, style)
}

/// Nothing, unless it was asked for.
fn floor(c: &Calibration, style: Style) -> Vec<String> {
    let Some(floor) = &c.floor else { return Vec::new() };
    let head = "Arrival at the server after its time, µs";
    let mut rows = vec![row([head, "engine p50", "p99", "bare loop p50", "p99", "p50 ratio"])];
    for step in &floor.arrivals {
        let read = match step.tokens_per_s {
            0 => String::new(),
            tokens => format!(", {} tokens/s read", count(tokens.into())),
        };
        let name = format!("{} requests/s{read}", count(step.rate_rps.into()));
        let [ours, ours_p99, bare, bare_p99] =
            [step.engine.p50_ns, step.engine.p99_ns, step.bare.p50_ns, step.bare.p99_ns].map(micros);
        let ratio = number(step.engine.p50_ns as f64 / step.bare.p50_ns.max(1) as f64);
        rows.push(row([&name, &ours, &ours_p99, &bare, &bare_p99, &ratio]));
    }
    let note = floor.tokens.as_ref().map(|t| {
        format!(
            "CPU a token at {}, one a packet: {} µs, of a loop that receives and throws away {} µs: {} of its tokens per CPU second",
            streams_named(t.streams),
            micros(t.engine_ns as i64),
            micros(t.bare_ns as i64),
            percent(t.ratio)
        )
    });
    with_notes(columns(&rows), note.as_slice(), style)
}

fn limits(c: &Calibration, style: Style) -> Vec<String> {
    let l = &c.limits;
    let bound = format!("{} ms", number(l.bound_ns as f64 / 1e6));
    let send = match (l.send_rate_rps, l.send_lag_p99_ns) {
        (Some(rate), Some(p99_ns)) => {
            let p99 = micros(p99_ns);
            format!("Sends: up to {} requests/s per worker, lag p99 {p99} µs (bound {bound})", count(rate.into()))
        }
        _ => format!("Sends: no rate that was tried kept its lag p99 within {bound}"),
    };
    let stream = match (l.streams, l.tokens_per_s, l.token_error_p99_ns) {
        (Some(streams), Some(tokens_per_s), Some(p99_ns)) => format!(
            "Token times: up to {} and {} tokens/s per worker, error p99 {} µs (bound {bound})",
            streams_named(streams),
            number(tokens_per_s),
            micros(p99_ns)
        ),
        _ => format!("Token times: no number of streams that was tried kept its error p99 within {bound}"),
    };
    let timer = c.timers.last().map(|step| {
        let (pacing, sleep) = (micros(step.pacing.p99_ns), micros(step.nanosleep.p99_ns));
        let rate = count(step.rate_per_s.into());
        format!("Pacing: p99 {pacing} µs late at {rate}/s, where clock_nanosleep is {sleep} µs late")
    });
    let busy = c.setup.others_share.filter(|share| *share > OTHERS_SHARE_MAX).map(|share| {
        let share = percent(share);
        format!("These are too low: others took {share} of the machine meanwhile. Measure again when it is idle")
    });
    let lines = [Some(send), Some(stream), timer, busy].into_iter().flatten();
    let wrapped = lines.flat_map(|line| bullet(&line, style));
    ["Limits of this host".to_owned()].into_iter().chain(wrapped).collect()
}

fn with_notes(mut table: Vec<String>, notes: &[String], style: Style) -> Vec<String> {
    table.extend(notes.iter().flat_map(|note| bullet(note, style)));
    table
}

fn bullet(text: &str, style: Style) -> Vec<String> {
    let lines = wrap(text, style.width.saturating_sub(4).max(8));
    lines.iter().enumerate().map(|(i, line)| format!("{}{line}", if i == 0 { "  - " } else { "    " })).collect()
}

fn streams_named(n: u32) -> String {
    format!("{} {}", count(n.into()), if n == 1 { "stream" } else { "streams" })
}

fn micros(ns: i64) -> String {
    number(ns as f64 / 1e3)
}

fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
    cells.map(str::to_owned)
}
