//! The seam between calibration and whatever runs the model.
//!
//! Above it are images, order and thresholds; below it is a backend that runs a batch and counts every activation
//! where it lies. The embedded one is [`super::rten`]; one that keeps activations on a GPU has the same shape, since
//! nothing but histograms comes back.

use std::path::PathBuf;

use trt_calib::Histogram;

use super::error::SourceError;

/// Preprocessed images.
#[derive(Debug)]
pub struct Batch {
    /// The images' values, one image after the other, in the order of the axes of `shape`.
    pub values: Vec<f32>,
    /// Number of images, then the axes of one image (`[N, C, H, W]` or `[N, H, W, C]`).
    pub shape: [usize; 4],
    /// The files, for messages.
    pub images: Vec<PathBuf>,
}

/// An activation that was counted.
#[derive(Debug)]
pub struct Observed {
    /// Its ONNX value name, the key in a calibration table.
    pub name: String,
    /// What was seen of it.
    pub histogram: Histogram,
}

/// An activation that the backend could not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    /// Its ONNX value name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What a source gives back in the end.
#[derive(Debug)]
pub struct Histograms {
    /// Counted activations, in the order of computation.
    pub observed: Vec<Observed>,
    /// Float activations of the model that are missing among them: reported, never dropped in silence.
    pub omitted: Vec<Omitted>,
}

/// Runs batches and counts every float activation, by ONNX value name.
///
/// Counts are integers on nested grids (see [`Histogram`]): neither order nor batch size nor the number of threads
/// may change the result.
pub trait HistogramSource: Sync {
    /// The backend's name, as provenance records it.
    fn name(&self) -> &'static str;

    /// The backend's version.
    fn version(&self) -> &'static str;

    /// How many threads may usefully call [`HistogramSource::accumulate`] at the same time.
    fn lanes(&self) -> usize;

    /// Runs a batch and counts its activations.
    ///
    /// # Errors
    /// [`SourceError`]: the model cannot be run, or an activation has a NaN. Counts are of no use after that.
    fn accumulate(&self, batch: Batch) -> Result<(), SourceError>;

    /// The histograms of all batches.
    fn finish(self: Box<Self>) -> Histograms;
}
