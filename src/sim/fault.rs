//! Faults on request: turns `stall@3=2` into what a server does wrong, and decides which request meets it.
//!
//! In: the text of a flag or of the `X-Loadline-Fault` header. Out: a [`Fault`] for a request, by its own header, else by the
//! seeded draw of the first rule whose window it falls into.

use std::fmt;

use crate::error::{Error, Result};
use crate::rng::Seed;
use crate::time::SECOND_NS;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer is an error of this status; 429 and 503 come with `Retry-After: 1`.
    Status(u16),
    /// The connection is closed in mid-stream, after so many events.
    Cut(u32),
    /// The stream ends as if it were whole, after so many events: no finish reason, no `[DONE]`.
    Truncate(u32),
    /// The event after so many is half a line of JSON.
    Malformed(u32),
    /// Nothing comes for this long after so many events.
    Stall(u32, i64),
    /// Every event comes this much later than its token.
    Slow(i64),
}

/// How a fault is written.
const GRAMMAR: &str = "status=CODE, cut@N, truncate@N, malformed@N, stall@N=SECONDS or slow=SECONDS";

impl Fault {
    /// # Errors
    /// [`Error::Usage`] with the grammar.
    pub fn parse(text: &str) -> Result<Fault> {
        let bad = || Error::Usage(format!("`{text}` is no fault; give {GRAMMAR}"));
        let (head, value) = text.split_once('=').map_or((text, None), |(head, value)| (head, Some(value)));
        let (kind, after) = head.split_once('@').map_or((head, None), |(kind, after)| (kind, Some(after)));
        let after = after.map(|n| n.parse::<u32>().map_err(|_| bad())).transpose()?;
        let seconds = |value: &str| match value.parse::<f64>() {
            Ok(s) if (0.0..=86_400.0).contains(&s) => Ok((s * SECOND_NS as f64) as i64),
            _ => Err(bad()),
        };
        match (kind, after, value) {
            ("status", None, Some(code)) => match code.parse() {
                Ok(code @ 400..600) => Ok(Fault::Status(code)),
                _ => Err(bad()),
            },
            ("cut", Some(n), None) => Ok(Fault::Cut(n)),
            ("truncate", Some(n), None) => Ok(Fault::Truncate(n)),
            ("malformed", Some(n), None) => Ok(Fault::Malformed(n)),
            ("stall", Some(n), Some(s)) => Ok(Fault::Stall(n, seconds(s)?)),
            ("slow", None, Some(s)) => Ok(Fault::Slow(seconds(s)?)),
            _ => Err(bad()),
        }
    }
}

/// A share of the requests that meets a fault, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultRule {
    /// The share, from 0 to 1.
    pub share: f64,
    /// What they meet.
    pub fault: Fault,
    /// Since the server's start: the requests from here…
    pub from_ns: i64,
    /// …to here, which does not belong to it.
    pub to_ns: i64,
}

impl FaultRule {
    /// `SHARE:FAULT`, or `SHARE:FAULT:FROM-TO` with seconds since the server's start.
    ///
    /// # Errors
    /// [`Error::Usage`] with the grammar.
    pub fn parse(text: &str) -> Result<FaultRule> {
        let bad = |what: &str| {
            Error::Usage(format!(
                "--fault `{text}`: {what}; give SHARE:FAULT or SHARE:FAULT:FROM-TO, FAULT being {GRAMMAR}"
            ))
        };
        let mut parts = text.splitn(3, ':');
        let share = parts.next().and_then(|s| s.parse::<f64>().ok()).filter(|s| (0.0..=1.0).contains(s));
        let share = share.ok_or_else(|| bad("the share must lie in 0..=1"))?;
        let fault = Fault::parse(parts.next().ok_or_else(|| bad("no fault is named"))?)?;
        let Some(window) = parts.next() else {
            return Ok(FaultRule { share, fault, from_ns: 0, to_ns: i64::MAX });
        };
        let second = |s: &str| s.parse::<f64>().ok().filter(|s| (0.0..1e9).contains(s)).map(|s| (s * 1e9) as i64);
        let ends = window.split_once('-').and_then(|(from, to)| Some((second(from)?, second(to)?)));
        match ends {
            Some((from_ns, to_ns)) if from_ns < to_ns => Ok(FaultRule { share, fault, from_ns, to_ns }),
            _ => Err(bad("the window is no FROM-TO in seconds")),
        }
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of requests: {:?}", self.share, self.fault)
    }
}

/// The fault of request `number`, which came `since_start_ns` after the server's start. The draws of two rules are
/// independent; the first that hits counts.
pub fn drawn(rules: &[FaultRule], seed: Seed, number: u64, since_start_ns: i64) -> Option<Fault> {
    (0u64..).zip(rules).find_map(|(index, rule)| {
        let u = Seed(seed.hash(0xfa17 + index)).hash(number) as f64 / u64::MAX as f64;
        let due = (rule.from_ns..rule.to_ns).contains(&since_start_ns);
        (due && u < rule.share).then_some(rule.fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_what_is_none_is_told_the_grammar() {
        let read = |text| Fault::parse(text).unwrap();
        assert_eq!(read("status=429"), Fault::Status(429));
        assert_eq!((read("cut@0"), read("truncate@3")), (Fault::Cut(0), Fault::Truncate(3)));
        assert_eq!((read("malformed@2"), read("slow=0.05")), (Fault::Malformed(2), Fault::Slow(50_000_000)));
        assert_eq!(read("stall@3=1.5"), Fault::Stall(3, 1_500_000_000));
        for bad in
            ["", "status", "status=200", "cut", "cut@x", "cut@1=2", "stall@3", "stall@3=-1", "slow=NaN", "melt@1"]
        {
            let why = Fault::parse(bad).unwrap_err().to_string();
            assert!(why.contains("stall@N=SECONDS"), "{bad}: {why}");
        }
    }

    #[test]
    fn rules_have_a_share_and_a_window() {
        let rule = FaultRule::parse("0.25:status=503:10-20").unwrap();
        assert_eq!((rule.share, rule.from_ns, rule.to_ns), (0.25, 10_000_000_000, 20_000_000_000));
        for bad in ["2:cut@1", "x", "0.5", "0.5:cut@1:20-10", "0.5:cut@1:3"] {
            assert!(FaultRule::parse(bad).is_err(), "{bad}");
        }
        let hit = |at_ns| (0..10_000).filter(|n| drawn(&[rule], Seed(3), *n, at_ns).is_some()).count();
        assert_eq!((hit(9_999_999_999), hit(20_000_000_000)), (0, 0));
        assert!((2300..2700).contains(&hit(10_000_000_000)), "{}", hit(10_000_000_000));
        let always = FaultRule::parse("1:cut@1").unwrap();
        assert_eq!(
            drawn(&[rule, always], Seed(3), 1, 0),
            Some(Fault::Cut(1)),
            "outside its window a rule is not asked"
        );
    }
}
