//! A real network: both backends count the same, and the same again.

mod common;

use common::{backends, batch, source};
use trt_calib::Counts;
use trt_inference::{Choice, Settings, Tensor};

/// Made-up pixels of two samples.
fn pixels(seed: usize) -> Tensor {
    let values = (0..2 * 3 * 224 * 224).map(|n| ((n + seed) * 7919 % 1000) as f32 / 500.0 - 1.0);
    Tensor::f32("images", [2, 3, 224, 224], values.collect())
}

/// The counts of two batches, by name.
fn counted(model: &trt_onnx::Model, choice: Choice, settings: &Settings) -> Vec<(String, Counts)> {
    let source = source(model, choice, settings).unwrap().what;
    let input = &model.inputs()[0].name;
    for seed in [0, 331] {
        source.accumulate(batch(vec![Tensor { name: input.clone(), ..pixels(seed) }])).unwrap();
    }
    let found = source.finish().unwrap();
    assert!(found.omitted.is_empty(), "{:?}", found.omitted);
    found.observed.into_iter().map(|tensor| (tensor.name, tensor.counts)).collect()
}

#[test]
fn efficientnet_is_counted_alike_by_all_and_bit_for_bit_by_each() {
    let Some(path) = test_support::shared("models/efficientnet_lite0.onnx") else { return };
    let model = trt_onnx::Model::load(path).unwrap();
    let mut all = Vec::new();
    for (choice, settings) in backends() {
        let settings = Settings { threads: 2, ..settings };
        let counts = counted(&model, choice, &settings);
        assert_eq!(counts, counted(&model, choice, &settings), "{choice:?} does not repeat itself");
        all.push(counts);
    }
    let [rten, onnxruntime] = all.as_slice() else { return };
    assert_eq!(rten.len(), onnxruntime.len());
    for ((name, one), (other_name, other)) in rten.iter().zip(onnxruntime) {
        assert_eq!((name, one.count()), (other_name, other.count()));
        let (a, b) = (one.amax().unwrap(), other.amax().unwrap());
        assert!((a - b).abs() <= 1e-3 * a.max(1e-3), "{name}: {a} and {b}");
    }
}
