//! Several runs → a table for the terminal: of repeats each number with its interval, of combinations a line each.

use crate::comparison::combinations::{Combination, Findings};
use crate::comparison::repeats::Spread;

use super::number::{number, percent, unit};
use super::terminal::Style;
use super::text::{fit, pad, width};

/// Statistics that a first look is for.
const FIRST_LOOK: [(&str, &str); 10] = [
    ("request_throughput", "avg"),
    ("output_token_throughput", "avg"),
    ("goodput", "avg"),
    ("time_to_first_token", "avg"),
    ("time_to_first_token", "p99"),
    ("inter_token_latency", "avg"),
    ("inter_token_latency", "p99"),
    ("request_latency", "avg"),
    ("request_latency", "p99"),
    ("send_lag", "p99"),
];
/// Columns of a combination, behind its parameters.
const COLUMNS: [(&str, &str, &str); 6] = [
    ("req/s", "request_throughput", "avg"),
    ("out tok/s", "output_token_throughput", "avg"),
    ("TTFT ms", "time_to_first_token", "avg"),
    ("p99", "time_to_first_token", "p99"),
    ("ITL ms", "inter_token_latency", "avg"),
    ("p99", "inter_token_latency", "p99"),
];

/// The table of repeats.
pub fn repeats(runs: usize, confidence: f64, spreads: &[Spread], style: Style) -> String {
    let mut rows = vec![["Metric", "", "mean", "from", "to", "std", "cv"].map(String::from)];
    for (name, stat) in FIRST_LOOK {
        let Some(s) = spreads.iter().find(|s| s.def.name == name && s.stat == stat) else { continue };
        let title = if stat == "avg" { s.def.title.to_owned() } else { format!("{} {stat}", s.def.title) };
        let cv = s.cv.map_or_else(|| "-".into(), percent);
        let numbers = [s.mean, s.ci_low, s.ci_high, s.std].map(number);
        let [mean, low, high, std] = numbers;
        rows.push([title, unit(s.def.unit).into(), mean, low, high, std, cv]);
    }
    let interval =
        if runs > 1 { format!("from, to: {} interval of the mean", percent(confidence)) } else { String::new() };
    format!("{}{}\n", lines(&rows, 2, style), fit(format!("{runs} runs. {interval}").trim_end(), style.width))
}

/// The table of combinations.
pub fn combinations(all: &[Combination], findings: &Findings, style: Style) -> String {
    let Some(first) = all.first() else { return String::new() };
    let names = first.parameters.iter().map(|(name, _)| (*name).to_owned());
    let mut rows = vec![
        names.chain(COLUMNS.iter().map(|(title, ..)| (*title).to_owned())).chain([String::new()]).collect::<Vec<_>>(),
    ];
    for (index, combination) in all.iter().enumerate() {
        let settings = combination.parameters.iter().map(|(_, value)| value.to_string());
        let cells =
            COLUMNS.iter().map(|(_, name, stat)| combination.mean(name, stat).map_or_else(|| "-".into(), number));
        let mark = if findings.pareto_optimal.contains(&index) { "*" } else { "" };
        rows.push(settings.chain(cells).chain([mark.to_owned()]).collect());
    }
    let mut text = lines(&rows, 0, style);
    if !findings.pareto_optimal.is_empty() {
        text +=
            &format!("{}\n", fit("* no other combination has more throughput and a lower p99 latency", style.width));
    }
    for (words, best) in
        [("Most throughput", findings.best_throughput), ("Least p99 latency", findings.best_latency_p99)]
    {
        if let Some(best) = best {
            let named: Vec<String> =
                all[best.index].parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let line = format!(
                "{words}: {}, {} {} ({})",
                named.join(", "),
                number(best.value),
                unit(best.def.unit),
                best.def.title
            );
            text += &format!("{}\n", fit(&line, style.width));
        }
    }
    text
}

/// Rows below each other: the first `left` columns aligned to the left, the others to the right.
fn lines<R: AsRef<[String]>>(rows: &[R], left: usize, style: Style) -> String {
    let columns = rows.first().map_or(0, |row| row.as_ref().len());
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().map(|row| width(&row.as_ref()[c])).max().unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cell = |(c, text): (usize, &String)| {
                let space = widths[c] - width(text);
                if c < left { pad(text, widths[c]) } else { format!("{}{text}", " ".repeat(space)) }
            };
            let line: Vec<String> = row.as_ref().iter().enumerate().map(cell).collect();
            format!("{}\n", fit(line.join("  ").trim_end(), style.width))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{no_numbers, with};
    use crate::comparison::combinations::{Setting, findings};
    use crate::comparison::repeats::spreads;
    use crate::metrics::Value;

    #[test]
    fn tables_fit_and_name_what_matters() {
        let run = |x| with(no_numbers(), &[("request_throughput", Value::Scalar(x))]);
        let text = repeats(2, 0.95, &spreads(&[run(10.0), run(12.0)], 0.95), Style::default());
        assert!(text.contains("Request Throughput  req/s    11") && text.contains("95"), "{text}");
        let cell = |n, x| Combination::new(vec![("concurrency", Setting::Whole(n))], vec![run(x)], 0.95);
        let all = [cell(1, 10.0), cell(16, 125_000.5)];
        let text = combinations(&all, &findings(&all), Style::default());
        assert!(text.contains("Most throughput: concurrency 16"), "{text}");
        assert!(text.lines().all(|line| width(line) <= 100), "{text}");
    }
}
