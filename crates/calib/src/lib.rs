//! Histograms of activations, calibration algorithms and TensorRT INT8 calibration tables.
//!
//! The way of the data: every activation is counted into a [`Histogram`]; an [`Algorithm`] turns each
//! histogram into a [`Threshold`]; thresholds become the entries of a [`CalibrationTable`], and a
//! [`Sidecar`] beside it records what the table was made of, so that a stale one can be told.
//!
//! The crate is pure: it reads no file, prints nothing, knows no backend and holds no `unsafe`. The host and
//! the device agent depend on it; it depends on none of our other crates. Tables and sidecars are untrusted
//! bytes here: their parsers have size caps, return typed errors with line numbers, and are fuzzed.

mod algorithm;
mod counts;
mod density;
mod digest;
mod entropy;
mod error;
mod fit;
mod histogram;
mod legacy;
mod linear;
mod method;
mod mse;
mod rebin;
pub mod set;
pub mod sidecar;
mod sniff;
pub mod table;

pub use algorithm::{Algorithm, Legacy, Percent, Share};
pub use counts::{Counts, Mode};
pub use digest::{Digest, DigestError};
pub use entropy::{At, EntropyParams, FirstBin, LevelEdge, LoneTail, Preset, QSource, SMOOTHING, Ties};
pub use error::CalibError;
pub use fit::{Agreement, Fit, agreement, fit};
pub use histogram::{FINE, Histogram, HistogramParts};
pub use linear::{LINEAR, LinearHistogram, LinearParts};
pub use method::{Method, Threshold, entropy_threshold};
pub use set::HistogramSet;
pub use sidecar::Sidecar;
pub use sniff::{Kind, sniff};
pub use table::CalibrationTable;
