//! From operator set 13 to 19.

use super::attribute_to_input;
use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::proto::{AttributeProto, GraphProto, attr};

/// Where the reductions other than ReduceSum take their axes as an input, and Split counts its outputs.
const AXES_AS_INPUT: i64 = 18;
/// Where RoiAlign's pixels lost, by default, their offset of a half.
const ROI_ALIGN_SHIFTED: i64 = 16;

const REDUCTIONS: &[&str] = &[
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
];

/// Refuses what has no exact equivalent.
pub(super) fn check(graph: &GraphProto, has_functions: bool) -> Result<(), OnnxError> {
    for (index, outer) in graph.node.iter().enumerate() {
        let mut reason = has_functions.then_some("the model defines functions for its own operator set");
        graph::visit(outer, &mut |node| {
            if node.is("BatchNormalization") && node.outputs().count() > 1 {
                reason = Some("it is a training graph: BatchNormalization has more than one output");
            }
        });
        if let Some(reason) = reason {
            return Err(OnnxError::CannotRaise { node: outer.display(index), to: super::HALF_QDQ, reason });
        }
    }
    Ok(())
}

/// Rewrites what changed: the axes of reductions, the outputs of Split, the pixels of RoiAlign.
/// (ONNX `Changelog.md`, versions 14 to 19.)
pub(super) fn raise_graph(graph: &mut GraphProto, from: i64, names: &mut Names) {
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        for attribute in &mut node.attribute {
            attribute.g.as_deref_mut().into_iter().for_each(|body| raise_graph(body, from, names));
            attribute.graphs.iter_mut().for_each(|body| raise_graph(body, from, names));
        }
        if from < AXES_AS_INPUT && REDUCTIONS.iter().any(|op| node.is(op)) {
            attribute_to_input(graph, &mut node, "axes", names);
        }
        if from < AXES_AS_INPUT && node.is("Split") && node.input(1).is_none() {
            node.attribute.push(graph::int_attribute("num_outputs", node.output.len() as i64));
        }
        if from < ROI_ALIGN_SHIFTED && node.is("RoiAlign") {
            node.attribute.push(AttributeProto {
                name: Some("coordinate_transformation_mode".into()),
                s: Some("output_half_pixel".into()),
                r#type: Some(attr::STRING),
                ..AttributeProto::default()
            });
        }
        graph.node.push(node);
    }
}
