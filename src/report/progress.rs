//! The moments of a run → what stands on stderr while it goes on: a dashboard, a line, or nothing.
//!
//! On a terminal the dashboard and the line replace themselves and are gone at the end; elsewhere the line is written anew each
//! few seconds. Not here: what a moment looks like (`dashboard`), and when to take one.

use std::io::{IsTerminal, Stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::dashboard::{Frame, line, render, share_done};
use super::out;
use super::screen::Screen;
use super::terminal::Style;

/// What is shown of a run while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ui {
    /// A block of rates, latencies and errors.
    Dashboard,
    /// One line.
    Simple,
    /// Nothing.
    None,
}

/// Resolution of the bar; a terminal has fewer columns than this.
const STEPS: u64 = 1000;
/// Time from one line to the next where lines stay.
const LINES_EVERY_S: f64 = 5.0;
/// Size of a terminal that does not tell it.
const SIZE: (usize, usize) = (80, 24);
/// Columns of the widest dashboard.
const WIDTH_MAX: usize = 100;

#[derive(Debug)]
enum Shown {
    Nothing,
    Block(Screen<Stderr>),
    Bar(ProgressBar),
    Lines { next_s: f64, warming: bool },
}

/// What stands on stderr. It disappears when this is dropped.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    color: bool,
}

impl Progress {
    /// Shows what was asked for; by default the dashboard on a terminal, and nothing elsewhere.
    pub fn on_stderr(asked: Option<Ui>, color: bool) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let shown = match asked {
            Some(Ui::None) => Shown::Nothing,
            None if !terminal => Shown::Nothing,
            Some(Ui::Dashboard) | None if terminal => Shown::Block(Screen::new(std::io::stderr())),
            Some(Ui::Simple) if terminal => Shown::Bar(bar()),
            _ => Shown::Lines { next_s: LINES_EVERY_S, warming: false },
        };
        Progress { shown, color }
    }

    /// How often it is worth a look at the run; `None` for never.
    pub fn interval(&self) -> Option<Duration> {
        match self.shown {
            Shown::Nothing => None,
            Shown::Block(_) => Some(Duration::from_millis(250)),
            Shown::Bar(_) | Shown::Lines { .. } => Some(Duration::from_millis(100)),
        }
    }

    /// Whether the frames' notices are seen, so that nobody else need write them.
    pub fn shows_notices(&self) -> bool {
        matches!(self.shown, Shown::Block(_))
    }

    /// Shows a moment.
    pub fn update(&mut self, frame: &Frame) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Block(screen) => {
                let (columns, rows) = size();
                let style = Style { width: columns.saturating_sub(1).min(WIDTH_MAX), color: self.color };
                screen.draw(&render(frame, style), rows);
            }
            Shown::Bar(bar) => {
                bar.set_position((share_done(frame) * STEPS as f64) as u64);
                bar.set_message(line(frame));
            }
            Shown::Lines { next_s, warming } => {
                // Each phase counts from its own start.
                if std::mem::replace(warming, frame.warming) != frame.warming {
                    *next_s = LINES_EVERY_S;
                }
                if frame.elapsed_s >= *next_s {
                    *next_s = (frame.elapsed_s / LINES_EVERY_S).floor() * LINES_EVERY_S + LINES_EVERY_S;
                    // A reader that is gone is no reason to end a run.
                    let _ = out::stderr(&format!("{}\n", line(frame)));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr_with_hz(10));
    // An invalid template could only be one that is written wrong here; the default line is then good enough.
    if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/dim} {wide_msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => SIZE,
    }
}
