//! A comparison → the summary: what each method cost and found, how wrong it was at which level, success, and five answers.

use crate::comparison::answers::{QUESTIONS, answers};
use crate::comparison::closed_loop::slo_rate;
use crate::comparison::criteria::criteria;
use crate::comparison::judgement::{Comparison, Judged, P50};
use crate::comparison::method::{Figure, LEVELS, Source};
use crate::comparison::prediction_error::PredictionError;
use crate::comparison::regret::Regret;

use super::number::{number, percent};
use super::terminal::{BOLD, Style};
use super::text::{columns, fit, pad, plain, wrap};

/// Columns of a name.
const NAME: usize = 16;
const UNKNOWN: &str = "unknown";

/// The summary, in lines of at most `style.width` columns.
pub fn render(c: &Comparison, style: Style) -> String {
    let mut out = Text { text: String::new(), style };
    let q = &c.question;
    out.line(&format!("{}: {}", title(c), c.setting()));
    out.line(&format!(
        "TTFT {} ms, ITL {} ms, ISL {}, OSL {}; intervals of {} %",
        number(q.target.ttft_ms),
        number(q.target.itl_ms),
        q.target.isl,
        q.target.osl,
        number(q.resampling.level * 100.0)
    ));
    out.heading("Cost, goodput and regret");
    out.table(&cost_and_regret(c));
    out.paragraph(&meaning(c));
    if let Some(validated) = validated(c) {
        out.paragraph(&validated);
    }
    out.heading("Predicted and measured");
    out.table(&levels(c));
    out.paragraph(
        "error: (predicted - actual) / actual, of the median; SLA met: share of requests that met both targets; good/s: \
         how many did per second",
    );
    out.heading("Success");
    for m in c.choosers() {
        for criterion in criteria(c, m) {
            let head = format!("{} {}: ", pad(criterion.decision.as_str(), 9), fit(&plain(&m.method.name), NAME));
            out.hanging(&head, 10, &format!("{}: {}", criterion.name, criterion.reason));
        }
    }
    out.heading("Up to which rate each meets its targets");
    for m in c.choosers() {
        let rate = slo_rate(&m.method, q.target);
        let told = rate.rps().map_or_else(String::new, |rps| format!("{} req/s, ", number(rps)));
        out.hanging(&format!("{}: ", m.method.name), 2, &format!("{told}{}", rate.reason()));
        if let Some(s) = &m.method.search {
            let rps = |x: Option<f64>| x.map_or_else(|| "none".into(), number);
            let resolved = if s.is_resolved { "resolved" } else { "unresolved" };
            let ends =
                format!("{} req/s, between {} and {}, {resolved}", rps(s.rate_rps), rps(s.low_rps), rps(s.high_rps));
            out.hanging("  ", 2, &format!("a goodput search found {ends}"));
        }
    }
    for (question, answer) in QUESTIONS.iter().zip(answers(c)) {
        out.heading(question);
        out.paragraph(&answer);
    }
    let notes: Vec<(&str, &String)> =
        c.methods.iter().flat_map(|m| m.method.notes.iter().map(|n| (m.method.name.as_str(), n))).collect();
    if !notes.is_empty() || !c.notes.is_empty() {
        out.heading("What to know of these results");
        for note in &c.notes {
            out.hanging("", 2, note);
        }
        for (name, note) in notes {
            out.hanging(&format!("{name}: "), 2, note);
        }
    }
    out.text
}

/// What is compared.
pub(super) fn title(c: &Comparison) -> String {
    match c.choosers().count() {
        1 => "Comparison of 1 method".into(),
        n => format!("Comparison of {n} methods"),
    }
}

struct Text {
    text: String,
    style: Style,
}

impl Text {
    fn line(&mut self, text: &str) {
        self.text += &format!("{}\n", fit(&plain(text), self.style.width));
    }

    fn heading(&mut self, text: &str) {
        let text = fit(&plain(text), self.style.width);
        self.text +=
            &if self.style.color { format!("\n\u{1b}[{BOLD}m{text}\u{1b}[0m\n") } else { format!("\n{text}\n") };
    }

    fn paragraph(&mut self, text: &str) {
        for line in wrap(&plain(text), self.style.width) {
            self.line(&line);
        }
    }

    /// A paragraph whose further lines are indented.
    fn hanging(&mut self, head: &str, indent: usize, text: &str) {
        let lines = wrap(&plain(&format!("{}{text}", head.trim_start())), self.style.width.saturating_sub(indent));
        let first = head.len() - head.trim_start().len();
        for (i, line) in lines.iter().enumerate() {
            self.line(&format!("{}{line}", " ".repeat(if i == 0 { first } else { indent })));
        }
    }

    fn table<const N: usize>(&mut self, rows: &[[String; N]]) {
        for line in columns(rows) {
            self.line(&line);
        }
    }
}

fn figure(f: &Option<Figure>) -> String {
    f.as_ref().map_or_else(
        || UNKNOWN.into(),
        |f| format!("{}{}", if f.source == Source::Estimated { "~" } else { "" }, number(f.value)),
    )
}

fn cost_and_regret(c: &Comparison) -> Vec<[String; 9]> {
    let head = ["method", "GPUs", "wall s", "GPU h", "deployed", "good/s", "per GPU", "regret", "re-tuned"];
    let row = |m: &Judged| {
        let cost = &m.method.cost;
        let strict = m.strict.as_ref();
        [
            fit(&plain(&m.method.name), NAME),
            m.method.deployment.gpus.map_or_else(|| UNKNOWN.into(), |n| n.to_string()),
            figure(&cost.wall_s),
            figure(&cost.gpu_hours),
            figure(&cost.deployments),
            strict.map_or_else(|| UNKNOWN.into(), |at| number(at.rps)),
            strict.and_then(|at| at.per_gpu).map_or_else(|| UNKNOWN.into(), number),
            regret(&m.regret, m.regret_interval.map(|i| (i.low, i.high))),
            regret(&m.regret_retuned, m.regret_retuned_ends),
        ]
    };
    std::iter::once(head.map(String::from)).chain(c.methods.iter().map(row)).collect()
}

/// A regret with its ends, in a cell.
pub(super) fn regret(regret: &Regret, ends: Option<(f64, f64)>) -> String {
    let Some(value) = regret.value() else { return "undefined".into() };
    match ends {
        Some((low, high)) => {
            format!("{} [{}, {}]", percent(value), percent(low.clamp(0.0, 1.0)), percent(high.clamp(0.0, 1.0)))
        }
        None => percent(value),
    }
}

fn meaning(c: &Comparison) -> String {
    let best = c.best.as_ref().map_or_else(
        || "no goodput is known".to_owned(),
        |best| {
            let name = &c.methods[best.method].method.name;
            let value = if c.is_per_gpu { best.at.per_gpu.unwrap_or_default() } else { best.at.rps };
            format!("the best that was measured is {} {} of {name} ({})", number(value), c.unit(), best.at.load)
        },
    );
    let retuned = if c.is_by_search { "rates of goodput searches" } else { "the best of each deployment's loads" };
    let estimated = if c.methods.iter().any(is_estimated) { "; ~ estimated" } else { "" };
    let undefined: Vec<&str> = c.methods.iter().filter_map(|m| m.regret.reason()).collect();
    let mut why = String::new();
    for (i, reason) in undefined.iter().enumerate().filter(|(i, r)| !undefined[..*i].contains(r)) {
        why += &format!("{}{reason}", if i == 0 { ". Undefined: " } else { "; " });
    }
    let unit = c.unit();
    format!("regret: (best - own) / best in {unit}; {best}; re-tuned: of {retuned}{estimated}{why}")
}

/// What measuring the choices took, which is no part of the cost of choosing.
fn validated(c: &Comparison) -> Option<String> {
    let shown = |m: &Judged| {
        let (wall_s, gpu_h) = m.method.validation_cost();
        let gpu_h = gpu_h.map_or_else(|| "GPUs unknown".into(), |h| format!("{} GPU h", number(h)));
        Some(format!("{} {} s ({gpu_h})", m.method.name, number(wall_s?)))
    };
    let all: Vec<String> = c.choosers().filter_map(shown).collect();
    (!all.is_empty()).then(|| {
        format!("not in these costs, for it is no part of choosing: measuring what was chosen took {}", all.join(", "))
    })
}

fn is_estimated(m: &Judged) -> bool {
    let cost = &m.method.cost;
    [&cost.wall_s, &cost.gpu_hours, &cost.deployments]
        .into_iter()
        .any(|f| f.as_ref().is_some_and(|f| f.source == Source::Estimated))
}

fn levels(c: &Comparison) -> Vec<[String; 11]> {
    let head = ["level", "method", "clients", "TTFT ms", "p50", "error", "ITL ms", "p50", "error", "SLA met", "good/s"];
    let mut rows = vec![head.map(String::from)];
    for (index, name) in LEVELS.iter().enumerate() {
        for m in c.choosers() {
            let level = &m.method.levels[index];
            let measured = level.measured.as_ref();
            let shown = |x: Option<f64>| x.map_or_else(|| "-".into(), number);
            let errors = &m.errors[index];
            rows.push([
                (*name).into(),
                fit(&plain(&m.method.name), 12),
                measured.and_then(|m| m.concurrency).map_or_else(|| "-".into(), |n| n.to_string()),
                shown(level.ttft.as_ref().map(|p| p.ms)),
                shown(measured.and_then(|m| m.ttft.p50)),
                signed(errors.ttft[P50]),
                shown(level.itl.as_ref().map(|p| p.ms)),
                shown(measured.and_then(|m| m.itl.p50)),
                signed(errors.itl[P50]),
                measured.and_then(|m| m.attainment).map_or_else(|| "-".into(), percent),
                shown(measured.and_then(|m| m.goodput_rps)),
            ]);
        }
    }
    rows
}

/// An error with its sign.
pub(super) fn signed(error: Option<PredictionError>) -> String {
    error.map_or_else(
        || "-".into(),
        |e| {
            let percent = e.signed_pct();
            let digits = usize::from(percent.abs() < 10.0);
            format!("{percent:+.digits$} %")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::text::width;
    use super::*;
    use crate::comparison::judgement::tests::{method, question};

    #[test]
    fn a_summary_fits_and_says_what_it_does_not_know() {
        let long = "a method with a name that is far longer than its column";
        let mut methods = vec![
            method("Online-ALL", 4, 12_345.678, (80.0, 100.0), Some(12_345.678)),
            method(long, 8, 1_234.567, (12_345.678, 11_345.678), Some(100.0)),
        ];
        methods[1].notes.push("x\u{1b}[31m".repeat(30));
        methods[0].cost.deployments = Some(Figure { value: 7.0, source: Source::Estimated, from: "a test".into() });
        let text = render(&Comparison::new(question(), &methods), Style::default());
        for line in text.lines() {
            assert!(width(line) <= 100, "{line}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
        for part in ["unknown", "~7", "~ estimated", "-20 %", "medium", "pass", "Which one should I use?"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        methods[0].optimization = None;
        let text = render(&Comparison::new(question(), &methods), Style::default());
        assert!(text.contains("undefined") && text.contains("Undefined: "), "{text}");
    }
}
