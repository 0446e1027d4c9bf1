//! Raises operator sets 11 and 12 to 13, the first with per-channel QuantizeLinear, without changing the result, and
//! any to 19, the first with float16 QuantizeLinear.

mod newer;

use std::collections::HashMap;

use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::model::{Model, is_default_domain};
use crate::proto::{GraphProto, NodeProto, TypeValue, ValueInfoProto};
use crate::tensor;

/// The oldest operator set that can be raised, and the one it is raised to.
const OLDEST: i64 = 11;
pub(crate) const WANTED: i64 = 13;
/// The first with float16 in QuantizeLinear and DequantizeLinear, and its file format.
pub(crate) const HALF_QDQ: i64 = 19;
pub(crate) const IR_VERSION_HALF_QDQ: i64 = 9;
/// The file format of operator set 13; before format 4 every initializer had to be an input.
pub(crate) const IR_VERSION: i64 = 7;

/// Raises the default operator set to 13; returns `(from, to)`, or `None` where it was 13 or newer already.
///
/// Squeeze, Unsqueeze, ReduceSum and Split take as an input what was an attribute. Softmax, LogSoftmax and Hardmax
/// worked on a matrix folded at `axis` and now work along `axis`: unless that axis is known to be the last one, they
/// are wrapped in Flatten and Reshape. Dropout loses its ratio, which means nothing in inference.
/// (ONNX `Changelog.md`, versions 12 and 13 of these operators.)
///
/// # Errors
/// [`OnnxError::OpsetTooOld`], [`OnnxError::CannotRaise`]; the model is then as it was.
pub fn raise_opset(model: &mut Model) -> Result<Option<(i64, i64)>, OnnxError> {
    raise(model, WANTED)
}

/// Raises the default operator set to `to`, which is 13 or 19; as [`raise_opset`].
pub(crate) fn raise(model: &mut Model, to: i64) -> Result<Option<(i64, i64)>, OnnxError> {
    let from = model.opset();
    if from >= to {
        return Ok(None);
    }
    if from < OLDEST {
        return Err(OnnxError::OpsetTooOld { opset: from });
    }
    let has_functions = !model.proto.functions.is_empty();
    if from < WANTED {
        check(model.graph(), has_functions)?;
    }
    if to > WANTED {
        newer::check(model.graph(), has_functions)?;
    }
    let mut names = Names::of(&model.proto);
    if from < WANTED {
        raise_graph(model.graph_mut(), &mut names);
    }
    if to > WANTED {
        newer::raise_graph(model.graph_mut(), from, &mut names);
    }
    for set in &mut model.proto.opset_import {
        if is_default_domain(set.domain.as_deref()) {
            set.version = Some(to);
        }
    }
    let format = if to > WANTED { IR_VERSION_HALF_QDQ } else { IR_VERSION };
    model.proto.ir_version = Some(model.ir_version().max(format));
    Ok(Some((from, to)))
}

/// Refuses what has no exact equivalent.
fn check(graph: &GraphProto, has_functions: bool) -> Result<(), OnnxError> {
    for (index, outer) in graph.node.iter().enumerate() {
        let mut reason = None;
        graph::visit(outer, &mut |node| {
            if has_functions {
                reason = Some("the model defines functions for its own operator set");
            } else if node.is("Resize") && node.attribute.iter().any(is_tf_half_pixel) {
                reason = Some("`tf_half_pixel_for_nn` no longer exists");
            } else if node.is("Upsample") || node.is("Scatter") {
                reason = Some("the operator no longer exists");
            }
        });
        if let Some(reason) = reason {
            return Err(OnnxError::CannotRaise { node: outer.display(index), to: WANTED, reason });
        }
    }
    Ok(())
}

fn is_tf_half_pixel(attribute: &crate::proto::AttributeProto) -> bool {
    attribute.s.as_deref() == Some(b"tf_half_pixel_for_nn")
}

fn raise_graph(graph: &mut GraphProto, names: &mut Names) {
    let ranks = ranks(graph);
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        for attribute in &mut node.attribute {
            attribute.g.as_deref_mut().into_iter().for_each(|body| raise_graph(body, names));
            attribute.graphs.iter_mut().for_each(|body| raise_graph(body, names));
        }
        if is_default_domain(node.domain.as_deref()) {
            match node.op() {
                "Squeeze" | "Unsqueeze" | "ReduceSum" => attribute_to_input(graph, &mut node, "axes", names),
                "Split" => attribute_to_input(graph, &mut node, "split", names),
                "Dropout" => node.attribute.retain(|attribute| attribute.name.as_deref() != Some("ratio")),
                "Softmax" | "LogSoftmax" | "Hardmax" => {
                    raise_softmax(graph, node, &ranks, names);
                    continue;
                }
                _ => {}
            }
        }
        graph.node.push(node);
    }
}

/// Moves an integer list from an attribute to the node's second input.
fn attribute_to_input(graph: &mut GraphProto, node: &mut NodeProto, name: &str, names: &mut Names) {
    let Some(at) = node.attribute.iter().position(|attribute| attribute.name.as_deref() == Some(name)) else {
        return;
    };
    let values = node.attribute.remove(at).ints;
    let base = node.outputs().next().unwrap_or_default();
    let input = names.fresh(&format!("{base}_{name}"));
    graph.initializer.push(tensor::from_int64s(input.clone(), &values));
    node.input.truncate(1);
    node.input.push(input);
}

fn raise_softmax(
    graph: &mut GraphProto,
    mut node: NodeProto,
    ranks: &HashMap<String, i64>,
    names: &mut Names,
) {
    let axis = node.int("axis", 1);
    let input = node.input.first().cloned().unwrap_or_default();
    let output = node.output.first().cloned().unwrap_or_default();
    let rank = ranks.get(&input).or_else(|| ranks.get(&output));
    node.attribute.retain(|attribute| attribute.name.as_deref() != Some("axis"));
    node.attribute.push(graph::int_attribute("axis", -1));
    if axis == -1 || rank.is_some_and(|&rank| axis == rank - 1) {
        graph.node.push(node);
        return;
    }
    let [shape, flat, result] =
        ["shape", "flat", "result"].map(|part| names.fresh(&format!("{output}_{part}")));
    graph.node.push(graph::node("Shape", names, [input.clone()], [shape.clone()]));
    let mut flatten = graph::node("Flatten", names, [input], [flat.clone()]);
    flatten.attribute.push(graph::int_attribute("axis", axis));
    graph.node.push(flatten);
    node.input = vec![flat];
    node.output = vec![result.clone()];
    graph.node.push(node);
    graph.node.push(graph::node("Reshape", names, [result, shape], [output]));
}

/// How many dimensions each value has, where the graph states it.
fn ranks(graph: &GraphProto) -> HashMap<String, i64> {
    let stated = graph.output.iter().chain(&graph.input).chain(&graph.value_info);
    let rank = |value: &ValueInfoProto| match value.r#type.as_ref()?.value.as_ref()? {
        TypeValue::Tensor(tensor) => Some((value.name.clone()?, tensor.shape.as_ref()?.dim.len() as i64)),
        _ => None,
    };
    stated.filter_map(rank).collect()
}
