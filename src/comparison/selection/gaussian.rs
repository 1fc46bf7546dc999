//! Values at points of the plane → a Gaussian process: what is expected anywhere, and how sure that is.
//!
//! A squared-exponential kernel, one reach for each axis, by the Cholesky factor of the covariance (Rasmussen and Williams, 2006,
//! algorithm 2.1). For tens of points: the factor is O(n³). Pure.

use super::Candidate;

/// Where a candidate lies: log2 of its tensor parallelism and of its batch.
pub(super) fn coordinates(candidate: &Candidate) -> [f64; 2] {
    [candidate.tp, candidate.batch].map(|n| f64::from(n.max(1)).log2())
}

/// The covariance of two points: variance · exp(−½ Σ (distance / reach)²), and noise · variance more on the diagonal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    pub variance: f64,
    pub reach: [f64; 2],
    pub noise: f64,
}

impl Kernel {
    fn of(&self, a: [f64; 2], b: [f64; 2]) -> f64 {
        let square: f64 = (0..2).map(|d| ((a[d] - b[d]) / self.reach[d]).powi(2)).sum();
        self.variance * (-0.5 * square).exp()
    }
}

/// A process with mean 0 that was told values.
pub(super) struct Gaussian {
    kernel: Kernel,
    points: Vec<[f64; 2]>,
    factor: Vec<Vec<f64>>,
    /// The covariance's inverse times the values.
    weights: Vec<f64>,
}

impl Gaussian {
    /// `None` without a point, or where the covariance is not positive definite to the precision of the machine.
    pub(super) fn fit(points: &[[f64; 2]], values: &[f64], kernel: Kernel) -> Option<Gaussian> {
        if points.is_empty() {
            return None;
        }
        let covariance = |i: usize, j: usize| {
            kernel.of(points[i], points[j]) + if i == j { kernel.noise * kernel.variance } else { 0.0 }
        };
        let factor = cholesky(points.len(), covariance)?;
        let weights = backward(&factor, &forward(&factor, values));
        Some(Gaussian { kernel, points: points.to_vec(), factor, weights })
    }

    /// Half the logarithm of the covariance's determinant.
    fn log_volume(&self) -> f64 {
        self.factor.iter().enumerate().map(|(i, row)| row[i].ln()).sum()
    }

    /// Expected value and its standard deviation.
    pub(super) fn at(&self, point: [f64; 2]) -> (f64, f64) {
        let covariances: Vec<f64> = self.points.iter().map(|p| self.kernel.of(*p, point)).collect();
        let mean = covariances.iter().zip(&self.weights).map(|(c, w)| c * w).sum();
        let explained: f64 = forward(&self.factor, &covariances).iter().map(|v| v * v).sum();
        (mean, (self.kernel.variance - explained).max(0.0).sqrt())
    }
}

/// Processes of several kernels, each as likely as it makes the values: with few of them no single one could be told to be right.
pub(super) struct Mixture {
    mean: f64,
    /// Weights, with sum 1.
    processes: Vec<(f64, Gaussian)>,
}

/// Reaches that are taken to be equally likely before, in doublings.
const REACHES: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
/// The same for shares of noise.
const NOISES: [f64; 2] = [1e-4, 1e-2];

impl Mixture {
    /// Of at least two values. The variance is integrated out with the prior 1/variance, which leaves Σ^(−(n−1)/2) / √|K|, where Σ
    /// is the values' square in a process of variance 1; one value is given for their mean.
    pub(super) fn fit(points: &[[f64; 2]], values: &[f64]) -> Option<Mixture> {
        let freedom = values.len().checked_sub(1).filter(|n| *n > 0)? as f64;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let centred: Vec<f64> = values.iter().map(|v| v - mean).collect();
        let mut fitted: Vec<(f64, Gaussian)> = Vec::new();
        for (tp, batch, noise) in
            REACHES.iter().flat_map(|t| REACHES.iter().flat_map(move |b| NOISES.iter().map(move |n| (*t, *b, *n))))
        {
            let unit = Kernel { variance: 1.0, reach: [tp, batch], noise };
            let Some(shape) = Gaussian::fit(points, &centred, unit) else { continue };
            let square: f64 = shape.weights.iter().zip(&centred).map(|(w, v)| w * v).sum();
            let square = square.max(f64::MIN_POSITIVE);
            let log_weight = -0.5 * freedom * square.ln() - shape.log_volume();
            let kernel = Kernel { variance: square / freedom, ..unit };
            fitted.extend(Gaussian::fit(points, &centred, kernel).map(|g| (log_weight, g)));
        }
        let most = fitted.iter().map(|f| f.0).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = fitted.iter().map(|f| (f.0 - most).exp()).sum();
        let processes: Vec<_> = fitted.into_iter().map(|(w, g)| ((w - most).exp() / sum, g)).collect();
        (!processes.is_empty()).then_some(Mixture { mean, processes })
    }

    /// By how much the value at a point is expected to be above `best`, counting what is below as 0.
    pub(super) fn improvement(&self, point: [f64; 2], best: f64) -> f64 {
        let of = |(weight, process): &(f64, Gaussian)| {
            let (mean, deviation) = process.at(point);
            weight * expected_improvement(self.mean + mean, deviation, best)
        };
        self.processes.iter().map(of).sum()
    }
}

/// The lower triangle L of L·Lᵀ = A; null where A is not positive definite.
fn cholesky(n: usize, a: impl Fn(usize, usize) -> f64) -> Option<Vec<Vec<f64>>> {
    let mut l = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = a(i, j) - dot;
            l[i][j] = if i == j {
                if rest <= 0.0 || !rest.is_finite() {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / l[j][j]
            };
        }
    }
    Some(l)
}

/// x of L·x = b.
fn forward(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(b.len());
    for (row, value) in l.iter().zip(b) {
        let dot: f64 = row.iter().zip(&x).map(|(l, x)| l * x).sum();
        x.push((value - dot) / row[x.len()]);
    }
    x
}

/// x of Lᵀ·x = b.
fn backward(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut x = b.to_vec();
    for i in (0..b.len()).rev() {
        let dot: f64 = (i + 1..b.len()).map(|k| l[k][i] * x[k]).sum();
        x[i] = (x[i] - dot) / l[i][i];
    }
    x
}

/// E[max(value − best, 0)] of a normal value.
fn expected_improvement(mean: f64, deviation: f64, best: f64) -> f64 {
    let gap = mean - best;
    if deviation <= 0.0 {
        return gap.max(0.0);
    }
    let z = gap / deviation;
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    gap * normal_cdf(z) + deviation * density
}

/// Φ, by the complementary error function's rational approximation of Abramowitz and Stegun (7.1.26): within 1.5e-7.
fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let upper = 0.5 * polynomial.iter().fold(0.0, |sum, c| sum * t + c) * t * (-x * x).exp();
    if z > 0.0 { 1.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_solves_and_a_matrix_that_has_none_is_refused() {
        let a = [[4.0, 2.0, 0.6], [2.0, 5.0, 1.0], [0.6, 1.0, 3.0]];
        let l = cholesky(3, |i, j| a[i][j]).unwrap();
        let x = backward(&l, &forward(&l, &[1.0, -2.0, 3.0]));
        for (row, b) in a.iter().zip([1.0, -2.0, 3.0]) {
            assert!((row.iter().zip(&x).map(|(a, x)| a * x).sum::<f64>() - b).abs() < 1e-12);
        }
        assert!(cholesky(2, |i, j| if i == j { 1.0 } else { 2.0 }).is_none());
    }

    #[test]
    fn it_passes_through_what_it_was_told_and_knows_nothing_far_away() {
        let points = [[0.0, 3.0], [1.0, 5.0], [3.0, 6.0]];
        let kernel = Kernel { variance: 4.0, reach: [1.0, 1.0], noise: 1e-9 };
        let process = Gaussian::fit(&points, &[1.0, -1.0, 2.0], kernel).unwrap();
        for (point, value) in points.iter().zip([1.0, -1.0, 2.0]) {
            let (mean, deviation) = process.at(*point);
            assert!((mean - value).abs() < 1e-6 && deviation < 1e-3, "{mean} {deviation}");
        }
        let (mean, deviation) = process.at([40.0, 40.0]);
        assert!(mean.abs() < 1e-12 && (deviation - 2.0).abs() < 1e-12);
        assert!(Gaussian::fit(&[], &[], kernel).is_none());
    }

    #[test]
    fn a_slope_is_followed_and_where_there_is_none_the_unknown_is_worth_most() {
        let points: Vec<[f64; 2]> = (0..6).map(|x| [f64::from(x) / 2.0, 0.0]).collect();
        let slope: Vec<f64> = points.iter().map(|p| p[0]).collect();
        let rising = Mixture::fit(&points, &slope).unwrap();
        assert!((rising.processes.iter().map(|p| p.0).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(rising.improvement([3.0, 0.0], 2.5) > 0.3 && rising.improvement([1.25, 0.0], 2.5) < 1e-3);
        let peak: Vec<f64> = points.iter().map(|p| -(p[0] - 1.25).powi(2)).collect();
        let peaked = Mixture::fit(&points, &peak).unwrap();
        assert!(peaked.improvement([1.25, 0.0], -0.0625) > peaked.improvement([3.0, 0.0], -0.0625));
        assert!(Mixture::fit(&points[..1], &slope[..1]).is_none());
    }

    #[test]
    fn improvement_is_expected_where_more_is_likely_or_little_is_known() {
        // Φ(1) = 0.841345, φ(1) = 0.241971.
        assert!((expected_improvement(3.0, 1.0, 2.0) - (0.841_345 + 0.241_971)).abs() < 1e-5);
        assert!((expected_improvement(2.0, 0.0, 3.0), expected_improvement(3.5, 0.0, 3.0)) == (0.0, 0.5));
        assert!(expected_improvement(1.0, 2.0, 2.0) > expected_improvement(1.0, 0.5, 2.0));
    }
}
