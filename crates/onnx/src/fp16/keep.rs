//! Decides which nodes stay in float32, and why.

use std::collections::HashSet;

use super::Fp16Options;
use super::convert::{Converter, Halved, stays_float};
use super::range::{self, Range};
use crate::error::OnnxError;
use crate::graph;
use crate::half;
use crate::model::{Model, is_default_domain};
use crate::proto::{GraphProto, NodeProto};
use crate::qdq::is_qdq;
use crate::types::NOT_A_TENSOR;

/// What becomes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// It has nothing to do with floats, or with constants and shapes only.
    Untouched,
    /// It computes in float16.
    Half,
    /// It stays in float32.
    Keep {
        /// Why.
        reason: String,
        /// What it computes.
        range: Range,
    },
}

/// Operators of ONNX that have no float16 form, or whose type is an attribute.
///
/// (The type constraints of ONNX's operator schemas, operator sets 13 to 26. Cast and DequantizeLinear, which have a type
/// as an attribute too, are rewritten; see [`super::convert`] for single inputs and outputs that are always float32.)
const FLOAT32_ONLY: &[&str] = &[
    "Bernoulli",
    "BitCast",
    "BlackmanWindow",
    "Celu",
    "ConstantOfShape",
    "CumSum",
    "DynamicQuantizeLinear",
    "EyeLike",
    "HammingWindow",
    "HannWindow",
    "IsInf",
    "MelWeightMatrix",
    "Multinomial",
    "NonMaxSuppression",
    "QLinearConv",
    "QLinearMatMul",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "RoiAlign",
    "TfIdfVectorizer",
];

/// Operators that sum squares or exponentials, but compute from them what is no larger than what they read.
const TAME: &[&str] =
    &["LRN", "LpNormalization", "MeanVarianceNormalization", "ReduceLogSum", "ReduceLogSumExp"];

/// One choice for each node of the graph.
pub(super) fn decide(
    model: &Model,
    options: &Fp16Options,
    converter: &mut Converter,
) -> Result<Vec<Choice>, OnnxError> {
    let graph = model.graph();
    let exact = exact(graph);
    let loose = loose_scales(graph, converter)?;
    let mut choices = Vec::with_capacity(graph.node.len());
    for (index, node) in graph.node.iter().enumerate() {
        let refuse = |reason: String| OnnxError::CannotHalve { node: node.display(index), reason };
        let body = graph::subgraphs(node).next().is_some();
        let named = || node.input.iter().chain(&node.output).filter(|name| !name.is_empty());
        if let Some(unknown) = named().find(|name| converter.type_of(name).is_none()) {
            return Err(refuse(format!("the type of `{unknown}` is not known")));
        }
        let has_floats = body || named().any(|name| converter.is_float(name));
        let constant = !body && node.outputs().all(|name| exact.contains(name));
        choices.push(match has_floats && !constant {
            false => Choice::Untouched,
            true => match reason(node, options, &loose, converter)? {
                None => Choice::Half,
                Some((reason, range)) => Choice::Keep { reason, range },
            },
        });
    }
    range::follow(graph, converter, &exact, &mut choices);
    Ok(choices)
}

/// Why a node stays in float32 for its own sake, and what it computes.
fn reason(
    node: &NodeProto,
    options: &Fp16Options,
    loose: &HashSet<&str>,
    converter: &mut Converter,
) -> Result<Option<(String, Range)>, OnnxError> {
    let tame = |reason: &str| Ok(Some((reason.to_owned(), Range::Tame)));
    if graph::subgraphs(node).next().is_some() {
        return tame("it has a body of its own");
    }
    if !is_default_domain(node.domain.as_deref()) {
        return tame("not an operator of ONNX itself");
    }
    if node.input.iter().chain(&node.output).any(|name| converter.type_of(name) == Some(NOT_A_TENSOR)) {
        return tame("it works on a sequence or an optional value");
    }
    if is_qdq(node) {
        let is_loose = node.outputs().any(|name| loose.contains(name));
        return if is_loose { tame("float16 does not hold its scale") } else { Ok(None) };
    }
    if let Some(range) = overflowing(node, options, converter)? {
        return Ok(Some(("its results easily leave the range of float16".to_owned(), range)));
    }
    if FLOAT32_ONLY.contains(&node.op()) {
        return tame("the operator has no float16 form, or its type is an attribute");
    }
    if graph::is_named(node, &options.keep) {
        return tame("kept by name");
    }
    if let Some(name) = node.input.iter().find(|name| loose.contains(name.as_str())) {
        return tame(&format!("float16 does not hold the scale of `{name}`"));
    }
    for (at, name) in node.input.iter().enumerate() {
        if !stays_float(node, at) && matches!(converter.halve(name)?, Some(Halved::Beyond)) {
            let reason = format!("float16 does not hold a number in `{name}`");
            return Ok(Some((reason, Range::Wide)));
        }
    }
    Ok(None)
}

/// What a node of [`Fp16Options::keep_ops`] computes; `None` for another one.
fn overflowing(
    node: &NodeProto,
    options: &Fp16Options,
    converter: &Converter,
) -> Result<Option<Range>, OnnxError> {
    // `Mul(x, x)` is how a square is written, too.
    let is_square = node.is("Mul") && node.input(0).is_some() && node.input(0) == node.input(1);
    let op = if is_square { "Pow".to_owned() } else { node.qualified_op() };
    if !options.keep_ops.contains(&op) {
        return Ok(None);
    }
    let exponents = match node.is("Pow") {
        true => converter.stored_floats(node.input(1).unwrap_or_default())?.unwrap_or_default(),
        false => Vec::new(),
    };
    Ok(Some(if !exponents.is_empty() && exponents.iter().all(|&exponent| exponent < 0.0) {
        Range::Inverse
    } else if TAME.contains(&op.as_str()) {
        Range::Tame
    } else {
        Range::Wide
    }))
}

/// The values that a Q/DQ pair or weight computes whose scale float16 does not hold.
fn loose_scales<'a>(graph: &'a GraphProto, converter: &Converter) -> Result<HashSet<&'a str>, OnnxError> {
    let mut loose = HashSet::new();
    for node in graph.node.iter().filter(|node| is_qdq(node)) {
        let scale = node.input(1).unwrap_or_default();
        if !converter.is_float(scale) {
            continue;
        }
        // The scale itself, and the largest number that it stands for.
        let holds =
            |scales: Vec<f32>| half::holds(&scales) && scales.iter().all(|scale| scale * 127.0 <= half::MAX);
        if !converter.stored_floats(scale)?.is_some_and(holds) {
            loose.extend(node.outputs());
        }
    }
    Ok(loose)
}

/// Constants, and what follows from them and from shapes alone: sizes beyond 2048 would not survive float16.
///
/// Dequantized weights are not among them, although they are constant.
fn exact(graph: &GraphProto) -> HashSet<&str> {
    let mut exact = graph::constants_without(graph, &["DequantizeLinear", "QuantizeLinear"]);
    for node in &graph.node {
        let inputs = || node.input.iter().filter(|name| !name.is_empty());
        let shape = node.is("Shape") || node.is("Size");
        if shape
            || !is_qdq(node)
                && inputs().next().is_some()
                && inputs().all(|name| exact.contains(name.as_str()))
        {
            exact.extend(node.outputs());
        }
    }
    exact
}
