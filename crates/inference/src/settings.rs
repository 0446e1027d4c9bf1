//! What a caller decides about a source.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trt_calib::Mode;
use trt_imaging::Pipeline;

/// What runs the model, as the user asks for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The fastest that is here and can run the model; which one and why is said.
    #[default]
    Auto,
    /// The embedded one, on the CPU.
    Rten,
    /// ONNX Runtime on the CPU.
    OnnxRuntime,
    /// ONNX Runtime on NVIDIA GPUs.
    Cuda,
    /// A TensorRT with calibrators of its own, which gives a table in place of histograms
    /// ([`TensorRt`](crate::tensorrt::TensorRt)). Never taken unless asked for.
    TensorRt,
}

/// What becomes of a batch in which an activation is not a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNan {
    /// Calibration ends.
    #[default]
    Fail,
    /// The sample is left out, and said to be.
    SkipImage,
}

/// All that a source is made with, beside the model.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How values are counted.
    pub mode: Mode,
    /// What becomes of NaN.
    pub on_nan: OnNan,
    /// CPU threads; at least 1.
    pub threads: usize,
    /// GPUs by number, for [`Choice::Cuda`] and [`Choice::Auto`]; the first one if empty.
    pub devices: Vec<u32>,
    /// The file of ONNX Runtime's library, if the user names one; else it is looked for.
    pub onnxruntime: Option<PathBuf>,
    /// Whether convolutions on a GPU may round their inputs to TF32.
    pub tf32: bool,
    /// How an image becomes the model's one input, for sources that do that themselves.
    pub pipeline: Option<Pipeline>,
}

impl Default for Settings {
    /// Canonical counts, on one thread, with TF32 where a GPU has it.
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            on_nan: OnNan::default(),
            threads: 1,
            devices: Vec::new(),
            onnxruntime: None,
            tf32: true,
            pipeline: None,
        }
    }
}
