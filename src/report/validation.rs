//! A validation → a table for the terminal.

use crate::comparison::levels::Load;
use crate::comparison::repeats::Interval;
use crate::comparison::validation::{Compared, LevelResult, Predicted};
use crate::record::manifest::Judgement;

use super::number::{number, percent};
use super::terminal::Style;
use super::text::{columns, fit, plain, wrap};

/// The table of the levels, and what is to be said of them.
pub fn render(title: &str, predicted: Predicted, levels: &[LevelResult], notes: &[String], style: Style) -> String {
    let mut text = format!("{}\n\n", fit(&plain(title), style.width));
    let heads =
        ["level", "load", "n", "metric", "predicted", "p50", "error", "p99", "mean", "error", "SLA met", "good/s"];
    // What stands in a row of its own is aligned to the right, but for the first.
    let mut rows = vec![heads.map(String::from)];
    for r in levels {
        rows.push(row(r, "TTFT ms", predicted.ttft_ms, &r.ttft, true));
        rows.push(row(r, "ITL ms", predicted.itl_ms, &r.itl, false));
    }
    for line in columns(&rows) {
        text += &format!("{}\n", fit(&line, style.width));
    }
    text.push('\n');
    for line in remarks(levels, notes).iter().flat_map(|s| wrap(&plain(s), style.width)) {
        text += &format!("{line}\n");
    }
    text
}

/// What is to be said of the numbers.
pub(super) fn remarks(levels: &[LevelResult], notes: &[String]) -> Vec<String> {
    let steady = levels.iter().filter(|r| r.runs.iter().all(|run| run.is_steady)).count();
    let mut says = vec![
        "error: (predicted - actual) / actual; n: requests in the steady state, of all repeats; \
                         SLA met: share of requests that met both targets; good/s: how many did per second"
            .to_owned(),
    ];
    if steady < levels.len() {
        says.push("* too few requests in the steady state: these numbers are of the whole run".into());
    }
    says.extend(ramps(levels));
    says.extend(levels.iter().filter_map(intervals));
    for r in levels.iter().filter(|r| r.verdict.judgement > Judgement::Valid) {
        let judgement = if r.verdict.judgement == Judgement::Invalid { "invalid" } else { "suspect" };
        says.push(format!("{} is {judgement}: {}", r.level.name, r.verdict.reasons.join("; ")));
    }
    says.extend(notes.iter().cloned());
    says
}

/// How the clients of the levels began.
fn ramps(levels: &[LevelResult]) -> Option<String> {
    let at = |r: &LevelResult| r.ramp_s.map(|s| format!("{} s at {}", number(s), r.level.name));
    let ramps: Vec<String> = levels.iter().filter_map(at).collect();
    let is_spread = levels.iter().any(|r| r.ramp_s.is_some_and(|s| s > 0.0));
    (!ramps.is_empty()).then(|| match is_spread {
        true => format!(
            "clients began one after the other, so as not to ask in step, over {}; the steady state comes after that",
            ramps.join(", ")
        ),
        false => {
            "clients began all at once: where all answers are equally long they ask in step, and wait for each other"
                .into()
        }
    })
}

/// The load of a level, short.
pub(super) fn load(r: &LevelResult) -> String {
    match r.level.load {
        Load::Clients(clients) => clients.to_string(),
        Load::Rate(rps) => format!("{}/s", number(rps)),
    }
}

/// A number, or a dash.
pub(super) fn shown(x: Option<f64>) -> String {
    x.map_or_else(|| "-".into(), number)
}

fn row(
    r: &LevelResult,
    metric: &str,
    predicted: Option<f64>,
    compared: &[Compared; 4],
    is_first: bool,
) -> [String; 12] {
    let mark = if r.runs.iter().all(|run| run.is_steady) { "" } else { "*" };
    let steady: u64 = r.runs.iter().map(|run| run.steady_requests).sum();
    let [mean, p50, _, p99] = compared;
    let actual = |c: &Compared| shown(c.actual.map(|i| i.mean));
    let error = |c: &Compared| c.error.map_or_else(|| "-".into(), |e| signed(e.signed_pct()));
    let once = |text: String| if is_first { text } else { String::new() };
    [
        once(r.level.name.into()),
        once(load(r)),
        once(format!("{steady}{mark}")),
        metric.into(),
        shown(predicted),
        actual(p50),
        error(p50),
        actual(p99),
        actual(mean),
        error(mean),
        once(r.attainment.map_or_else(|| "-".into(), |i| percent(i.mean))),
        once(shown(r.goodput_rps.map(|i| i.mean))),
    ]
}

/// The intervals of a level that was repeated.
fn intervals(r: &LevelResult) -> Option<String> {
    let shown =
        |i: Option<Interval>| i?.ends.map(|(low, high)| format!("{} to {}", number(low.max(0.0)), number(high)));
    let parts: Vec<String> =
        [("TTFT p50", shown(r.ttft[1].actual)), ("ITL p50", shown(r.itl[1].actual)), ("goodput", shown(r.goodput_rps))]
            .into_iter()
            .filter_map(|(name, ends)| Some(format!("{name} {}", ends?)))
            .collect();
    (!parts.is_empty()).then(|| format!("{}, interval over {} runs: {}", r.level.name, r.runs.len(), parts.join(", ")))
}

/// A percentage with its sign.
pub(super) fn signed(percent: f64) -> String {
    let digits = usize::from(percent.abs() < 10.0);
    format!("{percent:+.digits$} %")
}

#[cfg(test)]
mod tests {
    use super::super::text::width;
    use super::*;
    use crate::analysis::fixture::stats;
    use crate::comparison::levels::closed;
    use crate::comparison::steady_state::Measured;
    use crate::record::manifest::Verdict;

    #[test]
    fn a_table_fits_and_marks_what_is_not_steady() {
        let run = |is_steady| Measured {
            steady_requests: 73,
            is_steady,
            requests: 100,
            window_s: 9.0,
            ttft: Some(stats(&[11_200.4; 5])),
            itl: None,
            request_rps: None,
            goodput_rps: Some(123.45),
            attainment: Some(0.5),
        };
        let predicted = Predicted { ttft_ms: Some(193.7), itl_ms: Some(21.123) };
        let valid = || Verdict { judgement: Judgement::Valid, reasons: Vec::new() };
        let level = |at: usize, is_steady| {
            LevelResult::new(closed(800)[at], vec![(run(is_steady), valid()), (run(true), valid())], predicted, 0.95)
        };
        let levels = [level(0, true), level(2, false)];
        let text = render("Qwen at http://x", predicted, &levels, &["a note".into()], Style::default());
        assert!(text.lines().all(|line| width(line) <= 100), "{text}");
        for expect in
            ["saturation", "720", "146*", "-98 %", "21.1", "50", "saturation is suspect", "a note", "over 2 runs"]
        {
            assert!(text.contains(expect), "{expect} in {text}");
        }
        let itl = text.lines().find(|l| l.contains("ITL ms")).unwrap();
        assert!(itl.trim_end().ends_with('-'), "what was not measured is a dash: {itl}");
    }
}
