//! Turns dates with a time of day into nanoseconds since 1970, and back.
//!
//! In: `2023-11-16 18:15:46.6805900`, with or without a fraction or a zone (`Z`, `+02:00`). Out: the instant, read as UTC where
//! no zone is given.

use chrono::{DateTime, FixedOffset, NaiveDateTime};

/// Nanoseconds since 1970; null where the text is no date.
pub(super) fn unix_ns(text: &str) -> Option<i64> {
    let (local, zone) = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_and_remainder(text, format).ok())?;
    let east_s = match zone.trim() {
        "" | "Z" | "UTC" => 0,
        offset => offset.parse::<FixedOffset>().ok()?.local_minus_utc(),
    };
    local.and_utc().timestamp_nanos_opt()?.checked_sub(i64::from(east_s) * crate::time::SECOND_NS)
}

/// The date of an instant, in UTC, for people.
pub(super) fn date(unix_ns: i64) -> String {
    DateTime::from_timestamp_nanos(unix_ns).to_string()
}

#[cfg(test)]
mod tests {
    use super::unix_ns;

    #[test]
    fn dates_are_read_to_the_last_digit_with_and_without_a_zone() {
        for (text, ns) in [
            ("1970-01-01 00:00:00", 0),
            ("2023-11-16 18:17:03.9799600", 1_700_158_623_979_960_000),
            ("2024-05-10 00:00:00.009930+00:00", 1_715_299_200_009_930_000),
            ("2024-05-12 00:00:00+00:00", 1_715_472_000_000_000_000),
            ("2024-05-12T02:00:00.5+02:00", 1_715_472_000_500_000_000),
            ("2024-05-12T00:00:00Z", 1_715_472_000_000_000_000),
            ("2024-02-29 23:59:59.123456789", 1_709_251_199_123_456_789),
        ] {
            assert_eq!(unix_ns(text), Some(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_null() {
        for text in [
            "",
            "5",
            "NaN",
            "2023-11-16",
            "2023-02-30 00:00:00",
            "2023-11-16 25:00:00",
            "2023-11-16 18:17:03 noon",
            "9999-12-31 00:00:00",
            "16/11/2023 18:17:03",
        ] {
            assert_eq!(unix_ns(text), None, "{text}");
        }
    }
}
