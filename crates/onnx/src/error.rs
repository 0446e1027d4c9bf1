//! Everything that can go wrong with a model file, and what a user can do about it.

use std::io;
use std::path::PathBuf;

use prost::DecodeError;

/// Why a model cannot be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// There is no file at this path.
    #[error("no such model file: `{}`", path.display())]
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The model file cannot be read.
    #[error("cannot read the model `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The model file cannot be written.
    #[error("cannot write the model `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no bytes.
    #[error("the model file is empty")]
    Empty,
    /// The bytes are not a protobuf message, or only the beginning of one.
    #[error("the model is not an ONNX file, or only part of one")]
    Malformed {
        /// What the protobuf decoder said.
        source: DecodeError,
    },
    /// The bytes decode as protobuf, but there is no ONNX graph in them.
    #[error("the file is not an ONNX model: it holds no graph")]
    NoGraph,
    /// The model does not say which operator set it uses.
    #[error("the model names no version of the default operator set")]
    NoOpset,
    /// The model is larger than a protobuf message may be.
    #[error("the model is too large for one file, in bytes: {bytes}")]
    TooLarge {
        /// Its size, in bytes.
        bytes: u64,
    },
    /// An external data file that the model names does not exist.
    #[error("external data of tensor `{tensor}` is absent: `{}`", path.display())]
    ExternalAbsent {
        /// The tensor whose data it holds.
        tensor: String,
        /// Where it was expected.
        path: PathBuf,
    },
    /// An external data file ends before the tensor's data does.
    #[error("external data of tensor `{tensor}` needs {needed} bytes, but `{}` has: {actual}", path.display())]
    ExternalTooShort {
        /// The tensor whose data it holds.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// How long it must be, in bytes.
        needed: u64,
        /// How long it is, in bytes.
        actual: u64,
    },
    /// An external data path leaves the model's folder: absolute, by `..`, or by a symbolic link.
    #[error("external data of tensor `{tensor}` lies outside the model's folder: `{location}`")]
    ExternalOutside {
        /// The tensor whose data it holds.
        tensor: String,
        /// The path as the model gives it.
        location: String,
    },
    /// A tensor's description of its external data makes no sense.
    #[error("external data of tensor `{tensor}` is described wrongly: {reason}")]
    ExternalInvalid {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// External data is needed, but the model came as bytes without a folder.
    #[error("external data of tensor `{tensor}` is needed, but the model's folder is not known")]
    ExternalWithoutFolder {
        /// The tensor.
        tensor: String,
    },
    /// An external data file exists but cannot be read.
    #[error("cannot read external data of tensor `{tensor}`")]
    ExternalRead {
        /// The tensor.
        tensor: String,
        /// What the system said.
        source: io::Error,
    },
    /// A node reads a value that nothing provides.
    #[error("node {node} reads a value that does not exist: `{value}`")]
    UnknownValue {
        /// The node, as [`crate::Model`] names it.
        node: String,
        /// The value.
        value: String,
    },
    /// A node reads a value that is only computed later: the nodes are unsorted or form a cycle.
    #[error("node {node} reads a value before it is computed: `{value}`")]
    Unsorted {
        /// The node, as [`crate::Model`] names it.
        node: String,
        /// The value.
        value: String,
    },
    /// Two things in the graph provide the same value.
    #[error("{node} provides a value that exists already: `{value}`")]
    Duplicate {
        /// What provides it the second time.
        node: String,
        /// The value.
        value: String,
    },
    /// A graph output is never computed.
    #[error("a graph output is never computed: `{value}`")]
    OutputNotComputed {
        /// The output.
        value: String,
    },
    /// A tensor's data does not fit its own shape and type.
    #[error("the data of tensor `{tensor}` does not fit its shape and type")]
    BadTensor {
        /// The tensor.
        tensor: String,
    },
    /// A weight is NaN or infinite.
    #[error("a weight is not a finite number, in tensor: `{tensor}`")]
    NonFiniteWeight {
        /// The tensor.
        tensor: String,
    },
    /// The operator set is older than what can be raised exactly.
    #[error("the model's operator set is too old to be quantized (11 at least): {opset}")]
    OpsetTooOld {
        /// Its version.
        opset: i64,
    },
    /// A node's meaning changed between operator sets in a way that cannot be rewritten exactly.
    #[error("node {node} cannot be raised to operator set {to}: {reason}")]
    CannotRaise {
        /// The node.
        node: String,
        /// The operator set that was wanted.
        to: i64,
        /// Why.
        reason: &'static str,
    },
    /// A node keeps the model from being converted to FP16.
    #[error("node {node} cannot be converted to FP16: {reason}")]
    CannotHalve {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// The model already holds QuantizeLinear or DequantizeLinear.
    #[error("the model is quantized already: it holds {count} QuantizeLinear and DequantizeLinear nodes")]
    AlreadyQuantized {
        /// How many.
        count: usize,
    },
    /// The model's own Q/DQ have a zero point, which TensorRT does not take, and do not mean the same without one.
    #[error(
        "node {node} quantizes asymmetrically, which TensorRT does not take; its zero point is: {zero_point}"
    )]
    Asymmetric {
        /// The node.
        node: String,
        /// Its zero point.
        zero_point: i32,
    },
    /// The model's own Q/DQ are UINT8 from zero on, of which TensorRT's INT8 holds the lower half only.
    #[error("node {node} quantizes to UINT8 from zero on, of which TensorRT's INT8 cuts the upper half off")]
    Unsigned {
        /// The node.
        node: String,
    },
    /// No node could be quantized at all.
    #[error("nothing in the model could be quantized: {reason}")]
    NothingQuantized {
        /// The first reason, with its node.
        reason: String,
    },
    /// Nothing in the model can be computed without the nodes that the machine lacks.
    #[error("nothing in the model can be computed without what this machine does not have: {node}")]
    NothingUpstream {
        /// The first such node, with its operator and domain.
        node: String,
    },
}

impl OnnxError {
    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        use OnnxError::*;
        let hint = match self {
            NotFound { .. } => {
                "check `onnx:` of the model in trt-deploy.yaml; relative paths start at that file"
            }
            Read { .. } | ExternalRead { .. } => "check the file's permissions",
            Write { .. } => "check the folder's permissions and the free space (`df -h`)",
            Empty | Malformed { .. } => {
                "copy or export the model again: the file was probably cut short, or is a Git LFS pointer"
            }
            NoGraph => {
                "check `onnx:` in trt-deploy.yaml: it must name an `.onnx` file, not an engine or a checkpoint"
            }
            NoOpset => "export the model again; `python -m onnx.checker` says what else it lacks",
            TooLarge { .. } => {
                "save its weights as external data: `onnx.save(model, path, save_as_external_data=True)`"
            }
            ExternalAbsent { .. } => {
                "copy the data file that the exporter wrote beside the `.onnx` into its folder"
            }
            ExternalTooShort { .. } => {
                "copy the data file again: it was cut short or belongs to another export"
            }
            ExternalOutside { .. } => {
                "move the data below the model's folder and save the model again with \
                 `onnx.save(model, path, save_as_external_data=True, location=\"weights.data\")`"
            }
            ExternalInvalid { .. } | BadTensor { .. } | NonFiniteWeight { .. } => "export the model again",
            ExternalWithoutFolder { .. } => "load the model from its file",
            UnknownValue { .. } | Duplicate { .. } | OutputNotComputed { .. } => {
                "the export is broken: `onnx.checker.check_model` shows the same; export the model again"
            }
            Unsorted { .. } => {
                "sort the graph, for example with `onnxslim in.onnx out.onnx`, or export it again"
            }
            OpsetTooOld { .. } | CannotRaise { .. } => {
                "export with `opset_version=17`, or raise it: `onnx.version_converter.convert_version(model, 17)`"
            }
            CannotHalve { .. } => {
                "export the model in FP16 (`model.half()` before `torch.onnx.export`), or set `precision: fp32`"
            }
            AlreadyQuantized { .. } => {
                "drop `calibration:` from the model in trt-deploy.yaml: its own scales are used as they are"
            }
            Asymmetric { .. } | Unsigned { .. } => {
                "quantize to INT8 without zero points: in ONNX Runtime `activation_type=QuantType.QInt8` with \
                 `extra_options={\"ActivationSymmetric\": True, \"WeightSymmetric\": True}`; or deploy the model \
                 without Q/DQ and let `trt-deploy calibrate` quantize it"
            }
            NothingQuantized { .. } => {
                "calibrate again (`trt-deploy calibrate`), or ask for `precision: fp16`"
            }
            NothingUpstream { .. } => {
                "calibrate with a backend that has the operator, or ask for `precision: fp16`"
            }
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// One of each; the match makes a new variant fail to compile until it is listed.
    fn every_variant() -> Vec<OnnxError> {
        use OnnxError::*;
        let (tensor, node, value) = ("w".to_owned(), "`conv`".to_owned(), "x".to_owned());
        let path = PathBuf::from("model.onnx");
        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        let all = vec![
            NotFound { path: path.clone() },
            Read { path: path.clone(), source: io() },
            Write { path: path.clone(), source: io() },
            Empty,
            Malformed { source: crate::proto::ModelProto::decode(&[7u8][..]).unwrap_err() },
            NoGraph,
            NoOpset,
            TooLarge { bytes: 0 },
            ExternalAbsent { tensor: tensor.clone(), path: path.clone() },
            ExternalTooShort { tensor: tensor.clone(), path, needed: 2, actual: 1 },
            ExternalOutside { tensor: tensor.clone(), location: "..".into() },
            ExternalInvalid { tensor: tensor.clone(), reason: "no `location`" },
            ExternalWithoutFolder { tensor: tensor.clone() },
            ExternalRead { tensor: tensor.clone(), source: io() },
            UnknownValue { node: node.clone(), value: value.clone() },
            Unsorted { node: node.clone(), value: value.clone() },
            Duplicate { node: "an initializer".into(), value: value.clone() },
            OutputNotComputed { value },
            BadTensor { tensor: tensor.clone() },
            NonFiniteWeight { tensor },
            OpsetTooOld { opset: 9 },
            CannotRaise { node, to: 13, reason: "the operator no longer exists" },
            CannotHalve { node: "`conv`".into(), reason: "it has a body of its own".into() },
            AlreadyQuantized { count: 2 },
            Asymmetric { node: "`q`".into(), zero_point: 128 },
            Unsigned { node: "`q`".into() },
            NothingQuantized { reason: "no scale".into() },
            NothingUpstream { node: "`nms` (NMS of domain `TRT`)".into() },
        ];
        for error in &all {
            match error {
                NotFound { .. } | Read { .. } | Write { .. } | Empty | Malformed { .. } | NoGraph => {}
                NoOpset | TooLarge { .. } | ExternalAbsent { .. } | ExternalTooShort { .. } => {}
                ExternalOutside { .. } | ExternalInvalid { .. } | ExternalWithoutFolder { .. } => {}
                ExternalRead { .. } | UnknownValue { .. } | Unsorted { .. } | Duplicate { .. } => {}
                OutputNotComputed { .. } | BadTensor { .. } | NonFiniteWeight { .. } => {}
                OpsetTooOld { .. } | CannotRaise { .. } | AlreadyQuantized { .. } => {}
                CannotHalve { .. } | NothingQuantized { .. } | Asymmetric { .. } => {}
                Unsigned { .. } | NothingUpstream { .. } => {}
            }
        }
        all
    }

    #[test]
    fn every_error_has_a_hint_and_a_message_in_our_style() {
        for error in every_variant() {
            let (message, hint) = (error.to_string(), error.hint().unwrap_or_default());
            assert!(!hint.is_empty(), "{message}");
            for text in [message, hint] {
                assert!(text.starts_with(|first: char| first.is_lowercase()), "{text}");
                assert!(!text.ends_with('.'), "{text}");
            }
        }
    }
}
