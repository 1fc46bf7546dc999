//! A comparison → one offline page: success, five answers, cost against regret, predicted against measured, goodput, tables.
//!
//! Invariants: those of every page; the numbers are those of the summary; what is not known is in no drawing, and is written
//! so in the tables. Methods are letters in drawings, because their names are the user's and of any length. Not here: what the
//! numbers are ([`crate::comparison::judgement`]).

use crate::comparison::answers::{QUESTIONS, answers};
use crate::comparison::closed_loop::slo_rate;
use crate::comparison::criteria::{Decision, criteria};
use crate::comparison::judgement::{At, Comparison, Judged, P50};
use crate::comparison::method::{Figure as Cost, LEVELS, Level, Measured, Predicted};
use crate::report::comparison::{regret, signed};
use crate::report::number::{number, percent};

use super::axis::Axis;
use super::escape::{escape, escape_cut};
use super::figure::{Figure, Key, figure, no_data};
use super::svg::{Chart, Slice};
use super::table::table;
use super::{Page, section};

/// Letters of methods, and colours, taken in turn.
const LETTERS: [&str; 12] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"];
const COLOURS: [&str; 4] = ["s1", "s2", "s3", "s4"];
/// Lines of methods: of those with one colour the second is dashed, the third dotted.
const CLASSES: [&str; 12] =
    ["s1", "s2", "s3", "s4", "s1 dash", "s2 dash", "s3 dash", "s4 dash", "s1 dot1", "s2 dot1", "s3 dot1", "s4 dot1"];
const UNKNOWN: &str = "unknown";

/// The page. Drawings show the first twelve methods, tables all.
pub fn render(c: &Comparison) -> Page {
    let title = crate::report::comparison::title(c);
    let target = c.question.target;
    let workload = format!(
        "{} · TTFT {} ms, ITL {} ms · prompts of {} and answers of {} tokens",
        c.setting(),
        number(target.ttft_ms),
        number(target.itl_ms),
        target.isl,
        target.osl
    );
    let mut figures = vec![cost_and_regret(c)];
    figures.extend(courses(c));
    figures.extend([
        regrets(c),
        accuracy(c, "TTFT, predicted and measured", |l| Some((l.ttft.as_ref()?, l.measured.as_ref()?.ttft.p50?))),
        accuracy(c, "ITL, predicted and measured", |l| Some((l.itl.as_ref()?, l.measured.as_ref()?.itl.p50?))),
        goodputs(c),
    ]);
    let body = [
        format!(
            "<header><div><p class=\"kicker\">loadline · compare</p><h1>{}</h1><p class=\"sub\">{}</p></div></header>\n<main>\n",
            escape(&title),
            escape_cut(&workload, 240)
        ),
        success(c),
        questions(c),
        costs(c),
        section("Plots", &figures),
        levels(c),
        rates(c),
        notes(c),
        "</main>\n".into(),
    ];
    Page::new(&title, &body.concat(), figures)
}

/// The methods that drawings show.
fn drawn(c: &Comparison) -> impl Iterator<Item = (usize, &Judged)> {
    c.methods.iter().enumerate().take(LETTERS.len())
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// As [`colour`], and told apart by dashes from the fifth on.
fn class(index: usize) -> &'static str {
    CLASSES[index % CLASSES.len()]
}

fn keys(c: &Comparison) -> Vec<Key> {
    drawn(c).map(|(i, m)| Key::named(colour(i), name(i, m))).collect()
}

/// A name with its letter.
fn name(index: usize, m: &Judged) -> String {
    let name: String = m.method.name.chars().take(40).collect();
    LETTERS.get(index).map_or_else(|| name.clone(), |letter| format!("{letter} {name}"))
}

fn success(c: &Comparison) -> String {
    let all: Vec<_> = c.choosers().flat_map(|m| criteria(c, m).into_iter().map(move |c| (m, c))).collect();
    let any = |decision| all.iter().any(|(_, c)| c.decision == decision);
    let (class, word) = match (any(Decision::Fail), any(Decision::Undecided)) {
        (true, _) => ("invalid", "a criterion is failed"),
        (false, true) => ("suspect", "a criterion is undecided"),
        (false, false) => ("valid", "every criterion is met"),
    };
    let lines: String = all
        .iter()
        .map(|(m, c)| {
            let text = format!("{}: {}: {} ({})", m.method.name, c.name, c.decision.as_str(), c.reason);
            format!("<li>{}</li>", escape_cut(&text, 400))
        })
        .collect();
    format!("<section class=\"verdict {class}\"><h2>Success: {word}</h2><ul>{lines}</ul></section>\n")
}

fn questions(c: &Comparison) -> String {
    let told: String = QUESTIONS
        .iter()
        .zip(answers(c))
        .map(|(question, answer)| format!("<dt>{}</dt><dd>{}</dd>", escape(question), escape_cut(&answer, 2000)))
        .collect();
    format!("<section><h2>Five questions</h2><dl>{told}</dl></section>\n")
}

fn cost_and_regret(c: &Comparison) -> Figure {
    let heading = "Cost and regret";
    let point = |m: &Judged| Some((m.method.cost.gpu_hours.as_ref()?.value, m.regret.value()? * 100.0));
    let points: Vec<(usize, (f64, f64))> = drawn(c).filter_map(|(i, m)| Some((i, point(m)?))).collect();
    if points.is_empty() {
        return no_data(heading, "Of no method both the GPU hours and the regret are known.");
    }
    let caption = format!(
        "GPU hours until a method had chosen, against its regret as deployed, in {}. Line: the least regret that was had for at most so much. n = {} of {} methods, of which both are known. Dashed: the bound.",
        c.unit(),
        points.len(),
        drawn(c).count()
    );
    let bound = c.question.bounds.regret * 100.0;
    let high = |of: fn(&(f64, f64)) -> f64, least: f64| points.iter().map(|(_, p)| of(p)).fold(least, f64::max);
    let axes = (
        Axis::from_zero("GPU hours", high(|p| p.0, 0.0) * 1.02),
        Axis::from_zero("regret, %", high(|p| p.1, bound * 1.1)),
    );
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let mut curve: Vec<(f64, f64)> = points.iter().map(|(_, p)| *p).collect();
    curve.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    // The best that can be had for at most so much: falls from left to right.
    let mut best = f64::INFINITY;
    curve.retain(|p| {
        p.1 < best && {
            best = p.1;
            true
        }
    });
    chart.curve("thin", &curve);
    for (i, (hours, lost)) in points {
        let note = format!("{}: {} GPU hours, regret {} %", name(i, &c.methods[i]), number(hours), number(lost));
        chart.dot(&format!("{} big", colour(i)), (hours, lost), &note);
    }
    chart.reference_y("slo", bound, &format!("bound {} %", number(bound)));
    figure(heading, &keys(c), chart, &caption)
}

/// The regret of ending after each measurement, of the methods that `sweep --online` measured for; none where there is no such method.
fn courses(c: &Comparison) -> Option<Figure> {
    let heading = "Regret by GPU hours spent";
    let known: Vec<(usize, Vec<(f64, f64)>)> = drawn(c)
        .map(|(i, m)| (i, m.course.iter().filter_map(|(hours, lost)| Some((*hours, (*lost)? * 100.0))).collect()))
        .filter(|(_, curve): &(usize, Vec<_>)| !curve.is_empty())
        .collect();
    if known.is_empty() {
        return None;
    }
    let caption = format!(
        "What each method would have lost if it had ended after a measurement (a dot), over the GPU hours spent until then; of tokens/s/GPU within \
         the targets, against the best that any of them measured. n = {} measurements of {} methods. Dashed: the bound.",
        known.iter().map(|(_, curve)| curve.len()).sum::<usize>(),
        known.len()
    );
    let bound = c.question.bounds.regret * 100.0;
    let points = || known.iter().flat_map(|(_, curve)| curve);
    let axes = (
        Axis::from_zero("GPU hours", points().map(|p| p.0).fold(0.0, f64::max) * 1.02),
        Axis::from_zero("regret, %", points().map(|p| p.1).fold(bound * 1.1, f64::max)),
    );
    let last = points().map(|p| p.0).fold(0.0, f64::max);
    let mut chart = Chart::new(heading, &caption, axes, 0);
    for (i, curve) in &known {
        // What was chosen holds until the next measurement is there, and the last choice to the end.
        let until = |n: usize| curve.get(n + 1).map_or(last, |next| next.0);
        let steps: Vec<_> = curve.iter().enumerate().map(|(n, p)| (p.0, until(n), Some(p.1))).collect();
        chart.steps(class(*i), &steps);
        for (n, (hours, lost)) in curve.iter().enumerate() {
            let name = name(*i, &c.methods[*i]);
            let note = format!(
                "{name}, {} of {}: {} GPU hours, regret {} %",
                n + 1,
                curve.len(),
                number(*hours),
                number(*lost)
            );
            chart.dot(colour(*i), (*hours, *lost), &note);
        }
    }
    chart.reference_y("slo", bound, &format!("bound {} %", number(bound)));
    let keys: Vec<Key> = known.iter().map(|(i, _)| Key::named(class(*i), name(*i, &c.methods[*i]))).collect();
    Some(figure(heading, &keys, chart, &caption))
}

fn regrets(c: &Comparison) -> Figure {
    let heading = "Regret with its interval";
    let known: Vec<(usize, f64, &Judged)> =
        drawn(c).filter_map(|(i, m)| Some((i, m.regret.value()? * 100.0, m))).collect();
    if known.is_empty() {
        let why = c.methods.iter().find_map(|m| m.regret.reason()).unwrap_or("there is no method");
        return no_data(heading, &format!("Regret is not defined: {why}."));
    }
    let level = c.question.resampling.level;
    let caption = format!(
        "As deployed, in {}; bars: {} intervals by block bootstrap, where requests are recorded. n = {} methods. Dashed: the bound.",
        c.unit(),
        percent(level),
        known.len()
    );
    let bound = c.question.bounds.regret * 100.0;
    let highest =
        known.iter().map(|(_, r, m)| m.regret_interval.map_or(*r, |e| e.high * 100.0)).fold(bound * 1.1, f64::max);
    let letters: Vec<&'static str> = drawn(c).map(|(i, _)| LETTERS[i]).collect();
    let axes = (Axis::classes("method", &letters), Axis::from_zero("regret, %", highest));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    for (i, value, m) in known {
        let at = i as f64 + 0.5;
        if let Some(ends) = m.regret_interval {
            let ends = (ends.low.max(0.0) * 100.0, ends.high.max(0.0) * 100.0);
            chart.strokes(&format!("{} thick", colour(i)), ends, std::iter::once(at));
        }
        let note = format!("{}: {}", name(i, m), regret(&m.regret, m.regret_interval.map(|r| (r.low, r.high))));
        chart.dot(&format!("{} big", colour(i)), (at, value), &note);
    }
    chart.reference_y("slo", bound, &format!("bound {} %", number(bound)));
    figure(heading, &keys(c), chart, &caption)
}

/// What a method came to, deployed in one of two ways.
type PartOf = fn(&Judged) -> &Option<At>;

fn accuracy(c: &Comparison, heading: &str, of: fn(&Level) -> Option<(&Predicted, f64)>) -> Figure {
    let points: Vec<(usize, usize, f64, f64)> = drawn(c)
        .flat_map(|(i, m)| {
            let at = move |(level, l): (usize, &Level)| of(l).map(|(p, actual)| (i, level, actual, p.ms));
            m.method.levels.iter().enumerate().filter_map(at).collect::<Vec<_>>()
        })
        .collect();
    if points.is_empty() {
        return no_data(heading, "Of no level both a prediction and a measurement are on disk.");
    }
    let off = c.question.bounds.accuracy;
    let caption = format!(
        "Medians of the four levels, log scales, n = {}. Line: predicted as measured; dashed: {} off either way. Below it: slower than predicted.",
        points.len(),
        percent(off)
    );
    let all = || points.iter().flat_map(|p| [p.2, p.3]);
    let axes = (Axis::log("measured, ms", all()), Axis::log("predicted, ms", all()));
    let (low, high) = all().fold((f64::MAX, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    // Straight on two logarithmic axes.
    for times in [1.0 - off, 1.0 + off] {
        chart.curve("thin dash", &[(low, low * times), (high, high * times)]);
    }
    chart.curve("thin", &[(low, low), (high, high)]);
    for (i, level, actual, predicted) in points {
        let error = (predicted - actual) / actual * 100.0;
        let note = format!(
            "{}, {}: predicted {} ms, measured {} ms, {error:+.1} %",
            name(i, &c.methods[i]),
            LEVELS[level],
            number(predicted),
            number(actual)
        );
        chart.dot(&format!("{} big", colour(i)), (actual, predicted), &note);
    }
    figure(heading, &keys(c), chart, &caption)
}

fn goodputs(c: &Comparison) -> Figure {
    let heading = if c.is_per_gpu { "Goodput per GPU" } else { "Goodput" };
    let value = |at: &Option<At>| at.as_ref().and_then(|at| if c.is_per_gpu { at.per_gpu } else { Some(at.rps) });
    let highest = drawn(c).flat_map(|(_, m)| [value(&m.strict), value(&m.retuned)]).flatten().fold(0.0, f64::max);
    if highest <= 0.0 {
        return no_data(
            heading,
            "No request of any method met both targets, or none was measured; the table tells which.",
        );
    }
    let letters: Vec<&'static str> = drawn(c).map(|(i, _)| LETTERS[i]).collect();
    let caption = format!(
        "{}: as deployed (at {}), and re-tuned ({}). n = {} methods.",
        c.unit(),
        c.basis.as_str(),
        if c.is_by_search { "the rate that a goodput search found" } else { "the best of its loads" },
        drawn(c).count()
    );
    let axes = (Axis::classes("method", &letters), Axis::from_zero(c.unit(), highest));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let of: [(&str, Key, PartOf); 2] = [
        ("s1 solid", Key::area("s1 solid", "as deployed"), |m| &m.strict),
        ("s2 solid", Key::area("s2 solid", "re-tuned"), |m| &m.retuned),
    ];
    // A kind that no method has takes no room.
    let known: Vec<_> = of.into_iter().filter(|(_, _, of)| drawn(c).any(|(_, m)| value(of(m)).is_some())).collect();
    let width = 0.7 / known.len() as f64;
    for (n, (class, key, of)) in known.iter().enumerate() {
        let bars: Vec<Slice> = drawn(c)
            .filter_map(|(i, m)| {
                let height = value(of(m))?;
                let from = i as f64 + 0.15 + n as f64 * width;
                let note = format!("{}, {}: {} {}", name(i, m), key.name, number(height), c.unit());
                Some(Slice { from, to: from + width, height, note })
            })
            .collect();
        chart.bars(class, &bars);
    }
    let keys: Vec<Key> = known.into_iter().map(|(_, key, _)| key).collect();
    figure(heading, &keys, chart, &caption)
}

fn costs(c: &Comparison) -> String {
    let figure = |f: &Option<Cost>| {
        f.as_ref().map_or_else(|| UNKNOWN.into(), |f| format!("{} ({})", number(f.value), f.source.as_str()))
    };
    let shown = |x: Option<f64>| x.map_or_else(|| UNKNOWN.into(), number);
    let row = |(i, m): (usize, &Judged)| {
        let (cost, strict) = (&m.method.cost, m.strict.as_ref());
        vec![
            name(i, m),
            m.method.deployment.gpus.map_or_else(|| UNKNOWN.into(), |n| n.to_string()),
            figure(&cost.wall_s),
            figure(&cost.gpu_hours),
            figure(&cost.deployments),
            shown(m.method.validation_cost().1),
            shown(strict.map(|at| at.rps)),
            shown(strict.and_then(|at| at.per_gpu)),
            regret(&m.regret, m.regret_interval.map(|i| (i.low, i.high))),
            regret(&m.regret_retuned, m.regret_retuned_ends),
        ]
    };
    let rows: Vec<Vec<String>> = c.methods.iter().enumerate().map(row).collect();
    let heads = [
        "",
        "GPUs",
        "wall, s",
        "GPU hours",
        "deployments",
        "validation, GPU h",
        "goodput, req/s",
        "per GPU",
        "regret",
        "re-tuned",
    ];
    let mut why: Vec<&str> = c.methods.iter().filter_map(|m| m.regret.reason()).collect();
    why.dedup();
    let why = if why.is_empty() { String::new() } else { format!(" Undefined: {}.", why.join("; ")) };
    let note = format!("Regret: (best measured - own) / best measured, of goodput in {}.{why}", c.unit());
    table("Methods", &note, &heads, &rows)
}

fn levels(c: &Comparison) -> String {
    let shown = |x: Option<f64>| x.map_or_else(|| "–".into(), number);
    let mut rows = Vec::new();
    for (at, level_name) in LEVELS.iter().enumerate() {
        for (i, m) in c.methods.iter().enumerate().filter(|(_, m)| !m.method.is_candidate) {
            let level = &m.method.levels[at];
            let nothing = Measured::default();
            let (measured, errors) = (level.measured.as_ref().unwrap_or(&nothing), &m.errors[at]);
            rows.push(vec![
                format!("{level_name}, {}", name(i, m)),
                measured.concurrency.map_or_else(|| "–".into(), |n| n.to_string()),
                shown(level.ttft.as_ref().map(|p| p.ms)),
                shown(measured.ttft.p50),
                shown(measured.ttft.p99),
                signed(errors.ttft[P50]),
                shown(level.itl.as_ref().map(|p| p.ms)),
                shown(measured.itl.p50),
                shown(measured.itl_without_second_token_ms),
                signed(errors.itl[P50]),
                measured.attainment.map_or_else(|| "–".into(), percent),
                shown(measured.goodput_rps),
            ]);
        }
    }
    let heads = [
        "",
        "in flight",
        "TTFT predicted, ms",
        "p50",
        "p99",
        "error",
        "ITL predicted, ms",
        "p50",
        "without token 2",
        "error",
        "met both",
        "goodput, req/s",
    ];
    table("Levels", "Errors: (predicted - actual) / actual, of medians; – and - are not known.", &heads, &rows)
}

fn rates(c: &Comparison) -> String {
    let line = |(i, m): (usize, &Judged)| {
        let rate = slo_rate(&m.method, c.question.target);
        let told = rate.rps().map_or_else(String::new, |rps| format!("{} req/s, ", number(rps)));
        let found = m.method.search.as_ref().and_then(|s| s.rate_rps);
        let found = found.map_or_else(String::new, |rps| format!(". A goodput search found {} req/s", number(rps)));
        let text = format!("{}: {told}{}{found}", name(i, m), rate.reason());
        format!("<li>{}</li>", escape_cut(&text, 600))
    };
    let lines: String = c.methods.iter().enumerate().filter(|(_, m)| !m.method.is_candidate).map(line).collect();
    format!("<section><h2>Up to which rate each meets its targets</h2><ul>{lines}</ul></section>\n")
}

fn notes(c: &Comparison) -> String {
    let of = |m: &Judged| m.method.notes.iter().map(|n| format!("{}: {n}", m.method.name)).collect::<Vec<_>>();
    let all: String = c
        .notes
        .iter()
        .cloned()
        .chain(c.methods.iter().flat_map(of))
        .map(|note| format!("<li>{}</li>", escape_cut(&note, 400)))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    format!("<section><h2>What to know of these results</h2><ul>{all}</ul></section>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::judgement::tests::{method, question};

    #[test]
    fn the_page_holds_the_numbers_and_nothing_of_a_name_gets_out_of_its_text() {
        let mut methods = vec![
            method("Online-ALL", 4, 12.0, (80.0, 100.0), Some(9000.0)),
            method("<script>alert(1)</script>", 2, 8.0, (90.0, 100.0), Some(30.0)),
        ];
        methods[0].notes.push("\"><img src=x>".into());
        let text = render(&Comparison::new(question(), &methods)).text;
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "escaped");
        assert_eq!(text.matches("<figure").count(), 5);
        for part in ["Success:", "Which one should I use?", "25.0 %", "-20 %", "re-tuned", "A Online-ALL"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.contains("Of no method both the GPU hours"), "what is not known is not drawn as 0");
    }

    #[test]
    fn many_methods_with_nothing_known_make_a_page_too() {
        let methods = vec![crate::comparison::method::Method::default(); 30];
        let text = render(&Comparison::new(question(), &methods)).text;
        assert!(text.contains("no data") && text.contains(UNKNOWN) && text.len() < 400_000);
    }
}
