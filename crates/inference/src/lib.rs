//! Runs ONNX models on this machine, for two purposes behind two seams: a [`HistogramSource`] counts every activation
//! of a model, and a [`Network`] gives the model's outputs.
//!
//! What it is not: it chooses no samples, derives no thresholds and knows nothing of TensorRT. The host depends on it;
//! the device does not.

pub mod cuda;
mod dataflow;
mod error;
mod memory;
mod names;
mod network;
mod open;
pub mod ort;
pub mod rten;
mod settings;
mod source;
mod tensor;
pub mod tensorrt;

pub use error::SourceError;
pub use network::Network;
pub use open::{Opened, Subject, open_network, open_source};
pub use settings::{Choice, OnNan, Settings};
pub use source::{Backend, Batch, Content, HistogramSource, Histograms, Observed, Omitted, Wants};
pub use tensor::{Tensor, Values};
pub use tensorrt::TableSource;
