//! rten's own speed, to compare calibration with: `rten_forward MODEL.onnx 1x3x224x224 plain|all RUNS`.
//!
//! Runs the model on made-up pixels, unoptimized as calibration has it, with its own outputs (`plain`) or with every
//! activation as an output (`all`), and prints one JSON line: milliseconds per run (mean after a warm-up run), CPU
//! milliseconds per run, and values given back per run. Nothing is counted and no image is decoded.

use std::time::Instant;

use rten::{ModelOptions, NodeId, Value};
use rten_tensor::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, shape, mode, runs] = arguments.as_slice() else {
        return Err("usage: rten_forward MODEL.onnx 1x3x224x224 plain|all RUNS".into());
    };
    let shape: Vec<usize> = shape.split('x').map(str::parse).collect::<Result<_, _>>()?;
    let runs: u32 = runs.parse()?;
    let model = ModelOptions::with_all_ops().enable_optimization(false).load_file(path)?;
    let outputs: Vec<NodeId> = match mode.as_str() {
        "plain" => model.output_ids().to_vec(),
        "all" => {
            let activations = trt_onnx::Model::load(path)?.activations();
            activations.iter().filter_map(|activation| model.find_node(&activation.name)).collect()
        }
        other => return Err(format!("neither `plain` nor `all`: `{other}`").into()),
    };
    let pixels: Vec<f32> =
        (0..shape.iter().product()).map(|n: usize| (n * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let input = model.input_ids()[0];
    let run = || -> Result<usize, Box<dyn std::error::Error>> {
        let value = Value::from_shape(&shape, pixels.clone())?;
        Ok(model.run(vec![(input, value.into())], &outputs, None)?.iter().map(|value| value.len()).sum())
    };
    let values = run()?;
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    for _ in 0..runs {
        run()?;
    }
    let per_run = 1e3 / f64::from(runs.max(1));
    println!(
        "{{\"ms\": {:.2}, \"cpu_ms\": {:.2}, \"values\": {values}}}",
        wall.elapsed().as_secs_f64() * per_run,
        (cpu_seconds() - cpu) * per_run
    );
    Ok(())
}

/// CPU time of this process so far, all threads, in seconds; Linux counts it in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the program's name in brackets, may hold spaces; times are the 14th and 15th.
    let after = stat.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}
