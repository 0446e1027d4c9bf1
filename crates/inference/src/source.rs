//! The seam between calibration and whatever runs the model.
//!
//! Above it are samples, their order and thresholds; below it is a backend that runs a batch and counts every
//! activation where it lies: in the processor's cache ([`rten`](crate::rten)), in ONNX Runtime's buffers or in a GPU's
//! memory. Nothing but histograms comes back.

use trt_calib::Counts;
use trt_imaging::Picture;

use crate::{SourceError, Tensor};

/// Samples to be run together.
#[derive(Debug)]
pub struct Batch {
    /// What goes in.
    pub content: Content,
    /// What the samples are called, in order, for messages.
    pub samples: Vec<String>,
}

/// What a batch holds.
#[derive(Debug)]
pub enum Content {
    /// A tensor for each of the model's inputs, the samples along the first axis.
    Tensors(Vec<Tensor>),
    /// Decoded images for the model's one input, for a source that [wants](HistogramSource::wants) to preprocess them
    /// itself.
    Pictures(Vec<Picture>),
}

/// What a source takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// [`Content::Tensors`] only.
    Tensors,
    /// [`Content::Pictures`] too, and better.
    Pictures,
}

/// An activation that was counted.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Its ONNX value name, the key in a calibration table.
    pub name: String,
    /// What was seen of it.
    pub counts: Counts,
}

/// An activation that the backend could not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    /// Its ONNX value name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What a source gives back.
#[derive(Debug, Clone, Default)]
pub struct Histograms {
    /// Counted activations, in the order of computation.
    pub observed: Vec<Observed>,
    /// Float activations of the model that are missing among them: reported, never dropped in silence.
    pub omitted: Vec<Omitted>,
}

/// What runs the model, as provenance records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `rten`, `onnxruntime`, `onnxruntime-cuda` or `tensorrt`.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// What else decides about the numbers, such as `threads` or `tf32`: key and value.
    pub settings: Vec<(&'static str, String)>,
}

/// Runs batches and counts every float activation, by ONNX value name.
///
/// In the canonical mode counts are integers on nested grids: neither order nor batch size nor the number of threads
/// may change the result. In TensorRT's mode ([`trt_calib::Mode::TensorRt`]) batches come one after the other, and
/// [`HistogramSource::lanes`] is 1.
pub trait HistogramSource: Send + Sync {
    /// What runs the model.
    fn backend(&self) -> Backend;

    /// What it takes.
    fn wants(&self) -> Wants {
        Wants::Tensors
    }

    /// How many threads may usefully call [`HistogramSource::accumulate`] at the same time.
    fn lanes(&self) -> usize;

    /// Runs a batch and counts its activations.
    ///
    /// # Errors
    /// [`SourceError`]. After [`SourceError::NotANumber`] from a source that was made with
    /// [`OnNan::SkipImage`](crate::OnNan), nothing of the batch has been counted and the source goes on; after any other
    /// error its counts are of no use.
    fn accumulate(&self, batch: Batch) -> Result<(), SourceError>;

    /// The histograms of all batches so far, for a checkpoint. Called while no batch runs.
    ///
    /// # Errors
    /// [`SourceError`]: a GPU may be lost.
    fn snapshot(&self) -> Result<Histograms, SourceError>;

    /// The histograms of all batches.
    ///
    /// # Errors
    /// As for [`HistogramSource::snapshot`].
    fn finish(self: Box<Self>) -> Result<Histograms, SourceError>;
}

/// The samples that the value at position `first` of an activation belongs to: one, or the whole batch where the model has
/// moved the axis that counts them.
pub(crate) fn samples_at(samples: &[String], shape: &[usize], first: usize, values: usize) -> Vec<String> {
    let per_sample = shape.first() == Some(&samples.len()) && values > 0;
    let one = per_sample.then(|| first * samples.len() / values);
    one.map_or(samples, |sample| &samples[sample..=sample]).to_vec()
}
