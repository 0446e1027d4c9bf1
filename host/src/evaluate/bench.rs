//! What FP32 and INT8 are run with, and what a model is for.

use std::path::Path;

use trt_evaluate::{Detection, Segmentation, Settings, Task};
use trt_imaging::Pipeline;
use trt_inference::{Network, Opened, SourceError, Subject, open_network};
use trt_onnx::{Model, SimulateOptions};

use super::single::OneOfMany;
use crate::fleet::{Evaluation, Labels, Running};

/// What networks are opened with.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// The folder of the model's external data.
    pub folder: &'a Path,
    /// What runs it.
    pub running: &'a Running,
}

impl Bench<'_> {
    /// Opens a network that runs a model, one sample at a time.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(&self, model: &Model) -> Result<Opened<Box<dyn Network>>, SourceError> {
        let subject = Subject { model, folder: self.folder, activations: &[] };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = trt_inference::Settings {
            threads,
            devices: self.running.devices.clone(),
            onnxruntime: self.running.onnxruntime.clone(),
            tf32: self.running.tf32,
            ..trt_inference::Settings::default()
        };
        let opened = open_network(&subject, self.running.backend, &settings)?;
        Ok(Opened { what: OneOfMany::wrap(opened.what, model), ..opened })
    }
}

/// What is simulated: everything, but for what is kept.
pub fn simulated(keep: Vec<String>) -> SimulateOptions {
    SimulateOptions { keep, ..SimulateOptions::default() }
}

/// What is looked at. What the network is for is what the fleet file says, or else what its outputs' shapes tell.
pub fn settings(onnx: &Model, evaluation: &Evaluation, pipeline: Option<&Pipeline>) -> Settings {
    let task = match (&evaluation.detector, &evaluation.labels) {
        (Some(format), _) => Some(Task::Detection(Detection::new(format.clone()))),
        (None, Some(Labels::Masks(_))) => Some(Task::Segmentation(Segmentation::default())),
        (None, _) => Task::guess(&onnx.outputs()),
    };
    Settings { task, groups: evaluation.groups.clone(), pipeline: pipeline.cloned(), ..Settings::default() }
}
