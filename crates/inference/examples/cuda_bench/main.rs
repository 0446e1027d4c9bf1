//! Calibration on a GPU, checked and measured. Prints JSON; talks on stderr.
//!
//! ```text
//! cuda_bench --check                       GPU against CPU, bit by bit; exits with 1 on a difference
//! cuda_bench --kernels                     bandwidth of counting, against a reduction that only reads
//! cuda_bench --model NAME=FILE:BATCH …     rates of a model, see `models`
//!            [--jpeg FOLDER]               and from JPEG files, with decoding on all cores
//! ```
//!
//! ONNX Runtime with its CUDA provider is found as `trt-deploy` finds it. The figures in `docs/performance.md` are from here.

mod check;
mod kernels;
mod models;

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut result = json!({ "gpu": gpu()?, "cores": std::thread::available_parallelism()?.get() });
    let mut models = Vec::new();
    let mut jpeg = None;
    let mut seconds = 3.0;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--check" => result["check"] = check::run()?,
            "--kernels" => result["kernels"] = kernels::run()?,
            "--model" => models.push(value()?),
            "--jpeg" => jpeg = Some(value()?),
            "--seconds" => seconds = value()?.parse()?,
            other => return Err(format!("unknown: {other}").into()),
        }
    }
    for model in &models {
        let (name, rest) = model.split_once('=').ok_or("--model NAME=FILE:BATCH")?;
        let (file, batch) = rest.rsplit_once(':').ok_or("--model NAME=FILE:BATCH")?;
        result["models"][name] = models::run(file.as_ref(), batch.parse()?, jpeg.as_deref(), seconds)?;
        eprintln!("{name}: {}", result["models"][name]);
    }
    println!("{result:#}");
    let wrong = result["check"]["differences"].as_array().is_some_and(|list| !list.is_empty());
    if wrong { Err("GPU and CPU differ".into()) } else { Ok(()) }
}

fn gpu() -> Result<Value, Failure> {
    let trt_cuda::Device { name, compute_capability: [major, minor], driver_version } = trt_cuda::device()?;
    let [driver_major, driver_minor] = driver_version;
    Ok(
        json!({ "name": name, "capability": format!("{major}.{minor}"), "cuda": format!("{driver_major}.{driver_minor}") }),
    )
}

/// Reproducible noise.
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// 32 bits (xorshift64*).
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u64::from(self.bits()) * end as u64) >> 32) as usize
    }

    /// From 0 to 1, 1 left out.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 16_777_216.0
    }

    /// Normally distributed (Box and Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }
}
