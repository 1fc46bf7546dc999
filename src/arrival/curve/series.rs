//! Turns a list of points in JSON, as aiperf's `--request-rate-series` reads it, into a [`Curve`] of straight lines.
//!
//! In: `{"points": [{"time_s": 0, "qps": 5}, …]}`. Out: a rate that is nowhere negative, level before the first point and after the
//! last; or what is wrong, with the number of the point. Pure, and bounded by the number of points.

use serde::Deserialize;

use super::Curve;
use super::functions::piecewise;

/// Most points.
const POINTS_MAX: usize = 10_000;
/// The highest rate, in requests per second.
const MAX_RATE_RPS: f64 = 1e6;

#[derive(Deserialize)]
struct Series {
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    time_s: f64,
    qps: f64,
}

impl Curve {
    /// The rate of such a list.
    ///
    /// # Errors
    /// What is wrong with it, and the remedy.
    pub fn series(json: &str) -> Result<Curve, String> {
        let shape = r#"{"points": [{"time_s": 0, "qps": 5}, …]}"#;
        let Series { points } = serde_json::from_str(json).map_err(|e| format!("{e}; write {shape}"))?;
        if points.is_empty() || points.len() > POINTS_MAX {
            return Err(format!("it has {} points; write 1 to {POINTS_MAX}", points.len()));
        }
        for (number, point) in (1..).zip(&points) {
            if !(0.0..=MAX_RATE_RPS).contains(&point.qps) {
                return Err(format!("point {number}: qps is {}; use a rate from 0 to {MAX_RATE_RPS:e}", point.qps));
            }
            if !(0.0..=1e9).contains(&point.time_s) {
                return Err(format!("point {number}: time_s is {}; use seconds from 0 to 1e9", point.time_s));
            }
        }
        if let Some(at) = points.windows(2).position(|pair| pair[1].time_s <= pair[0].time_s) {
            return Err(format!("point {}: its time_s is not after the one before; sort the points", at + 2));
        }
        if points.iter().all(|point| point.qps == 0.0) {
            return Err("it makes no requests; use a rate above 0".into());
        }
        let pairs: Vec<(f64, f64)> = points.iter().map(|p| (p.time_s, p.qps)).collect();
        let words: Vec<String> = pairs.iter().map(|(time_s, qps)| format!("{time_s}s:{qps}")).collect();
        let pieces = piecewise(&pairs).map_err(str::to_owned)?;
        Ok(Curve::new(&format!("piecewise({})", words.join(", ")), pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_the_expression_of_its_points() {
        let json = r#"{"points":[{"time_s":2,"qps":1},{"time_s":60.5,"qps":7},{"time_s":120,"qps":40}], "interpolation": "linear"}"#;
        let series = Curve::series(json).unwrap();
        assert_eq!(series, Curve::parse(series.text()).unwrap());
        assert_eq!((series.value(0.0), series.value(31.25), series.value(999.0)), (1.0, 4.0, 40.0));
    }

    #[test]
    fn what_is_no_rate_is_told_with_its_point() {
        let of = |points: &str| Curve::series(&format!("{{\"points\": [{points}]}}")).unwrap_err();
        assert!(of("").contains("0 points"));
        assert!(of(r#"{"time_s": 0, "qps": -1}"#).starts_with("point 1: qps is -1"));
        assert!(of(r#"{"time_s": -1, "qps": 1}"#).starts_with("point 1: time_s"));
        assert!(of(r#"{"time_s": 1, "qps": 1}, {"time_s": 1, "qps": 2}"#).starts_with("point 2"));
        assert!(of(r#"{"time_s": 1, "qps": 0}"#).contains("no requests"));
        assert!(of(r#"{"time_s": 1}"#).contains("qps") && Curve::series("[1]").unwrap_err().contains("write {"));
    }
}
