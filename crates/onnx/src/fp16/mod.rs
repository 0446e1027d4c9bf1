//! Converts a float32 graph to float16, for builders that take the precision from the graph's types.
//!
//! Every value has one native type, by the node that computes it, and where somebody needs the other one a Cast or a
//! converted copy of the weight is added, once. The model's inputs and outputs stay float32.
//!
//! Q/DQ stay: QuantizeLinear reads float16 and DequantizeLinear writes it, with float16 scales, which ONNX allows from
//! operator set 19. So what is INT8 stays INT8, what is not becomes float16, and no Cast comes between.

mod convert;
mod keep;
mod range;
mod scales;

use serde::Serialize;

use crate::error::OnnxError;
use crate::graph;
use crate::model::Model;
use crate::opset;
use crate::proto::{TypeValue, elem};
use crate::qdq;
use crate::quantize::Skipped;
use convert::Converter;

/// What to leave in float32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fp16Options {
    /// Nodes by name, and activations by name: whatever computes one of them stays in float32.
    pub keep: Vec<String>,
    /// Operators whose nodes stay in float32, `Operator` or `domain.Operator`; the default is
    /// [`Fp16Options::OVERFLOWING`].
    pub keep_ops: Vec<String>,
}

impl Fp16Options {
    /// Operators whose results, or sums on the way there, leave float16's range for ordinary inputs.
    ///
    /// A square is beyond 65504 from 256 on and nothing below 0.0002, so that a variance written out as
    /// Pow, ReduceMean, Add, Sqrt (LayerNorm and RMSNorm before operator set 17) becomes infinite or zero. Sums over
    /// a whole picture and exponentials above 11 overflow alike. `Mul` of a value by itself is a square and counts as
    /// `Pow`. What computes with their results stays in float32 too, until they are divided down (written-out Softmax
    /// and normalisations end with such a Div or Mul), summarised by Softmax or Log, or read by another kind of operator,
    /// such as a convolution.
    ///
    /// Convolutions, matrix products, Softmax, pooling and the normalisations that are operators are not among them:
    /// they are converted in the belief that kernels sum in float32, as TensorRT's documentation says of
    /// normalisations. No engine was run to see it.
    pub const OVERFLOWING: &'static [&'static str] = &[
        "CumSum",
        "Exp",
        "GlobalLpPool",
        "LRN",
        "LpNormalization",
        "LpPool",
        "MeanVarianceNormalization",
        "Pow",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMean",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    ];
}

impl Default for Fp16Options {
    fn default() -> Self {
        Self { keep: Vec::new(), keep_ops: Self::OVERFLOWING.iter().map(|&op| op.to_owned()).collect() }
    }
}

/// What [`to_fp16`] did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Fp16Report {
    /// How many nodes compute in float16 now; Q/DQ are not counted.
    pub converted: usize,
    /// The nodes that go on computing in float32; shape arithmetic and constants are not listed.
    pub kept: Vec<Skipped>,
    /// The stored tensors in which numbers that stand for infinity (beyond 1e30) became float16's largest, 65504.
    pub clamped: Vec<String>,
    /// The names in [`Fp16Options::keep`] that nothing in the graph has.
    pub unmatched: Vec<String>,
    /// From which operator set to which the model was raised first.
    pub opset_raised: Option<(i64, i64)>,
}

/// Converts `model` to float16 inside, with float32 inputs and outputs.
///
/// Stored INT8 weights whose scale float16 does not hold are rounded to one that it holds, if that is still finer than
/// the weights beside them. Operator sets below 13, or below 19 where the graph holds Q/DQ, are raised first. In float32
/// stay, besides `options` and what computes with their results: arithmetic on shapes, nodes with a number that float16
/// does not hold, nodes that read a dequantized value whose scale it does not hold, operators without a float16 form or
/// of other domains, what works on sequences, and control flow with all in its bodies. On an error the model is as it
/// was.
///
/// # Errors
/// [`OnnxError::CannotHalve`] for values of unknown type, those of [`crate::raise_opset`] and those of reading external
/// data.
pub fn to_fp16(model: &mut Model, options: &Fp16Options) -> Result<Fp16Report, OnnxError> {
    let mut work = model.clone();
    let (wanted, format) = match work.has_qdq() {
        true => (opset::HALF_QDQ, opset::IR_VERSION_HALF_QDQ),
        false => (opset::WANTED, opset::IR_VERSION),
    };
    let mut report = Fp16Report {
        opset_raised: opset::raise(&mut work, wanted)?,
        unmatched: graph::unmatched(work.graph(), &options.keep),
        ..Fp16Report::default()
    };
    work.proto.ir_version = Some(work.ir_version().max(format));
    graph::state_constants(work.graph_mut());
    qdq::fold_biases(&mut work)?;
    scales::refit(&mut work)?;
    let mut converter = Converter::new(&work);
    let reasons = keep::decide(&work, options, &mut converter)?;
    let graph = work.graph_mut();
    for ((index, node), reason) in std::mem::take(&mut graph.node).into_iter().enumerate().zip(reasons) {
        converter.convert(node, index, reason, &mut report)?;
    }
    let half = converter.finish(graph, &mut report);
    for value in &mut graph.value_info {
        if value.name.as_ref().is_some_and(|name| half.contains(name))
            && let Some(TypeValue::Tensor(tensor)) =
                value.r#type.as_mut().and_then(|stated| stated.value.as_mut())
        {
            tensor.elem_type = Some(elem::FLOAT16);
        }
    }
    *model = work;
    Ok(report)
}
