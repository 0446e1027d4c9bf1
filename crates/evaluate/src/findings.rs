//! What a network says about one sample, in the picture's own pixels.

use std::borrow::Cow;

use serde::Serialize;
use trt_imaging::{Pipeline, Size};
use trt_inference::{Tensor, Values};
use trt_metrics::{MetricsError, View, pixel_classes, suppress, top};

use crate::task::{Detection, Segmentation};
use crate::{EvaluateError, Frame, Mask, Sample, Task};

/// What a network says about one sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Findings {
    /// The best five classes with their scores, best first.
    Classes(Vec<(usize, f32)>),
    /// Objects, best first; in pixels of the picture.
    Boxes(Vec<trt_metrics::Detection>),
    /// The class of each pixel of the picture.
    Mask(Mask),
}

/// Reads what a network says about a sample out of its outputs.
///
/// Without a picture or a pipeline, boxes and masks are in pixels of the input and of the output.
///
/// # Errors
/// [`EvaluateError::Output`] and [`EvaluateError::Metrics`].
pub fn find(
    task: &Task,
    pipeline: Option<&Pipeline>,
    sample: &Sample,
    outputs: &[Tensor],
) -> Result<Findings, EvaluateError> {
    let frame = frame(pipeline, sample);
    match task {
        Task::Classification(task) => {
            let tensor = output("INT8", outputs, task.output.as_deref())?;
            let scores = floats(tensor);
            Ok(Findings::Classes(top(&scores, 5).into_iter().map(|class| (class, scores[class])).collect()))
        }
        Task::Detection(task) => {
            boxes(task, frame.as_ref(), sample, outputs, task.score).map(Findings::Boxes)
        }
        Task::Segmentation(task) => {
            let (classes, size) = pixels("INT8", task, outputs)?;
            Ok(Findings::Mask(match frame {
                Some(frame) => frame.mask_of_picture(&classes, size),
                None => Mask { size, classes },
            }))
        }
    }
}

/// The sample's place in the input, if it was a picture.
pub(crate) fn frame(pipeline: Option<&Pipeline>, sample: &Sample) -> Option<Frame> {
    Frame::new(pipeline?, sample.picture?)
}

/// The detections with at least this score after suppression, best first.
pub(crate) fn boxes(
    task: &Detection,
    frame: Option<&Frame>,
    sample: &Sample,
    outputs: &[Tensor],
    least: f32,
) -> Result<Vec<trt_metrics::Detection>, EvaluateError> {
    let values: Vec<Cow<[f32]>> = outputs.iter().map(floats).collect();
    let view = |(tensor, values)| {
        let (tensor, values): (&Tensor, &Cow<[f32]>) = (tensor, values);
        View { name: &tensor.name, shape: &tensor.shape, values }
    };
    let views: Vec<View> = outputs.iter().zip(&values).map(view).collect();
    let input = frame.map_or_else(|| input_size(sample), Frame::input);
    let found = task.format.described().decode(&views, input, least).map_err(|source| {
        let output = outputs.first().map_or_else(String::new, |tensor| tensor.name.clone());
        EvaluateError::Metrics { output, source }
    })?;
    let mut found = suppress(found, task.overlap, task.limit);
    if let Some(frame) = frame {
        found.iter_mut().for_each(|detection| detection.bbox = frame.to_picture(&detection.bbox));
    }
    Ok(found)
}

/// The class of each pixel of the output, and its size.
pub(crate) fn pixels(
    which: &'static str,
    task: &Segmentation,
    outputs: &[Tensor],
) -> Result<(Vec<u8>, Size), EvaluateError> {
    let tensor = output(which, outputs, task.output.as_deref())?;
    let read = pixel_classes(&floats(tensor), &tensor.shape, task.threshold);
    let (classes, height, width) = read.map_err(|source| metrics(tensor, source))?;
    Ok((classes, Size { width: width as u32, height: height as u32 }))
}

/// The output of this name, or the first one.
pub(crate) fn output<'a>(
    which: &'static str,
    outputs: &'a [Tensor],
    name: Option<&str>,
) -> Result<&'a Tensor, EvaluateError> {
    let found = match name {
        Some(name) => outputs.iter().find(|output| output.name == name),
        None => outputs.first(),
    };
    found.ok_or_else(|| EvaluateError::Output { which, output: name.unwrap_or_default().to_owned() })
}

pub(crate) fn metrics(tensor: &Tensor, source: MetricsError) -> EvaluateError {
    EvaluateError::Metrics { output: tensor.name.clone(), source }
}

/// Width and height of a sample's first input, if it is an image as NCHW.
fn input_size(sample: &Sample) -> (f32, f32) {
    match sample.inputs.first().map(|input| &input.shape[..]) {
        Some(&[_, _, height, width]) => (width as f32, height as f32),
        _ => (1.0, 1.0),
    }
}

/// The values of a tensor as 32-bit floats, of whatever type they are.
pub(crate) fn floats(tensor: &Tensor) -> Cow<'_, [f32]> {
    match &tensor.values {
        Values::F32(values) => Cow::Borrowed(values),
        Values::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
        Values::F64(values) => values.iter().map(|&value| value as f32).collect(),
        Values::I64(values) => values.iter().map(|&value| value as f32).collect(),
        Values::I32(values) => values.iter().map(|&value| value as f32).collect(),
        Values::I8(values) => values.iter().map(|&value| f32::from(value)).collect(),
        Values::U8(values) => values.iter().map(|&value| f32::from(value)).collect(),
        Values::Bool(values) => values.iter().map(|&value| f32::from(u8::from(value))).collect(),
    }
}
