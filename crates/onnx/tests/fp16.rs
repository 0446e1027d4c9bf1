//! Converting to FP16.

mod common;

use common::*;
use prost::Message;
use trt_onnx::proto::{NodeProto, TensorProto, TypeValue, elem};
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
    assert!(report.kept[0].reason.contains("does not hold a number in `w`"), "{:?}", report.kept);
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

#[test]
fn a_normalisation_written_out_stays_float32_until_it_has_divided() {
    let nodes = vec![
        node("ReduceMean", &["x"], &["mean"]).with_ints("axes", &[-1]),
        node("Sub", &["x", "mean"], &["centred"]),
        node("Pow", &["centred", "two"], &["square"]),
        node("ReduceMean", &["square"], &["variance"]).with_ints("axes", &[-1]),
        node("Add", &["variance", "epsilon"], &["sum"]),
        node("Sqrt", &["sum"], &["deviation"]),
        node("Div", &["centred", "deviation"], &["normal"]),
        node("Mul", &["normal", "gain"], &["y"]),
    ];
    let one = |name: &str, value| TensorProto { float_data: vec![value], ..weight(name, &[]) };
    // An epsilon that float16 holds: the Add stays for what is around it, not for its number.
    let weights = vec![one("two", 2.0), one("epsilon", 0.001), weight("gain", &[4])];
    let proto = model(17, graph(nodes, weights, vec![value("x", &[2, 4])], vec![value("y", &[2, 4])]));
    let mut model = read(&proto);
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    let kept: Vec<&str> = report.kept.iter().map(|kept| kept.op.as_str()).collect();
    assert_eq!(kept, ["ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div"]);
    assert_eq!(report.converted, 1, "Mul");
    assert_eq!(report.opset_raised, None);
    let mut model = read(&proto);
    let options = Fp16Options { keep_ops: vec![], ..Fp16Options::default() };
    assert_eq!(to_fp16(&mut model, &options).unwrap().kept, []);
}

#[test]
fn an_epsilon_that_would_become_nothing_keeps_its_node_and_the_division() {
    let nodes = vec![node("Add", &["x", "epsilon"], &["s"]), node("Div", &["x", "s"], &["y"])];
    for (epsilon, kept) in [(1e-12, 2), (1e-6, 2), (0.0, 0), (0.5, 0)] {
        let stored = vec![TensorProto { float_data: vec![epsilon], ..weight("epsilon", &[]) }];
        let proto = model(13, graph(nodes.clone(), stored, vec![value("x", &[2])], vec![value("y", &[2])]));
        let report = to_fp16(&mut read(&proto), &Fp16Options::default()).unwrap();
        assert_eq!(report.kept.len(), kept, "{epsilon:e}: {:?}", report.kept);
    }
}

#[test]
fn numbers_that_stand_for_infinity_are_limited_and_named() {
    let nodes = vec![node("Where", &["c", "x", "never"], &["m"]), node("Clip", &["m", "", "never"], &["y"])];
    let stored = vec![TensorProto { float_data: vec![f32::MIN], ..weight("never", &[]) }];
    let mut condition = value("c", &[2]);
    let Some(TypeValue::Tensor(tensor)) = condition.r#type.as_mut().unwrap().value.as_mut() else { panic!() };
    tensor.elem_type = Some(elem::BOOL);
    let inputs = vec![value("x", &[2]), condition];
    let mut model = read(&model(13, graph(nodes, stored, inputs, vec![value("y", &[2])])));
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!((report.converted, report.clamped), (2, vec!["never".to_owned()]));
    assert_eq!(graph_of(&model).initializer[0].raw_data()[..], 0xfbffu16.to_le_bytes(), "-65504");
}

#[test]
fn control_flow_stays_float32_with_what_its_bodies_read() {
    let body = |name: &str| {
        let nodes = vec![node("Relu", &["a"], &[name])];
        graph(nodes, vec![], vec![], vec![value(name, &[2])])
    };
    let choice =
        node("If", &["c"], &["b"]).with_body("then_branch", body("t")).with_body("else_branch", body("e"));
    let nodes = vec![
        node("Sigmoid", &["x"], &["a"]),
        node("ReduceMax", &["a"], &["most"]),
        node("Greater", &["most", "half"], &["c"]),
        choice,
        node("Tanh", &["b"], &["y"]),
    ];
    let stored = vec![TensorProto { float_data: vec![0.5], ..weight("half", &[]) }];
    let mut model = read(&model(13, graph(nodes, stored, vec![value("x", &[2])], vec![value("y", &[2])])));
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!((report.converted, report.kept.len()), (4, 1));
    assert!(report.kept[0].reason.contains("it has a body of its own"), "{:?}", report.kept);
    let graph = graph_of(&model);
    assert_eq!(producer(&graph, "a").op(), "Cast", "the body reads `a` in float32");
    assert_ne!(find(&graph, "Tanh").input, ["b"]);
    read(&proto(&model));
}

#[test]
fn operator_sets_are_raised_to_19_for_the_sake_of_scales() {
    let nodes = vec![
        node("QuantizeLinear", &["x", "s"], &["q"]),
        node("DequantizeLinear", &["q", "s"], &["d"]),
        node("ReduceMax", &["d"], &["m"]).with_ints("axes", &[1]),
        node("Split", &["m"], &["l", "r"]).with_int("axis", 1),
        node("Add", &["l", "r"], &["y"]),
    ];
    let stored = vec![TensorProto { float_data: vec![0.5], ..weight("s", &[]) }];
    let outputs = vec![value("y", &[1, 1])];
    let mut model = read(&model(12, graph(nodes, stored, vec![value("x", &[1, 4, 2])], outputs)));
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!((report.opset_raised, model.opset(), model.ir_version()), (Some((12, 19)), 19, 9));
    let graph = graph_of(&model);
    assert!(find(&graph, "ReduceMax").attribute.iter().all(|attribute| attribute.name() != "axes"));
    assert_eq!(find(&graph, "ReduceMax").input.len(), 2);
    assert_eq!(find(&graph, "Split").int("num_outputs", 0), 2);
}
