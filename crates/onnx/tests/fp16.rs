//! Converting to FP16.

mod common;

use common::*;
use prost::Message;
use trt_onnx::proto::{NodeProto, TypeValue, elem};
use trt_onnx::{Fp16Options, Fp16Report, to_fp16};

#[test]
fn inputs_and_outputs_stay_float32_and_weights_become_float16() {
    let mut model = read(&convolution(13));
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!(report, Fp16Report { converted: 1, ..Fp16Report::default() });
    let graph = graph_of(&model);
    let operators: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
    assert_eq!(operators, ["Cast", "Conv", "Cast"]);
    assert_eq!((graph.node[0].int("to", 0), graph.node[2].int("to", 0)), (10, 1));
    assert_eq!((graph.node[0].input[0].as_str(), graph.node[2].output[0].as_str()), ("x", "y"));
    assert!(graph.initializer.iter().all(|tensor| tensor.data_type() == elem::FLOAT16));
    assert_eq!(graph.initializer.len(), 2, "an old weight is still there");
    let half_0_1 = 0x2e66u16.to_le_bytes();
    assert_eq!(graph.initializer[0].raw_data()[..2], half_0_1);
}

#[test]
fn an_output_that_is_read_inside_as_well_is_cast_once() {
    let nodes = vec![node("Relu", &["x"], &["y"]), node("Sigmoid", &["y"], &["z"])];
    let outputs = vec![value("y", &[2]), value("z", &[2])];
    let mut model = read(&model(13, graph(nodes, vec![], vec![value("x", &[2])], outputs)));
    to_fp16(&mut model, &Fp16Options::default()).unwrap();
    let graph = graph_of(&model);
    assert_eq!(graph.node.iter().filter(|node| node.op() == "Cast").count(), 3);
    assert_eq!(find(&graph, "Sigmoid").input, find(&graph, "Relu").output);
    read(&proto(&model));
}

#[test]
fn a_node_whose_weight_does_not_fit_stays_float32_and_is_named() {
    let mut proto = convolution(13);
    proto.graph.as_mut().unwrap().initializer[0].float_data[0] = 1e6;
    let mut model = read(&proto);
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!((report.converted, report.kept[0].node.as_str()), (0, "`y_node`"));
    assert!(report.kept[0].reason.contains("`w` is beyond float16"), "{:?}", report.kept);
    let converted = graph_of(&model);
    assert_eq!(converted, proto.graph.unwrap());
}

#[test]
fn shapes_scales_and_stated_types_are_looked_after() {
    let nodes = vec![
        node("Relu", &["x"], &["a"]),
        node("Resize", &["a", "", "scales"], &["r"]),
        node("Shape", &["r"], &["s"]),
        node("Cast", &["s"], &["f"]).with_int("to", 1),
        node("Mul", &["f", "two"], &["g"]),
        node("Cast", &["g"], &["i"]).with_int("to", 7),
        node("ConstantOfShape", &["i"], &["o"]),
        node("Equal", &["r", "r"], &["e"]),
        node("Cast", &["e"], &["m"]).with_int("to", 1),
        node("Add", &["m", "o"], &["y"]),
    ];
    let weights = vec![weight("scales", &[4]), weight("two", &[1])];
    let mut proto = model(12, graph(nodes, weights, vec![value("x", &[1, 1, 2, 2])], vec![value("y", &[])]));
    proto.graph.as_mut().unwrap().value_info = vec![value("a", &[1, 1, 2, 2]), value("g", &[4])];
    let mut model = read(&proto);
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!(
        (report.converted, report.opset_raised),
        (5, Some((12, 13))),
        "Relu, Resize, Equal, Cast, Add"
    );
    let graph = graph_of(&model);
    assert_eq!(find(&graph, "Resize").input[2], "scales");
    assert_eq!(producer(&graph, "f").int("to", 0), 1, "shape arithmetic stays exact");
    assert_eq!(producer(&graph, "m").int("to", 0), 10);
    let stated: Vec<i32> = graph
        .value_info
        .iter()
        .map(|value| match value.r#type.as_ref().unwrap().value.as_ref().unwrap() {
            TypeValue::Tensor(tensor) => tensor.elem_type(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(stated, [elem::FLOAT16, elem::FLOAT]);
}

#[test]
fn what_cannot_be_converted_is_refused_and_the_model_kept() {
    let mut strange = node("Strange", &["x"], &["s"]);
    strange.domain = Some("my.domain".into());
    for (nodes, expected) in [
        (vec![strange, node("Relu", &["s"], &["y"])], "the type of `s` is not known"),
        (
            vec![
                node("QuantizeLinear", &["x", "x"], &["q"]),
                node("BatchNormalization", &["x"], &["y", "m", "v"]),
            ],
            "it is a training graph",
        ),
    ] {
        let proto = model(13, graph(nodes, vec![], vec![value("x", &[1])], vec![value("y", &[1])]));
        let mut model = read(&proto);
        let error = to_fp16(&mut model, &Fp16Options::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(model.to_bytes().unwrap(), proto.encode_to_vec());
    }
}
