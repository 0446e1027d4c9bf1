//! What can go wrong while a model is run, and what mends it.

use std::io;
use std::path::PathBuf;

/// What a backend reports.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The backend has not got an operator, or not this form of it.
    #[error("the calibration backend cannot run {}: {reason}", node.as_deref().unwrap_or("a node of the model"))]
    Unsupported { node: Option<String>, reason: String },
    /// The backend has not got an operator that is none of ONNX itself.
    #[error("the calibration backend cannot run {node}: {reason}")]
    Foreign { node: String, domain: String, reason: String },
    /// The backend cannot load the model.
    #[error("the calibration backend cannot load the model{}: {reason}", at(node))]
    Load { node: Option<String>, reason: String },
    /// The model's external data cannot be read.
    #[error("cannot read the model's data {}", path.display())]
    ExternalData { path: PathBuf, source: io::Error },
    /// A node failed on these images.
    #[error("the model could not be run{}: {reason}", at(node))]
    Run { node: Option<String>, reason: String },
    /// The backend has a defect.
    #[error("the calibration backend failed in a way that it should not: {reason}")]
    Panicked { reason: String },
    /// An activation is not a number.
    #[error(
        "activation `{tensor}` has {count} value(s) that are not a number (NaN); samples: {}",
        samples.join(", ")
    )]
    NotANumber { tensor: String, count: u64, samples: Vec<String> },
}

fn at(node: &Option<String>) -> String {
    node.as_ref().map_or(String::new(), |node| format!(", at {node}"))
}

impl SourceError {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Foreign { domain, .. } => {
                return Some(format!(
                    "operators of `{domain}` are plugins, which only the device has: bring a table made elsewhere \
                     (`calibration: {{table: FILE}}`), and name the plugin's library under `plugins`"
                ));
            }
            Self::Unsupported { .. } => {
                "the embedded backend has not got this operator: simplify the model (`onnxslim in.onnx out.onnx`), or \
                 calibrate elsewhere and give the file as `table:`"
            }
            Self::Load { .. } | Self::Panicked { .. } => {
                "check the model with `python -m onnx.checker`, or calibrate elsewhere and give the file as `table:`"
            }
            Self::ExternalData { .. } => "check the permissions of the file beside the `.onnx`",
            Self::Run { .. } => {
                "check `shapes` and `preprocess`: the shape of the images may not be one that the model takes"
            }
            Self::NotANumber { .. } => {
                "check `preprocess` and run the model in FP32 on that image: a model with such values cannot be quantized"
            }
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_hint_and_no_full_stop() {
        let text = || "x".to_owned();
        for error in [
            SourceError::Unsupported { node: None, reason: text() },
            SourceError::Foreign { node: text(), domain: text(), reason: text() },
            SourceError::Load { node: None, reason: text() },
            SourceError::ExternalData { path: "x".into(), source: io::ErrorKind::NotFound.into() },
            SourceError::Run { node: Some(text()), reason: text() },
            SourceError::Panicked { reason: text() },
            SourceError::NotANumber { tensor: text(), count: 1, samples: vec![text()] },
        ] {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?}");
            assert!(!error.to_string().ends_with('.'), "{error}");
        }
    }
}
