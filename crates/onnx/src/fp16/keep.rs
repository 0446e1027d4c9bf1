//! Decides which nodes stay in float32, and why.

use std::collections::HashSet;

use super::Fp16Options;
use super::convert::{Converter, Halved, stays_float};
use crate::error::OnnxError;
use crate::graph;
use crate::half;
use crate::model::{Model, is_default_domain};
use crate::proto::{GraphProto, NodeProto};
use crate::qdq::is_qdq;

/// What becomes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// It has nothing to do with floats, or with constants and shapes only.
    Untouched,
    /// It computes in float16.
    Half,
    /// It stays in float32, for this reason.
    Keep(String),
}

/// Operators of ONNX that have no float16 form, or whose type is an attribute.
const FLOAT32_ONLY: &[&str] = &[
    "Bernoulli",
    "CumSum",
    "DynamicQuantizeLinear",
    "EyeLike",
    "Multinomial",
    "NonMaxSuppression",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "RoiAlign",
];

/// What may stand between two nodes that stay in float32, such as the epsilon's Add between a variance and its root.
const BETWEEN: &[&str] =
    &["Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal", "Log", "Neg", "Abs", "Max", "Min", "Clip"];

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
                Some(reason) => Choice::Keep(reason),
            },
        });
    }
    join(graph, converter, &mut choices);
    Ok(choices)
}

fn reason(
    node: &NodeProto,
    options: &Fp16Options,
    loose: &HashSet<&str>,
    converter: &mut Converter,
) -> Result<Option<String>, OnnxError> {
    if graph::subgraphs(node).next().is_some() {
        return Ok(Some("it has a body of its own".to_owned()));
    }
    if !is_default_domain(node.domain.as_deref()) {
        return Ok(Some("not an operator of ONNX itself".to_owned()));
    }
    if FLOAT32_ONLY.contains(&node.op()) {
        return Ok(Some("the operator has no float16 form".to_owned()));
    }
    if is_qdq(node) {
        let loose = node.outputs().any(|name| loose.contains(name));
        return Ok(loose.then(|| "float16 does not hold its scale".to_owned()));
    }
    if graph::is_named(node, &options.keep) {
        return Ok(Some("kept by name".to_owned()));
    }
    if let Some(name) = node.input.iter().find(|name| loose.contains(name.as_str())) {
        return Ok(Some(format!("float16 does not hold the scale of `{name}`")));
    }
    if options.keep_ops.iter().any(|op| *op == node.qualified_op()) {
        return Ok(Some("its results easily leave the range of float16".to_owned()));
    }
    for (at, name) in node.input.iter().enumerate() {
        if !stays_float(node, at) && matches!(converter.halve(name)?, Some(Halved::Beyond)) {
            return Ok(Some(format!("float16 does not hold a number in `{name}`")));
        }
    }
    Ok(None)
}

/// Keeps what stands between two nodes that stay: all its floats come from such nodes or are stored, and all its
/// readers are such nodes, or on the way to one.
fn join(graph: &GraphProto, converter: &Converter, choices: &mut [Choice]) {
    let constants = graph::constants(graph);
    let kept = |choice: &Choice| matches!(choice, Choice::Keep(_));
    let mut float32: HashSet<&str> = HashSet::new();
    let mut candidates = vec![false; choices.len()];
    for (index, node) in graph.node.iter().enumerate() {
        let floats = || node.input.iter().map(String::as_str).filter(|name| converter.is_float(name));
        let plain = BETWEEN.iter().any(|op| node.is(op)) && choices[index] == Choice::Half;
        candidates[index] = plain
            && floats().any(|name| float32.contains(name))
            && floats().all(|name| float32.contains(name) || constants.contains(name));
        if kept(&choices[index]) && !is_qdq(node) || candidates[index] {
            float32.extend(node.outputs());
        }
    }
    let wide = |node: &NodeProto| node.is("Sqrt") || node.is("Reciprocal") || node.is("Log");
    let mut leads: HashSet<&str> = HashSet::new();
    for (index, node) in graph.node.iter().enumerate().rev() {
        let leads_on = node.outputs().any(|name| leads.contains(name));
        if candidates[index] && (leads_on || wide(node)) {
            choices[index] = Choice::Keep("it stands between nodes that stay in float32".to_owned());
        }
        if kept(&choices[index]) {
            leads.extend(node.input.iter().map(String::as_str));
        }
    }
}

/// The values that a Q/DQ pair or weight computes whose scale float16 does not hold.
fn loose_scales<'a>(graph: &'a GraphProto, converter: &Converter) -> Result<HashSet<&'a str>, OnnxError> {
    let mut loose = HashSet::new();
    for node in graph.node.iter().filter(|node| is_qdq(node)) {
        let scale = node.input(1).unwrap_or_default();
        if !converter.is_float(scale) {
            continue;
        }
        let held = converter.stored_floats(scale)?.is_some_and(|values| half::holds(&values));
        if !held {
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
