//! Makes a model that computes what an INT8 engine would: `simulate IN OUT SCALE [all] [int8]`, one scale for every
//! activation.

use std::env;

use trt_onnx::{Model, Scope, SimulateOptions, simulate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output, scale, options @ ..] = &arguments[..] else {
        return Err("usage: simulate IN OUT SCALE [all] [int8]".into());
    };
    let scale: f32 = scale.parse()?;
    let has = |option: &str| options.iter().any(|given| given == option);
    let scope = if has("all") { Scope::AllLayers } else { Scope::WeightedLayers };
    let mut model = Model::load(input)?;
    let options = SimulateOptions { scope, fold_weights: !has("int8"), ..SimulateOptions::default() };
    let report = simulate(&mut model, &|_| Some(scale), &options)?;
    model.save(output)?;
    println!("{} nodes, {} tensors", report.quantized.len(), report.tensors.len());
    report.skipped.iter().for_each(|skipped| println!("not {}: {}", skipped.node, skipped.reason));
    Ok(())
}
