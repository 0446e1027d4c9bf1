//! Measures counting (nanoseconds a value) and thresholds (seconds for 500 tensors, from a saved file), the fastest of
//! several runs each: others share the machine.
//!
//! `cargo run --release -p trt-calib --example speed [-- --json]`; `scripts/bench-calibrate` runs it with `--json`.

use std::hint::black_box;
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};
use trt_calib::{Algorithm, Counts, Histogram, Method, Preset};

/// As many values as EfficientNet-Lite0 has activations for one image.
const VALUES: usize = 13_000_000;
const TENSORS: usize = 500;
const RUNS: usize = 9;
const ALGORITHMS: [&str; 6] = ["entropy", "entropy1", "minmax", "percentile:99.99", "mse", "legacy"];

fn main() {
    let normal = normal();
    let relu: Vec<f32> = normal.iter().map(|x| x.max(0.0)).collect();
    let sigmoid: Vec<f32> = normal.iter().map(|x| 1.0 / (1.0 + (-4.0 * x).exp())).collect();
    let constant = vec![6.0; VALUES];
    let data = [("normal", &normal), ("relu", &relu), ("sigmoid", &sigmoid), ("constant", &constant)];

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counting = Vec::new();
    for (name, values) in data {
        for slice in [1_000, 10_000, 100_000, VALUES] {
            let seconds = best(RUNS, || {
                let mut histogram = Histogram::new();
                values.chunks(slice).for_each(|part| histogram.add(part));
                black_box(histogram);
            });
            counting.push(counted(name, slice, 1, seconds));
        }
        for threads in (1..=cores).filter(|threads| threads.is_power_of_two()) {
            let Ok(pool) = ThreadPoolBuilder::new().num_threads(threads).build() else { continue };
            let seconds = best(RUNS, || {
                let mut histogram = Histogram::new();
                pool.install(|| histogram.add_parallel(values));
                black_box(histogram);
            });
            counting.push(counted(name, VALUES, threads, seconds));
        }
    }

    // Tensors of 26,000 values, as many different ones as there are.
    let tensor = |number: usize| {
        let (_, values) = data[number % 3];
        let mut histogram = Histogram::new();
        histogram.add(&values[number * 26_000..][..26_000]);
        Counts::from(histogram)
    };
    let tensors: Vec<Counts> = (0..TENSORS).map(tensor).collect();
    let time = |method: Method| {
        let seconds = best(3, || {
            tensors.iter().for_each(|counts| drop(black_box(method.threshold(counts))));
        });
        json!(seconds)
    };
    let by_algorithm: serde_json::Map<String, Value> = ALGORITHMS
        .into_iter()
        .map(|name| (name.to_owned(), time(name.parse::<Algorithm>().unwrap_or_default().into())))
        .collect();
    let by_preset: serde_json::Map<String, Value> = Preset::ALL
        .into_iter()
        .map(|preset| {
            let method = Method { entropy: preset.params(), ..Method::default() };
            (preset.to_string(), time(method))
        })
        .collect();
    let all: f64 = by_algorithm.values().filter_map(Value::as_f64).sum();
    let found = json!({
        "counting": counting,
        "thresholds": {"tensors": TENSORS, "cores": 1, "seconds": by_algorithm, "all_seconds": all},
        "entropy_presets": {"tensors": TENSORS, "cores": 1, "seconds": by_preset},
    });
    if std::env::args().any(|argument| argument == "--json") {
        println!("{found:#}");
    } else {
        print(&found);
    }
}

fn counted(data: &str, slice: usize, threads: usize, seconds: f64) -> Value {
    json!({"data": data, "values_a_call": slice, "threads": threads, "ns_a_value": seconds * 1e9 / VALUES as f64})
}

fn print(found: &Value) {
    for row in found["counting"].as_array().into_iter().flatten() {
        println!(
            "count {:>8}, {:>8} a call, {} threads: {:.3} ns/value",
            row["data"].as_str().unwrap_or_default(),
            row["values_a_call"],
            row["threads"],
            row["ns_a_value"].as_f64().unwrap_or_default()
        );
    }
    for section in ["thresholds", "entropy_presets"] {
        for (name, seconds) in found[section]["seconds"].as_object().into_iter().flatten() {
            println!("{name} of {TENSORS} tensors: {:.3} s", seconds.as_f64().unwrap_or_default());
        }
    }
    println!("all algorithms: {:.3} s", found["thresholds"]["all_seconds"].as_f64().unwrap_or_default());
}

/// The seconds of the fastest of some runs.
fn best(runs: usize, mut run: impl FnMut()) -> f64 {
    (0..runs)
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
