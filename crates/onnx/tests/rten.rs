//! Simulated INT8 runs in rten as well, weights folded or not.

mod common;

use common::*;
use prost::Message;
use rten::{ModelOptions, Value};
use rten_tensor::prelude::*;
use trt_onnx::{SimulateOptions, simulate};

/// A step of `scale`, from -128 to 127 of them.
fn round(value: f32, scale: f32) -> f32 {
    (value / scale).round_ties_even().clamp(-128.0, 127.0) * scale
}

#[test]
fn rten_computes_with_rounded_activations_and_with_weights_rounded_by_channel() {
    let (pixels, scale) = (4 * 4, 0.03);
    // Rows 0.1 -0.2 0.3 and -0.4 0.5 -0.6, and biases 0.1 and -0.2.
    let weights = [[0.1f32, -0.2, 0.3], [-0.4, 0.5, -0.6]];
    let x: Vec<f32> = (0..3 * pixels).map(|n| (n * 37 % 100) as f32 / 10.0 - 5.0).collect();
    let expected: Vec<f32> = (weights.iter().zip([0.1, -0.2]))
        .flat_map(|(row, bias)| {
            let step = row.iter().fold(0f32, |largest, weight| largest.max(weight.abs())) / 127.0;
            let x = &x;
            (0..pixels).map(move |pixel| {
                let product = |(channel, &weight): (usize, &f32)| {
                    round(x[channel * pixels + pixel], scale) * (weight / step).round_ties_even() * step
                };
                row.iter().enumerate().map(product).sum::<f32>() + bias
            })
        })
        .collect();
    for fold_weights in [true, false] {
        let mut proto = convolution(13);
        let conv = &mut proto.graph.as_mut().unwrap().node[0];
        // rten has no defaults for these.
        let stated = std::mem::take(conv).with_ints("strides", &[1, 1]).with_ints("dilations", &[1, 1]);
        *conv = stated.with_ints("pads", &[0; 4]).with_int("group", 1);
        let mut model = read(&proto);
        let options = SimulateOptions { fold_weights, ..SimulateOptions::default() };
        simulate(&mut model, &|_| Some(scale), &options).unwrap();
        for optimized in [false, true] {
            let mut loader = ModelOptions::with_all_ops();
            loader.enable_optimization(optimized);
            let run = loader.load(self::proto(&model).encode_to_vec()).unwrap();
            let input = Value::from_shape(&[1, 3, 4, 4], x.clone()).unwrap();
            let outputs = run.run(vec![(run.input_ids()[0], input.into())], run.output_ids(), None).unwrap();
            let Value::FloatTensor(found) = &outputs[0] else { panic!("not a float tensor") };
            let found: Vec<f32> = found.iter().copied().collect();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{found} and {expected}, folded: {fold_weights}, optimized: {optimized}"
                );
            }
        }
    }
}
