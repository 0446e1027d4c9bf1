//! ONNX Runtime's own speed, to compare calibration with: `ort_forward MODEL.onnx 1x3x224x224 plain|all|count RUNS [THREADS]`.
//!
//! Runs the model on made-up pixels on the CPU, with its own outputs (`plain`), with every float activation as an output
//! (`all`), or with all of them counted as calibration does it (`count`), and prints one JSON line: milliseconds per run
//! (mean after a warm-up run), CPU milliseconds per run, and values given back per run. No image is decoded.

use std::path::Path;
use std::time::Instant;

use onnxruntime::{
    Device, Element, Elements, Feed, Kind, ModelSource, Optimization, Options, Output, Runtime, Session,
};
use trt_inference::{Batch, Choice, Content, Settings, Subject, Tensor, open_source};
use trt_onnx::{Model, expose};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, shape, mode, runs, threads @ ..] = arguments.as_slice() else {
        return Err("usage: ort_forward MODEL.onnx 1x3x224x224 plain|all|count RUNS [THREADS]".into());
    };
    let shape: Vec<usize> = shape.split('x').map(str::parse).collect::<Result<_, _>>()?;
    let runs: u32 = runs.parse()?;
    let threads = match threads.first() {
        Some(threads) => threads.parse()?,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let pixels: Vec<f32> =
        (0..shape.iter().product()).map(|n: usize| (n * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let mut model = Model::load(path)?;
    let activations: Vec<String> =
        model.activations().into_iter().map(|activation| activation.name).collect();
    let input = model.inputs().first().ok_or("the model has no input")?.name.clone();
    if mode == "count" {
        let folder = Path::new(path).parent().unwrap_or(Path::new("."));
        let subject = Subject { model: &model, folder, activations: &activations };
        let settings = Settings { threads, ..Settings::default() };
        let source = open_source(&subject, Choice::OnnxRuntime, &settings)?.what;
        return measure(runs, || {
            let tensor = Tensor::f32(&input, shape.clone(), pixels.clone());
            let samples = (0..shape[0]).map(|n| n.to_string()).collect();
            source.accumulate(Batch { content: Content::Tensors(vec![tensor]), samples })?;
            Ok(0)
        });
    }
    match mode.as_str() {
        "plain" => {}
        "all" => drop(expose(&mut model, &activations)),
        other => return Err(format!("neither `plain`, `all` nor `count`: `{other}`").into()),
    }
    let options = Options { device: Device::Cpu { threads }, optimization: Optimization::All };
    let session = Session::new(Runtime::load(None)?, ModelSource::Bytes(&model.to_bytes()?, &[]), &options)?;
    let is_float = |at: &usize| {
        matches!(session.outputs()[*at].kind, Kind::Tensor { element: Element::F32 | Element::F16, .. })
    };
    let wanted: Vec<usize> = (0..session.outputs().len()).filter(is_float).collect();
    let feed = Feed { name: &input, shape: &shape, elements: Elements::F32(&pixels) };
    let len = |output: &Output<'_>| output.elements.as_ref().map_or(0, Elements::len);
    measure(runs, || Ok(session.run(&[feed], &wanted, |outputs| outputs.iter().map(len).sum())?))
}

/// Runs something often and prints how long it takes.
fn measure(runs: u32, mut run: impl FnMut() -> Result<usize, Failure>) -> Result<(), Failure> {
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
