//! Graphs made to cost time: what they cost grows with their size, not with its square.

mod common;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::*;
use trt_onnx::proto::{FunctionProto, ModelProto, NodeProto, elem};
use trt_onnx::{
    Fp16Options, Model, QuantOptions, Scope, Sharing, SimulateOptions, adapt_qdq, demand, expose,
    nonfinite_weights, obstacles, propagation, quantize, simulate, strip_qdq, to_fp16, upstream,
};

/// Quadratic time would be billions of steps.
const MANY: usize = 50_000;

/// `MANY` nodes made by number, then a Conv from `x` to `y` with the weight `weight_name`.
fn network(opset: i64, many: impl Fn(usize) -> NodeProto, weight_name: &str) -> ModelProto {
    let mut nodes: Vec<NodeProto> = (0..MANY).map(many).collect();
    nodes.push(node("Conv", &["x", weight_name], &["y"]));
    let weights = vec![weight("w", &[3, 3, 1, 1])];
    model(opset, graph(nodes, weights, vec![value("x", &[1, 3, 4, 4])], vec![value("y", &[1, 3, 4, 4])]))
}

/// Several times what each takes on an idle machine (0.5 to 1.2 s), and half or less of what quadratic time took.
fn limit() -> Duration {
    test_support::patience(Duration::from_secs(5))
}

/// Does everything that a model goes through, in time; gives the quantized one.
fn in_time(what: &str, proto: &ModelProto) -> ModelProto {
    // One at a time, so that they do not wait for each other with the clock running.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let start = Instant::now();
    let mut quantized = read(proto);
    assert!(!quantized.activations().is_empty());
    let mut half = quantized.clone();
    to_fp16(&mut half, &Fp16Options::default()).unwrap();
    quantize(&mut quantized, &|_| Some(0.5), &QuantOptions::default()).unwrap();
    let taken = start.elapsed();
    eprintln!("{what}: {taken:?}");
    assert!(taken < limit(), "{what}: {taken:?}");
    analyse(what, &read(proto));
    self::proto(&quantized)
}

/// Everything that is only looked at, or changed for an evaluation.
fn analyse(what: &str, model: &Model) {
    let start = Instant::now();
    propagation(model, Sharing::ALL).leaders();
    demand(model, &|_| Some(0.5), &[]);
    let found = obstacles(model);
    let foreign: Vec<usize> = found.foreign.iter().map(|node| node.index).collect();
    upstream(&mut model.clone(), &foreign).unwrap();
    nonfinite_weights(model).unwrap();
    let names: Vec<String> = model.activations().into_iter().map(|activation| activation.name).collect();
    let mut copy = model.clone();
    expose(&mut copy, &names);
    let options = SimulateOptions { scope: Scope::AllLayers, ..SimulateOptions::default() };
    simulate(&mut copy, &|_| Some(0.5), &options).unwrap();
    let taken = start.elapsed();
    eprintln!("{what}, looked at: {taken:?}");
    assert!(taken < limit(), "{what}, looked at: {taken:?}");
}

#[test]
fn a_weight_behind_a_long_chain_of_identities() {
    let name = |index: usize| if index == 0 { "w".to_owned() } else { format!("v{index}") };
    let link = |index| node("Identity", &[&name(index)], &[&name(index + 1)]);
    let graph = in_time("identities", &network(13, link, &name(MANY))).graph.unwrap();
    assert_eq!(graph.node.len(), 4, "the chain has no reader any more");
    assert!(graph.initializer.iter().all(|tensor| tensor.name() != "w"));
}

#[test]
fn many_softmax_nodes_with_stated_shapes_in_an_old_operator_set() {
    let softmax = |index| node("Softmax", &["x"], &[&format!("s{index}")]).with_int("axis", 3);
    let mut proto = network(11, softmax, "w");
    let stated = &mut proto.graph.as_mut().unwrap().value_info;
    stated.extend((0..MANY).map(|index| value(&format!("s{index}"), &[1, 3, 4, 4])));
    let graph = in_time("softmax", &proto).graph.unwrap();
    assert_eq!(graph.node.len(), MANY + 4, "each works along the last axis and stays one node");
}

#[test]
fn many_nodes_that_want_the_same_new_name() {
    let split = |_| node("Split", &["x"], &[]).with_ints("split", &[1]);
    let graph = in_time("names", &network(12, split, "w")).graph.unwrap();
    assert_eq!(graph.initializer.iter().filter(|tensor| tensor.name().contains("split")).count(), MANY);
}

#[test]
fn many_functions_beside_many_nodes() {
    let mut proto = network(13, |index| node("Relu", &["x"], &[&format!("r{index}")]), "w");
    let function = |index| FunctionProto { name: Some(format!("f{index}")), ..FunctionProto::default() };
    proto.functions = (0..MANY).map(function).collect();
    in_time("functions", &proto);
}

#[test]
fn many_pairs_one_behind_the_other() {
    let name = |index: usize| if index == 0 { "x".to_owned() } else { format!("v{index}") };
    let link = |index: usize| {
        let op = if index.is_multiple_of(2) { "QuantizeLinear" } else { "DequantizeLinear" };
        node(op, &[&name(index), "s", "z"], &[&name(index + 1)])
    };
    let mut proto = network(13, link, "w");
    proto.graph.as_mut().unwrap().initializer.push(scale("s", &[0.5]));
    // A zero point that goes: every node is rewritten.
    proto.graph.as_mut().unwrap().initializer.push(integers("z", elem::UINT8, &[], &[128]));
    let start = Instant::now();
    let mut stripped = read(&proto);
    assert_eq!(adapt_qdq(&mut stripped).unwrap().signed, MANY / 2);
    to_fp16(&mut stripped.clone(), &Fp16Options::default()).unwrap();
    assert_eq!(strip_qdq(&mut stripped).unwrap().pairs, MANY / 2);
    assert!(start.elapsed() < limit(), "{:?}", start.elapsed());
}

#[test]
fn concats_of_concats_and_values_with_many_readers() {
    let name = |index: usize| if index == 0 { "x".to_owned() } else { format!("v{index}") };
    let chain = network(13, |index| node("Concat", &[&name(index), "x"], &[&name(index + 1)]), "w");
    in_time("concats", &chain);
    let mut readers = network(13, |index| node("Relu", &["c"], &[&format!("r{index}")]), "w");
    readers.graph.as_mut().unwrap().node.insert(0, node("Conv", &["x", "w"], &["c"]));
    in_time("readers", &readers);
    let mut plugins = network(
        13,
        |index| NodeProto {
            domain: Some("other".into()),
            ..node("Plugin", &[&name(index)], &[&name(index + 1)])
        },
        "w",
    );
    plugins.graph.as_mut().unwrap().node.insert(0, node("Conv", &["x", "w"], &["c"]));
    analyse("plugins", &read(&plugins));
}
