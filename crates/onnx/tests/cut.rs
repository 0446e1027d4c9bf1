//! Exposing activations, and what is left of a model without the nodes that a host lacks.

mod common;

use common::*;
use trt_onnx::proto::{GraphProto, NodeProto, TypeValue, elem};
use trt_onnx::{Foreign, Model, OnnxError, expose, nonfinite_weights, obstacles, upstream};

fn names(outputs: &[trt_onnx::TensorInfo]) -> Vec<&str> {
    outputs.iter().map(|output| output.name.as_str()).collect()
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// A convolution, a branch with an integer result, and an If.
fn mixed() -> Model {
    let body = graph(vec![node("Relu", &["c"], &["inner"])], vec![], vec![], vec![value("inner", &[])]);
    let nodes = vec![
        node("Conv", &["x", "w"], &["c"]),
        node("Shape", &["c"], &["shape"]),
        node("SequenceConstruct", &["c", "c"], &["sequence"]),
        node("Greater", &["c", "w"], &["mask"]),
        node("If", &["mask"], &["z"]).with_body("then_branch", body.clone()).with_body("else_branch", body),
        node("Relu", &["z"], &["y"]),
    ];
    let stored = vec![weight("w", &[1, 3, 1, 1])];
    read(&model(17, graph(nodes, stored, vec![value("x", &[1, 3, 4, 4])], vec![value("y", &[1, 1, 4, 4])])))
}

#[test]
fn exposed_values_come_after_the_models_own_outputs_with_their_type_and_no_shape() {
    let mut model = mixed();
    let wanted = texts(&["c", "y", "x", "shape", "w", "inner", "nothing", "sequence", "z", "c"]);
    let exposed = expose(&mut model, &wanted);
    assert_eq!(exposed.outputs, ["c", "y", "shape", "z"]);
    assert_eq!(exposed.inputs, ["x"]);
    let refused: Vec<_> = exposed.refused.iter().map(|r| (r.name.as_str(), r.because.as_str())).collect();
    assert_eq!(
        refused,
        [
            ("w", "it is stored in the model, not computed"),
            ("inner", "it lies in the body of `z_node`"),
            ("nothing", "the graph computes no such value"),
            ("sequence", "it is no tensor"),
        ]
    );
    assert_eq!(names(&model.outputs()), ["y", "c", "shape", "z"]);
    let graph = graph_of(&model);
    let types = graph.output[1..].iter().map(|output| {
        let Some(TypeValue::Tensor(tensor)) = &output.r#type.as_ref().unwrap().value else {
            panic!("no tensor")
        };
        assert!(tensor.shape.is_none());
        tensor.elem_type()
    });
    assert_eq!(types.collect::<Vec<_>>(), [elem::FLOAT, elem::INT64, elem::FLOAT]);
    read(&proto(&model)); // It must still hold together.
}

#[test]
fn exposing_an_output_and_an_input_changes_nothing() {
    let mut model = read(&convolution(13));
    let before = proto(&model);
    expose(&mut model, &texts(&["x", "y"]));
    assert_eq!(proto(&model), before);
}

fn foreign(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto { domain: Some("TRT".into()), ..node(op, inputs, outputs) }
}

/// Two convolutions, a plugin after the first, and what depends on it.
fn with_plugin(outputs: &[&str]) -> GraphProto {
    let nodes = vec![
        node("Conv", &["x", "w"], &["a"]),
        node("Relu", &["a"], &["r"]),
        foreign("NMS", &["r", "limit"], &["boxes"]),
        node("Conv", &["a", "w"], &["b"]),
        node("Add", &["boxes", "b"], &["s"]),
        node("Sigmoid", &["s"], &["y"]),
    ];
    let stored = vec![weight("w", &[3, 3, 1, 1]), weight("limit", &[1])];
    let outputs = outputs.iter().map(|name| value(name, &[])).collect();
    graph(nodes, stored, vec![value("x", &[1, 3, 4, 4])], outputs)
}

#[test]
fn everything_upstream_of_a_missing_operator_is_kept_and_the_rest_is_listed() {
    for (outputs, lost_outputs, left) in
        [(vec!["y"], vec!["y"], vec!["r", "b"]), (vec!["b", "y", "r"], vec!["y"], vec!["b", "r"])]
    {
        let mut cut_down = read(&model(17, with_plugin(&outputs)));
        let found = obstacles(&cut_down);
        let plugin =
            Foreign { index: 2, node: "`boxes_node`".into(), op: "NMS".into(), domain: "TRT".into() };
        assert_eq!(found.foreign, [plugin]);
        let cut = upstream(&mut cut_down, &[2]).unwrap();
        let lost: Vec<&str> = cut.lost.iter().map(|lost| lost.name.as_str()).collect();
        assert_eq!(lost, ["boxes", "s", "y"]);
        for lost in &cut.lost {
            let expected =
                "computed after `boxes_node` (NMS of domain `TRT`), which this machine does not have";
            assert_eq!(lost.because, expected);
        }
        assert_eq!((cut.lost_outputs, &cut.outputs), (texts(&lost_outputs), &texts(&left)));
        assert_eq!(names(&cut_down.outputs()), left);
        let whole = proto(&cut_down);
        read(&whole);
        let graph = whole.graph.unwrap();
        assert_eq!(graph.node.iter().map(NodeProto::op).collect::<Vec<_>>(), ["Conv", "Relu", "Conv"]);
        assert!(graph.initializer.iter().all(|tensor| tensor.name() != "limit"), "nobody reads it any more");
    }
}

#[test]
fn nothing_is_cut_without_reason_and_nothing_left_is_an_error() {
    let mut whole = read(&model(17, with_plugin(&["y"])));
    let before = proto(&whole);
    assert_eq!(upstream(&mut whole, &[]).unwrap().outputs, ["y"]);
    assert_eq!(upstream(&mut whole, &[99]).unwrap().lost, []);
    assert_eq!(proto(&whole), before);

    let first = vec![foreign("Decode", &["x"], &["a"]), node("Relu", &["a"], &["y"])];
    let mut none = read(&model(17, graph(first, vec![], vec![value("x", &[1])], vec![value("y", &[])])));
    let before = proto(&none);
    let error = upstream(&mut none, &[0]).unwrap_err();
    assert!(
        matches!(&error, OnnxError::NothingUpstream { node } if node == "`a_node` (Decode of domain `TRT`)")
    );
    assert_eq!(proto(&none), before);
}

#[test]
fn a_body_that_reads_a_lost_value_is_lost_too() {
    let body = graph(vec![node("Relu", &["boxes"], &["inner"])], vec![], vec![], vec![value("inner", &[])]);
    let nodes = vec![
        node("Relu", &["x"], &["r"]),
        foreign("NMS", &["r"], &["boxes"]),
        node("Greater", &["r", "w"], &["mask"]),
        node("If", &["mask"], &["y"]).with_body("then_branch", body.clone()).with_body("else_branch", body),
    ];
    let stored = vec![weight("w", &[1])];
    let mut cut_down = read(&model(17, graph(nodes, stored, vec![value("x", &[1])], vec![value("y", &[])])));
    let cut = upstream(&mut cut_down, &[1]).unwrap();
    assert_eq!(cut.lost.iter().map(|lost| lost.name.as_str()).collect::<Vec<_>>(), ["boxes", "y"]);
    assert_eq!(cut.outputs, ["r", "mask"]);
    read(&proto(&cut_down));
}

#[test]
fn obstacles_are_named() {
    let model = mixed();
    let found = obstacles(&model);
    assert_eq!((found.foreign.len(), found.string_inputs.len(), found.no_float), (0, 0, false));
    let [branch] = &found.control_flow[..] else { panic!("{:?}", found.control_flow) };
    assert_eq!((branch.node.as_str(), branch.op.as_str()), ("`z_node`", "If"));
    assert_eq!(branch.values, ["inner", "inner"]);

    let body = graph(vec![foreign("Inner", &["x"], &["inner"])], vec![], vec![], vec![value("inner", &[])]);
    let mut input = value("x", &[1]);
    if let Some(TypeValue::Tensor(tensor)) = &mut input.r#type.as_mut().unwrap().value {
        tensor.elem_type = Some(elem::STRING);
    }
    let mut text = value("y", &[]);
    text.r#type = input.r#type.clone();
    let nodes =
        vec![node("Loop", &["", "", "x"], &["z"]).with_body("body", body), node("Identity", &["x"], &["y"])];
    let strings = read(&crate::model(17, graph(nodes, vec![], vec![input], vec![text])));
    let found = obstacles(&strings);
    assert_eq!(found.string_inputs, ["x"]);
    let inside = &found.foreign[0];
    assert_eq!((inside.index, inside.node.as_str()), (0, "Inner in the body of `z_node`"));
}

#[test]
fn a_model_of_integers_has_nothing_to_calibrate() {
    let mut input = value("x", &[1]);
    if let Some(TypeValue::Tensor(tensor)) = &mut input.r#type.as_mut().unwrap().value {
        tensor.elem_type = Some(elem::INT64);
    }
    let mut output = value("y", &[1]);
    output.r#type = input.r#type.clone();
    let integers =
        read(&model(17, graph(vec![node("Identity", &["x"], &["y"])], vec![], vec![input], vec![output])));
    assert!(obstacles(&integers).no_float);
}

#[test]
fn weights_that_are_not_finite_are_counted_by_name() {
    let mut proto = convolution(13);
    let graph = proto.graph.as_mut().unwrap();
    graph.initializer[0].float_data[1] = f32::NAN;
    graph.initializer[0].float_data[2] = f32::NEG_INFINITY;
    graph.initializer[0].float_data[3] = f32::INFINITY;
    let half = |values: [u16; 2]| trt_onnx::proto::TensorProto {
        raw_data: Some(values.into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>().into()),
        data_type: Some(elem::FLOAT16),
        float_data: vec![],
        ..weight("mask", &[2])
    };
    let constant = NodeProto {
        attribute: vec![trt_onnx::proto::AttributeProto {
            name: Some("value".into()),
            r#type: Some(trt_onnx::proto::attr::TENSOR),
            t: Some(Box::new(half([0xfc00, 0x3c00]))),
            ..Default::default()
        }],
        ..node("Constant", &[], &["mask"])
    };
    graph.node.insert(0, constant);
    let found = nonfinite_weights(&read(&proto)).unwrap();
    let found: Vec<_> = (found.iter())
        .map(|bad| (bad.tensor.as_str(), bad.nan, bad.infinite, bad.elements, bad.reader.as_deref()))
        .collect();
    assert_eq!(found, [("w", 1, 2, 6, Some("`y_node`")), ("mask", 0, 1, 2, None)]);
    assert_eq!(nonfinite_weights(&read(&convolution(13))).unwrap(), []);
}
