//! Numbers → short text that people can compare.
//!
//! Invariants: three significant digits or all whole digits; never more than 8 columns ([`number`]); no locale.

use crate::metrics::Unit;

/// A number in at most 8 columns: three significant digits (all of a whole number), thousands separated, and a letter
/// from a million on.
pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    if !x.is_finite() {
        return "–".into();
    }
    // The limits are those at which rounding would carry into the next digit.
    match size {
        _ if x.fract() == 0.0 && size < 999_999.5 => separated(&format!("{:.0}", x + 0.0)),
        _ if size < 0.0005 => format!("{x:.0e}"),
        _ if size < 0.9995 => format!("{x:.3}"),
        _ if size < 9.995 => format!("{x:.2}"),
        _ if size < 99.95 => format!("{x:.1}"),
        _ if size < 999_999.5 => separated(&format!("{x:.0}")),
        _ => magnitude(x),
    }
}

fn magnitude(x: f64) -> String {
    for (letter, unit) in [("M", 1e6), ("G", 1e9), ("T", 1e12)] {
        let scaled = x / unit;
        if scaled.abs() < 999.5 {
            return number(scaled) + letter;
        }
    }
    format!("{x:.1e}")
}

/// The text of a round value on an axis whose ticks are `step` apart: all with the same decimals.
pub(super) fn tick(value: f64, step: f64) -> String {
    if !(1e-6..1e6).contains(&step) || value.abs() >= 1e6 {
        return number(value);
    }
    if value == 0.0 {
        return "0".into();
    }
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    fraction.map_or_else(|| separated(whole), |f| format!("{}.{f}", separated(whole)))
}

/// A count, in full.
pub(super) fn count(n: u64) -> String {
    separated(&n.to_string())
}

fn separated(digits: &str) -> String {
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let mut text = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as per cent, with its sign.
pub(super) fn percent(share: f64) -> String {
    if share > 0.999 && share < 1.0 {
        format!("{:.2} %", (share * 1e4).floor() / 1e2)
    } else {
        format!("{:.1} %", share * 100.0)
    }
}

/// A length of time, in the unit that suits it.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// The short form of a unit.
pub(super) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Milliseconds => "ms",
        Unit::Seconds => "s",
        Unit::Tokens => "tok",
        Unit::Requests => "req",
        Unit::RequestsPerSecond => "req/s",
        Unit::TokensPerSecond => "tok/s",
        Unit::TokensPerSecondPerUser => "tok/s/u",
        Unit::Ratio => "ratio",
        Unit::Percent => "%",
        Unit::Kilobytes => "KiB",
        Unit::Count => "",
    }
}

/// Date and time of day, UTC, of nanoseconds since 1970.
pub(super) fn utc(unix_ns: i64) -> String {
    let seconds = unix_ns.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days → civil date, counting years from March (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_kept_and_rounding_carries() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (50.0, "50"),
            (0.00012, "1e-4"),
            (0.0123, "0.012"),
            (0.9996, "1.00"),
            (1.234, "1.23"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (312.4, "312"),
            (12_345.6, "12,346"),
            (999_999.6, "1.00M"),
            (1.234e9, "1.23G"),
            (123e12, "123T"),
            (-4_321.0, "-4,321"),
            (f64::NAN, "–"),
        ];
        for (x, text) in cases {
            assert_eq!(number(x), text, "{x}");
        }
    }

    #[test]
    fn no_number_is_wider_than_its_column() {
        let widest =
            (-330..308).flat_map(|e| [1.0, -1.0, -9.996, 5.5555].map(|m| number(m * 10_f64.powi(e)).chars().count()));
        assert_eq!(widest.max(), Some(8));
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(count(999), "999");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_868_799_999_999_999), "2000-02-29 23:59:59 UTC");
        assert_eq!(utc(1_767_225_600_000_000_000), "2026-01-01 00:00:00 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59:59 UTC");
    }

    #[test]
    fn a_share_below_one_never_reads_as_all() {
        assert_eq!(
            (percent(0.99999), percent(1.0), percent(0.912)),
            ("99.99 %".into(), "100.0 %".into(), "91.2 %".into())
        );
    }
}
