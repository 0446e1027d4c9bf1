//! The algorithms that choose a threshold, and how they are written.

mod number;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use number::{Percent, Share};

use crate::table::TableAlgorithm;
use crate::{CalibError, Counts, Method, Threshold};

/// How a threshold is chosen.
///
/// As text, in configuration files, on the command line and in sidecars: `entropy`, `entropy1`, `minmax`, `mse`,
/// `percentile:99.99`, `legacy:0.99999:1`. The numbers may be left out for their defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `entropy`: the threshold whose quantized histogram diverges least from the original (Kullback-Leibler), as
    /// TensorRT's `IInt8EntropyCalibrator2` is described; see [`EntropyParams`](crate::EntropyParams).
    #[default]
    EntropyCalibration2,
    /// `entropy1`: the older entropy calibrator.
    ///
    /// Of `IInt8EntropyCalibrator` NVIDIA says only that it calibrates after layers are fused. Our choice is what was
    /// public when it was the only one, S. Migacz's slides of 2017: 128 levels, and the first bin counts; see
    /// [`Preset::Migacz`](crate::Preset).
    EntropyCalibration,
    /// `minmax`: the greatest magnitude; nothing is clipped.
    MinMax,
    /// `percentile`: the least magnitude that this share of all finite values does not exceed, zeros included.
    Percentile(Percent),
    /// `mse`: the threshold with the least expected squared error of rounding to INT8 and clipping.
    Mse,
    /// `legacy`: a quantile, or what a regression over the lower part of the range makes of it.
    Legacy(Legacy),
}

/// The parameters of TensorRT's `IInt8LegacyCalibrator`. The default is what the headers of its tables hold.
///
/// Its documentation says no more than that the quantile "will be used to select the region maximum when the quantile
/// method is in use", and the cutoff is the "fraction of the maximum used to define the regression cutoff when using
/// regression to determine the region maximum". [`crate::Method::threshold`] documents our reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Legacy {
    /// The share of values that the threshold does not clip.
    pub quantile: Share,
    /// The share of the range that the regression sees; with all of it, there is none.
    pub cutoff: Share,
}

impl Default for Legacy {
    fn default() -> Self {
        Self { quantile: Share::new(0.999_99).unwrap_or(Share::ALL), cutoff: Share::ALL }
    }
}

/// 99.9 %.
const PERCENTILE_LOW: Algorithm = percentile(99.9);

const fn percentile(percent: f64) -> Algorithm {
    match Percent::new(percent) {
        Some(percent) => Algorithm::Percentile(percent),
        None => Algorithm::MinMax,
    }
}

impl Algorithm {
    /// 99.99 %: what `percentile` alone means.
    pub const PERCENTILE: Self = percentile(99.99);

    /// The word of each, in the order in which messages list them.
    pub const WORDS: [&str; 6] = ["entropy", "minmax", "percentile", "mse", "entropy1", "legacy"];

    /// What `auto` chooses from, in the order in which ties are decided.
    pub fn candidates() -> [Self; 5] {
        [Self::EntropyCalibration2, Self::PERCENTILE, PERCENTILE_LOW, Self::Mse, Self::MinMax]
    }

    /// The word, without numbers.
    pub fn word(self) -> &'static str {
        match self {
            Self::EntropyCalibration2 => "entropy",
            Self::EntropyCalibration => "entropy1",
            Self::MinMax => "minmax",
            Self::Percentile(_) => "percentile",
            Self::Mse => "mse",
            Self::Legacy(_) => "legacy",
        }
    }

    /// Whether [`EntropyParams`](crate::EntropyParams) decide about its thresholds.
    pub fn takes_entropy_params(self) -> bool {
        self == Self::EntropyCalibration2
    }

    /// The word for the header of a table of these thresholds.
    ///
    /// TensorRT uses scales as they are, so a table of MinMax scales also works under an
    /// `EntropyCalibration2` header, and only under that one in trtexec. Algorithms that TensorRT does not have go
    /// under that one too, and so does `legacy`, whose own header is read by none of today's calibrators.
    pub fn table_algorithm(self) -> TableAlgorithm {
        match self {
            Self::MinMax => TableAlgorithm::MinMaxCalibration,
            Self::EntropyCalibration => TableAlgorithm::EntropyCalibration,
            _ => TableAlgorithm::EntropyCalibration2,
        }
    }

    /// The threshold of one tensor, with default parameters of the entropy search.
    ///
    /// # Errors
    /// As [`Method::threshold`].
    pub fn threshold(self, counts: &Counts) -> Result<Threshold, CalibError> {
        Method::from(self).threshold(counts)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Percentile(percent) => write!(f, ":{percent}"),
            Self::Legacy(Legacy { quantile, cutoff }) => write!(f, ":{quantile}:{cutoff}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Algorithm {
    type Err = CalibError;

    fn from_str(text: &str) -> Result<Self, CalibError> {
        let unknown = || CalibError::UnknownAlgorithm { found: text.to_owned() };
        let mut parts = text.split(':');
        let word = parts.next().unwrap_or_default();
        let algorithm = match word {
            "entropy" => Self::EntropyCalibration2,
            "entropy1" => Self::EntropyCalibration,
            "minmax" => Self::MinMax,
            "mse" => Self::Mse,
            "percentile" => match parts.next() {
                Some(number) => Self::Percentile(number.parse()?),
                None => Self::PERCENTILE,
            },
            "legacy" => {
                let default = Legacy::default();
                let quantile = parts.next().map_or(Ok(default.quantile), str::parse)?;
                let cutoff = parts.next().map_or(Ok(default.cutoff), str::parse)?;
                Self::Legacy(Legacy { quantile, cutoff })
            }
            _ => return Err(unknown()),
        };
        // A number too many is no algorithm either.
        if parts.next().is_some() { Err(unknown()) } else { Ok(algorithm) }
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_written_alike_everywhere() {
        for (text, word) in [
            ("entropy", "EntropyCalibration2"),
            ("entropy1", "EntropyCalibration"),
            ("minmax", "MinMaxCalibration"),
            ("mse", "EntropyCalibration2"),
            ("percentile:99.99", "EntropyCalibration2"),
            ("percentile:0.00001", "EntropyCalibration2"),
            ("percentile:100", "EntropyCalibration2"),
            ("legacy:0.99999:1", "EntropyCalibration2"),
            ("legacy:0.5:0.25", "EntropyCalibration2"),
        ] {
            let algorithm: Algorithm = text.parse().unwrap();
            assert_eq!(algorithm.to_string(), text);
            assert_eq!(serde_json::to_value(algorithm).unwrap(), text);
            assert_eq!(serde_json::from_value::<Algorithm>(text.into()).unwrap(), algorithm);
            assert_eq!(algorithm.table_algorithm().word(), word, "{text}");
            assert!(Algorithm::WORDS.contains(&algorithm.word()), "{text}");
        }
        assert_eq!(Algorithm::default().to_string(), "entropy");
    }

    #[test]
    fn numbers_left_out_have_their_defaults() {
        for (short, long) in [
            ("percentile", "percentile:99.99"),
            ("legacy", "legacy:0.99999:1"),
            ("legacy:0.9", "legacy:0.9:1"),
            ("percentile:99.90", "percentile:99.9"),
            ("percentile:1e2", "percentile:100"),
        ] {
            assert_eq!(short.parse::<Algorithm>().unwrap().to_string(), long);
        }
    }

    #[test]
    fn text_that_is_no_algorithm_is_refused() {
        for text in ["", "kl", "Entropy", "entropy:1", "minmax:", "mse:2", "percentile:99:1", "legacy:1:1:1"]
        {
            assert!(matches!(text.parse::<Algorithm>(), Err(CalibError::UnknownAlgorithm { .. })), "{text}");
        }
        for text in [
            "percentile:",
            "percentile:0",
            "percentile:-0",
            "percentile:100.1",
            "percentile:NaN",
            "percentile:x",
            "percentile:inf",
            "legacy:0",
            "legacy:1.01",
            "legacy:0.9:0",
            "legacy::1",
        ] {
            assert!(matches!(text.parse::<Algorithm>(), Err(CalibError::Number { .. })), "{text}");
        }
    }

    #[test]
    fn candidates_differ() {
        let mut seen = std::collections::HashSet::new();
        assert!(Algorithm::candidates().into_iter().all(|candidate| seen.insert(candidate)));
        assert!(seen.contains(&"percentile:99.9".parse().unwrap()));
        assert_eq!(Legacy::default().quantile.get(), 0.999_99);
    }
}
