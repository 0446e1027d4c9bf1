//! INT8 against FP32 on this machine: what a calibration table costs.

mod bench;
pub mod page;
mod samples;
mod trial;

pub use bench::{Bench, settings, simulated};
pub use samples::DatasetSamples;
pub use trial::{Outcome, Trial, Wish};
