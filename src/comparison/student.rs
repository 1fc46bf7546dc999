//! Student's t distribution with whole degrees of freedom: how wide an interval around the mean of few values must be.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// The `t` with `P(|T| ≤ t) = level` for `freedom` ≥ 1 degrees of freedom, `level` in (0, 1): what a two-sided interval of
/// that confidence multiplies the standard error by.
pub(super) fn two_sided(level: f64, freedom: u32) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // Halving the angle's interval until it cannot be halved any more.
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return f64::from(freedom).sqrt() * middle.tan();
        }
        if within(middle, freedom) < level {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// `P(|T| ≤ t)` as a function of `θ = atan(t / √ν)`: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964),
/// 26.7.3 for odd and 26.7.4 for even degrees of freedom.
fn within(theta: f64, freedom: u32) -> f64 {
    let (sin, cos) = theta.sin_cos();
    let odd = freedom % 2 == 1;
    let (mut term, mut sum) = if odd { (cos, cos) } else { (1.0, 1.0) };
    let mut k = if odd { 2 } else { 1 };
    while k + 2 <= freedom {
        term *= f64::from(k) / f64::from(k + 1) * cos * cos;
        sum += term;
        k += 2;
    }
    match (odd, freedom) {
        (true, 1) => FRAC_2_PI * theta,
        (true, _) => FRAC_2_PI * (theta + sin * sum),
        (false, _) => sin * sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        // scipy.stats.t.ppf((1 + level) / 2, freedom)
        let table = [
            (0.95, 1, 12.706_204_736_174_694),
            (0.95, 2, 4.302_652_729_749_462),
            (0.95, 3, 3.182_446_305_283_71),
            (0.95, 9, 2.262_157_162_798_205),
            (0.99, 4, 4.604_094_871_349_993),
            (0.9, 5, 2.015_048_372_669_157),
        ];
        for (level, freedom, t) in table {
            let got = two_sided(level, freedom);
            assert!((got / t - 1.0).abs() < 1e-9, "{level} {freedom}: {got} for {t}");
        }
        // Of many degrees of freedom it is the normal distribution's.
        assert!((two_sided(0.95, 1_000_000) - 1.959_966).abs() < 1e-5);
    }
}
