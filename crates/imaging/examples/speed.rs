//! Times one core at decoding an image and at making a YOLO input (letterbox 640, RGB, 0 to 1) of it.
//!
//! `speed IMAGE [ROUNDS]`, built with `--release`; prints medians in milliseconds as JSON.
//! `scripts/make-imaging-goldens --speed` runs it beside OpenCV.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;
use std::{env, fs};

use trt_imaging::{Preprocess, Preset, decode};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let image = arguments.next().ok_or("usage: speed IMAGE [ROUNDS]")?;
    let rounds: usize = arguments.next().map_or(Ok(101), |rounds| rounds.parse())?;
    let bytes = fs::read(image)?;
    let pipeline = Preprocess::preset(Preset::Yolo).resolve(None)?;
    let mut runner = pipeline.runner()?;
    let mut values = vec![0.0; pipeline.output_len()];

    let mut decoding = Vec::with_capacity(rounds);
    let mut preprocessing = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        let picture = decode(black_box(&bytes))?.picture;
        decoding.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        runner.run(&picture, &mut values)?;
        black_box(&values);
        preprocessing.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    println!(
        "{{\"decode\": {:.3}, \"preprocess\": {:.3}}}",
        median(&mut decoding),
        median(&mut preprocessing)
    );
    Ok(())
}
