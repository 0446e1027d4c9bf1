//! Raising operator sets 11 and 12 to 13.

mod common;

use common::*;
use prost::Message;
use trt_onnx::proto::{AttributeProto, GraphProto, NodeProto};
use trt_onnx::{OnnxError, raise_opset};

/// `node` between `x` (of that shape) and `y`, raised from operator set 12.
fn raised(node: NodeProto, dims: &[i64]) -> GraphProto {
    let output = value("y", &vec![-1; dims.len()]);
    let mut model = read(&model(12, graph(vec![node], vec![], vec![value("x", dims)], vec![output])));
    assert_eq!(raise_opset(&mut model).unwrap(), Some((12, 13)));
    assert_eq!(model.opset(), 13);
    graph_of(&model)
}

#[test]
fn lists_that_were_attributes_become_inputs() {
    for (op, attribute) in
        [("Squeeze", "axes"), ("Unsqueeze", "axes"), ("ReduceSum", "axes"), ("Split", "split")]
    {
        let graph = raised(
            node(op, &["x"], &["y"]).with_ints(attribute, &[1, 3]).with_int("keepdims", 0),
            &[2, 1, 3],
        );
        let node = &graph.node[0];
        assert!(node.attribute(attribute).is_none(), "{op}");
        assert_eq!(node.int("keepdims", 9), 0, "{op} lost another attribute");
        let list = graph.initializer.iter().find(|tensor| tensor.name() == node.input[1]).unwrap();
        let expected: Vec<u8> = [1i64, 3].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(list.raw_data(), expected, "{op}");

        let graph = raised(crate::node(op, &["x"], &["y"]), &[2, 1, 3]);
        assert_eq!(graph.node[0].input, ["x"], "{op} without the attribute");
    }
}

#[test]
fn softmax_over_the_last_axis_stays_one_node() {
    for (axis, dims) in [(Some(2), &[2, 3, 4][..]), (Some(-1), &[2, 3, 4]), (None, &[2, 3])] {
        let mut node = node("Softmax", &["x"], &["y"]);
        if let Some(axis) = axis {
            node = node.with_int("axis", axis);
        }
        let graph = raised(node, dims);
        assert_eq!(graph.node.len(), 1, "axis {axis:?}");
        assert_eq!(graph.node[0].int("axis", 9), -1);
    }
}

#[test]
fn softmax_over_several_axes_works_on_a_folded_matrix() {
    for op in ["Softmax", "LogSoftmax", "Hardmax"] {
        let graph = raised(node(op, &["x"], &["y"]), &[2, 3, 4]);
        let operators: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
        assert_eq!(operators, ["Shape", "Flatten", op, "Reshape"]);
        assert_eq!(graph.node[1].int("axis", 9), 1, "the default axis was 1");
        assert_eq!(graph.node[2].int("axis", 9), -1);
        assert_eq!(producer(&graph, "y").op(), "Reshape");
    }
}

#[test]
fn bodies_of_control_flow_are_raised_too() {
    let branch = |name: &str| {
        let squeeze = node("Squeeze", &["x"], &[name]).with_ints("axes", &[0]);
        graph(vec![squeeze], vec![], vec![], vec![value(name, &[3])])
    };
    let choice = node("If", &["c"], &["y"])
        .with_body("then_branch", branch("t"))
        .with_body("else_branch", branch("e"));
    let inputs = vec![value("x", &[1, 3]), value("c", &[])];
    let mut model = read(&model(11, graph(vec![choice], vec![], inputs, vec![value("y", &[3])])));
    assert_eq!(raise_opset(&mut model).unwrap(), Some((11, 13)));
    let graph = graph_of(&model);
    for attribute in &graph.node[0].attribute {
        let body = attribute.g.as_ref().unwrap();
        assert_eq!((body.node[0].input.len(), body.initializer.len()), (2, 1));
    }
}

#[test]
fn newer_sets_are_left_alone_and_older_ones_refused() {
    for opset in [13, 17, 22] {
        let mut model = read(&convolution(opset));
        assert_eq!(raise_opset(&mut model).unwrap(), None);
        assert_eq!(proto(&model), convolution(opset));
    }
    let error = raise_opset(&mut read(&convolution(10))).unwrap_err();
    assert!(matches!(error, OnnxError::OpsetTooOld { opset: 10 }), "{error}");
}

#[test]
fn what_has_no_equivalent_is_refused_and_the_model_kept() {
    let mut resize = node("Resize", &["x", "", "s"], &["y"]);
    let mode = b"tf_half_pixel_for_nn".as_slice().into();
    let name = Some("coordinate_transformation_mode".into());
    resize.attribute.push(AttributeProto { name, s: Some(mode), ..Default::default() });
    let inputs = vec![value("x", &[1]), value("s", &[1])];
    let proto = model(11, graph(vec![resize], vec![], inputs, vec![value("y", &[1])]));
    let mut model = read(&proto);
    let error = raise_opset(&mut model).unwrap_err().to_string();
    assert!(error.contains("`y_node`") && error.contains("tf_half_pixel_for_nn"), "{error}");
    assert_eq!(model.to_bytes().unwrap(), proto.encode_to_vec());
}
