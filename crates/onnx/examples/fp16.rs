//! Converts a model to FP16 outside trt-deploy: `cargo run -p trt-onnx --example fp16 MODEL OUT`.

use std::env;
use std::error::Error;

use trt_onnx::{Fp16Options, Model, to_fp16};

fn main() -> Result<(), Box<dyn Error>> {
    let [model, out] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: fp16 MODEL OUT".into());
    };
    let mut model = Model::load(model)?;
    let report = to_fp16(&mut model, &Fp16Options::default())?;
    for kept in &report.kept {
        println!("{} ({}) stays in FP32: {}", kept.node, kept.op, kept.reason);
    }
    println!("{} nodes converted", report.converted);
    Ok(model.save(out)?)
}
