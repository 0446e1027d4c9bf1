//! Graphs that hold Q/DQ already: taking them out, making TensorRT read them, and FP16 beside them.

mod common;

use common::*;
use prost::Message;
use trt_onnx::proto::{ModelProto, NodeProto, TypeValue, elem};
use trt_onnx::{Fp16Options, Model, OnnxError, QuantOptions, adapt_qdq, quantize, strip_qdq, to_fp16};

fn operators(model: &Model) -> Vec<String> {
    graph_of(model).node.iter().map(|node| node.op().to_owned()).collect()
}

fn floats(model: &Model, name: &str) -> Vec<f32> {
    let graph = graph_of(model);
    let tensor = graph.initializer.iter().find(|tensor| tensor.name() == name).expect(name);
    tensor.raw_data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn stripping_leaves_the_operators_with_float_weights() {
    let mut model = read(&quantized_convolution(elem::INT8, 0));
    let report = strip_qdq(&mut model).unwrap();
    assert_eq!((report.pairs, report.folded, report.clips), (2, 2, 0));
    assert_eq!(report.left, []);
    assert!(!model.has_qdq());
    assert_eq!(operators(&model), ["Conv", "Identity"], "the output keeps its name");
    assert_eq!(find(&graph_of(&model), "Conv").input, ["x", "w", "b"]);
    assert_eq!(floats(&model, "w"), [0.5, 1.0, 1.5, -1.0, -1.25, -1.5]);
    assert_eq!(floats(&model, "b"), [250.0, -1.0]);
    assert_eq!(graph_of(&model).initializer.len(), 2, "a scale is still there");
    read(&proto(&model));
}

#[test]
fn an_asymmetric_pair_leaves_what_it_saturates_at() {
    let mut model = read(&quantized_convolution(elem::UINT8, 0));
    assert_eq!(strip_qdq(&mut model).unwrap().clips, 2);
    assert_eq!(operators(&model), ["Clip", "Conv", "Clip"]);
    let clip = find(&graph_of(&model), "Clip").clone();
    assert_eq!((floats(&model, &clip.input[1]), floats(&model, &clip.input[2])), (vec![0.0], vec![127.5]));
}

#[test]
fn no_zero_point_is_uint8_and_saturates_at_zero_as_well() {
    let mut proto = quantized_convolution(elem::UINT8, 0);
    for node in proto.graph.as_mut().unwrap().node.iter_mut().filter(|node| node.input.contains(&"s".into()))
    {
        node.input.truncate(2);
    }
    let mut model = read(&proto);
    assert_eq!(strip_qdq(&mut model).unwrap().clips, 2);
    let clip = find(&graph_of(&model), "Clip").clone();
    assert_eq!((floats(&model, &clip.input[1]), floats(&model, &clip.input[2])), (vec![0.0], vec![127.5]));
}

#[test]
fn stripping_what_was_inserted_gives_the_first_graph_again() {
    let original = convolution(13);
    let mut model = read(&original);
    quantize(&mut model, &|_| Some(0.1), &QuantOptions::default()).unwrap();
    strip_qdq(&mut model).unwrap();
    let (found, expected) = (graph_of(&model), original.graph.unwrap());
    assert_eq!(found.node.iter().map(NodeProto::op).collect::<Vec<_>>(), ["Conv"]);
    assert_eq!((found.node[0].input(0), found.node[0].input(2)), (Some("x"), Some("b")));
    let weight = floats(&model, &found.node[0].input[1]);
    let close =
        weight.iter().zip(&expected.initializer[0].float_data).all(|(a, b)| (a - b).abs() < 0.6 / 254.0);
    assert!(close, "{weight:?}");
}

#[test]
fn float_weights_behind_a_pair_are_read_directly() {
    let nodes = vec![
        node("QuantizeLinear", &["w", "s", "z"], &["wq"]).with_int("axis", 0),
        node("DequantizeLinear", &["wq", "s", "z"], &["wd"]).with_int("axis", 0),
        node("Conv", &["x", "wd"], &["y"]),
    ];
    let stored =
        vec![weight("w", &[2, 3, 1, 1]), scale("s", &[0.5, 0.25]), integers("z", elem::INT8, &[2], &[0, 0])];
    let (input, output) = (value("x", &[1, 3, 4, 4]), value("y", &[1, 2, 4, 4]));
    let mut model = read(&model(13, graph(nodes, stored, vec![input], vec![output])));
    assert_eq!(strip_qdq(&mut model).unwrap().pairs, 1);
    let graph = graph_of(&model);
    assert_eq!((graph.node.len(), graph.initializer.len()), (1, 1));
    assert_eq!(graph.node[0].input, ["x", "w"]);
}

#[test]
fn integers_that_are_computed_keep_their_nodes_and_are_named() {
    let nodes = vec![
        node("QuantizeLinear", &["x", "s", "z"], &["q"]),
        node("MaxPool", &["q"], &["p"]).with_ints("kernel_shape", &[2, 2]),
        node("DequantizeLinear", &["p", "s", "z"], &["d"]),
        node("QuantizeLinear", &["d", "s", "z"], &["e"]),
        node("DequantizeLinear", &["e", "s", "z"], &["f"]),
        node("Relu", &["f"], &["y"]),
    ];
    let stored = vec![scale("s", &[0.5]), integers("z", elem::INT8, &[], &[0])];
    let (input, output) = (value("x", &[1, 1, 4, 4]), value("y", &[1, 1, 3, 3]));
    let mut model = read(&model(13, graph(nodes, stored, vec![input], vec![output])));
    let report = strip_qdq(&mut model).unwrap();
    let left: Vec<&str> = report.left.iter().map(|left| left.node.as_str()).collect();
    assert_eq!((report.pairs, left), (1, vec!["`d_node`", "`q_node`"]));
    assert!(report.left[0].reason.contains("`p` is computed in integers"), "{:?}", report.left);
    assert_eq!(operators(&model), ["QuantizeLinear", "MaxPool", "DequantizeLinear", "Relu"]);
    assert_eq!(find(&graph_of(&model), "Relu").input, ["d"]);
}

#[test]
fn integer_biases_become_floats_and_nothing_else_changes() {
    let mut model = read(&quantized_convolution(elem::INT8, 0));
    assert_eq!(adapt_qdq(&mut model).unwrap().biases, 1);
    assert_eq!(floats(&model, "b"), [250.0, -1.0]);
    let expected: Vec<_> = quantized_convolution(elem::INT8, 0).graph.unwrap().node;
    let found = graph_of(&model).node;
    assert!(found.iter().all(|node| expected.contains(node)) && found.len() + 1 == expected.len());
    let before = model.to_bytes().unwrap();
    assert_eq!(adapt_qdq(&mut model).unwrap().biases, 0);
    assert_eq!(model.to_bytes().unwrap(), before);
}

#[test]
fn what_int8_does_not_mean_is_refused_with_its_node() {
    let refusal = |proto: &ModelProto| {
        let mut model = read(proto);
        let error = adapt_qdq(&mut model).unwrap_err();
        assert!(error.to_string().contains("`xq_node`"), "{error}");
        assert_eq!(model.to_bytes().unwrap(), proto.encode_to_vec(), "the model is touched");
        error
    };
    for (data_type, expected) in [(elem::UINT8, 127), (elem::INT8, -128)] {
        let error = refusal(&quantized_convolution(data_type, expected));
        assert!(
            matches!(error, OnnxError::Asymmetric { zero_point, .. } if zero_point == expected),
            "{error}"
        );
    }
    // TensorRT would read it as INT8 and cut everything above half the range off.
    let mut unsigned = quantized_convolution(elem::UINT8, 0);
    assert!(matches!(refusal(&unsigned), OnnxError::Unsigned { .. }));
    // No zero point is UINT8 as well, by ONNX's default.
    for node in
        unsigned.graph.as_mut().unwrap().node.iter_mut().filter(|node| node.input.contains(&"s".into()))
    {
        node.input.truncate(2);
    }
    assert!(matches!(refusal(&unsigned), OnnxError::Unsigned { .. }));
    // With operators between the pair that read integers the type cannot change.
    let mut between = quantized_convolution(elem::UINT8, 128);
    let nodes = &mut between.graph.as_mut().unwrap().node;
    nodes.insert(1, node("Identity", &["xq"], &["xi"]));
    nodes[2].input[0] = "xi".into();
    assert!(matches!(refusal(&between), OnnxError::Asymmetric { zero_point: 128, .. }));
}

#[test]
fn a_stated_int8_needs_no_zero_point() {
    let mut proto = quantized_convolution(elem::INT8, 0);
    proto.opset_import[0].version = Some(21);
    for node in &mut proto.graph.as_mut().unwrap().node {
        if node.input.contains(&"z".into()) {
            node.input.truncate(2);
            if node.op() == "QuantizeLinear" {
                *node = node.clone().with_int("output_dtype", elem::INT8.into());
            }
        }
    }
    assert_eq!(adapt_qdq(&mut read(&proto)).unwrap().signed, 0);
}

#[test]
fn uint8_around_128_becomes_int8_that_means_the_same() {
    let mut proto = quantized_convolution(elem::UINT8, 128);
    let graph = proto.graph.as_mut().unwrap();
    let mut stated = value("xq", &[1, 3, 4, 4]);
    let Some(TypeValue::Tensor(tensor)) = stated.r#type.as_mut().unwrap().value.as_mut() else { panic!() };
    tensor.elem_type = Some(elem::UINT8);
    graph.value_info = vec![stated];
    let mut model = read(&proto);
    assert_eq!(adapt_qdq(&mut model).unwrap().signed, 2, "the input and the output");
    let graph = graph_of(&model);
    for node in graph.node.iter().filter(|node| node.input.get(1).is_some_and(|scale| scale == "s")) {
        let zero = graph.initializer.iter().find(|tensor| tensor.name() == node.input[2]).unwrap();
        assert_eq!((zero.data_type(), zero.dims.len(), zero.raw_data()), (elem::INT8, 0, &[0u8][..]));
    }
    assert!(graph.initializer.iter().all(|tensor| tensor.name() != "z"), "the old zero point is still there");
    let Some(TypeValue::Tensor(tensor)) = &graph.value_info[0].r#type.as_ref().unwrap().value else {
        panic!()
    };
    assert_eq!(tensor.elem_type(), elem::INT8);
    read(&common::proto(&model));
}

#[test]
fn stored_integers_lose_their_zero_point_where_int8_holds_the_rest() {
    type Case = (i32, [i32; 6], [i32; 2], Option<[i8; 6]>);
    let cases: [Case; 7] = [
        (elem::UINT8, [129, 130, 131, 0, 255, 128], [128, 128], Some([1, 2, 3, -128, 127, 0])),
        (elem::UINT8, [5, 6, 7, 255, 254, 253], [5, 200], Some([0, 1, 2, 55, 54, 53])),
        (elem::UINT8, [0, 1, 127, 3, 4, 5], [0, 0], Some([0, 1, 127, 3, 4, 5])),
        (elem::UINT8, [0, 1, 128, 3, 4, 5], [0, 0], None),
        (elem::UINT8, [0, 1, 128, 3, 4, 129], [1, 0], None),
        (elem::INT8, [-5, 0, 100, -100, 5, 6], [-5, 7], Some([0, 5, 105, -107, -2, -1])),
        (elem::INT8, [-5, 0, 127, -100, 5, 6], [-5, 7], None),
    ];
    for (data_type, values, zeros, expected) in cases {
        let mut proto = quantized_convolution(elem::INT8, 0);
        let stored = &mut proto.graph.as_mut().unwrap().initializer;
        stored[2] = integers("wq", data_type, &[2, 3, 1, 1], &values);
        stored[4] = integers("wz", data_type, &[2], &zeros);
        let mut model = read(&proto);
        let mut stripped = model.clone();
        let adapted = adapt_qdq(&mut model);
        let Some(expected) = expected else {
            let error = adapted.unwrap_err();
            assert!(error.to_string().contains("`w_node`"), "{values:?}: {error}");
            continue;
        };
        assert_eq!(adapted.unwrap().signed, 1, "{values:?}");
        let graph = graph_of(&model);
        let node = producer(&graph, "w");
        let tensor = |at: usize| {
            let tensor = graph.initializer.iter().find(|tensor| tensor.name() == node.input[at]).unwrap();
            assert_eq!(tensor.data_type(), elem::INT8);
            tensor.raw_data().iter().map(|byte| byte.cast_signed()).collect::<Vec<i8>>()
        };
        assert_eq!((tensor(0), tensor(2)), (expected.to_vec(), vec![0, 0]), "{values:?}");
        strip_qdq(&mut stripped).unwrap();
        strip_qdq(&mut model).unwrap();
        assert_eq!(floats(&model, "w"), floats(&stripped, "w"), "{values:?}");
    }
}

#[test]
fn data_that_does_not_fit_its_shape_is_refused_and_the_model_kept() {
    for (at, bad) in [
        (2, integers("wq", elem::INT8, &[2, 3, 1, 1], &[1, 2])),
        (3, scale("ws", &[0.5, 0.5, 0.5])),
        (4, integers("wz", elem::INT8, &[3], &[0, 0, 0])),
        (6, scale("bs", &[1.0, 2.0, 3.0])),
    ] {
        let mut proto = quantized_convolution(elem::INT8, 0);
        proto.graph.as_mut().unwrap().initializer[at] = bad;
        let mut model = read(&proto);
        let error = strip_qdq(&mut model).unwrap_err();
        assert!(matches!(error, OnnxError::BadTensor { .. }), "{at}: {error}");
        assert_eq!(model.to_bytes().unwrap(), proto.encode_to_vec());
    }
}

#[test]
fn what_is_not_int8_becomes_float16_without_a_cast_between() {
    let mut model = read(&quantized_convolution(elem::INT8, 0));
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!((report.converted, report.opset_raised), (1, Some((13, 19))));
    assert_eq!(report.kept, []);
    assert_eq!(
        operators(&model),
        [
            "Cast",
            "QuantizeLinear",
            "DequantizeLinear",
            "DequantizeLinear",
            "Conv",
            "QuantizeLinear",
            "DequantizeLinear",
            "Cast"
        ]
    );
    let graph = graph_of(&model);
    for tensor in &graph.initializer {
        assert!(tensor.data_type() != elem::FLOAT, "{}", tensor.name());
    }
}

#[test]
fn a_node_that_stays_float32_reads_the_integers_once_more() {
    let mut model = read(&quantized_convolution(elem::INT8, 0));
    let options = Fp16Options { keep: vec!["c".into(), "nothing".into()], ..Fp16Options::default() };
    let report = to_fp16(&mut model, &options).unwrap();
    assert_eq!((report.kept[0].node.as_str(), report.unmatched), ("`c_node`", vec!["nothing".to_owned()]));
    let graph = graph_of(&model);
    let conv = find(&graph, "Conv");
    for input in &conv.input[..2] {
        let dequantize = producer(&graph, input);
        assert_eq!(dequantize.op(), "DequantizeLinear");
        let scale = graph.initializer.iter().find(|tensor| tensor.name() == dequantize.input[1]).unwrap();
        assert_eq!(scale.data_type(), elem::FLOAT);
    }
    read(&proto(&model));
}

#[test]
fn a_scale_that_float16_does_not_hold_keeps_its_reader() {
    for (scales, kept) in
        [([1e-6, 1e-6], true), ([1e5, 1e5], true), ([1e-3, 1e-9], false), ([1e-3, 1e-2], false)]
    {
        let mut proto = quantized_convolution(elem::INT8, 0);
        proto.graph.as_mut().unwrap().initializer[3] = scale("ws", &scales);
        let mut model = read(&proto);
        let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
        assert_eq!(report.kept.len(), usize::from(kept), "{scales:?}: {:?}", report.kept);
        read(&common::proto(&model));
    }
}
