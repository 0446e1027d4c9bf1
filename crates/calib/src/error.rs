//! Why there is no threshold, and what else can be wrong with counts and parameters.

use crate::{Algorithm, Preset};

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
    /// There is no such set of entropy parameters.
    #[error("unknown preset of entropy parameters: `{found}`")]
    UnknownPreset {
        /// The name.
        found: String,
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
    /// The number of an algorithm is none, or out of bounds.
    #[error("the number of the calibration algorithm must be {wanted}: `{found}`")]
    Number {
        /// The bounds.
        wanted: &'static str,
        /// What there is instead.
        found: String,
    },
}

impl CalibError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let listed = |words: &[&str]| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
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
            Self::UnknownPreset { .. } => {
                return Some(format!("set `preset` to one of: {}", listed(&Preset::ALL.map(Preset::name))));
            }
            Self::Histogram { .. } => "run `trt-deploy calibrate` again to count anew",
            Self::Unmergeable => "count with `histogram: canonical`, or in one run",
            Self::UnknownAlgorithm { .. } => {
                return Some(format!("set `algorithm` to one of: {}", listed(&Algorithm::WORDS)));
            }
            Self::Number { .. } => {
                "write it as in `percentile:99.99` or `legacy:0.99999:1`, or leave it out for its default"
            }
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntropyParams;

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        for error in [
            CalibError::NeverSeen,
            CalibError::AllZero { count: 1 },
            CalibError::NotFinite { nan: 1, infinite: 0 },
            CalibError::TooSmall { threshold: 1e-45 },
            EntropyParams { stride: 0, ..EntropyParams::default() }.check().unwrap_err(),
            "mine".parse::<Preset>().unwrap_err(),
            CalibError::Histogram { reason: "why" },
            CalibError::Unmergeable,
            CalibError::UnknownAlgorithm { found: "kl".to_owned() },
            "percentile:0".parse::<Algorithm>().unwrap_err(),
        ] {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
        }
    }
}
