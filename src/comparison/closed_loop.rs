//! The levels of a deployment under closed loops → a law of two constants, and the rate up to which it meets a target.
//!
//! With one serial stage that takes s for each request, C clients get X = min(C / (T0 + D), 1 / s) answers per second with
//! TTFT = max(T0, C·s − D): T0 is the TTFT at idle, D the time from a request's first token to its last. T0 is taken from
//! idle, s and D from the level with most clients, so that the levels between test the law. Invariants: a rate that the law
//! gives is an estimate and says so; what no rate can reach is said with the reason. Not here: searching for the rate by measuring
//! ([`super::goodput_search`]).

use super::method::{Measured, Method, Target};
use super::prediction_error::PredictionError;

/// Rates further below 1/s than this at the level with most clients do not show the stage.
const SATURATED: f64 = 0.9;
/// Largest error, of levels that it was not fitted to, with which the law describes a deployment.
const DESCRIBES: f64 = 0.2;

/// The law's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// T0, ms.
    pub idle_ttft_ms: f64,
    /// s, ms.
    pub stage_ms: f64,
    /// D, ms.
    pub decode_ms: f64,
    /// Largest error of a mean TTFT that it was not fitted to, `(law − measured) / measured`, and of how many levels.
    pub worst_error: Option<(f64, usize)>,
}

/// Up to which rate a deployment meets its target.
#[derive(Clone, Debug, PartialEq)]
pub enum SloRate {
    /// No rate does.
    Never(String),
    /// Up to this one, by the law, requests per second.
    Estimated(f64, String),
    /// It cannot be said.
    Unknown(String),
}

impl SloRate {
    /// The name in files.
    pub fn as_str(&self) -> &'static str {
        match self {
            SloRate::Never(_) => "never",
            SloRate::Estimated(..) => "estimated",
            SloRate::Unknown(_) => "unknown",
        }
    }

    /// Requests per second; of a deployment that never meets its target there is no such rate, which is not 0.
    pub fn rps(&self) -> Option<f64> {
        match self {
            SloRate::Estimated(rps, _) => Some(*rps),
            SloRate::Never(_) | SloRate::Unknown(_) => None,
        }
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match self {
            SloRate::Never(reason) | SloRate::Unknown(reason) | SloRate::Estimated(_, reason) => reason,
        }
    }
}

/// What the law needs of a level.
#[derive(Clone, Copy)]
struct Point {
    clients: f64,
    ttft_ms: f64,
    itl_ms: f64,
    rps: f64,
}

fn point(measured: &Measured) -> Option<Point> {
    Some(Point {
        clients: measured.concurrency.filter(|c| *c > 0)?.into(),
        ttft_ms: measured.ttft.mean?,
        itl_ms: measured.itl.mean?,
        rps: measured.request_rps.filter(|x| *x > 0.0)?,
    })
}

impl Law {
    /// Fits it to the levels. `None` without idle, without a level at which the stage is the limit, or without the means.
    pub fn fit(method: &Method, target: Target) -> Option<Law> {
        let mut points: Vec<Point> =
            method.levels.iter().filter_map(|level| level.measured.as_ref().and_then(point)).collect();
        points.sort_by(|a, b| a.clients.total_cmp(&b.clients));
        let (first, last) = (*points.first()?, *points.last()?);
        if first.clients > 1.0 || last.clients <= first.clients {
            return None;
        }
        let decode_ms = f64::from(target.osl.saturating_sub(1)) * last.itl_ms;
        let stage_ms = 1e3 / last.rps;
        // Were nothing in the way, as many clients would be answered at this rate.
        if last.rps > SATURATED * last.clients / ((first.ttft_ms + decode_ms) / 1e3) {
            return None;
        }
        let mut law = Law { idle_ttft_ms: first.ttft_ms, stage_ms, decode_ms, worst_error: None };
        let errors: Vec<f64> = points
            .iter()
            .filter(|p| p.clients > first.clients && p.clients < last.clients)
            .filter_map(|p| PredictionError::new(Some(law.ttft_ms(p.clients)), Some(p.ttft_ms)).map(|e| e.signed))
            .collect();
        let worst = errors.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        law.worst_error = worst.map(|worst| (worst, errors.len()));
        Some(law)
    }

    /// TTFT with so many clients, ms.
    pub fn ttft_ms(&self, clients: f64) -> f64 {
        self.idle_ttft_ms.max(clients * self.stage_ms - self.decode_ms)
    }

    /// Answers per second with so many clients.
    pub fn rps(&self, clients: f64) -> f64 {
        (1e3 * clients / (self.idle_ttft_ms + self.decode_ms)).min(1e3 / self.stage_ms)
    }

    /// The highest rate with a TTFT of at most `ttft_ms`. `None` where idle is beyond it already.
    pub fn rate_within(&self, ttft_ms: f64) -> Option<f64> {
        (ttft_ms >= self.idle_ttft_ms).then(|| self.rps((ttft_ms + self.decode_ms) / self.stage_ms))
    }

    /// Whether levels that it was not fitted to are as it says; without such levels it is not known, and it does not.
    pub fn holds(&self) -> bool {
        self.worst_error.is_some_and(|(worst, _)| worst.abs() <= DESCRIBES)
    }

    fn tested(&self) -> String {
        match self.worst_error {
            Some((worst, levels)) => {
                format!(
                    "off by {:+.0} % at most in the mean TTFT of {levels} levels it was not fitted to",
                    worst * 100.0
                )
            }
            None => "tested by no level".into(),
        }
    }
}

/// Up to which rate a deployment meets its target, by its levels.
pub fn slo_rate(method: &Method, target: Target) -> SloRate {
    let Some(idle) = &method.levels[0].measured else {
        return SloRate::Unknown("it was not measured at idle".into());
    };
    let law = Law::fit(method, target);
    for (name, median, bound) in [("TTFT", idle.ttft.p50, target.ttft_ms), ("ITL", idle.itl.p50, target.itl_ms)] {
        let Some(median) = median else { return SloRate::Unknown(format!("its {name} at idle is not known")) };
        if median > bound {
            let within = law.filter(|law| name == "TTFT" && law.holds()).map_or_else(String::new, |law| {
                format!(
                    ". With a TTFT target of {:.0} ms it would, up to {:.2} req/s, its most, by the closed-loop law ({})",
                    law.idle_ttft_ms,
                    law.rate_within(law.idle_ttft_ms).unwrap_or_default(),
                    law.tested()
                )
            });
            return SloRate::Never(format!(
                "no rate does: with one request at a time the median {name} is {median:.0} ms, beyond the target of \
                 {bound:.0} ms, and load does not lower it{within}"
            ));
        }
    }
    let Some(law) = law else {
        return SloRate::Unknown("its levels do not show where it saturates: search for it (loadline goodput)".into());
    };
    if !law.holds() {
        return SloRate::Unknown(format!(
            "the law of one serial stage does not describe its levels ({}): search for it (loadline goodput)",
            law.tested()
        ));
    }
    let Some(rps) = law.rate_within(target.ttft_ms) else {
        return SloRate::Unknown("its mean TTFT at idle is beyond the target and its median is not".into());
    };
    SloRate::Estimated(
        rps,
        format!("by the closed-loop law, {}; an estimate of means, to be measured by loadline goodput", law.tested()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::method::Quantiles;

    /// A deployment with one stage of `stage_ms`, an idle TTFT of `idle_ms` and an ITL of 10 ms, at 1, 4, 7 and 8 clients.
    fn deployment(idle_ms: f64, stage_ms: f64) -> Method {
        let law = Law { idle_ttft_ms: idle_ms, stage_ms, decode_ms: 2550.0, worst_error: None };
        let mut method = Method::default();
        for (level, clients) in method.levels.iter_mut().zip([1, 4, 7, 8]) {
            let of = |ms| Quantiles { mean: Some(ms), p50: Some(ms), ..Quantiles::default() };
            level.measured = Some(Measured {
                concurrency: Some(clients),
                ttft: of(law.ttft_ms(clients.into())),
                itl: of(10.0),
                request_rps: Some(law.rps(clients.into())),
                ..Measured::default()
            });
        }
        method
    }

    fn target(ttft_ms: f64) -> Target {
        Target { ttft_ms, itl_ms: 50.0, isl: 2048, osl: 256 }
    }

    #[test]
    fn the_law_is_found_again_and_gives_the_rate_within_a_target() {
        let method = deployment(300.0, 1000.0);
        let law = Law::fit(&method, target(500.0)).unwrap();
        assert!((law.stage_ms - 1000.0).abs() < 1e-9 && law.idle_ttft_ms == 300.0, "{law:?}");
        assert!(law.worst_error.unwrap().0.abs() < 1e-9 && law.worst_error.unwrap().1 == 2);
        // 500 ms are met by (500 + 2550) / 1000 clients, who are more than the stage takes: it is at its most.
        assert!((slo_rate(&method, target(500.0)).rps().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_idle_misses_no_rate_meets_and_that_is_not_a_rate_of_zero() {
        let rate = slo_rate(&deployment(1100.0, 1000.0), target(500.0));
        assert_eq!((rate.as_str(), rate.rps()), ("never", None));
        assert!(rate.reason().contains("1100 ms") && rate.reason().contains("up to 1.00 req/s"), "{}", rate.reason());
    }

    #[test]
    fn a_law_that_its_levels_contradict_gives_no_rate() {
        let mut method = deployment(300.0, 1000.0);
        method.levels[1].measured.as_mut().unwrap().ttft.mean = Some(2600.0);
        let rate = slo_rate(&method, target(500.0));
        assert!(rate.rps().is_none() && rate.reason().contains("does not describe"), "{rate:?}");
        for level in [1, 2] {
            method.levels[level].measured = None;
        }
        assert!(slo_rate(&method, target(500.0)).reason().contains("tested by no level"));
    }

    #[test]
    fn a_deployment_that_was_not_driven_to_its_limit_is_not_guessed_at() {
        let mut method = deployment(300.0, 10.0);
        assert_eq!(Law::fit(&method, target(500.0)), None, "eight clients do not fill it");
        assert!(slo_rate(&method, target(500.0)).reason().contains("loadline goodput"));
        method.levels[0].measured = None;
        assert!(matches!(slo_rate(&method, target(500.0)), SloRate::Unknown(_)));
    }
}
