//! Where a picture comes to lie and from which of its pixels, for the GPU.
//!
//! `trt-imaging` resizes with weights in fixed point, first down, then across, rounded to 8 bits in between. The kernel does
//! the same with the weights computed here, so that the values are equal bit by bit: a test computes them on the CPU
//! from these weights and compares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use trt_cuda::{Canvas, Placed, Tap, Taps};
use trt_imaging::{Channels, Layout, Picture, Pipeline, Placement, Resize, Size};

use crate::SourceError;

/// Sizes of pictures whose plans are kept. A data set has few; where it has not, plans are cheap beside a picture.
const KEPT: usize = 256;

/// What is done with pictures of one size.
#[derive(Debug, PartialEq)]
pub struct Plan {
    left: u32,
    top: u32,
    columns: Taps,
    rows: Taps,
}

/// The plans of a pipeline.
#[derive(Debug)]
pub struct Plans {
    pipeline: Pipeline,
    kept: Mutex<HashMap<(u32, u32), Arc<Plan>>>,
}

impl Plans {
    /// None yet.
    pub fn new(pipeline: Pipeline) -> Self {
        Self { pipeline, kept: Mutex::default() }
    }

    /// The preprocessing.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// What every picture becomes.
    ///
    /// # Errors
    /// [`SourceError::Run`] where the pipeline is none.
    pub fn canvas(&self) -> Result<Canvas, SourceError> {
        let pipeline = &self.pipeline;
        let pad = match pipeline.resize {
            Resize::Letterbox { pad } => pad,
            Resize::Stretch | Resize::Crop { .. } => 0,
        };
        Ok(Canvas {
            width: pipeline.size.width,
            height: pipeline.size.height,
            swap: pipeline.channels == Channels::Bgr,
            nhwc: pipeline.layout == Layout::Nhwc,
            pad,
            tables: tables(pipeline)?,
        })
    }

    /// What is done with pictures of this size; no side is 0.
    pub fn plan(&self, width: u32, height: u32) -> Arc<Plan> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        let make = || Arc::new(Plan::new(&self.pipeline, Size { width, height }));
        Arc::clone(kept.entry((width, height)).or_insert_with(make))
    }
}

/// What each pixel value becomes, for each channel: the picture that has them all goes through the pipeline itself.
fn tables(pipeline: &Pipeline) -> Result<Vec<[f32; 256]>, SourceError> {
    let ramp =
        Picture { width: 256, height: 1, pixels: (0..=u8::MAX).flat_map(|value| [value; 3]).collect() };
    let size = Size { width: 256, height: 1 };
    let as_it_is = Pipeline { size, resize: Resize::Stretch, layout: Layout::Nchw, ..pipeline.clone() };
    let mut values = vec![0.0; as_it_is.output_len()];
    as_it_is
        .run(&ramp, &mut values)
        .map_err(|error| SourceError::Run { node: None, reason: error.to_string() })?;
    Ok(values.as_chunks().0.to_vec())
}

impl Plan {
    fn new(pipeline: &Pipeline, picture: Size) -> Self {
        let placement = pipeline.resize.place(picture, pipeline.size);
        let Placement { source_left, source_top, source_width, source_height, inner, left, top } = placement;
        Self {
            left,
            top,
            columns: taps(picture.width, source_left, source_width, inner.width),
            rows: taps(picture.height, source_top, source_height, inner.height),
        }
    }

    /// A picture with its plan.
    pub fn place<'a>(&'a self, picture: &'a Picture) -> Placed<'a> {
        Placed {
            pixels: &picture.pixels,
            width: picture.width,
            height: picture.height,
            left: self.left,
            top: self.top,
            columns: &self.columns,
            rows: &self.rows,
        }
    }
}

/// The greatest weight is below this: 16 bits with a sign.
const WEIGHTS_END: f64 = 32_768.0;
/// Sums of weights times pixels have room in 32 bits up to here.
const MOST_BITS: u32 = 21;

/// Two taps a side around the centre of each output pixel, when `extent` pixels from `start` on become `out`.
///
/// Weights are rounded to the most bits that 15 bits and a sign allow for the greatest of them.
fn taps(side: u32, start: f64, extent: f64, out: u32) -> Taps {
    if f64::from(out) == extent && start == start.round() {
        // Nothing is resampled: one whole pixel each.
        let taps = (0..out).map(|at| Tap { start: start as u32 + at, weights: [1 << 14, 0, 0] });
        return Taps { bits: 14, taps: taps.collect() };
    }
    // Not simply `extent`: the resampler has the ends of the part, rounded.
    let scale = ((start + extent) - start) / f64::from(out);
    let exact: Vec<(u32, [f64; 3])> =
        (0..out).map(|at| weights(side, start + (f64::from(at) + 0.5) * scale)).collect();
    let greatest = exact.iter().flat_map(|(_, weights)| *weights).fold(0.0, f64::max);
    let fits = |bits: &u32| (greatest * f64::from(1_u32 << (bits + 1))).round() < WEIGHTS_END;
    let bits = (0..MOST_BITS).find(|bits| !fits(bits)).unwrap_or(MOST_BITS);
    let unit = f64::from(1_u32 << bits);
    let taps = exact
        .into_iter()
        .map(|(start, weights)| Tap { start, weights: weights.map(|weight| (weight * unit).round() as i16) });
    Taps { bits, taps: taps.collect() }
}

/// The first pixel around `centre` and the weights from there, by distance, with a sum of 1. Pixel `x` has its centre at
/// `x + 0.5`.
fn weights(side: u32, centre: f64) -> (u32, [f64; 3]) {
    let first = (centre - 1.0).floor().max(0.0) as u32;
    let end = (centre + 1.0).ceil().min(f64::from(side)) as u32;
    let middle = centre - 0.5;
    let weight = |x: u32| (1.0 - (f64::from(x) - middle).abs()).max(0.0);
    let start = (first..end).find(|x| weight(*x) != 0.0).unwrap_or(first);
    let sum: f64 = (start..end).map(weight).sum();
    let share = |x: u32| if x < end { weight(x) / sum } else { 0.0 };
    (start, [share(start), share(start + 1), share(start + 2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's arithmetic.
    fn resample(picture: &Picture, plan: &Plan, canvas: &Canvas, channel: usize) -> Vec<f32> {
        let at = |x: u32, y: u32| {
            let pixel = &picture.pixels[3 * (y * picture.width + x) as usize..][..3];
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            match canvas.tables.len() {
                1 => ((9_798 * r + 19_235 * g + 3_735 * b + (1 << 14)) >> 15) as i32,
                _ => i32::from(pixel[if canvas.swap { 2 - channel } else { channel }]),
            }
        };
        let sum = |tap: &Tap, bits: u32, value: &dyn Fn(u32) -> i32| {
            let used = (tap.start..).zip(tap.weights).filter(|(_, weight)| *weight != 0);
            let sum: i32 = used.map(|(at, weight)| i32::from(weight) * value(at)).sum();
            ((sum + (1 << (bits - 1))) >> bits).clamp(0, 255)
        };
        let (Taps { bits, taps: columns }, rows) = (&plan.columns, &plan.rows);
        let mut out =
            vec![canvas.tables[channel][usize::from(canvas.pad)]; (canvas.width * canvas.height) as usize];
        for (y, row) in (plan.top..).zip(&rows.taps) {
            for (x, column) in (plan.left..).zip(columns) {
                let value = sum(column, *bits, &|x| sum(row, rows.bits, &|y| at(x, y)));
                out[(y * canvas.width + x) as usize] = canvas.tables[channel][value as usize];
            }
        }
        out
    }

    #[test]
    fn the_weights_give_what_the_cpu_gives_bit_by_bit() {
        let mut state = 1_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let canvas = Size { width: 40, height: 28 };
        let resizes = [Resize::Stretch, Resize::Letterbox { pad: 114 }, Resize::Crop { shorter_side: 46 }];
        let pictures = [
            (40, 28),
            (80, 56),
            (1, 1),
            (3, 200),
            (97, 61),
            (64, 46),
            (46, 64),
            (640, 480),
            (41, 28),
            (39, 29),
        ];
        for (width, height) in pictures {
            let pixels = (0..3 * width * height).map(|_| random()).collect();
            let picture = Picture { width, height, pixels };
            for resize in resizes {
                for channels in [Channels::Rgb, Channels::Bgr, Channels::Grey] {
                    let count = channels.count();
                    let pipeline = Pipeline {
                        size: canvas,
                        resize,
                        channels,
                        scale: 1.0 / 255.0,
                        mean: [0.485, 0.456, 0.406][..count].to_vec(),
                        std: [0.229, 0.224, 0.225][..count].to_vec(),
                        layout: Layout::Nchw,
                    };
                    let mut expected = vec![0.0; pipeline.output_len()];
                    pipeline.run(&picture, &mut expected).unwrap();
                    let plans = Plans::new(pipeline);
                    let canvas = plans.canvas().unwrap();
                    let plan = plans.plan(width, height);
                    let found: Vec<f32> =
                        (0..count).flat_map(|channel| resample(&picture, &plan, &canvas, channel)).collect();
                    let same =
                        found.iter().zip(&expected).filter(|(a, b)| a.to_bits() == b.to_bits()).count();
                    assert_eq!(same, expected.len(), "{width}x{height} {resize:?} {channels:?}");
                }
            }
        }
    }

    #[test]
    fn plans_are_kept_by_size() {
        let pipeline = trt_imaging::Preprocess::preset(trt_imaging::Preset::Yolo).resolve(None).unwrap();
        let plans = Plans::new(pipeline);
        assert!(Arc::ptr_eq(&plans.plan(640, 480), &plans.plan(640, 480)));
        assert_ne!(plans.plan(640, 480), plans.plan(480, 640));
    }
}
