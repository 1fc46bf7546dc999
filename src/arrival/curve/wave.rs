//! Turns `p(x) cos(omega x + phase)`, p a polynomial, into values, integrals and products.
//!
//! In: coefficients, an angular frequency, a phase. Out: numbers, or waves. Invariant: these functions are closed under product,
//! shift and integration, which is why every curve that is made of them has an exact integral.
//! Not here: when a wave begins and ends, which is `pieces`.

use std::f64::consts::FRAC_PI_2;

/// Nodes and weights of Gauss-Legendre quadrature on [-1, 1], order 8, the positive half (Abramowitz and Stegun 1964, table
/// 25.4). It integrates polynomials up to degree 15 without error.
const GAUSS_8: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_3),
];

/// `(c0 + c1 x + c2 x^2 + …) cos(omega x + phase)`, x in seconds since the start of its piece.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wave {
    /// Coefficients, the constant first; never empty.
    coefficients: Vec<f64>,
    /// Radians per second; 0 or more. Where it is 0, so is the phase.
    omega: f64,
    phase: f64,
}

impl Wave {
    pub(super) fn polynomial(coefficients: Vec<f64>) -> Wave {
        Wave { coefficients, omega: 0.0, phase: 0.0 }
    }

    /// A wave in its normal form: a frequency of 0 leaves a polynomial.
    pub(super) fn new(mut coefficients: Vec<f64>, omega: f64, phase: f64) -> Wave {
        if omega == 0.0 {
            coefficients.iter_mut().for_each(|c| *c *= phase.cos());
            return Wave::polynomial(coefficients);
        }
        Wave { coefficients, omega: omega.abs(), phase: if omega < 0.0 { -phase } else { phase } }
    }

    pub(super) fn degree(&self) -> usize {
        self.coefficients.len() - 1
    }

    pub(super) fn omega(&self) -> f64 {
        self.omega
    }

    pub(super) fn is_finite(&self) -> bool {
        self.coefficients.iter().all(|c| c.is_finite()) && self.omega.is_finite() && self.phase.is_finite()
    }

    /// Adds another wave where both are polynomials; else gives it back.
    pub(super) fn absorb(&mut self, other: Wave) -> Option<Wave> {
        if self.omega != 0.0 || other.omega != 0.0 {
            return Some(other);
        }
        let longest = self.coefficients.len().max(other.coefficients.len());
        self.coefficients.resize(longest, 0.0);
        self.coefficients.iter_mut().zip(other.coefficients).for_each(|(c, d)| *c += d);
        None
    }

    pub(super) fn value(&self, x: f64) -> f64 {
        let polynomial = horner(&self.coefficients, x);
        if self.omega == 0.0 { polynomial } else { polynomial * (self.omega * x + self.phase).cos() }
    }

    /// The integral over `[0, x]`.
    pub(super) fn integral(&self, x: f64) -> f64 {
        if self.omega == 0.0 {
            let powers = (1..).map(f64::from);
            return x * horner(&self.coefficients.iter().zip(powers).map(|(c, n)| c / n).collect::<Vec<_>>(), x);
        }
        if (self.omega * x).abs() <= 1.0 {
            // So slow a wave is nearly a polynomial, and the closed form would divide small differences by small numbers.
            let half = x / 2.0;
            let pair = |(node, weight): &(f64, f64)| {
                weight * (self.value(half - half * node) + self.value(half + half * node))
            };
            return half * GAUSS_8.iter().map(pair).sum::<f64>();
        }
        self.antiderivative(x) - self.antiderivative(0.0)
    }

    /// Integration by parts until nothing is left: the sum over k of `p^(k)(x) / omega^(k+1) sin(omega x + phase + k pi / 2)`.
    fn antiderivative(&self, x: f64) -> f64 {
        let mut derivative = self.coefficients.clone();
        let mut angle = self.omega * x + self.phase;
        let (mut sum, mut power) = (0.0, self.omega);
        while !derivative.is_empty() {
            sum += horner(&derivative, x) / power * angle.sin();
            angle += FRAC_PI_2;
            power *= self.omega;
            derivative = derivative.iter().zip(0_i32..).skip(1).map(|(c, n)| c * f64::from(n)).collect();
        }
        sum
    }

    /// The same wave with its origin moved to `by`.
    pub(super) fn shifted(&self, by: f64) -> Wave {
        let mut coefficients = self.coefficients.clone();
        // Horner's rule repeated gives the coefficients at the new origin one by one.
        for done in 0..coefficients.len() {
            for at in (done..coefficients.len() - 1).rev() {
                coefficients[at] += by * coefficients[at + 1];
            }
        }
        // A constant may be moved by an infinite time.
        let phase = if self.omega == 0.0 { 0.0 } else { self.phase + self.omega * by };
        Wave { coefficients, omega: self.omega, phase }
    }

    /// The product, as a sum of waves: `cos a cos b = (cos(a - b) + cos(a + b)) / 2`.
    pub(super) fn product(&self, other: &Wave) -> Vec<Wave> {
        let mut coefficients = vec![0.0; self.coefficients.len() + other.coefficients.len() - 1];
        for (i, a) in self.coefficients.iter().enumerate() {
            for (j, b) in other.coefficients.iter().enumerate() {
                coefficients[i + j] += a * b;
            }
        }
        if self.omega == 0.0 || other.omega == 0.0 {
            return vec![Wave::new(coefficients, self.omega + other.omega, self.phase + other.phase)];
        }
        coefficients.iter_mut().for_each(|c| *c /= 2.0);
        vec![
            Wave::new(coefficients.clone(), self.omega - other.omega, self.phase - other.phase),
            Wave::new(coefficients, self.omega + other.omega, self.phase + other.phase),
        ]
    }

    /// Bounds of its values over `[0, length]`; not always the closest.
    pub(super) fn bounds(&self, length: f64) -> (f64, f64) {
        if self.omega == 0.0 && self.degree() <= 1 {
            let (start, end) = (self.value(0.0), self.value(length));
            return (start.min(end), start.max(end));
        }
        let most = horner(&self.coefficients.iter().map(|c| c.abs()).collect::<Vec<_>>(), length);
        (-most, most)
    }
}

fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simpson's rule, fine enough for 1e-9 here.
    fn numeric(f: impl Fn(f64) -> f64, to: f64) -> f64 {
        let n = 200_000;
        let h = to / f64::from(n);
        let inner: f64 = (1..n).map(|i| if i % 2 == 0 { 2.0 } else { 4.0 } * f(f64::from(i) * h)).sum();
        h / 3.0 * (f(0.0) + inner + f(to))
    }

    fn waves() -> Vec<Wave> {
        vec![
            Wave::polynomial(vec![3.0, -0.5, 0.02]),
            Wave::new(vec![2.0], 1.3, 0.4),
            Wave::new(vec![1.0, -0.3, 0.05, 0.001], 2.1, -1.0),
            Wave::new(vec![1.0, 0.5], 1e-9, 0.7),
            Wave::new(vec![0.3, 0.5, -0.1], 0.045, 2.0),
        ]
    }

    #[test]
    fn integrals_are_those_of_the_values() {
        for wave in waves() {
            for x in [0.3, 7.0, 20.0, 23.0] {
                let (exact, sum) = (wave.integral(x), numeric(|t| wave.value(t), x));
                assert!((exact - sum).abs() < 1e-9 * (1.0 + sum.abs()), "{wave:?} to {x}: {exact} against {sum}");
            }
        }
    }

    #[test]
    fn products_and_shifts_are_those_of_the_values() {
        for (a, b) in waves().iter().flat_map(|a| waves().into_iter().map(move |b| (a.clone(), b))) {
            for x in [0.0, 0.7, 5.0] {
                let product: f64 = a.product(&b).iter().map(|w| w.value(x)).sum();
                assert!((product - a.value(x) * b.value(x)).abs() < 1e-9, "{a:?} times {b:?} at {x}");
                assert!((a.shifted(3.0).value(x) - a.value(x + 3.0)).abs() < 1e-9, "{a:?} shifted, at {x}");
                let (low, high) = a.bounds(5.0);
                assert!((low..=high).contains(&a.value(x)), "{a:?} at {x}");
            }
        }
    }
}
