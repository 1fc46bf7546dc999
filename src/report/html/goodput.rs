//! A goodput search → one offline page: the rate, and the attainment curve with its intervals.
//!
//! Invariants: those of every page; the words are those of the text. Not here: the search
//! ([`crate::comparison::goodput_search`]).

use crate::comparison::goodput_search::{Decision, Found, Question};
use crate::report::goodput::{answer, decision};
use crate::report::number::{count, number, percent};

use super::axis::Axis;
use super::escape::{escape, escape_cut};
use super::figure::{Figure, Key, figure, no_data};
use super::svg::Chart;
use super::table::table;
use super::{Page, section};

const HEADING: &str = "Attainment by rate";

/// The page. `about` says what was asked of which deployment.
pub fn render(title: &str, about: &str, question: &Question, found: &Found) -> Page {
    let class = match (found.rate_rps, found.is_resolved) {
        (Some(_), true) => "valid",
        (Some(_), false) => "suspect",
        (None, _) => "invalid",
    };
    let says = answer(question, found);
    let (first, rest) = says.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let rest: String = rest.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    let figures = [curve(question, found)];
    let body = [
        format!(
            "<header><div><p class=\"kicker\">loadline · goodput search</p><h1>{}</h1><p class=\"sub\">{}</p></div></header>\n<main>\n",
            escape_cut(title, 120),
            escape_cut(about, 400)
        ),
        format!("<section class=\"verdict {class}\"><h2>{}</h2><ul>{rest}</ul></section>\n", escape(first)),
        section("Plot", &figures),
        rates(question, found),
        "</main>\n".into(),
    ];
    Page::new(title, &body.concat(), figures)
}

fn curve(question: &Question, found: &Found) -> Figure {
    let probes = &found.curve;
    let (Some(first), Some(last)) = (probes.first(), probes.last()) else {
        return no_data(HEADING, "No rate was measured to its end.");
    };
    let n: u64 = probes.iter().map(|p| p.attainment.requests).sum();
    let caption = format!(
        "Share of requests that met both targets, each rate with its {} interval; a Poisson open loop. n = {} requests at {} rates, \
         in the last look at each. Dashed: the share asked for, {}, and the rate found.",
        percent(question.confidence),
        count(n),
        probes.len(),
        percent(question.attainment)
    );
    let axes = (
        Axis::log("requests/s, log scale", [first.rate_rps, last.rate_rps]),
        Axis::up_to("share within both targets", 1.0),
    );
    let mut chart = Chart::new(HEADING, &caption, axes, 1);
    chart.curve("s1", &probes.iter().map(|p| (p.rate_rps, p.attainment.share)).collect::<Vec<_>>());
    for p in probes {
        let (a, class) = (p.attainment, colour(p.decision));
        chart.strokes(class, (a.low, a.high), [p.rate_rps].into_iter());
        let note = format!(
            "{} req/s {}: {} ({} to {}) of {} requests",
            number(p.rate_rps),
            decision(p.decision),
            percent(a.share),
            percent(a.low),
            percent(a.high),
            count(a.requests)
        );
        chart.dot(&format!("{class} big"), (p.rate_rps, a.share), &note);
    }
    // Its label would lie on the dots, which come down at the right end: the caption has it.
    chart.reference_y("slo", question.attainment, "");
    if let Some(rate) = found.rate_rps {
        chart.reference_x("slo", rate, &format!("{} req/s", number(rate)));
    }
    let keys = [Key::area("s3 solid", "holds"), Key::area("s4 solid", "undecided"), Key::area("s2 solid", "fails")];
    figure(HEADING, &keys, chart, &caption)
}

fn colour(decision: Decision) -> &'static str {
    match decision {
        Decision::Keeps => "s3",
        Decision::Undecided => "s4",
        Decision::Fails => "s2",
    }
}

fn rates(question: &Question, found: &Found) -> String {
    let rows: Vec<Vec<String>> = found
        .curve
        .iter()
        .map(|p| {
            let a = p.attainment;
            vec![
                number(p.rate_rps),
                count(a.requests),
                number(a.effective_requests),
                percent(a.share),
                percent(a.low),
                percent(a.high),
                decision(p.decision).into(),
            ]
        })
        .collect();
    let note = format!(
        "From, to: the {} interval, of as many independent requests as the run is worth.",
        percent(question.confidence)
    );
    table("Rates", &note, &["req/s", "requests", "worth", "SLA met", "from", "to", "decision"], &rows)
}
