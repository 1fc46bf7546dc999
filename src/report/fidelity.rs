//! [`Fidelity`] → the phrases that the terminal and the page share: what was planned, and what came of it.
//!
//! Invariant: only what is known is said.

use crate::analysis::fidelity::{Arrivals, Causality, Fidelity, InputTokens, OutputTokens, PrefixHits};

use super::number::{count, number, percent};

/// A label and a phrase for each part that is known.
pub(super) fn phrases(fidelity: &Fidelity) -> Vec<(&'static str, String)> {
    let Fidelity { arrivals: a, input: i, output: o, prefixes: p, sessions: s } = fidelity;
    [
        ("Arrivals", a.as_ref().map(arrivals)),
        ("Prompts", i.as_ref().map(prompts)),
        ("Answers", o.as_ref().map(answers)),
        ("Prefixes", p.as_ref().map(prefixes)),
        ("Sessions", s.as_ref().map(sessions)),
    ]
    .into_iter()
    .filter_map(|(label, phrase)| Some((label, phrase?)))
    .collect()
}

fn arrivals(a: &Arrivals) -> String {
    let known = |x: Option<f64>| x.map_or_else(|| "–".into(), number);
    let mut text = format!(
        "planned {} req/s, sent {}; lag p50 {}, p99 {}, max {} ms; {} of {} in another second",
        known(a.planned_rps),
        known(a.sent_rps),
        known(a.lag_p50_ms),
        known(a.lag_p99_ms),
        known(a.lag_max_ms),
        count(a.moved),
        count(a.planned)
    );
    if let (Some(planned), Some(sent)) = (a.planned_idc_1s, a.sent_idc_1s) {
        text += &format!("; dispersion at 1 s planned {}, sent {}", number(planned), number(sent));
    }
    text
}

fn prompts(i: &InputTokens) -> String {
    if i.exact == i.n {
        return format!("all {} exact to the token by the server's count", count(i.n));
    }
    let classes = i.classes().map(|(name, n)| format!("{} {name}", count(n))).join(", ");
    format!(
        "{classes}; mean error {} tokens ({:+.2} %), from {:+} to {:+}",
        signed(i.mean_error_tokens),
        i.mean_error_pct,
        i.min_error_tokens,
        i.max_error_tokens
    )
}

fn answers(o: &OutputTokens) -> String {
    if o.as_asked == o.n {
        return format!("all {} as long as asked for, {} tokens", count(o.n), count(o.given_tokens));
    }
    format!(
        "{} of {} as long as asked for, {} shorter, {} longer; {} of {} tokens, mean error {:+.2} %",
        count(o.as_asked),
        count(o.n),
        count(o.shorter),
        count(o.longer),
        count(o.given_tokens),
        count(o.asked_tokens),
        o.mean_error_pct
    )
}

fn prefixes(p: &PrefixHits) -> String {
    let observed = match p.observed_share {
        Some(share) => format!("{} of prompt tokens were hits, by {} answers", percent(share), count(p.told)),
        None => "no answer tells its hits".into(),
    };
    let expected = p.expected_share.map_or_else(|| "unknown".into(), percent);
    format!("{observed}; expected of a cache that forgets nothing: {expected}")
}

fn sessions(s: &Causality) -> String {
    format!(
        "{}, {} later turns, {} sent before the previous one had ended",
        count(s.sessions),
        count(s.turns),
        count(s.early)
    )
}

fn signed(x: f64) -> String {
    format!("{}{}", if x > 0.0 { "+" } else { "" }, number(x))
}
