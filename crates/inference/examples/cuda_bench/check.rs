//! What the GPU counts and preprocesses, against the CPU.

use std::sync::Arc;

use half::f16;
use serde_json::{Value, json};
use trt_calib::Histogram;
use trt_cuda::{Buffer, Context, Counter, Floats, GreatestMagnitude, Preprocessor, Stream, Upload};
use trt_imaging::{Channels, Layout, Picture, Pipeline, Resize, Size};
use trt_inference::cuda::Plans;

use crate::{Failure, Random};

pub fn run() -> Result<Value, Failure> {
    let mut differences = Vec::new();
    let (mut batches, mut values) = (0, 0);
    for seed in 0..12 {
        values += histograms(seed, &mut differences)?;
        batches += 1;
    }
    eprintln!("histograms: {} differences", differences.len());
    long(&mut differences)?;
    eprintln!("long tensors: {} differences", differences.len());
    refused(&mut differences)?;
    greatest(&mut differences)?;
    eprintln!("refused batches: {} differences", differences.len());
    let pictures = pictures(&mut differences)?;
    Ok(json!({
        "histogram runs": batches, "values": values, "pictures": pictures, "differences": differences,
    }))
}

/// Data of many kinds, wicked ones among them.
fn data(random: &mut Random, len: usize) -> Vec<f32> {
    let scale = 2_f32.powi(random.below(60) as i32 - 30);
    let kind = random.below(10);
    (0..len)
        .map(|at| match kind {
            0 => random.normal() * scale,
            1 => random.normal().max(0.0) * scale,
            2 => (random.normal() * 6.0).clamp(0.0, 6.0),
            3 => scale,
            4 => -0.0,
            5 => f32::from_bits(random.bits()),
            6 => f32::from_bits(random.bits() & 0x807f_ffff),
            7 => [6.0, 3.0, f32::NEG_INFINITY, f32::INFINITY][random.below(4)],
            8 => -scale * at as f32,
            _ if random.below(97) == 0 => f32::NAN,
            _ => scale * random.unit(),
        })
        .collect()
}

fn compare(
    what: &str,
    counter: &Counter,
    expected: &[Histogram],
    differences: &mut Vec<String>,
) -> Result<(), Failure> {
    for (tensor, (found, expected)) in counter.read()?.into_iter().zip(expected).enumerate() {
        let mut parts = expected.clone().into_parts();
        if expected.count() == 0 {
            // Bins without a count are as good as none.
            parts.bins.clear();
        }
        let same = found.exponent == parts.exponent
            && found.bins == parts.bins
            && found.min.to_bits() == parts.min.to_bits()
            && found.max.to_bits() == parts.max.to_bits()
            && (found.nan, found.infinite) == (parts.nan, parts.infinite);
        if !same {
            let sums = (found.bins.iter().sum::<u64>(), parts.bins.iter().sum::<u64>());
            let brief = |e, min, max, nan, inf| format!("e {e}, {min}..{max}, {nan} NaN, {inf} inf");
            differences.push(format!(
                "{what}, tensor {tensor}: {}; expected {}; sums {sums:?}",
                brief(found.exponent, found.min, found.max, found.nan, found.infinite),
                brief(parts.exponent, parts.min, parts.max, parts.nan, parts.infinite),
            ));
        }
    }
    Ok(())
}

/// Several tensors over several batches, with odd lengths and addresses.
fn histograms(seed: u64, differences: &mut Vec<String>) -> Result<usize, Failure> {
    let mut random = Random::new(seed + 1);
    let context = Context::primary(0)?;
    let stream = Arc::new(Stream::new(&context)?);
    let tensors = 1 + random.below(40);
    let mut counter = Counter::new(&stream, tensors)?;
    let mut receipt = counter.receipt()?;
    let mut expected = vec![Histogram::new(); tensors];
    let mut counted = 0;
    for batch in 0..5 {
        let mut kept = Vec::new();
        let mut nan = vec![0; tensors];
        for tensor in 0..tensors {
            let len = match random.below(6) {
                0 => 0,
                1 => random.below(9),
                2 => random.below(5000),
                3 => random.below(70_000),
                4 => 8192 * random.below(20),
                _ => random.below(1_500_000),
            };
            let half = random.below(4) == 0;
            let mut values = data(&mut random, len);
            if half {
                values = values.iter().map(|value| f16::from_f32(*value).to_f32()).collect();
            }
            let skipped = random.below(7);
            let bytes: Vec<u8> = match half {
                true => values.iter().flat_map(|value| f16::from_f32(*value).to_ne_bytes()).collect(),
                false => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
            };
            let offset = skipped * if half { 2 } else { 4 };
            let mut buffer = Buffer::new(&context, offset + bytes.len())?;
            buffer.write(&[&vec![0xFF; offset][..], &bytes].concat())?;
            expected[tensor].add(&values);
            nan[tensor] = values.iter().filter(|value| value.is_nan()).count() as u64;
            counted += len;
            let first_nan = values.iter().position(|value| value.is_nan());
            kept.push((buffer, skipped, len, half, first_nan));
        }
        let mut values = Vec::new();
        for (tensor, (buffer, skipped, len, half, _)) in kept.iter().enumerate() {
            values.push((tensor, Floats::of(buffer, *skipped, *len, *half)?));
        }
        counter.count(&values, false, &mut receipt)?;
        for (tensor, seen) in receipt.wait()?.iter().enumerate() {
            let first = kept[tensor].4.map(|at| at as u32);
            if seen.nan != nan[tensor] || seen.first_nan != first {
                differences
                    .push(format!("seed {seed}, batch {batch}, tensor {tensor}: {seen:?}, first {first:?}"));
            }
        }
        compare(&format!("seed {seed}, batch {batch}"), &counter, &expected, differences)?;
    }
    Ok(counted)
}

/// A tensor that keeps every block busy, of each kind that is measured.
fn long(differences: &mut Vec<String>) -> Result<(), Failure> {
    let context = Context::primary(0)?;
    let stream = Arc::new(Stream::new(&context)?);
    for (name, values) in crate::kernels::kinds(20_000_003) {
        let mut buffer = Buffer::new(&context, values.len() * 4)?;
        buffer.write(&crate::kernels::bytes(&values))?;
        let mut counter = Counter::new(&stream, 1)?;
        let mut receipt = counter.receipt()?;
        let mut expected = Histogram::new();
        for _ in 0..3 {
            expected.add(&values);
            counter.count(&[(0, Floats::of(&buffer, 0, values.len(), false)?)], true, &mut receipt)?;
        }
        receipt.wait()?;
        compare(name, &counter, &[expected], differences)?;
    }
    Ok(())
}

/// A batch with a NaN leaves nothing behind.
fn refused(differences: &mut Vec<String>) -> Result<(), Failure> {
    let context = Context::primary(0)?;
    let stream = Arc::new(Stream::new(&context)?);
    let mut random = Random::new(99);
    let mut counter = Counter::new(&stream, 2)?;
    let mut receipt = counter.receipt()?;
    let mut expected = vec![Histogram::new(); 2];
    for batch in 0..6 {
        let bad = batch % 2 == 1;
        let mut kept = Vec::new();
        for (tensor, len) in [3_000_000, 4000].into_iter().enumerate() {
            // Ranges grow, so that a refused batch would have widened them.
            let mut values: Vec<f32> = (0..len).map(|_| random.normal() * 4_f32.powi(batch)).collect();
            if bad && tensor == 0 {
                values[len / 2] = f32::NAN;
            }
            if !bad {
                expected[tensor].add(&values);
            }
            let mut buffer = Buffer::new(&context, len * 4)?;
            buffer.write(&crate::kernels::bytes(&values))?;
            kept.push((buffer, len));
        }
        let mut values = Vec::new();
        for (tensor, (buffer, len)) in kept.iter().enumerate() {
            values.push((tensor, Floats::of(buffer, 0, *len, false)?));
        }
        counter.count(&values, true, &mut receipt)?;
        let nan = receipt.wait()?[0].nan;
        if nan != u64::from(bad) {
            differences.push(format!("refused, batch {batch}: {nan} NaN"));
        }
        compare(&format!("refused, batch {batch}"), &counter, &expected, differences)?;
    }
    Ok(())
}

fn greatest(differences: &mut Vec<String>) -> Result<(), Failure> {
    let context = Context::primary(0)?;
    let stream = Stream::new(&context)?;
    let mut random = Random::new(5);
    let values: Vec<f32> = (0..4_000_000).map(|_| random.normal()).collect();
    let expected = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let mut buffer = Buffer::new(&context, values.len() * 4)?;
    buffer.write(&crate::kernels::bytes(&values))?;
    let mut kernel = GreatestMagnitude::new(&context)?;
    kernel.run(&stream, &buffer)?;
    let found = kernel.read(&stream)?;
    if found != expected {
        differences.push(format!("greatest magnitude: {found}, expected {expected}"));
    }
    Ok(())
}

/// Pictures of many sizes through every form of preprocessing; how many.
fn pictures(differences: &mut Vec<String>) -> Result<usize, Failure> {
    let context = Context::primary(0)?;
    let stream = Stream::new(&context)?;
    let copies = Stream::new(&context)?;
    let mut random = Random::new(11);
    let sizes = [(640, 480), (480, 640), (224, 224), (1, 1), (3, 700), (1920, 1080), (257, 255), (100, 37)];
    let pictures: Vec<Picture> = sizes
        .into_iter()
        .map(|(width, height)| {
            let pixels = (0..3 * width * height).map(|_| random.bits() as u8).collect();
            Picture { width, height, pixels }
        })
        .collect();
    let mut count = 0;
    for size in [Size::square(224), Size { width: 640, height: 384 }, Size { width: 33, height: 41 }] {
        let resizes = [
            Resize::Stretch,
            Resize::Letterbox { pad: 114 },
            Resize::Crop { shorter_side: size.width.max(size.height) * 8 / 7 },
        ];
        for (resize, channels, layout) in resizes.into_iter().flat_map(|resize| {
            let channels = [Channels::Rgb, Channels::Bgr, Channels::Grey];
            channels.into_iter().flat_map(move |channels| {
                [Layout::Nchw, Layout::Nhwc].into_iter().map(move |layout| (resize, channels, layout))
            })
        }) {
            let n = channels.count();
            let mean = [0.485, 0.456, 0.406][..n].to_vec();
            let std = [0.229, 0.224, 0.225][..n].to_vec();
            let pipeline = Pipeline { size, resize, channels, scale: 1.0 / 255.0, mean, std, layout };
            let plans = Plans::new(pipeline.clone());
            let preprocessor = Preprocessor::new(&context, plans.canvas()?)?;
            let mut upload = Upload::new(&context)?;
            let mut out = Buffer::new(&context, pictures.len() * preprocessor.image_len())?;
            out.fill_in(&stream, 0xFF)?;
            let kept: Vec<_> =
                pictures.iter().map(|picture| plans.plan(picture.width, picture.height)).collect();
            let placed: Vec<_> =
                kept.iter().zip(&pictures).map(|(plan, picture)| plan.place(picture)).collect();
            preprocessor.load(&mut upload, &placed, &copies)?;
            preprocessor.run(&mut upload, &stream, &mut out)?;
            stream.synchronize()?;
            let mut found = vec![0; out.len()];
            out.read(&mut found)?;
            for (picture, found) in pictures.iter().zip(found.chunks_exact(preprocessor.image_len())) {
                let mut expected = vec![0.0; pipeline.output_len()];
                pipeline.run(picture, &mut expected)?;
                count += 1;
                let wrong = found
                    .as_chunks()
                    .0
                    .iter()
                    .zip(&expected)
                    .filter(|(found, expected)| u32::from_ne_bytes(**found) != expected.to_bits())
                    .count();
                if wrong > 0 {
                    let Picture { width, height, .. } = picture;
                    differences.push(format!(
                        "picture {width}x{height} to {size}, {resize:?}, {channels:?}, {layout:?}: {wrong} of {}",
                        expected.len()
                    ));
                }
            }
        }
    }
    Ok(count)
}
