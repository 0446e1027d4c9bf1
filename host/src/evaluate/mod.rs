//! INT8 against FP32 on this machine: what a calibration table costs.

mod bench;
mod drawn;
pub mod page;
mod samples;
mod single;
mod trial;

pub use bench::{Bench, settings, simulated};
pub use drawn::Drawn;
pub use samples::DatasetSamples;
pub use trial::{Outcome, Trial, Wish};
