//! INT8 against FP32 on this machine: what a calibration table costs.

mod bench;
mod samples;

pub use bench::{Bench, settings, simulated};
pub use samples::DatasetSamples;
