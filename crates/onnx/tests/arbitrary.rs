//! Whatever the bytes are, reading and quantizing them ends in a result, never in a panic.

mod common;

use common::*;
use proptest::prelude::*;
use prost::Message;
use trt_onnx::proto::elem;
use trt_onnx::{
    Fp16Options, Model, QuantOptions, Scope, Sharing, SimulateOptions, adapt_qdq, demand, expose,
    nonfinite_weights, obstacles, propagation, quantize, simulate, strip_qdq, to_fp16, upstream,
};

/// Does everything that a model file goes through.
fn exercise(bytes: Vec<u8>) {
    let Ok(mut model) = Model::from_bytes(bytes, None) else { return };
    let _ = (model.inputs(), model.outputs(), model.operators(), model.external_files(), model.producer());
    let _ = (model.activations(), model.subgraph_nodes(), model.has_qdq());
    let mut half = model.clone();
    if to_fp16(&mut half, &Fp16Options::default()).is_ok() {
        assert!(
            Model::from_bytes(half.to_bytes().unwrap(), None).is_ok(),
            "what to_fp16 made cannot be read again"
        );
    }
    for take in [|model: &mut Model| strip_qdq(model).is_ok(), |model: &mut Model| adapt_qdq(model).is_ok()] {
        let mut other = model.clone();
        if take(&mut other) {
            let bytes = other.to_bytes().unwrap();
            assert!(
                Model::from_bytes(bytes, None).is_ok(),
                "without Q/DQ, or with others, it cannot be read again"
            );
        }
    }
    evaluate(&model);
    if quantize(&mut model, &|_| Some(0.1), &QuantOptions::default()).is_ok() {
        let bytes = model.to_bytes().unwrap();
        assert!(Model::from_bytes(bytes, None).is_ok(), "what quantize made cannot be read again");
    }
}

/// Everything that is only looked at, or changed for a calibration or an evaluation.
fn evaluate(model: &Model) {
    let shared = propagation(model, Sharing::ALL);
    let grouped = shared.groups.iter().map(|group| group.members.len()).sum::<usize>();
    assert_eq!(shared.leaders().len(), grouped, "an activation is in two groups");
    let _ = (demand(model, &|_| Some(0.1), &[]), obstacles(model), nonfinite_weights(model));
    let mut changed = vec![model.clone(); 4];
    let names: Vec<String> = model.activations().into_iter().map(|activation| activation.name).collect();
    expose(&mut changed[0], &names);
    if upstream(&mut changed[1], &[1]).is_err() {
        changed[1] = model.clone();
    }
    for (copy, fold_weights) in changed[2..].iter_mut().zip([true, false]) {
        let options = SimulateOptions { scope: Scope::AllLayers, fold_weights, ..SimulateOptions::default() };
        let _ = simulate(copy, &|_| Some(0.1), &options);
    }
    for model in changed {
        assert!(Model::from_bytes(model.to_bytes().unwrap(), None).is_ok(), "it cannot be read again");
    }
}

/// Models that reach every part of the crate.
fn seeds() -> Vec<Vec<u8>> {
    let shape = [1, 3, 4, 4];
    let nodes = vec![
        node("Conv", &["x", "w", "b"], &["a"]),
        node("ConvTranspose", &["a", "w"], &["t"]).with_int("group", 1),
        node("Softmax", &["t"], &["s"]),
        node("Add", &["t", "s"], &["r"]),
        node("Squeeze", &["r"], &["q"]).with_ints("axes", &[0]),
        node("MatMul", &["q", "m"], &["y"]),
    ];
    let weights = vec![weight("w", &[3, 3, 1, 1]), weight("b", &[3]), weight("m", &[4, 4])];
    let wide = model(11, graph(nodes, weights, vec![value("x", &shape)], vec![value("y", &shape)]));
    [convolution(11), convolution(17), wide, quantized_convolution(elem::UINT8, 3)]
        .iter()
        .map(Message::encode_to_vec)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_at_random(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        exercise(bytes);
    }

    #[test]
    fn models_with_some_bytes_changed(
        seed in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(bytes);
    }

    #[test]
    fn models_cut_short_or_with_a_part_twice(
        seed in 0..4usize,
        range in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let bytes = seeds().swap_remove(seed);
        let (from, to) = (range.0.index(bytes.len()), range.1.index(bytes.len()));
        exercise([&bytes[..from], &bytes[to..]].concat());
    }

    #[test]
    fn tensors_of_any_shape(dims in prop::collection::vec(any::<i64>(), 0..4), data_type in 0..30i32) {
        let mut proto = convolution(12);
        let tensor = &mut proto.graph.as_mut().unwrap().initializer[0];
        (tensor.dims, tensor.data_type) = (dims, Some(data_type));
        exercise(proto.encode_to_vec());
    }

    #[test]
    fn integers_of_any_shape(
        dims in prop::collection::vec(prop_oneof![any::<i64>(), 0..3i64], 0..4),
        data_type in 0..30i32,
        axis in any::<i64>(),
        at in 0..7usize,
    ) {
        let mut proto = quantized_convolution(elem::INT8, 0);
        let graph = proto.graph.as_mut().unwrap();
        let tensor = &mut graph.initializer[at];
        (tensor.dims, tensor.data_type) = (dims, Some(data_type));
        graph.node[2].attribute[0].i = Some(axis);
        exercise(proto.encode_to_vec());
    }
}

#[test]
fn the_seeds_are_quantized_when_nothing_is_changed() {
    for bytes in &seeds()[..3] {
        let mut model = Model::from_bytes(bytes.clone(), None).unwrap();
        quantize(&mut model, &|_| Some(0.1), &QuantOptions::default()).unwrap();
    }
}
