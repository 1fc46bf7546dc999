//! What was predicted and what was measured → how wrong the prediction was.
//!
//! One sign everywhere: `(predicted − actual) / actual`. Less than nothing is a deployment that was slower than predicted.

/// A prediction, what came of it, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionError {
    /// What was predicted, in the unit of `actual`.
    pub predicted: f64,
    /// What was measured.
    pub actual: f64,
    /// `(predicted − actual) / actual`; 0.1 is a prediction that was 10 % too large.
    pub signed: f64,
}

impl PredictionError {
    /// The error of a prediction. `None` where either is missing or no finite number, or `actual` is 0: an error that is not known
    /// is never 0.
    pub fn new(predicted: Option<f64>, actual: Option<f64>) -> Option<PredictionError> {
        let (predicted, actual) = (predicted?, actual?);
        let signed = (predicted - actual) / actual;
        signed.is_finite().then_some(PredictionError { predicted, actual, signed })
    }

    /// How far off it was, whatever the direction.
    pub fn absolute(&self) -> f64 {
        self.signed.abs()
    }

    /// [`PredictionError::signed`] in per cent.
    pub fn signed_pct(&self) -> f64 {
        self.signed * 100.0
    }

    /// [`PredictionError::absolute`] in per cent.
    pub fn absolute_pct(&self) -> f64 {
        self.absolute() * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_that_was_too_small_is_negative_and_off_by_as_much() {
        // The TTFT of the H200 deployment at idle: 193.7 ms predicted, 1120 ms measured.
        let error = PredictionError::new(Some(193.7), Some(1120.0)).unwrap();
        assert!((error.signed_pct() + 82.705).abs() < 1e-3, "{error:?}");
        assert!((error.absolute_pct() - 82.705).abs() < 1e-3, "{error:?}");
        let error = PredictionError::new(Some(30.0), Some(20.0)).unwrap();
        assert_eq!((error.signed, error.absolute(), error.signed_pct()), (0.5, 0.5, 50.0));
    }

    #[test]
    fn a_prediction_of_zero_is_all_wrong_and_an_unknown_one_has_no_error() {
        assert_eq!(PredictionError::new(Some(0.0), Some(20.0)).unwrap().signed, -1.0);
        for (predicted, actual) in [
            (None, Some(1.0)),
            (Some(1.0), None),
            (Some(1.0), Some(0.0)),
            (Some(f64::NAN), Some(1.0)),
            (Some(0.0), Some(0.0)),
        ] {
            assert_eq!(PredictionError::new(predicted, actual), None, "{predicted:?} {actual:?}");
        }
    }
}
