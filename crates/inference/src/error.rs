//! What can go wrong while a model is run, and what mends it.

use std::io;
use std::path::PathBuf;

use onnxruntime::OrtError;
use trt_onnx::OnnxError;

/// What a backend reports. Nodes are called as the user's model calls them, with their operator where the name is missing.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The backend has not got an operator, or not this form of it.
    #[error("the calibration backend cannot run {}: {reason}", node.as_deref().unwrap_or("a node of the model"))]
    Unsupported {
        /// The node, if the backend says which.
        node: Option<String>,
        /// The backend's words.
        reason: String,
    },
    /// The backend has not got an operator that is none of ONNX itself.
    #[error("the calibration backend cannot run {node}: {reason}")]
    Foreign {
        /// The node.
        node: String,
        /// The domain that its operator comes from.
        domain: String,
        /// The backend's words.
        reason: String,
    },
    /// The backend cannot load the model.
    #[error("the calibration backend cannot load the model{}: {reason}", at(node))]
    Load {
        /// The node that is at fault, if the backend says which.
        node: Option<String>,
        /// The backend's words.
        reason: String,
    },
    /// The model's external data cannot be read.
    #[error("cannot read the model's data {}", path.display())]
    ExternalData {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The model cannot be changed as calibration needs it.
    #[error("the model cannot be made ready for calibration")]
    Model(#[from] OnnxError),
    /// ONNX Runtime is not there, or does not take what it is given.
    #[error(transparent)]
    OnnxRuntime(OrtError),
    /// A batch does not hold what the model takes.
    #[error("input `{name}` does not fit the model: {reason}")]
    Input {
        /// The input.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// A node failed on these samples.
    #[error("the model could not be run{}: {reason}", at(node))]
    Run {
        /// The node, if the backend says which.
        node: Option<String>,
        /// The backend's words.
        reason: String,
    },
    /// Memory ran out, on the host or on the GPU; nothing of the batch counts. A smaller batch may fit.
    #[error("there is too little memory for this batch: {reason}")]
    OutOfMemory {
        /// The backend's words.
        reason: String,
    },
    /// The GPU is lost, and with it everything that only its memory held. Only a new process can use it again.
    #[error("the GPU was lost: {reason}")]
    GpuLost {
        /// The backend's words.
        reason: String,
    },
    /// The backend has a defect.
    #[error("the calibration backend failed in a way that it should not: {reason}")]
    Panicked {
        /// What it said.
        reason: String,
    },
    /// An activation is not a number.
    #[error(
        "activation `{tensor}` has {count} value(s) that are not a number (NaN); samples: {}",
        samples.join(", ")
    )]
    NotANumber {
        /// The activation.
        tensor: String,
        /// How many values.
        count: u64,
        /// The samples: the first one with such a value, or the whole batch where the model has moved its first axis.
        samples: Vec<String>,
    },
}

fn at(node: &Option<String>) -> String {
    node.as_ref().map_or(String::new(), |node| format!(", at {node}"))
}

impl From<OrtError> for SourceError {
    /// As it is, where there are no names of nodes to be put in.
    fn from(error: OrtError) -> Self {
        match error {
            OrtError::Model { node, missing_operator: true, reason } => Self::Unsupported { node, reason },
            OrtError::Model { node, reason, .. } => Self::Load { node, reason },
            OrtError::External { path, source } => Self::ExternalData { path, source },
            OrtError::Run { node, reason } => Self::Run { node, reason },
            OrtError::OutOfMemory { reason } => Self::OutOfMemory { reason },
            OrtError::GpuLost { reason } => Self::GpuLost { reason },
            OrtError::Feed { name, reason } => Self::Input { name, reason },
            other => Self::OnnxRuntime(other),
        }
    }
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
                "this backend has not got the operator: simplify the model (`onnxslim in.onnx out.onnx`), try another \
                 (`--backend onnxruntime`, `--backend rten`), or calibrate elsewhere and give the file as `table:`"
            }
            Self::Load { .. } | Self::Panicked { .. } => {
                "check the model with `python -m onnx.checker`, or calibrate elsewhere and give the file as `table:`"
            }
            Self::ExternalData { .. } => "check the permissions of the file beside the `.onnx`",
            Self::Model(source) => return source.hint(),
            Self::OnnxRuntime(source) => return source.hint(),
            Self::Input { .. } => "check `shapes` and the samples against the model's own inputs",
            Self::Run { .. } => {
                "check `shapes` and `preprocess`: the shape of the images may not be one that the model takes"
            }
            Self::OutOfMemory { .. } => {
                "use a smaller `batch`, stop other users of the memory (`free`, `nvidia-smi`), or calibrate with `--backend rten`, \
                 which keeps few activations at a time"
            }
            Self::GpuLost { .. } => {
                "look into `dmesg` and `nvidia-smi`; the same command with `--resume` goes on from the last checkpoint"
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
            SourceError::Model(OnnxError::Empty),
            SourceError::OnnxRuntime(OrtError::NotFound { tried: vec![] }),
            SourceError::Input { name: text(), reason: text() },
            SourceError::Run { node: Some(text()), reason: text() },
            SourceError::OutOfMemory { reason: text() },
            SourceError::GpuLost { reason: text() },
            SourceError::Panicked { reason: text() },
            SourceError::NotANumber { tensor: text(), count: 1, samples: vec![text()] },
        ] {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?}");
            assert!(!error.to_string().ends_with('.'), "{error}");
        }
    }
}
