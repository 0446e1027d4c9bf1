//! Which backend runs a model, and why that one.

use std::path::Path;

use crate::{Choice, HistogramSource, Network, Omitted, Settings, SourceError};

/// The model to be run.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The validated model.
    pub model: &'a trt_onnx::Model,
    /// The folder that its external data lies in.
    pub folder: &'a Path,
    /// The values to be counted, in the order of computation, the graph's inputs first; a [`Network`] needs none.
    pub activations: &'a [String],
}

/// A backend that is ready, and what was decided on the way.
#[derive(Debug)]
pub struct Opened<T> {
    /// The backend.
    pub what: T,
    /// Why it is this one: a sentence for each backend that was passed over, in order; empty where the choice was
    /// explicit or the first one served.
    pub because: Vec<String>,
    /// What of the model is not run, where only a part of it can be, such as what lies behind an operator that the
    /// backend has not got. Each value with the reason.
    pub left_out: Vec<Omitted>,
}

/// Opens a backend that counts activations.
///
/// [`Choice::Auto`] takes the first that is here and can load the model: ONNX Runtime on a GPU, ONNX Runtime on the CPU,
/// rten. Other choices never fall back.
///
/// # Errors
/// [`SourceError`]; with [`Choice::Auto`] that of rten, the last one.
pub fn open_source(
    subject: &Subject<'_>,
    choice: Choice,
    settings: &Settings,
) -> Result<Opened<Box<dyn HistogramSource>>, SourceError> {
    let _ = (subject, choice, settings);
    Err(SourceError::Load { node: None, reason: String::new() })
}

/// Opens a backend that gives the model's outputs. It chooses as [`open_source`] does.
///
/// # Errors
/// As for [`open_source`].
pub fn open_network(
    subject: &Subject<'_>,
    choice: Choice,
    settings: &Settings,
) -> Result<Opened<Box<dyn Network>>, SourceError> {
    let _ = (subject, choice, settings);
    Err(SourceError::Load { node: None, reason: String::new() })
}
