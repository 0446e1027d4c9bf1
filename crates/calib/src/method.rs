//! From counts to a threshold and a scale.

use serde::{Deserialize, Serialize};

use crate::density::Density;
use crate::entropy;
use crate::{Algorithm, CalibError, Counts, EntropyParams, Preset, legacy, mse};

/// An algorithm with all of its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Method {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The parameters of [`Algorithm::EntropyCalibration2`]; the others take none.
    #[serde(default)]
    pub entropy: EntropyParams,
}

impl From<Algorithm> for Method {
    /// With the default parameters.
    fn from(algorithm: Algorithm) -> Self {
        Self { algorithm, entropy: EntropyParams::default() }
    }
}

impl Method {
    /// The threshold of one tensor.
    ///
    /// Of the values in a bin only their number is known. Every algorithm but the entropy searches takes them as evenly
    /// spread over the bin, the last one ending at the greatest magnitude, which is known exactly.
    ///
    /// - `minmax` is that magnitude.
    /// - `percentile:p` is the point below which `p` percent of all finite values lie; zeros are values too.
    /// - `mse` has the least expected `(x - s * clamp(round(x / s), -127, 127))^2`, `s` being the threshold over 127.
    /// - `legacy:q:c`, our reading of what NVIDIA documents of it: with `c` = 1 the quantile `q`. With less, a straight
    ///   line is fitted to the logarithms of the counts in the first `c` of the range (bins that are not empty, the
    ///   first one left out, each weighted by its count), which makes the magnitudes an exponential distribution; the
    ///   threshold is the quantile `q` of that. Where the line does not fall, and at most, it is the greatest magnitude.
    /// - `entropy` and `entropy1`: see [`EntropyParams`].
    ///
    /// # Errors
    /// A [`CalibError`] saying why this tensor has no scale; the table goes without it, and TensorRT then
    /// keeps the tensor out of INT8. Also [`CalibError::Params`].
    pub fn threshold(&self, counts: &Counts) -> Result<Threshold, CalibError> {
        let plain = |value| Threshold { value, bin: None, divergence: None };
        let amax = f64::from(range(counts)?);
        let found = match self.algorithm {
            Algorithm::EntropyCalibration2 => entropy_search(counts, &self.entropy)?,
            Algorithm::EntropyCalibration => entropy_search(counts, &Preset::Migacz.params())?,
            Algorithm::MinMax => plain(amax),
            Algorithm::Percentile(percent) => {
                plain(Density::new(counts, amax).quantile(percent.get() / 100.0))
            }
            Algorithm::Mse => plain(mse::threshold(&Density::new(counts, amax))),
            Algorithm::Legacy(parameters) => {
                plain(legacy::threshold(&Density::new(counts, amax), parameters))
            }
        };
        found.checked()
    }
}

/// The magnitude that INT8's 127 stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The magnitude; entropy's may exceed the greatest one by half a bin.
    pub value: f64,
    /// How many bins entropy kept; `None` for other algorithms.
    pub bin: Option<usize>,
    /// The least divergence, in nats; `None` for other algorithms.
    pub divergence: Option<f64>,
}

impl Threshold {
    /// The scale of a calibration table: `value / 127`, rounded once.
    pub fn scale(&self) -> f32 {
        (self.value / 127.0) as f32
    }

    /// A scale must be a positive number for TensorRT to use it.
    fn checked(self) -> Result<Self, CalibError> {
        if self.scale() > 0.0 { Ok(self) } else { Err(CalibError::TooSmall { threshold: self.value }) }
    }
}

/// The threshold by entropy with other than the default parameters.
///
/// # Errors
/// As [`Method::threshold`].
pub fn entropy_threshold(counts: &Counts, params: &EntropyParams) -> Result<Threshold, CalibError> {
    Method { algorithm: Algorithm::EntropyCalibration2, entropy: *params }.threshold(counts)
}

fn entropy_search(counts: &Counts, params: &EntropyParams) -> Result<Threshold, CalibError> {
    params.check()?;
    let best = match counts {
        Counts::Canonical(histogram) => entropy::search(&histogram.rebin(params.bins), params),
        Counts::TensorRt(histogram) => entropy::search(histogram.bins().1, params),
    };
    let value = params.at.position(best.bin) * bin_width(counts, params);
    Ok(Threshold { value, bin: Some(best.bin), divergence: Some(best.divergence) })
}

/// The width of the bins that the entropy search sees.
pub(crate) fn bin_width(counts: &Counts, params: &EntropyParams) -> f64 {
    match counts {
        Counts::Canonical(histogram) => f64::from(histogram.amax().unwrap_or(0.0)) / params.bins as f64,
        Counts::TensorRt(histogram) => histogram.bins().0,
    }
}

/// The greatest magnitude, if the tensor has a range at all.
fn range(histogram: &Counts) -> Result<f32, CalibError> {
    match histogram.amax() {
        Some(amax) if amax > 0.0 => Ok(amax),
        Some(_) => Err(CalibError::AllZero { count: histogram.count() }),
        None if histogram.nan() == 0 && histogram.infinite() == 0 => Err(CalibError::NeverSeen),
        None => Err(CalibError::NotFinite { nan: histogram.nan(), infinite: histogram.infinite() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 7] =
        ["entropy", "entropy1", "minmax", "mse", "percentile:99.9", "percentile:100", "legacy:0.9999:0.5"];

    fn histogram(values: &[f32]) -> Counts {
        let mut histogram = crate::Histogram::new();
        histogram.add(values);
        histogram.into()
    }

    fn scale_bits(algorithm: Algorithm, values: &[f32]) -> u32 {
        algorithm.threshold(&histogram(values)).unwrap().scale().to_bits()
    }

    #[test]
    fn minmax_scales_are_those_of_tensorrts_tables() {
        for (amax, bits) in [(1.0, 0x3c01_0204), (6.0, 0x3d41_8306), (-6.0, 0x3d41_8306)] {
            assert_eq!(scale_bits(Algorithm::MinMax, &[0.0, amax, amax / 2.0]), bits, "{amax}");
        }
    }

    #[test]
    fn unclipped_unit_ranges_have_the_scale_seen_in_tensorrts_tables() {
        let uniform: Vec<f32> = (0..=100_000).map(|i| i as f32 / 100_000.0).collect();
        assert_eq!(scale_bits(Algorithm::EntropyCalibration2, &uniform), 0x3c01_0a14);
        let one_bin_less = Threshold { value: 2047.5 / 2048.0, bin: Some(2047), divergence: None };
        assert_eq!(one_bin_less.scale().to_bits(), 0x3c00_f9f4);
    }

    /// Sigmoids that reach 1 have 2047.5 in TensorRT's tables, and unit ranges that are not clipped 2048.5. The default
    /// finds the latter for both; without trying all bins the former comes out exactly. No parameters are known to give
    /// each its own: `scripts/compare-entropy` is there to find them.
    #[test]
    fn saturated_sigmoids_have_one_of_the_scales_seen_in_tensorrts_tables() {
        let logit = |i: i32| f64::from(i % 4001 - 2000) / 100.0;
        let sigmoid: Vec<f32> = (0..80_020).map(|i| (1.0 / (1.0 + (-logit(i)).exp())) as f32).collect();
        let counts = histogram(&sigmoid);
        assert_eq!(counts.amax(), Some(1.0));
        for (entropy, bits) in [(EntropyParams::default(), 0x3c01_0a14), (Preset::Ncnn.params(), 0x3c00_f9f4)]
        {
            let found = Method { entropy, ..Method::default() }.threshold(&counts).unwrap();
            assert_eq!(found.scale().to_bits(), bits, "{found:?}");
        }
    }

    #[test]
    fn a_constant_tensor_is_not_clipped() {
        let found = Algorithm::EntropyCalibration2.threshold(&histogram(&[6.0; 100])).unwrap();
        assert_eq!((found.bin, found.value), (Some(2048), 2048.5 * 6.0 / 2048.0));
        assert!(found.divergence.unwrap() < 1e-12);
    }

    #[test]
    fn an_outlier_is_clipped() {
        let mut values: Vec<f32> = (0..100_000u32).map(|i| (i * 7919 % 1000) as f32 / 1000.0).collect();
        values.push(1000.0);
        let found = Algorithm::EntropyCalibration2.threshold(&histogram(&values)).unwrap();
        assert!(found.value < 250.0, "{found:?}");
        assert_eq!(scale_bits(Algorithm::MinMax, &values), (1000.0f32 / 127.0).to_bits());
    }

    #[test]
    fn tensors_without_a_range_have_a_reason_instead_of_a_scale() {
        for algorithm in ALL.map(|text| text.parse::<Algorithm>().unwrap()) {
            let reason = |values: &[f32]| algorithm.threshold(&histogram(values)).unwrap_err();
            assert_eq!(reason(&[]), CalibError::NeverSeen);
            assert_eq!(reason(&[0.0, -0.0]), CalibError::AllZero { count: 2 });
            assert_eq!(reason(&[f32::NAN, f32::INFINITY]), CalibError::NotFinite { nan: 1, infinite: 1 });
            assert!(matches!(reason(&[f32::from_bits(1)]), CalibError::TooSmall { .. }));
            assert!(algorithm.threshold(&histogram(&[f32::NAN, 1.0])).is_ok());
            assert!(algorithm.threshold(&histogram(&[f32::MAX, f32::MIN_POSITIVE])).is_ok());
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused_by_name() {
        let good = EntropyParams::default();
        for (params, wrong) in [
            (EntropyParams { bins: 1, ..good }, "bins"),
            (EntropyParams { bins: 1 << 20, ..good }, "bins"),
            (EntropyParams { levels: 0, ..good }, "levels"),
            (EntropyParams { levels: 129, ..good }, "levels"),
            (EntropyParams { start: 4096, ..good }, "start"),
            (EntropyParams { stride: 0, ..good }, "stride"),
        ] {
            let found = entropy_threshold(&histogram(&[1.0]), &params);
            assert!(matches!(found, Err(CalibError::Params { name, .. }) if name == wrong), "{params:?}");
        }
    }
}
