//! From a histogram to a threshold and a scale.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Counts;
use crate::entropy::{self, EntropyParams};
use crate::table::TableAlgorithm;

/// How a threshold is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// The threshold whose quantized histogram diverges least from the original (Kullback-Leibler).
    #[default]
    #[serde(rename = "entropy")]
    EntropyCalibration2,
    /// The greatest magnitude: nothing is clipped.
    #[serde(rename = "minmax")]
    MinMax,
}

impl Algorithm {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 2] = [Self::EntropyCalibration2, Self::MinMax];

    /// The name in configuration files and sidecars.
    pub fn name(self) -> &'static str {
        match self {
            Self::EntropyCalibration2 => "entropy",
            Self::MinMax => "minmax",
        }
    }

    /// The word for the header of a table of these thresholds.
    ///
    /// TensorRT uses scales as they are, so a table of MinMax scales also works under an
    /// `EntropyCalibration2` header, and only under that one in trtexec.
    pub fn table_algorithm(self) -> TableAlgorithm {
        match self {
            Self::EntropyCalibration2 => TableAlgorithm::EntropyCalibration2,
            Self::MinMax => TableAlgorithm::MinMaxCalibration,
        }
    }

    /// The threshold of one tensor, with default parameters.
    ///
    /// # Errors
    /// A [`CalibError`] saying why this tensor has no scale; the table goes without it, and TensorRT then
    /// keeps the tensor out of INT8.
    pub fn threshold(self, counts: &Counts) -> Result<Threshold, CalibError> {
        match self {
            Self::EntropyCalibration2 => entropy_threshold(counts, &EntropyParams::default()),
            Self::MinMax => {
                Threshold { value: f64::from(range(counts)?), bin: None, divergence: None }.checked()
            }
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = CalibError;

    fn from_str(text: &str) -> Result<Self, CalibError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| CalibError::UnknownAlgorithm { found: text.to_owned() })
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
/// As [`Algorithm::threshold`], and [`CalibError::Params`].
pub fn entropy_threshold(counts: &Counts, params: &EntropyParams) -> Result<Threshold, CalibError> {
    params.check()?;
    let amax = f64::from(range(counts)?);
    let (width, bins) = match counts {
        Counts::Canonical(histogram) => (amax / params.bins as f64, histogram.rebin(params.bins)),
        Counts::TensorRt(histogram) => (histogram.bins().0, histogram.bins().1.to_vec()),
    };
    let best = entropy::search(&bins, params);
    let value = (best.bin as f64 + 0.5) * width;
    Threshold { value, bin: Some(best.bin), divergence: Some(best.divergence) }.checked()
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

/// Why there is no threshold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibError {
    /// The tensor never had a value.
    #[error("the tensor had no value during calibration")]
    NeverSeen,
    /// Every value was zero.
    #[error("every value of the tensor was 0 during calibration; values seen: {count}")]
    AllZero {
        /// How many.
        count: u64,
    },
    /// Every value was NaN or infinite.
    #[error("no value of the tensor was finite during calibration; NaN: {nan}, infinite: {infinite}")]
    NotFinite {
        /// The number of NaN.
        nan: u64,
        /// The number of infinities.
        infinite: u64,
    },
    /// The scale is below the least binary32.
    #[error("the tensor's range is too small for a scale: {threshold:e}")]
    TooSmall {
        /// The threshold.
        threshold: f64,
    },
    /// Parameters of the entropy search contradict each other.
    #[error("the entropy parameter `{name}` must be {wanted}: {found}")]
    Params {
        /// The parameter.
        name: &'static str,
        /// What it must be.
        wanted: String,
        /// What it is.
        found: usize,
    },
    /// Parts of a histogram contradict each other.
    #[error("the histogram is damaged: {reason}")]
    Histogram {
        /// How.
        reason: &'static str,
    },
    /// Counts whose bins depend on the order of the images cannot be added up.
    #[error(
        "histograms counted as TensorRT does cannot be merged, since the first batch of each decides its bins"
    )]
    Unmergeable,
    /// There is no such algorithm.
    #[error("unknown calibration algorithm: `{found}`")]
    UnknownAlgorithm {
        /// The name.
        found: String,
    },
}

impl CalibError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NeverSeen => "check that the tensor is computed for the calibration's shapes",
            Self::AllZero { .. } => {
                "calibrate with more varied images, or leave the tensor in higher precision"
            }
            Self::NotFinite { .. } => {
                "check `preprocess` and the model in FP32: a tensor of infinities, such as a mask, has no scale"
            }
            Self::TooSmall { .. } => "check `preprocess`: the input may be scaled twice",
            Self::Params { .. } => "leave the parameter out for its default",
            Self::Histogram { .. } => "run `trt-deploy calibrate` again to count anew",
            Self::Unmergeable => "count with `histogram: canonical`, or in one run",
            Self::UnknownAlgorithm { .. } => {
                let names = Algorithm::ALL.map(|algorithm| format!("`{algorithm}`")).join(" or ");
                return Some(format!("set `algorithm` to {names}"));
            }
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for algorithm in Algorithm::ALL {
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

    #[test]
    fn algorithms_are_named_alike_everywhere() {
        for algorithm in Algorithm::ALL {
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.name());
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        assert_eq!(Algorithm::MinMax.table_algorithm().word(), "MinMaxCalibration");
        assert_eq!(Algorithm::default().table_algorithm().word(), "EntropyCalibration2");
    }

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        for error in [
            CalibError::NeverSeen,
            CalibError::AllZero { count: 1 },
            CalibError::NotFinite { nan: 1, infinite: 0 },
            CalibError::TooSmall { threshold: 1e-45 },
            EntropyParams { stride: 0, ..EntropyParams::default() }.check().unwrap_err(),
            CalibError::Histogram { reason: "why" },
            CalibError::Unmergeable,
            CalibError::UnknownAlgorithm { found: "kl".to_owned() },
        ] {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
        }
    }
}
