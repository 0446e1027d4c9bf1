//! Which values a simulated INT8 engine rounds.

mod common;

use std::collections::BTreeMap;

use common::*;
use trt_onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto, elem};
use trt_onnx::{Only, OnnxError, QuantOptions, Scope, SimulateOptions, SimulateReport, quantize, simulate};

fn all(_: &str) -> Option<f32> {
    Some(0.5)
}

fn all_layers() -> SimulateOptions {
    SimulateOptions { scope: Scope::AllLayers, ..SimulateOptions::default() }
}

fn of(nodes: Vec<NodeProto>) -> ModelProto {
    let last = nodes.last().and_then(|node| node.output.first().cloned()).unwrap();
    let stored = vec![weight("w", &[3, 3, 1, 1]), weight("c", &[1])];
    model(13, graph(nodes, stored, vec![value("x", &[1, 3, 8, 8])], vec![value(&last, &[])]))
}

fn simulated(proto: &ModelProto, options: &SimulateOptions) -> (GraphProto, SimulateReport) {
    let mut model = read(proto);
    let report = simulate(&mut model, &all, options).unwrap();
    read(&self::proto(&model)); // It must still hold together.
    (graph_of(&model), report)
}

/// By each node that rounds what it reads: which of its inputs, as `node: input input`.
fn rounds(graph: &GraphProto) -> Vec<String> {
    let origin: BTreeMap<&str, &str> = (graph.node.iter())
        .filter(|node| node.op() == "QuantizeLinear")
        .map(|node| (node.output[0].as_str(), node.input[0].as_str()))
        .collect();
    let rounded: BTreeMap<&str, &str> = (graph.node.iter())
        .filter(|node| node.op() == "DequantizeLinear")
        .filter_map(|node| Some((node.output[0].as_str(), *origin.get(node.input[0].as_str())?)))
        .collect();
    let reads = |node: &NodeProto| {
        let inputs: Vec<&str> =
            node.input.iter().filter_map(|input| rounded.get(input.as_str()).copied()).collect();
        (!inputs.is_empty()).then(|| format!("{}: {}", node.output[0], inputs.join(" ")))
    };
    graph.node.iter().filter_map(reads).collect()
}

#[test]
fn weighted_layers_are_those_that_explicit_quantization_has() {
    let nodes = || {
        vec![
            node("Conv", &["x", "w"], &["a"]),
            node("Relu", &["a"], &["r"]),
            node("MaxPool", &["r"], &["p"]).with_ints("kernel_shape", &[1, 1]),
            node("Conv", &["p", "w"], &["b"]),
            node("Add", &["b", "p"], &["y"]),
        ]
    };
    let (graph, report) = simulated(&of(nodes()), &SimulateOptions::default());
    assert_eq!(rounds(&graph), ["a: x", "b: p", "y: p"]);
    let mut explicit = read(&of(nodes()));
    let expected = quantize(&mut explicit, &all, &QuantOptions::default()).unwrap();
    assert_eq!(report.quantized, expected.quantized);
    assert_eq!(rounds(&graph_of(&explicit)), rounds(&graph));
    let tensors: Vec<_> =
        report.tensors.iter().map(|t| (t.name.as_str(), t.rounded.as_str(), t.scale)).collect();
    assert_eq!(tensors, [("x", "x_dequantized", 0.5), ("p", "p_dequantized", 0.5)]);
}

#[test]
fn all_layers_round_what_leaves_a_kernel_and_nothing_inside_one() {
    let conv = |input: &str, output: &str| node("Conv", &[input, "w"], &[output]);
    type Case = (&'static str, Vec<NodeProto>, &'static [&'static str]);
    let cases: [Case; 12] = [
        ("an activation function", vec![conv("x", "a"), node("Relu", &["a"], &["y"])], &["a: x"]),
        (
            "functions in a row",
            vec![conv("x", "a"), node("Mul", &["a", "c"], &["m"]), node("Clip", &["m"], &["y"])],
            &["a: x"],
        ),
        (
            "a Swish",
            vec![conv("x", "a"), node("Sigmoid", &["a"], &["s"]), node("Mul", &["a", "s"], &["y"])],
            &["a: x"],
        ),
        (
            "a Swish whose gate has another reader",
            vec![
                conv("x", "a"),
                node("Sigmoid", &["a"], &["s"]),
                node("Mul", &["a", "s"], &["m"]),
                node("Add", &["s", "m"], &["y"]),
            ],
            &["a: x", "s: a", "m: a s", "y: s"],
        ),
        (
            "a residual",
            vec![
                conv("x", "a"),
                node("Relu", &["a"], &["r"]),
                conv("r", "b"),
                node("Add", &["r", "b"], &["s"]),
                node("Relu", &["s"], &["y"]),
            ],
            &["a: x", "b: r", "s: r"],
        ),
        (
            "a residual of Swishes",
            vec![
                conv("x", "a"),
                node("Sigmoid", &["a"], &["sa"]),
                node("Mul", &["a", "sa"], &["ma"]),
                conv("ma", "b"),
                node("Sigmoid", &["b"], &["sb"]),
                node("Mul", &["b", "sb"], &["mb"]),
                node("Add", &["ma", "mb"], &["y"]),
            ],
            &["a: x", "b: ma", "y: ma"],
        ),
        (
            "of two convolutions the earlier is stored",
            vec![conv("x", "a"), conv("x", "b"), node("Add", &["b", "a"], &["y"])],
            &["a: x", "b: x", "y: a"],
        ),
        (
            "a value with two readers is stored",
            vec![
                conv("x", "a"),
                node("Relu", &["a"], &["r"]),
                node("Tanh", &["a"], &["t"]),
                node("Concat", &["r", "t"], &["y"]),
            ],
            &["a: x", "r: a", "t: a", "y: r t"],
        ),
        (
            "pools, parts and joints read what is stored",
            vec![
                node("MaxPool", &["x"], &["p"]).with_ints("kernel_shape", &[1, 1]),
                node("Split", &["p"], &["l", "r"]),
                node("Concat", &["l", "r", "w"], &["j"]),
                node("Transpose", &["j"], &["t"]),
                conv("t", "y"),
            ],
            &["p: x", "l: p", "j: l r", "t: j", "y: t"],
        ),
        (
            "no INT8, no rounding",
            vec![conv("x", "a"), node("Softmax", &["a"], &["s"]), node("Relu", &["s"], &["y"])],
            &["a: x", "y: s"],
        ),
        ("products of two activations", vec![node("MatMul", &["x", "x"], &["y"])], &["y: x x"]),
        (
            "what only shapes decide",
            vec![
                node("Shape", &["x"], &["shape"]),
                node("Cast", &["shape"], &["size"]).with_int("to", i64::from(elem::FLOAT)),
                node("Relu", &["size"], &["factor"]),
                node("Mul", &["x", "factor"], &["y"]),
            ],
            &["y: x"],
        ),
    ];
    for (what, nodes, expected) in cases {
        let (graph, report) = simulated(&of(nodes), &all_layers());
        assert_eq!(rounds(&graph), expected, "{what}");
        assert_eq!(report.quantized.len(), expected.len(), "{what}");
        let left_out = if what.starts_with("no INT8") { 1 } else { 0 };
        assert_eq!(report.skipped.len(), left_out, "{what}: {:?}", report.skipped);
    }
}

#[test]
fn an_intermediate_output_of_the_model_is_stored() {
    let mut proto = of(vec![node("Conv", &["x", "w"], &["a"]), node("Relu", &["a"], &["y"])]);
    proto.graph.as_mut().unwrap().output.push(value("a", &[]));
    assert_eq!(rounds(&simulated(&proto, &all_layers()).0), ["a: x", "y: a"]);
}

#[test]
fn layers_without_scales_and_kept_ones_are_skipped_with_the_reason() {
    let proto = of(vec![
        node("Conv", &["x", "w"], &["a"]),
        node("MaxPool", &["a"], &["p"]).with_ints("kernel_shape", &[1, 1]),
        node("AveragePool", &["p"], &["q"]).with_ints("kernel_shape", &[1, 1]),
        node("Transpose", &["q"], &["y"]),
    ]);
    let mut model = read(&proto);
    let options = SimulateOptions { keep: vec!["y_node".into(), "ghost".into()], ..all_layers() };
    let report = simulate(&mut model, &|name| (name != "q").then_some(0.5), &options).unwrap();
    assert_eq!(rounds(&graph_of(&model)), ["a: x", "p: a"]);
    let skipped: Vec<_> = report.skipped.iter().map(|s| (s.node.as_str(), s.reason.as_str())).collect();
    assert_eq!(
        skipped,
        [("`q_node`", "no scale for `q`: the table does not list it"), ("`y_node`", "kept by name")]
    );
    assert_eq!(report.unmatched, ["ghost"]);
}

#[test]
fn one_layer_or_one_activation_can_be_rounded_alone() {
    let proto = of(vec![
        node("Conv", &["x", "w"], &["a"]),
        node("Conv", &["a", "w"], &["b"]),
        node("Conv", &["a", "w"], &["y"]),
    ]);
    let only = |only: Only| SimulateOptions { only, ..SimulateOptions::default() };
    let rounded_weights = |graph: &GraphProto| {
        graph.node.iter().filter(|node| node.op() == "Conv" && node.input[1] != "w").count()
    };
    for (options, expected, weights) in [
        (only(Only::Layers(vec!["b_node".into()])), vec!["b: a"], 1),
        (only(Only::Layers(vec!["y".into(), "a".into()])), vec!["a: x", "y: a"], 2),
        (only(Only::Activations(vec!["a".into()])), vec!["b: a", "y: a"], 0),
        (SimulateOptions { weights: false, ..SimulateOptions::default() }, vec!["a: x", "b: a", "y: a"], 0),
    ] {
        let (graph, report) = simulated(&proto, &options);
        assert_eq!(
            (rounds(&graph), rounded_weights(&graph)),
            (expected.iter().map(|s| s.to_string()).collect(), weights),
            "{options:?}"
        );
        assert_eq!(report.quantized.len(), expected.len());
    }
    let mut model = read(&proto);
    let nothing = simulate(&mut model, &all, &only(Only::Activations(vec!["ghost".into()]))).unwrap_err();
    assert!(matches!(nothing, OnnxError::NothingQuantized { .. }));
    assert_eq!(self::proto(&model), proto, "on an error the model is as it was");
}

#[test]
fn folded_weights_are_the_floats_that_int8_stands_for() {
    let nodes = || {
        vec![
            node("Transpose", &["linear"], &["turned"]),
            node("MatMul", &["x", "turned"], &["m"]),
            node("Gemm", &["m", "gemm"], &["g"]).with_int("transB", 1),
            node("MatMul", &["g", "vector"], &["y"]),
        ]
    };
    let stored = || vec![weight("linear", &[5, 4]), weight("gemm", &[3, 5]), weight("vector", &[3])];
    let proto = model(13, graph(nodes(), stored(), vec![value("x", &[2, 4])], vec![value("y", &[2])]));
    let (folded, _) = simulated(&proto, &SimulateOptions::default());
    let (int8, _) = simulated(&proto, &SimulateOptions { fold_weights: false, ..SimulateOptions::default() });
    let tensor = |graph: &GraphProto, name: &str| -> TensorProto {
        graph.initializer.iter().find(|tensor| tensor.name() == name).unwrap().clone()
    };
    let floats = |tensor: &TensorProto| -> Vec<f32> {
        tensor.raw_data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    for output in ["m", "g", "y"] {
        let rounded = tensor(&folded, &producer(&folded, output).input[1]);
        let dequantize = producer(&int8, &producer(&int8, output).input[1]);
        let values = tensor(&int8, &dequantize.input[0]);
        let scales = floats(&tensor(&int8, &dequantize.input[1]));
        assert_eq!(rounded.dims, values.dims, "{output}");
        let inner: i64 = match dequantize.attribute("axis") {
            Some(axis) => values.dims[axis.i() as usize + 1..].iter().product(),
            None => values.dims.iter().product(),
        };
        let expected: Vec<f32> = (values.raw_data().iter().enumerate())
            .map(|(at, &byte)| f32::from(byte.cast_signed()) * scales[at / inner as usize % scales.len()])
            .collect();
        assert_eq!(floats(&rounded), expected, "{output}");
    }
    for gone in ["linear", "gemm", "vector"] {
        assert!(folded.initializer.iter().all(|tensor| tensor.name() != gone), "{gone} is still there");
    }
}

#[test]
fn folded_weights_do_with_old_operator_sets() {
    for (opset, fold_weights, raised) in
        [(10, true, None), (12, true, None), (12, false, Some((12, 13))), (13, false, None)]
    {
        let mut model = read(&convolution(opset));
        let options = SimulateOptions { fold_weights, ..SimulateOptions::default() };
        let report = simulate(&mut model, &all, &options).unwrap();
        assert_eq!(report.opset_raised, raised, "operator set {opset}");
    }
    let old = simulate(&mut read(&convolution(9)), &all, &SimulateOptions::default()).unwrap_err();
    assert!(matches!(old, OnnxError::OpsetTooOld { opset: 9 }));
    let twice = simulate(&mut read(&quantized_convolution(elem::INT8, 0)), &all, &all_layers()).unwrap_err();
    assert!(matches!(twice, OnnxError::AlreadyQuantized { .. }));
}
