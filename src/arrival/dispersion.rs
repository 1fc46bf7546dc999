//! Turns arrival times into one number for their burstiness: the index of dispersion of counts.
//!
//! In: sorted times and a window. Out: variance over mean of the counts per window: 1 for a Poisson process of constant
//! rate, less for evenly spread arrivals, more for bursts or a rate that changes.

/// Index of dispersion of the counts in whole windows of `width_ns` over `[0, duration_ns)`, with the sample variance
/// (Cox and Lewis 1966, section 4.5). `times_ns` must not decrease. Null where fewer than two windows fit or nothing arrived.
pub fn index_of_dispersion(times_ns: &[i64], width_ns: i64, duration_ns: i64) -> Option<f64> {
    if width_ns <= 0 {
        return None;
    }
    let windows = duration_ns / width_ns;
    let inside = &times_ns[..times_ns.partition_point(|&t_ns| t_ns < windows * width_ns)];
    if windows < 2 || inside.is_empty() {
        return None;
    }
    let squares: f64 = inside.chunk_by(|a, b| a / width_ns == b / width_ns).map(|c| (c.len() as f64).powi(2)).sum();
    let mean = inside.len() as f64 / windows as f64;
    let variance = (squares - windows as f64 * mean * mean) / (windows - 1) as f64;
    Some(variance / mean)
}

#[cfg(test)]
mod tests {
    use super::index_of_dispersion;

    #[test]
    fn even_is_zero_and_bursts_are_large() {
        let even: Vec<i64> = (0..100).collect();
        assert_eq!(index_of_dispersion(&even, 10, 100), Some(0.0));
        // Ten windows, all 100 in one: mean 10, variance (10000 - 1000) / 9 = 1000.
        assert_eq!(index_of_dispersion(&[5; 100], 10, 100), Some(100.0));
    }

    #[test]
    fn too_little_to_tell_is_null() {
        assert_eq!(index_of_dispersion(&[], 10, 100), None);
        assert_eq!(index_of_dispersion(&[1, 2], 10, 19), None);
        assert_eq!(index_of_dispersion(&[1, 2], 0, 19), None);
    }
}
