//! Inserts QuantizeLinear and DequantizeLinear where TensorRT turns them into INT8 kernels.
//!
//! What a node reads is quantized, not what it writes: the activation per tensor, symmetric, with the table's scale;
//! the weight per output channel, from its largest magnitude, stored as INT8. A value has one Q/DQ pair for all of
//! its INT8 readers, and everybody else goes on reading the original. Biases stay in FP32.

pub(crate) mod apply;
pub(crate) mod sites;
mod weight;

use apply::Stored;
use serde::Serialize;

use crate::error::OnnxError;
use crate::graph;
use crate::model::Model;
use crate::opset::{self, raise_opset};

/// What to quantize.
///
/// The default is every node that can be: right where the builder fuses INT8 kernels with what follows them.
/// [`QuantOptions::rtx`] is for TensorRT-RTX.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuantOptions {
    /// Whether convolutions with groups (depthwise ones) are quantized.
    pub grouped: bool,
    /// Whether ConvTranspose is quantized.
    pub transposed: bool,
    /// Whether the second operand of a residual Add is quantized, for the builder to fuse the Add with the
    /// convolution before it.
    pub residual: bool,
    /// The smallest weight that is worth quantizing, in elements. Above 0, products of two activations are left
    /// alone as well.
    pub min_weight: u64,
    /// What to leave in FP32: nodes by name, and activations by name, with the nodes that compute or would read them.
    pub keep: Vec<String>,
}

impl Default for QuantOptions {
    fn default() -> Self {
        Self { grouped: true, transposed: true, residual: true, min_weight: 0, keep: Vec::new() }
    }
}

impl QuantOptions {
    /// What makes the smallest engine with TensorRT-RTX 1.7.
    ///
    /// Its INT8 convolutions write FP32, and scaling, bias, activation and rounding become a kernel of their own,
    /// where an FP32 convolution has them fused: 80 to 230 kB of the engine for each INT8 convolution. It spreads
    /// grouped weights to dense ones and has no INT8 ConvTranspose. So only a large dense weight saves more than it
    /// costs. (Engine sizes of the PP-OCRv4 detector, EfficientNet-Lite0 and ResNet-50 at several limits.)
    pub fn rtx() -> Self {
        Self { grouped: false, transposed: false, residual: false, min_weight: 49_152, keep: Vec::new() }
    }
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
    /// The names in [`QuantOptions::keep`] that nothing in the graph has.
    pub unmatched: Vec<String>,
    /// From which operator set to which the model was raised first.
    pub opset_raised: Option<(i64, i64)>,
}

/// A node that reads quantized tensors.
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

/// Quantizes `model` with the scale (threshold / 127) of each activation, by value name.
///
/// Operator sets 11 and 12 are raised to 13 first. Weights that are replaced leave the graph, its inputs and its
/// external data; all other external data stays where it is. On an error the model is as it was.
///
/// # Errors
/// [`OnnxError::AlreadyQuantized`], [`OnnxError::NothingQuantized`], [`OnnxError::NonFiniteWeight`], those of
/// [`raise_opset`] and those of reading external data.
pub fn quantize(
    model: &mut Model,
    scales: &dyn Fn(&str) -> Option<f32>,
    options: &QuantOptions,
) -> Result<QuantReport, OnnxError> {
    match model.qdq_nodes() {
        0 => {}
        count => return Err(OnnxError::AlreadyQuantized { count }),
    }
    let mut work = model.clone();
    let mut report = QuantReport {
        opset_raised: raise_opset(&mut work)?,
        unmatched: graph::unmatched(work.graph(), &options.keep),
        ..QuantReport::default()
    };
    work.proto.ir_version = Some(work.ir_version().max(opset::IR_VERSION));
    let sites = sites::find(&work, scales, options, &mut report);
    if sites.is_empty() {
        return Err(nothing(&report.skipped));
    }
    report.tensors = apply::apply(&mut work, sites, Stored::Int8)?.len();
    *model = work;
    Ok(report)
}

/// The error for a graph in which nothing is quantized.
pub(crate) fn nothing(skipped: &[Skipped]) -> OnnxError {
    let reason = skipped.first().map(|skipped| format!("{}: {}", skipped.node, skipped.reason));
    let reason = reason.unwrap_or_else(|| "it has no Conv, ConvTranspose, Gemm or MatMul".to_owned());
    OnnxError::NothingQuantized { reason }
}
