//! How fast the kernels read.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use trt_cuda::{Buffer, Context, Counter, Event, Floats, GreatestMagnitude, Receipt, Stream};

use crate::{Failure, Random};

/// Timed runs of each kernel; the median counts.
const RUNS: usize = 15;

/// Values as they occur in networks, and the hardest to count.
pub fn kinds(len: usize) -> Vec<(&'static str, Vec<f32>)> {
    let mut random = Random::new(7);
    let mut make = |value: &mut dyn FnMut(&mut Random) -> f32| (0..len).map(|_| value(&mut random)).collect();
    vec![
        ("normal", make(&mut |random| random.normal())),
        ("relu", make(&mut |random| random.normal().max(0.0))),
        ("relu6", make(&mut |random| (6.0 * random.normal()).clamp(0.0, 6.0))),
        (
            "silu",
            make(&mut |random| random.normal()).into_iter().map(|x: f32| x / (1.0 + (-x).exp())).collect(),
        ),
        ("uniform", make(&mut |random| random.unit())),
        ("constant", vec![1.25; len]),
        ("zero", vec![0.0; len]),
        ("two values", make(&mut |random| if random.bits() & 1 == 0 { 0.5 } else { 1.5 })),
        ("four values", make(&mut |random| [0.3, 0.8, 1.1, 1.9][random.below(4)])),
    ]
}

/// As they lie in memory.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// Runs that follow each other, as batches do: the host is ahead of the GPU.
const TOGETHER: usize = 6;

/// The median time of a run, in seconds.
fn time(
    stream: &Stream,
    context: &Context,
    mut run: impl FnMut(usize) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let (start, end) = (Event::new(context)?, Event::new(context)?);
    let mut times = Vec::new();
    for round in 0..RUNS + 3 {
        start.record(stream)?;
        for turn in 0..TOGETHER {
            run(turn)?;
        }
        end.record(stream)?;
        end.synchronize()?;
        if round >= 3 {
            times.push(end.since(&start)?.as_secs_f64() / TOGETHER as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn receipts(counter: &Counter) -> Result<Vec<Receipt>, Failure> {
    Ok((0..TOGETHER).map(|_| counter.receipt()).collect::<Result<_, _>>()?)
}

pub fn run() -> Result<Value, Failure> {
    let context = Context::primary(0)?;
    let stream = Arc::new(Stream::new(&context)?);
    let begin = Instant::now();
    let mut reduction = GreatestMagnitude::new(&context)?;
    let load = begin.elapsed().as_secs_f64();
    let mut result = json!({ "load_s": load });
    // One pattern, repeated: far more than the caches hold.
    const PATTERN: usize = 16 << 20;
    for (kind, values) in kinds(PATTERN) {
        let pattern = bytes(&values);
        for mib in [256_usize, 512, 1024] {
            let whole = pattern.repeat((mib << 20) / pattern.len());
            let mut buffer = Buffer::new(&context, whole.len())?;
            buffer.write(&whole)?;
            let read = time(&stream, &context, |_| Ok(reduction.run(&stream, &buffer)?))?;
            let mut counter = Counter::new(&stream, 1)?;
            let mut receipts = receipts(&counter)?;
            let values = [(0, Floats::of(&buffer, 0, whole.len() / 4, false)?)];
            let count =
                time(&stream, &context, |turn| Ok(counter.count(&values, true, &mut receipts[turn])?))?;
            let rate = |seconds: f64| whole.len() as f64 / seconds / 1e9;
            result[kind][format!("{mib} MiB")] =
                json!({ "read_gb_s": rate(read), "count_gb_s": rate(count), "ratio": read / count });
            eprintln!("{kind} {mib} MiB: {}", result[kind][format!("{mib} MiB")]);
        }
    }
    result["many tensors"] = many(&context, &stream)?;
    eprintln!("many tensors: {}", result["many tensors"]);
    Ok(result)
}

/// A batch like that of a detector: 370 tensors of very different sizes, 3 GB together.
fn many(context: &Context, stream: &Arc<Stream>) -> Result<Value, Failure> {
    let mut random = Random::new(3);
    let lens: Vec<usize> = (0..370)
        .map(|at| match at % 10 {
            0 => 8 * 32 * 320 * 320,
            1..=3 => 8 * 64 * 160 * 160 / 4,
            4..=8 => 8 * 128 * 40 * 40,
            _ => 8 * 255,
        })
        .collect();
    let total: usize = lens.iter().sum();
    let pattern = bytes(&(0..16 << 20).map(|_| random.normal()).collect::<Vec<f32>>());
    let mut buffer = Buffer::new(context, (4 * total).next_multiple_of(pattern.len()))?;
    buffer.write(&pattern.repeat(buffer.len() / pattern.len()))?;
    let mut start = 0;
    let values: Vec<(usize, Floats<'_>)> = lens
        .iter()
        .enumerate()
        .map(|(tensor, &len)| {
            let floats = Floats::of(&buffer, start, len, false)?;
            start += len;
            Ok((tensor, floats))
        })
        .collect::<Result<_, Failure>>()?;
    let mut counter = Counter::new(stream, lens.len())?;
    let mut receipts = receipts(&counter)?;
    let count = time(stream, context, |turn| Ok(counter.count(&values, true, &mut receipts[turn])?))?;
    let rate = 4.0 * total as f64 / count / 1e9;
    Ok(
        json!({ "tensors": lens.len(), "gb": 4.0 * total as f64 / 1e9, "ms": 1e3 * count, "count_gb_s": rate }),
    )
}
