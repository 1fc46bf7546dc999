//! Turns the texts of a row's numbers into checked values: token counts, times, pauses.
//!
//! In: a field's name and its text, from JSON or CSV alike. Out: a value in range, or what is wrong with that field.

use super::bad_rows::{RowProblem, shown};
use super::decimal::{self, NotDecimal, ONE};
use super::time_axis::TimeUnit;

/// The longest prompt or answer that is believed, in tokens.
const MAX_TOKENS: i128 = 16 << 20;
/// The longest pause between two turns that is believed: a year.
const MAX_DELAY_NS: i128 = 366 * 86_400_000_000_000;

/// A count of tokens: from 1, whole, and of a size that can be.
pub(super) fn tokens(field: &'static str, text: &str) -> Result<u32, RowProblem> {
    match tokens_or_none(field, text)? {
        Some(count) => Ok(count),
        None => Err(token_fault(field, text, "is no length")),
    }
}

/// A count of tokens that may be 0, which is null: nothing is known then.
pub(super) fn tokens_or_none(field: &'static str, text: &str) -> Result<Option<u32>, RowProblem> {
    let fault = |why: &str| token_fault(field, text, why);
    match decimal::parse(text) {
        Err(NotDecimal::Syntax) => Err(fault("is not a number")),
        Ok(value) if value < 0 => Err(fault("is negative")),
        Ok(0) => Ok(None),
        Ok(value) if value % ONE != 0 => Err(fault("is not whole")),
        Ok(value) if value / ONE <= MAX_TOKENS => Ok(Some((value / ONE) as u32)),
        Ok(_) | Err(NotDecimal::TooLarge) => Err(fault("is too large")),
    }
}

/// What a trace tells of an answer's length: null where it is silent, or says 0.
pub(super) fn known_tokens(field: &'static str, text: Option<&str>) -> Result<Option<u32>, RowProblem> {
    text.map_or(Ok(None), |text| tokens_or_none(field, text))
}

fn token_fault(field: &'static str, text: &str, why: &str) -> RowProblem {
    RowProblem::field(field, format!("{} {why}", shown(text)), "use a whole number of tokens from 1 to 16777216")
}

/// A time, in billionths of the file's unit, which is `usual` unless the user says otherwise.
pub(super) fn time(field: &'static str, text: &str, usual: TimeUnit) -> Result<i128, RowProblem> {
    let fault = |why: &str| {
        let remedy = format!("use a number from 0, in {} unless --time-unit says otherwise", usual.word());
        RowProblem::field(field, format!("{} {why}", shown(text)), remedy)
    };
    // Nanoseconds since 1970 are often written as texts, to keep their digits.
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match decimal::parse(quoted.unwrap_or(text).trim()) {
        Ok(value) if value < 0 => Err(fault("is negative")),
        Ok(value) => Ok(value),
        Err(NotDecimal::TooLarge) => Err(fault("is no time")),
        Err(NotDecimal::Syntax) => Err(fault("is not a number")),
    }
}

/// A pause of at most a year in this unit, in nanoseconds.
pub(super) fn delay_ns(field: &'static str, text: &str, unit: TimeUnit) -> Result<i64, RowProblem> {
    let fault = |why: &str| {
        let remedy = format!("use {} from 0 to one year", unit.word());
        RowProblem::field(field, format!("{} {why}", shown(text)), remedy)
    };
    match decimal::parse(text) {
        Err(NotDecimal::Syntax) => Err(fault("is not a number")),
        Ok(value) if value < 0 => Err(fault("is negative")),
        Ok(value) if unit.to_ns(value) <= MAX_DELAY_NS => Ok(unit.to_ns(value) as i64),
        Ok(_) | Err(NotDecimal::TooLarge) => Err(fault("is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_known_is_null_only_where_that_may_be() {
        assert_eq!(tokens_or_none("n", "0"), Ok(None));
        assert_eq!(tokens_or_none("n", "7.0"), Ok(Some(7)));
        assert!(tokens("n", "0").is_err());
    }

    #[test]
    fn pauses_are_bounded_in_time_not_in_digits() {
        assert_eq!(delay_ns("d", "1.5", TimeUnit::S), Ok(1_500_000_000));
        assert_eq!(delay_ns("d", "31622400", TimeUnit::S), Ok(31_622_400_000_000_000));
        assert!(delay_ns("d", "31622401", TimeUnit::S).is_err());
        assert!(delay_ns("d", "31622401", TimeUnit::Ms).is_ok());
    }
}
