//! Where Q/DQ nodes go, and with which numbers.

mod common;

use std::collections::HashSet;
use std::fs;

use common::*;
use prost::Message;
use trt_onnx::proto::{
    EXTERNAL, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, elem,
};
use trt_onnx::{Model, OnnxError, QuantOptions, QuantReport, quantize};

fn all(_: &str) -> Option<f32> {
    Some(0.5)
}

/// Quantizes everything, with 0.5 as every scale.
fn quantized(proto: &ModelProto) -> (GraphProto, QuantReport) {
    let mut model = read(proto);
    let report = quantize(&mut model, &all, &QuantOptions::default()).unwrap();
    read(&self::proto(&model)); // It must still hold together.
    (graph_of(&model), report)
}

fn stored<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
    let found = graph.initializer.iter().find(|tensor| tensor.name() == name);
    found.unwrap_or_else(|| panic!("`{name}` is not stored"))
}

/// The DequantizeLinear before input `index` of `node`.
fn before<'a>(graph: &'a GraphProto, node: &NodeProto, index: usize) -> &'a NodeProto {
    let dequantize = producer(graph, &node.input[index]);
    assert_eq!(dequantize.op(), "DequantizeLinear");
    dequantize
}

/// A network of one node `op(x, w) -> y`.
fn single(node: NodeProto, x: &[i64], w: &[i64]) -> ModelProto {
    let output = value("y", &vec![-1; x.len()]);
    model(13, graph(vec![node], vec![weight("w", w)], vec![value("x", x)], vec![output]))
}

#[test]
fn a_convolution_reads_quantized_values_and_keeps_its_bias() {
    let (graph, report) = quantized(&convolution(12));
    let conv = find(&graph, "Conv");
    let activation = before(&graph, conv, 0);
    let quantize = producer(&graph, &activation.input[0]);
    assert_eq!((quantize.op(), quantize.input[0].as_str()), ("QuantizeLinear", "x"));
    assert_eq!(quantize.input[1..], activation.input[1..], "Q and DQ share scale and zero point");
    assert_eq!(stored(&graph, &quantize.input[1]).raw_data(), 0.5f32.to_le_bytes());
    let zero = stored(&graph, &quantize.input[2]);
    assert_eq!((zero.data_type(), zero.raw_data(), &zero.dims[..]), (elem::INT8, &[0u8][..], &[][..]));

    let weight = before(&graph, conv, 1);
    assert_eq!(weight.int("axis", 9), 0);
    let values = stored(&graph, &weight.input[0]);
    assert_eq!((values.data_type(), &values.dims[..]), (elem::INT8, &[2, 3, 1, 1][..]));
    // Rows 0.1 -0.2 0.3 and -0.4 0.5 -0.6, each with its own largest magnitude.
    let int8: Vec<i8> = values.raw_data().iter().map(|byte| byte.cast_signed()).collect();
    assert_eq!(int8, [42, -85, 127, -85, 106, -127]);
    assert_eq!(conv.input[2], "b");
    assert!(graph.initializer.iter().all(|tensor| tensor.name() != "w"), "the FP32 weight is still there");
    assert_eq!((report.quantized.len(), report.tensors, report.opset_raised), (1, 1, Some((12, 13))));
    assert_eq!(report.quantized[0].node, "`y_node`");
    assert!(report.skipped.is_empty());
}

#[test]
fn weights_are_quantized_along_their_output_channels() {
    let conv = |op| node(op, &["x", "w"], &["y"]);
    type Dims = &'static [i64];
    let cases: [(NodeProto, Dims, Dims, Option<i64>); 8] = [
        (conv("Conv"), &[1, 3, 4, 4], &[2, 3, 1, 1], Some(0)),
        (conv("Conv").with_int("group", 3), &[1, 3, 4, 4], &[6, 1, 1, 1], Some(0)),
        (conv("ConvTranspose"), &[1, 3, 4, 4], &[3, 2, 1, 1], Some(1)),
        (conv("ConvTranspose").with_int("group", 3), &[1, 3, 4, 4], &[3, 2, 1, 1], None),
        (conv("Gemm"), &[1, 3], &[3, 2], Some(1)),
        (conv("Gemm").with_int("transB", 1), &[1, 3], &[2, 3], Some(0)),
        (conv("MatMul"), &[1, 3], &[3, 2], Some(1)),
        (conv("MatMul"), &[1, 3], &[3], None),
    ];
    for (node, x, w, axis) in cases {
        let (graph, _) = quantized(&single(node.clone(), x, w));
        let dequantize = before(&graph, find(&graph, node.op()), 1);
        assert_eq!(dequantize.attribute("axis").map(|axis| axis.i()), axis, "{node:?}");
        let scales = &stored(&graph, &dequantize.input[1]).dims;
        let expected: Vec<i64> = axis.iter().map(|&axis| w[axis as usize]).collect();
        assert_eq!(*scales, expected, "{node:?}");
    }
}

#[test]
fn products_with_the_weight_on_the_left_and_of_two_activations() {
    let (graph, _) = quantized(&single(node("MatMul", &["w", "x"], &["y"]), &[3, 4], &[2, 3]));
    let product = find(&graph, "MatMul");
    assert_eq!(before(&graph, product, 0).int("axis", 9), 0);
    assert_eq!(producer(&graph, &before(&graph, product, 1).input[0]).input[0], "x");

    let inputs = vec![value("a", &[2, 3]), value("b", &[3, 2])];
    let nodes = vec![node("MatMul", &["a", "b"], &["y"])];
    let (graph, report) =
        quantized(&model(13, crate::graph(nodes, vec![], inputs, vec![value("y", &[2, 2])])));
    assert_eq!((report.tensors, graph.node.len()), (2, 5));
}

/// `x` through two convolutions with one weight, a Relu beside them, and an Add of the second and the Relu.
fn residual() -> ModelProto {
    let nodes = vec![
        node("Relu", &["x"], &["r"]),
        node("Conv", &["r", "w"], &["a"]),
        node("Conv", &["r", "w"], &["c"]),
        node("Add", &["c", "r"], &["s"]),
        node("Add", &["s", "a"], &["y"]),
    ];
    let shape = [1, 3, 4, 4];
    model(
        13,
        graph(nodes, vec![weight("w", &[3, 3, 1, 1])], vec![value("x", &shape)], vec![value("y", &shape)]),
    )
}

#[test]
fn a_value_has_one_pair_for_all_int8_readers_and_a_shared_weight_is_stored_once() {
    let (graph, report) = quantized(&residual());
    let count = |op: &str| graph.node.iter().filter(|node| node.op() == op).count();
    // r once for two convolutions and an Add; s once; the weight once.
    assert_eq!((count("QuantizeLinear"), count("DequantizeLinear"), report.tensors), (2, 3, 2));
    assert_eq!(
        graph.initializer.iter().filter(|t| t.data_type() == elem::INT8 && t.dims.len() == 4).count(),
        1
    );
}

#[test]
fn a_residual_add_quantizes_the_branch_that_is_not_the_convolution() {
    let (graph, report) = quantized(&residual());
    let first = producer(&graph, "s");
    assert_eq!(first.input[0], "c", "the convolution's own result stays inside the kernel");
    assert_eq!(producer(&graph, &before(&graph, first, 1).input[0]).input[0], "r");
    let second = producer(&graph, "y");
    assert_eq!(
        (producer(&graph, &before(&graph, second, 0).input[0]).input[0].as_str(), second.input[1].as_str()),
        ("s", "a")
    );
    assert_eq!(report.quantized.len(), 4);

    let mut model = read(&residual());
    let options = QuantOptions { residual: false, ..QuantOptions::default() };
    assert_eq!(quantize(&mut model, &all, &options).unwrap().quantized.len(), 2);
}

#[test]
fn of_two_convolutions_the_later_one_keeps_its_result_whatever_the_order_of_the_operands() {
    for operands in [["early", "late"], ["late", "early"]] {
        let nodes = vec![
            node("Conv", &["x", "w"], &["early"]),
            node("Conv", &["x", "w"], &["late"]),
            node("Add", &operands, &["y"]),
        ];
        let shape = [1, 3, 4, 4];
        let weights = vec![weight("w", &[3, 3, 1, 1])];
        let (graph, _) =
            quantized(&model(13, graph(nodes, weights, vec![value("x", &shape)], vec![value("y", &shape)])));
        let sum = producer(&graph, "y");
        let early = operands.iter().position(|&name| name == "early").unwrap();
        assert_eq!(producer(&graph, &before(&graph, sum, early).input[0]).input[0], "early");
        assert_eq!(sum.input[1 - early], "late", "{operands:?}");
    }
}

#[test]
fn an_add_after_a_product_is_left_alone() {
    for product in ["MatMul", "Gemm"] {
        let nodes = vec![node(product, &["x", "w"], &["p"]), node("Add", &["x", "p"], &["y"])];
        let shape = [3, 3];
        let proto = model(
            13,
            graph(nodes, vec![weight("w", &shape)], vec![value("x", &shape)], vec![value("y", &shape)]),
        );
        let (graph, report) = quantized(&proto);
        assert_eq!(producer(&graph, "y").input, ["x", "p"], "{product}");
        assert_eq!((report.quantized.len(), report.skipped), (1, vec![]), "{product}");
    }
}

/// `x` times a stored `w` after `between`, whose last node computes `t`.
fn product_with(between: Vec<NodeProto>, w: &[i64]) -> ModelProto {
    let nodes = [between, vec![node("MatMul", &["x", "t"], &["y"])]].concat();
    let keep = vec![node("Conv", &["i", "k"], &["z"])];
    let inputs = vec![value("x", &[1, 3]), value("i", &[1, 1, 1, 1])];
    let outputs = vec![value("y", &[1, -1]), value("z", &[1, 1, 1, 1])];
    let weights = vec![weight("w", w), weight("k", &[1, 1, 1, 1])];
    model(13, graph([keep, nodes].concat(), weights, inputs, outputs))
}

#[test]
fn a_linear_layer_with_a_transposed_weight_is_quantized_by_its_output_channels() {
    let transpose = || node("Transpose", &["w"], &["t"]);
    for between in [
        vec![transpose()],
        vec![transpose().with_ints("perm", &[1, 0])],
        vec![node("Transpose", &["w"], &["u"]), node("Identity", &["u"], &["t"])],
        vec![node("Identity", &["w"], &["u"]), node("Transpose", &["u"], &["t"])],
    ] {
        let (graph, report) = quantized(&product_with(between, &[2, 3]));
        assert_eq!(report.skipped, []);
        let dequantize = before(&graph, find(&graph, "MatMul"), 1);
        assert_eq!(dequantize.int("axis", 9), 1);
        let values = stored(&graph, &dequantize.input[0]);
        // Rows 0.1 -0.2 0.3 and -0.4 0.5 -0.6, which have become columns.
        let int8: Vec<i8> = values.raw_data().iter().map(|byte| byte.cast_signed()).collect();
        assert_eq!((&values.dims[..], int8), (&[3, 2][..], vec![42, -85, -85, 106, 127, -127]));
        let left = |op: &str| graph.node.iter().any(|node| node.op() == op);
        assert!(!left("Transpose") && !left("Identity"), "a node that nobody reads is still there");
        assert!(
            graph.initializer.iter().all(|tensor| tensor.name() != "w"),
            "the FP32 weight is still there"
        );
    }
}

#[test]
fn a_weight_that_is_computed_from_constants_is_skipped_with_what_to_do() {
    for (between, w) in [
        (vec![node("Mul", &["w", "w"], &["t"])], &[3, 2][..]),
        (vec![node("Transpose", &["w"], &["t"])], &[2, 3, 1]),
        (vec![node("Transpose", &["w"], &["t"]).with_ints("perm", &[0, 1])], &[3, 2]),
    ] {
        let proto = product_with(between, w);
        let (graph, report) = quantized(&proto);
        let reasons: Vec<&str> = report.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
        assert_eq!(
            reasons,
            ["its weight is computed from constants: simplify the model first (onnxslim, onnxsim)"]
        );
        assert_eq!(producer(&graph, "t"), producer(proto.graph.as_ref().unwrap(), "t"));
    }
}

#[test]
fn operators_of_another_domain_are_not_those_of_onnx_with_the_same_name() {
    let vendor = |node: NodeProto| NodeProto { domain: Some("com.vendor".into()), ..node };
    let mut constant = node("Constant", &[], &["t"]).with_int("value", 0);
    constant.attribute[0].t = Some(Box::new(weight("", &[3, 2])));
    for between in [
        node("Identity", &["w"], &["t"]),
        constant,
        node("Transpose", &["w"], &["t"]),
        node("Multinomial", &["w"], &["t"]),
    ] {
        let proto = product_with(vec![vendor(between.clone())], &[3, 2]);
        let names: Vec<String> = read(&proto).activations().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["x", "i", "z", "y"], "{between:?}");
        let (graph, report) = quantized(&proto);
        assert_eq!((report.quantized.len(), report.skipped.len()), (1, 1), "{between:?}");
        assert_eq!(*producer(&graph, "t"), vendor(between));
        assert_eq!(stored(&graph, "w").dims, [3, 2]);
    }
}

#[test]
fn a_weight_that_others_read_stays() {
    for extra in [node("Relu", &["w"], &["z"]), node("Identity", &["w"], &["z"])] {
        let mut proto = convolution(13);
        let graph = proto.graph.as_mut().unwrap();
        graph.node.push(extra);
        graph.output.push(value("z", &[2, 3, 1, 1]));
        let (graph, _) = quantized(&proto);
        assert_eq!(stored(&graph, "w").dims, [2, 3, 1, 1]);
    }
}

#[test]
fn weights_listed_as_inputs_disappear_from_the_inputs() {
    let mut proto = convolution(13);
    proto.graph.as_mut().unwrap().input.push(value("w", &[2, 3, 1, 1]));
    let (graph, _) = quantized(&proto);
    assert_eq!(graph.input.iter().map(|input| input.name()).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn weights_in_constant_nodes_and_behind_identity_are_replaced() {
    let mut proto = convolution(13);
    let graph = proto.graph.as_mut().unwrap();
    let tensor = graph.initializer.remove(0);
    let mut constant = node("Constant", &[], &["stored"]).with_int("value", 0);
    constant.attribute[0].t = Some(Box::new(tensor));
    graph.node.splice(0..0, [constant, node("Identity", &["stored"], &["w"])]);
    let (graph, _) = quantized(&proto);
    let operators: Vec<&str> = graph.node.iter().map(NodeProto::op).collect();
    assert_eq!(operators, ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "Conv"]);
}

#[test]
fn what_cannot_be_quantized_is_skipped_with_the_reason() {
    let deep = |nodes, w: Vec<TensorProto>| {
        let keep = node("Conv", &["x", "keep"], &["z"]);
        let nodes = [vec![keep], nodes].concat();
        let weights = [vec![weight("keep", &[3, 3, 1, 1])], w].concat();
        model(13, graph(nodes, weights, vec![value("x", &[1, 3, 4, 4])], vec![value("y", &[1, 3, 4, 4])]))
    };
    let conv = |input| node("Conv", &[input, "w"], &["y"]);
    let relu = node("Relu", &["x"], &["r"]);
    let half = TensorProto { data_type: Some(elem::FLOAT16), ..weight("w", &[3, 3, 1, 1]) };
    let one_reader = deep(vec![relu, conv("r")], vec![weight("w", &[3, 3, 1, 1])]);
    let computed = deep(vec![node("Mul", &["x", "x"], &["w"]), conv("x")], vec![]);
    for (proto, scale_of_r, reason) in [
        (one_reader.clone(), None, "no scale for `r`"),
        (one_reader.clone(), Some(f32::NAN), "scale of `r`"),
        (one_reader.clone(), Some(f32::INFINITY), "scale of `r`"),
        (one_reader.clone(), Some(0.0), "scale of `r`"),
        (one_reader, Some(-1.0), "scale of `r`"),
        (deep(vec![conv("x")], vec![half]), Some(0.5), "not a float32 tensor: `w`"),
        (computed, Some(0.5), "computed: `w`"),
    ] {
        let mut model = read(&proto);
        let scales = |name: &str| if name == "r" { scale_of_r } else { Some(0.5) };
        let report = quantize(&mut model, &scales, &QuantOptions::default()).unwrap();
        let nodes: Vec<&str> = report.quantized.iter().map(|quantized| quantized.node.as_str()).collect();
        assert_eq!(nodes, ["`z_node`"], "{reason}");
        assert_eq!(report.skipped.len(), 1);
        assert!(report.skipped[0].reason.contains(reason), "{}", report.skipped[0].reason);
        assert_eq!(producer(&graph_of(&model), "y"), producer(proto.graph.as_ref().unwrap(), "y"));
    }
}

#[test]
fn options_leave_nodes_out_by_name_kind_and_size() {
    let defaults = QuantOptions::default;
    let named = |name: &str| QuantOptions { keep: vec![name.into()], ..defaults() };
    for (options, expected) in [
        (defaults(), vec!["a", "g", "t"]),
        (named("g"), vec!["a"]),
        (named("g_node"), vec!["a", "t"]),
        (QuantOptions { grouped: false, ..defaults() }, vec!["a", "t"]),
        (QuantOptions { transposed: false, ..defaults() }, vec!["a", "g"]),
        (QuantOptions { min_weight: 10, ..defaults() }, vec!["t"]),
    ] {
        let nodes = vec![
            node("Conv", &["x", "wa"], &["a"]),
            node("Conv", &["a", "wg"], &["g"]).with_int("group", 3),
            node("ConvTranspose", &["g", "wt"], &["t"]),
        ];
        let weights =
            vec![weight("wa", &[3, 3, 1, 1]), weight("wg", &[3, 1, 1, 1]), weight("wt", &[3, 4, 1, 1])];
        let output = value("t", &[1, 4, 4, 4]);
        let mut model =
            read(&model(13, graph(nodes, weights, vec![value("x", &[1, 3, 4, 4])], vec![output])));
        let report = quantize(&mut model, &all, &options).unwrap();
        let nodes: Vec<_> =
            report.quantized.iter().map(|q| q.node.replace(['`'], "").replace("_node", "")).collect();
        assert_eq!(nodes, expected, "{options:?}");
    }
}

#[test]
fn errors_leave_the_model_as_it_was() {
    let mut twice = read(&convolution(13));
    quantize(&mut twice, &all, &QuantOptions::default()).unwrap();
    let mut not_finite = convolution(12);
    not_finite.graph.as_mut().unwrap().initializer[0].float_data[3] = f32::NAN;
    let mut short = convolution(12);
    short.graph.as_mut().unwrap().initializer[0].float_data.pop();
    let bare = model(
        12,
        graph(vec![node("Relu", &["x"], &["y"])], vec![], vec![value("x", &[1])], vec![value("y", &[1])]),
    );
    for (mut model, scale, expected) in [
        (twice, Some(0.5), "the model is quantized already"),
        (read(&not_finite), Some(0.5), "a weight is not a finite number, in tensor: `w`"),
        (read(&short), Some(0.5), "the data of tensor `w`"),
        (read(&bare), Some(0.5), "it has no Conv"),
        (read(&convolution(12)), None, "`y_node`: no scale for `x`"),
        (read(&convolution(10)), Some(0.5), "too old to be quantized"),
    ] {
        let before = model.to_bytes().unwrap();
        let error = quantize(&mut model, &|_| scale, &QuantOptions::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(model.to_bytes().unwrap(), before, "{expected}");
    }
}

#[test]
fn external_weights_are_read_from_their_folder_and_only_the_replaced_ones_leave_it() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<u8> = (1..=6).flat_map(|value| (value as f32).to_le_bytes()).collect();
    fs::write(folder.path().join("w.data"), &values).unwrap();
    fs::write(folder.path().join("b.data"), [0; 8]).unwrap();
    let mut proto = convolution(13);
    for (tensor, file) in proto.graph.as_mut().unwrap().initializer.iter_mut().zip(["w.data", "b.data"]) {
        tensor.float_data.clear();
        tensor.data_location = Some(EXTERNAL);
        let (key, value) = (Some("location".into()), Some(file.into()));
        tensor.external_data = vec![StringStringEntryProto { key, value }];
    }
    let mut model = Model::from_bytes(proto.encode_to_vec(), Some(folder.path())).unwrap();
    quantize(&mut model, &all, &QuantOptions::default()).unwrap();
    let graph = graph_of(&model);
    let weight = before(&graph, find(&graph, "Conv"), 1);
    assert_eq!(stored(&graph, &weight.input[0]).raw_data(), [42, 85, 127, 85, 106, 127]);
    let files: Vec<_> = model.external_files().into_iter().map(|file| file.path).collect();
    assert_eq!(files, [std::path::PathBuf::from("b.data")]);

    let mut homeless = Model::from_bytes(proto.encode_to_vec(), None).unwrap();
    let error = quantize(&mut homeless, &all, &QuantOptions::default()).unwrap_err();
    assert!(matches!(error, OnnxError::ExternalWithoutFolder { .. }), "{error}");
}

#[test]
fn new_names_do_not_collide_with_old_ones() {
    let mut proto = convolution(13);
    let graph = proto.graph.as_mut().unwrap();
    graph.node[0].output[0] = "x_scale".into();
    graph.output[0].name = Some("x_scale".into());
    graph.node[0].name = Some("x_quantized_QuantizeLinear".into());
    let (graph, _) = quantized(&proto);
    let names: Vec<&str> = graph.node.iter().filter_map(|node| node.name.as_deref()).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
}
