//! The two ways of counting, under one roof.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::density::Density;
use crate::{CalibError, Histogram, LinearHistogram};

/// How values are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// On nested grids ([`Histogram`]): the same counts for the same values in any order, batch size and sharding.
    #[default]
    Canonical,
    /// As TensorRT is described to do it ([`LinearHistogram`]): the first batch decides the width of the bins. For
    /// comparing with TensorRT's own tables.
    TensorRt,
}

impl fmt::Display for Mode {
    /// As configuration files have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canonical => "canonical",
            Self::TensorRt => "tensorrt",
        })
    }
}

/// What was counted of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// In [`Mode::Canonical`].
    Canonical(Histogram),
    /// In [`Mode::TensorRt`].
    TensorRt(LinearHistogram),
}

impl From<Histogram> for Counts {
    fn from(histogram: Histogram) -> Self {
        Self::Canonical(histogram)
    }
}

impl From<LinearHistogram> for Counts {
    fn from(histogram: LinearHistogram) -> Self {
        Self::TensorRt(histogram)
    }
}

/// Calls the method of whichever histogram there is.
macro_rules! either {
    ($counts:expr, $histogram:ident => $value:expr) => {
        match $counts {
            Counts::Canonical($histogram) => $value,
            Counts::TensorRt($histogram) => $value,
        }
    };
}

impl Counts {
    /// No values yet.
    pub fn new(mode: Mode) -> Self {
        match mode {
            Mode::Canonical => Self::Canonical(Histogram::new()),
            Mode::TensorRt => Self::TensorRt(LinearHistogram::new()),
        }
    }

    /// How it counts.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Canonical(_) => Mode::Canonical,
            Self::TensorRt(_) => Mode::TensorRt,
        }
    }

    /// Counts values: one batch of the tensor, as far as [`Mode::TensorRt`] is concerned.
    pub fn add(&mut self, values: &[f32]) {
        either!(self, histogram => histogram.add(values));
    }

    /// As [`Counts::add`], on all threads of the current rayon pool where the mode allows it.
    pub fn add_parallel(&mut self, values: &[f32]) {
        match self {
            Self::Canonical(histogram) => histogram.add_parallel(values),
            Self::TensorRt(histogram) => histogram.add(values),
        }
    }

    /// Adds the counts of another histogram of the same tensor.
    ///
    /// # Errors
    /// [`CalibError::Unmergeable`] unless both are canonical.
    pub fn merge(&mut self, other: &Self) -> Result<(), CalibError> {
        match (self, other) {
            (Self::Canonical(own), Self::Canonical(other)) => {
                own.merge(other);
                Ok(())
            }
            _ => Err(CalibError::Unmergeable),
        }
    }

    /// The greatest magnitude among finite values, exactly; `None` before the first.
    pub fn amax(&self) -> Option<f32> {
        either!(self, histogram => histogram.amax())
    }

    /// The least finite value, exactly; `None` before the first.
    pub fn min(&self) -> Option<f32> {
        either!(self, histogram => histogram.min())
    }

    /// The greatest finite value, exactly; `None` before the first.
    pub fn max(&self) -> Option<f32> {
        either!(self, histogram => histogram.max())
    }

    /// The number of finite values.
    pub fn count(&self) -> u64 {
        either!(self, histogram => histogram.count())
    }

    /// The share of the finite values whose magnitude exceeds `threshold`, and that saturate with it; 0 where there are
    /// none. Values of one bin are taken to lie evenly in it.
    pub fn share_beyond(&self, threshold: f64) -> f64 {
        match self.amax() {
            Some(amax) if f64::from(amax) > threshold.max(0.0) => {
                Density::new(self, f64::from(amax)).beyond(threshold) / self.count() as f64
            }
            _ => 0.0,
        }
    }

    /// The number of NaN.
    pub fn nan(&self) -> u64 {
        either!(self, histogram => histogram.nan())
    }

    /// The number of infinities of both signs.
    pub fn infinite(&self) -> u64 {
        either!(self, histogram => histogram.infinite())
    }
}
