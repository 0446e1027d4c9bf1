//! For which operators TensorRT has INT8 implementations, and which of their inputs are data.

use crate::proto::NodeProto;

/// A family of layers that TensorRT can run in INT8.
///
/// After "Layers and Precision" in NVIDIA's support matrices of TensorRT 7 and 8. An elementwise operator counts as the
/// layer that TensorRT's parser makes of it. Without INT8 are above all Softmax, the normalisations, Erf, TopK, the
/// recurrent layers, Einsum, GridSample and Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Computes with weights, or multiplies two matrices.
    Weighted,
    /// A function of each value, which is computed inside the kernel before it.
    Function,
    /// Joins or scales tensors value by value.
    Elementwise,
    /// Reduces neighbours to one value.
    Pooling,
    /// Moves values about.
    Moving,
}

const WEIGHTED: &[&str] = &["Conv", "ConvTranspose", "Gemm", "MatMul"];
const FUNCTIONS: &[&str] = &[
    "Abs",
    "Celu",
    "Ceil",
    "Clip",
    "Cos",
    "Elu",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "PRelu",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
];
const ELEMENTWISE: &[&str] =
    &["Add", "BatchNormalization", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"];
const POOLING: &[&str] = &[
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
];
const MOVING: &[&str] = &[
    "Concat",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Upsample",
];

impl Kernel {
    /// The node's family; `None` without an INT8 implementation.
    pub(crate) fn of(node: &NodeProto) -> Option<Self> {
        let families = [
            (WEIGHTED, Kernel::Weighted),
            (FUNCTIONS, Kernel::Function),
            (ELEMENTWISE, Kernel::Elementwise),
            (POOLING, Kernel::Pooling),
            (MOVING, Kernel::Moving),
        ];
        let found = families.into_iter().find(|(ops, _)| ops.iter().any(|op| node.is(op)));
        found.map(|(_, kernel)| kernel)
    }

    /// Whether the layer works value by value, so that it can be part of the kernel that computes its input.
    pub(crate) fn is_pointwise(self) -> bool {
        matches!(self, Kernel::Function | Kernel::Elementwise)
    }

    /// The positions of the inputs that hold data: not shapes, indices, biases or parameters.
    pub(crate) fn data_inputs(self, node: &NodeProto) -> Vec<usize> {
        let count = match self {
            Kernel::Weighted => 2,
            Kernel::Elementwise if !node.is("BatchNormalization") => node.input.len(),
            Kernel::Moving if node.is("Concat") => node.input.len(),
            _ => 1,
        };
        (0..count.min(node.input.len())).filter(|&at| node.input(at).is_some()).collect()
    }

    /// The outputs that hold data: not the indices of MaxPool nor the mask of Dropout.
    pub(crate) fn data_outputs(self, node: &NodeProto) -> impl Iterator<Item = &str> {
        let count = if node.is("Split") { node.output.len() } else { 1 };
        node.output.iter().take(count).map(String::as_str).filter(|name| !name.is_empty())
    }
}
