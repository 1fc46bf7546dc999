//! What a viewer knows of a running engine → the lines of a dashboard.
//!
//! Pure: the same [`Frame`] gives the same text. Lines keep to the style's width; without colour there is no escape in them.
//! Invariant: what is offered, what is sent and what is done stand side by side, the client's own lateness among them.
//! Not here: the terminal (`screen`), and when to look.

use super::number::{count, duration, number, percent};
use super::terminal::{BOLD, DIM, RED, Style, YELLOW, paint};
use super::text::{fit, pad, plain};

/// A distribution over the last seconds, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recent {
    /// Observations.
    pub n: u64,
    /// Median, 90th and 99th percentile.
    pub percentiles_ms: [f64; 3],
}

/// Requests and events per second over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Requests that were due; where a completion releases them, those that were sent.
    pub offered: f64,
    /// Requests sent.
    pub sent: f64,
    /// Whole answers.
    pub completed: f64,
    /// Stream events.
    pub events: f64,
}

/// A run at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Whom it asks.
    pub title: String,
    /// Whether it is the warm-up.
    pub warming: bool,
    /// What the user was told last, such as that the run was interrupted.
    pub notice: Option<&'static str>,
    /// Seconds since the phase's start.
    pub elapsed_s: f64,
    /// Seconds that its sends will take, if its plan tells.
    pub total_s: Option<f64>,
    /// Requests in the schedule, if their number is known.
    pub scheduled: Option<u64>,
    /// Requests sent.
    pub sent: u64,
    /// Whole answers.
    pub completed: u64,
    /// Requests without an outcome yet.
    pub in_flight: u64,
    /// Requests that were due and have not been sent.
    pub queued: u64,
    /// Failures, cancellations and requests not sent, by outcome; those of which there are some.
    pub others: Vec<(&'static str, u64)>,
    /// Of the last seconds.
    pub rates: Rates,
    /// How many seconds those are.
    pub over_s: f64,
    /// Time to the first token.
    pub ttft: Recent,
    /// Time between tokens, of requests that ended.
    pub itl: Recent,
    /// Time of whole requests.
    pub latency: Recent,
    /// Distance between a slot's time and its send.
    pub lag: Recent,
    /// Largest of all.
    pub lag_max_ms: f64,
    /// Requests sent in each of the last seconds, oldest first.
    pub sent_by_second: Vec<u64>,
}

/// Columns of the labels.
const LABELS: usize = 11;
/// Columns of the bar.
const BAR: usize = 40;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The dashboard of a moment, a line each.
pub fn render(frame: &Frame, style: Style) -> Vec<String> {
    let mut lines = vec![head(frame, style), bar(frame, style)];
    let mut row = |label: &str, value: &str| {
        lines.push(paint(&pad(label, LABELS), DIM, style) + &fit(value, style.width.saturating_sub(LABELS)));
    };
    let of_scheduled = frame.scheduled.map(|n| format!("/{}", count(n))).unwrap_or_default();
    row(
        "requests",
        &format!(
            "sent {}{of_scheduled} · done {} · in flight {} · due and waiting {}",
            count(frame.sent),
            count(frame.completed),
            count(frame.in_flight),
            count(frame.queued)
        ),
    );
    let Rates { offered, sent, completed, events } = frame.rates;
    row(
        "per second",
        &format!(
            "offered {} · sent {} · done {} · {} events",
            number(offered),
            number(sent),
            number(completed),
            number(events)
        ),
    );
    row("sent/s", &sparkline(&frame.sent_by_second, style.width.saturating_sub(LABELS + 12)));
    row("", &format!("{:>9}{:>9}{:>9}{:>9}   over the last {:.0} s", "p50", "p90", "p99", "n", frame.over_s));
    let max = format!("largest {}", number(frame.lag_max_ms));
    for (label, recent, note) in [
        ("TTFT ms", frame.ttft, ""),
        ("ITL ms", frame.itl, "of requests that ended"),
        ("latency ms", frame.latency, ""),
        ("lag ms", frame.lag, max.as_str()),
    ] {
        row(label, distribution(recent, note).trim_end());
    }
    if !frame.others.is_empty() {
        let each: Vec<String> = frame.others.iter().map(|(name, n)| format!("{name} {}", count(*n))).collect();
        let text = fit(&each.join(" · "), style.width.saturating_sub(LABELS));
        lines.push(paint(&pad("not done", LABELS), DIM, style) + &paint(&text, RED, style));
    }
    if let Some(notice) = frame.notice {
        lines.push(paint(&fit(notice, style.width), YELLOW, style));
    }
    lines
}

/// The line of a run without a dashboard. Ends without a line feed.
pub fn line(frame: &Frame) -> String {
    let of_time = frame.total_s.map(|t| format!(" of {}", duration(t))).unwrap_or_default();
    let of_requests = frame.scheduled.map(|n| format!("/{}", count(n))).unwrap_or_default();
    let failed: u64 = frame.others.iter().map(|(_, n)| n).sum();
    let warming = if frame.warming { "warm-up " } else { "" };
    format!(
        "{warming}{}{of_time} · sent {}{of_requests} ({}/s) · done {} · not done {} · in flight {} · lag max {} ms",
        duration(frame.elapsed_s),
        count(frame.sent),
        number(frame.rates.sent),
        count(frame.completed),
        count(failed),
        count(frame.in_flight),
        number(frame.lag_max_ms),
    )
}

/// How much of the run is done, 0 to 1: by requests with an outcome where their number is known, else by time.
pub(super) fn share_done(frame: &Frame) -> f64 {
    let ended = frame.completed + frame.others.iter().map(|(_, n)| n).sum::<u64>();
    let share = match (frame.scheduled, frame.total_s) {
        (Some(total), _) if total > 0 => ended as f64 / total as f64,
        (_, Some(total_s)) if total_s > 0.0 => frame.elapsed_s / total_s,
        _ => 0.0,
    };
    share.clamp(0.0, 1.0)
}

fn head(frame: &Frame, style: Style) -> String {
    let phase = if frame.warming { "warm-up" } else { "measurement" };
    let of_time = frame.total_s.map(|t| format!(" of {}", duration(t))).unwrap_or_default();
    let left = left_s(frame).map(|s| format!(", {} left", duration(s))).unwrap_or_default();
    let time = format!("{phase} {}{of_time}{left}", duration(frame.elapsed_s));
    let room = style.width.saturating_sub(time.chars().count() + 2);
    paint(&format!("{}  {time}", fit(&plain(&frame.title), room)), BOLD, style)
}

/// Seconds until the last send, by the plan; else until all are done, at the pace of the last seconds.
fn left_s(frame: &Frame) -> Option<f64> {
    if let Some(total_s) = frame.total_s {
        return Some((total_s - frame.elapsed_s).max(0.0));
    }
    let left = frame.scheduled?.checked_sub(frame.completed)?;
    (frame.rates.completed > 0.0).then(|| left as f64 / frame.rates.completed)
}

fn bar(frame: &Frame, style: Style) -> String {
    let share = share_done(frame);
    let columns = BAR.min(style.width.saturating_sub(10));
    let full = (share * columns as f64).round() as usize;
    let text = format!("{}{}", "━".repeat(full), "─".repeat(columns - full));
    format!("{text} {}", percent(share))
}

fn distribution(recent: Recent, note: &str) -> String {
    let cell = |x: f64| if recent.n == 0 { "–".into() } else { number(x) };
    let [p50, p90, p99] = recent.percentiles_ms.map(cell);
    format!("{p50:>9}{p90:>9}{p99:>9}{:>9}   {note}", count(recent.n))
}

/// The last values as columns of a height, and the largest.
fn sparkline(values: &[u64], columns: usize) -> String {
    let shown = &values[values.len().saturating_sub(columns)..];
    let most = shown.iter().copied().max().unwrap_or(0);
    let spark = |n: &u64| {
        let step = (*n as f64 / most.max(1) as f64 * (SPARKS.len() - 1) as f64).round() as usize;
        SPARKS[step]
    };
    let sparks: String = shown.iter().map(spark).collect();
    if shown.is_empty() { "–".into() } else { format!("{sparks} max {}", count(most)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::width;

    fn frame() -> Frame {
        let recent = |n, percentiles_ms| Recent { n, percentiles_ms };
        Frame {
            title: "Qwen/Qwen3-32B at http://10.0.0.7:8000".into(),
            warming: false,
            notice: None,
            elapsed_s: 12.34,
            total_s: Some(60.0),
            scheduled: Some(2400),
            sent: 494,
            completed: 450,
            in_flight: 31,
            queued: 4,
            others: vec![("http_error", 11), ("timeout", 2)],
            rates: Rates { offered: 40.0, sent: 39.6, completed: 37.2, events: 9_512.0 },
            over_s: 5.0,
            ttft: recent(198, [45.13, 80.2, 120.9]),
            itl: recent(186, [7.5, 7.91, 8.83]),
            latency: recent(186, [1_934.0, 2_101.0, 2_480.0]),
            lag: recent(198, [0.012, 0.02, 0.051]),
            lag_max_ms: 0.312,
            sent_by_second: vec![0, 10, 20, 30, 40, 40, 38],
        }
    }

    #[test]
    fn a_moment_is_drawn_line_by_line() {
        let style = Style { width: 90, color: false };
        let text = render(&frame(), style).join("\n");
        let expect = "\
Qwen/Qwen3-32B at http://10.0.0.7:8000  measurement 12.3 s of 60.0 s, 47.7 s left
━━━━━━━━──────────────────────────────── 19.3 %
requests   sent 494/2,400 · done 450 · in flight 31 · due and waiting 4
per second offered 40 · sent 39.6 · done 37.2 · 9,512 events
sent/s     ▁▃▅▆███ max 40
                 p50      p90      p99        n   over the last 5 s
TTFT ms         45.1     80.2      121      198
ITL ms          7.50     7.91     8.83      186   of requests that ended
latency ms     1,934    2,101    2,480      186
lag ms         0.012    0.020    0.051      198   largest 0.312
not done   http_error 11 · timeout 2";
        assert_eq!(text, expect, "\n{text}");
    }

    #[test]
    fn what_is_not_known_is_not_made_up_and_lines_keep_to_the_width() {
        let bare = Frame { title: "m".repeat(300), notice: Some("Interrupted."), ..Frame::default() };
        for width_asked in [40, 60, 100] {
            for frame in [&bare, &frame()] {
                for line in render(frame, Style { width: width_asked, color: false }) {
                    assert!(width(&line) <= width_asked.max(58), "{width_asked}: {line}");
                }
            }
        }
        let lines = render(&bare, Style { width: 80, color: false });
        assert!(lines[0].ends_with("measurement 0.0 s"), "{}", lines[0]);
        assert!(lines[6].contains("–        –        –        0"), "{}", lines[6]);
        assert_eq!(lines.last().map(String::as_str), Some("Interrupted."));
    }

    #[test]
    fn the_bar_goes_by_requests_then_by_time_and_never_over() {
        let of = |scheduled, total_s| share_done(&Frame { scheduled, total_s, ..frame() });
        assert_eq!(of(Some(463), Some(60.0)), 1.0);
        assert_eq!(of(Some(926), None), 0.5);
        assert_eq!(of(None, Some(24.68)), 0.5);
        assert_eq!(of(None, Some(5.0)), 1.0);
        assert_eq!(of(None, None), 0.0);
    }

    #[test]
    fn one_line_puts_asked_and_done_side_by_side() {
        assert_eq!(
            line(&frame()),
            "12.3 s of 60.0 s · sent 494/2,400 (39.6/s) · done 450 · not done 13 · in flight 31 · lag max 0.312 ms"
        );
    }
}
