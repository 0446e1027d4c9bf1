//! One activation: its counts and thresholds.

use serde::{Deserialize, Serialize};
use trt_calib::Counts;

use crate::Bars;

/// What was seen of an activation and what was made of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TensorReport {
    /// Its ONNX value name.
    pub name: String,
    /// The operator that computes it; `None` for an input of the model.
    pub operator: Option<String>,
    /// The counts of its magnitudes.
    pub bars: Bars,
    /// The least finite value.
    pub min: Option<f32>,
    /// The greatest finite value.
    pub max: Option<f32>,
    /// The number of finite values.
    pub count: u64,
    /// The number of NaN.
    pub nan: u64,
    /// The number of infinities.
    pub infinite: u64,
    /// The candidates' thresholds; at most one is chosen.
    pub thresholds: Vec<Mark>,
    /// Why it has no scale; `None` if it has one.
    pub without_scale: Option<String>,
    /// Its value in INT8, before it is rounded itself, against its value in FP32: the signal-to-quantization-noise ratio
    /// of all that comes before it, in dB.
    pub sqnr_db: Option<f64>,
    /// Its value in FP32 against that value rounded by its own scale: what its own threshold costs, in dB.
    pub own_db: Option<f64>,
    /// Why it is kept in higher precision; `None` if it is not.
    pub kept: Option<String>,
}

/// A threshold on a tensor's magnitudes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// The algorithm.
    pub algorithm: String,
    /// The magnitude that 127 stands for.
    pub value: f64,
    /// Whether it is the one in the table.
    pub chosen: bool,
    /// The share of values that exceed it and saturate.
    pub beyond: Option<f64>,
}

impl TensorReport {
    /// What was counted of a tensor, without thresholds.
    pub fn new(name: impl Into<String>, counts: &Counts) -> Self {
        Self {
            name: name.into(),
            bars: Bars::of(counts, Bars::SHOWN),
            min: counts.min(),
            max: counts.max(),
            count: counts.count(),
            nan: counts.nan(),
            infinite: counts.infinite(),
            ..Self::default()
        }
    }

    /// Adds a threshold; the share of values beyond it is read off the same counts.
    #[must_use]
    pub fn with_threshold(mut self, algorithm: &str, value: f64, chosen: bool, counts: &Counts) -> Self {
        let beyond = Bars::of(counts, Bars::FINE).share_beyond(value);
        self.thresholds.push(Mark { algorithm: algorithm.to_owned(), value, chosen, beyond });
        self
    }

    /// The threshold in the table.
    pub fn chosen(&self) -> Option<&Mark> {
        self.thresholds.iter().find(|mark| mark.chosen)
    }

    /// The greatest magnitude.
    pub fn amax(&self) -> Option<f32> {
        Some(self.max?.max(-self.min?).abs())
    }
}
