//! What stands in the way of running a model here, and the part of it that can be run all the same.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::error::OnnxError;
use crate::model::{Model, TensorInfo, is_default_domain};
use crate::proto::{NodeProto, ValueInfoProto, elem};
use crate::{expose, graph, types};

/// What a host may not be able to run, or to calibrate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Obstacles {
    /// Nodes of other domains than ONNX's own, which a runtime may lack; those that the model itself defines as functions
    /// are not among them.
    pub foreign: Vec<Foreign>,
    /// Inputs that take strings.
    pub string_inputs: Vec<String>,
    /// Nodes with bodies, whose insides get no scale.
    pub control_flow: Vec<ControlFlow>,
    /// Whether the model has no float activation at all, and so nothing to calibrate.
    pub no_float: bool,
}

/// A node of another domain than ONNX's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Its number in the graph, for [`upstream`]; a node in a body has the number of the outermost node around it.
    pub index: usize,
    /// Its name, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Its domain.
    pub domain: String,
}

/// An If, Loop or Scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlFlow {
    /// Its name, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The values that its bodies compute, at every depth: they get no scale.
    pub values: Vec<String>,
}

/// What [`upstream`] took away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Cut {
    /// The activations that cannot be computed any more, in the order of computation.
    pub lost: Vec<Lost>,
    /// The outputs of the model that are among them.
    pub lost_outputs: Vec<String>,
    /// The outputs of the graph that is left: its own, then what the lost nodes would have read.
    pub outputs: Vec<String>,
}

/// An activation that cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Its name.
    pub name: String,
    /// Why, such as ``computed after `nms` (EfficientNMS of domain `TRT`), which this machine does not have``.
    pub because: String,
}

/// Says what may stand in the way of running or calibrating `model`.
pub fn obstacles(model: &Model) -> Obstacles {
    let graph = model.graph();
    let functions = &model.proto.functions;
    let defined: HashSet<_> = functions.iter().map(|function| (&function.name, &function.domain)).collect();
    let mut found = Obstacles::default();
    for (index, outer) in graph.node.iter().enumerate() {
        graph::visit(outer, &mut |node| {
            let domain = node.domain.as_deref().unwrap_or_default();
            if !is_default_domain(Some(domain)) && !defined.contains(&(&node.op_type, &node.domain)) {
                let is_outer = std::ptr::eq(node, outer);
                let inside = format!("{} in the body of {}", node.op(), outer.display(index));
                found.foreign.push(Foreign {
                    index,
                    node: if is_outer { node.display(index) } else { inside },
                    op: node.op().to_owned(),
                    domain: domain.to_owned(),
                });
            }
        });
        if graph::subgraphs(outer).next().is_some() {
            let values = graph::inner_values(outer).into_iter().map(str::to_owned).collect();
            found.control_flow.push(ControlFlow {
                node: outer.display(index),
                op: outer.op().to_owned(),
                values,
            });
        }
    }
    let is_string = |input: &TensorInfo| input.elem_type == elem::STRING;
    found.string_inputs = model.inputs().into_iter().filter(is_string).map(|input| input.name).collect();
    // A graph input whose type is not stated may be a float; what is computed from it as well.
    found.no_float = model.activations().is_empty();
    found
}

/// Cuts `model` down to what can be computed without the nodes of these numbers (see [`Foreign::index`]).
///
/// Everything upstream stays and goes on being computed: the values that the lost nodes would have read become outputs,
/// and what was computed for lost nodes only stays too. Inputs that nobody reads any more stay as well, so that the same
/// data can be fed.
///
/// # Errors
/// [`OnnxError::NothingUpstream`] where nothing that depends on an input is left; the model is then as it was.
pub fn upstream(model: &mut Model, unsupported: &[usize]) -> Result<Cut, OnnxError> {
    let graph = model.graph();
    let activations = model.activations();
    let constants = graph::constants(graph);
    let unsupported: HashSet<usize> = unsupported.iter().copied().collect();
    let Some(first) = unsupported.iter().copied().filter(|&index| index < graph.node.len()).min() else {
        let outputs = graph.output.iter().filter_map(|output| output.name.clone()).collect();
        return Ok(Cut { outputs, ..Cut::default() });
    };
    // For each value that cannot be computed, the first of the unsupported nodes before it.
    let mut lost: HashMap<&str, usize> = HashMap::new();
    let mut lost_nodes = HashSet::new();
    let mut frontier = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        let reads = graph::reads(node);
        let culprit = reads.iter().filter_map(|name| lost.get(name).copied()).min();
        let Some(culprit) = culprit.into_iter().chain(unsupported.contains(&index).then_some(index)).min()
        else {
            continue;
        };
        lost_nodes.insert(index);
        frontier.extend(reads.into_iter().filter(|name| !constants.contains(name)));
        lost.extend(node.outputs().map(|name| (name, culprit)));
    }
    let inputs: HashSet<&str> = graph.input.iter().filter_map(|input| input.name.as_deref()).collect();
    let own: Vec<&str> = graph.output.iter().filter_map(|output| output.name.as_deref()).collect();
    let (lost_outputs, kept): (Vec<&str>, Vec<&str>) = own.iter().partition(|name| lost.contains_key(**name));
    let mut known: HashSet<&str> = kept.iter().copied().collect();
    let types = types::infer(graph, &model.proto.functions);
    let is_tensor = |name: &str| types.get(name) != Some(&types::NOT_A_TENSOR);
    frontier.retain(|&name| {
        !lost.contains_key(name) && !inputs.contains(name) && is_tensor(name) && known.insert(name)
    });
    if kept.is_empty() && frontier.is_empty() {
        let node = unsupported_name(&graph.node[first], first);
        return Err(OnnxError::NothingUpstream { node });
    }
    let lost_here = |name: &str| {
        let &index = lost.get(name)?;
        let name = name.to_owned();
        let because = format!(
            "computed after {}, which this machine does not have",
            unsupported_name(&graph.node[index], index)
        );
        Some(Lost { name, because })
    };
    let cut = Cut {
        lost: activations.iter().filter_map(|activation| lost_here(&activation.name)).collect(),
        lost_outputs: lost_outputs.into_iter().map(str::to_owned).collect(),
        outputs: kept.iter().chain(&frontier).map(|&name| name.to_owned()).collect(),
    };
    let mut added: Vec<_> =
        frontier.iter().map(|&name| expose::output(name, types.get(name).copied())).collect();
    let gone: HashSet<String> = lost.keys().map(|&name| name.to_owned()).collect();
    let read: HashSet<String> = (lost_nodes.iter())
        .flat_map(|&index| graph::reads(&graph.node[index]))
        .filter(|name| constants.contains(name))
        .map(str::to_owned)
        .collect();
    let graph = model.graph_mut();
    let is_gone = |value: &ValueInfoProto| value.name.as_ref().is_some_and(|name| gone.contains(name));
    graph.output.retain(|output| !is_gone(output));
    graph.value_info.retain(|value| !is_gone(value));
    graph.output.append(&mut added);
    graph::remove_nodes(graph, &lost_nodes);
    graph::drop_unread(graph, read);
    Ok(cut)
}

/// ``nms` (EfficientNMS of domain `TRT`)``
fn unsupported_name(node: &NodeProto, index: usize) -> String {
    let domain = node.domain.as_deref().unwrap_or_default();
    match is_default_domain(Some(domain)) {
        true => format!("{} ({})", node.display(index), node.op()),
        false => format!("{} ({} of domain `{domain}`)", node.display(index), node.op()),
    }
}
