//! Turns the text of a decimal number into an exact count of billionths.
//!
//! In: JSON number syntax, `1753780607550317897` or `1.5e3`. Out: `i128` billionths of one. Why: times of traces are whole
//! nanoseconds since 1970 as well as fractional milliseconds, and a double holds neither without loss.

/// Billionths in one.
pub(super) const ONE: i128 = 1_000_000_000;
/// Numbers must be smaller than this, in units.
const LIMIT: i128 = 100_000_000_000_000_000_000;

/// Why a text is no usable number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotDecimal {
    /// It is not in number syntax.
    Syntax,
    /// Its size is 1e20 or more.
    TooLarge,
}

/// The number in billionths; digits below a billionth are cut off.
pub(super) fn parse(text: &str) -> Result<i128, NotDecimal> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| exponent_fault(exponent))?),
        None => (digits, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(NotDecimal::Syntax),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(NotDecimal::Syntax);
    }
    let mut value: i128 = 0;
    // The decimal places that are still to come of the nine, once the point has been moved by the exponent.
    let mut place = whole.len() as i64 + i64::from(exponent) + 9;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if place <= 0 {
            break;
        }
        value = value * 10 + i128::from(digit - b'0');
        if value >= LIMIT * ONE {
            return Err(NotDecimal::TooLarge);
        }
        place -= 1;
    }
    while place > 0 && value != 0 {
        value *= 10;
        if value >= LIMIT * ONE {
            return Err(NotDecimal::TooLarge);
        }
        place -= 1;
    }
    Ok(if negative { -value } else { value })
}

/// An exponent that does not fit an `i32` is still a number, only one of no use.
fn exponent_fault(exponent: &str) -> NotDecimal {
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        NotDecimal::TooLarge
    } else {
        NotDecimal::Syntax
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_to_a_billionth() {
        for (text, billionths) in [
            ("0", 0),
            ("-0.0", 0),
            ("1150.5", 1_150_500_000_000),
            ("1753780607550317897", 1_753_780_607_550_317_897 * ONE),
            ("1753780607550.317897", 1_753_780_607_550_317_897_000),
            ("1.5e3", 1500 * ONE),
            ("15E+2", 1500 * ONE),
            ("25e-1", 2_500_000_000),
            ("-0.000000001", -1),
            ("0.0000000019", 1),
            ("1e-400", 0),
            ("0e99999", 0),
        ] {
            assert_eq!(parse(text), Ok(billionths), "{text}");
        }
    }

    #[test]
    fn what_is_no_usable_number_is_refused() {
        for text in ["", "-", ".5", "5.", "1e", "1e+", "NaN", "inf", "1_000", "0x1f", " 1", "1.2.3", "--1", "１"] {
            assert_eq!(parse(text), Err(NotDecimal::Syntax), "{text}");
        }
        for text in ["1e20", "100000000000000000000", "1e999999999", "1e99999999999"] {
            assert_eq!(parse(text), Err(NotDecimal::TooLarge), "{text}");
        }
    }
}
