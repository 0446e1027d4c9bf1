//! What a calibration table is asked for, and which layers would run in INT8.

mod common;

use common::*;
use trt_onnx::proto::{ModelProto, NodeProto, TensorProto, ValueInfoProto, elem};
use trt_onnx::{Demand, Missing, NotInt8, Unasked, demand};

fn all(_: &str) -> Option<f32> {
    Some(0.5)
}

fn of(nodes: Vec<NodeProto>) -> ModelProto {
    let last = nodes.last().and_then(|node| node.output.first().cloned()).unwrap();
    let stored: Vec<TensorProto> =
        vec![weight("w", &[3, 3, 1, 1]), integers("index", elem::INT64, &[1], &[1]), weight("c", &[1])];
    // Of whatever type the operator gives.
    let output = ValueInfoProto { r#type: None, ..value(&last, &[]) };
    model(17, graph(nodes, stored, vec![value("x", &[1, 3, 8, 8])], vec![output]))
}

/// Why the layer that computes `output` is not in INT8, as text; nothing if it is.
fn verdict(demand: &Demand, output: &str) -> Option<String> {
    let layer = demand.layers.iter().find(|layer| layer.output == output);
    layer.unwrap_or_else(|| panic!("no layer computes `{output}`")).not_int8.as_ref().map(NotInt8::to_string)
}

#[test]
fn operators_with_an_int8_implementation_take_it_and_others_say_why_not() {
    let no_kernel = Some("TensorRT has no INT8 implementation of the operator");
    let not_float = Some("it does not compute with floats");
    let cases: [(NodeProto, Option<&str>); 18] = [
        (node("Conv", &["x", "w"], &["y"]), None),
        (node("MatMul", &["x", "x"], &["y"]), None),
        (node("MaxPool", &["x"], &["y", "indices"]), None),
        (node("GlobalAveragePool", &["x"], &["y"]), None),
        (node("Add", &["x", "c"], &["y"]), None),
        (node("Concat", &["x", "x"], &["y"]), None),
        (node("Gather", &["x", "index"], &["y"]), None),
        (node("Sigmoid", &["x"], &["y"]), None),
        (node("Split", &["x"], &["y", "z"]), None),
        (node("Softmax", &["x"], &["y"]), no_kernel),
        (node("LayerNormalization", &["x", "c"], &["y"]), no_kernel),
        (node("Erf", &["x"], &["y"]), no_kernel),
        (node("TopK", &["x", "index"], &["y", "at"]), no_kernel),
        (node("Greater", &["x", "c"], &["y"]), not_float),
        (node("ArgMax", &["x"], &["y"]), not_float),
        (node("Shape", &["x"], &["y"]), Some("it computes shapes")),
        (node("Conv", &["x", "x"], &["y"]), Some("its weight is computed: `x`")),
        (
            NodeProto { domain: Some("TRT".into()), ..node("EfficientNMS", &["x"], &["y"]) },
            Some("it is a plugin's, of the domain `TRT`"),
        ),
    ];
    for (node, expected) in cases {
        let found = demand(&read(&of(vec![node.clone()])), &all, &[]);
        assert_eq!(verdict(&found, "y").as_deref(), expected, "{}", node.op());
    }
}

#[test]
fn a_missing_or_unusable_scale_takes_int8_from_producer_and_readers() {
    let nodes = || {
        vec![
            node("Conv", &["x", "w"], &["a"]),
            node("Relu", &["a"], &["r"]),
            node("Conv", &["r", "w"], &["b"]),
            node("Conv", &["x", "w"], &["y"]),
        ]
    };
    let unusable = |scale: f32| format!("no scale for `r`: its scale is not a positive number: {scale:e}");
    for (scale, expected) in [
        (None, "no scale for `r`: the table does not list it".to_owned()),
        (Some(0.0), unusable(0.0)),
        (Some(f32::NAN), unusable(f32::NAN)),
        (Some(f32::INFINITY), unusable(f32::INFINITY)),
        (Some(-1.0), unusable(-1.0)),
        (Some(1e-40), unusable(1e-40)),
    ] {
        let scales = |name: &str| if name == "r" { scale } else { Some(0.5) };
        let found = demand(&read(&of(nodes())), &scales, &[]);
        for (output, expected) in [("a", None), ("r", Some(&expected)), ("b", Some(&expected)), ("y", None)] {
            assert_eq!(verdict(&found, output).as_ref(), expected, "{output} with {scale:?}");
        }
        let wanted = found.tensors.iter().find(|tensor| tensor.name == "r").unwrap();
        assert_eq!((wanted.producer.as_deref(), wanted.scale), (Some("`r_node`"), None));
        assert_eq!(wanted.missing == Some(Missing::Absent), scale.is_none());
        assert_eq!(found.tensors.iter().filter(|tensor| tensor.missing.is_none()).count(), 4);
    }
}

#[test]
fn what_the_caller_keeps_is_not_int8_and_still_asks_for_its_scales() {
    let nodes = || {
        vec![
            node("Conv", &["x", "w"], &["a"]),
            node("Relu", &["a"], &["r"]),
            node("Conv", &["r", "w"], &["y"]),
        ]
    };
    for (keep, expected) in [
        ("r_node", [None, Some("kept by name"), None]),
        ("r", [None, Some("kept by name"), Some("`r` is kept by name")]),
        ("x", [Some("`x` is kept by name"), None, None]),
    ] {
        let found = demand(&read(&of(nodes())), &all, &[keep.to_owned()]);
        let verdicts = ["a", "r", "y"].map(|output| verdict(&found, output));
        assert_eq!(verdicts.each_ref().map(Option::as_deref), expected, "{keep}");
        assert_eq!(found.tensors.len(), 4);
    }
}

#[test]
fn constants_shapes_integers_and_bodies_are_told_apart() {
    let body = graph(vec![node("Relu", &["x"], &["inner"])], vec![], vec![], vec![value("inner", &[])]);
    let nodes = vec![
        node("Neg", &["w"], &["folded"]),
        node("Conv", &["x", "folded"], &["conv"]),
        node("Shape", &["conv"], &["shape"]),
        node("Cast", &["shape"], &["size"]).with_int("to", i64::from(elem::FLOAT)),
        node("Mul", &["size", "c"], &["half"]),
        node("ArgMax", &["conv"], &["best"]),
        node("Greater", &["conv", "c"], &["mask"]),
        node("If", &["mask"], &["z"]).with_body("then_branch", body.clone()).with_body("else_branch", body),
        node("Add", &["z", "half"], &["y"]),
    ];
    let found = demand(&read(&of(nodes)), &all, &[]);
    let wanted: Vec<&str> = found.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(wanted, ["x", "conv", "z", "y"]);
    let because = |name: &str| {
        let found: Vec<_> = found.not_asked.iter().filter(|value| value.name == name).collect();
        found.into_iter().map(|value| value.because.clone()).collect::<Vec<_>>()
    };
    let body = Unasked::Subgraph { node: "`z_node`".into(), op: "If".into() };
    for (name, expected) in [
        ("folded", vec![Unasked::Constant]),
        ("shape", vec![Unasked::NotFloat]),
        ("size", vec![Unasked::Shape]),
        ("half", vec![Unasked::Shape]),
        ("best", vec![Unasked::NotFloat]),
        ("mask", vec![Unasked::NotFloat]),
        ("inner", vec![body.clone(), body]),
    ] {
        assert_eq!(because(name), expected, "{name}");
    }
    assert_eq!(verdict(&found, "z").as_deref(), Some("it is control flow, whose bodies are not calibrated"));
    assert!(found.layers.iter().all(|layer| layer.output != "folded"), "the builder computes it once");
    assert_eq!(verdict(&found, "y"), None, "a factor computed from shapes needs no scale");
}

#[test]
fn a_trained_network_is_wholly_covered_by_a_full_table() {
    let Some(path) = shared("efficientnet_lite0.onnx") else { return };
    let model = trt_onnx::Model::load(path).unwrap();
    let found = demand(&model, &all, &[]);
    assert_eq!(found.tensors.len(), model.activations().len());
    let other: Vec<_> = found.layers.iter().filter_map(|layer| layer.not_int8.as_ref()).collect();
    assert_eq!(
        (found.layers.len(), other),
        (98, vec![&NotInt8::Shape; 4]),
        "all but the batch size at the end"
    );
    assert_eq!(demand(&model, &|_| None, &[]).tensors.iter().filter(|t| t.scale.is_some()).count(), 0);
}
