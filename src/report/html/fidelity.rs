//! [`Fidelity`] and the timeline → the page's section on whether the load was the one that was planned.
//!
//! Invariant: the phrases are those of the terminal. Not here: whether a deviation matters (that is the verdict).

use crate::analysis::fidelity::{Fidelity, InputTokens};
use crate::analysis::timeline::Timeline;
use crate::report::fidelity::phrases;
use crate::report::number::count;

use super::axis::Axis;
use super::escape::escape;
use super::figure::{Figure, figure, no_data};
use super::over_time;
use super::svg::{Chart, Slice};

/// The section.
pub(super) fn section(fidelity: &Fidelity, figures: &[Figure]) -> String {
    let list: String = phrases(fidelity).iter().map(|(k, v)| format!("<dt>{k}</dt><dd>{}</dd>", escape(v))).collect();
    let figures: String = figures.iter().map(Figure::html).collect();
    format!("<section><h2>Fidelity to the plan</h2><dl>{list}</dl><div class=\"figures\">\n{figures}</div></section>\n")
}

/// Its figures.
pub(super) fn figures(fidelity: &Fidelity, timeline: &Timeline) -> [Figure; 2] {
    [over_time::planned_and_sent(timeline), prompt_errors(fidelity.input.as_ref())]
}

fn prompt_errors(input: Option<&InputTokens>) -> Figure {
    let heading = "Prompt tokens, the server's count against the plan";
    let Some(input) = input else {
        return no_data(heading, "The server told the tokens of no prompt.");
    };
    let classes = input.classes();
    let tallest = classes.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let caption = format!(
        "Prompts by how far the server's count is from what was asked for, each in the first class that holds it. n = {}; mean error \
         {:+.2} tokens ({:+.2} %), from {:+} to {:+}.",
        count(input.n),
        input.mean_error_tokens,
        input.mean_error_pct,
        input.min_error_tokens,
        input.max_error_tokens
    );
    let axes = (Axis::named("error", classes.map(|(name, _)| name)), Axis::from_zero("prompts", tallest as f64));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let bar = |(i, (name, n)): (usize, &(&str, u64))| Slice {
        from: i as f64 + 0.15,
        to: i as f64 + 0.85,
        height: *n as f64,
        note: format!("{name}: {}", count(*n)),
    };
    chart.bars("s1", &classes.iter().enumerate().map(bar).collect::<Vec<_>>());
    figure(heading, &[], chart, &caption)
}
