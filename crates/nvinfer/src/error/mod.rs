//! What can go wrong, and what mends it.

mod load;

use std::fmt;

pub use load::{Attempt, LoadError};

use crate::version::Version;

/// A method, flag or value that this version of TensorRT does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` does not exist in {version}")]
pub struct Unsupported {
    /// The name in NVIDIA's headers.
    pub what: &'static str,
    /// The version that was asked for it.
    pub version: Version,
}

/// An error that TensorRT reported to the error recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedError {
    /// `nvinfer1::ErrorCode`.
    pub code: i32,
    /// TensorRT's words.
    pub description: String,
}

impl fmt::Display for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.description)
    }
}

/// An error of the ONNX parser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParserError {
    /// `nvonnxparser::ErrorCode`.
    pub code: i32,
    /// The parser's words.
    pub description: String,
    /// The node's position in the graph; `None` when the error is not about a node.
    pub node: Option<usize>,
    /// The node's name, empty if the model gives none. `None` for TensorRT 8, which does not tell.
    pub node_name: Option<String>,
    /// The node's operator. `None` for TensorRT 8, which does not tell.
    pub operator: Option<String>,
    /// The parser's source file.
    pub file: String,
    /// The line in it.
    pub line: i32,
    /// The function there.
    pub function: String,
}

impl fmt::Display for ParserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = self.node {
            write!(f, "node {node}")?;
            if let Some(name) = self.node_name.as_deref().filter(|name| !name.is_empty()) {
                write!(f, " `{name}`")?;
            }
            if let Some(operator) = self.operator.as_deref().filter(|operator| !operator.is_empty()) {
                write!(f, " ({operator})")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(self.description.trim())
    }
}

/// What TensorRT refused to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This version has no such method, flag or value.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A call did not do what its slot promises, so the tables do not describe this library. Give up: any further
    /// call may crash.
    #[error("{version} does not have the expected interface: `{method}` gave {found} instead of {expected}")]
    AbiMismatch {
        /// The method whose answer is wrong.
        method: &'static str,
        /// The library's version.
        version: Version,
        /// The answer that a known library gives.
        expected: String,
        /// The answer.
        found: String,
    },
    /// TensorRT returned no object.
    #[error("`{method}` failed{}", list(recorded))]
    Creation {
        /// The method that should have made it.
        method: &'static str,
        /// What TensorRT reported meanwhile.
        recorded: Vec<RecordedError>,
    },
    /// The ONNX parser did not accept the model.
    #[error("TensorRT's ONNX parser refuses the model{}", list(errors))]
    Parse {
        /// All its errors.
        errors: Vec<ParserError>,
    },
    /// The model has no output, as an empty file has none.
    #[error("the model has no outputs")]
    EmptyModel,
    /// TensorRT did not accept a setting.
    #[error("`{method}` refuses {value}{}", list(recorded))]
    Rejected {
        /// The method.
        method: &'static str,
        /// What it was given.
        value: String,
        /// What TensorRT reported meanwhile.
        recorded: Vec<RecordedError>,
    },
    /// The builder made no engine.
    #[error("TensorRT built no engine{}", list(recorded))]
    Build {
        /// What TensorRT reported; more is in its log.
        recorded: Vec<RecordedError>,
    },
    /// The progress callback asked to stop, and the builder did.
    #[error("the build was cancelled")]
    Cancelled,
    /// A name or path cannot be given to C++.
    #[error("a NUL byte is in the {what}: {text:?}")]
    Nul {
        /// What it is.
        what: &'static str,
        /// The text with the NUL.
        text: String,
    },
    /// A shape that TensorRT's types cannot hold: more than 8 dimensions, or an extent too large for its version.
    #[error("the shape of `{input}` does not fit: {shape:?}")]
    Shape {
        /// The input.
        input: String,
        /// The shape asked for.
        shape: Vec<i64>,
    },
    /// The device has no such deep learning accelerator.
    #[error("DLA core {core} does not exist on this device, which has {available}")]
    NoDla {
        /// The core asked for, from 0.
        core: u32,
        /// How many cores there are.
        available: u32,
    },
    /// TensorRT did not accept a timing cache: it is damaged, or of another TensorRT or device.
    #[error("TensorRT refuses a timing cache of {bytes} bytes{}", list(recorded))]
    TimingCache {
        /// Its size.
        bytes: usize,
        /// What TensorRT reported meanwhile.
        recorded: Vec<RecordedError>,
    },
    /// TensorRT did not accept an engine: it is damaged, or of another TensorRT or GPU.
    #[error("{version} refuses an engine of {bytes} bytes{}", list(recorded))]
    Deserialize {
        /// The version that was to run it.
        version: Version,
        /// The size of the engine.
        bytes: usize,
        /// What TensorRT reported meanwhile.
        recorded: Vec<RecordedError>,
    },
    /// The engine has no such input or output.
    #[error("the engine has no tensor `{name}`, only: {}", names.join(", "))]
    NoTensor {
        /// The name asked for.
        name: String,
        /// Its inputs and outputs.
        names: Vec<String>,
    },
    /// A tensor is to be read or written in host memory, which this crate does not do: a shape tensor.
    #[error("the engine keeps `{name}` in host memory")]
    HostTensor {
        /// The tensor.
        name: String,
    },
    /// The memory given for a tensor is missing or smaller than the tensor.
    #[error("tensor `{name}` needs {needed} bytes of device memory and was given {given}")]
    Memory {
        /// The tensor.
        name: String,
        /// The size in bytes at the shapes set.
        needed: u64,
        /// The size that was given; 0 for none.
        given: u64,
    },
    /// The engine did not start.
    #[error("the engine did not run{}", list(recorded))]
    Enqueue {
        /// What TensorRT reported meanwhile.
        recorded: Vec<RecordedError>,
    },
    /// The driver reports that a run has failed on the GPU.
    #[error(transparent)]
    Gpu(#[from] trt_cuda::DriverError),
    /// The library was opened for running engines, and was asked to build one.
    #[error(transparent)]
    Load(#[from] Box<LoadError>),
    /// Two objects of different builders were to work together.
    #[error("the {what} is of another builder")]
    Foreign {
        /// The object passed.
        what: &'static str,
    },
}

impl Error {
    /// What a user can do about it; `None` for mistakes in the calling program.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Unsupported(_) => "use another TensorRT, or leave out the setting that needs it".into(),
            Error::AbiMismatch { version, .. } => {
                format!(
                    "report this with the exact package of {version}; building with trtexec avoids the interface"
                )
            }
            Error::Creation { .. } => "see TensorRT's log: often there is no usable GPU, or no memory".into(),
            Error::Parse { .. } => {
                "export the model with operators that this TensorRT supports, or simplify it; the \
                                    nodes are named above"
                    .into()
            }
            Error::EmptyModel => "export the model again: it is empty or cut off".into(),
            Error::Rejected { method: "VBuilderConfig::setComputeCapability", .. } => {
                "set `build-for` in the agent's configuration to a GPU that this TensorRT-RTX builds for"
                    .into()
            }
            Error::Rejected { .. } => {
                "see TensorRT's log, and check the shapes and the workspace of the model".into()
            }
            Error::Build { .. } => {
                "see TensorRT's log; check the model's shapes, its workspace and the device's memory".into()
            }
            Error::Cancelled => return None,
            Error::Nul { .. } => "remove the NUL byte".into(),
            Error::Shape { input, .. } => format!("correct the shapes of `{input}`: at most 8 dimensions"),
            Error::NoDla { available: 0, .. } => {
                "remove `dla` from the target: this device, or its TensorRT, has none".into()
            }
            Error::NoDla { available, .. } => format!("set `dla` to a core from 0 to {}", available - 1),
            Error::TimingCache { .. } => {
                "remove the file of the timing cache: the next build makes a new one".into()
            }
            Error::Deserialize { .. } => {
                "build the engine again, on this device and with this TensorRT".into()
            }
            Error::NoTensor { names, .. } => format!("use one of {}", names.join(", ")),
            Error::HostTensor { .. } => "export the model without inputs or outputs that hold shapes".into(),
            Error::Memory { .. } => return None,
            Error::Enqueue { .. } => {
                "see TensorRT's log: often the GPU has no memory left, or a shape is outside the profile"
                    .into()
            }
            Error::Gpu(error) => return error.hint(),
            Error::Load(error) => return error.hint(),
            Error::Foreign { .. } => return None,
        })
    }
}

/// `: first; second; …`, or nothing.
fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    if items.is_empty() { String::new() } else { format!(": {}", items.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_a_user_can_cause_has_a_hint() {
        let version = Version::from_number(10701).unwrap();
        let recorded = vec![RecordedError { code: 4, description: "bad".into() }];
        let of_users = [
            Error::Unsupported(Unsupported { what: "VTensor::setDynamicRange", version }),
            Error::AbiMismatch { method: "m", version, expected: "1".into(), found: "2".into() },
            Error::Creation { method: "m", recorded: recorded.clone() },
            Error::Parse { errors: vec![] },
            Error::EmptyModel,
            Error::Rejected { method: "m", value: "v".into(), recorded: recorded.clone() },
            Error::Build { recorded: recorded.clone() },
            Error::NoDla { core: 0, available: 0 },
            Error::NoDla { core: 2, available: 2 },
            Error::TimingCache { bytes: 9, recorded: recorded.clone() },
            Error::Deserialize { version, bytes: 9, recorded: recorded.clone() },
            Error::NoTensor { name: "x".into(), names: vec!["y".into()] },
            Error::HostTensor { name: "x".into() },
            Error::Enqueue { recorded },
            Error::Gpu(trt_cuda::DriverError::NoDevice),
            Error::Load(Box::new(LoadError::RuntimeOnly { library: "l".into() })),
            Error::Nul { what: "path", text: "a\0b".into() },
            Error::Shape { input: "x".into(), shape: vec![1; 9] },
        ];
        for error in of_users {
            assert!(error.hint().is_some(), "{error}");
        }
        let method = "VBuilderConfig::setComputeCapability";
        let rejected = Error::Rejected { method, value: "87".into(), recorded: vec![] };
        assert!(rejected.hint().unwrap().contains("`build-for`"));
        assert_eq!(Error::Cancelled.hint(), None);
        assert_eq!(Error::Foreign { what: "config" }.hint(), None);
        assert_eq!(Error::Memory { name: "x".into(), needed: 2, given: 1 }.hint(), None);
    }

    #[test]
    fn a_build_error_carries_the_words_of_tensorrt() {
        let recorded = vec![RecordedError { code: 4, description: "no profile".into() }];
        assert_eq!(Error::Build { recorded }.to_string(), "TensorRT built no engine: [4] no profile");
    }

    #[test]
    fn a_parser_error_names_the_node_as_far_as_it_is_known() {
        let mut error = ParserError {
            code: 8,
            description: "no plugin found".into(),
            node: Some(3),
            node_name: Some("head/act".into()),
            operator: Some("Gelu".into()),
            file: "f.cpp".into(),
            line: 1,
            function: "f".into(),
        };
        assert_eq!(error.to_string(), "node 3 `head/act` (Gelu): no plugin found");
        (error.node_name, error.operator) = (None, None);
        assert_eq!(error.to_string(), "node 3: no plugin found");
        error.node = None;
        assert_eq!(error.to_string(), "no plugin found");
    }
}
