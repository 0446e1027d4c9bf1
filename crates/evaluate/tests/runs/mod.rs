//! What runs the networks.

use std::path::Path;

use trt_inference::{Choice, Network, Settings, SourceError, Subject, open_network};
use trt_onnx::Model;

/// Runs a model in rten.
pub fn open(model: &Model) -> Result<Box<dyn Network>, SourceError> {
    let folder = model.folder().unwrap_or(Path::new("."));
    let subject = Subject { model, folder, activations: &[] };
    Ok(open_network(&subject, Choice::Rten, &Settings::default())?.what)
}
