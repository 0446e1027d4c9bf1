//! Takes Q/DQ out of a model outside trt-deploy: `cargo run -p trt-onnx --example strip MODEL OUT`.

use std::env;
use std::error::Error;

use trt_onnx::{Model, strip_qdq};

fn main() -> Result<(), Box<dyn Error>> {
    let [model, out] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: strip MODEL OUT".into());
    };
    let mut model = Model::load(model)?;
    let report = strip_qdq(&mut model)?;
    for left in &report.left {
        println!("{} ({}) is still there: {}", left.node, left.op, left.reason);
    }
    println!(
        "{} pairs removed ({} Clip for them), {} integers folded",
        report.pairs, report.clips, report.folded
    );
    Ok(model.save(out)?)
}
