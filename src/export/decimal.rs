//! Numbers of which there are very many → JSON, with the bytes that `serde_json` gives them.
//!
//! Of latencies, which are whole nanoseconds in milliseconds, the digits are those of an integer, and need no search for the
//! shortest decimal that reads back as the same number: two decimals of 15 digits never read as one
//! (IEEE 754 double precision, `DBL_DIG`).

use std::io;

/// Below this many millionths a number may be written with an exponent.
const LEAST: i64 = 1000;
/// Digits that any two numbers of so many are told apart by.
const MOST: i64 = 1_000_000_000_000_000;
const MILLION: i64 = 1_000_000;

/// Writes a finite number.
pub(super) fn put_number(into: &mut Vec<u8>, value: f64) -> io::Result<()> {
    // Whether this is the nearest whole number is looked at below.
    let millionths = (value * 1e6 + 0.5) as i64;
    if !(LEAST..MOST).contains(&millionths) || millionths as f64 / 1e6 != value {
        return Ok(serde_json::to_writer(into, &value)?);
    }
    let (mut whole, rest) = ((millionths / MILLION) as u32, (millionths % MILLION) as u32);
    // Nine digits at most, the point, six digits.
    let mut text = *b"000000000.000000";
    for (place, pair) in [(10, rest / 10_000), (12, rest / 100 % 100), (14, rest % 100)] {
        text[place..place + 2].copy_from_slice(&PAIRS[pair as usize]);
    }
    let mut from = 9;
    while from == 9 || whole > 0 {
        from -= 1;
        text[from] = b'0' + (whole % 10) as u8;
        whole /= 10;
    }
    // A whole number has one zero behind its point.
    let zeros = text[11..].iter().rev().take_while(|digit| **digit == b'0').count();
    into.extend_from_slice(&text[from..text.len() - zeros]);
    Ok(())
}

/// The two digits of every number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};
    use rand::RngExt as _;

    fn check(value: f64) {
        let mut written = Vec::new();
        put_number(&mut written, value).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&value).unwrap(), "{value:e}");
    }

    #[test]
    fn numbers_have_the_bytes_that_serde_json_gives_them() {
        for value in [0.0, -0.0, 1.0, 1e-6, 1e-5, 0.001, 0.000_999, 0.1, 0.25, 100.0, 1e9, 1e15, -3.5, 1e300, 1.0 / 3.0]
        {
            check(value);
        }
        let mut rng = Seed(3).stream(Stream::Mix);
        for _ in 0..100_000 {
            let most = 10_i64.pow(rng.random_range(1..18));
            let ns = rng.random_range(0..most);
            check(ns as f64 / 1e6);
            check((ns / 1000 * 1000) as f64 / 1e6);
            check((ns as f64 / 1e6).next_up());
            check(f64::from_bits(rng.random::<u64>() >> 2));
        }
    }
}
