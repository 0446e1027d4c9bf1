//! How close one network's values are to another's.

use serde::{Deserialize, Serialize};

use crate::MetricsError;

/// The largest signal-to-noise ratio that is told, in dB, and with the other sign the smallest.
///
/// Equal values have an infinite one, which neither JSON nor a mean can hold; 200 dB is beyond what 32-bit floats
/// resolve (about 150 dB).
pub const SQNR_LIMIT: f64 = 200.0;

/// Sums over pairs of values, from which [`Figures`] are computed. Sums are 64-bit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Comparison {
    values: u64,
    alike: u64,
    broken: u64,
    product: f64,
    reference_squares: f64,
    other_squares: f64,
    error_squares: f64,
    reference_sum: f64,
    other_sum: f64,
    max_error: f64,
}

/// What a [`Comparison`] comes to.
///
/// With `x` the reference, `y` the other and sums over all pairs of finite values:
/// - cosine: `sum(x y) / sqrt(sum(x^2) sum(y^2))`, from -1 to 1; two outputs that are 0 throughout count as 1, one of
///   them as 0.
/// - SQNR (signal to quantization noise ratio): `10 log10(sum(x^2) / sum((x - y)^2))` dB, as in Widrow and Kollár,
///   "Quantization Noise" (2008); within [`SQNR_LIMIT`].
///
/// Every figure is absent where there were no finite pairs. Cosine and SQNR are absent too where the two disagree about
/// what is finite: no closeness makes up for a NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figures {
    /// How many pairs of finite values there were.
    pub values: u64,
    /// How many pairs were alike without being finite (both NaN, or the same infinity); in no other figure.
    pub not_finite: u64,
    /// How many pairs have a value that is not finite where the other's is another one.
    pub broken: u64,
    /// Cosine of the angle between the two outputs, as vectors.
    pub cosine: Option<f64>,
    /// Signal to quantization noise ratio in dB.
    pub sqnr: Option<f64>,
    /// The largest difference, in the output's own unit.
    pub max_error: Option<f64>,
    /// Mean of the reference.
    pub mean_reference: Option<f64>,
    /// Mean of the other.
    pub mean_other: Option<f64>,
}

impl Comparison {
    /// Adds pairs of values.
    ///
    /// # Errors
    /// [`MetricsError::Length`]; nothing has been added then.
    pub fn add(&mut self, reference: &[f32], other: &[f32]) -> Result<(), MetricsError> {
        if reference.len() != other.len() {
            return Err(MetricsError::Length { reference: reference.len(), other: other.len() });
        }
        for (&x, &y) in reference.iter().zip(other) {
            if !(x.is_finite() && y.is_finite()) {
                let alike = x == y || (x.is_nan() && y.is_nan());
                *(if alike { &mut self.alike } else { &mut self.broken }) += 1;
                continue;
            }
            let (x, y) = (f64::from(x), f64::from(y));
            let error = x - y;
            self.values += 1;
            self.product += x * y;
            self.reference_squares += x * x;
            self.other_squares += y * y;
            self.error_squares += error * error;
            self.reference_sum += x;
            self.other_sum += y;
            self.max_error = self.max_error.max(error.abs());
        }
        Ok(())
    }

    /// Adds another's pairs.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.alike += other.alike;
        self.broken += other.broken;
        self.product += other.product;
        self.reference_squares += other.reference_squares;
        self.other_squares += other.other_squares;
        self.error_squares += other.error_squares;
        self.reference_sum += other.reference_sum;
        self.other_sum += other.other_sum;
        self.max_error = self.max_error.max(other.max_error);
    }

    /// See [`Figures::cosine`].
    pub fn cosine(&self) -> Option<f64> {
        self.whole().then(|| match (self.reference_squares > 0.0, self.other_squares > 0.0) {
            (false, false) => 1.0,
            (true, true) => {
                // Roots before the product, which may not fit.
                let norms = self.reference_squares.sqrt() * self.other_squares.sqrt();
                (self.product / norms).clamp(-1.0, 1.0)
            }
            _ => 0.0,
        })
    }

    /// See [`Figures::sqnr`].
    pub fn sqnr(&self) -> Option<f64> {
        self.whole().then(|| match (self.reference_squares > 0.0, self.error_squares > 0.0) {
            (_, false) => SQNR_LIMIT,
            (false, true) => -SQNR_LIMIT,
            (true, true) => {
                let ratio = 10.0 * (self.reference_squares.log10() - self.error_squares.log10());
                ratio.clamp(-SQNR_LIMIT, SQNR_LIMIT)
            }
        })
    }

    /// All figures.
    pub fn figures(&self) -> Figures {
        let some = |value: f64| (self.values > 0).then_some(value);
        let count = self.values as f64;
        Figures {
            values: self.values,
            not_finite: self.alike,
            broken: self.broken,
            cosine: self.cosine(),
            sqnr: self.sqnr(),
            max_error: some(self.max_error),
            mean_reference: some(self.reference_sum / count),
            mean_other: some(self.other_sum / count),
        }
    }

    /// Whether there is something to compare, and nothing that cannot be.
    fn whole(&self) -> bool {
        self.values > 0 && self.broken == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(reference: &[f32], other: &[f32]) -> Comparison {
        let mut comparison = Comparison::default();
        comparison.add(reference, other).unwrap();
        comparison
    }

    #[test]
    fn figures_are_those_of_their_formulas() {
        // Reference, other, cosine, SQNR, largest error; computed with numpy.
        type Case = (&'static [f32], &'static [f32], f64, f64, f64);
        let cases: [Case; 6] = [
            (&[3.0, 4.0], &[3.0, 4.0], 1.0, SQNR_LIMIT, 0.0),
            (&[3.0, 4.0], &[6.0, 8.0], 1.0, 0.0, 4.0),
            (&[1.0, 0.0], &[0.0, 1.0], 0.0, -3.010_299_956_639_812, 1.0),
            (&[1.0, 2.0, 3.0], &[1.1, 1.9, 3.2], 0.998_599_855, 23.679_767, 0.2),
            (&[0.0, 0.0], &[0.0, 0.0], 1.0, SQNR_LIMIT, 0.0),
            (&[0.0, 0.0], &[0.0, 2.0], 0.0, -SQNR_LIMIT, 2.0),
        ];
        for (reference, other, cosine, sqnr, max_error) in cases {
            let found = compare(reference, other).figures();
            assert!((found.cosine.unwrap() - cosine).abs() < 1e-6, "{reference:?} {other:?} {found:?}");
            assert!((found.sqnr.unwrap() - sqnr).abs() < 1e-4, "{reference:?} {other:?} {found:?}");
            assert!((found.max_error.unwrap() - max_error).abs() < 1e-6, "{reference:?} {other:?} {found:?}");
        }
    }

    #[test]
    fn values_that_are_alike_without_being_finite_are_counted_and_left_out() {
        let found = compare(&[1.0, f32::NAN, f32::INFINITY], &[1.0, f32::NAN, f32::INFINITY]).figures();
        assert_eq!((found.values, found.not_finite, found.broken), (1, 2, 0));
        assert_eq!(found.cosine, Some(1.0));
    }

    #[test]
    fn a_nan_that_only_one_of_two_has_leaves_no_closeness() {
        for other in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = compare(&[1.0, 2.0], &[1.0, other]).figures();
            assert_eq!((found.broken, found.cosine, found.sqnr), (1, None, None));
            assert_eq!(found.max_error, Some(0.0));
        }
        assert_eq!(compare(&[f32::INFINITY], &[f32::NEG_INFINITY]).figures().broken, 1);
    }

    #[test]
    fn nothing_has_no_figures() {
        assert_eq!(compare(&[], &[]).figures(), Figures::default());
    }

    #[test]
    fn extreme_values_stay_numbers() {
        let found = compare(&[f32::MAX; 4], &[f32::MIN; 4]).figures();
        assert_eq!(found.cosine, Some(-1.0));
        assert!((found.sqnr.unwrap() + 6.0206).abs() < 1e-3);
        let found = compare(&[f32::from_bits(1)], &[f32::from_bits(2)]).figures();
        assert_eq!(found.cosine, Some(1.0));
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let mut parts = compare(&[1.0, -2.0], &[1.5, -2.0]);
        parts.merge(&compare(&[3.0, f32::NAN], &[2.0, 0.0]));
        assert_eq!(parts, compare(&[1.0, -2.0, 3.0, f32::NAN], &[1.5, -2.0, 2.0, 0.0]));
    }

    #[test]
    fn outputs_of_different_sizes_are_refused() {
        let error = Comparison::default().add(&[1.0], &[]).unwrap_err();
        assert_eq!(error, MetricsError::Length { reference: 1, other: 0 });
    }
}
