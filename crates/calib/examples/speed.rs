//! Prints how long counting and the entropy search take: nanoseconds a value, milliseconds a tensor.
//!
//! `cargo run --release -p trt-calib --example speed`

use std::hint::black_box;
use std::time::Instant;

use trt_calib::{Algorithm, Counts, Histogram};

/// As many values as EfficientNet-Lite0 has activations for one image.
const VALUES: usize = 13_000_000;
const RUNS: usize = 9;

fn main() {
    let normal = normal();
    let relu: Vec<f32> = normal.iter().map(|x| x.max(0.0)).collect();
    let sigmoid: Vec<f32> = normal.iter().map(|x| 1.0 / (1.0 + (-4.0 * x).exp())).collect();
    let constant = vec![6.0; VALUES];
    for (name, values) in
        [("normal", &normal), ("relu", &relu), ("sigmoid", &sigmoid), ("constant", &constant)]
    {
        for slice in [1_000, 10_000, 100_000, VALUES] {
            let counting = best(|| {
                let mut histogram = Histogram::new();
                values.chunks(slice).for_each(|part| histogram.add(part));
                black_box(histogram);
            });
            println!("add, {name}, {slice} a call: {:.3} ns/value", counting * 1e9 / VALUES as f64);
        }
        let mut histogram = Histogram::new();
        histogram.add(values);
        let rebinning = best(|| {
            black_box(histogram.rebin(2048));
        });
        let counts = Counts::from(histogram);
        let searching = best(|| {
            black_box(Algorithm::EntropyCalibration2.threshold(&counts).is_ok());
        });
        println!("rebin, {name}: {:.3} ms; entropy with it: {:.3} ms", rebinning * 1e3, searching * 1e3);
    }
}

/// The seconds of the fastest run: others share the machine.
fn best(mut run: impl FnMut()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// Normally distributed values, by Box and Muller from a congruential generator.
fn normal() -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 + 0.5) / (1u32 << 24) as f32
    };
    let one = |_| (-2.0 * uniform().ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos();
    (0..VALUES).map(one).collect()
}
