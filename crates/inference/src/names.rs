//! What people call nodes, and which one an error is about.

use trt_onnx::proto::{GraphProto, NodeProto};

use crate::SourceError;

/// A node as its user knows it, with its operator; `index` is its number in its graph.
pub(crate) fn describe(node: &NodeProto, index: usize) -> String {
    match node.name.as_deref() {
        Some(name) if !name.is_empty() => format!("`{name}` ({})", node.qualified_op()),
        _ => node.display(index),
    }
}

/// Where a node's operator comes from, if it is none of ONNX itself.
pub(crate) fn domain_of(node: &NodeProto) -> Option<String> {
    node.domain.clone().filter(|domain| !["", "ai.onnx"].contains(&domain.as_str()))
}

/// The first output of the node of `graph` whose operator a backend lacks, or of the node around it.
pub(crate) fn lacking(graph: &GraphProto, error: &SourceError) -> Option<String> {
    let (SourceError::Foreign { node: wanted, .. } | SourceError::Unsupported { node: Some(wanted), .. }) =
        error
    else {
        return None;
    };
    let mut nodes = graph.node.iter().enumerate();
    let (_, found) = nodes.find(|(index, node)| is_or_holds(node, *index, wanted))?;
    found.outputs().next().map(str::to_owned)
}

fn is_or_holds(node: &NodeProto, index: usize, wanted: &str) -> bool {
    let bodies = node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs));
    node.name.as_deref() == Some(wanted)
        || describe(node, index) == wanted
        || bodies
            .flat_map(|body| body.node.iter().enumerate())
            .any(|(at, inner)| is_or_holds(inner, at, wanted))
}

#[cfg(test)]
mod tests {
    use trt_onnx::proto::AttributeProto;

    use super::*;

    #[test]
    fn a_node_is_found_by_what_it_is_called_even_in_a_body() {
        let node = |op: &str, name: &str, output: &str| NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(name.to_owned()),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let body = GraphProto { node: vec![node("Odd", "inner", "i")], ..GraphProto::default() };
        let attribute = AttributeProto { g: Some(Box::new(body)), ..AttributeProto::default() };
        let branch = NodeProto { attribute: vec![attribute], ..node("If", "", "b") };
        let graph = GraphProto { node: vec![node("Relu", "act", "a"), branch], ..GraphProto::default() };
        for (called, expected) in [
            ("`act` (Relu)", Some("a")),
            ("act", Some("a")),
            ("If #1 (output `b`)", Some("b")),
            ("`inner` (Odd)", Some("b")),
            ("another", None),
        ] {
            let error = SourceError::Unsupported { node: Some(called.to_owned()), reason: String::new() };
            assert_eq!(lacking(&graph, &error).as_deref(), expected, "{called}");
        }
    }
}
