//! A goodput search → a table for the terminal.

use crate::comparison::goodput_search::{Decision, Found, Question};

use super::number::{number, percent};
use super::terminal::Style;
use super::text::{columns, fit, plain, wrap};

/// The answer, and the attainment curve.
pub fn render(title: &str, question: &Question, found: &Found, style: Style) -> String {
    let mut text = format!("{}\n\n", fit(&plain(title), style.width));
    let mut rows = vec![["req/s", "requests", "worth", "SLA met", "from", "to", ""].map(String::from)];
    for p in &found.curve {
        let a = p.attainment;
        rows.push([
            number(p.rate_rps),
            a.requests.to_string(),
            number(a.effective_requests),
            percent(a.share),
            percent(a.low),
            percent(a.high),
            decision(p.decision).into(),
        ]);
    }
    for line in columns(&rows) {
        text += &format!("{}\n", fit(&line, style.width));
    }
    text.push('\n');
    for line in answer(question, found).iter().flat_map(|s| wrap(s, style.width)) {
        text += &format!("{line}\n");
    }
    text
}

/// A decision, in a word.
pub(super) fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Keeps => "holds",
        Decision::Fails => "fails",
        Decision::Undecided => "undecided",
    }
}

/// What was found, in sentences; the first is the answer.
pub(super) fn answer(question: &Question, found: &Found) -> Vec<String> {
    let share = percent(question.attainment);
    let low = if found.low_rps > 0.0 { number(found.low_rps) } else { "0".into() };
    let mut says = vec![match (found.rate_rps, found.high_rps) {
        (Some(rate), Some(high)) => format!(
            "Goodput: {} requests per second (between {low} and {}), the highest at which {share} met their targets",
            number(rate),
            number(high)
        ),
        (Some(rate), None) => format!("Goodput: at least {} requests per second; no rate failed", number(rate)),
        (None, _) => format!("At no rate that was tried did {share} of the requests meet their targets"),
    }];
    if !found.is_resolved {
        says.push(format!(
            "Unresolved: the ends are further apart than {} of the upper one; give more --requests-max, or another --start-rate or --max-rate",
            percent(question.precision)
        ));
    }
    says.push(format!(
        "from, to: {} interval of the share, of as many independent requests as the run is worth",
        percent(question.confidence)
    ));
    says
}

#[cfg(test)]
mod tests {
    use super::super::text::width;
    use super::*;
    use crate::comparison::goodput_search::search;

    #[test]
    fn the_answer_stands_below_the_curve_and_fits() {
        let question = Question {
            attainment: 0.9,
            start_rps: 1.0,
            rate_max_rps: 1000.0,
            requests: 200,
            requests_max: 800,
            precision: 0.1,
            confidence: 0.95,
        };
        let render = |limit: f64| {
            let found = search(&question, &mut |rate, n| Ok(Some(vec![rate < limit; n as usize]))).unwrap();
            render("Qwen at http://x", &question, &found, Style::default())
        };
        let text = render(10.0);
        assert!(text.lines().all(|l| width(l) <= 100), "{text}");
        assert!(
            text.contains("Goodput: 9 requests per second (between 9 and 10)")
                && text.contains("holds")
                && text.contains("fails"),
            "{text}"
        );
        assert!(!text.contains("Unresolved"), "{text}");
        assert!(render(1e9).contains("at least 1,000"), "{}", render(1e9));
        assert!(render(0.0).contains("At no rate") && render(0.0).contains("Unresolved"));
    }
}
