//! Why there is no plan, and what would make one.

use trt_wire::{Dims, OnUnsupported, Precision};

/// No plan satisfies what was asked on this device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The device has no TensorRT that the agent can use.
    #[error("the device has no usable TensorRT: {reason}")]
    NoTensorRt {
        /// The agent's own finding, with the names it tried.
        reason: String,
    },
    /// The GPU is unknown.
    #[error("the device's GPU is unknown: {reason}")]
    NoGpu {
        /// The agent's own finding.
        reason: String,
    },
    /// `build-for` with a TensorRT that builds only for the GPU it runs on.
    #[error("{tensorrt} builds only for the GPU it runs on, and no CUDA driver answers")]
    CannotCrossBuild {
        /// The library found.
        tensorrt: String,
    },
    /// A QAT model with a precision other than INT8.
    #[error("the ONNX holds Q/DQ nodes, which make INT8 engines, but `precision` is `{asked}`")]
    QdqNeedsInt8 {
        /// The precision asked for.
        asked: Precision,
    },
    /// INT8 on a GPU without INT8 instructions, and nothing else is allowed or possible.
    #[error("INT8 was asked for, but {because}")]
    NoInt8 {
        /// Which GPU.
        because: String,
        /// The ONNX holds Q/DQ nodes, so that no fallback exists.
        has_qdq: bool,
        /// What `on-unsupported` said.
        chosen: OnUnsupported,
    },
    /// INT8 without a table.
    #[error("INT8 needs a calibration table, and the model has neither a table nor Q/DQ nodes")]
    NoTable,
    /// A shape for an input the model does not have.
    #[error("`shapes` names an input that the model does not have: `{name}`")]
    UnknownInput {
        /// The name in the fleet file.
        name: String,
        /// The model's inputs.
        inputs: Vec<String>,
    },
    /// A dynamic input without a shape.
    #[error("input `{name}` has dynamic dimensions {dims:?} and no entry in `shapes`")]
    NoShape {
        /// The input.
        name: String,
        /// Its shape in the model, negative where dynamic.
        dims: Dims,
    },
    /// A shape that contradicts the model.
    #[error("the {which} shape {shape:?} of input `{name}` does not fit the model's {dims:?}")]
    ShapeMismatch {
        /// The input.
        name: String,
        /// `min`, `opt` or `max`.
        which: &'static str,
        /// The shape in the fleet file.
        shape: Dims,
        /// The shape in the model, negative where dynamic.
        dims: Dims,
    },
    /// min, opt and max out of order.
    #[error("the shapes of input `{name}` are not ordered: min {min:?}, opt {opt:?}, max {max:?}")]
    ShapeOrder {
        /// The input.
        name: String,
        /// The smallest shape.
        min: Dims,
        /// The shape to optimise for.
        opt: Dims,
        /// The largest shape.
        max: Dims,
    },
}

impl PlanError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoTensorRt { .. } => {
                "install JetPack's TensorRT on the device, or name its folder in `tensorrt-dir` of the agent's \
                 configuration"
                    .into()
            }
            Self::NoGpu { .. } => {
                "check the CUDA driver on the device; TensorRT-RTX can build without a GPU if the agent's \
                 configuration says for which one in `build-for`"
                    .into()
            }
            Self::CannotCrossBuild { .. } => {
                "check the CUDA driver on the device, and remove `build-for` from the agent's configuration".into()
            }
            Self::QdqNeedsInt8 { .. } => "set `precision: int8`, or export the model without Q/DQ nodes".into(),
            Self::NoInt8 { has_qdq: true, .. } => {
                "deploy a model without Q/DQ nodes to this device, with `precision: fp16`".into()
            }
            Self::NoInt8 { chosen: OnUnsupported::Int8Anyway, .. } => {
                "`on-unsupported: int8-anyway` works with TensorRT 8 to 10 only; use `on-unsupported: fp16`".into()
            }
            Self::NoInt8 { .. } => {
                "set `on-unsupported: fp16` for this model to let such devices build FP16".into()
            }
            Self::NoTable => "add a `calibration` section to the model, with `images` or with a `table`".into(),
            Self::UnknownInput { inputs, .. } => format!("the model's inputs are: {}", inputs.join(", ")),
            Self::NoShape { name, dims } => {
                // A dynamic batch is one picture to begin with, a dynamic side as long as detectors like it.
                let guess = |(axis, &dim): (usize, &i64)| if dim >= 0 { dim } else { [1, 3, 640, 640][axis.min(3)] };
                let example: Vec<String> = dims.iter().enumerate().map(|dim| guess(dim).to_string()).collect();
                let example = example.join(", ");
                format!("add `shapes: {{{name}: [{example}]}}`, or min, opt and max shapes, to the model")
            }
            Self::ShapeMismatch { .. } => "give as many dimensions as the model has, equal where its own are fixed".into(),
            Self::ShapeOrder { .. } => "make every dimension of min <= opt <= max".into(),
        })
    }
}
