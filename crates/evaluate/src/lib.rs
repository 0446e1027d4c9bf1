//! FP32 against simulated INT8: how much of a model's quality a calibration table costs, and what mends it.
//!
//! ```text
//! Samples, FP32 Network -- Evaluator::run(INT8 Network) --> Evaluation
//! Study (model, how networks are opened) -- rank_tensors, sensitivity --> what loses most
//!                                        -- rescue(Target) --> what to keep in higher precision
//!                                        -- choose(candidates) --> the algorithm, and those of single tensors
//! ```
//!
//! INT8 is simulated by a graph with rounding in floats (`trt_onnx::simulate`), run by whatever
//! [`Network`](trt_inference::Network) the caller opens. Everything here is deterministic as long as that network is:
//! samples are worked on by all cores, but added up in their order.
//!
//! What it is not: it finds no samples, derives no scales and prints nothing. The host depends on it; the device does
//! not.

mod choose;
mod error;
mod evaluator;
mod figures;
mod findings;
mod frame;
mod labels;
mod picture;
mod rank;
mod rescue;
mod sample;
mod study;
mod tally;
mod target;
mod task;

pub use choose::{Candidate, ChooseOptions, Chosen, ERRORS, MARGIN_DB, Scales, TRIAL_ERRORS, Trial, choose};
pub use error::EvaluateError;
pub use evaluator::{Evaluator, Run, Settings, evaluate};
pub use figures::{ClassFigures, Evaluation, GroupFigures, LeftOut, OutputFigures, Share, TaskFigures};
pub use findings::{Findings, find};
pub use frame::Frame;
pub use labels::{LabelError, Labels, class_names};
pub use picture::{annotated, side_by_side};
pub use rank::{LayerLoss, TensorLoss, rank_tensors, sensitivity};
pub use rescue::{Rescue, RescueOptions, rescue};
pub use sample::{Label, Mask, Sample, Samples};
pub use study::{Open, Study};
pub use target::{Measure, Target};
pub use task::{Classification, Detection, Segmentation, Task};
