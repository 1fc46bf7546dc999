//! Turns the bare numbers of a trace's times into nanoseconds: finds the unit, the origin, and what cannot be a time.
//!
//! In: times in billionths of the file's unit ([`super::decimal`]) and what the user said. Out: a [`TimeAxis`] with a note of
//! what was found. Invariants: what the user says wins; what is found out is always noted; a time is never more than
//! [`LONGEST_NS`] from the origin.

use super::decimal::ONE;
use super::{ReadOptions, wall_clock};
use crate::time::{MILLISECOND_NS, SECOND_NS};

/// Unit of a trace's times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Found out: times since 1970 by their size, others by their gaps, milliseconds where nothing speaks against it.
    #[default]
    Auto,
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// How a format's unit of time is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitRule {
    /// It is not: the times themselves tell.
    Inferred,
    /// The format says so; a file that does otherwise needs `--time-unit`.
    Always(TimeUnit),
    /// Its times are dates, which the reader gives in nanoseconds since 1970.
    Dates,
}

/// Where a trace's time axis begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeOrigin {
    /// The earliest row is at 0.
    #[default]
    First,
    /// The file's own 0, which keeps a pause before the first row.
    Zero,
    /// 1970: the times are absolute and stay so.
    Epoch,
}

/// Ten years: no trace is longer, and no unit is right that makes it so.
const LONGEST_NS: i128 = 10 * 366 * 86_400 * SECOND_NS as i128;
/// Times since 1970 that are believed: the years 2010 to 2060, in nanoseconds. The same digits in two units never overlap.
const EPOCH_NS: std::ops::RangeInclusive<i128> = 1_262_304_000 * SECOND_NS as i128..=2_840_140_800 * SECOND_NS as i128;
/// With fewer timed rows the gaps tell nothing.
const ROWS_TO_JUDGE: usize = 10;
/// A median gap beyond this many units means a finer unit: as milliseconds it would be half a minute.
const LONGEST_GAP_UNITS: i128 = 30_000;

impl TimeUnit {
    const KNOWN: [TimeUnit; 4] = [TimeUnit::S, TimeUnit::Ms, TimeUnit::Us, TimeUnit::Ns];

    fn ns(self) -> i128 {
        match self {
            TimeUnit::S => i128::from(SECOND_NS),
            TimeUnit::Auto | TimeUnit::Ms => i128::from(MILLISECOND_NS),
            TimeUnit::Us => 1000,
            TimeUnit::Ns => 1,
        }
    }

    /// Its plural, for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            TimeUnit::S => "seconds",
            TimeUnit::Auto | TimeUnit::Ms => "milliseconds",
            TimeUnit::Us => "microseconds",
            TimeUnit::Ns => "nanoseconds",
        }
    }

    /// Nanoseconds of a time in billionths of this unit; parts of a nanosecond are cut off.
    pub(super) fn to_ns(self, billionths: i128) -> i128 {
        billionths / (ONE / self.ns())
    }
}

/// The axis of one file.
#[derive(Debug)]
pub(super) struct TimeAxis {
    unit: TimeUnit,
    origin_ns: i128,
    bounds_ns: std::ops::RangeInclusive<i128>,
    /// What a time is, for people.
    word: &'static str,
    /// What was found, for the trace's notes.
    pub(super) note: String,
}

impl TimeAxis {
    /// Finds the axis of these times, which must not be empty.
    ///
    /// # Errors
    /// `(problem, remedy)` where the wished origin does not fit the times.
    pub(super) fn find(
        mut times: Vec<i128>,
        rule: UnitRule,
        options: &ReadOptions,
    ) -> Result<TimeAxis, (String, &'static str)> {
        times.sort_unstable();
        let (unit, why) = match (options.time_unit, rule) {
            (TimeUnit::Auto, UnitRule::Inferred) => infer(&times),
            (TimeUnit::Auto, UnitRule::Always(unit)) => {
                (unit, "the format's unit; --time-unit says otherwise".to_owned())
            }
            (TimeUnit::Auto, UnitRule::Dates) => (TimeUnit::Ns, "in UTC where no zone is given".to_owned()),
            (_, UnitRule::Dates) => {
                return Err(("its times are dates, which have no other unit".into(), "leave --time-unit out"));
            }
            (asked, _) => (asked, "as asked".to_owned()),
        };
        let word = if rule == UnitRule::Dates { "dates" } else { unit.word() };
        let first_ns = unit.to_ns(times.first().copied().unwrap_or(0));
        let absolute = EPOCH_NS.contains(&unit.to_ns(times.get(times.len() / 2).copied().unwrap_or(0)));
        let (origin_ns, bounds_ns) = match options.time_origin {
            TimeOrigin::First => (first_ns, 0..=LONGEST_NS),
            TimeOrigin::Zero if absolute => {
                return Err(("its times count from 1970".into(), "use --time-origin first or epoch"));
            }
            TimeOrigin::Zero => (0, 0..=LONGEST_NS),
            TimeOrigin::Epoch if !absolute => {
                let problem = format!("its times, read as {word}, do not count from 1970");
                return Err((problem, "use --time-origin first, or name the unit with --time-unit"));
            }
            TimeOrigin::Epoch => (0, EPOCH_NS),
        };
        let since = if absolute && rule != UnitRule::Dates { " since 1970" } else { "" };
        let start = if origin_ns == 0 {
            String::new()
        } else {
            let first = match rule {
                UnitRule::Dates => wall_clock::date(i64::try_from(origin_ns).unwrap_or(0)),
                _ => format!("{:.3} s", origin_ns as f64 / 1e9),
            };
            format!("; the first, {first}, is now 0")
        };
        let note = format!("times are read as {word}{since} ({why}){start}");
        Ok(TimeAxis { unit, origin_ns, bounds_ns, word, note })
    }

    /// The time on this axis; null where it cannot be one.
    pub(super) fn place(&self, billionths: i128) -> Option<i64> {
        let ns = self.unit.to_ns(billionths) - self.origin_ns;
        self.bounds_ns.contains(&ns).then(|| i64::try_from(ns).ok()).flatten()
    }

    /// What an impossible time would mean, for its error.
    pub(super) fn absurdity(&self, billionths: i128) -> String {
        let years = (self.unit.to_ns(billionths) - self.origin_ns) as f64 / 365.25 / 86_400e9;
        let from = if self.origin_ns == 0 { "0" } else { "the earliest row" };
        format!("read as {}, lies {years:.0} years after {from}", self.word)
    }
}

/// The unit that sorted times are most likely in, and why.
fn infer(sorted: &[i128]) -> (TimeUnit, String) {
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else {
        return (TimeUnit::Ms, "no times".into());
    };
    let epoch = TimeUnit::KNOWN.into_iter().find(|u| {
        let (first_ns, last_ns) = (u.to_ns(first), u.to_ns(last));
        EPOCH_NS.contains(&first_ns) && EPOCH_NS.contains(&last_ns) && last_ns - first_ns <= LONGEST_NS
    });
    if let Some(unit) = epoch {
        return (unit, format!("by their size; --time-unit ms says otherwise, first value {}", units(first)));
    }
    if sorted.len() < ROWS_TO_JUDGE {
        return (TimeUnit::Ms, "the default, as there are too few rows to tell".into());
    }
    let mut gaps: Vec<i128> = sorted.windows(2).map(|w| w[1] - w[0]).filter(|&gap| gap > 0).collect();
    if gaps.is_empty() {
        return (TimeUnit::Ms, "the default, as they are all the same".into());
    }
    let middle = gaps.len() / 2;
    let gap = *gaps.select_nth_unstable(middle).1;
    let fractional = sorted.iter().any(|t| t % ONE != 0);
    let unit = if fractional && gap < ONE {
        TimeUnit::S
    } else if gap <= LONGEST_GAP_UNITS * ONE {
        TimeUnit::Ms
    } else if gap <= LONGEST_GAP_UNITS * 1000 * ONE {
        TimeUnit::Us
    } else {
        TimeUnit::Ns
    };
    (unit, format!("median gap {} units; --time-unit says otherwise", units(gap)))
}

fn units(billionths: i128) -> f64 {
    billionths as f64 / ONE as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(times: &[i128], unit: TimeUnit, origin: TimeOrigin) -> Result<TimeAxis, (String, &'static str)> {
        let options = ReadOptions { time_unit: unit, time_origin: origin, ..Default::default() };
        TimeAxis::find(times.to_vec(), UnitRule::Inferred, &options)
    }

    fn inferred(start: f64, gap: f64) -> TimeUnit {
        let times: Vec<i128> = (0..40).map(|i| (start * 1e9) as i128 + (gap * 1e9) as i128 * i).collect();
        found(&times, TimeUnit::Auto, TimeOrigin::First).unwrap().unit
    }

    #[test]
    fn absolute_times_are_told_by_their_size() {
        for (start, unit) in
            [(1.76e9, TimeUnit::S), (1.76e12, TimeUnit::Ms), (1.76e15, TimeUnit::Us), (1.76e18, TimeUnit::Ns)]
        {
            assert_eq!(inferred(start, 3.0), unit, "{start}");
        }
    }

    #[test]
    fn relative_times_are_told_by_their_gaps_and_are_milliseconds_by_default() {
        for (gap, unit) in [
            (0.17, TimeUnit::S),
            (1.0, TimeUnit::Ms),
            (10.3, TimeUnit::Ms),
            (3000.0, TimeUnit::Ms),
            (200_000.0, TimeUnit::Us),
            (200_000_000.0, TimeUnit::Ns),
        ] {
            assert_eq!(inferred(0.0, gap), unit, "{gap}");
        }
        let few = found(&[0, ONE / 2, ONE], TimeUnit::Auto, TimeOrigin::First).unwrap();
        assert_eq!((few.unit, few.place(ONE / 2)), (TimeUnit::Ms, Some(500_000)));
        assert!(few.note.contains("milliseconds (the default"), "{}", few.note);
    }

    #[test]
    fn nanoseconds_since_1970_lose_nothing() {
        let t = 1_753_780_607_550_317_897;
        let first = found(&[t * ONE, (t + 7) * ONE], TimeUnit::Auto, TimeOrigin::First).unwrap();
        assert_eq!(first.place((t + 7) * ONE), Some(7));
        let epoch = found(&[t * ONE], TimeUnit::Auto, TimeOrigin::Epoch).unwrap();
        assert_eq!(epoch.place(t * ONE), Some(t as i64));
    }

    #[test]
    fn zero_keeps_the_first_pause_and_origins_must_fit() {
        let zero = found(&[5 * ONE, 9 * ONE], TimeUnit::S, TimeOrigin::Zero).unwrap();
        assert_eq!(zero.place(5 * ONE), Some(5 * SECOND_NS));
        assert!(found(&[1_760_000_000 * ONE], TimeUnit::Auto, TimeOrigin::Zero).unwrap_err().0.contains("1970"));
        assert!(found(&[5 * ONE], TimeUnit::Auto, TimeOrigin::Epoch).unwrap_err().0.contains("1970"));
    }

    #[test]
    fn a_time_that_cannot_be_is_null_and_explained() {
        let axis = found(&[0, 1_760_000_000_000 * ONE], TimeUnit::Auto, TimeOrigin::First).unwrap();
        assert_eq!(axis.place(1_760_000_000_000 * ONE), None);
        assert_eq!(axis.absurdity(1_760_000_000_000 * ONE), "read as milliseconds, lies 56 years after 0");
    }

    #[test]
    fn what_a_format_knows_is_not_guessed() {
        let rules = |rule, time_unit| {
            let options = ReadOptions { time_unit, ..Default::default() };
            TimeAxis::find(vec![0, 90_000 * ONE], rule, &options)
        };
        let seconds = rules(UnitRule::Always(TimeUnit::S), TimeUnit::Auto).unwrap();
        assert_eq!(seconds.place(90_000 * ONE), Some(90_000 * SECOND_NS));
        let forced = rules(UnitRule::Always(TimeUnit::S), TimeUnit::Us).unwrap();
        assert_eq!(forced.place(90_000 * ONE), Some(90_000_000));
        let dates = rules(UnitRule::Dates, TimeUnit::Auto).unwrap();
        assert_eq!((dates.place(90_000 * ONE), dates.word), (Some(90_000), "dates"));
        assert!(rules(UnitRule::Dates, TimeUnit::S).is_err());
    }
}
