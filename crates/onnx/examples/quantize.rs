//! Quantizes a model outside trt-deploy: `cargo run -p trt-onnx --example quantize MODEL SCALES OUT [rtx|layers]`.
//!
//! `rtx` is what TensorRT-RTX is given; `layers` leaves residual additions alone, as other tools do that are told to
//! quantize Conv, Gemm and MatMul. SCALES has one activation a line: its name, a space, its scale (threshold / 127).

use std::collections::HashMap;
use std::error::Error;
use std::{env, fs};

use trt_onnx::{Model, QuantOptions, quantize};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (model, scales, out, options) = match &arguments[..] {
        [model, scales, out] => (model, scales, out, QuantOptions::default()),
        [model, scales, out, policy] if policy == "rtx" => (model, scales, out, QuantOptions::rtx()),
        [model, scales, out, policy] if policy == "layers" => {
            (model, scales, out, QuantOptions { residual: false, ..QuantOptions::default() })
        }
        _ => return Err("usage: quantize MODEL SCALES OUT [rtx|layers]".into()),
    };
    let text = fs::read_to_string(scales)?;
    let mut scales = HashMap::new();
    for line in text.lines() {
        let (name, scale) = line.rsplit_once(' ').ok_or("a line without a space")?;
        scales.insert(name, scale.parse::<f32>()?);
    }
    let mut model = Model::load(model)?;
    let report = quantize(&mut model, &|name| scales.get(name).copied(), &options)?;
    for skipped in &report.skipped {
        println!("{} ({}) stays in FP32: {}", skipped.node, skipped.op, skipped.reason);
    }
    println!("{} nodes and {} activations quantized", report.quantized.len(), report.tensors);
    Ok(model.save(out)?)
}
