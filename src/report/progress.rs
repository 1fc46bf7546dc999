//! Counters of a running engine → one live line on stderr.
//!
//! In: [`Snapshot`]s, a few a second. Out: a line that replaces itself, if stderr is a terminal; nothing otherwise.
//! Invariant: what is asked for and what is done stand side by side, the client's own lateness among them.
//! Not here: when to take a snapshot.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::number::{count, duration, number};

/// The counters of a run at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Seconds that the run will take, if its plan tells.
    pub total_s: Option<f64>,
    /// Requests in the schedule, if their number is known.
    pub scheduled_total: Option<u64>,
    /// Requests sent.
    pub sent: u64,
    /// Whole answers.
    pub completed: u64,
    /// Failures.
    pub failed: u64,
    /// Requests without an outcome yet.
    pub in_flight: u64,
    /// Stream events received.
    pub events: u64,
    /// Largest send lag so far.
    pub send_lag_max_ns: i64,
}

/// The live line. It disappears when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

/// Resolution of the bar; a terminal has fewer columns than this.
const STEPS: u64 = 1000;

impl Progress {
    /// A line on stderr, silent where stderr is no terminal.
    pub fn on_stderr() -> Progress {
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr_with_hz(10));
        // An invalid template could only be one that is written wrong here; the default line is then good enough.
        if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/dim} {wide_msg}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Progress { bar }
    }

    /// Shows the counters of this moment.
    pub fn update(&self, snapshot: &Snapshot) {
        self.bar.set_position((share_done(snapshot) * STEPS as f64) as u64);
        self.bar.set_message(line(snapshot));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How much of the run is done, 0 to 1: by requests with an outcome where their number is known, else by time.
fn share_done(s: &Snapshot) -> f64 {
    let share = match (s.scheduled_total, s.total_s) {
        (Some(total), _) if total > 0 => (s.completed + s.failed) as f64 / total as f64,
        (_, Some(total_s)) if total_s > 0.0 => s.elapsed_s / total_s,
        _ => 0.0,
    };
    share.clamp(0.0, 1.0)
}

fn line(s: &Snapshot) -> String {
    let of_time = s.total_s.map(|t| format!(" of {}", duration(t))).unwrap_or_default();
    let of_requests = s.scheduled_total.map(|n| format!("/{}", count(n))).unwrap_or_default();
    format!(
        "{}{of_time} · sent {}{of_requests} · done {} · failed {} · in flight {} · {} events · lag max {} ms",
        duration(s.elapsed_s),
        count(s.sent),
        count(s.completed),
        count(s.failed),
        count(s.in_flight),
        number(s.events as f64),
        number(s.send_lag_max_ns as f64 / 1e6),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_puts_asked_and_done_side_by_side() {
        let s = Snapshot {
            elapsed_s: 12.34,
            total_s: Some(60.0),
            scheduled_total: Some(2400),
            sent: 1234,
            completed: 1200,
            failed: 3,
            in_flight: 31,
            events: 1_234_567,
            send_lag_max_ns: 312_000,
        };
        assert_eq!(
            line(&s),
            "12.3 s of 60.0 s · sent 1,234/2,400 · done 1,200 · failed 3 · in flight 31 · \
             1.23M events · lag max 0.312 ms"
        );
        let open = Snapshot { total_s: None, scheduled_total: None, ..s };
        assert!(line(&open).starts_with("12.3 s · sent 1,234 · done"));
    }

    #[test]
    fn the_bar_goes_by_requests_then_by_time_and_never_over() {
        let s = Snapshot { completed: 30, failed: 10, elapsed_s: 30.0, ..Snapshot::default() };
        assert_eq!(share_done(&s), 0.0);
        assert_eq!(share_done(&Snapshot { total_s: Some(60.0), ..s }), 0.5);
        assert_eq!(share_done(&Snapshot { total_s: Some(20.0), ..s }), 1.0);
        assert_eq!(share_done(&Snapshot { total_s: Some(60.0), scheduled_total: Some(400), ..s }), 0.1);
    }
}
